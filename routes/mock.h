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

/* What it answers to a text, whatever that is and from whomever: nothing (an empty text), the text itself, or
 * always the same. */
enum tg_mock_constant { TG_MOCK_VARIES, TG_MOCK_TEXT, TG_MOCK_ECHO };

/* *text: of TG_MOCK_TEXT, UTF-8; lives as long as the mock. */
enum tg_mock_constant tg_mock_constant(const struct tg_mock *mock, struct tg_slice *text);

#endif
