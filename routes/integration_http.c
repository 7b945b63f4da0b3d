/* HTTP_PROXY: the request goes to the back end as spec 3.5 says, the answer comes back as it is. */
#include "routes/context.h"
#include "routes/integration.h"
#include "routes/target.h"
#include "server/base/codec.h"
#include "server/io/http1.h"

static enum tg_err add_forwarded_for(struct tg_request *request, struct tg_headers *headers)
{
    const struct tg_header *before = tg_headers_last(headers, TG_LIT("X-Forwarded-For"));
    struct tg_slice value = request->info->source_ip;
    if (before != NULL && before->value.len > 0) {
        enum tg_err err = tg_arena_printf(&request->arena, &value, "%.*s, %.*s", TG_FMT(before->value),
                                          TG_FMT(request->info->source_ip));
        if (err != TG_OK) {
            return err;
        }
    }
    return tg_headers_set(headers, &request->arena, TG_LIT("X-Forwarded-For"), value);
}

/* CONNECT: the client's fields but the hop-by-hop ones and those that Connection names; otherwise none. */
static enum tg_err add_client_headers(struct tg_request *request, struct tg_headers *headers)
{
    for (size_t i = 0; request->kind == TG_REQUEST_CONNECT && i < request->headers.count; i++) {
        const struct tg_header *field = &request->headers.items[i];
        if (tg_header_is_hop_by_hop(field->name) || tg_slice_eq_nocase(field->name, TG_LIT("Host")) ||
            tg_slice_eq_nocase(field->name, TG_LIT("Content-Length")) ||
            tg_headers_has_token(&request->headers, TG_LIT("Connection"), field->name)) {
            continue;
        }
        enum tg_err err = tg_headers_add(headers, &request->arena, field->name, field->value);
        if (err != TG_OK) {
            return err;
        }
    }
    return TG_OK;
}

static enum tg_err add_context_headers(struct tg_request *request, struct tg_headers *headers)
{
    static const char *const types[] = {"CONNECT", "MESSAGE", "DISCONNECT"};
    struct tg_arena *arena = &request->arena;
    struct tg_slice code;
    enum tg_err err = tg_headers_set(headers, arena, TG_LIT("X-Websocket-Connection-Id"),
                                     tg_slice_cstr(request->connection_id));
    if (err == TG_OK) {
        err = tg_headers_set(headers, arena, TG_LIT("X-Websocket-Event-Type"),
                             tg_slice_cstr(types[request->kind]));
    }
    if (err == TG_OK) {
        err = tg_headers_set(headers, arena, TG_LIT("X-Websocket-Route-Key"), request->route->route_key);
    }
    if (err == TG_OK && request->kind == TG_REQUEST_MESSAGE) {
        err = tg_headers_set(headers, arena, TG_LIT("X-Websocket-Message-Id"),
                             tg_slice_cstr(tg_request_message_id(request)));
    }
    if (err == TG_OK && request->kind == TG_REQUEST_DISCONNECT) {
        err = tg_arena_printf(arena, &code, "%d", request->disconnect_code);
        if (err == TG_OK) {
            err = tg_headers_set(headers, arena, TG_LIT("X-Websocket-Disconnect-Code"), code);
        }
        if (err == TG_OK && tg_header_value_ok(request->disconnect_reason)) {
            err = tg_headers_set(headers, arena, TG_LIT("X-Websocket-Disconnect-Reason"),
                                 request->disconnect_reason);
        }
    }
    return err;
}

static enum tg_err set_default(struct tg_headers *headers, struct tg_arena *arena, struct tg_slice name,
                               struct tg_slice value)
{
    return tg_headers_first(headers, name) != NULL ? TG_OK : tg_headers_add(headers, arena, name, value);
}

/* The fields that the gateway makes itself (spec 3.5, decisions); mapped ones replace them later. */
static enum tg_err add_gateway_headers(struct tg_request *request, struct tg_headers *headers)
{
    struct tg_arena *arena = &request->arena;
    struct tg_slice agent;
    enum tg_err err = tg_arena_printf(arena, &agent, "AmazonAPIGateway_%.*s", TG_FMT(request->api->api_id));
    if (err == TG_OK) {
        err = set_default(headers, arena, TG_LIT("User-Agent"), agent);
    }
    if (err == TG_OK) {
        err = set_default(headers, arena, TG_LIT("Accept"), TG_LIT("application/json"));
    }
    if (err == TG_OK) {
        err = tg_headers_set(headers, arena, TG_LIT("X-Amzn-Apigateway-Api-Id"), request->api->api_id);
    }
    if (err == TG_OK && request->trace_id[0] != '\0') {
        err = tg_headers_set(headers, arena, TG_LIT("X-Amzn-Trace-Id"), tg_slice_cstr(request->trace_id));
    }
    if (err == TG_OK) {
        err = add_forwarded_for(request, headers);
    }
    if (err == TG_OK && request->kind == TG_REQUEST_MESSAGE) {
        err =
            tg_headers_set(headers, arena, TG_LIT("Content-Type"),
                           request->binary ? TG_LIT("application/octet-stream") : TG_LIT("application/json"));
    }
    if (err == TG_OK && request->api->settings.context_headers) {
        err = add_context_headers(request, headers);
    }
    return err;
}

static void fetched(void *arg, enum tg_err err, const struct tg_call_response *response)
{
    struct tg_request *request = arg;
    request->cancel = NULL;
    request->gated = NULL;
    request->pending = NULL;
    if (err == TG_OK) {
        request->integration_status = response->status;
        request->answer = (struct tg_answer){
            .status = response->status, .headers = response->headers, .body = response->body};
    } else if (err == TG_ETIMEOUT) {
        (void)tg_request_fail(request, TG_FAULT_TIMEOUT, TG_LIT("the back end did not answer in time"));
    } else {
        (void)tg_request_fail(request, TG_FAULT_INTEGRATION, tg_slice_cstr(tg_err_text(err)));
    }
    tg_request_resume(request);
}

static void cancel(struct tg_request *request)
{
    struct tg_call *call = request->pending;
    request->cancel = NULL;
    request->gated = NULL;
    request->pending = NULL;
    tg_call_cancel(call);
}

static enum tg_err body_of(struct tg_request *request, struct tg_slice *body)
{
    const struct tg_integration *integration = request->route->integration;
    *body = request->kind == TG_REQUEST_MESSAGE ? request->body : TG_EMPTY;
    if (integration->content_handling_strategy != TG_CONTENT_TO_BINARY || body->len == 0) {
        return TG_OK;
    }
    enum tg_err err = tg_base64_decode(&request->arena, *body, body);
    return err == TG_ESYNTAX
               ? tg_request_fail(request, TG_FAULT_INTEGRATION, TG_LIT("the message is not base64"))
               : err;
}

static enum tg_err start(struct tg_request *request)
{
    const struct tg_integration *integration = request->route->integration;
    struct tg_call_request *call = tg_arena_zalloc(&request->arena, sizeof *call);
    if (call == NULL) {
        return TG_ENOMEM;
    }
    enum tg_err err = add_client_headers(request, &call->headers);
    if (err == TG_OK) {
        err = add_gateway_headers(request, &call->headers);
    }
    if (err == TG_OK) {
        err = body_of(request, &call->body);
    }
    if (err != TG_OK) {
        return err;
    }
    struct tg_vars vars = tg_request_vars(request);
    const struct tg_target_input input = {
        .stage_variables = &request->stage->stage_variables,
        .mapping = integration->mapping,
        .vars = &vars,
        .json = request->api->settings.lenient_json ? TG_JSONSCAN_LENIENT : TG_JSONSCAN_STRICT,
    };
    struct tg_target_address address;
    struct tg_slice detail;
    err = tg_target_resolve(integration->target, &input, &request->arena, &call->headers, &address, &detail);
    if (err == TG_ENOTFOUND || err == TG_EINVAL) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION, detail);
    }
    if (err == TG_OK) {
        err = set_default(&call->headers, &request->arena, TG_LIT("Host"), address.host_header);
    }
    if (err != TG_OK) {
        return err;
    }
    call->origin = address.origin;
    call->origin.trust = integration->trust;
    call->origin.server_name = integration->tls_config.server_name_to_verify;
    call->target = address.path_query;
    call->method = integration->integration_method;
    call->timeout_ms = (uint64_t)integration->timeout_in_millis;
    call->max_body = request->engine->max_response;
    call->replayable = tg_http1_idempotent(call->method);
    call->may_go = request->gate != NULL ? tg_request_may_go : NULL;
    call->may_go_arg = request;
    struct tg_call *handle;
    err = tg_upstream_fetch(request->engine->upstream, call, &request->arena, fetched, request, &handle);
    if (err == TG_ENOMEM) {
        return err;
    }
    if (err != TG_OK) {
        return tg_request_fail(request, TG_FAULT_INTEGRATION, tg_slice_cstr(tg_err_text(err)));
    }
    request->pending = handle;
    request->cancel = cancel;
    return TG_EAGAIN;
}

const struct tg_integration_ops tg_integration_http_proxy = {TG_INTEGRATION_HTTP_PROXY, start,
                                                             tg_http_forward};
