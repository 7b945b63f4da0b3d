/* The admin listener, on the main thread: /healthz, /readyz, /metrics, /drain. Never on the public listeners.
 */
#include <stdlib.h>

#include "routes/reply.h"
#include "server/app/app_private.h"
#include "server/app/listen.h"
#include "server/app/metrics.h"

enum { STATS_DEADLINE_MS = 1000 };

/* A /metrics request that waits for the workers' answers. */
struct question {
    struct tg_list node;
    struct tg_timer timer;
    struct tg_admin *admin;
    struct tg_exchange *exchange;
    uint64_t number;
    size_t answered;
    bool failed; /* memory was out: the sums are wrong */
    struct tg_worker_stats totals;
};

struct tg_admin {
    struct tg_app *app;
    struct tg_httpd *httpd;
    struct tg_list questions;
    uint64_t next_question;
};

static void answer_metrics(struct question *question)
{
    struct tg_app *app = question->admin->app;
    struct tg_exchange *exchange = question->exchange;
    struct tg_headers headers = {0};
    struct tg_buf text;
    tg_buf_init(&text, 64u << 20);
    enum tg_err err =
        question->failed ? TG_ENOMEM : tg_app_metrics(app, &question->totals, question->answered, &text);
    if (err == TG_OK) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("Content-Type"),
                             TG_LIT("text/plain; version=0.0.4; charset=utf-8"));
    }
    if (err == TG_OK) {
        exchange->ops->reply(exchange, 200, &headers, tg_buf_slice(&text));
    } else {
        tg_reply_message(exchange, 500, TG_LIT("Internal server error"));
    }
    tg_buf_free(&text);
    tg_timer_stop(&question->timer);
    tg_list_remove(&question->node);
    tg_linkstats_free(&question->totals.links);
    free(question);
}

static void on_deadline(struct tg_timer *timer)
{
    answer_metrics(
        TG_CONTAINER(timer, struct question, timer)); /* with what has come: a gauge says how many */
}

void tg_admin_stats(struct tg_admin *admin, struct tg_worker_stats *stats)
{
    for (struct tg_list *node = admin->questions.next; node != &admin->questions; node = node->next) {
        struct question *question = TG_CONTAINER(node, struct question, node);
        if (question->number == stats->question) {
            enum tg_err err = tg_app_add_stats(&question->totals, stats);
            question->failed = question->failed || err != TG_OK;
            if (++question->answered == admin->app->worker_count) {
                answer_metrics(question);
            }
            break;
        }
    }
    tg_worker_stats_free(stats);
}

static void ask_metrics(struct tg_admin *admin, struct tg_exchange *exchange)
{
    struct question *question = calloc(1, sizeof *question);
    if (question == NULL) {
        tg_reply_message(exchange, 503, TG_LIT("out of memory"));
        return;
    }
    question->admin = admin;
    question->exchange = exchange;
    question->number = ++admin->next_question;
    tg_linkstats_init(&question->totals.links);
    tg_timer_init(&question->timer, on_deadline);
    tg_list_append(&admin->questions, &question->node);
    bool asked = false;
    for (size_t i = 0; i < admin->app->worker_count; i++) {
        asked = tg_worker_ask_stats(admin->app->workers[i], question->number) == TG_OK || asked;
    }
    tg_timer_start(admin->app->loop, &question->timer, asked ? STATS_DEADLINE_MS : 0);
}

/* ---- /drain ---- */

static void answer_drain(const struct tg_admin *admin, struct tg_exchange *exchange, int status)
{
    struct tg_headers headers = {0};
    struct tg_buf text;
    tg_buf_init(&text, 4096);
    enum tg_err err = tg_drain_status(&admin->app->drain, &text);
    if (err == TG_OK) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("Content-Type"), TG_LIT("application/json"));
    }
    if (err == TG_OK) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("Cache-Control"), TG_LIT("no-store"));
    }
    if (err == TG_OK) {
        exchange->ops->reply(exchange, status, &headers, tg_buf_slice(&text));
    } else {
        tg_reply_message(exchange, 500, TG_LIT("Internal server error"));
    }
    tg_buf_free(&text);
}

static bool is_local(struct tg_slice ip)
{
    return ip.len == 0 || tg_slice_starts(ip, TG_LIT("127.")) || tg_slice_eq(ip, TG_LIT("::1")) ||
           tg_slice_starts(ip, TG_LIT("::ffff:127."));
}

/* What browsers can be made to send from other sites says so: Origin stands in every such POST, and what
 * needs none has one of the types of forms. */
static bool is_from_browser(const struct tg_exchange *exchange)
{
    return tg_headers_first(&exchange->headers, TG_LIT("Origin")) != NULL ||
           tg_headers_first(&exchange->headers, TG_LIT("Sec-Fetch-Site")) != NULL;
}

static bool is_form(struct tg_slice type)
{
    struct tg_slice rest;
    type = tg_slice_trim(tg_slice_cut(type, ';', &rest));
    return tg_slice_eq_nocase(type, TG_LIT("text/plain")) ||
           tg_slice_eq_nocase(type, TG_LIT("multipart/form-data")) ||
           tg_slice_eq_nocase(type, TG_LIT("application/x-www-form-urlencoded"));
}

static void serve_drain(struct tg_admin *admin, struct tg_exchange *exchange)
{
    struct tg_drain *drain = &admin->app->drain;
    bool is_post = tg_slice_eq(exchange->method, TG_LIT("POST"));
    if (tg_slice_eq(exchange->method, TG_LIT("GET"))) {
        answer_drain(admin, exchange, 200);
    } else if (!is_post && !tg_slice_eq(exchange->method, TG_LIT("DELETE"))) {
        tg_reply_message(exchange, 405, TG_LIT("only GET, POST and DELETE here"));
    } else if (!admin->app->config->admin.allow_remote_control && !is_local(exchange->source_ip)) {
        tg_reply_message(exchange, 403,
                         TG_LIT("only from this machine, unless admin.allowRemoteControl is set"));
    } else if (is_from_browser(exchange)) {
        tg_reply_message(exchange, 403, TG_LIT("not from a browser"));
    } else if (is_form(tg_exchange_header(exchange, TG_LIT("Content-Type")))) {
        tg_reply_message(exchange, 415, TG_LIT("not as a form: send no body, or JSON"));
    } else if (is_post) {
        tg_drain_begin(drain, false);
        answer_drain(admin, exchange, 202);
    } else {
        answer_drain(admin, exchange, tg_drain_cancel(drain) ? 200 : 409);
    }
}

static void handle(void *arg, struct tg_exchange *exchange)
{
    struct tg_admin *admin = arg;
    const char *unready;
    bool is_get =
        tg_slice_eq(exchange->method, TG_LIT("GET")) || tg_slice_eq(exchange->method, TG_LIT("HEAD"));
    if (tg_slice_eq(exchange->path, TG_LIT("/drain"))) {
        serve_drain(admin, exchange);
    } else if (!is_get) {
        tg_reply_message(exchange, 405, TG_LIT("only GET here"));
    } else if (tg_slice_eq(exchange->path, TG_LIT("/healthz"))) {
        tg_reply_message(exchange, 200, TG_LIT("ok"));
    } else if (tg_slice_eq(exchange->path, TG_LIT("/readyz"))) {
        unready = tg_app_unready(admin->app);
        tg_reply_message(exchange, unready == NULL ? 200 : 503,
                         unready == NULL ? TG_LIT("ready") : tg_slice_cstr(unready));
    } else if (tg_slice_eq(exchange->path, TG_LIT("/metrics"))) {
        ask_metrics(admin, exchange);
    } else {
        tg_reply_message(exchange, 404, TG_LIT("here are /healthz, /readyz, /metrics and /drain"));
    }
}

static enum tg_err listen_on(struct tg_admin *admin)
{
    struct tg_app *app = admin->app;
    char text[TG_ADDRESS_TEXT_MAX];
    const struct tg_listen_options options = {.backlog = 64, .v6_only = true, .unix_mode = 0600};
    const char *reason = "";
    int fd;
    enum tg_err err = tg_listen(&app->config->admin.socket_address, &options, &fd, &reason);
    (void)tg_address_text(&app->config->admin.socket_address, text);
    if (err == TG_OK) {
        const struct tg_httpd_listener_options front = {
            .port = tg_address_port(&app->config->admin.socket_address),
        };
        err = tg_httpd_listen(admin->httpd, fd, &front);
        tg_log(&app->log, TG_LOG_INFO, "admin listening", TG_KV_CSTR("address", text));
    } else {
        tg_log(&app->log, TG_LOG_ERROR, "cannot listen", TG_KV_CSTR("address", text),
               TG_KV_CSTR("reason", reason));
    }
    return err;
}

enum tg_err tg_admin_new(struct tg_app *app, struct tg_admin **out)
{
    struct tg_admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        return TG_ENOMEM;
    }
    admin->app = app;
    tg_list_init(&admin->questions);
    const struct tg_httpd_options options = {
        .loop = app->loop,
        .log = &app->log,
        .arenas = &app->arenas,
        .limits = {.max_request_line = 4096,
                   .max_head = 16384,
                   .max_headers = 100,
                   .header_timeout_ms = 10000,
                   .body_timeout_ms = 10000,
                   .keep_alive_timeout_ms = 60000,
                   .max_connections = 128},
        .handle = handle,
        .arg = admin,
    };
    enum tg_err err = tg_httpd_new(&options, &admin->httpd);
    if (err == TG_OK) {
        err = listen_on(admin);
    }
    if (err != TG_OK) {
        tg_admin_free(admin);
        return err;
    }
    *out = admin;
    return TG_OK;
}

void tg_admin_free(struct tg_admin *admin)
{
    if (admin != NULL) {
        struct tg_list *node;
        while ((node = tg_list_pop(&admin->questions)) != NULL) {
            answer_metrics(TG_CONTAINER(node, struct question, node));
        }
        tg_httpd_free(admin->httpd);
        free(admin);
    }
}
