/* Looking values up in JSON text: the grammar, paths, conversion to text, and a comparison with jansson over
 * a few thousand generated documents, whole and damaged. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "routes/jsonscan.h"
#include "server/base/crypto.h"

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

static struct tg_jsonscan_path path_of(const char *text)
{
    struct tg_jsonscan_path path;
    size_t at;
    const char *why;
    assert_int_equal(tg_jsonscan_compile(&arena, tg_slice_cstr(text), &path, &at, &why), TG_OK);
    return path;
}

static enum tg_err find(struct tg_slice text, const char *path, enum tg_jsonscan_mode mode,
                        struct tg_jsonscan_value *value)
{
    struct tg_jsonscan_path compiled = path_of(path);
    /* A copy of the exact size, so that the sanitizer sees a read past the end. */
    char *copy = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(copy);
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    enum tg_err err = tg_jsonscan_find(tg_slice_make(copy, text.len), &compiled, mode, value);
    if (err == TG_OK && value->found) {
        value->raw.ptr = text.ptr + (value->raw.ptr - copy);
    }
    free(copy);
    return err;
}

static void assert_text(const char *text, const char *path, enum tg_jsonscan_mode mode,
                        enum tg_jsonscan_form form, struct tg_slice expected)
{
    struct tg_jsonscan_value value;
    struct tg_slice out;
    assert_int_equal(find(tg_slice_cstr(text), path, mode, &value), TG_OK);
    assert_int_equal(tg_jsonscan_text(&value, form, &arena, &out), TG_OK);
    if (!tg_slice_eq(out, expected)) {
        fail_msg("%s in %s: got `%.*s`, expected `%.*s`", path, text, TG_FMT(out), TG_FMT(expected));
    }
}

#define assert_value(text, path, expected)                                                                   \
    assert_text(text, path, TG_JSONSCAN_STRICT, TG_JSONSCAN_COMPACT, TG_LIT(expected))

static void assert_missing(const char *text, const char *path)
{
    struct tg_jsonscan_value value;
    assert_int_equal(find(tg_slice_cstr(text), path, TG_JSONSCAN_STRICT, &value), TG_OK);
    assert_false(value.found);
}

static void takes_what_rfc_8259_allows(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        "[]",
        " [ ] ",
        "\t{\r\n}",
        "0",
        "-0",
        "-0.0e-00",
        "1E+9",
        "12.5",
        "\"\"",
        "true",
        "false",
        "null",
        "[1,2,[3,{\"a\":[]}]]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD834\\udd1e\"",
        "\"\xC3\xA9\xF0\x9D\x84\x9E\"",
        "{\"\":{\"\":[]}}",
        "\"\x7F\"",
        "\"\\ud800\"",
    };
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "['a']",
        "01",
        "-",
        "-a",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "0x1",
        "NaN",
        "Infinity",
        "tru",
        "True",
        "truefalse",
        "nul",
        "1 2",
        "{} {}",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12G4\"",
        "\"\t\"",
        "\"\n\"",
        "\"\xFF\"",
        "\"\xC0\x80\"",
        "\"\xED\xA0\x80\"",
        "\"\xF4\x90\x80\x80\"",
        "\"\xE2\x82\"",
        "[1 2]",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "[1}",
        "{\"a\":1]",
        "\xEF\xBB\xBF{}",
        "/**/1",
        "\v1",
        "\"\\'\"",
        "abcdefgh",
        "\"abcdefgh",
        "\"abcdefghijklmn\\",
    };
    struct tg_jsonscan_value value;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (find(tg_slice_cstr(good[i]), "", TG_JSONSCAN_STRICT, &value) != TG_OK) {
            fail_msg("refused: %s", good[i]);
        }
        assert_true(value.found);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (find(tg_slice_cstr(bad[i]), "", TG_JSONSCAN_STRICT, &value) != TG_ESYNTAX) {
            fail_msg("not refused: %s", bad[i]);
        }
    }
    assert_int_equal(find(TG_LIT("1\0"), "", TG_JSONSCAN_STRICT, &value), TG_ESYNTAX);
    assert_int_equal(find(TG_LIT("\"\0\""), "", TG_JSONSCAN_STRICT, &value), TG_ESYNTAX);
    assert_int_equal(find(TG_LIT("\"\\\0\""), "", TG_JSONSCAN_STRICT, &value), TG_ESYNTAX);
}

static void finds_members_and_items(void **state)
{
    (void)state;
    const char *text =
        "{\"service\":\"chat\", \"data\" : {\"room\":\"room1234\",\"list\":[10,[20,21],{\"a\":\"x\"},30]},"
        "\"a.b\":1,\"it's\":2,\"\":3,\"n\":null,\"t\":true,\"e\":1.50E+2,\"data2\":{\"room\":\"no\"}}";
    assert_value(text, "service", "chat");
    assert_value(text, "$.service", "chat");
    assert_value(text, ".service", "chat");
    assert_value(text, "data.room", "room1234");
    assert_value(text, "$['data'][\"room\"]", "room1234");
    assert_value(text, "['data'].room", "room1234");
    assert_value(text, "data.list[0]", "10");
    assert_value(text, "data.list[1][1]", "21");
    assert_value(text, "data.list[2].a", "x");
    assert_value(text, "data.list[3]", "30");
    assert_value(text, "data.list[1]", "[20,21]");
    assert_value(text, "['a.b']", "1");
    assert_value(text, "['it\\'s']", "2");
    assert_value(text, "[\"it's\"]", "2");
    assert_value(text, "['']", "3");
    assert_value(text, "n", "null");
    assert_value(text, "t", "true");
    assert_value(text, "e", "1.50E+2");
    assert_missing(text, "nothing");
    assert_missing(text, "data.list[4]");
    assert_missing(text, "data.list.a");
    assert_missing(text, "data[0]");
    assert_missing(text, "service.x");
    assert_missing(text, "service[0]");
    assert_missing(text, "room");
    assert_missing(text, "data.room.list");
    assert_value("[[1,2],[3,[4,5]],6]", "[1][1][0]", "4");
    assert_value("[[1,2],[3,[4,5]],6]", "[2]", "6");
    assert_missing("[[1,2],[3,[4,5]],6]", "[3]");
    assert_missing("7", "a");
    assert_missing("\"a\"", "a");
    assert_missing("[\"a\"]", "a");
    assert_value(" [1 , {\"b\" : 2 }] ", "$", "[1,{\"b\":2}]");
}

/* Wherever the text ends behind a short string, or within it, and whatever is in it. */
static void takes_short_strings(void **state)
{
    static const char *const insides[] = {"",  "a", "abcdef", "abcdefg",     "abcdefgh",      "\xc3\xa9",
                                          "'", ":", "\x7f",   "abc\xc3\xa9", "abcdef\xc3\xa9"};
    static const char *const wrong[] = {"\x01", "abcdef\n", "\xff", "abc\xc3", "\\", "\\x", "\\u00g0"};
    char text[64];
    struct tg_jsonscan_value value;
    (void)state;
    for (int blanks = 0; blanks < 12; blanks++) {
        for (size_t i = 0; i < sizeof insides / sizeof insides[0]; i++) {
            size_t len = strlen(insides[i]);
            (void)snprintf(text, sizeof text, "[\"%s\"%*s]", insides[i], blanks, "");
            assert_int_equal(find(tg_slice_cstr(text), "[0]", TG_JSONSCAN_STRICT, &value), TG_OK);
            assert_true(value.type == TG_JSON_STRING && !value.escaped);
            assert_true(tg_slice_eq(value.raw, tg_slice_make(text + 1, len + 2)));
            assert_int_equal(find(tg_slice_make(text, len + 2), "[0]", TG_JSONSCAN_STRICT, &value),
                             TG_ESYNTAX);
            assert_int_equal(find(tg_slice_make(text + 1, len + 2), "", TG_JSONSCAN_STRICT, &value), TG_OK);
        }
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            (void)snprintf(text, sizeof text, "[\"%s\"%*s]", wrong[i], blanks, "");
            assert_int_equal(find(tg_slice_cstr(text), "[0]", TG_JSONSCAN_STRICT, &value), TG_ESYNTAX);
        }
    }
}

/* An object of short strings and integers, which most messages are; and whatever is nearly one. */
static void finds_in_plain_documents(void **state)
{
    static const char text[] = "{\"action\":\"e\", \"p\": 17,\"x\":\"0123456789abcde\"}";
    static const char *const nearly[] = {
        "{\"action\":\"e\",\"p\":017}",      "{\"action\":\"e\",\"p\":1 7}", "{\"action\":\"e\",\"p\":1,}   ",
        "{\"action\":\"e\",\"p\":1}}   ",    "{\"action\":\"e\";\"p\":1}",   "{\"action\"=\"e\",\"p\":1}",
        "{\"action\":\"e\",\"p\":}     ",    "{\"action\":\"\t\",\"p\":1}",  "{\"action\":\"\xff\",\"p\":1}",
        "{\"action\":\"\\x\",\"p\":1}     ", "{\"action\":\"e\",\"p\":1]",
    };
    struct tg_jsonscan_value value;
    (void)state;
    assert_value(text, "action", "e");
    assert_value(text, "p", "17");
    assert_value(text, "x", "0123456789abcde");
    assert_missing(text, "y");
    assert_value("{\"action\":\"a\",\"action\":\"b\"}", "action", "b");
    assert_value("{\"action\":\"a\",\"action\":5}", "action", "5");
    assert_value("{\"action\":\"e\",\"p\":1.5}", "p", "1.5");
    assert_value("{\"action\":\"e\",\"p\":-1}", "p", "-1");
    assert_value("{\"action\":\"\\u0065\",\"p\":0}", "action", "e");
    assert_value("{\"\\u0061ction\":\"e\",\"p\":0}", "action", "e");
    assert_value("{\"action\":\"e\",\"p\":[0]} \n", "p", "[0]");
    assert_value("{\"action\":\"0123456789abcdef\"}", "action", "0123456789abcdef");
    for (size_t len = 0; len < sizeof text - 1; len++) {
        assert_int_equal(find(tg_slice_make(text, len), "action", TG_JSONSCAN_STRICT, &value), TG_ESYNTAX);
    }
    for (size_t i = 0; i < sizeof nearly / sizeof nearly[0]; i++) {
        assert_int_equal(find(tg_slice_cstr(nearly[i]), "action", TG_JSONSCAN_STRICT, &value), TG_ESYNTAX);
    }
}

static void counts_the_last_of_equal_names(void **state)
{
    (void)state;
    assert_value("{\"a\":1,\"a\":2}", "a", "2");
    assert_value("{\"a\":{\"b\":1},\"a\":{\"b\":2}}", "a.b", "2");
    assert_missing("{\"a\":{\"b\":1},\"a\":{}}", "a.b");
    assert_missing("{\"a\":{\"b\":1},\"a\":3}", "a.b");
    assert_value("{\"a\":3,\"a\":{\"b\":1}}", "a.b", "1");
    assert_value("{\"a\":{\"b\":1},\"c\":{\"b\":2}}", "a.b", "1");
    assert_value("{\"a\":[1,2],\"a\":[3]}", "a[0]", "3");
    assert_missing("{\"a\":[1,2],\"a\":[3]}", "a[1]");
    assert_value("{\"a\":1,\"\\u0061\":2}", "a", "2");
}

static void compares_names_after_unescaping(void **state)
{
    (void)state;
    assert_value("{\"\\u0061ction\":\"x\"}", "action", "x");
    assert_value("{\"a\\\"b\":1}", "['a\"b']", "1");
    assert_value("{\"\\ud834\\udd1e\":1}", "\xF0\x9D\x84\x9E", "1");
    assert_missing("{\"\\u0061ction\":\"x\"}", "actio");
    assert_missing("{\"\\u0061ctio\":\"x\"}", "action");
    assert_missing("{\"\\u0000\":\"x\"}", "['']");
}

static void converts_values_to_text(void **state)
{
    (void)state;
    assert_text("\"a\\u0000b\"", "", TG_JSONSCAN_STRICT, TG_JSONSCAN_COMPACT, TG_LIT("a\0b"));
    assert_value("\"\\b\\f\\n\\r\\t\\/\\\\\\\"\"", "", "\b\f\n\r\t/\\\"");
    assert_value("\"\\u00e9\\u20AC\\uD834\\uDD1E\"", "", "\xC3\xA9\xE2\x82\xAC\xF0\x9D\x84\x9E");
    assert_value("\"\\uD834\"", "", "\xEF\xBF\xBD");
    assert_value("\"\\uDD1E\\uD834x\"", "", "\xEF\xBF\xBD\xEF\xBF\xBDx");
    assert_value("\"\\uD834\\uD834\\uDD1E\"", "", "\xEF\xBF\xBD\xF0\x9D\x84\x9E");
    assert_value("\"\\uD834\\u0041\"", "",
                 "\xEF\xBF\xBD"
                 "A");
    assert_value("-0.10e+05", "", "-0.10e+05");
    assert_value("{ \"a b\" : [ 1 , \"x , y\\\" \" ] }", "", "{\"a b\":[1,\"x , y\\\" \"]}");
    struct tg_jsonscan_value missing = {0};
    struct tg_slice out;
    assert_int_equal(tg_jsonscan_text(&missing, TG_JSONSCAN_COMPACT, &arena, &out), TG_OK);
    assert_int_equal(out.len, 0);
}

static void prints_lists_as_selection_results(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"[\"item1\",\"item2\"]", "[item1, item2]"},
        {"[]", "[]"},
        {"[1 ,[\"a\\n\",null ] ]", "[1, [a\n, null]]"},
        {"[{\"k\":[\"v\",2]},\"w\"]", "[{\"k\":[\"v\",2]}, w]"},
        {"{\"k\":[\"v\", 2]}", "{\"k\":[\"v\",2]}"},
        {"[\"a,b\",\"{\"]", "[a,b, {]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_text(rows[i][0], "", TG_JSONSCAN_STRICT, TG_JSONSCAN_SELECTION, tg_slice_cstr(rows[i][1]));
    }
}

static void allocates_nothing_for_plain_values(void **state)
{
    (void)state;
    struct tg_slice body = TG_LIT("{\"action\":\"join\",\"n\":12}"), out;
    struct tg_jsonscan_path path = path_of("action");
    struct tg_jsonscan_value value;
    assert_int_equal(tg_jsonscan_find(body, &path, TG_JSONSCAN_STRICT, &value), TG_OK);
    assert_int_equal(tg_jsonscan_text(&value, TG_JSONSCAN_SELECTION, NULL, &out), TG_OK);
    assert_ptr_equal(out.ptr, body.ptr + 11);
    assert_int_equal(out.len, 4);
}

static void reads_leniently_when_told(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"{\"action\":\"sendMessage\", body:\"hello\"}", "action", "sendMessage"},
        {"{\"action\":\"sendMessage\", body:\"hello\"}", "body", "hello"},
        {"{action:'it\\'s \"x\"'}", "action", "it's \"x\""},
        {"{'action':'a'}", "action", "a"},
        {"{$a_1-b : [1,'x, y']}", "$a_1-b", "[1,'x, y']"},
        {"{a:{b:1},a:{b:2}}", "a.b", "2"},
    };
    static const char *const bad[] = {
        "",        "hello",  "{a}",    "{1a:2}", "{-a:2}", "{a:b}",
        "{a b:1}", "{a:1,}", "{'a:1}", "['a\"]", "{:1}",   "//\n{}",
    };
    struct tg_jsonscan_value value;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(find(tg_slice_cstr(rows[i][0]), "", TG_JSONSCAN_STRICT, &value), TG_ESYNTAX);
        assert_text(rows[i][0], rows[i][1], TG_JSONSCAN_LENIENT, TG_JSONSCAN_COMPACT,
                    tg_slice_cstr(rows[i][2]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (find(tg_slice_cstr(bad[i]), "", TG_JSONSCAN_LENIENT, &value) != TG_ESYNTAX) {
            fail_msg("not refused: %s", bad[i]);
        }
    }
}

/* The beginning of a longer text: what is found, NULL for nothing. */
static void reads_what_was_cut(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"{\"a\":1,\"b\":2}", "a", "1"},
        {"{\"a\":1,\"b\":2}", "c", ""},
        {"{\"a\":12,", "a", "12"},
        {"{\"a\":12", "a", NULL},
        {"{\"a\":\"x\",\"b\":\"yyy", "a", "x"},
        {"{\"a\":\"x\",\"b\":\"yyy", "b", NULL},
        {"{\"a\":\"x", "a", NULL},
        {"{\"a\":[1, 2],\"b", "a", "[1,2]"},
        {"{\"a\":[1, 2", "a", NULL},
        {"{\"a\":[1, 2", "a[0]", "1"},
        {"{\"a\":[1, 2", "a[1]", NULL},
        {"{\"a\":1,\"a\":", "a", NULL},
        {"{\"a\":{\"b\":true}}", "a.b", "true"},
        {"{\"a\":{\"b\":true}", "a.b", "true"},
        {"{\"a\":", "", NULL},
        {"", "a", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_jsonscan_value value;
        if (rows[i][2] != NULL) {
            assert_text(rows[i][0], rows[i][1], TG_JSONSCAN_CUT, TG_JSONSCAN_COMPACT,
                        tg_slice_cstr(rows[i][2]));
        } else {
            assert_int_equal(find(tg_slice_cstr(rows[i][0]), rows[i][1], TG_JSONSCAN_CUT, &value),
                             TG_ESYNTAX);
        }
    }
}

static void limits_the_depth(void **state)
{
    (void)state;
    char text[2 * TG_JSONSCAN_DEPTH_MAX + 2];
    struct tg_jsonscan_value value;
    for (size_t depth = TG_JSONSCAN_DEPTH_MAX; depth <= TG_JSONSCAN_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        enum tg_err expected = depth <= TG_JSONSCAN_DEPTH_MAX ? TG_OK : TG_ELIMIT;
        assert_int_equal(find(tg_slice_make(text, 2 * depth), "a", TG_JSONSCAN_STRICT, &value), expected);
        assert_int_equal(find(tg_slice_make(text, 2 * depth), "a", TG_JSONSCAN_LENIENT, &value), expected);
    }
    char *deep = malloc(100000);
    assert_non_null(deep);
    memset(deep, '[', 100000);
    assert_int_equal(find(tg_slice_make(deep, 100000), "a", TG_JSONSCAN_LENIENT, &value), TG_ELIMIT);
    free(deep);
}

static void refuses_malformed_paths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
    } rows[] = {
        {"a.", 2},    {"a..b", 2},    {"..a", 1},
        {"$.", 2},    {"a[", 2},      {"a[]", 2},
        {"a[x]", 2},  {"a[-1]", 2},   {"a[0", 3},
        {"a['b'", 5}, {"a['b]", 5},   {"a]", 1},
        {"a\"b", 1},  {"[0]a", 3},    {"a[*].b", 2},
        {"a.*", 2},   {"a['b'x]", 5}, {"a[99999999999999999999]", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_jsonscan_path path = {NULL, 77};
        size_t at = SIZE_MAX;
        const char *why = NULL;
        enum tg_err err = tg_jsonscan_compile(&arena, tg_slice_cstr(rows[i].text), &path, &at, &why);
        if (err != TG_ESYNTAX || at != rows[i].at || why == NULL || path.count != 77) {
            fail_msg("%s: %s at %zu", rows[i].text, tg_err_text(err), at);
        }
    }
    char many[4 * TG_JSONSCAN_DEPTH_MAX];
    for (size_t i = 0; i < sizeof many; i += 2) {
        memcpy(many + i, ".a", 2);
    }
    struct tg_jsonscan_path path;
    size_t at;
    const char *why;
    assert_int_equal(tg_jsonscan_compile(&arena, tg_slice_make(many, sizeof many), &path, &at, &why),
                     TG_ELIMIT);
    assert_int_equal(
        tg_jsonscan_compile(&arena, tg_slice_make(many, (size_t)2 * TG_JSONSCAN_DEPTH_MAX), &path, &at, &why),
        TG_OK);
    assert_int_equal(path.count, TG_JSONSCAN_DEPTH_MAX);
}

/* The comparison with jansson. */

static size_t below(struct tg_rng *rng, size_t limit)
{
    return (size_t)(tg_rng_next(rng) % limit);
}

static void put(struct tg_buf *out, const char *text)
{
    assert_int_equal(tg_buf_append(out, tg_slice_cstr(text)), TG_OK);
}

static const char *pick(struct tg_rng *rng, const char *const *items, size_t count)
{
    return items[below(rng, count)];
}

static void put_blank(struct tg_rng *rng, struct tg_buf *out)
{
    static const char *const blanks[] = {"", "", "", "", " ", "\n", "\t \r"};
    put(out, pick(rng, blanks, sizeof blanks / sizeof *blanks));
}

static void put_string(struct tg_rng *rng, struct tg_buf *out)
{
    static const char *const pieces[] = {"a",       "b",        "long plain text of a message",
                                         "\\u0061", "\\n",      "\\\"",
                                         "\\\\",    "\xC3\xA9", "\\ud834\\udd1e",
                                         "\\u0000", "{",        "]",
                                         ",",       " ",        "'"};
    put(out, "\"");
    for (size_t i = below(rng, 4); i > 0; i--) {
        put(out, pick(rng, pieces, sizeof pieces / sizeof *pieces));
    }
    put(out, "\"");
}

static void put_value(struct tg_rng *rng, struct tg_buf *out, size_t depth);

static void put_container(struct tg_rng *rng, struct tg_buf *out, size_t depth, bool object)
{
    static const char *const names[] = {"\"a\"", "\"b\"",      "\"\\u0061\"",
                                        "\"\"",  "\"c\\\"d\"", "\"\xC3\xA9\""};
    put(out, object ? "{" : "[");
    for (size_t i = below(rng, 4); i > 0; i--) {
        put_blank(rng, out);
        if (object) {
            put(out, pick(rng, names, sizeof names / sizeof *names));
            put_blank(rng, out);
            put(out, ":");
        }
        put_value(rng, out, depth + 1);
        put(out, i > 1 ? "," : "");
    }
    put_blank(rng, out);
    put(out, object ? "}" : "]");
}

static void put_value(struct tg_rng *rng, struct tg_buf *out, size_t depth)
{
    static const char *const scalars[] = {"true", "false", "null", "0",        "-1",
                                          "12.5", "1e3",   "-0.0", "123456789"};
    put_blank(rng, out);
    size_t kind = below(rng, 10);
    if (kind < 5 && depth < 7) {
        put_container(rng, out, depth, kind < 3);
    } else if (kind < 8) {
        put_string(rng, out);
    } else {
        put(out, pick(rng, scalars, sizeof scalars / sizeof *scalars));
    }
    put_blank(rng, out);
}

static void damage(struct tg_rng *rng, struct tg_buf *text)
{
    /* No NUL among them: jansson loses one that follows a number, and so takes "1\0" for 1. */
    static const char bytes[] = "{}[]:,\"\\'0123456789.-+eEtrufalsn \n\x01\x80\xC3\xED\xFF";
    for (size_t i = below(rng, 3); i > 0 && tg_buf_size(text) > 1; i--) {
        size_t at = text->off + below(rng, tg_buf_size(text));
        if (below(rng, 2) == 0) {
            text->data[at] = bytes[below(rng, sizeof bytes - 1)];
        } else {
            memmove(text->data + at, text->data + at + 1, text->len - at - 1);
            text->len--;
        }
    }
}

/* What jansson refuses although RFC 8259 allows it. */
static bool is_limit_of_jansson(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    return code == json_error_null_byte_in_key || code == json_error_numeric_overflow ||
           strstr(error->text, "invalid Unicode") != NULL;
}

static void assert_same(const json_t *expected, const struct tg_jsonscan_value *value)
{
    struct tg_slice text;
    assert_true(value->found == (expected != NULL));
    assert_int_equal(tg_jsonscan_text(value, TG_JSONSCAN_COMPACT, &arena, &text), TG_OK);
    if (json_is_string(expected)) {
        struct tg_slice plain = {json_string_value(expected), json_string_length(expected)};
        assert_int_equal(value->type, TG_JSON_STRING);
        assert_true(tg_slice_eq(text, plain));
    } else if (expected != NULL) {
        json_t *again = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(again);
        assert_true(json_equal(expected, again));
        json_decref(again);
        assert_true((value->type == TG_JSON_OBJECT) == json_is_object(expected));
        assert_true((value->type == TG_JSON_ARRAY) == json_is_array(expected));
        assert_true((value->type == TG_JSON_INTEGER) == json_is_integer(expected));
        assert_true((value->type == TG_JSON_REAL) == json_is_real(expected));
        assert_true((value->type == TG_JSON_BOOL) == json_is_boolean(expected));
    }
}

/* A member's name: mostly one that the object has. */
static struct tg_slice pick_name(struct tg_rng *rng, json_t *object)
{
    static const char *const names[] = {"a", "b", "", "c\"d", "\xC3\xA9", "x"};
    size_t size = json_object_size(object);
    if (size == 0 || below(rng, 4) == 0) {
        return tg_slice_cstr(pick(rng, names, sizeof names / sizeof *names));
    }
    void *at = json_object_iter(object);
    for (size_t i = below(rng, size); i > 0; i--) {
        at = json_object_iter_next(object, at);
    }
    return tg_slice_make(json_object_iter_key(at), json_object_iter_key_len(at));
}

/* A path of a few steps; *expected follows it through jansson's tree. */
static void make_path(struct tg_rng *rng, struct tg_jsonscan_step *steps, struct tg_jsonscan_path *path,
                      json_t **expected)
{
    *path = (struct tg_jsonscan_path){steps, below(rng, 5)};
    for (size_t i = 0; i < path->count; i++) {
        steps[i] = (struct tg_jsonscan_step){TG_EMPTY, 0};
        if (json_is_array(*expected)) {
            steps[i].index = below(rng, json_array_size(*expected) + 1);
            *expected = json_array_get(*expected, steps[i].index);
        } else {
            steps[i].name = pick_name(rng, *expected);
            *expected = json_object_getn(*expected, steps[i].name.ptr, steps[i].name.len);
        }
    }
}

static void agrees_with_jansson(void **state)
{
    (void)state;
    struct tg_rng rng;
    struct tg_buf text;
    size_t good = 0, bad = 0, found = 0;
    tg_rng_seed(&rng, 20260102);
    tg_buf_init(&text, SIZE_MAX);
    for (int round = 0; round < 20000; round++) {
        tg_buf_clear(&text);
        put_value(&rng, &text, 0);
        if (round % 2 == 1) {
            damage(&rng, &text);
        }
        json_error_t error;
        struct tg_slice slice = tg_buf_slice(&text);
        json_t *tree = json_loadb(slice.ptr, slice.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        json_t *expected = tree;
        struct tg_jsonscan_step steps[5];
        struct tg_jsonscan_path path;
        struct tg_jsonscan_value value = {0};
        make_path(&rng, steps, &path, &expected);
        enum tg_err err = tg_jsonscan_find(slice, &path, TG_JSONSCAN_STRICT, &value);
        if (tree != NULL ? err != TG_OK : err != TG_ESYNTAX && !is_limit_of_jansson(&error)) {
            fail_msg("%s, jansson: %s: %.*s", tg_err_text(err), tree != NULL ? "ok" : error.text,
                     TG_FMT(slice));
        }
        if (tree != NULL) {
            assert_same(expected, &value);
            found += value.found && path.count > 0;
        }
        good += tree != NULL;
        bad += tree == NULL;
        json_decref(tree);
        tg_arena_reset(&arena);
    }
    tg_buf_free(&text);
    /* The comparison must have had something to compare. */
    assert_true(good > 10000 && bad > 1000 && found > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(takes_what_rfc_8259_allows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_members_and_items, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_in_plain_documents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_short_strings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counts_the_last_of_equal_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compares_names_after_unescaping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(converts_values_to_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(prints_lists_as_selection_results, set_up, tear_down),
        cmocka_unit_test_setup_teardown(allocates_nothing_for_plain_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_leniently_when_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_what_was_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_the_depth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_malformed_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(agrees_with_jansson, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
