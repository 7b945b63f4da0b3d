/* Back-end addresses: an http(s) URL compiled at load, whose text may hold ${stageVariables.x} and
 * {placeholders}, resolved per call (spec 3.5, 4.1, 4.2). `http://unix:/path/to.sock:/request/path` reaches a
 * unix socket. A URL without variables is parsed once. */
#ifndef TG_ROUTES_TARGET_H
#define TG_ROUTES_TARGET_H

#include "routes/mapping.h"
#include "routes/model.h"
#include "routes/stagevars.h"
#include "server/io/upstream.h"

struct tg_target_address {
    struct tg_origin origin;     /* trust and server_name are the caller's to add */
    struct tg_slice host_header; /* host, and the port when it is not the scheme's own */
    struct tg_slice path_query;  /* as on the wire; begins with '/' */
};

struct tg_target {
    struct tg_stagevars uri;
    bool fixed; /* no variables: `address` is valid */
    struct tg_target_address address;
};

/* Parses one URL; the result borrows from it and from the arena. TG_EINVAL: *what is a constant text. */
enum tg_err tg_target_parse(struct tg_arena *arena, struct tg_slice url, struct tg_target_address *out,
                            const char **what) TG_MUST_CHECK;
/* TG_EINVAL with *error in the arena; TG_ENOMEM. Borrows the URL. */
enum tg_err tg_target_compile(struct tg_arena *arena, struct tg_slice url, const struct tg_target **out,
                              struct tg_slice *error) TG_MUST_CHECK;

/* What a call is made from. mapping may be NULL. */
struct tg_target_input {
    const struct tg_string_map *stage_variables;
    const struct tg_mapping *mapping;
    const struct tg_vars *vars;
    enum tg_jsonscan_mode json;
};
/* Fills in variables, placeholders and mapped query parameters, and applies mapped headers to `headers`.
 * TG_ENOTFOUND: unknown stage variable; TG_EINVAL: the result is no URL; both with *detail for the log.
 * TG_ENOMEM. */
enum tg_err tg_target_resolve(const struct tg_target *target, const struct tg_target_input *input,
                              struct tg_arena *arena, struct tg_headers *headers,
                              struct tg_target_address *out, struct tg_slice *detail) TG_MUST_CHECK;

#endif
