/* Any error is a redirection to a place within its limits, or none, and then nothing is said of a place; a
 * key's slot is that of its hash tag. */
#include <stdlib.h>

#include "server/io/redis_slots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void check_tag(struct tg_slice key)
{
    size_t open = tg_slice_find(key, '{');
    uint16_t slot = tg_redis_slot(key);
    check(slot < TG_REDIS_SLOTS);
    if (open == key.len) {
        return;
    }
    struct tg_slice rest = tg_slice_from(key, open + 1);
    size_t close = tg_slice_find(rest, '}');
    struct tg_slice tag = tg_slice_head(rest, close);
    if (close > 0 && close < rest.len && tg_slice_find(tag, '{') == tag.len) {
        check(slot == tg_redis_slot(tag));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_slice text = tg_slice_make(data, size);
    struct tg_redis_place place = {.port = 0};
    uint16_t slot = UINT16_MAX;
    enum tg_redis_redirection kind = tg_redis_redirection(text, &slot, &place);
    if (kind == TG_REDIS_MOVED || kind == TG_REDIS_ASK) {
        check(slot < TG_REDIS_SLOTS && place.port > 0 && place.host.len <= TG_REDIS_HOST_MAX);
        check(place.host.ptr >= text.ptr && place.host.ptr + place.host.len < text.ptr + text.len);
    } else {
        check(slot == UINT16_MAX && place.port == 0 && place.host.ptr == NULL);
    }
    check_tag(text);
    return 0;
}
