#include "server/front/ws_internal.h"
#include "server/io/sends.h"
#include "server/io/sock.h"

static void break_off(struct tg_socket *socket)
{
    socket->broken = true;
    tg_buf_free(&socket->out);
    tg_ws_want(socket);
    tg_wsframe_ignore_data(&socket->frames);
    tg_task_defer(socket->engine->loop, &socket->later);
}

/* How many bytes were taken; 0 when none now, or never. */
static size_t put(struct tg_socket *socket, struct tg_slice bytes)
{
    size_t taken = 0;
    enum tg_err err = socket->plain_fd >= 0 ? tg_sock_send(socket->plain_fd, bytes, &taken)
                                            : tg_transport_write(socket->transport, bytes, &taken);
    if (err == TG_OK) {
        return taken;
    }
    if (err != TG_EAGAIN) {
        break_off(socket);
    }
    return 0;
}

/* What was left of a write that the kernel had no room for waits. */
static void keep_rest(struct tg_socket *socket, struct tg_slice rest)
{
    socket->offered = rest.len;
    socket->pong_len = 0;
    if (tg_buf_append(&socket->out, rest) != TG_OK) {
        break_off(socket);
        return;
    }
    socket->blocked = true;
    tg_ws_want(socket);
}

static void on_gathered_sent(void *arg, struct tg_slice bytes, enum tg_err err, size_t taken)
{
    struct tg_socket *socket = arg;
    socket->gathered = 0;
    if (taken == bytes.len) {
        return;
    }
    if (err == TG_OK || err == TG_EAGAIN) {
        keep_rest(socket, tg_slice_from(bytes, taken));
    } else {
        break_off(socket);
    }
    if (!socket->reported && socket->events->on_unsent != NULL) {
        socket->events->on_unsent(socket->arg, socket->broken ? TG_ECLOSED : TG_EAGAIN, bytes.len);
    }
}

bool tg_ws_send_later(struct tg_socket *socket, struct tg_slice bytes)
{
    if (socket->plain_fd < 0 || socket->gathered != 0 || socket->broken || tg_buf_size(&socket->out) > 0) {
        return false;
    }
    socket->gathered =
        tg_sends_add(tg_loop_sends(socket->engine->loop), socket->plain_fd, bytes, on_gathered_sent, socket);
    return socket->gathered != 0;
}

void tg_ws_send_gathered(struct tg_socket *socket)
{
    if (socket->gathered != 0) {
        tg_sends_now(tg_loop_sends(socket->engine->loop), socket->gathered);
    }
}

bool tg_ws_send(struct tg_socket *socket, struct tg_slice bytes)
{
    tg_ws_send_gathered(socket);
    bool waits = tg_buf_size(&socket->out) > 0;
    socket->pong_len = 0;
    if (!waits && !socket->broken) {
        bytes = tg_slice_from(bytes, put(socket, bytes));
        if (bytes.len == 0) {
            return true;
        }
        socket->offered = bytes.len;
    }
    if (socket->broken) {
        return false;
    }
    if (tg_buf_append(&socket->out, bytes) != TG_OK) {
        break_off(socket);
        return false;
    }
    tg_ws_want(socket);
    return true;
}

/* Writes them, as far as the transport takes them now. Returns how many bytes that is. */
static size_t put_pieces(struct tg_socket *socket, const struct tg_slice *pieces, size_t count)
{
    size_t taken = 0;
    if (tg_transport_gathers(socket->transport)) {
        enum tg_err err = tg_transport_write_pieces(socket->transport, pieces, count, &taken);
        if (err != TG_OK && err != TG_EAGAIN) {
            break_off(socket);
        }
        return err == TG_OK ? taken : 0;
    }
    for (size_t i = 0; i < count && !socket->broken; i++) {
        size_t now = put(socket, pieces[i]);
        taken += now;
        if (now < pieces[i].len) {
            break;
        }
    }
    return taken;
}

bool tg_ws_send_pieces(struct tg_socket *socket, const struct tg_slice *pieces, size_t count)
{
    size_t taken = 0, left = 0;
    tg_ws_send_gathered(socket);
    bool waits = tg_buf_size(&socket->out) > 0;
    socket->pong_len = 0;
    if (!waits && !socket->broken) {
        taken = put_pieces(socket, pieces, count);
    }
    for (size_t i = 0; i < count && !socket->broken; i++) {
        struct tg_slice rest = tg_slice_from(pieces[i], taken);
        taken -= pieces[i].len - rest.len;
        if (!waits && left == 0) {
            socket->offered = rest.len; /* as TLS was offered it */
        }
        left += rest.len;
        if (rest.len > 0 && tg_buf_append(&socket->out, rest) != TG_OK) {
            break_off(socket);
        }
    }
    if (left > 0 && !socket->broken) {
        tg_ws_want(socket);
    }
    return !socket->broken;
}

void tg_ws_flush(struct tg_socket *socket)
{
    if (tg_buf_size(&socket->out) > 0) {
        size_t taken = put(socket, tg_buf_slice(&socket->out));
        if (socket->broken) {
            return;
        }
        tg_buf_consume(&socket->out, taken);
        socket->offered = tg_buf_size(&socket->out);
    }
    if (tg_buf_size(&socket->out) > 0) {
        return;
    }
    tg_buf_free(&socket->out);
    tg_ws_want(socket);
    tg_ws_settle(socket);
}

static struct tg_slice put_control(char frame[2 + TG_WS_CONTROL_MAX], unsigned char first, size_t len)
{
    frame[0] = (char)first;
    frame[1] = (char)len;
    return tg_slice_make(frame, 2 + len);
}

void tg_ws_send_close(struct tg_socket *socket, int code, struct tg_slice reason)
{
    char frame[2 + TG_WS_CONTROL_MAX];
    size_t len = 0;
    if (code != 1005) {
        frame[2] = (char)(code >> 8);
        frame[3] = (char)(code & 0xff);
        if (reason.len > 0) {
            memcpy(frame + 4, reason.ptr, reason.len);
        }
        len = 2 + reason.len;
    }
    (void)tg_ws_send(socket, put_control(frame, 0x88, len));
}

void tg_ws_send_pong(struct tg_socket *socket, struct tg_slice payload)
{
    char frame[2 + TG_WS_CONTROL_MAX];
    struct tg_buf *out = &socket->out;
    if (payload.len > 0) {
        memcpy(frame + 2, payload.ptr, payload.len);
    }
    if (socket->pong_len > 0 && tg_buf_size(out) >= socket->offered + socket->pong_len) {
        out->len -= socket->pong_len; /* the transport has not seen it yet */
    }
    struct tg_slice pong = put_control(frame, 0x8a, payload.len);
    if (tg_ws_send(socket, pong) && tg_buf_size(out) > 0) {
        socket->pong_len = (uint8_t)pong.len;
    }
}
