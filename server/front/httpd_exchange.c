/* A request in the hands of its handler: its memory, its operations, and its turning into a WebSocket. */
#include "server/front/httpd_private.h"

static enum tg_err upgrade(struct tg_exchange *base, const struct tg_upgrade *settings,
                           struct tg_socket **socket, const struct tg_socket_ops **ops)
{
    struct http_exchange *exchange = http_exchange_of(base);
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
    struct tg_transport *transport = conn->transport;
    if (transport == NULL) {
        return TG_ECLOSED;
    }
    if (httpd->options.ws == NULL || key == NULL) {
        return TG_EIO;
    }
    conn->transport = NULL;
    enum tg_err err = tg_ws_adopt(httpd->options.ws, transport, key->value,
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
    .read_body = http_read_body,
    .body_at_hand = http_whole_body,
    .take_body = http_take_body,
    .hold_body = http_hold_body,
    .reply = http_reply,
    .reply_lines = http_reply_lines,
    .start = http_start,
    .send = http_send,
    .end = http_end,
    .tunnel = http_tunnel,
    .shut = http_shut,
    .upgrade = upgrade,
};

/* ---- life ---- */

static int64_t content_length(const struct tg_http1_request *request)
{
    if (request->framing == TG_HTTP1_CHUNKED) {
        return -1;
    }
    return request->content_length < INT64_MAX ? (int64_t)request->content_length : INT64_MAX;
}

enum tg_err http_exchange_new(struct http_conn *conn, const struct tg_http1_request *request,
                              struct tg_arena *arena, struct http_exchange **out)
{
    struct http_exchange *exchange = tg_arena_zalloc(arena, sizeof *exchange);
    if (exchange == NULL) {
        return TG_ENOMEM;
    }
    struct tg_exchange *base = &exchange->base;
    exchange->arena =
        *arena; /* which holds the head and the list of its fields, and now the exchange itself */
    exchange->conn = conn;
    exchange->close = !request->keep_alive;
    exchange->head_method = tg_slice_eq(request->method, TG_LIT("HEAD"));
    exchange->expect_continue = request->expect_continue;
    exchange->wants_upgrade = request->has_upgrade &&
                              tg_headers_has_token(&request->headers, TG_LIT("Upgrade"), TG_LIT("websocket"));
    tg_http1_body_init(&exchange->decoder, request->framing, request->content_length);
    tg_buf_init(&exchange->body, SIZE_MAX);
    tg_task_init(&exchange->body_task, http_body_task);
    tg_task_init(&exchange->write_task, http_write_task);
    base->ops = &exchange_ops;
    base->arena = &exchange->arena;
    base->method = request->method;
    base->target = request->target;
    base->path = request->path;
    base->query = request->query;
    base->host = request->host;
    base->headers = request->headers;
    base->minor = request->minor;
    base->has_body = request->framing != TG_HTTP1_NO_BODY;
    base->content_length = content_length(request);
    base->can_upgrade = request->minor >= 1;
    /* The connection outlives the exchange, also when the client has gone. */
    base->source_ip = tg_slice_make(conn->source_ip, conn->source_ip_len);
    base->port = conn->port;
    base->secure = conn->secure;
    base->peer = conn->peer;
    base->received_ms = tg_loop_wall_ms(conn->httpd->options.loop);
    *out = exchange;
    return TG_OK;
}

void http_exchange_free(struct http_exchange *exchange)
{
    struct tg_arena arena;
    if (exchange->ended != NULL) {
        *exchange->ended = true;
    }
    tg_task_cancel(&exchange->body_task);
    tg_task_cancel(&exchange->write_task);
    tg_buf_free(&exchange->body);
    arena = exchange->arena; /* the exchange lies in its own arena */
    tg_arena_reset(&arena);
}
