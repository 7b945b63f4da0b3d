#include "routes/cors.h"

#include "routes/expr.h"
#include "server/base/map.h"

struct tg_cors {
    bool any, any_https, any_http; /* the wildcards: of all, of a scheme */
    bool credentials;
    struct tg_map origins; /* in lower case */
    /* Joined; empty: the field is absent. */
    struct tg_slice methods, allowed, exposed, max_age;
};

/* ---- origins ---- */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* `:1` to `:65535`, or nothing. */
static bool is_port_or_empty(struct tg_slice text)
{
    uint64_t port;
    return text.len == 0 ||
           (text.ptr[0] == ':' && text.len <= 6 && tg_slice_to_u64(tg_slice_from(text, 1), &port) == TG_OK &&
            port > 0 && port <= UINT16_MAX);
}

/* host[:port]; hosts as browsers serialise them: ASCII, brackets around IPv6. */
static bool is_authority(struct tg_slice text)
{
    if (text.len > 0 && text.ptr[0] == '[') {
        size_t end = tg_slice_find(text, ']');
        return end < text.len && tg_expr_is_name(tg_slice_make(text.ptr + 1, end - 1), ":.") &&
               is_port_or_empty(tg_slice_from(text, end + 1));
    }
    size_t colon = tg_slice_find(text, ':');
    return tg_expr_is_name(tg_slice_head(text, colon), "-._~%!$&'()+,;=") &&
           is_port_or_empty(tg_slice_from(text, colon));
}

static const struct tg_slice after_scheme = TG_LIT_INIT("://");

static bool is_scheme(struct tg_slice text)
{
    return tg_expr_is_name(text, "+-.") && (lower(text.ptr[0]) >= 'a' && lower(text.ptr[0]) <= 'z');
}

static bool is_origin(struct tg_slice text)
{
    size_t end = tg_slice_find_slice(text, after_scheme);
    return end < text.len && is_scheme(tg_slice_head(text, end)) &&
           is_authority(tg_slice_from(text, end + after_scheme.len));
}

/* `key` has room for the origin. */
static struct tg_slice lower_origin(struct tg_slice origin, char key[TG_CORS_ORIGIN_MAX])
{
    for (size_t i = 0; i < origin.len; i++) {
        key[i] = lower(origin.ptr[i]);
    }
    return tg_slice_make(key, origin.len);
}

static bool has_scheme(struct tg_slice origin, struct tg_slice prefix)
{
    return tg_slice_eq_nocase(tg_slice_head(origin, prefix.len), prefix) && is_origin(origin);
}

static bool is_allowed(const struct tg_cors *cors, struct tg_slice origin)
{
    char key[TG_CORS_ORIGIN_MAX];
    if (cors->any || (cors->any_https && has_scheme(origin, TG_LIT("https://"))) ||
        (cors->any_http && has_scheme(origin, TG_LIT("http://")))) {
        return true;
    }
    return origin.len <= sizeof key && tg_map_get(&cors->origins, lower_origin(origin, key)) != NULL;
}

/* ---- compiling ---- */

static enum tg_err fail(struct tg_arena *arena, struct tg_slice *error, const char *what,
                        struct tg_slice value)
{
    enum tg_err err = tg_arena_printf(arena, error, "\"%.*s\" %s", TG_FMT(value), what);
    return err == TG_OK ? TG_EINVAL : err;
}

static enum tg_err refuse_origin(struct tg_arena *arena, struct tg_slice origin, struct tg_slice *error)
{
    size_t scheme = tg_slice_find_slice(origin, after_scheme);
    struct tg_slice rest = tg_slice_from(origin, scheme + after_scheme.len);
    if (tg_slice_find(origin, '*') < origin.len) {
        return fail(arena, error, "is no origin: wildcards are `*`, `https://*` and `http://*` alone",
                    origin);
    }
    if (scheme == origin.len) {
        return fail(arena, error, "is no origin: it begins with a scheme, as in https://example.com", origin);
    }
    if (tg_slice_find(rest, '/') < rest.len || tg_slice_find(rest, '?') < rest.len ||
        tg_slice_find(rest, '#') < rest.len) {
        return fail(arena, error, "is no origin: nothing follows host and port, neither a path nor a slash",
                    origin);
    }
    return fail(arena, error, "is no origin: it is scheme://host or scheme://host:port", origin);
}

static enum tg_err add_origin(struct tg_arena *arena, struct tg_cors *cors, struct tg_slice origin,
                              struct tg_slice *error)
{
    char key[TG_CORS_ORIGIN_MAX];
    if (tg_slice_eq(origin, TG_LIT("*"))) {
        cors->any = true;
        return TG_OK;
    }
    if (tg_slice_eq_nocase(origin, TG_LIT("https://*"))) {
        cors->any_https = true;
        return TG_OK;
    }
    if (tg_slice_eq_nocase(origin, TG_LIT("http://*"))) {
        cors->any_http = true;
        return TG_OK;
    }
    if (origin.len > sizeof key) {
        return fail(arena, error, "... is no origin: it has more than 512 characters",
                    tg_slice_head(origin, 64));
    }
    if (!is_origin(origin)) {
        return refuse_origin(arena, origin, error);
    }
    enum tg_err err = tg_map_add(&cors->origins, lower_origin(origin, key), cors);
    return err == TG_EEXIST ? TG_OK : err;
}

/* Names with commas between them, without blanks, as the native service writes them. */
static enum tg_err join_names(struct tg_arena *arena, const struct tg_strings *names, const char *what,
                              struct tg_slice *out, struct tg_slice *error)
{
    if (names->count == 0) {
        return TG_OK;
    }
    struct tg_slice *parts = tg_arena_alloc(arena, 2 * names->count * sizeof *parts);
    if (parts == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < names->count; i++) {
        if (!tg_header_name_ok(names->items[i])) {
            return fail(arena, error, what, names->items[i]);
        }
        parts[2 * i] = names->items[i];
        parts[2 * i + 1] = TG_LIT(",");
    }
    struct tg_slice joined;
    enum tg_err err = tg_expr_join(arena, parts, 2 * names->count - 1, &joined);
    return err == TG_OK ? tg_arena_copy(arena, joined, out) : err;
}

static void destroy_origins(void *arg)
{
    tg_map_free(arg, NULL);
}

static enum tg_err compile_origins(struct tg_arena *arena, const struct tg_cors_settings *settings,
                                   struct tg_cors *cors, const char **key, struct tg_slice *error)
{
    tg_map_init(&cors->origins, 0);
    enum tg_err err = tg_arena_defer(arena, destroy_origins, &cors->origins);
    *key = "allowOrigins";
    for (size_t i = 0; err == TG_OK && i < settings->allow_origins.count; i++) {
        err = add_origin(arena, cors, settings->allow_origins.items[i], error);
    }
    if (err == TG_OK && cors->any && cors->credentials) {
        *key = "allowCredentials";
        *error = TG_LIT("allow-credentials is not supported if 'allow-origin' is *");
        return TG_EINVAL;
    }
    return err;
}

static enum tg_err compile_max_age(struct tg_arena *arena, int64_t max_age, struct tg_cors *cors,
                                   struct tg_slice *error)
{
    if (max_age == TG_CORS_MAX_AGE_UNSET) {
        return TG_OK;
    }
    if (max_age < -1 || max_age > TG_CORS_MAX_AGE_MAX) {
        *error = TG_LIT("must be -1 to 86400 seconds");
        return TG_EINVAL;
    }
    return tg_arena_printf(arena, &cors->max_age, "%d", (int)max_age);
}

enum tg_err tg_cors_compile(struct tg_arena *arena, const struct tg_cors_settings *settings,
                            const struct tg_cors **out, const char **key, struct tg_slice *error)
{
    static const char no_header[] = "is neither the name of a header nor `*`";
    struct tg_cors *cors = tg_arena_zalloc(arena, sizeof *cors);
    const char *at;
    if (cors == NULL) {
        return TG_ENOMEM;
    }
    cors->credentials = settings->allow_credentials;
    enum tg_err err = compile_origins(arena, settings, cors, &at, error);
    if (err == TG_OK) {
        at = "allowMethods";
        err =
            join_names(arena, &settings->allow_methods, "is neither a method nor `*`", &cors->methods, error);
    }
    if (err == TG_OK) {
        at = "allowHeaders";
        err = join_names(arena, &settings->allow_headers, no_header, &cors->allowed, error);
    }
    if (err == TG_OK) {
        at = "exposeHeaders";
        err = join_names(arena, &settings->expose_headers, no_header, &cors->exposed, error);
    }
    if (err == TG_OK) {
        at = "maxAge";
        err = compile_max_age(arena, settings->max_age, cors, error);
    }
    if (err == TG_OK) {
        *out = cors;
    } else if (err == TG_EINVAL) {
        *key = at;
    }
    return err;
}

/* ---- answering ---- */

static const struct tg_slice origin_name = TG_LIT_INIT("origin");

bool tg_cors_is_preflight(struct tg_slice method, const struct tg_headers *headers)
{
    return tg_slice_eq(method, TG_LIT("OPTIONS")) && tg_headers_first(headers, origin_name) != NULL &&
           tg_headers_first(headers, TG_LIT("access-control-request-method")) != NULL;
}

static enum tg_err add_unless_empty(struct tg_headers *answer, struct tg_arena *arena, struct tg_slice name,
                                    struct tg_slice value)
{
    return value.len > 0 ? tg_headers_add(answer, arena, name, value) : TG_OK;
}

/* One Vary that names the origin, besides what is there. */
static enum tg_err add_vary(struct tg_headers *answer, struct tg_arena *arena)
{
    const struct tg_slice name = TG_LIT("vary");
    const struct tg_header *there = tg_headers_last(answer, name);
    if (there == NULL) {
        return tg_headers_add(answer, arena, name, origin_name);
    }
    if (tg_headers_has_token(answer, name, origin_name) || tg_headers_has_token(answer, name, TG_LIT("*"))) {
        return TG_OK;
    }
    struct tg_header *last = &answer->items[there - answer->items];
    if (last->value.len == 0) {
        last->value = origin_name;
        return TG_OK;
    }
    const struct tg_slice parts[] = {last->value, TG_LIT(", "), origin_name};
    return tg_expr_join(arena, parts, 3, &last->value);
}

/* What says that the origin may read the answer. *allowed: it may. */
static enum tg_err add_origin_fields(const struct tg_cors *cors, const struct tg_headers *request,
                                     struct tg_arena *arena, struct tg_headers *answer, bool *allowed)
{
    const struct tg_header *origin = tg_headers_first(request, origin_name);
    *allowed = origin != NULL && is_allowed(cors, origin->value);
    if (!*allowed) {
        return TG_OK;
    }
    enum tg_err err = tg_headers_add(answer, arena, TG_LIT("access-control-allow-origin"),
                                     cors->any ? TG_LIT("*") : origin->value);
    if (err == TG_OK && !cors->any) {
        err = add_vary(answer, arena);
    }
    if (err == TG_OK && cors->credentials) {
        err = tg_headers_add(answer, arena, TG_LIT("access-control-allow-credentials"), TG_LIT("true"));
    }
    return err;
}

enum tg_err tg_cors_preflight(const struct tg_cors *cors, const struct tg_headers *request,
                              struct tg_arena *arena, struct tg_headers *answer)
{
    bool allowed;
    enum tg_err err = add_origin_fields(cors, request, arena, answer, &allowed);
    if (err != TG_OK || !allowed) {
        return err;
    }
    err = add_unless_empty(answer, arena, TG_LIT("access-control-allow-methods"), cors->methods);
    if (err == TG_OK) {
        err = add_unless_empty(answer, arena, TG_LIT("access-control-allow-headers"), cors->allowed);
    }
    if (err == TG_OK) {
        err = add_unless_empty(answer, arena, TG_LIT("access-control-max-age"), cors->max_age);
    }
    return err;
}

static void drop_back_ends(struct tg_headers *answer)
{
    const struct tg_slice prefix = TG_LIT("access-control-");
    size_t kept = 0;
    for (size_t i = 0; i < answer->count; i++) {
        if (!tg_slice_eq_nocase(tg_slice_head(answer->items[i].name, prefix.len), prefix)) {
            answer->items[kept++] = answer->items[i];
        }
    }
    answer->count = kept;
}

enum tg_err tg_cors_apply(const struct tg_cors *cors, const struct tg_headers *request,
                          struct tg_arena *arena, struct tg_headers *answer)
{
    bool allowed;
    drop_back_ends(answer);
    enum tg_err err = add_origin_fields(cors, request, arena, answer, &allowed);
    if (err == TG_OK && allowed) {
        err = add_unless_empty(answer, arena, TG_LIT("access-control-expose-headers"), cors->exposed);
    }
    return err;
}
