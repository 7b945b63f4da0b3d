#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/front/proxyproto.h"

#define V2    "\r\n\r\n\0\r\nQUIT\n"
#define BYTES TG_LIT

/* The text form of both addresses, or what went wrong. */
static const char *read_as(enum tg_proxy_protocol allowed, struct tg_slice bytes, size_t *len)
{
    static char out[2 * TG_ADDRESS_TEXT_MAX + 4];
    char source[TG_ADDRESS_TEXT_MAX], destination[TG_ADDRESS_TEXT_MAX];
    struct tg_proxy_header header = {.len = 9999};
    const char *fault = NULL;
    enum tg_err err = tg_proxy_parse(allowed, bytes, &header, &fault);
    assert_true((err == TG_EPROTO) == (fault != NULL));
    if (err != TG_OK) {
        assert_int_equal(header.len, 9999);
        return err == TG_EAGAIN ? "more" : fault;
    }
    *len = header.len;
    if (header.local) {
        return "local";
    }
    (void)tg_address_text(&header.source, source);
    (void)tg_address_text(&header.destination, destination);
    (void)snprintf(out, sizeof out, "%s > %s", source, destination);
    return out;
}

/* Whatever follows the header changes nothing; as long as it is not whole, more is asked for. */
static void assert_header(struct tg_slice bytes, const char *expected)
{
    char space[512];
    size_t len = 0;
    assert_true(bytes.len + 10 < sizeof space);
    assert_string_equal(read_as(TG_PROXY_ANY, bytes, &len), expected);
    assert_int_equal(len, bytes.len);
    for (size_t i = 0; i < bytes.len; i++) {
        assert_string_equal(read_as(TG_PROXY_ANY, tg_slice_make(bytes.ptr, i), &len), "more");
    }
    memcpy(space, bytes.ptr, bytes.len);
    memcpy(space + bytes.len, "\r\nPROXY \0\n", 10);
    assert_string_equal(read_as(TG_PROXY_ANY, tg_slice_make(space, bytes.len + 10), &len), expected);
    assert_int_equal(len, bytes.len);
}

struct row {
    struct tg_slice bytes;
    const char *expected;
};

static void reads_version_1(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {TG_LIT_INIT("PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n"), "192.0.2.7:56324 > 10.0.0.1:443"},
        {TG_LIT_INIT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
         "255.255.255.255:65535 > 255.255.255.255:65535"},
        {TG_LIT_INIT("PROXY TCP4 0.0.0.0 1.2.3.4 0 0\r\n"), "0.0.0.0:0 > 1.2.3.4:0"},
        {TG_LIT_INIT("PROXY TCP6 2001:db8::7 fd00::1 1 80\r\n"), "[2001:db8::7]:1 > [fd00::1]:80"},
        {TG_LIT_INIT("PROXY UNKNOWN\r\n"), "local"},
        {TG_LIT_INIT("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "local"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_header(rows[i].bytes, rows[i].expected);
    }
    /* The longest that is possible, and one byte more. */
    char longest[109] = "PROXY UNKNOWN ";
    size_t len = 0;
    memset(longest + 14, 'x', sizeof longest - 14);
    longest[105] = '\r', longest[106] = '\n';
    assert_header(tg_slice_make(longest, 107), "local");
    longest[105] = 'x', longest[106] = '\r', longest[107] = '\n';
    assert_string_equal(read_as(TG_PROXY_V1, tg_slice_make(longest, 106), &len), "more");
    assert_string_equal(read_as(TG_PROXY_V1, tg_slice_make(longest, 107), &len),
                        "version 1: no end within 107 bytes");
}

static void refuses_what_is_not_version_1(void **state)
{
    (void)state;
    static const char family[] = "version 1: the family is none of TCP4, TCP6 and UNKNOWN";
    static const char missing[] = "version 1: two addresses and two ports must follow the family";
    static const char address[] = "version 1: an address is not one of the family";
    static const char port[] = "version 1: a port is no number up to 65535";
    static const struct row rows[] = {
        {TG_LIT_INIT("GET / HTTP/1.1\r\n"), "no PROXY header"},
        {TG_LIT_INIT("PROXYTCP4 1.1.1.1 2.2.2.2 1 2\r\n"), "no PROXY header"},
        {TG_LIT_INIT("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), "no PROXY header"},
        {TG_LIT_INIT("PROXY\t"), "no PROXY header"},
        {TG_LIT_INIT("\x16\x03\x01"), "no PROXY header"},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n"), "version 1: the line ends without CR"},
        {TG_LIT_INIT("PROXY \n"), "version 1: the line ends without CR"},
        {TG_LIT_INIT("PROXY \r\n"), family},
        {TG_LIT_INIT("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), family},
        {TG_LIT_INIT("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n"), family},
        {TG_LIT_INIT("PROXY UNKNOWNS\r\n"), family},
        {TG_LIT_INIT("PROXY TCP4\r\n"), missing},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n"), missing},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n"), "version 1: something follows the ports"},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n"), "version 1: something follows the ports"},
        {TG_LIT_INIT("PROXY TCP4  1.1.1.1 2.2.2.2 1\r\n"), address},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n"), address},
        {TG_LIT_INIT("PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n"), address},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 host 1 2\r\n"), address},
        {TG_LIT_INIT("PROXY TCP4 ::1 ::1 1 2\r\n"), address},
        {TG_LIT_INIT("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n"), address},
        {TG_LIT_INIT("PROXY TCP6 [::1] ::1 1 2\r\n"), address},
        {TG_LIT_INIT("PROXY TCP6 fe80::1%lo ::1 1 2\r\n"), address},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n"), address},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n"), port},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n"), port},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 2.2.2.2 1 +2\r\n"), port},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n"), port},
        {TG_LIT_INIT("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r\n"), port},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = 0;
        assert_string_equal(read_as(TG_PROXY_ANY, rows[i].bytes, &len), rows[i].expected);
    }
}

#define IPV4 "\xc0\x00\x02\x07\x0a\x00\x00\x01\xdc\x04\x01\xbb"
#define IPV6                                                                                                 \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"                                                             \
    "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x50"
#define AS4 "192.0.2.7:56324 > 10.0.0.1:443"
#define AS6 "[2001:db8::7]:1 > [fd00::1]:80"

static void reads_version_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {TG_LIT_INIT(V2 "\x21\x11\0\x0c" IPV4), AS4},
        {TG_LIT_INIT(V2 "\x21\x12\0\x0c" IPV4), AS4}, /* datagrams, as of HTTP/3 */
        {TG_LIT_INIT(V2 "\x21\x21\0\x24" IPV6), AS6},
        {TG_LIT_INIT(V2 "\x20\0\0\0"), "local"},                 /* a health check */
        {TG_LIT_INIT(V2 "\x20\x11\0\x0c" IPV4), "local"},        /* ... with a block to be passed over */
        {TG_LIT_INIT(V2 "\x20\xff\0\x05\x03\0\x09xy"), "local"}, /* ... whatever it is */
        {TG_LIT_INIT(V2 "\x21\0\0\0"), "local"},                 /* UNSPEC */
        {TG_LIT_INIT(V2 "\x21\0\0\x03\x04\0\x01"), "local"},
        {TG_LIT_INIT(V2 "\x21\x10\0\x02xy"), "local"},
        /* Extensions: ALPN, a NOOP of no bytes, the id of an AWS VPC endpoint. */
        {TG_LIT_INIT(V2 "\x21\x11\0\x14" IPV4 "\x01\0\x02h2\x04\0\0"), AS4},
        {TG_LIT_INIT(V2 "\x21\x11\0\x26" IPV4 "\xea\0\x17\x01vpce-08d2bf15fac5001c9"), AS4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_header(rows[i].bytes, rows[i].expected);
    }
}

static void reads_unix_sockets(void **state)
{
    (void)state;
    char header[16 + 216] = V2 "\x21\x31\0\xd8/run/client.sock";
    (void)snprintf(header + 16 + 108, 108, "/run/proxy.sock");
    assert_header(tg_slice_make(header, sizeof header), "unix:/run/client.sock > unix:/run/proxy.sock");
    header[16] = '\0'; /* a socket without a name */
    assert_header(tg_slice_make(header, sizeof header), "unix: > unix:/run/proxy.sock");
    memset(header + 16, 'x', 216); /* no end at all */
    size_t len = 0;
    const char *text = read_as(TG_PROXY_V2, tg_slice_make(header, sizeof header), &len);
    assert_int_equal(strspn(text + 5, "x"), 107);
    assert_int_equal(len, sizeof header);
}

static void checks_the_crc(void **state)
{
    (void)state;
    unsigned char header[] = V2 "\x21\x11\0\x17" IPV4 "\x03\0\x04\0\0\0\0\x04\0\x01z";
    enum { LEN = sizeof header - 1, AT = 16 + 12 + 3 };
    uint32_t crc = 0xffffffff;
    size_t len = 0;
    for (size_t i = 0; i < LEN; i++) {
        crc ^= header[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
        }
    }
    crc = ~crc;
    assert_string_equal(read_as(TG_PROXY_V2, tg_slice_make(header, LEN), &len),
                        "version 2: the CRC-32C is wrong");
    for (int i = 0; i < 4; i++) {
        header[AT + i] = (unsigned char)(crc >> (24 - 8 * i));
    }
    assert_header(tg_slice_make(header, LEN), AS4);
    for (size_t i = 16; i < LEN; i++) { /* a bit of any byte */
        if (i < AT - 3 || i >= AT) {
            header[i] ^= 1;
            assert_string_not_equal(read_as(TG_PROXY_V2, tg_slice_make(header, LEN), &len), AS4);
            header[i] ^= 1;
        }
    }
    header[12] = 0x20; /* what stands in a header of a proxy's own is passed over */
    assert_header(tg_slice_make(header, LEN), "local");
}

static void refuses_what_is_not_version_2(void **state)
{
    (void)state;
    static const char tlv[] = "version 2: an extension (TLV) reaches beyond the header";
    static const char family[] = "version 2: the address family or the transport is none that is defined";
    static const char brief[] = "version 2: the header is too short for the addresses of its family";
    static const struct row rows[] = {
        {TG_LIT_INIT("\r\n\r\n\0\r\nQUIT\r"), "no PROXY header"},
        {TG_LIT_INIT("\r\n\r\n\r"), "no PROXY header"},
        {TG_LIT_INIT(V2 "\x11\x11\0\x0c"), "version 2: its version field says another one"},
        {TG_LIT_INIT(V2 "\x31\x11\0\x0c"), "version 2: its version field says another one"},
        {TG_LIT_INIT(V2 "\x22\x11\0\x0c"), "version 2: the command is neither LOCAL nor PROXY"},
        {TG_LIT_INIT(V2 "\x21\x41\0\x0c"), family},
        {TG_LIT_INIT(V2 "\x21\x13\0\x0c"), family},
        {TG_LIT_INIT(V2 "\x21\x11\0\x0b"), brief},
        {TG_LIT_INIT(V2 "\x21\x21\0\x23"), brief},
        {TG_LIT_INIT(V2 "\x21\x31\0\xd7"), brief},
        {TG_LIT_INIT(V2 "\x21\x11\x0f\xf1"), "version 2: the header is longer than 4096 bytes"},
        {TG_LIT_INIT(V2 "\x20\0\xff\xff"), "version 2: the header is longer than 4096 bytes"},
        {TG_LIT_INIT(V2 "\x21\x11\0\x0d" IPV4 "\x04"), tlv},
        {TG_LIT_INIT(V2 "\x21\x11\0\x0e" IPV4 "\x04\0"), tlv},
        {TG_LIT_INIT(V2 "\x21\x11\0\x0f" IPV4 "\x04\0\x01"), tlv},
        {TG_LIT_INIT(V2 "\x21\x11\0\x10" IPV4 "\x04\xff\xff"
                        "a"),
         tlv},
        {TG_LIT_INIT(V2 "\x21\x11\0\x12" IPV4 "\x03\0\x03"
                        "abc"),
         "version 2: the CRC-32C has not four bytes"},
        {TG_LIT_INIT(V2 "\x21\x11\0\x13" IPV4 "\x03\0\x04"
                        "abcd"),
         "version 2: the CRC-32C is wrong"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = 0;
        assert_string_equal(read_as(TG_PROXY_ANY, rows[i].bytes, &len), rows[i].expected);
    }
    /* The longest that is taken. */
    static char longest[TG_PROXY_HEADER_MAX] = V2 "\x20\0\x0f\xf0";
    size_t len = 0;
    assert_string_equal(read_as(TG_PROXY_V2, tg_slice_make(longest, sizeof longest), &len), "local");
    assert_int_equal(len, TG_PROXY_HEADER_MAX);
    assert_string_equal(read_as(TG_PROXY_V2, tg_slice_make(longest, sizeof longest - 1), &len), "more");
}

static void takes_the_versions_that_are_allowed(void **state)
{
    (void)state;
    const struct tg_slice v1 = BYTES("PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n");
    const struct tg_slice v2 = BYTES(V2 "\x21\x11\0\x0c" IPV4);
    size_t len = 0;
    assert_string_equal(read_as(TG_PROXY_V1, v1, &len), AS4);
    assert_string_equal(read_as(TG_PROXY_V2, v2, &len), AS4);
    assert_string_equal(read_as(TG_PROXY_V1, v2, &len), "a header of version 2, where version 1 is demanded");
    assert_string_equal(read_as(TG_PROXY_V2, v1, &len), "a header of version 1, where version 2 is demanded");
    /* Known by the first byte. */
    assert_string_equal(read_as(TG_PROXY_V2, BYTES("P"), &len),
                        "a header of version 1, where version 2 is demanded");
    assert_string_equal(read_as(TG_PROXY_V2, TG_EMPTY, &len), "more");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_version_1),
        cmocka_unit_test(refuses_what_is_not_version_1),
        cmocka_unit_test(reads_version_2),
        cmocka_unit_test(reads_unix_sockets),
        cmocka_unit_test(checks_the_crc),
        cmocka_unit_test(refuses_what_is_not_version_2),
        cmocka_unit_test(takes_the_versions_that_are_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
