/* Parameter mapping of HTTP APIs (http-api.md 1.11): every target, the order of rows, encoding, injection,
 * and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "routes/httpmapping.h"
#include "tests/unit/vars_rows.h"

static struct tg_arena arena;
static struct tg_httpmapping mapping;
static struct tg_headers headers;
static struct tg_httpmapping_request request;

static const struct vars_row rows[] = {
    {TG_VAR_MULTIHEADER, "X-A", "client"},
    {TG_VAR_MULTIQUERY, "q", "b c&d=\xc3\xa9#"},
    {TG_VAR_REQUEST_PATH, "", "/p%20q/%2F..x/\"<{"},
    {TG_VAR_PATH, "id", "a b/c?d#e%41"},
    {TG_VAR_PATH, "up", "../admin"},
    {TG_VAR_PATH, "dots", ".."},
    {TG_VAR_BODY, "", "{\"evil\":\"a\\r\\nX: y\\u0000\\u007f\\tz\",\"n\":1.50}"},
    {TG_VAR_RESPONSE_MULTIHEADER, "Location", "/x"},
    {TG_VAR_RESPONSE_BODY, "",
     "{\"code\":418,\"bad\":\"4 4\",\"low\":199,\"high\":600,\"plus\":\"+200\",\"zero\":\"0200\"}"},
    {0},
};
static const struct tg_vars vars = {vars_rows_lookup, (void *)(uintptr_t)rows};

static int set_up(void **state)
{
    (void)state;
    tg_arena_init(&arena, NULL);
    mapping = (struct tg_httpmapping){0};
    headers = (struct tg_headers){0};
    request = (struct tg_httpmapping_request){.headers = &headers, .path = TG_LIT("/p")};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tg_arena_reset(&arena);
    return 0;
}

static void map(const char *key, const char *value)
{
    struct tg_slice error = TG_EMPTY;
    if (tg_httpmapping_add_request(&mapping, &arena, tg_slice_cstr(key), tg_slice_cstr(value), &error) !=
        TG_OK) {
        fail_msg("%s: %s: %.*s", key, value, TG_FMT(error));
    }
}

static void map_response(const char *status, const char *key, const char *value)
{
    struct tg_slice error = TG_EMPTY;
    if (tg_httpmapping_add_response(&mapping, &arena, tg_slice_cstr(status), tg_slice_cstr(key),
                                    tg_slice_cstr(value), &error) != TG_OK) {
        fail_msg("%s: %s: %.*s", key, value, TG_FMT(error));
    }
}

static void add_header(const char *name, const char *value)
{
    assert_int_equal(tg_headers_add(&headers, &arena, tg_slice_cstr(name), tg_slice_cstr(value)), TG_OK);
}

static void apply(void)
{
    struct tg_slice detail = TG_EMPTY;
    assert_int_equal(tg_httpmapping_apply_request(&mapping, &vars, &arena, &request, &detail), TG_OK);
}

/* Exactly these fields, in this order; the rows end with a NULL. */
static void assert_headers(const char *const (*expected)[2])
{
    size_t i = 0;
    for (; expected[i][0] != NULL; i++) {
        if (i >= headers.count) {
            fail_msg("`%s: %s` is missing", expected[i][0], expected[i][1]);
        }
        if (!tg_slice_eq(headers.items[i].name, tg_slice_cstr(expected[i][0])) ||
            !tg_slice_eq(headers.items[i].value, tg_slice_cstr(expected[i][1]))) {
            fail_msg("got `%.*s: %.*s`, expected `%s: %s`", TG_FMT(headers.items[i].name),
                     TG_FMT(headers.items[i].value), expected[i][0], expected[i][1]);
        }
    }
    assert_int_equal(headers.count, i);
}

static void assert_slice(struct tg_slice got, const char *expected)
{
    if (expected == NULL) {
        assert_null(got.ptr);
    } else if (got.ptr == NULL || !tg_slice_eq(got, tg_slice_cstr(expected))) {
        fail_msg("got `%.*s`, expected `%s`", TG_FMT(got), expected);
    }
}

static void maps_headers(void **state)
{
    (void)state;
    /* Overwritten in the place of the first; appended last. */
    static const char *const expected[][2] = {
        {"x-kept", "1"},    {"x-over", "client"}, {"x-more", "old"}, {"X-Twice", "new"},
        {"X-More", "1.50"}, {"X-New", "text"},    {"x-none", ""},    {NULL, NULL},
    };
    map("append:header.X-More", "$request.body.n");
    map("append:header.X-New", "text");
    map("overwrite:header.x-over", "$request.header.x-a");
    map("overwrite:header.X-Twice", "new");
    map("remove:header.x-gone", "''");
    map("append:header.x-none", "$request.header.none");
    add_header("x-kept", "1");
    add_header("X-Gone", "1");
    add_header("X-OVER", "old");
    add_header("x-more", "old");
    add_header("x-gone", "2");
    add_header("x-twice", "old 1");
    add_header("X-TWICE", "old 2");
    apply();
    assert_headers(expected);
    assert_slice(request.path, "/p");
    assert_slice(request.query, NULL);
}

static void removes_overwrites_appends(void **state)
{
    (void)state;
    static const char *const expected[][2] = {{"x-a", "over"}, {"X-A", "more client"}, {NULL, NULL}};
    map("append:header.X-A", "more ${request.header.X-A}");
    map("overwrite:header.x-a", "over");
    map("remove:header.X-a", "");
    map("append:querystring.a", "3");
    map("overwrite:querystring.a", "2");
    map("remove:querystring.a", "''");
    add_header("X-A", "client");
    request.query = TG_LIT("a=1&b=1");
    apply();
    assert_headers(expected);
    assert_slice(request.query, "b=1&a=2&a=3");
}

static void strips_header_injection(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"x-over", "aX: y\tz"}, {"x-app", "<aX: y\tz>"}, {"x-text", "ab"}, {NULL, NULL}};
    map("overwrite:header.x-over", "$request.body.evil");
    map("append:header.x-app", "<${request.body.evil}>");
    map("append:header.x-text", "a\r\nb");
    apply();
    assert_headers(expected);
}

/* Operation, name, value; query before and after; NULL: none. */
static void maps_query_parameters(void **state)
{
    (void)state;
    static const char *const queries[][5] = {
        {"append", "a", "1", NULL, "a=1"},
        {"append", "a", "1", "", "a=1"},
        {"append", "a", "1", "a=0", "a=0&a=1"},
        {"append", "a", "1", "b&", "b&&a=1"},
        {"append", "n m&=", "$request.querystring.q", "x=%7e+", "x=%7e+&n%20m%26%3D=b%20c%26d%3D%C3%A9%23"},
        {"append", "a", "", NULL, "a="},
        {"append", "a", "$request.header.none", "b", "b&a="},
        {"overwrite", "a", "1", NULL, "a=1"},
        {"overwrite", "a", "1", "", "a=1"},
        {"overwrite", "a", "1", "b=2&a=3&c&a=4&%61=5&A=6", "b=2&a=1&c&A=6"},
        {"overwrite", "a b", "1", "x&a+b=2&a%20b&ab", "x&a%20b=1&ab"},
        {"overwrite", "a", "$request.querystring.q", "a", "a=b%20c%26d%3D%C3%A9%23"},
        {"overwrite", "b", "1", "a=1", "a=1&b=1"},
        {"remove", "a", "''", "a=1", NULL},
        {"remove", "a", "''", "a", NULL},
        {"remove", "a", "''", "", ""},
        {"remove", "a", "''", NULL, NULL},
        {"remove", "a", "''", "b=%zz&a=1&&c=a&%61=", "b=%zz&&c=a"},
        {"remove", "a", "''", "A=1&aa=1", "A=1&aa=1"},
        {"remove", "a=", "''", "a%3D=1&a==1", "a==1"},
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        char key[64];
        mapping = (struct tg_httpmapping){0};
        (void)snprintf(key, sizeof key, "%s:querystring.%s", queries[i][0], queries[i][1]);
        map(key, queries[i][2]);
        request.query = tg_slice_cstr(queries[i][3]);
        apply();
        assert_slice(request.query, queries[i][4]);
    }
}

static void leaves_the_query_alone_without_rows(void **state)
{
    (void)state;
    static const struct tg_slice query = TG_LIT_INIT("a=%zz&&b=\"x\"");
    map("append:header.x", "y");
    request.query = query;
    apply();
    assert_ptr_equal(request.query.ptr, query.ptr);
    assert_int_equal(request.query.len, query.len);
}

static void overwrites_the_path(void **state)
{
    (void)state;
    static const char *const paths[][2] = {
        {"/new", "/new"},
        {"new", "/new"},
        {"", "/"},
        {"$request.path.none", "/"},
        {"${request.path.none}/x", "/x"},
        {"//x", "//x"},
        {"/a%20b%2f%zz%4", "/a%20b%2f%25zz%254"},
        {"/a b?c#d", "/a%20b%3Fc%23d"},
        {"/\"<>\\^`{|}\r\n\t\x7f\xc3\xa9", "/%22%3C%3E%5C%5E%60%7B%7C%7D%0D%0A%09%7F%C3%A9"},
        {"/:@-._~!$&'()*+,;=", "/:@-._~!$&'()*+,;="},
        {"$request.path", "/p%20q/%2F..x/%22%3C%7B"},
        {"/v2${request.path}", "/v2/p%20q/%2F..x/%22%3C%7B"},
        /* A decoded value is encoded again: %41 was %2541. */
        {"/u/${request.path.id}", "/u/a%20b/c%3Fd%23e%2541"},
        {"$request.querystring.q", "/b%20c&d=%C3%A9%23"},
        {"/.../..a/a../.", "/.../..a/a../."},
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        mapping = (struct tg_httpmapping){0};
        map("overwrite:path", paths[i][0]);
        apply();
        assert_slice(request.path, paths[i][1]);
    }
}

static void refuses_to_step_up(void **state)
{
    (void)state;
    static const char *const paths[] = {"/u/${request.path.up}",
                                        "/u/${request.path.dots}",
                                        "..",
                                        "/a/..",
                                        "/a/../b",
                                        "/a/%2e%2E/b",
                                        "/a/.%2e",
                                        "/%2e.",
                                        "/u/.${request.path.none}./x"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct tg_slice detail = TG_EMPTY;
        mapping = (struct tg_httpmapping){0};
        map("overwrite:path", paths[i]);
        map("append:header.x", "y");
        map("append:querystring.x", "y");
        assert_int_equal(tg_httpmapping_apply_request(&mapping, &vars, &arena, &request, &detail), TG_EINVAL);
        assert_true(detail.len > 0);
        assert_slice(request.path, "/p");
        assert_slice(request.query, NULL);
        assert_int_equal(headers.count, 0);
    }
}

static void maps_responses_by_status(void **state)
{
    (void)state;
    static const char *const expected[][2] = {{"Content-Type", "text/plain"},
                                              {"Location", "https://h/x"},
                                              {"set-cookie", "a"},
                                              {"Set-Cookie", "b"},
                                              {NULL, NULL}};
    map_response("200", "overwrite:statuscode", "$response.body.code");
    map_response("200", "remove:header.Server", "''");
    map_response("200", "overwrite:header.Location", "https://h${response.header.location}");
    map_response("404", "overwrite:statuscode", "200");
    map_response("200", "append:header.Set-Cookie", "b");
    map_response("599", "append:header.x", "y");
    const struct tg_httpmapping_response *found = tg_httpmapping_response_for(&mapping, 200);
    assert_non_null(found);
    add_header("Content-Type", "text/plain");
    add_header("server", "x");
    add_header("Location", "/x");
    add_header("set-cookie", "a");
    int status = 200;
    struct tg_slice detail = TG_EMPTY;
    assert_int_equal(tg_httpmapping_apply_response(found, &vars, &arena, &status, &headers, &detail), TG_OK);
    assert_int_equal(status, 418);
    assert_headers(expected);
    found = tg_httpmapping_response_for(&mapping, 404);
    assert_non_null(found);
    assert_int_equal(tg_httpmapping_apply_response(found, &vars, &arena, &status, &headers, &detail), TG_OK);
    assert_int_equal(status, 200);
    assert_headers(expected);
    found = tg_httpmapping_response_for(&mapping, 599);
    assert_non_null(found);
    assert_int_equal(tg_httpmapping_apply_response(found, &vars, &arena, &status, &headers, &detail), TG_OK);
    assert_int_equal(status, 200);
    assert_null(tg_httpmapping_response_for(&mapping, 201));
    assert_null(tg_httpmapping_response_for(&mapping, 500));
}

/* Variables that look into the list that is mapped. */
static enum tg_err look_up_headers(void *arg, enum tg_var_scope scope, struct tg_slice name,
                                   struct tg_arena *from, struct tg_var_values *out)
{
    const struct tg_header *field = tg_headers_first(arg, name);
    assert_int_equal(scope, TG_VAR_RESPONSE_MULTIHEADER);
    return field != NULL ? tg_vars_one(from, field->value, out) : TG_OK;
}

static void rows_see_what_was_there_before(void **state)
{
    (void)state;
    static const char *const expected[][2] = {{"b", "1"}, {"c", "2"}, {"d", "3"}, {NULL, NULL}};
    map_response("200", "remove:header.a", "''");
    map_response("200", "append:header.d", "$response.header.c");
    map_response("200", "overwrite:header.c", "$response.header.b");
    map_response("200", "overwrite:header.b", "$response.header.a");
    add_header("a", "1");
    add_header("b", "2");
    add_header("c", "3");
    const struct tg_vars own = {look_up_headers, &headers};
    int status = 200;
    struct tg_slice detail = TG_EMPTY;
    assert_int_equal(tg_httpmapping_apply_response(tg_httpmapping_response_for(&mapping, 200), &own, &arena,
                                                   &status, &headers, &detail),
                     TG_OK);
    assert_headers(expected);
}

static void refuses_what_is_no_status(void **state)
{
    (void)state;
    static const char *const values[] = {"$response.body.bad",
                                         "$response.body.low",
                                         "$response.body.high",
                                         "$response.body.plus",
                                         "$response.body.zero",
                                         "$response.body.none",
                                         "2e2",
                                         "200 ",
                                         "-200",
                                         "100"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        int status = 200;
        struct tg_slice detail = TG_EMPTY;
        mapping = (struct tg_httpmapping){0};
        map_response("200", "append:header.x", "y");
        map_response("200", "overwrite:statuscode", values[i]);
        assert_int_equal(tg_httpmapping_apply_response(tg_httpmapping_response_for(&mapping, 200), &vars,
                                                       &arena, &status, &headers, &detail),
                         TG_EINVAL);
        assert_true(detail.len > 0);
        assert_int_equal(status, 200);
        assert_int_equal(headers.count, 0);
    }
}

static void holds_many_rows(void **state)
{
    (void)state;
    enum { MANY = 40 };
    static char keys[MANY][32], statuses[MANY][4];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "append:header.h%d", i);
        map(keys[i], "v");
        (void)snprintf(statuses[i], sizeof statuses[i], "%d", 300 + i);
        map_response(statuses[i], keys[i], "v");
    }
    apply();
    assert_int_equal(headers.count, MANY);
    for (int i = 0; i < MANY; i++) {
        const struct tg_httpmapping_response *found = tg_httpmapping_response_for(&mapping, 300 + i);
        assert_non_null(found);
        assert_int_equal(found->rules.count, 1);
    }
}

static void tells_whether_it_reads_bodies(void **state)
{
    (void)state;
    map("append:header.a", "$request.header.a");
    map("remove:header.a", "''");
    map_response("200", "append:header.a", "$response.header.a");
    map_response("404", "append:header.a", "${response.body.a}");
    assert_false(tg_httpmapping_reads(&mapping.request, TG_VAR_BODY));
    assert_true(tg_httpmapping_reads(&mapping.request, TG_VAR_MULTIHEADER));
    map("overwrite:path", "/${request.body.a}");
    assert_true(tg_httpmapping_reads(&mapping.request, TG_VAR_BODY));
    assert_false(
        tg_httpmapping_reads(&tg_httpmapping_response_for(&mapping, 200)->rules, TG_VAR_RESPONSE_BODY));
    assert_true(
        tg_httpmapping_reads(&tg_httpmapping_response_for(&mapping, 404)->rules, TG_VAR_RESPONSE_BODY));
}

static void assert_refused(enum tg_err expected_err, const char *status, const char *key, const char *value,
                           const char *expected)
{
    struct tg_slice error = TG_EMPTY;
    enum tg_err err =
        status != NULL
            ? tg_httpmapping_add_response(&mapping, &arena, tg_slice_cstr(status), tg_slice_cstr(key),
                                          tg_slice_cstr(value), &error)
            : tg_httpmapping_add_request(&mapping, &arena, tg_slice_cstr(key), tg_slice_cstr(value), &error);
    if (err != expected_err || !tg_slice_eq(error, tg_slice_cstr(expected))) {
        fail_msg("%s: %s: %d, got `%.*s`, expected `%s`", key, value, (int)err, TG_FMT(error), expected);
    }
}

static void refuses_reserved_headers(void **state)
{
    (void)state;
    static const char *const names[] = {"access-control-allow-origin",
                                        "Access-Control-X",
                                        "apigw-requestid",
                                        "Authorization",
                                        "connection",
                                        "Content-Encoding",
                                        "content-length",
                                        "Content-Location",
                                        "Forwarded",
                                        "Keep-Alive",
                                        "Origin",
                                        "Proxy-Authenticate",
                                        "Proxy-Authorization",
                                        "TE",
                                        "Trailers",
                                        "Trailer",
                                        "transfer-encoding",
                                        "Upgrade",
                                        "x-amz-date",
                                        "X-Amzn-Trace-Id",
                                        "X-Forwarded-For",
                                        "x-forwarded-host",
                                        "X-Forwarded-Proto",
                                        "VIA"};
    static const char *const ops[] = {"append", "overwrite", "remove"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t j = 0; j < 3; j++) {
            char key[64], expected[128];
            (void)snprintf(key, sizeof key, "%s:header.%s", ops[j], names[i]);
            (void)snprintf(expected, sizeof expected, "the header `%s` cannot be mapped at character %zu",
                           names[i], strlen(ops[j]) + strlen(":header.") + 1);
            assert_refused(TG_ESYNTAX, NULL, key, "''", expected);
            assert_refused(TG_ESYNTAX, "200", key, "''", expected);
        }
    }
    assert_int_equal(mapping.request.count, 0);
    map("overwrite:header.host", "h");
    map("overwrite:header.x-amazon", "h");
    map("overwrite:header.X-Forwarded-Prefix", "h");
    map("overwrite:header.Cookie", "h");
}

static void refuses_bad_rows(void **state)
{
    (void)state;
#define TARGETS          "a target is {append|overwrite|remove}:{header|querystring}.NAME or overwrite:path, not "
#define RESPONSE_TARGETS "a target is {append|overwrite|remove}:header.NAME or overwrite:statuscode, not "
    static const char *const bad[][4] = {
        {NULL, "header.x", "1", TARGETS "`header.x` at character 1"},
        {NULL, "", "1", TARGETS "`` at character 1"},
        {NULL, "Append:header.x", "1", TARGETS "`Append:header.x` at character 1"},
        {NULL, "append:path", "1", TARGETS "`append:path` at character 1"},
        {NULL, "remove:path", "''", TARGETS "`remove:path` at character 1"},
        {NULL, "overwrite:path.x", "1", TARGETS "`overwrite:path.x` at character 1"},
        {NULL, "overwrite:statuscode", "1", TARGETS "`overwrite:statuscode` at character 1"},
        {NULL, "append:body", "1", TARGETS "`append:body` at character 1"},
        {NULL, "append:header.", "1", "`` is not a header's name at character 15"},
        {NULL, "append:header.x y", "1", "`x y` is not a header's name at character 15"},
        {NULL, "append:header.x\r\n", "1", "`x\r\n` is not a header's name at character 15"},
        {NULL, "append:querystring.", "1",
         "the parameter's name is empty or has control characters at character 20"},
        {NULL, "append:querystring.a\nb", "1",
         "the parameter's name is empty or has control characters at character 20"},
        {NULL, "remove:header.x", "y", "what is removed takes the value '', not `y` at character 1"},
        {NULL, "append:header.x", "$request.body..a", "a name is missing at character 15"},
        {"200", "append:querystring.x", "1", RESPONSE_TARGETS "`append:querystring.x` at character 1"},
        {"200", "overwrite:path", "1", RESPONSE_TARGETS "`overwrite:path` at character 1"},
        {"200", "append:statuscode", "1", RESPONSE_TARGETS "`append:statuscode` at character 1"},
        {"200", "append:header.x", "$request.path",
         "`request.path` cannot be read: a response is mapped from response, context and stageVariables at "
         "character 2"},
        {"199", "append:header.x", "1",
         "responses are grouped by status, 200 to 599, not by `199` at character 1"},
        {"600", "append:header.x", "1",
         "responses are grouped by status, 200 to 599, not by `600` at character 1"},
        {"20x", "append:header.x", "1",
         "responses are grouped by status, 200 to 599, not by `20x` at character 1"},
        {"0200", "append:header.x", "1",
         "responses are grouped by status, 200 to 599, not by `0200` at character 1"},
        {"default", "append:header.x", "1",
         "responses are grouped by status, 200 to 599, not by `default` at character 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_refused(TG_ESYNTAX, bad[i][0], bad[i][1], bad[i][2], bad[i][3]);
    }
    assert_int_equal(mapping.request.count, 0);
}

static void refuses_rows_twice(void **state)
{
    (void)state;
    map("append:header.X", "1");
    map("overwrite:header.X", "1");
    map("append:querystring.X", "1");
    map("append:querystring.x", "1");
    map("overwrite:path", "/");
    map_response("200", "append:header.x", "1");
    map_response("201", "append:header.x", "1");
    assert_refused(TG_EEXIST, NULL, "append:header.x", "2",
                   "`append:header.x` is there twice at character 1");
    assert_refused(TG_EEXIST, NULL, "append:querystring.x", "2",
                   "`append:querystring.x` is there twice at character 1");
    assert_refused(TG_EEXIST, NULL, "overwrite:path", "2", "`overwrite:path` is there twice at character 1");
    assert_refused(TG_EEXIST, "201", "append:header.x", "2",
                   "`append:header.x` is there twice at character 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(maps_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removes_overwrites_appends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strips_header_injection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(maps_query_parameters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leaves_the_query_alone_without_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(overwrites_the_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_to_step_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(maps_responses_by_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_see_what_was_there_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(holds_many_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_whether_it_reads_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_reserved_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_rows_twice, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
