#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/codec.h"
#include "server/base/json.h"
#include "server/base/log.h"

static int64_t fixed_time(void *arg)
{
    (void)arg;
    return 1767323045123;
}

struct fixture {
    struct tg_log log;
    struct tg_arena arena;
    int pipe[2];
    char text[8192];
};

static void set_up(struct fixture *fixture, enum tg_log_level level, enum tg_log_format format)
{
    assert_int_equal(pipe2(fixture->pipe, O_NONBLOCK), 0);
    tg_log_init(&fixture->log, fixture->pipe[1], level, format);
    fixture->log.now_ms = fixed_time;
    tg_arena_init(&fixture->arena, NULL);
}

static void tear_down(struct fixture *fixture)
{
    tg_arena_reset(&fixture->arena);
    (void)close(fixture->pipe[0]);
    (void)close(fixture->pipe[1]);
}

/* What has been written since the last call. */
static struct tg_slice take(struct fixture *fixture)
{
    ssize_t len = read(fixture->pipe[0], fixture->text, sizeof fixture->text - 1);
    len = len > 0 ? len : 0;
    fixture->text[len] = '\0';
    return tg_slice_make(fixture->text, (size_t)len);
}

/* The line as JSON, which it must be, with one newline at its end. */
static const struct tg_json *take_json(struct fixture *fixture)
{
    const struct tg_json *value = NULL;
    struct tg_slice line = take(fixture);
    assert_int_equal(tg_slice_find(line, '\n'), line.len - 1);
    assert_int_equal(tg_json_parse(&fixture->arena, line, &value), TG_OK);
    assert_int_equal(tg_json_type(value), TG_JSON_OBJECT);
    return value;
}

static void text_lines_quote_what_is_not_plain(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, TG_LOG_INFO, TG_LOG_TEXT);
    tg_log(&f.log, TG_LOG_INFO, "started");
    assert_string_equal(take(&f).ptr, "2026-01-02T03:04:05.123Z info started\n");
    tg_log(&f.log, TG_LOG_WARN, "call failed", TG_KV("api", TG_LIT("chat")), TG_KV_INT("status", -502),
           TG_KV_CSTR("path", "/a b"), TG_KV("nothing", TG_EMPTY), TG_KV_ERR(TG_EBUSY));
    assert_string_equal(take(&f).ptr,
                        "2026-01-02T03:04:05.123Z warn call failed api=chat status=-502 path=\"/a b\" "
                        "nothing=\"\" error=\"queue full\"\n");
    tg_log(&f.log, TG_LOG_ERROR, "odd", TG_KV("v", TG_LIT("a\n\"\\\x7f=\xff")));
    assert_string_equal(take(&f).ptr, "2026-01-02T03:04:05.123Z error odd "
                                      "v=\"a\\u000a\\\"\\\\\\u007f=\xef\xbf\xbd\"\n");
    tear_down(&f);
}

static void json_lines_are_json(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, TG_LOG_DEBUG, TG_LOG_JSON);
    tg_log(&f.log, TG_LOG_DEBUG, "a \"message\"", TG_KV_INT("n", INT64_MIN),
           TG_KV("s", TG_LIT("\0\n\xc3\xa4")));
    assert_string_equal(take(&f).ptr,
                        "{\"time\":\"2026-01-02T03:04:05.123Z\",\"level\":\"debug\",\"message\":\"a "
                        "\\\"message\\\"\",\"n\":-9223372036854775808,\"s\":\"\\u0000\\u000a\xc3\xa4\"}\n");
    tear_down(&f);
}

static void bytes_that_are_not_utf8_leave_the_line_json(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, TG_LOG_DEBUG, TG_LOG_JSON);
    tg_log(&f.log, TG_LOG_INFO, "odd", TG_KV("s", TG_LIT("a\xff\xc3z\xed\xa0\x80\xe2\x82")));
    struct tg_slice text = tg_json_string(tg_json_get(take_json(&f), TG_LIT("s")));
    assert_true(tg_slice_eq(text, TG_LIT("a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                         "\xef\xbf\xbd")));
    tear_down(&f);
}

/* A line of every length around the limit, ending in the middle of each kind of thing that is not cut. */
static void long_lines_are_cut_but_stay_json(void **state)
{
    (void)state;
    static const struct tg_slice tails[] = {
        TG_LIT_INIT("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"),
        TG_LIT_INIT("\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"),
        TG_LIT_INIT("\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\""),
        TG_LIT_INIT("\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"),
        TG_LIT_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    };
    struct fixture f;
    set_up(&f, TG_LOG_DEBUG, TG_LOG_JSON);
    size_t cut_lines = 0, whole_lines = 0;
    for (size_t len = 1850; len < 2100; len++) {
        for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
            char value[2200];
            memset(value, 'x', len);
            memcpy(value + len, tails[i].ptr, tails[i].len);
            tg_log(&f.log, TG_LOG_INFO, "long", TG_KV("value", tg_slice_make(value, len + tails[i].len)),
                   TG_KV_INT("number", 123456), TG_KV_CSTR("last", "x"));
            const struct tg_json *line = take_json(&f);
            bool cut = tg_json_bool(tg_json_get(line, TG_LIT("cut")));
            bool whole = tg_slice_eq(tg_json_string(tg_json_get(line, TG_LIT("last"))), TG_LIT("x")) &&
                         tg_json_integer(tg_json_get(line, TG_LIT("number"))) == 123456;
            assert_true(cut || whole);
            /* Not a number with digits missing. */
            const struct tg_json *number = tg_json_get(line, TG_LIT("number"));
            assert_true(number == NULL || tg_json_integer(number) == 123456);
            cut_lines += cut;
            whole_lines += !cut;
            tg_arena_reset(&f.arena);
        }
    }
    assert_true(cut_lines > 0 && whole_lines > 0);
    tear_down(&f);
}

static void long_text_lines_say_that_they_were_cut(void **state)
{
    (void)state;
    struct fixture f;
    char value[3000];
    memset(value, 'x', sizeof value);
    set_up(&f, TG_LOG_INFO, TG_LOG_TEXT);
    tg_log(&f.log, TG_LOG_INFO, "long", TG_KV("value", tg_slice_make(value, sizeof value)),
           TG_KV_INT("n", 1));
    struct tg_slice line = take(&f);
    assert_true(line.len > 2000 && line.len <= 2048);
    assert_true(tg_slice_ends(line, TG_LIT("xxx cut=true\n")));
    value[0] = ' ';
    tg_log(&f.log, TG_LOG_INFO, "long", TG_KV("value", tg_slice_make(value, sizeof value)),
           TG_KV_INT("n", 1));
    assert_true(tg_slice_ends(take(&f), TG_LIT("xxx\" cut=true\n")));
    tear_down(&f);
}

static void levels_above_the_set_one_are_not_written(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, TG_LOG_WARN, TG_LOG_TEXT);
    tg_log(&f.log, TG_LOG_INFO, "quiet");
    assert_int_equal(take(&f).len, 0);
    tg_log(&f.log, TG_LOG_WARN, "loud");
    assert_true(take(&f).len > 0);
    atomic_store(&f.log.level, TG_LOG_DEBUG);
    tg_log(&f.log, TG_LOG_DEBUG, "louder");
    assert_true(take(&f).len > 0);
    tg_log(NULL, TG_LOG_ERROR, "nobody listens");
    tear_down(&f);
}

static void lines_that_do_not_fit_the_pipe_are_counted(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, TG_LOG_INFO, TG_LOG_TEXT);
    size_t written = 0;
    while (atomic_load(&f.log.dropped) == 0 && written < 1000000) {
        tg_log(&f.log, TG_LOG_INFO, "filling");
        written++;
    }
    assert_int_equal(atomic_load(&f.log.dropped), 1);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_quote_what_is_not_plain),
        cmocka_unit_test(json_lines_are_json),
        cmocka_unit_test(bytes_that_are_not_utf8_leave_the_line_json),
        cmocka_unit_test(long_lines_are_cut_but_stay_json),
        cmocka_unit_test(long_text_lines_say_that_they_were_cut),
        cmocka_unit_test(levels_above_the_set_one_are_not_written),
        cmocka_unit_test(lines_that_do_not_fit_the_pipe_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
