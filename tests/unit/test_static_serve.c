/* Serving files onto an exchange that takes what it is told to take, as a client that reads slowly. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/static_serve_world.h"

static void small_files_are_answered_in_one(void **state)
{
    struct scene *scene = *state;
    ask(scene, "GET", "/index.html");
    assert_true(scene->replied);
    assert_int_equal(scene->status, 200);
    check_body(scene, "<html>");
    assert_int_equal(scene->done_bytes, 6);
    assert_string_equal(header(scene, "Content-Type"), "text/html; charset=utf-8");
    assert_string_equal(header(scene, "X-Added"), "yes");
    assert_int_equal(tg_work_pool_stats(scene->work).started, 1); /* found and read in one go */
    ask(scene, "GET", "/");
    check_body(scene, "<html>");
    ask(scene, "GET", "/empty.txt");
    assert_true(scene->replied);
    assert_int_equal(scene->status, 200);
    assert_int_equal(scene->done_bytes, 0);
    ask(scene, "GET", "/block.bin");
    assert_true(scene->replied);
    check_bytes(scene, 0, 0, TG_STATIC_BLOCK);
}

static void refusals(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *method, *path;
        int status;
        const char *body;
    } cases[] = {
        {"GET", "/none", 404, "{\"message\":\"Not Found\"}"},
        {"GET", "/.env", 404, "{\"message\":\"Not Found\"}"},
        {"GET", "/../secret.txt", 400, "{\"message\":\"Bad Request\"}"},
        {"GET", "/%2e%2e/secret.txt", 400, "{\"message\":\"Bad Request\"}"},
        {"GET", "/docs", 301, ""},
        {"POST", "/index.html", 405, "{\"message\":\"Method Not Allowed\"}"},
        {"get", "/index.html", 405, "{\"message\":\"Method Not Allowed\"}"},
        {"DELETE", "/none", 405, "{\"message\":\"Method Not Allowed\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(scene, cases[i].method, cases[i].path);
        assert_true(scene->replied);
        assert_int_equal(scene->status, cases[i].status);
        check_body(scene, cases[i].body);
        assert_string_equal(header(scene, "X-Added"), "yes");
        assert_string_equal(header(scene, "Allow"), cases[i].status == 405 ? "GET, HEAD" : "(none)");
    }
}

static void large_files_go_out_in_blocks(void **state)
{
    struct scene *scene = *state;
    ask(scene, "GET", "/big.bin");
    assert_true(scene->started);
    assert_int_equal(scene->length, MIB + 1);
    assert_true(scene->whole);
    assert_int_equal(scene->done_bytes, MIB + 1);
    assert_int_equal(scene->sends, MIB / TG_STATIC_BLOCK + 1);
    assert_int_equal(scene->largest, TG_STATIC_BLOCK);
    check_bytes(scene, 0, 0, MIB + 1);
}

static void a_slow_client_is_waited_for(void **state)
{
    struct scene *scene = *state;
    scene->capacity = 1;
    ask(scene, "GET", "/big.bin");
    assert_int_equal(scene->slow, scene->sends); /* the last as well: nothing is waited for behind it */
    check_bytes(scene, 0, 0, MIB + 1);
    scene->capacity = 3 * TG_STATIC_BLOCK;
    ask(scene, "GET", "/big.bin");
    assert_int_equal(scene->slow, 5);
    check_bytes(scene, 0, 0, MIB + 1);
}

static void head_sends_nothing(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *path, *length;
    } cases[] = {{"/big.bin", "1048577"}, {"/index.html", "6"}};
    for (size_t i = 0; i < 2; i++) {
        ask(scene, "HEAD", cases[i].path);
        assert_int_equal(scene->status, 200);
        assert_int_equal(scene->sends, 0);
        assert_int_equal(scene->done_bytes, 0);
        assert_true(scene->whole);
        assert_string_equal(header(scene, "Content-Length"), cases[i].length);
    }
    ask(scene, "HEAD", "/none");
    assert_int_equal(scene->status, 404);
    assert_int_equal(scene->done_bytes, 0);
}

static void conditions_and_ranges_reach_the_wire(void **state)
{
    struct scene *scene = *state;
    char etag[64];
    tree_time(&scene->tree, "www/big.bin", 1700000000, 5);
    ask(scene, "HEAD", "/big.bin");
    (void)snprintf(etag, sizeof etag, "%s", header(scene, "ETag"));
    begin(scene, "GET", "/big.bin");
    field(scene, "If-None-Match", etag);
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->status, 304);
    assert_int_equal(scene->taken, 0);
    begin(scene, "GET", "/big.bin");
    field(scene, "Range", "bytes=1000-");
    field(scene, "If-Range", etag);
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->status, 206);
    assert_int_equal(scene->length, MIB + 1 - 1000);
    assert_string_equal(header(scene, "Content-Range"), "bytes 1000-1048576/1048577");
    check_bytes(scene, 0, 1000, MIB + 1 - 1000);
}

static void several_ranges_are_parts(void **state)
{
    struct scene *scene = *state;
    for (int slow = 0; slow < 2; slow++) {
        scene->capacity = slow == 0 ? 0 : 1;
        begin(scene, "GET", "/big.bin");
        field(scene, "Range", "bytes=500000-699999,0-9");
        assert_int_equal(serve(scene), TG_OK);
        wait_done(scene);
        assert_int_equal(scene->status, 206);
        assert_true(scene->whole);
        assert_int_equal(scene->taken, scene->length);
        struct tg_slice body = tg_buf_slice(&scene->body);
        size_t first = tg_slice_find_slice(body, TG_LIT("bytes 500000-699999/1048577\r\n\r\n")) + 31;
        check_bytes(scene, first, 500000, 200000);
        struct tg_slice rest = tg_slice_from(body, first + 200000);
        assert_true(tg_slice_starts(rest, TG_LIT("\r\n--tidegate-0000000000001234\r\n")));
        size_t second = tg_slice_find_slice(rest, TG_LIT("bytes 0-9/1048577\r\n\r\n")) + 21;
        check_bytes(scene, first + 200000 + second, 0, 10);
        assert_true(
            tg_slice_eq(tg_slice_from(rest, second + 10), TG_LIT("\r\n--tidegate-0000000000001234--\r\n")));
    }
}

/* Positions past 32 bits, of a file that takes no room. */
static void huge_files_have_ranges(void **state)
{
    struct scene *scene = *state;
    tree_resize(&scene->tree, "www/huge.bin", (off_t)1 << 40);
    begin(scene, "GET", "/huge.bin");
    field(scene, "Range", "bytes=1099511627770-");
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->status, 206);
    assert_string_equal(header(scene, "Content-Range"), "bytes 1099511627770-1099511627775/1099511627776");
    assert_int_equal(scene->taken, 6);
    ask(scene, "HEAD", "/huge.bin");
    assert_string_equal(header(scene, "Content-Length"), "1099511627776");
}

static void shrink(struct scene *scene)
{
    if (scene->sends == 2) {
        tree_resize(&scene->tree, "www/big.bin", 3 * TG_STATIC_BLOCK + 100);
    }
}

static void grow(struct scene *scene)
{
    if (scene->sends == 2) {
        tree_resize(&scene->tree, "www/big.bin", 2 * MIB);
    }
}

static void a_file_that_changes_is_not_misframed(void **state)
{
    struct scene *scene = *state;
    scene->on_send = grow;
    ask(scene, "GET", "/big.bin");
    assert_int_equal(scene->taken, MIB + 1);
    check_bytes(scene, 0, 0, MIB + 1);
    scene->on_send = shrink;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->length, 2 * MIB);
    assert_false(scene->whole);
    assert_int_equal(scene->done_err, TG_EIO);
    assert_int_equal(scene->done_status, 200);
    assert_int_equal(scene->taken, 3 * TG_STATIC_BLOCK + 100);
    assert_int_equal(scene->done_bytes, scene->taken);
}

static void go_away(struct scene *scene)
{
    void (*on_abort)(void *) = scene->exchange.on_abort;
    void *arg = scene->exchange.abort_arg;
    assert_non_null(on_abort);
    on_abort(arg);
}

static void a_client_that_goes_ends_it(void **state)
{
    struct scene *scene = *state;
    /* While the file is looked for. */
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    go_away(scene);
    assert_true(scene->done && scene->replied);
    assert_int_equal(scene->done_status, 0);
    assert_int_equal(scene->prepared, 0);
    /* Before a refusal went out. */
    begin(scene, "PUT", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    go_away(scene);
    assert_true(scene->done && scene->replied);
    /* While a block is read, or the client is slow. */
    for (int slow = 0; slow < 2; slow++) {
        scene->capacity = slow == 0 ? 0 : 1;
        begin(scene, "GET", "/big.bin");
        assert_int_equal(serve(scene), TG_OK);
        while (scene->sends < 3) {
            tg_loop_run_once(scene->loop);
        }
        assert_false(scene->done);
        go_away(scene);
        assert_true(scene->done && !scene->whole && scene->done_err == TG_ECLOSED);
        assert_int_equal(scene->done_status, 200);
        assert_int_equal(scene->done_bytes, scene->taken);
    }
    /* As the head goes out. */
    scene->start_result = TG_ECLOSED;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->done_err, TG_ECLOSED);
    assert_int_equal(scene->taken, 0);
}

static void cancelled(void **state)
{
    struct scene *scene = *state;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    assert_false(tg_static_serve_cancel(scene->serve));
    assert_false(scene->ended);
    /* The exchange is the caller's again. */
    scene->exchange.ops->reply(&scene->exchange, 504, &(struct tg_headers){0}, TG_EMPTY);
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    while (scene->sends < 2) {
        tg_loop_run_once(scene->loop);
    }
    assert_true(tg_static_serve_cancel(scene->serve));
    assert_true(scene->ended && !scene->whole);
    begin(scene, "PUT", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    assert_false(tg_static_serve_cancel(scene->serve));
    scene->exchange.ops->reply(&scene->exchange, 504, &(struct tg_headers){0}, TG_EMPTY);
    assert_false(scene->done);
    for (int i = 0; i < 3; i++) {
        ask(scene, "GET", "/index.html"); /* what was cancelled is not heard of meanwhile */
    }
}

static void heads_that_cannot_go_out(void **state)
{
    struct scene *scene = *state;
    scene->start_result = TG_EINVAL;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_true(scene->replied);
    assert_int_equal(scene->done_status, 500);
    scene->start_result = TG_OK;
    scene->fail_prepare = true;
    static const char *const paths[] = {"/index.html", "/big.bin", "/none"};
    for (size_t i = 0; i < 3; i++) {
        begin(scene, "GET", paths[i]);
        assert_int_equal(serve(scene), TG_OK);
        wait_done(scene);
        assert_int_equal(scene->prepared, 1);
        assert_int_equal(scene->done_status, 500);
        assert_string_equal(header(scene, "ETag"), "(none)");
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(small_files_are_answered_in_one),
        TEST(refusals),
        TEST(large_files_go_out_in_blocks),
        TEST(a_slow_client_is_waited_for),
        TEST(head_sends_nothing),
        TEST(conditions_and_ranges_reach_the_wire),
        TEST(several_ranges_are_parts),
        TEST(huge_files_have_ranges),
        TEST(a_file_that_changes_is_not_misframed),
        TEST(a_client_that_goes_ends_it),
        TEST(cancelled),
        TEST(heads_that_cannot_go_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
