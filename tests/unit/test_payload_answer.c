/* What functions of HTTP APIs may answer: the rows of http-api 1.8.1 and 1.8.2, and what they leave open. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "routes/jsonscan.h"
#include "routes/payload.h"

#define TEXT "Content-Type: text/plain; charset=utf-8\n"
#define JSON "Content-Type: application/json\n"

/* An answer as lines: its status, its headers, an empty one, its body; of a refusal the detail in brackets.
 */
static struct tg_slice answer_text(struct tg_arena *arena, enum tg_payload_format format,
                                   struct tg_slice payload)
{
    struct tg_payload_answer answer = {0};
    struct tg_slice detail = TG_EMPTY, text;
    enum tg_err err = tg_payload_read_answer(format, arena, payload, &answer, &detail);
    if (err != TG_OK) {
        assert_int_equal(answer.status, 0);
        assert_int_equal(answer.headers.count, 0);
        assert_true(detail.len > 0);
        assert_true(err == TG_ESYNTAX || err == TG_ELIMIT);
        assert_int_equal(tg_arena_printf(arena, &text, "(%.*s)", TG_FMT(detail)), TG_OK);
        return text;
    }
    assert_int_equal(tg_arena_printf(arena, &text, "%d\n", answer.status), TG_OK);
    for (size_t i = 0; i < answer.headers.count; i++) {
        const struct tg_header *field = &answer.headers.items[i];
        assert_int_equal(tg_arena_printf(arena, &text, "%.*s%.*s: %.*s\n", TG_FMT(text), TG_FMT(field->name),
                                         TG_FMT(field->value)),
                         TG_OK);
    }
    assert_int_equal(tg_arena_printf(arena, &text, "%.*s\n%.*s", TG_FMT(text), TG_FMT(answer.body)), TG_OK);
    return text;
}

struct row {
    const char *payload, *answer;
};

static void check_rows(enum tg_payload_format format, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct tg_arena arena;
        tg_arena_init(&arena, NULL);
        struct tg_slice text = answer_text(&arena, format, tg_slice_cstr(rows[i].payload));
        if (!tg_slice_eq(text, tg_slice_cstr(rows[i].answer))) {
            fail_msg("%s\ngives\n%.*s\nnot\n%s", rows[i].payload, TG_FMT(text), rows[i].answer);
        }
        tg_arena_reset(&arena);
    }
}

#define CHECK_2(rows)    check_rows(TG_PAYLOAD_2_0, rows, sizeof(rows) / sizeof(rows)[0])
#define CHECK_1(rows)    check_rows(TG_PAYLOAD_1_0, rows, sizeof(rows) / sizeof(rows)[0])
#define CHECK_BOTH(rows) (CHECK_1(rows), CHECK_2(rows))

#define BAD_STATUS "(statusCode is not an integer from 200 to 999)"
#define NO_ANSWER  "(the function's result is no object with a statusCode)"
#define BAD_NAME   "(a name among the headers is none that a header may have)"
#define BAD_VALUE  "(the value of a header has a line break or another control character)"
#define BAD_KIND   "(the value of a header is neither text, number nor boolean)"

/* 1.8.2 from the second row on; vector 14. */
static void what_is_no_answer_is_the_body_of_one(void **state)
{
    static const struct row rows[] = {
        {"{\"a\": 1}", "200\n" JSON "\n{\"a\": 1}"},
        {" {\"a\" :\t[1 ,2.50]}\r\n", "200\n" JSON "\n {\"a\" :\t[1 ,2.50]}\r\n"},
        {"{}", "200\n" JSON "\n{}"},
        {"{\"body\":\"x\",\"headers\":{\"a\":\"b\"},\"isBase64Encoded\":true}",
         "200\n" JSON "\n{\"body\":\"x\",\"headers\":{\"a\":\"b\"},\"isBase64Encoded\":true}"},
        {"{\"StatusCode\":201}", "200\n" JSON "\n{\"StatusCode\":201}"},
        {"{\"a\":{\"statusCode\":201}}", "200\n" JSON "\n{\"a\":{\"statusCode\":201}}"},
        {"{\"a\":1,\"a\":99999999999999999999999,\"b\":1e999}",
         "200\n" JSON "\n{\"a\":1,\"a\":99999999999999999999999,\"b\":1e999}"},
        {"\"test\"", "200\n" JSON "\ntest"},
        {"\"Special \\\"quoted\\\" text\"", "200\n" JSON "\nSpecial \"quoted\" text"},
        {"  \"a\\u00e4\\n\\ud83d\\ude00/\"\n", "200\n" JSON "\na\xC3\xA4\n\xF0\x9F\x98\x80/"},
        {"\"\\ud83d! \\udc00\"", "200\n" JSON "\n\xEF\xBF\xBD! \xEF\xBF\xBD"},
        {"\"{\\\"statusCode\\\": 418, \"", "200\n" JSON "\n{\"statusCode\": 418, "},
        {"[1, 2]", "200\n" JSON "\n[1, 2]"},
        {"[{\"statusCode\":201}]", "200\n" JSON "\n[{\"statusCode\":201}]"},
        {"42", "200\n" JSON "\n42"},
        {"-1.50e+2", "200\n" JSON "\n-1.50e+2"},
        {"true", "200\n" JSON "\ntrue"},
        {"false", "200\n" JSON "\nfalse"},
        {"\"\"", "200\n" JSON "\n"},
        {"null", "200\n" JSON "\nnull"},
        {"", "200\n" JSON "\nnull"},
        {" \n", "200\n" JSON "\nnull"},
        {"\xEF\xBB\xBF", "200\n" JSON "\nnull"},
        {"\xEF\xBB\xBF[1]", "200\n" JSON "\n\xEF\xBB\xBF[1]"},
        {"\xEF\xBB\xBF\"x\"", "200\n" JSON "\nx"},
        {"no JSON", "200\n" JSON "\nno JSON"},
        {"[1, 2", "200\n" JSON "\n[1, 2"},
        {"\"a\" b", "200\n" JSON "\n\"a\" b"},
        {"\"a", "200\n" JSON "\n\"a"},
        {"\"\xFF\"", "200\n" JSON "\n\"\xFF\""},
        {"{\"a\": 1", "(the function's result is not JSON)"},
        {"{\"statusCode\":200} x", "(the function's result is not JSON)"},
        {"{\"statusCode\":200}{}", "(the function's result is not JSON)"},
        {"{statusCode:200}", "(the function's result is not JSON)"},
        {"{\"statusCode\":0200}", "(the function's result is not JSON)"},
        {"{\"statusCode\":200,\"body\":\"\xFF\"}", "(the function's result is not JSON)"},
    };
    (void)state;
    CHECK_2(rows);
}

static void format_1_takes_nothing_but_answers(void **state)
{
    static const struct row rows[] = {
        {"{}", NO_ANSWER},
        {"{\"body\":\"x\"}", NO_ANSWER},
        {"\"test\"", NO_ANSWER},
        {"[1]", NO_ANSWER},
        {"42", NO_ANSWER},
        {"null", NO_ANSWER},
        {"", NO_ANSWER},
        {"no JSON", NO_ANSWER},
        {"{\"statusCode\":200", "(the function's result is not JSON)"},
    };
    (void)state;
    CHECK_1(rows);
}

/* Vectors 15 and 16. */
static void statuses(void **state)
{
    static const struct row rows[] = {
        {"{\"statusCode\":201,\"body\":\"x\"}", "201\n" TEXT "\nx"},
        {"\xEF\xBB\xBF \t{\"statusCode\" : 404 }\n", "404\n" TEXT "\n"},
        {"{\"statusCode\":200}", "200\n" TEXT "\n"},
        {"{\"statusCode\":999}", "999\n" TEXT "\n"},
        {"{\"st\\u0061tusCode\":204}", "204\n" TEXT "\n"},
        {"{\"statusCode\":500,\"statusCode\":202}", "202\n" TEXT "\n"},
        {"{\"statusCode\":200,\"wrongValue\":1,\"n\":99999999999999999999,\"m\":1e999,\"\\u0000\":[{}]}",
         "200\n" TEXT "\n"},
        {"{\"statusCode\":202,\"statusCode\":null}", BAD_STATUS},
        {"{\"statusCode\":0}", BAD_STATUS},
        {"{\"statusCode\":200.5}", BAD_STATUS},
        {"{\"statusCode\":200.0}", BAD_STATUS},
        {"{\"statusCode\":2e2}", BAD_STATUS},
        {"{\"statusCode\":\"200\"}", BAD_STATUS},
        {"{\"statusCode\":\"\"}", BAD_STATUS},
        {"{\"statusCode\":null}", BAD_STATUS},
        {"{\"statusCode\":true}", BAD_STATUS},
        {"{\"statusCode\":[200]}", BAD_STATUS},
        {"{\"statusCode\":{\"statusCode\":200}}", BAD_STATUS},
        {"{\"statusCode\":-200}", BAD_STATUS},
        {"{\"statusCode\":101}", BAD_STATUS},
        {"{\"statusCode\":199}", BAD_STATUS},
        {"{\"statusCode\":1000}", BAD_STATUS},
        {"{\"statusCode\":18446744073709551816}", BAD_STATUS},
    };
    (void)state;
    CHECK_BOTH(rows);
}

static void bodies(void **state)
{
    static const struct row rows[] = {
        {"{\"statusCode\":200,\"body\":\"{\\\"a\\\": \\u00e4}\"}", "200\n" TEXT "\n{\"a\": \xC3\xA4}"},
        {"{\"statusCode\":200,\"body\":null,\"isBase64Encoded\":null}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"body\":\"\",\"isBase64Encoded\":true}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"isBase64Encoded\":true}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"body\":\"aGVsbG8=\",\"isBase64Encoded\":true}", "200\n" TEXT "\nhello"},
        {"{\"statusCode\":200,\"body\":\"aGVsbG8\",\"isBase64Encoded\":true}", "200\n" TEXT "\nhello"},
        {"{\"statusCode\":200,\"body\":\"aGVsbG8\\u003d\",\"isBase64Encoded\":true}", "200\n" TEXT "\nhello"},
        {"{\"statusCode\":200,\"body\":\"aGVsbG8=\",\"isBase64Encoded\":false}", "200\n" TEXT "\naGVsbG8="},
        {"{\"statusCode\":200,\"body\":\"no base64!\",\"isBase64Encoded\":true}", "(the body is not base64)"},
        {"{\"statusCode\":200,\"body\":\"a\",\"isBase64Encoded\":true}", "(the body is not base64)"},
        {"{\"statusCode\":200,\"body\":\"aGVs\\nbG8=\",\"isBase64Encoded\":true}",
         "(the body is not base64)"},
        {"{\"statusCode\":200,\"body\":\"a\",\"isBase64Encoded\":\"true\"}",
         "(isBase64Encoded is not a boolean)"},
        {"{\"statusCode\":200,\"body\":{\"a\":1}}", "(the body is not a string)"},
        {"{\"statusCode\":200,\"body\":1}", "(the body is not a string)"},
        {"{\"statusCode\":200,\"body\":\"a\",\"body\":\"b\"}", "200\n" TEXT "\nb"},
    };
    (void)state;
    CHECK_BOTH(rows);
}

static void headers(void **state)
{
    static const struct row rows[] = {
        {"{\"statusCode\":200,\"headers\":{\"myheader\":\"v\",\"X-A-b\":\"\\u00e4\",\"ETAG\":\"\\\"1\\\"\"}}",
         "200\nMyheader: v\nX-A-B: \xC3\xA4\nEtag: \"1\"\n" TEXT "\n"},
        {"{\"statusCode\":200,\"headers\":{\"content-TYPE\":\"text/html\",\"a\":\"\"}}",
         "200\nContent-Type: text/html\nA: \n\n"},
        {"{\"statusCode\":200,\"headers\":{\"n\":1.50,\"b\":true,\"c\":false,\"big\":1e999,\"z\":null}}",
         "200\nN: 1.50\nB: true\nC: false\nBig: 1e999\n" TEXT "\n"},
        {"{\"statusCode\":200,\"headers\":null}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"headers\":{}}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"headers\":{\"a\":\"1\",\"b\":\"2\",\"A\":\"3\"}}",
         "200\nA: 3\nB: 2\n" TEXT "\n"},
        {"{\"statusCode\":200,\"headers\":{\"a\":\"1\",\"a\":null}}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"headers\":{\"Content-Type\":null}}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"headers\":{\"Content-Length\":\"999\",\"transfer-encoding\":\"chunked\","
         "\"Connection\":\"close\",\"Keep-Alive\":\"1\",\"DATE\":\"x\",\"upgrade\":\"h2c\",\"TE\":\"x\","
         "\"Trailer\":\"x\",\"apigw-requestid\":\"mine\",\"Server\":\"s\"}}",
         "200\nServer: s\n" TEXT "\n"},
        {"{\"statusCode\":200,\"headers\":{\"a\":\"x\\r\\nSet-Cookie: y\"}}", BAD_VALUE},
        {"{\"statusCode\":200,\"headers\":{\"a\":\"x\\ny\"}}", BAD_VALUE},
        {"{\"statusCode\":200,\"headers\":{\"a\":\"x\\u0000y\"}}", BAD_VALUE},
        {"{\"statusCode\":200,\"headers\":{\"a\":\"x\\u007f\"}}", BAD_VALUE},
        {"{\"statusCode\":200,\"headers\":{\"a\":\"x\\u000d\",\"a\":\"y\"}}", BAD_VALUE},
        {"{\"statusCode\":200,\"headers\":{\"Date\":\"x\\u000d\"}}", BAD_VALUE},
        {"{\"statusCode\":200,\"headers\":{\"a\":\"x\\ty\"}}", "200\nA: x\ty\n" TEXT "\n"},
        {"{\"statusCode\":200,\"headers\":{\"a\\r\\nb\":\"x\"}}", BAD_NAME},
        {"{\"statusCode\":200,\"headers\":{\"a b\":\"x\"}}", BAD_NAME},
        {"{\"statusCode\":200,\"headers\":{\"a:\":\"x\"}}", BAD_NAME},
        {"{\"statusCode\":200,\"headers\":{\"\":\"x\"}}", BAD_NAME},
        {"{\"statusCode\":200,\"headers\":{\"\\u00e4\":null}}", BAD_NAME},
        {"{\"statusCode\":200,\"headers\":{\"a\":[\"x\"]}}", BAD_KIND},
        {"{\"statusCode\":200,\"headers\":{\"a\":{}}}", BAD_KIND},
        {"{\"statusCode\":200,\"headers\":[]}", "(the headers are not an object)"},
        {"{\"statusCode\":200,\"headers\":\"a: b\"}", "(the headers are not an object)"},
    };
    (void)state;
    CHECK_BOTH(rows);
}

/* 1.8.1, and vector 13. */
static void many_values(void **state)
{
    static const struct row rows[] = {
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"combined-header\":[\"m1\",\"m2\"]},"
         "\"headers\":{\"Combined-Header\":\"s\"}}",
         "200\nCombined-Header: s\nCombined-Header: m1\nCombined-Header: m2\n" TEXT "\n"},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"set-cookie\":[\"a=1\",\"b=2\"],"
         "\"content-type\":[\"text/css\"]}}",
         "200\nSet-Cookie: a=1\nSet-Cookie: b=2\nContent-Type: text/css\n\n"},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"a\":[],\"b\":[1, null ,true],\"c\":null}}",
         "200\nB: 1\nB: true\n" TEXT "\n"},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"a\":[\"1\"],\"b\":[\"2\"],\"A\":[\"3\",\"4\"]}}",
         "200\nA: 3\nA: 4\nB: 2\n" TEXT "\n"},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"Content-Length\":[\"1\",\"2\"]}}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"multiValueHeaders\":null}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"cookies\":[\"a=1\"]}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"a\":\"x\"}}",
         "(a value of multiValueHeaders is not a list)"},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"a\":[[\"x\"]]}}", BAD_KIND},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"a\":[\"x\",\"y\\n\"]}}", BAD_VALUE},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"a\\n\":[]}}", BAD_NAME},
        {"{\"statusCode\":200,\"multiValueHeaders\":[]}", "(the headers are not an object)"},
    };
    (void)state;
    CHECK_1(rows);
}

static void cookies(void **state)
{
    static const struct row rows[] = {
        {"{\"statusCode\":200,\"cookies\":[\"a=1; Secure\",\"b=2\"],\"headers\":{\"set-cookie\":\"c=3\","
         "\"x\":\"y\"}}",
         "200\nX: y\nSet-Cookie: a=1; Secure\nSet-Cookie: b=2\n" TEXT "\n"},
        {"{\"statusCode\":200,\"cookies\":[],\"headers\":{\"set-cookie\":\"c=3\"}}",
         "200\nSet-Cookie: c=3\n" TEXT "\n"},
        {"{\"statusCode\":200,\"cookies\":null}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"multiValueHeaders\":{\"a\":[\"x\\n\"]}}", "200\n" TEXT "\n"},
        {"{\"statusCode\":200,\"cookies\":\"a=1\"}", "(cookies is not a list)"},
        {"{\"statusCode\":200,\"cookies\":{}}", "(cookies is not a list)"},
        {"{\"statusCode\":200,\"cookies\":[\"a=1\",2]}", "(a cookie is not a string)"},
        {"{\"statusCode\":200,\"cookies\":[null]}", "(a cookie is not a string)"},
        {"{\"statusCode\":200,\"cookies\":[\"a=1\\r\\nX: y\"]}", BAD_VALUE},
    };
    (void)state;
    CHECK_2(rows);
}

/* A list passes however deep it is, an object is looked into and has a limit. */
static void depths(void **state)
{
    struct tg_arena arena;
    char text[TG_JSONSCAN_DEPTH_MAX * 12];
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t depth = TG_JSONSCAN_DEPTH_MAX - 1; depth <= TG_JSONSCAN_DEPTH_MAX + 1; depth++) {
        struct tg_payload_answer answer = {0};
        struct tg_slice detail = TG_EMPTY;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(
            tg_payload_read_answer(TG_PAYLOAD_2_0, &arena, tg_slice_make(text, 2 * depth), &answer, &detail),
            TG_OK);
        assert_int_equal(answer.body.len, 2 * depth);
        for (size_t i = 0; i < depth; i++) {
            memcpy(text + 5 * i, "{\"a\":", 5);
        }
        text[5 * depth] = '1';
        memset(text + 5 * depth + 1, '}', depth);
        enum tg_err err = tg_payload_read_answer(TG_PAYLOAD_2_0, &arena, tg_slice_make(text, 6 * depth + 1),
                                                 &answer, &detail);
        assert_int_equal(err, depth <= TG_JSONSCAN_DEPTH_MAX ? TG_OK : TG_ELIMIT);
        assert_int_equal(detail.len > 0, err != TG_OK);
    }
    tg_arena_reset(&arena);
}

static void zero_bytes_pass(void **state)
{
    struct tg_arena arena;
    struct tg_payload_answer answer = {0};
    struct tg_slice detail;
    (void)state;
    tg_arena_init(&arena, NULL);
    assert_int_equal(tg_payload_read_answer(TG_PAYLOAD_2_0, &arena,
                                            TG_LIT("{\"statusCode\":200,\"isBase64Encoded\":true,"
                                                   "\"body\":\"AAH/\"}"),
                                            &answer, &detail),
                     TG_OK);
    assert_int_equal(answer.body.len, 3);
    assert_memory_equal(answer.body.ptr, "\x00\x01\xFF", 3);
    assert_int_equal(
        tg_payload_read_answer(TG_PAYLOAD_2_0, &arena, TG_LIT("\"a\\u0000b\""), &answer, &detail), TG_OK);
    assert_int_equal(answer.body.len, 3);
    assert_memory_equal(answer.body.ptr, "a\0b", 3);
    assert_int_equal(
        tg_payload_read_answer(TG_PAYLOAD_2_0, &arena, tg_slice_make("1\0", 2), &answer, &detail), TG_OK);
    assert_int_equal(answer.body.len, 2);
    tg_arena_reset(&arena);
}

/* Names are put together by sorting: this takes no time that could be noticed. */
static void many_headers(void **state)
{
    enum { COUNT = 100000 };
    struct tg_arena arena;
    struct tg_buf text;
    struct tg_payload_answer answer = {0};
    struct tg_slice detail;
    (void)state;
    tg_arena_init(&arena, NULL);
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_append(&text, TG_LIT("{\"statusCode\":200,\"headers\":{\"x\":1")), TG_OK);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(tg_buf_printf(&text, ",\"a-%u\":%u", i / 2, i), TG_OK);
    }
    assert_int_equal(tg_buf_append(&text, TG_LIT("}}")), TG_OK);
    assert_int_equal(tg_payload_read_answer(TG_PAYLOAD_2_0, &arena, tg_buf_slice(&text), &answer, &detail),
                     TG_OK);
    assert_int_equal(answer.headers.count, COUNT / 2 + 2);
    assert_true(tg_slice_eq(answer.headers.items[COUNT / 2].value, TG_LIT("99999")));
    tg_buf_free(&text);
    tg_arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_answer_is_the_body_of_one),
        cmocka_unit_test(format_1_takes_nothing_but_answers),
        cmocka_unit_test(statuses),
        cmocka_unit_test(bodies),
        cmocka_unit_test(headers),
        cmocka_unit_test(many_values),
        cmocka_unit_test(cookies),
        cmocka_unit_test(depths),
        cmocka_unit_test(zero_bytes_pass),
        cmocka_unit_test(many_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
