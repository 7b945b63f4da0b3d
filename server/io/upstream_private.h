/* What the files of the back-end client share. upstream_pool.c owns origins and decides which connection
 * serves which call; upstream_connect.c opens and ends connections; upstream_conn.c moves bytes over an open
 * one; upstream_call.c owns calls; upstream_request.c has what they send; upstream_fetch.c collects answers;
 * upstream_choice.c sends calls with a group to its targets.
 *
 * A connection is in one of three states: connecting (it has a call and is not open), serving (a call, open),
 * idle (no call, open, in its origin's list). A call is in one of three places: on a connection, in its
 * origin's queue, or, when it has failed, waiting for its task to say so. Only functions that the loop calls
 * make the user's callbacks. */
#ifndef TG_IO_UPSTREAM_PRIVATE_H
#define TG_IO_UPSTREAM_PRIVATE_H

#include "server/base/list.h"
#include "server/base/map.h"
#include "server/io/http1.h"
#include "server/io/upstream_group.h"

enum { TG_UPSTREAM_READ_SIZE = 65536 };

struct tg_upstream {
    struct tg_loop *loop;
    struct tg_resolver *resolver;
    struct tg_log *log;
    struct tg_upstream_options options;
    struct tg_map origins;
    struct tg_arena_pool arenas;
    struct tg_upstream_stats stats;
    char scratch[TG_UPSTREAM_READ_SIZE]; /* what one read brings; valid until the next */
};

/* Lives as long as it has a connection or a waiting call, and holds its trust as long. */
struct tg_upstream_origin {
    struct tg_upstream *upstream;
    struct tg_origin name;  /* slices into key */
    struct tg_list idle;    /* the last one used first */
    struct tg_list pending; /* the oldest first */
    size_t connections, idle_count, pending_count;
    size_t apart; /* connections outside the limit */
    size_t key_len;
    char key[];
};

struct tg_upstream_conn {
    struct tg_upstream_origin *origin;
    struct tg_call *call; /* NULL: idle */
    struct tg_transport *transport;
    struct tg_list node;   /* in the origin's idle list */
    struct tg_timer timer; /* of the connection attempt, then of idleness */
    struct tg_resolve *question;
    struct tg_address *addresses; /* to try in turn, while connecting */
    size_t address_count, address_next;
    enum tg_err connect_err; /* of the last address tried */
    uint64_t deadline_ms;    /* of connecting as a whole */
    struct tg_buf in;        /* answer bytes read and not yet used */
    size_t scanned;          /* tg_http1_parse_response's memory */
    bool open;
    bool idle;
    bool apart;        /* outside the pool's limit, for one call */
    bool reused;       /* an earlier call was served */
    bool answered;     /* a byte of an answer came */
    bool blocked;      /* the last write found no room */
    bool write_failed; /* nothing more can be written; what the peer has said may still be read */
    bool shut;         /* a tunnel's write side is closed */
    bool dead;         /* ended; the memory goes when `dispatch` is 0 */
    unsigned dispatch; /* events of this connection under way */
};

/* What tg_call_send makes of its bytes. */
enum tg_call_stream { TG_STREAM_NONE, TG_STREAM_LENGTH, TG_STREAM_CHUNKED, TG_STREAM_TUNNEL };

struct tg_call {
    struct tg_upstream *upstream;
    struct tg_upstream_origin *origin; /* while queued */
    struct tg_upstream_conn *conn;
    struct tg_call_request request;
    struct tg_call_events events;
    void *arg;
    struct tg_list node;   /* in the origin's queue */
    struct tg_timer timer; /* due at the nearest of the call's time-outs or earlier: it looks and goes on */
    uint64_t end_ms;       /* of the call as a whole; UINT64_MAX: none */
    uint64_t moved_ms;     /* where the time of the head, then of idleness, counts from */
    struct tg_task task;  /* tells a failure of the start; goes on after a pause or a wait for a connection */
    enum tg_err failure;  /* for the task */
    struct tg_buf head;   /* request head, and what of the body goes out with it or is kept to go again */
    struct tg_slice body; /* the body when it is large */
    size_t sent;          /* of head and body */
    struct tg_buf stream; /* streamed body, framed, not yet written */
    uint64_t streamed;    /* body bytes taken by tg_call_send */
    enum tg_call_stream streams;
    /* Tasks' rounds that the head waits for the first bytes of the body: what comes with the head is handed
     * on by a task of its own, which may be behind this call's. */
    unsigned char held;
    bool finished;       /* no more request body will come */
    bool wrote;          /* a byte of the request went out, on whatever connection */
    bool asked, denied;  /* may_go */
    bool awaits_leave;   /* its answer is to come */
    bool has_leave;      /* it has come just now: what waited for it goes out */
    bool replayable;     /* by its request, or by its method with a group */
    bool apart;          /* on a connection of its own, which then ends */
    bool stream_started; /* bytes of the streamed body went out and were not kept: no second try */
    bool wants_drain;
    bool head_seen;
    bool keep_alive;
    bool paused;
    bool replayed;
    unsigned interim; /* 1xx answers skipped */
    int64_t length;   /* tg_call_length */
    struct tg_http1_body decoder;
    uint64_t received; /* bytes of the answer's body */
    uint64_t max_body;
    struct tg_target *target; /* with a group, the one at work; NULL: none */
    uint64_t tried[TG_UPSTREAM_ATTEMPTS_MAX];
    unsigned attempts; /* ids in `tried` */
};

struct tg_call_way {
    uint64_t max_body; /* of the answer */
    bool apart;
};

/* upstream_pool.c */

/* Gives the call a connection or a place in the queue. TG_EBUSY, TG_ENOMEM, TG_EINVAL. */
enum tg_err tg_upstream_place(struct tg_call *call) TG_MUST_CHECK;
void tg_upstream_unqueue(struct tg_call *call);
/* An open connection without a call: serves the next one waiting, idles, or ends. */
void tg_upstream_release(struct tg_upstream_conn *conn);
/* Takes it out of the idle list. */
void tg_upstream_unidle(struct tg_upstream_conn *conn);
/* After a connection or a waiting call has gone: starts what there is room for now, frees an origin without
 * use. */
void tg_upstream_settle(struct tg_upstream_origin *origin);

/* upstream_connect.c */

/* A new connection for the call. On failure the call has none; settling is the caller's. */
enum tg_err tg_upstream_connect(struct tg_upstream_origin *origin, struct tg_call *call) TG_MUST_CHECK;
/* Ends a connection that has no call; settling is the caller's. */
void tg_upstream_conn_end(struct tg_upstream_conn *conn);
/* Ends it and settles its origin. */
void tg_upstream_conn_drop(struct tg_upstream_conn *conn);
void tg_upstream_conn_enter(struct tg_upstream_conn *conn);
void tg_upstream_conn_leave(struct tg_upstream_conn *conn);

/* upstream_conn.c */

/* The transport's events of an open connection. */
void tg_upstream_on_readable(void *arg);
void tg_upstream_on_writable(void *arg);
/* The connection has just opened for its call. */
void tg_upstream_conn_opened(struct tg_upstream_conn *conn);
/* Puts the call on the open, unused connection and sends what can be sent. */
void tg_upstream_conn_serve(struct tg_upstream_conn *conn, struct tg_call *call);
void tg_upstream_conn_write(struct tg_upstream_conn *conn);
/* Reading follows the pause of the call. */
void tg_upstream_conn_want(struct tg_upstream_conn *conn);
/* Goes on with what was read before a pause. */
void tg_upstream_conn_resume(struct tg_upstream_conn *conn);

/* upstream_call.c */

enum tg_err tg_call_new(struct tg_upstream *upstream, const struct tg_call_request *request,
                        const struct tg_call_events *events, void *arg, const struct tg_call_way *way,
                        struct tg_call **out) TG_MUST_CHECK;
/* The attempt has failed: the call goes to another target of its group, or ends. */
void tg_call_fail(struct tg_call *call, enum tg_err err);
/* Takes the call from wherever it is, to be placed again from its first byte; a connection ends. */
void tg_call_rewind(struct tg_call *call);
bool tg_call_time_is_over(const struct tg_call *call);
/* Ends the call, its connection with it if it still has one, and tells its owner. */
void tg_call_end(struct tg_call *call, enum tg_err err);
/* The same from outside the loop's events: the owner is told later. The call has no connection. */
void tg_call_end_later(struct tg_call *call, enum tg_err err);
/* Bytes have moved: time counts from now. */
void tg_call_moved(struct tg_call *call);
/* Another time-out may be the nearest now. */
void tg_call_mind_time(struct tg_call *call);
/* The head has come. 101: the tunnel begins. */
void tg_call_answered(struct tg_call *call, int status);

/* upstream_choice.c: for calls with a group */

/* tg_upstream_place on the best target that takes the call. The error of the first refusal. */
enum tg_err tg_group_place(struct tg_call *call) TG_MUST_CHECK;
/* The target has failed the call. True: the call is with another one now; false: it is nowhere, or where it
 * was, and has to end. */
bool tg_group_move_on(struct tg_call *call, enum tg_err err);
/* How long the target at work has for its head before another is asked; 0: no limit, or no other. */
uint64_t tg_group_attempt_ms(const struct tg_call *call);
void tg_group_answered(struct tg_call *call);
/* A call begins; and has ended, when the group may go. */
void tg_group_enter(struct tg_call *call);
void tg_group_leave(struct tg_call *call);

/* upstream_request.c */

/* Writes the head into its buffer. TG_EINVAL: it cannot be written; TG_ENOMEM. */
enum tg_err tg_call_write_head(struct tg_call *call) TG_MUST_CHECK;
/* What is to be written next; empty when there is nothing now. */
struct tg_slice tg_call_unsent(const struct tg_call *call);
void tg_call_advance(struct tg_call *call, size_t len);
/* Room for more of a streamed body: tells the owner if it waits for that. The last thing that an event does.
 */
void tg_call_drained(struct tg_call *call);

#endif
