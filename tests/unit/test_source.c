/* Source expressions: identity sources (spec 7.4). The sources of mappings are tested in test_mapping.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/source.h"
#include "tests/unit/vars_rows.h"

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

static void compiles_identity_sources(void **state)
{
    (void)state;
    static const char *const good[] = {"route.request.header.Authorization",
                                       "route.request.querystring.token", "context.connectionId",
                                       "stageVariables.secret_1"};
    static const char *const bad[] = {"",
                                      "route.request.header.",
                                      "route.request.header.a$b",
                                      "'literal'",
                                      "method.request.header.Authorization",
                                      "route.request.body.token",
                                      "route.request.multivalueheader.A",
                                      "$request.header.Authorization",
                                      "route.request.header.a b",
                                      "header.Authorization",
                                      "context"};
    struct tg_source source;
    struct tg_slice error;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(tg_source_compile_identity(&arena, tg_slice_cstr(good[i]), &source, &error), TG_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error = TG_EMPTY;
        assert_int_equal(tg_source_compile_identity(&arena, tg_slice_cstr(bad[i]), &source, &error),
                         TG_ESYNTAX);
        assert_true(error.len > 0);
    }
}

static void resolves_identity_sources(void **state)
{
    (void)state;
    static const struct vars_row rows[] = {{TG_VAR_HEADER, "Authorization", "secret"},
                                           {TG_VAR_CONTEXT, "connectionId", "abc="},
                                           {TG_VAR_CONTEXT, "eventType", "CONNECT"},
                                           {TG_VAR_CONTEXT, "messageDirection", "IN"},
                                           {TG_VAR_CONTEXT, "routeKey", "$connect"},
                                           {TG_VAR_STAGE, "routeKey", "v"},
                                           {0}};
    static const char *const expected[][2] = {
        {"route.request.header.Authorization", "secret"},
        {"route.request.querystring.Authorization", ""},
        {"context.connectionId", "abc="},
        {"context.eventType", ""},
        {"context.messageDirection", ""},
        {"context.routeKey", ""},
        {"stageVariables.routeKey", "v"},
        {"stageVariables.none", ""},
    };
    const struct tg_vars vars = VARS_OF(rows);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct tg_source source;
        struct tg_slice out;
        assert_int_equal(tg_source_compile_identity(&arena, tg_slice_cstr(expected[i][0]), &source, &out),
                         TG_OK);
        assert_int_equal(tg_source_identity(&source, &vars, &arena, &out), TG_OK);
        assert_true(tg_slice_eq(out, tg_slice_cstr(expected[i][1])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(compiles_identity_sources, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resolves_identity_sources, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
