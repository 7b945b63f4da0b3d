#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "server/io/address.h"

static void test_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *text, *back, *ip;
        uint16_t port;
        bool local;
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", 80, true},
        {"127.9.0.1:65535", "127.9.0.1:65535", "127.9.0.1", 65535, true},
        {"0.0.0.0:0", "0.0.0.0:0", "0.0.0.0", 0, false},
        {"10.1.2.3:8080", "10.1.2.3:8080", "10.1.2.3", 8080, false},
        {"[::1]:80", "[::1]:80", "::1", 80, true},
        {"[2001:DB8::5]:443", "[2001:db8::5]:443", "2001:db8::5", 443, false},
        {"[::ffff:192.0.2.7]:1", "[::ffff:192.0.2.7]:1", "192.0.2.7", 1, false},
        {"[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", "127.0.0.1", 1, true},
        {":8080", "[::]:8080", "::", 8080, false},
        {"unix:/run/tidegate.sock", "unix:/run/tidegate.sock", "unix", 0, true},
        {"unix:here.sock", "unix:here.sock", "unix", 0, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tg_address address;
        char text[TG_ADDRESS_TEXT_MAX];
        assert_int_equal(tg_address_parse(tg_slice_cstr(rows[i].text), &address), TG_OK);
        assert_int_equal(tg_address_text(&address, text), strlen(rows[i].back));
        assert_string_equal(text, rows[i].back);
        assert_int_equal(tg_address_ip(&address, text), strlen(rows[i].ip));
        assert_string_equal(text, rows[i].ip);
        assert_int_equal(tg_address_port(&address), rows[i].port);
        assert_int_equal(tg_address_is_local(&address), rows[i].local);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        ":",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "1.2.3:80",
        "1.2.3.256:80",
        "1.2.3.04:80",
        "localhost:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "[]:80",
        "[127.0.0.1]:80",
        "[::1%lo]:80",
        "[::1]:",
        "[::1]:8a",
        "unix:",
        "127.0.0.1: 80",
        "127.0.0.1:000080",
        "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24:80",
        "Unix:/tmp/a",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tg_address address = {.len = 77};
        assert_int_equal(tg_address_parse(tg_slice_cstr(rows[i]), &address), TG_ESYNTAX);
        assert_int_equal(address.len, 77);
    }
    struct tg_address address;
    assert_int_equal(tg_address_parse(TG_LIT("127.0.0.1\0:80"), &address), TG_ESYNTAX);
    assert_int_equal(tg_address_parse(TG_LIT("unix:/a\0b"), &address), TG_ESYNTAX);
}

static void test_unix_path_length(void **state)
{
    (void)state;
    char text[5 + sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1] = "unix:";
    char back[TG_ADDRESS_TEXT_MAX];
    struct tg_address address;
    size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    memset(text + 5, 'p', most + 1);
    assert_int_equal(tg_address_parse(tg_slice_make(text, 5 + most), &address), TG_OK);
    assert_int_equal(tg_address_text(&address, back), 5 + most);
    assert_int_equal(tg_address_parse(tg_slice_make(text, 5 + most + 1), &address), TG_ESYNTAX);
}

static void test_unnamed_unix_peer(void **state)
{
    (void)state;
    struct tg_address address = {.storage.ss_family = AF_UNIX, .len = sizeof(sa_family_t)};
    char text[TG_ADDRESS_TEXT_MAX];
    memset((char *)&address.storage + sizeof(sa_family_t), 'x', 100);
    tg_address_text(&address, text);
    assert_string_equal(text, "unix:");
}

static void test_set_port(void **state)
{
    (void)state;
    struct tg_address address;
    assert_int_equal(tg_address_parse(TG_LIT("[::1]:1"), &address), TG_OK);
    tg_address_set_port(&address, 4711);
    assert_int_equal(tg_address_port(&address), 4711);
    assert_int_equal(tg_address_parse(TG_LIT("10.0.0.1:1"), &address), TG_OK);
    tg_address_set_port(&address, 4711);
    assert_int_equal(tg_address_port(&address), 4711);
    assert_int_equal(tg_address_parse(TG_LIT("unix:/a"), &address), TG_OK);
    tg_address_set_port(&address, 4711);
    assert_int_equal(tg_address_port(&address), 0);
}

static void test_ip_alone(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",       "localhost",    "1.2.3",    "[::1]",
                                        "::1%lo", "127.0.0.1:80", "1.2.3.4 ", "0x7f000001"};
    struct tg_address address;
    char text[TG_ADDRESS_TEXT_MAX];
    assert_int_equal(tg_address_parse_ip(TG_LIT("192.0.2.1"), &address), TG_OK);
    tg_address_text(&address, text);
    assert_string_equal(text, "192.0.2.1:0");
    assert_int_equal(tg_address_parse_ip(TG_LIT("2001:db8::1"), &address), TG_OK);
    tg_address_text(&address, text);
    assert_string_equal(text, "[2001:db8::1]:0");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(tg_address_parse_ip(tg_slice_cstr(wrong[i]), &address), TG_ESYNTAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_unix_path_length), cmocka_unit_test(test_unnamed_unix_peer),
        cmocka_unit_test(test_set_port),         cmocka_unit_test(test_ip_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
