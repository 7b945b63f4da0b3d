#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/target.h"
#include "tests/unit/vars_rows.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

static void assert_slice(struct tg_slice actual, const char *expected)
{
    if (!tg_slice_eq(actual, tg_slice_cstr(expected))) {
        fail_msg("\"%.*s\" is not \"%s\"", TG_FMT(actual), expected);
    }
}

static void urls_are_taken_apart(void **state)
{
    static const struct {
        const char *url;
        bool tls;
        const char *host;
        uint16_t port;
        const char *host_header, *path_query;
    } rows[] = {
        {"http://a.test", false, "a.test", 80, "a.test", "/"},
        {"http://a.test/", false, "a.test", 80, "a.test", "/"},
        {"https://a.test/x/y?z=1&w", true, "a.test", 443, "a.test", "/x/y?z=1&w"},
        {"http://a.test:8080/x", false, "a.test", 8080, "a.test:8080", "/x"},
        {"https://a.test:8443", true, "a.test", 8443, "a.test:8443", "/"},
        {"http://a.test?x=1", false, "a.test", 80, "a.test", "/?x=1"},
        {"http://10.0.0.1:1/{proxy}", false, "10.0.0.1", 1, "10.0.0.1:1", "/{proxy}"},
        {"http://[::1]:9000/ws", false, "::1", 9000, "[::1]:9000", "/ws"},
        {"http://[2001:db8::1]", false, "2001:db8::1", 80, "[2001:db8::1]", "/"},
        {"http://my_service:65535/", false, "my_service", 65535, "my_service:65535", "/"},
        {"http://unix:/run/app.sock:/ws?x=1", false, "unix:/run/app.sock", 0, "localhost", "/ws?x=1"},
        {"http://unix:/run/app.sock", false, "unix:/run/app.sock", 0, "localhost", "/"},
        {"http://a.test/%20%C3%A4", false, "a.test", 80, "a.test", "/%20%C3%A4"},
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_target_address address;
        const char *what = NULL;
        if (tg_target_parse(&arena, tg_slice_cstr(rows[i].url), &address, &what) != TG_OK) {
            fail_msg("%s: %s", rows[i].url, what);
        }
        assert_int_equal(address.origin.tls, rows[i].tls);
        assert_slice(address.origin.host, rows[i].host);
        assert_int_equal(address.origin.port, rows[i].port);
        assert_slice(address.host_header, rows[i].host_header);
        assert_slice(address.path_query, rows[i].path_query);
    }
    tg_arena_reset(&arena);
}

static void other_texts_are_no_urls(void **state)
{
    static const char *const rows[] = {
        "",
        "a.test",
        "ftp://a.test/",
        "HTTP//a.test",
        "http:/a.test",
        "http://",
        "http:///x",
        "http://:80/",
        "http://a.test:/",
        "http://a.test:0/",
        "http://a.test:65536/",
        "http://a.test:8o/",
        "http://a.test:-1/",
        "http://user@a.test/",
        "http://user:secret@a.test/",
        "http://a b/",
        "http://a.test/x y",
        "http://a.test/\xC3\xA4",
        "http://a.test/x\r\nEvil: 1",
        "http://a.test/#x",
        "http://[::1",
        "http://[::1]x/",
        "http://[::1]:x/",
        "http://[]/",
        "http://[zz]/",
        "https://unix:/run/app.sock:/",
        "http://unix:/run/app.sock:x",
        "http://unix:/run/app.sock:/x y",
        "http://a/b.test@c",
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i + 1 < COUNT(rows); i++) { /* an @ in the path is fine: the last row */
        struct tg_target_address address;
        const char *what = NULL;
        if (tg_target_parse(&arena, tg_slice_cstr(rows[i]), &address, &what) != TG_EINVAL || what == NULL) {
            fail_msg("%s", rows[i]);
        }
    }
    struct tg_target_address address;
    const char *what;
    assert_int_equal(tg_target_parse(&arena, tg_slice_cstr(rows[COUNT(rows) - 1]), &address, &what), TG_OK);
    tg_arena_reset(&arena);
}

struct world {
    struct tg_arena arena;
    struct tg_string_pair pairs[2];
    struct tg_string_map variables;
    struct tg_headers headers;
};

static int set_up(void **state)
{
    static struct world world;
    world = (struct world){
        .pairs = {{TG_LIT("backend"), TG_LIT("127.0.0.1:9000")}, {TG_LIT("bad"), TG_LIT("a?b=c#d")}},
    };
    world.variables = (struct tg_string_map){world.pairs, 2};
    tg_arena_init(&world.arena, NULL);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    tg_arena_reset(&((struct world *)*state)->arena);
    return 0;
}

static const struct tg_target *compile(struct world *world, const char *url)
{
    const struct tg_target *target;
    struct tg_slice error = TG_EMPTY;
    if (tg_target_compile(&world->arena, tg_slice_cstr(url), &target, &error) != TG_OK) {
        fail_msg("%s: %.*s", url, TG_FMT(error));
    }
    return target;
}

static enum tg_err resolve(struct world *world, const char *url, const struct tg_mapping *mapping,
                           const struct vars_row *rows, struct tg_target_address *out,
                           struct tg_slice *detail)
{
    const struct tg_vars vars = VARS_OF(rows);
    const struct tg_target_input input = {
        .stage_variables = &world->variables, .mapping = mapping, .vars = &vars};
    return tg_target_resolve(compile(world, url), &input, &world->arena, &world->headers, out, detail);
}

static void fixed_urls_are_parsed_once(void **state)
{
    struct world *world = *state;
    struct tg_target_address address;
    struct tg_slice detail;
    const struct tg_target *target = compile(world, "http://a.test/x");
    const struct tg_target_input input = {.stage_variables = &world->variables};
    assert_true(target->fixed);
    assert_int_equal(tg_target_resolve(target, &input, &world->arena, &world->headers, &address, &detail),
                     TG_OK);
    assert_ptr_equal(address.path_query.ptr, target->address.path_query.ptr);
    assert_false(compile(world, "http://${stageVariables.backend}/x")->fixed);
}

static void bad_urls_are_refused_at_load(void **state)
{
    struct world *world = *state;
    static const char *const rows[] = {"", "x", "http://a.test/x y", "http://${stageVariables.}/"};
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct tg_target *target;
        struct tg_slice error = TG_EMPTY;
        if (tg_target_compile(&world->arena, tg_slice_cstr(rows[i]), &target, &error) != TG_EINVAL ||
            error.len == 0) {
            fail_msg("%s", rows[i]);
        }
    }
}

static void stage_variables_are_filled_in(void **state)
{
    struct world *world = *state;
    struct tg_target_address address;
    struct tg_slice detail = TG_EMPTY;
    assert_int_equal(resolve(world, "http://${stageVariables.backend}/x", NULL, (struct vars_row[]){{0}},
                             &address, &detail),
                     TG_OK);
    assert_slice(address.origin.host, "127.0.0.1");
    assert_int_equal(address.origin.port, 9000);
    assert_slice(address.host_header, "127.0.0.1:9000");
    assert_int_equal(
        resolve(world, "http://${stageVariables.none}/x", NULL, (struct vars_row[]){{0}}, &address, &detail),
        TG_ENOTFOUND);
    assert_slice(detail, "none");
    assert_int_equal(
        resolve(world, "http://h/${stageVariables.bad}", NULL, (struct vars_row[]){{0}}, &address, &detail),
        TG_EINVAL);
    assert_true(detail.len > 0);
}

static void mapped_parts_are_filled_in(void **state)
{
    struct world *world = *state;
    struct tg_mapping mapping = {0};
    struct tg_slice detail = TG_EMPTY, error;
    struct tg_target_address address;
    static const struct vars_row vars[] = {{TG_VAR_CONTEXT, "connectionId", "a/b="}, {0}};
    static const char *const keys[] = {"integration.request.path.id", "integration.request.querystring.c",
                                       "integration.request.header.X-Id"};
    for (size_t i = 0; i < COUNT(keys); i++) {
        assert_int_equal(tg_mapping_add(&mapping, &world->arena, tg_slice_cstr(keys[i]),
                                        TG_LIT("context.connectionId"), &error),
                         TG_OK);
    }
    assert_int_equal(resolve(world, "http://a.test/c/{id}/x?y=1", &mapping, vars, &address, &detail), TG_OK);
    assert_slice(address.path_query, "/c/a%2Fb%3D/x?y=1&c=a%2Fb%3D");
    assert_slice(address.origin.host, "a.test");
    assert_slice(tg_headers_first(&world->headers, TG_LIT("X-Id"))->value, "a/b=");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart), cmocka_unit_test(other_texts_are_no_urls),
        TEST(fixed_urls_are_parsed_once),       TEST(bad_urls_are_refused_at_load),
        TEST(stage_variables_are_filled_in),    TEST(mapped_parts_are_filled_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
