/* What a frame decoder tells of a stream of bytes, written down so that two runs can be compared: pieces of a
 * message are joined, since where they are cut depends on how the bytes came. For the unit tests and the fuzz
 * target of wsframe. */
#ifndef TG_TESTS_WSFRAME_LOG_H
#define TG_TESTS_WSFRAME_LOG_H

#include <stdlib.h>

#include "server/base/codec.h"
#include "server/io/wsframe.h"

struct wsframe_log {
    struct tg_buf text;    /* t:hello;p:ping;o:pong;c1000:bye;e1002; and b: for binary, z: in front if RSV1 */
    struct tg_buf message; /* the pieces so far */
    size_t stopped_after;  /* how many bytes it took to find the violation; SIZE_MAX: none */
    size_t largest;        /* the longest message */
    bool bad_text;         /* a text or a reason was told that is not UTF-8 */
    struct tg_wsframe last; /* the decoder at the end */
};

static inline void wsframe_put(struct tg_buf *buf, struct tg_slice bytes)
{
    if (tg_buf_append(buf, bytes) != TG_OK) {
        abort();
    }
}

static inline void wsframe_note(struct wsframe_log *log, const struct tg_wsframe_event *event)
{
    static const char *const marks[] = {"", "", "p:", "o:", "c", "e"};
    if (event->kind == TG_WSFRAME_NONE) {
        return;
    }
    if (event->kind == TG_WSFRAME_DATA) {
        wsframe_put(&log->message, event->payload);
        if (!event->last) {
            return;
        }
        size_t size = tg_buf_size(&log->message);
        log->largest = size > log->largest ? size : log->largest;
        wsframe_put(&log->text, event->compressed ? TG_LIT("z") : TG_EMPTY);
        wsframe_put(&log->text, event->binary ? TG_LIT("b:") : TG_LIT("t:"));
        wsframe_put(&log->text, tg_buf_slice(&log->message));
        log->bad_text |= !event->binary && !event->compressed && !tg_utf8_valid(tg_buf_slice(&log->message));
        tg_buf_clear(&log->message);
    } else {
        log->bad_text |= event->kind == TG_WSFRAME_CLOSE && !tg_utf8_valid(event->payload);
        wsframe_put(&log->text, tg_slice_cstr(marks[event->kind]));
        if (event->code != 0 && tg_buf_append_u64(&log->text, (uint64_t)event->code) != TG_OK) {
            abort();
        }
        wsframe_put(&log->text, event->kind == TG_WSFRAME_CLOSE ? TG_LIT(":") : TG_EMPTY);
        wsframe_put(&log->text, event->payload);
    }
    wsframe_put(&log->text, TG_LIT(";"));
}

/* Gives the bytes to a decoder in pieces of `step`, each in memory of its own size. */
static inline void wsframe_run(struct wsframe_log *log, const struct tg_wsframe_rules *rules, bool ignoring,
                               struct tg_slice bytes, size_t step)
{
    *log = (struct wsframe_log){.stopped_after = SIZE_MAX};
    tg_buf_init(&log->text, SIZE_MAX);
    tg_buf_init(&log->message, SIZE_MAX);
    tg_wsframe_init(&log->last, rules);
    if (ignoring) {
        tg_wsframe_ignore_data(&log->last);
    }
    for (size_t at = 0; at < bytes.len && log->stopped_after == SIZE_MAX;) {
        struct tg_slice piece = tg_slice_head(tg_slice_from(bytes, at), step);
        char *copy = malloc(piece.len);
        if (copy == NULL) {
            abort();
        }
        memcpy(copy, piece.ptr, piece.len);
        for (size_t done = 0; done < piece.len && log->stopped_after == SIZE_MAX;) {
            struct tg_wsframe_event event = {.kind = TG_WSFRAME_DATA, .last = true};
            size_t used = tg_wsframe_take_text(&log->last, copy + done, piece.len - done, &event.payload);
            if (used == 0) {
                used = tg_wsframe_next(&log->last, copy + done, piece.len - done, &event);
            }
            if (used == 0 || used > piece.len - done) {
                abort();
            }
            done += used;
            wsframe_note(log, &event);
            log->stopped_after = event.kind == TG_WSFRAME_ERROR ? at + done : SIZE_MAX;
        }
        at += piece.len;
        free(copy);
    }
}

static inline void wsframe_done(struct wsframe_log *log)
{
    tg_buf_free(&log->text);
    tg_buf_free(&log->message);
}

#endif
