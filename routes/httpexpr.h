/* Values of parameter mapping in HTTP APIs (http-api.md 1.11): one source (`$request.header.x`), or text with
 * sources in it (`Bearer ${request.header.tok}`), or plain text. Compiled when the configuration is loaded,
 * into the caller's arena; immutable. It does not know where the result goes: what may not stand in a header
 * or a path is taken out there.
 *
 *   request.header.NAME, response.header.NAME   names ignore case; repeats joined by `,`
 *   request.querystring.NAME                    decoded; repeats joined by `,`
 *   request.path                                as on the wire, without the stage
 *   request.path.NAME                           a parameter of the route
 *   request.body, request.body.a.b[0]           a JSON path without wildcards, `..` and filters;
 *   response.body, response.body.a.b[0]         objects and arrays yield their JSON text
 *   context.NAME, stageVariables.NAME           names of letters, digits, `.` and `_` */
#ifndef TG_ROUTES_HTTPEXPR_H
#define TG_ROUTES_HTTPEXPR_H

#include "routes/source.h"

enum { TG_HTTPEXPR_BODY_MAX = 100 * 1024 }; /* bytes of a body that are looked at */

/* Which sources may be read. */
enum tg_httpexpr_side {
    TG_HTTPEXPR_REQUEST, /* request.*, context.*, stageVariables.* */
    TG_HTTPEXPR_RESPONSE /* response.*, context.*, stageVariables.* */
};

struct tg_httpexpr {
    const struct tg_source *parts;
    size_t count;
    unsigned reads; /* TG_SOURCE_OF of every scope that is read */
};

/* A text that begins with `$` and a letter is one source. In any other text `${NAME}` is a source, and a `$`
 * before anything but `{` is itself. TG_ESYNTAX with *error = what is wrong and at which character (bytes
 * from 1), in the arena; TG_ENOMEM. The text is borrowed by the result. */
enum tg_err tg_httpexpr_compile(struct tg_arena *arena, struct tg_slice text, enum tg_httpexpr_side side,
                                struct tg_httpexpr *out, struct tg_slice *error) TG_MUST_CHECK;

/* Whether evaluation looks at this scope: TG_VAR_BODY or TG_VAR_RESPONSE_BODY must be there before. */
static inline bool tg_httpexpr_reads(const struct tg_httpexpr *expr, enum tg_var_scope scope)
{
    return (expr->reads & TG_SOURCE_OF(scope)) != 0;
}

/* What a source yields; a source that does not resolve is empty. TG_ENOMEM. */
enum tg_err tg_httpexpr_part(const struct tg_source *part, const struct tg_vars *vars, struct tg_arena *arena,
                             struct tg_slice *out) TG_MUST_CHECK;
/* All parts, one behind the other. */
enum tg_err tg_httpexpr_evaluate(const struct tg_httpexpr *expr, const struct tg_vars *vars,
                                 struct tg_arena *arena, struct tg_slice *out) TG_MUST_CHECK;

#endif
