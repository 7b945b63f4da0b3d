#include "server/io/redis_slots.h"

enum { POLYNOMIAL = 0x1021 };

/* CRC-16/XMODEM, bit by bit: keys are short. */
static uint16_t crc16(struct tg_slice text)
{
    unsigned crc = 0;
    for (size_t i = 0; i < text.len; i++) {
        crc ^= (unsigned)(unsigned char)text.ptr[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000U) != 0 ? (crc << 1 ^ POLYNOMIAL) & 0xffffU : crc << 1;
        }
    }
    return (uint16_t)crc;
}

uint16_t tg_redis_slot(struct tg_slice key)
{
    size_t open = tg_slice_find(key, '{');
    if (open < key.len) {
        struct tg_slice inside = tg_slice_from(key, open + 1);
        size_t len = tg_slice_find(inside, '}');
        if (len > 0 && len < inside.len) {
            key = tg_slice_head(inside, len);
        }
    }
    return crc16(key) % TG_REDIS_SLOTS;
}

/* SLOT HOST:PORT; the last colon counts, an IPv6 address has no brackets here. */
static bool read_target(struct tg_slice text, uint16_t *slot, struct tg_redis_place *place)
{
    struct tg_slice where, number = tg_slice_cut(text, ' ', &where);
    uint64_t value = 0, port = 0;
    size_t colon = where.len;
    for (size_t i = 0; i < where.len; i++) {
        colon = where.ptr[i] == ':' ? i : colon;
    }
    if (colon == where.len || tg_slice_to_u64(number, &value) != TG_OK || value >= TG_REDIS_SLOTS ||
        tg_slice_to_u64(tg_slice_from(where, colon + 1), &port) != TG_OK || port == 0 || port > UINT16_MAX ||
        colon > TG_REDIS_HOST_MAX) {
        return false;
    }
    *slot = (uint16_t)value;
    *place = (struct tg_redis_place){.host = tg_slice_head(where, colon), .port = (uint16_t)port};
    return true;
}

enum tg_redis_redirection tg_redis_redirection(struct tg_slice error, uint16_t *slot,
                                               struct tg_redis_place *place)
{
    const struct tg_slice moved = TG_LIT("MOVED "), ask = TG_LIT("ASK ");
    if (tg_slice_starts(error, moved)) {
        return read_target(tg_slice_from(error, moved.len), slot, place) ? TG_REDIS_MOVED : TG_REDIS_STAY;
    }
    if (tg_slice_starts(error, ask)) {
        return read_target(tg_slice_from(error, ask.len), slot, place) ? TG_REDIS_ASK : TG_REDIS_STAY;
    }
    bool later = tg_slice_starts(error, TG_LIT("TRYAGAIN")) || tg_slice_starts(error, TG_LIT("CLUSTERDOWN"));
    return later ? TG_REDIS_LATER : TG_REDIS_STAY;
}
