/* Finds one value in JSON text without building a tree: the hot path of message routing. One pass validates
 * the whole text (RFC 8259) and remembers where the value lies. Owns nothing: results are slices of the text,
 * so they live as long as it does; only unescaping and compacting take memory, from the caller's arena. It
 * does not convert numbers and does not look at documents twice: for trees see server/base/json.h. */
#ifndef TG_ROUTES_JSONSCAN_H
#define TG_ROUTES_JSONSCAN_H

#include "server/base/arena.h"
#include "server/base/json.h"

enum { TG_JSONSCAN_DEPTH_MAX = 128 }; /* containers inside one another */

enum tg_jsonscan_mode {
    TG_JSONSCAN_STRICT,
    /* When the strict pass fails, a second one takes member names without quotes (letters, digits, `_`, `$`,
     * `-`, not a digit or `-` first) and strings in single quotes (spec 1.12). */
    TG_JSONSCAN_LENIENT,
    /* The text is the beginning of a longer one: a value that ends within it is found, whatever follows it.
     */
    TG_JSONSCAN_CUT
};

/* One step of a path: a member by name, or an item by index when the name's pointer is NULL. */
struct tg_jsonscan_step {
    struct tg_slice name;
    size_t index;
};

/* A compiled path; no steps means the document itself. Borrows from the arena it was compiled into. */
struct tg_jsonscan_path {
    const struct tg_jsonscan_step *steps;
    size_t count;
};

/* A value found. `raw` is its text, quotes included. The type of a number is TG_JSON_INTEGER unless it has a
 * fraction or an exponent. */
struct tg_jsonscan_value {
    bool found;
    bool escaped; /* a string that has escapes */
    enum tg_json_type type;
    struct tg_slice raw;
};

enum tg_jsonscan_form {
    TG_JSONSCAN_COMPACT,  /* arrays and objects as written, without blanks between tokens */
    TG_JSONSCAN_SELECTION /* arrays as `[item1, item2]` with the items in this form, objects compact
                             (spec 1.12) */
};

/* Compiles `a.b[0]['c d']["e"]`: names without quotes end at `.` or `[`; `$` before all is the document; one
 * `.` before the first name is ignored; the empty text is the document. The text is borrowed by the path
 * unless a quoted name has escapes (`\` before any character stands for that character). TG_ESYNTAX with *at
 * = offset of the offending byte and *why = static text; TG_ELIMIT (more steps than TG_JSONSCAN_DEPTH_MAX),
 * TG_ENOMEM. */
enum tg_err tg_jsonscan_compile(struct tg_arena *arena, struct tg_slice text, struct tg_jsonscan_path *out,
                                size_t *at, const char **why) TG_MUST_CHECK;

/* Of members with the same name the last counts, at every level. TG_ESYNTAX when the text is not JSON,
 * TG_ELIMIT when it nests deeper than TG_JSONSCAN_DEPTH_MAX. A missing path is TG_OK with out->found ==
 * false. */
enum tg_err tg_jsonscan_find(struct tg_slice text, const struct tg_jsonscan_path *path,
                             enum tg_jsonscan_mode mode, struct tg_jsonscan_value *out) TG_MUST_CHECK;

/* The value as text: a string unescaped (lone surrogates become U+FFFD), a number as written, true, false,
 * null; arrays and objects by `form`. A value that was not found is the empty text. Allocates nothing for
 * scalars without escapes. TG_ENOMEM. */
enum tg_err tg_jsonscan_text(const struct tg_jsonscan_value *value, enum tg_jsonscan_form form,
                             struct tg_arena *arena, struct tg_slice *out) TG_MUST_CHECK;

#endif
