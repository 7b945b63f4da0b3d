#include "bench/lib/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>

#include "bench/lib/loop.h"

static void set_up(struct tls *tls, const SSL_METHOD *method)
{
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    *tls = (struct tls){.context = SSL_CTX_new(method)};
    if (tls->context == NULL) {
        die("TLS: no memory");
    }
    (void)SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                             SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls->context, 1); /* else two system calls a record */
}

void tls_serve(struct tls *tls, const char *certificate, const char *key)
{
    set_up(tls, TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls->context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls->context, key, SSL_FILETYPE_PEM) != 1) {
        die("TLS: %s or %s cannot be used", certificate, key);
    }
    (void)SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(tls->context, 1);
}

static int trust(X509_STORE_CTX *store, void *arg)
{
    (void)store;
    (void)arg;
    return 1;
}

static int keep_session(SSL *connection, SSL_SESSION *session)
{
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection));
    SSL_SESSION_free(tls->session);
    tls->session = session;
    return 1;
}

void tls_connect(struct tls *tls, bool resumes)
{
    set_up(tls, TLS_client_method());
    tls->resumes = resumes;
    /* The same for all servers, whatever they prefer. */
    if (SSL_CTX_set_min_proto_version(tls->context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(tls->context, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(tls->context, "X25519") != 1) {
        die("TLS: no TLS 1.3");
    }
    SSL_CTX_set_cert_verify_callback(tls->context, trust, NULL);
    (void)SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    (void)SSL_CTX_set_app_data(tls->context, tls);
    if (resumes) {
        SSL_CTX_sess_set_new_cb(tls->context, keep_session);
    }
}

struct ssl_st *tls_begin(struct tls *tls, int fd, bool accepts)
{
    SSL *connection = SSL_new(tls->context);
    if (connection == NULL || SSL_set_fd(connection, fd) != 1) {
        die("TLS: no memory");
    }
    if (accepts) {
        SSL_set_accept_state(connection);
    } else {
        SSL_set_connect_state(connection);
        if (tls->session != NULL) {
            (void)SSL_set_session(connection, tls->session);
        }
    }
    return connection;
}

void tls_end(struct ssl_st *connection)
{
    if (connection != NULL) {
        SSL_set_shutdown(connection, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* the session stays good */
        SSL_free(connection);
    }
}

/* True: later. False: the connection is at its end. */
static bool waits(const SSL *connection, int result)
{
    int error = SSL_get_error(connection, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

int tls_handshake(struct tls *tls, struct ssl_st *connection)
{
    ERR_clear_error();
    int result = SSL_do_handshake(connection);
    if (result == 1) {
        tls->handshakes++;
        tls->resumed += SSL_session_reused(connection) == 1 ? 1 : 0;
        return 1;
    }
    if (waits(connection, result)) {
        return 0;
    }
    if (ERR_peek_error() != 0) { /* else it was cut */
        fprintf(stderr, "TLS handshake: %s\n", ERR_reason_error_string(ERR_peek_error()));
    }
    return -1;
}

bool tls_is_done(const struct ssl_st *connection)
{
    return SSL_is_init_finished(connection) == 1;
}

bool tls_has_more(const struct ssl_st *connection)
{
    return SSL_has_pending(connection) == 1;
}

static int at_most(size_t len)
{
    return len < 1 << 30 ? (int)len : 1 << 30;
}

ssize_t tls_read(struct ssl_st *connection, void *to, size_t room)
{
    size_t filled = 0;
    ERR_clear_error();
    do {
        int count = SSL_read(connection, (char *)to + filled, at_most(room - filled));
        if (count <= 0 && filled == 0) {
            errno = EAGAIN;
            return waits(connection, count) ? -1 : 0;
        }
        if (count <= 0) {
            break;
        }
        filled += (size_t)count;
    } while (filled < room && tls_has_more(connection));
    return (ssize_t)filled;
}

ssize_t tls_write(struct ssl_st *connection, const void *bytes, size_t len)
{
    size_t sent = 0;
    ERR_clear_error();
    while (sent < len) {
        int count = SSL_write(connection, (const char *)bytes + sent, at_most(len - sent));
        if (count <= 0 && sent == 0) {
            errno = waits(connection, count) ? EAGAIN : EPIPE;
            return -1;
        }
        if (count <= 0) {
            break;
        }
        sent += (size_t)count;
    }
    return (ssize_t)sent;
}
