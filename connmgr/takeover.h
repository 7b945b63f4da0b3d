/* The end of another node's connections: reads the rows of a dead node that this node has claimed, has a
 * $disconnect issued for each, and marks the node as dealt with (docs/cluster.md). Right before an event's
 * call goes out Redis takes its row away and notes by whom: the event is that one's, whoever may have claimed
 * the node meanwhile, and where the answer is lost the question is asked again. The claim only shares out the
 * work: where another survivor may have taken it over, this one begins nothing more. One a dead node, on a
 * worker. */
#ifndef TG_CONNMGR_TAKEOVER_H
#define TG_CONNMGR_TAKEOVER_H

#include "connmgr/uplink.h"
#include "connmgr/wire.h"
#include "server/io/upstream.h"

struct tg_takeover;

struct tg_takeover_options {
    struct tg_cluster *cluster;
    struct tg_loop *loop;
    struct tg_log *log;
    struct tg_uplink *link;
    uint32_t worker;          /* this worker, for its counters */
    uint32_t node, rows;      /* the dead node, and how many workers it had */
    char token[TG_TOKEN_LEN]; /* of the claim */
    /* How many events may be issued now. */
    size_t (*room)(void *arg);
    /* For one connection; borrowed for the call, but what gate and over get. gate is asked once, right before
     * the back end is called, or when it will not be; refused: the event must not be. It mostly has to ask
     * Redis, and calls answer (NULL: nobody waits for it) later, unless over comes first. over follows when
     * the event has ended. Both may come from inside. */
    void (*issue)(void *arg, const char *connection_id, const struct tg_conn_info *info,
                  enum tg_leave (*gate)(void *event, tg_leave_fn *answer, void *answer_arg),
                  void (*over)(void *event), void *event);
    /* It is over, and freed: done, or left to somebody else. Last call. */
    void (*ended)(void *arg, struct tg_takeover *takeover, bool done);
    void *arg;
};

/* Begins at once; ended is called later. TG_ENOMEM. */
enum tg_err tg_takeover_new(const struct tg_takeover_options *options,
                            struct tg_takeover **out) TG_MUST_CHECK;
/* Without `ended`; no reply of Redis may be due: not before the link was closed, which ends every takeover
 * that waits for one. */
void tg_takeover_free(struct tg_takeover *takeover);
/* Events whose rows may have gone by this claim, as far as is known: nobody else would tell. */
size_t tg_takeover_unsure(const struct tg_takeover *takeover);
/* Leaves the rest to others; ended is called when all that was asked is known. */
void tg_takeover_stop(struct tg_takeover *takeover);

#endif
