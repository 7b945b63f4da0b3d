/* What the files of groups share, and what calls ask of them. upstream_group.c owns groups and targets;
 * upstream_choice.c says where a call goes, and where next; upstream_check.c asks targets how they are. */
#ifndef TG_IO_UPSTREAM_GROUP_PRIVATE_H
#define TG_IO_UPSTREAM_GROUP_PRIVATE_H

#include "server/base/crypto.h"
#include "server/io/upstream_health.h"
#include "server/io/upstream_private.h"

/* In the group's array; taken out of that by a reload, it lives as long as a call is under way on it. */
struct tg_target {
    struct tg_upstream_group *group;
    uint64_t id; /* never used again in its group */
    bool listed;
    struct tg_slice name;    /* in the group's arena; empty when no longer listed */
    struct tg_origin origin; /* strings of its own, trust held */
    size_t outstanding;
    struct tg_health health;
    struct tg_upstream_target_stats stats; /* the counters, status and changed_ms of it */
    struct tg_timer timer;                 /* to the next check */
    struct tg_call *check;                 /* under way; NULL: none */
    struct tg_header check_host;           /* its Host field, in the group's arena */
    int check_status;                      /* of the answer that is coming; 0: none */
    char text[];                           /* of the origin */
};

struct tg_upstream_group {
    struct tg_upstream *upstream;
    struct tg_arena arena; /* of all text that the options bring */
    struct tg_slice name;
    struct tg_target **targets;
    size_t count;
    size_t next; /* where the next choice begins to look */
    uint64_t last_id;
    struct tg_upstream_check_options check;
    struct tg_health_policy policy;
    unsigned max_attempts;
    uint64_t attempt_timeout_ms;
    struct tg_rng rng;
    size_t calls; /* under way */
    bool freed;   /* by its owner; goes with the last call */
};

/* upstream_group.c */

/* A call on the target is over, which may free it. */
void tg_target_leave(struct tg_target *target);
/* Frees the group when its owner and the last call are done with it. */
void tg_group_settle(struct tg_upstream_group *group);
/* Notes and logs that the target's state has become another. */
void tg_target_changed(struct tg_target *target);

/* upstream_check.c */

void tg_target_check_init(struct tg_target *target);
/* Checks as the group's options say from now on; what was under way is given up. */
void tg_target_check_start(struct tg_target *target, uint64_t within_ms);
void tg_target_check_stop(struct tg_target *target);

#endif
