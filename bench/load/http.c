/* HTTP requests over --connections kept connections, one at a time on each. */
#include <stdio.h>
#include <string.h>

#include "bench/lib/stream.h"
#include "bench/lib/wire.h"
#include "bench/load/kinds.h"

struct caller {
    struct stream stream;
    size_t under_way;
    bool open;
    uint64_t since;
};

static struct http {
    struct loop *loop;
    const struct options *options;
    struct driver driver;
    struct caller *callers;
    size_t open, next;
    char *request;
    size_t request_len;
} http;

static void send_request(struct caller *caller, uint64_t since_ns)
{
    caller->since = since_ns;
    caller->under_way = 1;
    (void)stream_send(&caller->stream, http.request, http.request_len);
}

static bool start_one(void *arg, uint64_t due_ns)
{
    (void)arg;
    for (size_t tried = 0; tried < http.options->connections; tried++) {
        struct caller *caller = &http.callers[http.next];
        http.next = (http.next + 1) % http.options->connections;
        if (caller->open && caller->under_way == 0) {
            send_request(caller, due_ns);
            return true;
        }
    }
    return false;
}

static void on_open(struct stream *stream)
{
    struct caller *caller = CONTAINER(stream, struct caller, stream);
    caller->open = true;
    if (++http.open == http.options->connections) {
        driver_go(&http.driver);
        for (size_t i = 0; i < http.open && !driver_is_open_loop(&http.driver); i++) {
            send_request(&http.callers[i], now_ns());
        }
    }
}

static size_t on_data(struct stream *stream, unsigned char *data, size_t len)
{
    struct caller *caller = CONTAINER(stream, struct caller, stream);
    struct http_message answer;
    size_t step = http_next(data, len, &answer);
    if (step == 0) {
        return 0;
    }
    caller->under_way = 0;
    if (answer.status != 200) {
        char why[200];
        (void)snprintf(why, sizeof why, "%.*s", (int)(len < sizeof why ? len : sizeof why - 1),
                       (const char *)data);
        driver_failed(&http.driver, why);
    } else {
        driver_done(&http.driver, caller->since);
    }
    if (!driver_is_open_loop(&http.driver)) {
        send_request(caller, now_ns());
    }
    return step;
}

static void on_end(struct stream *stream)
{
    (void)stream;
    die("the server closed a connection that was to be kept");
}

static const struct stream_events events = {on_open, on_data, on_end};

void load_http(struct loop *loop, const struct options *options)
{
    char head[600];
    bool has_body = strcmp(options->method, "GET") != 0;
    int len = snprintf(head, sizeof head,
                       "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%zu\r\nUser-Agent: bench\r\nAccept: */*\r\n",
                       options->method, options->path, options->port);
    if (has_body) {
        len += snprintf(head + len, sizeof head - (size_t)len,
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n", options->size);
    }
    http.loop = loop;
    http.options = options;
    http.request_len = (size_t)len + 2 + (has_body ? options->size : 0);
    http.request = xmalloc(http.request_len);
    memset(http.request, 'y', http.request_len);
    memcpy(http.request, head, (size_t)len);
    memcpy(http.request + len, "\r\n", 2);
    http.callers = xmalloc(options->connections * sizeof *http.callers);
    driver_init(&http.driver, options, loop, start_one, NULL);
    for (size_t i = 0; i < options->connections; i++) {
        stream_connect(&http.callers[i].stream, loop, options->port, &events);
    }
}
