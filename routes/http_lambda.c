/* AWS_PROXY of HTTP APIs: the event goes to a function by the Lambda Invoke API, in payload format 1.0
 * or 2.0, its answer comes back (http-api.md 1.6 to 1.8). */
#include <stdio.h>

#include "routes/event.h"
#include "routes/http.h"
#include "routes/ids.h"
#include "routes/integration.h"
#include "routes/lambda.h"
#include "routes/payload.h"
#include "server/io/transport.h"

enum { EVENT_LIMIT = 64 * 1024 * 1024 };

static enum tg_payload_format format_of(const struct tg_integration *integration)
{
    return tg_slice_eq(integration->payload_format_version, TG_LIT("1.0")) ? TG_PAYLOAD_1_0 : TG_PAYLOAD_2_0;
}

static void read_answer(struct tg_request *request, struct tg_slice payload)
{
    struct tg_payload_answer answer;
    struct tg_slice detail = TG_EMPTY;
    enum tg_err err = tg_payload_read_answer(format_of(request->route->integration), &request->arena, payload,
                                             &answer, &detail);
    if (err == TG_OK) {
        request->integration_status = answer.status;
        request->answer =
            (struct tg_answer){.status = answer.status, .headers = answer.headers, .body = answer.body};
    } else if (err == TG_ENOMEM) {
        (void)tg_request_fail(request, TG_FAULT_INTERNAL, TG_LIT("out of memory"));
    } else {
        (void)tg_request_fail(request, TG_FAULT_FUNCTION, detail);
    }
}

static void invoked(struct tg_request *request, enum tg_lambda_outcome outcome, struct tg_slice payload)
{
    if (outcome == TG_LAMBDA_OK) {
        read_answer(request, payload);
    } else {
        tg_lambda_fail(request, outcome, payload, TG_FAULT_FUNCTION);
    }
    tg_request_resume(request);
}

static struct tg_slice identity(const struct tg_request *request, struct tg_slice name)
{
    const struct tg_slice *value = tg_string_map_get(&request->info->identity, name);
    return value != NULL ? *value : TG_EMPTY;
}

static enum tg_err parameters(const struct tg_http *http, struct tg_arena *arena, struct tg_string_map *out)
{
    struct tg_string_pair *pairs = tg_arena_alloc(arena, (http->param_count + 1) * sizeof *pairs);
    if (pairs == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < http->param_count; i++) {
        pairs[i] = (struct tg_string_pair){http->params[i].name, http->params[i].value};
    }
    *out = (struct tg_string_map){pairs, http->param_count};
    return TG_OK;
}

/* `path` of format 1.0 keeps the mapping key, rawPath of 2.0 does not (1.3). */
static enum tg_err event_path(const struct tg_http *http, struct tg_arena *arena, struct tg_slice *out)
{
    if (http->place.mapping_key.len == 0) {
        *out = http->place.staged_path;
        return TG_OK;
    }
    return tg_arena_printf(arena, out, "/%.*s%.*s", TG_FMT(http->place.mapping_key),
                           TG_FMT(http->place.path));
}

static enum tg_err write_event(struct tg_request *request, struct tg_buf *out)
{
    const struct tg_http *http = request->http;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", (unsigned)request->port);
    struct tg_payload_input input = {
        .format = format_of(request->route->integration),
        .route_key = request->route->route_key,
        .method = request->method,
        .event_path = http->place.staged_path,
        .query = request->query_text,
        .preserve_path = request->api->settings.path_decoding == TG_PATH_PRESERVE,
        .headers = request->headers,
        .stage_variables = request->stage->stage_variables,
        .account_id = request->model->account_id,
        .api_id = request->api->api_id,
        .stage = request->stage->stage_name,
        .domain_name = request->info->domain_name,
        .deployment_id = request->stage->deployment_id,
        .request_id = tg_slice_cstr(tg_request_id(request)),
        .source_ip = request->info->source_ip,
        .user_agent = request->info->user_agent,
        .time_ms = request->time_ms,
        .trace_id = tg_slice_cstr(request->trace_id),
        .forwarded_port = request->port != 0 ? tg_slice_cstr(port) : TG_EMPTY,
        .forwarded_proto = request->secure ? TG_LIT("https") : TG_LIT("http"),
        .body = request->body,
        .text_types = request->api->settings.text_types,
    };
    if (request->route->authorization_type == TG_AUTH_AWS_IAM) {
        input.authorizer = TG_PAYLOAD_IAM;
        input.iam = (struct tg_payload_iam){
            .access_key = identity(request, TG_LIT("accessKey")),
            .account_id = identity(request, TG_LIT("accountId")),
            .caller_id = identity(request, TG_LIT("caller")),
            .user_arn = identity(request, TG_LIT("userArn")),
            .user_id = identity(request, TG_LIT("user")),
        };
    }
    const struct tg_peer_certificate *peer = request->peer;
    struct tg_payload_cert cert = {0};
    if (peer != NULL) {
        cert = (struct tg_payload_cert){peer->pem,           peer->subject_dn, peer->issuer_dn,
                                        peer->serial_number, peer->not_before, peer->not_after};
        input.cert = &cert;
    }
    enum tg_err err = parameters(http, &request->arena, &input.path_parameters);
    if (err == TG_OK) {
        err = event_path(http, &request->arena, &input.path);
    }
    return err == TG_OK ? tg_payload_write(&request->arena, &input, out) : err;
}

enum tg_err tg_http_invoke(struct tg_request *request)
{
    const struct tg_integration *integration = request->route->integration;
    struct tg_slice event;
    tg_trace_id_make(&request->engine->rng, &request->headers, request->time_ms, request->trace_id);
    enum tg_err err = tg_event_make(request, write_event, EVENT_LIMIT, &event);
    if (err == TG_ELIMIT) {
        return tg_request_fail(request, TG_FAULT_TOO_LARGE,
                               TG_LIT("the event would be too long for a function"));
    }
    if (err == TG_OK) {
        err = tg_lambda_invoke(request, integration->function_name, event,
                               (uint64_t)integration->timeout_in_millis, invoked);
    }
    request->http->exchange->half_close_is_gone = true;
    return err == TG_OK ? TG_EAGAIN : err;
}
