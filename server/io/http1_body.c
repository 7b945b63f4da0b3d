/* Decoding of message bodies, any cut of the bytes into calls giving the same content. */
#include "server/io/http1_private.h"

/* EXTENSIONS_MAX: of a whole body, which nobody reads: more is abuse. */
enum { EXTENSION_MAX = 256, EXTENSIONS_MAX = 16384, TRAILER_MAX = 8192, SIZE_DIGITS_MAX = 16 };

enum state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    TRAILER_END_LF,
    BROKEN /* for good: nobody knows what the next bytes are */
};

void tg_http1_body_init(struct tg_http1_body *body, enum tg_http1_framing framing, uint64_t content_length)
{
    *body = (struct tg_http1_body){.framing = framing, .state = CHUNK_SIZE};
    if (framing == TG_HTTP1_LENGTH) {
        body->remaining = content_length;
    }
    body->done = framing == TG_HTTP1_NO_BODY || (framing == TG_HTTP1_LENGTH && content_length == 0);
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

/* One byte of a chunk's size line. */
static bool size_byte(struct tg_http1_body *body, char c)
{
    switch ((enum state)body->state) {
    case CHUNK_SIZE:
        if (tg_http1_is(c, TG_HTTP1_HEX)) {
            body->remaining = body->remaining * 16 + hex_value(c);
            return ++body->digits <= SIZE_DIGITS_MAX;
        }
        body->state = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
        body->line = 0;
        return body->digits > 0 && (c == ';' || c == '\r');
    case CHUNK_EXTENSION:
        if (c == '\r') {
            body->state = CHUNK_SIZE_LF;
            return true;
        }
        return tg_http1_is(c, TG_HTTP1_VALUE) && ++body->line <= EXTENSION_MAX &&
               ++body->extensions <= EXTENSIONS_MAX;
    default: /* CHUNK_SIZE_LF */
        body->state = body->remaining > 0 ? CHUNK_DATA : TRAILER_START;
        body->line = 0;
        return c == '\n';
    }
}

/* One byte of the trailer section; its end is the end of the body. */
static bool trailer_byte(struct tg_http1_body *body, char c)
{
    if (++body->line > TRAILER_MAX) {
        return false;
    }
    switch ((enum state)body->state) {
    case TRAILER_START:
        body->state = c == '\r' ? TRAILER_END_LF : TRAILER_NAME;
        return c == '\r' || tg_http1_is(c, TG_HTTP1_TOKEN);
    case TRAILER_NAME:
        if (c == ':') {
            body->state = TRAILER_VALUE;
            return true;
        }
        return tg_http1_is(c, TG_HTTP1_TOKEN);
    case TRAILER_VALUE:
        if (c == '\r') {
            body->state = TRAILER_LF;
            return true;
        }
        return tg_http1_is(c, TG_HTTP1_VALUE);
    case TRAILER_LF:
        body->state = TRAILER_START;
        return c == '\n';
    default: /* TRAILER_END_LF */
        body->done = c == '\n';
        return body->done;
    }
}

/* One byte that is not content. */
static bool framing_byte(struct tg_http1_body *body, char c)
{
    if (body->state < CHUNK_DATA) {
        return size_byte(body, c);
    }
    if (body->state > CHUNK_DATA_LF) {
        return trailer_byte(body, c);
    }
    if (body->state == CHUNK_DATA_CR) {
        body->state = CHUNK_DATA_LF;
        return c == '\r';
    }
    body->state = CHUNK_SIZE;
    body->remaining = 0;
    body->digits = 0;
    return c == '\n';
}

static struct tg_slice take(struct tg_http1_body *body, struct tg_slice in)
{
    struct tg_slice content = body->remaining < in.len ? tg_slice_head(in, (size_t)body->remaining) : in;
    body->remaining -= content.len;
    return content;
}

enum tg_err tg_http1_body_decode(struct tg_http1_body *body, struct tg_slice in, size_t *used,
                                 struct tg_slice *out)
{
    struct tg_slice content = TG_EMPTY;
    size_t at = 0;
    if (body->done || in.len == 0) {
        *used = 0;
        *out = TG_EMPTY;
        return TG_OK;
    }
    if (body->framing != TG_HTTP1_CHUNKED) {
        content = body->framing == TG_HTTP1_LENGTH ? take(body, in) : in;
        body->done = body->framing == TG_HTTP1_LENGTH && body->remaining == 0;
        *used = content.len;
        *out = content;
        return TG_OK;
    }
    while (at < in.len && body->state != CHUNK_DATA && !body->done) {
        if (body->state == BROKEN || !framing_byte(body, in.ptr[at])) {
            body->state = BROKEN;
            return TG_EPROTO;
        }
        at++;
    }
    if (body->state == CHUNK_DATA) {
        content = take(body, tg_slice_from(in, at));
        at += content.len;
        if (body->remaining == 0) {
            body->state = CHUNK_DATA_CR;
        }
    }
    *used = at;
    *out = content;
    return TG_OK;
}
