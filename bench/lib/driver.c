#include "bench/lib/driver.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bench/lib/tls.h"

enum { ERRORS_MAX = 1000 };

/* ---- the report ---- */

static void print_hist(const char *name, const struct hist *hist)
{
    printf(", \"%s\": {\"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"max\": %.2f}", name,
           (double)hist_percentile(hist, 0.5) / 1000.0, (double)hist_percentile(hist, 0.9) / 1000.0,
           (double)hist_percentile(hist, 0.99) / 1000.0, (double)hist_percentile(hist, 0.999) / 1000.0,
           (double)hist->max / 1000.0);
}

static void report(const struct driver *driver)
{
    const struct sample end = sample_take(&driver->sampler), *begin = &driver->begin;
    printf("{\"operations\": %llu, \"errors\": %llu, \"seconds\": %.6f, \"set_up_seconds\": %.6f",
           (unsigned long long)driver->operations, (unsigned long long)driver->errors,
           (double)(end.at_ns - begin->at_ns) / 1e9, (double)driver->set_up_ns / 1e9);
    printf(", \"server_cpu_seconds\": %.6f, \"load_cpu_seconds\": %.6f",
           (double)(end.server_cpu_ns - begin->server_cpu_ns) / 1e9,
           (double)(end.own_cpu_ns - begin->own_cpu_ns) / 1e9);
    printf(", \"beside_cpu_seconds\": %.6f", (double)(end.beside_cpu_ns - begin->beside_cpu_ns) / 1e9);
    if (driver->sampler.counts_syscalls) {
        printf(", \"syscalls\": %llu", (unsigned long long)(end.syscalls - begin->syscalls));
    }
    if (driver->options->counters != NULL) {
        printf(", \"allocations\": %llu", (unsigned long long)(end.allocations - begin->allocations));
    }
    printf(", \"process_cpu_seconds\": [");
    for (int i = 0; i < begin->processes && i < end.processes; i++) {
        printf("%s%.6f", i > 0 ? ", " : "", (double)(end.process_cpu_ns[i] - begin->process_cpu_ns[i]) / 1e9);
    }
    printf("]");
    if (driver->options->redis_port != 0) {
        redis_print(&begin->redis, &end.redis);
    }
    if (driver->loop->connects != NULL) {
        printf(", \"tls_handshakes\": %llu, \"tls_resumed\": %llu",
               (unsigned long long)driver->loop->connects->handshakes,
               (unsigned long long)driver->loop->connects->resumed);
    }
    print_hist("latency_us", &driver->latency);
    if (driver_is_open_loop(driver)) {
        print_hist("lag_us", &driver->lag);
    }
    printf("}\n");
}

/* ---- phases ---- */

static void on_phase(struct watch *watch, uint32_t events)
{
    struct driver *driver = CONTAINER(watch, struct driver, phase_timer);
    (void)events;
    if (driver->phase == WARMING_UP) {
        driver->phase = MEASURING;
        driver->operations = 0;
        hist_clear(&driver->latency);
        hist_clear(&driver->lag);
        sampler_init(&driver->sampler, driver->options); /* now that all threads are there */
        driver->begin = sample_take(&driver->sampler);
        timer_set(watch, driver->begin.at_ns + (uint64_t)(driver->options->seconds * 1e9));
    } else if (driver->phase == MEASURING) {
        report(driver);
        driver->phase = ENDED;
        driver->loop->stop = 1;
    }
}

static uint64_t due_at(const struct driver *driver, uint64_t number)
{
    return driver->first_due_ns + (uint64_t)((double)number * 1e9 / driver->options->rate);
}

/* Begins what is due, until everything is busy; the rest begins when something ends. */
static void start_due(struct driver *driver)
{
    uint64_t now = now_ns(), due;
    while ((due = due_at(driver, driver->next_due)) <= now && driver->start(driver->arg, due)) {
        hist_record(&driver->lag, now - due);
        driver->next_due++;
    }
    if (due > now) {
        timer_set(&driver->due_timer, due);
    }
}

static void on_due(struct watch *watch, uint32_t events)
{
    (void)events;
    start_due(CONTAINER(watch, struct driver, due_timer));
}

void driver_init(struct driver *driver, const struct options *options, struct loop *loop,
                 bool (*start)(void *arg, uint64_t due_ns), void *arg)
{
    *driver = (struct driver){.options = options,
                              .loop = loop,
                              .start = start,
                              .arg = arg,
                              .phase_timer.on_ready = on_phase,
                              .due_timer.on_ready = on_due,
                              .set_up_ns = now_ns()};
    timer_init(loop, &driver->phase_timer);
    timer_init(loop, &driver->due_timer);
}

void driver_go(struct driver *driver)
{
    driver->set_up_ns = now_ns() - driver->set_up_ns;
    if (driver->options->held) {
        (void)raise(SIGSTOP);
    }
    uint64_t now = now_ns();
    driver->phase = WARMING_UP;
    timer_set(&driver->phase_timer, now + (uint64_t)(driver->options->warmup * 1e9) + 1);
    if (driver_is_open_loop(driver)) {
        driver->first_due_ns = now;
        start_due(driver);
    }
}

void driver_latency(struct driver *driver, uint64_t since_ns)
{
    hist_record(&driver->latency, now_ns() - since_ns);
}

void driver_done(struct driver *driver, uint64_t since_ns)
{
    driver_latency(driver, since_ns);
    driver_count(driver);
    if (driver_is_open_loop(driver) && due_at(driver, driver->next_due) <= now_ns()) {
        start_due(driver);
    }
}

void driver_failed(struct driver *driver, const char *why)
{
    if (driver->errors == 0) {
        fprintf(stderr, "load %s: %s\n", driver->options->kind, why);
    }
    if (++driver->errors > ERRORS_MAX) {
        die("load %s: more than %d failures, such as: %s", driver->options->kind, ERRORS_MAX, why);
    }
}
