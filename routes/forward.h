/* Where an HTTP_PROXY integration of an HTTP API sends its requests (http-api.md 1.9): the integrationUri
 * with the stage's variables filled in when the configuration is loaded, one for each stage, and the route's
 * {parameters} filled in per request. A parameter's raw bytes go into a path, so that `%2F` stays what it
 * was; in a query it is encoded anew. Parameters cannot stand in the host: clients would choose whom we call.
 */
#ifndef TG_ROUTES_FORWARD_H
#define TG_ROUTES_FORWARD_H

#include "routes/model.h"
#include "routes/pathtrie.h"
#include "server/io/upstream.h"

struct tg_forward_part {
    bool is_parameter, in_query;
    struct tg_slice text; /* the parameter's name, or literal text */
};

struct tg_forward {
    struct tg_slice error; /* not empty: the URI is none with this stage's variables */
    struct tg_origin origin;
    struct tg_slice host_header;
    const struct tg_forward_part *parts; /* of the path, then of the query */
    size_t path_count, query_count;
    bool has_query;
    bool whole_path; /* an ARN: path and stage of the request are the path */
};

/* What the path of a request is made from. */
struct tg_forward_input {
    const struct tg_pathtrie_param *params;
    size_t param_count;
    struct tg_slice path;        /* of the request, below the stage, raw */
    struct tg_slice staged_path; /* with it */
    struct tg_slice query;       /* of the request; NULL: none */
    bool is_default;             /* $default: the request's path goes behind the URI's */
};

/* TG_EINVAL with *error in the arena: a parameter stands where none may. What stage variables make of a URI
 * is told by out->error. TG_ENOMEM. */
enum tg_err tg_forward_compile(struct tg_arena *arena, struct tg_slice uri,
                               const struct tg_string_map *stage_variables, struct tg_forward *out,
                               struct tg_slice *error) TG_MUST_CHECK;
/* Calls visit for each parameter's name. */
void tg_forward_each_parameter(const struct tg_forward *forward,
                               void (*visit)(void *arg, struct tg_slice name), void *arg);
/* The path and the query of the call; *query NULL: none. TG_ENOMEM. */
enum tg_err tg_forward_resolve(const struct tg_forward *forward, const struct tg_forward_input *input,
                               struct tg_arena *arena, struct tg_slice *path,
                               struct tg_slice *query) TG_MUST_CHECK;

#endif
