/* For tests of the back-end client: a loop with the client on one side and, on the other, a back end of plain
 * sockets whose every byte the test decides. The resolver is the test's own, too: these definitions take the
 * place of the library's. Included by one test file each. */
#ifndef TG_TESTS_UPSTREAM_WORLD_H
#define TG_TESTS_UPSTREAM_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/base/buf.h"
#include "server/io/upstream.h"

enum { PEERS_MAX = 32, WATCHDOG_MS = 30000 };
#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

/* --- resolver --- */

struct tg_resolver {
    struct tg_loop *loop;
    enum tg_err err;
    bool silent;  /* never answers */
    bool by_port; /* every name is this machine: 127.0.0.1 with the port asked for */
    struct tg_address addresses[4];
    size_t count;
    int open; /* questions */
};

struct tg_resolve {
    struct tg_task task;
    struct tg_resolver *resolver;
    tg_resolved_fn *done;
    void *arg;
    uint16_t port;
};

static void resolver_answer(struct tg_task *task)
{
    struct tg_resolve *question = TG_CONTAINER(task, struct tg_resolve, task);
    struct tg_resolve asked = *question;
    asked.resolver->open--;
    free(question);
    if (asked.resolver->by_port) {
        struct tg_address address;
        assert_int_equal(tg_address_parse(TG_LIT("127.0.0.1:1"), &address), TG_OK);
        tg_address_set_port(&address, asked.port);
        asked.done(asked.arg, TG_OK, &address, 1);
        return;
    }
    asked.done(asked.arg, asked.resolver->err, asked.resolver->addresses,
               asked.resolver->err == TG_OK ? asked.resolver->count : 0);
}

enum tg_err tg_resolver_ask(struct tg_resolver *resolver, struct tg_slice host, uint16_t port,
                            tg_resolved_fn *done, void *arg, struct tg_resolve **out)
{
    (void)host;
    struct tg_resolve *question = calloc(1, sizeof *question);
    assert_non_null(question);
    *question = (struct tg_resolve){.resolver = resolver, .done = done, .arg = arg, .port = port};
    tg_task_init(&question->task, resolver_answer);
    if (!resolver->silent) {
        tg_task_defer(resolver->loop, &question->task);
    }
    resolver->open++;
    *out = question;
    return TG_OK;
}

void tg_resolve_cancel(struct tg_resolve *question)
{
    tg_task_cancel(&question->task);
    question->resolver->open--;
    free(question);
}

/* --- back end --- */

struct peer {
    int fd;
    struct tg_poll *poll;
    struct tg_buf in;
    bool ended;     /* the client closed */
    bool deaf;      /* does not read */
    bool hangs_up;  /* closes as soon as something came */
    bool resets_up; /* the same, with a reset */
};

struct world {
    struct tg_loop *loop;
    struct tg_resolver resolver;
    struct tg_upstream_options options;
    struct tg_upstream *upstream;
    int listener;
    struct tg_address address;
    struct tg_poll *poll;
    struct peer peers[PEERS_MAX];
    size_t peer_count;
    bool new_peers_hang_up, new_peers_are_deaf;
    struct tg_timer watchdog;
    bool expired;
    struct tg_task tick;
};

static inline void peer_close(struct peer *peer)
{
    tg_poll_free(peer->poll);
    peer->poll = NULL;
    if (peer->fd >= 0) {
        close(peer->fd);
        peer->fd = -1;
    }
}

static inline void peer_reset(struct peer *peer)
{
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    peer_close(peer);
}

static inline void peer_readable(void *arg, bool readable, bool writable)
{
    struct peer *peer = arg;
    char *space;
    (void)readable;
    (void)writable;
    assert_int_equal(tg_buf_reserve(&peer->in, 65536, &space), TG_OK);
    ssize_t got = recv(peer->fd, space, 65536, MSG_DONTWAIT);
    if (got > 0) {
        tg_buf_commit(&peer->in, (size_t)got);
        if (peer->hangs_up) {
            peer_close(peer);
        } else if (peer->resets_up) {
            peer_reset(peer);
        }
    } else if (got == 0 || errno != EAGAIN) {
        peer->ended = true;
        peer_close(peer);
    }
}

static inline void world_accept(void *arg, bool readable, bool writable)
{
    struct world *world = arg;
    (void)readable;
    (void)writable;
    int fd = accept4(world->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    assert_true(world->peer_count < PEERS_MAX);
    struct peer *peer = &world->peers[world->peer_count++];
    *peer = (struct peer){.fd = fd, .hangs_up = world->new_peers_hang_up, .deaf = world->new_peers_are_deaf};
    tg_buf_init(&peer->in, SIZE_MAX);
    assert_int_equal(tg_poll_new(world->loop, fd, peer_readable, peer, &peer->poll), TG_OK);
    tg_poll_want(peer->poll, !peer->deaf, false);
}

/* Sends to the client, without blocking. Returns how much the socket took. */
static inline size_t peer_send_some(struct peer *peer, struct tg_slice bytes)
{
    ssize_t put = send(peer->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return put > 0 ? (size_t)put : 0;
}

static inline void peer_send(struct peer *peer, const char *text)
{
    assert_int_equal(peer_send_some(peer, tg_slice_cstr(text)), strlen(text));
}

/* --- world --- */

static void world_expired(struct tg_timer *timer)
{
    TG_CONTAINER(timer, struct world, watchdog)->expired = true;
}

static void world_tick(struct tg_task *task)
{
    (void)task;
}

/* A pass of the loop that does not wait. What was sent over loopback before it is seen by it. */
static inline void world_spin(struct world *world, int passes)
{
    while (passes-- > 0) {
        tg_task_defer(world->loop, &world->tick);
        tg_loop_run_once(world->loop);
    }
}

#define RUN_UNTIL(world, condition)                                                                          \
    while (!(condition)) {                                                                                   \
        assert_false((world)->expired);                                                                      \
        tg_loop_run_once((world)->loop);                                                                     \
    }

static inline void listen_at(int *listener, struct tg_address *address, const char *text)
{
    assert_int_equal(tg_address_parse(tg_slice_cstr(text), address), TG_OK);
    *listener = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(*listener >= 0);
    assert_int_equal(bind(*listener, (struct sockaddr *)&address->storage, address->len), 0);
    assert_int_equal(listen(*listener, 64), 0);
    address->len = sizeof address->storage;
    assert_int_equal(getsockname(*listener, (struct sockaddr *)&address->storage, &address->len), 0);
}

/* An address where nobody listens. */
static inline struct tg_address refusing_address(void)
{
    struct tg_address address;
    int listener;
    listen_at(&listener, &address, "127.0.0.1:0");
    close(listener);
    return address;
}

static inline int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    assert_int_equal(tg_loop_new(&world->loop), TG_OK);
    listen_at(&world->listener, &world->address, "127.0.0.1:0");
    assert_int_equal(tg_poll_new(world->loop, world->listener, world_accept, world, &world->poll), TG_OK);
    tg_poll_want(world->poll, true, false);
    world->resolver = (struct tg_resolver){.loop = world->loop, .addresses = {world->address}, .count = 1};
    world->options = (struct tg_upstream_options){.max_connections = 4,
                                                  .max_pending = 2,
                                                  .max_idle = 4,
                                                  .idle_timeout_ms = 60000,
                                                  .connect_timeout_ms = 10000,
                                                  .max_head = 4096};
    assert_int_equal(tg_upstream_new(world->loop, &world->resolver, NULL, &world->options, &world->upstream),
                     TG_OK);
    tg_task_init(&world->tick, world_tick);
    tg_timer_init(&world->watchdog, world_expired);
    tg_timer_start(world->loop, &world->watchdog, WATCHDOG_MS);
    *state = world;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;
    tg_upstream_free(world->upstream);
    tg_timer_stop(&world->watchdog);
    for (size_t i = 0; i < world->peer_count; i++) {
        peer_close(&world->peers[i]);
        tg_buf_free(&world->peers[i].in);
    }
    tg_poll_free(world->poll);
    close(world->listener);
    tg_loop_free(world->loop);
    assert_int_equal(world->resolver.open, 0);
    free(world);
    return 0;
}

static inline struct tg_upstream_stats world_stats(const struct world *world)
{
    struct tg_upstream_stats stats;
    tg_upstream_stats(world->upstream, &stats);
    return stats;
}

/* --- calls --- */

/* What became of a call, and what to do in its events. */
struct record {
    struct tg_call *call;
    int heads, ends, drains;
    int status;
    int64_t length;
    enum tg_err err;
    struct tg_buf body;
    bool cancel_in_head, cancel_in_body, pause_in_head, pause_in_body;
};

static void record_head(void *arg, int status, const struct tg_headers *headers)
{
    struct record *record = arg;
    record->heads++;
    record->status = status;
    record->length = tg_call_length(record->call);
    for (size_t i = 0; i < headers->count; i++) {
        assert_true(tg_header_name_ok(headers->items[i].name));
    }
    if (record->cancel_in_head) {
        tg_call_cancel(record->call);
        record->call = NULL;
        return;
    }
    if (record->pause_in_head) {
        tg_call_pause(record->call, true);
    }
}

static void record_body(void *arg, struct tg_slice bytes)
{
    struct record *record = arg;
    assert_int_equal(record->heads, 1);
    assert_int_equal(record->ends, 0);
    assert_true(bytes.len > 0);
    assert_int_equal(tg_buf_append(&record->body, bytes), TG_OK);
    if (record->cancel_in_body) {
        tg_call_cancel(record->call);
        record->call = NULL;
        return;
    }
    if (record->pause_in_body) {
        tg_call_pause(record->call, true);
    }
}

static void record_end(void *arg, enum tg_err err)
{
    struct record *record = arg;
    record->ends++;
    record->err = err;
    record->call = NULL;
}

static void record_drain(void *arg)
{
    struct record *record = arg;
    assert_int_equal(record->ends, 0);
    record->drains++;
}

static const struct tg_call_events record_events = {record_head, record_body, record_end, record_drain};

static inline struct tg_call_request a_request(const char *method)
{
    static struct tg_header host[] = {{TG_LIT_INIT("Host"), TG_LIT_INIT("h")}};
    return (struct tg_call_request){.origin = {.host = TG_LIT("back-end"), .port = 80},
                                    .method = tg_slice_cstr(method),
                                    .target = TG_LIT("/t"),
                                    .headers = {host, 1, 1},
                                    .body_length = -1};
}

static inline void start_call(struct world *world, struct record *record,
                              const struct tg_call_request *request)
{
    *record = (struct record){0};
    tg_buf_init(&record->body, SIZE_MAX);
    assert_int_equal(tg_upstream_call(world->upstream, request, &record_events, record, &record->call),
                     TG_OK);
    assert_int_equal(record->heads + record->ends, 0);
}

static inline void record_free(struct record *record)
{
    tg_call_cancel(record->call);
    tg_buf_free(&record->body);
}

/* Runs until the peer of that number is there and has read a request that ends in an empty line. */
static inline struct peer *run_until_asked(struct world *world, size_t number)
{
    struct peer *peer = &world->peers[number];
    RUN_UNTIL(world,
              world->peer_count > number && tg_slice_ends(tg_buf_slice(&peer->in), TG_LIT("\r\n\r\n")));
    return peer;
}

static inline void assert_text(struct tg_slice got, const char *want)
{
    if (!tg_slice_eq(got, tg_slice_cstr(want))) {
        print_message("got %.*s\n", TG_FMT(got));
    }
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.len > 0 ? got.ptr : "", want, got.len);
}

static inline void assert_ended(const struct record *record, enum tg_err err)
{
    assert_int_equal(record->ends, 1);
    assert_string_equal(tg_err_text(record->err), tg_err_text(err));
}

/* One GET from start to end on the peer of that number. */
static inline void exchange(struct world *world, size_t number)
{
    struct record record;
    struct tg_call_request request = a_request("GET");
    start_call(world, &record, &request);
    struct peer *peer = run_until_asked(world, number);
    tg_buf_clear(&peer->in);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    RUN_UNTIL(world, record.ends > 0);
    assert_ended(&record, TG_OK);
    assert_int_equal(record.status, 200);
    assert_text(tg_buf_slice(&record.body), "ok");
    record_free(&record);
}

#endif
