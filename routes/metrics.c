#include "routes/metrics.h"

#include <pthread.h>
#include <stdlib.h>

#include "server/base/map.h"

const double tg_latency_bounds[TG_LATENCY_BUCKETS - 1] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};

enum { MAX_SERIES = 10000 }; /* labels come from the configuration, but reloads may add up */

/* ---- kinds of series ---- */

enum { CELL = sizeof(_Atomic(uint64_t)) };

struct row {
    const char *name, *help;
    size_t cell; /* first one */
};

struct kind {
    size_t cells;
    const struct row *counters, *histograms;
    size_t counter_count, histogram_count;
};

static const struct row route_counters[] = {
#define X(member, name, help) {name "_total", help, offsetof(struct tg_route_metrics, member) / CELL},
    TG_ROUTE_COUNTERS(X)
#undef X
};
static const struct row route_histograms[] = {
    {"tidegate_integration_latency_seconds", "Duration of integration calls",
     offsetof(struct tg_route_metrics, latency) / CELL},
};
static const struct row http_counters[] = {
#define X(member, name, help) {name "_total", help, offsetof(struct tg_http_metrics, member) / CELL},
    TG_HTTP_COUNTERS(X)
#undef X
};
static const struct row http_histograms[] = {
    {"tidegate_http_api_latency_seconds", "From a request's head to the end of its answer",
     offsetof(struct tg_http_metrics, latency) / CELL},
    {"tidegate_http_api_integration_latency_seconds",
     "Duration of integration calls, to the head of the answer",
     offsetof(struct tg_http_metrics, integration_latency) / CELL},
};

enum { KIND_ROUTE, KIND_HTTP, KIND_COUNT };

static const struct kind kinds[KIND_COUNT] = {
    [KIND_ROUTE] = {.cells = sizeof(struct tg_route_metrics) / CELL,
                    .counters = route_counters,
                    .counter_count = sizeof route_counters / sizeof route_counters[0],
                    .histograms = route_histograms,
                    .histogram_count = sizeof route_histograms / sizeof route_histograms[0]},
    [KIND_HTTP] = {.cells = sizeof(struct tg_http_metrics) / CELL,
                   .counters = http_counters,
                   .counter_count = sizeof http_counters / sizeof http_counters[0],
                   .histograms = http_histograms,
                   .histogram_count = sizeof http_histograms / sizeof http_histograms[0]},
};

/* ---- series ---- */

struct series {
    _Atomic(uint64_t) *cells; /* behind the struct: a struct tg_route_metrics or tg_http_metrics */
    struct series *next;
    size_t kind;
    struct tg_slice key; /* api NUL stage NUL route */
    struct tg_slice api_id, stage, route;
    _Atomic(uint64_t) memory[];
};

enum { RECENT = 64 }; /* a power of two */

struct tg_metrics {
    /* Series found lately, by where their labels lie; compared by what the labels are, for memory is reused.
     */
    struct series *recent[RECENT];
    pthread_mutex_t lock; /* of the list and the maps; values are atomic */
    struct tg_map maps[KIND_COUNT];
    struct series *list;
    struct tg_route_metrics overflow;
    struct tg_http_metrics http_overflow;
};

enum tg_err tg_metrics_new(struct tg_metrics **out)
{
    struct tg_metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL) {
        return TG_ENOMEM;
    }
    if (pthread_mutex_init(&metrics->lock, NULL) != 0) {
        free(metrics);
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < KIND_COUNT; i++) {
        tg_map_init(&metrics->maps[i], 0);
    }
    *out = metrics;
    return TG_OK;
}

void tg_metrics_free(struct tg_metrics *metrics)
{
    if (metrics != NULL) {
        for (size_t i = 0; i < KIND_COUNT; i++) {
            tg_map_free(&metrics->maps[i], free);
        }
        (void)pthread_mutex_destroy(&metrics->lock);
        free(metrics);
    }
}

static struct series *series_new(size_t kind, struct tg_slice key, const struct tg_slice parts[3])
{
    size_t cells = kinds[kind].cells * CELL;
    struct series *series = calloc(1, sizeof *series + cells + key.len);
    if (series == NULL) {
        return NULL;
    }
    char *text = (char *)series->memory + cells;
    memcpy(text, key.ptr, key.len);
    series->cells = series->memory;
    series->kind = kind;
    series->key = tg_slice_make(text, key.len);
    series->api_id = tg_slice_make(text, parts[0].len);
    text += parts[0].len + 1;
    series->stage = tg_slice_make(text, parts[1].len);
    text += parts[1].len + 1;
    series->route = tg_slice_make(text, parts[2].len);
    return series;
}

static struct series **recent_of(struct tg_metrics *metrics, size_t kind, struct tg_slice stage,
                                 struct tg_slice route)
{
    uintptr_t mixed = ((uintptr_t)route.ptr >> 3) ^ ((uintptr_t)stage.ptr >> 4) ^ (uintptr_t)kind;
    return &metrics->recent[(mixed ^ (mixed >> 6)) % RECENT];
}

/* NULL: none to be had. */
static struct series *look_up(struct tg_metrics *metrics, size_t kind, struct tg_slice api_id,
                              struct tg_slice stage, struct tg_slice route)
{
    char text[512];
    const struct tg_slice parts[] = {api_id, stage, route};
    size_t len = 0;
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].len + 1 > sizeof text - len) {
            return NULL;
        }
        if (parts[i].len > 0) {
            memcpy(text + len, parts[i].ptr, parts[i].len);
        }
        len += parts[i].len;
        text[len++] = '\0';
    }
    struct tg_slice key = tg_slice_make(text, len);
    struct tg_map *map = &metrics->maps[kind];
    struct series *series = tg_map_get(map, key);
    if (series != NULL) {
        return series;
    }
    series = map->count < MAX_SERIES ? series_new(kind, key, parts) : NULL;
    if (series == NULL) {
        return NULL;
    }
    (void)pthread_mutex_lock(&metrics->lock); /* against a reader; the worker is the only writer */
    bool added = tg_map_add(map, key, series) == TG_OK;
    if (added) {
        series->next = metrics->list;
        metrics->list = series;
    }
    (void)pthread_mutex_unlock(&metrics->lock);
    if (!added) {
        free(series);
        return NULL;
    }
    return series;
}

static void *find_series(struct tg_metrics *metrics, size_t kind, struct tg_slice api_id,
                         struct tg_slice stage, struct tg_slice route)
{
    struct series **recent = recent_of(metrics, kind, stage, route);
    struct series *series = *recent;
    if (series != NULL && series->kind == kind && tg_slice_eq(series->route, route) &&
        tg_slice_eq(series->stage, stage) && tg_slice_eq(series->api_id, api_id)) {
        return series->cells;
    }
    series = look_up(metrics, kind, api_id, stage, route);
    if (series == NULL) {
        return NULL;
    }
    *recent = series;
    return series->cells;
}

struct tg_route_metrics *tg_metrics_series(struct tg_metrics *metrics, struct tg_slice api_id,
                                           struct tg_slice stage, struct tg_slice route)
{
    struct tg_route_metrics *found = find_series(metrics, KIND_ROUTE, api_id, stage, route);
    return found != NULL ? found : &metrics->overflow;
}

struct tg_http_metrics *tg_metrics_http_series(struct tg_metrics *metrics, struct tg_slice api_id,
                                               struct tg_slice stage, struct tg_slice route)
{
    struct tg_http_metrics *found = find_series(metrics, KIND_HTTP, api_id, stage, route);
    return found != NULL ? found : &metrics->http_overflow;
}

void tg_metrics_observe(struct tg_metrics_histogram *histogram, uint64_t nanoseconds)
{
    double seconds = (double)nanoseconds / 1e9;
    size_t bucket = 0;
    while (bucket < TG_LATENCY_BUCKETS - 1 && seconds > tg_latency_bounds[bucket]) {
        bucket++;
    }
    tg_metric_add(&histogram->buckets[bucket], 1);
    tg_metric_add(&histogram->sum_us, nanoseconds / 1000);
}

/* ---- rendering ---- */

struct sums {
    struct tg_slice key, api_id, stage, route; /* the first worker's: series are never freed while it lives */
    struct sums *next;
    uint64_t cells[];
};

/* The sums of one kind over all workers, in the order in which series are met. */
struct totals {
    size_t kind;
    struct tg_map map;
    struct sums *first, **last;
};

static struct sums *sums_find(struct totals *totals, const struct series *series)
{
    struct sums *sums = tg_map_get(&totals->map, series->key);
    if (sums != NULL) {
        return sums;
    }
    sums = calloc(1, sizeof *sums + kinds[totals->kind].cells * sizeof sums->cells[0]);
    if (sums == NULL || tg_map_add(&totals->map, series->key, sums) != TG_OK) {
        free(sums);
        return NULL;
    }
    sums->api_id = series->api_id;
    sums->stage = series->stage;
    sums->route = series->route;
    *totals->last = sums;
    totals->last = &sums->next;
    return sums;
}

static enum tg_err collect(struct tg_metrics *metrics, struct totals *totals)
{
    enum tg_err err = TG_OK;
    (void)pthread_mutex_lock(&metrics->lock);
    for (struct series *series = metrics->list; series != NULL && err == TG_OK; series = series->next) {
        if (series->kind != totals->kind) {
            continue;
        }
        struct sums *sums = sums_find(totals, series);
        if (sums == NULL) {
            err = TG_ENOMEM;
            break;
        }
        for (size_t i = 0; i < kinds[totals->kind].cells; i++) {
            sums->cells[i] += atomic_load_explicit(&series->cells[i], memory_order_relaxed);
        }
    }
    (void)pthread_mutex_unlock(&metrics->lock);
    return err;
}

enum tg_err tg_metrics_put_label(struct tg_buf *out, const char *before, struct tg_slice value)
{
    enum tg_err err = tg_buf_append(out, tg_slice_cstr(before));
    for (size_t i = 0; err == TG_OK && i < value.len; i++) {
        if (value.ptr[i] == '\n') {
            err = tg_buf_append(out, TG_LIT("\\n"));
        } else {
            if (value.ptr[i] == '"' || value.ptr[i] == '\\') {
                err = tg_buf_append_char(out, '\\');
            }
            if (err == TG_OK) {
                err = tg_buf_append_char(out, value.ptr[i]);
            }
        }
    }
    return err;
}

static enum tg_err put_labels(struct tg_buf *out, const struct sums *sums)
{
    enum tg_err err = tg_metrics_put_label(out, "{api_id=\"", sums->api_id);
    if (err == TG_OK) {
        err = tg_metrics_put_label(out, "\",stage=\"", sums->stage);
    }
    if (err == TG_OK) {
        err = tg_metrics_put_label(out, "\",route=\"", sums->route);
    }
    return err == TG_OK ? tg_buf_append(out, TG_LIT("\"")) : err;
}

static enum tg_err put_head(struct tg_buf *out, const char *name, const char *type, const char *help)
{
    return tg_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static enum tg_err put_counter(struct tg_buf *out, const struct sums *list, const struct row *row)
{
    enum tg_err err = put_head(out, row->name, "counter", row->help);
    for (const struct sums *sums = list; sums != NULL && err == TG_OK; sums = sums->next) {
        err = tg_buf_printf(out, "%s", row->name);
        if (err == TG_OK) {
            err = put_labels(out, sums);
        }
        if (err == TG_OK) {
            err = tg_buf_printf(out, "} %llu\n", (unsigned long long)sums->cells[row->cell]);
        }
    }
    return err;
}

static enum tg_err put_sample(struct tg_buf *out, const char *name, const char *suffix,
                              const struct sums *sums)
{
    enum tg_err err = tg_buf_printf(out, "%s_%s", name, suffix);
    return err == TG_OK ? put_labels(out, sums) : err;
}

static enum tg_err put_histogram(struct tg_buf *out, const struct sums *sums, const struct row *row)
{
    uint64_t total = 0;
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < TG_LATENCY_BUCKETS; i++) {
        total += sums->cells[row->cell + i];
        err = put_sample(out, row->name, "bucket", sums);
        if (err == TG_OK && i < TG_LATENCY_BUCKETS - 1) {
            err = tg_buf_printf(out, ",le=\"%g\"} %llu\n", tg_latency_bounds[i], (unsigned long long)total);
        } else if (err == TG_OK) {
            err = tg_buf_printf(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)total);
        }
    }
    if (err == TG_OK) {
        err = put_sample(out, row->name, "sum", sums);
    }
    if (err == TG_OK) {
        err = tg_buf_printf(out, "} %.6f\n", (double)sums->cells[row->cell + TG_LATENCY_BUCKETS] / 1e6);
    }
    if (err == TG_OK) {
        err = put_sample(out, row->name, "count", sums);
    }
    return err == TG_OK ? tg_buf_printf(out, "} %llu\n", (unsigned long long)total) : err;
}

static enum tg_err render_kind(struct tg_metrics *const *workers, size_t count, size_t which,
                               struct tg_buf *out)
{
    const struct kind *kind = &kinds[which];
    struct totals totals = {.kind = which, .first = NULL};
    enum tg_err err = TG_OK;
    totals.last = &totals.first;
    tg_map_init(&totals.map, 0);
    for (size_t i = 0; i < count && err == TG_OK; i++) {
        err = collect(workers[i], &totals);
    }
    for (size_t i = 0; i < kind->counter_count && err == TG_OK; i++) {
        err = put_counter(out, totals.first, &kind->counters[i]);
    }
    for (size_t i = 0; i < kind->histogram_count && err == TG_OK; i++) {
        err = put_head(out, kind->histograms[i].name, "histogram", kind->histograms[i].help);
        for (const struct sums *sums = totals.first; sums != NULL && err == TG_OK; sums = sums->next) {
            err = put_histogram(out, sums, &kind->histograms[i]);
        }
    }
    tg_map_free(&totals.map, free);
    return err;
}

enum tg_err tg_metrics_render(struct tg_metrics *const *workers, size_t count, struct tg_buf *out)
{
    enum tg_err err = TG_OK;
    for (size_t i = 0; i < KIND_COUNT && err == TG_OK; i++) {
        err = render_kind(workers, count, i, out);
    }
    return err;
}
