#include "routes/expr.h"

#include <stdarg.h>
#include <stdio.h>

#include "server/base/headers.h"

enum { TEXT_MAX = 200 };

enum tg_err tg_expr_fail(struct tg_arena *arena, struct tg_slice *error, size_t at, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    enum tg_err err = tg_arena_printf(arena, error, "%s at character %zu", text, at + 1);
    return err == TG_OK ? TG_ESYNTAX : err;
}

enum tg_err tg_expr_join(struct tg_arena *arena, const struct tg_slice *parts, size_t count,
                         struct tg_slice *out)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += parts[i].len;
    }
    if (count == 0 || len == 0) {
        *out = TG_EMPTY;
        return TG_OK;
    }
    if (count == 1) {
        *out = parts[0];
        return TG_OK;
    }
    char *text = tg_arena_alloc(arena, len);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0) {
            memcpy(at, parts[i].ptr, parts[i].len);
            at += parts[i].len;
        }
    }
    *out = tg_slice_make(text, len);
    return TG_OK;
}

enum tg_err tg_expr_join_commas(struct tg_arena *arena, const struct tg_slice *values, size_t count,
                                struct tg_slice *out)
{
    if (count == 1) {
        *out = values[0];
        return TG_OK;
    }
    struct tg_slice *parts = tg_arena_alloc(arena, (2 * count + 1) * sizeof *parts);
    if (parts == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        parts[2 * i] = values[i];
        parts[2 * i + 1] = TG_LIT(",");
    }
    return tg_expr_join(arena, parts, count > 0 ? 2 * count - 1 : 0, out);
}

static bool is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7F;
}

enum tg_err tg_expr_strip_controls(struct tg_arena *arena, struct tg_slice value, struct tg_slice *out)
{
    if (tg_header_value_ok(value)) {
        *out = value;
        return TG_OK;
    }
    char *clean = tg_arena_alloc(arena, value.len);
    if (clean == NULL) {
        return TG_ENOMEM;
    }
    size_t len = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_control(value.ptr[i])) {
            clean[len++] = value.ptr[i];
        }
    }
    *out = tg_slice_make(clean, len);
    return TG_OK;
}

size_t tg_expr_find_brace(struct tg_slice text, size_t from)
{
    size_t at = from;
    while (at < text.len && text.ptr[at] != '}') {
        char c = text.ptr[at++];
        if ((c == '\'' || c == '"') && at - from > 1 && text.ptr[at - 2] == '[') {
            while (at < text.len && text.ptr[at] != c) {
                at += text.ptr[at] == '\\' && at + 1 < text.len ? 2 : 1;
            }
        }
    }
    return at;
}

bool tg_expr_is_name(struct tg_slice text, const char *others)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!tg_expr_is_alnum(text.ptr[i]) && (text.ptr[i] == '\0' || strchr(others, text.ptr[i]) == NULL)) {
            return false;
        }
    }
    return text.len > 0;
}

bool tg_expr_skip(struct tg_slice *text, struct tg_slice prefix)
{
    if (!tg_slice_starts(*text, prefix)) {
        return false;
    }
    *text = tg_slice_from(*text, prefix.len);
    return true;
}
