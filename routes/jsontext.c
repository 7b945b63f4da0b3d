#include "routes/jsontext.h"

#include "routes/jsonscan.h"

static size_t put_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

static uint32_t hex4(const char *at)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        code = code << 4 | (uint32_t)tg_jsontext_hex(at[i]);
    }
    return code;
}

/* Decodes the escape at *at, which points behind `\u` of a text found valid, and moves behind it, and behind
 * the second half of a surrogate pair. */
static size_t unescape_unicode(const char **at, const char *end, char out[4])
{
    uint32_t code = hex4(*at);
    *at += 4;
    if (code >= 0xD800 && code <= 0xDBFF && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        uint32_t low = hex4(*at + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *at += 6;
            return put_utf8(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), out);
        }
    }
    return put_utf8(code >= 0xD800 && code <= 0xDFFF ? 0xFFFD : code, out);
}

/* Decodes one character or byte of the inside of a valid string; returns how many bytes it gave. */
static size_t unescape_one(const char **at, const char *end, char out[4])
{
    static const char names[] = "bfnrt", controls[] = "\b\f\n\r\t";
    char c = *(*at)++;
    if (c == '\\') {
        c = *(*at)++;
        if (c == 'u') {
            return unescape_unicode(at, end, out);
        }
        const char *name = strchr(names, c);
        c = name != NULL ? controls[name - names] : c;
    }
    out[0] = c;
    return 1;
}

size_t tg_jsontext_unescape(struct tg_slice body, char *out)
{
    const char *at = body.ptr, *end = body.ptr + body.len;
    size_t len = 0;
    while (at < end) {
        char piece[4];
        size_t piece_len = unescape_one(&at, end, piece);
        memcpy(out + len, piece, piece_len);
        len += piece_len;
    }
    return len;
}

bool tg_jsontext_eq(struct tg_slice body, struct tg_slice name)
{
    const char *at = body.ptr, *end = body.ptr + body.len;
    while (at < end) {
        char piece[4];
        struct tg_slice decoded = {piece, unescape_one(&at, end, piece)};
        if (!tg_slice_starts(name, decoded)) {
            return false;
        }
        name = tg_slice_from(name, decoded.len);
    }
    return name.len == 0;
}

/* Behind the string that begins at `at`, in a text found valid. */
static const char *string_end(const char *at, const char *end)
{
    char quote = *at++;
    for (;;) {
        uint64_t high = 0;
        at = tg_jsontext_skip(at, end, quote, &high);
        if (*at == quote) {
            return at + 1;
        }
        at += 2;
    }
}

/* Writes a container without blanks. `out` has room for the text and one more byte a comma. */
static size_t write_container(struct tg_slice raw, enum tg_jsonscan_form form, char *out)
{
    const char *at = raw.ptr, *end = raw.ptr + raw.len;
    size_t len = 0, objects = 0;
    while (at < end) {
        char c = *at;
        bool in_list = form == TG_JSONSCAN_SELECTION && objects == 0;
        if (c == '"' || c == '\'') {
            const char *stop = string_end(at, end);
            if (in_list) {
                len += tg_jsontext_unescape(tg_slice_make(at + 1, (size_t)(stop - at - 2)), out + len);
            } else {
                memcpy(out + len, at, (size_t)(stop - at));
                len += (size_t)(stop - at);
            }
            at = stop;
            continue;
        }
        at++;
        if (tg_jsontext_is_blank(c)) {
            continue;
        }
        objects += c == '{';
        objects -= c == '}';
        out[len++] = c;
        if (c == ',' && in_list) {
            out[len++] = ' ';
        }
    }
    return len;
}

enum tg_err tg_jsonscan_text(const struct tg_jsonscan_value *value, enum tg_jsonscan_form form,
                             struct tg_arena *arena, struct tg_slice *out)
{
    if (!value->found) {
        *out = TG_EMPTY;
        return TG_OK;
    }
    bool container = value->type == TG_JSON_ARRAY || value->type == TG_JSON_OBJECT;
    struct tg_slice raw = value->raw;
    if (value->type == TG_JSON_STRING) {
        raw = tg_slice_make(raw.ptr + 1, raw.len - 2);
    }
    if (!container && !value->escaped) {
        *out = raw;
        return TG_OK;
    }
    size_t room = raw.len;
    for (size_t i = 0; container && i < raw.len; i++) {
        room += raw.ptr[i] == ',';
    }
    char *text = tg_arena_alloc(arena, room);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    *out =
        tg_slice_make(text, container ? write_container(raw, form, text) : tg_jsontext_unescape(raw, text));
    return TG_OK;
}
