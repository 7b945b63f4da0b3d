/* For tests of the batch call: the gateway of management_world.h with batches of up to 8, whose end the test
 * decides on. */
#ifndef TG_TESTS_MANAGEMENT_BATCH_WORLD_H
#define TG_TESTS_MANAGEMENT_BATCH_WORLD_H

#include "tests/unit/management_world.h"

#define BATCH_PATH         "/prod/@tidegate/connections"
#define TWO                BATCH_ID("2")
#define THREE              BATCH_ID("3")
#define CALL(ids)          "{\"connectionIds\":[" ids "],\"data\":\"hello\"}"
#define TO_ALL             CALL("\"" ID "\",\"" TWO "\",\"" THREE "\"")
#define ALL_DONE           "{\"delivered\":3,\"failed\":[]}"
#define REFUSED(id, error) "{\"connectionId\":\"" id "\",\"error\":\"" error "\"}"

static const enum tg_push_outcome all_done[16] = {TG_PUSH_DONE};

static inline int set_up_batches(void **state)
{
    int result = set_up(state);
    struct world *world = *state;
    world->model.management.batch_max_connections = 8;
    return result;
}

static inline void begin_batch(struct world *world, const char *method, const char *path, const char *body,
                               const struct tg_credential *credential)
{
    struct tg_slice stage;
    prepare(world, method, path, body, credential);
    assert_true(tg_management_match_batch(&world->api, world->exchange.path, &stage));
    struct tg_call_lane lane = tg_management_lane(&world->api, stage);
    lane.is_batch = true;
    tg_management_serve(&world->engine, &lane, TG_EMPTY, &world->exchange);
    memset(&lane, 0xa5, sizeof lane); /* it need not outlive the call */
}

static inline void call_batch(struct world *world, const char *body)
{
    begin_batch(world, "POST", BATCH_PATH, body, &world->credential);
    finish_body(world, TG_OK);
}

static inline void assert_answer(const struct world *world, const char *text)
{
    assert_int_equal(world->replies, 1);
    assert_int_equal(world->status, 200);
    assert_string_equal(world->text, text);
    assert_header(world, "Content-Type: application/json\n");
    assert_header(world, "x-amzn-RequestId: ");
    assert_null(strstr(world->headers, "ErrorType"));
}

static inline struct tg_route_metrics *series_of(struct world *world, const char *route)
{
    return tg_metrics_series(world->engine.metrics, TG_LIT("chat"), TG_LIT("prod"), tg_slice_cstr(route));
}

#endif
