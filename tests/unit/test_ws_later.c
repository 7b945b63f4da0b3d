/* Frames that go out with those of other sockets (write_later): their order with all else, and what becomes
 * of those that the kernel does not take. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/io/sends.h"
#include "tests/unit/ws_world.h"

static void flush(struct side *side)
{
    tg_sends_flush(tg_loop_sends(side->loop));
}

/* As in a pass of the loop with several events. */
static enum tg_err send_later(struct conn *conn, struct tg_slice payload)
{
    tg_sends_gather(tg_loop_sends(conn->side->loop), true);
    return server_send_later(conn, 0x81, payload);
}

static void expect_nothing(struct conn *conn)
{
    receive(conn);
    assert_int_equal(tg_buf_size(&conn->in), 0);
}

static void go_out_together(void **state)
{
    static struct conn first, second;
    conn_open(&first, *state);
    conn_open(&second, *state);
    assert_int_equal(send_later(&first, TG_LIT("one")), TG_OK);
    assert_int_equal(send_later(&second, TG_LIT("two")), TG_OK);
    expect_nothing(&first);
    expect_nothing(&second);
    flush(*state);
    expect_bytes(&first, TG_LIT("\x81\x03one"));
    expect_bytes(&second, TG_LIT("\x81\x03two"));
    assert_int_equal(send_later(&first, TG_LIT("more")), TG_OK);
    expect_bytes(&first, TG_LIT("\x81\x04more")); /* at the end of a pass of the loop */
    assert_int_equal(first.unsent + second.unsent, 0);
    conn_done(&first);
    conn_done(&second);
}

static void stay_in_order(void **state)
{
    static struct conn conn, other;
    conn_open(&conn, *state);
    conn_open(&other, *state);
    assert_int_equal(send_later(&other, TG_LIT("o")), TG_OK);
    assert_int_equal(send_later(&conn, TG_LIT("1")), TG_OK);
    assert_int_equal(server_send(&conn, 0x81, TG_LIT("2")), TG_OK);
    assert_int_equal(send_later(&conn, TG_LIT("3")), TG_OK);
    assert_int_equal(send_later(&conn, TG_LIT("4")), TG_OK);
    struct tg_slice pieces[] = {TG_LIT("\x81\x01"), TG_LIT("5")};
    assert_int_equal(tg_ws_ops.write_pieces(conn.socket, pieces, 2), TG_OK);
    assert_int_equal(send_later(&conn, TG_LIT("6")), TG_OK);
    client_send(&conn, 0x89, TG_LIT("7")); /* whose pong is written at once */
    expect_bytes(&conn, TG_LIT("\x81\x01"
                               "1\x81\x01"
                               "2\x81\x01"
                               "3\x81\x01"
                               "4\x81\x01"
                               "5\x81\x01"
                               "6\x8a\x01"
                               "7"));
    expect_bytes(&other, TG_LIT("\x81\x01o"));
    conn_done(&conn);
    conn_done(&other);
}

static void come_before_the_close_frame(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    assert_int_equal(send_later(&conn, TG_LIT("last")), TG_OK);
    server_close(&conn, 1000, TG_EMPTY);
    assert_int_equal(send_later(&conn, TG_LIT("late")), TG_ECLOSED);
    expect_bytes(&conn, TG_LIT("\x81\x04last\x88\x02\x03\xe8"));
    client_send(&conn, 0x88, TG_LIT("\x03\xe8"));
    WAIT(&conn, conn.closed > 0);
    conn_done(&conn);
}

static void are_written_before_a_cut(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    assert_int_equal(send_later(&conn, TG_LIT("last")), TG_OK);
    server_close(&conn, 0, TG_EMPTY);
    expect_bytes(&conn, TG_LIT("\x81\x04last"));
    WAIT(&conn, conn.closed > 0);
    conn_done(&conn);
}

/* What a reader who is slow is owed comes whole and in order; the owner learns once that it has to wait, and
 * once that it has not any more. */
static void wait_for_a_slow_reader(void **state)
{
    static struct conn conn;
    struct tg_buf sent;
    char text[4000];
    size_t at = 0;
    tg_buf_init(&sent, SIZE_MAX);
    conn_open(&conn, *state);
    while (conn.unsent == 0) {
        char frame[sizeof text + 10];
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = (char)('a' + at++ % 23);
        }
        append(&sent, tg_slice_make(frame, put_frame(frame, 0x81, text, sizeof text)));
        assert_int_equal(send_later(&conn, tg_slice_make(text, sizeof text)), TG_OK);
        flush(*state);
        assert_true(tg_buf_size(&sent) < 64 << 20);
    }
    assert_int_equal(conn.unsent_err, TG_EAGAIN);
    assert_int_equal(conn.writables, 0);
    assert_int_equal(send_later(&conn, TG_LIT("had ready")), TG_EAGAIN); /* before it knew */
    append(&sent, TG_LIT("\x81\x09had ready"));
    expect_bytes(&conn, tg_buf_slice(&sent));
    WAIT(&conn, conn.writables == 1);
    assert_int_equal(send_later(&conn, TG_LIT("on")), TG_OK);
    expect_bytes(&conn, TG_LIT("\x81\x02on"));
    assert_int_equal(conn.unsent, 1);
    assert_int_equal(conn.writables, 1);
    tg_buf_free(&sent);
    conn_done(&conn);
}

static void reset(struct conn *conn)
{
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(conn->fd);
    conn->fd = -1;
}

static void tell_of_a_client_that_is_gone(void **state)
{
    static struct conn gone, other;
    conn_open(&gone, *state);
    conn_open(&other, *state);
    reset(&gone);
    assert_int_equal(send_later(&gone, TG_LIT("hello")), TG_OK);
    assert_int_equal(send_later(&other, TG_LIT("hello")), TG_OK);
    flush(*state);
    assert_int_equal(gone.unsent, 1);
    assert_int_equal(gone.unsent_err, TG_ECLOSED);
    assert_int_equal(send_later(&gone, TG_LIT("hello")), TG_ECLOSED);
    WAIT(&gone, gone.closed > 0);
    assert_int_equal(gone.code, 1006);
    expect_bytes(&other, TG_LIT("\x81\x05hello"));
    assert_int_equal(other.unsent, 0);
    conn_done(&gone);
    conn_done(&other);
}

/* The end is seen with a write that waits: it has nobody to be told to any more. */
static void end_with_their_socket(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    reset(&conn);
    turn(*state);
    if (conn.closed == 0) {
        (void)send_later(&conn, TG_LIT("hello"));
        server_close(&conn, 0, TG_EMPTY);
    }
    WAIT(&conn, conn.closed > 0);
    flush(*state);
    conn_done(&conn);
}

/* Alone in its pass a frame is written at once. */
static void are_written_at_once_alone(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    tg_sends_gather(tg_loop_sends(conn.side->loop), false);
    assert_int_equal(server_send_later(&conn, 0x81, TG_LIT("one")), TG_OK);
    receive(&conn);
    assert_int_equal(tg_buf_size(&conn.in), 5);
    conn_done(&conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(go_out_together),
        TEST(are_written_at_once_alone),
        TEST(stay_in_order),
        TEST(come_before_the_close_frame),
        TEST(are_written_before_a_cut),
        TEST(wait_for_a_slow_reader),
        TEST(tell_of_a_client_that_is_gone),
        TEST(end_with_their_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
