/* CORS of HTTP APIs (http-api.md 1.4; the Fetch standard, section "HTTP extensions"): an API's
 * corsConfiguration, checked and compiled when the configuration is loaded, answers preflights and puts the
 * headers onto every other answer, the gateway's own errors among them. Immutable. It refuses no request:
 * what an origin may do is decided by the browser. */
#ifndef TG_ROUTES_CORS_H
#define TG_ROUTES_CORS_H

#include "server/base/headers.h"
#include "server/base/strings.h"

struct tg_doc_node;
struct tg_cors; /* compiled */

enum {
    TG_CORS_MAX_AGE_UNSET = -2, /* no access-control-max-age */
    TG_CORS_MAX_AGE_MAX = 86400,
    TG_CORS_ORIGIN_MAX = 512 /* characters of an entry of allowOrigins */
};

/* corsConfiguration, as in the file. */
struct tg_cors_settings {
    const struct tg_doc_node *where; /* NULL: absent, nothing to compile */
    struct tg_strings allow_origins; /* scheme://host[:port], `*`, or https: or http: of any host */
    struct tg_strings allow_methods; /* methods, or `*` */
    struct tg_strings allow_headers, expose_headers; /* names, or `*` */
    int64_t max_age; /* seconds, -1 (not to be kept) to 86400; or TG_CORS_MAX_AGE_UNSET */
    bool allow_credentials;
};

/* *out lives in the arena. TG_EINVAL: *key is the option at fault and *error says what is wrong, in the
 * arena; TG_ENOMEM. Nothing is borrowed of the settings. */
enum tg_err tg_cors_compile(struct tg_arena *arena, const struct tg_cors_settings *settings,
                            const struct tg_cors **out, const char **key,
                            struct tg_slice *error) TG_MUST_CHECK;

/* OPTIONS with Origin and Access-Control-Request-Method. Other OPTIONS requests are routed. */
bool tg_cors_is_preflight(struct tg_slice method, const struct tg_headers *headers);

/* Adds the headers of the 204 that answers a preflight: none when the origin is not allowed. The lists are
 * those of the configuration, whatever was asked for. `request` are the client's fields; values are borrowed
 * from them and from `cors`. TG_ENOMEM.
 *
 * An origin is compared by its bytes, without case: as browsers write it, without the scheme's own port.
 * The wildcards of https: and http: let any host and port in. */
enum tg_err tg_cors_preflight(const struct tg_cors *cors, const struct tg_headers *request,
                              struct tg_arena *arena, struct tg_headers *answer) TG_MUST_CHECK;

/* Readies any other answer: drops the access-control-* fields that a back end has made, and, when the request
 * has an Origin that is allowed, adds the configuration's; `origin` is added to the answer's Vary unless it
 * has it. TG_ENOMEM. */
enum tg_err tg_cors_apply(const struct tg_cors *cors, const struct tg_headers *request,
                          struct tg_arena *arena, struct tg_headers *answer) TG_MUST_CHECK;

#endif
