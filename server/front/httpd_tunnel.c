/* Tunnels: a connection whose client and handler speak a protocol of their own after a 101. The bytes of the
 * client are a body that lasts until it half-closes (httpd_body.c), those of the handler an answer without
 * framing (httpd_answer.c). */
#include <assert.h>

#include "server/front/httpd_private.h"

/* Fields that have no place in a 101 (RFC 9110 section 8.6, RFC 9112 section 6.1). */
static bool is_misplaced(struct tg_slice name)
{
    return tg_slice_eq_nocase(name, TG_LIT("Content-Length")) ||
           tg_slice_eq_nocase(name, TG_LIT("Transfer-Encoding")) ||
           tg_slice_eq_nocase(name, TG_LIT("Keep-Alive"));
}

static enum tg_err write_head(struct http_exchange *exchange, const struct tg_headers *given)
{
    struct tg_headers fields = {0};
    for (size_t i = 0; i < given->count; i++) {
        const struct tg_header *field = &given->items[i];
        enum tg_err err = TG_OK;
        if (!is_misplaced(field->name)) {
            err = tg_headers_add(&fields, &exchange->arena, field->name, field->value);
        }
        if (err != TG_OK) {
            return err;
        }
    }
    return tg_http1_write_response(&exchange->conn->out, 101, &fields);
}

static void count_open(struct tg_httpd *httpd, int change)
{
    _Atomic(uint64_t) *open = &httpd->counters.tunnels_open;
    uint64_t now = atomic_load_explicit(open, memory_order_relaxed);
    atomic_store_explicit(open, change > 0 ? now + 1 : now - 1, memory_order_relaxed);
}

enum tg_err http_tunnel(struct tg_exchange *base, const struct tg_headers *headers,
                        const struct tg_body_events *events, void *arg)
{
    struct http_exchange *exchange = http_exchange_of(base);
    struct http_conn *conn = exchange->conn;
    assert(exchange->answer == HTTP_ANSWER_NONE && exchange->body_done == NULL);
    if (conn->transport == NULL || conn->broken) {
        exchange->answer = HTTP_ANSWER_GONE;
        return TG_ECLOSED;
    }
    if (!base->can_upgrade || http_body_flows(exchange) || !http_body_at_hand(exchange)) {
        return TG_EINVAL; /* and what has come of the body is still to be had */
    }
    enum tg_err err = write_head(exchange, headers);
    if (err != TG_OK) {
        return err;
    }
    (void)http_body_skip(exchange);
    exchange->answer = HTTP_ANSWER_TUNNEL;
    conn->close = true;
    conn->out_due_ms = 0;
    http_count(&conn->httpd->counters.tunnels, 1);
    count_open(conn->httpd, 1);
    http_body_tunnel(exchange, events, arg);
    tg_task_defer(conn->httpd->options.loop, &exchange->write_task);
    return TG_OK;
}

void http_shut(struct tg_exchange *base)
{
    struct http_exchange *exchange = http_exchange_of(base);
    assert(exchange->answer == HTTP_ANSWER_TUNNEL || exchange->answer == HTTP_ANSWER_GONE);
    if (!exchange->shut) {
        exchange->shut = true;
        tg_task_defer(exchange->conn->httpd->options.loop, &exchange->write_task);
    }
}

void http_tunnel_end(struct http_exchange *exchange, bool whole)
{
    struct http_conn *conn = exchange->conn;
    count_open(conn->httpd, -1);
    if (!whole) {
        tg_buf_free(&conn->out);
        conn->blocked = false;
        conn->cut = HTTP_CUT_RESET;
    }
}
