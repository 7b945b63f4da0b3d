#include "server/base/bytes.h"

/* Each loop is written once, with vectors of 32 bytes, and compiled twice on x86-64: for AVX2, taken where
 * the processor has it, and for what every processor has, where the compiler makes two vectors of each. What
 * ends a loop is looked for in four vectors at once while there are as many, as that look costs as much as a
 * vector's work. */
enum { WIDTH = 32, STEP = 64, STRIDE = 128 };

typedef unsigned char vector __attribute__((vector_size(WIDTH)));
typedef signed char signed_vector __attribute__((vector_size(WIDTH)));

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define HIGH_BITS     UINT64_C(0x8080808080808080)

/* Macros, as vectors that are passed to a function depend on the processor. */
#define LOAD(v, at)   memcpy(&(v), (at), sizeof(v))
#define STORE(at, v)  memcpy((at), &(v), sizeof(v))
#define FILL(v, byte) memset(&(v), (unsigned char)(byte), sizeof(v))
/* The quote and what is below 0x20, of which `flips` makes what is below 0x21; or the escape. */
#define ENDS(v) ((vector)((((v) ^ flips) < limits) | ((v) == escapes)))
/* Likewise, or 0x80 and above. */
#define SUSPECTS(v)                                                                                          \
    ((vector)((signed_vector)((v) ^ flips) < (signed_vector)limits) | (vector)((v) == escapes))

/* Whether any byte of `v` has its top bit set. */
#if defined(__x86_64__)
typedef char half __attribute__((vector_size(WIDTH / 2)));
#define ANY_HIGH(v) (__builtin_ia32_pmovmskb128(LOW(v) | HIGH(v)) != 0)
#define LOW(v)      ((union halves){.whole = (v)}.parts[0])
#define HIGH(v)     ((union halves){.whole = (v)}.parts[1])
union halves {
    vector whole;
    half parts[2];
};
#else
typedef uint64_t quarters __attribute__((vector_size(WIDTH)));
#define FOLD(v)     (((quarters)(v))[0] | ((quarters)(v))[1] | ((quarters)(v))[2] | ((quarters)(v))[3])
#define ANY_HIGH(v) ((FOLD(v) & HIGH_BITS) != 0)
#endif

ALWAYS_INLINE size_t ascii_steps(const char *bytes, size_t len)
{
    size_t at = 0;
    for (; len - at >= STRIDE; at += STRIDE) {
        vector a, b, c, d;
        LOAD(a, bytes + at);
        LOAD(b, bytes + at + WIDTH);
        LOAD(c, bytes + at + 2 * WIDTH);
        LOAD(d, bytes + at + 3 * WIDTH);
        if (ANY_HIGH(a | b | c | d)) {
            break;
        }
    }
    for (; len - at >= STEP; at += STEP) {
        vector a, b;
        LOAD(a, bytes + at);
        LOAD(b, bytes + at + WIDTH);
        if (ANY_HIGH(a | b)) {
            break;
        }
    }
    return at;
}

ALWAYS_INLINE size_t plain_steps(const char *bytes, size_t len, char quote, uint64_t *high)
{
    vector flips, limits, escapes, seen;
    size_t at = 0;
    FILL(flips, quote ^ 0x20);
    FILL(limits, 0x21);
    FILL(escapes, '\\');
    FILL(seen, 0);
    while (len - at >= STEP) {
        vector a, b, c, d;
        LOAD(a, bytes + at);
        LOAD(b, bytes + at + WIDTH);
        if (len - at >= STRIDE) {
            LOAD(c, bytes + at + 2 * WIDTH);
            LOAD(d, bytes + at + 3 * WIDTH);
            if (!ANY_HIGH(SUSPECTS(a) | SUSPECTS(b) | SUSPECTS(c) | SUSPECTS(d))) {
                at += STRIDE;
                continue;
            }
        }
        if (ANY_HIGH(ENDS(a) | ENDS(b))) {
            break;
        }
        seen |= a | b;
        at += STEP;
    }
    *high |= ANY_HIGH(seen) ? UINT64_C(1) << 63 : 0;
    return at;
}

ALWAYS_INLINE size_t mask_steps(char *bytes, size_t len, uint64_t key, bool *ascii)
{
    typedef uint64_t words __attribute__((vector_size(WIDTH)));
    const vector wide = (vector)(words){key, key, key, key};
    vector seen;
    size_t at = 0;
    FILL(seen, 0);
    for (; len - at >= STEP; at += STEP) {
        vector a, b;
        LOAD(a, bytes + at);
        LOAD(b, bytes + at + WIDTH);
        a ^= wide;
        b ^= wide;
        seen |= a | b;
        STORE(bytes + at, a);
        STORE(bytes + at + WIDTH, b);
    }
    *ascii = !ANY_HIGH(seen);
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

AVX2 static size_t mask_avx2(char *bytes, size_t len, uint64_t key, bool *ascii)
{
    return mask_steps(bytes, len, key, ascii);
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

bool tg_bytes_mask(char *bytes, size_t len, const unsigned char key[8])
{
    uint64_t word, seen = 0;
    uint8_t tail = 0;
    size_t at = 0;
    bool ascii = true;
    memcpy(&word, key, sizeof word);
    if (len >= STEP) {
        at = CHOOSE(mask_avx2(bytes, len, word, &ascii), mask_steps(bytes, len, word, &ascii));
    }
    for (; len - at >= sizeof word; at += sizeof word) {
        uint64_t v;
        memcpy(&v, bytes + at, sizeof v);
        v ^= word;
        seen |= v;
        memcpy(bytes + at, &v, sizeof v);
    }
    for (size_t i = 0; at < len; i++, at++) {
        bytes[at] = (char)(bytes[at] ^ key[i]);
        tail |= (unsigned char)bytes[at];
    }
    return ascii && ((seen | tail) & HIGH_BITS) == 0;
}
