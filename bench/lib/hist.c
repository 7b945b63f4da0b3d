#include "bench/lib/hist.h"

#include <string.h>

enum { SUB = 1 << HIST_SUB_BITS };

void hist_clear(struct hist *hist)
{
    memset(hist, 0, sizeof *hist);
}

void hist_record(struct hist *hist, uint64_t ns)
{
    unsigned shift = 0;
    if (ns >= SUB) {
        shift = 63U - (unsigned)__builtin_clzll(ns) - HIST_SUB_BITS;
    }
    /* From SUB on, the leading bit adds SUB to the index: each shift's buckets follow those of the one
     * before. */
    uint64_t index = ((uint64_t)shift << HIST_SUB_BITS) + (ns >> shift);
    hist->counts[index < HIST_BUCKETS ? index : HIST_BUCKETS - 1]++;
    hist->total++;
    hist->max = ns > hist->max ? ns : hist->max;
}

static uint64_t upper_edge(uint64_t index)
{
    if (index < 2 * SUB) {
        return index;
    }
    unsigned shift = (unsigned)(index >> HIST_SUB_BITS) - 1;
    return ((index - ((uint64_t)shift << HIST_SUB_BITS) + 1) << shift) - 1;
}

uint64_t hist_percentile(const struct hist *hist, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)hist->total + 0.5), seen = 0;
    for (uint64_t i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->counts[i];
        if (seen >= wanted && seen > 0) {
            uint64_t edge = upper_edge(i);
            return edge < hist->max ? edge : hist->max;
        }
    }
    return hist->max;
}
