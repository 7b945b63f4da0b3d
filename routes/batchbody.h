/* The body of a batch call of the management API, beyond the native service (spec 5.2):
 *
 *   {"connectionIds": ["...", ...], "data": "...", "isBase64Encoded": false}
 *
 * the last of which may be left out. Pure functions over borrowed bytes, linear in their length; whose
 * connections these are is not looked at. */
#ifndef TG_ROUTES_BATCHBODY_H
#define TG_ROUTES_BATCHBODY_H

#include "server/base/arena.h"

struct tg_batch_limits {
    size_t connections; /* that one call may name, at least 1 */
    size_t payload;     /* bytes, decoded */
};

struct tg_batch_body {
    const struct tg_slice *ids; /* as given, whatever they say; valid UTF-8 */
    size_t count;               /* at least 1 */
    struct tg_slice payload;    /* decoded; valid UTF-8 unless is_base64 */
    bool is_base64;             /* the payload came so */
};

/* The longest body, bytes, that a call within the limits can have: the payload with each of its characters
 * written as \u00XX, and the ids as they are or with each `=` written so. */
size_t tg_batch_body_max(const struct tg_batch_limits *limits);
/* Results are slices of the text, or lie in the arena. Of members with the same name the last counts.
 * TG_ESYNTAX: *why tells the caller which member is wrong, where, and what to do. TG_ELIMIT: the payload is
 * too long. TG_ENOMEM. */
enum tg_err tg_batch_body_read(struct tg_arena *arena, struct tg_slice text,
                               const struct tg_batch_limits *limits, struct tg_batch_body *out,
                               struct tg_slice *why) TG_MUST_CHECK;

#endif
