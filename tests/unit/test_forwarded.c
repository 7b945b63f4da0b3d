/* What a back end gets of a request's headers, and a client of an answer's (http-api.md 1.9), row by row. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/forwarded.h"

static struct tg_arena arena;
static struct tg_headers client, out;
static struct tg_forwarded_input input;

static int set_up(void **state)
{
    (void)state;
    tg_arena_init(&arena, NULL);
    client = (struct tg_headers){0};
    out = (struct tg_headers){0};
    input = (struct tg_forwarded_input){
        .headers = &client,
        .mode = TG_FORWARDED_RFC7239,
        .source_ip = TG_LIT("192.0.2.7"),
        .host = TG_LIT("api.example"),
        .port = 443,
        .secure = true,
        .trace = TG_LIT("Self=1-a-b;Root=1-c-d"),
    };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tg_arena_reset(&arena);
    return 0;
}

/* A field of the client. */
static void add(const char *name, const char *value)
{
    assert_int_equal(tg_headers_add(&client, &arena, tg_slice_cstr(name), tg_slice_cstr(value)), TG_OK);
}

static void run(void)
{
    assert_int_equal(tg_forwarded_headers(&input, &arena, &out), TG_OK);
}

/* Exactly these fields, in this order; the rows end with a NULL. */
static void assert_fields(const char *const (*rows)[2])
{
    size_t i = 0;
    for (; rows[i][0] != NULL; i++) {
        if (i >= out.count) {
            fail_msg("`%s: %s` is missing", rows[i][0], rows[i][1]);
        }
        if (!tg_slice_eq(out.items[i].name, tg_slice_cstr(rows[i][0])) ||
            !tg_slice_eq(out.items[i].value, tg_slice_cstr(rows[i][1]))) {
            fail_msg("got `%.*s: %.*s`, expected `%s: %s`", TG_FMT(out.items[i].name),
                     TG_FMT(out.items[i].value), rows[i][0], rows[i][1]);
        }
    }
    if (i < out.count) {
        fail_msg("`%.*s: %.*s` is too many", TG_FMT(out.items[i].name), TG_FMT(out.items[i].value));
    }
}

static void assert_value(const char *name, const char *expected)
{
    const struct tg_header *field = tg_headers_first(&out, tg_slice_cstr(name));
    if (expected == NULL) {
        assert_null(field);
        return;
    }
    assert_non_null(field);
    assert_int_equal(tg_headers_count(&out, tg_slice_cstr(name)), 1);
    if (!tg_slice_eq(field->value, tg_slice_cstr(expected))) {
        fail_msg("%s: got `%.*s`, expected `%s`", name, TG_FMT(field->value), expected);
    }
}

#define OWN "for=192.0.2.7;host=api.example;proto=https"

/* Every row of the table of 1.9. */
static void passes_what_is_not_its_own(void **state)
{
    (void)state;
    static const char *const fields[][2] = {
        {"Host", "api.example"},
        {"User-Agent", "curl/8"},
        {"accept", "*/*"},
        {"Accept-Encoding", "gzip"},
        {"Cookie", "a=1"},
        {"X-Custom", "1"},
        {"Connection", "keep-alive"},
        {"x-custom", "2"},
        {"Keep-Alive", "timeout=5"},
        {"TE", "trailers"},
        {"Trailer", "X-Sum"},
        {"TRANSFER-ENCODING", "chunked"},
        {"upgrade", "h2c"},
        {"Proxy-Authorization", "Basic eA=="},
        {"Proxy-Authenticate", "Basic"},
        {"Proxy-Connection", "keep-alive"},
        {"proxy-anything", "x"},
        {"Expect", "100-continue"},
        {"Content-Length", "12"},
        {"Content-Type", "text/plain"},
        {"X-Amzn-Trace-Id", "Root=client"},
        {"Authorization", "Bearer abc"},
        {"Origin", "https://a.example"},
        {"Proxy-", "a name of its own"},
        {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
    };
    static const char *const expected[][2] = {
        {"User-Agent", "curl/8"},
        {"accept", "*/*"},
        {"Accept-Encoding", "gzip"},
        {"Cookie", "a=1"},
        {"X-Custom", "1"},
        {"x-custom", "2"},
        {"Content-Type", "text/plain"},
        {"Authorization", "Bearer abc"},
        {"Origin", "https://a.example"},
        {"Proxy-", "a name of its own"},
        {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
        {"Forwarded", OWN},
        {"Via", "HTTP/1.1 AmazonAPIGateway"},
        {"X-Amzn-Trace-Id", "Self=1-a-b;Root=1-c-d"},
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        add(fields[i][0], fields[i][1]);
    }
    run();
    assert_fields(expected);
}

static void a_request_without_fields_gets_the_gateways(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"Forwarded", "by=198.51.100.1;for=\"[2001:db8::1]\";host=\"h:8080\";proto=http"},
        {"Via", "HTTP/1.1 AmazonAPIGateway"},
        {NULL, NULL},
    };
    input = (struct tg_forwarded_input){.headers = &client,
                                        .source_ip = TG_LIT("2001:db8::1"),
                                        .by = TG_LIT("198.51.100.1"),
                                        .host = TG_LIT("h:8080")};
    run();
    assert_fields(expected);
}

static void passes_the_clients_trace_without_one_of_its_own(void **state)
{
    (void)state;
    add("X-Amzn-Trace-Id", "Root=client");
    input.trace = TG_EMPTY;
    run();
    assert_value("X-Amzn-Trace-Id", "Root=client");
}

static void drops_what_connection_names(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"X-Kept", "4"},
        {"Forwarded", "for=unknown, " OWN},
        {"Via", "HTTP/1.1 AmazonAPIGateway"},
        {"X-Amzn-Trace-Id", "Self=1-a-b;Root=1-c-d"},
        {NULL, NULL},
    };
    add("X-Hop", "1");
    add("Connection", "x-hop ,, Via,close,keep-alive");
    add("x-HOP", "2");
    add("Via", "1.0 fred");
    add("X-Other", "3");
    add("connection", "X-OTHER,x-forwarded-host, x-amzn-trace-id");
    add("X-Forwarded-Host", "evil.example");
    add("X-Forwarded-For", "a");
    add("X-Kept", "4");
    run();
    assert_fields(expected);
}

static void extends_lists(void **state)
{
    (void)state;
    input.mode = TG_FORWARDED_BOTH;
    add("Via", "1.0 fred, 1.1 p.example");
    add("Forwarded", "for=\"_a,\\\"b\";proto=http");
    add("X-Forwarded-For", "203.0.113.9");
    add("via", "2 edge");
    add("Forwarded", "");
    add("forwarded", "for=10.0.0.1");
    add("x-forwarded-for", "10.0.0.1");
    run();
    assert_value("Via", "1.0 fred, 1.1 p.example, 2 edge, HTTP/1.1 AmazonAPIGateway");
    assert_value("Forwarded",
                 "for=\"_a,\\\"b\";proto=http, for=10.0.0.1, for=203.0.113.9, for=10.0.0.1, " OWN);
    assert_value("X-Forwarded-For", "203.0.113.9, 10.0.0.1, 192.0.2.7");
    assert_value("X-Forwarded-Port", "443");
    assert_value("X-Forwarded-Host", "api.example");
    assert_value("X-Forwarded-Proto", "https");
}

/* X-Forwarded-For, -Host, -Proto of the client and the Forwarded that becomes of them. */
static void folds_x_forwarded(void **state)
{
    (void)state;
    static const char *const rows[][4] = {
        {"203.0.113.9", NULL, NULL, "for=203.0.113.9, "},
        {"203.0.113.9, 2001:db8:cafe::17", NULL, NULL, "for=203.0.113.9, for=\"[2001:db8:cafe::17]\", "},
        {"203.0.113.9:4711", NULL, NULL, "for=\"203.0.113.9:4711\", "},
        {"[::1]", NULL, NULL, "for=\"[::1]\", "},
        {"[2001:DB8::1]:80", NULL, NULL, "for=\"[2001:DB8::1]:80\", "},
        {"::ffff:192.0.2.1", NULL, NULL, "for=\"[::ffff:192.0.2.1]\", "},
        {"unknown", NULL, NULL, "for=unknown, "},
        {"_hidden.1-x", NULL, NULL, "for=_hidden.1-x, "},
        {"_a;b", NULL, NULL, "for=unknown, "},
        {"evil\";for=1.2.3.4", NULL, NULL, "for=unknown, "},
        {"1.2.3", NULL, NULL, "for=unknown, "},
        {"1.2.3.4:", NULL, NULL, "for=unknown, "},
        {"1.2.3.4:123456", NULL, NULL, "for=unknown, "},
        {"1.2.3.4:8a", NULL, NULL, "for=unknown, "},
        {"[::1", NULL, NULL, "for=unknown, "},
        {"[::1]x", NULL, NULL, "for=unknown, "},
        {"[1.2.3.4]", NULL, NULL, "for=unknown, "},
        {" , ,1.2.3.4,, ", NULL, NULL, "for=1.2.3.4, "},
        {"", NULL, NULL, ""},
        {"1.1.1.1, 2.2.2.2", "a.example", "https", "for=1.1.1.1;host=a.example;proto=https, for=2.2.2.2, "},
        {"1.1.1.1, 2.2.2.2", "a.example,b.example:81", "https, http",
         "for=1.1.1.1;host=a.example;proto=https, for=2.2.2.2;host=\"b.example:81\";proto=http, "},
        {NULL, "a.example", NULL, "host=a.example, "},
        {NULL, NULL, "https", "proto=https, "},
        {NULL, "a, b", "https", "host=a;proto=https, host=b, "},
        {NULL, "[::1]:8443", NULL, "host=\"[::1]:8443\", "},
        {NULL, "a;for=1.2.3.4", NULL, ""},
        {NULL, "a\"b", "ht tp", ""},
        {"1.1.1.1", "a\"b", "h;x", "for=1.1.1.1, "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const char *const names[] = {"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"};
        struct tg_slice expected;
        client.count = 0;
        for (size_t j = 0; j < 3; j++) {
            if (rows[i][j] != NULL) {
                add(names[j], rows[i][j]);
            }
        }
        add("X-Forwarded-Port", "80");
        run();
        assert_int_equal(tg_arena_printf(&arena, &expected, "%s%s", rows[i][3], OWN), TG_OK);
        assert_value("Forwarded", expected.ptr);
        for (size_t j = 0; j < 3; j++) {
            assert_value(names[j], NULL);
        }
        assert_value("X-Forwarded-Port", NULL);
    }
}

static void sets_x_forwarded(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"X-Forwarded-For", "203.0.113.9, 192.0.2.7"},
        {"X-Forwarded-Port", "443"},
        {"X-Forwarded-Host", "api.example"},
        {"X-Forwarded-Proto", "https"},
        {"Via", "HTTP/1.1 AmazonAPIGateway"},
        {"X-Amzn-Trace-Id", "Self=1-a-b;Root=1-c-d"},
        {NULL, NULL},
    };
    input.mode = TG_FORWARDED_X;
    add("X-Forwarded-For", "203.0.113.9");
    add("X-Forwarded-Proto", "gopher");
    add("X-Forwarded-Host", "evil.example");
    add("X-Forwarded-Port", "1");
    add("Forwarded", "for=evil");
    run();
    assert_fields(expected);
}

static void tells_no_more_than_it_knows(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"Forwarded", "for=unknown;proto=http"},
        {"X-Forwarded-For", "unknown"},
        {"X-Forwarded-Proto", "http"},
        {"Via", "HTTP/1.1 AmazonAPIGateway"},
        {NULL, NULL},
    };
    static const char *const sources[] = {"unix", "", "fe80::1%eth0"};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        input = (struct tg_forwarded_input){
            .headers = &client, .mode = TG_FORWARDED_BOTH, .source_ip = tg_slice_cstr(sources[i])};
        run();
        assert_fields(expected);
    }
}

static void quotes_hosts_where_the_grammar_asks(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"api.example", "for=192.0.2.7;host=api.example;proto=https"},
        {"api.example:8443", "for=192.0.2.7;host=\"api.example:8443\";proto=https"},
        {"[::1]", "for=192.0.2.7;host=\"[::1]\";proto=https"},
        {"a_b~c%20", "for=192.0.2.7;host=a_b~c%20;proto=https"},
        {"a;for=1.2.3.4", "for=192.0.2.7;proto=https"},
        {"a,b", "for=192.0.2.7;proto=https"},
        {"a=b", "for=192.0.2.7;proto=https"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        input.host = tg_slice_cstr(rows[i][0]);
        run();
        assert_value("Forwarded", rows[i][1]);
    }
}

static void nothing_hides_the_gateways_element(void **state)
{
    (void)state;
    static const char *const hiding[] = {"for=\"", "for=\"\\\"", "for=a;host=\"\\", "\"a\"\"", "for=\"a\\"};
    for (size_t i = 0; i < sizeof hiding / sizeof *hiding; i++) {
        client.count = 0;
        add("Forwarded", hiding[i]);
        add("Forwarded", "for=10.0.0.1");
        run();
        assert_value("Forwarded", "for=10.0.0.1, " OWN);
    }
    client.count = 0;
    add("Forwarded", "for=\"a\\\\\";host=\"b\\\"\", FOR=\"c\"");
    run();
    assert_value("Forwarded", "for=\"a\\\\\";host=\"b\\\"\", FOR=\"c\", " OWN);
}

static void drops_names_that_pass_for_others(void **state)
{
    (void)state;
    static const char *const names[] = {"X_Forwarded_For",    "X-Forwarded_Proto", "x_forwarded-host",
                                        "Content_Length",     "Transfer_Encoding", "X_Amzn_Trace_Id",
                                        "Proxy_Authorization"};
    static const char *const expected[][2] = {
        {"X_Custom", "x"},
        {"Forwarded", OWN},
        {"Via", "HTTP/1.1 AmazonAPIGateway"},
        {"X-Amzn-Trace-Id", "Self=1-a-b;Root=1-c-d"},
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        add(names[i], "x");
    }
    add("X_Custom", "x");
    run();
    assert_fields(expected);
}

static void keeps_credentials_from_back_ends(void **state)
{
    (void)state;
    static const struct {
        const char *authorization;
        bool iam, passes;
    } rows[] = {
        {"Bearer abc", false, true},
        {"Bearer abc", true, false},
        {"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/execute-api/aws4_request", false, false},
        {"aws4-hmac-sha256 Credential=x", false, false},
        {"AWS4-HMAC-SHA256", false, false},
        {"AWS4-HMAC-SHA2567 x", false, true},
        {"AWS4-HMAC-SHA25", false, true},
        {"", false, true},
        {"", true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        client.count = 0;
        add("X-Amz-Security-Token", "token");
        add("authorization", rows[i].authorization);
        add("X-Amz-Date", "20260101T000000Z");
        add("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        input.iam = rows[i].iam;
        run();
        assert_value("Authorization", rows[i].passes ? rows[i].authorization : NULL);
        assert_value("X-Amz-Security-Token", rows[i].passes ? "token" : NULL);
        assert_value("X-Amz-Date", "20260101T000000Z");
        assert_value("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD");
    }
    /* Signed in the query: no Authorization at all. */
    client.count = 0;
    input.iam = true;
    add("X-Amz-Security-Token", "token");
    run();
    assert_value("X-Amz-Security-Token", NULL);
}

static void passes_answers(void **state)
{
    (void)state;
    static const char *const fields[][2] = {
        {"Server", "x"},
        {"Connection", "x-private, close"},
        {"Content-Type", "text/plain"},
        {"Keep-Alive", "timeout=5"},
        {"X-Private", "1"},
        {"Content-Length", "5"},
        {"Transfer-Encoding", "chunked"},
        {"Trailer", "X-Sum"},
        {"Upgrade", "h2c"},
        {"Proxy-Authenticate", "Basic"},
        {"Set-Cookie", "a=1"},
        {"Via", "1.1 back"},
        {"set-cookie", "b=2"},
        {"Date", "Fri, 02 Jan 2026 03:04:05 GMT"},
        {"Forwarded", "for=x"},
        {"X_Forwarded_For", "x"},
        {"Authorization", "AWS4-HMAC-SHA256 x"},
    };
    static const char *const expected[][2] = {
        {"Server", "x"},
        {"Content-Type", "text/plain"},
        {"Content-Length", "5"},
        {"Set-Cookie", "a=1"},
        {"Via", "1.1 back"},
        {"set-cookie", "b=2"},
        {"Date", "Fri, 02 Jan 2026 03:04:05 GMT"},
        {"Forwarded", "for=x"},
        {"X_Forwarded_For", "x"},
        {"Authorization", "AWS4-HMAC-SHA256 x"},
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        add(fields[i][0], fields[i][1]);
    }
    assert_int_equal(tg_forwarded_answer(&client, &arena, &out), TG_OK);
    assert_fields(expected);
    client.count = 0;
    assert_int_equal(tg_forwarded_answer(&client, &arena, &out), TG_OK);
    assert_int_equal(out.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passes_what_is_not_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_without_fields_gets_the_gateways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(passes_the_clients_trace_without_one_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(drops_what_connection_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(extends_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folds_x_forwarded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sets_x_forwarded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_no_more_than_it_knows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quotes_hosts_where_the_grammar_asks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_hides_the_gateways_element, set_up, tear_down),
        cmocka_unit_test_setup_teardown(drops_names_that_pass_for_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_credentials_from_back_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(passes_answers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
