/* The connections of a batch that are this worker's: written to, a slice in a pass, and told of. */
#include <assert.h>
#include <stdlib.h>

#include "connmgr/batch_private.h"
#include "server/base/alloc.h"
#include "server/io/sends.h"

enum {
    /* What all batches together write in a pass, bytes, and what a short frame counts as: others wait no
     * longer than for 128 writes, or for so much. */
    PASS_MAX = 1 << 20,
    SHORT = 8192,
    AHEAD = 4 /* connections that the processor fetches before they are written to */
};

/* A frame in a send queue. */
struct waiting {
    struct tg_list node;
    struct tg_serving *serving;
    size_t index;
    struct tg_send *send;
};

void tg_serving_free(struct tg_serving *serving)
{
    struct tg_list *node;
    while ((node = tg_list_pop(&serving->waiting)) != NULL) {
        struct waiting *waiting = TG_CONTAINER(node, struct waiting, node);
        if (tg_send_withdraw(waiting->send) != TG_OK) {
            tg_send_forget(waiting->send);
        }
        free(waiting);
    }
    tg_timer_stop(&serving->deadline);
    tg_list_remove(&serving->node);
    tg_frame_unref(serving->frame);
    free(serving);
}

static void end_if_served(struct tg_serving *serving)
{
    if (serving->next < serving->count || !tg_list_empty(&serving->waiting)) {
        return;
    }
    serving->served(serving);
    tg_serving_free(serving);
}

static void waiting_free(struct waiting *waiting)
{
    tg_list_remove(&waiting->node);
    free(waiting);
}

static void on_sent(void *arg, enum tg_err err)
{
    struct waiting *waiting = arg;
    struct tg_serving *serving = waiting->serving;
    serving->outcomes[waiting->index] = err == TG_OK ? TG_PUSH_DONE : TG_PUSH_GONE;
    waiting_free(waiting);
    end_if_served(serving);
}

static enum tg_err queue(struct tg_serving *serving, size_t index, struct tg_conn *conn)
{
    struct waiting *waiting = tg_zalloc(sizeof *waiting);
    if (waiting == NULL) {
        return TG_ENOMEM;
    }
    waiting->serving = serving;
    waiting->index = index;
    enum tg_err err = tg_conn_send(conn, serving->frame, on_sent, waiting, &waiting->send);
    if (err != TG_OK) {
        free(waiting);
        return err;
    }
    tg_list_append(&serving->waiting, &waiting->node);
    return TG_OK;
}

static enum tg_push_outcome serve_one(struct tg_serving *serving, size_t index)
{
    struct tg_conn *conn = tg_conn_get_open(serving->push->mgr, serving->targets[index]);
    if (conn == NULL || !tg_conn_is_of(conn, serving->api_id)) {
        return TG_PUSH_GONE;
    }
    enum tg_err err = tg_conn_send_frame_now(conn, serving->frame);
    if (err == TG_EAGAIN) {
        err = queue(serving, index, conn);
    }
    if (err == TG_OK) {
        tg_conn_touch(conn);
    }
    return tg_push_outcome_of(err);
}

static void fetch_ahead(const struct tg_serving *serving, size_t index)
{
    const struct tg_connmgr *mgr = serving->push->mgr;
    if (index + AHEAD < serving->count) {
        tg_conn_fetch(mgr, serving->targets[index + AHEAD]);
    }
    if (index + AHEAD / 2 < serving->count) {
        tg_conn_fetch_socket(mgr, serving->targets[index + AHEAD / 2]);
    }
}

/* As far as there is room in this pass, of which the rest is returned. */
static size_t write_slice(struct tg_serving *serving, size_t room)
{
    size_t each = serving->frame->len > SHORT ? serving->frame->len : SHORT;
    size_t first = serving->next;
    while (serving->next < serving->count && room > 0) {
        size_t index = serving->next++;
        if (!tg_sends_has_room(tg_loop_sends(serving->push->loop), serving->frame->len)) {
            tg_push_flush(serving->push);
        }
        fetch_ahead(serving, index);
        serving->outcomes[index] = (unsigned char)serve_one(serving, index);
        room -= each < room ? each : room;
    }
    tg_push_flush(serving->push);
    for (size_t i = first; i < serving->next; i++) {
        const struct tg_push_now now = {(enum tg_push_outcome)serving->outcomes[i], serving->targets[i]};
        serving->outcomes[i] = (unsigned char)tg_push_outcome_now(serving->push, &now);
    }
    return room;
}

/* One batch after another, each from where it stood in the pass before. */
static void write_some(struct tg_task *task)
{
    struct tg_push *push = TG_CONTAINER(task, struct tg_push, write_batches);
    struct tg_list *node;
    size_t room = PASS_MAX;
    while (room > 0 && (node = tg_list_pop(&push->batches_writing)) != NULL) {
        struct tg_serving *serving = TG_CONTAINER(node, struct tg_serving, node);
        room = write_slice(serving, room);
        bool more = serving->next < serving->count;
        tg_list_append(more ? &push->batches_writing : &push->batches_waiting, &serving->node);
        end_if_served(serving);
    }
    if (!tg_list_empty(&push->batches_writing)) {
        tg_task_defer(push->loop, &push->write_batches);
    }
}

/* The time is over: what waits is withdrawn, what was not tried is not any more. An asker that has given up
 * may have sent the next message. */
static void on_deadline(struct tg_timer *timer)
{
    struct tg_serving *serving = TG_CONTAINER(timer, struct tg_serving, deadline);
    struct tg_list *node = serving->waiting.next;
    while (node != &serving->waiting) {
        struct waiting *waiting = TG_CONTAINER(node, struct waiting, node);
        node = node->next;
        if (tg_send_withdraw(waiting->send) == TG_OK) {
            serving->outcomes[waiting->index] = TG_PUSH_BUSY;
            waiting_free(waiting);
        } /* else its fate is settled, and on_sent is due */
    }
    memset(serving->outcomes + serving->next, TG_PUSH_BUSY, serving->count - serving->next);
    serving->next = serving->count;
    tg_list_remove(&serving->node);
    tg_list_append(&serving->push->batches_waiting, &serving->node);
    end_if_served(serving);
}

struct tg_serving *tg_serving_new(struct tg_push *push, const struct tg_batch_request *request,
                                  void (*served)(struct tg_serving *serving))
{
    size_t count = request->count;
    struct tg_serving *serving =
        calloc(1, sizeof *serving + count * (sizeof *serving->targets + 1) + request->api_id.len);
    if (serving == NULL) {
        return NULL;
    }
    if (tg_frame_new(request->binary ? TG_OPCODE_BINARY : TG_OPCODE_TEXT, request->payload,
                     &serving->frame) != TG_OK) {
        free(serving);
        return NULL;
    }
    serving->push = push;
    serving->served = served;
    serving->count = count;
    serving->outcomes = (unsigned char *)(serving->targets + count);
    serving->api_id = tg_slice_make(
        memcpy(serving->outcomes + count, request->api_id.ptr, request->api_id.len), request->api_id.len);
    tg_list_init(&serving->waiting);
    tg_list_append(&push->batches_writing, &serving->node);
    tg_task_defer(push->loop, &push->write_batches);
    tg_timer_init(&serving->deadline, on_deadline);
    tg_timer_start(push->loop, &serving->deadline, request->timeout_ms);
    return serving;
}

/* ---- what other workers ask ---- */

static void answer(struct tg_serving *serving)
{
    const struct tg_envelope model = {
        .kind = TG_ENVELOPE_BATCH_ANSWER,
        .from = serving->push->self,
        .to = serving->asker,
        .correlation = serving->correlation,
        .text = {[TG_BATCH_TEXT_OUTCOMES] = tg_slice_make((const char *)serving->outcomes, serving->count)},
    };
    tg_push_send_answer(serving->push, &model);
}

void tg_serving_take(struct tg_push *push, const struct tg_envelope *question)
{
    struct tg_slice targets = question->text[TG_BATCH_TEXT_TARGETS];
    const struct tg_batch_request request = {
        .count = targets.len / TG_BATCH_TARGET_BYTES,
        .api_id = question->text[TG_BATCH_TEXT_API],
        .payload = question->text[TG_BATCH_TEXT_PAYLOAD],
        .binary = question->binary,
        .timeout_ms = question->timeout_ms,
    };
    struct tg_serving *serving;
    if (request.count == 0 || request.count > TG_BATCH_MAX || targets.len % TG_BATCH_TARGET_BYTES != 0 ||
        request.api_id.len == 0) {
        tg_log(push->log, TG_LOG_ERROR, "question of another worker has a wrong shape",
               TG_KV_INT("bytes", targets.len));
        return;
    }
    serving = tg_serving_new(push, &request, answer);
    if (serving == NULL) {
        tg_log(push->log, TG_LOG_ERROR, "question of another worker lost", TG_KV_ERR(TG_ENOMEM));
        return;
    }
    serving->asker = question->from;
    serving->correlation = question->correlation;
    for (size_t i = 0; i < request.count; i++) {
        serving->targets[i] = tg_batch_get_target(targets.ptr + i * TG_BATCH_TARGET_BYTES);
    }
}

/* ---- for push.c ---- */

void tg_batch_prepare(struct tg_push *push)
{
    tg_list_init(&push->batches_writing);
    tg_list_init(&push->batches_waiting);
    tg_list_init(&push->batches_asked);
    tg_task_init(&push->write_batches, write_some);
}

void tg_batch_give_up(struct tg_push *push)
{
    struct tg_list *node;
    while ((node = tg_list_pop(&push->batches_writing)) != NULL ||
           (node = tg_list_pop(&push->batches_waiting)) != NULL) {
        struct tg_serving *serving = TG_CONTAINER(node, struct tg_serving, node);
        assert(serving->served == answer); /* ours have been cancelled */
        tg_serving_free(serving);
    }
    tg_task_cancel(&push->write_batches);
}
