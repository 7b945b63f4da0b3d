/* The HTTP/1.1 server of a worker: accepts on listening sockets, reads requests strictly (server/io/http1.h),
 * hands each as an exchange (routes/exchange.h) to one handler, writes answers, keeps connections alive, and
 * lets go of sockets that become WebSockets. One request of a connection at a time; pipelined ones wait in
 * its buffer. Slow clients are bounded in time and memory. The admin listener is another instance with
 * another handler. */
#ifndef TG_FRONT_HTTPD_H
#define TG_FRONT_HTTPD_H

#include <stdatomic.h>

#include "routes/exchange.h"
#include "server/base/log.h"
#include "server/front/proxyproto.h"
#include "server/front/ws.h"
#include "server/io/loop.h"
#include "server/io/network.h"
#include "server/io/transport.h"

struct tg_httpd;

struct tg_httpd_limits {
    size_t max_request_line, max_head, max_headers; /* bytes, bytes, fields */
    uint64_t max_requests;                          /* per connection; 0: no limit */
    uint64_t header_timeout_ms; /* from the accept, or the first byte, to the end of a head; 0: none. Of a
                                   PROXY header by itself */
    /* Of a body that is read whole, once asked for. Where bodies and answers are streamed: the time in which
     * a client must send, or take, some of what is to come; 0: none. */
    uint64_t body_timeout_ms;
    uint64_t keep_alive_timeout_ms; /* between an answer and the next request; 0: no next request */
    size_t max_connections;         /* of this worker, WebSockets not counted; more are closed at once */
};

/* Read from any thread. */
struct tg_httpd_counters {
    _Atomic(uint64_t) accepted, open, requests, upgraded;
    _Atomic(uint64_t) tunnels, tunnels_open; /* since the start, and now */
    _Atomic(uint64_t) refused;               /* over the limit of connections or descriptors */
    _Atomic(uint64_t) malformed;             /* requests answered 400, 414, 431, 501, 505 */
    _Atomic(uint64_t) timed_out;             /* slow heads, bodies and readers */
    /* Closed for want of a PROXY header: a peer that may send none, a wrong one, none in time. */
    _Atomic(uint64_t) proxy_untrusted, proxy_malformed, proxy_timed_out;
    /* Handshakes that were completed, and those of them that went on with an earlier session; that failed,
     * also by time. A client that leaves before it has said a word is none of these. */
    _Atomic(uint64_t) tls_handshakes, tls_resumed, tls_failed;
    _Atomic(uint64_t) bytes_in, bytes_out;
};

struct tg_httpd_options {
    struct tg_loop *loop;
    struct tg_log *log;
    struct tg_arena_pool *arenas;
    struct tg_ws_engine *ws; /* NULL: no upgrades (admin) */
    struct tg_httpd_limits limits;
    void (*handle)(void *arg, struct tg_exchange *exchange); /* takes the exchange */
    void *arg;
    bool (*may_accept)(void *arg); /* NULL: always; false closes a newcomer at once (descriptors run short) */
    void *may_accept_arg;
};

/* How newcomers of one listening socket are taken. */
struct tg_httpd_listener_options {
    uint16_t port;                /* the one that clients see; 0 for unix sockets */
    enum tg_proxy_protocol proxy; /* off: a header is neither demanded nor understood */
    /* Who may send one; borrowed until other options take their place. Peers of unix sockets all may: the
     * socket's permissions say who they are. */
    struct tg_networks trusted;
    /* NULL: plain. Borrowed until other options take its place; connections hold theirs for themselves. */
    struct tg_tls_context *tls;
};

enum tg_err tg_httpd_new(const struct tg_httpd_options *options, struct tg_httpd **out) TG_MUST_CHECK;
/* Closes everything. Exchanges that are under way are told (on_abort) and must end from there. */
void tg_httpd_free(struct tg_httpd *httpd);
/* Accepts on a listening socket, which it takes over. */
enum tg_err tg_httpd_listen(struct tg_httpd *httpd, int fd,
                            const struct tg_httpd_listener_options *options) TG_MUST_CHECK;
/* For newcomers from now on, other options than the port; the first listener is 0. Nothing where it has been
 * closed. */
void tg_httpd_configure_listener(struct tg_httpd *httpd, size_t index,
                                 const struct tg_httpd_listener_options *options);
void tg_httpd_configure(struct tg_httpd *httpd, const struct tg_httpd_limits *limits);
/* Answers from now on with Connection: close, and serves on. */
void tg_httpd_wind_down(struct tg_httpd *httpd);
/* Stops accepting, closes idle connections, answers from now on with Connection: close. What is being
 * streamed goes on to its end; tunnels do not end by this. */
void tg_httpd_drain(struct tg_httpd *httpd);
/* Cuts streamed answers and tunnels: their handlers are told (on_abort) in the next pass of the loop. */
void tg_httpd_cut(struct tg_httpd *httpd);
/* Connections that are open, of any state. */
size_t tg_httpd_count(const struct tg_httpd *httpd);
const struct tg_httpd_counters *tg_httpd_counters(const struct tg_httpd *httpd);

#endif
