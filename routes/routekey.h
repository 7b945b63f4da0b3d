/* Route keys of HTTP APIs (spec http-api.md 1.1): `METHOD /path`, `ANY /path`, or `$default`. Parsed when the
 * configuration is loaded; what is parsed lives in the arena given and is immutable. Knows nothing of other
 * keys: pathtrie.h finds the one of a request. */
#ifndef TG_ROUTES_ROUTEKEY_H
#define TG_ROUTES_ROUTEKEY_H

#include "server/base/arena.h"

/* Most segments of a key; a request may have more. */
enum { TG_ROUTEKEY_SEGMENTS_MAX = 64 };

#define TG_ROUTEKEY_METHODS(X)                                                                               \
    X(DELETE)                                                                                                \
    X(GET)                                                                                                   \
    X(HEAD)                                                                                                  \
    X(OPTIONS)                                                                                               \
    X(PATCH)                                                                                                 \
    X(POST)                                                                                                  \
    X(PUT)

enum tg_routekey_method {
#define X(name) TG_ROUTEKEY_##name,
    TG_ROUTEKEY_METHODS(X)
#undef X
        TG_ROUTEKEY_ANY, /* all of the above */
    TG_ROUTEKEY_METHOD_COUNT
};

enum tg_routekey_kind {
    TG_ROUTEKEY_LITERAL,
    TG_ROUTEKEY_PARAM, /* {name}: one segment that is not empty */
    TG_ROUTEKEY_GREEDY /* {name+}: one or more segments, empty ones too; the last */
};

struct tg_routekey_segment {
    enum tg_routekey_kind kind;
    struct tg_slice text; /* of a literal: percent-decoded; else the name */
};

struct tg_routekey {
    struct tg_slice text; /* as configured, a copy */
    bool is_default;      /* $default: none of what follows */
    enum tg_routekey_method method;
    const struct tg_routekey_segment *segments; /* none: the path `/` */
    size_t count;
};

/* TG_ESYNTAX with *error = what is wrong and at which character (in bytes from 1), in the arena; TG_ENOMEM.
 * A literal may hold percent-encoding and UTF-8: keys are compared decoded. */
enum tg_err tg_routekey_parse(struct tg_arena *arena, struct tg_slice text, struct tg_routekey *out,
                              struct tg_slice *error) TG_MUST_CHECK;

/* Whether requests with this in their path, a part of it that is percent-decoded, are served at all: no `..`
 * between slashes (nothing behind the gateway may resolve it across the route that was matched, spec 1.3),
 * which some servers also find between backslashes or before a `;`, and no NUL. */
bool tg_routekey_allows(struct tg_slice decoded);

/* The method of a request, case-sensitive; TG_ROUTEKEY_METHOD_COUNT: none that a key can name. */
enum tg_routekey_method tg_routekey_method(struct tg_slice name);

#endif
