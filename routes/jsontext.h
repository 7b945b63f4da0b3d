/* The characters of JSON strings: what the scanner, the walk and the conversion to text share. Private to
 * routes/jsonscan, jsonwalk and jsontext; pure functions over borrowed bytes. */
#ifndef TG_ROUTES_JSONTEXT_H
#define TG_ROUTES_JSONTEXT_H

#include "server/base/bytes.h"

enum { TG_JSONTEXT_LONG = 256 }; /* bytes left from which on a string is looked at in larger steps */

#define TG_EACH_BYTE(x) (UINT64_C(0x0101010101010101) * (x))

/* Non-zero when a byte of v is zero. */
static inline uint64_t tg_jsontext_zero_bytes(uint64_t v)
{
    return (v - TG_EACH_BYTE(1)) & ~v & TG_EACH_BYTE(0x80);
}

/* Marks the bytes of a word that may end a run of plain string characters: the quote, `\` or a control
 * character. Where bytes are counted from the lowest on, the first that is marked is one; what a borrow marks
 * in error lies behind it. */
static inline uint64_t tg_jsontext_ends(uint64_t v, char quote)
{
    uint64_t control = (v - TG_EACH_BYTE(0x20)) & ~v & TG_EACH_BYTE(0x80);
    return control | tg_jsontext_zero_bytes(v ^ TG_EACH_BYTE((unsigned char)quote)) |
           tg_jsontext_zero_bytes(v ^ TG_EACH_BYTE('\\'));
}

/* The first byte that ends a run of plain string characters: the quote, `\` or a control character; or end.
 * Eight bytes at a time, more in long strings. Sets a bit of *high when it passes a byte >= 0x80. */
static inline const char *tg_jsontext_skip(const char *at, const char *end, char quote, uint64_t *high)
{
    uint64_t seen = 0;
    if (end - at >= TG_JSONTEXT_LONG) {
        at += tg_bytes_plain(tg_slice_make(at, (size_t)(end - at)), quote, high);
    }
    while (end - at >= 8) {
        uint64_t v;
        memcpy(&v, at, 8);
        uint64_t ends = tg_jsontext_ends(v, quote);
        if (ends != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            *high |= seen | (v & ((ends & -ends) - 1) & TG_EACH_BYTE(0x80));
            return at + __builtin_ctzll(ends) / 8;
#else
            break;
#endif
        }
        seen |= v & TG_EACH_BYTE(0x80);
        at += 8;
    }
    while (at < end && *at != quote && *at != '\\' && (unsigned char)*at >= 0x20) {
        seen |= (unsigned char)*at & 0x80;
        at++;
    }
    *high |= seen;
    return at;
}

/* The value of a hexadecimal digit, or -1. */
static inline int tg_jsontext_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline bool tg_jsontext_is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Decodes the inside of a string found valid, as UTF-8. `out` has room for body.len bytes: no escape is
 * shorter than what it stands for. Lone surrogates become U+FFFD. Returns the length. */
size_t tg_jsontext_unescape(struct tg_slice body, char *out);
/* Whether the inside of a string found valid decodes to `name`. */
bool tg_jsontext_eq(struct tg_slice body, struct tg_slice name);

#endif
