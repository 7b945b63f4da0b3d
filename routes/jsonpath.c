#include "routes/jsonscan.h"

/* Reads a path from left to right. Invariant: at <= text.len and count <= the steps allocated. */
struct reader {
    struct tg_slice text;
    size_t at;
    struct tg_jsonscan_step *steps;
    size_t count;
    const char *why;
};

static bool fail(struct reader *r, const char *why)
{
    r->why = why;
    return false;
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

/* A name without quotes, up to the next `.` or `[`. */
static bool take_name(struct reader *r)
{
    size_t start = r->at;
    while (r->at < r->text.len && r->text.ptr[r->at] != '.' && r->text.ptr[r->at] != '[') {
        char c = r->text.ptr[r->at];
        if (c == ']' || is_quote(c)) {
            return fail(r, "a bracket or quote inside a name");
        }
        if (c == '*') {
            return fail(r, "wildcards are not supported");
        }
        r->at++;
    }
    if (r->at == start) {
        return fail(r, "a name is missing");
    }
    r->steps[r->count++].name = tg_slice_make(r->text.ptr + start, r->at - start);
    return true;
}

static bool take_index(struct reader *r)
{
    size_t start = r->at;
    uint64_t index;
    while (r->at < r->text.len && r->text.ptr[r->at] >= '0' && r->text.ptr[r->at] <= '9') {
        r->at++;
    }
    struct tg_slice digits = {r->text.ptr + start, r->at - start};
    if (digits.len == 0) {
        return fail(r, "brackets take an index or a quoted name");
    }
    if (tg_slice_to_u64(digits, &index) != TG_OK || index > SIZE_MAX) {
        r->at = start;
        return fail(r, "the index is too large");
    }
    r->steps[r->count++].index = (size_t)index;
    return true;
}

/* `'name'` or `"name"`; a backslash stands for the character behind it. */
static enum tg_err take_quoted(struct reader *r, struct tg_arena *arena)
{
    char quote = r->text.ptr[r->at];
    size_t start = ++r->at, escapes = 0;
    while (r->at < r->text.len && r->text.ptr[r->at] != quote) {
        if (r->text.ptr[r->at] == '\\' && r->at + 1 < r->text.len) {
            escapes++;
            r->at++;
        }
        r->at++;
    }
    if (r->at >= r->text.len) {
        r->why = "the quoted name does not end";
        return TG_ESYNTAX;
    }
    struct tg_slice name = {r->text.ptr + start, r->at - start};
    r->at++;
    if (escapes > 0) {
        char *copy = tg_arena_alloc(arena, name.len);
        if (copy == NULL) {
            return TG_ENOMEM;
        }
        size_t len = 0;
        for (size_t i = 0; i < name.len; i++) {
            i += name.ptr[i] == '\\';
            copy[len++] = name.ptr[i];
        }
        name = tg_slice_make(copy, len);
    }
    r->steps[r->count++].name = name;
    return TG_OK;
}

static enum tg_err take_bracket(struct reader *r, struct tg_arena *arena)
{
    r->at++;
    if (r->at < r->text.len && r->text.ptr[r->at] == '*') {
        r->why = "wildcards are not supported";
        return TG_ESYNTAX;
    }
    if (r->at < r->text.len && is_quote(r->text.ptr[r->at])) {
        enum tg_err err = take_quoted(r, arena);
        if (err != TG_OK) {
            return err;
        }
    } else if (!take_index(r)) {
        return TG_ESYNTAX;
    }
    if (r->at == r->text.len || r->text.ptr[r->at] != ']') {
        r->why = "`]` is missing";
        return TG_ESYNTAX;
    }
    r->at++;
    return TG_OK;
}

static enum tg_err take_step(struct reader *r, struct tg_arena *arena, bool first)
{
    char c = r->text.ptr[r->at];
    if (c == '[') {
        return take_bracket(r, arena);
    }
    if (c == '.') {
        r->at++;
    } else if (!first) {
        r->why = "`.` or `[` is missing";
        return TG_ESYNTAX;
    }
    return take_name(r) ? TG_OK : TG_ESYNTAX;
}

enum tg_err tg_jsonscan_compile(struct tg_arena *arena, struct tg_slice text, struct tg_jsonscan_path *out,
                                size_t *at, const char **why)
{
    struct reader r = {.text = text};
    if (text.len > 0 && text.ptr[0] == '$' && (text.len == 1 || text.ptr[1] == '.' || text.ptr[1] == '[')) {
        r.at = 1;
    }
    size_t most = 1;
    for (size_t i = 0; i < text.len; i++) {
        most += text.ptr[i] == '.' || text.ptr[i] == '[';
    }
    if (most > TG_JSONSCAN_DEPTH_MAX) {
        most = TG_JSONSCAN_DEPTH_MAX;
    }
    if (r.at < text.len) {
        r.steps = tg_arena_zalloc(arena, most * sizeof *r.steps);
        if (r.steps == NULL) {
            return TG_ENOMEM;
        }
    }
    for (size_t start = r.at; r.at < text.len;) {
        if (r.count == most) {
            return TG_ELIMIT;
        }
        enum tg_err err = take_step(&r, arena, r.at == start);
        if (err != TG_OK) {
            if (err == TG_ESYNTAX) {
                *at = r.at;
                *why = r.why;
            }
            return err;
        }
    }
    *out = (struct tg_jsonscan_path){r.steps, r.count};
    return TG_OK;
}
