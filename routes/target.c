#include "routes/target.h"

static bool host_char_ok(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

static bool host_ok(struct tg_slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        if (!host_char_ok(host.ptr[i])) {
            return false;
        }
    }
    return host.len > 0 && host.len <= 255;
}

static bool ipv6_ok(struct tg_slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!hex && c != ':' && c != '.') {
            return false;
        }
    }
    return host.len >= 2;
}

/* Bytes that may stand in a request target as they are: visible ASCII. */
static bool target_ok(struct tg_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 0x20 || c >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* host[:port] or [address][:port]; false with *what set. */
static bool parse_authority(struct tg_slice authority, struct tg_origin *origin, const char **what)
{
    struct tg_slice port = TG_EMPTY;
    bool has_port = false;
    if (authority.len > 0 && authority.ptr[0] == '[') {
        size_t end = tg_slice_find(authority, ']');
        origin->host = end < authority.len ? tg_slice_make(authority.ptr + 1, end - 1) : TG_EMPTY;
        struct tg_slice rest = tg_slice_from(authority, end + 1);
        if (!ipv6_ok(origin->host) || (rest.len > 0 && rest.ptr[0] != ':')) {
            *what = "the IPv6 address in the URL is malformed";
            return false;
        }
        has_port = rest.len > 0;
        port = tg_slice_from(rest, 1);
    } else {
        origin->host = tg_slice_cut(authority, ':', &port);
        has_port = origin->host.len < authority.len;
        if (!host_ok(origin->host)) {
            *what = "the URL has no host name, or one with characters that no host name has";
            return false;
        }
    }
    uint64_t number = origin->tls ? 443 : 80;
    if (has_port && (tg_slice_to_u64(port, &number) != TG_OK || number == 0 || number > 65535)) {
        *what = "the port of the URL must be a number from 1 to 65535";
        return false;
    }
    origin->port = (uint16_t)number;
    return true;
}

static enum tg_err parse_unix(struct tg_slice rest, struct tg_target_address *out, const char **what)
{
    struct tg_slice path;
    struct tg_slice socket = tg_slice_cut(tg_slice_from(rest, 5), ':', &path);
    if (socket.len == 0 || socket.ptr[0] != '/' || out->origin.tls) {
        *what = "a unix socket is written http://unix:/path/of.sock:/request/path";
        return TG_EINVAL;
    }
    out->origin.host = tg_slice_make(rest.ptr, 5 + socket.len); /* "unix:/path" */
    out->origin.port = 0;
    out->host_header = TG_LIT("localhost");
    out->path_query = path.len > 0 ? path : TG_LIT("/");
    if (out->path_query.ptr[0] != '/' || !target_ok(out->path_query)) {
        *what = "the request path behind the unix socket must begin with '/' and be percent-encoded";
        return TG_EINVAL;
    }
    return TG_OK;
}

enum tg_err tg_target_parse(struct tg_arena *arena, struct tg_slice url, struct tg_target_address *out,
                            const char **what)
{
    struct tg_target_address result = {0};
    struct tg_slice rest;
    if (tg_slice_starts(url, TG_LIT("http://"))) {
        rest = tg_slice_from(url, 7);
    } else if (tg_slice_starts(url, TG_LIT("https://"))) {
        result.origin.tls = true;
        rest = tg_slice_from(url, 8);
    } else {
        *what = "the URL must begin with http:// or https://";
        return TG_EINVAL;
    }
    if (tg_slice_find(rest, '#') < rest.len) {
        *what = "a URL of a back end cannot have a fragment ('#')";
        return TG_EINVAL;
    }
    if (tg_slice_starts(rest, TG_LIT("unix:/"))) {
        enum tg_err err = parse_unix(rest, &result, what);
        if (err == TG_OK) {
            *out = result;
        }
        return err;
    }
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?') {
        end++;
    }
    struct tg_slice authority = tg_slice_head(rest, end);
    if (tg_slice_find(authority, '@') < authority.len) {
        *what = "a URL of a back end cannot hold a user name or password";
        return TG_EINVAL;
    }
    if (!parse_authority(authority, &result.origin, what)) {
        return TG_EINVAL;
    }
    result.host_header = authority;
    struct tg_slice path = tg_slice_from(rest, end);
    if (!target_ok(path)) {
        *what = "the path of the URL holds blanks or bytes that must be percent-encoded";
        return TG_EINVAL;
    }
    if (path.len == 0) {
        path = TG_LIT("/");
    } else if (path.ptr[0] == '?') {
        enum tg_err err = tg_arena_printf(arena, &path, "/%.*s", TG_FMT(path));
        if (err != TG_OK) {
            *what = "out of memory";
            return err;
        }
    }
    result.path_query = path;
    *out = result;
    return TG_OK;
}

enum tg_err tg_target_compile(struct tg_arena *arena, struct tg_slice url, const struct tg_target **out,
                              struct tg_slice *error)
{
    struct tg_target *target = tg_arena_zalloc(arena, sizeof *target);
    if (target == NULL) {
        return TG_ENOMEM;
    }
    enum tg_err err = tg_stagevars_compile(arena, url, &target->uri, error);
    if (err != TG_OK) {
        return err == TG_ENOMEM ? err : TG_EINVAL;
    }
    target->fixed = target->uri.count == 1 && !target->uri.parts[0].is_variable;
    if (target->fixed || target->uri.count == 0) {
        const char *what = NULL;
        err = tg_target_parse(arena, url, &target->address, &what);
        if (err != TG_OK) {
            *error = tg_slice_cstr(what);
            return err;
        }
    }
    *out = target;
    return TG_OK;
}

enum tg_err tg_target_resolve(const struct tg_target *target, const struct tg_target_input *input,
                              struct tg_arena *arena, struct tg_headers *headers,
                              struct tg_target_address *out, struct tg_slice *detail)
{
    if (target->fixed && input->mapping == NULL) {
        *out = target->address;
        return TG_OK;
    }
    struct tg_slice uri;
    enum tg_err err = tg_stagevars_evaluate(&target->uri, input->stage_variables, arena, &uri, detail);
    if (err != TG_OK) {
        return err;
    }
    struct tg_slice written = uri;
    if (input->mapping != NULL) {
        struct tg_mapping_request call = {.headers = headers, .uri = uri};
        err = tg_mapping_apply(input->mapping, input->vars, input->json, arena, &call);
        if (err != TG_OK) {
            return err;
        }
        uri = call.uri;
    }
    if (target->fixed && uri.ptr == written.ptr && uri.len == written.len) {
        *out = target->address;
        return TG_OK;
    }
    const char *what = NULL;
    err = tg_target_parse(arena, uri, out, &what);
    if (err == TG_EINVAL) {
        *detail = tg_slice_cstr(what);
    }
    return err;
}
