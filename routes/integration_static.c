/* STATIC: files of a directory (routes/static.h). The path below the route is the file's. */
#include "routes/http.h"
#include "routes/integration.h"
#include "routes/static_serve.h"

struct files {
    struct tg_request *request;
    struct tg_static_serve *serve;
};

static enum tg_err prepare(void *arg, int status, struct tg_headers *headers)
{
    struct files *files = arg;
    struct tg_request *request = files->request;
    request->integration_status = status;
    enum tg_err err = tg_http_head(request, &status, headers);
    if (err == TG_OK) {
        request->http->head_sent = true;
        request->http->status_sent = status;
    }
    return err;
}

static void done(void *arg, int status, uint64_t bytes, enum tg_err err)
{
    struct files *files = arg;
    struct tg_request *request = files->request;
    struct tg_http *http = request->http;
    request->cancel = NULL;
    http->exchange = NULL; /* the answer has ended it */
    http->bytes_out = bytes;
    http->head_sent = true;
    http->status_sent = status != 0 ? status : tg_fault_http_status(TG_FAULT_CLIENT_GONE);
    if (err == TG_ECLOSED) {
        (void)tg_request_fail(request, TG_FAULT_CLIENT_GONE, TG_LIT("the client went away"));
    } else if (err != TG_OK) {
        (void)tg_request_fail(request, TG_FAULT_INTEGRATION, TG_LIT("the file could not be read to its end"));
    }
    tg_request_resume(request);
}

static void cancel(struct tg_request *request)
{
    struct files *files = request->pending;
    request->cancel = NULL;
    if (tg_static_serve_cancel(files->serve)) {
        request->http->exchange = NULL;
    }
}

/* Of a route that ends in {name+} what that took; of $default the whole path; otherwise the directory itself.
 */
static struct tg_slice below(const struct tg_request *request)
{
    const struct tg_http *http = request->http;
    struct tg_slice key = request->route->route_key;
    if (tg_slice_eq(key, TG_LIT("$default"))) {
        return http->place.path;
    }
    bool greedy = key.len > 2 && memcmp(key.ptr + key.len - 2, "+}", 2) == 0;
    return greedy && http->param_count > 0 ? http->params[http->param_count - 1].raw : TG_LIT("");
}

static enum tg_err serve(struct tg_request *request)
{
    struct tg_http *http = request->http;
    struct files *files = tg_arena_zalloc(&request->arena, sizeof *files);
    if (files == NULL) {
        return TG_ENOMEM;
    }
    files->request = request;
    const struct tg_static_input input = {
        .files = request->route->integration->files_opened,
        .loop = request->engine->loop,
        .work = request->engine->work,
        .exchange = http->exchange,
        .arena = &request->arena,
        .below = below(request),
        .random = tg_rng_next(&request->engine->rng),
        .prepare = prepare,
        .done = done,
        .arg = files,
    };
    enum tg_err err = tg_static_serve(&input, &files->serve);
    if (err != TG_OK) {
        return err;
    }
    request->pending = files;
    request->cancel = cancel;
    return TG_EAGAIN;
}

const struct tg_integration_ops tg_integration_static = {TG_INTEGRATION_STATIC, NULL, serve};
