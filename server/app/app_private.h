/* The process's state, shared by app.c, drain.c, metrics.c and admin*.c; nobody else includes it. */
#ifndef TG_APP_APP_PRIVATE_H
#define TG_APP_APP_PRIVATE_H

#include "server/app/app.h"
#include "server/app/drain.h"
#include "server/app/node.h"
#include "server/app/worker.h"

enum { WORKERS_MAX = 128 };

struct tg_admin;

struct tg_app {
    struct tg_config_source source;
    unsigned char ticket_secret[TG_TLS_TICKET_SECRET_LEN]; /* in source as well */
    struct tg_config *config;                              /* the current one */
    struct tg_log log;
    struct tg_loop *loop; /* of the main thread */
    struct tg_mailbox *reports;
    struct tg_bus *bus;
    struct tg_cluster *cluster; /* NULL: one node */
    struct tg_node *cluster_node;
    struct tg_throttles *throttles;
    struct tg_worker *workers[WORKERS_MAX];
    size_t worker_count;
    unsigned char id_key[TG_CONNID_KEY_LEN];
    uint32_t node; /* this incarnation, 24 bits; in a cluster the membership's matter */
    struct tg_admin *admin;
    struct tg_arena_pool arenas;
    size_t max_descriptors;    /* of clients, over all workers */
    _Atomic(size_t) ended;     /* workers whose loop has ended */
    _Atomic(bool) worker_died; /* ... without being told to */
    uint64_t generation;
    uint64_t reloads, reload_failures;
    int64_t started_ms;
    struct tg_drain drain;
    bool ready, terminated, interrupted; /* the start is over; a SIGTERM, a SIGINT has come */
};

enum tg_err tg_admin_new(struct tg_app *app, struct tg_admin **out) TG_MUST_CHECK;
void tg_admin_free(struct tg_admin *admin);
/* A worker's answer; takes it. */
void tg_admin_report(struct tg_admin *admin, struct tg_report *report);
/* What readiness says against this node; NULL: ready. */
const char *tg_app_unready(const struct tg_app *app);

#endif
