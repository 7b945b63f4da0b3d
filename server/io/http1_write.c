/* Writing of heads: each field is looked at and copied at once, into room for all of them; a head is appended
 * whole or not at all. */
#include "server/io/http1_private.h"

enum { FIELD_EXTRA = 4, FIRST_STATUS = 100, LAST_STATUS = 999 };

/* X(status, phrase), RFC 9110 section 15 and the IANA registry. */
#define REASON_TABLE(X)                                                                                      \
    X(100, "Continue")                                                                                       \
    X(101, "Switching Protocols")                                                                            \
    X(103, "Early Hints")                                                                                    \
    X(200, "OK")                                                                                             \
    X(201, "Created")                                                                                        \
    X(202, "Accepted")                                                                                       \
    X(203, "Non-Authoritative Information")                                                                  \
    X(204, "No Content")                                                                                     \
    X(205, "Reset Content")                                                                                  \
    X(206, "Partial Content")                                                                                \
    X(207, "Multi-Status")                                                                                   \
    X(300, "Multiple Choices")                                                                               \
    X(301, "Moved Permanently")                                                                              \
    X(302, "Found")                                                                                          \
    X(303, "See Other")                                                                                      \
    X(304, "Not Modified")                                                                                   \
    X(307, "Temporary Redirect")                                                                             \
    X(308, "Permanent Redirect")                                                                             \
    X(400, "Bad Request")                                                                                    \
    X(401, "Unauthorized")                                                                                   \
    X(402, "Payment Required")                                                                               \
    X(403, "Forbidden")                                                                                      \
    X(404, "Not Found")                                                                                      \
    X(405, "Method Not Allowed")                                                                             \
    X(406, "Not Acceptable")                                                                                 \
    X(408, "Request Timeout")                                                                                \
    X(409, "Conflict")                                                                                       \
    X(410, "Gone")                                                                                           \
    X(411, "Length Required")                                                                                \
    X(412, "Precondition Failed")                                                                            \
    X(413, "Content Too Large")                                                                              \
    X(414, "URI Too Long")                                                                                   \
    X(415, "Unsupported Media Type")                                                                         \
    X(416, "Range Not Satisfiable")                                                                          \
    X(417, "Expectation Failed")                                                                             \
    X(418, "I'm a teapot")                                                                                   \
    X(421, "Misdirected Request")                                                                            \
    X(422, "Unprocessable Content")                                                                          \
    X(424, "Failed Dependency")                                                                              \
    X(425, "Too Early")                                                                                      \
    X(426, "Upgrade Required")                                                                               \
    X(428, "Precondition Required")                                                                          \
    X(429, "Too Many Requests")                                                                              \
    X(431, "Request Header Fields Too Large")                                                                \
    X(451, "Unavailable For Legal Reasons")                                                                  \
    X(500, "Internal Server Error")                                                                          \
    X(501, "Not Implemented")                                                                                \
    X(502, "Bad Gateway")                                                                                    \
    X(503, "Service Unavailable")                                                                            \
    X(504, "Gateway Timeout")                                                                                \
    X(505, "HTTP Version Not Supported")                                                                     \
    X(507, "Insufficient Storage")                                                                           \
    X(511, "Network Authentication Required")

const char *tg_http1_reason(int status)
{
    switch (status) {
#define X(number, phrase)                                                                                    \
    case number:                                                                                             \
        return phrase;
        REASON_TABLE(X)
#undef X
    default:
        return "Unknown";
    }
}

struct tg_slice tg_http1_status_line(int status)
{
    switch (status) {
#define X(number, phrase)                                                                                    \
    case number:                                                                                             \
        return TG_LIT("HTTP/1.1 " #number " " phrase "\r\n");
        REASON_TABLE(X)
#undef X
    default:
        return TG_EMPTY;
    }
}

bool tg_http1_idempotent(struct tg_slice method)
{
    static const struct tg_slice methods[] = {
        TG_LIT_INIT("GET"), TG_LIT_INIT("HEAD"),   TG_LIT_INIT("OPTIONS"),
        TG_LIT_INIT("PUT"), TG_LIT_INIT("DELETE"),
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (tg_slice_eq(method, methods[i])) {
            return true;
        }
    }
    return false;
}

static bool all_in(struct tg_slice text, unsigned char class)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!tg_http1_is(text.ptr[i], class)) {
            return false;
        }
    }
    return true;
}

static const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;

/* Neither a control character nor DEL. */
static bool eight_of_value(const char *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    uint64_t del = word ^ (ones * 0x7f);
    return (((word - ones * 0x20) & ~word & tops) | ((del - ones) & ~del & tops)) == 0;
}

/* Letters and hyphens. */
static bool eight_of_name(const char *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    uint64_t lower = word | ones * 0x20, hyphen = word ^ ones * '-';
    uint64_t letters = (lower + ones * (0x80 - 'a')) & ~(lower + ones * (0x80 - 'z' - 1));
    uint64_t hyphens = ~((hyphen & ~tops) + (tops - ones));
    return (word & tops) == 0 && ((letters | hyphens) & tops) == tops;
}

/* The same, eight bytes at a time as long as `eight` says that all of them are such; the last eight overlap
 * others. */
static inline bool all_of(struct tg_slice text, bool (*eight)(const char *text), unsigned char class)
{
    enum { EIGHT = sizeof(uint64_t) };
    size_t at = 0;
    while (text.len - at >= EIGHT && eight(text.ptr + at)) {
        at += EIGHT;
    }
    size_t left = text.len - at;
    if (left > 0 && left < EIGHT && at > 0 && eight(text.ptr + text.len - EIGHT)) {
        return true;
    }
    return all_in(tg_slice_from(text, at), class);
}

/* Bytes that the fields and the empty line take at most. */
static size_t fields_room(const struct tg_headers *headers)
{
    size_t size = 2;
    for (size_t i = 0; i < headers->count; i++) {
        size += headers->items[i].name.len + headers->items[i].value.len + FIELD_EXTRA;
    }
    return size;
}

static inline char *put(char *at, struct tg_slice bytes)
{
    if (bytes.len > 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    return at + bytes.len;
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline bool can_be_written(const struct tg_header *field)
{
    return field->name.len > 0 && all_of(field->name, eight_of_name, TG_HTTP1_TOKEN) &&
           all_of(field->value, eight_of_value, TG_HTTP1_VALUE);
}

static inline char *put_field(char *at, const struct tg_header *field)
{
    struct tg_slice value = field->value;
    if (value.len > 0 && (is_blank(value.ptr[0]) || is_blank(value.ptr[value.len - 1]))) {
        value = tg_slice_trim(value);
    }
    at = put(at, field->name);
    at = put(at, TG_LIT(": "));
    at = put(at, value);
    return put(at, TG_LIT("\r\n"));
}

char *tg_http1_put_field(char *at, const char *end, const struct tg_header *field)
{
    size_t room = end > at ? (size_t)(end - at) : 0;
    bool fits = field->name.len < room && field->value.len < room &&
                field->name.len + field->value.len + FIELD_EXTRA <= room;
    return fits && can_be_written(field) ? put_field(at, field) : NULL;
}

/* NULL: one of them cannot be written. */
static char *put_fields(char *at, const struct tg_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (!can_be_written(&headers->items[i])) {
            return NULL;
        }
        at = put_field(at, &headers->items[i]);
    }
    return put(at, TG_LIT("\r\n"));
}

/* What was written from `space` up to `end`; NULL: nothing. */
static enum tg_err commit(struct tg_buf *out, const char *space, const char *end)
{
    if (end == NULL) {
        return TG_EINVAL;
    }
    tg_buf_commit(out, (size_t)(end - space));
    return TG_OK;
}

enum tg_err tg_http1_write_request(struct tg_buf *out, struct tg_slice method, struct tg_slice target,
                                   const struct tg_headers *headers)
{
    if (method.len == 0 || !all_in(method, TG_HTTP1_TOKEN) || target.len == 0 ||
        !all_in(target, TG_HTTP1_TARGET)) {
        return TG_EINVAL;
    }
    struct tg_slice version = TG_LIT(" HTTP/1.1\r\n");
    char *space;
    enum tg_err err =
        tg_buf_reserve(out, fields_room(headers) + method.len + 1 + target.len + version.len, &space);
    if (err != TG_OK) {
        return err;
    }
    char *at = put(space, method);
    at = put(at, TG_LIT(" "));
    at = put(at, target);
    at = put(at, version);
    return commit(out, space, put_fields(at, headers));
}

enum tg_err tg_http1_write_response(struct tg_buf *out, int status, const struct tg_headers *headers)
{
    if (status < FIRST_STATUS || status > LAST_STATUS) {
        return TG_EINVAL;
    }
    char unknown[] = "HTTP/1.1 000 Unknown\r\n";
    struct tg_slice line = tg_http1_status_line(status);
    if (line.len == 0) {
        char *digits = unknown + 9;
        digits[0] = (char)('0' + status / 100);
        digits[1] = (char)('0' + status / 10 % 10);
        digits[2] = (char)('0' + status % 10);
        line = tg_slice_make(unknown, sizeof unknown - 1);
    }
    char *space;
    enum tg_err err = tg_buf_reserve(out, fields_room(headers) + line.len, &space);
    if (err != TG_OK) {
        return err;
    }
    return commit(out, space, put_fields(put(space, line), headers));
}
