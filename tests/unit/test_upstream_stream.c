/* The back-end client as a proxy needs it: time-outs of head and body, answers that come early, the framing
 * of answers, tunnels, few writes and bounded memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <sys/syscall.h>

#include "server/io/upstream_private.h"
#include "tests/unit/upstream_world.h"

static size_t sends; /* calls of send(2), the test's own included */

/* In the place of the system's: with sanitizers the gateway calls the one, else the other (sock.h). */
ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    sends++;
    return sendto(fd, bytes, len, flags, NULL, 0);
}

long syscall(long number, ...)
{
    static long (*next)(long number, ...);
    long words[6];
    va_list args;
    va_start(args, number);
    for (size_t i = 0; i < 6; i++) {
        words[i] = va_arg(args, long); /* NOLINT(clang-analyzer-valist.Uninitialized): as libc's own does */
    }
    va_end(args);
    if (next == NULL) {
        void *found = dlsym(RTLD_NEXT, "syscall");
        memcpy(&next, &found, sizeof next);
    }
    sends += number == SYS_sendto;
    return next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

/* By the clock that time-outs go by. */
static uint64_t now_ms(const struct world *world)
{
    return tg_loop_now_ms(world->loop);
}

static void run_for(struct world *world, uint64_t ms)
{
    uint64_t end = now_ms(world) + ms;
    while (now_ms(world) < end) {
        world_spin(world, 1);
    }
}

/* --- time --- */

static void keeps_the_time_of_the_head(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    request.head_timeout_ms = 30;
    start_call(world, &record, &request);
    /* Interim answers and half a head are none. */
    peer_send(run_until_asked(world, 0), "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-");
    uint64_t asked = now_ms(world);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ETIMEOUT);
    assert_true(now_ms(world) - asked < 2000);
    assert_int_equal(record.heads, 0);
    assert_int_equal(world_stats(world).timeouts, 1);
    assert_int_equal(world_stats(world).connections, 0);
    record_free(&record);
    /* It ends with the head; and waiting for a connection counts. */
    world->options.max_connections = 1;
    tg_upstream_configure(world->upstream, &world->options);
    start_call(world, &record, &request);
    struct record waiting;
    start_call(world, &waiting, &request);
    peer_send(run_until_asked(world, 1), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    RUN_UNTIL(world, waiting.ends > 0);
    assert_ended(&waiting, TG_ETIMEOUT);
    assert_int_equal(record.heads, 1);
    run_for(world, 60);
    assert_int_equal(record.ends, 0);
    peer_send(&world->peers[1], "k");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    record_free(&record);
    record_free(&waiting);
}

static void leaves_slow_senders_their_time(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    request.stream_body = true;
    request.head_timeout_ms = 60;
    start_call(world, &record, &request);
    struct peer *peer = run_until_asked(world, 0);
    uint64_t started = now_ms(world);
    for (int i = 0; i < 4; i++) {
        run_for(world, 90);
        assert_int_equal(record.ends, 0);
        assert_int_equal(tg_call_send(record.call, TG_LIT("x")), TG_OK);
    }
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    uint64_t finished = now_ms(world);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ETIMEOUT);
    assert_true(now_ms(world) - finished >= 60 && finished - started >= 360);
    assert_true(tg_slice_ends(tg_buf_slice(&peer->in), TG_LIT("1\r\nx\r\n0\r\n\r\n")));
    record_free(&record);
    /* A back end that takes nothing of what waits is late, whoever sends. */
    world->new_peers_are_deaf = true;
    static char piece[65536];
    start_call(world, &record, &request);
    while (record.ends == 0) {
        enum tg_err err = tg_call_send(record.call, tg_slice_make(piece, sizeof piece));
        assert_true(err == TG_OK || err == TG_EAGAIN);
        assert_false(world->expired);
        world_spin(world, 1);
    }
    assert_ended(&record, TG_ETIMEOUT);
    record_free(&record);
}

static void keeps_the_time_of_silence(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    request.head_timeout_ms = 10000;
    request.idle_timeout_ms = 400;
    start_call(world, &record, &request);
    struct peer *peer = run_until_asked(world, 0);
    run_for(world, 450);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    for (int i = 0; i < 4; i++) {
        RUN_UNTIL(world, record.heads > 0 && tg_buf_size(&record.body) == (size_t)i);
        run_for(world, 150);
        peer_send(peer, "x");
    }
    RUN_UNTIL(world, tg_buf_size(&record.body) == 4);
    /* A pause is not the back end's silence; its end starts anew. */
    tg_call_pause(record.call, true);
    run_for(world, 450);
    assert_int_equal(record.ends, 0);
    uint64_t resumed = now_ms(world);
    tg_call_pause(record.call, false);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ETIMEOUT);
    assert_true(now_ms(world) - resumed >= 400);
    assert_int_equal(record.heads, 1);
    record_free(&record);
}

/* --- early answers --- */

static void goes_on_sending_behind_an_early_head(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record record;
    request.stream_body = true;
    start_call(world, &record, &request);
    struct peer *peer = run_until_asked(world, 0);
    peer_send(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    RUN_UNTIL(world, record.heads > 0);
    assert_int_equal(record.length, -1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tg_call_send(record.call, TG_LIT("ping")), TG_OK);
        RUN_UNTIL(world, tg_slice_ends(tg_buf_slice(&peer->in), TG_LIT("4\r\nping\r\n")));
        tg_buf_clear(&peer->in);
        peer_send(peer, "4\r\npong\r\n");
        RUN_UNTIL(world, tg_buf_size(&record.body) == 4 * (size_t)(i + 1));
    }
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    RUN_UNTIL(world, tg_slice_ends(tg_buf_slice(&peer->in), TG_LIT("0\r\n\r\n")));
    peer_send(peer, "0\r\n\r\n");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(world_stats(world).idle, 1); /* both sides have said all */
    record_free(&record);
}

/* The back end answers, stops reading and resets: the answer is read before that is told, and what is sent
 * meanwhile is dropped. */
static void reads_the_answer_behind_a_broken_write(void **state)
{
    static const struct {
        const char *bytes, *body;
        enum tg_err err;
    } rows[] = {
        {"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", "no", TG_OK},
        {"HTTP/1.1 413 Too Large\r\n\r\nno", "no", TG_ECLOSED},
        {"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno", "no", TG_ECLOSED},
    };
    struct world *world = *state;
    static char piece[60000];
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_call_request request = a_request("POST");
        struct record record;
        request.stream_body = true;
        start_call(world, &record, &request);
        struct peer *peer = run_until_asked(world, i);
        tg_poll_want(peer->poll, false, false);
        assert_int_equal(tg_call_send(record.call, tg_slice_make(piece, sizeof piece)), TG_OK);
        peer_send(peer, rows[i].bytes);
        /* Unread bytes make a reset of the close. */
        peer_close(peer);
        while (record.ends == 0) {
            assert_int_equal(tg_call_send(record.call, tg_slice_make(piece, sizeof piece)), TG_OK);
            if (record.heads > 0) {
                RUN_UNTIL(world, record.ends > 0);
            }
            world_spin(world, 1);
        }
        assert_int_equal(record.status, 413);
        assert_text(tg_buf_slice(&record.body), rows[i].body);
        assert_ended(&record, rows[i].err);
        assert_int_equal(world_stats(world).connections, 0);
        record_free(&record);
    }
}

/* Its buffer is full while it waits in the queue; the connection that it gets takes all at once. */
static void tells_of_room_behind_the_queue(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("POST");
    struct record first, second;
    static char piece[40000];
    world->options.max_connections = 1;
    tg_upstream_configure(world->upstream, &world->options);
    start_call(world, &first, &request);
    request.stream_body = true;
    start_call(world, &second, &request);
    assert_int_equal(tg_call_send(second.call, tg_slice_make(piece, sizeof piece)), TG_OK);
    assert_int_equal(tg_call_send(second.call, tg_slice_make(piece, sizeof piece)), TG_EAGAIN);
    peer_send(run_until_asked(world, 0), "HTTP/1.1 204 No Content\r\n\r\n");
    RUN_UNTIL(world, second.drains > 0);
    assert_int_equal(tg_call_send(second.call, tg_slice_make(piece, sizeof piece)), TG_OK);
    record_free(&first);
    record_free(&second);
}

/* --- framing --- */

static void tells_the_length_of_answers(void **state)
{
    static const struct {
        const char *method, *bytes;
        int64_t length;
    } rows[] = {
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 3},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", -1},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n", 5000000000},
        {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -1},
        {"HEAD", "HTTP/1.1 200 OK\r\n\r\n", -1},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 0},
        {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", 0},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 7},
        {"GET", "HTTP/1.1 304 Not Modified\r\n\r\n", -1},
        {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 1},
    };
    struct world *world = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_call_request request = a_request(rows[i].method);
        struct record record;
        start_call(world, &record, &request);
        struct peer *peer = run_until_asked(world, 0);
        tg_buf_clear(&peer->in);
        peer_send(peer, rows[i].bytes);
        RUN_UNTIL(world, record.ends > 0);
        assert_ended(&record, TG_OK);
        assert_int_equal(record.length, rows[i].length);
        record_free(&record);
    }
    assert_int_equal(world->peer_count, 1);
}

static void tells_a_cut_from_an_end(void **state)
{
    struct world *world = *state;
    for (size_t reset = 0; reset < 2; reset++) {
        struct tg_call_request request = a_request("GET");
        struct record record;
        start_call(world, &record, &request);
        struct peer *peer = run_until_asked(world, reset);
        peer_send(peer, "HTTP/1.1 200 OK\r\n\r\nuntil");
        RUN_UNTIL(world, tg_buf_size(&record.body) == 5);
        assert_int_equal(record.length, -1);
        if (reset == 1) {
            peer_reset(peer);
        } else {
            peer_close(peer);
        }
        RUN_UNTIL(world, record.ends > 0);
        assert_ended(&record, reset == 1 ? TG_ECLOSED : TG_OK);
        record_free(&record);
    }
}

/* --- tunnels --- */

static struct tg_call_request an_upgrade(void)
{
    static struct tg_header fields[] = {{TG_LIT_INIT("Host"), TG_LIT_INIT("h")},
                                        {TG_LIT_INIT("Connection"), TG_LIT_INIT("keep-alive, Upgrade")},
                                        {TG_LIT_INIT("Upgrade"), TG_LIT_INIT("websocket")}};
    struct tg_call_request request = a_request("GET");
    request.headers = (struct tg_headers){fields, 3, 3};
    request.upgrade = true;
    return request;
}

static void refuses_upgrades_that_make_no_sense(void **state)
{
    struct world *world = *state;
    struct record record = {0};
    struct tg_call_request request = a_request("GET");
    request.upgrade = true;
    assert_int_equal(tg_upstream_call(world->upstream, &request, &record_events, &record, &record.call),
                     TG_EINVAL);
    request = an_upgrade();
    request.stream_body = true;
    assert_int_equal(tg_upstream_call(world->upstream, &request, &record_events, &record, &record.call),
                     TG_EINVAL);
}

static struct peer *open_tunnel(struct world *world, struct record *record, size_t number,
                                const struct tg_call_request *request)
{
    start_call(world, record, request);
    assert_int_equal(tg_call_send(record->call, TG_LIT("x")), TG_EINVAL);
    assert_int_equal(tg_call_finish(record->call), TG_EINVAL);
    struct peer *peer = run_until_asked(world, number);
    assert_text(tg_buf_slice(&peer->in),
                "GET /t HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    tg_buf_clear(&peer->in);
    peer_send(peer,
              "HTTP/1.1 102 Processing\r\n\r\n"
              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly");
    RUN_UNTIL(world, tg_buf_size(&record->body) == 5);
    assert_int_equal(record->status, 101);
    assert_int_equal(record->length, -1);
    tg_buf_clear(&record->body);
    return peer;
}

static void tunnels(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = an_upgrade();
    struct record record;
    request.timeout_ms = 150;
    request.head_timeout_ms = 150;
    struct peer *peer = open_tunnel(world, &record, 0, &request);
    assert_int_equal(tg_call_send(record.call, TG_LIT("raw\r\n")), TG_OK);
    assert_int_equal(tg_call_send(record.call, TG_LIT("bytes")), TG_OK);
    RUN_UNTIL(world, tg_buf_size(&peer->in) == 10);
    assert_text(tg_buf_slice(&peer->in), "raw\r\nbytes");
    run_for(world, 200);
    assert_int_equal(record.ends, 0);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    RUN_UNTIL(world, tg_buf_size(&record.body) == 38);
    /* Half closed, the other direction goes on. */
    assert_int_equal(tg_call_send(record.call, TG_LIT("last")), TG_OK);
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    assert_int_equal(tg_call_send(record.call, TG_LIT("x")), TG_EINVAL);
    char got[16];
    RUN_UNTIL(world, tg_buf_size(&peer->in) == 14);
    tg_poll_want(peer->poll, false, false);
    assert_int_equal(recv(peer->fd, got, sizeof got, 0), 0);
    tg_buf_clear(&record.body);
    peer_send(peer, "more");
    RUN_UNTIL(world, tg_buf_size(&record.body) == 4);
    assert_int_equal(record.ends, 0);
    peer_close(peer);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(world_stats(world).connections, 0);
    record_free(&record);
}

static void tunnels_end_with_their_back_end(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = an_upgrade();
    struct record record;
    struct peer *peer = open_tunnel(world, &record, 0, &request);
    peer_reset(peer);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ECLOSED);
    record_free(&record);
    /* Silence in both directions; what we send breaks it. */
    request.idle_timeout_ms = 400;
    (void)open_tunnel(world, &record, 1, &request);
    for (int i = 0; i < 4; i++) {
        run_for(world, 150);
        assert_int_equal(tg_call_send(record.call, TG_LIT("x")), TG_OK);
    }
    assert_int_equal(record.ends, 0);
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_ETIMEOUT);
    record_free(&record);
    /* Cancelled. */
    peer = open_tunnel(world, &record, 2, &request);
    record_free(&record);
    RUN_UNTIL(world, peer->ended);
    assert_int_equal(record.ends, 0);
}

static void tunnels_press_back(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = an_upgrade();
    struct record record;
    static char piece[50000];
    struct peer *peer = open_tunnel(world, &record, 0, &request);
    tg_poll_want(peer->poll, false, false);
    size_t sent = 0;
    enum tg_err err;
    while ((err = tg_call_send(record.call, tg_slice_make(piece, sizeof piece))) == TG_OK) {
        sent += sizeof piece;
        assert_true(sent < 64u << 20);
    }
    assert_int_equal(err, TG_EAGAIN);
    /* The half-close goes behind what waits. */
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    tg_poll_want(peer->poll, true, false);
    RUN_UNTIL(world, peer->ended);
    assert_int_equal(tg_buf_size(&peer->in), sent);
    record_free(&record);
}

static void takes_other_answers_to_an_upgrade(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = an_upgrade();
    struct record record;
    start_call(world, &record, &request);
    struct peer *peer = run_until_asked(world, 0);
    tg_buf_clear(&peer->in);
    peer_send(peer, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(record.status, 403);
    assert_text(tg_buf_slice(&record.body), "no");
    record_free(&record);
    exchange(world, 0); /* the connection is as good as before */
}

/* --- cost --- */

struct front_door {
    struct tg_task task;
    struct record *record;
    struct tg_slice bytes;
    bool done;
};

static void hand_over(struct tg_task *task)
{
    struct front_door *door = TG_CONTAINER(task, struct front_door, task);
    assert_int_equal(tg_call_send(door->record->call, door->bytes), TG_OK);
    door->done = true;
}

static void sends_head_and_first_bytes_at_once(void **state)
{
    static const char *const wires[] = {
        "POST /t HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nab\r\n\r\n",
        "POST /t HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nab\r\n\r\n",
        "POST /t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    };
    struct world *world = *state;
    exchange(world, 0);
    for (size_t i = 0; i < COUNT(wires); i++) {
        struct tg_call_request request = a_request("POST");
        struct record record;
        request.body = TG_LIT("ab\r\n\r\n");
        request.stream_body = i > 0;
        request.body_length = i == 1 ? 6 : -1;
        size_t before = sends;
        start_call(world, &record, &request);
        if (i > 0) {
            /* As it comes when the front door hands over what it has read with the head: by a task that is
             * behind the call's own. */
            struct front_door door = {.record = &record, .bytes = i == 1 ? request.body : TG_LIT("ab")};
            tg_task_init(&door.task, hand_over);
            tg_task_defer(world->loop, &door.task);
            RUN_UNTIL(world, door.done);
            size_t put = sends - before;
            assert_int_equal(put, 1);
            assert_int_equal(tg_call_finish(record.call), TG_OK);
            before += i == 2; /* the last chunk */
        }
        struct peer *peer = run_until_asked(world, 0);
        assert_int_equal(sends - before, 1);
        assert_text(tg_buf_slice(&peer->in), wires[i]);
        tg_buf_clear(&peer->in);
        peer_send(peer, "HTTP/1.1 204 No Content\r\n\r\n");
        RUN_UNTIL(world, record.ends > 0);
        record_free(&record);
    }
    assert_int_equal(world->peer_count, 1);
}

/* A reader that takes 64 KiB at a time of an answer of 1 GiB: what is held for it stays at one read's worth,
 * and the back end waits. */
static void holds_little_of_a_large_answer(void **state)
{
    struct world *world = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    static char piece[1 << 20];
    const uint64_t size = UINT64_C(1) << 30;
    uint64_t sent = 0, taken = 0;
    size_t most = 0, stalls = 0;
    start_call(world, &record, &request);
    struct peer *peer = run_until_asked(world, 0);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
    record.pause_in_body = true;
    while (record.ends == 0) {
        assert_false(world->expired);
        while (sent < size) {
            uint64_t left = size - sent;
            size_t put =
                peer_send_some(peer, tg_slice_make(piece, left < sizeof piece ? (size_t)left : sizeof piece));
            sent += put;
            if (put == 0) {
                stalls++;
                break;
            }
        }
        world_spin(world, 1);
        taken += tg_buf_size(&record.body);
        tg_buf_clear(&record.body);
        if (record.call != NULL) {
            const struct tg_call *call = record.call;
            most = call->conn->in.cap > most ? call->conn->in.cap : most;
            tg_call_pause(record.call, false);
        }
    }
    assert_ended(&record, TG_OK);
    assert_int_equal(taken, size);
    assert_true(stalls > 10);
    assert_true(most <= TG_UPSTREAM_READ_SIZE);
    record_free(&record);
}

#define UPSTREAM_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPSTREAM_TEST(keeps_the_time_of_the_head),
        UPSTREAM_TEST(leaves_slow_senders_their_time),
        UPSTREAM_TEST(keeps_the_time_of_silence),
        UPSTREAM_TEST(goes_on_sending_behind_an_early_head),
        UPSTREAM_TEST(reads_the_answer_behind_a_broken_write),
        UPSTREAM_TEST(tells_of_room_behind_the_queue),
        UPSTREAM_TEST(tells_the_length_of_answers),
        UPSTREAM_TEST(tells_a_cut_from_an_end),
        UPSTREAM_TEST(refuses_upgrades_that_make_no_sense),
        UPSTREAM_TEST(tunnels),
        UPSTREAM_TEST(tunnels_end_with_their_back_end),
        UPSTREAM_TEST(tunnels_press_back),
        UPSTREAM_TEST(takes_other_answers_to_an_upgrade),
        UPSTREAM_TEST(sends_head_and_first_bytes_at_once),
        UPSTREAM_TEST(holds_little_of_a_large_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
