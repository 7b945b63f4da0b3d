/* The connections of one worker: a table of slots, each with the socket, the send queue, the timers and what
 * the connection's later events repeat (spec 3.1, 7.6). Knows no API model and no WebSocket library. A
 * connection is remembered elsewhere only as a handle, which is resolved anew after every callback; a slot in
 * use again has another generation, so an old handle or id never reaches the wrong client.
 *
 * Life: reserved (the handshake runs; the id exists, pushes get 410) -> open -> closing (a close was asked
 * for, or seen; pushes get 410) -> gone. Free slots are reused first-in first-out. */
#ifndef TG_CONNMGR_CONN_H
#define TG_CONNMGR_CONN_H

#include <stdatomic.h>

#include "connmgr/connid.h"
#include "connmgr/frame.h"
#include "connmgr/socket.h"
#include "server/base/arena.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/io/loop.h"

struct tg_connmgr;
struct tg_conn;

struct tg_conn_handle {
    uint32_t slot;
    uint32_t generation; /* 0: no connection */
};

/* What is known of a connection from its handshake. tg_conn_open copies it into one block that lives as long
 * as the connection. */
struct tg_conn_info {
    struct tg_slice api_id, stage;
    struct tg_slice domain_name; /* the Host that the client used */
    struct tg_slice source_ip;
    struct tg_slice user_agent; /* NULL pointer: the handshake had none */
    bool has_authorizer;
    struct tg_string_map authorizer; /* stringified context members and principalId */
    struct tg_string_map identity;   /* AWS_IAM: who signed, by the names of events; empty for others */
    int64_t connected_at_ms;         /* wall clock */
};

enum tg_conn_state { TG_CONN_RESERVED, TG_CONN_OPEN, TG_CONN_CLOSING };

struct tg_conn_settings {
    uint64_t idle_timeout_ms;  /* 0: off */
    uint64_t max_duration_ms;  /* 0: off */
    uint64_t ping_interval_ms; /* 0: off */
    bool control_is_activity;  /* pings and pongs of the client move the idle timer */
    /* In the send queue and, not yet with the kernel, in the socket; queued frames are limited to one for 256
     * of them, and 64. */
    size_t max_queued_bytes;
};

/* Calls to the owner (routes/session.c), never from inside a call of this module. The connection exists
 * during the call, not after it. */
struct tg_conn_events {
    void (*on_message)(void *arg, struct tg_conn *conn, struct tg_slice payload, bool binary);
    /* The last word on an open connection, once. code and reason as spec 1.9 tabulates them. */
    void (*on_closed)(void *arg, struct tg_conn *conn, int code, struct tg_slice reason);
};

/* Totals of one worker, for metrics; read from any thread. */
struct tg_conn_counters {
    _Atomic(uint64_t) open;   /* now */
    _Atomic(uint64_t) opened; /* ever */
    _Atomic(uint64_t) messages_in, messages_out, bytes_in, bytes_out;
    _Atomic(uint64_t) queued_bytes;       /* now, as max_queued_bytes counts, of all connections */
    _Atomic(uint64_t) rejected;           /* sends refused because a queue was full */
    _Atomic(uint64_t) closed_by_code[16]; /* 1000..1015; others count as 1000 + 4 (reserved) */
};

struct tg_connmgr_options {
    struct tg_loop *loop;
    struct tg_log *log;
    uint32_t node, worker;
    unsigned char id_key[TG_CONNID_KEY_LEN];
    size_t max_connections; /* slots, at most 2^24 */
    const struct tg_conn_events *events;
    void *events_arg;
    /* The node's hold on its number (lease.h): while it has none, messages are not taken and nothing is sent.
     * NULL: it has it for ever. */
    const _Atomic(uint64_t) *lease;
};

enum tg_err tg_connmgr_new(const struct tg_connmgr_options *options, struct tg_connmgr **out) TG_MUST_CHECK;
/* Every connection must be gone. */
void tg_connmgr_free(struct tg_connmgr *mgr);
const struct tg_conn_counters *tg_connmgr_counters(const struct tg_connmgr *mgr);
/* Connections reserved, open or closing. */
size_t tg_connmgr_count(const struct tg_connmgr *mgr);
/* What a connection left behind has gone as well. After many of them, and of connections, the memory goes
 * back to the system: the allocator alone would keep it. */
void tg_connmgr_note_freed(struct tg_connmgr *mgr);

/* New connections get ids of this node; 0: there are none. Handshakes under way are refused when they end. */
void tg_connmgr_renumber(struct tg_connmgr *mgr, uint32_t node);
/* Takes a slot for a handshake. TG_ELIMIT: no slot is free. TG_EAGAIN: the node has no number now. */
enum tg_err tg_conn_reserve(struct tg_connmgr *mgr, struct tg_conn_handle *handle,
                            char id[TG_CONNID_LEN + 1]) TG_MUST_CHECK;
/* Whether a reserved connection can open: not when the node has another number by now, or none. */
bool tg_conn_can_open(struct tg_connmgr *mgr, struct tg_conn_handle handle);
/* Gives back a reserved slot: the handshake was refused. */
void tg_conn_release(struct tg_connmgr *mgr, struct tg_conn_handle handle);
/* A reserved connection becomes open, with timers running; TG_ECLOSED: it cannot.
 * The socket was opened with tg_conn_socket_events and the handle's tg_conn as argument. */
enum tg_err tg_conn_open(struct tg_connmgr *mgr, struct tg_conn_handle handle,
                         const struct tg_conn_info *info, const struct tg_conn_settings *settings,
                         struct tg_socket *socket, const struct tg_socket_ops *ops) TG_MUST_CHECK;
extern const struct tg_socket_events tg_conn_socket_events;

/* NULL when it is gone. */
struct tg_conn *tg_conn_get(struct tg_connmgr *mgr, struct tg_conn_handle handle);
/* Only while it is open, and this node's (pushes, replies). */
struct tg_conn *tg_conn_get_open(struct tg_connmgr *mgr, struct tg_conn_handle handle);
/* Have the processor fetch what a send to it will touch: the connection, and some hundred instructions later,
 * when that is there, its socket. */
void tg_conn_fetch(const struct tg_connmgr *mgr, struct tg_conn_handle handle);
void tg_conn_fetch_socket(const struct tg_connmgr *mgr, struct tg_conn_handle handle);
struct tg_conn_handle tg_conn_handle(const struct tg_conn *conn);
/* NUL-terminated, TG_CONNID_LEN characters. */
const char *tg_conn_id(const struct tg_conn *conn);
/* NULL while reserved. */
const struct tg_conn_info *tg_conn_info(const struct tg_conn *conn);
/* Whether it is of this API. Not while reserved. */
bool tg_conn_is_of(const struct tg_conn *conn, struct tg_slice api_id);
/* The number that the node had when it was reserved. */
uint32_t tg_conn_node(const struct tg_conn *conn);
/* A copy in one block, with one reference. */
enum tg_err tg_conn_info_new(const struct tg_conn_info *info, const struct tg_conn_info **out) TG_MUST_CHECK;
/* Only for infos that tg_conn_info or tg_conn_info_new returned. */
const struct tg_conn_info *tg_conn_info_ref(const struct tg_conn_info *info);
void tg_conn_info_unref(const struct tg_conn_info *info);
/* A copy in an arena, strings included. */
enum tg_err tg_conn_info_copy(struct tg_arena *arena, const struct tg_conn_info *info,
                              const struct tg_conn_info **out) TG_MUST_CHECK;
int64_t tg_conn_last_active_ms(const struct tg_conn *conn); /* wall clock */
enum tg_conn_state tg_conn_state(const struct tg_conn *conn);
/* What waits for the client, as max_queued_bytes counts; *frames: of the queue. */
size_t tg_conn_queued(const struct tg_conn *conn, size_t *frames);
/* The owner's pointer on the connection: set when opened, cleared by the owner in on_closed. */
void tg_conn_set_user(struct tg_conn *conn, void *user);
void *tg_conn_user(const struct tg_conn *conn);
/* Settings may change with a reload. */
void tg_conn_configure(struct tg_conn *conn, const struct tg_conn_settings *settings);

/* ---- sending ---- */
struct tg_send; /* one frame on its way */
/* TG_OK: the socket has taken it whole; what the kernel had no room for waits there and counts as queued.
 * TG_ECLOSED: the connection went first. Exactly once, never from inside tg_conn_send; never after
 * tg_send_withdraw said TG_OK. */
typedef void tg_sent_fn(void *arg, enum tg_err err);

/* Queues the frame (takes its own reference); all frames of one pass of the loop go out in one write, those
 * of many bytes sooner: at once, or with the others that answer what one read brought. `sent` may be NULL;
 * out may be NULL. TG_EBUSY: the queue is full (an empty queue takes any one frame). TG_ECLOSED: not open. */
enum tg_err tg_conn_send(struct tg_conn *conn, struct tg_frame *frame, tg_sent_fn *sent, void *arg,
                         struct tg_send **out) TG_MUST_CHECK;
/* The same for a text of which nobody waits to hear. Borrowed. What answers a message while that is told
 * (on_message) is joined with the other answers, without a frame of its own; a long text is written from
 * where it lies where it can be written at once. */
enum tg_err tg_conn_send_text(struct tg_conn *conn, struct tg_slice text) TG_MUST_CHECK;
/* A frame with this payload, written within the call, or gathered with those of other connections, where that
 * can be: nothing waits before it, and it is the first so written in this pass of the loop; more of them are
 * better joined. TG_OK: the socket has taken it, as tg_sent_fn says, or will when the loop's sends are
 * flushed; what was lost then has its connection closing. TG_ECLOSED: not open, or the end was seen.
 * TG_EAGAIN: nothing was done; it is for tg_conn_send. Borrowed; not for control frames. */
enum tg_err tg_conn_send_now(struct tg_conn *conn, enum tg_opcode opcode,
                             struct tg_slice payload) TG_MUST_CHECK;
/* The same with a frame, of which no reference is taken. */
enum tg_err tg_conn_send_frame_now(struct tg_conn *conn, const struct tg_frame *frame) TG_MUST_CHECK;
/* Takes a frame back that still waits for the socket: TG_OK, and no callback follows. TG_EAGAIN: its fate is
 * settled, the callback is due. */
enum tg_err tg_send_withdraw(struct tg_send *send) TG_MUST_CHECK;
/* The caller no longer wants to know; `send` is not used again. */
void tg_send_forget(struct tg_send *send);
/* Traffic that moves lastActiveAt and the idle timer (an accepted push; messages do it by themselves). */
void tg_conn_touch(struct tg_conn *conn);
/* Stops and resumes reading. */
void tg_conn_pause(struct tg_conn *conn, bool paused);
/* Sends what is queued, then a close frame; on_closed follows with this code and reason. code 0: cut,
 * reported as 1006. Idempotent: the first call counts. */
void tg_conn_close(struct tg_conn *conn, int code, struct tg_slice reason);

/* Cuts every connection at once, without a close frame, also those whose close is under way: the shutdown's
 * deadline has passed. */
void tg_connmgr_cut(struct tg_connmgr *mgr);
/* Visits every open connection until visit returns false; visit may close the one it is given. */
void tg_connmgr_each(struct tg_connmgr *mgr, bool (*visit)(void *arg, struct tg_conn *conn), void *arg);
/* The same, with those that are being closed: on_closed has not been called for any of them. */
void tg_connmgr_each_untold(struct tg_connmgr *mgr, bool (*visit)(void *arg, struct tg_conn *conn),
                            void *arg);
/* A part of the table, for what looks through all of it without keeping the loop: visits connections,
 * reserved ones as well, in `slots` slots from *at on, which becomes the first that was not looked at, or the
 * one for which visit returned false. False: the table is through. */
bool tg_connmgr_walk(const struct tg_connmgr *mgr, size_t *at, size_t slots,
                     bool (*visit)(void *arg, const struct tg_conn *conn), void *arg);

#endif
