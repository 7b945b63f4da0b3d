/* The HTTP/1.1 client for back ends: a pool of keep-alive connections per origin, one pool a worker. Requests
 * go out one at a time per connection (no pipelining); past max_connections they wait in a bounded queue per
 * origin. */
#ifndef TG_IO_UPSTREAM_H
#define TG_IO_UPSTREAM_H

#include "server/base/headers.h"
#include "server/base/log.h"
#include "server/io/resolver.h"
#include "server/io/transport.h"

struct tg_upstream;
struct tg_upstream_group; /* upstream_group.h */
struct tg_call;

struct tg_upstream_options {
    size_t max_connections;      /* per origin */
    size_t max_pending;          /* calls waiting per origin; more fail with TG_EBUSY */
    size_t max_idle;             /* idle connections kept per origin */
    uint64_t idle_timeout_ms;    /* an idle connection is closed after it */
    uint64_t connect_timeout_ms; /* name, TCP and TLS together */
    size_t max_head;             /* response head, bytes */
};

/* Where a call goes. The same fields mean the same pool. */
struct tg_origin {
    bool tls;
    struct tg_slice host;         /* name or address, without brackets; "unix:/path" for a unix socket */
    uint16_t port;                /* ignored for unix sockets */
    struct tg_slice server_name;  /* TLS name to send and verify; empty: host */
    struct tg_tls_context *trust; /* with tls; borrowed for the start of a call, the pool holds it then */
};

/* Whether a call may go out. */
enum tg_leave {
    TG_LEAVE_GIVEN,
    TG_LEAVE_REFUSED,
    TG_LEAVE_LATER /* not known yet */
};
/* The answer that was to come later. */
typedef void tg_leave_fn(void *arg, bool given);

struct tg_call_request {
    struct tg_origin origin;
    struct tg_upstream_group *group; /* not NULL: chooses the origin, and another when one fails */
    struct tg_slice method;
    struct tg_slice target; /* path and query, as on the wire */
    /* Host included. Content-Length, Transfer-Encoding, Connection, Expect, TE and Trailer are the client's
     * own, as is Upgrade without `upgrade`: those given here are left out. */
    struct tg_headers headers;
    struct tg_slice body; /* whole body, unless stream_body */
    bool announce_empty; /* Content-Length: 0 without a body whatever the method; else for POST, PUT and PATCH
                          */
    bool stream_body;    /* the body follows by tg_call_send, chunked, or framed when body_length >= 0 */
    int64_t body_length; /* with stream_body: its length, or -1 */
    /* Asks for a tunnel: the Upgrade field among the headers goes out, and `Connection: Upgrade` with it.
     * Without that field, or with stream_body: TG_EINVAL. See tg_call_events. */
    bool upgrade;
    uint64_t timeout_ms; /* from start to the end of the answer, whatever happens; 0: none. Not in a tunnel */
    /* To the head of the final answer (1xx are none), 0: none. Counts from the start (waiting for a
     * connection included) or from the last byte of the request that the back end's socket has taken, and
     * stands still while a streamed body waits for its sender: who sends slowly has to be timed by who feeds
     * us. */
    uint64_t head_timeout_ms;
    /* Behind the head: the longest time in which no byte comes, and none of a request or tunnel still being
     * sent goes; 0: none. Does not run during a pause. */
    uint64_t idle_timeout_ms;
    /* Asked once, right before the first byte goes to a connection, from inside the start too.
     * TG_LEAVE_REFUSED: it must not go any more, and the call ends with TG_EDENIED. TG_LEAVE_LATER: the call
     * keeps its connection and waits for tg_call_give_leave, within its times. NULL: it may. */
    enum tg_leave (*may_go)(void *arg, struct tg_call *call);
    void *may_go_arg;
    size_t max_body; /* response body limit for tg_upstream_fetch, bytes */
    bool replayable; /* may be sent again when a kept connection turns out closed before any byte of an
                        answer came: idempotent methods, and whatever the caller vouches for. A call that
                        fails before its first byte was written is tried again in any case. */
};

/* Events of a streamed call, in this order: head, body*, end. Borrowed for the call. With on_end the handle
 * is dead, and nothing follows.
 *
 * An answer may come before the streamed request was finished: it is reported at once, and what is sent goes
 * on to the back end until the answer has ended. The connection is not used again then. When the back end
 * stops reading, what is sent further is taken and dropped, and what it has said is read to its end.
 *
 * With `upgrade`, status 101 begins a tunnel: on_body brings the bytes that the back end sends, tg_call_send
 * takes those for it, tg_call_finish half-closes, on_end tells TG_OK when the back end closes, TG_ECLOSED
 * when it is cut. Any other status is an ordinary answer. */
struct tg_call_events {
    /* Interim answers are skipped (101 without `upgrade` is TG_EPROTO). Field lines as they were on the wire,
     * hop-by-hop ones included; the framing: tg_call_length. */
    void (*on_head)(void *arg, int status, const struct tg_headers *headers);
    /* Content, without framing; trailers are dropped. */
    void (*on_body)(void *arg, struct tg_slice bytes);
    /* TG_OK; TG_EREFUSED, TG_EDNS, TG_ETLS, TG_ETIMEOUT (any of the three; before on_head it was the head
     * that did not come), TG_EPROTO (answer unreadable), TG_ECLOSED (cut short), TG_EIO, TG_EBUSY, TG_ELIMIT,
     * TG_ENOMEM, TG_EDENIED (may_go) */
    void (*on_end)(void *arg, enum tg_err err);
    /* After tg_call_send said TG_EAGAIN: room again. May be NULL without stream_body and upgrade. */
    void (*on_drain)(void *arg);
};

struct tg_call_response {
    int status;
    struct tg_headers headers;
    struct tg_slice body;
};
/* response is NULL unless TG_OK; it lives in the arena that was given. */
typedef void tg_fetched_fn(void *arg, enum tg_err err, const struct tg_call_response *response);

enum tg_err tg_upstream_new(struct tg_loop *loop, struct tg_resolver *resolver, struct tg_log *log,
                            const struct tg_upstream_options *options,
                            struct tg_upstream **out) TG_MUST_CHECK;
/* Closes idle connections; calls under way must have been cancelled. */
void tg_upstream_free(struct tg_upstream *upstream);
/* Takes effect for new connections. */
void tg_upstream_configure(struct tg_upstream *upstream, const struct tg_upstream_options *options);

struct tg_upstream_stats {
    size_t connections, idle, pending; /* now, over all origins; idle ones are connections too */
    uint64_t calls;                    /* started */
    uint64_t opened, reused;           /* connections opened; calls served by a kept one */
    uint64_t replayed;                 /* calls sent again on a fresh connection */
    uint64_t rejected;                 /* calls that found the queue full */
    uint64_t connect_failures, timeouts;
};
void tg_upstream_stats(const struct tg_upstream *upstream, struct tg_upstream_stats *out);

/* Starts a call. Everything that `request` points to must live until the end or the cancel. At once, and then
 * without an event: TG_EBUSY (queue full), TG_EINVAL (a head that cannot be written; TLS without trust),
 * TG_ENOMEM. */
enum tg_err tg_upstream_call(struct tg_upstream *upstream, const struct tg_call_request *request,
                             const struct tg_call_events *events, void *arg,
                             struct tg_call **out) TG_MUST_CHECK;
/* From on_head on: the length that the answer's body has by its Content-Length (which with HEAD and 304 is
 * that of the body left out), 0 with 204, -1 when only its end will tell, and in a tunnel. */
int64_t tg_call_length(const struct tg_call *call);
/* The answer to may_go that was to come later; for a call that has not ended. Nobody is called from inside.
 */
void tg_call_give_leave(struct tg_call *call, bool given);
/* Stops and resumes on_body: back-pressure to the back end. What is held meanwhile is at most what one read
 * brought. */
void tg_call_pause(struct tg_call *call, bool paused);
/* Bytes of a streamed request or a tunnel, taken whole (buffered) or TG_EAGAIN when the buffer is full
 * (nothing taken). TG_ELIMIT: more than body_length; TG_EINVAL: finished already, no tunnel yet, or (finish)
 * less than body_length. */
enum tg_err tg_call_send(struct tg_call *call, struct tg_slice bytes) TG_MUST_CHECK;
enum tg_err tg_call_finish(struct tg_call *call) TG_MUST_CHECK;
/* No event follows; the connection is closed unless it was unused. */
void tg_call_cancel(struct tg_call *call);

/* The call with its answer collected into the arena: for events and authorisers. Not with `upgrade`. */
enum tg_err tg_upstream_fetch(struct tg_upstream *upstream, const struct tg_call_request *request,
                              struct tg_arena *arena, tg_fetched_fn *done, void *arg,
                              struct tg_call **out) TG_MUST_CHECK;

#endif
