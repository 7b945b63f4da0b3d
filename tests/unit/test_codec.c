#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "server/base/codec.h"

#define assert_slice(slice, text)                                                                            \
    do {                                                                                                     \
        struct tg_slice actual_ = (slice), expected_ = TG_LIT(text);                                         \
        assert_int_equal(actual_.len, expected_.len);                                                        \
        assert_memory_equal(actual_.len > 0 ? actual_.ptr : "", expected_.ptr, expected_.len);               \
    } while (0)

static const struct {
    struct tg_slice plain, encoded;
} base64_pairs[] = {
    {TG_LIT_INIT(""), TG_LIT_INIT("")},
    {TG_LIT_INIT("f"), TG_LIT_INIT("Zg==")},
    {TG_LIT_INIT("fo"), TG_LIT_INIT("Zm8=")},
    {TG_LIT_INIT("foo"), TG_LIT_INIT("Zm9v")},
    {TG_LIT_INIT("foob"), TG_LIT_INIT("Zm9vYg==")},
    {TG_LIT_INIT("fooba"), TG_LIT_INIT("Zm9vYmE=")},
    {TG_LIT_INIT("foobar"), TG_LIT_INIT("Zm9vYmFy")},
    {TG_LIT_INIT("\0\xff\xfb\xef"), TG_LIT_INIT("AP/77w==")},
};

static void base64_encodes_and_decodes(void **state)
{
    (void)state;
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < sizeof base64_pairs / sizeof base64_pairs[0]; i++) {
        struct tg_slice plain = base64_pairs[i].plain, encoded = base64_pairs[i].encoded, back;
        struct tg_buf buf;
        tg_buf_init(&buf, SIZE_MAX);
        assert_int_equal(tg_base64_encode(&buf, plain), TG_OK);
        assert_true(tg_slice_eq(tg_buf_slice(&buf), encoded));
        assert_int_equal(encoded.len, TG_BASE64_LEN(plain.len));
        assert_int_equal(tg_base64_decode(&arena, encoded, &back), TG_OK);
        assert_true(tg_slice_eq(back, plain));
        while (encoded.len > 0 && encoded.ptr[encoded.len - 1] == '=') {
            encoded.len--;
        }
        assert_int_equal(tg_base64_decode(&arena, encoded, &back), TG_OK);
        assert_true(tg_slice_eq(back, plain));
        tg_buf_free(&buf);
    }
    tg_arena_reset(&arena);
}

static void base64_keeps_to_the_limit_of_the_buffer(void **state)
{
    (void)state;
    struct tg_buf buf;
    tg_buf_init(&buf, 7);
    assert_int_equal(tg_base64_encode(&buf, TG_LIT("foob")), TG_ELIMIT);
    assert_int_equal(tg_buf_size(&buf), 0);
    assert_int_equal(tg_base64_encode(&buf, TG_LIT("foo")), TG_OK);
    tg_buf_free(&buf);
}

static void base64_refuses_what_is_malformed(void **state)
{
    (void)state;
    static const struct tg_slice bad[] = {
        TG_LIT_INIT("A"),     TG_LIT_INIT("Zg="),     TG_LIT_INIT("Zm9v="),    TG_LIT_INIT("Zg===="),
        TG_LIT_INIT("===="),  TG_LIT_INIT("Zm 9"),    TG_LIT_INIT("Zm9v\n"),   TG_LIT_INIT("Zm9-"),
        TG_LIT_INIT("Zm9_"),  TG_LIT_INIT("Z=9v"),    TG_LIT_INIT("Zg==Zm9v"), TG_LIT_INIT("=Zm9"),
        TG_LIT_INIT("Zm\0v"), TG_LIT_INIT("Z\xffZZ"),
    };
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tg_slice out = TG_LIT("untouched");
        assert_int_equal(tg_base64_decode(&arena, bad[i], &out), TG_ESYNTAX);
        assert_slice(out, "untouched");
    }
    tg_arena_reset(&arena);
}

static void base64url_round_trips_and_is_strict(void **state)
{
    (void)state;
    static const unsigned char bytes[] = {0xfb, 0xff, 0xfe, 0x01};
    char text[TG_BASE64_LEN(sizeof bytes)];
    unsigned char back[sizeof bytes];
    tg_base64url_encode(bytes, sizeof bytes, text);
    assert_memory_equal(text, "-__-AQ==", sizeof text);
    assert_int_equal(tg_base64url_decode(tg_slice_make(text, sizeof text), back, sizeof back), TG_OK);
    assert_memory_equal(back, bytes, sizeof back);

    static const struct tg_slice bad[] = {
        TG_LIT_INIT("-__-AQ"),     TG_LIT_INIT("-__-AQ="),  TG_LIT_INIT("-__-AQE="), TG_LIT_INIT("+//+AQ=="),
        TG_LIT_INIT("-__-AR=="),   TG_LIT_INIT("-__-AQ=A"), TG_LIT_INIT("-__-===="), TG_LIT_INIT(""),
        TG_LIT_INIT("-__-AQ==AA"), TG_LIT_INIT("-_ -AQ=="), TG_LIT_INIT("-__-AQEB"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(back, 0x5a, sizeof back);
        assert_int_equal(tg_base64url_decode(bad[i], back, sizeof back), TG_ESYNTAX);
        assert_memory_equal(back, "\x5a\x5a\x5a\x5a", sizeof back);
    }
}

/* At any place of a group, in both alphabets. */
static void base64_knows_every_character(void **state)
{
    static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static const char last[2][2] = {{'+', '/'}, {'-', '_'}};
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (unsigned c = 0; c < 256; c++) {
        for (size_t place = 0; place < 4; place++) {
            char text[] = "AAAA";
            text[place] = (char)c;
            for (size_t url = 0; url < 2 && c != '='; url++) {
                const char *found = memchr(common, (int)c, 62);
                unsigned value = found != NULL             ? (unsigned)(found - common)
                                 : (char)c == last[url][0] ? 62u
                                 : (char)c == last[url][1] ? 63u
                                                           : 64u;
                struct tg_slice out = TG_EMPTY;
                char bytes[3] = {0};
                enum tg_err err = url == 1 ? tg_base64url_decode(tg_slice_make(text, 4), bytes, sizeof bytes)
                                           : tg_base64_decode(&arena, tg_slice_make(text, 4), &out);
                assert_int_equal(err, value < 64 ? TG_OK : TG_ESYNTAX);
                value = value < 64 ? value << 6 * (3 - place) : 0;
                const char *got = url == 1 || err != TG_OK ? bytes : out.ptr;
                const unsigned char expected[] = {(unsigned char)(value >> 16), (unsigned char)(value >> 8),
                                                  (unsigned char)value};
                assert_memory_equal(got, expected, sizeof expected);
            }
        }
    }
    tg_arena_reset(&arena);
}

static void hex_is_lower_case(void **state)
{
    (void)state;
    char text[8];
    tg_hex_encode("\x00\x9f\xA0\xff", 4, text);
    assert_memory_equal(text, "009fa0ff", 8);
    /* Any length, any byte; nothing behind the digits is written. */
    unsigned char bytes[256];
    char all[2 * sizeof bytes + 1], one[3];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 167);
    }
    for (size_t len = 0; len <= sizeof bytes; len++) {
        memset(all, '#', sizeof all);
        tg_hex_encode(bytes, len, all);
        for (size_t i = 0; i < len; i++) {
            (void)snprintf(one, sizeof one, "%02x", bytes[i]);
            assert_memory_equal(all + 2 * i, one, 2);
        }
        assert_int_equal(all[2 * len], '#');
    }
}

static void percent_encoding_keeps_unreserved_bytes_alone(void **state)
{
    (void)state;
    struct tg_buf buf;
    tg_buf_init(&buf, SIZE_MAX);
    assert_int_equal(tg_percent_encode(&buf, TG_LIT("azAZ09-._~ /@%=\xc3\0"), false), TG_OK);
    assert_slice(tg_buf_slice(&buf), "azAZ09-._~%20%2F%40%25%3D%C3%00");
    tg_buf_clear(&buf);
    assert_int_equal(tg_percent_encode(&buf, TG_LIT("/a b/%2F"), true), TG_OK);
    assert_slice(tg_buf_slice(&buf), "/a%20b/%252F");
    tg_buf_free(&buf);
}

static void percent_decoding_leaves_broken_escapes(void **state)
{
    (void)state;
    struct tg_arena arena;
    struct tg_slice out;
    tg_arena_init(&arena, NULL);
    assert_int_equal(tg_percent_decode(&arena, TG_LIT("a%2fb%2F+%c3%A4%00"), false, &out), TG_OK);
    assert_slice(out, "a/b/+\xc3\xa4\0");
    assert_int_equal(tg_percent_decode(&arena, TG_LIT("a+b"), false, &out), TG_OK);
    assert_slice(out, "a+b");
    assert_int_equal(tg_percent_decode(&arena, TG_LIT("a+b%2B"), true, &out), TG_OK);
    assert_slice(out, "a b+");
    assert_int_equal(tg_percent_decode(&arena, TG_LIT("%%41%4%zz%G1%"), true, &out), TG_OK);
    assert_slice(out, "%A%4%zz%G1%");
    assert_int_equal(tg_percent_decode(&arena, TG_LIT(""), false, &out), TG_OK);
    assert_int_equal(out.len, 0);
    assert_int_equal(tg_percent_decode(&arena, TG_EMPTY, true, &out), TG_OK);
    assert_int_equal(out.len, 0);
    tg_arena_reset(&arena);
}

static void utf8_accepts_well_formed_text_alone(void **state)
{
    (void)state;
    static const struct tg_slice good[] = {
        TG_LIT_INIT(""),
        TG_LIT_INIT("plain text, longer than a word\0"),
        TG_LIT_INIT("\xc2\x80\xdf\xbf"),
        TG_LIT_INIT("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"),
        TG_LIT_INIT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
        TG_LIT_INIT("12345678\xc3\xa4"),
    };
    static const struct tg_slice bad[] = {
        TG_LIT_INIT("\x80"),         TG_LIT_INIT("\xc0\x80"),         TG_LIT_INIT("\xc1\xbf"),
        TG_LIT_INIT("\xe0\x9f\xbf"), TG_LIT_INIT("\xed\xa0\x80"),     TG_LIT_INIT("\xf0\x8f\xbf\xbf"),
        TG_LIT_INIT("\xff"),         TG_LIT_INIT("\xf4\x90\x80\x80"), TG_LIT_INIT("\xf5\x80\x80\x80"),
        TG_LIT_INIT("\xc3"),         TG_LIT_INIT("\xe2\x82"),         TG_LIT_INIT("\xf0\x9f\x98"),
        TG_LIT_INIT("1234567\xc3z"),
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(tg_utf8_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(tg_utf8_valid(bad[i]));
    }
}

static void utf8_repair_replaces_maximal_parts(void **state)
{
    (void)state;
#define FFFD "\xef\xbf\xbd"
    static const struct {
        struct tg_slice text, repaired;
    } cases[] = {
        {TG_LIT_INIT("a\xff"
                     "b"),
         TG_LIT_INIT("a" FFFD "b")},
        {TG_LIT_INIT("\xe2\x82"), TG_LIT_INIT(FFFD)},
        {TG_LIT_INIT("\xe2\x82z"), TG_LIT_INIT(FFFD "z")},
        {TG_LIT_INIT("\xf0\x9f\x98\xf0\x9f\x98\x80"), TG_LIT_INIT(FFFD "\xf0\x9f\x98\x80")},
        {TG_LIT_INIT("\xed\xa0\x80"), TG_LIT_INIT(FFFD FFFD FFFD)},
        {TG_LIT_INIT("\xc0\xaf"), TG_LIT_INIT(FFFD FFFD)},
        {TG_LIT_INIT("\xf4\x90\x80\x80"), TG_LIT_INIT(FFFD FFFD FFFD FFFD)},
        {TG_LIT_INIT("\x80\x80"), TG_LIT_INIT(FFFD FFFD)},
    };
#undef FFFD
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    struct tg_slice valid = TG_LIT("gr\xc3\xbc\xc3\x9f"), out;
    assert_int_equal(tg_utf8_repair(&arena, valid, &out), TG_OK);
    assert_ptr_equal(out.ptr, valid.ptr);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(tg_utf8_repair(&arena, cases[i].text, &out), TG_OK);
        assert_true(tg_slice_eq(out, cases[i].repaired));
        assert_true(tg_utf8_valid(out));
    }
    tg_arena_reset(&arena);
}

static const int64_t a_time = 1767323045123; /* 2026-01-02T03:04:05.123Z */

static void times_are_written_in_three_forms(void **state)
{
    (void)state;
    char text[TG_TIME_TEXT_MAX];
    assert_int_equal(tg_time_clf(a_time, text), 26);
    assert_string_equal(text, "02/Jan/2026:03:04:05 +0000");
    assert_int_equal(tg_time_http(a_time, text), 29);
    assert_string_equal(text, "Fri, 02 Jan 2026 03:04:05 GMT");
    (void)tg_time_http(784111777000, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110 section 5.6.7 */
    (void)tg_time_http(-62167219200000, text);
    assert_string_equal(text, "Sat, 01 Jan 0000 00:00:00 GMT");
    assert_int_equal(tg_time_iso(a_time, text), 24);
    assert_string_equal(text, "2026-01-02T03:04:05.123Z");
    assert_int_equal(tg_time_basic(a_time, text), 16);
    assert_string_equal(text, "20260102T030405Z");
}

static void times_know_the_calendar(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {951868799999, "2000-02-29T23:59:59.999Z"},
        {951868800000, "2000-03-01T00:00:00.000Z"},
        {1735689599999, "2024-12-31T23:59:59.999Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
    };
    char text[TG_TIME_TEXT_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)tg_time_iso(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void times_in_basic_form_are_read(void **state)
{
    (void)state;
    int64_t seconds = 0;
    assert_int_equal(tg_time_parse_basic(TG_LIT("20260102T030405Z"), &seconds), TG_OK);
    assert_int_equal(seconds, a_time / 1000);
    for (int64_t day = 0; day < 150000; day += 37) {
        char text[TG_TIME_TEXT_MAX];
        size_t len = tg_time_basic(day * 86400000 + 86399000, text);
        assert_int_equal(tg_time_parse_basic(tg_slice_make(text, len), &seconds), TG_OK);
        assert_int_equal(seconds, day * 86400 + 86399);
    }
    static const struct tg_slice bad[] = {
        TG_LIT_INIT(""),
        TG_LIT_INIT("20260102T030405"),
        TG_LIT_INIT("20260102T030405z"),
        TG_LIT_INIT("20260102 030405Z"),
        TG_LIT_INIT("20260002T030405Z"),
        TG_LIT_INIT("20261302T030405Z"),
        TG_LIT_INIT("20260100T030405Z"),
        TG_LIT_INIT("20260132T030405Z"),
        TG_LIT_INIT("20260229T030405Z"),
        TG_LIT_INIT("21000229T030405Z"),
        TG_LIT_INIT("20260102T240405Z"),
        TG_LIT_INIT("20260102T036005Z"),
        TG_LIT_INIT("20260102T030460Z"),
        TG_LIT_INIT("2026-1-2T030405Z"),
        TG_LIT_INIT("+0260102T030405Z"),
        TG_LIT_INIT("20260102T030405ZZ"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        seconds = 42;
        assert_int_equal(tg_time_parse_basic(bad[i], &seconds), TG_ESYNTAX);
        assert_int_equal(seconds, 42);
    }
}

static void times_of_http_are_read_in_three_forms(void **state)
{
    (void)state;
    static const int64_t now = 1767323045;
    static const struct {
        struct tg_slice text;
        int64_t seconds;
    } good[] = {
        {TG_LIT_INIT("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777},
        {TG_LIT_INIT("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777},
        {TG_LIT_INIT("Sun Nov  6 08:49:37 1994"), 784111777},
        {TG_LIT_INIT("Wed Nov 16 08:49:37 1994"), 784975777},
        {TG_LIT_INIT("Friday, 02-Jan-26 03:04:05 GMT"), 1767323045},
        {TG_LIT_INIT("Sunday, 01-Jan-76 00:00:00 GMT"), 3345062400}, /* 50 years ahead still */
        {TG_LIT_INIT("Saturday, 01-Jan-77 00:00:00 GMT"), 220924800},
        {TG_LIT_INIT("Thu, 01 Jan 1970 00:00:00 GMT"), 0},
        {TG_LIT_INIT("Wed, 31 Dec 1969 23:59:59 GMT"), -1},
        {TG_LIT_INIT("Thu, 29 Feb 2024 23:59:60 GMT"), 1709251200},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t seconds = 42;
        assert_int_equal(tg_time_parse_http(good[i].text, now, &seconds), TG_OK);
        assert_int_equal(seconds, good[i].seconds);
    }
    static const struct tg_slice bad[] = {
        TG_LIT_INIT(""),
        TG_LIT_INIT(","),
        TG_LIT_INIT("0"),
        TG_LIT_INIT("Sun, 06 Nov 1994 08:49:37 UTC"),
        TG_LIT_INIT("Sun, 06 Nov 1994 08:49:37 GMT "),
        TG_LIT_INIT("Sun, 6 Nov 1994 08:49:37 GMT"),
        TG_LIT_INIT("Sun, 06 nov 1994 08:49:37 GMT"),
        TG_LIT_INIT("Sun, 06 Foo 1994 08:49:37 GMT"),
        TG_LIT_INIT("Sun, 31 Nov 1994 08:49:37 GMT"),
        TG_LIT_INIT("Wed, 29 Feb 2023 08:49:37 GMT"),
        TG_LIT_INIT("Sun, 06 Nov 1994 24:49:37 GMT"),
        TG_LIT_INIT("Sun, 06 Nov 1994 08:60:37 GMT"),
        TG_LIT_INIT("Sunday, 06-Nov-1994 08:49:37 GMT"),
        TG_LIT_INIT("Sunday, 00-Nov-94 08:49:37 GMT"),
        TG_LIT_INIT("Sun Nov    08:49:37 1994"),
        TG_LIT_INIT("Sun Nov 6  08:49:37 1994"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t seconds = 42;
        assert_int_equal(tg_time_parse_http(bad[i], now, &seconds), TG_ESYNTAX);
        assert_int_equal(seconds, 42);
    }
    for (int64_t day = -200; day < 200000; day += 97) {
        char text[TG_TIME_TEXT_MAX];
        int64_t seconds = 42;
        size_t len = tg_time_http(day * 86400000 + 3661000, text);
        assert_int_equal(tg_time_parse_http(tg_slice_make(text, len), now, &seconds), TG_OK);
        assert_int_equal(seconds, day * 86400 + 3661);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_encodes_and_decodes),
        cmocka_unit_test(base64_keeps_to_the_limit_of_the_buffer),
        cmocka_unit_test(base64_refuses_what_is_malformed),
        cmocka_unit_test(base64url_round_trips_and_is_strict),
        cmocka_unit_test(base64_knows_every_character),
        cmocka_unit_test(hex_is_lower_case),
        cmocka_unit_test(percent_encoding_keeps_unreserved_bytes_alone),
        cmocka_unit_test(percent_decoding_leaves_broken_escapes),
        cmocka_unit_test(utf8_accepts_well_formed_text_alone),
        cmocka_unit_test(utf8_repair_replaces_maximal_parts),
        cmocka_unit_test(times_are_written_in_three_forms),
        cmocka_unit_test(times_know_the_calendar),
        cmocka_unit_test(times_in_basic_form_are_read),
        cmocka_unit_test(times_of_http_are_read_in_three_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
