/* A server's TLS settings: which certificate whom, versions and ciphers, tickets, clients' certificates. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <time.h>

#include "server/base/crypto.h"
#include "server/base/file.h"
#include "server/io/transport_tls_private.h"

enum {
    SESSION_S = 7200,         /* how long a session can be resumed */
    TICKET_KEY_S = 12 * 3600, /* then tickets get another key; those of the key before are taken */
    KEY_LEN = 32,
    KEY_NAME_LEN = 16,
    IV_LEN = 16,
    FILE_MAX = 1 << 20,
    SESSIONS_MAX = 10000 /* kept here, without tickets */
};

/* Forward secrecy and AEAD alone. */
static const char default_ciphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

struct tls_server {
    struct tls_identity **identities;
    size_t count;
    unsigned char ticket_secret[TG_SHA256_LEN];
    char *plain_answer;
    size_t plain_answer_len;
};

/* ---- certificates ---- */

static int best_fit(const struct tls_server *server, struct tg_slice host)
{
    int best = 0;
    for (size_t i = 0; host.len > 0 && i < server->count; i++) {
        int fit = tls_identity_fits(server->identities[i], host);
        best = fit > best ? fit : best;
    }
    return best;
}

static struct tg_slice asked_host(const SSL *ssl)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct tg_slice host = name != NULL ? tg_slice_cstr(name) : TG_EMPTY;
    return tg_slice_ends(host, TG_LIT(".")) ? tg_slice_head(host, host.len - 1) : host;
}

/* Before a certificate is needed: offers those that fit the host that the client names, so that OpenSSL can
 * choose among their types of keys. Without any the context's, those of the first, stay. From the last to the
 * first, so that the first of a type stays. */
static int choose(SSL *ssl, void *arg)
{
    const struct tls_server *server = arg;
    struct tg_slice host = asked_host(ssl);
    int best = best_fit(server, host);
    if (best == 0) {
        return 1;
    }
    SSL_certs_clear(ssl);
    for (size_t i = server->count; i-- > 0;) {
        if (tls_identity_fits(server->identities[i], host) == best &&
            !tls_identity_show(server->identities[i], ssl)) {
            return 0;
        }
    }
    return 1;
}

/* Tells the client that its name was used, if it was. */
static int acknowledge_name(SSL *ssl, int *alert, void *arg)
{
    *alert = SSL_AD_UNRECOGNIZED_NAME; /* which no alert of ours tells: names are asked for, not demanded */
    return best_fit(arg, asked_host(ssl)) > 0 ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static int staple(SSL *ssl, void *arg)
{
    const struct tls_server *server = arg;
    for (size_t i = 0; i < server->count; i++) {
        if (!tls_identity_is_shown(server->identities[i], ssl)) {
            continue;
        }
        struct tg_slice response = tls_identity_ocsp(server->identities[i], (int64_t)time(NULL));
        unsigned char *copy = response.len > 0 ? OPENSSL_memdup(response.ptr, response.len) : NULL;
        if (copy == NULL) {
            break;
        }
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)response.len);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* For clients that name no host, or one that none is for: the first, and those for the same host with keys of
 * another type. */
static bool use_defaults(const struct tls_server *server, SSL_CTX *context)
{
    struct tg_slice host = tls_identity_name(server->identities[0]);
    for (size_t i = server->count; i-- > 1;) {
        if (host.len > 0 && tls_identity_fits(server->identities[i], host) == 2 &&
            !tls_identity_use(server->identities[i], context)) {
            return false;
        }
    }
    return tls_identity_use(server->identities[0], context);
}

/* Whether OpenSSL takes it: a key may be too short for it. Tried apart, since a context forgets none. */
static bool is_usable(const struct tls_identity *identity, SSL_CTX *context)
{
    SSL *probe = SSL_new(context);
    bool ok = probe != NULL && tls_identity_show(identity, probe);
    SSL_free(probe);
    return ok;
}

static enum tg_err set_certificates(struct tls_server *server, SSL_CTX *context,
                                    const struct tg_tls_server_options *options, struct tg_tls_fault *fault)
{
    server->identities = calloc(options->certificate_count, sizeof(struct tls_identity *));
    if (server->identities == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < options->certificate_count; i++) {
        fault->certificate = i;
        enum tg_err err = tls_identity_load(&options->certificates[i], &server->identities[i], fault);
        if (err != TG_OK) {
            return err;
        }
        server->count++;
        ERR_clear_error();
        if (!is_usable(server->identities[i], context)) {
            return tls_fault(fault, "certificate", TG_EINVAL, "\"%s\" is refused: %s",
                             options->certificates[i].certificate, tls_reason());
        }
    }
    fault->certificate = SIZE_MAX;
    if (!use_defaults(server, context)) {
        return TG_ENOMEM;
    }
    if (server->count > 1) {
        SSL_CTX_set_cert_cb(context, choose, server);
    }
    SSL_CTX_set_tlsext_servername_callback(context, acknowledge_name);
    SSL_CTX_set_tlsext_servername_arg(context, server);
    SSL_CTX_set_tlsext_status_cb(context, staple);
    SSL_CTX_set_tlsext_status_arg(context, server);
    return TG_OK;
}

/* ---- clients' certificates ---- */

static enum tg_err add_authorities(SSL_CTX *context, BIO *bio, size_t *count)
{
    X509 *authority;
    bool ok = true;
    *count = 0;
    while (ok && (authority = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority) == 1 &&
             SSL_CTX_add_client_CA(context, authority) == 1;
        X509_free(authority);
        ++*count;
    }
    return ok ? TG_OK : TG_ENOMEM;
}

static enum tg_err trust(SSL_CTX *context, struct tg_slice text, const char *file, struct tg_tls_fault *fault)
{
    size_t count;
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    if (bio == NULL) {
        return TG_ENOMEM;
    }
    enum tg_err err = add_authorities(context, bio, &count);
    bool whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    if (err == TG_OK && (count == 0 || !whole)) {
        return tls_fault(fault, "clientCa", TG_EINVAL,
                         "\"%s\" holds no certificates in PEM, or a broken one: %s", file, tls_reason());
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return err;
}

/* A session may be resumed only where the client would have been asked the same: who is trusted is part of
 * its context. */
static enum tg_err set_clients(SSL_CTX *context, const struct tg_tls_server_options *options,
                               struct tg_tls_fault *fault)
{
    unsigned char id[TG_SHA256_LEN];
    struct tg_arena arena;
    struct tg_slice text = TG_LIT("no client certificates");
    const char *file = options->client_ca;
    enum tg_err err = TG_OK;
    tg_arena_init(&arena, NULL);
    if (file != NULL) {
        err = tg_file_read(&arena, tg_slice_cstr(file), FILE_MAX, &text, NULL);
        if (err != TG_OK && err != TG_ENOMEM) {
            err = tls_fault(fault, "clientCa", err, "\"%s\" cannot be read: %s", file, tg_err_text(err));
        }
        err = err == TG_OK ? trust(context, text, file, fault) : err;
    }
    err = err == TG_OK ? tg_sha256(text, id) : err;
    tg_arena_reset(&arena);
    if (err == TG_OK && SSL_CTX_set_session_id_context(context, id, sizeof id) != 1) {
        return TG_ENOMEM;
    }
    return err;
}

/* ---- sessions ---- */

struct ticket_keys {
    unsigned char name[TG_SHA256_LEN], cipher[TG_SHA256_LEN], mac[TG_SHA256_LEN];
};

/* The keys of a stretch of time, from the secret: workers, and nodes with the same secret, need tell each
 * other nothing. */
static bool derive(const struct tls_server *server, int64_t stretch, struct ticket_keys *keys)
{
    struct tg_slice secret = tg_slice_make((const char *)server->ticket_secret, sizeof server->ticket_secret);
    struct {
        int64_t stretch;
        char use[8];
    } what = {.stretch = stretch};
    struct tg_slice bytes = tg_slice_make((const char *)&what, sizeof what);
    what.use[0] = 'n';
    bool ok = tg_hmac_sha256(secret, bytes, keys->name) == TG_OK;
    what.use[0] = 'c';
    ok = ok && tg_hmac_sha256(secret, bytes, keys->cipher) == TG_OK;
    what.use[0] = 'm';
    return ok && tg_hmac_sha256(secret, bytes, keys->mac) == TG_OK;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_keys *keys)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, keys->mac, KEY_LEN),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static bool seal(struct ticket_keys *keys, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                 EVP_MAC_CTX *mac)
{
    memcpy(name, keys->name, KEY_NAME_LEN);
    return tg_random_bytes(iv, IV_LEN) == TG_OK &&
           EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys->cipher, iv) == 1 && set_mac(mac, keys);
}

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb wants it: -1 failure, 0 unknown key, 1 good, 2 good and to be
 * renewed. */
static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int sealing)
{
    const struct tg_tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct tls_server *server = context->server;
    struct ticket_keys keys;
    int64_t stretch = (int64_t)time(NULL) / TICKET_KEY_S;
    int result = 0;
    if (!derive(server, stretch, &keys)) {
        return -1;
    }
    if (sealing) {
        result = seal(&keys, name, iv, cipher, mac) ? 1 : -1;
    }
    for (int64_t age = 0; !sealing && result == 0 && age < 2; age++) {
        if (age > 0 && !derive(server, stretch - age, &keys)) {
            return -1;
        }
        if (memcmp(name, keys.name, KEY_NAME_LEN) == 0) {
            bool ok = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys.cipher, iv) == 1 &&
                      set_mac(mac, &keys);
            /* TLS 1.3: each ticket for one use. */
            result = !ok ? -1 : age > 0 || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
        }
    }
    OPENSSL_cleanse(&keys, sizeof keys);
    return result;
}

static enum tg_err set_sessions(struct tls_server *server, SSL_CTX *context,
                                const struct tg_tls_server_options *options)
{
    struct tg_slice secret = options->ticket_secret;
    enum tg_err err = secret.len > 0 ? tg_sha256(secret, server->ticket_secret)
                                     : tg_random_bytes(server->ticket_secret, sizeof server->ticket_secret);
    if (err != TG_OK) {
        return err;
    }
    SSL_CTX_set_timeout(context, SESSION_S);
    if (options->client_ca != NULL) {
        /* Resumed, a session takes its client for the one that it was, whose certificate nobody looks at
         * again; and TLS 1.3 renews its time with each resumption. */
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        return SSL_CTX_set_num_tickets(context, 0) == 1 ? TG_OK : TG_ETLS;
    }
    if (options->no_tickets) {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
        SSL_CTX_sess_set_cache_size(context, SESSIONS_MAX);
        return TG_OK;
    }
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key) == 1 ? TG_OK : TG_ETLS;
}

/* ---- protocol ---- */

/* http/1.1 is all there is. A client that offers others alone would take our answers for something else (RFC
 * 7301 section 3.2). */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static enum tg_err set_protocol(SSL_CTX *context, const struct tg_tls_server_options *options,
                                struct tg_tls_fault *fault)
{
    const char *ciphers = options->ciphers != NULL ? options->ciphers : default_ciphers;
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (options->tls13_only && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) {
        return TG_ETLS;
    }
    if (SSL_CTX_set_cipher_list(context, ciphers) != 1) {
        return tls_fault(fault, "ciphers", TG_EINVAL, "\"%s\" names no cipher of TLS 1.2 that OpenSSL knows",
                         ciphers);
    }
    if (options->ciphersuites != NULL && SSL_CTX_set_ciphersuites(context, options->ciphersuites) != 1) {
        return tls_fault(fault, "ciphersuites", TG_EINVAL,
                         "\"%s\": expected names such as TLS_AES_128_GCM_SHA256, parted by colons",
                         options->ciphersuites);
    }
    return TG_OK;
}

/* ---- life ---- */

void tls_server_free(struct tls_server *server)
{
    if (server == NULL) {
        return;
    }
    for (size_t i = 0; i < server->count; i++) {
        tls_identity_free(server->identities[i]);
    }
    OPENSSL_cleanse(server->ticket_secret, sizeof server->ticket_secret);
    free(server->identities);
    free(server->plain_answer);
    free(server);
}

struct tg_slice tls_server_plain_answer(const struct tls_server *server)
{
    return tg_slice_make(server->plain_answer, server->plain_answer_len);
}

static enum tg_err keep_answer(struct tls_server *server, struct tg_slice answer)
{
    server->plain_answer = malloc(answer.len + 1);
    if (server->plain_answer == NULL) {
        return TG_ENOMEM;
    }
    if (answer.len > 0) {
        memcpy(server->plain_answer, answer.ptr, answer.len);
    }
    server->plain_answer_len = answer.len;
    return TG_OK;
}

static enum tg_err fill(struct tg_tls_context *context, const struct tg_tls_server_options *options,
                        struct tg_tls_fault *fault)
{
    context->server = calloc(1, sizeof *context->server);
    if (context->server == NULL) {
        return TG_ENOMEM;
    }
    SSL_CTX_set_app_data(context->ssl, context);
    enum tg_err err = keep_answer(context->server, options->plain_answer);
    err = err == TG_OK ? set_protocol(context->ssl, options, fault) : err;
    err = err == TG_OK ? set_certificates(context->server, context->ssl, options, fault) : err;
    err = err == TG_OK ? set_clients(context->ssl, options, fault) : err;
    return err == TG_OK ? set_sessions(context->server, context->ssl, options) : err;
}

enum tg_err tg_tls_server_new(const struct tg_tls_server_options *options, struct tg_tls_fault *fault,
                              struct tg_tls_context **out)
{
    struct tg_tls_context *context;
    *fault = (struct tg_tls_fault){.member = "", .certificate = SIZE_MAX};
    if (options->certificate_count == 0) {
        return tls_fault(fault, "certificates", TG_EINVAL, "at least one is needed");
    }
    enum tg_err err = tls_context_new(TLS_server_method(), &context);
    if (err != TG_OK) {
        return err;
    }
    ERR_clear_error();
    err = fill(context, options, fault);
    ERR_clear_error();
    if (err != TG_OK) {
        tg_tls_context_free(context);
        return err;
    }
    *out = context;
    return TG_OK;
}

size_t tg_tls_certificate_count(const struct tg_tls_context *context)
{
    return context->server->count;
}

const struct tg_tls_certificate_info *tg_tls_certificate_info(const struct tg_tls_context *context,
                                                              size_t index)
{
    return tls_identity_info(context->server->identities[index]);
}
