/* What all kinds of load have in common: the phases of a run, counting, the report.
 *
 * Closed loop: an operation begins when the one before it has ended. Open loop (--rate): operations are due
 * at fixed times, whether earlier ones have ended or not, and latency is counted from when an operation was
 * due: a server that stands still for a while is charged for every operation that had to wait meanwhile. */
#ifndef BENCH_LIB_DRIVER_H
#define BENCH_LIB_DRIVER_H

#include <stdbool.h>

#include "bench/lib/hist.h"
#include "bench/lib/loop.h"
#include "bench/lib/options.h"
#include "bench/lib/sample.h"

struct driver {
    const struct options *options;
    struct loop *loop;
    void *arg;
    bool (*start)(void *arg, uint64_t due_ns); /* open loop: begins an operation; false: everything is busy */
    /* private */
    struct watch phase_timer, due_timer;
    enum { SETTING_UP, WARMING_UP, MEASURING, ENDED } phase;
    struct hist latency, lag;
    struct sampler sampler;
    struct sample begin;
    uint64_t operations, errors, opened, first_due_ns, next_due, set_up_ns;
};

/* `start` may be NULL: closed loop only. */
void driver_init(struct driver *driver, const struct options *options, struct loop *loop,
                 bool (*start)(void *arg, uint64_t due_ns), void *arg);

/* Everything is connected: stops until it is continued (--held), warms up, measures, prints the report and
 * stops the loop. */
void driver_go(struct driver *driver);

static inline bool driver_is_open_loop(const struct driver *driver)
{
    return driver->options->rate > 0;
}

/* An operation has ended that began, or was due, at `since_ns`. Begins one that is overdue, in an open loop.
 */
void driver_done(struct driver *driver, uint64_t since_ns);

/* Operations of which many make up what the latency is of. */
static inline void driver_count(struct driver *driver)
{
    driver->operations++;
}
void driver_latency(struct driver *driver, uint64_t since_ns);

/* An operation failed. Too many end the process: what was measured would mean nothing. */
void driver_failed(struct driver *driver, const char *why);

#endif
