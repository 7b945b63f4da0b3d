#include "routes/locate.h"

#include "routes/locate_private.h"
#include "server/base/codec.h"

/* Bytes of a segment, as on the wire, that may name a stage or be part of a mapping key: three times those of
 * the longest name. */
enum { SEGMENT_MAX = 3 * LOCATE_KEY_MAX };

/* ---- hosts ---- */

struct tg_slice locate_host(struct tg_slice host, char buffer[LOCATE_HOST_MAX])
{
    struct tg_slice name = tg_slice_head(host, tg_slice_find(host, ':'));
    if (host.len > 0 && host.ptr[0] == '[') {
        name = tg_slice_head(host, tg_slice_find(host, ']') + 1);
    }
    if (name.len > 0 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    if (name.len > LOCATE_HOST_MAX) {
        name.len = 0;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        buffer[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return tg_slice_make(buffer, name.len);
}

/* Whom the name with `*` instead of its first label belongs to, or NULL. */
static const struct locate_name *find_wildcard(const struct tg_locator *locator, struct tg_slice host)
{
    char wildcard[LOCATE_HOST_MAX + 1];
    if (locator->names.count == 0) {
        return NULL;
    }
    size_t dot = tg_slice_find(host, '.');
    if (dot == 0 || dot == host.len || host.ptr[0] == '[') {
        return NULL;
    }
    struct tg_slice rest = tg_slice_from(host, dot);
    wildcard[0] = '*';
    memcpy(wildcard + 1, rest.ptr, rest.len);
    return tg_map_get(&locator->names, tg_slice_make(wildcard, 1 + rest.len));
}

/* ---- paths ---- */

/* A path cut behind its first segment. */
struct cut {
    struct tg_slice segment; /* decoded, perhaps in `text`; empty when it is too long for any name */
    struct tg_slice base;    /* the segment with the slash before it, as on the wire */
    struct tg_slice rest;    /* begins with `/`, or is empty */
    char text[SEGMENT_MAX];
};

static void cut_path(struct tg_slice path, struct cut *out)
{
    out->segment = TG_EMPTY;
    out->base = tg_slice_head(path, 0);
    out->rest = path;
    if (path.len == 0 || path.ptr[0] != '/') {
        return;
    }
    size_t len = tg_slice_find(tg_slice_from(path, 1), '/');
    struct tg_slice raw = tg_slice_make(path.ptr + 1, len);
    if (len <= sizeof out->text && tg_slice_find(raw, '%') == len) {
        out->segment = raw;
    } else if (len <= sizeof out->text) {
        out->segment = tg_slice_make(out->text, tg_percent_decode_into(out->text, raw, false));
    }
    out->base = tg_slice_head(path, 1 + len);
    out->rest = tg_slice_from(path, 1 + len);
}

size_t locate_stage(const struct tg_locate_api *api, struct tg_slice name)
{
    for (size_t i = 0; i < api->stages.count; i++) {
        if (tg_slice_eq(api->stages.items[i], name)) {
            return i;
        }
    }
    return TG_LOCATE_NO_STAGE;
}

/* The stage that the first segment names. */
static size_t named_stage(const struct tg_locate_api *api, const struct cut *cut)
{
    return cut->segment.len == 0 || tg_slice_eq(cut->segment, TG_LIT("$default"))
               ? TG_LOCATE_NO_STAGE
               : locate_stage(api, cut->segment);
}

/* Whether the path is the management API's. */
static bool is_management(const struct tg_locator *locator, struct tg_slice path)
{
    struct cut cut;
    cut_path(path, &cut);
    return tg_slice_eq(cut.segment, TG_LIT("@connections")) ||
           (locator->has_batches && tg_slice_eq(cut.segment, TG_LIT("@tidegate")) &&
            tg_slice_eq(cut.rest, TG_LIT("/connections")));
}

static struct tg_slice or_slash(struct tg_slice path)
{
    return path.len == 0 ? TG_LIT("/") : path;
}

/* ---- custom domains ---- */

/* The longest key that fits, found by its beginnings one after another; NULL: none. `len` gets the bytes of
 * the path that it takes. */
static const struct locate_mapping *find_mapping(const struct tg_locator *locator,
                                                 const struct locate_domain *domain, struct tg_slice path,
                                                 size_t *len)
{
    char key[LOCATE_ID_SIZE + LOCATE_KEY_MAX];
    size_t used = LOCATE_ID_SIZE;
    struct cut cut;
    memcpy(key, &domain->id, LOCATE_ID_SIZE);
    const struct locate_mapping *best = tg_map_get(&locator->mappings, tg_slice_make(key, used));
    *len = 0;
    for (struct tg_slice rest = path; rest.len > 0; rest = cut.rest) {
        cut_path(rest, &cut);
        bool first = used == LOCATE_ID_SIZE;
        /* No segment of a key is empty or holds a slash. */
        if (cut.segment.len == 0 || tg_slice_find(cut.segment, '/') < cut.segment.len ||
            used - LOCATE_ID_SIZE + !first + cut.segment.len > domain->longest) {
            break;
        }
        if (!first) {
            key[used++] = '/';
        }
        memcpy(key + used, cut.segment.ptr, cut.segment.len);
        used += cut.segment.len;
        const struct locate_mapping *mapping = tg_map_get(&locator->mappings, tg_slice_make(key, used));
        if (mapping != NULL) {
            best = mapping;
            *len = (size_t)(cut.rest.ptr - path.ptr);
        }
    }
    return best;
}

static void locate_custom(const struct tg_locator *locator, const struct locate_domain *domain,
                          struct tg_slice path, struct tg_location *out)
{
    size_t len;
    const struct locate_mapping *mapping = find_mapping(locator, domain, path, &len);
    out->is_custom = true;
    out->domain_name = domain->config->name;
    if (mapping != NULL) {
        out->api = mapping->api->api;
        out->is_http = mapping->api->is_http;
        out->stage = mapping->stage;
        out->base = tg_slice_head(path, len);
        out->path = or_slash(tg_slice_from(path, len));
        out->mapping_key = mapping->key;
    }
}

/* ---- other hosts ---- */

static void locate_websocket(const struct tg_locator *locator, const struct tg_locate_api *api,
                             const struct cut *cut, size_t stage, struct tg_location *out)
{
    out->api = api->api;
    out->is_http = false;
    out->stage = stage;
    out->stage_in_path = stage != TG_LOCATE_NO_STAGE;
    if (out->stage_in_path) {
        out->base = cut->base;
        out->path = or_slash(cut->rest);
    } else if (api->serve_at_root && api->stages.count > 0 &&
               (tg_slice_eq(out->path, TG_LIT("/")) || is_management(locator, out->path))) {
        out->stage = 0;
    }
}

static void locate_http(const struct tg_locate_api *api, const struct cut *cut, struct tg_location *out)
{
    out->api = api->api;
    out->is_http = true;
    out->stage = named_stage(api, cut);
    out->stage_in_path = out->stage != TG_LOCATE_NO_STAGE;
    if (out->stage_in_path) {
        out->base = cut->base;
        out->path = or_slash(cut->rest);
    } else {
        out->stage = locate_stage(api, TG_LIT("$default"));
    }
}

static void locate_by_path(const struct tg_locator *locator,
                           const struct tg_locate_api *apis[LOCATE_PROTOCOLS], struct tg_slice path,
                           bool upgrade, struct tg_location *out)
{
    const struct tg_locate_api *websocket = apis[LOCATE_WEBSOCKET], *http = apis[LOCATE_HTTP];
    struct cut cut;
    cut_path(path, &cut);
    if (http == NULL) {
        if (websocket != NULL) {
            locate_websocket(locator, websocket, &cut, named_stage(websocket, &cut), out);
        }
        return;
    }
    if (websocket != NULL) {
        struct tg_location found = *out;
        locate_websocket(locator, websocket, &cut, named_stage(websocket, &cut), &found);
        if (found.stage != TG_LOCATE_NO_STAGE && (upgrade || is_management(locator, found.path))) {
            *out = found;
            return;
        }
    }
    locate_http(http, &cut, out);
}

/* The API of each protocol that a host reaches: by `hosts`, by its apiId, as the only one. */
static void find_apis(const struct tg_locator *locator, struct tg_slice name, const struct locate_name *exact,
                      const struct locate_name *wildcard, const struct tg_locate_api *apis[LOCATE_PROTOCOLS],
                      struct tg_location *out)
{
    for (size_t i = 0; i < LOCATE_PROTOCOLS; i++) {
        apis[i] = exact != NULL ? exact->apis[i] : NULL;
        if (apis[i] == NULL && wildcard != NULL) {
            apis[i] = wildcard->apis[i];
        }
    }
    const struct tg_locate_api *by_id =
        tg_map_get(&locator->ids, tg_slice_head(name, tg_slice_find(name, '.')));
    if (by_id != NULL && apis[by_id->is_http] != NULL) {
        by_id = NULL;
    }
    if (by_id != NULL) {
        out->is_http = by_id->is_http;
    }
    /* A default host may be switched off; then nothing else answers there, but what has it in its hosts. */
    bool is_off = by_id != NULL && by_id->disable_execute_api_endpoint;
    for (size_t i = 0; i < LOCATE_PROTOCOLS && !is_off; i++) {
        if (apis[i] == NULL) {
            apis[i] = by_id != NULL && by_id->is_http == (i == LOCATE_HTTP) ? by_id : locator->only[i];
        }
    }
}

void tg_locate(const struct tg_locator *locator, struct tg_slice host, struct tg_slice path, bool upgrade,
               struct tg_location *out)
{
    char buffer[LOCATE_HOST_MAX];
    struct tg_slice name = locate_host(host, buffer);
    const struct locate_name *exact = tg_map_get(&locator->names, name);
    const struct locate_name *wildcard = find_wildcard(locator, name);
    const struct locate_domain *domain = exact != NULL ? exact->domain : NULL;
    if (exact == NULL && wildcard != NULL) {
        domain = wildcard->domain;
    }
    const bool *has = domain != NULL ? domain->has : locator->has;
    *out = (struct tg_location){.is_http = has[LOCATE_HTTP] && !(upgrade && has[LOCATE_WEBSOCKET]),
                                .stage = TG_LOCATE_NO_STAGE,
                                .path = or_slash(path),
                                .base = tg_slice_head(path, 0)};
    if (domain != NULL) {
        locate_custom(locator, domain, path, out);
        return;
    }
    const struct tg_locate_api *apis[LOCATE_PROTOCOLS];
    find_apis(locator, name, exact, wildcard, apis, out);
    locate_by_path(locator, apis, path, upgrade, out);
}
