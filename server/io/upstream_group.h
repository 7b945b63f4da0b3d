/* A named group of back ends that stand in for one another (spec 1.9, private integrations): chooses the
 * target of each call, tries another where that does no harm, and keeps off targets that fail. One a worker,
 * which judges for itself: workers share nothing. A call goes to a group by `group` of its request;
 * everything else about it is as with a plain origin.
 *
 * Choice: the target with the fewest calls under way among the healthy ones, ties in turn. When none is
 * healthy, all are tried as if they were: a group that has misjudged its targets must not be the outage.
 *
 * Second tries: a call that failed before a byte of it was written goes to another target; one that failed
 * before the head of its answer does if it is replayable (`replayable`, or GET, HEAD, OPTIONS, PUT, DELETE)
 * and none of a streamed body has gone beyond recall: the first 16 KiB of head and body are kept. Each target
 * once at most, max_attempts in all, and within the call's timeout_ms; the time of the head begins anew.
 * Everything else ends the call. (A kept connection that turns out closed is the client's own affair and no
 * failure: see `replayable`.)
 *
 * Health has two sources. Checks: a GET now and then on a connection of its own, outside the pool's limit.
 * Calls: failures in a row take a target out for a time that doubles while its first call behind that, the
 * trial, fails again. What counts as a failure: no connection, no TLS, a connection cut or an unreadable
 * answer before the head, no head in time. An answer of any status is a success: whether a 500 is the
 * target's or the request's fault cannot be told from here; the checks' statuses are for that. */
#ifndef TG_IO_UPSTREAM_GROUP_H
#define TG_IO_UPSTREAM_GROUP_H

#include "server/io/upstream.h"

enum { TG_UPSTREAM_ATTEMPTS_MAX = 8 };

struct tg_upstream_target_options {
    struct tg_slice name;    /* for logs and figures */
    struct tg_origin origin; /* with trust; what tells targets apart, but for trust */
};

struct tg_upstream_check_options {
    struct tg_slice path; /* with the query; empty: no checks */
    struct tg_slice host; /* Host field; empty: the target's host and port */
    uint64_t interval_ms; /* from the end of one to the start of the next, a tenth more or less by chance */
    uint64_t timeout_ms;  /* of the whole exchange */
    unsigned healthy_threshold, unhealthy_threshold; /* in a row; 0 counts as 1 */
    int status_min, status_max;                      /* healthy answers, both included */
};

struct tg_upstream_group_options {
    struct tg_slice name;
    const struct tg_upstream_target_options *targets; /* at least one */
    size_t target_count;
    struct tg_upstream_check_options check;
    unsigned eject_after;  /* failures in a row; 0: never */
    uint64_t eject_ms;     /* the first time; doubles up to eject_max_ms */
    uint64_t eject_max_ms; /* less than eject_ms counts as that */
    unsigned max_attempts; /* targets tried for a call; 0 counts as 1, TG_UPSTREAM_ATTEMPTS_MAX at most */
    uint64_t
        attempt_timeout_ms; /* as head_timeout_ms, for one target while the call may go to another; 0: none */
    uint64_t seed;          /* of the checks' times; one's own for each worker */
};

/* Targets are taken for healthy until they show otherwise; the first checks go out within a second. Options
 * are copied, trust is held. TG_EINVAL: no target, one without host, TLS without trust, checks without an
 * interval or a timeout; TG_EEXIST: the same target twice; TG_ENOMEM. */
enum tg_err tg_upstream_group_new(struct tg_upstream *upstream,
                                  const struct tg_upstream_group_options *options,
                                  struct tg_upstream_group **out) TG_MUST_CHECK;
/* Targets that stay (by origin, whatever their trust) keep their health and figures, calls under way go on,
 * also to targets that are no longer there. On failure nothing has changed. */
enum tg_err tg_upstream_group_configure(struct tg_upstream_group *group,
                                        const struct tg_upstream_group_options *options) TG_MUST_CHECK;
/* Ends the checks; calls under way go on to their end and hold what they need. The client must outlive them.
 * NULL is allowed. */
void tg_upstream_group_free(struct tg_upstream_group *group);

enum tg_target_state {
    TG_TARGET_HEALTHY,
    TG_TARGET_TRIAL,   /* was ejected, and gets one call at a time until one is answered */
    TG_TARGET_EJECTED, /* by failures of calls */
    TG_TARGET_FAILING  /* by checks */
};
/* "healthy", "trial", "ejected", "failing". */
const char *tg_target_state_text(enum tg_target_state state);

struct tg_upstream_target_stats {
    struct tg_slice name; /* until the next configure */
    enum tg_target_state state;
    enum tg_err reason; /* of a state that is not healthy; TG_OK: the status of a check */
    int status;         /* of the last check that was answered; 0: none */
    int64_t changed_ms; /* wall clock, when the state was taken */
    size_t outstanding; /* calls under way */
    uint64_t calls;     /* attempts made here, checks aside */
    uint64_t failures;  /* those that failed, as above */
    uint64_t moved;     /* failed attempts that went on to another target */
    uint64_t checks_ok, checks_failed, ejections;
};
size_t tg_upstream_group_count(const struct tg_upstream_group *group);
/* index < count; in the order of the options. */
void tg_upstream_group_target(struct tg_upstream_group *group, size_t index,
                              struct tg_upstream_target_stats *out);
struct tg_slice tg_upstream_group_name(const struct tg_upstream_group *group);

#endif
