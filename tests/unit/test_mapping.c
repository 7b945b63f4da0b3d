/* Integration.requestParameters (spec 4.1): every source into every target, several values, header injection,
 * path placeholders, and the errors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "routes/mapping.h"
#include "tests/unit/vars_rows.h"

static struct tg_arena arena;
static struct tg_mapping mapping;
static struct tg_headers headers;
static struct tg_mapping_request request;

static const struct vars_row rows[] = {
    {TG_VAR_HEADER, "X-User", "last"},
    {TG_VAR_MULTIHEADER, "X-User", "first"},
    {TG_VAR_MULTIHEADER, "X-User", "last"},
    {TG_VAR_QUERY, "q", "b c"},
    {TG_VAR_MULTIQUERY, "q", "a&a"},
    {TG_VAR_MULTIQUERY, "q", "b c"},
    {TG_VAR_BODY, "",
     "{\"data\":{\"room\":\"r/1\",\"n\":1.50,\"l\":[ 1, \"x\" ],\"z\":null},\"evil\":\"a\\r\\nX: "
     "y\\u0000\"}"},
    {TG_VAR_STAGE, "env", "prod"},
    {TG_VAR_CONTEXT, "connectionId", "abc="},
    {TG_VAR_CONTEXT, "authorizer.principalId", "me"},
    {TG_VAR_CONTEXT, "identity.sourceIp", "::1"},
    {TG_VAR_CONTEXT, "dots", ".."},
    {TG_VAR_CONTEXT, "dot", "."},
    {TG_VAR_CONTEXT, "empty", ""},
    {0},
};

static int set_up(void **state)
{
    (void)state;
    tg_arena_init(&arena, NULL);
    mapping = (struct tg_mapping){0};
    headers = (struct tg_headers){0};
    request = (struct tg_mapping_request){.headers = &headers, .uri = TG_LIT("http://h/p")};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tg_arena_reset(&arena);
    return 0;
}

static void add(const char *key, const char *value)
{
    struct tg_slice error = TG_EMPTY;
    if (tg_mapping_add(&mapping, &arena, tg_slice_cstr(key), tg_slice_cstr(value), &error) != TG_OK) {
        fail_msg("%s: %s: %.*s", key, value, TG_FMT(error));
    }
}

static void apply(void)
{
    const struct tg_vars vars = VARS_OF(rows);
    assert_int_equal(tg_mapping_apply(&mapping, &vars, TG_JSONSCAN_LENIENT, &arena, &request), TG_OK);
}

static void assert_header(const char *name, struct tg_slice expected)
{
    const struct tg_header *header = tg_headers_first(&headers, tg_slice_cstr(name));
    assert_non_null(header);
    assert_int_equal(tg_headers_count(&headers, tg_slice_cstr(name)), 1);
    if (!tg_slice_eq(header->value, expected)) {
        fail_msg("%s: got `%.*s`, expected `%.*s`", name, TG_FMT(header->value), TG_FMT(expected));
    }
}

static void assert_uri(const char *expected)
{
    if (!tg_slice_eq(request.uri, tg_slice_cstr(expected))) {
        fail_msg("got `%.*s`, expected `%s`", TG_FMT(request.uri), expected);
    }
}

/* Every source of the table. */
static const char *const sources[][2] = {
    {"route.request.header.x-user", "last"},
    {"method.request.header.X-User", "last"},
    {"route.request.multivalueheader.X-User", "first,last"},
    {"route.request.querystring.q", "b c"},
    {"route.request.multivaluequerystring.q", "a&a,b c"},
    {"method.request.multivaluequerystring.q", "a&a,b c"},
    {"route.request.body.data.room", "r/1"},
    {"method.request.body.data.n", "1.50"},
    {"route.request.body.data.l[1]", "x"},
    {"route.request.body.data.l", "[1,\"x\"]"},
    {"route.request.body.data.z", "null"},
    {"stageVariables.env", "prod"},
    {"context.connectionId", "abc="},
    {"context.authorizer.principalId", "me"},
    {"context.identity.sourceIp", "::1"},
    {"context.empty", ""},
    {"'literal, with \"quotes\" and it's'", "literal, with \"quotes\" and it's"},
    {"''", ""},
};
enum { SOURCE_COUNT = sizeof sources / sizeof *sources };

static void maps_every_source_into_headers(void **state)
{
    (void)state;
    char key[SOURCE_COUNT][64];
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        (void)snprintf(key[i], sizeof key[i], "integration.request.header.h%zu", i);
        add(key[i], sources[i][0]);
    }
    apply();
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        assert_header(strrchr(key[i], '.') + 1, tg_slice_cstr(sources[i][1]));
    }
    assert_uri("http://h/p");
}

static void takes_the_whole_body(void **state)
{
    (void)state;
    add("integration.request.header.body", "route.request.body");
    apply();
    const struct tg_header *header = tg_headers_first(&headers, TG_LIT("body"));
    assert_non_null(header);
    assert_string_equal(header->value.ptr, rows[6].value);
}

static void replaces_headers(void **state)
{
    (void)state;
    assert_int_equal(tg_headers_add(&headers, &arena, TG_LIT("host"), TG_LIT("h")), TG_OK);
    assert_int_equal(tg_headers_add(&headers, &arena, TG_LIT("X-A"), TG_LIT("1")), TG_OK);
    assert_int_equal(tg_headers_add(&headers, &arena, TG_LIT("x-a"), TG_LIT("2")), TG_OK);
    add("integration.request.header.x-A", "'3'");
    add("integration.request.header.Host", "'other'");
    apply();
    assert_header("X-A", TG_LIT("3"));
    assert_header("Host", TG_LIT("other"));
    assert_int_equal(headers.count, 2);
}

static void leaves_unresolved_targets_out(void **state)
{
    (void)state;
    static const char *const none[] = {"route.request.header.none",
                                       "route.request.querystring.Q",
                                       "route.request.multivalueheader.no",
                                       "route.request.multivaluequerystring.no",
                                       "route.request.body.data.nothing",
                                       "stageVariables.none",
                                       "context.none"};
    char key[sizeof none / sizeof *none][2][64];
    assert_int_equal(tg_headers_add(&headers, &arena, TG_LIT("h0"), TG_LIT("kept")), TG_OK);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        (void)snprintf(key[i][0], sizeof key[i][0], "integration.request.header.h%zu", i);
        (void)snprintf(key[i][1], sizeof key[i][1], "integration.request.querystring.q%zu", i);
        add(key[i][0], none[i]);
        add(key[i][1], none[i]);
    }
    apply();
    assert_int_equal(headers.count, 1);
    assert_header("h0", TG_LIT("kept"));
    assert_uri("http://h/p");
}

static void leaves_members_of_other_bodies_out(void **state)
{
    (void)state;
    static const struct vars_row text[] = {{TG_VAR_BODY, "", "plain text"}, {0}};
    const struct tg_vars vars = VARS_OF(text);
    add("integration.request.header.a", "route.request.body.x");
    add("integration.request.header.b", "route.request.body");
    assert_int_equal(tg_mapping_apply(&mapping, &vars, TG_JSONSCAN_LENIENT, &arena, &request), TG_OK);
    assert_int_equal(headers.count, 1);
    assert_header("b", TG_LIT("plain text"));
    assert_int_equal(tg_mapping_apply(&mapping, NULL, TG_JSONSCAN_LENIENT, &arena, &request), TG_OK);
    assert_int_equal(headers.count, 1);
}

static void strips_header_injection(void **state)
{
    (void)state;
    add("integration.request.header.evil", "route.request.body.evil");
    add("integration.request.header.tab", "'a\tb\x7F\x01'");
    apply();
    assert_header("evil", TG_LIT("aX: y"));
    assert_header("tab", TG_LIT("a\tb"));
}

static void adds_query_parameters(void **state)
{
    (void)state;
    add("integration.request.querystring.id", "context.connectionId");
    add("integration.request.querystring.q", "route.request.multivaluequerystring.q");
    add("integration.request.querystring.$a", "context.empty");
    add("integration.request.querystring.r", "route.request.body.data.room");
    apply();
    assert_uri("http://h/p?id=abc%3D&q=a%26a&q=b%20c&%24a=&r=r%2F1");
}

static void extends_a_query(void **state)
{
    (void)state;
    static const char *const rows_of_uris[][2] = {
        {"http://h/p?x=1", "http://h/p?x=1&e=prod"},
        {"http://h/p?", "http://h/p?e=prod"},
        {"http://h/p?x=1&", "http://h/p?x=1&e=prod"},
        {"http://h", "http://h?e=prod"},
    };
    add("integration.request.querystring.e", "stageVariables.env");
    for (size_t i = 0; i < sizeof rows_of_uris / sizeof *rows_of_uris; i++) {
        request.uri = tg_slice_cstr(rows_of_uris[i][0]);
        apply();
        assert_uri(rows_of_uris[i][1]);
    }
}

static void fills_path_placeholders(void **state)
{
    (void)state;
    static const char *const uris[][2] = {
        {"http://h/{room}/x", "http://h/r%2F1/x"},
        {"http://h/{room}{id}?a={id}", "http://h/r%2F1abc%3D?a=abc%3D"},
        {"http://h/{many}", "http://h/first%2Clast"},
        {"http://h/{other}/{room", "http://h/{other}/{room"},
        {"http://h/{{room}}", "http://h/{r%2F1}"},
        {"http://h/{}/{Room}", "http://h/{}/{Room}"},
        {"http://h/a/{none}/b", "http://h/a//b"},
        {"http://h/a/{dots}/b", "http://h/a//b"},
        {"http://h/a/{dot}{dot}/b", "http://h/a//b"},
        {"http://h/plain", "http://h/plain"},
    };
    add("integration.request.path.room", "route.request.body.data.room");
    add("integration.request.path.id", "context.connectionId");
    add("integration.request.path.many", "route.request.multivalueheader.X-User");
    add("integration.request.path.none", "context.none");
    add("integration.request.path.dots", "context.dots");
    add("integration.request.path.dot", "context.dot");
    add("integration.request.header.other", "'no placeholder'");
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
        request.uri = tg_slice_cstr(uris[i][0]);
        apply();
        assert_uri(uris[i][1]);
    }
}

static void refuses_bad_rows(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        enum tg_err err;
        const char *error;
    } bad[] = {
        {"header.a", "'x'", TG_ESYNTAX,
         "a target is integration.request.{header|querystring|path}.NAME, not `header.a` at character 1"},
        {"integration.request.cookie.a", "'x'", TG_ESYNTAX,
         "a target is integration.request.{header|querystring|path}.NAME, not `integration.request.cookie.a` "
         "at "
         "character 1"},
        {"integration.request.header.", "'x'", TG_ESYNTAX,
         "the name `` is empty or has characters other than A-Z a-z 0-9 ._$- at character 28"},
        {"integration.request.header.a b", "'x'", TG_ESYNTAX,
         "the name `a b` is empty or has characters other than A-Z a-z 0-9 ._$- at character 28"},
        {"integration.request.header.Content-Length", "'1'", TG_ESYNTAX,
         "the header `Content-Length` is the gateway's own at character 28"},
        {"integration.request.header.transfer-encoding", "'1'", TG_ESYNTAX,
         "the header `transfer-encoding` is the gateway's own at character 28"},
        {"integration.request.header.ONE", "'1'", TG_EEXIST, "`ONE` is mapped twice at character 28"},
        {"integration.request.header.a", "", TG_ESYNTAX,
         "a value has 1-512 characters, wrong at character 1"},
        {"integration.request.header.a", "x", TG_ESYNTAX,
         "`x` is no source that can be used here at character 1"},
        {"integration.request.header.a", "'x", TG_ESYNTAX,
         "the closing quote of the literal is missing at character 3"},
        {"integration.request.header.a", "'", TG_ESYNTAX,
         "the closing quote of the literal is missing at character 2"},
        {"integration.request.header.a", "route.request.path.x", TG_ESYNTAX,
         "`route.request.path.x` is no source that can be used here at character 1"},
        {"integration.request.header.a", "route.request.header.x y", TG_ESYNTAX,
         "the name `x y` is empty or has characters other than A-Z a-z 0-9 ._$- at character 22"},
        {"integration.request.header.a", "context.", TG_ESYNTAX,
         "the name `` is empty or has characters other than A-Z a-z 0-9 ._$- at character 9"},
        {"integration.request.header.a", "route.request.body.a..b", TG_ESYNTAX,
         "a name is missing at character 22"},
        {"integration.request.header.a", "route.request.bodya", TG_ESYNTAX,
         "`route.request.bodya` is no source that can be used here at character 1"},
        {"integration.request.header.a", "$context.connectionId", TG_ESYNTAX,
         "`$context.connectionId` is no source that can be used here at character 1"},
    };
    add("integration.request.header.one", "'x'");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tg_slice error = TG_EMPTY;
        assert_int_equal(
            tg_mapping_add(&mapping, &arena, tg_slice_cstr(bad[i].key), tg_slice_cstr(bad[i].value), &error),
            bad[i].err);
        assert_string_equal(error.ptr, bad[i].error);
    }
    assert_int_equal(mapping.count, 1);
    add("integration.request.querystring.one", "'x'");
    add("integration.request.querystring.ONE", "'x'");
}

static void limits_values_to_512_characters(void **state)
{
    (void)state;
    char value[516] = "'";
    struct tg_slice error;
    memset(value + 1, 'x', 514);
    value[511] = '\'';
    assert_int_equal(tg_mapping_add(&mapping, &arena, TG_LIT("integration.request.header.a"),
                                    tg_slice_make(value, 512), &error),
                     TG_OK);
    value[511] = 'x';
    value[512] = '\'';
    assert_int_equal(tg_mapping_add(&mapping, &arena, TG_LIT("integration.request.header.b"),
                                    tg_slice_make(value, 513), &error),
                     TG_ESYNTAX);
    memcpy(value + 1, "\xC3\xA9", 2); /* two bytes, one character */
    assert_int_equal(tg_mapping_add(&mapping, &arena, TG_LIT("integration.request.header.b"),
                                    tg_slice_make(value, 513), &error),
                     TG_OK);
}

static void tells_which_parameters_it_reads(void **state)
{
    (void)state;
    static const bool expected[] = {true,  true,  true,  true,  true,  true,  false, false, false,
                                    false, false, false, false, false, false, false, false, false};
    assert_int_equal(sizeof expected / sizeof *expected, SOURCE_COUNT);
    char key[SOURCE_COUNT][64];
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        (void)snprintf(key[i], sizeof key[i], "integration.request.header.h%zu", i);
        add(key[i], sources[i][0]);
        assert_true(tg_source_is_parameter(&mapping.rules[i].source) == expected[i]);
    }
    assert_int_equal(mapping.rules[0].source.scope, TG_VAR_HEADER);
    assert_true(tg_slice_eq(mapping.rules[0].source.text, TG_LIT("x-user")));
    assert_int_equal(mapping.rules[4].source.scope, TG_VAR_MULTIQUERY);
    assert_true(tg_slice_eq(mapping.rules[4].source.text, TG_LIT("q")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(maps_every_source_into_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_the_whole_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replaces_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leaves_unresolved_targets_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leaves_members_of_other_bodies_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strips_header_injection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(adds_query_parameters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(extends_a_query, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fills_path_placeholders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_values_to_512_characters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_which_parameters_it_reads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
