/* How often a Redis server has run each of its commands. */
#ifndef BENCH_LIB_REDIS_H
#define BENCH_LIB_REDIS_H

#include <stddef.h>
#include <stdint.h>

enum { REDIS_COMMANDS_MAX = 64 };

struct redis_counts {
    struct {
        char name[24];
        uint64_t calls;
    } commands[REDIS_COMMANDS_MAX];
    size_t count;
};

/* Asks the server on `port` of the loopback interface, and waits for its answer. INFO itself is left out. */
void redis_count(size_t port, struct redis_counts *counts);

/* Prints what came between, as a member "redis" of a JSON object. */
void redis_print(const struct redis_counts *begin, const struct redis_counts *end);

#endif
