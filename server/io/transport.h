/* A byte stream over a non-blocking socket, plain or TLS, behind one set of calls (a const operation table
 * each). Readiness style: the owner is told that reading or writing may go on, then reads or writes until
 * TG_EAGAIN. */
#ifndef TG_IO_TRANSPORT_H
#define TG_IO_TRANSPORT_H

#include "server/io/address.h"
#include "server/io/loop.h"

struct tg_transport;
struct tg_tls_context; /* TLS settings of a client or a server; counted, and may be shared by threads */

struct tg_transport_events {
    /* Connected, TLS handshake done; or the reason why not (then only tg_transport_close may follow). */
    void (*on_open)(void *arg, enum tg_err err);
    void (*on_readable)(void *arg);
    void (*on_writable)(void *arg);
};

struct tg_tls_client_options {
    const char *ca_file; /* PEM; NULL: the system's certificates */
    bool insecure;       /* no verification; never the default */
};
enum tg_err tg_tls_client_new(const struct tg_tls_client_options *options,
                              struct tg_tls_context **out) TG_MUST_CHECK;

/* One certificate of a server: PEM files. */
struct tg_tls_certificate {
    const char *certificate;   /* itself, then those that lead to its authority */
    const char *private_key;   /* without a passphrase */
    const char *ocsp_response; /* DER, to be stapled while it is fresh; NULL: none */
};

enum { TG_TLS_TICKET_SECRET_LEN = 32 };

struct tg_tls_server_options {
    /* Which one a client is shown is chosen by the host that it names (SNI): exact names before wildcards, of
     * several for the same host (RSA and ECDSA) the one that suits the client. The first is for all others.
     */
    const struct tg_tls_certificate *certificates;
    size_t certificate_count;
    const char *client_ca;    /* PEM; clients must show a certificate of these authorities; NULL: not asked */
    bool tls13_only;          /* else TLS 1.2 and 1.3 */
    const char *ciphers;      /* of TLS 1.2, as OpenSSL names them; NULL: AEAD with forward secrecy alone */
    const char *ciphersuites; /* of TLS 1.3; NULL: OpenSSL's */
    bool no_tickets;          /* sessions are kept here instead of with the client */
    /* From which the keys of tickets are made: who has the same secret resumes the same sessions. Empty: a
     * random one for this context. */
    struct tg_slice ticket_secret;
    struct tg_slice plain_answer; /* sent as it is to a client that speaks plain text instead of TLS */
};
/* What is wrong with the options. */
struct tg_tls_fault {
    const char *member; /* of the options or of a certificate, as the configuration file spells it; static */
    size_t certificate; /* which one; SIZE_MAX: none of them */
    char text[256];
};
/* Reads the files, which takes blocking calls. TG_EINVAL and the errors of tg_file_read: *fault says what is
 * wrong where. */
enum tg_err tg_tls_server_new(const struct tg_tls_server_options *options, struct tg_tls_fault *fault,
                              struct tg_tls_context **out) TG_MUST_CHECK;
struct tg_tls_certificate_info {
    struct tg_slice name;              /* the first of its subjectAltNames; empty: it has none */
    int64_t not_before_s, not_after_s; /* since the epoch */
    int64_t ocsp_until_s;              /* 0: no response, or without an end */
    bool key_is_public;                /* the key's file can be read by others than owner and group */
};
/* Of a server, in the order of the options; valid as long as the context. */
const struct tg_tls_certificate_info *tg_tls_certificate_info(const struct tg_tls_context *context,
                                                              size_t index);
size_t tg_tls_certificate_count(const struct tg_tls_context *context);

/* One more holder, who ends with tg_tls_context_free. The settings go with the last holder; transports hold
 * them for themselves. Both calls from any thread. */
struct tg_tls_context *tg_tls_context_ref(struct tg_tls_context *context);
void tg_tls_context_free(struct tg_tls_context *context);

/* Takes over an accepted, non-blocking descriptor (on failure it stays the caller's), which has TCP_NODELAY
 * from the listening socket. tls NULL: plain, open at once, no on_open. Else settings of a server: on_open
 * comes once, later, when the handshake is over; its end in time is the owner's care, who may close at any
 * moment. */
enum tg_err tg_transport_accept(struct tg_loop *loop, int fd, struct tg_tls_context *tls,
                                const struct tg_transport_events *events, void *arg,
                                struct tg_transport **out) TG_MUST_CHECK;
/* tls NULL: plain. server_name: for SNI and verification, with TLS: a host name or an IP address. Calls
 * on_open once, later; TG_EREFUSED or TG_ETLS come that way. At once: TG_ENOMEM, TG_ELIMIT (out of
 * descriptors), TG_EREFUSED (the system lacks the address family), TG_EINVAL (a server name that cannot be
 * verified). */
enum tg_err tg_transport_connect(struct tg_loop *loop, const struct tg_address *address,
                                 struct tg_tls_context *tls, struct tg_slice server_name,
                                 const struct tg_transport_events *events, void *arg,
                                 struct tg_transport **out) TG_MUST_CHECK;
/* Which of on_readable and on_writable are wanted. A TLS transport calls on_readable when decrypted bytes are
 * waiting, whatever the socket says. */
void tg_transport_want(struct tg_transport *transport, bool read, bool write);
/* TG_EAGAIN: nothing now. TG_ECLOSED: orderly end. TG_EIO, TG_ETLS (a TLS stream cut without close_notify is
 * TG_EIO). */
enum tg_err tg_transport_read(struct tg_transport *transport, char *space, size_t cap,
                              size_t *got) TG_MUST_CHECK;
/* *put bytes were taken, at least one on TG_OK. TG_EAGAIN, TG_EIO. bytes must not be empty. After TG_EAGAIN
 * the next write begins with the same bytes, at least as many: TLS may have made a record of them. Raises no
 * SIGPIPE. */
enum tg_err tg_transport_write(struct tg_transport *transport, struct tg_slice bytes,
                               size_t *put) TG_MUST_CHECK;
/* The same for several pieces, the first of which are written first; not all empty, at most
 * TG_TRANSPORT_PIECES. Only where tg_transport_gathers says so: TLS would make a record of each. There, less
 * than all on TG_OK means that the socket is full. */
enum { TG_TRANSPORT_PIECES = 16 };
enum tg_err tg_transport_write_pieces(struct tg_transport *transport, const struct tg_slice *pieces,
                                      size_t count, size_t *put) TG_MUST_CHECK;
bool tg_transport_gathers(const struct tg_transport *transport);
/* Of an open transport that passes bytes on as they are: where they may be sent (tg_sock_send) as by
 * tg_transport_write, without a look at the transport. -1: of none else, such as TLS. */
int tg_transport_plain_fd(const struct tg_transport *transport);
/* Ends it at once, without a callback; NULL is allowed. */
void tg_transport_close(struct tg_transport *transport);
/* Half-closes the write side, so that what was written reaches the peer before a close (lingering close). */
void tg_transport_shutdown(struct tg_transport *transport);
/* Ends it at once with a reset (TLS: without close_notify), so that the peer sees that something is missing.
 */
void tg_transport_reset(struct tg_transport *transport);
/* Bytes that were written and that the peer's system has not acknowledged yet; 0 where that is not known. */
size_t tg_transport_unacked(const struct tg_transport *transport);
/* Why a TLS handshake or stream failed, for a log: a static string; empty for anything else, and for a peer
 * that went before it said a word. */
const char *tg_transport_failure(const struct tg_transport *transport);
/* Whether an open TLS stream goes on with an earlier session. */
bool tg_transport_resumed(const struct tg_transport *transport);
/* What a certificate that the peer has shown says, as text. */
struct tg_peer_certificate {
    struct tg_slice pem;
    struct tg_slice subject_dn, issuer_dn; /* RFC 2253 */
    struct tg_slice serial_number;         /* 0a:1b:... */
    struct tg_slice not_before, not_after; /* Nov 21 20:38:50 2026 GMT */
};
/* Of an open stream; one block for free(3). TG_ENOTFOUND: none was shown, or it is not TLS. TG_ENOMEM. */
enum tg_err tg_transport_peer(const struct tg_transport *transport,
                              struct tg_peer_certificate **out) TG_MUST_CHECK;
/* Hands it, open, to another owner, who gets every event from here on, and says anew what is wanted. */
void tg_transport_own(struct tg_transport *transport, const struct tg_transport_events *events, void *arg);

#endif
