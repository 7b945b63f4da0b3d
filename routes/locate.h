/* Which API and stage a request reaches, by its host and path, and what is left of the path (spec http-api.md
 * 1.2, 6.5; websocket-api.md 1.1). Compiled once when the configuration is loaded, in the arena given, with
 * which it dies; then immutable, so that threads may share it. Looks nothing up by walking APIs, hosts or
 * mappings.
 *
 * Hosts are compared without case, port and one dot at the end; IPv6 addresses as they are written, in
 * brackets. `*.example.com` stands for one label before the rest; an exact name beats it.
 *
 * On the name of a custom domain the longest mapping key whose segments begin the path decides, and the path
 * names no stage. On any other host one API of each protocol may be reached, each found by `hosts`, else by
 * its apiId as the host's first label, else as the only API of its protocol without `hosts`:
 *  - handshakes whose path names a stage of the WebSocket API, and `/{stage}/@connections...`, are its own,
 *    and so is `/{stage}/@tidegate/connections` where there are batch calls;
 *  - the rest is the HTTP API's, or if there is none the WebSocket API's.
 * There the first segment of the path, percent-decoded, names a stage; otherwise it is `$default`, which no
 * path names, for HTTP APIs alone. Nothing is normalised: with `//stage` the first segment is empty. */
#ifndef TG_ROUTES_LOCATE_H
#define TG_ROUTES_LOCATE_H

#include "server/base/arena.h"
#include "server/base/strings.h"

struct tg_doc_node;

/* ---- what is compiled; borrowed for the life of the locator ---- */

/* `where` is for the error report alone. */
struct tg_locate_api {
    const struct tg_doc_node *where;
    const void *api; /* the caller's; not NULL */
    struct tg_slice api_id;
    bool is_http;                      /* HTTP, else WEBSOCKET */
    bool disable_execute_api_endpoint; /* by hosts and custom domains alone */
    bool serve_at_root;                /* WEBSOCKET: without a stage in the path it is the first */
    struct tg_strings hosts;
    struct tg_strings stages; /* names */
};

struct tg_locate_mapping {
    const struct tg_doc_node *where;
    struct tg_slice api_id, stage;
    struct tg_slice key; /* apiMappingKey; empty or `(none)`: what no other key fits */
};

struct tg_locate_domain {
    const struct tg_doc_node *where;
    struct tg_slice name; /* domainName */
    const struct tg_locate_mapping *mappings;
    size_t mapping_count;
};

struct tg_locate_config {
    const struct tg_locate_api *apis;
    size_t api_count;
    const struct tg_locate_domain *domains;
    size_t domain_count;
    bool has_batches; /* there are batch calls (routes/management.h) */
};

/* Told of every error: `key` is the option within `where` (apiId, hosts, domainName, apiId, stage,
 * apiMappingKey), `text` is valid for the call. */
typedef void tg_locate_report(void *arg, const struct tg_doc_node *where, const char *key, const char *text);

struct tg_locator;

/* TG_EINVAL: errors were reported, all that there are. TG_ENOMEM. */
enum tg_err tg_locator_compile(struct tg_arena *arena, const struct tg_locate_config *config,
                               tg_locate_report *report, void *arg, struct tg_locator **out) TG_MUST_CHECK;

/* ---- what is found ---- */

#define TG_LOCATE_NO_STAGE ((size_t)-1)

struct tg_location {
    const void *api; /* NULL: none */
    /* The API's protocol; without an API, in whose way the request is refused: 404 for HTTP, 403 else. */
    bool is_http;
    bool is_custom;     /* by a custom domain */
    bool stage_in_path; /* the path named the stage */
    size_t stage;       /* index in `stages` of the API, or TG_LOCATE_NO_STAGE */
    /* What the routes see: of the path given, or `/` for nothing. Begins with `/` if the path given does. */
    struct tg_slice path;
    struct tg_slice base; /* what stands before it in the path given: `/prod`, `/v1/orders`, or empty */
    struct tg_slice mapping_key; /* of a custom domain, as configured; empty: none, or the fallback */
    struct tg_slice domain_name; /* of a custom domain, as configured */
};

/* `host` as the client sent it, may be empty; `path` as on the wire, without the query; `upgrade`: a
 * WebSocket is asked for. Allocates nothing; *out lives as long as the locator and the path. */
void tg_locate(const struct tg_locator *locator, struct tg_slice host, struct tg_slice path, bool upgrade,
               struct tg_location *out);

#endif
