#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "routes/glob.h"
#include "server/base/crypto.h"

static bool matches(const char *pattern, const char *text)
{
    return tg_glob_match(tg_slice_cstr(pattern), tg_slice_cstr(text), false);
}

static void patterns_match_whole_texts(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool match;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"abc", "xabc", false},
        {"*", "", true},
        {"*", "anything", true},
        {"**", "", true},
        {"a*", "a", true},
        {"a*", "ba", false},
        {"*a", "ba", true},
        {"*a", "ab", false},
        {"a*a", "a", false},
        {"a*a", "aa", true},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "acb", false},
        {"a*b*c", "abbc", true},
        {"*ab*", "aab", true},
        {"*ab*ab", "ab", false},
        {"*ab*ab", "abab", true},
        {"ab*ba", "aba", false},
        {"?", "a", true},
        {"?", "", false},
        {"?", "ab", false},
        {"a?c", "abc", true},
        {"*?", "", false},
        {"*?", "a", true},
        {"?*?", "a", false},
        {"?*?", "ab", true},
        {"*a?c*", "xxabcx", true},
        {"*a?c*", "aac", true},
        {"*a?c*", "aabc", true},
        {"*a?c*", "axx", false},
        {"*a*?b", "aab", true},
        {"*a*?b", "ab", false},
        {"A", "a", false},
        {"[a-z]", "b", false},
        {"\\*", "*", false},
        {"\\*", "\\x", true},
        {"*/@connections/*", "prod/POST/@connections/id", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (matches(rows[i].pattern, rows[i].text) != rows[i].match) {
            fail_msg("%s on %s", rows[i].pattern, rows[i].text);
        }
    }
    assert_true(tg_glob_match(TG_LIT("*"), TG_EMPTY, true));
    assert_true(tg_glob_match(TG_LIT("a?*"), TG_LIT("a\0b"), false));
}

static void case_is_ignored_when_told(void **state)
{
    (void)state;
    assert_true(tg_glob_match(TG_LIT("Execute-API:*conn*S"), TG_LIT("execute-api:ManageConnections"), true));
    assert_false(tg_glob_match(TG_LIT("Execute-API:*"), TG_LIT("execute-api:Invoke"), false));
    assert_false(tg_glob_match(TG_LIT("@"), TG_LIT("`"), true));
    assert_false(tg_glob_match(TG_LIT("*["), TG_LIT("{"), true));
}

/* The definition, by trial of every split. */
static bool by_definition(const char *pattern, const char *text)
{
    if (*pattern == '\0') {
        return *text == '\0';
    }
    if (*pattern == '*') {
        return by_definition(pattern + 1, text) || (*text != '\0' && by_definition(pattern, text + 1));
    }
    return *text != '\0' && (*pattern == '?' || *pattern == *text) && by_definition(pattern + 1, text + 1);
}

static void random_patterns_agree_with_the_definition(void **state)
{
    (void)state;
    struct tg_rng rng;
    size_t hits = 0;
    tg_rng_seed(&rng, 1);
    for (int i = 0; i < 200000; i++) {
        char pattern[9] = {0}, text[9] = {0};
        uint64_t chance = tg_rng_next(&rng);
        for (size_t j = 0; j < (chance & 7); j++) {
            pattern[j] = "ab*?"[chance >> (8 + 2 * j) & 3];
        }
        for (size_t j = 0; j < (chance >> 3 & 7); j++) {
            text[j] = "ab"[chance >> (40 + j) & 1];
        }
        bool expected = by_definition(pattern, text);
        hits += expected;
        if (matches(pattern, text) != expected ||
            tg_glob_match(tg_slice_cstr(pattern), tg_slice_cstr(text), true) != expected) {
            fail_msg("%s on %s", pattern, text);
        }
    }
    assert_true(hits > 10000);
}

static void stars_do_not_multiply_the_work(void **state)
{
    (void)state;
    char pattern[2001], text[8001];
    for (size_t i = 0; i < 2000; i += 2) {
        memcpy(pattern + i, "*a", 2);
    }
    pattern[1999] = 'b';
    pattern[2000] = '\0';
    memset(text, 'a', 8000);
    text[8000] = '\0';
    clock_t before = clock();
    assert_false(matches(pattern, text));
    pattern[1999] = 'a';
    assert_true(matches(pattern, text));
    assert_true(clock() - before < CLOCKS_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_whole_texts),
        cmocka_unit_test(case_is_ignored_when_told),
        cmocka_unit_test(random_patterns_agree_with_the_definition),
        cmocka_unit_test(stars_do_not_multiply_the_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
