/* What the files of the WebSocket engine share; private to server/front/ws*.c. ws.c holds the engine,
 * adoption and the operations, ws_close.c the end of a socket, ws_receive.c turns bytes into messages,
 * ws_send.c writes, ws_deflate.c is the receiving half of permessage-deflate. */
#ifndef TG_FRONT_WS_INTERNAL_H
#define TG_FRONT_WS_INTERNAL_H

#include <stdalign.h>

#include "server/base/buf.h"
#include "server/front/ws.h"
#include "server/io/wsframe.h"

struct tg_inflater;

/* The most that one read takes: several of the largest frames that are usual arrive whole, and are decoded in
 * place. The first one's payload, behind a header of 8 bytes as frames of 126 to 65535 bytes have, lies at a
 * multiple of 64: to take its mask off costs half as much there. */
enum { TG_WS_RECEIVE_SIZE = 262144, TG_WS_RECEIVE_AT = 56 };

struct tg_ws_engine {
    struct tg_loop *loop;
    struct tg_inflater *inflater;
    struct tg_list lingering; /* sockets whose on_closed was called */
    size_t open;              /* sockets whose on_closed is still to come */
    /* What everything is received into, from TG_WS_RECEIVE_AT on. */
    alignas(64) char space[TG_WS_RECEIVE_AT + TG_WS_RECEIVE_SIZE];
};

/* Lives from adoption until its transport is closed, which is after on_closed: a socket whose closing
 * handshake is over lingers, unknown to its former owner, until the peer closes too, so that no reset
 * overtakes our last bytes. What every write touches stands first, in one line of the cache. */
struct tg_socket {
    struct tg_transport *transport;
    int plain_fd;  /* tg_transport_plain_fd: a write then needs no look at the transport */
    uint16_t code; /* 0 while it is open */
    uint8_t reason_len;
    uint8_t pong_len;  /* the pong at the end of `out`, which a later one may replace */
    uint16_t gathered; /* a write that waits among the loop's sends, before `out`, which is empty; 0: none */
    bool by_peer;
    bool deaf;      /* nothing more is decoded: the peer's close frame came, or a violation */
    bool broken;    /* writing failed: `later` has the connection dropped */
    bool cut;       /* likewise, by wish */
    bool reported;  /* on_closed was called */
    bool lingering; /* reported, and waiting for the peer's end */
    bool blocked;   /* the owner was told TG_EAGAIN */
    bool paused;
    bool more;         /* inside on_message: more of the same read is to be decoded */
    struct tg_buf out; /* waits for the kernel to take it */
    struct tg_ws_engine *engine;
    const struct tg_socket_events *events;
    void *arg;
    const void *expected;  /* of the owner's, as tg_socket_ops.expect */
    struct tg_list node;   /* engine->lingering, if it does */
    size_t offered;        /* so much of the front of `out` must be offered to the transport again */
    struct tg_buf held;    /* received, not decoded: early bytes, or what came while paused */
    struct tg_buf message; /* the parts of a message that came in parts */
    struct tg_wsframe frames;
    char *reason; /* how it ended, with code, reason_len and by_peer */
    uint64_t close_timeout_ms;
    struct tg_timer timeout; /* bounds the closing handshake, then the lingering */
    struct tg_task later;    /* decodes what is held, or has the connection dropped */
};

/* ---- ws_close.c ---- */

/* Ends it politely, once: sends a close frame, waits for the peer's. */
void tg_ws_shut(struct tg_socket *socket, int code, struct tg_slice reason);
/* Ends it for a violation, or a fault of ours: a close frame, and nothing that the peer sends counts any
 * more.
 */
void tg_ws_fail(struct tg_socket *socket, int code);
/* The peer's close frame has come; it is answered, when it is not itself the answer. */
void tg_ws_peer_closed(struct tg_socket *socket, int code, struct tg_slice reason);
/* Everything that was written is with the kernel, or may be: goes on with what waited for that. */
void tg_ws_settle(struct tg_socket *socket);
/* Has the connection dropped, later. */
void tg_ws_cut(struct tg_socket *socket);
/* Drops the connection and the socket now: not from inside a call to the owner. */
void tg_ws_drop(struct tg_socket *socket);
/* The task and the timer of these names. */
void tg_ws_later(struct tg_task *task);
void tg_ws_timeout(struct tg_timer *timer);

/* ---- ws_receive.c ---- */

/* There is something to read, or the peer's end. */
void tg_ws_readable(struct tg_socket *socket);
/* Decodes what is held. */
void tg_ws_receive_held(struct tg_socket *socket);
/* What the kernel still has of a connection that is gone. */
void tg_ws_receive_remains(struct tg_socket *socket);
/* Brings what the transport waits for in line with the state. */
void tg_ws_want(struct tg_socket *socket);

/* ---- ws_send.c ---- */

/* Writes through to the kernel; what it does not take waits in `out`. False when the connection is broken. */
bool tg_ws_send(struct tg_socket *socket, struct tg_slice bytes);
/* The same for pieces. */
bool tg_ws_send_pieces(struct tg_socket *socket, const struct tg_slice *pieces, size_t count);
/* code 1005: a close frame without one. */
void tg_ws_send_close(struct tg_socket *socket, int code, struct tg_slice reason);
/* Takes the place of an earlier pong that still waits (RFC 6455 section 5.5.3). */
void tg_ws_send_pong(struct tg_socket *socket, struct tg_slice payload);
/* The same as tg_ws_send, but the bytes may go out with those of others: the owner learns by on_unsent what
 * was left. False: nothing was done. */
bool tg_ws_send_later(struct tg_socket *socket, struct tg_slice bytes);
/* Has what is gathered written now. */
void tg_ws_send_gathered(struct tg_socket *socket);
/* The kernel takes bytes again. */
void tg_ws_flush(struct tg_socket *socket);

/* ---- ws.c ---- */

void tg_ws_release(struct tg_socket *socket);

/* ---- ws_deflate.c ---- */

/* What is answered to the client's offers; empty when none can be accepted. */
struct tg_slice tg_ws_deflate_accept(struct tg_slice offers);

enum tg_err tg_inflater_new(struct tg_inflater **out) TG_MUST_CHECK;
void tg_inflater_free(struct tg_inflater *inflater);
/* Appends the inflated message (RFC 7692 section 7.2.2) to out. TG_ESYNTAX, TG_ENOMEM, TG_ELIMIT from out. */
enum tg_err tg_inflater_run(struct tg_inflater *inflater, struct tg_slice message,
                            struct tg_buf *out) TG_MUST_CHECK;

#endif
