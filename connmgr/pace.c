#include "connmgr/pace.h"

static const double catch_up_ms = 100.0;

/* Between 0 and 1. */
static double chance(struct tg_pace *pace)
{
    return (double)(tg_rng_next(&pace->rng) >> 11) / 9007199254740992.0;
}

static double gap(struct tg_pace *pace, double rate)
{
    return 1000.0 / rate * (1.0 + pace->jitter * (2.0 * chance(pace) - 1.0));
}

void tg_pace_start(struct tg_pace *pace, double per_second, double jitter, uint64_t until_ms, uint64_t now_ms,
                   uint64_t seed)
{
    *pace = (struct tg_pace){
        .per_second = per_second > 0 ? per_second : 0, .jitter = jitter, .until_ms = until_ms};
    tg_rng_seed(&pace->rng, seed);
    pace->next_ms = (double)now_ms;
    if (pace->per_second > 0) {
        pace->next_ms += 1000.0 / pace->per_second * jitter * chance(pace);
    }
}

double tg_pace_rate(const struct tg_pace *pace, size_t left, uint64_t now_ms)
{
    if (pace->per_second <= 0 || now_ms >= pace->until_ms) {
        return 0;
    }
    double needed = (double)left * 1000.0 / (double)(pace->until_ms - now_ms);
    return needed > pace->per_second ? needed : pace->per_second;
}

size_t tg_pace_due(struct tg_pace *pace, size_t left, uint64_t now_ms)
{
    double now = (double)now_ms, rate = tg_pace_rate(pace, left, now_ms);
    size_t due = 0;
    if (rate <= 0) {
        return left;
    }
    if (pace->next_ms < now - catch_up_ms) {
        pace->next_ms = now - catch_up_ms;
    }
    /* The first was placed by a rate that may have been lower. */
    double latest = now + 1000.0 / rate * (1.0 + pace->jitter);
    if (pace->next_ms > latest) {
        pace->next_ms = latest;
    }
    while (due < left && pace->next_ms <= now) {
        due++;
        pace->next_ms += gap(pace, rate);
    }
    return due;
}

uint64_t tg_pace_wait(const struct tg_pace *pace, uint64_t now_ms, uint64_t most)
{
    double wait = pace->next_ms - (double)now_ms;
    return wait <= 1 ? 1 : wait >= (double)most ? most : (uint64_t)wait;
}
