/* Answers to messages, given while these are told: joined without frames of their own, in order with all
 * else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/fake_socket.h"

enum { LONG = 20000, MIDDLE = 4096 };

/* What the connection is told back. */
static void answer(struct fixture *fixture, struct tg_conn *conn)
{
    fixture->code = (int)tg_conn_send_text(conn, tg_slice_cstr(fixture->payload));
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture_init(fixture, 0, 8);
    fixture->during_message = answer;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(atomic_load(&tg_connmgr_counters(fixture->mgr)->queued_bytes), 0);
    fixture_free(fixture);
    free(fixture);
    return 0;
}

static void says(struct tg_socket *socket, const char *text)
{
    tg_conn_socket_events.on_message(socket->conn, tg_slice_cstr(text), false);
}

static void joins_the_answers_of_a_read(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    says(socket, "one");
    says(socket, "");
    says(socket, "three");
    assert_int_equal(socket->writes, 0);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 1);
    ASSERT_WRITTEN(socket, "\x81\x03one\x81\x00\x81\x05three");
    const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
    assert_int_equal(atomic_load(&counters->messages_out), 3);
    assert_int_equal(atomic_load(&counters->bytes_out), 8);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 1);
    end_conn(socket);
}

static void writes_when_the_next_one_answers(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *first = open_conn(fixture), *second = open_conn(fixture);
    says(first, "a");
    says(first, "b");
    says(second, "c");
    ASSERT_WRITTEN(first, "\x81\x01"
                          "a\x81\x01"
                          "b");
    assert_int_equal(first->writes, 1);
    assert_int_equal(second->writes, 0);
    turn(fixture->loop);
    ASSERT_WRITTEN(second, "\x81\x01"
                           "c");
    end_conn(first);
    end_conn(second);
}

static void keeps_the_order_with_frames(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0};
    says(socket, "1");
    assert_int_equal(send_text(socket->conn, "2", &outcome, NULL), TG_OK);
    says(socket, "3");
    assert_int_equal(tg_conn_send_text(socket->conn, TG_LIT("4")), TG_OK); /* of no message */
    turn(fixture->loop);
    ASSERT_WRITTEN(socket, "\x81\x01\x31\x81\x01\x32\x81\x01\x33\x81\x01\x34");
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(socket->writes, 2);
    end_conn(socket);
}

static void answer_of(struct fixture *fixture, struct tg_conn *conn, size_t len)
{
    static char text[LONG];
    memset(text, 'x', sizeof text);
    fixture->code = (int)tg_conn_send_text(conn, tg_slice_make(text, len));
}

static void long_answer(struct fixture *fixture, struct tg_conn *conn)
{
    answer_of(fixture, conn, LONG);
}

static void long_answers_go_their_own_way(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    says(socket, "a");
    fixture->during_message = long_answer;
    says(socket, "long");
    fixture->during_message = answer;
    says(socket, "b");
    turn(fixture->loop);
    struct tg_slice written = tg_buf_slice(&socket->written);
    assert_int_equal(written.len, 3 + 4 + LONG + 3);
    assert_memory_equal(written.ptr,
                        "\x81\x01"
                        "a\x81\x7e",
                        5);
    assert_memory_equal(written.ptr + written.len - 3,
                        "\x81\x01"
                        "b",
                        3);
    end_conn(socket);
}

static void answer_of_4k(struct fixture *fixture, struct tg_conn *conn)
{
    answer_of(fixture, conn, MIDDLE);
}

static void eight_of_4k_are_one_write(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    fixture->during_message = answer_of_4k;
    for (int i = 0; i < 8; i++) {
        says(socket, "more");
        assert_int_equal(fixture->code, TG_OK);
    }
    assert_int_equal(socket->writes, 0);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 1);
    assert_int_equal(tg_buf_size(&socket->written), 8 * (4 + MIDDLE));
    for (int i = 0; i < 12; i++) { /* more than is held back */
        says(socket, "more");
    }
    assert_int_equal(socket->writes, 2);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 3);
    assert_int_equal(tg_buf_size(&socket->written), 20 * (4 + MIDDLE));
    end_conn(socket);
}

static void writes_at_the_limit_of_the_queue(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.max_queued_bytes = 40;
    struct tg_socket *socket = open_conn(fixture);
    says(socket, "0123456789");
    says(socket, "0123456789");
    assert_int_equal(socket->writes, 0);
    says(socket, "0123456789");
    assert_int_equal(socket->writes, 1);
    assert_int_equal(tg_buf_size(&socket->written), 24);
    turn(fixture->loop);
    assert_int_equal(tg_buf_size(&socket->written), 36);
    end_conn(socket);
}

static void what_the_kernel_leaves_counts(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.max_queued_bytes = 40;
    struct tg_socket *socket = open_conn(fixture);
    socket->next = TG_EAGAIN;
    says(socket, "0123456789");
    says(socket, "0123456789");
    turn(fixture->loop);
    const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
    assert_int_equal(atomic_load(&counters->queued_bytes), 24);
    says(socket, "012345"); /* waits behind them */
    assert_int_equal(fixture->code, TG_OK);
    assert_int_equal(atomic_load(&counters->queued_bytes), 32);
    says(socket, "0123456789");
    assert_int_equal(fixture->code, TG_EBUSY);
    assert_int_equal(socket->writes, 1);
    fake_writable(socket);
    turn(fixture->loop);
    assert_int_equal(tg_buf_size(&socket->written), 32);
    end_conn(socket);
}

static void a_close_goes_behind_them(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    says(socket, "bye");
    tg_conn_close(socket->conn, 1000, TG_EMPTY);
    ASSERT_WRITTEN(socket, "\x81\x03"
                           "bye");
    assert_int_equal(socket->closes, 1);
    end_conn(socket);
}

static void an_end_takes_them_along(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *cut = open_conn(fixture), *gone = open_conn(fixture), *broken = open_conn(fixture);
    says(cut, "a");
    tg_conn_close(cut->conn, 0, TG_EMPTY);
    assert_int_equal(cut->writes, 0);
    says(gone, "b");
    end_conn(gone);
    broken->next = TG_ECLOSED;
    says(broken, "c");
    turn(fixture->loop);
    assert_int_equal(broken->writes, 1);
    assert_int_equal(send_text(broken->conn, "d", NULL, NULL), TG_ECLOSED);
    assert_int_equal(atomic_load(&tg_connmgr_counters(fixture->mgr)->messages_out), 0);
    turn(fixture->loop);
    end_conn(cut);
    end_conn(broken);
}

/* As a close frame may be what the read had behind the messages. */
static void the_end_of_a_read_writes_them(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *client = open_conn(fixture);
    says(client, "a");
    assert_int_equal(client->writes, 0);
    tg_conn_socket_events.on_read(client->conn);
    assert_int_equal(client->writes, 1);
    end_conn(client);
    assert_int_equal(atomic_load(&tg_connmgr_counters(fixture->mgr)->messages_out), 1);
}

/* An answer that went out with others and was not taken whole: as if the write had said so at once. */
static void what_was_left_of_a_later_write_counts(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
    says(socket, "one");
    turn(fixture->loop);
    assert_int_equal(socket->laters, 1);
    fake_unsent(socket, TG_EAGAIN, 5);
    assert_int_equal(atomic_load(&counters->queued_bytes), 5);
    says(socket, "two");
    turn(fixture->loop);
    assert_int_equal(socket->writes, 1);
    fake_writable(socket);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 2);
    ASSERT_WRITTEN(socket, "\x81\x03one\x81\x03two");
    assert_int_equal(atomic_load(&counters->queued_bytes), 0);
    end_conn(socket);
}

/* The rest of one write, and then of the next, which was given to the socket before that was known. */
static void what_was_left_adds_up(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
    fake_unsent(socket, TG_EAGAIN, 5);
    fake_unsent(socket, TG_EAGAIN, 7);
    assert_int_equal(atomic_load(&counters->queued_bytes), 12);
    fake_writable(socket);
    assert_int_equal(atomic_load(&counters->queued_bytes), 0);
    end_conn(socket);
}

/* The socket turns out to be full while answers are collected: they wait in it. */
static void what_is_collected_meanwhile_goes_to_the_socket(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
    says(socket, "one");
    turn(fixture->loop);
    says(socket, "two");
    fake_unsent(socket, TG_EAGAIN, 5);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 2);
    assert_int_equal(atomic_load(&counters->queued_bytes), 10);
    says(socket, "three");
    turn(fixture->loop);
    assert_int_equal(socket->writes, 2);
    fake_writable(socket);
    turn(fixture->loop);
    ASSERT_WRITTEN(socket, "\x81\x03one\x81\x03two\x81\x05three");
    assert_int_equal(atomic_load(&counters->queued_bytes), 0);
    end_conn(socket);
}

static void nothing_follows_a_later_write_that_failed(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0};
    says(socket, "one");
    turn(fixture->loop);
    assert_int_equal(send_text(socket->conn, "two", &outcome, NULL), TG_OK);
    fake_unsent(socket, TG_ECLOSED, 5);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 1);
    assert_int_equal(tg_conn_send_text(socket->conn, TG_LIT("three")), TG_ECLOSED);
    assert_int_equal(outcome.calls, 0);
    end_conn(socket);
    turn(fixture->loop);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.err, TG_ECLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(joins_the_answers_of_a_read, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_when_the_next_one_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_the_order_with_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(long_answers_go_their_own_way, setup, teardown),
        cmocka_unit_test_setup_teardown(eight_of_4k_are_one_write, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_at_the_limit_of_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_kernel_leaves_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_left_of_a_later_write_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_collected_meanwhile_goes_to_the_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_left_adds_up, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_follows_a_later_write_that_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_close_goes_behind_them, setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_takes_them_along, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_of_a_read_writes_them, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
