/* Batch calls of the management API: where they are, and how they end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/management_batch_world.h"
#include "tests/unit/locate_text.h"

/* ---- the path ---- */

static void paths_are_told_apart(void **state)
{
    static const struct {
        const char *path;
        bool at_root, taken;
        const char *stage;
    } rows[] = {
        {"/prod/@tidegate/connections", false, true, "prod"},
        {"/prod/%40tidegate/connections", true, true, "prod"},
        {"/prod/prod/@tidegate/connections", false, true, "prod/prod"},
        {"/@tidegate/connections", true, true, ""},
        {"/@tidegate/connections", false, false, ""},
        {"//@tidegate/connections", true, false, ""},
        {"/prod/@tidegate/connections/", false, false, ""},
        {"/prod/@tidegate/connections/x", false, false, ""},
        {"/prod/@tidegate", false, false, ""},
        {"/prod/@tidegate/", false, false, ""},
        {"/prod/@tidegate/connection", false, false, ""},
        {"/prod/tidegate/connections", false, false, ""},
        {"/prod/%2540tidegate/connections", false, false, ""},
        {"/prod/@connections/x", false, false, ""},
        {"", true, false, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_api api = {.settings.serve_at_root = rows[i].at_root};
        struct tg_slice stage = TG_LIT("?");
        if (tg_management_match_batch(&api, tg_slice_cstr(rows[i].path), &stage) != rows[i].taken) {
            fail_msg("%s", rows[i].path);
        }
        assert_true(tg_slice_eq(stage, tg_slice_cstr(rows[i].taken ? rows[i].stage : "?")));
    }
}

static void report(void *arg, const struct tg_doc_node *where, const char *key, const char *text)
{
    (void)arg;
    (void)where;
    fail_msg("%s: %s", key, text);
}

/* Where the API's own host, and a custom domain, lead. */
static void dispatch(struct world *world, const char *method, const char *host, const char *path)
{
    struct tg_slice lines = TG_LIT("ws chat stages=prod,dev hosts=a.example.com\n"
                                   "domain custom.example.com\nmap v1 chat dev\n");
    struct tg_locator *locator;
    const struct tg_locate_config *config = locate_text_read(&world->arena, &lines);
    assert_non_null(config);
    ((struct tg_locate_api *)config->apis)[0].api = &world->api;
    assert_int_equal(tg_locator_compile(&world->arena, config, report, NULL, &locator), TG_OK);
    world->model.locator = locator;
    world->model.management.auth = TG_MANAGEMENT_NONE;
    prepare(world, method, path, TO_ALL, NULL);
    world->exchange.host = tg_slice_cstr(host);
    world->at_hand = true;
    tg_dispatch(&world->engine, &world->exchange);
}

static void off_by_default(void **state)
{
    static const char *const rows[][2] = {
        {"a.example.com", "/prod/@tidegate/connections"},
        {"a.example.com", "/prod/%40tidegate/connections"},
        {"a.example.com", "/nope/@tidegate/connections"},
        {"custom.example.com", "/v1/@tidegate/connections"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char as_any[4096];
        char path[64];
        world->model.management.batch_max_connections = 0;
        (void)snprintf(path, sizeof path, "%.*s/nonsense", (int)(strrchr(rows[i][1], '/') - rows[i][1]),
                       rows[i][1]);
        dispatch(world, "POST", rows[i][0], path);
        int status = world->status;
        (void)snprintf(as_any, sizeof as_any, "%s%s", world->headers, world->text);
        dispatch(world, "POST", rows[i][0], rows[i][1]);
        assert_int_equal(world->replies, 1);
        assert_int_equal(world->status, status);
        assert_int_equal(strncmp(as_any, world->headers, strlen(world->headers)), 0);
        assert_string_equal(as_any + strlen(world->headers), world->text);
        assert_int_equal(fake_batch.started, 0);
    }
}

static void calls_are_dispatched(void **state)
{
    static const char *const rows[][3] = {
        {"a.example.com", "/prod/@tidegate/connections", ""},
        {"a.example.com", "/dev/%40tidegate/connections", ""},
        {"custom.example.com", "/v1/@tidegate/connections", ""},
        {"custom.example.com", "/v1/%40tidegate/connections", ""},
        {"a.example.com", "/nope/@tidegate/connections", "Forbidden"},
        {"a.example.com", "/prod/prod/@tidegate/connections",
         "No method found matching route prod/@tidegate/connections for http method POST"},
        {"custom.example.com", "/@tidegate/connections", "Forbidden"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fake_batch.started = 0;
        dispatch(world, "POST", rows[i][0], rows[i][1]);
        assert_int_equal(fake_batch.started, rows[i][2][0] == '\0');
        if (fake_batch.started > 0) {
            assert_true(tg_slice_eq(fake_batch.request.api_id, TG_LIT("chat")));
            batch_ends(all_done);
            assert_answer(world, ALL_DONE);
        } else {
            char text[256];
            (void)snprintf(text, sizeof text, "{\"message\":\"%s\"}", rows[i][2]);
            assert_string_equal(world->text, text);
        }
    }
    dispatch(world, "GET", "a.example.com", BATCH_PATH);
    assert_error(
        world, 404, "NotFoundException",
        "{\"message\":\"No method found matching route @tidegate/connections for http method GET\"}");
}

/* ---- the end ---- */

static void a_client_that_leaves_cancels(void **state)
{
    struct world *world = *state;
    call_batch(world, TO_ALL);
    world->exchange.on_abort(world->exchange.abort_arg);
    assert_int_equal(fake_batch.cancelled, 1);
    assert_int_equal(world->replies, 0);
    tg_loop_run_once(world->engine.loop);
    assert_int_equal(world->replies, 1);
    begin_batch(world, "POST", BATCH_PATH, TO_ALL, &world->credential);
    world->exchange.on_abort(world->exchange.abort_arg);
    finish_body(world, TG_OK);
    assert_int_equal(fake_batch.started, 1);
    assert_int_equal(world->replies, 1);
}

/* More than are judged at once: 600 that are no ids, and three. */
static void call_many(struct world *world)
{
    static char body[8192]; /* lives as long as the exchange */
    struct tg_buf text;
    world->model.management.batch_max_connections = 1000;
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_append(&text, TG_LIT("{\"data\":\"hello\",\"connectionIds\":[")), TG_OK);
    for (int i = 0; i < 600; i++) {
        assert_int_equal(tg_buf_printf(&text, "\"%s\",", i == 0 ? ID : i == 300 ? TWO : "x"), TG_OK);
    }
    assert_int_equal(tg_buf_append(&text, TG_LIT("\"" THREE "\"]}\0")), TG_OK);
    assert_true(tg_buf_size(&text) <= sizeof body);
    memcpy(body, tg_buf_slice(&text).ptr, tg_buf_size(&text));
    tg_buf_free(&text);
    call_batch(world, body);
    assert_int_equal(fake_batch.started, 0);
}

static void many_are_judged_in_turns(void **state)
{
    struct world *world = *state;
    call_many(world);
    tg_loop_run_once(world->engine.loop);
    assert_int_equal(fake_batch.started, 0);
    tg_loop_run_once(world->engine.loop);
    assert_int_equal(fake_batch.started, 1);
    assert_string_equal(fake_batch.slots, "123");
    world->exchange.on_abort(world->exchange.abort_arg);
    assert_int_equal(fake_batch.cancelled, 1);
    tg_loop_run_once(world->engine.loop);
    assert_int_equal(world->replies, 1);
}

static void who_leaves_meanwhile_sends_nothing(void **state)
{
    struct world *world = *state;
    call_many(world);
    world->exchange.on_abort(world->exchange.abort_arg);
    assert_int_equal(world->replies, 0);
    tg_loop_run_once(world->engine.loop);
    assert_int_equal(world->replies, 1);
    call_many(world);
    tg_loop_run_once(world->engine.loop);
    tg_management_abort(&world->engine);
    assert_error(world, 503, "ServiceUnavailableException", "{\"message\":\"Service Unavailable\"}");
    assert_int_equal(fake_batch.started, 0);
    assert_int_equal(fake_batch.cancelled, 0);
}

static void an_abort_answers_what_is_pending(void **state)
{
    struct world *world = *state;
    call_batch(world, TO_ALL);
    tg_management_abort(&world->engine);
    assert_int_equal(fake_batch.cancelled, 1);
    assert_error(world, 503, "ServiceUnavailableException", "{\"message\":\"Service Unavailable\"}");
}

static void a_reload_in_flight_is_survived(void **state)
{
    struct world *world = *state;
    call_batch(world, TO_ALL);
    world->engine.model = NULL;
    tg_model_unref(&world->model);
    assert_int_equal(world->destroyed, 0);
    batch_ends(all_done);
    assert_answer(world, ALL_DONE);
    assert_int_equal(world->destroyed, 1);
    atomic_store(&world->model.refs, 1);
}

static void want_of_memory_is_500(void **state)
{
    struct world *world = *state;
    fake_batch.start_result = TG_ENOMEM;
    call_batch(world, TO_ALL);
    assert_error(world, 500, "InternalServerErrorException", "{\"message\":\"Internal server error\"}");
    assert_int_equal(atomic_load(&series_of(world, "POST /@tidegate/connections")->messages_out), 0);
}

static void calls_are_logged(void **state)
{
#define USER "arn:aws:iam::123456789012:user/app"
    static const char first[] = "POST /@tidegate/connections|200|-|" USER "|-|-|";
    struct world *world = *state;
    struct tg_accesslog format;
    struct tg_slice error;
    char rows[512];
    int pipe_fds[2];
    assert_int_equal(tg_accesslog_compile(&world->arena,
                                          TG_LIT("$context.routeKey|$context.status|$context.connectionId|"
                                                 "$context.identity.userArn|$context.error.message|"
                                                 "$context.error.responseType|$context.requestId"),
                                          &format, &error),
                     TG_OK);
    assert_int_equal(pipe(pipe_fds), 0);
    world->stages[0].access_log = &format;
    world->stages[0].access_fd = pipe_fds[1];
    call_batch(world, TO_ALL);
    batch_ends(all_done);
    call_batch(world, CALL(""));
    ssize_t len = read(pipe_fds[0], rows, sizeof rows - 1);
    assert_true(len > 0);
    rows[len] = '\0';
    assert_int_equal(strncmp(rows, first, sizeof first - 1), 0);
    assert_non_null(strstr(rows, "\nPOST /@tidegate/connections|400|-|" USER
                                 "|connectionIds is empty: name at least one connection|BAD_REQUEST_BODY|"));
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
#undef USER
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_batches, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_are_told_apart),
        TEST(off_by_default),
        TEST(calls_are_dispatched),
        TEST(a_client_that_leaves_cancels),
        TEST(many_are_judged_in_turns),
        TEST(who_leaves_meanwhile_sends_nothing),
        TEST(an_abort_answers_what_is_pending),
        TEST(a_reload_in_flight_is_survived),
        TEST(want_of_memory_is_500),
        TEST(calls_are_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
