/* An open connection: writes the request of its call, reads the answer, and decides what becomes of both when
 * the peer ends it. Reading stays wanted from the opening on, idle or not, so that a call costs no change of
 * interest. */
#include "server/io/upstream_private.h"

enum { FIELDS_MAX = 256, INTERIM_MAX = 16, HOLD_ROUNDS = 2 };

/* What a step over the answer's bytes led to. */
enum step {
    STEP_MORE, /* go on with the bytes behind */
    STEP_WAIT, /* nothing to do until more bytes come or the pause ends */
    STEP_DONE, /* the answer is complete */
    STEP_GONE  /* the call, and the connection with it, has ended */
};

void tg_upstream_conn_want(struct tg_upstream_conn *conn)
{
    bool read = conn->call == NULL || !conn->call->paused || !conn->call->head_seen;
    tg_transport_want(conn->transport, read, conn->blocked);
}

/* A call that must not go ends later: who starts it is not called from inside. */
static bool may_go(struct tg_call *call)
{
    if (call->request.may_go != NULL && !call->asked) {
        call->asked = true;
        enum tg_leave leave = call->request.may_go(call->request.may_go_arg, call);
        call->awaits_leave = leave == TG_LEAVE_LATER;
        call->denied = leave == TG_LEAVE_REFUSED;
        if (call->denied) {
            tg_task_defer(call->upstream->loop, &call->task);
        }
    }
    return !call->denied && !call->awaits_leave;
}

void tg_upstream_conn_write(struct tg_upstream_conn *conn)
{
    struct tg_call *call = conn->call;
    if (!may_go(call)) {
        return;
    }
    conn->blocked = false;
    call->held = 0;
    while (!conn->write_failed) {
        struct tg_slice bytes = tg_call_unsent(call);
        size_t put = 0;
        if (bytes.len == 0) {
            break;
        }
        enum tg_err err = tg_transport_write(conn->transport, bytes, &put);
        if (err == TG_EAGAIN) {
            conn->blocked = true;
            break;
        }
        /* A peer that will read no more may have answered already: reading finds out. */
        conn->write_failed = err != TG_OK;
        if (err == TG_OK) {
            tg_call_advance(call, put);
        }
    }
    if (conn->write_failed && call->stream_started) {
        tg_buf_clear(&call->stream);
    }
    if (call->streams == TG_STREAM_TUNNEL && call->finished && !conn->blocked && !conn->shut) {
        conn->shut = true;
        tg_transport_shutdown(conn->transport);
    }
    tg_upstream_conn_want(conn);
}

void tg_upstream_conn_serve(struct tg_upstream_conn *conn, struct tg_call *call)
{
    conn->call = call;
    call->conn = conn;
    conn->reused = true;
    conn->answered = false;
    conn->origin->upstream->stats.reused++;
    call->held = !call->finished && call->streamed == 0 ? HOLD_ROUNDS : 0;
    if (call->held == 0) {
        tg_upstream_conn_write(conn);
    }
    if (call->held > 0 || call->wants_drain) {
        tg_task_defer(conn->origin->upstream->loop, &call->task);
    }
}

void tg_upstream_conn_opened(struct tg_upstream_conn *conn)
{
    tg_upstream_conn_write(conn);
    tg_call_drained(conn->call);
}

void tg_upstream_on_writable(void *arg)
{
    struct tg_upstream_conn *conn = arg;
    if (conn->call != NULL) {
        tg_upstream_conn_write(conn);
        tg_call_drained(conn->call);
    } else {
        tg_upstream_conn_want(conn);
    }
}

/* The connection ends, and with it the call, unless another target gets that. */
static enum step fail(struct tg_call *call, enum tg_err err)
{
    tg_call_fail(call, err);
    return STEP_GONE;
}

static int64_t answer_length(const struct tg_http1_response *response)
{
    if (response->status == 101 || response->status == 204) {
        return response->status == 204 ? 0 : -1;
    }
    return response->has_length ? (int64_t)response->content_length : -1;
}

static enum step take_head(struct tg_upstream_conn *conn, const struct tg_http1_response *response)
{
    struct tg_call *call = conn->call;
    bool tunnel = response->status == 101 && call->request.upgrade;
    if (response->status < 200 && !tunnel) {
        bool harmless = response->status != 101 && ++call->interim <= INTERIM_MAX;
        return harmless ? STEP_MORE : fail(call, TG_EPROTO);
    }
    if (response->framing == TG_HTTP1_LENGTH && response->content_length > call->max_body) {
        return fail(call, TG_ELIMIT);
    }
    call->keep_alive = response->keep_alive && !tunnel && !call->apart;
    call->length = answer_length(response);
    tg_http1_body_init(&call->decoder, tunnel ? TG_HTTP1_UNTIL_CLOSE : response->framing,
                       response->content_length);
    tg_call_answered(call, response->status);
    call->events.on_head(call->arg, response->status, &response->headers);
    if (conn->dead) {
        return STEP_GONE;
    }
    return call->decoder.done ? STEP_DONE : STEP_MORE;
}

static enum step read_head(struct tg_upstream_conn *conn, struct tg_slice bytes, size_t *used)
{
    struct tg_upstream *upstream = conn->origin->upstream;
    struct tg_call *call = conn->call;
    const struct tg_http1_limits limits = {
        .line = upstream->options.max_head, .head = upstream->options.max_head, .count = FIELDS_MAX};
    struct tg_http1_response response;
    struct tg_http1_fault fault;
    struct tg_arena arena;
    tg_arena_init(&arena, &upstream->arenas);
    enum tg_err err = tg_http1_parse_response(bytes, &conn->scanned, &limits, call->request.method, &arena,
                                              &response, used, &fault);
    enum step step = STEP_WAIT;
    if (err == TG_OK) {
        conn->scanned = 0;
        step = take_head(conn, &response);
    } else if (err != TG_EAGAIN) {
        if (err == TG_EPROTO) {
            tg_log(upstream->log, TG_LOG_WARN, "back end's answer refused",
                   TG_KV("host", conn->origin->name.host), TG_KV_CSTR("reason", fault.reason));
        }
        step = fail(call, err);
    }
    tg_arena_reset(&arena);
    return step;
}

static enum step read_body(struct tg_upstream_conn *conn, struct tg_slice bytes, size_t *used)
{
    struct tg_call *call = conn->call;
    struct tg_slice content = TG_EMPTY;
    if (call->paused) {
        return STEP_WAIT;
    }
    enum tg_err err = tg_http1_body_decode(&call->decoder, bytes, used, &content);
    if (err != TG_OK) {
        return fail(call, err);
    }
    if (content.len > call->max_body - call->received) {
        return fail(call, TG_ELIMIT);
    }
    call->received += content.len;
    if (content.len > 0) {
        call->events.on_body(call->arg, content);
        if (conn->dead) {
            return STEP_GONE;
        }
    }
    return call->decoder.done ? STEP_DONE : STEP_MORE;
}

/* The answer is complete. The connection serves again if both sides have said all and nothing but that. */
static void complete(struct tg_upstream_conn *conn, bool all_used)
{
    struct tg_call *call = conn->call;
    bool sent = call->finished && tg_call_unsent(call).len == 0 && !conn->write_failed;
    if (call->keep_alive && sent && all_used) {
        call->conn = NULL;
        conn->call = NULL;
        tg_upstream_release(conn);
    }
    tg_call_end(call, TG_OK);
}

/* Goes over what was kept and what has just come; keeps what cannot be used yet. */
static void take_input(struct tg_upstream_conn *conn, struct tg_slice fresh)
{
    bool kept = tg_buf_size(&conn->in) > 0;
    if (kept && tg_buf_append(&conn->in, fresh) != TG_OK) {
        tg_call_end(conn->call, TG_ENOMEM);
        return;
    }
    struct tg_slice bytes = kept ? tg_buf_slice(&conn->in) : fresh;
    enum step step = STEP_MORE;
    size_t at = 0;
    while (at < bytes.len && step == STEP_MORE) {
        struct tg_slice rest = tg_slice_from(bytes, at);
        size_t used = 0;
        step = conn->call->head_seen ? read_body(conn, rest, &used) : read_head(conn, rest, &used);
        at += used;
    }
    if (step == STEP_GONE) {
        return;
    }
    if (kept) {
        tg_buf_consume(&conn->in, at);
    } else if (step != STEP_DONE && tg_buf_append(&conn->in, tg_slice_from(bytes, at)) != TG_OK) {
        tg_call_end(conn->call, TG_ENOMEM);
        return;
    }
    if (step == STEP_DONE) {
        complete(conn, at == bytes.len);
        return;
    }
    tg_upstream_conn_want(conn);
}

/* Whether the call may be sent again: never after a byte of an answer, and only once. */
static bool may_replay(const struct tg_upstream_conn *conn)
{
    const struct tg_call *call = conn->call;
    if (call->replayed || conn->answered || call->stream_started) {
        return false;
    }
    return !call->wrote || (conn->reused && call->replayable);
}

/* The replay comes before the calls that wait: it takes the place that its connection leaves. */
static void replay(struct tg_upstream_conn *conn)
{
    struct tg_call *call = conn->call;
    struct tg_upstream_origin *origin = conn->origin;
    call->conn = NULL;
    call->replayed = true;
    call->sent = 0;
    conn->call = NULL;
    tg_upstream_conn_end(conn);
    origin->upstream->stats.replayed++;
    enum tg_err err = tg_upstream_connect(origin, call);
    if (err != TG_OK) {
        tg_upstream_settle(origin);
        tg_call_fail(call, err);
    }
}

/* A failed write has taken the socket's error, which reading then cannot show: what ended was cut. */
static bool ended_in_order(const struct tg_upstream_conn *conn, enum tg_err err)
{
    return err == TG_ECLOSED && conn->call->head_seen && !conn->write_failed &&
           conn->call->decoder.framing == TG_HTTP1_UNTIL_CLOSE;
}

static void on_ended(struct tg_upstream_conn *conn, enum tg_err err)
{
    struct tg_call *call = conn->call;
    if (call == NULL) {
        tg_upstream_conn_drop(conn);
    } else if (ended_in_order(conn, err)) {
        tg_call_end(call, TG_OK);
    } else if (may_replay(conn)) {
        replay(conn);
    } else {
        tg_call_fail(call, call->head_seen && err == TG_EIO ? TG_ECLOSED : err);
    }
}

void tg_upstream_on_readable(void *arg)
{
    struct tg_upstream_conn *conn = arg;
    struct tg_upstream *upstream = conn->origin->upstream;
    size_t got = 0;
    enum tg_err err = tg_transport_read(conn->transport, upstream->scratch, sizeof upstream->scratch, &got);
    if (err == TG_EAGAIN) {
        return;
    }
    tg_upstream_conn_enter(conn);
    if (err != TG_OK) {
        on_ended(conn, err);
    } else if (conn->call == NULL) {
        /* Nobody asked: it must not be taken for the answer to the next call. */
        tg_upstream_conn_drop(conn);
    } else {
        conn->answered = true;
        if (conn->call->head_seen) {
            tg_call_moved(conn->call);
        }
        take_input(conn, tg_slice_make(upstream->scratch, got));
    }
    tg_upstream_conn_leave(conn);
}

void tg_upstream_conn_resume(struct tg_upstream_conn *conn)
{
    tg_upstream_conn_enter(conn);
    if (tg_buf_size(&conn->in) > 0) {
        take_input(conn, TG_EMPTY);
    } else {
        tg_upstream_conn_want(conn);
    }
    tg_upstream_conn_leave(conn);
}
