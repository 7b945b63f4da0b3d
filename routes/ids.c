#include "routes/ids.h"

#include <string.h>

#include "server/base/codec.h"

/* Random bytes of a request id, a UUID, a trace id. */
enum { REQUEST_BYTES = 11, UUID_BYTES = 16, TRACE_BYTES = 12, TIME_BYTES = 4 };

void tg_request_id_make(struct tg_rng *rng, char out[TG_REQUEST_ID_LEN + 1])
{
    unsigned char bytes[REQUEST_BYTES];
    tg_rng_fill(rng, bytes, sizeof bytes);
    tg_base64url_encode(bytes, sizeof bytes, out);
    out[TG_REQUEST_ID_LEN] = '\0';
}

static void mark_version(unsigned char bytes[UUID_BYTES])
{
    bytes[6] = (unsigned char)((bytes[6] & 0x0F) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80);
}

static void put_uuid(const char digits[2 * UUID_BYTES], char out[TG_UUID_LEN])
{
    memcpy(out, digits, 8);
    out[8] = '-';
    memcpy(out + 9, digits + 8, 4);
    out[13] = '-';
    memcpy(out + 14, digits + 12, 4);
    out[18] = '-';
    memcpy(out + 19, digits + 16, 4);
    out[23] = '-';
    memcpy(out + 24, digits + 20, 12);
}

void tg_uuid_make(struct tg_rng *rng, char out[TG_UUID_LEN + 1])
{
    unsigned char bytes[UUID_BYTES];
    char digits[2 * UUID_BYTES];
    tg_rng_fill(rng, bytes, sizeof bytes);
    mark_version(bytes);
    tg_hex_encode(bytes, sizeof bytes, digits);
    put_uuid(digits, out);
    out[TG_UUID_LEN] = '\0';
}

enum { TRACE_NAME = 4, TRACE_LEN = TRACE_NAME + 3 + 2 * TIME_BYTES + 1 + 2 * TRACE_BYTES };

static void put_time(int64_t wall_ms, unsigned char out[TIME_BYTES])
{
    uint32_t seconds = (uint32_t)(wall_ms / 1000);
    out[0] = (unsigned char)(seconds >> 24);
    out[1] = (unsigned char)(seconds >> 16);
    out[2] = (unsigned char)(seconds >> 8);
    out[3] = (unsigned char)seconds;
}

/* `{name}=1-{seconds}-{random}` from the digits of both, NUL-terminated. */
static void put_trace(const char name[TRACE_NAME + 1], const char digits[2 * (TIME_BYTES + TRACE_BYTES)],
                      char out[TRACE_LEN + 1])
{
    memcpy(out, name, TRACE_NAME);
    memcpy(out + 4, "=1-", 3);
    memcpy(out + 7, digits, 8);
    out[15] = '-';
    memcpy(out + 16, digits + 8, 24);
    out[TRACE_LEN] = '\0';
}

static void make_trace(struct tg_rng *rng, int64_t wall_ms, const char name[TRACE_NAME + 1],
                       char out[TRACE_LEN + 1])
{
    unsigned char bytes[TIME_BYTES + TRACE_BYTES];
    char digits[2 * sizeof bytes];
    put_time(wall_ms, bytes);
    tg_rng_fill(rng, bytes + TIME_BYTES, TRACE_BYTES);
    tg_hex_encode(bytes, sizeof bytes, digits);
    put_trace(name, digits, out);
}

/* The client's own, where it fits; returns its length, or 0. */
static size_t take_trace(const struct tg_headers *headers, char out[TG_TRACE_ID_MAX])
{
    const struct tg_header *given = tg_headers_first(headers, TG_LIT("X-Amzn-Trace-Id"));
    if (given == NULL || given->value.len == 0 || given->value.len >= TG_TRACE_ID_MAX ||
        !tg_header_value_ok(given->value)) { /* it becomes part of a head again */
        return 0;
    }
    memcpy(out, given->value.ptr, given->value.len);
    out[given->value.len] = '\0';
    return given->value.len;
}

void tg_trace_id_make(struct tg_rng *rng, const struct tg_headers *headers, int64_t wall_ms,
                      char out[TG_TRACE_ID_MAX])
{
    if (take_trace(headers, out) == 0) {
        make_trace(rng, wall_ms, "Root", out);
    }
}

size_t tg_call_ids_make(struct tg_rng *rng, const struct tg_headers *headers, int64_t wall_ms,
                        char uuid[TG_UUID_LEN], char request_id[TG_REQUEST_ID_LEN],
                        char trace_id[TG_TRACE_ID_MAX])
{
    unsigned char bytes[UUID_BYTES + TIME_BYTES + TRACE_BYTES + REQUEST_BYTES];
    char digits[2 * (sizeof bytes - REQUEST_BYTES)];
    unsigned char *time = bytes + UUID_BYTES;
    tg_rng_fill(rng, bytes, sizeof bytes);
    mark_version(bytes);
    put_time(wall_ms, time);
    tg_hex_encode(bytes, sizeof digits / 2, digits);
    put_uuid(digits, uuid);
    tg_base64url_encode(bytes + sizeof bytes - REQUEST_BYTES, REQUEST_BYTES, request_id);
    size_t len = take_trace(headers, trace_id);
    if (len == 0) {
        put_trace("Root", digits + 2 * UUID_BYTES, trace_id);
        len = TRACE_LEN;
    }
    return len;
}

enum tg_err tg_trace_hop_make(struct tg_rng *rng, struct tg_slice trace_id, int64_t wall_ms,
                              struct tg_arena *arena, struct tg_slice *out)
{
    char *text = tg_arena_alloc(arena, TG_TRACE_ID_MAX + trace_id.len);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    make_trace(rng, wall_ms, "Self", text);
    size_t len = TRACE_LEN;
    for (struct tg_slice rest = trace_id; rest.len > 0;) {
        struct tg_slice field = tg_slice_trim(tg_slice_cut(rest, ';', &rest));
        if (field.len > 0 && !tg_slice_starts(field, TG_LIT("Self="))) {
            text[len++] = ';';
            memcpy(text + len, field.ptr, field.len);
            len += field.len;
        }
    }
    *out = tg_slice_make(text, len);
    return TG_OK;
}
