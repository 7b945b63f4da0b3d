/* What a connection needs of the WebSocket under it, as an operation table, so that connection management
 * knows no WebSocket library. Implemented by server/front/ws.c and by fakes in unit tests. All calls on the
 * worker's thread. */
#ifndef TG_CONNMGR_SOCKET_H
#define TG_CONNMGR_SOCKET_H

#include "server/base/slice.h"

struct tg_socket; /* the implementation's */

/* How a connection ended. */
struct tg_socket_end {
    int code; /* RFC 6455 section 7.4.1; 1005: the peer's close frame had no code; 1006: no close frame */
    struct tg_slice reason; /* at most 123 bytes, borrowed for the call */
    bool by_peer; /* the peer closed first; false: tg_socket_ops.close did, or the engine (protocol error) */
};

/* Calls from the socket to its owner, never from inside one of the operations, but for on_unsent. */
struct tg_socket_events {
    /* One complete text or binary message; payload borrowed for the call. Text is valid UTF-8. */
    void (*on_message)(void *arg, struct tg_slice payload, bool binary);
    /* A ping (answered already) or pong arrived. */
    void (*on_control)(void *arg, bool ping);
    /* The messages of one read have all been told, or those before its close frame. NULL: of no interest. */
    void (*on_read)(void *arg);
    /* What an earlier write had left over has gone to the kernel. */
    void (*on_writable)(void *arg);
    /* What a write_later of `len` bytes has come to, unless all is in the kernel: TG_EAGAIN or TG_ECLOSED, as
     * a write would have returned it. This one may come from inside an operation on the same socket, which is
     * then not to be called from here. */
    void (*on_unsent)(void *arg, enum tg_err err, size_t len);
    /* Last call, exactly once, for every socket that was opened. */
    void (*on_closed)(void *arg, const struct tg_socket_end *end);
};

enum { TG_SOCKET_PIECES = 16 };

struct tg_socket_ops {
    /* Writes whole frames, already framed (unmasked, RFC 6455 section 5.2). TG_OK: all in the kernel.
     * TG_EAGAIN: taken, part of it waits in the socket; no further write until on_writable. TG_ECLOSED: not
     * taken, on_closed follows. */
    enum tg_err (*write)(struct tg_socket *socket, struct tg_slice frames);
    /* The same, given in pieces, at most TG_SOCKET_PIECES, none of them empty. NULL: not offered. */
    enum tg_err (*write_pieces)(struct tg_socket *socket, const struct tg_slice *pieces, size_t count);
    /* As write, but TG_OK may also mean that it will be written together with what others have to write,
     * before the loop waits again, or before anything else is to this socket: of what goes wrong then
     * on_unsent tells. The bytes need not outlive the call. A write that the owner had ready before on_unsent
     * told it to wait may still follow. NULL: not offered. */
    enum tg_err (*write_later)(struct tg_socket *socket, struct tg_slice frames);
    /* Inside on_message: more came with this message, which is looked at next; on_read follows. NULL: never.
     */
    bool (*more)(const struct tg_socket *socket);
    /* Sends a close frame after what was written, waits a bounded time for the peer's, closes. code 0: cut at
     * once without a close frame. Idempotent; on_closed follows later. */
    void (*close)(struct tg_socket *socket, int code, struct tg_slice reason);
    /* What the owner looks at when a message comes, beside its arg: fetched into the processor's cache
     * meanwhile, never read. NULL: not offered. */
    void (*expect)(struct tg_socket *socket, const void *object);
    /* Stops or resumes reading: back-pressure to the client. */
    void (*pause)(struct tg_socket *socket, bool paused);
};

#endif
