#include <stdlib.h>

#include "connmgr/registry_private.h"

enum { AGAIN_PROBES = 2 };

/* Rows in a hash a worker (docs/cluster.md). The truth is the table of connections, and the events that wait:
 * what could not be written marks the rows as dirty, and when Redis can be reached all of them are brought in
 * line. */

void tg_registry_tell_clean(const struct tg_redis_registry *registry)
{
    atomic_store(&registry->counters->rows_clean, !registry->dirty && !registry->rewriting);
}

void tg_registry_try_later(struct tg_redis_registry *registry)
{
    if (!tg_timer_armed(&registry->retry)) {
        tg_timer_start(registry->loop, &registry->retry, registry->cluster->settings.probe_ms);
    }
}

void tg_registry_mark_dirty(struct tg_redis_registry *registry)
{
    registry->dirty = true;
    tg_registry_tell_clean(registry);
    tg_registry_try_later(registry);
}

struct tg_cluster_key tg_registry_rows_key(const struct tg_redis_registry *registry)
{
    return tg_cluster_worker_key(registry->cluster, registry->node, registry->worker, "rows");
}

bool tg_registry_held(const struct tg_redis_registry *registry, const struct tg_connid *id)
{
    return id->node == registry->node &&
           tg_cluster_held(registry->cluster, id->node, tg_loop_now_ns() / 1000000);
}

struct tg_orphans *tg_registry_orphans_of(struct tg_redis_registry *registry, uint32_t node)
{
    struct tg_orphans *orphans = tg_orphans_find(&registry->orphans, node);
    return orphans == NULL && node == registry->node ? tg_orphans_new(&registry->orphans, node) : orphans;
}

/* ---- commands ---- */

/* Rows on their way: no removal of theirs is sent before the answer. */
struct written {
    struct tg_redis_registry *registry;
    uint64_t rewrite;
    tg_rows_written_fn *done;
    size_t count;
    uint32_t slots[];
};

void tg_row_batch_begin(struct tg_redis_registry *registry, struct tg_row_batch *batch)
{
    tg_buf_clear(&registry->rows);
    batch->count = 0;
}

enum tg_err tg_row_batch_add(struct tg_redis_registry *registry, struct tg_row_batch *batch,
                             const char *connection_id, uint32_t slot, const struct tg_conn_info *info)
{
    enum tg_err err = slot < registry->slots ? tg_wire_write_row(&registry->rows, info) : TG_EINVAL;
    if (err != TG_OK) {
        tg_log(registry->log, TG_LOG_ERROR, "row not written", TG_KV_CSTR("connectionId", connection_id),
               TG_KV_ERR(err));
        return err;
    }
    batch->ids[batch->count] = tg_slice_make(connection_id, TG_CONNID_LEN);
    batch->slots[batch->count] = slot;
    batch->ends[batch->count++] = tg_buf_size(&registry->rows);
    return TG_OK;
}

static void on_written(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct written *written = arg;
    struct tg_redis_registry *registry = written->registry;
    for (size_t i = 0; i < written->count; i++) {
        registry->writing[written->slots[i]]--;
    }
    written->done(registry, written->rewrite, err == TG_OK && tg_redis_reply_integer(reply) == 1);
    free(written);
    if (registry->blocked && !tg_registry_send_removals(registry)) {
        tg_registry_try_later(registry);
    }
}

enum tg_err tg_row_batch_send(struct tg_redis_registry *registry, const struct tg_row_batch *batch,
                              uint64_t rewrite, tg_rows_written_fn *done)
{
    struct tg_cluster_key lease = tg_cluster_key(registry->cluster, registry->node, "lease"),
                          rows = tg_registry_rows_key(registry);
    const struct tg_slice keys[] = {tg_cluster_key_slice(&lease), tg_cluster_key_slice(&rows)};
    struct tg_slice args[1 + 2 * TG_ROWS_BATCH], all = tg_buf_slice(&registry->rows);
    struct written *written = malloc(sizeof *written + batch->count * sizeof written->slots[0]);
    if (written == NULL) {
        return TG_ENOMEM;
    }
    written->registry = registry;
    written->rewrite = rewrite;
    written->done = done;
    written->count = batch->count;
    args[0] = tg_slice_make(registry->token, TG_TOKEN_LEN);
    for (size_t i = 0; i < batch->count; i++) {
        size_t begin = i > 0 ? batch->ends[i - 1] : 0;
        args[1 + 2 * i] = batch->ids[i];
        args[2 + 2 * i] = tg_slice_make(all.ptr + begin, batch->ends[i] - begin);
        written->slots[i] = batch->slots[i];
    }
    enum tg_err err = tg_uplink_script(registry->link, TG_SCRIPT_PUT, keys, 2, args, 1 + 2 * batch->count,
                                       on_written, written);
    if (err != TG_OK) {
        free(written);
        return err;
    }
    for (size_t i = 0; i < batch->count; i++) {
        registry->writing[batch->slots[i]]++;
    }
    return TG_OK;
}

enum tg_err tg_rows_remove(struct tg_redis_registry *registry, const struct tg_slice *ids, size_t count,
                           tg_redis_reply_fn *done, void *arg)
{
    struct tg_cluster_key lease = tg_cluster_key(registry->cluster, registry->node, "lease"),
                          rows = tg_registry_rows_key(registry);
    const struct tg_slice keys[] = {tg_cluster_key_slice(&lease), tg_cluster_key_slice(&rows)};
    struct tg_slice args[1 + TG_ROWS_BATCH];
    args[0] = tg_slice_make(registry->token, TG_TOKEN_LEN);
    memcpy(args + 1, ids, count * sizeof ids[0]);
    return tg_uplink_script(registry->link, TG_SCRIPT_REMOVE, keys, 2, args, 1 + count, done, arg);
}

/* ---- one row ---- */

static void on_put(struct tg_redis_registry *registry, uint64_t rewrite, bool written)
{
    (void)rewrite;
    if (!written) {
        tg_registry_mark_dirty(registry);
    }
}

static void redis_put(struct tg_registry *base, const char *connection_id, const struct tg_conn_info *info)
{
    struct tg_redis_registry *registry = TG_CONTAINER(base, struct tg_redis_registry, base);
    struct tg_row_batch batch;
    struct tg_connid id;
    if (tg_connid_decode(registry->id_key, tg_slice_cstr(connection_id), &id) != TG_OK ||
        id.node != registry->node) {
        return; /* of a number that was lost during the handshake: it will not open */
    }
    tg_row_batch_begin(registry, &batch);
    if (tg_row_batch_add(registry, &batch, connection_id, id.slot, info) == TG_OK &&
        tg_row_batch_send(registry, &batch, 0, on_put) != TG_OK) {
        tg_registry_mark_dirty(registry);
    }
    tg_uplink_flush(registry->link);
}

/* ---- when Redis can be reached ---- */

static void on_retry(struct tg_timer *timer)
{
    struct tg_redis_registry *registry = TG_CONTAINER(timer, struct tg_redis_registry, retry);
    if (registry->again_ms > 0 && tg_loop_now_ms(registry->loop) >= registry->again_ms) {
        registry->again_ms = 0;
        registry->dirty = true;
    }
    if (registry->dirty && registry->node != 0) {
        tg_registry_start_rewrite(registry);
    }
    if (!tg_registry_send_removals(registry) || (registry->dirty && registry->node != 0) ||
        registry->again_ms > 0) {
        tg_registry_try_later(registry);
    }
}

void tg_registry_redis_rewrite(struct tg_registry *base)
{
    struct tg_redis_registry *registry = TG_CONTAINER(base, struct tg_redis_registry, base);
    tg_registry_start_rewrite(registry);
    if (registry->dirty || !tg_registry_send_removals(registry)) {
        tg_registry_try_later(registry);
    }
}

static void on_link_up(struct tg_uplink_watch *watch)
{
    struct tg_redis_registry *registry = TG_CONTAINER(watch, struct tg_redis_registry, watch);
    /* The server may be another one, that does not know all that the former had acknowledged. And one that
     * stood still may come to what an earlier connection had brought it after what this one brings: a row
     * that has gone can be written behind that. So the rows are looked at once more when it is through with
     * it. */
    if (registry->node != 0) {
        registry->again_ms =
            tg_loop_now_ms(registry->loop) + AGAIN_PROBES * registry->cluster->settings.probe_ms;
        tg_registry_try_later(registry);
        tg_registry_redis_rewrite(&registry->base);
    }
}

/* ---- the table ---- */

static void redis_free(struct tg_registry *base)
{
    struct tg_redis_registry *registry = TG_CONTAINER(base, struct tg_redis_registry, base);
    tg_registry_drop_leavers(registry);
    tg_registry_drop_rewrite(registry);
    tg_timer_stop(&registry->retry);
    tg_uplink_unwatch(&registry->watch);
    tg_buf_free(&registry->rows);
    free(registry->writing);
    tg_orphans_free_all(&registry->orphans);
    free(registry);
}

static const struct tg_registry_ops redis_ops = {
    .put = redis_put, .remove = tg_registry_remove, .may_tell = tg_registry_may_tell, .free = redis_free};

enum tg_err tg_registry_redis_new(struct tg_cluster *cluster, struct tg_uplink *link,
                                  const struct tg_connmgr_options *identity, struct tg_connmgr *mgr,
                                  const struct tg_list *waiting, struct tg_registry **out)
{
    struct tg_redis_registry *registry = calloc(1, sizeof *registry);
    uint32_t *writing = calloc(identity->max_connections, sizeof *writing);
    if (registry == NULL || writing == NULL) {
        free(registry);
        free(writing);
        return TG_ENOMEM;
    }
    registry->writing = writing;
    registry->waiting = waiting;
    registry->base.ops = &redis_ops;
    registry->cluster = cluster;
    registry->counters = &cluster->workers[identity->worker];
    registry->link = link;
    registry->loop = identity->loop;
    registry->log = identity->log;
    registry->mgr = mgr;
    registry->worker = identity->worker;
    registry->slots = identity->max_connections;
    memcpy(registry->id_key, identity->id_key, sizeof registry->id_key);
    tg_list_init(&registry->orphans);
    tg_list_init(&registry->leaving);
    tg_timer_init(&registry->retry, on_retry);
    tg_buf_init(&registry->rows, (size_t)TG_ROWS_BATCH * TG_ROW_MAX);
    registry->watch = (struct tg_uplink_watch){.on_up = on_link_up};
    tg_uplink_watch(link, &registry->watch);
    tg_registry_tell_clean(registry);
    *out = &registry->base;
    return TG_OK;
}

/* What an earlier number left is with its own orphans. */
static bool adopt(void *arg, struct tg_conn *conn)
{
    struct tg_redis_registry *registry = arg;
    if (tg_conn_node(conn) == registry->node) {
        tg_orphans_add(tg_registry_orphans_of(registry, registry->node), tg_conn_id(conn),
                       tg_conn_info(conn));
    }
    return true;
}

void tg_registry_redis_renumber(struct tg_registry *base, uint32_t node, const char *token)
{
    struct tg_redis_registry *registry = TG_CONTAINER(base, struct tg_redis_registry, base);
    bool lost = node == 0 && registry->node != 0;
    if (lost) {
        (void)tg_registry_orphans_of(registry, registry->node); /* also where there is nobody */
        tg_connmgr_each_untold(registry->mgr, adopt, registry);
        tg_registry_orphan_leavers(registry);
    }
    registry->node = node;
    memcpy(registry->token, token, TG_TOKEN_LEN);
    tg_registry_drop_rewrite(registry); /* of the old number's rows */
    registry->dirty = false;
    tg_registry_tell_clean(registry);
    if (lost) {
        (void)tg_registry_send_removals(registry); /* which are answered instead */
    }
}

void tg_registry_redis_restore(struct tg_registry *base, uint32_t node, const char *token, bool late,
                               tg_registry_restored_fn *done, void *arg)
{
    struct tg_redis_registry *registry = TG_CONTAINER(base, struct tg_redis_registry, base);
    tg_orphans_restore(tg_orphans_find(&registry->orphans, node), registry->cluster, registry->link, node,
                       registry->worker, token, late, done, arg);
}

void tg_registry_redis_settle(struct tg_registry *base, uint32_t node, uint64_t known_until_ms,
                              const struct tg_registry_heir *heir)
{
    struct tg_redis_registry *registry = TG_CONTAINER(base, struct tg_redis_registry, base);
    tg_orphans_settle(tg_orphans_find(&registry->orphans, node), registry->cluster, registry->loop,
                      registry->link, known_until_ms, heir);
}

size_t tg_registry_redis_orphans(const struct tg_registry *base)
{
    return tg_orphans_count(&TG_CONTAINER(base, const struct tg_redis_registry, base)->orphans);
}
