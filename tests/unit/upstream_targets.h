/* For tests of upstream groups: several back ends of plain sockets in the loop of upstream_world.h, each with
 * a behaviour that the test changes, and counts of what came to it. Included by one test file each. */
#ifndef TG_TESTS_UPSTREAM_TARGETS_H
#define TG_TESTS_UPSTREAM_TARGETS_H

#include <stdio.h>

#include "server/base/crypto.h"
#include "server/io/upstream_group.h"
#include "tests/unit/upstream_world.h"

enum { TARGETS_MAX = 4, LINKS_MAX = 64, NUMBERS_MAX = 512 };

enum conduct {
    ANSWERS,  /* its status, and a body that is its letter */
    STALLED,  /* as a stopped process: accepted by the kernel, nothing is read */
    MUTE,     /* reads, and says nothing */
    HANGS_UP, /* closes on a whole request */
    RESETS,   /* likewise, with a reset */
    BABBLES   /* answers what is no HTTP */
};

struct backend;

struct link {
    struct backend *backend;
    int fd;
    struct tg_poll *poll;
    struct tg_buf in;
};

struct backend {
    struct world *world;
    char letter;
    int listener;
    uint16_t port;
    struct tg_poll *poll;
    enum conduct conduct;
    int status;
    int check_status;
    struct link links[LINKS_MAX];
    size_t accepted, gets, posts, puts, checks;
    unsigned char numbers[NUMBERS_MAX]; /* how often a POST with that number in its path came */
    struct tg_buf last;                 /* the last request that was no check, whole */
};

static inline void link_close(struct link *link)
{
    if (link->fd >= 0) {
        tg_poll_free(link->poll);
        close(link->fd);
        tg_buf_free(&link->in);
        link->fd = -1;
    }
}

static inline void link_say(struct link *link, const char *text)
{
    (void)!send(link->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static inline void link_serve(struct link *link, struct tg_slice request)
{
    struct backend *backend = link->backend;
    bool check = tg_slice_starts(request, TG_LIT("GET /health"));
    char answer[128];
    uint64_t number = 0;
    backend->checks += check;
    backend->gets += !check && tg_slice_starts(request, TG_LIT("GET "));
    backend->puts += tg_slice_starts(request, TG_LIT("PUT "));
    if (tg_slice_starts(request, TG_LIT("POST /"))) {
        struct tg_slice path = tg_slice_head(tg_slice_from(request, 6), tg_slice_find(request, '\r') - 6);
        path = tg_slice_head(path, tg_slice_find(path, ' '));
        backend->posts++;
        if (tg_slice_to_u64(path, &number) == TG_OK && number < NUMBERS_MAX) {
            backend->numbers[number]++;
        }
    }
    if (!check) {
        tg_buf_clear(&backend->last);
        assert_int_equal(tg_buf_append(&backend->last, request), TG_OK);
    }
    switch (backend->conduct) {
    case ANSWERS:
        (void)snprintf(answer, sizeof answer, "HTTP/1.1 %d X\r\nContent-Length: 1\r\n\r\n%c",
                       check ? backend->check_status : backend->status, backend->letter);
        link_say(link, answer);
        break;
    case HANGS_UP:
        link_close(link);
        break;
    case RESETS: {
        struct linger linger = {.l_onoff = 1};
        assert_int_equal(setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
        link_close(link);
        break;
    }
    case BABBLES:
        link_say(link, "what?\r\n\r\n");
        break;
    case STALLED:
    case MUTE:
        break;
    }
}

/* Where the first whole request ends; 0: not there yet. */
static inline size_t request_end(struct tg_slice bytes)
{
    size_t head = tg_slice_find_slice(bytes, TG_LIT("\r\n\r\n"));
    if (head == bytes.len) {
        return 0;
    }
    size_t at = tg_slice_find_slice(tg_slice_head(bytes, head + 2), TG_LIT("\r\nContent-Length: "));
    uint64_t length = 0;
    if (at < head) {
        struct tg_slice text = tg_slice_from(bytes, at + 18);
        assert_int_equal(tg_slice_to_u64(tg_slice_head(text, tg_slice_find(text, '\r')), &length), TG_OK);
    } else if (tg_slice_find_slice(tg_slice_head(bytes, head), TG_LIT("chunked")) < head) {
        size_t end = tg_slice_find_slice(bytes, TG_LIT("\r\n0\r\n\r\n"));
        return end < bytes.len ? end + 7 : 0;
    }
    return bytes.len >= head + 4 + length ? head + 4 + (size_t)length : 0;
}

static inline void link_ready(void *arg, bool readable, bool writable)
{
    struct link *link = arg;
    char *space;
    (void)readable;
    (void)writable;
    if (link->backend->conduct == STALLED) {
        tg_poll_want(link->poll, false, false);
        return;
    }
    assert_int_equal(tg_buf_reserve(&link->in, 65536, &space), TG_OK);
    ssize_t got = recv(link->fd, space, 65536, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            link_close(link);
        }
        return;
    }
    tg_buf_commit(&link->in, (size_t)got);
    size_t end;
    while (link->fd >= 0 && (end = request_end(tg_buf_slice(&link->in))) > 0) {
        char *copy = malloc(end);
        assert_non_null(copy);
        memcpy(copy, tg_buf_slice(&link->in).ptr, end);
        tg_buf_consume(&link->in, end);
        link_serve(link, tg_slice_make(copy, end));
        free(copy);
    }
}

static inline void backend_accept(void *arg, bool readable, bool writable)
{
    struct backend *backend = arg;
    (void)readable;
    (void)writable;
    int fd = accept4(backend->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    backend->accepted++;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        struct link *link = &backend->links[i];
        if (link->fd < 0) {
            *link = (struct link){.backend = backend, .fd = fd};
            tg_buf_init(&link->in, SIZE_MAX);
            assert_int_equal(tg_poll_new(backend->world->loop, fd, link_ready, link, &link->poll), TG_OK);
            tg_poll_want(link->poll, backend->conduct != STALLED, false);
            return;
        }
    }
    fail_msg("too many connections");
}

/* Listens, at the port that it had before if it had one. */
static inline void backend_start(struct backend *backend)
{
    struct tg_address address;
    assert_int_equal(tg_address_parse(TG_LIT("127.0.0.1:0"), &address), TG_OK);
    tg_address_set_port(&address, backend->port);
    backend->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    assert_int_equal(setsockopt(backend->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(backend->listener, (struct sockaddr *)&address.storage, address.len), 0);
    assert_int_equal(listen(backend->listener, 64), 0);
    address.len = sizeof address.storage;
    assert_int_equal(getsockname(backend->listener, (struct sockaddr *)&address.storage, &address.len), 0);
    backend->port = tg_address_port(&address);
    assert_int_equal(
        tg_poll_new(backend->world->loop, backend->listener, backend_accept, backend, &backend->poll), TG_OK);
    tg_poll_want(backend->poll, true, false);
}

/* As a process that was killed. */
static inline void backend_kill(struct backend *backend)
{
    if (backend->poll != NULL) {
        tg_poll_free(backend->poll);
        backend->poll = NULL;
        close(backend->listener);
    }
    for (size_t i = 0; i < LINKS_MAX; i++) {
        link_close(&backend->links[i]);
    }
}

static inline void backend_behave(struct backend *backend, enum conduct conduct)
{
    backend->conduct = conduct;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        if (backend->links[i].fd >= 0) {
            tg_poll_want(backend->links[i].poll, conduct != STALLED, false);
        }
    }
}

static inline void backend_init(struct backend *backend, struct world *world, char letter)
{
    *backend = (struct backend){.world = world, .letter = letter, .status = 200, .check_status = 200};
    tg_buf_init(&backend->last, SIZE_MAX);
    for (size_t i = 0; i < LINKS_MAX; i++) {
        backend->links[i].fd = -1;
    }
    backend_start(backend);
}

static inline void backend_free(struct backend *backend)
{
    backend_kill(backend);
    tg_buf_free(&backend->last);
}

/* --- a group of them --- */

enum { TARGETS = 3 };

struct field {
    struct world *world;
    struct backend backends[TARGETS];
    struct tg_upstream_target_options targets[TARGETS];
    struct tg_upstream_group_options options;
    struct tg_upstream_group *group;
};

static inline struct tg_upstream_target_options target_of(const struct backend *backend)
{
    return (struct tg_upstream_target_options){
        .name = tg_slice_make(&backend->letter, 1),
        .origin = {.host = TG_LIT("target.example"), .port = backend->port}};
}

static inline int setup(void **state)
{
    struct field *field = calloc(1, sizeof *field);
    void *world = NULL;
    assert_non_null(field);
    assert_int_equal(world_setup(&world), 0);
    field->world = world;
    field->world->resolver.by_port = true;
    for (size_t i = 0; i < TARGETS; i++) {
        backend_init(&field->backends[i], field->world, (char)('a' + i));
        field->targets[i] = target_of(&field->backends[i]);
    }
    field->options = (struct tg_upstream_group_options){
        .name = TG_LIT("orders"), .targets = field->targets, .target_count = TARGETS, .max_attempts = 3};
    assert_int_equal(tg_upstream_group_new(field->world->upstream, &field->options, &field->group), TG_OK);
    *state = field;
    return 0;
}

static inline int teardown(void **state)
{
    struct field *field = *state;
    void *world = field->world;
    tg_upstream_group_free(field->group);
    tg_upstream_free(field->world->upstream);
    field->world->upstream = NULL;
    for (size_t i = 0; i < TARGETS; i++) {
        backend_free(&field->backends[i]);
    }
    assert_int_equal(world_teardown(&world), 0);
    free(field);
    return 0;
}

static inline void configure(struct field *field)
{
    assert_int_equal(tg_upstream_group_configure(field->group, &field->options), TG_OK);
}

static inline struct tg_upstream_target_stats stats_of(const struct field *field, size_t index)
{
    struct tg_upstream_target_stats stats;
    tg_upstream_group_target(field->group, index, &stats);
    return stats;
}

static inline struct tg_call_request request_of(const struct field *field, const char *method)
{
    struct tg_call_request request = a_request(method);
    request.origin = (struct tg_origin){0};
    request.group = field->group;
    return request;
}

/* Calls, and returns the letter of who answered; '!' for an error, which is in *err. */
static inline char ask_for(struct field *field, const struct tg_call_request *request, enum tg_err *err)
{
    struct record record;
    char letter = '!';
    start_call(field->world, &record, request);
    RUN_UNTIL(field->world, record.ends > 0);
    if (record.err == TG_OK) {
        assert_int_equal(tg_buf_size(&record.body), 1);
        struct tg_slice body = tg_buf_slice(&record.body);
        letter = body.ptr != NULL ? body.ptr[0] : '!';
    }
    *err = record.err;
    record_free(&record);
    return letter;
}

static inline char ask(struct field *field, const char *method)
{
    struct tg_call_request request = request_of(field, method);
    enum tg_err err = TG_OK;
    return ask_for(field, &request, &err);
}

static inline enum tg_err ask_in_vain(struct field *field, const struct tg_call_request *request)
{
    enum tg_err err = TG_OK;
    assert_int_equal(ask_for(field, request, &err), '!');
    return err;
}

static inline size_t count_of(const struct field *field, size_t offset)
{
    size_t sum = 0;
    for (size_t i = 0; i < TARGETS; i++) {
        sum += *(const size_t *)(const void *)((const char *)&field->backends[i] + offset);
    }
    return sum;
}
#define SUM(field, member) count_of(field, offsetof(struct backend, member))

static inline void switch_checks_on(struct field *field)
{
    field->options.check = (struct tg_upstream_check_options){.path = TG_LIT("/health"),
                                                              .interval_ms = 20,
                                                              .timeout_ms = 2000,
                                                              .healthy_threshold = 2,
                                                              .unhealthy_threshold = 2,
                                                              .status_min = 200,
                                                              .status_max = 299};
    configure(field);
}

#define GROUP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
