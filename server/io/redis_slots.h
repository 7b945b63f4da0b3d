/* What a client of a Redis Cluster knows by heart: which slot a key lies in, and what redirections say.
 * Specification: https://redis.io/docs/reference/cluster-spec/. */
#ifndef TG_IO_REDIS_SLOTS_H
#define TG_IO_REDIS_SLOTS_H

#include "server/io/redis_url.h"

enum { TG_REDIS_SLOTS = 16384 };

/* By the hash tag where there is one: what stands between the first { and the next }, unless nothing does. */
uint16_t tg_redis_slot(struct tg_slice key);

enum tg_redis_redirection {
    TG_REDIS_STAY,  /* it is none: an answer like any */
    TG_REDIS_MOVED, /* the slot is there now */
    TG_REDIS_ASK,   /* this once, after ASKING */
    TG_REDIS_LATER  /* TRYAGAIN, CLUSTERDOWN: here, after a while */
};

/* Of an error's text. The place, borrowed from it, is that of MOVED and ASK; an empty host is that of whoever
 * said it. What is malformed is no redirection. */
enum tg_redis_redirection tg_redis_redirection(struct tg_slice error, uint16_t *slot,
                                               struct tg_redis_place *place);

#endif
