/* Hostile bytes from Redis: any are refused, or are an envelope or a row within its limits, which is read
 * again as the same when it is written. */
#include <stdlib.h>

#include "connmgr/push.h"
#include "connmgr/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static bool same_text(struct tg_slice a, struct tg_slice b)
{
    return tg_slice_eq(a, b) && (a.ptr == NULL) == (b.ptr == NULL);
}

static void read_envelope(struct tg_slice bytes)
{
    struct tg_envelope *envelope = NULL, *again = NULL;
    int64_t expires = -1, expires_again = -1;
    struct tg_buf buf;
    if (tg_wire_read_envelope(bytes, &envelope, &expires) != TG_OK) {
        check(envelope == NULL && expires == -1);
        return;
    }
    check(envelope->kind <= TG_ENVELOPE_BATCH_ANSWER && envelope->verb >= 0 &&
          envelope->verb <= TG_PUSH_DELETE);
    check(envelope->outcome >= 0 && envelope->outcome <= TG_PUSH_FAILED && expires >= 0);
    check(envelope->from.node <= 0xffffff && envelope->from.worker <= 0xff);
    check(envelope->target.slot <= 0xffffff && envelope->target.generation <= 0xffffff);
    check(envelope->close_code >= 0 && envelope->close_code <= 4999);
    tg_buf_init(&buf, SIZE_MAX);
    check(tg_wire_write_envelope(&buf, envelope, expires) == TG_OK);
    check(tg_wire_read_envelope(tg_buf_slice(&buf), &again, &expires_again) == TG_OK);
    check(expires == expires_again && again->correlation == envelope->correlation);
    check(again->timeout_ms == envelope->timeout_ms && again->binary == envelope->binary);
    for (size_t i = 0; i < 4; i++) {
        check(same_text(envelope->text[i], again->text[i]));
    }
    tg_envelope_free(envelope);
    tg_envelope_free(again);
    tg_buf_free(&buf);
}

static bool same_map(const struct tg_string_map *a, const struct tg_string_map *b)
{
    for (size_t i = 0; i < a->count && a->count == b->count; i++) {
        if (!tg_slice_eq(a->items[i].key, b->items[i].key) ||
            !tg_slice_eq(a->items[i].value, b->items[i].value)) {
            return false;
        }
    }
    return a->count == b->count;
}

static void read_row(struct tg_slice bytes)
{
    struct tg_conn_info info = {0}, again = {0};
    struct tg_arena arena;
    struct tg_buf buf;
    tg_arena_init(&arena, NULL);
    tg_buf_init(&buf, SIZE_MAX);
    if (tg_wire_read_row(&arena, bytes, &info) == TG_OK) {
        check(tg_wire_write_row(&buf, &info) == TG_OK);
        check(tg_wire_read_row(&arena, tg_buf_slice(&buf), &again) == TG_OK);
        check(same_text(info.api_id, again.api_id) && same_text(info.user_agent, again.user_agent));
        check(info.connected_at_ms == again.connected_at_ms && info.has_authorizer == again.has_authorizer);
        check(same_map(&info.authorizer, &again.authorizer) && same_map(&info.identity, &again.identity));
    } else {
        check(info.api_id.ptr == NULL);
    }
    tg_buf_free(&buf);
    tg_arena_reset(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_envelope(tg_slice_make(data, size));
    read_row(tg_slice_make(data, size));
    return 0;
}
