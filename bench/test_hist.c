/* The histogram's percentiles against those of sorted values: never below, at most 1.6 % above. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/lib/hist.h"

enum { COUNT = 100000 };

static uint64_t values[COUNT];

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

int main(void)
{
    static struct hist hist;
    static const double shares[] = {0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0};
    uint64_t state = 88172645463325252U;
    for (int i = 0; i < COUNT; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        values[i] = state >> (24 + state % 40); /* from 0 to 2^40 */
        hist_record(&hist, values[i]);
    }
    qsort(values, COUNT, sizeof values[0], by_size);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        uint64_t exact = values[(size_t)(shares[i] * COUNT + 0.5) - 1],
                 found = hist_percentile(&hist, shares[i]);
        if (found < exact || (double)found > (double)exact * 1.016 + 1) {
            fprintf(stderr, "%g: %llu instead of %llu\n", shares[i], (unsigned long long)found,
                    (unsigned long long)exact);
            return 1;
        }
    }
    hist_clear(&hist);
    return hist_percentile(&hist, 0.5) == 0 && hist.total == 0 ? 0 : 1;
}
