/* Connections of a number that this node has lost, kept as rows until it is known who issues their
 * $disconnects (docs/cluster.md): where Redis has forgotten them meanwhile, they are written again under the
 * claim of the lost number, and what it remembers of others goes; where another node has dealt with them, and
 * never knew of some, those are told of here. One a lost number and worker; private to the Redis registry. */
#ifndef TG_CONNMGR_ORPHANS_H
#define TG_CONNMGR_ORPHANS_H

#include "connmgr/uplink.h"
#include "connmgr/registry.h"

struct tg_orphans;

/* A set, in the list. NULL: no memory, and what would have been in it is lost with Redis's own memory. */
struct tg_orphans *tg_orphans_new(struct tg_list *list, uint32_t number);
struct tg_orphans *tg_orphans_find(const struct tg_list *list, uint32_t number);
/* How many are in all of the list's sets. */
size_t tg_orphans_count(const struct tg_list *list);
/* orphans may be NULL: nothing happens, in all of these. */
void tg_orphans_add(struct tg_orphans *orphans, const char *connection_id, const struct tg_conn_info *info);
void tg_orphans_free(struct tg_orphans *orphans);
/* After the link was closed. */
void tg_orphans_free_all(struct tg_list *list);
/* Calls back once, perhaps from inside; the set goes when all is written, and stays where that failed. late:
 * nothing is written. */
void tg_orphans_restore(struct tg_orphans *orphans, struct tg_cluster *cluster, struct tg_uplink *link,
                        uint32_t node, uint32_t worker, const char *token, bool late,
                        tg_registry_restored_fn *done, void *arg);
/* Another node has dealt with the number: the heir gets those that it has not told of, and the set goes.
 * Where Redis does not say who they are by known_until_ms (tg_loop_boot_ms), nobody is told. */
void tg_orphans_settle(struct tg_orphans *orphans, struct tg_cluster *cluster, struct tg_loop *loop,
                       struct tg_uplink *link, uint64_t known_until_ms, const struct tg_registry_heir *heir);

#endif
