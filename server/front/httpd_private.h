/* Shared by the files of the HTTP server; nobody else includes it. */
#ifndef TG_FRONT_HTTPD_PRIVATE_H
#define TG_FRONT_HTTPD_PRIVATE_H

#include "server/base/buf.h"
#include "server/base/codec.h"
#include "server/front/httpd.h"
#include "server/io/http1.h"
#include "server/io/transport.h"

struct tg_listener; /* httpd_listen.c */

struct tg_httpd {
    struct tg_httpd_options options;
    struct tg_list connections;
    struct tg_list listeners;
    size_t count;
    int reserve_fd; /* kept for the moment when descriptors run out; -1: none */
    bool draining;
    int64_t date_s; /* second that `date` tells */
    char date[TG_TIME_TEXT_MAX];
    char scratch[65536]; /* where sockets are read into */
    struct tg_httpd_counters counters;
};

/* What a connection is doing. */
enum http_state {
    HTTP_HEAD,     /* waits for, or reads, a request head */
    HTTP_EXCHANGE, /* a request is with the handler */
    HTTP_WRITE,    /* the answer is being written */
    HTTP_LINGER,   /* answered with unread input: half-closed, discarding */
};

struct http_exchange {
    struct tg_exchange base; /* first */
    struct http_conn *conn;
    struct tg_arena arena;
    bool close; /* after the answer */
    bool head_method, expect_continue, wants_upgrade;
    bool tell_keep_alive; /* HTTP/1.0 takes the connection to close otherwise */
    struct tg_http1_body decoder;
    /* read_body */
    struct tg_buf body;
    size_t body_limit;
    void (*body_done)(void *arg, enum tg_err err, struct tg_slice body);
    void *body_arg;
    enum tg_err body_result;
    struct tg_task body_task;
};

struct http_conn {
    struct tg_list node; /* httpd->connections */
    struct tg_httpd *httpd;
    struct tg_transport *transport; /* NULL: the client has gone */
    enum http_state state;
    struct tg_buf in, out;
    size_t scanned;
    struct tg_timer timer;
    struct tg_task resume; /* go on with pipelined input, or close; never inside a handler's call */
    struct http_exchange *exchange;
    uint64_t requests;
    size_t discarded; /* in HTTP_LINGER */
    bool eof, close, dead;
    uint16_t port;
    char source_ip[64];
};

/* Takes over an accepted descriptor. */
void http_conn_accept(struct tg_httpd *httpd, int fd, struct tg_slice source_ip, uint16_t port);
/* At once; an exchange under way learns it and keeps the memory until it is answered. */
void http_conn_abort(struct http_conn *conn);
/* Nothing is under way: closed. Otherwise after the answer. */
void http_conn_drain(struct http_conn *conn);

/* httpd_exchange.c: the request at the front of conn->in, whose head was read. */
enum tg_err http_exchange_new(struct http_conn *conn, const struct tg_http1_request *request, size_t head_len,
                              struct tg_arena *arena, struct http_exchange **out) TG_MUST_CHECK;
/* More bytes are in conn->in, or no more will come. */
void http_exchange_input(struct http_exchange *exchange);
/* The body will not be had: err goes to whoever waits for it. */
void http_exchange_fail_body(struct http_exchange *exchange, enum tg_err err);
void http_exchange_free(struct http_exchange *exchange);

/* httpd_conn.c, for the exchange. */
void http_conn_answered(struct http_conn *conn);
void http_conn_write(struct http_conn *conn);
void http_conn_want(struct http_conn *conn);
/* Starts the one timer that a connection has, for whatever it does now; 0: no limit. */
void http_conn_time(struct http_conn *conn, uint64_t limit_ms);
/* The Date of this second. */
struct tg_slice http_date(struct tg_httpd *httpd);
/* The socket was handed on: forget it. */
void http_conn_release(struct http_conn *conn);

void http_listeners_close(struct tg_httpd *httpd);

static inline void http_count(_Atomic(uint64_t) *counter, uint64_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

#endif
