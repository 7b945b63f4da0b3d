/* Answers of functions of HTTP APIs: a first byte for the format, then the payload. What is accepted must be
 * fit for the wire, whatever it was made of; what is refused must have its reason; where the tree parser can
 * read the payload, the two must agree on the answer. */
#include <stdlib.h>

#include "routes/jsonwalk.h"
#include "routes/payload.h"
#include "server/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void check_headers(struct tg_arena *arena, const struct tg_headers *headers)
{
    check(tg_headers_count(headers, TG_LIT("Content-Type")) > 0);
    check(tg_headers_count(headers, TG_LIT("Content-Length")) == 0);
    for (size_t i = 0; i < headers->count; i++) {
        struct tg_slice name;
        check(tg_header_name_ok(headers->items[i].name));
        check(tg_header_value_ok(headers->items[i].value));
        check(!tg_header_is_hop_by_hop(headers->items[i].name));
        check(tg_payload_header_name(arena, headers->items[i].name, &name) == TG_OK);
        check(tg_slice_eq(name, headers->items[i].name));
    }
}

/* Integers of trees are reals when one of them is too large for an integer. */
static void compare(enum tg_payload_format format, const struct tg_json *tree, enum tg_err err,
                    const struct tg_payload_answer *answer)
{
    const struct tg_json *status = tg_json_get(tree, TG_LIT("statusCode"));
    if (tg_json_type(tree) == TG_JSON_OBJECT && status != NULL) {
        const struct tg_json *encoded = tg_json_get(tree, TG_LIT("isBase64Encoded"));
        if (tg_json_type(status) == TG_JSON_INTEGER) {
            check(err != TG_OK || tg_json_integer(status) == answer->status);
        } else {
            check(tg_json_type(status) == TG_JSON_REAL || err == TG_ESYNTAX);
        }
        if (err == TG_OK && !tg_json_bool(encoded)) {
            check(tg_slice_eq(answer->body, tg_json_string(tg_json_get(tree, TG_LIT("body")))));
        }
    } else if (format == TG_PAYLOAD_1_0) {
        check(err == TG_ESYNTAX);
    } else {
        check(err == TG_OK && answer->status == 200);
        if (tg_json_type(tree) == TG_JSON_STRING) {
            check(tg_slice_eq(answer->body, tg_json_string(tree)));
        }
    }
}

/* Steps through all of a value: each part must be JSON of the type that the walk says. */
static void walk_all(const struct tg_jsonscan_value *value)
{
    const struct tg_jsonscan_path whole = {NULL, 0};
    struct tg_jsonscan_value name, part, again;
    struct tg_jsonwalk walk;
    tg_jsonwalk_init(&walk, value);
    while (tg_jsonwalk_next(&walk, &name, &part)) {
        check(value->type != TG_JSON_OBJECT || name.raw.ptr[name.raw.len - 1] == '"');
        check(tg_jsonscan_find(part.raw, &whole, TG_JSONSCAN_STRICT, &again) == TG_OK);
        check(again.type == part.type && again.escaped == part.escaped && tg_slice_eq(again.raw, part.raw));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_payload_answer answer = {0};
    struct tg_slice detail = TG_EMPTY;
    const struct tg_json *tree;
    const struct tg_jsonscan_path whole = {NULL, 0};
    struct tg_jsonscan_value value;
    if (size == 0) {
        return 0;
    }
    enum tg_payload_format format = data[0] == '1' ? TG_PAYLOAD_1_0 : TG_PAYLOAD_2_0;
    struct tg_slice payload = tg_slice_make(data + 1, size - 1);
    tg_arena_init(&arena, NULL);
    enum tg_err err = tg_payload_read_answer(format, &arena, payload, &answer, &detail);
    if (err == TG_OK) {
        check(answer.status >= 200 && answer.status <= 999);
        check(answer.body.len == 0 || answer.body.ptr != NULL);
        check_headers(&arena, &answer.headers);
    } else {
        check(answer.status == 0 && answer.headers.count == 0);
        check((err == TG_ESYNTAX || err == TG_ELIMIT) && detail.len > 0);
    }
    if (err != TG_ELIMIT && tg_json_parse(&arena, payload, &tree) == TG_OK) {
        compare(format, tree, err, &answer);
    }
    if (tg_jsonscan_find(payload, &whole, TG_JSONSCAN_STRICT, &value) == TG_OK) {
        walk_all(&value);
    }
    tg_arena_reset(&arena);
    return 0;
}
