#include "routes/policy.h"

#include <stdio.h>

#include "routes/glob.h"
#include "routes/policy_condition.h"

struct patterns {
    struct tg_slice *items;
    size_t count;
    bool inverted; /* NotAction, NotResource */
};

struct statement {
    bool deny;
    struct patterns actions, resources;
    struct tg_policy_conditions conditions;
};

struct tg_policy {
    struct statement *statements;
    size_t count;
};

static enum tg_err fail(const char **why, const char *text)
{
    *why = text;
    return TG_ESYNTAX;
}

static enum tg_err check_action(struct tg_slice pattern, const char **why)
{
    bool all = tg_slice_eq(pattern, TG_LIT("*"));
    return all || tg_slice_find(pattern, ':') < pattern.len
               ? TG_OK
               : fail(why, "an action must be \"*\" or start with the name of a service and a colon");
}

static enum tg_err check_resource(struct tg_slice pattern, const char **why)
{
    return pattern.len > 0 ? TG_OK : fail(why, "a resource must not be empty");
}

/* A string or a list of strings. */
static enum tg_err compile_patterns(struct tg_arena *arena, const struct tg_json *value,
                                    enum tg_err (*check)(struct tg_slice, const char **),
                                    struct patterns *out, const char **why)
{
    bool list = tg_json_type(value) == TG_JSON_ARRAY;
    size_t count = list ? tg_json_count(value) : 1;
    if (count == 0) {
        return fail(why, "a list of actions or resources must not be empty");
    }
    out->items = tg_arena_alloc(arena, count * sizeof *out->items);
    if (out->items == NULL) {
        return TG_ENOMEM;
    }
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct tg_json *item = list ? tg_json_at(value, i) : value;
        if (tg_json_type(item) != TG_JSON_STRING) {
            return fail(why, "actions and resources must be strings");
        }
        out->items[i] = tg_json_string(item);
        if (tg_slice_find_slice(out->items[i], TG_LIT("${")) < out->items[i].len) {
            return fail(why, "policy variables are not supported");
        }
        enum tg_err err = check(out->items[i], why);
        if (err != TG_OK) {
            return err;
        }
    }
    return TG_OK;
}

struct names {
    const struct tg_slice *known;
    size_t count;
    bool ok;
};

static bool check_name(void *arg, struct tg_slice name, const struct tg_json *value)
{
    struct names *names = arg;
    (void)value;
    names->ok = false;
    for (size_t i = 0; i < names->count; i++) {
        names->ok = names->ok || tg_slice_eq(names->known[i], name);
    }
    return names->ok;
}

static bool only_members(const struct tg_json *object, const struct tg_slice *known, size_t count)
{
    struct names names = {.known = known, .count = count, .ok = true};
    tg_json_each(object, check_name, &names);
    return names.ok;
}

/* One of `Action` and `NotAction`, or of `Resource` and `NotResource`. */
static enum tg_err compile_either(struct tg_arena *arena, const struct tg_json *yes, const struct tg_json *no,
                                  enum tg_err (*check)(struct tg_slice, const char **), struct patterns *out,
                                  const char **why)
{
    if ((yes == NULL) == (no == NULL)) {
        return fail(why,
                    "a statement must have one of Action and NotAction, and one of Resource and NotResource");
    }
    out->inverted = yes == NULL;
    return compile_patterns(arena, yes != NULL ? yes : no, check, out, why);
}

static enum tg_err compile_statement(struct tg_arena *arena, const struct tg_json *value,
                                     struct statement *out, const char **why)
{
    static const struct tg_slice known[] = {
        TG_LIT_INIT("Sid"),       TG_LIT_INIT("Effect"),   TG_LIT_INIT("Action"),
        TG_LIT_INIT("NotAction"), TG_LIT_INIT("Resource"), TG_LIT_INIT("NotResource"),
        TG_LIT_INIT("Condition"),
    };
    *out = (struct statement){.deny = false};
    if (tg_json_type(value) != TG_JSON_OBJECT) {
        return fail(why, "a statement must be an object");
    }
    if (tg_json_get(value, TG_LIT("Principal")) != NULL ||
        tg_json_get(value, TG_LIT("NotPrincipal")) != NULL) {
        return fail(why, "an identity-based policy must not have a Principal");
    }
    if (!only_members(value, known, sizeof known / sizeof known[0])) {
        return fail(why, "unknown member in a statement");
    }
    const struct tg_json *sid = tg_json_get(value, TG_LIT("Sid"));
    if (sid != NULL && tg_json_type(sid) != TG_JSON_STRING) {
        return fail(why, "Sid must be a string");
    }
    struct tg_slice effect = tg_json_string(tg_json_get(value, TG_LIT("Effect")));
    out->deny = tg_slice_eq(effect, TG_LIT("Deny"));
    if (!out->deny && !tg_slice_eq(effect, TG_LIT("Allow"))) {
        return fail(why, "Effect must be \"Allow\" or \"Deny\"");
    }
    enum tg_err err =
        compile_either(arena, tg_json_get(value, TG_LIT("Action")), tg_json_get(value, TG_LIT("NotAction")),
                       check_action, &out->actions, why);
    if (err == TG_OK) {
        err = compile_either(arena, tg_json_get(value, TG_LIT("Resource")),
                             tg_json_get(value, TG_LIT("NotResource")), check_resource, &out->resources, why);
    }
    if (err == TG_OK) {
        err = tg_policy_conditions_compile(arena, tg_json_get(value, TG_LIT("Condition")), &out->conditions,
                                           why);
    }
    return err;
}

static enum tg_err check_document(const struct tg_json *document, const char **why)
{
    static const struct tg_slice known[] = {TG_LIT_INIT("Version"), TG_LIT_INIT("Id"),
                                            TG_LIT_INIT("Statement")};
    if (tg_json_type(document) != TG_JSON_OBJECT) {
        return fail(why, "a policy must be an object");
    }
    if (!only_members(document, known, sizeof known / sizeof known[0])) {
        return fail(why, "unknown member in a policy");
    }
    const struct tg_json *version = tg_json_get(document, TG_LIT("Version"));
    struct tg_slice text = tg_json_string(version);
    if (version != NULL && !tg_slice_eq(text, TG_LIT("2012-10-17")) &&
        !tg_slice_eq(text, TG_LIT("2008-10-17"))) {
        return fail(why, "Version must be \"2012-10-17\" or \"2008-10-17\"");
    }
    const struct tg_json *id = tg_json_get(document, TG_LIT("Id"));
    if (id != NULL && tg_json_type(id) != TG_JSON_STRING) {
        return fail(why, "Id must be a string");
    }
    return TG_OK;
}

enum tg_err tg_policy_compile(struct tg_arena *arena, const struct tg_json *document,
                              const struct tg_policy **out, const char **why)
{
    enum tg_err err = check_document(document, why);
    if (err != TG_OK) {
        return err;
    }
    const struct tg_json *value = tg_json_get(document, TG_LIT("Statement"));
    bool list = tg_json_type(value) == TG_JSON_ARRAY;
    size_t count = list ? tg_json_count(value) : 1;
    if (value == NULL) {
        return fail(why, "a policy must have a statement");
    }
    struct tg_policy *policy = tg_arena_alloc(arena, sizeof *policy);
    struct statement *statements = tg_arena_alloc(arena, (count + 1) * sizeof *statements);
    if (policy == NULL || statements == NULL) {
        return TG_ENOMEM;
    }
    *policy = (struct tg_policy){.statements = statements, .count = count};
    for (size_t i = 0; err == TG_OK && i < count; i++) {
        err = compile_statement(arena, list ? tg_json_at(value, i) : value, &statements[i], why);
    }
    if (err == TG_OK) {
        *out = policy;
    }
    return err;
}

/* Whether one of the texts matches one of the patterns. */
static bool any_matches(const struct patterns *patterns, const struct tg_slice *texts, size_t count,
                        bool ignore_case)
{
    for (size_t i = 0; i < patterns->count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (tg_glob_match(patterns->items[i], texts[j], ignore_case)) {
                return true;
            }
        }
    }
    return false;
}

static bool applies(const struct statement *statement, struct tg_slice action,
                    const struct tg_slice *resources, size_t resource_count, tg_policy_key_fn *key, void *arg)
{
    return any_matches(&statement->actions, &action, 1, true) != statement->actions.inverted &&
           any_matches(&statement->resources, resources, resource_count, false) !=
               statement->resources.inverted &&
           tg_policy_conditions_hold(&statement->conditions, key, arg);
}

enum tg_policy_decision tg_policy_evaluate(const struct tg_policy *policy, struct tg_slice action,
                                           const struct tg_slice *resources, size_t resource_count,
                                           tg_policy_key_fn *key, void *arg)
{
    enum tg_policy_decision decision = TG_POLICY_DENY;
    for (size_t i = 0; policy != NULL && i < policy->count; i++) {
        const struct statement *statement = &policy->statements[i];
        if (decision == TG_POLICY_ALLOW && !statement->deny) {
            continue;
        }
        if (applies(statement, action, resources, resource_count, key, arg)) {
            if (statement->deny) {
                return TG_POLICY_EXPLICIT_DENY;
            }
            decision = TG_POLICY_ALLOW;
        }
    }
    return decision;
}

bool tg_policy_request_key(void *arg, struct tg_slice key, size_t index, struct tg_slice *out)
{
    struct tg_policy_request *request = arg;
    const struct {
        struct tg_slice name, value;
    } texts[] = {
        {TG_LIT("aws:SourceIp"), request->source_ip},
        {TG_LIT("aws:UserAgent"), request->user_agent},
        {TG_LIT("aws:Referer"), request->referer},
        {TG_LIT("aws:username"), request->user_name},
        {TG_LIT("aws:PrincipalArn"), request->principal_arn},
        {TG_LIT("aws:SecureTransport"), request->secure ? TG_LIT("true") : TG_LIT("false")},
    };
    if (index > 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (tg_slice_eq_nocase(texts[i].name, key) && texts[i].value.len > 0) {
            *out = texts[i].value;
            return true;
        }
    }
    size_t len = 0;
    if (tg_slice_eq_nocase(key, TG_LIT("aws:CurrentTime"))) {
        len = tg_time_iso(request->now_ms, request->time_text);
    } else if (tg_slice_eq_nocase(key, TG_LIT("aws:EpochTime"))) {
        int written = snprintf(request->time_text, sizeof request->time_text, "%lld",
                               (long long)(request->now_ms / 1000));
        len = written > 0 ? (size_t)written : 0;
    }
    *out = len > 0 ? tg_slice_make(request->time_text, len) : *out;
    return len > 0;
}
