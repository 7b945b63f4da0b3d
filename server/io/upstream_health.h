/* What a target's checks and calls say about it: counters and two ways to be out. Plain memory; time is
 * passed in, monotonic ms. Private to server/io. */
#ifndef TG_IO_UPSTREAM_HEALTH_H
#define TG_IO_UPSTREAM_HEALTH_H

#include "server/io/upstream_group.h"

struct tg_health_policy {
    unsigned healthy_threshold, unhealthy_threshold; /* checks in a row, at least 1 */
    unsigned eject_after;                            /* failed calls in a row; 0: never */
    uint64_t eject_ms, eject_max_ms;
};

struct tg_health {
    bool failing;                     /* by checks */
    unsigned checks_good, checks_bad; /* in a row */
    bool trial;
    uint64_t ejected_until_ms; /* 0: not ejected */
    unsigned calls_bad;        /* in a row */
    unsigned ejected_in_row;   /* without an answer between */
    enum tg_err call_err, check_err;
};

/* Each says whether the state has become another. */

/* The time of an ejection may be over. */
bool tg_health_look(struct tg_health *health, uint64_t now_ms);
bool tg_health_call_answered(struct tg_health *health);
bool tg_health_call_failed(struct tg_health *health, const struct tg_health_policy *policy, uint64_t now_ms,
                           enum tg_err err);
bool tg_health_check_good(struct tg_health *health, const struct tg_health_policy *policy);
/* err TG_OK: answered with another status than it should. */
bool tg_health_check_bad(struct tg_health *health, const struct tg_health_policy *policy, enum tg_err err);
/* No more checks: what they said is void. */
bool tg_health_unchecked(struct tg_health *health);

enum tg_target_state tg_health_state(const struct tg_health *health);
enum tg_err tg_health_reason(const struct tg_health *health);

#endif
