/* What node.c and node_metrics.c share; private to them. */
#ifndef TG_APP_NODE_PRIVATE_H
#define TG_APP_NODE_PRIVATE_H

#include "server/app/errands.h"
#include "server/app/node.h"

enum { TG_NODE_RESTORES = 16 };

/* An earlier number of this process, claimed: its workers write what is left of it, then it is taken over. */
struct tg_node_restore {
    uint32_t node; /* 0: none */
    uint32_t rows;
    size_t left; /* workers that have not answered */
    bool failed;
    char token[TG_TOKEN_LEN];
};

struct tg_node {
    struct tg_cluster *cluster;
    struct tg_loop *loop;
    struct tg_log *log;
    struct tg_member *member;
    struct tg_mailbox *mailbox;
    struct tg_worker *const *workers;
    size_t worker_count, next_worker;
    struct tg_errands *errands; /* of each worker */
    struct tg_timer again;      /* when they are run once more */
    bool refused;               /* a mailbox was full */
    struct tg_node_restore restores[TG_NODE_RESTORES];
    bool trouble_makes_unready;
    bool standing_back; /* the dead are left to others */
    bool leaving;       /* the lease is being given back */
    bool reachable;     /* every inbox has been open since the node got its number */
    char unready[256];
};

/* NULL: all is well with Redis, as far as is known. */
const char *tg_node_trouble(const struct tg_node *node);

#endif
