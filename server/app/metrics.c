#include "server/app/metrics.h"

enum tg_err tg_app_add_stats(struct tg_worker_stats *totals, const struct tg_worker_stats *stats)
{
    totals->requests += stats->requests;
    totals->disconnects_waiting += stats->disconnects_waiting;
    totals->upstream.connections += stats->upstream.connections;
    totals->upstream.idle += stats->upstream.idle;
    totals->upstream.pending += stats->upstream.pending;
    totals->upstream.calls += stats->upstream.calls;
    totals->upstream.opened += stats->upstream.opened;
    totals->upstream.reused += stats->upstream.reused;
    totals->upstream.replayed += stats->upstream.replayed;
    totals->upstream.rejected += stats->upstream.rejected;
    totals->upstream.connect_failures += stats->upstream.connect_failures;
    totals->upstream.timeouts += stats->upstream.timeouts;
    return tg_linkstats_merge(&totals->links, &stats->links);
}

static enum tg_err put(struct tg_buf *out, const char *name, const char *type, const char *help,
                       uint64_t value)
{
    return tg_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
                         (unsigned long long)value);
}

/* X(where the sum comes from, member, metric, type, help) */
#define CONN_METRICS(X)                                                                                      \
    X(open, "tidegate_connections", "gauge", "Open WebSocket connections")                                   \
    X(opened, "tidegate_connections_opened_total", "counter", "WebSocket connections ever opened")           \
    X(messages_in, "tidegate_websocket_messages_in_total", "counter", "Messages from clients")               \
    X(messages_out, "tidegate_websocket_messages_out_total", "counter", "Messages to clients")               \
    X(bytes_in, "tidegate_websocket_bytes_in_total", "counter", "Payload bytes from clients")                \
    X(bytes_out, "tidegate_websocket_bytes_out_total", "counter", "Frame bytes to clients")                  \
    X(queued_bytes, "tidegate_queued_bytes", "gauge", "Bytes waiting in send queues")                        \
    X(rejected, "tidegate_sends_rejected_total", "counter", "Frames refused because a send queue was full")

#define HTTP_METRICS(X)                                                                                      \
    X(accepted, "tidegate_http_accepted_total", "counter", "Connections accepted")                           \
    X(open, "tidegate_http_connections", "gauge", "HTTP connections that are not WebSockets")                \
    X(requests, "tidegate_http_requests_total", "counter", "HTTP requests read")                             \
    X(upgraded, "tidegate_http_upgraded_total", "counter", "Requests that became WebSockets")                \
    X(tunnels, "tidegate_http_tunnels_total", "counter", "Requests that became tunnels")                     \
    X(tunnels_open, "tidegate_http_tunnels", "gauge", "Tunnels that are open")                               \
    X(refused, "tidegate_http_refused_total", "counter",                                                     \
      "Connections refused: no descriptors or over the limit")                                               \
    X(malformed, "tidegate_http_malformed_total", "counter", "Requests that could not be read")              \
    X(timed_out, "tidegate_http_timed_out_total", "counter", "Requests that were too slow")                  \
    X(proxy_untrusted, "tidegate_proxy_untrusted_total", "counter",                                          \
      "Connections refused: PROXY protocol, but the peer is not in trustedProxies")                          \
    X(proxy_malformed, "tidegate_proxy_malformed_total", "counter",                                          \
      "Connections refused: PROXY header missing or wrong")                                                  \
    X(proxy_timed_out, "tidegate_proxy_timed_out_total", "counter",                                          \
      "Connections refused: no whole PROXY header in time")                                                  \
    X(tls_handshakes, "tidegate_tls_handshakes_total", "counter", "TLS handshakes that were completed")      \
    X(tls_resumed, "tidegate_tls_resumed_total", "counter", "Those of them with an earlier session")         \
    X(tls_failed, "tidegate_tls_handshake_failures_total", "counter", "TLS handshakes that failed")          \
    X(bytes_in, "tidegate_http_bytes_in_total", "counter", "Bytes read by the HTTP server")                  \
    X(bytes_out, "tidegate_http_bytes_out_total", "counter", "Bytes written by the HTTP server")

static enum tg_err put_connections(const struct tg_app *app, struct tg_buf *out)
{
    enum tg_err err = TG_OK;
#define X(member, name, type, help)                                                                          \
    if (err == TG_OK) {                                                                                      \
        uint64_t sum = 0;                                                                                    \
        for (size_t i = 0; i < app->worker_count; i++) {                                                     \
            sum += atomic_load_explicit(&tg_worker_conn_counters(app->workers[i])->member,                   \
                                        memory_order_relaxed);                                               \
        }                                                                                                    \
        err = put(out, name, type, help, sum);                                                               \
    }
    CONN_METRICS(X)
#undef X
    return err;
}

static enum tg_err put_http(const struct tg_app *app, struct tg_buf *out)
{
    enum tg_err err = TG_OK;
#define X(member, name, type, help)                                                                          \
    if (err == TG_OK) {                                                                                      \
        uint64_t sum = 0;                                                                                    \
        for (size_t i = 0; i < app->worker_count; i++) {                                                     \
            sum += atomic_load_explicit(&tg_worker_http_counters(app->workers[i])->member,                   \
                                        memory_order_relaxed);                                               \
        }                                                                                                    \
        err = put(out, name, type, help, sum);                                                               \
    }
    HTTP_METRICS(X)
#undef X
    return err;
}

static enum tg_err put_certificate(const struct tg_listener_settings *listener, size_t index,
                                   const char *name, struct tg_buf *out)
{
    const struct tg_tls_certificate_info *info = tg_tls_certificate_info(listener->tls.context, index);
    enum tg_err err = tg_buf_append(out, tg_slice_cstr(name));
    if (err == TG_OK) {
        err = tg_metrics_put_label(out, "{listener=\"", listener->address);
    }
    if (err == TG_OK) {
        err = tg_metrics_put_label(out, "\",certificate=\"",
                                   listener->tls.certificates.items[index].certificate);
    }
    return err == TG_OK ? tg_buf_printf(out, "\"} %lld\n", (long long)info->not_after_s) : err;
}

/* Of the current configuration. */
static enum tg_err put_certificates(const struct tg_config *config, struct tg_buf *out)
{
    static const char name[] = "tidegate_tls_certificate_expiry_timestamp_seconds";
    enum tg_err err = tg_buf_printf(
        out, "# HELP %s When a certificate expires, in seconds since 1970\n# TYPE %s gauge\n", name, name);
    for (size_t i = 0; err == TG_OK && i < config->listeners.count; i++) {
        const struct tg_listener_settings *listener = &config->listeners.items[i];
        for (size_t j = 0;
             err == TG_OK && listener->tls.context != NULL && j < listener->tls.certificates.count; j++) {
            err = put_certificate(listener, j, name, out);
        }
    }
    return err;
}

static enum tg_err put_close_codes(const struct tg_app *app, struct tg_buf *out)
{
    static const char name[] = "tidegate_connections_closed_total";
    enum tg_err err = tg_buf_printf(
        out, "# HELP %s Connections closed, by WebSocket close code\n# TYPE %s counter\n", name, name);
    for (int code = 0; err == TG_OK && code < 16; code++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < app->worker_count; i++) {
            sum += atomic_load_explicit(&tg_worker_conn_counters(app->workers[i])->closed_by_code[code],
                                        memory_order_relaxed);
        }
        if (sum > 0 && code == 4) {
            err = tg_buf_printf(out, "%s{code=\"other\"} %llu\n", name, (unsigned long long)sum);
        } else if (sum > 0) {
            err = tg_buf_printf(out, "%s{code=\"%d\"} %llu\n", name, 1000 + code, (unsigned long long)sum);
        }
    }
    return err;
}

static enum tg_err put_workers(const struct tg_app *app, struct tg_buf *out)
{
    static const char name[] = "tidegate_worker_connections";
    enum tg_err err =
        tg_buf_printf(out, "# HELP %s Open WebSocket connections of a worker\n# TYPE %s gauge\n", name, name);
    for (size_t i = 0; err == TG_OK && i < app->worker_count; i++) {
        uint64_t open =
            atomic_load_explicit(&tg_worker_conn_counters(app->workers[i])->open, memory_order_relaxed);
        err = tg_buf_printf(out, "%s{worker=\"%zu\"} %llu\n", name, i, (unsigned long long)open);
    }
    return err;
}

static enum tg_err put_backends(const struct tg_worker_stats *totals, struct tg_buf *out)
{
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"tidegate_requests_in_flight", "gauge", "Handshakes, messages and disconnects in the pipeline",
         totals->requests},
        {"tidegate_disconnects_waiting", "gauge",
         "Disconnects that wait for their turn, or for the registry to remove the row",
         totals->disconnects_waiting},
        {"tidegate_backend_connections", "gauge", "Connections to back ends", totals->upstream.connections},
        {"tidegate_backend_idle_connections", "gauge", "Those of them that are idle", totals->upstream.idle},
        {"tidegate_backend_pending_calls", "gauge", "Calls waiting for a connection",
         totals->upstream.pending},
        {"tidegate_backend_calls_total", "counter", "Calls started", totals->upstream.calls},
        {"tidegate_backend_opened_total", "counter", "Connections opened", totals->upstream.opened},
        {"tidegate_backend_reused_total", "counter", "Calls served by a kept connection",
         totals->upstream.reused},
        {"tidegate_backend_replayed_total", "counter", "Calls sent again on a fresh connection",
         totals->upstream.replayed},
        {"tidegate_backend_rejected_total", "counter", "Calls that found the queue full",
         totals->upstream.rejected},
        {"tidegate_backend_connect_failures_total", "counter", "Connections that failed",
         totals->upstream.connect_failures},
        {"tidegate_backend_timeouts_total", "counter", "Calls that timed out", totals->upstream.timeouts},
    };
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < sizeof rows / sizeof rows[0]; i++) {
        err = put(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    }
    return err;
}

static enum tg_err put_process(const struct tg_app *app, size_t answered, struct tg_buf *out)
{
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"tidegate_ready", "gauge", "1 when /readyz says ready", tg_app_unready(app) == NULL},
        {"tidegate_draining", "gauge", "0 while serving; of a drain 1 the grace, 2 the closing, 3 the end",
         app->drain.state},
        {"tidegate_workers", "gauge", "Worker threads", app->worker_count},
        {"tidegate_workers_answering", "gauge", "Workers that answered this request in time", answered},
        {"tidegate_max_clients", "gauge", "Client connections that the descriptor limit allows",
         app->max_descriptors},
        {"tidegate_config_generation", "gauge", "Configurations loaded", app->generation},
        {"tidegate_reloads_total", "counter", "Configurations taken over by SIGHUP", app->reloads},
        {"tidegate_reload_failures_total", "counter", "Configurations rejected", app->reload_failures},
        {"tidegate_log_lines_dropped_total", "counter", "Log lines that could not be written at once",
         atomic_load(&app->log.dropped)},
    };
    enum tg_err err = tg_buf_printf(out, "# HELP tidegate_info The version\n# TYPE tidegate_info gauge\n"
                                         "tidegate_info{version=\"" TG_VERSION "\"} 1\n");
    for (size_t i = 0; err == TG_OK && i < sizeof rows / sizeof rows[0]; i++) {
        err = put(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    }
    return err;
}

enum tg_err tg_app_metrics(struct tg_app *app, struct tg_worker_stats *totals, size_t answered,
                           struct tg_buf *out)
{
    struct tg_metrics *metrics[WORKERS_MAX];
    for (size_t i = 0; i < app->worker_count; i++) {
        metrics[i] = tg_worker_metrics(app->workers[i]);
    }
    enum tg_err err = put_process(app, answered, out);
    if (err == TG_OK) {
        err = put_connections(app, out);
    }
    if (err == TG_OK) {
        err = put_workers(app, out);
    }
    if (err == TG_OK) {
        err = put_close_codes(app, out);
    }
    if (err == TG_OK) {
        err = put_http(app, out);
    }
    if (err == TG_OK) {
        err = put_certificates(app->config, out);
    }
    if (err == TG_OK) {
        err = put_backends(totals, out);
    }
    if (err == TG_OK && app->cluster_node != NULL) {
        err = tg_node_metrics(app->cluster_node, out);
    }
    if (err == TG_OK) {
        err = tg_linkstats_render(&totals->links, out);
    }
    if (err == TG_OK) {
        err = tg_metrics_render(metrics, app->worker_count, out);
    }
    return err;
}
