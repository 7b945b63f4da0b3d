/* Heads of requests and responses: the first line, the target, the framing of what follows. */
#include "server/io/http1_private.h"

enum { METHOD_MAX = 32, PORT_DIGITS_MAX = 5, VERSION_LEN = 8 };

/* uri-host [ ":" port ] without user information (RFC 3986 3.2); the port may be empty unless it is required.
 */
static bool authority_ok(struct tg_slice text, bool need_port)
{
    const char *p = text.ptr;
    const char *end = text.ptr + text.len;
    if (text.len == 0) {
        return false;
    }
    if (*p == '[') {
        const char *inside = ++p;
        while (p < end && (tg_http1_is(*p, TG_HTTP1_HEX) || *p == ':' || *p == '.')) {
            p++;
        }
        if (p == inside || p == end || *p != ']') {
            return false;
        }
        p++;
    } else {
        while (p < end && tg_http1_is(*p, TG_HTTP1_HOST)) {
            p++;
        }
        if (p == text.ptr) {
            return false;
        }
    }
    if (p == end) {
        return !need_port;
    }
    uint64_t port = 0;
    struct tg_slice digits = tg_slice_make(p + 1, (size_t)(end - p - 1));
    if (*p != ':' || digits.len > PORT_DIGITS_MAX) {
        return false;
    }
    return digits.len == 0 ? !need_port : tg_slice_to_u64(digits, &port) == TG_OK && port <= UINT16_MAX;
}

static void split_query(struct tg_slice text, struct tg_http1_request *out)
{
    size_t at = tg_slice_find(text, '?');
    out->path = tg_slice_head(text, at);
    out->query = at < text.len ? tg_slice_from(text, at + 1) : TG_EMPTY;
}

/* `http://authority/path?query`; an empty path is "/" (RFC 9110 4.2.3), or "*" for OPTIONS (RFC 9112 3.2.4).
 */
static bool parse_absolute(struct tg_slice target, struct tg_http1_request *out)
{
    size_t at = tg_slice_find(target, ':');
    struct tg_slice scheme = tg_slice_head(target, at);
    struct tg_slice rest = tg_slice_from(target, at);
    if (!tg_slice_eq_nocase(scheme, TG_LIT("http")) && !tg_slice_eq_nocase(scheme, TG_LIT("https"))) {
        return false;
    }
    if (!tg_slice_starts(rest, TG_LIT("://"))) {
        return false;
    }
    rest = tg_slice_from(rest, 3);
    size_t len = 0;
    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?') {
        len++;
    }
    out->host = tg_slice_head(rest, len);
    split_query(tg_slice_from(rest, len), out);
    if (out->path.len == 0) {
        bool server_wide = out->query.ptr == NULL && tg_slice_eq(out->method, TG_LIT("OPTIONS"));
        out->path = server_wide ? TG_LIT("*") : TG_LIT("/");
    }
    return authority_ok(out->host, false);
}

/* The four forms of RFC 9112 3.2. host stays empty for the forms without an authority. */
static enum tg_err parse_target(struct tg_http1_request *out, struct tg_http1_fault *fault)
{
    bool ok;
    if (tg_slice_eq(out->method, TG_LIT("CONNECT"))) {
        out->host = out->target;
        ok = authority_ok(out->target, true);
    } else if (out->target.ptr[0] == '/') {
        split_query(out->target, out);
        ok = true;
    } else if (tg_slice_eq(out->target, TG_LIT("*"))) {
        out->path = out->target;
        ok = tg_slice_eq(out->method, TG_LIT("OPTIONS"));
    } else {
        ok = parse_absolute(out->target, out);
    }
    return ok ? TG_OK : tg_http1_refuse(fault, 400, "malformed request target");
}

/* method SP target SP version CR LF; *at is left behind it. Reads nothing from `end` on. */
static enum tg_err parse_request_line(const char **at, const char *end, struct tg_http1_request *out,
                                      struct tg_http1_fault *fault)
{
    const char *p = *at;
    while (tg_http1_is(tg_http1_look(p, end), TG_HTTP1_TOKEN)) {
        p++;
    }
    out->method = tg_slice_make(*at, (size_t)(p - *at));
    if (out->method.len == 0 || tg_http1_look(p, end) != ' ') {
        return tg_http1_refuse(fault, 400, "malformed method");
    }
    if (out->method.len > METHOD_MAX) {
        return tg_http1_refuse(fault, 501, "method too long");
    }
    const char *target = ++p;
    p = tg_http1_skip_target(p, end);
    out->target = tg_slice_make(target, (size_t)(p - target));
    if (out->target.len == 0 || tg_http1_look(p, end) != ' ') {
        return tg_http1_refuse(fault, 400, "malformed request target");
    }
    const char *version = ++p;
    struct tg_slice usual = TG_LIT("HTTP/1.1\r\n");
    if ((size_t)(end - p) >= usual.len && memcmp(p, usual.ptr, usual.len) == 0) {
        out->minor = 1;
        *at = p + usual.len;
        return parse_target(out, fault);
    }
    p = tg_http1_skip_target(p, end);
    if (p - version != VERSION_LEN || end - p < 2 || p[0] != '\r' || p[1] != '\n') {
        return tg_http1_refuse(fault, 400, "malformed protocol version");
    }
    *at = p + 2;
    enum tg_err err = tg_http1_parse_version(version, &out->minor, fault);
    return err == TG_OK ? parse_target(out, fault) : err;
}

/* Exactly one Host in HTTP/1.1 (RFC 9112 3.2), valid even where the target names the authority. An empty one
 * is right where the target URI has no authority of its own to give, never with the origin form (RFC
 * 9110 4.2.1). */
static enum tg_err check_host(const struct tg_http1_fields *fields, struct tg_http1_request *out,
                              struct tg_http1_fault *fault)
{
    if (fields->hosts > 1 || (fields->hosts == 0 && out->minor > 0)) {
        return tg_http1_refuse(fault, 400, fields->hosts > 1 ? "repeated host field" : "no host field");
    }
    bool origin_form = tg_slice_starts(out->target, TG_LIT("/"));
    bool may_be_empty = !origin_form || out->minor == 0;
    if (fields->host.len > 0 ? !authority_ok(fields->host, false) : !may_be_empty) {
        return tg_http1_refuse(fault, 400, "malformed host field");
    }
    if (out->host.len == 0) {
        out->host = fields->host;
    }
    return TG_OK;
}

/* Where the request line starts: at most one empty line before it is skipped (RFC 9112 2.2). Refuses by its
 * first byte what cannot become a request, such as a TLS greeting, without waiting for a line. */
static enum tg_err find_start(struct tg_slice bytes, size_t *start, struct tg_http1_fault *fault)
{
    size_t at = 0;
    if (bytes.len > 0 && bytes.ptr[0] == '\r') {
        if (bytes.len > 1 && bytes.ptr[1] != '\n') {
            return tg_http1_refuse(fault, 400, "carriage return without line feed");
        }
        at = 2;
    }
    if (at >= bytes.len) {
        return TG_EAGAIN;
    }
    if (!tg_http1_is(bytes.ptr[at], TG_HTTP1_TOKEN)) {
        return tg_http1_refuse(fault, 400, "malformed method");
    }
    *start = at;
    return TG_OK;
}

/* What a head takes must be within the limits, which hold for what tg_http1_find_end has found. */
static bool fits(const struct tg_http1_limits *limits, size_t line, size_t head)
{
    return line <= limits->line && head <= limits->head;
}

/* The fields at *at, which is left behind them, as far as Host is concerned as well. */
static enum tg_err read_fields(const char **at, const char *end, size_t limit,
                               const struct tg_http1_memory *memory, struct tg_arena *arena,
                               struct tg_http1_request *request, struct tg_http1_fields *fields,
                               struct tg_http1_fault *fault)
{
    const char *start = *at;
    bool remembers = memory != NULL && request->minor > 0;
    size_t known =
        remembers ? tg_http1_recall(memory->known, memory->hint, start, end, limit, arena, fields) : 0;
    if (known > 0) {
        *at += known;
        request->host = request->host.len > 0 ? request->host : fields->host;
        return TG_OK;
    }
    enum tg_err err = tg_http1_parse_fields(at, end, request->minor, limit, arena, fields, fault);
    if (err == TG_OK) {
        err = check_host(fields, request, fault);
    }
    if (err == TG_OK && remembers) {
        tg_http1_learn(memory->known, memory->hint, tg_slice_make(start, (size_t)(*at - start)), fields);
    }
    return err;
}

enum tg_err tg_http1_read_request(struct tg_slice bytes, size_t start, const struct tg_http1_limits *limits,
                                  const struct tg_http1_memory *memory, struct tg_arena *arena,
                                  struct tg_http1_request *out, size_t *head_len,
                                  struct tg_http1_fault *fault)
{
    struct tg_http1_request request = {0};
    struct tg_http1_fields fields;
    const char *at = bytes.ptr + start, *end = bytes.ptr + bytes.len;
    enum tg_err err = parse_request_line(&at, end, &request, fault);
    if (err != TG_OK) {
        return err;
    }
    size_t line = (size_t)(at - bytes.ptr) - start - 2;
    err = read_fields(&at, end, limits->count, memory, arena, &request, &fields, fault);
    if (err == TG_OK && !fits(limits, line, (size_t)(at - bytes.ptr))) {
        err = tg_http1_refuse(fault, 431, "head too large");
    }
    if (err != TG_OK) {
        return err;
    }
    request.headers = fields.headers;
    request.keep_alive = tg_http1_keep_alive(&fields, request.minor);
    request.expect_continue = fields.expect_continue;
    request.has_upgrade = fields.upgrade;
    request.framing = fields.has_coding   ? TG_HTTP1_CHUNKED
                      : fields.has_length ? TG_HTTP1_LENGTH
                                          : TG_HTTP1_NO_BODY;
    request.content_length = fields.content_length;
    *out = request;
    *head_len = (size_t)(at - bytes.ptr);
    return TG_OK;
}

/* Most heads come whole and are right. Such a one is read at once, without looking for its end before:
 * whatever could be read has the line ends that tg_http1_find_end asks for, and no others. Where that fails,
 * what comes first counts: the end, a wrong line end before it, or a limit; and then what is wrong up to
 * there. */
enum tg_err tg_http1_parse_request(struct tg_slice bytes, size_t *scanned,
                                   const struct tg_http1_limits *limits, struct tg_arena *arena,
                                   struct tg_http1_request *out, size_t *head_len,
                                   struct tg_http1_fault *fault)
{
    size_t start = 0, end = 0;
    enum tg_err err = find_start(bytes, &start, fault);
    if (err != TG_OK) {
        return err;
    }
    if (*scanned == 0) {
        struct tg_http1_fault untold;
        err = tg_http1_read_request(bytes, start, limits, NULL, arena, out, head_len, &untold);
        if (err != TG_EPROTO) {
            return err;
        }
    }
    err = tg_http1_find_end(bytes, start, scanned, limits, &end, fault);
    return err == TG_OK ? tg_http1_read_request(tg_slice_head(bytes, end), start, limits, NULL, arena, out,
                                                head_len, fault)
                        : err;
}

/* version SP 3DIGIT [ SP reason ] CR LF; servers that leave out the last blank are many. */
static enum tg_err parse_status_line(const char **at, const char *end, struct tg_http1_response *out,
                                     struct tg_http1_fault *fault)
{
    struct tg_slice bytes = tg_slice_make(*at, (size_t)(end - *at));
    struct tg_slice line = tg_slice_head(bytes, tg_slice_find(bytes, '\n'));
    bool whole = line.len < bytes.len && tg_slice_ends(line, TG_LIT("\r"));
    line = tg_slice_head(line, whole ? line.len - 1 : 0);
    if (line.len < VERSION_LEN + 4 || line.ptr[VERSION_LEN] != ' ') {
        return tg_http1_refuse(fault, 400, "malformed status line");
    }
    uint64_t status = 0;
    struct tg_slice digits = tg_slice_make(line.ptr + VERSION_LEN + 1, 3);
    struct tg_slice reason = tg_slice_from(line, VERSION_LEN + 4);
    bool blank = reason.len > 0 && reason.ptr[0] == ' ';
    if (tg_slice_to_u64(digits, &status) != TG_OK || status < 100 || blank != (reason.len > 0) ||
        tg_http1_skip_value(reason.ptr, reason.ptr + reason.len) != reason.ptr + reason.len) {
        return tg_http1_refuse(fault, 400, "malformed status line");
    }
    out->status = (int)status;
    out->reason = tg_slice_from(reason, 1);
    *at = line.ptr + line.len + 2;
    return tg_http1_parse_version(line.ptr, &out->minor, fault);
}

/* RFC 9112 6.3. */
static enum tg_http1_framing response_framing(int status, struct tg_slice method,
                                              const struct tg_http1_fields *fields)
{
    if (status < 200 || status == 204 || status == 304 || tg_slice_eq(method, TG_LIT("HEAD"))) {
        return TG_HTTP1_NO_BODY;
    }
    if (fields->has_coding) {
        return TG_HTTP1_CHUNKED;
    }
    return fields->has_length ? TG_HTTP1_LENGTH : TG_HTTP1_UNTIL_CLOSE;
}

/* As tg_http1_read_request. */
static enum tg_err read_response(struct tg_slice bytes, const struct tg_http1_limits *limits,
                                 struct tg_slice method, struct tg_arena *arena,
                                 struct tg_http1_response *out, size_t *head_len,
                                 struct tg_http1_fault *fault)
{
    struct tg_http1_response response = {0};
    struct tg_http1_fields fields;
    const char *at = bytes.ptr, *end = bytes.ptr + bytes.len;
    enum tg_err err = parse_status_line(&at, end, &response, fault);
    if (err != TG_OK) {
        return err;
    }
    size_t line = (size_t)(at - bytes.ptr) - 2;
    err = tg_http1_parse_fields(&at, end, response.minor, limits->count, arena, &fields, fault);
    if (err == TG_OK && !fits(limits, line, (size_t)(at - bytes.ptr))) {
        err = tg_http1_refuse(fault, 431, "head too large");
    }
    if (err != TG_OK) {
        return err;
    }
    response.headers = fields.headers;
    response.framing = response_framing(response.status, method, &fields);
    response.keep_alive =
        response.framing != TG_HTTP1_UNTIL_CLOSE && tg_http1_keep_alive(&fields, response.minor);
    response.has_length = fields.has_length;
    response.content_length = fields.content_length;
    *out = response;
    *head_len = (size_t)(at - bytes.ptr);
    return TG_OK;
}

/* In the same two ways as requests. */
enum tg_err tg_http1_parse_response(struct tg_slice bytes, size_t *scanned,
                                    const struct tg_http1_limits *limits, struct tg_slice method,
                                    struct tg_arena *arena, struct tg_http1_response *out, size_t *head_len,
                                    struct tg_http1_fault *fault)
{
    size_t end = 0;
    enum tg_err err;
    if (bytes.len == 0) {
        return TG_EAGAIN;
    }
    if (bytes.ptr[0] != 'H') {
        return tg_http1_refuse(fault, 400, "not an HTTP response");
    }
    if (*scanned == 0) {
        struct tg_http1_fault untold;
        err = read_response(bytes, limits, method, arena, out, head_len, &untold);
        if (err != TG_EPROTO) {
            return err;
        }
    }
    err = tg_http1_find_end(bytes, 0, scanned, limits, &end, fault);
    return err == TG_OK
               ? read_response(tg_slice_head(bytes, end), limits, method, arena, out, head_len, fault)
               : err;
}
