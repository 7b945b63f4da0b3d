/* Questions of other nodes, each taken once and in the order of its asker's numbers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "connmgr/seen.h"

enum { LIFE = 2000 };

static const struct tg_bus_address one = {.node = 7, .worker = 0}, other = {.node = 7, .worker = 1};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct tg_seen));
    return *state == NULL;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static bool take(struct tg_seen *seen, struct tg_bus_address from, uint64_t number, int64_t now)
{
    return tg_seen_take(seen, from, number, now + LIFE, now);
}

static void each_once_and_in_order(void **state)
{
    struct tg_seen *seen = *state;
    assert_true(take(seen, one, 1, 100));
    assert_false(take(seen, one, 1, 101)); /* twice */
    assert_true(take(seen, one, 4, 102));
    assert_false(take(seen, one, 3, 103)); /* late: its asker has asked more since */
    assert_true(take(seen, other, 3, 103));
    assert_true(take(seen, one, 5, 104));
}

/* A number may be given again, to another process, which counts from the beginning. */
static void forgotten_when_expired(void **state)
{
    struct tg_seen *seen = *state;
    assert_true(tg_seen_take(seen, one, 9, 5000, 100));
    assert_true(tg_seen_take(seen, one, 10, 3000, 100));
    assert_false(tg_seen_take(seen, one, 9, 5000, 4999)); /* the later one has expired, this one has not */
    assert_true(tg_seen_take(seen, one, 1, 7000, 5000));
    assert_false(tg_seen_take(seen, one, 1, 7000, 5001));
}

static void two_in_one_place(void **state)
{
    struct tg_seen *seen = *state;
    const struct tg_bus_address same = {.node = 7 + TG_SEEN_PLACES, .worker = 0};
    assert_true(take(seen, one, 5, 100));
    assert_true(take(seen, same, 1, 100)); /* none is refused for another's */
    assert_false(take(seen, same, 1, 100));
    assert_true(take(seen, one, 6, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_once_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(forgotten_when_expired, setup, teardown),
        cmocka_unit_test_setup_teardown(two_in_one_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
