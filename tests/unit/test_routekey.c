/* Route keys of HTTP APIs: what they may be, and what is said of those that may not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "routes/routekey.h"
#include "server/base/buf.h"

static struct tg_arena arena;

static int set_up(void **state)
{
    (void)state;
    tg_arena_init(&arena, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tg_arena_reset(&arena);
    return 0;
}

/* `GET =a <b> <c+>`: the method, then each segment by its kind. */
static void show(const struct tg_routekey *key, char *out, size_t size)
{
    static const char *const names[] = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "ANY"};
    int at = snprintf(out, size, "%s", key->is_default ? "default" : names[key->method]);
    for (size_t i = 0; i < key->count; i++) {
        const struct tg_routekey_segment *segment = &key->segments[i];
        const char *format = segment->kind == TG_ROUTEKEY_LITERAL ? " =%.*s"
                             : segment->kind == TG_ROUTEKEY_PARAM ? " <%.*s>"
                                                                  : " <%.*s+>";
        at += snprintf(out + at, size - (size_t)at, format, TG_FMT(segment->text));
    }
}

static void keys_become_segments(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"$default", "default"},
        {"GET /", "GET"},
        {"DELETE /a", "DELETE =a"},
        {"HEAD /a/b", "HEAD =a =b"},
        {"OPTIONS /{proxy+}", "OPTIONS <proxy+>"},
        {"PATCH /pets/{id}", "PATCH =pets <id>"},
        {"POST /a/{b}/c/{d+}", "POST =a <b> =c <d+>"},
        {"PUT /{a.b:c-d_1}", "PUT <a.b:c-d_1>"},
        {"ANY /$connect/@x/~+", "ANY =$connect =@x =~+"},
        {"GET /caf%C3%A9/caf\xc3\xa9", "GET =caf\xc3\xa9 =caf\xc3\xa9"},
        {"GET /a%2Fb/100%/%zz", "GET =a/b =100% =%zz"},
        {"GET /%7Bid%7D", "GET ={id}"},
        {"GET /./...", "GET =. =..."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_routekey key;
        struct tg_slice error;
        char shown[256];
        if (tg_routekey_parse(&arena, tg_slice_cstr(rows[i][0]), &key, &error) != TG_OK) {
            fail_msg("%s: %.*s", rows[i][0], TG_FMT(error));
        }
        show(&key, shown, sizeof shown);
        assert_string_equal(shown, rows[i][1]);
        assert_true(tg_slice_eq(key.text, tg_slice_cstr(rows[i][0])));
    }
}

static void errors_say_what_and_where(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "there is no space at character 1"},
        {"GET", "there is no space at character 1"},
        {"$connect", "there is no space at character 1"},
        {"$default ", "no such method"},
        {"get /a", "upper case: GET at character 1"},
        {"any /a", "upper case: ANY at character 1"},
        {"TRACE /a", "no such method; expected DELETE"},
        {" /a", "no such method"},
        {"GET ", "begins with `/` at character 5"},
        {"GET a", "begins with `/` at character 5"},
        {"GET  /a", "begins with `/` at character 5"},
        {"GET /a/", "a path does not end with `/` at character 7"},
        {"GET //", "an empty segment at character 6"},
        {"GET /a//b", "an empty segment at character 8"},
        {"GET /a b", "a blank or control character in the path at character 7"},
        {"GET /a\n", "a blank or control character in the path at character 7"},
        {"GET /a?b", "write %3F for the character) at character 7"},
        {"GET /a#b", "write %23 for the character) at character 7"},
        {"GET /a{b}", "a parameter is a whole segment: /{name}/ at character 7"},
        {"GET /a}", "a parameter is a whole segment: /{name}/ at character 7"},
        {"GET /{a}b", "expected / or the end at character 9"},
        {"GET /{a", "`{` is not closed at character 6"},
        {"GET /{a/b}", "`{` is not closed at character 6"},
        {"GET /{}", "the name of a parameter"},
        {"GET /{+}", "the name of a parameter"},
        {"GET /{a++}", "the name of a parameter"},
        {"GET /{a b}", "`_`, `-`, `.`, `:` at character 7"},
        {"GET /{a}/{a}", "a parameter of this name is there already at character 11"},
        {"GET /{a}/{a+}", "a parameter of this name is there already at character 11"},
        {"GET /{a+}/b", "`{a+}` must be the last segment at character 6"},
        {"GET /{a+}/", "`{a+}` must be the last segment at character 6"},
        {"GET /a/../b", "no request with such a path is served at character 8"},
        {"GET /a/%2e%2E", "no request with such a path is served at character 8"},
        {"GET /a%2f..%2fb", "no request with such a path is served at character 6"},
        {"GET /%00", "no request with such a path is served at character 6"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_routekey key;
        struct tg_slice error = TG_EMPTY, expected = tg_slice_cstr(rows[i][1]);
        assert_int_equal(tg_routekey_parse(&arena, tg_slice_cstr(rows[i][0]), &key, &error), TG_ESYNTAX);
        if (tg_slice_find_slice(error, expected) == error.len) {
            fail_msg("`%s`: %.*s", rows[i][0], TG_FMT(error));
        }
    }
    struct tg_routekey key;
    struct tg_slice error;
    assert_int_equal(tg_routekey_parse(&arena, TG_LIT("GET /a\0b"), &key, &error), TG_ESYNTAX);
}

static void segments_are_limited(void **state)
{
    (void)state;
    struct tg_buf text;
    struct tg_routekey key;
    struct tg_slice error;
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_append(&text, TG_LIT("GET ")), TG_OK);
    for (int i = 0; i < TG_ROUTEKEY_SEGMENTS_MAX; i++) {
        assert_int_equal(tg_buf_append(&text, TG_LIT("/a")), TG_OK);
    }
    assert_int_equal(tg_routekey_parse(&arena, tg_buf_slice(&text), &key, &error), TG_OK);
    assert_int_equal(key.count, TG_ROUTEKEY_SEGMENTS_MAX);
    assert_int_equal(tg_buf_append(&text, TG_LIT("/{p+}")), TG_OK);
    assert_int_equal(tg_routekey_parse(&arena, tg_buf_slice(&text), &key, &error), TG_ESYNTAX);
    assert_true(tg_slice_starts(error, TG_LIT("more than 64 segments at character 134")));
    tg_buf_free(&text);
}

static void methods_of_requests(void **state)
{
    (void)state;
    assert_int_equal(tg_routekey_method(TG_LIT("GET")), TG_ROUTEKEY_GET);
    assert_int_equal(tg_routekey_method(TG_LIT("PUT")), TG_ROUTEKEY_PUT);
    assert_int_equal(tg_routekey_method(TG_LIT("get")), TG_ROUTEKEY_METHOD_COUNT);
    assert_int_equal(tg_routekey_method(TG_LIT("ANY")), TG_ROUTEKEY_METHOD_COUNT);
    assert_int_equal(tg_routekey_method(TG_LIT("PROPFIND")), TG_ROUTEKEY_METHOD_COUNT);
    assert_int_equal(tg_routekey_method(TG_EMPTY), TG_ROUTEKEY_METHOD_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_become_segments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_say_what_and_where, set_up, tear_down),
        cmocka_unit_test_setup_teardown(segments_are_limited, set_up, tear_down),
        cmocka_unit_test(methods_of_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
