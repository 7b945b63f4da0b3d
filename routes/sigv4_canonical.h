/* The parts of Signature Version 4 that signing and verifying share: canonical query, canonical request,
 * signing key. Private to routes/sigv4*.c. */
#ifndef TG_ROUTES_SIGV4_CANONICAL_H
#define TG_ROUTES_SIGV4_CANONICAL_H

#include "routes/sigv4.h"

enum { TG_SIGV4_HEX_LEN = 2 * TG_SHA256_LEN, TG_SIGV4_DAY_LEN = 8 };

#define TG_SIGV4_ALGORITHM_NAME TG_LIT("AWS4-HMAC-SHA256")

/* Names and values in their one encoded form, sorted by name, then value. */
struct tg_sigv4_param {
    struct tg_slice name, value;
};
struct tg_sigv4_params {
    struct tg_sigv4_param *items;
    size_t count;
};

struct tg_sigv4_canonical {
    struct tg_slice method, path;
    const struct tg_sigv4_params *params;
    bool presigned; /* X-Amz-Signature is left out */
    const struct tg_headers *headers;
    struct tg_slice signed_headers; /* lower case, ascending, joined by ';' */
    char payload_hex[TG_SIGV4_HEX_LEN];
};

/* Escapes are decoded and made anew; a broken escape counts as text, '+' as itself. */
enum tg_err tg_sigv4_params(struct tg_arena *arena, struct tg_slice query,
                            struct tg_sigv4_params *out) TG_MUST_CHECK;
/* The signature in hexadecimal. scope is `{day}/{region}/{service}/aws4_request`. */
enum tg_err tg_sigv4_compute(const struct tg_sigv4_canonical *canonical, struct tg_slice date,
                             struct tg_slice scope, const struct tg_hmac_key *key, struct tg_arena *arena,
                             char out[TG_SIGV4_HEX_LEN]) TG_MUST_CHECK;
enum tg_err tg_sigv4_payload_hex(const struct tg_sigv4_request *request,
                                 char out[TG_SIGV4_HEX_LEN]) TG_MUST_CHECK;
/* The signing key of a secret for a day, region and service. cache may be NULL. */
enum tg_err tg_sigv4_key(struct tg_sigv4_cache *cache, struct tg_slice secret, struct tg_slice day,
                         struct tg_slice region, struct tg_slice service, struct tg_arena *arena,
                         struct tg_hmac_key *out) TG_MUST_CHECK;

#endif
