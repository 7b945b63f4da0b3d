/* What the pipeline of one worker works with: a bundle of borrowed parts, made and owned by the worker
 * (server/app/worker.c). Passed around instead of globals. */
#ifndef TG_ROUTES_ENGINE_H
#define TG_ROUTES_ENGINE_H

#include "connmgr/push.h"
#include "connmgr/registry.h"
#include "routes/lane.h"
#include "routes/metrics.h"
#include "routes/model.h"
#include "routes/sigv4.h"
#include "routes/throttle.h"
#include "server/base/crypto.h"
#include "server/io/upstream.h"

struct tg_links;
struct tg_work_pool;

struct tg_engine {
    struct tg_loop *loop;
    struct tg_log *log;
    struct tg_model *model; /* the current one; the engine holds a reference; swapped by tg_engine_reload */
    struct tg_upstream *upstream;
    struct tg_work_pool *work; /* threads that read files, server/io/work.h */
    struct tg_links *links;    /* the private integrations' targets, routes/links.h */
    struct tg_connmgr *connmgr;
    struct tg_push *push;
    struct tg_registry *registry;
    struct tg_metrics *metrics;
    struct tg_throttles *throttles;
    struct tg_arena_pool *arenas;
    struct tg_rng rng;
    size_t max_response; /* of a back end, bytes */
    size_t max_body;     /* of a request to an HTTP API, bytes */
    bool leaving;        /* not ready any more: /ping says so */
    bool draining;       /* refuse handshakes */
    int drain_code;      /* of the close frames of a drain */
    struct tg_slice drain_reason;
    bool cutting;            /* the shutdown deadline has passed: only $disconnects begin, without retries */
    bool aborting;           /* nothing begins */
    struct tg_list requests; /* struct tg_request in flight */
    size_t request_count;
    struct tg_list disconnects; /* events that wait, routes/disconnect.c */
    size_t disconnects_waiting; /* ... and those whose rows are being removed, disconnects_asked */
    size_t disconnects_asked, disconnects_running;
    size_t disconnects_max; /* that wait, before handshakes are refused */
    bool disconnects_starting;
    struct tg_list sessions; /* struct tg_session, one per open connection; those that drain come last */
    size_t session_count, sessions_draining;
    struct tg_list calls;  /* of the management API, in flight */
    struct tg_list pushes; /* those of them that are done at the end of the events at hand */
    struct tg_task push_all;
    struct tg_sigv4_cache signing_keys;
    struct tg_lanes lanes;
};

/* Prepares the lists; the worker fills the rest. */
void tg_engine_init(struct tg_engine *engine);
/* Gives back the model. No request and no session may be left. */
void tg_engine_free(struct tg_engine *engine);
/* Takes a reference to the new model, drops the one to the old; connections get their new settings. */
void tg_engine_reload(struct tg_engine *engine, struct tg_model *model);
/* The shutdown deadline has passed: cancels every management call and every request in flight but
 * $disconnects, and lets none but $disconnects begin. */
void tg_engine_cut(struct tg_engine *engine);
/* Cancels what is left, and lets nothing begin. */
void tg_engine_abort(struct tg_engine *engine);

struct tg_exchange;
/* Every HTTP request of the public listeners comes in here: WebSocket handshakes, the management API, HTTP
 * APIs. Takes the exchange. */
void tg_dispatch(struct tg_engine *engine, struct tg_exchange *exchange);
/* The events of the connections, for tg_connmgr_options; the argument is the engine. */
extern const struct tg_conn_events tg_session_events;

#endif
