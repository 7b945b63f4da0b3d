#include "routes/selection.h"

#include "routes/expr.h"
#include "routes/source.h"

struct tg_selection_part {
    struct tg_source source;
};

/* Reads an expression from left to right. Invariant: at <= text.len, and parts has room for two parts a `$`
 * left. */
struct reader {
    struct tg_arena *arena;
    struct tg_slice text;
    size_t at;
    unsigned allowed;
    struct tg_selection_part *parts;
    size_t count;
    struct tg_slice *error;
};

static void add_literal(struct reader *r, size_t from, size_t to)
{
    if (to > from) {
        r->parts[r->count++].source =
            (struct tg_source){.is_literal = true, .text = tg_slice_make(r->text.ptr + from, to - from)};
    }
}

/* `at` is where the path begins in the expression. */
static enum tg_err add_body(struct reader *r, enum tg_var_scope scope, struct tg_slice path, size_t at)
{
    struct tg_source source = {.scope = scope};
    enum tg_err err = tg_source_path(r->arena, path, at, &source.path, r->error);
    if (err == TG_OK) {
        r->parts[r->count++].source = source;
    }
    return err;
}

static bool starts_path(struct tg_slice text)
{
    return text.len == 0 || text.ptr[0] == '.' || text.ptr[0] == '[';
}

static bool find_response(struct tg_slice name, struct tg_source *source)
{
    if (!tg_expr_skip(&name, TG_LIT("integration.response."))) {
        source->scope = TG_VAR_RESPONSE_STATUS;
        return tg_slice_eq(name, TG_LIT("response.statuscode"));
    }
    if (tg_slice_eq(name, TG_LIT("statuscode"))) {
        source->scope = TG_VAR_RESPONSE_STATUS;
        return true;
    }
    if (tg_expr_skip(&name, TG_LIT("header."))) {
        source->scope = TG_VAR_RESPONSE_HEADER;
    } else if (tg_expr_skip(&name, TG_LIT("multivalueheader."))) {
        source->scope = TG_VAR_RESPONSE_MULTIHEADER;
    } else {
        return false;
    }
    source->text = name;
    return tg_expr_is_name(name, "._$-");
}

/* Variables other than bodies. */
static bool find_variable(struct tg_slice name, unsigned allowed, struct tg_source *source)
{
    bool api_key = (allowed & TG_SELECT_API_KEY) != 0;
    struct tg_slice rest = name;
    if (tg_expr_skip(&rest, TG_LIT("request.header."))) {
        *source = (struct tg_source){.scope = TG_VAR_HEADER, .text = rest};
        return ((allowed & TG_SELECT_HEADER) != 0 && tg_expr_is_name(rest, "._$-")) ||
               (api_key && tg_slice_eq_nocase(rest, TG_LIT("x-api-key")));
    }
    if (tg_expr_skip(&rest, TG_LIT("context."))) {
        *source = (struct tg_source){.scope = TG_VAR_CONTEXT, .text = rest};
        return ((allowed & TG_SELECT_CONTEXT) != 0 && tg_expr_is_name(rest, "._$-")) ||
               (api_key && tg_slice_eq(rest, TG_LIT("authorizer.usageIdentifierKey")));
    }
    return (allowed & TG_SELECT_RESPONSE) != 0 && find_response(name, source);
}

static enum tg_err add_variable(struct reader *r, struct tg_slice name)
{
    const struct tg_slice request_body = TG_LIT("request.body");
    const struct tg_slice response_body = TG_LIT("integration.response.body");
    size_t at = (size_t)(name.ptr - r->text.ptr);
    struct tg_slice path = name;
    if ((r->allowed & TG_SELECT_BODY) != 0 && tg_expr_skip(&path, request_body) && starts_path(path)) {
        return add_body(r, TG_VAR_BODY, path, at + request_body.len);
    }
    path = name;
    if ((r->allowed & TG_SELECT_RESPONSE) != 0 && tg_expr_skip(&path, response_body) && starts_path(path)) {
        return add_body(r, TG_VAR_RESPONSE_BODY, path, at + response_body.len);
    }
    struct tg_source source = {0};
    if (find_variable(name, r->allowed, &source)) {
        r->parts[r->count++].source = source;
        return TG_OK;
    }
    if (tg_slice_eq(name, TG_LIT("default"))) {
        return tg_expr_fail(r->arena, r->error, at,
                            "`$default` is no variable (the text is written `\\$default`)");
    }
    if (name.len == 0) {
        return tg_expr_fail(r->arena, r->error, at, "a variable is missing (the text `$` is written `\\$`)");
    }
    return tg_expr_fail(r->arena, r->error, at, "the variable `%.*s` is not known here", TG_FMT(name));
}

/* `${name}`, r->at behind the brace. */
static enum tg_err take_wrapped(struct reader *r)
{
    size_t start = r->at;
    r->at = tg_expr_find_brace(r->text, start);
    if (r->at == r->text.len) {
        return tg_expr_fail(r->arena, r->error, start - 2, "`${` is not closed");
    }
    return add_variable(r, tg_slice_make(r->text.ptr + start, r->at++ - start));
}

/* `$name`, r->at behind the `$`. */
static enum tg_err take_unwrapped(struct reader *r)
{
    size_t start = r->at;
    while (r->at < r->text.len && r->text.ptr[r->at] != '\0' &&
           (tg_expr_is_alnum(r->text.ptr[r->at]) || strchr("_.$[]'\"*@-", r->text.ptr[r->at]) != NULL)) {
        r->at++;
    }
    return add_variable(r, tg_slice_make(r->text.ptr + start, r->at - start));
}

static enum tg_err read_parts(struct reader *r)
{
    size_t literal = 0; /* start of the text that waits to become a part */
    while (r->at < r->text.len) {
        char c = r->text.ptr[r->at];
        char next = r->at + 1 < r->text.len ? r->text.ptr[r->at + 1] : '\0';
        if (c == '\\' && next == '$') {
            add_literal(r, literal, r->at);
            literal = r->at + 1;
            r->at += 2;
            continue;
        }
        if (c != '$') {
            r->at++;
            continue;
        }
        add_literal(r, literal, r->at);
        r->at += next == '{' ? 2 : 1;
        enum tg_err err = next == '{' ? take_wrapped(r) : take_unwrapped(r);
        if (err != TG_OK) {
            return err;
        }
        literal = r->at;
    }
    add_literal(r, literal, r->at);
    return TG_OK;
}

enum tg_err tg_selection_compile(struct tg_arena *arena, struct tg_slice text, unsigned allowed,
                                 struct tg_selection *out, struct tg_slice *error)
{
    size_t most = 1;
    for (size_t i = 0; i < text.len; i++) {
        most += text.ptr[i] == '$' ? 2 : 0;
    }
    struct tg_selection_part *parts = tg_arena_alloc(arena, most * sizeof *parts);
    if (parts == NULL) {
        return TG_ENOMEM;
    }
    struct reader r = {.arena = arena, .text = text, .allowed = allowed, .parts = parts, .error = error};
    if (text.len == 0) {
        return tg_expr_fail(arena, error, 0, "the expression is empty");
    }
    enum tg_err err = read_parts(&r);
    if (err != TG_OK) {
        return err;
    }
    const struct tg_source *first = &parts[0].source;
    bool body = r.count == 1 && !first->is_literal && first->scope == TG_VAR_BODY;
    *out = (struct tg_selection){.parts = parts, .count = r.count, .body = body ? &first->path : NULL};
    return TG_OK;
}

static enum tg_err find_text(struct tg_slice body, const struct tg_jsonscan_path *path,
                             enum tg_jsonscan_mode mode, struct tg_arena *arena, struct tg_slice *out)
{
    struct tg_jsonscan_value value;
    enum tg_err err = tg_jsonscan_find(body, path, mode, &value);
    if (err != TG_OK) {
        return TG_ESYNTAX; /* nested too deep is as good as no JSON */
    }
    if (value.type == TG_JSON_STRING && value.found && !value.escaped) { /* which most are */
        *out = tg_slice_make(value.raw.ptr + 1, value.raw.len - 2);
        return TG_OK;
    }
    return tg_jsonscan_text(&value, TG_JSONSCAN_SELECTION, arena, out);
}

/* `[v1, v2]` */
static enum tg_err join_list(const struct tg_var_values *values, struct tg_arena *arena, struct tg_slice *out)
{
    struct tg_slice *parts = tg_arena_alloc(arena, (2 * values->count + 1) * sizeof *parts);
    if (parts == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < values->count; i++) {
        parts[2 * i] = i == 0 ? TG_LIT("[") : TG_LIT(", ");
        parts[2 * i + 1] = values->items[i];
    }
    parts[2 * values->count] = TG_LIT("]");
    return tg_expr_join(arena, parts, 2 * values->count + 1, out);
}

static enum tg_err evaluate_variable(const struct tg_source *source, const struct tg_selection_input *input,
                                     struct tg_arena *arena, struct tg_slice *out)
{
    struct tg_var_values values;
    enum tg_err err = tg_vars_get(input->vars, source->scope, source->text, arena, &values);
    if (err != TG_OK) {
        return err;
    }
    if (values.count == 0) {
        *out = TG_EMPTY;
        return TG_OK;
    }
    if (source->scope == TG_VAR_RESPONSE_MULTIHEADER) {
        return join_list(&values, arena, out);
    }
    if (source->scope == TG_VAR_RESPONSE_BODY) {
        err = find_text(values.items[0], &source->path, input->json, arena, out);
        if (err == TG_ESYNTAX) {
            *out = TG_EMPTY;
            err = TG_OK;
        }
        return err;
    }
    *out = values.items[0];
    return TG_OK;
}

static enum tg_err evaluate_part(const struct tg_source *source, const struct tg_selection_input *input,
                                 struct tg_arena *arena, struct tg_slice *out)
{
    if (source->is_literal) {
        *out = source->text;
        return TG_OK;
    }
    if (source->scope == TG_VAR_BODY) {
        return find_text(input->body, &source->path, input->json, arena, out);
    }
    return evaluate_variable(source, input, arena, out);
}

/* By value: a caller with the simple case then makes no input in memory. */
static TG_APART enum tg_err evaluate(const struct tg_selection *selection, struct tg_selection_input input,
                                     struct tg_arena *arena, struct tg_slice *out)
{
    if (selection->count == 1) {
        return evaluate_part(&selection->parts[0].source, &input, arena, out);
    }
    struct tg_slice *results = tg_arena_alloc(arena, selection->count * sizeof *results);
    if (results == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < selection->count; i++) {
        enum tg_err err = evaluate_part(&selection->parts[i].source, &input, arena, &results[i]);
        if (err != TG_OK) {
            return err;
        }
    }
    return tg_expr_join(arena, results, selection->count, out);
}

enum tg_err tg_selection_evaluate(const struct tg_selection *selection,
                                  const struct tg_selection_input *input, struct tg_arena *arena,
                                  struct tg_slice *out)
{
    return selection->body != NULL ? find_text(input->body, selection->body, input->json, arena, out)
                                   : evaluate(selection, *input, arena, out);
}

bool tg_selection_is_text(const struct tg_selection *selection, struct tg_slice *text)
{
    const struct tg_source *source = &selection->parts[0].source;
    if (selection->count != 1 || !source->is_literal) {
        return false;
    }
    *text = source->text;
    return true;
}

bool tg_selection_reads_body(const struct tg_selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        const struct tg_source *source = &selection->parts[i].source;
        if (!source->is_literal && source->scope == TG_VAR_BODY) {
            return true;
        }
    }
    return false;
}
