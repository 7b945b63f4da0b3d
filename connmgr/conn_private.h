/* What the files of the connection table share; private to connmgr/conn*.c. conn.c holds the table and the
 * life of a connection, conn_walk.c visits them all, conn_info.c what is known of one, conn_send.c the send
 * queues, conn_answer.c the way beside them, conn_timers.c idle, duration and ping. All of one worker's
 * thread. */
#ifndef TG_CONNMGR_CONN_PRIVATE_H
#define TG_CONNMGR_CONN_PRIVATE_H

#include "connmgr/conn.h"

enum {
    TG_CONN_BATCH_MAX = 65536,  /* bytes copied together for one write */
    TG_CONN_WRITE_MAX = 135168, /* bytes of one write of several frames: eight of 16 KiB */
    /* So much for a connection is written at once: to wait for more saves nothing, and what many connections
     * have queued by the end of a pass is no longer in the processor's cache. */
    TG_CONN_WRITE_AT_ONCE = 8192,
    TG_CONN_ANSWERS_MAX = 40960, /* bytes of answers to one read written together: eight of 4 KiB */
    TG_CONN_API_MAX = 11,        /* an API id so long lies in the connection itself */
    TG_CONN_API_LONG = UINT8_MAX,
    TG_CONN_CHUNK = 4096, /* slots made at a time: 64 KiB, and as many ids before a slot comes again */
};

/* Exists from reserve to gone; its address is the argument of the socket's events. What a push touches stands
 * first, in two lines of the cache. */
struct tg_conn {
    struct tg_connmgr *mgr;
    struct tg_socket *socket; /* NULL: not yet, or its end has been told */
    const struct tg_socket_ops *ops;
    struct tg_list queue;   /* struct tg_send that the socket has not got */
    uint64_t active_ms;     /* monotonic */
    int64_t last_active_ms; /* wall clock */
    uint8_t state;          /* enum tg_conn_state */
    bool blocked;           /* the socket said TG_EAGAIN: no write until it is writable */
    bool owes;              /* much is queued, and waits for the end of what is being read */
    bool closed_by_us;      /* tg_conn_close came before the end was seen */
    uint16_t now_pass;      /* the end of tg_loop_pass of the last tg_conn_send_now that wrote */
    uint8_t api_len;        /* TG_CONN_API_LONG: see info */
    char api[TG_CONN_API_MAX];
    char id[TG_CONNID_LEN + 1];
    uint32_t slot, generation, node;
    uint32_t queued_frames;          /* of the queue */
    const struct tg_conn_info *info; /* NULL while reserved */
    void *user;
    struct tg_list dirty; /* mgr->dirty, while something may be written */
    struct tg_conn_settings settings;
    size_t queued_bytes; /* of the queue, and socket_bytes */
    size_t socket_bytes; /* taken with TG_EAGAIN, and not yet with the kernel */
    union {
        struct { /* monotonic; of the timer, which an open connection alone has */
            uint64_t opened_ms, pinged_ms;
        };
        struct { /* as given to tg_conn_close, once closed_by_us */
            char *close_reason;
            uint16_t close_code;
            uint8_t close_reason_len;
        };
    };
    struct tg_timer timer; /* due at the nearest of idle, duration and ping, or earlier */
};

struct tg_slot {
    struct tg_conn *conn; /* NULL: free */
    uint32_t generation;  /* of the connection, or of the last one */
    uint32_t next_free;
};

/* Answers of one connection to the messages of one read, framed one behind the other: they go out when
 * another connection has answers, when anything else is to be sent, or at the end of the pass. Invariant:
 * while there are any, the connection's queue is empty; it was not blocked when the first came, and on_unsent
 * alone may have said so since: then they wait in the socket. */
struct tg_conn_answers {
    struct tg_conn *conn; /* NULL: none */
    size_t count, len;
    size_t payload; /* bytes without the frames' headers */
    char bytes[TG_CONN_ANSWERS_MAX];
};

/* Invariant: a slot below slot_count either has a connection or is on the free list. */
struct tg_connmgr {
    struct tg_loop *loop;
    struct tg_log *log;
    const struct tg_conn_events *events;
    void *events_arg;
    uint32_t node, worker;
    unsigned char id_key[TG_CONNID_KEY_LEN];
    struct tg_slot **chunks;
    size_t max_slots, slot_count;
    uint32_t free_first, free_last; /* slots in the order in which they were freed */
    size_t live;                    /* connections reserved, open or closing */
    bool unnumbered;                /* the node has no number */
    const _Atomic(uint64_t) *lease;
    size_t freed; /* since memory was last given back to the system */
    struct tg_timer trim;
    struct tg_list dirty;   /* struct tg_conn with something to write */
    struct tg_list settled; /* struct tg_send whose callback is due */
    struct tg_task flush;
    struct tg_frame *ping;
    struct tg_conn_counters counters;
    struct tg_conn *speaking; /* whose message is being told; NULL: none */
    struct tg_conn_answers answers;
    char batch[TG_CONN_BATCH_MAX];
};

static inline struct tg_slot *tg_conn_slot(const struct tg_connmgr *mgr, size_t index)
{
    return &mgr->chunks[index / TG_CONN_CHUNK][index % TG_CONN_CHUNK];
}

/* Single writer: no locked instruction is needed. */
static inline void tg_counter_add(_Atomic(uint64_t) *counter, uint64_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

static inline void tg_counter_sub(_Atomic(uint64_t) *counter, uint64_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) - amount,
                          memory_order_relaxed);
}

/* No more sends, no more timers; the socket is left alone. */
void tg_conn_begin_closing(struct tg_conn *conn);

/* The socket has taken data frames with so much payload in all. */
void tg_conn_count_sent(struct tg_conn *conn, size_t frames, size_t payload);
/* The kernel had no room for all of a write of `len` bytes. */
void tg_conn_keep_in_socket(struct tg_conn *conn, size_t len);
/* Whether the message that is being told is followed by others of the same read. */
static inline bool tg_conn_more_follows(const struct tg_conn *conn)
{
    return conn->ops->more != NULL && conn->ops->more(conn->socket);
}
/* Several only where the socket offers that. */
static inline enum tg_err tg_conn_write_pieces(struct tg_conn *conn, const struct tg_slice *pieces,
                                               size_t count)
{
    return count == 1 ? conn->ops->write(conn->socket, pieces[0])
                      : conn->ops->write_pieces(conn->socket, pieces, count);
}
/* One piece, which may go out with those of other connections: TG_OK may turn out to be no more than a wish,
 * of which on_unsent tells. */
static inline enum tg_err tg_conn_write_later(struct tg_conn *conn, struct tg_slice frames)
{
    return conn->ops->write_later != NULL ? conn->ops->write_later(conn->socket, frames)
                                          : conn->ops->write(conn->socket, frames);
}
/* Writes the answers that there are. */
void tg_conn_write_answers(struct tg_connmgr *mgr);
/* Writes what the socket takes now. */
void tg_conn_flush(struct tg_conn *conn);
/* Gives up all that was not written. */
void tg_conn_drop_sends(struct tg_conn *conn);
/* What waited in the socket no longer does. */
void tg_conn_forget_socket_bytes(struct tg_conn *conn);
/* It is with the kernel: the socket takes more. */
void tg_conn_socket_drained(struct tg_conn *conn);
/* The manager's task: flushes connections, then calls back. */
void tg_connmgr_flush(struct tg_connmgr *mgr);

void tg_conn_timer_fired(struct tg_timer *timer);
/* (Re)computes when the timer is due. */
void tg_conn_set_timer(struct tg_conn *conn);

#endif
