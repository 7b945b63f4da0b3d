/* An event loop (epoll and libuv behind an opaque type) with what a worker needs of it: clocks, a timer
 * wheel, descriptor watching, deferred calls, mail from other threads, signals. One loop belongs to one
 * thread; only tg_mailbox_post and tg_loop_stop may be called from others. Callbacks are never called from
 * inside the call that asked for them. */
#ifndef TG_IO_LOOP_H
#define TG_IO_LOOP_H

#include "server/base/list.h"
#include "server/base/slice.h"

struct tg_loop;

enum tg_err tg_loop_new(struct tg_loop **out) TG_MUST_CHECK;
/* Every poll, mailbox and signal of it must have been freed; runs what their closing still needs. */
void tg_loop_free(struct tg_loop *loop);
/* Until tg_loop_stop. */
void tg_loop_run(struct tg_loop *loop);
/* One pass that waits at most until the next event, for tests and for shutting down. */
void tg_loop_run_once(struct tg_loop *loop);
/* From any thread. */
void tg_loop_stop(struct tg_loop *loop);
/* The uv_loop_t, for what asks something of libuv at once: the loop lets it run before it next waits. */
void *tg_loop_native(struct tg_loop *loop);

/* Writes that wait for the end of the events at hand, or of the pass (sends.h). */
struct tg_sends;
struct tg_sends *tg_loop_sends(struct tg_loop *loop);

/* Monotonic milliseconds, as of the beginning of this pass. */
uint64_t tg_loop_now_ms(const struct tg_loop *loop);
/* The number of this pass, never 0: for what is done once in each. */
uint64_t tg_loop_pass(const struct tg_loop *loop);
/* Events of this pass that are told after the one that is being told; 0 outside of events. */
size_t tg_loop_events_left(const struct tg_loop *loop);
/* Monotonic nanoseconds, read now: for latencies. */
uint64_t tg_loop_now_ns(void);
/* Milliseconds since the machine started, with those that it was suspended for; read now. */
uint64_t tg_loop_boot_ms(void);
/* Wall clock, ms since 1970, as of this pass. */
int64_t tg_loop_wall_ms(const struct tg_loop *loop);

/* Timers: one-shot, resolution 1 ms, O(1) to start and stop (a hierarchical wheel).
 * Embedded in their owner, who stops them before it dies. */
struct tg_timer {
    struct tg_list node;
    uint64_t due_ms; /* monotonic; 0 when not armed */
    void (*fire)(struct tg_timer *timer);
};
void tg_timer_init(struct tg_timer *timer, void (*fire)(struct tg_timer *timer));
/* (Re)starts it; 0 fires in the next pass. */
void tg_timer_start(struct tg_loop *loop, struct tg_timer *timer, uint64_t delay_ms);
void tg_timer_stop(struct tg_timer *timer);
static inline bool tg_timer_armed(const struct tg_timer *timer)
{
    return timer->due_ms != 0;
}

/* Calls made later in the same pass of the loop, after the events at hand; from a task, in the next round at
 * once. */
struct tg_task {
    struct tg_list node;
    void (*run)(struct tg_task *task);
};
void tg_task_init(struct tg_task *task, void (*run)(struct tg_task *task));
/* Idempotent while it waits. */
void tg_task_defer(struct tg_loop *loop, struct tg_task *task);
/* The same right after the events at hand, before mail, timers and other tasks: for what is done for all of
 * them together. Only while an event is told. */
void tg_task_defer_to_events(struct tg_loop *loop, struct tg_task *task);
void tg_task_cancel(struct tg_task *task);

/* Watches a descriptor that the caller owns and has made non-blocking. */
struct tg_poll;
typedef void tg_poll_fn(void *arg, bool readable, bool writable); /* an error shows as both */
enum tg_err tg_poll_new(struct tg_loop *loop, int fd, tg_poll_fn *ready, void *arg,
                        struct tg_poll **out) TG_MUST_CHECK;
/* Costs nothing when nothing changes. Starts with neither. */
void tg_poll_want(struct tg_poll *poll, bool read, bool write);
/* What the callback looks at, beside its arg: fetched into the processor's cache before, never read. */
void tg_poll_expect(struct tg_poll *poll, const void *object);
/* No callback follows; the descriptor may be closed or handed on at once. NULL is allowed. */
void tg_poll_free(struct tg_poll *poll);
/* The same, and closes the descriptor, which then needs not be taken out of the loop. It has no duplicate. */
void tg_poll_close(struct tg_poll *poll);

/* Mail from any thread to the loop's own. Mails are the sender's allocation, delivered in order (per sender)
 * and owned by the receiver from then on. */
struct tg_mail {
    struct tg_list node;
};
struct tg_mailbox;
/* deliver is called on the loop's thread, once a mail. limit: most mails waiting. */
enum tg_err tg_mailbox_new(struct tg_loop *loop, size_t limit,
                           void (*deliver)(void *arg, struct tg_mail *mail), void *arg,
                           struct tg_mailbox **out) TG_MUST_CHECK;
/* Any thread. TG_EBUSY when full, TG_ECLOSED after close: the mail stays the caller's. */
enum tg_err tg_mailbox_post(struct tg_mailbox *box, struct tg_mail *mail) TG_MUST_CHECK;
/* On the loop's thread: further posts fail, waiting mails are handed to `drop`. Memory goes with
 * tg_mailbox_free, which the owner calls when no other thread can post any more. */
void tg_mailbox_close(struct tg_mailbox *box, void (*drop)(void *arg, struct tg_mail *mail));
void tg_mailbox_free(struct tg_mailbox *box);

/* A signal delivered on this loop. */
struct tg_signal;
enum tg_err tg_signal_new(struct tg_loop *loop, int number, void (*caught)(void *arg, int number), void *arg,
                          struct tg_signal **out) TG_MUST_CHECK;
void tg_signal_free(struct tg_signal *watch);

#endif
