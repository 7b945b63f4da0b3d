/* For tests of the HTTP server: the server on a loop, clients on plain sockets whose every byte the test
 * decides, and a handler that does as the test says. Include after cmocka.h, in one test file each. */
#ifndef TG_TESTS_HTTPD_WORLD_H
#define TG_TESTS_HTTPD_WORLD_H

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/front/httpd.h"
#include "server/io/address.h"
#include "server/io/http1.h"

enum { SEEN_MAX = 256, WATCHDOG_MS = 30000 };

/* What the handler does with a request. */
enum script {
    ANSWER, /* replies at once */
    READ,   /* reads the body, replies when it is there */
    HOLD,   /* nothing: the test goes on with it */
    UPGRADE
};

struct world;

/* A request that came to the handler. */
struct seen {
    struct world *world;
    struct tg_exchange *exchange; /* NULL: ended */
    char method[16], target[128];
    int aborts, bodies;
    bool starting; /* inside a call that must not call back */
    enum tg_err body_err;
    struct tg_buf body;
};

struct world {
    struct tg_loop *loop;
    struct tg_arena_pool arenas;
    struct tg_httpd_options options;
    struct tg_httpd *httpd;
    struct tg_address address;
    struct tg_httpd_listener_options listener; /* its port is the address's */
    struct tg_timer nudge, watchdog;
    bool expired;
    enum script script;
    int status;
    struct tg_headers fields;
    struct tg_slice answer; /* NULL: method, target and body of the request */
    size_t body_limit;
    bool answers_aborts;
    struct tg_upgrade upgrade;
    enum tg_err upgrade_err;
    struct tg_socket *socket;
    struct seen seen[SEEN_MAX];
    size_t count;
};

/* ---- the handler ---- */

static inline void answer(struct seen *seen)
{
    struct world *world = seen->world;
    struct tg_exchange *exchange = seen->exchange;
    struct tg_buf text;
    assert_non_null(exchange);
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_printf(&text, "%s %s ", seen->method, seen->target), TG_OK);
    assert_int_equal(tg_buf_append(&text, tg_buf_slice(&seen->body)), TG_OK);
    int status = seen->body_err == TG_OK         ? world->status
                 : seen->body_err == TG_ELIMIT   ? 413
                 : seen->body_err == TG_ETIMEOUT ? 408
                                                 : 400;
    seen->exchange = NULL;
    exchange->ops->reply(exchange, status, &world->fields,
                         world->answer.ptr != NULL ? world->answer : tg_buf_slice(&text));
    tg_buf_free(&text);
}

static inline void body_done(void *arg, enum tg_err err, struct tg_slice body)
{
    struct seen *seen = arg;
    assert_false(seen->starting);
    assert_non_null(seen->exchange);
    seen->bodies++;
    seen->body_err = err;
    tg_buf_clear(&seen->body);
    assert_int_equal(tg_buf_append(&seen->body, body), TG_OK);
    if (seen->world->script == READ) {
        answer(seen);
    }
}

static inline void read_body(struct seen *seen)
{
    seen->starting = true;
    seen->exchange->ops->read_body(seen->exchange, seen->world->body_limit, body_done, seen);
    seen->starting = false;
}

static inline void on_abort(void *arg)
{
    struct seen *seen = arg;
    assert_false(seen->starting);
    assert_non_null(seen->exchange);
    seen->aborts++;
    if (seen->world->answers_aborts) {
        answer(seen);
    }
}

static inline void upgrade(struct seen *seen)
{
    struct world *world = seen->world;
    const struct tg_socket_ops *ops;
    seen->starting = true;
    world->upgrade_err = seen->exchange->ops->upgrade(seen->exchange, &world->upgrade, &world->socket, &ops);
    seen->starting = false;
    if (world->upgrade_err == TG_OK) {
        assert_ptr_equal(ops, &tg_ws_ops);
        seen->exchange = NULL;
    } else {
        answer(seen);
    }
}

static inline void handle(void *arg, struct tg_exchange *exchange)
{
    struct world *world = arg;
    assert_true(world->count < SEEN_MAX);
    struct seen *seen = &world->seen[world->count++];
    *seen = (struct seen){.world = world, .exchange = exchange};
    tg_buf_init(&seen->body, SIZE_MAX);
    assert_true(exchange->method.len < sizeof seen->method && exchange->target.len < sizeof seen->target);
    (void)snprintf(seen->method, sizeof seen->method, "%.*s", TG_FMT(exchange->method));
    (void)snprintf(seen->target, sizeof seen->target, "%.*s", TG_FMT(exchange->target));
    exchange->on_abort = on_abort;
    exchange->abort_arg = seen;
    switch (world->script) {
    case ANSWER:
        answer(seen);
        break;
    case READ:
        read_body(seen);
        break;
    case UPGRADE:
        upgrade(seen);
        break;
    case HOLD:
        break;
    }
}

/* ---- the world ---- */

static void nudged(struct tg_timer *timer)
{
    (void)timer;
}

static void watchdog_expired(struct tg_timer *timer)
{
    TG_CONTAINER(timer, struct world, watchdog)->expired = true;
}

/* One pass of the loop, which waits no longer than a moment. */
static inline void turn(struct world *world)
{
    assert_false(world->expired);
    tg_timer_start(world->loop, &world->nudge, 1);
    tg_loop_run_once(world->loop);
}

#define WAIT(world, condition)                                                                               \
    while (!(condition)) {                                                                                   \
        turn(world);                                                                                         \
    }

static inline void start_listening(struct world *world)
{
    assert_int_equal(tg_address_parse(TG_LIT("127.0.0.1:0"), &world->address), TG_OK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr *name = (struct sockaddr *)&world->address.storage;
    assert_int_equal(bind(fd, name, world->address.len), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, name, &world->address.len), 0);
    world->listener.port = tg_address_port(&world->address);
    assert_int_equal(tg_httpd_listen(world->httpd, fd, &world->listener), TG_OK);
}

static inline int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    assert_int_equal(tg_loop_new(&world->loop), TG_OK);
    tg_arena_pool_init(&world->arenas, 16);
    world->status = 200;
    world->body_limit = 100000;
    world->options = (struct tg_httpd_options){
        .loop = world->loop,
        .arenas = &world->arenas,
        .limits = {.max_request_line = 1024,
                   .max_head = 4096,
                   .max_headers = 50,
                   .header_timeout_ms = 60000,
                   .body_timeout_ms = 60000,
                   .keep_alive_timeout_ms = 60000,
                   .max_connections = 2000},
        .handle = handle,
        .arg = world,
    };
    assert_int_equal(tg_httpd_new(&world->options, &world->httpd), TG_OK);
    start_listening(world);
    tg_timer_init(&world->nudge, nudged);
    tg_timer_init(&world->watchdog, watchdog_expired);
    tg_timer_start(world->loop, &world->watchdog, WATCHDOG_MS);
    *state = world;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < world->count; i++) {
        if (world->seen[i].exchange != NULL) {
            answer(&world->seen[i]);
        }
        tg_buf_free(&world->seen[i].body);
    }
    tg_httpd_free(world->httpd);
    tg_timer_stop(&world->nudge);
    tg_timer_stop(&world->watchdog);
    tg_loop_free(world->loop);
    tg_arena_pool_free(&world->arenas);
    free(world);
    return 0;
}

#define HTTPD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* ---- clients ---- */

struct client {
    struct world *world;
    int fd;
    struct tg_buf in, body;
    struct tg_arena arena;           /* of the answer */
    struct tg_http1_response answer; /* the last one taken */
    bool eof, reset;
};

static inline void client_open(struct client *client, struct world *world)
{
    *client = (struct client){.world = world};
    tg_buf_init(&client->in, SIZE_MAX);
    tg_buf_init(&client->body, SIZE_MAX);
    tg_arena_init(&client->arena, NULL);
    client->fd = socket(world->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&world->address.storage, world->address.len), 0);
}

static inline void client_receive(struct client *client)
{
    char space[65536];
    while (!client->eof && !client->reset) {
        ssize_t got = recv(client->fd, space, sizeof space, MSG_DONTWAIT);
        if (got > 0) {
            assert_int_equal(tg_buf_append(&client->in, tg_slice_make(space, (size_t)got)), TG_OK);
        } else if (got < 0 && errno == EAGAIN) {
            return;
        } else {
            client->eof = got == 0;
            client->reset = got < 0;
        }
    }
}

/* Also when the server does not read: as much as the sockets take. */
static inline size_t client_try_send(struct client *client, struct tg_slice bytes)
{
    ssize_t put = send(client->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return put > 0 ? (size_t)put : 0;
}

static inline void client_send_bytes(struct client *client, struct tg_slice bytes)
{
    while (bytes.len > 0) {
        bytes = tg_slice_from(bytes, client_try_send(client, bytes));
        if (bytes.len > 0) {
            turn(client->world);
        }
    }
}

static inline void client_send(struct client *client, const char *text)
{
    client_send_bytes(client, tg_slice_cstr(text));
}

static inline void client_close(struct client *client)
{
    if (client->fd >= 0) {
        close(client->fd);
    }
    client->fd = -1;
    tg_buf_free(&client->in);
    tg_buf_free(&client->body);
    tg_arena_reset(&client->arena);
}

static inline void client_reset(struct client *client)
{
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    client_close(client);
}

/* Takes the next answer to a request of that method from what has come. False: it is not whole yet. */
static inline bool client_take(struct client *client, const char *method)
{
    static const struct tg_http1_limits limits = {.line = 4096, .head = 16384, .count = 100};
    struct tg_slice bytes = tg_buf_slice(&client->in);
    struct tg_http1_fault fault;
    struct tg_http1_body decoder;
    size_t scanned = 0, head_len = 0, used = 0;
    tg_arena_reset(&client->arena);
    tg_buf_clear(&client->body);
    assert_int_equal(tg_arena_copy(&client->arena, bytes, &bytes), TG_OK);
    enum tg_err err = tg_http1_parse_response(bytes, &scanned, &limits, tg_slice_cstr(method), &client->arena,
                                              &client->answer, &head_len, &fault);
    if (err == TG_EAGAIN) {
        return false;
    }
    assert_int_equal(err, TG_OK);
    assert_int_not_equal(client->answer.framing, TG_HTTP1_UNTIL_CLOSE);
    tg_http1_body_init(&decoder, client->answer.framing, client->answer.content_length);
    for (size_t at = head_len; !decoder.done; at += used) {
        struct tg_slice content;
        if (at == bytes.len) {
            return false;
        }
        assert_int_equal(tg_http1_body_decode(&decoder, tg_slice_from(bytes, at), &used, &content), TG_OK);
        assert_int_equal(tg_buf_append(&client->body, content), TG_OK);
        head_len += used;
    }
    tg_buf_consume(&client->in, head_len);
    return true;
}

static inline void client_answer(struct client *client, const char *method)
{
    for (;;) {
        client_receive(client);
        if (tg_buf_size(&client->in) > 0 && client_take(client, method)) {
            return;
        }
        assert_false(client->eof || client->reset);
        turn(client->world);
    }
}

static inline void assert_answer(struct client *client, int status, const char *body)
{
    client_answer(client, "GET");
    struct tg_slice got = tg_buf_slice(&client->body);
    if (client->answer.status != status || !tg_slice_eq(got, tg_slice_cstr(body))) {
        print_message("%d %.*s\n", client->answer.status, TG_FMT(got));
    }
    assert_int_equal(client->answer.status, status);
    assert_true(tg_slice_eq(got, tg_slice_cstr(body)));
}

/* The server has closed in order, and said nothing more. */
static inline void assert_closed(struct client *client)
{
    while (!client->eof && !client->reset) {
        client_receive(client);
        turn(client->world);
    }
    assert_true(client->eof);
    assert_int_equal(tg_buf_size(&client->in), 0);
}

static inline uint64_t counted(const _Atomic(uint64_t) *counter)
{
    return atomic_load(counter);
}

#define COUNTED(world, member) ((int)counted(&tg_httpd_counters((world)->httpd)->member))

#endif
