/* `${stageVariables.NAME}` in configuration strings (spec 4.2). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/stagevars.h"

static struct tg_arena arena;

static struct tg_string_pair pairs[] = {
    {TG_LIT_INIT("host"), TG_LIT_INIT("back.example:8080")},
    {TG_LIT_INIT("fn_1"), TG_LIT_INIT("chat")},
    {TG_LIT_INIT("empty"), TG_LIT_INIT("")},
    {TG_LIT_INIT("self"), TG_LIT_INIT("${stageVariables.host}")},
};
static const struct tg_string_map variables = {pairs, sizeof pairs / sizeof *pairs};

static int set_up(void **state)
{
    (void)state;
    tg_arena_init(&arena, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tg_arena_reset(&arena);
    return 0;
}

static enum tg_err evaluate(const char *text, const struct tg_string_map *map, struct tg_slice *out,
                            struct tg_slice *missing)
{
    struct tg_stagevars compiled;
    struct tg_slice error = TG_EMPTY;
    if (tg_stagevars_compile(&arena, tg_slice_cstr(text), &compiled, &error) != TG_OK) {
        fail_msg("%s: %.*s", text, TG_FMT(error));
    }
    return tg_stagevars_evaluate(&compiled, map, &arena, out, missing);
}

static void substitutes_variables(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"http://${stageVariables.host}/ws", "http://back.example:8080/ws"},
        {"${stageVariables.host}", "back.example:8080"},
        {"${stageVariables.fn_1}${stageVariables.fn_1}", "chatchat"},
        {"arn:aws:lambda:::function:${stageVariables.fn_1}/invocations",
         "arn:aws:lambda:::function:chat/invocations"},
        {"a${stageVariables.empty}b", "ab"},
        {"${stageVariables.empty}", ""},
        {"${stageVariables.self}", "${stageVariables.host}"}, /* one pass */
        {"http://h/{id}?a=$b$", "http://h/{id}?a=$b$"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_slice out, missing = TG_EMPTY;
        assert_int_equal(evaluate(rows[i][0], &variables, &out, &missing), TG_OK);
        assert_true(tg_slice_eq(out, tg_slice_cstr(rows[i][1])));
        assert_int_equal(missing.len, 0);
    }
}

static void returns_plain_text_as_it_is(void **state)
{
    (void)state;
    const char *text = "http://h/p";
    struct tg_slice out, missing;
    assert_int_equal(evaluate(text, NULL, &out, &missing), TG_OK);
    assert_ptr_equal(out.ptr, text);
    assert_int_equal(out.len, 10);
}

static void names_the_unknown_variable(void **state)
{
    (void)state;
    const char *text = "${stageVariables.host}/${stageVariables.nope}/${stageVariables.none}";
    struct tg_slice out = TG_LIT("untouched"), missing = TG_EMPTY;
    assert_int_equal(evaluate(text, &variables, &out, &missing), TG_ENOTFOUND);
    assert_true(tg_slice_eq(missing, TG_LIT("nope")));
    assert_int_equal(evaluate(text, NULL, &out, &missing), TG_ENOTFOUND);
    assert_true(tg_slice_eq(missing, TG_LIT("host")));
    assert_true(tg_slice_eq(out, TG_LIT("untouched")));
}

static void refuses_malformed_text(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a${", "only `${stageVariables.NAME}` can stand here at character 2"},
        {"${context.stage}", "only `${stageVariables.NAME}` can stand here at character 1"},
        {"${stageVariables}", "only `${stageVariables.NAME}` can stand here at character 1"},
        {"x${stageVariables.a", "`${` is not closed at character 2"},
        {"${stageVariables.}",
         "the name of a stage variable is 1-64 letters, digits and underscores at character 18"},
        {"${stageVariables.a-b}",
         "the name of a stage variable is 1-64 letters, digits and underscores at character 18"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_stagevars compiled;
        struct tg_slice error = TG_EMPTY;
        assert_int_equal(tg_stagevars_compile(&arena, tg_slice_cstr(rows[i][0]), &compiled, &error),
                         TG_ESYNTAX);
        assert_string_equal(error.ptr, rows[i][1]);
    }
}

static void checks_names_and_values(void **state)
{
    (void)state;
    char text[600];
    memset(text, 'a', sizeof text);
    assert_true(tg_stagevars_name_ok(tg_slice_make(text, 64)));
    assert_false(tg_stagevars_name_ok(tg_slice_make(text, 65)));
    assert_true(tg_stagevars_name_ok(TG_LIT("A_z9")));
    assert_false(tg_stagevars_name_ok(TG_LIT("")));
    assert_false(tg_stagevars_name_ok(TG_LIT("a-b")));
    assert_false(tg_stagevars_name_ok(TG_LIT("a\0")));
    assert_true(tg_stagevars_value_ok(tg_slice_make(text, 512)));
    assert_false(tg_stagevars_value_ok(tg_slice_make(text, 513)));
    assert_true(tg_stagevars_value_ok(TG_LIT("http://h:1/p?a=b&c=~d,e#f-._")));
    assert_false(tg_stagevars_value_ok(TG_LIT("")));
    assert_false(tg_stagevars_value_ok(TG_LIT("a b")));
    assert_false(tg_stagevars_value_ok(TG_LIT("{a}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(substitutes_variables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(returns_plain_text_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_the_unknown_variable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_malformed_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checks_names_and_values, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
