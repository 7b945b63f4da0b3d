#include "routes/static_serve.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "routes/static_private.h"

enum { RETRY_MS = 20 };

/* What a thread works with. Outlives the answer when that is cancelled: everything in it is its own. */
struct job {
    struct tg_static_serve *serve; /* the loop's thread's alone */
    struct tg_static *files;
    struct tg_static_found found; /* its descriptor is closed with the job at the latest */
    struct tg_static_wish wish;
    bool unread;       /* HEAD: nothing will be wanted but what is known when it is found */
    bool preload;      /* read a small file at once: it will be wanted whole */
    bool last;         /* close the file behind this read */
    char *block;       /* TG_STATIC_BLOCK bytes, or NULL */
    uint64_t offset;   /* to read from */
    size_t want, have; /* to read, and what was read */
    char name[];       /* of the wish */
};

struct tg_static_serve {
    struct tg_static_input input;
    struct tg_static_answer answer;
    struct job *job;
    struct tg_work *work; /* NULL: no thread has the job */
    struct tg_task task;  /* an answer that needs no file */
    struct tg_timer retry;
    int refusal; /* with the task */
    bool head;
    bool started; /* the head went out by start */
    bool slow;    /* no more before on_room */
    size_t part;  /* the one that goes out now */
    bool part_head_sent;
    uint64_t part_sent, sent;
};

/* ---- on a thread ---- */

static void close_file(struct job *job)
{
    if (job->found.file.fd >= 0) {
        (void)close(job->found.file.fd);
        job->found.file.fd = -1;
    }
}

static void run_read(void *arg)
{
    struct job *job = arg;
    job->have = 0;
    while (job->have < job->want) {
        ssize_t got = pread(job->found.file.fd, job->block + job->have, job->want - job->have,
                            (off_t)(job->offset + job->have));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        job->have += (size_t)got;
    }
    if (job->last) {
        close_file(job);
    }
}

static void run_find(void *arg)
{
    struct job *job = arg;
    tg_static_find(job->files, &job->wish, &job->found);
    uint64_t size = job->found.file.size;
    if (job->unread) {
        close_file(job);
    } else if (job->found.file.fd >= 0 && job->preload && size <= TG_STATIC_BLOCK) {
        job->block = malloc(TG_STATIC_BLOCK);
        job->want = job->block != NULL ? (size_t)size : 0;
        run_read(job);
        if (job->have == size) {
            close_file(job);
        }
    }
}

static void run_close(void *arg)
{
    close_file(arg);
}

static void job_free(void *arg)
{
    struct job *job = arg;
    if (job != NULL) {
        close_file(job);
        free(job->block);
        tg_static_unref(job->files);
        free(job);
    }
}

static const struct tg_work_ops close_ops = {.run = run_close, .done = job_free, .drop = job_free};

/* Closing the last descriptor of a file that was deleted may take the disk's time: a thread's. */
static void dispose(struct tg_work_pool *pool, struct job *job)
{
    struct tg_work *work;
    if (job != NULL && (job->found.file.fd < 0 || tg_work_start(pool, &close_ops, job, &work) != TG_OK)) {
        job_free(job);
    }
}

/* ---- the end ---- */

/* Lets go of everything but the exchange. */
static void let_go(struct tg_static_serve *serve)
{
    tg_task_cancel(&serve->task);
    tg_timer_stop(&serve->retry);
    serve->input.exchange->on_abort = NULL;
    serve->input.exchange->on_room = NULL;
    if (serve->work != NULL) {
        tg_work_cancel(serve->work);
        serve->work = NULL;
    } else {
        dispose(serve->input.work, serve->job);
    }
    serve->job = NULL;
}

/* The answer may lie in the exchange's arena: it is not looked at once that has ended. */
static void finish_stream(struct tg_static_serve *serve, enum tg_err err)
{
    struct tg_static_input input = serve->input;
    int status = serve->answer.status;
    uint64_t sent = serve->sent;
    let_go(serve);
    input.exchange->ops->end(input.exchange, err == TG_OK);
    input.done(input.arg, status, sent, err);
}

/* Of bytes whole: as reply takes them. HEAD's body is not sent. */
static void finish_reply(struct tg_static_serve *serve, int status, const struct tg_headers *headers,
                         struct tg_slice body)
{
    struct tg_static_input input = serve->input;
    uint64_t sent = serve->head ? 0 : body.len;
    struct job *job = serve->job; /* no thread has it; it may hold the body */
    serve->job = NULL;
    let_go(serve);
    input.exchange->ops->reply(input.exchange, status, headers, body);
    dispose(input.work, job);
    input.done(input.arg, status, sent, TG_OK);
}

static void finish_broken(struct tg_static_serve *serve)
{
    static const struct tg_headers none = {0};
    finish_reply(serve, 500, &none, TG_EMPTY);
}

/* ---- streaming ---- */

static void pump(struct tg_static_serve *serve);

/* False: the answer has ended. */
static bool send_bytes(struct tg_static_serve *serve, struct tg_slice bytes)
{
    struct tg_exchange *exchange = serve->input.exchange;
    enum tg_err err = exchange->ops->send(exchange, bytes);
    if (err != TG_OK && err != TG_EAGAIN) {
        finish_stream(serve, err);
        return false;
    }
    serve->slow = err == TG_EAGAIN;
    serve->sent += bytes.len;
    return true;
}

static void read_done(void *arg)
{
    struct job *job = arg;
    struct tg_static_serve *serve = job->serve;
    serve->work = NULL;
    if (job->have < job->want) { /* the file became shorter, or the disk failed */
        if (job->have == 0 || send_bytes(serve, tg_slice_make(job->block, job->have))) {
            finish_stream(serve, TG_EIO);
        }
        return;
    }
    serve->part_sent += job->have;
    if (send_bytes(serve, tg_slice_make(job->block, job->have))) {
        pump(serve);
    }
}

static const struct tg_work_ops read_ops = {.run = run_read, .done = read_done, .drop = job_free};

static void read_block(struct tg_static_serve *serve)
{
    struct job *job = serve->job;
    const struct tg_static_part *part = &serve->answer.parts[serve->part];
    uint64_t left = part->len - serve->part_sent;
    enum tg_err err = TG_OK;
    if (job->block == NULL) {
        job->block = malloc(TG_STATIC_BLOCK);
        err = job->block != NULL ? TG_OK : TG_ENOMEM;
    }
    job->want = left < TG_STATIC_BLOCK ? (size_t)left : TG_STATIC_BLOCK;
    job->offset = part->offset + serve->part_sent;
    job->last = left == job->want && serve->part + 1 == serve->answer.count;
    if (err == TG_OK) {
        err = tg_work_start(serve->input.work, &read_ops, job, &serve->work);
    }
    if (err == TG_EBUSY) {
        /* Begun answers wait rather than break. */
        tg_timer_start(serve->input.loop, &serve->retry, RETRY_MS);
    } else if (err != TG_OK) {
        finish_stream(serve, err);
    }
}

static void on_retry(struct tg_timer *timer)
{
    read_block(TG_CONTAINER(timer, struct tg_static_serve, retry));
}

/* How long a client stays slow is its own to say. */
static void drop_block(struct tg_static_serve *serve)
{
    free(serve->job->block);
    serve->job->block = NULL;
}

/* Sends what there is until a block has to be read, the client is slow, or all has gone. */
static void pump(struct tg_static_serve *serve)
{
    struct tg_static_answer *answer = &serve->answer;
    while (serve->part < answer->count) {
        const struct tg_static_part *part = &answer->parts[serve->part];
        if (part->len == serve->part_sent && (serve->part_head_sent || part->head.len == 0)) {
            serve->part++;
            serve->part_sent = 0;
            serve->part_head_sent = false;
        } else if (serve->slow) {
            drop_block(serve);
            return;
        } else if (!serve->part_head_sent && part->head.len > 0) {
            serve->part_head_sent = true;
            if (!send_bytes(serve, part->head)) {
                return;
            }
        } else {
            read_block(serve);
            return;
        }
    }
    if (answer->tail.len > 0 && serve->slow) {
        drop_block(serve);
        return;
    }
    /* The end waits for no room: the exchange writes what it has taken. */
    if (answer->tail.len == 0 || send_bytes(serve, answer->tail)) {
        finish_stream(serve, TG_OK);
    }
}

static void on_room(void *arg)
{
    struct tg_static_serve *serve = arg;
    serve->slow = false;
    if (serve->work == NULL && !tg_timer_armed(&serve->retry)) {
        pump(serve);
    }
}

/* ---- the head ---- */

static enum tg_err prepare(struct tg_static_serve *serve)
{
    const struct tg_static_input *input = &serve->input;
    return input->prepare != NULL ? input->prepare(input->arg, serve->answer.status, &serve->answer.headers)
                                  : TG_OK;
}

/* Of an answer whose body follows, or that would have one but for HEAD. */
static void start(struct tg_static_serve *serve)
{
    struct tg_static_answer *answer = &serve->answer;
    struct tg_exchange *exchange = serve->input.exchange;
    enum tg_err err = TG_OK;
    if (serve->head) {
        struct tg_slice length;
        err = tg_arena_printf(exchange->arena, &length, "%llu", (unsigned long long)answer->length);
        if (err == TG_OK) {
            err = tg_headers_add(&answer->headers, exchange->arena, TG_LIT("Content-Length"), length);
        }
    }
    if (err == TG_OK) {
        err = exchange->ops->start(exchange, answer->status, &answer->headers, (int64_t)answer->length);
    }
    if (err == TG_ECLOSED) {
        serve->started = true;
        finish_stream(serve, TG_ECLOSED);
    } else if (err != TG_OK) {
        finish_broken(serve);
    } else {
        serve->started = true;
        if (serve->head) {
            finish_stream(serve, TG_OK);
        } else {
            pump(serve);
        }
    }
}

/* Sends serve->answer. */
static void answer(struct tg_static_serve *serve)
{
    const struct tg_static_answer *answer = &serve->answer;
    const struct job *job = serve->job;
    if (prepare(serve) != TG_OK) {
        finish_broken(serve);
    } else if (answer->count == 0) {
        finish_reply(serve, answer->status, &answer->headers, answer->body);
    } else if (answer->length == 0) {
        finish_reply(serve, answer->status, &answer->headers, TG_EMPTY);
    } else if (job->have == answer->length && !serve->head) { /* preloaded */
        finish_reply(serve, answer->status, &answer->headers, tg_slice_make(job->block, job->have));
    } else {
        start(serve);
    }
}

static void refuse(struct tg_static_serve *serve, int status)
{
    if (tg_static_refusal(status, serve->input.exchange->arena, &serve->answer) != TG_OK) {
        finish_broken(serve);
    } else {
        answer(serve);
    }
}

static void on_task(struct tg_task *task)
{
    struct tg_static_serve *serve = TG_CONTAINER(task, struct tg_static_serve, task);
    refuse(serve, serve->refusal);
}

static void find_done(void *arg)
{
    struct job *job = arg;
    struct tg_static_serve *serve = job->serve;
    struct tg_exchange *exchange = serve->input.exchange;
    const struct tg_static_question question = {
        .headers = &exchange->headers,
        .path = exchange->path,
        .query = exchange->query,
        .head = serve->head,
        .now_ms = tg_loop_wall_ms(serve->input.loop),
        .random = serve->input.random,
    };
    serve->work = NULL;
    if (tg_static_answer(job->files, &question, &job->found, exchange->arena, &serve->answer) != TG_OK) {
        finish_broken(serve);
    } else {
        answer(serve);
    }
}

/* ---- the beginning ---- */

static const struct tg_work_ops find_ops = {.run = run_find, .done = find_done, .drop = job_free};

/* Any of these may make less of the file wanted than the whole. */
static bool is_plain(const struct tg_headers *headers)
{
    static const struct tg_slice names[] = {
        TG_LIT_INIT("Range"),
        TG_LIT_INIT("If-Match"),
        TG_LIT_INIT("If-None-Match"),
        TG_LIT_INIT("If-Modified-Since"),
        TG_LIT_INIT("If-Unmodified-Since"),
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (tg_headers_first(headers, names[i]) != NULL) {
            return false;
        }
    }
    return true;
}

/* A job for the name that the path stands for; *refusal is set in its place where there is none. */
static enum tg_err make_job(struct tg_static_serve *serve, struct job **out, int *refusal)
{
    const struct tg_static_input *input = &serve->input;
    const struct tg_exchange *exchange = input->exchange;
    struct tg_slice name = TG_EMPTY;
    bool slash = false;
    enum tg_err err = tg_static_map(input->files, input->below, input->arena, &name, &slash);
    if (err == TG_ENOMEM) {
        return err;
    }
    if (err == TG_ESYNTAX || (err != TG_OK && input->files->fallback.len == 0)) {
        *refusal = err == TG_ESYNTAX ? 400 : 404;
        return TG_OK;
    }
    struct job *job = calloc(1, sizeof *job + name.len);
    if (job == NULL) {
        return TG_ENOMEM;
    }
    if (name.len > 0) {
        memcpy(job->name, name.ptr, name.len);
    }
    job->serve = serve;
    job->files = tg_static_ref(input->files);
    job->found.file.fd = -1;
    job->wish.name = tg_slice_make(job->name, name.len);
    /* Below is empty at the route itself: whether that is a directory's address, the request's path tells. */
    job->wish.slash = slash || (input->below.len == 0 && tg_slice_ends(exchange->path, TG_LIT("/")));
    job->wish.missing = err != TG_OK;
    job->wish.coding_count =
        input->files->precompressed ? tg_static_codings(&exchange->headers, job->wish.codings) : 0;
    job->unread = serve->head;
    job->preload = is_plain(&exchange->headers);
    *out = job;
    return TG_OK;
}

/* The client went away. */
static void on_abort(void *arg)
{
    static const struct tg_headers none = {0};
    struct tg_static_serve *serve = arg;
    if (serve->started) {
        finish_stream(serve, TG_ECLOSED);
        return;
    }
    struct tg_static_input input = serve->input;
    let_go(serve);
    input.exchange->ops->reply(input.exchange, 500, &none, TG_EMPTY); /* to nobody */
    input.done(input.arg, 0, 0, TG_ECLOSED);
}

enum tg_err tg_static_serve(const struct tg_static_input *input, struct tg_static_serve **out)
{
    struct tg_exchange *exchange = input->exchange;
    struct tg_static_serve *serve = tg_arena_zalloc(input->arena, sizeof *serve);
    int refusal = 0;
    if (serve == NULL) {
        return TG_ENOMEM;
    }
    serve->input = *input;
    serve->head = tg_slice_eq(exchange->method, TG_LIT("HEAD"));
    tg_task_init(&serve->task, on_task);
    tg_timer_init(&serve->retry, on_retry);
    if (!serve->head && !tg_slice_eq(exchange->method, TG_LIT("GET"))) {
        refusal = 405;
    } else {
        enum tg_err err = make_job(serve, &serve->job, &refusal);
        if (err == TG_OK && refusal == 0) {
            err = tg_work_start(input->work, &find_ops, serve->job, &serve->work);
            refusal = err == TG_EBUSY ? 503 : 0;
        }
        if (err != TG_OK && err != TG_EBUSY) {
            job_free(serve->job);
            return err;
        }
    }
    if (refusal != 0) {
        serve->refusal = refusal;
        tg_task_defer(input->loop, &serve->task);
    }
    exchange->on_abort = on_abort;
    exchange->abort_arg = serve;
    exchange->on_room = on_room;
    exchange->room_arg = serve;
    *out = serve;
    return TG_OK;
}

bool tg_static_serve_cancel(struct tg_static_serve *serve)
{
    struct tg_exchange *exchange = serve->input.exchange;
    bool started = serve->started;
    let_go(serve);
    if (started) {
        exchange->ops->end(exchange, false);
    }
    return started;
}
