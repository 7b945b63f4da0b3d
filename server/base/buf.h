/* A growing byte buffer with a limit, consumed from the front. Owned by whoever embeds it; tg_buf_free
 * releases. Invariant: off <= len <= cap, and len - off <= limit. Appending may move the bytes: slices into
 * it die then. */
#ifndef TG_BASE_BUF_H
#define TG_BASE_BUF_H

#include <stdarg.h>

#include "server/base/slice.h"

struct tg_buf {
    char *data;
    size_t off;   /* first byte not yet consumed */
    size_t len;   /* end of the bytes held */
    size_t cap;   /* bytes allocated */
    size_t limit; /* most bytes held at once; SIZE_MAX for none */
};

/* Allocates nothing. */
void tg_buf_init(struct tg_buf *buf, size_t limit);
void tg_buf_free(struct tg_buf *buf);
/* Forgets the content, keeps the memory. */
void tg_buf_clear(struct tg_buf *buf);
/* Bytes held. */
static inline size_t tg_buf_size(const struct tg_buf *buf)
{
    return buf->len - buf->off;
}
static inline struct tg_slice tg_buf_slice(const struct tg_buf *buf)
{
    return buf->len > buf->off ? tg_slice_make(buf->data + buf->off, buf->len - buf->off) : TG_EMPTY;
}
/* Room for at least `len` more bytes, at *space; commit what was written with tg_buf_commit. TG_ELIMIT past
 * the limit, TG_ENOMEM; the content stays as it was. */
enum tg_err tg_buf_reserve(struct tg_buf *buf, size_t len, char **space) TG_MUST_CHECK;
void tg_buf_commit(struct tg_buf *buf, size_t len);
/* Drops `len` bytes from the front; len <= tg_buf_size. */
void tg_buf_consume(struct tg_buf *buf, size_t len);
enum tg_err tg_buf_append(struct tg_buf *buf, struct tg_slice bytes) TG_MUST_CHECK;
enum tg_err tg_buf_append_char(struct tg_buf *buf, char c) TG_MUST_CHECK;
enum tg_err tg_buf_append_u64(struct tg_buf *buf, uint64_t value) TG_MUST_CHECK;
enum tg_err tg_buf_printf(struct tg_buf *buf, const char *format, ...) TG_PRINTF(2, 3) TG_MUST_CHECK;

#endif
