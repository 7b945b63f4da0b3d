#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "server/io/work.h"

enum { RUNNING_MAX = 2, WAITING_MAX = 3, THREADS = 4 /* of libuv, see main */ };

/* A gate at which jobs stop, as at a disk that hangs. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut;
    int inside; /* jobs that have begun */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void shut_gate(bool shut)
{
    pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void wait_inside(int count)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.inside < count) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
}

struct scene {
    struct tg_loop *loop;
    struct tg_work_pool *pool;
    int done, dropped, live;
    int order[16];
};

struct job {
    struct scene *scene;
    struct tg_work *work;
    pthread_t ran_on;
    int number;
    bool ran;
    void (*then)(struct job *job);
};

static void run(void *arg)
{
    struct job *job = arg;
    pthread_mutex_lock(&gate.lock);
    gate.inside++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.shut) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
    job->ran_on = pthread_self();
    job->ran = true;
}

static void done(void *arg)
{
    struct job *job = arg;
    assert_true(job->ran);
    assert_false(pthread_equal(job->ran_on, pthread_self()));
    job->scene->order[job->scene->done++ % 16] = job->number;
    job->scene->live--;
    if (job->then != NULL) {
        job->then(job);
    }
    free(job);
}

static void drop(void *arg)
{
    struct job *job = arg;
    job->scene->dropped++;
    job->scene->live--;
    free(job);
}

static const struct tg_work_ops ops = {.run = run, .done = done, .drop = drop};

static int setup(void **state)
{
    const struct tg_work_options options = {.running_max = RUNNING_MAX, .waiting_max = WAITING_MAX};
    struct scene *scene = calloc(1, sizeof *scene);
    if (scene == NULL || tg_loop_new(&scene->loop) != TG_OK ||
        tg_work_pool_new(scene->loop, &options, &scene->pool) != TG_OK) {
        return -1;
    }
    gate.inside = 0;
    shut_gate(false);
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    tg_work_pool_free(scene->pool);
    shut_gate(false);
    tg_loop_free(scene->loop);
    int live = scene->live;
    free(scene);
    return live; /* each was done or dropped */
}

static enum tg_err start(struct scene *scene, int number, struct job **out)
{
    struct job *job = calloc(1, sizeof *job);
    assert_non_null(job);
    job->scene = scene;
    job->number = number;
    int told = scene->done;
    enum tg_err err = tg_work_start(scene->pool, &ops, job, &job->work);
    assert_int_equal(scene->done, told);
    if (err != TG_OK) {
        free(job);
        return err;
    }
    scene->live++;
    if (out != NULL) {
        *out = job;
    }
    return TG_OK;
}

static struct job *start_one(struct scene *scene, int number)
{
    struct job *job = NULL;
    assert_int_equal(start(scene, number, &job), TG_OK);
    if (job == NULL) {
        abort();
    }
    return job;
}

static void wait_done(struct scene *scene, int count)
{
    while (scene->done < count) {
        tg_loop_run_once(scene->loop);
    }
    assert_int_equal(scene->done, count);
}

static void check_stats(struct scene *scene, size_t running, size_t waiting)
{
    struct tg_work_stats stats = tg_work_pool_stats(scene->pool);
    assert_int_equal(stats.running, running);
    assert_int_equal(stats.waiting, waiting);
}

static void jobs_run_elsewhere_and_are_told_here(void **state)
{
    struct scene *scene = *state;
    for (int i = 0; i < RUNNING_MAX + WAITING_MAX; i++) {
        assert_int_equal(start(scene, i, NULL), TG_OK);
    }
    wait_done(scene, RUNNING_MAX + WAITING_MAX);
    check_stats(scene, 0, 0);
    assert_int_equal(tg_work_pool_stats(scene->pool).started, RUNNING_MAX + WAITING_MAX);
}

static void a_disk_that_hangs_holds_a_few_alone(void **state)
{
    struct scene *scene = *state;
    shut_gate(true);
    for (int i = 0; i < RUNNING_MAX + WAITING_MAX; i++) {
        assert_int_equal(start(scene, i, NULL), TG_OK);
    }
    wait_inside(RUNNING_MAX);
    check_stats(scene, RUNNING_MAX, WAITING_MAX);
    assert_int_equal(start(scene, 99, NULL), TG_EBUSY);
    assert_int_equal(start(scene, 99, NULL), TG_EBUSY);
    assert_int_equal(tg_work_pool_stats(scene->pool).refused, 2);
    assert_int_equal(gate.inside, RUNNING_MAX);
    shut_gate(false);
    wait_done(scene, RUNNING_MAX + WAITING_MAX);
    assert_int_equal(start(scene, 5, NULL), TG_OK);
    wait_done(scene, RUNNING_MAX + WAITING_MAX + 1);
}

static void a_cancelled_job_that_runs_is_dropped_when_it_has_ended(void **state)
{
    struct scene *scene = *state;
    shut_gate(true);
    struct job *job = start_one(scene, 1);
    wait_inside(1);
    tg_work_cancel(job->work);
    assert_int_equal(scene->dropped, 0); /* the thread still has it */
    check_stats(scene, 1, 0);
    shut_gate(false);
    while (scene->dropped == 0) {
        tg_loop_run_once(scene->loop);
    }
    assert_int_equal(scene->done, 0);
    assert_int_equal(tg_work_pool_stats(scene->pool).cancelled, 1);
    check_stats(scene, 0, 0);
    tg_work_cancel(NULL);
}

static void a_cancelled_job_that_waits_is_dropped_at_once(void **state)
{
    struct scene *scene = *state;
    struct job *jobs[RUNNING_MAX + WAITING_MAX];
    shut_gate(true);
    for (int i = 0; i < RUNNING_MAX + WAITING_MAX; i++) {
        jobs[i] = start_one(scene, i);
    }
    tg_work_cancel(jobs[RUNNING_MAX + 1]->work);
    assert_int_equal(scene->dropped, 1);
    check_stats(scene, RUNNING_MAX, WAITING_MAX - 1);
    assert_int_equal(start(scene, 7, NULL), TG_OK); /* there is room again */
    shut_gate(false);
    wait_done(scene, RUNNING_MAX + WAITING_MAX);
    for (int i = 0; i < RUNNING_MAX + WAITING_MAX; i++) {
        assert_int_not_equal(scene->order[i], RUNNING_MAX + 1);
    }
    assert_int_equal(scene->dropped, 1);
}

/* With more jobs at once than there are threads, libuv has a queue of its own. */
static void a_cancelled_job_that_no_thread_has_taken_is_dropped_soon(void **state)
{
    const struct tg_work_options options = {.running_max = THREADS + 1, .waiting_max = 0};
    struct scene *scene = *state;
    struct job *last = NULL;
    tg_work_pool_free(scene->pool);
    assert_int_equal(tg_work_pool_new(scene->loop, &options, &scene->pool), TG_OK);
    shut_gate(true);
    for (int i = 0; i < THREADS + 1; i++) {
        last = start_one(scene, i);
    }
    wait_inside(THREADS);
    tg_work_cancel(last->work);
    while (scene->dropped == 0) {
        tg_loop_run_once(scene->loop);
    }
    assert_int_equal(gate.inside, THREADS);
    check_stats(scene, THREADS, 0);
    shut_gate(false);
    wait_done(scene, THREADS);
}

static void jobs_that_wait_run_in_their_order(void **state)
{
    const struct tg_work_options options = {.running_max = 1, .waiting_max = 8};
    struct scene *scene = *state;
    tg_work_pool_free(scene->pool);
    assert_int_equal(tg_work_pool_new(scene->loop, &options, &scene->pool), TG_OK);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(start(scene, i, NULL), TG_OK);
    }
    wait_done(scene, 9);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(scene->order[i], i);
    }
}

static void start_more(struct job *job)
{
    assert_int_equal(start(job->scene, job->number + 1, NULL), TG_OK);
}

static void free_pool(struct job *job)
{
    tg_work_pool_free(job->scene->pool);
    job->scene->pool = NULL;
}

static void done_may_start_and_free(void **state)
{
    struct scene *scene = *state;
    struct job *job = start_one(scene, 1);
    job->then = start_more;
    wait_done(scene, 2);
    job = start_one(scene, 3);
    job->then = free_pool;
    wait_done(scene, 3);
}

/* What teardown does beyond: the pool is freed while the disk hangs, the loop waits for the threads. */
static void freed_while_jobs_run_and_wait(void **state)
{
    struct scene *scene = *state;
    shut_gate(true);
    for (int i = 0; i < RUNNING_MAX + WAITING_MAX; i++) {
        assert_int_equal(start(scene, i, NULL), TG_OK);
    }
    wait_inside(RUNNING_MAX);
    tg_work_pool_free(scene->pool);
    scene->pool = NULL;
    assert_int_equal(scene->dropped, WAITING_MAX);
    assert_int_equal(scene->done, 0);
}

static void a_pool_that_may_run_nothing_is_none(void **state)
{
    struct scene *scene = *state;
    struct tg_work_pool *pool = NULL;
    assert_int_equal(tg_work_pool_new(scene->loop, &(struct tg_work_options){0}, &pool), TG_EINVAL);
    assert_null(pool);
    tg_work_pool_free(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(jobs_run_elsewhere_and_are_told_here),
        TEST(a_disk_that_hangs_holds_a_few_alone),
        TEST(a_cancelled_job_that_runs_is_dropped_when_it_has_ended),
        TEST(a_cancelled_job_that_waits_is_dropped_at_once),
        TEST(a_cancelled_job_that_no_thread_has_taken_is_dropped_soon),
        TEST(jobs_that_wait_run_in_their_order),
        TEST(done_may_start_and_free),
        TEST(freed_while_jobs_run_and_wait),
        TEST(a_pool_that_may_run_nothing_is_none),
    };
    if (setenv("UV_THREADPOOL_SIZE", "4", 1) != 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
