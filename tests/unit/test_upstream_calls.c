/* Calls of the back-end client: second tries, cancelling, unix sockets, TLS. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/tls_server.h"
#include "tests/unit/upstream_world.h"

#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(sends_again_what_a_kept_connection_lost),
        TEST(sends_again_on_a_fresh_connection_only),
        TEST(sends_again_once),
        TEST(sends_nothing_again_without_leave),
        TEST(survives_a_close_not_yet_noticed),
        TEST(cancels_at_every_stage),
        TEST(cancels_inside_events),
        TEST(cancels_what_has_failed_already),
        TEST(reaches_unix_sockets),
        TEST(speaks_tls),
        TEST(reads_a_tls_answer_behind_a_broken_write),
        TEST(outlives_the_trust_of_its_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
