/* Heads of answers, and answers as they come. */
#include <assert.h>

#include "server/front/httpd_private.h"

enum {
    CHUNK_LINE = 18, /* most digits of a chunk's size, a line end */
    FIRST_FINAL = 200,
    LAST_STATUS = 999
};

bool http_has_no_body(int status)
{
    return status < FIRST_FINAL || status == 204 || status == 304;
}

/* ---- heads ---- */

bool http_is_framing(struct tg_slice name)
{
    switch (name.len) {
    case 10:
        return tg_slice_eq_nocase(name, TG_LIT("Connection")) ||
               tg_slice_eq_nocase(name, TG_LIT("Keep-Alive"));
    case 14:
        return tg_slice_eq_nocase(name, TG_LIT("Content-Length"));
    case 17:
        return tg_slice_eq_nocase(name, TG_LIT("Transfer-Encoding"));
    default:
        return false;
    }
}

/* That the connection stays is told to HTTP/1.1 clients, too, as the native service does (http-api.md 1.8.2).
 * Upgrade needs its option beside it (RFC 9110 section 7.8). */
struct tg_slice http_connection_options(bool upgrade, bool close)
{
    if (close) {
        return upgrade ? TG_LIT("upgrade, close") : TG_LIT("close");
    }
    return upgrade ? TG_LIT("upgrade, keep-alive") : TG_LIT("keep-alive");
}

static enum tg_err add_given(struct http_exchange *exchange, const struct http_head *head,
                             struct tg_headers *out)
{
    for (size_t i = 0; i < head->given->count; i++) {
        const struct tg_header *field = &head->given->items[i];
        bool writable = !head->drop || (tg_header_name_ok(field->name) && tg_header_value_ok(field->value));
        if (writable && !http_is_framing(field->name)) {
            enum tg_err err = tg_headers_add(out, &exchange->arena, field->name, field->value);
            if (err != TG_OK) {
                return err;
            }
        }
    }
    return TG_OK;
}

enum tg_err http_write_head(struct http_exchange *exchange, const struct http_head *head)
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
    bool upgrade = tg_headers_first(&fields, TG_LIT("Upgrade")) != NULL;
    struct tg_slice options = http_connection_options(upgrade, head->close);
    if (err == TG_OK) {
        err = tg_headers_add(&fields, arena, TG_LIT("Connection"), options);
    }
    return err == TG_OK ? tg_http1_write_response(&exchange->conn->out, head->status, &fields) : err;
}

bool http_closes(const struct http_exchange *exchange, bool reusable)
{
    const struct http_conn *conn = exchange->conn;
    return exchange->close || conn->close || conn->httpd->draining ||
           conn->httpd->options.limits.keep_alive_timeout_ms == 0 || !reusable ||
           (conn->eof && tg_buf_size(&conn->in) == 0);
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
static enum http_answer frame(const struct http_exchange *exchange, struct http_head *head, int64_t length,
                              char digits[TG_U64_TEXT])
{
    if (exchange->head_method || http_has_no_body(head->status)) {
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
    struct http_head head = {.status = status, .given = given, .close = http_closes(exchange, reusable)};
    enum http_answer answer = frame(exchange, &head, length, digits);
    enum tg_err err = http_write_head(exchange, &head);
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
    conn->close = http_closes(exchange, http_body_skip(exchange));
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
