/* Borrowed bytes: a pointer and a length. A slice owns nothing; whoever made it says how long it lives. Not
 * NUL-terminated. An empty slice may have a NULL pointer. */
#ifndef TG_BASE_SLICE_H
#define TG_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "server/base/err.h"

struct tg_slice {
    const char *ptr;
    size_t len;
};

#define TG_LIT(s) ((struct tg_slice){"" s, sizeof(s) - 1})
/* For static const initialisers. */
#define TG_LIT_INIT(s)                                                                                       \
    {                                                                                                        \
        "" s, sizeof(s) - 1                                                                                  \
    }
#define TG_EMPTY ((struct tg_slice){NULL, 0})
/* For printf("%.*s"). */
#define TG_FMT(s) (int)(s).len, (s).len > 0 ? (s).ptr : ""

static inline struct tg_slice tg_slice_make(const void *ptr, size_t len)
{
    return (struct tg_slice){(const char *)ptr, len};
}

/* text may be NULL: the empty slice. */
static inline struct tg_slice tg_slice_cstr(const char *text)
{
    return (struct tg_slice){text, text != NULL ? strlen(text) : 0};
}

static inline bool tg_slice_eq(struct tg_slice a, struct tg_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool tg_slice_starts(struct tg_slice s, struct tg_slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool tg_slice_ends(struct tg_slice s, struct tg_slice suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

/* The part from byte `from` on; clamped to the slice. */
static inline struct tg_slice tg_slice_from(struct tg_slice s, size_t from)
{
    return from >= s.len ? (struct tg_slice){s.len > 0 ? s.ptr + s.len : s.ptr, 0}
                         : (struct tg_slice){s.ptr + from, s.len - from};
}

/* The first `len` bytes; clamped. */
static inline struct tg_slice tg_slice_head(struct tg_slice s, size_t len)
{
    return (struct tg_slice){s.ptr, len < s.len ? len : s.len};
}

/* ASCII case-insensitive comparison (header names, host names, tokens). */
bool tg_slice_eq_nocase(struct tg_slice a, struct tg_slice b);
/* memcmp order, shorter first on a tie. */
int tg_slice_cmp(struct tg_slice a, struct tg_slice b);
/* Index of the first `c`, or s.len. */
size_t tg_slice_find(struct tg_slice s, char c);
/* Index of the first occurrence of `needle`, or s.len. */
size_t tg_slice_find_slice(struct tg_slice s, struct tg_slice needle);
/* Without leading and trailing spaces and tabs. */
struct tg_slice tg_slice_trim(struct tg_slice s);
/* Cuts at the first `c`: returns the part before it, and makes *rest the part after; without `c`, the whole,
 * and *rest empty with a NULL pointer. */
struct tg_slice tg_slice_cut(struct tg_slice s, char c, struct tg_slice *rest);
/* Decimal digits only, no sign, no blanks; TG_ESYNTAX or TG_ELIMIT (overflow). */
enum tg_err tg_slice_to_u64(struct tg_slice s, uint64_t *out) TG_MUST_CHECK;
/* The number in decimal, at the end of the text given. */
enum { TG_U64_TEXT = 20 };
struct tg_slice tg_slice_of_u64(uint64_t number, char text[TG_U64_TEXT]);
/* Equal in time that depends on the lengths alone: for secrets and signatures. */
bool tg_slice_eq_secret(struct tg_slice a, struct tg_slice b);

#endif
