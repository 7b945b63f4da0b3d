/* The body of a batch call: what is read from it, and what callers are told of one that is wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "routes/batchbody.h"
#include "server/base/buf.h"
#include "server/base/codec.h"

static struct tg_arena arena;
static struct tg_batch_body body;
static struct tg_slice why;
static struct tg_batch_limits limits;

static int set_up(void **state)
{
    (void)state;
    tg_arena_init(&arena, NULL);
    limits = (struct tg_batch_limits){.connections = 3, .payload = 8};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tg_arena_reset(&arena);
    return 0;
}

static enum tg_err read_text(struct tg_slice text)
{
    body = (struct tg_batch_body){0};
    why = TG_EMPTY;
    return tg_batch_body_read(&arena, text, &limits, &body, &why);
}

static void assert_is(struct tg_slice given, const char *expected)
{
    if (!tg_slice_eq(given, tg_slice_cstr(expected))) {
        fail_msg("`%.*s`, expected `%s`", TG_FMT(given), expected);
    }
}

/* ids: parted by blanks. */
static void assert_reads(const char *text, const char *ids, const char *payload, bool is_base64)
{
    struct tg_slice rest = tg_slice_cstr(ids);
    enum tg_err err = read_text(tg_slice_cstr(text));
    if (err != TG_OK) {
        fail_msg("%s: %s %.*s", text, tg_err_text(err), TG_FMT(why));
    }
    for (size_t i = 0; i < body.count; i++) {
        struct tg_slice id = tg_slice_cut(rest, ' ', &rest);
        assert_true(tg_slice_eq(body.ids[i], id));
    }
    assert_null(rest.ptr);
    assert_is(body.payload, payload);
    assert_int_equal(body.is_base64, is_base64);
}

static void bodies_are_read(void **state)
{
    (void)state;
    assert_reads("{\"connectionIds\":[\"a\"],\"data\":\"x\"}", "a", "x", false);
    assert_reads(" {\"data\" : \"\", \"connectionIds\" : [ \"c\" , \"b\",\"c\" ] }\n", "c b c", "", false);
    assert_reads("{\"connectionIds\":[\"a\"],\"data\":\"eHk=\",\"isBase64Encoded\":true}", "a", "xy", true);
    assert_reads("{\"connectionIds\":[\"a\"],\"data\":\"eHk\",\"isBase64Encoded\":true}", "a", "xy", true);
    assert_reads("{\"connectionIds\":[\"a\"],\"data\":\"/\\/8=\",\"isBase64Encoded\":true}", "a", "\xff\xff",
                 true);
    assert_reads("{\"connectionIds\":[\"a\"],\"data\":\"eHk=\",\"isBase64Encoded\":false}", "a",
                 "eHk=", false);
    assert_reads("{\"connectionIds\":[\"\\u0061\\u003d\"],\"data\":\"\\u00e4\\n\\ud800\"}",
                 "a=", "\xc3\xa4\n\xef\xbf\xbd", false);
    assert_reads("{\"connectionI\\u0064s\":[\"\"],\"d\\u0061ta\":\"\"}", "", "", false);
    assert_reads("{\"data\":1,\"connectionIds\":{},\"data\":\"x\",\"connectionIds\":[\"a\"]}", "a", "x",
                 false);
}

static void mistakes_are_named(void **state)
{
    static const char shape[] =
        "The body is not a JSON object: send {\"connectionIds\": [\"ID\", ...], \"data\": \"TEXT\"}";
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", shape},
        {"x", shape},
        {"[]", shape},
        {"\"data\"", shape},
        {"{\"connectionIds\":[\"a\"],\"data\":\"x\"", shape},
        {"{\"connectionIds\":[\"a\",],\"data\":\"x\"}", shape},
        {"{\"connectionIds\":[\"a\"],\"data\":\"\xff\"}", shape},
        {"{\"connectionIds\":[\"a\"],\"data\":\"x\"}{}", shape},
        {"{'connectionIds':['a'],'data':'x'}", shape},
        {"{\"connectionIds\":[\"a\"],\"data\":\"x\",\"Data\":1}",
         "Unknown member \"Data\": the body has connectionIds, data and isBase64Encoded, leave out any "
         "other"},
        {"{\"\":{\"data\":[]}}",
         "Unknown member \"\": the body has connectionIds, data and isBase64Encoded, leave out any other"},
        {"{\"data\":\"x\"}", "connectionIds is missing: give an array of connection ids"},
        {"{\"connectionIds\":\"a\",\"data\":\"x\"}",
         "connectionIds is not an array: give an array of connection ids"},
        {"{\"connectionIds\":{\"a\":\"a\"},\"data\":\"x\"}",
         "connectionIds is not an array: give an array of connection ids"},
        {"{\"connectionIds\":null,\"data\":\"x\"}",
         "connectionIds is not an array: give an array of connection ids"},
        {"{\"connectionIds\":[ ],\"data\":\"x\"}", "connectionIds is empty: name at least one connection"},
        {"{\"connectionIds\":[1,2,3,4],\"data\":\"x\"}",
         "connectionIds names 4 connections, and management.batchMaxConnections allows 3: make several "
         "calls"},
        {"{\"connectionIds\":[\"a\",null,1],\"data\":\"x\"}",
         "connectionIds[1] is not a string: write a connection's id in quotes"},
        {"{\"connectionIds\":[\"a\",\"b\",[\"c\"]],\"data\":\"x\"}",
         "connectionIds[2] is not a string: write a connection's id in quotes"},
        {"{\"connectionIds\":[\"a\"]}", "data is missing: give the message as a string, or its base64"},
        {"{\"connectionIds\":[\"a\"],\"data\":{}}",
         "data is not a string: give the message as a string, or its base64"},
        {"{\"connectionIds\":[\"a\"],\"data\":\"x\",\"isBase64Encoded\":\"true\"}",
         "isBase64Encoded is neither true nor false: leave it out where data is text"},
        {"{\"connectionIds\":[\"a\"],\"data\":\"x\",\"isBase64Encoded\":null}",
         "isBase64Encoded is neither true nor false: leave it out where data is text"},
        {"{\"connectionIds\":[\"a\"],\"data\":\"e Hk\",\"isBase64Encoded\":true}",
         "data is not base64: encode it by RFC 4648 section 4, without blanks, or leave out "
         "isBase64Encoded"},
        {"{\"connectionIds\":[\"a\"],\"data\":\"-_-_\",\"isBase64Encoded\":true}",
         "data is not base64: encode it by RFC 4648 section 4, without blanks, or leave out "
         "isBase64Encoded"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (read_text(tg_slice_cstr(rows[i].text)) != TG_ESYNTAX) {
            fail_msg("%s is read", rows[i].text);
        }
        assert_is(why, rows[i].why);
        assert_int_equal(body.count, 0);
    }
}

static void long_names_are_cut(void **state)
{
    struct tg_buf text;
    (void)state;
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_printf(&text, "{\"%0500d\":1}", 0), TG_OK);
    assert_int_equal(read_text(tg_buf_slice(&text)), TG_ESYNTAX);
    assert_true(why.len < 200);
    assert_true(tg_slice_ends(why, TG_LIT("leave out any other")));
    tg_buf_free(&text);
}

static void what_nests_without_end_is_refused(void **state)
{
    struct tg_buf text;
    (void)state;
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_append(&text, TG_LIT("{\"connectionIds\":")), TG_OK);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(tg_buf_append_char(&text, '['), TG_OK);
    }
    assert_int_equal(read_text(tg_buf_slice(&text)), TG_ESYNTAX);
    tg_buf_free(&text);
}

static void payloads_have_a_limit(void **state)
{
    (void)state;
    assert_reads("{\"connectionIds\":[\"a\"],\"data\":\"12345678\"}", "a", "12345678", false);
    assert_reads("{\"connectionIds\":[\"a\"],\"data\":\"\\u00e4\\u00e4\\u00e4\\u00e4\"}", "a",
                 "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", false);
    assert_reads("{\"connectionIds\":[\"a\"],\"data\":\"MTIzNDU2Nzg=\",\"isBase64Encoded\":true}", "a",
                 "12345678", true);
    static const char *const rows[] = {
        "{\"connectionIds\":[\"a\"],\"data\":\"123456789\"}",
        "{\"connectionIds\":[\"a\"],\"data\":\"MTIzNDU2Nzg5\",\"isBase64Encoded\":true}",
        "{\"connectionIds\":[\"a\"],\"data\":\"MTIzNDU2Nzg5MA==\",\"isBase64Encoded\":true}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(read_text(tg_slice_cstr(rows[i])), TG_ELIMIT);
        assert_int_equal(why.len, 0);
    }
}

/* The bound holds for the longest way to write a call that is within the limits. */
static void the_longest_body_is_within_the_bound(void **state)
{
    enum { IDS = 1000, PAYLOAD = 131072 };
    struct tg_buf text;
    (void)state;
    limits = (struct tg_batch_limits){.connections = IDS, .payload = PAYLOAD};
    tg_buf_init(&text, tg_batch_body_max(&limits));
    assert_int_equal(tg_buf_append(&text, TG_LIT("{\n        \"connectionIds\": [\n")), TG_OK);
    for (size_t i = 0; i < IDS; i++) {
        assert_int_equal(
            tg_buf_printf(&text, "%s            \"L0SM9cOFAAAAAAAAAA\\u003d\\u003d\"", i > 0 ? ",\n" : ""),
            TG_OK);
    }
    assert_int_equal(
        tg_buf_append(&text,
                      TG_LIT("\n        ],\n        \"isBase64Encoded\": true,\n        \"data\": \"")),
        TG_OK);
    for (size_t i = 0; i < TG_BASE64_LEN(PAYLOAD) - 1; i++) {
        assert_int_equal(tg_buf_append(&text, TG_LIT("\\u0041")), TG_OK);
    }
    assert_int_equal(tg_buf_append(&text, TG_LIT("\\u003d\"\n}\n")), TG_OK);
    assert_int_equal(read_text(tg_buf_slice(&text)), TG_OK);
    assert_int_equal(body.count, IDS);
    assert_is(body.ids[IDS - 1], "L0SM9cOFAAAAAAAAAA==");
    assert_int_equal(body.payload.len, PAYLOAD);
    tg_buf_free(&text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bodies_are_read),       TEST(mistakes_are_named),
        TEST(long_names_are_cut),    TEST(what_nests_without_end_is_refused),
        TEST(payloads_have_a_limit), TEST(the_longest_body_is_within_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
