/* The pipeline end to end: the end of connections, reloads, draining, the end of the process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/session.h"
#include "tests/unit/engine_world.h"

/* An API and the path of its back end: what reloads change. */
#define CONFIGURATION(api, path)                                                                             \
    "listeners: [{address: 127.0.0.1:8080}]\n"                                                               \
    "apis:\n"                                                                                                \
    "  - apiId: " api "\n"                                                                                   \
    "    name: " api "\n"                                                                                    \
    "    protocolType: WEBSOCKET\n"                                                                          \
    "    routeSelectionExpression: $request.body.action\n"                                                   \
    "    settings: {disconnectRetryMillis: 5, messageOrdering: perConnection}\n"                             \
    "    integrations:\n"                                                                                    \
    "      - {integrationId: app, integrationType: HTTP_PROXY, integrationMethod: POST,\n"                   \
    "         integrationUri: 'http://back-end" path "'}\n"                                                  \
    "      - {integrationId: bye, integrationType: HTTP_PROXY, integrationMethod: POST,\n"                   \
    "         integrationUri: 'http://back-end/bye'}\n"                                                      \
    "    routes:\n"                                                                                          \
    "      - {routeKey: $connect, target: integrations/app}\n"                                               \
    "      - {routeKey: $disconnect, target: integrations/bye}\n"                                            \
    "      - {routeKey: $default, target: integrations/app, routeResponseSelectionExpression: $default,\n"   \
    "         routeResponses: [{routeResponseKey: $default}]}\n"                                             \
    "    stages: [{stageName: prod}]\n"

static int setup(void **state)
{
    *state = world_new(CONFIGURATION("app", "/old"));
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static void open_client(struct client *client, struct world *world)
{
    *client = (struct client){0};
    client_dial(client, world, "app");
    call_answers(&world->upstream, world->upstream.count - 1, 200, "");
    assert_int_equal(client->upgrades, 1);
}

static uint64_t failed_disconnects(struct world *world)
{
    return atomic_load(
        &tg_metrics_series(world->engine.metrics, TG_LIT("app"), TG_LIT("prod"), TG_LIT("$disconnect"))
             ->disconnect_failed);
}

/* Until a call is there; a retry has a timer. */
static void wait_for_call(struct world *world)
{
    while (world->upstream.count == 0) {
        tg_loop_run_once(world->engine.loop);
    }
}

/* ---- $disconnect ---- */

static void tells_of_the_end_once(void **state)
{
    struct world *world = *state;
    struct client client;
    open_client(&client, world);
    client_ends(&client, 1001, "moving on");
    assert_int_equal(world->upstream.count, 1);
    assert_string_equal(call_at(&world->upstream, 0)->target, "/bye");
    assert_int_equal(tg_connmgr_count(world->engine.connmgr), 0);
    call_answers(&world->upstream, 0, 500, "nobody cares");
    assert_int_equal(world->engine.request_count, 0);
    assert_int_equal(world->upstream.started, 2);
    assert_int_equal(failed_disconnects(world), 0);
}

static void tries_twice_to_tell_of_the_end(void **state)
{
    struct world *world = *state;
    for (int again = 0; again < 2; again++) {
        struct client client;
        open_client(&client, world);
        world->upstream.started = 0;
        client_ends(&client, 1006, "");
        call_fails(&world->upstream, 0, TG_EREFUSED);
        assert_int_equal(world->engine.request_count, 1);
        wait_for_call(world);
        assert_string_equal(call_at(&world->upstream, 0)->target, "/bye");
        if (again) {
            call_fails(&world->upstream, 0, TG_EREFUSED);
        } else {
            call_answers(&world->upstream, 0, 200, "");
        }
        assert_int_equal(world->engine.request_count, 0);
        assert_int_equal(world->upstream.started, 2);
        assert_int_equal(failed_disconnects(world), again);
    }
    /* An answer too late is no reason to ask again. */
    struct client client;
    open_client(&client, world);
    client_ends(&client, 1006, "");
    call_fails(&world->upstream, 0, TG_ETIMEOUT);
    assert_int_equal(world->engine.request_count, 0);
    assert_int_equal(failed_disconnects(world), 2);
}

/* As that of a cluster: a connection of another number is another node's. */
static bool not_ours(struct tg_registry *registry, const char *connection_id, const struct tg_conn_info *info)
{
    (void)registry;
    (void)connection_id;
    (void)info;
    return false;
}

static void tells_of_the_end_of_what_lost_its_number(void **state)
{
    struct world *world = *state;
    struct tg_registry *own = world->engine.registry;
    struct tg_registry_ops ops = *own->ops;
    struct tg_registry other = {.ops = &ops};
    ops.remove = not_ours;
    world->engine.registry = &other;
    for (uint32_t next = 0; next < 2; next++) { /* none; another */
        struct client client = {0};
        tg_connmgr_renumber(world->engine.connmgr, 7);
        client_dial(&client, world, "app");
        tg_connmgr_renumber(world->engine.connmgr, 8 * next);
        call_answers(&world->upstream, 0, 200, "");
        assert_int_equal(client.upgrades, 0);
        assert_int_equal(client.status, 503);
        assert_int_equal(world->upstream.count, 1);
        assert_string_equal(call_at(&world->upstream, 0)->target, "/bye");
        call_answers(&world->upstream, 0, 200, "");
        assert_int_equal(world->engine.request_count, 0);
    }
    world->engine.registry = own;
}

/* ---- reload ---- */

static void reload(struct world *world, const char *text)
{
    struct tg_config *old = world->config;
    world->config = load_config(text);
    tg_engine_reload(&world->engine, &world->config->model);
    tg_config_unref(old);
}

static void reloads_under_requests(void **state)
{
    struct world *world = *state;
    struct tg_upstream *calls = &world->upstream;
    struct client client, late = {0}, gone;
    open_client(&client, world);
    open_client(&gone, world);
    client_says(&client, "one");
    client_says(&client, "two"); /* waits for its turn */
    client_dial(&late, world, "app");
    client_ends(&gone, 1000, "");
    call_fails(calls, 2, TG_EREFUSED); /* will be tried again */
    const struct tg_model *old = &world->config->model;
    reload(world, CONFIGURATION("app", "/new"));
    assert_ptr_not_equal(old, &world->config->model);
    /* What began on the old model ends on it; what comes then takes the new one. */
    assert_string_equal(call_at(calls, 0)->target, "/old");
    call_answers(calls, 0, 200, "1");
    assert_string_equal(client_hears(&client), "1\n");
    assert_string_equal(call_at(calls, 1)->target, "/new");
    assert_string_equal(call_at(calls, 1)->body, "two");
    call_answers(calls, 0, 200, "");
    assert_int_equal(late.upgrades, 1);
    call_answers(calls, 0, 200, "2");
    assert_string_equal(client_hears(&client), "2\n");
    wait_for_call(world);
    assert_string_equal(call_at(calls, 0)->target, "/bye");
    call_answers(calls, 0, 200, "");
    /* Nobody has the old model any more. */
    assert_int_equal(atomic_load(&world->config->model.refs), 2);
    client_says(&late, "three");
    assert_string_equal(call_at(calls, 0)->target, "/new");
    call_answers(calls, 0, 200, "3");
    client_ends(&client, 1000, "");
    client_ends(&late, 1000, "");
    call_answers(calls, 0, 200, "");
    call_answers(calls, 0, 200, "");
}

static void closes_connections_of_an_api_that_went(void **state)
{
    struct world *world = *state;
    struct tg_upstream *calls = &world->upstream;
    struct client client, waiting, late = {0};
    open_client(&client, world);
    open_client(&waiting, world);
    client_says(&waiting, "one");
    client_says(&waiting, "two");
    client_dial(&late, world, "app");
    reload(world, CONFIGURATION("other", "/new"));
    client_says(&client, "hello");
    assert_int_equal(client.socket->close_code, 1001);
    call_answers(calls, 0, 200, "1");
    assert_string_equal(client_hears(&waiting), "1\n");
    assert_int_equal(waiting.socket->close_code, 1001);
    /* The handshake was for the old model: it is let in, and goes with its first message. */
    call_answers(calls, 0, 200, "");
    assert_int_equal(late.upgrades, 1);
    client_says(&late, "hello");
    assert_int_equal(late.socket->close_code, 1001);
    client_ends(&client, 1001, "");
    client_ends(&waiting, 1001, "");
    client_ends(&late, 1001, "");
    assert_int_equal(calls->count, 0);
}

/* ---- draining ---- */

static void drains(void **state)
{
    struct world *world = *state;
    struct client clients[3], late = {0};
    for (size_t i = 0; i < 3; i++) {
        open_client(&clients[i], world);
    }
    client_dial(&late, world, "app");
    world->engine.draining = true;
    client_says(&clients[0], "one");
    client_says(&clients[0], "two"); /* waits for its turn */
    world->engine.drain_code = 1012;
    world->engine.drain_reason = TG_LIT("Service restart");
    /* Who has a message in work is answered first. */
    assert_int_equal(tg_session_staying(&world->engine), 3);
    tg_session_drain(&world->engine, 2);
    assert_int_equal(tg_session_staying(&world->engine), 1);
    assert_int_equal(clients[0].socket->closes + clients[2].socket->closes, 0);
    assert_int_equal(clients[1].socket->close_code, 1012);
    assert_string_equal(clients[1].socket->close_reason, "Service restart");
    client_says(&clients[0], "too late");
    call_answers(&world->upstream, 1, 200, "1");
    assert_int_equal(clients[0].socket->closes, 0);
    call_answers(&world->upstream, 1, 200, "2");
    assert_string_equal(client_hears(&clients[0]), "1\n2\n");
    assert_int_equal(clients[0].socket->close_code, 1012);
    tg_session_drain(&world->engine, 5);
    tg_session_drain(&world->engine, 5);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(clients[i].socket->closes, 1);
        client_ends(&clients[i], 1012, "Service restart");
        call_answers(&world->upstream, world->upstream.count - 1, 200, "");
    }
    /* A handshake under way gets in, and its connection is the next to be closed. */
    call_answers(&world->upstream, 0, 200, "");
    assert_int_equal(late.upgrades, 1);
    assert_int_equal(tg_session_staying(&world->engine), 1);
    tg_session_drain(&world->engine, 5);
    client_ends(&late, 1012, "Service restart");
    assert_int_equal(tg_session_staying(&world->engine), 0);
    call_answers(&world->upstream, 0, 200, "");
    client_dial(&late, world, "app");
    assert_int_equal(late.status, 503);
}

/* Those whose turn has come lie behind the others, also when some came later. */
static void closes_all_at_last(void **state)
{
    struct world *world = *state;
    struct client clients[2], late = {0};
    open_client(&clients[0], world);
    open_client(&clients[1], world);
    client_dial(&late, world, "app");
    world->engine.draining = true;
    world->engine.drain_code = 4001;
    client_says(&clients[0], "one");
    tg_session_drain(&world->engine, 1);
    assert_int_equal(clients[0].socket->closes, 0);
    call_answers(&world->upstream, 0, 200, "");
    assert_int_equal(late.upgrades, 1);
    tg_session_drain(&world->engine, 1);
    assert_int_equal(late.socket->close_code, 4001);
    assert_int_equal(clients[0].socket->closes + clients[1].socket->closes, 0);
    tg_session_close_all(&world->engine);
    assert_int_equal(clients[0].socket->close_code, 4001);
    assert_int_equal(clients[1].socket->close_code, 4001);
    client_ends(&late, 4001, "");
    client_ends(&clients[0], 4001, "");
    client_ends(&clients[1], 4001, "");
    while (world->upstream.count > 0) {
        call_answers(&world->upstream, 0, 200, "");
    }
    tg_session_close_all(&world->engine);
    assert_int_equal(world->engine.session_count, 0);
    assert_int_equal(world->engine.sessions_draining, 0);
}

static void gives_up_at_the_deadline(void **state)
{
    struct world *world = *state;
    struct client open, cut, gone, late = {0};
    open_client(&open, world);
    open_client(&cut, world);
    open_client(&gone, world);
    client_says(&open, "one");
    client_says(&open, "two");
    client_says(&cut, "three");
    client_dial(&late, world, "app");
    client_ends(&gone, 1000, "");
    call_fails(&world->upstream, 3, TG_EREFUSED); /* will be tried again */
    assert_int_equal(world->engine.request_count, 4);
    tg_conn_close(cut.socket->conn, 0, TG_EMPTY);
    size_t started = world->upstream.started;
    tg_engine_abort(&world->engine);
    /* One that waited for its turn does not begin, nor does anything else. */
    assert_int_equal(world->engine.request_count, 0);
    assert_int_equal(world->upstream.count, 0);
    assert_int_equal(world->upstream.cancelled, 3);
    assert_int_equal(late.replies, 1);
    assert_int_equal(late.status, 503);
    const char *frames = client_hears(&open);
    assert_int_equal(strncmp(frames, "{\"message\": \"Service Unavailable\"", 33), 0);
    assert_string_equal(client_hears(&cut), "");
    assert_int_equal(failed_disconnects(world), 1);
    client_says(&open, "four");
    client_ends(&cut, 1006, "");
    client_ends(&open, 1006, "");
    client_dial(&late, world, "app");
    assert_int_equal(late.status, 503);
    assert_int_equal(world->engine.request_count, 0);
    assert_int_equal(world->upstream.started, started);
    assert_int_equal(failed_disconnects(world), 3);
    tg_engine_abort(&world->engine);
}

static void still_tells_of_ends_behind_the_deadline(void **state)
{
    struct world *world = *state;
    struct client open, gone, late = {0};
    open_client(&open, world);
    open_client(&gone, world);
    client_says(&open, "one");
    client_dial(&late, world, "app");
    client_ends(&gone, 1000, "");
    tg_engine_cut(&world->engine);
    assert_int_equal(late.status, 503);
    assert_int_equal(world->engine.request_count, 1);
    client_ends(&open, 1006, "");
    client_dial(&late, world, "app");
    assert_int_equal(late.status, 503);
    tg_engine_cut(&world->engine);
    assert_int_equal(world->upstream.count, 2);
    assert_string_equal(call_at(&world->upstream, 1)->target, "/bye");
    call_answers(&world->upstream, 0, 200, "");
    call_fails(&world->upstream, 0, TG_EREFUSED); /* no time left for another try */
    assert_int_equal(world->engine.request_count, 0);
    assert_int_equal(failed_disconnects(world), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_of_the_end_once),
        TEST(tries_twice_to_tell_of_the_end),
        TEST(tells_of_the_end_of_what_lost_its_number),
        TEST(reloads_under_requests),
        TEST(closes_connections_of_an_api_that_went),
        TEST(drains),
        TEST(closes_all_at_last),
        TEST(still_tells_of_ends_behind_the_deadline),
        TEST(gives_up_at_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
