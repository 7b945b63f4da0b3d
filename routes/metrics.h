/* Counters of one worker, in memory that any thread may read: single-writer relaxed atomics, summed when
 * /metrics is asked. Series are labelled by api_id, stage and route (spec 8.3); the set of series follows the
 * model, and values survive a reload by name. */
#ifndef TG_ROUTES_METRICS_H
#define TG_ROUTES_METRICS_H

#include <stdatomic.h>

#include "server/base/buf.h"
#include "server/base/strings.h"

enum { TG_LATENCY_BUCKETS = 16 };
/* Upper bounds in seconds: 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30, +Inf */
extern const double tg_latency_bounds[TG_LATENCY_BUCKETS - 1];

/* X(member, metric name, help) */
#define TG_ROUTE_COUNTERS(X)                                                                                 \
    X(connect_count, "tidegate_connect_count", "Handshakes handed to the $connect integration")              \
    X(messages_in, "tidegate_messages_in", "Client messages")                                                \
    X(messages_out, "tidegate_messages_out", "Messages to clients: replies and pushes")                      \
    X(metered_in, "tidegate_metered_messages_in", "Client messages in steps of 32 KiB")                      \
    X(metered_out, "tidegate_metered_messages_out", "Messages to clients in steps of 32 KiB")                \
    X(integration_error, "tidegate_integration_error", "The integration answered 4xx or 5xx")                \
    X(client_error, "tidegate_client_error", "Refused with 4xx, integration not reached")                    \
    X(execution_error, "tidegate_execution_error", "The call to the integration failed")                     \
    X(throttled, "tidegate_throttled", "Refused by a throttle")                                              \
    X(disconnect_failed, "tidegate_disconnect_failed", "$disconnect calls that failed for good")

/* Requests of HTTP APIs (http-api.md 7.3). */
#define TG_HTTP_COUNTERS(X)                                                                                  \
    X(count, "tidegate_http_api_count", "Requests")                                                          \
    X(client_error, "tidegate_http_api_4xx", "Requests answered 4xx")                                        \
    X(server_error, "tidegate_http_api_5xx", "Requests answered 5xx")                                        \
    X(throttled, "tidegate_http_api_throttled", "Requests refused by a throttle")                            \
    X(data_processed, "tidegate_http_api_data_processed_bytes", "Bytes of bodies, both ways")

struct tg_metrics_histogram {
    _Atomic(uint64_t) buckets[TG_LATENCY_BUCKETS]; /* not cumulative */
    _Atomic(uint64_t) sum_us;
};

/* Both are nothing but counters: metrics.c adds them up as arrays. */
struct tg_route_metrics {
#define X(member, name, help) _Atomic(uint64_t) member;
    TG_ROUTE_COUNTERS(X)
#undef X
    struct tg_metrics_histogram latency; /* of the integration */
};

struct tg_http_metrics {
#define X(member, name, help) _Atomic(uint64_t) member;
    TG_HTTP_COUNTERS(X)
#undef X
    struct tg_metrics_histogram latency, integration_latency;
};

struct tg_metrics; /* one worker's */

enum tg_err tg_metrics_new(struct tg_metrics **out) TG_MUST_CHECK;
void tg_metrics_free(struct tg_metrics *metrics);
/* The series of these labels, made when it is new; route empty: of no route (unmatched). Never NULL: when
 * memory is out an overflow series. The pointer stays valid; callers keep it. Worker's own thread. */
struct tg_route_metrics *tg_metrics_series(struct tg_metrics *metrics, struct tg_slice api_id,
                                           struct tg_slice stage, struct tg_slice route);
/* The same for a request of an HTTP API. */
struct tg_http_metrics *tg_metrics_http_series(struct tg_metrics *metrics, struct tg_slice api_id,
                                               struct tg_slice stage, struct tg_slice route);
static inline void tg_metric_add(_Atomic(uint64_t) *counter, uint64_t amount)
{
    /* One writer: load and store suffice, and cost no locked instruction. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}
void tg_metrics_observe(struct tg_metrics_histogram *histogram, uint64_t nanoseconds);
/* A label's value behind `before`: backslash, quote and newline escaped. */
enum tg_err tg_metrics_put_label(struct tg_buf *out, const char *before, struct tg_slice value) TG_MUST_CHECK;
/* Prometheus text (version 0.0.4) of the sums over several workers' metrics. Any thread. The six of spec 8.3
 * are there under these names, IntegrationLatency as a histogram in seconds. */
enum tg_err tg_metrics_render(struct tg_metrics *const *workers, size_t count,
                              struct tg_buf *out) TG_MUST_CHECK;

/* What a message of so many bytes is counted as: one for each 32 KiB begun, and one at least. */
static inline uint64_t tg_metered(size_t bytes)
{
    return bytes <= 32768 ? 1 : (bytes + 32767) / 32768;
}

#endif
