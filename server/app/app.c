#include "server/app/app.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/app/app_private.h"
#include "server/app/listen.h"
#include "server/base/crypto.h"

enum {
    BUS_LIMIT = 65536,       /* envelopes waiting per worker */
    DESCRIPTOR_RESERVE = 256 /* kept from clients: back ends, logs, listeners */
};

/* ---- limits ---- */

static size_t client_descriptors(const struct tg_config *config, struct tg_log *log)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    size_t all = limit.rlim_cur > 16777216 ? 16777216 : (size_t)limit.rlim_cur;
    size_t clients = all > 4 * (size_t)DESCRIPTOR_RESERVE ? all - DESCRIPTOR_RESERVE : all / 4 * 3;
    if (config->max_connections > 0 && (size_t)config->max_connections > clients) {
        tg_log(log, TG_LOG_WARN, "maxConnections is more than the descriptor limit allows",
               TG_KV_INT("maxConnections", config->max_connections), TG_KV_INT("possible", clients));
    } else if (config->max_connections > 0) {
        clients = (size_t)config->max_connections;
    }
    return clients;
}

/* Clients of all workers, WebSockets and others, against the limit. A worker looks at the others' counters
 * without a lock: a few too many may slip in, which the reserve covers. */
static bool may_accept(void *arg)
{
    const struct tg_app *app = arg;
    size_t clients = 0;
    for (size_t i = 0; i < app->worker_count; i++) {
        clients +=
            atomic_load_explicit(&tg_worker_conn_counters(app->workers[i])->open, memory_order_relaxed);
        clients +=
            atomic_load_explicit(&tg_worker_http_counters(app->workers[i])->open, memory_order_relaxed);
    }
    return clients < app->max_descriptors;
}

/* ---- signals ---- */

static void reload(struct tg_app *app)
{
    struct tg_config *next;
    const char *option;
    if (app->drain.state != TG_DRAIN_SERVING) {
        tg_log(&app->log, TG_LOG_WARN, "reload ignored while draining");
        return;
    }
    enum tg_err err = tg_config_load(&app->source, &next);
    if (err != TG_OK) {
        app->reload_failures++;
        tg_log(&app->log, TG_LOG_ERROR, "reload rejected, the old configuration goes on", TG_KV_ERR(err));
        return;
    }
    if (!tg_config_reloadable(app->config, next, &option)) {
        app->reload_failures++;
        tg_log(&app->log, TG_LOG_ERROR,
               "reload rejected, the old configuration goes on: this option needs a restart",
               TG_KV_CSTR("option", option));
        tg_config_unref(next);
        return;
    }
    if (tg_model_open(&next->model, &app->log) != TG_OK) {
        app->reload_failures++;
        tg_config_unref(next);
        return;
    }
    next->model.generation = ++app->generation;
    for (size_t i = 0; i < app->worker_count; i++) {
        err = tg_worker_reload(app->workers[i], next);
        if (err != TG_OK) {
            tg_log(&app->log, TG_LOG_ERROR, "worker not reloaded", TG_KV_INT("worker", i), TG_KV_ERR(err));
        }
    }
    atomic_store(&app->log.level, next->log.level);
    tg_config_unref(app->config);
    app->config = next;
    app->reloads++;
    tg_log(&app->log, TG_LOG_INFO, "configuration reloaded", TG_KV_INT("generation", app->generation));
}

static void on_signal(void *arg, int number)
{
    struct tg_app *app = arg;
    if (number == SIGHUP) {
        reload(app);
    } else if (number == SIGTERM && !app->terminated) {
        app->terminated = true;
        tg_drain_begin(&app->drain, true);
    } else if (number == SIGTERM || !app->interrupted) {
        tg_log(&app->log, TG_LOG_INFO, "stopping",
               TG_KV_CSTR("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
        app->interrupted = app->interrupted || number == SIGINT;
        tg_drain_hurry(&app->drain);
    } else {
        tg_log(&app->log, TG_LOG_INFO, "stopping at once", TG_KV_CSTR("signal", "SIGINT"));
        tg_drain_cut(&app->drain);
    }
}

/* ---- workers ---- */

/* libuv's threads: as many as all workers' reads of files may hold, and its own four for names. */
static void size_thread_pool(size_t workers)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%zu", 4 + workers * TG_WORKER_FILE_THREADS);
    (void)setenv("UV_THREADPOOL_SIZE", text, 0); /* the operator's own value stays; before any thread runs */
}

/* On the worker's thread. */
static void on_worker_ended(void *arg)
{
    struct tg_app *app = arg;
    size_t ended = atomic_fetch_add(&app->ended, 1) + 1;
    if (ended == app->worker_count) {
        tg_loop_stop(app->loop);
    }
}

static void on_report(void *arg, struct tg_mail *mail)
{
    struct tg_app *app = arg;
    struct tg_report *report = TG_CONTAINER(mail, struct tg_report, mail);
    if (app->admin != NULL) {
        tg_admin_report(app->admin, report);
    } else {
        tg_report_free(report);
    }
}

static void drop_report(void *arg, struct tg_mail *mail)
{
    (void)arg;
    tg_report_free(TG_CONTAINER(mail, struct tg_report, mail));
}

static enum tg_err id_key(const struct tg_config *config, unsigned char key[TG_CONNID_KEY_LEN])
{
    unsigned char digest[TG_SHA256_LEN];
    /* Without a secret the key is the same after a restart all the same: ids of the run before must answer
     * 410, not 400. It tells forged ids from expired ones and guards nothing else. */
    struct tg_slice secret =
        config->connection_id_secret.len > 0 ? config->connection_id_secret : config->model.account_id;
    enum tg_err err = tg_hmac_sha256(TG_LIT("tidegate connection id"), secret, digest);
    if (err == TG_OK) {
        memcpy(key, digest, TG_CONNID_KEY_LEN);
    }
    return err;
}

static enum tg_err make_workers(struct tg_app *app)
{
    struct tg_worker_options options = {
        .node = app->node,
        .config = app->config,
        .log = &app->log,
        .bus = app->bus,
        .cluster = app->cluster,
        .on_taken_over = tg_node_on_taken_over,
        .on_restored = tg_node_on_restored,
        .cluster_arg = &app->cluster_node,
        .throttles = app->throttles,
        .max_connections = app->max_descriptors,
        .may_accept = may_accept,
        .on_ended = on_worker_ended,
        .reports = app->reports,
        .arg = app,
    };
    enum tg_err err = id_key(app->config, app->id_key);
    memcpy(options.id_key, app->id_key, sizeof options.id_key);
    size_t count = app->worker_count;
    app->worker_count = 0; /* grows as they come, for the cleaning up of a failure */
    for (size_t i = 0; err == TG_OK && i < count; i++) {
        options.index = (uint32_t)i;
        err = tg_worker_new(&options, &app->workers[i]);
        app->worker_count += err == TG_OK;
    }
    return err;
}

/* One socket a worker for TCP, one shared for a unix socket. */
static enum tg_err open_listener(struct tg_app *app, struct tg_listener_settings *settings)
{
    char text[TG_ADDRESS_TEXT_MAX];
    const char *reason = "";
    bool is_unix = settings->socket_address.storage.ss_family == AF_UNIX;
    const struct tg_listen_options options = {
        .backlog = (int)settings->backlog,
        .reuse_port = true,
        .v6_only = settings->address.len > 0 && settings->address.ptr[0] == '[',
        .unix_mode = (int)settings->unix_mode,
    };
    /* SO_REUSEPORT would share the port with another gateway of the same user without a word, and each would
     * answer 410 for the other's connections. */
    enum tg_err err = is_unix ? TG_OK : tg_listen_probe(&settings->socket_address, &options, &reason);
    int shared = -1;
    for (size_t i = 0; err == TG_OK && i < app->worker_count; i++) {
        int fd = -1;
        if (is_unix && i > 0) {
            fd = dup(shared);
            err = fd < 0 ? TG_ELIMIT : TG_OK;
        } else {
            err = tg_listen(&settings->socket_address, &options, &fd, &reason);
            shared = fd;
        }
        if (err == TG_OK) {
            err = tg_worker_listen(app->workers[i], fd, settings);
        }
    }
    (void)tg_address_text(&settings->socket_address, text);
    if (err != TG_OK) {
        tg_log(&app->log, TG_LOG_ERROR, "cannot listen", TG_KV_CSTR("address", text),
               TG_KV_CSTR("reason", reason), TG_KV_ERR(err));
    } else {
        tg_log(&app->log, TG_LOG_INFO, "listening", TG_KV_CSTR("address", text),
               TG_KV_INT("workers", app->worker_count));
    }
    return err;
}

/* ---- start and end ---- */

static enum tg_err make_bus(struct tg_app *app)
{
    if (app->config->registry.is_redis) {
        enum tg_err err = tg_node_cluster(app->config, app->worker_count, &app->cluster);
        return err == TG_OK ? tg_bus_redis_new(app->cluster, BUS_LIMIT, &app->bus) : err;
    }
    enum tg_err err = tg_random_bytes(&app->node, sizeof app->node);
    app->node &= 0xffffff;
    return err == TG_OK ? tg_bus_local_new(app->node, app->worker_count, BUS_LIMIT, &app->bus) : err;
}

static enum tg_err prepare(struct tg_app *app)
{
    const struct tg_config *config = app->config;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    app->worker_count = config->workers > 0 ? (size_t)config->workers : cores > 0 ? (size_t)cores : 1;
    app->worker_count = app->worker_count < WORKERS_MAX ? app->worker_count : WORKERS_MAX;
    size_thread_pool(app->worker_count);
    app->max_descriptors = client_descriptors(config, &app->log);
    enum tg_err err = tg_model_open(&app->config->model, &app->log);
    if (err == TG_OK) {
        err = tg_loop_new(&app->loop);
    }
    if (err == TG_OK) {
        err = tg_mailbox_new(app->loop, 4096, on_report, app, &app->reports);
    }
    if (err == TG_OK) {
        err = make_bus(app);
    }
    if (err == TG_OK) {
        err = tg_throttles_new(app->worker_count > 1, &app->throttles);
    }
    if (err == TG_OK) {
        err = make_workers(app);
    }
    if (err == TG_OK && app->cluster != NULL) {
        err = tg_node_new(app->cluster, app->loop, &app->log, &config->registry, app->workers,
                          app->worker_count, &app->cluster_node);
    }
    for (size_t i = 0; err == TG_OK && i < config->listeners.count; i++) {
        err = open_listener(app, &app->config->listeners.items[i]);
    }
    if (err == TG_OK && config->admin.address.len > 0) {
        err = tg_admin_new(app, &app->admin);
    }
    return err;
}

enum { SIGNALS = 3 };

static const int signal_numbers[SIGNALS] = {SIGHUP, SIGTERM, SIGINT};

/* They wait (SIG_BLOCK) while nobody would handle them: before the start is over and during the end. */
static void mask_signals(int how)
{
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < SIGNALS; i++) {
        (void)sigaddset(&set, signal_numbers[i]);
    }
    (void)pthread_sigmask(how, &set, NULL);
}

static void run(struct tg_app *app)
{
    struct tg_signal *signals[SIGNALS] = {NULL};
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < SIGNALS; i++) {
        err = tg_signal_new(app->loop, signal_numbers[i], on_signal, app, &signals[i]);
    }
    size_t started = 0;
    while (err == TG_OK && started < app->worker_count) {
        err = tg_worker_start(app->workers[started]);
        started += err == TG_OK;
    }
    if (err == TG_OK) {
        app->ready = true;
        tg_log(&app->log, TG_LOG_INFO, "tidegate is ready", TG_KV_CSTR("version", TG_VERSION),
               TG_KV_INT("workers", app->worker_count), TG_KV_INT("apis", app->config->model.apis.count),
               TG_KV_INT("maxClients", app->max_descriptors));
        mask_signals(SIG_UNBLOCK); /* on this thread alone */
        tg_loop_run(app->loop);
        mask_signals(SIG_BLOCK);
    } else {
        tg_log(&app->log, TG_LOG_ERROR, "cannot start", TG_KV_ERR(err));
        for (size_t i = 0; i < started; i++) {
            (void)!tg_worker_close(app->workers[i], &(struct tg_closing_order){0}); /* the end is now */
        }
    }
    tg_drain_free(&app->drain);
    for (size_t i = 0; i < app->worker_count; i++) {
        tg_worker_await(app->workers[i]);
    }
    if (app->cluster_node != NULL) {
        tg_node_leave(app->cluster_node);
    }
    for (size_t i = 0; i < SIGNALS; i++) {
        tg_signal_free(signals[i]);
    }
}

static void clean_up(struct tg_app *app)
{
    tg_admin_free(app->admin); /* answers what still waits for metrics, with the workers' counters */
    app->admin = NULL;
    for (size_t i = 0; i < app->worker_count; i++) {
        tg_worker_free(app->workers[i]);
    }
    tg_node_free(app->cluster_node);
    /* Now that nobody of this process accepts on them. */
    for (size_t i = 0; i < app->config->listeners.count; i++) {
        tg_listen_unlink(&app->config->listeners.items[i].socket_address);
    }
    if (app->config->admin.address.len > 0) {
        tg_listen_unlink(&app->config->admin.socket_address);
    }
    if (app->bus != NULL) {
        tg_bus_free(app->bus);
    }
    tg_cluster_free(app->cluster);
    tg_throttles_free(app->throttles);
    if (app->reports != NULL) {
        tg_mailbox_close(app->reports, drop_report);
        tg_mailbox_free(app->reports);
    }
    if (app->loop != NULL) {
        tg_loop_free(app->loop);
    }
    tg_arena_pool_free(&app->arenas);
    tg_config_unref(app->config);
}

const char *tg_app_unready(const struct tg_app *app)
{
    if (app->drain.state != TG_DRAIN_SERVING) {
        return "draining";
    }
    if (!app->ready) {
        return "starting";
    }
    return app->cluster_node != NULL ? tg_node_unready(app->cluster_node) : NULL;
}

static void block_pipe_signal(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

int tg_app_serve(const struct tg_config_source *source)
{
    struct tg_app app = {.source = *source, .generation = 1};
    app.source.ticket_secret = tg_slice_make((const char *)app.ticket_secret, sizeof app.ticket_secret);
    enum tg_err err = tg_random_bytes(app.ticket_secret, sizeof app.ticket_secret);
    err = err == TG_OK ? tg_config_load(&app.source, &app.config) : err;
    if (err != TG_OK) {
        return 1;
    }
    mask_signals(SIG_BLOCK);
    block_pipe_signal();
    int log_fd = tg_log_open_stream(STDERR_FILENO);
    tg_log_init(&app.log, log_fd >= 0 ? log_fd : STDERR_FILENO, app.config->log.level,
                app.config->log.format);
    tg_arena_pool_init(&app.arenas, 16);
    tg_drain_init(&app.drain, &app);
    err = prepare(&app);
    if (err == TG_OK) {
        run(&app);
        tg_log(&app.log, TG_LOG_INFO, "stopped");
    } else {
        tg_log(&app.log, TG_LOG_ERROR, "cannot start", TG_KV_ERR(err));
    }
    bool orderly = err == TG_OK && app.ready && app.drain.state != TG_DRAIN_SERVING;
    clean_up(&app);
    if (log_fd >= 0) {
        (void)close(log_fd);
    }
    return orderly ? 0 : 1;
}
