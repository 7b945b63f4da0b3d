/* The pipeline end to end: handshakes and messages. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine_world.h"

/* `mock` has nothing but MOCK integrations, `app` a back end, `strict` takes one message at a time and holds
 * two at most, `closed` lets nobody in. */
static const char configuration[] =
    "listeners: [{address: 127.0.0.1:8080}]\n"
    "apis:\n"
    "  - apiId: mock\n"
    "    name: mock\n"
    "    protocolType: WEBSOCKET\n"
    "    routeSelectionExpression: $request.body.action\n"
    "    settings: {subprotocols: [chat.v1, chat.v2], maxFrameBytes: 1000, closeTimeoutSeconds: 1.5}\n"
    "    integrations:\n"
    "      - {integrationId: ok, integrationType: MOCK, requestTemplates: {$default: "
    "'{\"statusCode\":200}'}}\n"
    "      - integrationId: echo\n"
    "        integrationType: MOCK\n"
    "        requestTemplates: {$default: '{\"statusCode\":200}'}\n"
    "        integrationResponses:\n"
    "          - {integrationResponseKey: $default, responseTemplates: {$default: 'heard $input.body'}}\n"
    "      - integrationId: same\n"
    "        integrationType: MOCK\n"
    "        requestTemplates: {$default: '{\"statusCode\":200}'}\n"
    "        integrationResponses:\n"
    "          - {integrationResponseKey: $default, responseTemplates: {$default: $input.body}}\n"
    "      - integrationId: beat\n"
    "        integrationType: MOCK\n"
    "        requestTemplates: {$default: '{\"statusCode\":200}'}\n"
    "        integrationResponses:\n"
    "          - {integrationResponseKey: /200/, responseTemplates: {$default: alive}}\n"
    "      - {integrationId: broken, integrationType: MOCK, requestTemplates: {$default: 'no JSON'}}\n"
    "    routes:\n"
    "      - {routeKey: $connect, target: integrations/ok}\n"
    "      - {routeKey: tell, target: integrations/echo}\n"
    "      - {routeKey: ask, target: integrations/echo, routeResponseSelectionExpression: $default,\n"
    "         routeResponses: [{routeResponseKey: $default}]}\n"
    "      - {routeKey: same, target: integrations/same, routeResponseSelectionExpression: $default,\n"
    "         routeResponses: [{routeResponseKey: $default}]}\n"
    "      - {routeKey: beat, target: integrations/beat, routeResponseSelectionExpression: $default,\n"
    "         routeResponses: [{routeResponseKey: $default}]}\n"
    "      - {routeKey: broken, target: integrations/broken}\n"
    "      - {routeKey: nowhere}\n"
    "      - {routeKey: seldom, target: integrations/ok}\n"
    "    stages:\n"
    "      - stageName: prod\n"
    "        routeSettings: {seldom: {throttlingRateLimit: 0.001, throttlingBurstLimit: 1}}\n"
    "  - apiId: app\n"
    "    name: app\n"
    "    protocolType: WEBSOCKET\n"
    "    routeSelectionExpression: $request.body.action\n"
    "    integrations: &app\n"
    "      - {integrationId: app, integrationType: HTTP_PROXY, integrationMethod: POST,\n"
    "         integrationUri: 'http://back-end/x'}\n"
    "      - {integrationId: connect, integrationType: HTTP_PROXY, integrationMethod: POST,\n"
    "         integrationUri: 'http://back-end/connect'}\n"
    "      - {integrationId: bye, integrationType: HTTP_PROXY, integrationMethod: POST,\n"
    "         integrationUri: 'http://back-end/bye'}\n"
    "      - {integrationId: ok, integrationType: MOCK, requestTemplates: {$default: "
    "'{\"statusCode\":200}'}}\n"
    "    routes: \n"
    "      - {routeKey: $connect, target: integrations/connect}\n"
    "      - {routeKey: $disconnect, target: integrations/bye}\n"
    "      - {routeKey: $default, target: integrations/app, routeResponseSelectionExpression: $default,\n"
    "         routeResponses: [{routeResponseKey: $default}]}\n"
    "      - {routeKey: quick, target: integrations/ok}\n"
    "    stages: [{stageName: prod}]\n"
    "  - apiId: strict\n"
    "    name: strict\n"
    "    protocolType: WEBSOCKET\n"
    "    routeSelectionExpression: $request.body.action\n"
    "    settings: {messageOrdering: perConnection, maxPendingMessages: 3}\n"
    "    integrations: *app\n"
    "    routes:\n"
    "      - {routeKey: $default, target: integrations/app, routeResponseSelectionExpression: $default,\n"
    "         routeResponses: [{routeResponseKey: $default}]}\n"
    "      - {routeKey: quick, target: integrations/ok}\n"
    "    stages: [{stageName: prod}]\n"
    "  - apiId: patient\n"
    "    name: patient\n"
    "    protocolType: WEBSOCKET\n"
    "    routeSelectionExpression: $request.body.action\n"
    "    settings: {messageOrdering: perConnection, maxPendingMessages: 65536, slowConsumer: drop}\n"
    "    integrations: *app\n"
    "    routes: [{routeKey: $default, target: integrations/app, routeResponseSelectionExpression: "
    "$default,\n"
    "             routeResponses: [{routeResponseKey: $default}]}, {routeKey: quick, target: "
    "integrations/ok}]\n"
    "    stages: [{stageName: prod}]\n"
    "  - apiId: closed\n"
    "    name: closed\n"
    "    protocolType: WEBSOCKET\n"
    "    routeSelectionExpression: $request.body.action\n"
    "    integrations:\n"
    "      - integrationId: 'no'\n"
    "        integrationType: MOCK\n"
    "        requestTemplates: {$default: '{\"statusCode\":403}'}\n"
    "        integrationResponses: [{integrationResponseKey: '/403/', responseTemplates: {$default: 'not "
    "you'}}]\n"
    "    routes: [{routeKey: $connect, target: integrations/no}]\n"
    "    stages: [{stageName: prod}]\n"
    "throttling: {rateLimit: 100000, burstLimit: 100000, connectionRateLimit: 0.001, connectionBurstLimit: "
    "20}\n";

static int setup(void **state)
{
    *state = world_new(configuration);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static struct tg_upstream *calls_of(struct client *client)
{
    return &client->world->upstream;
}

/* Dials and is let in. */
static void open_client(struct client *client, struct world *world, const char *api_id)
{
    *client = (struct client){0};
    client_dial(client, world, api_id);
    if (world->upstream.count > 0) {
        call_answers(&world->upstream, 0, 200, "");
    }
    assert_int_equal(client->upgrades, 1);
    assert_int_equal(client->replies, 0);
}

/* The client closes; the back end, if there is one, takes note. */
static void close_client(struct client *client)
{
    struct tg_upstream *calls = calls_of(client);
    client_ends(client, 1000, "");
    while (calls->count > 0) {
        call_answers(calls, 0, 200, "");
    }
}

static void assert_error_frame(struct client *client, const char *message)
{
    char want[256];
    const char *frame = client_hears(client);
    (void)snprintf(want, sizeof want, "{\"message\": \"%s\", \"connectionId\":\"%s\", \"requestId\":\"",
                   message, tg_conn_id(client->socket->conn));
    if (strncmp(frame, want, strlen(want)) != 0) {
        print_message("got %s, want %s\n", frame, want);
    }
    assert_int_equal(strncmp(frame, want, strlen(want)), 0);
    assert_int_equal(strlen(frame), strlen(want) + TG_REQUEST_ID_LEN + strlen("\"}\n"));
}

/* ---- handshakes ---- */

static void lets_clients_in(void **state)
{
    struct world *world = *state;
    struct client client = {0};
    client_dial(&client, world, "mock");
    assert_int_equal(client.upgrades, 1);
    assert_string_equal(client.headers, "Sec-WebSocket-Protocol: chat.v1\n");
    assert_int_equal(client.settings.max_frame, 1000);
    assert_int_equal(client.settings.max_message, 131072);
    assert_int_equal(client.settings.close_timeout_ms, 1500);
    assert_false(client.settings.binary || client.settings.deflate);
    assert_int_equal(world->engine.request_count, 0);
    assert_int_equal(tg_connmgr_count(world->engine.connmgr), 1);
    const struct tg_conn_info *info = tg_conn_info(client.socket->conn);
    assert_true(tg_slice_eq(info->domain_name, TG_LIT("mock.example.com:8080")));
    assert_true(tg_slice_eq(info->source_ip, TG_LIT("203.0.113.9")));
    assert_true(tg_slice_eq(info->user_agent, TG_LIT("test/1")));
    assert_true(tg_slice_eq(info->stage, TG_LIT("prod")));
    close_client(&client);
    assert_int_equal(world->upstream.started, 0);
}

static void shuts_clients_out(void **state)
{
    struct world *world = *state;
    struct client client = {0};
    client_dial(&client, world, "closed");
    assert_int_equal(client.replies, 1);
    assert_int_equal(client.status, 403);
    assert_string_equal(client.body, "not you");
    client_dial(&client, world, "app");
    assert_int_equal(client.replies, 0);
    assert_int_equal(tg_connmgr_count(world->engine.connmgr), 1);
    call_answers(&world->upstream, 0, 401, "who are you");
    assert_int_equal(client.status, 401);
    assert_string_equal(client.body, "who are you");
    assert_string_equal(client.headers, "X-From: back end\n");
    static const struct {
        enum tg_err err;
        int status;
        const char *message;
    } rows[] = {{TG_EREFUSED, 502, "Internal server error"},
                {TG_ETIMEOUT, 504, "Endpoint request timed out"}};
    for (size_t i = 0; i < 2; i++) {
        client_dial(&client, world, "app");
        call_fails(&world->upstream, 0, rows[i].err);
        assert_int_equal(client.status, rows[i].status);
        assert_non_null(strstr(client.body, rows[i].message));
    }
    client_dial(&client, world, "app");
    call_answers(&world->upstream, 0, 101, "");
    assert_int_equal(client.status, 502);
    world->upstream.refuses = TG_EBUSY;
    client_dial(&client, world, "app");
    assert_int_equal(client.status, 502);
    assert_int_equal(tg_connmgr_count(world->engine.connmgr), 0);
    /* Nobody was connected, hence nobody has disconnected. */
    assert_int_equal(world->upstream.started, 5);
}

static void holds_to_its_limits(void **state)
{
    struct world *world = *state;
    struct client clients[9], late = {0};
    for (size_t i = 0; i < 8; i++) {
        open_client(&clients[i], world, "mock");
    }
    client_dial(&late, world, "mock");
    assert_int_equal(late.status, 503);
    for (size_t i = 0; i < 8; i++) {
        close_client(&clients[i]);
    }
    int throttled = 0;
    for (size_t i = 0; i < 13; i++) {
        clients[0] = (struct client){0};
        client_dial(&clients[0], world, "mock");
        if (clients[0].upgrades > 0) {
            close_client(&clients[0]);
        } else {
            assert_int_equal(clients[0].status, 429);
            throttled++;
        }
    }
    assert_int_equal(throttled, 1); /* of twenty that the account's bucket holds */
}

static void lets_connect_take_its_time(void **state)
{
    struct world *world = *state;
    struct client client = {0};
    client_dial(&client, world, "app");
    assert_int_equal(client.upgrades + client.replies, 0);
    assert_string_equal(call_at(&world->upstream, 0)->target, "/connect");
    call_answers(&world->upstream, 0, 204, "");
    assert_int_equal(client.upgrades, 1);
    assert_string_equal(client.headers, "X-From: back end\n");
    close_client(&client);
    assert_int_equal(world->upstream.started, 2);
}

/* Back ends that have said yes to somebody who is not there any more learn that (spec 1.2). */
static void tells_of_clients_that_went_meanwhile(void **state)
{
    struct world *world = *state;
    for (int row = 0; row < 3; row++) {
        struct client client = {.upgrade_err = row == 2 ? TG_EIO : TG_OK};
        client_dial(&client, world, "app");
        if (row == 0) {
            client_goes(&client);
        }
        client.gone = row < 2;
        call_answers(&world->upstream, 0, 200, "");
        assert_int_equal(client.upgrades, 0);
        assert_int_equal(client.replies, 1);
        assert_true(row < 2 || client.status == 500);
        assert_int_equal(tg_connmgr_count(world->engine.connmgr), 0);
        assert_string_equal(call_at(&world->upstream, 0)->target, "/bye");
        call_answers(&world->upstream, 0, 200, "");
    }
    /* Who was refused anyway was never there. */
    struct client client = {0};
    client_dial(&client, world, "app");
    client_goes(&client);
    call_answers(&world->upstream, 0, 403, "");
    assert_int_equal(client.replies, 1);
    assert_int_equal(world->upstream.count, 0);
}

/* ---- messages ---- */

static void answers_messages(void **state)
{
    struct world *world = *state;
    struct client client;
    open_client(&client, world, "mock");
    client_says(&client, "{\"action\":\"ask\"}");
    ASSERT_WRITTEN(client.socket, "\x81\x16heard {\"action\":\"ask\"}");
    (void)client_hears(&client);
    client_says(&client, "{\"action\":\"tell\"}");
    assert_string_equal(client_hears(&client), "");
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"{\"action\":\"other\"}", "Forbidden"},
        {"no JSON", "Forbidden"},
        {"", "Forbidden"},
        {"{\"action\":\"$connect\"}", "Forbidden"},
        {"{\"action\":\"broken\"}", "Internal server error"},
        {"{\"action\":\"nowhere\"}", "Internal server error"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        client_says(&client, rows[i].text);
        assert_error_frame(&client, rows[i].message);
    }
    client_says(&client, "{\"action\":\"seldom\"}");
    assert_string_equal(client_hears(&client), "");
    client_says(&client, "{\"action\":\"seldom\"}");
    assert_error_frame(&client, "Too Many Requests");
    /* Behind all that it is as it was. */
    client_says(&client, "{\"action\":\"ask\"}");
    assert_string_equal(client_hears(&client), "heard {\"action\":\"ask\"}\n");
    close_client(&client);
}

static void takes_messages_at_the_same_time(void **state)
{
    struct world *world = *state;
    struct client client;
    open_client(&client, world, "app");
    client_says(&client, "one");
    client_says(&client, "two");
    client_says(&client, "three");
    assert_int_equal(world->upstream.count, 3);
    assert_string_equal(call_at(&world->upstream, 2)->body, "three");
    call_answers(&world->upstream, 2, 200, "3");
    call_fails(&world->upstream, 0, TG_EREFUSED);
    assert_int_equal(strncmp(client_hears(&client), "3\n{\"message\": \"Internal server error\"", 37), 0);
    call_answers(&world->upstream, 0, 500, "2");
    assert_string_equal(client_hears(&client), "2\n");
    close_client(&client);
}

static void takes_messages_in_turn(void **state)
{
    struct world *world = *state;
    struct tg_upstream *calls = &world->upstream;
    struct client client;
    open_client(&client, world, "strict");
    client_says(&client, "one");
    client_says(&client, "{\"action\":\"quick\"}");
    assert_false(client.socket->paused);
    assert_int_equal(calls->count, 1);
    client_says(&client, "two");
    assert_true(client.socket->paused);
    client_says(&client, "three"); /* was read already */
    assert_int_equal(calls->count, 1);
    call_answers(calls, 0, 200, "1");
    assert_string_equal(client_hears(&client), "1\n");
    /* The quick one is over; two is with the back end, three waits. */
    assert_int_equal(calls->count, 1);
    assert_string_equal(call_at(calls, 0)->body, "two");
    assert_false(client.socket->paused);
    call_answers(calls, 0, 200, "2");
    call_answers(calls, 0, 200, "3");
    assert_string_equal(client_hears(&client), "2\n3\n");
    assert_int_equal(calls->count, 0);
    assert_int_equal(client.socket->pauses, 2);
    close_client(&client);
}

/* What ends at once must not nest: there may be many of it. */
static void takes_many_messages_in_turn(void **state)
{
    enum { MANY = 60000 };
    struct world *world = *state;
    struct client client;
    open_client(&client, world, "patient");
    client_says(&client, "one");
    for (int i = 0; i < MANY; i++) {
        tg_conn_socket_events.on_message(client.socket->conn, TG_LIT("{\"action\":\"quick\"}"), false);
    }
    client_says(&client, "last");
    assert_int_equal(world->upstream.count, 1);
    call_answers(&world->upstream, 0, 200, "1");
    assert_int_equal(world->upstream.count, 1);
    assert_string_equal(call_at(&world->upstream, 0)->body, "last");
    call_answers(&world->upstream, 0, 200, "2");
    assert_string_equal(client_hears(&client), "1\n2\n");
    close_client(&client);
}

static void forgets_the_messages_of_clients_that_went(void **state)
{
    struct world *world = *state;
    struct client client, next = {0};
    open_client(&client, world, "strict");
    client_says(&client, "one");
    client_says(&client, "two");
    client_ends(&client, 1001, "");
    assert_int_equal(world->engine.request_count, 1);
    /* The next one may get its slot, and none of its answers. */
    client_dial(&next, world, "mock");
    assert_int_equal(next.upgrades, 1);
    call_answers(&world->upstream, 0, 200, "1");
    assert_string_equal(client_hears(&next), "");
    assert_int_equal(world->upstream.started, 1);
    close_client(&next);
}

static void answers_a_read_in_one_write(void **state)
{
    struct world *world = *state;
    struct client client;
    open_client(&client, world, "mock");
    int writes = client.socket->writes;
    for (int i = 0; i < 3; i++) {
        tg_conn_socket_events.on_message(client.socket->conn, TG_LIT("{\"action\":\"ask\"}"), false);
        assert_int_equal(client.socket->writes, writes);
        assert_int_equal(world->engine.request_count, 0); /* which counts those that go on */
    }
    assert_string_equal(
        client_hears(&client),
        "heard {\"action\":\"ask\"}\nheard {\"action\":\"ask\"}\nheard {\"action\":\"ask\"}\n");
    assert_int_equal(client.socket->writes, writes + 1);
    close_client(&client);
}

static const struct tg_route_metrics *series_of(const struct world *world, const char *route)
{
    return tg_metrics_series(world->engine.metrics, TG_LIT("mock"), TG_LIT("prod"), tg_slice_cstr(route));
}

/* Without a request of its own, and counted as others are. */
static void answers_what_is_known_beforehand(void **state)
{
    struct world *world = *state;
    struct client client;
    open_client(&client, world, "mock");
    for (uint64_t i = 1; i <= 2; i++) {
        client_says(&client, "{\"action\":\"beat\"}");
        client_says(&client, "{\"action\":\"same\",\"n\":[1]}");
        client_says(&client, "{\"action\":\"tell\"}");
        assert_string_equal(client_hears(&client), "alive\n{\"action\":\"same\",\"n\":[1]}\n");
        assert_int_equal(atomic_load(&series_of(world, "beat")->messages_in), i);
        assert_int_equal(atomic_load(&series_of(world, "beat")->metered_out), i);
        assert_int_equal(atomic_load(&series_of(world, "same")->metered_in), i);
        assert_int_equal(atomic_load(&series_of(world, "same")->messages_out), i);
        assert_int_equal(atomic_load(&series_of(world, "tell")->messages_in), i);
        assert_int_equal(atomic_load(&series_of(world, "tell")->messages_out), 0);
    }
    close_client(&client);
}

static void bounds_what_waits_for_slow_clients(void **state)
{
    struct world *world = *state;
    for (int drop = 0; drop < 2; drop++) {
        struct client client;
        char much[100];
        open_client(&client, world, drop ? "patient" : "app");
        client.socket->next = TG_EAGAIN;
        memset(much, 'x', sizeof much - 1);
        much[sizeof much - 1] = '\0';
        /* The queue holds 262144 bytes; the call's own limit is 131072. */
        static char reply[131000];
        memset(reply, 'r', sizeof reply - 1);
        for (int i = 0; i < 3; i++) {
            client_says(&client, "more");
            call_answers(&world->upstream, 0, 200, reply);
            turn(world->engine.loop);
        }
        assert_int_equal(client.socket->closes, drop ? 0 : 1);
        assert_true(drop || client.socket->close_code == 1011);
        close_client(&client);
    }
}

static void pushed(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    (void)info;
    *(int *)arg = (int)outcome;
}

static void pushes_to_sessions(void **state)
{
    struct world *world = *state;
    struct client client;
    open_client(&client, world, "mock");
    struct tg_push_op *op;
    const struct tg_push_request request = {
        .verb = TG_PUSH_POST,
        .connection_id = tg_slice_cstr(tg_conn_id(client.socket->conn)),
        .api_id = TG_LIT("mock"),
        .payload = TG_LIT("news"),
        .timeout_ms = 1000,
    };
    int outcome = -1;
    assert_int_equal(tg_push_start(world->engine.push, &request, pushed, &outcome, &op), TG_OK);
    while (outcome < 0) {
        turn(world->engine.loop);
    }
    assert_int_equal(outcome, TG_PUSH_DONE);
    assert_string_equal(client_hears(&client), "news\n");
    close_client(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lets_clients_in),
        TEST(shuts_clients_out),
        TEST(holds_to_its_limits),
        TEST(lets_connect_take_its_time),
        TEST(tells_of_clients_that_went_meanwhile),
        TEST(answers_messages),
        TEST(answers_a_read_in_one_write),
        TEST(answers_what_is_known_beforehand),
        TEST(takes_messages_at_the_same_time),
        TEST(takes_messages_in_turn),
        TEST(takes_many_messages_in_turn),
        TEST(forgets_the_messages_of_clients_that_went),
        TEST(bounds_what_waits_for_slow_clients),
        TEST(pushes_to_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
