/* The back-end client's pool: reuse, queues, connecting, timeouts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/upstream_world.h"

#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void keeps_connections(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 3; i++) {
        exchange(world, 0);
    }
    struct tg_upstream_stats stats = world_stats(world);
    assert_int_equal(stats.calls, 3);
    assert_int_equal(stats.opened, 1);
    assert_int_equal(stats.reused, 2);
    assert_int_equal(stats.connections, 1);
    assert_int_equal(stats.idle, 1);
    assert_int_equal(world->peer_count, 1);
}

static void takes_the_connection_used_last(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record records[3];
    for (size_t i = 0; i < 3; i++) {
        start_call(world, &records[i], &request);
        run_until_asked(world, i);
    }
    static const size_t order[] = {0, 2, 1};
    for (size_t i = 0; i < 3; i++) {
        tg_buf_clear(&world->peers[order[i]].in);
        peer_send(&world->peers[order[i]], OK_2);
        RUN_UNTIL(world, records[order[i]].ends > 0);
        record_free(&records[order[i]]);
    }
    exchange(world, 1);
    start_call(world, &records[0], &request);
    run_until_asked(world, 1);
    start_call(world, &records[1], &request);
    run_until_asked(world, 2);
    assert_int_equal(world->peer_count, 3);
    record_free(&records[0]);
    record_free(&records[1]);
    assert_int_equal(world_stats(world).connections, 1);
}

static void keeps_origins_apart(void **state)
{
    struct world *world = *state;
    struct record record;
    struct tg_call_request request = a_request("GET");
    exchange(world, 0);
    request.origin.port = 81;
    start_call(world, &record, &request);
    run_until_asked(world, 1);
    record_free(&record);
    request.origin = (struct tg_origin){.host = TG_LIT("back-end2"), .port = 80};
    start_call(world, &record, &request);
    run_until_asked(world, 2);
    record_free(&record);
}

static void drops_what_the_peer_closed(void **state)
{
    struct world *world = *state;
    exchange(world, 0);
    peer_close(&world->peers[0]);
    RUN_UNTIL(world, world_stats(world).connections == 0);
    exchange(world, 1);
    peer_reset(&world->peers[1]);
    RUN_UNTIL(world, world_stats(world).connections == 0);
}

static void drops_what_speaks_unasked(void **state)
{
    struct world *world = *state;
    exchange(world, 0);
    peer_send(&world->peers[0], "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad");
    RUN_UNTIL(world, world->peers[0].ended);
    assert_int_equal(world_stats(world).connections, 0);
    /* Behind an answer, in the same piece. */
    struct record record;
    struct tg_call_request request = a_request("GET");
    start_call(world, &record, &request);
    peer_send(run_until_asked(world, 1), OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(world_stats(world).connections, 0);
    record_free(&record);
    exchange(world, 2);
}

static void keeps_idle_ones_within_their_limits(void **state)
{
    struct world *world = *state;
    world->options.idle_timeout_ms = 5;
    tg_upstream_configure(world->upstream, &world->options);
    exchange(world, 0);
    RUN_UNTIL(world, world->peers[0].ended);
    assert_int_equal(world_stats(world).connections, 0);
    world->options.max_idle = 0;
    tg_upstream_configure(world->upstream, &world->options);
    exchange(world, 1);
    assert_int_equal(world_stats(world).connections, 0);
}

static void queues_calls(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record records[4];
    world->options.max_connections = 1;
    tg_upstream_configure(world->upstream, &world->options);
    for (size_t i = 0; i < 3; i++) {
        start_call(world, &records[i], &request);
    }
    assert_int_equal(
        tg_upstream_call(world->upstream, &request, &record_events, &records[3], &records[3].call), TG_EBUSY);
    assert_int_equal(world_stats(world).rejected, 1);
    assert_int_equal(world_stats(world).pending, 2);
    struct peer *peer = run_until_asked(world, 0);
    tg_buf_clear(&peer->in);
    peer_send(peer, OK_2);
    RUN_UNTIL(world, records[0].ends > 0);
    /* The second goes out on the same connection, the third on a new one as the first is closed. */
    run_until_asked(world, 0);
    peer_send(peer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    RUN_UNTIL(world, records[1].ends > 0);
    peer = run_until_asked(world, 1);
    peer_send(peer, OK_2);
    RUN_UNTIL(world, records[2].ends > 0);
    for (size_t i = 0; i < 3; i++) {
        assert_ended(&records[i], TG_OK);
        record_free(&records[i]);
    }
    assert_int_equal(world_stats(world).pending, 0);
    assert_int_equal(world_stats(world).idle, 1);
}

struct leave {
    int asked;
    enum tg_leave answer;
    struct tg_call *call;
};

static enum tg_leave ask_leave(void *arg, struct tg_call *call)
{
    struct leave *leave = arg;
    leave->asked++;
    leave->call = call;
    return leave->answer;
}

/* Once, when a connection is there: a kept one, a fresh one. */
static void asks_before_the_first_byte(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct leave no = {.answer = TG_LEAVE_REFUSED}, yes = {.answer = TG_LEAVE_GIVEN};
    struct record record;
    exchange(world, 0);
    request.may_go = ask_leave;
    request.may_go_arg = &no;
    start_call(world, &record, &request);
    assert_int_equal(record.ends, 0);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_EDENIED);
    record_free(&record);
    assert_int_equal(no.asked, 1);
    request.may_go_arg = &yes;
    start_call(world, &record, &request);
    assert_int_equal(yes.asked, 0);
    struct peer *peer = run_until_asked(world, 1);
    peer_send(peer, OK_2);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    record_free(&record);
    assert_int_equal(yes.asked, 1);
}

/* On a kept connection, on a fresh one, and on one that the back end closes meanwhile. */
static void waits_for_its_leave(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct leave later = {.answer = TG_LEAVE_LATER};
    struct record record;
    request.may_go = ask_leave;
    request.may_go_arg = &later;
    for (size_t i = 0; i < 3; i++) {
        start_call(world, &record, &request);
        RUN_UNTIL(world, later.asked == (int)i + 1);
        world_spin(world, 5);
        assert_int_equal(tg_buf_size(&world->peers[0].in), 0);
        if (i == 2) {
            peer_close(&world->peers[0]);
            RUN_UNTIL(world, world->peer_count == 2);
        }
        tg_call_give_leave(later.call, true);
        assert_int_equal(record.ends, 0);
        peer_send(run_until_asked(world, i < 2 ? 0 : 1), OK_2);
        RUN_UNTIL(world, record.ends > 0);
        assert_ended(&record, TG_OK);
        record_free(&record);
        tg_buf_clear(&world->peers[0].in);
    }
    assert_int_equal(later.asked, 3);
    start_call(world, &record, &request);
    RUN_UNTIL(world, later.asked == 4);
    tg_call_give_leave(later.call, false);
    assert_int_equal(record.ends, 0);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_EDENIED);
    record_free(&record);
    request.timeout_ms = 30;
    start_call(world, &record, &request);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ETIMEOUT);
    record_free(&record);
}

static void tries_addresses_in_turn(void **state)
{
    struct world *world = *state;
    world->resolver.addresses[0] = refusing_address();
    world->resolver.addresses[1] = refusing_address();
    world->resolver.addresses[2] = world->address;
    world->resolver.count = 3;
    exchange(world, 0);
    assert_int_equal(world_stats(world).connect_failures, 0);
}

static void tells_why_it_could_not_connect(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    world->resolver.addresses[0] = refusing_address();
    start_call(world, &record, &request);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_EREFUSED);
    world->resolver.err = TG_EDNS;
    start_call(world, &record, &request);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_EDNS);
    world->resolver.silent = true;
    world->options.connect_timeout_ms = 5;
    tg_upstream_configure(world->upstream, &world->options);
    start_call(world, &record, &request);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ETIMEOUT);
    world->options.connect_timeout_ms = 10000;
    tg_upstream_configure(world->upstream, &world->options);
    request.origin.host = TG_LIT("unix:/nonexistent/socket");
    start_call(world, &record, &request);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_EREFUSED);
    assert_int_equal(world_stats(world).connect_failures, 4);
    assert_int_equal(world_stats(world).connections, 0);
}

static void goes_on_with_the_queue_when_connecting_fails(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record records[3];
    world->options.max_connections = 1;
    tg_upstream_configure(world->upstream, &world->options);
    world->resolver.addresses[0] = refusing_address();
    for (size_t i = 0; i < 3; i++) {
        start_call(world, &records[i], &request);
    }
    for (size_t i = 0; i < 3; i++) {
        RUN_UNTIL(world, records[i].ends > 0);
        assert_ended(&records[i], TG_EREFUSED);
    }
    assert_int_equal(world_stats(world).connections, 0);
}

/* An address that takes connections into its backlog until that is full, then lets them wait. */
static void gives_each_address_its_time(void **state)
{
    struct world *world = *state;
    struct tg_address full;
    int listener;
    int fillers[8];
    listen_at(&listener, &full, "127.0.0.1:0");
    assert_int_equal(listen(listener, 0), 0);
    for (size_t i = 0; i < COUNT(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&full.storage, full.len);
    }
    world->options.connect_timeout_ms = 800;
    tg_upstream_configure(world->upstream, &world->options);
    world->resolver.addresses[0] = full;
    world->resolver.addresses[1] = world->address;
    world->resolver.count = 2;
    uint64_t started = tg_loop_now_ms(world->loop);
    exchange(world, 0);
    assert_true(tg_loop_now_ms(world->loop) - started < 800);
    world->options.connect_timeout_ms = 20;
    tg_upstream_configure(world->upstream, &world->options);
    peer_close(&world->peers[0]);
    RUN_UNTIL(world, world_stats(world).connections == 0);
    world->resolver.count = 1;
    struct record record;
    struct tg_call_request request = a_request("GET");
    start_call(world, &record, &request);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ETIMEOUT);
    for (size_t i = 0; i < COUNT(fillers); i++) {
        close(fillers[i]);
    }
    close(listener);
}

static void keeps_the_time_of_calls(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record records[2];
    world->options.max_connections = 1;
    tg_upstream_configure(world->upstream, &world->options);
    start_call(world, &records[0], &request);
    request.timeout_ms = 5;
    start_call(world, &records[1], &request);
    run_until_asked(world, 0);
    RUN_UNTIL(world, records[1].ends > 0);
    assert_ended(&records[1], TG_ETIMEOUT);
    assert_int_equal(world_stats(world).pending, 0);
    assert_int_equal(records[0].ends, 0);
    peer_send(&world->peers[0], OK_2);
    RUN_UNTIL(world, records[0].ends > 0);
    assert_ended(&records[0], TG_OK);
    record_free(&records[0]);
    record_free(&records[1]);
    /* While the answer comes. */
    tg_buf_clear(&world->peers[0].in);
    request.timeout_ms = 500;
    start_call(world, &records[1], &request);
    peer_send(run_until_asked(world, 0), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    RUN_UNTIL(world, records[1].ends > 0);
    assert_ended(&records[1], TG_ETIMEOUT);
    assert_int_equal(records[1].heads, 1);
    assert_int_equal(world_stats(world).connections, 0);
    assert_int_equal(world_stats(world).timeouts, 2);
    record_free(&records[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(keeps_connections),
        TEST(takes_the_connection_used_last),
        TEST(keeps_origins_apart),
        TEST(drops_what_the_peer_closed),
        TEST(drops_what_speaks_unasked),
        TEST(keeps_idle_ones_within_their_limits),
        TEST(queues_calls),
        TEST(asks_before_the_first_byte),
        TEST(waits_for_its_leave),
        TEST(tries_addresses_in_turn),
        TEST(tells_why_it_could_not_connect),
        TEST(goes_on_with_the_queue_when_connecting_fails),
        TEST(gives_each_address_its_time),
        TEST(keeps_the_time_of_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
