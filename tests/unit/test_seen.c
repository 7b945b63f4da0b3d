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

static struct tg_bus_address sharing(uint32_t i)
{
    return (struct tg_bus_address){.node = one.node + i * TG_SEEN_PLACES, .worker = one.worker};
}

/* None forgets another, while there is room. */
static void some_in_one_place(void **state)
{
    struct tg_seen *seen = *state;
    for (uint32_t i = 0; i < TG_SEEN_WAYS; i++) {
        assert_true(take(seen, sharing(i), 5, 100 + i));
    }
    for (uint32_t i = 0; i < TG_SEEN_WAYS; i++) {
        assert_false(take(seen, sharing(i), 5, 110));
    }
    for (uint32_t i = 0; i < TG_SEEN_WAYS; i++) {
        assert_true(take(seen, sharing(i), 6, 120));
    }
}

/* None is refused for another's; the one that expires first is forgotten, whatever its place among them. */
static void too_many_in_one_place(void **state)
{
    struct tg_seen *seen = *state;
    for (uint32_t i = 0; i < TG_SEEN_WAYS; i++) {
        assert_true(tg_seen_take(seen, sharing(i), 5, i == 2 ? 1000 : 2000, 100));
    }
    assert_true(tg_seen_take(seen, sharing(TG_SEEN_WAYS), 1, 2000, 100));
    assert_false(tg_seen_take(seen, sharing(TG_SEEN_WAYS), 1, 2000, 100));
    for (uint32_t i = 0; i < TG_SEEN_WAYS; i++) {
        if (i != 2) {
            assert_false(tg_seen_take(seen, sharing(i), 5, 2000, 100));
        }
    }
    assert_true(tg_seen_take(seen, sharing(2), 5, 1000, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_once_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(forgotten_when_expired, setup, teardown),
        cmocka_unit_test_setup_teardown(some_in_one_place, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_in_one_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
