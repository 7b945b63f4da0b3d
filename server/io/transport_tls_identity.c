/* Certificates of a TLS server: what their files hold, the hosts they are for. */
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "server/base/file.h"
#include "server/io/transport_tls_private.h"

enum { FILE_MAX = 1 << 20 };

struct tls_identity {
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
    GENERAL_NAMES *names; /* NULL: none */
    unsigned char *ocsp;
    size_t ocsp_len;
    struct tg_tls_certificate_info info;
};

enum tg_err tls_fault(struct tg_tls_fault *fault, const char *member, enum tg_err err, const char *format,
                      ...)
{
    va_list args;
    va_start(args, format);
    fault->member = member;
    (void)vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    return err;
}

/* ---- files ---- */

static int no_passphrase(char *space, int cap, int writing, void *arg)
{
    (void)writing;
    (void)arg;
    memset(space, 0, (size_t)cap);
    return -1;
}

/* The content of a file, for OpenSSL to read from; it lies in the arena. */
static enum tg_err open_file(struct tg_arena *arena, const char *path, const char *member, bool *is_public,
                             BIO **out, struct tg_tls_fault *fault)
{
    struct tg_slice text;
    enum tg_err err = tg_file_read(arena, tg_slice_cstr(path), FILE_MAX, &text, is_public);
    if (err != TG_OK) {
        return err == TG_ENOMEM
                   ? err
                   : tls_fault(fault, member, err, "\"%s\" cannot be read: %s", path, tg_err_text(err));
    }
    *out = BIO_new_mem_buf(text.ptr, (int)text.len);
    return *out != NULL ? TG_OK : TG_ENOMEM;
}

/* Whether reading stopped because there is no more, and not in the middle of something. */
static bool at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static enum tg_err read_chain(struct tls_identity *identity, BIO *bio)
{
    X509 *next;
    identity->leaf = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    identity->chain = sk_X509_new_null();
    if (identity->leaf == NULL || identity->chain == NULL) {
        return identity->chain == NULL ? TG_ENOMEM : TG_EINVAL;
    }
    while ((next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        if (sk_X509_push(identity->chain, next) == 0) {
            X509_free(next);
            return TG_ENOMEM;
        }
    }
    return at_end() ? TG_OK : TG_EINVAL;
}

static enum tg_err load_certificate(struct tls_identity *identity, struct tg_arena *arena, const char *path,
                                    struct tg_tls_fault *fault)
{
    static const char member[] = "certificate";
    BIO *bio = NULL;
    enum tg_err err = open_file(arena, path, member, NULL, &bio, fault);
    if (err != TG_OK) {
        return err;
    }
    err = read_chain(identity, bio);
    BIO_free(bio);
    return err != TG_EINVAL
               ? err
               : tls_fault(fault, member, err, "\"%s\" holds no certificate in PEM, or a broken one: %s",
                           path, tls_reason());
}

static enum tg_err load_key(struct tls_identity *identity, struct tg_arena *arena, const char *path,
                            struct tg_tls_fault *fault)
{
    static const char member[] = "privateKey";
    BIO *bio = NULL;
    enum tg_err err = open_file(arena, path, member, &identity->info.key_is_public, &bio, fault);
    if (err != TG_OK) {
        return err;
    }
    identity->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    char *text;
    long len = BIO_get_mem_data(bio, &text);
    OPENSSL_cleanse(text, (size_t)len);
    BIO_free(bio);
    if (identity->key == NULL) {
        return tls_fault(fault, member, TG_EINVAL,
                         "\"%s\" holds no private key in PEM that can be read without a passphrase: %s", path,
                         tls_reason());
    }
    if (X509_check_private_key(identity->leaf, identity->key) != 1) {
        return tls_fault(fault, member, TG_EINVAL, "\"%s\" is not the key of the certificate", path);
    }
    return TG_OK;
}

/* ---- times ---- */

static bool seconds_of(const ASN1_TIME *time, int64_t *out)
{
    struct tm parts;
    if (ASN1_TIME_to_tm(time, &parts) != 1) {
        return false;
    }
    *out = (int64_t)timegm(&parts);
    return true;
}

/* ---- OCSP ---- */

/* The end of the first answer in a successful response; 0: it has none. */
static bool response_end(OCSP_RESPONSE *response, int64_t *until_s)
{
    ASN1_GENERALIZEDTIME *next = NULL;
    OCSP_BASICRESP *basic = OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL
                                ? OCSP_response_get1_basic(response)
                                : NULL;
    OCSP_SINGLERESP *single = basic != NULL ? OCSP_resp_get0(basic, 0) : NULL;
    bool ok = single != NULL && OCSP_single_get0_status(single, NULL, NULL, NULL, &next) >= 0;
    *until_s = 0;
    ok = ok && (next == NULL || seconds_of(next, until_s));
    OCSP_BASICRESP_free(basic);
    return ok;
}

static enum tg_err load_ocsp(struct tls_identity *identity, struct tg_arena *arena, const char *path,
                             struct tg_tls_fault *fault)
{
    static const char member[] = "ocspResponse";
    struct tg_slice bytes;
    if (path == NULL) {
        return TG_OK;
    }
    enum tg_err err = tg_file_read(arena, tg_slice_cstr(path), FILE_MAX, &bytes, NULL);
    if (err != TG_OK) {
        return err == TG_ENOMEM
                   ? err
                   : tls_fault(fault, member, err, "\"%s\" cannot be read: %s", path, tg_err_text(err));
    }
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)bytes.len);
    bool ok = response != NULL && response_end(response, &identity->info.ocsp_until_s);
    OCSP_RESPONSE_free(response);
    if (!ok) {
        return tls_fault(fault, member, TG_EINVAL, "\"%s\" holds no successful OCSP response in DER", path);
    }
    identity->ocsp = malloc(bytes.len);
    if (identity->ocsp == NULL) {
        return TG_ENOMEM;
    }
    memcpy(identity->ocsp, bytes.ptr, bytes.len);
    identity->ocsp_len = bytes.len;
    return TG_OK;
}

struct tg_slice tls_identity_ocsp(const struct tls_identity *identity, int64_t now_s)
{
    int64_t until_s = identity->info.ocsp_until_s;
    return identity->ocsp == NULL || (until_s > 0 && until_s <= now_s)
               ? TG_EMPTY
               : tg_slice_make((const char *)identity->ocsp, identity->ocsp_len);
}

/* ---- names ---- */

/* The n-th subjectAltName, if it is a host name. */
static struct tg_slice host_name(const struct tls_identity *identity, int n)
{
    int type;
    const ASN1_STRING *text = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(identity->names, n), &type);
    return type == GEN_DNS
               ? tg_slice_make((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text))
               : TG_EMPTY;
}

struct tg_slice tls_identity_name(const struct tls_identity *identity)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(identity->names); i++) {
        struct tg_slice name = host_name(identity, i);
        if (name.len > 0) {
            return name;
        }
    }
    return TG_EMPTY;
}

static int fits(struct tg_slice name, struct tg_slice host)
{
    struct tg_slice domain;
    if (tg_slice_eq_nocase(name, host)) {
        return 2;
    }
    struct tg_slice label = tg_slice_cut(host, '.', &domain);
    bool wild = tg_slice_starts(name, TG_LIT("*.")) && label.len > 0 && domain.len > 0 &&
                tg_slice_eq_nocase(tg_slice_from(name, 2), domain);
    return wild ? 1 : 0;
}

int tls_identity_fits(const struct tls_identity *identity, struct tg_slice host)
{
    int best = 0;
    for (int i = 0; best < 2 && i < sk_GENERAL_NAME_num(identity->names); i++) {
        struct tg_slice name = host_name(identity, i);
        int one = name.len > 0 ? fits(name, host) : 0;
        best = one > best ? one : best;
    }
    return best;
}

/* ---- life ---- */

void tls_identity_free(struct tls_identity *identity)
{
    if (identity == NULL) {
        return;
    }
    X509_free(identity->leaf);
    EVP_PKEY_free(identity->key);
    sk_X509_pop_free(identity->chain, X509_free);
    GENERAL_NAMES_free(identity->names);
    free(identity->ocsp);
    free(identity);
}

static enum tg_err load(struct tls_identity *identity, struct tg_arena *arena,
                        const struct tg_tls_certificate *files, struct tg_tls_fault *fault)
{
    enum tg_err err = load_certificate(identity, arena, files->certificate, fault);
    err = err == TG_OK ? load_key(identity, arena, files->private_key, fault) : err;
    err = err == TG_OK ? load_ocsp(identity, arena, files->ocsp_response, fault) : err;
    if (err != TG_OK) {
        return err;
    }
    identity->names = X509_get_ext_d2i(identity->leaf, NID_subject_alt_name, NULL, NULL);
    identity->info.name = tls_identity_name(identity);
    if (!seconds_of(X509_get0_notBefore(identity->leaf), &identity->info.not_before_s) ||
        !seconds_of(X509_get0_notAfter(identity->leaf), &identity->info.not_after_s)) {
        return tls_fault(fault, "certificate", TG_EINVAL, "\"%s\" has times that cannot be read",
                         files->certificate);
    }
    return TG_OK;
}

enum tg_err tls_identity_load(const struct tg_tls_certificate *files, struct tls_identity **out,
                              struct tg_tls_fault *fault)
{
    struct tg_arena arena;
    struct tls_identity *identity = calloc(1, sizeof *identity);
    if (identity == NULL) {
        return TG_ENOMEM;
    }
    tg_arena_init(&arena, NULL);
    ERR_clear_error();
    enum tg_err err = load(identity, &arena, files, fault);
    ERR_clear_error();
    tg_arena_reset(&arena);
    if (err != TG_OK) {
        tls_identity_free(identity);
        return err;
    }
    *out = identity;
    return TG_OK;
}

const struct tg_tls_certificate_info *tls_identity_info(const struct tls_identity *identity)
{
    return &identity->info;
}

bool tls_identity_use(const struct tls_identity *identity, SSL_CTX *context)
{
    return SSL_CTX_use_cert_and_key(context, identity->leaf, identity->key, identity->chain, 1) == 1;
}

bool tls_identity_show(const struct tls_identity *identity, SSL *ssl)
{
    return SSL_use_cert_and_key(ssl, identity->leaf, identity->key, identity->chain, 1) == 1;
}

bool tls_identity_is_shown(const struct tls_identity *identity, const SSL *ssl)
{
    return SSL_get_certificate(ssl) == identity->leaf;
}
