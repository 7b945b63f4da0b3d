#include "server/io/work.h"

#include <stdlib.h>
#include <uv.h>

struct tg_work_pool {
    struct tg_loop *loop;
    struct tg_work_options options;
    struct tg_list waiting; /* struct tg_work, the oldest first */
    struct tg_list running; /* with libuv: queued there, running, or ended and not yet heard of */
    struct tg_work_stats stats;
    bool closed; /* the owner has let go; lives until the last running job has ended */
};

struct tg_work {
    uv_work_t uv;
    struct tg_list node;
    struct tg_work_pool *pool;
    const struct tg_work_ops *ops;
    void *arg;
    bool running; /* with libuv */
    bool cancelled;
};

static void start_waiting(struct tg_work_pool *pool);

/* On another thread. `cancelled` is the loop's: a job that libuv has begun runs to its end. */
static void on_run(uv_work_t *request)
{
    struct tg_work *work = request->data;
    work->ops->run(work->arg);
}

static void on_end(uv_work_t *request, int status)
{
    struct tg_work ended = *(struct tg_work *)request->data;
    struct tg_work_pool *pool = ended.pool;
    (void)status; /* UV_ECANCELED: cancelled by us before it ran */
    tg_list_remove(&((struct tg_work *)request->data)->node);
    free(request->data);
    pool->stats.running--;
    if (pool->closed) {
        if (pool->stats.running == 0) {
            free(pool);
        }
    } else {
        start_waiting(pool);
    }
    /* The pool may be gone from here on. */
    (ended.cancelled ? ended.ops->drop : ended.ops->done)(ended.arg);
}

static void start_waiting(struct tg_work_pool *pool)
{
    while (pool->stats.running < pool->options.running_max) {
        struct tg_list *node = tg_list_pop(&pool->waiting);
        if (node == NULL) {
            return;
        }
        struct tg_work *work = TG_CONTAINER(node, struct tg_work, node);
        pool->stats.waiting--;
        pool->stats.running++;
        work->running = true;
        tg_list_append(&pool->running, node);
        /* Fails without a function to run only. */
        (void)uv_queue_work(tg_loop_native(pool->loop), &work->uv, on_run, on_end);
    }
}

enum tg_err tg_work_pool_new(struct tg_loop *loop, const struct tg_work_options *options,
                             struct tg_work_pool **out)
{
    if (options->running_max == 0) {
        return TG_EINVAL;
    }
    struct tg_work_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return TG_ENOMEM;
    }
    pool->loop = loop;
    pool->options = *options;
    tg_list_init(&pool->waiting);
    tg_list_init(&pool->running);
    *out = pool;
    return TG_OK;
}

enum tg_err tg_work_start(struct tg_work_pool *pool, const struct tg_work_ops *ops, void *arg,
                          struct tg_work **work)
{
    if (pool->stats.running >= pool->options.running_max &&
        pool->stats.waiting >= pool->options.waiting_max) {
        pool->stats.refused++;
        return TG_EBUSY;
    }
    struct tg_work *job = calloc(1, sizeof *job);
    if (job == NULL) {
        return TG_ENOMEM;
    }
    job->uv.data = job;
    job->pool = pool;
    job->ops = ops;
    job->arg = arg;
    tg_list_append(&pool->waiting, &job->node);
    pool->stats.waiting++;
    pool->stats.started++;
    *work = job;
    start_waiting(pool);
    return TG_OK;
}

/* Of a job that has waited and is unlinked. */
static void drop_waiting(struct tg_work *work)
{
    struct tg_work dropped = *work;
    free(work);
    dropped.pool->stats.waiting--;
    dropped.ops->drop(dropped.arg);
}

void tg_work_cancel(struct tg_work *work)
{
    if (work == NULL) {
        return;
    }
    work->pool->stats.cancelled++;
    if (work->running) {
        work->cancelled = true;
        (void)uv_cancel((uv_req_t *)&work->uv); /* fails when it has begun */
    } else {
        tg_list_remove(&work->node);
        drop_waiting(work);
    }
}

void tg_work_pool_free(struct tg_work_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    struct tg_list *node;
    while ((node = tg_list_pop(&pool->waiting)) != NULL) {
        drop_waiting(TG_CONTAINER(node, struct tg_work, node));
    }
    for (node = pool->running.next; node != &pool->running; node = node->next) {
        struct tg_work *work = TG_CONTAINER(node, struct tg_work, node);
        work->cancelled = true;
        (void)uv_cancel((uv_req_t *)&work->uv);
    }
    if (pool->stats.running == 0) {
        free(pool);
    } else {
        pool->closed = true;
    }
}

struct tg_work_stats tg_work_pool_stats(const struct tg_work_pool *pool)
{
    return pool->stats;
}
