/* The WebSocket engine: how connections end, and what a slow reader does to that. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/ws_world.h"

/* ---- the closing handshake ---- */

struct echo {
    struct tg_slice sent;
    int code; /* on the wire and in on_closed */
    const char *reason;
    bool by_peer;
};

static const struct echo echoes[] = {
    {TG_LIT_INIT(""), 1005, "", true},
    {TG_LIT_INIT("\x03\xe8"), 1000, "", true},
    {TG_LIT_INIT("\x03\xe9going"), 1001, "going", true},
    {TG_LIT_INIT("\x03\xf3oops"), 1011, "oops", true},
    {TG_LIT_INIT("\x0b\xb8"), 3000, "", true},
    {TG_LIT_INIT("\x13\x87my own"), 4999, "my own", true},
    {TG_LIT_INIT("\x03"), 1002, "", false},        /* half a code */
    {TG_LIT_INIT("\x13\x88"), 1002, "", false},    /* 5000 */
    {TG_LIT_INIT("\x03\xe8\xff"), 1007, "", false} /* reason not UTF-8 */
};

static void closes_are_echoed(void **state)
{
    for (size_t i = 0; i < sizeof(echoes) / sizeof(echoes[0]); i++) {
        static struct conn conn;
        conn_open(&conn, *state);
        client_send(&conn, 0x88, echoes[i].sent);
        expect_close_frame(&conn, echoes[i].code, echoes[i].reason);
        expect_end(&conn, echoes[i].code, echoes[i].reason, echoes[i].by_peer);
        WAIT(&conn, conn.eof);
        assert_int_equal(tg_buf_size(&conn.in), 0);
        conn_done(&conn);
    }
}

/* Codes that must not be sent: the library puts 1002 in their place before we see them. */
static void forbidden_codes_become_1002(void **state)
{
    static const struct tg_slice codes[] = {
        TG_LIT_INIT("\x03\xe7"), TG_LIT_INIT("\x03\xec"), TG_LIT_INIT("\x03\xed"), TG_LIT_INIT("\x03\xee"),
        TG_LIT_INIT("\x03\xf7"), TG_LIT_INIT("\x07\xd0"), TG_LIT_INIT("\x0b\xb7"), TG_LIT_INIT("\x00\x00"),
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        static struct conn conn;
        conn_open(&conn, *state);
        client_send(&conn, 0x88, codes[i]);
        expect_close_frame(&conn, 1002, "");
        conn_done(&conn);
        assert_int_equal(conn.code, 1002);
    }
}

static void server_closes(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    server_close(&conn, 1000, TG_LIT("Connection Closed Normally"));
    assert_int_equal(tg_ws_ops.write(conn.socket, TG_LIT("\x81\x00")), TG_ECLOSED);
    server_close(&conn, 1001, TG_LIT("Going away")); /* the first one counts */
    expect_close_frame(&conn, 1000, "Connection Closed Normally");
    client_send(&conn, 0x81, TG_LIT("too late"));
    client_send(&conn, 0x88, TG_LIT("\x03\xe8"));
    expect_end(&conn, 1000, "Connection Closed Normally", false);
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);
}

static void server_closes_without_answer(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    limits.close_timeout_ms = 30;
    conn_open_with(&conn, *state, &limits);
    server_close(&conn, 1001, TG_LIT("Going away"));
    expect_close_frame(&conn, 1001, "Going away");
    expect_end(&conn, 1001, "Going away", false);
    WAIT(&conn, conn.eof);
    conn_done(&conn);
}

static void violation_without_answer(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    limits.close_timeout_ms = 30;
    conn_open_with(&conn, *state, &limits);
    client_write(&conn, TG_LIT("\x83\x80" ZERO));
    expect_close_frame(&conn, 1002, "");
    expect_end(&conn, 1002, "", false);
    WAIT(&conn, conn.eof);
    conn_done(&conn);
}

static void garbage_after_our_close(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    server_close(&conn, 1001, TG_LIT("Going away"));
    expect_close_frame(&conn, 1001, "Going away");
    client_write(&conn, TG_LIT("\x83\x80" ZERO));
    expect_end(&conn, 1001, "Going away", false);
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0); /* no second close frame */
    conn_done(&conn);
}

static void closes_from_a_message(void **state)
{
    static struct conn conn;
    struct tg_buf frames;
    tg_buf_init(&frames, SIZE_MAX);
    conn_open(&conn, *state);
    conn.close_at_message = 4000;
    add_masked(&frames, 0x81, TG_LIT("one"));
    add_masked(&frames, 0x81, TG_LIT("two"));
    add_masked(&frames, 0x88, TG_LIT("\x0f\xa0"));
    client_write(&conn, tg_buf_slice(&frames));
    expect_close_frame(&conn, 4000, "enough");
    expect_end(&conn, 4000, "enough", false);
    assert_int_equal(conn.count, 1);
    tg_buf_free(&frames);
    conn_done(&conn);
}

static void cuts(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    server_close(&conn, 0, TG_EMPTY);
    expect_end(&conn, 1006, "", false);
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0);
    conn_done(&conn);
    /* also one that waits for an answer */
    conn_open(&conn, *state);
    server_close(&conn, 1001, TG_EMPTY);
    server_close(&conn, 0, TG_EMPTY);
    expect_end(&conn, 1001, "", false);
    conn_done(&conn);
}

static void peer_vanishes(void **state)
{
    static struct conn conn;
    struct linger linger = {1, 0};
    conn_open(&conn, *state);
    assert_int_equal(shutdown(conn.fd, SHUT_WR), 0);
    expect_end(&conn, 1006, "", true);
    conn_done(&conn);
    conn_open(&conn, *state);
    assert_int_equal(setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    conn_done(&conn);
    assert_int_equal(conn.code, 1006);
    assert_true(conn.by_peer);
}

static void writing_to_a_vanished_peer(void **state)
{
    static struct conn conn;
    struct linger linger = {1, 0};
    enum tg_err err = TG_OK;
    conn_open(&conn, *state);
    tg_ws_ops.pause(conn.socket, true);
    assert_int_equal(setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(conn.fd);
    conn.fd = -1;
    err = server_send(&conn, 0x81, TG_LIT("x"));
    assert_int_equal(err, TG_ECLOSED);
    assert_int_equal(conn.closed, 0);
    expect_end(&conn, 1006, "", true);
    conn_done(&conn);
}

static void reset_while_closing(void **state)
{
    static struct conn conn;
    struct linger linger = {1, 0};
    conn_open(&conn, *state);
    server_close(&conn, 1000, TG_EMPTY);
    assert_int_equal(setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    conn_done(&conn);
    assert_int_equal(conn.code, 1000);
    assert_false(conn.by_peer);
}

/* ---- back-pressure ---- */

enum { BULK = 32 << 20 };

static void read_bulk(struct conn *conn, char *frame, size_t len)
{
    WAIT(conn, tg_buf_size(&conn->in) >= len || conn->eof);
    expect_bytes(conn, tg_slice_make(frame, len));
}

static void waits_for_a_slow_reader(void **state)
{
    static struct conn conn;
    char *text = filled(BULK);
    char *frame = malloc(BULK + 10);
    assert_non_null(frame);
    size_t len = put_frame(frame, 0x81, text, BULK);
    conn_open(&conn, *state);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    for (int i = 0; i < 10; i++) {
        turn(*state);
    }
    assert_int_equal(conn.writables, 0);
    read_bulk(&conn, frame, len);
    WAIT(&conn, conn.writables == 1);
    assert_int_equal(server_send(&conn, 0x81, TG_LIT("on")), TG_OK);
    expect_bytes(&conn, TG_LIT("\x81\x02on"));
    assert_int_equal(conn.writables, 1);
    assert_int_equal(conn.pings, 0);
    conn_done(&conn);
    free(frame);
    free(text);
}

static void close_waits_for_what_was_written(void **state)
{
    static struct conn conn;
    char *text = filled(BULK);
    char *frame = malloc(BULK + 10);
    assert_non_null(frame);
    size_t len = put_frame(frame, 0x81, text, BULK);
    conn_open(&conn, *state);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    server_close(&conn, 1000, TG_LIT("bye"));
    read_bulk(&conn, frame, len);
    expect_close_frame(&conn, 1000, "bye");
    assert_int_equal(conn.writables, 0);
    client_send(&conn, 0x88, TG_LIT("\x03\xe8"));
    expect_end(&conn, 1000, "bye", false);
    conn_done(&conn);
    free(frame);
    free(text);
}

/* The library answers no close frame, and shows none, while it holds output. */
static void closed_by_a_slow_reader(void **state)
{
    static struct conn conn;
    char *text = filled(BULK);
    struct tg_buf frame;
    tg_buf_init(&frame, SIZE_MAX);
    add_masked(&frame, 0x88, TG_LIT("\x03\xe9"));
    conn_open(&conn, *state);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    assert_int_equal(send(conn.fd, tg_buf_slice(&frame).ptr, tg_buf_size(&frame), 0), tg_buf_size(&frame));
    uint64_t deadline = now_ms() + 5000;
    while (conn.closed == 0) {
        assert_true(now_ms() < deadline);
        turn(*state);
    }
    assert_int_equal(conn.code, 1005);
    assert_true(conn.by_peer);
    conn_done(&conn);
    tg_buf_free(&frame);
    free(text);
}

/* A violation while it holds output: what was written arrives, the close frame does not. */
static void violation_by_a_slow_reader(void **state)
{
    static struct conn conn;
    char *text = filled(BULK);
    char *frame = malloc(BULK + 10);
    assert_non_null(frame);
    size_t len = put_frame(frame, 0x81, text, BULK);
    conn_open(&conn, *state);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    assert_int_equal(send(conn.fd, "\x83\x80" ZERO, 6, 0), 6);
    read_bulk(&conn, frame, len);
    expect_end(&conn, 1002, "", false);
    conn_done(&conn);
    free(frame);
    free(text);
}

static void slow_reader_is_cut_in_the_end(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    char *text = filled(BULK);
    limits.close_timeout_ms = 30;
    conn_open_with(&conn, *state, &limits);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    server_close(&conn, 1001, TG_LIT("Going away"));
    uint64_t deadline = now_ms() + 5000;
    while (conn.closed == 0) {
        assert_true(now_ms() < deadline);
        turn(*state);
    }
    assert_int_equal(conn.code, 1001);
    conn_done(&conn);
    free(text);
}

static void pauses_and_resumes(void **state)
{
    static struct conn conn;
    struct tg_buf frames;
    tg_buf_init(&frames, SIZE_MAX);
    conn_open(&conn, *state);
    conn.pause_at_message = true;
    add_masked(&frames, 0x81, TG_LIT("one"));
    add_masked(&frames, 0x81, TG_LIT("two"));
    add_masked(&frames, 0x81, TG_LIT("three"));
    client_write(&conn, tg_buf_slice(&frames));
    expect_messages(&conn, "t:one;");
    for (int i = 0; i < 10; i++) {
        turn(*state);
    }
    assert_int_equal(conn.count, 1);
    tg_ws_ops.pause(conn.socket, false);
    expect_messages(&conn, "t:two;");
    for (int i = 0; i < 10; i++) {
        turn(*state);
    }
    assert_int_equal(conn.count, 2);
    conn.pause_at_message = false;
    tg_ws_ops.pause(conn.socket, false);
    expect_messages(&conn, "t:three;");
    client_send(&conn, 0x81, TG_LIT("four"));
    expect_messages(&conn, "t:four;");
    assert_int_equal(conn.pings, 0);
    tg_buf_free(&frames);
    conn_done(&conn);
}

static void close_while_paused(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    tg_ws_ops.pause(conn.socket, true);
    client_send(&conn, 0x81, TG_LIT("unread"));
    server_close(&conn, 1000, TG_EMPTY);
    expect_close_frame(&conn, 1000, "");
    client_send(&conn, 0x88, TG_LIT("\x03\xe8"));
    expect_end(&conn, 1000, "", false);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(closes_are_echoed),
        TEST(forbidden_codes_become_1002),
        TEST(server_closes),
        TEST(server_closes_without_answer),
        TEST(violation_without_answer),
        TEST(garbage_after_our_close),
        TEST(closes_from_a_message),
        TEST(cuts),
        TEST(peer_vanishes),
        TEST(writing_to_a_vanished_peer),
        TEST(reset_while_closing),
        TEST(waits_for_a_slow_reader),
        TEST(close_waits_for_what_was_written),
        TEST(closed_by_a_slow_reader),
        TEST(violation_by_a_slow_reader),
        TEST(slow_reader_is_cut_in_the_end),
        TEST(pauses_and_resumes),
        TEST(close_while_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
