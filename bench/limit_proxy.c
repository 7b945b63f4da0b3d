/* The limit of an HTTP proxy: takes a request whole, gives it as it is to a kept connection of the back end,
 * gives the answer back as it is. One thread, one epoll, and nothing else.
 *
 *   limit_proxy PORT BACKEND_PORT */
#include <stdlib.h>
#include <string.h>

#include "bench/lib/stream.h"
#include "bench/lib/wire.h"

struct client {
    struct stream stream;
};

struct call {
    struct stream stream;
    struct client *client;
    unsigned life; /* of the client's stream, when the call began */
    unsigned char *request;
    size_t request_len;
    struct call *next_idle;
};

static struct loop loop;
static struct watch listener;
static struct call *idle_calls;
static size_t backend_port;

static void on_call_open(struct stream *stream)
{
    struct call *call = CONTAINER(stream, struct call, stream);
    (void)stream_send(stream, call->request, call->request_len);
    free(call->request);
}

static size_t on_call_answer(struct stream *stream, unsigned char *data, size_t len)
{
    struct call *call = CONTAINER(stream, struct call, stream);
    struct http_message answer;
    size_t step = http_next(data, len, &answer);
    if (step == 0) {
        return 0;
    }
    if (call->client->stream.watch.fd >= 0 && call->client->stream.life == call->life) {
        (void)stream_send(&call->client->stream, data, step);
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

static size_t on_request(struct stream *stream, unsigned char *data, size_t len)
{
    struct http_message request;
    size_t step = http_next(data, len, &request);
    if (step == 0) {
        return 0;
    }
    struct call *call = idle_calls;
    if (call != NULL) {
        idle_calls = call->next_idle;
        (void)stream_send(&call->stream, data, step);
    } else {
        call = xmalloc(sizeof *call);
        call->request = xmalloc(step);
        call->request_len = step;
        memcpy(call->request, data, step);
        stream_connect(&call->stream, &loop, backend_port, &call_events);
    }
    call->client = CONTAINER(stream, struct client, stream);
    call->life = stream->life;
    return step;
}

static void on_client_end(struct stream *stream)
{
    (void)stream; /* a call may still point to it */
}

static const struct stream_events client_events = {NULL, on_request, on_client_end};

static void on_accept(struct watch *watch, uint32_t events)
{
    int fd;
    (void)events;
    while ((fd = listener_accept(watch)) >= 0) {
        struct client *client = xmalloc(sizeof *client);
        stream_adopt(&client->stream, &loop, fd, &client_events);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        die("usage: limit_proxy PORT BACKEND_PORT");
    }
    backend_port = strtoul(argv[2], NULL, 10);
    lift_descriptor_limit();
    loop_init(&loop);
    listener.on_ready = on_accept;
    listener_open(&loop, &listener, strtoul(argv[1], NULL, 10));
    loop_run(&loop);
    return 0;
}
