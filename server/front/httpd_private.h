/* Shared by the files of the HTTP server; nobody else includes it. */
#ifndef TG_FRONT_HTTPD_PRIVATE_H
#define TG_FRONT_HTTPD_PRIVATE_H

#include "server/base/buf.h"
#include "server/base/codec.h"
#include "server/front/httpd.h"
#include "server/io/http1_known.h"
#include "server/io/transport.h"

struct tg_listener {
    struct tg_list node; /* httpd->listeners */
    struct tg_httpd *httpd;
    struct tg_poll *poll;
    struct tg_timer pause;
    int fd;
    struct tg_httpd_listener_options options;
};

/* What clients can cause as often as they like must not fill the log: one line of a kind a second. */
struct http_told {
    uint64_t at_ms;  /* the last one; 0: none yet */
    uint64_t untold; /* left out since */
};

/* How most heads end. */
#define HTTP_DATE_NAME  "Date: "
#define HTTP_AFTER_DATE "\r\nConnection: keep-alive\r\n\r\n"
enum { HTTP_DATE_AT = sizeof HTTP_DATE_NAME - 1 };

struct tg_httpd {
    struct tg_httpd_options options;
    struct tg_list connections;
    struct tg_list listeners;
    struct tg_list newcomers; /* of their listeners, which they do not outlive (newcomer.h) */
    size_t count;             /* of connections and newcomers */
    int reserve_fd;           /* kept for the moment when descriptors run out; -1: none */
    bool draining;
    int64_t date_s; /* the second that is told below */
    char usual_end[sizeof HTTP_DATE_NAME + TG_TIME_TEXT_MAX + sizeof HTTP_AFTER_DATE];
    size_t usual_end_len, date_len;
    struct tg_http1_known *known;
    char answer[4096];   /* where whole answers are put together */
    char scratch[65536]; /* where sockets are read into */
    struct tg_httpd_counters counters;
    struct http_told refusals; /* newcomer.c: what of it is in the log */
    struct http_told failures; /* handshakes: what of them is in the log */
};

/* What a connection is doing. */
enum http_state {
    HTTP_HEAD,     /* waits for, or reads, a request head */
    HTTP_EXCHANGE, /* a request is with the handler; also a streamed answer and a tunnel */
    HTTP_WRITE,    /* the exchange is over, what is left of the answer is being written */
    HTTP_LINGER,   /* answered with unread input: half-closed, discarding */
};

enum http_body_use {
    HTTP_BODY_UNASKED,
    HTTP_BODY_COLLECTED, /* read_body */
    HTTP_BODY_TAKEN      /* take_body, and what the client sends through a tunnel */
};

/* How far the handler has come with its answer, and how the body of that lies on the wire. */
enum http_answer {
    HTTP_ANSWER_NONE, /* not begun */
    HTTP_ANSWER_GONE, /* begun when there was no client any more */
    HTTP_ANSWER_EMPTY,
    HTTP_ANSWER_LENGTH,
    HTTP_ANSWER_CHUNKED,
    HTTP_ANSWER_UNTIL_CLOSE,
    HTTP_ANSWER_TUNNEL
};

/* What happens to the connection once everything was written, if it does not go on. */
enum http_cut {
    HTTP_CUT_NOT,
    HTTP_CUT_CLOSE, /* closed at once: the framing shows that something is missing */
    HTTP_CUT_RESET  /* reset, where an orderly close would look like the end of the body */
};

struct http_exchange {
    struct tg_exchange base; /* first */
    struct http_conn *conn;
    struct tg_arena arena;
    bool *ended; /* set when the exchange goes: for one who has called the handler and has more to do */
    bool close;  /* after the answer */
    bool head_method, expect_continue, wants_upgrade;
    /* The request's body (httpd_body.c). */
    struct tg_http1_body decoder;
    enum http_body_use body_use;
    bool held;
    bool body_over; /* its end is known: body_result; the handler is told by body_task at the latest */
    enum tg_err body_result;
    uint64_t body_limit, body_taken;
    struct tg_slice here;       /* the whole of it, undecoded, in the arena: it came with the head */
    struct tg_buf body;         /* collected */
    struct tg_slice small_body; /* instead, in the arena; empty: not so */
    void (*body_done)(void *arg, enum tg_err err, struct tg_slice body);
    const struct tg_body_events *body_events;
    void *body_arg;
    struct tg_task body_task;
    /* The answer (httpd_answer.c, httpd_tunnel.c). */
    enum http_answer answer;
    uint64_t left;             /* with HTTP_ANSWER_LENGTH: still to come */
    bool full;                 /* send has said TG_EAGAIN: on_room is due */
    bool shut;                 /* of a tunnel: no more will be sent */
    struct tg_task write_task; /* writes what was sent in this pass of the loop */
};

struct http_conn {
    struct tg_list node; /* httpd->connections */
    struct tg_httpd *httpd;
    struct tg_transport *transport; /* NULL: the client has gone */
    enum http_state state;
    enum http_cut cut;
    struct tg_buf in, out;
    size_t scanned;
    struct tg_http1_hint hint; /* of its requests' fields */
    /* One timer for both directions, started at the first of these times and set again when it finds them
     * moved. Loop time, 0: no limit. */
    struct tg_timer timer;
    uint64_t in_due_ms;    /* when the client must have sent: a head, a body, more of it; or must have gone */
    uint64_t out_due_ms;   /* when the client must have taken some of what is queued */
    size_t unacked;        /* bytes with the kernel when out_due_ms was set */
    struct tg_task resume; /* go on with pipelined input, or close; never inside a handler's call */
    struct http_exchange *exchange;
    uint64_t requests;
    size_t discarded; /* in HTTP_LINGER */
    bool eof, close, dead;
    bool secure, in_handshake;        /* TLS */
    struct tg_peer_certificate *peer; /* the client's; NULL: it has shown none */
    bool blocked;                     /* the socket takes no more for now: out is written when it does */
    bool broken; /* writing failed, or the connection is to be cut: `resume` tells the handler */
    uint16_t port;
    uint16_t gathered; /* in HTTP_WRITE: its answer waits among the loop's sends; 0: no */
    char source_ip[64];
    size_t source_ip_len;
};

/* ---- httpd_conn.c ---- */

/* Takes over an accepted descriptor. tls NULL: plain. */
void http_conn_accept(struct tg_httpd *httpd, int fd, struct tg_tls_context *tls, struct tg_slice source_ip,
                      uint16_t port);
/* At once; an exchange under way learns it and keeps the memory until it is answered. The handler may be
 * called. */
void http_conn_abort(struct http_conn *conn);
/* The same, later in this pass. */
void http_conn_break(struct http_conn *conn);
/* Nothing is under way: closed. Otherwise after the answer. */
void http_conn_drain(struct http_conn *conn);
/* The exchange has ended, what it answered is gathered or in conn->out: writes it and goes on as conn->close
 * and conn->cut say. */
void http_conn_answered(struct http_conn *conn);
/* The socket was handed on: forget it. */
void http_conn_release(struct http_conn *conn);
void http_conn_free(struct http_conn *conn);
/* Brings what the transport waits for in line with the state. */
void http_conn_want(struct http_conn *conn);
/* Sets one of the connection's times, `limit_ms` from now; 0: none. */
void http_conn_time(struct http_conn *conn, uint64_t *due_ms, uint64_t limit_ms);
/* Goes back to reading heads. */
void http_conn_next(struct http_conn *conn);

/* ---- httpd_write.c ---- */

/* Queues these pieces, whole or not at all, and writes at once if it is much. At most HTTP_PIECES; while an
 * exchange is under way. TG_ENOMEM. */
enum { HTTP_PIECES = TG_TRANSPORT_PIECES - 1 };
enum tg_err http_conn_put(struct http_conn *conn, const struct tg_slice *pieces, size_t count) TG_MUST_CHECK;
/* Writes these bytes, at once or together with what others have to write, if nothing is before them, and
 * queues what the socket leaves; http_conn_answered follows, and waits for that. TG_ENOMEM. */
enum tg_err http_conn_put_now(struct http_conn *conn, struct tg_slice bytes) TG_MUST_CHECK;
/* Writes what the socket takes of conn->out. While an exchange is under way nobody is called and the
 * connection stays; otherwise, once all is out, the connection goes on or is gone. */
void http_conn_write(struct http_conn *conn);
/* The socket takes more. The handler may be called. */
void http_conn_writable(struct http_conn *conn);
/* What is queued has waited for its time. */
void http_conn_write_late(struct http_conn *conn);

/* ---- httpd_head.c ---- */

/* These bytes are the first since the last request: true: they held a whole head, and the handler was called;
 * what follows the head is where the handler's calls find it. False: nothing was done, and the bytes are to
 * be kept and read by http_head_read. */
bool http_head_in_one(struct http_conn *conn, struct tg_slice bytes);
/* Looks for a request at the front of conn->in. The handler may be called. */
void http_head_read(struct http_conn *conn);
/* Answers this status, and ends the connection. */
void http_head_refuse(struct http_conn *conn, int status);

/* ---- httpd_exchange.c ---- */

/* Takes the arena, in which the request's head lies. On failure it stays the caller's. */
enum tg_err http_exchange_new(struct http_conn *conn, const struct tg_http1_request *request,
                              struct tg_arena *arena, struct http_exchange **out) TG_MUST_CHECK;
void http_exchange_free(struct http_exchange *exchange);
static inline struct http_exchange *http_exchange_of(struct tg_exchange *base)
{
    return TG_CONTAINER(base, struct http_exchange, base);
}
/* The fields Date, of this second, and Connection: keep-alive, and the head's end. */
struct tg_slice http_usual_end(struct tg_httpd *httpd);
/* That Date alone. */
struct tg_slice http_date(struct tg_httpd *httpd);

/* ---- httpd_body.c ---- */

/* Bytes have come, or with none: conn->eof was set. May call the handler: nothing of the connection is to be
 * touched afterwards. */
void http_body_input(struct http_exchange *exchange, struct tg_slice bytes);
/* The body will not be had: err goes to whoever waits for it, later. */
void http_body_fail(struct http_exchange *exchange, enum tg_err err);
/* Whether what comes is handed on as it comes. */
bool http_body_flows(const struct http_exchange *exchange);
/* Drops what is at hand of a body that nobody takes. Whether that was all of it, so that the next request
 * follows. */
bool http_body_skip(struct http_exchange *exchange);
/* The same question, and nothing is dropped. */
bool http_body_at_hand(const struct http_exchange *exchange);
/* What follows are the bytes of a tunnel. */
void http_body_tunnel(struct http_exchange *exchange, const struct tg_body_events *events, void *arg);
void http_body_task(struct tg_task *task);
void http_read_body(struct tg_exchange *base, size_t limit,
                    void (*done)(void *arg, enum tg_err err, struct tg_slice body), void *arg);
bool http_whole_body(struct tg_exchange *base, size_t limit, struct tg_slice *body);
void http_take_body(struct tg_exchange *base, uint64_t limit, const struct tg_body_events *events, void *arg);
void http_hold_body(struct tg_exchange *base, bool hold);

/* ---- httpd_answer.c ---- */

/* How a head is made. */
struct http_head {
    int status;
    const struct tg_headers *given;
    struct tg_slice length; /* Content-Length; NULL pointer: none */
    bool chunked, close;
    bool drop; /* leave out fields that cannot be written; otherwise they fail the whole, TG_EINVAL */
};
/* Queues it. */
enum tg_err http_write_head(struct http_exchange *exchange, const struct http_head *head) TG_MUST_CHECK;
/* Fields that say how an answer lies on the wire: the front door's own. */
bool http_is_framing(struct tg_slice name);
bool http_has_no_body(int status);
/* The value of Connection. */
struct tg_slice http_connection_options(bool upgrade, bool close);
/* Whether the connection ends after the answer, as far as is known now. */
bool http_closes(const struct http_exchange *exchange, bool reusable);
enum tg_err http_start(struct tg_exchange *base, int status, const struct tg_headers *given,
                       int64_t length) TG_MUST_CHECK;
enum tg_err http_send(struct tg_exchange *base, struct tg_slice bytes) TG_MUST_CHECK;
void http_end(struct tg_exchange *base, bool whole);
void http_write_task(struct tg_task *task);

/* ---- httpd_reply.c, httpd_tunnel.c ---- */

void http_reply(struct tg_exchange *base, int status, const struct tg_headers *given, struct tg_slice body);
void http_reply_lines(struct tg_exchange *base, int status, struct tg_slice lines, struct tg_slice body);
enum tg_err http_tunnel(struct tg_exchange *base, const struct tg_headers *headers,
                        const struct tg_body_events *events, void *arg) TG_MUST_CHECK;
void http_shut(struct tg_exchange *base);
/* The handler has ended a tunnel. */
void http_tunnel_end(struct http_exchange *exchange, bool whole);

/* ---- httpd_listen.c ---- */

void http_listeners_close(struct tg_httpd *httpd);
/* Makes a connection of a client at this address, which came to this port, of an accepted descriptor. */
void http_admit(struct tg_listener *listener, int fd, struct tg_slice source_ip, uint16_t port);

static inline void http_count(_Atomic(uint64_t) *counter, uint64_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

/* Whether a line is due. Then the next is due in a second, and *untold were left out before this one. */
static inline bool http_may_tell(struct http_told *told, uint64_t now_ms, uint64_t *untold)
{
    enum { APART_MS = 1000 };
    if (told->at_ms > 0 && now_ms - told->at_ms < APART_MS) {
        told->untold++;
        return false;
    }
    *untold = told->untold;
    *told = (struct http_told){.at_ms = now_ms};
    return true;
}

static inline void http_opened(struct tg_httpd *httpd)
{
    httpd->count++;
    atomic_store_explicit(&httpd->counters.open, httpd->count, memory_order_relaxed);
}

static inline void http_closed(struct tg_httpd *httpd)
{
    httpd->count--;
    atomic_store_explicit(&httpd->counters.open, httpd->count, memory_order_relaxed);
}

#endif
