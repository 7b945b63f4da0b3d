/* Groups of targets: the checks that go out to them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/upstream_targets.h"

static void checks_its_targets(void **state)
{
    struct field *field = *state;
    switch_checks_on(field);
    RUN_UNTIL(field->world, field->backends[0].checks > 1 && field->backends[2].checks > 1);
    assert_int_equal(stats_of(field, 0).state, TG_TARGET_HEALTHY);
    field->backends[0].check_status = 503;
    backend_behave(&field->backends[1], HANGS_UP);
    RUN_UNTIL(field->world,
              stats_of(field, 0).state == TG_TARGET_FAILING && stats_of(field, 1).state == TG_TARGET_FAILING);
    struct tg_upstream_target_stats stats = stats_of(field, 0);
    assert_int_equal(stats.status, 503);
    assert_int_equal(stats.reason, TG_OK);
    assert_true(stats.checks_ok >= 1 && stats.checks_failed >= 2);
    assert_int_equal(stats_of(field, 1).reason, TG_ECLOSED);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask(field, "GET"), 'c');
    }
    uint64_t failed = stats_of(field, 0).checks_failed;
    field->backends[0].check_status = 204;
    RUN_UNTIL(field->world, stats_of(field, 0).state == TG_TARGET_HEALTHY);
    assert_true(stats_of(field, 0).checks_failed - failed < 3);
    assert_int_equal(stats_of(field, 1).state, TG_TARGET_FAILING);
    /* Off again. */
    field->options.check.path = TG_EMPTY;
    configure(field);
    assert_int_equal(stats_of(field, 1).state, TG_TARGET_HEALTHY);
    world_spin(field->world, 5); /* for one that is on its way */
    size_t before = SUM(field, checks);
    for (int i = 0; i < 30; i++) {
        assert_int_not_equal(ask(field, "GET"), '!');
    }
    assert_int_equal(SUM(field, checks), before);
}

static void checks_with_its_own_words(void **state)
{
    struct field *field = *state;
    switch_checks_on(field);
    RUN_UNTIL(field->world, field->backends[0].checks > 0);
    char want[128];
    (void)snprintf(want, sizeof want,
                   "GET /t HTTP/1.1\r\nHost: target.example:%u\r\nConnection: close\r\n\r\n",
                   (unsigned)field->backends[0].port);
    /* A path that the back end does not take for a check is kept. */
    field->options.check.path = TG_LIT("/t");
    configure(field);
    RUN_UNTIL(field->world, tg_buf_size(&field->backends[0].last) > 0);
    assert_text(tg_buf_slice(&field->backends[0].last), want);
    field->options.check.host = TG_LIT("checks.example");
    configure(field);
    tg_buf_clear(&field->backends[0].last);
    RUN_UNTIL(field->world, tg_buf_size(&field->backends[0].last) > 0);
    assert_text(tg_buf_slice(&field->backends[0].last),
                "GET /t HTTP/1.1\r\nHost: checks.example\r\nConnection: close\r\n\r\n");
}

/* All of the pool's connections are taken by slow calls: the target is busy, not ill. */
static void checks_beside_the_pool(void **state)
{
    struct field *field = *state;
    struct tg_call_request request = a_request("GET");
    struct record records[2];
    field->world->options.max_connections = 1;
    tg_upstream_configure(field->world->upstream, &field->world->options);
    request.origin = field->targets[0].origin;
    backend_behave(&field->backends[0], MUTE);
    start_call(field->world, &records[0], &request);
    RUN_UNTIL(field->world, field->backends[0].gets > 0);
    backend_behave(&field->backends[0], ANSWERS);
    start_call(field->world, &records[1], &request);
    assert_int_equal(world_stats(field->world).pending, 1);
    switch_checks_on(field);
    RUN_UNTIL(field->world, stats_of(field, 0).checks_ok >= 3);
    assert_int_equal(stats_of(field, 0).checks_failed, 0);
    assert_int_equal(world_stats(field->world).pending, 1);
    assert_int_equal(records[1].ends, 0);
    record_free(&records[0]);
    RUN_UNTIL(field->world, records[1].ends > 0);
    assert_ended(&records[1], TG_OK);
    record_free(&records[1]);
}

static void takes_silence_for_failure(void **state)
{
    struct field *field = *state;
    field->options.check.timeout_ms = 30;
    switch_checks_on(field);
    field->options.check.timeout_ms = 30;
    configure(field);
    backend_behave(&field->backends[0], STALLED);
    RUN_UNTIL(field->world, stats_of(field, 0).state == TG_TARGET_FAILING);
    assert_int_equal(stats_of(field, 0).reason, TG_ETIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROUP_TEST(checks_its_targets),
        GROUP_TEST(checks_with_its_own_words),
        GROUP_TEST(checks_beside_the_pool),
        GROUP_TEST(takes_silence_for_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
