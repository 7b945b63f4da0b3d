/* Selection expressions: the table and the details of spec 1.12, the boundaries of section 11 row 20, what
 * each kind of expression may read, and the errors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/selection.h"
#include "tests/unit/vars_rows.h"

#define CHAT "{\"service\":\"chat\",\"action\":\"join\",\"data\":{\"room\":\"room1234\"}}"

static struct tg_arena arena;

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

static struct tg_selection compile(const char *text, unsigned allowed)
{
    struct tg_selection selection;
    struct tg_slice error = TG_EMPTY;
    if (tg_selection_compile(&arena, tg_slice_cstr(text), allowed, &selection, &error) != TG_OK) {
        fail_msg("%s: %.*s", text, TG_FMT(error));
    }
    return selection;
}

static enum tg_err evaluate(const char *text, unsigned allowed, const char *body, const struct tg_vars *vars,
                            struct tg_slice *out)
{
    struct tg_selection selection = compile(text, allowed);
    struct tg_selection_input input = {
        .body = tg_slice_cstr(body), .json = TG_JSONSCAN_LENIENT, .vars = vars};
    return tg_selection_evaluate(&selection, &input, &arena, out);
}

static void assert_result(const char *text, unsigned allowed, const char *body, const struct tg_vars *vars,
                          const char *expected)
{
    struct tg_slice out;
    assert_int_equal(evaluate(text, allowed, body, vars, &out), TG_OK);
    if (!tg_slice_eq(out, tg_slice_cstr(expected))) {
        fail_msg("%s over %s: got `%.*s`, expected `%s`", text, body, TG_FMT(out), expected);
    }
}

static void evaluates_the_documented_table(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"$request.body.action", "join"},
        {"${request.body.action}", "join"},
        {"${request.body.service}/${request.body.action}", "chat/join"},
        {"${request.body.action}-${request.body.nothing}", "join-"},
        {"${request.body.data.room}", "room1234"},
        {"action", "action"},
        {"\\$default", "$default"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_result(rows[i][0], TG_SELECT_BODY, CHAT, NULL, rows[i][1]);
    }
}

static void mixes_text_and_variables(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"$request.body.service/$request.body.action", "chat/join"},
        {"a\\$b${request.body.action}\\$", "a$bjoin$"},
        {"\\$request.body.action", "$request.body.action"},
        {"\\\\$x", "\\$x"},
        {"a\\b", "a\\b"},
        {"\\", "\\"},
        {"{}", "{}"},
        {"${request.body.action}.", "join."},
        {"${request.body.action}-x", "join-x"},
        {"$request.body.action x", "join x"},
        {"$request.body.action\\$", "join$"},
        {"$request.body['action']", "join"},
        {"$request.body[\"data\"].room", "room1234"},
        {"${request.body['data']['room']}", "room1234"},
        {"$request.body.nothing$request.body.action", ""}, /* one variable: `$` belongs to its name */
        {"$request.body.action-x", ""},                    /* so does `-` */
        {"${request.body.nothing}", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_result(rows[i][0], TG_SELECT_BODY, CHAT, NULL, rows[i][1]);
    }
    assert_result("${request.body['a}b']}", TG_SELECT_BODY, "{\"a}b\":1}", NULL, "1");
    assert_result("${request.body.a b}", TG_SELECT_BODY, "{\"a b\":1}", NULL, "1");
    assert_result("$request.body.@type-", TG_SELECT_BODY, "{\"@type-\":1}", NULL, "1");
}

static void does_not_expand_results(void **state)
{
    (void)state;
    assert_result("$request.body.a", TG_SELECT_BODY, "{\"a\":\"${request.body.b}\",\"b\":1}", NULL,
                  "${request.body.b}");
}

static void stringifies_values(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"join\"", "join"},
        {"\"a\\u00e9\\n\"", "a\xC3\xA9\n"},
        {"\"$default\"", "$default"},
        {"\"$connect\"", "$connect"},
        {"\"\"", ""},
        {"1.50e+2", "1.50e+2"},
        {"-0", "-0"},
        {"true", "true"},
        {"false", "false"},
        {"null", "null"},
        {"[\"item1\",\"item2\"]", "[item1, item2]"},
        {"{ \"a\" : [ 1, 2 ] }", "{\"a\":[1,2]}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_slice body;
        assert_int_equal(tg_arena_printf(&arena, &body, "{\"action\":%s}", rows[i][0]), TG_OK);
        assert_result("$request.body.action", TG_SELECT_BODY, body.ptr, NULL, rows[i][1]);
        struct tg_slice wrapped;
        assert_int_equal(tg_arena_printf(&arena, &wrapped, "<%s>", rows[i][1]), TG_OK);
        assert_result("<${request.body.action}>", TG_SELECT_BODY, body.ptr, NULL, wrapped.ptr);
    }
}

static void reports_bodies_that_are_not_json(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "hello", "{\"action\":\"join\"", "{\"action\":\"join\"} x", "\x80"};
    struct tg_slice out = TG_LIT("untouched");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(evaluate("$request.body.action", TG_SELECT_BODY, bad[i], NULL, &out), TG_ESYNTAX);
        assert_int_equal(evaluate("a${request.body.action}", TG_SELECT_BODY, bad[i], NULL, &out), TG_ESYNTAX);
        assert_true(tg_slice_eq(out, TG_LIT("untouched")));
        assert_result("constant", TG_SELECT_BODY, bad[i], NULL, "constant");
    }
    char deep[1000];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(evaluate("$request.body.action", TG_SELECT_BODY, deep, NULL, &out), TG_ESYNTAX);
}

static void finds_nothing_in_scalars_and_lists(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "1", "\"action\"", "null", "[]", "[{\"action\":\"join\"}]", "{}", "{\"Action\":\"join\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        assert_result("$request.body.action", TG_SELECT_BODY, bodies[i], NULL, "");
    }
    assert_result("$request.body", TG_SELECT_BODY, "\"join\"", NULL, "join");
    assert_result("$request.body[0].action", TG_SELECT_BODY, bodies[4], NULL, "join");
}

static void takes_the_last_of_equal_keys(void **state)
{
    (void)state;
    assert_result("$request.body.action", TG_SELECT_BODY, "{\"action\":\"a\",\"action\":\"b\"}", NULL, "b");
}

static void reads_unquoted_keys_only_when_lenient(void **state)
{
    (void)state;
    const char *body = "{\"action\":\"sendMessage\", body:\"hello\"}";
    struct tg_selection selection = compile("$request.body.action", TG_SELECT_BODY);
    struct tg_selection_input input = {.body = tg_slice_cstr(body), .json = TG_JSONSCAN_STRICT};
    struct tg_slice out;
    assert_int_equal(tg_selection_evaluate(&selection, &input, &arena, &out), TG_ESYNTAX);
    input.json = TG_JSONSCAN_LENIENT;
    assert_int_equal(tg_selection_evaluate(&selection, &input, &arena, &out), TG_OK);
    assert_true(tg_slice_eq(out, TG_LIT("sendMessage")));
}

static void allocates_nothing_for_a_plain_action(void **state)
{
    (void)state;
    struct tg_selection selection = compile("$request.body.action", TG_SELECT_BODY);
    struct tg_selection_input input = {.body = TG_LIT(CHAT)};
    struct tg_slice out;
    assert_int_equal(tg_selection_evaluate(&selection, &input, NULL, &out), TG_OK);
    assert_ptr_equal(out.ptr, input.body.ptr + 28);
    assert_int_equal(out.len, 4);
    assert_true(tg_selection_reads_body(&selection));
    selection = compile("constant", TG_SELECT_BODY);
    assert_false(tg_selection_reads_body(&selection));
}

static void selects_api_keys(void **state)
{
    (void)state;
    static const struct vars_row rows[] = {
        {TG_VAR_HEADER, "x-api-key", "k1"}, {TG_VAR_CONTEXT, "authorizer.usageIdentifierKey", "k2"}, {0}};
    const struct tg_vars vars = VARS_OF(rows);
    assert_result("$request.header.x-api-key", TG_SELECT_API_KEY, "", &vars, "k1");
    assert_result("$context.authorizer.usageIdentifierKey", TG_SELECT_API_KEY, "", &vars, "k2");
    assert_result("${context.authorizer.usageIdentifierKey}", TG_SELECT_API_KEY, "", NULL, "");
}

static void selects_by_the_answer(void **state)
{
    (void)state;
    static const struct vars_row rows[] = {{TG_VAR_RESPONSE_STATUS, "", "404"},
                                           {TG_VAR_RESPONSE_HEADER, "Content-Type", "text/plain"},
                                           {TG_VAR_RESPONSE_MULTIHEADER, "Via", "a"},
                                           {TG_VAR_RESPONSE_MULTIHEADER, "Via", "b"},
                                           {TG_VAR_RESPONSE_BODY, "", "{\"errorMessage\":\"Bad [400]\"}"},
                                           {0}};
    const struct tg_vars vars = VARS_OF(rows);
    unsigned allowed = TG_SELECT_RESPONSE | TG_SELECT_BODY;
    assert_result("$integration.response.statuscode", allowed, "", &vars, "404");
    assert_result("${response.statuscode}", allowed, "", &vars, "404");
    assert_result("$integration.response.body.errorMessage", allowed, "", &vars, "Bad [400]");
    assert_result("$integration.response.body.nothing", allowed, "", &vars, "");
    assert_result("${integration.response.header.Content-Type}", allowed, "", &vars, "text/plain");
    assert_result("${integration.response.multivalueheader.Via}", allowed, "", &vars, "[a, b]");
    assert_result("${integration.response.multivalueheader.None}", allowed, "", &vars, "");
    assert_result("${request.body.action}:${integration.response.statuscode}", allowed, CHAT, &vars,
                  "join:404");
    static const struct vars_row text[] = {{TG_VAR_RESPONSE_BODY, "", "no JSON"}, {0}};
    const struct tg_vars plain = VARS_OF(text);
    assert_result("$integration.response.body.errorMessage", allowed, "", &plain, "");
}

static void refuses_bad_expressions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned allowed;
        const char *error;
    } rows[] = {
        {"", TG_SELECT_BODY, "the expression is empty at character 1"},
        {"$default", TG_SELECT_BODY,
         "`$default` is no variable (the text is written `\\$default`) at character 2"},
        {"$", TG_SELECT_BODY, "a variable is missing (the text `$` is written `\\$`) at character 2"},
        {"a${}", TG_SELECT_BODY, "a variable is missing (the text `$` is written `\\$`) at character 4"},
        {"ab${request.body.x", TG_SELECT_BODY, "`${` is not closed at character 3"},
        {"$request.body.", TG_SELECT_BODY, "a name is missing at character 15"},
        {"${request.body.a..b}", TG_SELECT_BODY, "a name is missing at character 18"},
        {"$request.body.a[x]", TG_SELECT_BODY, "brackets take an index or a quoted name at character 17"},
        {"$request.body.*", TG_SELECT_BODY, "wildcards are not supported at character 15"},
        {"$request.bodyx", TG_SELECT_BODY, "the variable `request.bodyx` is not known here at character 2"},
        {"$request.querystring.a", ~0u,
         "the variable `request.querystring.a` is not known here at character 2"},
        {"$request.header.x-api-key", TG_SELECT_BODY,
         "the variable `request.header.x-api-key` is not known here at character 2"},
        {"$request.header.other", TG_SELECT_API_KEY,
         "the variable `request.header.other` is not known here at character 2"},
        {"$context.connectionId", TG_SELECT_API_KEY,
         "the variable `context.connectionId` is not known here at character 2"},
        {"$request.body.action", TG_SELECT_API_KEY,
         "the variable `request.body.action` is not known here at character 2"},
        {"$integration.response.statuscode", TG_SELECT_BODY,
         "the variable `integration.response.statuscode` is not known here at character 2"},
        {"$integration.response.header.", TG_SELECT_RESPONSE,
         "the variable `integration.response.header.` is not known here at character 2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_selection selection = {.count = 77};
        struct tg_slice error = TG_EMPTY;
        enum tg_err err =
            tg_selection_compile(&arena, tg_slice_cstr(rows[i].text), rows[i].allowed, &selection, &error);
        assert_int_equal(err, TG_ESYNTAX);
        assert_int_equal(selection.count, 77);
        assert_string_equal(error.ptr, rows[i].error);
    }
    assert_result("$request.header.other", TG_SELECT_HEADER, "", NULL, "");
    assert_result("$context.connectionId", TG_SELECT_CONTEXT, "", NULL, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(evaluates_the_documented_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mixes_text_and_variables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(does_not_expand_results, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stringifies_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reports_bodies_that_are_not_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_nothing_in_scalars_and_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_the_last_of_equal_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_unquoted_keys_only_when_lenient, set_up, tear_down),
        cmocka_unit_test_setup_teardown(allocates_nothing_for_a_plain_action, set_up, tear_down),
        cmocka_unit_test_setup_teardown(selects_api_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(selects_by_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_expressions, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
