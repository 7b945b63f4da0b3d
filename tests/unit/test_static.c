/* The parts of serving files that need no loop. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/static_private.h"
#include "tests/unit/tree.h"

static const int64_t now_ms = 1767323045000; /* Fri, 02 Jan 2026 03:04:05 GMT */

struct scene {
    struct tree tree;
    struct tg_arena arena;
    struct tg_static_settings settings;
    struct tg_static *files;
    char root[128];
};

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    if (scene == NULL) {
        return -1;
    }
    tree_init(&scene->tree);
    tree_file(&scene->tree, "secret.txt", "secret");
    tree_dir(&scene->tree, "www");
    tree_file(&scene->tree, "www/index.html", "<html>");
    tree_file(&scene->tree, "www/.env", "PASSWORD=1");
    tree_file(&scene->tree, "www/app.js", "let a;");
    tree_file(&scene->tree, "www/app.js.gz", "gz");
    tree_file(&scene->tree, "www/app.js.br", "br!");
    tree_dir(&scene->tree, "www/docs");
    tree_file(&scene->tree, "www/docs/index.html", "docs");
    tree_dir(&scene->tree, "www/bare");
    tree_dir(&scene->tree, "www/odd");
    tree_dir(&scene->tree, "www/odd/index.html");
    (void)snprintf(scene->root, sizeof scene->root, "%s/www", scene->tree.path);
    scene->settings.root = tg_slice_cstr(scene->root);
    tg_arena_init(&scene->arena, NULL);
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    tg_static_unref(scene->files);
    tg_arena_reset(&scene->arena);
    tree_free(&scene->tree);
    free(scene);
    return 0;
}

static struct tg_static *open_files(struct scene *scene)
{
    const char *why = NULL;
    tg_static_unref(scene->files);
    scene->files = NULL;
    assert_int_equal(tg_static_new(&scene->settings, &scene->files, &why), TG_OK);
    return scene->files;
}

static void add(struct scene *scene, struct tg_headers *headers, const char *name, const char *value)
{
    assert_int_equal(tg_headers_add(headers, &scene->arena, tg_slice_cstr(name), tg_slice_cstr(value)),
                     TG_OK);
}

static const char *value_of(struct scene *scene, const struct tg_headers *headers, const char *name)
{
    const struct tg_header *field = tg_headers_first(headers, tg_slice_cstr(name));
    struct tg_slice text;
    if (field == NULL) {
        return "(none)";
    }
    assert_int_equal(tg_headers_count(headers, tg_slice_cstr(name)), 1);
    assert_int_equal(tg_arena_copy(&scene->arena, field->value, &text), TG_OK);
    return text.ptr;
}

/* ---- settings ---- */

static void settings_that_cannot_be_are_told(void **state)
{
    struct scene *scene = *state;
    struct tg_string_pair pair = {TG_LIT("x"), TG_LIT("nothing")};
    struct tg_static_settings bad[] = {
        {.root = TG_EMPTY},
        {.root = TG_LIT("/tmp\0/x")},
        {.root = TG_LIT("/tmp"), .index_document = TG_LIT("a/b")},
        {.root = TG_LIT("/tmp"), .index_document = TG_LIT("..")},
        {.root = TG_LIT("/tmp"), .index_document = TG_LIT(".index")},
        {.root = TG_LIT("/tmp"), .fallback = TG_LIT("/index.html")},
        {.root = TG_LIT("/tmp"), .fallback = TG_LIT("../index.html")},
        {.root = TG_LIT("/tmp"), .fallback = TG_LIT("a/.b")},
        {.root = TG_LIT("/tmp"), .fallback_status = 302},
        {.root = TG_LIT("/tmp"), .fallback_status = 600},
        {.root = TG_LIT("/tmp"), .cache_control = TG_LIT("no\r\nSet-Cookie: a=b")},
        {.root = TG_LIT("/tmp"), .types = {&pair, 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *why = NULL;
        assert_int_equal(tg_static_new(&bad[i], &scene->files, &why), TG_EINVAL);
        assert_non_null(why);
        assert_null(scene->files);
    }
    const char *why = NULL;
    char path[160];
    (void)snprintf(path, sizeof path, "%s/none", scene->tree.path);
    scene->settings.root = tg_slice_cstr(path);
    assert_int_equal(tg_static_new(&scene->settings, &scene->files, &why), TG_ENOTFOUND);
    assert_string_equal(why, "there is no such directory");
    (void)snprintf(path, sizeof path, "%s/secret.txt", scene->tree.path);
    assert_int_equal(tg_static_new(&scene->settings, &scene->files, &why), TG_ENOTFOUND);
}

/* ---- paths ---- */

static void paths_become_names(void **state)
{
    struct scene *scene = *state;
    const struct tg_static *files = open_files(scene);
    static const struct {
        struct tg_slice below, name;
        bool slash;
    } good[] = {
        {TG_LIT_INIT(""), TG_LIT_INIT(""), false},
        {TG_LIT_INIT("/"), TG_LIT_INIT(""), true},
        {TG_LIT_INIT("a"), TG_LIT_INIT("a"), false},
        {TG_LIT_INIT("/a"), TG_LIT_INIT("a"), false},
        {TG_LIT_INIT("/a/"), TG_LIT_INIT("a"), true},
        {TG_LIT_INIT("/a/b.txt"), TG_LIT_INIT("a/b.txt"), false},
        {TG_LIT_INIT("/a%20b"), TG_LIT_INIT("a b"), false},
        {TG_LIT_INIT("/a+b"), TG_LIT_INIT("a+b"), false},
        {TG_LIT_INIT("/100%25"), TG_LIT_INIT("100%"), false},
        {TG_LIT_INIT("/%2525"), TG_LIT_INIT("%25"), false},
        {TG_LIT_INIT("/%252f"), TG_LIT_INIT("%2f"), false},
        {TG_LIT_INIT("/gr%C3%bc"), TG_LIT_INIT("gr\xc3\xbc"), false},
        {TG_LIT_INIT("/a\\..\\b"), TG_LIT_INIT("a\\..\\b"), false},
        {TG_LIT_INIT("/a%5Cb"), TG_LIT_INIT("a\\b"), false},
        {TG_LIT_INIT("/./a/././b"), TG_LIT_INIT("a/b"), false},
        {TG_LIT_INIT("/a/."), TG_LIT_INIT("a"), true},
        {TG_LIT_INIT("/a/%2e"), TG_LIT_INIT("a"), true},
        {TG_LIT_INIT("/."), TG_LIT_INIT(""), true},
        {TG_LIT_INIT("/a/./"), TG_LIT_INIT("a"), true},
        {TG_LIT_INIT("/a..b/c.."), TG_LIT_INIT("a..b/c.."), false},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct tg_slice name = TG_LIT("untouched");
        bool slash = !good[i].slash;
        assert_int_equal(tg_static_map(files, good[i].below, &scene->arena, &name, &slash), TG_OK);
        assert_true(tg_slice_eq(name, good[i].name));
        assert_int_equal(slash, good[i].slash);
    }
}

static void paths_that_lead_elsewhere_are_refused(void **state)
{
    struct scene *scene = *state;
    const struct tg_static *files = open_files(scene);
    static const struct tg_slice malformed[] = {
        TG_LIT_INIT("/.."),       TG_LIT_INIT("/../secret.txt"), TG_LIT_INIT("/a/.."),
        TG_LIT_INIT("/%2e%2e/a"), TG_LIT_INIT("/%2E./a"),        TG_LIT_INIT("/.%2e"),
        TG_LIT_INIT("/a%2fb"),    TG_LIT_INIT("/a%2Fb"),         TG_LIT_INIT("/..%2fsecret.txt"),
        TG_LIT_INIT("/a%00"),     TG_LIT_INIT("/a%00.html"),     TG_LIT_INIT("/a%"),
        TG_LIT_INIT("/a%2"),      TG_LIT_INIT("/a%zz"),          TG_LIT_INIT("/a% 1"),
        TG_LIT_INIT("//../a"),    TG_LIT_INIT("/.env/../a"),     TG_LIT_INIT("/a%2"),
    };
    static const struct tg_slice missing[] = {
        TG_LIT_INIT("//"),    TG_LIT_INIT("//a"),     TG_LIT_INIT("/a//b"),
        TG_LIT_INIT("/a//"),  TG_LIT_INIT("/.env"),   TG_LIT_INIT("/.git/HEAD"),
        TG_LIT_INIT("/a/.b"), TG_LIT_INIT("/%2eenv"), TG_LIT_INIT("/..."),
    };
    struct tg_slice name = TG_LIT("untouched");
    bool slash = false;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        assert_int_equal(tg_static_map(files, malformed[i], &scene->arena, &name, &slash), TG_ESYNTAX);
    }
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_int_equal(tg_static_map(files, missing[i], &scene->arena, &name, &slash), TG_ENOTFOUND);
    }
    char endless[6000];
    memset(endless, 'a', sizeof endless);
    assert_int_equal(
        tg_static_map(files, tg_slice_make(endless, sizeof endless), &scene->arena, &name, &slash),
        TG_ENOTFOUND);
    assert_true(tg_slice_eq(name, TG_LIT("untouched")));
    scene->settings.dot_files = true;
    files = open_files(scene);
    assert_int_equal(tg_static_map(files, TG_LIT("/.env"), &scene->arena, &name, &slash), TG_OK);
    assert_true(tg_slice_eq(name, TG_LIT(".env")));
    assert_int_equal(tg_static_map(files, TG_LIT("/..."), &scene->arena, &name, &slash), TG_OK);
    assert_int_equal(tg_static_map(files, TG_LIT("/.."), &scene->arena, &name, &slash), TG_ESYNTAX);
}

static void a_redirect_stays_where_it_is(void **state)
{
    struct scene *scene = *state;
    static const struct {
        struct tg_slice path, query;
        const char *location;
    } cases[] = {
        {TG_LIT_INIT("/docs"), {NULL, 0}, "./docs/"},
        {TG_LIT_INIT("/stage/a/docs"), TG_LIT_INIT("a=1&b=%20"), "./docs/?a=1&b=%20"},
        {TG_LIT_INIT("/docs"), TG_LIT_INIT(""), "./docs/?"},
        {TG_LIT_INIT(""), {NULL, 0}, "./"},
        {TG_LIT_INIT("//evil.example"), {NULL, 0}, "./evil.example/"},
        {TG_LIT_INIT("///evil.example"), {NULL, 0}, "./evil.example/"},
        {TG_LIT_INIT("/\\evil.example"), {NULL, 0}, "./%5Cevil.example/"},
        {TG_LIT_INIT("/http:%2f%2fevil"), {NULL, 0}, "./http%3A%2F%2Fevil/"},
        {TG_LIT_INIT("/javascript:alert(1)"), {NULL, 0}, "./javascript%3Aalert%281%29/"},
        {TG_LIT_INIT("/a%0d%0aSet-Cookie: b"), {NULL, 0}, "./a%0D%0ASet-Cookie%3A%20b/"},
        {TG_LIT_INIT("/a%20b"), TG_LIT_INIT("x\r\ny"), "./a%20b/"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tg_slice location;
        assert_int_equal(tg_static_location(&scene->arena, cases[i].path, cases[i].query, &location), TG_OK);
        assert_string_equal(location.ptr, cases[i].location);
    }
}

/* ---- types and codings ---- */

static void types_are_told_by_extension(void **state)
{
    struct scene *scene = *state;
    struct tg_string_pair pairs[] = {{TG_LIT(".Foo"), TG_LIT("text/x-foo")},
                                     {TG_LIT("js"), TG_LIT("text/js2")}};
    static const struct {
        const char *name, *type;
    } cases[] = {
        {"index.html", "text/html; charset=utf-8"},
        {"a/b/style.CSS", "text/css; charset=utf-8"},
        {"app.js", "text/javascript; charset=utf-8"},
        {"readme.txt", "text/plain; charset=utf-8"},
        {"a.json", "application/json"},
        {"a.svg", "image/svg+xml"},
        {"a.tar.gz", "application/gzip"},
        {"a.wasm", "application/wasm"},
        {"a.foo", "application/octet-stream"},
        {"html", "application/octet-stream"},
        {"dir.html/file", "application/octet-stream"},
        {".html", "application/octet-stream"},
        {"a/.html", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"", "application/octet-stream"},
    };
    const struct tg_static *files = open_files(scene);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tg_slice type = tg_static_type(files, tg_slice_cstr(cases[i].name));
        assert_true(tg_slice_eq(type, tg_slice_cstr(cases[i].type)));
    }
    scene->settings.types = (struct tg_string_map){pairs, 2};
    files = open_files(scene);
    assert_true(tg_slice_eq(tg_static_type(files, TG_LIT("a.fOO")), TG_LIT("text/x-foo")));
    assert_true(tg_slice_eq(tg_static_type(files, TG_LIT("a.js")), TG_LIT("text/js2")));
    assert_true(
        tg_slice_eq(tg_static_type(files, TG_LIT("a.mjs")), TG_LIT("text/javascript; charset=utf-8")));
}

static void codings_are_told_by_weight(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *accept, *codings;
    } cases[] = {
        {"gzip", "g"},
        {"x-gzip", "g"},
        {"br", "b"},
        {"gzip, br", "bg"},
        {"gzip, deflate, br, zstd", "bg"},
        {"gzip;q=1.0, br;q=0.5", "gb"},
        {"gzip;q=0, br", "b"},
        {"gzip;q=0.000", ""},
        {"GZIP ; Q=0.3 , BR;q=0.300", "bg"},
        {"*", "bg"},
        {"*;q=0", ""},
        {"br;q=0, *", "g"},
        {"identity", ""},
        {"gzip;q=2", ""},
        {"gzip;q=-1", ""},
        {"gzip;q=0.5555", ""},
        {"gzip;q=", ""},
        {"", ""},
        {",,;q=1,gzip", "g"},
        {"gzipped", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tg_headers headers = {0};
        enum tg_static_coding codings[TG_STATIC_CODINGS];
        char text[3] = "";
        add(scene, &headers, "accept-encoding", cases[i].accept);
        size_t count = tg_static_codings(&headers, codings);
        for (size_t j = 0; j < count; j++) {
            text[j] = codings[j] == TG_STATIC_GZIP ? 'g' : 'b';
        }
        assert_string_equal(text, cases[i].codings);
    }
    struct tg_headers headers = {0};
    enum tg_static_coding codings[TG_STATIC_CODINGS];
    assert_int_equal(tg_static_codings(&headers, codings), 0);
    add(scene, &headers, "Accept-Encoding", "gzip");
    add(scene, &headers, "Accept-Encoding", "br;q=0.1");
    assert_int_equal(tg_static_codings(&headers, codings), 2);
    assert_int_equal(codings[0], TG_STATIC_GZIP);
}

/* ---- validators and conditions ---- */

static struct tg_static_validators validate(struct scene *scene, const struct tg_beneath_file *file)
{
    struct tg_static_validators validators;
    memset(&validators, 'x', sizeof validators);
    tg_static_validate(scene->files, file, now_ms, &validators);
    return validators;
}

static void validators_tell_every_change(void **state)
{
    struct scene *scene = *state;
    const struct tg_beneath_file file = {.size = 5, .modified_s = 1700000000, .modified_ns = 7, .inode = 99};
    struct tg_beneath_file others[] = {file, file, file, file};
    others[0].size = 6;
    others[1].modified_s++;
    others[2].modified_ns++;
    others[3].inode++;
    open_files(scene);
    struct tg_static_validators first = validate(scene, &file);
    assert_true(first.strong);
    assert_int_equal(first.modified_s, 1700000000);
    assert_int_equal(first.etag[0], '"');
    assert_int_equal(first.etag[first.etag_len - 1], '"');
    assert_int_equal(strlen(first.etag), first.etag_len);
    assert_string_equal(validate(scene, &file).etag, first.etag);
    for (size_t i = 0; i < 4; i++) {
        assert_string_not_equal(validate(scene, &others[i]).etag, first.etag);
    }
    scene->settings.shared_etags = true;
    open_files(scene);
    assert_string_equal(validate(scene, &file).etag, validate(scene, &others[3]).etag);
    assert_string_not_equal(validate(scene, &file).etag, validate(scene, &others[0]).etag);
}

static void a_file_that_has_not_rested_has_weak_ones(void **state)
{
    struct scene *scene = *state;
    open_files(scene);
    struct tg_beneath_file file = {.size = UINT64_MAX, .modified_s = now_ms / 1000 - 1};
    assert_false(validate(scene, &file).strong);
    assert_int_equal(strncmp(validate(scene, &file).etag, "W/\"", 3), 0);
    assert_int_equal(validate(scene, &file).etag_len, 2 + 2 + 16 + 1 + 16);
    file.modified_s = now_ms / 1000 - 2;
    assert_true(validate(scene, &file).strong);
    file.modified_ns = 1000000;
    assert_false(validate(scene, &file).strong);
    file.modified_s = now_ms / 1000 + 1000; /* Last-Modified is never after Date */
    assert_false(validate(scene, &file).strong);
    assert_int_equal(validate(scene, &file).modified_s, now_ms / 1000);
    file.modified_s = INT64_MIN;
    assert_true(validate(scene, &file).strong);
    file.modified_s = INT64_MAX;
    assert_false(validate(scene, &file).strong);
}

static const struct tg_static_validators strong = {
    .etag = "\"abc\"", .etag_len = 5, .modified_s = 784111777, .strong = true};
static const struct tg_static_validators weak = {
    .etag = "W/\"abc\"", .etag_len = 7, .modified_s = 784111777, .strong = false};

#define AT     "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"

static void conditions_are_judged_in_their_order(void **state)
{
    struct scene *scene = *state;
    enum { GO = TG_STATIC_PROCEED, NOT = TG_STATIC_NOT_MODIFIED, FAIL = TG_STATIC_FAILED };
    static const struct {
        const char *name, *value, *name2, *value2;
        int strong, weak;
    } cases[] = {
        {"If-Match", "\"abc\"", NULL, NULL, GO, FAIL},
        {"If-Match", "*", NULL, NULL, GO, GO},
        {"If-Match", "\"x\", \"abc\"", NULL, NULL, GO, FAIL},
        {"If-Match", "\"x\"", NULL, NULL, FAIL, FAIL},
        {"If-Match", "W/\"abc\"", NULL, NULL, FAIL, FAIL},
        {"If-Match", "", NULL, NULL, FAIL, FAIL},
        {"If-Match", "abc", NULL, NULL, FAIL, FAIL},
        {"If-Match", "\"x\"", "If-Match", "\"abc\"", GO, FAIL},
        {"If-None-Match", "\"abc\"", NULL, NULL, NOT, NOT},
        {"if-none-match", "W/\"abc\"", NULL, NULL, NOT, NOT},
        {"If-None-Match", " * ", NULL, NULL, NOT, NOT},
        {"If-None-Match", ",, \"a,b\" ,W/\"abc\"", NULL, NULL, NOT, NOT},
        {"If-None-Match", "\"ab\"", NULL, NULL, GO, GO},
        {"If-None-Match", "\"abc", NULL, NULL, GO, GO},
        {"If-None-Match", "abc", NULL, NULL, GO, GO},
        {"If-None-Match", "w/\"abc\"", NULL, NULL, GO, GO},
        {"If-Modified-Since", AT, NULL, NULL, NOT, NOT},
        {"If-Modified-Since", AFTER, NULL, NULL, NOT, NOT},
        {"If-Modified-Since", BEFORE, NULL, NULL, GO, GO},
        {"If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT", NULL, NULL, NOT, NOT},
        {"If-Modified-Since", "yesterday", NULL, NULL, GO, GO},
        {"If-Modified-Since", AT, "If-Modified-Since", AT, GO, GO},
        {"If-Unmodified-Since", AT, NULL, NULL, GO, GO},
        {"If-Unmodified-Since", BEFORE, NULL, NULL, FAIL, FAIL},
        {"If-Unmodified-Since", "yesterday", NULL, NULL, GO, GO},
        /* An ETag makes the date of its kind unheard. */
        {"If-None-Match", "\"x\"", "If-Modified-Since", AT, GO, GO},
        {"If-None-Match", "\"abc\"", "If-Modified-Since", BEFORE, NOT, NOT},
        {"If-Match", "\"abc\"", "If-Unmodified-Since", BEFORE, GO, FAIL},
        {"If-Match", "\"x\"", "If-Unmodified-Since", AT, FAIL, FAIL},
        /* 412 comes before 304. */
        {"If-None-Match", "\"abc\"", "If-Match", "\"x\"", FAIL, FAIL},
        {"If-None-Match", "\"abc\"", "If-Match", "\"abc\"", NOT, FAIL},
        {"If-Modified-Since", AT, "If-Unmodified-Since", BEFORE, FAIL, FAIL},
        {"If-Modified-Since", AT, "If-Unmodified-Since", AT, NOT, NOT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tg_headers headers = {0};
        bool ranges;
        add(scene, &headers, cases[i].name, cases[i].value);
        if (cases[i].name2 != NULL) {
            add(scene, &headers, cases[i].name2, cases[i].value2);
        }
        assert_int_equal(tg_static_judge(&headers, &strong, now_ms, &ranges), cases[i].strong);
        assert_int_equal(tg_static_judge(&headers, &weak, now_ms, &ranges), cases[i].weak);
    }
}

static void if_range_needs_a_strong_validator(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *value;
        bool strong, weak;
    } cases[] = {
        {"\"abc\"", true, false},
        {"W/\"abc\"", false, false},
        {"\"x\"", false, false},
        {AT, true, false},
        {BEFORE, false, false},
        {AFTER, false, false},
        {"", false, false},
        {"\"abc\", \"x\"", false, false},
        {"*", false, false},
        {"\"abc", false, false},
        {"Sun Nov  6 08:49:37 1994", true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tg_headers headers = {0};
        bool ranges;
        add(scene, &headers, "If-Range", cases[i].value);
        assert_int_equal(tg_static_judge(&headers, &strong, now_ms, &ranges), TG_STATIC_PROCEED);
        assert_int_equal(ranges, cases[i].strong);
        assert_int_equal(tg_static_judge(&headers, &weak, now_ms, &ranges), TG_STATIC_PROCEED);
        assert_int_equal(ranges, cases[i].weak);
    }
    struct tg_headers none = {0};
    bool ranges = false;
    assert_int_equal(tg_static_judge(&none, &weak, now_ms, &ranges), TG_STATIC_PROCEED);
    assert_true(ranges);
}

/* ---- ranges ---- */

static void ranges_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint64_t size;
        const char *ranges; /* "first+len ...", "whole" or "416" */
    } cases[] = {
        {"bytes=0-0", 10, "0+1"},
        {"bytes=0-9", 10, "0+10"},
        {"bytes=0-10", 10, "0+10"},
        {"bytes=2-4", 10, "2+3"},
        {"bytes=2-", 10, "2+8"},
        {"bytes=9-", 10, "9+1"},
        {"bytes=-3", 10, "7+3"},
        {"bytes=-30", 10, "0+10"},
        {"Bytes=1-2", 10, "1+2"},
        {"bytes=10-", 10, "416"},
        {"bytes=10-20", 10, "416"},
        {"bytes=-0", 10, "416"},
        {"bytes=99999999999999999999999-", 10, "416"},
        {"bytes=1-99999999999999999999999", 10, "1+9"},
        {"bytes=-99999999999999999999999", 10, "0+10"},
        {"bytes=18446744073709551615-18446744073709551615", UINT64_MAX, "416"},
        {"bytes=18446744073709551614-", UINT64_MAX, "18446744073709551614+1"},
        {"bytes=0-0, 2-3 ,5-", 10, "0+1 2+2 5+5"},
        {"bytes=5-,0-0", 10, "5+5 0+1"},
        {"bytes=0-0,,  ,1-1", 10, "0+1 1+1"},
        {"bytes=0-0,20-30", 10, "0+1"},
        {"bytes=20-30,-0", 10, "416"},
        {"bytes=0-5,5-9", 10, "whole"},
        {"bytes=0-,0-0", 10, "whole"},
        {"bytes=0-1,-9", 10, "whole"},
        {"bytes=4-2", 10, "whole"},
        {"bytes=0-0,4-2", 10, "whole"},
        {"bytes=", 10, "whole"},
        {"bytes=,", 10, "whole"},
        {"bytes", 10, "whole"},
        {"", 10, "whole"},
        {"bytes=-", 10, "whole"},
        {"bytes=a-b", 10, "whole"},
        {"bytes=1", 10, "whole"},
        {"bytes=1-2-3", 10, "whole"},
        {"bytes=--1", 10, "whole"},
        {"bytes=+1-2", 10, "whole"},
        {"bytes=1 -2", 10, "whole"},
        {"bytes=0x1-2", 10, "whole"},
        {"lines=0-1", 10, "whole"},
        {"bytes=0-0", 0, "whole"},
        {"bytes=-1", 0, "whole"},
        {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30", 99,
         "0+1 2+1 4+1 6+1 8+1 10+1 12+1 14+1 16+1 18+1 20+1 22+1 24+1 26+1 28+1 30+1"},
        {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32",
         99, "whole"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tg_static_range ranges[TG_STATIC_RANGES_MAX];
        size_t count = 0, len = 0;
        char text[512] = "";
        switch (tg_static_range_parse(tg_slice_cstr(cases[i].value), cases[i].size, ranges, &count)) {
        case TG_STATIC_WHOLE:
            (void)snprintf(text, sizeof text, "whole");
            break;
        case TG_STATIC_UNSATISFIABLE:
            (void)snprintf(text, sizeof text, "416");
            break;
        default:
            for (size_t j = 0; j < count; j++) {
                len +=
                    (size_t)snprintf(text + len, sizeof text - len, "%s%llu+%llu", j > 0 ? " " : "",
                                     (unsigned long long)ranges[j].first, (unsigned long long)ranges[j].len);
            }
        }
        assert_string_equal(text, cases[i].ranges);
    }
}

/* ---- finding ---- */

static enum tg_static_outcome find(struct scene *scene, const char *below, const char *codings,
                                   struct tg_static_found *found)
{
    struct tg_static_wish wish = {0};
    enum tg_err err =
        tg_static_map(scene->files, tg_slice_cstr(below), &scene->arena, &wish.name, &wish.slash);
    wish.missing = err == TG_ENOTFOUND;
    for (; *codings != '\0'; codings++) {
        wish.codings[wish.coding_count++] = *codings == 'g' ? TG_STATIC_GZIP : TG_STATIC_BROTLI;
    }
    tg_static_find(scene->files, &wish, found);
    bool open = found->outcome == TG_STATIC_FOUND || found->outcome == TG_STATIC_FALLBACK;
    assert_int_equal(open, found->file.fd >= 0);
    if (open) {
        close(found->file.fd);
    }
    return found->outcome;
}

static void files_are_found(void **state)
{
    struct scene *scene = *state;
    struct tg_static_found found;
    open_files(scene);
    static const struct {
        const char *below;
        enum tg_static_outcome outcome;
        size_t size;
    } cases[] = {
        {"/app.js", TG_STATIC_FOUND, 6},     {"/", TG_STATIC_FOUND, 6},
        {"/docs/", TG_STATIC_FOUND, 4},      {"/docs/index.html", TG_STATIC_FOUND, 4},
        {"/docs", TG_STATIC_DIRECTORY, 0},   {"", TG_STATIC_DIRECTORY, 0},
        {"/bare", TG_STATIC_MISSING, 0},     {"/bare/", TG_STATIC_MISSING, 0},
        {"/odd", TG_STATIC_MISSING, 0},      {"/odd/", TG_STATIC_MISSING, 0},
        {"/app.js/", TG_STATIC_MISSING, 0},  {"/none", TG_STATIC_MISSING, 0},
        {"/.env", TG_STATIC_MISSING, 0},     {"/docs//index.html", TG_STATIC_MISSING, 0},
        {"/index.html", TG_STATIC_FOUND, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(find(scene, cases[i].below, "", &found), cases[i].outcome);
        assert_int_equal(found.file.size, cases[i].size);
    }
    assert_int_equal(find(scene, "/docs/", "", &found), TG_STATIC_FOUND);
    assert_true(tg_slice_eq(found.type, TG_LIT("text/html; charset=utf-8")));
    scene->settings.index_document = TG_LIT("app.js");
    open_files(scene);
    assert_int_equal(find(scene, "/", "", &found), TG_STATIC_FOUND);
    assert_true(tg_slice_eq(found.type, TG_LIT("text/javascript; charset=utf-8")));
}

static void coded_files_lie_beside(void **state)
{
    struct scene *scene = *state;
    struct tg_static_found found;
    open_files(scene);
    static const struct {
        const char *below, *codings;
        enum tg_static_coding coding;
        size_t size;
    } cases[] = {
        {"/app.js", "bg", TG_STATIC_BROTLI, 3},
        {"/app.js", "gb", TG_STATIC_GZIP, 2},
        {"/app.js", "", TG_STATIC_IDENTITY, 6},
        {"/index.html", "bg", TG_STATIC_IDENTITY, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(find(scene, cases[i].below, cases[i].codings, &found), TG_STATIC_FOUND);
        assert_int_equal(found.coding, cases[i].coding);
        assert_int_equal(found.file.size, cases[i].size);
    }
    assert_int_equal(find(scene, "/app.js", "g", &found), TG_STATIC_FOUND);
    assert_true(tg_slice_eq(found.type, TG_LIT("text/javascript; charset=utf-8")));
    tree_file(&scene->tree, "www/alone.txt.gz", "no plain one");
    assert_int_equal(find(scene, "/alone.txt", "g", &found), TG_STATIC_MISSING);
    tree_link(&scene->tree, "../secret.txt", "www/index.html.gz");
    assert_int_equal(find(scene, "/index.html", "g", &found), TG_STATIC_FOUND);
    assert_int_equal(found.coding, TG_STATIC_IDENTITY);
}

static void the_fallback_stands_in(void **state)
{
    struct scene *scene = *state;
    struct tg_static_found found;
    scene->settings.fallback = TG_LIT("docs/index.html");
    open_files(scene);
    static const char *const missing[] = {"/none", "/a/b/c", "/bare/", "/bare", "/.env", "//x"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_int_equal(find(scene, missing[i], "", &found), TG_STATIC_FALLBACK);
        assert_int_equal(found.file.size, 4);
        assert_true(tg_slice_eq(found.type, TG_LIT("text/html; charset=utf-8")));
    }
    assert_int_equal(find(scene, "/app.js", "", &found), TG_STATIC_FOUND);
    assert_int_equal(find(scene, "/docs", "", &found), TG_STATIC_DIRECTORY);
    scene->settings.fallback = TG_LIT("gone.html");
    open_files(scene);
    assert_int_equal(find(scene, "/none", "", &found), TG_STATIC_MISSING);
}

/* ---- answers ---- */

static struct tg_static_answer answer(struct scene *scene, const struct tg_static_found *found, bool head,
                                      struct tg_headers *headers)
{
    struct tg_static_answer out;
    const struct tg_static_question question = {.headers = headers,
                                                .path = TG_LIT("/x/docs"),
                                                .query = TG_LIT("q"),
                                                .head = head,
                                                .now_ms = now_ms,
                                                .random = 0xabc};
    assert_int_equal(tg_static_answer(scene->files, &question, found, &scene->arena, &out), TG_OK);
    return out;
}

static struct tg_static_found a_file(void)
{
    return (struct tg_static_found){.outcome = TG_STATIC_FOUND,
                                    .file = {.fd = -1, .size = 100, .modified_s = 784111777},
                                    .type = TG_LIT("text/css; charset=utf-8")};
}

static void answers_have_their_fields(void **state)
{
    struct scene *scene = *state;
    struct tg_headers none = {0};
    struct tg_static_found found = a_file();
    open_files(scene);
    struct tg_static_answer out = answer(scene, &found, false, &none);
    assert_int_equal(out.status, 200);
    assert_int_equal(out.length, 100);
    assert_int_equal(out.count, 1);
    assert_int_equal(out.parts[0].len, 100);
    assert_string_equal(value_of(scene, &out.headers, "Content-Type"), "text/css; charset=utf-8");
    assert_string_equal(value_of(scene, &out.headers, "Last-Modified"), AT);
    assert_string_equal(value_of(scene, &out.headers, "Accept-Ranges"), "bytes");
    assert_string_equal(value_of(scene, &out.headers, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(value_of(scene, &out.headers, "Cache-Control"), "(none)");
    assert_string_equal(value_of(scene, &out.headers, "Vary"), "(none)");
    assert_string_equal(value_of(scene, &out.headers, "Content-Encoding"), "(none)");
    const char *etag = value_of(scene, &out.headers, "ETag");
    scene->settings.cache_control = TG_LIT("max-age=60");
    scene->settings.precompressed = true;
    scene->settings.allow_sniffing = true;
    found.coding = TG_STATIC_GZIP;
    open_files(scene);
    out = answer(scene, &found, true, &none);
    assert_int_equal(out.length, 100);
    assert_string_equal(value_of(scene, &out.headers, "X-Content-Type-Options"), "(none)");
    assert_string_equal(value_of(scene, &out.headers, "Cache-Control"), "max-age=60");
    assert_string_equal(value_of(scene, &out.headers, "Vary"), "Accept-Encoding");
    assert_string_equal(value_of(scene, &out.headers, "Content-Encoding"), "gzip");
    struct tg_headers again = {0};
    add(scene, &again, "If-None-Match", etag);
    add(scene, &again, "Range", "bytes=0-0");
    out = answer(scene, &found, false, &again);
    assert_int_equal(out.status, 304);
    assert_int_equal(out.count, 0);
    assert_int_equal(out.body.len, 0);
    assert_string_equal(value_of(scene, &out.headers, "ETag"), etag);
    assert_string_equal(value_of(scene, &out.headers, "Cache-Control"), "max-age=60");
    assert_string_equal(value_of(scene, &out.headers, "Vary"), "Accept-Encoding");
    assert_string_equal(value_of(scene, &out.headers, "Content-Type"), "(none)");
}

static void answers_to_ranges(void **state)
{
    struct scene *scene = *state;
    struct tg_headers one = {0}, more = {0}, behind = {0}, twice = {0}, failed = {0}, old = {0};
    struct tg_static_found found = a_file();
    open_files(scene);
    add(scene, &one, "Range", "bytes=10-19");
    struct tg_static_answer out = answer(scene, &found, false, &one);
    assert_int_equal(out.status, 206);
    assert_int_equal(out.length, 10);
    assert_int_equal(out.parts[0].offset, 10);
    assert_string_equal(value_of(scene, &out.headers, "Content-Range"), "bytes 10-19/100");
    assert_string_equal(value_of(scene, &out.headers, "Content-Type"), "text/css; charset=utf-8");
    assert_string_not_equal(value_of(scene, &out.headers, "ETag"), "(none)");
    out = answer(scene, &found, true, &one); /* Range is defined for GET alone */
    assert_int_equal(out.status, 200);
    assert_int_equal(out.length, 100);

    add(scene, &more, "Range", "bytes=0-0,-2");
    out = answer(scene, &found, false, &more);
    assert_int_equal(out.status, 206);
    assert_int_equal(out.count, 2);
    assert_string_equal(value_of(scene, &out.headers, "Content-Type"),
                        "multipart/byteranges; boundary=tidegate-0000000000000abc");
    assert_string_equal(value_of(scene, &out.headers, "Content-Range"), "(none)");
    assert_string_equal(out.parts[0].head.ptr, "--tidegate-0000000000000abc\r\n"
                                               "Content-Type: text/css; charset=utf-8\r\n"
                                               "Content-Range: bytes 0-0/100\r\n\r\n");
    assert_string_equal(out.parts[1].head.ptr, "\r\n--tidegate-0000000000000abc\r\n"
                                               "Content-Type: text/css; charset=utf-8\r\n"
                                               "Content-Range: bytes 98-99/100\r\n\r\n");
    assert_string_equal(out.tail.ptr, "\r\n--tidegate-0000000000000abc--\r\n");
    assert_int_equal(out.length, out.parts[0].head.len + 1 + out.parts[1].head.len + 2 + out.tail.len);

    add(scene, &behind, "Range", "bytes=100-");
    out = answer(scene, &found, false, &behind);
    assert_int_equal(out.status, 416);
    assert_string_equal(value_of(scene, &out.headers, "Content-Range"), "bytes */100");
    assert_string_equal(value_of(scene, &out.headers, "ETag"), "(none)");
    assert_int_equal(out.count, 0);

    add(scene, &twice, "Range", "bytes=0-0");
    add(scene, &twice, "Range", "bytes=1-1");
    assert_int_equal(answer(scene, &found, false, &twice).status, 200);

    add(scene, &failed, "Range", "bytes=0-0");
    add(scene, &failed, "If-Match", "\"x\"");
    out = answer(scene, &found, false, &failed);
    assert_int_equal(out.status, 412);
    assert_string_equal(out.body.ptr, "{\"message\":\"Precondition Failed\"}");

    add(scene, &old, "Range", "bytes=100-");
    add(scene, &old, "If-Range", "\"x\"");
    assert_int_equal(answer(scene, &found, false, &old).status, 200);
}

static void answers_without_a_file(void **state)
{
    struct scene *scene = *state;
    struct tg_headers none = {0};
    struct tg_static_found found = {.outcome = TG_STATIC_DIRECTORY, .file = {.fd = -1}};
    open_files(scene);
    struct tg_static_answer out = answer(scene, &found, false, &none);
    assert_int_equal(out.status, 301);
    assert_string_equal(value_of(scene, &out.headers, "Location"), "./docs/?q");
    assert_int_equal(out.length, 0);
    static const struct {
        enum tg_static_outcome outcome;
        int status;
        const char *body;
    } cases[] = {
        {TG_STATIC_MISSING, 404, "{\"message\":\"Not Found\"}"},
        {TG_STATIC_DENIED, 403, "{\"message\":\"Forbidden\"}"},
        {TG_STATIC_BUSY, 503, "{\"message\":\"Service Unavailable\"}"},
        {TG_STATIC_BROKEN, 500, "{\"message\":\"Internal Server Error\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        found.outcome = cases[i].outcome;
        out = answer(scene, &found, false, &none);
        assert_int_equal(out.status, cases[i].status);
        assert_string_equal(out.body.ptr, cases[i].body);
        assert_int_equal(out.length, out.body.len);
        assert_string_equal(value_of(scene, &out.headers, "Content-Type"), "application/json");
    }
}

static void the_fallback_has_its_status(void **state)
{
    struct scene *scene = *state;
    struct tg_headers headers = {0};
    struct tg_static_found found = a_file();
    found.outcome = TG_STATIC_FALLBACK;
    scene->settings.fallback = TG_LIT("index.html");
    open_files(scene);
    add(scene, &headers, "Range", "bytes=0-9");
    struct tg_static_answer out = answer(scene, &found, false, &headers);
    assert_int_equal(out.status, 206); /* as of a page of its own */
    scene->settings.fallback_status = 404;
    open_files(scene);
    add(scene, &headers, "If-None-Match", "*");
    out = answer(scene, &found, false, &headers);
    assert_int_equal(out.status, 404);
    assert_int_equal(out.length, 100);
    assert_string_equal(value_of(scene, &out.headers, "ETag"), "(none)");
    assert_string_equal(value_of(scene, &out.headers, "Accept-Ranges"), "(none)");
    assert_string_equal(value_of(scene, &out.headers, "Cache-Control"), "(none)");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(settings_that_cannot_be_are_told),
        TEST(paths_become_names),
        TEST(paths_that_lead_elsewhere_are_refused),
        TEST(a_redirect_stays_where_it_is),
        TEST(types_are_told_by_extension),
        TEST(codings_are_told_by_weight),
        TEST(validators_tell_every_change),
        TEST(a_file_that_has_not_rested_has_weak_ones),
        TEST(conditions_are_judged_in_their_order),
        TEST(if_range_needs_a_strong_validator),
        TEST(ranges_are_read),
        TEST(files_are_found),
        TEST(coded_files_lie_beside),
        TEST(the_fallback_stands_in),
        TEST(answers_have_their_fields),
        TEST(answers_to_ranges),
        TEST(answers_without_a_file),
        TEST(the_fallback_has_its_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
