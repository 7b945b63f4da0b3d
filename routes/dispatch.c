/* Where every HTTP request of the public listeners is told apart: by host and path (routes/locate.h) it
 * belongs to a WebSocket API, whose handshakes and management calls are served, or to an HTTP API. */
#include "routes/engine.h"
#include "routes/handshake.h"
#include "routes/http.h"
#include "routes/locate.h"
#include "routes/management.h"
#include "routes/reply.h"

static void forbid(struct tg_exchange *exchange)
{
    tg_reply_error(exchange, 403, TG_LIT("ForbiddenException"), TG_LIT("Forbidden"));
}

/* A WebSocket API: its management API, or a handshake. */
static void serve_websocket(struct tg_engine *engine, const struct tg_api *api, const struct tg_stage *stage,
                            struct tg_exchange *exchange)
{
    bool upgrade = tg_handshake_wanted(exchange);
    struct tg_slice message;
    int status = upgrade ? tg_handshake_check(exchange, &message) : 0;
    if (status != 0) {
        tg_reply_message(exchange, status, message);
    } else if (stage == NULL) {
        forbid(exchange);
    } else if (!upgrade) {
        tg_reply_message(exchange, 426, TG_LIT("Upgrade Required"));
    } else {
        tg_handshake_serve(engine, api, stage, exchange);
    }
}

/* Behind a custom domain, whose mapping says the stage, a management path has none. */
static bool match_below(struct tg_slice path, struct tg_slice *id)
{
    struct tg_slice rest;
    if (!tg_slice_starts(path, TG_LIT("/@connections/")) &&
        !tg_slice_starts(path, TG_LIT("/%40connections/"))) {
        return false;
    }
    (void)tg_slice_cut(tg_slice_from(path, 1), '/', &rest);
    *id = rest;
    return true;
}

static bool is_batch_below(struct tg_slice path)
{
    return tg_slice_eq(path, TG_LIT("/@tidegate/connections")) ||
           tg_slice_eq(path, TG_LIT("/%40tidegate/connections"));
}

/* Whether the request is a batch call, in which case it has been taken. */
static bool serve_batch(struct tg_engine *engine, const struct tg_location *location,
                        struct tg_exchange *exchange)
{
    const struct tg_api *api = location->api;
    struct tg_slice stage_name;
    if (engine->model->management.batch_max_connections == 0) {
        return false;
    }
    if (location->is_custom) {
        if (location->stage == TG_LOCATE_NO_STAGE || !is_batch_below(location->path)) {
            return false;
        }
        stage_name = api->stages.items[location->stage].stage_name;
    } else if (!tg_management_match_batch(api, exchange->path, &stage_name)) {
        return false;
    }
    struct tg_call_lane lane = tg_management_lane(api, stage_name);
    lane.is_batch = true;
    tg_management_serve(engine, &lane, TG_EMPTY, exchange);
    return true;
}

static void serve_call(struct tg_engine *engine, const struct tg_api *api, struct tg_slice stage_name,
                       struct tg_slice id, struct tg_exchange *exchange)
{
    struct tg_call_lane lane = tg_management_lane(api, stage_name);
    tg_management_serve(engine, &lane, id, exchange);
}

/* Where the call goes depends on nothing but the host and what stands before the id (routes/locate.c), so
 * that the next one of the kind takes the same lane. A custom domain's may depend on what follows. */
static void serve_first_call(struct tg_engine *engine, const struct tg_api *api, struct tg_slice stage_name,
                             struct tg_slice id, struct tg_exchange *exchange)
{
    struct tg_call_lane lane = tg_management_lane(api, stage_name), *kept = &lane;
    if (id.ptr != NULL) {
        struct tg_slice before = tg_slice_head(exchange->path, (size_t)(id.ptr - exchange->path.ptr));
        kept = tg_lane_keep_call(engine, exchange->host, before, &lane);
    }
    tg_management_serve(engine, kept, id, exchange);
}

static void dispatch_websocket(struct tg_engine *engine, const struct tg_location *location,
                               struct tg_exchange *exchange)
{
    const struct tg_api *api = location->api;
    struct tg_slice stage_name, id;
    const struct tg_stage *stage = NULL;
    if (location->stage != TG_LOCATE_NO_STAGE && tg_slice_eq(location->path, TG_LIT("/"))) {
        stage = &api->stages.items[location->stage];
    }
    if (location->is_custom) {
        if (location->stage != TG_LOCATE_NO_STAGE && match_below(location->path, &id)) {
            serve_call(engine, api, api->stages.items[location->stage].stage_name, id, exchange);
            return;
        }
    } else if (tg_management_match(api, exchange->path, &stage_name, &id)) {
        serve_first_call(engine, api, stage_name, id, exchange);
        return;
    }
    if (!serve_batch(engine, location, exchange)) {
        serve_websocket(engine, api, stage, exchange);
    }
}

static void dispatch_http(struct tg_engine *engine, const struct tg_location *location,
                          struct tg_exchange *exchange)
{
    const struct tg_api *api = location->api;
    if (api == NULL || location->stage == TG_LOCATE_NO_STAGE) {
        tg_http_not_found(engine, exchange);
        return;
    }
    const struct tg_http_place place = {
        .api = api,
        .stage = &api->stages.items[location->stage],
        .path = location->path,
        .staged_path = location->stage_in_path ? exchange->path : location->path,
        .mapping_key = location->mapping_key,
    };
    tg_http_serve(engine, &place, exchange);
}

void tg_dispatch(struct tg_engine *engine, struct tg_exchange *exchange)
{
    struct tg_location location;
    struct tg_slice id;
    struct tg_call_lane *lane = tg_lane_of_call(engine, exchange->host, exchange->path, &id);
    if (lane != NULL) {
        tg_management_serve(engine, lane, id, exchange);
        return;
    }
    tg_locate(engine->model->locator, exchange->host, exchange->path, tg_handshake_wanted(exchange),
              &location);
    if (location.api != NULL && location.is_http) {
        dispatch_http(engine, &location, exchange);
    } else if (tg_slice_eq(exchange->path, TG_LIT("/ping")) ||
               tg_slice_eq(exchange->path, TG_LIT("/sping"))) {
        /* Reserved for health checks (websocket-api 1.1). */
        tg_reply_message(exchange, engine->leaving ? 503 : 200,
                         engine->leaving ? TG_LIT("draining") : TG_LIT("healthy"));
    } else if (location.is_http) {
        tg_http_not_found(engine, exchange);
    } else if (location.api == NULL) {
        forbid(exchange);
    } else {
        dispatch_websocket(engine, &location, exchange);
    }
}
