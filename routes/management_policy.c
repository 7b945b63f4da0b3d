/* What the policy of a management call's signer says (spec 5.4). */
#include "routes/management_private.h"
#include "routes/policy.h"

static const struct tg_slice action = TG_LIT_INIT("execute-api:ManageConnections");
static const struct tg_slice placeholder = TG_LIT_INIT("{connectionId}");

enum { ACCOUNT_SHOWN = 4 };

static enum tg_err join(struct tg_arena *arena, const struct tg_slice *parts, size_t count,
                        struct tg_slice *out)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += parts[i].len;
    }
    char *text = tg_arena_alloc(arena, len + 1);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    *out = tg_slice_make(text, len);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0) {
            memcpy(text, parts[i].ptr, parts[i].len);
            text += parts[i].len;
        }
    }
    return TG_OK;
}

/* The resource: `id` is the placeholder, literally, or the real id. */
static enum tg_err resource_of(const struct management_call *call, struct tg_slice account,
                               struct tg_slice id, struct tg_slice *out)
{
    const struct tg_slice parts[] = {
        TG_LIT("arn:aws:execute-api:"),
        call->model->region,
        TG_LIT(":"),
        account,
        TG_LIT(":"),
        call->api->api_id,
        TG_LIT("/"),
        call->stage->stage_name,
        TG_LIT("/"),
        call->exchange->method,
        TG_LIT("/@connections/"),
        id,
    };
    return join(call->exchange->arena, parts, sizeof parts / sizeof parts[0], out);
}

/* The native service's text, account masked to its last digits. */
static enum tg_err refusal(struct management_call *call, bool explicitly, struct tg_slice *out)
{
    static const char stars[] = "********************************";
    struct tg_arena *arena = call->exchange->arena;
    struct tg_slice account = call->model->account_id, resource;
    size_t hidden = account.len > ACCOUNT_SHOWN ? account.len - ACCOUNT_SHOWN : 0;
    hidden = hidden < sizeof stars - 1 ? hidden : sizeof stars - 1;
    enum tg_err err = tg_arena_printf(arena, &account, "%.*s%.*s", (int)hidden, stars,
                                      TG_FMT(tg_slice_from(call->model->account_id, hidden)));
    if (err == TG_OK) {
        err = resource_of(call, account, placeholder, &resource);
    }
    if (err != TG_OK) {
        return err;
    }
    return tg_arena_printf(arena, out, "User: %.*s is not authorized to perform: %.*s on resource: %.*s %s",
                           TG_FMT(call->credential->user_arn), TG_FMT(action), TG_FMT(resource),
                           explicitly ? "with an explicit deny in a session policy"
                                      : "because no session policy allows the execute-api:ManageConnections "
                                        "action");
}

enum tg_err management_allowed(struct management_call *call, bool *allowed, struct tg_slice *message)
{
    const struct tg_exchange *exchange = call->exchange;
    struct tg_slice resources[2];
    size_t count = call->model->management.strict_management_arn ? 1 : 2;
    enum tg_err err = resource_of(call, call->model->account_id, placeholder, &resources[0]);
    if (err == TG_OK && count == 2) {
        err = resource_of(call, call->model->account_id, call->id, &resources[1]);
    }
    if (err != TG_OK) {
        return err;
    }
    struct tg_policy_request keys = {
        .source_ip = exchange->source_ip,
        .user_agent = tg_exchange_header(exchange, TG_LIT("User-Agent")),
        .referer = tg_exchange_header(exchange, TG_LIT("Referer")),
        .principal_arn = call->credential->user_arn,
        .secure = exchange->secure,
        .now_ms = exchange->received_ms,
    };
    enum tg_policy_decision decision =
        tg_policy_evaluate(call->credential->policy, action, resources, count, tg_policy_request_key, &keys);
    *allowed = decision == TG_POLICY_ALLOW;
    return *allowed ? TG_OK : refusal(call, decision == TG_POLICY_EXPLICIT_DENY, message);
}
