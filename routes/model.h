/* The API model: what the configuration says about APIs, functions, credentials and throttles, in the names
 * of the apigatewayv2 resource model (spec websocket-api.md section 9). Made once by the configuration
 * loader, compiled and checked by tg_model_compile, then immutable and shared by all workers under a
 * reference count; a reload makes a new one, and requests in flight finish on the old. Knows nothing of
 * listeners or sockets.
 *
 * Members above the line "compiled" are bound from the file as they stand; members below are filled by the
 * compiler. `where` is the place in the file, for error messages; it is valid while the document lives, that
 * is during loading only. */
#ifndef TG_ROUTES_MODEL_H
#define TG_ROUTES_MODEL_H

#include <stdatomic.h>

#include "routes/cors.h"
#include "routes/forwarded.h"
#include "routes/pathtrie.h"
#include "routes/static.h"
#include "server/base/arena.h"
#include "server/base/log.h"
#include "server/base/map.h"
#include "server/base/strings.h"
#include "server/io/transport.h"

struct tg_doc_node;
struct tg_options_report;
struct tg_selection;
struct tg_mapping;
struct tg_stagevars;
struct tg_accesslog;
struct tg_policy;
struct tg_source;
struct tg_httpmapping;
struct tg_locator;
struct tg_forward;
struct tg_upstream_group_options;
struct tg_mock;   /* compiled templates of a MOCK integration, routes/integration_mock.c */
struct tg_target; /* a parsed back-end URL, routes/target.h */

enum tg_protocol_type { TG_PROTOCOL_WEBSOCKET, TG_PROTOCOL_HTTP };
enum tg_integration_type {
    TG_INTEGRATION_AWS,
    TG_INTEGRATION_AWS_PROXY,
    TG_INTEGRATION_HTTP,
    TG_INTEGRATION_HTTP_PROXY,
    TG_INTEGRATION_MOCK,
    TG_INTEGRATION_STATIC /* beyond the model: files of a directory */
};
enum tg_authorization_type { TG_AUTH_NONE, TG_AUTH_AWS_IAM, TG_AUTH_CUSTOM, TG_AUTH_JWT };
enum tg_passthrough { TG_PASS_WHEN_NO_MATCH, TG_PASS_WHEN_NO_TEMPLATES, TG_PASS_NEVER };
enum tg_content_handling { TG_CONTENT_UNCHANGED, TG_CONTENT_TO_BINARY, TG_CONTENT_TO_TEXT };
enum tg_logging_level { TG_LOGGING_OFF, TG_LOGGING_ERROR, TG_LOGGING_INFO };
enum tg_message_ordering { TG_ORDERING_CONCURRENT, TG_ORDERING_PER_CONNECTION };
enum tg_slow_consumer { TG_SLOW_CLOSE, TG_SLOW_DROP };
enum tg_path_decoding { TG_PATH_DECODE, TG_PATH_PRESERVE };
enum tg_management_auth { TG_MANAGEMENT_SIGV4, TG_MANAGEMENT_NONE };

struct tg_tls_config {
    const struct tg_doc_node *where;       /* NULL: there is none in the file */
    struct tg_slice server_name_to_verify; /* serverNameToVerify */
    struct tg_slice ca_file;               /* caFile (beyond the model): PEM of the authorities trusted */
    bool insecure_skip_verification;       /* insecureSkipVerification (beyond the model): for tests only */
};

/* ---- private integrations (http-api.md 1.9): named groups of targets ---- */
struct tg_link_target {
    const struct tg_doc_node *where;
    struct tg_slice url; /* http(s)://host:port or http://unix:/path.sock: */
};

struct tg_link_targets {
    struct tg_link_target *items;
    size_t count;
};

struct tg_link_check {                              /* healthCheck: active checks */
    const struct tg_doc_node *where;                /* NULL: none are made */
    struct tg_slice path;                           /* "/" */
    struct tg_slice host;                           /* Host of the request; default: the target's */
    double interval_seconds;                        /* 10 */
    int64_t timeout_millis;                         /* 2000 */
    int64_t healthy_threshold, unhealthy_threshold; /* 2, 2 */
    int64_t status_min, status_max;                 /* statusMin, statusMax: 200, 399 */
};

struct tg_link_ejection { /* passive: what calls themselves show */
    int64_t failures;     /* in a row: 5; 0: off */
    double seconds;       /* first ejection: 10; doubles up to maxSeconds */
    double max_seconds;   /* 300 */
};

struct tg_vpc_link {
    const struct tg_doc_node *where;
    struct tg_slice vpc_link_id, name;
    struct tg_link_targets targets;
    struct tg_link_check health_check;
    struct tg_link_ejection ejection;
    int64_t max_attempts;           /* maxAttempts: targets tried for one call: 3 */
    int64_t attempt_timeout_millis; /* attemptTimeoutMillis: for the head of one target's answer; 0: no limit
                                       of its own */
    struct tg_tls_config tls_config;
    struct tg_string_map tags;
    /* compiled */
    const struct tg_upstream_group_options *options; /* for each worker's group */
};

/* ---- integrations (9.4, 9.5) ---- */
struct tg_integration_response {
    const struct tg_doc_node *where;
    struct tg_slice integration_response_id, integration_response_key, template_selection_expression;
    enum tg_content_handling content_handling_strategy;
    struct tg_string_map response_parameters, response_templates;
};

struct tg_integration_responses {
    struct tg_integration_response *items;
    size_t count;
};

struct tg_integration {
    const struct tg_doc_node *where;
    struct tg_slice integration_id; /* required in the file */
    enum tg_integration_type integration_type;
    struct tg_slice integration_uri, integration_method, connection_type, connection_id, credentials_arn;
    struct tg_slice description, payload_format_version, template_selection_expression;
    enum tg_content_handling content_handling_strategy;
    enum tg_passthrough passthrough_behavior;
    struct tg_string_map request_parameters, request_templates;
    struct tg_tls_config tls_config;
    int64_t timeout_in_millis; /* 50 to settings.maxIntegrationTimeoutMillis; default 29000 */
    struct tg_integration_responses integration_responses;
    /* HTTP APIs (http-api.md 1.5, 1.9, 1.11) */
    struct tg_slice integration_subtype;
    const struct tg_doc_node *response_parameters_node; /* responseParameters: mapping by status */
    bool websocket;                                     /* beyond the model: upgrades become tunnels */
    struct tg_static_settings files;                    /* static */
    /* compiled */
    bool needs_body;                           /* HTTP APIs: the whole body before it is called */
    const struct tg_httpmapping *http_mapping; /* request_parameters and responseParameters */
    bool response_body_mapped;                 /* a response mapping reads the answer's body */
    const struct tg_forward *forward;          /* HTTP_PROXY: where requests go, one a stage */
    const struct tg_vpc_link *link;            /* connectionType VPC_LINK */
    struct tg_static *files_opened;            /* STATIC; one reference */
    const struct tg_target *target;            /* HTTP kinds */
    const struct tg_mapping *mapping;          /* request_parameters; NULL: none */
    const struct tg_stagevars *function_name;  /* AWS_PROXY: the function's name out of the URI's ARN */
    const struct tg_mock *mock;                /* MOCK */
    struct tg_tls_context *trust;              /* https back ends; owned by the model */
};

/* ---- authorisers (9.6) ---- */
struct tg_authorizer {
    const struct tg_doc_node *where;
    struct tg_slice authorizer_id, name, authorizer_uri, authorizer_credentials_arn,
        identity_validation_expression;
    struct tg_slice authorizer_type; /* REQUEST */
    struct tg_strings identity_source;
    struct tg_tls_config tls_config;
    int64_t timeout_in_millis; /* beyond the model; default 29000 */
    /* compiled */
    const struct tg_target *target;           /* HTTP authoriser: authorizer_uri is a URL */
    const struct tg_stagevars *function_name; /* function authoriser */
    const struct tg_source *identity;         /* one an identity_source */
    struct tg_tls_context *trust;
};

/* ---- routes (9.2, 9.3) ---- */
struct tg_route_parameter {
    struct tg_slice name; /* the map's key: route.request.{querystring|header}.NAME */
    bool required;
};

struct tg_route_parameters {
    struct tg_route_parameter *items;
    size_t count;
};

struct tg_route_response {
    const struct tg_doc_node *where;
    struct tg_slice route_response_id, route_response_key, model_selection_expression;
    struct tg_string_map response_models;
    struct tg_route_parameters response_parameters;
};

struct tg_route_responses {
    struct tg_route_response *items;
    size_t count;
};

struct tg_route {
    const struct tg_doc_node *where;
    struct tg_slice route_id, route_key, target, authorizer_id, model_selection_expression;
    struct tg_slice route_response_selection_expression, operation_name;
    enum tg_authorization_type authorization_type;
    bool api_key_required;
    struct tg_strings authorization_scopes;
    struct tg_string_map request_models;
    struct tg_route_parameters request_parameters;
    struct tg_route_responses route_responses;
    /* compiled */
    size_t index;                             /* in its API */
    const struct tg_integration *integration; /* NULL: no target */
    const struct tg_authorizer *authorizer;   /* with CUSTOM */
    bool two_way;                             /* section 2.1 */
};

/* ---- stages (9.8) ---- */
struct tg_route_settings {
    struct tg_slice route_key; /* the map's key; empty in defaultRouteSettings */
    bool data_trace_enabled, detailed_metrics_enabled;
    enum tg_logging_level logging_level;
    int64_t throttling_burst_limit; /* -1: not set */
    double throttling_rate_limit;   /* -1: not set */
};

struct tg_route_settings_map {
    struct tg_route_settings *items;
    size_t count;
};

struct tg_access_log_settings {
    struct tg_slice
        destination_arn; /* stdout (default), stderr, file:/path; an ARN is accepted and goes to stdout */
    struct tg_slice format;
};

struct tg_stage {
    const struct tg_doc_node *where;
    struct tg_slice stage_name, deployment_id, description, client_certificate_id;
    bool auto_deploy;
    struct tg_string_map stage_variables, tags;
    struct tg_access_log_settings access_log_settings;
    struct tg_route_settings default_route_settings;
    struct tg_route_settings_map route_settings;
    /* compiled */
    size_t index;                          /* in its API */
    const struct tg_accesslog *access_log; /* NULL: none */
    int access_fd;                         /* where its rows go, by tg_model_open; -1: nowhere */
};

/* ---- APIs (9.1) ---- */
/* apis[].settings: what the native service does not let one set (1.5, 1.10, 1.11, 1.15, 3.5, 4.5); the
 * defaults are its behaviour. Times in seconds may be fractions. */
struct tg_api_settings {
    double idle_timeout_seconds;            /* 600; 0 = off */
    double max_connection_duration_seconds; /* 7200; 0 = off */
    double ping_interval_seconds;           /* 0 = off */
    double close_timeout_seconds;           /* 5: wait for the client's close frame */
    bool idle_timeout_counts_ping;          /* true */
    bool lenient_json;                      /* true */
    bool context_headers;                   /* false: X-Websocket-* on HTTP back-end calls */
    bool binary_frames;                     /* false */
    bool permessage_deflate;                /* false */
    bool serve_at_root;                     /* false: the first stage is served at "/" too */
    int64_t max_frame_bytes;                /* 32768 */
    int64_t max_message_bytes;              /* 131072 */
    int64_t max_queued_bytes;               /* 262144: send queue of one connection */
    int64_t max_pending_messages; /* 64: messages of one connection in work or waiting; then reading stops */
    int64_t disconnect_retry_millis;        /* 1000: pause before the one retry of a $disconnect call */
    int64_t max_integration_timeout_millis; /* 29000 */
    enum tg_message_ordering message_ordering;
    enum tg_slow_consumer
        slow_consumer; /* close: a reply that does not fit closes the connection (1011); or drop */
    struct tg_strings subprotocols; /* chosen from when $connect returns none */
    /* HTTP APIs */
    enum tg_trailing_slash trailing_slash;    /* strict */
    enum tg_path_decoding path_decoding;      /* decode */
    enum tg_forwarded_mode forwarded_headers; /* rfc7239 */
    struct tg_strings text_types; /* media types that functions get as text, besides the native ones */
    double idle_answer_seconds;   /* answerIdleTimeoutSeconds: a back end silent in the body of its answer: 0,
                                     off */
};

struct tg_integrations {
    struct tg_integration *items;
    size_t count;
};
struct tg_routes {
    struct tg_route *items;
    size_t count;
};
struct tg_authorizers {
    struct tg_authorizer *items;
    size_t count;
};
struct tg_stages {
    struct tg_stage *items;
    size_t count;
};

struct tg_api {
    const struct tg_doc_node *where;
    struct tg_slice api_id, name, route_selection_expression, api_key_selection_expression, description,
        version;
    enum tg_protocol_type protocol_type;
    bool disable_execute_api_endpoint, disable_schema_validation;
    struct tg_strings hosts;
    struct tg_string_map tags;
    struct tg_api_settings settings;
    struct tg_cors_settings cors_configuration;
    struct tg_integrations integrations;
    struct tg_routes routes;
    struct tg_authorizers authorizers;
    struct tg_stages stages;
    /* compiled */
    size_t index; /* in the model */
    const struct tg_selection *route_selection;
    struct tg_map route_map; /* key -> const struct tg_route *, without $connect and $disconnect */
    const struct tg_route *connect_route; /* any of these may be NULL */
    const struct tg_route *disconnect_route;
    const struct tg_route *default_route;
    struct tg_pathtrie *paths;  /* HTTP APIs: every route but $default */
    const struct tg_cors *cors; /* NULL: no corsConfiguration */
};

/* ---- gateway-wide ---- */
struct tg_function {
    const struct tg_doc_node *where;
    struct tg_slice name;     /* the map's key */
    struct tg_slice endpoint; /* http(s)://host:port of a Lambda-compatible runtime; a path prefix is kept */
    struct tg_slice invoke_name; /* invokeName: name in the invoke path; default: the key */
    struct tg_tls_config tls_config;
    /* compiled */
    const struct tg_target *target;
    struct tg_tls_context *trust;
};

struct tg_credential {
    const struct tg_doc_node *where;
    struct tg_slice access_key_id, secret_access_key, session_token;
    struct tg_slice user_arn; /* userArn; default arn:aws:iam::{accountId}:user/{accessKeyId} */
    const struct tg_doc_node *policy_node;
    /* compiled */
    const struct tg_policy *policy; /* NULL: nothing allowed */
};

struct tg_management {
    enum tg_management_auth auth;   /* sigv4 */
    bool allow_public_without_auth; /* allowPublicWithoutAuth: auth none on a public address */
    bool error_type_on_413;         /* errorTypeOn413 */
    bool strict_management_arn;     /* strictManagementArn */
    int64_t push_timeout_millis;    /* 3000: a push not written by then is withdrawn and answered 429 */
    int64_t batch_max_connections;  /* batchMaxConnections: that a batch call may name; 0: there are none */
};

struct tg_throttling {              /* account-wide (6.1, 6.3), counted per node */
    double rate_limit;              /* handshakes, messages, management calls a second: 10000 */
    int64_t burst_limit;            /* 5000 */
    double connection_rate_limit;   /* new connections a second: 500 */
    int64_t connection_burst_limit; /* 500 */
};

struct tg_functions {
    struct tg_function *items;
    size_t count;
};
struct tg_credentials {
    struct tg_credential *items;
    size_t count;
};
struct tg_apis {
    struct tg_api *items;
    size_t count;
};

/* ---- custom domains (http-api.md 6.5) ---- */
struct tg_api_mapping {
    const struct tg_doc_node *where;
    struct tg_slice domain_name; /* of a mapping that does not stand under its domain */
    struct tg_slice api_id, stage, api_mapping_key, api_mapping_id;
};

struct tg_api_mappings {
    struct tg_api_mapping *items;
    size_t count;
};

struct tg_domain_name {
    const struct tg_doc_node *where;
    struct tg_slice domain_name;
    struct tg_api_mappings api_mappings;
    struct tg_string_map tags;
};

struct tg_domain_names {
    struct tg_domain_name *items;
    size_t count;
};

struct tg_vpc_links {
    struct tg_vpc_link *items;
    size_t count;
};

struct tg_model {
    struct tg_slice region;     /* us-east-1 */
    struct tg_slice account_id; /* accountId, 12 digits: 000000000000 */
    struct tg_management management;
    struct tg_throttling throttling;
    struct tg_tls_config backend_tls; /* backendTls: default of every tlsConfig */
    struct tg_functions functions;
    struct tg_credentials credentials;
    struct tg_apis apis;
    struct tg_domain_names domain_names;
    struct tg_api_mappings api_mappings;
    struct tg_vpc_links vpc_links;
    /* compiled */
    const struct tg_locator *locator; /* which API, stage and path a request reaches */
    struct tg_map function_map;       /* name -> const struct tg_function * */
    struct tg_map credential_map;     /* access key id -> const struct tg_credential * */
    struct tg_map api_map;            /* apiId -> const struct tg_api * */
    struct tg_arena *arena;           /* the owner's: compiled parts come from it */
    uint64_t generation;              /* grows with each reload */
    _Atomic(size_t) refs;
    void (*destroy)(struct tg_model *model); /* the owner's: called when the last reference goes */
};

/* References; thread-safe. */
static inline struct tg_model *tg_model_ref(struct tg_model *model)
{
    (void)atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
    return model;
}
void tg_model_unref(struct tg_model *model);

/* Resolves references, compiles expressions, checks what one table row cannot; every error goes to the report
 * with its place. TG_EINVAL when there was any. Call once, before sharing. */
enum tg_err tg_model_compile(struct tg_model *model, struct tg_options_report *report) TG_MUST_CHECK;
/* Opens the access logs' files, before the model serves (a mere check does not). TG_EIO: reported. */
enum tg_err tg_model_open(struct tg_model *model, struct tg_log *log) TG_MUST_CHECK;
/* Frees what the compiled parts hold outside the arena (maps, TLS contexts, files); for `destroy`. */
void tg_model_release(struct tg_model *model);

const struct tg_api *tg_model_api_by_id(const struct tg_model *model, struct tg_slice api_id);
const struct tg_stage *tg_api_stage(const struct tg_api *api, struct tg_slice name);
/* The route that takes messages with that key; NULL: none, and there is no `$default`. */
const struct tg_route *tg_api_route(const struct tg_api *api, struct tg_slice key);
/* The route's settings in the stage, each value falling back to the default route settings. */
struct tg_route_settings tg_stage_route_settings(const struct tg_stage *stage, struct tg_slice route_key);

#endif
