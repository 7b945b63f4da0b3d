#include <libwebsockets.h>

#include "server/base/codec.h"
#include "server/front/ws_internal.h"

enum { RSV1 = 0x40 };

static const struct tg_slice too_big = TG_LIT_INIT("Message too big");
static const struct tg_slice no_binary = TG_LIT_INIT("Binary is not supported");
static const struct tg_slice internal_error = TG_LIT_INIT("Internal error");

/* The first piece of a frame: `size` is the payload that its header announced. With permessage-deflate that
 * is compressed, and the whole is checked once more when it is inflated. False: it was refused. */
static bool begin_frame(struct tg_socket *socket, uint64_t size)
{
    struct lws *wsi = socket->wsi;
    int rsv = lws_get_reserved_bits(wsi);
    if (lws_is_first_fragment(wsi)) {
        tg_buf_free(&socket->message);
        socket->binary = lws_frame_is_binary(wsi) != 0;
        socket->compressed = (rsv & RSV1) != 0;
        if (socket->binary && !socket->limits.binary) {
            tg_ws_shut(socket, 1003, no_binary);
            return false;
        }
    } else if (rsv != 0) { /* RFC 7692 section 6.1: on the first frame alone; the library does not look */
        tg_ws_shut(socket, 1002, TG_EMPTY);
        return false;
    }
    size_t room = socket->limits.max_message - tg_buf_size(&socket->message);
    if (size > socket->limits.max_frame || size > room) {
        tg_ws_shut(socket, 1009, too_big);
        return false;
    }
    return true;
}

static void deliver(struct tg_socket *socket, struct tg_slice payload)
{
    if (!socket->binary && !tg_utf8_valid(payload)) {
        tg_ws_shut(socket, 1007, TG_EMPTY);
        return;
    }
    socket->events->on_message(socket->arg, payload, socket->binary);
}

static void deliver_inflated(struct tg_socket *socket, struct tg_slice payload)
{
    struct tg_buf plain;
    tg_buf_init(&plain, socket->limits.max_message);
    switch (tg_inflater_run(socket->engine->inflater, payload, &plain)) {
    case TG_OK:
        deliver(socket, tg_buf_slice(&plain));
        break;
    case TG_ELIMIT:
        tg_ws_shut(socket, 1009, too_big);
        break;
    case TG_ENOMEM:
        tg_ws_shut(socket, 1011, internal_error);
        break;
    default:
        tg_ws_shut(socket, 1007, TG_EMPTY);
        break;
    }
    tg_buf_free(&plain);
}

void tg_ws_receive(struct tg_socket *socket, struct tg_slice piece)
{
    if (socket->code != 0) {
        return;
    }
    uint64_t left = lws_remaining_packet_payload(socket->wsi);
    if (!socket->in_frame && !begin_frame(socket, piece.len + left)) {
        return;
    }
    socket->fed = true;
    socket->in_frame = left > 0;
    if (socket->in_frame) {
        tg_task_defer(socket->engine->loop, &socket->more);
    }
    bool complete = lws_is_final_fragment(socket->wsi) != 0;
    /* What comes in one piece is not copied. */
    struct tg_buf message = socket->message;
    if (!complete || tg_buf_size(&message) > 0) {
        if (tg_buf_append(&socket->message, piece) != TG_OK) {
            tg_ws_shut(socket, 1011, internal_error);
            return;
        }
        if (!complete) {
            return;
        }
        message = socket->message;
        piece = tg_buf_slice(&message);
    }
    /* The owner may close the socket in the middle: the bytes are held by nobody else meanwhile. */
    tg_buf_init(&socket->message, socket->limits.max_message);
    if (socket->compressed) {
        deliver_inflated(socket, piece);
    } else {
        deliver(socket, piece);
    }
    tg_buf_free(&message);
}

/* The library reads once an event, as much as its small buffer takes. For the rest of a large frame the event
 * is repeated here as long as there is something to read, instead of going through epoll for each kilobyte.
 */
void tg_ws_read_more(struct tg_task *task)
{
    enum { READS_A_PASS = 64 };
    struct tg_socket *socket = TG_CONTAINER(task, struct tg_socket, more);
    int fd = lws_get_socket_fd(socket->wsi);
    socket->fed = true;
    for (int i = 0; i < READS_A_PASS && socket->fed && socket->in_frame && socket->code == 0; i++) {
        struct lws_pollfd event = {.fd = fd, .events = LWS_POLLIN, .revents = LWS_POLLIN};
        socket->fed = false;
        lws_service_fd(socket->engine->context, &event);
    }
}

void tg_ws_receive_pong(struct tg_socket *socket)
{
    if (socket->code != 0) {
        return;
    }
    if (lws_get_reserved_bits(socket->wsi) != 0) {
        tg_ws_shut(socket, 1002, TG_EMPTY);
        return;
    }
    socket->events->on_control(socket->arg, false);
}

/* RFC 6455 section 7.4. The library puts 1002 in the place of most codes that must not be sent, and of 1012
 * to 1014, before we see them. */
static bool close_code_ok(int code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

void tg_ws_receive_close(struct tg_socket *socket, struct tg_slice payload)
{
    if (socket->code != 0) {
        return; /* the answer to ours */
    }
    const unsigned char *bytes = (const unsigned char *)payload.ptr;
    struct tg_slice reason = tg_slice_from(payload, 2);
    int code = payload.len >= 2 ? bytes[0] << 8 | bytes[1] : 1005;
    if (payload.len == 1 || (payload.len >= 2 && !close_code_ok(code)) ||
        lws_get_reserved_bits(socket->wsi) != 0) {
        tg_ws_decide(socket, 1002, TG_EMPTY, false);
    } else if (!tg_utf8_valid(reason)) {
        tg_ws_decide(socket, 1007, TG_EMPTY, false);
    } else {
        tg_ws_decide(socket, code, reason, true);
    }
    tg_ws_write_close(socket);
}
