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

/* Copies the payload; one reference. */
enum tg_err tg_frame_new(enum tg_opcode opcode, struct tg_slice payload, struct tg_frame **out) TG_MUST_CHECK;
struct tg_frame *tg_frame_ref(struct tg_frame *frame);
void tg_frame_unref(struct tg_frame *frame);

#endif
