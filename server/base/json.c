#include "server/base/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const json_t *as_json(const struct tg_json *value)
{
    return (const json_t *)(const void *)value;
}

static const struct tg_json *as_value(const json_t *json)
{
    return (const struct tg_json *)(const void *)json;
}

static void destroy(void *document)
{
    json_decref(document);
}

enum tg_err tg_json_parse(struct tg_arena *arena, struct tg_slice text, const struct tg_json **out)
{
    json_error_t error;
    const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    if (tg_slice_find(text, '\0') < text.len) {
        return TG_ESYNTAX; /* jansson passes over a NUL that follows a number */
    }
    json_t *document = json_loadb(text.ptr, text.len, flags, &error);
    if (document == NULL && text.len > 0 && json_error_code(&error) == json_error_numeric_overflow) {
        document = json_loadb(text.ptr, text.len, flags | JSON_DECODE_INT_AS_REAL, &error);
    }
    if (document == NULL) {
        return text.len > 0 && json_error_code(&error) == json_error_out_of_memory ? TG_ENOMEM : TG_ESYNTAX;
    }
    enum tg_err err = tg_arena_defer(arena, destroy, document);
    if (err == TG_OK) {
        *out = as_value(document);
    }
    return err;
}

enum tg_json_type tg_json_type(const struct tg_json *value)
{
    if (value == NULL) {
        return TG_JSON_NULL;
    }
    switch (json_typeof(as_json(value))) {
    case JSON_OBJECT:
        return TG_JSON_OBJECT;
    case JSON_ARRAY:
        return TG_JSON_ARRAY;
    case JSON_STRING:
        return TG_JSON_STRING;
    case JSON_INTEGER:
        return TG_JSON_INTEGER;
    case JSON_REAL:
        return TG_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return TG_JSON_BOOL;
    case JSON_NULL:
        break;
    }
    return TG_JSON_NULL;
}

const struct tg_json *tg_json_get(const struct tg_json *object, struct tg_slice key)
{
    return key.len > 0 ? as_value(json_object_getn(as_json(object), key.ptr, key.len))
                       : as_value(json_object_getn(as_json(object), "", 0));
}

size_t tg_json_count(const struct tg_json *value)
{
    const json_t *json = as_json(value);
    return json_is_array(json) ? json_array_size(json) : json_object_size(json);
}

const struct tg_json *tg_json_at(const struct tg_json *array, size_t index)
{
    return as_value(json_array_get(as_json(array), index));
}

struct tg_slice tg_json_string(const struct tg_json *value)
{
    const json_t *json = as_json(value);
    return tg_slice_make(json_string_value(json), json_string_length(json));
}

bool tg_json_bool(const struct tg_json *value)
{
    return json_is_true(as_json(value));
}

int64_t tg_json_integer(const struct tg_json *value)
{
    return (int64_t)json_integer_value(as_json(value));
}

double tg_json_number(const struct tg_json *value)
{
    return json_number_value(as_json(value));
}

/* jansson iterates through a pointer to a mutable object, and changes nothing. */
static json_t *mutable(const struct tg_json *value)
{
    return (json_t *)(uintptr_t)value;
}

void tg_json_each(const struct tg_json *object,
                  bool (*visit)(void *arg, struct tg_slice key, const struct tg_json *value), void *arg)
{
    json_t *json = mutable(object);
    for (void *at = json_object_iter(json); at != NULL; at = json_object_iter_next(json, at)) {
        struct tg_slice key = tg_slice_make(json_object_iter_key(at), json_object_iter_key_len(at));
        if (!visit(arg, key, as_value(json_object_iter_value(at)))) {
            return;
        }
    }
}

enum { NUMBER_MAX = 32 };

/* The shortest decimal that reads back as the same number. */
static struct tg_slice real_text(double number, char text[NUMBER_MAX])
{
    const double exact = 9007199254740992.0; /* 2^53: integers below have all their digits */
    int len = 0;
    if (fabs(number) < exact && number == floor(number)) {
        len = snprintf(text, NUMBER_MAX, "%.0f", number == 0 ? 0.0 : number);
    } else {
        for (int digits = 15; digits <= 17; digits++) {
            len = snprintf(text, NUMBER_MAX, "%.*g", digits, number);
            if (strtod(text, NULL) == number) {
                break;
            }
        }
    }
    return tg_slice_make(text, len > 0 ? (size_t)len : 0);
}

static struct tg_slice scalar_text(const json_t *json, char text[NUMBER_MAX])
{
    int len;
    switch (json_typeof(json)) {
    case JSON_INTEGER:
        len = snprintf(text, NUMBER_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        return tg_slice_make(text, len > 0 ? (size_t)len : 0);
    case JSON_REAL:
        return real_text(json_real_value(json), text);
    case JSON_TRUE:
        return TG_LIT("true");
    case JSON_FALSE:
        return TG_LIT("false");
    default:
        return TG_LIT("null");
    }
}

static enum tg_err write_value(struct tg_buf *out, const json_t *json);

static enum tg_err write_array(struct tg_buf *out, const json_t *array)
{
    enum tg_err err = tg_buf_append_char(out, '[');
    for (size_t i = 0; err == TG_OK && i < json_array_size(array); i++) {
        err = tg_buf_append(out, i > 0 ? TG_LIT(",") : TG_EMPTY);
        if (err == TG_OK) {
            err = write_value(out, json_array_get(array, i));
        }
    }
    return err == TG_OK ? tg_buf_append_char(out, ']') : err;
}

static enum tg_err write_object(struct tg_buf *out, json_t *object)
{
    enum tg_err err = tg_buf_append_char(out, '{');
    struct tg_slice separator = TG_EMPTY;
    for (void *at = json_object_iter(object); err == TG_OK && at != NULL;
         at = json_object_iter_next(object, at)) {
        err = tg_buf_append(out, separator);
        if (err == TG_OK) {
            err = tg_json_write_string(out,
                                       tg_slice_make(json_object_iter_key(at), json_object_iter_key_len(at)));
        }
        if (err == TG_OK) {
            err = tg_buf_append_char(out, ':');
        }
        if (err == TG_OK) {
            err = write_value(out, json_object_iter_value(at));
        }
        separator = TG_LIT(",");
    }
    return err == TG_OK ? tg_buf_append_char(out, '}') : err;
}

/* Recursion is bounded by the depth that the parser allows. */
static enum tg_err write_value(struct tg_buf *out, const json_t *json)
{
    char text[NUMBER_MAX];
    if (json_is_array(json)) {
        return write_array(out, json);
    }
    if (json_is_object(json)) {
        return write_object(out, mutable(as_value(json)));
    }
    if (json_is_string(json)) {
        return tg_json_write_string(out, tg_json_string(as_value(json)));
    }
    return tg_buf_append(out, scalar_text(json, text));
}

enum tg_err tg_json_write(struct tg_buf *out, const struct tg_json *value)
{
    return value != NULL ? write_value(out, as_json(value)) : tg_buf_append(out, TG_LIT("null"));
}

enum tg_err tg_json_stringify(struct tg_arena *arena, const struct tg_json *value, struct tg_slice *out)
{
    char text[NUMBER_MAX];
    enum tg_json_type type = tg_json_type(value);
    if (type == TG_JSON_STRING) {
        return tg_arena_copy(arena, tg_json_string(value), out);
    }
    if (type != TG_JSON_ARRAY && type != TG_JSON_OBJECT) {
        return tg_arena_copy(arena, value != NULL ? scalar_text(as_json(value), text) : TG_LIT("null"), out);
    }
    struct tg_buf buf;
    tg_buf_init(&buf, SIZE_MAX);
    enum tg_err err = write_value(&buf, as_json(value));
    if (err == TG_OK) {
        err = tg_arena_copy(arena, tg_buf_slice(&buf), out);
    }
    tg_buf_free(&buf);
    return err;
}

static size_t escape(unsigned char c, char out[6])
{
    static const char named[] = "\b\t\n\v\f\r";
    static const char letters[] = "btn\0fr"; /* \v has no letter */
    out[0] = '\\';
    if (c == '"' || c == '\\') {
        out[1] = (char)c;
        return 2;
    }
    const char *hit = c != '\0' ? strchr(named, c) : NULL;
    if (hit != NULL && letters[hit - named] != '\0') {
        out[1] = letters[hit - named];
        return 2;
    }
    out[1] = 'u';
    out[2] = '0';
    out[3] = '0';
    out[4] = (char)('0' + (c >> 4));
    out[5] = "0123456789abcdef"[c & 0x0f];
    return 6;
}

enum tg_err tg_json_write_string(struct tg_buf *out, struct tg_slice text)
{
    enum tg_err err = tg_buf_append_char(out, '"');
    size_t start = 0;
    for (size_t i = 0; err == TG_OK && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        char sequence[6];
        size_t len = escape(c, sequence);
        err = tg_buf_append(out, tg_slice_make(text.ptr + start, i - start));
        if (err == TG_OK) {
            err = tg_buf_append(out, tg_slice_make(sequence, len));
        }
        start = i + 1;
    }
    if (err == TG_OK) {
        err = tg_buf_append(out, tg_slice_from(text, start));
    }
    return err == TG_OK ? tg_buf_append_char(out, '"') : err;
}
