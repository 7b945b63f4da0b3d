#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "routes/metrics.h"

enum { WORKERS = 2 };

static int set_up(void **state)
{
    struct tg_metrics **workers = calloc(WORKERS, sizeof(struct tg_metrics *));
    assert_non_null(workers);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(tg_metrics_new(&workers[i]), TG_OK);
    }
    *state = workers;
    return 0;
}

static int tear_down(void **state)
{
    struct tg_metrics **workers = *state;
    for (size_t i = 0; i < WORKERS; i++) {
        tg_metrics_free(workers[i]);
    }
    free(workers);
    return 0;
}

static struct tg_route_metrics *series(struct tg_metrics *metrics, const char *route)
{
    return tg_metrics_series(metrics, TG_LIT("chat"), TG_LIT("prod"), tg_slice_cstr(route));
}

/* The text, NUL-terminated, to be freed. */
static char *render(struct tg_metrics **workers)
{
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_metrics_render(workers, WORKERS, &text), TG_OK);
    assert_int_equal(tg_buf_append_char(&text, '\0'), TG_OK);
    return text.data;
}

static void assert_line(const char *text, const char *line)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(text, whole) == NULL) {
        fail_msg("no line %s in:\n%s", line, text);
    }
}

static void a_series_is_made_once(void **state)
{
    struct tg_metrics **workers = *state;
    assert_ptr_equal(series(workers[0], "join"), series(workers[0], "join"));
    assert_ptr_not_equal(series(workers[0], "join"), series(workers[0], "$default"));
    assert_ptr_not_equal(series(workers[0], "join"), series(workers[1], "join"));
    /* Labels do not run into each other. */
    assert_ptr_not_equal(tg_metrics_series(workers[0], TG_LIT("a"), TG_LIT("bc"), TG_LIT("d")),
                         tg_metrics_series(workers[0], TG_LIT("ab"), TG_LIT("c"), TG_LIT("d")));
}

static void counters_are_summed_over_workers(void **state)
{
    struct tg_metrics **workers = *state;
    tg_metric_add(&series(workers[0], "join")->messages_in, 3);
    tg_metric_add(&series(workers[1], "join")->messages_in, 4);
    tg_metric_add(&series(workers[1], "$connect")->connect_count, 1);
    tg_metric_add(&series(workers[0], "")->client_error, 2);
    char *text = render(workers);
    assert_line(text, "# HELP tidegate_messages_in_total Client messages");
    assert_line(text, "# TYPE tidegate_messages_in_total counter");
    assert_line(text, "tidegate_messages_in_total{api_id=\"chat\",stage=\"prod\",route=\"join\"} 7");
    assert_line(text, "tidegate_connect_count_total{api_id=\"chat\",stage=\"prod\",route=\"$connect\"} 1");
    assert_line(text, "tidegate_client_error_total{api_id=\"chat\",stage=\"prod\",route=\"\"} 2");
    assert_line(text, "tidegate_messages_in_total{api_id=\"chat\",stage=\"prod\",route=\"$connect\"} 0");
    free(text);
}

static void labels_are_escaped(void **state)
{
    struct tg_metrics **workers = *state;
    tg_metric_add(&series(workers[0], "a\"b\\c\nd")->throttled, 1);
    char *text = render(workers);
    assert_line(text, "tidegate_throttled_total{api_id=\"chat\",stage=\"prod\",route=\"a\\\"b\\\\c\\nd\"} 1");
    free(text);
}

static void latencies_fill_buckets(void **state)
{
    struct tg_metrics **workers = *state;
    static const uint64_t microseconds[] = {500, 501, 1000, 30000000, 30000001};
#define BUCKET(le)                                                                                           \
    "tidegate_integration_latency_seconds_bucket{api_id=\"chat\",stage=\"prod\",route=\"x\",le=\"" le "\"} "
    for (size_t i = 0; i < sizeof microseconds / sizeof microseconds[0]; i++) {
        tg_metrics_observe(&series(workers[i % WORKERS], "x")->latency, microseconds[i] * 1000);
    }
    char *text = render(workers);
    assert_line(text, "# TYPE tidegate_integration_latency_seconds histogram");
    assert_line(text, BUCKET("0.0005") "1");
    assert_line(text, BUCKET("0.001") "3");
    assert_line(text, BUCKET("10") "3");
    assert_line(text, BUCKET("30") "4");
    assert_line(text, BUCKET("+Inf") "5");
    assert_line(text, "tidegate_integration_latency_seconds_sum{api_id=\"chat\",stage=\"prod\",route=\"x\"} "
                      "60.002002");
    assert_line(text,
                "tidegate_integration_latency_seconds_count{api_id=\"chat\",stage=\"prod\",route=\"x\"} 5");
    free(text);
#undef BUCKET
}

static void every_line_is_of_the_format(void **state)
{
    struct tg_metrics **workers = *state;
    (void)series(workers[0], "join");
    char *text = render(workers), *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL && rest != NULL; line = strsep(&rest, "\n")) {
        if (strncmp(line, "# HELP tidegate_", 16) != 0 && strncmp(line, "# TYPE tidegate_", 16) != 0 &&
            (strncmp(line, "tidegate_", 9) != 0 || strstr(line, "\"} ") == NULL)) {
            fail_msg("%s", line);
        }
    }
    free(text);
}

static void labels_too_long_share_the_overflow(void **state)
{
    struct tg_metrics **workers = *state;
    char name[600];
    memset(name, 'x', sizeof name);
    struct tg_route_metrics *first =
        tg_metrics_series(workers[0], TG_LIT("chat"), TG_LIT("prod"), tg_slice_make(name, sizeof name));
    struct tg_route_metrics *second =
        tg_metrics_series(workers[0], TG_LIT("other"), TG_LIT("prod"), tg_slice_make(name, sizeof name));
    assert_non_null(first);
    assert_ptr_equal(first, second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_series_is_made_once),       TEST(counters_are_summed_over_workers),
        TEST(labels_are_escaped),          TEST(latencies_fill_buckets),
        TEST(every_line_is_of_the_format), TEST(labels_too_long_share_the_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
