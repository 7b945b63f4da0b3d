/* Where connection ids are remembered beyond the worker that holds the socket: an operation table, `memory`
 * for one node (registry_memory.c), `redis` for many (registry_redis.c). A row holds what a survivor needs to
 * write the connection's $disconnect event. No caller knows which is active. One a worker. */
#ifndef TG_CONNMGR_REGISTRY_H
#define TG_CONNMGR_REGISTRY_H

#include "connmgr/conn.h"

struct tg_registry;

struct tg_registry_ops {
    /* Before the client learns that it is connected. Fire and forget: what can be sent is on its way when
     * this returns, else the registry keeps trying by itself, and the connection serves meanwhile. */
    void (*put)(struct tg_registry *registry, const char *connection_id, const struct tg_conn_info *info);
    /* The connection has ended and its $disconnect is about to be issued: true when that is this node's to
     * do, and then the row goes; false when another node has taken it upon itself, or will. */
    bool (*remove)(struct tg_registry *registry, const char *connection_id, const struct tg_conn_info *info);
    void (*free)(struct tg_registry *registry);
};

struct tg_registry {
    const struct tg_registry_ops *ops;
};

enum tg_err tg_registry_memory_new(struct tg_registry **out) TG_MUST_CHECK;

struct tg_cluster;
struct tg_uplink;
/* The link outlives the registry, but is closed before. mgr has the connections whose rows it keeps. */
enum tg_err tg_registry_redis_new(struct tg_cluster *cluster, struct tg_uplink *link,
                                  const struct tg_connmgr_options *identity, struct tg_connmgr *mgr,
                                  struct tg_registry **out) TG_MUST_CHECK;
/* The node has this number, by this token, from now on; 0: none. token: TG_TOKEN_LEN characters. */
void tg_registry_redis_renumber(struct tg_registry *base, uint32_t node, const char *token);
/* The number changed because the lease was lost: what was connected then is kept as orphans, for the case
 * that Redis has forgotten it when it is back. Writes them again, as rows of the old number, under the claim
 * of this token; calls back once, perhaps from inside: only then the node can be taken over. */
typedef void tg_registry_restored_fn(void *arg, uint32_t node, bool done);
void tg_registry_redis_restore(struct tg_registry *base, uint32_t node, const char *token,
                               tg_registry_restored_fn *done, void *arg);
/* Who issues $disconnects that no other node can know of. */
struct tg_registry_heir {
    size_t (*room)(void *arg); /* how many may be issued now */
    void (*issue)(void *arg, const char *connection_id, const struct tg_conn_info *info); /* borrowed */
    void *arg;
};
/* Another node has dealt with the orphans of this number, as far as it knew of them: the heir gets the
 * others, later or from inside. */
void tg_registry_redis_settle(struct tg_registry *base, uint32_t node, const struct tg_registry_heir *heir);
/* Redis has forgotten: all rows are written anew. */
void tg_registry_redis_rewrite(struct tg_registry *base);

#endif
