/* What the files of a worker's pushes share; private to connmgr/push.c (one connection) and batch.c (many).
 */
#ifndef TG_CONNMGR_PUSH_PRIVATE_H
#define TG_CONNMGR_PUSH_PRIVATE_H

#include "connmgr/push.h"

enum {
    TG_PUSH_BUCKETS = 1024,
    TG_PUSH_ANSWER_MS = 2000 /* longer than the owner may take: so long is its answer waited for */
};

struct tg_push {
    struct tg_connmgr *mgr;
    struct tg_loop *loop;
    struct tg_log *log;
    struct tg_bus_port *port; /* NULL: there is no other worker */
    struct tg_bus_address self;
    struct tg_connid_reader ids;
    uint64_t last_correlation; /* of questions, to one or many */
    struct tg_list serving;    /* tg_push_op whose frame waits in a send queue here */
    struct tg_list finished;   /* tg_push_op whose callback is due */
    struct tg_task report;
    struct tg_list asked[TG_PUSH_BUCKETS]; /* tg_push_op that wait for an answer, by correlation */
    /* batch_serve.c: struct tg_serving, by what is next: to be written, or only frames in send queues. */
    struct tg_list batches_writing, batches_waiting;
    struct tg_task write_batches;
    struct tg_list batches_asked; /* batch.c: parts that wait for another worker's answer */
};

static inline bool tg_push_is_own(const struct tg_push *push, const struct tg_connid *id)
{
    return id->node == push->self.node && id->worker == push->self.worker;
}

static inline struct tg_conn_handle tg_push_handle_of(const struct tg_connid *id)
{
    return (struct tg_conn_handle){.slot = id->slot, .generation = id->generation};
}

static inline enum tg_push_outcome tg_push_outcome_of(enum tg_err err)
{
    return err == TG_OK        ? TG_PUSH_DONE
           : err == TG_EBUSY   ? TG_PUSH_BUSY
           : err == TG_ECLOSED ? TG_PUSH_GONE
                               : TG_PUSH_FAILED;
}

/* An answer to another worker, copied; what goes wrong is in the log. */
void tg_push_send_answer(struct tg_push *push, const struct tg_envelope *model);

/* ---- batch.c, for push.c ---- */

void tg_batch_prepare(struct tg_push *push);
/* A question, or an answer to one of ours, about many connections. Borrowed. */
void tg_batch_take(struct tg_push *push, const struct tg_envelope *envelope);
/* Gives up what other workers asked for: they learn it by their clocks. */
void tg_batch_give_up(struct tg_push *push);

#endif
