/* For tests of serving files: an exchange that takes what it is told to take, as a client that reads slowly.
 */
#ifndef TG_TESTS_STATIC_SERVE_WORLD_H
#define TG_TESTS_STATIC_SERVE_WORLD_H

#include "routes/static_serve.h"
#include "server/base/buf.h"
#include "tests/unit/tree.h"

enum { MIB = 1 << 20 };

struct scene {
    struct tree tree;
    char root[128];
    struct tg_static_settings settings;
    struct tg_static *files;
    struct tg_loop *loop;
    struct tg_work_pool *work;
    struct tg_arena arena; /* the exchange's */
    struct tg_arena own;   /* outlives it, for looking at the answer */
    /* the exchange */
    struct tg_exchange exchange;
    struct tg_task room;
    size_t capacity; /* bytes taken before the client is slow; 0: no limit */
    size_t since;    /* bytes taken since there was room */
    int slow, sends; /* how often */
    size_t largest;  /* send */
    enum tg_err start_result;
    bool started, ended, whole, replied;
    int status;
    int64_t length;
    struct tg_headers headers; /* copied to `own` */
    struct tg_buf body;
    bool keep; /* the bytes of the body, not their number alone */
    uint64_t taken;
    void (*on_send)(struct scene *scene);
    /* the answer */
    struct tg_static_serve *serve;
    bool in_start, done, fail_prepare;
    int prepared, done_status;
    uint64_t done_bytes;
    enum tg_err done_err;
};

static inline struct scene *scene_of(struct tg_exchange *exchange)
{
    return TG_CONTAINER(exchange, struct scene, exchange);
}

static inline void copy_headers(struct scene *scene, const struct tg_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct tg_slice name, value;
        assert_int_equal(tg_arena_copy(&scene->own, headers->items[i].name, &name), TG_OK);
        assert_int_equal(tg_arena_copy(&scene->own, headers->items[i].value, &value), TG_OK);
        assert_int_equal(tg_headers_add(&scene->headers, &scene->own, name, value), TG_OK);
    }
}

static inline void take(struct scene *scene, struct tg_slice bytes)
{
    scene->taken += bytes.len;
    if (scene->keep) {
        assert_int_equal(tg_buf_append(&scene->body, bytes), TG_OK);
    }
}

/* What the real one does as well: the request's memory dies with it. */
static inline void end_exchange(struct scene *scene)
{
    assert_false(scene->ended);
    assert_false(scene->in_start);
    scene->ended = true;
    tg_task_cancel(&scene->room);
    assert_null(scene->exchange.on_abort);
    assert_null(scene->exchange.on_room);
    memset(&scene->exchange, 0x5a, sizeof scene->exchange);
    tg_arena_reset(&scene->arena);
}

static inline void reply(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
                         struct tg_slice body)
{
    struct scene *scene = scene_of(exchange);
    assert_false(scene->started);
    scene->replied = true;
    scene->status = status;
    scene->length = (int64_t)body.len;
    copy_headers(scene, headers);
    take(scene, body);
    end_exchange(scene);
}

static inline enum tg_err start(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
                                int64_t length)
{
    struct scene *scene = scene_of(exchange);
    assert_false(scene->in_start);
    if (scene->start_result != TG_OK && scene->start_result != TG_ECLOSED) {
        return scene->start_result;
    }
    assert_false(scene->started);
    scene->started = true;
    scene->status = status;
    scene->length = length;
    copy_headers(scene, headers);
    return scene->start_result;
}

static inline void on_room_task(struct tg_task *task)
{
    struct scene *scene = TG_CONTAINER(task, struct scene, room);
    scene->since = 0;
    assert_non_null(scene->exchange.on_room);
    scene->exchange.on_room(scene->exchange.room_arg);
}

static inline enum tg_err send_some(struct tg_exchange *exchange, struct tg_slice bytes)
{
    struct scene *scene = scene_of(exchange);
    assert_true(scene->started && !scene->ended);
    assert_true(bytes.len > 0 && tg_list_empty(&scene->room.node)); /* nothing before there is room */
    assert_true(scene->taken + bytes.len <= (uint64_t)scene->length);
    take(scene, bytes);
    scene->sends++;
    scene->since += bytes.len;
    scene->largest = bytes.len > scene->largest ? bytes.len : scene->largest;
    if (scene->on_send != NULL) {
        scene->on_send(scene);
    }
    if (scene->capacity > 0 && scene->since >= scene->capacity) {
        scene->slow++;
        tg_task_defer(scene->loop, &scene->room);
        return TG_EAGAIN;
    }
    return TG_OK;
}

static inline void end(struct tg_exchange *exchange, bool whole)
{
    struct scene *scene = scene_of(exchange);
    assert_true(scene->started);
    scene->whole = whole;
    end_exchange(scene);
}

static const struct tg_exchange_ops ops = {.reply = reply, .start = start, .send = send_some, .end = end};

static inline int setup(void **state)
{
    const struct tg_work_options options = {.running_max = 2, .waiting_max = 4};
    struct scene *scene = calloc(1, sizeof *scene);
    if (scene == NULL || tg_loop_new(&scene->loop) != TG_OK ||
        tg_work_pool_new(scene->loop, &options, &scene->work) != TG_OK) {
        return -1;
    }
    tree_init(&scene->tree);
    tree_file(&scene->tree, "secret.txt", "secret");
    tree_dir(&scene->tree, "www");
    tree_file(&scene->tree, "www/index.html", "<html>");
    tree_file(&scene->tree, "www/empty.txt", "");
    tree_dir(&scene->tree, "www/docs");
    tree_file(&scene->tree, "www/docs/index.html", "docs");
    char *bytes = malloc(MIB + 1);
    TREE_CHECK(bytes != NULL);
    for (size_t i = 0; i < MIB + 1; i++) {
        bytes[i] = (char)(i % 251);
    }
    tree_bytes(&scene->tree, "www/big.bin", bytes, MIB + 1);
    tree_bytes(&scene->tree, "www/block.bin", bytes, TG_STATIC_BLOCK);
    free(bytes);
    (void)snprintf(scene->root, sizeof scene->root, "%s/www", scene->tree.path);
    scene->settings.root = tg_slice_cstr(scene->root);
    tg_arena_init(&scene->arena, NULL);
    tg_arena_init(&scene->own, NULL);
    tg_buf_init(&scene->body, SIZE_MAX);
    tg_task_init(&scene->room, on_room_task);
    scene->ended = true;
    scene->keep = true;
    *state = scene;
    return 0;
}

static inline int teardown(void **state)
{
    struct scene *scene = *state;
    tg_static_unref(scene->files);
    tg_work_pool_free(scene->work);
    tg_loop_free(scene->loop);
    tg_arena_reset(&scene->arena);
    tg_arena_reset(&scene->own);
    tg_buf_free(&scene->body);
    tree_free(&scene->tree);
    free(scene);
    return 0;
}

/* ---- asking ---- */

static inline enum tg_err prepare(void *arg, int status, struct tg_headers *headers)
{
    struct scene *scene = arg;
    assert_false(scene->started || scene->replied || scene->in_start);
    assert_true(status > 0);
    scene->prepared++;
    if (scene->fail_prepare) {
        return TG_ENOMEM;
    }
    return tg_headers_add(headers, &scene->arena, TG_LIT("X-Added"), TG_LIT("yes"));
}

static inline void done(void *arg, int status, uint64_t bytes, enum tg_err err)
{
    struct scene *scene = arg;
    assert_true(scene->ended && !scene->done && !scene->in_start);
    scene->done = true;
    scene->done_status = status;
    scene->done_bytes = bytes;
    scene->done_err = err;
}

static inline void begin(struct scene *scene, const char *method, const char *path)
{
    const char *why;
    if (scene->files == NULL) {
        assert_int_equal(tg_static_new(&scene->settings, &scene->files, &why), TG_OK);
    }
    assert_true(scene->ended);
    tg_buf_clear(&scene->body);
    scene->exchange = (struct tg_exchange){
        .ops = &ops, .arena = &scene->arena, .method = tg_slice_cstr(method), .path = tg_slice_cstr(path)};
    scene->headers = (struct tg_headers){0};
    scene->started = scene->ended = scene->whole = scene->replied = scene->done = false;
    scene->prepared = scene->slow = scene->sends = 0;
    scene->taken = scene->since = scene->largest = 0;
}

static inline void field(struct scene *scene, const char *name, const char *value)
{
    assert_int_equal(
        tg_headers_add(&scene->exchange.headers, &scene->arena, tg_slice_cstr(name), tg_slice_cstr(value)),
        TG_OK);
}

static inline enum tg_err serve(struct scene *scene)
{
    const struct tg_static_input input = {
        .files = scene->files,
        .loop = scene->loop,
        .work = scene->work,
        .exchange = &scene->exchange,
        .arena = &scene->arena,
        .below = scene->exchange.path,
        .random = 0x1234,
        .prepare = prepare,
        .done = done,
        .arg = scene,
    };
    scene->in_start = true;
    enum tg_err err = tg_static_serve(&input, &scene->serve);
    scene->in_start = false;
    return err;
}

static inline void wait_done(struct scene *scene)
{
    while (!scene->done) {
        tg_loop_run_once(scene->loop);
    }
    assert_true(scene->ended);
}

/* A request from beginning to end; the answer was sent whole. */
static inline void ask(struct scene *scene, const char *method, const char *path)
{
    begin(scene, method, path);
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->done_status, scene->status);
    assert_int_equal(scene->done_err, TG_OK);
    assert_int_equal(scene->prepared, 1);
}

static inline const char *header(struct scene *scene, const char *name)
{
    const struct tg_header *found = tg_headers_first(&scene->headers, tg_slice_cstr(name));
    return found != NULL ? found->value.ptr : "(none)";
}

static inline void check_body(struct scene *scene, const char *text)
{
    assert_int_equal(tg_buf_size(&scene->body), strlen(text));
    assert_memory_equal(tg_buf_slice(&scene->body).ptr, text, strlen(text));
}

static inline void check_bytes(struct scene *scene, size_t at, size_t from, size_t len)
{
    struct tg_slice bytes = tg_slice_head(tg_slice_from(tg_buf_slice(&scene->body), at), len);
    assert_int_equal(bytes.len, len);
    for (size_t i = 0; i < bytes.len; i++) {
        assert_int_equal((unsigned char)bytes.ptr[i], (from + i) % 251);
    }
}

#endif
