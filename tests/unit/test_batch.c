/* One message to many connections, of the worker that is asked and of another. The loops of both workers run
 * in turn on one thread. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "connmgr/batch.h"
#include "tests/unit/fake_socket.h"

enum { INBOX = 16, LONG_MS = 60000, SHORT_MS = 20, EACH = 3, MANY = 1000 };

struct worker {
    struct fixture fixture;
    struct tg_push *push;
    struct tg_socket *sockets[EACH];
};

struct gateway {
    struct tg_bus *bus;
    struct worker workers[2];
    struct tg_connid ids[2 * EACH]; /* of the first worker's, then of the second's */
    /* what the callback said */
    int calls;
    size_t count;
    unsigned char outcomes[MANY];
    struct tg_batch *batch;
};

static struct tg_socket *socket_of(struct gateway *gateway, size_t i)
{
    return gateway->workers[i / EACH].sockets[i % EACH];
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
        worker->fixture.settings.max_queued_bytes = 1 << 20;
        for (size_t j = 0; j < EACH; j++) {
            worker->sockets[j] = open_conn(&worker->fixture);
            assert_int_equal(tg_push_read_id(gateway->workers[0].push,
                                             tg_slice_cstr(tg_conn_id(worker->sockets[j]->conn)),
                                             &gateway->ids[i * EACH + j]),
                             TG_OK);
        }
    }
    *state = gateway;
    return 0;
}

static int teardown(void **state)
{
    struct gateway *gateway = *state;
    for (size_t i = 0; i < 2; i++) {
        struct worker *worker = &gateway->workers[i];
        tg_push_free(worker->push);
        for (size_t j = 0; j < EACH; j++) {
            if (worker->sockets[j] != NULL) {
                end_conn(worker->sockets[j]);
            }
        }
        fixture_free(&worker->fixture);
    }
    tg_bus_free(gateway->bus);
    free(gateway);
    return 0;
}

static void turn_both(struct gateway *gateway)
{
    for (int i = 0; i < 12; i++) {
        turn(gateway->workers[0].fixture.loop);
        turn(gateway->workers[1].fixture.loop);
    }
}

static void note_done(void *arg, const unsigned char *outcomes)
{
    struct gateway *gateway = arg;
    gateway->calls++;
    memcpy(gateway->outcomes, outcomes, gateway->count);
}

/* Asks the first worker. */
static void start(struct gateway *gateway, const struct tg_connid *ids, size_t count, const char *text,
                  uint64_t timeout_ms)
{
    const struct tg_batch_request request = {
        .ids = ids,
        .count = count,
        .api_id = TG_LIT("chat"),
        .payload = tg_slice_cstr(text),
        .timeout_ms = timeout_ms,
    };
    gateway->calls = 0;
    gateway->count = count;
    memset(gateway->outcomes, 0xff, sizeof gateway->outcomes);
    assert_int_equal(tg_batch_start(gateway->workers[0].push, &request, note_done, gateway, &gateway->batch),
                     TG_OK);
    assert_int_equal(gateway->calls, 0); /* never from inside */
}

static void assert_outcomes(const struct gateway *gateway, const unsigned char *expected)
{
    assert_int_equal(gateway->calls, 1);
    assert_memory_equal(gateway->outcomes, expected, gateway->count);
}

static void assert_all_done(const struct gateway *gateway)
{
    assert_int_equal(gateway->calls, 1);
    for (size_t i = 0; i < gateway->count; i++) {
        assert_int_equal(gateway->outcomes[i], TG_PUSH_DONE);
    }
}

/* ---- what comes of each ---- */

static void test_everywhere(void **state)
{
    struct gateway *gateway = *state;
    int64_t before = tg_conn_last_active_ms(socket_of(gateway, 5)->conn);
    start(gateway, gateway->ids, 2 * EACH, "hello", LONG_MS);
    turn_both(gateway);
    assert_all_done(gateway);
    for (size_t i = 0; i < 2 * EACH; i++) {
        ASSERT_WRITTEN(socket_of(gateway, i), "\x81\x05hello");
        assert_int_equal(socket_of(gateway, i)->writes, 1);
        assert_true(tg_conn_last_active_ms(socket_of(gateway, i)->conn) > fixture_info().connected_at_ms);
    }
    assert_true(tg_conn_last_active_ms(socket_of(gateway, 5)->conn) >= before);
    assert_int_equal(tg_connmgr_counters(gateway->workers[0].fixture.mgr)->messages_out, EACH);
    assert_int_equal(tg_connmgr_counters(gateway->workers[1].fixture.mgr)->bytes_out, EACH * 5);
}

/* What is said of each stands at its place, however the owners are mixed. */
static void test_what_is_not_there(void **state)
{
    static const unsigned char expected[] = {TG_PUSH_GONE, TG_PUSH_DONE, TG_PUSH_GONE, TG_PUSH_GONE,
                                             TG_PUSH_DONE, TG_PUSH_GONE, TG_PUSH_GONE, TG_PUSH_DONE};
    struct gateway *gateway = *state;
    const struct tg_connid ids[] = {
        {8, 0, 0, 1},                                                   /* an earlier life of the node */
        gateway->ids[3],                                                /* the other worker's */
        {7, 9, 0, 1},                                                   /* no such worker */
        {7, 1, 0xffffff, 1},                                            /* no such slot */
        gateway->ids[0],     {7, 0, 0, gateway->ids[0].generation + 1}, /* not this one */
        gateway->ids[4],                                                /* closing */
        gateway->ids[5],
    };
    tg_conn_close(socket_of(gateway, 4)->conn, 1001, TG_EMPTY);
    start(gateway, ids, sizeof ids / sizeof ids[0], "x", LONG_MS);
    turn_both(gateway);
    assert_outcomes(gateway, expected);
    assert_int_equal(socket_of(gateway, 4)->writes, 0);
    assert_int_equal(socket_of(gateway, 1)->writes, 0);
}

static void test_another_api(void **state)
{
    struct gateway *gateway = *state;
    const struct tg_batch_request request = {.ids = gateway->ids,
                                             .count = 2 * EACH,
                                             .api_id = TG_LIT("other"),
                                             .payload = TG_LIT("x"),
                                             .timeout_ms = LONG_MS};
    static const unsigned char expected[] = {TG_PUSH_GONE, TG_PUSH_GONE, TG_PUSH_GONE,
                                             TG_PUSH_GONE, TG_PUSH_GONE, TG_PUSH_GONE};
    gateway->count = 2 * EACH;
    assert_int_equal(tg_batch_start(gateway->workers[0].push, &request, note_done, gateway, &gateway->batch),
                     TG_OK);
    turn_both(gateway);
    assert_outcomes(gateway, expected);
    assert_int_equal(socket_of(gateway, 0)->writes + socket_of(gateway, 3)->writes, 0);
}

static void test_binary_and_empty(void **state)
{
    struct gateway *gateway = *state;
    const struct tg_batch_request request = {.ids = gateway->ids,
                                             .count = 2 * EACH,
                                             .api_id = TG_LIT("chat"),
                                             .payload = TG_EMPTY,
                                             .binary = true,
                                             .timeout_ms = LONG_MS};
    gateway->count = 2 * EACH;
    assert_int_equal(tg_batch_start(gateway->workers[0].push, &request, note_done, gateway, &gateway->batch),
                     TG_OK);
    turn_both(gateway);
    assert_all_done(gateway);
    ASSERT_WRITTEN(socket_of(gateway, 2), "\x82\x00");
    ASSERT_WRITTEN(socket_of(gateway, 3), "\x82\x00");
}

static size_t sent_by_first(struct gateway *gateway)
{
    size_t sent = tg_connmgr_counters(gateway->workers[0].fixture.mgr)->queued_bytes;
    for (size_t i = 0; i < EACH; i++) {
        sent += tg_buf_size(&socket_of(gateway, i)->written);
    }
    return sent;
}

/* More than are served in a pass, and each connection many times: other events come in between, and nothing
 * is lost or doubled. */
static void test_many(void **state)
{
    struct gateway *gateway = *state;
    struct tg_connid ids[MANY];
    for (size_t i = 0; i < MANY; i++) {
        ids[i] = gateway->ids[i % (2 * EACH)];
    }
    start(gateway, ids, MANY, "m", LONG_MS);
    turn(gateway->workers[0].fixture.loop);
    assert_in_range(sent_by_first(gateway), 3, 3 * 128); /* a slice a pass */
    turn_both(gateway);
    assert_all_done(gateway);
    for (size_t i = 0; i < 2 * EACH; i++) {
        assert_int_equal(tg_buf_size(&socket_of(gateway, i)->written),
                         3 * (MANY / 6 + (i < MANY % 6 ? 1 : 0)));
    }
}

/* Several at once share what may be written in a pass, and take turns. */
static void test_several(void **state)
{
    struct gateway *gateway = *state;
    struct tg_connid ids[MANY];
    for (size_t i = 0; i < MANY; i++) {
        ids[i] = gateway->ids[0];
    }
    start(gateway, ids, 300, "a", LONG_MS);
    start(gateway, ids, 300, "b", LONG_MS);
    turn(gateway->workers[0].fixture.loop);
    assert_in_range(sent_by_first(gateway), 3, 3 * 128);
    turn(gateway->workers[0].fixture.loop);
    turn(gateway->workers[0].fixture.loop);
    assert_non_null(
        memchr(socket_of(gateway, 0)->written.data, 'b', tg_buf_size(&socket_of(gateway, 0)->written)));
    assert_int_equal(gateway->calls, 0); /* so that the first is not done either */
    turn_both(gateway);
    assert_int_equal(gateway->calls, 2);
    assert_int_equal(sent_by_first(gateway), 3 * 600);
}

/* Of long messages fewer go out in a pass. */
static void test_long(void **state)
{
    struct gateway *gateway = *state;
    static char text[131073];
    struct tg_connid ids[20];
    for (size_t i = 0; i < 20; i++) {
        ids[i] = gateway->ids[i % EACH];
    }
    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i < EACH; i++) {
        struct tg_conn_settings settings = gateway->workers[0].fixture.settings;
        settings.max_queued_bytes = 1 << 22;
        tg_conn_configure(socket_of(gateway, i)->conn, &settings);
    }
    start(gateway, ids, 20, text, LONG_MS);
    turn(gateway->workers[0].fixture.loop);
    assert_in_range(sent_by_first(gateway), 131082, 8 * 131082);
    turn_both(gateway);
    assert_all_done(gateway);
    assert_int_equal(sent_by_first(gateway), 20 * 131082);
}

/* ---- what does not get through at once ---- */

static void block(struct gateway *gateway, size_t i)
{
    struct worker *worker = &gateway->workers[0];
    struct tg_push_request request = {.verb = TG_PUSH_POST,
                                      .connection_id = tg_slice_cstr(tg_conn_id(socket_of(gateway, i)->conn)),
                                      .api_id = TG_LIT("chat"),
                                      .payload = TG_LIT("full"),
                                      .timeout_ms = LONG_MS};
    struct tg_push_now now;
    socket_of(gateway, i)->next = TG_EAGAIN;
    if (i >= EACH) {
        assert_int_equal(tg_conn_send_text(socket_of(gateway, i)->conn, TG_LIT("full")), TG_OK);
    } else {
        assert_true(tg_push_now(worker->push, &request, &now));
    }
    turn_both(gateway);
    assert_int_equal(socket_of(gateway, i)->writes, 1);
}

static void test_waits_for_the_slow(void **state)
{
    struct gateway *gateway = *state;
    block(gateway, 1);
    block(gateway, 4);
    start(gateway, gateway->ids, 2 * EACH, "x", LONG_MS);
    turn_both(gateway);
    assert_int_equal(gateway->calls, 0);
    ASSERT_WRITTEN(socket_of(gateway, 0), "\x81\x01x"); /* the others have theirs */
    ASSERT_WRITTEN(socket_of(gateway, 5), "\x81\x01x");
    fake_writable(socket_of(gateway, 1));
    turn_both(gateway);
    assert_int_equal(gateway->calls, 0);
    fake_writable(socket_of(gateway, 4));
    turn_both(gateway);
    assert_all_done(gateway);
    ASSERT_WRITTEN(socket_of(gateway, 4), "\x81\x04"
                                          "full\x81\x01x");
}

static void test_time_is_over(void **state)
{
    static const unsigned char expected[] = {TG_PUSH_DONE, TG_PUSH_BUSY, TG_PUSH_DONE,
                                             TG_PUSH_DONE, TG_PUSH_BUSY, TG_PUSH_DONE};
    struct gateway *gateway = *state;
    block(gateway, 1);
    block(gateway, 4);
    start(gateway, gateway->ids, 2 * EACH, "x", SHORT_MS);
    while (gateway->calls == 0) {
        turn_both(gateway);
    }
    assert_outcomes(gateway, expected);
    fake_writable(socket_of(gateway, 1));
    fake_writable(socket_of(gateway, 4));
    turn_both(gateway);
    ASSERT_WRITTEN(socket_of(gateway, 1), "\x81\x04"
                                          "full"); /* withdrawn */
    ASSERT_WRITTEN(socket_of(gateway, 4), "\x81\x04"
                                          "full");
}

/* It was over before all were tried: the rest is not any more, as the caller may have sent the next by then.
 */
static void test_time_is_over_meanwhile(void **state)
{
    struct gateway *gateway = *state;
    struct tg_connid ids[200];
    struct tg_loop *loop = gateway->workers[0].fixture.loop;
    block(gateway, 1);
    for (size_t i = 0; i < 200; i++) {
        ids[i] = gateway->ids[i == 10 ? 1 : i == 160 ? 2 : 0];
    }
    turn(loop); /* its clock is of now */
    start(gateway, ids, 200, "x", SHORT_MS);
    turn(loop);
    assert_int_equal(gateway->calls, 0);
    for (uint64_t now = tg_loop_now_ns(); tg_loop_now_ns() - now < (SHORT_MS + 2) * 1000000;) {
    }
    turn_both(gateway);
    assert_int_equal(gateway->calls, 1);
    assert_int_equal(gateway->outcomes[0], TG_PUSH_DONE);
    assert_int_equal(gateway->outcomes[10], TG_PUSH_BUSY);
    assert_int_equal(gateway->outcomes[160], TG_PUSH_BUSY);
    assert_int_equal(gateway->outcomes[199], TG_PUSH_BUSY);
    assert_int_equal(socket_of(gateway, 2)->writes, 0);
    turn_both(gateway);
    ASSERT_WRITTEN(socket_of(gateway, 0), "\x81\x01x"); /* what waited behind it was withdrawn */
}

static void test_ends_meanwhile(void **state)
{
    static const unsigned char expected[] = {TG_PUSH_DONE, TG_PUSH_GONE, TG_PUSH_DONE,
                                             TG_PUSH_DONE, TG_PUSH_GONE, TG_PUSH_GONE};
    struct gateway *gateway = *state;
    block(gateway, 1);
    block(gateway, 4);
    socket_of(gateway, 5)->next = TG_ECLOSED; /* seen when it is written to */
    start(gateway, gateway->ids, 2 * EACH, "x", LONG_MS);
    turn_both(gateway);
    for (size_t i = 1; i <= 4; i += 3) {
        fake_end(socket_of(gateway, i), 1006, "", true);
        fake_socket_free(socket_of(gateway, i));
        gateway->workers[i / EACH].sockets[i % EACH] = NULL;
    }
    turn_both(gateway);
    assert_outcomes(gateway, expected);
}

static void test_full_queue(void **state)
{
    static const unsigned char expected[] = {TG_PUSH_DONE, TG_PUSH_DONE, TG_PUSH_DONE,
                                             TG_PUSH_DONE, TG_PUSH_BUSY, TG_PUSH_DONE};
    struct gateway *gateway = *state;
    struct tg_conn_settings settings = gateway->workers[1].fixture.settings;
    settings.max_queued_bytes = 6;
    tg_conn_configure(socket_of(gateway, 4)->conn, &settings);
    block(gateway, 4);
    start(gateway, gateway->ids, 2 * EACH, "x", LONG_MS);
    turn_both(gateway);
    assert_outcomes(gateway, expected);
}

/* ---- those who ask, and those who do not answer ---- */

static void test_cancel(void **state)
{
    struct gateway *gateway = *state;
    block(gateway, 1);
    start(gateway, gateway->ids, 2 * EACH, "x", LONG_MS);
    turn(gateway->workers[0].fixture.loop);
    tg_batch_cancel(gateway->batch);
    turn_both(gateway); /* the other worker's answer finds nobody */
    fake_writable(socket_of(gateway, 1));
    turn_both(gateway);
    assert_int_equal(gateway->calls, 0);
    ASSERT_WRITTEN(socket_of(gateway, 1), "\x81\x04"
                                          "full");
    ASSERT_WRITTEN(socket_of(gateway, 0), "\x81\x01x");
    ASSERT_WRITTEN(socket_of(gateway, 3), "\x81\x01x");
}

static void test_cancel_before_it_begins(void **state)
{
    struct gateway *gateway = *state;
    start(gateway, gateway->ids, EACH, "x", LONG_MS);
    tg_batch_cancel(gateway->batch);
    turn_both(gateway);
    assert_int_equal(gateway->calls, 0);
    assert_int_equal(socket_of(gateway, 0)->writes, 0);
    const struct tg_connid nowhere[] = {{7, 9, 0, 1}};
    start(gateway, nowhere, 1, "x", LONG_MS); /* its outcome is known, and not yet told */
    tg_batch_cancel(gateway->batch);
    turn_both(gateway);
    assert_int_equal(gateway->calls, 0);
}

static void test_owner_is_silent(void **state)
{
    static const unsigned char expected[] = {TG_PUSH_DONE,        TG_PUSH_DONE,        TG_PUSH_DONE,
                                             TG_PUSH_UNREACHABLE, TG_PUSH_UNREACHABLE, TG_PUSH_UNREACHABLE};
    struct gateway *gateway = *state;
    start(gateway, gateway->ids, 2 * EACH, "x", SHORT_MS);
    while (gateway->calls == 0) {
        tg_loop_run_once(gateway->workers[0].fixture.loop);
    }
    assert_outcomes(gateway, expected);
    turn_both(gateway); /* an answer that comes late is nobody's */
    assert_int_equal(gateway->calls, 1);
}

/* The owner ends while it serves: teardown finds no leak. */
static void test_owner_ends(void **state)
{
    struct gateway *gateway = *state;
    block(gateway, 4);
    start(gateway, gateway->ids, 2 * EACH, "x", LONG_MS);
    turn_both(gateway);
    assert_int_equal(gateway->calls, 0);
    tg_batch_cancel(gateway->batch);
}

static void count_mail(void *arg, struct tg_envelope *envelope)
{
    ++*(int *)arg;
    tg_envelope_free(envelope);
}

static void test_question_of_a_wrong_shape(void **state)
{
    static const struct tg_slice targets[] = {{"", 0}, {"1234567", 7}, {"123456789", 9}};
    struct gateway *gateway = *state;
    const struct tg_connid *other = &gateway->ids[EACH];
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        const struct tg_envelope model = {
            .kind = TG_ENVELOPE_BATCH,
            .from = {7, 1},
            .to = {7, 0},
            .timeout_ms = LONG_MS,
            .text = {TG_LIT("chat"), TG_LIT("x"), targets[i]},
        };
        struct tg_bus_port *port;
        struct tg_envelope *envelope;
        int mails = 0;
        assert_int_equal(other->worker, 1);
        assert_int_equal(tg_envelope_new(&model, &envelope), TG_OK);
        tg_push_free(gateway->workers[1].push); /* its end of the bus is the test's */
        assert_int_equal(
            tg_bus_open(gateway->bus, gateway->workers[1].fixture.loop, 1, count_mail, &mails, &port), TG_OK);
        assert_int_equal(tg_bus_send(port, envelope), TG_OK);
        turn_both(gateway);
        assert_int_equal(mails, 0); /* not even an answer */
        tg_bus_close(port);
        assert_int_equal(tg_push_new(gateway->workers[1].fixture.mgr, gateway->workers[1].fixture.loop,
                                     gateway->bus, &gateway->workers[1].fixture.options,
                                     &gateway->workers[1].push),
                         TG_OK);
    }
    assert_int_equal(socket_of(gateway, 0)->writes, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_everywhere),
        T(test_what_is_not_there),
        T(test_another_api),
        T(test_binary_and_empty),
        T(test_many),
        T(test_several),
        T(test_long),
        T(test_waits_for_the_slow),
        T(test_time_is_over),
        T(test_time_is_over_meanwhile),
        T(test_ends_meanwhile),
        T(test_full_queue),
        T(test_cancel),
        T(test_cancel_before_it_begins),
        T(test_owner_is_silent),
        T(test_owner_ends),
        T(test_question_of_a_wrong_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
