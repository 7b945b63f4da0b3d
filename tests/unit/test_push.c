/* Operations by connection id, on the worker that is asked and by way of another. Most tests run the loops of
 * both workers in turn on one thread; the last one runs each on its own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "connmgr/push.h"
#include "tests/unit/fake_socket.h"

enum { INBOX = 16, LONG_MS = 60000, SHORT_MS = 20 };

struct worker {
    struct fixture fixture;
    struct tg_push *push;
};

struct gateway {
    struct tg_bus *bus;
    struct worker workers[2];
};

/* What a callback said. */
struct result {
    int calls;
    enum tg_push_outcome outcome;
    bool has_info;
    char source_ip[64], user_agent[64];
    bool has_agent;
    int64_t connected_at_ms, last_active_ms;
    struct tg_push_op *op;
};

static void copy_text(char out[64], struct tg_slice text)
{
    assert_true(text.len < 64);
    memcpy(out, text.len > 0 ? text.ptr : "", text.len);
    out[text.len] = '\0';
}

static void note_done(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    struct result *result = arg;
    result->calls++;
    result->outcome = outcome;
    result->has_info = info != NULL;
    if (info != NULL) {
        copy_text(result->source_ip, info->source_ip);
        copy_text(result->user_agent, info->user_agent);
        result->has_agent = info->user_agent.ptr != NULL;
        result->connected_at_ms = info->connected_at_ms;
        result->last_active_ms = info->last_active_ms;
    }
}

static int setup(void **state)
{
    struct gateway *gateway = calloc(1, sizeof *gateway);
    assert_non_null(gateway);
    assert_int_equal(tg_bus_local_new(7, 2, INBOX, &gateway->bus), TG_OK);
    for (uint32_t i = 0; i < 2; i++) {
        struct worker *worker = &gateway->workers[i];
        fixture_init(&worker->fixture, i, 64);
        assert_int_equal(tg_push_new(worker->fixture.mgr, worker->fixture.loop, gateway->bus,
                                     &worker->fixture.options, &worker->push),
                         TG_OK);
    }
    *state = gateway;
    return 0;
}

static int teardown(void **state)
{
    struct gateway *gateway = *state;
    for (size_t i = 0; i < 2; i++) {
        tg_push_free(gateway->workers[i].push);
        fixture_free(&gateway->workers[i].fixture);
    }
    tg_bus_free(gateway->bus);
    free(gateway);
    return 0;
}

static void turn_both(struct gateway *gateway)
{
    for (int i = 0; i < 4; i++) {
        turn(gateway->workers[0].fixture.loop);
        turn(gateway->workers[1].fixture.loop);
    }
}

/* Runs the first worker's loop until the callback came. */
static void wait_for(struct gateway *gateway, struct result *result)
{
    while (result->calls == 0) {
        tg_loop_run_once(gateway->workers[0].fixture.loop);
    }
}

static struct tg_push_request request_for(enum tg_push_verb verb, const char *id)
{
    return (struct tg_push_request){
        .verb = verb,
        .connection_id = tg_slice_cstr(id),
        .api_id = TG_LIT("chat"),
        .payload = TG_LIT("hello"),
        .timeout_ms = LONG_MS,
    };
}

/* Asks the first worker. */
static enum tg_err start(struct gateway *gateway, const struct tg_push_request *request,
                         struct result *result)
{
    *result = (struct result){0};
    enum tg_err err = tg_push_start(gateway->workers[0].push, request, note_done, result, &result->op);
    assert_int_equal(result->calls, 0); /* never from inside */
    return err;
}

static void post(struct gateway *gateway, struct tg_socket *socket, const char *text, uint64_t timeout_ms,
                 struct result *result)
{
    struct tg_push_request request = request_for(TG_PUSH_POST, tg_conn_id(socket->conn));
    request.payload = tg_slice_cstr(text);
    request.timeout_ms = timeout_ms;
    assert_int_equal(start(gateway, &request, result), TG_OK);
}

static void assert_outcome(const struct result *result, enum tg_push_outcome outcome)
{
    assert_int_equal(result->calls, 1);
    assert_int_equal(result->outcome, outcome);
}

/* ---- wherever the connection lives ---- */

static void test_post(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct fixture *fixture = &gateway->workers[owner].fixture;
        struct tg_socket *socket = open_conn(fixture);
        struct result first, second;
        post(gateway, socket, "one", LONG_MS, &first);
        struct tg_push_request request = request_for(TG_PUSH_POST, tg_conn_id(socket->conn));
        request.payload = TG_EMPTY;
        request.binary = true;
        assert_int_equal(start(gateway, &request, &second), TG_OK);
        turn_both(gateway);
        assert_outcome(&first, TG_PUSH_DONE);
        assert_false(first.has_info);
        assert_outcome(&second, TG_PUSH_DONE);
        ASSERT_WRITTEN(socket, "\x81\x03one\x82\x00");
        assert_true(tg_conn_last_active_ms(socket->conn) > fixture_info().connected_at_ms);
        end_conn(socket);
    }
}

static void test_post_is_done_when_the_socket_has_taken_it(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct tg_socket *socket = open_conn(&gateway->workers[owner].fixture);
        struct result result;
        socket->next = TG_EAGAIN;
        post(gateway, socket, "one", LONG_MS, &result);
        turn_both(gateway);
        assert_int_equal(socket->writes, 1);
        assert_outcome(&result, TG_PUSH_DONE);
        post(gateway, socket, "two", LONG_MS, &result);
        turn_both(gateway);
        assert_int_equal(result.calls, 0);
        fake_writable(socket);
        assert_int_equal(result.calls, 0);
        turn_both(gateway);
        assert_outcome(&result, TG_PUSH_DONE);
        ASSERT_WRITTEN(socket, "\x81\x03one\x81\x03two");
        end_conn(socket);
    }
}

static void test_post_in_order(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct tg_socket *socket = open_conn(&gateway->workers[owner].fixture);
        struct result results[3];
        const char *const texts[] = {"1", "2", "3"};
        for (size_t i = 0; i < 3; i++) {
            post(gateway, socket, texts[i], LONG_MS, &results[i]);
        }
        turn_both(gateway);
        assert_outcome(&results[2], TG_PUSH_DONE);
        ASSERT_WRITTEN(socket, "\x81\x01"
                               "1\x81\x01"
                               "2\x81\x01"
                               "3");
        end_conn(socket);
    }
}

static void test_get(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct tg_socket *socket = open_conn(&gateway->workers[owner].fixture);
        struct tg_push_request request = request_for(TG_PUSH_GET, tg_conn_id(socket->conn));
        struct result result;
        tg_conn_touch(socket->conn);
        int64_t active = tg_conn_last_active_ms(socket->conn);
        assert_int_equal(start(gateway, &request, &result), TG_OK);
        if (owner == 0) {
            end_conn(socket); /* the answer stands */
        }
        turn_both(gateway);
        assert_outcome(&result, TG_PUSH_DONE);
        assert_true(result.has_info);
        assert_string_equal(result.source_ip, "203.0.113.9");
        assert_string_equal(result.user_agent, "Mozilla/5.0");
        assert_int_equal(result.connected_at_ms, 1767323045123);
        assert_int_equal(result.last_active_ms, active);
        if (owner == 1) {
            end_conn(socket);
        }
    }
}

static void test_get_without_user_agent(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct fixture *fixture = &gateway->workers[owner].fixture;
        struct tg_conn_info info = fixture_info();
        struct tg_socket *socket = fake_socket_new();
        struct tg_conn_handle handle;
        struct result result;
        char id[TG_CONNID_LEN + 1];
        info.user_agent = TG_EMPTY;
        assert_int_equal(tg_conn_reserve(fixture->mgr, &handle, id), TG_OK);
        socket->conn = tg_conn_get(fixture->mgr, handle);
        assert_int_equal(tg_conn_open(fixture->mgr, handle, &info, &fixture->settings, socket, &fake_ops),
                         TG_OK);
        struct tg_push_request request = request_for(TG_PUSH_GET, id);
        assert_int_equal(start(gateway, &request, &result), TG_OK);
        turn_both(gateway);
        assert_outcome(&result, TG_PUSH_DONE);
        assert_false(result.has_agent);
        end_conn(socket);
    }
}

static void test_delete(void **state)
{
    static const struct {
        int code;
        const char *reason;
        int sent_code;
        const char *sent_reason;
    } rows[] = {
        {0, NULL, 1000, "Connection Closed Normally"},
        {1000, "", 1000, "Connection Closed Normally"},
        {1000, "enough", 1000, "enough"},
        {4001, "", 4001, ""},
        {4001, "kicked", 4001, "kicked"},
    };
    struct gateway *gateway = *state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        const size_t row = i / 2;
        struct tg_socket *socket = open_conn(&gateway->workers[i % 2].fixture);
        struct tg_push_request request = request_for(TG_PUSH_DELETE, tg_conn_id(socket->conn));
        struct result before, result, after;
        request.close_code = rows[row].code;
        request.close_reason = tg_slice_cstr(rows[row].reason);
        post(gateway, socket, "last words", LONG_MS, &before);
        assert_int_equal(start(gateway, &request, &result), TG_OK);
        post(gateway, socket, "late", LONG_MS, &after);
        turn_both(gateway);
        assert_outcome(&before, TG_PUSH_DONE);
        assert_outcome(&result, TG_PUSH_DONE);
        assert_outcome(&after, TG_PUSH_GONE);
        ASSERT_WRITTEN(socket, "\x81\x0alast words");
        assert_int_equal(socket->close_code, rows[row].sent_code);
        assert_string_equal(socket->close_reason, rows[row].sent_reason);
        end_conn(socket);
    }
}

/* ---- what is not there ---- */

static void assert_gone(struct gateway *gateway, const char *id, struct tg_slice api_id)
{
    static const enum tg_push_verb verbs[] = {TG_PUSH_POST, TG_PUSH_GET, TG_PUSH_DELETE};
    for (size_t i = 0; i < 3; i++) {
        struct tg_push_request request = request_for(verbs[i], id);
        struct result result;
        request.api_id = api_id;
        assert_int_equal(tg_push_check_id(gateway->workers[0].push, request.connection_id), TG_OK);
        assert_int_equal(start(gateway, &request, &result), TG_OK);
        turn_both(gateway);
        assert_outcome(&result, TG_PUSH_GONE);
        assert_false(result.has_info);
    }
}

static void test_gone(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct fixture *fixture = &gateway->workers[owner].fixture;
        struct tg_conn_handle reserved;
        char id[TG_CONNID_LEN + 1];
        assert_int_equal(tg_conn_reserve(fixture->mgr, &reserved, id), TG_OK);
        assert_gone(gateway, id, TG_LIT("chat")); /* $connect runs */
        tg_conn_release(fixture->mgr, reserved);
        assert_gone(gateway, id, TG_LIT("chat"));

        struct tg_socket *socket = open_conn(fixture);
        memcpy(id, tg_conn_id(socket->conn), sizeof id);
        assert_gone(gateway, id, TG_LIT("other"));
        assert_gone(gateway, id, TG_EMPTY);
        assert_int_equal(socket->writes, 0);
        assert_int_equal(socket->closes, 0);
        tg_conn_close(socket->conn, 1001, TG_EMPTY);
        assert_gone(gateway, id, TG_LIT("chat"));
        end_conn(socket);
        assert_gone(gateway, id, TG_LIT("chat"));
        for (size_t i = 0; i < 63; i++) { /* the slot comes round */
            assert_int_equal(tg_conn_reserve(fixture->mgr, &reserved, (char[TG_CONNID_LEN + 1]){0}), TG_OK);
            tg_conn_release(fixture->mgr, reserved);
        }
        assert_gone(gateway, id, TG_LIT("chat"));
    }
}

static void test_owners_that_are_not(void **state)
{
    struct gateway *gateway = *state;
    const unsigned char *key = gateway->workers[0].fixture.options.id_key;
    char id[TG_CONNID_LEN + 1];
    tg_connid_encode(key, &(struct tg_connid){8, 0, 0, 1}, id); /* an earlier life of the node */
    assert_gone(gateway, id, TG_LIT("chat"));
    tg_connid_encode(key, &(struct tg_connid){7, 9, 0, 1}, id); /* no such worker */
    assert_gone(gateway, id, TG_LIT("chat"));
    tg_connid_encode(key, &(struct tg_connid){7, 1, 0xffffff, 1}, id); /* no such slot */
    assert_gone(gateway, id, TG_LIT("chat"));
}

static void test_not_an_id(void **state)
{
    struct gateway *gateway = *state;
    struct tg_push_request request = request_for(TG_PUSH_GET, "L0SM9cOFvHcCIhw=");
    struct result result;
    assert_int_equal(tg_push_check_id(gateway->workers[0].push, request.connection_id), TG_ESYNTAX);
    assert_int_equal(start(gateway, &request, &result), TG_ESYNTAX);
    turn_both(gateway);
    assert_int_equal(result.calls, 0);
}

/* ---- what does not get through ---- */

static void test_full_queue(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct fixture *fixture = &gateway->workers[owner].fixture;
        fixture->settings.max_queued_bytes = 8;
        struct tg_socket *socket = open_conn(fixture);
        struct result first, second;
        socket->next = TG_EAGAIN;
        post(gateway, socket, "12345", LONG_MS, &first);
        turn_both(gateway);
        assert_outcome(&first, TG_PUSH_DONE);
        post(gateway, socket, "12345", LONG_MS, &second); /* what waits in the socket counts */
        turn_both(gateway);
        assert_outcome(&second, TG_PUSH_BUSY);
        fake_writable(socket);
        post(gateway, socket, "12345", LONG_MS, &second);
        turn_both(gateway);
        assert_outcome(&second, TG_PUSH_DONE);
        end_conn(socket);
    }
}

static void test_connection_ends_meanwhile(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct tg_socket *socket = open_conn(&gateway->workers[owner].fixture);
        struct result first, second;
        socket->next = TG_EAGAIN;
        post(gateway, socket, "one", LONG_MS, &first);
        turn_both(gateway);
        post(gateway, socket, "two", LONG_MS, &second);
        turn_both(gateway);
        fake_end(socket, 1006, "", true);
        turn_both(gateway);
        assert_outcome(&first, TG_PUSH_DONE);
        assert_outcome(&second, TG_PUSH_GONE);
        fake_socket_free(socket);
    }
}

static void test_time_is_over_for_a_waiting_frame(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct fixture *fixture = &gateway->workers[owner].fixture;
        const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
        struct tg_socket *socket = open_conn(fixture);
        struct result first, second;
        socket->next = TG_EAGAIN;
        post(gateway, socket, "one", LONG_MS, &first);
        turn_both(gateway);
        assert_outcome(&first, TG_PUSH_DONE);
        uint64_t begin = tg_loop_now_ms(fixture->loop);
        post(gateway, socket, "two", SHORT_MS, &second);
        while (second.calls == 0) {
            turn_both(gateway);
        }
        assert_outcome(&second, TG_PUSH_BUSY);
        assert_true(tg_loop_now_ms(fixture->loop) - begin >= SHORT_MS);
        assert_int_equal(atomic_load(&counters->queued_bytes), 5);
        fake_writable(socket);
        turn_both(gateway);
        assert_int_equal(second.calls, 1);
        ASSERT_WRITTEN(socket, "\x81\x03one"); /* the second was taken back */
        assert_int_equal(atomic_load(&counters->queued_bytes), 0);
        end_conn(socket);
    }
}

struct closer {
    struct tg_timer timer;
    struct tg_conn *conn;
};

static void close_now(struct tg_timer *timer)
{
    struct closer *closer = TG_CONTAINER(timer, struct closer, timer);
    tg_conn_close(closer->conn, 0, TG_EMPTY);
}

/* The frame's fate is settled, and its callback due, when its time is over in the same pass. */
static void test_time_is_over_when_the_end_is_known(void **state)
{
    struct gateway *gateway = *state;
    struct tg_loop *loop = gateway->workers[0].fixture.loop;
    struct tg_socket *socket = open_conn(&gateway->workers[0].fixture);
    struct closer closer = {.conn = socket->conn};
    struct result result;
    socket->next = TG_EAGAIN;
    post(gateway, socket, "one", LONG_MS, &result);
    turn_both(gateway);
    tg_timer_init(&closer.timer, close_now);
    tg_timer_start(loop, &closer.timer, 1);
    post(gateway, socket, "two", 1, &result); /* due with the other, and after it */
    wait_for(gateway, &result);
    assert_outcome(&result, TG_PUSH_GONE);
    turn_both(gateway);
    assert_int_equal(result.calls, 1);
    end_conn(socket);
}

static void test_owner_does_not_answer(void **state)
{
    struct gateway *gateway = *state;
    struct tg_socket *socket = open_conn(&gateway->workers[1].fixture);
    struct result result, again;
    post(gateway, socket, "one", SHORT_MS, &result);
    wait_for(gateway, &result); /* the second worker stands still */
    assert_outcome(&result, TG_PUSH_UNREACHABLE);
    turn_both(gateway); /* its answer comes too late */
    assert_int_equal(result.calls, 1);
    post(gateway, socket, "two", LONG_MS, &again);
    turn_both(gateway);
    assert_outcome(&again, TG_PUSH_DONE);
    end_conn(socket);
}

static void test_inbox_full(void **state)
{
    struct gateway *gateway = *state;
    struct tg_socket *socket = open_conn(&gateway->workers[1].fixture);
    struct result results[INBOX + 1];
    for (size_t i = 0; i < INBOX + 1; i++) {
        post(gateway, socket, "x", LONG_MS, &results[i]);
    }
    turn(gateway->workers[0].fixture.loop);
    assert_outcome(&results[INBOX], TG_PUSH_UNREACHABLE);
    turn_both(gateway);
    for (size_t i = 0; i < INBOX; i++) {
        assert_outcome(&results[i], TG_PUSH_DONE);
    }
    end_conn(socket);
}

static void test_owner_has_ended(void **state)
{
    struct gateway *gateway = *state;
    struct tg_socket *socket = open_conn(&gateway->workers[1].fixture);
    char id[TG_CONNID_LEN + 1];
    memcpy(id, tg_conn_id(socket->conn), sizeof id);
    end_conn(socket);
    tg_push_free(gateway->workers[1].push);
    gateway->workers[1].push = NULL;
    assert_gone(gateway, id, TG_LIT("chat"));
}

static void test_owner_ends_with_a_frame_on_its_way(void **state)
{
    struct gateway *gateway = *state;
    struct tg_socket *socket = open_conn(&gateway->workers[1].fixture);
    struct result first, second;
    socket->next = TG_EAGAIN;
    post(gateway, socket, "one", SHORT_MS, &first);
    turn_both(gateway);
    post(gateway, socket, "two", SHORT_MS, &second);
    turn_both(gateway);
    tg_push_free(gateway->workers[1].push);
    gateway->workers[1].push = NULL;
    assert_outcome(&first, TG_PUSH_DONE);
    wait_for(gateway, &second);
    assert_outcome(&second, TG_PUSH_UNREACHABLE);
    end_conn(socket);
}

static void test_alone_without_a_bus(void **state)
{
    struct gateway *gateway = *state;
    struct worker *worker = &gateway->workers[0];
    struct tg_socket *far = open_conn(&gateway->workers[1].fixture), *near = open_conn(&worker->fixture);
    struct result result;
    tg_push_free(worker->push);
    assert_int_equal(
        tg_push_new(worker->fixture.mgr, worker->fixture.loop, NULL, &worker->fixture.options, &worker->push),
        TG_OK);
    assert_gone(gateway, tg_conn_id(far->conn), TG_LIT("chat"));
    post(gateway, near, "one", LONG_MS, &result);
    turn_both(gateway);
    assert_outcome(&result, TG_PUSH_DONE);
    end_conn(far);
    end_conn(near);
}

/* ---- cancelling ---- */

static void test_cancel(void **state)
{
    struct gateway *gateway = *state;
    for (size_t owner = 0; owner < 2; owner++) {
        struct tg_socket *socket = open_conn(&gateway->workers[owner].fixture);
        struct tg_push_request request = request_for(TG_PUSH_GET, tg_conn_id(socket->conn));
        struct result get, taken, waiting, settled;
        assert_int_equal(start(gateway, &request, &get), TG_OK);
        tg_push_cancel(get.op);
        socket->next = TG_EAGAIN;
        post(gateway, socket, "one", LONG_MS, &taken);
        turn_both(gateway);
        assert_outcome(&taken, TG_PUSH_DONE);
        post(gateway, socket, "two", LONG_MS, &waiting);
        turn_both(gateway);
        tg_push_cancel(waiting.op);
        fake_writable(socket);
        turn_both(gateway);
        if (owner == 0) {
            ASSERT_WRITTEN(socket, "\x81\x03one"); /* the second was taken back */
        }
        post(gateway, socket, "three", LONG_MS, &settled);
        tg_conn_close(socket->conn, 1000, TG_EMPTY); /* the callback is due, or the question on its way */
        tg_push_cancel(settled.op);
        turn_both(gateway);
        assert_int_equal(get.calls + waiting.calls + settled.calls, 0);
        end_conn(socket);
    }
}

/* ---- two threads ---- */

enum { ROUNDS = 3000, WINDOW = 4 };

struct station {
    struct gateway *gateway;
    struct worker *worker;
    struct tg_socket *socket;
    char target[TG_CONNID_LEN + 1]; /* the other's connection */
    _Atomic(int) *stations_left;
    uint64_t started, done;
};

static void start_round(struct station *station);

static void round_done(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    struct station *station = arg;
    assert_int_equal(outcome, TG_PUSH_DONE);
    assert_null(info);
    station->done++;
    if (station->started < ROUNDS) {
        start_round(station);
    } else if (station->done == ROUNDS && atomic_fetch_sub(station->stations_left, 1) == 1) {
        tg_loop_stop(station->gateway->workers[0].fixture.loop);
        tg_loop_stop(station->gateway->workers[1].fixture.loop);
    }
}

static void start_round(struct station *station)
{
    struct tg_push_request request = request_for(TG_PUSH_POST, station->target);
    struct tg_push_op *op;
    const uint64_t number = ++station->started;
    request.payload = tg_slice_make(&number, sizeof number);
    request.binary = true;
    assert_int_equal(tg_push_start(station->worker->push, &request, round_done, station, &op), TG_OK);
}

static void *run_station(void *arg)
{
    struct station *station = arg;
    for (int i = 0; i < WINDOW; i++) {
        start_round(station);
    }
    tg_loop_run(station->worker->fixture.loop);
    return NULL;
}

static void test_two_threads(void **state)
{
    struct gateway *gateway = *state;
    _Atomic(int) stations_left = 2;
    struct station stations[2];
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        struct worker *worker = &gateway->workers[i];
        stations[i] = (struct station){.gateway = gateway, .worker = worker, .stations_left = &stations_left};
        stations[i].socket = open_conn(&worker->fixture);
    }
    for (size_t i = 0; i < 2; i++) {
        memcpy(stations[i].target, tg_conn_id(stations[1 - i].socket->conn), sizeof stations[i].target);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_station, &stations[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (size_t i = 0; i < 2; i++) { /* every message once, in order */
        struct tg_slice written = tg_buf_slice(&stations[i].socket->written);
        assert_int_equal(written.len, ROUNDS * 10);
        for (uint64_t number = 1; number <= ROUNDS; number++) {
            assert_memory_equal(written.ptr + (number - 1) * 10 + 2, &number, sizeof number);
        }
        end_conn(stations[i].socket);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_post, setup, teardown),
        cmocka_unit_test_setup_teardown(test_post_is_done_when_the_socket_has_taken_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_post_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_get, setup, teardown),
        cmocka_unit_test_setup_teardown(test_get_without_user_agent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owners_that_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_an_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connection_ends_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_is_over_for_a_waiting_frame, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_is_over_when_the_end_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner_does_not_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inbox_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner_has_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner_ends_with_a_frame_on_its_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alone_without_a_bus, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
