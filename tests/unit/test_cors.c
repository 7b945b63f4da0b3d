/* CORS of HTTP APIs (http-api.md 1.4), row by row, and what a configuration may hold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/cors.h"

enum { LIST_MAX = 4 };

static struct tg_arena arena;
static struct tg_headers request, answer;
static struct tg_slice lists[4][LIST_MAX];
static struct tg_cors_settings settings;

static int set_up(void **state)
{
    (void)state;
    tg_arena_init(&arena, NULL);
    request = (struct tg_headers){0};
    answer = (struct tg_headers){0};
    settings = (struct tg_cors_settings){.max_age = TG_CORS_MAX_AGE_UNSET};
    settings.allow_origins.items = lists[0];
    settings.allow_methods.items = lists[1];
    settings.allow_headers.items = lists[2];
    settings.expose_headers.items = lists[3];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tg_arena_reset(&arena);
    return 0;
}

static void append(struct tg_strings *list, const char *item)
{
    assert_true(list->count < LIST_MAX);
    list->items[list->count++] = tg_slice_cstr(item);
}

static const struct tg_cors *compile(void)
{
    const struct tg_cors *cors = NULL;
    const char *key = NULL;
    struct tg_slice error = TG_EMPTY;
    if (tg_cors_compile(&arena, &settings, &cors, &key, &error) != TG_OK) {
        fail_msg("%s: %.*s", key, TG_FMT(error));
    }
    return cors;
}

static void add(struct tg_headers *headers, const char *name, const char *value)
{
    assert_int_equal(tg_headers_add(headers, &arena, tg_slice_cstr(name), tg_slice_cstr(value)), TG_OK);
}

/* Exactly these fields, in this order; the rows end with a NULL. */
static void assert_answer(const char *const (*rows)[2])
{
    size_t i = 0;
    for (; rows[i][0] != NULL; i++) {
        if (i >= answer.count) {
            fail_msg("`%s: %s` is missing", rows[i][0], rows[i][1]);
        }
        if (!tg_slice_eq(answer.items[i].name, tg_slice_cstr(rows[i][0])) ||
            !tg_slice_eq(answer.items[i].value, tg_slice_cstr(rows[i][1]))) {
            fail_msg("got `%.*s: %.*s`, expected `%s: %s`", TG_FMT(answer.items[i].name),
                     TG_FMT(answer.items[i].value), rows[i][0], rows[i][1]);
        }
    }
    if (i < answer.count) {
        fail_msg("`%.*s` is too many", TG_FMT(answer.items[i].name));
    }
}

/* The recorded preflight, vector 41. */
static void answers_a_preflight_from_anywhere(void **state)
{
    (void)state;
    static const char *const expected[][2] = {{"access-control-allow-origin", "*"},
                                              {"access-control-allow-methods", "POST,OPTIONS"},
                                              {"access-control-allow-headers", "content-type"},
                                              {"access-control-max-age", "300"},
                                              {NULL, NULL}};
    append(&settings.allow_origins, "*");
    append(&settings.allow_methods, "POST");
    append(&settings.allow_methods, "OPTIONS");
    append(&settings.allow_headers, "content-type");
    append(&settings.expose_headers, "x-a");
    settings.max_age = 300;
    const struct tg_cors *cors = compile();
    add(&request, "Origin", "https://a.example");
    /* What is asked for makes no difference: the browser decides. */
    add(&request, "Access-Control-Request-Method", "DELETE");
    add(&request, "Access-Control-Request-Headers", "x-other");
    assert_int_equal(tg_cors_preflight(cors, &request, &arena, &answer), TG_OK);
    assert_answer(expected);
}

/* The recorded 401. */
static void marks_answers_to_a_listed_origin(void **state)
{
    (void)state;
    static const char *const expected[][2] = {{"www-authenticate", "Bearer"},
                                              {"access-control-allow-origin", "http://localhost:5173"},
                                              {"vary", "origin"},
                                              {"access-control-allow-credentials", "true"},
                                              {"access-control-expose-headers", "x-a,X-B"},
                                              {NULL, NULL}};
    append(&settings.allow_origins, "https://other.example");
    append(&settings.allow_origins, "http://localhost:5173");
    append(&settings.allow_methods, "*");
    append(&settings.expose_headers, "x-a");
    append(&settings.expose_headers, "X-B");
    settings.allow_credentials = true;
    settings.max_age = 5;
    const struct tg_cors *cors = compile();
    add(&request, "origin", "http://localhost:5173");
    add(&answer, "www-authenticate", "Bearer");
    assert_int_equal(tg_cors_apply(cors, &request, &arena, &answer), TG_OK);
    assert_answer(expected);
}

static void preflights_of_listed_origins(void **state)
{
    (void)state;
    static const char *const expected[][2] = {{"access-control-allow-origin", "https://A.example"},
                                              {"vary", "origin"},
                                              {"access-control-allow-credentials", "true"},
                                              {"access-control-allow-methods", "*"},
                                              {"access-control-allow-headers", "*"},
                                              {"access-control-max-age", "-1"},
                                              {NULL, NULL}};
    append(&settings.allow_origins, "HTTPS://a.EXAMPLE");
    append(&settings.allow_methods, "*");
    append(&settings.allow_headers, "*");
    settings.max_age = -1;
    settings.allow_credentials = true;
    const struct tg_cors *cors = compile();
    add(&request, "Origin", "https://A.example");
    assert_int_equal(tg_cors_preflight(cors, &request, &arena, &answer), TG_OK);
    assert_answer(expected);
}

/* Which origins an entry lets in. */
static void compares_origins(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *origin;
        bool allowed;
    } rows[] = {
        {"https://a.example", "https://a.example", true},
        {"https://a.example", "https://A.Example", true},
        {"https://a.example", "http://a.example", false},
        {"https://a.example", "https://a.example:443", false}, /* browsers leave it out */
        {"https://a.example", "https://a.example.evil.example", false},
        {"https://a.example", "https://a.example/", false},
        {"https://a.example", "null", false},
        {"https://a.example", "", false},
        {"https://a.example:8443", "https://a.example:8443", true},
        {"https://a.example:8443", "https://a.example:8444", false},
        {"http://[::1]:5173", "http://[::1]:5173", true},
        {"capacitor://localhost", "capacitor://localhost", true},
        {"chrome-extension://abcdef", "chrome-extension://abcdef", true},
        {"https://*", "https://a.example", true},
        {"https://*", "HTTPS://b.example:1", true},
        {"https://*", "http://a.example", false},
        {"https://*", "https://", false},
        {"https://*", "https://a b", false},
        {"https://*", "https://a, https://b", false},
        {"https://*", "https://a/b", false},
        {"https://*", "null", false},
        {"HTTP://*", "http://a.example", true},
        {"http://*", "https://a.example", false},
        {"http://*", "http://[::1]:80", true},
        {"http://*", "http://a:65536", false},
        {"http://*", "http://a:", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const char *const none[][2] = {{NULL, NULL}};
        const char *const expected[][2] = {
            {"access-control-allow-origin", rows[i].origin}, {"vary", "origin"}, {NULL, NULL}};
        settings.allow_origins.count = 0;
        append(&settings.allow_origins, rows[i].entry);
        const struct tg_cors *cors = compile();
        request.count = 0;
        add(&request, "Origin", rows[i].origin);
        answer.count = 0;
        assert_int_equal(tg_cors_apply(cors, &request, &arena, &answer), TG_OK);
        assert_answer(rows[i].allowed ? expected : none);
        answer.count = 0;
        assert_int_equal(tg_cors_preflight(cors, &request, &arena, &answer), TG_OK);
        assert_answer(rows[i].allowed ? expected : none);
    }
}

static void takes_long_origins(void **state)
{
    (void)state;
    char origin[TG_CORS_ORIGIN_MAX + 2];
    memset(origin, 'a', sizeof origin);
    memcpy(origin, "https://", 8);
    origin[TG_CORS_ORIGIN_MAX] = '\0';
    append(&settings.allow_origins, origin);
    const struct tg_cors *cors = compile();
    add(&request, "Origin", origin);
    assert_int_equal(tg_cors_apply(cors, &request, &arena, &answer), TG_OK);
    assert_int_equal(answer.count, 2);
    answer.count = 0;
    origin[TG_CORS_ORIGIN_MAX] = 'a';
    origin[TG_CORS_ORIGIN_MAX + 1] = '\0';
    request.count = 0;
    add(&request, "Origin", origin);
    assert_int_equal(tg_cors_apply(cors, &request, &arena, &answer), TG_OK);
    assert_int_equal(answer.count, 0);
}

static void replaces_the_back_ends_headers(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"Content-Type", "text/plain"}, {"access-control-allow-origin", "*"}, {NULL, NULL}};
    static const char *const without[][2] = {{"Content-Type", "text/plain"}, {NULL, NULL}};
    append(&settings.allow_origins, "*");
    append(&settings.allow_methods, "GET");
    const struct tg_cors *cors = compile();
    for (int with_origin = 0; with_origin < 2; with_origin++) {
        answer.count = 0;
        add(&answer, "Access-Control-Allow-Origin", "https://evil.example");
        add(&answer, "Content-Type", "text/plain");
        add(&answer, "ACCESS-CONTROL-ALLOW-CREDENTIALS", "true");
        add(&answer, "access-control-allow-private-network", "true");
        if (with_origin) {
            add(&request, "Origin", "https://a.example");
        }
        assert_int_equal(tg_cors_apply(cors, &request, &arena, &answer), TG_OK);
        assert_answer(with_origin ? expected : without);
    }
}

/* The back end's Vary and what becomes of it. */
static void merges_vary(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"Accept-Encoding", "Accept-Encoding, origin"},
        {"Accept, Accept-Encoding", "Accept, Accept-Encoding, origin"},
        {"Origin", "Origin"},
        {"accept, ORIGIN ", "accept, ORIGIN "},
        {"*", "*"},
        {"", "origin"},
        {"original", "original, origin"},
    };
    append(&settings.allow_origins, "https://a.example");
    const struct tg_cors *cors = compile();
    add(&request, "Origin", "https://a.example");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const expected[][2] = {
            {"Vary", rows[i][1]}, {"access-control-allow-origin", "https://a.example"}, {NULL, NULL}};
        answer.count = 0;
        add(&answer, "Vary", rows[i][0]);
        assert_int_equal(tg_cors_apply(cors, &request, &arena, &answer), TG_OK);
        assert_answer(expected);
    }
    /* Several fields are one list. */
    static const char *const several[][2] = {{"Vary", "origin"},
                                             {"Vary", "accept"},
                                             {"access-control-allow-origin", "https://a.example"},
                                             {NULL, NULL}};
    answer.count = 0;
    add(&answer, "Vary", "origin");
    add(&answer, "Vary", "accept");
    assert_int_equal(tg_cors_apply(cors, &request, &arena, &answer), TG_OK);
    assert_answer(several);
    /* Without an allowed origin it stays as it is. */
    static const char *const untouched[][2] = {{"Vary", "accept"}, {NULL, NULL}};
    request.count = 0;
    answer.count = 0;
    add(&answer, "Vary", "accept");
    assert_int_equal(tg_cors_apply(cors, &request, &arena, &answer), TG_OK);
    assert_answer(untouched);
}

static void tells_preflights(void **state)
{
    (void)state;
    static const struct {
        const char *method, *origin, *requested;
        bool preflight;
    } rows[] = {
        {"OPTIONS", "https://a.example", "GET", true},  {"OPTIONS", "", "", true},
        {"OPTIONS", "https://a.example", NULL, false},  {"OPTIONS", NULL, "GET", false},
        {"options", "https://a.example", "GET", false}, {"GET", "https://a.example", "GET", false},
        {"POST", "https://a.example", "GET", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        request.count = 0;
        if (rows[i].origin != NULL) {
            add(&request, "oRiGiN", rows[i].origin);
        }
        if (rows[i].requested != NULL) {
            add(&request, "access-control-request-METHOD", rows[i].requested);
        }
        assert_int_equal(tg_cors_is_preflight(tg_slice_cstr(rows[i].method), &request), rows[i].preflight);
    }
}

static void star_wins_over_listed_origins(void **state)
{
    (void)state;
    static const char *const expected[][2] = {{"access-control-allow-origin", "*"}, {NULL, NULL}};
    append(&settings.allow_origins, "https://a.example");
    append(&settings.allow_origins, "https://A.example");
    append(&settings.allow_origins, "*");
    const struct tg_cors *cors = compile();
    add(&request, "Origin", "https://a.example");
    assert_int_equal(tg_cors_apply(cors, &request, &arena, &answer), TG_OK);
    assert_answer(expected);
}

static void lets_nobody_in_without_origins(void **state)
{
    (void)state;
    append(&settings.allow_methods, "GET");
    const struct tg_cors *cors = compile();
    add(&request, "Origin", "https://a.example");
    assert_int_equal(tg_cors_preflight(cors, &request, &arena, &answer), TG_OK);
    assert_int_equal(answer.count, 0);
}

static void assert_refused(const char *expected_key, const char *expected)
{
    const struct tg_cors *cors = NULL;
    const char *key = NULL;
    struct tg_slice error = TG_EMPTY;
    assert_int_equal(tg_cors_compile(&arena, &settings, &cors, &key, &error), TG_EINVAL);
    assert_null(cors);
    assert_string_equal(key, expected_key);
    if (!tg_slice_eq(error, tg_slice_cstr(expected))) {
        fail_msg("got `%.*s`, expected `%s`", TG_FMT(error), expected);
    }
}

static void refuses_bad_origins(void **state)
{
    (void)state;
#define WILDCARD "is no origin: wildcards are `*`, `https://*` and `http://*` alone"
#define SCHEME   "is no origin: it begins with a scheme, as in https://example.com"
#define FOLLOWS  "is no origin: nothing follows host and port, neither a path nor a slash"
#define FORM     "is no origin: it is scheme://host or scheme://host:port"
    static const char *const rows[][2] = {
        {"https://*.example", WILDCARD},
        {"*.example", WILDCARD},
        {"ws://*", WILDCARD},
        {"https://*:8443", WILDCARD},
        {"a.example", SCHEME},
        {"null", SCHEME},
        {"https:/a", SCHEME},
        {"https://a.example/", FOLLOWS},
        {"https://a.example/x", FOLLOWS},
        {"https://a.example?x", FOLLOWS},
        {"https://a.example#x", FOLLOWS},
        {"https://", FORM},
        {"://a.example", FORM},
        {"1http://a", FORM},
        {"https://a.example:", FORM},
        {"https://a.example:0", FORM},
        {"https://a.example:65536", FORM},
        {"https://a.example:8x", FORM},
        {"https://user@a.example", FORM},
        {"https://a b", FORM},
        {"https://[::1", FORM},
        {"https://[::1]x", FORM},
        {"https://b\xc3\xbc"
         "cher.example",
         FORM},
        {"https://a.example:080800", FORM},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_slice expected;
        settings.allow_origins.count = 0;
        append(&settings.allow_origins, "https://good.example");
        append(&settings.allow_origins, rows[i][0]);
        struct tg_slice origin = tg_slice_cstr(rows[i][0]), error = tg_slice_cstr(rows[i][1]);
        assert_int_equal(tg_arena_printf(&arena, &expected, "\"%.*s\" %.*s", TG_FMT(origin), TG_FMT(error)),
                         TG_OK);
        assert_refused("allowOrigins", expected.ptr);
    }
}

static void refuses_what_does_not_go_together(void **state)
{
    (void)state;
    settings.allow_credentials = true;
    append(&settings.allow_origins, "*");
    assert_refused("allowCredentials", "allow-credentials is not supported if 'allow-origin' is *");
    settings.allow_origins.count = 0;
    append(&settings.allow_origins, "https://*");
    assert_non_null(compile());
}

static void refuses_bad_values(void **state)
{
    (void)state;
    static const int64_t ages[] = {-3, 86401, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        settings.max_age = ages[i];
        assert_refused("maxAge", "must be -1 to 86400 seconds");
    }
    settings.max_age = 86400;
    assert_non_null(compile());
    append(&settings.allow_methods, "GET,POST");
    assert_refused("allowMethods", "\"GET,POST\" is neither a method nor `*`");
    settings.allow_methods.count = 0;
    append(&settings.allow_headers, "x-a");
    append(&settings.allow_headers, "x a");
    assert_refused("allowHeaders", "\"x a\" is neither the name of a header nor `*`");
    settings.allow_headers.count = 0;
    append(&settings.expose_headers, "x\r\n");
    assert_refused("exposeHeaders", "\"x\r\n\" is neither the name of a header nor `*`");
}

static void refuses_too_long_origins(void **state)
{
    (void)state;
    char origin[TG_CORS_ORIGIN_MAX + 2];
    struct tg_slice expected;
    memset(origin, 'a', sizeof origin);
    memcpy(origin, "https://", 8);
    origin[TG_CORS_ORIGIN_MAX + 1] = '\0';
    append(&settings.allow_origins, origin);
    assert_int_equal(tg_arena_printf(&arena, &expected,
                                     "\"%.64s\" ... is no origin: it has more than %d characters", origin,
                                     TG_CORS_ORIGIN_MAX),
                     TG_OK);
    assert_refused("allowOrigins", expected.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_a_preflight_from_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(marks_answers_to_a_listed_origin, set_up, tear_down),
        cmocka_unit_test_setup_teardown(preflights_of_listed_origins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compares_origins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_long_origins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replaces_the_back_ends_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merges_vary, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_preflights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(star_wins_over_listed_origins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lets_nobody_in_without_origins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_origins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_does_not_go_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_too_long_origins, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
