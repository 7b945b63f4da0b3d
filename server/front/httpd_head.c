/* Heads of requests: read where they were received or from what a connection has kept, and handed over, or
 * refused. */
#include <stdio.h>

#include "server/front/httpd_private.h"

/* A request that comes in one piece of at most so many bytes is read from a copy in its own memory; the
 * connection keeps nothing of it. */
enum { ONE_PIECE_MAX = 16384 };

/* An answer of our own to what is no request: {"message":"..."} (http-api.md 1.12), then the connection ends.
 * Why, is in the log. */
void http_head_refuse(struct http_conn *conn, int status)
{
    char body[128], head[512];
    struct tg_slice date = http_date(conn->httpd);
    int body_len = snprintf(body, sizeof body, "{\"message\":\"%s\"}", tg_http1_reason(status));
    int head_len = snprintf(head, sizeof head,
                            "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                            "Date: %.*s\r\nConnection: close\r\n\r\n%s",
                            status, tg_http1_reason(status), body_len, TG_FMT(date), body);
    conn->close = true;
    conn->state = HTTP_WRITE;
    if (head_len < 0 || (size_t)head_len >= sizeof head ||
        tg_buf_append(&conn->out, tg_slice_make(head, (size_t)head_len)) != TG_OK) {
        http_conn_abort(conn);
        return;
    }
    conn->in_due_ms = 0;
    http_conn_write(conn);
}

static struct tg_http1_limits codec_limits(const struct tg_httpd_limits *limits)
{
    return (struct tg_http1_limits){limits->max_request_line, limits->max_head, limits->max_headers};
}

/* Calls the handler. */
static void hand_over(struct http_conn *conn, struct http_exchange *exchange)
{
    struct tg_httpd *httpd = conn->httpd;
    conn->exchange = exchange;
    conn->state = HTTP_EXCHANGE;
    conn->requests++;
    http_count(&httpd->counters.requests, 1);
    if (httpd->draining ||
        (httpd->options.limits.max_requests > 0 && conn->requests >= httpd->options.limits.max_requests)) {
        exchange->close = true;
    }
    conn->in_due_ms = 0;
    httpd->options.handle(httpd->options.arg, &exchange->base);
}

/* ---- in one piece ---- */

/* What follows a head: a body that is whole stays with the request; anything else waits with the connection,
 * as do early bytes of a WebSocket. */
static enum tg_err keep_rest(struct http_exchange *exchange, const struct tg_http1_request *request,
                             struct tg_slice rest)
{
    bool whole = request->framing == TG_HTTP1_LENGTH && request->content_length <= rest.len;
    if (whole && !exchange->wants_upgrade) {
        exchange->here = tg_slice_head(rest, (size_t)request->content_length);
        rest = tg_slice_from(rest, exchange->here.len);
    }
    return rest.len > 0 ? tg_buf_append(&exchange->conn->in, rest) : TG_OK;
}

bool http_head_in_one(struct http_conn *conn, struct tg_slice bytes)
{
    const struct tg_http1_limits limits = codec_limits(&conn->httpd->options.limits);
    struct tg_http1_request request;
    struct http_exchange *exchange;
    struct tg_arena arena;
    struct tg_slice copy;
    size_t head_len;
    if (bytes.len > ONE_PIECE_MAX) {
        return false;
    }
    tg_arena_init(&arena, conn->httpd->options.arenas);
    if (tg_arena_copy(&arena, bytes, &copy) == TG_OK &&
        tg_http1_parse_known(copy, &limits, conn->httpd->known, &conn->hint, &arena, &request, &head_len) ==
            TG_OK &&
        http_exchange_new(conn, &request, &arena, &exchange) == TG_OK) {
        if (keep_rest(exchange, &request, tg_slice_from(copy, head_len)) == TG_OK) {
            hand_over(conn, exchange);
            return true;
        }
        http_exchange_free(exchange);
        return false;
    }
    tg_arena_reset(&arena);
    return false;
}

/* ---- from what was kept ---- */

/* Moves a slice of the connection's buffer to the same place in the exchange's copy of it. */
static void rebase(struct tg_slice *slice, const char *from, size_t len, const char *to)
{
    if (slice->ptr != NULL && slice->ptr >= from && slice->ptr <= from + len) {
        slice->ptr = to + (slice->ptr - from);
    }
}

static enum tg_err copy_head(struct tg_http1_request *request, struct tg_slice head, struct tg_arena *arena)
{
    struct tg_slice copy;
    enum tg_err err = tg_arena_copy(arena, head, &copy);
    if (err != TG_OK) {
        return err;
    }
    rebase(&request->method, head.ptr, head.len, copy.ptr);
    rebase(&request->target, head.ptr, head.len, copy.ptr);
    rebase(&request->path, head.ptr, head.len, copy.ptr);
    rebase(&request->query, head.ptr, head.len, copy.ptr);
    rebase(&request->host, head.ptr, head.len, copy.ptr);
    for (size_t i = 0; i < request->headers.count; i++) {
        rebase(&request->headers.items[i].name, head.ptr, head.len, copy.ptr);
        rebase(&request->headers.items[i].value, head.ptr, head.len, copy.ptr);
    }
    return TG_OK;
}

/* A head of so many bytes is at the front of what was kept. */
static void take_kept(struct http_conn *conn, struct tg_http1_request *request, size_t head_len,
                      struct tg_arena *arena)
{
    struct http_exchange *exchange;
    enum tg_err err = copy_head(request, tg_slice_head(tg_buf_slice(&conn->in), head_len), arena);
    if (err == TG_OK) {
        err = http_exchange_new(conn, request, arena, &exchange);
    }
    if (err != TG_OK) {
        tg_arena_reset(arena);
        http_head_refuse(conn, 503);
        return;
    }
    tg_buf_consume(&conn->in, head_len);
    hand_over(conn, exchange);
}

void http_head_read(struct http_conn *conn)
{
    struct tg_httpd *httpd = conn->httpd;
    const struct tg_http1_limits limits = codec_limits(&httpd->options.limits);
    struct tg_http1_request request;
    struct tg_http1_fault fault;
    struct tg_arena arena;
    size_t head_len;
    if (tg_buf_size(&conn->in) == 0) {
        tg_buf_free(&conn->in); /* an idle connection holds no buffer */
        if (conn->eof || conn->close) {
            http_conn_abort(conn);
        }
        return;
    }
    tg_arena_init(&arena, httpd->options.arenas);
    enum tg_err err = tg_http1_parse_request(tg_buf_slice(&conn->in), &conn->scanned, &limits, &arena,
                                             &request, &head_len, &fault);
    if (err == TG_OK) {
        conn->scanned = 0;
        take_kept(conn, &request, head_len, &arena);
        return;
    }
    tg_arena_reset(&arena);
    if (err == TG_EAGAIN && conn->eof) {
        http_conn_abort(conn);
    } else if (err == TG_EPROTO) {
        http_count(&httpd->counters.malformed, 1);
        tg_log(httpd->options.log, TG_LOG_INFO, "request refused", TG_KV_CSTR("client", conn->source_ip),
               TG_KV_INT("status", fault.status), TG_KV_CSTR("reason", fault.reason));
        http_head_refuse(conn, fault.status);
    } else if (err != TG_EAGAIN) {
        http_head_refuse(conn, 503);
    }
}
