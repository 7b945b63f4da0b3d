/* Random histories of two workers: pushes, cancels, blocked and broken sockets, closes, cuts and callbacks
 * that do more of it, in any order. Whatever happens, an operation ends once and later, its outcome is the
 * truth about its frame, and nothing is asked of a socket that has ended or has no room. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "connmgr/push.h"
#include "tests/unit/fake_socket.h"

enum {
    INBOX = 4096,
    SOCKETS = 8,
    OPS = 4000,
    STEPS = 12000,
    FRAME_LEN = 10, /* of a payload that is a uint64_t */
    LONG_MS = 60000
};

enum op_state { NOT_STARTED, STARTING, UNDER_WAY, ENDED, CANCELLED };

struct history;

struct op {
    struct history *history;
    enum op_state state;
    enum tg_push_verb verb;
    enum tg_push_outcome outcome;
    struct tg_push_op *op;
    int written;
};

struct peer {
    struct tg_socket socket; /* of which `conn` and `next` are used */
    struct history *history;
    char id[TG_CONNID_LEN + 1];
    bool live, blocked, broken, closed;
};

struct history {
    struct tg_bus *bus;
    struct fixture fixtures[2];
    struct tg_push *pushes[2];
    struct peer peers[SOCKETS]; /* the first half is of the first worker */
    struct op ops[OPS + 1];     /* by number, from 1 */
    size_t started;
    uint32_t random;
    size_t outcomes[TG_PUSH_FAILED + 1];
};

static uint32_t pick(struct history *history, uint32_t below)
{
    history->random = history->random * 1664525 + 1013904223;
    return (history->random >> 16) % below;
}

/* ---- the socket, which holds its owner to the contract ---- */

static struct peer *peer_of(struct tg_socket *socket)
{
    return TG_CONTAINER(socket, struct peer, socket);
}

static enum tg_err strict_write(struct tg_socket *socket, struct tg_slice frames)
{
    struct peer *peer = peer_of(socket);
    assert_true(peer->live && !peer->blocked && !peer->broken && !peer->closed);
    peer->blocked = socket->next == TG_EAGAIN;
    peer->broken = socket->next == TG_ECLOSED;
    assert_int_equal(frames.len % FRAME_LEN, 0);
    for (size_t at = 0; !peer->broken && at < frames.len; at += FRAME_LEN) {
        uint64_t number;
        memcpy(&number, frames.ptr + at + 2, sizeof number);
        assert_in_range(number, 1, OPS);
        peer->history->ops[number].written++;
    }
    return socket->next;
}

static void strict_close(struct tg_socket *socket, int code, struct tg_slice reason)
{
    struct peer *peer = peer_of(socket);
    (void)reason;
    assert_true(peer->live && (code == 0 || !peer->closed));
    peer->closed = true;
}

static const struct tg_socket_ops strict_ops = {
    .write = strict_write, .close = strict_close, .pause = fake_pause};

static void open_peer(struct history *history, size_t at)
{
    struct peer *peer = &history->peers[at];
    struct fixture *fixture = &history->fixtures[at / (SOCKETS / 2)];
    const struct tg_conn_info info = fixture_info();
    struct tg_conn_handle handle;
    *peer = (struct peer){.history = history, .live = true};
    assert_int_equal(tg_conn_reserve(fixture->mgr, &handle, peer->id), TG_OK);
    peer->socket.conn = tg_conn_get(fixture->mgr, handle);
    assert_int_equal(
        tg_conn_open(fixture->mgr, handle, &info, &fixture->settings, &peer->socket, &strict_ops), TG_OK);
}

static void end_peer(struct peer *peer)
{
    peer->live = false; /* the id stays, as that of a connection that was */
    fake_end(&peer->socket, 1006, "", true);
}

/* ---- the operations ---- */

static void act(struct history *history);

static void note_end(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    struct op *op = arg;
    struct history *history = op->history;
    assert_int_equal(op->state, UNDER_WAY);
    assert_int_equal(info != NULL, op->verb == TG_PUSH_GET && outcome == TG_PUSH_DONE);
    op->state = ENDED;
    op->outcome = outcome;
    history->outcomes[outcome]++;
    if (pick(history, 4) == 0) {
        act(history);
    }
}

static void start_op(struct history *history, enum tg_push_verb verb)
{
    if (history->started == OPS) {
        return;
    }
    const uint64_t number = ++history->started;
    struct op *op = &history->ops[number];
    const struct tg_push_request request = {
        .verb = verb,
        .connection_id = tg_slice_cstr(history->peers[pick(history, SOCKETS)].id),
        .api_id = TG_LIT("chat"),
        .payload = tg_slice_make(&number, sizeof number),
        .binary = true,
        .timeout_ms = pick(history, 2) == 0 ? pick(history, 3) : LONG_MS,
    };
    *op = (struct op){.history = history, .state = STARTING, .verb = verb};
    assert_int_equal(tg_push_start(history->pushes[pick(history, 2)], &request, note_end, op, &op->op),
                     TG_OK);
    op->state = UNDER_WAY;
}

static void cancel_some(struct history *history)
{
    size_t recent = history->started < 20 ? history->started : 20;
    struct op *op = &history->ops[history->started - (recent > 0 ? pick(history, (uint32_t)recent) : 0)];
    if (op->state == UNDER_WAY) {
        op->state = CANCELLED;
        tg_push_cancel(op->op);
    }
}

/* What the gateway's own code may do at any time, also from a callback. */
static void act(struct history *history)
{
    struct peer *peer = &history->peers[pick(history, SOCKETS)];
    switch (pick(history, 16)) {
    case 0:
        start_op(history, TG_PUSH_DELETE);
        break;
    case 1:
    case 2:
        start_op(history, TG_PUSH_GET);
        break;
    case 3:
    case 4:
        cancel_some(history);
        break;
    case 5:
        if (peer->live) {
            tg_conn_close(peer->socket.conn, pick(history, 2) == 0 ? 0 : 1001, TG_LIT("Going away"));
        }
        break;
    case 6:
        if (pick(history, 20) == 0) {
            tg_connmgr_cut(history->fixtures[pick(history, 2)].mgr);
        }
        break;
    default:
        start_op(history, TG_PUSH_POST);
        break;
    }
}

/* What comes from the sockets and the loops. */
static void happen(struct history *history)
{
    static const enum tg_err answers[] = {TG_OK, TG_OK, TG_EAGAIN, TG_EAGAIN, TG_EAGAIN, TG_ECLOSED};
    size_t at = pick(history, SOCKETS);
    struct peer *peer = &history->peers[at];
    if (!peer->live) {
        open_peer(history, at);
        return;
    }
    switch (pick(history, 8)) {
    case 0:
        if (peer->closed || peer->broken || pick(history, 10) == 0) {
            end_peer(peer);
        }
        break;
    case 1:
    case 2:
        peer->socket.next = answers[pick(history, sizeof answers / sizeof answers[0])];
        break;
    case 3:
        if (peer->blocked) {
            peer->blocked = false;
            tg_conn_socket_events.on_writable(peer->socket.conn);
        }
        break;
    default:
        turn(history->fixtures[pick(history, 2)].loop);
        break;
    }
}

static void act_when_closed(struct fixture *fixture, struct tg_conn *conn)
{
    (void)conn;
    if (fixture->closed % 3 == 0) {
        tg_connmgr_cut(fixture->mgr);
    }
}

static bool any_under_way(const struct history *history)
{
    for (size_t i = 1; i <= history->started; i++) {
        if (history->ops[i].state == UNDER_WAY) {
            return true;
        }
    }
    return false;
}

static void start_history(struct history *history, uint32_t seed)
{
    *history = (struct history){.random = seed};
    assert_int_equal(tg_bus_local_new(7, 2, INBOX, &history->bus), TG_OK);
    for (uint32_t i = 0; i < 2; i++) {
        struct fixture *fixture = &history->fixtures[i];
        fixture_init(fixture, i, SOCKETS);
        fixture->settings.max_queued_bytes = 6 * FRAME_LEN;
        fixture->during_closed = act_when_closed;
        assert_int_equal(
            tg_push_new(fixture->mgr, fixture->loop, history->bus, &fixture->options, &history->pushes[i]),
            TG_OK);
    }
    for (size_t i = 0; i < SOCKETS; i++) {
        open_peer(history, i);
    }
}

static void end_history(struct history *history)
{
    for (size_t i = 0; i < SOCKETS; i++) {
        if (history->peers[i].live) {
            end_peer(&history->peers[i]);
        }
    }
    while (any_under_way(history)) {
        turn(history->fixtures[0].loop);
        turn(history->fixtures[1].loop);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(atomic_load(&tg_connmgr_counters(history->fixtures[i].mgr)->queued_bytes), 0);
        tg_push_free(history->pushes[i]);
        fixture_free(&history->fixtures[i]);
    }
    tg_bus_free(history->bus);
}

static void assert_outcomes_are_true(const struct history *history)
{
    for (size_t i = 1; i <= history->started; i++) {
        const struct op *op = &history->ops[i];
        assert_true(op->written <= (op->verb == TG_PUSH_POST));
        if (op->state == ENDED && op->verb == TG_PUSH_POST && op->outcome != TG_PUSH_UNREACHABLE) {
            assert_int_equal(op->written, op->outcome == TG_PUSH_DONE);
        }
    }
}

static void test_histories(void **state)
{
    struct history *history = calloc(1, sizeof *history);
    size_t outcomes[TG_PUSH_FAILED + 1] = {0};
    (void)state;
    assert_non_null(history);
    for (uint32_t seed = 1; seed <= 8; seed++) {
        start_history(history, seed);
        for (int step = 0; step < STEPS; step++) {
            if (pick(history, 3) == 0) {
                act(history);
            } else {
                happen(history);
            }
        }
        end_history(history);
        assert_outcomes_are_true(history);
        for (size_t i = 0; i <= TG_PUSH_FAILED; i++) {
            outcomes[i] += history->outcomes[i];
        }
    }
    print_message("%zu done, %zu gone, %zu busy\n", outcomes[TG_PUSH_DONE], outcomes[TG_PUSH_GONE],
                  outcomes[TG_PUSH_BUSY]);
    assert_true(outcomes[TG_PUSH_DONE] > 0 && outcomes[TG_PUSH_GONE] > 0 && outcomes[TG_PUSH_BUSY] > 0);
    assert_int_equal(outcomes[TG_PUSH_FAILED], 0);
    free(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
