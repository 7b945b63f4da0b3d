/* Operations on a connection by its id, wherever it lives (spec 5.1, 5.2; design section 5, "status tells the
 * truth"). One a worker. Calls between workers go through the bus with a correlation id and a deadline. */
#ifndef TG_CONNMGR_PUSH_H
#define TG_CONNMGR_PUSH_H

#include "connmgr/bus.h"
#include "connmgr/conn.h"

enum tg_push_verb { TG_PUSH_POST, TG_PUSH_GET, TG_PUSH_DELETE };

enum tg_push_outcome {
    TG_PUSH_DONE, /* POST: the socket has taken it; GET: info filled; DELETE: close begun */
    TG_PUSH_GONE, /* the owner says so: never opened, closing, closed, of another API, or of a dead node */
    TG_PUSH_BUSY, /* the client's queue is full, or the frame waited in it too long and was withdrawn */
    TG_PUSH_UNREACHABLE, /* the owner could not be asked, or did not answer in time: nobody knows */
    TG_PUSH_FAILED       /* out of memory */
};

struct tg_push_request {
    enum tg_push_verb verb;
    struct tg_slice connection_id; /* percent-decoded */
    struct tg_slice api_id;        /* another API's connection is gone for this one */
    struct tg_slice payload;       /* POST; valid UTF-8 unless binary */
    bool binary;
    uint64_t timeout_ms; /* POST: how long the frame may wait for the socket; an owner on another worker that
                            is silent is given up 2 s later */
    int close_code;      /* DELETE */
    struct tg_slice close_reason;
};

struct tg_push_info { /* GET */
    struct tg_slice source_ip, user_agent;
    int64_t connected_at_ms, last_active_ms;
};

struct tg_push; /* one worker's */
struct tg_push_op;
/* info: borrowed for the call, NULL but for a GET that is done. */
typedef void tg_pushed_fn(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info);

enum tg_err tg_push_new(struct tg_connmgr *mgr, struct tg_loop *loop, struct tg_bus *bus,
                        const struct tg_connmgr_options *identity, struct tg_push **out) TG_MUST_CHECK;
/* The node has this number from now on; 0: none. */
void tg_push_renumber(struct tg_push *push, uint32_t node);
/* As tg_bus_quit. */
bool tg_push_quit(struct tg_push *push);
/* Operations under way must have been cancelled. */
void tg_push_free(struct tg_push *push);
/* An operation on the connection may follow, some hundred instructions from now: has the processor fetch it,
 * if it is this worker's. Any text is allowed. */
void tg_push_expect(struct tg_push *push, struct tg_slice connection_id);
/* Whether this gateway (or one with the same key) can have made the id; needs no owner. TG_ESYNTAX otherwise.
 * An operation on it is expected to follow at once: its socket is fetched as by tg_push_expect. */
enum tg_err tg_push_check_id(struct tg_push *push, struct tg_slice connection_id) TG_MUST_CHECK;
/* What the id says, as tg_push_check_id; nothing is fetched. */
enum tg_err tg_push_read_id(struct tg_push *push, struct tg_slice connection_id,
                            struct tg_connid *out) TG_MUST_CHECK;
/* Calls back exactly once, later, unless cancelled. TG_ESYNTAX: not an id. Slices need not outlive the call.
 */
enum tg_err tg_push_start(struct tg_push *push, const struct tg_push_request *request, tg_pushed_fn *done,
                          void *arg, struct tg_push_op **out) TG_MUST_CHECK;
/* A POST to a connection of this worker, without waiting for its turn if that can be: its socket is open and
 * nothing is before it (or the connection is gone: TG_PUSH_GONE). False: nothing was done; tg_push_start it.
 */
struct tg_push_now {
    enum tg_push_outcome outcome; /* as far as it is known */
    struct tg_conn_handle to;
};
bool tg_push_now(struct tg_push *push, const struct tg_push_request *request, struct tg_push_now *out);
/* What became of them is known when the loop's sends have been flushed, by which several go out together. */
void tg_push_flush(struct tg_push *push);
enum tg_push_outcome tg_push_outcome_now(const struct tg_push *push, const struct tg_push_now *now);
/* The caller no longer waits. A frame in a send queue of this worker is withdrawn; another worker that was
 * asked does what it was asked. */
void tg_push_cancel(struct tg_push_op *op);

#endif
