/* Results of proxy functions (routes/lambda.c): reads anything; what it accepts has a status in range and
 * headers that can be looked at, and a refusal says why. */
#include <stdlib.h>

#include "routes/lambda.h"

static void check(int condition)
{
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_answer answer = {0};
    struct tg_slice detail = TG_EMPTY;
    tg_arena_init(&arena, NULL);
    enum tg_err err = tg_lambda_read_result(&arena, tg_slice_make(data, size), &answer, &detail);
    if (err == TG_OK) {
        check(answer.status >= 100 && answer.status <= 999);
        for (size_t i = 0; i < answer.headers.count; i++) {
            const struct tg_header *field = &answer.headers.items[i];
            check(tg_headers_first(&answer.headers, field->name) != NULL);
            check(field->value.len == 0 || field->value.ptr != NULL);
        }
        check(answer.body.len == 0 || answer.body.ptr != NULL);
    } else {
        check(answer.status == 0 && answer.headers.count == 0);
        check(err == TG_ENOMEM || detail.len > 0);
    }
    tg_arena_reset(&arena);
    return 0;
}
