#include "server/io/wsframe.h"

#include "server/base/bytes.h"
#include "server/base/codec.h"

enum { FIN = 0x80, RSV1 = 0x40, RSV = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };
enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum { SHORT_MAX = 125, IN_TWO_BYTES = 126, MASK_LEN = 4 };
enum { PROTOCOL_ERROR = 1002, REFUSED_DATA = 1003, NO_STATUS = 1005, NOT_UTF8 = 1007, TOO_BIG = 1009 };

void tg_wsframe_init(struct tg_wsframe *frames, const struct tg_wsframe_rules *rules)
{
    *frames = (struct tg_wsframe){.rules = *rules};
}

void tg_wsframe_ignore_data(struct tg_wsframe *frames)
{
    frames->ignoring = true;
}

/* ---- the header ---- */

static bool is_control(unsigned char opcode)
{
    return (opcode & 0x08) != 0;
}

/* 0, or the code that the violation costs. */
static int check_first_byte(const struct tg_wsframe *frames)
{
    unsigned char first = frames->head[0], opcode = first & OPCODE, rsv = first & RSV;
    bool begins = opcode == TEXT || opcode == BINARY;
    bool known = begins || opcode == CONTINUATION || opcode == CLOSE || opcode == PING || opcode == PONG;
    if (!known || (is_control(opcode) && (first & FIN) == 0)) {
        return PROTOCOL_ERROR;
    }
    if (rsv != 0 && !(rsv == RSV1 && begins && frames->rules.deflate)) {
        return PROTOCOL_ERROR;
    }
    if ((begins && frames->message != 0) || (opcode == CONTINUATION && frames->message == 0)) {
        return PROTOCOL_ERROR;
    }
    return 0;
}

static int check_second_byte(const struct tg_wsframe *frames)
{
    unsigned char second = frames->head[1];
    if ((second & MASKED) == 0 || (is_control(frames->head[0]) && (second & LENGTH) > SHORT_MAX)) {
        return PROTOCOL_ERROR;
    }
    return 0;
}

/* Bytes of the header up to and with the length; the second byte is there. */
static size_t length_end(const struct tg_wsframe *frames)
{
    unsigned char length = frames->head[1] & LENGTH;
    return length <= SHORT_MAX ? 2 : length == IN_TWO_BYTES ? 4 : 10;
}

/* The length is complete: it must be in as few bytes as it takes, and not too big. */
static int check_length(struct tg_wsframe *frames)
{
    size_t end = length_end(frames);
    unsigned char opcode = frames->head[0] & OPCODE;
    uint64_t length = end == 2 ? frames->head[1] & LENGTH : 0;
    for (size_t i = 2; i < end; i++) {
        length = length << 8 | frames->head[i];
    }
    if ((end == 4 && length <= SHORT_MAX) || (end == 10 && (length <= UINT16_MAX || length > INT64_MAX))) {
        return PROTOCOL_ERROR;
    }
    frames->left = length;
    if (is_control(opcode)) {
        return 0;
    }
    if (opcode != CONTINUATION) {
        frames->message = opcode;
        frames->message_len = 0;
        frames->compressed = (frames->head[0] & RSV1) != 0;
        frames->carry_len = 0;
    }
    if (frames->ignoring) {
        return 0;
    }
    if (frames->message == BINARY && !frames->rules.binary) {
        return REFUSED_DATA;
    }
    if (length > frames->rules.max_frame || length > frames->rules.max_message - frames->message_len) {
        return TOO_BIG;
    }
    frames->message_len += length;
    return 0;
}

static int take_head_byte(struct tg_wsframe *frames, char byte)
{
    frames->head[frames->head_len++] = (unsigned char)byte;
    if (frames->head_len == 1) {
        return check_first_byte(frames);
    }
    int code = frames->head_len == 2 ? check_second_byte(frames) : 0;
    if (code != 0) {
        return code;
    }
    size_t end = length_end(frames);
    if (frames->head_len == end) {
        return check_length(frames);
    }
    if (frames->head_len == end + MASK_LEN) {
        frames->in_payload = true;
        frames->mask_at = 0;
        frames->control_len = 0;
    }
    return 0;
}

/* The same for a whole header at once, as most come: how many bytes that takes, up to where *code tells of a
 * violation. 0: not all of it is there. */
static size_t take_head(struct tg_wsframe *frames, const char *bytes, size_t len, int *code)
{
    if (frames->head_len > 0 || len < 2 + MASK_LEN) {
        return 0;
    }
    memcpy(frames->head, bytes, 2);
    size_t end = length_end(frames);
    if (len < end + MASK_LEN) {
        return 0;
    }
    memcpy(frames->head + 2, bytes + 2, end + MASK_LEN - 2);
    if ((*code = check_first_byte(frames)) != 0) {
        return 1;
    }
    if ((*code = check_second_byte(frames)) != 0) {
        return 2;
    }
    if ((*code = check_length(frames)) != 0) {
        return end;
    }
    frames->head_len = (uint8_t)(end + MASK_LEN);
    frames->in_payload = true;
    frames->mask_at = 0;
    frames->control_len = 0;
    return frames->head_len;
}

/* ---- the payload ---- */

/* True: what comes of it is ASCII. */
static bool unmask(struct tg_wsframe *frames, char *bytes, size_t len)
{
    const unsigned char *mask = frames->head + frames->head_len - MASK_LEN;
    unsigned char key[sizeof(uint64_t)];
    if (frames->mask_at == 0) {
        memcpy(key, mask, MASK_LEN);
        memcpy(key + MASK_LEN, mask, MASK_LEN);
    } else {
        for (size_t i = 0; i < sizeof key; i++) {
            key[i] = mask[(frames->mask_at + i) % MASK_LEN];
        }
    }
    frames->mask_at = (uint8_t)((frames->mask_at + len) % MASK_LEN);
    return tg_bytes_mask(bytes, len, key);
}

/* How many bytes at the end are the beginning of a character that may go on. */
static size_t unfinished(struct tg_slice text)
{
    for (size_t back = 1; back <= 3 && back <= text.len; back++) {
        struct tg_slice tail = tg_slice_from(text, text.len - back);
        unsigned char lead = (unsigned char)tail.ptr[0];
        if ((lead & 0xc0) == 0x80) {
            continue;
        }
        bool well_formed;
        return lead >= 0xc2 && lead <= 0xf4 && tg_utf8_step(tail, &well_formed) == back && !well_formed ? back
                                                                                                        : 0;
    }
    return 0;
}

/* Whether the text of the message is UTF-8 so far, as far as one can tell. */
static bool text_goes_on(struct tg_wsframe *frames, struct tg_slice text, bool ascii)
{
    if (ascii && frames->carry_len == 0) {
        return true;
    }
    while (frames->carry_len > 0 && text.len > 0) {
        bool well_formed;
        frames->carry[frames->carry_len++] = text.ptr[0];
        text = tg_slice_from(text, 1);
        size_t step = tg_utf8_step(tg_slice_make(frames->carry, frames->carry_len), &well_formed);
        if (!well_formed && step < frames->carry_len) {
            return false;
        }
        frames->carry_len = well_formed ? 0 : frames->carry_len;
    }
    size_t tail = unfinished(text);
    if (!tg_utf8_valid(tg_slice_head(text, text.len - tail))) {
        return false;
    }
    if (tail > 0) {
        memcpy(frames->carry, text.ptr + text.len - tail, tail);
        frames->carry_len = (uint8_t)tail;
    }
    return true;
}

static int data_event(struct tg_wsframe *frames, struct tg_slice piece, bool ascii,
                      struct tg_wsframe_event *event)
{
    bool last = frames->left == 0 && (frames->head[0] & FIN) != 0;
    bool text = frames->message == TEXT && !frames->compressed;
    event->last = last;
    event->binary = frames->message == BINARY;
    event->compressed = frames->compressed;
    frames->message = last ? 0 : frames->message;
    if (frames->ignoring) {
        return 0;
    }
    if (text && (!text_goes_on(frames, piece, ascii) || (last && frames->carry_len > 0))) {
        return NOT_UTF8;
    }
    event->kind = TG_WSFRAME_DATA;
    event->payload = piece;
    return 0;
}

/* RFC 6455 section 7.4, and the codes registered since. */
static bool close_code_ok(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static int close_event(struct tg_slice payload, struct tg_wsframe_event *event)
{
    const unsigned char *bytes = (const unsigned char *)payload.ptr;
    int code = payload.len >= 2 ? bytes[0] << 8 | bytes[1] : NO_STATUS;
    if (payload.len == 1 || (payload.len >= 2 && !close_code_ok(code))) {
        return PROTOCOL_ERROR;
    }
    struct tg_slice reason = tg_slice_from(payload, 2);
    if (!tg_utf8_valid(reason)) {
        return NOT_UTF8;
    }
    event->kind = TG_WSFRAME_CLOSE;
    event->code = code;
    event->payload = reason;
    return 0;
}

static int control_event(struct tg_wsframe *frames, struct tg_slice piece, struct tg_wsframe_event *event)
{
    unsigned char opcode = frames->head[0] & OPCODE;
    if (frames->left > 0 || frames->control_len > 0) {
        if (piece.len > 0) {
            memcpy(frames->control + frames->control_len, piece.ptr, piece.len);
        }
        frames->control_len = (uint8_t)(frames->control_len + piece.len);
        if (frames->left > 0) {
            return 0;
        }
        piece = tg_slice_make(frames->control, frames->control_len);
    }
    if (opcode == CLOSE) {
        return close_event(piece, event);
    }
    event->kind = opcode == PING ? TG_WSFRAME_PING : TG_WSFRAME_PONG;
    event->payload = piece;
    return 0;
}

/* Takes the mask off a short payload; a bit of the result is set where a byte is 0x80 or above. In the
 * largest steps that fit: whoever looks at the bytes soon after does so in the same ones, or waits for the
 * stores. */
static inline uint64_t unmask_short(char *bytes, size_t len, const char mask[MASK_LEN])
{
    typedef uint64_t pair __attribute__((vector_size(16)));
    uint32_t key, half;
    pair all = {0};
    size_t at = 0;
    memcpy(&key, mask, sizeof key);
    const uint64_t keys = (uint64_t)key << 32 | key;
    for (; len - at >= sizeof all; at += sizeof all) {
        pair step;
        memcpy(&step, bytes + at, sizeof step);
        step ^= (pair){keys, keys};
        memcpy(bytes + at, &step, sizeof step);
        all |= step;
    }
    uint64_t seen = all[0] | all[1];
    if (len - at >= sizeof keys) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        word ^= keys;
        memcpy(bytes + at, &word, sizeof word);
        seen |= word;
        at += sizeof word;
    }
    if (len - at >= sizeof half) {
        memcpy(&half, bytes + at, sizeof half);
        half ^= key;
        memcpy(bytes + at, &half, sizeof half);
        seen |= half;
        at += sizeof half;
    }
    for (size_t i = 0; at < len; i++, at++) {
        bytes[at] = (char)(bytes[at] ^ mask[i]);
        seen |= (unsigned char)bytes[at];
    }
    return seen & UINT64_C(0x8080808080808080);
}

size_t tg_wsframe_take_text(const struct tg_wsframe *frames, char *bytes, size_t len, struct tg_slice *text)
{
    if (len < 2 + MASK_LEN || (unsigned char)bytes[0] != (FIN | TEXT) || frames->head_len > 0 ||
        frames->message != 0 || frames->ignoring) {
        return 0;
    }
    size_t size = (unsigned char)bytes[1] ^ MASKED; /* 128 and more without a mask */
    char *payload = bytes + 2 + MASK_LEN;
    if (size > SHORT_MAX || size > len - 2 - MASK_LEN || size > frames->rules.max_frame ||
        size > frames->rules.max_message) {
        return 0;
    }
    *text = tg_slice_make(payload, size);
    if (unmask_short(payload, size, bytes + 2) != 0 && !tg_utf8_valid(*text)) {
        (void)unmask_short(payload, size, bytes + 2); /* as it was */
        return 0;
    }
    return 2 + MASK_LEN + size;
}

size_t tg_wsframe_next(struct tg_wsframe *frames, char *bytes, size_t len, struct tg_wsframe_event *event)
{
    size_t used = 0;
    int code = 0;
    *event = (struct tg_wsframe_event){.kind = TG_WSFRAME_NONE};
    if (!frames->in_payload) {
        used = take_head(frames, bytes, len, &code);
    }
    while (used < len && !frames->in_payload && code == 0) {
        code = take_head_byte(frames, bytes[used++]);
    }
    if (code == 0 && frames->in_payload) {
        size_t take = frames->left < len - used ? (size_t)frames->left : len - used;
        struct tg_slice piece = tg_slice_make(bytes + used, take);
        bool ascii = unmask(frames, bytes + used, take);
        used += take;
        frames->left -= take;
        code = is_control(frames->head[0]) ? control_event(frames, piece, event)
                                           : data_event(frames, piece, ascii, event);
        if (frames->left == 0) {
            frames->in_payload = false;
            frames->head_len = 0;
        }
    }
    if (code != 0) {
        *event = (struct tg_wsframe_event){.kind = TG_WSFRAME_ERROR, .code = code};
    }
    return used;
}
