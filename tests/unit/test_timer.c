#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "server/io/timer.h"

static void never(struct tg_timer *timer)
{
    (void)timer;
    fail();
}

/* Advances and returns how many timers came out; checks that they are in order and not early. */
static size_t advance(struct tg_wheel *wheel, uint64_t now_ms)
{
    struct tg_list expired;
    struct tg_list *node;
    size_t count = 0;
    uint64_t last = 0;
    tg_list_init(&expired);
    tg_wheel_advance(wheel, now_ms, &expired);
    while ((node = tg_list_pop(&expired)) != NULL) {
        struct tg_timer *timer = TG_CONTAINER(node, struct tg_timer, node);
        assert_true(timer->due_ms >= last);
        assert_true(timer->due_ms <= now_ms);
        last = timer->due_ms;
        timer->due_ms = 0;
        count++;
    }
    return count;
}

static void test_due_exactly(void **state)
{
    (void)state;
    static const uint64_t delays[] = {0,    1,    63,       64,       65,         4095,        4096,
                                      4097, 9999, 86400000, 86400001, 2592000000, 31536000000, 315360000000};
    struct tg_wheel wheel;
    for (uint64_t start = 0; start < 70000; start += 6371) {
        for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
            struct tg_timer timer;
            tg_wheel_init(&wheel, start);
            tg_timer_init(&timer, never);
            assert_false(tg_timer_armed(&timer));
            tg_wheel_add(&wheel, &timer, start + delays[i]);
            assert_true(tg_timer_armed(&timer));
            if (delays[i] > 1) {
                assert_int_equal(advance(&wheel, start + delays[i] - 1), 0);
            }
            assert_true(tg_wheel_next(&wheel) <= timer.due_ms);
            assert_int_equal(advance(&wheel, start + delays[i] + (start == 0 && delays[i] == 0)), 1);
            assert_true(tg_wheel_next(&wheel) == UINT64_MAX);
        }
    }
}

/* An hour takes a handful of wake-ups, not one for each of its milliseconds. */
static void test_idle_time_is_free(void **state)
{
    (void)state;
    struct tg_wheel wheel;
    struct tg_timer timer;
    size_t wakes = 0;
    tg_wheel_init(&wheel, 123456789);
    tg_timer_init(&timer, never);
    tg_wheel_add(&wheel, &timer, 123456789 + 3600000);
    while (tg_timer_armed(&timer)) {
        advance(&wheel, tg_wheel_next(&wheel));
        wakes++;
    }
    assert_true(wakes <= TG_WHEEL_LEVELS);
    assert_int_equal(wheel.now, 123456789 + 3600000);
}

static void test_stop_leaves_nothing(void **state)
{
    (void)state;
    struct tg_wheel wheel;
    struct tg_timer timers[100];
    tg_wheel_init(&wheel, 1000);
    for (size_t i = 0; i < 100; i++) {
        tg_timer_init(&timers[i], never);
        tg_wheel_add(&wheel, &timers[i], 1000 + i * i * i);
    }
    for (size_t i = 0; i < 100; i++) {
        tg_timer_stop(&timers[i]);
        tg_timer_stop(&timers[i]);
    }
    assert_true(tg_wheel_next(&wheel) == UINT64_MAX);
    assert_int_equal(advance(&wheel, 10000000), 0);
}

static void test_far_future_is_clamped(void **state)
{
    (void)state;
    struct tg_wheel wheel;
    struct tg_timer timer;
    tg_wheel_init(&wheel, 5);
    tg_timer_init(&timer, never);
    tg_wheel_add(&wheel, &timer, UINT64_MAX);
    assert_true(timer.due_ms == TG_WHEEL_END);
    assert_int_equal(advance(&wheel, TG_WHEEL_END - 1), 0);
    assert_int_equal(advance(&wheel, TG_WHEEL_END), 1);
}

static void test_first_started_first_fired(void **state)
{
    (void)state;
    struct tg_wheel wheel;
    struct tg_timer timers[10];
    struct tg_list expired;
    tg_wheel_init(&wheel, 60);
    for (size_t i = 0; i < 10; i++) {
        tg_timer_init(&timers[i], never);
        tg_wheel_add(&wheel, &timers[i], 5000);
        assert_int_equal(advance(&wheel, 60 + i * 400), 0);
    }
    tg_list_init(&expired);
    tg_wheel_advance(&wheel, 5000, &expired);
    for (size_t i = 0; i < 10; i++) {
        assert_ptr_equal(tg_list_pop(&expired), &timers[i].node);
    }
    assert_true(tg_list_empty(&expired));
}

enum { CROWD = 500, STEPS = 20000 };

/* Against the plainest model: an array of due times. */
static void test_like_a_plain_model(void **state)
{
    (void)state;
    struct tg_wheel wheel;
    struct tg_timer *timers = calloc(CROWD, sizeof(*timers));
    uint64_t random = 42;
    uint64_t now = 777;
    assert_non_null(timers);
    tg_wheel_init(&wheel, now);
    for (size_t i = 0; i < CROWD; i++) {
        tg_timer_init(&timers[i], never);
    }
    for (size_t step = 0; step < STEPS; step++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        struct tg_timer *timer = &timers[(random >> 33) % CROWD];
        uint64_t reach = UINT64_C(1) << ((random >> 20) % 24);
        if ((random >> 50) % 4 == 0) {
            tg_timer_stop(timer);
        } else {
            tg_timer_stop(timer);
            tg_wheel_add(&wheel, timer, now + (random >> 17) % reach);
        }
        if (step % 3 == 0) {
            now += (random >> 40) % (step % 300 == 0 ? 100000 : 50);
            size_t due = 0;
            for (size_t i = 0; i < CROWD; i++) {
                due += timers[i].due_ms != 0 && timers[i].due_ms <= now;
            }
            assert_int_equal(advance(&wheel, now), due);
        }
    }
    free(timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due_exactly),
        cmocka_unit_test(test_idle_time_is_free),
        cmocka_unit_test(test_stop_leaves_nothing),
        cmocka_unit_test(test_far_future_is_clamped),
        cmocka_unit_test(test_first_started_first_fired),
        cmocka_unit_test(test_like_a_plain_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
