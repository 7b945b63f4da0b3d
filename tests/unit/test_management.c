/* The management API: matching, answers, aborts, the access log. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/management_world.h"

/* ---- matching ---- */

static void paths_are_told_apart(void **state)
{
    static const struct {
        const char *path;
        bool at_root, taken;
        const char *stage, *id;
    } rows[] = {
        {"/prod/@connections/abc", false, true, "prod", "abc"},
        {"/prod/%40connections/a%3D", false, true, "prod", "a%3D"},
        {"/prod/@connections/", false, true, "prod", ""},
        {"/prod/@connections", false, true, "prod", ""},
        {"/prod/@connections/a/b", false, true, "prod", "a/b"},
        {"/prod/prod/@connections/abc", false, true, "prod/prod", "abc"},
        {"/@connections/abc", false, false, "", ""},
        {"/@connections/abc", true, true, "", "abc"},
        {"/prod/@connections/abc", true, true, "prod", "abc"},
        {"//@connections/abc", true, false, "", ""},
        {"//@connections/abc", false, false, "", ""},
        {"/prod", false, false, "", ""},
        {"/prod/", false, false, "", ""},
        {"/", true, false, "", ""},
        {"*", true, false, "", ""},
        {"", true, false, "", ""},
        {"/prod/@connectionsx/abc", false, false, "", ""},
        {"/prod/x@connections/abc", false, false, "", ""},
        {"/prod/%2540connections/abc", false, false, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_api api = {.settings.serve_at_root = rows[i].at_root};
        struct tg_slice stage = TG_LIT("?"), id = TG_LIT("?");
        bool taken = tg_management_match(&api, tg_slice_cstr(rows[i].path), &stage, &id);
        if (taken != rows[i].taken) {
            fail_msg("%s", rows[i].path);
        }
        if (taken) {
            assert_true(tg_slice_eq(stage, tg_slice_cstr(rows[i].stage)));
            assert_true(tg_slice_eq(id, tg_slice_cstr(rows[i].id)));
        }
    }
}

static void wrong_shapes_are_not_found(void **state)
{
    static const char *const rows[][3] = {
        {"POST", "/prod/prod/@connections/" ID, "prod/@connections/" ID},
        {"POST", "/prod/@connections", "@connections"},
        {"POST", "/prod/@connections/", "@connections/"},
        {"GET", "/prod/@connections/a/b", "@connections/a/b"},
        {"PUT", PATH, "@connections/AAECAwQFBgcICQoLDA%3D%3D"},
        {"post", PATH, "@connections/AAECAwQFBgcICQoLDA%3D%3D"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        begin(world, rows[i][0], rows[i][1], "", &world->credential);
        (void)snprintf(text, sizeof text,
                       "{\"message\":\"No method found matching route %s for http method %s\"}", rows[i][2],
                       rows[i][0]);
        assert_error(world, 404, "NotFoundException", text);
    }
    assert_int_equal(fake.started, 0);
}

/* ---- answers ---- */

static void post_delivers(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "hello", &world->credential);
    assert_int_equal(world->replies, 0);
    assert_int_equal(world->body_limit, 131072);
    assert_int_equal(fake.started, 1);
    assert_int_equal(fake.request.verb, TG_PUSH_POST);
    assert_string_equal(fake.id, ID);
    assert_string_equal(fake.payload, "hello");
    assert_false(fake.request.binary);
    assert_int_equal(fake.request.timeout_ms, 3000);
    assert_int_equal(atomic_load(&world->model.refs), 2);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
    assert_string_equal(world->text, "");
    assert_header(world, "x-amzn-RequestId: ");
    assert_header(world, "x-amz-apigw-id: ");
    assert_header(world, "X-Amzn-Trace-Id: Root=1-");
    assert_header(world, "Content-Type: application/json\n");
    assert_null(strstr(world->headers, "ErrorType"));
    struct tg_route_metrics *series = tg_metrics_series(world->engine.metrics, TG_LIT("chat"), TG_LIT("prod"),
                                                        TG_LIT("POST /@connections/{connectionId}"));
    assert_int_equal(atomic_load(&series->messages_out), 1);
    assert_int_equal(atomic_load(&series->metered_out), 1);
}

static void the_request_id_is_a_uuid(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "x", &world->credential);
    push_ends(TG_PUSH_DONE, NULL);
    const char *id = strstr(world->headers, "x-amzn-RequestId: ") + strlen("x-amzn-RequestId: ");
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        assert_true(dash ? id[i] == '-' : strchr("0123456789abcdef", id[i]) != NULL);
    }
    assert_int_equal(id[36], '\n');
    assert_int_equal(id[14], '4');
}

static void get_prints_as_recorded(void **state)
{
    struct world *world = *state;
    const struct tg_push_info info = {
        .source_ip = TG_LIT("203.0.113.9"),
        .user_agent = TG_LIT("Mozilla \"5\""),
        .connected_at_ms = 1767323045123,
        .last_active_ms = 1767323049456,
    };
    call(world, "GET", PATH, "", &world->credential);
    assert_int_equal(fake.request.verb, TG_PUSH_GET);
    push_ends(TG_PUSH_DONE, &info);
    assert_int_equal(world->status, 200);
    assert_string_equal(world->text, "{\n"
                                     "  \"identity\" : {\n"
                                     "    \"sourceIp\" : \"203.0.113.9\",\n"
                                     "    \"userAgent\" : \"Mozilla \\\"5\\\"\"\n"
                                     "  },\n"
                                     "  \"connectedAt\" : \"2026-01-02T03:04:05.123Z\",\n"
                                     "  \"lastActiveAt\" : \"2026-01-02T03:04:09.456Z\"\n"
                                     "}");
}

static void get_without_agent_prints_an_empty_string(void **state)
{
    struct world *world = *state;
    const struct tg_push_info info = {.source_ip = TG_LIT("::1")};
    call(world, "GET", PATH, "", &world->credential);
    push_ends(TG_PUSH_DONE, &info);
    assert_non_null(strstr(world->text, "\"userAgent\" : \"\"\n"));
}

static void delete_closes_normally(void **state)
{
    struct world *world = *state;
    call(world, "DELETE", PATH, "", &world->credential);
    assert_int_equal(fake.request.verb, TG_PUSH_DELETE);
    assert_int_equal(fake.request.close_code, 1000);
    assert_true(tg_slice_eq(fake.request.close_reason, TG_LIT("Connection Closed Normally")));
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 204);
    assert_string_equal(world->text, "");
}

static void outcomes_become_errors(void **state)
{
    static const struct {
        enum tg_push_outcome outcome;
        int status;
        const char *type, *text;
    } rows[] = {
        {TG_PUSH_GONE, 410, "GoneException", ""},
        {TG_PUSH_BUSY, 429, "LimitExceededException", "{\"message\":\"Limit Exceeded\"}"},
        {TG_PUSH_UNREACHABLE, 503, "ServiceUnavailableException", "{\"message\":\"Service Unavailable\"}"},
        {TG_PUSH_FAILED, 500, "InternalServerErrorException", "{\"message\":\"Internal server error\"}"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        call(world, "POST", PATH, "x", &world->credential);
        push_ends(rows[i].outcome, NULL);
        assert_error(world, rows[i].status, rows[i].type, rows[i].text);
    }
}

static void bodies_become_text_or_binary(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH,
         "a\xFF"
         "b",
         &world->credential);
    assert_string_equal(fake.payload, "a\xEF\xBF\xBD"
                                      "b");
    push_ends(TG_PUSH_DONE, NULL);
    call(world, "POST", PATH, "", &world->credential);
    assert_int_equal(fake.payload_len, 0);
    push_ends(TG_PUSH_DONE, NULL);
    for (int binary_frames = 0; binary_frames < 2; binary_frames++) {
        world->api.settings.binary_frames = binary_frames;
        world->model.management.auth = TG_MANAGEMENT_NONE;
        begin(world, "POST", PATH, "\xFF", NULL);
        finish_body(world, TG_OK);
        assert_false(fake.request.binary); /* without that Content-Type */
        push_ends(TG_PUSH_DONE, NULL);
    }
}

static struct world *typed(struct world *world, const char *type)
{
    struct tg_slice stage, id;
    begin(world, "POST", PATH, "\xFF", NULL);
    finish_body(world, TG_OK);
    push_ends(TG_PUSH_DONE, NULL);
    tg_arena_init(&world->request_arena, NULL);
    world->exchange.headers = (struct tg_headers){0};
    assert_int_equal(tg_headers_add(&world->exchange.headers, world->exchange.arena, TG_LIT("Content-Type"),
                                    tg_slice_cstr(type)),
                     TG_OK);
    assert_true(tg_management_match(&world->api, world->exchange.path, &stage, &id));
    struct tg_call_lane lane = tg_management_lane(&world->api, stage);
    tg_management_serve(&world->engine, &lane, id, &world->exchange);
    finish_body(world, TG_OK);
    return world;
}

static void octets_are_binary_where_allowed(void **state)
{
    struct world *world = *state;
    world->model.management.auth = TG_MANAGEMENT_NONE;
    typed(world, "application/octet-stream");
    assert_false(fake.request.binary);
    push_ends(TG_PUSH_DONE, NULL);
    world->api.settings.binary_frames = true;
    typed(world, "Application/Octet-Stream; x=y");
    assert_true(fake.request.binary);
    assert_string_equal(fake.payload, "\xFF");
    push_ends(TG_PUSH_DONE, NULL);
    typed(world, "text/plain");
    assert_false(fake.request.binary);
    push_ends(TG_PUSH_DONE, NULL);
}

/* ---- the end ---- */

static void a_client_that_leaves_cancels(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "x", &world->credential);
    world->exchange.on_abort(world->exchange.abort_arg);
    assert_int_equal(fake.cancelled, 1);
    assert_int_equal(world->replies, 0);
    tg_loop_run_once(world->engine.loop);
    assert_int_equal(world->replies, 1);
}

static void a_client_that_leaves_early_starts_nothing(void **state)
{
    struct world *world = *state;
    begin(world, "POST", PATH, "x", &world->credential);
    world->exchange.on_abort(world->exchange.abort_arg);
    finish_body(world, TG_OK);
    assert_int_equal(fake.started, 0);
    assert_int_equal(world->replies, 1);
    begin(world, "POST", PATH, "x", &world->credential);
    finish_body(world, TG_ECLOSED);
    assert_int_equal(world->replies, 1);
}

static void an_abort_answers_what_is_pending(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "x", &world->credential);
    tg_management_abort(&world->engine);
    assert_int_equal(fake.cancelled, 1);
    assert_int_equal(world->status, 503);
}

static void a_reload_in_flight_is_survived(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "x", &world->credential);
    world->engine.model = NULL;
    tg_model_unref(&world->model);
    assert_int_equal(world->destroyed, 0);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
    assert_int_equal(world->destroyed, 1);
    atomic_store(&world->model.refs, 1);
}

/* ---- the access log ---- */

static void calls_are_logged(void **state)
{
    struct world *world = *state;
    struct tg_accesslog format;
    struct tg_slice error;
    char rows[512];
    int pipe_fds[2];
    assert_int_equal(tg_accesslog_compile(
                         &world->arena,
                         TG_LIT("$context.eventType|$context.routeKey|$context.status|$context.connectionId|"
                                "$context.stage|$context.identity.sourceIp|$context.error.message|"
                                "$context.domainName|$context.messageId $context.requestId"),
                         &format, &error),
                     TG_OK);
    assert_int_equal(pipe(pipe_fds), 0);
    world->stages[0].access_log = &format;
    world->stages[0].access_fd = pipe_fds[1];
    call(world, "POST", PATH, "x", &world->credential);
    push_ends(TG_PUSH_GONE, NULL);
    call(world, "GET", PATH, "", NULL);
    ssize_t len = read(pipe_fds[0], rows, sizeof rows - 1);
    assert_true(len > 0);
    rows[len] = '\0';
    assert_non_null(strstr(rows, "CONNECTION_API|POST /@connections/{connectionId}|410|" ID
                                 "|prod|203.0.113.9|-|chat.example.com:8080|- "));
    assert_non_null(strstr(rows, "\nCONNECTION_API|GET /@connections/{connectionId}|403|" ID
                                 "|prod|203.0.113.9|Missing Authentication Token|chat.example.com:8080|- "));
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_are_told_apart),
        TEST(wrong_shapes_are_not_found),
        TEST(post_delivers),
        TEST(the_request_id_is_a_uuid),
        TEST(get_prints_as_recorded),
        TEST(get_without_agent_prints_an_empty_string),
        TEST(delete_closes_normally),
        TEST(outcomes_become_errors),
        TEST(bodies_become_text_or_binary),
        TEST(octets_are_binary_where_allowed),
        TEST(a_client_that_leaves_cancels),
        TEST(a_client_that_leaves_early_starts_nothing),
        TEST(an_abort_answers_what_is_pending),
        TEST(a_reload_in_flight_is_survived),
        TEST(calls_are_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
