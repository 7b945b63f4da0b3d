/* Serving files where the threads that read them have too much to do, or the model goes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/static_serve_world.h"

static void run_wait(void *arg)
{
    const int *fds = arg;
    char byte;
    if (read(fds[0], &byte, 1) < 0) {
        abort();
    }
}

static void ignore(void *arg)
{
    (void)arg;
}

static const struct tg_work_ops wait_ops = {.run = run_wait, .done = ignore, .drop = ignore};

static void fill_pool(struct scene *scene, int fds[2], size_t count)
{
    struct tg_work *work;
    assert_int_equal(pipe(fds), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(tg_work_start(scene->work, &wait_ops, fds, &work), TG_OK);
    }
    assert_int_equal(tg_work_start(scene->work, &wait_ops, fds, &work), TG_EBUSY);
}

static void drain_pool(const int fds[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(write(fds[1], "x", 1), 1);
    }
}

static void a_full_pool_refuses_what_begins(void **state)
{
    struct scene *scene = *state;
    int fds[2];
    fill_pool(scene, fds, 6);
    ask(scene, "GET", "/index.html");
    assert_int_equal(scene->status, 503);
    check_body(scene, "{\"message\":\"Service Unavailable\"}");
    drain_pool(fds, 6);
    while (tg_work_pool_stats(scene->work).running > 0) {
        tg_loop_run_once(scene->loop);
    }
    ask(scene, "GET", "/index.html");
    assert_int_equal(scene->status, 200);
    close(fds[0]);
    close(fds[1]);
}

static int blocked_fds[2];

static void block_pool(struct scene *scene)
{
    if (scene->sends == 2) {
        fill_pool(scene, blocked_fds, 6);
    }
}

static void what_has_begun_waits_for_room_in_the_pool(void **state)
{
    struct scene *scene = *state;
    scene->on_send = block_pool;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    while (tg_work_pool_stats(scene->work).refused < 4) { /* one is fill_pool's, the others tries */
        tg_loop_run_once(scene->loop);
    }
    assert_int_equal(scene->sends, 2);
    drain_pool(blocked_fds, 6);
    wait_done(scene);
    assert_int_equal(scene->done_err, TG_OK);
    check_bytes(scene, 0, 0, MIB + 1);
    /* Cancelled while it waits so. */
    begin(scene, "GET", "/big.bin");
    close(blocked_fds[0]);
    close(blocked_fds[1]);
    assert_int_equal(serve(scene), TG_OK);
    uint64_t refused = tg_work_pool_stats(scene->work).refused;
    while (tg_work_pool_stats(scene->work).refused < refused + 2) {
        tg_loop_run_once(scene->loop);
    }
    assert_true(tg_static_serve_cancel(scene->serve));
    drain_pool(blocked_fds, 6);
    while (tg_work_pool_stats(scene->work).running > 0) {
        tg_loop_run_once(scene->loop);
    }
    close(blocked_fds[0]);
    close(blocked_fds[1]);
}

/* The directory is held by what is under way, not by the model alone. */
static void the_model_may_go_meanwhile(void **state)
{
    struct scene *scene = *state;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    tg_static_unref(scene->files);
    scene->files = NULL;
    wait_done(scene);
    assert_int_equal(scene->done_err, TG_OK);
    check_bytes(scene, 0, 0, MIB + 1);
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    tg_static_unref(scene->files);
    scene->files = NULL;
    (void)tg_static_serve_cancel(scene->serve);
    scene->exchange.ops->reply(&scene->exchange, 503, &(struct tg_headers){0}, TG_EMPTY);
}

static void no_descriptor_is_left_behind(void **state)
{
    struct scene *scene = *state;
    ask(scene, "GET", "/index.html");
    int before = open("/dev/null", O_RDONLY);
    close(before);
    scene->keep = false;
    for (int i = 0; i < 20; i++) {
        ask(scene, "GET", "/big.bin");
        ask(scene, "HEAD", "/big.bin");
        ask(scene, "GET", "/docs/");
        ask(scene, "GET", "/docs");
        begin(scene, "GET", "/big.bin");
        field(scene, "Range", i % 2 == 0 ? "bytes=9999999-" : "bytes=1-1,3-3");
        assert_int_equal(serve(scene), TG_OK);
        wait_done(scene);
        begin(scene, "GET", "/big.bin");
        field(scene, "If-None-Match", "*");
        assert_int_equal(serve(scene), TG_OK);
        wait_done(scene);
    }
    while (tg_work_pool_stats(scene->work).running > 0) {
        tg_loop_run_once(scene->loop);
    }
    int after = open("/dev/null", O_RDONLY);
    close(after);
    assert_int_equal(after, before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_full_pool_refuses_what_begins),
        TEST(what_has_begun_waits_for_room_in_the_pool),
        TEST(the_model_may_go_meanwhile),
        TEST(no_descriptor_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
