/* Digests, message authentication codes and randomness. The only file beside the TLS transport that sees
 * OpenSSL. */
#ifndef TG_BASE_CRYPTO_H
#define TG_BASE_CRYPTO_H

#include "server/base/slice.h"

enum { TG_SHA256_LEN = 32, TG_SHA1_LEN = 20 };

/* None of these can fail but for a broken OpenSSL or want of memory: then they return TG_ENOMEM. */
enum tg_err tg_sha256(struct tg_slice bytes, unsigned char out[TG_SHA256_LEN]) TG_MUST_CHECK;
enum tg_err tg_hmac_sha256(struct tg_slice key, struct tg_slice bytes,
                           unsigned char out[TG_SHA256_LEN]) TG_MUST_CHECK;
/* What a key comes to, for messages to follow: a block less of each of the two digests. */
struct tg_hmac_key {
    uint32_t inner[8], outer[8];
};
enum tg_err tg_hmac_key_init(struct tg_slice key, struct tg_hmac_key *out) TG_MUST_CHECK;
enum tg_err tg_hmac_sha256_by(const struct tg_hmac_key *key, struct tg_slice bytes,
                              unsigned char out[TG_SHA256_LEN]) TG_MUST_CHECK;
/* For Sec-WebSocket-Accept. */
enum tg_err tg_sha1(struct tg_slice bytes, unsigned char out[TG_SHA1_LEN]) TG_MUST_CHECK;

/* SipHash-2-4 with a 128-bit key: our own 40 lines, for connection ids and hash seeds. */
uint64_t tg_siphash(const unsigned char key[16], const void *bytes, size_t len);

/* Bytes from the operating system; for seeds and keys. */
enum tg_err tg_random_bytes(void *out, size_t len) TG_MUST_CHECK;

/* A fast generator (xoshiro256**) for ids that need no secrecy: one a worker, seeded from tg_random_bytes or,
 * in tests, by hand. */
struct tg_rng {
    uint64_t state[4];
};
void tg_rng_seed(struct tg_rng *rng, uint64_t seed);
uint64_t tg_rng_next(struct tg_rng *rng);
void tg_rng_fill(struct tg_rng *rng, void *out, size_t len);

#endif
