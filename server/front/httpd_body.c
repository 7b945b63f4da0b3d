/* Bodies of requests: collected whole, or handed on as they come. What a client sends through a tunnel is one
 * as well, that ends when the client half-closes. Handed on means: nothing is kept but what one read brought
 * while the handler holds it; meanwhile the socket is not read, and the client waits. */
#include <assert.h>

#include "server/front/httpd_private.h"

enum { SMALL_BODY = 1024 }; /* lies in the exchange's arena, where it comes in one piece */

static struct tg_loop *loop_of(const struct http_exchange *exchange)
{
    return exchange->conn->httpd->options.loop;
}

static bool waits(const struct http_exchange *exchange)
{
    return exchange->body_use != HTTP_BODY_UNASKED && !exchange->body_over;
}

bool http_body_flows(const struct http_exchange *exchange)
{
    return exchange->body_use == HTTP_BODY_TAKEN && !exchange->body_over;
}

static void finish(struct http_exchange *exchange, enum tg_err result)
{
    exchange->body_over = true;
    exchange->body_result = result;
    exchange->close = exchange->close || result != TG_OK;
    exchange->conn->in_due_ms = 0;
    tg_task_defer(loop_of(exchange), &exchange->body_task);
}

void http_body_fail(struct http_exchange *exchange, enum tg_err err)
{
    if (waits(exchange)) {
        finish(exchange, err);
    }
}

/* While the client is to send more of a body that is handed on: some, within the time. A tunnel has all the
 * time it wants. */
static void mind_time(struct http_exchange *exchange)
{
    struct http_conn *conn = exchange->conn;
    bool waiting = !exchange->held && exchange->answer != HTTP_ANSWER_TUNNEL;
    http_conn_time(conn, &conn->in_due_ms, waiting ? conn->httpd->options.limits.body_timeout_ms : 0);
}

/* ---- decoding ---- */

/* Decodes up to and with one piece of content, and what comes behind it that is none: so that the end of a
 * body shows with its last bytes. */
static enum tg_err decode(struct tg_http1_body *decoder, struct tg_slice in, size_t *used,
                          struct tg_slice *content)
{
    size_t more = 0;
    enum tg_err err = tg_http1_body_decode(decoder, in, used, content);
    while (err == TG_OK && !decoder->done && content->len > 0 && *used < in.len) {
        struct tg_http1_body ahead = *decoder;
        struct tg_slice next;
        if (tg_http1_body_decode(&ahead, tg_slice_from(in, *used), &more, &next) != TG_OK || next.len > 0) {
            break; /* both are for the next call */
        }
        *decoder = ahead;
        *used += more;
    }
    return err;
}

/* The next content, from the front of what was kept or else of what has just come. False: none now, or the
 * body is over. */
static bool next_content(struct http_exchange *exchange, struct tg_slice *fresh, struct tg_slice *content)
{
    struct http_conn *conn = exchange->conn;
    while (!exchange->body_over) {
        bool here = exchange->here.len > 0, kept = !here && tg_buf_size(&conn->in) > 0;
        struct tg_slice from = here ? exchange->here : kept ? tg_buf_slice(&conn->in) : *fresh;
        size_t used = 0;
        if (exchange->decoder.done) {
            finish(exchange, TG_OK);
            break;
        }
        if (from.len == 0 && conn->eof) {
            finish(exchange, exchange->decoder.framing == TG_HTTP1_UNTIL_CLOSE ? TG_OK : TG_ECLOSED);
        }
        if (from.len == 0) {
            break;
        }
        enum tg_err err = decode(&exchange->decoder, from, &used, content);
        if (err == TG_OK && content->len > exchange->body_limit - exchange->body_taken) {
            err = TG_ELIMIT;
        }
        if (err != TG_OK) {
            finish(exchange, err);
            break;
        }
        if (here) {
            exchange->here = tg_slice_from(exchange->here, used);
        } else if (kept) {
            tg_buf_consume(&conn->in, used);
        } else {
            *fresh = tg_slice_from(*fresh, used);
        }
        exchange->body_taken += content->len;
        if (content->len > 0) {
            return true;
        }
    }
    return false;
}

/* Moves what has just come behind what was kept. */
static enum tg_err keep(struct http_exchange *exchange, struct tg_slice *fresh)
{
    enum tg_err err = fresh->len > 0 ? tg_buf_append(&exchange->conn->in, *fresh) : TG_OK;
    *fresh = TG_EMPTY;
    return err;
}

static enum tg_err collect(struct http_exchange *exchange, struct tg_slice fresh)
{
    struct tg_slice content;
    if (exchange->here.len > 0 && next_content(exchange, &fresh, &content)) {
        exchange->small_body = content; /* the whole */
    }
    while (next_content(exchange, &fresh, &content)) {
        bool whole = exchange->decoder.done && tg_buf_size(&exchange->body) == 0;
        enum tg_err err = whole && content.len <= SMALL_BODY
                              ? tg_arena_copy(&exchange->arena, content, &exchange->small_body)
                              : tg_buf_append(&exchange->body, content);
        if (err != TG_OK) {
            finish(exchange, err);
        }
    }
    return keep(exchange, &fresh);
}

static void tell_end(struct http_exchange *exchange)
{
    tg_task_cancel(&exchange->body_task);
    exchange->body_events->on_end(exchange->body_arg, exchange->body_result);
}

/* The handler may end the exchange from any of its calls; what is behind the bytes it is given must be where
 * the end looks for it. */
static void hand_on(struct http_exchange *exchange, struct tg_slice fresh)
{
    struct tg_slice content;
    bool ended = false;
    enum tg_err err = TG_OK;
    exchange->ended = &ended;
    while (err == TG_OK && !exchange->held && next_content(exchange, &fresh, &content)) {
        err = keep(exchange, &fresh);
        if (err == TG_OK) {
            exchange->body_events->on_bytes(exchange->body_arg, content);
        }
        if (ended) {
            return;
        }
    }
    exchange->ended = NULL;
    if (err != TG_OK || keep(exchange, &fresh) != TG_OK) {
        http_conn_abort(exchange->conn);
        return;
    }
    if (!exchange->body_over) {
        mind_time(exchange);
    }
    http_conn_want(exchange->conn);
    if (exchange->body_over) {
        tell_end(exchange);
    }
}

void http_body_input(struct http_exchange *exchange, struct tg_slice bytes)
{
    struct http_conn *conn = exchange->conn;
    enum tg_err err = TG_OK;
    if (!waits(exchange) || exchange->here.len > 0 || tg_buf_size(&conn->in) > 0) {
        err = keep(exchange, &bytes);
    }
    if (err == TG_OK && http_body_flows(exchange)) {
        hand_on(exchange, bytes);
        return;
    }
    if (err == TG_OK && waits(exchange)) {
        err = collect(exchange, bytes);
    }
    if (err != TG_OK) {
        http_conn_abort(conn);
        return;
    }
    http_conn_want(conn);
}

void http_body_task(struct tg_task *task)
{
    struct http_exchange *exchange = TG_CONTAINER(task, struct http_exchange, body_task);
    if (exchange->body_use == HTTP_BODY_COLLECTED) {
        void (*done)(void *, enum tg_err, struct tg_slice) = exchange->body_done;
        exchange->body_done = NULL;
        struct tg_slice body =
            exchange->small_body.len > 0 ? exchange->small_body : tg_buf_slice(&exchange->body);
        done(exchange->body_arg, exchange->body_result, exchange->body_result == TG_OK ? body : TG_EMPTY);
    } else if (exchange->body_over) {
        tell_end(exchange);
    } else {
        hand_on(exchange, TG_EMPTY);
    }
}

/* What is behind a failure cannot be read. */
static bool has_failed(const struct http_exchange *exchange)
{
    return exchange->body_over && exchange->body_result != TG_OK;
}

/* What came with the head is the whole body, and is taken as such. */
static struct tg_slice take_here(struct http_exchange *exchange)
{
    struct tg_slice body = exchange->here;
    exchange->here = TG_EMPTY;
    exchange->decoder.remaining = 0;
    exchange->decoder.done = true;
    return body;
}

bool http_body_skip(struct http_exchange *exchange)
{
    struct http_conn *conn = exchange->conn;
    size_t used = 1;
    if (has_failed(exchange)) {
        return false;
    }
    if (exchange->here.len > 0) {
        (void)take_here(exchange);
    }
    while (used > 0 && !exchange->decoder.done && tg_buf_size(&conn->in) > 0) {
        struct tg_slice content;
        if (tg_http1_body_decode(&exchange->decoder, tg_buf_slice(&conn->in), &used, &content) != TG_OK) {
            return false;
        }
        tg_buf_consume(&conn->in, used);
    }
    return exchange->decoder.done;
}

bool http_body_at_hand(const struct http_exchange *exchange)
{
    struct tg_http1_body decoder = exchange->decoder;
    struct tg_slice in = tg_buf_slice(&exchange->conn->in);
    struct tg_slice content;
    size_t used = 1;
    if (has_failed(exchange)) {
        return false;
    }
    if (exchange->here.len > 0) {
        return true;
    }
    while (used > 0 && !decoder.done && in.len > 0) {
        if (tg_http1_body_decode(&decoder, in, &used, &content) != TG_OK) {
            return false;
        }
        in = tg_slice_from(in, used);
    }
    return decoder.done;
}

/* ---- what the handler asks for ---- */

/* False: the body will not be had, which the handler is told later. */
static bool ask(struct http_exchange *exchange, uint64_t limit, void *arg)
{
    struct http_conn *conn = exchange->conn;
    const struct tg_http1_body *decoder = &exchange->decoder;
    exchange->body_limit = limit;
    exchange->body_taken = 0;
    exchange->body_over = false;
    exchange->body_arg = arg;
    if (conn->transport == NULL) {
        finish(exchange, TG_ECLOSED);
        return false;
    }
    if (decoder->framing == TG_HTTP1_LENGTH && decoder->remaining > limit) {
        finish(exchange, TG_ELIMIT);
        return false;
    }
    if (exchange->expect_continue && exchange->answer == HTTP_ANSWER_NONE && !decoder->done &&
        exchange->here.len == 0 && tg_buf_size(&conn->in) == 0) {
        if (tg_buf_append(&conn->out, TG_LIT("HTTP/1.1 100 Continue\r\n\r\n")) != TG_OK) {
            finish(exchange, TG_ENOMEM);
            return false;
        }
        tg_task_defer(loop_of(exchange), &exchange->write_task);
    }
    exchange->expect_continue = false;
    return true;
}

void http_read_body(struct tg_exchange *base, size_t limit,
                    void (*done)(void *arg, enum tg_err err, struct tg_slice body), void *arg)
{
    struct http_exchange *exchange = http_exchange_of(base);
    struct http_conn *conn = exchange->conn;
    assert(exchange->body_done == NULL && exchange->body_use != HTTP_BODY_TAKEN);
    exchange->body_use = HTTP_BODY_COLLECTED;
    exchange->body_done = done;
    if (ask(exchange, limit, arg)) {
        http_conn_time(conn, &conn->in_due_ms, conn->httpd->options.limits.body_timeout_ms);
        if (collect(exchange, TG_EMPTY) != TG_OK) {
            finish(exchange, TG_ENOMEM);
        }
        http_conn_want(conn);
    }
}

bool http_whole_body(struct tg_exchange *base, size_t limit, struct tg_slice *body)
{
    struct http_exchange *exchange = http_exchange_of(base);
    struct http_conn *conn = exchange->conn;
    const struct tg_http1_body *decoder = &exchange->decoder;
    struct tg_slice content = TG_EMPTY;
    assert(exchange->body_use == HTTP_BODY_UNASKED);
    if (conn->transport == NULL || conn->broken) {
        return false;
    }
    if (!decoder->done) {
        struct tg_slice in = tg_buf_slice(&conn->in);
        if (decoder->framing != TG_HTTP1_LENGTH || decoder->remaining > limit) {
            return false;
        }
        if (exchange->here.len > 0) {
            content = take_here(exchange);
        } else if (decoder->remaining <= in.len &&
                   tg_arena_copy(&exchange->arena, tg_slice_head(in, (size_t)decoder->remaining), &content) ==
                       TG_OK) {
            tg_buf_consume(&conn->in, content.len);
            exchange->decoder.remaining = 0;
            exchange->decoder.done = true;
            http_conn_want(conn);
        } else {
            return false;
        }
    }
    exchange->body_use = HTTP_BODY_COLLECTED;
    exchange->body_over = true;
    exchange->body_result = TG_OK;
    exchange->expect_continue = false;
    *body = content;
    return true;
}

/* Whether there is something to tell before more comes. */
static bool has_news(const struct http_exchange *exchange)
{
    const struct http_conn *conn = exchange->conn;
    return exchange->decoder.done || conn->eof || exchange->here.len > 0 || tg_buf_size(&conn->in) > 0;
}

static void go_on(struct http_exchange *exchange)
{
    mind_time(exchange);
    if (!exchange->held && has_news(exchange)) {
        tg_task_defer(loop_of(exchange), &exchange->body_task);
    }
    http_conn_want(exchange->conn);
}

void http_take_body(struct tg_exchange *base, uint64_t limit, const struct tg_body_events *events, void *arg)
{
    struct http_exchange *exchange = http_exchange_of(base);
    assert(exchange->body_use == HTTP_BODY_UNASKED);
    exchange->body_use = HTTP_BODY_TAKEN;
    exchange->body_events = events;
    if (ask(exchange, limit > 0 ? limit : UINT64_MAX, arg)) {
        go_on(exchange);
    }
}

void http_body_tunnel(struct http_exchange *exchange, const struct tg_body_events *events, void *arg)
{
    tg_task_cancel(&exchange->body_task);
    tg_http1_body_init(&exchange->decoder, TG_HTTP1_UNTIL_CLOSE, 0);
    exchange->body_use = HTTP_BODY_TAKEN;
    exchange->body_events = events;
    exchange->body_arg = arg;
    exchange->body_limit = UINT64_MAX;
    exchange->body_taken = 0;
    exchange->body_over = false;
    exchange->held = false;
    go_on(exchange);
}

void http_hold_body(struct tg_exchange *base, bool hold)
{
    struct http_exchange *exchange = http_exchange_of(base);
    if (exchange->held == hold) {
        return;
    }
    exchange->held = hold;
    if (http_body_flows(exchange)) {
        go_on(exchange);
    }
}
