#include "connmgr/orphans.h"

#include <stdlib.h>

#include "connmgr/wire.h"
#include "server/base/map.h"

enum { BATCH = 128, ARGS_MAX = 1 + 2 * BATCH, AGAIN_MS = 20 };

struct orphan {
    struct tg_list node;
    char id[TG_CONNID_LEN];
    size_t len;
    char row[];
};

struct restoring;
struct settling;

struct tg_orphans {
    struct tg_list node;
    uint32_t number;
    struct tg_list rows;         /* struct orphan */
    size_t count;                /* of them */
    struct tg_map known;         /* their ids, and those of rows that went: a connection comes once */
    struct restoring *restoring; /* under way, or NULL */
    struct settling *settling;   /* likewise, or waiting for the end of that */
};

/* The node has been dealt with by another: whom that has not told of is told of here. */
struct settling {
    struct tg_orphans *orphans; /* NULL: freed meanwhile, and an answer is due */
    struct tg_timer timer;
    struct tg_cluster *cluster;
    struct tg_loop *loop;
    struct tg_uplink *link;
    struct tg_registry_heir heir;
    uint64_t known_until_ms;
    size_t asked; /* the first rows, that Redis is asked about; 0: it is not */
};

struct restoring {
    struct tg_orphans *orphans; /* NULL: given up meanwhile */
    struct tg_cluster *cluster;
    struct tg_uplink *link;
    struct tg_list *last; /* of the command under way; the head before the first */
    size_t removing;      /* removals under way, before that */
    bool failed;          /* one of them */
    bool late;            /* nothing is written */
    uint32_t node, worker;
    char token[TG_TOKEN_LEN];
    tg_registry_restored_fn *done;
    void *arg;
};

struct tg_orphans *tg_orphans_new(struct tg_list *list, uint32_t number)
{
    struct tg_orphans *orphans = calloc(1, sizeof *orphans);
    if (orphans != NULL) {
        orphans->number = number;
        tg_list_init(&orphans->node);
        tg_list_init(&orphans->rows);
        tg_map_init(&orphans->known, number);
        tg_list_append(list, &orphans->node);
    }
    return orphans;
}

struct tg_orphans *tg_orphans_find(const struct tg_list *list, uint32_t number)
{
    for (struct tg_list *node = list->next; node != list; node = node->next) {
        struct tg_orphans *orphans = TG_CONTAINER(node, struct tg_orphans, node);
        if (orphans->number == number) {
            return orphans;
        }
    }
    return NULL;
}

size_t tg_orphans_count(const struct tg_list *list)
{
    size_t count = 0;
    for (const struct tg_list *node = list->next; node != list; node = node->next) {
        count += TG_CONTAINER(node, const struct tg_orphans, node)->count;
    }
    return count;
}

void tg_orphans_add(struct tg_orphans *orphans, const char *connection_id, const struct tg_conn_info *info)
{
    struct tg_buf row;
    if (orphans == NULL ||
        tg_map_add(&orphans->known, tg_slice_make(connection_id, TG_CONNID_LEN), orphans) == TG_EEXIST) {
        return;
    }
    tg_buf_init(&row, SIZE_MAX);
    if (tg_wire_write_row(&row, info) == TG_OK) {
        struct tg_slice bytes = tg_buf_slice(&row);
        struct orphan *orphan = bytes.ptr != NULL ? malloc(sizeof *orphan + bytes.len) : NULL;
        if (orphan != NULL) {
            memcpy(orphan->id, connection_id, sizeof orphan->id);
            memcpy(orphan->row, bytes.ptr, bytes.len);
            orphan->len = bytes.len;
            tg_list_init(&orphan->node);
            tg_list_append(&orphans->rows, &orphan->node);
            orphans->count++;
        }
    }
    tg_buf_free(&row);
}

void tg_orphans_free(struct tg_orphans *orphans)
{
    struct tg_list *node;
    if (orphans == NULL) {
        return;
    }
    if (orphans->restoring != NULL) {
        orphans->restoring->orphans = NULL;
    }
    if (orphans->settling != NULL) {
        tg_timer_stop(&orphans->settling->timer);
        if (orphans->settling->asked == 0) {
            free(orphans->settling);
        } else {
            orphans->settling->orphans = NULL;
        }
    }
    while ((node = tg_list_pop(&orphans->rows)) != NULL) {
        free(TG_CONTAINER(node, struct orphan, node));
    }
    tg_map_free(&orphans->known, NULL);
    tg_list_remove(&orphans->node);
    free(orphans);
}

void tg_orphans_free_all(struct tg_list *list)
{
    while (!tg_list_empty(list)) {
        tg_orphans_free(TG_CONTAINER(list->next, struct tg_orphans, node));
    }
}

/* ---- bringing what Redis has in line with them ---- */

static void settle_next(struct settling *settling);

static void end(struct restoring *restoring, bool done)
{
    struct tg_orphans *orphans = restoring->orphans;
    if (orphans != NULL) {
        orphans->restoring = NULL;
    }
    if (done) {
        tg_orphans_free(orphans); /* else all of them once more */
    } else if (orphans != NULL && orphans->settling != NULL) {
        settle_next(orphans->settling);
    }
    restoring->done(restoring->arg, restoring->node, done);
    free(restoring);
}

static void next_batch(struct restoring *restoring);

static void on_written(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct restoring *restoring = arg;
    if (err != TG_OK || tg_redis_reply_integer(reply) != 1 || restoring->orphans == NULL) {
        end(restoring, false);
    } else {
        next_batch(restoring);
    }
}

static void next_batch(struct restoring *restoring)
{
    struct tg_cluster_key claim = tg_cluster_key(restoring->cluster, restoring->node, "claim"),
                          rows = tg_cluster_worker_key(restoring->cluster, restoring->node, restoring->worker,
                                                       "rows");
    const struct tg_slice keys[] = {tg_cluster_key_slice(&claim), tg_cluster_key_slice(&rows)};
    struct tg_slice args[ARGS_MAX];
    size_t count = 0;
    args[count++] = tg_slice_make(restoring->token, TG_TOKEN_LEN);
    while (!restoring->late && restoring->last->next != &restoring->orphans->rows && count < ARGS_MAX) {
        restoring->last = restoring->last->next;
        const struct orphan *orphan = TG_CONTAINER(restoring->last, struct orphan, node);
        args[count++] = tg_slice_make(orphan->id, sizeof orphan->id);
        args[count++] = tg_slice_make(orphan->row, orphan->len);
    }
    if (count == 1) {
        end(restoring, true);
    } else if (tg_uplink_script(restoring->link, TG_SCRIPT_PUT, keys, 2, args, count, on_written,
                                restoring) != TG_OK) {
        end(restoring, false);
    }
}

/* Rows that came back with an older state of Redis: of those this process has told, or is about to. */
static void on_stale_removed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct restoring *restoring = arg;
    restoring->failed = restoring->failed || err != TG_OK || tg_redis_reply_integer(reply) != 1;
    if (--restoring->removing > 0) {
        return;
    }
    if (restoring->failed || restoring->orphans == NULL) {
        end(restoring, false);
    } else {
        next_batch(restoring);
    }
}

static void remove_stale(struct restoring *restoring, const struct tg_slice *ids, size_t count)
{
    struct tg_cluster_key claim = tg_cluster_key(restoring->cluster, restoring->node, "claim"),
                          rows = tg_cluster_worker_key(restoring->cluster, restoring->node, restoring->worker,
                                                       "rows");
    const struct tg_slice keys[] = {tg_cluster_key_slice(&claim), tg_cluster_key_slice(&rows)};
    struct tg_slice args[1 + BATCH];
    args[0] = tg_slice_make(restoring->token, TG_TOKEN_LEN);
    memcpy(args + 1, ids, count * sizeof ids[0]);
    enum tg_err err = tg_uplink_script(restoring->link, TG_SCRIPT_REMOVE, keys, 2, args, 1 + count,
                                       on_stale_removed, restoring);
    restoring->removing += err == TG_OK;
    restoring->failed = restoring->failed || err != TG_OK;
}

static void on_there(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct restoring *restoring = arg;
    struct tg_slice stale[BATCH];
    size_t count = 0, total = err == TG_OK ? tg_redis_reply_count(reply) : 0;
    if (err != TG_OK || restoring->orphans == NULL) {
        end(restoring, false);
        return;
    }
    for (size_t i = 0; i < total; i++) {
        struct tg_slice id = tg_redis_reply_text(tg_redis_reply_at(reply, i));
        if (tg_map_get(&restoring->orphans->known, id) == NULL) {
            stale[count++] = id;
        }
        if (count == BATCH || (i + 1 == total && count > 0)) {
            remove_stale(restoring, stale, count);
            count = 0;
        }
    }
    if (restoring->removing == 0 && restoring->failed) {
        end(restoring, false);
    } else if (restoring->removing == 0) {
        next_batch(restoring);
    }
}

void tg_orphans_restore(struct tg_orphans *orphans, struct tg_cluster *cluster, struct tg_uplink *link,
                        uint32_t node, uint32_t worker, const char *token, bool late,
                        tg_registry_restored_fn *done, void *arg)
{
    struct restoring *restoring = orphans != NULL ? calloc(1, sizeof *restoring) : NULL;
    if (restoring == NULL || orphans->restoring != NULL) {
        free(restoring);
        done(arg, node, orphans == NULL);
        return;
    }
    restoring->orphans = orphans;
    restoring->cluster = cluster;
    restoring->link = link;
    restoring->last = &orphans->rows;
    restoring->node = node;
    restoring->worker = worker;
    restoring->late = late;
    memcpy(restoring->token, token, TG_TOKEN_LEN);
    restoring->done = done;
    restoring->arg = arg;
    orphans->restoring = restoring;
    struct tg_cluster_key rows = tg_cluster_worker_key(cluster, node, worker, "rows");
    const struct tg_slice words[] = {TG_LIT("HKEYS"), tg_cluster_key_slice(&rows)};
    if (tg_uplink_command(link, words, 2, on_there, restoring) != TG_OK) {
        end(restoring, false);
    }
}

/* ---- what another node could not know of ---- */

static void inherit(const struct settling *settling, const struct orphan *orphan)
{
    char id[TG_CONNID_LEN + 1] = "";
    struct tg_conn_info info;
    struct tg_arena arena;
    memcpy(id, orphan->id, TG_CONNID_LEN);
    tg_arena_init(&arena, NULL);
    if (tg_wire_read_row(&arena, tg_slice_make(orphan->row, orphan->len), &info) == TG_OK) {
        settling->heir.issue(settling->heir.arg, id, &info);
    }
    tg_arena_reset(&arena);
}

static void on_told(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct settling *settling = arg;
    size_t count = settling->asked;
    settling->asked = 0;
    if (settling->orphans == NULL) {
        free(settling);
        return;
    }
    if (err != TG_OK || tg_redis_reply_count(reply) != count) {
        tg_timer_start(settling->loop, &settling->timer, AGAIN_MS);
        return;
    }
    if (tg_loop_boot_ms() >= settling->known_until_ms) {
        tg_orphans_free(settling->orphans); /* whom the others have told of is not known any more */
        return;
    }
    struct tg_list *node = NULL;
    for (size_t i = 0; i < count && (node = tg_list_pop(&settling->orphans->rows)) != NULL; i++) {
        struct orphan *orphan = TG_CONTAINER(node, struct orphan, node);
        settling->orphans->count--;
        if (tg_redis_reply_type(tg_redis_reply_at(reply, i)) == TG_REDIS_NIL) {
            inherit(settling, orphan);
        }
        free(orphan);
    }
    settle_next(settling);
}

/* As many as there is room for. */
static void settle_next(struct settling *settling)
{
    struct tg_orphans *orphans = settling->orphans;
    struct tg_cluster_key told = tg_cluster_key(settling->cluster, orphans->number, "told");
    struct tg_slice words[2 + BATCH] = {TG_LIT("HMGET"), tg_cluster_key_slice(&told)};
    size_t count = 0, room = settling->heir.room(settling->heir.arg);
    if (tg_list_empty(&orphans->rows)) {
        tg_orphans_free(orphans);
        return;
    }
    for (struct tg_list *node = orphans->rows.next; node != &orphans->rows && count < BATCH && count < room;
         node = node->next) {
        words[2 + count++] = tg_slice_make(TG_CONTAINER(node, struct orphan, node)->id, TG_CONNID_LEN);
    }
    if (count > 0 && tg_uplink_command(settling->link, words, 2 + count, on_told, settling) == TG_OK) {
        settling->asked = count;
    } else {
        tg_timer_start(settling->loop, &settling->timer, AGAIN_MS);
    }
}

static void on_settle_timer(struct tg_timer *timer)
{
    settle_next(TG_CONTAINER(timer, struct settling, timer));
}

void tg_orphans_settle(struct tg_orphans *orphans, struct tg_cluster *cluster, struct tg_loop *loop,
                       struct tg_uplink *link, uint64_t known_until_ms, const struct tg_registry_heir *heir)
{
    struct settling *settling =
        orphans != NULL && orphans->settling == NULL ? calloc(1, sizeof *settling) : NULL;
    if (settling != NULL) {
        settling->orphans = orphans;
        settling->cluster = cluster;
        settling->loop = loop;
        settling->link = link;
        settling->heir = *heir;
        settling->known_until_ms = known_until_ms;
        tg_timer_init(&settling->timer, on_settle_timer);
        orphans->settling = settling;
        if (orphans->restoring == NULL) {
            settle_next(settling);
        }
    }
}
