#include "server/base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { MIN_CAP = 256 };

void tg_buf_init(struct tg_buf *buf, size_t limit)
{
    *buf = (struct tg_buf){.limit = limit};
}

void tg_buf_free(struct tg_buf *buf)
{
    free(buf->data);
    *buf = (struct tg_buf){.limit = buf->limit};
}

void tg_buf_clear(struct tg_buf *buf)
{
    buf->off = 0;
    buf->len = 0;
}

enum tg_err tg_buf_reserve(struct tg_buf *buf, size_t len, char **space)
{
    size_t held = tg_buf_size(buf);
    if (len > buf->limit || held > buf->limit - len) {
        return TG_ELIMIT;
    }
    if (buf->cap - buf->len < len && buf->off > 0 && buf->cap - held >= len && buf->off >= held) {
        memcpy(buf->data, buf->data + buf->off, held);
        buf->off = 0;
        buf->len = held;
    }
    if (buf->data == NULL || buf->cap - buf->len < len) {
        size_t cap = buf->cap > MIN_CAP ? buf->cap : MIN_CAP;
        while (cap < held + len) {
            cap = cap > SIZE_MAX / 2 ? held + len : cap * 2;
        }
        char *data = malloc(cap);
        if (data == NULL) {
            return TG_ENOMEM;
        }
        if (buf->data != NULL) {
            memcpy(data, buf->data + buf->off, held);
        }
        free(buf->data);
        buf->data = data;
        buf->cap = cap;
        buf->off = 0;
        buf->len = held;
    }
    *space = buf->data + buf->len;
    return TG_OK;
}

void tg_buf_commit(struct tg_buf *buf, size_t len)
{
    assert(len <= buf->cap - buf->len);
    buf->len += len;
}

void tg_buf_consume(struct tg_buf *buf, size_t len)
{
    assert(len <= tg_buf_size(buf));
    buf->off += len;
    if (buf->off == buf->len) {
        buf->off = 0;
        buf->len = 0;
    }
}

enum tg_err tg_buf_append(struct tg_buf *buf, struct tg_slice bytes)
{
    char *space;
    enum tg_err err = tg_buf_reserve(buf, bytes.len, &space);
    if (err == TG_OK && bytes.len > 0) {
        memcpy(space, bytes.ptr, bytes.len);
        buf->len += bytes.len;
    }
    return err;
}

enum tg_err tg_buf_append_char(struct tg_buf *buf, char c)
{
    return tg_buf_append(buf, tg_slice_make(&c, 1));
}

enum tg_err tg_buf_append_u64(struct tg_buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return tg_buf_append(buf, tg_slice_make(digits + at, sizeof digits - at));
}

enum tg_err tg_buf_printf(struct tg_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0) {
        return TG_EINVAL;
    }
    char *space;
    enum tg_err err = tg_buf_reserve(buf, (size_t)need + 1, &space);
    if (err != TG_OK) {
        return err;
    }
    va_start(args, format);
    (void)vsnprintf(space, (size_t)need + 1, format, args);
    va_end(args);
    buf->len += (size_t)need;
    return TG_OK;
}
