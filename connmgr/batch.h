/* One message to many connections by their ids, wherever they live (spec 5.2, beyond the native service):
 * framed once for each owner, which is asked once for all of its connections. What is said of each is what a
 * push to it alone would have been told. Uses the worker's tg_push, before which no batch is left. */
#ifndef TG_CONNMGR_BATCH_H
#define TG_CONNMGR_BATCH_H

#include "connmgr/push.h"

enum { TG_BATCH_MAX = 10000 }; /* connections */

struct tg_batch_request {
    const struct tg_connid *ids; /* one that is named twice gets the message twice */
    size_t count;                /* 1 to TG_BATCH_MAX */
    struct tg_slice api_id;      /* another API's connections are gone for this one */
    struct tg_slice payload;     /* valid UTF-8 unless binary */
    bool binary;
    uint64_t timeout_ms; /* as tg_push_request's */
};

struct tg_batch; /* one under way */
/* outcomes: enum tg_push_outcome of each id, in their order; borrowed for the call. */
typedef void tg_batch_done_fn(void *arg, const unsigned char *outcomes);

/* Calls back exactly once, later, unless cancelled. Nothing of the request need outlive the call. TG_ENOMEM:
 * nothing was sent. */
enum tg_err tg_batch_start(struct tg_push *push, const struct tg_batch_request *request,
                           tg_batch_done_fn *done, void *arg, struct tg_batch **out) TG_MUST_CHECK;
/* The caller no longer waits. Frames that wait in send queues of this worker are withdrawn, those not yet
 * tried are not sent; another worker that was asked does what it was asked. */
void tg_batch_cancel(struct tg_batch *batch);

#endif
