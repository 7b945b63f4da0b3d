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

struct tg_call_request {
    struct tg_origin origin;
    struct tg_slice method;
    struct tg_slice target; /* path and query, as on the wire */
    struct tg_headers
        headers; /* Host included; Content-Length, Transfer-Encoding and Connection are the client's */
    struct tg_slice body; /* whole body, unless stream_body */
    bool stream_body;     /* the body follows by tg_call_send, chunked, or framed when body_length >= 0 */
    int64_t body_length;  /* with stream_body: its length, or -1 */
    uint64_t timeout_ms;  /* from start to the end of the response; 0: none */
    size_t max_body;      /* response body limit for tg_upstream_fetch, bytes */
    bool replayable;      /* may be sent again when a kept connection turns out closed before any byte of an
                             answer came: idempotent methods, and whatever the caller vouches for. A call that
                             fails before its first byte was written is tried again in any case. */
};

/* Events of a streamed call, in this order: head, body*, end. Borrowed for the call. After end nothing
 * follows. */
struct tg_call_events {
    void (*on_head)(void *arg, int status, const struct tg_headers *headers);
    void (*on_body)(void *arg, struct tg_slice bytes);
    /* TG_OK; TG_EREFUSED, TG_EDNS, TG_ETLS, TG_ETIMEOUT, TG_EPROTO (answer unreadable), TG_ECLOSED (cut
     * short), TG_EIO, TG_EBUSY, TG_ELIMIT, TG_ENOMEM */
    void (*on_end)(void *arg, enum tg_err err);
    /* After tg_call_send said TG_EAGAIN: room again. May be NULL without stream_body. */
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
/* Stops and resumes on_body: back-pressure to the back end. */
void tg_call_pause(struct tg_call *call, bool paused);
/* Body bytes of a streamed request, taken whole (buffered) or TG_EAGAIN when the buffer is full (nothing
 * taken). TG_ELIMIT: more than body_length; TG_EINVAL: finished already, or (finish) less than body_length.
 */
enum tg_err tg_call_send(struct tg_call *call, struct tg_slice bytes) TG_MUST_CHECK;
enum tg_err tg_call_finish(struct tg_call *call) TG_MUST_CHECK;
/* No event follows; the connection is closed unless it was unused. */
void tg_call_cancel(struct tg_call *call);

/* The call with its answer collected into the arena: for events and authorisers. */
enum tg_err tg_upstream_fetch(struct tg_upstream *upstream, const struct tg_call_request *request,
                              struct tg_arena *arena, tg_fetched_fn *done, void *arg,
                              struct tg_call **out) TG_MUST_CHECK;

#endif
