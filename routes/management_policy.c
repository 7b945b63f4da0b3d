/* What the policy of a management call's signer says (spec 5.4). */
#include <assert.h>

#include "routes/management_private.h"

static const struct tg_slice action = TG_LIT_INIT("execute-api:ManageConnections");
static const struct tg_slice placeholder = TG_LIT_INIT("{connectionId}");

enum { ACCOUNT_SHOWN = 4 };

static char *put(char *to, struct tg_slice text)
{
    if (text.len > 0) {
        memcpy(to, text.ptr, text.len);
    }
    return to + text.len;
}

/* The resource as far as the id, into as many bytes as it takes. */
static char *put_resource(const struct management_call *call, struct tg_slice account, char *to)
{
    to = put(put(to, TG_LIT("arn:aws:execute-api:")), call->model->region);
    to = put(put(to, TG_LIT(":")), account);
    to = put(put(to, TG_LIT(":")), call->api->api_id);
    to = put(put(to, TG_LIT("/")), call->stage->stage_name);
    to = put(put(to, TG_LIT("/")), call->exchange->method);
    return put(to, TG_LIT("/@connections/"));
}

/* With the placeholder, literally, and with room for an id, at *id. */
static enum tg_err resources_of(const struct management_call *call, struct tg_slice account, size_t id_len,
                                struct tg_slice out[2], char **id)
{
    size_t before = sizeof "arn:aws:execute-api:::///@connections/" + call->model->region.len + account.len +
                    call->api->api_id.len + call->stage->stage_name.len + call->exchange->method.len;
    char *first = tg_arena_alloc(call->exchange->arena, 2 * before + placeholder.len + id_len);
    if (first == NULL) {
        return TG_ENOMEM;
    }
    char *end = put_resource(call, account, first);
    struct tg_slice shared = tg_slice_make(first, (size_t)(end - first));
    char *second = put(end, placeholder);
    out[0] = tg_slice_make(first, (size_t)(second - first));
    *id = put(second, shared);
    out[1] = tg_slice_make(second, shared.len + id_len);
    return TG_OK;
}

/* The native service's text, account masked to its last digits. */
static enum tg_err refusal(struct management_call *call, bool explicitly, struct tg_slice *out)
{
    static const char stars[] = "********************************";
    struct tg_arena *arena = call->exchange->arena;
    struct tg_slice account = call->model->account_id, resources[2];
    size_t hidden = account.len > ACCOUNT_SHOWN ? account.len - ACCOUNT_SHOWN : 0;
    char *id;
    hidden = hidden < sizeof stars - 1 ? hidden : sizeof stars - 1;
    enum tg_err err = tg_arena_printf(arena, &account, "%.*s%.*s", (int)hidden, stars,
                                      TG_FMT(tg_slice_from(call->model->account_id, hidden)));
    if (err == TG_OK) {
        err = resources_of(call, account, 0, resources, &id);
    }
    if (err != TG_OK) {
        return err;
    }
    return tg_arena_printf(arena, out, "User: %.*s is not authorized to perform: %.*s on resource: %.*s %s",
                           TG_FMT(call->credential->user_arn), TG_FMT(action), TG_FMT(resources[0]),
                           explicitly ? "with an explicit deny in a session policy"
                                      : "because no session policy allows the execute-api:ManageConnections "
                                        "action");
}

enum tg_err management_question(const struct management_call *call, size_t id_len,
                                struct management_question *out)
{
    const struct tg_exchange *exchange = call->exchange;
    *out = (struct management_question){
        .policy = call->credential->policy,
        .keys = {.source_ip = exchange->source_ip,
                 .user_agent = tg_exchange_header(exchange, TG_LIT("User-Agent")),
                 .referer = tg_exchange_header(exchange, TG_LIT("Referer")),
                 .principal_arn = call->credential->user_arn,
                 .secure = exchange->secure,
                 .now_ms = exchange->received_ms},
        .id_len = id_len,
        .resource_count = call->model->management.strict_management_arn ? 1 : 2,
    };
    return resources_of(call, call->model->account_id, id_len, out->resources, &out->id);
}

enum tg_policy_decision management_ask(struct management_question *question, struct tg_slice id)
{
    assert(id.len == question->id_len);
    (void)put(question->id, id);
    return tg_policy_evaluate(question->policy, action, question->resources, question->resource_count,
                              tg_policy_request_key, &question->keys);
}

enum tg_err management_allowed(struct management_call *call, bool *allowed, struct tg_slice *message)
{
    struct management_question question;
    enum tg_err err = management_question(call, call->id.len, &question);
    if (err != TG_OK) {
        return err;
    }
    enum tg_policy_decision decision = management_ask(&question, call->id);
    *allowed = decision == TG_POLICY_ALLOW;
    return *allowed ? TG_OK : refusal(call, decision == TG_POLICY_EXPLICIT_DENY, message);
}
