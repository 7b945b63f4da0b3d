#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/throttle.h"

static const struct tg_api api = {.api_id = {"chat", 4}};

static int set_up_with(void **state, bool shared)
{
    struct tg_throttles *throttles;
    assert_int_equal(tg_throttles_new(shared, &throttles), TG_OK);
    *state = throttles;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, true);
}

static int set_up_alone(void **state)
{
    return set_up_with(state, false);
}

static int tear_down(void **state)
{
    tg_throttles_free(*state);
    return 0;
}

/* How many of `tries` pass at that time. */
static int passed(struct tg_throttles *throttles, const struct tg_model *model, int tries, uint64_t now_ms)
{
    int count = 0;
    for (int i = 0; i < tries; i++) {
        count += tg_throttle_account(throttles, model, now_ms);
    }
    return count;
}

static void a_burst_passes_then_the_rate(void **state)
{
    const struct tg_model model = {.throttling = {.rate_limit = 10, .burst_limit = 5}};
    assert_int_equal(passed(*state, &model, 20, 1000), 5);
    assert_int_equal(passed(*state, &model, 20, 1099), 0);
    assert_int_equal(passed(*state, &model, 20, 1100), 1);
    assert_int_equal(passed(*state, &model, 20, 1400), 3);
    /* Idle time fills the bucket, not more. */
    assert_int_equal(passed(*state, &model, 20, 100000), 5);
}

static void zero_blocks(void **state)
{
    const struct tg_model no_rate = {.throttling = {.rate_limit = 0, .burst_limit = 5}};
    const struct tg_model no_burst = {.throttling = {.rate_limit = 5, .burst_limit = 0}};
    assert_int_equal(passed(*state, &no_rate, 3, 1000), 0);
    assert_int_equal(passed(*state, &no_burst, 3, 1000), 0);
}

static void a_rate_below_one_a_second(void **state)
{
    const struct tg_model model = {.throttling = {.rate_limit = 0.5, .burst_limit = 1}};
    assert_int_equal(passed(*state, &model, 3, 10000), 1);
    assert_int_equal(passed(*state, &model, 3, 11999), 0);
    assert_int_equal(passed(*state, &model, 3, 12000), 1);
}

static void settings_may_change_under_way(void **state)
{
    struct tg_model model = {.throttling = {.rate_limit = 10, .burst_limit = 5}};
    assert_int_equal(passed(*state, &model, 20, 1000), 5);
    model.throttling.burst_limit = 8;
    assert_int_equal(passed(*state, &model, 20, 1000), 3);
    model.throttling.burst_limit = 2;
    assert_int_equal(passed(*state, &model, 20, 1000), 0);
    assert_int_equal(passed(*state, &model, 20, 10000), 2);
}

static void a_higher_rate_counts_at_once(void **state)
{
    struct tg_model model = {.throttling = {.rate_limit = 1, .burst_limit = 5000}};
    assert_int_equal(passed(*state, &model, 6000, 1000), 5000);
    model.throttling.rate_limit = 10000;
    assert_int_equal(passed(*state, &model, 20, 1001), 0);
    assert_int_equal(passed(*state, &model, 20, 1002), 10);
}

static void no_setting_is_too_large_or_too_small(void **state)
{
    const struct {
        double rate;
        int64_t burst;
        int passed; /* of three */
    } rows[] = {
        {0.1, INT64_MAX, 3}, {5e-324, 1, 1}, {1e-9, 2, 2}, {1e300, INT64_MAX, 3}, {1e300, 1, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct tg_model model = {
            .throttling = {.rate_limit = rows[i].rate, .burst_limit = rows[i].burst}};
        struct tg_throttles *throttles;
        assert_int_equal(tg_throttles_new(i % 2 == 0, &throttles), TG_OK);
        assert_int_equal(passed(throttles, &model, 3, 1000), rows[i].passed);
        tg_throttles_free(throttles);
    }
    (void)state;
}

static void connections_have_a_bucket_of_their_own(void **state)
{
    const struct tg_model model = {
        .throttling = {
            .rate_limit = 10, .burst_limit = 1, .connection_rate_limit = 10, .connection_burst_limit = 2}};
    assert_true(tg_throttle_account(*state, &model, 1000));
    assert_false(tg_throttle_account(*state, &model, 1000));
    assert_true(tg_throttle_connection(*state, &model, 1000));
    assert_true(tg_throttle_connection(*state, &model, 1000));
    assert_false(tg_throttle_connection(*state, &model, 1000));
}

static struct tg_route_settings limits(int64_t burst, double rate)
{
    return (struct tg_route_settings){.throttling_burst_limit = burst, .throttling_rate_limit = rate};
}

static int route_passed(struct tg_throttles *throttles, const struct tg_stage *stage, const char *key,
                        int tries)
{
    const struct tg_route route = {.route_key = tg_slice_cstr(key)};
    int count = 0;
    for (int i = 0; i < tries; i++) {
        count += tg_throttle_route(throttles, &api, stage, &route, 1000);
    }
    return count;
}

static void a_limit_that_is_kept_is_the_same_bucket(void **state)
{
    const struct tg_model model = {.throttling = {.rate_limit = 10, .burst_limit = 3}};
    const struct tg_model none = {.throttling = {.rate_limit = 10, .burst_limit = 0}};
    const struct tg_throttle_limit limit = tg_throttle_account_limit(*state, &model);
    const struct tg_throttle_limit blocked = tg_throttle_account_limit(*state, &none);
    assert_true(tg_throttle_take(&limit, 1000));
    assert_int_equal(passed(*state, &model, 1, 1000), 1);
    assert_false(tg_throttle_take(&blocked, 1000));
    assert_true(tg_throttle_take(&limit, 1000));
    assert_false(tg_throttle_take(&limit, 1000));
}

static void routes_are_unlimited_unless_set(void **state)
{
    const struct tg_stage stage = {.stage_name = TG_LIT("prod"), .default_route_settings = limits(-1, -1)};
    assert_int_equal(route_passed(*state, &stage, "$default", 20000), 20000);
}

static void each_route_of_each_stage_has_a_bucket(void **state)
{
    struct tg_route_settings own = limits(1, 1);
    own.route_key = TG_LIT("slow");
    const struct tg_stage prod = {
        .stage_name = TG_LIT("prod"), .default_route_settings = limits(3, 1), .route_settings = {&own, 1}};
    const struct tg_stage dev = {.stage_name = TG_LIT("dev"), .default_route_settings = limits(2, 1)};
    assert_int_equal(route_passed(*state, &prod, "a", 10), 3);
    assert_int_equal(route_passed(*state, &prod, "b", 10), 3);
    assert_int_equal(route_passed(*state, &prod, "slow", 10), 1);
    assert_int_equal(route_passed(*state, &dev, "a", 10), 2);
    assert_int_equal(route_passed(*state, &prod, "a", 10), 0);
}

static void one_of_the_two_set_leaves_the_other_at_its_default(void **state)
{
    const struct tg_stage burst = {.stage_name = TG_LIT("b"), .default_route_settings = limits(7, -1)};
    const struct tg_stage rate = {.stage_name = TG_LIT("r"), .default_route_settings = limits(-1, 1)};
    const struct tg_stage blocked = {.stage_name = TG_LIT("z"), .default_route_settings = limits(0, -1)};
    assert_int_equal(route_passed(*state, &burst, "x", 100), 7);
    assert_int_equal(route_passed(*state, &rate, "x", 6000), 5000);
    assert_int_equal(route_passed(*state, &blocked, "x", 100), 0);
}

/* Of several threads, and of one. */
#define TEST(name)                                                                                           \
    cmocka_unit_test_setup_teardown(name, set_up, tear_down),                                                \
        cmocka_unit_test_setup_teardown(name, set_up_alone, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_burst_passes_then_the_rate),
        TEST(zero_blocks),
        TEST(a_rate_below_one_a_second),
        TEST(settings_may_change_under_way),
        TEST(a_higher_rate_counts_at_once),
        TEST(no_setting_is_too_large_or_too_small),
        TEST(connections_have_a_bucket_of_their_own),
        TEST(a_limit_that_is_kept_is_the_same_bucket),
        TEST(routes_are_unlimited_unless_set),
        TEST(each_route_of_each_stage_has_a_bucket),
        TEST(one_of_the_two_set_leaves_the_other_at_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
