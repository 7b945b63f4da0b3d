#include "routes/jsonplain.h"

#if defined(__SSE2__)

enum { STEP = 16, WINDOW = 4 * STEP };

typedef signed char bytes __attribute__((vector_size(STEP)));
typedef char flags __attribute__((vector_size(STEP)));
typedef uint64_t halves __attribute__((vector_size(STEP)));

/* What is known of up to WINDOW bytes from `base` on: a bit for each quote. */
struct window {
    const char *base, *end; /* the end of the text */
    uint64_t quotes;
};

static inline bytes all(char c)
{
    bytes copies;
    memset(&copies, c, sizeof copies);
    return copies;
}

static inline uint64_t bits(bytes marks)
{
    return (unsigned)__builtin_ia32_pmovmskb128((flags)marks);
}

static inline uint64_t quotes_in(bytes text)
{
    return bits(text == all('"'));
}

/* Bytes that make a document less than plain: as signed numbers, those of 0x80 and above are below a blank.
 */
static inline uint64_t odd_in(bytes text)
{
    return bits((text < all(' ')) | (text == all('\\')));
}

/* Fewer than eight bytes. */
static inline uint64_t load_few(const char *at, size_t count)
{
    uint64_t word = 0;
    unsigned shift = 0;
    if (count >= 4) {
        uint32_t half;
        memcpy(&half, at, sizeof half);
        word = half;
        at += 4;
        count -= 4;
        shift = 32;
    }
    for (; count > 0; count--, shift += 8) {
        word |= (uint64_t)(unsigned char)*at++ << shift;
    }
    return word;
}

/* Fewer than STEP bytes. Where a text is looked at from its start, each load lies within one store with which
 * the frame's mask was taken off: others would have to wait until the stores are done. */
static inline bytes load_rest(const char *at, size_t count)
{
    uint64_t first;
    if (count < sizeof first) {
        return (bytes)(halves){load_few(at, count), 0};
    }
    memcpy(&first, at, sizeof first);
    return (bytes)(halves){first, load_few(at + sizeof first, count - sizeof first)};
}

/* The quotes in the bytes from there on; 0: none, or something in them is not plain. */
static uint64_t look(const char *from, const char *end)
{
    size_t left = (size_t)(end - from), at = 0;
    uint64_t quotes = 0, odd = 0;
    for (; at < WINDOW && left - at >= STEP; at += STEP) {
        bytes text;
        memcpy(&text, from + at, sizeof text);
        quotes |= quotes_in(text) << at;
        odd |= odd_in(text);
    }
    if (at < WINDOW && at < left) {
        bytes text = load_rest(from + at, left - at);
        quotes |= quotes_in(text) << at;
        odd |= odd_in(text) & ((UINT64_C(1) << (left - at)) - 1);
    }
    return odd == 0 ? quotes : 0;
}

/* The closing quote of a string whose first character is at `at`. NULL: none is near, or the string is not
 * plain. */
static inline const char *find_quote(struct window *window, const char *at)
{
    size_t offset = (size_t)(at - window->base);
    uint64_t quotes = offset < WINDOW ? window->quotes >> offset : 0;
    if (quotes == 0) {
        window->base = at;
        window->quotes = quotes = look(at, window->end);
    }
    return quotes != 0 ? at + __builtin_ctzll(quotes) : NULL;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Behind an integer; `at` where there is none. */
static inline const char *take_integer(const char *at)
{
    const char *digits = at + (*at == '-'), *end = digits;
    if (*digits == '0') {
        return digits + 1;
    }
    while (is_digit(*end)) {
        end++;
    }
    return end > digits ? end : at;
}

/* Names are short: no call is worth it. */
static inline bool same(const char *a, const char *b, size_t len)
{
    uint64_t left, right;
    uint32_t left_half, right_half;
    if (len > 2 * sizeof left) {
        return memcmp(a, b, len) == 0;
    }
    if (len >= sizeof left) {
        uint64_t left_end, right_end;
        memcpy(&left, a, sizeof left);
        memcpy(&right, b, sizeof right);
        memcpy(&left_end, a + len - sizeof left_end, sizeof left_end);
        memcpy(&right_end, b + len - sizeof right_end, sizeof right_end);
        return left == right && left_end == right_end;
    }
    if (len >= sizeof left_half) {
        uint32_t left_end, right_end;
        memcpy(&left_half, a, sizeof left_half);
        memcpy(&right_half, b, sizeof right_half);
        memcpy(&left_end, a + len - sizeof left_end, sizeof left_end);
        memcpy(&right_end, b + len - sizeof right_end, sizeof right_end);
        return left_half == right_half && left_end == right_end;
    }
    return load_few(a, len) == load_few(b, len);
}

/* Behind the colon of a member, and one blank; NULL: it is not plain. */
static inline const char *take_name(struct window *window, const char *at, struct tg_slice *name)
{
    const char *end = *at == '"' ? find_quote(window, at + 1) : NULL;
    if (end == NULL || end[1] != ':') {
        return NULL;
    }
    *name = tg_slice_make(at + 1, (size_t)(end - at - 1));
    return end + 2 + (end[2] == ' ');
}

static inline const char *take_value(struct window *window, const char *at, enum tg_json_type *type)
{
    if (*at == '"') {
        const char *end = find_quote(window, at + 1);
        *type = TG_JSON_STRING;
        return end != NULL ? end + 1 : NULL;
    }
    const char *end = take_integer(at);
    *type = TG_JSON_INTEGER;
    return end > at ? end : NULL;
}

/* The text ends with a brace, at which all that looks at single bytes stops: nothing is read beyond. */
bool tg_jsonplain_find(struct tg_slice text, struct tg_slice wanted, struct tg_jsonscan_value *out)
{
    if (text.len < 2 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}') {
        return false;
    }
    const char *end = text.ptr + text.len;
    struct window window = {.base = text.ptr, .end = end, .quotes = look(text.ptr, end)};
    struct tg_slice raw = TG_EMPTY;
    enum tg_json_type raw_type = TG_JSON_NULL;
    const char *at = text.ptr + 1;
    for (;;) {
        struct tg_slice name;
        enum tg_json_type type;
        const char *start = take_name(&window, at, &name);
        at = start != NULL ? take_value(&window, start, &type) : NULL;
        if (at == NULL) {
            return false;
        }
        if (name.len == wanted.len && same(name.ptr, wanted.ptr, name.len)) {
            raw = tg_slice_make(start, (size_t)(at - start));
            raw_type = type;
        }
        if (*at == '}' && at + 1 == end) {
            *out = (struct tg_jsonscan_value){.found = raw.len > 0, .type = raw_type, .raw = raw};
            return true;
        }
        if (*at != ',') {
            return false;
        }
        at += 1 + (at[1] == ' ');
    }
}

#else

bool tg_jsonplain_find(struct tg_slice text, struct tg_slice wanted, struct tg_jsonscan_value *out)
{
    (void)text;
    (void)wanted;
    (void)out;
    return false;
}

#endif
