/* The decoder of client frames. Masks are zero where the mask is not what is tested. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/wsframe_log.h"

#define ZERO "\0\0\0\0"

static const struct tg_wsframe_rules usual = {.max_frame = 1000, .max_message = 2000};
static const struct tg_wsframe_rules all = {
    .max_frame = SIZE_MAX, .max_message = SIZE_MAX, .binary = true, .deflate = true};

/* In pieces of every size, the same comes out. */
static void expect_as(const struct tg_wsframe_rules *rules, bool ignoring, struct tg_slice bytes,
                      const char *want)
{
    for (size_t step = 1; step <= bytes.len; step++) {
        struct wsframe_log log;
        wsframe_run(&log, rules, ignoring, bytes, step);
        struct tg_slice got = tg_buf_slice(&log.text);
        if (!tg_slice_eq(got, tg_slice_cstr(want))) {
            fail_msg("in pieces of %zu: %.*s, not %s", step, TG_FMT(got), want);
        }
        wsframe_done(&log);
    }
}

static void expect(struct tg_slice bytes, const char *want)
{
    expect_as(&usual, false, bytes, want);
}

/* Found at the byte `after`, not earlier, not later. */
static void expect_error(const struct tg_wsframe_rules *rules, struct tg_slice bytes, int code, size_t after)
{
    struct wsframe_log log;
    char want[16];
    (void)snprintf(want, sizeof want, "e%d;", code);
    wsframe_run(&log, rules, false, bytes, 1);
    struct tg_slice got = tg_buf_slice(&log.text);
    if (!tg_slice_ends(got, tg_slice_cstr(want)) || log.stopped_after != after) {
        fail_msg("%.*s after %zu, not %s after %zu", TG_FMT(got), log.stopped_after, want, after);
    }
    wsframe_done(&log);
}

static void messages(void **state)
{
    (void)state;
    expect(TG_LIT("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "t:Hello;"); /* RFC 6455 section 5.7 */
    expect(TG_LIT("\x81\x80" ZERO), "t:;");
    expect(TG_LIT("\x01\x83" ZERO "Hel\x80\x82" ZERO "lo\x81\x81" ZERO "x"), "t:Hello;t:x;");
    expect(TG_LIT("\x01\x80" ZERO "\x00\x80" ZERO "\x80\x80" ZERO), "t:;");
    expect(TG_LIT("\x01\x81" ZERO "a\x89\x82" ZERO "hi\x8a\x80" ZERO "\x80\x81" ZERO "b"), "p:hi;o:;t:ab;");
    expect_as(&all, false, TG_LIT("\x82\x82" ZERO "\xff\xfe\x02\x80" ZERO "\x80\x81" ZERO "\xc0"),
              "b:\xff\xfe;b:\xc0;");
    expect_as(&all, false, TG_LIT("\xc1\x81" ZERO "\xff\x41\x81" ZERO "a\x80\x81" ZERO "b\x81\x81" ZERO "c"),
              "zt:\xff;zt:ab;t:c;");
}

static void masks_of_any_length(void **state)
{
    static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
    (void)state;
    for (size_t len = 0; len <= 70; len++) {
        char frame[6 + 70] = {(char)0x81, (char)(0x80 | len)};
        char want[80] = "t:";
        memcpy(frame + 2, mask, 4);
        for (size_t i = 0; i < len; i++) {
            want[2 + i] = (char)('a' + i % 26);
            frame[6 + i] = (char)(want[2 + i] ^ mask[i % 4]);
        }
        want[2 + len] = ';';
        want[3 + len] = '\0';
        expect(tg_slice_make(frame, 6 + len), want);
    }
}

/* A header for `len`, in as many bytes as it takes, or in `form` (2, 4 or 10). */
static struct tg_slice header(char space[14], unsigned char first, uint64_t len, size_t form)
{
    size_t end = form != 0 ? form : len < 126 ? 2 : len < 65536 ? 4 : 10;
    memset(space, 0, 14);
    space[0] = (char)first;
    space[1] = (char)(0x80 | (end == 2 ? len : end == 4 ? 126 : 127));
    for (size_t i = end; i > 2; i--) {
        space[i - 1] = (char)len;
        len >>= 8;
    }
    return tg_slice_make(space, end + 4);
}

/* A bad byte anywhere in a short text, or a character cut at its end, is found; a good one is not. */
static void short_texts_are_utf8(void **state)
{
    enum { LONGEST = 125, HEAD = 6 };
    static const struct {
        struct tg_slice bytes;
        bool good;
    } inserts[] = {{TG_LIT_INIT("\xc3\xa9"), true},
                   {TG_LIT_INIT("\xf0\x9d\x84\x9e"), true},
                   {TG_LIT_INIT("\xff"), false},
                   {TG_LIT_INIT("\xc3"), false},
                   {TG_LIT_INIT("\xed\xa0\x80"), false}};
    (void)state;
    for (size_t len = 4; len <= LONGEST; len++) {
        for (size_t i = 0; i < sizeof inserts / sizeof inserts[0]; i++) {
            for (size_t at = 0; at + inserts[i].bytes.len <= len; at++) {
                char frame[HEAD + LONGEST] = {'\x81', (char)(0x80 | len), '\x80', '\x7f', '\x01', '\xff'};
                char *text = frame + HEAD;
                struct wsframe_log log;
                memset(text, 'a', len);
                memcpy(text + at, inserts[i].bytes.ptr, inserts[i].bytes.len);
                for (size_t b = 0; b < len; b++) {
                    text[b] = (char)(text[b] ^ frame[2 + b % 4]);
                }
                wsframe_run(&log, &usual, false, tg_slice_make(frame, HEAD + len), HEAD + len);
                struct tg_slice got = tg_buf_slice(&log.text);
                assert_true(inserts[i].good ? got.len == len + 3 && !log.bad_text
                                            : tg_slice_eq(got, TG_LIT("e1007;")));
                wsframe_done(&log);
            }
        }
    }
}

/* What is not for the short way comes back as it was. */
static void leaves_to_others_what_is_theirs(void **state)
{
    static const struct tg_slice frames[] = {
        TG_LIT_INIT("\x82\x83" ZERO "abc"),
        TG_LIT_INIT("\x01\x83" ZERO "abc"),
        TG_LIT_INIT("\xc1\x83" ZERO "abc"),
        TG_LIT_INIT("\x80\x83" ZERO "abc"),
        TG_LIT_INIT("\x88\x80" ZERO),
        TG_LIT_INIT("\x81\x03"
                    "abcdefg"),
        TG_LIT_INIT("\x81\x84" ZERO "abc"),
        TG_LIT_INIT("\x81\xfe\x00\x01"),
        TG_LIT_INIT("\x81\xff" ZERO ZERO),
        TG_LIT_INIT("\x81\x80\0\0\0"),
        TG_LIT_INIT("\x81"),
        TG_LIT_INIT("\x81\x89\x01\x02\x03\x04"
                    "abcd\xffghij"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct tg_wsframe decoder;
        struct tg_slice text;
        char *copy = malloc(frames[i].len);
        assert_non_null(copy);
        memcpy(copy, frames[i].ptr, frames[i].len);
        tg_wsframe_init(&decoder, &usual);
        assert_int_equal(tg_wsframe_take_text(&decoder, copy, frames[i].len, &text), 0);
        assert_memory_equal(copy, frames[i].ptr, frames[i].len);
        free(copy);
    }
}

static void lengths(void **state)
{
    static const size_t lens[] = {125, 126, 127, 65535, 65536, 70000};
    static const size_t steps[] = {1, 7, 4096, SIZE_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct tg_buf stream;
        char space[14];
        tg_buf_init(&stream, SIZE_MAX);
        wsframe_put(&stream, header(space, 0x82, lens[i], 0));
        for (size_t at = 0; at < lens[i]; at++) {
            assert_int_equal(tg_buf_append_char(&stream, (char)at), TG_OK);
        }
        for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
            struct wsframe_log log;
            wsframe_run(&log, &all, false, tg_buf_slice(&stream), steps[s]);
            assert_int_equal(log.largest, lens[i]);
            assert_int_equal(tg_buf_size(&log.text), lens[i] + 3);
            assert_memory_equal(tg_buf_slice(&log.text).ptr + 2,
                                tg_buf_slice(&stream).ptr + tg_buf_size(&stream) - lens[i], lens[i]);
            wsframe_done(&log);
        }
        tg_buf_free(&stream);
    }
}

/* One read, one message: the payload is where it came in. */
static void whole_messages_stay_in_place(void **state)
{
    char bytes[] = "\x81\x82" ZERO "hi\x89\x81" ZERO "p";
    struct tg_wsframe frames;
    struct tg_wsframe_event event;
    (void)state;
    tg_wsframe_init(&frames, &usual);
    assert_int_equal(tg_wsframe_next(&frames, bytes, sizeof bytes - 1, &event), 8);
    assert_ptr_equal(event.payload.ptr, bytes + 6);
    assert_true(event.last);
    assert_int_equal(tg_wsframe_next(&frames, bytes + 8, sizeof bytes - 9, &event), 7);
    assert_ptr_equal(event.payload.ptr, bytes + 14);
}

struct violation {
    struct tg_slice bytes;
    int code;
    size_t after;
};

static const struct violation violations[] = {
    {TG_LIT_INIT("\x91\x80" ZERO), 1002, 1},                      /* RSV3 */
    {TG_LIT_INIT("\xa1\x80" ZERO), 1002, 1},                      /* RSV2 */
    {TG_LIT_INIT("\xc1\x80" ZERO), 1002, 1},                      /* RSV1, nothing negotiated */
    {TG_LIT_INIT("\x83\x80" ZERO), 1002, 1},                      /* opcodes */
    {TG_LIT_INIT("\x87\x80" ZERO), 1002, 1},                      /* */
    {TG_LIT_INIT("\x8b\x80" ZERO), 1002, 1},                      /* */
    {TG_LIT_INIT("\x8f\x80" ZERO), 1002, 1},                      /* */
    {TG_LIT_INIT("\x09\x80" ZERO), 1002, 1},                      /* control in fragments */
    {TG_LIT_INIT("\x08\x80" ZERO), 1002, 1},                      /* */
    {TG_LIT_INIT("\x0a\x80" ZERO), 1002, 1},                      /* */
    {TG_LIT_INIT("\x89\xfe\x00\x7e" ZERO), 1002, 2},              /* control too long */
    {TG_LIT_INIT("\x88\xff\0\0\0\0\0\0\0\x01" ZERO), 1002, 2},    /* */
    {TG_LIT_INIT("\x81\x01x"), 1002, 2},                          /* no mask */
    {TG_LIT_INIT("\x89\x00"), 1002, 2},                           /* */
    {TG_LIT_INIT("\x80\x80" ZERO), 1002, 1},                      /* nothing to continue */
    {TG_LIT_INIT("\x00\x80" ZERO), 1002, 1},                      /* */
    {TG_LIT_INIT("\x81\x80" ZERO "\x80\x80" ZERO), 1002, 7},      /* */
    {TG_LIT_INIT("\x01\x80" ZERO "\x81\x80" ZERO), 1002, 7},      /* a message inside a message */
    {TG_LIT_INIT("\x81\xfe\x00\x7d" ZERO), 1002, 4},              /* 125 in two bytes */
    {TG_LIT_INIT("\x81\xff\0\0\0\0\0\0\xff\xff" ZERO), 1002, 10}, /* 65535 in eight */
    {TG_LIT_INIT("\x81\xff\x80\0\0\0\0\x01\0\0" ZERO), 1002, 10}, /* 2^63 and more */
    {TG_LIT_INIT("\x82\x80" ZERO), 1003, 2},                      /* binary */
    {TG_LIT_INIT("\x02\x81" ZERO "x"), 1003, 2},                  /* */
    {TG_LIT_INIT("\x81\xfe\x03\xe9" ZERO), 1009, 4},              /* 1001 */
    {TG_LIT_INIT("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), 1009, 10},
    {TG_LIT_INIT("\x88\x81" ZERO "x"), 1002, 7},                  /* half a code */
    {TG_LIT_INIT("\x88\x83" ZERO "\x03\xe8\xff"), 1007, 9},       /* reason not UTF-8 */
    {TG_LIT_INIT("\x88\x83" ZERO "\x03\xe8\xc3"), 1007, 9},       /* */
    {TG_LIT_INIT("\x81\x84" ZERO "a\xff.."), 1007, 8},            /* no UTF-8, told at the byte */
    {TG_LIT_INIT("\x81\x84" ZERO "\xc0\x80.."), 1007, 7},         /* overlong */
    {TG_LIT_INIT("\x81\x84" ZERO "\xe0\x9f.."), 1007, 8},         /* */
    {TG_LIT_INIT("\x81\x84" ZERO "\xed\xa0\x80."), 1007, 8},      /* surrogate */
    {TG_LIT_INIT("\x81\x84" ZERO "\xf4\x90\x80\x80"), 1007, 8},   /* past U+10FFFF */
    {TG_LIT_INIT("\x81\x84" ZERO "\xe2\x82.."), 1007, 9},         /* a character broken off */
    {TG_LIT_INIT("\x81\x84" ZERO ".\x80.."), 1007, 8},            /* without its beginning */
    {TG_LIT_INIT("\x81\x83" ZERO ".\xe2\x82"), 1007, 9},          /* ends in a character */
    {TG_LIT_INIT("\x01\x81" ZERO "\xe2\x80\x80" ZERO), 1007, 13}, /* the same over two frames */
    {TG_LIT_INIT("\x01\x81" ZERO "\xe2\x00\x82" ZERO "\x82x"), 1007, 15},
};

static void violations_are_found_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof violations / sizeof violations[0]; i++) {
        expect_error(&usual, violations[i].bytes, violations[i].code, violations[i].after);
    }
    expect_error(&all, TG_LIT("\x41\x80" ZERO "\xc0\x80"), 1002, 7); /* RSV1 on a continuation */
    expect_error(&all, TG_LIT("\xc9\x80" ZERO), 1002, 1);            /* on a ping */
    expect_error(&all, TG_LIT("\xe1\x80" ZERO), 1002, 1);            /* with RSV2 */
}

static void limits_are_exact(void **state)
{
    char space[14];
    struct tg_buf stream;
    struct wsframe_log log;
    char *text = malloc(1000);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', 1000);
    tg_buf_init(&stream, SIZE_MAX);
    for (int i = 0; i < 2; i++) { /* 1000 and 1000 are allowed, and nothing more but nothing */
        wsframe_put(&stream, header(space, i == 0 ? 0x01 : 0x00, 1000, 0));
        wsframe_put(&stream, tg_slice_make(text, 1000));
    }
    wsframe_put(&stream, TG_LIT("\x00\x80" ZERO));
    size_t len = tg_buf_size(&stream);
    wsframe_put(&stream, TG_LIT("\x80\x80" ZERO));
    wsframe_run(&log, &usual, false, tg_buf_slice(&stream), SIZE_MAX);
    assert_int_equal(log.largest, 2000);
    assert_int_equal(log.stopped_after, SIZE_MAX);
    wsframe_done(&log);
    stream.len = len;
    wsframe_put(&stream, TG_LIT("\x80\x81" ZERO "x"));
    wsframe_run(&log, &usual, false, tg_buf_slice(&stream), SIZE_MAX);
    assert_int_equal(log.stopped_after, len + 2);
    wsframe_done(&log);
    tg_buf_free(&stream);
    free(text);
}

static void close_codes(void **state)
{
    (void)state;
    for (int code = 0; code < 65536; code++) {
        char frame[] = "\x88\x82" ZERO "??";
        char want[32];
        struct wsframe_log log;
        bool ok = (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
                  (code >= 3000 && code < 5000);
        frame[6] = (char)(code >> 8);
        frame[7] = (char)code;
        (void)snprintf(want, sizeof want, ok ? "c%d:;" : "e1002;", code);
        wsframe_run(&log, &usual, false, tg_slice_make(frame, 8), SIZE_MAX);
        assert_true(tg_slice_eq(tg_buf_slice(&log.text), tg_slice_cstr(want)));
        wsframe_done(&log);
    }
    expect(TG_LIT("\x88\x80" ZERO), "c1005:;");
    expect(TG_LIT("\x88\x86" ZERO "\x0f\xa0"
                  "enou"),
           "c4000:enou;");
}

static void longest_control_frames(void **state)
{
    char frame[6 + 125] = {(char)0x89, (char)0xfd};
    char want[2 + 125 + 2] = "p:";
    (void)state;
    memset(frame + 6, 'p', 125);
    memset(want + 2, 'p', 125);
    want[127] = ';';
    expect(tg_slice_make(frame, sizeof frame), want);
}

static void ignored_data(void **state)
{
    (void)state;
    expect_as(&usual, true,
              TG_LIT("\x81\x81" ZERO "\xff\x82\x81" ZERO "b\x01\x80" ZERO "\x89\x80" ZERO "\x80\x81" ZERO
                     "x\x88\x82" ZERO "\x03\xe8"),
              "p:;c1000:;");
    /* more than is allowed, and then a close frame */
    struct tg_buf stream;
    struct wsframe_log log;
    char space[14];
    char *zeros = calloc(1, 70000);
    assert_non_null(zeros);
    tg_buf_init(&stream, SIZE_MAX);
    wsframe_put(&stream, header(space, 0x81, 70000, 0));
    wsframe_put(&stream, tg_slice_make(zeros, 70000));
    wsframe_put(&stream, TG_LIT("\x88\x80" ZERO));
    wsframe_run(&log, &usual, true, tg_buf_slice(&stream), 999);
    assert_true(tg_slice_eq(tg_buf_slice(&log.text), TG_LIT("c1005:;")));
    wsframe_done(&log);
    tg_buf_free(&stream);
    free(zeros);
    expect_as(&usual, true, TG_LIT("\x83\x80" ZERO), "e1002;"); /* framing still counts */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(masks_of_any_length),
        cmocka_unit_test(short_texts_are_utf8),
        cmocka_unit_test(leaves_to_others_what_is_theirs),
        cmocka_unit_test(lengths),
        cmocka_unit_test(whole_messages_stay_in_place),
        cmocka_unit_test(violations_are_found_at_once),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(close_codes),
        cmocka_unit_test(longest_control_frames),
        cmocka_unit_test(ignored_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
