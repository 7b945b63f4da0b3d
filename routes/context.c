#include "routes/context.h"

#include "routes/fields.h"
#include "routes/http.h"
#include "server/base/codec.h"
#include "server/io/transport.h"

typedef enum tg_err value_fn(struct tg_request *request, struct tg_slice *out);

/* A NULL pointer means that the variable has no value. */
static enum tg_err number(struct tg_request *request, int64_t value, struct tg_slice *out)
{
    return tg_arena_printf(&request->arena, out, "%lld", (long long)value);
}

static enum tg_err api_id(struct tg_request *request, struct tg_slice *out)
{
    *out = request->api->api_id;
    return TG_OK;
}

static enum tg_err account_id(struct tg_request *request, struct tg_slice *out)
{
    *out = request->kind == TG_REQUEST_HTTP ? request->model->account_id : TG_EMPTY;
    return TG_OK;
}

static enum tg_err connected_at(struct tg_request *request, struct tg_slice *out)
{
    if (request->kind == TG_REQUEST_HTTP) {
        return TG_OK;
    }
    return number(request, request->info->connected_at_ms, out);
}

static enum tg_err connection_id(struct tg_request *request, struct tg_slice *out)
{
    *out = request->connection_id[0] != '\0' ? tg_slice_cstr(request->connection_id) : TG_EMPTY;
    return TG_OK;
}

static enum tg_err domain_name(struct tg_request *request, struct tg_slice *out)
{
    *out = request->info->domain_name;
    return TG_OK;
}

static enum tg_err domain_prefix(struct tg_request *request, struct tg_slice *out)
{
    struct tg_slice rest;
    *out = tg_slice_cut(request->info->domain_name, '.', &rest);
    return TG_OK;
}

static enum tg_err event_type(struct tg_request *request, struct tg_slice *out)
{
    static const char *const types[] = {"CONNECT", "MESSAGE", "DISCONNECT"};
    if (request->kind != TG_REQUEST_HTTP) {
        *out = tg_slice_cstr(types[request->kind]);
    }
    return TG_OK;
}

static enum tg_err message_direction(struct tg_request *request, struct tg_slice *out)
{
    *out = request->kind != TG_REQUEST_HTTP ? TG_LIT("IN") : TG_EMPTY;
    return TG_OK;
}

static enum tg_err message_id(struct tg_request *request, struct tg_slice *out)
{
    const char *id = tg_request_message_id(request);
    *out = id[0] != '\0' ? tg_slice_cstr(id) : TG_EMPTY;
    return TG_OK;
}

static enum tg_err request_id(struct tg_request *request, struct tg_slice *out)
{
    *out = tg_slice_cstr(tg_request_id(request));
    return TG_OK;
}

static enum tg_err request_time(struct tg_request *request, struct tg_slice *out)
{
    char text[TG_TIME_TEXT_MAX];
    size_t len = tg_time_clf(request->time_ms, text);
    return tg_arena_copy(&request->arena, tg_slice_make(text, len), out);
}

static enum tg_err request_time_epoch(struct tg_request *request, struct tg_slice *out)
{
    return number(request, request->time_ms, out);
}

static enum tg_err route_key(struct tg_request *request, struct tg_slice *out)
{
    if (request->route != NULL) {
        *out = request->route->route_key;
    } else if (request->kind == TG_REQUEST_CONNECT) {
        *out = TG_LIT("$connect");
    } else if (request->kind == TG_REQUEST_DISCONNECT) {
        *out = TG_LIT("$disconnect");
    }
    return TG_OK;
}

static enum tg_err stage(struct tg_request *request, struct tg_slice *out)
{
    *out = request->stage->stage_name;
    return TG_OK;
}

static enum tg_err status(struct tg_request *request, struct tg_slice *out)
{
    int value = tg_request_status(request);
    return value > 0 ? number(request, value, out) : TG_OK;
}

static enum tg_err disconnect_code(struct tg_request *request, struct tg_slice *out)
{
    return request->kind == TG_REQUEST_DISCONNECT ? number(request, request->disconnect_code, out) : TG_OK;
}

static enum tg_err disconnect_reason(struct tg_request *request, struct tg_slice *out)
{
    *out = request->kind == TG_REQUEST_DISCONNECT ? request->disconnect_reason : TG_EMPTY;
    return TG_OK;
}

static enum tg_err source_ip(struct tg_request *request, struct tg_slice *out)
{
    *out = request->info->source_ip;
    return TG_OK;
}

static enum tg_err user_agent(struct tg_request *request, struct tg_slice *out)
{
    *out = request->info->user_agent;
    return TG_OK;
}

static enum tg_err error_message(struct tg_request *request, struct tg_slice *out)
{
    if (request->fault != TG_FAULT_NONE) {
        *out = request->kind == TG_REQUEST_HTTP ? tg_fault_http_message(request->fault)
                                                : tg_fault_message(request->fault);
    }
    return TG_OK;
}

static enum tg_err error_type(struct tg_request *request, struct tg_slice *out)
{
    *out = request->fault != TG_FAULT_NONE ? tg_fault_response_type(request->fault) : TG_EMPTY;
    return TG_OK;
}

static bool is_authorizer_fault(enum tg_fault fault)
{
    return fault == TG_FAULT_AUTHORIZER || fault == TG_FAULT_AUTHORIZER_RESULT;
}

static enum tg_err authorizer_error(struct tg_request *request, struct tg_slice *out)
{
    *out = is_authorizer_fault(request->fault) ? request->fault_detail : TG_EMPTY;
    return TG_OK;
}

static enum tg_err authorizer_latency(struct tg_request *request, struct tg_slice *out)
{
    return request->authorizer_latency_ms >= 0 ? number(request, request->authorizer_latency_ms, out) : TG_OK;
}

static enum tg_err authorizer_status(struct tg_request *request, struct tg_slice *out)
{
    return request->authorizer_status > 0 ? number(request, request->authorizer_status, out) : TG_OK;
}

static bool is_authorize_fault(enum tg_fault fault)
{
    return fault == TG_FAULT_DENIED || fault == TG_FAULT_DENIED_EXPLICIT;
}

static enum tg_err authorize_error(struct tg_request *request, struct tg_slice *out)
{
    *out = is_authorize_fault(request->fault) ? tg_fault_message(request->fault) : TG_EMPTY;
    return TG_OK;
}

static enum tg_err authorize_status(struct tg_request *request, struct tg_slice *out)
{
    if (!request->authorizer_called || is_authorizer_fault(request->fault)) {
        return TG_OK;
    }
    return number(request, is_authorize_fault(request->fault) ? 403 : 200, out);
}

static enum tg_err integration_latency(struct tg_request *request, struct tg_slice *out)
{
    return request->integration_latency_ms >= 0 ? number(request, request->integration_latency_ms, out)
                                                : TG_OK;
}

/* ---- HTTP APIs alone ---- */

static enum tg_err http_method(struct tg_request *request, struct tg_slice *out)
{
    *out = request->kind == TG_REQUEST_HTTP ? request->method : TG_EMPTY;
    return TG_OK;
}

/* With the stage, where it stood in the path; percent-decoded, as events show it. */
static enum tg_err http_path(struct tg_request *request, struct tg_slice *out)
{
    if (request->kind != TG_REQUEST_HTTP) {
        return TG_OK;
    }
    if (request->api->settings.path_decoding == TG_PATH_PRESERVE) {
        *out = request->http->place.staged_path;
        return TG_OK;
    }
    return tg_percent_decode(&request->arena, request->http->place.staged_path, false, out);
}

static enum tg_err http_protocol(struct tg_request *request, struct tg_slice *out)
{
    if (request->kind == TG_REQUEST_HTTP) {
        *out = request->http->minor == 0 ? TG_LIT("HTTP/1.0") : TG_LIT("HTTP/1.1");
    }
    return TG_OK;
}

static enum tg_err response_length(struct tg_request *request, struct tg_slice *out)
{
    return request->kind == TG_REQUEST_HTTP ? number(request, (int64_t)request->http->bytes_out, out) : TG_OK;
}

static enum tg_err data_processed(struct tg_request *request, struct tg_slice *out)
{
    return request->kind == TG_REQUEST_HTTP
               ? number(request, (int64_t)(request->http->bytes_in + request->http->bytes_out), out)
               : TG_OK;
}

static enum tg_err response_latency(struct tg_request *request, struct tg_slice *out)
{
    return request->kind == TG_REQUEST_HTTP ? number(request, request->response_latency_ms, out) : TG_OK;
}

static enum tg_err base_path(struct tg_request *request, struct tg_slice *out)
{
    if (request->kind == TG_REQUEST_HTTP && request->http->place.mapping_key.len > 0) {
        *out = request->http->place.mapping_key;
    }
    return TG_OK;
}

static enum tg_err integration_status(struct tg_request *request, struct tg_slice *out)
{
    return request->kind == TG_REQUEST_HTTP && request->integration_status > 0
               ? number(request, request->integration_status, out)
               : TG_OK;
}

/* Of the invocation itself, for functions: 200 where the function answered. */
static enum tg_err invoke_status(struct tg_request *request, struct tg_slice *out)
{
    bool is_function = request->kind == TG_REQUEST_HTTP && request->integration_status > 0 &&
                       request->route->integration->integration_type == TG_INTEGRATION_AWS_PROXY;
    return is_function ? number(request, 200, out) : integration_status(request, out);
}

/* Why the integration failed, in the words of the log. */
static enum tg_err integration_error(struct tg_request *request, struct tg_slice *out)
{
    if (request->kind == TG_REQUEST_HTTP && request->integration_called && request->fault != TG_FAULT_NONE) {
        *out = request->fault_detail;
    }
    return TG_OK;
}

#define CLIENT_CERT(name, member)                                                                            \
    static enum tg_err name(struct tg_request *request, struct tg_slice *out)                                \
    {                                                                                                        \
        *out = request->peer != NULL ? request->peer->member : TG_EMPTY;                                     \
        return TG_OK;                                                                                        \
    }
CLIENT_CERT(client_cert_pem, pem)
CLIENT_CERT(client_cert_issuer, issuer_dn)
CLIENT_CERT(client_cert_serial, serial_number)
CLIENT_CERT(client_cert_subject, subject_dn)
CLIENT_CERT(client_cert_not_after, not_after)
CLIENT_CERT(client_cert_not_before, not_before)

/* Sorted by nothing but the reader's eye: looked through once a variable. Names without a row here and known
 * to the access log (authenticate.*, waf.*, cognito, integration.*) have no value in this version. */
static const struct {
    struct tg_slice name;
    value_fn *get;
} variables[] = {
    {TG_LIT_INIT("connectionId"), connection_id},
    {TG_LIT_INIT("requestId"), request_id},
    {TG_LIT_INIT("extendedRequestId"), request_id},
    {TG_LIT_INIT("routeKey"), route_key},
    {TG_LIT_INIT("eventType"), event_type},
    {TG_LIT_INIT("messageId"), message_id},
    {TG_LIT_INIT("messageDirection"), message_direction},
    {TG_LIT_INIT("requestTime"), request_time},
    {TG_LIT_INIT("requestTimeEpoch"), request_time_epoch},
    {TG_LIT_INIT("connectedAt"), connected_at},
    {TG_LIT_INIT("apiId"), api_id},
    {TG_LIT_INIT("accountId"), account_id},
    {TG_LIT_INIT("httpMethod"), http_method},
    {TG_LIT_INIT("path"), http_path},
    {TG_LIT_INIT("protocol"), http_protocol},
    {TG_LIT_INIT("responseLength"), response_length},
    {TG_LIT_INIT("responseLatency"), response_latency},
    {TG_LIT_INIT("dataProcessed"), data_processed},
    {TG_LIT_INIT("customDomain.basePathMatched"), base_path},
    {TG_LIT_INIT("integration.status"), integration_status},
    {TG_LIT_INIT("integration.integrationStatus"), invoke_status},
    {TG_LIT_INIT("integrationStatus"), invoke_status},
    {TG_LIT_INIT("integration.latency"), integration_latency},
    {TG_LIT_INIT("integration.error"), integration_error},
    {TG_LIT_INIT("integrationErrorMessage"), integration_error},
    {TG_LIT_INIT("stage"), stage},
    {TG_LIT_INIT("domainName"), domain_name},
    {TG_LIT_INIT("domainPrefix"), domain_prefix},
    {TG_LIT_INIT("status"), status},
    {TG_LIT_INIT("disconnectStatusCode"), disconnect_code},
    {TG_LIT_INIT("disconnectReason"), disconnect_reason},
    {TG_LIT_INIT("identity.sourceIp"), source_ip},
    {TG_LIT_INIT("identity.userAgent"), user_agent},
    {TG_LIT_INIT("identity.clientCert.clientCertPem"), client_cert_pem},
    {TG_LIT_INIT("identity.clientCert.issuerDN"), client_cert_issuer},
    {TG_LIT_INIT("identity.clientCert.serialNumber"), client_cert_serial},
    {TG_LIT_INIT("identity.clientCert.subjectDN"), client_cert_subject},
    {TG_LIT_INIT("identity.clientCert.validity.notAfter"), client_cert_not_after},
    {TG_LIT_INIT("identity.clientCert.validity.notBefore"), client_cert_not_before},
    {TG_LIT_INIT("error.message"), error_message},
    {TG_LIT_INIT("error.responseType"), error_type},
    {TG_LIT_INIT("authorizer.error"), authorizer_error},
    {TG_LIT_INIT("authorizer.latency"), authorizer_latency},
    {TG_LIT_INIT("authorizer.integrationLatency"), authorizer_latency},
    {TG_LIT_INIT("authorizer.status"), authorizer_status},
    {TG_LIT_INIT("authorizer.integrationStatus"), authorizer_status},
    {TG_LIT_INIT("authorize.error"), authorize_error},
    {TG_LIT_INIT("authorize.status"), authorize_status},
    {TG_LIT_INIT("integrationLatency"), integration_latency},
};

/* Whether the map has what follows the prefix in the name. */
static bool look_up_map(const struct tg_string_map *map, struct tg_slice prefix, struct tg_slice name,
                        struct tg_slice *out)
{
    const struct tg_slice *value =
        tg_slice_starts(name, prefix) ? tg_string_map_get(map, tg_slice_from(name, prefix.len)) : NULL;
    if (value == NULL) {
        return false;
    }
    *out = value->ptr != NULL ? *value : TG_LIT("");
    return true;
}

static enum tg_err look_up_context(struct tg_request *request, struct tg_slice name, struct tg_slice *out)
{
    const struct tg_conn_info *info = request->info;
    if (look_up_map(&info->authorizer, TG_LIT("authorizer."), name, out) ||
        look_up_map(&info->identity, TG_LIT("identity."), name, out)) {
        return TG_OK;
    }
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        if (tg_slice_eq(name, variables[i].name)) {
            return variables[i].get(request, out);
        }
    }
    return TG_OK;
}

/* The last field (what single maps show), or every one. */
static enum tg_err look_up_list(struct tg_request *request, const struct tg_headers *list,
                                struct tg_slice name, bool ignore_case, bool all, struct tg_var_values *out)
{
    size_t count = 0;
    struct tg_slice *items = tg_arena_alloc(&request->arena, (list->count + 1) * sizeof *items);
    if (items == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct tg_header *field = &list->items[i];
        if (ignore_case ? tg_slice_eq_nocase(field->name, name) : tg_slice_eq(field->name, name)) {
            items[all ? count++ : 0] = field->value;
            count = all ? count : 1;
        }
    }
    *out = (struct tg_var_values){items, count};
    return TG_OK;
}

/* Of a request of an HTTP API, when it is first asked for. */
static enum tg_err parse_query(struct tg_request *request)
{
    if (request->kind != TG_REQUEST_HTTP || request->http->query_parsed) {
        return TG_OK;
    }
    request->http->query_parsed = true;
    return tg_query_parse(&request->arena, request->query_text, &request->query);
}

static enum tg_err look_up(void *arg, enum tg_var_scope scope, struct tg_slice name, struct tg_arena *arena,
                           struct tg_var_values *out)
{
    struct tg_request *request = arg;
    struct tg_slice value = TG_EMPTY;
    const struct tg_slice *found;
    enum tg_err err = TG_OK;
    switch (scope) {
    case TG_VAR_HEADER:
    case TG_VAR_MULTIHEADER:
        return look_up_list(request, &request->headers, name, true, scope == TG_VAR_MULTIHEADER, out);
    case TG_VAR_QUERY:
    case TG_VAR_MULTIQUERY:
        err = parse_query(request);
        if (err != TG_OK) {
            return err;
        }
        return look_up_list(request, &request->query, name, false, scope == TG_VAR_MULTIQUERY, out);
    case TG_VAR_BODY:
        if (request->kind == TG_REQUEST_MESSAGE || request->kind == TG_REQUEST_HTTP) {
            value = request->body.ptr != NULL ? request->body : TG_LIT("");
        }
        break;
    case TG_VAR_STAGE:
        found = tg_string_map_get(&request->stage->stage_variables, name);
        if (found != NULL) {
            value = found->ptr != NULL ? *found : TG_LIT("");
        }
        break;
    case TG_VAR_RESPONSE_STATUS:
        err = request->answer.status > 0 ? number(request, request->answer.status, &value) : TG_OK;
        break;
    case TG_VAR_PATH:
        for (size_t i = 0; request->kind == TG_REQUEST_HTTP && i < request->http->param_count; i++) {
            if (tg_slice_eq(request->http->params[i].name, name)) {
                value = request->http->params[i].value;
            }
        }
        break;
    case TG_VAR_REQUEST_PATH:
        value = request->kind == TG_REQUEST_HTTP ? request->http->place.path : TG_EMPTY;
        break;
    case TG_VAR_RESPONSE_HEADER:
    case TG_VAR_RESPONSE_MULTIHEADER:
        return look_up_list(request, &request->answer.headers, name, true,
                            scope == TG_VAR_RESPONSE_MULTIHEADER, out);
    case TG_VAR_RESPONSE_BODY:
        value = request->answer.status > 0 ? request->answer.body : TG_EMPTY;
        break;
    case TG_VAR_CONTEXT:
        err = look_up_context(request, name, &value);
        break;
    default:
        break;
    }
    if (err != TG_OK || value.ptr == NULL) {
        return err;
    }
    return tg_vars_one(arena, value, out);
}

struct tg_vars tg_request_vars(struct tg_request *request)
{
    return (struct tg_vars){.lookup = look_up, .arg = request};
}
