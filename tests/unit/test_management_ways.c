/* A management call that is done within the call that brought it answers as one whose body comes later and
 * whose push goes by way of the send queue: same status, fields, body, row, counts and frame. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "routes/ids.h"
#include "tests/unit/management_world.h"

enum way { BODY_LATER, PUSH_LATER, WITHIN, WAYS };

/* What a caller can see, and what the operator. */
struct seen {
    int status, pushes;
    char text[1024], headers[2048], row[512], payload[64];
    size_t payload_len;
    uint64_t out, metered, throttled;
};

/* A call, and how it ends where it gets as far as the push. */
struct given {
    const char *method, *path, *body;
    const struct tg_credential *credential;
    enum tg_push_outcome outcome;
    bool has_limit, too_long;
};

static int rows[2]; /* the access log */

static void log_calls(struct world *world, struct tg_accesslog *format)
{
    struct tg_slice error;
    assert_int_equal(
        tg_accesslog_compile(&world->arena,
                             TG_LIT("$context.requestId|$context.extendedRequestId|$context.routeKey|"
                                    "$context.status|$context.connectionId|$context.identity.userArn|"
                                    "$context.error.message|$context.error.responseType"),
                             format, &error),
        TG_OK);
    assert_int_equal(pipe(rows), 0);
    for (size_t i = 0; i < 2; i++) {
        world->stages[i].access_log = format;
        world->stages[i].access_fd = rows[1];
    }
}

static void read_row(char row[512])
{
    /* A mark behind it, for there may be none. */
    assert_int_equal(write(rows[1], "#", 1), 1);
    ssize_t len = read(rows[0], row, 511);
    assert_true(len > 0);
    row[len] = '\0';
}

static void run(struct world *world, const struct given *given, enum way way, struct seen *seen)
{
    memset(seen, 0, sizeof *seen);
    memset(&fake, 0, sizeof fake);
    tg_lanes_forget(&world->engine.lanes);
    tg_throttles_free(world->engine.throttles);
    assert_int_equal(tg_throttles_new(true, &world->engine.throttles), TG_OK);
    tg_rng_seed(&world->engine.rng, 7);
    world->model.throttling.rate_limit = given->has_limit ? 0 : 1000;
    struct tg_route_metrics *series = tg_metrics_series(world->engine.metrics, TG_LIT("chat"), TG_LIT("prod"),
                                                        TG_LIT("POST /@connections/{connectionId}"));
    uint64_t out = atomic_load(&series->messages_out), metered = atomic_load(&series->metered_out),
             throttled = atomic_load(&series->throttled);
    world->at_hand = way != BODY_LATER && !given->too_long;
    fake.within = way == WITHIN;
    fake.outcome = given->outcome;
    begin(world, given->method, given->path, given->body, given->credential);
    bool asked = world->body_done != NULL;
    if (asked) {
        assert_int_equal(atomic_load(&world->model.refs), 2);
        finish_body(world, given->too_long ? TG_ELIMIT : TG_OK);
    }
    if (fake.started > 0) {
        assert_int_equal(world->replies, 0);
        push_ends(given->outcome, NULL);
    }
    bool is_post = strcmp(given->method, "POST") == 0;
    assert_int_equal(fake.done_within > 0 && is_post, fake.done_within > 0);
    if (way == WITHIN && !given->too_long) {
        assert_false(asked);
        assert_true(!is_post || fake.started == 0);
        if (is_post) { /* nothing was set up that a later call would need */
            assert_null(world->exchange.on_abort);
        }
    }
    assert_int_equal(world->replies, 1);
    assert_int_equal(atomic_load(&world->model.refs), 1);
    assert_true(tg_list_empty(&world->engine.calls));
    seen->status = world->status;
    seen->pushes = fake.started + fake.done_within;
    (void)snprintf(seen->text, sizeof seen->text, "%s", world->text);
    (void)snprintf(seen->headers, sizeof seen->headers, "%s", world->headers);
    (void)snprintf(seen->payload, sizeof seen->payload, "%s", fake.payload);
    seen->payload_len = fake.payload_len;
    seen->out = atomic_load(&series->messages_out) - out;
    seen->metered = atomic_load(&series->metered_out) - metered;
    seen->throttled = atomic_load(&series->throttled) - throttled;
    read_row(seen->row);
}

static void compare(struct world *world, const struct given *given, int statuses[600])
{
    struct seen first, other;
    run(world, given, BODY_LATER, &first);
    statuses[first.status]++;
    for (enum way way = PUSH_LATER; way < WAYS; way++) {
        run(world, given, way, &other);
        if (memcmp(&first, &other, sizeof first) != 0) {
            fail_msg("%s %s `%s`: %d %d\n%s%s%s\n-- way %d:\n%s%s%s", given->method, given->path, given->body,
                     first.status, other.status, first.headers, first.text, first.row, (int)way,
                     other.headers, other.text, other.row);
        }
    }
}

static void every_way_answers_alike(void **state)
{
    static const char *const methods[] = {"POST", "GET", "DELETE", "PUT"};
    static const char *const paths[] = {PATH,
                                        "/dev/@connections/" ID,
                                        "/prod/@connections/x%20%",
                                        "/nope/@connections/" ID,
                                        "/prod/prod/@connections/" ID,
                                        "/prod/@connections/"};
    static const char *const bodies[] = {"", "hello", "a\xff\xc3z"};
    static const enum tg_push_outcome outcomes[] = {TG_PUSH_DONE, TG_PUSH_GONE, TG_PUSH_BUSY, TG_PUSH_FAILED};
    struct world *world = *state;
    struct tg_accesslog format;
    int statuses[600] = {0};
    log_calls(world, &format);
    world->at_ms = tg_loop_wall_ms(world->engine.loop);
    const struct tg_credential wrong = {.access_key_id = TG_LIT("AKIDEXAMPLE"),
                                        .secret_access_key = TG_LIT("no")};
    struct tg_credential powerless = world->credential;
    powerless.access_key_id = TG_LIT("POWERLESS");
    powerless.policy = NULL;
    assert_int_equal(tg_map_add(&world->model.credential_map, powerless.access_key_id, &powerless), TG_OK);
    const struct tg_credential *const credentials[] = {&world->credential, NULL, &wrong, &powerless};
#define COUNT(list) (sizeof(list) / sizeof(list)[0])
    for (size_t i = 0; i < 2 * COUNT(methods) * COUNT(paths) * COUNT(bodies) * COUNT(credentials); i++) {
        size_t at = i;
        world->model.management.auth = at % 2 == 0 ? TG_MANAGEMENT_NONE : TG_MANAGEMENT_SIGV4;
        struct given given = {.method = methods[(at /= 2) % COUNT(methods)],
                              .path = paths[(at /= COUNT(methods)) % COUNT(paths)],
                              .body = bodies[(at /= COUNT(paths)) % COUNT(bodies)]};
        given.credential = credentials[at / COUNT(bodies)];
        for (size_t j = 0; j < COUNT(outcomes); j++) {
            given.outcome = outcomes[j];
            compare(world, &given, statuses);
        }
        given.has_limit = true;
        compare(world, &given, statuses);
        given.too_long = true;
        compare(world, &given, statuses);
    }
#undef COUNT
    static const int expected[] = {200, 204, 400, 403, 404, 410, 413, 429, 500};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_true(statuses[expected[i]] > 0);
    }
    (void)close(rows[0]);
    (void)close(rows[1]);
}

static void a_push_is_done_within_the_call(void **state)
{
    struct world *world = *state;
    world->at_hand = true;
    fake.within = true;
    fake.outcome = TG_PUSH_DONE;
    begin(world, "POST", PATH, "hello", &world->credential);
    assert_int_equal(fake.done_within, 1);
    assert_int_equal(fake.started, 0);
    assert_null(world->body_done);
    assert_int_equal(world->replies, 1);
    assert_int_equal(world->status, 200);
    assert_string_equal(fake.payload, "hello");
    assert_string_equal(fake.id, ID);
}

static void what_waits_can_be_aborted(void **state)
{
    struct world *world = *state;
    world->at_hand = true;
    begin(world, "POST", PATH, "hello", &world->credential);
    assert_int_equal(fake.started, 1);
    assert_null(world->body_done);
    world->exchange.on_abort(world->exchange.abort_arg);
    assert_int_equal(fake.cancelled, 1);
    tg_loop_run_once(world->engine.loop);
    assert_int_equal(world->replies, 1);
    begin(world, "POST", PATH, "hello", &world->credential);
    tg_management_abort(&world->engine);
    assert_int_equal(fake.cancelled, 2);
    assert_int_equal(world->status, 503);
}

/* The client's own trace id comes back unless it could not stand in a head. */
static void trace_ids_come_back(void **state)
{
    static const char *const rows_[][2] = {
        {"Root=1-2-3;Parent=4", "X-Amzn-Trace-Id: Root=1-2-3;Parent=4\n"},
        {"", "X-Amzn-Trace-Id: Root=1-"},
        {"a\r\nX-Evil: 1", "X-Amzn-Trace-Id: Root=1-"},
    };
    struct world *world = *state;
    char longest[TG_TRACE_ID_MAX + 1];
    world->model.management.auth = TG_MANAGEMENT_NONE;
    for (size_t i = 0; i < sizeof rows_ / sizeof rows_[0] + 2; i++) {
        size_t len = i == 3 ? TG_TRACE_ID_MAX - 1 : TG_TRACE_ID_MAX;
        memset(longest, 't', len);
        longest[len] = '\0';
        world->trace = i < 3 ? rows_[i][0] : longest;
        world->at_hand = true;
        fake.within = true;
        fake.outcome = TG_PUSH_GONE;
        begin(world, "POST", PATH, "hello", NULL);
        assert_error(world, 410, "GoneException", "");
        assert_header(world, i < 3 ? rows_[i][1] : i == 3 ? longest : "X-Amzn-Trace-Id: Root=1-");
        assert_null(strstr(world->headers, "Evil"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_way_answers_alike),
        TEST(a_push_is_done_within_the_call),
        TEST(what_waits_can_be_aborted),
        TEST(trace_ids_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
