#include "server/front/ws.h"

#include <assert.h>
#include <errno.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/front/ws_internal.h"

/* ---- the end of a socket ---- */

/* Has the library run its timeouts and look at what it has stored; on a loop that is not its own it does so
 * after socket events alone. */
static void kick(struct tg_ws_engine *engine)
{
    if (!engine->kicked) {
        engine->kicked = true;
        lws_cancel_service(engine->context);
    }
}

void tg_ws_decide(struct tg_socket *socket, int code, struct tg_slice reason, bool by_peer)
{
    if (socket->code != 0) {
        return;
    }
    reason = tg_slice_head(reason, TG_WS_REASON_MAX);
    socket->code = code;
    socket->by_peer = by_peer;
    socket->reason_len = (uint8_t)reason.len;
    if (reason.len > 0) {
        memcpy(socket->reason, reason.ptr, reason.len);
    }
    tg_buf_free(&socket->message);
}

void tg_ws_cut(struct tg_socket *socket)
{
    tg_ws_decide(socket, 1006, TG_EMPTY, false);
    if (socket->wsi != NULL) {
        lws_set_timeout(socket->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
        kick(socket->engine);
    }
}

static void on_timeout(struct tg_timer *timer)
{
    tg_ws_cut(TG_CONTAINER(timer, struct tg_socket, timeout));
}

/* Hands bytes to the library as they are. When it still holds some it appends, which is safe for raw bytes.
 */
static bool write_raw(struct tg_socket *socket, struct tg_slice bytes)
{
    return lws_write(socket->wsi, (unsigned char *)(uintptr_t)bytes.ptr, bytes.len, LWS_WRITE_RAW) >= 0;
}

void tg_ws_write_close(struct tg_socket *socket)
{
    char frame[4 + TG_WS_REASON_MAX];
    size_t len = socket->code != 1005 ? 2 + (size_t)socket->reason_len : 0;
    frame[0] = (char)0x88;
    frame[1] = (char)len;
    if (len > 0) {
        frame[2] = (char)(socket->code >> 8);
        frame[3] = (char)(socket->code & 0xff);
        memcpy(frame + 4, socket->reason, socket->reason_len);
    }
    if (!write_raw(socket, tg_slice_make(frame, 2 + len))) {
        tg_ws_cut(socket);
    }
}

void tg_ws_shut(struct tg_socket *socket, int code, struct tg_slice reason)
{
    if (socket->code != 0) {
        return;
    }
    tg_ws_decide(socket, code, reason, false);
    tg_timer_start(socket->engine->loop, &socket->timeout, socket->limits.close_timeout_ms);
    tg_ws_write_close(socket);
    if (socket->paused && socket->wsi != NULL) {
        socket->paused = false;
        lws_rx_flow_control(socket->wsi, 1);
        kick(socket->engine);
    }
}

static void report(struct tg_socket *socket)
{
    if (!socket->established || socket->reported || socket->adopting) {
        return;
    }
    socket->reported = true;
    socket->engine->open--;
    tg_timer_stop(&socket->timeout);
    tg_task_cancel(&socket->more);
    tg_ws_decide(socket, 1006, TG_EMPTY, true);
    struct tg_socket_end end = {
        .code = socket->code,
        .reason = tg_slice_make(socket->reason, socket->reason_len),
        .by_peer = socket->by_peer,
    };
    socket->events->on_closed(socket->arg, &end);
}

static void release(struct tg_socket *socket)
{
    tg_timer_stop(&socket->timeout);
    tg_task_cancel(&socket->more);
    tg_buf_free(&socket->message);
    free(socket);
}

/* ---- what the library tells ---- */

static bool peer_present(struct lws *wsi)
{
    char byte;
    ssize_t got = recv(lws_get_socket_fd(wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

/* The library is about to end the connection, of its own accord when nothing is decided yet: because the peer
 * is gone, because of a violation (for some it has put a reason ready, with words of its own, for some not),
 * or because the peer's close frame came while output was waiting, which it does not show. */
static void before_end(struct tg_socket *socket)
{
    struct lws *wsi = socket->wsi;
    bool violation = lws_get_close_length(wsi) >= 2;
    if (socket->code != 0) {
        if (violation) { /* while the close was under way: it must not send a second close frame */
            (void)shutdown(lws_get_socket_fd(wsi), SHUT_WR);
        }
        return;
    }
    if (!violation) {
        if (!peer_present(wsi)) {
            return;
        }
        if (lws_partial_buffered(wsi)) {
            tg_ws_decide(socket, 1005, TG_EMPTY, true);
            return;
        }
    }
    tg_ws_decide(socket, 1002, TG_EMPTY, false);
    lws_close_reason(wsi, LWS_CLOSE_STATUS_PROTOCOL_ERR, NULL, 0);
    tg_timer_start(socket->engine->loop, &socket->timeout, socket->limits.close_timeout_ms);
}

static int add_headers(struct tg_ws_engine *engine, struct lws_process_html_args *room)
{
    char *end = room->p + room->max_len - 2; /* the empty line */
    for (size_t i = 0; i < engine->headers->count; i++) {
        const struct tg_header *header = &engine->headers->items[i];
        size_t len = header->name.len + header->value.len + 4;
        if (len > (size_t)(end - room->p)) {
            return -1;
        }
        memcpy(room->p, header->name.ptr, header->name.len);
        room->p += header->name.len;
        memcpy(room->p, ": ", 2);
        room->p += 2;
        if (header->value.len > 0) {
            memcpy(room->p, header->value.ptr, header->value.len);
        }
        room->p += header->value.len;
        memcpy(room->p, "\r\n", 2);
        room->p += 2;
    }
    return 0;
}

static void on_writable(struct tg_socket *socket)
{
    if (lws_partial_buffered(socket->wsi)) {
        return;
    }
    if (socket->blocked) {
        socket->blocked = false;
        if (socket->code == 0) {
            socket->events->on_writable(socket->arg);
        }
    } else if (socket->quiet) {
        socket->quiet = false;
    } else if (socket->code == 0) {
        /* Nobody asked: it wrote a pong. This is the only trace of a ping that it shows. */
        socket->events->on_control(socket->arg, true);
    }
}

static int on_socket_event(struct tg_socket *socket, enum lws_callback_reasons reason, void *in, size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_ADD_HEADERS:
        return add_headers(socket->engine, in);
    case LWS_CALLBACK_ESTABLISHED:
        socket->established = true;
        return 0;
    case LWS_CALLBACK_RECEIVE:
        tg_ws_receive(socket, tg_slice_make(in, len));
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        tg_ws_receive_pong(socket);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        on_writable(socket);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        tg_ws_receive_close(socket, tg_slice_make(in, len));
        return -1;
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        before_end(socket);
        return 0;
    case LWS_CALLBACK_CLOSED:
        report(socket);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        report(socket);
        socket->wsi = NULL;
        if (!socket->adopting) {
            release(socket);
        }
        return 0;
    default:
        return 0;
    }
}

int tg_ws_on_event(struct lws *wsi, int reason, void *user, void *in, size_t len)
{
    struct tg_ws_engine *engine = lws_context_user(lws_get_context(wsi));
    if (reason == LWS_CALLBACK_WSI_CREATE) {
        if (engine->adopting != NULL && engine->adopting->wsi == NULL) {
            engine->adopting->wsi = wsi;
            lws_set_wsi_user(wsi, engine->adopting);
        }
        return 0;
    }
    if (reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED) {
        engine->kicked = false;
        return 0;
    }
    return user != NULL ? on_socket_event(user, (enum lws_callback_reasons)reason, in, len) : 0;
}

/* ---- adoption ---- */

/* The upgrade request as the library has to see it, followed by what the client sent early. */
static enum tg_err write_handshake(struct tg_buf *buf, struct tg_slice key, struct tg_slice extensions,
                                   struct tg_slice early)
{
    enum tg_err err =
        tg_buf_printf(buf,
                      "GET / HTTP/1.1\r\nHost: -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %.*s\r\n",
                      TG_FMT(key));
    if (err == TG_OK && extensions.len > 0) {
        err = tg_buf_printf(buf, "Sec-WebSocket-Extensions: %.*s\r\n", TG_FMT(extensions));
    }
    if (err == TG_OK) {
        err = tg_buf_append(buf, TG_LIT("\r\n"));
    }
    if (err == TG_OK) {
        err = tg_buf_append(buf, early);
    }
    return err;
}

static bool headers_ok(const struct tg_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (!tg_header_name_ok(headers->items[i].name) || !tg_header_value_ok(headers->items[i].value)) {
            return false;
        }
    }
    return true;
}

/* Gives descriptor and request to the library, which answers in the middle of it. */
static enum tg_err hand_over(struct tg_socket *socket, int fd, const struct tg_headers *headers,
                             struct tg_slice request)
{
    struct tg_ws_engine *engine = socket->engine;
    socket->adopting = true;
    engine->adopting = socket;
    engine->headers = headers;
    struct lws *wsi = lws_adopt_socket_vhost_readbuf(engine->vhost, fd, request.ptr, request.len);
    engine->adopting = NULL;
    engine->headers = NULL;
    socket->adopting = false;
    if (wsi != NULL && socket->wsi == wsi && socket->established && socket->code == 0) {
        engine->open++;
        socket->quiet = lws_partial_buffered(wsi) != 0;
        return TG_OK;
    }
    socket->established = false;
    if (socket->wsi == NULL) {
        release(socket);
    } else if (wsi != NULL) {
        tg_ws_cut(socket);
    }
    return TG_EIO;
}

enum tg_err tg_ws_adopt(struct tg_ws_engine *engine, int fd, struct tg_slice key, struct tg_slice extensions,
                        const struct tg_headers *headers, struct tg_slice early,
                        const struct tg_ws_limits *limits, const struct tg_socket_events *events, void *arg,
                        struct tg_socket **out)
{
    struct tg_buf request;
    enum tg_err err = TG_EINVAL;
    struct tg_socket *socket = NULL;
    tg_buf_init(&request, SIZE_MAX);
    if (key.len == 0 || !tg_header_value_ok(key) || !headers_ok(headers)) {
        goto refuse;
    }
    err =
        write_handshake(&request, key, limits->deflate ? tg_ws_deflate_accept(extensions) : TG_EMPTY, early);
    if (err != TG_OK) {
        goto refuse;
    }
    socket = calloc(1, sizeof(*socket));
    if (socket == NULL) {
        err = TG_ENOMEM;
        goto refuse;
    }
    socket->engine = engine;
    socket->events = events;
    socket->arg = arg;
    socket->limits = *limits;
    tg_timer_init(&socket->timeout, on_timeout);
    tg_task_init(&socket->more, tg_ws_read_more);
    tg_buf_init(&socket->message, limits->max_message);
    err = hand_over(socket, fd, headers, tg_buf_slice(&request));
    tg_buf_free(&request);
    if (err == TG_OK) {
        *out = socket;
    }
    return err;

refuse:
    tg_buf_free(&request);
    (void)close(fd);
    return err;
}

/* ---- the operations ---- */

static enum tg_err op_write(struct tg_socket *socket, struct tg_slice frames)
{
    if (socket->code != 0) {
        return TG_ECLOSED;
    }
    assert(!socket->blocked);
    if (!write_raw(socket, frames)) {
        tg_ws_decide(socket, 1006, TG_EMPTY, true);
        tg_ws_cut(socket);
        return TG_ECLOSED;
    }
    socket->blocked = lws_partial_buffered(socket->wsi) != 0;
    return socket->blocked ? TG_EAGAIN : TG_OK;
}

static void op_close(struct tg_socket *socket, int code, struct tg_slice reason)
{
    if (code == 0) {
        tg_ws_cut(socket);
    } else {
        tg_ws_shut(socket, code, reason);
    }
}

static void op_pause(struct tg_socket *socket, bool paused)
{
    if (socket->code != 0 || socket->paused == paused) {
        return;
    }
    socket->paused = paused;
    socket->quiet = true; /* the library asks for a writable callback when it has stored input */
    lws_rx_flow_control(socket->wsi, !paused);
    if (!paused) {
        kick(socket->engine); /* no socket event announces that input */
    }
}

const struct tg_socket_ops tg_ws_ops = {.write = op_write, .close = op_close, .pause = op_pause};
