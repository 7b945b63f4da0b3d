#include "routes/mapping.h"

#include "routes/expr.h"
#include "server/base/buf.h"
#include "server/base/codec.h"

enum { FIRST_CAP = 8, VALUE_MAX = 512 };

static bool find_place(struct tg_slice *name, enum tg_mapping_place *place)
{
    if (!tg_expr_skip(name, TG_LIT("integration.request."))) {
        return false;
    }
    if (tg_expr_skip(name, TG_LIT("header."))) {
        *place = TG_MAPPING_HEADER;
    } else if (tg_expr_skip(name, TG_LIT("querystring."))) {
        *place = TG_MAPPING_QUERY;
    } else if (tg_expr_skip(name, TG_LIT("path."))) {
        *place = TG_MAPPING_PATH;
    } else {
        return false;
    }
    return true;
}

static bool same_target(const struct tg_mapping_rule *rule, enum tg_mapping_place place, struct tg_slice name)
{
    return rule->place == place && (place == TG_MAPPING_HEADER ? tg_slice_eq_nocase(rule->name, name)
                                                               : tg_slice_eq(rule->name, name));
}

static enum tg_err read_key(const struct tg_mapping *mapping, struct tg_arena *arena, struct tg_slice key,
                            struct tg_mapping_rule *rule, struct tg_slice *error)
{
    struct tg_slice name = key;
    if (!find_place(&name, &rule->place)) {
        return tg_expr_fail(arena, error, 0,
                            "a target is integration.request.{header|querystring|path}.NAME, not `%.*s`",
                            TG_FMT(key));
    }
    size_t at = key.len - name.len;
    if (!tg_expr_is_name(name, "._$-")) {
        return tg_expr_fail(arena, error, at,
                            "the name `%.*s` is empty or has characters other than A-Z a-z 0-9 ._$-",
                            TG_FMT(name));
    }
    if (rule->place == TG_MAPPING_HEADER &&
        (tg_header_is_hop_by_hop(name) || tg_slice_eq_nocase(name, TG_LIT("Content-Length")))) {
        return tg_expr_fail(arena, error, at, "the header `%.*s` is the gateway's own", TG_FMT(name));
    }
    for (size_t i = 0; i < mapping->count; i++) {
        if (same_target(&mapping->rules[i], rule->place, name)) {
            enum tg_err err = tg_expr_fail(arena, error, at, "`%.*s` is mapped twice", TG_FMT(name));
            return err == TG_ESYNTAX ? TG_EEXIST : err;
        }
    }
    rule->name = name;
    return TG_OK;
}

static size_t count_characters(struct tg_slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    }
    return count;
}

enum tg_err tg_mapping_add(struct tg_mapping *mapping, struct tg_arena *arena, struct tg_slice key,
                           struct tg_slice value, struct tg_slice *error)
{
    struct tg_mapping_rule rule = {0};
    enum tg_err err = read_key(mapping, arena, key, &rule, error);
    if (err != TG_OK) {
        return err;
    }
    if (value.len == 0 || count_characters(value) > VALUE_MAX) {
        return tg_expr_fail(arena, error, value.len, "a value has 1-%d characters, wrong", VALUE_MAX);
    }
    err = tg_source_compile(arena, value, TG_SOURCE_MAPPING, &rule.source, error);
    if (err != TG_OK) {
        return err;
    }
    if (mapping->count == mapping->cap) {
        size_t cap = mapping->cap > 0 ? mapping->cap * 2 : FIRST_CAP;
        struct tg_mapping_rule *rules = tg_arena_alloc(arena, cap * sizeof *rules);
        if (rules == NULL) {
            return TG_ENOMEM;
        }
        if (mapping->count > 0) {
            memcpy(rules, mapping->rules, mapping->count * sizeof *rules);
        }
        mapping->rules = rules;
        mapping->cap = cap;
    }
    mapping->rules[mapping->count++] = rule;
    return TG_OK;
}

/* What applying works with; uri collects the new URI when a rule changes it. */
struct job {
    const struct tg_mapping *mapping;
    const struct tg_vars *vars;
    enum tg_jsonscan_mode json;
    struct tg_arena *arena;
    struct tg_buf uri;
};

static enum tg_err resolve(const struct job *job, const struct tg_mapping_rule *rule,
                           struct tg_var_values *values)
{
    return tg_source_resolve(&rule->source, job->vars, job->json, job->arena, values);
}

static enum tg_err apply_header(const struct job *job, const struct tg_mapping_rule *rule,
                                struct tg_headers *headers)
{
    struct tg_var_values values;
    struct tg_slice joined, clean;
    enum tg_err err = resolve(job, rule, &values);
    if (err != TG_OK || values.count == 0) {
        return err;
    }
    if ((err = tg_expr_join_commas(job->arena, values.items, values.count, &joined)) != TG_OK ||
        (err = tg_expr_strip_controls(job->arena, joined, &clean)) != TG_OK) {
        return err;
    }
    return tg_headers_set(headers, job->arena, rule->name, clean);
}

static const struct tg_mapping_rule *find_path_rule(const struct tg_mapping *mapping, struct tg_slice name)
{
    for (size_t i = 0; i < mapping->count; i++) {
        if (same_target(&mapping->rules[i], TG_MAPPING_PATH, name)) {
            return &mapping->rules[i];
        }
    }
    return NULL;
}

static bool only_dots(struct tg_slice value)
{
    size_t dots = 0;
    while (dots < value.len && value.ptr[dots] == '.') {
        dots++;
    }
    return dots == value.len;
}

/* Several values are one segment, joined by commas. */
static enum tg_err append_segment(struct job *job, const struct tg_mapping_rule *rule)
{
    struct tg_var_values values;
    struct tg_slice joined;
    enum tg_err err = resolve(job, rule, &values);
    if (err != TG_OK || values.count == 0) {
        return err;
    }
    err = tg_expr_join_commas(job->arena, values.items, values.count, &joined);
    if (err != TG_OK || only_dots(joined)) {
        return err;
    }
    return tg_percent_encode(&job->uri, joined, false);
}

/* Copies the URI with its placeholders filled. */
static enum tg_err fill_path(struct job *job, struct tg_slice uri)
{
    while (uri.len > 0) {
        size_t open = tg_slice_find(uri, '{');
        size_t close = open + tg_slice_find(tg_slice_from(uri, open), '}');
        const struct tg_mapping_rule *rule = NULL;
        if (close < uri.len) {
            rule = find_path_rule(job->mapping, tg_slice_make(uri.ptr + open + 1, close - open - 1));
        }
        /* Not a placeholder of ours: the brace is text, and what follows is looked at anew. */
        size_t copied = rule != NULL || open == uri.len ? open : open + 1;
        enum tg_err err = tg_buf_append(&job->uri, tg_slice_head(uri, copied));
        if (err == TG_OK && rule != NULL) {
            err = append_segment(job, rule);
        }
        if (err != TG_OK) {
            return err;
        }
        uri = tg_slice_from(uri, rule != NULL ? close + 1 : copied);
    }
    return TG_OK;
}

/* `?` or `&`, unless the URI ends with one. */
static enum tg_err append_separator(struct tg_buf *uri)
{
    struct tg_slice text = tg_buf_slice(uri);
    if (text.len == 0 || tg_slice_find(text, '?') == text.len) {
        return tg_buf_append_char(uri, '?');
    }
    char last = text.ptr[text.len - 1];
    return last == '?' || last == '&' ? TG_OK : tg_buf_append_char(uri, '&');
}

static enum tg_err append_query(struct job *job, const struct tg_mapping_rule *rule)
{
    struct tg_var_values values;
    enum tg_err err = resolve(job, rule, &values);
    for (size_t i = 0; err == TG_OK && i < values.count; i++) {
        if ((err = append_separator(&job->uri)) != TG_OK ||
            (err = tg_percent_encode(&job->uri, rule->name, false)) != TG_OK ||
            (err = tg_buf_append_char(&job->uri, '=')) != TG_OK) {
            break;
        }
        err = tg_percent_encode(&job->uri, values.items[i], false);
    }
    return err;
}

static enum tg_err apply_uri(struct job *job, struct tg_slice *uri)
{
    enum tg_err err = fill_path(job, *uri);
    for (size_t i = 0; err == TG_OK && i < job->mapping->count; i++) {
        if (job->mapping->rules[i].place == TG_MAPPING_QUERY) {
            err = append_query(job, &job->mapping->rules[i]);
        }
    }
    return err == TG_OK ? tg_arena_copy(job->arena, tg_buf_slice(&job->uri), uri) : err;
}

enum tg_err tg_mapping_apply(const struct tg_mapping *mapping, const struct tg_vars *vars,
                             enum tg_jsonscan_mode json, struct tg_arena *arena,
                             struct tg_mapping_request *request)
{
    struct job job = {.mapping = mapping, .vars = vars, .json = json, .arena = arena};
    bool changes_uri = false;
    for (size_t i = 0; i < mapping->count; i++) {
        if (mapping->rules[i].place != TG_MAPPING_HEADER) {
            changes_uri = true;
            continue;
        }
        enum tg_err err = apply_header(&job, &mapping->rules[i], request->headers);
        if (err != TG_OK) {
            return err;
        }
    }
    if (!changes_uri) {
        return TG_OK;
    }
    tg_buf_init(&job.uri, SIZE_MAX);
    enum tg_err err = apply_uri(&job, &request->uri);
    tg_buf_free(&job.uri);
    return err;
}
