/* The back-end client's exchanges: how requests are written, how answers are read, streams, pauses, fetches.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/upstream_world.h"

static void frames_requests(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *method, *body, *wire;
    } rows[] = {
        {"GET", "", "GET /t HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n"},
        {"DELETE", "", "DELETE /t HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n"},
        {"POST", "", "POST /t HTTP/1.1\r\nHost: h\r\nX: 1\r\nContent-Length: 0\r\n\r\n"},
        {"PUT", "", "PUT /t HTTP/1.1\r\nHost: h\r\nX: 1\r\nContent-Length: 0\r\n\r\n"},
        {"PATCH", "", "PATCH /t HTTP/1.1\r\nHost: h\r\nX: 1\r\nContent-Length: 0\r\n\r\n"},
        {"POST", "a\r\n\r\n", "POST /t HTTP/1.1\r\nHost: h\r\nX: 1\r\nContent-Length: 5\r\n\r\na\r\n\r\n"},
        {"GET", "\r\n\r\n", "GET /t HTTP/1.1\r\nHost: h\r\nX: 1\r\nContent-Length: 4\r\n\r\n\r\n\r\n"},
    };
    struct tg_header fields[] = {
        {TG_LIT("Host"), TG_LIT("h")},        {TG_LIT("content-length"), TG_LIT("99")},
        {TG_LIT("Connection"), TG_LIT("X")},  {TG_LIT("Transfer-Encoding"), TG_LIT("gzip")},
        {TG_LIT("X"), TG_LIT("1")},           {TG_LIT("Expect"), TG_LIT("100-continue")},
        {TG_LIT("Upgrade"), TG_LIT("other")}, {TG_LIT("TE"), TG_LIT("trailers")},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_call_request request = a_request(rows[i].method);
        struct record record;
        request.headers = (struct tg_headers){fields, COUNT(fields), COUNT(fields)};
        request.body = tg_slice_cstr(rows[i].body);
        start_call(world, &record, &request);
        struct peer *peer = &world->peers[0];
        RUN_UNTIL(world, world->peer_count > 0 && tg_buf_size(&peer->in) >= strlen(rows[i].wire));
        assert_text(tg_buf_slice(&peer->in), rows[i].wire);
        tg_buf_clear(&peer->in);
        peer_send(peer, "HTTP/1.1 204 No Content\r\n\r\n");
        RUN_UNTIL(world, record.ends > 0);
        assert_ended(&record, TG_OK);
        record_free(&record);
    }
    assert_int_equal(world->peer_count, 1);
}

static void refuses_what_cannot_be_written(void **state)
{
    struct world *world = *state;
    struct record record = {0};
    struct tg_call_request request = a_request("GE T");
    assert_int_equal(tg_upstream_call(world->upstream, &request, &record_events, &record, &record.call),
                     TG_EINVAL);
    request = a_request("GET");
    request.target = TG_LIT("/a b");
    assert_int_equal(tg_upstream_call(world->upstream, &request, &record_events, &record, &record.call),
                     TG_EINVAL);
    request = a_request("GET");
    request.origin.host = TG_EMPTY;
    assert_int_equal(tg_upstream_call(world->upstream, &request, &record_events, &record, &record.call),
                     TG_EINVAL);
    struct tg_header field = {TG_LIT("Host"), TG_LIT("a\r\nX: 1")};
    request = a_request("GET");
    request.headers = (struct tg_headers){&field, 1, 1};
    assert_int_equal(tg_upstream_call(world->upstream, &request, &record_events, &record, &record.call),
                     TG_EINVAL);
    assert_null(record.call);
    assert_int_equal(world_stats(world).connections, 0);
}

struct answer {
    const char *bytes;
    bool closes; /* after the bytes */
    const char *method;
    int status; /* 0: on_head is not called */
    const char *body;
    enum tg_err err;
    bool kept;
};

/* Plays one answer, its bytes one by one or all at once. */
static void play(struct world *world, const struct answer *row, bool in_pieces)
{
    struct tg_call_request request = a_request(row->method);
    struct record record;
    size_t number = world->peer_count;
    start_call(world, &record, &request);
    struct peer *peer = run_until_asked(world, number);
    for (const char *at = row->bytes; in_pieces && *at != '\0' && peer->fd >= 0; at++) {
        (void)peer_send_some(peer, tg_slice_make(at, 1));
        world_spin(world, 1);
    }
    if (!in_pieces) {
        peer_send(peer, row->bytes);
    }
    if (row->closes) {
        peer_close(peer);
    }
    RUN_UNTIL(world, record.ends > 0);
    if (record.err != row->err) {
        print_message("%s\n", row->bytes);
    }
    assert_ended(&record, row->err);
    assert_int_equal(record.status, row->status);
    assert_int_equal(record.heads, row->status != 0);
    assert_text(tg_buf_slice(&record.body), row->body);
    assert_int_equal(world_stats(world).idle, row->kept);
    record_free(&record);
    peer_close(peer);
    RUN_UNTIL(world, world_stats(world).connections == 0);
}

static void play_all(struct world *world, const struct answer *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        play(world, &rows[i], false);
        play(world, &rows[i], true);
    }
}

static void reads_answers(void **state)
{
    static const struct answer rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, "GET", 200, "hello", TG_OK, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "GET", 200, "", TG_OK, true},
        {"HTTP/1.1 500 Oops\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", false, "GET", 500, "x",
         TG_OK, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: 1\r\n\r\n",
         false, "GET", 200, "abcde", TG_OK, true},
        {"HTTP/1.1 200 OK\r\n\r\nuntil close", true, "GET", 200, "until close", TG_OK, false},
        {"HTTP/1.0 200 OK\r\n\r\n", true, "GET", 200, "", TG_OK, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "GET", 200, "ok", TG_OK, false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", false, "GET", 200, "ok",
         TG_OK, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, "HEAD", 200, "", TG_OK, true},
        {"HTTP/1.1 204 No Content\r\n\r\n", false, "GET", 204, "", TG_OK, true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, "GET", 304, "", TG_OK, true},
    };
    play_all(*state, rows, COUNT(rows));
}

static void skips_interim_answers(void **state)
{
    static const struct answer rows[] = {
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
         false, "GET", 200, "ok", TG_OK, true},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false, "GET", 0, "", TG_EPROTO, false},
    };
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    play_all(world, rows, COUNT(rows));
    start_call(world, &record, &request);
    struct peer *peer = run_until_asked(world, world->peer_count);
    for (int i = 0; i < 20; i++) {
        peer_send(peer, "HTTP/1.1 102 Processing\r\n\r\n");
    }
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_EPROTO);
    record_free(&record);
}

static void refuses_broken_answers(void **state)
{
    static const struct answer rows[] = {
        {"garbage", false, "GET", 0, "", TG_EPROTO, false},
        {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", false, "GET", 0, "", TG_EPROTO, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false, "GET", 0, "",
         TG_EPROTO, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx", false, "GET", 200, "a",
         TG_EPROTO, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", true, "GET", 200, "hell", TG_ECLOSED, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", true, "GET", 200, "a", TG_ECLOSED,
         false},
        {"HTTP/1.1 200 OK\r\nContent-Le", true, "GET", 0, "", TG_ECLOSED, false},
        {"", true, "GET", 0, "", TG_ECLOSED, false},
    };
    struct world *world = *state;
    play_all(world, rows, COUNT(rows));
    /* A head above the limit. */
    static char text[6000];
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "HTTP/1.1 200 OK\r\nX: ", 20);
    const struct answer large = {text, false, "GET", 0, "", TG_EPROTO, false};
    play(world, &large, false);
}

static void delivers_an_answer_before_the_request_is_out(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    size_t size = 32u << 20;
    char *body = malloc(size);
    assert_non_null(body);
    memset(body, 'b', size);
    world->new_peers_are_deaf = true;
    request.body = tg_slice_make(body, size);
    start_call(world, &record, &request);
    RUN_UNTIL(world, world->peer_count > 0);
    peer_send(&world->peers[0], "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(record.status, 413);
    assert_text(tg_buf_slice(&record.body), "no");
    assert_int_equal(world_stats(world).connections, 0);
    record_free(&record);
    /* The same when the peer has closed behind the answer, and writing has failed before it was read. */
    start_call(world, &record, &request);
    RUN_UNTIL(world, world->peer_count > 1);
    peer_send(&world->peers[1], "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert_int_equal(shutdown(world->peers[1].fd, SHUT_RDWR), 0);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(record.status, 413);
    record_free(&record);
    free(body);
}

static void sends_large_bodies_whole(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    size_t size = 8u << 20;
    char *body = malloc(size);
    assert_non_null(body);
    for (size_t i = 0; i < size; i++) {
        body[i] = (char)(i * 7 + i / 256);
    }
    request.body = tg_slice_make(body, size);
    start_call(world, &record, &request);
    struct peer *peer = &world->peers[0];
    struct tg_slice head = TG_LIT("POST /t HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n");
    RUN_UNTIL(world, world->peer_count > 0 && tg_buf_size(&peer->in) >= head.len + size);
    assert_true(tg_slice_starts(tg_buf_slice(&peer->in), head));
    assert_true(tg_slice_eq(tg_slice_from(tg_buf_slice(&peer->in), head.len), request.body));
    tg_buf_clear(&peer->in);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    record_free(&record);
    free(body);
    exchange(world, 0);
}

static void streams_chunked_bodies(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    request.stream_body = true;
    start_call(world, &record, &request);
    assert_int_equal(tg_call_send(record.call, TG_LIT("early")), TG_OK);
    assert_int_equal(tg_call_send(record.call, TG_EMPTY), TG_OK);
    struct peer *peer = &world->peers[0];
    RUN_UNTIL(world, world->peer_count > 0 && tg_slice_ends(tg_buf_slice(&peer->in), TG_LIT("early\r\n")));
    assert_int_equal(tg_call_send(record.call, TG_LIT("0123456789abcdef")), TG_OK);
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    assert_int_equal(tg_call_finish(record.call), TG_EINVAL);
    assert_int_equal(tg_call_send(record.call, TG_LIT("x")), TG_EINVAL);
    run_until_asked(world, 0);
    assert_text(tg_buf_slice(&peer->in), "POST /t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                                         "5\r\nearly\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
    tg_buf_clear(&peer->in);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    record_free(&record);
    exchange(world, 0);
}

static void streams_bodies_of_known_length(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    request.stream_body = true;
    request.body_length = 8;
    start_call(world, &record, &request);
    assert_int_equal(tg_call_send(record.call, TG_LIT("1234")), TG_OK);
    assert_int_equal(tg_call_finish(record.call), TG_EINVAL);
    assert_int_equal(tg_call_send(record.call, TG_LIT("56789")), TG_ELIMIT);
    assert_int_equal(tg_call_send(record.call, TG_LIT("\r\n\r\n")), TG_OK);
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    struct peer *peer = &world->peers[0];
    const char *wire = "POST /t HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n1234\r\n\r\n";
    RUN_UNTIL(world, world->peer_count > 0 && tg_buf_size(&peer->in) == strlen(wire));
    assert_text(tg_buf_slice(&peer->in), wire);
    tg_buf_clear(&peer->in);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    RUN_UNTIL(world, record.ends > 0);
    record_free(&record);
    exchange(world, 0);
}

static void tells_when_a_stream_has_room(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    static char piece[50000];
    size_t sent = 0;
    memset(piece, 'p', sizeof piece);
    world->new_peers_are_deaf = true;
    request.stream_body = true;
    start_call(world, &record, &request);
    /* Before the connection stands, and while the peer does not read: bounded either way. */
    for (int round = 0; round < 2; round++) {
        enum tg_err err;
        while ((err = tg_call_send(record.call, tg_slice_make(piece, sizeof piece))) == TG_OK) {
            sent += sizeof piece;
            world_spin(world, round);
            assert_true(sent < 64u << 20);
        }
        assert_int_equal(err, TG_EAGAIN);
        assert_int_equal(record.drains, 0);
        if (round == 0) {
            assert_int_equal(sent, sizeof piece);
            RUN_UNTIL(world, record.drains > 0);
            record.drains = 0;
        }
    }
    struct peer *peer = &world->peers[0];
    tg_poll_want(peer->poll, true, false);
    RUN_UNTIL(world, record.drains > 0);
    assert_int_equal(record.drains, 1);
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    run_until_asked(world, 0);
    assert_true(tg_buf_size(&peer->in) > sent);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(world_stats(world).idle, 1);
    record_free(&record);
}

static void ends_a_stream_that_is_answered_early(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    request.stream_body = true;
    start_call(world, &record, &request);
    peer_send(run_until_asked(world, 0), "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(world_stats(world).connections, 0);
    record_free(&record);
}

static void pauses(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    static char piece[100000];
    memset(piece, 'p', sizeof piece);
    start_call(world, &record, &request);
    record.pause_in_body = true;
    struct peer *peer = run_until_asked(world, 0);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\nfirst");
    RUN_UNTIL(world, tg_buf_size(&record.body) == 5);
    /* The peer is stopped by it, well before all is sent. */
    size_t sent = 5;
    size_t put;
    while ((put = peer_send_some(peer, tg_slice_make(piece, sizeof piece))) > 0) {
        sent += put;
        world_spin(world, 1);
        assert_true(sent < 64000000);
    }
    assert_int_equal(tg_buf_size(&record.body), 5);
    record.pause_in_body = false;
    tg_call_pause(record.call, false);
    assert_int_equal(tg_buf_size(&record.body), 5);
    while (sent < 64000000) {
        size_t left = 64000000 - sent;
        sent += peer_send_some(peer, tg_slice_make(piece, left < sizeof piece ? left : sizeof piece));
        world_spin(world, 1);
    }
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(tg_buf_size(&record.body), 64000000);
    assert_int_equal(world_stats(world).idle, 1);
    record_free(&record);
}

/* Several pieces that came in one read are handed out one for each time the pause ends. */
static void holds_back_what_it_has_read(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    start_call(world, &record, &request);
    record.pause_in_head = true;
    record.pause_in_body = true;
    tg_call_pause(record.call, true);
    peer_send(run_until_asked(world, 0),
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n");
    RUN_UNTIL(world, record.heads > 0);
    world_spin(world, 3);
    for (size_t i = 0; i <= 3; i++) {
        assert_int_equal(tg_buf_size(&record.body), i);
        assert_int_equal(record.ends, 0);
        tg_call_pause(record.call, false);
        tg_call_pause(record.call, true);
        world_spin(world, 3);
        assert_int_equal(tg_buf_size(&record.body), i);
        tg_call_pause(record.call, false);
        world_spin(world, 3);
    }
    assert_ended(&record, TG_OK);
    assert_text(tg_buf_slice(&record.body), "abc");
    assert_int_equal(world_stats(world).idle, 1);
    record_free(&record);
}

static void cancels_while_paused(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    start_call(world, &record, &request);
    record.pause_in_head = true;
    struct peer *peer = run_until_asked(world, 0);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    RUN_UNTIL(world, record.heads > 0);
    tg_call_pause(record.call, false);
    record_free(&record);
    RUN_UNTIL(world, peer->ended);
    assert_int_equal(record.ends, 0);
    assert_int_equal(world_stats(world).connections, 0);
}

struct fetched {
    int ends;
    enum tg_err err;
    const struct tg_call_response *response;
};

static void fetched_end(void *arg, enum tg_err err, const struct tg_call_response *response)
{
    struct fetched *fetched = arg;
    fetched->ends++;
    fetched->err = err;
    fetched->response = response;
}

static void fetches(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *bytes;
        bool closes;
        const char *body; /* NULL: over the limit */
    } rows[] = {
        {"HTTP/1.1 201 Created\r\nX-A: 1\r\nContent-Length: 10\r\n\r\n0123456789", false, "0123456789"},
        {"HTTP/1.1 201 Created\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n", false, ""},
        {"HTTP/1.1 201 Created\r\nX-A: 1\r\nTransfer-Encoding: "
         "chunked\r\n\r\n4\r\n0123\r\n5\r\n45678\r\n1\r\n9\r\n0\r\n\r\n",
         false, "0123456789"},
        {"HTTP/1.1 201 Created\r\nX-A: 1\r\n\r\n0123456789", true, "0123456789"},
        {"HTTP/1.1 201 Created\r\nX-A: 1\r\nContent-Length: 11\r\n\r\n", false, NULL},
        {"HTTP/1.1 201 Created\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n7\r\n456789a",
         false, NULL},
        {"HTTP/1.1 201 Created\r\nX-A: 1\r\n\r\n0123456789a", true, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_call_request request = a_request("GET");
        struct fetched fetched = {0};
        struct tg_call *call = NULL;
        struct tg_arena arena;
        size_t number = world->peer_count;
        tg_arena_init(&arena, NULL);
        request.max_body = 10;
        bool fits = rows[i].body != NULL;
        assert_int_equal(tg_upstream_fetch(world->upstream, &request, &arena, fetched_end, &fetched, &call),
                         TG_OK);
        struct peer *peer = run_until_asked(world, number);
        peer_send(peer, rows[i].bytes);
        if (rows[i].closes) {
            peer_close(peer);
        }
        RUN_UNTIL(world, fetched.ends > 0);
        assert_int_equal(fetched.err, fits ? TG_OK : TG_ELIMIT);
        if (fits) {
            assert_int_equal(fetched.response->status, 201);
            assert_text(tg_headers_first(&fetched.response->headers, TG_LIT("x-a"))->value, "1");
            assert_text(fetched.response->body, rows[i].body);
        } else {
            assert_null(fetched.response);
        }
        peer_close(peer);
        RUN_UNTIL(world, world_stats(world).connections == 0);
        tg_arena_reset(&arena);
    }
}

static void cancels_fetches(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct fetched fetched = {0};
    struct tg_call *call = NULL;
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    request.max_body = 10;
    assert_int_equal(tg_upstream_fetch(world->upstream, &request, &arena, fetched_end, &fetched, &call),
                     TG_OK);
    struct peer *peer = run_until_asked(world, 0);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
    world_spin(world, 3);
    tg_call_cancel(call);
    tg_arena_reset(&arena);
    RUN_UNTIL(world, peer->ended);
    assert_int_equal(fetched.ends, 0);
}

#define UPSTREAM_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPSTREAM_TEST(frames_requests),
        UPSTREAM_TEST(refuses_what_cannot_be_written),
        UPSTREAM_TEST(reads_answers),
        UPSTREAM_TEST(skips_interim_answers),
        UPSTREAM_TEST(refuses_broken_answers),
        UPSTREAM_TEST(delivers_an_answer_before_the_request_is_out),
        UPSTREAM_TEST(sends_large_bodies_whole),
        UPSTREAM_TEST(streams_chunked_bodies),
        UPSTREAM_TEST(streams_bodies_of_known_length),
        UPSTREAM_TEST(tells_when_a_stream_has_room),
        UPSTREAM_TEST(ends_a_stream_that_is_answered_early),
        UPSTREAM_TEST(pauses),
        UPSTREAM_TEST(holds_back_what_it_has_read),
        UPSTREAM_TEST(cancels_while_paused),
        UPSTREAM_TEST(fetches),
        UPSTREAM_TEST(cancels_fetches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
