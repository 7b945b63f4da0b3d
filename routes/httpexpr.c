#include "routes/httpexpr.h"

#include "routes/expr.h"
#include "server/base/headers.h"

/* A family of sources: what a name begins with, and what may follow. */
struct family {
    struct tg_slice prefix; /* without `$` */
    enum tg_httpexpr_side side;
    bool both; /* sides */
    enum tg_var_scope scope;
    bool (*name_ok)(struct tg_slice name);
    const char *names; /* in words, for errors */
};

/* Anything but control characters: a parameter may be called what it likes. */
static bool is_query_name(struct tg_slice name)
{
    return name.len > 0 && tg_header_value_ok(name);
}

static bool is_variable(struct tg_slice name)
{
    return tg_expr_is_name(name, "._");
}

static bool is_parameter(struct tg_slice name)
{
    return tg_expr_is_name(name, "._-");
}

static const struct family families[] = {
    {TG_LIT_INIT("request.header."), TG_HTTPEXPR_REQUEST, false, TG_VAR_MULTIHEADER, tg_header_name_ok,
     "a header's name"},
    {TG_LIT_INIT("request.querystring."), TG_HTTPEXPR_REQUEST, false, TG_VAR_MULTIQUERY, is_query_name,
     "a query parameter's name"},
    {TG_LIT_INIT("request.path."), TG_HTTPEXPR_REQUEST, false, TG_VAR_PATH, is_parameter,
     "letters, digits and ._-"},
    {TG_LIT_INIT("response.header."), TG_HTTPEXPR_RESPONSE, false, TG_VAR_RESPONSE_MULTIHEADER,
     tg_header_name_ok, "a header's name"},
    {TG_LIT_INIT("context."), TG_HTTPEXPR_REQUEST, true, TG_VAR_CONTEXT, is_variable,
     "letters, digits and ._"},
    {TG_LIT_INIT("stageVariables."), TG_HTTPEXPR_REQUEST, true, TG_VAR_STAGE, is_variable,
     "letters, digits and ._"},
};

/* Reads a value from left to right. Invariant: at <= text.len, and parts has room for two parts a `$` left.
 */
struct reader {
    struct tg_arena *arena;
    struct tg_slice text;
    size_t at;
    enum tg_httpexpr_side side;
    struct tg_source *parts;
    size_t count;
    unsigned reads;
    struct tg_slice *error;
};

static void add(struct reader *r, const struct tg_source *source)
{
    r->parts[r->count++] = *source;
    r->reads |= TG_SOURCE_OF(source->scope);
}

static void add_literal(struct reader *r, size_t from, size_t to)
{
    if (to > from) {
        r->parts[r->count++] =
            (struct tg_source){.is_literal = true, .text = tg_slice_make(r->text.ptr + from, to - from)};
    }
}

/* Where a slice of the text begins in it. */
static size_t place_of(const struct reader *r, struct tg_slice part)
{
    return (size_t)(part.ptr - r->text.ptr);
}

static enum tg_err refuse_side(struct reader *r, struct tg_slice name)
{
    return tg_expr_fail(r->arena, r->error, place_of(r, name),
                        r->side == TG_HTTPEXPR_REQUEST
                            ? "`%.*s` cannot be read yet: there is no response when a request is mapped"
                            : "`%.*s` cannot be read: a response is mapped from response, context and "
                              "stageVariables",
                        TG_FMT(name));
}

/* `request.body`, `response.body` and paths below them; *path is what follows. */
static bool is_body(struct tg_slice name, enum tg_httpexpr_side *side, struct tg_slice *path)
{
    *path = name;
    *side = TG_HTTPEXPR_REQUEST;
    if (!tg_expr_skip(path, TG_LIT("request.body"))) {
        *side = TG_HTTPEXPR_RESPONSE;
        if (!tg_expr_skip(path, TG_LIT("response.body"))) {
            return false;
        }
    }
    return path->len == 0 || path->ptr[0] == '.' || path->ptr[0] == '[';
}

static enum tg_err add_body(struct reader *r, enum tg_httpexpr_side side, struct tg_slice path)
{
    struct tg_source source = {.scope = side == TG_HTTPEXPR_REQUEST ? TG_VAR_BODY : TG_VAR_RESPONSE_BODY};
    enum tg_err err = tg_source_path(r->arena, path, place_of(r, path), &source.path, r->error);
    if (err == TG_OK) {
        add(r, &source);
    }
    return err;
}

/* A source, without `$`. */
static enum tg_err add_source(struct reader *r, struct tg_slice name)
{
    enum tg_httpexpr_side side;
    struct tg_slice rest;
    if (is_body(name, &side, &rest)) {
        return side == r->side ? add_body(r, side, rest) : refuse_side(r, name);
    }
    if (tg_slice_eq(name, TG_LIT("request.path"))) {
        if (r->side != TG_HTTPEXPR_REQUEST) {
            return refuse_side(r, name);
        }
        add(r, &(struct tg_source){.scope = TG_VAR_REQUEST_PATH});
        return TG_OK;
    }
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const struct family *family = &families[i];
        rest = name;
        if (!tg_expr_skip(&rest, family->prefix)) {
            continue;
        }
        if (!family->both && family->side != r->side) {
            return refuse_side(r, name);
        }
        if (!family->name_ok(rest)) {
            return tg_expr_fail(r->arena, r->error, place_of(r, rest), "`%.*s` is not %s", TG_FMT(rest),
                                family->names);
        }
        add(r, &(struct tg_source){.scope = family->scope, .text = rest});
        return TG_OK;
    }
    return tg_expr_fail(
        r->arena, r->error, place_of(r, name),
        "`%.*s` is no source: those are %s.header.NAME, %s, context.NAME, stageVariables.NAME", TG_FMT(name),
        r->side == TG_HTTPEXPR_REQUEST ? "request" : "response",
        r->side == TG_HTTPEXPR_REQUEST ? "request.querystring.NAME, request.path, request.body"
                                       : "response.body");
}

/* Text with `${NAME}` in it. */
static enum tg_err read_text(struct reader *r)
{
    size_t literal = 0; /* start of the text that waits to become a part */
    while (r->at < r->text.len) {
        if (r->text.ptr[r->at] != '$' || r->at + 1 == r->text.len || r->text.ptr[r->at + 1] != '{') {
            r->at++;
            continue;
        }
        size_t start = r->at + 2, end = tg_expr_find_brace(r->text, start);
        if (end == r->text.len) {
            return tg_expr_fail(r->arena, r->error, r->at, "`${` is not closed");
        }
        add_literal(r, literal, r->at);
        enum tg_err err = add_source(r, tg_slice_make(r->text.ptr + start, end - start));
        if (err != TG_OK) {
            return err;
        }
        literal = r->at = end + 1;
    }
    add_literal(r, literal, r->at);
    return TG_OK;
}

static bool is_one_source(struct tg_slice text)
{
    return text.len > 1 && text.ptr[0] == '$' && (text.ptr[1] | 0x20) >= 'a' && (text.ptr[1] | 0x20) <= 'z';
}

enum tg_err tg_httpexpr_compile(struct tg_arena *arena, struct tg_slice text, enum tg_httpexpr_side side,
                                struct tg_httpexpr *out, struct tg_slice *error)
{
    size_t most = 1;
    for (size_t i = 0; i < text.len; i++) {
        most += text.ptr[i] == '$' ? 2 : 0;
    }
    struct tg_source *parts = tg_arena_alloc(arena, most * sizeof *parts);
    if (parts == NULL) {
        return TG_ENOMEM;
    }
    struct reader r = {.arena = arena, .text = text, .side = side, .parts = parts, .error = error};
    enum tg_err err = is_one_source(text) ? add_source(&r, tg_slice_from(text, 1)) : read_text(&r);
    if (err == TG_OK) {
        *out = (struct tg_httpexpr){r.parts, r.count, r.reads};
    }
    return err;
}

static enum tg_err read_body(const struct tg_source *part, struct tg_slice body, struct tg_arena *arena,
                             struct tg_slice *out)
{
    bool cut = body.len > TG_HTTPEXPR_BODY_MAX;
    struct tg_slice text = tg_slice_head(body, TG_HTTPEXPR_BODY_MAX);
    if (part->path.count == 0) {
        *out = text;
        return TG_OK;
    }
    struct tg_jsonscan_value value;
    if (tg_jsonscan_find(text, &part->path, cut ? TG_JSONSCAN_CUT : TG_JSONSCAN_STRICT, &value) != TG_OK) {
        *out = TG_EMPTY;
        return TG_OK;
    }
    return tg_jsonscan_text(&value, TG_JSONSCAN_COMPACT, arena, out);
}

enum tg_err tg_httpexpr_part(const struct tg_source *part, const struct tg_vars *vars, struct tg_arena *arena,
                             struct tg_slice *out)
{
    if (part->is_literal) {
        *out = part->text;
        return TG_OK;
    }
    struct tg_var_values values;
    enum tg_err err = tg_vars_get(vars, part->scope, part->text, arena, &values);
    if (err != TG_OK) {
        return err;
    }
    if (values.count == 0) {
        *out = TG_EMPTY;
        return TG_OK;
    }
    if (part->scope == TG_VAR_BODY || part->scope == TG_VAR_RESPONSE_BODY) {
        return read_body(part, values.items[0], arena, out);
    }
    return tg_expr_join_commas(arena, values.items, values.count, out);
}

enum tg_err tg_httpexpr_evaluate(const struct tg_httpexpr *expr, const struct tg_vars *vars,
                                 struct tg_arena *arena, struct tg_slice *out)
{
    if (expr->count == 1) {
        return tg_httpexpr_part(&expr->parts[0], vars, arena, out);
    }
    struct tg_slice *results = tg_arena_alloc(arena, (expr->count + 1) * sizeof *results);
    if (results == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < expr->count; i++) {
        enum tg_err err = tg_httpexpr_part(&expr->parts[i], vars, arena, &results[i]);
        if (err != TG_OK) {
            return err;
        }
    }
    return tg_expr_join(arena, results, expr->count, out);
}
