/* Where connection ids are remembered beyond the worker that holds the socket: an operation table, `memory`
 * for one node (registry_memory.c), `redis` to come. A row holds what a survivor needs to write the
 * connection's $disconnect event. No caller knows which is active. One a worker. */
#ifndef TG_CONNMGR_REGISTRY_H
#define TG_CONNMGR_REGISTRY_H

#include "connmgr/conn.h"

struct tg_registry;

enum tg_node_state { TG_NODE_ALIVE, TG_NODE_DEAD, TG_NODE_UNKNOWN };

struct tg_registry_ops {
    /* Fire and forget: the registry keeps trying by itself; the connection serves meanwhile. */
    void (*put)(struct tg_registry *registry, const char *connection_id, const struct tg_conn_info *info);
    void (*remove)(struct tg_registry *registry, const char *connection_id);
    enum tg_node_state (*node_state)(struct tg_registry *registry, uint32_t node);
    /* Whether this node may call itself ready. */
    bool (*ready)(const struct tg_registry *registry);
    void (*free)(struct tg_registry *registry);
};

struct tg_registry {
    const struct tg_registry_ops *ops;
};

enum tg_err tg_registry_memory_new(uint32_t node, struct tg_registry **out) TG_MUST_CHECK;

#endif
