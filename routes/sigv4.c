#include "routes/sigv4.h"

#include "routes/sigv4_canonical.h"
#include "server/base/codec.h"

enum { SKEW_MS = 5 * 60 * 1000, EXPIRES_MAX = 7 * 24 * 60 * 60 };

static const struct tg_slice terminator = TG_LIT_INIT("aws4_request");

/* What a request says about its signature. */
struct claim {
    struct tg_slice algorithm, credential, signed_headers, signature;
    struct tg_slice date; /* in basic form */
    struct tg_slice token;
    struct tg_slice date_field; /* the header field that it came from; empty in presigned form */
    struct tg_slice day, region, service, terminator;
    struct tg_slice scope; /* the four of them, as they stand in the credential */
    int64_t signed_ms, lifetime_ms;
};

/* What goes through the steps of a verification. */
struct check {
    const struct tg_sigv4_request *request;
    struct tg_arena *arena;
    struct tg_sigv4_cache *cache; /* may be NULL */
    struct tg_sigv4_params params;
    struct claim claim;
    struct tg_sigv4_result result;
};

/* A step of reading: TG_OK with the outcome in check->result, which stays TG_SIGV4_OK when all is well. */
static enum tg_err refuse(struct check *check, enum tg_sigv4_outcome outcome)
{
    check->result.outcome = outcome;
    return TG_OK;
}

static bool refused(const struct check *check)
{
    return check->result.outcome != TG_SIGV4_OK;
}

/* The field when there is exactly one; empty otherwise. */
static struct tg_slice only_header(const struct check *check, struct tg_slice name)
{
    const struct tg_headers *headers = check->request->headers;
    const struct tg_header *field = tg_headers_first(headers, name);
    if (field == NULL) {
        return TG_EMPTY;
    }
    size_t next = (size_t)(field - headers->items) + 1;
    const struct tg_headers behind = {headers->items + next, headers->count - next, 0};
    return tg_headers_first(&behind, name) == NULL ? tg_slice_trim(field->value) : TG_EMPTY;
}

/* `Fri, 02 Jan 2026 03:04:05 GMT` (RFC 9110 section 5.6.7) in basic form; other text as it is. */
static enum tg_err basic_date(struct check *check, struct tg_slice text, struct tg_slice *out)
{
    const struct tg_slice months = TG_LIT("JanFebMarAprMayJunJulAugSepOctNovDec");
    if (text.len != 29 || !tg_slice_ends(text, TG_LIT(" GMT")) || tg_slice_find(text, ',') != 3) {
        *out = text;
        return TG_OK;
    }
    size_t at = tg_slice_find_slice(months, tg_slice_make(text.ptr + 8, 3));
    int month = at % 3 == 0 ? (int)at / 3 + 1 : 13;
    return tg_arena_printf(check->arena, out, "%.4s%02d%.2sT%.2s%.2s%.2sZ", text.ptr + 12, month,
                           text.ptr + 5, text.ptr + 17, text.ptr + 20, text.ptr + 23);
}

static enum tg_err read_date(struct check *check)
{
    struct claim *claim = &check->claim;
    claim->date_field = TG_LIT("x-amz-date");
    claim->date = only_header(check, claim->date_field);
    if (claim->date.len > 0 || tg_headers_first(check->request->headers, claim->date_field) != NULL) {
        return TG_OK;
    }
    claim->date_field = TG_LIT("date");
    return basic_date(check, only_header(check, claim->date_field), &claim->date);
}

/* `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...` */
static enum tg_err read_authorization(struct check *check, struct tg_slice value)
{
    struct claim *claim = &check->claim;
    struct tg_slice rest = tg_slice_trim(value);
    check->result.authorization = rest;
    claim->algorithm = tg_slice_cut(rest, ' ', &rest);
    rest = tg_slice_trim(rest);
    if (rest.len == 0 && !tg_slice_eq(claim->algorithm, TG_SIGV4_ALGORITHM_NAME)) {
        return refuse(check, TG_SIGV4_NOT_KEY_VALUE);
    }
    while (rest.len > 0) {
        struct tg_slice part, name = tg_slice_cut(tg_slice_trim(tg_slice_cut(rest, ',', &rest)), '=', &part);
        if (part.ptr == NULL) {
            return refuse(check, TG_SIGV4_NOT_KEY_VALUE);
        }
        if (tg_slice_eq(name, TG_LIT("Credential"))) {
            claim->credential = part;
        } else if (tg_slice_eq(name, TG_LIT("SignedHeaders"))) {
            claim->signed_headers = part;
        } else if (tg_slice_eq(name, TG_LIT("Signature"))) {
            claim->signature = part;
        }
    }
    claim->token = only_header(check, TG_LIT("x-amz-security-token"));
    claim->lifetime_ms = SKEW_MS;
    return read_date(check);
}

/* The decoded value of the parameter; empty when absent. */
static enum tg_err param(struct check *check, struct tg_slice name, struct tg_slice *out)
{
    for (size_t i = 0; i < check->params.count; i++) {
        if (tg_slice_eq(check->params.items[i].name, name)) {
            return tg_percent_decode(check->arena, check->params.items[i].value, false, out);
        }
    }
    *out = TG_EMPTY;
    return TG_OK;
}

static bool is_presigned(const struct check *check)
{
    for (size_t i = 0; i < check->params.count; i++) {
        struct tg_slice name = check->params.items[i].name;
        if (tg_slice_eq(name, TG_LIT("X-Amz-Algorithm")) || tg_slice_eq(name, TG_LIT("X-Amz-Signature"))) {
            return true;
        }
    }
    return false;
}

static enum tg_err read_query(struct check *check)
{
    struct claim *claim = &check->claim;
    struct tg_slice expires = TG_EMPTY;
    const struct {
        struct tg_slice name, *value;
    } fields[] = {
        {TG_LIT("X-Amz-Algorithm"), &claim->algorithm},
        {TG_LIT("X-Amz-Credential"), &claim->credential},
        {TG_LIT("X-Amz-Date"), &claim->date},
        {TG_LIT("X-Amz-Expires"), &expires},
        {TG_LIT("X-Amz-SignedHeaders"), &claim->signed_headers},
        {TG_LIT("X-Amz-Signature"), &claim->signature},
        {TG_LIT("X-Amz-Security-Token"), &claim->token},
    };
    check->result.presigned = true;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        enum tg_err err = param(check, fields[i].name, fields[i].value);
        if (err != TG_OK) {
            return err;
        }
    }
    uint64_t seconds = SKEW_MS / 1000;
    if (expires.len > 0 &&
        (tg_slice_to_u64(expires, &seconds) != TG_OK || seconds == 0 || seconds > EXPIRES_MAX)) {
        check->result.missing |= TG_SIGV4_BAD_EXPIRES;
        return refuse(check, TG_SIGV4_INCOMPLETE);
    }
    claim->lifetime_ms = (int64_t)seconds * 1000;
    return TG_OK;
}

static void check_parts(struct check *check)
{
    struct claim *claim = &check->claim;
    struct tg_sigv4_result *result = &check->result;
    result->missing |= claim->credential.len == 0 ? TG_SIGV4_NO_CREDENTIAL : 0;
    result->missing |= claim->signature.len == 0 ? TG_SIGV4_NO_SIGNATURE : 0;
    result->missing |= claim->signed_headers.len == 0 ? TG_SIGV4_NO_SIGNED_HEADERS : 0;
    result->missing |= claim->date.len == 0 ? TG_SIGV4_NO_DATE : 0;
    if (result->missing != 0) {
        (void)refuse(check, TG_SIGV4_INCOMPLETE);
    } else if (!tg_slice_eq(claim->algorithm, TG_SIGV4_ALGORITHM_NAME)) {
        (void)refuse(check, TG_SIGV4_ALGORITHM);
    }
}

/* Most requests of a second were signed in the same one. */
static enum tg_err read_time(struct tg_sigv4_cache *cache, struct tg_slice date, int64_t *seconds)
{
    if (cache == NULL || date.len != sizeof cache->date) {
        return tg_time_parse_basic(date, seconds);
    }
    if (cache->seconds == 0 || memcmp(cache->date, date.ptr, sizeof cache->date) != 0) {
        enum tg_err err = tg_time_parse_basic(date, seconds);
        if (err != TG_OK) {
            return err;
        }
        memcpy(cache->date, date.ptr, sizeof cache->date);
        cache->seconds = *seconds;
    }
    *seconds = cache->seconds;
    return TG_OK;
}

/* `{key id}/{day}/{region}/{service}/aws4_request`, and the date. */
static void check_scope(struct check *check)
{
    struct claim *claim = &check->claim;
    struct tg_sigv4_result *result = &check->result;
    struct tg_slice rest, *const parts[] = {&result->access_key_id, &claim->day, &claim->region,
                                            &claim->service, &claim->terminator};
    rest = claim->credential;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        claim->scope = i == 1 ? rest : claim->scope;
        *parts[i] = tg_slice_cut(rest, '/', &rest);
        if ((rest.ptr == NULL) != (i == 4)) {
            result->missing |= TG_SIGV4_BAD_CREDENTIAL;
            (void)refuse(check, TG_SIGV4_INCOMPLETE);
            return;
        }
    }
    int64_t seconds;
    result->date = claim->date;
    result->scope_date = claim->day;
    if (read_time(check->cache, claim->date, &seconds) != TG_OK) {
        result->missing |= TG_SIGV4_BAD_DATE;
        (void)refuse(check, TG_SIGV4_INCOMPLETE);
        return;
    }
    claim->signed_ms = seconds * 1000;
    result->missing |= tg_slice_eq(claim->region, check->request->region) ? 0 : TG_SIGV4_BAD_REGION;
    result->missing |= tg_slice_eq(claim->service, check->request->service) ? 0 : TG_SIGV4_BAD_SERVICE;
    result->missing |= tg_slice_eq(claim->terminator, terminator) ? 0 : TG_SIGV4_BAD_TERMINATOR;
    result->missing |=
        tg_slice_eq(claim->day, tg_slice_head(claim->date, TG_SIGV4_DAY_LEN)) ? 0 : TG_SIGV4_BAD_SCOPE_DATE;
    if (result->missing != 0) {
        (void)refuse(check, TG_SIGV4_SCOPE);
    }
}

static void check_time(struct check *check)
{
    const struct claim *claim = &check->claim;
    int64_t age = check->request->now_ms - claim->signed_ms;
    check->result.lifetime_ms = claim->lifetime_ms;
    if (age > claim->lifetime_ms) {
        (void)refuse(check, TG_SIGV4_EXPIRED);
    } else if (age < -SKEW_MS) {
        (void)refuse(check, TG_SIGV4_NOT_YET);
    }
}

/* What field names consist of (tchar, RFC 9110 section 5.6.2), but for upper case. */
static const bool in_name[256] = {
    ['a' ... 'z'] = true, ['0' ... '9'] = true, ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true,
    ['&'] = true,         ['\''] = true,        ['*'] = true, ['+'] = true, ['-'] = true, ['.'] = true,
    ['^'] = true,         ['_'] = true,         ['`'] = true, ['|'] = true, ['~'] = true,
};

/* A field name in lower case. */
static bool is_canonical_name(struct tg_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!in_name[(unsigned char)name.ptr[i]]) {
            return false;
        }
    }
    return name.len > 0;
}

/* The names must ascend, and be canonical: another list cannot have been signed by the rules, and one that
 * repeats a name would have us copy its value each time. */
static void check_signed_headers(struct check *check)
{
    enum { NEEDED = 3 };
    const struct claim *claim = &check->claim;
    const struct tg_slice token = TG_LIT("x-amz-security-token");
    const struct tg_slice needed[NEEDED] = {
        TG_LIT("host"),
        claim->date_field,
        tg_headers_first(check->request->headers, token) != NULL ? token : TG_EMPTY,
    };
    bool found[NEEDED] = {false}, canonical = true;
    struct tg_slice before = TG_EMPTY, rest = claim->signed_headers;
    while (rest.ptr != NULL) {
        struct tg_slice name = tg_slice_cut(rest, ';', &rest);
        canonical = canonical && is_canonical_name(name) && tg_slice_cmp(before, name) < 0;
        for (size_t i = 0; i < NEEDED; i++) {
            found[i] = found[i] || tg_slice_eq(needed[i], name);
        }
        before = name;
    }
    for (size_t i = 0; i < NEEDED; i++) {
        if (needed[i].len > 0 && !found[i]) {
            check->result.unsigned_header = needed[i];
            (void)refuse(check, TG_SIGV4_UNSIGNED_HEADER);
            return;
        }
    }
    if (!canonical) {
        (void)refuse(check, TG_SIGV4_MISMATCH);
    }
}

static void check_credential(struct check *check, tg_sigv4_lookup_fn *lookup, void *arg,
                             struct tg_sigv4_credential *credential)
{
    if (!lookup(arg, check->result.access_key_id, credential) || credential->secret_access_key.len == 0) {
        (void)refuse(check, TG_SIGV4_UNKNOWN_KEY);
        return;
    }
    check->result.identity = credential->identity;
    if (!tg_slice_eq_secret(credential->session_token, check->claim.token)) {
        (void)refuse(check, TG_SIGV4_UNKNOWN_KEY);
    } else if (credential->expires_ms != 0 && check->request->now_ms >= credential->expires_ms) {
        (void)refuse(check, TG_SIGV4_EXPIRED_TOKEN);
    }
}

static enum tg_err check_signature(struct check *check, const struct tg_sigv4_credential *credential)
{
    const struct tg_sigv4_request *request = check->request;
    const struct claim *claim = &check->claim;
    const struct tg_slice hash_field = TG_LIT("x-amz-content-sha256");
    struct tg_sigv4_canonical canonical = {.method = request->method,
                                           .path = request->path,
                                           .params = &check->params,
                                           .presigned = check->result.presigned,
                                           .headers = request->headers,
                                           .signed_headers = claim->signed_headers};
    struct tg_hmac_key key;
    char signature[TG_SIGV4_HEX_LEN];
    enum tg_err err = tg_sigv4_payload_hex(request, canonical.payload_hex);
    if (err != TG_OK) {
        return err;
    }
    struct tg_slice payload_hex = tg_slice_make(canonical.payload_hex, sizeof canonical.payload_hex);
    if (tg_headers_first(request->headers, hash_field) != NULL &&
        !tg_slice_eq(only_header(check, hash_field), payload_hex)) {
        return refuse(check, TG_SIGV4_PAYLOAD);
    }
    err = tg_sigv4_key(check->cache, credential->secret_access_key, claim->day, claim->region, claim->service,
                       check->arena, &key);
    if (err == TG_OK) {
        err = tg_sigv4_compute(&canonical, claim->date, claim->scope, &key, check->arena, signature);
    }
    if (err == TG_OK && !tg_slice_eq_secret(claim->signature, tg_slice_make(signature, sizeof signature))) {
        return refuse(check, TG_SIGV4_MISMATCH);
    }
    return err;
}

static enum tg_err read_claim(struct check *check)
{
    const struct tg_header *field = tg_headers_first(check->request->headers, TG_LIT("authorization"));
    enum tg_err err = tg_sigv4_params(check->arena, check->request->query, &check->params);
    if (err != TG_OK) {
        return err;
    }
    if (field != NULL && tg_slice_trim(field->value).len > 0) {
        return read_authorization(check, field->value);
    }
    return is_presigned(check) ? read_query(check) : refuse(check, TG_SIGV4_MISSING_TOKEN);
}

enum tg_err tg_sigv4_verify(const struct tg_sigv4_request *request, tg_sigv4_lookup_fn *lookup, void *arg,
                            struct tg_sigv4_cache *cache, struct tg_arena *arena, struct tg_sigv4_result *out)
{
    static void (*const steps[])(struct check *) = {check_parts, check_scope, check_time,
                                                    check_signed_headers};
    struct check check = {.request = request, .arena = arena, .cache = cache};
    struct tg_sigv4_credential credential = {.expires_ms = 0};
    check.result.now_ms = request->now_ms;
    check.result.service = request->service;
    enum tg_err err = read_claim(&check);
    for (size_t i = 0; err == TG_OK && !refused(&check) && i < sizeof steps / sizeof steps[0]; i++) {
        steps[i](&check);
    }
    if (err == TG_OK && !refused(&check)) {
        check_credential(&check, lookup, arg, &credential);
    }
    if (err == TG_OK && !refused(&check)) {
        err = check_signature(&check, &credential);
    }
    if (err == TG_OK) {
        *out = check.result;
    }
    return err;
}
