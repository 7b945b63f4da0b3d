/* The pipeline end to end: the end of connections, reloads, draining, the end of the process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/session.h"
#include "routes/disconnect.h"
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

/* A registry as that of a cluster, which answers when the test likes. */
struct rows {
    struct tg_registry base, *own;
    enum tg_removal removal;
    struct tg_list leavers;
    size_t puts, asked;
    bool held;
};

static void rows_put(struct tg_registry *base, const char *connection_id, const struct tg_conn_info *info)
{
    (void)connection_id;
    (void)info;
    TG_CONTAINER(base, struct rows, base)->puts++;
}

static enum tg_removal rows_remove(struct tg_registry *base, struct tg_leaver *leaver)
{
    struct rows *rows = TG_CONTAINER(base, struct rows, base);
    rows->asked++;
    if (rows->removal == TG_REMOVAL_ASKED) {
        tg_list_append(&rows->leavers, &leaver->node);
    }
    return rows->removal;
}

static bool rows_may_tell(struct tg_registry *base, const char *connection_id,
                          const struct tg_conn_info *info)
{
    assert_true(strlen(connection_id) == TG_CONNID_LEN && tg_slice_eq(info->stage, TG_LIT("prod")));
    return TG_CONTAINER(base, struct rows, base)->held;
}

static const struct tg_registry_ops rows_ops = {
    .put = rows_put, .remove = rows_remove, .may_tell = rows_may_tell};

static void rows_begin(struct rows *rows, struct world *world, enum tg_removal removal)
{
    *rows =
        (struct rows){.base = {&rows_ops}, .own = world->engine.registry, .removal = removal, .held = true};
    tg_list_init(&rows->leavers);
    world->engine.registry = &rows->base;
}

static void rows_end(const struct rows *rows, struct world *world)
{
    assert_true(tg_list_empty(&rows->leavers));
    assert_int_equal(world->engine.disconnects_waiting + world->engine.disconnects_asked, 0);
    world->engine.registry = rows->own;
}

/* The oldest. */
static void rows_answer(struct rows *rows, bool ours)
{
    struct tg_leaver *leaver = TG_CONTAINER(tg_list_pop(&rows->leavers), struct tg_leaver, node);
    leaver->removed(leaver, ours);
}

static void waits_for_the_end_of_the_row(void **state)
{
    struct world *world = *state;
    struct tg_engine *engine = &world->engine;
    struct rows rows;
    struct client clients[3];
    rows_begin(&rows, world, TG_REMOVAL_ASKED);
    for (size_t i = 0; i < 3; i++) {
        open_client(&clients[i], world);
    }
    assert_int_equal(rows.puts, 3);
    size_t started = world->upstream.started;
    for (size_t i = 0; i < 3; i++) {
        client_ends(&clients[i], 1000, "");
    }
    assert_int_equal(world->upstream.started, started);
    assert_int_equal(engine->disconnects_waiting, 3); /* a drain waits for them */
    assert_int_equal(engine->disconnects_running, 0);
    assert_int_equal(tg_disconnect_room(engine), 256); /* and nothing else does */
    rows_answer(&rows, true);
    assert_int_equal(world->upstream.count, 1);
    assert_string_equal(call_at(&world->upstream, 0)->target, "/bye");
    assert_int_equal(engine->disconnects_waiting, 2);
    rows_answer(&rows, false); /* another's to tell */
    assert_int_equal(world->upstream.count, 1);
    rows.held = false; /* the lease was over before the call could go */
    rows_answer(&rows, true);
    assert_int_equal(world->upstream.count, 1);
    assert_int_equal(world->upstream.denied, 1);
    call_answers(&world->upstream, 0, 200, "");
    assert_int_equal(failed_disconnects(world), 0);
    assert_int_equal(engine->request_count, 0);
    rows_end(&rows, world);
}

static void gives_up_what_waits_for_its_row(void **state)
{
    struct world *world = *state;
    struct tg_engine *engine = &world->engine;
    struct rows rows;
    struct client clients[3];
    rows_begin(&rows, world, TG_REMOVAL_ASKED);
    for (size_t i = 0; i < 3; i++) {
        open_client(&clients[i], world);
    }
    client_ends(&clients[0], 1000, "");
    engine->disconnects_asked += 255; /* every turn is taken */
    client_ends(&clients[1], 1000, "");
    assert_int_equal(rows.asked, 1);
    assert_int_equal(engine->disconnects_waiting, 2);
    size_t started = world->upstream.started;
    tg_engine_abort(engine);
    client_ends(&clients[2], 1000, ""); /* in the last pass: its row stays as well */
    assert_int_equal(rows.asked, 1);
    rows_answer(&rows, false); /* as the registry's end does */
    assert_int_equal(world->upstream.started, started);
    assert_int_equal(failed_disconnects(world), 3);
    engine->disconnects_asked -= 255;
    rows_end(&rows, world);
}

static void takes_nobody_while_too_many_wait(void **state)
{
    struct world *world = *state;
    struct rows rows;
    struct client open, refused = {0}, late;
    rows_begin(&rows, world, TG_REMOVAL_ASKED);
    world->engine.disconnects_max = 1;
    open_client(&open, world);
    client_ends(&open, 1000, "");
    client_dial(&refused, world, "app");
    assert_int_equal(refused.status, 503);
    rows_answer(&rows, false);
    open_client(&late, world);
    client_ends(&late, 1000, "");
    rows_answer(&rows, true);
    call_answers(&world->upstream, 0, 200, "");
    rows_end(&rows, world);
}

/* A client that went away before it was connected: its row goes as any other's. */
static void removes_the_row_of_a_client_that_has_gone(void **state)
{
    struct world *world = *state;
    struct rows rows;
    struct client client = {0};
    rows_begin(&rows, world, TG_REMOVAL_ASKED);
    client_dial(&client, world, "app");
    client.upgrade_err = TG_ECLOSED;
    call_answers(&world->upstream, 0, 200, "");
    assert_int_equal(rows.puts, 1);
    assert_int_equal(world->upstream.count, 0);
    rows_answer(&rows, true);
    assert_int_equal(world->upstream.count, 1);
    assert_string_equal(call_at(&world->upstream, 0)->target, "/bye");
    call_answers(&world->upstream, 0, 200, "");
    rows_end(&rows, world);
}

static void tells_of_the_end_of_what_lost_its_number(void **state)
{
    struct world *world = *state;
    struct rows rows;
    rows_begin(&rows, world, TG_REMOVAL_LEFT);
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
    assert_int_equal(rows.asked, 0); /* there is no row */
    rows_end(&rows, world);
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
        TEST(waits_for_the_end_of_the_row),
        TEST(gives_up_what_waits_for_its_row),
        TEST(takes_nobody_while_too_many_wait),
        TEST(removes_the_row_of_a_client_that_has_gone),
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
