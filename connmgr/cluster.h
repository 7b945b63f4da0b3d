/* What the threads of one node share of its membership in a cluster of nodes over Redis (docs/cluster.md):
 * settings, the names of keys, and a few words that one thread writes and others read. Owned by the app;
 * outlives every user. */
#ifndef TG_CONNMGR_CLUSTER_H
#define TG_CONNMGR_CLUSTER_H

#include <stdatomic.h>

#include "connmgr/lease.h"
#include "server/io/redis.h"

enum {
    TG_TOKEN_LEN = 32,         /* of a lease: who holds it */
    TG_CLUSTER_KEY_MAX = 192,  /* longest key or channel, with its NUL */
    TG_CLUSTER_NAME_MAX = 100, /* longest name of a cluster */
    TG_CLUSTER_DEAD = 1024,    /* dead nodes remembered: a newer one takes the place of an older */
};

struct tg_cluster_settings {
    struct tg_slice name; /* of the cluster: the same on all its nodes; part of every key */
    struct tg_redis_url url;
    struct tg_tls_context *tls; /* NULL: plain; one reference is taken over */
    struct tg_slice server_name;
    size_t workers;    /* of this node */
    uint64_t lease_ms; /* how long a silent node counts as alive */
    uint64_t probe_ms; /* between two looks at whether Redis and the inbox answer */
    uint64_t connect_timeout_ms, command_timeout_ms;
    uint64_t pause_min_ms, pause_max_ms; /* between attempts to connect */
    uint64_t dead_ms;                    /* how long the number of a dead node stays unused */
    size_t max_pending;                  /* commands unanswered, a worker */
    size_t max_unsent;                   /* bytes, a worker */
    bool keep_when_cut_off; /* sockets stay open when the lease cannot be kept: see docs/cluster.md */
};

/* Remote pushes of a worker by what became of them, and more; written by the worker alone. */
struct tg_cluster_counters {
    struct tg_redis_counters redis;                       /* of the worker's two connections */
    _Atomic(uint64_t) asked, answered, gone, unreachable; /* questions to other nodes */
    _Atomic(uint64_t) served;                             /* questions of other nodes */
    _Atomic(uint64_t) expired;                            /* ... that came too late and were dropped */
    _Atomic(uint64_t) malformed;                          /* envelopes and rows that could not be read */
    _Atomic(uint64_t) stalls;                             /* probes that did not come back */
    _Atomic(uint64_t) rewrites;                           /* times that all rows were written anew */
    _Atomic(uint64_t) taken_over;                         /* $disconnects issued for dead nodes */
    _Atomic(uint64_t) left;                               /* $disconnects left to whoever took over from us */
    _Atomic(bool) commands_up, inbox_up, rows_clean;
};

struct tg_cluster {
    struct tg_cluster_settings settings;
    /* The number that this node holds, and until when for certain: see tg_lease_held. */
    _Atomic(uint64_t) lease;
    /* Monotonic ms since when Redis has been seen without a gap; UINT64_MAX: it is not seen. */
    _Atomic(uint64_t) intact_since_ms;
    /* The clock of Redis less the monotonic one, in ms: the time that all nodes agree on. */
    _Atomic(int64_t) redis_clock_ms;
    /* The dead that are known, by number: 24 bits of it, 40 of the monotonic ms until which that is believed.
     */
    _Atomic(uint64_t) dead[TG_CLUSTER_DEAD];
    struct tg_redis_counters redis;       /* of the main thread's connection */
    struct tg_cluster_counters workers[]; /* settings.workers */
};

/* Copies the settings' slices. */
enum tg_err tg_cluster_new(const struct tg_cluster_settings *settings, struct tg_cluster **out) TG_MUST_CHECK;
void tg_cluster_free(struct tg_cluster *cluster);

/* As the number `node`: another one that this process has by now does not count. */
static inline bool tg_cluster_held(const struct tg_cluster *cluster, uint32_t node, uint64_t now_ms)
{
    return tg_lease_held(&cluster->lease, node, now_ms);
}

/* Whether all that Redis has not been told of within a lease is gone for certain. */
static inline bool tg_cluster_intact(const struct tg_cluster *cluster, uint64_t now_ms)
{
    uint64_t since = atomic_load_explicit(&cluster->intact_since_ms, memory_order_acquire);
    return since <= now_ms && now_ms - since >= cluster->settings.lease_ms;
}

/* A dead node stays dead: its number is not given again for long. Any thread. */
void tg_cluster_mark_dead(struct tg_cluster *cluster, uint32_t node, uint64_t now_ms);
bool tg_cluster_is_dead(const struct tg_cluster *cluster, uint32_t node, uint64_t now_ms);

/* How long a claim holds without being kept: a survivor that dies half-way is succeeded. */
static inline uint64_t tg_cluster_claim_ms(const struct tg_cluster *cluster)
{
    return cluster->settings.lease_ms / 3;
}

/* ---- keys: all of a node have its hash tag {name:node} ---- */
struct tg_cluster_key {
    char text[TG_CLUSTER_KEY_MAX];
    size_t len;
};
static inline struct tg_slice tg_cluster_key_slice(const struct tg_cluster_key *key)
{
    return tg_slice_make(key->text, key->len);
}
/* kind: lease, claim, dead, known. */
struct tg_cluster_key tg_cluster_key(const struct tg_cluster *cluster, uint32_t node, const char *kind);
/* kind: rows, inbox. */
struct tg_cluster_key tg_cluster_worker_key(const struct tg_cluster *cluster, uint32_t node, uint32_t worker,
                                            const char *kind);
/* The index of nodes: a hash from numbers to how many workers each has. */
struct tg_cluster_key tg_cluster_index_key(const struct tg_cluster *cluster);

/* Decimal digits, NUL-terminated; returns how many. */
size_t tg_number_text(uint64_t number, char out[24]);

/* One writer a counter. */
static inline void tg_cluster_count(_Atomic(uint64_t) *counter, uint64_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

#endif
