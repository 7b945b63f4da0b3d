/* The parts of a model that call out: functions, integrations, authorisers, what they trust; and the
 * credentials of those who call in. */
#include "routes/integration.h"
#include "routes/mapping.h"
#include "routes/mock.h"
#include "routes/model_private.h"
#include "routes/policy.h"
#include "routes/source.h"
#include "routes/stagevars.h"
#include "routes/target.h"
#include "server/base/json.h"

/* Trust settings used already: one TLS context serves all who want the same. */
struct model_trust {
    struct model_trust *next;
    struct tg_slice ca_file;
    bool insecure;
    struct tg_tls_context *context;
};

/* ---- trust ---- */

static void destroy_trust(void *arg)
{
    tg_tls_context_free(arg);
}

struct tg_tls_context *model_trust(struct model_compiler *compiler, struct tg_tls_config *config,
                                   const struct tg_doc_node *where)
{
    const struct tg_tls_config *fallback = &compiler->model->backend_tls;
    if (config->server_name_to_verify.len == 0) {
        config->server_name_to_verify = fallback->server_name_to_verify;
    }
    if (config->ca_file.len == 0) {
        config->ca_file = fallback->ca_file;
    }
    if (tg_doc_get(config->where, TG_LIT("insecureSkipVerification")) == NULL) {
        config->insecure_skip_verification =
            config->insecure_skip_verification || fallback->insecure_skip_verification;
    }
    for (struct model_trust *trust = compiler->trusts; trust != NULL; trust = trust->next) {
        if (tg_slice_eq(trust->ca_file, config->ca_file) &&
            trust->insecure == config->insecure_skip_verification) {
            return trust->context;
        }
    }
    struct model_trust *trust = model_allocate(compiler, sizeof *trust);
    if (trust == NULL) {
        return NULL;
    }
    const struct tg_tls_client_options options = {
        .ca_file = config->ca_file.len > 0 ? config->ca_file.ptr : NULL, /* NUL-terminated by the binder */
        .insecure = config->insecure_skip_verification,
    };
    enum tg_err err = tg_tls_client_new(&options, &trust->context);
    if (err != TG_OK) {
        MODEL_REPORT(compiler, where, "tlsConfig",
                     "caFile \"%.*s\" cannot be used: %s; it must hold PEM certificates",
                     TG_FMT(config->ca_file), tg_err_text(err));
        (void)model_failed(compiler, err);
        return NULL;
    }
    if (model_failed(compiler, tg_arena_defer(compiler->arena, destroy_trust, trust->context))) {
        return NULL;
    }
    trust->ca_file = config->ca_file;
    trust->insecure = config->insecure_skip_verification;
    trust->next = compiler->trusts;
    compiler->trusts = trust;
    return trust->context;
}

static const struct tg_target *target_for(struct model_compiler *compiler, struct tg_slice url,
                                          const struct tg_doc_node *where, const char *key)
{
    const struct tg_target *target = NULL;
    struct tg_slice error;
    enum tg_err err = tg_target_compile(compiler->arena, url, &target, &error);
    if (err != TG_OK) {
        if (err != TG_ENOMEM) {
            MODEL_REPORT(compiler, where, key, "%.*s", TG_FMT(error));
        }
        (void)model_failed(compiler, err);
        return NULL;
    }
    return target;
}

bool model_may_be_https(struct tg_slice url)
{
    return tg_slice_starts(url, TG_LIT("https://")) || tg_slice_starts(url, TG_LIT("${"));
}

/* ---- functions ---- */

/* The function's name out of an integration URI, a function ARN or a bare name (spec 9.4). */
static bool function_of(struct tg_slice uri, struct tg_slice *name)
{
    static const struct tg_slice path = TG_LIT_INIT("/functions/");
    static const struct tg_slice end = TG_LIT_INIT("/invocations");
    static const struct tg_slice arn = TG_LIT_INIT(":function:");
    size_t at = tg_slice_find_slice(uri, path);
    if (at < uri.len) {
        uri = tg_slice_from(uri, at + path.len);
        at = tg_slice_find_slice(uri, end);
        if (at == uri.len || at + end.len != uri.len) {
            return false;
        }
        uri = tg_slice_head(uri, at);
    }
    at = tg_slice_find_slice(uri, arn);
    if (tg_slice_starts(uri, TG_LIT("arn:"))) {
        uri = tg_slice_from(uri, at + arn.len);
    }
    *name = uri;
    return uri.len > 0 && tg_slice_find(uri, '/') == uri.len;
}

const struct tg_stagevars *model_function(struct model_compiler *compiler, struct tg_slice uri,
                                          const struct tg_doc_node *where, const char *key)
{
    struct tg_slice name, error, rest;
    if (!function_of(uri, &name)) {
        MODEL_REPORT(
            compiler, where, key,
            "\"%.*s\" names no function; expected arn:aws:apigateway:REGION:lambda:path/2015-03-31/functions/"
            "FUNCTION-ARN/invocations",
            TG_FMT(uri));
        return NULL;
    }
    struct tg_stagevars *text = model_allocate(compiler, sizeof *text);
    if (text == NULL) {
        return NULL;
    }
    enum tg_err err = tg_stagevars_compile(compiler->arena, name, text, &error);
    if (err == TG_ESYNTAX) {
        MODEL_REPORT(compiler, where, key, "%.*s", TG_FMT(error));
    }
    if (model_failed(compiler, err)) {
        return NULL;
    }
    struct tg_slice plain = tg_slice_cut(name, ':', &rest);
    bool fixed = text->count == 1 && !text->parts[0].is_variable;
    if (fixed && tg_map_get(&compiler->model->function_map, plain) == NULL) {
        MODEL_REPORT(compiler, where, key, "no function \"%.*s\" in the functions table", TG_FMT(plain));
        return NULL;
    }
    return text;
}

void model_compile_functions(struct model_compiler *compiler)
{
    struct tg_model *model = compiler->model;
    for (size_t i = 0; i < model->functions.count; i++) {
        struct tg_function *function = &model->functions.items[i];
        model_add_unique(compiler, &model->function_map, function->name, function, function->where, NULL);
        function->target = target_for(compiler, function->endpoint, function->where, "endpoint");
        if (function->target != NULL && !function->target->fixed) {
            MODEL_REPORT(compiler, function->where, "endpoint",
                         "a function's endpoint cannot hold stage variables");
        }
        if (model_may_be_https(function->endpoint)) {
            function->trust = model_trust(compiler, &function->tls_config, function->where);
        }
    }
}

/* ---- credentials ---- */

static void compile_policy(struct model_compiler *compiler, struct tg_credential *credential)
{
    struct tg_buf text;
    struct tg_slice copy;
    const struct tg_json *json;
    const struct tg_policy *policy = NULL;
    const char *what = NULL;
    tg_buf_init(&text, 1 << 20);
    enum tg_err err = tg_doc_json(credential->policy_node, &text);
    if (err == TG_OK) {
        err = tg_arena_copy(compiler->arena, tg_buf_slice(&text), &copy);
    }
    tg_buf_free(&text);
    if (err == TG_OK) {
        err = tg_json_parse(compiler->arena, copy, &json);
        what = "the policy is no JSON document";
    }
    if (err == TG_OK) {
        err = tg_policy_compile(compiler->arena, json, &policy, &what);
    }
    if (err != TG_OK && err != TG_ENOMEM) {
        MODEL_REPORT(compiler, credential->where, "policy", "%s", what);
    }
    if (!model_failed(compiler, err)) {
        credential->policy = policy;
    }
}

void model_compile_credentials(struct model_compiler *compiler)
{
    struct tg_model *model = compiler->model;
    for (size_t i = 0; i < model->credentials.count; i++) {
        struct tg_credential *credential = &model->credentials.items[i];
        model_add_unique(compiler, &model->credential_map, credential->access_key_id, credential,
                         credential->where, "accessKeyId");
        if (credential->secret_access_key.len == 0) {
            MODEL_REPORT(compiler, credential->where, "secretAccessKey",
                         "missing; give secretAccessKey or secretAccessKeyFile");
        }
        if (credential->user_arn.len == 0) {
            (void)model_failed(compiler,
                               tg_arena_printf(compiler->arena, &credential->user_arn,
                                               "arn:aws:iam::%.*s:user/%.*s", TG_FMT(model->account_id),
                                               TG_FMT(credential->access_key_id)));
        }
        if (credential->policy_node != NULL) {
            compile_policy(compiler, credential);
        }
    }
}

/* ---- integrations ---- */

static void compile_mapping(struct model_compiler *compiler, struct tg_integration *integration)
{
    if (integration->request_parameters.count == 0) {
        return;
    }
    struct tg_mapping *mapping = model_allocate(compiler, sizeof *mapping);
    if (mapping == NULL) {
        return;
    }
    for (size_t i = 0; i < integration->request_parameters.count; i++) {
        const struct tg_string_pair *pair = &integration->request_parameters.items[i];
        struct tg_slice error = TG_EMPTY;
        enum tg_err err = tg_mapping_add(mapping, compiler->arena, pair->key, pair->value, &error);
        if (err != TG_OK && err != TG_ENOMEM) {
            MODEL_REPORT(compiler, integration->where, "requestParameters", "%.*s", TG_FMT(error));
        }
        (void)model_failed(compiler, err);
    }
    integration->mapping = mapping;
}

void model_compile_integration(struct model_compiler *compiler, struct tg_api *api,
                               struct tg_integration *integration)
{
    const struct tg_doc_node *where = integration->where;
    struct tg_slice error = TG_EMPTY;
    if (!tg_integration_supported(TG_PROTOCOL_WEBSOCKET, integration->integration_type)) {
        MODEL_REPORT(compiler, where, "integrationType",
                     "AWS and HTTP integrations are not supported yet; HTTP_PROXY, AWS_PROXY and MOCK are");
        return;
    }
    if (tg_slice_eq(integration->connection_type, TG_LIT("VPC_LINK"))) {
        MODEL_REPORT(compiler, where, "connectionType",
                     "VPC_LINK is for HTTP APIs in this version; use INTERNET");
    }
    if (integration->timeout_in_millis > api->settings.max_integration_timeout_millis) {
        MODEL_REPORT(compiler, where, "timeoutInMillis",
                     "%lld is more than settings.maxIntegrationTimeoutMillis (%lld)",
                     (long long)integration->timeout_in_millis,
                     (long long)api->settings.max_integration_timeout_millis);
    }
    if (integration->integration_type == TG_INTEGRATION_MOCK) {
        enum tg_err err = tg_mock_compile(compiler->arena, integration, &integration->mock, &error);
        if (err != TG_OK && err != TG_ENOMEM) {
            MODEL_REPORT(compiler, where, NULL, "%.*s", TG_FMT(error));
        }
        (void)model_failed(compiler, err);
        return;
    }
    if (integration->integration_uri.len == 0) {
        MODEL_REPORT(compiler, where, "integrationUri", "missing; this type of integration calls a back end");
        return;
    }
    if (integration->integration_type == TG_INTEGRATION_AWS_PROXY) {
        integration->function_name =
            model_function(compiler, integration->integration_uri, where, "integrationUri");
        return;
    }
    integration->target = target_for(compiler, integration->integration_uri, where, "integrationUri");
    if (integration->integration_method.len == 0) {
        MODEL_REPORT(compiler, where, "integrationMethod", "missing; an HTTP method is required");
    } else if (!tg_header_name_ok(integration->integration_method) ||
               tg_slice_eq(integration->integration_method, TG_LIT("ANY")) ||
               tg_slice_eq(integration->integration_method, TG_LIT("CONNECT"))) {
        MODEL_REPORT(compiler, where, "integrationMethod",
                     "\"%.*s\" cannot be used here; give a method such as POST",
                     TG_FMT(integration->integration_method));
    }
    if (model_may_be_https(integration->integration_uri)) {
        integration->trust = model_trust(compiler, &integration->tls_config, where);
    }
    compile_mapping(compiler, integration);
}

/* ---- authorisers ---- */

void model_compile_authorizer(struct model_compiler *compiler, struct tg_authorizer *authorizer)
{
    const struct tg_doc_node *where = authorizer->where;
    size_t count = authorizer->identity_source.count;
    struct tg_source *sources = model_allocate(compiler, (count + 1) * sizeof *sources);
    for (size_t i = 0; sources != NULL && i < count; i++) {
        struct tg_slice error;
        enum tg_err err = tg_source_compile_identity(compiler->arena, authorizer->identity_source.items[i],
                                                     &sources[i], &error);
        if (err == TG_ESYNTAX) {
            MODEL_REPORT(compiler, where, "identitySource", "%.*s", TG_FMT(error));
        }
        (void)model_failed(compiler, err);
    }
    authorizer->identity = sources;
    if (authorizer->authorizer_uri.len == 0) {
        MODEL_REPORT(compiler, where, "authorizerUri",
                     "missing; a function's ARN or an http(s) URL is required");
    } else if (tg_slice_starts(authorizer->authorizer_uri, TG_LIT("http"))) {
        authorizer->target = target_for(compiler, authorizer->authorizer_uri, where, "authorizerUri");
        if (model_may_be_https(authorizer->authorizer_uri)) {
            authorizer->trust = model_trust(compiler, &authorizer->tls_config, where);
        }
    } else {
        authorizer->function_name =
            model_function(compiler, authorizer->authorizer_uri, where, "authorizerUri");
    }
}
