/* Parameter mapping of HTTP APIs (http-api.md 1.11): requestParameters change headers, query and path of the
 * call to a back end, responseParameters change status and headers of its answer, by the status that it has.
 * Built row by row when the configuration is loaded, in the caller's arena; immutable afterwards. It reads no
 * body itself: see tg_httpmapping_reads. */
#ifndef TG_ROUTES_HTTPMAPPING_H
#define TG_ROUTES_HTTPMAPPING_H

#include "routes/httpexpr.h"
#include "server/base/headers.h"

/* In the order in which they are applied. */
enum tg_httpmapping_op { TG_HTTPMAPPING_REMOVE, TG_HTTPMAPPING_OVERWRITE, TG_HTTPMAPPING_APPEND };
enum tg_httpmapping_place {
    TG_HTTPMAPPING_HEADER,
    TG_HTTPMAPPING_QUERY,
    TG_HTTPMAPPING_PATH,
    TG_HTTPMAPPING_STATUS
};

struct tg_httpmapping_rule {
    enum tg_httpmapping_op op;
    enum tg_httpmapping_place place;
    struct tg_slice name;     /* of a header or query parameter */
    struct tg_httpexpr value; /* unless removed */
};

struct tg_httpmapping_rules {
    struct tg_httpmapping_rule *items;
    size_t count, cap;
    unsigned reads; /* TG_SOURCE_OF of every scope that a value reads */
};

/* The rows for one status of the back end. */
struct tg_httpmapping_response {
    int status; /* 200-599 */
    struct tg_httpmapping_rules rules;
};

struct tg_httpmapping {
    struct tg_httpmapping_rules request;
    struct tg_httpmapping_response *responses;
    size_t response_count, response_cap;
};

/* Adds a row of requestParameters: `{append|overwrite|remove}:{header|querystring}.NAME` or `overwrite:path`.
 * TG_ESYNTAX (bad key or value, or a header that is not to be changed), TG_EEXIST (the key is there already),
 * both with *error in the arena; TG_ENOMEM. Key and value are borrowed. */
enum tg_err tg_httpmapping_add_request(struct tg_httpmapping *mapping, struct tg_arena *arena,
                                       struct tg_slice key, struct tg_slice value,
                                       struct tg_slice *error) TG_MUST_CHECK;
/* Adds a row of responseParameters.STATUS: `{append|overwrite|remove}:header.NAME` or `overwrite:statuscode`.
 * `status` is the key of the group, 200 to 599. */
enum tg_err tg_httpmapping_add_response(struct tg_httpmapping *mapping, struct tg_arena *arena,
                                        struct tg_slice status, struct tg_slice key, struct tg_slice value,
                                        struct tg_slice *error) TG_MUST_CHECK;

/* The rows for a back end's status, or NULL. */
const struct tg_httpmapping_response *tg_httpmapping_response_for(const struct tg_httpmapping *mapping,
                                                                  int status);

/* Whether a row reads this scope: with TG_VAR_BODY or TG_VAR_RESPONSE_BODY, the body (as much of it as
 * TG_HTTPEXPR_BODY_MAX) must be there before the rules are applied; without, it can be passed on as it comes.
 */
static inline bool tg_httpmapping_reads(const struct tg_httpmapping_rules *rules, enum tg_var_scope scope)
{
    return (rules->reads & TG_SOURCE_OF(scope)) != 0;
}

/* The call to the back end as far as mapping touches it; all as on the wire. */
struct tg_httpmapping_request {
    struct tg_headers *headers;
    struct tg_slice path;
    struct tg_slice query; /* without '?'; NULL pointer: none */
};

/* Removes, overwrites, appends, in this order, and overwrites the path. Values are what `vars` has before
 * anything is changed; one that is missing is empty.
 *
 * Headers: control characters are taken out of values; what is appended is a field of its own behind the
 * others. Parameters: names are compared decoded, and those that no row names stay as they are, byte for
 * byte; a value is percent-encoded; the first one of a name is overwritten in its place and the others go.
 * Path: the value begins with '/', else gets one; of it, what may stand in a path passes (RFC 3986
 * section 3.3), '/' included, the rest is percent-encoded; escapes pass in text of the configuration and in
 * request.path, which are as on the wire. TG_EINVAL with *detail, a constant text for the log: the new path
 * has a segment `..`, encoded or not; nothing has changed then. TG_ENOMEM.
 *
 * Host may be a target: whoever sends the call sets it only when it is not there. */
enum tg_err tg_httpmapping_apply_request(const struct tg_httpmapping *mapping, const struct tg_vars *vars,
                                         struct tg_arena *arena, struct tg_httpmapping_request *request,
                                         struct tg_slice *detail) TG_MUST_CHECK;

/* The same for an answer. TG_EINVAL with *detail, a constant text for the log: the new status is no integer
 * from 200 to 599; nothing has changed then. TG_ENOMEM. */
enum tg_err tg_httpmapping_apply_response(const struct tg_httpmapping_response *response,
                                          const struct tg_vars *vars, struct tg_arena *arena, int *status,
                                          struct tg_headers *headers, struct tg_slice *detail) TG_MUST_CHECK;

#endif
