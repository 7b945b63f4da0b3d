/* What the files of the TLS transport share: transport_tls.c (streams, a client's settings),
 * transport_tls_server.c (a server's settings), transport_tls_identity.c (certificates of a server),
 * transport_tls_peer.c (those that peers show). Private to these. OpenSSL's types are named without its
 * headers. */
#ifndef TG_IO_TRANSPORT_TLS_PRIVATE_H
#define TG_IO_TRANSPORT_TLS_PRIVATE_H

#include <stdatomic.h>

#include "server/io/transport_ops.h"

struct ssl_ctx_st;
struct ssl_st;
struct bio_method_st;
struct ssl_method_st;

struct tls_server;

struct tg_tls_context {
    struct ssl_ctx_st *ssl;
    struct bio_method_st *socket; /* reads and writes the transport's descriptor without raising SIGPIPE */
    bool insecure;                /* of a client */
    struct tls_server *server;    /* NULL: a client's */
    atomic_uint references;
};

/* ---- transport_tls.c ---- */

/* What both sides have in common. TG_ENOMEM, TG_ETLS. */
enum tg_err tls_context_new(const struct ssl_method_st *method, struct tg_tls_context **out) TG_MUST_CHECK;

/* ---- transport_tls_server.c ---- */

void tls_server_free(struct tls_server *server);
/* What a client is told that speaks plain text; may be empty. */
struct tg_slice tls_server_plain_answer(const struct tls_server *server);

/* ---- transport_tls_peer.c ---- */

/* As tg_transport_peer. */
enum tg_err tls_peer(const struct ssl_st *ssl, struct tg_peer_certificate **out) TG_MUST_CHECK;

/* ---- transport_tls_identity.c ---- */

/* A certificate with its key, those that lead to its authority, its names, its OCSP response. */
struct tls_identity;

/* TG_EINVAL, TG_ENOTFOUND, TG_EDENIED and other errors of tg_file_read, TG_ENOMEM: *fault (but for
 * `certificate`) says what is wrong. */
enum tg_err tls_identity_load(const struct tg_tls_certificate *files, struct tls_identity **out,
                              struct tg_tls_fault *fault) TG_MUST_CHECK;
void tls_identity_free(struct tls_identity *identity);
const struct tg_tls_certificate_info *tls_identity_info(const struct tls_identity *identity);
/* How well it fits a host: 0 not at all, 1 by a wildcard, 2 by the name itself. */
int tls_identity_fits(const struct tls_identity *identity, struct tg_slice host);
/* The first of its names; empty when it has none. */
struct tg_slice tls_identity_name(const struct tls_identity *identity);
/* Offers it to every client, or to this one; an earlier one with the same type of key is replaced. False: out
 * of memory, or OpenSSL does not take it. */
bool tls_identity_use(const struct tls_identity *identity, struct ssl_ctx_st *context);
bool tls_identity_show(const struct tls_identity *identity, struct ssl_st *ssl);
/* Whether this is what the client is being shown. */
bool tls_identity_is_shown(const struct tls_identity *identity, const struct ssl_st *ssl);
/* The response to staple at this time (seconds since the epoch); empty: none, or it is stale. */
struct tg_slice tls_identity_ocsp(const struct tls_identity *identity, int64_t now_s);

/* Writes what is wrong and returns err. `member` is a static string. */
enum tg_err tls_fault(struct tg_tls_fault *fault, const char *member, enum tg_err err, const char *format,
                      ...) TG_PRINTF(4, 5);
/* OpenSSL's reason for the last error of this thread, a static string. */
const char *tls_reason(void);

#endif
