#include <stdlib.h>
#include <zlib.h>

#include "server/front/ws_internal.h"

/* A compressed message is inflated in one go when it is complete. Context takeover is refused in both
 * directions, so that an idle connection costs nothing and one inflater serves the whole engine. Nothing is
 * compressed on the way out, which the extension leaves to the sender (RFC 7692 section 6). */

/* RFC 7692 section 7.1. server_max_window_bits would have to be repeated in the answer: an offer with it is
 * declined, and clients that insist on it are rare. */
static bool offer_ok(struct tg_slice offer)
{
    struct tg_slice rest;
    struct tg_slice name = tg_slice_trim(tg_slice_cut(offer, ';', &rest));
    if (!tg_slice_eq_nocase(name, TG_LIT("permessage-deflate"))) {
        return false;
    }
    while (rest.ptr != NULL) {
        struct tg_slice value;
        name = tg_slice_trim(tg_slice_cut(tg_slice_cut(rest, ';', &rest), '=', &value));
        bool has_value = value.ptr != NULL;
        if (tg_slice_eq_nocase(name, TG_LIT("client_max_window_bits"))) {
            continue; /* any window of the client fits into ours */
        }
        if (has_value || (!tg_slice_eq_nocase(name, TG_LIT("server_no_context_takeover")) &&
                          !tg_slice_eq_nocase(name, TG_LIT("client_no_context_takeover")))) {
            return false;
        }
    }
    return true;
}

struct tg_slice tg_ws_deflate_accept(struct tg_slice offers)
{
    while (offers.ptr != NULL) {
        if (offer_ok(tg_slice_cut(offers, ',', &offers))) {
            return TG_LIT("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        }
    }
    return TG_EMPTY;
}

struct tg_inflater {
    z_stream stream;
};

enum tg_err tg_inflater_new(struct tg_inflater **out)
{
    struct tg_inflater *inflater = calloc(1, sizeof(*inflater));
    if (inflater == NULL) {
        return TG_ENOMEM;
    }
    if (inflateInit2(&inflater->stream, -MAX_WBITS) != Z_OK) {
        free(inflater);
        return TG_ENOMEM;
    }
    *out = inflater;
    return TG_OK;
}

void tg_inflater_free(struct tg_inflater *inflater)
{
    if (inflater != NULL) {
        inflateEnd(&inflater->stream);
        free(inflater);
    }
}

/* Inflates until the input is used up. */
static enum tg_err feed(z_stream *stream, struct tg_slice bytes, struct tg_buf *out)
{
    enum { STEP = 4096 };
    char chunk[STEP];
    stream->next_in = (Bytef *)(uintptr_t)bytes.ptr;
    stream->avail_in = (uInt)bytes.len;
    do {
        stream->next_out = (Bytef *)chunk;
        stream->avail_out = STEP;
        int status = inflate(stream, Z_SYNC_FLUSH);
        enum tg_err err = tg_buf_append(out, tg_slice_make(chunk, STEP - stream->avail_out));
        if (err != TG_OK) {
            return err;
        }
        switch (status) {
        case Z_OK:
        case Z_BUF_ERROR: /* no progress: there was nothing left to do */
            break;
        case Z_STREAM_END: /* a final block inside a message is allowed (section 7.2.3.4); another may follow
                            */
            if (inflateReset(stream) != Z_OK) {
                return TG_ENOMEM;
            }
            break;
        case Z_MEM_ERROR:
            return TG_ENOMEM;
        default:
            return TG_ESYNTAX;
        }
    } while (stream->avail_in > 0 || stream->avail_out == 0);
    return TG_OK;
}

enum tg_err tg_inflater_run(struct tg_inflater *inflater, struct tg_slice message, struct tg_buf *out)
{
    enum { BLOCK_BOUNDARY = 128 }; /* z_stream.data_type */
    z_stream *stream = &inflater->stream;
    if (message.len > UINT_MAX) {
        return TG_ELIMIT;
    }
    if (inflateReset(stream) != Z_OK) {
        return TG_ENOMEM;
    }
    enum tg_err err = feed(stream, message, out);
    if (err == TG_OK) {
        err = feed(stream, tg_slice_make("\0\0\xff\xff", 4), out);
    }
    if (err == TG_OK && (stream->data_type & BLOCK_BOUNDARY) == 0) {
        return TG_ESYNTAX;
    }
    return err;
}
