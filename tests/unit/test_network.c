#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/io/network.h"

static void takes_what_is_in_the_range(void **state)
{
    (void)state;
    static const struct {
        const char *range, *address;
        bool holds;
    } rows[] = {
        {"10.0.0.0/8", "10.255.1.2:80", true},
        {"10.0.0.0/8", "11.0.0.0:80", false},
        {"10.9.8.7/8", "10.0.0.1:80", true}, /* bits that do not count */
        {"192.0.2.7", "192.0.2.7:1", true},
        {"192.0.2.7", "192.0.2.6:1", false},
        {"192.0.2.4/30", "192.0.2.7:1", true},
        {"192.0.2.4/30", "192.0.2.8:1", false},
        {"192.0.2.4/31", "192.0.2.6:1", false},
        {"0.0.0.0/0", "203.0.113.1:1", true},
        {"0.0.0.0/0", "[::ffff:203.0.113.1]:1", true}, /* as a socket for both families tells IPv4 clients */
        {"0.0.0.0/0", "[2001:db8::1]:1", false},
        {"::/0", "[2001:db8::1]:1", true},
        {"::/0", "203.0.113.1:1", false},
        {"::/0", "[::ffff:203.0.113.1]:1", false},
        {"::/64", "203.0.113.1:1", false},
        {"::ffff:10.0.0.0/104", "10.1.2.3:1", true},
        {"2001:db8::/32", "[2001:DB8:1::2]:1", true},
        {"2001:db8::/32", "[2001:db9::]:1", false},
        {"2001:db8::8/125", "[2001:db8::f]:1", true},
        {"2001:db8::8/125", "[2001:db8::10]:1", false},
        {"::1", "[::1]:1", true},
        {"::1", "[::2]:1", false},
        {"0.0.0.0/0", "unix:/x", false},
        {"::/0", "unix:/x", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_network range;
        struct tg_address address;
        assert_int_equal(tg_network_parse(tg_slice_cstr(rows[i].range), &range), TG_OK);
        assert_int_equal(tg_address_parse(tg_slice_cstr(rows[i].address), &address), TG_OK);
        const struct tg_networks one = {&range, 1}, none = {&range, 0};
        if (tg_networks_hold(&one, &address) != rows[i].holds) {
            fail_msg("%s in %s", rows[i].address, rows[i].range);
        }
        assert_false(tg_networks_hold(&none, &address));
    }
}

static void any_of_several_will_do(void **state)
{
    (void)state;
    struct tg_network items[2];
    const struct tg_networks both = {items, 2};
    struct tg_address address;
    assert_int_equal(tg_network_parse(TG_LIT("10.0.0.0/8"), &items[0]), TG_OK);
    assert_int_equal(tg_network_parse(TG_LIT("fd00::/8"), &items[1]), TG_OK);
    assert_int_equal(tg_address_parse(TG_LIT("[fd12::1]:1"), &address), TG_OK);
    assert_true(tg_networks_hold(&both, &address));
    assert_int_equal(tg_address_parse(TG_LIT("172.16.0.1:1"), &address), TG_OK);
    assert_false(tg_networks_hold(&both, &address));
}

static void a_range_holds_a_narrower_one(void **state)
{
    (void)state;
    struct tg_network wide, narrow;
    assert_int_equal(tg_network_parse(TG_LIT("10.0.0.0/8"), &wide), TG_OK);
    assert_int_equal(tg_network_parse(TG_LIT("10.1.0.0/16"), &narrow), TG_OK);
    assert_true(tg_network_holds(&wide, &narrow));
    assert_true(tg_network_holds(&wide, &wide));
    assert_false(tg_network_holds(&narrow, &wide));
}

static void refuses_what_is_none(void **state)
{
    (void)state;
    static const struct tg_slice bad[] = {
        TG_LIT_INIT(""),
        TG_LIT_INIT("/8"),
        TG_LIT_INIT("10.0.0.0/"),
        TG_LIT_INIT("10.0.0.0/33"),
        TG_LIT_INIT("10.0.0.0/-1"),
        TG_LIT_INIT("10.0.0.0/8/8"),
        TG_LIT_INIT("10.0.0/8"),
        TG_LIT_INIT("010.0.0.1"),
        TG_LIT_INIT("::/129"),
        TG_LIT_INIT("[::1]"),
        TG_LIT_INIT("fe80::1%eth0"),
        TG_LIT_INIT("::ffff:10.0.0.0/90"),
        TG_LIT_INIT("10.0.0.1\0"),
        TG_LIT_INIT("proxy.example.com"),
        TG_LIT_INIT("1111:2222:3333:4444:5555:6666:7777:8888:9999:0000"),
    };
    struct tg_network range = {.bits = 77};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (tg_network_parse(bad[i], &range) != TG_ESYNTAX) {
            fail_msg("%.*s", TG_FMT(bad[i]));
        }
    }
    assert_int_equal(range.bits, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_in_the_range),
        cmocka_unit_test(any_of_several_will_do),
        cmocka_unit_test(a_range_holds_a_narrower_one),
        cmocka_unit_test(refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
