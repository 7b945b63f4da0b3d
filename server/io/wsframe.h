/* The receiving half of WebSocket framing (RFC 6455 section 5) as a pure decoder: bytes of a client go in, in
 * pieces of any size, and come out as pieces of messages, control frames or the close code of a violation. It
 * keeps no payload but that of a control frame cut in two, checks UTF-8 as it comes, and refuses what is too
 * big at the header that announces it. It does no I/O, answers nothing, inflates nothing; owned by whoever
 * embeds it, nothing to free. */
#ifndef TG_IO_WSFRAME_H
#define TG_IO_WSFRAME_H

#include "server/base/slice.h"

enum { TG_WS_CONTROL_MAX = 125, TG_WS_REASON_MAX = 123 }; /* RFC 6455 sections 5.5 and 5.5.1 */

enum tg_wsframe_kind {
    TG_WSFRAME_NONE, /* the bytes are used, nothing to tell yet */
    TG_WSFRAME_DATA, /* a piece of a message */
    TG_WSFRAME_PING,
    TG_WSFRAME_PONG,
    TG_WSFRAME_CLOSE,
    TG_WSFRAME_ERROR, /* a violation; the decoder is not asked again */
};

struct tg_wsframe_event {
    enum tg_wsframe_kind kind;
    /* CLOSE: what the peer said, 1005 for nothing. ERROR: what is said to the peer: 1002, 1003 (binary), 1007
     * (not UTF-8), 1009 (too big). */
    int code;
    /* DATA: unmasked, in the place it came in, perhaps empty; of PING and PONG the whole payload; of CLOSE
     * the reason. Borrowed until the next call. */
    struct tg_slice payload;
    bool last;       /* DATA: the message is complete */
    bool binary;     /* DATA: of the message */
    bool compressed; /* DATA: RSV1 was set on the message: its text is not checked as UTF-8 */
};

struct tg_wsframe_rules {
    size_t max_frame;   /* payload of one frame, as it is on the wire */
    size_t max_message; /* of all frames of a message */
    bool binary;        /* accept binary messages */
    bool deflate;       /* accept RSV1 on the first frame of a message */
};

struct tg_wsframe {
    struct tg_wsframe_rules rules;
    uint64_t left;        /* payload of the current frame that is to come */
    uint64_t message_len; /* payload that the frames of the current message have announced */
    unsigned char head[14];
    uint8_t head_len;
    uint8_t mask_at; /* which byte of the mask is next */
    uint8_t message; /* opcode of the message under way; 0: none */
    uint8_t carry_len;
    uint8_t control_len;
    bool compressed;
    bool in_payload;
    bool ignoring;
    char carry[4]; /* the beginning of a character */
    char control[TG_WS_CONTROL_MAX];
};

void tg_wsframe_init(struct tg_wsframe *frames, const struct tg_wsframe_rules *rules);
/* Decodes up to the next event, unmasking in place; returns how many of the len > 0 bytes that took, at least
 * one. */
size_t tg_wsframe_next(struct tg_wsframe *frames, char *bytes, size_t len, struct tg_wsframe_event *event);
/* A shorter way for what most messages are: a text of up to 125 bytes in one frame, all of which is there.
 * Returns how many bytes it takes, with the text unmasked in its place; 0 when this is anything else, or a
 * violation: for tg_wsframe_next, the bytes as they were. */
size_t tg_wsframe_take_text(const struct tg_wsframe *frames, char *bytes, size_t len, struct tg_slice *text);
/* From now on data frames are skipped whatever they hold; framing is still checked, control frames still
 * told. For the time between our close frame and the peer's. */
void tg_wsframe_ignore_data(struct tg_wsframe *frames);

#endif
