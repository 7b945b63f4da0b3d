/* The WebSocket engine behind connmgr/socket.h. It adopts the transport, plain or TLS, of a client whose
 * upgrade request was read and accepted by the front door, writes the 101, and from then on decodes frames
 * (server/io/wsframe.h), reassembles messages, checks limits and UTF-8, answers pings, does the close
 * handshake. What is sent arrives framed (connmgr frames it). One engine a worker. */
#ifndef TG_FRONT_WS_H
#define TG_FRONT_WS_H

#include "connmgr/socket.h"
#include "server/base/headers.h"
#include "server/io/transport.h"

struct tg_ws_engine;

/* Settings of one connection, taken over at adoption. */
struct tg_ws_limits {
    size_t max_frame;          /* payload bytes of one frame; more: close 1009 "Message too big" */
    size_t max_message;        /* payload bytes of a whole message, also when it is inflated; likewise */
    bool binary;               /* accept binary messages; else close 1003 "Binary is not supported" */
    bool deflate;              /* accept permessage-deflate when the client offers it */
    uint64_t close_timeout_ms; /* for the peer's close frame, and for the rest to be written */
};

enum tg_err tg_ws_engine_new(struct tg_loop *loop, struct tg_ws_engine **out) TG_MUST_CHECK;
/* Every socket must have been closed and on_closed delivered; those that still wait for their peer's end are
 * cut. */
void tg_ws_engine_free(struct tg_ws_engine *engine);

/* Takes over `transport`, which is open (always: it is closed on failure), and writes the 101 with `headers`
 * added (subprotocol and others; never Connection, Upgrade, Sec-WebSocket-Accept, Sec-WebSocket-Extensions).
 * `key` is the client's Sec-WebSocket-Key, `extensions` its Sec-WebSocket-Extensions (used with
 * limits->deflate), `early` the bytes that the client sent after its request. On TG_OK *out is open and the
 * 101 has been handed to the kernel or waits in front of everything else; events follow later, never from
 * inside this call. TG_EINVAL: no key, or a header that must not be written; TG_ELIMIT: the headers do not
 * fit (32 KB); TG_EIO: the socket has failed already; TG_ENOMEM. */
enum tg_err tg_ws_adopt(struct tg_ws_engine *engine, struct tg_transport *transport, struct tg_slice key,
                        struct tg_slice extensions, const struct tg_headers *headers, struct tg_slice early,
                        const struct tg_ws_limits *limits, const struct tg_socket_events *events, void *arg,
                        struct tg_socket **out) TG_MUST_CHECK;

extern const struct tg_socket_ops tg_ws_ops;

#endif
