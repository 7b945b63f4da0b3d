#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/base/headers.h"

struct fixture {
    struct tg_arena arena;
    struct tg_headers headers;
};

static void set_up(struct fixture *fixture)
{
    static const struct tg_header fields[] = {
        {TG_LIT_INIT("Host"), TG_LIT_INIT("a")},           {TG_LIT_INIT("X-One"), TG_LIT_INIT("1")},
        {TG_LIT_INIT("Connection"), TG_LIT_INIT("close")}, {TG_LIT_INIT("x-one"), TG_LIT_INIT("2")},
        {TG_LIT_INIT("X-ONE"), TG_LIT_INIT("3")},
    };
    tg_arena_init(&fixture->arena, NULL);
    fixture->headers = (struct tg_headers){0};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        assert_int_equal(tg_headers_add(&fixture->headers, &fixture->arena, fields[i].name, fields[i].value),
                         TG_OK);
    }
}

static void assert_field(const struct tg_header *field, const char *name, const char *value)
{
    assert_non_null(field);
    assert_true(tg_slice_eq(field->name, tg_slice_cstr(name)));
    assert_true(tg_slice_eq(field->value, tg_slice_cstr(value)));
}

static void names_keep_their_case_and_order(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    assert_int_equal(f.headers.count, 5);
    assert_field(&f.headers.items[0], "Host", "a");
    assert_field(tg_headers_first(&f.headers, TG_LIT("x-ONE")), "X-One", "1");
    assert_field(tg_headers_last(&f.headers, TG_LIT("x-One")), "X-ONE", "3");
    assert_int_equal(tg_headers_count(&f.headers, TG_LIT("x-one")), 3);
    assert_null(tg_headers_first(&f.headers, TG_LIT("x-on")));
    assert_null(tg_headers_last(&f.headers, TG_LIT("x-on")));
    assert_int_equal(tg_headers_count(&f.headers, TG_LIT("x-on")), 0);
    tg_arena_reset(&f.arena);
}

static void setting_leaves_one_in_the_first_place(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    assert_int_equal(tg_headers_set(&f.headers, &f.arena, TG_LIT("X-one"), TG_LIT("new")), TG_OK);
    assert_int_equal(f.headers.count, 3);
    assert_field(&f.headers.items[1], "X-one", "new");
    assert_field(&f.headers.items[2], "Connection", "close");
    assert_int_equal(tg_headers_set(&f.headers, &f.arena, TG_LIT("Added"), TG_LIT("x")), TG_OK);
    assert_field(&f.headers.items[3], "Added", "x");
    tg_arena_reset(&f.arena);
}

static void removing_takes_all(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    tg_headers_remove(&f.headers, TG_LIT("X-one"));
    assert_int_equal(f.headers.count, 2);
    assert_field(&f.headers.items[0], "Host", "a");
    assert_field(&f.headers.items[1], "Connection", "close");
    tg_headers_remove(&f.headers, TG_LIT("absent"));
    assert_int_equal(f.headers.count, 2);
    tg_arena_reset(&f.arena);
}

static void many_fields_grow_the_list(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(tg_headers_add(&f.headers, &f.arena, TG_LIT("Many"), TG_LIT("v")), TG_OK);
    }
    assert_int_equal(tg_headers_count(&f.headers, TG_LIT("many")), 1000);
    assert_field(&f.headers.items[4], "X-ONE", "3");
    tg_arena_reset(&f.arena);
}

static void tokens_are_found_in_lists(void **state)
{
    (void)state;
    struct tg_header fields[] = {
        {TG_LIT("Connection"), TG_LIT("keep-alive,  UPGRADE\t")},
        {TG_LIT("connection"), TG_LIT("close")},
        {TG_LIT("Other"), TG_LIT("te")},
        {TG_LIT("Empty"), TG_EMPTY},
    };
    struct tg_headers headers = {fields, 4, 4};
    assert_true(tg_headers_has_token(&headers, TG_LIT("Connection"), TG_LIT("upgrade")));
    assert_true(tg_headers_has_token(&headers, TG_LIT("Connection"), TG_LIT("Keep-Alive")));
    assert_true(tg_headers_has_token(&headers, TG_LIT("Connection"), TG_LIT("close")));
    assert_false(tg_headers_has_token(&headers, TG_LIT("Connection"), TG_LIT("te")));
    assert_false(tg_headers_has_token(&headers, TG_LIT("Connection"), TG_LIT("upgrad")));
    assert_false(tg_headers_has_token(&headers, TG_LIT("Empty"), TG_LIT("x")));
}

static void hop_by_hop_fields_are_known(void **state)
{
    (void)state;
    assert_true(tg_header_is_hop_by_hop(TG_LIT("connection")));
    assert_true(tg_header_is_hop_by_hop(TG_LIT("TRANSFER-ENCODING")));
    assert_true(tg_header_is_hop_by_hop(TG_LIT("te")));
    assert_true(tg_header_is_hop_by_hop(TG_LIT("Upgrade")));
    assert_false(tg_header_is_hop_by_hop(TG_LIT("Content-Length")));
    assert_false(tg_header_is_hop_by_hop(TG_LIT("Host")));
    assert_false(tg_header_is_hop_by_hop(TG_EMPTY));
}

static void names_and_values_are_checked(void **state)
{
    (void)state;
    assert_true(tg_header_name_ok(TG_LIT("X-!#$%&'*+-.^_`|~09azAZ")));
    assert_false(tg_header_name_ok(TG_EMPTY));
    assert_false(tg_header_name_ok(TG_LIT("a b")));
    assert_false(tg_header_name_ok(TG_LIT("a:")));
    assert_false(tg_header_name_ok(TG_LIT("a\0")));
    assert_false(tg_header_name_ok(TG_LIT("\xc3\xa4")));
    assert_true(tg_header_value_ok(TG_EMPTY));
    assert_true(tg_header_value_ok(TG_LIT("a b\t\xc3\xa4\"")));
    assert_false(tg_header_value_ok(TG_LIT("a\rb")));
    assert_false(tg_header_value_ok(TG_LIT("a\nb")));
    assert_false(tg_header_value_ok(TG_LIT("a\0b")));
    assert_false(tg_header_value_ok(TG_LIT("a\x7f")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_keep_their_case_and_order),
        cmocka_unit_test(setting_leaves_one_in_the_first_place),
        cmocka_unit_test(removing_takes_all),
        cmocka_unit_test(many_fields_grow_the_list),
        cmocka_unit_test(tokens_are_found_in_lists),
        cmocka_unit_test(hop_by_hop_fields_are_known),
        cmocka_unit_test(names_and_values_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
