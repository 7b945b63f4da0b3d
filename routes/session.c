#include "routes/session.h"

#include <stdlib.h>

#include "routes/disconnect.h"
#include "server/base/alloc.h"
#include "server/base/buf.h"
#include "server/base/codec.h"

enum { REPLY_MAX = 131072 }; /* bytes of a two-way reply (spec 2.2) */

/* A message that waits for its turn. */
struct waiting {
    struct tg_list node;
    bool binary;
    size_t len;
    char bytes[];
};

struct tg_session {
    struct tg_list node; /* engine->sessions */
    struct tg_engine *engine;
    struct tg_conn_handle conn;
    uint32_t pending; /* requests in flight */
    uint32_t waiting_count;
    uint32_t most;    /* pending and waiting; with as many, reading stops */
    uint32_t at_once; /* pending: 1 where order is kept */
    struct tg_list waiting;
    bool paused;
    bool draining; /* its turn has come: closes when nothing is pending */
    bool starting; /* a message is: whoever starts it looks after the next */
    /* Of the engine's model; NULL: no longer configured. */
    const struct tg_api *api;
    const struct tg_stage *stage;
};

static uint64_t milliseconds(double seconds)
{
    return seconds > 0 ? (uint64_t)(seconds * 1000.0 + 0.5) : 0;
}

struct tg_conn_settings tg_session_settings(const struct tg_api *api)
{
    const struct tg_api_settings *settings = &api->settings;
    return (struct tg_conn_settings){
        .idle_timeout_ms = milliseconds(settings->idle_timeout_seconds),
        .max_duration_ms = milliseconds(settings->max_connection_duration_seconds),
        .ping_interval_ms = milliseconds(settings->ping_interval_seconds),
        .control_is_activity = settings->idle_timeout_counts_ping,
        .max_queued_bytes = (size_t)settings->max_queued_bytes,
    };
}

static void set_limits(struct tg_session *session)
{
    const struct tg_api *api = session->api;
    session->most = api != NULL ? (uint32_t)api->settings.max_pending_messages : 1;
    session->at_once =
        api != NULL && api->settings.message_ordering != TG_ORDERING_PER_CONNECTION ? session->most : 1;
}

/* Of the current model (spec 1.12: those that the stage points at now). A handshake may have run on an older
 * one. */
static void locate(struct tg_session *session, const struct tg_conn_info *info)
{
    session->api = tg_model_api_by_id(session->engine->model, info->api_id);
    session->stage = session->api != NULL ? tg_api_stage(session->api, info->stage) : NULL;
    set_limits(session);
}

enum tg_err tg_session_new(struct tg_engine *engine, struct tg_conn *conn)
{
    struct tg_session *session = tg_zalloc(sizeof *session);
    if (session == NULL) {
        return TG_ENOMEM;
    }
    session->engine = engine;
    session->conn = tg_conn_handle(conn);
    locate(session, tg_conn_info(conn));
    tg_list_init(&session->waiting);
    if (engine->draining) {
        tg_list_prepend(&engine->sessions, &session->node); /* before those whose turn has come */
    } else {
        tg_list_append(&engine->sessions, &session->node);
    }
    engine->session_count++;
    tg_conn_set_user(conn, session);
    return TG_OK;
}

static void session_free(struct tg_session *session)
{
    struct tg_list *node;
    while ((node = tg_list_pop(&session->waiting)) != NULL) {
        free(TG_CONTAINER(node, struct waiting, node));
    }
    tg_list_remove(&session->node);
    session->engine->session_count--;
    session->engine->sessions_draining -= session->draining;
    free(session);
}

void tg_session_reload(struct tg_engine *engine)
{
    for (struct tg_list *node = engine->sessions.next; node != &engine->sessions; node = node->next) {
        struct tg_session *session = TG_CONTAINER(node, struct tg_session, node);
        struct tg_conn *conn = tg_conn_get(engine->connmgr, session->conn);
        session->api = NULL;
        session->stage = NULL;
        set_limits(session);
        if (conn != NULL) {
            locate(session, tg_conn_info(conn));
        }
        if (session->api != NULL) {
            const struct tg_conn_settings settings = tg_session_settings(session->api);
            tg_conn_configure(conn, &settings);
        }
    }
}

/* ---- sending ---- */

static TG_APART void text_not_sent(const struct tg_engine *engine, struct tg_conn *conn,
                                   const struct tg_api *api, enum tg_err err)
{
    bool close = err != TG_EBUSY || api->settings.slow_consumer == TG_SLOW_CLOSE;
    tg_log(engine->log, TG_LOG_WARN, close ? "reply not sent, connection closed" : "reply dropped",
           TG_KV_CSTR("connectionId", tg_conn_id(conn)), TG_KV_ERR(err));
    if (close && err != TG_ECLOSED) {
        tg_conn_close(conn, 1011, TG_LIT("Internal error"));
    }
}

static void send_text(const struct tg_engine *engine, struct tg_conn *conn, const struct tg_api *api,
                      struct tg_route_metrics *series, struct tg_slice text)
{
    enum tg_err err = tg_conn_send_text(conn, text);
    if (err != TG_OK) {
        text_not_sent(engine, conn, api, err);
        return;
    }
    tg_metric_add(&series->messages_out, 1);
    tg_metric_add(&series->metered_out, tg_metered(text.len));
}

static void reply(struct tg_request *request)
{
    struct tg_slice text = TG_EMPTY;
    if (request->fault == TG_FAULT_NONE && !request->route->two_way) {
        return;
    }
    if (request->fault == TG_FAULT_NONE && request->answer.body.len > REPLY_MAX) {
        (void)tg_request_fail(request, TG_FAULT_INTEGRATION, TG_LIT("the reply is longer than 131072 bytes"));
        tg_log(request->engine->log, TG_LOG_WARN, "reply too long",
               TG_KV_CSTR("connectionId", request->connection_id),
               TG_KV_INT("bytes", request->answer.body.len));
    }
    enum tg_err err;
    if (request->fault == TG_FAULT_NONE) {
        /* A message that was received as text is UTF-8. */
        bool echo = request->answer.body.ptr == request->body.ptr && !request->binary;
        text = request->answer.body;
        err = echo ? TG_OK : tg_utf8_repair(&request->arena, text, &text);
    } else {
        err = tg_fault_frame(&request->arena, request->fault, tg_slice_cstr(request->connection_id),
                             tg_slice_cstr(tg_request_id(request)),
                             tg_slice_cstr(tg_request_message_id(request)), &text);
    }
    struct tg_conn *conn = tg_conn_get_open(request->engine->connmgr, request->conn);
    if (err == TG_OK && conn != NULL) { /* else it is gone meanwhile: nobody to tell */
        send_text(request->engine, conn, request->api, tg_request_series(request), text);
    } else if (err != TG_OK) {
        tg_log(request->engine->log, TG_LOG_ERROR, "reply lost", TG_KV_ERR(err));
    }
}

/* ---- messages ---- */

static void start_next(struct tg_session *session);

static void close_for_drain(const struct tg_session *session)
{
    const struct tg_engine *engine = session->engine;
    struct tg_conn *conn = tg_conn_get(engine->connmgr, session->conn);
    if (conn != NULL) {
        tg_conn_close(conn, engine->drain_code, engine->drain_reason);
    }
}

static void close_if_drained(const struct tg_session *session)
{
    if (session->draining && session->pending == 0 && session->waiting_count == 0) {
        close_for_drain(session);
    }
}

static void message_done(struct tg_request *request)
{
    struct tg_engine *engine = request->engine;
    struct tg_conn_handle handle = request->conn;
    reply(request);
    tg_request_free(request);
    struct tg_conn *conn = tg_conn_get(engine->connmgr, handle);
    struct tg_session *session = conn != NULL ? tg_conn_user(conn) : NULL;
    if (session != NULL) {
        session->pending--;
        if (!session->starting) {
            start_next(session);
        }
        close_if_drained(session);
    }
}

/* What is known of a text message before a request is made of it. */
struct known {
    const struct tg_route *route; /* NULL: none, or not known yet */
    const char *throttled;        /* by what; NULL: not, or not asked yet */
    bool answered;                /* no request is needed */
};

/* Where a MOCK's answer is known, as to a heartbeat, no request is made. */
static void answer_known(const struct tg_session *session, struct tg_conn *conn, const struct tg_lane *lane,
                         struct tg_slice text, struct known *known)
{
    struct tg_engine *engine = session->engine;
    uint64_t now = tg_loop_now_ms(engine->loop);
    if (lane->answer == TG_MOCK_VARIES || text.len > REPLY_MAX || lane->text.len > REPLY_MAX ||
        engine->cutting || engine->aborting) {
        return;
    }
    if (!tg_throttle_take(tg_lane_account(engine), now)) {
        known->throttled = "account limit";
        return;
    }
    if (!tg_throttle_take(&lane->limit, now)) {
        known->throttled = "route limit";
        return;
    }
    known->answered = true;
    tg_metric_add(&lane->series->messages_in, 1);
    tg_metric_add(&lane->series->metered_in, tg_metered(text.len));
    if (lane->route->two_way) {
        send_text(engine, conn, session->api, lane->series, lane->answer == TG_MOCK_ECHO ? text : lane->text);
    }
}

static void look_at_message(const struct tg_session *session, struct tg_conn *conn, struct tg_slice text,
                            struct known *known)
{
    struct tg_arena arena;
    struct tg_slice key;
    tg_arena_init(&arena, session->engine->arenas);
    if (tg_message_key(session->api, text, &arena, &key) == TG_OK) { /* else the request finds out */
        const struct tg_lane *lane = tg_lane_of_key(session->engine, session->api, session->stage, key);
        known->route = lane->route;
        if (known->route != NULL) {
            answer_known(session, conn, lane, text, known);
        }
    }
    tg_arena_reset(&arena);
}

static TG_APART enum tg_err start_request(struct tg_session *session, struct tg_conn *conn,
                                          struct tg_slice payload, bool binary, struct known known)
{
    struct tg_request *request;
    enum tg_err err = tg_request_new(session->engine, TG_REQUEST_MESSAGE, &request);
    if (err != TG_OK) {
        return err;
    }
    request->api = session->api;
    request->stage = session->stage;
    request->conn = session->conn;
    request->route = known.route;
    request->info = tg_conn_info(conn);
    request->info_borrowed = true;
    request->binary = binary;
    memcpy(request->connection_id, tg_conn_id(conn), sizeof request->connection_id);
    request->body = payload;
    request->body_borrowed = true;
    request->done = message_done;
    session->pending++;
    if (known.throttled != NULL) {
        (void)tg_request_fail(request, TG_FAULT_THROTTLED, tg_slice_cstr(known.throttled));
    }
    tg_request_run(request);
    return TG_OK;
}

static enum tg_err start_message(struct tg_session *session, struct tg_conn *conn, struct tg_slice payload,
                                 bool binary)
{
    struct known known = {0};
    if (session->stage == NULL) {
        return TG_ENOTFOUND;
    }
    if (!binary) {
        look_at_message(session, conn, payload, &known);
    }
    return known.answered ? TG_OK : start_request(session, conn, payload, binary, known);
}

/* What cannot even be started costs this connection, not the process. */
static TG_APART void message_failed(struct tg_session *session, enum tg_err err)
{
    struct tg_conn *conn = tg_conn_get_open(session->engine->connmgr, session->conn);
    tg_log(session->engine->log, TG_LOG_ERROR, "message not taken, connection closed", TG_KV_ERR(err),
           TG_KV_CSTR("connectionId", conn != NULL ? tg_conn_id(conn) : ""));
    if (conn != NULL) {
        tg_conn_close(conn, err == TG_ENOTFOUND ? 1001 : 1011,
                      err == TG_ENOTFOUND ? TG_LIT("Going away") : TG_LIT("Internal error"));
    }
}

static bool may_start(const struct tg_session *session)
{
    return session->pending < session->at_once;
}

static TG_APART void set_pause(struct tg_session *session, bool pause)
{
    struct tg_conn *conn = tg_conn_get(session->engine->connmgr, session->conn);
    if (conn != NULL) {
        session->paused = pause;
        tg_conn_pause(conn, pause);
    }
}

static void update_pause(struct tg_session *session)
{
    bool pause = session->pending + session->waiting_count >= session->most;
    if (pause != session->paused) {
        set_pause(session, pause);
    }
}

static void start_next(struct tg_session *session)
{
    /* A message that ends inside start_message leaves the next one to this loop: as many as may wait, nested,
     * would be more than the stack holds. */
    struct tg_engine *engine = session->engine;
    struct tg_conn_handle handle = session->conn;
    session->starting = true;
    while (may_start(session)) {
        struct tg_conn *conn = tg_conn_get_open(engine->connmgr, handle);
        struct tg_list *node = conn != NULL ? tg_list_pop(&session->waiting) : NULL;
        if (node == NULL) {
            break;
        }
        struct waiting *message = TG_CONTAINER(node, struct waiting, node);
        session->waiting_count--;
        enum tg_err err =
            start_message(session, conn, tg_slice_make(message->bytes, message->len), message->binary);
        free(message);
        if (err != TG_OK) {
            message_failed(session, err);
        }
    }
    session->starting = false;
    update_pause(session);
}

static TG_APART enum tg_err wait_for_turn(struct tg_session *session, struct tg_slice payload, bool binary)
{
    struct waiting *message = malloc(sizeof *message + payload.len);
    if (message == NULL) {
        return TG_ENOMEM;
    }
    message->binary = binary;
    message->len = payload.len;
    if (payload.len > 0) {
        memcpy(message->bytes, payload.ptr, payload.len);
    }
    tg_list_init(&message->node);
    tg_list_append(&session->waiting, &message->node);
    session->waiting_count++;
    return TG_OK;
}

static void on_message(void *arg, struct tg_conn *conn, struct tg_slice payload, bool binary)
{
    struct tg_session *session = tg_conn_user(conn);
    (void)arg;
    if (session == NULL || session->draining) {
        return;
    }
    enum tg_err err;
    if (tg_list_empty(&session->waiting) && may_start(session)) {
        session->starting = true; /* when it ends in here, there is none to follow */
        err = start_message(session, conn, payload, binary);
        session->starting = false;
    } else {
        err = wait_for_turn(session, payload, binary);
    }
    if (err != TG_OK) {
        message_failed(session, err);
    }
    update_pause(session);
}

/* ---- draining ---- */

/* Sessions whose turn has come lie behind those whose has not. */
static void start_drain(struct tg_session *session)
{
    session->draining = true;
    session->engine->sessions_draining++;
    tg_list_remove(&session->node);
    tg_list_append(&session->engine->sessions, &session->node);
}

static struct tg_session *first_staying(const struct tg_engine *engine)
{
    struct tg_session *first = TG_CONTAINER(engine->sessions.next, struct tg_session, node);
    return tg_list_empty(&engine->sessions) || first->draining ? NULL : first;
}

size_t tg_session_staying(const struct tg_engine *engine)
{
    return engine->session_count - engine->sessions_draining;
}

void tg_session_drain(struct tg_engine *engine, size_t count)
{
    struct tg_session *session;
    for (; count > 0 && (session = first_staying(engine)) != NULL; count--) {
        start_drain(session);
        close_if_drained(session);
    }
}

void tg_session_close_all(struct tg_engine *engine)
{
    tg_session_drain(engine, SIZE_MAX);
    for (struct tg_list *node = engine->sessions.next; node != &engine->sessions; node = node->next) {
        close_for_drain(TG_CONTAINER(node, struct tg_session, node));
    }
}

size_t tg_session_messages(const struct tg_conn *conn)
{
    const struct tg_session *session = tg_conn_user(conn);
    return session != NULL ? session->pending + session->waiting_count : 0;
}

/* ---- the end ---- */

static void on_closed(void *arg, struct tg_conn *conn, int code, struct tg_slice reason)
{
    struct tg_engine *engine = arg;
    struct tg_session *session = tg_conn_user(conn);
    const struct tg_conn_info *info = tg_conn_info(conn);
    tg_log(engine->log, TG_LOG_DEBUG, "connection closed", TG_KV_CSTR("connectionId", tg_conn_id(conn)),
           TG_KV_INT("code", code));
    tg_conn_set_user(conn, NULL);
    if (session != NULL) {
        session_free(session);
    }
    tg_disconnect_issue(engine, tg_conn_id(conn), info, true, code, reason);
}

const struct tg_conn_events tg_session_events = {.on_message = on_message, .on_closed = on_closed};
