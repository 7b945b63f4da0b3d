#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/json.h"

static int set_up(void **state)
{
    struct tg_arena *arena = malloc(sizeof *arena);
    if (arena != NULL) {
        tg_arena_init(arena, NULL);
    }
    *state = arena;
    return arena != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    tg_arena_reset(*state);
    free(*state);
    return 0;
}

static const struct tg_json *parse(struct tg_arena *arena, struct tg_slice text)
{
    const struct tg_json *value = NULL;
    assert_int_equal(tg_json_parse(arena, text, &value), TG_OK);
    assert_non_null(value);
    return value;
}

static void assert_text(struct tg_slice actual, struct tg_slice expected)
{
    assert_int_equal(actual.len, expected.len);
    assert_memory_equal(actual.len > 0 ? actual.ptr : "", expected.ptr, expected.len);
}

static void trees_are_read(void **state)
{
    const struct tg_json *doc = parse(
        *state, TG_LIT(" {\"s\":\"a\\u0000b\\u00e4\",\"i\":-7,\"r\":1.5,\"t\":true,\"f\":false,\"n\":null,"
                       "\"a\":[1,[2]],\"o\":{\"\":\"empty key\"}}\n"));
    assert_int_equal(tg_json_type(doc), TG_JSON_OBJECT);
    assert_int_equal(tg_json_count(doc), 8);
    const struct tg_json *string = tg_json_get(doc, TG_LIT("s"));
    assert_int_equal(tg_json_type(string), TG_JSON_STRING);
    assert_text(tg_json_string(string), TG_LIT("a\0b\xc3\xa4"));
    assert_int_equal(tg_json_type(tg_json_get(doc, TG_LIT("i"))), TG_JSON_INTEGER);
    assert_int_equal(tg_json_integer(tg_json_get(doc, TG_LIT("i"))), -7);
    assert_int_equal(tg_json_type(tg_json_get(doc, TG_LIT("r"))), TG_JSON_REAL);
    assert_true(tg_json_number(tg_json_get(doc, TG_LIT("r"))) == 1.5);
    assert_true(tg_json_number(tg_json_get(doc, TG_LIT("i"))) == -7.0);
    assert_int_equal(tg_json_type(tg_json_get(doc, TG_LIT("t"))), TG_JSON_BOOL);
    assert_true(tg_json_bool(tg_json_get(doc, TG_LIT("t"))));
    assert_int_equal(tg_json_type(tg_json_get(doc, TG_LIT("f"))), TG_JSON_BOOL);
    assert_false(tg_json_bool(tg_json_get(doc, TG_LIT("f"))));
    assert_int_equal(tg_json_type(tg_json_get(doc, TG_LIT("n"))), TG_JSON_NULL);
    assert_non_null(tg_json_get(doc, TG_LIT("n")));
    const struct tg_json *array = tg_json_get(doc, TG_LIT("a"));
    assert_int_equal(tg_json_type(array), TG_JSON_ARRAY);
    assert_int_equal(tg_json_count(array), 2);
    assert_int_equal(tg_json_integer(tg_json_at(tg_json_at(array, 1), 0)), 2);
    assert_null(tg_json_at(array, 2));
    assert_text(tg_json_string(tg_json_get(tg_json_get(doc, TG_LIT("o")), TG_EMPTY)), TG_LIT("empty key"));
}

static void what_is_absent_reads_as_null(void **state)
{
    (void)state;
    const struct tg_json *none = NULL;
    assert_int_equal(tg_json_type(none), TG_JSON_NULL);
    assert_null(tg_json_get(tg_json_get(none, TG_LIT("a")), TG_LIT("b")));
    assert_null(tg_json_at(none, 0));
    assert_int_equal(tg_json_count(none), 0);
    assert_int_equal(tg_json_string(none).len, 0);
    assert_int_equal(tg_json_integer(none), 0);
    assert_false(tg_json_bool(none));
    const struct tg_json *scalar = parse(*state, TG_LIT("\"7\""));
    assert_null(tg_json_get(scalar, TG_LIT("a")));
    assert_int_equal(tg_json_integer(scalar), 0);
    assert_int_equal(tg_json_count(scalar), 0);
}

static void malformed_text_is_refused(void **state)
{
    static const struct tg_slice bad[] = {
        TG_LIT_INIT(""),
        TG_LIT_INIT(" "),
        TG_LIT_INIT("{"),
        TG_LIT_INIT("{}x"),
        TG_LIT_INIT("{} {}"),
        TG_LIT_INIT("[1,]"),
        TG_LIT_INIT("{\"a\":1,}"),
        TG_LIT_INIT("{'a':1}"),
        TG_LIT_INIT("01"),
        TG_LIT_INIT("+1"),
        TG_LIT_INIT("1."),
        TG_LIT_INIT(".5"),
        TG_LIT_INIT("NaN"),
        TG_LIT_INIT("nul"),
        TG_LIT_INIT("\"\\x\""),
        TG_LIT_INIT("\"\t\""),
        TG_LIT_INIT("\"\xff\""),
        TG_LIT_INIT("\"\\ud800\""),
        TG_LIT_INIT("/**/1"),
        TG_LIT_INIT("1e999"),
        TG_LIT_INIT("\xef\xbb\xbf{}"),
        TG_LIT_INIT("{\"a\\u0000\":1}"),
        TG_LIT_INIT("1\0"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct tg_json *value = NULL;
        assert_int_equal(tg_json_parse(*state, bad[i], &value), TG_ESYNTAX);
        assert_null(value);
    }
    const struct tg_json *value = NULL;
    assert_int_equal(tg_json_parse(*state, TG_EMPTY, &value), TG_ESYNTAX);
}

static void depth_is_limited(void **state)
{
    static char deep[100000];
    memset(deep, '[', sizeof deep);
    const struct tg_json *value = NULL;
    assert_int_equal(tg_json_parse(*state, tg_slice_make(deep, sizeof deep), &value), TG_ESYNTAX);
    memset(deep + 2000, ']', 2000);
    struct tg_slice text = tg_slice_make(deep, 4000), back;
    assert_int_equal(tg_json_stringify(*state, parse(*state, text), &back), TG_OK);
    assert_text(back, text);
}

static void last_of_two_keys_wins(void **state)
{
    const struct tg_json *doc = parse(*state, TG_LIT("{\"a\":1,\"b\":2,\"a\":3}"));
    assert_int_equal(tg_json_count(doc), 2);
    assert_int_equal(tg_json_integer(tg_json_get(doc, TG_LIT("a"))), 3);
}

struct visits {
    char keys[8];
    size_t count, stop_at;
};

static bool visit(void *arg, struct tg_slice key, const struct tg_json *value)
{
    struct visits *visits = arg;
    assert_int_equal(key.len, 1);
    assert_int_equal(tg_json_integer(value), visits->count);
    visits->keys[visits->count++] = key.ptr[0];
    return visits->count != visits->stop_at;
}

static void members_are_visited_in_order(void **state)
{
    const struct tg_json *doc = parse(*state, TG_LIT("{\"z\":0,\"a\":1,\"m\":2,\"b\":3}"));
    struct visits all = {.stop_at = 0}, two = {.stop_at = 2};
    tg_json_each(doc, visit, &all);
    assert_string_equal(all.keys, "zamb");
    tg_json_each(doc, visit, &two);
    assert_string_equal(two.keys, "za");
    struct visits none = {.stop_at = 0};
    tg_json_each(NULL, visit, &none);
    tg_json_each(parse(*state, TG_LIT("[0]")), visit, &none);
    assert_int_equal(none.count, 0);
}

static void values_become_text(void **state)
{
    static const struct {
        struct tg_slice json, text;
    } cases[] = {
        {TG_LIT_INIT("\"a\\nb\""), TG_LIT_INIT("a\nb")},
        {TG_LIT_INIT("\"\""), TG_LIT_INIT("")},
        {TG_LIT_INIT("7"), TG_LIT_INIT("7")},
        {TG_LIT_INIT("-9223372036854775808"), TG_LIT_INIT("-9223372036854775808")},
        {TG_LIT_INIT("9223372036854775808"), TG_LIT_INIT("9.223372036854776e+18")},
        {TG_LIT_INIT("7.0"), TG_LIT_INIT("7")},
        {TG_LIT_INIT("-0.0"), TG_LIT_INIT("0")},
        {TG_LIT_INIT("0.1"), TG_LIT_INIT("0.1")},
        {TG_LIT_INIT("0.30000000000000004"), TG_LIT_INIT("0.30000000000000004")},
        {TG_LIT_INIT("1e300"), TG_LIT_INIT("1e+300")},
        {TG_LIT_INIT("5e-324"), TG_LIT_INIT("4.94065645841247e-324")},
        {TG_LIT_INIT("true"), TG_LIT_INIT("true")},
        {TG_LIT_INIT("false"), TG_LIT_INIT("false")},
        {TG_LIT_INIT("null"), TG_LIT_INIT("null")},
        {TG_LIT_INIT("[ ]"), TG_LIT_INIT("[]")},
        {TG_LIT_INIT("{ }"), TG_LIT_INIT("{}")},
        {TG_LIT_INIT(" [ 1 , \"a\\\"\" , { \"k\" : [ null ] , \"j\" : 2.5 } ] "),
         TG_LIT_INIT("[1,\"a\\\"\",{\"k\":[null],\"j\":2.5}]")},
    };
    struct tg_slice out;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(tg_json_stringify(*state, parse(*state, cases[i].json), &out), TG_OK);
        assert_text(out, cases[i].text);
    }
    assert_int_equal(tg_json_stringify(*state, NULL, &out), TG_OK);
    assert_text(out, TG_LIT("null"));
}

static void values_are_written(void **state)
{
    struct tg_buf buf;
    tg_buf_init(&buf, 64);
    assert_int_equal(tg_json_write(&buf, parse(*state, TG_LIT("\"a\""))), TG_OK);
    assert_int_equal(tg_json_write(&buf, NULL), TG_OK);
    assert_int_equal(tg_json_write(&buf, parse(*state, TG_LIT("{\"a\":[true]}"))), TG_OK);
    assert_text(tg_buf_slice(&buf), TG_LIT("\"a\"null{\"a\":[true]}"));
    tg_buf_free(&buf);
    tg_buf_init(&buf, 4);
    assert_int_equal(tg_json_write(&buf, parse(*state, TG_LIT("[1,2,3]"))), TG_ELIMIT);
    tg_buf_free(&buf);
}

static void strings_are_escaped(void **state)
{
    (void)state;
    struct tg_buf buf;
    tg_buf_init(&buf, SIZE_MAX);
    assert_int_equal(tg_json_write_string(&buf, TG_LIT("a\"\\/\b\f\n\r\t\v\0\x1f\x7f\xc3\xa4z")), TG_OK);
    assert_text(tg_buf_slice(&buf),
                TG_LIT("\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u000b\\u0000\\u001f\x7f\xc3\xa4z\""));
    tg_buf_clear(&buf);
    assert_int_equal(tg_json_write_string(&buf, TG_EMPTY), TG_OK);
    assert_text(tg_buf_slice(&buf), TG_LIT("\"\""));
    tg_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(trees_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_absent_reads_as_null, set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_text_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(depth_is_limited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(last_of_two_keys_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_are_visited_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_become_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_are_written, set_up, tear_down),
        cmocka_unit_test(strings_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
