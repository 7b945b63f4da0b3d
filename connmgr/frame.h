/* A WebSocket frame ready for the wire (server side: unmasked, unfragmented), reference-counted so that a
 * fan-out frames its payload once. Belongs to one worker's thread. */
#ifndef TG_CONNMGR_FRAME_H
#define TG_CONNMGR_FRAME_H

#include "server/base/slice.h"

enum tg_opcode { TG_OPCODE_TEXT = 1, TG_OPCODE_BINARY = 2, TG_OPCODE_PING = 9 };

struct tg_frame {
    size_t refs;
    size_t len; /* bytes on the wire, header included */
    char bytes[];
};

enum { TG_FRAME_HEADER_MAX = 10 };

/* Writes the header of a frame with so much payload (RFC 6455 section 5.2, without a mask), and returns its
 * length. */
static inline size_t tg_frame_write_header(enum tg_opcode opcode, size_t len, char out[TG_FRAME_HEADER_MAX])
{
    size_t wide = len <= 125 ? 0 : len <= 0xffff ? 2 : 8;
    out[0] = (char)(0x80 | opcode);
    out[1] = (char)(wide == 0 ? len : wide == 2 ? 126 : 127);
    for (size_t i = 0; i < wide; i++) {
        out[2 + i] = (char)((uint64_t)len >> 8 * (wide - 1 - i));
    }
    return 2 + wide;
}
/* Of a frame that tg_frame_write_header has begun. */
static inline size_t tg_frame_header_len(const struct tg_frame *frame)
{
    unsigned char short_len = (unsigned char)frame->bytes[1];
    return short_len < 126 ? 2 : short_len == 126 ? 4 : 10;
}
/* Copies the payload; one reference. */
enum tg_err tg_frame_new(enum tg_opcode opcode, struct tg_slice payload, struct tg_frame **out) TG_MUST_CHECK;
struct tg_frame *tg_frame_ref(struct tg_frame *frame);
void tg_frame_unref(struct tg_frame *frame);

#endif
