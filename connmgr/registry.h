/* Where connection ids are remembered beyond the worker that holds the socket: an operation table, `memory`
 * for one node (registry_memory.c), `redis` for many (registry_redis.c). A row holds what a survivor needs to
 * write the connection's $disconnect event. No caller knows which is active. One a worker. */
#ifndef TG_CONNMGR_REGISTRY_H
#define TG_CONNMGR_REGISTRY_H

#include "connmgr/conn.h"

struct tg_registry;

/* A connection that has ended, and whose $disconnect has not gone out: until then its row stays, for a
 * survivor. Embedded in the event that waits. */
struct tg_leaver {
    struct tg_list node; /* of those that wait for their turn; from `remove` until `removed` the registry's */
    char connection_id[TG_CONNID_LEN + 1];
    const struct tg_conn_info *info; /* borrowed; NULL: nobody is to be told, the row alone has to go */
    /* The answer to `remove`, once, never from inside it, from inside `free` at the latest. ours: the row has
     * gone, and the event is this node's to issue; else another issues it, or this one when it has dealt with
     * the number that it lost. */
    void (*removed)(struct tg_leaver *leaver, bool ours);
    struct tg_registry *registry; /* from here on the registry's */
    struct tg_connid id;
    bool asking; /* a removal is under way */
};

enum tg_removal { TG_REMOVAL_OURS, TG_REMOVAL_LEFT, TG_REMOVAL_ASKED };

struct tg_registry_ops {
    /* Before the client learns that it is connected. Fire and forget: what can be sent is on its way when
     * this returns, else the registry keeps trying by itself, and the connection serves meanwhile. */
    void (*put)(struct tg_registry *registry, const char *connection_id, const struct tg_conn_info *info);
    /* The connection has ended and its $disconnect is about to be issued: whose is it, at once, or ASKED:
     * `removed` follows, and the leaver stays until then. That may take as long as the node holds its number
     * without reaching the registry. NULL: there are no rows, each event is this node's. */
    enum tg_removal (*remove)(struct tg_registry *registry, struct tg_leaver *leaver);
    /* Its row has gone, and its call goes out now, if this says true: the node holds its number still. Else
     * the event is issued when that has been dealt with. NULL as `remove`. */
    bool (*may_tell)(struct tg_registry *registry, const char *connection_id,
                     const struct tg_conn_info *info);
    void (*free)(struct tg_registry *registry);
};

struct tg_registry {
    const struct tg_registry_ops *ops;
};

enum tg_err tg_registry_memory_new(struct tg_registry **out) TG_MUST_CHECK;

struct tg_cluster;
struct tg_uplink;
/* The link outlives the registry, but is closed before. mgr has the connections whose rows it keeps, waiting
 * the struct tg_leaver whose turn has not come. */
enum tg_err tg_registry_redis_new(struct tg_cluster *cluster, struct tg_uplink *link,
                                  const struct tg_connmgr_options *identity, struct tg_connmgr *mgr,
                                  const struct tg_list *waiting, struct tg_registry **out) TG_MUST_CHECK;
/* The node has this number, by this token, from now on; 0: none. token: TG_TOKEN_LEN characters. */
void tg_registry_redis_renumber(struct tg_registry *base, uint32_t node, const char *token);
/* The number changed because the lease was lost: what was connected then, and what had ended and not been
 * told of, is kept as orphans, for the case that Redis has forgotten it when it is back, or remembers more.
 * Brings the rows of the old number in line with them, under the claim of this token; calls back once,
 * perhaps from inside: only then the node can be taken over. late: another node may have told of them, and
 * Redis have forgotten that; only rows that are too much go. */
typedef void tg_registry_restored_fn(void *arg, uint32_t node, bool done);
void tg_registry_redis_restore(struct tg_registry *base, uint32_t node, const char *token, bool late,
                               tg_registry_restored_fn *done, void *arg);
/* Who issues $disconnects that no other node can know of. */
struct tg_registry_heir {
    size_t (*room)(void *arg); /* how many may be issued now */
    void (*issue)(void *arg, const char *connection_id, const struct tg_conn_info *info); /* borrowed */
    void *arg;
};
/* Another node has dealt with the orphans of this number, as far as it knew of them: the heir gets the
 * others, later or from inside, as long as Redis knows who they are: until then by tg_loop_boot_ms. */
void tg_registry_redis_settle(struct tg_registry *base, uint32_t node, uint64_t known_until_ms,
                              const struct tg_registry_heir *heir);
/* Connections of numbers that were lost, of which neither has been told here nor is it known that another
 * node knows of them. */
size_t tg_registry_redis_orphans(const struct tg_registry *base);
/* Redis has forgotten: all rows are written anew. */
void tg_registry_redis_rewrite(struct tg_registry *base);

#endif
