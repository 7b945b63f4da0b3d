/* The order in which the management API checks a call. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/management_world.h"

/* ---- the order of checks ---- */

static void the_size_comes_first(void **state)
{
    struct world *world = *state;
    begin(world, "POST", "/nope/@connections/nonsense", "", NULL);
    finish_body(world, TG_ELIMIT);
    assert_int_equal(world->status, 413);
    assert_string_equal(world->text, "");
    assert_string_equal(world->headers, "");
    world->model.management.error_type_on_413 = true;
    begin(world, "POST", PATH, "", &world->credential);
    finish_body(world, TG_ELIMIT);
    assert_int_equal(world->status, 413);
    assert_string_equal(world->text, "");
    assert_string_equal(world->headers, "x-amzn-ErrorType: PayloadTooLargeException\n");
    assert_int_equal(fake.started, 0);
}

static void unsigned_callers_learn_nothing(void **state)
{
    struct world *world = *state;
    static const char *const paths[] = {PATH, "/prod/@connections/nonsense", "/nope/@connections/nonsense"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        call(world, "POST", paths[i], "x", NULL);
        assert_error(world, 403, "MissingAuthenticationTokenException",
                     "{\"message\":\"Missing Authentication Token\"}");
    }
    assert_int_equal(fake.started, 0);
}

static void malformed_ids_come_before_permission(void **state)
{
    struct world *world = *state;
    world->credential.policy = NULL;
    call(world, "POST", "/prod/@connections/non%22sense%00", "x", &world->credential);
    assert_error(world, 400, "BadRequestException", "{\"message\":\"Invalid connectionId: non\\\"sense\"}");
    call(world, "POST", "/nope/@connections/x", "x", &world->credential);
    assert_error(world, 400, "BadRequestException", "{\"message\":\"Invalid connectionId: x\"}");
}

static void stages_come_before_signatures(void **state)
{
    struct world *world = *state;
    struct tg_credential other = {.access_key_id = TG_LIT("AKIDEXAMPLE"), .secret_access_key = TG_LIT("no")};
    call(world, "POST", "/nope/@connections/" ID, "x", &other);
    assert_error(world, 403, "ForbiddenException", "{\"message\":\"Forbidden\"}");
    call(world, "POST", PATH, "x", &other);
    assert_int_equal(world->status, 403);
    assert_header(world, "x-amzn-ErrorType: InvalidSignatureException\n");
    assert_non_null(strstr(world->text, "{\"message\":\"The request signature we calculated does not match"));
    other.access_key_id = TG_LIT("NOBODY");
    call(world, "POST", PATH, "x", &other);
    assert_int_equal(world->status, 403);
    assert_header(world, "x-amzn-ErrorType: UnrecognizedClientException\n");
    assert_int_equal(fake.started, 0);
}

static void any_stage_of_the_api_serves(void **state)
{
    struct world *world = *state;
    call(world, "POST", "/dev/@connections/" ID, "x", &world->credential);
    assert_int_equal(fake.started, 1);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
}

static void policies_are_asked_about_the_placeholder(void **state)
{
#define POLICY(resource)                                                                                     \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"                           \
    "\"execute-api:ManageConnections\",\"Resource\":\"arn:aws:execute-api:us-east-1:123456789012:"           \
    "chat/" resource "\"}]}"
    static const struct {
        const char *policy;
        bool allowed, allowed_strictly;
    } rows[] = {
        {POLICY("prod/POST/@connections/*"), true, true},
        {POLICY("*"), true, true},
        {POLICY("prod/POST/@connections/{connectionId}"), true, true},
        {POLICY("prod/POST/@connections/" ID), true, false},
        {POLICY("prod/POST/@connections"), false, false},
        {POLICY("prod/GET/@connections/*"), false, false},
        {POLICY("dev/*"), false, false},
    };
#undef POLICY
    struct world *world = *state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        bool strict = i % 2 == 1;
        bool expected = strict ? rows[i / 2].allowed_strictly : rows[i / 2].allowed;
        world->model.management.strict_management_arn = strict;
        world->credential.policy = policy_of(world, rows[i / 2].policy);
        call(world, "POST", PATH, "x", &world->credential);
        if (expected) {
            push_ends(TG_PUSH_DONE, NULL);
        }
        if (world->status != (expected ? 200 : 403)) {
            fail_msg("%s: %d", rows[i / 2].policy, world->status);
        }
    }
}

static void refusals_by_policy_say_why(void **state)
{
#define REFUSED                                                                                              \
    "{\"Message\":\"User: arn:aws:iam::123456789012:user/app is not authorized to perform: "                 \
    "execute-api:ManageConnections on resource: arn:aws:execute-api:us-east-1:********9012:chat/prod/POST/"  \
    "@connections/{connectionId} "
    struct world *world = *state;
    world->credential.policy = NULL;
    call(world, "POST", PATH, "x", &world->credential);
    assert_error(world, 403, "AccessDeniedException",
                 REFUSED "because no session policy allows the execute-api:ManageConnections action\"}");
    world->credential.policy = policy_of(
        world, "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\","
               "\"Resource\":\"*\"},{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":"
               "{\"IpAddress\":{\"aws:SourceIp\":\"203.0.113.0/24\"}}}]}");
    call(world, "POST", PATH, "x", &world->credential);
    assert_error(world, 403, "AccessDeniedException", REFUSED "with an explicit deny in a session policy\"}");
#undef REFUSED
    assert_int_equal(fake.started, 0);
}

static void the_account_limit_refuses(void **state)
{
    struct world *world = *state;
    world->model.throttling = (struct tg_throttling){.rate_limit = 0.001, .burst_limit = 1};
    call(world, "POST", PATH, "x", &world->credential);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
    call(world, "POST", PATH, "x", &world->credential);
    assert_error(world, 429, "LimitExceededException", "{\"message\":\"Limit Exceeded\"}");
    /* Callers that were not let in draw nothing. */
    call(world, "POST", PATH, "x", NULL);
    assert_int_equal(world->status, 403);
}

static void without_auth_nobody_is_asked(void **state)
{
    struct world *world = *state;
    world->model.management.auth = TG_MANAGEMENT_NONE;
    call(world, "POST", PATH, "x", NULL);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
    call(world, "POST", "/prod/@connections/x", "x", NULL);
    assert_int_equal(world->status, 400);
}

static void signing_keys_are_kept(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 3; i++) {
        call(world, "POST", PATH, "x", &world->credential);
        push_ends(TG_PUSH_DONE, NULL);
    }
    assert_int_equal(world->engine.signing_keys.misses, 1);
    assert_int_equal(world->engine.signing_keys.hits, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_size_comes_first),
        TEST(unsigned_callers_learn_nothing),
        TEST(malformed_ids_come_before_permission),
        TEST(stages_come_before_signatures),
        TEST(any_stage_of_the_api_serves),
        TEST(policies_are_asked_about_the_placeholder),
        TEST(refusals_by_policy_say_why),
        TEST(the_account_limit_refuses),
        TEST(without_auth_nobody_is_asked),
        TEST(signing_keys_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
