/* The part of a head that requests and responses share: its end, its fields. */
#include "server/io/http1_private.h"

enum tg_err tg_http1_refuse(struct tg_http1_fault *fault, int status, const char *reason)
{
    *fault = (struct tg_http1_fault){status, reason};
    return TG_EPROTO;
}

/* The limit of the first line is looked at once, by the call whose bytes pass it. */
static bool first_line_too_long(struct tg_slice bytes, size_t start, size_t scanned, size_t limit)
{
    size_t room = bytes.len - start;
    if (room < 2 || room - 2 < limit || (scanned > start && scanned - start >= limit + 2)) {
        return false;
    }
    return memchr(bytes.ptr + start, '\n', limit + 2) == NULL;
}

enum tg_err tg_http1_find_end(struct tg_slice bytes, size_t start, size_t *scanned,
                              const struct tg_http1_limits *limits, size_t *end, struct tg_http1_fault *fault)
{
    size_t stop = bytes.len < limits->head ? bytes.len : limits->head;
    size_t from = *scanned > start ? *scanned : start;
    if (stop > start && first_line_too_long(tg_slice_head(bytes, stop), start, *scanned, limits->line)) {
        return tg_http1_refuse(fault, 414, "first line too long");
    }
    while (from < stop) {
        const char *hit = memchr(bytes.ptr + from, '\n', stop - from);
        if (hit == NULL) {
            break;
        }
        size_t at = (size_t)(hit - bytes.ptr);
        if (at == start || bytes.ptr[at - 1] != '\r') {
            return tg_http1_refuse(fault, 400, "line feed without carriage return");
        }
        if (at == start + 1) {
            return tg_http1_refuse(fault, 400, "empty first line");
        }
        if (bytes.ptr[at - 2] == '\n') {
            *end = at + 1;
            return TG_OK;
        }
        from = at + 1;
    }
    if (bytes.len >= limits->head) {
        bool one_line = stop <= start || memchr(bytes.ptr + start, '\n', stop - start) == NULL;
        return tg_http1_refuse(fault, one_line ? 414 : 431, "head too large");
    }
    *scanned = bytes.len;
    return TG_EAGAIN;
}

enum tg_err tg_http1_parse_version(const char *at, int *minor, struct tg_http1_fault *fault)
{
    bool well_formed = memcmp(at, "HTTP/", 5) == 0 && at[5] >= '0' && at[5] <= '9' && at[6] == '.' &&
                       at[7] >= '0' && at[7] <= '9';
    if (!well_formed) {
        return tg_http1_refuse(fault, 400, "malformed protocol version");
    }
    if (at[5] != '1') {
        return tg_http1_refuse(fault, 505, "protocol version not supported");
    }
    *minor = at[7] > '0';
    return TG_OK;
}

/* One field line at *at, which is left behind its CR LF. */
static enum tg_err parse_line(const char **at, const char *end, struct tg_header *out,
                              struct tg_http1_fault *fault)
{
    const char *name = *at;
    const char *p = tg_http1_skip_name(name, end);
    char next = tg_http1_look(p, end);
    if (p == name) {
        bool folded = next == ' ' || next == '\t';
        return tg_http1_refuse(fault, 400, folded ? "folded field line" : "field line without a name");
    }
    if (next != ':') {
        return tg_http1_refuse(fault, 400, "malformed field name");
    }
    struct tg_slice name_slice = tg_slice_make(name, (size_t)(p - name));
    p++;
    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }
    const char *value = p;
    p = tg_http1_skip_value(p, end);
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n') {
        return tg_http1_refuse(fault, 400, "control character in a field value");
    }
    *at = p + 2;
    while (p > value && (p[-1] == ' ' || p[-1] == '\t')) {
        p--;
    }
    *out = (struct tg_header){name_slice, tg_slice_make(value, (size_t)(p - value))};
    return TG_OK;
}

bool tg_http1_length_ok(struct tg_slice value, uint64_t *length)
{
    return tg_slice_to_u64(value, length) == TG_OK && *length <= INT64_MAX;
}

static enum tg_err note_length(struct tg_http1_fields *out, struct tg_slice value,
                               struct tg_http1_fault *fault)
{
    if (out->has_length) {
        return tg_http1_refuse(fault, 400, "repeated content length");
    }
    if (!tg_http1_length_ok(value, &out->content_length)) {
        return tg_http1_refuse(fault, 400, "malformed content length");
    }
    out->has_length = true;
    return TG_OK;
}

/* Whether a list of codings says where the message ends: "chunked" last or nowhere (RFC 9112 section 6.1). */
static bool chunked_is_last_alone(struct tg_slice value)
{
    bool seen = false;
    while (value.len > 0) {
        struct tg_slice coding = tg_slice_trim(tg_slice_cut(value, ',', &value));
        if (seen) {
            return false;
        }
        seen = tg_slice_eq_nocase(coding, TG_LIT("chunked"));
    }
    return true;
}

static enum tg_err note_coding(struct tg_http1_fields *out, struct tg_slice value, int minor,
                               struct tg_http1_fault *fault)
{
    if (minor == 0) {
        return tg_http1_refuse(fault, 400, "transfer coding in HTTP/1.0");
    }
    if (out->has_coding) {
        return tg_http1_refuse(fault, 400, "repeated transfer coding");
    }
    if (!tg_slice_eq_nocase(value, TG_LIT("chunked"))) {
        return chunked_is_last_alone(value)
                   ? tg_http1_refuse(fault, 501, "transfer coding not supported")
                   : tg_http1_refuse(fault, 400, "chunked must be the last transfer coding, and once");
    }
    out->has_coding = true;
    return TG_OK;
}

static void note_connection(struct tg_http1_fields *out, struct tg_slice value)
{
    while (value.len > 0) {
        struct tg_slice option = tg_slice_trim(tg_slice_cut(value, ',', &value));
        out->close |= tg_slice_eq_nocase(option, TG_LIT("close"));
        out->keep_alive |= tg_slice_eq_nocase(option, TG_LIT("keep-alive"));
    }
}

/* Keeps what a field says about the message itself; told apart by length first, so that most cost one switch.
 */
static enum tg_err note_field(struct tg_http1_fields *out, const struct tg_header *field, int minor,
                              struct tg_http1_fault *fault)
{
    switch (field->name.len) {
    case 4:
        if (tg_slice_eq_nocase(field->name, TG_LIT("Host"))) {
            out->host = field->value;
            out->hosts++;
        }
        break;
    case 6:
        if (tg_slice_eq_nocase(field->name, TG_LIT("Expect"))) {
            out->expect_continue |= minor > 0 && tg_slice_eq_nocase(field->value, TG_LIT("100-continue"));
        }
        break;
    case 7:
        out->upgrade |= tg_slice_eq_nocase(field->name, TG_LIT("Upgrade"));
        break;
    case 10:
        if (tg_slice_eq_nocase(field->name, TG_LIT("Connection"))) {
            note_connection(out, field->value);
        }
        break;
    case 14:
        if (tg_slice_eq_nocase(field->name, TG_LIT("Content-Length"))) {
            return note_length(out, field->value, fault);
        }
        break;
    case 17:
        if (tg_slice_eq_nocase(field->name, TG_LIT("Transfer-Encoding"))) {
            return note_coding(out, field->value, minor, fault);
        }
        break;
    default:
        break;
    }
    return TG_OK;
}

enum tg_err tg_http1_parse_fields(const char **at, const char *end, int minor, size_t limit,
                                  struct tg_arena *arena, struct tg_http1_fields *out,
                                  struct tg_http1_fault *fault)
{
    *out = (struct tg_http1_fields){0};
    while (end - *at < 2 || (*at)[0] != '\r' || (*at)[1] != '\n') {
        struct tg_header field;
        enum tg_err err = parse_line(at, end, &field, fault);
        if (err == TG_OK) {
            err = note_field(out, &field, minor, fault);
        }
        if (err == TG_OK && out->headers.count == limit) {
            err = tg_http1_refuse(fault, 431, "too many fields");
        }
        if (err == TG_OK) {
            err = tg_headers_add(&out->headers, arena, field.name, field.value);
        }
        if (err != TG_OK) {
            return err;
        }
    }
    *at += 2;
    if (out->has_length && out->has_coding) {
        return tg_http1_refuse(fault, 400, "both content length and transfer coding");
    }
    return TG_OK;
}

bool tg_http1_keep_alive(const struct tg_http1_fields *fields, int minor)
{
    return !fields->close && (minor > 0 || fields->keep_alive);
}
