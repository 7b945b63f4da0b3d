/* The bytes of a client through the HTTP server. The first two bytes choose what the handler does, how the
 * client ends, and the size of the pieces. Checked beside memory: every request that the handler has seen and
 * answered shows as one answer, in order, and at most one more comes of the server's own: the refusal of what
 * is no request. */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/base/buf.h"
#include "server/front/httpd.h"
#include "server/io/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum { READ = 1, LATER = 2, READ_LATE = 4, ANSWER_ABORTS = 8, GO_AWAY = 16, LITTLE = 32, UPGRADE = 64 };
enum { REQUESTS_MAX = 4096 };

struct probe {
    struct tg_loop *loop;
    struct tg_arena_pool arenas;
    struct tg_httpd *httpd;
    struct sockaddr_un address;
    socklen_t address_len;
    struct tg_task awake;
    int mode;
    struct tg_exchange *exchange; /* with the handler; NULL: none */
    bool reading;
    bool aborted; /* as the client will send no more: a request for a WebSocket, the last one */
    size_t requests;
    bool heads[REQUESTS_MAX]; /* whether a request's method was HEAD */
};

static void reply(struct probe *probe, int status, struct tg_slice body)
{
    static const struct tg_headers none = {0};
    struct tg_exchange *exchange = probe->exchange;
    probe->exchange = NULL;
    exchange->ops->reply(exchange, status, &none, body);
}

static void body_done(void *arg, enum tg_err err, struct tg_slice body)
{
    struct probe *probe = arg;
    CHECK(probe->exchange != NULL && probe->reading);
    CHECK(err == TG_OK || body.len == 0);
    CHECK(err == TG_OK || err == TG_ELIMIT || err == TG_EPROTO || err == TG_ECLOSED);
    probe->reading = false;
    reply(probe, err == TG_OK ? 200 : 400, body);
}

static void read_body(struct probe *probe)
{
    probe->reading = true;
    probe->exchange->ops->read_body(probe->exchange, (probe->mode & LITTLE) != 0 ? 4 : 1000, body_done,
                                    probe);
    CHECK(probe->exchange != NULL && probe->reading);
}

static void on_abort(void *arg)
{
    struct probe *probe = arg;
    CHECK(probe->exchange != NULL && !probe->aborted);
    probe->aborted = true;
    if ((probe->mode & ANSWER_ABORTS) != 0) {
        probe->reading = false;
        reply(probe, 500, TG_EMPTY);
    }
}

static void handle(void *arg, struct tg_exchange *exchange)
{
    struct probe *probe = arg;
    CHECK(probe->exchange == NULL && probe->requests < REQUESTS_MAX);
    CHECK(exchange->method.len > 0 && exchange->target.len > 0);
    probe->heads[probe->requests++] = tg_slice_eq(exchange->method, TG_LIT("HEAD"));
    probe->exchange = exchange;
    probe->aborted = false;
    exchange->on_abort = on_abort;
    exchange->abort_arg = probe;
    if ((probe->mode & UPGRADE) != 0) {
        struct tg_socket *socket;
        const struct tg_socket_ops *ops;
        CHECK(exchange->ops->upgrade(exchange, &(struct tg_upgrade){0}, &socket, &ops) == TG_EIO);
    }
    if ((probe->mode & READ) != 0) {
        read_body(probe);
    } else if ((probe->mode & LATER) == 0) {
        reply(probe, 200, TG_LIT("ok"));
    }
}

static void do_nothing(struct tg_task *task)
{
    (void)task;
}

static void turn(struct probe *probe)
{
    tg_task_defer(probe->loop, &probe->awake);
    tg_loop_run_once(probe->loop);
    if (probe->exchange != NULL && !probe->reading) {
        if ((probe->mode & READ_LATE) != 0 && !probe->aborted) {
            read_body(probe);
        } else {
            reply(probe, 200, TG_EMPTY);
        }
    }
}

static bool receive(int fd, struct tg_buf *in)
{
    char space[4096];
    ssize_t got;
    while ((got = recv(fd, space, sizeof(space), MSG_DONTWAIT)) > 0) {
        CHECK(tg_buf_append(in, tg_slice_make(space, (size_t)got)) == TG_OK);
    }
    return got != 0;
}

static void check_output(const struct probe *probe, struct tg_slice out)
{
    static const struct tg_http1_limits limits = {.line = 1000, .head = 4000, .count = 20};
    size_t answers = 0;
    while (out.len > 0) {
        struct tg_arena arena;
        struct tg_http1_response answer;
        struct tg_http1_fault fault;
        size_t scanned = 0, head_len = 0;
        bool head = answers < probe->requests && probe->heads[answers];
        tg_arena_init(&arena, NULL);
        CHECK(tg_http1_parse_response(out, &scanned, &limits, head ? TG_LIT("HEAD") : TG_LIT("GET"), &arena,
                                      &answer, &head_len, &fault) == TG_OK);
        CHECK(answer.framing == TG_HTTP1_LENGTH || answer.framing == TG_HTTP1_NO_BODY);
        size_t len = answer.framing == TG_HTTP1_LENGTH ? (size_t)answer.content_length : 0;
        out = tg_slice_from(out, head_len);
        CHECK(len <= out.len);
        out = tg_slice_from(out, len);
        answers += answer.status != 100;
        CHECK(answers <= probe->requests || answer.status >= 400);
        tg_arena_reset(&arena);
    }
    CHECK(probe->aborted ? answers + 1 == probe->requests
                         : answers == probe->requests || answers == probe->requests + 1);
}

static void run(struct probe *probe, struct tg_slice bytes, size_t step)
{
    struct tg_buf in;
    tg_buf_init(&in, SIZE_MAX);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&probe->address, probe->address_len) == 0);
    turn(probe);
    while (bytes.len > 0) {
        struct tg_slice piece = tg_slice_head(bytes, step);
        if (send(fd, piece.ptr, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)piece.len) {
            break;
        }
        bytes = tg_slice_from(bytes, piece.len);
        turn(probe);
        (void)receive(fd, &in);
    }
    bool there = (probe->mode & GO_AWAY) == 0;
    if (there) {
        (void)shutdown(fd, SHUT_WR);
    } else {
        close(fd);
    }
    for (int i = 0; i < 2 * REQUESTS_MAX && tg_httpd_count(probe->httpd) > 0; i++) {
        turn(probe);
        if (there) {
            (void)receive(fd, &in);
        }
    }
    CHECK(tg_httpd_count(probe->httpd) == 0 && probe->exchange == NULL);
    if (there) {
        CHECK(!receive(fd, &in));
        check_output(probe, tg_buf_slice(&in));
        close(fd);
    }
    tg_buf_free(&in);
}

static void start(struct probe *probe)
{
    const struct tg_httpd_options options = {
        .arenas = &probe->arenas,
        .limits = {.max_request_line = 256,
                   .max_head = 1024,
                   .max_headers = 16,
                   .header_timeout_ms = 3600000,
                   .body_timeout_ms = 3600000,
                   .keep_alive_timeout_ms = 3600000,
                   .max_connections = 2},
        .handle = handle,
        .arg = probe,
    };
    struct tg_httpd_options own = options;
    tg_task_init(&probe->awake, do_nothing);
    tg_arena_pool_init(&probe->arenas, 4);
    CHECK(tg_loop_new(&probe->loop) == TG_OK);
    own.loop = probe->loop;
    CHECK(tg_httpd_new(&own, &probe->httpd) == TG_OK);
    /* The system chooses a name that no file has. */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    probe->address.sun_family = AF_UNIX;
    probe->address_len = sizeof(probe->address);
    CHECK(bind(fd, (struct sockaddr *)&probe->address, sizeof(sa_family_t)) == 0 && listen(fd, 4) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&probe->address, &probe->address_len) == 0);
    CHECK(tg_httpd_listen(probe->httpd, fd, &(struct tg_httpd_listener_options){0}) == TG_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct probe probe; /* the server is made once: connections are what is tested */
    if (size < 2 || size > 40000) {
        return 0;
    }
    if (probe.loop == NULL) {
        start(&probe);
    }
    probe.mode = data[0];
    probe.requests = 0;
    probe.aborted = false;
    run(&probe, tg_slice_make(data + 2, size - 2), data[1] == 0 ? size : (size_t)data[1]);
    return 0;
}
