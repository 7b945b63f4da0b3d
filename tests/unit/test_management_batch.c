/* The batch call of the management API: it says of each connection what a call to it alone would have been
 * told, in the order in which they are named. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/management_batch_world.h"

/* ---- answers ---- */

static void a_message_goes_to_many(void **state)
{
    struct world *world = *state;
    call_batch(world, TO_ALL);
    assert_int_equal(world->body_limit, 1024 + 6 * 174764 + 8 * 48);
    assert_int_equal(fake_batch.started, 1);
    assert_string_equal(fake_batch.slots, "123");
    assert_string_equal(fake_batch.payload, "hello");
    assert_false(fake_batch.request.binary);
    assert_int_equal(fake_batch.request.timeout_ms, 3000);
    assert_true(tg_slice_eq(fake_batch.request.api_id, TG_LIT("chat")));
    assert_int_equal(atomic_load(&world->model.refs), 2);
    assert_int_equal(world->replies, 0);
    batch_ends(all_done);
    assert_answer(world, ALL_DONE);
    assert_int_equal(atomic_load(&series_of(world, "POST /@tidegate/connections")->messages_out), 3);
    assert_int_equal(atomic_load(&series_of(world, "POST /@tidegate/connections")->metered_out), 3);
    assert_int_equal(atomic_load(&series_of(world, "POST /@connections/{connectionId}")->messages_out), 0);
}

static void each_delivery_is_metered(void **state)
{
    static const enum tg_push_outcome outcomes[] = {TG_PUSH_DONE, TG_PUSH_GONE, TG_PUSH_DONE};
    struct world *world = *state;
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_printf(&text,
                                   "{\"connectionIds\":[\"%s\",\"x\",\"%s\",\"%s\"],\"data\":\"%032769d\"}",
                                   ID, TWO, THREE, 0),
                     TG_OK);
    assert_int_equal(tg_buf_append_char(&text, '\0'), TG_OK);
    call_batch(world, tg_buf_slice(&text).ptr);
    batch_ends(outcomes);
    assert_int_equal(atomic_load(&series_of(world, "POST /@tidegate/connections")->messages_out), 2);
    assert_int_equal(atomic_load(&series_of(world, "POST /@tidegate/connections")->metered_out), 4);
    tg_buf_free(&text);
}

static void outcomes_are_merged_in_order(void **state)
{
    static const enum tg_push_outcome outcomes[] = {TG_PUSH_GONE,        TG_PUSH_DONE,   TG_PUSH_BUSY,
                                                    TG_PUSH_UNREACHABLE, TG_PUSH_FAILED, TG_PUSH_DONE};
    static const char *const failed[] = {
        REFUSED("x\\\"\\u0000", "BadRequestException"),
        REFUSED(TWO, "GoneException"),
        REFUSED(ID, "LimitExceededException"),
        REFUSED("", "BadRequestException"),
        REFUSED(BATCH_ID("4"), "ServiceUnavailableException"),
        REFUSED(TWO, "InternalServerErrorException"),
    };
    char expected[1024];
    size_t len = (size_t)snprintf(expected, sizeof expected, "{\"delivered\":2,\"failed\":[");
    for (size_t i = 0; i < sizeof failed / sizeof failed[0]; i++) {
        len += (size_t)snprintf(expected + len, sizeof expected - len, "%s%s", i > 0 ? "," : "", failed[i]);
    }
    (void)snprintf(expected + len, sizeof expected - len, "]}");
    struct world *world = *state;
    call_batch(world, CALL("\"x\\\"\\u0000\",\"" TWO "\",\"" THREE "\",\"" ID
                           "\",\"\",\"" BATCH_ID("4") "\",\"" TWO "\",\"" THREE "\""));
    assert_string_equal(fake_batch.slots, "231423"); /* one that is named twice is sent to twice */
    batch_ends(outcomes);
    assert_answer(world, expected);
    assert_int_equal(atomic_load(&series_of(world, "POST /@tidegate/connections")->messages_out), 2);
    assert_int_equal(atomic_load(&series_of(world, "POST /@tidegate/connections")->throttled), 1);
}

static void nobody_to_send_to_is_an_answer(void **state)
{
    struct world *world = *state;
    call_batch(world, CALL("\"x\",\"y\""));
    assert_answer(world, "{\"delivered\":0,\"failed\":[" REFUSED("x", "BadRequestException") "," REFUSED(
                             "y", "BadRequestException") "]}");
    assert_int_equal(fake_batch.started, 0);
}

static void base64_is_text_or_binary(void **state)
{
#define ENCODED "{\"connectionIds\":[\"" ID "\"],\"data\":\"Yf9i\",\"isBase64Encoded\":true}"
    struct world *world = *state;
    call_batch(world, ENCODED);
    assert_string_equal(fake_batch.payload, "a\xEF\xBF\xBD"
                                            "b");
    assert_false(fake_batch.request.binary);
    batch_ends(all_done);
    world->api.settings.binary_frames = true;
    call_batch(world, ENCODED);
    assert_string_equal(fake_batch.payload, "a\xFF"
                                            "b");
    assert_true(fake_batch.request.binary);
    batch_ends(all_done);
    call_batch(world, TO_ALL);
    assert_false(fake_batch.request.binary);
    batch_ends(all_done);
#undef ENCODED
}

/* ---- the checks ---- */

static void mistakes_are_told(void **state)
{
    struct world *world = *state;
    call_batch(world, "[]");
    assert_error(world, 400, "BadRequestException",
                 "{\"message\":\"The body is not a JSON object: send {\\\"connectionIds\\\": [\\\"ID\\\", "
                 "...], \\\"data\\\": \\\"TEXT\\\"}\"}");
    call_batch(world, CALL("\"a\",3"));
    assert_error(world, 400, "BadRequestException",
                 "{\"message\":\"connectionIds[1] is not a string: write a connection's id in quotes\"}");
    call_batch(world, CALL("1,2,3,4,5,6,7,8,9"));
    assert_error(world, 400, "BadRequestException",
                 "{\"message\":\"connectionIds names 9 connections, and management.batchMaxConnections "
                 "allows 8: make several calls\"}");
    assert_int_equal(fake_batch.started, 0);
}

static void what_is_too_long_is_413(void **state)
{
    struct world *world = *state;
    struct tg_buf text;
    begin_batch(world, "POST", BATCH_PATH, "", NULL);
    finish_body(world, TG_ELIMIT);
    assert_int_equal(world->status, 413);
    assert_string_equal(world->headers, "");
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_printf(&text, "{\"connectionIds\":[\"" ID "\"],\"data\":\"%0131073d\"}", 0),
                     TG_OK);
    assert_int_equal(tg_buf_append_char(&text, '\0'), TG_OK);
    world->model.management.error_type_on_413 = true;
    call_batch(world, tg_buf_slice(&text).ptr);
    assert_int_equal(world->status, 413);
    assert_string_equal(world->text, "");
    assert_string_equal(world->headers, "x-amzn-ErrorType: PayloadTooLargeException\n");
    tg_buf_free(&text);
    assert_int_equal(fake_batch.started, 0);
}

static void checks_come_in_order(void **state)
{
    static const char nowhere[] = "/nope/@tidegate/connections";
    const struct tg_credential wrong = {.access_key_id = TG_LIT("AKIDEXAMPLE"),
                                        .secret_access_key = TG_LIT("no")};
    struct world *world = *state;
    begin_batch(world, "POST", nowhere, "nonsense", NULL);
    finish_body(world, TG_OK);
    assert_error(world, 403, "MissingAuthenticationTokenException",
                 "{\"message\":\"Missing Authentication Token\"}");
    begin_batch(world, "POST", nowhere, "nonsense", &wrong);
    finish_body(world, TG_OK);
    assert_error(world, 403, "ForbiddenException", "{\"message\":\"Forbidden\"}");
    begin_batch(world, "POST", BATCH_PATH, "nonsense", &wrong);
    finish_body(world, TG_OK);
    assert_int_equal(world->status, 403);
    assert_header(world, "x-amzn-ErrorType: InvalidSignatureException\n");
    world->model.throttling = (struct tg_throttling){.rate_limit = 0.001, .burst_limit = 1};
    call_batch(world, TO_ALL); /* one token, however many it names */
    batch_ends(all_done);
    assert_answer(world, ALL_DONE);
    call_batch(world, "nonsense");
    assert_error(world, 429, "LimitExceededException", "{\"message\":\"Limit Exceeded\"}");
    assert_int_equal(atomic_load(&series_of(world, "POST /@tidegate/connections")->throttled), 1);
    world->model.throttling = (struct tg_throttling){.rate_limit = 1000, .burst_limit = 1000};
    /* The body that is signed is that which is read. */
    begin_batch(world, "POST", BATCH_PATH, TO_ALL, &world->credential);
    world->body = TG_LIT(CALL("\"" THREE "\""));
    finish_body(world, TG_OK);
    assert_header(world, "x-amzn-ErrorType: InvalidSignatureException\n");
}

static void the_policy_is_asked_about_each(void **state)
{
#define STATEMENT(effect, resource)                                                                          \
    "{\"Effect\":\"" effect "\",\"Action\":\"execute-api:ManageConnections\",\"Resource\":"                  \
    "\"arn:aws:execute-api:us-east-1:123456789012:chat/" resource "\"}"
#define POLICY(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"
    static const struct {
        const char *policy, *sent, *sent_strictly;
    } rows[] = {
        {POLICY(STATEMENT("Allow", "*")), "123", "123"},
        {POLICY(STATEMENT("Allow", "prod/POST/@connections/{connectionId}")), "123", "123"},
        {POLICY(STATEMENT("Allow", "prod/POST/@connections/" TWO)), "2", ""},
        {POLICY(STATEMENT("Allow", "*") "," STATEMENT("Deny", "prod/POST/@connections/" TWO)), "13", "123"},
        {POLICY(STATEMENT("Allow", "prod/GET/@connections/*")), "", ""},
        {POLICY(STATEMENT("Allow", "prod/POST/@tidegate/connections")), "", ""},
        {POLICY(STATEMENT("Allow", "dev/*")), "", ""},
    };
    struct world *world = *state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        const char *sent = i % 2 == 1 ? rows[i / 2].sent_strictly : rows[i / 2].sent;
        world->model.management.strict_management_arn = i % 2 == 1;
        world->credential.policy = policy_of(world, rows[i / 2].policy);
        memset(&fake_batch, 0, sizeof fake_batch);
        call_batch(world, TO_ALL);
        assert_string_equal(fake_batch.slots, sent);
        if (fake_batch.started > 0) {
            batch_ends(all_done);
        }
        assert_int_equal(world->status, 200);
        assert_int_equal(strstr(world->text, REFUSED(TWO, "AccessDeniedException")) == NULL,
                         strchr(sent, '2') != NULL);
        assert_int_equal(strstr(world->text, REFUSED(ID, "AccessDeniedException")) == NULL,
                         strchr(sent, '1') != NULL);
    }
    world->credential.policy = NULL;
    call_batch(world, CALL("\"x\",\"" ID "\"")); /* the id comes before the policy */
    assert_answer(world, "{\"delivered\":0,\"failed\":[" REFUSED("x", "BadRequestException") "," REFUSED(
                             ID, "AccessDeniedException") "]}");
#undef POLICY
#undef STATEMENT
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_batches, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_goes_to_many),         TEST(each_delivery_is_metered),
        TEST(outcomes_are_merged_in_order),   TEST(nobody_to_send_to_is_an_answer),
        TEST(base64_is_text_or_binary),       TEST(mistakes_are_told),
        TEST(what_is_too_long_is_413),        TEST(checks_come_in_order),
        TEST(the_policy_is_asked_about_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
