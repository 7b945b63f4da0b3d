/* What the compilers of expressions share: error texts that say where, joining, cleaning. */
#ifndef TG_ROUTES_EXPR_H
#define TG_ROUTES_EXPR_H

#include "server/base/arena.h"

/* Makes *error "TEXT at character AT+1" in the arena and returns TG_ESYNTAX, or TG_ENOMEM. Long texts are
 * cut. */
enum tg_err tg_expr_fail(struct tg_arena *arena, struct tg_slice *error, size_t at, const char *format, ...)
    TG_PRINTF(4, 5) TG_MUST_CHECK;

/* The parts one behind the other: the part itself when there is one, no memory when there is none. TG_ENOMEM.
 */
enum tg_err tg_expr_join(struct tg_arena *arena, const struct tg_slice *parts, size_t count,
                         struct tg_slice *out) TG_MUST_CHECK;

/* `a,b` */
enum tg_err tg_expr_join_commas(struct tg_arena *arena, const struct tg_slice *values, size_t count,
                                struct tg_slice *out) TG_MUST_CHECK;

/* The value without characters that could end a header or that no header may hold; the value itself when it
 * has none. */
enum tg_err tg_expr_strip_controls(struct tg_arena *arena, struct tg_slice value,
                                   struct tg_slice *out) TG_MUST_CHECK;

/* Where the `}` is that closes a `${` whose name begins at `from`; text.len: nowhere. A `}` in a quoted name
 * of a path, `['a}']`, is part of it. */
size_t tg_expr_find_brace(struct tg_slice text, size_t from);

/* [A-Za-z0-9] */
static inline bool tg_expr_is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* One or more letters, digits and characters of `others`. */
bool tg_expr_is_name(struct tg_slice text, const char *others);

/* When the text starts with the prefix, drops it from *text. */
bool tg_expr_skip(struct tg_slice *text, struct tg_slice prefix);

#endif
