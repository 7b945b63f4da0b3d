#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "server/base/buf.h"
#include "server/front/ws.h"

/* An engine on a loop, with real TCP connections over loopback. The test is the client, on the same thread:
 * it writes bytes, turns the loop and looks at what came back and what the owner was told. */
struct side {
    struct tg_loop *loop;
    struct tg_ws_engine *engine;
    struct tg_log log;
    struct tg_timer nudge;
    int listener;
};

struct conn {
    struct side *side;
    struct tg_socket *socket;
    int fd;                 /* the client's end */
    struct tg_buf messages; /* t:text; or b:binary; one after another */
    struct tg_buf in;       /* what the client has received */
    bool eof;
    int count, pings, pongs, writables, closed;
    int code;
    bool by_peer;
    char reason[128];
    bool inside; /* an operation is under way */
    int echo;    /* send messages back */
    bool pause_at_message;
    int close_at_message; /* code */
    struct tg_slice keep;
    size_t last_len;
};

static const struct tg_slice sample_key = TG_LIT_INIT("dGhlIHNhbXBsZSBub25jZQ==");
static const struct tg_ws_limits usual = {
    .max_frame = 32768, .max_message = 131072, .close_timeout_ms = 2000};

/* ---- the owner's side ---- */

static void append(struct tg_buf *buf, struct tg_slice bytes)
{
    assert_int_equal(tg_buf_append(buf, bytes), TG_OK);
}

static size_t put_frame(char *out, unsigned char first, const void *payload, size_t len)
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

static enum tg_err server_send(struct conn *conn, unsigned char first, struct tg_slice payload)
{
    char *frame = malloc(payload.len + 10);
    assert_non_null(frame);
    size_t len = put_frame(frame, first, payload.ptr, payload.len);
    conn->inside = true;
    enum tg_err err = tg_ws_ops.write(conn->socket, tg_slice_make(frame, len));
    conn->inside = false;
    free(frame);
    return err;
}

static void server_close(struct conn *conn, int code, struct tg_slice reason)
{
    conn->inside = true;
    tg_ws_ops.close(conn->socket, code, reason);
    conn->inside = false;
}

static void on_message(void *arg, struct tg_slice payload, bool binary)
{
    struct conn *conn = arg;
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

static void on_control(void *arg, bool ping)
{
    struct conn *conn = arg;
    assert_false(conn->inside);
    conn->pings += ping;
    conn->pongs += !ping;
}

static void on_writable(void *arg)
{
    struct conn *conn = arg;
    assert_false(conn->inside);
    conn->writables++;
}

static void on_closed(void *arg, const struct tg_socket_end *end)
{
    struct conn *conn = arg;
    assert_false(conn->inside);
    assert_true(end->reason.len < sizeof(conn->reason));
    conn->closed++;
    conn->code = end->code;
    conn->by_peer = end->by_peer;
    if (end->reason.len > 0) {
        memcpy(conn->reason, end->reason.ptr, end->reason.len);
    }
    conn->reason[end->reason.len] = '\0';
    conn->socket = NULL;
}

static const struct tg_socket_events events = {on_message, on_control, on_writable, on_closed};

/* ---- the loop ---- */

static uint64_t now_ms(void)
{
    return tg_loop_now_ns() / 1000000;
}

static void on_nudge(struct tg_timer *timer)
{
    (void)timer;
}

static void turn(struct side *side)
{
    tg_timer_start(side->loop, &side->nudge, 1);
    tg_loop_run_once(side->loop);
}

static void side_open(struct side *side)
{
    *side = (struct side){.listener = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(side->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(side->listener, 128), 0);
    tg_log_init(&side->log, STDERR_FILENO, TG_LOG_INFO, TG_LOG_TEXT);
    tg_timer_init(&side->nudge, on_nudge);
    assert_int_equal(tg_loop_new(&side->loop), TG_OK);
    assert_int_equal(tg_ws_engine_new(side->loop, &side->log, &side->engine), TG_OK);
}

static void side_close(struct side *side)
{
    tg_ws_engine_free(side->engine);
    tg_timer_stop(&side->nudge);
    tg_loop_free(side->loop);
    close(side->listener);
}

static int setup(void **state)
{
    struct side *side = malloc(sizeof(*side));
    assert_non_null(side);
    side_open(side);
    *state = side;
    return 0;
}

static int teardown(void **state)
{
    side_close(*state);
    free(*state);
    return 0;
}

/* ---- the client's side ---- */

static void tcp_pair(struct side *side, int *client, int *server)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    int one = 1;
    assert_int_equal(getsockname(side->listener, (struct sockaddr *)&address, &len), 0);
    *client = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(*client >= 0);
    assert_int_equal(connect(*client, (struct sockaddr *)&address, sizeof(address)), 0);
    *server = accept(side->listener, NULL, NULL);
    assert_true(*server >= 0);
    assert_int_equal(setsockopt(*server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    assert_int_equal(setsockopt(*client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    assert_int_equal(fcntl(*client, F_SETFL, O_NONBLOCK), 0);
}

static void conn_init(struct conn *conn, struct side *side)
{
    *conn = (struct conn){.side = side, .fd = -1};
    tg_buf_init(&conn->messages, SIZE_MAX);
    tg_buf_init(&conn->in, SIZE_MAX);
}

static enum tg_err adopt(struct conn *conn, int server, const struct tg_headers *headers,
                         struct tg_slice extensions, struct tg_slice early, const struct tg_ws_limits *limits)
{
    static const struct tg_headers none = {0};
    conn->inside = true;
    enum tg_err err =
        tg_ws_adopt(conn->side->engine, server, sample_key, extensions, headers != NULL ? headers : &none,
                    early, limits, &events, conn, &conn->socket);
    conn->inside = false;
    return err;
}

static void receive(struct conn *conn)
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

static void skip_answer(struct conn *conn)
{
    size_t end;
    WAIT(conn,
         (end = tg_slice_find_slice(tg_buf_slice(&conn->in), TG_LIT("\r\n\r\n"))) < tg_buf_size(&conn->in));
    assert_true(tg_slice_starts(tg_buf_slice(&conn->in), TG_LIT("HTTP/1.1 101 ")));
    tg_buf_consume(&conn->in, end + 4);
}

static void conn_open_with(struct conn *conn, struct side *side, const struct tg_ws_limits *limits)
{
    int server;
    conn_init(conn, side);
    tcp_pair(side, &conn->fd, &server);
    assert_int_equal(adopt(conn, server, NULL, TG_EMPTY, TG_EMPTY, limits), TG_OK);
    skip_answer(conn);
}

static void conn_open(struct conn *conn, struct side *side)
{
    conn_open_with(conn, side, &usual);
}

/* The client leaves, if it is still there. */
static void conn_done(struct conn *conn)
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

static void client_write(struct conn *conn, struct tg_slice bytes)
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

static void add_masked(struct tg_buf *out, unsigned char first, struct tg_slice payload)
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

static void client_send(struct conn *conn, unsigned char first, struct tg_slice payload)
{
    struct tg_buf frame;
    tg_buf_init(&frame, SIZE_MAX);
    add_masked(&frame, first, payload);
    client_write(conn, tg_buf_slice(&frame));
    tg_buf_free(&frame);
}

static void expect_messages(struct conn *conn, const char *want)
{
    WAIT(conn, tg_buf_size(&conn->messages) >= strlen(want));
    assert_true(tg_slice_eq(tg_buf_slice(&conn->messages), tg_slice_cstr(want)));
    tg_buf_clear(&conn->messages);
}

/* Exactly these bytes come next from the server. */
static void expect_bytes(struct conn *conn, struct tg_slice want)
{
    WAIT(conn, tg_buf_size(&conn->in) >= want.len || conn->eof);
    struct tg_slice got = tg_slice_head(tg_buf_slice(&conn->in), want.len);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.ptr, want.ptr, want.len);
    tg_buf_consume(&conn->in, want.len);
}

static void expect_close_frame(struct conn *conn, int code, const char *reason)
{
    char payload[128];
    char frame[160];
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    memcpy(payload + 2, reason, strlen(reason));
    size_t len = put_frame(frame, 0x88, payload, code != 1005 ? 2 + strlen(reason) : 0);
    expect_bytes(conn, tg_slice_make(frame, len));
}

static void expect_end(struct conn *conn, int code, const char *reason, bool by_peer)
{
    WAIT(conn, conn->closed > 0);
    assert_int_equal(conn->code, code);
    assert_string_equal(conn->reason, reason);
    assert_int_equal(conn->by_peer, by_peer);
}

/* ---- adoption ---- */

static void answers_the_upgrade(void **state)
{
    static struct conn conn;
    int server;
    struct tg_header items[] = {
        {TG_LIT("Sec-WebSocket-Protocol"), TG_LIT("chat.v2")},
        {TG_LIT("Set-Cookie"), TG_LIT("a=b; Path=/")},
        {TG_LIT("X-Empty"), TG_EMPTY},
    };
    struct tg_headers headers = {items, 3, 3};
    conn_init(&conn, *state);
    tcp_pair(*state, &conn.fd, &server);
    assert_int_equal(adopt(&conn, server, &headers, TG_EMPTY, TG_EMPTY, &usual), TG_OK);
    expect_bytes(&conn, TG_LIT("HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: WebSocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                               "Sec-WebSocket-Protocol: chat.v2\r\n"
                               "Set-Cookie: a=b; Path=/\r\n"
                               "X-Empty: \r\n"
                               "\r\n"));
    client_send(&conn, 0x81, TG_LIT("hello"));
    expect_messages(&conn, "t:hello;");
    conn_done(&conn);
    assert_int_equal(conn.code, 1006);
    assert_true(conn.by_peer);
}

static void early_frames_come_later(void **state)
{
    static struct conn conn;
    int server;
    struct tg_buf early;
    tg_buf_init(&early, SIZE_MAX);
    add_masked(&early, 0x81, TG_LIT("one"));
    add_masked(&early, 0x81, TG_LIT("two"));
    add_masked(&early, 0x81, TG_LIT("three"));
    conn_init(&conn, *state);
    tcp_pair(*state, &conn.fd, &server);
    /* the last one is cut in the middle */
    struct tg_slice first = tg_slice_head(tg_buf_slice(&early), tg_buf_size(&early) - 3);
    assert_int_equal(adopt(&conn, server, NULL, TG_EMPTY, first, &usual), TG_OK);
    assert_int_equal(conn.count, 0);
    skip_answer(&conn);
    expect_messages(&conn, "t:one;t:two;");
    client_write(&conn, tg_slice_from(tg_buf_slice(&early), first.len));
    expect_messages(&conn, "t:three;");
    tg_buf_free(&early);
    conn_done(&conn);
}

static void early_frames_may_be_many(void **state)
{
    static struct conn conn;
    int server;
    struct tg_buf early;
    tg_buf_init(&early, SIZE_MAX);
    for (int i = 0; i < 5000; i++) {
        add_masked(&early, 0x81, TG_LIT("0123456789"));
    }
    conn_init(&conn, *state);
    tcp_pair(*state, &conn.fd, &server);
    assert_int_equal(adopt(&conn, server, NULL, TG_EMPTY, tg_buf_slice(&early), &usual), TG_OK);
    WAIT(&conn, conn.count == 5000);
    tg_buf_free(&early);
    conn_done(&conn);
}

static void refuses_bad_adoptions(void **state)
{
    static struct conn conn;
    int client, server;
    struct tg_header injected = {TG_LIT("X"), TG_LIT("a\r\nY: b")};
    struct tg_headers headers = {&injected, 1, 1};
    char byte;
    conn_init(&conn, *state);
    tcp_pair(*state, &client, &server);
    assert_int_equal(adopt(&conn, server, &headers, TG_EMPTY, TG_EMPTY, &usual), TG_EINVAL);
    assert_int_equal(fcntl(client, F_SETFL, 0), 0);
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    close(client);
    /* headers that do not fit */
    char *large = malloc(70000);
    assert_non_null(large);
    memset(large, 'x', 70000);
    injected.value = tg_slice_make(large, 70000);
    tcp_pair(*state, &client, &server);
    assert_int_equal(adopt(&conn, server, &headers, TG_EMPTY, TG_EMPTY, &usual), TG_EIO);
    conn.fd = client;
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0);
    close(client);
    free(large);
    assert_int_equal(conn.closed, 0);
}

static void works_over_a_socket_pair(void **state)
{
    static struct conn conn;
    int pair[2];
    conn_init(&conn, *state);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    conn.fd = pair[0];
    assert_int_equal(adopt(&conn, pair[1], NULL, TG_EMPTY, TG_EMPTY, &usual), TG_OK);
    skip_answer(&conn);
    conn.echo = 1;
    client_send(&conn, 0x81, TG_LIT("hi"));
    expect_bytes(&conn, TG_LIT("\x81\x02hi"));
    conn_done(&conn);
}

/* ---- messages ---- */

static void text_goes_and_comes(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    conn.echo = 1;
    client_send(&conn, 0x81, TG_LIT("caf\xc3\xa9"));
    expect_bytes(&conn, TG_LIT("\x81\x05"
                               "caf\xc3\xa9"));
    client_send(&conn, 0x81, TG_EMPTY);
    expect_bytes(&conn, TG_LIT("\x81\x00"));
    expect_messages(&conn, "t:caf\xc3\xa9;t:;");
    conn_done(&conn);
}

static void byte_by_byte(void **state)
{
    static struct conn conn;
    struct tg_buf frames;
    tg_buf_init(&frames, SIZE_MAX);
    conn_open(&conn, *state);
    add_masked(&frames, 0x81, TG_LIT("one"));
    add_masked(&frames, 0x01, TG_LIT("t"));
    add_masked(&frames, 0x80, TG_LIT("wo"));
    for (size_t i = 0; i < tg_buf_size(&frames); i++) {
        client_write(&conn, tg_slice_make(tg_buf_slice(&frames).ptr + i, 1));
    }
    expect_messages(&conn, "t:one;t:two;");
    tg_buf_free(&frames);
    conn_done(&conn);
}

static void fragments_and_a_ping_between(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    client_send(&conn, 0x01, TG_LIT("Hel"));
    client_send(&conn, 0x89, TG_LIT("are you there"));
    expect_bytes(&conn, TG_LIT("\x8a\x0d"
                               "are you there"));
    client_send(&conn, 0x00, TG_LIT("l"));
    client_send(&conn, 0x00, TG_EMPTY);
    client_send(&conn, 0x80, TG_LIT("o"));
    expect_messages(&conn, "t:Hello;");
    WAIT(&conn, conn.pings == 1);
    client_send(&conn, 0x8a, TG_LIT("pong"));
    WAIT(&conn, conn.pongs == 1);
    assert_int_equal(conn.pings, 1);
    assert_int_equal(conn.count, 1);
    assert_int_equal(conn.writables, 0);
    conn_done(&conn);
}

static void characters_across_fragments(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    client_send(&conn, 0x01, TG_LIT("\xe2"));
    client_send(&conn, 0x00, TG_LIT("\x82"));
    client_send(&conn, 0x80, TG_LIT("\xac"));
    expect_messages(&conn, "t:\xe2\x82\xac;");
    conn_done(&conn);
}

static char *filled(size_t len)
{
    char *text = malloc(len);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)('a' + i % 26);
    }
    return text;
}

static void large_messages(void **state)
{
    static const struct tg_ws_limits wide = {
        .max_frame = 1 << 20, .max_message = 1 << 20, .close_timeout_ms = 2000};
    static const size_t sizes[] = {125, 126, 127, 1023, 1024, 1025, 1040, 65535, 65536, 300000};
    static struct conn conn;
    conn_open_with(&conn, *state, &wide);
    conn.echo = 1;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = filled(sizes[i]);
        char *frame = malloc(sizes[i] + 10);
        assert_non_null(frame);
        size_t len = put_frame(frame, 0x81, text, sizes[i]);
        client_send(&conn, 0x81, tg_slice_make(text, sizes[i]));
        expect_bytes(&conn, tg_slice_make(frame, len));
        free(frame);
        free(text);
    }
    conn_done(&conn);
}

/* ---- limits and refusals ---- */

static void limits_are_exact(void **state)
{
    static struct conn conn;
    char *text = filled(131073);
    conn_open(&conn, *state);
    client_send(&conn, 0x81, tg_slice_make(text, 32768));
    WAIT(&conn, conn.count == 1);
    assert_int_equal(conn.last_len, 32768);
    client_send(&conn, 0x01, tg_slice_make(text, 32768));
    client_send(&conn, 0x00, tg_slice_make(text, 32768));
    client_send(&conn, 0x00, tg_slice_make(text, 32768));
    client_send(&conn, 0x80, tg_slice_make(text, 32768));
    WAIT(&conn, conn.count == 2);
    assert_int_equal(conn.last_len, 131072);
    conn_done(&conn);

    conn_open(&conn, *state);
    client_send(&conn, 0x81, tg_slice_make(text, 32769));
    expect_close_frame(&conn, 1009, "Message too big");
    assert_int_equal(conn.closed, 0); /* it waits for the peer */
    client_send(&conn, 0x88, TG_LIT("\x03\xf1"));
    expect_end(&conn, 1009, "Message too big", false);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);

    conn_open(&conn, *state);
    for (int i = 0; i < 4; i++) {
        client_send(&conn, i == 0 ? 0x01 : 0x00, tg_slice_make(text, 32768));
    }
    client_send(&conn, 0x80, tg_slice_make(text, 1));
    expect_close_frame(&conn, 1009, "Message too big");
    client_send(&conn, 0x88, TG_LIT("\x03\xf1"));
    expect_end(&conn, 1009, "Message too big", false);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);
    free(text);
}

static void announced_lengths_are_enough(void **state)
{
    static const struct tg_slice heads[] = {
        TG_LIT_INIT("\x81\xff\x00\x00\x00\x00\x00\x00\x80\x01MASKx"),
        TG_LIT_INIT("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xffMASKx"),
        TG_LIT_INIT("\x81\xfe\x80\x01MASKx"),
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        static struct conn conn;
        conn_open(&conn, *state);
        client_write(&conn, heads[i]);
        expect_close_frame(&conn, 1009, "Message too big");
        conn_done(&conn);
        assert_int_equal(conn.code, 1009);
        assert_false(conn.by_peer);
    }
}

static void binary_as_told(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    conn_open(&conn, *state);
    client_send(&conn, 0x82, TG_LIT("\x00\xff"));
    expect_close_frame(&conn, 1003, "Binary is not supported");
    client_send(&conn, 0x88, TG_LIT("\x03\xeb"));
    expect_end(&conn, 1003, "Binary is not supported", false);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);
    limits.binary = true;
    conn_open_with(&conn, *state, &limits);
    client_send(&conn, 0x82, TG_LIT("\x80\xff"));
    expect_messages(&conn, "b:\x80\xff;");
    conn_done(&conn);
}

struct violation {
    struct tg_slice bytes; /* as the client sends them, masks of zero */
    int code;
};

#define ZERO "\0\0\0\0"

static const struct violation violations[] = {
    {TG_LIT_INIT("\x91\x80" ZERO), 1002},                         /* RSV3 */
    {TG_LIT_INIT("\xa1\x81" ZERO "a"), 1002},                     /* RSV2 */
    {TG_LIT_INIT("\xc1\x81" ZERO "a"), 1002},                     /* RSV1, nothing negotiated */
    {TG_LIT_INIT("\xc9\x80" ZERO), 1002},                         /* RSV1 on a ping */
    {TG_LIT_INIT("\x83\x80" ZERO), 1002},                         /* opcode 3 */
    {TG_LIT_INIT("\x87\x81" ZERO "a"), 1002},                     /* opcode 7 */
    {TG_LIT_INIT("\x8b\x80" ZERO), 1002},                         /* opcode 11 */
    {TG_LIT_INIT("\x8f\x80" ZERO), 1002},                         /* opcode 15 */
    {TG_LIT_INIT("\x09\x80" ZERO), 1002},                         /* ping in fragments */
    {TG_LIT_INIT("\x08\x82" ZERO "\x03\xe8"), 1002},              /* close in fragments */
    {TG_LIT_INIT("\x89\xfe\x00\x7e" ZERO), 1002},                 /* ping of 126 bytes */
    {TG_LIT_INIT("\x88\xfe\x00\x7e" ZERO), 1002},                 /* close of 126 bytes */
    {TG_LIT_INIT("\x8a\xff\0\0\0\0\0\0\0\x7e" ZERO), 1002},       /* pong, 64-bit length */
    {TG_LIT_INIT("\x80\x81" ZERO "a"), 1002},                     /* nothing to continue */
    {TG_LIT_INIT("\x01\x81" ZERO "a\x81\x81" ZERO "b"), 1002},    /* text inside a message */
    {TG_LIT_INIT("\x81\xff\x80\0\0\0\0\0\0\x01" ZERO), 1002},     /* length of 2^63 and more */
    {TG_LIT_INIT("\x81\x81" ZERO "\xff"), 1007},                  /* not UTF-8 */
    {TG_LIT_INIT("\x81\x82" ZERO "\xc0\x80"), 1007},              /* overlong */
    {TG_LIT_INIT("\x81\x83" ZERO "\xed\xa0\x80"), 1007},          /* surrogate */
    {TG_LIT_INIT("\x81\x82" ZERO "\xe2\x82"), 1007},              /* ends in a character */
    {TG_LIT_INIT("\x01\x81" ZERO "\xe2\x80\x81" ZERO "a"), 1007}, /* the same over two frames */
    {TG_LIT_INIT("\x01\x81" ZERO "\xe2\x80\x80" ZERO), 1007},     /* then nothing */
};

static void violations_are_refused(void **state)
{
    for (size_t i = 0; i < sizeof(violations) / sizeof(violations[0]); i++) {
        static struct conn conn;
        conn_open(&conn, *state);
        client_write(&conn, violations[i].bytes);
        expect_close_frame(&conn, violations[i].code, "");
        conn_done(&conn);
        assert_int_equal(conn.code, violations[i].code);
        assert_string_equal(conn.reason, "");
        assert_false(conn.by_peer);
        assert_int_equal(conn.count, 0);
    }
}

/* ---- the closing handshake ---- */

struct echo {
    struct tg_slice sent;
    int code; /* on the wire and in on_closed */
    const char *reason;
    bool by_peer;
};

static const struct echo echoes[] = {
    {TG_LIT_INIT(""), 1005, "", true},
    {TG_LIT_INIT("\x03\xe8"), 1000, "", true},
    {TG_LIT_INIT("\x03\xe9going"), 1001, "going", true},
    {TG_LIT_INIT("\x03\xf3oops"), 1011, "oops", true},
    {TG_LIT_INIT("\x0b\xb8"), 3000, "", true},
    {TG_LIT_INIT("\x13\x87my own"), 4999, "my own", true},
    {TG_LIT_INIT("\x03"), 1002, "", false},        /* half a code */
    {TG_LIT_INIT("\x13\x88"), 1002, "", false},    /* 5000 */
    {TG_LIT_INIT("\x03\xe8\xff"), 1007, "", false} /* reason not UTF-8 */
};

static void closes_are_echoed(void **state)
{
    for (size_t i = 0; i < sizeof(echoes) / sizeof(echoes[0]); i++) {
        static struct conn conn;
        conn_open(&conn, *state);
        client_send(&conn, 0x88, echoes[i].sent);
        expect_close_frame(&conn, echoes[i].code, echoes[i].reason);
        expect_end(&conn, echoes[i].code, echoes[i].reason, echoes[i].by_peer);
        WAIT(&conn, conn.eof);
        assert_int_equal(tg_buf_size(&conn.in), 0);
        conn_done(&conn);
    }
}

/* Codes that must not be sent: the library puts 1002 in their place before we see them. */
static void forbidden_codes_become_1002(void **state)
{
    static const struct tg_slice codes[] = {
        TG_LIT_INIT("\x03\xe7"), TG_LIT_INIT("\x03\xec"), TG_LIT_INIT("\x03\xed"), TG_LIT_INIT("\x03\xee"),
        TG_LIT_INIT("\x03\xf7"), TG_LIT_INIT("\x07\xd0"), TG_LIT_INIT("\x0b\xb7"), TG_LIT_INIT("\x00\x00"),
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        static struct conn conn;
        conn_open(&conn, *state);
        client_send(&conn, 0x88, codes[i]);
        expect_close_frame(&conn, 1002, "");
        conn_done(&conn);
        assert_int_equal(conn.code, 1002);
    }
}

static void server_closes(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    server_close(&conn, 1000, TG_LIT("Connection Closed Normally"));
    assert_int_equal(tg_ws_ops.write(conn.socket, TG_LIT("\x81\x00")), TG_ECLOSED);
    server_close(&conn, 1001, TG_LIT("Going away")); /* the first one counts */
    expect_close_frame(&conn, 1000, "Connection Closed Normally");
    client_send(&conn, 0x81, TG_LIT("too late"));
    client_send(&conn, 0x88, TG_LIT("\x03\xe8"));
    expect_end(&conn, 1000, "Connection Closed Normally", false);
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);
}

static void server_closes_without_answer(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    limits.close_timeout_ms = 30;
    conn_open_with(&conn, *state, &limits);
    server_close(&conn, 1001, TG_LIT("Going away"));
    expect_close_frame(&conn, 1001, "Going away");
    expect_end(&conn, 1001, "Going away", false);
    WAIT(&conn, conn.eof);
    conn_done(&conn);
}

static void violation_without_answer(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    limits.close_timeout_ms = 30;
    conn_open_with(&conn, *state, &limits);
    client_write(&conn, TG_LIT("\x83\x80" ZERO));
    expect_close_frame(&conn, 1002, "");
    expect_end(&conn, 1002, "", false);
    WAIT(&conn, conn.eof);
    conn_done(&conn);
}

static void garbage_after_our_close(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    server_close(&conn, 1001, TG_LIT("Going away"));
    expect_close_frame(&conn, 1001, "Going away");
    client_write(&conn, TG_LIT("\x83\x80" ZERO));
    expect_end(&conn, 1001, "Going away", false);
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0); /* no second close frame */
    conn_done(&conn);
}

static void closes_from_a_message(void **state)
{
    static struct conn conn;
    struct tg_buf frames;
    tg_buf_init(&frames, SIZE_MAX);
    conn_open(&conn, *state);
    conn.close_at_message = 4000;
    add_masked(&frames, 0x81, TG_LIT("one"));
    add_masked(&frames, 0x81, TG_LIT("two"));
    add_masked(&frames, 0x88, TG_LIT("\x0f\xa0"));
    client_write(&conn, tg_buf_slice(&frames));
    expect_close_frame(&conn, 4000, "enough");
    expect_end(&conn, 4000, "enough", false);
    assert_int_equal(conn.count, 1);
    tg_buf_free(&frames);
    conn_done(&conn);
}

static void cuts(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    server_close(&conn, 0, TG_EMPTY);
    expect_end(&conn, 1006, "", false);
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0);
    conn_done(&conn);
    /* also one that waits for an answer */
    conn_open(&conn, *state);
    server_close(&conn, 1001, TG_EMPTY);
    server_close(&conn, 0, TG_EMPTY);
    expect_end(&conn, 1001, "", false);
    conn_done(&conn);
}

static void peer_vanishes(void **state)
{
    static struct conn conn;
    struct linger linger = {1, 0};
    conn_open(&conn, *state);
    assert_int_equal(shutdown(conn.fd, SHUT_WR), 0);
    expect_end(&conn, 1006, "", true);
    conn_done(&conn);
    conn_open(&conn, *state);
    assert_int_equal(setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    conn_done(&conn);
    assert_int_equal(conn.code, 1006);
    assert_true(conn.by_peer);
}

static void writing_to_a_vanished_peer(void **state)
{
    static struct conn conn;
    struct linger linger = {1, 0};
    enum tg_err err = TG_OK;
    conn_open(&conn, *state);
    tg_ws_ops.pause(conn.socket, true);
    assert_int_equal(setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(conn.fd);
    conn.fd = -1;
    err = server_send(&conn, 0x81, TG_LIT("x"));
    assert_int_equal(err, TG_ECLOSED);
    assert_int_equal(conn.closed, 0);
    expect_end(&conn, 1006, "", true);
    conn_done(&conn);
}

static void reset_while_closing(void **state)
{
    static struct conn conn;
    struct linger linger = {1, 0};
    conn_open(&conn, *state);
    server_close(&conn, 1000, TG_EMPTY);
    assert_int_equal(setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    conn_done(&conn);
    assert_int_equal(conn.code, 1000);
    assert_false(conn.by_peer);
}

/* ---- back-pressure ---- */

enum { BULK = 32 << 20 };

static void read_bulk(struct conn *conn, char *frame, size_t len)
{
    WAIT(conn, tg_buf_size(&conn->in) >= len || conn->eof);
    expect_bytes(conn, tg_slice_make(frame, len));
}

static void waits_for_a_slow_reader(void **state)
{
    static struct conn conn;
    char *text = filled(BULK);
    char *frame = malloc(BULK + 10);
    assert_non_null(frame);
    size_t len = put_frame(frame, 0x81, text, BULK);
    conn_open(&conn, *state);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    for (int i = 0; i < 10; i++) {
        turn(*state);
    }
    assert_int_equal(conn.writables, 0);
    read_bulk(&conn, frame, len);
    WAIT(&conn, conn.writables == 1);
    assert_int_equal(server_send(&conn, 0x81, TG_LIT("on")), TG_OK);
    expect_bytes(&conn, TG_LIT("\x81\x02on"));
    assert_int_equal(conn.writables, 1);
    assert_int_equal(conn.pings, 0);
    conn_done(&conn);
    free(frame);
    free(text);
}

static void close_waits_for_what_was_written(void **state)
{
    static struct conn conn;
    char *text = filled(BULK);
    char *frame = malloc(BULK + 10);
    assert_non_null(frame);
    size_t len = put_frame(frame, 0x81, text, BULK);
    conn_open(&conn, *state);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    server_close(&conn, 1000, TG_LIT("bye"));
    read_bulk(&conn, frame, len);
    expect_close_frame(&conn, 1000, "bye");
    assert_int_equal(conn.writables, 0);
    client_send(&conn, 0x88, TG_LIT("\x03\xe8"));
    expect_end(&conn, 1000, "bye", false);
    conn_done(&conn);
    free(frame);
    free(text);
}

/* The library answers no close frame, and shows none, while it holds output. */
static void closed_by_a_slow_reader(void **state)
{
    static struct conn conn;
    char *text = filled(BULK);
    struct tg_buf frame;
    tg_buf_init(&frame, SIZE_MAX);
    add_masked(&frame, 0x88, TG_LIT("\x03\xe9"));
    conn_open(&conn, *state);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    assert_int_equal(send(conn.fd, tg_buf_slice(&frame).ptr, tg_buf_size(&frame), 0), tg_buf_size(&frame));
    uint64_t deadline = now_ms() + 5000;
    while (conn.closed == 0) {
        assert_true(now_ms() < deadline);
        turn(*state);
    }
    assert_int_equal(conn.code, 1005);
    assert_true(conn.by_peer);
    conn_done(&conn);
    tg_buf_free(&frame);
    free(text);
}

/* A violation while it holds output: what was written arrives, the close frame does not. */
static void violation_by_a_slow_reader(void **state)
{
    static struct conn conn;
    char *text = filled(BULK);
    char *frame = malloc(BULK + 10);
    assert_non_null(frame);
    size_t len = put_frame(frame, 0x81, text, BULK);
    conn_open(&conn, *state);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    assert_int_equal(send(conn.fd, "\x83\x80" ZERO, 6, 0), 6);
    read_bulk(&conn, frame, len);
    expect_end(&conn, 1002, "", false);
    conn_done(&conn);
    free(frame);
    free(text);
}

static void slow_reader_is_cut_in_the_end(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    char *text = filled(BULK);
    limits.close_timeout_ms = 30;
    conn_open_with(&conn, *state, &limits);
    assert_int_equal(server_send(&conn, 0x81, tg_slice_make(text, BULK)), TG_EAGAIN);
    server_close(&conn, 1001, TG_LIT("Going away"));
    uint64_t deadline = now_ms() + 5000;
    while (conn.closed == 0) {
        assert_true(now_ms() < deadline);
        turn(*state);
    }
    assert_int_equal(conn.code, 1001);
    conn_done(&conn);
    free(text);
}

static void pauses_and_resumes(void **state)
{
    static struct conn conn;
    struct tg_buf frames;
    tg_buf_init(&frames, SIZE_MAX);
    conn_open(&conn, *state);
    conn.pause_at_message = true;
    add_masked(&frames, 0x81, TG_LIT("one"));
    add_masked(&frames, 0x81, TG_LIT("two"));
    add_masked(&frames, 0x81, TG_LIT("three"));
    client_write(&conn, tg_buf_slice(&frames));
    expect_messages(&conn, "t:one;");
    for (int i = 0; i < 10; i++) {
        turn(*state);
    }
    assert_int_equal(conn.count, 1);
    tg_ws_ops.pause(conn.socket, false);
    expect_messages(&conn, "t:two;");
    for (int i = 0; i < 10; i++) {
        turn(*state);
    }
    assert_int_equal(conn.count, 2);
    conn.pause_at_message = false;
    tg_ws_ops.pause(conn.socket, false);
    expect_messages(&conn, "t:three;");
    client_send(&conn, 0x81, TG_LIT("four"));
    expect_messages(&conn, "t:four;");
    assert_int_equal(conn.pings, 0);
    tg_buf_free(&frames);
    conn_done(&conn);
}

static void close_while_paused(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    tg_ws_ops.pause(conn.socket, true);
    client_send(&conn, 0x81, TG_LIT("unread"));
    server_close(&conn, 1000, TG_EMPTY);
    expect_close_frame(&conn, 1000, "");
    client_send(&conn, 0x88, TG_LIT("\x03\xe8"));
    expect_end(&conn, 1000, "", false);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);
}

/* ---- permessage-deflate ---- */

static const struct tg_ws_limits deflating = {
    .max_frame = 32768, .max_message = 131072, .deflate = true, .close_timeout_ms = 2000};

/* A message as a client compresses it: raw deflate, without the last four bytes. */
static void deflated(struct tg_buf *out, struct tg_slice text)
{
    z_stream stream = {0};
    size_t cap = text.len + 1024;
    char *space = malloc(cap);
    assert_non_null(space);
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)text.ptr;
    stream.avail_in = (uInt)text.len;
    stream.next_out = (Bytef *)space;
    stream.avail_out = (uInt)cap;
    assert_int_equal(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    append(out, tg_slice_make(space, cap - stream.avail_out - 4));
    deflateEnd(&stream);
    free(space);
}

static void conn_open_deflating(struct conn *conn, struct side *side, const char *offer, const char *answer)
{
    int server;
    conn_init(conn, side);
    tcp_pair(side, &conn->fd, &server);
    assert_int_equal(adopt(conn, server, NULL, tg_slice_cstr(offer), TG_EMPTY, &deflating), TG_OK);
    WAIT(conn, tg_slice_find_slice(tg_buf_slice(&conn->in), TG_LIT("\r\n\r\n")) < tg_buf_size(&conn->in));
    struct tg_slice name = TG_LIT("Sec-WebSocket-Extensions: ");
    struct tg_slice head = tg_buf_slice(&conn->in);
    size_t at = tg_slice_find_slice(head, name);
    if (answer == NULL) {
        assert_int_equal(at, head.len);
    } else {
        struct tg_slice rest;
        struct tg_slice line = tg_slice_cut(tg_slice_from(head, at + name.len), '\r', &rest);
        assert_true(tg_slice_eq(line, tg_slice_cstr(answer)));
    }
    skip_answer(conn);
}

static const char no_takeover[] =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

static void deflate_is_negotiated(void **state)
{
    static const struct {
        const char *offer, *answer;
    } cases[] = {
        {"permessage-deflate", no_takeover},
        {"permessage-deflate; client_max_window_bits", no_takeover},
        {"x-webkit-deflate-frame, permessage-deflate ;client_max_window_bits=10;server_no_context_takeover",
         no_takeover},
        {"permessage-deflate; server_max_window_bits=10, permessage-deflate", no_takeover},
        {"permessage-deflate; server_max_window_bits=10", NULL},
        {"permessage-deflate; unheard_of", NULL},
        {"permessage-deflate; client_no_context_takeover=1", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct conn conn;
        conn_open_deflating(&conn, *state, cases[i].offer, cases[i].answer);
        conn.echo = 1;
        client_send(&conn, 0x81, TG_LIT("plain"));
        expect_bytes(&conn, TG_LIT("\x81\x05plain"));
        conn_done(&conn);
    }
}

static void deflated_messages_arrive(void **state)
{
    static const size_t sizes[] = {0, 1, 5, 1000, 4096, 20000, 131072};
    static struct conn conn;
    conn_open_deflating(&conn, *state, "permessage-deflate; client_max_window_bits", no_takeover);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = filled(sizes[i] + 1);
        struct tg_buf body;
        tg_buf_init(&body, SIZE_MAX);
        deflated(&body, tg_slice_make(text, sizes[i]));
        client_send(&conn, 0xc1, tg_buf_slice(&body));
        WAIT(&conn, conn.count == (int)i + 1); /* each one, without another event behind it */
        assert_int_equal(conn.last_len, sizes[i]);
        tg_buf_free(&body);
        free(text);
    }
    conn.echo = 1;
    client_send(&conn, 0x81, TG_LIT("plain"));
    expect_bytes(&conn, TG_LIT("\x81\x05plain")); /* what goes out is not compressed */
    conn_done(&conn);
}

static void deflated_fragments_and_control(void **state)
{
    static struct conn conn;
    struct tg_buf body;
    tg_buf_init(&body, SIZE_MAX);
    deflated(&body, TG_LIT("Hello Hello Hello"));
    conn_open_deflating(&conn, *state, "permessage-deflate", no_takeover);
    struct tg_slice bytes = tg_buf_slice(&body);
    client_send(&conn, 0x41, tg_slice_head(bytes, 3));
    client_send(&conn, 0x89, TG_LIT("p"));
    client_send(&conn, 0x00, TG_EMPTY);
    client_send(&conn, 0x80, tg_slice_from(bytes, 3));
    expect_messages(&conn, "t:Hello Hello Hello;");
    expect_bytes(&conn, TG_LIT("\x8a\x01p"));
    tg_buf_free(&body);
    conn_done(&conn);
}

static void bad_deflate_is_refused(void **state)
{
    static const struct {
        struct tg_slice bytes;
        int code;
        const char *reason;
    } cases[] = {
        {TG_LIT_INIT("\xc1\x83" ZERO "\xff\xff\xff"), 1007, ""},                 /* no such block */
        {TG_LIT_INIT("\xc1\x82" ZERO "\xf2\x48"), 1007, ""},                     /* cut in the middle */
        {TG_LIT_INIT("\x41\x81" ZERO "\xf2\xc0\x81" ZERO "\x48"), 1002, ""},     /* RSV1 on the second */
        {TG_LIT_INIT("\xca\x81" ZERO "x"), 1002, ""},                            /* RSV1 on a pong */
        {TG_LIT_INIT("\xc8\x82" ZERO "\x03\xe8"), 1002, ""},                     /* RSV1 on a close */
        {TG_LIT_INIT("\xa1\x81" ZERO "x"), 1002, ""},                            /* RSV2 */
        {TG_LIT_INIT("\xc1\x87" ZERO "\xf2\xff\x48\xcd\xc9\xc9\x07"), 1007, ""}, /* no such distance */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct conn conn;
        conn_open_deflating(&conn, *state, "permessage-deflate", no_takeover);
        client_write(&conn, cases[i].bytes);
        expect_close_frame(&conn, cases[i].code, cases[i].reason);
        conn_done(&conn);
        assert_int_equal(conn.code, cases[i].code);
        assert_int_equal(conn.count, 0);
    }
}

static void final_blocks_are_read(void **state)
{
    static struct conn conn;
    conn_open_deflating(&conn, *state, "permessage-deflate", no_takeover);
    client_write(&conn,
                 TG_LIT("\xc1\x88" ZERO "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")); /* RFC 7692 section 7.2.3.4 */
    expect_messages(&conn, "t:Hello;");
    client_write(&conn, TG_LIT("\xc1\x87" ZERO "\xf2\x48\xcd\xc9\xc9\x07\x00")); /* section 7.2.3.1 */
    expect_messages(&conn, "t:Hello;");
    conn_done(&conn);
}

static void bombs_do_not_go_off(void **state)
{
    static struct conn conn;
    struct tg_buf body;
    char *zeros = calloc(1, 8 << 20);
    assert_non_null(zeros);
    memset(zeros, 'z', 8 << 20);
    tg_buf_init(&body, SIZE_MAX);
    deflated(&body, tg_slice_make(zeros, 8 << 20));
    assert_true(tg_buf_size(&body) < 32768);
    conn_open_deflating(&conn, *state, "permessage-deflate", no_takeover);
    client_send(&conn, 0xc1, tg_buf_slice(&body));
    expect_close_frame(&conn, 1009, "Message too big");
    conn_done(&conn);
    assert_int_equal(conn.count, 0);
    tg_buf_free(&body);
    free(zeros);
}

/* ---- many ---- */

static void churn(struct side *side, int rounds, int at_once)
{
    struct conn *conns = calloc((size_t)at_once, sizeof(*conns));
    assert_non_null(conns);
    struct linger linger = {1, 0};
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < at_once; i++) {
            conn_open(&conns[i], side);
            conns[i].echo = 1;
        }
        for (int i = 0; i < at_once; i++) {
            struct conn *conn = &conns[i];
            client_send(conn, 0x81, TG_LIT("hi"));
            expect_bytes(conn, TG_LIT("\x81\x02hi"));
            switch (i % 4) {
            case 0:
                client_send(conn, 0x88, TG_LIT("\x03\xe8"));
                break;
            case 1:
                server_close(conn, 1001, TG_LIT("Going away"));
                break;
            case 2:
                assert_int_equal(setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
                break;
            default:
                server_close(conn, 0, TG_EMPTY);
                break;
            }
        }
        for (int i = 0; i < at_once; i++) {
            static const int codes[] = {1000, 1001, 1006, 1006};
            conn_done(&conns[i]);
            assert_int_equal(conns[i].code, codes[i % 4]);
        }
    }
    free(conns);
}

static void two_thousand_come_and_go(void **state)
{
    churn(*state, 20, 100);
}

static void *worker(void *arg)
{
    churn(arg, 5, 50);
    return NULL;
}

static void two_engines_on_two_threads(void **state)
{
    struct side other;
    pthread_t threads[2];
    side_open(&other);
    assert_int_equal(pthread_create(&threads[0], NULL, worker, *state), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, worker, &other), 0);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    side_close(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_the_upgrade),
        TEST(early_frames_come_later),
        TEST(early_frames_may_be_many),
        TEST(refuses_bad_adoptions),
        TEST(works_over_a_socket_pair),
        TEST(text_goes_and_comes),
        TEST(byte_by_byte),
        TEST(fragments_and_a_ping_between),
        TEST(characters_across_fragments),
        TEST(large_messages),
        TEST(limits_are_exact),
        TEST(announced_lengths_are_enough),
        TEST(binary_as_told),
        TEST(violations_are_refused),
        TEST(closes_are_echoed),
        TEST(forbidden_codes_become_1002),
        TEST(server_closes),
        TEST(server_closes_without_answer),
        TEST(violation_without_answer),
        TEST(garbage_after_our_close),
        TEST(closes_from_a_message),
        TEST(cuts),
        TEST(peer_vanishes),
        TEST(writing_to_a_vanished_peer),
        TEST(reset_while_closing),
        TEST(waits_for_a_slow_reader),
        TEST(close_waits_for_what_was_written),
        TEST(closed_by_a_slow_reader),
        TEST(violation_by_a_slow_reader),
        TEST(slow_reader_is_cut_in_the_end),
        TEST(pauses_and_resumes),
        TEST(close_while_paused),
        TEST(deflate_is_negotiated),
        TEST(deflated_messages_arrive),
        TEST(deflated_fragments_and_control),
        TEST(bad_deflate_is_refused),
        TEST(final_blocks_are_read),
        TEST(bombs_do_not_go_off),
        TEST(two_thousand_come_and_go),
        TEST(two_engines_on_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
