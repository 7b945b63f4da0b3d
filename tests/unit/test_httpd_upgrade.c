/* The HTTP server and the WebSocket engine: a socket goes from the one to the other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/httpd_world.h"

#define HANDSHAKE                                                                                            \
    "GET /prod HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"                         \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
/* Masks that change nothing. */
#define HELLO    "\x81\x85\0\0\0\0hello"
#define GOOD_BYE "\x88\x82\0\0\0\0\x03\xe8"

/* What the owner of the WebSocket was told. */
static struct {
    char messages[256];
    int closed, code;
} owner;

static void on_message(void *arg, struct tg_slice payload, bool binary)
{
    struct world *world = arg;
    (void)binary;
    size_t len = strlen(owner.messages);
    assert_false(world->seen[world->count - 1].starting);
    (void)snprintf(owner.messages + len, sizeof owner.messages - len, "%.*s;", TG_FMT(payload));
}

static void on_control(void *arg, bool ping)
{
    (void)arg;
    (void)ping;
}

static void on_writable(void *arg)
{
    (void)arg;
}

static void on_closed(void *arg, const struct tg_socket_end *end)
{
    (void)arg;
    owner.closed++;
    owner.code = end->code;
}

static const struct tg_socket_events events = {
    .on_message = on_message, .on_control = on_control, .on_writable = on_writable, .on_closed = on_closed};

static int setup(void **state)
{
    int failed = world_setup(state);
    struct world *world = *state;
    memset(&owner, 0, sizeof owner);
    tg_httpd_free(world->httpd);
    assert_int_equal(tg_ws_engine_new(world->loop, &world->options.ws), TG_OK);
    assert_int_equal(tg_httpd_new(&world->options, &world->httpd), TG_OK);
    start_listening(world);
    world->script = UPGRADE;
    world->upgrade = (struct tg_upgrade){
        .max_frame = 32768, .max_message = 131072, .close_timeout_ms = 1000, .events = &events, .arg = world};
    return failed;
}

static int teardown(void **state)
{
    struct world *world = *state;
    tg_ws_engine_free(world->options.ws);
    return world_teardown(state);
}

static void client_send_literal(struct client *client, const char *bytes, size_t len)
{
    client_send_bytes(client, tg_slice_make(bytes, len));
}
#define SEND(client, literal) client_send_literal((client), (literal), sizeof(literal) - 1)

/* The 101, behind which come frames. */
static void take_101(struct client *client)
{
    struct tg_slice end = TG_LIT("\r\n\r\n");
    size_t at = 0;
    while ((at = tg_slice_find_slice(tg_buf_slice(&client->in), end)) >= tg_buf_size(&client->in)) {
        assert_false(client->eof || client->reset);
        turn(client->world);
        client_receive(client);
    }
    struct tg_slice head = tg_slice_head(tg_buf_slice(&client->in), at + end.len);
    assert_true(tg_slice_starts(head, TG_LIT("HTTP/1.1 101 ")));
    assert_true(tg_slice_find_slice(head, TG_LIT("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) < head.len);
    tg_buf_consume(&client->in, head.len);
}

static void end_websocket(struct client *client)
{
    SEND(client, GOOD_BYE);
    WAIT(client->world, owner.closed > 0);
    assert_int_equal(owner.closed, 1);
    assert_int_equal(owner.code, 1000);
    client_close(client);
}

static void hands_the_socket_on(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    SEND(&client, HANDSHAKE);
    take_101(&client);
    assert_int_equal(world->upgrade_err, TG_OK);
    assert_int_equal(tg_httpd_count(world->httpd), 0);
    assert_int_equal(COUNTED(world, upgraded), 1);
    SEND(&client, HELLO HELLO);
    WAIT(world, strcmp(owner.messages, "hello;hello;") == 0);
    assert_int_equal(tg_ws_ops.write(world->socket, TG_LIT("\x81\x02hi")), TG_OK);
    WAIT(world, (client_receive(&client), tg_buf_size(&client.in) == 4));
    end_websocket(&client);
}

/* Frames behind the handshake, in the same piece or in later ones, that came before the yes. */
static void hands_early_bytes_on(void **state)
{
    static const char *const want = "hello;hello;hello;";
    struct world *world = *state;
    struct client client;
    world->script = HOLD;
    client_open(&client, world);
    SEND(&client, HANDSHAKE HELLO "\x81\x85\0\0\0");
    WAIT(world, world->count == 1);
    SEND(&client, "\0hello");
    WAIT(world, COUNTED(world, bytes_in) == sizeof(HANDSHAKE HELLO HELLO) - 1);
    assert_int_equal(owner.messages[0], '\0');
    SEND(&client, HELLO);
    upgrade(&world->seen[0]);
    assert_int_equal(world->upgrade_err, TG_OK);
    WAIT(world, strcmp(owner.messages, want) == 0);
    take_101(&client);
    end_websocket(&client);
}

static void upgrades_behind_other_requests(void **state)
{
    struct world *world = *state;
    struct client client;
    world->script = HOLD;
    client_open(&client, world);
    SEND(&client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n" HANDSHAKE HELLO);
    WAIT(world, world->count == 1);
    answer(&world->seen[0]);
    assert_answer(&client, 200, "GET /1 ");
    WAIT(world, world->count == 2);
    upgrade(&world->seen[1]);
    take_101(&client);
    WAIT(world, strcmp(owner.messages, "hello;") == 0);
    end_websocket(&client);
}

static void answers_when_it_cannot(void **state)
{
    struct world *world = *state;
    struct client client;
    /* Without a key there is nothing to adopt; the client is told. */
    client_open(&client, world);
    world->status = 400;
    SEND(&client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_answer(&client, 400, "GET / ");
    assert_int_equal(world->upgrade_err, TG_EIO);
    client_close(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    /* A 101 that cannot be written costs the connection; the reply that is due goes nowhere. */
    static struct tg_header broken = {TG_LIT_INIT("X-A"), TG_LIT_INIT("a\r\nb")};
    world->upgrade.headers = (struct tg_headers){&broken, 1, 1};
    client_open(&client, world);
    SEND(&client, HANDSHAKE HELLO);
    while (!client.eof && !client.reset) {
        client_receive(&client);
        turn(world);
    }
    assert_int_equal(tg_buf_size(&client.in), 0);
    assert_int_equal(world->upgrade_err, TG_ECLOSED);
    assert_int_equal(tg_httpd_count(world->httpd), 0);
    assert_int_equal(COUNTED(world, upgraded), 0);
    assert_int_equal(world->seen[1].aborts, 0);
    client_close(&client);
    assert_int_equal(owner.closed, 0);
}

/* The client has gone, unnoticed by the loop, when $connect says yes. */
static void survives_a_client_that_went(void **state)
{
    struct world *world = *state;
    for (int reset = 0; reset < 2; reset++) {
        struct client client;
        world->script = HOLD;
        client_open(&client, world);
        SEND(&client, HANDSHAKE HELLO);
        WAIT(world, world->count == (size_t)reset + 1);
        if (reset) {
            client_reset(&client);
        } else {
            client_close(&client);
        }
        upgrade(&world->seen[reset]);
        assert_int_equal(tg_httpd_count(world->httpd), 0);
        if (world->upgrade_err == TG_OK) {
            int before = owner.closed;
            WAIT(world, owner.closed > before);
        } else {
            assert_int_equal(world->upgrade_err, TG_ECLOSED);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hands_the_socket_on),    TEST(hands_early_bytes_on),        TEST(upgrades_behind_other_requests),
        TEST(answers_when_it_cannot), TEST(survives_a_client_that_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
