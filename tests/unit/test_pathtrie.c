/* Choosing a route by method and path (spec http-api.md 1.2): the documented example, each rule of
 * precedence, percent-encoding, slashes, dots; agreement with the definition over random routes; the cost,
 * counted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "routes/pathtrie.h"
#include "server/base/crypto.h"
#include "tests/unit/naive_routes.h"

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

static struct tg_pathtrie *make_trie(void)
{
    struct tg_pathtrie *trie = NULL;
    assert_int_equal(tg_pathtrie_new(&arena, &trie), TG_OK);
    return trie;
}

/* The value of a key is its text. */
static enum tg_err add(struct tg_pathtrie *trie, const char *text, struct tg_slice *error)
{
    struct tg_routekey key;
    if (tg_routekey_parse(&arena, tg_slice_cstr(text), &key, error) != TG_OK) {
        fail_msg("%s: %.*s", text, TG_FMT(*error));
    }
    return tg_pathtrie_add(trie, &key, text, error);
}

static struct tg_pathtrie *trie_of(const char *const *keys)
{
    struct tg_pathtrie *trie = make_trie();
    for (; *keys != NULL; keys++) {
        struct tg_slice error = TG_EMPTY;
        if (add(trie, *keys, &error) != TG_OK) {
            fail_msg("%s: %.*s", *keys, TG_FMT(error));
        }
    }
    return trie;
}

/* A request as one text, `GET /path`. */
static struct tg_pathtrie_match match(const struct tg_pathtrie *trie, const char *request,
                                      enum tg_trailing_slash trailing)
{
    struct tg_pathtrie_match out;
    struct tg_slice path, method = tg_slice_cut(tg_slice_cstr(request), ' ', &path);
    assert_int_equal(tg_pathtrie_match(trie, method, path, trailing, &arena, &out), TG_OK);
    assert_true(out.visits <= tg_pathtrie_bound(trie));
    return out;
}

/* `name=raw>value` of each parameter, parted by blanks. */
static const char *show_params(const struct tg_pathtrie_match *found)
{
    struct tg_slice text = TG_LIT("");
    for (size_t i = 0; i < found->param_count; i++) {
        const struct tg_pathtrie_param *param = &found->params[i];
        assert_int_equal(tg_arena_printf(&arena, &text, "%.*s%s%.*s=%.*s>%.*s", TG_FMT(text),
                                         i > 0 ? " " : "", TG_FMT(param->name), TG_FMT(param->raw),
                                         TG_FMT(param->value)),
                         TG_OK);
    }
    return text.ptr;
}

/* {request, key or "-", parameters} */
static void assert_rows(const struct tg_pathtrie *trie, enum tg_trailing_slash trailing,
                        const char *const (*rows)[3], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct tg_pathtrie_match found = match(trie, rows[i][0], trailing);
        const char *key = found.value != NULL ? (const char *)found.value : "-";
        const char *expected = rows[i][2] != NULL ? rows[i][2] : "";
        if (strcmp(key, rows[i][1]) != 0 || strcmp(show_params(&found), expected) != 0) {
            fail_msg("%s took %s with %s", rows[i][0], key, show_params(&found));
        }
    }
}

#define ASSERT_ROWS(trie, trailing, rows) assert_rows(trie, trailing, rows, sizeof(rows) / sizeof *(rows))

static void the_documented_example(void **state)
{
    (void)state;
    static const char *const keys[] = {"GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}",
                                       "ANY /{proxy+}", NULL};
    static const char *const rows[][3] = {
        {"GET /pets/dog/1", "GET /pets/dog/1"},
        {"GET /pets/dog/2", "GET /pets/dog/{id}", "id=2>2"},
        {"GET /pets/cat/1", "GET /pets/{proxy+}", "proxy=cat/1>cat/1"},
        {"POST /test/5", "ANY /{proxy+}", "proxy=test/5>test/5"},
        {"GET /", "-"},
        {"TRACE /test/5", "-"},
        {"get /pets/dog/1", "-"},
    };
    ASSERT_ROWS(trie_of(keys), TG_SLASH_STRICT, rows);
}

static void precedence(void **state)
{
    (void)state;
    static const char *const keys[] = {"ANY /a/b",        "GET /a/{x}",
                                       "GET /{x}/b",      "POST /{x}/b",
                                       "GET /a/{p+}",     "POST /{x}/{y}/{p+}",
                                       "GET /one/{x}",    "ANY /one/{y}",
                                       "PUT /l/{p+}",     "PUT /{x}/r",
                                       "ANY /m/n/{p+}",   "GET /m/{p+}",
                                       "GET /v/{x}/w",    "GET /v/z/{p+}",
                                       "GET /u/{a}/{p+}", "GET /u/{q+}",
                                       "PATCH /k/{b}/c",  "PATCH /{d}/e/f",
                                       "PATCH /k/e/g",    "DELETE /{p+}",
                                       "GET /",           NULL};
    static const char *const rows[][3] = {
        {"GET /a/b", "ANY /a/b"}, /* the path before the method */
        {"POST /a/b", "ANY /a/b"},
        {"GET /a/c", "GET /a/{x}", "x=c>c"},
        {"GET /z/b", "GET /{x}/b", "x=z>z"},
        {"POST /a/c/d", "POST /{x}/{y}/{p+}", "x=a>a y=c>c p=d>d"},
        {"GET /one/1", "GET /one/{x}", "x=1>1"}, /* the method before ANY */
        {"PUT /one/1", "ANY /one/{y}", "y=1>1"},
        {"PUT /l/r", "PUT /{x}/r", "x=l>l"}, /* without {name+} first */
        {"PUT /l/s", "PUT /l/{p+}", "p=s>s"},
        {"GET /m/n/o", "ANY /m/n/{p+}", "p=o>o"}, /* the longer prefix before the method */
        {"GET /m/n", "GET /m/{p+}", "p=n>n"},
        {"GET /v/z/w", "GET /v/{x}/w", "x=z>z"},
        {"GET /v/z/x", "GET /v/z/{p+}", "p=x>x"},
        {"GET /u/1/2", "GET /u/{a}/{p+}", "a=1>1 p=2>2"}, /* {name} before {name+} */
        {"GET /u/1", "GET /u/{q+}", "q=1>1"},
        {"PATCH /k/e/c", "PATCH /k/{b}/c", "b=e>e"}, /* back from a literal that led nowhere */
        {"PATCH /k/e/f", "PATCH /{d}/e/f", "d=k>k"}, /* twice */
        {"PATCH /k/e/h", "-"},
        {"DELETE /v/1/w", "DELETE /{p+}", "p=v/1/w>v/1/w"}, /* no fitting method nearer */
        {"GET /", "GET /"},
        {"POST /", "-"},
        {"DELETE /", "-"},
    };
    ASSERT_ROWS(trie_of(keys), TG_SLASH_STRICT, rows);
}

static void percent_encoding(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "GET /a/b", "GET /p/{id}", "GET /caf\xc3\xa9", "GET /x%2Fy", "GET /100%/z", "GET /g/{p+}", NULL};
    static const char *const rows[][3] = {
        {"GET /%61/%62", "GET /a/b"},
        {"GET /a%2Fb", "-"},
        {"GET /A/b", "-"},
        {"GET /p/test%2Balias@x", "GET /p/{id}", "id=test%2Balias@x>test+alias@x"}, /* vector 8 */
        {"GET /p/J%20D", "GET /p/{id}", "id=J%20D>J D"},
        {"GET /p/a+b", "GET /p/{id}", "id=a+b>a+b"},
        {"GET /p/a%2fb", "GET /p/{id}", "id=a%2fb>a/b"},
        {"GET /p/%7Bid%7D", "GET /p/{id}", "id=%7Bid%7D>{id}"},
        {"GET /p/%zz%4", "GET /p/{id}", "id=%zz%4>%zz%4"},
        {"GET /p/%25%32%46", "GET /p/{id}", "id=%25%32%46>%2F"}, /* decoded once */
        {"GET /caf%C3%A9", "GET /caf\xc3\xa9"},
        {"GET /caf\xc3\xa9", "GET /caf\xc3\xa9"},
        {"GET /x%2fy", "GET /x%2Fy"},
        {"GET /x/y", "-"},
        {"GET /100%/z", "GET /100%/z"},
        {"GET /100%25/z", "GET /100%/z"},
        {"GET /g/a%2Fb/%E2%98%95", "GET /g/{p+}", "p=a%2Fb/%E2%98%95>a/b/\xe2\x98\x95"},
    };
    ASSERT_ROWS(trie_of(keys), TG_SLASH_STRICT, rows);
}

static const char *const slash_keys[] = {
    "GET /hello", "GET /metrics/{proxy+}", "GET /u/{id}", "GET /u/{id}/{p+}", "PUT /x", "PUT /x/{p+}", NULL};

static void slashes_strict(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"GET /hello", "GET /hello"},
        {"GET /hello/", "-"},
        {"GET /hello//", "-"},
        {"GET //hello", "-"},
        {"GET /metrics", "-"},
        {"GET /metrics/", "GET /metrics/{proxy+}", "proxy=>"},
        {"GET /metrics//a/", "GET /metrics/{proxy+}", "proxy=/a/>/a/"},
        {"GET /u/", "-"},
        {"GET /u/1/", "GET /u/{id}/{p+}", "id=1>1 p=>"},
        {"GET /u//1", "-"},
        {"PUT /x/", "PUT /x/{p+}", "p=>"},
        {"PUT /x/y/", "PUT /x/{p+}", "p=y/>y/"},
        {"GET //", "-"},
    };
    ASSERT_ROWS(trie_of(slash_keys), TG_SLASH_STRICT, rows);
}

static void slashes_ignored(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"GET /hello", "GET /hello"},
        {"GET /hello/", "GET /hello"},
        {"GET /hello//", "-"},
        {"GET //hello", "-"},
        {"GET /metrics", "-"},
        {"GET /metrics/", "GET /metrics/{proxy+}", "proxy=>"},
        {"GET /u/", "-"},
        {"GET /u/1/", "GET /u/{id}", "id=1>1"},
        {"PUT /x/", "PUT /x"},
        {"PUT /x/y/", "PUT /x/{p+}", "p=y/>y/"},
        {"GET //", "-"},
    };
    static const char *const root_keys[] = {"GET /", NULL};
    static const char *const root_rows[][3] = {{"GET /", "GET /"}, {"GET //", "-"}};
    ASSERT_ROWS(trie_of(slash_keys), TG_SLASH_IGNORE, rows);
    ASSERT_ROWS(trie_of(root_keys), TG_SLASH_IGNORE, root_rows);
    ASSERT_ROWS(trie_of(root_keys), TG_SLASH_STRICT, root_rows);
}

static void dots(void **state)
{
    (void)state;
    static const char *const keys[] = {"ANY /{p+}", "GET /./a", NULL};
    static const char *const refused[] = {"",          "a",         "*",        "/..",         "/a/..",
                                          "/../a",     "/%2e.",     "/a/.%2E/", "/a%2f..%2fb", "/a/..%2Fb",
                                          "/a/b%2F..", "/%00",      "/a%00",    "/a/../../b",  "/a/..;/b",
                                          "/..;x",     "/%2e.%3bx", "/..\\b",   "/a/b%5c..",   "/a%5c..%5cb"};
    static const char *const rows[][3] = {
        {"GET /./a", "GET /./a"},
        {"GET /%2e/a", "GET /./a"},
        {"GET /a/.", "ANY /{p+}", "p=a/.>a/."},
        {"GET /...", "ANY /{p+}", "p=...>..."},
        {"GET /a..", "ANY /{p+}", "p=a..>a.."},
        {"GET /%252e%252e", "ANY /{p+}", "p=%252e%252e>%2e%2e"},
    };
    struct tg_pathtrie *trie = trie_of(keys), *empty = make_trie();
    ASSERT_ROWS(trie, TG_SLASH_STRICT, rows);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct tg_pathtrie_match out;
        struct tg_slice path = tg_slice_cstr(refused[i]);
        assert_int_equal(tg_pathtrie_match(trie, TG_LIT("GET"), path, TG_SLASH_STRICT, &arena, &out),
                         TG_EINVAL);
        assert_int_equal(tg_pathtrie_match(empty, TG_LIT("X"), path, TG_SLASH_IGNORE, &arena, &out),
                         TG_EINVAL);
    }
    assert_null(match(empty, "GET /", TG_SLASH_STRICT).value);
    assert_null(match(empty, "GET /a/b", TG_SLASH_STRICT).value);
}

static void the_same_twice_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"GET /a", "GET /a", "the route key \"GET /a\" is there already"},
        {"GET /a/{x}", "GET /a/{y}",
         "\"GET /a/{y}\" matches the same requests as \"GET /a/{x}\": names of parameters do not make keys "
         "different"},
        {"ANY /{p+}", "ANY /{q+}", "names of parameters"},
        {"GET /caf\xc3\xa9", "GET /caf%C3%A9", "percent-encoding alone is different"},
        {"GET /", "GET /", "\"GET /\" is there already"},
        {"GET /{x}", "POST /{y}", NULL},
        {"GET /a", "ANY /a", NULL},
        {"GET /{x}", "GET /{x+}", NULL},
        {"GET /{x}", "GET /%7Bx%7D", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_pathtrie *trie = make_trie();
        struct tg_slice error = TG_EMPTY;
        assert_int_equal(add(trie, rows[i][0], &error), TG_OK);
        enum tg_err err = add(trie, rows[i][1], &error);
        assert_int_equal(err, rows[i][2] != NULL ? TG_EEXIST : TG_OK);
        if (rows[i][2] != NULL) {
            struct tg_slice expected = tg_slice_cstr(rows[i][2]);
            assert_true(tg_slice_find_slice(error, expected) < error.len);
        }
    }
    struct tg_pathtrie *trie = make_trie();
    struct tg_slice error = TG_EMPTY;
    assert_int_equal(add(trie, "$default", &error), TG_EINVAL);
    assert_true(error.len > 0);
}

/* ---- against the definition ---- */

enum { KEYS_MAX = 14 };

struct random {
    struct tg_rng rng;
};

static size_t roll(struct random *random, size_t sides)
{
    return tg_rng_next(&random->rng) % sides;
}

static void random_key(struct random *random, char *out, size_t size)
{
    static const char *const segments[] = {"a", "b", "a", "b", "%61", "a%2Fb", "{x}", "{x}", "{y}", "."};
    static const char *const methods[] = {"GET", "GET", "POST", "ANY"};
    int at = snprintf(out, size, "%s ", methods[roll(random, 4)]);
    size_t count = roll(random, 5), params = 0;
    for (size_t i = 0; i < count; i++) {
        const char *segment = segments[roll(random, 10)];
        if (segment[0] == '{') { /* names differ within a key */
            at += snprintf(out + at, size - (size_t)at, "/{%c%zu}", segment[1], params++);
        } else {
            at += snprintf(out + at, size - (size_t)at, "/%s", segment);
        }
    }
    if (roll(random, 3) == 0) {
        (void)snprintf(out + at, size - (size_t)at, "/{p+}");
    } else if (count == 0) {
        (void)snprintf(out + at, size - (size_t)at, "/");
    }
}

static void random_path(struct random *random, char *out, size_t size)
{
    static const char *const segments[] = {"a", "b", "a", "b", "c", "%61", "%62", "a%2fb", "%", ".", "",
                                           "a", "b", "a", "b", "c", "a",   "b",   "a",     "b", "a", ".."};
    size_t count = 1 + roll(random, 6);
    int at = 0;
    for (size_t i = 0; i < count; i++) {
        at += snprintf(out + at, size - (size_t)at, "/%s", segments[roll(random, 22)]);
    }
}

static void random_routes_agree_with_the_definition(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "GET", "POST", "PUT", "PROPFIND"};
    struct random random;
    size_t hits = 0, misses = 0, refusals = 0;
    tg_rng_seed(&random.rng, 7);
    for (int round = 0; round < 4000; round++) {
        char texts[KEYS_MAX][128];
        const char *keys[KEYS_MAX];
        size_t count = 0, tries = 1 + roll(&random, KEYS_MAX);
        struct tg_pathtrie *trie = make_trie();
        for (size_t i = 0; i < tries; i++) {
            struct tg_slice error = TG_EMPTY;
            random_key(&random, texts[count], sizeof texts[count]);
            enum tg_err err = add(trie, texts[count], &error);
            assert_true(err == TG_OK || err == TG_EEXIST);
            keys[count] = texts[count];
            count += err == TG_OK;
        }
        for (int i = 0; i < 40; i++) {
            char path[256];
            bool refused, ignore = roll(&random, 2) == 1;
            const char *method = methods[roll(&random, 5)];
            random_path(&random, path, sizeof path);
            int expected = naive_match(keys, count, method, path, ignore, &refused);
            struct tg_pathtrie_match found = {0};
            enum tg_err err = tg_pathtrie_match(trie, tg_slice_cstr(method), tg_slice_cstr(path),
                                                ignore ? TG_SLASH_IGNORE : TG_SLASH_STRICT, &arena, &found);
            assert_int_equal(err, refused ? TG_EINVAL : TG_OK);
            if (found.value != (expected >= 0 ? keys[expected] : NULL)) {
                fail_msg("round %d, %s %s took %s, expected %s", round, method, path,
                         found.value != NULL ? (const char *)found.value : "-",
                         expected >= 0 ? keys[expected] : "-");
            }
            assert_true(found.visits <= tg_pathtrie_bound(trie));
            hits += expected >= 0;
            misses += !refused && expected < 0;
            refusals += refused;
        }
        tg_arena_reset(&arena);
    }
    assert_true(hits > 20000 && misses > 20000 && refusals > 5000);
}

/* ---- cost ---- */

static struct tg_pathtrie *wide_trie(int width)
{
    struct tg_pathtrie *trie = make_trie();
    for (int i = 0; i < width; i++) {
        static const char *const forms[] = {"GET /v1/kind%d", "GET /v1/kind%d/{id}",
                                            "POST /v1/kind%d/{id}/sub", "ANY /v1/kind%d/{id}/{rest+}"};
        for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
            char text[64];
            struct tg_slice error = TG_EMPTY, copy;
            (void)snprintf(text, sizeof text, "%s", forms[form]);
            char *number = strstr(text, "%d");
            (void)snprintf(number, sizeof text - (size_t)(number - text), "%d%s", i,
                           strstr(forms[form], "%d") + 2);
            assert_int_equal(tg_arena_copy(&arena, tg_slice_cstr(text), &copy), TG_OK);
            assert_int_equal(add(trie, copy.ptr, &error), TG_OK);
        }
    }
    return trie;
}

static void the_number_of_routes_costs_nothing(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "GET /v1/kind2",       "GET /v1/kind2/7",     "POST /v1/kind2/7/sub",
        "PUT /v1/kind2/7/a/b", "GET /v1/none",        "GET /none",
        "PUT /v1/kind2",       "GET /v1/kind2/7/sub", "GET /"};
    struct tg_pathtrie *narrow = wide_trie(3), *wide = wide_trie(2500); /* 12 and 10,000 routes */
    assert_int_equal(tg_pathtrie_bound(narrow), 5);
    assert_int_equal(tg_pathtrie_bound(wide), 5);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct tg_pathtrie_match few = match(narrow, requests[i], TG_SLASH_STRICT);
        struct tg_pathtrie_match many = match(wide, requests[i], TG_SLASH_STRICT);
        assert_int_equal(few.visits, many.visits);
        assert_true(many.visits >= 1 && many.visits <= 5);
        assert_true((few.value == NULL) == (many.value == NULL));
        if (few.value != NULL && many.value != NULL) {
            assert_string_equal(few.value, many.value);
        }
    }
    assert_string_equal(match(wide, "GET /v1/kind2499/x", TG_SLASH_STRICT).value, "GET /v1/kind2499/{id}");
}

/* Adds every path of `depth` segments that are `a` or a parameter, then `last`. */
static size_t add_all_ways(struct tg_pathtrie *trie, unsigned depth, const char *last)
{
    for (unsigned ways = 0; ways < 1u << depth; ways++) {
        struct tg_slice text = TG_LIT("GET "), error = TG_EMPTY;
        for (unsigned i = 0; i < depth; i++) {
            enum tg_err err = ways >> i & 1 ? tg_arena_printf(&arena, &text, "%.*s/a", TG_FMT(text))
                                            : tg_arena_printf(&arena, &text, "%.*s/{x%u}", TG_FMT(text), i);
            assert_int_equal(err, TG_OK);
        }
        assert_int_equal(tg_arena_printf(&arena, &text, "%.*s%s", TG_FMT(text), last), TG_OK);
        assert_int_equal(add(trie, text.ptr, &error), TG_OK);
    }
    return (size_t)1 << depth;
}

/* The worst that routes can ask for: 256 of them, all of whose beginnings fit. Each node once, no more. */
static void no_node_is_visited_twice(void **state)
{
    (void)state;
    struct tg_pathtrie *trie = make_trie();
    size_t leaves = add_all_ways(trie, 8, "/b");
    size_t nodes = 2 * leaves - 1 + leaves;
    assert_int_equal(tg_pathtrie_bound(trie), nodes);
    struct tg_pathtrie_match found = match(trie, "GET /a/a/a/a/a/a/a/a/c", TG_SLASH_STRICT);
    assert_null(found.value);
    assert_int_equal(found.visits, 2 * leaves - 1); /* `c` has no node */
    found = match(trie, "GET /a/a/a/a/a/a/a/a/b", TG_SLASH_STRICT);
    assert_int_equal(found.visits, 10); /* the first way is the best */
    found = match(trie, "GET /c/c/c/c/c/c/c/c/b", TG_SLASH_STRICT);
    assert_string_equal(found.value, "GET /{x0}/{x1}/{x2}/{x3}/{x4}/{x5}/{x6}/{x7}/b");
    assert_int_equal(found.visits, 10);
}

static void long_paths_cost_their_depth(void **state)
{
    (void)state;
    static const char *const keys[] = {"GET /a/a/a", "GET /{x}/a/b", "GET /a/{p+}", NULL};
    struct tg_pathtrie *trie = trie_of(keys);
    char *text = malloc(100001);
    assert_non_null(text);
    for (size_t i = 0; i < 50000; i++) {
        memcpy(text + 2 * i, "/a", 2);
    }
    text[100000] = '\0';
    struct tg_pathtrie_match found;
    assert_int_equal(
        tg_pathtrie_match(trie, TG_LIT("GET"), tg_slice_make(text, 100000), TG_SLASH_STRICT, &arena, &found),
        TG_OK);
    assert_string_equal(found.value, "GET /a/{p+}");
    assert_int_equal(found.params[0].value.len, 99997);
    assert_int_equal(found.visits, 6); /* the root, a, a/a, a/a/a, {x}, {x}/a */
    memcpy(text + 99990, "/..", 3);
    assert_int_equal(
        tg_pathtrie_match(trie, TG_LIT("GET"), tg_slice_make(text, 99993), TG_SLASH_STRICT, &arena, &found),
        TG_EINVAL);
    free(text);
}

static void the_deepest_key(void **state)
{
    (void)state;
    struct tg_slice text = TG_LIT("GET "), path = TG_EMPTY, error = TG_EMPTY;
    struct tg_pathtrie *trie = make_trie();
    for (int i = 0; i < TG_ROUTEKEY_SEGMENTS_MAX; i++) {
        assert_int_equal(tg_arena_printf(&arena, &text, "%.*s/{x%d}", TG_FMT(text), i), TG_OK);
        assert_int_equal(tg_arena_printf(&arena, &path, "%.*s/%d", TG_FMT(path), i), TG_OK);
    }
    assert_int_equal(add(trie, text.ptr, &error), TG_OK);
    struct tg_pathtrie_match found;
    assert_int_equal(tg_pathtrie_match(trie, TG_LIT("GET"), path, TG_SLASH_STRICT, &arena, &found), TG_OK);
    assert_ptr_equal(found.value, text.ptr);
    assert_int_equal(found.param_count, TG_ROUTEKEY_SEGMENTS_MAX);
    assert_true(tg_slice_eq(found.params[63].value, TG_LIT("63")));
    assert_int_equal(tg_arena_printf(&arena, &path, "%.*s/", TG_FMT(path)), TG_OK);
    assert_int_equal(tg_pathtrie_match(trie, TG_LIT("GET"), path, TG_SLASH_STRICT, &arena, &found), TG_OK);
    assert_null(found.value);
    assert_int_equal(tg_pathtrie_match(trie, TG_LIT("GET"), path, TG_SLASH_IGNORE, &arena, &found), TG_OK);
    assert_ptr_equal(found.value, text.ptr);
    assert_int_equal(tg_arena_printf(&arena, &path, "%.*s64", TG_FMT(path)), TG_OK);
    assert_int_equal(tg_pathtrie_match(trie, TG_LIT("GET"), path, TG_SLASH_IGNORE, &arena, &found), TG_OK);
    assert_null(found.value);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_documented_example),
        TEST(precedence),
        TEST(percent_encoding),
        TEST(slashes_strict),
        TEST(slashes_ignored),
        TEST(dots),
        TEST(the_same_twice_is_refused),
        TEST(random_routes_agree_with_the_definition),
        TEST(the_number_of_routes_costs_nothing),
        TEST(no_node_is_visited_twice),
        TEST(long_paths_cost_their_depth),
        TEST(the_deepest_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
