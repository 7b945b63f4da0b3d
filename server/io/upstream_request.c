/* The request of a call as it goes out: the head, the body behind it, the streamed body, a tunnel's bytes. */
#include "server/io/upstream_private.h"

#include <stdio.h>

enum {
    SMALL_BODY = 16384,    /* so much of a body is copied behind the head: both go out in one write */
    STREAM_BUFFER = 65536, /* of a streamed body */
    CHUNK_EXTRA = 20,      /* a chunk's size line and the line end behind it */
};

/* Fields that are the client's own: framing, persistence, and an expectation that it would have to wait for.
 */
static bool is_own_field(struct tg_slice name, bool upgrade)
{
    static const struct tg_slice names[] = {
        TG_LIT_INIT("Connection"), TG_LIT_INIT("Content-Length"), TG_LIT_INIT("Transfer-Encoding"),
        TG_LIT_INIT("Expect"),     TG_LIT_INIT("Keep-Alive"),     TG_LIT_INIT("Proxy-Connection"),
        TG_LIT_INIT("TE"),         TG_LIT_INIT("Trailer"),
    };
    if (!upgrade && tg_slice_eq_nocase(name, TG_LIT("Upgrade"))) {
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (tg_slice_eq_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* The length to announce. An empty body is announced where the method leads one to expect a body (RFC
 * 9110 8.6). */
static bool content_length(const struct tg_call_request *request, uint64_t *length)
{
    if (request->stream_body) {
        *length = (uint64_t)request->body_length;
        return request->body_length >= 0;
    }
    *length = request->body.len;
    return request->body.len > 0 || request->announce_empty || tg_slice_eq(request->method, TG_LIT("POST")) ||
           tg_slice_eq(request->method, TG_LIT("PUT")) || tg_slice_eq(request->method, TG_LIT("PATCH"));
}

static enum tg_err make_headers(const struct tg_call *call, struct tg_arena *arena, char text[TG_U64_TEXT],
                                struct tg_headers *out)
{
    const struct tg_call_request *request = &call->request;
    enum tg_err err = TG_OK;
    uint64_t length = 0;
    for (size_t i = 0; i < request->headers.count && err == TG_OK; i++) {
        const struct tg_header *field = &request->headers.items[i];
        if (!is_own_field(field->name, request->upgrade)) {
            err = tg_headers_add(out, arena, field->name, field->value);
        }
    }
    if (err == TG_OK && (request->upgrade || call->apart)) {
        err = tg_headers_add(out, arena, TG_LIT("Connection"),
                             request->upgrade ? TG_LIT("Upgrade") : TG_LIT("close"));
    }
    if (err == TG_OK && call->streams == TG_STREAM_CHUNKED) {
        err = tg_headers_add(out, arena, TG_LIT("Transfer-Encoding"), TG_LIT("chunked"));
    } else if (err == TG_OK && content_length(request, &length)) {
        err = tg_headers_add(out, arena, TG_LIT("Content-Length"), tg_slice_of_u64(length, text));
    }
    return err;
}

enum tg_err tg_call_write_head(struct tg_call *call)
{
    const struct tg_call_request *request = &call->request;
    struct tg_arena arena;
    struct tg_headers headers = {0};
    char text[TG_U64_TEXT];
    if (request->upgrade &&
        (request->stream_body || tg_headers_first(&request->headers, TG_LIT("Upgrade")) == NULL)) {
        return TG_EINVAL;
    }
    call->streams = !request->stream_body      ? TG_STREAM_NONE
                    : request->body_length < 0 ? TG_STREAM_CHUNKED
                                               : TG_STREAM_LENGTH;
    tg_arena_init(&arena, &call->upstream->arenas);
    enum tg_err err = make_headers(call, &arena, text, &headers);
    if (err == TG_OK) {
        err = tg_http1_write_request(&call->head, request->method, request->target, &headers);
    }
    tg_arena_reset(&arena);
    if (err != TG_OK || request->stream_body) {
        return err;
    }
    call->body = tg_slice_from(request->body, SMALL_BODY);
    return tg_buf_append(&call->head, tg_slice_head(request->body, SMALL_BODY));
}

struct tg_slice tg_call_unsent(const struct tg_call *call)
{
    size_t head_len = tg_buf_size(&call->head);
    if (call->sent < head_len) {
        return tg_slice_from(tg_buf_slice(&call->head), call->sent);
    }
    struct tg_slice body = tg_slice_from(call->body, call->sent - head_len);
    return body.len > 0 ? body : tg_buf_slice(&call->stream);
}

void tg_call_advance(struct tg_call *call, size_t len)
{
    if (call->sent < tg_buf_size(&call->head) + call->body.len) {
        call->sent += len;
    } else {
        call->stream_started = true;
        tg_buf_consume(&call->stream, len);
    }
    call->wrote = true;
    tg_call_moved(call);
}

/* Sends at once what was added, unless earlier bytes wait for room. */
static void push(struct tg_call *call)
{
    struct tg_upstream_conn *conn = call->conn;
    if (conn != NULL && conn->open && !conn->blocked) {
        tg_upstream_conn_write(conn);
    }
}

static enum tg_err append_chunk(struct tg_buf *out, struct tg_slice bytes)
{
    char *space;
    enum tg_err err = tg_buf_reserve(out, bytes.len + CHUNK_EXTRA, &space);
    if (err != TG_OK) {
        return err;
    }
    int digits = snprintf(space, CHUNK_EXTRA, "%zx\r\n", bytes.len);
    memcpy(space + digits, bytes.ptr, bytes.len);
    memcpy(space + (size_t)digits + bytes.len, "\r\n", 2);
    tg_buf_commit(out, (size_t)digits + bytes.len + 2);
    return TG_OK;
}

/* Adds to what goes out with the head while nothing of that has gone, or to what is kept for another try;
 * where there is no room, to the stream, which is forgotten as it goes. */
static struct tg_buf *stream_buffer(struct tg_call *call, size_t len)
{
    size_t held = tg_buf_size(&call->head);
    bool joins = (call->sent == 0 || call->replayable) && call->streams != TG_STREAM_TUNNEL &&
                 !call->stream_started && tg_buf_size(&call->stream) == 0 && len <= SMALL_BODY &&
                 held <= SMALL_BODY - len;
    return joins ? &call->head : &call->stream;
}

static enum tg_err append(struct tg_call *call, struct tg_slice bytes)
{
    struct tg_buf *out = stream_buffer(call, bytes.len);
    if (tg_call_unsent(call).len == 0) {
        tg_call_moved(call);
    }
    return call->streams == TG_STREAM_CHUNKED ? append_chunk(out, bytes) : tg_buf_append(out, bytes);
}

enum tg_err tg_call_send(struct tg_call *call, struct tg_slice bytes)
{
    size_t waiting = tg_buf_size(&call->stream);
    if (call->streams == TG_STREAM_NONE || call->finished) {
        return TG_EINVAL;
    }
    if (call->streams == TG_STREAM_LENGTH &&
        bytes.len > (uint64_t)call->request.body_length - call->streamed) {
        return TG_ELIMIT;
    }
    if (waiting > 0 && (bytes.len > STREAM_BUFFER || waiting > STREAM_BUFFER - bytes.len)) {
        call->wants_drain = true;
        return TG_EAGAIN;
    }
    bool lost = call->stream_started && call->conn != NULL && call->conn->write_failed;
    enum tg_err err = TG_OK;
    if (bytes.len > 0 && !lost) {
        err = append(call, bytes);
    }
    if (err == TG_OK) {
        call->streamed += bytes.len;
        push(call);
    }
    return err;
}

enum tg_err tg_call_finish(struct tg_call *call)
{
    if (call->streams == TG_STREAM_NONE || call->finished ||
        (call->streams == TG_STREAM_LENGTH && call->streamed != (uint64_t)call->request.body_length)) {
        return TG_EINVAL;
    }
    if (call->streams == TG_STREAM_CHUNKED) {
        struct tg_slice end = TG_LIT("0\r\n\r\n");
        enum tg_err err = tg_buf_append(stream_buffer(call, end.len), end);
        if (err != TG_OK) {
            return err;
        }
    }
    tg_call_moved(call);
    call->finished = true;
    push(call);
    return TG_OK;
}

void tg_call_drained(struct tg_call *call)
{
    if (call->wants_drain && tg_buf_size(&call->stream) <= STREAM_BUFFER / 2) {
        call->wants_drain = false;
        if (call->events.on_drain != NULL) {
            call->events.on_drain(call->arg);
        }
    }
}
