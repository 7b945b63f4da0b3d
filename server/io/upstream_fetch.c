/* A call with its answer collected. Everything lives in the caller's arena, so that a cancel leaves nothing
 * to free. */
#include "server/io/upstream_private.h"

struct fetch {
    struct tg_call *call;
    struct tg_arena *arena;
    tg_fetched_fn *done;
    void *arg;
    struct tg_call_response response;
    char *body;
    size_t cap;
};

static void on_head(void *arg, int status, const struct tg_headers *headers)
{
    struct fetch *fetch = arg;
    enum tg_err err = TG_OK;
    fetch->response.status = status;
    for (size_t i = 0; i < headers->count && err == TG_OK; i++) {
        struct tg_slice name;
        struct tg_slice value;
        err = tg_arena_copy(fetch->arena, headers->items[i].name, &name);
        if (err == TG_OK) {
            err = tg_arena_copy(fetch->arena, headers->items[i].value, &value);
        }
        if (err == TG_OK) {
            err = tg_headers_add(&fetch->response.headers, fetch->arena, name, value);
        }
    }
    if (err != TG_OK) {
        tg_call_end(fetch->call, err);
    }
}

/* The first piece gets what it needs, as it is the whole body more often than not; after that the room
 * doubles. */
static enum tg_err make_room(struct fetch *fetch, size_t need)
{
    if (need <= fetch->cap) {
        return TG_OK;
    }
    size_t cap = fetch->cap > SIZE_MAX / 2 || need > fetch->cap * 2 ? need : fetch->cap * 2;
    char *body = tg_arena_alloc(fetch->arena, cap);
    if (body == NULL) {
        return TG_ENOMEM;
    }
    if (fetch->response.body.len > 0) {
        memcpy(body, fetch->body, fetch->response.body.len);
    }
    fetch->body = body;
    fetch->cap = cap;
    return TG_OK;
}

static void on_body(void *arg, struct tg_slice bytes)
{
    struct fetch *fetch = arg;
    size_t len = fetch->response.body.len;
    enum tg_err err = bytes.len > SIZE_MAX - len ? TG_ELIMIT : make_room(fetch, len + bytes.len);
    if (err != TG_OK) {
        tg_call_end(fetch->call, err);
        return;
    }
    memcpy(fetch->body + len, bytes.ptr, bytes.len);
    fetch->response.body = tg_slice_make(fetch->body, len + bytes.len);
}

static void on_end(void *arg, enum tg_err err)
{
    struct fetch *fetch = arg;
    fetch->done(fetch->arg, err, err == TG_OK ? &fetch->response : NULL);
}

static const struct tg_call_events fetch_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
};

enum tg_err tg_upstream_fetch(struct tg_upstream *upstream, const struct tg_call_request *request,
                              struct tg_arena *arena, tg_fetched_fn *done, void *arg, struct tg_call **out)
{
    if (request->upgrade) {
        return TG_EINVAL;
    }
    struct fetch *fetch = tg_arena_zalloc(arena, sizeof *fetch);
    if (fetch == NULL) {
        return TG_ENOMEM;
    }
    fetch->arena = arena;
    fetch->done = done;
    fetch->arg = arg;
    const struct tg_call_way way = {.max_body = request->max_body};
    enum tg_err err = tg_call_new(upstream, request, &fetch_events, fetch, &way, &fetch->call);
    if (err == TG_OK) {
        *out = fetch->call;
    }
    return err;
}
