#include <stdlib.h>

#include "connmgr/bus.h"
#include "connmgr/uplink.h"
#include "connmgr/peers.h"
#include "connmgr/push.h"
#include "connmgr/seen.h"
#include "connmgr/wire.h"

/* Envelopes between nodes (docs/cluster.md): PUBLISH to the inbox channel of the worker that they are for.
 * Those within the process go by the local bus, without Redis. */

enum {
    ENVELOPE_MAX = 1 << 20, /* bytes; a push has at most 384 KiB of UTF-8, a batch some 80 KB more */
    EXPIRY_MS = 1000,       /* after the owner's time: half of what the asker waits longer */
};

struct lent_link {
    struct tg_uplink *link;
    struct tg_log *log;
};

struct redis_bus {
    struct tg_bus base;
    struct tg_cluster *cluster;
    struct tg_bus *local; /* knows the process as node 0 */
    struct lent_link lent[];
};

struct redis_port {
    struct tg_bus_port base;
    struct redis_bus *bus;
    struct tg_loop *loop;
    struct tg_log *log;
    uint32_t worker, node; /* node 0: none yet */
    struct tg_bus_port *local;
    struct tg_uplink *link;
    struct tg_peers *peers;
    struct tg_redis_inbox *inbox;
    bool subscribed; /* to the inbox of `node` */
    bool heard;      /* something came in since the last probe */
    bool probed;     /* a probe is on its way */
    bool quitting;   /* the inbox is being closed for good */
    struct tg_timer probe;
    struct tg_buf out;
    struct tg_seen seen;
    tg_bus_deliver_fn *deliver;
    void *arg;
    struct tg_cluster_counters *counters;
};

static int64_t redis_now_ms(const struct redis_port *port)
{
    return (int64_t)tg_loop_now_ms(port->loop) +
           atomic_load_explicit(&port->bus->cluster->redis_clock_ms, memory_order_relaxed);
}

/* ---- sending ---- */

/* A question on its way to another node. */
struct question {
    struct redis_port *port;
    uint64_t correlation;
    uint32_t node;
    enum tg_envelope_kind answer;
    int verb;
};

/* In the name of a node that cannot answer. */
static void answer_for(const struct question *question, enum tg_push_outcome outcome)
{
    struct redis_port *port = question->port;
    struct tg_envelope *envelope;
    const struct tg_envelope model = {
        .kind = question->answer,
        .correlation = question->correlation,
        .verb = question->verb,
        .outcome = (int)outcome,
    };
    tg_cluster_count(outcome == TG_PUSH_GONE ? &port->counters->gone : &port->counters->unreachable, 1);
    if (tg_envelope_new(&model, &envelope) == TG_OK) { /* else the asker's clock tells it */
        port->deliver(port->arg, envelope);
    }
}

/* Of a node that the question has perhaps not reached. In a Cluster the asker waits for an answer all the
 * same. */
static void on_state(void *arg, enum tg_node_state state)
{
    struct question *question = arg;
    if (state == TG_NODE_DEAD) {
        answer_for(question, TG_PUSH_GONE);
    } else if (!tg_uplink_counts_part(question->port->link)) {
        answer_for(question, TG_PUSH_UNREACHABLE);
    }
    free(question);
}

/* How many subscribers have got it: in a Cluster, of those at one server. Where the connection broke, the
 * question may yet arrive: the asker waits until it has expired, so that what it says of it stays true. */
static void on_published(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct question *question = arg;
    bool nobody = err == TG_OK && tg_redis_reply_integer(reply) == 0;
    if (nobody && tg_peers_ask(question->port->peers, question->node, on_state, question) == TG_OK) {
        return;
    }
    if ((nobody && !tg_uplink_counts_part(question->port->link)) || err == TG_EDENIED) {
        answer_for(question, TG_PUSH_UNREACHABLE);
    }
    free(question);
}

static enum tg_err publish(struct redis_port *port, struct tg_bus_address to,
                           const struct tg_envelope *envelope, int64_t expires_ms, tg_redis_reply_fn *done,
                           void *arg)
{
    struct tg_cluster_key channel = tg_cluster_worker_key(port->bus->cluster, to.node, to.worker, "inbox");
    tg_buf_clear(&port->out);
    enum tg_err err = tg_wire_write_envelope(&port->out, envelope, expires_ms);
    if (err != TG_OK) {
        return err;
    }
    return tg_uplink_publish(port->link, tg_cluster_key_slice(&channel), tg_buf_slice(&port->out), done, arg);
}

static enum tg_err ask(struct redis_port *port, const struct tg_envelope *envelope)
{
    if (tg_cluster_is_dead(port->bus->cluster, envelope->to.node, tg_loop_now_ms(port->loop))) {
        tg_cluster_count(&port->counters->gone, 1);
        return TG_ENOTFOUND;
    }
    /* Without an inbox there would be a question, but no answer. */
    if (!port->subscribed || port->quitting ||
        !tg_cluster_held(port->bus->cluster, port->node, tg_loop_now_ms(port->loop))) {
        return TG_ECLOSED;
    }
    struct question *question = malloc(sizeof *question);
    if (question == NULL) {
        return TG_ENOMEM;
    }
    *question = (struct question){.port = port,
                                  .correlation = envelope->correlation,
                                  .node = envelope->to.node,
                                  .answer = envelope->kind == TG_ENVELOPE_BATCH ? TG_ENVELOPE_BATCH_ANSWER
                                                                                : TG_ENVELOPE_ANSWER,
                                  .verb = envelope->verb};
    int64_t expires = redis_now_ms(port) + (int64_t)envelope->timeout_ms + EXPIRY_MS;
    enum tg_err err = publish(port, envelope->to, envelope, expires, on_published, question);
    if (err != TG_OK) {
        free(question);
        return err;
    }
    tg_cluster_count(&port->counters->asked, 1);
    return TG_OK;
}

static enum tg_err redis_send(struct tg_bus_port *base, struct tg_envelope *envelope)
{
    struct redis_port *port = (struct redis_port *)base;
    uint32_t node = envelope->to.node;
    if (node == port->node || node == 0) {
        /* The process answers itself, whatever its number is by then, on the threads that know of it. */
        const struct tg_bus_address from = envelope->from;
        envelope->to.node = envelope->from.node = 0;
        enum tg_err err = tg_bus_send(port->local, envelope);
        if (err != TG_OK) {
            envelope->to.node = node;
            envelope->from = from;
        }
        return err;
    }
    if (tg_envelope_asks(envelope->kind)) {
        enum tg_err err = ask(port, envelope);
        if (err != TG_OK && err != TG_ENOTFOUND) {
            tg_cluster_count(&port->counters->unreachable, 1);
        }
        if (err == TG_OK) {
            tg_envelope_free(envelope);
        }
        return err;
    }
    enum tg_err err = publish(port, envelope->to, envelope, 0, NULL, NULL);
    if (err == TG_OK) {
        tg_envelope_free(envelope);
    }
    return err;
}

static void redis_suspect(struct tg_bus_port *base, uint32_t node)
{
    struct redis_port *port = (struct redis_port *)base;
    if (node != port->node) {
        (void)!tg_peers_ask(port->peers, node, NULL, NULL); /* a next push may profit */
    }
}

/* ---- the inbox ---- */

/* A question that comes after its asker gave up must change nothing: the caller has been told that nobody
 * knows, and may have sent the next. Nor must one that comes twice: servers of a Cluster pass on to each
 * other what is published, also to where the inbox has moved meanwhile. */
static bool in_time(struct redis_port *port, struct tg_envelope *envelope, int64_t expires_ms)
{
    int64_t now = redis_now_ms(port), left = expires_ms - now;
    if (left <= 0 || port->node == 0 ||
        !tg_seen_take(&port->seen, envelope->from, envelope->correlation, expires_ms, now)) {
        return false;
    }
    envelope->timeout_ms = (uint64_t)left < envelope->timeout_ms ? (uint64_t)left : envelope->timeout_ms;
    return true;
}

static void on_message(void *arg, struct tg_slice payload)
{
    struct redis_port *port = arg;
    struct tg_envelope *envelope;
    int64_t expires_ms = 0;
    port->heard = true;
    port->probed = false;
    if (payload.len > ENVELOPE_MAX || tg_wire_read_envelope(payload, &envelope, &expires_ms) != TG_OK) {
        tg_cluster_count(&port->counters->malformed, 1);
        return;
    }
    if (envelope->kind == TG_ENVELOPE_PROBE) {
        tg_envelope_free(envelope);
        return;
    }
    if (tg_envelope_asks(envelope->kind)) {
        bool serve = in_time(port, envelope, expires_ms);
        tg_cluster_count(serve ? &port->counters->served : &port->counters->expired, 1);
        if (!serve) {
            tg_envelope_free(envelope);
            return;
        }
    } else {
        bool gone = envelope->outcome == TG_PUSH_GONE;
        tg_cluster_count(gone ? &port->counters->gone : &port->counters->answered, 1);
    }
    port->deliver(port->arg, envelope);
}

static void set_subscribed(struct redis_port *port, bool subscribed)
{
    port->subscribed = subscribed;
    port->probed = false;
    atomic_store(&port->counters->inbox_up, subscribed);
}

static void on_inbox_open(void *arg)
{
    set_subscribed(arg, true);
}

static void on_inbox_closed(void *arg)
{
    set_subscribed(arg, false);
}

static void on_inbox_refused(void *arg, struct tg_slice reason)
{
    const struct redis_port *port = arg;
    tg_log(port->log, TG_LOG_ERROR, "Redis refused the subscription", TG_KV("reason", reason));
}

static const struct tg_redis_inbox_events inbox_events = {.on_open = on_inbox_open,
                                                          .on_closed = on_inbox_closed,
                                                          .on_refused = on_inbox_refused,
                                                          .on_message = on_message};

static void listen_as(struct redis_port *port, uint32_t node)
{
    struct tg_cluster_key channel = tg_cluster_worker_key(port->bus->cluster, node, port->worker, "inbox");
    tg_redis_inbox_listen(port->inbox, node != 0 ? tg_cluster_key_slice(&channel) : TG_EMPTY);
}

/* A subscription can die without a word: an inbox that was silent for an interval gets a letter from itself,
 * and when that has not come by the end of the next, it is opened anew. */
static void on_probe(struct tg_timer *timer)
{
    struct redis_port *port = TG_CONTAINER(timer, struct redis_port, probe);
    tg_timer_start(port->loop, timer, port->bus->cluster->settings.probe_ms);
    if (!port->subscribed || port->quitting) {
        return;
    }
    if (port->probed) {
        tg_cluster_count(&port->counters->stalls, 1);
        tg_log(port->log, TG_LOG_WARN, "the inbox is silent, opening it anew",
               TG_KV_INT("worker", port->worker));
        set_subscribed(port, false);
        tg_redis_inbox_reset(port->inbox, "the inbox was silent");
        return;
    }
    const struct tg_envelope probe = {.kind = TG_ENVELOPE_PROBE,
                                      .from = {.node = port->node, .worker = port->worker}};
    /* Where not even the probe can be sent, the link's own trouble says so. */
    port->probed = !port->heard && publish(port, probe.from, &probe, 0, NULL, NULL) == TG_OK;
    port->heard = false;
}

/* ---- ports ---- */

static const struct tg_bus_ops redis_ops;

static void redis_close(struct tg_bus_port *base)
{
    struct redis_port *port = (struct redis_port *)base;
    tg_timer_stop(&port->probe);
    tg_redis_inbox_free(port->inbox);
    if (port->local != NULL) {
        tg_bus_close(port->local);
    }
    tg_peers_free(port->peers);
    tg_buf_free(&port->out);
    free(port);
}

static enum tg_err redis_open(struct tg_bus *base, struct tg_loop *loop, uint32_t worker,
                              tg_bus_deliver_fn *deliver, void *arg, struct tg_bus_port **out)
{
    struct redis_bus *bus = (struct redis_bus *)base;
    if (worker >= bus->cluster->settings.workers || bus->lent[worker].link == NULL) {
        return TG_EINVAL;
    }
    struct redis_port *port = calloc(1, sizeof *port);
    if (port == NULL) {
        return TG_ENOMEM;
    }
    port->base.ops = &redis_ops;
    port->bus = bus;
    port->loop = loop;
    port->worker = worker;
    port->link = bus->lent[worker].link;
    port->log = bus->lent[worker].log;
    port->deliver = deliver;
    port->arg = arg;
    port->counters = &bus->cluster->workers[worker];
    tg_timer_init(&port->probe, on_probe);
    tg_buf_init(&port->out, ENVELOPE_MAX);
    enum tg_err err = tg_bus_open(bus->local, loop, worker, deliver, arg, &port->local);
    if (err == TG_OK) {
        err = tg_peers_new(bus->cluster, loop, port->link, &port->peers);
    }
    if (err == TG_OK) {
        err = tg_uplink_open_inbox(port->link, &inbox_events, port, &port->inbox);
    }
    if (err != TG_OK) {
        redis_close(&port->base);
        return err;
    }
    tg_timer_start(loop, &port->probe, bus->cluster->settings.probe_ms);
    *out = &port->base;
    return TG_OK;
}

static void redis_renumber(struct tg_bus_port *base, uint32_t node)
{
    struct redis_port *port = (struct redis_port *)base;
    set_subscribed(port, false);
    port->node = node;
    tg_peers_renumber(port->peers, node);
    listen_as(port, node);
}

static bool redis_quit(struct tg_bus_port *base)
{
    struct redis_port *port = (struct redis_port *)base;
    if (!port->quitting) {
        port->quitting = true;
        tg_redis_inbox_stop(port->inbox);
    }
    return !port->subscribed;
}

static void redis_free(struct tg_bus *base)
{
    struct redis_bus *bus = (struct redis_bus *)base;
    tg_bus_free(bus->local);
    free(bus);
}

static const struct tg_bus_ops redis_ops = {
    .open = redis_open,
    .close = redis_close,
    .send = redis_send,
    .renumber = redis_renumber,
    .suspect = redis_suspect,
    .quit = redis_quit,
    .free = redis_free,
};

enum tg_err tg_bus_redis_new(struct tg_cluster *cluster, size_t limit, struct tg_bus **out)
{
    size_t workers = cluster->settings.workers;
    struct redis_bus *bus = calloc(1, sizeof *bus + workers * sizeof bus->lent[0]);
    if (bus == NULL) {
        return TG_ENOMEM;
    }
    bus->base.ops = &redis_ops;
    bus->cluster = cluster;
    enum tg_err err = tg_bus_local_new(0, workers, limit, &bus->local);
    if (err != TG_OK) {
        free(bus);
        return err;
    }
    *out = &bus->base;
    return TG_OK;
}

void tg_bus_redis_lend(struct tg_bus *base, uint32_t worker, struct tg_uplink *link, struct tg_log *log)
{
    struct redis_bus *bus = (struct redis_bus *)base;
    bus->lent[worker] = (struct lent_link){.link = link, .log = log};
}
