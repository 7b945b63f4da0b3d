/* Access-log formats (spec 8.1): one line of text with `$context.NAME` variables. Compiled when the
 * configuration is loaded into the caller's arena, immutable; rendered once per handshake, message and
 * disconnect. Does not write the row anywhere. */
#ifndef TG_ROUTES_ACCESSLOG_H
#define TG_ROUTES_ACCESSLOG_H

#include "routes/vars.h"
#include "server/base/buf.h"

enum { TG_ACCESSLOG_FORMAT_MAX = 3072 };

struct tg_accesslog_part; /* private */

struct tg_accesslog {
    const struct tg_accesslog_part *parts;
    size_t count;
};

/* A variable ends before the first character outside `A-Za-z0-9_.`; dots at its end are text. TG_ESYNTAX with
 * *error = what is wrong and at which character (bytes from 1; for an unknown name also the nearest known
 * one), in the arena; TG_ELIMIT (longer than TG_ACCESSLOG_FORMAT_MAX) with *error, too; TG_ENOMEM. Line
 * breaks at the end of the format are dropped, others are errors. The format is borrowed by the result. */
enum tg_err tg_accesslog_compile(struct tg_arena *arena, struct tg_slice format, struct tg_accesslog *out,
                                 struct tg_slice *error) TG_MUST_CHECK;

/* Appends the row, without a line break. Values come from TG_VAR_CONTEXT by the name behind `$context.`;
 * unset ones print `-`. In values `"`, `\` and control characters are escaped as in JSON and ill-formed UTF-8
 * is replaced, whatever the format, so that a value cannot forge a row. `error.messageString` is made from
 * `error.message` and comes with quotes. TG_ENOMEM, TG_ELIMIT (of the buffer): the row may then have been
 * appended in part. */
enum tg_err tg_accesslog_render(const struct tg_accesslog *log, const struct tg_vars *vars,
                                struct tg_arena *arena, struct tg_buf *row) TG_MUST_CHECK;

#endif
