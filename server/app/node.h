/* The process as a node of a cluster, on the main thread: what it shares with its workers, its membership,
 * which it passes on to them, and whether it may call itself ready. Exists with a Redis registry only. */
#ifndef TG_APP_NODE_H
#define TG_APP_NODE_H

#include "connmgr/member.h"
#include "server/app/worker.h"

struct tg_node;

/* cluster: of the configuration; the caller frees it after the workers. */
enum tg_err tg_node_cluster(const struct tg_config *config, size_t workers,
                            struct tg_cluster **out) TG_MUST_CHECK;
/* Begins to join when the loop runs. workers: borrowed. */
enum tg_err tg_node_new(struct tg_cluster *cluster, struct tg_loop *loop, struct tg_log *log,
                        const struct tg_registry_settings *settings, struct tg_worker *const *workers,
                        size_t worker_count, struct tg_node **out) TG_MUST_CHECK;
/* After the workers have ended. NULL is allowed. */
void tg_node_free(struct tg_node *node);
/* Any thread, as struct tg_worker_options wants them; arg: struct tg_node **. */
void tg_node_on_taken_over(void *arg, uint32_t dead, bool done);
void tg_node_on_restored(void *arg, uint32_t former, bool done);
/* NULL: ready; else why not, without characters that JSON escapes. */
const char *tg_node_unready(struct tg_node *node);
/* The process drains: the dead are left to other nodes. Idempotent. */
void tg_node_stand_back(struct tg_node *node);
/* Gives the lease back, when no connection is left; until it has left, the workers go on, so that nodes that
 * ask for its connections are told that they are gone. */
void tg_node_begin_leave(struct tg_node *node);
bool tg_node_has_left(const struct tg_node *node);
/* The workers have ended: gives the lease back, as far as a short time allows, if that has not been done. */
void tg_node_leave(struct tg_node *node);
enum tg_err tg_node_metrics(const struct tg_node *node, struct tg_buf *out) TG_MUST_CHECK;

#endif
