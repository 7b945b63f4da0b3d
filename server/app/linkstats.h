/* Figures of the targets of private integrations: taken by each worker of its own groups, sent to the main
 * thread, added up there for /metrics and /targets. Text and rows lie in an arena of their own, so that they
 * may go from thread to thread. */
#ifndef TG_APP_LINKSTATS_H
#define TG_APP_LINKSTATS_H

#include "routes/links.h"
#include "server/base/buf.h"

struct tg_linkstats {
    struct tg_arena arena;
    struct tg_linkstats_row *rows;
    size_t count, room;
};

void tg_linkstats_init(struct tg_linkstats *stats);
void tg_linkstats_free(struct tg_linkstats *stats);
/* Adds a target's figures, as this worker has them. TG_ENOMEM: it is left out. */
enum tg_err tg_linkstats_add(struct tg_linkstats *stats, uint32_t worker, struct tg_slice link,
                             const struct tg_upstream_target_stats *target) TG_MUST_CHECK;
/* Adds those of all targets; on the worker's own thread. On TG_ENOMEM some are left out. */
enum tg_err tg_linkstats_collect(struct tg_linkstats *stats, uint32_t worker,
                                 const struct tg_links *links) TG_MUST_CHECK;
/* Adds what another has, copied. On TG_ENOMEM some are left out. */
enum tg_err tg_linkstats_merge(struct tg_linkstats *stats, const struct tg_linkstats *other) TG_MUST_CHECK;
/* Prometheus text, one sample for each link and target: the sum of what was added. Sorts the rows. */
enum tg_err tg_linkstats_render(struct tg_linkstats *stats, struct tg_buf *out) TG_MUST_CHECK;
/* JSON for /targets: sums, and what each worker takes the target for, since when and why. Sorts the rows. */
enum tg_err tg_linkstats_json(struct tg_linkstats *stats, struct tg_buf *out) TG_MUST_CHECK;

#endif
