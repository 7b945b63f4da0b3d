#include "routes/authorizer.h"

#include "routes/authorizer_private.h"
#include "routes/context.h"
#include "routes/event.h"
#include "routes/lambda.h"
#include "routes/source.h"
#include "routes/target.h"

enum { EVENT_LIMIT = 1024 * 1024 };

/* ---- the answer ---- */

static enum tg_err judge(struct tg_request *request, struct tg_slice payload)
{
    struct tg_authorizer_result result;
    struct tg_slice detail = TG_EMPTY;
    enum tg_policy_decision decision = TG_POLICY_DENY;
    enum tg_err err = tg_authorizer_read_result(&request->arena, payload, &result, &detail);
    if (err == TG_ESYNTAX || err == TG_ELIMIT) {
        return tg_request_fail(request, TG_FAULT_AUTHORIZER_RESULT, detail);
    }
    if (err == TG_OK) {
        err = authorize_by_policy(request, result.policy, TG_EMPTY, &decision);
    }
    if (err != TG_OK) {
        return err;
    }
    if (decision == TG_POLICY_EXPLICIT_DENY) {
        return tg_request_fail(request, TG_FAULT_DENIED_EXPLICIT,
                               TG_LIT("the authoriser's policy denies it"));
    }
    if (decision == TG_POLICY_DENY) {
        return tg_request_fail(request, TG_FAULT_DENIED, TG_LIT("the authoriser's policy does not allow it"));
    }
    request->handshake_info->has_authorizer = true;
    request->handshake_info->authorizer = result.context;
    return TG_OK;
}

/* The authoriser has answered, or never will: err is what judging it came to. */
static void answered(struct tg_request *request, enum tg_err err)
{
    request->authorizer_latency_ms = (int64_t)((tg_loop_now_ns() - request->authorizer_start_ns) / 1000000);
    if (err != TG_OK) {
        /* Keeps a fault that is set. */
        (void)tg_request_fail(request, TG_FAULT_INTERNAL, tg_slice_cstr(tg_err_text(err)));
    }
    tg_request_resume(request);
}

/* ---- functions ---- */

/* Error objects are {"errorMessage":"...","errorType":"..."}. */
static enum tg_err judge_error(struct tg_request *request, struct tg_slice payload)
{
    const struct tg_json *error = NULL;
    enum tg_err err = tg_json_parse(&request->arena, payload, &error);
    if (err == TG_ENOMEM) {
        return err;
    }
    if (err == TG_OK &&
        tg_slice_eq(tg_json_string(tg_json_get(error, TG_LIT("errorMessage"))), TG_LIT("Unauthorized"))) {
        return tg_request_fail(request, TG_FAULT_UNAUTHORIZED, TG_LIT("the authoriser said so"));
    }
    return tg_request_fail(request, TG_FAULT_AUTHORIZER, TG_LIT("the authoriser's function failed"));
}

static void invoked(struct tg_request *request, enum tg_lambda_outcome outcome, struct tg_slice payload)
{
    enum tg_err err = TG_EINVAL;
    switch (outcome) {
    case TG_LAMBDA_OK:
        request->authorizer_status = 200;
        err = judge(request, payload);
        break;
    case TG_LAMBDA_FUNCTION_ERROR:
        request->authorizer_status = 200;
        err = judge_error(request, payload);
        break;
    case TG_LAMBDA_TIMEOUT:
        err = tg_request_fail(request, TG_FAULT_AUTHORIZER, TG_LIT("the authoriser did not answer in time"));
        break;
    case TG_LAMBDA_UNREACHABLE:
        err = tg_request_fail(request, TG_FAULT_AUTHORIZER, payload);
        break;
    case TG_LAMBDA_NO_FUNCTION:
        err =
            tg_request_fail(request, TG_FAULT_AUTHORIZER, TG_LIT("the authoriser's function does not exist"));
        break;
    }
    answered(request, err);
}

/* ---- HTTP (beyond the model): the event is posted, the reply is a result ---- */

static enum tg_err judge_response(struct tg_request *request, const struct tg_call_response *response)
{
    request->authorizer_status = response->status;
    if (response->status == 401) {
        return tg_request_fail(request, TG_FAULT_UNAUTHORIZED, TG_LIT("the authoriser said so"));
    }
    if (response->status != 200) {
        return tg_request_fail(request, TG_FAULT_AUTHORIZER,
                               TG_LIT("the authoriser's status is neither 200 nor 401"));
    }
    return judge(request, response->body);
}

static void fetched(void *arg, enum tg_err err, const struct tg_call_response *response)
{
    struct tg_request *request = arg;
    request->cancel = NULL;
    request->pending = NULL;
    if (err == TG_OK) {
        err = judge_response(request, response);
    } else if (err == TG_ELIMIT) {
        err = tg_request_fail(request, TG_FAULT_AUTHORIZER_RESULT,
                              TG_LIT("the authoriser's reply is too long"));
    } else {
        err = tg_request_fail(request, TG_FAULT_AUTHORIZER, tg_slice_cstr(tg_err_text(err)));
    }
    answered(request, err);
}

static void cancel(struct tg_request *request)
{
    struct tg_call *call = request->pending;
    request->cancel = NULL;
    request->pending = NULL;
    tg_call_cancel(call);
}

static enum tg_err add_headers(struct tg_request *request, struct tg_slice host, struct tg_headers *out)
{
    struct tg_slice agent;
    enum tg_err err =
        tg_arena_printf(&request->arena, &agent, "AmazonAPIGateway_%.*s", TG_FMT(request->api->api_id));
    const struct tg_header fields[] = {
        {TG_LIT("Host"), host},
        {TG_LIT("User-Agent"), agent},
        {TG_LIT("Accept"), TG_LIT("application/json")},
        {TG_LIT("Content-Type"), TG_LIT("application/json")},
        {TG_LIT("X-Amzn-Apigateway-Api-Id"), request->api->api_id},
        {TG_LIT("X-Amzn-Trace-Id"), tg_slice_cstr(request->trace_id)},
    };
    for (size_t i = 0; err == TG_OK && i < sizeof fields / sizeof fields[0]; i++) {
        err = tg_headers_add(out, &request->arena, fields[i].name, fields[i].value);
    }
    return err;
}

static enum tg_err fetch(struct tg_request *request, const struct tg_authorizer *authorizer,
                         struct tg_slice event)
{
    struct tg_vars vars = tg_request_vars(request);
    const struct tg_target_input input = {
        .stage_variables = &request->stage->stage_variables, .vars = &vars, .json = TG_JSONSCAN_STRICT};
    struct tg_target_address address;
    struct tg_slice detail = TG_EMPTY;
    struct tg_call *handle;
    struct tg_call_request *call = tg_arena_zalloc(&request->arena, sizeof *call);
    if (call == NULL) {
        return TG_ENOMEM;
    }
    enum tg_err err =
        tg_target_resolve(authorizer->target, &input, &request->arena, &call->headers, &address, &detail);
    if (err == TG_ENOTFOUND || err == TG_EINVAL) {
        return tg_request_fail(request, TG_FAULT_AUTHORIZER, detail);
    }
    if (err == TG_OK) {
        err = add_headers(request, address.host_header, &call->headers);
    }
    if (err != TG_OK) {
        return err;
    }
    call->origin = address.origin;
    call->origin.trust = authorizer->trust;
    call->origin.server_name = authorizer->tls_config.server_name_to_verify;
    call->method = TG_LIT("POST");
    call->target = address.path_query;
    call->body = event;
    call->timeout_ms = (uint64_t)authorizer->timeout_in_millis;
    call->max_body = TG_AUTHORIZER_RESULT_MAX;
    call->replayable = true; /* it is a question */
    err = tg_upstream_fetch(request->engine->upstream, call, &request->arena, fetched, request, &handle);
    if (err != TG_OK) {
        return err == TG_ENOMEM
                   ? err
                   : tg_request_fail(request, TG_FAULT_AUTHORIZER, tg_slice_cstr(tg_err_text(err)));
    }
    request->pending = handle;
    request->cancel = cancel;
    return TG_OK;
}

/* ---- the question ---- */

/* Every identity source must have a value; otherwise nobody is asked (7.4). */
static enum tg_err check_identity(struct tg_request *request, const struct tg_authorizer *authorizer)
{
    struct tg_vars vars = tg_request_vars(request);
    for (size_t i = 0; i < authorizer->identity_source.count; i++) {
        struct tg_slice value;
        enum tg_err err = tg_source_identity(&authorizer->identity[i], &vars, &request->arena, &value);
        if (err != TG_OK) {
            return err;
        }
        if (value.len == 0) {
            return tg_request_fail(request, TG_FAULT_UNAUTHORIZED, authorizer->identity_source.items[i]);
        }
    }
    return TG_OK;
}

static enum tg_err authorize_custom(struct tg_request *request)
{
    const struct tg_authorizer *authorizer = request->route->authorizer;
    struct tg_slice event;
    enum tg_err err = check_identity(request, authorizer);
    if (err == TG_OK) {
        err = tg_event_make(request, tg_event_write_authorizer, EVENT_LIMIT, &event);
    }
    if (err != TG_OK) {
        return err;
    }
    request->authorizer_called = true;
    request->authorizer_start_ns = tg_loop_now_ns();
    err = authorizer->target != NULL ? fetch(request, authorizer, event)
                                     : tg_lambda_invoke(request, authorizer->function_name, event,
                                                        (uint64_t)authorizer->timeout_in_millis, invoked);
    return err == TG_OK ? TG_EAGAIN : err;
}

static enum tg_err authorize_none(struct tg_request *request)
{
    (void)request;
    return TG_OK;
}

static tg_phase_fn *const kinds[] = {
    [TG_AUTH_NONE] = authorize_none,
    [TG_AUTH_AWS_IAM] = authorize_iam,
    [TG_AUTH_CUSTOM] = authorize_custom,
};

enum tg_err tg_authorize(struct tg_request *request)
{
    size_t type = request->route->authorization_type;
    if (type >= sizeof kinds / sizeof kinds[0]) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION, TG_LIT("authorisation type not supported"));
    }
    return kinds[type](request);
}
