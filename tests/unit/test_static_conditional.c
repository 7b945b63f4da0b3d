/* Serving files: validators, conditional requests, ranges. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/static_scene.h"

/* ---- validators and conditions ---- */

static struct tg_static_validators validate(struct scene *scene, const struct tg_beneath_file *file)
{
    struct tg_static_validators validators;
    memset(&validators, 'x', sizeof validators);
    tg_static_validate(scene->files, file, now_ms, &validators);
    return validators;
}

static void validators_tell_every_change(void **state)
{
    struct scene *scene = *state;
    const struct tg_beneath_file file = {.size = 5, .modified_s = 1700000000, .modified_ns = 7, .inode = 99};
    struct tg_beneath_file others[] = {file, file, file, file};
    others[0].size = 6;
    others[1].modified_s++;
    others[2].modified_ns++;
    others[3].inode++;
    open_files(scene);
    struct tg_static_validators first = validate(scene, &file);
    assert_true(first.strong);
    assert_int_equal(first.modified_s, 1700000000);
    assert_int_equal(first.etag[0], '"');
    assert_int_equal(first.etag[first.etag_len - 1], '"');
    assert_int_equal(strlen(first.etag), first.etag_len);
    assert_string_equal(validate(scene, &file).etag, first.etag);
    for (size_t i = 0; i < 4; i++) {
        assert_string_not_equal(validate(scene, &others[i]).etag, first.etag);
    }
    scene->settings.shared_etags = true;
    open_files(scene);
    assert_string_equal(validate(scene, &file).etag, validate(scene, &others[3]).etag);
    assert_string_not_equal(validate(scene, &file).etag, validate(scene, &others[0]).etag);
}

static void a_file_that_has_not_rested_has_weak_ones(void **state)
{
    struct scene *scene = *state;
    open_files(scene);
    struct tg_beneath_file file = {.size = UINT64_MAX, .modified_s = now_ms / 1000 - 1};
    assert_false(validate(scene, &file).strong);
    assert_int_equal(strncmp(validate(scene, &file).etag, "W/\"", 3), 0);
    assert_int_equal(validate(scene, &file).etag_len, 2 + 2 + 16 + 1 + 16);
    file.modified_s = now_ms / 1000 - 2;
    assert_true(validate(scene, &file).strong);
    file.modified_ns = 1000000;
    assert_false(validate(scene, &file).strong);
    file.modified_s = now_ms / 1000 + 1000; /* Last-Modified is never after Date */
    assert_false(validate(scene, &file).strong);
    assert_int_equal(validate(scene, &file).modified_s, now_ms / 1000);
    file.modified_s = INT64_MIN;
    assert_true(validate(scene, &file).strong);
    file.modified_s = INT64_MAX;
    assert_false(validate(scene, &file).strong);
}

static const struct tg_static_validators strong = {
    .etag = "\"abc\"", .etag_len = 5, .modified_s = 784111777, .strong = true};
static const struct tg_static_validators weak = {
    .etag = "W/\"abc\"", .etag_len = 7, .modified_s = 784111777, .strong = false};

#define AT     "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"

static void conditions_are_judged_in_their_order(void **state)
{
    struct scene *scene = *state;
    enum { GO = TG_STATIC_PROCEED, NOT = TG_STATIC_NOT_MODIFIED, FAIL = TG_STATIC_FAILED };
    static const struct {
        const char *name, *value, *name2, *value2;
        int strong, weak;
    } cases[] = {
        {"If-Match", "\"abc\"", NULL, NULL, GO, FAIL},
        {"If-Match", "*", NULL, NULL, GO, GO},
        {"If-Match", "\"x\", \"abc\"", NULL, NULL, GO, FAIL},
        {"If-Match", "\"x\"", NULL, NULL, FAIL, FAIL},
        {"If-Match", "W/\"abc\"", NULL, NULL, FAIL, FAIL},
        {"If-Match", "", NULL, NULL, FAIL, FAIL},
        {"If-Match", "abc", NULL, NULL, FAIL, FAIL},
        {"If-Match", "\"x\"", "If-Match", "\"abc\"", GO, FAIL},
        {"If-None-Match", "\"abc\"", NULL, NULL, NOT, NOT},
        {"if-none-match", "W/\"abc\"", NULL, NULL, NOT, NOT},
        {"If-None-Match", " * ", NULL, NULL, NOT, NOT},
        {"If-None-Match", ",, \"a,b\" ,W/\"abc\"", NULL, NULL, NOT, NOT},
        {"If-None-Match", "\"ab\"", NULL, NULL, GO, GO},
        {"If-None-Match", "\"abc", NULL, NULL, GO, GO},
        {"If-None-Match", "abc", NULL, NULL, GO, GO},
        {"If-None-Match", "w/\"abc\"", NULL, NULL, GO, GO},
        {"If-Modified-Since", AT, NULL, NULL, NOT, NOT},
        {"If-Modified-Since", AFTER, NULL, NULL, NOT, NOT},
        {"If-Modified-Since", BEFORE, NULL, NULL, GO, GO},
        {"If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT", NULL, NULL, NOT, NOT},
        {"If-Modified-Since", "yesterday", NULL, NULL, GO, GO},
        {"If-Modified-Since", AT, "If-Modified-Since", AT, GO, GO},
        {"If-Unmodified-Since", AT, NULL, NULL, GO, GO},
        {"If-Unmodified-Since", BEFORE, NULL, NULL, FAIL, FAIL},
        {"If-Unmodified-Since", "yesterday", NULL, NULL, GO, GO},
        /* An ETag makes the date of its kind unheard. */
        {"If-None-Match", "\"x\"", "If-Modified-Since", AT, GO, GO},
        {"If-None-Match", "\"abc\"", "If-Modified-Since", BEFORE, NOT, NOT},
        {"If-Match", "\"abc\"", "If-Unmodified-Since", BEFORE, GO, FAIL},
        {"If-Match", "\"x\"", "If-Unmodified-Since", AT, FAIL, FAIL},
        /* 412 comes before 304. */
        {"If-None-Match", "\"abc\"", "If-Match", "\"x\"", FAIL, FAIL},
        {"If-None-Match", "\"abc\"", "If-Match", "\"abc\"", NOT, FAIL},
        {"If-Modified-Since", AT, "If-Unmodified-Since", BEFORE, FAIL, FAIL},
        {"If-Modified-Since", AT, "If-Unmodified-Since", AT, NOT, NOT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tg_headers headers = {0};
        bool ranges;
        add(scene, &headers, cases[i].name, cases[i].value);
        if (cases[i].name2 != NULL) {
            add(scene, &headers, cases[i].name2, cases[i].value2);
        }
        assert_int_equal(tg_static_judge(&headers, &strong, now_ms, &ranges), cases[i].strong);
        assert_int_equal(tg_static_judge(&headers, &weak, now_ms, &ranges), cases[i].weak);
    }
}

static void if_range_needs_a_strong_validator(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *value;
        bool strong, weak;
    } cases[] = {
        {"\"abc\"", true, false},
        {"W/\"abc\"", false, false},
        {"\"x\"", false, false},
        {AT, true, false},
        {BEFORE, false, false},
        {AFTER, false, false},
        {"", false, false},
        {"\"abc\", \"x\"", false, false},
        {"*", false, false},
        {"\"abc", false, false},
        {"Sun Nov  6 08:49:37 1994", true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tg_headers headers = {0};
        bool ranges;
        add(scene, &headers, "If-Range", cases[i].value);
        assert_int_equal(tg_static_judge(&headers, &strong, now_ms, &ranges), TG_STATIC_PROCEED);
        assert_int_equal(ranges, cases[i].strong);
        assert_int_equal(tg_static_judge(&headers, &weak, now_ms, &ranges), TG_STATIC_PROCEED);
        assert_int_equal(ranges, cases[i].weak);
    }
    struct tg_headers none = {0};
    bool ranges = false;
    assert_int_equal(tg_static_judge(&none, &weak, now_ms, &ranges), TG_STATIC_PROCEED);
    assert_true(ranges);
}

/* ---- ranges ---- */

static void ranges_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint64_t size;
        const char *ranges; /* "first+len ...", "whole" or "416" */
    } cases[] = {
        {"bytes=0-0", 10, "0+1"},
        {"bytes=0-9", 10, "0+10"},
        {"bytes=0-10", 10, "0+10"},
        {"bytes=2-4", 10, "2+3"},
        {"bytes=2-", 10, "2+8"},
        {"bytes=9-", 10, "9+1"},
        {"bytes=-3", 10, "7+3"},
        {"bytes=-30", 10, "0+10"},
        {"Bytes=1-2", 10, "1+2"},
        {"bytes=10-", 10, "416"},
        {"bytes=10-20", 10, "416"},
        {"bytes=-0", 10, "416"},
        {"bytes=99999999999999999999999-", 10, "416"},
        {"bytes=1-99999999999999999999999", 10, "1+9"},
        {"bytes=-99999999999999999999999", 10, "0+10"},
        {"bytes=18446744073709551615-18446744073709551615", UINT64_MAX, "416"},
        {"bytes=18446744073709551614-", UINT64_MAX, "18446744073709551614+1"},
        {"bytes=0-0, 2-3 ,5-", 10, "0+1 2+2 5+5"},
        {"bytes=5-,0-0", 10, "5+5 0+1"},
        {"bytes=0-0,,  ,1-1", 10, "0+1 1+1"},
        {"bytes=0-0,20-30", 10, "0+1"},
        {"bytes=20-30,-0", 10, "416"},
        {"bytes=0-5,5-9", 10, "whole"},
        {"bytes=0-,0-0", 10, "whole"},
        {"bytes=0-1,-9", 10, "whole"},
        {"bytes=4-2", 10, "whole"},
        {"bytes=0-0,4-2", 10, "whole"},
        {"bytes=", 10, "whole"},
        {"bytes=,", 10, "whole"},
        {"bytes", 10, "whole"},
        {"", 10, "whole"},
        {"bytes=-", 10, "whole"},
        {"bytes=a-b", 10, "whole"},
        {"bytes=1", 10, "whole"},
        {"bytes=1-2-3", 10, "whole"},
        {"bytes=--1", 10, "whole"},
        {"bytes=+1-2", 10, "whole"},
        {"bytes=1 -2", 10, "whole"},
        {"bytes=0x1-2", 10, "whole"},
        {"lines=0-1", 10, "whole"},
        {"bytes=0-0", 0, "whole"},
        {"bytes=-1", 0, "whole"},
        {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30", 99,
         "0+1 2+1 4+1 6+1 8+1 10+1 12+1 14+1 16+1 18+1 20+1 22+1 24+1 26+1 28+1 30+1"},
        {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32",
         99, "whole"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tg_static_range ranges[TG_STATIC_RANGES_MAX];
        size_t count = 0, len = 0;
        char text[512] = "";
        switch (tg_static_range_parse(tg_slice_cstr(cases[i].value), cases[i].size, ranges, &count)) {
        case TG_STATIC_WHOLE:
            (void)snprintf(text, sizeof text, "whole");
            break;
        case TG_STATIC_UNSATISFIABLE:
            (void)snprintf(text, sizeof text, "416");
            break;
        default:
            for (size_t j = 0; j < count; j++) {
                len +=
                    (size_t)snprintf(text + len, sizeof text - len, "%s%llu+%llu", j > 0 ? " " : "",
                                     (unsigned long long)ranges[j].first, (unsigned long long)ranges[j].len);
            }
        }
        assert_string_equal(text, cases[i].ranges);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        TEST(validators_tell_every_change),
        TEST(a_file_that_has_not_rested_has_weak_ones),
        TEST(conditions_are_judged_in_their_order),
        TEST(if_range_needs_a_strong_validator),
        TEST(ranges_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
