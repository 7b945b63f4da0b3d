/* What a worker keeps of a route in a stage. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/request_world.h"

static void is_found_again(void **state)
{
    struct request_world *world = request_world_new();
    (void)state;
    request_world_begin(world, TG_REQUEST_MESSAGE);
    const struct tg_lane *lane = tg_lane_of(world->request);
    assert_non_null(lane);
    assert_ptr_equal(lane->series, tg_metrics_series(world->engine.metrics, world->api.api_id,
                                                     world->stage.stage_name, world->route.route_key));
    assert_null(lane->limit.bucket);
    assert_ptr_equal(tg_lane_of(world->request), lane);
    world->request->route = NULL;
    lane = tg_lane_of(world->request);
    assert_ptr_equal(lane->series, tg_metrics_series(world->engine.metrics, world->api.api_id,
                                                     world->stage.stage_name, TG_EMPTY));
    request_world_free(world);
}

static void is_of_the_current_model(void **state)
{
    struct request_world *world = request_world_new();
    struct tg_model older = {0};
    (void)state;
    request_world_begin(world, TG_REQUEST_MESSAGE);
    assert_null(tg_lane_of(world->request)->limit.bucket);
    world->request->model = &older;
    assert_null(tg_lane_of(world->request));
    world->request->model = &world->model;
    assert_true(tg_throttle_take(tg_lane_account(&world->engine), 1000));
    /* As if a new model lay where the old one did. */
    world->stage.default_route_settings.throttling_burst_limit = 2;
    world->stage.default_route_settings.throttling_rate_limit = 1;
    assert_null(tg_lane_of(world->request)->limit.bucket);
    tg_lanes_forget(&world->engine.lanes);
    const struct tg_lane *lane = tg_lane_of(world->request);
    assert_true(tg_throttle_take(&lane->limit, 1000));
    /* The bucket is that of everybody who asks by name. */
    assert_true(tg_throttle_route(world->engine.throttles, &world->api, &world->stage, &world->route, 1000));
    assert_false(tg_throttle_take(&lane->limit, 1000));
    request_world_free(world);
}

static void of_an_http_api_counts_nothing(void **state)
{
    struct request_world *world = request_world_new();
    struct tg_buf text;
    (void)state;
    world->api.protocol_type = TG_PROTOCOL_HTTP;
    request_world_begin(world, TG_REQUEST_HTTP);
    assert_null(tg_lane_of(world->request)->series);
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_metrics_render(&world->engine.metrics, 1, &text), TG_OK);
    assert_int_equal(tg_slice_find_slice(tg_buf_slice(&text), TG_LIT("api_id=")), tg_buf_size(&text));
    tg_buf_free(&text);
    request_world_free(world);
}

/* More routes than there are places. */
static void many_take_turns(void **state)
{
    enum { ROUTES = 3 * TG_LANES };
    static struct tg_route routes[ROUTES];
    static char keys[ROUTES][8];
    struct request_world *world = request_world_new();
    (void)state;
    request_world_begin(world, TG_REQUEST_MESSAGE);
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < ROUTES; i++) {
            (void)snprintf(keys[i], sizeof keys[i], "r%zu", i);
            routes[i].route_key = tg_slice_cstr(keys[i]);
            world->request->route = &routes[i];
            assert_ptr_equal(tg_lane_of(world->request)->series,
                             tg_metrics_series(world->engine.metrics, world->api.api_id,
                                               world->stage.stage_name, routes[i].route_key));
        }
    }
    request_world_free(world);
}

/* The route that the stage has for the key, told apart by every byte of it. */
static void by_its_key(void **state)
{
    enum { LONGEST = TG_KEY_LANE_TEXT + 2 };
    static struct tg_route routes[LONGEST + 1], other = {.route_key = TG_LIT_INIT("$default")};
    static char keys[LONGEST + 1][LONGEST + 1];
    struct request_world *world = request_world_new();
    struct tg_engine *engine = &world->engine;
    (void)state;
    world->api.default_route = &other;
    for (size_t len = 1; len <= LONGEST; len++) {
        memset(keys[len], 'k', len);
        routes[len].route_key = tg_slice_make(keys[len], len);
        assert_int_equal(tg_map_add(&world->api.route_map, routes[len].route_key, &routes[len]), TG_OK);
    }
    for (int turn = 0; turn < 2; turn++) {
        assert_ptr_equal(tg_lane_of_key(engine, &world->api, &world->stage, TG_EMPTY)->route, &other);
        for (size_t len = 1; len <= LONGEST; len++) {
            char key[LONGEST];
            memcpy(key, keys[len], len);
            const struct tg_slice wanted = tg_slice_make(key, len);
            const struct tg_lane *lane = tg_lane_of_key(engine, &world->api, &world->stage, wanted);
            assert_ptr_equal(lane->route, &routes[len]);
            assert_ptr_equal(lane->stage, &world->stage);
            assert_ptr_equal(lane->series, tg_metrics_series(engine->metrics, world->api.api_id,
                                                             world->stage.stage_name, routes[len].route_key));
            for (size_t i = 0; i < len; i++) {
                key[i] = 'l';
                assert_ptr_equal(tg_lane_of_key(engine, &world->api, &world->stage, wanted)->route, &other);
                key[i] = 'k';
            }
        }
    }
    /* As if a new model lay where the old one did. */
    tg_map_free(&world->api.route_map, NULL);
    tg_lanes_forget(&engine->lanes);
    assert_ptr_equal(tg_lane_of_key(engine, &world->api, &world->stage, routes[1].route_key)->route, &other);
    world->api.default_route = NULL;
    tg_lanes_forget(&engine->lanes);
    assert_null(tg_lane_of_key(engine, &world->api, &world->stage, routes[1].route_key)->route);
    request_world_free(world);
}

/* Of keys that differ at their end alone, many have the place of one. */
static void by_its_key_where_another_was(void **state)
{
    static const size_t lengths[] = {2, 6, 12};
    struct request_world *world = request_world_new();
    struct tg_route other = {.route_key = TG_LIT_INIT("$default")};
    (void)state;
    world->api.default_route = &other;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const struct tg_slice known = tg_slice_make("kkkkkkkkkkkk", lengths[i]);
        assert_int_equal(tg_map_add(&world->api.route_map, known, &world->route), TG_OK);
        for (int end = 0; end < 4096; end++) {
            char key[] = "kkkkkkkkkkkk";
            key[lengths[i] - 2] = (char)(end & 63);
            key[lengths[i] - 1] = (char)(end >> 6);
            assert_ptr_equal(tg_lane_of_key(&world->engine, &world->api, &world->stage, known)->route,
                             &world->route);
            assert_ptr_equal(
                tg_lane_of_key(&world->engine, &world->api, &world->stage, tg_slice_make(key, lengths[i]))
                    ->route,
                &other);
        }
    }
    tg_map_free(&world->api.route_map, NULL);
    request_world_free(world);
}

static void of_two_stages_by_one_key(void **state)
{
    struct request_world *world = request_world_new();
    struct tg_stage second = world->stage;
    (void)state;
    second.stage_name = TG_LIT("dev");
    assert_int_equal(tg_map_add(&world->api.route_map, TG_LIT("k"), &world->route), TG_OK);
    for (int turn = 0; turn < 2; turn++) {
        assert_ptr_equal(tg_lane_of_key(&world->engine, &world->api, &world->stage, TG_LIT("k"))->stage,
                         &world->stage);
        assert_ptr_equal(tg_lane_of_key(&world->engine, &world->api, &second, TG_LIT("k"))->stage, &second);
    }
    tg_map_free(&world->api.route_map, NULL);
    request_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_found_again),
        cmocka_unit_test(is_of_the_current_model),
        cmocka_unit_test(of_an_http_api_counts_nothing),
        cmocka_unit_test(many_take_turns),
        cmocka_unit_test(by_its_key),
        cmocka_unit_test(by_its_key_where_another_was),
        cmocka_unit_test(of_two_stages_by_one_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
