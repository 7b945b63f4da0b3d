/* Identifiers that the gateway makes for requests (spec 3.6, 5.1): unique, not secret. */
#ifndef TG_ROUTES_IDS_H
#define TG_ROUTES_IDS_H

#include "server/base/crypto.h"
#include "server/base/headers.h"

enum { TG_REQUEST_ID_LEN = 16, TG_UUID_LEN = 36, TG_TRACE_ID_MAX = 192 };

/* Sixteen characters of URL-safe base64, as requestId and x-amz-apigw-id; NUL-terminated. */
void tg_request_id_make(struct tg_rng *rng, char out[TG_REQUEST_ID_LEN + 1]);
/* A random UUID (version 4) in lower case, NUL-terminated. */
void tg_uuid_make(struct tg_rng *rng, char out[TG_UUID_LEN + 1]);
/* The X-Amzn-Trace-Id of a request: the client's where it sent one of fewer than TG_TRACE_ID_MAX bytes, else
 * a new `Root=1-{seconds}-{random}`; NUL-terminated. */
void tg_trace_id_make(struct tg_rng *rng, const struct tg_headers *headers, int64_t wall_ms,
                      char out[TG_TRACE_ID_MAX]);
/* All three at once, for a management call, from one draw of random bytes: the UUID and the request id
 * without a NUL; the length of the trace id. */
size_t tg_call_ids_make(struct tg_rng *rng, const struct tg_headers *headers, int64_t wall_ms,
                        char uuid[TG_UUID_LEN], char request_id[TG_REQUEST_ID_LEN],
                        char trace_id[TG_TRACE_ID_MAX]);
/* What an HTTP back end of an HTTP API gets instead (http-api.md 1.9): `Self=1-{seconds}-{random}` in front
 * of the fields of that trace id, in the place of a Self of theirs. TG_ENOMEM. */
enum tg_err tg_trace_hop_make(struct tg_rng *rng, struct tg_slice trace_id, int64_t wall_ms,
                              struct tg_arena *arena, struct tg_slice *out) TG_MUST_CHECK;

#endif
