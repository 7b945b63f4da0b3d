/* The UTF-8 half of codec.h. */
#include "server/base/bytes.h"
#include "server/base/codec.h"

static const struct tg_slice replacement = TG_LIT_INIT("\xef\xbf\xbd");

size_t tg_utf8_step(struct tg_slice text, bool *well_formed)
{
    const unsigned char *in = (const unsigned char *)text.ptr;
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
    size_t need;                           /* bytes after the first */
    *well_formed = in[0] < 0x80;
    if (in[0] < 0xc2 || in[0] > 0xf4) {
        return 1;
    }
    if (in[0] < 0xe0) {
        need = 1;
    } else if (in[0] < 0xf0) {
        need = 2;
        low = in[0] == 0xe0 ? 0xa0 : low;   /* overlong */
        high = in[0] == 0xed ? 0x9f : high; /* surrogates */
    } else {
        need = 3;
        low = in[0] == 0xf0 ? 0x90 : low;   /* overlong */
        high = in[0] == 0xf4 ? 0x8f : high; /* past U+10FFFF */
    }
    for (size_t i = 1; i <= need; i++) {
        if (i >= text.len || in[i] < low || in[i] > high) {
            return i;
        }
        low = 0x80;
        high = 0xbf;
    }
    *well_formed = true;
    return need + 1;
}

/* The length of the character at the front where that is one of two or three bytes whose second may be any
 * continuation, which most text beyond ASCII consists of; else 0. */
static inline size_t common_step(const unsigned char *in, size_t len)
{
    if (len >= 2 && in[0] >= 0xc2 && in[0] <= 0xdf) {
        return (in[1] & 0xc0) == 0x80 ? 2 : 0;
    }
    bool plain_lead = in[0] >= 0xe1 && in[0] <= 0xef && in[0] != 0xed;
    return len >= 3 && plain_lead && (in[1] & 0xc0) == 0x80 && (in[2] & 0xc0) == 0x80 ? 3 : 0;
}

/* Length of the leading well-formed part. */
static size_t valid_run(struct tg_slice text)
{
    size_t at = 0;
    for (;;) {
        if (at < text.len && (unsigned char)text.ptr[at] < 0x80) {
            at += tg_bytes_ascii(tg_slice_from(text, at));
        }
        if (at >= text.len) {
            return at;
        }
        size_t step = common_step((const unsigned char *)text.ptr + at, text.len - at);
        if (step > 0) {
            at += step;
            continue;
        }
        bool well_formed;
        step = tg_utf8_step(tg_slice_from(text, at), &well_formed);
        if (!well_formed) {
            return at;
        }
        at += step;
    }
}

bool tg_utf8_valid(struct tg_slice text)
{
    return valid_run(text) == text.len;
}

static char *put(char *to, struct tg_slice bytes)
{
    if (bytes.len > 0) {
        memcpy(to, bytes.ptr, bytes.len);
    }
    return to + bytes.len;
}

enum tg_err tg_utf8_repair(struct tg_arena *arena, struct tg_slice text, struct tg_slice *out)
{
    size_t run = valid_run(text);
    if (run == text.len) {
        *out = text;
        return TG_OK;
    }
    if (text.len > SIZE_MAX / 4) {
        return TG_ENOMEM;
    }
    /* An ill-formed part has one byte at least and becomes three. */
    char *start = tg_arena_alloc(arena, run + (text.len - run) * replacement.len + 1);
    if (start == NULL) {
        return TG_ENOMEM;
    }
    char *to = start;
    while (text.len > 0) {
        bool well_formed;
        run = valid_run(text);
        to = put(to, tg_slice_head(text, run));
        text = tg_slice_from(text, run);
        if (text.len > 0) {
            to = put(to, replacement);
            text = tg_slice_from(text, tg_utf8_step(text, &well_formed));
        }
    }
    *to = '\0';
    *out = tg_slice_make(start, (size_t)(to - start));
    return TG_OK;
}
