#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/io/transport.h"
#include "tests/unit/tls_server.h"

struct scene {
    struct tg_loop *loop;
    struct authority ours, foreign;
    struct server server;
    struct tg_tls_context *context;
    struct tg_transport *transport;
    int opened, readable, writable;
    enum tg_err open_err;
};

static void start_server(struct scene *scene, enum behaviour behaviour, const char *names)
{
    server_start(&scene->server, &scene->ours, behaviour, names);
}

static void on_open(void *arg, enum tg_err err)
{
    struct scene *scene = arg;
    scene->opened++;
    scene->open_err = err;
}

static void on_readable(void *arg)
{
    ((struct scene *)arg)->readable++;
}

static void on_writable(void *arg)
{
    ((struct scene *)arg)->writable++;
}

static const struct tg_transport_events scene_events = {on_open, on_readable, on_writable};

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    if (scene == NULL || tg_loop_new(&scene->loop) != TG_OK) {
        free(scene);
        return -1;
    }
    make_authority(&scene->ours, "ours");
    make_authority(&scene->foreign, "foreign");
    *state = scene;
    return 0;
}

/* Ends the connection and the server. */
static void finish(struct scene *scene)
{
    tg_transport_close(scene->transport);
    scene->transport = NULL;
    server_join(&scene->server);
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    finish(scene);
    tg_tls_context_free(scene->context);
    tg_loop_free(scene->loop);
    free_authority(&scene->ours);
    free_authority(&scene->foreign);
    free(scene);
    return 0;
}

static enum tg_err open_as(struct scene *scene, const char *ca_file, bool insecure, const char *server_name)
{
    struct tg_tls_client_options options = {.ca_file = ca_file, .insecure = insecure};
    scene->opened = 0;
    tg_tls_context_free(scene->context);
    scene->context = NULL;
    assert_int_equal(tg_tls_client_new(&options, &scene->context), TG_OK);
    assert_int_equal(tg_transport_connect(scene->loop, &scene->server.address, scene->context,
                                          tg_slice_cstr(server_name), &scene_events, scene,
                                          &scene->transport),
                     TG_OK);
    assert_int_equal(scene->opened, 0);
    while (scene->opened == 0) {
        tg_loop_run_once(scene->loop);
    }
    assert_int_equal(scene->opened, 1);
    return scene->open_err;
}

static enum tg_err read_when_ready(struct scene *scene, char *space, size_t cap, size_t *got)
{
    enum tg_err err;
    tg_transport_want(scene->transport, true, false);
    while ((err = tg_transport_read(scene->transport, space, cap, got)) == TG_EAGAIN) {
        int seen = scene->readable;
        while (scene->readable == seen) {
            tg_loop_run_once(scene->loop);
        }
    }
    return err;
}

static void test_right_name(void **state)
{
    struct scene *scene = *state;
    char space[64];
    size_t len = 0;
    start_server(scene, ECHO, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_OK);
    assert_int_equal(tg_transport_write(scene->transport, TG_LIT("hello"), &len), TG_OK);
    assert_int_equal(len, 5);
    assert_int_equal(read_when_ready(scene, space, sizeof(space), &len), TG_OK);
    assert_true(tg_slice_eq(tg_slice_make(space, len), TG_LIT("hello")));
    finish(scene);
    assert_string_equal(scene->server.sni, "good.test");
    assert_true(scene->server.saw_close_notify);
}

static void test_names(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *names, *asked, *sni;
        enum tg_err err;
    } rows[] = {
        {"DNS:good.test", "bad.test", NULL, TG_ETLS},
        {"DNS:good.test", "GOOD.test", "GOOD.test", TG_OK},
        {"DNS:good.test", "good.test.", "good.test", TG_OK},
        {"DNS:*.good.test", "a.good.test", "a.good.test", TG_OK},
        {"DNS:*.good.test", "a.b.good.test", NULL, TG_ETLS},
        {"DNS:a*.good.test", "ab.good.test", NULL, TG_ETLS},
        {"DNS:good.test", "server", NULL,
         TG_ETLS}, /* the common name does not count beside a subjectAltName */
        {"IP:127.0.0.1", "127.0.0.1", "", TG_OK},
        {"IP:::1", "::1", "", TG_OK},
        {"IP:127.0.0.2", "127.0.0.1", NULL, TG_ETLS},
        {"DNS:127.0.0.1", "127.0.0.1", NULL, TG_ETLS},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        start_server(scene, ECHO, rows[i].names);
        assert_int_equal(open_as(scene, scene->ours.file, false, rows[i].asked), rows[i].err);
        finish(scene);
        if (rows[i].sni != NULL) {
            assert_string_equal(scene->server.sni, rows[i].sni);
        }
    }
}

static void test_unknown_authority(void **state)
{
    struct scene *scene = *state;
    start_server(scene, ECHO, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->foreign.file, false, "good.test"), TG_ETLS);
    finish(scene);
    start_server(scene, ECHO, "DNS:good.test");
    assert_int_equal(open_as(scene, NULL, false, "good.test"), TG_ETLS); /* nor do the system's know it */
}

static void test_insecure_means_insecure(void **state)
{
    struct scene *scene = *state;
    start_server(scene, ECHO, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->foreign.file, true, "bad.test"), TG_OK);
    finish(scene);
    start_server(scene, ECHO, "DNS:good.test");
    assert_int_equal(open_as(scene, NULL, true, ""), TG_OK);
}

static void test_old_version_refused(void **state)
{
    struct scene *scene = *state;
    start_server(scene, OLD_VERSION, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_ETLS);
}

static void test_peer_closes_in_handshake(void **state)
{
    struct scene *scene = *state;
    start_server(scene, CLOSE_IN_HANDSHAKE, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_ETLS);
}

static void test_peer_speaks_plain_text(void **state)
{
    struct scene *scene = *state;
    start_server(scene, PLAIN_TEXT, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_ETLS);
}

static void test_refused(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(tg_address_parse(TG_LIT("unix:/nonexistent/socket"), &scene->server.address), TG_OK);
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_EREFUSED);
}

/* A stream that ends without close_notify may have been cut by anyone. */
static void test_cut_stream(void **state)
{
    struct scene *scene = *state;
    char space[64];
    size_t len = 0;
    start_server(scene, CUT_AFTER_HELLO, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_OK);
    assert_int_equal(read_when_ready(scene, space, sizeof(space), &len), TG_OK);
    assert_int_equal(len, 5);
    assert_int_equal(read_when_ready(scene, space, sizeof(space), &len), TG_EIO);
    assert_int_equal(read_when_ready(scene, space, sizeof(space), &len), TG_EIO);
}

static void wait_readable(struct scene *scene)
{
    int seen = scene->readable;
    while (scene->readable == seen) {
        tg_loop_run_once(scene->loop);
    }
}

/* A long stream in small reads, one for each on_readable. */
static void test_small_reads(void **state)
{
    struct scene *scene = *state;
    char space[1000];
    size_t len = 0;
    size_t received = 0;
    enum tg_err err = TG_OK;
    start_server(scene, SEND_MUCH, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_OK);
    tg_transport_want(scene->transport, true, false);
    while (err != TG_ECLOSED) {
        wait_readable(scene);
        err = tg_transport_read(scene->transport, space, sizeof(space), &len);
        assert_true(err == TG_OK || err == TG_EAGAIN || err == TG_ECLOSED);
        received += err == TG_OK ? len : 0;
    }
    assert_int_equal(received, MUCH);
}

/* Has the server send one record of ECHOED bytes and nothing after it, and reads its first byte: the rest
 * waits decrypted, and no socket says so. */
enum { ECHOED = 3000 };
static void leave_pending(struct scene *scene)
{
    char block[ECHOED];
    size_t len = 0;
    memset(block, 'e', sizeof(block));
    start_server(scene, ECHO, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_OK);
    assert_int_equal(tg_transport_write(scene->transport, tg_slice_make(block, ECHOED), &len), TG_OK);
    assert_int_equal(len, ECHOED);
    assert_int_equal(read_when_ready(scene, block, 1, &len), TG_OK);
}

static void test_pending_bytes(void **state)
{
    struct scene *scene = *state;
    char space[100];
    size_t len = 0;
    leave_pending(scene);
    for (size_t received = 1; received < ECHOED; received += len) {
        wait_readable(scene);
        assert_int_equal(tg_transport_read(scene->transport, space, sizeof(space), &len), TG_OK);
    }
}

/* With reading turned off nobody is called for pending bytes; turned on again, it goes on. */
static void test_pending_bytes_and_pause(void **state)
{
    struct scene *scene = *state;
    char space[10];
    size_t len = 0;
    leave_pending(scene);
    tg_transport_want(scene->transport, false, true);
    scene->readable = 0;
    scene->writable = 0;
    while (scene->writable < 5) {
        tg_loop_run_once(scene->loop);
    }
    assert_int_equal(scene->readable, 0);
    tg_transport_want(scene->transport, true, false);
    assert_int_equal(scene->readable, 0);
    wait_readable(scene);
    assert_int_equal(tg_transport_read(scene->transport, space, sizeof(space), &len), TG_OK);
}

static void test_big_write_and_shutdown(void **state)
{
    struct scene *scene = *state;
    enum { BLOCK = 4 << 20 };
    char *block = malloc(BLOCK);
    struct tg_slice rest = tg_slice_make(block, BLOCK);
    size_t len = 0;
    assert_non_null(block);
    memset(block, 'w', BLOCK);
    start_server(scene, CUT_AFTER_HELLO, "DNS:good.test"); /* it says hello, then only reads */
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_OK);
    while (rest.len > 0) {
        enum tg_err err = tg_transport_write(scene->transport, rest, &len);
        assert_true(err == TG_OK || err == TG_EAGAIN);
        if (err == TG_OK) {
            rest = tg_slice_from(rest, len);
            continue;
        }
        int seen = scene->writable;
        tg_transport_want(scene->transport, false, true);
        while (scene->writable == seen) {
            tg_loop_run_once(scene->loop);
        }
    }
    tg_transport_shutdown(scene->transport);
    server_join(&scene->server);
    assert_true(scene->server.saw_close_notify);
    assert_int_equal(scene->server.received, BLOCK);
    free(block);
}

/* The peer has reset the connection: writing fails, and no SIGPIPE kills the process. */
static void test_write_to_the_dead(void **state)
{
    struct scene *scene = *state;
    size_t len = 0;
    enum tg_err err = TG_OK;
    start_server(scene, RESET, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_OK);
    server_join(&scene->server);
    while (err == TG_OK) {
        err = tg_transport_write(scene->transport, TG_LIT("x"), &len);
    }
    assert_int_equal(err, TG_EIO);
    assert_int_equal(tg_transport_write(scene->transport, TG_LIT("x"), &len), TG_EIO);
}

static void test_closed_while_opening(void **state)
{
    struct scene *scene = *state;
    struct tg_tls_client_options options = {.ca_file = scene->ours.file};
    start_server(scene, SILENT, "DNS:good.test");
    assert_int_equal(tg_tls_client_new(&options, &scene->context), TG_OK);
    assert_int_equal(tg_transport_connect(scene->loop, &scene->server.address, scene->context,
                                          TG_LIT("good.test"), &scene_events, scene, &scene->transport),
                     TG_OK);
    /* The transport outlives its context. */
    tg_tls_context_free(scene->context);
    scene->context = NULL;
    tg_loop_run_once(scene->loop);
    finish(scene);
    assert_int_equal(scene->opened, 0);
    assert_true(scene->server.received > 0); /* the handshake had begun */
}

static void test_names_that_cannot_be_verified(void **state)
{
    struct scene *scene = *state;
    struct tg_tls_client_options options = {.ca_file = scene->ours.file};
    char name[256];
    memset(name, 'n', sizeof(name));
    const struct tg_slice rows[] = {TG_EMPTY, TG_LIT("."), TG_LIT("good.test\0.bad.test"),
                                    tg_slice_make(name, sizeof(name))};
    assert_int_equal(tg_tls_client_new(&options, &scene->context), TG_OK);
    assert_int_equal(tg_address_parse(TG_LIT("127.0.0.1:1"), &scene->server.address), TG_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(tg_transport_connect(scene->loop, &scene->server.address, scene->context, rows[i],
                                              &scene_events, scene, &scene->transport),
                         TG_EINVAL);
        assert_null(scene->transport);
    }
}

static void test_bad_authority_file(void **state)
{
    struct scene *scene = *state;
    struct tg_tls_client_options options = {.ca_file = "/nonexistent/ca.pem"};
    assert_int_equal(tg_tls_client_new(&options, &scene->context), TG_ETLS);
    FILE *file = fopen(scene->foreign.file, "w");
    assert_non_null(file);
    fputs("-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n", file);
    fclose(file);
    options.ca_file = scene->foreign.file;
    assert_int_equal(tg_tls_client_new(&options, &scene->context), TG_ETLS);
    assert_null(scene->context);
    tg_tls_context_free(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_right_name),
        TEST(test_names),
        TEST(test_unknown_authority),
        TEST(test_insecure_means_insecure),
        TEST(test_old_version_refused),
        TEST(test_peer_closes_in_handshake),
        TEST(test_peer_speaks_plain_text),
        TEST(test_refused),
        TEST(test_cut_stream),
        TEST(test_small_reads),
        TEST(test_pending_bytes),
        TEST(test_pending_bytes_and_pause),
        TEST(test_big_write_and_shutdown),
        TEST(test_write_to_the_dead),
        TEST(test_closed_while_opening),
        TEST(test_names_that_cannot_be_verified),
        TEST(test_bad_authority_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
