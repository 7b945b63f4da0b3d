/* A target's health by its checks and calls: thresholds, ejection and trial. Time is the test's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/io/upstream_health.h"

static const struct tg_health_policy policy = {
    .healthy_threshold = 2, .unhealthy_threshold = 3, .eject_after = 2, .eject_ms = 100, .eject_max_ms = 350};

static void follows_its_checks(void **state)
{
    (void)state;
    struct tg_health health = {0};
    assert_int_equal(tg_health_state(&health), TG_TARGET_HEALTHY);
    /* In a row: a good one between begins anew. */
    assert_false(tg_health_check_bad(&health, &policy, TG_ETIMEOUT));
    assert_false(tg_health_check_bad(&health, &policy, TG_ETIMEOUT));
    assert_false(tg_health_check_good(&health, &policy));
    assert_false(tg_health_check_bad(&health, &policy, TG_ETIMEOUT));
    assert_false(tg_health_check_bad(&health, &policy, TG_ETIMEOUT));
    assert_true(tg_health_check_bad(&health, &policy, TG_EREFUSED));
    assert_int_equal(tg_health_state(&health), TG_TARGET_FAILING);
    assert_int_equal(tg_health_reason(&health), TG_EREFUSED);
    assert_false(tg_health_check_bad(&health, &policy, TG_OK));
    assert_int_equal(tg_health_reason(&health), TG_OK);
    assert_false(tg_health_check_good(&health, &policy));
    assert_false(tg_health_check_bad(&health, &policy, TG_OK));
    assert_false(tg_health_check_good(&health, &policy));
    assert_int_equal(tg_health_state(&health), TG_TARGET_FAILING);
    assert_true(tg_health_check_good(&health, &policy));
    assert_int_equal(tg_health_state(&health), TG_TARGET_HEALTHY);
    assert_false(tg_health_check_good(&health, &policy));
    /* Being well for long is no credit. */
    for (int i = 0; i < 1000; i++) {
        assert_false(tg_health_check_good(&health, &policy));
    }
    assert_false(tg_health_check_bad(&health, &policy, TG_OK));
    assert_false(tg_health_check_bad(&health, &policy, TG_OK));
    assert_true(tg_health_check_bad(&health, &policy, TG_OK));
    assert_true(tg_health_unchecked(&health));
    assert_int_equal(tg_health_state(&health), TG_TARGET_HEALTHY);
    assert_false(tg_health_unchecked(&health));
}

static void ejects_and_tries_again(void **state)
{
    (void)state;
    struct tg_health health = {0};
    static const uint64_t times[] = {100, 200, 350, 350};
    uint64_t now = 1000;
    assert_false(tg_health_call_failed(&health, &policy, now, TG_EIO));
    assert_false(tg_health_call_answered(&health));
    assert_false(tg_health_call_failed(&health, &policy, now, TG_EIO));
    assert_int_equal(tg_health_state(&health), TG_TARGET_HEALTHY);
    for (size_t i = 0; i < 4; i++) {
        assert_true(tg_health_call_failed(&health, &policy, now, TG_ETIMEOUT));
        assert_int_equal(tg_health_state(&health), TG_TARGET_EJECTED);
        assert_int_equal(tg_health_reason(&health), TG_ETIMEOUT);
        /* What calls from before say changes nothing. */
        assert_false(tg_health_call_failed(&health, &policy, now + 10, TG_EIO));
        assert_false(tg_health_call_answered(&health));
        assert_false(tg_health_look(&health, now + times[i] - 1));
        assert_int_equal(tg_health_state(&health), TG_TARGET_EJECTED);
        now += times[i];
        assert_true(tg_health_look(&health, now));
        assert_int_equal(tg_health_state(&health), TG_TARGET_TRIAL);
        assert_false(tg_health_look(&health, now));
    }
    assert_true(tg_health_call_answered(&health));
    assert_int_equal(tg_health_state(&health), TG_TARGET_HEALTHY);
    assert_int_equal(tg_health_reason(&health), TG_OK);
    /* And from the beginning. */
    assert_false(tg_health_call_failed(&health, &policy, now, TG_EIO));
    assert_true(tg_health_call_failed(&health, &policy, now, TG_EIO));
    assert_true(tg_health_look(&health, now + 100));
}

static void never_ejects_unless_asked(void **state)
{
    (void)state;
    struct tg_health_policy never = policy;
    struct tg_health health = {0};
    never.eject_after = 0;
    for (int i = 0; i < 100; i++) {
        assert_false(tg_health_call_failed(&health, &never, 1, TG_EIO));
    }
    assert_int_equal(tg_health_state(&health), TG_TARGET_HEALTHY);
}

static void joins_checks_and_calls(void **state)
{
    (void)state;
    struct tg_health health = {0};
    assert_false(tg_health_call_failed(&health, &policy, 1, TG_EIO));
    assert_true(tg_health_call_failed(&health, &policy, 1, TG_EIO));
    /* A good check ends no ejection: calls may fail where checks do not. */
    assert_false(tg_health_check_good(&health, &policy));
    assert_false(tg_health_check_good(&health, &policy));
    assert_int_equal(tg_health_state(&health), TG_TARGET_EJECTED);
    assert_false(tg_health_check_bad(&health, &policy, TG_OK));
    assert_false(tg_health_check_bad(&health, &policy, TG_OK));
    assert_true(tg_health_check_bad(&health, &policy, TG_OK));
    assert_int_equal(tg_health_state(&health), TG_TARGET_FAILING);
    /* The ejection's end is no way past the checks; passing these again is a new life. */
    assert_false(tg_health_look(&health, 101));
    assert_int_equal(tg_health_state(&health), TG_TARGET_FAILING);
    assert_false(tg_health_call_answered(&health));
    assert_false(tg_health_check_good(&health, &policy));
    assert_true(tg_health_check_good(&health, &policy));
    assert_int_equal(tg_health_state(&health), TG_TARGET_HEALTHY);
    assert_int_equal(health.ejected_in_row, 0);
}

static void bounds_any_doubling(void **state)
{
    (void)state;
    struct tg_health_policy wide = policy;
    struct tg_health health = {0};
    wide.eject_after = 1;
    wide.eject_max_ms = UINT64_MAX / 4;
    uint64_t now = 1;
    for (int i = 0; i < 100; i++) {
        (void)tg_health_call_failed(&health, &wide, now, TG_EIO);
        assert_true(health.ejected_until_ms > now);
        assert_true(health.ejected_until_ms - now <= wide.eject_max_ms);
        uint64_t until = health.ejected_until_ms;
        (void)tg_health_look(&health, until);
        now = 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_its_checks),        cmocka_unit_test(ejects_and_tries_again),
        cmocka_unit_test(never_ejects_unless_asked), cmocka_unit_test(joins_checks_and_calls),
        cmocka_unit_test(bounds_any_doubling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
