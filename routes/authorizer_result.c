#include "routes/authorizer.h"

struct reader {
    struct tg_arena *arena;
    struct tg_string_map map;
    bool nested; /* a member that is no scalar was seen */
    enum tg_err err;
};

static void add(struct reader *reader, struct tg_slice key, const struct tg_json *value)
{
    struct tg_string_pair *pair = &reader->map.items[reader->map.count];
    pair->key = key;
    reader->err = tg_json_stringify(reader->arena, value, &pair->value);
    reader->map.count += reader->err == TG_OK ? 1 : 0;
}

static bool visit_context(void *arg, struct tg_slice key, const struct tg_json *value)
{
    struct reader *reader = arg;
    enum tg_json_type type = tg_json_type(value);
    if (type == TG_JSON_OBJECT || type == TG_JSON_ARRAY) {
        reader->nested = true;
        return false;
    }
    /* Names that events give to the gateway's own members (7.6). */
    bool reserved = tg_slice_eq(key, TG_LIT("principalId")) || tg_slice_eq(key, TG_LIT("integrationLatency"));
    if (type != TG_JSON_NULL && !reserved) {
        add(reader, key, value);
    }
    return reader->err == TG_OK;
}

static bool is_principal(enum tg_json_type type)
{
    return type == TG_JSON_NULL || type == TG_JSON_STRING || type == TG_JSON_INTEGER || type == TG_JSON_REAL;
}

/* The context's members and the principal. *detail is set when they are malformed. */
static enum tg_err read_map(struct tg_arena *arena, const struct tg_json *result, struct tg_string_map *out,
                            struct tg_slice *detail)
{
    const struct tg_json *context = tg_json_get(result, TG_LIT("context"));
    const struct tg_json *principal = tg_json_get(result, TG_LIT("principalId"));
    struct reader reader = {.arena = arena, .err = TG_OK};
    if (tg_json_type(context) != TG_JSON_NULL && tg_json_type(context) != TG_JSON_OBJECT) {
        *detail = TG_LIT("the context of the authoriser's result is not an object");
        return TG_ESYNTAX;
    }
    if (!is_principal(tg_json_type(principal))) {
        *detail = TG_LIT("the principalId of the authoriser's result is neither text nor a number");
        return TG_ESYNTAX;
    }
    reader.map.items = tg_arena_alloc(arena, (tg_json_count(context) + 1) * sizeof *reader.map.items);
    if (reader.map.items == NULL) {
        return TG_ENOMEM;
    }
    tg_json_each(context, visit_context, &reader);
    if (reader.nested) {
        *detail = TG_LIT("the context of the authoriser's result has a member that is an object or a list");
        return TG_ESYNTAX;
    }
    if (reader.err == TG_OK && tg_json_type(principal) != TG_JSON_NULL) {
        add(&reader, TG_LIT("principalId"), principal);
    }
    if (reader.err == TG_OK) {
        *out = reader.map;
    }
    return reader.err;
}

enum tg_err tg_authorizer_read_result(struct tg_arena *arena, struct tg_slice payload,
                                      struct tg_authorizer_result *out, struct tg_slice *detail)
{
    struct tg_authorizer_result result;
    const struct tg_json *json;
    const char *why = NULL;
    if (payload.len > TG_AUTHORIZER_RESULT_MAX) {
        *detail = TG_LIT("the authoriser's result is longer than 8192 bytes");
        return TG_ELIMIT;
    }
    enum tg_err err = tg_json_parse(arena, payload, &json);
    if (err != TG_OK) {
        *detail = TG_LIT("the authoriser's result is not JSON");
        return err;
    }
    const struct tg_json *policy = tg_json_get(json, TG_LIT("policyDocument"));
    if (tg_json_type(policy) != TG_JSON_OBJECT) {
        *detail = TG_LIT("the authoriser's result has no policyDocument");
        return TG_ESYNTAX;
    }
    err = tg_policy_compile(arena, policy, &result.policy, &why);
    if (err != TG_OK) {
        *detail = tg_slice_cstr(why);
        return err;
    }
    err = read_map(arena, json, &result.context, detail);
    if (err == TG_OK) {
        *out = result;
    }
    return err;
}
