/* A connection of the HTTP server: its state, what comes to it, time-outs, the end. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/front/httpd_private.h"
#include "server/io/sends.h"

enum {
    EARLY_MAX = 65536,    /* bytes held behind a head while its request is with the handler */
    LINGER_MAX = 32 << 20 /* bytes discarded after an answer that came before the end of its request */
};

static bool wants_read(const struct http_conn *conn)
{
    if (conn->eof) {
        return false;
    }
    if (conn->state == HTTP_LINGER) {
        return true;
    }
    if (conn->state == HTTP_EXCHANGE && http_body_flows(conn->exchange)) {
        /* One read's worth, which the handler holds. */
        return tg_buf_size(&conn->in) == 0 && conn->exchange->here.len == 0;
    }
    return tg_buf_size(&conn->in) < conn->httpd->options.limits.max_head + EARLY_MAX;
}

void http_conn_want(struct http_conn *conn)
{
    if (conn->transport != NULL) {
        tg_transport_want(conn->transport, wants_read(conn), conn->blocked);
    }
}

void http_conn_time(struct http_conn *conn, uint64_t *due_ms, uint64_t limit_ms)
{
    struct tg_loop *loop = conn->httpd->options.loop;
    *due_ms = limit_ms > 0 ? tg_loop_now_ms(loop) + limit_ms : 0;
    if (limit_ms > 0 && (!tg_timer_armed(&conn->timer) || conn->timer.due_ms > *due_ms)) {
        tg_timer_start(loop, &conn->timer, limit_ms);
    }
}

void http_conn_free(struct http_conn *conn)
{
    if (conn->gathered != 0) {
        tg_sends_forget(tg_loop_sends(conn->httpd->options.loop), conn->gathered);
    }
    tg_transport_close(conn->transport);
    tg_timer_stop(&conn->timer);
    tg_task_cancel(&conn->resume);
    tg_list_remove(&conn->node);
    http_closed(conn->httpd);
    tg_buf_free(&conn->in);
    tg_buf_free(&conn->out);
    free(conn->peer);
    free(conn);
}

void http_conn_release(struct http_conn *conn)
{
    conn->transport = NULL;
    conn->exchange = NULL;
    http_conn_free(conn);
}

void http_conn_abort(struct http_conn *conn)
{
    struct http_exchange *exchange = conn->exchange;
    if (exchange == NULL) {
        http_conn_free(conn);
        return;
    }
    /* The handler still owes an answer: only the socket goes now. */
    tg_transport_close(conn->transport);
    conn->transport = NULL;
    tg_timer_stop(&conn->timer);
    if (!conn->dead) {
        conn->dead = true;
        http_body_fail(exchange, TG_ECLOSED);
        if (exchange->base.on_abort != NULL) {
            exchange->base.on_abort(exchange->base.abort_arg);
        }
    }
}

void http_conn_break(struct http_conn *conn)
{
    conn->broken = true;
    tg_task_defer(conn->httpd->options.loop, &conn->resume);
}

void http_conn_drain(struct http_conn *conn)
{
    conn->close = true;
    if (conn->state == HTTP_HEAD && tg_buf_size(&conn->in) == 0) {
        http_conn_abort(conn);
    }
}

void http_conn_answered(struct http_conn *conn)
{
    conn->exchange = NULL;
    if (conn->transport == NULL) {
        http_conn_free(conn);
        return;
    }
    conn->state = HTTP_WRITE;
    conn->in_due_ms = 0;
    if (conn->gathered == 0) {
        http_conn_write(conn);
    }
}

void http_conn_next(struct http_conn *conn)
{
    conn->state = HTTP_HEAD;
    conn->scanned = 0;
    http_conn_time(conn, &conn->in_due_ms, conn->httpd->options.limits.keep_alive_timeout_ms);
    if (tg_buf_size(&conn->in) > 0 || conn->eof || conn->close) {
        tg_task_defer(conn->httpd->options.loop, &conn->resume);
    } else {
        tg_buf_free(&conn->in); /* an idle connection holds no buffer */
    }
    http_conn_want(conn);
}

/* ---- reading ---- */

static void on_resume(struct tg_task *task)
{
    struct http_conn *conn = TG_CONTAINER(task, struct http_conn, resume);
    if (conn->broken) {
        http_conn_abort(conn);
    } else if (conn->state == HTTP_HEAD) {
        if (tg_buf_size(&conn->in) > 0) {
            http_conn_time(conn, &conn->in_due_ms, conn->httpd->options.limits.header_timeout_ms);
        }
        http_head_read(conn);
    }
}

/* Whether nobody is taken to wait for the answer, now that the client sends no more. */
static bool has_left(const struct http_conn *conn)
{
    const struct http_exchange *exchange = conn->exchange;
    if (exchange->wants_upgrade && exchange->answer == HTTP_ANSWER_NONE) {
        return true; /* a half-closed socket cannot become a WebSocket */
    }
    return exchange->base.half_close_is_gone && exchange->decoder.done && tg_buf_size(&conn->in) == 0;
}

static void on_eof(struct http_conn *conn)
{
    conn->eof = true;
    if (conn->state == HTTP_HEAD) {
        http_head_read(conn);
    } else if (conn->state == HTTP_LINGER) {
        http_conn_free(conn);
    } else if (conn->state == HTTP_EXCHANGE) {
        if (has_left(conn)) {
            http_conn_abort(conn);
        } else {
            http_body_input(conn->exchange, TG_EMPTY); /* one cut short; else the answer still has a reader */
        }
    } else {
        http_conn_want(conn);
    }
}

static void on_bytes(struct http_conn *conn, struct tg_slice bytes)
{
    http_count(&conn->httpd->counters.bytes_in, bytes.len);
    if (conn->state == HTTP_LINGER) {
        conn->discarded += bytes.len;
        if (conn->discarded > LINGER_MAX) {
            http_conn_free(conn);
        }
        return;
    }
    if (conn->state == HTTP_EXCHANGE) {
        http_body_input(conn->exchange, bytes);
        return;
    }
    bool first = conn->state == HTTP_HEAD && tg_buf_size(&conn->in) == 0;
    if (first && http_head_in_one(conn, bytes)) {
        return;
    }
    if (tg_buf_append(&conn->in, bytes) != TG_OK) {
        http_conn_abort(conn);
        return;
    }
    if (first && conn->requests > 0) {
        http_conn_time(conn, &conn->in_due_ms, conn->httpd->options.limits.header_timeout_ms);
    }
    if (conn->state == HTTP_HEAD) {
        http_head_read(conn);
    } else {
        http_conn_want(conn);
    }
}

/* One read an event: what is left keeps the socket readable. Also keeps a handler from being called while
 * another call for the same connection is on the stack. */
static void on_readable(void *arg)
{
    struct http_conn *conn = arg;
    struct tg_httpd *httpd = conn->httpd;
    size_t got;
    enum tg_err err = tg_transport_read(conn->transport, httpd->scratch, sizeof httpd->scratch, &got);
    if (err == TG_OK) {
        on_bytes(conn, tg_slice_make(httpd->scratch, got));
    } else if (err == TG_ECLOSED) {
        on_eof(conn);
    } else if (err != TG_EAGAIN) {
        http_conn_abort(conn);
    }
}

static void on_writable(void *arg)
{
    http_conn_writable(arg);
}

/* ---- TLS ---- */

static void tell_failure(struct http_conn *conn, const char *reason)
{
    struct tg_httpd *httpd = conn->httpd;
    uint64_t untold;
    if (!http_may_tell(&httpd->failures, tg_loop_now_ms(httpd->options.loop), &untold)) {
        return;
    }
    tg_log(httpd->options.log, TG_LOG_INFO, "TLS handshake failed", TG_KV_CSTR("client", conn->source_ip),
           TG_KV_CSTR("reason", reason), TG_KV_INT("untold", untold));
}

static void on_open(void *arg, enum tg_err err)
{
    struct http_conn *conn = arg;
    struct tg_httpd_counters *counters = &conn->httpd->counters;
    const char *reason = tg_transport_failure(conn->transport);
    conn->in_handshake = false;
    if (err == TG_OK) {
        http_count(&counters->tls_handshakes, 1);
        http_count(&counters->tls_resumed, tg_transport_resumed(conn->transport) ? 1 : 0);
        if (tg_transport_peer(conn->transport, &conn->peer) == TG_ENOMEM) {
            http_conn_abort(conn);
        }
        return;
    }
    if (reason[0] != '\0') {
        http_count(&counters->tls_failed, 1);
        tell_failure(conn, reason);
    }
    http_conn_abort(conn);
}

/* ---- time ---- */

/* The client has not sent what it should have. */
static void input_late(struct http_conn *conn)
{
    if (conn->in_handshake) {
        http_count(&conn->httpd->counters.tls_failed, 1);
        tell_failure(conn, "not completed in time");
    }
    bool in_head = conn->state == HTTP_HEAD && tg_buf_size(&conn->in) > 0;
    bool idle = conn->state == HTTP_HEAD && !in_head && conn->requests > 0;
    if (!idle && conn->state != HTTP_LINGER) {
        http_count(&conn->httpd->counters.timed_out, 1);
    }
    if (in_head) {
        http_head_refuse(conn, 408);
    } else if (conn->state == HTTP_EXCHANGE) {
        http_body_fail(conn->exchange, TG_ETIMEOUT);
    } else {
        http_conn_abort(conn);
    }
}

static bool is_past(uint64_t *due_ms, uint64_t now)
{
    bool past = *due_ms > 0 && *due_ms <= now;
    *due_ms = past ? 0 : *due_ms;
    return past;
}

/* Finds what is due; times that have moved on since the timer was started set it again. */
static void on_timer(struct tg_timer *timer)
{
    struct http_conn *conn = TG_CONTAINER(timer, struct http_conn, timer);
    uint64_t now = tg_loop_now_ms(conn->httpd->options.loop);
    bool in_past = is_past(&conn->in_due_ms, now), out_past = is_past(&conn->out_due_ms, now);
    uint64_t in = conn->in_due_ms, out = conn->out_due_ms;
    uint64_t next = in == 0 || (out > 0 && out < in) ? out : in;
    if (next > 0) {
        tg_timer_start(conn->httpd->options.loop, timer, next - now);
    }
    if (out_past) {
        http_conn_write_late(conn);
    } else if (in_past) {
        input_late(conn);
    }
}

static const struct tg_transport_events transport_events = {
    .on_open = on_open, .on_readable = on_readable, .on_writable = on_writable};

void http_conn_accept(struct tg_httpd *httpd, int fd, struct tg_tls_context *tls, struct tg_slice source_ip,
                      uint16_t port)
{
    struct http_conn *conn = tg_zalloc(sizeof *conn);
    if (conn == NULL || tg_transport_accept(httpd->options.loop, fd, tls, &transport_events, conn,
                                            &conn->transport) != TG_OK) {
        http_count(&httpd->counters.refused, 1);
        (void)close(fd);
        free(conn);
        return;
    }
    conn->httpd = httpd;
    conn->port = port;
    conn->secure = tls != NULL;
    conn->in_handshake = conn->secure;
    (void)snprintf(conn->source_ip, sizeof conn->source_ip, "%.*s", TG_FMT(source_ip));
    conn->source_ip_len = strlen(conn->source_ip);
    tg_buf_init(&conn->in, SIZE_MAX); /* bounded by when reading stops, see want() */
    tg_buf_init(&conn->out, SIZE_MAX);
    tg_timer_init(&conn->timer, on_timer);
    tg_task_init(&conn->resume, on_resume);
    tg_list_append(&httpd->connections, &conn->node);
    http_opened(httpd);
    http_conn_time(conn, &conn->in_due_ms, httpd->options.limits.header_timeout_ms);
    http_conn_want(conn);
}
