/* Writes that are gathered, with io_uring where this system has it and with send(2): the same must come of
 * both. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/io/sends.h"

enum { PAIRS = 16, TOLD_MAX = 2 * TG_SENDS_MAX };

static bool ring;

struct told {
    int calls;
    enum tg_err err;
    size_t put, len;
    char first;
};

struct world {
    struct tg_sends *sends;
    int near[PAIRS], far[PAIRS];
    struct told told[PAIRS];
    size_t order[TOLD_MAX], count; /* whom it was told, by place in `told` */
};

static struct world world;

static void open_world(void)
{
    memset(&world, 0, sizeof world);
    assert_int_equal(tg_sends_new(&world.sends), TG_OK);
    tg_sends_use_ring(world.sends, ring);
    for (size_t i = 0; i < PAIRS; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        world.near[i] = pair[0];
        world.far[i] = pair[1];
    }
}

static void close_world(void)
{
    tg_sends_free(world.sends);
    for (size_t i = 0; i < PAIRS; i++) {
        (void)close(world.near[i]);
        (void)close(world.far[i]);
    }
}

static void on_sent(void *arg, struct tg_slice bytes, enum tg_err err, size_t put)
{
    struct told *told = arg;
    told->calls++;
    told->err = err;
    told->put = put;
    told->len = bytes.len;
    told->first = bytes.ptr[0];
    assert_true(world.count < TOLD_MAX);
    world.order[world.count++] = (size_t)(told - world.told);
}

static uint16_t add(size_t pair, const char *text)
{
    uint16_t number =
        tg_sends_add(world.sends, world.near[pair], tg_slice_cstr(text), on_sent, &world.told[pair]);
    assert_int_not_equal(number, 0);
    return number;
}

static void assert_arrives(size_t pair, const char *text)
{
    char got[64];
    ssize_t len = recv(world.far[pair], got, sizeof got - 1, 0);
    got[len > 0 ? len : 0] = '\0';
    assert_string_equal(got, text);
}

static void assert_told(size_t pair, int calls, enum tg_err err, size_t put)
{
    assert_int_equal(world.told[pair].calls, calls);
    assert_int_equal(world.told[pair].err, err);
    assert_int_equal(world.told[pair].put, put);
}

static void fill(size_t pair)
{
    char block[4096] = {0};
    while (send(world.near[pair], block, sizeof block, MSG_NOSIGNAL) > 0) {
    }
}

static void test_each(void **state)
{
    char text[16];
    (void)state;
    open_world();
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < PAIRS; i++) {
            (void)snprintf(text, sizeof text, "%zu of %zu", i, round);
            add(i, text);
        }
        assert_int_equal(world.count, PAIRS * round);
        tg_sends_flush(world.sends);
        for (size_t i = 0; i < PAIRS; i++) {
            (void)snprintf(text, sizeof text, "%zu of %zu", i, round);
            assert_told(i, (int)round + 1, TG_OK, strlen(text));
            assert_arrives(i, text);
            assert_int_equal(world.order[PAIRS * round + i], i);
        }
    }
    if (!ring) {
        assert_false(tg_sends_has_ring(world.sends));
    } else if (!tg_sends_has_ring(world.sends)) {
        print_message("no io_uring here: only send(2) was tried\n");
    }
    close_world();
}

/* Each in its own way: a full socket, one whose peer has gone, one that takes all, and one that is no socket.
 */
static void test_what_fails(void **state)
{
    (void)state;
    open_world();
    fill(0);
    (void)shutdown(world.near[1], SHUT_WR);
    int no_socket = open("/dev/null", O_WRONLY | O_CLOEXEC);
    add(0, "no room");
    add(1, "nobody");
    add(2, "well");
    assert_int_not_equal(tg_sends_add(world.sends, no_socket, TG_LIT("what"), on_sent, &world.told[3]), 0);
    add(4, "well, too");
    tg_sends_flush(world.sends);
    assert_told(0, 1, TG_EAGAIN, 0);
    assert_int_equal(world.told[0].len, 7);
    assert_int_equal(world.told[0].first, 'n');
    assert_told(1, 1, TG_EIO, 0);
    assert_told(2, 1, TG_OK, 4);
    assert_told(3, 1, TG_EIO, 0);
    assert_told(4, 1, TG_OK, 9);
    assert_arrives(2, "well");
    assert_arrives(4, "well, too");
    (void)close(no_socket);
    close_world();
}

/* What there is room for is written, and told. */
static void test_part(void **state)
{
    char block[TG_SENDS_LONGEST] = {0}, got[65536];
    int small = 4608;
    (void)state;
    open_world();
    assert_int_equal(setsockopt(world.near[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_not_equal(tg_sends_add(world.sends, world.near[0], tg_slice_make(block, sizeof block),
                                          on_sent, &world.told[0]),
                             0);
    }
    add(1, "other");
    tg_sends_flush(world.sends);
    assert_int_equal(world.told[0].calls, 4);
    assert_int_equal(world.told[0].err, TG_EAGAIN);
    assert_told(1, 1, TG_OK, 5);
    ssize_t all = 0, len;
    while ((len = recv(world.far[0], got, sizeof got, 0)) > 0) {
        all += len;
    }
    assert_in_range(all, 1, 4 * TG_SENDS_LONGEST - 1);
    close_world();
}

/* One is written before its turn, one is, too, and nobody is told; the others stay. */
static void test_now_and_forget(void **state)
{
    (void)state;
    open_world();
    add(0, "a");
    uint16_t now = add(1, "b"), forgotten = add(2, "c");
    add(3, "d");
    tg_sends_now(world.sends, now);
    assert_told(1, 1, TG_OK, 1);
    assert_int_equal(world.count, 1);
    assert_arrives(1, "b");
    tg_sends_forget(world.sends, forgotten);
    assert_int_equal(world.told[2].calls, 0);
    assert_arrives(2, "c");
    assert_int_equal(close(world.near[2]), 0);
    world.near[2] = -1;
    tg_sends_flush(world.sends);
    assert_told(0, 1, TG_OK, 1);
    assert_told(3, 1, TG_OK, 1);
    assert_told(1, 1, TG_OK, 1);
    assert_int_equal(world.told[2].calls, 0);
    assert_arrives(0, "a");
    assert_arrives(3, "d");
    assert_arrives(1, "");
    close_world();
}

static void add_another(void *arg, struct tg_slice bytes, enum tg_err err, size_t put)
{
    on_sent(arg, bytes, err, put);
    size_t pair = (size_t)((struct told *)arg - world.told);
    if (pair + 2 < PAIRS) {
        assert_int_not_equal(
            tg_sends_add(world.sends, world.near[pair + 2], bytes, add_another, &world.told[pair + 2]), 0);
    }
}

static void test_added_meanwhile(void **state)
{
    (void)state;
    open_world();
    for (size_t i = 0; i < 2; i++) {
        assert_int_not_equal(
            tg_sends_add(world.sends, world.near[i], TG_LIT("on"), add_another, &world.told[i]), 0);
    }
    tg_sends_flush(world.sends);
    for (size_t i = 0; i < PAIRS; i++) {
        assert_told(i, 1, TG_OK, 2);
        assert_arrives(i, "on");
    }
    close_world();
}

/* A callback that ends another connection, whose write is done but not told. */
static uint16_t doomed;

static void forget_doomed(void *arg, struct tg_slice bytes, enum tg_err err, size_t put)
{
    on_sent(arg, bytes, err, put);
    tg_sends_forget(world.sends, doomed);
}

static void test_forgotten_meanwhile(void **state)
{
    (void)state;
    open_world();
    assert_int_not_equal(tg_sends_add(world.sends, world.near[0], TG_LIT("x"), forget_doomed, &world.told[0]),
                         0);
    doomed = add(1, "once");
    tg_sends_flush(world.sends);
    assert_int_equal(world.told[0].calls, 1);
    assert_int_equal(world.told[1].calls, 0);
    assert_arrives(1, "once");
    assert_arrives(1, "");
    close_world();
}

static void test_limits(void **state)
{
    char block[TG_SENDS_LONGEST + 1] = {0};
    struct tg_slice longest = tg_slice_make(block, TG_SENDS_LONGEST);
    size_t taken = 0;
    (void)state;
    open_world();
    assert_int_equal(
        tg_sends_add(world.sends, world.near[0], tg_slice_make(block, sizeof block), on_sent, NULL), 0);
    for (size_t i = 0; i < TG_SENDS_MAX; i++) {
        taken +=
            tg_sends_add(world.sends, world.near[i % PAIRS], longest, on_sent, &world.told[i % PAIRS]) != 0;
    }
    assert_in_range(taken, 2, TG_SENDS_MAX - 1); /* the bytes are limited */
    tg_sends_flush(world.sends);
    world.count = 0;
    close_world();
    open_world();
    for (size_t i = 0; i < TG_SENDS_MAX; i++) {
        uint16_t number = tg_sends_add(world.sends, world.near[0], TG_LIT("y"), on_sent, &world.told[0]);
        assert_int_equal(number, i + 1);
        if (i % 2 == 0) {
            tg_sends_forget(world.sends, number);
        } else if (i % 8 != 7) {
            tg_sends_now(world.sends, number);
        }
    }
    assert_int_equal(tg_sends_add(world.sends, world.near[0], TG_LIT("z"), on_sent, NULL),
                     0); /* and their number */
    world.count = 0;
    tg_sends_flush(world.sends);
    assert_int_equal(world.told[0].calls, TG_SENDS_MAX / 2);
    assert_int_equal(world.count, TG_SENDS_MAX / 8);
    close_world();
}

static int use_ring(void **state)
{
    (void)state;
    ring = true;
    return 0;
}

static int use_send(void **state)
{
    (void)state;
    ring = false;
    return 0;
}

#define TWICE(test) cmocka_unit_test_setup(test, use_ring), cmocka_unit_test_setup(test, use_send)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TWICE(test_each),           TWICE(test_what_fails),      TWICE(test_part),
        TWICE(test_now_and_forget), TWICE(test_added_meanwhile), TWICE(test_forgotten_meanwhile),
        TWICE(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
