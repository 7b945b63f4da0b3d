/* The WebSocket engine: how connections end. */
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
    {TG_LIT_INIT("\x03\xf4"), 1012, "", true},
    {TG_LIT_INIT("\x03\xf5"), 1013, "", true},
    {TG_LIT_INIT("\x03\xf6"), 1014, "", true},
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

/* RFC 6455 section 7.4: these must not be sent. */
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

static void no_pong_after_a_close_frame(void **state)
{
    static struct conn conn;
    struct tg_buf frames;
    tg_buf_init(&frames, SIZE_MAX);
    conn_open(&conn, *state);
    server_close(&conn, 1001, TG_EMPTY);
    add_masked(&frames, 0x89, TG_LIT("ping"));
    add_masked(&frames, 0x81, TG_LIT("\xff")); /* no longer looked at */
    add_masked(&frames, 0x88, TG_LIT("\x03\xe9"));
    client_write(&conn, tg_buf_slice(&frames));
    expect_close_frame(&conn, 1001, "");
    expect_end(&conn, 1001, "", false);
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0);
    assert_int_equal(conn.pings, 0);
    conn_done(&conn);
    /* and nothing is answered that follows the peer's */
    conn_open(&conn, *state);
    tg_buf_clear(&frames);
    add_masked(&frames, 0x88, TG_LIT("\x03\xe8"));
    add_masked(&frames, 0x89, TG_LIT("ping"));
    client_write(&conn, tg_buf_slice(&frames));
    expect_close_frame(&conn, 1000, "");
    expect_end(&conn, 1000, "", true);
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0);
    assert_int_equal(conn.pings, 0);
    tg_buf_free(&frames);
    conn_done(&conn);
}

/* Who does not close its end is left alone for a while, and cut in the end. */
static void lingering_ends(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    limits.close_timeout_ms = 30;
    conn_open_with(&conn, *state, &limits);
    client_send(&conn, 0x88, TG_LIT("\x03\xe8"));
    expect_close_frame(&conn, 1000, "");
    expect_end(&conn, 1000, "", true);
    WAIT(&conn, send(conn.fd, "x", 1, MSG_NOSIGNAL) < 0);
    conn_done(&conn);
}

static void engine_goes_before_the_peer(void **state)
{
    static struct conn conn;
    struct side side;
    (void)state;
    side_open(&side);
    conn_open(&conn, &side);
    client_send(&conn, 0x88, TG_LIT("\x03\xe8"));
    expect_end(&conn, 1000, "", true);
    side_close(&side);
    expect_close_frame(&conn, 1000, "");
    close(conn.fd);
    tg_buf_free(&conn.in);
    tg_buf_free(&conn.messages);
}

/* The close frame counts though a reset follows it, because something of ours was not read. */
static void close_frame_before_a_reset(void **state)
{
    static struct conn conn;
    struct linger linger = {1, 0};
    conn_open(&conn, *state);
    assert_int_equal(send(conn.fd, "\x81\x82" ZERO "hi\x88\x82" ZERO "\x03\xe9", 16, 0), 16);
    assert_int_equal(setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(conn.fd);
    conn.fd = -1;
    expect_end(&conn, 1001, "", true);
    assert_int_equal(conn.count, 1);
    conn_done(&conn);
}

static void reset_while_paused(void **state)
{
    static struct conn conn;
    struct linger linger = {1, 0};
    conn_open(&conn, *state);
    tg_ws_ops.pause(conn.socket, true);
    assert_int_equal(setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    conn_done(&conn);
    assert_int_equal(conn.code, 1006);
    assert_true(conn.by_peer);
    /* with something unread, when it goes on */
    conn_open(&conn, *state);
    tg_ws_ops.pause(conn.socket, true);
    client_send(&conn, 0x81, TG_LIT("unread"));
    assert_int_equal(setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(conn.fd);
    conn.fd = -1;
    for (int i = 0; i < 10; i++) {
        turn(*state);
    }
    assert_int_equal(conn.count, 0);
    tg_ws_ops.pause(conn.socket, false);
    expect_end(&conn, 1006, "", true);
    assert_int_equal(conn.count, 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(closes_are_echoed),
        TEST(forbidden_codes_become_1002),
        TEST(server_closes),
        TEST(server_closes_without_answer),
        TEST(violation_without_answer),
        TEST(garbage_after_our_close),
        TEST(no_pong_after_a_close_frame),
        TEST(lingering_ends),
        TEST(engine_goes_before_the_peer),
        TEST(close_frame_before_a_reset),
        TEST(reset_while_paused),
        TEST(closes_from_a_message),
        TEST(cuts),
        TEST(peer_vanishes),
        TEST(writing_to_a_vanished_peer),
        TEST(reset_while_closing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
