/* A worker: one thread with a loop and everything that runs on it: listeners, connections, the pipeline's
 * engine, the pool of back-end connections. Made and freed on the app's thread, one after another; in between
 * it is spoken to by mail only. Shared with others: the configuration (immutable), the throttles, the bus,
 * atomic counters. */
#ifndef TG_APP_WORKER_H
#define TG_APP_WORKER_H

#include "connmgr/bus.h"
#include "connmgr/cluster.h"
#include "connmgr/conn.h"
#include "routes/metrics.h"
#include "routes/throttle.h"
#include "server/app/closing.h"
#include "server/app/config.h"
#include "server/app/linkstats.h"
#include "server/app/report.h"
#include "server/app/roster.h"
#include "server/front/httpd.h"
#include "server/io/upstream.h"

struct tg_worker;

/* Threads of libuv's pool that one worker's reads of files take at most; the app sizes the pool so that
 * looking up names never waits for a disk. */
enum { TG_WORKER_FILE_THREADS = 2 };

struct tg_worker_options {
    uint32_t index, node;
    unsigned char id_key[TG_CONNID_KEY_LEN];
    struct tg_config *config; /* one reference is taken */
    struct tg_log *log;
    struct tg_bus *bus;
    struct tg_cluster *cluster; /* NULL: one node, whose number `node` is */
    struct tg_throttles *throttles;
    size_t max_connections;        /* slots of this worker */
    bool (*may_accept)(void *arg); /* the process has descriptors left; any thread */
    void (*on_ended)(void *arg);   /* the loop has ended; on the worker's thread */
    struct tg_mailbox *reports;    /* where struct tg_report go, the receiver's to free */
    /* A takeover has ended; on the worker's thread. */
    void (*on_taken_over)(void *arg, uint32_t node, bool done);
    void (*on_restored)(void *arg, uint32_t node, bool done); /* the same of tg_worker_restore */
    void *cluster_arg;
    void *arg;
};

/* A snapshot of what only the worker's thread may read. Freed by tg_report_free. */
struct tg_worker_stats {
    struct tg_report report;
    struct tg_upstream_stats upstream;
    size_t requests; /* in the pipeline */
    size_t disconnects_waiting;
    struct tg_linkstats links;
};

enum tg_err tg_worker_new(const struct tg_worker_options *options, struct tg_worker **out) TG_MUST_CHECK;
/* Accepts on the socket, which it takes over; before tg_worker_start. */
enum tg_err tg_worker_listen(struct tg_worker *worker, int fd,
                             const struct tg_listener_settings *settings) TG_MUST_CHECK;
enum tg_err tg_worker_start(struct tg_worker *worker) TG_MUST_CHECK;
/* Waits for the thread, if it was started. */
void tg_worker_await(struct tg_worker *worker);
void tg_worker_free(struct tg_worker *worker);

/* Mail; any thread. TG_EBUSY or TG_ENOMEM: not sent. */
enum tg_err tg_worker_reload(struct tg_worker *worker, struct tg_config *config) TG_MUST_CHECK;
/* Whether the node is on its way out, for /ping; nothing else changes. */
enum tg_err tg_worker_leaving(struct tg_worker *worker, bool leaving) TG_MUST_CHECK;
/* Refuses handshakes and closes clients, server/app/closing.h; the loop goes on until tg_worker_stop, or the
 * order's end. */
enum tg_err tg_worker_close(struct tg_worker *worker, const struct tg_closing_order *order) TG_MUST_CHECK;
/* After tg_worker_close: stops accepting. */
enum tg_err tg_worker_retire(struct tg_worker *worker) TG_MUST_CHECK;
/* After tg_worker_retire: ends the loop when nothing is left. */
enum tg_err tg_worker_stop(struct tg_worker *worker) TG_MUST_CHECK;
/* After tg_worker_close: no connection is left; after tg_worker_retire: nor is a request. Any thread. */
bool tg_worker_quiet(const struct tg_worker *worker);
bool tg_worker_silent(const struct tg_worker *worker);
/* The node has this number in the cluster, by this token (TG_TOKEN_LEN characters): connections may come. */
enum tg_err tg_worker_join(struct tg_worker *worker, uint32_t node, const char *token) TG_MUST_CHECK;
/* The number is lost: closes every connection, refuses new ones until the next number comes. */
enum tg_err tg_worker_fence(struct tg_worker *worker) TG_MUST_CHECK;
/* Writes every row of the registry anew. */
enum tg_err tg_worker_rewrite(struct tg_worker *worker) TG_MUST_CHECK;
/* Writes what is left of a number that this node has lost, under the claim of this token. */
enum tg_err tg_worker_restore(struct tg_worker *worker, uint32_t node, const char *token,
                              bool late) TG_MUST_CHECK;
/* Another node has dealt with it: issues the $disconnects that only this one can know of. */
enum tg_err tg_worker_settle(struct tg_worker *worker, uint32_t node, uint64_t known_until_ms) TG_MUST_CHECK;
/* Issues the $disconnects of a dead node that had `rows` workers, under the claim of this token. */
enum tg_err tg_worker_take_over(struct tg_worker *worker, uint32_t node, uint32_t rows,
                                const char *token) TG_MUST_CHECK;
/* The answer, a struct tg_worker_stats, goes to options.reports. */
enum tg_err tg_worker_ask_stats(struct tg_worker *worker, uint64_t question) TG_MUST_CHECK;
/* Has the worker look through a part of its connections; the roster goes on to options.reports. On failure it
 * stays the caller's. */
enum tg_err tg_worker_ask_roster(struct tg_worker *worker, struct tg_roster *roster) TG_MUST_CHECK;

/* Atomic counters; any thread. */
const struct tg_conn_counters *tg_worker_conn_counters(const struct tg_worker *worker);
const struct tg_httpd_counters *tg_worker_http_counters(const struct tg_worker *worker);
struct tg_metrics *tg_worker_metrics(const struct tg_worker *worker);

#endif
