/* What the files of the admin listener share. admin.c listens, tells paths apart and keeps the questions that
 * wait for workers; admin_drain.c, admin_stats.c (/metrics, /targets) and admin_connections.c answer. */
#ifndef TG_APP_ADMIN_PRIVATE_H
#define TG_APP_ADMIN_PRIVATE_H

#include "routes/exchange.h"
#include "server/app/app_private.h"

struct tg_admin {
    struct tg_app *app;
    struct tg_httpd *httpd;
    struct tg_list questions;
    uint64_t last_question;
};

struct tg_question;

struct tg_question_ops {
    /* A worker's answer, which it takes. */
    void (*take)(struct tg_question *question, struct tg_report *report);
    /* A worker was silent for the question's time, or the process ends: answers the exchange with what there
     * is, and ends the question. */
    void (*give_up)(struct tg_question *question);
};

/* A request that waits for workers. First member of what it is about, which is allocated. */
struct tg_question {
    struct tg_list node;
    struct tg_timer timer;
    const struct tg_question_ops *ops;
    struct tg_admin *admin;
    struct tg_exchange *exchange;
    uint64_t number;
};

/* From now on reports with the question's number come to it. */
void tg_question_begin(struct tg_question *question, const struct tg_question_ops *ops,
                       struct tg_admin *admin, struct tg_exchange *exchange);
/* Gives up when no report comes for the time that workers have; 0 in the next pass. */
void tg_question_await(struct tg_question *question, bool asked);
/* Its exchange was answered: frees it. */
void tg_question_end(struct tg_question *question);

/* Answers with the text, which it frees; `err`: it could not be made whole. */
void tg_admin_reply_json(struct tg_exchange *exchange, int status, struct tg_buf *text, enum tg_err err);
/* Whether the request is from this machine, or admin.allowRemoteControl is set, and from no browser; else it
 * has been answered. */
bool tg_admin_may_control(const struct tg_admin *admin, struct tg_exchange *exchange);

/* Each takes the exchange. */
void tg_admin_drain(struct tg_admin *admin, struct tg_exchange *exchange);
void tg_admin_metrics(struct tg_admin *admin, struct tg_exchange *exchange);
void tg_admin_targets(struct tg_admin *admin, struct tg_exchange *exchange);
void tg_admin_connections(struct tg_admin *admin, struct tg_exchange *exchange);
void tg_admin_connection_list(struct tg_admin *admin, struct tg_exchange *exchange);
/* The id is behind the last slash of the path. */
void tg_admin_connection(struct tg_admin *admin, struct tg_exchange *exchange);

#endif
