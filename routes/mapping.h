/* Integration.requestParameters (spec 4.1): what of a request goes into which header, query parameter or path
 * placeholder of the call to the back end. Built row by row when the configuration is loaded, in the caller's
 * arena; immutable afterwards. It does not decide which client headers are passed on. */
#ifndef TG_ROUTES_MAPPING_H
#define TG_ROUTES_MAPPING_H

#include "routes/source.h"
#include "server/base/headers.h"

enum tg_mapping_place { TG_MAPPING_HEADER, TG_MAPPING_QUERY, TG_MAPPING_PATH };

struct tg_mapping_rule {
    enum tg_mapping_place place;
    struct tg_slice name;
    struct tg_source source; /* see tg_source_is_parameter for the check against the $connect route */
};

struct tg_mapping {
    struct tg_mapping_rule *rules;
    size_t count, cap;
};

/* The call to the back end as far as mapping touches it. */
struct tg_mapping_request {
    struct tg_headers *headers;
    /* In: integrationUri after stage variables. Out: with placeholders filled and query parameters added. */
    struct tg_slice uri;
};

/* Adds the row `integration.request.{header|querystring|path}.NAME: value`. TG_ESYNTAX (bad key or value),
 * TG_EEXIST (the target is there already), both with *error in the arena; TG_ENOMEM. Key and value are
 * borrowed. Headers that frame the message (Content-Length and the hop-by-hop ones) cannot be targets. */
enum tg_err tg_mapping_add(struct tg_mapping *mapping, struct tg_arena *arena, struct tg_slice key,
                           struct tg_slice value, struct tg_slice *error) TG_MUST_CHECK;

/* Applies the rows in order. A header is replaced, several values joined by commas, control characters
 * removed. A query parameter is added percent-encoded, once a value. A placeholder `{name}` is replaced by
 * the percent-encoded value as one segment; those that no row names stay, those whose source does not resolve
 * become empty, as does a value of dots alone, which a back end might take for a step up. Any other
 * unresolved source leaves its target alone. TG_ENOMEM. */
enum tg_err tg_mapping_apply(const struct tg_mapping *mapping, const struct tg_vars *vars,
                             enum tg_jsonscan_mode json, struct tg_arena *arena,
                             struct tg_mapping_request *request) TG_MUST_CHECK;

#endif
