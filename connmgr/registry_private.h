/* What the files of the Redis registry share; private to connmgr/registry_*.c. registry_redis.c holds single
 * rows and the number, registry_rewrite.c brings all rows in line, registry_leave.c takes away those of
 * connections that have ended.
 *
 * Of one row, one operation is under way at a time: a removal waits until every writing of its row has been
 * answered, and a row whose removal is under way is not written. So nothing depends on the order in which
 * commands reach Redis, which a Cluster can change when slots move. */
#ifndef TG_CONNMGR_REGISTRY_PRIVATE_H
#define TG_CONNMGR_REGISTRY_PRIVATE_H

#include "connmgr/orphans.h"
#include "connmgr/registry.h"
#include "connmgr/uplink.h"
#include "connmgr/wire.h"

enum {
    TG_ROW_MAX = 65536,
    TG_ROWS_BATCH = 128, /* rows, or ids to be deleted, in one command */
};

struct tg_redis_registry {
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
    struct tg_list orphans;        /* struct tg_orphans */
    const struct tg_list *waiting; /* struct tg_leaver, others' */
    struct tg_list leaving;        /* struct tg_leaver: to be removed, or being removed */
    size_t slots;
    uint32_t *writing; /* by slot: writings of its rows under way */
    bool blocked;      /* a leaver waits for one of them */
    bool dirty;        /* the rows are not known to be what they should be */
    uint64_t again_ms; /* when they are looked at once more after the link came up; 0: not */
    /* Bringing them in line: first what is there and should not be, then what should be. */
    bool rewriting;
    uint64_t rewrite; /* which one: an answer to another's command counts for nothing */
    struct tg_conn_handle *todo;
    size_t todo_count, todo_at;
    size_t batches;         /* under way */
    size_t missing;         /* rows, for the log */
    unsigned char *there;   /* only while todo is made: a bit a slot whose connection has its row */
    struct tg_map *leavers; /* likewise, by id */
};

/* What is to be written in one command. */
struct tg_row_batch {
    size_t count;
    struct tg_slice ids[TG_ROWS_BATCH];
    uint32_t slots[TG_ROWS_BATCH];
    size_t ends[TG_ROWS_BATCH]; /* of each row, in registry->rows */
};

typedef void tg_rows_written_fn(struct tg_redis_registry *registry, uint64_t rewrite, bool written);

struct tg_cluster_key tg_registry_rows_key(const struct tg_redis_registry *registry);
/* Whether the id is of the number that the node has, and holds by the clock itself: the process may have been
 * stopped since this pass of the loop began. */
bool tg_registry_held(const struct tg_redis_registry *registry, const struct tg_connid *id);
/* Those of a number that is lost, or is about to be: the lease may be over before this worker has been told.
 * NULL: they have been dealt with. */
struct tg_orphans *tg_registry_orphans_of(struct tg_redis_registry *registry, uint32_t node);
/* Begins an empty batch; adds a row to it. */
void tg_row_batch_begin(struct tg_redis_registry *registry, struct tg_row_batch *batch);
enum tg_err tg_row_batch_add(struct tg_redis_registry *registry, struct tg_row_batch *batch,
                             const char *connection_id, uint32_t slot,
                             const struct tg_conn_info *info) TG_MUST_CHECK;
/* Sends it; done is called later, with the given number. */
enum tg_err tg_row_batch_send(struct tg_redis_registry *registry, const struct tg_row_batch *batch,
                              uint64_t rewrite, tg_rows_written_fn *done) TG_MUST_CHECK;
/* Takes rows away, if the node holds the lease in Redis. */
enum tg_err tg_rows_remove(struct tg_redis_registry *registry, const struct tg_slice *ids, size_t count,
                           tg_redis_reply_fn *done, void *arg) TG_MUST_CHECK;

/* Something is left to be done, when Redis can be reached: looked at again after a pause. */
void tg_registry_try_later(struct tg_redis_registry *registry);
void tg_registry_mark_dirty(struct tg_redis_registry *registry);
void tg_registry_tell_clean(const struct tg_redis_registry *registry);

/* Once more when one is under way. */
void tg_registry_start_rewrite(struct tg_redis_registry *registry);
/* The number is another one: what the old one's commands say counts for nothing any more. */
void tg_registry_drop_rewrite(struct tg_redis_registry *registry);

enum tg_removal tg_registry_remove(struct tg_registry *base, struct tg_leaver *leaver);
bool tg_registry_may_tell(struct tg_registry *base, const char *connection_id,
                          const struct tg_conn_info *info);
/* Sends the removals that have not been sent; false: some are left. */
bool tg_registry_send_removals(struct tg_redis_registry *registry);
/* The number is lost: whoever has ended and was not told of is an orphan. */
void tg_registry_orphan_leavers(struct tg_redis_registry *registry);
/* The end. */
void tg_registry_drop_leavers(struct tg_redis_registry *registry);

#endif
