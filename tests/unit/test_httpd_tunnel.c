/* The HTTP server: connections that become tunnels. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/httpd_streams.h"

#define OPEN           "GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"
#define OPEN_WEBSOCKET "GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define HEAD           "HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nConnection: Upgrade\r\n\r\n"

static struct tg_header fields[] = {
    {TG_LIT_INIT("upgrade"), TG_LIT_INIT("other")},
    {TG_LIT_INIT("Connection"), TG_LIT_INIT("Upgrade")},
    {TG_LIT_INIT("Content-Length"), TG_LIT_INIT("7")},
    {TG_LIT_INIT("Transfer-Encoding"), TG_LIT_INIT("chunked")},
};
static const struct tg_headers switching = {fields, 4, 4};

static int streams_setup(void **state)
{
    int result = world_setup(state);
    ((struct world *)*state)->script = HOLD;
    return result;
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, streams_setup, world_teardown)

static void tunnel_open(struct client *client, struct stream *stream, struct world *world, const char *text)
{
    client_open(client, world);
    client_send(client, text);
    stream_open(stream, world, world->count + 1);
    assert_int_equal(stream_tunnel(stream, &switching), TG_OK);
}

static void client_expect(struct client *client, const char *text)
{
    client_gather(client, strlen(text));
    assert_bytes(&client->in, text);
    tg_buf_clear(&client->in);
}

/* The server has ended its direction, or the connection. */
static void client_until_end(struct client *client)
{
    while (!client->eof && !client->reset) {
        client_receive(client);
        turn(client->world);
    }
}

static void passes_bytes_both_ways(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    /* With bytes that the client sent early, and what looks like a request. */
    tunnel_open(&client, &stream, world, OPEN "early GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(stream.pieces, 0);
    assert_int_equal(stream_send(&stream, TG_LIT("hi")), TG_OK);
    client_expect(&client, HEAD "hi");
    WAIT(world, stream.pieces == 1);
    assert_bytes(&stream.body, "early GET / HTTP/1.1\r\n\r\n");
    tg_buf_clear(&stream.body);
    for (int i = 0; i < 3; i++) {
        client_send(&client, "ping");
        WAIT(world, tg_buf_size(&stream.body) == 4);
        assert_bytes(&stream.body, "ping");
        tg_buf_clear(&stream.body);
        assert_int_equal(stream_send(&stream, TG_LIT("pong\r\n")), TG_OK);
        client_expect(&client, "pong\r\n");
    }
    assert_int_equal(world->count, 1);
    assert_int_equal(COUNTED(world, tunnels), 1);
    assert_int_equal(COUNTED(world, tunnels_open), 1);
    assert_int_equal(stream_send(&stream, TG_LIT("bye")), TG_OK);
    stream_end(&stream, true);
    assert_int_equal(COUNTED(world, tunnels_open), 0);
    assert_int_equal(COUNTED(world, tunnels), 1);
    client_until_end(&client);
    assert_true(client.eof);
    assert_bytes(&client.in, "bye");
    assert_int_equal(stream.ends, 0);
    client_close(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    stream_free(&stream);
}

static void half_closes_both_ways(void **state)
{
    struct world *world = *state;
    for (int client_first = 0; client_first < 2; client_first++) {
        struct client client;
        struct stream stream;
        tunnel_open(&client, &stream, world, client_first ? OPEN : OPEN_WEBSOCKET);
        client_expect(&client, HEAD);
        for (int step = 0; step < 2; step++) {
            if (step == client_first) { /* the handler's side */
                assert_int_equal(stream_send(&stream, TG_LIT("last")), TG_OK);
                stream_shut(&stream);
                assert_int_equal(stream_send(&stream, TG_LIT("x")), TG_ECLOSED);
                client_until_end(&client);
                assert_true(client.eof);
                assert_bytes(&client.in, "last");
            } else {
                client_send(&client, "end");
                assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
                WAIT(world, stream.ends == 1);
                assert_int_equal(stream.end_err, TG_OK);
                assert_bytes(&stream.body, "end");
            }
            settle(world);
        }
        assert_int_equal(stream.ends, 1);
        assert_int_equal(stream.seen->aborts, 0);
        assert_int_equal(tg_httpd_count(world->httpd), 1);
        stream_end(&stream, true);
        assert_int_equal(tg_httpd_count(world->httpd), 0);
        client_close(&client);
        stream_free(&stream);
    }
}

/* The client had said all before it became a tunnel. */
static void tells_of_an_early_end(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, OPEN "all");
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    stream_open(&stream, world, 1);
    settle(world);
    assert_int_equal(stream_tunnel(&stream, &switching), TG_OK);
    WAIT(world, stream.ends == 1);
    assert_int_equal(stream.end_err, TG_OK);
    assert_bytes(&stream.body, "all");
    assert_int_equal(stream_send(&stream, TG_LIT("answer")), TG_OK);
    stream_end(&stream, true);
    client_until_end(&client);
    assert_true(client.eof);
    assert_bytes(&client.in, HEAD "answer");
    client_close(&client);
    stream_free(&stream);
}

static void holds_both_ways(void **state)
{
    enum { MUCH = 8 << 20, PIECE = 50000 };
    struct world *world = *state;
    struct client client;
    struct stream stream;
    char *bytes = malloc(MUCH);
    size_t sent = 0, given = 0;
    assert_non_null(bytes);
    fill_pattern(bytes, MUCH, 0);
    world->options.limits.body_timeout_ms = 10; /* of which a tunnel knows nothing */
    world->options.limits.header_timeout_ms = 10;
    tg_httpd_configure(world->httpd, &world->options.limits);
    tunnel_open(&client, &stream, world, OPEN);
    client_expect(&client, HEAD);
    uint64_t start = tg_loop_now_ms(world->loop);
    WAIT(world, tg_loop_now_ms(world->loop) > start + 40);
    assert_int_equal(stream.ends, 0);
    stream.hold_on_bytes = true;
    size_t before = (size_t)COUNTED(world, bytes_in);
    for (int idle = 0; idle < 20; idle++) {
        size_t put = client_try_send(&client, tg_slice_make(bytes + sent, MUCH - sent));
        idle = put > 0 ? 0 : idle;
        sent += put;
        turn(world);
    }
    assert_true(sent < MUCH);
    assert_int_equal(stream.pieces, 1);
    assert_true((size_t)COUNTED(world, bytes_in) - before < 3 * 65536);
    enum tg_err err = TG_OK;
    while (err == TG_OK) {
        assert_true(given < MUCH);
        err = stream_send(&stream, tg_slice_head(tg_slice_make(bytes + given, MUCH - given), PIECE));
        given += PIECE;
    }
    assert_int_equal(err, TG_EAGAIN);
    start = tg_loop_now_ms(world->loop);
    WAIT(world, tg_loop_now_ms(world->loop) > start + 40);
    assert_int_equal(stream.rooms, 0);
    assert_int_equal(COUNTED(world, timed_out), 0);
    stream.hold_on_bytes = false;
    stream_hold(&stream, false);
    client_send_bytes(&client, tg_slice_make(bytes + sent, MUCH - sent));
    WAIT(world, tg_buf_size(&stream.body) == MUCH);
    assert_true(tg_slice_eq(tg_buf_slice(&stream.body), tg_slice_make(bytes, MUCH)));
    client_gather(&client, given);
    assert_true(tg_slice_eq(tg_buf_slice(&client.in), tg_slice_make(bytes, given)));
    WAIT(world, stream.rooms == 1);
    stream_end(&stream, true);
    client_close(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    stream_free(&stream);
    free(bytes);
}

static void tells_when_the_client_goes(void **state)
{
    struct world *world = *state;
    for (int held = 0; held < 2; held++) {
        struct client client;
        struct stream stream;
        tunnel_open(&client, &stream, world, OPEN);
        stream_hold(&stream, held);
        client_expect(&client, HEAD);
        client_reset(&client);
        WAIT(world, stream.ends == 1);
        assert_int_equal(stream.end_err, TG_ECLOSED);
        assert_int_equal(stream.seen->aborts, 1);
        assert_int_equal(stream_send(&stream, TG_LIT("x")), TG_ECLOSED);
        stream_shut(&stream);
        settle(world);
        assert_int_equal(stream.ends, 1);
        stream_end(&stream, true);
        assert_int_equal(tg_httpd_count(world->httpd), 0);
        assert_int_equal(COUNTED(world, tunnels_open), 0);
        stream_free(&stream);
    }
}

/* An end that is none of the protocol's shows as a reset. */
static void cuts_tunnels(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    tunnel_open(&client, &stream, world, OPEN);
    client_expect(&client, HEAD);
    stream_end(&stream, false);
    assert_int_equal(tg_httpd_count(world->httpd), 0);
    client_until_end(&client);
    assert_true(client.reset);
    client_close(&client);
    stream_free(&stream);
}

static void writes_all_before_it_ends(void **state)
{
    enum { PIECE = 50000 };
    static char piece[PIECE];
    struct world *world = *state;
    struct client client;
    struct stream stream;
    size_t given = 0;
    tunnel_open(&client, &stream, world, OPEN);
    client_expect(&client, HEAD);
    while (stream_send(&stream, tg_slice_make(piece, PIECE)) == TG_OK) {
        given += PIECE;
    }
    given += PIECE;
    stream_end(&stream, true);
    assert_int_equal(tg_httpd_count(world->httpd), 1);
    client_gather(&client, given);
    client_until_end(&client);
    assert_true(client.eof);
    assert_int_equal(tg_buf_size(&client.in), given);
    client_close(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    stream_free(&stream);
}

static void refuses_what_cannot_become_one(void **state)
{
    static struct tg_header broken[] = {{TG_LIT_INIT("Upgrade"), TG_LIT_INIT("a\nb")}};
    static const struct tg_headers bad = {broken, 1, 1};
    static const char *const requests[] = {
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n1234",
        OPEN,
    };
    struct world *world = *state;
    for (size_t i = 0; i < 3; i++) {
        struct client client;
        struct stream stream;
        client_open(&client, world);
        client_send(&client, requests[i]);
        stream_open(&stream, world, i + 1);
        assert_int_equal(stream_tunnel(&stream, i < 2 ? &switching : &bad), TG_EINVAL);
        stream_reply(&stream, 502, "no");
        assert_answer(&client, 502, "no");
        client_close(&client);
    }
    assert_int_equal(COUNTED(world, tunnels), 0);
    /* Of whom nobody is there any more. */
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, OPEN);
    stream_open(&stream, world, 4);
    client_reset(&client);
    WAIT(world, stream.seen->aborts == 1);
    assert_int_equal(stream_tunnel(&stream, &switching), TG_ECLOSED);
    stream_shut(&stream);
    stream_end(&stream, true);
    assert_int_equal(COUNTED(world, tunnels), 0);
    assert_int_equal(COUNTED(world, tunnels_open), 0);
}

/* Where a body broke off, nobody knows what the next bytes are. */
static void does_not_follow_a_broken_body(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\n\r\n");
    stream_open(&stream, world, 1);
    stream_take(&stream, 0);
    WAIT(world, stream.ends == 1);
    assert_int_equal(stream.end_err, TG_EPROTO);
    assert_int_equal(stream_tunnel(&stream, &switching), TG_EINVAL);
    stream_reply(&stream, 400, "no");
    assert_answer(&client, 400, "no");
    assert_closed(&client);
    stream_free(&stream);
    client_close(&client);
}

static void follows_a_body_that_was_read(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
                         "raw");
    stream_open(&stream, world, 1);
    stream_take(&stream, 0);
    WAIT(world, stream.ends == 1);
    assert_bytes(&stream.body, "hello");
    tg_buf_clear(&stream.body);
    stream.ends = 0;
    assert_int_equal(stream_tunnel(&stream, &switching), TG_OK);
    WAIT(world, stream.pieces == 2);
    assert_bytes(&stream.body, "raw");
    stream_end(&stream, true);
    client_close(&client);
    stream_free(&stream);
}

static void outlives_draining_until_it_is_cut(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    tunnel_open(&client, &stream, world, OPEN);
    client_expect(&client, HEAD);
    tg_httpd_drain(world->httpd);
    client_send(&client, "ping");
    WAIT(world, stream.pieces == 1);
    assert_int_equal(stream_send(&stream, TG_LIT("pong")), TG_OK);
    client_expect(&client, "pong");
    tg_httpd_cut(world->httpd);
    assert_int_equal(stream.seen->aborts, 0);
    WAIT(world, stream.ends == 1);
    assert_int_equal(stream.end_err, TG_ECLOSED);
    assert_int_equal(stream.seen->aborts, 1);
    stream_end(&stream, true);
    assert_int_equal(tg_httpd_count(world->httpd), 0);
    client_close(&client);
    stream_free(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(passes_bytes_both_ways),
        STREAM_TEST(half_closes_both_ways),
        STREAM_TEST(tells_of_an_early_end),
        STREAM_TEST(holds_both_ways),
        STREAM_TEST(tells_when_the_client_goes),
        STREAM_TEST(cuts_tunnels),
        STREAM_TEST(writes_all_before_it_ends),
        STREAM_TEST(refuses_what_cannot_become_one),
        STREAM_TEST(does_not_follow_a_broken_body),
        STREAM_TEST(follows_a_body_that_was_read),
        STREAM_TEST(outlives_draining_until_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
