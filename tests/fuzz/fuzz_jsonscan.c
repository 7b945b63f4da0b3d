/* Input: a path, a line break, a text. The scanner must accept what tg_json_parse accepts, refuse what it
 * refuses, and find the same value; whatever it finds must convert to text. The lenient mode must take what
 * the strict one takes. */
#include <stdint.h>
#include <stdlib.h>

#include "routes/jsonscan.h"
#include "server/base/codec.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whether an exponent may follow a digit, in numbers or elsewhere. */
static bool has_exponent(struct tg_slice text)
{
    for (size_t i = 1; i < text.len; i++) {
        char before = text.ptr[i - 1];
        if ((text.ptr[i] | 0x20) == 'e' && before >= '0' && before <= '9') {
            return true;
        }
    }
    return false;
}

/* Where the two are known to differ: jansson refuses NUL in names, lone surrogates and reals out of range;
 * the depths that they allow differ. */
static bool comparable(struct tg_slice text, enum tg_err err)
{
    return err != TG_ELIMIT && tg_slice_find_slice(text, TG_LIT("\\u")) == text.len && !has_exponent(text) &&
           text.len < 300;
}

static const struct tg_json *follow(const struct tg_json *tree, const struct tg_jsonscan_path *path)
{
    for (size_t i = 0; tree != NULL && i < path->count; i++) {
        const struct tg_jsonscan_step *step = &path->steps[i];
        enum tg_json_type type = tg_json_type(tree);
        if (step->name.ptr != NULL) {
            tree = type == TG_JSON_OBJECT ? tg_json_get(tree, step->name) : NULL;
        } else {
            tree = type == TG_JSON_ARRAY ? tg_json_at(tree, step->index) : NULL;
        }
    }
    return tree;
}

static void compare(struct tg_arena *arena, struct tg_slice text, const struct tg_jsonscan_path *path,
                    enum tg_err err, const struct tg_jsonscan_value *value)
{
    const struct tg_json *tree = NULL;
    enum tg_err parsed = tg_json_parse(arena, text, &tree);
    CHECK((parsed == TG_OK) == (err == TG_OK));
    if (err == TG_OK) {
        const struct tg_json *expected = follow(tree, path);
        CHECK(value->found == (expected != NULL));
        struct tg_slice out;
        if (expected != NULL && tg_json_type(expected) == TG_JSON_STRING &&
            tg_jsonscan_text(value, TG_JSONSCAN_COMPACT, arena, &out) == TG_OK) {
            CHECK(value->type == TG_JSON_STRING && tg_slice_eq(out, tg_json_string(expected)));
        }
    }
}

static void convert(struct tg_arena *arena, const struct tg_jsonscan_value *value, bool strict)
{
    struct tg_slice compact, list;
    CHECK(tg_jsonscan_text(value, TG_JSONSCAN_COMPACT, arena, &compact) == TG_OK);
    CHECK(tg_jsonscan_text(value, TG_JSONSCAN_SELECTION, arena, &list) == TG_OK);
    CHECK(tg_utf8_valid(compact) && tg_utf8_valid(list));
    if (strict && value->found && (value->type == TG_JSON_ARRAY || value->type == TG_JSON_OBJECT)) {
        const struct tg_jsonscan_path whole = {NULL, 0};
        struct tg_jsonscan_value again;
        CHECK(tg_jsonscan_find(compact, &whole, TG_JSONSCAN_STRICT, &again) == TG_OK);
        CHECK(again.type == value->type);
    }
}

/* What is found in a text that was cut is whole, and the same where nothing was cut. */
static void try_cut(struct tg_arena *arena, struct tg_slice text, const struct tg_jsonscan_path *path,
                    enum tg_err strict_err, const struct tg_jsonscan_value *strict)
{
    struct tg_jsonscan_value value;
    const struct tg_jsonscan_path whole = {NULL, 0};
    enum tg_err err = tg_jsonscan_find(text, path, TG_JSONSCAN_CUT, &value);
    if (strict_err != TG_ESYNTAX) {
        CHECK(err == strict_err);
        CHECK(err != TG_OK || (value.found == strict->found && tg_slice_eq(value.raw, strict->raw)));
    } else if (err == TG_OK) {
        struct tg_jsonscan_value again;
        CHECK(value.found && value.raw.ptr + value.raw.len < text.ptr + text.len);
        CHECK(tg_jsonscan_find(value.raw, &whole, TG_JSONSCAN_STRICT, &again) == TG_OK);
        convert(arena, &value, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_slice text, path_text = tg_slice_cut(tg_slice_make(data, size), '\n', &text);
    struct tg_jsonscan_path path = {NULL, 0};
    struct tg_jsonscan_value strict = {0}, lenient = {0};
    size_t at = 0;
    const char *why = NULL;
    tg_arena_init(&arena, NULL);
    enum tg_err err = tg_jsonscan_compile(&arena, path_text, &path, &at, &why);
    CHECK(err == TG_OK || err == TG_ELIMIT || (err == TG_ESYNTAX && at <= path_text.len && why != NULL));
    if (err == TG_OK) {
        enum tg_err strict_err = tg_jsonscan_find(text, &path, TG_JSONSCAN_STRICT, &strict);
        enum tg_err lenient_err = tg_jsonscan_find(text, &path, TG_JSONSCAN_LENIENT, &lenient);
        try_cut(&arena, text, &path, strict_err, &strict);
        if (comparable(text, strict_err)) {
            compare(&arena, text, &path, strict_err, &strict);
        }
        if (strict_err == TG_OK) {
            CHECK(lenient_err == TG_OK && strict.found == lenient.found &&
                  tg_slice_eq(strict.raw, lenient.raw));
            convert(&arena, &strict, true);
        } else if (lenient_err == TG_OK) {
            convert(&arena, &lenient, false);
        }
    }
    tg_arena_reset(&arena);
    return 0;
}
