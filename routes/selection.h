/* Selection expressions (spec 1.12): text with variables that yields a key. Compiled when the configuration
 * is loaded, evaluated per message. A compiled expression lives in the arena it was compiled into, is
 * immutable and may be shared. It picks no route: that a result names a route is the caller's business,
 * `/regex/` keys too. */
#ifndef TG_ROUTES_SELECTION_H
#define TG_ROUTES_SELECTION_H

#include "routes/jsonscan.h"
#include "routes/vars.h"

/* Which variables an expression may hold. */
enum {
    TG_SELECT_BODY = 1 << 0,    /* request.body, request.body.PATH: routes, models, request templates */
    TG_SELECT_API_KEY = 1 << 1, /* request.header.x-api-key, context.authorizer.usageIdentifierKey */
    /* integration.response.{statuscode|body.PATH|header.NAME|multivalueheader.NAME}, response.statuscode */
    TG_SELECT_RESPONSE = 1 << 2,
    TG_SELECT_HEADER = 1 << 3,  /* request.header.NAME of any name */
    TG_SELECT_CONTEXT = 1 << 4, /* context.NAME of any name */
};

struct tg_selection_part; /* private */

struct tg_selection {
    const struct tg_selection_part *parts;
    size_t count;
    const struct tg_jsonscan_path *body; /* of a part of the request body that is all of it; or NULL */
};

/* What an expression reads. vars may be NULL when only TG_SELECT_BODY was allowed. */
struct tg_selection_input {
    struct tg_slice body;
    enum tg_jsonscan_mode json;
    const struct tg_vars *vars;
};

/* `allowed` is a set of TG_SELECT_*. An unwrapped `$variable` ends at the first character outside
 * `A-Za-z0-9_.$[]'"*@-` (section 11, row 20). TG_ESYNTAX with *error = what is wrong and at which character
 * (counted in bytes from 1), in the arena; TG_ENOMEM. The text is borrowed by the result. An empty expression
 * is an error. */
enum tg_err tg_selection_compile(struct tg_arena *arena, struct tg_slice text, unsigned allowed,
                                 struct tg_selection *out, struct tg_slice *error) TG_MUST_CHECK;

/* The result, a slice of the body, of the expression or of the arena. Missing values are empty. TG_ESYNTAX:
 * the expression reads the request body and that is not JSON or nests too deep; the caller takes `$default`.
 * A response body that is not JSON reads as missing. An expression of one variable over a string without
 * escapes allocates nothing. TG_ENOMEM. */
enum tg_err tg_selection_evaluate(const struct tg_selection *selection,
                                  const struct tg_selection_input *input, struct tg_arena *arena,
                                  struct tg_slice *out) TG_MUST_CHECK;

/* Whether it has no variables: *text is what it always yields. */
bool tg_selection_is_text(const struct tg_selection *selection, struct tg_slice *text);
/* Whether evaluation reads the request body. */
bool tg_selection_reads_body(const struct tg_selection *selection);

#endif
