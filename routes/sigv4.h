/* AWS Signature Version 4 (spec websocket-api.md 5.3, 5.5; http-api.md 3.1): verifies requests in header and
 * presigned query form, and signs them in header form. Pure over a view of the request; the caller looks
 * credentials up and decides what the signer may do (routes/policy.h). Does not know AWS accounts, SigV4A or
 * chunked signing. */
#ifndef TG_ROUTES_SIGV4_H
#define TG_ROUTES_SIGV4_H

#include "server/base/crypto.h"
#include "server/base/headers.h"

/* X(name, HTTP status, x-amzn-ErrorType, message). tg_sigv4_message has the messages with their particulars.
 */
#define TG_SIGV4_TABLE(X)                                                                                    \
    X(TG_SIGV4_OK, 200, "", "")                                                                              \
    X(TG_SIGV4_MISSING_TOKEN, 403, "MissingAuthenticationTokenException", "Missing Authentication Token")    \
    X(TG_SIGV4_NOT_KEY_VALUE, 403, "IncompleteSignatureException",                                           \
      "Invalid key=value pair (missing equal-sign) in Authorization header.")                                \
    X(TG_SIGV4_INCOMPLETE, 403, "IncompleteSignatureException",                                              \
      "The request signature does not conform to AWS standards.")                                            \
    X(TG_SIGV4_ALGORITHM, 403, "IncompleteSignatureException", "Unsupported AWS 'algorithm'.")               \
    X(TG_SIGV4_SCOPE, 403, "InvalidSignatureException", "Credential should be scoped to a valid region. ")   \
    X(TG_SIGV4_UNSIGNED_HEADER, 403, "InvalidSignatureException",                                            \
      "'Host', 'X-Amz-Date' and 'X-Amz-Security-Token' must be a 'SignedHeader' in the AWS Authorization.")  \
    X(TG_SIGV4_EXPIRED, 403, "InvalidSignatureException", "Signature expired")                               \
    X(TG_SIGV4_NOT_YET, 403, "InvalidSignatureException", "Signature not yet current")                       \
    X(TG_SIGV4_UNKNOWN_KEY, 403, "UnrecognizedClientException",                                              \
      "The security token included in the request is invalid.")                                              \
    X(TG_SIGV4_EXPIRED_TOKEN, 403, "ExpiredTokenException",                                                  \
      "The security token included in the request is expired")                                               \
    X(TG_SIGV4_PAYLOAD, 403, "InvalidSignatureException",                                                    \
      "The provided 'x-amz-content-sha256' header does not match what was computed.")                        \
    X(TG_SIGV4_MISMATCH, 403, "InvalidSignatureException",                                                   \
      "The request signature we calculated does not match the signature you provided. Check your AWS "       \
      "Secret "                                                                                              \
      "Access Key and signing method. Consult the service documentation for details.")

enum tg_sigv4_outcome {
#define X(name, status, type, message) name,
    TG_SIGV4_TABLE(X)
#undef X
};

int tg_sigv4_status(enum tg_sigv4_outcome outcome);
struct tg_slice tg_sigv4_error_type(enum tg_sigv4_outcome outcome);

/* A request as it was on the wire; everything borrowed. */
struct tg_sigv4_request {
    struct tg_slice method;
    struct tg_slice path;  /* still encoded, without the query; never normalised */
    struct tg_slice query; /* still encoded, without '?' */
    const struct tg_headers *headers;
    struct tg_slice payload;
    const unsigned char *payload_sha256; /* TG_SHA256_LEN bytes; NULL: made from the payload */
    struct tg_slice region, service;
    int64_t now_ms; /* wall clock */
};

struct tg_sigv4_credential {
    struct tg_slice access_key_id; /* for signing; a look-up need not set it */
    struct tg_slice secret_access_key;
    struct tg_slice session_token; /* empty: a long-term key, which comes without a token */
    int64_t expires_ms;            /* wall clock; 0: never */
    const void *identity;          /* the caller's, handed through */
};

/* Fills *out and returns true when the key is known. What it borrows must live as long as the arena. */
typedef bool tg_sigv4_lookup_fn(void *arg, struct tg_slice access_key_id, struct tg_sigv4_credential *out);

/* Signing keys derived lately, so that a request costs one MAC instead of five. One a worker; holds secrets.
 * Compares everything that a key is derived from, so a changed secret needs no invalidation. Zeroes are a
 * valid empty cache. */
enum { TG_SIGV4_CACHE_SLOTS = 16, TG_SIGV4_CACHE_INPUT = 160 };
struct tg_sigv4_cache {
    struct {
        size_t input_len; /* 0: free */
        char input[TG_SIGV4_CACHE_INPUT];
        struct tg_hmac_key key;
    } slots[TG_SIGV4_CACHE_SLOTS];
    uint64_t hits, misses;
    char date[16];   /* in basic form, read last */
    int64_t seconds; /* since 1970, of that date; 0: there is none */
};

/* Bits of `missing`. */
enum {
    TG_SIGV4_NO_CREDENTIAL = 1,
    TG_SIGV4_NO_SIGNATURE = 2,
    TG_SIGV4_NO_SIGNED_HEADERS = 4,
    TG_SIGV4_NO_DATE = 8,
    TG_SIGV4_BAD_CREDENTIAL = 16, /* not five parts */
    TG_SIGV4_BAD_EXPIRES = 32,    /* not 1 to 604800 seconds */
    TG_SIGV4_BAD_REGION = 64,
    TG_SIGV4_BAD_SERVICE = 128,
    TG_SIGV4_BAD_TERMINATOR = 256,
    TG_SIGV4_BAD_SCOPE_DATE = 512,
    TG_SIGV4_BAD_DATE = 1024
};

/* Slices borrow from the request or its arena. */
struct tg_sigv4_result {
    enum tg_sigv4_outcome outcome;
    bool presigned;
    struct tg_slice access_key_id; /* as claimed; proven when the outcome is TG_SIGV4_OK */
    const void *identity;          /* of the credential, once it was found */
    /* for tg_sigv4_message */
    unsigned missing;
    struct tg_slice authorization, service, scope_date, date, unsigned_header;
    int64_t now_ms, lifetime_ms;
};

/* TG_OK: the request was judged, see out->outcome. TG_ENOMEM. cache may be NULL. Clock skew: 5 minutes. */
enum tg_err tg_sigv4_verify(const struct tg_sigv4_request *request, tg_sigv4_lookup_fn *lookup, void *arg,
                            struct tg_sigv4_cache *cache, struct tg_arena *arena,
                            struct tg_sigv4_result *out) TG_MUST_CHECK;

/* The text for the client, for outcomes other than TG_SIGV4_OK: not escaped, and parts of it come from the
 * client. Holds no token and no signature, but a digest of the Authorization field where the native service
 * gives one. TG_ENOMEM. */
enum tg_err tg_sigv4_message(const struct tg_sigv4_result *result, struct tg_arena *arena,
                             struct tg_slice *out) TG_MUST_CHECK;

struct tg_sigv4_signature {
    struct tg_slice authorization; /* value of Authorization */
    struct tg_slice date;          /* value of X-Amz-Date */
};

/* Signs at request->now_ms: host, content-type and the x-amz-* fields of the headers, X-Amz-Date, and
 * X-Amz-Security-Token when the credential has a session token. The caller sends the two values and, if any,
 * the token; fields of these names in request->headers are passed over. TG_EINVAL without a Host field;
 * TG_ENOMEM. */
enum tg_err tg_sigv4_sign(const struct tg_sigv4_request *request,
                          const struct tg_sigv4_credential *credential, struct tg_sigv4_cache *cache,
                          struct tg_arena *arena, struct tg_sigv4_signature *out) TG_MUST_CHECK;

#endif
