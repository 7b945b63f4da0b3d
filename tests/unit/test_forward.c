#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "routes/forward.h"

struct world {
    struct tg_arena_pool pool;
    struct tg_arena arena;
    struct tg_forward forward;
    struct tg_slice error;
    struct tg_slice path, query;
};

static int setup(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    tg_arena_pool_init(&world->pool, 8);
    tg_arena_init(&world->arena, &world->pool);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    tg_arena_reset(&world->arena);
    tg_arena_pool_free(&world->pool);
    test_free(world);
    return 0;
}

static struct tg_string_pair pairs[] = {{TG_LIT_INIT("host"), TG_LIT_INIT("back.example:8081")},
                                        {TG_LIT_INIT("base"), TG_LIT_INIT("v2")},
                                        {TG_LIT_INIT("bad"), TG_LIT_INIT(":x")}};
static const struct tg_string_map variables = {pairs, 3};

static enum tg_err compile(struct world *world, const char *uri)
{
    return tg_forward_compile(&world->arena, tg_slice_cstr(uri), &variables, &world->forward, &world->error);
}

#define ASSERT_TEXT(slice, text)                                                                             \
    assert_true((slice).ptr != NULL && (slice).len == sizeof(text) - 1 &&                                    \
                memcmp((slice).ptr, text, sizeof(text) - 1) == 0)

static const struct tg_pathtrie_param params[] = {
    {TG_LIT_INIT("id"), TG_LIT_INIT("a%2Fb"), TG_LIT_INIT("a/b")},
    {TG_LIT_INIT("proxy"), TG_LIT_INIT("x/y%20z"), TG_LIT_INIT("x/y z")},
};

static void resolve(struct world *world, const char *query, bool is_default)
{
    const struct tg_forward_input input = {
        .params = params,
        .param_count = 2,
        .path = TG_LIT("/pets/1"),
        .staged_path = TG_LIT("/prod/pets/1"),
        .query = query != NULL ? tg_slice_cstr(query) : TG_EMPTY,
        .is_default = is_default,
    };
    assert_int_equal(tg_forward_resolve(&world->forward, &input, &world->arena, &world->path, &world->query),
                     TG_OK);
}

static void test_plain_url_is_as_written(void **state)
{
    struct world *world = *state;
    assert_int_equal(compile(world, "https://back.example/base/x"), TG_OK);
    assert_true(world->forward.origin.tls);
    ASSERT_TEXT(world->forward.origin.host, "back.example");
    assert_int_equal(world->forward.origin.port, 443);
    ASSERT_TEXT(world->forward.host_header, "back.example");
    resolve(world, NULL, false);
    ASSERT_TEXT(world->path, "/base/x");
    assert_null(world->query.ptr);
    resolve(world, "a=1&b", false);
    ASSERT_TEXT(world->query, "a=1&b");
}

static void test_parameters_keep_their_encoding_in_paths(void **state)
{
    struct world *world = *state;
    assert_int_equal(compile(world, "http://h/p/{id}/q/{proxy+}"), TG_OK);
    resolve(world, NULL, false);
    ASSERT_TEXT(world->path, "/p/a%2Fb/q/x/y%20z");
}

static void test_parameters_are_encoded_in_queries(void **state)
{
    struct world *world = *state;
    assert_int_equal(compile(world, "http://h/p?id={id}&k=v"), TG_OK);
    resolve(world, "c=2", false);
    ASSERT_TEXT(world->path, "/p");
    ASSERT_TEXT(world->query, "id=a%2Fb&k=v&c=2");
    resolve(world, NULL, false);
    ASSERT_TEXT(world->query, "id=a%2Fb&k=v");
    assert_int_equal(compile(world, "http://h/p?"), TG_OK);
    resolve(world, "c=2", false);
    ASSERT_TEXT(world->query, "c=2");
}

static void test_default_route_sends_the_whole_path(void **state)
{
    struct world *world = *state;
    assert_int_equal(compile(world, "http://h"), TG_OK);
    resolve(world, NULL, true);
    ASSERT_TEXT(world->path, "/pets/1");
    assert_int_equal(compile(world, "http://h/base/"), TG_OK);
    resolve(world, NULL, true);
    ASSERT_TEXT(world->path, "/base/pets/1");
    assert_int_equal(compile(world, "http://h/base"), TG_OK);
    resolve(world, NULL, true);
    ASSERT_TEXT(world->path, "/base/pets/1");
}

static void test_arn_sends_path_and_stage(void **state)
{
    struct world *world = *state;
    assert_int_equal(compile(world, "arn:aws:elasticloadbalancing:us-east-1:1:listener/app/x/1/2"), TG_OK);
    resolve(world, "q", false);
    ASSERT_TEXT(world->path, "/prod/pets/1");
    ASSERT_TEXT(world->query, "q");
}

static void test_stage_variables(void **state)
{
    struct world *world = *state;
    assert_int_equal(compile(world, "http://${stageVariables.host}/${stageVariables.base}/{id}"), TG_OK);
    assert_int_equal(world->forward.error.len, 0);
    ASSERT_TEXT(world->forward.host_header, "back.example:8081");
    assert_int_equal(world->forward.origin.port, 8081);
    resolve(world, NULL, false);
    ASSERT_TEXT(world->path, "/v2/a%2Fb");
    assert_int_equal(compile(world, "http://${stageVariables.nothing}/"), TG_OK);
    ASSERT_TEXT(world->forward.error, "the stage has no variable \"nothing\"");
    assert_int_equal(compile(world, "http://${stageVariables.bad}${stageVariables.bad}/"), TG_OK);
    assert_true(world->forward.error.len > 0);
}

static void test_what_no_url_may_hold(void **state)
{
    struct world *world = *state;
    assert_int_equal(compile(world, "http://h/{}"), TG_EINVAL);
    assert_int_equal(compile(world, "http://h/{a b}"), TG_OK); /* no URL at all: a blank */
    assert_true(world->forward.error.len > 0);
    assert_int_equal(compile(world, "http://h/{open"), TG_EINVAL);
    assert_true(world->error.len > 0);
    /* Clients must not choose whom we call. */
    assert_int_equal(compile(world, "http://{id}.example/"), TG_OK);
    assert_true(world->forward.error.len > 0);
}

static void count(void *arg, struct tg_slice name)
{
    size_t *counter = arg;
    (*counter)++;
    assert_true(name.len > 0);
}

static void test_parameters_can_be_listed(void **state)
{
    struct world *world = *state;
    size_t counter = 0;
    assert_int_equal(compile(world, "http://h/{a}/b/{c}?d={e}"), TG_OK);
    tg_forward_each_parameter(&world->forward, count, &counter);
    assert_int_equal(counter, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain_url_is_as_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parameters_keep_their_encoding_in_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parameters_are_encoded_in_queries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_route_sends_the_whole_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arn_sends_path_and_stage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stage_variables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_no_url_may_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parameters_can_be_listed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
