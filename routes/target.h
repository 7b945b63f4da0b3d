/* Back-end addresses: an http(s) URL compiled once, whose parts may hold ${stageVariables.x} and
 * {placeholders}, rendered per call (spec 3.5, 4.1, 4.2). `http://unix:/path/to.sock:/request/path` reaches a
 * unix socket. */
#ifndef TG_ROUTES_TARGET_H
#define TG_ROUTES_TARGET_H

#include "server/base/strings.h"
#include "server/io/upstream.h"

struct tg_target;

/* Parses the URL (when it has no stage variables: checked whole now, else at the call). On TG_EINVAL *what is
 * a constant text. */
enum tg_err tg_target_compile(struct tg_arena *arena, struct tg_slice url, const struct tg_target **out,
                              const char **what) TG_MUST_CHECK;

struct tg_target_call {
    struct tg_origin origin; /* trust and server_name are the caller's to add */
    struct tg_slice host_header;
    struct tg_slice path;  /* at least "/"; placeholders still in it: {name} */
    struct tg_slice query; /* without '?'; may be empty */
};
/* TG_ENOTFOUND: unknown stage variable, *name says which; TG_EINVAL: the result is no URL. */
enum tg_err tg_target_render(const struct tg_target *target, const struct tg_string_map *stage_variables,
                             struct tg_arena *arena, struct tg_target_call *out,
                             struct tg_slice *name) TG_MUST_CHECK;

#endif
