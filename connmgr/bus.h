/* The bus: carries envelopes from one worker to another, of this process (bus_local.c: a mailbox a worker)
 * or also of another node (bus_redis.c). No caller ever asks which. Delivery is at most once, in order per
 * sender and receiver; a lost envelope shows as a time-out at whoever waits for the answer. */
#ifndef TG_CONNMGR_BUS_H
#define TG_CONNMGR_BUS_H

#include "connmgr/connid.h"
#include "server/io/loop.h"

enum tg_envelope_kind {
    TG_ENVELOPE_PUSH,
    TG_ENVELOPE_ANSWER,
    TG_ENVELOPE_PROBE, /* of the Redis bus to itself; never delivered */
    TG_ENVELOPE_BATCH, /* one message to many connections of the owner (batch.h) */
    TG_ENVELOPE_BATCH_ANSWER
};

/* Whether it waits for an answer. */
static inline bool tg_envelope_asks(enum tg_envelope_kind kind)
{
    return kind == TG_ENVELOPE_PUSH || kind == TG_ENVELOPE_BATCH;
}

struct tg_bus_address {
    uint32_t node, worker;
};

/* One allocation; the variable parts follow the struct. */
struct tg_envelope {
    struct tg_mail mail; /* the local bus's */
    enum tg_envelope_kind kind;
    struct tg_bus_address from, to;
    uint64_t correlation; /* the asker's; an answer carries it back */
    int verb;             /* enum tg_push_verb */
    int outcome;          /* enum tg_push_outcome, in answers */
    struct tg_connid target;
    bool binary;
    uint64_t timeout_ms;               /* how long the owner may try */
    int close_code;                    /* DELETE */
    int64_t connected_at, last_active; /* GET answers, wall ms */
    struct tg_slice text[4];           /* by kind: see push.c, batch.c */
};

/* Copies the slices behind the struct. */
enum tg_err tg_envelope_new(const struct tg_envelope *model, struct tg_envelope **out) TG_MUST_CHECK;
void tg_envelope_free(struct tg_envelope *envelope);

struct tg_bus;      /* shared by the workers of the process */
struct tg_bus_port; /* one worker's end */

typedef void tg_bus_deliver_fn(void *arg, struct tg_envelope *envelope); /* takes the envelope */

struct tg_bus_ops {
    enum tg_err (*open)(struct tg_bus *bus, struct tg_loop *loop, uint32_t worker, tg_bus_deliver_fn *deliver,
                        void *arg, struct tg_bus_port **out);
    void (*close)(struct tg_bus_port *port);
    enum tg_err (*send)(struct tg_bus_port *port, struct tg_envelope *envelope);
    void (*renumber)(struct tg_bus_port *port, uint32_t node);
    void (*suspect)(struct tg_bus_port *port, uint32_t node);
    bool (*quit)(struct tg_bus_port *port);
    void (*free)(struct tg_bus *bus);
};

struct tg_bus {
    const struct tg_bus_ops *ops;
};

struct tg_bus_port {
    const struct tg_bus_ops *ops;
};

/* Made and freed by the app; limit: envelopes waiting per worker. For one node: envelopes to any other find
 * nobody. */
enum tg_err tg_bus_local_new(uint32_t node, size_t workers, size_t limit, struct tg_bus **out) TG_MUST_CHECK;
/* Across the nodes of a cluster; within the process as the local one. Each worker's link is lent to it before
 * its port is opened, and outlives the port. */
struct tg_cluster;
struct tg_uplink;
struct tg_log;
enum tg_err tg_bus_redis_new(struct tg_cluster *cluster, size_t limit, struct tg_bus **out) TG_MUST_CHECK;
void tg_bus_redis_lend(struct tg_bus *base, uint32_t worker, struct tg_uplink *link, struct tg_log *log);
static inline void tg_bus_free(struct tg_bus *bus) /* after all ports are closed and all workers have ended */
{
    if (bus != NULL) {
        bus->ops->free(bus);
    }
}

/* On the worker's thread, before any other worker sends to it (the app opens all ports before running the
 * loops). */
static inline enum tg_err TG_MUST_CHECK tg_bus_open(struct tg_bus *bus, struct tg_loop *loop, uint32_t worker,
                                                    tg_bus_deliver_fn *deliver, void *arg,
                                                    struct tg_bus_port **out)
{
    return bus->ops->open(bus, loop, worker, deliver, arg, out);
}
static inline void tg_bus_close(struct tg_bus_port *port)
{
    if (port != NULL) {
        port->ops->close(port);
    }
}
/* TG_OK: on its way (the bus took the envelope); a question that then cannot be delivered is answered by the
 * bus itself. TG_ENOTFOUND: no such worker, or its node is dead; TG_EBUSY: its inbox is full; TG_ECLOSED: its
 * node cannot be reached now; TG_ENOMEM: the envelope stays the caller's. */
static inline enum tg_err TG_MUST_CHECK tg_bus_send(struct tg_bus_port *port, struct tg_envelope *envelope)
{
    return port->ops->send(port, envelope);
}
/* The node has this number from now on; 0: none. */
static inline void tg_bus_renumber(struct tg_bus_port *port, uint32_t node)
{
    port->ops->renumber(port, node);
}
/* The worker is about to end: no other node shall ask it any more. Called until it says true: whatever was on
 * its way has been delivered, or there is no way. */
static inline bool tg_bus_quit(struct tg_bus_port *port)
{
    return port->ops->quit(port);
}
/* The node has not answered: worth finding out whether it is dead. */
static inline void tg_bus_suspect(struct tg_bus_port *port, uint32_t node)
{
    port->ops->suspect(port, node);
}

#endif
