#include "routes/accesslog.h"

#include "routes/expr.h"
#include "server/base/codec.h"

enum part_kind {
    PART_TEXT,
    PART_VARIABLE,
    PART_QUOTED /* a variable that prints with quotes */
};

struct tg_accesslog_part {
    enum part_kind kind;
    struct tg_slice text; /* the literal, or the name behind `$context.` */
};

static const struct tg_slice prefix = TG_LIT_INIT("$context.");

/* Spec websocket-api.md 8.1 and http-api.md 7.1 (v2). Beside these, `authorizer.` and any name. */
static const struct tg_slice names[] = {
    TG_LIT_INIT("accountId"),
    TG_LIT_INIT("apiId"),
    TG_LIT_INIT("authenticate.error"),
    TG_LIT_INIT("authenticate.latency"),
    TG_LIT_INIT("authenticate.status"),
    TG_LIT_INIT("authorize.error"),
    TG_LIT_INIT("authorize.latency"),
    TG_LIT_INIT("authorize.status"),
    TG_LIT_INIT("authorizer.claims"),
    TG_LIT_INIT("authorizer.error"),
    TG_LIT_INIT("authorizer.integrationLatency"),
    TG_LIT_INIT("authorizer.integrationStatus"),
    TG_LIT_INIT("authorizer.latency"),
    TG_LIT_INIT("authorizer.principalId"),
    TG_LIT_INIT("authorizer.requestId"),
    TG_LIT_INIT("authorizer.status"),
    TG_LIT_INIT("awsEndpointRequestId"),
    TG_LIT_INIT("awsEndpointRequestId2"),
    TG_LIT_INIT("connectedAt"),
    TG_LIT_INIT("connectionId"),
    TG_LIT_INIT("customDomain.basePathMatched"),
    TG_LIT_INIT("dataProcessed"),
    TG_LIT_INIT("domainName"),
    TG_LIT_INIT("domainPrefix"),
    TG_LIT_INIT("error.message"),
    TG_LIT_INIT("error.messageString"),
    TG_LIT_INIT("error.responseType"),
    TG_LIT_INIT("error.validationErrorString"),
    TG_LIT_INIT("eventType"),
    TG_LIT_INIT("extendedRequestId"),
    TG_LIT_INIT("httpMethod"),
    TG_LIT_INIT("identity.accountId"),
    TG_LIT_INIT("identity.apiKey"),
    TG_LIT_INIT("identity.apiKeyId"),
    TG_LIT_INIT("identity.caller"),
    TG_LIT_INIT("identity.clientCert.clientCertPem"),
    TG_LIT_INIT("identity.clientCert.issuerDN"),
    TG_LIT_INIT("identity.clientCert.serialNumber"),
    TG_LIT_INIT("identity.clientCert.subjectDN"),
    TG_LIT_INIT("identity.clientCert.validity.notAfter"),
    TG_LIT_INIT("identity.clientCert.validity.notBefore"),
    TG_LIT_INIT("identity.cognitoAuthenticationProvider"),
    TG_LIT_INIT("identity.cognitoAuthenticationType"),
    TG_LIT_INIT("identity.cognitoIdentityId"),
    TG_LIT_INIT("identity.cognitoIdentityPoolId"),
    TG_LIT_INIT("identity.principalOrgId"),
    TG_LIT_INIT("identity.sourceIp"),
    TG_LIT_INIT("identity.user"),
    TG_LIT_INIT("identity.userAgent"),
    TG_LIT_INIT("identity.userArn"),
    TG_LIT_INIT("integration.error"),
    TG_LIT_INIT("integration.integrationStatus"),
    TG_LIT_INIT("integration.latency"),
    TG_LIT_INIT("integration.requestId"),
    TG_LIT_INIT("integration.status"),
    TG_LIT_INIT("integrationErrorMessage"),
    TG_LIT_INIT("integrationLatency"),
    TG_LIT_INIT("integrationStatus"),
    TG_LIT_INIT("messageId"),
    TG_LIT_INIT("path"),
    TG_LIT_INIT("protocol"),
    TG_LIT_INIT("requestId"),
    TG_LIT_INIT("requestTime"),
    TG_LIT_INIT("requestTimeEpoch"),
    TG_LIT_INIT("responseLatency"),
    TG_LIT_INIT("responseLength"),
    TG_LIT_INIT("routeKey"),
    TG_LIT_INIT("stage"),
    TG_LIT_INIT("status"),
    TG_LIT_INIT("waf.error"),
    TG_LIT_INIT("waf.latency"),
    TG_LIT_INIT("waf.status"),
};
enum { NAME_COUNT = sizeof names / sizeof *names, COMPARED_MAX = 63 };

static bool is_known(struct tg_slice name)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (tg_slice_eq(names[i], name)) {
            return true;
        }
    }
    return tg_expr_skip(&name, TG_LIT("authorizer.")) && name.len > 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many characters must be inserted, dropped or replaced to make one name the other; long names are cut.
 */
static size_t edit_distance(struct tg_slice a, struct tg_slice b)
{
    size_t row[COMPARED_MAX + 1];
    a = tg_slice_head(a, COMPARED_MAX);
    b = tg_slice_head(b, COMPARED_MAX);
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 0; i < a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.len; j++) {
            size_t replaced = diagonal + (a.ptr[i] != b.ptr[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(replaced, least(row[j], row[j + 1]) + 1);
        }
    }
    return row[b.len];
}

static struct tg_slice nearest_name(struct tg_slice name)
{
    size_t best = 0, best_distance = SIZE_MAX;
    for (size_t i = 0; i < NAME_COUNT; i++) {
        size_t distance = edit_distance(name, names[i]);
        if (distance < best_distance) {
            best = i;
            best_distance = distance;
        }
    }
    return names[best];
}

/* Reads a format from left to right. Invariant: parts has room for two parts a `$` left. */
struct reader {
    struct tg_arena *arena;
    struct tg_slice text;
    size_t at;
    struct tg_accesslog_part *parts;
    size_t count;
    bool has_request_id;
    struct tg_slice *error;
};

static enum tg_err take_variable(struct reader *r)
{
    size_t start = r->at + prefix.len, end = start;
    if (!tg_slice_starts(tg_slice_from(r->text, r->at), prefix)) {
        return tg_expr_fail(r->arena, r->error, r->at, "only `$context.NAME` variables can stand here");
    }
    while (end < r->text.len &&
           (tg_expr_is_alnum(r->text.ptr[end]) || r->text.ptr[end] == '_' || r->text.ptr[end] == '.')) {
        end++;
    }
    while (end > start && r->text.ptr[end - 1] == '.') {
        end--;
    }
    struct tg_slice name = {r->text.ptr + start, end - start};
    if (!is_known(name)) {
        return tg_expr_fail(r->arena, r->error, r->at,
                            "the variable `$context.%.*s` does not exist (nearest: `$context.%.*s`)",
                            TG_FMT(name), TG_FMT(nearest_name(name)));
    }
    struct tg_accesslog_part part = {PART_VARIABLE, name};
    if (tg_slice_eq(name, TG_LIT("error.messageString"))) {
        part = (struct tg_accesslog_part){PART_QUOTED, TG_LIT("error.message")};
    }
    r->has_request_id |=
        tg_slice_eq(name, TG_LIT("requestId")) || tg_slice_eq(name, TG_LIT("extendedRequestId"));
    r->parts[r->count++] = part;
    r->at = end;
    return TG_OK;
}

static bool starts_variable(struct tg_slice text, size_t at)
{
    return text.ptr[at] == '$' && at + 1 < text.len &&
           (text.ptr[at + 1] == '{' || (tg_expr_is_alnum(text.ptr[at + 1]) && text.ptr[at + 1] > '9'));
}

static enum tg_err read_parts(struct reader *r)
{
    size_t literal = 0;
    while (r->at <= r->text.len) {
        bool variable = r->at < r->text.len && starts_variable(r->text, r->at);
        if ((variable || r->at == r->text.len) && r->at > literal) {
            r->parts[r->count++] =
                (struct tg_accesslog_part){PART_TEXT, tg_slice_make(r->text.ptr + literal, r->at - literal)};
        }
        if (variable) {
            enum tg_err err = take_variable(r);
            if (err != TG_OK) {
                return err;
            }
            literal = r->at;
            continue;
        }
        if (r->at < r->text.len && (unsigned char)r->text.ptr[r->at] < 0x20 && r->text.ptr[r->at] != '\t') {
            return tg_expr_fail(r->arena, r->error, r->at,
                                "a format is one line: line break or control character");
        }
        r->at++;
    }
    return TG_OK;
}

enum tg_err tg_accesslog_compile(struct tg_arena *arena, struct tg_slice format, struct tg_accesslog *out,
                                 struct tg_slice *error)
{
    if (format.len > TG_ACCESSLOG_FORMAT_MAX) {
        enum tg_err err =
            tg_expr_fail(arena, error, TG_ACCESSLOG_FORMAT_MAX,
                         "a format has at most %d characters, too many", TG_ACCESSLOG_FORMAT_MAX);
        return err == TG_ESYNTAX ? TG_ELIMIT : err;
    }
    while (format.len > 0 && (format.ptr[format.len - 1] == '\n' || format.ptr[format.len - 1] == '\r')) {
        format.len--;
    }
    size_t most = 1;
    for (size_t i = 0; i < format.len; i++) {
        most += format.ptr[i] == '$' ? 2 : 0;
    }
    struct tg_accesslog_part *parts = tg_arena_alloc(arena, most * sizeof *parts);
    if (parts == NULL) {
        return TG_ENOMEM;
    }
    struct reader r = {.arena = arena, .text = format, .parts = parts, .error = error};
    enum tg_err err = read_parts(&r);
    if (err != TG_OK) {
        return err;
    }
    if (!r.has_request_id) {
        return tg_expr_fail(
            arena, error, format.len,
            "`$context.requestId` or `$context.extendedRequestId` is missing, the format ends");
    }
    *out = (struct tg_accesslog){r.parts, r.count};
    return TG_OK;
}

/* How many bytes at the start of valid UTF-8 must not stand in a row as they are, and which character they
 * are: controls, quotes, backslashes, and what some readers take for line breaks (U+0085, U+2028, U+2029). 0:
 * none. */
static size_t must_escape(struct tg_slice value, unsigned *code)
{
    unsigned char c = (unsigned char)value.ptr[0];
    *code = c;
    if (c < 0x20 || c == 0x7F || c == '"' || c == '\\') {
        return 1;
    }
    if (c == 0xC2 && (unsigned char)value.ptr[1] < 0xA0) {
        *code = (unsigned char)value.ptr[1];
        return 2;
    }
    if (tg_slice_starts(value, TG_LIT("\xE2\x80\xA8")) || tg_slice_starts(value, TG_LIT("\xE2\x80\xA9"))) {
        *code = 0x2000 | ((unsigned char)value.ptr[2] & 0x3F);
        return 3;
    }
    return 0;
}

static enum tg_err append_escape(struct tg_buf *row, unsigned code)
{
    static const char controls[] = "\b\f\n\r\t", letters[] = "bfnrt";
    const char *known = code != 0 && code < 0x20 ? strchr(controls, (int)code) : NULL;
    if (code == '"' || code == '\\' || known != NULL) {
        const char text[2] = {'\\', known != NULL ? letters[known - controls] : (char)code};
        return tg_buf_append(row, tg_slice_make(text, 2));
    }
    return tg_buf_printf(row, "\\u%04x", code);
}

static enum tg_err append_value(struct tg_buf *row, struct tg_slice value)
{
    while (value.len > 0) {
        size_t plain = 0, escaped = 0;
        unsigned code = 0;
        while (plain < value.len && (escaped = must_escape(tg_slice_from(value, plain), &code)) == 0) {
            plain++;
        }
        enum tg_err err = plain > 0 ? tg_buf_append(row, tg_slice_head(value, plain)) : TG_OK;
        if (err == TG_OK && escaped > 0) {
            err = append_escape(row, code);
        }
        if (err != TG_OK) {
            return err;
        }
        value = tg_slice_from(value, plain + escaped);
    }
    return TG_OK;
}

static enum tg_err append_quoted(struct tg_buf *row, struct tg_slice value)
{
    enum tg_err err = tg_buf_append_char(row, '"');
    if (err == TG_OK) {
        err = append_value(row, value);
    }
    return err == TG_OK ? tg_buf_append_char(row, '"') : err;
}

static enum tg_err append_variable(const struct tg_accesslog_part *part, const struct tg_vars *vars,
                                   struct tg_arena *arena, struct tg_buf *row)
{
    struct tg_var_values values;
    struct tg_slice value;
    enum tg_err err = tg_vars_get(vars, TG_VAR_CONTEXT, part->text, arena, &values);
    if (err != TG_OK) {
        return err;
    }
    if (values.count == 0 || values.items[0].len == 0) {
        return tg_buf_append_char(row, '-');
    }
    err = tg_utf8_repair(arena, values.items[0], &value);
    if (err != TG_OK) {
        return err;
    }
    return part->kind == PART_QUOTED ? append_quoted(row, value) : append_value(row, value);
}

enum tg_err tg_accesslog_render(const struct tg_accesslog *log, const struct tg_vars *vars,
                                struct tg_arena *arena, struct tg_buf *row)
{
    for (size_t i = 0; i < log->count; i++) {
        const struct tg_accesslog_part *part = &log->parts[i];
        enum tg_err err = part->kind == PART_TEXT ? tg_buf_append(row, part->text)
                                                  : append_variable(part, vars, arena, row);
        if (err != TG_OK) {
            return err;
        }
    }
    return TG_OK;
}
