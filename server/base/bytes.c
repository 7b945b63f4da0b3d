#include "server/base/bytes.h"

enum { WIDTH = 16, STEP = 64 };

typedef unsigned char vector __attribute__((vector_size(WIDTH)));
typedef uint64_t halves __attribute__((vector_size(WIDTH)));

static vector load(const char *at)
{
    vector v;
    memcpy(&v, at, sizeof v);
    return v;
}

static vector fill(char byte)
{
    vector v;
    memset(&v, (unsigned char)byte, sizeof v);
    return v;
}

static uint64_t fold(vector v)
{
    halves both = (halves)v;
    return both[0] | both[1];
}

size_t tg_bytes_ascii(struct tg_slice bytes)
{
    size_t len = 0;
    for (; bytes.len - len >= STEP; len += STEP) {
        const char *at = bytes.ptr + len;
        vector all = load(at) | load(at + WIDTH) | load(at + 2 * WIDTH) | load(at + 3 * WIDTH);
        if ((fold(all) & 0x8080808080808080u) != 0) {
            break;
        }
    }
    for (; bytes.len - len >= sizeof(uint64_t); len += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes.ptr + len, sizeof word);
        if ((word & 0x8080808080808080u) != 0) {
            break;
        }
    }
    while (len < bytes.len && (unsigned char)bytes.ptr[len] < 0x80) {
        len++;
    }
    return len;
}

size_t tg_bytes_plain(struct tg_slice bytes, char quote, uint64_t *high)
{
    const vector quotes = fill(quote), escapes = fill('\\'), space = fill(0x20);
    vector seen = fill(0);
    size_t len = 0;
    for (; bytes.len - len >= STEP; len += STEP) {
        const char *at = bytes.ptr + len;
        vector a = load(at), b = load(at + WIDTH), c = load(at + 2 * WIDTH), d = load(at + 3 * WIDTH);
        vector stop = (vector)((a == quotes) | (a == escapes) | (a < space)) |
                      (vector)((b == quotes) | (b == escapes) | (b < space)) |
                      (vector)((c == quotes) | (c == escapes) | (c < space)) |
                      (vector)((d == quotes) | (d == escapes) | (d < space));
        if (fold(stop) != 0) {
            break;
        }
        seen |= a | b | c | d;
    }
    *high |= (fold(seen) & 0x8080808080808080u) != 0 ? UINT64_C(1) << 63 : 0;
    return len;
}

void tg_bytes_mask(char *bytes, size_t len, const unsigned char key[8])
{
    uint64_t word;
    size_t at = 0;
    memcpy(&word, key, sizeof word);
    const vector wide = (vector)(halves){word, word};
    for (; len - at >= STEP; at += STEP) {
        for (size_t i = 0; i < STEP; i += WIDTH) {
            vector v = load(bytes + at + i) ^ wide;
            memcpy(bytes + at + i, &v, sizeof v);
        }
    }
    for (; len - at >= sizeof word; at += sizeof word) {
        uint64_t v;
        memcpy(&v, bytes + at, sizeof v);
        v ^= word;
        memcpy(bytes + at, &v, sizeof v);
    }
    for (size_t i = 0; at < len; i++, at++) {
        bytes[at] = (char)(bytes[at] ^ key[i]);
    }
}
