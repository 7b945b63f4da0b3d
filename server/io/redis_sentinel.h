/* Where the primary is, as Sentinels say: one of them is asked at a time, over a standing connection, at
 * every look and when the primary is lost. One that does not answer, does not know, or names what cannot be
 * reached or is no primary is left for the next. Owned by the site (redis_one.c). */
#ifndef TG_IO_REDIS_SENTINEL_H
#define TG_IO_REDIS_SENTINEL_H

#include "server/io/redis.h"

struct tg_redis_sentinel;

struct tg_redis_sentinel_events {
    /* The primary is there: said with each look, the same as before or another. Borrowed for the call. */
    void (*on_primary)(void *arg, struct tg_redis_place place);
    /* A Sentinel could not say; the next is asked. */
    void (*on_trouble)(void *arg);
};

/* The options are those of the site; what they borrow outlives this. */
enum tg_err tg_redis_sentinel_new(const struct tg_redis_options *options,
                                  const struct tg_redis_sentinel_events *events, void *arg,
                                  struct tg_redis_sentinel **out) TG_MUST_CHECK;
/* NULL is allowed. Not from inside an event. */
void tg_redis_sentinel_free(struct tg_redis_sentinel *sentinel);
/* What was named last takes commands. */
void tg_redis_sentinel_trust(struct tg_redis_sentinel *sentinel);
/* What was named last is lost, or could not be reached, or is no primary: looks now, if a Sentinel can be
 * reached. */
void tg_redis_sentinel_doubt(struct tg_redis_sentinel *sentinel);
/* Why the last look said nothing. */
const char *tg_redis_sentinel_problem(const struct tg_redis_sentinel *sentinel);

#endif
