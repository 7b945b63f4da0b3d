/* The WebSocket engine: libwebsockets on a worker's loop, behind connmgr/socket.h. It adopts a plain socket
 * whose upgrade request was read and accepted by the front door, writes the 101, and from then on reads
 * frames, reassembles messages, checks limits and UTF-8, answers pings, does the close handshake. What is
 * sent arrives framed (connmgr frames it). One engine a worker; create engines one after another (the library
 * is not ready for creating two at once), and after RLIMIT_NOFILE has its final value.
 *
 * What the library cannot do on Debian 12 and 13, and we cannot see past it: unmasked frames of a client are
 * taken (RFC 6455 section 5.1 wants 1002), lengths in more bytes than needed likewise; a peer's 1012, 1013
 * and 1014 read as 1002; a close frame that comes while output waits shows as 1005, unanswered; a pong
 * without payload is not reported, so an owner's ping needs one; of pings in quick succession one is
 * answered. */
#ifndef TG_FRONT_WS_H
#define TG_FRONT_WS_H

#include "connmgr/socket.h"
#include "server/base/headers.h"
#include "server/base/log.h"
#include "server/io/loop.h"

struct tg_ws_engine;

/* Settings of one connection, taken over at adoption. */
struct tg_ws_limits {
    size_t max_frame;          /* payload bytes of one frame; more: close 1009 "Message too big" */
    size_t max_message;        /* payload bytes of a whole message; likewise */
    bool binary;               /* accept binary messages; else close 1003 "Binary is not supported" */
    bool deflate;              /* permessage-deflate was accepted in the 101 */
    uint64_t close_timeout_ms; /* wait for the peer's close frame, and for the rest to be written */
};

enum tg_err tg_ws_engine_new(struct tg_loop *loop, struct tg_log *log,
                             struct tg_ws_engine **out) TG_MUST_CHECK;
/* Every socket must have been closed and on_closed delivered. Turns the loop a few times, so not from a
 * callback of it. */
void tg_ws_engine_free(struct tg_ws_engine *engine);

/* Takes over `fd` (always: it is closed on failure) and writes the 101 with `headers` added (subprotocol and
 * others; never Connection, Upgrade, Sec-WebSocket-Accept, Sec-WebSocket-Extensions). `key` is the client's
 * Sec-WebSocket-Key, `extensions` its Sec-WebSocket-Extensions (used with limits->deflate), `early` the bytes
 * that the client sent after its request. On TG_OK *out is open and the 101 has been handed to the kernel or
 * waits in front of everything else; events follow later, never from inside this call. Not from inside an
 * event of a socket: the library would write the 101 over the bytes it is reading. TG_EINVAL: a key or header
 * that must not be written; TG_EIO: the headers do not fit (32 KB), or the socket has failed already. */
enum tg_err tg_ws_adopt(struct tg_ws_engine *engine, int fd, struct tg_slice key, struct tg_slice extensions,
                        const struct tg_headers *headers, struct tg_slice early,
                        const struct tg_ws_limits *limits, const struct tg_socket_events *events, void *arg,
                        struct tg_socket **out) TG_MUST_CHECK;

extern const struct tg_socket_ops tg_ws_ops;

#endif
