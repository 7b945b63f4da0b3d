/* What the files of the Redis client share; private to server/io/redis*.c. redis.c has the life of a
 * connection, redis_queue.c commands and replies. */
#ifndef TG_IO_REDIS_PRIVATE_H
#define TG_IO_REDIS_PRIVATE_H

#include "server/base/buf.h"
#include "server/base/crypto.h"
#include "server/base/list.h"
#include "server/io/redis.h"

struct redisReader;

#define TG_REDIS_TLS_FAILED "TLS to the server failed"

enum tg_redis_state {
    TG_REDIS_PAUSING, /* the timer ends it */
    TG_REDIS_CONNECTING,
    TG_REDIS_GREETING,
    TG_REDIS_UP
};

struct tg_redis_pending {
    struct tg_list node;
    tg_redis_reply_fn *done; /* NULL: nobody wants to know */
    void *arg;
    uint64_t sent_ns;
    bool unsubscribes; /* its reply looks as what a server says when it ends a subscription of itself */
};

struct tg_redis {
    struct tg_redis_options options;
    enum tg_redis_state state;
    struct tg_timer timer; /* pausing: the next attempt; connecting and greeting: the deadline */
    struct tg_timer watch; /* the oldest command's deadline */
    struct tg_task flush, reset;
    const char *reset_why;
    char host[TG_REDIS_HOST_MAX];
    struct tg_redis_place place; /* of the server, its host in `host`; port 0: not known, or a unix socket */
    struct tg_resolve *question;
    struct tg_address *addresses; /* still to be tried, from address_next on */
    size_t address_count, address_next;
    struct tg_transport *transport;
    struct redisReader *reader;
    struct tg_buf out;
    struct tg_list pending; /* struct tg_redis_pending, in the order of sending */
    size_t pending_count;
    uint64_t unflushed;  /* commands since the last write */
    uint64_t connection; /* counts them: tells after a callback whether it is still the same */
    uint64_t next_pause_ms;
    struct tg_rng rng;
    bool calling; /* a callback of the owner is under way */
    char problem[200];
};

static inline void tg_redis_count(_Atomic(uint64_t) *counter, uint64_t amount)
{
    /* Several connections of one thread share it: one writer. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

/* Whatever state it allows commands in. */
enum tg_err tg_redis_send(struct tg_redis *redis, const struct tg_slice *words, size_t count,
                          tg_redis_reply_fn *done, void *arg) TG_MUST_CHECK;
/* The connection is over: ends it, answers its commands with err, tells the owner, pauses. */
void tg_redis_fail(struct tg_redis *redis, enum tg_err err, const char *why, struct tg_slice detail);
/* All commands without a reply get err. */
void tg_redis_drop_pending(struct tg_redis *redis, enum tg_err err);
void tg_redis_on_readable(void *arg);
void tg_redis_on_writable(void *arg);
void tg_redis_run_flush(struct tg_task *task);
void tg_redis_on_watch(struct tg_timer *timer);
void tg_redis_reader_free(struct tg_redis *redis);
enum tg_err tg_redis_reader_new(struct tg_redis *redis) TG_MUST_CHECK;

#endif
