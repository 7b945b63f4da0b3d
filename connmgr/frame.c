#include "connmgr/frame.h"

#include <assert.h>
#include <stdlib.h>

enum { FIN = 0x80, CONTROL = 0x08, CONTROL_MAX = 125, HEADER_MAX = 10 };

/* RFC 6455 section 5.2, without a mask. */
static size_t write_header(enum tg_opcode opcode, size_t len, unsigned char out[HEADER_MAX])
{
    size_t wide = len <= 125 ? 0 : len <= 0xffff ? 2 : 8;
    out[0] = (unsigned char)(FIN | opcode);
    out[1] = (unsigned char)(wide == 0 ? len : wide == 2 ? 126 : 127);
    for (size_t i = 0; i < wide; i++) {
        out[2 + i] = (unsigned char)((uint64_t)len >> 8 * (wide - 1 - i));
    }
    return 2 + wide;
}

enum tg_err tg_frame_new(enum tg_opcode opcode, struct tg_slice payload, struct tg_frame **out)
{
    unsigned char header[HEADER_MAX];
    size_t header_len = write_header(opcode, payload.len, header);
    if (((opcode & CONTROL) != 0 && payload.len > CONTROL_MAX) ||
        payload.len > SIZE_MAX - sizeof(struct tg_frame) - HEADER_MAX) {
        return TG_ELIMIT;
    }
    struct tg_frame *frame = malloc(sizeof *frame + header_len + payload.len);
    if (frame == NULL) {
        return TG_ENOMEM;
    }
    frame->refs = 1;
    frame->len = header_len + payload.len;
    memcpy(frame->bytes, header, header_len);
    if (payload.len > 0) {
        memcpy(frame->bytes + header_len, payload.ptr, payload.len);
    }
    *out = frame;
    return TG_OK;
}

struct tg_frame *tg_frame_ref(struct tg_frame *frame)
{
    frame->refs++;
    return frame;
}

void tg_frame_unref(struct tg_frame *frame)
{
    assert(frame->refs > 0);
    if (--frame->refs == 0) {
        free(frame);
    }
}
