/* One HTTP request as routes see it: independent of the wire version, a header list and a body that is asked
 * for, whole or as it comes. Made by the front door (server/front/httpd.c; HTTP/2 would be another maker),
 * which hands it to tg_dispatch. It lives until the handler has called reply, end or upgrade, also when the
 * client goes away meanwhile; each of these may be called from any callback, and none follows. One worker's
 * thread. No callback is made from within a call of an operation. */
#ifndef TG_ROUTES_EXCHANGE_H
#define TG_ROUTES_EXCHANGE_H

#include "connmgr/socket.h"
#include "server/base/headers.h"

struct tg_exchange;
struct tg_peer_certificate; /* server/io/transport.h */

/* What a WebSocket is opened with once the handshake was accepted. */
struct tg_upgrade {
    struct tg_headers headers; /* added to the 101 */
    size_t max_frame, max_message;
    bool binary, deflate;
    uint64_t close_timeout_ms;
    const struct tg_socket_events *events;
    void *arg;
};

/* Who takes a body as it comes. */
struct tg_body_events {
    /* Decoded content, at least one byte, valid for the call and until the exchange ends. */
    void (*on_bytes)(void *arg, struct tg_slice bytes);
    /* Once, after the last bytes: TG_OK: the body is whole. Otherwise as read_body's. */
    void (*on_end)(void *arg, enum tg_err err);
};

struct tg_exchange_ops {
    /* Collects the body, at most `limit` bytes; done once, later. TG_ELIMIT: longer; TG_ETIMEOUT: it did not
     * come in time; TG_EPROTO: broken; TG_ECLOSED: it ends too early, or the client has gone (which on_abort
     * tells). After each of these an answer is still due; it is sent if there is a client, and the connection
     * ends with it. The body lives as long as the exchange. */
    void (*read_body)(struct tg_exchange *exchange, size_t limit,
                      void (*done)(void *arg, enum tg_err err, struct tg_slice body), void *arg);
    /* The whole body, if all of it has come and it is at most `limit` bytes: valid as long as the exchange,
     * which asks no more. False: read_body will tell. */
    bool (*body_at_hand)(struct tg_exchange *exchange, size_t limit, struct tg_slice *body);
    /* The body as it comes, instead of read_body; once, events follow later. What is not taken yet waits with
     * the client: memory is bounded by what one read brings. A client that expects 100-continue gets it now,
     * unless the answer has begun. `limit` 0: none. TG_ETIMEOUT: nothing came for the front door's time. */
    void (*take_body)(struct tg_exchange *exchange, uint64_t limit, const struct tg_body_events *events,
                      void *arg);
    /* Stops and resumes on_bytes, and on_end(TG_OK) behind it; failures are told at once. While held, the
     * body's time does not run. */
    void (*hold_body)(struct tg_exchange *exchange, bool hold);
    /* Answers whole. The front door adds Date, Content-Length, Connection; bytes are copied. Ends the
     * exchange: the pointer is dead afterwards. Nothing is sent when the client has gone. */
    void (*reply)(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
                  struct tg_slice body);
    /* As reply, with header fields as text, each ended by CR LF; the caller vouches that they can be written
     * and that none is Date, Content-Length, Connection or another framing field. */
    void (*reply_lines)(struct tg_exchange *exchange, int status, struct tg_slice lines,
                        struct tg_slice body);
    /* Begins an answer, of status 200 to 999, whose body follows by send: of `length` bytes, or -1: not known
     * (chunked, or until the close with HTTP/1.0). The front door adds Date, Connection and the framing. The
     * answer to a HEAD request and those of status 204 and 304 have no body: what is sent is dropped,
     * `length` is not looked at, and a Content-Length among the headers is kept, but with 204. May come
     * before the request's body has ended: what does not come before the end of the answer is discarded, or
     * the connection ends with the answer. What is sent until the end of this pass of the loop goes out in
     * one write with the head. TG_EINVAL (the status; a header cannot be written), TG_ENOMEM: reply, or
     * another start, is still due. TG_ECLOSED: the client has gone; end is still due. */
    enum tg_err (*start)(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
                         int64_t length);
    /* Bytes of the body; they are copied. TG_OK: taken whole, more may come. TG_EAGAIN: taken whole as well,
     * but the client is slow: no more before on_room. TG_ECLOSED: dropped, the client has gone (on_abort
     * tells). TG_ENOMEM, TG_ELIMIT (more than `length`): dropped, end with whole = false follows. A client
     * that takes nothing of what is queued for the front door's time is cut; one to whom nothing is sent may
     * wait for ever. */
    enum tg_err (*send)(struct tg_exchange *exchange, struct tg_slice bytes);
    /* Ends the exchange after start or tunnel: the pointer is dead. `whole` false, or fewer bytes than
     * `length`: the connection is cut so that the client can tell. */
    void (*end)(struct tg_exchange *exchange, bool whole);
    /* Answers 101 with these headers (Upgrade and Connection among them are the handler's) and turns the
     * connection into a tunnel: send goes out as it is, what the client sends, also early, comes to `events`
     * as it is (on_end: TG_OK when it half-closes, TG_ECLOSED when it is gone, which on_abort tells as well),
     * hold_body holds it, shut half-closes, end ends it: `whole` once all was written, else at once by a
     * reset. No time-outs run. Errors as of start; TG_EINVAL also with HTTP/1.0 and while a body of the
     * request is still to come. */
    enum tg_err (*tunnel)(struct tg_exchange *exchange, const struct tg_headers *headers,
                          const struct tg_body_events *events, void *arg);
    /* In a tunnel: no more will be sent (send says TG_ECLOSED); what the client sends still comes. */
    void (*shut)(struct tg_exchange *exchange);
    /* Turns the connection into a WebSocket. TG_OK: *socket is open, the exchange has ended. TG_ECLOSED: the
     * client has gone; TG_EIO, TG_ENOMEM: reply is still due. */
    enum tg_err (*upgrade)(struct tg_exchange *exchange, const struct tg_upgrade *upgrade,
                           struct tg_socket **socket, const struct tg_socket_ops **ops);
};

struct tg_exchange {
    const struct tg_exchange_ops *ops;
    struct tg_arena *arena; /* dies with the exchange */
    struct tg_slice method;
    struct tg_slice target; /* as on the wire */
    struct tg_slice path;   /* as on the wire, without the query */
    struct tg_slice query;  /* without '?'; NULL pointer: no '?' */
    struct tg_slice host;   /* as the client sent it, port included */
    struct tg_headers headers;
    int minor;              /* HTTP/1.x as the client spoke it */
    bool has_body;          /* a body follows, perhaps empty */
    int64_t content_length; /* of the body, -1: not known beforehand; 0 without one */
    struct tg_slice source_ip;
    uint16_t port;                          /* of the listener, 0 for a unix socket */
    bool secure;                            /* came over TLS */
    const struct tg_peer_certificate *peer; /* which the client has shown there; NULL: none */
    bool can_upgrade;                       /* the wire version knows upgrades: HTTP/1.1 */
    int64_t received_ms;                    /* wall clock */
    /* The handler's: told once when the client goes away before the end; reply, or end, is still due. May be
     * NULL. */
    void (*on_abort)(void *arg);
    void *abort_arg;
    /* The handler's: a client that closes its side behind its last request counts as gone. Most that do have
     * closed both, which shows only in writing to them; set while the answer may take long to come. */
    bool half_close_is_gone;
    /* The handler's: after send said TG_EAGAIN there is room again. May be NULL without start. */
    void (*on_room)(void *arg);
    void *room_arg;
};

/* The value of the first field of that name; a NULL pointer when there is none. */
static inline struct tg_slice tg_exchange_header(const struct tg_exchange *exchange, struct tg_slice name)
{
    const struct tg_header *field = tg_headers_first(&exchange->headers, name);
    return field != NULL ? field->value : TG_EMPTY;
}

#endif
