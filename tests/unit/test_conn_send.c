/* The send queues: order, joining, limits, taking back, and what becomes of a frame when its connection ends.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/fake_socket.h"

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture_init(fixture, 0, 8);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    const struct fixture *fixture = *state;
    assert_int_equal(atomic_load(&tg_connmgr_counters(fixture->mgr)->queued_bytes), 0);
    fixture_free(*state);
    free(*state);
    return 0;
}

static uint64_t queued(const struct fixture *fixture)
{
    return atomic_load(&tg_connmgr_counters(fixture->mgr)->queued_bytes);
}

static void test_one_write_a_pass(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0};
    assert_int_equal(send_text(socket->conn, "one", &outcome, NULL), TG_OK);
    assert_int_equal(send_text(socket->conn, "two", NULL, NULL), TG_OK);
    assert_int_equal(send_text(socket->conn, "three", &outcome, NULL), TG_OK);
    assert_int_equal(socket->writes, 0);
    assert_int_equal(outcome.calls, 0);
    assert_int_equal(queued(fixture), 5 + 5 + 7);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 1);
    ASSERT_WRITTEN(socket, "\x81\x03one\x81\x03two\x81\x05three");
    assert_int_equal(outcome.calls, 2);
    assert_int_equal(outcome.err, TG_OK);
    assert_int_equal(queued(fixture), 0);
    const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
    assert_int_equal(atomic_load(&counters->messages_out), 3);
    assert_int_equal(atomic_load(&counters->bytes_out), 11);
    end_conn(socket);
}

static void test_one_frame_for_many_connections(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *first = open_conn(fixture), *second = open_conn(fixture);
    struct tg_frame *frame = text_frame("all");
    assert_int_equal(tg_conn_send(first->conn, frame, NULL, NULL, NULL), TG_OK);
    assert_int_equal(tg_conn_send(second->conn, frame, NULL, NULL, NULL), TG_OK);
    assert_int_equal(frame->refs, 3);
    turn(fixture->loop);
    assert_int_equal(frame->refs, 1);
    tg_frame_unref(frame);
    ASSERT_WRITTEN(first, "\x81\x03"
                          "all");
    ASSERT_WRITTEN(second, "\x81\x03"
                           "all");
    end_conn(first);
    end_conn(second);
}

/* Long frames are never copied to be joined, and a write of joined ones stays below its limit. */
static void test_large_frames(void **state)
{
    enum { LEN = 131072, SMALL = 5000 };
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0};
    char *text = calloc(1, LEN + 1);
    assert_non_null(text);
    memset(text, 's', SMALL);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(send_text(socket->conn, text, &outcome, NULL), TG_OK);
    }
    memset(text, 'l', LEN);
    assert_int_equal(send_text(socket->conn, text, &outcome, NULL), TG_OK);
    assert_int_equal(send_text(socket->conn, "end", &outcome, NULL), TG_OK);
    assert_int_equal(socket->writes, 4); /* what is long does not wait for the end of the pass */
    assert_int_equal(outcome.calls, 0);  /* but to be told does */
    turn(fixture->loop);
    assert_int_equal(outcome.calls, 7);
    assert_int_equal(socket->writes, 5); /* 2, 2, 1 small ones, the large one, the end */
    assert_int_equal(socket->longest, LEN + 10);
    struct tg_slice written = tg_buf_slice(&socket->written);
    size_t large_at = 5 * (SMALL + 4);
    assert_int_equal(written.len, large_at + LEN + 10 + 5);
    assert_memory_equal(written.ptr + large_at, "\x81\x7f\x00\x00\x00\x00\x00\x02\x00\x00llll", 14);
    assert_memory_equal(written.ptr + written.len - 6,
                        "l\x81\x03"
                        "end",
                        6);
    free(text);
    end_conn(socket);
}

static void test_a_frame_is_sent_when_the_socket_has_taken_it(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome first = {0}, second = {0};
    socket->next = TG_EAGAIN;
    assert_int_equal(send_text(socket->conn, "one", &first, NULL), TG_OK);
    assert_int_equal(send_text(socket->conn, "uno", &first, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 1);
    assert_int_equal(first.calls, 2);
    assert_int_equal(first.err, TG_OK);
    assert_int_equal(queued(fixture), 10); /* in the socket */
    assert_int_equal(atomic_load(&tg_connmgr_counters(fixture->mgr)->messages_out), 2);
    assert_int_equal(send_text(socket->conn, "two", &second, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 1); /* not before on_writable */
    assert_int_equal(second.calls, 0);
    assert_int_equal(queued(fixture), 15);
    fake_writable(socket);
    assert_int_equal(queued(fixture), 5);
    assert_int_equal(second.calls, 0); /* never from inside */
    turn(fixture->loop);
    assert_int_equal(second.calls, 1);
    assert_int_equal(second.err, TG_OK);
    assert_int_equal(first.calls, 2);
    assert_int_equal(queued(fixture), 0);
    ASSERT_WRITTEN(socket, "\x81\x03one\x81\x03uno\x81\x03two");
    end_conn(socket);
}

/* Each write that is taken with TG_EAGAIN counts until it is gone, then the next one does. */
static void test_a_socket_that_blocks_again(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0};
    for (int i = 1; i <= 3; i++) {
        socket->next = TG_EAGAIN;
        assert_int_equal(send_text(socket->conn, "one", &outcome, NULL), TG_OK);
        turn(fixture->loop);
        assert_int_equal(outcome.calls, i);
        assert_int_equal(queued(fixture), 5);
        tg_conn_socket_events.on_writable(socket->conn);
        assert_int_equal(queued(fixture), 0);
    }
    tg_conn_socket_events.on_writable(socket->conn); /* uncalled for */
    assert_int_equal(queued(fixture), 0);
    socket->next = TG_ECLOSED;
    assert_int_equal(send_text(socket->conn, "two", &outcome, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(outcome.err, TG_ECLOSED);
    assert_int_equal(queued(fixture), 0);
    end_conn(socket);
}

static void test_full_queue(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.max_queued_bytes = 12;
    struct tg_socket *socket = open_conn(fixture);
    assert_int_equal(send_text(socket->conn, "longer than the limit", NULL, NULL), TG_OK); /* it is empty */
    assert_int_equal(send_text(socket->conn, "", NULL, NULL), TG_EBUSY);
    turn(fixture->loop);
    socket->next = TG_EAGAIN;
    assert_int_equal(send_text(socket->conn, "12345", NULL, NULL), TG_OK);
    turn(fixture->loop); /* what waits in the socket counts */
    assert_int_equal(send_text(socket->conn, "1234", NULL, NULL), TG_EBUSY);
    assert_int_equal(send_text(socket->conn, "123", NULL, NULL), TG_OK);
    assert_int_equal(send_text(socket->conn, "", NULL, NULL), TG_EBUSY);
    assert_int_equal(atomic_load(&tg_connmgr_counters(fixture->mgr)->rejected), 3);
    assert_int_equal(queued(fixture), 7 + 5);
    fake_writable(socket);
    assert_int_equal(queued(fixture), 5);
    assert_int_equal(send_text(socket->conn, "12345", NULL, NULL), TG_OK);
    end_conn(socket);
    turn(fixture->loop);
}

/* As for an empty queue: one frame of any length may wait in the socket, and nothing behind it. */
static void test_the_socket_has_more_than_the_limit(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.max_queued_bytes = 12;
    struct tg_socket *socket = open_conn(fixture);
    socket->next = TG_EAGAIN;
    assert_int_equal(send_text(socket->conn, "longer than the limit", NULL, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(queued(fixture), 23);
    assert_int_equal(send_text(socket->conn, "", NULL, NULL), TG_EBUSY);
    fixture->settings.max_queued_bytes = 25;
    tg_conn_configure(socket->conn, &fixture->settings);
    assert_int_equal(send_text(socket->conn, "", NULL, NULL), TG_OK);
    assert_int_equal(send_text(socket->conn, "", NULL, NULL), TG_EBUSY);
    fake_writable(socket);
    turn(fixture->loop);
    assert_int_equal(queued(fixture), 0);
    end_conn(socket);
}

static void test_withdraw(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0}, other = {0};
    struct tg_send *send;
    assert_int_equal(send_text(socket->conn, "one", &outcome, &send), TG_OK);
    assert_int_equal(tg_send_withdraw(send), TG_OK);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 0);

    socket->next = TG_EAGAIN;
    assert_int_equal(send_text(socket->conn, "two", &other, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(other.calls, 1);
    assert_int_equal(send_text(socket->conn, "three", &outcome, &send), TG_OK);
    turn(fixture->loop);
    assert_int_equal(tg_send_withdraw(send), TG_OK); /* it waited for the socket */
    assert_int_equal(queued(fixture), 5);
    fake_writable(socket);
    turn(fixture->loop);
    assert_int_equal(outcome.calls, 0);
    ASSERT_WRITTEN(socket, "\x81\x03two");
    end_conn(socket);
}

static void test_withdraw_when_the_callback_is_due(void **state)
{
    static const enum tg_err outcomes[] = {TG_OK, TG_EAGAIN, TG_ECLOSED};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        struct tg_socket *socket = open_conn(fixture);
        struct outcome outcome = {0};
        struct tg_send *send;
        assert_int_equal(send_text(socket->conn, "one", &outcome, &send), TG_OK);
        socket->next = outcomes[i];
        tg_conn_close(socket->conn, 1000, TG_EMPTY); /* writes it */
        assert_int_equal(tg_send_withdraw(send), TG_EAGAIN);
        end_conn(socket);
        assert_int_equal(tg_send_withdraw(send), TG_EAGAIN);
        turn(fixture->loop);
        assert_int_equal(outcome.calls, 1);
        assert_int_equal(outcome.err, outcomes[i] == TG_ECLOSED ? TG_ECLOSED : TG_OK);
    }
}

static void test_forget(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0};
    struct tg_send *queued_one, *waiting, *settled;
    assert_int_equal(send_text(socket->conn, "one", &outcome, &queued_one), TG_OK);
    tg_send_forget(queued_one);
    turn(fixture->loop);
    socket->next = TG_EAGAIN;
    assert_int_equal(send_text(socket->conn, "two", NULL, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(send_text(socket->conn, "three", &outcome, &waiting), TG_OK);
    turn(fixture->loop);
    tg_send_forget(waiting);
    fake_writable(socket);
    turn(fixture->loop);
    assert_int_equal(send_text(socket->conn, "four", &outcome, &settled), TG_OK);
    tg_conn_close(socket->conn, 0, TG_EMPTY);
    tg_send_forget(settled);
    turn(fixture->loop);
    assert_int_equal(outcome.calls, 0);
    ASSERT_WRITTEN(socket, "\x81\x03one\x81\x03two\x81\x05three");
    end_conn(socket);
}

/* ---- the end of the connection ---- */

static void test_close_sends_what_is_queued(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0};
    assert_int_equal(send_text(socket->conn, "one", &outcome, NULL), TG_OK);
    assert_int_equal(send_text(socket->conn, "two", &outcome, NULL), TG_OK);
    tg_conn_close(socket->conn, 1000, TG_LIT("bye"));
    ASSERT_WRITTEN(socket, "\x81\x03one\x81\x03two");
    assert_int_equal(socket->writes, 1);
    assert_int_equal(socket->close_code, 1000);
    assert_int_equal(outcome.calls, 0);
    assert_int_equal(send_text(socket->conn, "late", &outcome, NULL), TG_ECLOSED);
    turn(fixture->loop);
    assert_int_equal(outcome.calls, 2);
    assert_int_equal(outcome.err, TG_OK);
    assert_int_equal(socket->writes, 1);
    end_conn(socket);
}

static void test_close_of_a_blocked_connection(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome taken = {0}, waiting = {0};
    socket->next = TG_EAGAIN;
    assert_int_equal(send_text(socket->conn, "one", &taken, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(send_text(socket->conn, "two", &waiting, NULL), TG_OK);
    tg_conn_close(socket->conn, 1000, TG_EMPTY);
    assert_int_equal(socket->writes, 1);
    turn(fixture->loop);
    assert_int_equal(waiting.calls, 1);
    assert_int_equal(waiting.err, TG_ECLOSED);
    assert_int_equal(queued(fixture), 5); /* the socket may still get it out */
    end_conn(socket);
    assert_int_equal(queued(fixture), 0);
    turn(fixture->loop);
    assert_int_equal(taken.calls, 1);
    assert_int_equal(taken.err, TG_OK);
    assert_int_equal(waiting.calls, 1);
}

static void test_socket_that_drains_while_closing(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome taken = {0};
    socket->next = TG_EAGAIN;
    assert_int_equal(send_text(socket->conn, "one", &taken, NULL), TG_OK);
    tg_conn_close(socket->conn, 1000, TG_EMPTY);
    assert_int_equal(taken.calls, 0);
    turn(fixture->loop);
    assert_int_equal(taken.calls, 1);
    assert_int_equal(taken.err, TG_OK);
    assert_int_equal(queued(fixture), 5);
    fake_writable(socket);
    assert_int_equal(queued(fixture), 0);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 1);
    end_conn(socket);
}

static void test_cut_sends_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0};
    assert_int_equal(send_text(socket->conn, "one", &outcome, NULL), TG_OK);
    tg_conn_close(socket->conn, 0, TG_EMPTY);
    assert_int_equal(socket->writes, 0);
    assert_int_equal(socket->closes, 1);
    turn(fixture->loop);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.err, TG_ECLOSED);
    end_conn(socket);
}

static void test_write_finds_the_socket_closed(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct tg_conn_handle handle = tg_conn_handle(socket->conn);
    struct outcome outcome = {0};
    socket->next = TG_ECLOSED;
    assert_int_equal(send_text(socket->conn, "one", &outcome, NULL), TG_OK);
    assert_int_equal(send_text(socket->conn, "two", &outcome, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(outcome.calls, 2);
    assert_int_equal(outcome.err, TG_ECLOSED);
    assert_null(tg_conn_get_open(fixture->mgr, handle));
    assert_int_equal(fixture->closed, 0);
    tg_conn_close(socket->conn, 1001, TG_LIT("Going away")); /* too late: the end was seen */
    assert_int_equal(socket->closes, 0);
    fake_end(socket, 1006, "", true);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->code, 1006);
    fake_socket_free(socket);
}

static void test_connection_gone_before_the_flush(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct outcome outcome = {0};
    assert_int_equal(send_text(socket->conn, "one", &outcome, NULL), TG_OK);
    end_conn(socket);
    assert_int_equal(outcome.calls, 0);
    turn(fixture->loop);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.err, TG_ECLOSED);
}

static void test_manager_ends_with_callbacks_due(void **state)
{
    struct fixture fixture;
    struct outcome outcome = {0};
    (void)state;
    fixture_init(&fixture, 0, 1);
    struct tg_socket *socket = open_conn(&fixture);
    assert_int_equal(send_text(socket->conn, "one", &outcome, NULL), TG_OK);
    end_conn(socket);
    fixture_free(&fixture);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.err, TG_ECLOSED);
}

/* ---- callbacks that do things ---- */

struct chain {
    struct fixture *fixture;
    struct tg_conn_handle self, other;
    int calls;
    enum tg_err err;
};

static void close_both(void *arg, enum tg_err err)
{
    struct chain *chain = arg;
    const struct tg_conn_handle handles[] = {chain->self, chain->other};
    chain->calls++;
    chain->err = err;
    for (size_t i = 0; i < 2; i++) {
        struct tg_conn *conn = tg_conn_get_open(chain->fixture->mgr, handles[i]);
        if (conn != NULL) {
            tg_conn_close(conn, 4000, TG_LIT("told to"));
        }
    }
}

static void test_callback_that_closes_others(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *first = open_conn(fixture), *second = open_conn(fixture);
    struct chain chain = {fixture, tg_conn_handle(first->conn), tg_conn_handle(second->conn), 0, TG_OK};
    struct outcome after = {0}, blocked = {0}, behind = {0};
    struct tg_frame *frame = text_frame("one");
    second->next = TG_EAGAIN;
    assert_int_equal(send_text(second->conn, "b1", &blocked, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(tg_conn_send(first->conn, frame, close_both, &chain, NULL), TG_OK);
    assert_int_equal(send_text(first->conn, "two", &after, NULL), TG_OK);
    assert_int_equal(send_text(second->conn, "b2", &behind, NULL), TG_OK);
    tg_frame_unref(frame);
    turn(fixture->loop);
    turn(fixture->loop);
    assert_int_equal(chain.calls, 1);
    assert_int_equal(chain.err, TG_OK);
    assert_int_equal(after.calls, 1);
    assert_int_equal(after.err, TG_OK); /* it went out in the same write */
    assert_int_equal(behind.calls, 1);
    assert_int_equal(behind.err, TG_ECLOSED);
    assert_int_equal(first->close_code, 4000);
    assert_int_equal(second->close_code, 4000);
    end_conn(first);
    end_conn(second);
    turn(fixture->loop);
    assert_int_equal(blocked.calls, 1);
    assert_int_equal(blocked.err, TG_OK);
    assert_int_equal(behind.calls, 1);
}

static void send_next(void *arg, enum tg_err err)
{
    struct chain *chain = arg;
    struct tg_conn *conn = tg_conn_get_open(chain->fixture->mgr, chain->self);
    chain->err = err;
    if (++chain->calls < 3 && conn != NULL) {
        struct tg_frame *frame = text_frame(chain->calls == 1 ? "2" : "3");
        assert_int_equal(tg_conn_send(conn, frame, send_next, chain, NULL), TG_OK);
        tg_frame_unref(frame);
    }
}

static void test_callback_that_sends(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    struct chain chain = {.fixture = fixture, .self = tg_conn_handle(socket->conn)};
    struct tg_frame *frame = text_frame("1");
    assert_int_equal(tg_conn_send(socket->conn, frame, send_next, &chain, NULL), TG_OK);
    tg_frame_unref(frame);
    for (int i = 0; i < 4; i++) {
        turn(fixture->loop);
    }
    assert_int_equal(chain.calls, 3);
    assert_int_equal(chain.err, TG_OK);
    ASSERT_WRITTEN(socket, "\x81\x01"
                           "1\x81\x01"
                           "2\x81\x01"
                           "3");
    end_conn(socket);
}

/* Tiny frames: their number is limited, not only their bytes. */
static void test_frames_are_counted(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    size_t taken = 0;
    enum tg_err err = TG_OK;
    fixture->settings.max_queued_bytes = 25600;
    tg_conn_configure(socket->conn, &fixture->settings);
    while (err == TG_OK && taken < 10000) {
        err = send_text(socket->conn, "", NULL, NULL);
        taken += err == TG_OK;
    }
    assert_int_equal(err, TG_EBUSY);
    assert_int_equal(taken, 64 + 100);
    end_conn(socket);
}

/* ---- messages whose fate nobody wants to know ---- */

enum { LONG = 16384 };

static struct tg_slice long_text(void)
{
    static char text[LONG];
    memset(text, 'l', sizeof text);
    return tg_slice_make(text, sizeof text);
}

static enum tg_err send_long(struct tg_socket *socket)
{
    return tg_conn_send_text(socket->conn, long_text());
}

static void test_a_long_message_is_written_from_where_it_lies(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
    assert_int_equal(send_long(socket), TG_OK);
    assert_int_equal(socket->writes, 1);
    assert_int_equal(socket->pieces, 2);
    assert_ptr_equal(socket->last_piece, long_text().ptr);
    assert_int_equal(tg_buf_size(&socket->written), LONG + 4);
    assert_memory_equal(tg_buf_slice(&socket->written).ptr, "\x81\x7e\x40\x00llll", 8);
    assert_int_equal(atomic_load(&counters->messages_out), 1);
    assert_int_equal(atomic_load(&counters->bytes_out), LONG);
    assert_int_equal(queued(fixture), 0);
    /* What the socket keeps counts as ever. */
    socket->next = TG_EAGAIN;
    assert_int_equal(send_long(socket), TG_OK);
    assert_int_equal(queued(fixture), LONG + 4);
    assert_int_equal(send_long(socket), TG_OK);
    assert_int_equal(socket->writes, 2);
    fake_writable(socket);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 3);
    assert_ptr_not_equal(socket->last_piece, long_text().ptr);
    assert_int_equal(atomic_load(&counters->messages_out), 3);
    socket->next = TG_ECLOSED;
    assert_int_equal(send_long(socket), TG_OK);
    assert_int_equal(send_long(socket), TG_ECLOSED);
    assert_int_equal(atomic_load(&counters->messages_out), 3);
    end_conn(socket);
}

static void test_a_message_keeps_its_place(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    assert_int_equal(tg_conn_send_text(socket->conn, TG_LIT("one")), TG_OK);
    assert_int_equal(tg_conn_send_text(socket->conn, TG_LIT("two")), TG_OK);
    assert_int_equal(socket->writes, 0);
    assert_int_equal(send_long(socket), TG_OK);
    assert_int_equal(socket->writes, 1);
    assert_int_equal(socket->pieces, 2); /* the short ones, and the long one */
    assert_memory_equal(tg_buf_slice(&socket->written).ptr, "\x81\x03one\x81\x03two\x81\x7e\x40\x00l", 15);
    end_conn(socket);
}

/* What answers the messages of one read goes out in one write, when the last one is answered or the read is
 * over. */
static void test_answers_of_one_read_go_out_together(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    for (int last = 0; last < 2; last++) {
        socket->more = true;
        assert_int_equal(send_long(socket), TG_OK);
        assert_int_equal(tg_conn_send_text(socket->conn, TG_LIT("short")), TG_OK);
        assert_int_equal(send_long(socket), TG_OK);
        assert_int_equal(socket->writes, last);
        socket->more = false;
        if (last == 1) {
            assert_int_equal(send_long(socket), TG_OK);
        } else {
            tg_conn_socket_events.on_read(socket->conn);
        }
        assert_int_equal(socket->writes, last + 1);
        assert_int_equal(socket->pieces, 3 + last);
        assert_int_equal(queued(fixture), 0);
        tg_conn_socket_events.on_read(socket->conn);
        turn(fixture->loop);
        assert_int_equal(socket->writes, last + 1);
    }
    /* No more than one write takes is kept for it. */
    socket->more = true;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(send_long(socket), TG_OK);
    }
    assert_int_equal(socket->writes, 4);
    turn(fixture->loop);
    assert_int_equal(socket->writes, 5);
    end_conn(socket);
}

/* It may be kept for the end of the read only where it may be kept at all. */
static void test_what_is_kept_for_the_read_leaves_room(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.max_queued_bytes = LONG + 100;
    struct tg_socket *socket = open_conn(fixture);
    socket->more = true;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(send_long(socket), TG_OK);
    }
    assert_int_equal(socket->writes, 3);
    socket->next = TG_EAGAIN;
    assert_int_equal(send_long(socket), TG_EBUSY);
    assert_int_equal(socket->writes, 4);
    end_conn(socket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_write_a_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_frame_for_many_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_frame_is_sent_when_the_socket_has_taken_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_socket_that_blocks_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_socket_has_more_than_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_withdraw, setup, teardown),
        cmocka_unit_test_setup_teardown(test_withdraw_when_the_callback_is_due, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_sends_what_is_queued, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_of_a_blocked_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_that_drains_while_closing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_sends_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_finds_the_socket_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connection_gone_before_the_flush, setup, teardown),
        cmocka_unit_test(test_manager_ends_with_callbacks_due),
        cmocka_unit_test_setup_teardown(test_callback_that_closes_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_callback_that_sends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_frames_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_long_message_is_written_from_where_it_lies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_message_keeps_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_of_one_read_go_out_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_kept_for_the_read_leaves_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
