#include "routes/disconnect.h"

#include <stdlib.h>

#include "server/base/codec.h"

enum { RUNNING_MAX = 256 }; /* events in work, per worker */

/* An event that waits for its turn. */
struct waiting {
    struct tg_list node; /* engine->disconnects */
    char connection_id[TG_CONNID_LEN + 1];
    const struct tg_conn_info *info; /* counted */
    int code;
    size_t reason_len;
    char reason[];
};

/* What becomes a request. */
struct event {
    const char *connection_id;
    const struct tg_conn_info *info;
    bool counted; /* info may be kept by reference */
    int code;
    struct tg_slice reason;
    bool (*gate)(void *arg);
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
    /* Nobody was there to be told: that was all. At the end of the worker's time it is left to others. */
    bool settled = engine->cutting || tg_request_may_go(request);
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
        (void)event->gate(event->arg);
    }
    if (event->over != NULL) {
        event->over(event->arg);
    }
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

/* Not before its turn has come: what waits is in the registry, for a survivor. What was never open is in
 * none. */
static void start_own(struct tg_engine *engine, const struct event *event)
{
    if (event->counted &&
        !engine->registry->ops->remove(engine->registry, event->connection_id, event->info)) {
        tg_log(engine->log, TG_LOG_DEBUG, "$disconnect is left to another node",
               TG_KV_CSTR("connectionId", event->connection_id));
        return;
    }
    start(engine, event);
}

static void drop(struct tg_engine *engine, struct waiting *event)
{
    engine->disconnects_waiting--;
    tg_conn_info_unref(event->info);
    free(event);
}

/* An event that ends at once comes back here from inside: the flag turns that into another round of the loop.
 */
static void start_next(struct tg_engine *engine)
{
    if (engine->disconnects_starting) {
        return;
    }
    engine->disconnects_starting = true;
    while (engine->disconnects_running < RUNNING_MAX && !tg_list_empty(&engine->disconnects)) {
        struct waiting *event = TG_CONTAINER(tg_list_pop(&engine->disconnects), struct waiting, node);
        const struct event own = {.connection_id = event->connection_id,
                                  .info = event->info,
                                  .counted = true,
                                  .code = event->code,
                                  .reason = tg_slice_make(event->reason, event->reason_len)};
        start_own(engine, &own);
        drop(engine, event);
    }
    engine->disconnects_starting = false;
}

void tg_disconnect_issue(struct tg_engine *engine, const char *connection_id, const struct tg_conn_info *info,
                         bool counted, int code, struct tg_slice reason)
{
    struct waiting *event = NULL;
    if (counted && (engine->disconnects_running >= RUNNING_MAX || !tg_list_empty(&engine->disconnects))) {
        event = malloc(sizeof *event + reason.len);
    }
    if (event == NULL) {
        const struct event own = {
            .connection_id = connection_id, .info = info, .counted = counted, .code = code, .reason = reason};
        start_own(engine, &own); /* a turn is free, or memory is not */
        return;
    }
    event->info = tg_conn_info_ref(info);
    event->code = code;
    event->reason_len = reason.len;
    memcpy(event->connection_id, connection_id, sizeof event->connection_id);
    if (reason.len > 0) {
        memcpy(event->reason, reason.ptr, reason.len);
    }
    tg_list_append(&engine->disconnects, &event->node);
    engine->disconnects_waiting++;
}

void tg_disconnect_inherit(struct tg_engine *engine, const char *connection_id,
                           const struct tg_conn_info *info, bool (*gate)(void *arg), void (*over)(void *arg),
                           void *arg)
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
    bool busy = engine->disconnects_running >= RUNNING_MAX || !tg_list_empty(&engine->disconnects);
    return busy || engine->cutting ? 0 : RUNNING_MAX - engine->disconnects_running;
}

void tg_disconnect_abort(struct tg_engine *engine)
{
    struct tg_list *node;
    if (!tg_list_empty(&engine->disconnects)) {
        tg_log(engine->log, TG_LOG_ERROR, "$disconnects given up",
               TG_KV_INT("count", engine->disconnects_waiting));
    }
    while ((node = tg_list_pop(&engine->disconnects)) != NULL) {
        struct waiting *event = TG_CONTAINER(node, struct waiting, node);
        count_failed(engine, event->info->api_id, event->info->stage);
        drop(engine, event);
    }
}
