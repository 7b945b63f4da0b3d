#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "routes/lambda.h"
#include "routes/stagevars.h"
#include "routes/target.h"
#include "tests/unit/request_world.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

/* ---- proxy results (spec 2.3) ---- */

static void results_are_read(void **state)
{
    static const struct {
        const char *payload;
        int status;
        const char *body, *headers; /* `name=value;` each */
    } rows[] = {
        {"{\"statusCode\":200}", 200, "", ""},
        {"{\"statusCode\":\"204\"}", 204, "", ""},
        {" {\"statusCode\": 500, \"body\": \"oops\"} ", 500, "oops", ""},
        {"{\"statusCode\":200,\"body\":null,\"headers\":null,\"multiValueHeaders\":null}", 200, "", ""},
        {"{\"statusCode\":200,\"body\":\"\"}", 200, "", ""},
        {"{\"statusCode\":200,\"body\":\"{\\\"a\\\":1}\",\"isBase64Encoded\":false}", 200, "{\"a\":1}", ""},
        {"{\"statusCode\":200,\"body\":\"aGVsbG8=\",\"isBase64Encoded\":true}", 200, "hello", ""},
        {"{\"statusCode\":200,\"body\":\"\",\"isBase64Encoded\":true}", 200, "", ""},
        {"{\"statusCode\":200,\"headers\":{\"Sec-WebSocket-Protocol\":\"chat.v1\",\"X-N\":1,\"X-B\":true}}",
         200, "", "Sec-WebSocket-Protocol=chat.v1;X-N=1;X-B=true;"},
        {"{\"statusCode\":200,\"headers\":{\"A\":\"1\",\"a\":\"2\"}}", 200, "", "a=2;"},
        {"{\"statusCode\":200,\"headers\":{\"A\":null,\"B\":{},\"C\":[\"x\"]}}", 200, "", ""},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"Set-Cookie\":[\"a=1\",\"b=2\"]}}", 200, "",
         "Set-Cookie=a=1;Set-Cookie=b=2;"},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"A\":[\"m\"]},\"headers\":{\"a\":\"s\",\"B\":\"s\"}}",
         200, "", "B=s;A=m;"},
        {"{\"statusCode\":200,\"statusCode\":201}", 201, "", ""},
        {"{\"statusCode\":200,\"more\":{\"anything\":[1]}}", 200, "", ""},
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_answer answer;
        struct tg_slice detail;
        char headers[256] = "";
        size_t len = 0;
        if (tg_lambda_read_result(&arena, tg_slice_cstr(rows[i].payload), &answer, &detail) != TG_OK) {
            fail_msg("%s: %.*s", rows[i].payload, TG_FMT(detail));
        }
        assert_int_equal(answer.status, rows[i].status);
        assert_true(tg_slice_eq(answer.body, tg_slice_cstr(rows[i].body)));
        for (size_t j = 0; j < answer.headers.count; j++) {
            len +=
                (size_t)snprintf(headers + len, sizeof headers - len, "%.*s=%.*s;",
                                 TG_FMT(answer.headers.items[j].name), TG_FMT(answer.headers.items[j].value));
        }
        assert_string_equal(headers, rows[i].headers);
    }
    tg_arena_reset(&arena);
}

static void malformed_results_are_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "null",
        "undefined",
        "\"text\"",
        "[]",
        "200",
        "{}",
        "{\"statusCode\":null}",
        "{\"statusCode\":true}",
        "{\"statusCode\":200.5}",
        "{\"statusCode\":200.0}",
        "{\"statusCode\":\"\"}",
        "{\"statusCode\":\"2e2\"}",
        "{\"statusCode\":\"-200\"}",
        "{\"statusCode\":-200}",
        "{\"statusCode\":0}",
        "{\"statusCode\":99}",
        "{\"statusCode\":1000}",
        "{\"statusCode\":4294967496}",
        "{\"statusCode\":200,\"body\":1}",
        "{\"statusCode\":200,\"body\":{}}",
        "{\"statusCode\":200,\"body\":[]}",
        "{\"statusCode\":200,\"body\":true}",
        "{\"statusCode\":200,\"headers\":[]}",
        "{\"statusCode\":200,\"headers\":\"x\"}",
        "{\"statusCode\":200,\"multiValueHeaders\":7}",
        "{\"statusCode\":200,\"body\":\"!\",\"isBase64Encoded\":true}",
        "{\"statusCode\":200} x",
        "{statusCode:200}",
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_answer answer;
        struct tg_slice detail = TG_EMPTY;
        if (tg_lambda_read_result(&arena, tg_slice_cstr(rows[i]), &answer, &detail) != TG_ESYNTAX ||
            detail.len == 0) {
            fail_msg("%s", rows[i]);
        }
    }
    tg_arena_reset(&arena);
}

/* ---- invocations ---- */

static struct {
    int calls, cancelled;
    enum tg_err result;
    struct tg_call_request request;
    tg_fetched_fn *done;
    void *arg;
} upstream;

enum tg_err tg_upstream_fetch(struct tg_upstream *unused, const struct tg_call_request *request,
                              struct tg_arena *arena, tg_fetched_fn *done, void *arg, struct tg_call **out)
{
    (void)unused;
    (void)arena;
    upstream.calls++;
    upstream.request = *request;
    upstream.done = done;
    upstream.arg = arg;
    if (upstream.result == TG_OK) {
        *out = (struct tg_call *)(void *)&upstream;
    }
    return upstream.result;
}

void tg_call_cancel(struct tg_call *call)
{
    assert_ptr_equal(call, &upstream);
    upstream.cancelled++;
}

static struct {
    int count;
    enum tg_lambda_outcome outcome;
    char payload[64];
} seen;

static void on_done(struct tg_request *request, enum tg_lambda_outcome outcome, struct tg_slice payload)
{
    assert_null(request->cancel);
    seen.count++;
    seen.outcome = outcome;
    (void)snprintf(seen.payload, sizeof seen.payload, "%.*s", TG_FMT(payload));
}

struct fixture {
    struct request_world *world;
    struct tg_function function;
    struct tg_string_pair alias;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    memset(&upstream, 0, sizeof upstream);
    memset(&seen, 0, sizeof seen);
    struct request_world *world = request_world_new();
    fixture->world = world;
    struct tg_slice error;
    fixture->function.name = TG_LIT("chat");
    assert_int_equal(tg_target_compile(&world->arena, TG_LIT("http://127.0.0.1:3001/base/"),
                                       &fixture->function.target, &error),
                     TG_OK);
    tg_map_init(&world->model.function_map, 0);
    assert_int_equal(tg_map_add(&world->model.function_map, TG_LIT("chat"), &fixture->function), TG_OK);
    fixture->alias = (struct tg_string_pair){TG_LIT("fn"), TG_LIT("chat:live 1")};
    world->stage.stage_variables = (struct tg_string_map){&fixture->alias, 1};
    request_world_begin(world, TG_REQUEST_CONNECT);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    request_world_free(fixture->world);
    free(fixture);
    return 0;
}

static void invoke(struct fixture *fixture, const char *name)
{
    struct tg_stagevars *text = tg_arena_alloc(&fixture->world->arena, sizeof *text);
    struct tg_slice error;
    assert_non_null(text);
    assert_int_equal(tg_stagevars_compile(&fixture->world->arena, tg_slice_cstr(name), text, &error), TG_OK);
    assert_int_equal(tg_lambda_invoke(fixture->world->request, text, TG_LIT("{\"x\":1}"), 500, on_done),
                     TG_OK);
    assert_int_equal(seen.count, 0); /* never from inside the start */
    assert_non_null(fixture->world->request->cancel);
}

static void the_invocation_is_that_of_the_api(void **state)
{
    static const char *const fields[][2] = {
        {"Host", "127.0.0.1:3001"},
        {"User-Agent", "AmazonAPIGateway_a1b2c3d4e5"},
        {"x-amzn-apigateway-api-id", "a1b2c3d4e5"},
        {"X-Amz-Invocation-Type", "RequestResponse"},
        {"X-Amz-Source-Arn", "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/$connect"},
        {"Content-Type", "application/json"},
        {"X-Amzn-Trace-Id", "Root=1-695735a5-0123456789abcdef01234567"},
    };
    struct fixture *fixture = *state;
    invoke(fixture, "chat");
    const struct tg_call_request *call = &upstream.request;
    assert_true(tg_slice_eq(call->method, TG_LIT("POST")));
    assert_true(tg_slice_eq(call->target, TG_LIT("/base/2015-03-31/functions/chat/invocations")));
    assert_true(tg_slice_eq(call->origin.host, TG_LIT("127.0.0.1")));
    assert_int_equal(call->origin.port, 3001);
    assert_true(tg_slice_eq(call->body, TG_LIT("{\"x\":1}")));
    assert_int_equal(call->timeout_ms, 500);
    assert_false(call->replayable);
    for (size_t i = 0; i < COUNT(fields); i++) {
        const struct tg_header *field = tg_headers_first(&call->headers, tg_slice_cstr(fields[i][0]));
        assert_non_null(field);
        assert_true(tg_slice_eq(field->value, tg_slice_cstr(fields[i][1])));
    }
}

static void names_may_be_variables_and_have_a_qualifier(void **state)
{
    struct fixture *fixture = *state;
    invoke(fixture, "${stageVariables.fn}");
    assert_true(tg_slice_eq(upstream.request.target,
                            TG_LIT("/base/2015-03-31/functions/chat/invocations?Qualifier=live%201")));
    fixture->world->request->cancel(fixture->world->request);
    fixture->function.invoke_name = TG_LIT("other name");
    invoke(fixture, "chat");
    assert_true(
        tg_slice_eq(upstream.request.target, TG_LIT("/base/2015-03-31/functions/other%20name/invocations")));
}

static void outcomes(void **state)
{
    static const struct {
        enum tg_err err;
        int status;
        bool error_field;
        enum tg_lambda_outcome outcome;
    } rows[] = {
        {TG_OK, 200, false, TG_LAMBDA_OK},
        {TG_OK, 200, true, TG_LAMBDA_FUNCTION_ERROR},
        {TG_OK, 202, false, TG_LAMBDA_OK},
        {TG_OK, 403, false, TG_LAMBDA_NO_FUNCTION},
        {TG_OK, 404, false, TG_LAMBDA_NO_FUNCTION},
        {TG_OK, 429, false, TG_LAMBDA_UNREACHABLE},
        {TG_OK, 500, false, TG_LAMBDA_UNREACHABLE},
        {TG_OK, 500, true, TG_LAMBDA_UNREACHABLE},
        {TG_OK, 302, false, TG_LAMBDA_UNREACHABLE},
        {TG_ETIMEOUT, 0, false, TG_LAMBDA_TIMEOUT},
        {TG_EREFUSED, 0, false, TG_LAMBDA_UNREACHABLE},
        {TG_ECLOSED, 0, false, TG_LAMBDA_UNREACHABLE},
        {TG_ELIMIT, 0, false, TG_LAMBDA_UNREACHABLE},
    };
    struct fixture *fixture = *state;
    static struct tg_header error_field = {TG_LIT_INIT("x-amz-function-error"), TG_LIT_INIT("Unhandled")};
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct tg_call_response response = {
            .status = rows[i].status,
            .headers = {&error_field, rows[i].error_field ? 1 : 0, 1},
            .body = TG_LIT("body"),
        };
        seen.count = 0;
        invoke(fixture, "chat");
        upstream.done(upstream.arg, rows[i].err, rows[i].err == TG_OK ? &response : NULL);
        assert_int_equal(seen.count, 1);
        if (seen.outcome != rows[i].outcome) {
            fail_msg("row %zu: %d", i, (int)seen.outcome);
        }
        if (seen.outcome == TG_LAMBDA_OK || seen.outcome == TG_LAMBDA_FUNCTION_ERROR) {
            assert_string_equal(seen.payload, "body");
        } else if (seen.outcome == TG_LAMBDA_UNREACHABLE && rows[i].err != TG_OK) {
            assert_string_equal(seen.payload, tg_err_text(rows[i].err));
        } else if (seen.outcome == TG_LAMBDA_UNREACHABLE) { /* not the body: it would stand in the log */
            assert_string_equal(seen.payload, "the function's runtime answered with an error status");
        }
    }
}

static void what_is_known_at_once_is_told_later(void **state)
{
    struct fixture *fixture = *state;
    invoke(fixture, "nobody");
    tg_loop_run_once(fixture->world->engine.loop);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.outcome, TG_LAMBDA_NO_FUNCTION);
    assert_int_equal(upstream.calls, 0);
    seen.count = 0;
    invoke(fixture, "${stageVariables.missing}");
    tg_loop_run_once(fixture->world->engine.loop);
    assert_int_equal(seen.outcome, TG_LAMBDA_NO_FUNCTION);
    seen.count = 0;
    upstream.result = TG_EBUSY;
    invoke(fixture, "chat");
    tg_loop_run_once(fixture->world->engine.loop);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.outcome, TG_LAMBDA_UNREACHABLE);
    assert_string_equal(seen.payload, tg_err_text(TG_EBUSY));
}

static void after_a_cancel_nothing_comes(void **state)
{
    struct fixture *fixture = *state;
    invoke(fixture, "chat");
    fixture->world->request->cancel(fixture->world->request);
    assert_int_equal(upstream.cancelled, 1);
    assert_null(fixture->world->request->cancel);
    invoke(fixture, "nobody");
    fixture->world->request->cancel(fixture->world->request);
    assert_int_equal(upstream.cancelled, 1);
    tg_loop_run_once(fixture->world->engine.loop);
    assert_int_equal(seen.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_read),
        cmocka_unit_test(malformed_results_are_refused),
        TEST(the_invocation_is_that_of_the_api),
        TEST(names_may_be_variables_and_have_a_qualifier),
        TEST(outcomes),
        TEST(what_is_known_at_once_is_told_later),
        TEST(after_a_cancel_nothing_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
