#include "bench/lib/sample.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/loop.h"

/* Calls `visit` for every thread of the processes in `list`, numbers with commas between. */
static void each_thread(const char *list, void (*visit)(void *arg, const char *process, const char *thread),
                        void *arg)
{
    char copy[1000], *rest = copy, path[64];
    const char *process;
    (void)snprintf(copy, sizeof copy, "%s", list);
    while ((process = strsep(&rest, ",")) != NULL && *process != '\0') {
        const struct dirent *entry;
        (void)snprintf(path, sizeof path, "/proc/%.20s/task", process);
        DIR *threads = opendir(path);
        if (threads == NULL) {
            die("the server, process %s, has gone", process);
        }
        while ((entry = readdir(threads)) != NULL) {
            if (entry->d_name[0] != '.') {
                visit(arg, process, entry->d_name);
            }
        }
        (void)closedir(threads);
    }
}

static void add_cpu(void *arg, const char *process, const char *thread)
{
    char path[300];
    unsigned long long ran = 0;
    (void)snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", process, thread);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%llu", &ran) == 1) {
            *(uint64_t *)arg += ran;
        }
        (void)fclose(file);
    }
}

static void cpu_of_servers(const char *list, struct sample *sample)
{
    char one[32];
    for (const char *at = list; *at != '\0' && sample->processes < SAMPLE_PROCESSES_MAX;) {
        size_t len = strcspn(at, ",");
        uint64_t *ran = &sample->process_cpu_ns[sample->processes++];
        (void)snprintf(one, sizeof one, "%.*s", (int)len, at);
        each_thread(one, add_cpu, ran);
        sample->server_cpu_ns += *ran;
        at += len + (at[len] == ',' ? 1 : 0);
    }
}

static uint64_t own_cpu(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

/* The first number of the file that bench/alloccount.c counts in. */
static uint64_t allocations(const char *file)
{
    uint64_t count = 0;
    int fd = file == NULL ? -1 : open(file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, &count, sizeof count) != (ssize_t)sizeof count) {
            count = 0;
        }
        (void)close(fd);
    }
    return count;
}

/* ---- system calls, by the kernel's tracepoint for their entry ---- */

static long tracepoint(void)
{
    long id = -1;
    FILE *file = fopen("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "r");
    if (file == NULL) {
        file = fopen("/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id", "r");
    }
    if (file != NULL) {
        if (fscanf(file, "%ld", &id) != 1) {
            id = -1;
        }
        (void)fclose(file);
    }
    return id;
}

static void trace_thread(void *arg, const char *process, const char *thread)
{
    struct sampler *sampler = arg;
    struct perf_event_attr event = {
        .type = PERF_TYPE_TRACEPOINT, .size = sizeof event, .config = (uint64_t)tracepoint()};
    (void)process;
    if (sampler->event_count == SAMPLE_THREADS_MAX) {
        die("more than %d threads", SAMPLE_THREADS_MAX);
    }
    long fd =
        syscall(SYS_perf_event_open, &event, (pid_t)strtol(thread, NULL, 10), -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        sampler->counts_syscalls = false;
        return;
    }
    sampler->events[sampler->event_count++] = (int)fd;
}

void sampler_init(struct sampler *sampler, const struct options *options)
{
    *sampler =
        (struct sampler){.options = options, .counts_syscalls = options->syscalls && tracepoint() >= 0};
    if (sampler->counts_syscalls) {
        each_thread(options->servers, trace_thread, sampler);
    }
}

static uint64_t syscalls(const struct sampler *sampler)
{
    uint64_t sum = 0, count;
    for (int i = 0; i < sampler->event_count; i++) {
        if (read(sampler->events[i], &count, sizeof count) == (ssize_t)sizeof count) {
            sum += count;
        }
    }
    return sum;
}

struct sample sample_take(const struct sampler *sampler)
{
    const struct options *options = sampler->options;
    struct sample sample = {.at_ns = now_ns(),
                            .own_cpu_ns = own_cpu(),
                            .allocations = allocations(options->counters),
                            .syscalls = syscalls(sampler)};
    cpu_of_servers(options->servers, &sample);
    each_thread(options->beside, add_cpu, &sample.beside_cpu_ns);
    if (options->redis_port != 0) {
        redis_count(options->redis_port, &sample.redis);
    }
    return sample;
}
