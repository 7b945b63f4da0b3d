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

/* Of one slot: what is published waits for no commands, because a channel is never half moved. */
enum { TG_REDIS_COMMANDS, TG_REDIS_PUBLISHES, TG_REDIS_LANES };

struct tg_redis_lane {
    uint32_t in_flight, waiting; /* calls sent, and calls to be sent again or after such */
    uint32_t pass;               /* of the last that sent, or held back, what waits */
    bool held;
};

struct tg_redis_cluster {
    struct tg_redis_site base;
    struct tg_list servers;
    size_t server_count;
    struct tg_redis_server *owners[TG_REDIS_SLOTS]; /* NULL: nobody's */
    bool mapped, closed;
    /* looking */
    struct tg_timer look;
    bool look_hurried;               /* the timer is for a look that was asked for */
    bool look_again;                 /* one was asked for while another was under way */
    uint64_t looked_ms;              /* when the last such look began */
    uint64_t look_pause_ms;          /* after it, before the next such; grows */
    struct tg_redis_server *looking; /* who is being asked; NULL: nobody */
    struct tg_redis_server *witness; /* who is to be asked next; NULL: anybody */
    bool state_ok;
    char problem[240];
    /* calls */
    struct tg_list waiting; /* struct call, in the order in which they were made */
    struct tg_timer release_timer;
    struct tg_task release;
    size_t call_count;
    uint64_t next_number;
    uint32_t pass;
    struct tg_redis_lane lanes[TG_REDIS_SLOTS][TG_REDIS_LANES]; /* the last: most are never touched */
};

/* The server there, new if need be. An empty host: that of `sayer`. NULL: out of memory, or too many. */
struct tg_redis_server *tg_redis_cluster_server(struct tg_redis_cluster *cluster, struct tg_redis_place place,
                                                const struct tg_redis_server *sayer);
/* The slot was said to be there. */
void tg_redis_cluster_learn(struct tg_redis_cluster *cluster, uint16_t slot, struct tg_redis_place place,
                            const struct tg_redis_server *sayer);
/* Asks which slots are where: soon, or, when that was asked for a moment ago, after a pause. */
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
