/* A thread's way to the Redis of its cluster: commands, the scripts by name, and whoever
 * wants to know when it comes and goes. One a worker, and one for the main thread's membership. */
#ifndef TG_CONNMGR_UPLINK_H
#define TG_CONNMGR_UPLINK_H

#include "connmgr/cluster.h"
#include "connmgr/script.h"
#include "server/base/log.h"
#include "server/io/redis_inbox.h"

struct tg_uplink;

/* Embedded in whoever watches; both calls may be NULL. */
struct tg_uplink_watch {
    struct tg_list node;
    void (*on_up)(struct tg_uplink_watch *watch);
    void (*on_down)(struct tg_uplink_watch *watch);
};

enum { TG_UPLINK_MAIN = -1 }; /* no worker's */

/* worker: whose counters it writes. The resolver is the link's own. */
enum tg_err tg_uplink_new(struct tg_cluster *cluster, struct tg_loop *loop, struct tg_log *log, int worker,
                          struct tg_uplink **out) TG_MUST_CHECK;
/* Commands under way are answered with TG_ECLOSED from inside. Watches must be gone. NULL is allowed. */
void tg_uplink_free(struct tg_uplink *link);
/* Ends the connection before its watchers go: what is under way is answered; further commands get TG_ECLOSED.
 */
void tg_uplink_close(struct tg_uplink *link);
void tg_uplink_watch(struct tg_uplink *link, struct tg_uplink_watch *watch);
void tg_uplink_unwatch(struct tg_uplink_watch *watch);
/* Whether all of Redis takes commands; part of it may when not. */
bool tg_uplink_up(const struct tg_uplink *link);
const char *tg_uplink_problem(const struct tg_uplink *link);
/* What Redis, which can be reached, denied just now: words for a person; NULL: nothing. */
const char *tg_uplink_denied(const struct tg_uplink *link);

/* As tg_redis_command. The second word is the key; a command of one word goes where the index is. */
enum tg_err tg_uplink_command(struct tg_uplink *link, const struct tg_slice *words, size_t count,
                              tg_redis_reply_fn *done, void *arg) TG_MUST_CHECK;
/* As tg_redis_site_publish. */
enum tg_err tg_uplink_publish(struct tg_uplink *link, struct tg_slice channel, struct tg_slice payload,
                              tg_redis_reply_fn *done, void *arg) TG_MUST_CHECK;
/* As tg_redis_site_counts_part. */
bool tg_uplink_counts_part(const struct tg_uplink *link);
/* Runs a script by its digest; a server that does not know it gets its text. All keys lie where the first
 * does. As tg_redis_command. */
enum tg_err tg_uplink_script(struct tg_uplink *link, enum tg_script script, const struct tg_slice *keys,
                             size_t key_count, const struct tg_slice *args, size_t arg_count,
                             tg_redis_reply_fn *done, void *arg) TG_MUST_CHECK;
/* What was sent is with the kernel, as far as its socket takes it. */
void tg_uplink_flush(struct tg_uplink *link);
/* Ends before the link is freed. */
enum tg_err tg_uplink_open_inbox(struct tg_uplink *link, const struct tg_redis_inbox_events *events,
                                 void *arg, struct tg_redis_inbox **out) TG_MUST_CHECK;

#endif
