#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/base/map.h"

static struct tg_slice numbered_key(size_t number, char text[24])
{
    int len = snprintf(text, 24, "key-%zu", number);
    return tg_slice_make(text, (size_t)len);
}

static void an_empty_map_answers(void **state)
{
    (void)state;
    struct tg_map map;
    tg_map_init(&map, 1);
    assert_null(tg_map_get(&map, TG_LIT("a")));
    assert_null(tg_map_remove(&map, TG_LIT("a")));
    tg_map_free(&map, NULL);
}

static void keys_are_bytes(void **state)
{
    (void)state;
    struct tg_map map;
    int one, two, three;
    tg_map_init(&map, 1);
    assert_int_equal(tg_map_add(&map, TG_LIT("a\0b"), &one), TG_OK);
    assert_int_equal(tg_map_add(&map, TG_LIT("a\0c"), &two), TG_OK);
    assert_int_equal(tg_map_add(&map, TG_EMPTY, &three), TG_OK);
    assert_ptr_equal(tg_map_get(&map, TG_LIT("a\0b")), &one);
    assert_ptr_equal(tg_map_get(&map, TG_LIT("a\0c")), &two);
    assert_ptr_equal(tg_map_get(&map, TG_LIT("")), &three);
    assert_null(tg_map_get(&map, TG_LIT("a")));
    tg_map_free(&map, NULL);
}

static void keys_are_copied(void **state)
{
    (void)state;
    struct tg_map map;
    char key[] = "key";
    int value;
    tg_map_init(&map, 1);
    assert_int_equal(tg_map_add(&map, tg_slice_cstr(key), &value), TG_OK);
    key[0] = 'X';
    assert_ptr_equal(tg_map_get(&map, TG_LIT("key")), &value);
    tg_map_free(&map, NULL);
}

static void a_second_value_is_refused(void **state)
{
    (void)state;
    struct tg_map map;
    int one, two;
    tg_map_init(&map, 1);
    assert_int_equal(tg_map_add(&map, TG_LIT("a"), &one), TG_OK);
    assert_int_equal(tg_map_add(&map, TG_LIT("a"), &two), TG_EEXIST);
    assert_ptr_equal(tg_map_get(&map, TG_LIT("a")), &one);
    assert_int_equal(map.count, 1);
    assert_ptr_equal(tg_map_remove(&map, TG_LIT("a")), &one);
    assert_int_equal(tg_map_add(&map, TG_LIT("a"), &two), TG_OK);
    assert_ptr_equal(tg_map_get(&map, TG_LIT("a")), &two);
    tg_map_free(&map, NULL);
}

static void many_keys_are_added_and_removed(void **state)
{
    (void)state;
    static int values[5000];
    char text[24];
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct tg_map map;
        tg_map_init(&map, seed);
        for (size_t i = 0; i < 5000; i++) {
            assert_int_equal(tg_map_add(&map, numbered_key(i, text), &values[i]), TG_OK);
        }
        assert_int_equal(map.count, 5000);
        for (size_t i = 0; i < 5000; i += 2) {
            assert_ptr_equal(tg_map_remove(&map, numbered_key(i, text)), &values[i]);
        }
        assert_int_equal(map.count, 2500);
        for (size_t i = 0; i < 5000; i++) {
            assert_ptr_equal(tg_map_get(&map, numbered_key(i, text)), i % 2 == 0 ? NULL : &values[i]);
        }
        tg_map_free(&map, NULL);
    }
}

struct visits {
    size_t count, stop_at;
    int sum;
};

static bool visit(void *arg, struct tg_slice key, void *value)
{
    struct visits *visits = arg;
    assert_true(tg_slice_starts(key, TG_LIT("key-")));
    visits->count++;
    visits->sum += *(int *)value;
    return visits->count != visits->stop_at;
}

static void drop(void *value)
{
    *(int *)value = -1;
}

static void entries_are_visited_once_and_dropped(void **state)
{
    (void)state;
    struct tg_map map;
    char text[24];
    int values[100];
    tg_map_init(&map, 9);
    for (int i = 0; i < 100; i++) {
        values[i] = i;
        assert_int_equal(tg_map_add(&map, numbered_key((size_t)i, text), &values[i]), TG_OK);
    }
    struct visits all = {0}, some = {.stop_at = 7};
    tg_map_each(&map, visit, &all);
    assert_int_equal(all.count, 100);
    assert_int_equal(all.sum, 4950);
    tg_map_each(&map, visit, &some);
    assert_int_equal(some.count, 7);
    tg_map_free(&map, drop);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(values[i], -1);
    }
    assert_int_equal(map.count, 0);
    assert_true(map.seed == 9);
    assert_null(tg_map_get(&map, TG_LIT("key-1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_answers),
        cmocka_unit_test(keys_are_bytes),
        cmocka_unit_test(keys_are_copied),
        cmocka_unit_test(a_second_value_is_refused),
        cmocka_unit_test(many_keys_are_added_and_removed),
        cmocka_unit_test(entries_are_visited_once_and_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
