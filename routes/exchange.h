/* One HTTP request as routes see it: independent of the wire version, a header list and a body that is asked
 * for. Made by the front door (server/front/httpd.c; HTTP/2 would be another maker), which hands it to
 * tg_dispatch. It lives until the handler has called reply (or end) or upgrade, also when the client goes
 * away meanwhile. One worker's thread. */
#ifndef TG_ROUTES_EXCHANGE_H
#define TG_ROUTES_EXCHANGE_H

#include "connmgr/socket.h"
#include "server/base/headers.h"

struct tg_exchange;

/* What a WebSocket is opened with once the handshake was accepted. */
struct tg_upgrade {
    struct tg_headers headers; /* added to the 101 */
    size_t max_frame, max_message;
    bool binary, deflate;
    uint64_t close_timeout_ms;
    const struct tg_socket_events *events;
    void *arg;
};

struct tg_exchange_ops {
    /* Collects the body, at most `limit` bytes; done once, later. TG_ELIMIT: longer (a reply may follow; the
     * rest is not read), TG_ETIMEOUT, TG_ECLOSED, TG_EPROTO: the exchange was answered or ended by the front
     * door, reply is still due and is dropped. The body lives as long as the exchange. */
    void (*read_body)(struct tg_exchange *exchange, size_t limit,
                      void (*done)(void *arg, enum tg_err err, struct tg_slice body), void *arg);
    /* Answers whole. The front door adds Date, Content-Length, Connection; bytes are copied. Ends the
     * exchange: the pointer is dead afterwards. Nothing is sent when the client has gone. */
    void (*reply)(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
                  struct tg_slice body);
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
    struct tg_slice source_ip;
    uint16_t port;       /* of the listener, 0 for a unix socket */
    bool secure;         /* came over TLS */
    bool can_upgrade;    /* the wire version knows upgrades: HTTP/1.1 */
    int64_t received_ms; /* wall clock */
    /* The handler's: told once when the client goes away before the end; reply is still due. May be NULL. */
    void (*on_abort)(void *arg);
    void *abort_arg;
};

/* The value of the first field of that name; a NULL pointer when there is none. */
static inline struct tg_slice tg_exchange_header(const struct tg_exchange *exchange, struct tg_slice name)
{
    const struct tg_header *field = tg_headers_first(&exchange->headers, name);
    return field != NULL ? field->value : TG_EMPTY;
}

#endif
