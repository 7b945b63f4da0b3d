/* Results of authorisers (routes/authorizer_result.c): reads anything; what it accepts has a policy that can
 * be evaluated and a context without reserved names, and a refusal says why. */
#include <stdlib.h>

#include "routes/authorizer.h"

static void check(int condition)
{
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tg_slice resource =
        TG_LIT("arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/$connect");
    struct tg_arena arena;
    struct tg_authorizer_result result;
    struct tg_slice detail = TG_EMPTY;
    tg_arena_init(&arena, NULL);
    enum tg_err err = tg_authorizer_read_result(&arena, tg_slice_make(data, size), &result, &detail);
    if (err == TG_OK) {
        struct tg_policy_request request = {.source_ip = TG_LIT("203.0.113.9"), .now_ms = 1767323045123};
        (void)tg_policy_evaluate(result.policy, TG_LIT("execute-api:Invoke"), &resource, 1,
                                 tg_policy_request_key, &request);
        for (size_t i = 0; i < result.context.count; i++) {
            const struct tg_string_pair *pair = &result.context.items[i];
            check(!tg_slice_eq(pair->key, TG_LIT("integrationLatency")));
            check(tg_string_map_get(&result.context, pair->key) == &pair->value);
        }
    } else {
        check(err == TG_ENOMEM || detail.len > 0);
        check(err != TG_ELIMIT || size > TG_AUTHORIZER_RESULT_MAX);
    }
    tg_arena_reset(&arena);
    return 0;
}
