/* Whole answers. Most are put together in the worker's own space and written or gathered from there: the
 * connection queues what its socket leaves, and nothing is allocated. Others are made of a list of fields
 * like heads of answers that are streamed. */
#include <assert.h>

#include "server/front/httpd_private.h"

/* An answer, and how it leaves the connection. Its fields are a list or text. */
struct answer {
    int status;
    const struct tg_headers *fields; /* NULL: lines */
    struct tg_slice lines, body;
    bool close;
};

/* What an answer has beside its fields and its body, at most: the status line is among it. */
enum { AROUND = 256 };

static inline char *put(char *at, struct tg_slice bytes)
{
    if (bytes.len > 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    return at + bytes.len;
}

/* NULL: they do not fit before `end`, or cannot be written. */
static char *put_fields(char *at, const char *end, const struct tg_headers *fields, bool *date, bool *upgrade)
{
    for (size_t i = 0; i < fields->count && at != NULL; i++) {
        const struct tg_header *field = &fields->items[i];
        if (http_is_framing(field->name)) {
            continue;
        }
        *date |= field->name.len == 4 && tg_slice_eq_nocase(field->name, TG_LIT("Date"));
        *upgrade |= field->name.len == 7 && tg_slice_eq_nocase(field->name, TG_LIT("Upgrade"));
        at = tg_http1_put_field(at, end, field);
    }
    return at;
}

/* The end of a head that is not the usual one. */
static char *put_end(char *at, struct tg_httpd *httpd, bool date, bool upgrade, bool close)
{
    if (!date) {
        at = put(at, TG_LIT("Date: "));
        at = put(at, http_date(httpd));
        at = put(at, TG_LIT("\r\n"));
    }
    at = put(at, TG_LIT("Connection: "));
    at = put(at, http_connection_options(upgrade, close));
    return put(at, TG_LIT("\r\n\r\n"));
}

/* Puts it together in the worker's space. Empty: it does not fit there, or cannot be written as it is. */
static struct tg_slice compose(const struct http_exchange *exchange, const struct answer *answer)
{
    struct tg_httpd *httpd = exchange->conn->httpd;
    const size_t room = sizeof httpd->answer - AROUND;
    struct tg_slice status_line = tg_http1_status_line(answer->status);
    bool bodiless = http_has_no_body(answer->status), date = false, upgrade = false;
    char digits[TG_U64_TEXT];
    if (status_line.len == 0 || answer->body.len > room || answer->lines.len > room - answer->body.len) {
        return TG_EMPTY;
    }
    char *at = put(httpd->answer, status_line);
    if (answer->fields != NULL) {
        at = put_fields(at, at + (room - answer->body.len), answer->fields, &date, &upgrade);
        if (at == NULL) {
            return TG_EMPTY;
        }
    } else {
        at = put(at, answer->lines);
    }
    if (!bodiless) {
        at = put(at, TG_LIT("Content-Length: "));
        at = put(at, tg_slice_of_u64(answer->body.len, digits));
        at = put(at, TG_LIT("\r\n"));
    }
    if (!date && !upgrade && !answer->close) {
        at = put(at, http_usual_end(httpd));
    } else {
        at = put_end(at, httpd, date, upgrade, answer->close);
    }
    if (!bodiless && !exchange->head_method) {
        at = put(at, answer->body);
    }
    return tg_slice_make(httpd->answer, (size_t)(at - httpd->answer));
}

/* The fields of text as a list. */
static enum tg_err list_lines(struct tg_slice lines, struct tg_arena *arena, struct tg_headers *out)
{
    enum tg_err err = TG_OK;
    while (err == TG_OK && lines.len > 0) {
        struct tg_slice line = tg_slice_cut(lines, '\n', &lines), value;
        struct tg_slice name = tg_slice_cut(line, ':', &value);
        err = tg_headers_add(out, arena, name, tg_slice_trim(tg_slice_head(value, value.len - 1)));
    }
    return err;
}

/* Queues it, field by field; without those that cannot be written, if there are such. */
static enum tg_err queue(struct http_exchange *exchange, const struct answer *answer)
{
    struct tg_headers listed = {0};
    struct http_head head = {.status = answer->status, .given = answer->fields, .close = answer->close};
    bool bodiless = http_has_no_body(answer->status);
    char digits[TG_U64_TEXT];
    enum tg_err err = TG_OK;
    if (answer->fields == NULL) {
        err = list_lines(answer->lines, &exchange->arena, &listed);
        head.given = &listed;
    }
    if (!bodiless) {
        head.length = tg_slice_of_u64(answer->body.len, digits);
    }
    if (err == TG_OK) {
        err = http_write_head(exchange, &head);
    }
    if (err == TG_EINVAL) {
        head.drop = true;
        err = http_write_head(exchange, &head);
    }
    if (err == TG_OK && !exchange->head_method && !bodiless) {
        err = http_conn_put(exchange->conn, &answer->body, 1);
    }
    return err;
}

static void reply(struct http_exchange *exchange, struct answer *answer)
{
    struct http_conn *conn = exchange->conn;
    assert(exchange->answer == HTTP_ANSWER_NONE);
    if (conn->transport != NULL) {
        answer->close = http_closes(exchange, http_body_skip(exchange));
        struct tg_slice whole = compose(exchange, answer);
        enum tg_err err = whole.len > 0 ? http_conn_put_now(conn, whole) : queue(exchange, answer);
        conn->close = answer->close;
        if (err != TG_OK) {
            tg_log(conn->httpd->options.log, TG_LOG_ERROR, "answer not written", TG_KV_ERR(err));
            tg_transport_close(conn->transport);
            conn->transport = NULL;
        }
    }
    http_exchange_free(exchange);
    http_conn_answered(conn);
}

void http_reply(struct tg_exchange *base, int status, const struct tg_headers *given, struct tg_slice body)
{
    struct answer answer = {.status = status, .fields = given, .body = body};
    reply(http_exchange_of(base), &answer);
}

void http_reply_lines(struct tg_exchange *base, int status, struct tg_slice lines, struct tg_slice body)
{
    struct answer answer = {.status = status, .lines = lines, .body = body};
    reply(http_exchange_of(base), &answer);
}
