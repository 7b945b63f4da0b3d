/* The table of connections, and their life from reserved to gone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>

#include "tests/unit/fake_socket.h"

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture_init(fixture, 3, 3);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    free(*state);
    return 0;
}

static uint64_t count(const _Atomic(uint64_t) *counter)
{
    return atomic_load(counter);
}

/* ---- the table ---- */

static void test_limits_of_the_table(void **state)
{
    struct fixture *fixture = *state;
    struct tg_connmgr *mgr = NULL;
    fixture->options.max_connections = 0;
    assert_int_equal(tg_connmgr_new(&fixture->options, &mgr), TG_EINVAL);
    fixture->options.max_connections = ((size_t)1 << 24) + 1;
    assert_int_equal(tg_connmgr_new(&fixture->options, &mgr), TG_EINVAL);
    assert_null(mgr);
}

static void test_slots_are_reused_in_the_order_of_their_release(void **state)
{
    struct fixture *fixture = *state;
    struct tg_conn_handle handles[3], again;
    char ids[3][TG_CONNID_LEN + 1], id[TG_CONNID_LEN + 1];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tg_conn_reserve(fixture->mgr, &handles[i], ids[i]), TG_OK);
        assert_int_equal(handles[i].slot, i);
        assert_int_equal(handles[i].generation, 1);
    }
    assert_int_equal(tg_connmgr_count(fixture->mgr), 3);
    assert_int_equal(tg_conn_reserve(fixture->mgr, &again, id), TG_ELIMIT);
    static const size_t order[] = {1, 2, 0};
    for (size_t i = 0; i < 3; i++) {
        tg_conn_release(fixture->mgr, handles[order[i]]);
    }
    assert_int_equal(tg_connmgr_count(fixture->mgr), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tg_conn_reserve(fixture->mgr, &again, id), TG_OK);
        assert_int_equal(again.slot, order[i]);
        assert_int_equal(again.generation, 2);
        assert_string_not_equal(id, ids[order[i]]);
        assert_null(tg_conn_get(fixture->mgr, handles[order[i]]));
        tg_conn_release(fixture->mgr, again);
    }
}

static void test_ids_name_the_slot(void **state)
{
    struct fixture *fixture = *state;
    struct tg_conn_handle handle;
    struct tg_connid decoded;
    char id[TG_CONNID_LEN + 1];
    assert_int_equal(tg_conn_reserve(fixture->mgr, &handle, id), TG_OK);
    assert_int_equal(tg_connid_decode(fixture->options.id_key, tg_slice_cstr(id), &decoded), TG_OK);
    assert_int_equal(decoded.node, 7);
    assert_int_equal(decoded.worker, 3);
    assert_int_equal(decoded.slot, handle.slot);
    assert_int_equal(decoded.generation, handle.generation);
    assert_string_equal(tg_conn_id(tg_conn_get(fixture->mgr, handle)), id);
    tg_conn_release(fixture->mgr, handle);
}

static void test_handles_that_name_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct tg_conn_handle handle;
    char id[TG_CONNID_LEN + 1];
    assert_null(tg_conn_get(fixture->mgr, (struct tg_conn_handle){0, 1}));
    assert_int_equal(tg_conn_reserve(fixture->mgr, &handle, id), TG_OK);
    assert_null(tg_conn_get(fixture->mgr, (struct tg_conn_handle){handle.slot, 0}));
    assert_null(tg_conn_get(fixture->mgr, (struct tg_conn_handle){handle.slot, 2}));
    assert_null(tg_conn_get(fixture->mgr, (struct tg_conn_handle){handle.slot + 1, 1}));
    assert_null(tg_conn_get(fixture->mgr, (struct tg_conn_handle){0xffffff, 1}));
    assert_null(tg_conn_get(fixture->mgr, (struct tg_conn_handle){UINT32_MAX, 1}));
    assert_non_null(tg_conn_get(fixture->mgr, handle));
    assert_null(tg_conn_get_open(fixture->mgr, handle)); /* only reserved */
    tg_conn_release(fixture->mgr, handle);
}

/* Alters ids of open connections; whatever passes the check must name no live connection. */
static void test_altered_ids_reach_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    char id[TG_CONNID_LEN + 1];
    size_t passed = 0;
    memcpy(id, tg_conn_id(socket->conn), sizeof id);
    for (size_t at = 0; at < TG_CONNID_LEN; at++) {
        const char was = id[at];
        for (int c = 1; c < 256; c++) {
            struct tg_connid decoded;
            id[at] = (char)c;
            if (id[at] != was &&
                tg_connid_decode(fixture->options.id_key, tg_slice_cstr(id), &decoded) == TG_OK) {
                passed++;
                const struct tg_conn_handle handle = {decoded.slot, decoded.generation};
                assert_true(decoded.node != 7 || decoded.worker != 3 ||
                            tg_conn_get(fixture->mgr, handle) == NULL);
            }
        }
        id[at] = was;
    }
    print_message("%zu altered ids pass the check\n", passed);
    end_conn(socket);
}

static bool visit_and_close(void *arg, struct tg_conn *conn)
{
    int *left = arg;
    tg_conn_close(conn, 1001, TG_LIT("Going away"));
    return --*left > 0;
}

static void test_each_visits_the_open_ones(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *first = open_conn(fixture), *second = open_conn(fixture);
    struct tg_conn_handle reserved;
    char id[TG_CONNID_LEN + 1];
    int left = 1;
    assert_int_equal(tg_conn_reserve(fixture->mgr, &reserved, id), TG_OK);
    tg_connmgr_each(fixture->mgr, visit_and_close, &left);
    assert_int_equal(first->closes + second->closes, 1);
    left = 10;
    tg_connmgr_each(fixture->mgr, visit_and_close, &left);
    assert_int_equal(left, 9);
    assert_int_equal(first->closes, 1);
    assert_int_equal(second->closes, 1);
    tg_conn_release(fixture->mgr, reserved);
    end_conn(first);
    end_conn(second);
}

/* ---- cutting ---- */

static void test_cut(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *open = open_conn(fixture), *closing = open_conn(fixture);
    struct outcome taken = {0}, waiting = {0};
    struct tg_conn_handle reserved;
    char id[TG_CONNID_LEN + 1];
    assert_int_equal(tg_conn_reserve(fixture->mgr, &reserved, id), TG_OK);
    open->next = TG_EAGAIN;
    assert_int_equal(send_text(open->conn, "one", &taken, NULL), TG_OK);
    turn(fixture->loop);
    assert_int_equal(send_text(open->conn, "two", &waiting, NULL), TG_OK);
    tg_conn_close(closing->conn, 4001, TG_LIT("kicked"));
    for (int i = 1; i <= 2; i++) { /* the second time, the sockets have still not ended */
        tg_connmgr_cut(fixture->mgr);
        assert_int_equal(open->closes, i);
        assert_int_equal(open->close_code, 0);
        assert_int_equal(closing->closes, i + 1);
        assert_int_equal(closing->close_code, 0);
    }
    assert_int_equal(open->writes, 1);
    assert_int_equal(waiting.calls, 0); /* never from inside */
    turn(fixture->loop);
    assert_int_equal(taken.calls, 1);
    assert_int_equal(taken.err, TG_OK);
    assert_int_equal(waiting.calls, 1);
    assert_int_equal(waiting.err, TG_ECLOSED);
    assert_int_equal(fixture->closed, 0);
    assert_non_null(tg_conn_get(fixture->mgr, reserved)); /* its handshake ends it */
    fake_end(closing, 1006, "", false);
    assert_int_equal(fixture->code, 4001); /* what was asked for first */
    assert_string_equal(fixture->reason, "kicked");
    fake_end(open, 1006, "", false);
    assert_int_equal(fixture->code, 1006);
    assert_int_equal(fixture->closed, 2);
    assert_int_equal(count(&tg_connmgr_counters(fixture->mgr)->queued_bytes), 0);
    fake_socket_free(open);
    fake_socket_free(closing);
    tg_conn_release(fixture->mgr, reserved);
    tg_connmgr_cut(fixture->mgr);
}

static void cut_all(struct fixture *fixture, struct tg_conn *conn)
{
    (void)conn;
    tg_connmgr_cut(fixture->mgr);
}

/* Nothing is asked of a socket that has told its end. */
static void test_cut_while_an_end_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *ended = open_conn(fixture), *other = open_conn(fixture);
    fixture->during_closed = cut_all;
    fake_end(ended, 1000, "", true);
    assert_int_equal(ended->closes, 0);
    assert_int_equal(other->closes, 1);
    fake_socket_free(ended);
    end_conn(other);
}

/* ---- what is known of a connection ---- */

static void assert_slice(struct tg_slice slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.ptr, text, slice.len);
}

static void test_info_is_copied(void **state)
{
    struct fixture *fixture = *state;
    char agent[] = "curl/8", key[] = "role", value[] = "admin", user[] = "ann";
    struct tg_string_pair pairs[] = {{tg_slice_cstr(key), tg_slice_cstr(value)},
                                     {TG_LIT("principalId"), TG_LIT("")}};
    struct tg_string_pair identity[] = {{TG_LIT("user"), tg_slice_cstr(user)}};
    struct tg_conn_info info = fixture_info();
    struct tg_conn_handle handle;
    char id[TG_CONNID_LEN + 1];
    info.user_agent = tg_slice_cstr(agent);
    info.has_authorizer = true;
    info.authorizer = (struct tg_string_map){pairs, 2};
    info.identity = (struct tg_string_map){identity, 1};
    struct tg_socket *socket = fake_socket_new();
    assert_int_equal(tg_conn_reserve(fixture->mgr, &handle, id), TG_OK);
    socket->conn = tg_conn_get(fixture->mgr, handle);
    assert_int_equal(tg_conn_open(fixture->mgr, handle, &info, &fixture->settings, socket, &fake_ops), TG_OK);
    memset(agent, '?', sizeof agent);
    memset(key, '?', sizeof key);
    memset(value, '?', sizeof value);
    memset(pairs, 0, sizeof pairs);
    memset(user, '?', sizeof user);
    memset(identity, 0, sizeof identity);

    const struct tg_conn_info *kept = tg_conn_info_ref(tg_conn_info(socket->conn)), *copy;
    end_conn(socket); /* a reference outlives the connection */
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    assert_int_equal(tg_conn_info_copy(&arena, kept, &copy), TG_OK);
    for (int i = 0; i < 2; i++) {
        const struct tg_conn_info *seen = i == 0 ? kept : copy;
        assert_slice(seen->api_id, "chat");
        assert_slice(seen->stage, "prod");
        assert_slice(seen->domain_name, "chat.example.com");
        assert_slice(seen->source_ip, "203.0.113.9");
        assert_slice(seen->user_agent, "curl/8");
        assert_true(seen->has_authorizer);
        assert_int_equal(seen->connected_at_ms, 1767323045123);
        assert_int_equal(seen->authorizer.count, 2);
        assert_slice(*tg_string_map_get(&seen->authorizer, TG_LIT("role")), "admin");
        assert_slice(*tg_string_map_get(&seen->authorizer, TG_LIT("principalId")), "");
        assert_int_equal(seen->identity.count, 1);
        assert_slice(*tg_string_map_get(&seen->identity, TG_LIT("user")), "ann");
        if (i == 0) {
            tg_conn_info_unref(kept);
        }
    }
    tg_arena_reset(&arena);
}

static void test_no_user_agent_is_not_an_empty_one(void **state)
{
    struct tg_conn_info info = fixture_info();
    const struct tg_conn_info *copy;
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    info.user_agent = TG_EMPTY;
    assert_int_equal(tg_conn_info_copy(&arena, &info, &copy), TG_OK);
    assert_null(copy->user_agent.ptr);
    info.user_agent = TG_LIT("");
    assert_int_equal(tg_conn_info_copy(&arena, &info, &copy), TG_OK);
    assert_non_null(copy->user_agent.ptr);
    tg_arena_reset(&arena);
}

/* ---- messages ---- */

static void test_messages_reach_the_owner(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
    assert_int_equal(tg_conn_last_active_ms(socket->conn), 1767323045123);
    tg_conn_set_user(socket->conn, socket);
    assert_ptr_equal(tg_conn_user(socket->conn), socket);
    tg_conn_socket_events.on_message(socket->conn, TG_LIT("hello"), true);
    assert_int_equal(fixture->messages, 1);
    assert_true(fixture->binary);
    assert_string_equal(fixture->payload, "hello");
    assert_int_equal(count(&counters->messages_in), 1);
    assert_int_equal(count(&counters->bytes_in), 5);
    assert_int_equal(tg_conn_last_active_ms(socket->conn), tg_loop_wall_ms(fixture->loop));
    tg_conn_close(socket->conn, 1000, TG_EMPTY);
    tg_conn_socket_events.on_message(socket->conn, TG_LIT("late"), false);
    assert_int_equal(fixture->messages, 1);
    end_conn(socket);
}

static void test_pause(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    tg_conn_pause(socket->conn, true);
    assert_true(socket->paused);
    tg_conn_pause(socket->conn, false);
    assert_false(socket->paused);
    tg_conn_close(socket->conn, 1000, TG_EMPTY);
    tg_conn_pause(socket->conn, true);
    assert_int_equal(socket->pauses, 2);
    end_conn(socket);
}

/* ---- the end ---- */

static void try_everything(struct fixture *fixture, struct tg_conn *conn)
{
    struct tg_conn_handle handle = tg_conn_handle(conn);
    assert_ptr_equal(tg_conn_get(fixture->mgr, handle), conn);
    assert_null(tg_conn_get_open(fixture->mgr, handle));
    assert_int_equal(send_text(conn, "late", NULL, NULL), TG_ECLOSED);
    tg_conn_close(conn, 4000, TG_LIT("late"));
    tg_conn_pause(conn, true);
    tg_conn_configure(conn, &fixture->settings);
    tg_conn_touch(conn);
    tg_conn_set_user(conn, NULL);
}

/* Spec 1.9. */
static void test_reported_ends(void **state)
{
    static const struct {
        int ask; /* -1: nobody asked */
        const char *ask_reason;
        int code;
        const char *reason;
        bool by_peer;
        int reported;
        const char *reported_reason;
    } rows[] = {
        {-1, "", 1005, "", true, 1005, "Client-side close frame status not set"},
        {-1, "", 1006, "", true, 1006, "Connection closed abnormally"},
        {-1, "", 1000, "done", true, 1000, "done"},
        {-1, "", 1001, "", true, 1001, ""},
        {-1, "", 4321, "mine", true, 4321, "mine"},
        {-1, "", 1003, "Binary is not supported", false, 1003, "Binary is not supported"},
        {-1, "", 1009, "Message too big", false, 1009, "Message too big"},
        {-1, "", 1002, "", false, 1002, ""},
        {1001, "Going away", 1001, "Going away", false, 1001, "Going away"},
        {1000, "Connection Closed Normally", 4000, "theirs", true, 1000, "Connection Closed Normally"},
        {1000, "Connection Closed Normally", 1006, "", true, 1000, "Connection Closed Normally"},
        {4001, "", 1005, "", true, 4001, ""},
        {0, "", 1006, "", false, 1006, "Connection closed abnormally"},
    };
    struct fixture *fixture = *state;
    const struct tg_conn_counters *counters = tg_connmgr_counters(fixture->mgr);
    fixture->during_closed = try_everything;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_socket *socket = open_conn(fixture);
        struct tg_conn_handle handle = tg_conn_handle(socket->conn);
        int asked = rows[i].ask >= 0;
        assert_int_equal(count(&counters->open), 1);
        if (asked) {
            tg_conn_close(socket->conn, rows[i].ask, tg_slice_cstr(rows[i].ask_reason));
            tg_conn_close(socket->conn, 4999, TG_LIT("the second call does not count"));
            assert_int_equal(socket->close_code, rows[i].ask);
            assert_string_equal(socket->close_reason, rows[i].ask_reason);
            assert_null(tg_conn_get_open(fixture->mgr, handle));
            assert_int_equal(fixture->closed, i);
        }
        fake_end(socket, rows[i].code, rows[i].reason, rows[i].by_peer);
        assert_int_equal(socket->closes, asked);
        assert_int_equal(socket->pauses, 0);
        assert_int_equal(fixture->closed, i + 1);
        assert_int_equal(fixture->code, rows[i].reported);
        assert_string_equal(fixture->reason, rows[i].reported_reason);
        assert_int_equal(fixture->ended.slot, handle.slot);
        assert_null(tg_conn_get(fixture->mgr, handle));
        turn(fixture->loop);
        assert_int_equal(fixture->closed, i + 1);
        fake_socket_free(socket);
    }
    assert_int_equal(count(&counters->open), 0);
    assert_int_equal(count(&counters->opened), 13);
    assert_int_equal(count(&counters->closed_by_code[0]), 3);
    assert_int_equal(count(&counters->closed_by_code[1]), 2);
    assert_int_equal(count(&counters->closed_by_code[4]), 2); /* 4321, 4001 */
    assert_int_equal(count(&counters->closed_by_code[5]), 1);
    assert_int_equal(count(&counters->closed_by_code[6]), 2);
}

static void test_long_reasons_are_cut_between_characters(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = open_conn(fixture);
    char reason[200] = "x";
    for (size_t i = 1; i + 2 < sizeof reason; i += 2) {
        memcpy(reason + i, "\xc3\xa9", 2);
    }
    tg_conn_close(socket->conn, 4000, tg_slice_cstr(reason));
    assert_int_equal(strlen(socket->close_reason), 123);
    fake_end(socket, 4000, "", false);
    assert_int_equal(strlen(fixture->reason), 123);
    fake_socket_free(socket);

    socket = open_conn(fixture);
    tg_conn_close(socket->conn, 4000, tg_slice_cstr(reason + 1));
    assert_int_equal(strlen(socket->close_reason), 122);
    end_conn(socket);
}

static void test_end_of_a_connection_that_never_opened(void **state)
{
    struct fixture *fixture = *state;
    struct tg_socket *socket = fake_socket_new();
    struct tg_conn_handle handle;
    char id[TG_CONNID_LEN + 1];
    assert_int_equal(tg_conn_reserve(fixture->mgr, &handle, id), TG_OK);
    socket->conn = tg_conn_get(fixture->mgr, handle);
    tg_conn_socket_events.on_message(socket->conn, TG_LIT("early"), false);
    end_conn(socket);
    assert_int_equal(fixture->messages, 0);
    assert_int_equal(fixture->closed, 0);
    assert_int_equal(tg_connmgr_count(fixture->mgr), 0);
    assert_null(tg_conn_get(fixture->mgr, handle));
}

static void test_opening_what_is_not_reserved(void **state)
{
    struct fixture *fixture = *state;
    const struct tg_conn_info info = fixture_info();
    struct tg_socket *socket = open_conn(fixture);
    struct tg_conn_handle handle = tg_conn_handle(socket->conn);
    assert_int_equal(tg_conn_open(fixture->mgr, handle, &info, &fixture->settings, socket, &fake_ops),
                     TG_EINVAL);
    end_conn(socket);
    socket = fake_socket_new();
    assert_int_equal(tg_conn_open(fixture->mgr, handle, &info, &fixture->settings, socket, &fake_ops),
                     TG_EINVAL);
    fake_socket_free(socket);
}

/* ---- many ---- */

static void test_ten_thousand(void **state)
{
    enum { MANY = 10000, MOST_BYTES = 600 };
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 0, MANY);
    fixture.settings.idle_timeout_ms = 600000;
    struct tg_socket **sockets = calloc(MANY, sizeof(struct tg_socket *));
    assert_non_null(sockets);
    for (size_t i = 0; i < MANY; i++) {
        sockets[i] = fake_socket_new();
    }
    const struct tg_conn_info info = fixture_info();
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < MANY; i++) {
        struct tg_conn_handle handle;
        char id[TG_CONNID_LEN + 1];
        assert_int_equal(tg_conn_reserve(fixture.mgr, &handle, id), TG_OK);
        sockets[i]->conn = tg_conn_get(fixture.mgr, handle);
        assert_int_equal(tg_conn_open(fixture.mgr, handle, &info, &fixture.settings, sockets[i], &fake_ops),
                         TG_OK);
    }
    /* Under AddressSanitizer the C library counts nothing. */
    size_t bytes = (mallinfo2().uordblks - before) / MANY;
    print_message("%zu bytes an idle connection\n", bytes);
    assert_true(bytes < MOST_BYTES);
    struct tg_conn_handle over;
    char id[TG_CONNID_LEN + 1];
    assert_int_equal(tg_conn_reserve(fixture.mgr, &over, id), TG_ELIMIT);
    assert_int_equal(tg_connmgr_count(fixture.mgr), MANY);
    for (size_t i = 0; i < MANY; i++) {
        end_conn(sockets[i]);
    }
    assert_int_equal(fixture.closed, MANY);
    free(sockets);
    fixture_free(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_limits_of_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots_are_reused_in_the_order_of_their_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids_name_the_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handles_that_name_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_altered_ids_reach_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_visits_the_open_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_while_an_end_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_info_is_copied, setup, teardown),
        cmocka_unit_test(test_no_user_agent_is_not_an_empty_one),
        cmocka_unit_test_setup_teardown(test_messages_reach_the_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reported_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_reasons_are_cut_between_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_a_connection_that_never_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(test_opening_what_is_not_reserved, setup, teardown),
        cmocka_unit_test(test_ten_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
