/* Writes the rows of a stage's access log: one write(2) a row, so that workers share the descriptor without a
 * lock. A row that the descriptor does not take at once is dropped and counted. */
#ifndef TG_ROUTES_ACCESSROW_H
#define TG_ROUTES_ACCESSROW_H

#include "routes/model.h"
#include "routes/vars.h"

/* Does nothing for a stage without an access log. log may be NULL. */
void tg_stage_log_row(const struct tg_stage *stage, const struct tg_vars *vars, struct tg_arena *arena,
                      struct tg_log *log);

#endif
