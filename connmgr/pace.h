/* How fast connections are closed: so many a second, with gaps that vary by chance, so that clients who come
 * back are not in step. It never falls behind what it takes to be done in time: where the rate is too low for
 * that, it rises. Arithmetic alone; times are milliseconds of any one clock. */
#ifndef TG_CONNMGR_PACE_H
#define TG_CONNMGR_PACE_H

#include "server/base/crypto.h"

struct tg_pace {
    double per_second; /* 0: no limit */
    double jitter;     /* 0 to 1: a gap is between 1 - jitter and 1 + jitter of the mean one */
    uint64_t until_ms; /* all is to be done by then */
    double next_ms;    /* when the next one is due */
    struct tg_rng rng;
};

/* The first one is due at once, or within a gap where there is jitter. */
void tg_pace_start(struct tg_pace *pace, double per_second, double jitter, uint64_t until_ms, uint64_t now_ms,
                   uint64_t seed);
/* How many of `left` are due now; they count as done. One who was late makes up for a tenth of a second, not
 * for more: the rest is put off. All, when the time is over. */
size_t tg_pace_due(struct tg_pace *pace, size_t left, uint64_t now_ms);
/* From now to the next one: at least 1, at most `most`. */
uint64_t tg_pace_wait(const struct tg_pace *pace, uint64_t now_ms, uint64_t most);
/* The rate at which `left` are done by until_ms, and not below per_second. */
double tg_pace_rate(const struct tg_pace *pace, size_t left, uint64_t now_ms);

#endif
