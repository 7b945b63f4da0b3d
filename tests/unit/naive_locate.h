/* Which API and stage a host and path reach as the definition reads (locate.h), by walking everything: what
 * the locator is held against. */
#ifndef TG_TESTS_NAIVE_LOCATE_H
#define TG_TESTS_NAIVE_LOCATE_H

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "routes/locate.h"

enum { NAIVE_HOST = 600, NAIVE_PARTS = 400, NAIVE_PART = 1200 };

struct naive_parts {
    char texts[NAIVE_PARTS][NAIVE_PART]; /* decoded */
    size_t lens[NAIVE_PARTS];
    size_t ends[NAIVE_PARTS]; /* bytes of the path up to the end of each */
    size_t count;
};

static int naive_hex(char c)
{
    char text[2] = {c, '\0'};
    long value = strtol(text, NULL, 16);
    return value != 0 || c == '0' ? (int)value : -1;
}

static void naive_parts(struct tg_slice path, struct naive_parts *parts)
{
    parts->count = 0;
    size_t at = 0;
    while (at < path.len && path.ptr[at] == '/' && parts->count < NAIVE_PARTS) {
        size_t n = parts->count++;
        parts->lens[n] = 0;
        for (at++; at < path.len && path.ptr[at] != '/'; at++) {
            char c = path.ptr[at];
            if (c == '%' && at + 2 < path.len && naive_hex(path.ptr[at + 1]) >= 0 &&
                naive_hex(path.ptr[at + 2]) >= 0) {
                c = (char)(naive_hex(path.ptr[at + 1]) * 16 + naive_hex(path.ptr[at + 2]));
                at += 2;
            }
            parts->texts[n][parts->lens[n]++] = c;
        }
        parts->ends[n] = at;
    }
}

static bool naive_part_is(const struct naive_parts *parts, size_t n, struct tg_slice text)
{
    return n < parts->count && tg_slice_eq(tg_slice_make(parts->texts[n], parts->lens[n]), text);
}

/* The name of a host, as a C string. */
static void naive_name(struct tg_slice host, char out[NAIVE_HOST])
{
    (void)snprintf(out, NAIVE_HOST, "%.*s", TG_FMT(host));
    char *end = out[0] == '[' && strchr(out, ']') != NULL   ? strchr(out, ']') + 1
                : out[0] != '[' && strchr(out, ':') != NULL ? strchr(out, ':')
                                                            : out + strlen(out);
    *end = '\0';
    if (end > out && end[-1] == '.') {
        end[-1] = '\0';
    }
}

/* 2: exactly; 1: by a wildcard; 0: not. */
static int naive_fit(struct tg_slice pattern, const char *name)
{
    char own[NAIVE_HOST];
    naive_name(pattern, own);
    if (strlen(name) > 255 || strcasecmp(own, name) == 0) {
        return strlen(name) > 255 ? 0 : 2;
    }
    const char *dot = strchr(name, '.');
    return own[0] == '*' && dot != NULL && dot > name && name[0] != '[' && strcasecmp(own + 1, dot) == 0;
}

static int naive_hosts_fit(const struct tg_locate_api *api, const char *name)
{
    int best = 0;
    for (size_t i = 0; i < api->hosts.count; i++) {
        int fit = naive_fit(api->hosts.items[i], name);
        best = fit > best ? fit : best;
    }
    return best;
}

static size_t naive_stage(const struct tg_locate_api *api, struct tg_slice name)
{
    for (size_t i = 0; i < api->stages.count; i++) {
        if (tg_slice_eq(api->stages.items[i], name)) {
            return i;
        }
    }
    return TG_LOCATE_NO_STAGE;
}

static void naive_custom(const struct tg_locate_config *config, const struct tg_locate_domain *domain,
                         struct tg_slice path, const struct naive_parts *parts, struct tg_location *out)
{
    size_t best = 0;
    for (size_t i = 0; i < domain->mapping_count; i++) {
        const struct tg_locate_mapping *mapping = &domain->mappings[i];
        struct tg_slice rest = tg_slice_eq(mapping->key, TG_LIT("(none)")) ? TG_EMPTY : mapping->key;
        size_t count = 0;
        bool fits = true;
        for (struct tg_slice key = rest; key.len > 0 && fits; count++) {
            fits = naive_part_is(parts, count, tg_slice_cut(key, '/', &key));
        }
        if (!fits || (count <= best && out->api != NULL)) {
            continue;
        }
        for (size_t a = 0; a < config->api_count; a++) {
            if (tg_slice_eq(config->apis[a].api_id, mapping->api_id)) {
                out->api = config->apis[a].api;
                out->is_http = config->apis[a].is_http;
                out->stage = naive_stage(&config->apis[a], mapping->stage);
            }
        }
        best = count;
        out->mapping_key = rest;
        out->base = tg_slice_head(path, count > 0 ? parts->ends[count - 1] : 0);
        out->path = tg_slice_from(path, out->base.len);
    }
    out->is_custom = true;
    out->domain_name = domain->name;
}

static const struct tg_locate_api *naive_api(const struct tg_locate_config *config, bool is_http,
                                             const char *name, bool *refused, bool *only)
{
    const struct tg_locate_api *found = NULL;
    size_t count = 0;
    for (int fit = 2; fit > 0; fit--) {
        for (size_t i = 0; i < config->api_count; i++) {
            if (config->apis[i].is_http == is_http && naive_hosts_fit(&config->apis[i], name) == fit) {
                return &config->apis[i];
            }
        }
    }
    for (size_t i = 0; i < config->api_count; i++) {
        const struct tg_locate_api *api = &config->apis[i];
        char id[NAIVE_HOST], label[NAIVE_HOST];
        (void)snprintf(id, sizeof id, "%.*s", TG_FMT(api->api_id));
        (void)snprintf(label, sizeof label, "%.*s", (int)strcspn(name, "."), name);
        if (api->is_http == is_http && strlen(name) <= 255 && strcasecmp(id, label) == 0) {
            *refused = api->disable_execute_api_endpoint;
            return *refused ? NULL : api;
        }
        if (api->is_http == is_http && api->hosts.count == 0 && !api->disable_execute_api_endpoint) {
            found = api;
            count++;
        }
    }
    *only = true;
    return count == 1 ? found : NULL;
}

/* Whether the parts from n on are a path of the management API. */
static bool naive_management(const struct tg_locate_config *config, const struct naive_parts *parts, size_t n,
                             struct tg_slice path)
{
    bool ends = n + 2 == parts->count && tg_slice_ends(path, TG_LIT("/connections"));
    return naive_part_is(parts, n, TG_LIT("@connections")) ||
           (config->has_batches && ends && naive_part_is(parts, n, TG_LIT("@tidegate")));
}

/* Fills *out for the API when the path leads to a stage of it; true: the path names it. */
static bool naive_stage_of(const struct tg_locate_config *config, const struct tg_locate_api *api,
                           struct tg_slice path, const struct naive_parts *parts, struct tg_location *out)
{
    out->api = api->api;
    out->is_http = api->is_http;
    for (size_t i = 0; i < api->stages.count; i++) {
        if (api->stages.items[i].len > 0 && naive_part_is(parts, 0, api->stages.items[i]) &&
            !tg_slice_eq(api->stages.items[i], TG_LIT("$default"))) {
            out->stage = i;
            out->stage_in_path = true;
            out->base = tg_slice_head(path, parts->ends[0]);
            out->path = tg_slice_from(path, parts->ends[0]);
            return true;
        }
    }
    if (api->is_http) {
        out->stage = naive_stage(api, TG_LIT("$default"));
    } else if (api->serve_at_root && api->stages.count > 0 &&
               (path.len == 0 || tg_slice_eq(path, TG_LIT("/")) ||
                naive_management(config, parts, 0, path))) {
        out->stage = 0;
    }
    return false;
}

static void naive_by_path(const struct tg_locate_config *config, const char *name, struct tg_slice path,
                          bool upgrade, const struct naive_parts *parts, struct tg_location *out)
{
    bool ws_refused = false, http_refused = false, ws_only = false, http_only = false;
    const struct tg_locate_api *ws = naive_api(config, false, name, &ws_refused, &ws_only);
    const struct tg_locate_api *http = naive_api(config, true, name, &http_refused, &http_only);
    if (ws_refused || http_refused) {
        out->is_http = http_refused;
        ws = ws_only ? NULL : ws;
        http = http_only ? NULL : http;
    }
    if (ws != NULL) {
        struct tg_location found = *out;
        bool named = naive_stage_of(config, ws, path, parts, &found);
        bool management = naive_management(config, parts, named ? 1 : 0, path);
        if (http == NULL || (found.stage != TG_LOCATE_NO_STAGE && (upgrade || management))) {
            *out = found;
            return;
        }
    }
    if (http != NULL) {
        (void)naive_stage_of(config, http, path, parts, out);
    }
}

static void naive_locate(const struct tg_locate_config *config, struct tg_slice host, struct tg_slice path,
                         bool upgrade, struct tg_location *out)
{
    static struct naive_parts parts;
    const struct tg_locate_domain *domain = NULL;
    bool has_http = false, has_ws = false, exact_host = false;
    char name[NAIVE_HOST];
    naive_name(host, name);
    naive_parts(path, &parts);
    *out = (struct tg_location){.stage = TG_LOCATE_NO_STAGE, .path = path, .base = tg_slice_head(path, 0)};
    for (size_t i = 0; i < config->api_count; i++) {
        exact_host = exact_host || naive_hosts_fit(&config->apis[i], name) == 2;
    }
    for (size_t i = 0; i < config->domain_count; i++) {
        int fit = naive_fit(config->domains[i].name, name);
        if (fit == 2 || (fit == 1 && domain == NULL && !exact_host)) {
            domain = &config->domains[i];
        }
    }
    for (size_t i = 0; i < config->api_count; i++) {
        const struct tg_locate_api *api = &config->apis[i];
        bool counts = domain == NULL;
        for (size_t m = 0; domain != NULL && m < domain->mapping_count; m++) {
            counts = counts || tg_slice_eq(domain->mappings[m].api_id, api->api_id);
        }
        has_http = has_http || (counts && api->is_http);
        has_ws = has_ws || (counts && !api->is_http);
    }
    out->is_http = has_http && !(upgrade && has_ws);
    if (domain != NULL) {
        naive_custom(config, domain, path, &parts, out);
    } else {
        naive_by_path(config, name, path, upgrade, &parts, out);
    }
    if (out->path.len == 0) {
        out->path = TG_LIT("/");
    }
}

/* Whether two locations say the same. */
static bool naive_same(const struct tg_location *a, const struct tg_location *b)
{
    return a->api == b->api && a->is_http == b->is_http && a->is_custom == b->is_custom &&
           a->stage_in_path == b->stage_in_path && a->stage == b->stage && tg_slice_eq(a->path, b->path) &&
           tg_slice_eq(a->base, b->base) && tg_slice_eq(a->mapping_key, b->mapping_key) &&
           tg_slice_eq(a->domain_name, b->domain_name);
}

#endif
