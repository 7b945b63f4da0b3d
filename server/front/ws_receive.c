#include "server/base/cache.h"
#include "server/base/codec.h"
#include "server/front/ws_internal.h"

static void deliver_inflated(struct tg_socket *socket, struct tg_slice payload, bool binary)
{
    struct tg_buf plain;
    tg_buf_init(&plain, socket->message.limit);
    switch (tg_inflater_run(socket->engine->inflater, payload, &plain)) {
    case TG_OK:
        if (binary || tg_utf8_valid(tg_buf_slice(&plain))) {
            socket->events->on_message(socket->arg, tg_buf_slice(&plain), binary);
        } else {
            tg_ws_fail(socket, 1007);
        }
        break;
    case TG_ELIMIT:
        tg_ws_fail(socket, 1009);
        break;
    case TG_ENOMEM:
        tg_ws_fail(socket, 1011);
        break;
    default:
        tg_ws_fail(socket, 1007);
        break;
    }
    tg_buf_free(&plain);
}

/* What comes in one piece is not copied. */
static void take_piece(struct tg_socket *socket, const struct tg_wsframe_event *event)
{
    struct tg_slice payload = event->payload;
    if (!event->last || tg_buf_size(&socket->message) > 0) {
        if (tg_buf_append(&socket->message, payload) != TG_OK) {
            tg_ws_fail(socket, 1011);
            return;
        }
        payload = tg_buf_slice(&socket->message);
    }
    if (!event->last) {
        return;
    }
    /* The owner may close the socket in the middle: the bytes are held by nobody else meanwhile. */
    struct tg_buf message = socket->message;
    tg_buf_init(&socket->message, message.limit);
    if (event->compressed) {
        deliver_inflated(socket, payload, event->binary);
    } else {
        socket->events->on_message(socket->arg, payload, event->binary);
    }
    tg_buf_free(&message);
}

static void tell_read(const struct tg_socket *socket)
{
    if (socket->events->on_read != NULL && !socket->reported) {
        socket->events->on_read(socket->arg);
    }
}

static void take_event(struct tg_socket *socket, const struct tg_wsframe_event *event)
{
    bool open = socket->code == 0 && !socket->broken;
    if (event->kind == TG_WSFRAME_CLOSE || event->kind == TG_WSFRAME_ERROR) {
        tell_read(socket); /* what is owed goes before our close frame */
    }
    switch (event->kind) {
    case TG_WSFRAME_NONE:
        break;
    case TG_WSFRAME_DATA:
        take_piece(socket, event);
        break;
    case TG_WSFRAME_PING:
        if (open) {
            tg_ws_send_pong(socket, event->payload);
            socket->events->on_control(socket->arg, true);
        }
        break;
    case TG_WSFRAME_PONG:
        if (open) {
            socket->events->on_control(socket->arg, false);
        }
        break;
    case TG_WSFRAME_CLOSE:
        tg_ws_peer_closed(socket, event->code, event->payload);
        break;
    case TG_WSFRAME_ERROR:
        tg_ws_fail(socket, event->code);
        break;
    }
}

static void hold(struct tg_socket *socket, const char *bytes, size_t len)
{
    if (tg_buf_append(&socket->held, tg_slice_make(bytes, len)) != TG_OK) {
        tg_ws_fail(socket, 1011);
    }
}

/* Whatever comes next; returns how many bytes that is. */
static TG_APART size_t take_next(struct tg_socket *socket, char *bytes, size_t len)
{
    struct tg_wsframe_event event;
    size_t used = tg_wsframe_next(&socket->frames, bytes, len, &event);
    socket->more = used < len;
    take_event(socket, &event);
    return used;
}

/* How far it came before the owner paused it. */
static size_t decode(struct tg_socket *socket, char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len && !socket->paused && !socket->deaf) {
        struct tg_slice text;
        size_t used = tg_wsframe_take_text(&socket->frames, bytes + at, len - at, &text);
        if (used > 0) {
            at += used;
            socket->more = at < len;
            socket->events->on_message(socket->arg, text, false);
        } else {
            at += take_next(socket, bytes + at, len - at);
        }
    }
    socket->more = false;
    return at;
}

/* They are changed in place. A pause costs nothing until something comes meanwhile: reading stops only then,
 * and until then an end of the connection is noticed. */
static void take_bytes(struct tg_socket *socket, char *bytes, size_t len)
{
    if (socket->deaf) {
        return;
    }
    size_t used = tg_buf_size(&socket->held) == 0 ? decode(socket, bytes, len) : 0;
    if (used < len && !socket->deaf) {
        hold(socket, bytes + used, len - used);
    }
    tell_read(socket);
    tg_ws_want(socket);
}

/* The rest of what the next messages need, while the kernel hands them over. */
static void fetch_ahead(const struct tg_socket *socket)
{
    tg_cache_fetch(&socket->held, 1);
    tg_cache_fetch(&socket->frames, 2);
    tg_cache_fetch(socket->arg, 3);
    tg_cache_fetch(socket->expected, 2);
}

void tg_ws_readable(struct tg_socket *socket)
{
    fetch_ahead(socket);
    char *space = socket->engine->space + TG_WS_RECEIVE_AT;
    size_t got;
    enum tg_err err = tg_transport_read(socket->transport, space, TG_WS_RECEIVE_SIZE, &got);
    if (err == TG_OK) {
        take_bytes(socket, space, got);
    } else if (err != TG_EAGAIN) {
        tg_ws_drop(socket);
    }
}

void tg_ws_receive_held(struct tg_socket *socket)
{
    struct tg_buf *held = &socket->held;
    while (tg_buf_size(held) > 0 && !socket->paused && !socket->deaf) {
        struct tg_wsframe_event event;
        char *bytes = held->data + held->off;
        /* The bytes of the event stay in place: nothing is added to them before it is dealt with. */
        tg_buf_consume(held, tg_wsframe_next(&socket->frames, bytes, tg_buf_size(held), &event));
        take_event(socket, &event);
    }
    if (tg_buf_size(held) == 0 || socket->deaf) {
        tg_buf_free(held);
    }
    tg_ws_want(socket);
}

void tg_ws_receive_remains(struct tg_socket *socket)
{
    enum { READS = 4 };
    char *space = socket->engine->space + TG_WS_RECEIVE_AT;
    for (int i = 0; i < READS && !socket->paused && !socket->deaf; i++) {
        size_t got;
        if (tg_transport_read(socket->transport, space, TG_WS_RECEIVE_SIZE, &got) != TG_OK) {
            return;
        }
        (void)decode(socket, space, got);
    }
}

void tg_ws_want(struct tg_socket *socket)
{
    bool read = socket->lingering || (!socket->deaf && tg_buf_size(&socket->held) == 0);
    bool write = tg_buf_size(&socket->out) > 0;
    tg_transport_want(socket->transport, read && !socket->broken, write);
}
