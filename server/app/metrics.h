/* The text of /metrics: sums over the workers, the pipeline's series among them. Prometheus text format
 * 0.0.4. */
#ifndef TG_APP_METRICS_H
#define TG_APP_METRICS_H

#include "server/app/app_private.h"

/* TG_ENOMEM: some targets' figures are left out. */
enum tg_err tg_app_add_stats(struct tg_worker_stats *totals,
                             const struct tg_worker_stats *stats) TG_MUST_CHECK;
/* answered: workers whose stats are in the totals. */
enum tg_err tg_app_metrics(struct tg_app *app, struct tg_worker_stats *totals, size_t answered,
                           struct tg_buf *out) TG_MUST_CHECK;

#endif
