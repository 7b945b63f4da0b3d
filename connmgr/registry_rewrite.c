#include <stdlib.h>

#include "connmgr/registry_private.h"
#include "server/base/map.h"

/* All rows brought in line with what they should be: those of the connections, and those of connections that
 * have ended and of which nobody has been told. */

static void end_rewrite(struct tg_redis_registry *registry, bool done)
{
    tg_registry_drop_rewrite(registry);
    if (done) {
        tg_cluster_count(&registry->counters->rewrites, 1);
        tg_log(registry->log, TG_LOG_INFO, "rows brought in line", TG_KV_INT("worker", registry->worker),
               TG_KV_INT("missing", registry->missing));
        tg_registry_tell_clean(registry);
    } else {
        tg_registry_mark_dirty(registry);
    }
}

void tg_registry_drop_rewrite(struct tg_redis_registry *registry)
{
    free(registry->todo);
    registry->todo = NULL;
    registry->todo_count = registry->todo_at = registry->batches = 0;
    registry->rewriting = false;
    registry->rewrite++;
}

/* ---- what should be there ---- */

static void put_batch(struct tg_redis_registry *registry);

static void on_batch(struct tg_redis_registry *registry, uint64_t rewrite, bool written)
{
    if (rewrite != registry->rewrite) {
        return; /* of one that was given up */
    }
    registry->batches--;
    if (!written) {
        end_rewrite(registry, false);
    } else if (registry->batches == 0) {
        put_batch(registry);
    }
}

static enum tg_err send_batch(struct tg_redis_registry *registry, const struct tg_row_batch *batch)
{
    enum tg_err err = tg_row_batch_send(registry, batch, registry->rewrite, on_batch);
    registry->batches += err == TG_OK;
    return err;
}

/* Of the connections, one batch at a time. */
static void put_batch(struct tg_redis_registry *registry)
{
    struct tg_row_batch batch;
    tg_row_batch_begin(registry, &batch);
    while (registry->todo_at < registry->todo_count && batch.count < TG_ROWS_BATCH) {
        struct tg_conn_handle handle = registry->todo[registry->todo_at++];
        const struct tg_conn *conn = tg_conn_get(registry->mgr, handle);
        if (conn != NULL) {
            (void)!tg_row_batch_add(registry, &batch, tg_conn_id(conn), handle.slot, tg_conn_info(conn));
        } else {
            tg_registry_mark_dirty(registry); /* gone meanwhile: its event may wait, and then has no row */
        }
    }
    if (batch.count == 0) {
        end_rewrite(registry, true);
    } else if (send_batch(registry, &batch) != TG_OK) {
        end_rewrite(registry, false);
    }
}

/* Of what has ended; these are all sent at once: some go while others are written. */
static enum tg_err put_leavers(struct tg_redis_registry *registry, const struct tg_list *leavers)
{
    struct tg_row_batch batch;
    enum tg_err err = TG_OK;
    tg_row_batch_begin(registry, &batch);
    for (const struct tg_list *node = leavers->next; err == TG_OK && node != leavers; node = node->next) {
        const struct tg_leaver *leaver = TG_CONTAINER(node, struct tg_leaver, node);
        struct tg_slice text = tg_slice_make(leaver->connection_id, TG_CONNID_LEN);
        struct tg_connid id;
        if (tg_map_get(registry->leavers, text) == NULL || /* it is there, or is being removed */
            tg_connid_decode(registry->id_key, text, &id) != TG_OK) {
            continue;
        }
        registry->missing++;
        (void)!tg_row_batch_add(registry, &batch, leaver->connection_id, id.slot, leaver->info);
        if (batch.count == TG_ROWS_BATCH) {
            err = send_batch(registry, &batch);
            tg_row_batch_begin(registry, &batch);
        }
    }
    return err == TG_OK && batch.count > 0 ? send_batch(registry, &batch) : err;
}

static bool collect(void *arg, struct tg_conn *conn)
{
    struct tg_redis_registry *registry = arg;
    struct tg_conn_handle handle = tg_conn_handle(conn);
    bool there = (registry->there[handle.slot / 8] >> handle.slot % 8 & 1) != 0;
    if (!there && tg_conn_node(conn) == registry->node) {
        registry->todo[registry->todo_count++] = handle;
    }
    return true;
}

/* ---- what is there ---- */

static void on_stale_removed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    if (err != TG_OK || tg_redis_reply_integer(reply) != 1) {
        tg_registry_mark_dirty(arg);
    }
}

static enum tg_err note_leavers(struct tg_redis_registry *registry, const struct tg_list *leavers)
{
    enum tg_err err = TG_OK;
    for (struct tg_list *node = leavers->next; err == TG_OK && node != leavers; node = node->next) {
        struct tg_leaver *leaver = TG_CONTAINER(node, struct tg_leaver, node);
        struct tg_slice text = tg_slice_make(leaver->connection_id, TG_CONNID_LEN);
        struct tg_connid id;
        bool wanted = leaver->info != NULL && tg_connid_decode(registry->id_key, text, &id) == TG_OK &&
                      id.node == registry->node;
        if (wanted) {
            err = tg_map_add(registry->leavers, text, leaver);
        }
    }
    return err;
}

/* True when the row is to stay; what is noted here is not written again. */
static bool is_wanted(struct tg_redis_registry *registry, struct tg_slice text)
{
    struct tg_connid id;
    if (tg_connid_decode(registry->id_key, text, &id) != TG_OK) {
        return false;
    }
    const struct tg_conn_handle handle = {.slot = id.slot, .generation = id.generation};
    if (tg_conn_get(registry->mgr, handle) != NULL) {
        registry->there[handle.slot / 8] |= (unsigned char)(1U << handle.slot % 8);
        return true;
    }
    return tg_map_remove(registry->leavers, text) != NULL;
}

/* Rows of nobody, whose removal is not known to have got through, go; the others are noted. */
static enum tg_err sort_rows(struct tg_redis_registry *registry, const struct tg_redis_reply *ids)
{
    struct tg_slice stale[TG_ROWS_BATCH];
    size_t count = 0, total = tg_redis_reply_count(ids);
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < total; i++) {
        struct tg_slice text = tg_redis_reply_text(tg_redis_reply_at(ids, i));
        if (!is_wanted(registry, text)) {
            stale[count++] = text;
        }
        if (count == TG_ROWS_BATCH || (i + 1 == total && count > 0)) {
            err = tg_rows_remove(registry, stale, count, on_stale_removed, registry);
            count = 0;
        }
    }
    return err;
}

/* What is being removed is neither written nor looked for. */
static void forget_asking(struct tg_redis_registry *registry)
{
    for (struct tg_list *node = registry->leaving.next; node != &registry->leaving; node = node->next) {
        const struct tg_leaver *leaver = TG_CONTAINER(node, struct tg_leaver, node);
        if (leaver->asking) {
            (void)tg_map_remove(registry->leavers, tg_slice_make(leaver->connection_id, TG_CONNID_LEN));
        }
    }
}

static enum tg_err sort_out(struct tg_redis_registry *registry, const struct tg_redis_reply *ids)
{
    enum tg_err err = note_leavers(registry, registry->waiting);
    if (err == TG_OK) {
        err = note_leavers(registry, &registry->leaving);
    }
    if (err == TG_OK) {
        err = sort_rows(registry, ids);
    }
    if (err == TG_OK) {
        tg_connmgr_each_untold(registry->mgr, collect, registry);
        registry->missing = registry->todo_count;
        forget_asking(registry);
        err = put_leavers(registry, registry->waiting);
    }
    return err == TG_OK ? put_leavers(registry, &registry->leaving) : err;
}

/* The ids of the rows. */
static void on_ids(struct tg_redis_registry *registry, const struct tg_redis_reply *ids)
{
    struct tg_map leavers;
    enum tg_err err = TG_ENOMEM;
    tg_map_init(&leavers, registry->rewrite);
    registry->leavers = &leavers;
    registry->there = calloc(registry->slots / 8 + 1, 1);
    registry->todo = malloc((tg_connmgr_count(registry->mgr) + 1) * sizeof *registry->todo);
    if (registry->there != NULL && registry->todo != NULL) {
        err = sort_out(registry, ids);
    }
    free(registry->there);
    registry->there = NULL;
    registry->leavers = NULL;
    tg_map_free(&leavers, NULL);
    if (err != TG_OK) {
        end_rewrite(registry, false);
    } else if (registry->batches == 0) {
        put_batch(registry);
    }
}

/* ---- the beginning ---- */

/* The question for the ids, of one rewriting. */
struct question {
    struct tg_redis_registry *registry;
    uint64_t rewrite;
};

static void on_answer(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    const struct question question = *(struct question *)arg;
    free(arg);
    if (question.rewrite != question.registry->rewrite) {
        return;
    }
    if (err == TG_OK) {
        on_ids(question.registry, reply);
    } else {
        end_rewrite(question.registry, false);
    }
}

static enum tg_err ask_ids(struct tg_redis_registry *registry)
{
    struct tg_cluster_key rows = tg_registry_rows_key(registry);
    const struct tg_slice words[] = {TG_LIT("HKEYS"), tg_cluster_key_slice(&rows)};
    struct question *question = malloc(sizeof *question);
    if (question == NULL) {
        return TG_ENOMEM;
    }
    *question = (struct question){.registry = registry, .rewrite = registry->rewrite};
    enum tg_err err = tg_uplink_command(registry->link, words, 2, on_answer, question);
    if (err != TG_OK) {
        free(question);
    }
    return err;
}

void tg_registry_start_rewrite(struct tg_redis_registry *registry)
{
    if (registry->rewriting || registry->node == 0) {
        registry->dirty = true; /* once more, when that is over */
        tg_registry_tell_clean(registry);
        return;
    }
    registry->dirty = false;
    registry->rewriting = true;
    registry->missing = 0;
    tg_registry_tell_clean(registry);
    if (ask_ids(registry) != TG_OK) {
        end_rewrite(registry, false);
    }
}
