/* Calls: their start, their time, pauses, and the one end that each of them has. */
#include "server/io/upstream_private.h"

#include <assert.h>
#include <stdlib.h>

#include "server/base/alloc.h"

static void call_free(struct tg_call *call)
{
    if (call->request.group != NULL) {
        tg_group_leave(call);
    }
    tg_timer_stop(&call->timer);
    tg_task_cancel(&call->task);
    tg_buf_free(&call->head);
    tg_buf_free(&call->stream);
    free(call);
}

/* Takes the call from wherever it is; a connection that it was using ends. */
static void detach(struct tg_call *call)
{
    struct tg_upstream_origin *origin = call->origin;
    struct tg_upstream_conn *conn = call->conn;
    if (origin != NULL) {
        tg_upstream_unqueue(call);
        tg_upstream_settle(origin);
    }
    if (conn != NULL) {
        conn->call = NULL;
        call->conn = NULL;
        tg_upstream_conn_drop(conn);
    }
}

void tg_call_end(struct tg_call *call, enum tg_err err)
{
    void (*on_end)(void *arg, enum tg_err err) = call->events.on_end;
    void *arg = call->arg;
    detach(call);
    call_free(call);
    on_end(arg, err);
}

void tg_call_rewind(struct tg_call *call)
{
    detach(call);
    call->sent = 0;
    call->held = 0;
    call->replayed = false;
    call->interim = 0;
    call->failure = TG_OK;
    tg_call_moved(call);
}

void tg_call_fail(struct tg_call *call, enum tg_err err)
{
    if (call->target == NULL || !tg_group_move_on(call, err)) {
        tg_call_end(call, err);
        return;
    }
    tg_call_mind_time(call);
}

void tg_call_end_later(struct tg_call *call, enum tg_err err)
{
    assert(call->conn == NULL && call->origin == NULL && err != TG_OK);
    call->failure = err;
    tg_task_defer(call->upstream->loop, &call->task);
}

void tg_call_cancel(struct tg_call *call)
{
    if (call != NULL) {
        detach(call);
        call_free(call);
    }
}

static void on_task(struct tg_task *task)
{
    struct tg_call *call = TG_CONTAINER(task, struct tg_call, task);
    struct tg_upstream_conn *conn = call->conn;
    if (call->denied) {
        tg_call_end(call, TG_EDENIED);
    } else if (call->failure != TG_OK) {
        tg_call_fail(call, call->failure);
    } else if (conn != NULL && conn->open) {
        if (call->held > 1) {
            call->held--;
            tg_task_defer(call->upstream->loop, task);
            return;
        }
        tg_upstream_conn_enter(conn);
        if (call->held > 0 || call->has_leave) {
            call->has_leave = false;
            tg_upstream_conn_write(conn);
        }
        tg_upstream_conn_resume(conn);
        if (!conn->dead && conn->call == call) {
            tg_call_drained(call);
        }
        tg_upstream_conn_leave(conn);
    }
}

/* Where the connection has ended meanwhile, another one's opening finds the leave. */
void tg_call_give_leave(struct tg_call *call, bool given)
{
    assert(call->awaits_leave);
    call->awaits_leave = false;
    call->denied = !given;
    call->has_leave = given;
    tg_task_defer(call->upstream->loop, &call->task);
}

void tg_call_moved(struct tg_call *call)
{
    call->moved_ms = tg_loop_now_ms(call->upstream->loop);
}

/* Of two limits, 0 being none. */
static uint64_t shorter(uint64_t a, uint64_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

static uint64_t due_ms(const struct tg_call *call)
{
    const struct tg_call_request *request = &call->request;
    uint64_t limit = !call->head_seen ? shorter(request->head_timeout_ms, tg_group_attempt_ms(call))
                     : call->paused   ? 0
                                      : request->idle_timeout_ms;
    uint64_t due = limit > 0 ? call->moved_ms + limit : UINT64_MAX;
    return due < call->end_ms ? due : call->end_ms;
}

void tg_call_mind_time(struct tg_call *call)
{
    uint64_t due = due_ms(call);
    uint64_t now = tg_loop_now_ms(call->upstream->loop);
    if (due < UINT64_MAX && (!tg_timer_armed(&call->timer) || due < call->timer.due_ms)) {
        tg_timer_start(call->upstream->loop, &call->timer, due > now ? due - now : 0);
    }
}

/* The head cannot come, as a streamed body waits for its sender. */
static bool waits_for_sender(const struct tg_call *call)
{
    return !call->head_seen && !call->finished && call->conn != NULL && call->conn->open &&
           tg_call_unsent(call).len == 0;
}

bool tg_call_time_is_over(const struct tg_call *call)
{
    uint64_t now = tg_loop_now_ms(call->upstream->loop);
    uint64_t limit = call->request.head_timeout_ms;
    return now >= call->end_ms || (!call->head_seen && limit > 0 && now >= call->moved_ms + limit);
}

static void on_timer(struct tg_timer *timer)
{
    struct tg_call *call = TG_CONTAINER(timer, struct tg_call, timer);
    bool slow_sender = waits_for_sender(call);
    if (slow_sender) {
        tg_call_moved(call);
    }
    if (due_ms(call) > tg_loop_now_ms(call->upstream->loop)) {
        tg_call_mind_time(call);
        return;
    }
    call->upstream->stats.timeouts++;
    if (slow_sender) {
        tg_call_end(call, TG_ETIMEOUT);
    } else {
        tg_call_fail(call, TG_ETIMEOUT);
    }
}

void tg_call_answered(struct tg_call *call, int status)
{
    call->head_seen = true;
    if (status == 101) {
        call->streams = TG_STREAM_TUNNEL;
        call->finished = false;
        call->end_ms = UINT64_MAX;
    }
    if (call->target != NULL) {
        tg_group_answered(call);
    }
    tg_call_moved(call);
    tg_call_mind_time(call);
}

enum tg_err tg_call_new(struct tg_upstream *upstream, const struct tg_call_request *request,
                        const struct tg_call_events *events, void *arg, const struct tg_call_way *way,
                        struct tg_call **out)
{
    struct tg_call *call = tg_zalloc(sizeof *call);
    if (call == NULL) {
        return TG_ENOMEM;
    }
    call->upstream = upstream;
    call->request = *request;
    call->events = *events;
    call->arg = arg;
    call->max_body = way->max_body;
    call->apart = way->apart;
    call->replayable =
        request->replayable || (request->group != NULL && tg_http1_idempotent(request->method));
    call->finished = !request->stream_body;
    call->length = -1;
    call->end_ms = UINT64_MAX;
    tg_list_init(&call->node);
    tg_timer_init(&call->timer, on_timer);
    tg_task_init(&call->task, on_task);
    tg_buf_init(&call->head, SIZE_MAX);
    tg_buf_init(&call->stream, SIZE_MAX);
    enum tg_err err = tg_call_write_head(call);
    if (request->group != NULL) {
        tg_group_enter(call);
    }
    if (err == TG_OK) {
        err = request->group != NULL ? tg_group_place(call) : tg_upstream_place(call);
    }
    if (err != TG_OK) {
        call_free(call);
        return err;
    }
    upstream->stats.calls++;
    tg_call_moved(call);
    if (request->timeout_ms > 0) {
        call->end_ms = call->moved_ms + request->timeout_ms;
    }
    tg_call_mind_time(call);
    *out = call;
    return TG_OK;
}

enum tg_err tg_upstream_call(struct tg_upstream *upstream, const struct tg_call_request *request,
                             const struct tg_call_events *events, void *arg, struct tg_call **out)
{
    static const struct tg_call_way way = {.max_body = UINT64_MAX};
    return tg_call_new(upstream, request, events, arg, &way, out);
}

int64_t tg_call_length(const struct tg_call *call)
{
    return call->length;
}

void tg_call_pause(struct tg_call *call, bool paused)
{
    if (call->paused == paused) {
        return;
    }
    call->paused = paused;
    if (!paused) {
        tg_call_moved(call);
        tg_call_mind_time(call);
        /* Bytes may be waiting, and their owner is not called from here. */
        tg_task_defer(call->upstream->loop, &call->task);
    } else if (call->conn != NULL && call->conn->open) {
        tg_upstream_conn_want(call->conn);
    }
}
