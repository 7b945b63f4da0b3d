#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/base/codec.h"
#include "server/base/crypto.h"

static void assert_hex(const void *bytes, size_t len, const char *expected)
{
    char text[2 * TG_SHA256_LEN + 1] = {0};
    tg_hex_encode(bytes, len, text);
    assert_string_equal(text, expected);
}

static void sha256_matches_fips_180(void **state)
{
    (void)state;
    unsigned char digest[TG_SHA256_LEN];
    assert_int_equal(tg_sha256(TG_EMPTY, digest), TG_OK);
    assert_hex(digest, sizeof digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(tg_sha256(TG_LIT("abc"), digest), TG_OK);
    assert_hex(digest, sizeof digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(tg_sha256(TG_LIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), digest),
                     TG_OK);
    assert_hex(digest, sizeof digest, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void hmac_sha256_matches_rfc_4231(void **state)
{
    (void)state;
    unsigned char mac[TG_SHA256_LEN], key[131];
    memset(key, 0x0b, 20);
    assert_int_equal(tg_hmac_sha256(tg_slice_make(key, 20), TG_LIT("Hi There"), mac), TG_OK);
    assert_hex(mac, sizeof mac, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_int_equal(tg_hmac_sha256(TG_LIT("Jefe"), TG_LIT("what do ya want for nothing?"), mac), TG_OK);
    assert_hex(mac, sizeof mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    assert_int_equal(tg_hmac_sha256(tg_slice_make(key, sizeof key),
                                    TG_LIT("Test Using Larger Than Block-Size Key - Hash Key First"), mac),
                     TG_OK);
    assert_hex(mac, sizeof mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    struct tg_hmac_key held;
    assert_int_equal(tg_hmac_key_init(TG_LIT("Jefe"), &held), TG_OK);
    for (int i = 0; i < 2; i++) { /* which is not changed by use */
        unsigned char again[TG_SHA256_LEN];
        assert_int_equal(tg_hmac_sha256(TG_LIT("Jefe"), TG_LIT("what do ya want for nothing?"), mac), TG_OK);
        assert_int_equal(tg_hmac_sha256_by(&held, TG_LIT("what do ya want for nothing?"), again), TG_OK);
        assert_memory_equal(again, mac, sizeof mac);
    }
    assert_int_equal(tg_hmac_sha256(TG_EMPTY, TG_EMPTY, mac), TG_OK);
    assert_hex(mac, sizeof mac, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void sha1_answers_the_handshake_of_rfc_6455(void **state)
{
    (void)state;
    unsigned char digest[TG_SHA1_LEN];
    assert_int_equal(tg_sha1(TG_LIT("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), digest),
                     TG_OK);
    assert_hex(digest, sizeof digest, "b37a4f2cc0624f1690f64606cf385945b2bec4ea");
}

static void siphash_matches_its_authors_vectors(void **state)
{
    (void)state;
    unsigned char key[16], message[16];
    for (unsigned char i = 0; i < 16; i++) {
        key[i] = i;
        message[i] = i;
    }
    assert_true(tg_siphash(key, NULL, 0) == 0x726fdb47dd0e0e31u);
    assert_true(tg_siphash(key, message, 1) == 0x74f839c593dc67fdu);
    assert_true(tg_siphash(key, message, 7) == 0xab0200f58b01d137u);
    assert_true(tg_siphash(key, message, 8) == 0x93f5f5799a932462u);
    assert_true(tg_siphash(key, message, 15) == 0xa129ca6149be45e5u);
}

static void random_bytes_differ(void **state)
{
    (void)state;
    unsigned char one[300] = {0}, two[300] = {0};
    assert_int_equal(tg_random_bytes(one, sizeof one), TG_OK);
    assert_int_equal(tg_random_bytes(two, sizeof two), TG_OK);
    assert_memory_not_equal(one, two, sizeof one);
    assert_memory_not_equal(one + 284, two + 284, 16);
}

static void rng_is_xoshiro(void **state)
{
    (void)state;
    struct tg_rng rng = {.state = {1, 2, 3, 4}};
    assert_true(tg_rng_next(&rng) == 11520);
    assert_true(tg_rng_next(&rng) == 0);
    assert_true(tg_rng_next(&rng) == 1509978240);
    assert_true(tg_rng_next(&rng) == 1215971899390074240u);
}

static void rng_repeats_for_a_seed(void **state)
{
    (void)state;
    struct tg_rng one, two, other;
    unsigned char filled[11] = {0};
    tg_rng_seed(&one, 0);
    tg_rng_seed(&two, 0);
    tg_rng_seed(&other, 1);
    /* splitmix64 from 0, as published. */
    assert_true(one.state[0] == 0xe220a8397b1dcdafu);
    assert_true(one.state[1] == 0x6e789e6aa1b965f4u);
    uint64_t words[2] = {tg_rng_next(&one), tg_rng_next(&one)};
    assert_true(words[0] != tg_rng_next(&other));
    tg_rng_fill(&two, filled, 10);
    assert_memory_equal(filled, words, 10);
    assert_int_equal(filled[10], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_matches_fips_180),
        cmocka_unit_test(hmac_sha256_matches_rfc_4231),
        cmocka_unit_test(sha1_answers_the_handshake_of_rfc_6455),
        cmocka_unit_test(siphash_matches_its_authors_vectors),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(rng_is_xoshiro),
        cmocka_unit_test(rng_repeats_for_a_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
