/* A histogram of times in nanoseconds: 64 buckets for each power of two, so that a percentile is at most 1.6
 * % too high. */
#ifndef BENCH_LIB_HIST_H
#define BENCH_LIB_HIST_H

#include <stdint.h>

enum { HIST_SUB_BITS = 6, HIST_BUCKETS = 37 << HIST_SUB_BITS }; /* up to 2^42 ns, more than an hour */

struct hist {
    uint64_t counts[HIST_BUCKETS], total, max;
};

void hist_clear(struct hist *hist);
void hist_record(struct hist *hist, uint64_t ns);

/* The upper edge of the bucket under which `share` (0 to 1) of what was recorded lies; 0 when nothing was. */
uint64_t hist_percentile(const struct hist *hist, double share);

#endif
