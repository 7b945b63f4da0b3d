/* Compiles what stands beside APIs: private integrations (vpcLinks), and the domains by which APIs are
 * reached. */
#include "routes/locate.h"
#include "routes/model_private.h"
#include "routes/target.h"
#include "server/io/upstream_group.h"

/* ---- private integrations ---- */

static uint64_t milliseconds(double seconds)
{
    return (uint64_t)(seconds * 1000.0);
}

static void compile_link_target(struct model_compiler *compiler, struct tg_vpc_link *link,
                                const struct tg_link_target *target, struct tg_upstream_target_options *out)
{
    struct tg_target_address address;
    const char *what = NULL;
    enum tg_err err = tg_target_parse(compiler->arena, target->url, &address, &what);
    if (err == TG_OK && !tg_slice_eq(address.path_query, TG_LIT("/"))) {
        err = TG_EINVAL;
        what = "a target has no path: that comes from the integrationUri";
    }
    if (err != TG_OK) {
        if (!model_failed(compiler, err == TG_ENOMEM ? err : TG_OK)) {
            MODEL_REPORT(compiler, target->where, "url", "%s", what);
        }
        return;
    }
    out->name = target->url;
    out->origin = address.origin;
    out->origin.server_name = link->tls_config.server_name_to_verify;
    if (address.origin.tls) {
        out->origin.trust = model_trust(compiler, &link->tls_config, link->where);
        out->origin.server_name = link->tls_config.server_name_to_verify; /* backendTls may have set it */
    }
}

static void compile_link(struct model_compiler *compiler, struct tg_vpc_link *link)
{
    struct tg_upstream_group_options *options = model_allocate(compiler, sizeof *options);
    struct tg_upstream_target_options *targets =
        model_allocate(compiler, (link->targets.count + 1) * sizeof *targets);
    if (options == NULL || targets == NULL) {
        return;
    }
    if (link->targets.count == 0) {
        MODEL_REPORT(compiler, link->where, "targets", "at least one is needed");
    }
    for (size_t i = 0; i < link->targets.count; i++) {
        compile_link_target(compiler, link, &link->targets.items[i], &targets[i]);
        for (size_t j = 0; j < i; j++) {
            if (tg_slice_eq(link->targets.items[i].url, link->targets.items[j].url)) {
                MODEL_REPORT(compiler, link->targets.items[i].where, "url", "is that of targets[%zu] as well",
                             j);
            }
        }
    }
    const struct tg_link_check *check = &link->health_check;
    if (check->where != NULL && (check->interval_seconds < 0.001 || check->path.ptr[0] != '/')) {
        MODEL_REPORT(compiler, check->where, NULL,
                     "intervalSeconds must be at least 0.001, and path must begin with /");
    }
    if (check->where != NULL && check->status_min > check->status_max) {
        MODEL_REPORT(compiler, check->where, "statusMin", "must not exceed statusMax");
    }
    *options = (struct tg_upstream_group_options){
        .name = link->vpc_link_id,
        .targets = targets,
        .target_count = link->targets.count,
        .eject_after = (unsigned)link->ejection.failures,
        .eject_ms = milliseconds(link->ejection.seconds),
        .eject_max_ms = milliseconds(link->ejection.max_seconds),
        .max_attempts = (unsigned)link->max_attempts,
        .attempt_timeout_ms = (uint64_t)link->attempt_timeout_millis,
    };
    if (check->where != NULL) {
        options->check = (struct tg_upstream_check_options){
            .path = check->path,
            .host = check->host,
            .interval_ms = milliseconds(check->interval_seconds),
            .timeout_ms = (uint64_t)check->timeout_millis,
            .healthy_threshold = (unsigned)check->healthy_threshold,
            .unhealthy_threshold = (unsigned)check->unhealthy_threshold,
            .status_min = (int)check->status_min,
            .status_max = (int)check->status_max,
        };
    }
    link->options = options;
}

void model_compile_links(struct model_compiler *compiler)
{
    struct tg_map ids;
    tg_map_init(&ids, 0);
    for (size_t i = 0; i < compiler->model->vpc_links.count; i++) {
        struct tg_vpc_link *link = &compiler->model->vpc_links.items[i];
        model_add_unique(compiler, &ids, link->vpc_link_id, link, link->where, "vpcLinkId");
        compile_link(compiler, link);
    }
    tg_map_free(&ids, NULL);
}

/* ---- who is reached by which host and path ---- */

static void report_location(void *arg, const struct tg_doc_node *where, const char *key, const char *text)
{
    struct model_compiler *compiler = arg;
    MODEL_REPORT(compiler, where, key, "%s", text);
}

static void fill_api(struct model_compiler *compiler, const struct tg_api *api, struct tg_locate_api *out)
{
    struct tg_slice *stages = model_allocate(compiler, (api->stages.count + 1) * sizeof *stages);
    for (size_t i = 0; stages != NULL && i < api->stages.count; i++) {
        stages[i] = api->stages.items[i].stage_name;
    }
    *out = (struct tg_locate_api){
        .where = api->where,
        .api = api,
        .api_id = api->api_id,
        .is_http = api->protocol_type == TG_PROTOCOL_HTTP,
        .disable_execute_api_endpoint = api->disable_execute_api_endpoint,
        .serve_at_root = api->settings.serve_at_root,
        .hosts = api->hosts,
        .stages = {stages, stages != NULL ? api->stages.count : 0},
    };
}

/* The mappings under the domain, and those beside it that name it. */
static void fill_domain(struct model_compiler *compiler, const struct tg_domain_name *domain,
                        struct tg_locate_domain *out)
{
    const struct tg_api_mappings *beside = &compiler->model->api_mappings;
    struct tg_locate_mapping *mappings =
        model_allocate(compiler, (domain->api_mappings.count + beside->count + 1) * sizeof *mappings);
    size_t count = 0;
    for (size_t i = 0; mappings != NULL && i < domain->api_mappings.count + beside->count; i++) {
        bool own = i < domain->api_mappings.count;
        const struct tg_api_mapping *mapping =
            own ? &domain->api_mappings.items[i] : &beside->items[i - domain->api_mappings.count];
        if (own ? mapping->domain_name.len == 0 ||
                      tg_slice_eq_nocase(mapping->domain_name, domain->domain_name)
                : tg_slice_eq_nocase(mapping->domain_name, domain->domain_name)) {
            mappings[count++] = (struct tg_locate_mapping){
                .where = mapping->where,
                .api_id = mapping->api_id,
                .stage = mapping->stage,
                .key = mapping->api_mapping_key,
            };
        } else if (own) {
            MODEL_REPORT(compiler, mapping->where, "domainName", "is not that of the domain it stands under");
        }
    }
    *out = (struct tg_locate_domain){
        .where = domain->where,
        .name = domain->domain_name,
        .mappings = mappings,
        .mapping_count = count,
    };
}

static void check_mappings(struct model_compiler *compiler)
{
    const struct tg_model *model = compiler->model;
    for (size_t i = 0; i < model->api_mappings.count; i++) {
        const struct tg_api_mapping *mapping = &model->api_mappings.items[i];
        bool known = false;
        for (size_t j = 0; j < model->domain_names.count; j++) {
            known =
                known || tg_slice_eq_nocase(mapping->domain_name, model->domain_names.items[j].domain_name);
        }
        if (!known) {
            MODEL_REPORT(compiler, mapping->where, "domainName", "\"%.*s\" is none of domainNames",
                         TG_FMT(mapping->domain_name));
        }
    }
}

void model_compile_locator(struct model_compiler *compiler)
{
    struct tg_model *model = compiler->model;
    struct tg_locate_api *apis = model_allocate(compiler, (model->apis.count + 1) * sizeof *apis);
    struct tg_locate_domain *domains =
        model_allocate(compiler, (model->domain_names.count + 1) * sizeof *domains);
    struct tg_locator *locator = NULL;
    if (apis == NULL || domains == NULL) {
        return;
    }
    check_mappings(compiler);
    for (size_t i = 0; i < model->apis.count; i++) {
        fill_api(compiler, &model->apis.items[i], &apis[i]);
    }
    for (size_t i = 0; i < model->domain_names.count; i++) {
        fill_domain(compiler, &model->domain_names.items[i], &domains[i]);
    }
    if (compiler->out_of_memory) {
        return;
    }
    const struct tg_locate_config config = {
        .apis = apis,
        .api_count = model->apis.count,
        .domains = domains,
        .domain_count = model->domain_names.count,
        .has_batches = model->management.batch_max_connections > 0,
    };
    enum tg_err err = tg_locator_compile(compiler->arena, &config, report_location, compiler, &locator);
    (void)model_failed(compiler, err == TG_EINVAL ? TG_OK : err);
    model->locator = locator;
}
