#include "routes/lane.h"

#include "routes/request.h"

void tg_lanes_forget(struct tg_lanes *lanes)
{
    lanes->model = NULL;
}

/* Its higher bits depend on all of the word's. */
static uint64_t mix(uint64_t word)
{
    return word * UINT64_C(0x9e3779b97f4a7c15);
}

static struct tg_lane *place_of(struct tg_lanes *lanes, const struct tg_stage *stage,
                                const struct tg_route *route)
{
    uint64_t mixed = mix((uint64_t)(uintptr_t)route ^ (uint64_t)(uintptr_t)stage << 7);
    return &lanes->table[(mixed >> 32) % TG_LANES];
}

static enum tg_mock_constant constant_of(const struct tg_lane *lane, struct tg_slice *text)
{
    const struct tg_integration *integration = lane->route->integration;
    if (integration == NULL || integration->integration_type != TG_INTEGRATION_MOCK ||
        lane->stage->access_log != NULL) {
        return TG_MOCK_VARIES;
    }
    return tg_mock_constant(integration->mock, text);
}

static TG_APART void fill(struct tg_lane *lane, const struct tg_engine *engine, const struct tg_api *api,
                          const struct tg_stage *stage, const struct tg_route *route)
{
    *lane = (struct tg_lane){.stage = stage, .route = route, .answer = TG_MOCK_VARIES};
    if (route != NULL) {
        lane->limit = tg_throttle_route_limit(engine->throttles, api, stage, route);
    }
    if (api->protocol_type == TG_PROTOCOL_HTTP) {
        return;
    }
    lane->series = tg_metrics_series(engine->metrics, api->api_id, stage->stage_name,
                                     route != NULL ? route->route_key : TG_EMPTY);
    if (route != NULL) {
        lane->answer = constant_of(lane, &lane->text);
    }
}

static TG_APART void renew(struct tg_lanes *lanes, const struct tg_engine *engine)
{
    memset(lanes->table, 0, sizeof lanes->table);
    memset(lanes->keys, 0, sizeof lanes->keys);
    memset(lanes->calls, 0, sizeof lanes->calls);
    lanes->model = engine->model;
    lanes->account = tg_throttle_account_limit(engine->throttles, engine->model);
}

static inline struct tg_lanes *lanes_of(struct tg_engine *engine)
{
    struct tg_lanes *lanes = &engine->lanes;
    if (lanes->model != engine->model) {
        renew(lanes, engine);
    }
    return lanes;
}

const struct tg_throttle_limit *tg_lane_account(struct tg_engine *engine)
{
    return &lanes_of(engine)->account;
}

const struct tg_lane *tg_lane_at(struct tg_engine *engine, const struct tg_api *api,
                                 const struct tg_stage *stage, const struct tg_route *route)
{
    struct tg_lane *lane = place_of(lanes_of(engine), stage, route);
    if (lane->stage != stage || lane->route != route) {
        fill(lane, engine, api, stage, route);
        if (lane->limit.unknown) {
            lane->stage = NULL; /* the next message fills it again */
        }
    }
    return lane;
}

/* A key of at most TG_KEY_LANE_TEXT bytes as two words, which no other of that length has. */
static void put_key(struct tg_slice key, uint64_t text[2])
{
    uint32_t half;
    text[0] = text[1] = 0;
    if (key.len >= sizeof text[0]) {
        memcpy(&text[0], key.ptr, sizeof text[0]);
        memcpy(&text[1], key.ptr + key.len - sizeof text[1], sizeof text[1]);
    } else if (key.len >= sizeof half) {
        memcpy(&half, key.ptr, sizeof half);
        text[0] = half;
        memcpy(&half, key.ptr + key.len - sizeof half, sizeof half);
        text[1] = half;
    } else if (key.len > 0) {
        const unsigned char *bytes = (const unsigned char *)key.ptr;
        text[0] = (uint64_t)bytes[0] << 16 | (uint64_t)bytes[key.len / 2] << 8 | bytes[key.len - 1];
    }
}

static struct tg_key_lane *place_of_key(struct tg_lanes *lanes, const struct tg_stage *stage,
                                        const uint64_t text[2])
{
    uint64_t mixed = mix((uint64_t)(uintptr_t)stage ^ text[0]);
    mixed = mix(mixed ^ mixed >> 32 ^ text[1]);
    return &lanes->keys[(mixed >> 32) % TG_KEY_LANES];
}

static TG_APART const struct tg_lane *find_lane(struct tg_engine *engine, const struct tg_api *api,
                                                const struct tg_stage *stage, struct tg_slice key)
{
    return tg_lane_at(engine, api, stage, tg_api_route(api, key));
}

const struct tg_lane *tg_lane_of_key(struct tg_engine *engine, const struct tg_api *api,
                                     const struct tg_stage *stage, struct tg_slice key)
{
    uint64_t text[2];
    if (key.len > TG_KEY_LANE_TEXT) {
        return find_lane(engine, api, stage, key);
    }
    put_key(key, text);
    struct tg_key_lane *kept = place_of_key(lanes_of(engine), stage, text);
    if (kept->lane.stage != stage || kept->len != key.len || kept->text[0] != text[0] ||
        kept->text[1] != text[1]) {
        kept->lane = *find_lane(engine, api, stage, key); /* unknown limits: without stage, not in use */
        memcpy(kept->text, text, sizeof text);
        kept->len = key.len;
    }
    return &kept->lane;
}

const struct tg_lane *tg_lane_of(const struct tg_request *request)
{
    struct tg_engine *engine = request->engine;
    return request->model == engine->model ? tg_lane_at(engine, request->api, request->stage, request->route)
                                           : NULL;
}

/* ---- management calls ---- */

/* By how host and path begin, which is where those of several APIs and stages differ. */
static struct tg_call_lane *call_place(struct tg_lanes *lanes, struct tg_slice host, struct tg_slice path)
{
    uint64_t mixed = host.len, word = 0;
    if (host.len >= sizeof word) {
        memcpy(&word, host.ptr, sizeof word);
    } else {
        memcpy(&word, host.ptr, host.len);
    }
    mixed = mix(mixed ^ word);
    memcpy(&word, path.ptr, sizeof word);
    mixed = mix(mixed ^ mixed >> 32 ^ word);
    return &lanes->calls[(mixed >> 32) % TG_CALL_LANES];
}

struct tg_call_lane *tg_lane_of_call(struct tg_engine *engine, struct tg_slice host, struct tg_slice path,
                                     struct tg_slice *id)
{
    if (host.len == 0 || path.len < sizeof(uint64_t)) {
        return NULL;
    }
    struct tg_call_lane *lane = call_place(lanes_of(engine), host, path);
    if (lane->path_len == 0 || path.len < lane->path_len || host.len != lane->host_len ||
        memcmp(lane->text, host.ptr, host.len) != 0 ||
        memcmp(lane->text + host.len, path.ptr, lane->path_len) != 0) {
        return NULL;
    }
    *id = tg_slice_from(path, lane->path_len);
    return lane;
}

struct tg_call_lane *tg_lane_keep_call(struct tg_engine *engine, struct tg_slice host, struct tg_slice before,
                                       struct tg_call_lane *lane)
{
    if (lane->nowhere || host.len == 0 || before.len < sizeof(uint64_t) ||
        host.len + before.len > TG_CALL_LANE_TEXT) {
        return lane;
    }
    struct tg_call_lane *kept = call_place(lanes_of(engine), host, before);
    *kept = *lane;
    kept->host_len = host.len;
    kept->path_len = before.len;
    memcpy(kept->text, host.ptr, host.len);
    memcpy(kept->text + host.len, before.ptr, before.len);
    return kept;
}
