#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/io/loop.h"

struct probe {
    struct tg_loop *loop;
    struct tg_timer timer;
    struct tg_timer other;
    struct tg_task task;
    struct tg_task second;
    struct tg_poll *poll;
    int fired, other_fired, ran, second_ran, polled;
    bool readable, writable;
    int number;
    char trace[16];
    size_t traced;
};

static void mark(struct probe *probe, char what)
{
    if (probe->traced + 1 < sizeof(probe->trace)) {
        probe->trace[probe->traced++] = what;
    }
}

static void on_timer(struct tg_timer *timer)
{
    struct probe *probe = TG_CONTAINER(timer, struct probe, timer);
    probe->fired++;
    mark(probe, 't');
}

static void on_other(struct tg_timer *timer)
{
    struct probe *probe = TG_CONTAINER(timer, struct probe, other);
    probe->other_fired++;
    mark(probe, 'o');
}

static void on_task(struct tg_task *task)
{
    struct probe *probe = TG_CONTAINER(task, struct probe, task);
    probe->ran++;
    mark(probe, 'a');
}

static void on_second(struct tg_task *task)
{
    struct probe *probe = TG_CONTAINER(task, struct probe, second);
    probe->second_ran++;
    mark(probe, 'b');
}

static int setup(void **state)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL || tg_loop_new(&probe->loop) != TG_OK) {
        free(probe);
        return -1;
    }
    tg_timer_init(&probe->timer, on_timer);
    tg_timer_init(&probe->other, on_other);
    tg_task_init(&probe->task, on_task);
    tg_task_init(&probe->second, on_second);
    *state = probe;
    return 0;
}

static int teardown(void **state)
{
    struct probe *probe = *state;
    tg_timer_stop(&probe->timer);
    tg_timer_stop(&probe->other);
    tg_loop_free(probe->loop);
    free(probe);
    return 0;
}

static void test_clocks(void **state)
{
    struct probe *probe = *state;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t expected = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
    int64_t seen = tg_loop_wall_ms(probe->loop);
    assert_true(seen >= expected && seen < expected + 10000);
    assert_int_equal(tg_loop_wall_ms(probe->loop), seen);
    assert_true(tg_loop_now_ms(probe->loop) > 0);
    uint64_t before = tg_loop_now_ns();
    assert_true(tg_loop_now_ns() >= before);
}

static void test_timer_fires_once_and_not_early(void **state)
{
    struct probe *probe = *state;
    uint64_t start = tg_loop_now_ms(probe->loop);
    tg_timer_start(probe->loop, &probe->timer, 20);
    assert_true(tg_timer_armed(&probe->timer));
    while (probe->fired == 0) {
        tg_loop_run_once(probe->loop);
    }
    assert_true(tg_loop_now_ms(probe->loop) - start >= 20);
    assert_false(tg_timer_armed(&probe->timer));
    tg_timer_start(probe->loop, &probe->other, 5);
    while (probe->other_fired == 0) {
        tg_loop_run_once(probe->loop);
    }
    assert_int_equal(probe->fired, 1);
}

static void test_timers_in_order_of_due_time(void **state)
{
    struct probe *probe = *state;
    tg_timer_start(probe->loop, &probe->other, 9);
    tg_timer_start(probe->loop, &probe->timer, 3);
    while (probe->traced < 2) {
        tg_loop_run_once(probe->loop);
    }
    assert_string_equal(probe->trace, "to");
}

static void test_restart_moves_the_timer(void **state)
{
    struct probe *probe = *state;
    tg_timer_start(probe->loop, &probe->timer, 3600000);
    tg_timer_start(probe->loop, &probe->other, 5);
    tg_timer_start(probe->loop, &probe->timer, 1);
    while (probe->traced < 2) {
        tg_loop_run_once(probe->loop);
    }
    assert_string_equal(probe->trace, "to");
}

static void stop_other(struct tg_timer *timer)
{
    struct probe *probe = TG_CONTAINER(timer, struct probe, timer);
    probe->fired++;
    tg_timer_stop(&probe->other);
}

static void test_stopped_in_the_same_tick(void **state)
{
    struct probe *probe = *state;
    probe->timer.fire = stop_other;
    tg_timer_start(probe->loop, &probe->timer, 2);
    tg_timer_start(probe->loop, &probe->other, 2);
    while (probe->fired == 0) {
        tg_loop_run_once(probe->loop);
    }
    assert_int_equal(probe->other_fired, 0);
    assert_false(tg_timer_armed(&probe->other));
}

static void restart(struct tg_timer *timer)
{
    struct probe *probe = TG_CONTAINER(timer, struct probe, timer);
    probe->fired++;
    tg_timer_start(probe->loop, timer, 0);
}

static void test_zero_delay_is_the_next_pass(void **state)
{
    struct probe *probe = *state;
    probe->timer.fire = restart;
    tg_timer_start(probe->loop, &probe->timer, 0);
    assert_int_equal(probe->fired, 0);
    for (int pass = 1; pass <= 100; pass++) {
        tg_loop_run_once(probe->loop);
        assert_int_equal(probe->fired, pass);
    }
}

static void test_tasks_run_once_a_defer(void **state)
{
    struct probe *probe = *state;
    tg_task_defer(probe->loop, &probe->task);
    tg_task_defer(probe->loop, &probe->task);
    tg_task_defer(probe->loop, &probe->second);
    assert_int_equal(probe->ran, 0);
    tg_loop_run_once(probe->loop);
    assert_string_equal(probe->trace, "ab");
    tg_task_defer(probe->loop, &probe->task);
    tg_task_defer(probe->loop, &probe->second);
    tg_task_cancel(&probe->task);
    tg_loop_run_once(probe->loop);
    assert_string_equal(probe->trace, "abb");
}

static void defer_again(struct tg_task *task)
{
    struct probe *probe = TG_CONTAINER(task, struct probe, task);
    probe->ran++;
    tg_task_cancel(&probe->second);
    tg_task_defer(probe->loop, task);
}

/* A task that defers itself runs once a pass, and what it cancels in its own round does not run. */
static void test_task_from_a_task(void **state)
{
    struct probe *probe = *state;
    probe->task.run = defer_again;
    tg_task_defer(probe->loop, &probe->task);
    tg_task_defer(probe->loop, &probe->second);
    for (int pass = 1; pass <= 10; pass++) {
        tg_loop_run_once(probe->loop);
        assert_int_equal(probe->ran, pass);
    }
    assert_int_equal(probe->second_ran, 0);
    tg_task_cancel(&probe->task);
}

static void defer_from_timer(struct tg_timer *timer)
{
    struct probe *probe = TG_CONTAINER(timer, struct probe, timer);
    tg_task_defer(probe->loop, &probe->task);
}

static void test_task_from_a_timer(void **state)
{
    struct probe *probe = *state;
    probe->timer.fire = defer_from_timer;
    tg_timer_start(probe->loop, &probe->timer, 0);
    tg_loop_run_once(probe->loop);
    assert_int_equal(probe->ran, 1);
}

static void on_ready(void *arg, bool readable, bool writable)
{
    struct probe *probe = arg;
    probe->polled++;
    probe->readable = readable;
    probe->writable = writable;
    tg_task_defer(probe->loop, &probe->task);
}

static void test_poll(void **state)
{
    struct probe *probe = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(tg_poll_new(probe->loop, pair[0], on_ready, probe, &probe->poll), TG_OK);
    struct tg_poll *twice = NULL;
    assert_int_equal(write(pair[1], "x", 1), 1);
    tg_timer_start(probe->loop, &probe->timer, 2);
    while (probe->fired == 0) {
        tg_loop_run_once(probe->loop);
    }
    assert_int_equal(probe->polled, 0);

    tg_poll_want(probe->poll, true, false);
    assert_int_equal(tg_poll_new(probe->loop, pair[0], on_ready, probe, &twice), TG_EEXIST);
    assert_null(twice);
    tg_loop_run_once(probe->loop);
    assert_int_equal(probe->polled, 1);
    assert_true(probe->readable && !probe->writable);
    assert_int_equal(probe->ran, 1); /* the task ran in the pass of the event */

    tg_poll_want(probe->poll, true, true);
    tg_loop_run_once(probe->loop);
    assert_true(probe->readable && probe->writable);
    tg_poll_want(probe->poll, false, true);
    tg_loop_run_once(probe->loop);
    assert_true(!probe->readable && probe->writable);

    tg_poll_free(probe->poll);
    tg_poll_free(NULL);
    /* The descriptor is free for another at once. */
    assert_int_equal(tg_poll_new(probe->loop, pair[0], on_ready, probe, &twice), TG_OK);
    tg_poll_free(twice);
    close(pair[0]);
    close(pair[1]);
}

/* ---- what is done after the events at hand ---- */

struct one_of_many {
    struct probe *probe;
    struct tg_poll *poll;
    int pair[2];
    size_t left;
};

static void on_one_of_many(void *arg, bool readable, bool writable)
{
    struct one_of_many *one = arg;
    struct probe *probe = one->probe;
    (void)readable;
    (void)writable;
    one->left = tg_loop_events_left(probe->loop);
    mark(probe, 'e');
    tg_task_defer(probe->loop, &probe->second);
    tg_task_defer_to_events(probe->loop, &probe->task);
    tg_task_defer_to_events(probe->loop, &probe->task);
    tg_poll_want(one->poll, false, false);
}

/* Once behind all of them, before timers and other tasks. */
static void test_task_behind_events(void **state)
{
    enum { MANY = 3 };
    struct probe *probe = *state;
    struct one_of_many many[MANY];
    size_t left = 0;
    for (size_t i = 0; i < MANY; i++) {
        struct one_of_many *one = &many[i];
        *one = (struct one_of_many){.probe = probe};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, one->pair), 0);
        assert_int_equal(tg_poll_new(probe->loop, one->pair[0], on_one_of_many, one, &one->poll), TG_OK);
        tg_poll_want(one->poll, true, false);
        assert_int_equal(write(one->pair[1], "x", 1), 1);
    }
    assert_int_equal(tg_loop_events_left(probe->loop), 0);
    tg_timer_start(probe->loop, &probe->timer, 0);
    tg_loop_run_once(probe->loop);
    assert_string_equal(probe->trace, "eeeatb");
    for (size_t i = 0; i < MANY; i++) {
        left += many[i].left;
        tg_poll_free(many[i].poll);
        close(many[i].pair[0]);
        close(many[i].pair[1]);
    }
    assert_int_equal(left, 2 + 1 + 0);
    assert_int_equal(tg_loop_events_left(probe->loop), 0);
}

static void on_mail(void *arg, struct tg_mail *mail)
{
    (void)mail;
    mark(arg, 'm');
}

static void drop_mail(void *arg, struct tg_mail *mail)
{
    (void)arg;
    (void)mail;
}

/* Mail may replace what those tasks work with. */
static void test_mail_behind_those_tasks(void **state)
{
    struct probe *probe = *state;
    struct one_of_many one = {.probe = probe};
    struct tg_mailbox *box;
    struct tg_mail mail = {0};
    assert_int_equal(tg_mailbox_new(probe->loop, 10, on_mail, probe, &box), TG_OK);
    assert_int_equal(tg_mailbox_post(box, &mail), TG_OK); /* it is told of before what follows */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, one.pair), 0);
    assert_int_equal(tg_poll_new(probe->loop, one.pair[0], on_one_of_many, &one, &one.poll), TG_OK);
    tg_poll_want(one.poll, true, false);
    assert_int_equal(write(one.pair[1], "x", 1), 1);
    tg_loop_run_once(probe->loop);
    assert_string_equal(probe->trace, "eamb");
    tg_poll_free(one.poll);
    tg_mailbox_close(box, drop_mail);
    tg_mailbox_free(box);
    close(one.pair[0]);
    close(one.pair[1]);
}

static void free_in_callback(void *arg, bool readable, bool writable)
{
    struct probe *probe = arg;
    (void)readable;
    (void)writable;
    probe->polled++;
    tg_poll_free(probe->poll);
}

static void test_poll_freed_by_its_callback(void **state)
{
    struct probe *probe = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(tg_poll_new(probe->loop, pair[0], free_in_callback, probe, &probe->poll), TG_OK);
    tg_poll_want(probe->poll, true, true);
    tg_loop_run_once(probe->loop);
    tg_timer_start(probe->loop, &probe->timer, 1);
    while (probe->fired == 0) {
        tg_loop_run_once(probe->loop);
    }
    assert_int_equal(probe->polled, 1);
    close(pair[0]);
    close(pair[1]);
}

/* A pipe whose reader is gone reports an error on the write end, and goes on doing so. */
static void test_poll_error_shows_as_both(void **state)
{
    struct probe *probe = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(tg_poll_new(probe->loop, ends[1], on_ready, probe, &probe->poll), TG_OK);
    tg_poll_want(probe->poll, true, false);
    for (int pass = 1; pass <= 3; pass++) {
        probe->readable = probe->writable = false;
        tg_loop_run_once(probe->loop);
        assert_true(probe->readable && probe->writable);
        assert_int_equal(probe->polled, pass);
    }
    tg_poll_free(probe->poll);
    close(ends[1]);
}

struct rivals {
    struct tg_poll *polls[2];
    int calls;
};

static void free_both(void *arg, bool readable, bool writable)
{
    struct rivals *rivals = arg;
    (void)readable;
    (void)writable;
    rivals->calls++;
    tg_poll_free(rivals->polls[0]);
    tg_poll_close(rivals->polls[1]);
}

/* Two are ready in one pass, and the owner of the first has done with both. */
static void test_poll_freed_by_another(void **state)
{
    struct probe *probe = *state;
    struct rivals rivals = {.calls = 0};
    int pairs[2][2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i]), 0);
        assert_int_equal(tg_poll_new(probe->loop, pairs[i][0], free_both, &rivals, &rivals.polls[i]), TG_OK);
        tg_poll_want(rivals.polls[i], true, false);
        assert_int_equal(write(pairs[i][1], "x", 1), 1);
    }
    tg_loop_run_once(probe->loop);
    assert_int_equal(rivals.calls, 1);
    assert_int_equal(fcntl(pairs[1][0], F_GETFD), -1); /* closed */
    close(pairs[0][0]);
    close(pairs[0][1]);
    close(pairs[1][1]);
}

/* What nobody wants to know neither calls anybody nor keeps the loop awake, and is not lost. */
static void test_unwanted_end_waits(void **state)
{
    struct probe *probe = *state;
    int pair[2], passes = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(tg_poll_new(probe->loop, pair[0], on_ready, probe, &probe->poll), TG_OK);
    tg_poll_want(probe->poll, true, false);
    tg_poll_want(probe->poll, false, false);
    assert_int_equal(write(pair[1], "x", 1), 1);
    close(pair[1]);
    tg_timer_start(probe->loop, &probe->timer, 60);
    while (probe->fired == 0) {
        tg_loop_run_once(probe->loop);
        passes++;
    }
    assert_true(passes <= 6);
    assert_int_equal(probe->polled, 0);
    tg_poll_want(probe->poll, true, false);
    tg_loop_run_once(probe->loop);
    assert_int_equal(probe->polled, 1);
    assert_true(probe->readable && !probe->writable);
    tg_poll_close(probe->poll);
}

static void test_poll_of_a_file_fails(void **state)
{
    struct probe *probe = *state;
    struct tg_poll *none = NULL;
    assert_int_equal(tg_poll_new(probe->loop, -1, on_ready, probe, &none), TG_EIO);
    assert_null(none);
}

static void *stop_from_thread(void *arg)
{
    tg_loop_stop(arg);
    return NULL;
}

static void test_stop_from_a_thread(void **state)
{
    struct probe *probe = *state;
    for (int round = 0; round < 20; round++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, stop_from_thread, probe->loop), 0);
        tg_loop_run(probe->loop);
        pthread_join(thread, NULL);
    }
}

static void on_signal(void *arg, int number)
{
    struct probe *probe = arg;
    probe->number = number;
}

static void test_signal(void **state)
{
    struct probe *probe = *state;
    struct tg_signal *watch;
    assert_int_equal(tg_signal_new(probe->loop, SIGUSR1, on_signal, probe, &watch), TG_OK);
    assert_int_equal(raise(SIGUSR1), 0);
    while (probe->number == 0) {
        tg_loop_run_once(probe->loop);
    }
    assert_int_equal(probe->number, SIGUSR1);
    tg_signal_free(watch);
    tg_signal_free(NULL);
    assert_int_equal(tg_signal_new(probe->loop, SIGKILL, on_signal, probe, &watch), TG_EINVAL);
}

static void test_idle_loop_sleeps(void **state)
{
    struct probe *probe = *state;
    tg_task_defer(probe->loop, &probe->task);
    tg_timer_start(probe->loop, &probe->timer, 0);
    tg_timer_start(probe->loop, &probe->other, 1);
    tg_loop_run_once(probe->loop);
    while (probe->other_fired == 0) {
        tg_loop_run_once(probe->loop);
    }
    /* Only a timer 100 ms away is left: a few passes lead there, where a busy loop would make thousands. */
    int passes = 0;
    tg_timer_start(probe->loop, &probe->timer, 100);
    while (probe->fired == 1) {
        tg_loop_run_once(probe->loop);
        passes++;
    }
    assert_true(passes <= 6);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_clocks),
        TEST(test_timer_fires_once_and_not_early),
        TEST(test_timers_in_order_of_due_time),
        TEST(test_restart_moves_the_timer),
        TEST(test_stopped_in_the_same_tick),
        TEST(test_zero_delay_is_the_next_pass),
        TEST(test_tasks_run_once_a_defer),
        TEST(test_task_from_a_task),
        TEST(test_task_from_a_timer),
        TEST(test_poll),
        TEST(test_task_behind_events),
        TEST(test_mail_behind_those_tasks),
        TEST(test_poll_freed_by_its_callback),
        TEST(test_poll_error_shows_as_both),
        TEST(test_poll_freed_by_another),
        TEST(test_unwanted_end_waits),
        TEST(test_poll_of_a_file_fails),
        TEST(test_stop_from_a_thread),
        TEST(test_signal),
        TEST(test_idle_loop_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
