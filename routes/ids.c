#include "routes/ids.h"

#include <stdio.h>

#include "server/base/codec.h"

void tg_request_id_make(struct tg_rng *rng, char out[TG_REQUEST_ID_LEN + 1])
{
    unsigned char bytes[11];
    tg_rng_fill(rng, bytes, sizeof bytes);
    tg_base64url_encode(bytes, sizeof bytes, out);
    out[TG_REQUEST_ID_LEN] = '\0';
}

void tg_uuid_make(struct tg_rng *rng, char out[TG_UUID_LEN + 1])
{
    static const size_t lengths[] = {4, 2, 2, 2, 6};
    unsigned char bytes[16];
    const unsigned char *from = bytes;
    tg_rng_fill(rng, bytes, sizeof bytes);
    bytes[6] = (unsigned char)((bytes[6] & 0x0F) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        tg_hex_encode(from, lengths[i], out);
        from += lengths[i];
        out += 2 * lengths[i];
        *out++ = '-';
    }
    out[-1] = '\0';
}

void tg_trace_id_make(struct tg_rng *rng, const struct tg_headers *headers, int64_t wall_ms,
                      char out[TG_TRACE_ID_MAX])
{
    unsigned char bytes[12];
    char hex[2 * sizeof bytes + 1];
    const struct tg_header *given = tg_headers_first(headers, TG_LIT("X-Amzn-Trace-Id"));
    if (given != NULL && given->value.len > 0 && given->value.len < TG_TRACE_ID_MAX) {
        memcpy(out, given->value.ptr, given->value.len);
        out[given->value.len] = '\0';
        return;
    }
    tg_rng_fill(rng, bytes, sizeof bytes);
    tg_hex_encode(bytes, sizeof bytes, hex);
    hex[sizeof hex - 1] = '\0';
    (void)snprintf(out, TG_TRACE_ID_MAX, "Root=1-%08x-%s", (unsigned)(wall_ms / 1000), hex);
}
