/* The apigatewayv2 resource model (spec websocket-api.md section 9) as option tables: every field of it is
 * known, those without a meaning here included, so that imported definitions load. */
#include "server/app/schema.h"

/* One row an option reads best as it is laid out here. */
/* clang-format off */
#define AT(type, member) .offset = offsetof(struct type, member)
#define SCHEMA(type, rows_) .size = sizeof(struct type), .rows = rows_, .row_count = TG_OPTION_COUNT(rows_)
#define NO_LIMIT INT64_MAX
#define REQUIRED TG_OPTION_REQUIRED
/* Outputs of the model; fields that never matter here; fields that will, but do not yet. */
#define READ_ONLY (TG_OPTION_READ_ONLY | TG_OPTION_DISCARD)
#define IGNORED   (TG_OPTION_UNUSED | TG_OPTION_DISCARD)
#define LATER     (TG_OPTION_NOT_YET | TG_OPTION_DISCARD)
#define HTTP_ONLY .scope = "HTTP"

static const struct tg_option_name content_handlings[] = {
    {.name = "CONVERT_TO_BINARY", .value = TG_CONTENT_TO_BINARY}, {.name = "CONVERT_TO_TEXT", .value = TG_CONTENT_TO_TEXT}, {0}};

/* ---- integrations (9.4, 9.5) ---- */
static const struct tg_option integration_response_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_integration_response, where)},
    {"integrationResponseKey", TG_OPTION_STRING, REQUIRED, AT(tg_integration_response, integration_response_key), .min = 1,
     .help = "`$default`, or `/regex/` for the back end's status or error message."},
    {"contentHandlingStrategy", TG_OPTION_ENUM, AT(tg_integration_response, content_handling_strategy), .names = content_handlings,
     .help = "Base64 to binary or the other way round."},
    {"responseParameters", TG_OPTION_STRING_MAP, AT(tg_integration_response, response_parameters), .min = 1, .max = 512,
     .help = "Response headers by mapping expressions."},
    {"responseTemplates", TG_OPTION_STRING_MAP, TG_OPTION_VERBATIM, AT(tg_integration_response, response_templates), .max = 32768,
     .help = "Templates by key; in an HTTP API a key with a slash in it is the answer's `Content-Type`, else that is text."},
    {"templateSelectionExpression", TG_OPTION_STRING, AT(tg_integration_response, template_selection_expression),
     .help = "Chooses the template."},
    {"integrationResponseId", TG_OPTION_STRING, AT(tg_integration_response, integration_response_id), .help = "Its name; informative."},
};
static const struct tg_schema integration_response_schema = {
    .name = "integrationResponses", SCHEMA(tg_integration_response, integration_response_rows), .check = tg_check_integration_response,
    .help = "What becomes of a back end's answer; for non-proxy integrations."};

static const struct tg_option static_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_static_settings, where)},
    {"directory", TG_OPTION_STRING, REQUIRED, AT(tg_static_settings, root), .min = 1, .max = 4096,
     .help = "What is served; nothing outside of it is."},
    {"indexDocument", TG_OPTION_STRING, AT(tg_static_settings, index_document), .fallback = "index.html", .min = 1, .max = 255,
     .help = "Of a directory."},
    {"fallbackDocument", TG_OPTION_STRING, AT(tg_static_settings, fallback), .max = 1024,
     .help = "File that answers for what does not exist: a page of errors, or the one page of an application that routes in the browser."},
    {"fallbackStatus", TG_OPTION_INT, AT(tg_static_settings, fallback_status), .fallback = "200", .min = 200, .max = 599,
     .help = "With that file: 200, or 400 to 599."},
    {"cacheControl", TG_OPTION_STRING, AT(tg_static_settings, cache_control), .max = 256, .help = "`Cache-Control` of files."},
    {"mediaTypes", TG_OPTION_STRING_MAP, AT(tg_static_settings, types), .min = 1, .max = 256,
     .help = "Types by file name extension, besides the usual ones."},
    {"dotFiles", TG_OPTION_BOOL, AT(tg_static_settings, dot_files), .help = "Whether names that begin with a dot are served."},
    {"precompressed", TG_OPTION_BOOL, AT(tg_static_settings, precompressed),
     .help = "Serves `NAME.br` and `NAME.gz` in place of `NAME` to clients that accept them."},
    {"sharedEtags", TG_OPTION_BOOL, AT(tg_static_settings, shared_etags),
     .help = "ETags by time and size alone, for several machines that serve copies."},
    {"allowSniffing", TG_OPTION_BOOL, AT(tg_static_settings, allow_sniffing), .help = "Leaves `X-Content-Type-Options: nosniff` out."},
};
static const struct tg_schema static_schema = {
    .name = "static", SCHEMA(tg_static_settings, static_rows), .help = "A directory of files, of `STATIC` integrations."};

static const struct tg_option_name integration_types[] = {
    {.name = "AWS", .value = TG_INTEGRATION_AWS}, {.name = "AWS_PROXY", .value = TG_INTEGRATION_AWS_PROXY},
    {.name = "HTTP", .value = TG_INTEGRATION_HTTP}, {.name = "HTTP_PROXY", .value = TG_INTEGRATION_HTTP_PROXY},
    {.name = "MOCK", .value = TG_INTEGRATION_MOCK}, {.name = "STATIC", .value = TG_INTEGRATION_STATIC, .scope = "HTTP"}, {0}};
static const struct tg_option_name connection_types[] = {{.name = "INTERNET"}, {.name = "VPC_LINK"}, {0}};
static const struct tg_option_name passthroughs[] = {
    {.name = "WHEN_NO_MATCH", .value = TG_PASS_WHEN_NO_MATCH}, {.name = "WHEN_NO_TEMPLATES", .value = TG_PASS_WHEN_NO_TEMPLATES},
    {.name = "NEVER", .value = TG_PASS_NEVER}, {0}};
static const struct tg_option_name payload_versions[] = {{.name = "1.0"}, {.name = "2.0", .scope = "HTTP"}, {0}};
static const struct tg_option integration_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_integration, where)},
    {"integrationId", TG_OPTION_STRING, REQUIRED, AT(tg_integration, integration_id), .min = 1, .max = 64,
     .help = "Its name, for the `target` of routes."},
    {"integrationType", TG_OPTION_ENUM, REQUIRED, AT(tg_integration, integration_type), .names = integration_types,
     .help = "Kind of back end. This version serves `AWS_PROXY`, `HTTP_PROXY`, `MOCK` and, beyond the model, `STATIC`: files."},
    {"integrationUri", TG_OPTION_STRING, AT(tg_integration, integration_uri), .min = 1, .max = 2048,
     .help = "A URL, or for `AWS_PROXY` `arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function ARN}/invocations`; "
             "may hold `${stageVariables.name}`, in an HTTP API the route's `{parameters}` too. Required unless `MOCK` or `STATIC`."},
    {"integrationMethod", TG_OPTION_STRING, AT(tg_integration, integration_method), .fallback = "POST", .min = 1, .max = 64,
     .help = "HTTP method of the call; in an HTTP API `ANY`, the default there: the client's."},
    {"connectionType", TG_OPTION_STRING, AT(tg_integration, connection_type), .fallback = "INTERNET", .names = connection_types,
     .help = "`VPC_LINK`: the call goes to a target of the link that `connectionId` names. In a WebSocket API it makes no difference: the URL is called as it is."},
    {"connectionId", TG_OPTION_STRING, AT(tg_integration, connection_id), .min = 1, .max = 1024,
     .help = "The `vpcLinkId` of a VPC link."},
    {"contentHandlingStrategy", TG_OPTION_ENUM, AT(tg_integration, content_handling_strategy), .names = content_handlings,
     .help = "`CONVERT_TO_BINARY` decodes a base64 message before the back end sees it."},
    {"credentialsArn", TG_OPTION_STRING, TG_OPTION_UNUSED, AT(tg_integration, credentials_arn), .help = "Role for the call."},
    {"description", TG_OPTION_STRING, AT(tg_integration, description), .max = 1024, .help = "Any text."},
    {"passthroughBehavior", TG_OPTION_ENUM, AT(tg_integration, passthrough_behavior), .fallback = "WHEN_NO_MATCH", .names = passthroughs,
     .help = "What becomes of a message for which there is no template; for non-proxy integrations."},
    {"payloadFormatVersion", TG_OPTION_STRING, AT(tg_integration, payload_format_version), .fallback = "1.0", .names = payload_versions,
     .help = "Of the event that a function receives; in an HTTP API 2.0, unless given."},
    {"requestParameters", TG_OPTION_STRING_MAP, AT(tg_integration, request_parameters), .max = 512,
     .help = "`integration.request.{header,querystring,path}.{name}` by mapping expressions; in an HTTP API "
             "`{append,overwrite,remove}:{header,querystring}.{name}` and `overwrite:path`."},
    {"requestTemplates", TG_OPTION_STRING_MAP, TG_OPTION_VERBATIM, AT(tg_integration, request_templates), .max = 32768,
     .help = "Templates by key; for `MOCK`, the one that chooses the status."},
    {"templateSelectionExpression", TG_OPTION_STRING, AT(tg_integration, template_selection_expression), .help = "Chooses the template."},
    {"timeoutInMillis", TG_OPTION_INT, AT(tg_integration, timeout_in_millis), .fallback = "29000", .min = 50, .max = NO_LIMIT,
     .help = "For the whole call, in an HTTP API until the head of the answer (30000); at most `settings.maxIntegrationTimeoutMillis`."},
    {"tlsConfig", TG_OPTION_STRUCT, AT(tg_integration, tls_config), .schema = &tg_schema_tls, .help = "For `https` back ends."},
    {"integrationResponses", TG_OPTION_STRUCTS, AT(tg_integration, integration_responses), .schema = &integration_response_schema,
     .help = "What becomes of answers."},
    {"integrationSubtype", TG_OPTION_STRING, AT(tg_integration, integration_subtype), HTTP_ONLY,
     .help = "A first-class service integration: not served by this version."},
    {"responseParameters", TG_OPTION_NODE, AT(tg_integration, response_parameters_node), HTTP_ONLY,
     .help = "Response mappings by the integration's status: `{\"200\": {\"overwrite:header.name\": value}}`."},
    {"websocket", TG_OPTION_BOOL, AT(tg_integration, websocket), HTTP_ONLY,
     .help = "With `HTTP_PROXY`: WebSocket upgrades of clients go through to the back end as they are. Beyond the model."},
    {"static", TG_OPTION_STRUCT, AT(tg_integration, files), HTTP_ONLY, .schema = &static_schema,
     .help = "With `STATIC`: the directory. Beyond the model."},
    {"integrationResponseSelectionExpression", TG_OPTION_STRING, READ_ONLY, .help = "How integration responses are chosen."},
    {"apiGatewayManaged", TG_OPTION_BOOL, READ_ONLY, .help = "Made by a quick create."},
};
static const struct tg_schema integration_schema = {
    .name = "integrations", SCHEMA(tg_integration, integration_rows), .check = tg_check_integration, .help = "The back ends of an API."};

/* ---- authorisers (9.6) ---- */
static const struct tg_option_name authorizer_types[] = {{.name = "REQUEST"}, {.name = "JWT", .scope = "HTTP"}, {0}};
static const struct tg_option authorizer_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_authorizer, where)},
    {"authorizerId", TG_OPTION_STRING, REQUIRED, AT(tg_authorizer, authorizer_id), .min = 1, .max = 64,
     .help = "Its name, for the `authorizerId` of routes."},
    {"name", TG_OPTION_STRING, REQUIRED, AT(tg_authorizer, name), .min = 1, .max = 128, .help = "Its title."},
    {"authorizerType", TG_OPTION_STRING, REQUIRED, AT(tg_authorizer, authorizer_type), .names = authorizer_types, .help = "Kind."},
    {"identitySource", TG_OPTION_STRINGS, REQUIRED, AT(tg_authorizer, identity_source), .min = 1,
     .help = "What a client must bring: `route.request.header.NAME`, `route.request.querystring.NAME`, `context.NAME`, "
             "`stageVariables.NAME`. An empty list: nothing."},
    {"authorizerUri", TG_OPTION_STRING, AT(tg_authorizer, authorizer_uri), .min = 1, .max = 2048,
     .help = "A function, written as `integrationUri`; beyond the model, a URL that takes the same event by POST."},
    {"authorizerCredentialsArn", TG_OPTION_STRING, TG_OPTION_UNUSED, AT(tg_authorizer, authorizer_credentials_arn), .help = "Role for the call."},
    {"identityValidationExpression", TG_OPTION_STRING, TG_OPTION_UNUSED, AT(tg_authorizer, identity_validation_expression), .max = 1024,
     .help = "A regular expression."},
    {"tlsConfig", TG_OPTION_STRUCT, AT(tg_authorizer, tls_config), .schema = &tg_schema_tls, .help = "For an `https` URL. Beyond the model."},
    {"timeoutInMillis", TG_OPTION_INT, AT(tg_authorizer, timeout_in_millis), .fallback = "29000", .min = 50, .max = NO_LIMIT,
     .help = "For the whole call; at most `settings.maxIntegrationTimeoutMillis`. Beyond the model."},
    {"authorizerPayloadFormatVersion", TG_OPTION_STRING, IGNORED, HTTP_ONLY, .help = "Of the event."},
    {"authorizerResultTtlInSeconds", TG_OPTION_INT, IGNORED, .max = 3600, HTTP_ONLY, .help = "How long results are kept."},
    {"enableSimpleResponses", TG_OPTION_BOOL, IGNORED, HTTP_ONLY, .help = "Results without a policy."},
    {"jwtConfiguration", TG_OPTION_NODE, IGNORED, HTTP_ONLY, .help = "`audience` and `issuer`."},
};
static const struct tg_schema authorizer_schema = {
    .name = "authorizers", SCHEMA(tg_authorizer, authorizer_rows), .check = tg_check_authorizer,
    .help = "Who decides on `$connect`. Results are never kept."};

/* ---- routes (9.2, 9.3) ---- */
static const struct tg_option parameter_rows[] = {
    {.type = TG_OPTION_KEY, AT(tg_route_parameter, name)},
    {"required", TG_OPTION_BOOL, AT(tg_route_parameter, required), .help = "Whether a request without it is refused."},
};
static const struct tg_schema parameter_schema = {
    .name = "requestParameters", SCHEMA(tg_route_parameter, parameter_rows), .help = "Parameters by name, `route.request.querystring.token`."};

static const struct tg_option route_response_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_route_response, where)},
    {"routeResponseKey", TG_OPTION_STRING, REQUIRED, AT(tg_route_response, route_response_key), .min = 1, .help = "`$default`."},
    {"routeResponseId", TG_OPTION_STRING, AT(tg_route_response, route_response_id), .help = "Its name; informative."},
    {"modelSelectionExpression", TG_OPTION_STRING, TG_OPTION_UNUSED, AT(tg_route_response, model_selection_expression), .help = "Chooses the model."},
    {"responseModels", TG_OPTION_STRING_MAP, TG_OPTION_UNUSED, AT(tg_route_response, response_models), .min = 1, .max = 128, .help = "Models by key."},
    {"responseParameters", TG_OPTION_STRUCT_MAP, TG_OPTION_UNUSED, AT(tg_route_response, response_parameters), .schema = &parameter_schema,
     .help = "Parameters by name."},
};
static const struct tg_schema route_response_schema = {
    .name = "routeResponses", SCHEMA(tg_route_response, route_response_rows), .check = tg_check_route_response,
    .help = "One of these makes a route two-way: the back end's answer goes to the client."};

static const struct tg_option_name authorization_types[] = {
    {.name = "NONE", .value = TG_AUTH_NONE}, {.name = "AWS_IAM", .value = TG_AUTH_AWS_IAM},
    {.name = "CUSTOM", .value = TG_AUTH_CUSTOM}, {.name = "JWT", .value = TG_AUTH_JWT, .scope = "HTTP"}, {0}};
static const struct tg_option route_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_route, where)},
    {"routeKey", TG_OPTION_STRING, REQUIRED, AT(tg_route, route_key), .min = 1,
     .help = "`$connect`, `$disconnect`, `$default`, or what the route selection expression yields."},
    {"target", TG_OPTION_STRING, AT(tg_route, target), .min = 1, .max = 128, .help = "`integrations/{integrationId}`."},
    {"authorizationType", TG_OPTION_ENUM, AT(tg_route, authorization_type), .fallback = "NONE", .names = authorization_types,
     .help = "Other than `NONE` on `$connect` only."},
    {"authorizerId", TG_OPTION_STRING, AT(tg_route, authorizer_id), .min = 1, .max = 64, .help = "With `CUSTOM`."},
    {"apiKeyRequired", TG_OPTION_BOOL, AT(tg_route, api_key_required), .help = "API keys are not there yet: `true` is refused."},
    {"authorizationScopes", TG_OPTION_STRINGS, AT(tg_route, authorization_scopes), HTTP_ONLY, .help = "Of a token."},
    {"modelSelectionExpression", TG_OPTION_STRING, TG_OPTION_NOT_YET, AT(tg_route, model_selection_expression), .help = "Chooses the model."},
    {"requestModels", TG_OPTION_STRING_MAP, TG_OPTION_NOT_YET, AT(tg_route, request_models), .min = 1, .max = 128, .help = "Models by key."},
    {"requestParameters", TG_OPTION_STRUCT_MAP, AT(tg_route, request_parameters), .schema = &parameter_schema,
     .help = "Query and header parameters of `$connect`."},
    {"routeResponseSelectionExpression", TG_OPTION_STRING, AT(tg_route, route_response_selection_expression), .help = "`$default`: two-way."},
    {"routeResponses", TG_OPTION_STRUCTS, AT(tg_route, route_responses), .schema = &route_response_schema, .help = "Two-way."},
    {"operationName", TG_OPTION_STRING, AT(tg_route, operation_name), .min = 1, .max = 64, .help = "Any text."},
    {"routeId", TG_OPTION_STRING, AT(tg_route, route_id), .help = "Its name; informative."},
    {"apiGatewayManaged", TG_OPTION_BOOL, READ_ONLY, .help = "Made by a quick create."},
};
static const struct tg_schema route_schema = {
    .name = "routes", SCHEMA(tg_route, route_rows), .check = tg_check_route, .help = "What reaches which integration."};

/* ---- stages (9.8) ---- */
static const struct tg_option_name logging_levels[] = {
    {.name = "OFF", .value = TG_LOGGING_OFF}, {.name = "ERROR", .value = TG_LOGGING_ERROR}, {.name = "INFO", .value = TG_LOGGING_INFO}, {0}};
static const struct tg_option route_settings_rows[] = {
    {.type = TG_OPTION_KEY, AT(tg_route_settings, route_key)},
    {"dataTraceEnabled", TG_OPTION_BOOL, TG_OPTION_NOT_YET, AT(tg_route_settings, data_trace_enabled), .help = "Logs bodies."},
    {"detailedMetricsEnabled", TG_OPTION_BOOL, TG_OPTION_UNUSED, AT(tg_route_settings, detailed_metrics_enabled),
     .help = "Metrics by route are always there."},
    {"loggingLevel", TG_OPTION_ENUM, TG_OPTION_NOT_YET, AT(tg_route_settings, logging_level), .fallback = "OFF", .names = logging_levels,
     .help = "Of the execution log."},
    {"throttlingBurstLimit", TG_OPTION_INT, AT(tg_route_settings, throttling_burst_limit), .fallback = "-1", .min = 0, .max = NO_LIMIT,
     .help = "Requests at once; -1, as not given: no limit of its own."},
    {"throttlingRateLimit", TG_OPTION_DOUBLE, AT(tg_route_settings, throttling_rate_limit), .fallback = "-1", .min = 0, .max = NO_LIMIT,
     .help = "Requests a second; -1, as not given: no limit of its own. 0 blocks."},
};
static const struct tg_schema route_settings_schema = {
    .name = "routeSettings", SCHEMA(tg_route_settings, route_settings_rows),
    .help = "Settings of a stage, of all its routes or by route key."};

static const struct tg_option access_log_rows[] = {
    {"destinationArn", TG_OPTION_STRING, AT(tg_access_log_settings, destination_arn), .fallback = "stdout", .min = 1,
     .help = "`stdout`, `stderr`, `file:/path`; an ARN is accepted and goes to `stdout`."},
    {"format", TG_OPTION_STRING, TG_OPTION_VERBATIM, AT(tg_access_log_settings, format), .min = 1, .max = 3072,
     .help = "A line with `$context.` variables; none: no access log."},
};
static const struct tg_schema access_log_schema = {
    .name = "accessLogSettings", SCHEMA(tg_access_log_settings, access_log_rows), .help = "A line for each request."};

static const struct tg_option stage_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_stage, where)},
    {"stageName", TG_OPTION_STRING, REQUIRED, AT(tg_stage, stage_name), .min = 1, .max = 128, .help = "Letters, digits, `-` and `_`."},
    {"stageVariables", TG_OPTION_STRING_MAP, AT(tg_stage, stage_variables), .max = 2048, .help = "`${stageVariables.name}` in URIs."},
    {"accessLogSettings", TG_OPTION_STRUCT, AT(tg_stage, access_log_settings), .schema = &access_log_schema, .help = "The access log."},
    {"defaultRouteSettings", TG_OPTION_STRUCT, AT(tg_stage, default_route_settings), .schema = &route_settings_schema, .help = "Of every route."},
    {"routeSettings", TG_OPTION_STRUCT_MAP, AT(tg_stage, route_settings), .schema = &route_settings_schema, .help = "By route key."},
    {"deploymentId", TG_OPTION_STRING, TG_OPTION_UNUSED, AT(tg_stage, deployment_id),
     .help = "What the file says is deployed."},
    {"autoDeploy", TG_OPTION_BOOL, TG_OPTION_UNUSED, AT(tg_stage, auto_deploy), .help = "What the file says is deployed."},
    {"clientCertificateId", TG_OPTION_STRING, TG_OPTION_NOT_YET, AT(tg_stage, client_certificate_id), .help = "Shown to back ends."},
    {"description", TG_OPTION_STRING, AT(tg_stage, description), .max = 1024, .help = "Any text."},
    {"tags", TG_OPTION_STRING_MAP, AT(tg_stage, tags), .max = 256, .help = "Any pairs."},
    {"createdDate", TG_OPTION_STRING, READ_ONLY, .help = "Time."},
    {"lastUpdatedDate", TG_OPTION_STRING, READ_ONLY, .help = "Time."},
    {"lastDeploymentStatusMessage", TG_OPTION_STRING, READ_ONLY, .help = "Text."},
    {"apiGatewayManaged", TG_OPTION_BOOL, READ_ONLY, .help = "Made by a quick create."},
};
static const struct tg_schema stage_schema = {
    .name = "stages", SCHEMA(tg_stage, stage_rows), .check = tg_check_stage,
    .help = "Each stage serves all of the API under its own name: `/{stageName}`."};

/* ---- models and deployments (9.7, 9.9): known, not bound ---- */
struct ignored {
    struct tg_slice text;
};
static const struct tg_option model_rows[] = {
    {"name", TG_OPTION_STRING, REQUIRED | TG_OPTION_DISCARD, .min = 1, .max = 128, .help = "Letters and digits."},
    {"schema", TG_OPTION_NODE, REQUIRED | TG_OPTION_DISCARD, .help = "A JSON schema."},
    {"contentType", TG_OPTION_STRING, TG_OPTION_DISCARD, .min = 1, .max = 256, .help = "`application/json`."},
    {"description", TG_OPTION_STRING, TG_OPTION_DISCARD, .max = 1024, .help = "Any text."},
    {"modelId", TG_OPTION_STRING, READ_ONLY, .help = "Its name."},
};
static const struct tg_schema model_schema = {.name = "models", SCHEMA(ignored, model_rows), .help = "Schemas of messages."};
static const struct tg_option deployment_rows[] = {
    {"description", TG_OPTION_STRING, TG_OPTION_DISCARD, .max = 1024, .help = "Any text."},
    {"stageName", TG_OPTION_STRING, TG_OPTION_DISCARD, .max = 128, .help = "Stage that it is for."},
    {"deploymentId", TG_OPTION_STRING, READ_ONLY, .help = "Its name."},
    {"deploymentStatus", TG_OPTION_STRING, READ_ONLY, .help = "State."},
    {"deploymentStatusMessage", TG_OPTION_STRING, READ_ONLY, .help = "Text."},
    {"autoDeployed", TG_OPTION_BOOL, READ_ONLY, .help = "Made by a stage."},
    {"createdDate", TG_OPTION_STRING, READ_ONLY, .help = "Time."},
};
static const struct tg_schema deployment_schema = {
    .name = "deployments", SCHEMA(ignored, deployment_rows), .help = "Snapshots; what the file says is deployed."};

/* ---- APIs (9.1) ---- */
static const struct tg_option_name orderings[] = {
    {.name = "concurrent", .value = TG_ORDERING_CONCURRENT}, {.name = "perConnection", .value = TG_ORDERING_PER_CONNECTION}, {0}};
static const struct tg_option_name slow_consumers[] = {{.name = "close", .value = TG_SLOW_CLOSE}, {.name = "drop", .value = TG_SLOW_DROP}, {0}};
static const struct tg_option_name trailing_slashes[] = {
    {.name = "strict", .value = TG_SLASH_STRICT}, {.name = "ignore", .value = TG_SLASH_IGNORE}, {0}};
static const struct tg_option_name path_decodings[] = {
    {.name = "decode", .value = TG_PATH_DECODE}, {.name = "preserve", .value = TG_PATH_PRESERVE}, {0}};
static const struct tg_option_name forwarded_modes[] = {
    {.name = "rfc7239", .value = TG_FORWARDED_RFC7239}, {.name = "x-forwarded", .value = TG_FORWARDED_X},
    {.name = "both", .value = TG_FORWARDED_BOTH}, {0}};
static const struct tg_option settings_rows[] = {
    {"idleTimeoutSeconds", TG_OPTION_DOUBLE, AT(tg_api_settings, idle_timeout_seconds), .fallback = "600", .max = NO_LIMIT,
     .help = "Without traffic, the connection is closed with 1001; 0: never."},
    {"maxConnectionDurationSeconds", TG_OPTION_DOUBLE, AT(tg_api_settings, max_connection_duration_seconds), .fallback = "7200", .max = NO_LIMIT,
     .help = "Then the connection is closed with 1001; 0: never."},
    {"pingIntervalSeconds", TG_OPTION_DOUBLE, AT(tg_api_settings, ping_interval_seconds), .fallback = "0", .max = NO_LIMIT,
     .help = "Pings sent to the client; 0: none."},
    {"closeTimeoutSeconds", TG_OPTION_DOUBLE, AT(tg_api_settings, close_timeout_seconds), .fallback = "5", .max = 3600,
     .help = "How long the client's close frame is waited for."},
    {"idleTimeoutCountsPing", TG_OPTION_BOOL, AT(tg_api_settings, idle_timeout_counts_ping), .fallback = "true",
     .help = "Whether pings and pongs are traffic."},
    {"lenientJson", TG_OPTION_BOOL, AT(tg_api_settings, lenient_json), .fallback = "true",
     .help = "Routes messages that the native reader takes for JSON: keys without quotes, single quotes."},
    {"contextHeaders", TG_OPTION_BOOL, AT(tg_api_settings, context_headers),
     .help = "Adds `X-Websocket-Connection-Id` and its like to calls of HTTP back ends."},
    {"binaryFrames", TG_OPTION_BOOL, AT(tg_api_settings, binary_frames), .help = "Takes binary messages instead of closing with 1003."},
    {"permessageDeflate", TG_OPTION_BOOL, AT(tg_api_settings, permessage_deflate), .help = "Offers compression."},
    {"serveAtRoot", TG_OPTION_BOOL, AT(tg_api_settings, serve_at_root), .help = "Serves the first stage at `/` as well."},
    {"maxFrameBytes", TG_OPTION_INT, AT(tg_api_settings, max_frame_bytes), .fallback = "32768", .min = 1, .max = 1073741824,
     .help = "Longer frames close the connection with 1009."},
    {"maxMessageBytes", TG_OPTION_INT, AT(tg_api_settings, max_message_bytes), .fallback = "131072", .min = 1, .max = 1073741824,
     .help = "Longer messages close the connection with 1009."},
    {"maxQueuedBytes", TG_OPTION_INT, AT(tg_api_settings, max_queued_bytes), .fallback = "262144", .min = 1024, .max = 1073741824,
     .help = "What may wait to be sent to one client, in bytes, and in frames one for 256 of them and 64; a push beyond it is answered 429."},
    {"maxPendingMessages", TG_OPTION_INT, AT(tg_api_settings, max_pending_messages), .fallback = "64", .min = 1, .max = 65536,
     .help = "Messages of one connection in work or waiting; then reading stops."},
    {"disconnectRetryMillis", TG_OPTION_INT, AT(tg_api_settings, disconnect_retry_millis), .fallback = "1000", .max = 3600000,
     .help = "Pause before the one retry of a `$disconnect` call."},
    {"maxIntegrationTimeoutMillis", TG_OPTION_INT, AT(tg_api_settings, max_integration_timeout_millis), .fallback = "29000", .min = 50, .max = 3600000,
     .help = "Highest `timeoutInMillis` of an integration; 30000 in an HTTP API, unless set."},
    {"messageOrdering", TG_OPTION_ENUM, AT(tg_api_settings, message_ordering), .fallback = "concurrent", .names = orderings,
     .help = "Whether messages of one connection are worked on at the same time or one after the other."},
    {"slowConsumer", TG_OPTION_ENUM, AT(tg_api_settings, slow_consumer), .fallback = "close", .names = slow_consumers,
     .help = "What becomes of a connection whose reply does not fit into the queue: closed with 1011, or the reply is dropped."},
    {"subprotocols", TG_OPTION_STRINGS, AT(tg_api_settings, subprotocols), .min = 1, .max = 128,
     .help = "Chosen from when `$connect` returns none."},
    {"trailingSlash", TG_OPTION_ENUM, AT(tg_api_settings, trailing_slash), HTTP_ONLY, .fallback = "strict", .names = trailing_slashes,
     .help = "Whether `/hello/` reaches the route of `/hello`."},
    {"pathDecoding", TG_OPTION_ENUM, AT(tg_api_settings, path_decoding), HTTP_ONLY, .fallback = "decode", .names = path_decodings,
     .help = "Whether functions see the path decoded, as the native service shows it, or as it was received."},
    {"forwardedHeaders", TG_OPTION_ENUM, AT(tg_api_settings, forwarded_headers), HTTP_ONLY, .fallback = "rfc7239", .names = forwarded_modes,
     .help = "How HTTP back ends learn of the client: `Forwarded`, `X-Forwarded-For` and its like, or both."},
    {"textTypes", TG_OPTION_STRINGS, AT(tg_api_settings, text_types), HTTP_ONLY, .min = 1, .max = 128,
     .help = "Media types of bodies that functions get as text and not in base64, besides the native ones."},
    {"answerIdleTimeoutSeconds", TG_OPTION_DOUBLE, AT(tg_api_settings, idle_answer_seconds), HTTP_ONLY, .fallback = "0", .max = 86400,
     .help = "A back end that is silent for so long in the body of its answer is cut; 0: never."},
};
static const struct tg_schema settings_schema = {
    .name = "settings", SCHEMA(tg_api_settings, settings_rows),
    .help = "What the native service does not let one set; the defaults are its behaviour."};

static const struct tg_option cors_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_cors_settings, where)},
    {"allowOrigins", TG_OPTION_STRINGS, AT(tg_cors_settings, allow_origins), .min = 1, .max = 512,
     .help = "`https://example.com`, `*`, `https://*`, `http://*`."},
    {"allowMethods", TG_OPTION_STRINGS, AT(tg_cors_settings, allow_methods), .min = 1, .max = 64, .help = "Methods, or `*`."},
    {"allowHeaders", TG_OPTION_STRINGS, AT(tg_cors_settings, allow_headers), .min = 1, .max = 128, .help = "Names of headers, or `*`."},
    {"exposeHeaders", TG_OPTION_STRINGS, AT(tg_cors_settings, expose_headers), .min = 1, .max = 128, .help = "Names of headers, or `*`."},
    {"maxAge", TG_OPTION_INT, AT(tg_cors_settings, max_age), .fallback = "-2", .min = -2, .max = 86400,
     .help = "Seconds that browsers may keep a preflight's answer; -1: they may not; -2: nothing is said."},
    {"allowCredentials", TG_OPTION_BOOL, AT(tg_cors_settings, allow_credentials), .help = "Not with the origin `*`."},
};
static const struct tg_schema cors_schema = {
    .name = "corsConfiguration", SCHEMA(tg_cors_settings, cors_rows),
    .help = "With it, the gateway answers preflights, and CORS headers of back ends are dropped."};

static const struct tg_option_name protocol_types[] = {
    {.name = "WEBSOCKET", .value = TG_PROTOCOL_WEBSOCKET}, {.name = "HTTP", .value = TG_PROTOCOL_HTTP}, {0}};
static const struct tg_option_name ip_types[] = {{.name = "ipv4"}, {.name = "dualstack"}, {0}};
static const struct tg_option api_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_api, where)},
    {"apiId", TG_OPTION_STRING, REQUIRED, AT(tg_api, api_id), .min = 1, .max = 63,
     .help = "Its name in ARNs, events and host names: letters, digits, `-` and `_`."},
    {"name", TG_OPTION_STRING, REQUIRED, AT(tg_api, name), .min = 1, .max = 128, .help = "Its title."},
    {"protocolType", TG_OPTION_ENUM, REQUIRED, AT(tg_api, protocol_type), .names = protocol_types,
     .help = "Kind of API."},
    {"routeSelectionExpression", TG_OPTION_STRING, AT(tg_api, route_selection_expression), .min = 1,
     .help = "Chooses the route of a message: `$request.body.action`. Required for `WEBSOCKET`."},
    {"apiKeySelectionExpression", TG_OPTION_STRING, AT(tg_api, api_key_selection_expression), .fallback = "$request.header.x-api-key",
     .help = "Where an API key is: `$request.header.x-api-key` or `$context.authorizer.usageIdentifierKey`."},
    {"description", TG_OPTION_STRING, AT(tg_api, description), .max = 1024, .help = "Any text."},
    {"version", TG_OPTION_STRING, AT(tg_api, version), .min = 1, .max = 64, .help = "Any text."},
    {"hosts", TG_OPTION_STRINGS, AT(tg_api, hosts), .min = 1, .max = 253,
     .help = "Host names that reach this API, `*.example.com` among them. Without: a host whose first label is its `apiId`, or any if it "
             "is the only API of its kind. Beyond the model."},
    {"disableExecuteApiEndpoint", TG_OPTION_BOOL, AT(tg_api, disable_execute_api_endpoint), .help = "`hosts` alone reach this API."},
    {"disableSchemaValidation", TG_OPTION_BOOL, TG_OPTION_UNUSED, AT(tg_api, disable_schema_validation), .help = "Messages are not validated in this version."},
    {"settings", TG_OPTION_STRUCT, AT(tg_api, settings), .schema = &settings_schema, .help = "Beyond the model."},
    {"integrations", TG_OPTION_STRUCTS, AT(tg_api, integrations), .schema = &integration_schema, .help = "Back ends."},
    {"routes", TG_OPTION_STRUCTS, AT(tg_api, routes), .schema = &route_schema, .help = "Routes."},
    {"authorizers", TG_OPTION_STRUCTS, AT(tg_api, authorizers), .schema = &authorizer_schema, .help = "Authorisers."},
    {"stages", TG_OPTION_STRUCTS, AT(tg_api, stages), .schema = &stage_schema, .help = "Stages."},
    {"models", TG_OPTION_STRUCTS, LATER, .schema = &model_schema, .help = "Schemas of messages."},
    {"deployments", TG_OPTION_STRUCTS, IGNORED, .schema = &deployment_schema, .help = "What the file says is deployed."},
    {"tags", TG_OPTION_STRING_MAP, AT(tg_api, tags), .max = 1600, .help = "Any pairs."},
    {"ipAddressType", TG_OPTION_STRING, IGNORED, .names = ip_types, .help = "Listeners decide."},
    {"corsConfiguration", TG_OPTION_STRUCT, AT(tg_api, cors_configuration), HTTP_ONLY, .schema = &cors_schema, .help = "Cross-origin requests."},
    {"credentialsArn", TG_OPTION_STRING, IGNORED, HTTP_ONLY, .help = "Part of a quick create."},
    {"routeKey", TG_OPTION_STRING, IGNORED, HTTP_ONLY, .help = "Part of a quick create."},
    {"target", TG_OPTION_STRING, IGNORED, HTTP_ONLY, .help = "Part of a quick create."},
    {"apiEndpoint", TG_OPTION_STRING, READ_ONLY, .help = "URL."},
    {"createdDate", TG_OPTION_STRING, READ_ONLY, .help = "Time."},
    {"apiGatewayManaged", TG_OPTION_BOOL, READ_ONLY, .help = "Made by a quick create."},
    {"importInfo", TG_OPTION_STRINGS, READ_ONLY, .help = "Of an import."},
    {"warnings", TG_OPTION_STRINGS, READ_ONLY, .help = "Of an import."},
};
const struct tg_schema tg_schema_api = {
    .name = "apis", SCHEMA(tg_api, api_rows), .scope_key = "protocolType", .scope_noun = "protocol Apis", .check = tg_check_api,
    .help = "An API and what belongs to it, in the names of the apigatewayv2 resource model. Fields of `HTTP` APIs are refused "
            "on a `WEBSOCKET` API."};
