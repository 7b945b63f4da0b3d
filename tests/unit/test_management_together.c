/* Pushes whose requests come in one pass of the loop: all are done before the first is answered, in the order
 * in which they came, and each answer is that of its own push. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/management_world.h"

enum { MANY = 4, PLAIN_MAX = 4096 };

/* A caller: its exchange is a world's, whose engine is not used but for the first one. */
struct caller {
    struct world *world, *gateway;
    struct tg_poll *poll;
    int pair[2];
    const char *method, *text;
    int done_before; /* pushes, when the answer came */
    bool at_once;    /* it came before the call returned */
    bool batch;      /* the call is one, and its text the whole body */
};

static struct {
    struct caller callers[MANY];
    struct world *first;
    char order[MANY + 1]; /* of the requests, as they came: the first character of each */
    size_t asked;
} scene;

static void note_answer(struct tg_exchange *exchange, int status, struct tg_slice lines, struct tg_slice body)
{
    for (size_t i = 0; i < MANY; i++) {
        if (scene.callers[i].world == world_of(exchange)) {
            scene.callers[i].done_before = fake.done_within;
        }
    }
    take_lines(exchange, status, lines, body);
}

static void on_request(void *arg, bool readable, bool writable)
{
    static const struct tg_exchange_ops ops = {.read_body = read_body,
                                               .body_at_hand = body_at_hand,
                                               .reply = take_reply,
                                               .reply_lines = note_answer};
    struct caller *caller = arg;
    struct tg_engine *engine = &caller->gateway->engine;
    const struct tg_api *api = &caller->gateway->api;
    struct tg_slice stage, id;
    (void)readable;
    (void)writable;
    char byte;
    assert_int_equal(read(caller->pair[0], &byte, 1), 1);
    prepare(caller->world, caller->method, PATH, caller->text, NULL);
    caller->world->exchange.ops = &ops;
    assert_true(tg_management_match(api, caller->world->exchange.path, &stage, &id));
    struct tg_call_lane lane = tg_management_lane(api, stage);
    lane.is_batch = caller->batch;
    tg_management_serve(engine, &lane, caller->batch ? TG_EMPTY : id, &caller->world->exchange);
    memset(&lane, 0xa5, sizeof lane); /* it need not outlive the call */
    caller->at_once = caller->world->replies > 0;
    scene.order[scene.asked++] = caller->batch ? 'B' : caller->text[0];
}

static int make_callers(void **state)
{
    for (size_t i = 0; i < MANY; i++) {
        struct caller *caller = &scene.callers[i];
        void *world;
        assert_int_equal(set_up(&world), 0);
        scene.first = i == 0 ? world : scene.first;
        *caller = (struct caller){.world = world, .gateway = scene.first, .method = "POST", .text = "hi"};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, caller->pair), 0);
        assert_int_equal(
            tg_poll_new(scene.first->engine.loop, caller->pair[0], on_request, caller, &caller->poll), TG_OK);
        tg_poll_want(caller->poll, true, false);
        caller->world->at_hand = true;
    }
    scene.first->model.management.auth = TG_MANAGEMENT_NONE;
    fake.within = true;
    fake.outcome = TG_PUSH_DONE;
    *state = scene.first;
    return 0;
}

static int end_callers(void **state)
{
    (void)state;
    for (size_t i = MANY; i > 0; i--) {
        struct caller *caller = &scene.callers[i - 1];
        void *world = caller->world;
        tg_poll_free(caller->poll);
        close(caller->pair[0]);
        close(caller->pair[1]);
        assert_int_equal(tear_down(&world), 0);
    }
    return 0;
}

/* The requests of so many come in the next pass. */
static void ask(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        scene.callers[i].world->replies = 0;
        assert_int_equal(write(scene.callers[i].pair[1], "x", 1), 1);
    }
    fake.done_within = 0;
    memset(fake.taken, 0, sizeof fake.taken);
    memset(scene.order, 0, sizeof scene.order);
    scene.asked = 0;
    tg_loop_run_once(scene.first->engine.loop);
}

static uint64_t counted(void)
{
    return atomic_load(&tg_metrics_series(scene.first->engine.metrics, TG_LIT("chat"), TG_LIT("prod"),
                                          TG_LIT("POST /@connections/{connectionId}"))
                            ->messages_out);
}

static void all_are_done_before_one_is_answered(void **state)
{
    (void)state;
    ask(MANY);
    assert_int_equal(fake.done_within, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(scene.callers[i].world->replies, 1);
        assert_int_equal(scene.callers[i].world->status, 200);
        assert_int_equal(scene.callers[i].done_before, MANY);
        assert_false(scene.callers[i].at_once);
    }
    assert_int_equal(counted(), MANY);
    ask(1);
    assert_int_equal(scene.callers[0].world->replies, 1);
    assert_true(scene.callers[0].at_once);
    assert_int_equal(counted(), MANY + 1);
}

static void each_is_answered_for_itself(void **state)
{
    static const char *const texts[MANY] = {"done", "gone", "later", "busy"};
    (void)state;
    fake.by_text = true;
    for (size_t i = 0; i < MANY; i++) {
        scene.callers[i].text = texts[i];
    }
    ask(MANY);
    assert_string_equal(fake.taken, scene.order);
    assert_int_equal(scene.callers[0].world->status, 200);
    assert_error(scene.callers[1].world, 410, "GoneException", "");
    assert_int_equal(scene.callers[2].world->replies, 0);
    assert_int_equal(scene.callers[3].world->status, 429);
    assert_int_equal(counted(), 1);
    /* The client of the one that waits goes away, and all ends. */
    struct tg_exchange *exchange = &scene.callers[2].world->exchange;
    assert_non_null(exchange->on_abort);
    exchange->on_abort(exchange->abort_arg);
    assert_int_equal(fake.cancelled, 1);
    tg_loop_run_once(scene.first->engine.loop);
    assert_int_equal(scene.callers[2].world->replies, 1);
}

/* What goes at once does not overtake those that wait for the end of the events. */
static void nothing_is_overtaken(void **state)
{
    static char text[PLAIN_MAX + 2];
    (void)state;
    memset(text, 'L', PLAIN_MAX + 1);
    for (int i = 0; i < 2; i++) {
        scene.callers[1].text = text;
        scene.callers[0].text = "a";
        scene.callers[2].text = "b";
        ask(3);
        assert_string_equal(fake.taken, scene.order);
        assert_true(scene.callers[1].at_once);
    }
    scene.callers[1].method = "DELETE";
    scene.callers[1].text = "D";
    ask(2);
    assert_int_equal(fake.started, 1);
    assert_int_equal(fake.request.verb, scene.order[0] == 'a' ? TG_PUSH_DELETE : TG_PUSH_POST);
    assert_int_equal(scene.callers[0].world->status, 200);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(scene.callers[1].world->status, 204);
}

static void a_batch_overtakes_none_either(void **state)
{
    static const enum tg_push_outcome done = TG_PUSH_DONE;
    (void)state;
    scene.first->model.management.batch_max_connections = 1;
    scene.callers[1].batch = true;
    scene.callers[1].text = "{\"connectionIds\":[\"" ID "\"],\"data\":\"hi\"}";
    scene.callers[0].text = "a";
    scene.callers[2].text = "b";
    ask(3);
    assert_string_equal(fake.taken, scene.order);
    assert_int_equal(scene.callers[0].world->status, 200);
    assert_int_equal(scene.callers[2].world->status, 200);
    assert_int_equal(scene.callers[1].world->replies, 0);
    batch_ends(&done);
    assert_string_equal(scene.callers[1].world->text, "{\"delivered\":1,\"failed\":[]}");
}

static void refused_ones_go_their_way(void **state)
{
    (void)state;
    scene.callers[1].method = "PATCH";
    ask(3);
    assert_int_equal(scene.callers[0].world->status, 200);
    assert_int_equal(scene.callers[1].world->status, 404);
    assert_true(scene.callers[1].at_once);
    assert_int_equal(scene.callers[2].world->status, 200);
    assert_int_equal(fake.done_within, 2);
    scene.callers[1].method = "POST";
    fake.within = false;
    fake.start_result = TG_EBUSY;
    ask(MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(scene.callers[i].world->replies, 1);
        assert_int_equal(scene.callers[i].world->status, 429);
    }
    fake.within = true;
    scene.first->model.throttling = (struct tg_throttling){.rate_limit = 0.001, .burst_limit = 2};
    tg_engine_reload(&scene.first->engine, &scene.first->model);
    ask(MANY);
    int passed = 0;
    for (size_t i = 0; i < MANY; i++) {
        passed += scene.callers[i].world->status == 200;
        assert_true(scene.callers[i].world->status == 200 || scene.callers[i].world->status == 429);
    }
    assert_int_equal(passed, fake.done_within);
    assert_in_range(passed, 1, MANY - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_are_done_before_one_is_answered, make_callers, end_callers),
        cmocka_unit_test_setup_teardown(each_is_answered_for_itself, make_callers, end_callers),
        cmocka_unit_test_setup_teardown(nothing_is_overtaken, make_callers, end_callers),
        cmocka_unit_test_setup_teardown(a_batch_overtakes_none_either, make_callers, end_callers),
        cmocka_unit_test_setup_teardown(refused_ones_go_their_way, make_callers, end_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
