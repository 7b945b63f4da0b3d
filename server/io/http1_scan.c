/* Which characters may stand where in a head, and where a run of them ends. */
#include "server/io/http1_private.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    T = TG_HTTP1_TOKEN,
    V = TG_HTTP1_VALUE,
    G = TG_HTTP1_TARGET,
    H = TG_HTTP1_HOST,
    X = TG_HTTP1_HEX,
    ALL = T | V | G | H
};

const unsigned char tg_http1_classes[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = ALL,
    ['"'] = V | G,
    ['#'] = T | V,
    ['$' ... '\''] = ALL,
    ['(' ... ')'] = V | G | H,
    ['*' ... '+'] = ALL,
    [','] = V | G | H,
    ['-' ... '.'] = ALL,
    ['/'] = V | G,
    ['0' ... '9'] = ALL | X,
    [':'] = V | G,
    [';'] = V | G | H,
    ['<'] = V | G,
    ['='] = V | G | H,
    ['>' ... '@'] = V | G,
    ['A' ... 'F'] = ALL | X,
    ['G' ... 'Z'] = ALL,
    ['[' ... ']'] = V | G,
    ['^'] = T | V | G,
    ['_'] = ALL,
    ['`'] = T | V | G,
    ['a' ... 'f'] = ALL | X,
    ['g' ... 'z'] = ALL,
    ['{'] = V | G,
    ['|'] = T | V | G,
    ['}'] = V | G,
    ['~'] = ALL,
    [0x80 ... 0xff] = V,
};

static const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;

/* Each has the top bit of a byte set that is below n (at most 0x80), or equals c. The lowest such bit is
 * right; above it others may be set as well. */
static inline uint64_t below(uint64_t word, unsigned char n)
{
    return (word - ones * n) & ~word & tops;
}

static inline uint64_t equal(uint64_t word, unsigned char c)
{
    return below(word ^ (ones * c), 1);
}

/* Neither a letter nor a hyphen. */
static inline uint64_t not_of_name(uint64_t word)
{
    uint64_t low = (word | ones * 0x20) & ~tops, hyphen = (word ^ ones * '-') & ~tops;
    uint64_t letters = (low + ones * (0x80 - 'a')) & ~(low + ones * (0x80 - 'z' - 1));
    uint64_t hyphens = ~(hyphen + (tops - ones));
    return (~(letters | hyphens) | word) & tops;
}

static inline uint64_t not_of_value(uint64_t word)
{
    return below(word, ' ') | equal(word, 0x7f);
}

static inline uint64_t not_of_target(uint64_t word)
{
    return below(word, ' ' + 1) | equal(word, 0x7f) | equal(word, '#') | (word & tops);
}

/* How many bytes before the first of those marked can be passed. */
static inline size_t before(uint64_t marks)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)__builtin_ctzll(marks) / 8;
#else
    (void)marks;
    return 0;
#endif
}

static inline const char *skip(const char *at, const char *end, uint64_t (*marks_of)(uint64_t word),
                               unsigned char class)
{
    enum { EIGHT = sizeof(uint64_t) };
    while (end - at >= EIGHT) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        uint64_t marks = marks_of(word);
        if (marks != 0) {
            at += before(marks);
            break;
        }
        at += EIGHT;
    }
    while (at < end && tg_http1_is(*at, class)) {
        at++;
    }
    return at;
}

/* ---- sixteen at a time, where the processor can: values and targets are long ---- */

#ifdef __SSE2__

static inline __m128i all(char c)
{
    return _mm_set1_epi8(c);
}

/* Below ' ' but HTAB, or DEL. */
static inline __m128i wide_not_of_value(__m128i bytes)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, all(' ' - 1)), bytes);
    return _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, all('\t')), low),
                        _mm_cmpeq_epi8(bytes, all(0x7f)));
}

/* Up to ' ' or, as they are negative, from 0x80 on; DEL, '#'. */
static inline __m128i wide_not_of_target(__m128i bytes)
{
    return _mm_or_si128(_mm_cmplt_epi8(bytes, all(' ' + 1)),
                        _mm_or_si128(_mm_cmpeq_epi8(bytes, all(0x7f)), _mm_cmpeq_epi8(bytes, all('#'))));
}

/* *at is left at the end of the run, or less than sixteen before `end`. Whether it is the former. */
static inline bool skip_wide(const char **at, const char *end, __m128i (*marks_of)(__m128i bytes))
{
    enum { SIXTEEN = sizeof(__m128i) };
    for (; end - *at >= SIXTEEN; *at += SIXTEEN) {
        __m128i bytes;
        memcpy(&bytes, *at, sizeof bytes);
        unsigned marks = (unsigned)_mm_movemask_epi8(marks_of(bytes));
        if (marks != 0) {
            *at += __builtin_ctz(marks);
            return true;
        }
    }
    return false;
}

static inline bool skip_wide_value(const char **at, const char *end)
{
    return skip_wide(at, end, wide_not_of_value);
}

static inline bool skip_wide_target(const char **at, const char *end)
{
    return skip_wide(at, end, wide_not_of_target);
}

#else

static inline bool skip_wide_value(const char **at, const char *end)
{
    (void)at;
    (void)end;
    return false;
}

static inline bool skip_wide_target(const char **at, const char *end)
{
    return skip_wide_value(at, end);
}

#endif

const char *tg_http1_skip_name(const char *at, const char *end)
{
    return skip(at, end, not_of_name, TG_HTTP1_TOKEN);
}

const char *tg_http1_skip_value(const char *at, const char *end)
{
    return skip_wide_value(&at, end) ? at : skip(at, end, not_of_value, TG_HTTP1_VALUE);
}

const char *tg_http1_skip_target(const char *at, const char *end)
{
    return skip_wide_target(&at, end) ? at : skip(at, end, not_of_target, TG_HTTP1_TARGET);
}
