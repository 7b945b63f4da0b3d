/* The back-end client's pool: reuse, queues, connecting, timeouts, second tries, cancelling. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/tls_server.h"
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
    bool given;
};

static bool ask_leave(void *arg)
{
    struct leave *leave = arg;
    leave->asked++;
    return leave->given;
}

/* Once, when a connection is there: a kept one, a fresh one. */
static void asks_before_the_first_byte(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct leave no = {0}, yes = {.given = true};
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

static void sends_again_what_a_kept_connection_lost(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    request.replayable = true;
    request.body = TG_LIT("body\r\n\r\n");
    for (size_t reset = 0; reset < 2; reset++) {
        exchange(world, reset * 2);
        world->peers[reset * 2].hangs_up = reset == 0;
        world->peers[reset * 2].resets_up = reset == 1;
        start_call(world, &record, &request);
        struct peer *peer = run_until_asked(world, reset * 2 + 1);
        assert_text(tg_buf_slice(&peer->in),
                    "POST /t HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nbody\r\n\r\n");
        peer_send(peer, OK_2);
        RUN_UNTIL(world, record.ends > 0);
        assert_ended(&record, TG_OK);
        record_free(&record);
        peer_close(peer);
        RUN_UNTIL(world, world_stats(world).connections == 0);
    }
    assert_int_equal(world_stats(world).replayed, 2);
}

static void sends_again_on_a_fresh_connection_only(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record records[2];
    request.replayable = true;
    for (size_t i = 0; i < 2; i++) {
        start_call(world, &records[i], &request);
        run_until_asked(world, i);
    }
    for (size_t i = 0; i < 2; i++) {
        tg_buf_clear(&world->peers[i].in);
        peer_send(&world->peers[i], OK_2);
        RUN_UNTIL(world, records[i].ends > 0);
        record_free(&records[i]);
    }
    world->peers[1].hangs_up = true;
    start_call(world, &records[0], &request);
    peer_send(run_until_asked(world, 2), OK_2);
    RUN_UNTIL(world, records[0].ends > 0);
    assert_ended(&records[0], TG_OK);
    assert_int_equal(tg_buf_size(&world->peers[0].in), 0);
    record_free(&records[0]);
}

static void sends_again_once(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    exchange(world, 0);
    request.replayable = true;
    world->peers[0].hangs_up = true;
    world->new_peers_hang_up = true;
    start_call(world, &record, &request);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ECLOSED);
    assert_int_equal(world->peer_count, 2);
    record_free(&record);
}

static void sends_nothing_again_without_leave(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    exchange(world, 0);
    world->peers[0].hangs_up = true;
    start_call(world, &record, &request);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ECLOSED);
    record_free(&record);
    /* On a fresh connection, it was not staleness. */
    request.replayable = true;
    world->new_peers_hang_up = true;
    start_call(world, &record, &request);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ECLOSED);
    record_free(&record);
    world->new_peers_hang_up = false;
    /* After a byte of an answer. */
    exchange(world, 2);
    start_call(world, &record, &request);
    peer_send(run_until_asked(world, 2), "H");
    peer_close(&world->peers[2]);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ECLOSED);
    record_free(&record);
    assert_int_equal(world_stats(world).replayed, 0);
}

/* What was closed before the call, unnoticed by the loop, has taken no byte of it: the call goes out again.
 */
static void survives_a_close_not_yet_noticed(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    exchange(world, 0);
    peer_close(&world->peers[0]);
    request.replayable = true;
    start_call(world, &record, &request);
    peer_send(run_until_asked(world, 1), OK_2);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(world_stats(world).replayed, 1);
    record_free(&record);
}

static void cancels_at_every_stage(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record records[2];
    world->options.max_connections = 1;
    tg_upstream_configure(world->upstream, &world->options);
    /* While the name is asked for, and in the queue. */
    start_call(world, &records[0], &request);
    start_call(world, &records[1], &request);
    record_free(&records[1]);
    assert_int_equal(world_stats(world).pending, 0);
    record_free(&records[0]);
    assert_int_equal(world_stats(world).connections, 0);
    assert_int_equal(world->resolver.open, 0);
    /* While connecting: the answer of the resolver is in, the connection is not. */
    start_call(world, &records[0], &request);
    RUN_UNTIL(world, world->resolver.open == 0);
    record_free(&records[0]);
    assert_int_equal(world_stats(world).connections, 0);
    world_spin(world, 5);
    size_t first = world->peer_count;
    /* With the request out: the next in the queue gets a new connection. */
    start_call(world, &records[0], &request);
    start_call(world, &records[1], &request);
    run_until_asked(world, first);
    record_free(&records[0]);
    RUN_UNTIL(world, world->peers[first].ended);
    struct peer *peer = run_until_asked(world, first + 1);
    /* With half an answer in. */
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    RUN_UNTIL(world, tg_buf_size(&records[1].body) > 0);
    record_free(&records[1]);
    assert_int_equal(world_stats(world).connections, 0);
    RUN_UNTIL(world, peer->ended);
    world_spin(world, 3);
    assert_int_equal(records[0].ends + records[1].ends, 0);
}

static void cancels_inside_events(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    for (size_t in_body = 0; in_body < 2; in_body++) {
        struct record record;
        start_call(world, &record, &request);
        record.cancel_in_head = in_body == 0;
        record.cancel_in_body = in_body == 1;
        struct peer *peer = run_until_asked(world, in_body);
        peer_send(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
        RUN_UNTIL(world, peer->ended);
        assert_int_equal(record.heads, 1);
        assert_int_equal(tg_buf_size(&record.body), in_body);
        assert_int_equal(record.ends, 0);
        assert_int_equal(world_stats(world).connections, 0);
        record_free(&record);
    }
}

static void cancels_what_has_failed_already(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record records[2];
    world->options.max_connections = 1;
    tg_upstream_configure(world->upstream, &world->options);
    world->resolver.err = TG_EDNS;
    start_call(world, &records[0], &request);
    start_call(world, &records[1], &request);
    RUN_UNTIL(world, records[0].ends > 0);
    record_free(&records[1]);
    world_spin(world, 3);
    assert_int_equal(records[1].ends, 0);
}

static void reaches_unix_sockets(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    char directory[] = "/tmp/tg-test-XXXXXX";
    char text[64];
    assert_non_null(mkdtemp(directory));
    (void)snprintf(text, sizeof text, "unix:%s/s", directory);
    tg_poll_free(world->poll);
    close(world->listener);
    listen_at(&world->listener, &world->address, text);
    assert_int_equal(tg_poll_new(world->loop, world->listener, world_accept, world, &world->poll), TG_OK);
    tg_poll_want(world->poll, true, false);
    request.origin.host = tg_slice_cstr(text);
    start_call(world, &record, &request);
    peer_send(run_until_asked(world, 0), OK_2);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    record_free(&record);
    assert_int_equal(unlink(text + 5), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void speaks_tls(void **state)
{
    struct world *world = *state;
    struct authority authority, stranger;
    struct server server;
    struct tg_tls_context *trust = NULL;
    struct tg_tls_context *distrust = NULL;
    make_authority(&authority, "one");
    make_authority(&stranger, "other");
    struct tg_tls_client_options options = {.ca_file = authority.file};
    assert_int_equal(tg_tls_client_new(&options, &trust), TG_OK);
    options.ca_file = stranger.file;
    assert_int_equal(tg_tls_client_new(&options, &distrust), TG_OK);
    struct tg_call_request request = a_request("GET");
    struct record record;
    request.origin.tls = true;
    request.origin.trust = trust;
    request.origin.server_name = TG_LIT("back-end.example");
    server_start(&server, &authority, HTTP_OK, "DNS:back-end.example");
    world->resolver.addresses[0] = server.address;
    for (int i = 0; i < 3; i++) {
        start_call(world, &record, &request);
        RUN_UNTIL(world, record.ends > 0);
        assert_ended(&record, TG_OK);
        assert_text(tg_buf_slice(&record.body), "ok");
        record_free(&record);
    }
    assert_int_equal(world_stats(world).opened, 1);
    assert_int_equal(world_stats(world).reused, 2);
    tg_upstream_free(world->upstream);
    world->upstream = NULL;
    server_join(&server);
    assert_string_equal(server.sni, "back-end.example");
    assert_int_equal(tg_upstream_new(world->loop, &world->resolver, NULL, &world->options, &world->upstream),
                     TG_OK);
    for (int i = 0; i < 2; i++) {
        /* A signer that is not trusted; then a name that the certificate does not hold. */
        request.origin.trust = i == 0 ? distrust : trust;
        request.origin.server_name = i == 0 ? TG_LIT("back-end.example") : TG_LIT("other.example");
        server_start(&server, &authority, HTTP_OK, "DNS:back-end.example");
        world->resolver.addresses[0] = server.address;
        world->resolver.addresses[1] = server.address;
        world->resolver.count = 2;
        start_call(world, &record, &request);
        RUN_UNTIL(world, record.ends > 0);
        assert_ended(&record, TG_ETLS);
        record_free(&record);
        server_join(&server);
    }
    tg_tls_context_free(trust);
    tg_tls_context_free(distrust);
    free_authority(&authority);
    free_authority(&stranger);
}

/* The server has answered and reset while we were still writing: the answer is there all the same. */
static void reads_a_tls_answer_behind_a_broken_write(void **state)
{
    struct world *world = *state;
    struct authority authority;
    struct server server;
    struct record record;
    static char piece[60000];
    struct tg_call_request request = a_request("POST");
    make_authority(&authority, "one");
    struct tg_tls_client_options options = {.ca_file = authority.file};
    assert_int_equal(tg_tls_client_new(&options, &request.origin.trust), TG_OK);
    request.origin.tls = true;
    request.origin.server_name = TG_LIT("back-end.example");
    request.stream_body = true;
    server_start(&server, &authority, HTTP_EARLY, "DNS:back-end.example");
    world->resolver.addresses[0] = server.address;
    start_call(world, &record, &request);
    assert_int_equal(tg_call_send(record.call, tg_slice_make(piece, sizeof piece)), TG_OK);
    /* Not reading, so that the write is the first to notice. */
    RUN_UNTIL(world, world_stats(world).opened == 1);
    server_join(&server);
    while (record.ends == 0) {
        if (record.heads == 0) {
            enum tg_err err = tg_call_send(record.call, tg_slice_make(piece, sizeof piece));
            assert_true(err == TG_OK || err == TG_EAGAIN);
        }
        tg_loop_run_once(world->loop);
        assert_false(world->expired);
    }
    assert_ended(&record, TG_OK);
    assert_int_equal(record.status, 413);
    assert_text(tg_buf_slice(&record.body), "no");
    record_free(&record);
    tg_tls_context_free(request.origin.trust);
    free_authority(&authority);
}

/* The model whose trust it is goes with a reload; the pool and its connections stay. */
static void outlives_the_trust_of_its_callers(void **state)
{
    struct world *world = *state;
    struct authority authority, stranger;
    struct server server;
    struct record record;
    struct tg_call_request request = a_request("GET");
    make_authority(&authority, "one");
    make_authority(&stranger, "other");
    request.origin.tls = true;
    request.origin.server_name = TG_LIT("back-end.example");
    assert_int_equal(tg_upstream_call(world->upstream, &request, &record_events, &record, &record.call),
                     TG_EINVAL);
    struct tg_tls_client_options options = {.ca_file = authority.file};
    assert_int_equal(tg_tls_client_new(&options, &request.origin.trust), TG_OK);
    server_start(&server, &authority, HTTP_OK, "DNS:back-end.example");
    world->resolver.addresses[0] = server.address;
    start_call(world, &record, &request);
    /* Gone before the connection is made; the call does not need it any more. */
    tg_tls_context_free(request.origin.trust);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    record_free(&record);
    assert_int_equal(world_stats(world).idle, 1);
    /* The next ones may well get its address. None of them trusts the server of the idle connection. */
    options.ca_file = stranger.file;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(tg_tls_client_new(&options, &request.origin.trust), TG_OK);
        world->resolver.addresses[0] = refusing_address();
        start_call(world, &record, &request);
        tg_tls_context_free(request.origin.trust);
        RUN_UNTIL(world, record.ends > 0);
        assert_ended(&record, TG_EREFUSED);
        record_free(&record);
    }
    assert_int_equal(world_stats(world).reused, 0);
    tg_upstream_free(world->upstream);
    world->upstream = NULL;
    server_join(&server);
    free_authority(&authority);
    free_authority(&stranger);
}

#define UPSTREAM_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPSTREAM_TEST(keeps_connections),
        UPSTREAM_TEST(takes_the_connection_used_last),
        UPSTREAM_TEST(keeps_origins_apart),
        UPSTREAM_TEST(drops_what_the_peer_closed),
        UPSTREAM_TEST(drops_what_speaks_unasked),
        UPSTREAM_TEST(keeps_idle_ones_within_their_limits),
        UPSTREAM_TEST(queues_calls),
        UPSTREAM_TEST(asks_before_the_first_byte),
        UPSTREAM_TEST(tries_addresses_in_turn),
        UPSTREAM_TEST(tells_why_it_could_not_connect),
        UPSTREAM_TEST(goes_on_with_the_queue_when_connecting_fails),
        UPSTREAM_TEST(gives_each_address_its_time),
        UPSTREAM_TEST(keeps_the_time_of_calls),
        UPSTREAM_TEST(sends_again_what_a_kept_connection_lost),
        UPSTREAM_TEST(sends_again_on_a_fresh_connection_only),
        UPSTREAM_TEST(sends_again_once),
        UPSTREAM_TEST(sends_nothing_again_without_leave),
        UPSTREAM_TEST(survives_a_close_not_yet_noticed),
        UPSTREAM_TEST(cancels_at_every_stage),
        UPSTREAM_TEST(cancels_inside_events),
        UPSTREAM_TEST(cancels_what_has_failed_already),
        UPSTREAM_TEST(reaches_unix_sockets),
        UPSTREAM_TEST(speaks_tls),
        UPSTREAM_TEST(reads_a_tls_answer_behind_a_broken_write),
        UPSTREAM_TEST(outlives_the_trust_of_its_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
