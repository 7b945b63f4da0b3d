#include "server/front/ws.h"

#include <assert.h>
#include <stdlib.h>

#include "server/base/alloc.h"
#include "server/front/ws_internal.h"
#include "server/io/sends.h"
#include "server/io/wsanswer.h"

enum { ANSWER_MAX = 32768 };

/* ---- the engine ---- */

enum tg_err tg_ws_engine_new(struct tg_loop *loop, struct tg_ws_engine **out)
{
    struct tg_ws_engine *engine = aligned_alloc(alignof(struct tg_ws_engine), sizeof *engine);
    if (engine == NULL) {
        return TG_ENOMEM;
    }
    memset(engine, 0, offsetof(struct tg_ws_engine, space)); /* the rest takes no memory until it is used */
    engine->loop = loop;
    tg_list_init(&engine->lingering);
    enum tg_err err = tg_inflater_new(&engine->inflater);
    if (err != TG_OK) {
        free(engine);
        return err;
    }
    *out = engine;
    return TG_OK;
}

void tg_ws_engine_free(struct tg_ws_engine *engine)
{
    struct tg_list *node;
    if (engine == NULL) {
        return;
    }
    assert(engine->open == 0);
    while ((node = tg_list_pop(&engine->lingering)) != NULL) {
        tg_ws_release(TG_CONTAINER(node, struct tg_socket, node));
    }
    tg_inflater_free(engine->inflater);
    free(engine);
}

void tg_ws_release(struct tg_socket *socket)
{
    if (socket->gathered != 0) {
        tg_sends_forget(tg_loop_sends(socket->engine->loop), socket->gathered);
    }
    tg_list_remove(&socket->node);
    tg_transport_close(socket->transport);
    tg_timer_stop(&socket->timeout);
    tg_task_cancel(&socket->later);
    tg_buf_free(&socket->message);
    tg_buf_free(&socket->held);
    tg_buf_free(&socket->out);
    free(socket->reason);
    free(socket);
}

/* ---- adoption ---- */

static void on_readable(void *arg)
{
    tg_ws_readable(arg);
}

static void on_writable(void *arg)
{
    tg_ws_flush(arg);
}

static const struct tg_transport_events transport_events = {.on_readable = on_readable,
                                                            .on_writable = on_writable};

static struct tg_socket *socket_new(struct tg_ws_engine *engine, struct tg_transport *transport,
                                    const struct tg_ws_limits *limits, const struct tg_socket_events *events,
                                    void *arg)
{
    struct tg_socket *socket = tg_zalloc(sizeof *socket);
    if (socket == NULL) {
        return NULL;
    }
    socket->engine = engine;
    socket->events = events;
    socket->arg = arg;
    socket->transport = transport;
    socket->plain_fd = tg_transport_plain_fd(transport);
    socket->close_timeout_ms = limits->close_timeout_ms;
    tg_list_init(&socket->node);
    tg_timer_init(&socket->timeout, tg_ws_timeout);
    tg_task_init(&socket->later, tg_ws_later);
    tg_buf_init(&socket->message, limits->max_message);
    tg_buf_init(&socket->held, SIZE_MAX);
    tg_buf_init(&socket->out, SIZE_MAX);
    return socket;
}

enum tg_err tg_ws_adopt(struct tg_ws_engine *engine, struct tg_transport *transport, struct tg_slice key,
                        struct tg_slice extensions, const struct tg_headers *headers, struct tg_slice early,
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
    struct tg_socket *socket = socket_new(engine, transport, limits, events, arg);
    if (socket == NULL) {
        tg_transport_close(transport);
        return TG_ENOMEM;
    }
    tg_transport_own(transport, &transport_events, socket);
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
        tg_ws_release(socket);
        return err;
    }
    if (tg_buf_size(&socket->held) > 0) {
        tg_task_defer(engine->loop, &socket->later);
    }
    tg_ws_want(socket);
    engine->open++;
    *out = socket;
    return TG_OK;
}

/* ---- the operations ---- */

static enum tg_err op_write(struct tg_socket *socket, struct tg_slice frames)
{
    if (socket->code != 0 || !tg_ws_send(socket, frames)) {
        return TG_ECLOSED;
    }
    socket->blocked = tg_buf_size(&socket->out) > 0;
    return socket->blocked ? TG_EAGAIN : TG_OK;
}

static enum tg_err op_write_later(struct tg_socket *socket, struct tg_slice frames)
{
    if (socket->code != 0) {
        return TG_ECLOSED;
    }
    return tg_ws_send_later(socket, frames) ? TG_OK : op_write(socket, frames);
}

static enum tg_err op_write_pieces(struct tg_socket *socket, const struct tg_slice *pieces, size_t count)
{
    assert(socket->code != 0 || socket->broken || !socket->blocked);
    if (socket->code != 0 || !tg_ws_send_pieces(socket, pieces, count)) {
        return TG_ECLOSED;
    }
    socket->blocked = tg_buf_size(&socket->out) > 0;
    return socket->blocked ? TG_EAGAIN : TG_OK;
}

static bool op_more(const struct tg_socket *socket)
{
    return socket->more;
}

static void op_close(struct tg_socket *socket, int code, struct tg_slice reason)
{
    if (code == 0) {
        tg_ws_cut(socket);
    } else {
        tg_ws_shut(socket, code, reason);
    }
}

static void op_expect(struct tg_socket *socket, const void *object)
{
    socket->expected = object;
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

const struct tg_socket_ops tg_ws_ops = {.write = op_write,
                                        .write_later = op_write_later,
                                        .write_pieces = op_write_pieces,
                                        .more = op_more,
                                        .close = op_close,
                                        .expect = op_expect,
                                        .pause = op_pause};
