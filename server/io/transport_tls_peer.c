/* What the certificate of a peer says, as text. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "server/io/transport_tls_private.h"

enum { TEXTS = 6 };

/* RFC 2253, but UTF-8 stays as it is. */
static bool put_name(BIO *bio, const X509_NAME *name)
{
    return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0;
}

static bool put_serial(BIO *bio, const ASN1_INTEGER *serial)
{
    const unsigned char *bytes = ASN1_STRING_get0_data(serial);
    int len = ASN1_STRING_length(serial);
    bool ok = true;
    for (int i = 0; ok && i < len; i++) {
        ok = BIO_printf(bio, i > 0 ? ":%02x" : "%02x", bytes[i]) > 0;
    }
    return ok;
}

static bool put(BIO *bio, X509 *certificate, int which)
{
    switch (which) {
    case 0:
        return PEM_write_bio_X509(bio, certificate) == 1;
    case 1:
        return put_name(bio, X509_get_subject_name(certificate));
    case 2:
        return put_name(bio, X509_get_issuer_name(certificate));
    case 3:
        return put_serial(bio, X509_get0_serialNumber(certificate));
    case 4:
        return ASN1_TIME_print(bio, X509_get0_notBefore(certificate)) == 1;
    default:
        return ASN1_TIME_print(bio, X509_get0_notAfter(certificate)) == 1;
    }
}

/* All texts one after another, in the order of the struct, and where each ends. */
static bool put_all(BIO *bio, X509 *certificate, size_t ends[TEXTS])
{
    char *text;
    for (int i = 0; i < TEXTS; i++) {
        if (!put(bio, certificate, i)) {
            return false;
        }
        ends[i] = (size_t)BIO_get_mem_data(bio, &text);
    }
    return true;
}

static enum tg_err describe(BIO *bio, X509 *certificate, struct tg_peer_certificate **out)
{
    size_t ends[TEXTS];
    char *text;
    if (!put_all(bio, certificate, ends)) {
        return TG_ENOMEM;
    }
    size_t len = (size_t)BIO_get_mem_data(bio, &text);
    struct tg_peer_certificate *peer = malloc(sizeof *peer + len);
    if (peer == NULL) {
        return TG_ENOMEM;
    }
    char *copy = (char *)(peer + 1);
    memcpy(copy, text, len);
    struct tg_slice *const parts[TEXTS] = {&peer->pem,           &peer->subject_dn, &peer->issuer_dn,
                                           &peer->serial_number, &peer->not_before, &peer->not_after};
    for (size_t i = 0, from = 0; i < TEXTS; from = ends[i++]) {
        *parts[i] = tg_slice_make(copy + from, ends[i] - from);
    }
    *out = peer;
    return TG_OK;
}

enum tg_err tls_peer(const SSL *ssl, struct tg_peer_certificate **out)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (certificate == NULL) {
        return TG_ENOTFOUND;
    }
    BIO *bio = BIO_new(BIO_s_mem());
    enum tg_err err = bio != NULL ? describe(bio, certificate, out) : TG_ENOMEM;
    BIO_free(bio);
    ERR_clear_error();
    return err;
}
