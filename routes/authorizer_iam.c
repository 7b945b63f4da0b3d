/* AWS_IAM: the handshake, or the request of an HTTP API, is signed with Signature Version 4, in its headers
 * or, as browsers must, in its query (spec 1.7). */
#include "routes/authorizer_private.h"
#include "routes/credential.h"
#include "routes/event.h"

static struct tg_slice header_value(const struct tg_request *request, struct tg_slice name)
{
    const struct tg_header *field = tg_headers_first(&request->headers, name);
    return field != NULL ? field->value : TG_EMPTY;
}

enum tg_err authorize_by_policy(struct tg_request *request, const struct tg_policy *policy,
                                struct tg_slice principal_arn, enum tg_policy_decision *out)
{
    struct tg_slice resource;
    struct tg_policy_request keys = {
        .source_ip = request->info->source_ip,
        .user_agent = request->info->user_agent,
        .referer = header_value(request, TG_LIT("Referer")),
        .principal_arn = principal_arn,
        .secure = request->secure,
        .now_ms = request->time_ms,
    };
    enum tg_err err = tg_event_method_arn(request, &resource);
    if (err == TG_OK) {
        *out = tg_policy_evaluate(policy, TG_LIT("execute-api:Invoke"), &resource, 1, tg_policy_request_key,
                                  &keys);
    }
    return err;
}

static enum tg_fault fault_of(enum tg_sigv4_outcome outcome)
{
    switch (outcome) {
    case TG_SIGV4_MISSING_TOKEN:
        return TG_FAULT_SIGNATURE_MISSING;
    case TG_SIGV4_MISMATCH:
    case TG_SIGV4_PAYLOAD:
        return TG_FAULT_SIGNATURE;
    default:
        return TG_FAULT_FORBIDDEN;
    }
}

static struct tg_slice after_last(struct tg_slice text, char separator)
{
    size_t from = text.len;
    while (from > 0 && text.ptr[from - 1] != separator) {
        from--;
    }
    return tg_slice_from(text, from);
}

/* identity of an AWS_IAM event (spec 3.1). The gateway knows no unique ids of users: caller and user are the
 * name at the end of the ARN; of a root user, the account. */
static enum tg_err keep_identity(struct tg_request *request, const struct tg_credential *credential)
{
    struct tg_slice rest = credential->user_arn, account;
    for (int i = 0; i < 5; i++) { /* arn:partition:service:region:account:... */
        account = tg_slice_cut(rest, ':', &rest);
    }
    if (account.len == 0) {
        account = request->model->account_id;
    }
    struct tg_slice name = after_last(after_last(credential->user_arn, ':'), '/');
    if (name.len == 0 || tg_slice_eq(name, TG_LIT("root"))) {
        name = account;
    }
    const struct tg_string_pair known[] = {
        {TG_LIT("accountId"), account},
        {TG_LIT("caller"), name},
        {TG_LIT("user"), name},
        {TG_LIT("userArn"), credential->user_arn},
        {TG_LIT("accessKey"), credential->access_key_id},
    };
    struct tg_string_pair *pairs = tg_arena_alloc(&request->arena, sizeof known);
    if (pairs == NULL) {
        return TG_ENOMEM;
    }
    memcpy(pairs, known, sizeof known);
    request->handshake_info->identity = (struct tg_string_map){pairs, sizeof known / sizeof known[0]};
    return TG_OK;
}

enum tg_err authorize_iam(struct tg_request *request)
{
    struct tg_sigv4_result result;
    struct tg_slice text;
    enum tg_policy_decision decision = TG_POLICY_DENY;
    const struct tg_sigv4_request signed_request = {
        .method = request->method,
        .path = request->path,
        .query = request->query_text,
        .payload = request->kind == TG_REQUEST_HTTP ? request->body : TG_EMPTY,
        .headers = &request->headers,
        .region = request->model->region,
        .service = TG_LIT("execute-api"),
        .now_ms = request->time_ms,
    };
    enum tg_err err = tg_sigv4_verify(&signed_request, tg_credential_lookup, request->model,
                                      &request->engine->signing_keys, &request->arena, &result);
    if (err != TG_OK) {
        return err;
    }
    if (result.outcome != TG_SIGV4_OK) {
        err = tg_sigv4_message(&result, &request->arena, &text);
        return err == TG_OK ? tg_request_fail(request, fault_of(result.outcome), text) : err;
    }
    const struct tg_credential *credential = result.identity;
    err = keep_identity(request, credential);
    if (err == TG_OK) {
        err = authorize_by_policy(request, credential->policy, credential->user_arn, &decision);
    }
    if (err == TG_OK && decision != TG_POLICY_ALLOW) {
        return tg_request_fail(request, TG_FAULT_FORBIDDEN,
                               decision == TG_POLICY_DENY ? TG_LIT("no policy of the signer allows it")
                                                          : TG_LIT("a policy of the signer denies it"));
    }
    return err;
}
