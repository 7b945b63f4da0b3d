/* The decoder of client frames: the same bytes, given whole, in pieces of a size that the input chooses and
 * byte by byte, must give the same events and stop at the same violation; texts are UTF-8, messages within
 * the limits. The first byte chooses the rules, the second the size of the pieces. */
#include <stdint.h>

#include "tests/unit/wsframe_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum { DEFLATE = 1, BINARY = 2, WIDE = 4, IGNORE = 8 };

static void compare(const struct wsframe_log *a, const struct wsframe_log *b)
{
    CHECK(tg_slice_eq(tg_buf_slice(&a->text), tg_buf_slice(&b->text)));
    CHECK((a->stopped_after == SIZE_MAX) == (b->stopped_after == SIZE_MAX));
    if (a->stopped_after == SIZE_MAX) { /* else a larger piece of the message may have been refused whole */
        CHECK(tg_slice_eq(tg_buf_slice(&a->message), tg_buf_slice(&b->message)));
        CHECK(a->last.left == b->last.left && a->last.head_len == b->last.head_len);
        CHECK(a->last.message == b->last.message && a->last.in_payload == b->last.in_payload);
        CHECK(a->last.carry_len == b->last.carry_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const struct tg_wsframe_rules rules = {
        .max_frame = (data[0] & WIDE) != 0 ? 1 << 20 : 64,
        .max_message = (data[0] & WIDE) != 0 ? 1 << 21 : 100,
        .binary = (data[0] & BINARY) != 0,
        .deflate = (data[0] & DEFLATE) != 0,
    };
    bool ignoring = (data[0] & IGNORE) != 0;
    struct tg_slice bytes = tg_slice_make(data + 2, size - 2);
    struct wsframe_log whole, pieces, single;
    wsframe_run(&whole, &rules, ignoring, bytes, SIZE_MAX);
    wsframe_run(&pieces, &rules, ignoring, bytes, (size_t)data[1] + 2);
    wsframe_run(&single, &rules, ignoring, bytes, 1);
    compare(&whole, &pieces);
    compare(&whole, &single);
    CHECK(single.stopped_after <= whole.stopped_after);
    CHECK(whole.largest <= rules.max_message);
    CHECK(!whole.bad_text && !pieces.bad_text && !single.bad_text);
    wsframe_done(&whole);
    wsframe_done(&pieces);
    wsframe_done(&single);
    return 0;
}
