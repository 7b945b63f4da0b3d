/* A worker's part in the cluster (docs/cluster.md): its way to Redis, what happens to its connections when
 * the node gets, loses or changes its number, and the takeovers of dead nodes that run on it. Exists with a
 * Redis registry only. On the worker's thread, but for making and freeing. */
#ifndef TG_APP_SEAT_H
#define TG_APP_SEAT_H

#include "connmgr/cluster.h"
#include "routes/engine.h"

struct tg_seat;

struct tg_seat_options {
    struct tg_cluster *cluster;
    struct tg_engine *engine; /* with loop, log and connmgr; push and registry follow */
    struct tg_bus *bus;       /* gets the link of this worker */
    uint32_t worker;
    void (*on_taken_over)(void *arg, uint32_t node, bool done);
    void (*on_restored)(void *arg, uint32_t node, bool done);
    void *arg;
};

enum tg_err tg_seat_new(const struct tg_seat_options *options, struct tg_seat **out) TG_MUST_CHECK;
enum tg_err tg_seat_make_registry(struct tg_seat *seat, const struct tg_connmgr_options *identity,
                                  struct tg_registry **out) TG_MUST_CHECK;
/* Ends the connection to Redis and every takeover, before push and registry are freed. NULL is allowed. */
void tg_seat_close(struct tg_seat *seat);
void tg_seat_free(struct tg_seat *seat);

/* The node has this number, by this token. */
void tg_seat_join(struct tg_seat *seat, uint32_t node, const char *token);
/* It has lost its number: every connection is closed, without a $disconnect of ours. */
void tg_seat_fence(struct tg_seat *seat);
void tg_seat_rewrite(struct tg_seat *seat);
/* What is left of a lost number, under the claim of this token: on_restored follows. late as in registry.h.
 */
void tg_seat_restore(struct tg_seat *seat, uint32_t node, const char *token, bool late);
void tg_seat_settle(struct tg_seat *seat, uint32_t node, uint64_t known_until_ms);
void tg_seat_take_over(struct tg_seat *seat, uint32_t node, uint32_t rows, const char *token);
/* The worker drains: takeovers are left to others. */
void tg_seat_drain(struct tg_seat *seat);
/* Connections whose $disconnects may be this worker's to issue, as it is about to know: those of numbers that
 * were lost, as long as the node has a number (without one, what Redis has of them is another node's), and
 * those of dead nodes that Redis was asked about. */
size_t tg_seat_unsettled(const struct tg_seat *seat);

#endif
