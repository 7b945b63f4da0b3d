#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/io/transport_ops.h"

/* Both ends of a connection on one loop. */
struct end {
    struct tg_transport *transport;
    int opened, readable, writable;
    enum tg_err open_err;
    bool close_when_readable, close_when_open;
};

struct pair {
    struct tg_loop *loop;
    int listener;
    struct tg_address address;
    struct end client, server;
};

static void on_open(void *arg, enum tg_err err)
{
    struct end *end = arg;
    end->opened++;
    end->open_err = err;
    if (end->close_when_open) {
        tg_transport_close(end->transport);
        end->transport = NULL;
    }
}

static void on_readable(void *arg)
{
    struct end *end = arg;
    end->readable++;
    if (end->close_when_readable) {
        tg_transport_close(end->transport);
        end->transport = NULL;
    }
}

static void on_writable(void *arg)
{
    struct end *end = arg;
    end->writable++;
}

static const struct tg_transport_events end_events = {on_open, on_readable, on_writable};

static void listen_on(struct pair *pair, const char *text)
{
    assert_int_equal(tg_address_parse(tg_slice_cstr(text), &pair->address), TG_OK);
    pair->listener = socket(pair->address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(pair->listener >= 0);
    assert_int_equal(bind(pair->listener, (struct sockaddr *)&pair->address.storage, pair->address.len), 0);
    assert_int_equal(listen(pair->listener, 16), 0);
    pair->address.len = sizeof(pair->address.storage);
    assert_int_equal(
        getsockname(pair->listener, (struct sockaddr *)&pair->address.storage, &pair->address.len), 0);
}

static int setup(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    if (pair == NULL || tg_loop_new(&pair->loop) != TG_OK) {
        free(pair);
        return -1;
    }
    pair->listener = -1;
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *pair = *state;
    tg_transport_close(pair->client.transport);
    tg_transport_close(pair->server.transport);
    tg_loop_free(pair->loop);
    if (pair->listener >= 0) {
        close(pair->listener);
    }
    free(pair);
    return 0;
}

static void start_connect(struct pair *pair)
{
    assert_int_equal(tg_transport_connect(pair->loop, &pair->address, NULL, TG_EMPTY, &end_events,
                                          &pair->client, &pair->client.transport),
                     TG_OK);
    assert_int_equal(pair->client.opened, 0);
}

static void open_pair(struct pair *pair, const char *text)
{
    listen_on(pair, text);
    start_connect(pair);
    while (pair->client.opened == 0) {
        tg_loop_run_once(pair->loop);
    }
    assert_int_equal(pair->client.open_err, TG_OK);
    int fd = accept4(pair->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(
        tg_transport_accept(pair->loop, fd, NULL, &end_events, &pair->server, &pair->server.transport),
        TG_OK);
}

static enum tg_err read_some(struct end *end, char *space, size_t cap, size_t *got)
{
    return tg_transport_read(end->transport, space, cap, got);
}

/* Runs until the end has been told so often that it can read. */
static void wait_readable(struct pair *pair, struct end *end, int times)
{
    while (end->readable < times) {
        tg_loop_run_once(pair->loop);
    }
}

static void exchange(struct pair *pair)
{
    char space[64];
    size_t len = 0;
    assert_int_equal(read_some(&pair->server, space, sizeof(space), &len), TG_EAGAIN);
    assert_int_equal(tg_transport_write(pair->client.transport, TG_LIT("hello"), &len), TG_OK);
    assert_int_equal(len, 5);
    tg_transport_want(pair->server.transport, true, false);
    wait_readable(pair, &pair->server, 1);
    assert_int_equal(read_some(&pair->server, space, sizeof(space), &len), TG_OK);
    assert_true(tg_slice_eq(tg_slice_make(space, len), TG_LIT("hello")));

    assert_int_equal(tg_transport_write(pair->server.transport, TG_LIT("back"), &len), TG_OK);
    tg_transport_shutdown(pair->server.transport);
    tg_transport_want(pair->client.transport, true, false);
    wait_readable(pair, &pair->client, 1);
    assert_int_equal(read_some(&pair->client, space, sizeof(space), &len), TG_OK);
    assert_true(tg_slice_eq(tg_slice_make(space, len), TG_LIT("back")));
    wait_readable(pair, &pair->client, 2);
    assert_int_equal(read_some(&pair->client, space, sizeof(space), &len), TG_ECLOSED);
    /* The other direction is still open. */
    assert_int_equal(tg_transport_write(pair->client.transport, TG_LIT("bye"), &len), TG_OK);
    assert_int_equal(pair->client.opened, 1);
    assert_int_equal(pair->server.opened, 0);
}

static void test_tcp(void **state)
{
    struct pair *pair = *state;
    open_pair(pair, "127.0.0.1:0");
    exchange(pair);
    int on = 0;
    socklen_t len = sizeof(on);
    int fd = pair->client.transport->fd;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_equal(on, 1);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

struct heir {
    struct tg_transport *transport;
    int readable;
};

static void heir_readable(void *arg)
{
    struct heir *heir = arg;
    heir->readable++;
    tg_transport_want(heir->transport, false, false);
}

static void test_another_owner(void **state)
{
    static const struct tg_transport_events heir_events = {.on_readable = heir_readable};
    struct pair *pair = *state;
    struct heir heir = {0};
    size_t len;
    char space[8];
    open_pair(pair, "127.0.0.1:0");
    int before = pair->server.readable;
    heir.transport = pair->server.transport;
    tg_transport_own(heir.transport, &heir_events, &heir);
    tg_transport_want(heir.transport, true, false);
    assert_int_equal(tg_transport_write(pair->client.transport, TG_LIT("you"), &len), TG_OK);
    while (heir.readable == 0) {
        tg_loop_run_once(pair->loop);
    }
    assert_int_equal(pair->server.readable, before);
    assert_int_equal(tg_transport_read(heir.transport, space, sizeof space, &len), TG_OK);
    assert_true(tg_slice_eq(tg_slice_make(space, len), TG_LIT("you")));
}

static void test_unix_socket(void **state)
{
    struct pair *pair = *state;
    char directory[] = "/tmp/tg-transport-XXXXXX";
    char text[64];
    assert_non_null(mkdtemp(directory));
    snprintf(text, sizeof(text), "unix:%s/s", directory);
    open_pair(pair, text);
    exchange(pair);
    unlink(text + 5);
    rmdir(directory);
}

/* The answer comes later for every way to fail. */
static void test_connect_refused(void **state)
{
    struct pair *pair = *state;
    listen_on(pair, "127.0.0.1:0");
    close(pair->listener);
    pair->listener = -1;
    start_connect(pair);
    while (pair->client.opened == 0) {
        tg_loop_run_once(pair->loop);
    }
    assert_int_equal(pair->client.open_err, TG_EREFUSED);
}

static void test_unix_socket_missing(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(tg_address_parse(TG_LIT("unix:/nonexistent/socket"), &pair->address), TG_OK);
    start_connect(pair);
    tg_loop_run_once(pair->loop);
    assert_int_equal(pair->client.opened, 1);
    assert_int_equal(pair->client.open_err, TG_EREFUSED);
}

static void test_closed_before_it_opened(void **state)
{
    struct pair *pair = *state;
    listen_on(pair, "127.0.0.1:0");
    start_connect(pair);
    tg_transport_close(pair->client.transport);
    pair->client.transport = NULL;
    tg_transport_close(NULL);
    int fd = -1;
    while (fd < 0) {
        fd = accept(pair->listener, NULL, NULL);
    }
    assert_int_equal(pair->client.opened, 0);
    close(fd);
}

static void test_closed_by_its_callbacks(void **state)
{
    struct pair *pair = *state;
    size_t len;
    open_pair(pair, "127.0.0.1:0");
    pair->server.close_when_readable = true;
    tg_transport_want(pair->server.transport, true, true);
    assert_int_equal(tg_transport_write(pair->client.transport, TG_LIT("x"), &len), TG_OK);
    wait_readable(pair, &pair->server, 1);
    assert_null(pair->server.transport);
    tg_transport_close(pair->client.transport);
    pair->client = (struct end){.close_when_open = true};
    start_connect(pair);
    while (pair->client.opened == 0) {
        tg_loop_run_once(pair->loop);
    }
    assert_null(pair->client.transport);
}

static void test_nothing_unwanted(void **state)
{
    struct pair *pair = *state;
    size_t len;
    open_pair(pair, "127.0.0.1:0");
    assert_int_equal(tg_transport_write(pair->client.transport, TG_LIT("x"), &len), TG_OK);
    tg_transport_want(pair->client.transport, true, true);
    while (pair->client.writable < 3) {
        tg_loop_run_once(pair->loop);
    }
    assert_int_equal(pair->server.readable, 0);
    assert_int_equal(pair->server.writable, 0);
    assert_int_equal(pair->client.readable, 0);
    tg_transport_want(pair->client.transport, true, false);
    tg_transport_want(pair->server.transport, true, false);
    wait_readable(pair, &pair->server, 1);
    assert_int_equal(pair->client.writable, 3);
}

/* A full socket says TG_EAGAIN, then on_writable, and nothing is lost or repeated. */
static void test_full_socket(void **state)
{
    struct pair *pair = *state;
    enum { BLOCK = 65536 };
    char *block = malloc(BLOCK);
    size_t sent = 0;
    size_t received = 0;
    size_t len = 0;
    assert_non_null(block);
    memset(block, 'b', BLOCK);
    open_pair(pair, "127.0.0.1:0");
    while (tg_transport_write(pair->client.transport, tg_slice_make(block, BLOCK), &len) == TG_OK) {
        sent += len;
    }
    tg_transport_want(pair->server.transport, true, false);
    tg_transport_want(pair->client.transport, false, true);
    while (pair->client.writable == 0) {
        tg_loop_run_once(pair->loop);
        while (read_some(&pair->server, block, BLOCK, &len) == TG_OK) {
            received += len;
        }
    }
    tg_transport_shutdown(pair->client.transport);
    enum tg_err err = TG_EAGAIN;
    while (err != TG_ECLOSED) {
        tg_loop_run_once(pair->loop);
        while ((err = read_some(&pair->server, block, BLOCK, &len)) == TG_OK) {
            received += len;
        }
        assert_true(err == TG_EAGAIN || err == TG_ECLOSED);
    }
    assert_int_equal(received, sent);
    free(block);
}

static void test_reset_by_the_peer(void **state)
{
    struct pair *pair = *state;
    char space[8];
    size_t len;
    open_pair(pair, "127.0.0.1:0");
    tg_transport_reset(pair->server.transport);
    pair->server.transport = NULL;
    tg_transport_want(pair->client.transport, true, false);
    wait_readable(pair, &pair->client, 1);
    assert_int_equal(read_some(&pair->client, space, sizeof(space), &len), TG_EIO);
    /* No SIGPIPE, which would kill the process. */
    assert_int_equal(tg_transport_write(pair->client.transport, TG_LIT("x"), &len), TG_EIO);
}

static void test_pieces(void **state)
{
    enum { BLOCK = 65536 };
    static const struct tg_slice words[] = {
        TG_LIT_INIT("one "), {NULL, 0}, TG_LIT_INIT("two "), TG_LIT_INIT("three")};
    struct pair *pair = *state;
    char space[64];
    static char block[BLOCK];
    const struct tg_slice blocks[] = {{block, BLOCK}, {block, BLOCK}};
    size_t len = 0;
    enum tg_err err = TG_OK;
    open_pair(pair, "127.0.0.1:0");
    assert_true(tg_transport_gathers(pair->client.transport));
    assert_int_equal(tg_transport_write_pieces(pair->client.transport, words, 4, &len), TG_OK);
    assert_int_equal(len, 13);
    tg_transport_want(pair->server.transport, true, false);
    wait_readable(pair, &pair->server, 1);
    assert_int_equal(read_some(&pair->server, space, sizeof(space), &len), TG_OK);
    assert_true(tg_slice_eq(tg_slice_make(space, len), TG_LIT("one two three")));
    /* Full is full: what was put short is followed by TG_EAGAIN. */
    for (len = 2 * BLOCK; len == 2 * BLOCK && err == TG_OK;) {
        err = tg_transport_write_pieces(pair->client.transport, blocks, 2, &len);
    }
    assert_int_equal(tg_transport_write_pieces(pair->client.transport, blocks, 2, &len), TG_EAGAIN);
    tg_transport_close(pair->server.transport);
    pair->server.transport = NULL;
    while (err == TG_OK || err == TG_EAGAIN) {
        err = tg_transport_write_pieces(pair->client.transport, words, 4, &len);
    }
    assert_int_equal(err, TG_EIO);
}

static void test_unacked(void **state)
{
    enum { BLOCK = 65536 };
    static char block[BLOCK];
    struct pair *pair = *state;
    size_t len = 0;
    open_pair(pair, "127.0.0.1:0");
    assert_int_equal(tg_transport_unacked(pair->client.transport), 0);
    while (tg_transport_write(pair->client.transport, tg_slice_make(block, BLOCK), &len) == TG_OK) {
    }
    size_t full = tg_transport_unacked(pair->client.transport);
    assert_true(full > 0);
    /* The peer's system need not acknowledge at once. */
    uint64_t deadline = tg_loop_now_ns() + UINT64_C(10000000000);
    while (tg_transport_unacked(pair->client.transport) > 0) {
        assert_true(tg_loop_now_ns() < deadline);
        enum tg_err err = read_some(&pair->server, block, BLOCK, &len);
        assert_true(err == TG_OK || err == TG_EAGAIN);
    }
}

static void test_reset_by_us(void **state)
{
    struct pair *pair = *state;
    char space[8];
    size_t len;
    open_pair(pair, "127.0.0.1:0");
    tg_transport_reset(pair->server.transport);
    pair->server.transport = NULL;
    tg_transport_want(pair->client.transport, true, false);
    wait_readable(pair, &pair->client, 1);
    assert_int_equal(read_some(&pair->client, space, sizeof(space), &len), TG_EIO);
}

static void test_accept_of_no_socket(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(
        tg_transport_accept(pair->loop, -1, NULL, &end_events, &pair->server, &pair->server.transport),
        TG_EIO);
    assert_null(pair->server.transport);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tcp),
        TEST(test_another_owner),
        TEST(test_unix_socket),
        TEST(test_connect_refused),
        TEST(test_unix_socket_missing),
        TEST(test_closed_before_it_opened),
        TEST(test_closed_by_its_callbacks),
        TEST(test_nothing_unwanted),
        TEST(test_full_socket),
        TEST(test_pieces),
        TEST(test_unacked),
        TEST(test_reset_by_the_peer),
        TEST(test_reset_by_us),
        TEST(test_accept_of_no_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
