/* Any text: what is read as JSON must be written as JSON that reads as the same, and any text must become a
 * JSON string that reads as the text. */
#include <stdlib.h>

#include "server/base/codec.h"
#include "server/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void round_trip_value(struct tg_arena *arena, struct tg_slice text)
{
    const struct tg_json *value, *again;
    struct tg_buf first, second;
    if (tg_json_parse(arena, text, &value) != TG_OK) {
        return;
    }
    check(tg_utf8_valid(text));
    tg_buf_init(&first, SIZE_MAX);
    tg_buf_init(&second, SIZE_MAX);
    check(tg_json_write(&first, value) == TG_OK);
    check(tg_json_parse(arena, tg_buf_slice(&first), &again) == TG_OK);
    check(tg_json_count(again) == tg_json_count(value));
    check(tg_json_write(&second, again) == TG_OK);
    check(tg_slice_eq(tg_buf_slice(&first), tg_buf_slice(&second)));
    struct tg_slice flat;
    check(tg_json_stringify(arena, value, &flat) == TG_OK);
    check(tg_json_type(value) == TG_JSON_STRING || tg_slice_eq(flat, tg_buf_slice(&first)));
    tg_buf_free(&first);
    tg_buf_free(&second);
}

static void round_trip_string(struct tg_arena *arena, struct tg_slice text)
{
    const struct tg_json *value;
    struct tg_buf buf;
    tg_buf_init(&buf, SIZE_MAX);
    check(tg_utf8_repair(arena, text, &text) == TG_OK);
    check(tg_json_write_string(&buf, text) == TG_OK);
    check(tg_json_parse(arena, tg_buf_slice(&buf), &value) == TG_OK);
    check(tg_slice_eq(tg_json_string(value), text));
    tg_buf_free(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    round_trip_value(&arena, tg_slice_make(data, size));
    round_trip_string(&arena, tg_slice_make(data, size));
    tg_arena_reset(&arena);
    return 0;
}
