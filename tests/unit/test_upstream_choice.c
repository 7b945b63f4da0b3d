/* Groups of targets: which one a call goes to, second tries, ejection. Targets are real servers that answer,
 * hang, cut and die as told, and count what comes to them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/upstream_targets.h"

/* --- choice --- */

static void takes_turns(void **state)
{
    struct field *field = *state;
    char letters[7] = {0};
    for (size_t i = 0; i < 6; i++) {
        letters[i] = ask(field, "GET");
    }
    assert_string_equal(letters, "abcabc");
    for (size_t i = 0; i < TARGETS; i++) {
        struct tg_upstream_target_stats stats = stats_of(field, i);
        assert_int_equal(stats.calls, 2);
        assert_int_equal(stats.outstanding, 0);
        assert_int_equal(stats.state, TG_TARGET_HEALTHY);
        assert_int_equal(stats.name.ptr[0], 'a' + (int)i);
    }
    assert_int_equal(world_stats(field->world).opened, 3);
}

static void prefers_the_least_busy(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "GET");
    struct record records[5] = {0};
    backend_behave(&field->backends[0], MUTE);
    /* a, b, c; then a holds one for ever. */
    for (size_t i = 0; i < 3; i++) {
        start_call(field->world, &records[i], &request);
    }
    assert_int_equal(stats_of(field, 0).outstanding, 1);
    RUN_UNTIL(field->world, records[1].ends + records[2].ends == 2);
    char letters[5] = {0};
    for (size_t i = 0; i < 4; i++) {
        letters[i] = ask(field, "GET");
    }
    assert_string_equal(letters, "bcbc");
    /* Two more at b make a the least busy. */
    backend_behave(&field->backends[1], MUTE);
    backend_behave(&field->backends[2], MUTE);
    for (size_t i = 1; i < 5; i++) {
        record_free(&records[i]);
        start_call(field->world, &records[i], &request);
    }
    assert_int_equal(stats_of(field, 0).outstanding, 2);
    for (size_t i = 0; i < 5; i++) {
        record_free(&records[i]);
    }
    for (size_t i = 0; i < TARGETS; i++) {
        assert_int_equal(stats_of(field, i).outstanding, 0);
    }
}

/* --- second tries --- */

static void goes_past_a_dead_target(void **state)
{
    struct field *field = *state;
    backend_kill(&field->backends[0]);
    for (int i = 0; i < 4; i++) {
        assert_int_not_equal(ask(field, "POST"), '!'); /* none of it was written */
    }
    assert_int_equal(SUM(field, posts), 4);
    struct tg_upstream_target_stats stats = stats_of(field, 0);
    assert_true(stats.failures > 0);
    assert_int_equal(stats.failures, stats.moved);
    assert_int_equal(stats.failures, stats.calls);
    assert_int_equal(stats.state, TG_TARGET_HEALTHY); /* as ejection is off */
    for (size_t i = 1; i < TARGETS; i++) {
        backend_kill(&field->backends[i]);
    }
    struct tg_call_request request = request_of(field, "GET");
    assert_int_equal(ask_in_vain(field, &request), TG_EREFUSED);
}

static void repeats_what_may_be_repeated(void **state)
{
    static const struct {
        enum conduct conduct;
        const char *method;
        const char *body;
        bool vouched, moves;
        enum tg_err err;
    } rows[] = {
        {HANGS_UP, "GET", "", false, true, TG_OK},
        {RESETS, "GET", "", false, true, TG_OK},
        {BABBLES, "GET", "", false, true, TG_OK},
        {HANGS_UP, "PUT", "text", false, true, TG_OK},
        {HANGS_UP, "POST", "text", true, true, TG_OK},
        {HANGS_UP, "POST", "text", false, false, TG_ECLOSED},
        {RESETS, "POST", "text", false, false, TG_EIO},
        {BABBLES, "POST", "", false, false, TG_EPROTO},
        {HANGS_UP, "PATCH", "", false, false, TG_ECLOSED},
    };
    struct field *field = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_call_request request = request_of(field, rows[i].method);
        enum tg_err err = TG_OK;
        request.body = tg_slice_cstr(rows[i].body);
        request.replayable = rows[i].vouched;
        /* The next choice is the first one. */
        configure(field);
        size_t before = field->backends[0].gets + field->backends[0].posts + field->backends[0].puts;
        size_t elsewhere = SUM(field, gets) + SUM(field, posts) + SUM(field, puts) - before;
        backend_behave(&field->backends[0], rows[i].conduct);
        char letter = ask_for(field, &request, &err);
        assert_string_equal(tg_err_text(err), tg_err_text(rows[i].err));
        assert_int_equal(letter, rows[i].moves ? 'b' : '!');
        size_t after = field->backends[0].gets + field->backends[0].posts + field->backends[0].puts;
        assert_int_equal(after - before, tg_slice_eq(request.method, TG_LIT("PATCH")) ? 0 : 1);
        assert_int_equal(SUM(field, gets) + SUM(field, posts) + SUM(field, puts) - after - elsewhere,
                         rows[i].moves);
        if (rows[i].moves) {
            struct tg_slice last = tg_buf_slice(&field->backends[1].last);
            assert_true(tg_slice_starts(last, request.method));
            assert_true(tg_slice_ends(last, request.body));
        }
        backend_behave(&field->backends[0], ANSWERS);
    }
}

static void repeats_large_bodies_whole(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "PUT");
    enum tg_err err = TG_OK;
    size_t size = 3u << 20;
    char *body = malloc(size);
    assert_non_null(body);
    for (size_t i = 0; i < size; i++) {
        body[i] = (char)(i * 11 + i / 256);
    }
    request.body = tg_slice_make(body, size);
    backend_behave(&field->backends[0], RESETS);
    backend_behave(&field->backends[1], HANGS_UP);
    assert_int_equal(ask_for(field, &request, &err), 'c');
    assert_int_equal(field->backends[0].puts, 1);
    assert_int_equal(field->backends[1].puts, 1);
    assert_true(tg_slice_ends(tg_buf_slice(&field->backends[2].last), request.body));
    free(body);
}

static void keeps_to_its_attempts(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "GET");
    for (size_t i = 0; i < TARGETS; i++) {
        backend_behave(&field->backends[i], HANGS_UP);
    }
    for (unsigned attempts = 0; attempts <= 5; attempts++) {
        field->options.max_attempts = attempts;
        configure(field);
        size_t before = SUM(field, gets);
        assert_int_equal(ask_in_vain(field, &request), TG_ECLOSED);
        unsigned expected = attempts == 0 ? 1 : attempts > TARGETS ? TARGETS : attempts;
        assert_int_equal(SUM(field, gets) - before, expected);
    }
}

static void streams_go_once(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "POST");
    struct record record;
    request.stream_body = true;
    /* Nothing was written: what was sent so far goes to the other one, and so does the rest. */
    backend_kill(&field->backends[0]);
    start_call(field->world, &record, &request);
    assert_int_equal(tg_call_send(record.call, TG_LIT("one")), TG_OK);
    RUN_UNTIL(field->world, field->backends[1].accepted > 0);
    world_spin(field->world, 5);
    assert_int_equal(tg_call_send(record.call, TG_LIT("two")), TG_OK);
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    RUN_UNTIL(field->world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_true(tg_slice_ends(tg_buf_slice(&field->backends[1].last),
                              TG_LIT("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")));
    record_free(&record);
    /* A small one that may be repeated is kept as it goes, piece by piece. */
    request = request_of(field, "PUT");
    request.stream_body = true;
    configure(field);
    backend_behave(&field->backends[1], HANGS_UP);
    start_call(field->world, &record, &request);
    RUN_UNTIL(field->world, stats_of(field, 1).outstanding == 1);
    world_spin(field->world, 20); /* the head has gone */
    assert_int_equal(tg_call_send(record.call, TG_LIT("one")), TG_OK);
    world_spin(field->world, 20);
    assert_int_equal(tg_call_send(record.call, TG_LIT("two")), TG_OK);
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    RUN_UNTIL(field->world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(field->backends[1].puts, 2); /* on the kept connection, and on a fresh one */
    assert_true(tg_slice_ends(tg_buf_slice(&field->backends[2].last),
                              TG_LIT("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")));
    record_free(&record);
    /* A large one under way is not repeated, whatever the method. */
    request = request_of(field, "PUT");
    request.stream_body = true;
    size_t puts = SUM(field, puts);
    backend_behave(&field->backends[2], HANGS_UP);
    start_call(field->world, &record, &request);
    static char piece[50000];
    assert_int_equal(tg_call_send(record.call, tg_slice_make(piece, sizeof piece)), TG_OK);
    RUN_UNTIL(field->world, stats_of(field, 1).outstanding == 1);
    world_spin(field->world, 20);
    assert_int_equal(tg_call_send(record.call, TG_LIT("end")), TG_OK);
    assert_int_equal(tg_call_finish(record.call), TG_OK);
    RUN_UNTIL(field->world, record.ends > 0);
    assert_ended(&record, TG_ECLOSED);
    assert_int_equal(SUM(field, puts) - puts, 1);
    record_free(&record);
}

static void leaves_a_stopped_target(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "GET");
    enum tg_err err = TG_OK;
    field->options.attempt_timeout_ms = 250;
    field->options.max_attempts = TG_UPSTREAM_ATTEMPTS_MAX;
    configure(field);
    backend_behave(&field->backends[0], STALLED);
    assert_int_equal(ask_for(field, &request, &err), 'b');
    assert_int_equal(stats_of(field, 0).moved, 1);
    assert_int_equal(stats_of(field, 0).reason, TG_OK);
    /* A POST that may have been read stays, to the end of its own time. */
    configure(field);
    request = request_of(field, "POST");
    request.head_timeout_ms = 400;
    uint64_t started = tg_loop_now_ms(field->world->loop);
    assert_int_equal(ask_in_vain(field, &request), TG_ETIMEOUT);
    assert_true(tg_loop_now_ms(field->world->loop) - started >= 400);
    assert_int_equal(SUM(field, posts), 0);
    assert_int_equal(stats_of(field, 0).failures, 2);
    /* When the call's own time is over nobody else is asked. */
    configure(field);
    request = request_of(field, "GET");
    request.timeout_ms = 30;
    size_t before = SUM(field, gets);
    assert_int_equal(ask_in_vain(field, &request), TG_ETIMEOUT);
    assert_int_equal(SUM(field, gets), before);
    /* Nor is there anybody behind the last one. */
    for (size_t i = 1; i < TARGETS; i++) {
        backend_behave(&field->backends[i], MUTE);
    }
    request.timeout_ms = 1000;
    started = tg_loop_now_ms(field->world->loop);
    assert_int_equal(ask_in_vain(field, &request), TG_ETIMEOUT);
    assert_true(tg_loop_now_ms(field->world->loop) - started >= 1000);
    assert_int_equal(SUM(field, gets), before + 2);
}

static void passes_a_full_queue_by(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "POST");
    struct record records[8];
    field->world->options.max_connections = 1;
    field->world->options.max_pending = 1;
    tg_upstream_configure(field->world->upstream, &field->world->options);
    field->options.target_count = 2;
    configure(field);
    backend_behave(&field->backends[0], MUTE);
    /* The group's own count would send the next one here. */
    struct tg_call_request direct = a_request("GET");
    direct.origin = field->targets[0].origin;
    for (size_t i = 0; i < 2; i++) {
        start_call(field->world, &records[i], &direct);
    }
    assert_int_equal(ask(field, "POST"), 'b');
    assert_int_equal(stats_of(field, 0).calls, 1);
    assert_int_equal(stats_of(field, 0).failures, 0);
    backend_behave(&field->backends[1], MUTE);
    for (size_t i = 2; i < 4; i++) {
        start_call(field->world, &records[i], &request);
    }
    assert_int_equal(
        tg_upstream_call(field->world->upstream, &request, &record_events, &records[4], &records[4].call),
        TG_EBUSY);
    for (size_t i = 0; i < 4; i++) {
        record_free(&records[i]);
    }
}

/* Nor is it a failure that a call's time went by in the queue. */
static void forgives_time_in_the_queue(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = a_request("GET");
    struct record record;
    field->world->options.max_connections = 1;
    tg_upstream_configure(field->world->upstream, &field->world->options);
    field->options.target_count = 1;
    configure(field);
    backend_behave(&field->backends[0], MUTE);
    request.origin = field->targets[0].origin;
    start_call(field->world, &record, &request);
    request = request_of(field, "GET");
    request.timeout_ms = 20;
    assert_int_equal(ask_in_vain(field, &request), TG_ETIMEOUT);
    assert_int_equal(stats_of(field, 0).calls, 1);
    assert_int_equal(stats_of(field, 0).failures, 0);
    record_free(&record);
}

/* A kept connection that the target has closed is no failure of it. */
static void forgives_kept_connections(void **state)
{
    struct field *field = *state;
    field->options.target_count = 1;
    field->options.eject_after = 1;
    field->options.eject_ms = 60000;
    configure(field);
    assert_int_equal(ask(field, "POST"), 'a');
    backend_behave(&field->backends[0], HANGS_UP);
    struct tg_call_request request = request_of(field, "POST");
    assert_int_equal(ask_in_vain(field, &request), TG_ECLOSED);
    assert_int_equal(stats_of(field, 0).failures, 0);
    assert_int_equal(stats_of(field, 0).state, TG_TARGET_HEALTHY);
    assert_int_equal(field->backends[0].posts, 2);
}

/* --- ejection --- */

static void ejects_and_tries_again(void **state)
{
    struct field *field = *state;
    field->options.eject_after = 2;
    field->options.eject_ms = 1000;
    field->options.eject_max_ms = 60000;
    configure(field);
    backend_kill(&field->backends[0]);
    for (int i = 0; i < 6; i++) {
        assert_int_not_equal(ask(field, "GET"), '!');
    }
    struct tg_upstream_target_stats stats = stats_of(field, 0);
    assert_int_equal(stats.state, TG_TARGET_EJECTED);
    assert_int_equal(stats.reason, TG_EREFUSED);
    assert_int_equal(stats.ejections, 1);
    assert_int_equal(stats.calls, 2);
    assert_true(stats.changed_ms > 0);
    for (int i = 0; i < 20; i++) {
        assert_int_not_equal(ask(field, "GET"), '!');
    }
    assert_int_equal(stats_of(field, 0).calls, 2);
    while (stats_of(field, 0).state != TG_TARGET_TRIAL) {
        assert_false(field->world->expired);
        world_spin(field->world, 1);
    }
    /* The trial is one call at a time. */
    backend_start(&field->backends[0]);
    backend_behave(&field->backends[0], MUTE);
    struct tg_call_request request = request_of(field, "GET");
    struct record records[6];
    for (size_t i = 0; i < 6; i++) {
        start_call(field->world, &records[i], &request);
    }
    assert_int_equal(stats_of(field, 0).outstanding, 1);
    for (size_t i = 0; i < 6; i++) {
        record_free(&records[i]);
    }
    assert_int_equal(stats_of(field, 0).state, TG_TARGET_TRIAL);
    backend_behave(&field->backends[0], ANSWERS);
    for (int i = 0; i < 3; i++) {
        assert_int_not_equal(ask(field, "GET"), '!');
    }
    assert_int_equal(stats_of(field, 0).state, TG_TARGET_HEALTHY);
    assert_int_equal(stats_of(field, 0).ejections, 1);
}

static void opens_when_all_have_failed(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "GET");
    field->options.eject_after = 1;
    field->options.eject_ms = 60000;
    configure(field);
    for (size_t i = 0; i < TARGETS; i++) {
        backend_kill(&field->backends[i]);
    }
    assert_int_equal(ask_in_vain(field, &request), TG_EREFUSED);
    for (size_t i = 0; i < TARGETS; i++) {
        assert_int_equal(stats_of(field, i).state, TG_TARGET_EJECTED);
    }
    backend_start(&field->backends[1]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(field, "GET"), 'b');
    }
}

static void counts_silence_before_the_head(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = request_of(field, "POST");
    field->options.eject_after = 1;
    field->options.eject_ms = 60000;
    configure(field);
    backend_behave(&field->backends[0], MUTE);
    request.timeout_ms = 30;
    assert_int_equal(ask_in_vain(field, &request), TG_ETIMEOUT);
    assert_int_equal(stats_of(field, 0).state, TG_TARGET_EJECTED);
    assert_int_equal(stats_of(field, 0).reason, TG_ETIMEOUT);
    /* Whoever waits for its sender is not silent. */
    struct record record;
    request.stream_body = true;
    start_call(field->world, &record, &request);
    RUN_UNTIL(field->world, record.ends > 0);
    assert_ended(&record, TG_ETIMEOUT);
    assert_int_equal(stats_of(field, 1).failures, 0);
    record_free(&record);
    /* Errors that the target answers are answers. */
    field->backends[2].status = 500;
    for (int i = 0; i < 4; i++) {
        assert_int_not_equal(ask(field, "GET"), '!');
    }
    assert_int_equal(stats_of(field, 2).state, TG_TARGET_HEALTHY);
}

/* --- all at once --- */

enum { CALLS = 240 };

/* Targets die, hang and return while calls run. Every call ends once; no POST is seen twice, and none that
 * was seen by nobody is told as done; a GET fails only when the targets that it tried all had. */
static void survives_any_weather(void **state)
{
    struct field *field = *state;
    static struct record records[CALLS];
    static char paths[CALLS][16];
    struct tg_rng rng;
    tg_rng_seed(&rng, 20240607);
    field->options.eject_after = 2;
    field->options.eject_ms = 5;
    field->options.eject_max_ms = 40;
    field->options.attempt_timeout_ms = 500;
    field->world->options.max_connections = 16;
    field->world->options.max_pending = CALLS;
    tg_upstream_configure(field->world->upstream, &field->world->options);
    switch_checks_on(field);
    for (size_t i = 0; i < CALLS; i++) {
        bool post = i % 2 == 0;
        struct tg_call_request request = request_of(field, post ? "POST" : "GET");
        struct backend *backend = &field->backends[1 + tg_rng_next(&rng) % 2];
        (void)snprintf(paths[i], sizeof paths[i], "/%zu", i);
        request.target = tg_slice_cstr(paths[i]);
        request.head_timeout_ms = 2000;
        request.body = post ? TG_LIT("body") : TG_EMPTY;
        switch (tg_rng_next(&rng) % 8) {
        case 0:
            backend_kill(backend);
            break;
        case 1:
            backend_behave(backend, (enum conduct)(tg_rng_next(&rng) % 6));
            break;
        case 2:
            backend_behave(backend, ANSWERS);
            if (backend->poll == NULL) {
                backend_start(backend);
            }
            break;
        default:
            break;
        }
        records[i] = (struct record){0};
        tg_buf_init(&records[i].body, SIZE_MAX);
        enum tg_err err =
            tg_upstream_call(field->world->upstream, &request, &record_events, &records[i], &records[i].call);
        if (err != TG_OK) {
            records[i].ends = 1;
            records[i].err = err;
        }
        world_spin(field->world, (int)(tg_rng_next(&rng) % 6));
        if (tg_rng_next(&rng) % 8 == 0) {
            configure(field);
        }
    }
    size_t good = 0;
    for (size_t i = 0; i < CALLS; i++) {
        RUN_UNTIL(field->world, records[i].ends > 0);
        good += records[i].err == TG_OK;
    }
    world_spin(field->world, 5);
    for (size_t i = 0; i < CALLS; i++) {
        unsigned seen = 0;
        for (size_t j = 0; j < TARGETS; j++) {
            seen += field->backends[j].numbers[i];
        }
        assert_int_equal(records[i].ends, 1);
        assert_true(seen <= 1);
        assert_true(i % 2 == 1 || records[i].err != TG_OK || seen == 1);
        /* One target was well all the time. */
        assert_true(i % 2 == 0 || records[i].err == TG_OK);
        record_free(&records[i]);
    }
    assert_true(good > CALLS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROUP_TEST(takes_turns),
        GROUP_TEST(prefers_the_least_busy),
        GROUP_TEST(goes_past_a_dead_target),
        GROUP_TEST(repeats_what_may_be_repeated),
        GROUP_TEST(repeats_large_bodies_whole),
        GROUP_TEST(keeps_to_its_attempts),
        GROUP_TEST(streams_go_once),
        GROUP_TEST(leaves_a_stopped_target),
        GROUP_TEST(passes_a_full_queue_by),
        GROUP_TEST(forgives_kept_connections),
        GROUP_TEST(forgives_time_in_the_queue),
        GROUP_TEST(ejects_and_tries_again),
        GROUP_TEST(opens_when_all_have_failed),
        GROUP_TEST(counts_silence_before_the_head),
        GROUP_TEST(survives_any_weather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
