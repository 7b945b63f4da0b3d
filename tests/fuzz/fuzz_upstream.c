/* The bytes of back ends through the client. The first two bytes choose what the calls are and how the
 * answers are cut; behind them are the answers, one a request, as it comes in, parted by 0xff; in one of them
 * 0xfe closes the connection, 0xfd waits a while. Checked beside memory: events come in their order, with one
 * end and nothing behind it; what announced its length has it; what a back end reads is a request as it
 * should be; nothing is left over; and how the bytes were cut makes no difference to the first call. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/base/buf.h"
#include "server/base/crypto.h"
#include "server/io/http1.h"
#include "server/io/upstream_group.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum { POST = 1, HEAD = 2, STREAM = 4, UPGRADE = 8, GROUP = 16, PAUSE = 32, CANCEL = 64, EARLY = 128 };
enum { NEXT = 0xff, CLOSE = 0xfe, WAIT = 0xfd, CALLS = 3, PEERS = 2, LINKS = 16, PATIENCE = 30 };

struct call {
    struct probe *probe;
    struct tg_call *handle; /* NULL: over */
    int heads, ends, status;
    enum tg_err err;
    int64_t length;
    struct tg_buf body;
    unsigned sent; /* pieces of a streamed body */
    unsigned events;
    bool finished;
};

/* A connection as the back end has it. */
struct link {
    int fd; /* -1: none */
    struct tg_buf in;
    bool in_body;
    struct tg_http1_body body;
    unsigned requests, answered; /* whole heads; those whose answer is being said */
    struct tg_slice answer;      /* what is left of it */
    unsigned wait;               /* turns */
};

struct probe {
    struct tg_loop *loop;
    struct tg_task awake;
    int listeners[PEERS];
    char names[PEERS][32]; /* as origins */
    struct tg_upstream *upstream;
    struct tg_upstream_group *group;
    unsigned mode;
    size_t step;
    struct tg_rng rng;
    struct tg_slice script;
    struct link links[LINKS];
    struct call calls[CALLS];
};

static void do_nothing(struct tg_task *task)
{
    (void)task;
}

/* --- calls --- */

/* Sometimes the owner has enough of it, in an event. */
static bool gives_up(struct call *call)
{
    if ((call->probe->mode & CANCEL) == 0 || ++call->events < 3) {
        return false;
    }
    tg_call_cancel(call->handle);
    call->handle = NULL;
    return true;
}

static void on_head(void *arg, int status, const struct tg_headers *headers)
{
    struct call *call = arg;
    CHECK(call->heads++ == 0 && call->ends == 0 && call->handle != NULL);
    CHECK(status >= 200 || (status == 101 && (call->probe->mode & UPGRADE) != 0));
    for (size_t i = 0; i < headers->count; i++) {
        CHECK(tg_header_name_ok(headers->items[i].name) && tg_header_value_ok(headers->items[i].value));
    }
    call->status = status;
    call->length = tg_call_length(call->handle);
    if (!gives_up(call) && (call->probe->mode & PAUSE) != 0) {
        tg_call_pause(call->handle, true);
    }
}

static void on_body(void *arg, struct tg_slice bytes)
{
    struct call *call = arg;
    CHECK(call->heads == 1 && call->ends == 0 && call->handle != NULL && bytes.len > 0);
    CHECK(tg_buf_append(&call->body, bytes) == TG_OK);
    if (!gives_up(call) && (call->probe->mode & PAUSE) != 0) {
        tg_call_pause(call->handle, true);
    }
}

static void on_end(void *arg, enum tg_err err)
{
    struct call *call = arg;
    bool bodiless = (call->probe->mode & HEAD) != 0 || call->status == 204 || call->status == 304;
    CHECK(call->ends++ == 0 && call->handle != NULL);
    CHECK(err != TG_OK || call->heads == 1);
    CHECK(err == TG_OK || err == TG_EPROTO || err == TG_ECLOSED || err == TG_EIO || err == TG_EREFUSED);
    size_t got = tg_buf_size(&call->body);
    if (bodiless) {
        CHECK(got == 0);
    } else if (call->length >= 0) {
        CHECK(err == TG_OK ? got == (uint64_t)call->length : got <= (uint64_t)call->length);
    }
    call->err = err;
    call->handle = NULL;
}

static void on_drain(void *arg)
{
    struct call *call = arg;
    CHECK(call->ends == 0 && call->handle != NULL);
}

static const struct tg_call_events events = {on_head, on_body, on_end, on_drain};

static void start_call(struct probe *probe, struct call *call)
{
    static struct tg_header fields[] = {{TG_LIT_INIT("Host"), TG_LIT_INIT("h")},
                                        {TG_LIT_INIT("Upgrade"), TG_LIT_INIT("x")}};
    bool upgrade = (probe->mode & UPGRADE) != 0;
    struct tg_call_request request = {
        .origin = {.host = tg_slice_cstr(probe->names[0])},
        .group = (probe->mode & GROUP) != 0 ? probe->group : NULL,
        .method = (probe->mode & HEAD) != 0   ? TG_LIT("HEAD")
                  : (probe->mode & POST) != 0 ? TG_LIT("POST")
                                              : TG_LIT("GET"),
        .target = TG_LIT("/"),
        .headers = {fields, upgrade ? 2 : 1, 2},
        .stream_body = (probe->mode & STREAM) != 0 && !upgrade,
        .body_length = -1,
        .upgrade = upgrade,
        .replayable = (probe->mode & POST) == 0,
    };
    CHECK(tg_upstream_call(probe->upstream, &request, &events, call, &call->handle) == TG_OK);
    CHECK(call->heads == 0 && call->ends == 0);
}

/* What an owner does between events. */
static void mind_call(struct call *call)
{
    if (call->handle == NULL || call->finished) {
        return;
    }
    bool streams = (call->probe->mode & (STREAM | UPGRADE)) == STREAM || call->status == 101;
    enum tg_err err = TG_EINVAL;
    if (call->sent < 3) {
        err = tg_call_send(call->handle, TG_LIT("piece"));
        call->sent++;
    } else {
        err = tg_call_finish(call->handle);
        call->finished = true;
    }
    CHECK(err == (streams ? TG_OK : TG_EINVAL));
    if ((call->probe->mode & PAUSE) != 0) {
        tg_call_pause(call->handle, call->sent % 2 == 0);
    }
}

/* --- back ends --- */

static void link_close(struct link *link)
{
    close(link->fd);
    tg_buf_free(&link->in);
    link->fd = -1;
}

static void accept_all(struct probe *probe, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        struct link *link = probe->links;
        while (link < probe->links + LINKS && link->fd >= 0) {
            link++;
        }
        CHECK(link < probe->links + LINKS);
        *link = (struct link){.fd = fd};
        tg_buf_init(&link->in, SIZE_MAX);
    }
}

/* A head at the front of what has come is one that we can read ourselves. False: not there yet. */
static bool take_head(struct link *link)
{
    static const struct tg_http1_limits limits = {.line = 1000, .head = 4000, .count = 20};
    struct tg_http1_request request;
    struct tg_http1_fault fault;
    struct tg_arena arena;
    size_t scanned = 0, used = 0;
    tg_arena_init(&arena, NULL);
    enum tg_err err =
        tg_http1_parse_request(tg_buf_slice(&link->in), &scanned, &limits, &arena, &request, &used, &fault);
    CHECK(err == TG_OK || err == TG_EAGAIN);
    if (err == TG_OK) {
        tg_buf_consume(&link->in, used);
        tg_http1_body_init(&link->body, request.framing, request.content_length);
        link->in_body = !link->body.done;
        link->requests++;
    }
    tg_arena_reset(&arena);
    return err == TG_OK;
}

/* So is a body. */
static void take_body(struct link *link)
{
    struct tg_slice content;
    size_t used = 0;
    CHECK(tg_http1_body_decode(&link->body, tg_buf_slice(&link->in), &used, &content) == TG_OK);
    CHECK(content.len <= 5 && tg_slice_ends(TG_LIT("piece"), content));
    tg_buf_consume(&link->in, used);
    link->in_body = !link->body.done;
}

static void link_read(struct link *link, bool may_tunnel)
{
    char *space;
    CHECK(tg_buf_reserve(&link->in, 4096, &space) == TG_OK);
    ssize_t got = recv(link->fd, space, 4096, 0);
    if (got > 0) {
        tg_buf_commit(&link->in, (size_t)got);
    }
    bool more = true;
    while (more && tg_buf_size(&link->in) > 0) {
        if (link->in_body) {
            take_body(link);
        } else if (may_tunnel && tg_slice_starts(tg_buf_slice(&link->in), TG_LIT("piece"))) {
            tg_buf_consume(&link->in, 5);
        } else {
            more = take_head(link);
        }
    }
}

static size_t piece_len(struct probe *probe, struct tg_slice left)
{
    size_t most = probe->step == 0 ? left.len : 1 + (size_t)(tg_rng_next(&probe->rng) % probe->step);
    size_t len = 0;
    while (len < most && len < left.len && (unsigned char)left.ptr[len] < WAIT) {
        len++;
    }
    return len;
}

/* Says the next piece of the answer. */
static void link_write(struct probe *probe, struct link *link)
{
    if (link->wait > 0) {
        link->wait--;
        return;
    }
    if (link->answer.len == 0) {
        return;
    }
    unsigned char first = (unsigned char)link->answer.ptr[0];
    size_t len = piece_len(probe, link->answer);
    if (first == CLOSE) {
        link_close(link);
    } else if (first == WAIT) {
        link->wait = 2;
        link->answer = tg_slice_from(link->answer, 1);
    } else if (send(link->fd, link->answer.ptr, len, MSG_NOSIGNAL) == (ssize_t)len) {
        link->answer = tg_slice_from(link->answer, len);
    } else {
        link->answer = TG_EMPTY;
    }
}

static void link_serve(struct probe *probe, struct link *link)
{
    bool early = (probe->mode & EARLY) != 0 && link->answered == 0;
    link_read(link, (probe->mode & UPGRADE) != 0);
    if (link->answer.len == 0 && link->wait == 0 && (early || link->requests > link->answered)) {
        link->answered++;
        link->answer = tg_slice_cut(probe->script, (char)NEXT, &probe->script);
    }
    link_write(probe, link);
}

/* --- all of it --- */

static void turn(struct probe *probe)
{
    for (size_t i = 0; i < PEERS; i++) {
        accept_all(probe, probe->listeners[i]);
    }
    for (size_t i = 0; i < LINKS; i++) {
        if (probe->links[i].fd >= 0) {
            link_serve(probe, &probe->links[i]);
        }
    }
    tg_task_defer(probe->loop, &probe->awake);
    tg_loop_run_once(probe->loop);
}

static bool all_said(const struct probe *probe)
{
    for (size_t i = 0; i < LINKS; i++) {
        if (probe->links[i].fd >= 0 && (probe->links[i].answer.len > 0 || probe->links[i].wait > 0)) {
            return false;
        }
    }
    return true;
}

static void close_all(struct probe *probe)
{
    for (size_t i = 0; i < LINKS; i++) {
        if (probe->links[i].fd >= 0) {
            link_close(&probe->links[i]);
        }
    }
}

/* To its end, which comes at the latest when the back ends have closed. */
static void run_call(struct probe *probe, struct call *call)
{
    unsigned quiet = 0, closed = 0;
    *call = (struct call){.probe = probe};
    tg_buf_init(&call->body, SIZE_MAX);
    start_call(probe, call);
    while (call->handle != NULL) {
        turn(probe);
        mind_call(call);
        quiet = all_said(probe) ? quiet + 1 : 0;
        if (quiet > PATIENCE) {
            if (call->handle != NULL) {
                tg_call_pause(call->handle, false);
            }
            close_all(probe);
            CHECK(++closed < 10 * PATIENCE);
        }
    }
    CHECK(call->ends == 1 || (probe->mode & CANCEL) != 0);
}

static void run(struct probe *probe, struct tg_slice script, size_t step)
{
    const struct tg_upstream_options options = {.max_connections = 2,
                                                .max_pending = 4,
                                                .max_idle = 2,
                                                .idle_timeout_ms = 3600000,
                                                .connect_timeout_ms = 3600000,
                                                .max_head = 2048};
    const struct tg_upstream_target_options targets[PEERS] = {
        {.name = TG_LIT("a"), .origin = {.host = tg_slice_cstr(probe->names[0])}},
        {.name = TG_LIT("b"), .origin = {.host = tg_slice_cstr(probe->names[1])}}};
    const struct tg_upstream_group_options group = {.name = TG_LIT("g"),
                                                    .targets = targets,
                                                    .target_count = PEERS,
                                                    .eject_after = 1,
                                                    .eject_ms = 3600000,
                                                    .max_attempts = 2};
    probe->script = script;
    probe->step = step;
    tg_rng_seed(&probe->rng, step);
    CHECK(tg_upstream_new(probe->loop, NULL, NULL, &options, &probe->upstream) == TG_OK);
    CHECK(tg_upstream_group_new(probe->upstream, &group, &probe->group) == TG_OK);
    for (size_t i = 0; i < CALLS; i++) {
        run_call(probe, &probe->calls[i]);
    }
    for (size_t i = 0; i < PEERS; i++) {
        struct tg_upstream_target_stats stats;
        tg_upstream_group_target(probe->group, i, &stats);
        CHECK(stats.outstanding == 0);
    }
    tg_upstream_group_free(probe->group);
    tg_upstream_free(probe->upstream);
    for (size_t i = 0; i < PEERS; i++) {
        accept_all(probe, probe->listeners[i]);
    }
    close_all(probe);
}

static char directory[] = "/tmp/tg-fuzz-XXXXXX";

static void clean_up(void)
{
    char path[sizeof directory + 2];
    for (size_t i = 0; i < PEERS; i++) {
        (void)snprintf(path, sizeof path, "%s/%zu", directory, i);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}

static void start(struct probe *probe)
{
    tg_task_init(&probe->awake, do_nothing);
    CHECK(tg_loop_new(&probe->loop) == TG_OK);
    CHECK(mkdtemp(directory) != NULL && atexit(clean_up) == 0);
    for (size_t i = 0; i < PEERS; i++) {
        struct tg_address address;
        (void)snprintf(probe->names[i], sizeof probe->names[i], "unix:%s/%zu", directory, i);
        CHECK(tg_address_parse(tg_slice_cstr(probe->names[i]), &address) == TG_OK);
        probe->listeners[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        CHECK(bind(probe->listeners[i], (struct sockaddr *)&address.storage, address.len) == 0);
        CHECK(listen(probe->listeners[i], LINKS) == 0);
    }
    for (size_t i = 0; i < LINKS; i++) {
        probe->links[i].fd = -1;
    }
}

/* Whether the first call comes to the same however its answer is cut. Not when it goes by the number of
 * events, or by how far the request was when the answer or a close came; a write into a close shows in the
 * error. */
static bool is_steady(unsigned mode)
{
    return (mode & (CANCEL | EARLY)) == 0 && (mode & (GROUP | STREAM)) != (GROUP | STREAM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct probe probe;
    if (size < 2 || size > 10000) {
        return 0;
    }
    if (probe.loop == NULL) {
        start(&probe);
    }
    struct tg_slice script = tg_slice_make(data + 2, size - 2);
    probe.mode = data[0];
    run(&probe, script, data[1]);
    if (data[1] != 0 && is_steady(probe.mode)) {
        struct call cut = probe.calls[0];
        for (size_t i = 1; i < CALLS; i++) {
            tg_buf_free(&probe.calls[i].body);
        }
        run(&probe, script, 0);
        const struct call *whole = &probe.calls[0];
        bool sends = (probe.mode & (STREAM | UPGRADE)) != 0;
        CHECK((sends || cut.err == whole->err) && cut.status == whole->status);
        CHECK(cut.length == whole->length);
        CHECK(tg_slice_eq(tg_buf_slice(&cut.body), tg_buf_slice(&whole->body)));
        tg_buf_free(&cut.body);
    }
    for (size_t i = 0; i < CALLS; i++) {
        tg_buf_free(&probe.calls[i].body);
    }
    return 0;
}
