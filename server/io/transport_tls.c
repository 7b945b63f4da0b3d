#include "server/io/transport_tls_private.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "server/io/sock.h"

enum { NAME_MAX_LEN = 255 };

struct tls_transport {
    struct tg_transport base;
    struct tg_tls_context *context;
    SSL *ssl;
    bool plain;        /* a client sent text where a record of TLS should begin */
    bool began;        /* something has come, so far looked at in handshakes alone */
    bool starved;      /* the last read found no whole record: what there is waits for more */
    bool broken;       /* after a fatal error OpenSSL must not be asked to shut down */
    bool write_broken; /* the socket takes no more; what the peer has sent may still be read */
};

static struct tls_transport *as_tls(struct tg_transport *transport)
{
    return TG_CONTAINER(transport, struct tls_transport, base);
}

static int socket_write(BIO *bio, const char *bytes, int len)
{
    const struct tg_transport *transport = BIO_get_data(bio);
    size_t put;
    BIO_clear_retry_flags(bio);
    enum tg_err err = tg_sock_send(transport->fd, tg_slice_make(bytes, (size_t)len), &put);
    if (err == TG_EAGAIN) {
        BIO_set_retry_write(bio);
    }
    return err == TG_OK ? (int)put : -1;
}

/* Records of a handshake begin with a number below the letters: text shows at its first byte, before OpenSSL
 * answers it with an alert. */
static bool is_text(struct tls_transport *tls, const char *bytes)
{
    tls->plain = !tls->began && *bytes >= 'A' && *bytes <= 'Z';
    tls->began = true;
    return tls->plain;
}

static int socket_read(BIO *bio, char *space, int cap)
{
    struct tg_transport *transport = BIO_get_data(bio);
    size_t got;
    BIO_clear_retry_flags(bio);
    BIO_clear_flags(bio, BIO_FLAGS_IN_EOF);
    enum tg_err err = tg_sock_recv(transport->fd, space, (size_t)cap, &got);
    if (err == TG_ECLOSED) {
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
        return 0;
    }
    if (err == TG_EAGAIN) {
        BIO_set_retry_read(bio);
    }
    bool is_taken =
        err == TG_OK && !(transport->state == TG_TRANSPORT_HANDSHAKE && is_text(as_tls(transport), space));
    return is_taken ? (int)got : -1;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

struct tg_tls_context *tg_tls_context_ref(struct tg_tls_context *context)
{
    (void)atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void tg_tls_context_free(struct tg_tls_context *context)
{
    if (context == NULL || atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    SSL_CTX_free(context->ssl);
    tls_server_free(context->server);
    BIO_meth_free(context->socket);
    free(context);
}

static enum tg_err context_init(struct tg_tls_context *context, const SSL_METHOD *method)
{
    context->ssl = SSL_CTX_new(method);
    context->socket = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tidegate socket");
    if (context->ssl == NULL || context->socket == NULL) {
        return TG_ENOMEM;
    }
    if (BIO_meth_set_write(context->socket, socket_write) != 1 ||
        BIO_meth_set_read(context->socket, socket_read) != 1 ||
        BIO_meth_set_ctrl(context->socket, socket_control) != 1) {
        return TG_ENOMEM;
    }
    SSL_CTX_set_mode(context->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context->ssl, 1); /* a record in one system call, not two */
    SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    return SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION) == 1 ? TG_OK : TG_ETLS;
}

enum tg_err tls_context_new(const SSL_METHOD *method, struct tg_tls_context **out)
{
    struct tg_tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL) {
        return TG_ENOMEM;
    }
    atomic_init(&context->references, 1);
    ERR_clear_error();
    enum tg_err err = context_init(context, method);
    ERR_clear_error();
    if (err != TG_OK) {
        tg_tls_context_free(context);
        return err;
    }
    *out = context;
    return TG_OK;
}

enum tg_err tg_tls_client_new(const struct tg_tls_client_options *options, struct tg_tls_context **out)
{
    struct tg_tls_context *context;
    enum tg_err err = tls_context_new(TLS_client_method(), &context);
    if (err != TG_OK) {
        return err;
    }
    context->insecure = options->insecure;
    SSL_CTX_set_verify(context->ssl, options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    int loaded = options->ca_file != NULL ? SSL_CTX_load_verify_file(context->ssl, options->ca_file)
                                          : SSL_CTX_set_default_verify_paths(context->ssl);
    ERR_clear_error();
    if (loaded != 1) {
        tg_tls_context_free(context);
        return TG_ETLS;
    }
    *out = context;
    return TG_OK;
}

static bool is_ip(const char *name)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    ASN1_OCTET_STRING_free(ip);
    return ip != NULL;
}

/* The name to verify and, unless it is an address, to announce (RFC 6066 section 3). */
static enum tg_err set_name(SSL *ssl, struct tg_slice server_name, bool insecure)
{
    char name[NAME_MAX_LEN + 1];
    if (tg_slice_ends(server_name, TG_LIT("."))) {
        server_name.len--;
    }
    if (server_name.len == 0) {
        return insecure ? TG_OK : TG_EINVAL;
    }
    if (server_name.len > NAME_MAX_LEN || memchr(server_name.ptr, '\0', server_name.len) != NULL) {
        return TG_EINVAL;
    }
    memcpy(name, server_name.ptr, server_name.len);
    name[server_name.len] = '\0';
    if (is_ip(name)) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ? TG_OK : TG_ENOMEM;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1 ? TG_OK : TG_ENOMEM;
}

const char *tls_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason != NULL ? reason : "no reason given";
}

static const char *describe(const struct tls_transport *tls, bool cut)
{
    long verified = SSL_get_verify_result(tls->ssl);
    if (tls->plain) {
        return "plain text instead of TLS";
    }
    if (cut) {
        return tls->began ? "the peer went away" : "";
    }
    if (tls->base.state == TG_TRANSPORT_HANDSHAKE && verified != X509_V_OK) {
        return X509_verify_cert_error_string(verified);
    }
    return tls_reason();
}

/* Tells OpenSSL's reason apart. needs_other is set when the operation waits for the socket's other direction.
 */
static enum tg_err failure(struct tls_transport *tls, int result, int usual, bool *needs_other)
{
    int reason = SSL_get_error(tls->ssl, result);
    *needs_other = false;
    switch (reason) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        *needs_other = reason != usual;
        return TG_EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return TG_ECLOSED;
    default:
        break;
    }
    unsigned long error = ERR_peek_error();
    bool cut = reason == SSL_ERROR_SYSCALL || (ERR_GET_LIB(error) == ERR_LIB_SSL &&
                                               ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
    tls->broken = true;
    tls->base.failure = describe(tls, cut);
    ERR_clear_error();
    return cut ? TG_EIO : TG_ETLS;
}

/* The handshake has failed. What the peer has sent is read away, since closing a socket with unread input is
 * a reset, which may overtake the alert, or the plain answer. */
static void say_goodbye(struct tls_transport *tls)
{
    enum { STEPS = 8 };
    char space[8192];
    struct tg_slice answer = tls->plain ? tls_server_plain_answer(tls->context->server) : TG_EMPTY;
    for (int i = 0; i < STEPS && recv(tls->base.fd, space, sizeof(space), MSG_DONTWAIT) > 0; i++) {
    }
    if (answer.len > 0) {
        (void)send(tls->base.fd, answer.ptr, answer.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    (void)shutdown(tls->base.fd, SHUT_WR);
}

static enum tg_err tls_handshake(struct tg_transport *transport)
{
    struct tls_transport *tls = as_tls(transport);
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1) {
        return TG_OK;
    }
    enum tg_err err = failure(tls, result, SSL_ERROR_WANT_READ, &transport->handshake_writes);
    if (err == TG_EAGAIN) {
        return err;
    }
    if (tls->context->server != NULL) {
        say_goodbye(tls);
    }
    return TG_ETLS;
}

static enum tg_err tls_read(struct tg_transport *transport, char *space, size_t cap, size_t *got)
{
    struct tls_transport *tls = as_tls(transport);
    if (tls->broken) {
        return TG_EIO;
    }
    ERR_clear_error();
    int result = SSL_read_ex(tls->ssl, space, cap, got);
    tls->starved = result != 1;
    if (result == 1) {
        transport->read_needs_write = false;
        return TG_OK;
    }
    return failure(tls, result, SSL_ERROR_WANT_READ, &transport->read_needs_write);
}

static enum tg_err tls_write(struct tg_transport *transport, struct tg_slice bytes, size_t *put)
{
    struct tls_transport *tls = as_tls(transport);
    if (tls->broken || tls->write_broken) {
        return TG_EIO;
    }
    ERR_clear_error();
    int result = SSL_write_ex(tls->ssl, bytes.ptr, bytes.len, put);
    if (result == 1) {
        transport->write_needs_read = false;
        return TG_OK;
    }
    enum tg_err err = failure(tls, result, SSL_ERROR_WANT_WRITE, &transport->write_needs_read);
    if (err == TG_EIO) {
        /* The socket's failure, not OpenSSL's: the other direction knows nothing of it. */
        tls->broken = false;
        tls->write_broken = true;
    }
    return err == TG_EAGAIN ? TG_EAGAIN : TG_EIO;
}

/* What OpenSSL has read ahead may be less than a record: then it is the socket's turn. */
static bool tls_pending(const struct tg_transport *transport)
{
    const struct tls_transport *tls = TG_CONTAINER(transport, struct tls_transport, base);
    return !tls->broken && !tls->starved && SSL_has_pending(tls->ssl) == 1;
}

/* close_notify, as far as the socket takes it at once; the peer's is not waited for. */
static void tls_finish(struct tg_transport *transport)
{
    struct tls_transport *tls = as_tls(transport);
    if (!tls->broken && !tls->write_broken && (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) == 0) {
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl);
        ERR_clear_error();
    }
}

static bool tls_resumed(const struct tg_transport *transport)
{
    const struct tls_transport *tls = TG_CONTAINER(transport, struct tls_transport, base);
    return transport->state == TG_TRANSPORT_OPEN && SSL_session_reused(tls->ssl) == 1;
}

static enum tg_err peer(const struct tg_transport *transport, struct tg_peer_certificate **out)
{
    return tls_peer(TG_CONTAINER(transport, struct tls_transport, base)->ssl, out);
}

static void tls_destroy(struct tg_transport *transport)
{
    struct tls_transport *tls = as_tls(transport);
    SSL_free(tls->ssl);
    tg_tls_context_free(tls->context);
    free(tls);
}

static const struct tg_transport_ops tls_ops = {
    .handshake = tls_handshake,
    .read = tls_read,
    .write = tls_write,
    .pending = tls_pending,
    .finish = tls_finish,
    .resumed = tls_resumed,
    .peer = peer,
    .destroy = tls_destroy,
};

/* A transport whose OpenSSL object reads and writes its descriptor. */
static enum tg_err tls_new(struct tg_tls_context *context, struct tls_transport **out)
{
    struct tls_transport *tls = calloc(1, sizeof(*tls));
    if (tls == NULL) {
        return TG_ENOMEM;
    }
    tls->base.ops = &tls_ops;
    tls->context = tg_tls_context_ref(context);
    ERR_clear_error();
    tls->ssl = SSL_new(context->ssl);
    BIO *bio = tls->ssl != NULL ? BIO_new(context->socket) : NULL;
    if (bio == NULL) {
        ERR_clear_error();
        tls_destroy(&tls->base);
        return TG_ENOMEM;
    }
    BIO_set_data(bio, &tls->base);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    *out = tls;
    return TG_OK;
}

enum tg_err tg_transport_tls_accept(struct tg_tls_context *context, struct tg_transport **out)
{
    struct tls_transport *tls;
    enum tg_err err = tls_new(context, &tls);
    if (err == TG_OK) {
        SSL_set_accept_state(tls->ssl);
        *out = &tls->base;
    }
    return err;
}

enum tg_err tg_transport_tls_connect(struct tg_tls_context *context, struct tg_slice server_name,
                                     struct tg_transport **out)
{
    struct tls_transport *tls;
    enum tg_err err = tls_new(context, &tls);
    if (err != TG_OK) {
        return err;
    }
    SSL_set_connect_state(tls->ssl);
    err = set_name(tls->ssl, server_name, context->insecure);
    ERR_clear_error();
    if (err != TG_OK) {
        tls_destroy(&tls->base);
        return err;
    }
    *out = &tls->base;
    return TG_OK;
}
