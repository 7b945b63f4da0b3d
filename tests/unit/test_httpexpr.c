/* Values of parameter mapping in HTTP APIs (http-api.md 1.11): every source, text around sources, bodies, and
 * what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/httpexpr.h"
#include "tests/unit/vars_rows.h"

static struct tg_arena arena;

#define BODY                                                                                                 \
    "{\"a\":{\"b\":[10,{\"c\":\"x\\u00e9\"}]},\"s\":\"t}\",\"n\":null,\"e\":\"\",\"o\":{ \"k\" : [ 1 ] "     \
    "},\"}\":7}"

static const struct vars_row rows[] = {
    {TG_VAR_MULTIHEADER, "X-Tok", "abc"},
    {TG_VAR_MULTIHEADER, "X-Many", "1"},
    {TG_VAR_MULTIHEADER, "X-Many", "2"},
    {TG_VAR_MULTIQUERY, "q", "b c"},
    {TG_VAR_MULTIQUERY, "many", "1"},
    {TG_VAR_MULTIQUERY, "many", ""},
    {TG_VAR_MULTIQUERY, "many", "3"},
    {TG_VAR_MULTIQUERY, "a[b] c", "odd"},
    {TG_VAR_REQUEST_PATH, "", "/p%20q"},
    {TG_VAR_PATH, "id-1", "i/d"},
    {TG_VAR_BODY, "", BODY},
    {TG_VAR_CONTEXT, "identity.sourceIp", "::1"},
    {TG_VAR_CONTEXT, "authorizer.jwt.claims.sub_x", "me"},
    {TG_VAR_STAGE, "env_1", "prod"},
    {TG_VAR_RESPONSE_MULTIHEADER, "ETag", "\"1\""},
    {TG_VAR_RESPONSE_BODY, "", "{\"code\":418}"},
    {0},
};
static const struct tg_vars vars = {vars_rows_lookup, (void *)(uintptr_t)rows};

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

static struct tg_httpexpr compile(const char *text, enum tg_httpexpr_side side)
{
    struct tg_httpexpr expr = {0};
    struct tg_slice error = TG_EMPTY;
    if (tg_httpexpr_compile(&arena, tg_slice_cstr(text), side, &expr, &error) != TG_OK) {
        fail_msg("%s: %.*s", text, TG_FMT(error));
    }
    return expr;
}

static void assert_value(const char *text, enum tg_httpexpr_side side, const struct tg_vars *from,
                         struct tg_slice expected)
{
    struct tg_httpexpr expr = compile(text, side);
    struct tg_slice value;
    assert_int_equal(tg_httpexpr_evaluate(&expr, from, &arena, &value), TG_OK);
    if (!tg_slice_eq(value, expected)) {
        fail_msg("%s: got `%.*s`, expected `%.*s`", text, TG_FMT(value), TG_FMT(expected));
    }
}

/* Every row of the table of 1.11. */
static void reads_every_source(void **state)
{
    (void)state;
    static const char *const values[][2] = {
        {"$request.header.X-Tok", "abc"},
        {"$request.header.x-tok", "abc"},
        {"$request.header.x-many", "1,2"},
        {"$request.header.x-none", ""},
        {"$request.querystring.q", "b c"},
        {"$request.querystring.Q", ""},
        {"$request.querystring.many", "1,,3"},
        {"$request.querystring.a[b] c", "odd"},
        {"$request.path", "/p%20q"},
        {"$request.path.id-1", "i/d"},
        {"$request.path.none", ""},
        {"$request.body", BODY},
        {"$request.body.a.b[0]", "10"},
        {"$request.body.a.b[1].c", "x\xc3\xa9"},
        {"$request.body.a", "{\"b\":[10,{\"c\":\"x\\u00e9\"}]}"},
        {"$request.body.o", "{\"k\":[1]}"},
        {"$request.body['a']['b'][0]", "10"},
        {"$request.body.n", "null"},
        {"$request.body.e", ""},
        {"$request.body.none", ""},
        {"$request.body.a.b[9]", ""},
        {"$context.identity.sourceIp", "::1"},
        {"$context.authorizer.jwt.claims.sub_x", "me"},
        {"$context.none", ""},
        {"$stageVariables.env_1", "prod"},
        {"$stageVariables.none", ""},
        {"plain text", "plain text"},
        {"'quoted'", "'quoted'"},
        {"", ""},
        {"Bearer ${request.header.tok}", "Bearer "},
        {"Bearer ${request.header.X-Tok}", "Bearer abc"},
        {"${request.header.X-Tok}", "abc"},
        {"${context.none}${request.header.X-Tok}:${stageVariables.env_1}!", "abc:prod!"},
        {"${request.body.s}|${request.body['}']}|${request.body}", "t}|7|" BODY},
        {"/v2${request.path}/${request.path.id-1}", "/v2/p%20q/i/d"},
        {"a $request.header.X-Tok b", "a $request.header.X-Tok b"},
        {"$", "$"},
        {"$5", "$5"},
        {"5$", "5$"},
        {"$$${request.path}$", "$$/p%20q$"},
        {"{request.path}", "{request.path}"},
        {"a}b", "a}b"},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_value(values[i][0], TG_HTTPEXPR_REQUEST, &vars, tg_slice_cstr(values[i][1]));
    }
    static const char *const responses[][2] = {
        {"$response.header.etag", "\"1\""},       {"$response.header.none", ""},
        {"$response.body", "{\"code\":418}"},     {"$response.body.code", "418"},
        {"$context.identity.sourceIp", "::1"},    {"$stageVariables.env_1", "prod"},
        {"W/${response.header.ETag}", "W/\"1\""},
    };
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++) {
        assert_value(responses[i][0], TG_HTTPEXPR_RESPONSE, &vars, tg_slice_cstr(responses[i][1]));
    }
}

static void without_variables_all_is_empty(void **state)
{
    (void)state;
    assert_value("$request.body.a", TG_HTTPEXPR_REQUEST, NULL, TG_EMPTY);
    assert_value("<${request.path}>", TG_HTTPEXPR_REQUEST, NULL, TG_LIT("<>"));
}

/* `count` bytes of filler in a member, then the member `late`; `early` comes first. */
static struct tg_slice long_body(size_t count)
{
    const struct tg_slice head = TG_LIT("{\"early\":\"e\",\"object\":{\"k\":[1, 2]},\"fill\":\"");
    const struct tg_slice tail = TG_LIT("\",\"late\":12345,\"early\":\"again\"}");
    char *text = tg_arena_alloc(&arena, head.len + count + tail.len);
    assert_non_null(text);
    memcpy(text, head.ptr, head.len);
    memset(text + head.len, 'x', count);
    memcpy(text + head.len + count, tail.ptr, tail.len);
    return tg_slice_make(text, head.len + count + tail.len);
}

static enum tg_err look_up_body(void *arg, enum tg_var_scope scope, struct tg_slice name,
                                struct tg_arena *from, struct tg_var_values *out)
{
    assert_int_equal(scope, TG_VAR_BODY);
    assert_int_equal(name.len, 0);
    return tg_vars_one(from, *(const struct tg_slice *)arg, out);
}

static void looks_at_the_first_100_kb(void **state)
{
    (void)state;
    enum { AROUND = 64 }; /* bytes of long_body besides the filler, about */
    struct tg_slice body = long_body(TG_HTTPEXPR_BODY_MAX - 2 * AROUND);
    const struct tg_vars whole = {look_up_body, &body};
    assert_true(body.len <= TG_HTTPEXPR_BODY_MAX);
    assert_value("$request.body.late", TG_HTTPEXPR_REQUEST, &whole, TG_LIT("12345"));
    assert_value("$request.body.early", TG_HTTPEXPR_REQUEST, &whole, TG_LIT("again"));
    assert_value("$request.body", TG_HTTPEXPR_REQUEST, &whole, body);

    body = long_body(TG_HTTPEXPR_BODY_MAX);
    assert_value("$request.body.late", TG_HTTPEXPR_REQUEST, &whole, TG_EMPTY);
    assert_value("$request.body.fill", TG_HTTPEXPR_REQUEST, &whole, TG_EMPTY);
    assert_value("$request.body.early", TG_HTTPEXPR_REQUEST, &whole, TG_LIT("e"));
    assert_value("$request.body.object", TG_HTTPEXPR_REQUEST, &whole, TG_LIT("{\"k\":[1,2]}"));
    assert_value("$request.body.object.k[1]", TG_HTTPEXPR_REQUEST, &whole, TG_LIT("2"));
    assert_value("$request.body", TG_HTTPEXPR_REQUEST, &whole, tg_slice_head(body, TG_HTTPEXPR_BODY_MAX));

    /* The cut goes through the number: what is left of it is not its value. */
    size_t before = tg_slice_find_slice(body, TG_LIT("12345")) - TG_HTTPEXPR_BODY_MAX;
    body = long_body(TG_HTTPEXPR_BODY_MAX - before - 2);
    assert_true(body.len > TG_HTTPEXPR_BODY_MAX);
    assert_memory_equal(body.ptr + TG_HTTPEXPR_BODY_MAX - 3, ":12345", 6);
    assert_value("$request.body.late", TG_HTTPEXPR_REQUEST, &whole, TG_EMPTY);
}

static void other_bodies_have_no_members(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "a=1&b=2", "{\"a\":1", "{a:1}", "[1]"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct tg_slice body = tg_slice_cstr(bodies[i]);
        const struct tg_vars whole = {look_up_body, &body};
        assert_value("$request.body.a", TG_HTTPEXPR_REQUEST, &whole, TG_EMPTY);
        assert_value("$request.body", TG_HTTPEXPR_REQUEST, &whole, body);
    }
}

static void tells_what_it_reads(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum tg_httpexpr_side side;
        unsigned reads;
    } values[] = {
        {"plain", TG_HTTPEXPR_REQUEST, 0},
        {"$request.body.a", TG_HTTPEXPR_REQUEST, TG_SOURCE_OF(TG_VAR_BODY)},
        {"$request.path", TG_HTTPEXPR_REQUEST, TG_SOURCE_OF(TG_VAR_REQUEST_PATH)},
        {"${request.path.x}${request.header.x}", TG_HTTPEXPR_REQUEST,
         TG_SOURCE_OF(TG_VAR_PATH) | TG_SOURCE_OF(TG_VAR_MULTIHEADER)},
        {"${request.querystring.x}-${request.body}", TG_HTTPEXPR_REQUEST,
         TG_SOURCE_OF(TG_VAR_MULTIQUERY) | TG_SOURCE_OF(TG_VAR_BODY)},
        {"$response.body", TG_HTTPEXPR_RESPONSE, TG_SOURCE_OF(TG_VAR_RESPONSE_BODY)},
        {"${response.header.a}${context.a}${stageVariables.a}", TG_HTTPEXPR_RESPONSE,
         TG_SOURCE_OF(TG_VAR_RESPONSE_MULTIHEADER) | TG_SOURCE_OF(TG_VAR_CONTEXT) |
             TG_SOURCE_OF(TG_VAR_STAGE)},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct tg_httpexpr expr = compile(values[i].text, values[i].side);
        for (unsigned scope = 0; scope < TG_VAR_SCOPES; scope++) {
            assert_int_equal(tg_httpexpr_reads(&expr, (enum tg_var_scope)scope),
                             (values[i].reads & TG_SOURCE_OF(scope)) != 0);
        }
    }
}

static void refuses_what_is_no_value(void **state)
{
    (void)state;
#define KNOWN                                                                                                \
    " is no source: those are request.header.NAME, request.querystring.NAME, request.path, request.body, "   \
    "context.NAME, stageVariables.NAME at character "
#define KNOWN_LATER                                                                                          \
    " is no source: those are response.header.NAME, response.body, context.NAME, stageVariables.NAME at "    \
    "character "
#define EARLY " cannot be read yet: there is no response when a request is mapped at character "
#define LATE  " cannot be read: a response is mapped from response, context and stageVariables at character "
    static const struct {
        enum tg_httpexpr_side side;
        const char *text, *error;
    } values[] = {
        {TG_HTTPEXPR_REQUEST, "$requst.header.x", "`requst.header.x`" KNOWN "2"},
        {TG_HTTPEXPR_REQUEST, "$default", "`default`" KNOWN "2"},
        {TG_HTTPEXPR_REQUEST, "a ${}", "``" KNOWN "5"},
        {TG_HTTPEXPR_REQUEST, "a ${$request.path}", "`$request.path`" KNOWN "5"},
        {TG_HTTPEXPR_REQUEST, "$request.header", "`request.header`" KNOWN "2"},
        {TG_HTTPEXPR_REQUEST, "$request.bodyx", "`request.bodyx`" KNOWN "2"},
        {TG_HTTPEXPR_RESPONSE, "$x.y", "`x.y`" KNOWN_LATER "2"},
        {TG_HTTPEXPR_REQUEST, "a ${request.path", "`${` is not closed at character 3"},
        {TG_HTTPEXPR_REQUEST, "${request.body['a}", "`${` is not closed at character 1"},
        {TG_HTTPEXPR_REQUEST, "$request.header.", "`` is not a header's name at character 17"},
        {TG_HTTPEXPR_REQUEST, "$request.header.x y", "`x y` is not a header's name at character 17"},
        {TG_HTTPEXPR_REQUEST, "$request.querystring.", "`` is not a query parameter's name at character 22"},
        {TG_HTTPEXPR_REQUEST, "$request.path.", "`` is not letters, digits and ._- at character 15"},
        {TG_HTTPEXPR_REQUEST, "$request.path.a+", "`a+` is not letters, digits and ._- at character 15"},
        {TG_HTTPEXPR_REQUEST, "$context.a-b", "`a-b` is not letters, digits and ._ at character 10"},
        {TG_HTTPEXPR_REQUEST, "$stageVariables.", "`` is not letters, digits and ._ at character 17"},
        {TG_HTTPEXPR_REQUEST, "$request.body..a", "a name is missing at character 15"},
        {TG_HTTPEXPR_REQUEST, "x${request.body.a[*]}", "wildcards are not supported at character 19"},
        {TG_HTTPEXPR_REQUEST, "$request.body.a[?(@.b)]",
         "brackets take an index or a quoted name at character 17"},
        {TG_HTTPEXPR_REQUEST, "$request.body.", "a name is missing at character 15"},
        {TG_HTTPEXPR_REQUEST, "$response.body.a", "`response.body.a`" EARLY "2"},
        {TG_HTTPEXPR_REQUEST, "x ${response.header.a}", "`response.header.a`" EARLY "5"},
        {TG_HTTPEXPR_RESPONSE, "$request.body.a", "`request.body.a`" LATE "2"},
        {TG_HTTPEXPR_RESPONSE, "$request.path", "`request.path`" LATE "2"},
        {TG_HTTPEXPR_RESPONSE, "$request.path.a", "`request.path.a`" LATE "2"},
        {TG_HTTPEXPR_RESPONSE, "$request.header.a", "`request.header.a`" LATE "2"},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct tg_httpexpr expr = {0};
        struct tg_slice error = TG_EMPTY;
        assert_int_equal(
            tg_httpexpr_compile(&arena, tg_slice_cstr(values[i].text), values[i].side, &expr, &error),
            TG_ESYNTAX);
        assert_null(expr.parts);
        if (!tg_slice_eq(error, tg_slice_cstr(values[i].error))) {
            fail_msg("%s: got `%.*s`, expected `%s`", values[i].text, TG_FMT(error), values[i].error);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_every_source, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_variables_all_is_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_at_the_first_100_kb, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_bodies_have_no_members, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_what_it_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_value, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
