#include "server/front/ws.h"

#include <assert.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/front/ws_internal.h"
#include "server/io/wsanswer.h"

enum { ANSWER_MAX = 32768 };

static void release(struct tg_socket *socket)
{
    tg_timer_stop(&socket->timeout);
    tg_task_cancel(&socket->later);
    tg_buf_free(&socket->message);
    tg_buf_free(&socket->held);
    tg_buf_free(&socket->out);
    free(socket->reason);
    free(socket);
}

/* ---- what the library tells ---- */

int tg_ws_on_event(struct lws *wsi, int reason, void *user, void *in, size_t len)
{
    struct tg_socket *socket = user;
    (void)wsi;
    if (socket == NULL) { /* not a socket of ours, or not yet */
        return 0;
    }
    switch (reason) {
    case LWS_CALLBACK_RAW_RX:
        tg_ws_receive(socket, in, len);
        break;
    case LWS_CALLBACK_RAW_WRITEABLE:
        tg_ws_flush(socket);
        break;
    case LWS_CALLBACK_RAW_CLOSE:
        tg_ws_gone(socket);
        break;
    case LWS_CALLBACK_WSI_DESTROY:
        release(socket);
        break;
    default:
        break;
    }
    return 0;
}

/* ---- adoption ---- */

static struct tg_socket *socket_new(struct tg_ws_engine *engine, int fd, const struct tg_ws_limits *limits,
                                    const struct tg_socket_events *events, void *arg)
{
    struct tg_socket *socket = calloc(1, sizeof(*socket));
    if (socket == NULL) {
        return NULL;
    }
    socket->engine = engine;
    socket->events = events;
    socket->arg = arg;
    socket->fd = fd;
    socket->close_timeout_ms = limits->close_timeout_ms;
    socket->reading = true;
    tg_timer_init(&socket->timeout, tg_ws_timeout);
    tg_task_init(&socket->later, tg_ws_later);
    tg_buf_init(&socket->message, limits->max_message);
    tg_buf_init(&socket->held, SIZE_MAX);
    tg_buf_init(&socket->out, SIZE_MAX);
    return socket;
}

/* The library closes the descriptor when it does not take it. */
static enum tg_err hand_over(struct tg_socket *socket)
{
    lws_sock_file_fd_type descriptor = {.sockfd = socket->fd};
    struct tg_ws_engine *engine = socket->engine;
    socket->wsi = lws_adopt_descriptor_vhost(engine->vhost, LWS_ADOPT_SOCKET, descriptor, NULL, NULL);
    if (socket->wsi == NULL) {
        return TG_EIO;
    }
    lws_set_wsi_user(socket->wsi, socket);
    engine->open++;
    if (tg_buf_size(&socket->out) > 0) {
        lws_callback_on_writable(socket->wsi);
    }
    if (tg_buf_size(&socket->held) > 0) {
        tg_task_defer(engine->loop, &socket->later);
    }
    return TG_OK;
}

enum tg_err tg_ws_adopt(struct tg_ws_engine *engine, int fd, struct tg_slice key, struct tg_slice extensions,
                        const struct tg_headers *headers, struct tg_slice early,
                        const struct tg_ws_limits *limits, const struct tg_socket_events *events, void *arg,
                        struct tg_socket **out)
{
    struct tg_slice accepted = limits->deflate ? tg_ws_deflate_accept(extensions) : TG_EMPTY;
    const struct tg_wsframe_rules rules = {
        .max_frame = limits->max_frame,
        .max_message = limits->max_message,
        .binary = limits->binary,
        .deflate = accepted.len > 0,
    };
    struct tg_buf answer;
    struct tg_socket *socket = socket_new(engine, fd, limits, events, arg);
    if (socket == NULL) {
        (void)close(fd);
        return TG_ENOMEM;
    }
    tg_wsframe_init(&socket->frames, &rules);
    tg_buf_init(&answer, ANSWER_MAX);
    enum tg_err err = tg_ws_write_answer(&answer, key, accepted, headers);
    if (err == TG_OK) {
        err = tg_buf_append(&socket->held, early);
    }
    if (err == TG_OK && !tg_ws_send(socket, tg_buf_slice(&answer))) {
        err = TG_EIO;
    }
    tg_buf_free(&answer);
    if (err != TG_OK) {
        (void)close(fd);
    } else {
        err = hand_over(socket);
    }
    if (err != TG_OK) {
        release(socket);
        return err;
    }
    *out = socket;
    return TG_OK;
}

/* ---- the operations ---- */

static enum tg_err op_write(struct tg_socket *socket, struct tg_slice frames)
{
    assert(socket->code != 0 || socket->broken || !socket->blocked);
    if (socket->code != 0 || !tg_ws_send(socket, frames)) {
        return TG_ECLOSED;
    }
    socket->blocked = tg_buf_size(&socket->out) > 0;
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
    if (!paused && tg_buf_size(&socket->held) > 0) {
        tg_task_defer(socket->engine->loop, &socket->later);
    }
}

const struct tg_socket_ops tg_ws_ops = {.write = op_write, .close = op_close, .pause = op_pause};
