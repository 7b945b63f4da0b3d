#include "server/io/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "server/base/cache.h"
#include "server/io/sends.h"
#include "server/io/timer.h"

/* One pass: waits in an epoll of our own, calls the owners of what is ready, then fires the timers that are
 * due and runs the tasks. libuv has signals, wake-ups from other threads and jobs on its threads; its
 * descriptor is one of those that are waited for, and it runs when that is ready. Its own way of watching
 * costs six system calls a descriptor and two a change of interest, as of 1.44; ours, one each. */

enum { EVENTS_MAX = 128 }; /* a pass: its work stays in the processor's cache */

struct tg_loop {
    uv_loop_t uv;
    uv_async_t stop;
    int epoll;
    bool uv_asked; /* libuv may have been asked for something since it last ran */
    bool stopped;
    bool dispatching;
    uint64_t now_ms;
    uint64_t passes; /* begun, and one: no pass has the number 0 */
    struct tg_wheel wheel;
    struct tg_list tasks, after_events;
    size_t events_left;
    struct tg_sends *sends;
    struct tg_list dead; /* polls freed in this pass, of which there may still be events */
    uint64_t wall_at_ms; /* tg_loop_now_ms of the reading below */
    int64_t wall_ms;
    struct epoll_event events[EVENTS_MAX];
};

struct tg_poll {
    struct tg_list node; /* loop->dead */
    struct tg_loop *loop;
    int fd;
    uint8_t wanted;  /* EPOLLIN | EPOLLOUT, by the owner */
    uint8_t watched; /* by the kernel: perhaps more, until that shows */
    bool dead;
    tg_poll_fn *ready;
    void *arg;
    const void *expected; /* as tg_poll_expect */
};

static void read_clock(struct tg_loop *loop)
{
    loop->now_ms = uv_hrtime() / 1000000;
}

/* Whether one was due. */
static bool fire_timers(struct tg_loop *loop)
{
    struct tg_list expired;
    struct tg_list *node;
    tg_list_init(&expired);
    tg_wheel_advance(&loop->wheel, loop->now_ms, &expired);
    bool any = !tg_list_empty(&expired);
    while ((node = tg_list_pop(&expired)) != NULL) {
        struct tg_timer *timer = TG_CONTAINER(node, struct tg_timer, node);
        timer->due_ms = 0;
        timer->fire(timer);
    }
    return any;
}

static void run_tasks(struct tg_list *tasks)
{
    struct tg_list round;
    struct tg_list *node;
    if (tg_list_empty(tasks)) {
        return;
    }
    /* The round takes the list's place, so that what its tasks defer waits for the next one. */
    tg_list_append(tasks, &round);
    tg_list_remove(tasks);
    while ((node = tg_list_pop(&round)) != NULL) {
        struct tg_task *task = TG_CONTAINER(node, struct tg_task, node);
        task->run(task);
    }
}

static void run_uv(struct tg_loop *loop)
{
    loop->uv_asked = false;
    uv_run(&loop->uv, UV_RUN_NOWAIT);
}

static void free_dead(struct tg_loop *loop)
{
    struct tg_list *node;
    while ((node = tg_list_pop(&loop->dead)) != NULL) {
        free(TG_CONTAINER(node, struct tg_poll, node));
    }
}

/* How long nothing is due, in ms; -1: for ever. */
static int patience(struct tg_loop *loop)
{
    uint64_t next = tg_wheel_next(&loop->wheel);
    if (!tg_list_empty(&loop->tasks) || loop->uv_asked || loop->stopped) {
        return 0;
    }
    if (next == UINT64_MAX) {
        return -1;
    }
    read_clock(loop);
    uint64_t left = next > loop->now_ms ? next - loop->now_ms : 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

static void watch(struct tg_poll *poll, uint8_t bits)
{
    /* Errors and ends of the connection cannot be left out, but told once only. */
    struct epoll_event event = {.events = bits != 0 ? bits : EPOLLONESHOT, .data.ptr = poll};
    int failed = epoll_ctl(poll->loop->epoll, EPOLL_CTL_MOD, poll->fd, &event);
    assert(failed == 0);
    (void)failed;
    poll->watched = bits;
}

static void deliver(struct tg_poll *poll, uint32_t events)
{
    bool error = (events & EPOLLERR) != 0;
    if (poll->dead) {
        return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        events |= poll->wanted;
    }
    events &= poll->wanted;
    if (events == 0) {
        if (poll->watched != 0) { /* else that was the once */
            watch(poll, poll->wanted);
        }
        return;
    }
    poll->ready(poll->arg, error || (events & EPOLLIN) != 0, error || (events & EPOLLOUT) != 0);
}

/* What comes next is fetched into the cache while this event is seen to: of many connections nothing else is
 * left there. */
static void fetch_ahead(const struct epoll_event *events, int i, int count)
{
    if (i + 2 < count) {
        tg_cache_fetch(events[i + 2].data.ptr, 1);
    }
    if (i + 1 < count && events[i + 1].data.ptr != NULL) {
        const struct tg_poll *next = events[i + 1].data.ptr;
        tg_cache_fetch(next->arg, 1);
        tg_cache_fetch(next->expected, 2);
    }
}

/* Whether there was anything to do: the wheel has the loop look at far timers now and then as they come
 * nearer. */
static bool pass(struct tg_loop *loop)
{
    bool uv_ready = loop->uv_asked, tasks = !tg_list_empty(&loop->tasks);
    int count = epoll_wait(loop->epoll, loop->events, EVENTS_MAX, patience(loop));
    read_clock(loop);
    loop->passes++;
    tg_sends_gather(loop->sends, count > 1);
    loop->dispatching = true;
    for (int i = 0; i < count; i++) {
        fetch_ahead(loop->events, i, count);
        loop->events_left = (size_t)(count - i) - 1;
        if (loop->events[i].data.ptr == NULL) {
            uv_ready = true;
        } else {
            deliver(loop->events[i].data.ptr, loop->events[i].events);
        }
    }
    loop->dispatching = false;
    run_tasks(&loop->after_events);
    tg_sends_flush(loop->sends);
    if (uv_ready || loop->uv_asked) {
        run_uv(loop);
    }
    free_dead(loop);
    bool fired = fire_timers(loop);
    run_tasks(&loop->tasks);
    tg_sends_flush(loop->sends);
    return count > 0 || uv_ready || tasks || fired; /* interrupted: by what libuv asked of the kernel */
}

static void on_stop(uv_async_t *handle)
{
    struct tg_loop *loop = handle->data;
    loop->stopped = true;
}

/* libuv's loop, and its descriptor in our epoll. */
static bool init_uv(struct tg_loop *loop)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (uv_loop_init(&loop->uv) != 0) {
        return false;
    }
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, uv_backend_fd(&loop->uv), &event) != 0 ||
        uv_async_init(&loop->uv, &loop->stop, on_stop) != 0) {
        uv_loop_close(&loop->uv);
        return false;
    }
    loop->stop.data = loop;
    loop->uv_asked = true;
    return true;
}

enum tg_err tg_loop_new(struct tg_loop **out)
{
    struct tg_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return TG_ENOMEM;
    }
    if (tg_sends_new(&loop->sends) != TG_OK) {
        free(loop);
        return TG_ENOMEM;
    }
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0 || !init_uv(loop)) {
        if (loop->epoll >= 0) {
            close(loop->epoll);
        }
        tg_sends_free(loop->sends);
        free(loop);
        return TG_EIO;
    }
    loop->passes = 1;
    read_clock(loop);
    tg_wheel_init(&loop->wheel, loop->now_ms);
    tg_list_init(&loop->tasks);
    tg_list_init(&loop->after_events);
    tg_list_init(&loop->dead);
    *out = loop;
    return TG_OK;
}

void tg_loop_free(struct tg_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    uv_close((uv_handle_t *)&loop->stop, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int left = uv_loop_close(&loop->uv);
    assert(left == 0);
    (void)left;
    free_dead(loop);
    tg_sends_free(loop->sends);
    close(loop->epoll);
    free(loop);
}

void tg_loop_run(struct tg_loop *loop)
{
    do {
        (void)pass(loop);
    } while (!loop->stopped);
    loop->stopped = false;
}

void tg_loop_run_once(struct tg_loop *loop)
{
    while (!pass(loop)) {
    }
    loop->stopped = false;
}

void tg_loop_stop(struct tg_loop *loop)
{
    uv_async_send(&loop->stop);
}

void *tg_loop_native(struct tg_loop *loop)
{
    loop->uv_asked = true;
    return &loop->uv;
}

struct tg_sends *tg_loop_sends(struct tg_loop *loop)
{
    return loop->sends;
}

uint64_t tg_loop_now_ms(const struct tg_loop *loop)
{
    return loop->now_ms;
}

uint64_t tg_loop_pass(const struct tg_loop *loop)
{
    return loop->passes;
}

size_t tg_loop_events_left(const struct tg_loop *loop)
{
    return loop->dispatching ? loop->events_left : 0;
}

uint64_t tg_loop_now_ns(void)
{
    return uv_hrtime();
}

uint64_t tg_loop_boot_ms(void)
{
    struct timespec since = {0};
    clock_gettime(CLOCK_BOOTTIME, &since);
    return (uint64_t)since.tv_sec * 1000 + (uint64_t)since.tv_nsec / 1000000;
}

static TG_APART void read_wall(struct tg_loop *loop)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    loop->wall_at_ms = loop->now_ms;
    loop->wall_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
}

int64_t tg_loop_wall_ms(const struct tg_loop *loop)
{
    /* A cache behind a reading call: every loop is tg_loop_new's, so none is really const. */
    struct tg_loop *self = (struct tg_loop *)loop;
    if (self->wall_at_ms != loop->now_ms) {
        read_wall(self);
    }
    return self->wall_ms;
}

void tg_timer_start(struct tg_loop *loop, struct tg_timer *timer, uint64_t delay_ms)
{
    tg_timer_stop(timer);
    tg_wheel_add(&loop->wheel, timer, delay_ms < TG_WHEEL_END ? loop->now_ms + delay_ms : TG_WHEEL_END);
}

void tg_task_init(struct tg_task *task, void (*run)(struct tg_task *task))
{
    tg_list_init(&task->node);
    task->run = run;
}

void tg_task_defer(struct tg_loop *loop, struct tg_task *task)
{
    if (tg_list_empty(&task->node)) {
        tg_list_append(&loop->tasks, &task->node);
    }
}

void tg_task_defer_to_events(struct tg_loop *loop, struct tg_task *task)
{
    assert(loop->dispatching);
    if (tg_list_empty(&task->node)) {
        tg_list_append(&loop->after_events, &task->node);
    }
}

void tg_task_cancel(struct tg_task *task)
{
    tg_list_remove(&task->node);
}

/* Watched for what can be read from the start, which is what most owners want first. */
enum tg_err tg_poll_new(struct tg_loop *loop, int fd, tg_poll_fn *ready, void *arg, struct tg_poll **out)
{
    struct tg_poll *poll = calloc(1, sizeof(*poll));
    if (poll == NULL) {
        return TG_ENOMEM;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = poll};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(poll);
        return errno == ENOMEM || errno == ENOSPC ? TG_ENOMEM : errno == EEXIST ? TG_EEXIST : TG_EIO;
    }
    tg_list_init(&poll->node);
    poll->loop = loop;
    poll->fd = fd;
    poll->watched = EPOLLIN;
    poll->ready = ready;
    poll->arg = arg;
    *out = poll;
    return TG_OK;
}

void tg_poll_want(struct tg_poll *poll, bool read, bool write)
{
    poll->wanted = (uint8_t)((read ? EPOLLIN : 0u) | (write ? EPOLLOUT : 0u));
    /* What nobody wants to read is left watched until it comes; what can be written is there soon. */
    if ((poll->wanted & ~poll->watched) != 0 || (poll->watched & ~poll->wanted & EPOLLOUT) != 0) {
        watch(poll, poll->wanted);
    }
}

void tg_poll_expect(struct tg_poll *poll, const void *object)
{
    poll->expected = object;
}

static void retire(struct tg_poll *poll)
{
    if (poll->loop->dispatching) {
        poll->dead = true;
        tg_list_append(&poll->loop->dead, &poll->node);
    } else {
        free(poll);
    }
}

void tg_poll_free(struct tg_poll *poll)
{
    if (poll != NULL) {
        (void)epoll_ctl(poll->loop->epoll, EPOLL_CTL_DEL, poll->fd, NULL);
        retire(poll);
    }
}

void tg_poll_close(struct tg_poll *poll)
{
    (void)close(poll->fd);
    retire(poll);
}

struct tg_signal {
    uv_signal_t uv;
    void (*caught)(void *arg, int number);
    void *arg;
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct tg_signal *watch = handle->data;
    watch->caught(watch->arg, number);
}

static void signal_closed(uv_handle_t *handle)
{
    free(handle->data);
}

enum tg_err tg_signal_new(struct tg_loop *loop, int number, void (*caught)(void *arg, int number), void *arg,
                          struct tg_signal **out)
{
    struct tg_signal *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        return TG_ENOMEM;
    }
    if (uv_signal_init(tg_loop_native(loop), &watch->uv) != 0) {
        free(watch);
        return TG_EIO;
    }
    watch->uv.data = watch;
    watch->caught = caught;
    watch->arg = arg;
    if (uv_signal_start(&watch->uv, on_signal, number) != 0) {
        tg_signal_free(watch);
        return TG_EINVAL;
    }
    *out = watch;
    return TG_OK;
}

void tg_signal_free(struct tg_signal *watch)
{
    if (watch != NULL) {
        uv_close((uv_handle_t *)&watch->uv, signal_closed);
    }
}
