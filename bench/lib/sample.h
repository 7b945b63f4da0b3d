/* What the servers and this process have used so far; the difference of two samples is what the time between
 * them took. */
#ifndef BENCH_LIB_SAMPLE_H
#define BENCH_LIB_SAMPLE_H

#include <stdint.h>

#include "bench/lib/options.h"
#include "bench/lib/redis.h"

enum { SAMPLE_THREADS_MAX = 256, SAMPLE_PROCESSES_MAX = 16 };

struct sampler {
    const struct options *options;
    bool counts_syscalls;           /* false where the kernel does not let us */
    int events[SAMPLE_THREADS_MAX]; /* perf events, one a thread of the servers */
    int event_count;
};

struct sample {
    uint64_t at_ns, server_cpu_ns, own_cpu_ns, beside_cpu_ns, allocations, syscalls;
    uint64_t process_cpu_ns[SAMPLE_PROCESSES_MAX]; /* as --servers lists them */
    int processes;
    struct redis_counts redis;
};

void sampler_init(struct sampler *sampler, const struct options *options);
struct sample sample_take(const struct sampler *sampler);

#endif
