#include <stdlib.h>

#include "connmgr/uplink.h"
#include "connmgr/orphans.h"
#include "connmgr/registry.h"
#include "connmgr/wire.h"

/* Rows in a hash a worker (docs/cluster.md). The truth is the table of connections: what could not be written
 * marks the rows as dirty, and when Redis can be reached all of them are brought in line with the table. */

enum {
    ROW_MAX = 65536,
    BATCH = 128, /* rows, or ids to be deleted, in one command */
    ARGS_MAX = 1 + 2 * BATCH
};

struct redis_registry {
    struct tg_registry base;
    struct tg_cluster *cluster;
    struct tg_cluster_counters *counters;
    struct tg_uplink *link;
    struct tg_uplink_watch watch;
    struct tg_loop *loop;
    struct tg_log *log;
    struct tg_connmgr *mgr;
    uint32_t worker, node; /* node 0: none yet */
    unsigned char id_key[TG_CONNID_KEY_LEN];
    char token[TG_TOKEN_LEN];
    struct tg_timer retry;
    struct tg_buf rows;
    struct tg_list orphans; /* struct orphans */
    bool dirty;
    /* Writing all anew: first what is there and should not be, then what should be. */
    bool rewriting;
    unsigned char *there; /* a bit a slot of the table: its row is; only while todo is made */
    size_t slots;
    struct tg_conn_handle *todo;
    size_t todo_count, todo_cap, todo_at;
};

static void start_rewrite(struct redis_registry *registry);

static void tell_clean(const struct redis_registry *registry)
{
    atomic_store(&registry->counters->rows_clean, !registry->dirty && !registry->rewriting);
}

static void mark_dirty(struct redis_registry *registry)
{
    registry->dirty = true;
    tell_clean(registry);
    if (!tg_timer_armed(&registry->retry)) {
        tg_timer_start(registry->loop, &registry->retry, registry->cluster->settings.probe_ms);
    }
}

static struct tg_cluster_key rows_key(const struct redis_registry *registry)
{
    return tg_cluster_worker_key(registry->cluster, registry->node, registry->worker, "rows");
}

/* ---- one row ---- */

static void on_put(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    if (err != TG_OK || tg_redis_reply_integer(reply) != 1) {
        mark_dirty(arg);
    }
}

static void on_removed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    (void)reply;
    if (err != TG_OK) {
        mark_dirty(arg);
    }
}

static enum tg_err run_put(struct redis_registry *registry, const struct tg_slice *args, size_t count,
                           tg_redis_reply_fn *done)
{
    struct tg_cluster_key lease = tg_cluster_key(registry->cluster, registry->node, "lease"),
                          rows = rows_key(registry);
    const struct tg_slice keys[] = {tg_cluster_key_slice(&lease), tg_cluster_key_slice(&rows)};
    return tg_uplink_script(registry->link, TG_SCRIPT_PUT, keys, 2, args, count, done, registry);
}

static void redis_put(struct tg_registry *base, const char *connection_id, const struct tg_conn_info *info)
{
    struct redis_registry *registry = (struct redis_registry *)base;
    struct tg_connid id;
    if (tg_connid_decode(registry->id_key, tg_slice_cstr(connection_id), &id) != TG_OK ||
        id.node != registry->node) {
        return; /* of a number that was lost during the handshake: it will not open */
    }
    tg_buf_clear(&registry->rows);
    enum tg_err err = tg_wire_write_row(&registry->rows, info);
    if (err != TG_OK) {
        tg_log(registry->log, TG_LOG_ERROR, "row not written", TG_KV_CSTR("connectionId", connection_id),
               TG_KV_ERR(err));
        return;
    }
    const struct tg_slice args[] = {tg_slice_make(registry->token, TG_TOKEN_LEN),
                                    tg_slice_cstr(connection_id), tg_buf_slice(&registry->rows)};
    if (run_put(registry, args, 3, on_put) != TG_OK) {
        mark_dirty(registry);
    }
    tg_uplink_flush(registry->link);
}

/* Those of a number that is lost, or is about to be: the lease may be over before this worker has been told.
 */
static struct tg_orphans *orphans_of(struct redis_registry *registry, uint32_t node)
{
    struct tg_orphans *orphans = tg_orphans_find(&registry->orphans, node);
    return orphans == NULL && node == registry->node ? tg_orphans_new(&registry->orphans, node) : orphans;
}

static bool redis_remove(struct tg_registry *base, const char *connection_id, const struct tg_conn_info *info)
{
    struct redis_registry *registry = (struct redis_registry *)base;
    struct tg_connid id;
    if (tg_connid_decode(registry->id_key, tg_slice_cstr(connection_id), &id) != TG_OK) {
        return true; /* none of ours: nobody else knows it */
    }
    /* By the clock itself: the process may have been stopped since this pass of the loop began. */
    bool ours =
        id.node == registry->node && tg_cluster_held(registry->cluster, id.node, tg_loop_now_ns() / 1000000);
    if (!ours) {
        tg_cluster_count(&registry->counters->left, 1);
        tg_orphans_add(orphans_of(registry, id.node), connection_id, info);
        return false;
    }
    struct tg_cluster_key rows = rows_key(registry);
    const struct tg_slice words[] = {TG_LIT("HDEL"), tg_cluster_key_slice(&rows),
                                     tg_slice_cstr(connection_id)};
    if (tg_uplink_command(registry->link, words, 3, on_removed, registry) != TG_OK) {
        mark_dirty(registry);
    }
    return true;
}

/* ---- all rows ---- */

static void end_rewrite(struct redis_registry *registry, bool done)
{
    free(registry->todo);
    registry->todo = NULL;
    registry->rewriting = false;
    if (done) {
        tg_cluster_count(&registry->counters->rewrites, 1);
        tg_log(registry->log, TG_LOG_INFO, "rows brought in line", TG_KV_INT("worker", registry->worker),
               TG_KV_INT("missing", registry->todo_count));
        tell_clean(registry);
    } else {
        mark_dirty(registry);
    }
}

static void put_batch(struct redis_registry *registry);

static void on_batch(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct redis_registry *registry = arg;
    if (!registry->rewriting) {
        return; /* it was given up meanwhile */
    }
    if (err != TG_OK || tg_redis_reply_integer(reply) != 1) {
        end_rewrite(registry, false);
    } else {
        put_batch(registry);
    }
}

static void put_batch(struct redis_registry *registry)
{
    struct tg_slice args[ARGS_MAX];
    size_t ends[BATCH], count = 0;
    const char *ids[BATCH];
    tg_buf_clear(&registry->rows);
    while (registry->todo_at < registry->todo_count && count < BATCH) {
        const struct tg_conn *conn = tg_conn_get_open(registry->mgr, registry->todo[registry->todo_at++]);
        if (conn == NULL || tg_wire_write_row(&registry->rows, tg_conn_info(conn)) != TG_OK) {
            continue; /* gone meanwhile */
        }
        ids[count] = tg_conn_id(conn);
        ends[count++] = tg_buf_size(&registry->rows);
    }
    if (count == 0) {
        end_rewrite(registry, true);
        return;
    }
    struct tg_slice all = tg_buf_slice(&registry->rows);
    args[0] = tg_slice_make(registry->token, TG_TOKEN_LEN);
    for (size_t i = 0; i < count; i++) {
        size_t begin = i > 0 ? ends[i - 1] : 0;
        args[1 + 2 * i] = tg_slice_cstr(ids[i]);
        args[2 + 2 * i] = tg_slice_make(all.ptr + begin, ends[i] - begin);
    }
    if (run_put(registry, args, 1 + 2 * count, on_batch) != TG_OK) {
        end_rewrite(registry, false);
    }
}

static bool collect(void *arg, struct tg_conn *conn)
{
    struct redis_registry *registry = arg;
    struct tg_conn_handle handle = tg_conn_handle(conn);
    bool there = (registry->there[handle.slot / 8] >> handle.slot % 8 & 1) != 0;
    if (!there && registry->todo_count < registry->todo_cap) {
        registry->todo[registry->todo_count++] = handle;
    }
    return true;
}

/* Rows of connections that have ended, whose removal did not get through, go; the others are noted. */
static enum tg_err sort_rows(struct redis_registry *registry, const struct tg_redis_reply *ids)
{
    struct tg_cluster_key rows = rows_key(registry);
    struct tg_slice words[2 + BATCH] = {TG_LIT("HDEL"), tg_cluster_key_slice(&rows)};
    size_t count = 0, total = tg_redis_reply_count(ids);
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i <= total; i++) {
        if (count == BATCH || (i == total && count > 0)) {
            err = tg_uplink_command(registry->link, words, 2 + count, on_removed, registry);
            count = 0;
        }
        if (i == total) {
            break;
        }
        struct tg_slice text = tg_redis_reply_text(tg_redis_reply_at(ids, i));
        struct tg_connid id;
        bool known = tg_connid_decode(registry->id_key, text, &id) == TG_OK;
        const struct tg_conn_handle handle = {.slot = known ? id.slot : 0,
                                              .generation = known ? id.generation : 0};
        if (tg_conn_get(registry->mgr, handle) == NULL || !known) {
            words[2 + count++] = text;
        } else {
            registry->there[handle.slot / 8] |= (unsigned char)(1U << handle.slot % 8);
        }
    }
    return err;
}

static void on_ids(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct redis_registry *registry = arg;
    if (!registry->rewriting) {
        return;
    }
    size_t count = tg_connmgr_count(registry->mgr);
    registry->there = calloc(registry->slots / 8 + 1, 1);
    registry->todo = malloc((count + 1) * sizeof *registry->todo);
    if (registry->there == NULL || registry->todo == NULL) {
        err = TG_ENOMEM;
    }
    if (err == TG_OK) {
        err = sort_rows(registry, reply);
    }
    registry->todo_cap = count;
    registry->todo_count = 0;
    registry->todo_at = 0;
    if (err == TG_OK) {
        tg_connmgr_each(registry->mgr, collect, registry);
    }
    free(registry->there);
    registry->there = NULL;
    if (err == TG_OK) {
        put_batch(registry);
    } else {
        end_rewrite(registry, false);
    }
}

static void start_rewrite(struct redis_registry *registry)
{
    struct tg_cluster_key rows = rows_key(registry);
    const struct tg_slice words[] = {TG_LIT("HKEYS"), tg_cluster_key_slice(&rows)};
    if (registry->rewriting || registry->node == 0) {
        registry->dirty = true; /* once more, when that is over */
        tell_clean(registry);
        return;
    }
    registry->dirty = false;
    registry->rewriting = true;
    tell_clean(registry);
    if (tg_uplink_command(registry->link, words, 2, on_ids, registry) != TG_OK) {
        end_rewrite(registry, false);
    }
}

static void on_retry(struct tg_timer *timer)
{
    struct redis_registry *registry = TG_CONTAINER(timer, struct redis_registry, retry);
    if (registry->dirty && registry->node != 0) {
        start_rewrite(registry);
        if (registry->dirty) {
            tg_timer_start(registry->loop, timer, registry->cluster->settings.probe_ms);
        }
    }
}

static void on_link_up(struct tg_uplink_watch *watch)
{
    struct redis_registry *registry = TG_CONTAINER(watch, struct redis_registry, watch);
    /* The server may be another one, that does not know all that the former had acknowledged. */
    if (registry->node != 0) {
        tg_registry_redis_rewrite(&registry->base);
    }
}

/* ---- the table ---- */

static void redis_free(struct tg_registry *base)
{
    struct redis_registry *registry = (struct redis_registry *)base;
    tg_timer_stop(&registry->retry);
    tg_uplink_unwatch(&registry->watch);
    tg_buf_free(&registry->rows);
    free(registry->todo);
    tg_orphans_free_all(&registry->orphans);
    free(registry);
}

static const struct tg_registry_ops redis_ops = {
    .put = redis_put, .remove = redis_remove, .free = redis_free};

enum tg_err tg_registry_redis_new(struct tg_cluster *cluster, struct tg_uplink *link,
                                  const struct tg_connmgr_options *identity, struct tg_connmgr *mgr,
                                  struct tg_registry **out)
{
    struct redis_registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL) {
        return TG_ENOMEM;
    }
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
    tg_timer_init(&registry->retry, on_retry);
    tg_buf_init(&registry->rows, (size_t)BATCH * ROW_MAX);
    registry->watch = (struct tg_uplink_watch){.on_up = on_link_up};
    tg_uplink_watch(link, &registry->watch);
    tell_clean(registry);
    *out = &registry->base;
    return TG_OK;
}

static bool adopt(void *arg, struct tg_conn *conn)
{
    tg_orphans_add(arg, tg_conn_id(conn), tg_conn_info(conn));
    return true;
}

void tg_registry_redis_renumber(struct tg_registry *base, uint32_t node, const char *token)
{
    struct redis_registry *registry = (struct redis_registry *)base;
    if (node == 0 && registry->node != 0) {
        tg_connmgr_each(registry->mgr, adopt, orphans_of(registry, registry->node));
    }
    registry->node = node;
    memcpy(registry->token, token, TG_TOKEN_LEN);
    if (registry->rewriting) { /* of the old number's rows */
        free(registry->todo);
        registry->todo = NULL;
        registry->todo_at = registry->todo_count =
            0; /* the answer to the old one's last batch finds nothing */
        registry->rewriting = false;
    }
    registry->dirty = false;
    tell_clean(registry);
}

void tg_registry_redis_rewrite(struct tg_registry *base)
{
    struct redis_registry *registry = (struct redis_registry *)base;
    start_rewrite(registry);
    if (registry->dirty) {
        mark_dirty(registry);
    }
}

void tg_registry_redis_restore(struct tg_registry *base, uint32_t node, const char *token,
                               tg_registry_restored_fn *done, void *arg)
{
    struct redis_registry *registry = (struct redis_registry *)base;
    tg_orphans_restore(tg_orphans_find(&registry->orphans, node), registry->cluster, registry->link, node,
                       registry->worker, token, done, arg);
}

void tg_registry_redis_settle(struct tg_registry *base, uint32_t node, const struct tg_registry_heir *heir)
{
    struct redis_registry *registry = (struct redis_registry *)base;
    tg_orphans_settle(tg_orphans_find(&registry->orphans, node), registry->cluster, registry->loop,
                      registry->link, heir);
}
