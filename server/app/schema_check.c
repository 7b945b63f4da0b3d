/* What one row of a table cannot say, one resource at a time. */
#include "server/app/schema.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits and the characters of `more`. */
static bool is_word(struct tg_slice text, const char *more)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\0' || (!is_alnum(c) && strchr(more, c) == NULL)) {
            return false;
        }
    }
    return text.len > 0;
}

static bool is_default(struct tg_slice text)
{
    return tg_slice_eq(text, TG_LIT("$default"));
}

/* A scope that is not known (a wrong protocolType) is no reason for further errors. */
static bool is_websocket(struct tg_slice scope)
{
    return tg_slice_eq(scope, TG_LIT("WEBSOCKET"));
}

/* ---- the gateway ---- */

static void check_address(struct tg_options_report *report, const struct tg_doc_node *node,
                          struct tg_slice text, struct tg_address *out)
{
    if (tg_address_parse(text, out) != TG_OK) {
        tg_options_error(report, node, "address",
                         "expected 127.0.0.1:8080, [::1]:8080, :8080 or unix:/path; names are not resolved");
    }
}

/* A header says what the client's address is: only those may send one whose word counts. */
static void check_proxies(struct tg_options_report *report, const struct tg_doc_node *node,
                          struct tg_listener_settings *listener)
{
    const struct tg_strings *texts = &listener->trusted_proxies;
    bool is_unix = listener->socket_address.storage.ss_family == AF_UNIX;
    bool is_on = listener->proxy_protocol != TG_PROXY_OFF;
    if (is_on && !is_unix && texts->count == 0) {
        tg_options_error(report, node, "trustedProxies",
                         "is missing: with proxyProtocol, who connects says what the client's address is; "
                         "list your load balancers");
    } else if (!is_on && texts->count > 0) {
        tg_options_error(report, node, "trustedProxies", "has no effect without proxyProtocol");
    } else if (is_unix && texts->count > 0) {
        tg_options_error(report, node, "trustedProxies",
                         "peers of a unix socket have no address: unixMode says who may connect");
    }
    struct tg_network *items = tg_arena_zalloc(report->arena, (texts->count + 1) * sizeof *items);
    if (items == NULL) {
        report->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < texts->count; i++) {
        if (tg_network_parse(texts->items[i], &items[i]) != TG_OK) {
            tg_options_error(report, tg_doc_get(node, TG_LIT("trustedProxies"))->members[i].value, NULL,
                             "\"%.*s\": expected an address or a range as 10.0.0.0/8 or 2001:db8::/32",
                             TG_FMT(texts->items[i]));
            return;
        }
    }
    listener->trusted = (struct tg_networks){items, texts->count};
}

void tg_check_listener(struct tg_options_report *report, const struct tg_doc_node *node,
                       struct tg_slice scope, void *target)
{
    (void)scope;
    struct tg_listener_settings *listener = target;
    check_address(report, node, listener->address, &listener->socket_address);
    check_proxies(report, node, listener);
}

void tg_check_admin(struct tg_options_report *report, const struct tg_doc_node *node, struct tg_slice scope,
                    void *target)
{
    (void)scope;
    struct tg_admin_settings *admin = target;
    if (admin->address.len > 0) {
        check_address(report, node, admin->address, &admin->socket_address);
    }
}

static void check_at_least(struct tg_options_report *report, const struct tg_doc_node *node, const char *key,
                           double value, double least)
{
    if (value < least) {
        tg_options_error(report, node, key, "must be at least %g", least);
    }
}

void tg_check_drain(struct tg_options_report *report, const struct tg_doc_node *node, struct tg_slice scope,
                    void *target)
{
    (void)scope;
    const struct tg_drain_settings *drain = target;
    int64_t code = drain->close_code;
    if (drain->grace_seconds > 0 && drain->grace_seconds >= drain->deadline_seconds) {
        tg_options_error(report, node, "graceSeconds", "must be less than deadlineSeconds, which is %g",
                         drain->deadline_seconds);
    }
    /* RFC 6455 section 7.4.1: the others are never in a frame. */
    if (code == 1004 || code == 1005 || code == 1006 || (code > 1014 && code < 3000)) {
        tg_options_error(report, node, "closeCode", "expected 1000 to 1003, 1007 to 1014 or 3000 to 4999");
    }
}

/* The former name, with what of it has a meaning still. */
static void check_shutdown(struct tg_options_report *report, const struct tg_doc_node *node,
                           struct tg_config *config)
{
    const struct tg_shutdown_settings *shutdown = &config->shutdown;
    if (shutdown->where == NULL) {
        return;
    }
    if (config->drain.where != NULL) {
        tg_options_error(report, node, "shutdown", "is the former name of drain; leave it out");
        return;
    }
    tg_options_warn(report, node, "shutdown", "is called drain now: {closesPerSecond, deadlineSeconds, ...}");
    config->drain.deadline_seconds = shutdown->deadline_seconds;
    if (shutdown->drain_seconds <= 0) {
        config->drain.closes_per_second = 0;
    }
}

static void check_sentinel_login(struct tg_options_report *report, const struct tg_doc_node *node,
                                 struct tg_registry_settings *registry)
{
    bool user = registry->sentinel_user.len > 0, password = registry->sentinel_password.len > 0;
    if ((user || password) && registry->redis_url.kind != TG_REDIS_SENTINEL) {
        tg_options_error(report, node, user ? "sentinelUser" : "sentinelPassword",
                         "has no effect without a redis+sentinel:// URL");
    } else if (user && !password) {
        tg_options_error(report, node, "sentinelUser", "needs a sentinelPassword");
    }
    registry->redis_url.sentinel_user = registry->sentinel_user;
    registry->redis_url.sentinel_password = password ? registry->sentinel_password : TG_EMPTY;
}

static void check_registry_tls(struct tg_options_report *report, const struct tg_doc_node *node,
                               const struct tg_registry_settings *registry)
{
    const struct tg_tls_client_options options = {.ca_file = registry->tls.ca_file.ptr};
    struct tg_tls_context *context = NULL;
    if (registry->tls.where != NULL && !registry->redis_url.tls) {
        tg_options_error(report, node, "tlsConfig", "has no effect without a rediss:// URL");
        return;
    }
    if (!registry->redis_url.tls || registry->tls.ca_file.len == 0) {
        return;
    }
    enum tg_err err = tg_tls_client_new(&options, &context);
    if (err == TG_ENOMEM) {
        report->out_of_memory = true;
    } else if (err != TG_OK) {
        tg_options_error(report, registry->tls.where, "caFile",
                         "\"%.*s\" cannot be used: %s; it must hold PEM certificates",
                         TG_FMT(registry->tls.ca_file), tg_err_text(err));
    }
    tg_tls_context_free(context);
}

void tg_check_registry(struct tg_options_report *report, const struct tg_doc_node *node,
                       struct tg_slice scope, void *target)
{
    (void)scope;
    struct tg_registry_settings *registry = target;
    const char *problem = NULL;
    registry->is_redis = tg_slice_eq(registry->type, TG_LIT("redis"));
    if (!is_word(registry->cluster, "-_.")) {
        tg_options_error(report, node, "cluster", "expected letters, digits, -, _ and .");
    }
    check_at_least(report, node, "leaseSeconds", registry->lease_seconds, 0.1);
    check_at_least(report, node, "probeIntervalSeconds", registry->probe_interval_seconds, 0.01);
    check_at_least(report, node, "deadNodeMemorySeconds", registry->dead_node_memory_seconds, 1);
    if (registry->reconnect_min_millis > registry->reconnect_max_millis) {
        tg_options_error(report, node, "reconnectMinMillis", "must not exceed reconnectMaxMillis");
    }
    if (!registry->is_redis) {
        return;
    }
    if (registry->url.len == 0) {
        tg_options_error(report, node, NULL, "the key url is missing; type redis needs it");
        return;
    }
    enum tg_err err = tg_redis_url_parse(report->arena, registry->url, &registry->redis_url, &problem);
    if (err == TG_ENOMEM) {
        report->out_of_memory = true;
        return;
    }
    if (err != TG_OK) {
        tg_options_error(report, node, "url", "%s", problem);
        return;
    }
    check_registry_tls(report, node, registry);
    check_sentinel_login(report, node, registry);
}

/* Everything a listener hears is public unless its address is local. */
static void check_management(struct tg_options_report *report, const struct tg_doc_node *node,
                             const struct tg_config *config)
{
    const struct tg_management *management = &config->model.management;
    if (management->auth != TG_MANAGEMENT_NONE || management->allow_public_without_auth) {
        return;
    }
    const struct tg_doc_node *section = tg_doc_get(node, TG_LIT("management"));
    for (size_t i = 0; i < config->listeners.count; i++) {
        const struct tg_listener_settings *listener = &config->listeners.items[i];
        if (!tg_address_is_local(&listener->socket_address)) {
            tg_options_error(report, section, "auth",
                             "none lets anyone who reaches %.*s write to every connection; use sigv4, listen "
                             "on a local address, or set management.allowPublicWithoutAuth",
                             TG_FMT(listener->address));
            return;
        }
    }
}

static void check_listeners(struct tg_options_report *report, const struct tg_doc_node *node,
                            const struct tg_config *config)
{
    if (config->listeners.count == 0) {
        tg_options_error(report, node, "listeners", "at least one is needed");
    }
    for (size_t i = 0; i < config->listeners.count; i++) {
        const struct tg_listener_settings *listener = &config->listeners.items[i];
        if (tg_slice_eq(listener->address, config->admin.address)) {
            tg_options_error(report, listener->where, "address", "is that of admin as well");
        }
        for (size_t j = 0; j < i; j++) {
            if (tg_slice_eq(listener->address, config->listeners.items[j].address)) {
                tg_options_error(report, listener->where, "address", "is that of listeners[%zu] as well", j);
            }
        }
    }
}

void tg_check_config(struct tg_options_report *report, const struct tg_doc_node *node, struct tg_slice scope,
                     void *target)
{
    (void)scope;
    struct tg_config *config = target;
    check_listeners(report, node, config);
    check_shutdown(report, node, config);
    check_management(report, node, config);
    struct tg_slice account = config->model.account_id;
    for (size_t i = 0; i < account.len; i++) {
        if (account.ptr[i] < '0' || account.ptr[i] > '9') {
            tg_options_error(report, node, "accountId", "expected twelve digits");
            break;
        }
    }
    if (config->model.apis.count == 0) {
        tg_options_error(report, node, "apis", "at least one is needed");
    }
}

/* ---- the API model ---- */

void tg_check_integration_response(struct tg_options_report *report, const struct tg_doc_node *node,
                                   struct tg_slice scope, void *target)
{
    (void)scope;
    struct tg_slice key = ((const struct tg_integration_response *)target)->integration_response_key;
    bool is_regex = key.len >= 2 && key.ptr[0] == '/' && key.ptr[key.len - 1] == '/';
    if (!is_default(key) && !is_regex) {
        tg_options_error(report, node, "integrationResponseKey", "expected $default or /regex/");
    }
}

/* What is not given has other values than in a WebSocket API (http-api.md 1.5). */
static void http_integration_defaults(const struct tg_doc_node *node, struct tg_integration *integration)
{
    if (tg_doc_get(node, TG_LIT("integrationMethod")) == NULL) {
        integration->integration_method = TG_LIT("ANY");
    }
    if (tg_doc_get(node, TG_LIT("payloadFormatVersion")) == NULL) {
        integration->payload_format_version = TG_LIT("2.0");
    }
    if (tg_doc_get(node, TG_LIT("timeoutInMillis")) == NULL) {
        integration->timeout_in_millis = 30000;
    }
}

void tg_check_integration(struct tg_options_report *report, const struct tg_doc_node *node,
                          struct tg_slice scope, void *target)
{
    struct tg_integration *integration = target;
    bool is_static = integration->integration_type == TG_INTEGRATION_STATIC;
    bool is_mock = integration->integration_type == TG_INTEGRATION_MOCK;
    if (!is_mock && !is_static && integration->integration_uri.len == 0) {
        tg_options_error(report, node, NULL, "the key integrationUri is missing");
    }
    if (is_static && integration->files.where == NULL) {
        tg_options_error(report, node, NULL, "the key static is missing; integrationType STATIC needs it");
    } else if (!is_static && integration->files.where != NULL) {
        tg_options_error(report, node, "static", "needs integrationType STATIC");
    }
    if (!is_websocket(scope)) {
        http_integration_defaults(node, integration);
    }
    if (!is_word(integration->integration_method, "!#$%&'*+-.^_`|~")) {
        tg_options_error(report, node, "integrationMethod", "is no HTTP method");
    } else if (is_websocket(scope) && tg_slice_eq(integration->integration_method, TG_LIT("ANY"))) {
        tg_options_error(report, node, "integrationMethod", "ANY cannot be set for WEBSOCKET protocol Apis");
    }
    if (!is_word(integration->integration_id, "-_")) {
        tg_options_error(report, node, "integrationId", "expected letters, digits, - and _");
    }
}

void tg_check_authorizer(struct tg_options_report *report, const struct tg_doc_node *node,
                         struct tg_slice scope, void *target)
{
    (void)scope;
    const struct tg_authorizer *authorizer = target;
    if (tg_slice_eq(authorizer->authorizer_type, TG_LIT("REQUEST")) && authorizer->authorizer_uri.len == 0) {
        tg_options_error(report, node, NULL, "the key authorizerUri is missing");
    }
}

void tg_check_route_response(struct tg_options_report *report, const struct tg_doc_node *node,
                             struct tg_slice scope, void *target)
{
    const struct tg_route_response *response = target;
    if (is_websocket(scope) && !is_default(response->route_response_key)) {
        tg_options_error(report, node, "routeResponseKey", "expected $default");
    }
}

/* Authorisation belongs to $connect alone (1.7). */
static void check_authorization(struct tg_options_report *report, const struct tg_doc_node *node,
                                const struct tg_route *route)
{
    bool is_connect = tg_slice_eq(route->route_key, TG_LIT("$connect"));
    bool is_custom = route->authorization_type == TG_AUTH_CUSTOM;
    if (!is_connect && route->authorization_type != TG_AUTH_NONE) {
        tg_options_error(report, node, "authorizationType",
                         "only $connect can be authorised; messages are not asked about again");
    }
    if (!is_connect && route->api_key_required) {
        tg_options_error(report, node, "apiKeyRequired", "only $connect can demand an API key");
    } else if (route->api_key_required) {
        tg_options_error(report, node, "apiKeyRequired", "API keys are not there in this version");
    }
    if (is_custom && route->authorizer_id.len == 0) {
        tg_options_error(report, node, NULL,
                         "the key authorizerId is missing; authorizationType CUSTOM needs it");
    } else if (!is_custom && route->authorizer_id.len > 0) {
        tg_options_error(report, node, "authorizerId", "needs authorizationType CUSTOM");
    }
}

/* Signatures are checked here; who else may decide is not there yet. */
static void check_http_route(struct tg_options_report *report, const struct tg_doc_node *node,
                             const struct tg_route *route)
{
    if (route->authorization_type == TG_AUTH_JWT || route->authorization_type == TG_AUTH_CUSTOM) {
        tg_options_error(report, node, "authorizationType",
                         "only NONE and AWS_IAM are there for HTTP APIs in this version");
    }
    if (route->api_key_required) {
        tg_options_error(report, node, "apiKeyRequired", "API keys are not there in this version");
    }
    if (route->request_parameters.count > 0) {
        tg_options_error(report, node, "requestParameters", "is for $connect of WEBSOCKET protocol Apis");
    }
    if (route->route_responses.count > 0 || route->route_response_selection_expression.len > 0) {
        tg_options_error(report, node, "routeResponses", "are for WEBSOCKET protocol Apis");
    }
}

void tg_check_route(struct tg_options_report *report, const struct tg_doc_node *node, struct tg_slice scope,
                    void *target)
{
    const struct tg_route *route = target;
    struct tg_slice key = route->route_key;
    struct tg_slice expression = route->route_response_selection_expression;
    if (!is_websocket(scope)) {
        check_http_route(report, node, route);
        return;
    }
    bool is_known =
        tg_slice_eq(key, TG_LIT("$connect")) || tg_slice_eq(key, TG_LIT("$disconnect")) || is_default(key);
    if (!is_known && tg_slice_starts(key, TG_LIT("$"))) {
        tg_options_error(report, node, "routeKey",
                         "\"%.*s\": only $connect, $disconnect and $default begin with $", TG_FMT(key));
    }
    check_authorization(report, node, route);
    if (expression.len > 0 && !is_default(expression)) {
        tg_options_error(report, node, "routeResponseSelectionExpression", "expected $default");
    } else if (expression.len > 0 && route->route_responses.count == 0) {
        tg_options_warn(report, node, "routeResponseSelectionExpression",
                        "the route is two-way here, but on the native service not without a routeResponses "
                        "entry with routeResponseKey $default");
    }
}

void tg_check_stage(struct tg_options_report *report, const struct tg_doc_node *node, struct tg_slice scope,
                    void *target)
{
    const struct tg_stage *stage = target;
    bool is_http_default = !is_websocket(scope) && is_default(stage->stage_name);
    if (!is_word(stage->stage_name, "-_") && !is_http_default) {
        tg_options_error(report, node, "stageName", "expected letters, digits, - and _");
    }
    if (stage->auto_deploy && stage->deployment_id.len > 0) {
        tg_options_error(report, node, "deploymentId", "cannot be set together with autoDeploy");
    }
    const struct tg_doc_node *variables = tg_doc_get(node, TG_LIT("stageVariables"));
    for (size_t i = 0; i < stage->stage_variables.count; i++) {
        struct tg_slice name = stage->stage_variables.items[i].key;
        if (!is_word(name, "_") || name.len > 64) {
            tg_options_error(report, variables->members[i].value, NULL,
                             "expected a name of up to 64 letters, digits and _");
        }
    }
}

/* A timeout that was given must not exceed the limit; the default follows a lower one. */
static void check_timeout(struct tg_options_report *report, const struct tg_doc_node *node, int64_t limit,
                          int64_t *timeout)
{
    if (*timeout <= limit) {
        return;
    }
    if (tg_doc_get(node, TG_LIT("timeoutInMillis")) == NULL) {
        *timeout = limit;
        return;
    }
    tg_options_error(report, node, "timeoutInMillis",
                     "must be 50 to %lld; settings.maxIntegrationTimeoutMillis of the API can raise that",
                     (long long)limit);
}

static void check_http_api(struct tg_options_report *report, const struct tg_doc_node *node,
                           struct tg_api *api)
{
    const struct tg_doc_node *settings = tg_doc_get(node, TG_LIT("settings"));
    struct tg_slice selection = api->route_selection_expression;
    if (settings == NULL || tg_doc_get(settings, TG_LIT("maxIntegrationTimeoutMillis")) == NULL) {
        api->settings.max_integration_timeout_millis = 30000;
    }
    if (selection.len > 0 && !tg_slice_eq(selection, TG_LIT("${request.method} ${request.path}")) &&
        !tg_slice_eq(selection, TG_LIT("$request.method $request.path"))) {
        tg_options_error(report, node, "routeSelectionExpression",
                         "is ${request.method} ${request.path} for HTTP protocol Apis; leave it out");
    }
    for (size_t i = 0; i < api->integrations.count; i++) {
        struct tg_integration *integration = &api->integrations.items[i];
        check_timeout(report, integration->where, api->settings.max_integration_timeout_millis,
                      &integration->timeout_in_millis);
    }
}

static void check_websocket_api(struct tg_options_report *report, const struct tg_doc_node *node,
                                struct tg_api *api)
{
    int64_t limit = api->settings.max_integration_timeout_millis;
    struct tg_slice key_source = api->api_key_selection_expression;
    if (api->route_selection_expression.len == 0) {
        tg_options_error(report, node, NULL,
                         "the key routeSelectionExpression is missing; protocolType WEBSOCKET needs it");
    }
    if (!tg_slice_eq(key_source, TG_LIT("$request.header.x-api-key")) &&
        !tg_slice_eq(key_source, TG_LIT("$context.authorizer.usageIdentifierKey"))) {
        tg_options_error(report, node, "apiKeySelectionExpression",
                         "expected $request.header.x-api-key or $context.authorizer.usageIdentifierKey");
    }
    for (size_t i = 0; i < api->integrations.count; i++) {
        struct tg_integration *integration = &api->integrations.items[i];
        check_timeout(report, integration->where, limit, &integration->timeout_in_millis);
    }
    for (size_t i = 0; i < api->authorizers.count; i++) {
        struct tg_authorizer *authorizer = &api->authorizers.items[i];
        check_timeout(report, authorizer->where, limit, &authorizer->timeout_in_millis);
    }
}

void tg_check_api(struct tg_options_report *report, const struct tg_doc_node *node, struct tg_slice scope,
                  void *target)
{
    struct tg_api *api = target;
    if (!is_word(api->api_id, "-_")) {
        tg_options_error(report, node, "apiId", "expected letters, digits, - and _");
    }
    if (api->settings.max_frame_bytes > api->settings.max_message_bytes) {
        tg_options_error(report, tg_doc_get(node, TG_LIT("settings")), "maxFrameBytes",
                         "must not exceed maxMessageBytes, which is %lld",
                         (long long)api->settings.max_message_bytes);
    }
    if (is_websocket(scope)) {
        check_websocket_api(report, node, api);
    } else {
        check_http_api(report, node, api);
    }
}
