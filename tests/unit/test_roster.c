/* What is told of connections: counts, pages and one, gathered from worker to worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/app/roster.h"
#include "server/base/json.h"
#include "tests/unit/fake_socket.h"

enum { WORKERS = 2, SLOTS = 10000 };

struct world {
    struct fixture workers[WORKERS];
    struct tg_engine engines[WORKERS];
    struct tg_socket **sockets;
    size_t count;
    struct tg_arena arena; /* of what was read */
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    for (uint32_t i = 0; i < WORKERS; i++) {
        fixture_init(&world->workers[i], i, SLOTS);
        world->engines[i].connmgr = world->workers[i].mgr;
    }
    tg_arena_init(&world->arena, NULL);
    world->sockets = calloc((size_t)WORKERS * SLOTS, sizeof(struct tg_socket *));
    assert_non_null(world->sockets);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < world->count; i++) {
        fake_end(world->sockets[i], 1000, "", true);
        fake_socket_free(world->sockets[i]);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        fixture_free(&world->workers[i]);
    }
    tg_arena_reset(&world->arena);
    free(world->sockets);
    free(world);
    return 0;
}

static struct tg_conn *open_one(struct world *world, size_t worker, const char *api, const char *stage,
                                const char *ip)
{
    struct fixture *fixture = &world->workers[worker];
    struct tg_socket *socket = fake_socket_new();
    struct tg_conn_handle handle;
    char id[TG_CONNID_LEN + 1];
    const struct tg_conn_info info = {.api_id = tg_slice_cstr(api),
                                      .stage = tg_slice_cstr(stage),
                                      .domain_name = TG_LIT("example.com"),
                                      .source_ip = tg_slice_cstr(ip),
                                      .user_agent = TG_LIT("a \"quoted\" agent"),
                                      .connected_at_ms = 1700000000123};
    assert_int_equal(tg_conn_reserve(fixture->mgr, &handle, id), TG_OK);
    socket->conn = tg_conn_get(fixture->mgr, handle);
    assert_int_equal(tg_conn_open(fixture->mgr, handle, &info, &fixture->settings, socket, &fake_ops), TG_OK);
    world->sockets[world->count++] = socket;
    return socket->conn;
}

static void queue(struct tg_conn *conn, size_t len)
{
    static const char bytes[512];
    struct tg_frame *frame;
    assert_int_equal(tg_frame_new(TG_OPCODE_BINARY, tg_slice_make(bytes, len), &frame), TG_OK);
    assert_int_equal(tg_conn_send(conn, frame, NULL, NULL, NULL), TG_OK);
    tg_frame_unref(frame);
}

static struct tg_roster *wish(enum tg_roster_wish what)
{
    struct tg_roster *roster;
    assert_int_equal(tg_roster_new(what, &roster), TG_OK);
    roster->rows_left = SIZE_MAX;
    return roster;
}

/* As the admin listener does it; how many parts it took. */
static size_t pass_round(struct world *world, struct tg_roster *roster)
{
    size_t parts = 0;
    for (; !tg_roster_done(roster, WORKERS); parts++) {
        size_t rows = roster->rows, slot = roster->slot, worker = roster->worker;
        assert_true(worker < WORKERS);
        tg_roster_look(roster, &world->engines[worker]);
        assert_true(roster->rows - rows <= TG_ROSTER_STEP_ROWS);
        assert_true(roster->worker != worker || roster->slot - slot <= TG_ROSTER_STEP_SLOTS);
    }
    return parts;
}

/* Takes the roster. */
static const struct tg_json *read_done(struct world *world, struct tg_roster *roster)
{
    const struct tg_json *json = NULL;
    struct tg_buf buf;
    tg_buf_init(&buf, SIZE_MAX);
    assert_int_equal(tg_roster_render(roster, WORKERS, &buf), TG_OK);
    assert_int_equal(tg_json_parse(&world->arena, tg_buf_slice(&buf), &json), TG_OK);
    tg_buf_free(&buf);
    tg_roster_free(roster);
    return json;
}

static int64_t number(const struct tg_json *json, const char *name)
{
    const struct tg_json *value = tg_json_get(json, tg_slice_cstr(name));
    assert_int_equal(tg_json_type(value), TG_JSON_INTEGER);
    return tg_json_integer(value);
}

static void assert_text(const struct tg_json *json, const char *name, const char *expected)
{
    struct tg_slice text = tg_json_string(tg_json_get(json, tg_slice_cstr(name)));
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.ptr, expected, text.len);
}

/* ---- counts ---- */

static void counts_nobody(void **state)
{
    struct world *world = *state;
    struct tg_roster *roster = wish(TG_ROSTER_COUNT);
    assert_int_equal(pass_round(world, roster), WORKERS);
    const struct tg_json *json = read_done(world, roster);
    assert_int_equal(number(json, "connections"), 0);
    assert_int_equal(tg_json_count(tg_json_get(json, TG_LIT("workers"))), WORKERS);
    assert_int_equal(tg_json_count(tg_json_get(json, TG_LIT("stages"))), 0);
}

static void counts_by_worker_and_stage(void **state)
{
    struct world *world = *state;
    struct tg_conn_handle handle;
    char id[TG_CONNID_LEN + 1];
    for (size_t i = 0; i < 6000; i++) {
        (void)open_one(world, 0, "b", "prod", "192.0.2.1");
    }
    queue(open_one(world, 0, "a\"", "prod", "192.0.2.1"), 100);
    queue(open_one(world, 1, "a\"", "prod", "192.0.2.1"), 200);
    tg_conn_close(open_one(world, 1, "b", "prod", "192.0.2.1"), 1000, TG_EMPTY);
    (void)open_one(world, 1, "b", "dev", "192.0.2.1");
    assert_int_equal(tg_conn_reserve(world->workers[1].mgr, &handle, id), TG_OK);
    struct tg_roster *roster = wish(TG_ROSTER_COUNT);
    assert_int_equal(pass_round(world, roster), 3); /* 6001 slots in two parts, and those of the other one */
    const struct tg_json *json = read_done(world, roster);
    tg_conn_release(world->workers[1].mgr, handle);
    assert_int_equal(number(json, "connections"), 6004);
    assert_int_equal(number(json, "closing"), 1);
    assert_int_equal(number(json, "handshakes"), 1);
    assert_int_equal(number(json, "messages"), 0);
    assert_int_equal(number(json, "queuedBytes"), 100 + 2 + 200 + 4);
    const struct tg_json *workers = tg_json_get(json, TG_LIT("workers"));
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(number(tg_json_at(workers, i), "worker"), i);
        assert_int_equal(number(tg_json_at(workers, i), "connections"), i == 0 ? 6001 : 3);
        assert_int_equal(number(tg_json_at(workers, i), "closing"), i);
        assert_int_equal(number(tg_json_at(workers, i), "handshakes"), i);
    }
    static const struct {
        const char *api, *stage;
        int64_t connections, closing;
    } expected[] = {{"a\"", "prod", 2, 0}, {"b", "dev", 1, 0}, {"b", "prod", 6001, 1}};
    const struct tg_json *stages = tg_json_get(json, TG_LIT("stages"));
    assert_int_equal(tg_json_count(stages), 3);
    for (size_t i = 0; i < 3; i++) {
        const struct tg_json *stage = tg_json_at(stages, i);
        assert_text(stage, "apiId", expected[i].api);
        assert_text(stage, "stage", expected[i].stage);
        assert_int_equal(number(stage, "connections"), expected[i].connections);
        assert_int_equal(number(stage, "closing"), expected[i].closing);
    }
}

/* ---- pages ---- */

/* All pages of this filter: how many rows there were, each once. */
static size_t page_through(struct world *world, const struct tg_roster_filter *filter, size_t limit,
                           size_t *pages)
{
    struct tg_map seen;
    size_t rows = 0;
    char cursor[64] = "0.0";
    tg_map_init(&seen, 1);
    for (*pages = 1;; ++*pages) {
        struct tg_roster *roster = wish(TG_ROSTER_PAGE);
        roster->rows_left = limit;
        assert_int_equal(tg_roster_set_filter(roster, filter), TG_OK);
        assert_int_equal(tg_roster_set_cursor(roster, tg_slice_cstr(cursor)), TG_OK);
        (void)pass_round(world, roster);
        const struct tg_json *json = read_done(world, roster);
        const struct tg_json *list = tg_json_get(json, TG_LIT("connections"));
        assert_true(tg_json_count(list) <= limit);
        for (size_t i = 0; i < tg_json_count(list); i++, rows++) {
            struct tg_slice id = tg_json_string(tg_json_get(tg_json_at(list, i), TG_LIT("connectionId")));
            assert_int_equal(tg_map_add(&seen, id, world), TG_OK);
        }
        struct tg_slice next = tg_json_string(tg_json_get(json, TG_LIT("nextCursor")));
        if (next.len == 0) {
            break;
        }
        assert_int_equal(tg_json_count(list), limit); /* a page that is not the last is full */
        (void)snprintf(cursor, sizeof cursor, "%.*s", TG_FMT(next));
    }
    tg_map_free(&seen, NULL);
    return rows;
}

static void pages_hold_each_connection_once(void **state)
{
    struct world *world = *state;
    const struct tg_roster_filter all = {.queued_bytes = 0}, none = {.api_id = TG_LIT("c")},
                                  quiet = {.api_id = TG_LIT("a"), .stage = TG_LIT("dev")},
                                  near = {.source_ip = TG_LIT("192.0.2.7")}, slow = {.queued_bytes = 300};
    size_t pages;
    for (size_t i = 0; i < 450; i++) {
        struct tg_conn *conn = open_one(world, i % 3 == 0, i % 2 == 0 ? "a" : "b",
                                        i % 5 == 0 ? "dev" : "prod", i == 77 ? "192.0.2.7" : "192.0.2.8");
        if (i % 45 == 0) {
            queue(conn, 300);
        }
    }
    assert_int_equal(page_through(world, &all, 7, &pages), 450);
    assert_int_equal(pages, 65);
    assert_int_equal(page_through(world, &all, 450, &pages), 450);
    assert_int_equal(pages, 1);
    assert_int_equal(page_through(world, &all, 225, &pages),
                     450); /* the end is known without an empty page */
    assert_int_equal(pages, 2);
    assert_int_equal(page_through(world, &none, 10, &pages), 0);
    assert_int_equal(page_through(world, &quiet, 10, &pages), 45);
    assert_int_equal(page_through(world, &near, 10, &pages), 1);
    assert_int_equal(page_through(world, &slow, 3, &pages), 10);
}

static void a_page_looks_at_so_many_slots_at_most(void **state)
{
    struct world *world = *state;
    const struct tg_roster_filter none = {.api_id = TG_LIT("c")};
    for (size_t i = 0; i < 9000; i++) {
        (void)open_one(world, 0, "a", "prod", "192.0.2.1");
    }
    struct tg_roster *roster = wish(TG_ROSTER_PAGE);
    roster->slots_left = 5000;
    assert_int_equal(tg_roster_set_filter(roster, &none), TG_OK);
    assert_int_equal(pass_round(world, roster), 2);
    const struct tg_json *json = read_done(world, roster);
    assert_int_equal(tg_json_count(tg_json_get(json, TG_LIT("connections"))), 0);
    assert_text(json, "nextCursor", "0.5000");
}

struct looks {
    struct tg_roster *rosters[128];
    size_t count, slots;
};

static void note_looked(void *arg, struct tg_roster *roster)
{
    struct looks *looks = arg;
    assert_in_range(looks->count, 0, 127);
    looks->rosters[looks->count++] = roster;
    looks->slots += roster->worker == 0 ? roster->slot : 0;
}

/* Of many that come at once, all have their part, and a pass of the loop looks at no more for all of them
 * than for two. */
static void many_rosters_share_a_pass(void **state)
{
    struct world *world = *state;
    struct looks looks = {.count = 0};
    struct tg_loop *loop = world->workers[0].loop;
    struct tg_roster_queue queue = {
        .loop = loop, .engine = &world->engines[0], .looked = note_looked, .arg = &looks};
    tg_roster_queue_init(&queue);
    for (int i = 0; i < TG_ROSTER_STEP_SLOTS + 500; i++) {
        open_one(world, 0, "chat", "prod", "203.0.113.1");
    }
    for (int i = 0; i < 128; i++) {
        tg_roster_queue_add(&queue, wish(TG_ROSTER_COUNT));
    }
    for (int passes = 0; looks.count < 128; passes++) {
        size_t slots = looks.slots;
        assert_in_range(passes, 0, 1000);
        turn(loop);
        assert_in_range(looks.slots - slots, 0, 2 * TG_ROSTER_STEP_SLOTS);
    }
    for (size_t i = 0; i < 128; i++) {
        assert_int_equal(looks.rosters[i]->slot, TG_ROSTER_STEP_SLOTS);
        tg_roster_free(looks.rosters[i]);
    }
    /* What costs little is done in few. */
    looks = (struct looks){.count = 0};
    for (int i = 0; i < 128; i++) {
        tg_roster_queue_add(&queue, wish(TG_ROSTER_ONE));
    }
    turn(loop);
    turn(loop);
    assert_int_equal(looks.count, 128);
    for (size_t i = 0; i < 128; i++) {
        assert_true(looks.rosters[i]->looked);
        tg_roster_free(looks.rosters[i]);
    }
    tg_roster_queue_add(&queue, wish(TG_ROSTER_ONE));
    tg_roster_queue_free(&queue); /* with one that waits */
}

static void cursors_are_read_strictly(void **state)
{
    static const char *const wrong[] = {"",    ".", "1", "1.", ".1", "1.x", "-1.2", "1.2.3", "1.99999999999",
                                        "1 .2"};
    struct world *world = *state;
    struct tg_roster *roster = wish(TG_ROSTER_PAGE);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(tg_roster_set_cursor(roster, tg_slice_cstr(wrong[i])), TG_ESYNTAX);
    }
    /* Past the end of what there is: an empty page, the last. */
    assert_int_equal(tg_roster_set_cursor(roster, TG_LIT("1.4000000000")), TG_OK);
    assert_int_equal(pass_round(world, roster), 1);
    assert_int_equal(tg_json_type(tg_json_get(read_done(world, roster), TG_LIT("nextCursor"))), TG_JSON_NULL);
    roster = wish(TG_ROSTER_PAGE);
    assert_int_equal(tg_roster_set_cursor(roster, TG_LIT("200.0")), TG_OK);
    assert_int_equal(pass_round(world, roster), 0);
    assert_int_equal(tg_json_type(tg_json_get(read_done(world, roster), TG_LIT("nextCursor"))), TG_JSON_NULL);
}

/* ---- one ---- */

static struct tg_roster *wish_one(const struct world *world, const char *id)
{
    struct tg_connid decoded;
    struct tg_roster *roster = wish(TG_ROSTER_ONE);
    assert_int_equal(tg_connid_decode(world->workers[0].options.id_key, tg_slice_cstr(id), &decoded), TG_OK);
    memcpy(roster->id, id, sizeof roster->id);
    roster->worker = decoded.worker;
    roster->handle = (struct tg_conn_handle){.slot = decoded.slot, .generation = decoded.generation};
    return roster;
}

static void tells_of_one(void **state)
{
    struct world *world = *state;
    struct tg_buf buf;
    (void)open_one(world, 1, "a", "prod", "192.0.2.1");
    struct tg_conn *conn = open_one(world, 1, "a", "prod", "192.0.2.9");
    queue(conn, 10);
    queue(conn, 20);
    struct tg_roster *roster = wish_one(world, tg_conn_id(conn));
    assert_int_equal(pass_round(world, roster), 1);
    const struct tg_json *json = read_done(world, roster);
    assert_text(json, "connectionId", tg_conn_id(conn));
    assert_text(json, "apiId", "a");
    assert_text(json, "stage", "prod");
    assert_text(json, "state", "open");
    assert_text(json, "sourceIp", "192.0.2.9");
    assert_text(json, "domainName", "example.com");
    assert_text(json, "userAgent", "a \"quoted\" agent");
    assert_text(json, "connectedAt", "2023-11-14T22:13:20.123Z");
    assert_text(json, "lastActiveAt", "2023-11-14T22:13:20.123Z");
    assert_int_equal(number(json, "worker"), 1);
    assert_int_equal(number(json, "messages"), 0);
    assert_int_equal(number(json, "queuedFrames"), 2);
    assert_int_equal(number(json, "queuedBytes"), 10 + 2 + 20 + 2);

    tg_conn_close(conn, 1000, TG_EMPTY);
    roster = wish_one(world, tg_conn_id(conn));
    (void)pass_round(world, roster);
    assert_text(read_done(world, roster), "state", "closing");

    /* Another node's, with the same slot and generation; a handshake; gone. */
    struct tg_conn_handle handle;
    char id[TG_CONNID_LEN + 1];
    const struct tg_connid other = {.node = 8, .worker = 1, .slot = 0, .generation = 1};
    tg_connid_encode(world->workers[0].options.id_key, &other, id);
    tg_buf_init(&buf, SIZE_MAX);
    roster = wish_one(world, id);
    (void)pass_round(world, roster);
    assert_int_equal(tg_roster_render(roster, WORKERS, &buf), TG_ENOTFOUND);
    tg_roster_free(roster);
    assert_int_equal(tg_conn_reserve(world->workers[1].mgr, &handle, id), TG_OK);
    roster = wish_one(world, id);
    (void)pass_round(world, roster);
    assert_int_equal(tg_roster_render(roster, WORKERS, &buf), TG_ENOTFOUND);
    tg_roster_free(roster);
    tg_conn_release(world->workers[1].mgr, handle);
    roster = wish_one(world, id);
    (void)pass_round(world, roster);
    assert_int_equal(tg_roster_render(roster, WORKERS, &buf), TG_ENOTFOUND);
    tg_roster_free(roster);
    tg_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_by_worker_and_stage, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_hold_each_connection_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_looks_at_so_many_slots_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(many_rosters_share_a_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(cursors_are_read_strictly, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_of_one, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
