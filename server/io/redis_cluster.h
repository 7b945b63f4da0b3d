/* What the files of a Cluster's site share; private to server/io/redis_cluster*.c. redis_cluster.c has the
 * calls and where they go, redis_cluster_map.c the servers and which slots they have. */
#ifndef TG_IO_REDIS_CLUSTER_H
#define TG_IO_REDIS_CLUSTER_H

#include "server/io/redis_site_private.h"
#include "server/io/redis_slots.h"

struct tg_redis_cluster;

struct tg_redis_server {
    struct tg_list node; /* of cluster->servers */
    struct tg_redis_cluster *cluster;
    struct tg_redis *redis;
    char host[TG_REDIS_HOST_MAX];
    struct tg_redis_place place; /* its host in `host` */
    bool owner;                  /* of slots */
    bool asked;                  /* in the last answer about slots, or a redirection since */
    size_t in_flight;            /* calls on it */
};

struct tg_redis_slot {
    struct tg_redis_server *server; /* NULL: nobody's */
    uint32_t in_flight, waiting;    /* calls sent, and calls to be sent again or after such */
    uint32_t pass;                  /* of the last that sent, or held back, what waits */
    bool held;
};

struct tg_redis_cluster {
    struct tg_redis_site base;
    struct tg_list servers;
    size_t server_count;
    struct tg_redis_slot slots[TG_REDIS_SLOTS];
    bool mapped, closed;
    /* looking */
    struct tg_timer look;
    struct tg_redis_server *looking; /* who is being asked; NULL: nobody */
    bool state_ok;
    char problem[240];
    /* calls */
    struct tg_list waiting; /* struct call, in the order in which they were made */
    struct tg_timer release_timer;
    struct tg_task release;
    size_t call_count;
    uint64_t next_number;
    uint32_t pass;
};

/* The server there, new if need be. An empty host: that of `sayer`. NULL: out of memory, or too many. */
struct tg_redis_server *tg_redis_cluster_server(struct tg_redis_cluster *cluster, struct tg_redis_place place,
                                                const struct tg_redis_server *sayer);
/* The slot was said to be there. */
void tg_redis_cluster_learn(struct tg_redis_cluster *cluster, uint16_t slot, struct tg_redis_place place,
                            const struct tg_redis_server *sayer);
/* Asks which slots are where, soon. */
void tg_redis_cluster_look(struct tg_redis_cluster *cluster);
void tg_redis_cluster_start(struct tg_redis_cluster *cluster);
/* Ends all connections. */
void tg_redis_cluster_stop(struct tg_redis_cluster *cluster);
const char *tg_redis_cluster_problem(const struct tg_redis_site *site);
/* What waits may go on. */
void tg_redis_cluster_release(struct tg_redis_cluster *cluster);
/* Nothing that waits goes to this server any more. */
void tg_redis_cluster_forget(struct tg_redis_cluster *cluster, const struct tg_redis_server *server);

#endif
