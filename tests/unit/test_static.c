/* The parts of serving files that need no loop: settings, paths, types, finding, answers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/static_scene.h"

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

#define AT "Sun, 06 Nov 1994 08:49:37 GMT"

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
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        TEST(settings_that_cannot_be_are_told),
        TEST(paths_become_names),
        TEST(paths_that_lead_elsewhere_are_refused),
        TEST(a_redirect_stays_where_it_is),
        TEST(types_are_told_by_extension),
        TEST(codings_are_told_by_weight),
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
