#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/doc.h"

struct fixture {
    struct tg_arena arena;
    struct tg_doc_options options;
    const struct tg_doc_node *root;
    struct tg_doc_error error;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    tg_arena_init(&f->arena, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tg_arena_reset(&f->arena);
    free(f);
    return 0;
}

static bool lookup(void *arg, struct tg_slice name, struct tg_slice *value)
{
    (void)arg;
    if (tg_slice_eq(name, TG_LIT("PORT"))) {
        *value = TG_LIT("8080");
    } else if (tg_slice_eq(name, TG_LIT("TREE"))) {
        *value = TG_LIT("{a: [1, 2]}");
    } else if (tg_slice_eq(name, TG_LIT("EMPTY"))) {
        *value = TG_EMPTY;
    } else {
        return false;
    }
    return true;
}

static enum tg_err parse_slice(struct fixture *f, struct tg_slice text)
{
    f->root = NULL;
    return tg_doc_parse(&f->arena, "test.yaml", text, &f->options, &f->root, &f->error);
}

static enum tg_err parse(struct fixture *f, const char *text)
{
    return parse_slice(f, tg_slice_cstr(text));
}

static void assert_text(struct tg_slice got, const char *expected)
{
    if (!tg_slice_eq(got, tg_slice_cstr(expected))) {
        fail_msg("got \"%.*s\", expected \"%s\"", TG_FMT(got), expected);
    }
}

static void assert_error(struct fixture *f, const char *text, enum tg_err err, size_t line, const char *part)
{
    assert_int_equal(parse(f, text), err);
    if (strstr(f->error.text, part) == NULL || f->error.line != line) {
        fail_msg("got %zu: %s, expected %zu: ...%s...", f->error.line, f->error.text, line, part);
    }
}

static void assert_json(const struct tg_doc_node *node, const char *expected)
{
    struct tg_buf out;
    tg_buf_init(&out, SIZE_MAX);
    assert_int_equal(tg_doc_json(node, &out), TG_OK);
    assert_text(tg_buf_slice(&out), expected);
    tg_buf_free(&out);
}

static void assert_path(const struct tg_doc_node *node, const char *expected)
{
    struct tg_buf out;
    tg_buf_init(&out, SIZE_MAX);
    assert_int_equal(tg_doc_path(node, &out), TG_OK);
    assert_text(tg_buf_slice(&out), expected);
    tg_buf_free(&out);
}

static const struct tg_doc_node *get(const struct tg_doc_node *node, const char *key)
{
    return tg_doc_get(node, tg_slice_cstr(key));
}

static void test_scalars_follow_the_core_schema(void **state)
{
    static const struct {
        const char *text;
        enum tg_doc_type type;
    } rows[] = {{"", TG_DOC_NULL},           {"~", TG_DOC_NULL},           {"null", TG_DOC_NULL},
                {"nULL", TG_DOC_STRING},     {"true", TG_DOC_BOOL},        {"False", TG_DOC_BOOL},
                {"yes", TG_DOC_STRING},      {"on", TG_DOC_STRING},        {"no", TG_DOC_STRING},
                {"0", TG_DOC_INT},           {"-17", TG_DOC_INT},          {"+17", TG_DOC_INT},
                {"0x1F", TG_DOC_INT},        {"0o17", TG_DOC_INT},         {"0o18", TG_DOC_STRING},
                {"1_000", TG_DOC_STRING},    {"1:30", TG_DOC_STRING},      {"1.5", TG_DOC_FLOAT},
                {".5", TG_DOC_FLOAT},        {"5.", TG_DOC_FLOAT},         {"1e3", TG_DOC_FLOAT},
                {"1e", TG_DOC_STRING},       {".", TG_DOC_STRING},         {"+", TG_DOC_STRING},
                {".inf", TG_DOC_FLOAT},      {"-.INF", TG_DOC_FLOAT},      {".NaN", TG_DOC_FLOAT},
                {"nan", TG_DOC_STRING},      {"inf", TG_DOC_STRING},       {"'5'", TG_DOC_STRING},
                {"\"true\"", TG_DOC_STRING}, {"!!str 5", TG_DOC_STRING},   {"! 5", TG_DOC_STRING},
                {"0x", TG_DOC_STRING},       {"2026-01-02", TG_DOC_STRING}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse(f, rows[i].text), TG_OK);
        if (f->root->type != rows[i].type) {
            fail_msg("%s is %s", rows[i].text, tg_doc_type_text(f->root->type));
        }
    }
}

static void test_numbers_have_their_value_and_their_text(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "[007, -9223372036854775807, 0x7fffffffffffffff, 9223372036854775808, 2.5]"),
                     TG_OK);
    assert_int_equal(f->root->count, 5);
    assert_int_equal(f->root->members[0].value->integer, 7);
    assert_text(f->root->members[0].value->text, "007");
    assert_true(f->root->members[1].value->integer == -INT64_MAX);
    assert_true(f->root->members[2].value->integer == INT64_MAX);
    assert_int_equal(f->root->members[3].value->type, TG_DOC_FLOAT);
    assert_true(f->root->members[3].value->real > 9.2e18);
    assert_true(f->root->members[4].value->real == 2.5);
}

static void test_nodes_know_their_place(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "apis:\n  - apiId: one\n  - apiId: two\n    a.b:\n      - x\n      - [y, z]\n"),
                     TG_OK);
    const struct tg_doc_node *api = get(f->root, "apis")->members[1].value;
    const struct tg_doc_member *member = tg_doc_member(api, TG_LIT("a.b"));
    assert_non_null(member);
    assert_int_equal(member->line, 4);
    assert_int_equal(member->column, 5);
    const struct tg_doc_node *z = member->value->members[1].value->members[1].value;
    assert_int_equal(z->line, 6);
    assert_int_equal(z->column, 13);
    assert_path(z, "apis[1][\"a.b\"][1][1]");
    assert_path(get(api, "apiId"), "apis[1].apiId");
    assert_path(f->root, "");
    assert_null(get(api, "absent"));
    assert_null(get(NULL, "absent"));
}

static void test_json_files_load_with_tabs(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        parse(f, "{\n\t\"a\":1,\n\t\t\"b\": [true,null, \"\\u00e9\\/\"],\n\t\"c\":\n\t{\"d\":\t-1.5e2}\n}\n"),
        TG_OK);
    assert_json(f->root, "{\"a\":1,\"b\":[true,null,\"\xc3\xa9/\"],\"c\":{\"d\":-150}}");
}

static void test_json_text_of_a_tree(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "{a: .inf, b: 0.1, c: \"q\\\"\\n\", d: {}, e: [], f: ~, 'g h': 0x10}"), TG_OK);
    assert_json(f->root,
                "{\"a\":\".inf\",\"b\":0.1,\"c\":\"q\\\"\\n\",\"d\":{},\"e\":[],\"f\":null,\"g h\":16}");
}

static void test_empty_text_is_null(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "# nothing\n"), TG_OK);
    assert_int_equal(f->root->type, TG_DOC_NULL);
    assert_int_equal(parse_slice(f, TG_EMPTY), TG_OK);
    assert_int_equal(f->root->type, TG_DOC_NULL);
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    assert_error(f, "a: 1\n---\nb: 2\n", TG_ESYNTAX, 2, "second document");
    assert_error(f, "a: 1\nb: 2\na: 3\n", TG_ESYNTAX, 3, "duplicate key \"a\", first on line 1");
    assert_error(f, "{? [a]: 1}", TG_ESYNTAX, 1, "a key must be text");
    assert_error(f, "a: 1\nb: !secret x\n", TG_ESYNTAX, 2, "!secret");
    assert_error(f, "a: !!int x\n", TG_ESYNTAX, 1, "not supported here");
    assert_error(f, "a: \"x\\0y\"\n", TG_ESYNTAX, 1, "NUL");
    assert_error(f, "a: [1\nb: 2\n", TG_ESYNTAX, 2, "did not find");
    assert_error(f, "a:\n\tb: 1\n", TG_ESYNTAX, 2, "cannot start any token");
    assert_error(f, "a: 1\nb: \xff\n", TG_ESYNTAX, 2, "UTF-8");
    assert_error(f, "a: \xc0\xaf\n", TG_ESYNTAX, 1, "UTF-8");
    assert_error(f, "a: \xed\xa0\x80\n", TG_ESYNTAX, 1, "");
}

static void test_aliases(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "a: &x {k: [1, 2]}\nb: *x\nc: &y 5\nd: *y\n"), TG_OK);
    assert_ptr_equal(get(f->root, "a"), get(f->root, "b"));
    assert_path(get(f->root, "b"), "a");
    assert_int_equal(get(f->root, "d")->integer, 5);
    assert_error(f, "a: *x\n", TG_ESYNTAX, 1, "\"x\" is not defined");
    assert_error(f, "a: &x [1, *x]\n", TG_ESYNTAX, 1, "contains itself");
    assert_error(f, "a: &x k\n*x : 1\n", TG_ESYNTAX, 2, "an alias cannot be a key");
    assert_int_equal(parse(f, "[&x 1, &x 2, *x]"), TG_OK);
    assert_int_equal(f->root->members[2].value->integer, 2);
}

static void test_expansion_is_bounded(void **state)
{
    struct fixture *f = *state;
    assert_error(f,
                 "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
                 "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                 "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                 "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                 "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
                 TG_ELIMIT, 5, "aliases counted");
    f->options.max_nodes = 4;
    assert_int_equal(parse(f, "[1, 2, 3]"), TG_OK);
    assert_error(f, "[1, 2, 3, 4]", TG_ELIMIT, 1, "more than 4 values");
    assert_error(f, "[&a [1], *a]", TG_ELIMIT, 1, "more than 4 values");
}

/* So many values as a large file has are not too many; so many as its aliases stand for are. */
static void test_many_values(void **state)
{
    enum { COUNT = 120000 };
    struct fixture *f = *state;
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_append(&text, TG_LIT("a: &a [1234")), TG_OK);
    for (int i = 1; i < COUNT; i++) {
        assert_int_equal(tg_buf_append(&text, TG_LIT(",1234")), TG_OK);
    }
    assert_int_equal(tg_buf_append(&text, TG_LIT("]\n\0")), TG_OK);
    assert_int_equal(parse(f, tg_buf_slice(&text).ptr), TG_OK);
    assert_int_equal(get(f->root, "a")->count, COUNT);
    text.len--;
    assert_int_equal(tg_buf_append(&text, TG_LIT("b: *a\n\0")), TG_OK);
    assert_error(f, tg_buf_slice(&text).ptr, TG_ELIMIT, 2, "more than 150003 values, aliases counted");
    tg_buf_free(&text);
}

static void test_depth_is_bounded_through_aliases(void **state)
{
    struct fixture *f = *state;
    f->options.max_depth = 3;
    assert_int_equal(parse(f, "[[[1]]]"), TG_OK);
    assert_error(f, "[[[[1]]]]", TG_ELIMIT, 1, "deeper than 3");
    assert_error(f, "[&a [[1]], [*a]]", TG_ELIMIT, 1, "deeper than 3");
    assert_int_equal(parse(f, "[&a [[1]], *a]"), TG_OK);
    f->options.max_depth = 0;
    char deep[200];
    (void)memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_error(f, deep, TG_ELIMIT, 1, "deeper than 64");
}

static void test_size_is_bounded(void **state)
{
    struct fixture *f = *state;
    f->options.max_bytes = 4;
    assert_int_equal(parse(f, "a: 1"), TG_OK);
    assert_int_equal(parse(f, "a: 12"), TG_ELIMIT);
}

static void assert_substituted(struct fixture *f, const char *text, enum tg_doc_type type,
                               const char *expected)
{
    assert_int_equal(parse(f, text), TG_OK);
    const struct tg_doc_node *a = get(f->root, "a");
    assert_non_null(a);
    assert_int_equal(a->type, type);
    assert_text(a->text, expected);
}

static void test_variables_are_substituted(void **state)
{
    struct fixture *f = *state;
    f->options.lookup = lookup;
    assert_substituted(f, "a: ${PORT}", TG_DOC_INT, "8080");
    assert_substituted(f, "a: '${PORT}'", TG_DOC_STRING, "8080");
    assert_substituted(f, "a: http://h:${PORT}/x", TG_DOC_STRING, "http://h:8080/x");
    assert_substituted(f, "a: ${NONE:-127.0.0.1}:${PORT:-1}", TG_DOC_STRING, "127.0.0.1:8080");
    assert_substituted(f, "a: ${EMPTY:-x}", TG_DOC_STRING, "x");
    assert_substituted(f, "a: ${EMPTY}", TG_DOC_NULL, "");
    assert_substituted(f, "a: ${NONE:-}", TG_DOC_NULL, "");
    assert_substituted(f, "a: ${TREE}", TG_DOC_STRING, "{a: [1, 2]}");
}

static void test_other_dollars_stay(void **state)
{
    struct fixture *f = *state;
    f->options.lookup = lookup;
    assert_substituted(f, "a: $${PORT}", TG_DOC_STRING, "${PORT}");
    assert_substituted(f, "a: $$$${PORT}", TG_DOC_STRING, "$$${PORT}");
    assert_substituted(f, "a: $$ $PORT $", TG_DOC_STRING, "$$ $PORT $");
    assert_substituted(f, "a: x${stageVariables.host}${request.body.a}", TG_DOC_STRING,
                       "x${stageVariables.host}${request.body.a}");
    assert_substituted(f, "a: $request.body.action", TG_DOC_STRING, "$request.body.action");
    assert_substituted(f, "a: '${} ${ PORT} ${PORT ${1A} ${PORT:x}'", TG_DOC_STRING,
                       "${} ${ PORT} ${PORT ${1A} ${PORT:x}");
    assert_int_equal(parse(f, "'${PORT}': 1"), TG_OK);
    assert_text(f->root->members[0].key, "${PORT}");
}

static void test_an_unset_variable_is_marked(void **state)
{
    struct fixture *f = *state;
    f->options.lookup = lookup;
    assert_int_equal(parse(f, "a: ${PORT}\nb: x ${NONE} ${OTHER}\n"), TG_OK);
    assert_int_equal(get(f->root, "a")->unset.len, 0);
    assert_text(get(f->root, "b")->unset, "NONE");
    assert_text(get(f->root, "b")->text, "x ${NONE} ${OTHER}");
    assert_text(get(f->root, "b")->raw, "x ${NONE} ${OTHER}");
}

static void test_set_makes_a_changed_copy(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "a: {b: 1, c: 2}\nl: [{k: x}]\n"), TG_OK);
    const struct tg_doc_node *root = f->root;
    static const struct {
        const char *path, *text;
    } rows[] = {{"a.b", "true"}, {"a.n.m", "7"}, {"l[0].k", "y"}, {"l[1].k", "z"}, {"a[\"x.y\"]", "{s: 1}"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(tg_doc_set(&f->arena, root, tg_slice_cstr(rows[i].path), tg_slice_cstr(rows[i].text),
                                    "--set", &root),
                         TG_OK);
    }
    assert_json(root, "{\"a\":{\"b\":true,\"c\":2,\"n\":{\"m\":7},\"x.y\":\"{s: "
                      "1}\"},\"l\":[{\"k\":\"y\"},{\"k\":\"z\"}]}");
    assert_json(f->root, "{\"a\":{\"b\":1,\"c\":2},\"l\":[{\"k\":\"x\"}]}");
    assert_path(get(get(get(root, "a"), "n"), "m"), "a.n.m");
    assert_string_equal(get(get(root, "a"), "b")->origin, "--set");
    assert_int_equal(get(get(root, "a"), "b")->line, 0);
}

static void test_set_refuses_what_does_not_fit(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "a: {b: 1}\nl: [x]\n"), TG_OK);
    const struct tg_doc_node *out = NULL;
    static const char *const bad[] = {"", ".a", "a.", "a..b", "a[", "a[x]", "a[\"b]", "a b", "a[0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (tg_doc_set(&f->arena, f->root, tg_slice_cstr(bad[i]), TG_LIT("1"), "", &out) != TG_ESYNTAX) {
            fail_msg("%s was taken", bad[i]);
        }
    }
    static const char *const misfit[] = {"a.b.c", "l[2]", "l.x", "a[0]"};
    for (size_t i = 0; i < sizeof misfit / sizeof misfit[0]; i++) {
        assert_int_equal(tg_doc_set(&f->arena, f->root, tg_slice_cstr(misfit[i]), TG_LIT("1"), "", &out),
                         TG_EINVAL);
    }
    assert_null(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_scalars_follow_the_core_schema, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_have_their_value_and_their_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nodes_know_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_files_load_with_tabs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_text_of_a_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_text_is_null, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aliases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expansion_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth_is_bounded_through_aliases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_size_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_variables_are_substituted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_dollars_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_unset_variable_is_marked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_makes_a_changed_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_refuses_what_does_not_fit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
