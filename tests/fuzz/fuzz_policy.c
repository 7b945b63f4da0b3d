/* Lines: action, resource, source address, user agent; then a policy document. A policy that compiles must
 * decide the same each time, and one that does not must say why. */
#include <stdlib.h>

#include "routes/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_slice rest = tg_slice_make(data, size), resources[2] = {TG_EMPTY, TG_LIT("arn:other")};
    struct tg_policy_request request = {.now_ms = 1767323045123};
    const struct tg_json *document;
    const struct tg_policy *policy;
    const char *why = NULL;
    tg_arena_init(&arena, NULL);
    struct tg_slice action = tg_slice_cut(rest, '\n', &rest);
    resources[0] = tg_slice_cut(rest, '\n', &rest);
    request.source_ip = tg_slice_cut(rest, '\n', &rest);
    request.user_agent = tg_slice_cut(rest, '\n', &rest);
    if (tg_json_parse(&arena, rest, &document) == TG_OK) {
        enum tg_err err = tg_policy_compile(&arena, document, &policy, &why);
        check((err == TG_OK) == (why == NULL));
        if (err == TG_OK) {
            enum tg_policy_decision one =
                tg_policy_evaluate(policy, action, resources, 1, tg_policy_request_key, &request);
            check(one == tg_policy_evaluate(policy, action, resources, 1, tg_policy_request_key, &request));
            (void)tg_policy_evaluate(policy, action, resources, 2, tg_policy_request_key, &request);
            (void)tg_policy_evaluate(policy, action, resources, 0, NULL, NULL);
        }
    }
    tg_arena_reset(&arena);
    return 0;
}
