#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/fault.h"

#define CONNECTION TG_LIT("eHrdFcnvvHcCE-w=")
#define REQUEST    TG_LIT("eHrjDEuVPHcFWMg=")
#define MESSAGE    TG_LIT("eHrjDfBPvHcCE-w=")

static void assert_frame(enum tg_fault fault, const char *expected)
{
    struct tg_arena arena;
    struct tg_slice frame;
    tg_arena_init(&arena, NULL);
    assert_int_equal(tg_fault_frame(&arena, fault, CONNECTION, REQUEST, MESSAGE, &frame), TG_OK);
    assert_string_equal(frame.ptr, expected);
    assert_int_equal(frame.len, strlen(expected));
    tg_arena_reset(&arena);
}

/* Spec 1.13: the first two were recorded so, the third is documented so. */
static void frames_are_those_of_the_native_service(void **state)
{
    (void)state;
    assert_frame(TG_FAULT_NO_ROUTE, "{\"message\": \"Forbidden\", \"connectionId\":\"eHrdFcnvvHcCE-w=\", "
                                    "\"requestId\":\"eHrjDEuVPHcFWMg=\"}");
    assert_frame(TG_FAULT_INTEGRATION,
                 "{\"message\": \"Internal server error\", \"connectionId\":\"eHrdFcnvvHcCE-w=\", "
                 "\"requestId\":\"eHrjDEuVPHcFWMg=\"}");
    assert_frame(TG_FAULT_BAD_BODY,
                 "{\"message\" : \"Bad request body\", \"connectionId\": \"eHrdFcnvvHcCE-w=\", "
                 "\"messageId\": \"eHrjDfBPvHcCE-w=\"}");
}

static void frames_say_what_happened(void **state)
{
    static const struct {
        enum tg_fault fault;
        const char *message;
    } rows[] = {
        {TG_FAULT_CONFIGURATION, "Internal server error"}, {TG_FAULT_INTERNAL, "Internal server error"},
        {TG_FAULT_TIMEOUT, "Endpoint request timed out"},  {TG_FAULT_THROTTLED, "Too Many Requests"},
        {TG_FAULT_MEDIA_TYPE, "Unsupported Media Type"},
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_slice expected;
        assert_int_equal(tg_arena_printf(&arena, &expected,
                                         "{\"message\": \"%s\", \"connectionId\":\"eHrdFcnvvHcCE-w=\", "
                                         "\"requestId\":\"eHrjDEuVPHcFWMg=\"}",
                                         rows[i].message),
                         TG_OK);
        assert_frame(rows[i].fault, expected.ptr);
    }
    tg_arena_reset(&arena);
}

static void bodies_of_refused_handshakes(void **state)
{
    struct tg_arena arena;
    struct tg_slice body;
    (void)state;
    tg_arena_init(&arena, NULL);
    assert_int_equal(tg_fault_body(&arena, TG_FAULT_UNAUTHORIZED, CONNECTION, REQUEST, &body), TG_OK);
    assert_string_equal(body.ptr, "{\"message\":\"Unauthorized\",\"connectionId\":\"eHrdFcnvvHcCE-w=\","
                                  "\"requestId\":\"eHrjDEuVPHcFWMg=\"}");
    assert_int_equal(tg_fault_body(&arena, TG_FAULT_AUTHORIZER_RESULT, CONNECTION, REQUEST, &body), TG_OK);
    assert_string_equal(body.ptr, "{\"message\":\"\",\"connectionId\":\"eHrdFcnvvHcCE-w=\","
                                  "\"requestId\":\"eHrjDEuVPHcFWMg=\"}");
    tg_arena_reset(&arena);
}

/* Spec 1.2, 1.13 (names of the gateway-response catalogue), 7.5. */
static void statuses_and_response_types(void **state)
{
    static const struct {
        enum tg_fault fault;
        int status;
        const char *type, *message;
    } rows[] = {
        {TG_FAULT_NO_ROUTE, 403, "ACCESS_DENIED", "Forbidden"},
        {TG_FAULT_NO_STAGE, 403, "ACCESS_DENIED", "Forbidden"},
        {TG_FAULT_INTEGRATION, 502, "INTEGRATION_FAILURE", "Internal server error"},
        {TG_FAULT_TIMEOUT, 504, "INTEGRATION_TIMEOUT", "Endpoint request timed out"},
        {TG_FAULT_CONFIGURATION, 500, "API_CONFIGURATION_ERROR", "Internal server error"},
        {TG_FAULT_BAD_PARAMETERS, 400, "BAD_REQUEST_PARAMETERS", "Bad Request"},
        {TG_FAULT_BAD_BODY, 400, "BAD_REQUEST_BODY", "Bad request body"},
        {TG_FAULT_THROTTLED, 429, "THROTTLED", "Too Many Requests"},
        {TG_FAULT_UNAUTHORIZED, 401, "UNAUTHORIZED", "Unauthorized"},
        {TG_FAULT_DENIED_EXPLICIT, 403, "ACCESS_DENIED",
         "User is not authorized to access this resource with an explicit deny in an identity-based policy"},
        {TG_FAULT_DENIED, 403, "ACCESS_DENIED", "User is not authorized to access this resource"},
        {TG_FAULT_AUTHORIZER, 500, "AUTHORIZER_FAILURE", "Internal server error"},
        {TG_FAULT_AUTHORIZER_RESULT, 500, "AUTHORIZER_CONFIGURATION_ERROR", ""},
        {TG_FAULT_SIGNATURE_MISSING, 403, "MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token"},
        {TG_FAULT_FORBIDDEN, 403, "ACCESS_DENIED", "Forbidden"},
        {TG_FAULT_API_KEY, 403, "INVALID_API_KEY", "Forbidden"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(tg_fault_status(rows[i].fault), rows[i].status);
        assert_string_equal(tg_fault_response_type(rows[i].fault).ptr, rows[i].type);
        assert_string_equal(tg_fault_message(rows[i].fault).ptr, rows[i].message);
    }
    assert_int_equal(tg_fault_status(TG_FAULT_SIGNATURE), 403);
    assert_true(tg_slice_starts(tg_fault_message(TG_FAULT_SIGNATURE),
                                TG_LIT("The request signature we calculated does not match")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_those_of_the_native_service),
        cmocka_unit_test(frames_say_what_happened),
        cmocka_unit_test(bodies_of_refused_handshakes),
        cmocka_unit_test(statuses_and_response_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
