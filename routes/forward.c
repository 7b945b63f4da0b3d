#include "routes/forward.h"

#include "routes/expr.h"
#include "routes/stagevars.h"
#include "routes/target.h"
#include "server/base/codec.h"

enum { PARTS_MAX = 64 };

/* ---- compiling ---- */

struct parts {
    struct tg_forward_part items[PARTS_MAX];
    size_t count;
};

static bool put(struct parts *parts, bool is_parameter, bool in_query, struct tg_slice text)
{
    if (text.len == 0) {
        return true;
    }
    if (parts->count == PARTS_MAX) {
        return false;
    }
    parts->items[parts->count++] =
        (struct tg_forward_part){.is_parameter = is_parameter, .in_query = in_query, .text = text};
    return true;
}

/* `{name}` or `{name+}` at the front of text: its length; 0: none. */
static size_t parameter(struct tg_slice text, struct tg_slice *name)
{
    size_t end = tg_slice_find(text, '}');
    if (text.len == 0 || text.ptr[0] != '{' || end == text.len) {
        return 0;
    }
    *name = tg_slice_make(text.ptr + 1, end - 1);
    if (name->len > 0 && name->ptr[name->len - 1] == '+') {
        name->len--;
    }
    return tg_expr_is_name(*name, "_-.") ? end + 1 : 0;
}

static enum tg_err split(struct tg_arena *arena, struct tg_slice text, bool in_query, struct parts *parts,
                         struct tg_slice *error)
{
    size_t from = 0, at = 0;
    bool fits = true;
    while (at < text.len && fits) {
        struct tg_slice name;
        size_t len = text.ptr[at] == '{' ? parameter(tg_slice_from(text, at), &name) : 0;
        if (text.ptr[at] == '{' && len == 0) {
            return tg_arena_printf(arena, error, "`{` begins no parameter in \"%.*s\"; expected {name}",
                                   TG_FMT(text)) == TG_OK
                       ? TG_EINVAL
                       : TG_ENOMEM;
        }
        if (len > 0) {
            fits = put(parts, false, in_query, tg_slice_make(text.ptr + from, at - from)) &&
                   put(parts, true, in_query, name);
            at += len;
            from = at;
        } else {
            at++;
        }
    }
    if (!fits || !put(parts, false, in_query, tg_slice_from(text, from))) {
        *error = TG_LIT("the URL has too many parameters");
        return TG_EINVAL;
    }
    return TG_OK;
}

static enum tg_err compile_url(struct tg_arena *arena, struct tg_slice url, struct tg_forward *out,
                               struct tg_slice *error)
{
    struct tg_target_address address;
    struct tg_slice query;
    struct parts parts = {.count = 0};
    const char *what = NULL;
    enum tg_err err = tg_target_parse(arena, url, &address, &what);
    if (err != TG_OK) {
        out->error = tg_slice_cstr(what);
        return err == TG_ENOMEM ? err : TG_OK;
    }
    struct tg_slice path = tg_slice_cut(address.path_query, '?', &query);
    err = split(arena, path, false, &parts, error);
    out->path_count = parts.count;
    if (err == TG_OK) {
        err = split(arena, query, true, &parts, error);
    }
    if (err != TG_OK) {
        return err;
    }
    struct tg_forward_part *copy = tg_arena_alloc(arena, (parts.count + 1) * sizeof *copy);
    if (copy == NULL) {
        return TG_ENOMEM;
    }
    memcpy(copy, parts.items, parts.count * sizeof *copy);
    out->parts = copy;
    out->query_count = parts.count - out->path_count;
    out->has_query = query.ptr != NULL;
    out->origin = address.origin;
    out->host_header = address.host_header;
    return TG_OK;
}

enum tg_err tg_forward_compile(struct tg_arena *arena, struct tg_slice uri,
                               const struct tg_string_map *stage_variables, struct tg_forward *out,
                               struct tg_slice *error)
{
    struct tg_stagevars text;
    struct tg_slice url, missing;
    *out = (struct tg_forward){0};
    *error = TG_EMPTY;
    if (tg_slice_starts(uri, TG_LIT("arn:"))) {
        out->whole_path = true;
        return TG_OK;
    }
    enum tg_err err = tg_stagevars_compile(arena, uri, &text, error);
    if (err != TG_OK) {
        return err == TG_ENOMEM ? err : TG_EINVAL;
    }
    err = tg_stagevars_evaluate(&text, stage_variables, arena, &url, &missing);
    if (err == TG_ENOTFOUND) {
        return tg_arena_printf(arena, &out->error, "the stage has no variable \"%.*s\"", TG_FMT(missing));
    }
    return err == TG_OK ? compile_url(arena, url, out, error) : err;
}

void tg_forward_each_parameter(const struct tg_forward *forward,
                               void (*visit)(void *arg, struct tg_slice name), void *arg)
{
    for (size_t i = 0; i < forward->path_count + forward->query_count; i++) {
        if (forward->parts[i].is_parameter) {
            visit(arg, forward->parts[i].text);
        }
    }
}

/* ---- resolving ---- */

static const struct tg_pathtrie_param *find(const struct tg_forward_input *input, struct tg_slice name)
{
    for (size_t i = 0; i < input->param_count; i++) {
        if (tg_slice_eq(input->params[i].name, name)) {
            return &input->params[i];
        }
    }
    return NULL;
}

static enum tg_err join(const struct tg_forward_input *input, const struct tg_forward_part *parts,
                        size_t count, struct tg_arena *arena, struct tg_slice *out)
{
    struct tg_buf buf;
    enum tg_err err = TG_OK;
    if (count == 1 && !parts[0].is_parameter) {
        *out = parts[0].text;
        return TG_OK;
    }
    tg_buf_init(&buf, 1 << 20);
    for (size_t i = 0; err == TG_OK && i < count; i++) {
        const struct tg_forward_part *part = &parts[i];
        const struct tg_pathtrie_param *param = part->is_parameter ? find(input, part->text) : NULL;
        if (!part->is_parameter) {
            err = tg_buf_append(&buf, part->text);
        } else if (param != NULL && part->in_query) {
            err = tg_percent_encode(&buf, param->value, false);
        } else if (param != NULL) {
            err = tg_buf_append(&buf, param->raw);
        }
    }
    if (err == TG_OK) {
        err = tg_arena_copy(arena, tg_buf_slice(&buf), out);
    }
    tg_buf_free(&buf);
    return err;
}

static enum tg_err join_query(const struct tg_forward *forward, const struct tg_forward_input *input,
                              struct tg_arena *arena, struct tg_slice *out)
{
    struct tg_slice own = TG_EMPTY;
    if (!forward->has_query) {
        *out = input->query;
        return TG_OK;
    }
    enum tg_err err = join(input, forward->parts + forward->path_count, forward->query_count, arena, &own);
    if (err != TG_OK) {
        return err;
    }
    if (own.ptr == NULL) {
        own = TG_LIT("");
    }
    if (input->query.len == 0) {
        *out = own;
        return TG_OK;
    }
    return tg_arena_printf(arena, out, "%.*s%s%.*s", TG_FMT(own), own.len > 0 ? "&" : "",
                           TG_FMT(input->query));
}

enum tg_err tg_forward_resolve(const struct tg_forward *forward, const struct tg_forward_input *input,
                               struct tg_arena *arena, struct tg_slice *path, struct tg_slice *query)
{
    enum tg_err err;
    if (forward->whole_path) {
        *path = input->staged_path;
        *query = input->query;
        return TG_OK;
    }
    err = join(input, forward->parts, forward->path_count, arena, path);
    if (err == TG_OK && input->is_default) {
        if (path->len > 0 && path->ptr[path->len - 1] == '/') {
            path->len--;
        }
        if (path->len == 0) {
            *path = input->path;
        } else {
            err = tg_arena_printf(arena, path, "%.*s%.*s", TG_FMT(*path), TG_FMT(input->path));
        }
    }
    return err == TG_OK ? join_query(forward, input, arena, query) : err;
}
