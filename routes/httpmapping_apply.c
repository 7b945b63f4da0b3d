/* Applies the rows of parameter mapping to a request or an answer. */
#include "routes/expr.h"
#include "routes/httpmapping.h"
#include "server/base/buf.h"
#include "server/base/codec.h"

struct job {
    const struct tg_httpmapping_rules *rules;
    const struct tg_vars *vars;
    struct tg_arena *arena;
    struct tg_slice *values; /* of the rules, by index; of headers and parameters alone */
};

/* ---- headers ---- */

static enum tg_err apply_header(const struct job *job, const struct tg_httpmapping_rule *rule,
                                struct tg_slice value, struct tg_headers *headers)
{
    if (rule->op == TG_HTTPMAPPING_REMOVE) {
        tg_headers_remove(headers, rule->name);
        return TG_OK;
    }
    enum tg_err err = tg_expr_strip_controls(job->arena, value, &value);
    if (err != TG_OK) {
        return err;
    }
    return rule->op == TG_HTTPMAPPING_APPEND ? tg_headers_add(headers, job->arena, rule->name, value)
                                             : tg_headers_set(headers, job->arena, rule->name, value);
}

/* ---- query ---- */

/* The parameters, still encoded, in order; a dropped one has a NULL pointer. Room for all that are appended.
 */
struct query {
    struct tg_slice *items;
    size_t count;
};

static size_t count_rules(const struct job *job, enum tg_httpmapping_place place)
{
    size_t count = 0;
    for (size_t i = 0; i < job->rules->count; i++) {
        count += job->rules->items[i].place == place;
    }
    return count;
}

static enum tg_err split_query(const struct job *job, struct tg_slice text, struct query *out)
{
    size_t most = 1 + count_rules(job, TG_HTTPMAPPING_QUERY);
    for (size_t i = 0; i < text.len; i++) {
        most += text.ptr[i] == '&';
    }
    out->count = 0;
    out->items = tg_arena_alloc(job->arena, most * sizeof *out->items);
    if (out->items == NULL) {
        return TG_ENOMEM;
    }
    while (text.len > 0 || (text.ptr != NULL && out->count > 0)) {
        out->items[out->count++] = tg_slice_cut(text, '&', &text);
    }
    return TG_OK;
}

/* Whether a parameter as on the wire has this name. */
static enum tg_err is_named(struct tg_arena *arena, struct tg_slice parameter, struct tg_slice name,
                            bool *out)
{
    struct tg_slice rest, key = tg_slice_cut(parameter, '=', &rest);
    *out = false;
    if (parameter.len == 0 || key.len < name.len) {
        return TG_OK;
    }
    if (tg_slice_find(key, '%') == key.len && tg_slice_find(key, '+') == key.len) {
        *out = tg_slice_eq(key, name);
        return TG_OK;
    }
    enum tg_err err = tg_percent_decode(arena, key, true, &key);
    *out = err == TG_OK && tg_slice_eq(key, name);
    return err;
}

/* `name=value`, encoded. */
static enum tg_err make_parameter(struct tg_arena *arena, struct tg_slice name, struct tg_slice value,
                                  struct tg_slice *out)
{
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX);
    enum tg_err err = tg_percent_encode(&text, name, false);
    if (err == TG_OK && (err = tg_buf_append_char(&text, '=')) == TG_OK &&
        (err = tg_percent_encode(&text, value, false)) == TG_OK) {
        err = tg_arena_copy(arena, tg_buf_slice(&text), out);
    }
    tg_buf_free(&text);
    return err;
}

static enum tg_err apply_parameter(const struct job *job, const struct tg_httpmapping_rule *rule,
                                   struct tg_slice value, struct query *query)
{
    struct tg_slice made = TG_EMPTY;
    if (rule->op != TG_HTTPMAPPING_REMOVE) {
        enum tg_err err = make_parameter(job->arena, rule->name, value, &made);
        if (err != TG_OK) {
            return err;
        }
    }
    for (size_t i = 0; rule->op != TG_HTTPMAPPING_APPEND && i < query->count; i++) {
        bool named = false;
        enum tg_err err = is_named(job->arena, query->items[i], rule->name, &named);
        if (err != TG_OK) {
            return err;
        }
        if (named) {
            query->items[i] = made; /* the first one; further ones go */
            made = TG_EMPTY;
        }
    }
    if (made.ptr != NULL) {
        query->items[query->count++] = made;
    }
    return TG_OK;
}

/* *out is the query as it was. Without a parameter left there is none, unless it was empty. */
static enum tg_err join_query(const struct job *job, const struct query *query, struct tg_slice *out)
{
    size_t count = 0;
    struct tg_slice *parts = tg_arena_alloc(job->arena, (2 * query->count + 1) * sizeof *parts);
    if (parts == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < query->count; i++) {
        if (query->items[i].ptr != NULL) {
            parts[count++] = query->items[i];
            parts[count++] = TG_LIT("&");
        }
    }
    if (count == 0) {
        *out = out->len > 0 ? TG_EMPTY : *out;
        return TG_OK;
    }
    struct tg_slice joined = TG_EMPTY;
    enum tg_err err = tg_expr_join(job->arena, parts, count - 1, &joined);
    if (err == TG_OK) {
        *out = joined.ptr != NULL ? joined : TG_LIT("");
    }
    return err;
}

/* ---- path ---- */

/* pchar or '/' (RFC 3986 section 3.3), escapes aside. */
static bool stands_in_path(char c)
{
    return tg_expr_is_alnum(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool is_escape(struct tg_slice text, size_t at)
{
    return text.len - at > 2 && text.ptr[at] == '%' && is_hex(text.ptr[at + 1]) && is_hex(text.ptr[at + 2]);
}

static enum tg_err append_path(struct tg_buf *path, struct tg_slice text, bool encoded)
{
    while (text.len > 0) {
        size_t len = 0;
        while (len < text.len && (stands_in_path(text.ptr[len]) || (encoded && is_escape(text, len)))) {
            len++;
        }
        enum tg_err err = tg_buf_append(path, tg_slice_head(text, len));
        if (err == TG_OK && len < text.len) {
            err = tg_percent_encode(path, tg_slice_make(text.ptr + len++, 1), false);
        }
        if (err != TG_OK) {
            return err;
        }
        text = tg_slice_from(text, len);
    }
    return TG_OK;
}

/* Whether a segment is `..`; either dot may be written as an escape. */
static bool steps_up(struct tg_slice path)
{
    while (path.len > 0) {
        struct tg_slice segment = tg_slice_cut(path, '/', &path);
        size_t dots = 0;
        while (segment.len > 0) {
            if (segment.ptr[0] == '.') {
                segment = tg_slice_from(segment, 1);
            } else if (tg_slice_eq_nocase(tg_slice_head(segment, 3), TG_LIT("%2e"))) {
                segment = tg_slice_from(segment, 3);
            } else {
                break;
            }
            dots++;
        }
        if (segment.len == 0 && dots == 2) {
            return true;
        }
    }
    return false;
}

/* The parts, then one '/' before all that does not begin with one. */
static enum tg_err write_path(const struct job *job, const struct tg_httpexpr *value, struct tg_buf *path)
{
    enum tg_err err = tg_buf_append_char(path, '/');
    for (size_t i = 0; err == TG_OK && i < value->count; i++) {
        const struct tg_source *part = &value->parts[i];
        struct tg_slice text;
        err = tg_httpexpr_part(part, job->vars, job->arena, &text);
        if (err == TG_OK) {
            err = append_path(path, text, part->is_literal || part->scope == TG_VAR_REQUEST_PATH);
        }
    }
    if (err == TG_OK && tg_slice_starts(tg_buf_slice(path), TG_LIT("//"))) {
        tg_buf_consume(path, 1);
    }
    return err;
}

static enum tg_err apply_path(const struct job *job, const struct tg_httpmapping_rule *rule,
                              struct tg_slice *out, struct tg_slice *detail)
{
    struct tg_buf path;
    tg_buf_init(&path, SIZE_MAX);
    enum tg_err err = write_path(job, &rule->value, &path);
    if (err == TG_OK && steps_up(tg_buf_slice(&path))) {
        *detail = TG_LIT("the path that overwrite:path makes has a segment `..`");
        err = TG_EINVAL;
    }
    if (err == TG_OK) {
        err = tg_arena_copy(job->arena, tg_buf_slice(&path), out);
    }
    tg_buf_free(&path);
    return err;
}

/* ---- all of it ---- */

static enum tg_err apply_rules(const struct job *job, enum tg_httpmapping_op op, struct tg_headers *headers,
                               struct query *query)
{
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < job->rules->count; i++) {
        const struct tg_httpmapping_rule *rule = &job->rules->items[i];
        if (rule->op != op) {
            continue;
        }
        if (rule->place == TG_HTTPMAPPING_HEADER) {
            err = apply_header(job, rule, job->values[i], headers);
        } else if (rule->place == TG_HTTPMAPPING_QUERY && query != NULL) {
            err = apply_parameter(job, rule, job->values[i], query);
        }
    }
    return err;
}

/* Before anything changes: the variables may look into the very list that is about to. */
static enum tg_err evaluate_values(struct job *job)
{
    const struct tg_httpmapping_rules *rules = job->rules;
    job->values = tg_arena_zalloc(job->arena, (rules->count + 1) * sizeof *job->values);
    enum tg_err err = job->values != NULL ? TG_OK : TG_ENOMEM;
    for (size_t i = 0; err == TG_OK && i < rules->count; i++) {
        const struct tg_httpmapping_rule *rule = &rules->items[i];
        if (rule->place == TG_HTTPMAPPING_HEADER || rule->place == TG_HTTPMAPPING_QUERY) {
            err = tg_httpexpr_evaluate(&rule->value, job->vars, job->arena, &job->values[i]);
        }
    }
    return err;
}

/* Headers and query, in the order of operations; an answer has no query: NULL. */
static enum tg_err apply_fields(struct job *job, struct tg_headers *headers, struct query *query)
{
    enum tg_err err = evaluate_values(job);
    if (err == TG_OK) {
        err = apply_rules(job, TG_HTTPMAPPING_REMOVE, headers, query);
    }
    if (err == TG_OK) {
        err = apply_rules(job, TG_HTTPMAPPING_OVERWRITE, headers, query);
    }
    return err == TG_OK ? apply_rules(job, TG_HTTPMAPPING_APPEND, headers, query) : err;
}

static const struct tg_httpmapping_rule *find_rule(const struct tg_httpmapping_rules *rules,
                                                   enum tg_httpmapping_place place)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->items[i].place == place) {
            return &rules->items[i];
        }
    }
    return NULL;
}

enum tg_err tg_httpmapping_apply_request(const struct tg_httpmapping *mapping, const struct tg_vars *vars,
                                         struct tg_arena *arena, struct tg_httpmapping_request *request,
                                         struct tg_slice *detail)
{
    struct job job = {.rules = &mapping->request, .vars = vars, .arena = arena};
    const struct tg_httpmapping_rule *path_rule = find_rule(job.rules, TG_HTTPMAPPING_PATH);
    bool has_query_rules = find_rule(job.rules, TG_HTTPMAPPING_QUERY) != NULL;
    struct tg_slice path = request->path, text = request->query;
    struct query query = {NULL, 0};
    /* First what can be refused; no value depends on what other rows do. */
    enum tg_err err = path_rule != NULL ? apply_path(&job, path_rule, &path, detail) : TG_OK;
    if (err == TG_OK && has_query_rules) {
        err = split_query(&job, text, &query);
    }
    if (err == TG_OK) {
        err = apply_fields(&job, request->headers, has_query_rules ? &query : NULL);
    }
    if (err == TG_OK && has_query_rules) {
        err = join_query(&job, &query, &text);
    }
    if (err == TG_OK) {
        request->path = path;
        request->query = text;
    }
    return err;
}

static enum tg_err apply_status(const struct job *job, const struct tg_httpmapping_rule *rule, int *status,
                                struct tg_slice *detail)
{
    struct tg_slice value;
    uint64_t number;
    enum tg_err err = tg_httpexpr_evaluate(&rule->value, job->vars, job->arena, &value);
    if (err != TG_OK) {
        return err;
    }
    if (value.len != 3 || tg_slice_to_u64(value, &number) != TG_OK || number < 200 || number > 599) {
        *detail = TG_LIT("the status that overwrite:statuscode makes is no integer from 200 to 599");
        return TG_EINVAL;
    }
    *status = (int)number;
    return TG_OK;
}

enum tg_err tg_httpmapping_apply_response(const struct tg_httpmapping_response *response,
                                          const struct tg_vars *vars, struct tg_arena *arena, int *status,
                                          struct tg_headers *headers, struct tg_slice *detail)
{
    struct job job = {.rules = &response->rules, .vars = vars, .arena = arena};
    const struct tg_httpmapping_rule *rule = find_rule(job.rules, TG_HTTPMAPPING_STATUS);
    enum tg_err err = rule != NULL ? apply_status(&job, rule, status, detail) : TG_OK;
    return err == TG_OK ? apply_fields(&job, headers, NULL) : err;
}
