/* A back end that answers at once: 20 bytes, or 1 KiB to paths that end in 1k, 16 KiB in 16k. To pushpin it
 * speaks WebSocket over HTTP, and what a client says comes back; clients of ...?id=N subscribe to the channel
 * N.
 *
 *   backend PORT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/stream.h"
#include "bench/lib/wire.h"

struct caller {
    struct stream stream;
    struct caller *next_free;
};

struct answer {
    char bytes[17000];
    size_t len;
};

static struct loop loop;
static struct watch listener;
static struct answer shorter, middle, longer;
static struct caller *free_callers;

static void make_answer(struct answer *answer, size_t size)
{
    int head =
        snprintf(answer->bytes, sizeof answer->bytes,
                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", size);
    memset(answer->bytes + head, 'a', size);
    answer->bytes[head] = answer->bytes[(size_t)head + size - 1] = '"'; /* JSON */
    answer->len = (size_t)head + size;
}

static const struct answer *choose(const unsigned char *data)
{
    const char *path = memchr(data, ' ', 10);
    size_t len = path == NULL ? 0 : strcspn(path + 1, " \r");
    if (len > 3 && memcmp(path + 1 + len - 3, "16k", 3) == 0) {
        return &longer;
    }
    return len > 2 && memcmp(path + 1 + len - 2, "1k", 2) == 0 ? &middle : &shorter;
}

/* Answers a client's opening with its subscription; 0 where its address names no channel. */
static size_t answer_subscriber(const unsigned char *data, const struct http_message *request, char *out,
                                size_t room)
{
    char body[200], control[100];
    const unsigned char *id = memmem(data, request->head_len, "?id=", 4);
    if (id == NULL || id > (const unsigned char *)memchr(data, '\r', request->head_len) ||
        request->body_len < 4 || memcmp(request->body, "OPEN", 4) != 0) {
        return 0;
    }
    int control_len = snprintf(control, sizeof control, "c:{\"type\": \"subscribe\", \"channel\": \"%lu\"}",
                               strtoul((const char *)id + 4, NULL, 10));
    int len = snprintf(body, sizeof body, "OPEN\r\nTEXT %x\r\n%s\r\n", (unsigned)control_len, control);
    return (size_t)snprintf(out, room,
                            "HTTP/1.1 200 OK\r\nContent-Type: application/websocket-events\r\n"
                            "Sec-WebSocket-Extensions: grip; message-prefix=\"\"\r\n"
                            "Content-Length: %d\r\n\r\n%s",
                            len, body);
}

/* Events are lines "NAME" or "NAME LENGTH-IN-HEX", with the content and another line's end behind it. What
 * came goes back: that a client opens, its messages, that it closes. */
static size_t answer_events(const struct http_message *request, char *out, size_t room)
{
    int head = snprintf(out, room,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/websocket-events\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        request->body_len);
    if ((size_t)head + request->body_len > room) {
        die("an event of %zu bytes", request->body_len);
    }
    memcpy(out + head, request->body, request->body_len);
    return (size_t)head + request->body_len;
}

static size_t on_request(struct stream *stream, unsigned char *data, size_t len)
{
    char events[40000];
    struct http_message request;
    size_t step = http_next(data, len, &request), value_len;
    if (step == 0) {
        return 0;
    }
    const char *type = http_field(data, request.head_len, "content-type:", &value_len);
    if (type != NULL && strncmp(type, "application/websocket-events", 28) == 0) {
        size_t filled = answer_subscriber(data, &request, events, sizeof events);
        filled = filled > 0 ? filled : answer_events(&request, events, sizeof events);
        (void)stream_send(stream, events, filled);
        return step;
    }
    const struct answer *answer = choose(data);
    (void)stream_send(stream, answer->bytes, answer->len);
    return step;
}

static void on_end(struct stream *stream)
{
    struct caller *caller = CONTAINER(stream, struct caller, stream);
    caller->next_free = free_callers;
    free_callers = caller;
}

static const struct stream_events events = {NULL, on_request, on_end};

static void on_accept(struct watch *watch, uint32_t ready)
{
    int fd;
    (void)ready;
    while ((fd = listener_accept(watch)) >= 0) {
        struct caller *caller = free_callers;
        if (caller != NULL) {
            free_callers = caller->next_free;
        } else {
            caller = xmalloc(sizeof *caller);
        }
        stream_adopt(&caller->stream, &loop, fd, &events);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage: backend PORT");
    }
    make_answer(&shorter, 20);
    make_answer(&middle, 1024);
    make_answer(&longer, 16384);
    lift_descriptor_limit();
    loop_init(&loop);
    listener.on_ready = on_accept;
    listener_open(&loop, &listener, strtoul(argv[1], NULL, 10));
    loop_run(&loop);
    return 0;
}
