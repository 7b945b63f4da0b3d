/* Compiles an HTTP API: its routes into a trie, its integrations for requests of any method and path, CORS.
 */
#include "routes/forward.h"
#include "routes/httpmapping.h"
#include "routes/integration.h"
#include "routes/mock.h"
#include "routes/model_private.h"
#include "routes/pathtrie.h"
#include "routes/static.h"

/* ---- integrations ---- */

static void add_response_row(struct model_compiler *compiler, struct tg_httpmapping *mapping,
                             struct tg_slice status, struct tg_slice key, const struct tg_doc_node *value)
{
    struct tg_slice error = TG_EMPTY;
    struct tg_slice text = value->type == TG_DOC_NULL ? TG_LIT("") : value->text;
    if (value->type == TG_DOC_SEQUENCE || value->type == TG_DOC_MAPPING) {
        MODEL_REPORT(compiler, value, NULL, "expected a text");
        return;
    }
    if (model_failed(compiler, tg_arena_copy(compiler->arena, status, &status)) ||
        model_failed(compiler, tg_arena_copy(compiler->arena, key, &key)) ||
        model_failed(compiler, tg_arena_copy(compiler->arena, text, &text))) {
        return;
    }
    enum tg_err err = tg_httpmapping_add_response(mapping, compiler->arena, status, key, text, &error);
    if (err != TG_OK && err != TG_ENOMEM) {
        MODEL_REPORT(compiler, value, NULL, "%.*s", TG_FMT(error));
    }
    (void)model_failed(compiler, err == TG_ENOMEM ? err : TG_OK);
}

/* `{Destination: key, Source: value}`, as CloudFormation writes a row. */
static void add_listed_row(struct model_compiler *compiler, struct tg_httpmapping *mapping,
                           struct tg_slice status, const struct tg_doc_node *row)
{
    const struct tg_doc_node *key = tg_doc_get(row, TG_LIT("Destination"));
    const struct tg_doc_node *value = tg_doc_get(row, TG_LIT("Source"));
    if (key == NULL || value == NULL) {
        MODEL_REPORT(compiler, row, NULL, "expected Destination and Source");
        return;
    }
    add_response_row(compiler, mapping, status, key->text, value);
}

static void compile_response_mapping(struct model_compiler *compiler, const struct tg_doc_node *node,
                                     struct tg_httpmapping *mapping)
{
    if (node->type != TG_DOC_MAPPING) {
        MODEL_REPORT(compiler, node, NULL, "expected a mapping from statuses to rows");
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        struct tg_slice status = node->members[i].key;
        const struct tg_doc_node *rows = node->members[i].value;
        const struct tg_doc_node *list =
            rows->type == TG_DOC_MAPPING ? tg_doc_get(rows, TG_LIT("ResponseParameters")) : NULL;
        if (list != NULL && list->type == TG_DOC_SEQUENCE) {
            for (size_t j = 0; j < list->count; j++) {
                add_listed_row(compiler, mapping, status, list->members[j].value);
            }
        } else if (rows->type == TG_DOC_MAPPING) {
            for (size_t j = 0; j < rows->count; j++) {
                add_response_row(compiler, mapping, status, rows->members[j].key, rows->members[j].value);
            }
        } else {
            MODEL_REPORT(compiler, rows, NULL,
                         "expected a mapping such as {\"overwrite:header.name\": value}");
        }
    }
}

static void compile_mapping(struct model_compiler *compiler, struct tg_integration *integration)
{
    bool has_responses = integration->response_parameters_node != NULL;
    if (integration->request_parameters.count == 0 && !has_responses) {
        return;
    }
    struct tg_httpmapping *mapping = model_allocate(compiler, sizeof *mapping);
    for (size_t i = 0; mapping != NULL && i < integration->request_parameters.count; i++) {
        const struct tg_string_pair *pair = &integration->request_parameters.items[i];
        struct tg_slice error = TG_EMPTY;
        enum tg_err err =
            tg_httpmapping_add_request(mapping, compiler->arena, pair->key, pair->value, &error);
        if (err != TG_OK && err != TG_ENOMEM) {
            MODEL_REPORT(compiler, integration->where, "requestParameters", "%.*s", TG_FMT(error));
        }
        (void)model_failed(compiler, err == TG_ENOMEM ? err : TG_OK);
    }
    if (mapping == NULL) {
        return;
    }
    if (has_responses) {
        compile_response_mapping(compiler, integration->response_parameters_node, mapping);
    }
    for (size_t i = 0; i < mapping->response_count; i++) {
        const struct tg_httpmapping_rules *rules = &mapping->responses[i].rules;
        integration->response_body_mapped =
            integration->response_body_mapped || tg_httpmapping_reads(rules, TG_VAR_RESPONSE_BODY);
        integration->needs_body = integration->needs_body || tg_httpmapping_reads(rules, TG_VAR_BODY);
    }
    integration->needs_body = integration->needs_body || integration->response_body_mapped ||
                              tg_httpmapping_reads(&mapping->request, TG_VAR_BODY);
    integration->http_mapping = mapping;
}

static struct tg_vpc_link *find_link(struct tg_model *model, struct tg_slice id)
{
    for (size_t i = 0; i < model->vpc_links.count; i++) {
        if (tg_slice_eq(model->vpc_links.items[i].vpc_link_id, id)) {
            return &model->vpc_links.items[i];
        }
    }
    return NULL;
}

static void compile_link(struct model_compiler *compiler, struct tg_integration *integration)
{
    bool is_arn = tg_slice_starts(integration->integration_uri, TG_LIT("arn:"));
    if (!tg_slice_eq(integration->connection_type, TG_LIT("VPC_LINK"))) {
        if (is_arn) {
            MODEL_REPORT(compiler, integration->where, "integrationUri",
                         "an ARN needs connectionType VPC_LINK; otherwise give a URL");
        }
        return;
    }
    integration->link = find_link(compiler->model, integration->connection_id);
    if (integration->link == NULL) {
        MODEL_REPORT(compiler, integration->where, "connectionId",
                     "\"%.*s\" names no link in vpcLinks; connectionType VPC_LINK needs one",
                     TG_FMT(integration->connection_id));
    }
}

/* The URI with each stage's variables. */
static void compile_forward(struct model_compiler *compiler, struct tg_api *api,
                            struct tg_integration *integration)
{
    struct tg_forward *forward = model_allocate(compiler, (api->stages.count + 1) * sizeof *forward);
    for (size_t i = 0; forward != NULL && i < api->stages.count; i++) {
        const struct tg_stage *stage = &api->stages.items[i];
        struct tg_slice error = TG_EMPTY;
        enum tg_err err = tg_forward_compile(compiler->arena, integration->integration_uri,
                                             &stage->stage_variables, &forward[i], &error);
        if (err == TG_EINVAL) {
            MODEL_REPORT(compiler, integration->where, "integrationUri", "%.*s", TG_FMT(error));
        } else if (!model_failed(compiler, err) && forward[i].error.len > 0) {
            MODEL_REPORT(compiler, integration->where, "integrationUri", "in stage %.*s: %.*s",
                         TG_FMT(stage->stage_name), TG_FMT(forward[i].error));
        }
        if (err != TG_OK || forward[i].error.len > 0) {
            break;
        }
    }
    integration->forward = forward;
}

static void compile_proxy(struct model_compiler *compiler, struct tg_api *api,
                          struct tg_integration *integration)
{
    const struct tg_doc_node *where = integration->where;
    compile_link(compiler, integration);
    compile_forward(compiler, api, integration);
    if (!tg_header_name_ok(integration->integration_method) ||
        tg_slice_eq(integration->integration_method, TG_LIT("CONNECT"))) {
        MODEL_REPORT(compiler, where, "integrationMethod",
                     "\"%.*s\" cannot be used here; give a method or ANY",
                     TG_FMT(integration->integration_method));
    }
    if (model_may_be_https(integration->integration_uri)) {
        integration->trust = model_trust(compiler, &integration->tls_config, where);
    }
}

static void compile_mock(struct model_compiler *compiler, struct tg_integration *integration)
{
    struct tg_slice error = TG_EMPTY;
    enum tg_err err = tg_mock_compile(compiler->arena, integration, &integration->mock, &error);
    if (err != TG_OK && err != TG_ENOMEM) {
        MODEL_REPORT(compiler, integration->where, NULL, "%.*s", TG_FMT(error));
    }
    (void)model_failed(compiler, err);
    integration->needs_body = true;
}

static void close_files(void *arg)
{
    tg_static_unref(arg);
}

static void compile_static(struct model_compiler *compiler, struct tg_integration *integration)
{
    const char *why = NULL;
    struct tg_static *files = NULL;
    enum tg_err err = tg_static_new(&integration->files, &files, &why);
    if (err != TG_OK && err != TG_ENOMEM) {
        MODEL_REPORT(compiler, integration->files.where, "directory", "\"%.*s\": %s",
                     TG_FMT(integration->files.root), why);
    }
    if (model_failed(compiler, err == TG_ENOMEM ? err : TG_OK) || err != TG_OK) {
        return;
    }
    if (model_failed(compiler, tg_arena_defer(compiler->arena, close_files, files))) {
        tg_static_unref(files);
        return;
    }
    integration->files_opened = files;
}

static void compile_integration(struct model_compiler *compiler, struct tg_api *api,
                                struct tg_integration *integration)
{
    const struct tg_doc_node *where = integration->where;
    bool is_proxy = integration->integration_type == TG_INTEGRATION_HTTP_PROXY;
    if (!tg_integration_supported(TG_PROTOCOL_HTTP, integration->integration_type)) {
        MODEL_REPORT(
            compiler, where, "integrationType",
            "AWS and HTTP are for other kinds of API; HTTP_PROXY, AWS_PROXY, MOCK and STATIC are there");
        return;
    }
    if (integration->integration_subtype.len > 0) {
        MODEL_REPORT(compiler, where, "integrationSubtype",
                     "first-class services are not served by this version");
    }
    if (integration->websocket && !is_proxy) {
        MODEL_REPORT(compiler, where, "websocket", "needs integrationType HTTP_PROXY");
    }
    if (integration->integration_type == TG_INTEGRATION_MOCK) {
        compile_mock(compiler, integration);
    } else if (integration->integration_type == TG_INTEGRATION_STATIC) {
        compile_static(compiler, integration);
    } else if (is_proxy) {
        compile_proxy(compiler, api, integration);
    } else {
        integration->function_name =
            model_function(compiler, integration->integration_uri, where, "integrationUri");
        integration->needs_body = true;
    }
    if (integration->request_parameters.count > 0 && !is_proxy) {
        MODEL_REPORT(compiler, where, "requestParameters", "needs integrationType HTTP_PROXY");
    }
    compile_mapping(compiler, integration);
}

/* ---- routes ---- */

struct parameter_check {
    struct model_compiler *compiler;
    const struct tg_route *route;
    const struct tg_routekey *key;
};

static void check_parameter(void *arg, struct tg_slice name)
{
    const struct parameter_check *check = arg;
    for (size_t i = 0; check->key != NULL && i < check->key->count; i++) {
        const struct tg_routekey_segment *segment = &check->key->segments[i];
        if (segment->kind != TG_ROUTEKEY_LITERAL && tg_slice_eq(segment->text, name)) {
            return;
        }
    }
    MODEL_REPORT(check->compiler, check->route->where, "target",
                 "the integrationUri of its integration has {%.*s}, which is no parameter of the route %.*s",
                 TG_FMT(name), TG_FMT(check->route->route_key));
}

/* What the integration's URI takes from the path must be in the path. */
static void check_parameters(struct model_compiler *compiler, const struct tg_api *api,
                             const struct tg_route *route, const struct tg_routekey *key)
{
    struct parameter_check check = {.compiler = compiler, .route = route, .key = key};
    if (route->integration != NULL && route->integration->forward != NULL && api->stages.count > 0) {
        tg_forward_each_parameter(&route->integration->forward[0], check_parameter, &check);
    }
}

static void compile_route(struct model_compiler *compiler, struct tg_api *api, struct tg_route *route)
{
    struct tg_routekey *key = model_allocate(compiler, sizeof *key);
    struct tg_slice error = TG_EMPTY;
    if (key == NULL) {
        return;
    }
    model_compile_target(compiler, api, route);
    enum tg_err err = tg_routekey_parse(compiler->arena, route->route_key, key, &error);
    if (err == TG_OK && key->is_default) {
        if (api->default_route != NULL) {
            MODEL_REPORT(compiler, route->where, "routeKey",
                         "\"$default\" is there already; it must be unique");
        }
        api->default_route = route;
        check_parameters(compiler, api, route, NULL);
    } else if (err == TG_OK) {
        err = tg_pathtrie_add(api->paths, key, route, &error);
        check_parameters(compiler, api, route, key);
    }
    if (err == TG_OK) {
        /* By its text, for routeSettings; the trie has told of those that are the same. */
        err = tg_map_add(&api->route_map, route->route_key, route);
        (void)model_failed(compiler, err == TG_EEXIST ? TG_OK : err);
    } else if (err != TG_ENOMEM) {
        MODEL_REPORT(compiler, route->where, "routeKey", "%.*s", TG_FMT(error));
    }
    (void)model_failed(compiler, err == TG_ENOMEM ? err : TG_OK);
}

/* ---- the API ---- */

static void compile_cors(struct model_compiler *compiler, struct tg_api *api)
{
    struct tg_slice error = TG_EMPTY;
    const char *key = NULL;
    if (api->cors_configuration.where == NULL) {
        return;
    }
    enum tg_err err = tg_cors_compile(compiler->arena, &api->cors_configuration, &api->cors, &key, &error);
    if (err != TG_OK && err != TG_ENOMEM) {
        MODEL_REPORT(compiler, api->cors_configuration.where, key, "%.*s", TG_FMT(error));
    }
    (void)model_failed(compiler, err);
}

void model_compile_http(struct model_compiler *compiler, struct tg_api *api)
{
    struct tg_map ids;
    if (model_failed(compiler, tg_pathtrie_new(compiler->arena, &api->paths))) {
        return;
    }
    if (api->authorizers.count > 0) {
        MODEL_REPORT(compiler, api->where, "authorizers", "are not there for HTTP APIs in this version");
    }
    compile_cors(compiler, api);
    tg_map_init(&ids, 0);
    for (size_t i = 0; i < api->stages.count; i++) {
        struct tg_stage *stage = &api->stages.items[i];
        stage->index = i;
        model_add_unique(compiler, &ids, stage->stage_name, stage, stage->where, "stageName");
    }
    tg_map_free(&ids, NULL);
    for (size_t i = 0; i < api->integrations.count; i++) {
        struct tg_integration *integration = &api->integrations.items[i];
        model_add_unique(compiler, &ids, integration->integration_id, integration, integration->where,
                         "integrationId");
        compile_integration(compiler, api, integration);
    }
    tg_map_free(&ids, NULL);
    for (size_t i = 0; i < api->routes.count; i++) {
        api->routes.items[i].index = i;
        compile_route(compiler, api, &api->routes.items[i]);
    }
    for (size_t i = 0; i < api->stages.count; i++) {
        model_compile_stage(compiler, api, &api->stages.items[i]);
    }
}
