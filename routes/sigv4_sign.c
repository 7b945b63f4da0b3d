/* The signing half of routes/sigv4.h. */
#include <stdlib.h>

#include "routes/sigv4.h"
#include "routes/sigv4_canonical.h"
#include "server/base/codec.h"

static const struct tg_slice date_name = TG_LIT_INIT("x-amz-date");
static const struct tg_slice token_name = TG_LIT_INIT("x-amz-security-token");

static bool is_signed(struct tg_slice name)
{
    return tg_slice_eq_nocase(name, TG_LIT("host")) || tg_slice_eq_nocase(name, TG_LIT("content-type")) ||
           tg_slice_eq_nocase(tg_slice_head(name, 6), TG_LIT("x-amz-"));
}

/* The fields to sign: those of the request that are signed, the date and the token. */
static enum tg_err collect(const struct tg_headers *given, struct tg_slice date, struct tg_slice token,
                           struct tg_arena *arena, struct tg_headers *out)
{
    enum tg_err err = tg_headers_add(out, arena, date_name, date);
    if (err == TG_OK && token.len > 0) {
        err = tg_headers_add(out, arena, token_name, token);
    }
    for (size_t i = 0; err == TG_OK && i < given->count; i++) {
        struct tg_slice name = given->items[i].name;
        if (is_signed(name) && !tg_slice_eq_nocase(name, date_name) &&
            !tg_slice_eq_nocase(name, token_name)) {
            err = tg_headers_add(out, arena, name, given->items[i].value);
        }
    }
    return err;
}

static int compare_names(const void *a, const void *b)
{
    return tg_slice_cmp(*(const struct tg_slice *)a, *(const struct tg_slice *)b);
}

/* The names in lower case, each once, ascending, joined by ';'. */
static enum tg_err join_names(const struct tg_headers *headers, struct tg_arena *arena, struct tg_slice *out)
{
    size_t size = 0, len = 0;
    for (size_t i = 0; i < headers->count; i++) {
        size += headers->items[i].name.len + 1;
    }
    struct tg_slice *names = tg_arena_alloc(arena, headers->count * sizeof *names);
    char *joined = tg_arena_alloc(arena, size), *text = tg_arena_alloc(arena, size);
    if (names == NULL || joined == NULL || text == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < headers->count; i++) {
        struct tg_slice name = headers->items[i].name;
        for (size_t j = 0; j < name.len; j++) {
            bool upper = name.ptr[j] >= 'A' && name.ptr[j] <= 'Z';
            text[j] = (char)(upper ? name.ptr[j] | 0x20 : name.ptr[j]);
        }
        names[i] = tg_slice_make(text, name.len);
        text += name.len;
    }
    qsort(names, headers->count, sizeof *names, compare_names);
    for (size_t i = 0; i < headers->count; i++) {
        if (i > 0 && tg_slice_eq(names[i], names[i - 1])) {
            continue;
        }
        if (len > 0) {
            joined[len++] = ';';
        }
        memcpy(joined + len, names[i].ptr, names[i].len);
        len += names[i].len;
    }
    *out = tg_slice_make(joined, len);
    return TG_OK;
}

enum tg_err tg_sigv4_sign(const struct tg_sigv4_request *request,
                          const struct tg_sigv4_credential *credential, struct tg_sigv4_cache *cache,
                          struct tg_arena *arena, struct tg_sigv4_signature *out)
{
    char date_text[TG_TIME_TEXT_MAX], signature[TG_SIGV4_HEX_LEN];
    struct tg_hmac_key key;
    struct tg_slice date, scope, authorization;
    struct tg_sigv4_params params;
    struct tg_headers headers = {0};
    if (tg_headers_count(request->headers, TG_LIT("host")) != 1) {
        return TG_EINVAL;
    }
    size_t date_len = tg_time_basic(request->now_ms, date_text);
    enum tg_err err = tg_arena_copy(arena, tg_slice_make(date_text, date_len), &date);
    if (err != TG_OK || (err = tg_sigv4_params(arena, request->query, &params)) != TG_OK ||
        (err = collect(request->headers, date, credential->session_token, arena, &headers)) != TG_OK) {
        return err;
    }
    struct tg_slice day = tg_slice_head(date, TG_SIGV4_DAY_LEN);
    struct tg_sigv4_canonical canonical = {
        .method = request->method, .path = request->path, .params = &params, .headers = &headers};
    err = join_names(&headers, arena, &canonical.signed_headers);
    if (err != TG_OK || (err = tg_sigv4_payload_hex(request, canonical.payload_hex)) != TG_OK ||
        (err = tg_arena_printf(arena, &scope, "%.*s/%.*s/%.*s/aws4_request", TG_FMT(day),
                               TG_FMT(request->region), TG_FMT(request->service))) != TG_OK ||
        (err = tg_sigv4_key(cache, credential->secret_access_key, day, request->region, request->service,
                            arena, &key)) != TG_OK ||
        (err = tg_sigv4_compute(&canonical, date, scope, &key, arena, signature)) != TG_OK) {
        return err;
    }
    err = tg_arena_printf(arena, &authorization,
                          "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%.*s",
                          TG_FMT(credential->access_key_id), TG_FMT(scope), TG_FMT(canonical.signed_headers),
                          TG_SIGV4_HEX_LEN, signature);
    if (err == TG_OK) {
        *out = (struct tg_sigv4_signature){.authorization = authorization, .date = date};
    }
    return err;
}
