#include "routes/disconnect.h"

#include <stdlib.h>

#include "server/base/codec.h"

enum { RUNNING_MAX = 256 }; /* own events in work or being asked about, and inherited ones, per worker */

/* An event that waits for its turn, in engine->disconnects, and then for the removal of its row, with the
 * registry. */
struct waiting {
    struct tg_leaver leaver; /* info: counted, one reference */
    struct tg_engine *engine;
    int code;
    size_t reason_len;
    char reason[];
};

/* What becomes a request. */
struct event {
    const char *connection_id;
    const struct tg_conn_info *info;
    bool counted; /* info may be kept by reference */
    bool removed; /* its row: the registry has the last word */
    int code;
    struct tg_slice reason;
    enum tg_leave (*gate)(void *arg, tg_leave_fn *answer, void *answer_arg);
    void (*over)(void *arg);
    void *arg;
};

static void start_next(struct tg_engine *engine);

static void count_failed(struct tg_engine *engine, struct tg_slice api_id, struct tg_slice stage)
{
    struct tg_route_metrics *series =
        tg_metrics_series(engine->metrics, api_id, stage, TG_LIT("$disconnect"));
    tg_metric_add(&series->disconnect_failed, 1);
}

/* Nobody was there to be told: that was all. At the end of the worker's time it is left to others. */
static bool is_settled(struct tg_request *request)
{
    if (request->gate != NULL && !request->asked && !request->engine->cutting) {
        request->barred = request->gate(request->gate_arg, NULL, NULL) == TG_LEAVE_REFUSED;
    }
    return request->engine->cutting || !request->barred;
}

static void done(struct tg_request *request)
{
    struct tg_engine *engine = request->engine;
    void (*over)(void *arg) = request->over;
    void *arg = request->gate_arg;
    bool unreachable = request->fault == TG_FAULT_INTEGRATION && request->integration_status == 0;
    if (unreachable && !request->retried && !request->barred && !engine->cutting) {
        /* It keeps its place among those in work, so that a back end that is down is not asked by all at
         * once. */
        tg_request_retry_later(request, (uint64_t)request->api->settings.disconnect_retry_millis);
        return;
    }
    bool settled = is_settled(request);
    if (request->fault != TG_FAULT_NONE && settled) {
        count_failed(engine, request->api->api_id, request->stage->stage_name);
    }
    engine->disconnects_running--;
    tg_request_free(request);
    if (over != NULL) {
        over(arg);
    }
    start_next(engine);
}

/* The event comes to nothing. */
static void give_up(const struct event *event)
{
    if (event->gate != NULL) {
        (void)event->gate(event->arg, NULL, NULL);
    }
    if (event->over != NULL) {
        event->over(event->arg);
    }
}

/* The call to the back end is next. */
static enum tg_leave may_tell(void *arg, tg_leave_fn *answer, void *answer_arg)
{
    const struct tg_request *request = arg;
    struct tg_registry *registry = request->engine->registry;
    bool ours = registry->ops->may_tell(registry, request->connection_id, request->info);
    (void)answer;
    (void)answer_arg;
    return ours ? TG_LEAVE_GIVEN : TG_LEAVE_REFUSED;
}

static void start(struct tg_engine *engine, const struct event *event)
{
    const struct tg_conn_info *info = event->info;
    const struct tg_api *api = tg_model_api_by_id(engine->model, info->api_id);
    const struct tg_stage *stage = api != NULL ? tg_api_stage(api, info->stage) : NULL;
    struct tg_request *request;
    if (stage == NULL) {
        tg_log(engine->log, TG_LOG_WARN, "no $disconnect: the API or stage is no longer configured",
               TG_KV_CSTR("connectionId", event->connection_id));
        give_up(event);
        return;
    }
    enum tg_err err = tg_request_new(engine, TG_REQUEST_DISCONNECT, &request);
    if (err != TG_OK) {
        tg_log(engine->log, TG_LOG_ERROR, "$disconnect lost",
               TG_KV_CSTR("connectionId", event->connection_id), TG_KV_ERR(err));
        count_failed(engine, api->api_id, stage->stage_name);
        give_up(event);
        return;
    }
    request->api = api;
    request->stage = stage;
    request->route = api->disconnect_route;
    request->disconnect_code = event->code;
    request->info_counted = event->counted;
    request->gate = event->gate;
    request->over = event->over;
    request->gate_arg = event->arg;
    if (event->removed) {
        request->gate = may_tell;
        request->gate_arg = request;
    }
    memcpy(request->connection_id, event->connection_id, sizeof request->connection_id);
    struct tg_slice reason = event->reason;
    if (event->counted) {
        request->info = tg_conn_info_ref(info);
    } else {
        err = tg_conn_info_copy(&request->arena, info, &request->info);
    }
    if (err == TG_OK) {
        err = tg_utf8_repair(&request->arena, reason, &reason);
    }
    if (err == TG_OK) {
        err = tg_arena_copy(&request->arena, reason, &request->disconnect_reason);
    }
    request->done = done;
    if (err != TG_OK) {
        (void)tg_request_fail(request, TG_FAULT_INTERNAL, TG_LIT("out of memory"));
    }
    engine->disconnects_running++;
    tg_request_run(request);
}

static bool has_rows(const struct tg_engine *engine)
{
    return engine->registry->ops->remove != NULL;
}

static void drop(struct waiting *event)
{
    event->engine->disconnects_waiting--;
    if (event->leaver.info != NULL) {
        tg_conn_info_unref(event->leaver.info);
    }
    free(event);
}

/* It is known whose the event is. */
static void settle(struct waiting *event, bool ours, bool removed)
{
    const struct tg_leaver *leaver = &event->leaver;
    const struct event own = {.connection_id = leaver->connection_id,
                              .info = leaver->info,
                              .counted = true,
                              .removed = removed,
                              .code = event->code,
                              .reason = tg_slice_make(event->reason, event->reason_len)};
    if (ours && leaver->info != NULL) {
        start(event->engine, &own);
    } else if (leaver->info != NULL && event->engine->aborting) {
        count_failed(event->engine, leaver->info->api_id, leaver->info->stage);
    } else if (leaver->info != NULL) {
        tg_log(event->engine->log, TG_LOG_DEBUG, "$disconnect is left to another node",
               TG_KV_CSTR("connectionId", leaver->connection_id));
    }
    if (!event->engine->aborting) {
        tg_connmgr_note_freed(event->engine->connmgr);
    }
    drop(event);
}

static void on_removed(struct tg_leaver *leaver, bool ours)
{
    struct waiting *event = TG_CONTAINER(leaver, struct waiting, leaver);
    struct tg_engine *engine = event->engine;
    engine->disconnects_asked--;
    settle(event, ours, true);
    start_next(engine);
}

/* Its turn has come, not before: what waits has its row in the registry, for a survivor. */
static void begin(struct tg_engine *engine, struct waiting *event)
{
    enum tg_removal removal = TG_REMOVAL_OURS;
    if (has_rows(engine)) {
        removal = engine->registry->ops->remove(engine->registry, &event->leaver);
    }
    if (removal == TG_REMOVAL_ASKED) {
        engine->disconnects_asked++;
    } else {
        settle(event, removal == TG_REMOVAL_OURS, false);
    }
}

/* An event that ends at once comes back here from inside: the flag turns that into another round of the loop.
 */
static void start_next(struct tg_engine *engine)
{
    if (engine->disconnects_starting) {
        return;
    }
    engine->disconnects_starting = true;
    while (engine->disconnects_running + engine->disconnects_asked < RUNNING_MAX &&
           !tg_list_empty(&engine->disconnects)) {
        struct tg_list *node = tg_list_pop(&engine->disconnects);
        begin(engine, TG_CONTAINER(node, struct waiting, leaver.node));
    }
    engine->disconnects_starting = false;
}

/* info: counted, or NULL where the row alone has to go. False: no memory. */
static bool wait_for_turn(struct tg_engine *engine, const char *connection_id,
                          const struct tg_conn_info *info, int code, struct tg_slice reason)
{
    struct waiting *event = malloc(sizeof *event + reason.len);
    if (event == NULL) {
        return false;
    }
    event->leaver.info = info != NULL ? tg_conn_info_ref(info) : NULL;
    event->leaver.removed = on_removed;
    event->engine = engine;
    event->code = code;
    event->reason_len = reason.len;
    memcpy(event->leaver.connection_id, connection_id, sizeof event->leaver.connection_id);
    if (reason.len > 0) {
        memcpy(event->reason, reason.ptr, reason.len);
    }
    tg_list_append(&engine->disconnects, &event->leaver.node);
    engine->disconnects_waiting++;
    return true;
}

/* Without memory to wait with, or time: the row stays, for a survivor. */
static void issue_removed(struct tg_engine *engine, const char *connection_id,
                          const struct tg_conn_info *info, int code, struct tg_slice reason)
{
    if (!engine->aborting && wait_for_turn(engine, connection_id, info, code, reason)) {
        start_next(engine);
        return;
    }
    if (engine->aborting) {
        tg_log(engine->log, TG_LOG_DEBUG, "$disconnect is left to another node",
               TG_KV_CSTR("connectionId", connection_id));
    } else {
        tg_log(engine->log, TG_LOG_ERROR, "$disconnect lost", TG_KV_CSTR("connectionId", connection_id),
               TG_KV_ERR(TG_ENOMEM));
    }
    if (info != NULL) {
        count_failed(engine, info->api_id, info->stage);
    }
}

void tg_disconnect_issue(struct tg_engine *engine, const char *connection_id, const struct tg_conn_info *info,
                         bool counted, int code, struct tg_slice reason)
{
    if (counted && has_rows(engine)) {
        issue_removed(engine, connection_id, info, code, reason);
        return;
    }
    if (counted && (engine->disconnects_running >= RUNNING_MAX || !tg_list_empty(&engine->disconnects)) &&
        wait_for_turn(engine, connection_id, info, code, reason)) {
        return;
    }
    const struct event own = {
        .connection_id = connection_id, .info = info, .counted = counted, .code = code, .reason = reason};
    start(engine, &own); /* a turn is free, or memory is not */
}

void tg_disconnect_revoke(struct tg_engine *engine, const char *connection_id,
                          const struct tg_conn_info *info, bool tell)
{
    const struct tg_slice reason = TG_LIT("Connection closed abnormally");
    const struct tg_conn_info *own = NULL;
    if (!has_rows(engine)) {
        if (tell) {
            tg_disconnect_issue(engine, connection_id, info, false, 1006, reason);
        }
        return;
    }
    if (tell && tg_conn_info_new(info, &own) != TG_OK) {
        tg_log(engine->log, TG_LOG_ERROR, "$disconnect lost", TG_KV_CSTR("connectionId", connection_id),
               TG_KV_ERR(TG_ENOMEM));
        count_failed(engine, info->api_id, info->stage);
        return;
    }
    issue_removed(engine, connection_id, own, 1006, reason);
    if (own != NULL) {
        tg_conn_info_unref(own);
    }
}

void tg_disconnect_inherit(struct tg_engine *engine, const char *connection_id,
                           const struct tg_conn_info *info,
                           enum tg_leave (*gate)(void *arg, tg_leave_fn *answer, void *answer_arg),
                           void (*over)(void *arg), void *arg)
{
    const struct event event = {.connection_id = connection_id,
                                .info = info,
                                .code = 1006,
                                .reason = TG_LIT("Connection closed abnormally"),
                                .gate = gate,
                                .over = over,
                                .arg = arg};
    start(engine, &event);
}

size_t tg_disconnect_room(const struct tg_engine *engine)
{
    bool busy = engine->disconnects_running >= RUNNING_MAX;
    return busy || engine->cutting ? 0 : RUNNING_MAX - engine->disconnects_running;
}

bool tg_disconnect_full(const struct tg_engine *engine)
{
    return engine->disconnects_waiting >= engine->disconnects_max;
}

void tg_disconnect_abort(struct tg_engine *engine)
{
    struct tg_list *node;
    if (engine->disconnects_waiting > 0) {
        tg_log(engine->log, TG_LOG_ERROR, "$disconnects given up",
               TG_KV_INT("count", engine->disconnects_waiting));
    }
    while ((node = tg_list_pop(&engine->disconnects)) != NULL) {
        struct waiting *event = TG_CONTAINER(node, struct waiting, leaver.node);
        if (event->leaver.info != NULL) {
            count_failed(engine, event->leaver.info->api_id, event->leaver.info->stage);
        }
        drop(event);
    }
}
