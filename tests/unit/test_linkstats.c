#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/app/linkstats.h"

static void add_of(struct tg_linkstats *stats, uint32_t worker, const char *link, const char *target,
                   enum tg_target_state state, uint64_t base)
{
    const struct tg_upstream_target_stats figures = {
        .name = tg_slice_cstr(target),
        .state = state,
        .outstanding = (size_t)base,
        .calls = base + 1,
        .failures = base + 2,
        .moved = base + 3,
        .checks_ok = base + 4,
        .checks_failed = base + 5,
        .ejections = base + 6,
        .reason = state == TG_TARGET_EJECTED ? TG_ETIMEOUT : TG_OK,
        .status = state == TG_TARGET_FAILING ? 503 : 0,
        .changed_ms = 1700000000000 + (int64_t)base,
    };
    assert_int_equal(tg_linkstats_add(stats, worker, tg_slice_cstr(link), &figures), TG_OK);
}

static void add(struct tg_linkstats *stats, const char *link, const char *target, enum tg_target_state state,
                uint64_t base)
{
    add_of(stats, 0, link, target, state, base);
}

static char *render(struct tg_linkstats *stats, struct tg_buf *buf)
{
    tg_buf_init(buf, SIZE_MAX);
    assert_int_equal(tg_linkstats_render(stats, buf), TG_OK);
    assert_int_equal(tg_buf_append_char(buf, '\0'), TG_OK);
    return (char *)(uintptr_t)tg_buf_slice(buf).ptr;
}

static void without_links_nothing_is_told(void **state)
{
    (void)state;
    struct tg_linkstats stats;
    struct tg_buf buf;
    tg_linkstats_init(&stats);
    assert_string_equal(render(&stats, &buf), "");
    tg_buf_free(&buf);
    tg_linkstats_free(&stats);
}

static void workers_are_added_up(void **state)
{
    (void)state;
    struct tg_linkstats totals, one, two;
    struct tg_buf buf;
    tg_linkstats_init(&totals);
    tg_linkstats_init(&one);
    tg_linkstats_init(&two);
    add(&one, "b", "http://x", TG_TARGET_HEALTHY, 0);
    add(&one, "a", "http://x\"", TG_TARGET_TRIAL, 10);
    add(&two, "a", "http://x\"", TG_TARGET_HEALTHY, 20);
    add(&two, "a", "http://w", TG_TARGET_EJECTED, 100); /* of a newer configuration: one worker alone */
    add(&two, "b", "http://x", TG_TARGET_HEALTHY, 30);
    assert_int_equal(tg_linkstats_merge(&totals, &one), TG_OK);
    assert_int_equal(tg_linkstats_merge(&totals, &two), TG_OK);
    tg_linkstats_free(&one); /* what was merged does not live there */
    tg_linkstats_free(&two);
    static const char *const expected[] = {
        "# TYPE tidegate_target_healthy gauge\n"
        "tidegate_target_healthy{link=\"a\",target=\"http://w\"} 0\n"
        "tidegate_target_healthy{link=\"a\",target=\"http://x\\\"\"} 1\n"
        "tidegate_target_healthy{link=\"b\",target=\"http://x\"} 2\n#",
        "# TYPE tidegate_target_outstanding gauge\n"
        "tidegate_target_outstanding{link=\"a\",target=\"http://w\"} 100\n"
        "tidegate_target_outstanding{link=\"a\",target=\"http://x\\\"\"} 30\n",
        "tidegate_target_calls_total{link=\"b\",target=\"http://x\"} 32\n",
        "tidegate_target_failures_total{link=\"b\",target=\"http://x\"} 34\n",
        "tidegate_target_moved_total{link=\"b\",target=\"http://x\"} 36\n",
        "# TYPE tidegate_target_checks_total counter\n"
        "tidegate_target_checks_total{link=\"a\",target=\"http://w\",result=\"ok\"} 104\n",
        "target=\"http://x\",result=\"ok\"} 38\n"
        "tidegate_target_checks_total{link=\"a\",target=\"http://w\",result=\"failed\"} 105\n",
        "target=\"http://x\",result=\"failed\"} 40\n# HELP",
        "# TYPE tidegate_target_ejections_total counter\n",
        "tidegate_target_ejections_total{link=\"b\",target=\"http://x\"} 42\n",
    };
    const char *text = render(&totals, &buf);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        if (strstr(text, expected[i]) == NULL) {
            fail_msg("no %s in %s", expected[i], text);
        }
    }
    tg_buf_free(&buf);
    tg_linkstats_free(&totals);
}

static void many_rows(void **state)
{
    (void)state;
    struct tg_linkstats stats;
    struct tg_buf buf;
    tg_linkstats_init(&stats);
    for (int i = 0; i < 1000; i++) {
        add(&stats, i % 2 == 0 ? "even" : "odd", "t", TG_TARGET_HEALTHY, 1);
    }
    const char *text = render(&stats, &buf);
    assert_non_null(strstr(text, "tidegate_target_healthy{link=\"even\",target=\"t\"} 500\n"));
    assert_non_null(strstr(text, "tidegate_target_calls_total{link=\"odd\",target=\"t\"} 1000\n"));
    tg_buf_free(&buf);
    tg_linkstats_free(&stats);
}

static char *json_of(struct tg_linkstats *stats, struct tg_buf *buf)
{
    tg_buf_init(buf, SIZE_MAX);
    assert_int_equal(tg_linkstats_json(stats, buf), TG_OK);
    assert_int_equal(tg_buf_append_char(buf, '\0'), TG_OK);
    return (char *)(uintptr_t)tg_buf_slice(buf).ptr;
}

static void json_tells_what_each_worker_takes_a_target_for(void **state)
{
    (void)state;
    struct tg_linkstats stats;
    struct tg_buf buf;
    tg_linkstats_init(&stats);
    assert_string_equal(json_of(&stats, &buf), "[]");
    tg_buf_free(&buf);
    add_of(&stats, 1, "a", "http://x", TG_TARGET_EJECTED, 10);
    add_of(&stats, 1, "b", "http://x", TG_TARGET_FAILING, 30);
    add_of(&stats, 0, "a", "http://x", TG_TARGET_HEALTHY, 20);
    add_of(&stats, 0, "a", "http://w\"", TG_TARGET_TRIAL, 0);
    assert_string_equal(
        json_of(&stats, &buf),
        "[{\"vpcLinkId\":\"a\",\"targets\":[\n"
        " {\"url\":\"http://"
        "w\\\"\",\"healthyWorkers\":0,\"inFlight\":0,\"calls\":1,\"failures\":2,\"moved\":3,"
        "\"checksOk\":4,\"checksFailed\":5,\"ejections\":6,\n"
        "  \"workers\":[{\"worker\":0,\"state\":\"trial\",\"since\":\"2023-11-14T22:13:20.000Z\",\"reason\":"
        "\"status of the check\",\"checkStatus\":null,\"inFlight\":0}]},\n"
        " {\"url\":\"http://"
        "x\",\"healthyWorkers\":1,\"inFlight\":30,\"calls\":32,\"failures\":34,\"moved\":36,"
        "\"checksOk\":38,\"checksFailed\":40,\"ejections\":42,\n"
        "  "
        "\"workers\":[{\"worker\":0,\"state\":\"healthy\",\"since\":\"2023-11-14T22:13:20.020Z\",\"reason\":"
        "null,"
        "\"checkStatus\":null,\"inFlight\":20},\n"
        "  {\"worker\":1,\"state\":\"ejected\",\"since\":\"2023-11-14T22:13:20.010Z\",\"reason\":\"timed "
        "out\","
        "\"checkStatus\":null,\"inFlight\":10}]}]},\n"
        "{\"vpcLinkId\":\"b\",\"targets\":[\n"
        " {\"url\":\"http://"
        "x\",\"healthyWorkers\":0,\"inFlight\":30,\"calls\":31,\"failures\":32,\"moved\":33,"
        "\"checksOk\":34,\"checksFailed\":35,\"ejections\":36,\n"
        "  "
        "\"workers\":[{\"worker\":1,\"state\":\"failing\",\"since\":\"2023-11-14T22:13:20.030Z\",\"reason\":"
        "\"status of the check\",\"checkStatus\":503,\"inFlight\":30}]}]}]");
    tg_buf_free(&buf);
    tg_linkstats_free(&stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_links_nothing_is_told),
        cmocka_unit_test(workers_are_added_up),
        cmocka_unit_test(many_rows),
        cmocka_unit_test(json_tells_what_each_worker_takes_a_target_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
