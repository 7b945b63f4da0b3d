#include "server/base/bytes.h"

/* Each loop is written once, with vectors of 32 bytes, and compiled twice on x86-64: for AVX2, taken where
 * the processor has it, and for what every processor has, where the compiler makes two vectors of each. */
enum { WIDTH = 32, STEP = 64 };

typedef unsigned char vector __attribute__((vector_size(WIDTH)));
typedef uint64_t quarters __attribute__((vector_size(WIDTH)));

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define HIGH_BITS     UINT64_C(0x8080808080808080)

/* Macros, as vectors that are passed to a function depend on the processor. */
#define LOAD(v, at)   memcpy(&(v), (at), sizeof(v))
#define FILL(v, byte) memset(&(v), (unsigned char)(byte), sizeof(v))
#define FOLD(v)       (((quarters)(v))[0] | ((quarters)(v))[1] | ((quarters)(v))[2] | ((quarters)(v))[3])
#define ENDS(v)       ((vector)(((v) == quotes) | ((v) == escapes) | ((v) < space)))

ALWAYS_INLINE size_t ascii_steps(const char *bytes, size_t len)
{
    size_t at = 0;
    for (; len - at >= STEP; at += STEP) {
        vector a, b;
        LOAD(a, bytes + at);
        LOAD(b, bytes + at + WIDTH);
        if ((FOLD(a | b) & HIGH_BITS) != 0) {
            break;
        }
    }
    return at;
}

ALWAYS_INLINE size_t plain_steps(const char *bytes, size_t len, char quote, uint64_t *high)
{
    vector quotes, escapes, space, seen;
    size_t at = 0;
    FILL(quotes, quote);
    FILL(escapes, '\\');
    FILL(space, 0x20);
    FILL(seen, 0);
    for (; len - at >= STEP; at += STEP) {
        vector a, b;
        LOAD(a, bytes + at);
        LOAD(b, bytes + at + WIDTH);
        if (FOLD(ENDS(a) | ENDS(b)) != 0) {
            break;
        }
        seen |= a | b;
    }
    *high |= (FOLD(seen) & HIGH_BITS) != 0 ? UINT64_C(1) << 63 : 0;
    return at;
}

ALWAYS_INLINE size_t mask_steps(char *bytes, size_t len, uint64_t key)
{
    const vector wide = (vector)(quarters){key, key, key, key};
    size_t at = 0;
    for (; len - at >= STEP; at += STEP) {
        vector a, b;
        LOAD(a, bytes + at);
        LOAD(b, bytes + at + WIDTH);
        a ^= wide;
        b ^= wide;
        memcpy(bytes + at, &a, sizeof a);
        memcpy(bytes + at + WIDTH, &b, sizeof b);
    }
    return at;
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2")))

AVX2 static size_t ascii_avx2(const char *bytes, size_t len)
{
    return ascii_steps(bytes, len);
}

AVX2 static size_t plain_avx2(const char *bytes, size_t len, char quote, uint64_t *high)
{
    return plain_steps(bytes, len, quote, high);
}

AVX2 static size_t mask_avx2(char *bytes, size_t len, uint64_t key)
{
    return mask_steps(bytes, len, key);
}

#define CHOOSE(wide, usual) (__builtin_cpu_supports("avx2") ? (wide) : (usual))
#else
#define CHOOSE(wide, usual) (usual)
#endif

size_t tg_bytes_ascii(struct tg_slice bytes)
{
    const char *text = bytes.ptr;
    size_t at = bytes.len < STEP ? 0 : CHOOSE(ascii_avx2(text, bytes.len), ascii_steps(text, bytes.len));
    for (; bytes.len - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text + at, sizeof word);
        if ((word & HIGH_BITS) != 0) {
            break;
        }
    }
    while (at < bytes.len && (unsigned char)text[at] < 0x80) {
        at++;
    }
    return at;
}

size_t tg_bytes_plain(struct tg_slice bytes, char quote, uint64_t *high)
{
    return CHOOSE(plain_avx2(bytes.ptr, bytes.len, quote, high),
                  plain_steps(bytes.ptr, bytes.len, quote, high));
}

void tg_bytes_mask(char *bytes, size_t len, const unsigned char key[8])
{
    uint64_t word;
    memcpy(&word, key, sizeof word);
    size_t at = len < STEP ? 0 : CHOOSE(mask_avx2(bytes, len, word), mask_steps(bytes, len, word));
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
