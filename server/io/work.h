/* Jobs that may block (files), on libuv's threads, on behalf of one loop. A pool hands a few jobs to the
 * threads at a time, the others wait in their turn, and past a limit it refuses: a disk that hangs holds no
 * more than `running_max` of the process's threads (which also look up names) and `waiting_max` jobs of
 * memory. One a worker; used on the loop's thread alone.
 *
 * Who owns a job's argument: the pool, from tg_work_start until it calls `done` or `drop`, exactly one of
 * them, exactly once, on the loop's thread. In between `run` has the argument to itself on another thread:
 * the starter reads and writes nothing of it. */
#ifndef TG_IO_WORK_H
#define TG_IO_WORK_H

#include "server/io/loop.h"

struct tg_work_pool;
struct tg_work; /* a job under way */

struct tg_work_options {
    size_t running_max; /* with the threads at once; at least 1 */
    size_t waiting_max; /* beyond those */
};

struct tg_work_ops {
    /* On another thread; may block. Uses the argument and what it holds references to, nothing of a loop. */
    void (*run)(void *arg);
    /* After run, never from inside the start: the argument is the starter's again. */
    void (*done)(void *arg);
    /* In place of done, when the job was cancelled: nobody touches the argument any more, free it. Called
     * from inside tg_work_cancel and tg_work_pool_free when the job has not begun; otherwise when its run has
     * ended, at the latest from tg_loop_free. Touches nothing but the argument. */
    void (*drop)(void *arg);
};

struct tg_work_stats {
    size_t running, waiting;              /* now; a cancelled job runs until its thread has ended */
    uint64_t started, cancelled, refused; /* ever */
};

enum tg_err tg_work_pool_new(struct tg_loop *loop, const struct tg_work_options *options,
                             struct tg_work_pool **out) TG_MUST_CHECK;
/* Cancels what is left. Jobs that run end unheard; tg_loop_free waits for them. NULL is allowed. */
void tg_work_pool_free(struct tg_work_pool *pool);
/* ops is borrowed for good: a constant. *work is good until done is called or the job cancelled. TG_EBUSY:
 * the pool is full; TG_ENOMEM. After a failure the argument is still the caller's. */
enum tg_err tg_work_start(struct tg_work_pool *pool, const struct tg_work_ops *ops, void *arg,
                          struct tg_work **work) TG_MUST_CHECK;
/* done will not be called; the argument is the pool's, to drop. NULL is allowed. */
void tg_work_cancel(struct tg_work *work);
struct tg_work_stats tg_work_pool_stats(const struct tg_work_pool *pool);

#endif
