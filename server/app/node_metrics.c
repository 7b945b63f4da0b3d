#include "server/app/node_private.h"

/* X(member of struct tg_cluster_counters, metric, help): sums over the workers. */
#define WORKER_COUNTERS(X)                                                                                   \
    X(served, "tidegate_cluster_served_total", "Questions of other nodes that were served")                  \
    X(expired, "tidegate_cluster_expired_total", "Questions of other nodes that came too late")              \
    X(malformed, "tidegate_cluster_malformed_total", "Envelopes and rows that could not be read")            \
    X(stalls, "tidegate_cluster_stalls_total", "Inboxes opened anew because a probe did not come back")      \
    X(rewrites, "tidegate_registry_rewrites_total", "Times that a worker brought its rows in line")          \
    X(taken_over, "tidegate_takeover_disconnects_total", "$disconnects issued for dead nodes")               \
    X(left, "tidegate_disconnects_left_total", "$disconnects left to the node that took over from this one")

/* X(member of struct tg_redis_counters, metric, help): of all connections. */
#define REDIS_COUNTERS(X)                                                                                    \
    X(commands, "tidegate_redis_commands_total", "Commands sent to Redis")                                   \
    X(round_trips, "tidegate_redis_round_trips_total", "Writes that carried them")                           \
    X(refused, "tidegate_redis_errors_total", "Commands that Redis refused")                                 \
    X(failed, "tidegate_redis_unanswered_total", "Commands that a broken connection left unanswered")        \
    X(timed_out, "tidegate_redis_timeouts_total", "Connections given up because Redis was silent")           \
    X(connects, "tidegate_redis_connects_total", "Connections to Redis opened")                              \
    X(connect_failures, "tidegate_redis_connect_failures_total", "Attempts to connect that failed")

static enum tg_err put(struct tg_buf *out, const char *name, const char *type, const char *help, double value)
{
    return tg_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name, value);
}

static uint64_t load(const _Atomic(uint64_t) *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static enum tg_err put_workers(const struct tg_cluster *cluster, struct tg_buf *out)
{
    enum tg_err err = TG_OK;
    size_t count = cluster->settings.workers;
#define X(member, name, help)                                                                                \
    if (err == TG_OK) {                                                                                      \
        uint64_t sum = 0;                                                                                    \
        for (size_t i = 0; i < count; i++) {                                                                 \
            sum += load(&cluster->workers[i].member);                                                        \
        }                                                                                                    \
        err = put(out, name, "counter", help, (double)sum);                                                  \
    }
    WORKER_COUNTERS(X)
#undef X
    return err;
}

static enum tg_err put_redis(const struct tg_cluster *cluster, struct tg_buf *out)
{
    enum tg_err err = TG_OK;
    uint64_t answered = load(&cluster->redis.answered), answered_ns = load(&cluster->redis.answered_ns);
    size_t count = cluster->settings.workers;
    for (size_t i = 0; i < count; i++) {
        answered += load(&cluster->workers[i].redis.answered);
        answered_ns += load(&cluster->workers[i].redis.answered_ns);
    }
#define X(member, name, help)                                                                                \
    if (err == TG_OK) {                                                                                      \
        uint64_t sum = load(&cluster->redis.member);                                                         \
        for (size_t i = 0; i < count; i++) {                                                                 \
            sum += load(&cluster->workers[i].redis.member);                                                  \
        }                                                                                                    \
        err = put(out, name, "counter", help, (double)sum);                                                  \
    }
    REDIS_COUNTERS(X)
#undef X
    static const char name[] = "tidegate_redis_reply_seconds";
    return err != TG_OK ? err
                        : tg_buf_printf(out,
                                        "# HELP %s From a command to its reply\n# TYPE %s summary\n"
                                        "%s_sum %.9f\n%s_count %llu\n",
                                        name, name, name, (double)answered_ns / 1e9, name,
                                        (unsigned long long)answered);
}

static enum tg_err put_questions(const struct tg_cluster *cluster, struct tg_buf *out)
{
    static const char name[] = "tidegate_cluster_questions_total";
    uint64_t asked = 0, answered = 0, gone = 0, unreachable = 0;
    for (size_t i = 0; i < cluster->settings.workers; i++) {
        const struct tg_cluster_counters *worker = &cluster->workers[i];
        asked += load(&worker->asked);
        answered += load(&worker->answered);
        gone += load(&worker->gone);
        unreachable += load(&worker->unreachable);
    }
    return tg_buf_printf(
        out,
        "# HELP %s Pushes for connections of other nodes: sent there, answered by the owner, "
        "known to be gone, and not deliverable now\n# TYPE %s counter\n"
        "%s{outcome=\"sent\"} %llu\n%s{outcome=\"answered\"} %llu\n"
        "%s{outcome=\"gone\"} %llu\n%s{outcome=\"unreachable\"} %llu\n",
        name, name, name, (unsigned long long)asked, name, (unsigned long long)answered, name,
        (unsigned long long)gone, name, (unsigned long long)unreachable);
}

enum tg_err tg_node_metrics(const struct tg_node *node, struct tg_buf *out)
{
    const struct tg_cluster *cluster = node->cluster;
    size_t clean = 0;
    for (size_t i = 0; i < node->worker_count; i++) {
        clean += atomic_load(&cluster->workers[i].rows_clean);
    }
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"tidegate_cluster_node", "gauge", "This node's number in the cluster; 0: it has none",
         tg_member_node(node->member)},
        {"tidegate_registry_up", "gauge", "1 when Redis can be reached, by every worker",
         tg_node_trouble(node) == NULL},
        {"tidegate_registry_lease_age_seconds", "gauge", "Since the lease was last kept",
         (double)tg_member_lease_age_ms(node->member) / 1000.0},
        {"tidegate_registry_rows_clean", "gauge", "1 when the rows in Redis are those of the connections",
         clean == node->worker_count},
        {"tidegate_cluster_leases_lost_total", "counter",
         "Times that this node closed all of its connections", (double)tg_member_losses(node->member)},
        {"tidegate_takeovers_total", "counter", "Dead nodes that this one has dealt with",
         (double)tg_member_takeovers(node->member)},
    };
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < sizeof rows / sizeof rows[0]; i++) {
        err = put(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    }
    if (err == TG_OK) {
        err = put_questions(cluster, out);
    }
    if (err == TG_OK) {
        err = put_workers(cluster, out);
    }
    return err == TG_OK ? put_redis(cluster, out) : err;
}
