#include "routes/lane.h"

#include "routes/request.h"

void tg_lanes_forget(struct tg_lanes *lanes)
{
    lanes->model = NULL;
}

static struct tg_lane *place_of(struct tg_lanes *lanes, const struct tg_stage *stage,
                                const struct tg_route *route)
{
    uint64_t mixed =
        ((uint64_t)(uintptr_t)route ^ (uint64_t)(uintptr_t)stage << 7) * UINT64_C(0x9e3779b97f4a7c15);
    return &lanes->table[mixed >> 56];
}

static void fill(struct tg_lane *lane, const struct tg_request *request)
{
    const struct tg_engine *engine = request->engine;
    const struct tg_route *route = request->route;
    *lane = (struct tg_lane){.stage = request->stage, .route = route};
    if (request->kind != TG_REQUEST_HTTP) {
        lane->series = tg_metrics_series(engine->metrics, request->api->api_id, request->stage->stage_name,
                                         route != NULL ? route->route_key : TG_EMPTY);
    }
    if (route != NULL) {
        lane->limit = tg_throttle_route_limit(engine->throttles, request->api, request->stage, route);
    }
}

static void begin_anew(struct tg_lanes *lanes, const struct tg_engine *engine)
{
    memset(lanes->table, 0, sizeof lanes->table);
    lanes->model = engine->model;
    lanes->account = tg_throttle_account_limit(engine->throttles, engine->model);
}

/* NULL: the request began on an older model. */
static struct tg_lanes *lanes_of(const struct tg_request *request)
{
    struct tg_lanes *lanes = &request->engine->lanes;
    if (lanes->model != request->engine->model) {
        begin_anew(lanes, request->engine);
    }
    return request->model == lanes->model ? lanes : NULL;
}

const struct tg_throttle_limit *tg_lane_account(const struct tg_request *request)
{
    const struct tg_lanes *lanes = lanes_of(request);
    return lanes != NULL ? &lanes->account : NULL;
}

const struct tg_lane *tg_lane_of(const struct tg_request *request)
{
    struct tg_lanes *lanes = lanes_of(request);
    if (lanes == NULL) {
        return NULL;
    }
    struct tg_lane *lane = place_of(lanes, request->stage, request->route);
    if (lane->stage != request->stage || lane->route != request->route) {
        fill(lane, request);
    }
    return lane;
}
