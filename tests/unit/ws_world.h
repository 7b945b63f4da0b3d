/* The world of the WebSocket engine's tests: an engine on a loop, with real TCP connections over loopback.
 * The test is the client, on the same thread: it writes bytes, turns the loop and looks at what came back and
 * what the owner was told. Include after cmocka.h. */
#ifndef TG_TESTS_WS_WORLD_H
#define TG_TESTS_WS_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/buf.h"
#include "server/front/ws.h"

/* A mask that changes nothing. */
#define ZERO "\0\0\0\0"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

struct side {
    struct tg_loop *loop;
    struct tg_ws_engine *engine;
    struct tg_timer nudge;
    int listener;
    int open; /* adopted and not closed; more than none after a test that failed */
};

struct conn {
    struct side *side;
    struct tg_socket *socket;
    int fd;                 /* the client's end */
    struct tg_buf messages; /* t:text; or b:binary; one after another */
    struct tg_buf in;       /* what the client has received */
    bool eof;
    int count, pings, pongs, writables, closed;
    int unsent; /* calls of on_unsent */
    enum tg_err unsent_err;
    int code;
    bool by_peer;
    char reason[128];
    bool inside; /* an operation is under way */
    int echo;    /* send messages back */
    bool pause_at_message;
    int close_at_message; /* code */
    struct tg_slice keep;
    size_t last_len;
    char story[64]; /* m: a message, M: one that others follow in the same read, r: the read is over, c: the
                       end */
};

static const struct tg_slice sample_key = TG_LIT_INIT("dGhlIHNhbXBsZSBub25jZQ==");
static const struct tg_ws_limits usual = {
    .max_frame = 32768, .max_message = 131072, .close_timeout_ms = 2000};

/* ---- the owner's side ---- */

static inline void append(struct tg_buf *buf, struct tg_slice bytes)
{
    assert_int_equal(tg_buf_append(buf, bytes), TG_OK);
}

static inline size_t put_frame(char *out, unsigned char first, const void *payload, size_t len)
{
    size_t at = 0;
    out[at++] = (char)first;
    if (len < 126) {
        out[at++] = (char)len;
    } else if (len < 65536) {
        out[at++] = 126;
        out[at++] = (char)(len >> 8);
        out[at++] = (char)len;
    } else {
        out[at++] = 127;
        for (int shift = 56; shift >= 0; shift -= 8) {
            out[at++] = (char)(len >> shift);
        }
    }
    if (len > 0) {
        memcpy(out + at, payload, len);
    }
    return at + len;
}

static inline enum tg_err send_by(struct conn *conn,
                                  enum tg_err (*write)(struct tg_socket *socket, struct tg_slice frames),
                                  unsigned char first, struct tg_slice payload)
{
    char *frame = malloc(payload.len + 10);
    assert_non_null(frame);
    size_t len = put_frame(frame, first, payload.ptr, payload.len);
    conn->inside = true;
    enum tg_err err = write(conn->socket, tg_slice_make(frame, len));
    conn->inside = false;
    free(frame);
    return err;
}

static inline enum tg_err server_send(struct conn *conn, unsigned char first, struct tg_slice payload)
{
    return send_by(conn, tg_ws_ops.write, first, payload);
}

static inline enum tg_err server_send_later(struct conn *conn, unsigned char first, struct tg_slice payload)
{
    return send_by(conn, tg_ws_ops.write_later, first, payload);
}

static inline void server_close(struct conn *conn, int code, struct tg_slice reason)
{
    conn->inside = true;
    tg_ws_ops.close(conn->socket, code, reason);
    conn->inside = false;
}

static inline void tell(struct conn *conn, const char *letter)
{
    size_t len = strlen(conn->story);
    if (len + 1 < sizeof conn->story) {
        memcpy(conn->story + len, letter, 2);
    }
}

static inline void on_read(void *arg)
{
    struct conn *conn = arg;
    assert_false(conn->inside);
    assert_int_equal(conn->closed, 0);
    tell(conn, "r");
}

static inline void on_message(void *arg, struct tg_slice payload, bool binary)
{
    struct conn *conn = arg;
    tell(conn, tg_ws_ops.more(conn->socket) ? "M" : "m");
    assert_false(conn->inside);
    assert_int_equal(conn->closed, 0);
    conn->count++;
    conn->last_len = payload.len;
    if (payload.len <= 64) {
        append(&conn->messages, binary ? TG_LIT("b:") : TG_LIT("t:"));
        append(&conn->messages, payload);
        append(&conn->messages, TG_LIT(";"));
    }
    if (conn->echo != 0) {
        (void)server_send(conn, binary ? 0x82 : 0x81, payload);
    }
    if (conn->pause_at_message) {
        tg_ws_ops.pause(conn->socket, true);
    }
    if (conn->close_at_message != 0) {
        server_close(conn, conn->close_at_message, TG_LIT("enough"));
    }
}

static inline void on_control(void *arg, bool ping)
{
    struct conn *conn = arg;
    assert_false(conn->inside);
    conn->pings += ping;
    conn->pongs += !ping;
}

static inline void on_writable(void *arg)
{
    struct conn *conn = arg;
    assert_false(conn->inside);
    conn->writables++;
}

/* This one may come from inside an operation. */
static inline void on_unsent(void *arg, enum tg_err err, size_t len)
{
    struct conn *conn = arg;
    assert_int_equal(conn->closed, 0);
    assert_true(len > 0);
    conn->unsent++;
    conn->unsent_err = err;
}

static inline void on_closed(void *arg, const struct tg_socket_end *end)
{
    struct conn *conn = arg;
    assert_false(conn->inside);
    assert_true(end->reason.len < sizeof(conn->reason));
    tell(conn, "c");
    conn->closed++;
    conn->side->open--;
    conn->code = end->code;
    conn->by_peer = end->by_peer;
    if (end->reason.len > 0) {
        memcpy(conn->reason, end->reason.ptr, end->reason.len);
    }
    conn->reason[end->reason.len] = '\0';
    conn->socket = NULL;
}

static const struct tg_socket_events events = {.on_message = on_message,
                                               .on_control = on_control,
                                               .on_read = on_read,
                                               .on_writable = on_writable,
                                               .on_unsent = on_unsent,
                                               .on_closed = on_closed};

/* ---- the loop ---- */

static uint64_t now_ms(void)
{
    return tg_loop_now_ns() / 1000000;
}

static inline void on_nudge(struct tg_timer *timer)
{
    (void)timer;
}

static inline void turn(struct side *side)
{
    tg_timer_start(side->loop, &side->nudge, 1);
    tg_loop_run_once(side->loop);
}

static inline void side_open(struct side *side)
{
    *side = (struct side){.listener = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(side->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(side->listener, 128), 0);
    tg_timer_init(&side->nudge, on_nudge);
    assert_int_equal(tg_loop_new(&side->loop), TG_OK);
    assert_int_equal(tg_ws_engine_new(side->loop, &side->engine), TG_OK);
}

static inline void side_close(struct side *side)
{
    tg_ws_engine_free(side->engine);
    tg_timer_stop(&side->nudge);
    tg_loop_free(side->loop);
    close(side->listener);
}

static inline int setup(void **state)
{
    struct side *side = malloc(sizeof(*side));
    assert_non_null(side);
    side_open(side);
    *state = side;
    return 0;
}

static inline int teardown(void **state)
{
    struct side *side = *state;
    if (side->open == 0) {
        side_close(side);
        free(side);
    }
    return 0;
}

/* ---- the client's side ---- */

static inline void tcp_pair(struct side *side, int *client, int *server)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    int one = 1, window = 1 << 18; /* what a client who does not read takes */
    assert_int_equal(getsockname(side->listener, (struct sockaddr *)&address, &len), 0);
    *client = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(*client >= 0);
    assert_int_equal(setsockopt(*client, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window)), 0);
    assert_int_equal(connect(*client, (struct sockaddr *)&address, sizeof(address)), 0);
    *server = accept(side->listener, NULL, NULL);
    assert_true(*server >= 0);
    assert_int_equal(setsockopt(*server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    assert_int_equal(setsockopt(*client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    assert_int_equal(fcntl(*client, F_SETFL, O_NONBLOCK), 0);
}

static inline void conn_init(struct conn *conn, struct side *side)
{
    *conn = (struct conn){.side = side, .fd = -1};
    tg_buf_init(&conn->messages, SIZE_MAX);
    tg_buf_init(&conn->in, SIZE_MAX);
}

static const struct tg_transport_events unused_events;

static inline enum tg_err adopt(struct conn *conn, int server, const struct tg_headers *headers,
                                struct tg_slice extensions, struct tg_slice early,
                                const struct tg_ws_limits *limits)
{
    static const struct tg_headers none = {0};
    struct tg_transport *transport;
    assert_int_equal(fcntl(server, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(tg_transport_accept(conn->side->loop, server, NULL, &unused_events, NULL, &transport),
                     TG_OK);
    conn->inside = true;
    enum tg_err err =
        tg_ws_adopt(conn->side->engine, transport, sample_key, extensions, headers != NULL ? headers : &none,
                    early, limits, &events, conn, &conn->socket);
    conn->inside = false;
    conn->side->open += err == TG_OK;
    return err;
}

static inline void receive(struct conn *conn)
{
    char space[65536];
    while (conn->fd >= 0 && !conn->eof) {
        ssize_t got = recv(conn->fd, space, sizeof(space), MSG_DONTWAIT);
        if (got > 0) {
            append(&conn->in, tg_slice_make(space, (size_t)got));
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            conn->eof = true;
        } else {
            break;
        }
    }
}

/* Turns the loop until `condition` holds; fails after some seconds. */
#define WAIT(conn, condition)                                                                                \
    do {                                                                                                     \
        uint64_t deadline = now_ms() + 10000;                                                                \
        while (!(condition)) {                                                                               \
            assert_true(now_ms() < deadline);                                                                \
            turn((conn)->side);                                                                              \
            receive(conn);                                                                                   \
        }                                                                                                    \
    } while (0)

static inline void skip_answer(struct conn *conn)
{
    size_t end;
    WAIT(conn,
         (end = tg_slice_find_slice(tg_buf_slice(&conn->in), TG_LIT("\r\n\r\n"))) < tg_buf_size(&conn->in));
    assert_true(tg_slice_starts(tg_buf_slice(&conn->in), TG_LIT("HTTP/1.1 101 ")));
    tg_buf_consume(&conn->in, end + 4);
}

static inline void conn_open_with(struct conn *conn, struct side *side, const struct tg_ws_limits *limits)
{
    int server;
    conn_init(conn, side);
    tcp_pair(side, &conn->fd, &server);
    assert_int_equal(adopt(conn, server, NULL, TG_EMPTY, TG_EMPTY, limits), TG_OK);
    skip_answer(conn);
}

static inline void conn_open(struct conn *conn, struct side *side)
{
    conn_open_with(conn, side, &usual);
}

/* The client leaves, if it is still there. */
static inline void conn_done(struct conn *conn)
{
    if (conn->fd >= 0) {
        close(conn->fd);
        conn->fd = -1;
    }
    WAIT(conn, conn->closed > 0);
    assert_int_equal(conn->closed, 1);
    tg_buf_free(&conn->messages);
    tg_buf_free(&conn->in);
}

static inline void client_write(struct conn *conn, struct tg_slice bytes)
{
    uint64_t deadline = now_ms() + 10000;
    while (bytes.len > 0 && !conn->eof) {
        assert_true(now_ms() < deadline);
        ssize_t put = send(conn->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put > 0) {
            bytes = tg_slice_from(bytes, (size_t)put);
        } else if (errno != EAGAIN) {
            return; /* the server is gone: the test sees that by other means */
        }
        turn(conn->side);
        receive(conn);
    }
}

static inline void add_masked(struct tg_buf *out, unsigned char first, struct tg_slice payload)
{
    static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
    char *frame = malloc(payload.len + 14);
    assert_non_null(frame);
    size_t len = put_frame(frame, first, payload.ptr, payload.len);
    size_t head_len = len - payload.len;
    frame[1] = (char)(frame[1] | 0x80);
    append(out, tg_slice_make(frame, head_len));
    append(out, tg_slice_make(mask, 4));
    for (size_t i = 0; i < payload.len; i++) {
        frame[head_len + i] = (char)(frame[head_len + i] ^ mask[i & 3]);
    }
    append(out, tg_slice_make(frame + head_len, payload.len));
    free(frame);
}

static inline void client_send(struct conn *conn, unsigned char first, struct tg_slice payload)
{
    struct tg_buf frame;
    tg_buf_init(&frame, SIZE_MAX);
    add_masked(&frame, first, payload);
    client_write(conn, tg_buf_slice(&frame));
    tg_buf_free(&frame);
}

static inline void expect_messages(struct conn *conn, const char *want)
{
    WAIT(conn, tg_buf_size(&conn->messages) >= strlen(want));
    assert_true(tg_slice_eq(tg_buf_slice(&conn->messages), tg_slice_cstr(want)));
    tg_buf_clear(&conn->messages);
}

/* Exactly these bytes come next from the server. */
static inline void expect_bytes(struct conn *conn, struct tg_slice want)
{
    WAIT(conn, tg_buf_size(&conn->in) >= want.len || conn->eof);
    struct tg_slice got = tg_slice_head(tg_buf_slice(&conn->in), want.len);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.ptr, want.ptr, want.len);
    tg_buf_consume(&conn->in, want.len);
}

static inline void expect_close_frame(struct conn *conn, int code, const char *reason)
{
    char payload[128];
    char frame[160];
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    memcpy(payload + 2, reason, strlen(reason));
    size_t len = put_frame(frame, 0x88, payload, code != 1005 ? 2 + strlen(reason) : 0);
    expect_bytes(conn, tg_slice_make(frame, len));
}

static inline void expect_end(struct conn *conn, int code, const char *reason, bool by_peer)
{
    WAIT(conn, conn->closed > 0);
    assert_int_equal(conn->code, code);
    assert_string_equal(conn->reason, reason);
    assert_int_equal(conn->by_peer, by_peer);
}

static inline char *filled(size_t len)
{
    char *text = malloc(len);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)('a' + i % 26);
    }
    return text;
}

#endif
