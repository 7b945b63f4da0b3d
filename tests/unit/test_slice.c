#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/base/slice.h"

static void assert_text(struct tg_slice actual, const char *expected)
{
    assert_int_equal(actual.len, strlen(expected));
    assert_memory_equal(actual.len > 0 ? actual.ptr : "", expected, actual.len);
}

static void literals_keep_their_nul_bytes(void **state)
{
    (void)state;
    assert_int_equal(TG_LIT("a\0b").len, 3);
    assert_int_equal(TG_LIT("").len, 0);
    assert_int_equal(tg_slice_cstr(NULL).len, 0);
    assert_int_equal(tg_slice_cstr("abc").len, 3);
}

static void equality_compares_bytes_and_lengths(void **state)
{
    (void)state;
    assert_true(tg_slice_eq(TG_LIT("a\0b"), TG_LIT("a\0b")));
    assert_false(tg_slice_eq(TG_LIT("a\0b"), TG_LIT("a\0c")));
    assert_false(tg_slice_eq(TG_LIT("ab"), TG_LIT("abc")));
    assert_true(tg_slice_eq(TG_EMPTY, TG_LIT("")));
    assert_false(tg_slice_eq(TG_LIT("A"), TG_LIT("a")));
    assert_true(tg_slice_eq_nocase(TG_LIT("X-AmZ-date"), TG_LIT("x-amz-DATE")));
    assert_false(tg_slice_eq_nocase(TG_LIT("@"), TG_LIT("`")));
    assert_false(tg_slice_eq_nocase(TG_LIT("["), TG_LIT("{")));
    assert_false(tg_slice_eq_nocase(TG_LIT("a"), TG_LIT("ab")));
    assert_true(tg_slice_eq_nocase(TG_EMPTY, TG_LIT("")));
}

static int plain_lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* Every two bytes, at every place of texts of every length: alike if they are but for a letter's case. */
static void case_is_ignored_of_letters_alone(void **state)
{
    enum { LONGEST = 19 };
    (void)state;
    for (size_t len = 1; len <= LONGEST; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int pair = 0; pair < 256 * 256; pair++) {
                char a[LONGEST], b[LONGEST];
                int x = pair / 256, y = pair % 256;
                if ((x ^ y) != 0x20 && pair % 7 != 0) {
                    continue;
                }
                memset(a, 'k', len);
                memset(b, pair % 2 == 0 ? 'k' : 'K', len);
                a[at] = (char)x;
                b[at] = (char)y;
                assert_int_equal(tg_slice_eq_nocase(tg_slice_make(a, len), tg_slice_make(b, len)),
                                 plain_lower(x) == plain_lower(y));
            }
        }
    }
}

static void secrets_compare_like_others(void **state)
{
    (void)state;
    assert_true(tg_slice_eq_secret(TG_LIT("secret"), TG_LIT("secret")));
    assert_false(tg_slice_eq_secret(TG_LIT("secret"), TG_LIT("secreT")));
    assert_false(tg_slice_eq_secret(TG_LIT("Secret"), TG_LIT("secret")));
    assert_false(tg_slice_eq_secret(TG_LIT("secret"), TG_LIT("secret1")));
    assert_false(tg_slice_eq_secret(TG_EMPTY, TG_LIT("a")));
    assert_true(tg_slice_eq_secret(TG_EMPTY, TG_EMPTY));
}

static void order_is_that_of_unsigned_bytes(void **state)
{
    (void)state;
    assert_true(tg_slice_cmp(TG_LIT("a"), TG_LIT("b")) < 0);
    assert_true(tg_slice_cmp(TG_LIT("\xff"), TG_LIT("a")) > 0);
    assert_true(tg_slice_cmp(TG_LIT("a"), TG_LIT("ab")) < 0);
    assert_true(tg_slice_cmp(TG_LIT("ab"), TG_LIT("a")) > 0);
    assert_int_equal(tg_slice_cmp(TG_LIT("ab"), TG_LIT("ab")), 0);
    assert_int_equal(tg_slice_cmp(TG_EMPTY, TG_LIT("")), 0);
    assert_true(tg_slice_cmp(TG_EMPTY, TG_LIT("a")) < 0);
}

static void prefixes_and_suffixes(void **state)
{
    (void)state;
    assert_true(tg_slice_starts(TG_LIT("abc"), TG_LIT("ab")));
    assert_true(tg_slice_starts(TG_LIT("abc"), TG_EMPTY));
    assert_false(tg_slice_starts(TG_LIT("abc"), TG_LIT("b")));
    assert_false(tg_slice_starts(TG_LIT("a"), TG_LIT("ab")));
    assert_true(tg_slice_ends(TG_LIT("abc"), TG_LIT("bc")));
    assert_true(tg_slice_ends(TG_EMPTY, TG_EMPTY));
    assert_false(tg_slice_ends(TG_LIT("abc"), TG_LIT("ab")));
    assert_false(tg_slice_ends(TG_LIT("c"), TG_LIT("bc")));
}

static void parts_are_clamped(void **state)
{
    (void)state;
    assert_text(tg_slice_from(TG_LIT("abc"), 1), "bc");
    assert_text(tg_slice_from(TG_LIT("abc"), 3), "");
    assert_text(tg_slice_from(TG_LIT("abc"), 99), "");
    assert_text(tg_slice_from(TG_EMPTY, 1), "");
    assert_text(tg_slice_head(TG_LIT("abc"), 2), "ab");
    assert_text(tg_slice_head(TG_LIT("abc"), 4), "abc");
}

static void finding(void **state)
{
    (void)state;
    assert_int_equal(tg_slice_find(TG_LIT("abcb"), 'b'), 1);
    assert_int_equal(tg_slice_find(TG_LIT("abc"), 'x'), 3);
    assert_int_equal(tg_slice_find(TG_EMPTY, 'x'), 0);
    assert_int_equal(tg_slice_find_slice(TG_LIT("a\0bcbc"), TG_LIT("bc")), 2);
    assert_int_equal(tg_slice_find_slice(TG_LIT("abc"), TG_LIT("cd")), 3);
    assert_int_equal(tg_slice_find_slice(TG_LIT("abc"), TG_EMPTY), 0);
    assert_int_equal(tg_slice_find_slice(TG_EMPTY, TG_LIT("a")), 0);
}

static void trimming_takes_blanks_of_both_ends(void **state)
{
    (void)state;
    assert_text(tg_slice_trim(TG_LIT(" \t a b\t ")), "a b");
    assert_text(tg_slice_trim(TG_LIT(" \t ")), "");
    assert_text(tg_slice_trim(TG_LIT("\na\n")), "\na\n");
    assert_text(tg_slice_trim(TG_EMPTY), "");
}

static void cutting_splits_at_the_first(void **state)
{
    (void)state;
    struct tg_slice rest;
    assert_text(tg_slice_cut(TG_LIT("a=b=c"), '=', &rest), "a");
    assert_text(rest, "b=c");
    assert_text(tg_slice_cut(TG_LIT("a="), '=', &rest), "a");
    assert_text(rest, "");
    assert_non_null(rest.ptr);
    assert_text(tg_slice_cut(TG_LIT("abc"), '=', &rest), "abc");
    assert_null(rest.ptr);
    rest = TG_LIT("x,y");
    assert_text(tg_slice_cut(rest, ',', &rest), "x");
    assert_text(rest, "y");
}

static void numbers_are_digits_alone(void **state)
{
    (void)state;
    uint64_t value = 0;
    assert_int_equal(tg_slice_to_u64(TG_LIT("0"), &value), TG_OK);
    assert_true(value == 0);
    assert_int_equal(tg_slice_to_u64(TG_LIT("18446744073709551615"), &value), TG_OK);
    assert_true(value == UINT64_MAX);
    value = 42;
    assert_int_equal(tg_slice_to_u64(TG_LIT("18446744073709551616"), &value), TG_ELIMIT);
    assert_int_equal(tg_slice_to_u64(TG_LIT("99999999999999999999999"), &value), TG_ELIMIT);
    assert_int_equal(tg_slice_to_u64(TG_EMPTY, &value), TG_ESYNTAX);
    assert_int_equal(tg_slice_to_u64(TG_LIT("-1"), &value), TG_ESYNTAX);
    assert_int_equal(tg_slice_to_u64(TG_LIT(" 1"), &value), TG_ESYNTAX);
    assert_int_equal(tg_slice_to_u64(TG_LIT("1\0"), &value), TG_ESYNTAX);
    assert_true(value == 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_keep_their_nul_bytes),
        cmocka_unit_test(equality_compares_bytes_and_lengths),
        cmocka_unit_test(case_is_ignored_of_letters_alone),
        cmocka_unit_test(secrets_compare_like_others),
        cmocka_unit_test(order_is_that_of_unsigned_bytes),
        cmocka_unit_test(prefixes_and_suffixes),
        cmocka_unit_test(parts_are_clamped),
        cmocka_unit_test(finding),
        cmocka_unit_test(trimming_takes_blanks_of_both_ends),
        cmocka_unit_test(cutting_splits_at_the_first),
        cmocka_unit_test(numbers_are_digits_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
