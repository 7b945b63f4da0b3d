#include "routes/source.h"

#include "routes/expr.h"

struct location {
    struct tg_slice prefix;
    enum tg_var_scope scope;
};

/* What follows `route.request.`; bodies are read apart. */
static const struct location locations[] = {
    {TG_LIT_INIT("header."), TG_VAR_HEADER},     {TG_LIT_INIT("multivalueheader."), TG_VAR_MULTIHEADER},
    {TG_LIT_INIT("querystring."), TG_VAR_QUERY}, {TG_LIT_INIT("multivaluequerystring."), TG_VAR_MULTIQUERY},
    {TG_LIT_INIT("path."), TG_VAR_PATH},
};

static bool find_request_location(struct tg_slice *name, enum tg_var_scope *scope)
{
    for (size_t i = 0; i < sizeof locations / sizeof *locations; i++) {
        if (tg_expr_skip(name, locations[i].prefix)) {
            *scope = locations[i].scope;
            return true;
        }
    }
    return false;
}

static bool find_scope(struct tg_slice *name, enum tg_var_scope *scope)
{
    if (tg_expr_skip(name, TG_LIT("route.request.")) || tg_expr_skip(name, TG_LIT("method.request."))) {
        return find_request_location(name, scope);
    }
    if (tg_expr_skip(name, TG_LIT("stageVariables."))) {
        *scope = TG_VAR_STAGE;
        return true;
    }
    if (tg_expr_skip(name, TG_LIT("context."))) {
        *scope = TG_VAR_CONTEXT;
        return true;
    }
    return false;
}

/* `route.request.body` and paths below it: leaves the path in *path. */
static bool is_body(struct tg_slice text, struct tg_slice *path)
{
    *path = text;
    return (tg_expr_skip(path, TG_LIT("route.request.body")) ||
            tg_expr_skip(path, TG_LIT("method.request.body"))) &&
           (path->len == 0 || path->ptr[0] == '.' || path->ptr[0] == '[');
}

enum tg_err tg_source_path(struct tg_arena *arena, struct tg_slice path, size_t at,
                           struct tg_jsonscan_path *out, struct tg_slice *error)
{
    const char *why = NULL;
    size_t offset = 0;
    enum tg_err err = tg_jsonscan_compile(arena, path, out, &offset, &why);
    if (err == TG_ESYNTAX) {
        return tg_expr_fail(arena, error, at + offset, "%s", why);
    }
    return err == TG_ELIMIT ? tg_expr_fail(arena, error, at, "the path has too many steps") : err;
}

static enum tg_err compile_body(struct tg_arena *arena, struct tg_slice text, struct tg_slice path,
                                struct tg_source *out, struct tg_slice *error)
{
    struct tg_source source = {.scope = TG_VAR_BODY};
    enum tg_err err = tg_source_path(arena, path, text.len - path.len, &source.path, error);
    if (err == TG_OK) {
        *out = source;
    }
    return err;
}

static enum tg_err compile_literal(struct tg_arena *arena, struct tg_slice text, struct tg_source *out,
                                   struct tg_slice *error)
{
    if (text.len < 2 || text.ptr[text.len - 1] != '\'') {
        return tg_expr_fail(arena, error, text.len, "the closing quote of the literal is missing");
    }
    *out = (struct tg_source){.is_literal = true, .text = tg_slice_make(text.ptr + 1, text.len - 2)};
    return TG_OK;
}

static enum tg_err compile(struct tg_arena *arena, struct tg_slice text, unsigned allowed,
                           const char *name_chars, struct tg_source *out, struct tg_slice *error)
{
    struct tg_slice path, name = text;
    if ((allowed & TG_SOURCE_LITERAL) != 0 && tg_slice_starts(text, TG_LIT("'"))) {
        return compile_literal(arena, text, out, error);
    }
    if ((allowed & TG_SOURCE_OF(TG_VAR_BODY)) != 0 && is_body(text, &path)) {
        return compile_body(arena, text, path, out, error);
    }
    enum tg_var_scope scope;
    if (!find_scope(&name, &scope) || (allowed & TG_SOURCE_OF(scope)) == 0) {
        return tg_expr_fail(arena, error, 0, "`%.*s` is no source that can be used here", TG_FMT(text));
    }
    if (!tg_expr_is_name(name, name_chars)) {
        return tg_expr_fail(arena, error, text.len - name.len,
                            "the name `%.*s` is empty or has characters other than A-Z a-z 0-9 %s",
                            TG_FMT(name), name_chars);
    }
    *out = (struct tg_source){.scope = scope, .text = name};
    return TG_OK;
}

enum tg_err tg_source_compile(struct tg_arena *arena, struct tg_slice text, unsigned allowed,
                              struct tg_source *out, struct tg_slice *error)
{
    return compile(arena, text, allowed, "._$-", out, error);
}

enum tg_err tg_source_compile_identity(struct tg_arena *arena, struct tg_slice text, struct tg_source *out,
                                       struct tg_slice *error)
{
    /* The alias is for mappings written for REST; here only the one spelling exists (7.4). */
    if (tg_slice_starts(text, TG_LIT("method."))) {
        return tg_expr_fail(arena, error, 0, "`%.*s` is no source that can be used here", TG_FMT(text));
    }
    return compile(arena, text, TG_SOURCE_IDENTITY, "._-", out, error);
}

static enum tg_err resolve_body(const struct tg_source *source, enum tg_jsonscan_mode json,
                                struct tg_arena *arena, struct tg_var_values *values)
{
    if (values->count == 0 || source->path.count == 0) {
        return TG_OK;
    }
    struct tg_jsonscan_value value;
    enum tg_err err = tg_jsonscan_find(values->items[0], &source->path, json, &value);
    if (err != TG_OK || !value.found) {
        *values = (struct tg_var_values){NULL, 0};
        return TG_OK;
    }
    struct tg_slice text;
    err = tg_jsonscan_text(&value, TG_JSONSCAN_COMPACT, arena, &text);
    return err == TG_OK ? tg_vars_one(arena, text, values) : err;
}

enum tg_err tg_source_resolve(const struct tg_source *source, const struct tg_vars *vars,
                              enum tg_jsonscan_mode json, struct tg_arena *arena, struct tg_var_values *out)
{
    if (source->is_literal) {
        *out = (struct tg_var_values){&source->text, 1};
        return TG_OK;
    }
    struct tg_var_values values;
    enum tg_err err = tg_vars_get(vars, source->scope, source->text, arena, &values);
    if (err == TG_OK && source->scope == TG_VAR_BODY) {
        err = resolve_body(source, json, arena, &values);
    }
    if (err == TG_OK) {
        *out = values;
    }
    return err;
}

enum tg_err tg_source_identity(const struct tg_source *source, const struct tg_vars *vars,
                               struct tg_arena *arena, struct tg_slice *out)
{
    bool never = source->scope == TG_VAR_CONTEXT && (tg_slice_eq(source->text, TG_LIT("eventType")) ||
                                                     tg_slice_eq(source->text, TG_LIT("messageDirection")) ||
                                                     tg_slice_eq(source->text, TG_LIT("routeKey")));
    struct tg_var_values values = {NULL, 0};
    if (!never) {
        enum tg_err err = tg_source_resolve(source, vars, TG_JSONSCAN_STRICT, arena, &values);
        if (err != TG_OK) {
            return err;
        }
    }
    *out = values.count > 0 ? values.items[0] : TG_EMPTY;
    return TG_OK;
}

bool tg_source_is_parameter(const struct tg_source *source)
{
    return !source->is_literal && (source->scope == TG_VAR_HEADER || source->scope == TG_VAR_MULTIHEADER ||
                                   source->scope == TG_VAR_QUERY || source->scope == TG_VAR_MULTIQUERY);
}
