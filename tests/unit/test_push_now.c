/* Pushes that are done within the call: when they are, when they are left to the long way, and that nobody
 * can tell from the outcome, the bytes and the counters which way one went. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "connmgr/lease.h"
#include "connmgr/push.h"
#include "tests/unit/fake_socket.h"

enum { LONG_MS = 60000, JOINED = 4096 };

struct world {
    struct fixture fixture;
    struct tg_push *push;
    _Atomic(uint64_t) lease;
};

static void world_init(struct world *world)
{
    fixture_init(&world->fixture, 0, 64);
    tg_connmgr_free(world->fixture.mgr);
    tg_lease_set(&world->lease, world->fixture.options.node, TG_LEASE_FOREVER);
    world->fixture.options.lease = &world->lease;
    assert_int_equal(tg_connmgr_new(&world->fixture.options, &world->fixture.mgr), TG_OK);
    assert_int_equal(
        tg_push_new(world->fixture.mgr, world->fixture.loop, NULL, &world->fixture.options, &world->push),
        TG_OK);
}

static void world_free(struct world *world)
{
    assert_int_equal(atomic_load(&tg_connmgr_counters(world->fixture.mgr)->queued_bytes), 0);
    tg_push_free(world->push);
    fixture_free(&world->fixture);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world_init(world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    world_free(world);
    free(world);
    return 0;
}

static struct tg_push_request post_to(const char *id, const char *text)
{
    return (struct tg_push_request){
        .verb = TG_PUSH_POST,
        .connection_id = tg_slice_cstr(id),
        .api_id = TG_LIT("chat"),
        .payload = tg_slice_cstr(text),
        .timeout_ms = LONG_MS,
    };
}

/* The call, and what became of it. */
static bool push_request(struct world *world, const struct tg_push_request *request,
                         enum tg_push_outcome *outcome)
{
    struct tg_push_now now;
    *outcome = TG_PUSH_FAILED;
    if (!tg_push_now(world->push, request, &now)) {
        return false;
    }
    tg_push_flush(world->push);
    *outcome = tg_push_outcome_now(world->push, &now);
    return true;
}

/* What the call said of a push of this text. */
static bool push_now(struct world *world, struct tg_socket *socket, const char *text,
                     enum tg_push_outcome *outcome)
{
    const struct tg_push_request request = post_to(tg_conn_id(socket->conn), text);
    tg_push_expect(world->push, request.connection_id);
    assert_int_equal(tg_push_check_id(world->push, request.connection_id), TG_OK);
    return push_request(world, &request, outcome);
}

static void assert_now(struct world *world, struct tg_socket *socket, const char *text,
                       enum tg_push_outcome expected)
{
    enum tg_push_outcome outcome = TG_PUSH_FAILED;
    assert_true(push_now(world, socket, text, &outcome));
    assert_int_equal(outcome, expected);
}

/* It is left to the long way, and nothing was written. */
static void assert_declined(struct world *world, struct tg_socket *socket, const char *text)
{
    enum tg_push_outcome outcome = TG_PUSH_FAILED;
    int writes = socket->writes;
    assert_false(push_now(world, socket, text, &outcome));
    assert_int_equal(outcome, TG_PUSH_FAILED);
    assert_int_equal(socket->writes, writes);
}

static void writes_within_the_call(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    const struct tg_conn_counters *counters = tg_connmgr_counters(world->fixture.mgr);
    assert_now(world, socket, "one", TG_PUSH_DONE);
    ASSERT_WRITTEN(socket, "\x81\x03one");
    assert_int_equal(socket->writes, 1);
    assert_int_equal(atomic_load(&counters->messages_out), 1);
    assert_int_equal(atomic_load(&counters->bytes_out), 3);
    assert_int_equal(atomic_load(&counters->queued_bytes), 0);
    assert_true(tg_conn_last_active_ms(socket->conn) > fixture_info().connected_at_ms);
    turn(world->fixture.loop);
    assert_int_equal(socket->writes, 1);
    end_conn(socket);
}

/* What the write of all of them together finds out. */
static void tells_of_one_that_was_lost(void **state)
{
    struct world *world = *state;
    struct tg_socket *sockets[] = {open_conn(&world->fixture), open_conn(&world->fixture),
                                   open_conn(&world->fixture)};
    struct tg_push_now now[3];
    for (size_t i = 0; i < 3; i++) {
        const struct tg_push_request request = post_to(tg_conn_id(sockets[i]->conn), "one");
        assert_true(tg_push_now(world->push, &request, &now[i]));
        assert_int_equal(sockets[i]->laters, 1);
    }
    fake_unsent(sockets[1], TG_ECLOSED, 5);
    fake_unsent(sockets[2], TG_EAGAIN, 5);
    tg_push_flush(world->push);
    assert_int_equal(tg_push_outcome_now(world->push, &now[0]), TG_PUSH_DONE);
    assert_int_equal(tg_push_outcome_now(world->push, &now[1]), TG_PUSH_GONE);
    assert_int_equal(tg_push_outcome_now(world->push, &now[2]),
                     TG_PUSH_DONE); /* the rest waits in the socket */
    for (size_t i = 0; i < 3; i++) {
        end_conn(sockets[i]);
    }
}

static void writes_binary_and_empty_payloads(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    struct tg_push_request request = post_to(tg_conn_id(socket->conn), "");
    enum tg_push_outcome outcome;
    request.binary = true;
    request.payload = TG_EMPTY;
    assert_true(push_request(world, &request, &outcome));
    assert_int_equal(outcome, TG_PUSH_DONE);
    turn(world->fixture.loop);
    request.payload = TG_LIT("\x00\xff");
    assert_true(push_request(world, &request, &outcome));
    ASSERT_WRITTEN(socket, "\x82\x00\x82\x02\x00\xff");
    end_conn(socket);
}

/* A payload of any length is the same on the wire as in a frame made for it; a long one is not copied. */
static void writes_payloads_of_any_length(void **state)
{
    static const size_t lengths[] = {1, 125, 126, JOINED, JOINED + 1, 0xffff, 0x10000, 131072};
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    char *text = malloc(131072);
    assert_non_null(text);
    memset(text, 'x', 131072);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct tg_push_request request = post_to(tg_conn_id(socket->conn), "");
        enum tg_push_outcome outcome;
        struct tg_frame *frame;
        request.payload = tg_slice_make(text, lengths[i]);
        turn(world->fixture.loop);
        tg_buf_consume(&socket->written, tg_buf_size(&socket->written));
        assert_true(push_request(world, &request, &outcome));
        assert_int_equal(outcome, TG_PUSH_DONE);
        assert_int_equal(tg_frame_new(TG_OPCODE_TEXT, request.payload, &frame), TG_OK);
        assert_written(socket, frame->bytes, frame->len);
        assert_int_equal(socket->pieces, lengths[i] <= JOINED ? 1 : 2);
        assert_int_equal(socket->last_piece == text, lengths[i] > JOINED);
        tg_frame_unref(frame);
    }
    free(text);
    end_conn(socket);
}

static void leaves_long_payloads_of_sockets_without_pieces(void **state)
{
    static const struct tg_socket_ops no_pieces = {
        .write = fake_write, .close = fake_close, .pause = fake_pause};
    struct world *world = *state;
    const struct tg_conn_info info = fixture_info();
    struct tg_socket *socket = fake_socket_new();
    struct tg_conn_handle handle;
    char id[TG_CONNID_LEN + 1], text[JOINED + 2];
    memset(text, 'x', sizeof text);
    text[JOINED + 1] = '\0';
    assert_int_equal(tg_conn_reserve(world->fixture.mgr, &handle, id), TG_OK);
    socket->conn = tg_conn_get(world->fixture.mgr, handle);
    assert_int_equal(
        tg_conn_open(world->fixture.mgr, handle, &info, &world->fixture.settings, socket, &no_pieces), TG_OK);
    assert_declined(world, socket, text);
    assert_now(world, socket, text + 1, TG_PUSH_DONE);
    end_conn(socket);
}

static void goes_behind_what_is_queued(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    assert_int_equal(send_text(socket->conn, "queued", NULL, NULL), TG_OK);
    assert_declined(world, socket, "one");
    turn(world->fixture.loop);
    assert_now(world, socket, "two", TG_PUSH_DONE);
    ASSERT_WRITTEN(socket, "\x81\x06queued\x81\x03two");
    end_conn(socket);
}

static void answer(struct fixture *fixture, struct tg_conn *conn)
{
    assert_int_equal(tg_conn_send_text(conn, tg_slice_cstr(fixture->payload)), TG_OK);
}

static void goes_behind_answers_of_its_own_connection(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture), *other = open_conn(&world->fixture);
    world->fixture.during_message = answer;
    tg_conn_socket_events.on_message(socket->conn, TG_LIT("hi"), false);
    assert_declined(world, socket, "one");
    assert_now(world, other, "two", TG_PUSH_DONE);
    turn(world->fixture.loop);
    ASSERT_WRITTEN(socket, "\x81\x02hi");
    ASSERT_WRITTEN(other, "\x81\x03two");
    end_conn(socket);
    end_conn(other);
}

/* More pushes of one pass go out in one write. */
static void does_the_first_of_a_pass_only(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture), *other = open_conn(&world->fixture);
    assert_now(world, socket, "1", TG_PUSH_DONE);
    assert_declined(world, socket, "2");
    assert_now(world, other, "1", TG_PUSH_DONE);
    assert_int_equal(send_text(socket->conn, "2", NULL, NULL), TG_OK);
    assert_int_equal(send_text(socket->conn, "3", NULL, NULL), TG_OK);
    turn(world->fixture.loop);
    assert_int_equal(socket->writes, 2);
    assert_now(world, socket, "4", TG_PUSH_DONE);
    ASSERT_WRITTEN(socket, "\x81\x01"
                           "1\x81\x01"
                           "2\x81\x01"
                           "3\x81\x01"
                           "4");
    end_conn(socket);
    end_conn(other);
}

/* The socket has taken it whole; what the kernel had no room for counts as queued, as always. */
static void keeps_what_the_kernel_has_no_room_for_in_the_socket(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    size_t frames;
    socket->next = TG_EAGAIN;
    assert_now(world, socket, "one", TG_PUSH_DONE);
    assert_int_equal(tg_conn_queued(socket->conn, &frames), 5);
    assert_int_equal(frames, 0);
    turn(world->fixture.loop);
    assert_declined(world, socket, "two");
    fake_writable(socket);
    assert_int_equal(tg_conn_queued(socket->conn, &frames), 0);
    assert_now(world, socket, "two", TG_PUSH_DONE);
    ASSERT_WRITTEN(socket, "\x81\x03one\x81\x03two");
    end_conn(socket);
}

static void is_gone_when_the_write_shows_the_end(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    socket->next = TG_ECLOSED;
    assert_now(world, socket, "one", TG_PUSH_GONE);
    assert_int_equal(tg_conn_state(socket->conn), TG_CONN_CLOSING);
    assert_int_equal(atomic_load(&tg_connmgr_counters(world->fixture.mgr)->messages_out), 0);
    turn(world->fixture.loop);
    assert_now(world, socket, "two", TG_PUSH_GONE);
    assert_int_equal(socket->writes, 1);
    assert_int_equal(world->fixture.closed, 0);
    fake_end(socket, 1006, "", true);
    assert_int_equal(world->fixture.closed, 1);
    fake_socket_free(socket);
}

static void is_gone_with_its_connection(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    struct tg_push_request request = post_to(tg_conn_id(socket->conn), "one");
    enum tg_push_outcome outcome = TG_PUSH_FAILED;
    char id[TG_CONNID_LEN + 1];
    memcpy(id, tg_conn_id(socket->conn), sizeof id);
    request.connection_id = tg_slice_cstr(id);
    tg_conn_close(socket->conn, 1001, TG_LIT("Going away"));
    assert_true(push_request(world, &request, &outcome));
    assert_int_equal(outcome, TG_PUSH_GONE);
    assert_int_equal(socket->writes, 0);
    end_conn(socket);
    outcome = TG_PUSH_FAILED;
    tg_push_expect(world->push, request.connection_id);
    assert_int_equal(tg_push_check_id(world->push, request.connection_id), TG_OK);
    assert_true(push_request(world, &request, &outcome));
    assert_int_equal(outcome, TG_PUSH_GONE);
}

static void is_gone_for_another_api(void **state)
{
    static const struct tg_slice others[] = {TG_LIT_INIT("cha"), TG_LIT_INIT("chat2"), TG_LIT_INIT("chas"),
                                             TG_LIT_INIT("")};
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct tg_push_request request = post_to(tg_conn_id(socket->conn), "one");
        enum tg_push_outcome outcome = TG_PUSH_FAILED;
        request.api_id = others[i];
        assert_true(push_request(world, &request, &outcome));
        assert_int_equal(outcome, TG_PUSH_GONE);
    }
    assert_int_equal(socket->writes, 0);
    assert_now(world, socket, "one", TG_PUSH_DONE);
    end_conn(socket);
}

/* However long its name is: short ones lie in the connection itself. */
static void knows_its_api_by_the_whole_name(void **state)
{
    static const char name[] = "an-api-with-a-very-long-name";
    struct world *world = *state;
    for (size_t len = 1; len < sizeof name - 1; len++) {
        struct tg_conn_info info = fixture_info();
        struct tg_socket *socket = fake_socket_new();
        struct tg_conn_handle handle;
        char id[TG_CONNID_LEN + 1], altered[sizeof name];
        info.api_id = tg_slice_make(name, len);
        memcpy(altered, name, len);
        altered[len - 1] = '!';
        assert_int_equal(tg_conn_reserve(world->fixture.mgr, &handle, id), TG_OK);
        socket->conn = tg_conn_get(world->fixture.mgr, handle);
        assert_int_equal(
            tg_conn_open(world->fixture.mgr, handle, &info, &world->fixture.settings, socket, &fake_ops),
            TG_OK);
        assert_true(tg_conn_is_of(socket->conn, tg_slice_make(name, len)));
        assert_false(tg_conn_is_of(socket->conn, tg_slice_make(name, len - 1)));
        assert_false(tg_conn_is_of(socket->conn, tg_slice_make(name, len + 1)));
        assert_false(tg_conn_is_of(socket->conn, tg_slice_make(altered, len)));
        assert_false(tg_conn_is_of(socket->conn, TG_EMPTY));
        end_conn(socket);
    }
}

static void is_gone_while_the_lease_is_lost(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    tg_lease_set(&world->lease, 0, 0);
    assert_now(world, socket, "one", TG_PUSH_GONE);
    assert_int_equal(socket->writes, 0);
    assert_int_equal(tg_conn_state(socket->conn), TG_CONN_OPEN);
    end_conn(socket);
}

static void leaves_everything_else_to_the_long_way(void **state)
{
    struct world *world = *state;
    struct tg_socket *socket = open_conn(&world->fixture);
    struct tg_push_request request = post_to(tg_conn_id(socket->conn), "one");
    enum tg_push_outcome outcome = TG_PUSH_FAILED;
    const struct tg_connid elsewhere = {.node = 7, .worker = 1, .slot = 0, .generation = 1};
    const struct tg_connid other_node = {.node = 8, .worker = 0, .slot = 0, .generation = 1};
    char id[TG_CONNID_LEN + 1];
    request.verb = TG_PUSH_GET;
    assert_false(push_request(world, &request, &outcome));
    request.verb = TG_PUSH_DELETE;
    assert_false(push_request(world, &request, &outcome));
    request = post_to("not an id", "one");
    tg_push_expect(world->push, request.connection_id);
    assert_false(push_request(world, &request, &outcome));
    tg_connid_encode(world->fixture.options.id_key, &elsewhere, id);
    request = post_to(id, "one");
    tg_push_expect(world->push, request.connection_id);
    assert_int_equal(tg_push_check_id(world->push, request.connection_id), TG_OK);
    assert_false(push_request(world, &request, &outcome));
    tg_connid_encode(world->fixture.options.id_key, &other_node, id);
    assert_false(push_request(world, &request, &outcome));
    assert_int_equal(outcome, TG_PUSH_FAILED);
    assert_int_equal(socket->writes, 0);
    end_conn(socket);
}

/* ---- both ways compared ---- */

/* The same random history in two worlds: one does what it can at once, the other nothing. Sockets change
 * between passes, and connections end when nothing waits in their sockets: then both must agree on every
 * outcome, every byte and every total, though one joins frames that the other writes apart. */
enum { SOCKETS = 6, PUSHES = 3000, STEPS = 9000, PAYLOAD_MAX = 9000 };

struct side {
    struct world world;
    bool at_once;
    struct tg_socket *sockets[SOCKETS];
    char ids[SOCKETS][TG_CONNID_LEN + 1];
    int outcomes[PUSHES]; /* -1: none yet */
    size_t done_at_once;
};

struct ended {
    struct side *side;
    size_t push;
    struct tg_push_op *op;
};

static void note_pushed(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    struct ended *ended = arg;
    assert_null(info);
    assert_int_equal(ended->side->outcomes[ended->push], -1);
    ended->side->outcomes[ended->push] = (int)outcome;
    free(ended);
}

static void push_on(struct side *side, size_t number, size_t at, const struct tg_push_request *model)
{
    struct tg_push_request request = *model;
    enum tg_push_outcome outcome;
    request.connection_id = tg_slice_cstr(side->ids[at]);
    if (side->at_once && push_request(&side->world, &request, &outcome)) {
        side->outcomes[number] = (int)outcome;
        side->done_at_once += outcome == TG_PUSH_DONE;
        return;
    }
    struct ended *ended = malloc(sizeof *ended);
    assert_non_null(ended);
    *ended = (struct ended){.side = side, .push = number};
    assert_int_equal(tg_push_start(side->world.push, &request, note_pushed, ended, &ended->op), TG_OK);
}

static void open_on(struct side *side, size_t at)
{
    side->sockets[at] = open_conn(&side->world.fixture);
    memcpy(side->ids[at], tg_conn_id(side->sockets[at]->conn), TG_CONNID_LEN + 1);
}

static void assert_same(const struct side *a, const struct side *b, size_t pushes)
{
    for (size_t i = 0; i < pushes; i++) {
        assert_in_range(a->outcomes[i], TG_PUSH_DONE, TG_PUSH_GONE);
        assert_int_equal(a->outcomes[i], b->outcomes[i]);
    }
    for (size_t i = 0; i < SOCKETS; i++) {
        struct tg_slice bytes = tg_buf_slice(&b->sockets[i]->written);
        assert_written(a->sockets[i], bytes.ptr, bytes.len);
        assert_int_equal(tg_conn_state(a->sockets[i]->conn), tg_conn_state(b->sockets[i]->conn));
    }
    const struct tg_conn_counters *of_a = tg_connmgr_counters(a->world.fixture.mgr);
    const struct tg_conn_counters *of_b = tg_connmgr_counters(b->world.fixture.mgr);
    assert_int_equal(atomic_load(&of_a->messages_out), atomic_load(&of_b->messages_out));
    assert_int_equal(atomic_load(&of_a->bytes_out), atomic_load(&of_b->bytes_out));
    assert_int_equal(atomic_load(&of_a->queued_bytes), atomic_load(&of_b->queued_bytes));
}

/* Both loops have run, and what waited in a socket has gone. */
static void settle(struct side *side)
{
    bool any = true;
    while (any) {
        turn(side->world.fixture.loop);
        any = false;
        for (size_t i = 0; i < SOCKETS; i++) {
            size_t frames;
            if (tg_conn_queued(side->sockets[i]->conn, &frames) > 0) {
                fake_writable(side->sockets[i]);
                any = true;
            }
        }
    }
    turn(side->world.fixture.loop);
}

static uint32_t pick(uint32_t *random, uint32_t below)
{
    *random = *random * 1664525 + 1013904223;
    return (*random >> 16) % below;
}

/* In a settled pass: the socket of one connection changes, or it ends, and another takes its place. */
static void change_socket(struct side *sides, size_t at, uint32_t what)
{
    for (size_t i = 0; i < 2; i++) {
        struct tg_socket **socket = &sides[i].sockets[at];
        bool open = tg_conn_state((*socket)->conn) == TG_CONN_OPEN;
        if (what < 3) {
            (*socket)->next = what == 0 ? TG_EAGAIN : what == 1 ? TG_ECLOSED : TG_OK;
        } else if (what == 3 || !open) {
            end_conn(*socket);
            open_on(&sides[i], at);
        }
    }
}

static void run_history(struct side *sides, uint32_t random)
{
    static char bytes[PAYLOAD_MAX];
    size_t pushes = 0;
    for (int step = 0; step < STEPS && pushes < PUSHES; step++) {
        size_t at = pick(&random, SOCKETS);
        uint32_t what = pick(&random, 12);
        const struct tg_push_request request = {
            .verb = TG_PUSH_POST,
            .api_id = pick(&random, 20) == 0 ? TG_LIT("other") : TG_LIT("chat"),
            .payload = tg_slice_make(bytes, pick(&random, pick(&random, 8) == 0 ? PAYLOAD_MAX : 200)),
            .binary = pick(&random, 2) == 0,
            .timeout_ms = LONG_MS,
        };
        memset(bytes, 'a' + (int)(pushes % 26), sizeof bytes);
        if (what == 0) {
            settle(&sides[0]);
            settle(&sides[1]);
            assert_same(&sides[0], &sides[1], pushes);
            change_socket(sides, at, pick(&random, 7));
            continue;
        }
        for (size_t i = 0; i < 2; i++) {
            struct side *side = &sides[i];
            struct tg_conn *conn = side->sockets[at]->conn;
            if (what < 8) {
                push_on(side, pushes, at, &request);
            } else if (what == 8) { /* an answer, and perhaps pushes before it is written */
                if (tg_conn_state(conn) == TG_CONN_OPEN) {
                    tg_conn_socket_events.on_message(conn, TG_LIT("hi"), false);
                }
            } else if (what == 9) {
                (void)!send_text(conn, "sent", NULL, NULL);
            } else if (what == 10 && step % 16 == 0) {
                tg_conn_close(conn, 1001, TG_LIT("Going away"));
            } else {
                turn(side->world.fixture.loop);
            }
        }
        pushes += what < 8;
    }
    settle(&sides[0]);
    settle(&sides[1]);
    assert_same(&sides[0], &sides[1], pushes);
}

static void is_the_same_as_the_long_way(void **state)
{
    size_t done = 0;
    (void)state;
    for (uint32_t seed = 1; seed <= 8; seed++) {
        struct side *sides = calloc(2, sizeof *sides);
        assert_non_null(sides);
        for (size_t i = 0; i < 2; i++) {
            world_init(&sides[i].world);
            sides[i].at_once = i == 0;
            sides[i].world.fixture.during_message = answer;
            sides[i].world.fixture.settings.max_queued_bytes = SIZE_MAX / 2;
            memset(sides[i].outcomes, -1, sizeof sides[i].outcomes);
            for (size_t at = 0; at < SOCKETS; at++) {
                open_on(&sides[i], at);
            }
        }
        run_history(sides, seed);
        done += sides[0].done_at_once;
        assert_int_equal(sides[1].done_at_once, 0);
        for (size_t i = 0; i < 2; i++) {
            for (size_t at = 0; at < SOCKETS; at++) {
                end_conn(sides[i].sockets[at]);
            }
            world_free(&sides[i].world);
        }
        free(sides);
    }
    print_message("%zu done at once\n", done);
    assert_true(done > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_within_the_call, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_of_one_that_was_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_binary_and_empty_payloads, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_payloads_of_any_length, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_long_payloads_of_sockets_without_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(goes_behind_what_is_queued, setup, teardown),
        cmocka_unit_test_setup_teardown(goes_behind_answers_of_its_own_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(does_the_first_of_a_pass_only, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_what_the_kernel_has_no_room_for_in_the_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(is_gone_when_the_write_shows_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(is_gone_with_its_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(is_gone_for_another_api, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_its_api_by_the_whole_name, setup, teardown),
        cmocka_unit_test_setup_teardown(is_gone_while_the_lease_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_everything_else_to_the_long_way, setup, teardown),
        cmocka_unit_test(is_the_same_as_the_long_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
