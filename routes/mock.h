/* MOCK integrations (spec 2.5): a request template that yields {"statusCode": n}, and integration responses
 * chosen by that status. Templates are text with `$input.body`, `$context.NAME` and `$stageVariables.NAME`;
 * the full template language is not there yet, and templates that need it are refused when the configuration
 * is loaded. */
#ifndef TG_ROUTES_MOCK_H
#define TG_ROUTES_MOCK_H

#include "routes/model.h"

/* TG_EINVAL: *error says what, in the arena. What needs freeing hangs on the arena. */
enum tg_err tg_mock_compile(struct tg_arena *arena, const struct tg_integration *integration,
                            const struct tg_mock **out, struct tg_slice *error) TG_MUST_CHECK;

#endif
