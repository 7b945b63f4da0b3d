/* The words of routes/sigv4.h, as the native service has them (spec http-api.md 3.1). */
#include "routes/sigv4.h"
#include "server/base/codec.h"

static const struct {
    int status;
    struct tg_slice type, message;
} rows[] = {
#define X(name, status, type, message) {status, TG_LIT_INIT(type), TG_LIT_INIT(message)},
    TG_SIGV4_TABLE(X)
#undef X
};

int tg_sigv4_status(enum tg_sigv4_outcome outcome)
{
    return rows[outcome].status;
}

struct tg_slice tg_sigv4_error_type(enum tg_sigv4_outcome outcome)
{
    return rows[outcome].type;
}

/* What the native service prints instead of the Authorization field. */
static enum tg_err hashed(struct tg_slice text, struct tg_arena *arena, struct tg_slice *out)
{
    unsigned char digest[TG_SHA256_LEN];
    struct tg_buf buf;
    tg_buf_init(&buf, SIZE_MAX);
    enum tg_err err = tg_sha256(text, digest);
    if (err == TG_OK) {
        err = tg_base64_encode(&buf, tg_slice_make(digest, sizeof digest));
    }
    if (err == TG_OK) {
        err = tg_arena_copy(arena, tg_buf_slice(&buf), out);
    }
    tg_buf_free(&buf);
    return err;
}

static enum tg_err not_key_value(const struct tg_sigv4_result *result, struct tg_arena *arena,
                                 struct tg_slice *out)
{
    struct tg_slice digest;
    enum tg_err err = hashed(result->authorization, arena, &digest);
    if (err != TG_OK) {
        return err;
    }
    return tg_arena_printf(arena, out,
                           "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with "
                           "SHA-256 and encoded with Base64): '%.*s'.",
                           TG_FMT(digest));
}

static const char *when(const struct tg_sigv4_result *result, unsigned bit, const char *text)
{
    return (result->missing & bit) != 0 ? text : "";
}

static enum tg_err incomplete_header(const struct tg_sigv4_result *result, struct tg_arena *arena,
                                     struct tg_slice *out)
{
    struct tg_slice digest;
    enum tg_err err = hashed(result->authorization, arena, &digest);
    if (err != TG_OK) {
        return err;
    }
    return tg_arena_printf(
        arena, out, "%s%s%s%s(Hashed with SHA-256 and encoded with Base64) Authorization=%.*s",
        when(result, TG_SIGV4_NO_CREDENTIAL, "Authorization header requires 'Credential' parameter. "),
        when(result, TG_SIGV4_NO_SIGNATURE, "Authorization header requires 'Signature' parameter. "),
        when(result, TG_SIGV4_NO_SIGNED_HEADERS, "Authorization header requires 'SignedHeaders' parameter. "),
        when(result, TG_SIGV4_NO_DATE,
             "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "),
        TG_FMT(digest));
}

static enum tg_err incomplete_query(const struct tg_sigv4_result *result, struct tg_arena *arena,
                                    struct tg_slice *out)
{
    return tg_arena_printf(
        arena, out, "%s%s%s%sRe-examine the query-string parameters.",
        when(result, TG_SIGV4_NO_CREDENTIAL, "AWS query-string parameters must include 'X-Amz-Credential'. "),
        when(result, TG_SIGV4_NO_SIGNATURE, "AWS query-string parameters must include 'X-Amz-Signature'. "),
        when(result, TG_SIGV4_NO_SIGNED_HEADERS,
             "AWS query-string parameters must include 'X-Amz-SignedHeaders'. "),
        when(result, TG_SIGV4_NO_DATE, "AWS query-string parameters must include 'X-Amz-Date'. "));
}

static enum tg_err incomplete(const struct tg_sigv4_result *result, struct tg_arena *arena,
                              struct tg_slice *out)
{
    if ((result->missing & TG_SIGV4_BAD_EXPIRES) != 0) {
        *out = TG_LIT("X-Amz-Expires must be a number of seconds from 1 to 604800.");
        return TG_OK;
    }
    if ((result->missing & TG_SIGV4_BAD_CREDENTIAL) != 0) {
        *out = TG_LIT("Credential must have exactly 5 slash-delimited elements, e.g. "
                      "keyid/date/region/service/term.");
        return TG_OK;
    }
    if ((result->missing & TG_SIGV4_BAD_DATE) != 0) {
        return tg_arena_printf(arena, out, "Date must be in ISO-8601 'basic format'. Got '%.*s'.",
                               TG_FMT(tg_slice_head(result->date, 64)));
    }
    return result->presigned ? incomplete_query(result, arena, out) : incomplete_header(result, arena, out);
}

static enum tg_err scope(const struct tg_sigv4_result *result, struct tg_arena *arena, struct tg_slice *out)
{
    if ((result->missing & ~(unsigned)TG_SIGV4_BAD_SCOPE_DATE) == 0) {
        struct tg_slice day = tg_slice_head(result->scope_date, 16);
        return tg_arena_printf(
            arena, out,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
            "from HTTP: '%.*s' != '%.*s', from '%.*s'.",
            TG_FMT(day), TG_FMT(tg_slice_head(result->date, 8)), TG_FMT(result->date));
    }
    struct tg_slice service;
    enum tg_err err = tg_arena_printf(
        arena, &service, "Credential should be scoped to correct service: '%.*s'. ", TG_FMT(result->service));
    if (err != TG_OK) {
        return err;
    }
    return tg_arena_printf(
        arena, out, "%s%s%s",
        when(result, TG_SIGV4_BAD_REGION, "Credential should be scoped to a valid region. "),
        when(result, TG_SIGV4_BAD_SERVICE, service.ptr),
        when(result, TG_SIGV4_BAD_TERMINATOR,
             "Credential should be scoped with a valid terminator: 'aws4_request'. "));
}

static enum tg_err expired(const struct tg_sigv4_result *result, struct tg_arena *arena, struct tg_slice *out)
{
    char now[TG_TIME_TEXT_MAX], bound[TG_TIME_TEXT_MAX];
    (void)tg_time_basic(result->now_ms, now);
    (void)tg_time_basic(result->now_ms - result->lifetime_ms, bound);
    bool minutes = result->lifetime_ms % 60000 == 0;
    return tg_arena_printf(
        arena, out, "Signature expired: %.*s is now earlier than %s (%s - %lld %s.)", TG_FMT(result->date),
        bound, now, (long long)(result->lifetime_ms / (minutes ? 60000 : 1000)), minutes ? "min" : "sec");
}

static enum tg_err not_yet(const struct tg_sigv4_result *result, struct tg_arena *arena, struct tg_slice *out)
{
    char now[TG_TIME_TEXT_MAX], bound[TG_TIME_TEXT_MAX];
    (void)tg_time_basic(result->now_ms, now);
    (void)tg_time_basic(result->now_ms + 5 * 60000, bound);
    return tg_arena_printf(arena, out, "Signature not yet current: %.*s is still later than %s (%s + 5 min.)",
                           TG_FMT(result->date), bound, now);
}

static enum tg_err unsigned_header(const struct tg_sigv4_result *result, struct tg_arena *arena,
                                   struct tg_slice *out)
{
    bool host = tg_slice_eq(result->unsigned_header, TG_LIT("host"));
    struct tg_slice name = host ? TG_LIT("Host") : result->unsigned_header;
    return tg_arena_printf(arena, out, "'%.*s' must be a 'SignedHeader' in the AWS Authorization.",
                           TG_FMT(name));
}

enum tg_err tg_sigv4_message(const struct tg_sigv4_result *result, struct tg_arena *arena,
                             struct tg_slice *out)
{
    switch (result->outcome) {
    case TG_SIGV4_NOT_KEY_VALUE:
        return not_key_value(result, arena, out);
    case TG_SIGV4_INCOMPLETE:
        return incomplete(result, arena, out);
    case TG_SIGV4_SCOPE:
        return scope(result, arena, out);
    case TG_SIGV4_EXPIRED:
        return expired(result, arena, out);
    case TG_SIGV4_NOT_YET:
        return not_yet(result, arena, out);
    case TG_SIGV4_UNSIGNED_HEADER:
        return unsigned_header(result, arena, out);
    default:
        *out = rows[result->outcome].message;
        return TG_OK;
    }
}
