/* Compiles a model: resolves references, compiles expressions, and reports what one row of an option table
 * cannot see. Everything is tried, so that one run of `tidegate check` shows all errors. */
#include "routes/accesslog.h"
#include "routes/mapping.h"
#include "routes/model_private.h"
#include "routes/request.h"
#include "routes/selection.h"
#include "routes/source.h"
#include "routes/stagevars.h"

/* Notes want of memory, which ends the whole; other errors have been reported. */
bool model_failed(struct model_compiler *compiler, enum tg_err err)
{
    compiler->out_of_memory = compiler->out_of_memory || err == TG_ENOMEM;
    return err != TG_OK;
}

void *model_allocate(struct model_compiler *compiler, size_t size)
{
    void *at = tg_arena_zalloc(compiler->arena, size);
    compiler->out_of_memory = compiler->out_of_memory || at == NULL;
    return at;
}

void model_add_unique(struct model_compiler *compiler, struct tg_map *map, struct tg_slice key,
                      const void *value, const struct tg_doc_node *where, const char *what)
{
    union {
        const void *in;
        void *out;
    } pointer = {.in = value};
    enum tg_err err = tg_map_add(map, key, pointer.out);
    if (err == TG_EEXIST) {
        MODEL_REPORT(compiler, where, what, "\"%.*s\" is there already; it must be unique", TG_FMT(key));
    } else {
        (void)model_failed(compiler, err);
    }
}

static struct tg_integration *find_integration(struct tg_api *api, struct tg_slice id)
{
    for (size_t i = 0; i < api->integrations.count; i++) {
        if (tg_slice_eq(api->integrations.items[i].integration_id, id)) {
            return &api->integrations.items[i];
        }
    }
    return NULL;
}

/* ---- routes ---- */

void model_compile_target(struct model_compiler *compiler, struct tg_api *api, struct tg_route *route)
{
    static const struct tg_slice prefix = TG_LIT_INIT("integrations/");
    if (route->target.len == 0) {
        return;
    }
    if (tg_slice_starts(route->target, prefix)) {
        route->integration = find_integration(api, tg_slice_from(route->target, prefix.len));
    }
    if (route->integration == NULL) {
        MODEL_REPORT(compiler, route->where, "target",
                     "\"%.*s\" names no integration of this API; expected integrations/ID",
                     TG_FMT(route->target));
    }
}

static void compile_authorization(struct model_compiler *compiler, struct tg_api *api, struct tg_route *route)
{
    bool is_connect = tg_slice_eq(route->route_key, TG_LIT("$connect"));
    if (route->authorization_type != TG_AUTH_NONE && !is_connect) {
        MODEL_REPORT(compiler, route->where, "authorizationType",
                     "authorization is possible on the $connect route only");
        return;
    }
    if (route->authorization_type == TG_AUTH_JWT) {
        MODEL_REPORT(compiler, route->where, "authorizationType",
                     "JWT is for HTTP APIs; use CUSTOM or AWS_IAM");
    }
    if (route->authorization_type != TG_AUTH_CUSTOM) {
        return;
    }
    for (size_t i = 0; i < api->authorizers.count; i++) {
        if (tg_slice_eq(api->authorizers.items[i].authorizer_id, route->authorizer_id)) {
            route->authorizer = &api->authorizers.items[i];
        }
    }
    if (route->authorizer == NULL) {
        MODEL_REPORT(compiler, route->where, "authorizerId", "\"%.*s\" names no authorizer of this API",
                     TG_FMT(route->authorizer_id));
    }
}

static void compile_parameters(struct model_compiler *compiler, struct tg_route *route)
{
    enum tg_var_scope scope;
    struct tg_slice name;
    for (size_t i = 0; i < route->request_parameters.count; i++) {
        struct tg_slice text = route->request_parameters.items[i].name;
        if (!tg_route_parameter_parse(text, &scope, &name)) {
            MODEL_REPORT(compiler, route->where, "requestParameters",
                         "\"%.*s\": expected route.request.querystring.NAME or route.request.header.NAME",
                         TG_FMT(text));
        } else if (!tg_slice_eq(route->route_key, TG_LIT("$connect"))) {
            MODEL_REPORT(compiler, route->where, "requestParameters",
                         "only the $connect route has headers and a query string");
        }
    }
}

static bool declares(const struct tg_route *route, const struct tg_source *source)
{
    enum tg_var_scope scope;
    struct tg_slice name;
    bool header = source->scope == TG_VAR_HEADER || source->scope == TG_VAR_MULTIHEADER;
    for (size_t i = 0; route != NULL && i < route->request_parameters.count; i++) {
        if (tg_route_parameter_parse(route->request_parameters.items[i].name, &scope, &name) &&
            (scope == TG_VAR_HEADER) == header &&
            (header ? tg_slice_eq_nocase(name, source->text) : tg_slice_eq(name, source->text))) {
            return true;
        }
    }
    return false;
}

/* What an integration maps from the handshake must be declared on $connect (spec 4.1). */
static void check_declared(struct model_compiler *compiler, const struct tg_api *api,
                           const struct tg_integration *integration)
{
    for (size_t i = 0; integration->mapping != NULL && i < integration->mapping->count; i++) {
        const struct tg_source *source = &integration->mapping->rules[i].source;
        if (!source->is_literal && tg_source_is_parameter(source) && !declares(api->connect_route, source)) {
            MODEL_REPORT(compiler, integration->where, "requestParameters",
                         "\"%.*s\" is mapped but not declared in the requestParameters of the $connect route",
                         TG_FMT(source->text));
        }
    }
}

static void compile_route(struct model_compiler *compiler, struct tg_api *api, struct tg_route *route)
{
    struct tg_slice key = route->route_key;
    if (tg_slice_eq(key, TG_LIT("$connect"))) {
        if (api->connect_route != NULL) {
            MODEL_REPORT(compiler, route->where, "routeKey",
                         "\"$connect\" is there already; it must be unique");
        }
        api->connect_route = route;
    } else if (tg_slice_eq(key, TG_LIT("$disconnect"))) {
        if (api->disconnect_route != NULL) {
            MODEL_REPORT(compiler, route->where, "routeKey",
                         "\"$disconnect\" is there already; it must be unique");
        }
        api->disconnect_route = route;
    } else if (key.len > 0 && key.ptr[0] == '$' && !tg_slice_eq(key, TG_LIT("$default"))) {
        MODEL_REPORT(compiler, route->where, "routeKey",
                     "\"%.*s\" cannot begin with '$'; only $connect, $disconnect and $default do",
                     TG_FMT(key));
    } else {
        model_add_unique(compiler, &api->route_map, key, route, route->where, "routeKey");
        if (tg_slice_eq(key, TG_LIT("$default"))) {
            api->default_route = route;
        }
    }
    model_compile_target(compiler, api, route);
    compile_authorization(compiler, api, route);
    compile_parameters(compiler, route);
    if (route->api_key_required) {
        MODEL_REPORT(compiler, route->where, "apiKeyRequired", "API keys are not supported yet");
    }
    if (route->model_selection_expression.len > 0) {
        MODEL_REPORT(compiler, route->where, "modelSelectionExpression",
                     "validation by models is not supported yet");
    }
    struct tg_slice response = route->route_response_selection_expression;
    if (response.len > 0 && !tg_slice_eq(response, TG_LIT("$default"))) {
        MODEL_REPORT(compiler, route->where, "routeResponseSelectionExpression",
                     "the only expression allowed is $default");
    }
    route->two_way = response.len > 0;
    for (size_t i = 0; i < route->route_responses.count; i++) {
        const struct tg_route_response *item = &route->route_responses.items[i];
        if (!tg_slice_eq(item->route_response_key, TG_LIT("$default"))) {
            MODEL_REPORT(compiler, item->where, "routeResponseKey", "the only key allowed is $default");
        }
        route->two_way = true;
    }
}

/* ---- stages ---- */

void model_compile_stage(struct model_compiler *compiler, struct tg_api *api, struct tg_stage *stage)
{
    struct tg_slice error;
    stage->access_fd = -1;
    for (size_t i = 0; i < stage->stage_variables.count; i++) {
        const struct tg_string_pair *pair = &stage->stage_variables.items[i];
        if (!tg_stagevars_name_ok(pair->key) || !tg_stagevars_value_ok(pair->value)) {
            MODEL_REPORT(
                compiler, stage->where, "stageVariables",
                "\"%.*s\": names are 1-64 letters, digits and '_'; values 1-512 of A-Z a-z 0-9 - . _ ~ : "
                "/ ? # & = ,",
                TG_FMT(pair->key));
        }
    }
    for (size_t i = 0; i < stage->route_settings.count; i++) {
        struct tg_slice key = stage->route_settings.items[i].route_key;
        bool known = tg_map_get(&api->route_map, key) != NULL ||
                     (api->connect_route != NULL && tg_slice_eq(key, TG_LIT("$connect"))) ||
                     (api->disconnect_route != NULL && tg_slice_eq(key, TG_LIT("$disconnect")));
        if (!known) {
            MODEL_REPORT(compiler, stage->where, "routeSettings", "\"%.*s\" is no route of this API",
                         TG_FMT(key));
        }
    }
    if (stage->access_log_settings.format.len == 0) {
        return;
    }
    struct tg_accesslog *log = model_allocate(compiler, sizeof *log);
    if (log == NULL) {
        return;
    }
    enum tg_err err = tg_accesslog_compile(compiler->arena, stage->access_log_settings.format, log, &error);
    if (err != TG_OK && err != TG_ENOMEM) {
        MODEL_REPORT(compiler, stage->where, "accessLogSettings", "format: %.*s", TG_FMT(error));
    }
    if (!model_failed(compiler, err)) {
        stage->access_log = log;
    }
}

/* ---- APIs ---- */

static void compile_selection(struct model_compiler *compiler, struct tg_api *api)
{
    struct tg_slice error;
    if (api->route_selection_expression.len == 0) {
        MODEL_REPORT(compiler, api->where, "routeSelectionExpression",
                     "missing; a WebSocket API needs one, such as $request.body.action");
        return;
    }
    struct tg_selection *selection = model_allocate(compiler, sizeof *selection);
    if (selection == NULL) {
        return;
    }
    enum tg_err err = tg_selection_compile(compiler->arena, api->route_selection_expression, TG_SELECT_BODY,
                                           selection, &error);
    if (err == TG_ESYNTAX) {
        MODEL_REPORT(compiler, api->where, "routeSelectionExpression", "%.*s", TG_FMT(error));
    }
    if (!model_failed(compiler, err)) {
        api->route_selection = selection;
    }
}

static void compile_api(struct model_compiler *compiler, struct tg_api *api)
{
    struct tg_map ids;
    model_add_unique(compiler, &compiler->model->api_map, api->api_id, api, api->where, "apiId");
    if (api->protocol_type == TG_PROTOCOL_HTTP) {
        model_compile_http(compiler, api);
        return;
    }
    compile_selection(compiler, api);
    tg_map_init(&ids, 0);
    for (size_t i = 0; i < api->integrations.count; i++) {
        struct tg_integration *integration = &api->integrations.items[i];
        model_add_unique(compiler, &ids, integration->integration_id, integration, integration->where,
                         "integrationId");
        model_compile_integration(compiler, api, integration);
    }
    tg_map_free(&ids, NULL);
    for (size_t i = 0; i < api->authorizers.count; i++) {
        struct tg_authorizer *authorizer = &api->authorizers.items[i];
        model_add_unique(compiler, &ids, authorizer->authorizer_id, authorizer, authorizer->where,
                         "authorizerId");
        model_compile_authorizer(compiler, authorizer);
    }
    tg_map_free(&ids, NULL);
    for (size_t i = 0; i < api->routes.count; i++) {
        api->routes.items[i].index = i;
        compile_route(compiler, api, &api->routes.items[i]);
    }
    for (size_t i = 0; i < api->integrations.count; i++) {
        check_declared(compiler, api, &api->integrations.items[i]);
    }
    for (size_t i = 0; i < api->stages.count; i++) {
        struct tg_stage *stage = &api->stages.items[i];
        stage->index = i;
        model_add_unique(compiler, &ids, stage->stage_name, stage, stage->where, "stageName");
        model_compile_stage(compiler, api, stage);
    }
    tg_map_free(&ids, NULL);
}

enum tg_err tg_model_compile(struct tg_model *model, struct tg_options_report *report)
{
    struct model_compiler compiler = {.model = model, .report = report, .arena = model->arena};
    size_t errors = report->errors;
    for (size_t i = 0; i < model->apis.count; i++) {
        for (size_t j = 0; j < model->apis.items[i].stages.count; j++) {
            model->apis.items[i].stages.items[j].access_fd = -1;
        }
    }
    model_compile_functions(&compiler);
    model_compile_credentials(&compiler);
    model_compile_links(&compiler);
    for (size_t i = 0; i < model->apis.count; i++) {
        model->apis.items[i].index = i;
        compile_api(&compiler, &model->apis.items[i]);
    }
    model_compile_locator(&compiler);
    if (compiler.out_of_memory || report->out_of_memory) {
        return TG_ENOMEM;
    }
    return report->errors > errors ? TG_EINVAL : TG_OK;
}
