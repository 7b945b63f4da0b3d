/* The HTTP server: whole answers that go out with those of other connections, and what happens before they
 * do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/io/sends.h"
#include "tests/unit/httpd_world.h"

#define GET       "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define GET_CLOSE "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

static int gathered_setup(void **state)
{
    int result = world_setup(state);
    ((struct world *)*state)->script = HOLD;
    return result;
}

#define GATHERED_TEST(name) cmocka_unit_test_setup_teardown(name, gathered_setup, world_teardown)

static void flush(struct world *world)
{
    tg_sends_flush(tg_loop_sends(world->loop));
}

/* Asks, and has the request held by the handler. */
static struct seen *ask(struct client *client, const char *request)
{
    struct world *world = client->world;
    size_t count = world->count;
    client_send(client, request);
    WAIT(world, world->count > count);
    return &world->seen[count];
}

/* As in a pass with several events. */
static void answer_later(struct seen *seen)
{
    tg_sends_gather(tg_loop_sends(seen->world->loop), true);
    answer(seen);
}

static void assert_nothing_came(struct client *client)
{
    client_receive(client);
    assert_int_equal(tg_buf_size(&client->in), 0);
    assert_false(client->eof || client->reset);
}

static void assert_answered(struct client *client)
{
    client_answer(client, "GET");
    assert_int_equal(client->answer.status, 200);
}

static void go_out_together(void **state)
{
    struct world *world = *state;
    struct client clients[3];
    for (size_t i = 0; i < 3; i++) {
        client_open(&clients[i], world);
    }
    for (size_t round = 0; round < 2; round++) {
        struct seen *seen[3];
        for (size_t i = 0; i < 3; i++) {
            seen[i] = ask(&clients[i], GET);
        }
        for (size_t i = 0; i < 3; i++) {
            answer_later(seen[i]);
        }
        for (size_t i = 0; i < 3; i++) {
            assert_nothing_came(&clients[i]);
        }
        flush(world);
        for (size_t i = 0; i < 3; i++) {
            assert_answered(&clients[i]);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        client_close(&clients[i]);
    }
}

static void come_before_the_end(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    answer_later(ask(&client, GET_CLOSE));
    assert_nothing_came(&client);
    flush(world);
    assert_answered(&client);
    WAIT(world, (client_receive(&client), client.eof));
    client_close(&client);
}

/* What comes meanwhile waits its turn: it is not answered before, nor lost. */
static void the_next_request_waits(void **state)
{
    struct world *world = *state;
    struct client client, other;
    client_open(&client, world);
    client_open(&other, world);
    answer_later(ask(&client, GET));
    client_send(&client, GET);
    answer_later(ask(&other, GET)); /* turns the loop, which flushes */
    flush(world);
    assert_answered(&client);
    assert_answered(&other);
    WAIT(world, world->count == 3);
    answer_later(&world->seen[2]);
    flush(world);
    assert_answered(&client);
    client_close(&client);
    client_close(&other);
}

static void a_client_that_is_gone_costs_the_others_nothing(void **state)
{
    struct world *world = *state;
    struct client gone, half, other;
    client_open(&gone, world);
    client_open(&half, world);
    client_open(&other, world);
    struct seen *first = ask(&gone, GET), *second = ask(&half, GET), *third = ask(&other, GET);
    answer_later(first);
    answer_later(second);
    answer_later(third);
    client_reset(&gone);
    assert_int_equal(shutdown(half.fd, SHUT_WR), 0);
    flush(world);
    assert_answered(&other);
    assert_answered(&half);
    WAIT(world, tg_httpd_count(world->httpd) == 1);
    WAIT(world, (client_receive(&half), half.eof));
    client_close(&half);
    client_close(&other);
}

/* Also where the server ends before. */
static void are_not_lost_with_the_server(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    answer_later(ask(&client, GET));
    tg_httpd_free(world->httpd);
    world->httpd = NULL;
    assert_answered(&client);
    assert_true((client_receive(&client), client.eof));
    flush(world);
    client_close(&client);
}

static void a_drain_lets_them_out(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    answer_later(ask(&client, GET));
    tg_httpd_drain(world->httpd);
    assert_nothing_came(&client);
    flush(world);
    assert_answered(&client);
    WAIT(world, (client_receive(&client), client.eof));
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GATHERED_TEST(go_out_together),
        GATHERED_TEST(come_before_the_end),
        GATHERED_TEST(the_next_request_waits),
        GATHERED_TEST(a_client_that_is_gone_costs_the_others_nothing),
        GATHERED_TEST(are_not_lost_with_the_server),
        GATHERED_TEST(a_drain_lets_them_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
