/* Walks through containers: every member and item, as it stands in the text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/jsonwalk.h"

/* `name=value|` of every member, or `=value|` of every item, with the value's type before it. */
static void assert_walk(const char *text, const char *expected)
{
    static const char types[] = "nbirsao";
    const struct tg_jsonscan_path whole = {NULL, 0};
    struct tg_jsonscan_value container, name, value;
    struct tg_jsonwalk walk;
    struct tg_arena arena;
    struct tg_slice seen = TG_EMPTY;
    tg_arena_init(&arena, NULL);
    assert_int_equal(tg_jsonscan_find(tg_slice_cstr(text), &whole, TG_JSONSCAN_STRICT, &container), TG_OK);
    tg_jsonwalk_init(&walk, &container);
    while (name = (struct tg_jsonscan_value){0}, tg_jsonwalk_next(&walk, &name, &value)) {
        assert_int_equal(tg_arena_printf(&arena, &seen, "%.*s%.*s=%c%.*s|", TG_FMT(seen), TG_FMT(name.raw),
                                         types[value.type], TG_FMT(value.raw)),
                         TG_OK);
        assert_int_equal(value.escaped,
                         value.type == TG_JSON_STRING && tg_slice_find(value.raw, '\\') < value.raw.len);
    }
    if (!tg_slice_eq(seen, tg_slice_cstr(expected))) {
        fail_msg("%s\ngives\n%.*s\nnot\n%s", text, TG_FMT(seen), expected);
    }
    tg_arena_reset(&arena);
}

static void containers(void **state)
{
    (void)state;
    assert_walk("[]", "");
    assert_walk(" [ ] ", "");
    assert_walk("{ }", "");
    assert_walk("42", "");
    assert_walk("\"[1]\"", "");
    assert_walk("[1]", "=i1|");
    assert_walk("[ 1 , -2.5,1e5\t,\"a\", true,false ,null, [], {} ]",
                "=i1|=r-2.5|=r1e5|=s\"a\"|=btrue|=bfalse|=nnull|=a[]|=o{}|");
    assert_walk("[[[1,2],{\"]\":\"}\"}],\"\\\"]\"]", "=a[[1,2],{\"]\":\"}\"}]|=s\"\\\"]\"|");
    assert_walk("{\"a\":1,\"a\" : {\"b\":[\"\\\\\"]} ,\"\":\"x\\\\\"}",
                "\"a\"=i1|\"a\"=o{\"b\":[\"\\\\\"]}|\"\"=s\"x\\\\\"|");
    assert_walk("{\"a\":\"a long string of more than eight bytes\",\"b\":0}",
                "\"a\"=s\"a long string of more than eight bytes\"|\"b\"=i0|");
}

static void names(void **state)
{
    const struct tg_jsonscan_value plain = {.type = TG_JSON_STRING, .raw = TG_LIT("\"body\"")};
    const struct tg_jsonscan_value escaped = {
        .type = TG_JSON_STRING, .raw = TG_LIT("\"b\\u006fdy\""), .escaped = true};
    (void)state;
    assert_true(tg_jsonwalk_is(&plain, TG_LIT("body")));
    assert_false(tg_jsonwalk_is(&plain, TG_LIT("bod")));
    assert_false(tg_jsonwalk_is(&plain, TG_LIT("Body")));
    assert_true(tg_jsonwalk_is(&escaped, TG_LIT("body")));
    assert_false(tg_jsonwalk_is(&escaped, TG_LIT("bo")));
}

static void nothing_to_walk(void **state)
{
    const struct tg_jsonscan_value absent = {0};
    struct tg_jsonscan_value name, value;
    struct tg_jsonwalk walk;
    (void)state;
    tg_jsonwalk_init(&walk, &absent);
    assert_false(tg_jsonwalk_next(&walk, &name, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers),
        cmocka_unit_test(names),
        cmocka_unit_test(nothing_to_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
