#include <stdlib.h>

#include "server/front/ws_internal.h"

/* The first decision about how it ends counts. */
static void decide(struct tg_socket *socket, int code, struct tg_slice reason, bool by_peer)
{
    if (socket->code != 0) {
        return;
    }
    socket->code = (uint16_t)code;
    socket->by_peer = by_peer;
    socket->reason = reason.len > 0 ? malloc(reason.len) : NULL;
    if (socket->reason != NULL) { /* else on_closed goes without it */
        memcpy(socket->reason, reason.ptr, reason.len);
        socket->reason_len = (uint8_t)reason.len;
    }
    tg_buf_free(&socket->message);
    tg_wsframe_ignore_data(&socket->frames);
}

/* Our close frame follows what was written; from here on nothing else is sent, and what is received is looked
 * at for the peer's close frame alone. */
static void start_closing(struct tg_socket *socket, int code, struct tg_slice reason)
{
    tg_timer_start(socket->engine->loop, &socket->timeout, socket->close_timeout_ms);
    tg_ws_send_close(socket, code, reason);
    socket->paused = false;
    if (tg_buf_size(&socket->held) > 0) {
        tg_task_defer(socket->engine->loop, &socket->later);
    }
}

static void report(struct tg_socket *socket)
{
    if (socket->reported) {
        return;
    }
    tg_ws_send_gathered(socket);
    decide(socket, 1006, TG_EMPTY, true);
    struct tg_socket_end end = {
        .code = socket->code,
        .reason = tg_slice_make(socket->reason, socket->reason_len),
        .by_peer = socket->by_peer,
    };
    socket->reported = true;
    socket->engine->open--;
    socket->events->on_closed(socket->arg, &end);
}

/* The closing handshake is over, or there is none to wait for, and all is written: the owner is told, and the
 * rest is between the two kernels. */
static void finish(struct tg_socket *socket)
{
    report(socket);
    socket->lingering = true;
    tg_list_append(&socket->engine->lingering, &socket->node);
    tg_transport_shutdown(socket->transport);
    tg_timer_start(socket->engine->loop, &socket->timeout, socket->close_timeout_ms);
    tg_ws_want(socket);
}

void tg_ws_settle(struct tg_socket *socket)
{
    if (tg_buf_size(&socket->out) > 0 || socket->broken || socket->lingering) {
        return;
    }
    if (socket->deaf) {
        finish(socket);
    } else if (socket->blocked) {
        socket->blocked = false;
        if (socket->code == 0) {
            socket->events->on_writable(socket->arg);
        }
    }
}

void tg_ws_shut(struct tg_socket *socket, int code, struct tg_slice reason)
{
    if (socket->code == 0) {
        reason = tg_slice_head(reason, TG_WS_REASON_MAX);
        decide(socket, code, reason, false);
        start_closing(socket, code, reason);
    }
}

static struct tg_slice text_of(int code)
{
    switch (code) {
    case 1003:
        return TG_LIT("Binary is not supported");
    case 1009:
        return TG_LIT("Message too big");
    case 1011:
        return TG_LIT("Internal error");
    default:
        return TG_EMPTY;
    }
}

void tg_ws_fail(struct tg_socket *socket, int code)
{
    socket->deaf = true;
    tg_ws_shut(socket, code, text_of(code));
    tg_ws_settle(socket);
}

void tg_ws_peer_closed(struct tg_socket *socket, int code, struct tg_slice reason)
{
    socket->deaf = true;
    if (socket->code == 0) {
        decide(socket, code, reason, true);
        start_closing(socket, code, reason);
    }
    tg_ws_settle(socket);
}

void tg_ws_cut(struct tg_socket *socket)
{
    decide(socket, 1006, TG_EMPTY, false);
    if (!socket->reported) {
        socket->cut = true;
        tg_task_defer(socket->engine->loop, &socket->later);
    }
}

/* A peer that sends a close frame and is gone at once, with bytes of ours unread, resets the connection: its
 * close frame counts all the same, when it is there. */
void tg_ws_drop(struct tg_socket *socket)
{
    if (socket->code == 0 && !socket->paused) {
        tg_ws_receive_held(socket);
        tg_ws_receive_remains(socket);
    }
    report(socket);
    tg_ws_release(socket);
}

void tg_ws_later(struct tg_task *task)
{
    struct tg_socket *socket = TG_CONTAINER(task, struct tg_socket, later);
    if (socket->broken || socket->cut) {
        tg_ws_drop(socket);
    } else {
        tg_ws_receive_held(socket);
    }
}

void tg_ws_timeout(struct tg_timer *timer)
{
    tg_ws_drop(TG_CONTAINER(timer, struct tg_socket, timeout));
}
