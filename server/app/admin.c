/* The admin listener, on the main thread. Never on the public listeners.
 */
#include <stdlib.h>

#include "routes/reply.h"
#include "server/app/admin_private.h"
#include "server/app/listen.h"

enum { WORKER_MS = 1000 }; /* in which a worker answers */

/* ---- questions ---- */

static void on_deadline(struct tg_timer *timer)
{
    struct tg_question *question = TG_CONTAINER(timer, struct tg_question, timer);
    question->ops->give_up(question);
}

void tg_question_begin(struct tg_question *question, const struct tg_question_ops *ops,
                       struct tg_admin *admin, struct tg_exchange *exchange)
{
    question->ops = ops;
    question->admin = admin;
    question->exchange = exchange;
    question->number = ++admin->last_question;
    tg_timer_init(&question->timer, on_deadline);
    tg_list_append(&admin->questions, &question->node);
}

void tg_question_await(struct tg_question *question, bool asked)
{
    tg_timer_start(question->admin->app->loop, &question->timer, asked ? WORKER_MS : 0);
}

void tg_question_end(struct tg_question *question)
{
    tg_timer_stop(&question->timer);
    tg_list_remove(&question->node);
    free(question);
}

void tg_admin_report(struct tg_admin *admin, struct tg_report *report)
{
    for (struct tg_list *node = admin->questions.next; node != &admin->questions; node = node->next) {
        struct tg_question *question = TG_CONTAINER(node, struct tg_question, node);
        if (question->number == report->question) {
            question->ops->take(question, report);
            return;
        }
    }
    tg_report_free(report); /* too late */
}

/* ---- answers ---- */

void tg_admin_reply_json(struct tg_exchange *exchange, int status, struct tg_buf *text, enum tg_err err)
{
    struct tg_headers headers = {0};
    if (err == TG_OK) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("Content-Type"), TG_LIT("application/json"));
    }
    if (err == TG_OK) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("Cache-Control"), TG_LIT("no-store"));
    }
    if (err == TG_OK) {
        exchange->ops->reply(exchange, status, &headers, tg_buf_slice(text));
    } else {
        tg_reply_message(exchange, 500, TG_LIT("Internal server error"));
    }
    tg_buf_free(text);
}

static bool is_local(struct tg_slice ip)
{
    return ip.len == 0 || tg_slice_starts(ip, TG_LIT("127.")) || tg_slice_eq(ip, TG_LIT("::1")) ||
           tg_slice_starts(ip, TG_LIT("::ffff:127."));
}

/* What browsers can be made to send from other sites says so: Origin stands in every such POST. */
static bool is_from_browser(const struct tg_exchange *exchange)
{
    return tg_headers_first(&exchange->headers, TG_LIT("Origin")) != NULL ||
           tg_headers_first(&exchange->headers, TG_LIT("Sec-Fetch-Site")) != NULL;
}

bool tg_admin_may_control(const struct tg_admin *admin, struct tg_exchange *exchange)
{
    if (!admin->app->config->admin.allow_remote_control && !is_local(exchange->source_ip)) {
        tg_reply_message(exchange, 403,
                         TG_LIT("only from this machine, unless admin.allowRemoteControl is set"));
        return false;
    }
    if (is_from_browser(exchange)) {
        tg_reply_message(exchange, 403, TG_LIT("not from a browser"));
        return false;
    }
    return true;
}

static void serve_healthz(struct tg_admin *admin, struct tg_exchange *exchange)
{
    (void)admin;
    tg_reply_message(exchange, 200, TG_LIT("ok"));
}

static void serve_readyz(struct tg_admin *admin, struct tg_exchange *exchange)
{
    const char *unready = tg_app_unready(admin->app);
    tg_reply_message(exchange, unready == NULL ? 200 : 503,
                     unready == NULL ? TG_LIT("ready") : tg_slice_cstr(unready));
}

/* ---- paths ---- */

enum { ALLOW_GET, ALLOW_CONTROL };

static const char *const allowed[] = {[ALLOW_GET] = "GET, HEAD", [ALLOW_CONTROL] = "GET, HEAD, POST, DELETE"};

static const struct {
    const char *path; /* one that ends with a slash: and what is behind it */
    int allow;
    void (*serve)(struct tg_admin *admin, struct tg_exchange *exchange);
} places[] = {
    {"/healthz", ALLOW_GET, serve_healthz},
    {"/readyz", ALLOW_GET, serve_readyz},
    {"/metrics", ALLOW_GET, tg_admin_metrics},
    {"/targets", ALLOW_GET, tg_admin_targets},
    {"/connections", ALLOW_GET, tg_admin_connections},
    {"/connections/list", ALLOW_GET, tg_admin_connection_list},
    {"/connections/", ALLOW_GET, tg_admin_connection},
    {"/drain", ALLOW_CONTROL, tg_admin_drain},
};

static bool is_at(struct tg_slice path, const char *place)
{
    struct tg_slice prefix = tg_slice_cstr(place);
    return tg_slice_eq(path, prefix) || (tg_slice_ends(prefix, TG_LIT("/")) && tg_slice_starts(path, prefix));
}

static bool allows(int allow, struct tg_slice method)
{
    return tg_slice_eq(method, TG_LIT("GET")) || tg_slice_eq(method, TG_LIT("HEAD")) ||
           (allow == ALLOW_CONTROL &&
            (tg_slice_eq(method, TG_LIT("POST")) || tg_slice_eq(method, TG_LIT("DELETE"))));
}

static void refuse_method(struct tg_exchange *exchange, const char *allow)
{
    struct tg_headers headers = {0};
    struct tg_slice body = TG_EMPTY;
    enum tg_err err = tg_headers_add(&headers, exchange->arena, TG_LIT("Allow"), tg_slice_cstr(allow));
    if (err == TG_OK) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("Content-Type"), TG_LIT("application/json"));
    }
    if (err == TG_OK) {
        err = tg_arena_printf(exchange->arena, &body, "{\"message\":\"only %s here\"}", allow);
    }
    headers.count = err == TG_OK ? headers.count : 0;
    exchange->ops->reply(exchange, 405, &headers, body);
}

static void handle(void *arg, struct tg_exchange *exchange)
{
    struct tg_admin *admin = arg;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (is_at(exchange->path, places[i].path)) {
            if (allows(places[i].allow, exchange->method)) {
                places[i].serve(admin, exchange);
            } else {
                refuse_method(exchange, allowed[places[i].allow]);
            }
            return;
        }
    }
    tg_reply_message(exchange, 404,
                     TG_LIT("here are /healthz, /readyz, /metrics, /targets, /connections and /drain"));
}

/* ---- start and end ---- */

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
            struct tg_question *question = TG_CONTAINER(node, struct tg_question, node);
            question->ops->give_up(question);
        }
        tg_httpd_free(admin->httpd);
        free(admin);
    }
}
