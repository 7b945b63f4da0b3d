/* Access-log formats (spec 8.1): the names, the checks at load, unset values, and rows that values cannot
 * forge. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "routes/accesslog.h"
#include "tests/unit/vars_rows.h"

static struct tg_arena arena;
static struct tg_buf row;

static int set_up(void **state)
{
    (void)state;
    tg_arena_init(&arena, NULL);
    tg_buf_init(&row, SIZE_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tg_arena_reset(&arena);
    tg_buf_free(&row);
    return 0;
}

static struct tg_slice render(const char *format, const struct vars_row *rows)
{
    struct tg_accesslog log;
    struct tg_slice error = TG_EMPTY;
    const struct tg_vars vars = VARS_OF(rows);
    if (tg_accesslog_compile(&arena, tg_slice_cstr(format), &log, &error) != TG_OK) {
        fail_msg("%s: %.*s", format, TG_FMT(error));
    }
    tg_buf_clear(&row);
    assert_int_equal(tg_accesslog_render(&log, &vars, &arena, &row), TG_OK);
    return tg_buf_slice(&row);
}

static void assert_row(const char *format, const struct vars_row *rows, const char *expected)
{
    struct tg_slice out = render(format, rows);
    if (!tg_slice_eq(out, tg_slice_cstr(expected))) {
        fail_msg("got `%.*s`, expected `%s`", TG_FMT(out), expected);
    }
}

static const struct vars_row plain[] = {
    {TG_VAR_CONTEXT, "requestId", "r1="},
    {TG_VAR_CONTEXT, "status", "200"},
    {TG_VAR_CONTEXT, "requestTime", "02/Jan/2026:03:04:05 +0000"},
    {TG_VAR_CONTEXT, "identity.sourceIp", "127.0.0.1"},
    {TG_VAR_CONTEXT, "authorizer.principalId", "me"},
    {TG_VAR_CONTEXT, "authorizer.my_role.x", "admin"},
    {TG_VAR_CONTEXT, "error.message", "Not \"found\""},
    {TG_VAR_CONTEXT, "stage", ""},
    {TG_VAR_HEADER, "routeKey", "of another scope"},
    {0},
};

static void renders_the_usual_styles(void **state)
{
    (void)state;
    assert_row("$context.identity.sourceIp - - [$context.requestTime] \"$context.routeKey\" $context.status "
               "$context.requestId",
               plain, "127.0.0.1 - - [02/Jan/2026:03:04:05 +0000] \"-\" 200 r1=");
    assert_row("{\"requestId\":\"$context.requestId\",\"status\":$context.status}", plain,
               "{\"requestId\":\"r1=\",\"status\":200}");
    assert_row("<request id=\"$context.requestId\"><ip>$context.identity.sourceIp</ip></request>\r\n", plain,
               "<request id=\"r1=\"><ip>127.0.0.1</ip></request>");
    assert_row("$context.requestId,$context.status,$context.extendedRequestId", plain, "r1=,200,-");
}

static void ends_names_where_they_end(void **state)
{
    (void)state;
    assert_row(
        "$context.requestId. $context.status... $context.requestId-$context.status$context.status $5 $ $$ \\",
        plain, "r1=. 200... r1=-200200 $5 $ $$ \\");
    assert_row("$context.requestId$context.authorizer.my_role.x/$context.authorizer.none", plain,
               "r1=admin/-");
}

static void prints_a_dash_for_unset_values(void **state)
{
    (void)state;
    static const struct vars_row none[] = {{0}};
    assert_row("$context.requestId|$context.stage|$context.waf.status", plain, "r1=|-|-");
    assert_row("$context.requestId|$context.error.messageString|$context.error.message", none, "-|-|-");
}

static void quotes_message_strings(void **state)
{
    (void)state;
    assert_row("$context.requestId {\"m\":$context.error.messageString,\"n\":\"$context.error.message\"}",
               plain, "r1= {\"m\":\"Not \\\"found\\\"\",\"n\":\"Not \\\"found\\\"\"}");
}

static void keeps_a_row_one_line(void **state)
{
    (void)state;
    static const struct vars_row evil[] = {
        {TG_VAR_CONTEXT, "requestId", "a\r\nforged row\b\f\t\x01\x7F\"\\"},
        {TG_VAR_CONTEXT, "identity.userAgent", "x\xC2\x85y\xE2\x80\xA8z\xE2\x80\xA9\xC2\xA0\xE2\x80\xA7"},
        {TG_VAR_CONTEXT, "domainName",
         "\xFF"
         "a\xC2"},
        {0}};
    assert_row("$context.requestId", evil, "a\\r\\nforged row\\b\\f\\t\\u0001\\u007f\\\"\\\\");
    assert_row(
        "$context.requestId $context.identity.userAgent", evil,
        "a\\r\\nforged row\\b\\f\\t\\u0001\\u007f\\\"\\\\ x\\u0085y\\u2028z\\u2029\xC2\xA0\xE2\x80\xA7");
    assert_row("$context.domainName $context.extendedRequestId", evil,
               "\xEF\xBF\xBD"
               "a\xEF\xBF\xBD -");
    struct tg_slice out = render("{\"id\":\"$context.requestId\"}", evil);
    json_t *tree = json_loadb(out.ptr, out.len, 0, NULL);
    assert_non_null(tree);
    assert_string_equal(json_string_value(json_object_get(tree, "id")), evil[0].value);
    json_decref(tree);
}

static void knows_every_documented_name(void **state)
{
    (void)state;
    static const char *const names[] = {
        "apiId",
        "connectedAt",
        "connectionId",
        "domainName",
        "eventType",
        "extendedRequestId",
        "messageId",
        "requestId",
        "requestTime",
        "requestTimeEpoch",
        "routeKey",
        "stage",
        "status",
        "authenticate.error",
        "authenticate.latency",
        "authenticate.status",
        "authorize.error",
        "authorize.latency",
        "authorize.status",
        "authorizer.error",
        "authorizer.integrationLatency",
        "authorizer.integrationStatus",
        "authorizer.latency",
        "authorizer.principalId",
        "authorizer.property",
        "authorizer.requestId",
        "authorizer.status",
        "error.message",
        "error.messageString",
        "error.responseType",
        "error.validationErrorString",
        "identity.accountId",
        "identity.apiKey",
        "identity.apiKeyId",
        "identity.caller",
        "identity.cognitoAuthenticationProvider",
        "identity.cognitoAuthenticationType",
        "identity.cognitoIdentityId",
        "identity.cognitoIdentityPoolId",
        "identity.principalOrgId",
        "identity.sourceIp",
        "identity.user",
        "identity.userAgent",
        "identity.userArn",
        "integration.error",
        "integration.integrationStatus",
        "integration.latency",
        "integration.requestId",
        "integration.status",
        "integrationLatency",
        "waf.error",
        "waf.latency",
        "waf.status",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tg_slice format;
        const struct vars_row rows[] = {
            {TG_VAR_CONTEXT, "requestId", "r"}, {TG_VAR_CONTEXT, names[i], "value"}, {0}};
        assert_int_equal(tg_arena_printf(&arena, &format, "$context.requestId $context.%s", names[i]), TG_OK);
        struct tg_slice out = render(format.ptr, rows);
        if (strcmp(names[i], "error.messageString") != 0) {
            assert_true(tg_slice_eq(tg_slice_from(out, out.len > 2 ? 2 : out.len),
                                    strcmp(names[i], "requestId") != 0 ? TG_LIT("value") : TG_LIT("r")));
        }
    }
}

static void refuses_bad_formats(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"",
         "`$context.requestId` or `$context.extendedRequestId` is missing, the format ends at character 1"},
        {"$context.status",
         "`$context.requestId` or `$context.extendedRequestId` is missing, the format ends at character 16"},
        {"$context.requestId $context.requestID",
         "the variable `$context.requestID` does not exist (nearest: `$context.requestId`) at character 20"},
        {"$context.requestId $context.identity.sourceip",
         "the variable `$context.identity.sourceip` does not exist (nearest: `$context.identity.sourceIp`) "
         "at "
         "character 20"},
        {"$context.requestId $context.authorizer.", "the variable `$context.authorizer` does not exist "
                                                    "(nearest: `$context.authorize.error`) at character 20"},
        {"$context.requestId $context. ",
         "the variable `$context.` does not exist (nearest: `$context.path`) at character 20"},
        {"$context.requestId $input.body", "only `$context.NAME` variables can stand here at character 20"},
        {"$context.requestId ${context.stage}",
         "only `$context.NAME` variables can stand here at character 20"},
        {"$context.requestId\n$context.status",
         "a format is one line: line break or control character at character 19"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_accesslog log = {NULL, 77};
        struct tg_slice error = TG_EMPTY;
        assert_int_equal(tg_accesslog_compile(&arena, tg_slice_cstr(rows[i][0]), &log, &error), TG_ESYNTAX);
        assert_string_equal(error.ptr, rows[i][1]);
        assert_int_equal(log.count, 77);
    }
}

static void limits_the_format(void **state)
{
    (void)state;
    char format[TG_ACCESSLOG_FORMAT_MAX + 1] = "$context.requestId";
    struct tg_accesslog log;
    struct tg_slice error = TG_EMPTY;
    memset(format + 18, ' ', sizeof format - 18);
    assert_int_equal(tg_accesslog_compile(&arena, tg_slice_make(format, sizeof format - 1), &log, &error),
                     TG_OK);
    assert_int_equal(tg_accesslog_compile(&arena, tg_slice_make(format, sizeof format), &log, &error),
                     TG_ELIMIT);
    assert_true(error.len > 0);
}

static void reports_a_full_buffer(void **state)
{
    (void)state;
    struct tg_accesslog log;
    struct tg_slice error;
    const struct tg_vars vars = VARS_OF(plain);
    tg_buf_free(&row);
    tg_buf_init(&row, 2);
    assert_int_equal(tg_accesslog_compile(&arena, TG_LIT("$context.requestId"), &log, &error), TG_OK);
    assert_int_equal(tg_accesslog_render(&log, &vars, &arena, &row), TG_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(renders_the_usual_styles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends_names_where_they_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(prints_a_dash_for_unset_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quotes_message_strings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_a_row_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(knows_every_documented_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_formats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_the_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reports_a_full_buffer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
