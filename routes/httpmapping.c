/* Rows of parameter mapping: reading and keeping them. httpmapping_apply.c applies them. */
#include "routes/httpmapping.h"

#include "routes/expr.h"

enum { FIRST_CAP = 8, FIRST_STATUS = 200, LAST_STATUS = 599 };

/* Headers that the gateway answers for (1.11), besides the hop-by-hop ones. */
static bool is_reserved(struct tg_slice name)
{
    static const struct tg_slice names[] = {
        TG_LIT_INIT("Authorization"),     TG_LIT_INIT("Content-Encoding"),
        TG_LIT_INIT("Content-Length"),    TG_LIT_INIT("Content-Location"),
        TG_LIT_INIT("Forwarded"),         TG_LIT_INIT("Origin"),
        TG_LIT_INIT("Trailers"),          TG_LIT_INIT("X-Forwarded-For"),
        TG_LIT_INIT("X-Forwarded-Host"),  TG_LIT_INIT("Via"),
        TG_LIT_INIT("X-Forwarded-Proto"),
    };
    static const struct tg_slice prefixes[] = {TG_LIT_INIT("access-control-"), TG_LIT_INIT("apigw-"),
                                               TG_LIT_INIT("x-amz-"), TG_LIT_INIT("x-amzn-")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (tg_slice_eq_nocase(name, names[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (tg_slice_eq_nocase(tg_slice_head(name, prefixes[i].len), prefixes[i])) {
            return true;
        }
    }
    return tg_header_is_hop_by_hop(name);
}

static bool read_op(struct tg_slice *rest, enum tg_httpmapping_op *op)
{
    if (tg_expr_skip(rest, TG_LIT("append:"))) {
        *op = TG_HTTPMAPPING_APPEND;
    } else if (tg_expr_skip(rest, TG_LIT("overwrite:"))) {
        *op = TG_HTTPMAPPING_OVERWRITE;
    } else if (tg_expr_skip(rest, TG_LIT("remove:"))) {
        *op = TG_HTTPMAPPING_REMOVE;
    } else {
        return false;
    }
    return true;
}

static bool read_place(struct tg_slice *rest, enum tg_httpexpr_side side, struct tg_httpmapping_rule *rule)
{
    bool request = side == TG_HTTPEXPR_REQUEST;
    if (tg_expr_skip(rest, TG_LIT("header."))) {
        rule->place = TG_HTTPMAPPING_HEADER;
        return true;
    }
    if (request && tg_expr_skip(rest, TG_LIT("querystring."))) {
        rule->place = TG_HTTPMAPPING_QUERY;
        return true;
    }
    rule->place = request ? TG_HTTPMAPPING_PATH : TG_HTTPMAPPING_STATUS;
    return rule->op == TG_HTTPMAPPING_OVERWRITE &&
           tg_slice_eq(*rest, request ? TG_LIT("path") : TG_LIT("statuscode"));
}

static enum tg_err check_name(struct tg_arena *arena, struct tg_slice name, size_t at,
                              enum tg_httpmapping_place place, struct tg_slice *error)
{
    if (place == TG_HTTPMAPPING_QUERY) {
        return name.len > 0 && tg_header_value_ok(name)
                   ? TG_OK
                   : tg_expr_fail(arena, error, at,
                                  "the parameter's name is empty or has control characters");
    }
    if (!tg_header_name_ok(name)) {
        return tg_expr_fail(arena, error, at, "`%.*s` is not a header's name", TG_FMT(name));
    }
    return is_reserved(name)
               ? tg_expr_fail(arena, error, at, "the header `%.*s` cannot be mapped", TG_FMT(name))
               : TG_OK;
}

static enum tg_err read_key(struct tg_arena *arena, struct tg_slice key, enum tg_httpexpr_side side,
                            struct tg_httpmapping_rule *rule, struct tg_slice *error)
{
    struct tg_slice rest = key;
    if (!read_op(&rest, &rule->op) || !read_place(&rest, side, rule)) {
        return tg_expr_fail(
            arena, error, 0,
            side == TG_HTTPEXPR_REQUEST
                ? "a target is {append|overwrite|remove}:{header|querystring}.NAME or "
                  "overwrite:path, not `%.*s`"
                : "a target is {append|overwrite|remove}:header.NAME or overwrite:statuscode, "
                  "not `%.*s`",
            TG_FMT(key));
    }
    if (rule->place == TG_HTTPMAPPING_PATH || rule->place == TG_HTTPMAPPING_STATUS) {
        return TG_OK;
    }
    rule->name = rest;
    return check_name(arena, rest, key.len - rest.len, rule->place, error);
}

static enum tg_err read_value(struct tg_arena *arena, struct tg_slice value, enum tg_httpexpr_side side,
                              struct tg_httpmapping_rule *rule, struct tg_slice *error)
{
    if (rule->op != TG_HTTPMAPPING_REMOVE) {
        return tg_httpexpr_compile(arena, value, side, &rule->value, error);
    }
    return value.len == 0 || tg_slice_eq(value, TG_LIT("''"))
               ? TG_OK
               : tg_expr_fail(arena, error, 0, "what is removed takes the value '', not `%.*s`",
                              TG_FMT(value));
}

static bool same_target(const struct tg_httpmapping_rule *a, const struct tg_httpmapping_rule *b)
{
    return a->op == b->op && a->place == b->place &&
           (a->place == TG_HTTPMAPPING_HEADER ? tg_slice_eq_nocase(a->name, b->name)
                                              : tg_slice_eq(a->name, b->name));
}

static enum tg_err add_rule(struct tg_httpmapping_rules *rules, struct tg_arena *arena, struct tg_slice key,
                            struct tg_slice value, enum tg_httpexpr_side side, struct tg_slice *error)
{
    struct tg_httpmapping_rule rule = {0};
    enum tg_err err = read_key(arena, key, side, &rule, error);
    if (err == TG_OK) {
        err = read_value(arena, value, side, &rule, error);
    }
    if (err != TG_OK) {
        return err;
    }
    for (size_t i = 0; i < rules->count; i++) {
        if (same_target(&rules->items[i], &rule)) {
            err = tg_expr_fail(arena, error, 0, "`%.*s` is there twice", TG_FMT(key));
            return err == TG_ESYNTAX ? TG_EEXIST : err;
        }
    }
    if (rules->count == rules->cap) {
        size_t cap = rules->cap > 0 ? rules->cap * 2 : FIRST_CAP;
        struct tg_httpmapping_rule *items = tg_arena_alloc(arena, cap * sizeof *items);
        if (items == NULL) {
            return TG_ENOMEM;
        }
        if (rules->count > 0) {
            memcpy(items, rules->items, rules->count * sizeof *items);
        }
        rules->items = items;
        rules->cap = cap;
    }
    rules->items[rules->count++] = rule;
    rules->reads |= rule.value.reads;
    return TG_OK;
}

enum tg_err tg_httpmapping_add_request(struct tg_httpmapping *mapping, struct tg_arena *arena,
                                       struct tg_slice key, struct tg_slice value, struct tg_slice *error)
{
    return add_rule(&mapping->request, arena, key, value, TG_HTTPEXPR_REQUEST, error);
}

const struct tg_httpmapping_response *tg_httpmapping_response_for(const struct tg_httpmapping *mapping,
                                                                  int status)
{
    for (size_t i = 0; i < mapping->response_count; i++) {
        if (mapping->responses[i].status == status) {
            return &mapping->responses[i];
        }
    }
    return NULL;
}

/* The group of a status, made when it is not there. */
static enum tg_err find_group(struct tg_httpmapping *mapping, struct tg_arena *arena, int status,
                              struct tg_httpmapping_response **out)
{
    for (size_t i = 0; i < mapping->response_count; i++) {
        if (mapping->responses[i].status == status) {
            *out = &mapping->responses[i];
            return TG_OK;
        }
    }
    if (mapping->response_count == mapping->response_cap) {
        size_t cap = mapping->response_cap > 0 ? mapping->response_cap * 2 : FIRST_CAP;
        struct tg_httpmapping_response *groups = tg_arena_alloc(arena, cap * sizeof *groups);
        if (groups == NULL) {
            return TG_ENOMEM;
        }
        if (mapping->response_count > 0) {
            memcpy(groups, mapping->responses, mapping->response_count * sizeof *groups);
        }
        mapping->responses = groups;
        mapping->response_cap = cap;
    }
    *out = &mapping->responses[mapping->response_count++];
    **out = (struct tg_httpmapping_response){.status = status};
    return TG_OK;
}

enum tg_err tg_httpmapping_add_response(struct tg_httpmapping *mapping, struct tg_arena *arena,
                                        struct tg_slice status, struct tg_slice key, struct tg_slice value,
                                        struct tg_slice *error)
{
    uint64_t number;
    struct tg_httpmapping_response *group = NULL;
    if (status.len != 3 || tg_slice_to_u64(status, &number) != TG_OK || number < FIRST_STATUS ||
        number > LAST_STATUS) {
        return tg_expr_fail(arena, error, 0, "responses are grouped by status, %d to %d, not by `%.*s`",
                            FIRST_STATUS, LAST_STATUS, TG_FMT(status));
    }
    enum tg_err err = find_group(mapping, arena, (int)number, &group);
    return err == TG_OK ? add_rule(&group->rules, arena, key, value, TG_HTTPEXPR_RESPONSE, error) : err;
}
