/* Management calls whose host and path were met before take the lane that was kept, and are answered as the
 * first of their kind was. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/locate_text.h"
#include "tests/unit/management_world.h"

static struct tg_stage other_stages[] = {{.stage_name = TG_LIT_INIT("prod"), .access_fd = -1}};
static struct tg_api other, web;

static void report(void *arg, const struct tg_doc_node *where, const char *key, const char *text)
{
    (void)arg;
    (void)where;
    fail_msg("%s: %s", key, text);
}

/* `chat` is the world's API, `other` one that is served at its root, `web` an HTTP API without stages. */
static void compile(struct world *world)
{
    struct tg_slice lines = TG_LIT("ws chat stages=prod,dev hosts=a.example.com,both.example.com\n"
                                   "ws other root stages=prod hosts=b.example.com,*.wild.example.com\n"
                                   "http web hosts=both.example.com,web.example.com\n"
                                   "domain custom.example.com\n"
                                   "map - chat prod\n"
                                   "map v1 chat dev\n"
                                   "map prod/x other prod\n");
    struct tg_locator *locator;
    const struct tg_locate_config *config = locate_text_read(&world->arena, &lines);
    assert_non_null(config);
    struct tg_locate_api *apis = (struct tg_locate_api *)config->apis;
    other = (struct tg_api){.api_id = TG_LIT("other"), .stages = {other_stages, 1}};
    other.settings.serve_at_root = true;
    web = (struct tg_api){.api_id = TG_LIT("web"), .protocol_type = TG_PROTOCOL_HTTP};
    apis[0].api = &world->api;
    apis[1].api = &other;
    apis[2].api = &web;
    assert_int_equal(tg_locator_compile(&world->arena, config, report, NULL, &locator), TG_OK);
    world->model.locator = locator;
    world->model.management.auth = TG_MANAGEMENT_NONE;
    world->at_hand = true;
    fake.within = true;
    fake.outcome = TG_PUSH_DONE;
}

struct seen {
    int status, pushes;
    char text[1024], headers[2048], api[16];
    uint64_t counts[3];
};

static uint64_t count_of(struct world *world, const char *api, const char *stage)
{
    return atomic_load(&tg_metrics_series(world->engine.metrics, tg_slice_cstr(api), tg_slice_cstr(stage),
                                          TG_LIT("POST /@connections/{connectionId}"))
                            ->messages_out);
}

static void ask(struct world *world, const char *host, const char *path, bool upgrade, struct seen *seen)
{
    static const char *const stages[][2] = {{"chat", "prod"}, {"chat", "dev"}, {"other", "prod"}};
    memset(seen, 0, sizeof *seen);
    tg_rng_seed(&world->engine.rng, 7);
    fake.done_within = 0;
    fake.request.api_id = TG_EMPTY;
    prepare(world, "POST", path, "hello", NULL);
    world->exchange.host = tg_slice_cstr(host);
    if (upgrade) {
        assert_int_equal(tg_headers_add(&world->exchange.headers, world->exchange.arena, TG_LIT("Upgrade"),
                                        TG_LIT("websocket")),
                         TG_OK);
    }
    for (size_t i = 0; i < 3; i++) {
        seen->counts[i] -= count_of(world, stages[i][0], stages[i][1]);
    }
    tg_dispatch(&world->engine, &world->exchange);
    for (size_t i = 0; i < 3; i++) {
        seen->counts[i] += count_of(world, stages[i][0], stages[i][1]);
    }
    assert_int_equal(world->replies, 1);
    seen->status = world->status;
    seen->pushes = fake.done_within;
    (void)snprintf(seen->text, sizeof seen->text, "%s", world->text);
    (void)snprintf(seen->headers, sizeof seen->headers, "%s", world->headers);
    (void)snprintf(seen->api, sizeof seen->api, "%.*s", TG_FMT(fake.request.api_id));
}

static void calls_go_where_the_first_went(void **state)
{
    static const char *const hosts[] = {"a.example.com",
                                        "A.example.com",
                                        "b.example.com",
                                        "both.example.com:80",
                                        "web.example.com",
                                        "custom.example.com",
                                        "chat.amazon.com",
                                        "other.x",
                                        "x.wild.example.com",
                                        "nobody.example.com",
                                        "[::1]:8080",
                                        "",
                                        "x"};
    static const char *const paths[] = {"/prod/@connections/" ID,
                                        "/prod/%40connections/" ID,
                                        "/prod/%40connections/x",
                                        "/dev/@connections/" ID,
                                        "/dev/@connections/nonsense",
                                        "/v1/@connections/" ID,
                                        "/@connections/" ID,
                                        "/%40connections/" ID,
                                        "/prod/prod/@connections/" ID,
                                        "/prod/x/@connections/" ID,
                                        "/prod/@connections",
                                        "/prod/@connections/",
                                        "/prod/@connectionsx/" ID,
                                        "/nope/@connections/" ID,
                                        "/pro%64/@connections/" ID,
                                        "/prod/@connections/" ID "/x",
                                        "/@connections/@connections/" ID,
                                        "/prod",
                                        "/ping",
                                        "/",
                                        ""};
    struct world *world = *state;
    struct tg_lanes *warm = malloc(sizeof *warm);
    struct tg_rng rng;
    struct seen first, later;
    const char *host = "", *path = "";
    int statuses[600] = {0}, taken = 0;
    assert_non_null(warm);
    compile(world);
    world->at_ms = tg_loop_wall_ms(world->engine.loop);
    tg_rng_seed(&rng, 1);
    for (size_t i = 0; i < 5000; i++) {
        struct tg_slice id;
        if (i % 3 == 0) {
            host = hosts[tg_rng_next(&rng) % (sizeof hosts / sizeof hosts[0])];
            path = paths[tg_rng_next(&rng) % (sizeof paths / sizeof paths[0])];
        }
        bool upgrade = tg_rng_next(&rng) % 4 == 0;
        taken += tg_lane_of_call(&world->engine, tg_slice_cstr(host), tg_slice_cstr(path), &id) != NULL;
        ask(world, host, path, upgrade, &later);
        *warm = world->engine.lanes;
        tg_lanes_forget(&world->engine.lanes);
        ask(world, host, path, upgrade, &first);
        world->engine.lanes = *warm;
        if (memcmp(&first, &later, sizeof first) != 0) {
            fail_msg("%s %s: %d %s%s -- %d %s%s", host, path, first.status, first.headers, first.text,
                     later.status, later.headers, later.text);
        }
        statuses[first.status]++;
    }
    free(warm);
    assert_true(taken > 500);
    assert_true(statuses[200] > 500 && statuses[400] > 0 && statuses[403] > 0 && statuses[404] > 0);
}

static void the_second_call_takes_the_lane(void **state)
{
    static const char path[] = "/prod/@connections/" ID;
    struct world *world = *state;
    struct tg_slice id;
    struct seen seen;
    compile(world);
    assert_null(tg_lane_of_call(&world->engine, TG_LIT("a.example.com"), tg_slice_cstr(path), &id));
    ask(world, "a.example.com", path, false, &seen);
    struct tg_call_lane *lane =
        tg_lane_of_call(&world->engine, TG_LIT("a.example.com"), tg_slice_cstr(path), &id);
    assert_non_null(lane);
    assert_ptr_equal(lane->api, &world->api);
    assert_ptr_equal(lane->stage, &world->stages[0]);
    assert_non_null(lane->series);
    assert_true(tg_slice_eq(id, TG_LIT(ID)));
    assert_null(tg_lane_of_call(&world->engine, TG_LIT("a.example.co"), tg_slice_cstr(path), &id));
    assert_null(tg_lane_of_call(&world->engine, TG_LIT("b.example.com"), tg_slice_cstr(path), &id));
    assert_null(tg_lane_of_call(&world->engine, TG_LIT("a.example.com"), TG_LIT("/prod/@connections"), &id));
    assert_null(tg_lane_of_call(&world->engine, TG_LIT("a.example.com"), TG_LIT("/prod"), &id));
    /* Another model forgets it; so does none at the same place. */
    tg_lanes_forget(&world->engine.lanes);
    assert_null(tg_lane_of_call(&world->engine, TG_LIT("a.example.com"), tg_slice_cstr(path), &id));
}

static void long_texts_are_not_kept(void **state)
{
    struct world *world = *state;
    char host[TG_CALL_LANE_TEXT];
    struct tg_slice id, before = TG_LIT("/prod/@connections/");
    compile(world);
    memset(host, 'h', sizeof host);
    for (size_t len = 1; len < sizeof host; len++) {
        struct tg_call_lane lane = tg_management_lane(&world->api, TG_LIT("prod"));
        struct tg_slice name = tg_slice_make(host, len);
        bool fits = len + before.len <= TG_CALL_LANE_TEXT;
        assert_int_equal(tg_lane_keep_call(&world->engine, name, before, &lane) != &lane, fits);
        assert_int_equal(tg_lane_of_call(&world->engine, name, before, &id) != NULL, fits);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_go_where_the_first_went),
        TEST(the_second_call_takes_the_lane),
        TEST(long_texts_are_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
