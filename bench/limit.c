/* The limit: a WebSocket server that does what a scenario cannot do without and nothing else. One thread, one
 * epoll; no limits, time-outs, checks, metrics or logs.
 *
 *   limit PORT [BACKEND_PORT [echo|connect|app [CERTIFICATE KEY]]]
 *
 * A message comes back; {"action":"id"} is answered with the connection's id; POST /prod/@connections/ID
 * sends the body to that connection. With `connect`, the back end is asked before a handshake is accepted;
 * with `app`, it gets the messages, and its answers are sent. With a certificate, all of it over TLS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/stream.h"
#include "bench/lib/tls.h"
#include "bench/lib/wire.h"

struct peer {
    struct stream stream;
    size_t slot;
    bool is_websocket;
    char accept[29];
    struct peer *next_free;
};

struct call {
    struct stream stream;
    struct peer *peer;
    unsigned life;     /* of the peer's stream, when the call began */
    char request[400]; /* until the connection is there */
    size_t request_len;
    struct call *next_idle;
};

enum { PEERS_MAX = 65536 };

static struct loop loop;
static struct watch listener;
static struct peer *peers[PEERS_MAX], *free_peers;
static struct call *idle_calls;
static size_t peer_count, backend_port;
static bool asks_before_accepting, asks_for_answers;
static unsigned char out[2 * LOOP_SCRATCH];

/* ---- calls of the back end ---- */

static void accept_handshake(struct peer *peer)
{
    char answer[200];
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: %s\r\n\r\n",
                       peer->accept);
    peer->is_websocket = true;
    (void)stream_send(&peer->stream, answer, (size_t)len);
}

static void on_call_open(struct stream *stream)
{
    struct call *call = CONTAINER(stream, struct call, stream);
    (void)stream_send(stream, call->request, call->request_len);
}

static size_t on_call_answer(struct stream *stream, unsigned char *data, size_t len)
{
    struct call *call = CONTAINER(stream, struct call, stream);
    struct peer *peer = call->peer;
    struct http_message answer;
    size_t step = http_next(data, len, &answer);
    if (step == 0) {
        return 0;
    }
    if (peer->stream.watch.fd >= 0 && peer->stream.life == call->life) {
        if (peer->is_websocket) {
            (void)stream_send(&peer->stream, out,
                              ws_frame(out, WS_TEXT, answer.body, answer.body_len, false));
        } else {
            accept_handshake(peer);
        }
    }
    call->next_idle = idle_calls;
    idle_calls = call;
    return step;
}

static void on_call_end(struct stream *stream)
{
    (void)stream;
    die("the back end closed a connection");
}

static const struct stream_events call_events = {on_call_open, on_call_answer, on_call_end};

static void call_backend(struct peer *peer, const unsigned char *body, size_t len)
{
    struct call *call = idle_calls;
    bool is_new = call == NULL;
    if (is_new) {
        call = xmalloc(sizeof *call);
    } else {
        idle_calls = call->next_idle;
    }
    call->peer = peer;
    call->life = peer->stream.life;
    int head = snprintf(
        call->request, sizeof call->request,
        "POST /app HTTP/1.1\r\nHost: 127.0.0.1\r\nConnectionId: %zu\r\nContent-Length: %zu\r\n\r\n%.*s",
        peer->slot, len, (int)len, (const char *)body);
    call->request_len = (size_t)head;
    if (is_new) {
        stream_connect(&call->stream, &loop, backend_port, &call_events);
    } else {
        (void)stream_send(&call->stream, call->request, call->request_len);
    }
}

/* ---- clients ---- */

static size_t answer_message(struct peer *peer, const struct ws_frame *frame, unsigned char *to)
{
    char id[20];
    if (frame->opcode == WS_TEXT && frame->len > 13 && frame->payload[11] == 'i') {
        return ws_frame(to, WS_TEXT, id, (size_t)snprintf(id, sizeof id, "%zu", peer->slot), false);
    }
    if (frame->opcode == WS_TEXT && asks_for_answers) {
        call_backend(peer, frame->payload, frame->len);
        return 0;
    }
    return ws_frame(to, frame->opcode == WS_PING ? WS_PONG : frame->opcode, frame->payload, frame->len,
                    false);
}

static size_t serve_http(struct peer *peer, unsigned char *data, size_t len)
{
    static const char done[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                      where[] = "POST /prod/@connections/";
    struct http_message request;
    size_t step = http_next(data, len, &request), value_len;
    if (step == 0) {
        return 0;
    }
    if (memcmp(data, where, sizeof where - 1) == 0) {
        struct peer *to = peers[strtoul((const char *)data + sizeof where - 1, NULL, 10) % PEERS_MAX];
        (void)stream_send(&to->stream, out, ws_frame(out, WS_TEXT, request.body, request.body_len, false));
        (void)stream_send(&peer->stream, done, sizeof done - 1);
        return step;
    }
    const char *key = http_field(data, request.head_len, "sec-websocket-key:", &value_len);
    if (key == NULL || value_len != 24) {
        die("neither a push nor a handshake: %.*s", (int)step, (const char *)data);
    }
    ws_accept(key, peer->accept);
    if (asks_before_accepting) {
        call_backend(peer, (const unsigned char *)"", 0);
    } else {
        accept_handshake(peer);
    }
    return step;
}

static void on_end(struct stream *stream);

static size_t on_data(struct stream *stream, unsigned char *data, size_t len)
{
    struct peer *peer = CONTAINER(stream, struct peer, stream);
    size_t done = 0, step, filled = 0;
    struct ws_frame frame;
    bool closes = false;
    if (!peer->is_websocket) {
        return serve_http(peer, data, len);
    }
    while ((step = ws_next(data + done, len - done, &frame)) > 0) {
        filled += answer_message(peer, &frame, out + filled);
        closes = closes || frame.opcode == WS_CLOSE;
        done += step;
    }
    if (filled > 0) {
        (void)stream_send(stream, out, filled);
    }
    if (closes) {
        stream_close(stream, false);
        on_end(stream);
    }
    return done;
}

static void on_end(struct stream *stream)
{
    struct peer *peer = CONTAINER(stream, struct peer, stream);
    peer->next_free = free_peers;
    free_peers = peer;
}

static const struct stream_events peer_events = {NULL, on_data, on_end};

static void on_accept(struct watch *watch, uint32_t events)
{
    int fd;
    (void)events;
    while ((fd = listener_accept(watch)) >= 0) {
        struct peer *peer = free_peers;
        if (peer != NULL) {
            free_peers = peer->next_free;
        } else {
            peer = xmalloc(sizeof *peer);
            peer->slot = peer_count;
            peers[peer_count++ % PEERS_MAX] = peer;
        }
        peer->is_websocket = false;
        stream_adopt(&peer->stream, &loop, fd, &peer_events);
    }
}

int main(int argc, char **argv)
{
    struct tls tls;
    if (argc < 2) {
        die("usage: limit PORT [BACKEND_PORT [echo|connect|app [CERTIFICATE KEY]]]");
    }
    backend_port = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    asks_before_accepting = argc > 3 && strcmp(argv[3], "connect") == 0;
    asks_for_answers = argc > 3 && strcmp(argv[3], "app") == 0;
    lift_descriptor_limit();
    loop_init(&loop);
    if (argc > 5) {
        tls_serve(&tls, argv[4], argv[5]);
        loop.accepts = &tls;
    }
    listener.on_ready = on_accept;
    listener_open(&loop, &listener, strtoul(argv[1], NULL, 10));
    loop_run(&loop);
    return 0;
}
