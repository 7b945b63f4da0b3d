#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "connmgr/connid.h"
#include "server/base/crypto.h"

static const unsigned char key[TG_CONNID_KEY_LEN] = "0123456789abcdef";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=";

static void assert_same(const struct tg_connid *a, const struct tg_connid *b)
{
    assert_int_equal(a->node, b->node);
    assert_int_equal(a->worker, b->worker);
    assert_int_equal(a->slot, b->slot);
    assert_int_equal(a->generation, b->generation);
}

static struct tg_connid random_id(struct tg_rng *rng)
{
    return (struct tg_connid){
        .node = (uint32_t)tg_rng_next(rng) & 0xffffff,
        .worker = (uint32_t)tg_rng_next(rng) & 0xff,
        .slot = (uint32_t)tg_rng_next(rng) & 0xffffff,
        .generation = (uint32_t)(tg_rng_next(rng) % 0xffffff) + 1,
    };
}

static void test_round_trip(void **state)
{
    static const struct tg_connid ids[] = {
        {0, 0, 0, 1},
        {0xffffff, 0xff, 0xffffff, 0xffffff},
        {1, 2, 3, 4},
        {0x800000, 0x80, 0x800000, 0x800000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char text[TG_CONNID_LEN + 1];
        struct tg_connid back;
        tg_connid_encode(key, &ids[i], text);
        assert_int_equal(strlen(text), TG_CONNID_LEN);
        assert_string_equal(text + TG_CONNID_LEN - 2, "==");
        assert_int_equal(strspn(text, alphabet), TG_CONNID_LEN);
        assert_int_equal(tg_connid_decode(key, tg_slice_cstr(text), &back), TG_OK);
        assert_same(&ids[i], &back);
    }
}

static void test_neighbours_look_unrelated(void **state)
{
    char a[TG_CONNID_LEN + 1], b[TG_CONNID_LEN + 1];
    size_t same = 0, pairs = 200;
    (void)state;
    for (uint32_t slot = 0; slot < pairs; slot++) {
        tg_connid_encode(key, &(struct tg_connid){1, 0, slot, 1}, a);
        tg_connid_encode(key, &(struct tg_connid){1, 0, slot + 1, 1}, b);
        for (size_t i = 0; i < TG_CONNID_LEN - 2; i++) {
            same += a[i] == b[i];
        }
    }
    /* Chance gives one in 64. */
    assert_true(same < pairs * (TG_CONNID_LEN - 2) / 32);
}

static void test_another_key(void **state)
{
    const unsigned char other[TG_CONNID_KEY_LEN] = "0123456789abcdeg";
    struct tg_connid id = {7, 1, 9, 3}, out = {0};
    char text[TG_CONNID_LEN + 1];
    (void)state;
    tg_connid_encode(key, &id, text);
    assert_int_equal(tg_connid_decode(other, tg_slice_cstr(text), &out), TG_ESYNTAX);
    assert_int_equal(out.generation, 0);
}

static void test_malformed(void **state)
{
    static const char *const texts[] = {
        "",
        "=",
        "L0SM9cOFvHcCIhw=",
        "AAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAA==",
        "AAAAAAAAAAAAAAAAAA=A",
        "AAAAAAAAA AAAAAAAA==",
        "AAAAAAAAA/AAAAAAAA==",
        "AAAAAAAAAAAAAAAAAA%3D%3D",
        "not-a-connection-id",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tg_connid out;
        assert_int_equal(tg_connid_decode(key, tg_slice_cstr(texts[i]), &out), TG_ESYNTAX);
    }
}

/* A generation of 0 is never given out, so not even one with a proper check value is taken. */
static void test_no_generation(void **state)
{
    char text[TG_CONNID_LEN + 1];
    struct tg_connid out;
    (void)state;
    tg_connid_encode(key, &(struct tg_connid){1, 2, 3, 0}, text);
    assert_int_equal(tg_connid_decode(key, tg_slice_cstr(text), &out), TG_ESYNTAX);
}

static void test_truncated_and_extended(void **state)
{
    char text[TG_CONNID_LEN + 2] = "";
    struct tg_connid out;
    (void)state;
    tg_connid_encode(key, &(struct tg_connid){1, 2, 3, 4}, text);
    for (size_t len = 0; len < TG_CONNID_LEN; len++) {
        assert_int_equal(tg_connid_decode(key, tg_slice_make(text, len), &out), TG_ESYNTAX);
    }
    text[TG_CONNID_LEN] = '=';
    assert_int_equal(tg_connid_decode(key, tg_slice_make(text, TG_CONNID_LEN + 1), &out), TG_ESYNTAX);
}

/* Changes every character into every other. A changed id passes with a chance of 2^-24, and then names
 * another connection than the real one. */
static void test_altered(void **state)
{
    struct tg_rng rng;
    size_t tried = 0, passed = 0;
    (void)state;
    tg_rng_seed(&rng, 1);
    for (int round = 0; round < 300; round++) {
        struct tg_connid id = random_id(&rng), out;
        char text[TG_CONNID_LEN + 1];
        tg_connid_encode(key, &id, text);
        for (size_t at = 0; at < TG_CONNID_LEN; at++) {
            const char was = text[at];
            for (const char *c = alphabet; *c != '\0'; c++) {
                if (*c == was) {
                    continue;
                }
                text[at] = *c;
                tried++;
                if (tg_connid_decode(key, tg_slice_cstr(text), &out) == TG_OK) {
                    passed++;
                    assert_memory_not_equal(&out, &id, sizeof id);
                }
            }
            text[at] = was;
        }
        assert_int_equal(tg_connid_decode(key, tg_slice_cstr(text), &out), TG_OK);
    }
    print_message("%zu of %zu altered ids pass the check\n", passed, tried);
    assert_true(passed <= 1);
}

/* A reader says what decoding says, of ids that it has met and of others that look like them. */
static void test_reader(void **state)
{
    enum { IDS = 3 * TG_CONNID_RECENT };
    struct tg_connid_reader reader;
    struct tg_rng rng;
    static char texts[IDS][TG_CONNID_LEN + 1];
    (void)state;
    tg_rng_seed(&rng, 3);
    tg_connid_reader_init(&reader, key);
    for (size_t len = 0; len < 2 * TG_CONNID_LEN; len++) {
        static const char zeros[2 * TG_CONNID_LEN]; /* as an empty place of the reader's */
        struct tg_connid read;
        assert_int_equal(tg_connid_read(&reader, tg_slice_make(zeros, len), &read), TG_ESYNTAX);
    }
    for (size_t i = 0; i < IDS; i++) {
        struct tg_connid id = random_id(&rng);
        tg_connid_encode(key, &id, texts[i]);
    }
    for (size_t i = 0; i < (size_t)100 * IDS; i++) {
        struct tg_connid read, decoded;
        char text[TG_CONNID_LEN + 1];
        memcpy(text, texts[tg_rng_next(&rng) % IDS], sizeof text);
        if (i % 3 == 0) {
            text[tg_rng_next(&rng) % TG_CONNID_LEN] = alphabet[tg_rng_next(&rng) % (sizeof alphabet - 1)];
        }
        enum tg_err err = tg_connid_decode(key, tg_slice_cstr(text), &decoded);
        assert_int_equal(tg_connid_read(&reader, tg_slice_cstr(text), &read), err);
        if (err == TG_OK) {
            assert_same(&read, &decoded);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_reader),
        cmocka_unit_test(test_neighbours_look_unrelated),
        cmocka_unit_test(test_another_key),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_no_generation),
        cmocka_unit_test(test_truncated_and_extended),
        cmocka_unit_test(test_altered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
