#include "server/base/codec.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char urlsafe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode64(const char *alphabet, const unsigned char *in, size_t len, char *out)
{
    for (; len >= 3; len -= 3, in += 3) {
        *out++ = alphabet[in[0] >> 2];
        *out++ = alphabet[(in[0] & 0x03) << 4 | in[1] >> 4];
        *out++ = alphabet[(in[1] & 0x0f) << 2 | in[2] >> 6];
        *out++ = alphabet[in[2] & 0x3f];
    }
    if (len > 0) {
        unsigned second = len > 1 ? in[1] : 0;
        *out++ = alphabet[in[0] >> 2];
        *out++ = alphabet[(in[0] & 0x03) << 4 | second >> 4];
        *out++ = len > 1 ? alphabet[(second & 0x0f) << 2] : '=';
        *out++ = '=';
    }
}

/* What a character stands for: six bits, and whose alphabets it is of. Looked up, as a branch on what looks
 * random is mostly taken wrongly. */
enum { DIGIT = 0x3f, STANDARD = 0x40, URLSAFE = 0x80 };
static const uint8_t sextets[UINT8_MAX + 1] = {
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x7e, 0,    0xbe, 0,    0x7f,
    0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0,    0,    0,    0,    0,    0,
    0,    0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce,
    0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0,    0,    0,    0,    0xbf,
    0,    0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8,
    0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf2, 0xf3, 0,    0,    0,    0,    0,
};

/* *common: the alphabets that all so far are of. */
static unsigned digit64(char c, unsigned *common)
{
    unsigned digit = sextets[(unsigned char)c];
    *common &= digit;
    return digit & DIGIT;
}

/* Decodes text without padding; its length is not 1 modulo 4. `alphabet`: STANDARD or URLSAFE. *spare
 * gets the unused bits of the last character. After a failure something may have been written. */
static enum tg_err decode64(struct tg_slice text, unsigned alphabet, unsigned char *out, unsigned *spare)
{
    unsigned bits = 0, common = alphabet;
    size_t at = 0;
    for (; text.len - at >= 4; at += 4) {
        for (size_t i = 0; i < 4; i++) {
            bits = bits << 6 | digit64(text.ptr[at + i], &common);
        }
        *out++ = (unsigned char)(bits >> 16);
        *out++ = (unsigned char)(bits >> 8);
        *out++ = (unsigned char)bits;
        if ((common & alphabet) == 0) {
            return TG_ESYNTAX;
        }
    }
    size_t rest = text.len - at;
    bits = 0;
    for (size_t i = 0; i < rest; i++) {
        bits = bits << 6 | digit64(text.ptr[at + i], &common);
    }
    if ((common & alphabet) == 0) {
        return TG_ESYNTAX;
    }
    if (rest == 3) {
        *out++ = (unsigned char)(bits >> 10);
        *out = (unsigned char)(bits >> 2);
    } else if (rest == 2) {
        *out = (unsigned char)(bits >> 4);
    }
    *spare = rest == 3 ? bits & 0x3 : rest == 2 ? bits & 0xf : 0;
    return TG_OK;
}

static struct tg_slice without_padding(struct tg_slice text)
{
    if (text.len > 0 && text.len % 4 == 0) {
        for (int i = 0; i < 2 && text.ptr[text.len - 1] == '='; i++) {
            text.len--;
        }
    }
    return text;
}

enum tg_err tg_base64_encode(struct tg_buf *out, struct tg_slice bytes)
{
    char *space;
    if (bytes.len > SIZE_MAX / 2) {
        return TG_ELIMIT;
    }
    enum tg_err err = tg_buf_reserve(out, TG_BASE64_LEN(bytes.len), &space);
    if (err == TG_OK && bytes.len > 0) {
        encode64(standard, (const unsigned char *)bytes.ptr, bytes.len, space);
        tg_buf_commit(out, TG_BASE64_LEN(bytes.len));
    }
    return err;
}

enum tg_err tg_base64_decode(struct tg_arena *arena, struct tg_slice text, struct tg_slice *out)
{
    text = without_padding(text);
    if (text.len % 4 == 1) {
        return TG_ESYNTAX;
    }
    size_t len = text.len / 4 * 3 + text.len % 4 * 3 / 4;
    unsigned char *bytes = tg_arena_alloc(arena, len + 1);
    if (bytes == NULL) {
        return TG_ENOMEM;
    }
    unsigned spare;
    enum tg_err err = decode64(text, STANDARD, bytes, &spare);
    if (err == TG_OK) {
        bytes[len] = '\0';
        *out = tg_slice_make(bytes, len);
    }
    return err;
}

void tg_base64url_encode(const void *bytes, size_t len, char *out)
{
    encode64(urlsafe, bytes, len, out);
}

enum tg_err tg_base64url_decode(struct tg_slice text, void *bytes, size_t len)
{
    unsigned char small[64], group[3];
    unsigned spare = 0;
    if (len > SIZE_MAX / 2 || text.len != TG_BASE64_LEN(len)) {
        return TG_ESYNTAX;
    }
    text = without_padding(text);
    if (text.len != len / 3 * 4 + (len % 3 > 0 ? len % 3 + 1 : 0)) {
        return TG_ESYNTAX;
    }
    /* A failure must leave the bytes as they were. */
    if (len <= sizeof small) {
        enum tg_err err = decode64(text, URLSAFE, small, &spare);
        if (err != TG_OK || spare != 0) {
            return TG_ESYNTAX;
        }
        memcpy(bytes, small, len);
        return TG_OK;
    }
    for (size_t at = 0; at < text.len; at += 4) {
        struct tg_slice part = tg_slice_head(tg_slice_from(text, at), 4);
        if (decode64(part, URLSAFE, group, &spare) != TG_OK || spare != 0) {
            return TG_ESYNTAX;
        }
    }
    return decode64(text, URLSAFE, bytes, &spare);
}

/* Sixteen bytes at once: the halves of each, by turns, then what makes a digit of each. */
enum { HEX_STEP = 16 };
typedef unsigned char hex_vector __attribute__((vector_size(HEX_STEP)));

static inline void put_hex(hex_vector halves, char *out)
{
    const unsigned char to_letter = 'a' - '0' - 10;
    halves += '0' + ((hex_vector)(halves > 9) & to_letter);
    memcpy(out, &halves, sizeof halves);
}

void tg_hex_encode(const void *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = bytes;
    for (; len >= HEX_STEP; len -= HEX_STEP, in += HEX_STEP, out += 2 * HEX_STEP) {
        hex_vector whole;
        memcpy(&whole, in, sizeof whole);
        hex_vector high = whole >> 4, low = whole & 0x0f;
        put_hex(__builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                out);
        put_hex(
            __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
            out + HEX_STEP);
    }
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 0x0f];
    }
}

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

enum tg_err tg_percent_encode(struct tg_buf *out, struct tg_slice bytes, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t need = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        need += is_unreserved(bytes.ptr[i]) || (keep_slash && bytes.ptr[i] == '/') ? 1 : 3;
    }
    char *space;
    enum tg_err err = tg_buf_reserve(out, need, &space);
    if (err != TG_OK) {
        return err;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        if (is_unreserved((char)c) || (keep_slash && c == '/')) {
            *space++ = (char)c;
        } else {
            *space++ = '%';
            *space++ = digits[c >> 4];
            *space++ = digits[c & 0x0f];
        }
    }
    tg_buf_commit(out, need);
    return TG_OK;
}

/* The value of a hexadecimal digit, and one; 0 of anything else. */
static const unsigned char digits16[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

size_t tg_percent_decode_into(char *out, struct tg_slice text, bool plus_is_space)
{
    char *to = out;
    size_t plain = plus_is_space ? 0 : tg_slice_find(text, '%');
    if (plain > 0) {
        memcpy(to, text.ptr, plain);
        to += plain;
    }
    if (plain == text.len) {
        return plain;
    }
    const char *at = text.ptr + plain, *end = text.ptr + text.len;
    while (at < end) {
        char c = *at++;
        if (c == '%' && end - at >= 2) {
            unsigned high = digits16[(unsigned char)at[0]], low = digits16[(unsigned char)at[1]];
            if (high > 0 && low > 0) {
                *to++ = (char)((high - 1) << 4 | (low - 1));
                at += 2;
                continue;
            }
        }
        *to++ = c == '+' && plus_is_space ? ' ' : c;
    }
    return (size_t)(to - out);
}

enum tg_err tg_percent_decode(struct tg_arena *arena, struct tg_slice text, bool plus_is_space,
                              struct tg_slice *out)
{
    char *copy = text.len < SIZE_MAX ? tg_arena_alloc(arena, text.len + 1) : NULL;
    if (copy == NULL) {
        return TG_ENOMEM;
    }
    size_t len = tg_percent_decode_into(copy, text, plus_is_space);
    copy[len] = '\0';
    *out = tg_slice_make(copy, len);
    return TG_OK;
}
