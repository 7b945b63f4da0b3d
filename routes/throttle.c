#include "routes/throttle.h"

#include <pthread.h>
#include <stdlib.h>

/* A bucket is kept as the time at which it will be full again ("virtual scheduling"): one word, so that
 * workers share it without a lock, by compare and swap. Times in nanoseconds of the monotonic clock. */
struct tg_throttle_bucket {
    _Atomic(uint64_t) full_at;
};

#define TIME_MAX  (UINT64_C(1) << 62)  /* 146 years: no sum of three overflows */
#define CLOCK_LAG UINT64_C(1000000000) /* by which the clocks of two workers' loops may differ */

struct tg_throttles {
    bool shared;
    struct tg_throttle_bucket connection, account;
    pthread_mutex_t lock; /* of the map alone: routes are few, and found once a request */
    struct tg_map routes; /* apiId NUL stage NUL routeKey -> struct tg_throttle_bucket * */
};

enum tg_err tg_throttles_new(bool shared, struct tg_throttles **out)
{
    struct tg_throttles *throttles = calloc(1, sizeof *throttles);
    if (throttles == NULL) {
        return TG_ENOMEM;
    }
    if (pthread_mutex_init(&throttles->lock, NULL) != 0) {
        free(throttles);
        return TG_ENOMEM;
    }
    tg_map_init(&throttles->routes, 0);
    throttles->shared = shared;
    *out = throttles;
    return TG_OK;
}

void tg_throttles_free(struct tg_throttles *throttles)
{
    if (throttles != NULL) {
        tg_map_free(&throttles->routes, free);
        (void)pthread_mutex_destroy(&throttles->lock);
        free(throttles);
    }
}

static uint64_t whole(double nanoseconds)
{
    return nanoseconds < (double)TIME_MAX ? (uint64_t)nanoseconds : TIME_MAX;
}

static struct tg_throttle_limit limit_of(const struct tg_throttles *throttles,
                                         struct tg_throttle_bucket *bucket, double rate, double burst)
{
    if (rate <= 0 || burst < 1) {
        return (struct tg_throttle_limit){.bucket = bucket, .blocks = true};
    }
    return (struct tg_throttle_limit){.bucket = bucket,
                                      .cost = whole(1e9 / rate),
                                      .depth = whole(1e9 / rate * burst),
                                      .shared = throttles->shared};
}

/* False: another thread was quicker. */
static bool change(const struct tg_throttle_limit *limit, uint64_t from, uint64_t to)
{
    struct tg_throttle_bucket *bucket = limit->bucket;
    if (!limit->shared) { /* a locked instruction costs as much as all the rest */
        atomic_store_explicit(&bucket->full_at, to, memory_order_relaxed);
        return true;
    }
    return atomic_compare_exchange_weak_explicit(&bucket->full_at, &from, to, memory_order_relaxed,
                                                 memory_order_relaxed);
}

bool tg_throttle_take(const struct tg_throttle_limit *limit, uint64_t now_ms)
{
    struct tg_throttle_bucket *bucket = limit->bucket;
    if (bucket == NULL || limit->blocks) {
        return bucket == NULL;
    }
    uint64_t now = now_ms * 1000000, depth = limit->depth;
    for (;;) {
        uint64_t full_at = atomic_load_explicit(&bucket->full_at, memory_order_relaxed);
        /* No bucket is emptier than empty: it was emptied under other settings. */
        if (full_at > now + depth + CLOCK_LAG) {
            (void)change(limit, full_at, now + depth);
            continue;
        }
        uint64_t start = full_at > now ? full_at : now;
        if (start + limit->cost > now + depth) {
            return false;
        }
        if (change(limit, full_at, start + limit->cost)) {
            return true;
        }
    }
}

bool tg_throttle_connection(struct tg_throttles *throttles, const struct tg_model *model, uint64_t now_ms)
{
    const struct tg_throttle_limit limit =
        limit_of(throttles, &throttles->connection, model->throttling.connection_rate_limit,
                 (double)model->throttling.connection_burst_limit);
    return tg_throttle_take(&limit, now_ms);
}

struct tg_throttle_limit tg_throttle_account_limit(struct tg_throttles *throttles,
                                                   const struct tg_model *model)
{
    return limit_of(throttles, &throttles->account, model->throttling.rate_limit,
                    (double)model->throttling.burst_limit);
}

bool tg_throttle_account(struct tg_throttles *throttles, const struct tg_model *model, uint64_t now_ms)
{
    const struct tg_throttle_limit limit = tg_throttle_account_limit(throttles, model);
    return tg_throttle_take(&limit, now_ms);
}

/* The bucket of the name, made when it is new; NULL when memory is out. */
static struct tg_throttle_bucket *find(struct tg_throttles *throttles, struct tg_slice key)
{
    (void)pthread_mutex_lock(&throttles->lock);
    struct tg_throttle_bucket *bucket = tg_map_get(&throttles->routes, key);
    if (bucket == NULL) {
        bucket = calloc(1, sizeof *bucket);
        if (bucket != NULL && tg_map_add(&throttles->routes, key, bucket) != TG_OK) {
            free(bucket);
            bucket = NULL;
        }
    }
    (void)pthread_mutex_unlock(&throttles->lock);
    return bucket;
}

struct tg_throttle_limit tg_throttle_route_limit(struct tg_throttles *throttles, const struct tg_api *api,
                                                 const struct tg_stage *stage, const struct tg_route *route)
{
    char key[512];
    size_t len = 0;
    const struct tg_route_settings settings = tg_stage_route_settings(stage, route->route_key);
    const struct tg_slice parts[] = {api->api_id, stage->stage_name, route->route_key};
    if (settings.throttling_rate_limit < 0 && settings.throttling_burst_limit < 0) {
        return (struct tg_throttle_limit){.bucket = NULL};
    }
    for (size_t i = 0; i < 3; i++) {
        size_t part = parts[i].len < sizeof key - len - 1 ? parts[i].len : sizeof key - len - 1;
        if (part > 0) {
            memcpy(key + len, parts[i].ptr, part);
        }
        len += part;
        key[len < sizeof key - 1 ? len++ : len] = '\0';
    }
    /* One of the two set: the other takes the native default. */
    double rate = settings.throttling_rate_limit >= 0 ? settings.throttling_rate_limit : 10000;
    double burst = settings.throttling_burst_limit >= 0 ? (double)settings.throttling_burst_limit : 5000;
    struct tg_throttle_limit limit =
        limit_of(throttles, find(throttles, tg_slice_make(key, len)), rate, burst);
    limit.unknown = limit.bucket == NULL;
    return limit;
}

bool tg_throttle_route(struct tg_throttles *throttles, const struct tg_api *api, const struct tg_stage *stage,
                       const struct tg_route *route, uint64_t now_ms)
{
    const struct tg_throttle_limit limit = tg_throttle_route_limit(throttles, api, stage, route);
    return tg_throttle_take(&limit, now_ms);
}
