/* Answers: whole, or as they come. */
#include <assert.h>

#include "server/front/httpd_private.h"

enum {
    CHUNK_LINE = 18, /* most digits of a chunk's size, a line end */
    FIRST_FINAL = 200,
    LAST_STATUS = 999
};

static bool has_no_body(int status)
{
    return status < FIRST_FINAL || status == 204 || status == 304;
}

/* ---- heads ---- */

/* Fields that say how an answer lies on the wire: the front door's own. */
static bool is_framing(struct tg_slice name)
{
    return tg_slice_eq_nocase(name, TG_LIT("Content-Length")) ||
           tg_slice_eq_nocase(name, TG_LIT("Transfer-Encoding")) ||
           tg_slice_eq_nocase(name, TG_LIT("Connection")) || tg_slice_eq_nocase(name, TG_LIT("Keep-Alive"));
}

/* That the connection stays is told to HTTP/1.1 clients, too, as the native service does (http-api.md 1.8.2).
 * Upgrade needs its option beside it (RFC 9110 section 7.8). */
static struct tg_slice connection_options(const struct tg_headers *headers, bool close)
{
    bool upgrade = tg_headers_first(headers, TG_LIT("Upgrade")) != NULL;
    if (close) {
        return upgrade ? TG_LIT("upgrade, close") : TG_LIT("close");
    }
    return upgrade ? TG_LIT("upgrade, keep-alive") : TG_LIT("keep-alive");
}

/* How a head is made. */
struct head {
    int status;
    const struct tg_headers *given;
    struct tg_slice length; /* Content-Length; NULL pointer: none */
    bool chunked, close;
    bool drop; /* leave out fields that cannot be written; otherwise they fail the whole, TG_EINVAL */
};

static enum tg_err add_given(struct http_exchange *exchange, const struct head *head, struct tg_headers *out)
{
    for (size_t i = 0; i < head->given->count; i++) {
        const struct tg_header *field = &head->given->items[i];
        bool writable = !head->drop || (tg_header_name_ok(field->name) && tg_header_value_ok(field->value));
        if (writable && !is_framing(field->name)) {
            enum tg_err err = tg_headers_add(out, &exchange->arena, field->name, field->value);
            if (err != TG_OK) {
                return err;
            }
        }
    }
    return TG_OK;
}

static enum tg_err write_head(struct http_exchange *exchange, const struct head *head)
{
    struct tg_arena *arena = &exchange->arena;
    struct tg_headers fields = {0};
    enum tg_err err = add_given(exchange, head, &fields);
    if (err == TG_OK && head->length.ptr != NULL) {
        err = tg_headers_add(&fields, arena, TG_LIT("Content-Length"), head->length);
    }
    if (err == TG_OK && head->chunked) {
        err = tg_headers_add(&fields, arena, TG_LIT("Transfer-Encoding"), TG_LIT("chunked"));
    }
    if (err == TG_OK && tg_headers_first(&fields, TG_LIT("Date")) == NULL) {
        err = tg_headers_add(&fields, arena, TG_LIT("Date"), http_date(exchange->conn->httpd));
    }
    struct tg_slice options = connection_options(&fields, head->close);
    if (err == TG_OK) {
        err = tg_headers_add(&fields, arena, TG_LIT("Connection"), options);
    }
    return err == TG_OK ? tg_http1_write_response(&exchange->conn->out, head->status, &fields) : err;
}

/* Whether the connection ends after the answer, as far as is known now. */
static bool closes(const struct http_exchange *exchange, bool reusable)
{
    const struct http_conn *conn = exchange->conn;
    return exchange->close || conn->close || conn->httpd->draining ||
           conn->httpd->options.limits.keep_alive_timeout_ms == 0 || !reusable ||
           (conn->eof && tg_buf_size(&conn->in) == 0);
}

/* ---- whole answers ---- */

void http_reply(struct tg_exchange *base, int status, const struct tg_headers *given, struct tg_slice body)
{
    struct http_exchange *exchange = http_exchange_of(base);
    struct http_conn *conn = exchange->conn;
    assert(exchange->answer == HTTP_ANSWER_NONE);
    if (conn->transport != NULL) {
        char digits[TG_U64_TEXT];
        struct head head = {.status = status, .given = given};
        enum tg_err err = TG_OK;
        head.close = closes(exchange, http_body_skip(exchange));
        if (!has_no_body(status)) {
            head.length = tg_slice_of_u64(body.len, digits);
        }
        if (err == TG_OK) {
            err = write_head(exchange, &head);
        }
        if (err == TG_EINVAL) {
            head.drop = true;
            err = write_head(exchange, &head);
        }
        if (err == TG_OK && !exchange->head_method && !has_no_body(status)) {
            err = http_conn_put(conn, &body, 1);
        }
        conn->close = head.close;
        if (err != TG_OK) {
            tg_log(conn->httpd->options.log, TG_LOG_ERROR, "answer not written", TG_KV_ERR(err));
            tg_transport_close(conn->transport);
            conn->transport = NULL;
        }
    }
    http_exchange_free(exchange);
    http_conn_answered(conn);
}

void http_reply_lines(struct tg_exchange *base, int status, struct tg_slice lines, struct tg_slice body)
{
    struct tg_headers fields = {0};
    while (lines.len > 0) {
        struct tg_slice line = tg_slice_cut(lines, '\n', &lines);
        struct tg_slice value, name = tg_slice_cut(line, ':', &value);
        if (tg_headers_add(&fields, base->arena, name, tg_slice_trim(tg_slice_head(value, value.len - 1))) !=
            TG_OK) {
            break;
        }
    }
    http_reply(base, status, &fields, body);
}

/* ---- answers as they come ---- */

static bool is_number(struct tg_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
    }
    return text.len > 0;
}

/* What the body would be as long as, in an answer that has none (RFC 9110 section 8.6). */
static struct tg_slice told_length(int status, const struct tg_headers *given)
{
    const struct tg_header *field = tg_headers_first(given, TG_LIT("Content-Length"));
    bool told = field != NULL && status != 204 && is_number(field->value);
    return told ? field->value : TG_EMPTY;
}

/* Where the body of an answer lies on the wire. */
static enum http_answer frame(const struct http_exchange *exchange, struct head *head, int64_t length,
                              char digits[TG_U64_TEXT])
{
    if (exchange->head_method || has_no_body(head->status)) {
        head->length = told_length(head->status, head->given);
        return HTTP_ANSWER_EMPTY;
    }
    if (length >= 0) {
        head->length = tg_slice_of_u64((uint64_t)length, digits);
        return HTTP_ANSWER_LENGTH;
    }
    if (exchange->base.minor >= 1) {
        head->chunked = true;
        return HTTP_ANSWER_CHUNKED;
    }
    head->close = true;
    return HTTP_ANSWER_UNTIL_CLOSE;
}

enum tg_err http_start(struct tg_exchange *base, int status, const struct tg_headers *given, int64_t length)
{
    struct http_exchange *exchange = http_exchange_of(base);
    struct http_conn *conn = exchange->conn;
    char digits[TG_U64_TEXT];
    assert(exchange->answer == HTTP_ANSWER_NONE);
    if (status < FIRST_FINAL || status > LAST_STATUS) {
        return TG_EINVAL;
    }
    if (conn->transport == NULL || conn->broken) {
        exchange->answer = HTTP_ANSWER_GONE;
        return TG_ECLOSED;
    }
    /* A body that is being handed on may well end before the answer does. */
    bool reusable = http_body_flows(exchange) || http_body_at_hand(exchange);
    struct head head = {.status = status, .given = given, .close = closes(exchange, reusable)};
    enum http_answer answer = frame(exchange, &head, length, digits);
    enum tg_err err = write_head(exchange, &head);
    if (err != TG_OK) {
        return err;
    }
    exchange->answer = answer;
    exchange->left = answer == HTTP_ANSWER_LENGTH ? (uint64_t)length : 0;
    exchange->close = head.close;
    tg_task_defer(conn->httpd->options.loop, &exchange->write_task);
    return TG_OK;
}

void http_write_task(struct tg_task *task)
{
    struct http_exchange *exchange = TG_CONTAINER(task, struct http_exchange, write_task);
    if (exchange->conn->transport != NULL) {
        http_conn_write(exchange->conn);
    }
}

/* The line before a chunk, at the end of `space`. */
static struct tg_slice chunk_line(char space[CHUNK_LINE], size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = CHUNK_LINE;
    space[--at] = '\n';
    space[--at] = '\r';
    for (; len > 0; len /= 16) {
        space[--at] = digits[len % 16];
    }
    return tg_slice_make(space + at, CHUNK_LINE - at);
}

enum tg_err http_send(struct tg_exchange *base, struct tg_slice bytes)
{
    struct http_exchange *exchange = http_exchange_of(base);
    struct http_conn *conn = exchange->conn;
    char line[CHUNK_LINE];
    assert(exchange->answer != HTTP_ANSWER_NONE);
    if (conn->transport == NULL || conn->broken || exchange->answer == HTTP_ANSWER_GONE || exchange->shut) {
        return TG_ECLOSED;
    }
    if (exchange->answer == HTTP_ANSWER_EMPTY || bytes.len == 0) {
        return TG_OK;
    }
    if (exchange->answer == HTTP_ANSWER_LENGTH && bytes.len > exchange->left) {
        return TG_ELIMIT;
    }
    struct tg_slice pieces[HTTP_PIECES] = {bytes};
    size_t count = 1;
    if (exchange->answer == HTTP_ANSWER_CHUNKED) {
        pieces[0] = chunk_line(line, bytes.len);
        pieces[1] = bytes;
        pieces[2] = TG_LIT("\r\n");
        count = 3;
    }
    enum tg_err err = http_conn_put(conn, pieces, count);
    if (err != TG_OK) {
        return err;
    }
    exchange->left -= exchange->answer == HTTP_ANSWER_LENGTH ? bytes.len : 0;
    if (conn->broken) {
        return TG_ECLOSED;
    }
    if (conn->blocked) {
        exchange->full = true;
        return TG_EAGAIN;
    }
    if (tg_buf_size(&conn->out) > 0) {
        tg_task_defer(conn->httpd->options.loop, &exchange->write_task);
    }
    return TG_OK;
}

/* The last words of an answer, and what becomes of the connection. */
static void finish(struct http_exchange *exchange, bool whole)
{
    struct http_conn *conn = exchange->conn;
    switch (exchange->answer) {
    case HTTP_ANSWER_EMPTY:
        whole = true;
        break;
    case HTTP_ANSWER_LENGTH:
        whole = whole && exchange->left == 0;
        break;
    case HTTP_ANSWER_CHUNKED:
        whole = whole && tg_buf_append(&conn->out, TG_LIT("0\r\n\r\n")) == TG_OK;
        break;
    default:
        break;
    }
    if (!whole) {
        conn->cut = exchange->answer == HTTP_ANSWER_UNTIL_CLOSE ? HTTP_CUT_RESET : HTTP_CUT_CLOSE;
    }
    conn->close = closes(exchange, http_body_skip(exchange));
}

void http_end(struct tg_exchange *base, bool whole)
{
    struct http_exchange *exchange = http_exchange_of(base);
    struct http_conn *conn = exchange->conn;
    assert(exchange->answer != HTTP_ANSWER_NONE);
    if (exchange->answer == HTTP_ANSWER_TUNNEL) {
        http_tunnel_end(exchange, whole);
    } else if (conn->transport != NULL) {
        finish(exchange, whole);
    }
    http_exchange_free(exchange);
    http_conn_answered(conn);
}
