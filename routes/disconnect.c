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
    bool unreachable = request->fault == TG_FAULT_INTEGRATION && request->integration_status == 0;
    if (unreachable && !request->retried && !engine->cutting) {
        /* It keeps its place among those in work, so that a back end that is down is not asked by all at
         * once. */
        tg_request_retry_later(request, (uint64_t)request->api->settings.disconnect_retry_millis);
        return;
    }
    if (request->fault != TG_FAULT_NONE) {
        count_failed(engine, request->api->api_id, request->stage->stage_name);
    }
    engine->disconnects_running--;
    tg_request_free(request);
    start_next(engine);
}

static void start(struct tg_engine *engine, const char *connection_id, const struct tg_conn_info *info,
                  bool counted, int code, struct tg_slice reason)
{
    /* Not before its turn has come: what waits is in the registry, for a survivor. What was never open is in
     * none, and what a dead node left is out of it. */
    if (counted && !engine->registry->ops->remove(engine->registry, connection_id, info)) {
        tg_log(engine->log, TG_LOG_DEBUG, "$disconnect is left to another node",
               TG_KV_CSTR("connectionId", connection_id));
        return;
    }
    const struct tg_api *api = tg_model_api_by_id(engine->model, info->api_id);
    const struct tg_stage *stage = api != NULL ? tg_api_stage(api, info->stage) : NULL;
    struct tg_request *request;
    if (stage == NULL) {
        tg_log(engine->log, TG_LOG_WARN, "no $disconnect: the API or stage is no longer configured",
               TG_KV_CSTR("connectionId", connection_id));
        return;
    }
    enum tg_err err = tg_request_new(engine, TG_REQUEST_DISCONNECT, &request);
    if (err != TG_OK) {
        tg_log(engine->log, TG_LOG_ERROR, "$disconnect lost", TG_KV_CSTR("connectionId", connection_id),
               TG_KV_ERR(err));
        count_failed(engine, api->api_id, stage->stage_name);
        return;
    }
    request->api = api;
    request->stage = stage;
    request->route = api->disconnect_route;
    request->disconnect_code = code;
    request->info_counted = counted;
    memcpy(request->connection_id, connection_id, sizeof request->connection_id);
    if (counted) {
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
        start(engine, event->connection_id, event->info, true, event->code,
              tg_slice_make(event->reason, event->reason_len));
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
        start(engine, connection_id, info, counted, code, reason); /* a turn is free, or memory is not */
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
