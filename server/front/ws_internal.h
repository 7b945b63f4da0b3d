/* What the files of the WebSocket engine share; private to server/front/ws*.c. ws_engine.c sets the library
 * up and takes it down, ws.c holds adoption and the life of a socket, ws_frames.c turns what the library
 * hands up into messages and judges it, ws_deflate.c is the receiving half of permessage-deflate. */
#ifndef TG_FRONT_WS_INTERNAL_H
#define TG_FRONT_WS_INTERNAL_H

#include "server/base/buf.h"
#include "server/front/ws.h"

struct lws;
struct lws_context;
struct lws_extension;
struct lws_vhost;
struct tg_inflater;

enum { TG_WS_REASON_MAX = 123 }; /* RFC 6455 section 5.5.1: 125 less the code */

struct tg_ws_engine {
    struct tg_loop *loop;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct tg_inflater *inflater;
    struct tg_socket *adopting;       /* the socket whose adoption is under way, else NULL */
    const struct tg_headers *headers; /* of the adoption under way */
    size_t open;                      /* sockets whose on_closed is still to come */
    bool kicked;                      /* the library has been asked for a round */
};

/* Lives from adoption until the library lets go of its side, which is after on_closed. */
struct tg_socket {
    struct tg_ws_engine *engine;
    struct lws *wsi; /* NULL before the library has made it and after it has destroyed it */
    const struct tg_socket_events *events;
    void *arg;
    struct tg_ws_limits limits;
    struct tg_timer timeout; /* bounds the closing handshake */
    struct tg_task more;     /* reads the rest of a frame in the pass that brought its beginning */
    struct tg_buf message;   /* the parts of a message that came in parts */
    int code;                /* how it ended; 0 while it is open */
    bool by_peer;
    uint8_t reason_len;
    char reason[TG_WS_REASON_MAX];
    bool adopting;    /* tg_ws_adopt has not returned yet */
    bool established; /* the 101 is written, the owner has or gets the socket */
    bool reported;    /* on_closed was called */
    bool blocked;     /* the owner was told TG_EAGAIN */
    bool quiet;       /* the next writable callback does not come from a pong */
    bool paused;
    bool in_frame;   /* payload of the current frame is still to come */
    bool fed;        /* a piece has come since this was cleared */
    bool binary;     /* the current message is */
    bool compressed; /* likewise */
};

/* Decides how the socket ends, once; the reason is cut to what a close frame holds. */
void tg_ws_decide(struct tg_socket *socket, int code, struct tg_slice reason, bool by_peer);
/* Decides, sends the close frame, waits for the peer's; what arrives meanwhile is thrown away. */
void tg_ws_shut(struct tg_socket *socket, int code, struct tg_slice reason);
/* Writes a close frame as it is decided; 1005 is one without a code. */
void tg_ws_write_close(struct tg_socket *socket);
/* Has the library drop the connection in its next round. */
void tg_ws_cut(struct tg_socket *socket);

/* What the library calls, with its enum lws_callback_reasons. */
int tg_ws_on_event(struct lws *wsi, int reason, void *user, void *in, size_t len);

/* A piece of payload of a data frame, at the library's choice of size; pieces of different frames never join.
 */
void tg_ws_receive(struct tg_socket *socket, struct tg_slice piece);
/* The task of the same name. */
void tg_ws_read_more(struct tg_task *task);
void tg_ws_receive_pong(struct tg_socket *socket);
/* The peer's close frame; it is answered here, and the caller ends the connection. */
void tg_ws_receive_close(struct tg_socket *socket, struct tg_slice payload);

/* The list of extensions for the library, ended by an empty one. */
extern const struct lws_extension *const tg_ws_extensions;
/* What is put into the canned handshake for it; empty when no offer of the client can be accepted. */
struct tg_slice tg_ws_deflate_accept(struct tg_slice offers);

enum tg_err tg_inflater_new(struct tg_inflater **out) TG_MUST_CHECK;
void tg_inflater_free(struct tg_inflater *inflater);
/* Appends the inflated message (RFC 7692 section 7.2.2) to out. TG_ESYNTAX, TG_ENOMEM, TG_ELIMIT from out. */
enum tg_err tg_inflater_run(struct tg_inflater *inflater, struct tg_slice message,
                            struct tg_buf *out) TG_MUST_CHECK;

#endif
