/* Bodies of batch calls: reads anything; what it accepts is within the limits, and says what the tree parser
 * reads in it; a refusal says why. */
#include <stdlib.h>

#include "routes/batchbody.h"
#include "server/base/codec.h"
#include "server/base/json.h"

enum { IDS_MAX = 8, PAYLOAD_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void check_accepted(const struct tg_batch_body *body)
{
    check(body->count >= 1 && body->count <= IDS_MAX);
    check(body->payload.len <= PAYLOAD_MAX);
    check(body->is_base64 || tg_utf8_valid(body->payload));
    for (size_t i = 0; i < body->count; i++) {
        check(tg_utf8_valid(body->ids[i]));
    }
}

static void compare(struct tg_arena *arena, const struct tg_json *tree, const struct tg_batch_body *body)
{
    const struct tg_json *ids = tg_json_get(tree, TG_LIT("connectionIds"));
    struct tg_slice text = tg_json_string(tg_json_get(tree, TG_LIT("data"))), payload = text;
    bool is_base64 = tg_json_bool(tg_json_get(tree, TG_LIT("isBase64Encoded")));
    check(tg_json_type(ids) == TG_JSON_ARRAY && tg_json_count(ids) == body->count);
    for (size_t i = 0; i < body->count; i++) {
        check(tg_slice_eq(tg_json_string(tg_json_at(ids, i)), body->ids[i]));
    }
    check(is_base64 == body->is_base64);
    check(!is_base64 || tg_base64_decode(arena, text, &payload) == TG_OK);
    check(tg_slice_eq(payload, body->payload));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tg_batch_limits limits = {.connections = IDS_MAX, .payload = PAYLOAD_MAX};
    struct tg_arena arena;
    struct tg_batch_body body = {0};
    struct tg_slice text = tg_slice_make(data, size), why = TG_EMPTY;
    const struct tg_json *tree;
    tg_arena_init(&arena, NULL);
    enum tg_err err = tg_batch_body_read(&arena, text, &limits, &body, &why);
    if (err == TG_OK) {
        check_accepted(&body);
        /* What the tree parser refuses beyond what is no JSON: lone surrogates, NUL in names. */
        if (tg_json_parse(&arena, text, &tree) == TG_OK) {
            compare(&arena, tree, &body);
        }
    } else {
        check((err == TG_ESYNTAX && why.len > 0) || (err == TG_ELIMIT && why.len == 0));
        check(body.count == 0);
    }
    tg_arena_reset(&arena);
    return 0;
}
