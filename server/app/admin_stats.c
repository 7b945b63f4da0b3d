/* /metrics and /targets: each worker is asked once for the figures that only its thread may read. */
#include <stdlib.h>

#include "routes/reply.h"
#include "server/app/admin_private.h"
#include "server/app/metrics.h"

enum { TEXT_MAX = 64 << 20 };

struct stats_question {
    struct tg_question base;
    void (*answer)(struct stats_question *question);
    size_t answered;
    bool failed; /* memory was out: the sums are wrong */
    struct tg_worker_stats totals;
};

static struct stats_question *stats_of(struct tg_question *base)
{
    return TG_CONTAINER(base, struct stats_question, base);
}

static void end(struct stats_question *question)
{
    tg_linkstats_free(&question->totals.links);
    tg_question_end(&question->base);
}

static void answer_metrics(struct stats_question *question)
{
    struct tg_app *app = question->base.admin->app;
    struct tg_exchange *exchange = question->base.exchange;
    struct tg_headers headers = {0};
    struct tg_buf text;
    tg_buf_init(&text, TEXT_MAX);
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
    end(question);
}

static void answer_targets(struct stats_question *question)
{
    struct tg_buf text;
    tg_buf_init(&text, TEXT_MAX);
    enum tg_err err = question->failed ? TG_ENOMEM : TG_OK;
    if (err == TG_OK) {
        err = tg_buf_printf(&text, "{\"workers\":%zu,\"workersAnswering\":%zu,\n\"vpcLinks\":",
                            question->base.admin->app->worker_count, question->answered);
    }
    if (err == TG_OK) {
        err = tg_linkstats_json(&question->totals.links, &text);
    }
    if (err == TG_OK) {
        err = tg_buf_append(&text, TG_LIT("}\n"));
    }
    tg_admin_reply_json(question->base.exchange, 200, &text, err);
    end(question);
}

static void give_up(struct tg_question *base)
{
    struct stats_question *question = stats_of(base);
    question->answer(question); /* with what has come: a gauge says how many */
}

static void take(struct tg_question *base, struct tg_report *report)
{
    struct stats_question *question = stats_of(base);
    const struct tg_worker_stats *stats = TG_CONTAINER(report, struct tg_worker_stats, report);
    enum tg_err err = tg_app_add_stats(&question->totals, stats);
    question->failed = question->failed || err != TG_OK;
    tg_report_free(report);
    if (++question->answered == base->admin->app->worker_count) {
        question->answer(question);
    }
}

static const struct tg_question_ops ops = {.take = take, .give_up = give_up};

static void ask(struct tg_admin *admin, struct tg_exchange *exchange,
                void (*answer)(struct stats_question *question))
{
    struct stats_question *question = calloc(1, sizeof *question);
    bool asked = false;
    if (question == NULL) {
        tg_reply_message(exchange, 503, TG_LIT("out of memory"));
        return;
    }
    question->answer = answer;
    tg_linkstats_init(&question->totals.links);
    tg_question_begin(&question->base, &ops, admin, exchange);
    for (size_t i = 0; i < admin->app->worker_count; i++) {
        asked = tg_worker_ask_stats(admin->app->workers[i], question->base.number) == TG_OK || asked;
    }
    tg_question_await(&question->base, asked);
}

void tg_admin_metrics(struct tg_admin *admin, struct tg_exchange *exchange)
{
    ask(admin, exchange, answer_metrics);
}

void tg_admin_targets(struct tg_admin *admin, struct tg_exchange *exchange)
{
    ask(admin, exchange, answer_targets);
}
