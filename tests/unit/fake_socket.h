/* For tests of connections: a socket that does what the test says, and a manager on a real loop with the last
 * things that it told its owner. */
#ifndef TG_TESTS_FAKE_SOCKET_H
#define TG_TESTS_FAKE_SOCKET_H

#include <stdlib.h>

#include "connmgr/conn.h"
#include "server/base/buf.h"

struct tg_socket {
    struct tg_conn *conn;   /* the argument of the events */
    enum tg_err next;       /* what the next write says; TG_EAGAIN and TG_OK take the bytes */
    int writes;             /* calls of write */
    int laters;             /* of these, of write_later */
    size_t longest;         /* bytes of the longest write */
    size_t pieces;          /* of the last write */
    const char *last_piece; /* where it was */
    bool more;              /* what the socket says of the message that it tells */
    struct tg_buf written;  /* bytes taken */
    int closes, close_code; /* calls of close, and what the last one said */
    char close_reason[128];
    int pauses;
    bool paused;
};

static inline enum tg_err fake_write(struct tg_socket *socket, struct tg_slice frames)
{
    socket->writes++;
    socket->pieces = 1;
    socket->last_piece = frames.ptr;
    if (socket->next != TG_ECLOSED) {
        socket->longest = frames.len > socket->longest ? frames.len : socket->longest;
        assert_int_equal(tg_buf_append(&socket->written, frames), TG_OK);
    }
    return socket->next;
}

static inline enum tg_err fake_write_pieces(struct tg_socket *socket, const struct tg_slice *pieces,
                                            size_t count)
{
    size_t len = 0;
    assert_in_range(count, 1, TG_SOCKET_PIECES);
    for (size_t i = 0; i < count; i++) {
        assert_true(pieces[i].len > 0);
        len += pieces[i].len;
        if (socket->next != TG_ECLOSED) {
            assert_int_equal(tg_buf_append(&socket->written, pieces[i]), TG_OK);
        }
    }
    socket->writes++;
    socket->pieces = count;
    socket->last_piece = pieces[count - 1].ptr;
    socket->longest = len > socket->longest ? len : socket->longest;
    return socket->next;
}

/* Of what the kernel does not take in the end the test tells, by fake_unsent. */
static inline enum tg_err fake_write_later(struct tg_socket *socket, struct tg_slice frames)
{
    socket->laters++;
    return fake_write(socket, frames);
}

static inline bool fake_more(const struct tg_socket *socket)
{
    return socket->more;
}

static inline void fake_close(struct tg_socket *socket, int code, struct tg_slice reason)
{
    assert_true(reason.len < sizeof socket->close_reason);
    socket->closes++;
    socket->close_code = code;
    memcpy(socket->close_reason, reason.len > 0 ? reason.ptr : "", reason.len);
    socket->close_reason[reason.len] = '\0';
}

static inline void fake_pause(struct tg_socket *socket, bool paused)
{
    socket->pauses++;
    socket->paused = paused;
}

static const struct tg_socket_ops fake_ops = {.write = fake_write,
                                              .write_later = fake_write_later,
                                              .write_pieces = fake_write_pieces,
                                              .more = fake_more,
                                              .close = fake_close,
                                              .pause = fake_pause};

static inline struct tg_socket *fake_socket_new(void)
{
    struct tg_socket *socket = calloc(1, sizeof *socket);
    assert_non_null(socket);
    tg_buf_init(&socket->written, SIZE_MAX);
    return socket;
}

static inline void fake_socket_free(struct tg_socket *socket)
{
    tg_buf_free(&socket->written);
    free(socket);
}

/* The socket has ended. */
static inline void fake_end(struct tg_socket *socket, int code, const char *reason, bool by_peer)
{
    const struct tg_socket_end end = {.code = code, .reason = tg_slice_cstr(reason), .by_peer = by_peer};
    tg_conn_socket_events.on_closed(socket->conn, &end);
}

static inline void fake_unsent(struct tg_socket *socket, enum tg_err err, size_t len)
{
    socket->next = err;
    tg_conn_socket_events.on_unsent(socket->conn, err, len);
}

static inline void fake_writable(struct tg_socket *socket)
{
    socket->next = TG_OK;
    tg_conn_socket_events.on_writable(socket->conn);
}

struct fixture {
    struct tg_loop *loop;
    struct tg_connmgr *mgr;
    struct tg_connmgr_options options;
    struct tg_conn_settings settings; /* of what open_conn opens */
    int messages, closed;
    char payload[64];
    bool binary;
    int code;
    char reason[128];
    struct tg_conn_handle ended;
    void (*during_closed)(struct fixture *fixture, struct tg_conn *conn);
    void (*during_message)(struct fixture *fixture, struct tg_conn *conn);
};

static inline void note_message(void *arg, struct tg_conn *conn, struct tg_slice payload, bool binary)
{
    struct fixture *fixture = arg;
    assert_true(payload.len < sizeof fixture->payload);
    fixture->messages++;
    fixture->binary = binary;
    memcpy(fixture->payload, payload.ptr, payload.len);
    fixture->payload[payload.len] = '\0';
    if (fixture->during_message != NULL) {
        fixture->during_message(fixture, conn);
    }
}

static inline void note_closed(void *arg, struct tg_conn *conn, int code, struct tg_slice reason)
{
    struct fixture *fixture = arg;
    assert_true(reason.len < sizeof fixture->reason);
    fixture->closed++;
    fixture->code = code;
    memcpy(fixture->reason, reason.len > 0 ? reason.ptr : "", reason.len);
    fixture->reason[reason.len] = '\0';
    fixture->ended = tg_conn_handle(conn);
    if (fixture->during_closed != NULL) {
        fixture->during_closed(fixture, conn);
    }
}

static const struct tg_conn_events fixture_events = {.on_message = note_message, .on_closed = note_closed};

static inline void fixture_init(struct fixture *fixture, uint32_t worker, size_t max_connections)
{
    *fixture = (struct fixture){.settings = {.max_queued_bytes = 1 << 20}};
    assert_int_equal(tg_loop_new(&fixture->loop), TG_OK);
    fixture->options = (struct tg_connmgr_options){
        .loop = fixture->loop,
        .node = 7,
        .worker = worker,
        .id_key = "fixture-has-key",
        .max_connections = max_connections,
        .events = &fixture_events,
        .events_arg = fixture,
    };
    assert_int_equal(tg_connmgr_new(&fixture->options, &fixture->mgr), TG_OK);
}

static inline void fixture_free(struct fixture *fixture)
{
    tg_connmgr_free(fixture->mgr);
    tg_loop_free(fixture->loop);
}

static inline struct tg_conn_info fixture_info(void)
{
    return (struct tg_conn_info){
        .api_id = TG_LIT("chat"),
        .stage = TG_LIT("prod"),
        .domain_name = TG_LIT("chat.example.com"),
        .source_ip = TG_LIT("203.0.113.9"),
        .user_agent = TG_LIT("Mozilla/5.0"),
        .connected_at_ms = 1767323045123,
    };
}

/* An open connection on a fake socket, which the caller frees. */
static inline struct tg_socket *open_conn(struct fixture *fixture)
{
    const struct tg_conn_info info = fixture_info();
    struct tg_socket *socket = fake_socket_new();
    struct tg_conn_handle handle;
    char id[TG_CONNID_LEN + 1];
    assert_int_equal(tg_conn_reserve(fixture->mgr, &handle, id), TG_OK);
    socket->conn = tg_conn_get(fixture->mgr, handle);
    assert_int_equal(tg_conn_open(fixture->mgr, handle, &info, &fixture->settings, socket, &fake_ops), TG_OK);
    return socket;
}

static inline void end_conn(struct tg_socket *socket)
{
    fake_end(socket, 1000, "", true);
    fake_socket_free(socket);
}

static inline void do_nothing(struct tg_task *task)
{
    (void)task;
}

/* One pass of the loop that does not wait. */
static inline void turn(struct tg_loop *loop)
{
    struct tg_task awake;
    tg_task_init(&awake, do_nothing);
    tg_task_defer(loop, &awake);
    tg_loop_run_once(loop);
    tg_task_cancel(&awake);
}

static inline struct tg_frame *text_frame(const char *text)
{
    struct tg_frame *frame;
    assert_int_equal(tg_frame_new(TG_OPCODE_TEXT, tg_slice_cstr(text), &frame), TG_OK);
    return frame;
}

/* Counts the calls of one or more sends. */
struct outcome {
    int calls;
    enum tg_err err;
};

static inline void note_sent(void *arg, enum tg_err err)
{
    struct outcome *outcome = arg;
    outcome->calls++;
    outcome->err = err;
}

static inline enum tg_err send_text(struct tg_conn *conn, const char *text, struct outcome *outcome,
                                    struct tg_send **send)
{
    struct tg_frame *frame = text_frame(text);
    enum tg_err err = tg_conn_send(conn, frame, outcome != NULL ? note_sent : NULL, outcome, send);
    tg_frame_unref(frame);
    return err;
}

static inline void assert_written(struct tg_socket *socket, const char *bytes, size_t len)
{
    struct tg_slice written = tg_buf_slice(&socket->written);
    assert_int_equal(written.len, len);
    if (len > 0) {
        assert_memory_equal(written.ptr, bytes, len);
    }
}

#define ASSERT_WRITTEN(socket, literal) assert_written((socket), (literal), sizeof(literal) - 1)

#endif
