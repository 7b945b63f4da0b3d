/* HTTP_PROXY of HTTP APIs (http-api.md 1.9): the request goes to the back end as it comes, and so does the
 * answer. Each side is held when the other is slow: memory is bounded by what one read brings. Only a mapping
 * that reads a body has it collected. WebSocket upgrades become tunnels where the integration says so. */
#include "routes/context.h"
#include "routes/forward.h"
#include "routes/handshake.h"
#include "routes/http.h"
#include "routes/httpmapping.h"
#include "routes/integration.h"
#include "routes/links.h"
#include "server/io/http1.h"

struct forward {
    struct tg_request *request;
    struct tg_call *call; /* NULL: it has ended */
    struct tg_call_request call_request;
    struct tg_buf unsent;     /* of the client's body: the call had no room */
    bool body_over;           /* the client's body has ended, and all of it was handed on */
    bool finish_when_drained; /* it has ended, but some of it is in `unsent` */
};

static void free_unsent(void *arg)
{
    struct forward *forward = arg;
    tg_buf_free(&forward->unsent);
}

/* ---- the end ---- */

static void drop_call(struct forward *forward)
{
    struct tg_call *call = forward->call;
    forward->call = NULL;
    if (call != NULL) {
        tg_call_cancel(call);
    }
}

static void cancel(struct tg_request *request)
{
    request->cancel = NULL;
    drop_call(request->pending);
}

/* To the end of the pipeline; with a fault unless it is TG_FAULT_NONE. */
static void leave(struct forward *forward, enum tg_fault fault, struct tg_slice detail)
{
    struct tg_request *request = forward->request;
    request->cancel = NULL;
    drop_call(forward);
    if (fault != TG_FAULT_NONE) {
        (void)tg_request_fail(request, fault, detail);
    }
    tg_request_resume(request);
}

static void fail(struct forward *forward, enum tg_err err)
{
    switch (err) {
    case TG_ETIMEOUT:
        leave(forward, TG_FAULT_TIMEOUT, TG_LIT("the back end did not answer in time"));
        break;
    case TG_ENOMEM:
        leave(forward, TG_FAULT_INTERNAL, TG_LIT("out of memory"));
        break;
    default:
        leave(forward, TG_FAULT_INTEGRATION, tg_slice_cstr(tg_err_text(err)));
        break;
    }
}

static void note_latency(struct tg_request *request)
{
    request->integration_latency_ns = tg_loop_now_ns() - request->integration_start_ns;
    request->integration_latency_ms = (int64_t)(request->integration_latency_ns / 1000000);
}

/* ---- client to back end ---- */

static enum tg_err finish_call(struct forward *forward)
{
    forward->body_over = true;
    return forward->call != NULL ? tg_call_finish(forward->call) : TG_OK;
}

static void on_client_bytes(void *arg, struct tg_slice bytes)
{
    struct forward *forward = arg;
    struct tg_http *http = forward->request->http;
    http->bytes_in += bytes.len;
    if (forward->call == NULL) {
        return; /* the back end has said all: what the client still sends is nobody's */
    }
    enum tg_err err = tg_call_send(forward->call, bytes);
    if (err == TG_EAGAIN) {
        http->exchange->ops->hold_body(http->exchange, true);
        err = tg_buf_append(&forward->unsent, bytes);
    }
    if (err != TG_OK) {
        fail(forward, err);
    }
}

/* The call takes more. */
static void on_drain(void *arg)
{
    struct forward *forward = arg;
    struct tg_http *http = forward->request->http;
    enum tg_err err = TG_OK;
    if (forward->unsent.len > 0) {
        err = tg_call_send(forward->call, tg_buf_slice(&forward->unsent));
        if (err == TG_EAGAIN) {
            return;
        }
        tg_buf_clear(&forward->unsent);
    }
    if (err == TG_OK && forward->finish_when_drained) {
        forward->finish_when_drained = false;
        err = finish_call(forward);
    } else if (err == TG_OK && !forward->body_over) {
        http->exchange->ops->hold_body(http->exchange, false);
    }
    if (err != TG_OK) {
        fail(forward, err);
    }
}

static void on_client_end(void *arg, enum tg_err err)
{
    struct forward *forward = arg;
    if (forward->call == NULL) {
        return;
    }
    switch (err) {
    case TG_OK:
        if (forward->unsent.len > 0) {
            forward->finish_when_drained = true;
            return;
        }
        err = finish_call(forward);
        if (err != TG_OK) {
            fail(forward, err);
        }
        break;
    case TG_ELIMIT:
        leave(forward, TG_FAULT_TOO_LARGE, TG_LIT("the body is longer than http.maxBodyBytes"));
        break;
    case TG_ETIMEOUT:
        leave(forward, TG_FAULT_BODY_TIMEOUT, TG_LIT("the body did not come in time"));
        break;
    case TG_ECLOSED:
        leave(forward, TG_FAULT_CLIENT_GONE, TG_LIT("the client went away in its body"));
        break;
    default:
        leave(forward, TG_FAULT_BAD_REQUEST, TG_LIT("the body's framing is broken"));
        break;
    }
}

static const struct tg_body_events client_events = {on_client_bytes, on_client_end};

/* ---- back end to client ---- */

static void on_room(void *arg)
{
    struct forward *forward = arg;
    if (forward->call != NULL) {
        tg_call_pause(forward->call, false);
    }
}

static void on_tunnel_end(void *arg, enum tg_err err)
{
    struct forward *forward = arg;
    if (err != TG_OK) {
        tg_http_end(forward->request, false);
        leave(forward, TG_FAULT_NONE, TG_EMPTY);
        return;
    }
    on_client_end(forward, TG_OK); /* half-closed: the back end may still say something */
}

static const struct tg_body_events tunnel_events = {on_client_bytes, on_tunnel_end};

/* 101: raw bytes from now on. */
static enum tg_err open_tunnel(struct forward *forward, struct tg_headers *headers)
{
    struct tg_request *request = forward->request;
    struct tg_http *http = request->http;
    struct tg_arena *arena = &request->arena;
    enum tg_err err = tg_headers_set(headers, arena, TG_LIT("Connection"), TG_LIT("Upgrade"));
    if (err == TG_OK) {
        err = tg_headers_set(headers, arena, TG_LIT("Upgrade"), TG_LIT("websocket"));
    }
    if (err == TG_OK) {
        err = http->exchange->ops->tunnel(http->exchange, headers, &tunnel_events, forward);
    }
    if (err == TG_OK) {
        http->head_sent = true;
        http->status_sent = 101;
    }
    return err;
}

/* The length of the body that follows: HEAD and 304 tell that of one which does not, and the client may have
 * asked, or be answered, otherwise. */
static int64_t body_length(const struct forward *forward, int status)
{
    bool none = status == 304 || tg_slice_eq(forward->call_request.method, TG_LIT("HEAD"));
    return none ? 0 : tg_call_length(forward->call);
}

static void on_head(void *arg, int status, const struct tg_headers *fields)
{
    struct forward *forward = arg;
    struct tg_request *request = forward->request;
    struct tg_headers headers = {0};
    int64_t length = body_length(forward, status);
    request->integration_status = status;
    note_latency(request);
    enum tg_err err = tg_forwarded_answer(fields, &request->arena, &headers);
    if (err == TG_OK) {
        err = tg_http_head(request, &status, &headers);
    }
    if (err == TG_OK && status == 101) {
        err = open_tunnel(forward, &headers);
    } else if (err == TG_OK) {
        err = tg_http_start(request, status, &headers, length);
    }
    if (err == TG_ECLOSED) {
        leave(forward, TG_FAULT_CLIENT_GONE, TG_LIT("the client went away"));
    } else if (err != TG_OK) {
        fail(forward, err == TG_EINVAL ? TG_EPROTO : err);
    }
}

static void on_body(void *arg, struct tg_slice bytes)
{
    struct forward *forward = arg;
    struct tg_http *http = forward->request->http;
    http->bytes_out += bytes.len;
    enum tg_err err = http->exchange->ops->send(http->exchange, bytes);
    if (err == TG_EAGAIN) {
        tg_call_pause(forward->call, true);
    } else if (err == TG_ENOMEM || err == TG_ELIMIT) {
        fail(forward, err == TG_ELIMIT ? TG_EPROTO : err);
    }
}

static void on_end(void *arg, enum tg_err err)
{
    struct forward *forward = arg;
    struct tg_request *request = forward->request;
    forward->call = NULL;
    if (err != TG_OK) {
        fail(forward, err); /* an answer begun is cut at the pipeline's end */
        return;
    }
    tg_http_end(request, true);
    leave(forward, TG_FAULT_NONE, TG_EMPTY);
}

static const struct tg_call_events call_events = {on_head, on_body, on_end, on_drain};

/* The whole answer, where a mapping reads its body. */
static void fetched(void *arg, enum tg_err err, const struct tg_call_response *response)
{
    struct forward *forward = arg;
    struct tg_request *request = forward->request;
    forward->call = NULL;
    if (err != TG_OK) {
        fail(forward, err);
        return;
    }
    request->integration_status = response->status;
    note_latency(request);
    request->answer.status = response->status;
    request->answer.body = response->body;
    err = tg_forwarded_answer(&response->headers, &request->arena, &request->answer.headers);
    if (err != TG_OK) {
        fail(forward, err);
        return;
    }
    leave(forward, TG_FAULT_NONE, TG_EMPTY);
}

/* ---- the start ---- */

/* Path, query and headers as the mapping makes them. */
static enum tg_err map_request(struct tg_request *request, struct tg_headers *headers, struct tg_slice *path,
                               struct tg_slice *query)
{
    const struct tg_httpmapping *mapping = request->route->integration->http_mapping;
    struct tg_slice detail = TG_EMPTY;
    if (mapping == NULL) {
        return TG_OK;
    }
    struct tg_vars vars = tg_request_vars(request);
    struct tg_httpmapping_request target = {.headers = headers, .path = *path, .query = *query};
    enum tg_err err = tg_httpmapping_apply_request(mapping, &vars, &request->arena, &target, &detail);
    if (err == TG_EINVAL) {
        return tg_request_fail(request, TG_FAULT_BAD_REQUEST, detail);
    }
    *path = target.path;
    *query = target.query;
    return err;
}

static enum tg_err make_target(struct tg_request *request, const struct tg_forward *where,
                               struct tg_headers *headers, struct tg_slice *out)
{
    const struct tg_http *http = request->http;
    struct tg_slice path, query = TG_EMPTY;
    const struct tg_forward_input input = {
        .params = http->params,
        .param_count = http->param_count,
        .path = http->place.path,
        .staged_path = http->place.staged_path,
        .query = request->query_text,
        .is_default = tg_slice_eq(request->route->route_key, TG_LIT("$default")),
    };
    enum tg_err err = tg_forward_resolve(where, &input, &request->arena, &path, &query);
    if (err == TG_OK) {
        err = map_request(request, headers, &path, &query);
    }
    if (err != TG_OK || query.ptr == NULL) {
        *out = path;
        return err;
    }
    size_t len = path.len + 1 + query.len;
    char *text = tg_arena_alloc(&request->arena, len);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    memcpy(text, path.ptr, path.len);
    text[path.len] = '?';
    memcpy(text + path.len + 1, query.ptr, query.len);
    *out = tg_slice_make(text, len);
    return TG_OK;
}

static enum tg_err make_headers(struct tg_request *request, bool tunnel, struct tg_headers *out)
{
    const struct tg_exchange *exchange = request->http->exchange;
    struct tg_slice trace = TG_EMPTY;
    tg_trace_id_make(&request->engine->rng, &request->headers, request->time_ms, request->trace_id);
    enum tg_err err = tg_trace_hop_make(&request->engine->rng, tg_slice_cstr(request->trace_id),
                                        request->time_ms, &request->arena, &trace);
    if (err != TG_OK) {
        return err;
    }
    const struct tg_forwarded_input input = {
        .headers = &request->headers,
        .mode = request->api->settings.forwarded_headers,
        .source_ip = exchange->source_ip,
        .host = exchange->host,
        .port = exchange->port,
        .secure = exchange->secure,
        .trace = trace,
        .iam = request->route->authorization_type == TG_AUTH_AWS_IAM,
    };
    err = tg_forwarded_headers(&input, &request->arena, out);
    if (err == TG_OK && tunnel) {
        err = tg_headers_add(out, &request->arena, TG_LIT("Upgrade"), TG_LIT("websocket"));
    }
    return err;
}

/* Whether the body is there, or how it will come. False: it is longer than may be. */
static bool make_body(struct tg_request *request, struct tg_call_request *call)
{
    const struct tg_exchange *exchange = request->http->exchange;
    if (request->http->body_collected) {
        call->body = request->body;
        return true;
    }
    if (!exchange->has_body) {
        return true;
    }
    call->stream_body = true;
    call->body_length = exchange->content_length;
    return exchange->content_length < 0 || (uint64_t)exchange->content_length <= request->engine->max_body;
}

static enum tg_err start_call(struct forward *forward)
{
    struct tg_request *request = forward->request;
    const struct tg_integration *integration = request->route->integration;
    struct tg_call_request *call = &forward->call_request;
    struct tg_upstream *upstream = request->engine->upstream;
    enum tg_err err;
    if (integration->response_body_mapped && !call->upgrade && !call->stream_body) {
        call->timeout_ms = (uint64_t)integration->timeout_in_millis;
        call->max_body = request->engine->max_response;
        err = tg_upstream_fetch(upstream, call, &request->arena, fetched, forward, &forward->call);
    } else {
        err = tg_upstream_call(upstream, call, &call_events, forward, &forward->call);
    }
    if (err == TG_ENOMEM) {
        return err;
    }
    if (err == TG_EINVAL) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION,
                               TG_LIT("the request to the back end cannot be written"));
    }
    if (err != TG_OK) {
        return tg_request_fail(request, TG_FAULT_INTEGRATION, tg_slice_cstr(tg_err_text(err)));
    }
    request->pending = forward;
    request->cancel = cancel;
    struct tg_exchange *exchange = request->http->exchange;
    exchange->on_room = on_room;
    exchange->room_arg = forward;
    exchange->half_close_is_gone = true;
    if (call->stream_body) {
        exchange->ops->take_body(exchange, request->engine->max_body, &client_events, forward);
    }
    return TG_EAGAIN;
}

enum tg_err tg_http_forward(struct tg_request *request)
{
    const struct tg_integration *integration = request->route->integration;
    const struct tg_forward *where = &integration->forward[request->stage->index];
    struct forward *forward = tg_arena_zalloc(&request->arena, sizeof *forward);
    if (forward == NULL) {
        return TG_ENOMEM;
    }
    if (where->error.len > 0) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION, where->error);
    }
    forward->request = request;
    tg_buf_init(&forward->unsent, SIZE_MAX); /* what one read brings: the rest is held */
    struct tg_call_request *call = &forward->call_request;
    call->upgrade = integration->websocket && tg_handshake_wanted(request->http->exchange) &&
                    request->http->exchange->can_upgrade;
    enum tg_err err = make_headers(request, call->upgrade, &call->headers);
    if (err == TG_OK) {
        err = make_target(request, where, &call->headers, &call->target);
    }
    bool mapped = tg_headers_first(&call->headers, TG_LIT("Host")) != NULL; /* a mapping may choose it */
    if (err == TG_OK && !mapped) {
        /* An ARN names no host: the targets of a load balancer are told the client's. */
        struct tg_slice host = where->whole_path ? request->http->exchange->host : where->host_header;
        err = tg_headers_add(&call->headers, &request->arena, TG_LIT("Host"), host);
    }
    if (err == TG_OK) {
        err = tg_arena_defer(&request->arena, free_unsent, forward);
    }
    if (err != TG_OK) {
        return err;
    }
    if (!make_body(request, call)) {
        return tg_request_fail(request, TG_FAULT_TOO_LARGE,
                               TG_LIT("the body is longer than http.maxBodyBytes"));
    }
    bool any = tg_slice_eq(integration->integration_method, TG_LIT("ANY"));
    call->announce_empty = !call->upgrade; /* as recorded (1.9) */
    call->method = any ? request->method : integration->integration_method;
    call->origin = where->origin;
    call->origin.trust = integration->trust;
    call->origin.server_name = integration->tls_config.server_name_to_verify;
    call->head_timeout_ms = (uint64_t)integration->timeout_in_millis;
    call->idle_timeout_ms = (uint64_t)(request->api->settings.idle_answer_seconds * 1000.0);
    call->replayable = tg_http1_idempotent(call->method);
    if (integration->link != NULL) {
        call->group = tg_links_find(request->engine->links, integration->link->vpc_link_id);
    }
    return start_call(forward);
}
