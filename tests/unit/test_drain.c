/* The times of a drain, and each worker's share of the rate. What the process does with them: e2e/drain. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/app/drain.h"

static struct tg_drain_times times(double grace, double deadline)
{
    const struct tg_drain_settings settings = {.grace_seconds = grace, .deadline_seconds = deadline};
    return tg_drain_plan(&settings, 1000);
}

static void orders_its_times(void **state)
{
    (void)state;
    for (int i = 0; i < 400; i++) {
        double deadline = i / 4.0;
        for (int j = 0; j / 2.0 < deadline; j++) {
            double grace = j / 2.0;
            struct tg_drain_times t = times(grace, deadline);
            assert_true(t.close_ms == 1000 + (uint64_t)(grace * 1000));
            assert_true(t.end_ms == 1000 + (uint64_t)(deadline * 1000));
            assert_true(t.close_ms <= t.last_ms && t.last_ms <= t.cut_ms && t.cut_ms <= t.end_ms);
            assert_true(t.end_ms - t.last_ms <= 5000 && t.end_ms - t.cut_ms <= 2500);
            assert_true(t.last_ms - t.close_ms >= t.end_ms - t.last_ms); /* half is for closing */
        }
    }
}

static void has_room_for_answers_and_disconnects(void **state)
{
    (void)state;
    struct tg_drain_times t = times(10, 40);
    assert_int_equal(t.close_ms, 11000);
    assert_int_equal(t.last_ms, 36000);
    assert_int_equal(t.cut_ms, 38500);
    assert_int_equal(t.end_ms, 41000);
    t = times(0, 2);
    assert_int_equal(t.last_ms, 2000);
    assert_int_equal(t.cut_ms, 2500);
    t = times(0, 0);
    assert_int_equal(t.last_ms, 1000);
    assert_int_equal(t.end_ms, 1000);
}

static void shares_add_up_to_the_rate(void **state)
{
    static const size_t open[] = {0, 1, 10, 500, 0, 90000};
    size_t all = 0, workers = sizeof open / sizeof open[0];
    double sum = 0;
    (void)state;
    for (size_t i = 0; i < workers; i++) {
        all += open[i];
    }
    for (size_t i = 0; i < workers; i++) {
        double share = tg_drain_share(500, open[i], all, workers);
        assert_true(share > 0); /* nobody is without a limit */
        sum += share;
    }
    assert_true(sum > 499.999 && sum < 500.001);
    /* Workers are done at about the same time. */
    assert_true(tg_drain_share(500, 90000, all, workers) > 179 * tg_drain_share(500, 500, all, workers));
    assert_true(tg_drain_share(0, 10, 20, 2) <= 0);
}

static void names_its_states(void **state)
{
    (void)state;
    assert_string_equal(tg_drain_state_name(TG_DRAIN_SERVING), "serving");
    assert_string_equal(tg_drain_state_name(TG_DRAIN_GRACE), "grace");
    assert_string_equal(tg_drain_state_name(TG_DRAIN_CLOSING), "closing");
    assert_string_equal(tg_drain_state_name(TG_DRAIN_ENDING), "ending");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_its_times),
        cmocka_unit_test(has_room_for_answers_and_disconnects),
        cmocka_unit_test(shares_add_up_to_the_rate),
        cmocka_unit_test(names_its_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
