/* A request with all that the pipeline needs around it, for tests: one API, stage and route, no sockets. A
 * test changes the parts before it runs the request. */
#ifndef TG_TESTS_REQUEST_WORLD_H
#define TG_TESTS_REQUEST_WORLD_H

#include <stdlib.h>

#include "routes/request.h"

struct request_world {
    struct tg_arena arena; /* of the model */
    struct tg_engine engine;
    struct tg_model model;
    struct tg_api api;
    struct tg_stage stage;
    struct tg_route route;
    struct tg_conn_info info;
    struct tg_request *request;
    int done;
};

static inline void request_world_ended(struct tg_request *request)
{
    struct request_world *world = request->owner;
    world->done++;
}

static inline void request_world_destroy(struct tg_model *model)
{
    (void)model;
}

/* 2026-01-02T03:04:05.123Z */
enum { REQUEST_WORLD_SECONDS = 1767323045 };

static inline void request_world_begin(struct request_world *world, enum tg_request_kind kind)
{
    assert_int_equal(tg_request_new(&world->engine, kind, &world->request), TG_OK);
    struct tg_request *request = world->request;
    request->api = &world->api;
    request->stage = &world->stage;
    request->route = &world->route;
    request->info = &world->info;
    request->handshake_info = &world->info;
    request->owner = world;
    request->done = request_world_ended;
    request->time_ms = (int64_t)REQUEST_WORLD_SECONDS * 1000 + 124;
    request->port = 443;
    request->secure = true;
    memcpy(request->connection_id, "AAECAwQFBgcICQoLDA==", TG_CONNID_LEN + 1);
    memcpy(request->request_id, "RYGzEGTIPHcF3aQ=", TG_REQUEST_ID_LEN + 1);
    memcpy(request->trace_id, "Root=1-695735a5-0123456789abcdef01234567", 41);
    if (kind == TG_REQUEST_MESSAGE) {
        memcpy(request->message_id, "RYGzGfBOPHcCH8A=", TG_REQUEST_ID_LEN + 1);
    }
}

static inline struct request_world *request_world_new(void)
{
    struct request_world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    tg_arena_init(&world->arena, NULL);
    tg_engine_init(&world->engine);
    assert_int_equal(tg_loop_new(&world->engine.loop), TG_OK);
    assert_int_equal(tg_metrics_new(&world->engine.metrics), TG_OK);
    assert_int_equal(tg_throttles_new(true, &world->engine.throttles), TG_OK);
    tg_rng_seed(&world->engine.rng, 1);
    world->engine.max_response = 1024 * 1024;
    world->engine.model = &world->model;
    world->model.region = TG_LIT("us-east-1");
    world->model.account_id = TG_LIT("123456789012");
    world->model.throttling = (struct tg_throttling){1000, 1000, 1000, 1000};
    world->model.destroy = request_world_destroy;
    atomic_init(&world->model.refs, 1);
    world->api.api_id = TG_LIT("a1b2c3d4e5");
    world->stage.stage_name = TG_LIT("prod");
    world->stage.access_fd = -1;
    world->stage.default_route_settings.throttling_burst_limit = -1;
    world->stage.default_route_settings.throttling_rate_limit = -1;
    world->route.route_key = TG_LIT("$connect");
    world->info = (struct tg_conn_info){
        .api_id = world->api.api_id,
        .stage = world->stage.stage_name,
        .domain_name = TG_LIT("a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"),
        .source_ip = TG_LIT("203.0.113.9"),
        .user_agent = TG_LIT("Mozilla/5.0"),
        .connected_at_ms = (int64_t)REQUEST_WORLD_SECONDS * 1000 + 123,
    };
    return world;
}

/* Ends the request and begins another. */
static inline void request_world_again(struct request_world *world, enum tg_request_kind kind)
{
    if (world->request != NULL) {
        tg_request_free(world->request);
    }
    world->done = 0;
    request_world_begin(world, kind);
}

static inline void request_world_free(struct request_world *world)
{
    if (world->request != NULL) {
        tg_request_free(world->request);
    }
    assert_int_equal(atomic_load(&world->model.refs), 1);
    assert_int_equal(world->engine.request_count, 0);
    tg_map_free(&world->model.credential_map, NULL);
    tg_map_free(&world->model.function_map, NULL);
    tg_metrics_free(world->engine.metrics);
    tg_throttles_free(world->engine.throttles);
    tg_loop_free(world->engine.loop);
    tg_arena_reset(&world->arena);
    free(world);
}

static inline void request_world_header(struct request_world *world, const char *name, const char *value)
{
    assert_int_equal(tg_headers_add(&world->request->headers, &world->request->arena, tg_slice_cstr(name),
                                    tg_slice_cstr(value)),
                     TG_OK);
}

#endif
