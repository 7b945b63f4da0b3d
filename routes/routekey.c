#include "routes/routekey.h"

#include "routes/expr.h"
#include "server/base/codec.h"

static const struct tg_slice methods[TG_ROUTEKEY_METHOD_COUNT] = {
#define X(name) TG_LIT_INIT(#name),
    TG_ROUTEKEY_METHODS(X)
#undef X
        TG_LIT_INIT("ANY"),
};

enum tg_routekey_method tg_routekey_method(struct tg_slice name)
{
    for (size_t i = 0; i < TG_ROUTEKEY_ANY; i++) {
        if (tg_slice_eq(methods[i], name)) {
            return (enum tg_routekey_method)i;
        }
    }
    return TG_ROUTEKEY_METHOD_COUNT;
}

/* `..`, as servers read it that take `\` for a slash, or cut a segment at `;`. */
static bool steps_up(const char *at, const char *end)
{
    return end - at >= 2 && at[0] == '.' && at[1] == '.' &&
           (end - at == 2 || at[2] == '/' || at[2] == '\\' || at[2] == ';');
}

bool tg_routekey_allows(struct tg_slice decoded)
{
    const char *end = decoded.ptr + decoded.len;
    bool first = true; /* of a segment */
    for (const char *at = decoded.ptr; at < end; at++) {
        if (*at == '\0' || (first && steps_up(at, end))) {
            return false;
        }
        first = *at == '/' || *at == '\\';
    }
    return true;
}

/* Reads a key from left to right. */
struct reader {
    struct tg_arena *arena;
    struct tg_slice text;
    size_t at;
    struct tg_routekey_segment segments[TG_ROUTEKEY_SEGMENTS_MAX];
    size_t count;
    struct tg_slice *error;
};

static enum tg_err take_method(struct reader *r, enum tg_routekey_method *out)
{
    struct tg_slice rest, name = tg_slice_cut(r->text, ' ', &rest);
    if (rest.ptr == NULL) {
        return tg_expr_fail(r->arena, r->error, 0,
                            "expected METHOD /path, ANY /path or $default, but there is no space");
    }
    for (size_t i = 0; i < TG_ROUTEKEY_METHOD_COUNT; i++) {
        if (tg_slice_eq(methods[i], name)) {
            *out = (enum tg_routekey_method)i;
            r->at = name.len + 1;
            return TG_OK;
        }
        if (tg_slice_eq_nocase(methods[i], name)) {
            return tg_expr_fail(r->arena, r->error, 0, "methods are in upper case: %.*s", TG_FMT(methods[i]));
        }
    }
    return tg_expr_fail(r->arena, r->error, 0,
                        "no such method; expected DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT or ANY");
}

/* `{name}` or `{name+}`; `at` is where it begins. */
static enum tg_err take_param(struct reader *r, struct tg_slice segment, size_t at)
{
    size_t close = tg_slice_find(segment, '}');
    if (close == segment.len) {
        return tg_expr_fail(r->arena, r->error, at, "`{` is not closed");
    }
    if (close + 1 < segment.len) {
        return tg_expr_fail(r->arena, r->error, at + close + 1,
                            "a parameter is a whole segment; expected / or the end");
    }
    struct tg_slice name = tg_slice_make(segment.ptr + 1, close - 1);
    bool greedy = name.len > 0 && name.ptr[name.len - 1] == '+';
    name.len -= greedy;
    if (!tg_expr_is_name(name, "_-.:")) {
        return tg_expr_fail(r->arena, r->error, at + 1,
                            "expected the name of a parameter: letters, digits, `_`, `-`, `.`, `:`");
    }
    for (size_t i = 0; i < r->count; i++) {
        if (r->segments[i].kind != TG_ROUTEKEY_LITERAL && tg_slice_eq(r->segments[i].text, name)) {
            return tg_expr_fail(r->arena, r->error, at + 1, "a parameter of this name is there already");
        }
    }
    if (greedy && r->at < r->text.len) {
        return tg_expr_fail(r->arena, r->error, at, "`{%.*s+}` must be the last segment", TG_FMT(name));
    }
    r->segments[r->count++] =
        (struct tg_routekey_segment){greedy ? TG_ROUTEKEY_GREEDY : TG_ROUTEKEY_PARAM, name};
    return TG_OK;
}

static enum tg_err take_literal(struct reader *r, struct tg_slice segment, size_t at)
{
    for (size_t i = 0; i < segment.len; i++) {
        char c = segment.ptr[i];
        if (c == '{' || c == '}') {
            return tg_expr_fail(r->arena, r->error, at + i, "a parameter is a whole segment: /{name}/");
        }
        if (c == '?' || c == '#') {
            return tg_expr_fail(r->arena, r->error, at + i,
                                "`%c` is no part of a path (write %s for the character)", c,
                                c == '?' ? "%3F" : "%23");
        }
        if ((unsigned char)c <= ' ' || c == 0x7f) {
            return tg_expr_fail(r->arena, r->error, at + i, "a blank or control character in the path");
        }
    }
    struct tg_slice decoded;
    enum tg_err err = tg_percent_decode(r->arena, segment, false, &decoded);
    if (err != TG_OK) {
        return err;
    }
    if (!tg_routekey_allows(decoded)) {
        return tg_expr_fail(r->arena, r->error, at, "`..` or a NUL: no request with such a path is served");
    }
    r->segments[r->count++] = (struct tg_routekey_segment){TG_ROUTEKEY_LITERAL, decoded};
    return TG_OK;
}

/* The path, r->at at its beginning. */
static enum tg_err take_path(struct reader *r)
{
    if (r->at == r->text.len || r->text.ptr[r->at] != '/') {
        return tg_expr_fail(r->arena, r->error, r->at, "expected a path that begins with `/`");
    }
    if (r->at + 1 == r->text.len) {
        return TG_OK;
    }
    while (r->at < r->text.len) {
        size_t at = ++r->at; /* behind the slash */
        struct tg_slice segment =
            tg_slice_head(tg_slice_from(r->text, at), tg_slice_find(tg_slice_from(r->text, at), '/'));
        r->at += segment.len;
        if (segment.len == 0) {
            return r->at == r->text.len
                       ? tg_expr_fail(r->arena, r->error, at - 1, "a path does not end with `/`")
                       : tg_expr_fail(r->arena, r->error, at, "an empty segment");
        }
        if (r->count == TG_ROUTEKEY_SEGMENTS_MAX) {
            return tg_expr_fail(r->arena, r->error, at, "more than %d segments", TG_ROUTEKEY_SEGMENTS_MAX);
        }
        enum tg_err err = segment.ptr[0] == '{' ? take_param(r, segment, at) : take_literal(r, segment, at);
        if (err != TG_OK) {
            return err;
        }
    }
    return TG_OK;
}

enum tg_err tg_routekey_parse(struct tg_arena *arena, struct tg_slice text, struct tg_routekey *out,
                              struct tg_slice *error)
{
    struct tg_routekey key = {.method = TG_ROUTEKEY_ANY};
    struct reader r = {.arena = arena, .error = error};
    enum tg_err err = tg_arena_copy(arena, text, &key.text);
    if (err != TG_OK) {
        return err;
    }
    r.text = key.text;
    key.is_default = tg_slice_eq(text, TG_LIT("$default"));
    if (key.is_default) {
        *out = key;
        return TG_OK;
    }
    err = take_method(&r, &key.method);
    if (err == TG_OK) {
        err = take_path(&r);
    }
    if (err != TG_OK) {
        return err;
    }
    if (r.count > 0) {
        struct tg_routekey_segment *segments = tg_arena_alloc(arena, r.count * sizeof *segments);
        if (segments == NULL) {
            return TG_ENOMEM;
        }
        memcpy(segments, r.segments, r.count * sizeof *segments);
        key.segments = segments;
        key.count = r.count;
    }
    *out = key;
    return TG_OK;
}
