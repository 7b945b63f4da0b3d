#include "routes/http.h"

#include "routes/authorizer.h"
#include "routes/context.h"
#include "routes/cors.h"
#include "routes/httpmapping.h"
#include "routes/integration.h"
#include "routes/reply.h"
#include "server/base/codec.h"

/* ---- phases ---- */

enum tg_err tg_http_preflight(struct tg_request *request)
{
    struct tg_http *http = request->http;
    const struct tg_cors *cors = request->api->cors;
    if (cors == NULL || !tg_cors_is_preflight(request->method, &request->headers)) {
        return TG_OK;
    }
    request->answer = (struct tg_answer){.status = 204};
    request->answered = true;
    http->preflight = true;
    return tg_cors_preflight(cors, &request->headers, &request->arena, &request->answer.headers);
}

enum tg_err tg_http_match(struct tg_request *request)
{
    struct tg_http *http = request->http;
    const struct tg_api *api = request->api;
    struct tg_pathtrie_match match;
    if (tg_slice_eq(request->method, TG_LIT("CONNECT"))) {
        /* A proxy behind us would make a tunnel of the pool's connection. */
        return tg_request_fail(request, TG_FAULT_BAD_REQUEST, TG_LIT("CONNECT is for proxies"));
    }
    enum tg_err err = tg_pathtrie_match(api->paths, request->method, http->place.path,
                                        api->settings.trailing_slash, &request->arena, &match);
    if (err == TG_EINVAL) {
        return tg_request_fail(request, TG_FAULT_BAD_REQUEST,
                               TG_LIT("the path steps up (..) or holds a NUL byte"));
    }
    if (err != TG_OK) {
        return err;
    }
    request->route = match.value != NULL ? match.value : api->default_route;
    http->params = match.params;
    http->param_count = match.param_count;
    if (request->route == NULL) {
        return tg_request_fail(request, TG_FAULT_NO_ROUTE, TG_LIT("no route has this method and path"));
    }
    return TG_OK;
}

/* ---- the body ---- */

static void body_read(void *arg, enum tg_err err, struct tg_slice body)
{
    struct tg_request *request = arg;
    struct tg_http *http = request->http;
    request->cancel = NULL;
    switch (err) {
    case TG_OK:
        request->body = body;
        http->body_collected = true;
        http->bytes_in = body.len;
        break;
    case TG_ELIMIT:
        (void)tg_request_fail(request, TG_FAULT_TOO_LARGE,
                              TG_LIT("the body is longer than http.maxBodyBytes"));
        break;
    case TG_ETIMEOUT:
        (void)tg_request_fail(request, TG_FAULT_BODY_TIMEOUT, TG_LIT("the body did not come in time"));
        break;
    case TG_ECLOSED:
        (void)tg_request_fail(request, TG_FAULT_CLIENT_GONE, TG_LIT("the client went away in its body"));
        break;
    case TG_ENOMEM:
        (void)tg_request_fail(request, TG_FAULT_INTERNAL, TG_LIT("out of memory"));
        break;
    default:
        (void)tg_request_fail(request, TG_FAULT_BAD_REQUEST, TG_LIT("the body's framing is broken"));
        break;
    }
    tg_request_resume(request);
}

/* The reply, which is due in any case, ends the reading. */
static void cancel_body(struct tg_request *request)
{
    request->cancel = NULL;
}

static enum tg_err collect(struct tg_request *request)
{
    struct tg_http *http = request->http;
    if (http->body_collected) {
        return TG_OK;
    }
    if (!http->exchange->has_body) {
        http->body_collected = true;
        return TG_OK;
    }
    request->cancel = cancel_body;
    http->exchange->ops->read_body(http->exchange, request->engine->max_body, body_read, request);
    return TG_EAGAIN;
}

enum tg_err tg_http_collect_signed(struct tg_request *request)
{
    return request->route->authorization_type == TG_AUTH_AWS_IAM ? collect(request) : TG_OK;
}

enum tg_err tg_http_collect(struct tg_request *request)
{
    const struct tg_integration *integration = request->route->integration;
    return integration != NULL && integration->needs_body ? collect(request) : TG_OK;
}

enum tg_err tg_http_authorize(struct tg_request *request)
{
    return request->route->authorization_type != TG_AUTH_NONE ? tg_authorize(request) : TG_OK;
}

enum tg_err tg_http_integrate(struct tg_request *request)
{
    if (request->route->integration == NULL) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION, TG_LIT("the route has no target"));
    }
    request->http->from_integration = true;
    request->integration_called = true;
    request->integration_start_ns = tg_loop_now_ns();
    return tg_integrate_http(request);
}

/* ---- the start ---- */

static void end_aborted(struct tg_task *task)
{
    struct tg_http *http = TG_CONTAINER(task, struct tg_http, abort_task);
    struct tg_request *request = http->abort_arg;
    if (request->cancel != NULL) {
        request->cancel(request);
    }
    (void)tg_request_fail(request, TG_FAULT_CLIENT_GONE, TG_LIT("the client went away"));
    tg_request_resume(request);
}

/* The client has gone: what runs for it is cancelled, once this call has returned. */
static void on_abort(void *arg)
{
    struct tg_request *request = arg;
    tg_task_defer(request->engine->loop, &request->http->abort_task);
}

static void http_done(struct tg_request *request)
{
    tg_task_cancel(&request->http->abort_task);
    tg_request_free(request);
}

/* Without the port, as events and the access log show it. */
static struct tg_slice without_port(struct tg_slice host)
{
    size_t end = host.len > 0 && host.ptr[0] == '[' ? tg_slice_find(host, ']') : 0;
    return tg_slice_head(host, end + tg_slice_find(tg_slice_from(host, end), ':'));
}

static void fill_info(struct tg_http *http, const struct tg_exchange *exchange,
                      const struct tg_request *request)
{
    const struct tg_header *agent = tg_headers_first(&exchange->headers, TG_LIT("User-Agent"));
    http->info = (struct tg_conn_info){
        .api_id = request->api->api_id,
        .stage = request->stage->stage_name,
        .domain_name = without_port(exchange->host),
        .source_ip = exchange->source_ip,
        .user_agent = agent != NULL ? agent->value : TG_EMPTY,
        .connected_at_ms = request->time_ms,
    };
}

/* The access log's row is written when the exchange has ended, and what was the exchange's is gone with it.
 */
static enum tg_err keep_for_the_log(struct tg_request *request)
{
    struct tg_http *http = request->http;
    struct tg_slice *const texts[] = {
        &request->method,         &request->path,          &http->place.path,     &http->place.staged_path,
        &http->place.mapping_key, &http->info.domain_name, &http->info.source_ip, &http->info.user_agent};
    enum tg_err err = TG_OK;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && err == TG_OK; i++) {
        err = tg_arena_copy(&request->arena, *texts[i], texts[i]);
    }
    if (err != TG_OK || request->peer == NULL) {
        return err;
    }
    struct tg_peer_certificate *peer = tg_arena_alloc(&request->arena, sizeof *peer);
    if (peer == NULL) {
        return TG_ENOMEM;
    }
    *peer = *request->peer;
    request->peer = peer;
    struct tg_slice *const members[] = {&peer->pem,           &peer->subject_dn, &peer->issuer_dn,
                                        &peer->serial_number, &peer->not_before, &peer->not_after};
    for (size_t i = 0; i < sizeof members / sizeof members[0] && err == TG_OK; i++) {
        err = tg_arena_copy(&request->arena, *members[i], members[i]);
    }
    return err;
}

void tg_http_serve(struct tg_engine *engine, const struct tg_http_place *place, struct tg_exchange *exchange)
{
    struct tg_request *request;
    enum tg_err err = tg_request_new(engine, TG_REQUEST_HTTP, &request);
    if (err != TG_OK) {
        tg_reply_message(exchange, 503, TG_LIT("Service Unavailable"));
        return;
    }
    struct tg_http *http = tg_arena_zalloc(&request->arena, sizeof *http);
    if (http == NULL) {
        tg_request_free(request);
        tg_reply_message(exchange, 503, TG_LIT("Service Unavailable"));
        return;
    }
    request->api = place->api;
    request->stage = place->stage;
    request->http = http;
    http->exchange = exchange;
    http->place = *place;
    http->minor = exchange->minor;
    http->abort_arg = request;
    tg_task_init(&http->abort_task, end_aborted);
    fill_info(http, exchange, request);
    request->info = &http->info;
    request->handshake_info = &http->info;
    request->method = exchange->method;
    request->headers = exchange->headers;
    request->has_query = exchange->query.ptr != NULL && exchange->query.len > 0;
    request->path = exchange->path;
    request->query_text = exchange->query;
    request->port = exchange->port;
    request->secure = exchange->secure;
    request->peer = exchange->peer;
    if (place->stage->access_log != NULL && keep_for_the_log(request) != TG_OK) {
        tg_request_free(request);
        tg_reply_message(exchange, 503, TG_LIT("Service Unavailable"));
        return;
    }
    request->done = http_done;
    exchange->on_abort = on_abort;
    exchange->abort_arg = request;
    tg_request_run(request);
}

void tg_http_not_found(struct tg_engine *engine, struct tg_exchange *exchange)
{
    char id[TG_REQUEST_ID_LEN + 1];
    struct tg_headers headers = {0};
    tg_request_id_make(&engine->rng, id);
    enum tg_err err =
        tg_headers_add(&headers, exchange->arena, TG_LIT("Content-Type"), TG_LIT("application/json"));
    if (err == TG_OK) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("Apigw-Requestid"), tg_slice_cstr(id));
    }
    if (err != TG_OK) {
        headers.count = 0;
    }
    exchange->ops->reply(exchange, 404, &headers, TG_LIT("{\"message\":\"Not Found\"}"));
}
