#include "connmgr/frame.h"

#include <assert.h>
#include <stdlib.h>

enum { CONTROL = 0x08, CONTROL_MAX = 125 };

enum tg_err tg_frame_new(enum tg_opcode opcode, struct tg_slice payload, struct tg_frame **out)
{
    char header[TG_FRAME_HEADER_MAX];
    size_t header_len = tg_frame_write_header(opcode, payload.len, header);
    if (((opcode & CONTROL) != 0 && payload.len > CONTROL_MAX) ||
        payload.len > SIZE_MAX - sizeof(struct tg_frame) - TG_FRAME_HEADER_MAX) {
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
