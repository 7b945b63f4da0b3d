/* The bus: carries envelopes from one worker to another, of this process (bus_local.c: a mailbox a worker)
 * or, later, of another node. No caller ever asks which. Delivery is at most once, in order per sender and
 * receiver; a lost envelope shows as a time-out at whoever waits for the answer. */
#ifndef TG_CONNMGR_BUS_H
#define TG_CONNMGR_BUS_H

#include "connmgr/connid.h"
#include "server/io/loop.h"

enum tg_envelope_kind { TG_ENVELOPE_PUSH, TG_ENVELOPE_ANSWER };

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
    struct tg_slice text[4];           /* by kind: see push.c */
};

/* Copies the slices behind the struct. */
enum tg_err tg_envelope_new(const struct tg_envelope *model, struct tg_envelope **out) TG_MUST_CHECK;
void tg_envelope_free(struct tg_envelope *envelope);

struct tg_bus;      /* shared by the workers of the process */
struct tg_bus_port; /* one worker's end */

typedef void tg_bus_deliver_fn(void *arg, struct tg_envelope *envelope); /* takes the envelope */

/* Made and freed by the app; limit: envelopes waiting per worker. */
enum tg_err tg_bus_local_new(uint32_t node, size_t workers, size_t limit, struct tg_bus **out) TG_MUST_CHECK;
void tg_bus_free(struct tg_bus *bus); /* after all ports are closed and all workers have ended */

/* On the worker's thread, before any other worker sends to it (the app opens all ports before running the
 * loops). */
enum tg_err tg_bus_open(struct tg_bus *bus, struct tg_loop *loop, uint32_t worker, tg_bus_deliver_fn *deliver,
                        void *arg, struct tg_bus_port **out) TG_MUST_CHECK;
void tg_bus_close(struct tg_bus_port *port);
/* TG_OK: on its way (the bus took the envelope). TG_ENOTFOUND: no such node or worker; TG_EBUSY: its inbox is
 * full: the envelope stays the caller's. */
enum tg_err tg_bus_send(struct tg_bus_port *port, struct tg_envelope *envelope) TG_MUST_CHECK;

#endif
