/* /connections: a roster (server/app/roster.h) goes from worker to worker until it is done. */
#include <stdlib.h>

#include "routes/fields.h"
#include "routes/reply.h"
#include "server/app/admin_private.h"
#include "server/base/codec.h"

enum { TEXT_MAX = 128 << 20, ROWS = 100, ROWS_MAX = 1000 };

struct roster_question {
    struct tg_question base;
    struct tg_roster *roster; /* NULL: a worker has it */
};

static void end(struct roster_question *question)
{
    if (question->roster != NULL) {
        tg_roster_free(question->roster);
    }
    tg_question_end(&question->base);
}

static void give_up(struct tg_question *base)
{
    struct roster_question *question = TG_CONTAINER(base, struct roster_question, base);
    tg_reply_message(base->exchange, 503, TG_LIT("a worker does not answer"));
    end(question);
}

static void answer(struct roster_question *question)
{
    struct tg_exchange *exchange = question->base.exchange;
    struct tg_buf text;
    tg_buf_init(&text, TEXT_MAX);
    enum tg_err err = tg_roster_render(question->roster, question->base.admin->app->worker_count, &text);
    if (err == TG_ENOTFOUND) {
        tg_buf_free(&text);
        tg_reply_message(exchange, 404, TG_LIT("no such connection on this node"));
    } else {
        tg_admin_reply_json(exchange, 200, &text, err);
    }
    end(question);
}

/* Sends the roster to the worker that it is to look at next. */
static void pass_on(struct roster_question *question)
{
    const struct tg_app *app = question->base.admin->app;
    struct tg_roster *roster = question->roster;
    if (tg_roster_done(roster, app->worker_count)) {
        answer(question);
        return;
    }
    bool asked = tg_worker_ask_roster(app->workers[roster->worker], roster) == TG_OK;
    if (asked) {
        question->roster = NULL;
    }
    tg_question_await(&question->base, asked);
}

static void take(struct tg_question *base, struct tg_report *report)
{
    struct roster_question *question = TG_CONTAINER(base, struct roster_question, base);
    question->roster = TG_CONTAINER(report, struct tg_roster, report);
    pass_on(question);
}

static const struct tg_question_ops ops = {.take = take, .give_up = give_up};

/* Takes the roster. */
static void ask(struct tg_admin *admin, struct tg_exchange *exchange, struct tg_roster *roster)
{
    struct roster_question *question = calloc(1, sizeof *question);
    if (question == NULL) {
        tg_roster_free(roster);
        tg_reply_message(exchange, 503, TG_LIT("out of memory"));
        return;
    }
    tg_question_begin(&question->base, &ops, admin, exchange);
    question->roster = roster;
    roster->report.question = question->base.number;
    pass_on(question);
}

static void refuse(struct tg_exchange *exchange, struct tg_roster *roster, int status,
                   struct tg_slice message)
{
    tg_roster_free(roster);
    tg_reply_message(exchange, status, message);
}

void tg_admin_connections(struct tg_admin *admin, struct tg_exchange *exchange)
{
    struct tg_roster *roster;
    if (tg_roster_new(TG_ROSTER_COUNT, &roster) == TG_OK) {
        ask(admin, exchange, roster);
    } else {
        tg_reply_message(exchange, 503, TG_LIT("out of memory"));
    }
}

/* ---- a page ---- */

/* NULL, or what is wrong with the query. */
static const char *read_query(struct tg_roster *roster, const struct tg_headers *query)
{
    struct tg_roster_filter filter = {.queued_bytes = 0};
    uint64_t limit = ROWS;
    for (size_t i = 0; i < query->count; i++) {
        struct tg_slice name = query->items[i].name, value = query->items[i].value;
        if (tg_slice_eq(name, TG_LIT("apiId"))) {
            filter.api_id = value;
        } else if (tg_slice_eq(name, TG_LIT("stage"))) {
            filter.stage = value;
        } else if (tg_slice_eq(name, TG_LIT("sourceIp"))) {
            filter.source_ip = value;
        } else if (tg_slice_eq(name, TG_LIT("minQueuedBytes"))) {
            if (tg_slice_to_u64(value, &filter.queued_bytes) != TG_OK) {
                return "minQueuedBytes is no number";
            }
        } else if (tg_slice_eq(name, TG_LIT("limit"))) {
            if (tg_slice_to_u64(value, &limit) != TG_OK || limit == 0 || limit > ROWS_MAX) {
                return "limit is a number from 1 to 1000";
            }
        } else if (tg_slice_eq(name, TG_LIT("cursor"))) {
            if (tg_roster_set_cursor(roster, value) != TG_OK) {
                return "cursor is not the nextCursor of a page";
            }
        } else {
            return "there are limit, cursor, apiId, stage, sourceIp and minQueuedBytes";
        }
    }
    roster->rows_left = (size_t)limit;
    return tg_roster_set_filter(roster, &filter) == TG_OK ? NULL : "out of memory";
}

void tg_admin_connection_list(struct tg_admin *admin, struct tg_exchange *exchange)
{
    struct tg_roster *roster;
    struct tg_headers query = {0};
    if (!tg_admin_may_control(admin, exchange)) {
        return;
    }
    if (tg_roster_new(TG_ROSTER_PAGE, &roster) != TG_OK) {
        tg_reply_message(exchange, 503, TG_LIT("out of memory"));
        return;
    }
    if (tg_query_parse(exchange->arena, exchange->query, &query) != TG_OK) {
        refuse(exchange, roster, 503, TG_LIT("out of memory"));
        return;
    }
    const char *problem = read_query(roster, &query);
    if (problem != NULL) {
        refuse(exchange, roster, 400, tg_slice_cstr(problem));
    } else {
        ask(admin, exchange, roster);
    }
}

/* ---- one ---- */

static void ask_for(struct tg_admin *admin, struct tg_exchange *exchange, struct tg_slice text,
                    const struct tg_connid *id)
{
    struct tg_roster *roster;
    if (tg_roster_new(TG_ROSTER_ONE, &roster) != TG_OK) {
        tg_reply_message(exchange, 503, TG_LIT("out of memory"));
        return;
    }
    memcpy(roster->id, text.ptr, TG_CONNID_LEN);
    roster->worker = id->worker;
    roster->handle = (struct tg_conn_handle){.slot = id->slot, .generation = id->generation};
    ask(admin, exchange, roster);
}

void tg_admin_connection(struct tg_admin *admin, struct tg_exchange *exchange)
{
    static const struct tg_slice prefix = TG_LIT_INIT("/connections/");
    const struct tg_app *app = admin->app;
    struct tg_slice text;
    struct tg_connid id;
    if (!tg_admin_may_control(admin, exchange)) {
        return;
    }
    if (tg_percent_decode(exchange->arena, tg_slice_from(exchange->path, prefix.len), false, &text) !=
        TG_OK) {
        tg_reply_message(exchange, 503, TG_LIT("out of memory"));
    } else if (tg_connid_decode(app->id_key, text, &id) != TG_OK) {
        tg_reply_message(exchange, 400, TG_LIT("no connection id of this gateway"));
    } else if (id.worker >= app->worker_count) {
        tg_reply_message(exchange, 404, TG_LIT("no such connection on this node"));
    } else {
        ask_for(admin, exchange, text, &id);
    }
}
