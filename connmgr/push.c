#include "connmgr/push_private.h"

#include <assert.h>
#include <stdlib.h>

#include "server/base/alloc.h"
#include "server/io/sends.h"

/* An operation runs on the worker that owns the connection (serve), which is the one that was asked or, by
 * way of the bus, another. Texts of the envelopes: a question has the API id, the payload and the close
 * reason; an answer to a GET has the source address and the user agent. */
enum { TEXT_API, TEXT_PAYLOAD, TEXT_REASON };
enum { TEXT_SOURCE_IP, TEXT_USER_AGENT };

enum { CLOSE_CODE = 1000 };

struct tg_push_op {
    struct tg_list node;
    struct tg_push *push;
    tg_pushed_fn *done; /* NULL: `asker` gets an answer instead */
    void *arg;
    struct tg_bus_address asker;
    uint32_t asked_node;  /* whose answer is waited for */
    uint64_t correlation; /* of the question, ours or the asker's */
    enum tg_push_verb verb;
    enum tg_push_outcome outcome;
    struct tg_send *send; /* until on_sent */
    struct tg_timer timer;
    bool starting;                   /* inside tg_push_start: the callback comes later */
    const struct tg_conn_info *info; /* GET, served here: a reference */
    int64_t last_active_ms;
};

/* ---- the end of an operation ---- */

static void op_free(struct tg_push_op *op)
{
    tg_timer_stop(&op->timer);
    tg_list_remove(&op->node);
    if (op->info != NULL) {
        tg_conn_info_unref(op->info);
    }
    free(op);
}

void tg_push_send_answer(struct tg_push *push, const struct tg_envelope *model)
{
    struct tg_envelope *envelope;
    enum tg_err err = tg_envelope_new(model, &envelope);
    if (err == TG_OK) {
        err = tg_bus_send(push->port, envelope);
        if (err != TG_OK) {
            tg_envelope_free(envelope);
        }
    }
    if (err != TG_OK) { /* the asker finds out by its own clock */
        tg_log(push->log, TG_LOG_WARN, "answer to another worker lost", TG_KV_INT("worker", model->to.worker),
               TG_KV_ERR(err));
    }
}

static void send_answer(const struct tg_push_op *op, const struct tg_push_info *info)
{
    struct tg_push *push = op->push;
    struct tg_envelope model = {
        .kind = TG_ENVELOPE_ANSWER,
        .from = push->self,
        .to = op->asker,
        .correlation = op->correlation,
        .verb = (int)op->verb,
        .outcome = (int)op->outcome,
    };
    if (info != NULL) {
        model.connected_at = info->connected_at_ms;
        model.last_active = info->last_active_ms;
        model.text[TEXT_SOURCE_IP] = info->source_ip;
        model.text[TEXT_USER_AGENT] = info->user_agent;
    }
    tg_push_send_answer(push, &model);
}

static void report(struct tg_push_op *op, const struct tg_push_info *info)
{
    tg_timer_stop(&op->timer);
    tg_list_remove(&op->node);
    if (op->done != NULL) {
        op->done(op->arg, op->outcome, info);
    } else {
        send_answer(op, info);
    }
    op_free(op);
}

static void report_served(struct tg_push_op *op)
{
    struct tg_push_info info;
    if (op->info != NULL) {
        info = (struct tg_push_info){
            .source_ip = op->info->source_ip,
            .user_agent = op->info->user_agent,
            .connected_at_ms = op->info->connected_at_ms,
            .last_active_ms = op->last_active_ms,
        };
    }
    report(op, op->info != NULL ? &info : NULL);
}

static void finish(struct tg_push_op *op, enum tg_push_outcome outcome)
{
    op->outcome = outcome;
    if (op->starting) {
        tg_list_append(&op->push->finished, &op->node);
        tg_task_defer(op->push->loop, &op->push->report);
    } else {
        report_served(op);
    }
}

static void run_report(struct tg_task *task)
{
    struct tg_push *push = TG_CONTAINER(task, struct tg_push, report);
    struct tg_list round, *node;
    if (tg_list_empty(&push->finished)) {
        return;
    }
    /* What a callback starts is for the next round. */
    tg_list_append(&push->finished, &round);
    tg_list_remove(&push->finished);
    while ((node = tg_list_pop(&round)) != NULL) {
        report_served(TG_CONTAINER(node, struct tg_push_op, node));
    }
}

/* ---- on the owner ---- */

static void on_sent(void *arg, enum tg_err err)
{
    struct tg_push_op *op = arg;
    op->send = NULL;
    finish(op, err == TG_OK ? TG_PUSH_DONE : TG_PUSH_GONE);
}

/* The time is over. */
static void on_deadline(struct tg_timer *timer)
{
    struct tg_push_op *op = TG_CONTAINER(timer, struct tg_push_op, timer);
    if (op->send == NULL) {
        tg_bus_suspect(op->push->port, op->asked_node);
        finish(op, TG_PUSH_UNREACHABLE); /* no answer came */
    } else if (tg_send_withdraw(op->send) == TG_OK) {
        op->send = NULL;
        finish(op, TG_PUSH_BUSY);
    } /* else its fate is settled, and on_sent is due */
}

static void serve_post(struct tg_push_op *op, struct tg_conn *conn, const struct tg_push_request *request)
{
    struct tg_frame *frame;
    enum tg_err err =
        tg_frame_new(request->binary ? TG_OPCODE_BINARY : TG_OPCODE_TEXT, request->payload, &frame);
    if (err == TG_OK) {
        err = tg_conn_send(conn, frame, on_sent, op, &op->send);
        tg_frame_unref(frame);
    }
    if (err != TG_OK) {
        finish(op, tg_push_outcome_of(err));
        return;
    }
    tg_conn_touch(conn);
    tg_list_append(&op->push->serving, &op->node);
    tg_timer_start(op->push->loop, &op->timer, request->timeout_ms);
}

static void serve_delete(struct tg_push_op *op, struct tg_conn *conn, const struct tg_push_request *request)
{
    int code = request->close_code != 0 ? request->close_code : CLOSE_CODE;
    struct tg_slice reason = request->close_reason;
    if (reason.len == 0 && code == CLOSE_CODE) {
        reason = TG_LIT("Connection Closed Normally"); /* spec 1.9 */
    }
    tg_conn_close(conn, code, reason);
    finish(op, TG_PUSH_DONE);
}

/* NULL: gone. The connection is this worker's, if it is at all. */
static struct tg_conn *find_conn(const struct tg_push *push, const struct tg_push_request *request,
                                 const struct tg_connid *id)
{
    struct tg_conn *conn = tg_conn_get_open(push->mgr, tg_push_handle_of(id));
    return conn != NULL && tg_conn_is_of(conn, request->api_id) ? conn : NULL;
}

static void serve(struct tg_push_op *op, const struct tg_push_request *request, const struct tg_connid *id)
{
    struct tg_conn *conn = find_conn(op->push, request, id);
    if (conn == NULL) {
        finish(op, TG_PUSH_GONE);
        return;
    }
    switch (request->verb) {
    case TG_PUSH_POST:
        serve_post(op, conn, request);
        break;
    case TG_PUSH_GET:
        op->info = tg_conn_info_ref(tg_conn_info(conn));
        op->last_active_ms = tg_conn_last_active_ms(conn);
        finish(op, TG_PUSH_DONE);
        break;
    case TG_PUSH_DELETE:
        serve_delete(op, conn, request);
        break;
    }
}

static struct tg_push_op *op_new(struct tg_push *push, enum tg_push_verb verb)
{
    struct tg_push_op *op = tg_zalloc(sizeof *op);
    if (op != NULL) {
        op->push = push;
        op->verb = verb;
        tg_list_init(&op->node);
        tg_timer_init(&op->timer, on_deadline);
    }
    return op;
}

static void serve_question(struct tg_push *push, const struct tg_envelope *question)
{
    struct tg_push_op *op = op_new(push, (enum tg_push_verb)question->verb);
    if (op == NULL) {
        tg_log(push->log, TG_LOG_ERROR, "question of another worker lost", TG_KV_ERR(TG_ENOMEM));
        return;
    }
    const struct tg_push_request request = {
        .verb = op->verb,
        .api_id = question->text[TEXT_API],
        .payload = question->text[TEXT_PAYLOAD],
        .binary = question->binary,
        .timeout_ms = question->timeout_ms,
        .close_code = question->close_code,
        .close_reason = question->text[TEXT_REASON],
    };
    op->asker = question->from;
    op->correlation = question->correlation;
    serve(op, &request, &question->target);
}

/* ---- by way of the bus ---- */

static struct tg_list *bucket_of(struct tg_push *push, uint64_t correlation)
{
    return &push->asked[correlation % TG_PUSH_BUCKETS];
}

static void ask(struct tg_push_op *op, const struct tg_push_request *request, const struct tg_connid *id)
{
    struct tg_push *push = op->push;
    struct tg_envelope *envelope;
    const struct tg_envelope model = {
        .kind = TG_ENVELOPE_PUSH,
        .from = push->self,
        .to = {.node = id->node, .worker = id->worker},
        .correlation = ++push->last_correlation,
        .verb = (int)request->verb,
        .target = *id,
        .binary = request->binary,
        .timeout_ms = request->timeout_ms,
        .close_code = request->close_code,
        .text = {[TEXT_API] = request->api_id,
                 [TEXT_PAYLOAD] = request->payload,
                 [TEXT_REASON] = request->close_reason},
    };
    if (push->port == NULL) {
        finish(op, TG_PUSH_GONE);
        return;
    }
    if (tg_envelope_new(&model, &envelope) != TG_OK) {
        finish(op, TG_PUSH_FAILED);
        return;
    }
    enum tg_err err = tg_bus_send(push->port, envelope);
    if (err != TG_OK) {
        tg_envelope_free(envelope);
        /* No such worker, or its node is dead: it never was, or has ended with its connections. */
        finish(op, err == TG_ENOTFOUND ? TG_PUSH_GONE : TG_PUSH_UNREACHABLE);
        return;
    }
    op->correlation = model.correlation;
    op->asked_node = id->node;
    tg_list_append(bucket_of(push, op->correlation), &op->node);
    tg_timer_start(push->loop, &op->timer, request->timeout_ms + TG_PUSH_ANSWER_MS);
}

static struct tg_push_op *find_asked(struct tg_push *push, uint64_t correlation)
{
    struct tg_list *bucket = bucket_of(push, correlation);
    for (struct tg_list *node = bucket->next; node != bucket; node = node->next) {
        struct tg_push_op *op = TG_CONTAINER(node, struct tg_push_op, node);
        if (op->correlation == correlation) {
            return op;
        }
    }
    return NULL;
}

static void take_answer(struct tg_push *push, const struct tg_envelope *answer)
{
    struct tg_push_op *op = find_asked(push, answer->correlation);
    if (op == NULL) {
        return; /* nobody waits any more */
    }
    const struct tg_push_info info = {
        .source_ip = answer->text[TEXT_SOURCE_IP],
        .user_agent = answer->text[TEXT_USER_AGENT],
        .connected_at_ms = answer->connected_at,
        .last_active_ms = answer->last_active,
    };
    op->outcome = (enum tg_push_outcome)answer->outcome;
    report(op, op->verb == TG_PUSH_GET && op->outcome == TG_PUSH_DONE ? &info : NULL);
}

static void on_envelope(void *arg, struct tg_envelope *envelope)
{
    struct tg_push *push = arg;
    if (envelope->kind == TG_ENVELOPE_PUSH) {
        serve_question(push, envelope);
    } else if (envelope->kind == TG_ENVELOPE_ANSWER) {
        take_answer(push, envelope);
    } else {
        tg_batch_take(push, envelope);
    }
    tg_envelope_free(envelope);
}

/* ---- for callers ---- */

enum tg_err tg_push_new(struct tg_connmgr *mgr, struct tg_loop *loop, struct tg_bus *bus,
                        const struct tg_connmgr_options *identity, struct tg_push **out)
{
    struct tg_push *push = calloc(1, sizeof *push);
    if (push == NULL) {
        return TG_ENOMEM;
    }
    push->mgr = mgr;
    push->loop = loop;
    push->log = identity->log;
    push->self = (struct tg_bus_address){.node = identity->node, .worker = identity->worker};
    tg_connid_reader_init(&push->ids, identity->id_key);
    tg_list_init(&push->serving);
    tg_list_init(&push->finished);
    tg_task_init(&push->report, run_report);
    tg_batch_prepare(push);
    for (size_t i = 0; i < TG_PUSH_BUCKETS; i++) {
        tg_list_init(&push->asked[i]);
    }
    if (bus != NULL) {
        enum tg_err err = tg_bus_open(bus, loop, identity->worker, on_envelope, push, &push->port);
        if (err != TG_OK) {
            free(push);
            return err;
        }
    }
    *out = push;
    return TG_OK;
}

void tg_push_renumber(struct tg_push *push, uint32_t node)
{
    push->self.node = node;
    if (push->port != NULL) {
        tg_bus_renumber(push->port, node);
    }
}

bool tg_push_quit(struct tg_push *push)
{
    return tg_bus_quit(push->port);
}

void tg_push_free(struct tg_push *push)
{
    if (push == NULL) {
        return;
    }
    tg_bus_close(push->port);
    struct tg_list *node;
    while ((node = tg_list_pop(&push->serving)) != NULL) { /* other workers', who learn it by their clocks */
        struct tg_push_op *op = TG_CONTAINER(node, struct tg_push_op, node);
        assert(op->done == NULL);
        tg_push_cancel(op);
    }
    tg_batch_give_up(push);
    assert(tg_list_empty(&push->finished));
    tg_task_cancel(&push->report);
    free(push);
}

void tg_push_expect(struct tg_push *push, struct tg_slice connection_id)
{
    struct tg_connid id;
    if (tg_connid_read(&push->ids, connection_id, &id) == TG_OK && tg_push_is_own(push, &id)) {
        tg_conn_fetch(push->mgr, tg_push_handle_of(&id));
    }
}

enum tg_err tg_push_check_id(struct tg_push *push, struct tg_slice connection_id)
{
    struct tg_connid id;
    enum tg_err err = tg_connid_read(&push->ids, connection_id, &id);
    if (err == TG_OK && tg_push_is_own(push, &id)) {
        tg_conn_fetch_socket(push->mgr, tg_push_handle_of(&id));
    }
    return err;
}

enum tg_err tg_push_read_id(struct tg_push *push, struct tg_slice connection_id, struct tg_connid *out)
{
    return tg_connid_read(&push->ids, connection_id, out);
}

bool tg_push_now(struct tg_push *push, const struct tg_push_request *request, struct tg_push_now *out)
{
    struct tg_connid id;
    if (request->verb != TG_PUSH_POST || tg_connid_read(&push->ids, request->connection_id, &id) != TG_OK ||
        !tg_push_is_own(push, &id)) {
        return false;
    }
    struct tg_conn *conn = find_conn(push, request, &id);
    out->to = tg_push_handle_of(&id);
    if (conn == NULL) {
        out->outcome = TG_PUSH_GONE;
        return true;
    }
    enum tg_err err =
        tg_conn_send_now(conn, request->binary ? TG_OPCODE_BINARY : TG_OPCODE_TEXT, request->payload);
    if (err == TG_EAGAIN) {
        return false;
    }
    tg_conn_touch(conn);
    out->outcome = tg_push_outcome_of(err);
    return true;
}

void tg_push_flush(struct tg_push *push)
{
    tg_sends_flush(tg_loop_sends(push->loop));
}

enum tg_push_outcome tg_push_outcome_now(const struct tg_push *push, const struct tg_push_now *now)
{
    bool lost = now->outcome == TG_PUSH_DONE && tg_conn_get_open(push->mgr, now->to) == NULL;
    return lost ? TG_PUSH_GONE : now->outcome;
}

enum tg_err tg_push_start(struct tg_push *push, const struct tg_push_request *request, tg_pushed_fn *done,
                          void *arg, struct tg_push_op **out)
{
    struct tg_connid id;
    enum tg_err err = tg_connid_read(&push->ids, request->connection_id, &id);
    if (err != TG_OK) {
        return err;
    }
    struct tg_push_op *op = op_new(push, request->verb);
    if (op == NULL) {
        return TG_ENOMEM;
    }
    op->done = done;
    op->arg = arg;
    op->starting = true;
    if (tg_push_is_own(push, &id)) {
        serve(op, request, &id);
    } else {
        ask(op, request, &id);
    }
    op->starting = false;
    *out = op;
    return TG_OK;
}

void tg_push_cancel(struct tg_push_op *op)
{
    if (op->send != NULL && tg_send_withdraw(op->send) != TG_OK) {
        tg_send_forget(op->send);
    }
    op_free(op);
}
