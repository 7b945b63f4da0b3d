/* The WebSocket engine: back-pressure in both directions, and what a slow reader does to the end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/ws_world.h"

enum { BULK = 16 << 20 };

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

/* Of all lengths, so that what the socket takes ends within one. */
static void pieces_wait_for_a_slow_reader(void **state)
{
    static struct conn conn;
    struct tg_slice pieces[TG_SOCKET_PIECES];
    char *text = filled(BULK);
    char *frame = malloc(BULK + 10);
    assert_non_null(frame);
    size_t len = put_frame(frame, 0x81, text, BULK), at = 0;
    for (size_t i = 0; i < TG_SOCKET_PIECES; i++) {
        size_t step = i + 1 < TG_SOCKET_PIECES ? (i % 5 + 1) * (i % 2 ? 7 : 200003) : len - at;
        pieces[i] = tg_slice_make(frame + at, step);
        at += step;
    }
    conn_open(&conn, *state);
    assert_int_equal(tg_ws_ops.write_pieces(conn.socket, pieces, TG_SOCKET_PIECES), TG_EAGAIN);
    read_bulk(&conn, frame, len);
    WAIT(&conn, conn.writables == 1);
    pieces[0] = TG_LIT("\x81\x02");
    pieces[1] = TG_LIT("on");
    assert_int_equal(tg_ws_ops.write_pieces(conn.socket, pieces, 2), TG_OK);
    expect_bytes(&conn, TG_LIT("\x81\x02on"));
    server_close(&conn, 1000, TG_EMPTY);
    assert_int_equal(tg_ws_ops.write_pieces(conn.socket, pieces, 2), TG_ECLOSED);
    conn_done(&conn);
    free(frame);
    free(text);
}

/* The owner learns which message is a read's last one, and that it is over: before our close frame goes. */
static void tells_of_the_end_of_a_read(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    conn.story[0] = '\0';
    client_write(&conn, TG_LIT("\x81\x81" ZERO "a\x81\x81" ZERO "b\x81\x81" ZERO "c"));
    WAIT(&conn, conn.count == 3);
    assert_string_equal(conn.story, "MMmr");
    client_write(&conn, TG_LIT("\x81\x81" ZERO "d\x81"));
    WAIT(&conn, conn.count == 4);
    assert_string_equal(conn.story, "MMmrMr");
    client_write(&conn, TG_LIT("\x81" ZERO "e\x88\x82" ZERO "\x03\xe8"));
    expect_end(&conn, 1000, "", true);
    assert_string_equal(conn.story, "MMmrMrMrc");
    conn_done(&conn);
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

static void fill(struct conn *conn, char **frame, size_t *len)
{
    char *text = filled(BULK);
    *frame = malloc(BULK + 10);
    assert_non_null(*frame);
    *len = put_frame(*frame, 0x81, text, BULK);
    assert_int_equal(server_send(conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    free(text);
}

static void send_unread(struct conn *conn, struct tg_slice bytes)
{
    assert_int_equal(send(conn->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), bytes.len);
    for (int i = 0; i < 10; i++) {
        turn(conn->side);
    }
}

/* Its close frame is seen while our output waits, and answered behind that. */
static void closed_by_a_slow_reader(void **state)
{
    static struct conn conn;
    char *frame;
    size_t len;
    conn_open(&conn, *state);
    fill(&conn, &frame, &len);
    send_unread(&conn, TG_LIT("\x88\x86" ZERO "\x03\xe9"
                              "busy"));
    assert_int_equal(tg_ws_ops.write(conn.socket, TG_LIT("\x81\x00")), TG_ECLOSED);
    assert_int_equal(shutdown(conn.fd, SHUT_WR), 0);
    read_bulk(&conn, frame, len);
    expect_close_frame(&conn, 1001, "busy");
    expect_end(&conn, 1001, "busy", true);
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0);
    conn_done(&conn);
    free(frame);
}

static void closed_by_one_who_does_not_read(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    char *frame;
    size_t len;
    limits.close_timeout_ms = 30;
    conn_open_with(&conn, *state, &limits);
    fill(&conn, &frame, &len);
    send_unread(&conn, TG_LIT("\x88\x82" ZERO "\x03\xe9"));
    uint64_t deadline = now_ms() + 5000;
    while (conn.closed == 0) {
        assert_true(now_ms() < deadline);
        turn(*state);
    }
    assert_int_equal(conn.code, 1001);
    assert_true(conn.by_peer);
    conn_done(&conn);
    free(frame);
}

static void violation_by_a_slow_reader(void **state)
{
    static struct conn conn;
    char *frame;
    size_t len;
    conn_open(&conn, *state);
    fill(&conn, &frame, &len);
    send_unread(&conn, TG_LIT("\x83\x80" ZERO));
    read_bulk(&conn, frame, len);
    expect_close_frame(&conn, 1002, "");
    expect_end(&conn, 1002, "", false);
    conn_done(&conn);
    free(frame);
}

/* Messages arrive while output waits, and of the pings the latest is answered (RFC 6455 section 5.5.3). */
static void heard_while_output_waits(void **state)
{
    static struct conn conn;
    char *frame;
    size_t len;
    conn_open(&conn, *state);
    fill(&conn, &frame, &len);
    send_unread(&conn, TG_LIT("\x89\x83" ZERO "one\x81\x82" ZERO "hi\x89\x83" ZERO "two"));
    send_unread(&conn, TG_LIT("\x89\x85" ZERO "three"));
    assert_int_equal(conn.count, 1);
    assert_int_equal(conn.pings, 3);
    assert_int_equal(conn.writables, 0);
    read_bulk(&conn, frame, len);
    expect_bytes(&conn, TG_LIT("\x8a\x05three"));
    WAIT(&conn, conn.writables == 1);
    assert_int_equal(server_send(&conn, 0x81, TG_LIT("on")), TG_OK);
    expect_bytes(&conn, TG_LIT("\x81\x02on"));
    conn_done(&conn);
    free(frame);
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
        TEST(waits_for_a_slow_reader),
        TEST(pieces_wait_for_a_slow_reader),
        TEST(tells_of_the_end_of_a_read),
        TEST(close_waits_for_what_was_written),
        TEST(closed_by_a_slow_reader),
        TEST(closed_by_one_who_does_not_read),
        TEST(heard_while_output_waits),
        TEST(violation_by_a_slow_reader),
        TEST(slow_reader_is_cut_in_the_end),
        TEST(pauses_and_resumes),
        TEST(close_while_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
