/* Calls: the request as it goes out, the streamed body, pauses, and the one end that each of them has. */
#include "server/io/upstream_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SMALL_BODY = 16384,    /* copied behind the head, so that both go out in one write */
    STREAM_BUFFER = 65536, /* of a streamed body */
    CHUNK_EXTRA = 20,      /* a chunk's size line and the line end behind it */
    LENGTH_TEXT_MAX = 24
};

/* Fields that are the client's own: framing, persistence, and an expectation that it would have to wait for.
 */
static bool is_own_field(struct tg_slice name)
{
    static const struct tg_slice names[] = {
        TG_LIT_INIT("Connection"),        TG_LIT_INIT("Content-Length"),
        TG_LIT_INIT("Transfer-Encoding"), TG_LIT_INIT("Expect"),
        TG_LIT_INIT("Keep-Alive"),        TG_LIT_INIT("Proxy-Connection"),
        TG_LIT_INIT("Upgrade"),           TG_LIT_INIT("TE"),
        TG_LIT_INIT("Trailer"),
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (tg_slice_eq_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_chunked(const struct tg_call_request *request)
{
    return request->stream_body && request->body_length < 0;
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
    return request->body.len > 0 || tg_slice_eq(request->method, TG_LIT("POST")) ||
           tg_slice_eq(request->method, TG_LIT("PUT")) || tg_slice_eq(request->method, TG_LIT("PATCH"));
}

static enum tg_err make_headers(const struct tg_call_request *request, struct tg_arena *arena,
                                char text[LENGTH_TEXT_MAX], struct tg_headers *out)
{
    enum tg_err err = TG_OK;
    uint64_t length = 0;
    for (size_t i = 0; i < request->headers.count && err == TG_OK; i++) {
        const struct tg_header *field = &request->headers.items[i];
        if (!is_own_field(field->name)) {
            err = tg_headers_add(out, arena, field->name, field->value);
        }
    }
    if (err == TG_OK && is_chunked(request)) {
        err = tg_headers_add(out, arena, TG_LIT("Transfer-Encoding"), TG_LIT("chunked"));
    } else if (err == TG_OK && content_length(request, &length)) {
        int len = snprintf(text, LENGTH_TEXT_MAX, "%llu", (unsigned long long)length);
        err = tg_headers_add(out, arena, TG_LIT("Content-Length"), tg_slice_make(text, (size_t)len));
    }
    return err;
}

static enum tg_err write_request(struct tg_call *call)
{
    const struct tg_call_request *request = &call->request;
    struct tg_arena arena;
    struct tg_headers headers = {0};
    char text[LENGTH_TEXT_MAX];
    tg_arena_init(&arena, &call->upstream->arenas);
    enum tg_err err = make_headers(request, &arena, text, &headers);
    if (err == TG_OK) {
        err = tg_http1_write_request(&call->head, request->method, request->target, &headers);
    }
    tg_arena_reset(&arena);
    if (err != TG_OK || request->stream_body) {
        return err;
    }
    if (request->body.len <= SMALL_BODY) {
        return tg_buf_append(&call->head, request->body);
    }
    call->body = request->body;
    return TG_OK;
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
}

static void call_free(struct tg_call *call)
{
    tg_timer_stop(&call->timer);
    tg_task_cancel(&call->task);
    tg_buf_free(&call->head);
    tg_buf_free(&call->stream);
    free(call);
}

/* Takes the call from wherever it is; a connection that it was using ends. */
static void detach(struct tg_call *call)
{
    struct tg_upstream_origin *origin = call->origin;
    struct tg_upstream_conn *conn = call->conn;
    if (origin != NULL) {
        tg_upstream_unqueue(call);
        tg_upstream_settle(origin);
    }
    if (conn != NULL) {
        conn->call = NULL;
        call->conn = NULL;
        tg_upstream_conn_drop(conn);
    }
}

void tg_call_end(struct tg_call *call, enum tg_err err)
{
    void (*on_end)(void *arg, enum tg_err err) = call->events.on_end;
    void *arg = call->arg;
    detach(call);
    call_free(call);
    on_end(arg, err);
}

void tg_call_end_later(struct tg_call *call, enum tg_err err)
{
    assert(call->conn == NULL && call->origin == NULL && err != TG_OK);
    call->failure = err;
    tg_task_defer(call->upstream->loop, &call->task);
}

void tg_call_cancel(struct tg_call *call)
{
    if (call != NULL) {
        detach(call);
        call_free(call);
    }
}

static void on_task(struct tg_task *task)
{
    struct tg_call *call = TG_CONTAINER(task, struct tg_call, task);
    if (call->failure != TG_OK) {
        tg_call_end(call, call->failure);
    } else if (call->conn != NULL && call->conn->open) {
        tg_upstream_conn_resume(call->conn);
    }
}

static void on_timeout(struct tg_timer *timer)
{
    struct tg_call *call = TG_CONTAINER(timer, struct tg_call, timer);
    call->upstream->stats.timeouts++;
    tg_call_end(call, TG_ETIMEOUT);
}

enum tg_err tg_call_new(struct tg_upstream *upstream, const struct tg_call_request *request,
                        const struct tg_call_events *events, void *arg, uint64_t max_body,
                        struct tg_call **out)
{
    struct tg_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return TG_ENOMEM;
    }
    call->upstream = upstream;
    call->request = *request;
    call->events = *events;
    call->arg = arg;
    call->max_body = max_body;
    call->finished = !request->stream_body;
    tg_list_init(&call->node);
    tg_timer_init(&call->timer, on_timeout);
    tg_task_init(&call->task, on_task);
    tg_buf_init(&call->head, SIZE_MAX);
    tg_buf_init(&call->stream, SIZE_MAX);
    enum tg_err err = write_request(call);
    if (err == TG_OK) {
        err = tg_upstream_place(call);
    }
    if (err != TG_OK) {
        call_free(call);
        return err;
    }
    upstream->stats.calls++;
    if (request->timeout_ms > 0) {
        tg_timer_start(upstream->loop, &call->timer, request->timeout_ms);
    }
    *out = call;
    return TG_OK;
}

enum tg_err tg_upstream_call(struct tg_upstream *upstream, const struct tg_call_request *request,
                             const struct tg_call_events *events, void *arg, struct tg_call **out)
{
    return tg_call_new(upstream, request, events, arg, UINT64_MAX, out);
}

void tg_call_pause(struct tg_call *call, bool paused)
{
    if (call->paused == paused) {
        return;
    }
    call->paused = paused;
    if (!paused) {
        /* Bytes may be waiting, and their owner is not called from here. */
        tg_task_defer(call->upstream->loop, &call->task);
    } else if (call->conn != NULL && call->conn->open) {
        tg_upstream_conn_want(call->conn);
    }
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

enum tg_err tg_call_send(struct tg_call *call, struct tg_slice bytes)
{
    const struct tg_call_request *request = &call->request;
    size_t waiting = tg_buf_size(&call->stream);
    if (call->finished) {
        return TG_EINVAL;
    }
    if (request->body_length >= 0 && bytes.len > (uint64_t)request->body_length - call->streamed) {
        return TG_ELIMIT;
    }
    if (waiting > 0 && (bytes.len > STREAM_BUFFER || waiting > STREAM_BUFFER - bytes.len)) {
        call->wants_drain = true;
        return TG_EAGAIN;
    }
    bool lost = call->stream_started && call->conn != NULL && call->conn->write_failed;
    enum tg_err err = TG_OK;
    if (bytes.len > 0 && !lost) {
        err = is_chunked(request) ? append_chunk(&call->stream, bytes) : tg_buf_append(&call->stream, bytes);
    }
    if (err == TG_OK) {
        call->streamed += bytes.len;
        push(call);
    }
    return err;
}

enum tg_err tg_call_finish(struct tg_call *call)
{
    const struct tg_call_request *request = &call->request;
    if (call->finished || (request->body_length >= 0 && call->streamed != (uint64_t)request->body_length)) {
        return TG_EINVAL;
    }
    if (is_chunked(request)) {
        enum tg_err err = tg_buf_append(&call->stream, TG_LIT("0\r\n\r\n"));
        if (err != TG_OK) {
            return err;
        }
    }
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
