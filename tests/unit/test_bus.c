#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "connmgr/bus.h"
#include "connmgr/registry.h"

enum { NODE = 5, LIMIT = 4 };

struct end {
    struct tg_loop *loop;
    struct tg_bus_port *port;
    uint64_t seen[16];
    size_t count;
    struct tg_envelope *last;
};

struct pair {
    struct tg_bus *bus;
    struct end ends[2];
};

static void deliver(void *arg, struct tg_envelope *envelope)
{
    struct end *end = arg;
    assert_true(end->count < 16);
    end->seen[end->count++] = envelope->correlation;
    tg_envelope_free(end->last);
    end->last = envelope;
}

static int setup(void **state)
{
    struct pair *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    assert_int_equal(tg_bus_local_new(NODE, 2, LIMIT, &pair->bus), TG_OK);
    for (uint32_t i = 0; i < 2; i++) {
        struct end *end = &pair->ends[i];
        assert_int_equal(tg_loop_new(&end->loop), TG_OK);
        assert_int_equal(tg_bus_open(pair->bus, end->loop, i, deliver, end, &end->port), TG_OK);
    }
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *pair = *state;
    for (size_t i = 0; i < 2; i++) {
        tg_bus_close(pair->ends[i].port);
        tg_envelope_free(pair->ends[i].last);
        tg_loop_free(pair->ends[i].loop);
    }
    tg_bus_free(pair->bus);
    free(pair);
    return 0;
}

static enum tg_err post(struct end *from, uint32_t node, uint32_t worker, uint64_t correlation)
{
    const struct tg_envelope model = {.to = {node, worker}, .correlation = correlation};
    struct tg_envelope *envelope;
    assert_int_equal(tg_envelope_new(&model, &envelope), TG_OK);
    enum tg_err err = tg_bus_send(from->port, envelope);
    if (err != TG_OK) {
        tg_envelope_free(envelope);
    }
    return err;
}

static void test_envelope_is_a_copy(void **state)
{
    char text[] = "payload";
    const struct tg_envelope model = {
        .kind = TG_ENVELOPE_PUSH,
        .from = {1, 2},
        .to = {3, 4},
        .correlation = 99,
        .verb = 1,
        .target = {1, 2, 3, 4},
        .binary = true,
        .timeout_ms = 1234,
        .close_code = 4000,
        .text = {TG_LIT_INIT("chat"), tg_slice_cstr(text), {NULL, 0}, TG_LIT_INIT("")},
    };
    struct tg_envelope *copy;
    (void)state;
    assert_int_equal(tg_envelope_new(&model, &copy), TG_OK);
    memset(text, '?', sizeof text);
    assert_int_equal(copy->to.worker, 4);
    assert_int_equal(copy->correlation, 99);
    assert_int_equal(copy->target.generation, 4);
    assert_true(copy->binary);
    assert_int_equal(copy->timeout_ms, 1234);
    assert_true(tg_slice_eq(copy->text[0], TG_LIT("chat")));
    assert_true(tg_slice_eq(copy->text[1], TG_LIT("payload")));
    assert_null(copy->text[2].ptr);
    assert_non_null(copy->text[3].ptr);
    assert_int_equal(copy->text[3].len, 0);
    tg_envelope_free(copy);
    tg_envelope_free(NULL);
}

static void test_order(void **state)
{
    struct pair *pair = *state;
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(post(&pair->ends[0], NODE, 1, i), TG_OK);
    }
    assert_int_equal(pair->ends[1].count, 0); /* not from inside */
    while (pair->ends[1].count < 3) {
        tg_loop_run_once(pair->ends[1].loop);
    }
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(pair->ends[1].seen[i - 1], i);
    }
}

static void test_to_oneself(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(post(&pair->ends[0], NODE, 0, 1), TG_OK);
    assert_int_equal(pair->ends[0].count, 0);
    while (pair->ends[0].count < 1) {
        tg_loop_run_once(pair->ends[0].loop);
    }
}

static void test_nobody_there(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(post(&pair->ends[0], NODE + 1, 1, 1), TG_ENOTFOUND);
    assert_int_equal(post(&pair->ends[0], NODE, 2, 1), TG_ENOTFOUND);
    assert_int_equal(post(&pair->ends[0], NODE, UINT32_MAX, 1), TG_ENOTFOUND);
    struct tg_bus_port *port;
    assert_int_equal(tg_bus_open(pair->bus, pair->ends[0].loop, 2, deliver, NULL, &port), TG_EINVAL);
}

static void test_full(void **state)
{
    struct pair *pair = *state;
    for (uint64_t i = 0; i < LIMIT; i++) {
        assert_int_equal(post(&pair->ends[0], NODE, 1, i), TG_OK);
    }
    assert_int_equal(post(&pair->ends[0], NODE, 1, LIMIT), TG_EBUSY);
    while (pair->ends[1].count < LIMIT) {
        tg_loop_run_once(pair->ends[1].loop);
    }
    assert_int_equal(post(&pair->ends[0], NODE, 1, LIMIT), TG_OK);
}

/* What waits is freed (the leak checker looks), what comes later is refused, and a new port starts empty. */
static void test_closed(void **state)
{
    struct pair *pair = *state;
    struct end *end = &pair->ends[1];
    assert_int_equal(post(&pair->ends[0], NODE, 1, 1), TG_OK);
    tg_bus_close(end->port);
    assert_int_equal(post(&pair->ends[0], NODE, 1, 2), TG_ENOTFOUND);
    assert_int_equal(tg_bus_open(pair->bus, end->loop, 1, deliver, end, &end->port), TG_OK);
    assert_int_equal(post(&pair->ends[0], NODE, 1, 3), TG_OK);
    while (end->count == 0) {
        tg_loop_run_once(end->loop);
    }
    assert_int_equal(end->count, 1);
    assert_int_equal(end->seen[0], 3);
}

/* One worker sends as fast as it can while the other opens its port anew over and over: nothing is lost
 * between taken and freed, nothing arrives out of order. */
enum { SENT = 20000 };

static void *send_many(void *arg)
{
    struct end *end = arg;
    uint64_t taken = 0;
    for (uint64_t i = 1; i <= SENT; i++) {
        taken += post(end, NODE, 1, i) == TG_OK;
    }
    end->seen[0] = taken;
    return NULL;
}

struct receiver {
    uint64_t last, count;
};

static void check_order(void *arg, struct tg_envelope *envelope)
{
    struct receiver *receiver = arg;
    assert_true(envelope->correlation > receiver->last);
    receiver->last = envelope->correlation;
    receiver->count++;
    tg_envelope_free(envelope);
}

static void nothing(struct tg_task *task)
{
    (void)task;
}

static void test_close_while_others_send(void **state)
{
    struct pair *pair = *state;
    struct end *end = &pair->ends[1];
    struct receiver receiver = {0, 0};
    struct tg_task awake;
    pthread_t thread;
    tg_task_init(&awake, nothing);
    assert_int_equal(pthread_create(&thread, NULL, send_many, &pair->ends[0]), 0);
    for (int i = 0; i < 200; i++) {
        tg_bus_close(end->port);
        assert_int_equal(tg_bus_open(pair->bus, end->loop, 1, check_order, &receiver, &end->port), TG_OK);
        tg_task_defer(end->loop, &awake);
        tg_loop_run_once(end->loop);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    tg_task_defer(end->loop, &awake);
    tg_loop_run_once(end->loop);
    assert_true(receiver.count <= pair->ends[0].seen[0]);
}

static void test_memory_registry(void **state)
{
    struct tg_registry *registry;
    const struct tg_conn_info info = {.api_id = TG_LIT("chat")};
    (void)state;
    assert_int_equal(tg_registry_memory_new(&registry), TG_OK);
    registry->ops->put(registry, "m2ezCV25Xd_VK9No_Q==", &info);
    assert_null(registry->ops->remove); /* always this node's */
    registry->ops->free(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope_is_a_copy),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_to_oneself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_while_others_send, setup, teardown),
        cmocka_unit_test(test_memory_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
