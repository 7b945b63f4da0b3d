#include "server/app/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "routes/engine.h"
#include "routes/links.h"
#include "routes/session.h"
#include "server/app/closing.h"
#include "server/app/seat.h"
#include "server/front/ws.h"
#include "server/io/sends.h"
#include "server/io/work.h"

enum {
    MAIL_MAX = 1024,
    ARENA_CHUNKS = 256, /* 4 KiB each, kept for reuse */
    WORK_WAITING = 4096 /* reads of files, beyond those with the threads */
};

enum mail_kind {
    MAIL_RELOAD,
    MAIL_LEAVING,
    MAIL_CLOSE,
    MAIL_RETIRE,
    MAIL_STOP,
    MAIL_STATS,
    MAIL_ROSTER,
    MAIL_JOIN,
    MAIL_FENCE,
    MAIL_REWRITE,
    MAIL_RESTORE,
    MAIL_FORGET,
    MAIL_TAKE_OVER
};

struct mail {
    struct tg_mail mail;
    enum mail_kind kind;
    struct tg_config *config;
    struct tg_closing_order order;
    bool leaving;
    uint64_t question;
    struct tg_roster *roster;
    uint32_t node, rows;
    bool late;
    uint64_t known_until_ms;
    char token[TG_TOKEN_LEN];
};

struct tg_worker {
    struct tg_worker_options options;
    struct tg_config *config;
    pthread_t thread;
    bool started;
    struct tg_loop *loop;
    struct tg_mailbox *mailbox;
    struct tg_arena_pool arenas;
    struct tg_resolver *resolver;
    struct tg_ws_engine *ws;
    struct tg_httpd *httpd;
    struct tg_engine engine;
    struct tg_seat *seat; /* NULL: not in a cluster */
    struct tg_closing closing;
    struct tg_roster_queue rosters;
};

/* ---- settings out of the configuration ---- */

static uint64_t milliseconds(double seconds)
{
    return (uint64_t)(seconds * 1000.0 + 0.5);
}

static struct tg_httpd_limits http_limits(const struct tg_worker *worker, const struct tg_config *config)
{
    const struct tg_http_settings *http = &config->http;
    return (struct tg_httpd_limits){
        .max_request_line = (size_t)http->max_request_line_bytes,
        .max_head = (size_t)http->max_header_bytes,
        .max_headers = (size_t)http->max_headers,
        .max_requests = (uint64_t)http->max_requests_per_connection,
        .header_timeout_ms = milliseconds(http->header_timeout_seconds),
        .body_timeout_ms = milliseconds(http->body_timeout_seconds),
        .keep_alive_timeout_ms = milliseconds(http->keep_alive_timeout_seconds),
        .max_connections = worker->options.max_connections,
    };
}

static struct tg_httpd_listener_options listener_options(const struct tg_listener_settings *settings)
{
    return (struct tg_httpd_listener_options){
        .port = tg_address_port(&settings->socket_address),
        .proxy = settings->proxy_protocol,
        .trusted = settings->trusted,
        .tls = settings->tls.context,
    };
}

static struct tg_upstream_options upstream_options(const struct tg_config *config)
{
    const struct tg_backend_settings *backends = &config->backends;
    return (struct tg_upstream_options){
        .max_connections = (size_t)backends->max_connections_per_origin,
        .max_pending = (size_t)backends->max_pending_per_origin,
        .max_idle = (size_t)backends->max_idle_per_origin,
        .idle_timeout_ms = milliseconds(backends->idle_timeout_seconds),
        .connect_timeout_ms = (uint64_t)backends->connect_timeout_millis,
        .max_head = 65536,
    };
}

/* ---- mail ---- */

static void reload(struct tg_worker *worker, struct tg_config *config)
{
    struct tg_config *old = worker->config;
    const struct tg_httpd_limits limits = http_limits(worker, config);
    const struct tg_upstream_options upstream = upstream_options(config);
    worker->config = config; /* the mail's reference */
    worker->engine.max_response = (size_t)config->backends.max_response_bytes;
    worker->engine.max_body = (size_t)config->http.max_body_bytes;
    tg_engine_reload(&worker->engine, &config->model);
    if (tg_links_configure(worker->engine.links, &config->model) != TG_OK) {
        tg_log(worker->options.log, TG_LOG_ERROR, "VPC links not all reloaded: out of memory",
               TG_KV_INT("worker", worker->options.index));
    }
    tg_httpd_configure(worker->httpd, &limits);
    for (size_t i = 0; i < config->listeners.count; i++) {
        const struct tg_httpd_listener_options listener = listener_options(&config->listeners.items[i]);
        tg_httpd_configure_listener(worker->httpd, i, &listener);
    }
    tg_upstream_configure(worker->engine.upstream, &upstream);
    tg_config_unref(old);
}

void tg_report_free(struct tg_report *report)
{
    if (report->kind == TG_REPORT_ROSTER) {
        tg_roster_free(TG_CONTAINER(report, struct tg_roster, report));
    } else {
        struct tg_worker_stats *stats = TG_CONTAINER(report, struct tg_worker_stats, report);
        tg_linkstats_free(&stats->links);
        free(stats);
    }
}

/* What does not reach the asker is found out by its clock. */
static void send_report(struct tg_worker *worker, struct tg_report *report)
{
    if (tg_mailbox_post(worker->options.reports, &report->mail) != TG_OK) {
        tg_report_free(report);
    }
}

static void on_roster(void *arg, struct tg_roster *roster)
{
    send_report(arg, &roster->report);
}

static void report_stats(struct tg_worker *worker, uint64_t question)
{
    struct tg_worker_stats *stats = calloc(1, sizeof *stats);
    if (stats == NULL) {
        return; /* the asker has a deadline */
    }
    stats->report.kind = TG_REPORT_STATS;
    stats->report.question = question;
    stats->requests = worker->engine.request_count;
    stats->disconnects_waiting = worker->engine.disconnects_waiting;
    tg_upstream_stats(worker->engine.upstream, &stats->upstream);
    tg_linkstats_init(&stats->links);
    if (tg_linkstats_collect(&stats->links, worker->options.index, worker->engine.links) == TG_OK) {
        send_report(worker, &stats->report);
    } else {
        tg_report_free(&stats->report); /* half a sum would be a wrong one: a gauge says who did not answer */
    }
}

static void on_mail(void *arg, struct tg_mail *base)
{
    struct tg_worker *worker = arg;
    struct mail *mail = TG_CONTAINER(base, struct mail, mail);
    switch (mail->kind) {
    case MAIL_RELOAD:
        reload(worker, mail->config);
        break;
    case MAIL_LEAVING:
        worker->engine.leaving = mail->leaving;
        break;
    case MAIL_CLOSE:
        tg_closing_begin(&worker->closing, &mail->order);
        break;
    case MAIL_RETIRE:
        tg_closing_retire(&worker->closing);
        break;
    case MAIL_STOP:
        tg_closing_stop(&worker->closing);
        break;
    case MAIL_STATS:
        report_stats(worker, mail->question);
        break;
    case MAIL_ROSTER:
        tg_roster_queue_add(&worker->rosters, mail->roster);
        break;
    case MAIL_JOIN:
        tg_seat_join(worker->seat, mail->node, mail->token);
        break;
    case MAIL_FENCE:
        tg_seat_fence(worker->seat);
        break;
    case MAIL_REWRITE:
        tg_seat_rewrite(worker->seat);
        break;
    case MAIL_RESTORE:
        tg_seat_restore(worker->seat, mail->node, mail->token, mail->late);
        break;
    case MAIL_FORGET:
        tg_seat_settle(worker->seat, mail->node, mail->known_until_ms);
        break;
    case MAIL_TAKE_OVER:
        tg_seat_take_over(worker->seat, mail->node, mail->rows, mail->token);
        break;
    }
    free(mail);
}

static void drop_mail(void *arg, struct tg_mail *base)
{
    struct mail *mail = TG_CONTAINER(base, struct mail, mail);
    (void)arg;
    if (mail->config != NULL) {
        tg_config_unref(mail->config);
    }
    if (mail->roster != NULL) {
        tg_roster_free(mail->roster);
    }
    free(mail);
}

static enum tg_err post(struct tg_worker *worker, const struct mail *model)
{
    struct mail *mail = malloc(sizeof *mail);
    if (mail == NULL) {
        return TG_ENOMEM;
    }
    *mail = *model;
    enum tg_err err = tg_mailbox_post(worker->mailbox, &mail->mail);
    if (err != TG_OK) {
        free(mail);
    }
    return err;
}

enum tg_err tg_worker_reload(struct tg_worker *worker, struct tg_config *config)
{
    const struct mail mail = {.kind = MAIL_RELOAD, .config = tg_config_ref(config)};
    enum tg_err err = post(worker, &mail);
    if (err != TG_OK) {
        tg_config_unref(config);
    }
    return err;
}

enum tg_err tg_worker_leaving(struct tg_worker *worker, bool leaving)
{
    const struct mail mail = {.kind = MAIL_LEAVING, .leaving = leaving};
    return post(worker, &mail);
}

enum tg_err tg_worker_close(struct tg_worker *worker, const struct tg_closing_order *order)
{
    const struct mail mail = {.kind = MAIL_CLOSE, .order = *order};
    return post(worker, &mail);
}

enum tg_err tg_worker_retire(struct tg_worker *worker)
{
    const struct mail mail = {.kind = MAIL_RETIRE};
    return post(worker, &mail);
}

enum tg_err tg_worker_stop(struct tg_worker *worker)
{
    const struct mail mail = {.kind = MAIL_STOP};
    return post(worker, &mail);
}

bool tg_worker_quiet(const struct tg_worker *worker)
{
    return tg_closing_quiet(&worker->closing);
}

bool tg_worker_silent(const struct tg_worker *worker)
{
    return tg_closing_silent(&worker->closing);
}

enum tg_err tg_worker_join(struct tg_worker *worker, uint32_t node, const char *token)
{
    struct mail mail = {.kind = MAIL_JOIN, .node = node};
    memcpy(mail.token, token, sizeof mail.token);
    return post(worker, &mail);
}

enum tg_err tg_worker_fence(struct tg_worker *worker)
{
    const struct mail mail = {.kind = MAIL_FENCE};
    return post(worker, &mail);
}

enum tg_err tg_worker_rewrite(struct tg_worker *worker)
{
    const struct mail mail = {.kind = MAIL_REWRITE};
    return post(worker, &mail);
}

enum tg_err tg_worker_restore(struct tg_worker *worker, uint32_t node, const char *token, bool late)
{
    struct mail mail = {.kind = MAIL_RESTORE, .node = node, .late = late};
    memcpy(mail.token, token, sizeof mail.token);
    return post(worker, &mail);
}

enum tg_err tg_worker_settle(struct tg_worker *worker, uint32_t node, uint64_t known_until_ms)
{
    const struct mail mail = {.kind = MAIL_FORGET, .node = node, .known_until_ms = known_until_ms};
    return post(worker, &mail);
}

enum tg_err tg_worker_take_over(struct tg_worker *worker, uint32_t node, uint32_t rows, const char *token)
{
    struct mail mail = {.kind = MAIL_TAKE_OVER, .node = node, .rows = rows};
    memcpy(mail.token, token, sizeof mail.token);
    return post(worker, &mail);
}

enum tg_err tg_worker_ask_stats(struct tg_worker *worker, uint64_t question)
{
    const struct mail mail = {.kind = MAIL_STATS, .question = question};
    return post(worker, &mail);
}

enum tg_err tg_worker_ask_roster(struct tg_worker *worker, struct tg_roster *roster)
{
    const struct mail mail = {.kind = MAIL_ROSTER, .roster = roster};
    return post(worker, &mail);
}

/* ---- making ---- */

static void handle(void *arg, struct tg_exchange *exchange)
{
    struct tg_worker *worker = arg;
    tg_dispatch(&worker->engine, exchange);
}

static enum tg_err make_clients(struct tg_worker *worker)
{
    const struct tg_config *config = worker->config;
    const struct tg_resolver_options resolver = {
        .ttl_ms = milliseconds(config->backends.dns_ttl_seconds),
        .negative_ttl_ms = milliseconds(config->backends.dns_negative_ttl_seconds),
        .max_entries = 1024,
    };
    const struct tg_upstream_options upstream = upstream_options(config);
    const struct tg_work_options work = {.running_max = TG_WORKER_FILE_THREADS, .waiting_max = WORK_WAITING};
    enum tg_err err = tg_resolver_new(worker->loop, &resolver, &worker->resolver);
    if (err == TG_OK) {
        err = tg_upstream_new(worker->loop, worker->resolver, worker->options.log, &upstream,
                              &worker->engine.upstream);
    }
    if (err == TG_OK) {
        err = tg_links_new(worker->engine.upstream, tg_rng_next(&worker->engine.rng), &worker->engine.links);
    }
    if (err == TG_OK) {
        err = tg_links_configure(worker->engine.links, &config->model);
    }
    if (err == TG_OK) {
        err = tg_work_pool_new(worker->loop, &work, &worker->engine.work);
    }
    return err;
}

static enum tg_err make_seat(struct tg_worker *worker)
{
    const struct tg_seat_options options = {
        .cluster = worker->options.cluster,
        .engine = &worker->engine,
        .bus = worker->options.bus,
        .worker = worker->options.index,
        .on_taken_over = worker->options.on_taken_over,
        .on_restored = worker->options.on_restored,
        .arg = worker->options.cluster_arg,
    };
    return tg_seat_new(&options, &worker->seat);
}

static enum tg_err make_connections(struct tg_worker *worker)
{
    struct tg_engine *engine = &worker->engine;
    struct tg_connmgr_options options = {
        .loop = worker->loop,
        .log = worker->options.log,
        .node = worker->options.node,
        .worker = worker->options.index,
        .max_connections = worker->options.max_connections,
        .events = &tg_session_events,
        .events_arg = engine,
        .lease = worker->options.cluster != NULL ? &worker->options.cluster->lease : NULL,
    };
    memcpy(options.id_key, worker->options.id_key, sizeof options.id_key);
    enum tg_err err = tg_connmgr_new(&options, &engine->connmgr);
    if (err == TG_OK && worker->options.cluster != NULL) {
        tg_connmgr_renumber(engine->connmgr, 0); /* until the node has joined */
        err = make_seat(worker);
    }
    if (err == TG_OK) {
        err = tg_push_new(engine->connmgr, worker->loop, worker->options.bus, &options, &engine->push);
    }
    if (err == TG_OK) {
        err = worker->seat != NULL ? tg_seat_make_registry(worker->seat, &options, &engine->registry)
                                   : tg_registry_memory_new(&engine->registry);
    }
    return err;
}

static enum tg_err make_front(struct tg_worker *worker)
{
    const struct tg_httpd_options options = {
        .loop = worker->loop,
        .log = worker->options.log,
        .arenas = &worker->arenas,
        .ws = worker->ws,
        .limits = http_limits(worker, worker->config),
        .handle = handle,
        .arg = worker,
        .may_accept = worker->options.may_accept,
        .may_accept_arg = worker->options.arg,
    };
    return tg_httpd_new(&options, &worker->httpd);
}

enum tg_err tg_worker_new(const struct tg_worker_options *options, struct tg_worker **out)
{
    uint64_t seed;
    struct tg_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) {
        return TG_ENOMEM;
    }
    worker->options = *options;
    worker->config = tg_config_ref(options->config);
    tg_arena_pool_init(&worker->arenas, ARENA_CHUNKS);
    tg_closing_init(&worker->closing);
    tg_roster_queue_init(&worker->rosters);
    struct tg_engine *engine = &worker->engine;
    tg_engine_init(engine);
    engine->log = options->log;
    engine->model = tg_model_ref(&worker->config->model);
    engine->throttles = options->throttles;
    engine->arenas = &worker->arenas;
    engine->max_response = (size_t)worker->config->backends.max_response_bytes;
    engine->max_body = (size_t)worker->config->http.max_body_bytes;
    enum tg_err err = tg_random_bytes(&seed, sizeof seed);
    tg_rng_seed(&engine->rng, seed);
    if (err == TG_OK) {
        err = tg_loop_new(&worker->loop);
    }
    if (err == TG_OK) {
        engine->loop = worker->loop;
        tg_sends_use_ring(tg_loop_sends(worker->loop), worker->config->io_uring);
        err = tg_mailbox_new(worker->loop, MAIL_MAX, on_mail, worker, &worker->mailbox);
    }
    if (err == TG_OK) {
        err = tg_metrics_new(&engine->metrics);
    }
    if (err == TG_OK) {
        err = make_clients(worker);
    }
    if (err == TG_OK) {
        err = make_connections(worker);
    }
    if (err == TG_OK) {
        err = tg_ws_engine_new(worker->loop, &worker->ws);
    }
    if (err == TG_OK) {
        err = make_front(worker);
    }
    if (err != TG_OK) {
        tg_worker_free(worker);
        return err;
    }
    worker->rosters.loop = worker->loop;
    worker->rosters.engine = engine;
    worker->rosters.looked = on_roster;
    worker->rosters.arg = worker;
    worker->closing.loop = worker->loop;
    worker->closing.log = options->log;
    worker->closing.worker = options->index;
    worker->closing.engine = engine;
    worker->closing.httpd = worker->httpd;
    worker->closing.seat = worker->seat;
    *out = worker;
    return TG_OK;
}

enum tg_err tg_worker_listen(struct tg_worker *worker, int fd, const struct tg_listener_settings *settings)
{
    const struct tg_httpd_listener_options options = listener_options(settings);
    return tg_httpd_listen(worker->httpd, fd, &options);
}

static void *run(void *arg)
{
    struct tg_worker *worker = arg;
    tg_loop_run(worker->loop);
    worker->options.on_ended(worker->options.arg);
    return NULL;
}

enum tg_err tg_worker_start(struct tg_worker *worker)
{
    if (pthread_create(&worker->thread, NULL, run, worker) != 0) {
        return TG_ELIMIT;
    }
    worker->started = true;
    return TG_OK;
}

void tg_worker_await(struct tg_worker *worker)
{
    if (worker->started) {
        (void)pthread_join(worker->thread, NULL);
        worker->started = false;
    }
}

void tg_worker_free(struct tg_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    struct tg_engine *engine = &worker->engine;
    tg_closing_free(&worker->closing);
    tg_roster_queue_free(&worker->rosters);
    tg_engine_abort(engine); /* what the grace was too short for, and what came in the last pass */
    tg_httpd_free(worker->httpd);
    if (worker->ws != NULL) {
        tg_ws_engine_free(worker->ws);
    }
    tg_seat_close(worker->seat);
    if (engine->push != NULL) {
        tg_push_free(engine->push);
    }
    if (engine->connmgr != NULL) {
        tg_connmgr_free(engine->connmgr);
    }
    if (engine->registry != NULL) {
        engine->registry->ops->free(engine->registry);
    }
    tg_work_pool_free(engine->work);
    tg_links_free(engine->links);
    tg_seat_free(worker->seat);
    if (engine->upstream != NULL) {
        tg_upstream_free(engine->upstream);
    }
    if (worker->resolver != NULL) {
        tg_resolver_free(worker->resolver);
    }
    tg_metrics_free(engine->metrics);
    if (worker->mailbox != NULL) {
        tg_mailbox_close(worker->mailbox, drop_mail);
        tg_mailbox_free(worker->mailbox);
    }
    if (worker->loop != NULL) {
        tg_loop_free(worker->loop);
    }
    tg_engine_free(engine);
    tg_config_unref(worker->config);
    tg_arena_pool_free(&worker->arenas);
    free(worker);
}

const struct tg_conn_counters *tg_worker_conn_counters(const struct tg_worker *worker)
{
    return tg_connmgr_counters(worker->engine.connmgr);
}

const struct tg_httpd_counters *tg_worker_http_counters(const struct tg_worker *worker)
{
    return tg_httpd_counters(worker->httpd);
}

struct tg_metrics *tg_worker_metrics(const struct tg_worker *worker)
{
    return worker->engine.metrics;
}
