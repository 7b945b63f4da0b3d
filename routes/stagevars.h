/* `${stageVariables.NAME}` in configuration strings such as integrationUri (spec 4.2). Compiled into the
 * caller's arena, immutable. Other `${` text is an error, a lone `$` is itself. */
#ifndef TG_ROUTES_STAGEVARS_H
#define TG_ROUTES_STAGEVARS_H

#include "server/base/arena.h"
#include "server/base/strings.h"

struct tg_stagevars_part {
    bool is_variable;
    struct tg_slice text; /* the name, or the literal */
};

struct tg_stagevars {
    const struct tg_stagevars_part *parts;
    size_t count;
};

/* TG_ESYNTAX with *error = what is wrong and at which character (bytes from 1), in the arena; TG_ENOMEM. The
 * text is borrowed by the result. */
enum tg_err tg_stagevars_compile(struct tg_arena *arena, struct tg_slice text, struct tg_stagevars *out,
                                 struct tg_slice *error) TG_MUST_CHECK;

/* `variables` may be NULL: none. Text without variables is returned as it is, with no memory. TG_ENOTFOUND
 * with *missing = the name of the first unknown variable; TG_ENOMEM. */
enum tg_err tg_stagevars_evaluate(const struct tg_stagevars *text, const struct tg_string_map *variables,
                                  struct tg_arena *arena, struct tg_slice *out,
                                  struct tg_slice *missing) TG_MUST_CHECK;

/* Letters, digits, underscore; 1-64 of them. */
bool tg_stagevars_name_ok(struct tg_slice name);
/* `[A-Za-z0-9-._~:/?#&=,]+`, at most 512 characters. */
bool tg_stagevars_value_ok(struct tg_slice value);

#endif
