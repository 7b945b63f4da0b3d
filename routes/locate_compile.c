/* Compiles a locator: fills its maps and reports all that is wrong, so that one run of `tidegate check` shows
 * all errors. */
#include <stdarg.h>
#include <stdio.h>

#include "routes/expr.h"
#include "routes/locate_private.h"

enum { NAME_MAX_LENGTH = 253, TEXT_MAX = 512 };

struct compiler {
    struct tg_arena *arena;
    const struct tg_locate_config *config;
    struct tg_locator *locator;
    tg_locate_report *report;
    void *arg;
    size_t errors;
    bool out_of_memory;
};

static const char *const protocol_names[] = {[LOCATE_WEBSOCKET] = "WebSocket", [LOCATE_HTTP] = "HTTP"};

static void TG_PRINTF(4, 5)
    fail(struct compiler *compiler, const struct tg_doc_node *where, const char *key, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    compiler->errors++;
    compiler->report(compiler->arg, where, key, text);
}

/* A map's values are not const; those of the locator are written here alone. */
static enum tg_err add(struct compiler *compiler, struct tg_map *map, struct tg_slice key, const void *value)
{
    union {
        const void *in;
        void *out;
    } pointer = {.in = value};
    enum tg_err err = tg_map_add(map, key, pointer.out);
    compiler->out_of_memory = compiler->out_of_memory || err == TG_ENOMEM;
    return err;
}

static void *allocate(struct compiler *compiler, size_t size)
{
    void *at = tg_arena_zalloc(compiler->arena, size);
    compiler->out_of_memory = compiler->out_of_memory || at == NULL;
    return at;
}

/* ---- hosts ---- */

static bool is_address(struct tg_slice text)
{
    for (size_t i = 1; i + 1 < text.len; i++) {
        char c = text.ptr[i];
        if (c != ':' && c != '.' && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return false;
        }
    }
    return text.len > 2 && text.ptr[text.len - 1] == ']';
}

/* What is wrong with a host in lower case, or NULL. */
static const char *check_host(struct tg_slice host)
{
    struct tg_slice rest = host;
    if (host.len > 0 && host.ptr[0] == '[') {
        return is_address(host) ? NULL : "expected an IPv6 address in brackets";
    }
    if (host.len == 0 || host.len > NAME_MAX_LENGTH) {
        return "expected 1 to 253 characters";
    }
    while (rest.ptr != NULL) {
        struct tg_slice label = tg_slice_cut(rest, '.', &rest);
        bool wildcard = label.ptr == host.ptr && tg_slice_eq(label, TG_LIT("*")) && rest.len > 0;
        if (!wildcard && !tg_expr_is_name(label, "-_")) {
            return "expected a host name, or one whose first label is `*` (names of other scripts in their "
                   "xn-- form)";
        }
    }
    return NULL;
}

/* The entry of a host, made if there is none yet; NULL: an error, reported. */
static struct locate_name *name_of(struct compiler *compiler, const struct tg_doc_node *where,
                                   const char *key, struct tg_slice host)
{
    char buffer[LOCATE_HOST_MAX];
    bool in_brackets = host.len > 0 && host.ptr[0] == '[';
    if (!in_brackets && tg_slice_find(host, ':') < host.len) {
        fail(compiler, where, key,
             "\"%.*s\": a host has no port, and an IPv6 address stands in brackets: [::1]", TG_FMT(host));
        return NULL;
    }
    struct tg_slice name = locate_host(host, buffer);
    const char *why = in_brackets && tg_slice_find(host, ']') + 1 < host.len
                          ? "expected an IPv6 address in brackets, without a port"
                          : check_host(name);
    if (why != NULL) {
        fail(compiler, where, key, "\"%.*s\": %s", TG_FMT(host), why);
        return NULL;
    }
    struct locate_name *entry = tg_map_get(&compiler->locator->names, name);
    if (entry == NULL) {
        entry = allocate(compiler, sizeof *entry);
        if (entry == NULL || add(compiler, &compiler->locator->names, name, entry) != TG_OK) {
            return NULL;
        }
    }
    return entry;
}

/* ---- APIs ---- */

static void add_api(struct compiler *compiler, const struct tg_locate_api *api)
{
    struct tg_slice id = api->api_id;
    char *lower = allocate(compiler, id.len + 1);
    if (lower == NULL) {
        return;
    }
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    if (add(compiler, &compiler->locator->ids, tg_slice_make(lower, id.len), api) == TG_EEXIST) {
        const struct tg_locate_api *other = tg_map_get(&compiler->locator->ids, tg_slice_make(lower, id.len));
        fail(compiler, api->where, "apiId",
             tg_slice_eq(other->api_id, id)
                 ? "\"%.*s\" is there already; it must be unique"
                 : "\"%.*s\" is there already in other case, which host names do not tell apart",
             TG_FMT(id));
    }
    for (size_t i = 0; i < api->hosts.count; i++) {
        struct tg_slice host = api->hosts.items[i];
        struct locate_name *name = name_of(compiler, api->where, "hosts", host);
        if (name != NULL && name->apis[api->is_http] != NULL) {
            fail(compiler, api->where, "hosts", "\"%.*s\" reaches the %s API \"%.*s\" already", TG_FMT(host),
                 protocol_names[api->is_http], TG_FMT(name->apis[api->is_http]->api_id));
        } else if (name != NULL) {
            name->apis[api->is_http] = api;
        }
    }
}

/* The only API of each protocol that any host may mean. */
static void find_only(struct compiler *compiler)
{
    struct tg_locator *locator = compiler->locator;
    size_t counts[LOCATE_PROTOCOLS] = {0};
    for (size_t i = 0; i < compiler->config->api_count; i++) {
        const struct tg_locate_api *api = &compiler->config->apis[i];
        locator->has[api->is_http] = true;
        if (api->hosts.count == 0 && !api->disable_execute_api_endpoint) {
            locator->only[api->is_http] = counts[api->is_http]++ == 0 ? api : NULL;
        }
    }
}

/* ---- custom domains ---- */

/* What is wrong with a mapping key that is not empty, or NULL. */
static const char *check_key(struct tg_slice key)
{
    struct tg_slice rest = key;
    if (key.len > LOCATE_KEY_MAX) {
        return "more than 300 characters";
    }
    while (rest.ptr != NULL) {
        struct tg_slice segment = tg_slice_cut(rest, '/', &rest);
        if (segment.len == 0) {
            return "`/` stands between segments, not at the beginning, at the end, or twice";
        }
        if (!tg_expr_is_name(segment, "$-_.+!*'()")) {
            return "expected letters, digits and $-_.+!*'()/";
        }
        if (tg_slice_eq(segment, TG_LIT("..")) || tg_slice_eq(segment, TG_LIT("."))) {
            return "`.` and `..` are no segments";
        }
    }
    return NULL;
}

static const struct tg_locate_api *find_api(const struct compiler *compiler, struct tg_slice id)
{
    for (size_t i = 0; i < compiler->config->api_count; i++) {
        if (tg_slice_eq(compiler->config->apis[i].api_id, id)) {
            return &compiler->config->apis[i];
        }
    }
    return NULL;
}

/* Fills in where the mapping leads; false: reported. */
static bool resolve(struct compiler *compiler, const struct tg_locate_mapping *config,
                    struct locate_mapping *mapping)
{
    mapping->api = find_api(compiler, config->api_id);
    if (mapping->api == NULL) {
        fail(compiler, config->where, "apiId", "\"%.*s\" names no API", TG_FMT(config->api_id));
        return false;
    }
    mapping->stage = locate_stage(mapping->api, config->stage);
    if (mapping->stage == TG_LOCATE_NO_STAGE) {
        fail(compiler, config->where, "stage", "\"%.*s\" names no stage of the API \"%.*s\"",
             TG_FMT(config->stage), TG_FMT(config->api_id));
        return false;
    }
    mapping->key = tg_slice_eq(config->key, TG_LIT("(none)")) ? TG_EMPTY : config->key;
    const char *why = mapping->key.len > 0 ? check_key(mapping->key) : NULL;
    if (why != NULL) {
        fail(compiler, config->where, "apiMappingKey", "\"%.*s\": %s", TG_FMT(config->key), why);
    }
    return why == NULL;
}

static void add_mapping(struct compiler *compiler, struct locate_domain *domain,
                        const struct tg_locate_mapping *config)
{
    char key[LOCATE_ID_SIZE + LOCATE_KEY_MAX];
    struct locate_mapping *mapping = allocate(compiler, sizeof *mapping);
    if (mapping == NULL || !resolve(compiler, config, mapping)) {
        return;
    }
    memcpy(key, &domain->id, LOCATE_ID_SIZE);
    if (mapping->key.len > 0) {
        memcpy(key + LOCATE_ID_SIZE, mapping->key.ptr, mapping->key.len);
    }
    if (add(compiler, &compiler->locator->mappings, tg_slice_make(key, LOCATE_ID_SIZE + mapping->key.len),
            mapping) == TG_EEXIST) {
        fail(compiler, config->where, "apiMappingKey",
             mapping->key.len > 0 ? "\"%.*s\" is there already in this domain"
                                  : "%.*sthere is a mapping without a key in this domain already",
             TG_FMT(mapping->key));
        return;
    }
    domain->has[mapping->api->is_http] = true;
    domain->longest = mapping->key.len > domain->longest ? mapping->key.len : domain->longest;
}

static void add_domain(struct compiler *compiler, const struct tg_locate_domain *config, uint32_t id)
{
    struct locate_domain *domain = allocate(compiler, sizeof *domain);
    if (domain == NULL) {
        return;
    }
    *domain = (struct locate_domain){.config = config, .id = id};
    struct locate_name *name = name_of(compiler, config->where, "domainName", config->name);
    if (name != NULL && name->domain != NULL) {
        fail(compiler, config->where, "domainName", "\"%.*s\" is there already; it must be unique",
             TG_FMT(config->name));
    } else if (name != NULL && (name->apis[LOCATE_WEBSOCKET] != NULL || name->apis[LOCATE_HTTP] != NULL)) {
        const struct tg_locate_api *api = name->apis[name->apis[LOCATE_HTTP] != NULL];
        fail(compiler, config->where, "domainName", "\"%.*s\" is in the hosts of the API \"%.*s\" already",
             TG_FMT(config->name), TG_FMT(api->api_id));
    } else if (name != NULL) {
        name->domain = domain;
    }
    for (size_t i = 0; i < config->mapping_count; i++) {
        add_mapping(compiler, domain, &config->mappings[i]);
    }
}

/* ---- the whole ---- */

static void destroy(void *arg)
{
    struct tg_locator *locator = arg;
    tg_map_free(&locator->names, NULL);
    tg_map_free(&locator->ids, NULL);
    tg_map_free(&locator->mappings, NULL);
}

enum tg_err tg_locator_compile(struct tg_arena *arena, const struct tg_locate_config *config,
                               tg_locate_report *report, void *arg, struct tg_locator **out)
{
    struct tg_locator *locator = tg_arena_zalloc(arena, sizeof *locator);
    if (locator == NULL || config->domain_count > UINT32_MAX) {
        return TG_ENOMEM;
    }
    struct compiler compiler = {
        .arena = arena, .config = config, .locator = locator, .report = report, .arg = arg};
    locator->has_batches = config->has_batches;
    tg_map_init(&locator->names, 0);
    tg_map_init(&locator->ids, 0);
    tg_map_init(&locator->mappings, 0);
    enum tg_err err = tg_arena_defer(arena, destroy, locator);
    if (err != TG_OK) {
        return err;
    }
    for (size_t i = 0; i < config->api_count; i++) {
        add_api(&compiler, &config->apis[i]);
    }
    find_only(&compiler);
    for (size_t i = 0; i < config->domain_count; i++) {
        add_domain(&compiler, &config->domains[i], (uint32_t)i);
    }
    if (compiler.out_of_memory) {
        return TG_ENOMEM;
    }
    if (compiler.errors > 0) {
        return TG_EINVAL;
    }
    *out = locator;
    return TG_OK;
}
