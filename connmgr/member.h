/* This node's membership in a cluster (docs/cluster.md): takes a number, keeps its lease, gives itself up
 * when the lease is lost and begins anew with another number, looks for nodes whose lease has run out and
 * claims them. One a process, on the main thread; what happens to connections is done by whoever gets the
 * events. */
#ifndef TG_CONNMGR_MEMBER_H
#define TG_CONNMGR_MEMBER_H

#include "connmgr/cluster.h"
#include "server/base/log.h"

struct tg_member;

enum { TG_MEMBER_CLAIMS = 256 }; /* dealt with at a time */

struct tg_member_events {
    /* The node has a number, by this token, of TG_TOKEN_LEN characters. */
    void (*on_joined)(void *arg, uint32_t node, const char *token);
    /* The lease is lost: close what was connected under this number, without $disconnects. on_joined follows
     * when there is a new one. */
    void (*on_lost)(void *arg, uint32_t node);
    /* Redis has lost its memory, not the node its lease: rows are to be written anew. */
    void (*on_forgotten)(void *arg);
    /* A dead node is this one's to deal with, until tg_member_dealt_with. rows: how many workers it had. own:
     * it was this process, under an earlier number. late: so long ago that another node may have dealt with
     * it and Redis have forgotten that, so that nobody is to be told of but who is in the rows. */
    void (*on_claimed)(void *arg, uint32_t node, uint32_t rows, const char *token, bool own, bool late);
    /* Another node has dealt with an earlier number of this process. Redis knows whom that has told of until
     * then for certain (tg_loop_boot_ms). */
    void (*on_settled)(void *arg, uint32_t node, uint64_t known_until_ms);
};

/* Begins at once and goes on trying. */
enum tg_err tg_member_new(struct tg_cluster *cluster, struct tg_loop *loop, struct tg_log *log,
                          const struct tg_member_events *events, void *arg,
                          struct tg_member **out) TG_MUST_CHECK;
/* NULL is allowed. */
void tg_member_free(struct tg_member *member);
/* 0: none now. */
uint32_t tg_member_node(const struct tg_member *member);
/* Why Redis cannot be reached, or what it denies a node that wants to join; NULL: nothing. */
const char *tg_member_problem(const struct tg_member *member);
/* ms since the lease was last kept; of metrics. */
uint64_t tg_member_lease_age_ms(const struct tg_member *member);
uint64_t tg_member_takeovers(const struct tg_member *member);
uint64_t tg_member_losses(const struct tg_member *member);
/* The takeover of this node has ended; not done: somebody may claim it anew. */
void tg_member_dealt_with(struct tg_member *member, uint32_t node, bool done);
/* Deals with no other node's death from now on, and claims its own earlier numbers only to have what is left
 * of them written. */
void tg_member_stand_back(struct tg_member *member);
/* All that this process had of its earlier number is in Redis: whoever claims it next deals with it. */
void tg_member_leave_to_others(struct tg_member *member, uint32_t node);
/* The orderly end: no connection is left. Gives the lease back, in the background; nothing more is claimed.
 */
void tg_member_leave(struct tg_member *member);
/* Whether that is over, or cannot be done. */
bool tg_member_left(const struct tg_member *member);

#endif
