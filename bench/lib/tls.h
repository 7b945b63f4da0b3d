/* TLS for streams, by OpenSSL: the least that a server does without, and a client that trusts everybody. */
#ifndef BENCH_LIB_TLS_H
#define BENCH_LIB_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ssl_st;

/* Of all connections of a kind. */
struct tls {
    struct ssl_ctx_st *context;
    struct ssl_session_st *session; /* the last that a server gave; offered by those that come after */
    bool resumes;
    uint64_t handshakes, resumed;
};

void tls_serve(struct tls *tls, const char *certificate, const char *key); /* PEM files */
void tls_connect(struct tls *tls, bool resumes);

/* A connection over `fd`, which stays the caller's. */
struct ssl_st *tls_begin(struct tls *tls, int fd, bool accepts);
void tls_end(struct ssl_st *connection);

/* 1: done; 0: not yet, more has to come; -1: failed, and says why. */
int tls_handshake(struct tls *tls, struct ssl_st *connection);
bool tls_is_done(const struct ssl_st *connection);
bool tls_has_more(const struct ssl_st *connection); /* read already: epoll does not tell of it */

/* As recv() and send(): 0 when the peer has closed, -1 with EAGAIN when nothing goes now. What was read with
 * a record is returned too, unless `room` is full. */
ssize_t tls_read(struct ssl_st *connection, void *to, size_t room);
ssize_t tls_write(struct ssl_st *connection, const void *bytes, size_t len);

#endif
