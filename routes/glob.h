/* Wildcard patterns as IAM has them: `*` any bytes, `?` one byte, no escapes. Pure. */
#ifndef TG_ROUTES_GLOB_H
#define TG_ROUTES_GLOB_H

#include "server/base/slice.h"

/* Whether the whole text matches. Never goes back over a `*`: the time is linear in the text unless a part of
 * the pattern has `?` or case is ignored, and then at most the text's times that part's length. */
bool tg_glob_match(struct tg_slice pattern, struct tg_slice text, bool ignore_case);

#endif
