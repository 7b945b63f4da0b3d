#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server/base/bytes.h"

enum { LONGEST = 200 };

static size_t naive_ascii(struct tg_slice bytes)
{
    size_t len = 0;
    while (len < bytes.len && (unsigned char)bytes.ptr[len] < 0x80) {
        len++;
    }
    return len;
}

/* Every length, at every alignment, with one byte that ends the run at every place. */
static void ascii_run_ends_at_the_first_high_byte(void **state)
{
    char space[LONGEST + 16];
    (void)state;
    memset(space, 'a', sizeof space);
    for (size_t shift = 0; shift < 16; shift++) {
        for (size_t len = 0; len <= LONGEST; len++) {
            assert_int_equal(tg_bytes_ascii(tg_slice_make(space + shift, len)), len);
        }
        for (size_t at = 0; at < LONGEST; at++) {
            space[shift + at] = (char)(0x80 | at);
            assert_int_equal(tg_bytes_ascii(tg_slice_make(space + shift, LONGEST)), at);
            space[shift + at] = (char)(at & 0x7f);
        }
    }
    assert_int_equal(tg_bytes_ascii(TG_EMPTY), 0);
}

/* Each of the 256 bytes, at every place: the run ends less than 64 before those that end it, never behind,
 * and goes on over the others. */
static void plain_run_stops_before_quotes_escapes_and_controls(void **state)
{
    const char quotes[] = {'"', '\''};
    char space[LONGEST];
    (void)state;
    for (size_t q = 0; q < sizeof quotes; q++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            bool ends = byte == (unsigned char)quotes[q] || byte == '\\' || byte < 0x20;
            for (size_t at = 0; at < LONGEST; at++) {
                uint64_t high = 0;
                memset(space, ' ', sizeof space);
                space[at] = (char)byte;
                size_t len = tg_bytes_plain(tg_slice_make(space, sizeof space), quotes[q], &high);
                assert_int_equal(len, (ends ? at : sizeof space) / 64 * 64);
                assert_int_equal(high != 0, byte >= 0x80 && at < len);
            }
        }
    }
}

static void plain_run_keeps_what_high_said(void **state)
{
    char space[64];
    uint64_t high = 1;
    (void)state;
    memset(space, 'a', sizeof space);
    assert_int_equal(tg_bytes_plain(tg_slice_make(space, sizeof space), '"', &high), 64);
    assert_true(high == 1);
    assert_int_equal(tg_bytes_plain(tg_slice_make(space, 63), '"', &high), 0);
}

static void mask_is_xor_byte_by_byte(void **state)
{
    const unsigned char key[8] = {0x01, 0x80, 0xff, 0x5a, 0x10, 0x20, 0x40, 0x7f};
    (void)state;
    for (size_t len = 0; len <= LONGEST; len++) {
        char space[LONGEST + 2];
        for (size_t i = 0; i < sizeof space; i++) {
            space[i] = (char)(i * 7);
        }
        (void)tg_bytes_mask(space + 1, len, key);
        for (size_t i = 0; i < sizeof space; i++) {
            bool inside = i >= 1 && i < len + 1;
            assert_int_equal((unsigned char)space[i],
                             (unsigned char)(i * 7) ^ (inside ? key[(i - 1) % 8] : 0));
        }
    }
}

/* Of every length, at several alignments, with one byte of the outcome that is not ASCII, at every place, or
 * none. */
static void mask_tells_whether_the_outcome_is_ascii(void **state)
{
    const unsigned char key[8] = {0x81, 0xfe, 0x00, 0x5a, 0x81, 0xfe, 0x00, 0x5a};
    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        for (size_t len = 0; len <= LONGEST; len++) {
            for (size_t high = 0; high <= len; high++) {
                char space[LONGEST + 4];
                memset(space, 'm', sizeof space);
                if (high < len) {
                    space[shift + high] = (char)0xed;
                }
                (void)tg_bytes_mask(space + shift, len, key);
                assert_int_equal(tg_bytes_mask(space + shift, len, key), high == len);
            }
        }
    }
}

static void random_bytes_agree_with_a_loop(void **state)
{
    uint32_t seed = 1;
    char space[LONGEST];
    (void)state;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof space; i++) {
            seed = seed * 1664525u + 1013904223u;
            space[i] = (char)(seed >> 24 | (seed >> 20 & 7 ? 0 : 0x80));
            space[i] = (char)((seed >> 12 & 0x3f) != 0 ? space[i] & 0x7f : space[i]);
        }
        struct tg_slice bytes = {space, sizeof space};
        assert_int_equal(tg_bytes_ascii(bytes), naive_ascii(bytes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ascii_run_ends_at_the_first_high_byte),
        cmocka_unit_test(plain_run_stops_before_quotes_escapes_and_controls),
        cmocka_unit_test(plain_run_keeps_what_high_said),
        cmocka_unit_test(mask_is_xor_byte_by_byte),
        cmocka_unit_test(mask_tells_whether_the_outcome_is_ascii),
        cmocka_unit_test(random_bytes_agree_with_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
