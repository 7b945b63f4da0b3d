/* For tests of TLS clients: certificate authorities made for the run, and a server of one connection, on a
 * thread of its own, that behaves or misbehaves as told. Included by one test file each. */
#ifndef TG_TESTS_TLS_SERVER_H
#define TG_TESTS_TLS_SERVER_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "server/io/address.h"

/* A certificate authority made for the run, its certificate in a file, and what it signed. */
struct authority {
    EVP_PKEY *key;
    X509 *certificate;
    char file[64];
};

enum behaviour {
    ECHO,
    HTTP_OK,    /* answers whatever comes */
    HTTP_EARLY, /* answers the first of it, leaves the rest, and resets with that */
    CUT_AFTER_HELLO,
    CLOSE_IN_HANDSHAKE,
    PLAIN_TEXT,
    SILENT,
    SEND_MUCH,
    RESET,
    OLD_VERSION
};
enum { MUCH = 300000 };

struct server {
    int listener;
    struct tg_address address;
    enum behaviour behaviour;
    X509 *certificate;
    EVP_PKEY *key;
    pthread_t thread;
    bool runs;
    char sni[256];
    bool saw_close_notify;
    size_t received;
};

static inline void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* names: a subjectAltName value; NULL: a certificate authority's own certificate. */
static inline X509 *make_certificate(EVP_PKEY *key, const char *common_name, const char *names, X509 *issuer,
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

static inline void make_authority(struct authority *authority, const char *name)
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

static inline void free_authority(struct authority *authority)
{
    EVP_PKEY_free(authority->key);
    X509_free(authority->certificate);
    unlink(authority->file);
}

/* Waits for the client's end of file; what came before it is counted. */
static inline void drain(struct server *server, SSL *ssl, int fd)
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

static inline void serve_much(SSL *ssl)
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

static inline void serve_tls(struct server *server, int fd)
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
        } else if (server->behaviour == HTTP_OK) {
            while (SSL_read(ssl, space, sizeof(space)) > 0) {
                SSL_write(ssl, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40);
            }
        } else if (server->behaviour == HTTP_EARLY) {
            /* The reset must find nothing that still waits for an acknowledgement. */
            int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            SSL_read(ssl, space, sizeof(space));
            SSL_write(ssl, "HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno", 43);
            SSL_shutdown(ssl);
        } else if ((got = SSL_read(ssl, space, sizeof(space))) > 0) {
            server->received = (size_t)got;
            SSL_write(ssl, space, got);
        }
        if (server->behaviour != RESET && server->behaviour != HTTP_EARLY) {
            drain(server, ssl, fd);
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
}

static inline void *serve(void *arg)
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
    case SILENT:
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

/* names: the subjectAltName of its certificate, signed by `authority`. Listens on a free port of 127.0.0.1.
 */
static inline void server_start(struct server *server, const struct authority *authority,
                                enum behaviour behaviour, const char *names)
{
    *server = (struct server){.behaviour = behaviour, .key = EVP_EC_gen("P-256")};
    assert_non_null(server->key);
    server->certificate =
        make_certificate(server->key, "server", names, authority->certificate, authority->key);
    assert_int_equal(tg_address_parse(TG_LIT("127.0.0.1:0"), &server->address), TG_OK);
    struct sockaddr *name = (struct sockaddr *)&server->address.storage;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, name, server->address.len), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    assert_int_equal(getsockname(server->listener, name, &server->address.len), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    server->runs = true;
}

/* Waits for its end, which comes with the end of its connection. What it saw may be looked at then. */
static inline void server_join(struct server *server)
{
    if (server->runs) {
        pthread_join(server->thread, NULL);
        server->runs = false;
        close(server->listener);
        X509_free(server->certificate);
        EVP_PKEY_free(server->key);
    }
}

#endif
