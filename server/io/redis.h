/* One connection to a Redis server, on one loop: it connects, greets (AUTH, SELECT), and when it breaks,
 * connects again by itself after a jittered pause. The protocol's replies are read by hiredis, the stream is
 * our transport, so TLS needs no other library. RESP2.
 *
 * Commands of one pass of the loop go out in one write; replies come in the order of the commands. A
 * connection on which the oldest command is unanswered for too long counts as dead. With on_message it is for
 * subscriptions: SUBSCRIBE is then a command as any other, and what is published comes to on_message. */
#ifndef TG_IO_REDIS_H
#define TG_IO_REDIS_H

#include <stdatomic.h>

#include "server/io/loop.h"
#include "server/io/redis_url.h"
#include "server/io/resolver.h"
#include "server/io/transport.h"

struct tg_redis;
struct tg_redis_reply;

enum tg_redis_type {
    TG_REDIS_NIL,
    TG_REDIS_INTEGER,
    TG_REDIS_TEXT, /* a bulk string or a status */
    TG_REDIS_ARRAY,
    TG_REDIS_ERROR
};

enum tg_redis_type tg_redis_reply_type(const struct tg_redis_reply *reply);
/* 0 for what is no integer. */
int64_t tg_redis_reply_integer(const struct tg_redis_reply *reply);
/* Of texts and errors; borrowed from the reply; empty for others. */
struct tg_slice tg_redis_reply_text(const struct tg_redis_reply *reply);
/* Elements of an array; 0 for others. */
size_t tg_redis_reply_count(const struct tg_redis_reply *reply);
const struct tg_redis_reply *tg_redis_reply_at(const struct tg_redis_reply *reply, size_t index);

/* TG_OK: the reply. TG_EDENIED: the server refused; the reply is its error. Without a reply: TG_ECLOSED (the
 * connection broke), TG_ETIMEOUT; whether the server has done it nobody knows. The reply is borrowed for the
 * call. */
typedef void tg_redis_reply_fn(void *arg, enum tg_err err, const struct tg_redis_reply *reply);

struct tg_redis_events {
    /* Commands are taken from now on. */
    void (*on_up)(void *arg);
    /* The connection broke, or an attempt failed; another one follows. Its commands have been answered. */
    void (*on_down)(void *arg);
    /* NULL: a connection for commands. Slices are borrowed for the call. */
    void (*on_message)(void *arg, struct tg_slice channel, struct tg_slice payload);
    /* With on_message: the server has ended a subscription of itself. May be NULL. */
    void (*on_dropped)(void *arg);
    /* The server does not do what a command asks for, and will not until somebody mends it: a right is
     * missing, its memory or disk is full, its replicas are away. The command's callback is told as well;
     * borrowed for the call. May be NULL. */
    void (*on_denied)(void *arg, struct tg_slice reason);
};

/* Written by the connection's thread, read by any. */
struct tg_redis_counters {
    _Atomic(uint64_t) commands, round_trips; /* commands sent, and writes that carried them */
    _Atomic(uint64_t) refused;               /* error replies */
    _Atomic(uint64_t) failed;                /* commands that a broken connection left unanswered */
    _Atomic(uint64_t) timed_out;             /* connections given up because of silence */
    _Atomic(uint64_t) connects, connect_failures;
    _Atomic(uint64_t) answered, answered_ns; /* replies, and the sum of their times */
};

/* For a server, and for all of what a URL names (redis_site.h). */
struct tg_redis_options {
    struct tg_loop *loop;
    struct tg_resolver *resolver;
    const struct tg_redis_url *url; /* borrowed: outlives the connection */
    struct tg_tls_context *tls;     /* with a rediss:// URL; one more holder */
    struct tg_slice server_name;    /* to verify; empty: the server's host. Borrowed likewise */
    uint64_t look_ms;               /* between two looks at which servers there are, of a site */
    uint64_t connect_timeout_ms;    /* for the name, the connection and the greeting together */
    uint64_t command_timeout_ms;    /* of the oldest unanswered command */
    uint64_t pause_min_ms,
        pause_max_ms;   /* before the next attempt; doubles, a random half of it is left out */
    size_t max_pending; /* commands unanswered at a time */
    size_t max_unsent;  /* bytes that the socket has not taken */
    uint64_t seed;      /* of the jitter */
    const struct tg_redis_events *events;
    void *arg;
    struct tg_redis_counters *counters; /* may be shared by connections of one thread */
};

/* Begins to connect in the next pass of the loop. A URL that names no one server (Sentinels, a Cluster): when
 * tg_redis_move says where to, with Sentinels to a primary alone. */
enum tg_err tg_redis_new(const struct tg_redis_options *options, struct tg_redis **out) TG_MUST_CHECK;
/* Commands without a reply get TG_ECLOSED from inside. Not from inside a callback of its own. NULL is
 * allowed.
 */
void tg_redis_free(struct tg_redis *redis);
bool tg_redis_up(const struct tg_redis *redis);
/* Why it is not up, or why it was not the last time: words for a log or a person, never a secret. */
const char *tg_redis_problem(const struct tg_redis *redis);
/* Sends one command. done may be NULL; else exactly once, later. TG_ECLOSED: not up. TG_EBUSY: too much is
 * under way. TG_ENOMEM. */
enum tg_err tg_redis_command(struct tg_redis *redis, const struct tg_slice *words, size_t count,
                             tg_redis_reply_fn *done, void *arg) TG_MUST_CHECK;
/* Writes now what would be written at the end of this pass. */
void tg_redis_flush(struct tg_redis *redis);
/* The server is there, from now on: a connection to another place is given up, and an attempt begins soon.
 * Whether something is given up: one on_down follows, which says nothing of the new place. */
bool tg_redis_move(struct tg_redis *redis, struct tg_redis_place place);
/* Whether a move there would change nothing. */
bool tg_redis_is_at(const struct tg_redis *redis, struct tg_redis_place place);
/* Breaks the connection in the next pass, to begin anew. why: a static text for tg_redis_problem. */
void tg_redis_reset(struct tg_redis *redis, const char *why);

#endif
