#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/io/transport.h"

/* A certificate authority made for the run, its certificate in a file, and what it signed. */
struct authority {
    EVP_PKEY *key;
    X509 *certificate;
    char file[64];
};

enum behaviour { ECHO, CUT_AFTER_HELLO, CLOSE_IN_HANDSHAKE, PLAIN_TEXT, SEND_MUCH, RESET, OLD_VERSION };
enum { MUCH = 300000 };

struct server {
    int listener;
    struct tg_address address;
    enum behaviour behaviour;
    X509 *certificate;
    EVP_PKEY *key;
    pthread_t thread;
    char sni[256];
    bool saw_close_notify;
    size_t received;
};

struct scene {
    struct tg_loop *loop;
    struct authority ours, foreign;
    struct server server;
    bool server_runs;
    struct tg_tls_context *context;
    struct tg_transport *transport;
    int opened, readable, writable;
    enum tg_err open_err;
};

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* names: a subjectAltName value; NULL: a certificate authority's own certificate. */
static X509 *make_certificate(EVP_PKEY *key, const char *common_name, const char *names, X509 *issuer,
                              EVP_PKEY *issuer_key)
{
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), names == NULL ? 1 : 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0);
    issuer = issuer != NULL ? issuer : certificate;
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    if (names == NULL) {
        add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else {
        add_extension(certificate, issuer, NID_subject_alt_name, names);
    }
    assert_true(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
    return certificate;
}

static void make_authority(struct authority *authority, const char *name)
{
    authority->key = EVP_EC_gen("P-256");
    assert_non_null(authority->key);
    authority->certificate = make_certificate(authority->key, name, NULL, NULL, authority->key);
    snprintf(authority->file, sizeof(authority->file), "/tmp/tg-test-ca-XXXXXX");
    int fd = mkstemp(authority->file);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, authority->certificate), 1);
    fclose(file);
}

static void free_authority(struct authority *authority)
{
    EVP_PKEY_free(authority->key);
    X509_free(authority->certificate);
    unlink(authority->file);
}

/* Waits for the client's end of file; what came before it is counted. */
static void drain(struct server *server, SSL *ssl, int fd)
{
    char space[4096];
    ssize_t got;
    if (ssl == NULL) {
        while ((got = read(fd, space, sizeof(space))) > 0) {
            server->received += (size_t)got;
        }
        return;
    }
    while ((got = SSL_read(ssl, space, sizeof(space))) > 0) {
        server->received += (size_t)got;
    }
    server->saw_close_notify = (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

static void serve_much(SSL *ssl)
{
    char block[10000];
    memset(block, 'm', sizeof(block));
    for (size_t sent = 0; sent < MUCH; sent += sizeof(block)) {
        if (SSL_write(ssl, block, sizeof(block)) <= 0) {
            return;
        }
    }
    SSL_shutdown(ssl);
}

static void serve_tls(struct server *server, int fd)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(context, server->certificate);
    SSL_CTX_use_PrivateKey(context, server->key);
    if (server->behaviour == OLD_VERSION) {
        SSL_CTX_set_security_level(context, 0);
        SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
        SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    }
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        snprintf(server->sni, sizeof(server->sni), "%s", name != NULL ? name : "");
        char space[4096];
        int got = 0;
        if (server->behaviour == CUT_AFTER_HELLO) {
            SSL_write(ssl, "hello", 5);
            shutdown(fd, SHUT_WR);
        } else if (server->behaviour == RESET) {
            struct linger linger = {.l_onoff = 1};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        } else if (server->behaviour == SEND_MUCH) {
            serve_much(ssl);
        } else if ((got = SSL_read(ssl, space, sizeof(space))) > 0) {
            server->received = (size_t)got;
            SSL_write(ssl, space, got);
        }
        if (server->behaviour != RESET) {
            drain(server, ssl, fd);
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
}

static void *serve(void *arg)
{
    struct server *server = arg;
    /* In this thread alone: the server's OpenSSL writes to sockets that the client has closed. The client
     * must not need it. */
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
    int fd = accept(server->listener, NULL, NULL);
    char hello[8];
    switch (server->behaviour) {
    case CLOSE_IN_HANDSHAKE:
        (void)!read(fd, hello, sizeof(hello));
        break;
    case PLAIN_TEXT:
        (void)!write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
        drain(server, NULL, fd);
        break;
    default:
        serve_tls(server, fd);
        break;
    }
    close(fd);
    ERR_clear_error();
    return NULL;
}

static void start_server(struct scene *scene, enum behaviour behaviour, const char *names)
{
    struct server *server = &scene->server;
    server->behaviour = behaviour;
    server->key = EVP_EC_gen("P-256");
    assert_non_null(server->key);
    server->certificate =
        make_certificate(server->key, "server", names, scene->ours.certificate, scene->ours.key);
    assert_int_equal(tg_address_parse(TG_LIT("127.0.0.1:0"), &server->address), TG_OK);
    struct sockaddr *name = (struct sockaddr *)&server->address.storage;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, name, server->address.len), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    assert_int_equal(getsockname(server->listener, name, &server->address.len), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    scene->server_runs = true;
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

static void join_server(struct scene *scene)
{
    if (scene->server_runs) {
        pthread_join(scene->server.thread, NULL);
        scene->server_runs = false;
        close(scene->server.listener);
        X509_free(scene->server.certificate);
        EVP_PKEY_free(scene->server.key);
    }
}

/* Ends the connection and the server. */
static void finish(struct scene *scene)
{
    tg_transport_close(scene->transport);
    scene->transport = NULL;
    join_server(scene);
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
    assert_int_equal(tg_transport_detach(scene->transport), -1);
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

/* One small read for each on_readable: the rest of a record waits decrypted, and no socket says so. */
static void test_pending_bytes(void **state)
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
        int seen = scene->readable;
        while (scene->readable == seen) {
            tg_loop_run_once(scene->loop);
        }
        err = tg_transport_read(scene->transport, space, sizeof(space), &len);
        assert_true(err == TG_OK || err == TG_EAGAIN || err == TG_ECLOSED);
        received += err == TG_OK ? len : 0;
    }
    assert_int_equal(received, MUCH);
}

/* With reading turned off nobody is called for pending bytes; turned on again, it goes on. */
static void test_pending_bytes_and_pause(void **state)
{
    struct scene *scene = *state;
    char space[10];
    size_t len = 0;
    start_server(scene, SEND_MUCH, "DNS:good.test");
    assert_int_equal(open_as(scene, scene->ours.file, false, "good.test"), TG_OK);
    assert_int_equal(read_when_ready(scene, space, sizeof(space), &len), TG_OK);
    tg_transport_want(scene->transport, false, true);
    scene->readable = 0;
    scene->writable = 0;
    while (scene->writable < 5) {
        tg_loop_run_once(scene->loop);
    }
    assert_int_equal(scene->readable, 0);
    tg_transport_want(scene->transport, true, false);
    assert_int_equal(scene->readable, 0);
    while (scene->readable == 0) {
        tg_loop_run_once(scene->loop);
    }
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
    join_server(scene);
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
    join_server(scene);
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
    start_server(scene, ECHO, "DNS:good.test");
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
