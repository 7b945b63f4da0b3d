#include "routes/ids.h"

#include <string.h>

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

enum { TRACE_NAME = 4 };

/* `{name}=1-{seconds}-{random}` */
static void put_trace(struct tg_rng *rng, int64_t wall_ms, const char name[TRACE_NAME + 1],
                      char out[TG_TRACE_ID_MAX])
{
    unsigned char bytes[12];
    uint32_t seconds = (uint32_t)(wall_ms / 1000);
    const unsigned char time[4] = {(unsigned char)(seconds >> 24), (unsigned char)(seconds >> 16),
                                   (unsigned char)(seconds >> 8), (unsigned char)seconds};
    tg_rng_fill(rng, bytes, sizeof bytes);
    memcpy(out, name, TRACE_NAME);
    out += TRACE_NAME;
    memcpy(out, "=1-", 3);
    tg_hex_encode(time, sizeof time, out + 3);
    out[11] = '-';
    tg_hex_encode(bytes, sizeof bytes, out + 12);
    out[12 + 2 * sizeof bytes] = '\0';
}

void tg_trace_id_make(struct tg_rng *rng, const struct tg_headers *headers, int64_t wall_ms,
                      char out[TG_TRACE_ID_MAX])
{
    const struct tg_header *given = tg_headers_first(headers, TG_LIT("X-Amzn-Trace-Id"));
    if (given != NULL && given->value.len > 0 && given->value.len < TG_TRACE_ID_MAX) {
        memcpy(out, given->value.ptr, given->value.len);
        out[given->value.len] = '\0';
        return;
    }
    put_trace(rng, wall_ms, "Root", out);
}

enum tg_err tg_trace_hop_make(struct tg_rng *rng, struct tg_slice trace_id, int64_t wall_ms,
                              struct tg_arena *arena, struct tg_slice *out)
{
    char *text = tg_arena_alloc(arena, TG_TRACE_ID_MAX + trace_id.len);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    put_trace(rng, wall_ms, "Self", text);
    size_t len = strlen(text);
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
