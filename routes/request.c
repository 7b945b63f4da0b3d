#include "routes/request.h"

#include <assert.h>

#include "routes/accessrow.h"
#include "routes/authorizer.h"
#include "routes/context.h"
#include "routes/http.h"
#include "routes/integration.h"
#include "server/base/codec.h"

enum { ID_BYTES = 11 };

static void timer_fired(struct tg_timer *timer)
{
    tg_request_run(TG_CONTAINER(timer, struct tg_request, timer));
}

/* It goes on after the call that began it. */
static void hold(struct tg_request *request)
{
    request->held = true;
    (void)tg_model_ref(request->model);
    if (request->info_borrowed) {
        request->info_borrowed = false;
        request->info_counted = true;
        (void)tg_conn_info_ref(request->info);
    }
    tg_list_append(&request->engine->requests, &request->node);
    request->engine->request_count++;
}

enum tg_err tg_request_new(struct tg_engine *engine, enum tg_request_kind kind, struct tg_request **out)
{
    struct tg_arena arena;
    tg_arena_init(&arena, engine->arenas);
    struct tg_request *request = tg_arena_alloc(&arena, sizeof *request);
    if (request == NULL) {
        return TG_ENOMEM;
    }
    memset(request, 0, offsetof(struct tg_request, connection_id));
    request->connection_id[0] = request->request_id[0] = request->message_id[0] = request->trace_id[0] = '\0';
    request->engine = engine;
    request->arena = arena;
    request->model = engine->model;
    request->kind = kind;
    request->time_ms = tg_loop_wall_ms(engine->loop);
    request->start_ns = kind == TG_REQUEST_HTTP ? tg_loop_now_ns() : 0;
    request->authorizer_latency_ms = -1;
    request->integration_latency_ms = -1;
    tg_timer_init(&request->timer, timer_fired);
    if (kind == TG_REQUEST_MESSAGE) {
        tg_list_init(&request->node);
    } else {
        hold(request);
    }
    *out = request;
    return TG_OK;
}

void tg_request_free(struct tg_request *request)
{
    struct tg_arena arena;
    if (request->cancel != NULL) {
        request->cancel(request);
    }
    if (request->held) {
        tg_timer_stop(&request->timer);
        tg_list_remove(&request->node);
        request->engine->request_count--;
        if (request->info_counted) {
            tg_conn_info_unref(request->info);
        }
        tg_model_unref(request->model);
    }
    arena = request->arena; /* the request lies in its own arena */
    tg_arena_reset(&arena);
}

enum tg_err tg_request_fail(struct tg_request *request, enum tg_fault fault, struct tg_slice detail)
{
    if (request->fault == TG_FAULT_NONE) {
        request->fault = fault;
        request->fault_detail = detail;
    }
    return TG_EINVAL;
}

const char *tg_request_id(struct tg_request *request)
{
    if (request->request_id[0] == '\0') {
        tg_request_id_make(&request->engine->rng, request->request_id);
    }
    return request->request_id;
}

const char *tg_request_message_id(struct tg_request *request)
{
    if (request->kind != TG_REQUEST_MESSAGE || request->message_id[0] != '\0') {
        return request->message_id;
    }
    /* The tail is the connection's, as in recorded ids (spec 3.6). */
    unsigned char bytes[ID_BYTES];
    uint32_t tail = 2166136261u;
    for (size_t i = 0; i < TG_CONNID_LEN; i++) {
        tail = (tail ^ (unsigned char)request->connection_id[i]) * 16777619u;
    }
    tg_rng_fill(&request->engine->rng, bytes, sizeof bytes - sizeof tail);
    memcpy(bytes + sizeof bytes - sizeof tail, &tail, sizeof tail);
    tg_base64url_encode(bytes, sizeof bytes, request->message_id);
    request->message_id[TG_REQUEST_ID_LEN] = '\0';
    return request->message_id;
}

/* ---- phases ---- */

static enum tg_err throttle_connection(struct tg_request *request)
{
    struct tg_engine *engine = request->engine;
    uint64_t now = tg_loop_now_ms(engine->loop);
    if (!tg_throttle_connection(engine->throttles, request->model, now) ||
        !tg_throttle_account(engine->throttles, request->model, now)) {
        return tg_request_fail(request, TG_FAULT_THROTTLED, TG_LIT("account limit"));
    }
    return TG_OK;
}

static enum tg_err throttle_account(struct tg_request *request)
{
    struct tg_engine *engine = request->engine;
    uint64_t now = tg_loop_now_ms(engine->loop);
    if (request->model == engine->model ? !tg_throttle_take(tg_lane_account(engine), now)
                                        : !tg_throttle_account(engine->throttles, request->model, now)) {
        return tg_request_fail(request, TG_FAULT_THROTTLED, TG_LIT("account limit"));
    }
    return TG_OK;
}

static enum tg_err throttle_route(struct tg_request *request)
{
    struct tg_engine *engine = request->engine;
    uint64_t now = tg_loop_now_ms(engine->loop);
    if (request->route == NULL) {
        return TG_OK;
    }
    const struct tg_lane *lane = tg_lane_of(request);
    if (lane != NULL) {
        request->series = lane->series;
    }
    if (lane != NULL
            ? !tg_throttle_take(&lane->limit, now)
            : !tg_throttle_route(engine->throttles, request->api, request->stage, request->route, now)) {
        return tg_request_fail(request, TG_FAULT_THROTTLED, TG_LIT("route limit"));
    }
    return TG_OK;
}

static enum tg_err authorize(struct tg_request *request)
{
    return request->route != NULL ? tg_authorize(request) : TG_OK;
}

/* Route.requestParameters with required: true (spec 1.14). */
static enum tg_err check_parameters(struct tg_request *request)
{
    struct tg_vars vars = tg_request_vars(request);
    for (size_t i = 0; request->route != NULL && i < request->route->request_parameters.count; i++) {
        const struct tg_route_parameter *parameter = &request->route->request_parameters.items[i];
        struct tg_slice name;
        enum tg_var_scope scope;
        if (!parameter->required || !tg_route_parameter_parse(parameter->name, &scope, &name)) {
            continue;
        }
        struct tg_var_values values;
        enum tg_err err = tg_vars_get(&vars, scope, name, &request->arena, &values);
        if (err != TG_OK) {
            return err;
        }
        if (values.count == 0 || values.items[0].len == 0) {
            return tg_request_fail(request, TG_FAULT_BAD_PARAMETERS, parameter->name);
        }
    }
    return TG_OK;
}

enum tg_err tg_message_key(const struct tg_api *api, struct tg_slice body, struct tg_arena *arena,
                           struct tg_slice *out)
{
    const struct tg_selection_input input = {
        .body = body,
        .json = api->settings.lenient_json ? TG_JSONSCAN_LENIENT : TG_JSONSCAN_STRICT,
    };
    enum tg_err err = tg_selection_evaluate(api->route_selection, &input, arena, out);
    if (err == TG_OK || err == TG_ENOMEM) {
        return err;
    }
    *out = TG_EMPTY; /* not JSON: $default */
    return TG_OK;
}

/* Unless whoever made the request has done it. */
static enum tg_err select_route(struct tg_request *request)
{
    const struct tg_api *api = request->api;
    if (request->route != NULL) {
        return TG_OK;
    }
    struct tg_slice key = TG_EMPTY;
    enum tg_err err = request->binary ? TG_OK : tg_message_key(api, request->body, &request->arena, &key);
    if (err != TG_OK) {
        return err;
    }
    request->route = tg_api_route(api, key);
    if (request->route == NULL) {
        return tg_request_fail(request, TG_FAULT_NO_ROUTE, TG_LIT("no route has the key that was selected"));
    }
    return TG_OK;
}

/* A back end is asked: the body must outlive the call that brought it. */
static enum tg_err keep_body(struct tg_request *request)
{
    if (!request->body_borrowed) {
        return TG_OK;
    }
    request->body_borrowed = false;
    return tg_arena_copy(&request->arena, request->body, &request->body);
}

static void on_leave(void *arg, bool given)
{
    struct tg_request *request = arg;
    struct tg_call *call = request->gated;
    request->gated = NULL;
    request->passed = given;
    request->barred = !given;
    if (call != NULL) {
        tg_call_give_leave(call, given);
    }
}

enum tg_leave tg_request_may_go(void *arg, struct tg_call *call)
{
    struct tg_request *request = arg;
    if (!request->asked) {
        request->asked = true;
        enum tg_leave leave = request->gate(request->gate_arg, on_leave, request);
        request->passed = leave == TG_LEAVE_GIVEN;
        request->barred = leave == TG_LEAVE_REFUSED;
    }
    if (request->passed || request->barred) {
        return request->passed ? TG_LEAVE_GIVEN : TG_LEAVE_REFUSED;
    }
    request->gated = call;
    return TG_LEAVE_LATER;
}

static enum tg_err integrate(struct tg_request *request)
{
    if (request->route == NULL ||
        (request->route->integration == NULL && request->kind != TG_REQUEST_MESSAGE)) {
        request->answer.status = 200; /* no back end to ask: accepted (spec 1.2) */
        return TG_OK;
    }
    if (request->route->integration == NULL) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION, TG_LIT("the route has no target"));
    }
    if (request->route->integration->integration_type !=
        TG_INTEGRATION_MOCK) { /* which answers within this */
        enum tg_err err = keep_body(request);
        if (err != TG_OK) {
            return err;
        }
        if (request->trace_id[0] == '\0') {
            tg_trace_id_make(&request->engine->rng, &request->headers, request->time_ms, request->trace_id);
        }
        request->integration_start_ns = tg_loop_now_ns();
    }
    request->integration_called = true;
    return tg_integrate(request);
}

static tg_phase_fn *const connect_phases[] = {throttle_connection, authorize, throttle_route,
                                              check_parameters,    integrate, NULL};
static tg_phase_fn *const message_phases[] = {select_route, throttle_account, throttle_route, integrate,
                                              NULL};
static tg_phase_fn *const disconnect_phases[] = {integrate, NULL};
static tg_phase_fn *const http_phases[] = {throttle_account, tg_http_preflight,      tg_http_match,
                                           throttle_route,   tg_http_collect_signed, tg_http_authorize,
                                           tg_http_collect,  tg_http_integrate,      NULL};

static tg_phase_fn *const *const phases[] = {
    [TG_REQUEST_CONNECT] = connect_phases,
    [TG_REQUEST_MESSAGE] = message_phases,
    [TG_REQUEST_DISCONNECT] = disconnect_phases,
    [TG_REQUEST_HTTP] = http_phases,
};

/* ---- the end ---- */

struct tg_route_metrics *tg_request_series(struct tg_request *request)
{
    if (request->series == NULL) {
        const struct tg_lane *lane = tg_lane_of(request);
        request->series = lane != NULL ? lane->series : NULL;
    }
    if (request->series == NULL) {
        struct tg_slice route = request->route != NULL ? request->route->route_key : TG_EMPTY;
        request->series = tg_metrics_series(request->engine->metrics, request->api->api_id,
                                            request->stage->stage_name, route);
    }
    return request->series;
}

static void count_http(struct tg_request *request)
{
    uint64_t latency_ns = tg_loop_now_ns() - request->start_ns;
    request->response_latency_ms = (int64_t)(latency_ns / 1000000);
    struct tg_slice route = request->route != NULL ? request->route->route_key : TG_EMPTY;
    struct tg_http_metrics *series = tg_metrics_http_series(request->engine->metrics, request->api->api_id,
                                                            request->stage->stage_name, route);
    int status = tg_request_status(request);
    tg_metric_add(&series->count, 1);
    tg_metric_add(&series->data_processed, request->http->bytes_in + request->http->bytes_out);
    if (status >= 400 && status < 500) {
        tg_metric_add(&series->client_error, 1);
    } else if (status >= 500) {
        tg_metric_add(&series->server_error, 1);
    }
    if (request->fault == TG_FAULT_THROTTLED) {
        tg_metric_add(&series->throttled, 1);
    }
    tg_metrics_observe(&series->latency, latency_ns);
    if (request->integration_called && request->integration_latency_ms >= 0) {
        tg_metrics_observe(&series->integration_latency, request->integration_latency_ns);
    }
}

static void count_outcome(struct tg_request *request)
{
    if (request->kind == TG_REQUEST_HTTP) {
        count_http(request);
        return;
    }
    struct tg_route_metrics *series = tg_request_series(request);
    int fault_status = request->fault != TG_FAULT_NONE ? tg_fault_status(request->fault) : 0;
    if (request->kind == TG_REQUEST_CONNECT && request->integration_called) {
        tg_metric_add(&series->connect_count, 1);
    }
    if (request->kind == TG_REQUEST_MESSAGE) {
        tg_metric_add(&series->messages_in, 1);
        tg_metric_add(&series->metered_in, tg_metered(request->body.len));
    }
    if (request->fault == TG_FAULT_THROTTLED) {
        tg_metric_add(&series->throttled, 1);
    }
    if (fault_status >= 400 && fault_status < 500) {
        tg_metric_add(&series->client_error, 1);
    } else if (fault_status >= 500) {
        tg_metric_add(&series->execution_error, 1);
    }
    if (request->integration_status >= 400) {
        tg_metric_add(&series->integration_error, 1);
    }
    if (request->integration_called && request->integration_latency_ms >= 0) {
        tg_metrics_observe(&series->latency, request->integration_latency_ns);
    }
}

static void write_access_log(struct tg_request *request)
{
    if (request->stage->access_log == NULL) {
        return;
    }
    struct tg_vars vars = tg_request_vars(request);
    tg_stage_log_row(request->stage, &vars, &request->arena, request->engine->log);
}

static void log_fault(struct tg_request *request)
{
    static const char *const events[] = {"CONNECT", "MESSAGE", "DISCONNECT", "HTTP"};
    int status = tg_request_status(request);
    tg_log(request->engine->log, status >= 500 ? TG_LOG_WARN : TG_LOG_INFO, "request failed",
           TG_KV_CSTR("event", events[request->kind]), TG_KV("api", request->api->api_id),
           TG_KV("stage", request->stage->stage_name),
           TG_KV("route", request->route != NULL ? request->route->route_key : TG_EMPTY),
           TG_KV_CSTR("connectionId", request->connection_id),
           TG_KV_CSTR("requestId", tg_request_id(request)),
           TG_KV("fault", tg_fault_response_type(request->fault)), TG_KV_INT("status", status),
           TG_KV("detail", request->fault_detail));
}

int tg_request_status(const struct tg_request *request)
{
    if (request->kind == TG_REQUEST_HTTP) {
        return tg_http_status(request);
    }
    return request->fault != TG_FAULT_NONE ? tg_fault_status(request->fault) : request->answer.status;
}

static void finish(struct tg_request *request)
{
    if (request->kind == TG_REQUEST_HTTP) {
        tg_http_reply(request);
    }
    if (request->fault != TG_FAULT_NONE) {
        log_fault(request);
    }
    count_outcome(request);
    write_access_log(request);
    request->done(request);
}

static void run_phases(struct tg_request *request)
{
    tg_phase_fn *const *list = phases[request->kind];
    while (request->fault == TG_FAULT_NONE && !request->answered && list[request->phase] != NULL) {
        enum tg_err err = list[request->phase++](request);
        if (err == TG_EAGAIN) {
            assert(request->cancel != NULL && !request->body_borrowed);
            if (!request->held) {
                hold(request);
            }
            return;
        }
        if (err != TG_OK && request->fault == TG_FAULT_NONE) {
            (void)tg_request_fail(request, TG_FAULT_INTERNAL, tg_slice_cstr(tg_err_text(err)));
        }
    }
    finish(request);
}

void tg_request_run(struct tg_request *request)
{
    request->phase = 0;
    bool is_disconnect = request->kind == TG_REQUEST_DISCONNECT;
    if (request->engine->aborting || (request->engine->cutting && !is_disconnect)) {
        (void)tg_request_fail(request, TG_FAULT_DRAINING, TG_LIT("shutdown"));
    }
    run_phases(request);
}

void tg_request_resume(struct tg_request *request)
{
    assert(request->cancel == NULL);
    if (request->integration_called && request->integration_latency_ms < 0) {
        request->integration_latency_ns = tg_loop_now_ns() - request->integration_start_ns;
        request->integration_latency_ms = (int64_t)(request->integration_latency_ns / 1000000);
    }
    run_phases(request);
}

void tg_request_retry_later(struct tg_request *request, uint64_t delay_ms)
{
    request->retried = true;
    request->fault = TG_FAULT_NONE;
    request->fault_detail = TG_EMPTY;
    request->integration_called = false;
    request->integration_latency_ms = -1;
    request->answer = (struct tg_answer){0};
    tg_timer_start(request->engine->loop, &request->timer, delay_ms);
}

bool tg_route_parameter_parse(struct tg_slice text, enum tg_var_scope *scope, struct tg_slice *name)
{
    static const struct {
        struct tg_slice prefix;
        enum tg_var_scope scope;
    } forms[] = {
        {TG_LIT_INIT("route.request.querystring."), TG_VAR_QUERY},
        {TG_LIT_INIT("route.request.header."), TG_VAR_HEADER},
        {TG_LIT_INIT("method.request.querystring."), TG_VAR_QUERY},
        {TG_LIT_INIT("method.request.header."), TG_VAR_HEADER},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (tg_slice_starts(text, forms[i].prefix) && text.len > forms[i].prefix.len) {
            *scope = forms[i].scope;
            *name = tg_slice_from(text, forms[i].prefix.len);
            return true;
        }
    }
    return false;
}
