/* A request in the hands of its handler: its memory, its body, its answer. */
#include <assert.h>
#include <stdio.h>

#include "server/front/httpd_private.h"

static struct http_exchange *exchange_of(struct tg_exchange *base)
{
    return TG_CONTAINER(base, struct http_exchange, base);
}

/* ---- the body ---- */

static void on_body_task(struct tg_task *task)
{
    struct http_exchange *exchange = TG_CONTAINER(task, struct http_exchange, body_task);
    void (*done)(void *, enum tg_err, struct tg_slice) = exchange->body_done;
    exchange->body_done = NULL;
    done(exchange->body_arg, exchange->body_result,
         exchange->body_result == TG_OK ? tg_buf_slice(&exchange->body) : TG_EMPTY);
}

static void finish_body(struct http_exchange *exchange, enum tg_err result)
{
    exchange->body_result = result;
    exchange->close = exchange->close || result != TG_OK;
    tg_timer_stop(&exchange->conn->timer);
    tg_task_defer(exchange->conn->httpd->options.loop, &exchange->body_task);
}

static bool body_waits(const struct http_exchange *exchange)
{
    return exchange->body_done != NULL && tg_list_empty(&exchange->body_task.node);
}

void http_exchange_fail_body(struct http_exchange *exchange, enum tg_err err)
{
    if (body_waits(exchange)) {
        finish_body(exchange, err);
    }
}

void http_exchange_input(struct http_exchange *exchange)
{
    struct http_conn *conn = exchange->conn;
    size_t used = 1;
    if (!body_waits(exchange)) {
        http_conn_want(conn);
        return;
    }
    while (used > 0 && !exchange->decoder.done && tg_buf_size(&conn->in) > 0) {
        struct tg_slice content;
        enum tg_err err = tg_http1_body_decode(&exchange->decoder, tg_buf_slice(&conn->in), &used, &content);
        if (err == TG_OK && content.len > exchange->body_limit - tg_buf_size(&exchange->body)) {
            err = TG_ELIMIT;
        }
        if (err == TG_OK) {
            err = tg_buf_append(&exchange->body, content);
        }
        if (err != TG_OK) {
            finish_body(exchange, err);
            return;
        }
        tg_buf_consume(&conn->in, used);
    }
    if (exchange->decoder.done) {
        finish_body(exchange, TG_OK);
    } else if (conn->eof) {
        finish_body(exchange, TG_ECLOSED);
    }
    http_conn_want(conn);
}

static void read_body(struct tg_exchange *base, size_t limit,
                      void (*done)(void *arg, enum tg_err err, struct tg_slice body), void *arg)
{
    struct http_exchange *exchange = exchange_of(base);
    struct http_conn *conn = exchange->conn;
    assert(exchange->body_done == NULL);
    exchange->body_limit = limit;
    exchange->body_done = done;
    exchange->body_arg = arg;
    if (conn->transport == NULL) {
        finish_body(exchange, TG_ECLOSED);
        return;
    }
    if (exchange->decoder.framing == TG_HTTP1_LENGTH && exchange->decoder.remaining > limit) {
        finish_body(exchange, TG_ELIMIT);
        return;
    }
    http_conn_time(conn, conn->httpd->options.limits.body_timeout_ms);
    if (exchange->expect_continue && !exchange->decoder.done && tg_buf_size(&conn->in) == 0) {
        if (tg_buf_append(&conn->out, TG_LIT("HTTP/1.1 100 Continue\r\n\r\n")) != TG_OK) {
            finish_body(exchange, TG_ENOMEM);
            return;
        }
        exchange->expect_continue = false;
        http_conn_write(conn);
    }
    http_exchange_input(exchange);
}

/* ---- the answer ---- */

/* Whether the rest of the request's body is at hand, so that the connection can be used again. */
static bool skip_body(struct http_exchange *exchange)
{
    struct http_conn *conn = exchange->conn;
    size_t used = 1;
    while (used > 0 && !exchange->decoder.done && tg_buf_size(&conn->in) > 0) {
        struct tg_slice content;
        if (tg_http1_body_decode(&exchange->decoder, tg_buf_slice(&conn->in), &used, &content) != TG_OK) {
            return false;
        }
        tg_buf_consume(&conn->in, used);
    }
    return exchange->decoder.done;
}

static bool has_no_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* Fields that say how an answer lies on the wire: the front door's own. */
static bool is_framing(struct tg_slice name)
{
    return tg_slice_eq_nocase(name, TG_LIT("Content-Length")) ||
           tg_slice_eq_nocase(name, TG_LIT("Transfer-Encoding")) ||
           tg_slice_eq_nocase(name, TG_LIT("Connection")) || tg_slice_eq_nocase(name, TG_LIT("Keep-Alive"));
}

/* Upgrade needs its option beside it (RFC 9110 section 7.8). */
static struct tg_slice connection_options(const struct http_exchange *exchange,
                                          const struct tg_headers *headers)
{
    bool upgrade = tg_headers_first(headers, TG_LIT("Upgrade")) != NULL;
    if (exchange->close) {
        return upgrade ? TG_LIT("upgrade, close") : TG_LIT("close");
    }
    if (exchange->tell_keep_alive) {
        return upgrade ? TG_LIT("upgrade, keep-alive") : TG_LIT("keep-alive");
    }
    return upgrade ? TG_LIT("upgrade") : TG_EMPTY;
}

static enum tg_err answer_headers(struct http_exchange *exchange, int status, const struct tg_headers *given,
                                  size_t body_len, struct tg_headers *out)
{
    struct tg_arena *arena = &exchange->arena;
    struct tg_slice length;
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < given->count; i++) {
        const struct tg_header *field = &given->items[i];
        /* A field that could not be read back is dropped rather than the answer: it came from a back end. */
        if (tg_header_name_ok(field->name) && tg_header_value_ok(field->value) && !is_framing(field->name)) {
            err = tg_headers_add(out, arena, field->name, field->value);
        }
    }
    if (err == TG_OK && !has_no_body(status)) {
        err = tg_arena_printf(arena, &length, "%zu", body_len);
        if (err == TG_OK) {
            err = tg_headers_add(out, arena, TG_LIT("Content-Length"), length);
        }
    }
    if (err == TG_OK && tg_headers_first(out, TG_LIT("Date")) == NULL) {
        err = tg_headers_add(out, arena, TG_LIT("Date"), http_date(exchange->conn->httpd));
    }
    struct tg_slice options = connection_options(exchange, out);
    if (err == TG_OK && options.len > 0) {
        err = tg_headers_add(out, arena, TG_LIT("Connection"), options);
    }
    return err;
}

static void reply(struct tg_exchange *base, int status, const struct tg_headers *given, struct tg_slice body)
{
    struct http_exchange *exchange = exchange_of(base);
    struct http_conn *conn = exchange->conn;
    if (conn->transport != NULL) {
        struct tg_headers headers = {0};
        bool reusable = skip_body(exchange) && !(conn->eof && tg_buf_size(&conn->in) == 0);
        bool keeps = conn->httpd->options.limits.keep_alive_timeout_ms > 0 && !conn->httpd->draining;
        exchange->close = exchange->close || conn->close || !keeps || !reusable;
        enum tg_err err = answer_headers(exchange, status, given, body.len, &headers);
        if (err == TG_OK) {
            err = tg_http1_write_response(&conn->out, status, &headers);
        }
        if (err == TG_OK && !exchange->head_method && !has_no_body(status)) {
            err = tg_buf_append(&conn->out, body);
        }
        conn->close = exchange->close;
        if (err != TG_OK) {
            tg_log(conn->httpd->options.log, TG_LOG_ERROR, "answer not written", TG_KV_ERR(err));
            tg_transport_close(conn->transport);
            conn->transport = NULL;
        }
    }
    http_exchange_free(exchange);
    http_conn_answered(conn);
}

static enum tg_err upgrade(struct tg_exchange *base, const struct tg_upgrade *settings,
                           struct tg_socket **socket, const struct tg_socket_ops **ops)
{
    struct http_exchange *exchange = exchange_of(base);
    struct http_conn *conn = exchange->conn;
    struct tg_httpd *httpd = conn->httpd;
    const struct tg_header *key = tg_headers_first(&base->headers, TG_LIT("Sec-WebSocket-Key"));
    const struct tg_header *extensions = tg_headers_first(&base->headers, TG_LIT("Sec-WebSocket-Extensions"));
    const struct tg_ws_limits limits = {
        .max_frame = settings->max_frame,
        .max_message = settings->max_message,
        .binary = settings->binary,
        .deflate = settings->deflate,
        .close_timeout_ms = settings->close_timeout_ms,
    };
    if (conn->transport == NULL) {
        return TG_ECLOSED;
    }
    int fd = httpd->options.ws != NULL && key != NULL ? tg_transport_detach(conn->transport) : -1;
    if (fd < 0) {
        return TG_EIO;
    }
    conn->transport = NULL;
    enum tg_err err = tg_ws_adopt(httpd->options.ws, fd, key->value,
                                  extensions != NULL ? extensions->value : TG_EMPTY, &settings->headers,
                                  tg_buf_slice(&conn->in), &limits, settings->events, settings->arg, socket);
    if (err != TG_OK) {
        tg_log(httpd->options.log, TG_LOG_WARN, "socket not adopted", TG_KV_ERR(err));
        conn->dead = true;
        return TG_ECLOSED;
    }
    *ops = &tg_ws_ops;
    http_count(&httpd->counters.upgraded, 1);
    http_exchange_free(exchange);
    http_conn_release(conn);
    return TG_OK;
}

static const struct tg_exchange_ops exchange_ops = {
    .read_body = read_body, .reply = reply, .upgrade = upgrade};

/* ---- life ---- */

/* Moves a slice of the connection's buffer to the same place in the exchange's copy of it. */
static void rebase(struct tg_slice *slice, const char *from, size_t len, const char *to)
{
    if (slice->ptr != NULL && slice->ptr >= from && slice->ptr <= from + len) {
        slice->ptr = to + (slice->ptr - from);
    }
}

static enum tg_err copy_head(struct http_exchange *exchange, const struct tg_http1_request *request,
                             size_t head_len)
{
    struct tg_exchange *base = &exchange->base;
    const char *from = tg_buf_slice(&exchange->conn->in).ptr;
    struct tg_slice copy;
    enum tg_err err = tg_arena_copy(&exchange->arena, tg_slice_make(from, head_len), &copy);
    if (err != TG_OK) {
        return err;
    }
    base->method = request->method;
    base->target = request->target;
    base->path = request->path;
    base->query = request->query;
    base->host = request->host;
    base->headers = request->headers;
    rebase(&base->method, from, head_len, copy.ptr);
    rebase(&base->target, from, head_len, copy.ptr);
    rebase(&base->path, from, head_len, copy.ptr);
    rebase(&base->query, from, head_len, copy.ptr);
    rebase(&base->host, from, head_len, copy.ptr);
    for (size_t i = 0; i < base->headers.count; i++) {
        rebase(&base->headers.items[i].name, from, head_len, copy.ptr);
        rebase(&base->headers.items[i].value, from, head_len, copy.ptr);
    }
    return TG_OK;
}

enum tg_err http_exchange_new(struct http_conn *conn, const struct tg_http1_request *request, size_t head_len,
                              struct tg_arena *arena, struct http_exchange **out)
{
    struct http_exchange *exchange = tg_arena_zalloc(arena, sizeof *exchange);
    if (exchange == NULL) {
        return TG_ENOMEM;
    }
    exchange->arena = *arena; /* which holds the head's list of fields, and now the exchange itself */
    exchange->conn = conn;
    exchange->close = !request->keep_alive;
    exchange->head_method = tg_slice_eq(request->method, TG_LIT("HEAD"));
    exchange->expect_continue = request->expect_continue;
    exchange->tell_keep_alive = request->keep_alive && request->minor == 0;
    exchange->wants_upgrade = tg_headers_has_token(&request->headers, TG_LIT("Upgrade"), TG_LIT("websocket"));
    tg_http1_body_init(&exchange->decoder, request->framing, request->content_length);
    tg_buf_init(&exchange->body, SIZE_MAX);
    tg_task_init(&exchange->body_task, on_body_task);
    enum tg_err err = copy_head(exchange, request, head_len);
    if (err == TG_OK) {
        err = tg_arena_copy(&exchange->arena, tg_slice_cstr(conn->source_ip), &exchange->base.source_ip);
    }
    if (err != TG_OK) {
        *arena = exchange->arena;
        return err;
    }
    exchange->base.ops = &exchange_ops;
    exchange->base.arena = &exchange->arena;
    exchange->base.can_upgrade = request->minor >= 1;
    exchange->base.port = conn->port;
    exchange->base.received_ms = tg_loop_wall_ms(conn->httpd->options.loop);
    *out = exchange;
    return TG_OK;
}

void http_exchange_free(struct http_exchange *exchange)
{
    struct tg_arena arena;
    tg_task_cancel(&exchange->body_task);
    tg_buf_free(&exchange->body);
    arena = exchange->arena; /* the exchange lies in its own arena */
    tg_arena_reset(&arena);
}
