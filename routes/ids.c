#include "routes/ids.h"

#include <stdio.h>
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

/* `1-{seconds}-{random}` */
static void put_trace(struct tg_rng *rng, int64_t wall_ms, const char *name, char *out, size_t size)
{
    unsigned char bytes[12];
    char hex[2 * sizeof bytes + 1];
    tg_rng_fill(rng, bytes, sizeof bytes);
    tg_hex_encode(bytes, sizeof bytes, hex);
    hex[sizeof hex - 1] = '\0';
    (void)snprintf(out, size, "%s=1-%08x-%s", name, (unsigned)(wall_ms / 1000), hex);
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
    put_trace(rng, wall_ms, "Root", out, TG_TRACE_ID_MAX);
}

enum tg_err tg_trace_hop_make(struct tg_rng *rng, struct tg_slice trace_id, int64_t wall_ms,
                              struct tg_arena *arena, struct tg_slice *out)
{
    char *text = tg_arena_alloc(arena, TG_TRACE_ID_MAX + trace_id.len);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    put_trace(rng, wall_ms, "Self", text, TG_TRACE_ID_MAX);
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
