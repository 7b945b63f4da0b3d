/* Groups of targets: their options, reloads, ends, and what goes over them beside plain calls. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/tls_server.h"
#include "tests/unit/upstream_targets.h"

static void keeps_what_stays(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "GET");
    struct record record;
    field->options.eject_after = 1;
    field->options.eject_ms = 60000;
    field->options.target_count = 2;
    configure(field);
    backend_behave(&field->backends[1], MUTE);
    assert_int_equal(ask(field, "GET"), 'a');
    start_call(field->world, &record, &request);
    RUN_UNTIL(field->world, field->backends[1].gets > 0);
    backend_kill(&field->backends[0]);
    RUN_UNTIL(field->world, world_stats(field->world).idle == 0);
    assert_int_equal(stats_of(field, 0).state, TG_TARGET_HEALTHY);
    configure(field);
    request.method = TG_LIT("POST");
    field->options.max_attempts = 1;
    configure(field);
    assert_int_equal(ask_in_vain(field, &request), TG_EREFUSED);
    struct tg_upstream_target_stats before = stats_of(field, 0);
    assert_int_equal(before.state, TG_TARGET_EJECTED);
    /* b goes with its call under way, c comes, a stays, by another name. */
    struct tg_upstream_target_options targets[] = {field->targets[2], field->targets[0]};
    targets[1].name = TG_LIT("renamed");
    field->options.targets = targets;
    configure(field);
    struct tg_upstream_target_stats after = stats_of(field, 1);
    assert_text(after.name, "renamed");
    assert_int_equal(after.state, TG_TARGET_EJECTED);
    assert_int_equal(after.calls, before.calls);
    assert_int_equal(after.changed_ms, before.changed_ms);
    assert_int_equal(stats_of(field, 0).calls, 0);
    assert_int_equal(ask(field, "GET"), 'c');
    assert_int_equal(record.ends, 0);
    for (size_t i = 0; i < LINKS_MAX; i++) {
        if (field->backends[1].links[i].fd >= 0) {
            link_say(&field->backends[1].links[i], "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
        }
    }
    RUN_UNTIL(field->world, record.ends > 0);
    assert_ended(&record, TG_OK);
    record_free(&record);
    /* What cannot be taken changes nothing. */
    targets[1] = targets[0];
    assert_int_equal(tg_upstream_group_configure(field->group, &field->options), TG_EEXIST);
    assert_int_equal(tg_upstream_group_count(field->group), 2);
    assert_text(stats_of(field, 1).name, "renamed");
}

static void ends_with_its_last_call(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "GET");
    struct record records[2];
    switch_checks_on(field);
    backend_behave(&field->backends[0], HANGS_UP);
    backend_behave(&field->backends[1], MUTE);
    for (size_t i = 0; i < 2; i++) {
        start_call(field->world, &records[i], &request);
    }
    tg_upstream_group_free(field->group);
    field->group = NULL;
    /* It still goes past the one that fails. */
    RUN_UNTIL(field->world, records[0].ends > 0);
    assert_ended(&records[0], TG_OK);
    assert_text(tg_buf_slice(&records[0].body), "c");
    record_free(&records[0]);
    record_free(&records[1]);
}

static void cancels_anywhere(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "GET");
    for (int passes = 0; passes < 40; passes++) {
        struct record record;
        configure(field);
        backend_behave(&field->backends[0], RESETS);
        backend_behave(&field->backends[1], HANGS_UP);
        start_call(field->world, &record, &request);
        world_spin(field->world, passes);
        bool over = record.ends > 0;
        record_free(&record);
        world_spin(field->world, 3);
        assert_int_equal(record.ends, over);
        for (size_t i = 0; i < TARGETS; i++) {
            assert_int_equal(stats_of(field, i).outstanding, 0);
        }
    }
}

struct fetched {
    int ends;
    enum tg_err err;
    char letter;
};

static void fetched_end(void *arg, enum tg_err err, const struct tg_call_response *response)
{
    struct fetched *fetched = arg;
    fetched->ends++;
    fetched->err = err;
    fetched->letter = err == TG_OK ? response->body.ptr[0] : '!';
}

static void fetches(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "GET");
    struct fetched fetched = {0};
    struct tg_call *call;
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    request.max_body = 100;
    backend_behave(&field->backends[0], RESETS);
    assert_int_equal(
        tg_upstream_fetch(field->world->upstream, &request, &arena, fetched_end, &fetched, &call), TG_OK);
    RUN_UNTIL(field->world, fetched.ends > 0);
    assert_int_equal(fetched.letter, 'b');
    tg_arena_reset(&arena);
}

static void refuses_bad_options(void **state)
{
    struct field *field = *state;
    struct tg_upstream_group *group = NULL;
    for (int i = 0; i < 6; i++) {
        struct tg_upstream_target_options targets[TARGETS];
        struct tg_upstream_group_options options = field->options;
        memcpy(targets, field->targets, sizeof targets);
        options.targets = targets;
        switch (i) {
        case 0:
            options.target_count = 0;
            break;
        case 1:
            targets[1].origin.host = TG_EMPTY;
            break;
        case 2:
            targets[1].origin.tls = true;
            break;
        case 3:
            targets[2].origin.port = targets[0].origin.port;
            break;
        case 4:
            options.check = (struct tg_upstream_check_options){.path = TG_LIT("/"), .timeout_ms = 1};
            break;
        default:
            options.check = (struct tg_upstream_check_options){.path = TG_LIT("/"), .interval_ms = 1};
            break;
        }
        assert_int_equal(tg_upstream_group_new(field->world->upstream, &options, &group),
                         i == 3 ? TG_EEXIST : TG_EINVAL);
    }
    assert_null(group);
}

static void reaches_unix_sockets(void **state)
{
    struct field *field = *state;
    struct world *world = field->world;
    struct record record;
    char directory[] = "/tmp/tg-test-XXXXXX";
    char text[64];
    assert_non_null(mkdtemp(directory));
    (void)snprintf(text, sizeof text, "unix:%s/s", directory);
    tg_poll_free(world->poll);
    close(world->listener);
    listen_at(&world->listener, &world->address, text);
    assert_int_equal(tg_poll_new(world->loop, world->listener, world_accept, world, &world->poll), TG_OK);
    tg_poll_want(world->poll, true, false);
    field->targets[0].origin = (struct tg_origin){.host = tg_slice_cstr(text), .port = 1};
    field->targets[1].origin = (struct tg_origin){.host = tg_slice_cstr(text), .port = 2};
    field->options.target_count = 2;
    assert_int_equal(tg_upstream_group_configure(field->group, &field->options), TG_EEXIST);
    field->options.target_count = 1;
    switch_checks_on(field);
    struct peer *peer = run_until_asked(world, 0);
    assert_text(tg_buf_slice(&peer->in),
                "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    struct tg_call_request request = request_of(field, "GET");
    start_call(world, &record, &request);
    peer_send(run_until_asked(world, 1), "HTTP/1.1 204 No Content\r\n\r\n");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    record_free(&record);
    assert_int_equal(unlink(text + 5), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void speaks_tls_by_its_own_name(void **state)
{
    struct field *field = *state;
    struct authority authority;
    struct server servers[2];
    struct tg_tls_context *trust = NULL;
    make_authority(&authority, "one");
    struct tg_tls_client_options options = {.ca_file = authority.file};
    assert_int_equal(tg_tls_client_new(&options, &trust), TG_OK);
    /* The first one's certificate is for another name: that is a failure like any other. */
    server_start(&servers[0], &authority, HTTP_OK, "DNS:stranger.example");
    server_start(&servers[1], &authority, HTTP_OK, "DNS:orders.internal");
    for (size_t i = 0; i < 2; i++) {
        field->targets[i].origin = (struct tg_origin){.tls = true,
                                                      .host = TG_LIT("10.0.0.1"),
                                                      .port = tg_address_port(&servers[i].address),
                                                      .server_name = TG_LIT("orders.internal"),
                                                      .trust = trust};
    }
    field->options.target_count = 2;
    configure(field);
    tg_tls_context_free(trust); /* the group holds it */
    struct tg_call_request request = request_of(field, "POST");
    struct record record;
    start_call(field->world, &record, &request);
    RUN_UNTIL(field->world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_text(tg_buf_slice(&record.body), "ok");
    assert_int_equal(stats_of(field, 0).failures, 1);
    record_free(&record);
    tg_upstream_group_free(field->group);
    field->group = NULL;
    tg_upstream_free(field->world->upstream);
    field->world->upstream = NULL;
    server_join(&servers[0]);
    server_join(&servers[1]);
    assert_string_equal(servers[1].sni, "orders.internal");
    free_authority(&authority);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROUP_TEST(keeps_what_stays),           GROUP_TEST(ends_with_its_last_call),
        GROUP_TEST(cancels_anywhere),           GROUP_TEST(fetches),
        GROUP_TEST(refuses_bad_options),        GROUP_TEST(reaches_unix_sockets),
        GROUP_TEST(speaks_tls_by_its_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
