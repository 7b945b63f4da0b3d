#include "server/io/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "server/io/timer.h"

/* One pass: libuv polls and calls the I/O callbacks, then `check` fires the timers that are due and runs the
 * tasks. The idle handle is active while something waits that must not wait for an event, which keeps the
 * poll from blocking. The libuv timer does no more than bound the poll: timers are never fired from its
 * callback, since libuv before 1.45 would fire a timer that restarts itself with no delay over and over in
 * one pass. */
struct tg_loop {
    uv_loop_t uv;
    uv_async_t stop;
    uv_check_t check;
    uv_idle_t idle;
    uv_timer_t alarm;
    uint64_t alarm_ms; /* when the alarm goes off; UINT64_MAX: it is not set */
    struct tg_wheel wheel;
    struct tg_list tasks;
    uint64_t wall_at_ms; /* tg_loop_now_ms of the reading below */
    int64_t wall_ms;
};

static void on_idle(uv_idle_t *handle)
{
    (void)handle;
}

static void do_not_block(struct tg_loop *loop)
{
    uv_idle_start(&loop->idle, on_idle);
}

static void on_stop(uv_async_t *handle)
{
    uv_stop(handle->loop);
}

static void on_alarm(uv_timer_t *handle)
{
    struct tg_loop *loop = handle->data;
    loop->alarm_ms = UINT64_MAX;
    do_not_block(loop);
}

/* Makes the loop wake at `when` if it would not do so earlier. */
static void wake_at(struct tg_loop *loop, uint64_t when)
{
    uint64_t now = uv_now(&loop->uv);
    if (when <= now) {
        do_not_block(loop);
    } else if (when < loop->alarm_ms) {
        loop->alarm_ms = when;
        uv_timer_start(&loop->alarm, on_alarm, when - now, 0);
    }
}

static void fire_timers(struct tg_loop *loop)
{
    struct tg_list expired;
    struct tg_list *node;
    tg_list_init(&expired);
    tg_wheel_advance(&loop->wheel, uv_now(&loop->uv), &expired);
    while ((node = tg_list_pop(&expired)) != NULL) {
        struct tg_timer *timer = TG_CONTAINER(node, struct tg_timer, node);
        timer->due_ms = 0;
        timer->fire(timer);
    }
}

static void run_tasks(struct tg_loop *loop)
{
    struct tg_list round;
    struct tg_list *node;
    if (tg_list_empty(&loop->tasks)) {
        return;
    }
    /* The round takes the list's place, so that what its tasks defer waits for the next one. */
    tg_list_append(&loop->tasks, &round);
    tg_list_remove(&loop->tasks);
    while ((node = tg_list_pop(&round)) != NULL) {
        struct tg_task *task = TG_CONTAINER(node, struct tg_task, node);
        task->run(task);
    }
}

static void on_check(uv_check_t *handle)
{
    struct tg_loop *loop = handle->data;
    fire_timers(loop);
    run_tasks(loop);
    uv_idle_stop(&loop->idle);
    if (!tg_list_empty(&loop->tasks)) {
        do_not_block(loop);
    }
    /* Set the alarm anew only when it has gone off; an early one costs a pass, a late one does not exist. */
    if (loop->alarm_ms <= uv_now(&loop->uv)) {
        loop->alarm_ms = UINT64_MAX;
        uv_timer_stop(&loop->alarm);
    }
    uint64_t next = tg_wheel_next(&loop->wheel);
    if (next != UINT64_MAX) {
        wake_at(loop, next);
    } else if (loop->alarm_ms != UINT64_MAX) {
        loop->alarm_ms = UINT64_MAX;
        uv_timer_stop(&loop->alarm);
    }
}

enum tg_err tg_loop_new(struct tg_loop **out)
{
    struct tg_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return TG_ENOMEM;
    }
    if (uv_loop_init(&loop->uv) != 0) {
        free(loop);
        return TG_EIO;
    }
    if (uv_async_init(&loop->uv, &loop->stop, on_stop) != 0) {
        uv_loop_close(&loop->uv);
        free(loop);
        return TG_EIO;
    }
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->alarm);
    loop->check.data = loop;
    loop->alarm.data = loop;
    loop->alarm_ms = UINT64_MAX;
    tg_wheel_init(&loop->wheel, uv_now(&loop->uv));
    tg_list_init(&loop->tasks);
    uv_check_start(&loop->check, on_check);
    *out = loop;
    return TG_OK;
}

void tg_loop_free(struct tg_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    uv_close((uv_handle_t *)&loop->stop, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int left = uv_loop_close(&loop->uv);
    assert(left == 0);
    (void)left;
    free(loop);
}

void tg_loop_run(struct tg_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void tg_loop_run_once(struct tg_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_ONCE);
}

void tg_loop_stop(struct tg_loop *loop)
{
    uv_async_send(&loop->stop);
}

void *tg_loop_native(struct tg_loop *loop)
{
    return &loop->uv;
}

uint64_t tg_loop_now_ms(const struct tg_loop *loop)
{
    return uv_now(&loop->uv);
}

uint64_t tg_loop_now_ns(void)
{
    return uv_hrtime();
}

int64_t tg_loop_wall_ms(const struct tg_loop *loop)
{
    /* A cache behind a reading call: every loop is tg_loop_new's, so none is really const. */
    struct tg_loop *self = (struct tg_loop *)loop;
    uint64_t now = uv_now(&loop->uv);
    if (self->wall_at_ms != now) {
        struct timespec wall;
        clock_gettime(CLOCK_REALTIME, &wall);
        self->wall_at_ms = now;
        self->wall_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
    }
    return self->wall_ms;
}

void tg_timer_start(struct tg_loop *loop, struct tg_timer *timer, uint64_t delay_ms)
{
    uint64_t now = uv_now(&loop->uv);
    tg_timer_stop(timer);
    tg_wheel_add(&loop->wheel, timer, delay_ms < TG_WHEEL_END ? now + delay_ms : TG_WHEEL_END);
    wake_at(loop, timer->due_ms);
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
        do_not_block(loop);
    }
}

void tg_task_cancel(struct tg_task *task)
{
    tg_list_remove(&task->node);
}

struct tg_poll {
    uv_poll_t uv;
    int events; /* UV_READABLE | UV_WRITABLE, as started */
    tg_poll_fn *ready;
    void *arg;
};

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct tg_poll *poll = handle->data;
    if (status < 0) {
        /* libuv has stopped watching; level-triggered readiness goes on until the owner stops asking. */
        uv_poll_start(&poll->uv, poll->events, on_poll);
        poll->ready(poll->arg, true, true);
        return;
    }
    poll->ready(poll->arg, (events & UV_READABLE) != 0, (events & UV_WRITABLE) != 0);
}

static void poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

enum tg_err tg_poll_new(struct tg_loop *loop, int fd, tg_poll_fn *ready, void *arg, struct tg_poll **out)
{
    struct tg_poll *poll = calloc(1, sizeof(*poll));
    if (poll == NULL) {
        return TG_ENOMEM;
    }
    int status = uv_poll_init(&loop->uv, &poll->uv, fd);
    if (status != 0) {
        free(poll);
        return status == UV_ENOMEM ? TG_ENOMEM : status == UV_EEXIST ? TG_EEXIST : TG_EIO;
    }
    poll->uv.data = poll;
    poll->ready = ready;
    poll->arg = arg;
    *out = poll;
    return TG_OK;
}

void tg_poll_want(struct tg_poll *poll, bool read, bool write)
{
    int events = (read ? UV_READABLE : 0) | (write ? UV_WRITABLE : 0);
    if (events == poll->events) {
        return;
    }
    poll->events = events;
    if (events == 0) {
        uv_poll_stop(&poll->uv);
    } else {
        uv_poll_start(&poll->uv, events, on_poll);
    }
}

void tg_poll_free(struct tg_poll *poll)
{
    if (poll != NULL) {
        uv_close((uv_handle_t *)&poll->uv, poll_closed);
    }
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
    if (uv_signal_init(&loop->uv, &watch->uv) != 0) {
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
