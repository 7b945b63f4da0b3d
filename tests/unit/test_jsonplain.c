/* What it finds must be what the scanner finds; what it leaves to the scanner may be anything. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "routes/jsonplain.h"
#include "server/base/crypto.h"

enum { LONGEST = 1000 };

/* The text, exactly as long as it is; a blank before it keeps the other from being plain. */
struct texts {
    char *plain, *blank;
    size_t len;
};

static struct texts texts_of(const char *bytes, size_t len)
{
    struct texts texts = {.plain = malloc(len), .blank = malloc(len + 1), .len = len};
    assert_true(len > 0);
    assert_non_null(texts.plain);
    assert_non_null(texts.blank);
    memcpy(texts.plain, bytes, len);
    texts.blank[0] = ' ';
    memcpy(texts.blank + 1, bytes, len);
    return texts;
}

/* Whether the text is plain. */
static bool agree(const char *bytes, size_t len, struct tg_slice wanted)
{
    const struct tg_jsonscan_step step = {.name = wanted};
    const struct tg_jsonscan_path path = {&step, 1};
    struct texts texts = texts_of(bytes, len);
    struct tg_jsonscan_value value = {0}, expected = {0};
    bool plain = tg_jsonplain_find(tg_slice_make(texts.plain, len), wanted, &value);
    enum tg_err err =
        tg_jsonscan_find(tg_slice_make(texts.blank, len + 1), &path, TG_JSONSCAN_STRICT, &expected);
    if (plain) {
        assert_int_equal(err, TG_OK);
        assert_int_equal(value.found, expected.found);
        assert_false(value.escaped);
        if (value.found) {
            assert_int_equal(value.type, expected.type);
            assert_int_equal(value.raw.ptr - texts.plain, expected.raw.ptr - texts.blank - 1);
            assert_int_equal(value.raw.len, expected.raw.len);
        }
    }
    free(texts.plain);
    free(texts.blank);
    return plain;
}

static void takes_strings_and_integers(void **state)
{
    static const char *const plain[] = {
        "{\"action\":\"e\",\"p\":1}",   "{\"action\": \"e\", \"p\": -17}",
        "{\"p\":0,\"action\":\"\"}",    "{\"action\":1,\"action\":\"2\"}",
        "{\"\":\"\",\"action\":\"e\"}", "{\"actions\":\"e\",\"actio\":1}",
    };
    static const char *const other[] = {
        "{}",
        "{\"action\":\"e\"} ",
        "{\"action\":\"e\",\"p\":1.5}",
        "{\"action\":\"e\",\"p\":01}",
        "{\"action\":\"e\",\"p\":-}",
        "{\"action\":\"e\",\"p\":}",
        "{\"action\":\"e\",}",
        "{\"action\":\"e\"}}",
        "{\"action\":\"e\",\"p\":[]}",
        "{\"action\":\"\\u0065\"}",
        "{\"action\":\"\xc3\xa9\"}",
        "{\"action\":\"\n\"}",
        "{\"action\"}",
        "{\"action\":\"}",
        "{\"}",
        "{\"action\":\"e\";\"p\":1}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
#if defined(__SSE2__)
        assert_true(agree(plain[i], strlen(plain[i]), TG_LIT("action")));
#else
        assert_false(agree(plain[i], strlen(plain[i]), TG_LIT("action")));
#endif
    }
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        assert_false(agree(other[i], strlen(other[i]), TG_LIT("action")));
    }
}

/* Names of every length that is compared in its own way, and names that differ in one byte. */
static void compares_names_of_any_length(void **state)
{
    char name[40], text[80];
    (void)state;
    for (size_t len = 0; len < 36; len++) {
        memset(name, 'n', sizeof name);
        (void)snprintf(text, sizeof text, "{\"%.*s\":7}", (int)len, name);
        (void)agree(text, strlen(text), tg_slice_make(name, len));
        for (size_t i = 0; i < len; i++) {
            name[i] = 'm';
            struct tg_jsonscan_value value = {0};
            if (tg_jsonplain_find(tg_slice_cstr(text), tg_slice_make(name, len), &value)) {
                assert_false(value.found);
            }
            name[i] = 'n';
        }
    }
}

static size_t below(struct tg_rng *rng, size_t bound)
{
    return (size_t)(tg_rng_next(rng) % bound);
}

/* Documents of such pieces, with one byte exchanged now and then: strings end wherever a window may. */
static size_t make(struct tg_rng *rng, char text[LONGEST])
{
    static const char odd[] = "\"\\{}[]:,. 0-e\x01\x80\xff\t";
    size_t len = 1, members = 1 + below(rng, 6);
    text[0] = '{';
    for (size_t i = 0; i < members; i++) {
        char filler[80], value[80];
        memset(filler, 'a' + (char)below(rng, 26), sizeof filler);
        int name = (int)(below(rng, 3) == 0 ? below(rng, 20) : 0);
        int inside = (int)below(rng, below(rng, 8) == 0 ? 70 : 20);
        if (below(rng, 3) == 0) {
            (void)snprintf(value, sizeof value, "%d", (int)below(rng, 2000) - 1000);
        } else {
            (void)snprintf(value, sizeof value, "\"%.*s\"", inside, filler);
        }
        const char *blank = below(rng, 3) == 0 ? " " : "", *next = below(rng, 2) == 0 ? "," : ", ";
        len += (size_t)snprintf(text + len, LONGEST - len, "\"k%.*s\":%s%s%s", name, filler, blank, value,
                                i + 1 == members ? "}" : next);
    }
    if (below(rng, 3) == 0) {
        text[below(rng, len)] = odd[below(rng, sizeof odd - 1)];
    }
    return below(rng, 16) == 0 ? 1 + below(rng, len) : len;
}

static void agrees_with_the_scanner(void **state)
{
    struct tg_rng rng;
    char text[LONGEST];
    size_t plain = 0;
    (void)state;
    tg_rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        size_t len = make(&rng, text);
        plain += agree(text, len, TG_LIT("k")) ? 1 : 0;
    }
#if defined(__SSE2__)
    assert_in_range(plain, 8000, 19000);
#else
    assert_int_equal(plain, 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_strings_and_integers),
        cmocka_unit_test(compares_names_of_any_length),
        cmocka_unit_test(agrees_with_the_scanner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
