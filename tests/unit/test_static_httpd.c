/* Files through the real HTTP server, to clients on sockets. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/static_serve.h"
#include "tests/unit/httpd_world.h"
#include "tests/unit/tree.h"

enum { BIG = 32 << 20 };

struct site {
    struct world *world;
    struct tree tree;
    struct tg_static *files;
    struct tg_work_pool *work;
    int begun, ended, cut;
    uint64_t bytes;
};

static void served(void *arg, int status, uint64_t bytes, enum tg_err err)
{
    struct site *site = arg;
    assert_true(status == 0 ? err == TG_ECLOSED : status >= 200);
    site->ended++;
    site->cut += err != TG_OK;
    site->bytes = bytes;
}

static void serve(void *arg, struct tg_exchange *exchange)
{
    struct site *site = arg;
    struct tg_static_serve *serving;
    const struct tg_static_input input = {.files = site->files,
                                          .loop = site->world->loop,
                                          .work = site->work,
                                          .exchange = exchange,
                                          .arena = exchange->arena,
                                          .below = exchange->path,
                                          .random = 7,
                                          .done = served,
                                          .arg = site};
    site->begun++;
    assert_int_equal(tg_static_serve(&input, &serving), TG_OK);
}

static int setup(void **state)
{
    const struct tg_work_options options = {.running_max = 2, .waiting_max = 64};
    struct site *site = calloc(1, sizeof *site);
    char root[128];
    const char *why;
    char *bytes = malloc(BIG);
    assert_non_null(site);
    assert_non_null(bytes);
    (void)world_setup((void **)&site->world);
    tg_httpd_free(site->world->httpd);
    site->world->options.handle = serve;
    site->world->options.arg = site;
    assert_int_equal(tg_httpd_new(&site->world->options, &site->world->httpd), TG_OK);
    start_listening(site->world);
    assert_int_equal(tg_work_pool_new(site->world->loop, &options, &site->work), TG_OK);
    for (size_t i = 0; i < BIG; i++) {
        bytes[i] = (char)(i % 251);
    }
    tree_init(&site->tree);
    tree_dir(&site->tree, "www");
    tree_file(&site->tree, "www/index.html", "<html>");
    tree_file(&site->tree, "www/empty", "");
    tree_dir(&site->tree, "www/docs");
    tree_file(&site->tree, "www/docs/index.html", "docs");
    tree_bytes(&site->tree, "www/big.bin", bytes, BIG);
    free(bytes);
    (void)snprintf(root, sizeof root, "%s/www", site->tree.path);
    const struct tg_static_settings settings = {.root = tg_slice_cstr(root)};
    assert_int_equal(tg_static_new(&settings, &site->files, &why), TG_OK);
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    struct site *site = *state;
    assert_int_equal(site->begun, site->ended);
    tg_work_pool_free(site->work);
    tg_static_unref(site->files);
    (void)world_teardown((void **)&site->world);
    tree_free(&site->tree);
    free(site);
    return 0;
}

static const char *field(struct client *client, const char *name)
{
    static char text[128];
    const struct tg_header *found = tg_headers_first(&client->answer.headers, tg_slice_cstr(name));
    assert_true(found == NULL || tg_headers_count(&client->answer.headers, tg_slice_cstr(name)) == 1);
    (void)snprintf(text, sizeof text, "%.*s", found != NULL ? (int)found->value.len : 6,
                   found != NULL ? found->value.ptr : "(none)");
    return text;
}

static void check_bytes(struct tg_slice bytes, size_t from, size_t len)
{
    assert_int_equal(bytes.len, len);
    for (size_t i = 0; i < bytes.len; i++) {
        if ((unsigned char)bytes.ptr[i] != (from + i) % 251) {
            fail_msg("byte %zu is wrong", i);
        }
    }
}

static void answers_are_framed_as_they_are_sent(void **state)
{
    struct site *site = *state;
    struct client client;
    client_open(&client, site->world);
    client_send(&client, "GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n"
                         "HEAD /index.html HTTP/1.1\r\nHost: a\r\n\r\n"
                         "HEAD /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                         "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n"
                         "GET /docs HTTP/1.1\r\nHost: a\r\n\r\n"
                         "GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=250-300249\r\n\r\n"
                         "GET /big.bin HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n"
                         "HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n"
                         "POST /index.html HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                         "GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0,-1\r\n\r\n"
                         "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_answer(&client, 200, "<html>");
    client_answer(&client, "HEAD");
    assert_int_equal(client.answer.status, 200);
    assert_string_equal(field(&client, "Content-Length"), "6");
    client_answer(&client, "HEAD");
    assert_string_equal(field(&client, "Content-Length"), "33554432");
    assert_answer(&client, 200, "");
    assert_string_equal(field(&client, "Content-Length"), "0");
    assert_answer(&client, 301, "");
    assert_string_equal(field(&client, "Location"), "./docs/");
    client_answer(&client, "GET");
    assert_int_equal(client.answer.status, 206);
    assert_string_equal(field(&client, "Content-Range"), "bytes 250-300249/33554432");
    check_bytes(tg_buf_slice(&client.body), 250, 300000);
    client_answer(&client, "GET");
    assert_int_equal(client.answer.status, 304);
    assert_string_equal(field(&client, "Content-Length"), "(none)");
    client_answer(&client, "HEAD");
    assert_int_equal(client.answer.status, 404);
    assert_answer(&client, 405, "{\"message\":\"Method Not Allowed\"}");
    client_answer(&client, "GET");
    assert_int_equal(client.answer.status, 206);
    struct tg_slice parts = tg_buf_slice(&client.body);
    assert_true(tg_slice_starts(parts, TG_LIT("--tidegate-0000000000000007\r\n")));
    assert_true(tg_slice_ends(parts, TG_LIT("\r\n--tidegate-0000000000000007--\r\n")));
    assert_answer(&client, 200, "<html>");
    client_close(&client);
}

static void a_large_file_arrives_at_a_slow_reader(void **state)
{
    struct site *site = *state;
    struct client client;
    client_open(&client, site->world);
    client_send(&client, "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    /* More than the sockets take: it stands still, and holds no thread. */
    uint64_t jobs = 0;
    for (int quiet = 0; quiet < 50; quiet++) {
        turn(site->world);
        struct tg_work_stats stats = tg_work_pool_stats(site->work);
        quiet = stats.started != jobs || jobs == 0 ? 0 : quiet;
        jobs = stats.started;
    }
    assert_int_equal(tg_work_pool_stats(site->work).running, 0);
    assert_int_equal(site->ended, 0);
    while (tg_buf_size(&client.in) < BIG) {
        client_receive(&client);
        turn(site->world);
    }
    client_answer(&client, "GET");
    check_bytes(tg_buf_slice(&client.body), 0, BIG);
    WAIT(site->world, site->ended == 1);
    assert_int_equal(site->bytes, BIG);
    client_send(&client, "GET /docs/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_answer(&client, 200, "docs");
    client_close(&client);
}

static void a_client_that_resets_ends_its_answer(void **state)
{
    struct site *site = *state;
    struct client client;
    client_open(&client, site->world);
    client_send(&client, "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    WAIT(site->world, tg_work_pool_stats(site->work).started > 3);
    client_reset(&client);
    WAIT(site->world, site->ended == 1);
    assert_int_equal(site->cut, 1);
}

static void a_file_that_shrinks_closes_the_connection(void **state)
{
    struct site *site = *state;
    struct client client;
    client_open(&client, site->world);
    client_send(&client, "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                         "GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n");
    WAIT(site->world, tg_work_pool_stats(site->work).started > 3);
    tree_resize(&site->tree, "www/big.bin", 100);
    while (!client.eof && !client.reset) {
        client_receive(&client);
        turn(site->world);
    }
    assert_int_equal(site->cut, 1);
    struct tg_slice got = tg_buf_slice(&client.in);
    size_t head = tg_slice_find_slice(got, TG_LIT("\r\n\r\n")) + 4;
    assert_true(tg_slice_find_slice(got, TG_LIT("Content-Length: 33554432\r\n")) < head);
    assert_true(got.len - head < BIG);
    check_bytes(tg_slice_from(got, head), 0, got.len - head); /* nothing else behind it, no second answer */
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_are_framed_as_they_are_sent),
        TEST(a_large_file_arrives_at_a_slow_reader),
        TEST(a_client_that_resets_ends_its_answer),
        TEST(a_file_that_shrinks_closes_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
