/* OpenSSL's digest functions of old are used on purpose: their state lives on the stack, where the EVP
 * interface of OpenSSL 3 looks the algorithm up under a lock and allocates twice a digest. 300 bytes take 180
 * ns so and 470 ns through EVP; a MAC takes 300 ns and 1170 ns. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "server/base/crypto.h"

#include <errno.h>
#include <openssl/sha.h>
#include <sys/random.h>

enum { SHA256_BLOCK = 64 };

enum tg_err tg_sha256(struct tg_slice bytes, unsigned char out[TG_SHA256_LEN])
{
    SHA256_CTX ctx;
    bool ok = SHA256_Init(&ctx) == 1 && SHA256_Update(&ctx, bytes.ptr, bytes.len) == 1 &&
              SHA256_Final(out, &ctx) == 1;
    return ok ? TG_OK : TG_ENOMEM;
}

/* The state of a digest behind a key block xored with `pad` (RFC 2104). */
static bool absorb(const unsigned char key[SHA256_BLOCK], unsigned char pad, uint32_t state[8])
{
    SHA256_CTX ctx;
    unsigned char block[SHA256_BLOCK];
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = (unsigned char)(key[i] ^ pad);
    }
    bool ok = SHA256_Init(&ctx) == 1 && SHA256_Update(&ctx, block, sizeof block) == 1;
    for (size_t i = 0; i < 8; i++) {
        state[i] = ctx.h[i];
    }
    explicit_bzero(block, sizeof block);
    explicit_bzero(&ctx, sizeof ctx);
    return ok;
}

/* The digest of a block and what follows it. */
static bool continue_digest(const uint32_t state[8], struct tg_slice bytes, unsigned char out[TG_SHA256_LEN])
{
    SHA256_CTX ctx;
    for (size_t i = 0; i < 8; i++) {
        ctx.h[i] = state[i];
    }
    ctx.Nl = SHA256_BLOCK * 8; /* bits so far */
    ctx.Nh = 0;
    ctx.num = 0; /* bytes of an unfinished block */
    ctx.md_len = TG_SHA256_LEN;
    bool ok = SHA256_Update(&ctx, bytes.ptr, bytes.len) == 1 && SHA256_Final(out, &ctx) == 1;
    explicit_bzero(&ctx, sizeof ctx);
    return ok;
}

enum tg_err tg_hmac_key_init(struct tg_slice key, struct tg_hmac_key *out)
{
    unsigned char block[SHA256_BLOCK] = {0};
    bool ok = true;
    if (key.len > sizeof block) {
        ok = tg_sha256(key, block) == TG_OK;
    } else if (key.len > 0) {
        memcpy(block, key.ptr, key.len);
    }
    ok = ok && absorb(block, 0x36, out->inner) && absorb(block, 0x5c, out->outer);
    explicit_bzero(block, sizeof block);
    return ok ? TG_OK : TG_ENOMEM;
}

enum tg_err tg_hmac_sha256_by(const struct tg_hmac_key *key, struct tg_slice bytes,
                              unsigned char out[TG_SHA256_LEN])
{
    unsigned char inner[TG_SHA256_LEN];
    bool ok = continue_digest(key->inner, bytes, inner) &&
              continue_digest(key->outer, tg_slice_make(inner, sizeof inner), out);
    return ok ? TG_OK : TG_ENOMEM;
}

enum tg_err tg_hmac_sha256(struct tg_slice key, struct tg_slice bytes, unsigned char out[TG_SHA256_LEN])
{
    struct tg_hmac_key state;
    enum tg_err err = tg_hmac_key_init(key, &state);
    if (err == TG_OK) {
        err = tg_hmac_sha256_by(&state, bytes, out);
    }
    explicit_bzero(&state, sizeof state);
    return err;
}

enum tg_err tg_sha1(struct tg_slice bytes, unsigned char out[TG_SHA1_LEN])
{
    SHA_CTX ctx;
    bool ok =
        SHA1_Init(&ctx) == 1 && SHA1_Update(&ctx, bytes.ptr, bytes.len) == 1 && SHA1_Final(out, &ctx) == 1;
    return ok ? TG_OK : TG_ENOMEM;
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t little_endian(const unsigned char *bytes, size_t len)
{
    uint64_t value = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (len == sizeof value) {
        memcpy(&value, bytes, sizeof value);
        return value;
    }
#endif
    for (size_t i = len; i > 0; i--) {
        value = value << 8 | bytes[i - 1];
    }
    return value;
}

static void sip_rounds(uint64_t v[4], int rounds)
{
    for (int i = 0; i < rounds; i++) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

uint64_t tg_siphash(const unsigned char key[16], const void *bytes, size_t len)
{
    const unsigned char *in = bytes;
    uint64_t k0 = little_endian(key, 8), k1 = little_endian(key + 8, 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    size_t whole = len - len % 8;
    for (size_t at = 0; at <= whole; at += 8) {
        uint64_t word = at < whole
                            ? little_endian(in + at, 8)
                            : (uint64_t)len << 56 | (len > whole ? little_endian(in + at, len % 8) : 0);
        v[3] ^= word;
        sip_rounds(v, 2);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

enum tg_err tg_random_bytes(void *out, size_t len)
{
    unsigned char *to = out;
    while (len > 0) {
        ssize_t got = getrandom(to, len, 0);
        if (got < 0 && errno != EINTR) {
            return TG_EIO;
        }
        if (got > 0) {
            to += got;
            len -= (size_t)got;
        }
    }
    return TG_OK;
}

void tg_rng_seed(struct tg_rng *rng, uint64_t seed)
{
    /* splitmix64, as the authors of xoshiro advise; never all zero. */
    for (size_t i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        rng->state[i] = z ^ z >> 31;
    }
}

static inline uint64_t next(uint64_t s[4])
{
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t tg_rng_next(struct tg_rng *rng)
{
    return next(rng->state);
}

void tg_rng_fill(struct tg_rng *rng, void *out, size_t len)
{
    unsigned char *to = out;
    uint64_t state[4], word;
    memcpy(state, rng->state, sizeof state); /* where it need not be written back for each word */
    for (; len >= sizeof word; len -= sizeof word, to += sizeof word) {
        word = next(state);
        memcpy(to, &word, sizeof word);
    }
    if (len > 0) {
        word = next(state);
        memcpy(to, &word, len);
    }
    memcpy(rng->state, state, sizeof state);
}
