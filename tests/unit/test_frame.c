#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "connmgr/frame.h"

static void check(enum tg_opcode opcode, size_t len, const char *header, size_t header_len)
{
    char *payload = malloc(len + 1);
    struct tg_frame *frame;
    assert_non_null(payload);
    memset(payload, 'x', len);
    assert_int_equal(tg_frame_new(opcode, tg_slice_make(payload, len), &frame), TG_OK);
    assert_int_equal(frame->len, header_len + len);
    assert_memory_equal(frame->bytes, header, header_len);
    assert_memory_equal(frame->bytes + header_len, payload, len);
    tg_frame_unref(frame);
    free(payload);
}

/* RFC 6455 section 5.2: the shortest form of the length, no mask. */
static void test_headers(void **state)
{
    (void)state;
    check(TG_OPCODE_TEXT, 0, "\x81\x00", 2);
    check(TG_OPCODE_TEXT, 5, "\x81\x05", 2);
    check(TG_OPCODE_BINARY, 125, "\x82\x7d", 2);
    check(TG_OPCODE_TEXT, 126, "\x81\x7e\x00\x7e", 4);
    check(TG_OPCODE_TEXT, 65535, "\x81\x7e\xff\xff", 4);
    check(TG_OPCODE_BINARY, 65536, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
    check(TG_OPCODE_TEXT, 131072, "\x81\x7f\x00\x00\x00\x00\x00\x02\x00\x00", 10);
    check(TG_OPCODE_PING, 0, "\x89\x00", 2);
    check(TG_OPCODE_PING, 125, "\x89\x7d", 2);
}

static void test_empty_payload_without_pointer(void **state)
{
    struct tg_frame *frame;
    (void)state;
    assert_int_equal(tg_frame_new(TG_OPCODE_TEXT, TG_EMPTY, &frame), TG_OK);
    assert_int_equal(frame->len, 2);
    tg_frame_unref(frame);
}

static void test_control_frames_are_short(void **state)
{
    char payload[126] = "";
    struct tg_frame *frame = NULL;
    (void)state;
    assert_int_equal(tg_frame_new(TG_OPCODE_PING, tg_slice_make(payload, sizeof payload), &frame), TG_ELIMIT);
    assert_null(frame);
}

static void test_references(void **state)
{
    struct tg_frame *frame;
    (void)state;
    assert_int_equal(tg_frame_new(TG_OPCODE_TEXT, TG_LIT("hello"), &frame), TG_OK);
    assert_ptr_equal(tg_frame_ref(frame), frame);
    tg_frame_unref(frame);
    assert_memory_equal(frame->bytes, "\x81\x05hello", 7);
    tg_frame_unref(frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_empty_payload_without_pointer),
        cmocka_unit_test(test_control_frames_are_short),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
