/* C93: every field of the resource model (spec websocket-api.md section 9), and what is wrong with one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/app/schema.h"

struct fixture {
    struct tg_arena arena;
    struct tg_options_report report;
    struct tg_config config;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    tg_arena_init(&f->arena, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tg_arena_reset(&f->arena);
    free(f);
    return 0;
}

static enum tg_err bind_text(struct fixture *f, const char *text)
{
    const struct tg_doc_node *root = NULL;
    struct tg_doc_error error;
    enum tg_err err = tg_doc_parse(&f->arena, "t", tg_slice_cstr(text), NULL, &root, &error);
    if (err != TG_OK) {
        fail_msg("%zu: %s", error.line, error.text);
    }
    tg_options_report_init(&f->report, &f->arena);
    (void)memset(&f->config, 0, sizeof f->config);
    return tg_options_bind(&tg_schema_config, &f->arena, root, &f->report, &f->config);
}

static void assert_text(struct tg_slice got, const char *expected)
{
    if (!tg_slice_eq(got, tg_slice_cstr(expected))) {
        fail_msg("got \"%.*s\", expected \"%s\"", TG_FMT(got), expected);
    }
}

static void assert_clean(struct fixture *f, const char *text)
{
    if (bind_text(f, text) != TG_OK || f->report.count > 0) {
        fail_msg("%.*s", TG_FMT(f->report.items[0].text));
    }
}

/* Exactly one message. */
static void assert_message(struct fixture *f, const char *text, bool is_error, const char *expected)
{
    assert_int_equal(bind_text(f, text), is_error ? TG_EINVAL : TG_OK);
    assert_true(f->report.count > 0);
    assert_text(f->report.items[0].text, expected);
    assert_int_equal(f->report.count, 1);
}

#define GATEWAY "listeners: [{address: '127.0.0.1:8080'}]\n"
#define API(more)                                                                                            \
    GATEWAY "apis:\n- {apiId: a, name: a, protocolType: WEBSOCKET, routeSelectionExpression: "               \
            "$request.body.a" more "}\n"

#define AN_API         "apis:\n- {apiId: a, name: a, protocolType: HTTP}\n"
#define HTTP_API(more) GATEWAY "apis: [{apiId: a, name: a, protocolType: HTTP, " more "}]\n"

static void test_defaults(void **state)
{
    struct fixture *f = *state;
    assert_clean(f,
                 API(", integrations: [{integrationId: i, integrationType: MOCK}], stages: [{stageName: s}],"
                     " authorizers: [{authorizerId: z, name: z, authorizerType: REQUEST, identitySource: [],"
                     " authorizerUri: 'http://h/'}]"));
    const struct tg_config *c = &f->config;
    assert_int_equal(c->listeners.items[0].backlog, 4096);
    assert_int_equal(c->listeners.items[0].unix_mode, 0660);
    assert_int_equal(tg_address_port(&c->listeners.items[0].socket_address), 8080);
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->max_connections, 0);
    assert_text(c->registry.type, "memory");
    assert_int_equal(c->log.level, TG_LOG_INFO);
    assert_int_equal(c->http.max_header_bytes, 16384);
    assert_true(c->http.header_timeout_seconds == 10);
    assert_int_equal(c->backends.max_connections_per_origin, 256);
    assert_true(c->backends.dns_negative_ttl_seconds == 2);
    assert_true(c->drain.grace_seconds == 0 && c->drain.deadline_seconds == 30);
    assert_true(c->drain.closes_per_second == 500 && c->drain.jitter == 0.5);
    assert_int_equal(c->drain.close_code, 1012);
    assert_text(c->drain.close_reason, "Service restart");
    assert_false(c->admin.allow_remote_control);
    assert_text(c->model.region, "us-east-1");
    assert_text(c->model.account_id, "000000000000");
    assert_int_equal(c->model.management.auth, TG_MANAGEMENT_SIGV4);
    assert_int_equal(c->model.management.push_timeout_millis, 3000);
    assert_true(c->model.throttling.rate_limit == 10000 && c->model.throttling.burst_limit == 5000);
    assert_true(c->model.throttling.connection_rate_limit == 500 &&
                c->model.throttling.connection_burst_limit == 500);
    const struct tg_api *api = &c->model.apis.items[0];
    assert_true(api->settings.idle_timeout_seconds == 600 &&
                api->settings.max_connection_duration_seconds == 7200);
    assert_true(api->settings.idle_timeout_counts_ping && api->settings.lenient_json);
    assert_false(api->settings.binary_frames || api->settings.permessage_deflate ||
                 api->settings.serve_at_root);
    assert_int_equal(api->settings.max_frame_bytes, 32768);
    assert_int_equal(api->settings.max_message_bytes, 131072);
    assert_int_equal(api->settings.max_queued_bytes, 262144);
    assert_int_equal(api->settings.max_pending_messages, 64);
    assert_int_equal(api->settings.message_ordering, TG_ORDERING_CONCURRENT);
    assert_int_equal(api->settings.slow_consumer, TG_SLOW_CLOSE);
    assert_text(api->api_key_selection_expression, "$request.header.x-api-key");
    assert_int_equal(api->integrations.items[0].timeout_in_millis, 29000);
    assert_int_equal(api->integrations.items[0].passthrough_behavior, TG_PASS_WHEN_NO_MATCH);
    assert_int_equal(api->integrations.items[0].content_handling_strategy, TG_CONTENT_UNCHANGED);
    assert_text(api->integrations.items[0].integration_method, "POST");
    assert_int_equal(api->authorizers.items[0].timeout_in_millis, 29000);
    assert_true(api->stages.items[0].default_route_settings.throttling_rate_limit == -1);
    assert_int_equal(api->stages.items[0].default_route_settings.throttling_burst_limit, -1);
    assert_text(api->stages.items[0].access_log_settings.destination_arn, "stdout");
    assert_int_equal(api->stages.items[0].access_log_settings.format.len, 0);
}

static const char *const EVERY_FIELD = GATEWAY
    "apis:\n"
    "- apiId: chat000001\n"
    "  name: chat\n"
    "  protocolType: WEBSOCKET\n"
    "  routeSelectionExpression: $request.body.action\n"
    "  apiKeySelectionExpression: $context.authorizer.usageIdentifierKey\n"
    "  description: d\n"
    "  disableExecuteApiEndpoint: true\n"
    "  disableSchemaValidation: true\n"
    "  ipAddressType: dualstack\n"
    "  tags: {k: v}\n"
    "  version: '1'\n"
    "  apiEndpoint: wss://x\n"
    "  createdDate: 2026-01-01T00:00:00Z\n"
    "  apiGatewayManaged: false\n"
    "  importInfo: []\n"
    "  warnings: []\n"
    "  hosts: [chat.example.com]\n"
    "  settings: {idleTimeoutSeconds: 0.5, messageOrdering: perConnection, slowConsumer: drop, subprotocols: "
    "[v1]}\n"
    "  deployments: [{deploymentId: d1, description: x, deploymentStatus: DEPLOYED}]\n"
    "  integrations:\n"
    "  - integrationId: be\n"
    "    integrationType: HTTP_PROXY\n"
    "    integrationUri: http://${stageVariables.backend}/ws\n"
    "    integrationMethod: PUT\n"
    "    connectionType: VPC_LINK\n"
    "    connectionId: vpc1\n"
    "    contentHandlingStrategy: CONVERT_TO_BINARY\n"
    "    credentialsArn: arn:aws:iam::*:user/*\n"
    "    description: d\n"
    "    passthroughBehavior: NEVER\n"
    "    payloadFormatVersion: 1.0\n"
    "    requestParameters: {integration.request.header.connectionId: context.connectionId}\n"
    "    requestTemplates: {$default: '{\"statusCode\": 200}', other: '#set($x=1)${x}'}\n"
    "    templateSelectionExpression: $request.body.t\n"
    "    timeoutInMillis: 50\n"
    "    tlsConfig: {serverNameToVerify: be.example, caFile: /ca.pem, insecureSkipVerification: true}\n"
    "    integrationResponseSelectionExpression: ${integration.response.statuscode}\n"
    "    apiGatewayManaged: true\n"
    "    integrationResponses:\n"
    "    - integrationResponseKey: /2../\n"
    "      contentHandlingStrategy: CONVERT_TO_TEXT\n"
    "      responseParameters: {a: 'b'}\n"
    "      responseTemplates: {$default: x}\n"
    "      templateSelectionExpression: y\n"
    "      integrationResponseId: r1\n"
    "  authorizers:\n"
    "  - authorizerId: auth\n"
    "    name: auth\n"
    "    authorizerType: REQUEST\n"
    "    identitySource: [route.request.querystring.token]\n"
    "    authorizerUri: http://h/auth\n"
    "    authorizerCredentialsArn: arn:x\n"
    "    identityValidationExpression: .*\n"
    "    timeoutInMillis: 100\n"
    "  routes:\n"
    "  - routeKey: $connect\n"
    "    routeId: r0\n"
    "    target: integrations/be\n"
    "    authorizationType: CUSTOM\n"
    "    authorizerId: auth\n"
    "    apiKeyRequired: false\n"
    "    requestParameters: {route.request.querystring.token: {required: true}, route.request.header.x: {}}\n"
    "    operationName: op\n"
    "    apiGatewayManaged: false\n"
    "  - routeKey: ask\n"
    "    target: integrations/be\n"
    "    authorizationType: NONE\n"
    "    routeResponseSelectionExpression: $default\n"
    "    routeResponses:\n"
    "    - routeResponseKey: $default\n"
    "      routeResponseId: rr\n"
    "      modelSelectionExpression: m\n"
    "      responseModels: {a: b}\n"
    "      responseParameters: {p: {required: false}}\n"
    "  stages:\n"
    "  - stageName: prod\n"
    "    deploymentId: d1\n"
    "    stageVariables: {backend: '127.0.0.1:9000'}\n"
    "    accessLogSettings: {destinationArn: stderr, format: '$context.requestId ${context.x}'}\n"
    "    defaultRouteSettings: {throttlingBurstLimit: 5, throttlingRateLimit: 2.5, detailedMetricsEnabled: "
    "true}\n"
    "    routeSettings: {ask: {throttlingBurstLimit: 0}}\n"
    "    description: d\n"
    "    tags: {k: v}\n"
    "    createdDate: x\n"
    "    lastUpdatedDate: x\n"
    "    lastDeploymentStatusMessage: x\n"
    "    apiGatewayManaged: false\n"
    "  - {stageName: dev_2-x, autoDeploy: true}\n";

static void test_every_field_of_the_model_loads(void **state)
{
    struct fixture *f = *state;
    assert_clean(f, EVERY_FIELD);
    const struct tg_api *api = &f->config.model.apis.items[0];
    assert_int_equal(api->where->line, 3);
    assert_text(api->hosts.items[0], "chat.example.com");
    assert_true(api->disable_execute_api_endpoint && api->disable_schema_validation);
    assert_true(api->settings.idle_timeout_seconds == 0.5);
    assert_int_equal(api->settings.message_ordering, TG_ORDERING_PER_CONNECTION);
    assert_int_equal(api->settings.slow_consumer, TG_SLOW_DROP);
    const struct tg_integration *integration = &api->integrations.items[0];
    assert_int_equal(integration->integration_type, TG_INTEGRATION_HTTP_PROXY);
    assert_text(integration->integration_uri, "http://${stageVariables.backend}/ws");
    assert_int_equal(integration->content_handling_strategy, TG_CONTENT_TO_BINARY);
    assert_int_equal(integration->passthrough_behavior, TG_PASS_NEVER);
    assert_text(integration->payload_format_version, "1.0");
    assert_text(integration->request_parameters.items[0].key, "integration.request.header.connectionId");
    assert_text(integration->request_templates.items[1].value, "#set($x=1)${x}");
    assert_int_equal(integration->timeout_in_millis, 50);
    assert_true(integration->tls_config.insecure_skip_verification);
    assert_int_equal(integration->integration_responses.items[0].content_handling_strategy,
                     TG_CONTENT_TO_TEXT);
    assert_text(api->authorizers.items[0].identity_source.items[0], "route.request.querystring.token");
    const struct tg_route *route = &api->routes.items[0];
    assert_int_equal(route->authorization_type, TG_AUTH_CUSTOM);
    assert_text(route->request_parameters.items[0].name, "route.request.querystring.token");
    assert_true(route->request_parameters.items[0].required);
    assert_false(route->request_parameters.items[1].required);
    assert_text(api->routes.items[1].route_responses.items[0].route_response_key, "$default");
    const struct tg_stage *stage = &api->stages.items[0];
    assert_text(stage->access_log_settings.format, "$context.requestId ${context.x}");
    assert_true(stage->default_route_settings.throttling_rate_limit == 2.5);
    assert_text(stage->route_settings.items[0].route_key, "ask");
    assert_int_equal(stage->route_settings.items[0].throttling_burst_limit, 0);
    assert_true(stage->route_settings.items[0].throttling_rate_limit == -1);
    assert_true(api->stages.items[1].auto_deploy);
}

static void test_gateway_options_are_bound(void **state)
{
    struct fixture *f = *state;
    assert_clean(
        f,
        API("") "admin: {address: 'unix:/tmp/a'}\n"
                "workers: 2\nmaxConnections: 10\nconnectionIdSecret: s\nlog: {level: debug, format: json}\n"
                "region: eu-west-1\naccountId: 012345678901\n"
                "management: {auth: none, errorTypeOn413: true, strictManagementArn: true, "
                "pushTimeoutMillis: 5}\n"
                "throttling: {rateLimit: 0.5}\nbackendTls: {caFile: x}\n"
                "functions: {chat: {endpoint: 'http://127.0.0.1:3002', invokeName: function}}\n"
                "credentials: [{accessKeyId: A, secretAccessKey: B, sessionToken: C, userArn: D, policy: "
                "{Version: x}}]\n");
    const struct tg_config *c = &f->config;
    assert_text(c->admin.address, "unix:/tmp/a");
    assert_int_equal(c->workers, 2);
    assert_int_equal(c->log.format, TG_LOG_JSON);
    assert_text(c->model.account_id, "012345678901");
    assert_int_equal(c->model.management.auth, TG_MANAGEMENT_NONE);
    assert_text(c->model.functions.items[0].name, "chat");
    assert_text(c->model.functions.items[0].invoke_name, "function");
    assert_text(c->model.credentials.items[0].secret_access_key, "B");
    assert_int_equal(c->model.credentials.items[0].policy_node->type, TG_DOC_MAPPING);
}

static void test_listeners_behind_proxies(void **state)
{
    struct fixture *f = *state;
    assert_clean(f,
                 AN_API "listeners:\n"
                        "- {address: ':1', proxyProtocol: any, trustedProxies: [10.0.0.0/8, '2001:db8::1']}\n"
                        "- {address: 'unix:/x', proxyProtocol: v2}\n"
                        "- {address: ':2', proxyProtocol: off}\n"
                        "- {address: ':3'}\n"
                        "- {address: ':4', proxyProtocol: v1, trustedProxies: [0.0.0.0/0]}\n");
    const struct tg_listener_settings *rows = f->config.listeners.items;
    static const enum tg_proxy_protocol expected[] = {TG_PROXY_ANY, TG_PROXY_V2, TG_PROXY_OFF, TG_PROXY_OFF,
                                                      TG_PROXY_V1};
    struct tg_address peer;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(rows[i].proxy_protocol, expected[i]);
    }
    assert_int_equal(tg_address_parse(TG_LIT("[2001:db8::1]:5"), &peer), TG_OK);
    assert_true(tg_networks_hold(&rows[0].trusted, &peer));
    assert_false(tg_networks_hold(&rows[1].trusted, &peer));
    assert_false(tg_networks_hold(&rows[4].trusted, &peer));
}

struct row {
    const char *text, *message;
};

static void assert_rows(struct fixture *f, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_message(f, rows[i].text, true, rows[i].message);
    }
}

#define MOCK  ", integrations: [{integrationId: i, integrationType: MOCK"
#define ROUTE ", routes: [{routeKey: "
#define AUTH                                                                                                 \
    ", authorizers: [{authorizerId: z, name: z, authorizerType: REQUEST, identitySource: [], "               \
    "authorizerUri: u"
#define HTTP_FIELD(path, key)                                                                                \
    "t:3: apis[0]" path key ": cannot be set for WEBSOCKET protocol Apis; it is for HTTP"

static void test_http_fields_are_refused(void **state)
{
    static const struct row rows[] = {
        {API(", corsConfiguration: {}"), HTTP_FIELD(".", "corsConfiguration")},
        {API(", credentialsArn: x"), HTTP_FIELD(".", "credentialsArn")},
        {API(", routeKey: x"), HTTP_FIELD(".", "routeKey")},
        {API(", target: x"), HTTP_FIELD(".", "target")},
        {API(MOCK ", integrationSubtype: x}]"), HTTP_FIELD(".integrations[0].", "integrationSubtype")},
        {API(MOCK ", responseParameters: {}}]"), HTTP_FIELD(".integrations[0].", "responseParameters")},
        {API(MOCK ", payloadFormatVersion: '2.0'}]"), "t:3: apis[0].integrations[0].payloadFormatVersion: "
                                                      "2.0 is for protocolType HTTP only, not for WEBSOCKET"},
        {API(ROUTE "a, authorizationScopes: [x]}]"), HTTP_FIELD(".routes[0].", "authorizationScopes")},
        {API(ROUTE "$connect, authorizationType: JWT}]"),
         "t:3: apis[0].routes[0].authorizationType: JWT is for protocolType HTTP only, not for WEBSOCKET"},
        {API(AUTH ", authorizerPayloadFormatVersion: '2.0'}]"),
         HTTP_FIELD(".authorizers[0].", "authorizerPayloadFormatVersion")},
        {API(AUTH ", authorizerResultTtlInSeconds: 3}]"),
         HTTP_FIELD(".authorizers[0].", "authorizerResultTtlInSeconds")},
        {API(AUTH ", enableSimpleResponses: true}]"),
         HTTP_FIELD(".authorizers[0].", "enableSimpleResponses")},
        {API(AUTH ", jwtConfiguration: {}}]"), HTTP_FIELD(".authorizers[0].", "jwtConfiguration")},
        {API(", authorizers: [{authorizerId: z, name: z, authorizerType: JWT, identitySource: []}]"),
         "t:3: apis[0].authorizers[0].authorizerType: JWT is for protocolType HTTP only, not for WEBSOCKET"}};
    assert_rows(*state, rows, sizeof rows / sizeof rows[0]);
}

static void test_enumerations_list_what_is_allowed(void **state)
{
    static const struct row rows[] = {
        {GATEWAY "apis: [{apiId: a, name: a, protocolType: websocket}]\n",
         "t:2: apis[0].protocolType: unknown value \"websocket\"; expected one of: WEBSOCKET, HTTP"},
        {API(", integrations: [{integrationId: i, integrationType: LAMBDA}]"),
         "t:3: apis[0].integrations[0].integrationType: unknown value \"LAMBDA\"; expected one of: AWS, "
         "AWS_PROXY, HTTP, "
         "HTTP_PROXY, MOCK"},
        {API(MOCK ", connectionType: VPN}]"), "t:3: apis[0].integrations[0].connectionType: unknown value "
                                              "\"VPN\"; expected one of: INTERNET, VPC_LINK"},
        {API(MOCK ", passthroughBehavior: ALWAYS}]"),
         "t:3: apis[0].integrations[0].passthroughBehavior: unknown value \"ALWAYS\"; expected one of: "
         "WHEN_NO_MATCH, "
         "WHEN_NO_TEMPLATES, NEVER"},
        {API(MOCK ", contentHandlingStrategy: X}]"),
         "t:3: apis[0].integrations[0].contentHandlingStrategy: unknown value \"X\"; expected one of: "
         "CONVERT_TO_BINARY, "
         "CONVERT_TO_TEXT"},
        {API(ROUTE "a, authorizationType: X}]"), "t:3: apis[0].routes[0].authorizationType: unknown value "
                                                 "\"X\"; expected one of: NONE, AWS_IAM, CUSTOM"},
        {API(AUTH "}, {authorizerId: y, name: y, authorizerType: TOKEN, identitySource: []}]"),
         "t:3: apis[0].authorizers[1].authorizerType: unknown value \"TOKEN\"; expected one of: REQUEST"},
        {API("") "management: {auth: token}\n",
         "t:4: management.auth: unknown value \"token\"; expected one of: sigv4, none"}};
    assert_rows(*state, rows, sizeof rows / sizeof rows[0]);
}

static void test_missing_keys(void **state)
{
    static const struct row rows[] = {
        {"apis: [{apiId: a, name: a, protocolType: WEBSOCKET, routeSelectionExpression: x}]\n",
         "t:1: the key listeners is missing"},
        {GATEWAY, "t:1: the key apis is missing"},
        {GATEWAY "apis: []\n", "t:2: apis: at least one is needed"},
        {GATEWAY "apis: [{name: a, protocolType: WEBSOCKET, routeSelectionExpression: x}]\n",
         "t:2: apis[0]: the key apiId is missing"},
        {GATEWAY "apis: [{apiId: a, name: a, protocolType: WEBSOCKET}]\n",
         "t:2: apis[0]: the key routeSelectionExpression is missing; protocolType WEBSOCKET needs it"},
        {GATEWAY "apis: [{apiId: a, name: a}]\n", "t:2: apis[0]: the key protocolType is missing"},
        {API(", integrations: [{integrationId: i}]"),
         "t:3: apis[0].integrations[0]: the key integrationType is missing"},
        {API(", integrations: [{integrationId: i, integrationType: HTTP_PROXY}]"),
         "t:3: apis[0].integrations[0]: the key integrationUri is missing"},
        {API(MOCK ", integrationResponses: [{}]}]"),
         "t:3: apis[0].integrations[0].integrationResponses[0]: the key integrationResponseKey is missing"},
        {API(", routes: [{target: x}]"), "t:3: apis[0].routes[0]: the key routeKey is missing"},
        {API(ROUTE "$connect, authorizationType: CUSTOM}]"),
         "t:3: apis[0].routes[0]: the key authorizerId is missing; authorizationType CUSTOM needs it"},
        {API(", authorizers: [{authorizerId: z, name: z, authorizerType: REQUEST, authorizerUri: u}]"),
         "t:3: apis[0].authorizers[0]: the key identitySource is missing"},
        {API(", authorizers: [{authorizerId: z, name: z, authorizerType: REQUEST, identitySource: []}]"),
         "t:3: apis[0].authorizers[0]: the key authorizerUri is missing"},
        {API(", stages: [{description: x}]"), "t:3: apis[0].stages[0]: the key stageName is missing"},
        {API("") "credentials: [{accessKeyId: A}]\n",
         "t:4: credentials[0]: the key secretAccessKey or secretAccessKeyFile is missing"},
        {API("") "functions: {f: {}}\n", "t:4: functions.f: the key endpoint is missing"}};
    assert_rows(*state, rows, sizeof rows / sizeof rows[0]);
}

static void test_values_that_do_not_go(void **state)
{
    static const struct row rows[] = {
        {API(ROUTE "ask, authorizationType: AWS_IAM}]"),
         "t:3: apis[0].routes[0].authorizationType: only $connect can be authorised; messages are not asked "
         "about again"},
        {API(ROUTE "ask, apiKeyRequired: true}]"),
         "t:3: apis[0].routes[0].apiKeyRequired: only $connect can demand an API key"},
        {API(ROUTE "$connect, apiKeyRequired: true}]"),
         "t:3: apis[0].routes[0].apiKeyRequired: API keys are not there in this version"},
        {API(ROUTE "$connect, authorizerId: z}]"),
         "t:3: apis[0].routes[0].authorizerId: needs authorizationType CUSTOM"},
        {API(ROUTE "$custom}]"), "t:3: apis[0].routes[0].routeKey: \"$custom\": only $connect, $disconnect "
                                 "and $default begin with $"},
        {API(ROUTE "a, routeResponseSelectionExpression: x}]"),
         "t:3: apis[0].routes[0].routeResponseSelectionExpression: expected $default"},
        {API(ROUTE "a, routeResponses: [{routeResponseKey: x}]}]"),
         "t:3: apis[0].routes[0].routeResponses[0].routeResponseKey: expected $default"},
        {API(MOCK ", integrationResponses: [{integrationResponseKey: '200'}]}]"),
         "t:3: apis[0].integrations[0].integrationResponses[0].integrationResponseKey: expected $default or "
         "/regex/"},
        {API(MOCK ", integrationMethod: ANY}]"),
         "t:3: apis[0].integrations[0].integrationMethod: ANY cannot be set for WEBSOCKET protocol Apis"},
        {API(MOCK ", integrationMethod: 'GET X'}]"),
         "t:3: apis[0].integrations[0].integrationMethod: is no HTTP method"},
        {API(MOCK ", timeoutInMillis: 49}]"),
         "t:3: apis[0].integrations[0].timeoutInMillis: must be at least 50"},
        {API(MOCK ", timeoutInMillis: 29001}]"), "t:3: apis[0].integrations[0].timeoutInMillis: must be 50 "
                                                 "to 29000; settings.maxIntegrationTimeoutMillis of the API "
                                                 "can raise that"},
        {API(AUTH ", timeoutInMillis: 30000}]"), "t:3: apis[0].authorizers[0].timeoutInMillis: must be 50 to "
                                                 "29000; settings.maxIntegrationTimeoutMillis of the API "
                                                 "can raise that"},
        {API(", apiKeySelectionExpression: $request.header.key"),
         "t:3: apis[0].apiKeySelectionExpression: expected $request.header.x-api-key or "
         "$context.authorizer.usageIdentifierKey"},
        {API(", stages: [{stageName: a/b}]"),
         "t:3: apis[0].stages[0].stageName: expected letters, digits, - and _"},
        {API(", stages: [{stageName: a, autoDeploy: true, deploymentId: d}]"),
         "t:3: apis[0].stages[0].deploymentId: cannot be set together with autoDeploy"},
        {API(", stages: [{stageName: a, stageVariables: {a-b: x}}]"),
         "t:3: apis[0].stages[0].stageVariables.a-b: expected a name of up to 64 letters, digits and _"},
        {API(", settings: {maxFrameBytes: 200000}"),
         "t:3: apis[0].settings.maxFrameBytes: must not exceed maxMessageBytes, which is 131072"},
        {API(", routs: []"), "t:3: apis[0].routs: unknown key; did you mean routes?"},
        {GATEWAY "apis: [{apiId: a.b, name: a, protocolType: WEBSOCKET, routeSelectionExpression: x}]\n",
         "t:2: apis[0].apiId: expected letters, digits, - and _"},
        {GATEWAY "apis: [{apiId: a, name: a, protocolType: HTTP, routeSelectionExpression: x}]\n",
         "t:2: apis[0].routeSelectionExpression: is ${request.method} ${request.path} for HTTP protocol "
         "Apis; leave "
         "it out"},
        {HTTP_API("routes: [{routeKey: GET /a, authorizationType: JWT}]"),
         "t:2: apis[0].routes[0].authorizationType: only NONE and AWS_IAM are there for HTTP APIs in this "
         "version"},
        {HTTP_API("routes: [{routeKey: GET /a, apiKeyRequired: true}]"),
         "t:2: apis[0].routes[0].apiKeyRequired: API keys are not there in this version"},
        {HTTP_API("integrations: [{integrationId: s, integrationType: STATIC}]"),
         "t:2: apis[0].integrations[0]: the key static is missing; integrationType STATIC needs it"},
        {HTTP_API("integrations: [{integrationId: s, integrationType: HTTP_PROXY}]"),
         "t:2: apis[0].integrations[0]: the key integrationUri is missing"},
        {HTTP_API("integrations: [{integrationId: s, integrationType: MOCK, timeoutInMillis: 30001}]"),
         "t:2: apis[0].integrations[0].timeoutInMillis: must be 50 to 30000; "
         "settings.maxIntegrationTimeoutMillis of the API can raise that"},
        {API(", hosts: [\"\"]"), "t:3: apis[0].hosts[0]: must be 1 to 253 characters long"},
        {API("") "connectionIdSecret: ''\n", "t:4: connectionIdSecret: must not be empty"},
        {API("") "accountId: 1\n", "t:4: accountId: must be 12 characters long"},
        {API("") "registry: {type: redis}\n", "t:4: registry: the key url is missing; type redis needs it"},
        {API("") "registry: {type: redis, url: 'redis://u@h'}\n",
         "t:4: registry.url: before the @ stands user:password, or :password for the default user"},
        {API("") "registry: {type: redis, url: 'redis://h', sentinelPassword: x}\n",
         "t:4: registry.sentinelPassword: has no effect without a redis+sentinel:// URL"},
        {API("") "registry: {type: redis, url: 'redis+sentinel://h/main', sentinelUser: x}\n",
         "t:4: registry.sentinelUser: needs a sentinelPassword"},
        {API("") "registry: {type: redis, url: 'redis://h', tlsConfig: {caFile: x}}\n",
         "t:4: registry.tlsConfig: has no effect without a rediss:// URL"},
        {API("") "registry: {type: redis, url: 'rediss://h', tlsConfig: {caFile: none.pem}}\n",
         "t:4: registry.tlsConfig.caFile: \"none.pem\" cannot be used: TLS failure; it must hold PEM "
         "certificates"},
        {API("") "registry: {type: redis, url: 'redis+sentinel://a,b:0/main'}\n",
         "t:4: registry.url: server 2 of the list: the port behind the colon is a number from 1 to 65535"},
        {API("") "drain: {graceSeconds: 30}\n",
         "t:4: drain.graceSeconds: must be less than deadlineSeconds, which is 30"},
        {API("") "drain: {closeCode: 1006}\n",
         "t:4: drain.closeCode: expected 1000 to 1003, 1007 to 1014 or 3000 to 4999"},
        {API("") "drain: {closeCode: 1015}\n",
         "t:4: drain.closeCode: expected 1000 to 1003, 1007 to 1014 or 3000 to 4999"},
        {API("") "drain: {jitter: 1.5}\n", "t:4: drain.jitter: must be 0 to 1"},
        {API("") "drain: {}\nshutdown: {}\n", "t:5: shutdown: is the former name of drain; leave it out"},
        {API("") "registry: {cluster: 'a{b}'}\n",
         "t:4: registry.cluster: expected letters, digits, -, _ and ."},
        {API("") "registry: {leaseSeconds: 0.01}\n", "t:4: registry.leaseSeconds: must be at least 0.1"},
        {API("") "registry: {reconnectMinMillis: 50, reconnectMaxMillis: 10}\n",
         "t:4: registry.reconnectMinMillis: must not exceed reconnectMaxMillis"},
        {API("") "accountId: 12345678901x\n", "t:4: accountId: expected twelve digits"},
        {API("") "admin: {address: '127.0.0.1:8080'}\n",
         "t:1: listeners[0].address: is that of admin as well"},
        {AN_API "listeners: [{address: ':1', proxyProtocol: v2}]\n",
         "t:3: listeners[0].trustedProxies: is missing: with proxyProtocol, who connects says what the "
         "client's address is; list your load balancers"},
        {AN_API "listeners: [{address: ':1', trustedProxies: [10.0.0.0/8]}]\n",
         "t:3: listeners[0].trustedProxies: has no effect without proxyProtocol"},
        {AN_API "listeners: [{address: 'unix:/x', proxyProtocol: any, trustedProxies: [10.0.0.0/8]}]\n",
         "t:3: listeners[0].trustedProxies: peers of a unix socket have no address: unixMode says who may "
         "connect"},
        {AN_API "listeners: [{address: ':1', proxyProtocol: v1, trustedProxies: ['::1', 10.0.0.0/33]}]\n",
         "t:3: listeners[0].trustedProxies[1]: \"10.0.0.0/33\": expected an address or a range as 10.0.0.0/8 "
         "or 2001:db8::/32"},
        {AN_API "listeners: [{address: ':1', proxyProtocol: yes, trustedProxies: ['::1']}]\n",
         "t:3: listeners[0].proxyProtocol: unknown value \"yes\"; expected one of: off, v1, v2, any"},
        {API("") "admin: {address: 'localhost:1'}\n",
         "t:4: admin.address: expected 127.0.0.1:8080, [::1]:8080, :8080 or unix:/path; names are not "
         "resolved"}};
    assert_rows(*state, rows, sizeof rows / sizeof rows[0]);
}

static void test_a_lower_limit_lowers_the_default_timeout(void **state)
{
    struct fixture *f = *state;
    assert_clean(f, API(", settings: {maxIntegrationTimeoutMillis: 1000}" MOCK "}]"));
    assert_int_equal(f->config.model.apis.items[0].integrations.items[0].timeout_in_millis, 1000);
    assert_clean(f,
                 API(", settings: {maxIntegrationTimeoutMillis: 60000}" MOCK ", timeoutInMillis: 60000}]"));
}

static void test_unsigned_management_stays_local(void **state)
{
    struct fixture *f = *state;
#define PUBLIC                                                                                               \
    "listeners: [{address: '127.0.0.1:1'}, {address: ':8080'}]\n"                                            \
    "apis: [{apiId: a, name: a, protocolType: WEBSOCKET, routeSelectionExpression: x}]\n"
    assert_message(f, PUBLIC "management: {auth: none}\n", true,
                   "t:3: management.auth: none lets anyone who reaches :8080 write to every connection; use "
                   "sigv4, listen "
                   "on a local address, or set management.allowPublicWithoutAuth");
    assert_clean(f, PUBLIC "management: {auth: none, allowPublicWithoutAuth: true}\n");
    assert_clean(f, API("") "management: {auth: none}\n");
}

static void test_warnings(void **state)
{
    struct fixture *f = *state;
    assert_message(f, API(ROUTE "a, routeResponseSelectionExpression: $default}]"), false,
                   "t:3: apis[0].routes[0].routeResponseSelectionExpression: the route is two-way here, but "
                   "on the native "
                   "service not without a routeResponses entry with routeResponseKey $default");
    assert_message(f, API(", models: [{name: m, schema: '{}', modelId: x}]"), false,
                   "t:3: apis[0].models: has no effect in this version");
    assert_message(f, API(ROUTE "a, requestModels: {x: m}}]"), false,
                   "t:3: apis[0].routes[0].requestModels: has no effect in this version");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_field_of_the_model_loads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gateway_options_are_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_fields_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_enumerations_list_what_is_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values_that_do_not_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listeners_behind_proxies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lower_limit_lowers_the_default_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unsigned_management_stays_local, setup, teardown),
        cmocka_unit_test_setup_teardown(test_warnings, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
