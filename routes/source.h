/* Source expressions of parameter mapping (spec 4.1) and identity sources (7.4): `route.request.header.NAME`,
 * `context.NAME`, `'literal'` and so on. Compiled when the configuration is loaded into the caller's arena,
 * immutable. */
#ifndef TG_ROUTES_SOURCE_H
#define TG_ROUTES_SOURCE_H

#include "routes/jsonscan.h"
#include "routes/vars.h"

/* Which sources are allowed: a set of 1 << tg_var_scope and TG_SOURCE_LITERAL. */
#define TG_SOURCE_OF(scope) (1u << (scope))
#define TG_SOURCE_LITERAL   (1u << TG_VAR_SCOPES)
/* Integration.requestParameters. */
#define TG_SOURCE_MAPPING                                                                                    \
    (TG_SOURCE_OF(TG_VAR_HEADER) | TG_SOURCE_OF(TG_VAR_MULTIHEADER) | TG_SOURCE_OF(TG_VAR_QUERY) |           \
     TG_SOURCE_OF(TG_VAR_MULTIQUERY) | TG_SOURCE_OF(TG_VAR_BODY) | TG_SOURCE_OF(TG_VAR_STAGE) |              \
     TG_SOURCE_OF(TG_VAR_CONTEXT) | TG_SOURCE_LITERAL)
/* Authorizer.identitySource. */
#define TG_SOURCE_IDENTITY                                                                                   \
    (TG_SOURCE_OF(TG_VAR_HEADER) | TG_SOURCE_OF(TG_VAR_QUERY) | TG_SOURCE_OF(TG_VAR_STAGE) |                 \
     TG_SOURCE_OF(TG_VAR_CONTEXT))

struct tg_source {
    bool is_literal;
    enum tg_var_scope scope;      /* unless a literal */
    struct tg_slice text;         /* the name, or the literal without its quotes */
    struct tg_jsonscan_path path; /* TG_VAR_BODY: no steps means the whole body as received */
};

/* `method.request.` is an alias of `route.request.`. TG_ESYNTAX with *error = what is wrong, in the arena;
 * TG_ENOMEM. The text is borrowed by the result. */
enum tg_err tg_source_compile(struct tg_arena *arena, struct tg_slice text, unsigned allowed,
                              struct tg_source *out, struct tg_slice *error) TG_MUST_CHECK;

/* The same for an entry of identitySource: names without `$`. */
enum tg_err tg_source_compile_identity(struct tg_arena *arena, struct tg_slice text, struct tg_source *out,
                                       struct tg_slice *error) TG_MUST_CHECK;

/* Compiles the path below a body, as tg_jsonscan_compile does it; `at` is where it stands in the text that
 * *error speaks of. TG_ESYNTAX, TG_ENOMEM. */
enum tg_err tg_source_path(struct tg_arena *arena, struct tg_slice path, size_t at,
                           struct tg_jsonscan_path *out, struct tg_slice *error) TG_MUST_CHECK;

/* No values: the source does not resolve. A body member whose body is not JSON does not. `json` says how
 * bodies are read. TG_ENOMEM. */
enum tg_err tg_source_resolve(const struct tg_source *source, const struct tg_vars *vars,
                              enum tg_jsonscan_mode json, struct tg_arena *arena,
                              struct tg_var_values *out) TG_MUST_CHECK;

/* The value of an identity source; empty when it is missing: context.eventType, context.messageDirection and
 * context.routeKey always are (7.4). TG_ENOMEM. */
enum tg_err tg_source_identity(const struct tg_source *source, const struct tg_vars *vars,
                               struct tg_arena *arena, struct tg_slice *out) TG_MUST_CHECK;

/* Reads a header or a query parameter, which the $connect route must declare in its requestParameters before
 * it may be mapped (4.1). The name is source->text; headers compare without case. */
bool tg_source_is_parameter(const struct tg_source *source);

#endif
