/* Slots of keys, against values of CLUSTER KEYSLOT; what redirections say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/io/redis_slots.h"

static void test_slots(void **state)
{
    static const struct {
        const char *key;
        int slot;
    } rows[] = {
        {"", 0},
        {"123456789", 0x31c3},
        {"foo", 12182},
        {"bar", 5061},
        {"hello", 866},
        {"{user1000}.following", 3443},
        {"{user1000}.followers", 3443},
        {"user1000", 3443},
        {"foo{bar}{zap}", 5061},
        {"x{foo}", 12182},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(tg_redis_slot(tg_slice_cstr(rows[i].key)), rows[i].slot);
    }
    /* An empty tag, or none that ends, is none. */
    assert_int_not_equal(tg_redis_slot(TG_LIT("foo{}{bar}")), 5061);
    assert_int_not_equal(tg_redis_slot(TG_LIT("foo{bar")), 5061);
    /* The first closing one ends it. */
    assert_int_equal(tg_redis_slot(TG_LIT("foo{{bar}}zap")), tg_redis_slot(TG_LIT("{bar")));
}

static void test_redirections(void **state)
{
    static const struct {
        const char *text;
        enum tg_redis_redirection kind;
        int slot;
        const char *host;
        int port;
    } rows[] = {
        {"MOVED 3999 127.0.0.1:6381", TG_REDIS_MOVED, 3999, "127.0.0.1", 6381},
        {"ASK 16383 redis-2.example:1", TG_REDIS_ASK, 16383, "redis-2.example", 1},
        {"MOVED 0 :6381", TG_REDIS_MOVED, 0, "", 6381},
        {"MOVED 1 ::1:65535", TG_REDIS_MOVED, 1, "::1", 65535},
        {"TRYAGAIN Multiple keys request during rehashing of slot", TG_REDIS_LATER, -1, NULL, 0},
        {"CLUSTERDOWN The cluster is down", TG_REDIS_LATER, -1, NULL, 0},
        {"ERR unknown command", TG_REDIS_STAY, -1, NULL, 0},
        {"MOVED", TG_REDIS_STAY, -1, NULL, 0},
        {"MOVED ", TG_REDIS_STAY, -1, NULL, 0},
        {"MOVED 1", TG_REDIS_STAY, -1, NULL, 0},
        {"MOVED 1 host", TG_REDIS_STAY, -1, NULL, 0},
        {"MOVED 1 host:", TG_REDIS_STAY, -1, NULL, 0},
        {"MOVED 1 host:0", TG_REDIS_STAY, -1, NULL, 0},
        {"MOVED 1 host:65536", TG_REDIS_STAY, -1, NULL, 0},
        {"MOVED 16384 host:1", TG_REDIS_STAY, -1, NULL, 0},
        {"ASK -1 host:1", TG_REDIS_STAY, -1, NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint16_t slot = 7;
        struct tg_redis_place place = {.port = 7};
        assert_int_equal(tg_redis_redirection(tg_slice_cstr(rows[i].text), &slot, &place), rows[i].kind);
        if (rows[i].slot < 0) {
            assert_int_equal(slot, 7);
            assert_int_equal(place.port, 7);
            continue;
        }
        assert_int_equal(slot, rows[i].slot);
        assert_true(tg_slice_eq(place.host, tg_slice_cstr(rows[i].host)));
        assert_int_equal(place.port, rows[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slots), cmocka_unit_test(test_redirections)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
