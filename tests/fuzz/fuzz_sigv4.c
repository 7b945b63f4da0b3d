/* A request in lines: method, path, query, `Name: value` fields, an empty line, the body. Judging it must not
 * fail but for want of memory, every outcome must have its words, and what we sign we must accept. */
#include <stdlib.h>

#include "routes/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static struct tg_sigv4_credential credential(bool with_token)
{
    return (struct tg_sigv4_credential){
        .access_key_id = TG_LIT("AKIDEXAMPLE"),
        .secret_access_key = TG_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        .session_token = with_token ? TG_LIT("FwoGZXIvYXdzEXAMPLE//token==") : TG_EMPTY,
    };
}

static bool look_up(void *arg, struct tg_slice access_key_id, struct tg_sigv4_credential *out)
{
    *out = credential(*(bool *)arg);
    return tg_slice_eq(access_key_id, TG_LIT("AKIDEXAMPLE"));
}

static void read_fields(struct tg_arena *arena, struct tg_slice *rest, struct tg_headers *headers)
{
    while (rest->len > 0) {
        struct tg_slice value, line = tg_slice_cut(*rest, '\n', rest);
        if (line.len == 0) {
            return;
        }
        struct tg_slice name = tg_slice_cut(line, ':', &value);
        if (tg_header_name_ok(name) && tg_header_value_ok(value)) {
            check(tg_headers_add(headers, arena, name, value) == TG_OK);
        }
    }
}

static void judge(const struct tg_sigv4_request *request, bool with_token, struct tg_arena *arena)
{
    struct tg_sigv4_result result, again;
    struct tg_sigv4_cache cache = {.hits = 0};
    struct tg_slice message;
    check(tg_sigv4_verify(request, look_up, &with_token, &cache, arena, &result) == TG_OK);
    check(tg_sigv4_verify(request, look_up, &with_token, &cache, arena, &again) == TG_OK);
    check(result.outcome == again.outcome);
    check(tg_sigv4_message(&result, arena, &message) == TG_OK);
    check((message.len > 0) == (result.outcome != TG_SIGV4_OK));
}

static void sign_and_verify(struct tg_sigv4_request request, bool with_token, struct tg_arena *arena)
{
    struct tg_headers headers = {0};
    struct tg_sigv4_signature signature;
    struct tg_sigv4_result result;
    struct tg_sigv4_credential signer = credential(with_token);
    for (size_t i = 0; i < request.headers->count; i++) {
        const struct tg_header *field = &request.headers->items[i];
        if (!tg_slice_eq_nocase(field->name, TG_LIT("x-amz-content-sha256")) &&
            !tg_slice_eq_nocase(field->name, TG_LIT("x-amz-security-token"))) {
            check(tg_headers_add(&headers, arena, field->name, field->value) == TG_OK);
        }
    }
    request.headers = &headers;
    enum tg_err err = tg_sigv4_sign(&request, &signer, NULL, arena, &signature);
    check(err == (tg_headers_count(&headers, TG_LIT("host")) == 1 ? TG_OK : TG_EINVAL));
    if (err != TG_OK) {
        return;
    }
    check(tg_headers_set(&headers, arena, TG_LIT("X-Amz-Date"), signature.date) == TG_OK);
    check(tg_headers_set(&headers, arena, TG_LIT("Authorization"), signature.authorization) == TG_OK);
    if (with_token) {
        check(tg_headers_add(&headers, arena, TG_LIT("X-Amz-Security-Token"), signer.session_token) == TG_OK);
    }
    check(tg_sigv4_verify(&request, look_up, &with_token, NULL, arena, &result) == TG_OK);
    check(result.outcome == TG_SIGV4_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_headers headers = {0};
    struct tg_slice rest = tg_slice_make(data, size);
    tg_arena_init(&arena, NULL);
    struct tg_sigv4_request request = {
        .headers = &headers, .region = TG_LIT("us-east-1"), .service = TG_LIT("execute-api")};
    request.now_ms = 1767323045000;
    request.method = tg_slice_cut(rest, '\n', &rest);
    request.path = tg_slice_cut(rest, '\n', &rest);
    request.query = tg_slice_cut(rest, '\n', &rest);
    read_fields(&arena, &rest, &headers);
    request.payload = rest;
    judge(&request, false, &arena);
    judge(&request, true, &arena);
    sign_and_verify(request, size % 2 == 0, &arena);
    tg_arena_reset(&arena);
    return 0;
}
