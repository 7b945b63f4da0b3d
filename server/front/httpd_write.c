/* A connection of the HTTP server: writing what is queued, and what follows when all is out. */
#include <assert.h>
#include <string.h>

#include "server/front/httpd_private.h"
#include "server/io/sends.h"

enum {
    WRITE_NOW = 16384, /* queued bytes that do not wait for the end of the pass */
    KEEP_MAX = 4096,   /* memory of the queue that stays with a streamed answer while nothing is queued */
    LINGER_MS = 2000
};

static void start_linger(struct http_conn *conn)
{
    conn->state = HTTP_LINGER;
    tg_buf_free(&conn->in);
    tg_transport_shutdown(conn->transport);
    http_conn_time(conn, &conn->in_due_ms, LINGER_MS);
    http_conn_want(conn);
}

/* The answer is out. */
static void written(struct http_conn *conn)
{
    if (conn->cut == HTTP_CUT_RESET) {
        tg_transport_reset(conn->transport);
        conn->transport = NULL;
    }
    if (conn->cut != HTTP_CUT_NOT || (conn->close && conn->eof)) {
        http_conn_free(conn);
    } else if (conn->close) {
        start_linger(conn);
    } else {
        http_conn_next(conn);
    }
}

/* Everything is with the kernel. */
static void emptied(struct http_conn *conn)
{
    struct http_exchange *exchange = conn->exchange;
    if (exchange == NULL || conn->out.cap > KEEP_MAX) {
        tg_buf_free(&conn->out);
    }
    conn->out_due_ms = 0;
    if (exchange == NULL) {
        written(conn);
    } else if (exchange->shut) {
        tg_transport_shutdown(conn->transport);
    }
}

/* The client is slow, not gone, as long as the kernel gets rid of bytes: a socket shows as writable only when
 * much of its buffer has become free. A tunnel may stand still. */
static void start_waiting(struct http_conn *conn)
{
    bool timed = conn->exchange == NULL || conn->exchange->answer != HTTP_ANSWER_TUNNEL;
    conn->blocked = true;
    conn->unacked = tg_transport_unacked(conn->transport);
    http_conn_time(conn, &conn->out_due_ms, timed ? conn->httpd->options.limits.body_timeout_ms : 0);
    http_conn_want(conn);
}

void http_conn_write_late(struct http_conn *conn)
{
    if (tg_transport_unacked(conn->transport) < conn->unacked) {
        start_waiting(conn);
        return;
    }
    http_count(&conn->httpd->counters.timed_out, 1);
    http_conn_abort(conn);
}

/* What the socket has left of the queue and the pieces is queued. */
static enum tg_err keep_rest(struct http_conn *conn, const struct tg_slice *pieces, size_t count, size_t put)
{
    enum tg_err err = TG_OK;
    size_t queued = tg_buf_size(&conn->out);
    size_t first = put < queued ? put : queued;
    tg_buf_consume(&conn->out, first);
    put -= first;
    for (size_t i = 0; err == TG_OK && i < count; i++) {
        size_t skip = put < pieces[i].len ? put : pieces[i].len;
        put -= skip;
        err = tg_buf_append(&conn->out, tg_slice_from(pieces[i], skip));
    }
    return err;
}

/* Writes the queue and what comes behind it in one go, without copying more than the socket leaves. */
static enum tg_err write_through(struct http_conn *conn, const struct tg_slice *pieces, size_t count)
{
    struct tg_slice all[TG_TRANSPORT_PIECES] = {tg_buf_slice(&conn->out)};
    size_t put = 0, len = all[0].len;
    for (size_t i = 0; i < count; i++) {
        all[i + 1] = pieces[i];
        len += pieces[i].len;
    }
    enum tg_err err = tg_transport_write_pieces(conn->transport, all, count + 1, &put);
    if (err != TG_OK && err != TG_EAGAIN) {
        tg_buf_free(&conn->out);
        http_conn_break(conn);
        return TG_OK;
    }
    http_count(&conn->httpd->counters.bytes_out, put);
    if (put == len) {
        tg_buf_clear(&conn->out);
        emptied(conn);
        return TG_OK;
    }
    err = keep_rest(conn, pieces, count, put);
    if (err != TG_OK) {
        http_conn_break(conn); /* in the middle of something */
        return err;
    }
    start_waiting(conn);
    return TG_OK;
}

enum tg_err http_conn_put(struct http_conn *conn, const struct tg_slice *pieces, size_t count)
{
    size_t len = 0;
    char *space;
    for (size_t i = 0; i < count; i++) {
        len += pieces[i].len;
    }
    bool much = tg_buf_size(&conn->out) + len >= WRITE_NOW && !conn->blocked && !conn->broken;
    if (much && tg_transport_gathers(conn->transport)) {
        return write_through(conn, pieces, count);
    }
    enum tg_err err = tg_buf_reserve(&conn->out, len, &space);
    if (err != TG_OK) {
        return err;
    }
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > 0) {
            memcpy(space, pieces[i].ptr, pieces[i].len);
            space += pieces[i].len;
        }
    }
    tg_buf_commit(&conn->out, len);
    if (much) {
        http_conn_write(conn);
    }
    return TG_OK;
}

/* What the socket has left of an answer is queued. */
static enum tg_err take_result(struct http_conn *conn, struct tg_slice bytes, enum tg_err err, size_t put)
{
    if (err != TG_OK && err != TG_EAGAIN) {
        http_conn_break(conn);
        return TG_OK;
    }
    http_count(&conn->httpd->counters.bytes_out, put);
    return put < bytes.len ? tg_buf_append(&conn->out, tg_slice_from(bytes, put)) : TG_OK;
}

static void on_gathered_sent(void *arg, struct tg_slice bytes, enum tg_err err, size_t put)
{
    struct http_conn *conn = arg;
    conn->gathered = 0;
    if (take_result(conn, bytes, err, put) != TG_OK) {
        http_conn_break(conn);
    }
    http_conn_write(conn);
}

enum tg_err http_conn_put_now(struct http_conn *conn, struct tg_slice bytes)
{
    size_t put = 0;
    enum tg_err err = TG_EAGAIN;
    if (tg_buf_size(&conn->out) == 0 && !conn->blocked && !conn->broken) {
        int fd = tg_transport_plain_fd(conn->transport);
        struct tg_sends *sends = tg_loop_sends(conn->httpd->options.loop);
        conn->gathered = fd >= 0 ? tg_sends_add(sends, fd, bytes, on_gathered_sent, conn) : 0;
        if (conn->gathered != 0) {
            return TG_OK;
        }
        err = tg_transport_write(conn->transport, bytes, &put);
    }
    return take_result(conn, bytes, err, put);
}

void http_conn_write(struct http_conn *conn)
{
    assert(conn->gathered == 0);
    while (tg_buf_size(&conn->out) > 0 && !conn->blocked && !conn->broken) {
        size_t put;
        enum tg_err err = tg_transport_write(conn->transport, tg_buf_slice(&conn->out), &put);
        if (err == TG_EAGAIN) {
            start_waiting(conn);
        } else if (err != TG_OK) {
            tg_buf_free(&conn->out);
            http_conn_break(conn);
        } else {
            tg_buf_consume(&conn->out, put);
            http_count(&conn->httpd->counters.bytes_out, put);
            if (tg_buf_size(&conn->out) > 0 && tg_transport_gathers(conn->transport)) {
                start_waiting(conn); /* the socket is full: that needs no second try */
            }
        }
    }
    if (conn->broken && conn->exchange == NULL) {
        http_conn_free(conn);
    } else if (!conn->blocked && !conn->broken) {
        emptied(conn);
    }
}

void http_conn_writable(struct http_conn *conn)
{
    struct http_exchange *exchange = conn->exchange;
    conn->blocked = false;
    http_conn_write(conn);
    if (exchange == NULL) {
        return; /* and perhaps no connection any more */
    }
    http_conn_want(conn);
    if (exchange->full && !conn->blocked && !conn->broken) {
        exchange->full = false;
        if (exchange->base.on_room != NULL) {
            exchange->base.on_room(exchange->base.room_arg);
        }
    }
}
