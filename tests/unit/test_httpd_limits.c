/* The HTTP server: what bounds connections: time, numbers, descriptors, draining. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/resource.h>

#include "tests/unit/httpd_world.h"

#define GET(target)  "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(length) "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n"

static bool says_close(const struct client *client)
{
    return tg_headers_has_token(&client->answer.headers, TG_LIT("Connection"), TG_LIT("close"));
}

static void configure(struct world *world)
{
    tg_httpd_configure(world->httpd, &world->options.limits);
}

/* ---- time ---- */

static void ends_slow_heads(void **state)
{
    struct world *world = *state;
    struct client client;
    world->options.limits.header_timeout_ms = 10;
    configure(world);
    for (int second = 0; second < 2; second++) {
        client_open(&client, world);
        client_send(&client, second ? GET("/") "GET / H" : "GET / H");
        if (second) {
            assert_answer(&client, 200, "GET / ");
        }
        client_answer(&client, "GET");
        assert_int_equal(client.answer.status, 408);
        assert_true(says_close(&client));
        assert_closed(&client);
        client_close(&client);
    }
    /* Who has sent nothing is told nothing. */
    client_open(&client, world);
    assert_closed(&client);
    client_close(&client);
    assert_int_equal(COUNTED(world, timed_out), 3);
    assert_int_equal(world->count, 1);
}

static void ends_slow_bodies(void **state)
{
    struct world *world = *state;
    struct client client;
    world->options.limits.body_timeout_ms = 10;
    configure(world);
    world->script = READ;
    client_open(&client, world);
    client_send(&client, POST("5") "1234");
    assert_answer(&client, 408, "POST / ");
    assert_true(says_close(&client));
    assert_int_equal(world->seen[0].body_err, TG_ETIMEOUT);
    assert_closed(&client);
    client_close(&client);
    assert_int_equal(COUNTED(world, timed_out), 1);
    /* The handler has all the time it wants. */
    world->script = HOLD;
    client_open(&client, world);
    client_send(&client, POST("5") "12345");
    WAIT(world, world->count == 2);
    read_body(&world->seen[1]);
    WAIT(world, world->seen[1].bodies == 1);
    uint64_t start = tg_loop_now_ms(world->loop);
    WAIT(world, tg_loop_now_ms(world->loop) > start + 30);
    answer(&world->seen[1]);
    assert_answer(&client, 200, "POST / 12345");
    assert_int_equal(COUNTED(world, timed_out), 1);
    client_close(&client);
}

static void ends_slow_readers(void **state)
{
    enum { MUCH = 32 << 20 };
    struct world *world = *state;
    struct client client;
    char *bytes = calloc(1, MUCH);
    assert_non_null(bytes);
    world->answer = tg_slice_make(bytes, MUCH);
    client_open(&client, world);
    client_send(&client, GET("/"));
    client_answer(&client, "GET");
    assert_int_equal(tg_buf_size(&client.body), MUCH);
    assert_int_equal(COUNTED(world, timed_out), 0);
    world->options.limits.body_timeout_ms = 10;
    configure(world);
    client_send(&client, GET("/"));
    WAIT(world, world->count == 2);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    assert_int_equal(COUNTED(world, timed_out), 1);
    client_close(&client);
    free(bytes);
}

static void ends_idle_connections(void **state)
{
    struct world *world = *state;
    struct client client;
    world->options.limits.keep_alive_timeout_ms = 10;
    configure(world);
    client_open(&client, world);
    client_send(&client, GET("/"));
    assert_answer(&client, 200, "GET / ");
    assert_closed(&client);
    client_close(&client);
    assert_int_equal(COUNTED(world, timed_out), 0);
    world->options.limits.keep_alive_timeout_ms = 0;
    configure(world);
    client_open(&client, world);
    client_send(&client, GET("/") GET("/never"));
    assert_answer(&client, 200, "GET / ");
    assert_true(says_close(&client));
    assert_closed(&client);
    client_close(&client);
    world->options.limits.keep_alive_timeout_ms = 60000;
    world->options.limits.max_requests = 2;
    configure(world);
    client_open(&client, world);
    client_send(&client, GET("/1") GET("/2") GET("/never"));
    assert_answer(&client, 200, "GET /1 ");
    assert_false(says_close(&client));
    assert_answer(&client, 200, "GET /2 ");
    assert_true(says_close(&client));
    assert_closed(&client);
    client_close(&client);
    assert_int_equal(world->count, 4);
}

static void takes_its_time_where_nothing_limits_it(void **state)
{
    struct world *world = *state;
    struct client client;
    world->options.limits.header_timeout_ms = 0;
    world->options.limits.body_timeout_ms = 0;
    configure(world);
    world->script = READ;
    client_open(&client, world);
    turn(world);
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\n");
    turn(world);
    client_send(&client, "Content-Length: 2\r\n\r\no");
    turn(world);
    client_send(&client, "k");
    assert_answer(&client, 200, "POST / ok");
    client_close(&client);
}

/* ---- draining and limits ---- */

static void winds_down(void **state)
{
    struct world *world = *state;
    struct client idle, fresh;
    client_open(&idle, world);
    client_send(&idle, GET("/"));
    assert_answer(&idle, 200, "GET / ");
    tg_httpd_wind_down(world->httpd);
    client_send(&idle, GET("/again")); /* is still served, once */
    assert_answer(&idle, 200, "GET /again ");
    assert_true(says_close(&idle));
    assert_closed(&idle);
    client_open(&fresh, world); /* and so is who comes now */
    client_send(&fresh, GET("/fresh"));
    assert_answer(&fresh, 200, "GET /fresh ");
    assert_true(says_close(&fresh));
    assert_closed(&fresh);
    client_close(&idle);
    client_close(&fresh);
}

static void drains(void **state)
{
    struct world *world = *state;
    struct client idle, busy, partial, fresh;
    client_open(&idle, world);
    client_send(&idle, GET("/"));
    assert_answer(&idle, 200, "GET / ");
    world->script = HOLD;
    client_open(&busy, world);
    client_send(&busy, GET("/1") GET("/never"));
    WAIT(world, world->count == 2);
    client_open(&partial, world);
    client_send(&partial, "GET /2 HTT");
    client_open(&fresh, world);
    WAIT(world, tg_httpd_count(world->httpd) == 4);
    WAIT(world, COUNTED(world, bytes_in) == sizeof GET("/") + sizeof GET("/1") GET("/never") + 8);
    tg_httpd_drain(world->httpd);
    assert_int_equal(tg_httpd_count(world->httpd), 2);
    assert_closed(&idle);
    assert_closed(&fresh);
    answer(&world->seen[1]);
    assert_answer(&busy, 200, "GET /1 ");
    assert_true(says_close(&busy));
    assert_closed(&busy);
    client_send(&partial, "P/1.1\r\nHost: h\r\n\r\n");
    WAIT(world, world->count == 3);
    answer(&world->seen[2]);
    assert_answer(&partial, 200, "GET /2 ");
    assert_true(says_close(&partial));
    assert_closed(&partial);
    client_close(&idle);
    client_close(&busy);
    client_close(&partial);
    client_close(&fresh);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&world->address.storage, world->address.len), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
}

static void holds_to_the_limit_of_connections(void **state)
{
    struct world *world = *state;
    struct client clients[3];
    world->options.limits.max_connections = 2;
    configure(world);
    for (size_t i = 0; i < 3; i++) {
        client_open(&clients[i], world);
    }
    assert_closed(&clients[2]);
    assert_int_equal(COUNTED(world, refused), 1);
    assert_int_equal(COUNTED(world, accepted), 3);
    client_close(&clients[2]);
    client_close(&clients[0]);
    WAIT(world, tg_httpd_count(world->httpd) == 1);
    client_open(&clients[2], world);
    client_send(&clients[2], GET("/"));
    assert_answer(&clients[2], 200, "GET / ");
    client_close(&clients[1]);
    client_close(&clients[2]);
}

static int restore_descriptors(void **state)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 1024 ? limit.rlim_max : 1024;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return world_teardown(state);
}

static void survives_the_end_of_descriptors(void **state)
{
    enum { WAITING = 3 };
    struct world *world = *state;
    struct client clients[WAITING], kept;
    struct rlimit limit;
    client_open(&kept, world);
    client_send(&kept, GET("/"));
    assert_answer(&kept, 200, "GET / ");
    for (size_t i = 0; i < WAITING; i++) {
        client_open(&clients[i], world);
    }
    int lowest = dup(0);
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    /* Each is told by a close, and the listener rests in between: passes of the loop are bounded. */
    int passes = 0;
    uint64_t start = tg_loop_now_ms(world->loop);
    for (size_t i = 0; i < WAITING; i++) {
        while (!clients[i].eof && !clients[i].reset) {
            client_receive(&clients[i]);
            tg_loop_run_once(world->loop);
            passes++;
        }
    }
    assert_int_equal(COUNTED(world, refused), WAITING);
    assert_true(passes < 50);
    assert_true(tg_loop_now_ms(world->loop) - start >= 2 * 40);
    client_send(&kept, GET("/"));
    assert_answer(&kept, 200, "GET / ");
    limit.rlim_cur += 16;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (size_t i = 0; i < WAITING; i++) {
        client_close(&clients[i]);
        client_open(&clients[i], world);
        client_send(&clients[i], GET("/"));
        assert_answer(&clients[i], 200, "GET / ");
        client_close(&clients[i]);
    }
    client_close(&kept);
}

/* The server's end of a connection. */
static int other_end(const struct client *client)
{
    struct sockaddr_in name = {0}, peer = {0};
    socklen_t len = sizeof name;
    assert_int_equal(getsockname(client->fd, (struct sockaddr *)&name, &len), 0);
    for (int fd = 0; fd < 1024; fd++) {
        len = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && peer.sin_family == AF_INET &&
            peer.sin_port == name.sin_port) {
            return fd;
        }
    }
    return -1;
}

static void asks_whether_silent_clients_are_there(void **state)
{
    struct world *world = *state;
    struct client client;
    int on = 0;
    socklen_t len = sizeof on;
    client_open(&client, world);
    WAIT(world, tg_httpd_count(world->httpd) == 1);
    assert_int_equal(getsockopt(other_end(&client), SOL_SOCKET, SO_KEEPALIVE, &on, &len), 0);
    assert_int_equal(on, 1);
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTPD_TEST(ends_slow_heads),
        HTTPD_TEST(ends_slow_bodies),
        HTTPD_TEST(ends_slow_readers),
        HTTPD_TEST(ends_idle_connections),
        HTTPD_TEST(takes_its_time_where_nothing_limits_it),
        HTTPD_TEST(winds_down),
        HTTPD_TEST(drains),
        HTTPD_TEST(holds_to_the_limit_of_connections),
        HTTPD_TEST(asks_whether_silent_clients_are_there),
        cmocka_unit_test_setup_teardown(survives_the_end_of_descriptors, world_setup, restore_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
