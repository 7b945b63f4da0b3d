/* What a worker knows of the other nodes: asks Redis whether one is dead, which the cluster
 * then remembers. A node is dead when a survivor has claimed it, or when nothing is left of it
 * in a Redis that has been seen without a gap for a whole lease. */
#ifndef TG_CONNMGR_PEERS_H
#define TG_CONNMGR_PEERS_H

#include "connmgr/uplink.h"

enum tg_node_state { TG_NODE_ALIVE, TG_NODE_DEAD, TG_NODE_UNKNOWN };

struct tg_peers;

typedef void tg_peers_fn(void *arg, enum tg_node_state state);

/* The link is borrowed. */
enum tg_err tg_peers_new(struct tg_cluster *cluster, struct tg_loop *loop, struct tg_uplink *link,
                         struct tg_peers **out) TG_MUST_CHECK;
/* After the link was closed: no question is under way. NULL is allowed. */
void tg_peers_free(struct tg_peers *peers);
/* This node's own number, for a look at whether Redis still knows it. */
void tg_peers_renumber(struct tg_peers *peers, uint32_t own);
/* Calls back exactly once, later; TG_NODE_UNKNOWN when Redis does not say. done may be NULL. At once:
 * TG_ECLOSED, TG_EBUSY, TG_ENOMEM. */
enum tg_err tg_peers_ask(struct tg_peers *peers, uint32_t node, tg_peers_fn *done, void *arg) TG_MUST_CHECK;

#endif
