#include "server/base/slice.h"

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Whether eight bytes are the same but for the case of letters. */
static bool eight_alike(uint64_t a, uint64_t b)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones * 0x80;
    uint64_t differ = a ^ b;
    if ((differ & ~(ones * 0x20)) != 0) {
        return false;
    }
    uint64_t low = (a | ones * 0x20) & ~tops;
    uint64_t letters = (low + ones * (0x80 - 'a')) & ~(low + ones * (0x80 - 'z' - 1)) & ~a & tops;
    return (differ << 2 & ~letters) == 0;
}

static uint64_t load8(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Four bytes from the front and four from the end of four to eight. */
static uint64_t load4to8(const char *at, size_t len)
{
    uint32_t front, back;
    memcpy(&front, at, sizeof front);
    memcpy(&back, at + len - sizeof back, sizeof back);
    return (uint64_t)front << 32 | back;
}

bool tg_slice_eq_nocase(struct tg_slice a, struct tg_slice b)
{
    enum { FOUR = 4, EIGHT = 8 };
    if (a.len != b.len) {
        return false;
    }
    if (a.len >= EIGHT) {
        size_t last = a.len - EIGHT;
        for (size_t i = 0; i < last; i += EIGHT) {
            if (!eight_alike(load8(a.ptr + i), load8(b.ptr + i))) {
                return false;
            }
        }
        return eight_alike(load8(a.ptr + last), load8(b.ptr + last));
    }
    if (a.len >= FOUR) {
        return eight_alike(load4to8(a.ptr, a.len), load4to8(b.ptr, a.len));
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

int tg_slice_cmp(struct tg_slice a, struct tg_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

size_t tg_slice_find(struct tg_slice s, char c)
{
    const char *hit = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
    return hit != NULL ? (size_t)(hit - s.ptr) : s.len;
}

size_t tg_slice_find_slice(struct tg_slice s, struct tg_slice needle)
{
    if (needle.len == 0) {
        return 0;
    }
    const char *hit = s.len > 0 ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return hit != NULL ? (size_t)(hit - s.ptr) : s.len;
}

struct tg_slice tg_slice_trim(struct tg_slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) {
        s.len--;
    }
    return s;
}

struct tg_slice tg_slice_cut(struct tg_slice s, char c, struct tg_slice *rest)
{
    size_t at = tg_slice_find(s, c);
    *rest = at < s.len ? tg_slice_make(s.ptr + at + 1, s.len - at - 1) : TG_EMPTY;
    return tg_slice_make(s.ptr, at);
}

enum tg_err tg_slice_to_u64(struct tg_slice s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0) {
        return TG_ESYNTAX;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return TG_ESYNTAX;
        }
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return TG_ELIMIT;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return TG_OK;
}

bool tg_slice_eq_secret(struct tg_slice a, struct tg_slice b)
{
    unsigned char difference = (unsigned char)(a.len != b.len);
    size_t len = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < len; i++) {
        difference = (unsigned char)(difference | (unsigned char)(a.ptr[i] ^ b.ptr[i]));
    }
    return difference == 0;
}

struct tg_slice tg_slice_of_u64(uint64_t number, char text[TG_U64_TEXT])
{
    size_t at = TG_U64_TEXT;
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return tg_slice_make(text + at, TG_U64_TEXT - at);
}
