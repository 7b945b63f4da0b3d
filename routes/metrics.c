#include "routes/metrics.h"

#include <pthread.h>
#include <stdlib.h>

#include "server/base/map.h"

const double tg_latency_bounds[TG_LATENCY_BUCKETS - 1] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};

enum { MAX_SERIES = 10000 }; /* labels come from the configuration, but reloads may add up */

struct series {
    struct tg_route_metrics values; /* first */
    struct series *next;
    struct tg_slice api_id, stage, route;
    char text[];
};

struct tg_metrics {
    pthread_mutex_t lock; /* of the list and the map; values are atomic */
    struct tg_map map;    /* api NUL stage NUL route */
    struct series *list;
    struct tg_route_metrics overflow;
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
    tg_map_init(&metrics->map, 0);
    *out = metrics;
    return TG_OK;
}

void tg_metrics_free(struct tg_metrics *metrics)
{
    if (metrics != NULL) {
        tg_map_free(&metrics->map, free);
        (void)pthread_mutex_destroy(&metrics->lock);
        free(metrics);
    }
}

static struct series *series_new(struct tg_slice api_id, struct tg_slice stage, struct tg_slice route)
{
    struct series *series = calloc(1, sizeof *series + api_id.len + stage.len + route.len);
    if (series != NULL) {
        char *at = series->text;
        const struct tg_slice parts[] = {api_id, stage, route};
        struct tg_slice *const copies[] = {&series->api_id, &series->stage, &series->route};
        for (size_t i = 0; i < 3; i++) {
            if (parts[i].len > 0) {
                memcpy(at, parts[i].ptr, parts[i].len);
            }
            *copies[i] = tg_slice_make(at, parts[i].len);
            at += parts[i].len;
        }
    }
    return series;
}

struct tg_route_metrics *tg_metrics_series(struct tg_metrics *metrics, struct tg_slice api_id,
                                           struct tg_slice stage, struct tg_slice route)
{
    char key[512];
    const struct tg_slice parts[] = {api_id, stage, route};
    size_t len = 0;
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].len + 1 > sizeof key - len) {
            return &metrics->overflow;
        }
        if (parts[i].len > 0) {
            memcpy(key + len, parts[i].ptr, parts[i].len);
        }
        len += parts[i].len;
        key[len++] = '\0';
    }
    struct series *series = tg_map_get(&metrics->map, tg_slice_make(key, len));
    if (series != NULL) {
        return &series->values;
    }
    series = metrics->map.count < MAX_SERIES ? series_new(api_id, stage, route) : NULL;
    if (series == NULL) {
        return &metrics->overflow;
    }
    (void)pthread_mutex_lock(&metrics->lock); /* against a reader; the worker is the only writer */
    bool added = tg_map_add(&metrics->map, tg_slice_make(key, len), series) == TG_OK;
    if (added) {
        series->next = metrics->list;
        metrics->list = series;
    }
    (void)pthread_mutex_unlock(&metrics->lock);
    if (!added) {
        free(series);
        return &metrics->overflow;
    }
    return &series->values;
}

void tg_metrics_latency(struct tg_route_metrics *series, uint64_t nanoseconds)
{
    double seconds = (double)nanoseconds / 1e9;
    size_t bucket = 0;
    while (bucket < TG_LATENCY_BUCKETS - 1 && seconds > tg_latency_bounds[bucket]) {
        bucket++;
    }
    tg_metric_add(&series->latency[bucket], 1);
    tg_metric_add(&series->latency_sum_us, nanoseconds / 1000);
}

/* ---- rendering ---- */

struct sums {
    struct tg_slice api_id, stage, route;
    struct sums *next;
#define X(member, name, help) uint64_t member;
    TG_ROUTE_COUNTERS(X)
#undef X
    uint64_t latency[TG_LATENCY_BUCKETS], latency_sum_us;
};

static struct sums *sums_find(struct sums **list, const struct series *series)
{
    struct sums **link = list;
    while (*link != NULL) {
        if (tg_slice_eq((*link)->api_id, series->api_id) && tg_slice_eq((*link)->stage, series->stage) &&
            tg_slice_eq((*link)->route, series->route)) {
            return *link;
        }
        link = &(*link)->next;
    }
    *link = calloc(1, sizeof **link);
    if (*link != NULL) {
        (*link)->api_id = series->api_id;
        (*link)->stage = series->stage;
        (*link)->route = series->route;
    }
    return *link;
}

static enum tg_err collect(struct tg_metrics *metrics, struct sums **list)
{
    enum tg_err err = TG_OK;
    (void)pthread_mutex_lock(&metrics->lock);
    for (struct series *series = metrics->list; series != NULL && err == TG_OK; series = series->next) {
        struct sums *sums = sums_find(list, series);
        if (sums == NULL) {
            err = TG_ENOMEM;
            break;
        }
#define X(member, name, help)                                                                                \
    sums->member += atomic_load_explicit(&series->values.member, memory_order_relaxed);
        TG_ROUTE_COUNTERS(X)
#undef X
        for (size_t i = 0; i < TG_LATENCY_BUCKETS; i++) {
            sums->latency[i] += atomic_load_explicit(&series->values.latency[i], memory_order_relaxed);
        }
        sums->latency_sum_us += atomic_load_explicit(&series->values.latency_sum_us, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&metrics->lock);
    return err;
}

/* A label's value: backslash, quote and newline escaped. */
static enum tg_err put_label(struct tg_buf *out, const char *before, struct tg_slice value)
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
    enum tg_err err = put_label(out, "{api_id=\"", sums->api_id);
    if (err == TG_OK) {
        err = put_label(out, "\",stage=\"", sums->stage);
    }
    if (err == TG_OK) {
        err = put_label(out, "\",route=\"", sums->route);
    }
    return err == TG_OK ? tg_buf_append(out, TG_LIT("\"")) : err;
}

static enum tg_err put_head(struct tg_buf *out, const char *name, const char *type, const char *help)
{
    return tg_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static enum tg_err put_counter(struct tg_buf *out, const struct sums *list, const char *name,
                               const char *help, size_t offset)
{
    enum tg_err err = put_head(out, name, "counter", help);
    for (const struct sums *sums = list; sums != NULL && err == TG_OK; sums = sums->next) {
        uint64_t value;
        memcpy(&value, (const char *)sums + offset, sizeof value);
        err = tg_buf_printf(out, "%s", name);
        if (err == TG_OK) {
            err = put_labels(out, sums);
        }
        if (err == TG_OK) {
            err = tg_buf_printf(out, "} %llu\n", (unsigned long long)value);
        }
    }
    return err;
}

static enum tg_err put_histogram(struct tg_buf *out, const struct sums *sums)
{
    uint64_t total = 0;
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < TG_LATENCY_BUCKETS; i++) {
        total += sums->latency[i];
        err = tg_buf_printf(out, "tidegate_integration_latency_seconds_bucket");
        if (err == TG_OK) {
            err = put_labels(out, sums);
        }
        if (err == TG_OK && i < TG_LATENCY_BUCKETS - 1) {
            err = tg_buf_printf(out, ",le=\"%g\"} %llu\n", tg_latency_bounds[i], (unsigned long long)total);
        } else if (err == TG_OK) {
            err = tg_buf_printf(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)total);
        }
    }
    if (err == TG_OK) {
        err = tg_buf_printf(out, "tidegate_integration_latency_seconds_sum");
    }
    if (err == TG_OK) {
        err = put_labels(out, sums);
    }
    if (err == TG_OK) {
        err = tg_buf_printf(out, "} %.6f\ntidegate_integration_latency_seconds_count",
                            (double)sums->latency_sum_us / 1e6);
    }
    if (err == TG_OK) {
        err = put_labels(out, sums);
    }
    return err == TG_OK ? tg_buf_printf(out, "} %llu\n", (unsigned long long)total) : err;
}

enum tg_err tg_metrics_render(struct tg_metrics *const *workers, size_t count, struct tg_buf *out)
{
    static const struct {
        const char *name, *help;
        size_t offset;
    } counters[] = {
#define X(member, name, help) {name "_total", help, offsetof(struct sums, member)},
        TG_ROUTE_COUNTERS(X)
#undef X
    };
    struct sums *list = NULL;
    enum tg_err err = TG_OK;
    for (size_t i = 0; i < count && err == TG_OK; i++) {
        err = collect(workers[i], &list);
    }
    for (size_t i = 0; i < sizeof counters / sizeof counters[0] && err == TG_OK; i++) {
        err = put_counter(out, list, counters[i].name, counters[i].help, counters[i].offset);
    }
    if (err == TG_OK) {
        err = put_head(out, "tidegate_integration_latency_seconds", "histogram",
                       "Duration of integration calls");
    }
    for (const struct sums *sums = list; sums != NULL && err == TG_OK; sums = sums->next) {
        err = put_histogram(out, sums);
    }
    while (list != NULL) {
        struct sums *next = list->next;
        free(list);
        list = next;
    }
    return err;
}
