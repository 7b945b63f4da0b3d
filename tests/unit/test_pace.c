#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "connmgr/pace.h"

enum { TICK_MS = 5, LONG_MS = 3600000 };

/* Closes `left` from `now` on, a look every TICK_MS, and counts those of each second. */
static uint64_t run(struct tg_pace *pace, size_t left, uint64_t now, size_t *seconds, size_t second_count)
{
    uint64_t start = now;
    while (left > 0) {
        size_t due = tg_pace_due(pace, left, now);
        assert_true(due <= left);
        left -= due;
        size_t second = (size_t)(now - start) / 1000;
        if (second < second_count) {
            seconds[second] += due;
        }
        now += TICK_MS;
        assert_true(now < start + LONG_MS);
    }
    return now - start - TICK_MS;
}

static void keeps_the_rate(void **state)
{
    static const double rates[] = {1, 10, 200, 5000};
    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        for (int half = 0; half <= 2; half++) {
            double jitter = half / 2.0;
            struct tg_pace pace;
            size_t seconds[40] = {0};
            tg_pace_start(&pace, rates[i], jitter, 1000 + LONG_MS, 1000, 7 + i);
            uint64_t took = run(&pace, (size_t)(rates[i] * 20), 1000, seconds, 40);
            assert_in_range(took, 20000 - 3000, 20000 + 3000);
            for (size_t at = 0; at < 19; at++) {
                double most = rates[i] * 1.2 + 2; /* a second's sum varies by chance */
                assert_true((double)seconds[at] <= most);
            }
        }
    }
}

static void varies_the_gaps_as_told(void **state)
{
    struct tg_pace pace;
    (void)state;
    for (int quarter = 0; quarter <= 4; quarter++) {
        double jitter = quarter / 4.0;
        double least = 1e9, most = 0, before = -1;
        tg_pace_start(&pace, 2, jitter, LONG_MS, 0, 3);
        for (uint64_t now = 0; now < 400000; now++) {
            if (tg_pace_due(&pace, 5, now) > 0) {
                double gap = (double)now - before;
                least = before >= 0 && gap < least ? gap : least;
                most = before >= 0 && gap > most ? gap : most;
                before = (double)now;
            }
        }
        assert_true(least >= 500 * (1 - jitter) - 2 && least <= 500 * (1 - jitter) + 60 * jitter + 2);
        assert_true(most <= 500 * (1 + jitter) + 2 && most >= 500 * (1 + jitter) - 60 * jitter - 2);
    }
}

static void rises_to_be_done_in_time(void **state)
{
    struct tg_pace pace;
    size_t seconds[12] = {0};
    (void)state;
    tg_pace_start(&pace, 10, 0.5, 10000, 0, 1);
    assert_true(tg_pace_rate(&pace, 50, 0) <= 10 && tg_pace_rate(&pace, 50, 0) >= 10);
    assert_true(tg_pace_rate(&pace, 1000, 0) >= 100 && tg_pace_rate(&pace, 1000, 0) <= 100);
    assert_in_range(run(&pace, 1000, 0, seconds, 12), 9000, 10000);
    for (size_t i = 0; i < 9; i++) {
        assert_in_range(seconds[i], 80, 120); /* no burst at the end */
    }
}

static void takes_all_without_a_limit_and_when_the_time_is_over(void **state)
{
    struct tg_pace pace;
    (void)state;
    tg_pace_start(&pace, 0, 0.5, 10000, 0, 1);
    assert_int_equal(tg_pace_due(&pace, 12345, 0), 12345);
    tg_pace_start(&pace, 1, 0, 500, 0, 1);
    assert_int_equal(tg_pace_due(&pace, 1, 0), 1);
    assert_int_equal(tg_pace_due(&pace, 0, 400), 0);
    assert_int_equal(tg_pace_due(&pace, 70, 500), 70);
    tg_pace_start(&pace, -1, 0, 500, 0, 1);
    assert_int_equal(tg_pace_due(&pace, 9, 0), 9);
}

static void makes_up_for_little(void **state)
{
    struct tg_pace pace;
    (void)state;
    tg_pace_start(&pace, 100, 0, LONG_MS, 0, 1);
    assert_int_equal(tg_pace_due(&pace, 1000, 0), 1);
    assert_in_range(tg_pace_due(&pace, 1000, 30000), 10, 11); /* the loop stood still for half a minute */
    assert_int_equal(tg_pace_due(&pace, 1000, 30001), 0);
    assert_int_equal(tg_pace_due(&pace, 1000, 30010), 1);
}

static void says_how_long_to_wait(void **state)
{
    struct tg_pace pace;
    (void)state;
    tg_pace_start(&pace, 10, 0, LONG_MS, 1000, 1);
    assert_int_equal(tg_pace_wait(&pace, 1000, 500), 1);
    assert_int_equal(tg_pace_due(&pace, 5, 1000), 1);
    assert_int_equal(tg_pace_wait(&pace, 1000, 500), 100);
    assert_int_equal(tg_pace_wait(&pace, 1060, 500), 40);
    assert_int_equal(tg_pace_wait(&pace, 1000, 20), 20);
    assert_int_equal(tg_pace_wait(&pace, 5000, 20), 1);
}

static void differs_by_its_seed(void **state)
{
    struct tg_pace a, b;
    (void)state;
    tg_pace_start(&a, 1, 1, LONG_MS, 0, 1);
    tg_pace_start(&b, 1, 1, LONG_MS, 0, 2);
    assert_true(a.next_ms < b.next_ms || a.next_ms > b.next_ms);
    assert_true(a.next_ms >= 0 && a.next_ms <= 1000 && b.next_ms >= 0 && b.next_ms <= 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_rate),
        cmocka_unit_test(varies_the_gaps_as_told),
        cmocka_unit_test(rises_to_be_done_in_time),
        cmocka_unit_test(takes_all_without_a_limit_and_when_the_time_is_over),
        cmocka_unit_test(makes_up_for_little),
        cmocka_unit_test(says_how_long_to_wait),
        cmocka_unit_test(differs_by_its_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
