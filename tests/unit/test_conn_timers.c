/* Idle time-out, greatest duration and pings, on the real clock with short settings. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/fake_socket.h"

enum { SHORT_MS = 40, LONG_MS = 60000 };

#define PING "\x89\x08tidegate"

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

/* Runs the loop until the socket is closed; returns how long after `since` that was. */
static uint64_t until_closed(struct fixture *fixture, struct tg_socket *socket, uint64_t since)
{
    while (socket->closes == 0) {
        tg_loop_run_once(fixture->loop);
    }
    assert_int_equal(socket->closes, 1);
    return tg_loop_now_ms(fixture->loop) - since;
}

static void wake(struct tg_timer *timer)
{
    (void)timer;
}

/* Runs the loop until its clock has reached `when`. */
static void run_until(struct fixture *fixture, uint64_t when)
{
    struct tg_timer timer;
    tg_timer_init(&timer, wake);
    while (tg_loop_now_ms(fixture->loop) < when) {
        tg_timer_start(fixture->loop, &timer, when - tg_loop_now_ms(fixture->loop));
        tg_loop_run_once(fixture->loop);
    }
    tg_timer_stop(&timer);
}

static void end_going_away(struct fixture *fixture, struct tg_socket *socket)
{
    assert_int_equal(socket->close_code, 1001);
    assert_string_equal(socket->close_reason, "Going away");
    fake_end(socket, 1001, "Going away", false);
    assert_int_equal(fixture->code, 1001);
    assert_string_equal(fixture->reason, "Going away");
    fake_socket_free(socket);
}

static void test_idle(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.idle_timeout_ms = SHORT_MS;
    fixture->settings.max_duration_ms = LONG_MS;
    uint64_t start = tg_loop_now_ms(fixture->loop);
    struct tg_socket *socket = open_conn(fixture);
    assert_true(until_closed(fixture, socket, start) >= SHORT_MS);
    end_going_away(fixture, socket);
}

enum activity { MESSAGE, TOUCH, SEND, SEND_TO_SOCKET, CONTROL };

static void act(struct fixture *fixture, struct tg_socket *socket, enum activity what)
{
    switch (what) {
    case MESSAGE:
        tg_conn_socket_events.on_message(socket->conn, TG_LIT("hello"), false);
        break;
    case TOUCH:
        tg_conn_touch(socket->conn);
        break;
    case SEND_TO_SOCKET: /* the kernel has no room for it */
        socket->next = TG_EAGAIN;
        assert_int_equal(send_text(socket->conn, "hello", NULL, NULL), TG_OK);
        turn(fixture->loop);
        break;
    case SEND:
        assert_int_equal(send_text(socket->conn, "hello", NULL, NULL), TG_OK);
        turn(fixture->loop);
        break;
    case CONTROL:
        tg_conn_socket_events.on_control(socket->conn, true);
        break;
    }
}

static void test_activity_puts_the_idle_timeout_off(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.idle_timeout_ms = SHORT_MS;
    fixture->settings.control_is_activity = true;
    for (enum activity what = MESSAGE; what <= CONTROL; what++) {
        struct tg_socket *socket = open_conn(fixture);
        run_until(fixture, tg_loop_now_ms(fixture->loop) + SHORT_MS / 2);
        uint64_t active = tg_loop_now_ms(fixture->loop);
        if (socket->closes == 0) {
            act(fixture, socket, what);
        }
        if (socket->closes == 0) { /* else the machine stood still for longer than that */
            assert_true(until_closed(fixture, socket, active) >= SHORT_MS);
        }
        end_going_away(fixture, socket);
    }
}

static void test_last_activity_is_of_messages_and_pushes(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.control_is_activity = true;
    struct tg_socket *socket = open_conn(fixture);
    int64_t connected = fixture_info().connected_at_ms;
    act(fixture, socket, SEND);
    act(fixture, socket, CONTROL);
    assert_int_equal(tg_conn_last_active_ms(socket->conn), connected);
    act(fixture, socket, TOUCH);
    assert_int_equal(tg_conn_last_active_ms(socket->conn), tg_loop_wall_ms(fixture->loop));
    end_conn(socket);
}

static void test_control_frames_need_not_count(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.idle_timeout_ms = SHORT_MS;
    struct tg_socket *quiet = open_conn(fixture), *noisy = open_conn(fixture);
    /* Both are due in the same pass, however often the second one is pinged meanwhile. */
    while (quiet->closes == 0) {
        tg_conn_socket_events.on_control(noisy->conn, false);
        turn(fixture->loop);
    }
    assert_int_equal(noisy->closes, 1);
    end_going_away(fixture, quiet);
    end_going_away(fixture, noisy);
}

static void test_duration(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.idle_timeout_ms = LONG_MS;
    fixture->settings.max_duration_ms = SHORT_MS;
    uint64_t start = tg_loop_now_ms(fixture->loop);
    struct tg_socket *socket = open_conn(fixture);
    while (socket->closes == 0) { /* whatever the traffic */
        tg_conn_socket_events.on_message(socket->conn, TG_LIT("hello"), false);
        turn(fixture->loop);
    }
    assert_true(tg_loop_now_ms(fixture->loop) - start >= SHORT_MS);
    end_going_away(fixture, socket);
}

static void test_pings(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.ping_interval_ms = SHORT_MS / 4;
    uint64_t start = tg_loop_now_ms(fixture->loop);
    struct tg_socket *socket = open_conn(fixture);
    while (tg_buf_size(&socket->written) < 3 * (sizeof PING - 1)) {
        tg_loop_run_once(fixture->loop);
    }
    assert_true(tg_loop_now_ms(fixture->loop) - start >= 3 * (SHORT_MS / 4));
    ASSERT_WRITTEN(socket, PING PING PING);
    assert_int_equal(atomic_load(&tg_connmgr_counters(fixture->mgr)->messages_out), 0);
    end_conn(socket);
}

/* A ping is no activity by itself, and none piles up behind a client that does not read. */
static void test_pings_do_not_keep_alive(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.ping_interval_ms = SHORT_MS / 8;
    fixture->settings.idle_timeout_ms = SHORT_MS;
    uint64_t start = tg_loop_now_ms(fixture->loop);
    struct tg_socket *socket = open_conn(fixture);
    socket->next = TG_EAGAIN;
    assert_true(until_closed(fixture, socket, start) >= SHORT_MS);
    assert_true(socket->writes <= 1);
    assert_true(tg_buf_size(&socket->written) <= sizeof PING - 1);
    end_going_away(fixture, socket);
}

static void test_new_settings(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.idle_timeout_ms = LONG_MS;
    struct tg_socket *socket = open_conn(fixture), *other = open_conn(fixture);
    uint64_t start = tg_loop_now_ms(fixture->loop);
    fixture->settings.idle_timeout_ms = SHORT_MS;
    tg_conn_configure(socket->conn, &fixture->settings);
    tg_conn_configure(other->conn, &fixture->settings);
    fixture->settings.idle_timeout_ms = 0;
    tg_conn_configure(other->conn, &fixture->settings);
    assert_true(until_closed(fixture, socket, start) >= SHORT_MS);
    assert_int_equal(other->closes, 0);
    end_going_away(fixture, socket);
    end_conn(other);
}

static void test_endless_settings(void **state)
{
    struct fixture *fixture = *state;
    fixture->settings.idle_timeout_ms = UINT64_MAX;
    fixture->settings.max_duration_ms = UINT64_MAX;
    struct tg_socket *socket = open_conn(fixture);
    turn(fixture->loop);
    assert_int_equal(socket->closes, 0);
    end_conn(socket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_activity_puts_the_idle_timeout_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_activity_is_of_messages_and_pushes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_control_frames_need_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_duration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pings_do_not_keep_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_settings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endless_settings, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
