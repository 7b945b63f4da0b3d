/* Serving files onto an exchange that takes what it is told to take, as a client that reads slowly. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

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

static struct scene *scene_of(struct tg_exchange *exchange)
{
    return TG_CONTAINER(exchange, struct scene, exchange);
}

static void copy_headers(struct scene *scene, const struct tg_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct tg_slice name, value;
        assert_int_equal(tg_arena_copy(&scene->own, headers->items[i].name, &name), TG_OK);
        assert_int_equal(tg_arena_copy(&scene->own, headers->items[i].value, &value), TG_OK);
        assert_int_equal(tg_headers_add(&scene->headers, &scene->own, name, value), TG_OK);
    }
}

static void take(struct scene *scene, struct tg_slice bytes)
{
    scene->taken += bytes.len;
    if (scene->keep) {
        assert_int_equal(tg_buf_append(&scene->body, bytes), TG_OK);
    }
}

/* What the real one does as well: the request's memory dies with it. */
static void end_exchange(struct scene *scene)
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

static void reply(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
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

static enum tg_err start(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
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

static void on_room_task(struct tg_task *task)
{
    struct scene *scene = TG_CONTAINER(task, struct scene, room);
    scene->since = 0;
    assert_non_null(scene->exchange.on_room);
    scene->exchange.on_room(scene->exchange.room_arg);
}

static enum tg_err send_some(struct tg_exchange *exchange, struct tg_slice bytes)
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

static void end(struct tg_exchange *exchange, bool whole)
{
    struct scene *scene = scene_of(exchange);
    assert_true(scene->started);
    scene->whole = whole;
    end_exchange(scene);
}

static const struct tg_exchange_ops ops = {.reply = reply, .start = start, .send = send_some, .end = end};

static int setup(void **state)
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

static int teardown(void **state)
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

static enum tg_err prepare(void *arg, int status, struct tg_headers *headers)
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

static void done(void *arg, int status, uint64_t bytes, enum tg_err err)
{
    struct scene *scene = arg;
    assert_true(scene->ended && !scene->done && !scene->in_start);
    scene->done = true;
    scene->done_status = status;
    scene->done_bytes = bytes;
    scene->done_err = err;
}

static void begin(struct scene *scene, const char *method, const char *path)
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

static void field(struct scene *scene, const char *name, const char *value)
{
    assert_int_equal(
        tg_headers_add(&scene->exchange.headers, &scene->arena, tg_slice_cstr(name), tg_slice_cstr(value)),
        TG_OK);
}

static enum tg_err serve(struct scene *scene)
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

static void wait_done(struct scene *scene)
{
    while (!scene->done) {
        tg_loop_run_once(scene->loop);
    }
    assert_true(scene->ended);
}

/* A request from beginning to end; the answer was sent whole. */
static void ask(struct scene *scene, const char *method, const char *path)
{
    begin(scene, method, path);
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->done_status, scene->status);
    assert_int_equal(scene->done_err, TG_OK);
    assert_int_equal(scene->prepared, 1);
}

static const char *header(struct scene *scene, const char *name)
{
    const struct tg_header *found = tg_headers_first(&scene->headers, tg_slice_cstr(name));
    return found != NULL ? found->value.ptr : "(none)";
}

static void check_body(struct scene *scene, const char *text)
{
    assert_int_equal(tg_buf_size(&scene->body), strlen(text));
    assert_memory_equal(tg_buf_slice(&scene->body).ptr, text, strlen(text));
}

static void check_bytes(struct scene *scene, size_t at, size_t from, size_t len)
{
    struct tg_slice bytes = tg_slice_head(tg_slice_from(tg_buf_slice(&scene->body), at), len);
    assert_int_equal(bytes.len, len);
    for (size_t i = 0; i < bytes.len; i++) {
        assert_int_equal((unsigned char)bytes.ptr[i], (from + i) % 251);
    }
}

/* ---- tests ---- */

static void small_files_are_answered_in_one(void **state)
{
    struct scene *scene = *state;
    ask(scene, "GET", "/index.html");
    assert_true(scene->replied);
    assert_int_equal(scene->status, 200);
    check_body(scene, "<html>");
    assert_int_equal(scene->done_bytes, 6);
    assert_string_equal(header(scene, "Content-Type"), "text/html; charset=utf-8");
    assert_string_equal(header(scene, "X-Added"), "yes");
    assert_int_equal(tg_work_pool_stats(scene->work).started, 1); /* found and read in one go */
    ask(scene, "GET", "/");
    check_body(scene, "<html>");
    ask(scene, "GET", "/empty.txt");
    assert_true(scene->replied);
    assert_int_equal(scene->status, 200);
    assert_int_equal(scene->done_bytes, 0);
    ask(scene, "GET", "/block.bin");
    assert_true(scene->replied);
    check_bytes(scene, 0, 0, TG_STATIC_BLOCK);
}

static void refusals(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *method, *path;
        int status;
        const char *body;
    } cases[] = {
        {"GET", "/none", 404, "{\"message\":\"Not Found\"}"},
        {"GET", "/.env", 404, "{\"message\":\"Not Found\"}"},
        {"GET", "/../secret.txt", 400, "{\"message\":\"Bad Request\"}"},
        {"GET", "/%2e%2e/secret.txt", 400, "{\"message\":\"Bad Request\"}"},
        {"GET", "/docs", 301, ""},
        {"POST", "/index.html", 405, "{\"message\":\"Method Not Allowed\"}"},
        {"get", "/index.html", 405, "{\"message\":\"Method Not Allowed\"}"},
        {"DELETE", "/none", 405, "{\"message\":\"Method Not Allowed\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(scene, cases[i].method, cases[i].path);
        assert_true(scene->replied);
        assert_int_equal(scene->status, cases[i].status);
        check_body(scene, cases[i].body);
        assert_string_equal(header(scene, "X-Added"), "yes");
        assert_string_equal(header(scene, "Allow"), cases[i].status == 405 ? "GET, HEAD" : "(none)");
    }
}

static void large_files_go_out_in_blocks(void **state)
{
    struct scene *scene = *state;
    ask(scene, "GET", "/big.bin");
    assert_true(scene->started);
    assert_int_equal(scene->length, MIB + 1);
    assert_true(scene->whole);
    assert_int_equal(scene->done_bytes, MIB + 1);
    assert_int_equal(scene->sends, MIB / TG_STATIC_BLOCK + 1);
    assert_int_equal(scene->largest, TG_STATIC_BLOCK);
    check_bytes(scene, 0, 0, MIB + 1);
}

static void a_slow_client_is_waited_for(void **state)
{
    struct scene *scene = *state;
    scene->capacity = 1;
    ask(scene, "GET", "/big.bin");
    assert_int_equal(scene->slow, scene->sends); /* the last as well: nothing is waited for behind it */
    check_bytes(scene, 0, 0, MIB + 1);
    scene->capacity = 3 * TG_STATIC_BLOCK;
    ask(scene, "GET", "/big.bin");
    assert_int_equal(scene->slow, 5);
    check_bytes(scene, 0, 0, MIB + 1);
}

static void head_sends_nothing(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *path, *length;
    } cases[] = {{"/big.bin", "1048577"}, {"/index.html", "6"}};
    for (size_t i = 0; i < 2; i++) {
        ask(scene, "HEAD", cases[i].path);
        assert_int_equal(scene->status, 200);
        assert_int_equal(scene->sends, 0);
        assert_int_equal(scene->done_bytes, 0);
        assert_true(scene->whole);
        assert_string_equal(header(scene, "Content-Length"), cases[i].length);
    }
    ask(scene, "HEAD", "/none");
    assert_int_equal(scene->status, 404);
    assert_int_equal(scene->done_bytes, 0);
}

static void conditions_and_ranges_reach_the_wire(void **state)
{
    struct scene *scene = *state;
    char etag[64];
    tree_time(&scene->tree, "www/big.bin", 1700000000, 5);
    ask(scene, "HEAD", "/big.bin");
    (void)snprintf(etag, sizeof etag, "%s", header(scene, "ETag"));
    begin(scene, "GET", "/big.bin");
    field(scene, "If-None-Match", etag);
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->status, 304);
    assert_int_equal(scene->taken, 0);
    begin(scene, "GET", "/big.bin");
    field(scene, "Range", "bytes=1000-");
    field(scene, "If-Range", etag);
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->status, 206);
    assert_int_equal(scene->length, MIB + 1 - 1000);
    assert_string_equal(header(scene, "Content-Range"), "bytes 1000-1048576/1048577");
    check_bytes(scene, 0, 1000, MIB + 1 - 1000);
}

static void several_ranges_are_parts(void **state)
{
    struct scene *scene = *state;
    for (int slow = 0; slow < 2; slow++) {
        scene->capacity = slow == 0 ? 0 : 1;
        begin(scene, "GET", "/big.bin");
        field(scene, "Range", "bytes=500000-699999,0-9");
        assert_int_equal(serve(scene), TG_OK);
        wait_done(scene);
        assert_int_equal(scene->status, 206);
        assert_true(scene->whole);
        assert_int_equal(scene->taken, scene->length);
        struct tg_slice body = tg_buf_slice(&scene->body);
        size_t first = tg_slice_find_slice(body, TG_LIT("bytes 500000-699999/1048577\r\n\r\n")) + 31;
        check_bytes(scene, first, 500000, 200000);
        struct tg_slice rest = tg_slice_from(body, first + 200000);
        assert_true(tg_slice_starts(rest, TG_LIT("\r\n--tidegate-0000000000001234\r\n")));
        size_t second = tg_slice_find_slice(rest, TG_LIT("bytes 0-9/1048577\r\n\r\n")) + 21;
        check_bytes(scene, first + 200000 + second, 0, 10);
        assert_true(
            tg_slice_eq(tg_slice_from(rest, second + 10), TG_LIT("\r\n--tidegate-0000000000001234--\r\n")));
    }
}

/* Positions past 32 bits, of a file that takes no room. */
static void huge_files_have_ranges(void **state)
{
    struct scene *scene = *state;
    tree_resize(&scene->tree, "www/huge.bin", (off_t)1 << 40);
    begin(scene, "GET", "/huge.bin");
    field(scene, "Range", "bytes=1099511627770-");
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->status, 206);
    assert_string_equal(header(scene, "Content-Range"), "bytes 1099511627770-1099511627775/1099511627776");
    assert_int_equal(scene->taken, 6);
    ask(scene, "HEAD", "/huge.bin");
    assert_string_equal(header(scene, "Content-Length"), "1099511627776");
}

static void shrink(struct scene *scene)
{
    if (scene->sends == 2) {
        tree_resize(&scene->tree, "www/big.bin", 3 * TG_STATIC_BLOCK + 100);
    }
}

static void grow(struct scene *scene)
{
    if (scene->sends == 2) {
        tree_resize(&scene->tree, "www/big.bin", 2 * MIB);
    }
}

static void a_file_that_changes_is_not_misframed(void **state)
{
    struct scene *scene = *state;
    scene->on_send = grow;
    ask(scene, "GET", "/big.bin");
    assert_int_equal(scene->taken, MIB + 1);
    check_bytes(scene, 0, 0, MIB + 1);
    scene->on_send = shrink;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->length, 2 * MIB);
    assert_false(scene->whole);
    assert_int_equal(scene->done_err, TG_EIO);
    assert_int_equal(scene->done_status, 200);
    assert_int_equal(scene->taken, 3 * TG_STATIC_BLOCK + 100);
    assert_int_equal(scene->done_bytes, scene->taken);
}

static void go_away(struct scene *scene)
{
    void (*on_abort)(void *) = scene->exchange.on_abort;
    void *arg = scene->exchange.abort_arg;
    assert_non_null(on_abort);
    on_abort(arg);
}

static void a_client_that_goes_ends_it(void **state)
{
    struct scene *scene = *state;
    /* While the file is looked for. */
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    go_away(scene);
    assert_true(scene->done && scene->replied);
    assert_int_equal(scene->done_status, 0);
    assert_int_equal(scene->prepared, 0);
    /* Before a refusal went out. */
    begin(scene, "PUT", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    go_away(scene);
    assert_true(scene->done && scene->replied);
    /* While a block is read, or the client is slow. */
    for (int slow = 0; slow < 2; slow++) {
        scene->capacity = slow == 0 ? 0 : 1;
        begin(scene, "GET", "/big.bin");
        assert_int_equal(serve(scene), TG_OK);
        while (scene->sends < 3) {
            tg_loop_run_once(scene->loop);
        }
        assert_false(scene->done);
        go_away(scene);
        assert_true(scene->done && !scene->whole && scene->done_err == TG_ECLOSED);
        assert_int_equal(scene->done_status, 200);
        assert_int_equal(scene->done_bytes, scene->taken);
    }
    /* As the head goes out. */
    scene->start_result = TG_ECLOSED;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_int_equal(scene->done_err, TG_ECLOSED);
    assert_int_equal(scene->taken, 0);
}

static void cancelled(void **state)
{
    struct scene *scene = *state;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    assert_false(tg_static_serve_cancel(scene->serve));
    assert_false(scene->ended);
    /* The exchange is the caller's again. */
    scene->exchange.ops->reply(&scene->exchange, 504, &(struct tg_headers){0}, TG_EMPTY);
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    while (scene->sends < 2) {
        tg_loop_run_once(scene->loop);
    }
    assert_true(tg_static_serve_cancel(scene->serve));
    assert_true(scene->ended && !scene->whole);
    begin(scene, "PUT", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    assert_false(tg_static_serve_cancel(scene->serve));
    scene->exchange.ops->reply(&scene->exchange, 504, &(struct tg_headers){0}, TG_EMPTY);
    assert_false(scene->done);
    for (int i = 0; i < 3; i++) {
        ask(scene, "GET", "/index.html"); /* what was cancelled is not heard of meanwhile */
    }
}

static void heads_that_cannot_go_out(void **state)
{
    struct scene *scene = *state;
    scene->start_result = TG_EINVAL;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    wait_done(scene);
    assert_true(scene->replied);
    assert_int_equal(scene->done_status, 500);
    scene->start_result = TG_OK;
    scene->fail_prepare = true;
    static const char *const paths[] = {"/index.html", "/big.bin", "/none"};
    for (size_t i = 0; i < 3; i++) {
        begin(scene, "GET", paths[i]);
        assert_int_equal(serve(scene), TG_OK);
        wait_done(scene);
        assert_int_equal(scene->prepared, 1);
        assert_int_equal(scene->done_status, 500);
        assert_string_equal(header(scene, "ETag"), "(none)");
    }
}

/* ---- a pool that is full ---- */

static void run_wait(void *arg)
{
    const int *fds = arg;
    char byte;
    if (read(fds[0], &byte, 1) < 0) {
        abort();
    }
}

static void ignore(void *arg)
{
    (void)arg;
}

static const struct tg_work_ops wait_ops = {.run = run_wait, .done = ignore, .drop = ignore};

static void fill_pool(struct scene *scene, int fds[2], size_t count)
{
    struct tg_work *work;
    assert_int_equal(pipe(fds), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(tg_work_start(scene->work, &wait_ops, fds, &work), TG_OK);
    }
    assert_int_equal(tg_work_start(scene->work, &wait_ops, fds, &work), TG_EBUSY);
}

static void drain_pool(const int fds[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(write(fds[1], "x", 1), 1);
    }
}

static void a_full_pool_refuses_what_begins(void **state)
{
    struct scene *scene = *state;
    int fds[2];
    fill_pool(scene, fds, 6);
    ask(scene, "GET", "/index.html");
    assert_int_equal(scene->status, 503);
    check_body(scene, "{\"message\":\"Service Unavailable\"}");
    drain_pool(fds, 6);
    while (tg_work_pool_stats(scene->work).running > 0) {
        tg_loop_run_once(scene->loop);
    }
    ask(scene, "GET", "/index.html");
    assert_int_equal(scene->status, 200);
    close(fds[0]);
    close(fds[1]);
}

static int blocked_fds[2];

static void block_pool(struct scene *scene)
{
    if (scene->sends == 2) {
        fill_pool(scene, blocked_fds, 6);
    }
}

static void what_has_begun_waits_for_room_in_the_pool(void **state)
{
    struct scene *scene = *state;
    scene->on_send = block_pool;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    while (tg_work_pool_stats(scene->work).refused < 4) { /* one is fill_pool's, the others tries */
        tg_loop_run_once(scene->loop);
    }
    assert_int_equal(scene->sends, 2);
    drain_pool(blocked_fds, 6);
    wait_done(scene);
    assert_int_equal(scene->done_err, TG_OK);
    check_bytes(scene, 0, 0, MIB + 1);
    /* Cancelled while it waits so. */
    begin(scene, "GET", "/big.bin");
    close(blocked_fds[0]);
    close(blocked_fds[1]);
    assert_int_equal(serve(scene), TG_OK);
    uint64_t refused = tg_work_pool_stats(scene->work).refused;
    while (tg_work_pool_stats(scene->work).refused < refused + 2) {
        tg_loop_run_once(scene->loop);
    }
    assert_true(tg_static_serve_cancel(scene->serve));
    drain_pool(blocked_fds, 6);
    while (tg_work_pool_stats(scene->work).running > 0) {
        tg_loop_run_once(scene->loop);
    }
    close(blocked_fds[0]);
    close(blocked_fds[1]);
}

/* The directory is held by what is under way, not by the model alone. */
static void the_model_may_go_meanwhile(void **state)
{
    struct scene *scene = *state;
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    tg_static_unref(scene->files);
    scene->files = NULL;
    wait_done(scene);
    assert_int_equal(scene->done_err, TG_OK);
    check_bytes(scene, 0, 0, MIB + 1);
    begin(scene, "GET", "/big.bin");
    assert_int_equal(serve(scene), TG_OK);
    tg_static_unref(scene->files);
    scene->files = NULL;
    (void)tg_static_serve_cancel(scene->serve);
    scene->exchange.ops->reply(&scene->exchange, 503, &(struct tg_headers){0}, TG_EMPTY);
}

static void no_descriptor_is_left_behind(void **state)
{
    struct scene *scene = *state;
    ask(scene, "GET", "/index.html");
    int before = open("/dev/null", O_RDONLY);
    close(before);
    scene->keep = false;
    for (int i = 0; i < 20; i++) {
        ask(scene, "GET", "/big.bin");
        ask(scene, "HEAD", "/big.bin");
        ask(scene, "GET", "/docs/");
        ask(scene, "GET", "/docs");
        begin(scene, "GET", "/big.bin");
        field(scene, "Range", i % 2 == 0 ? "bytes=9999999-" : "bytes=1-1,3-3");
        assert_int_equal(serve(scene), TG_OK);
        wait_done(scene);
        begin(scene, "GET", "/big.bin");
        field(scene, "If-None-Match", "*");
        assert_int_equal(serve(scene), TG_OK);
        wait_done(scene);
    }
    while (tg_work_pool_stats(scene->work).running > 0) {
        tg_loop_run_once(scene->loop);
    }
    int after = open("/dev/null", O_RDONLY);
    close(after);
    assert_int_equal(after, before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(small_files_are_answered_in_one),
        TEST(refusals),
        TEST(large_files_go_out_in_blocks),
        TEST(a_slow_client_is_waited_for),
        TEST(head_sends_nothing),
        TEST(conditions_and_ranges_reach_the_wire),
        TEST(several_ranges_are_parts),
        TEST(huge_files_have_ranges),
        TEST(a_file_that_changes_is_not_misframed),
        TEST(a_client_that_goes_ends_it),
        TEST(cancelled),
        TEST(heads_that_cannot_go_out),
        TEST(a_full_pool_refuses_what_begins),
        TEST(what_has_begun_waits_for_room_in_the_pool),
        TEST(the_model_may_go_meanwhile),
        TEST(no_descriptor_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
