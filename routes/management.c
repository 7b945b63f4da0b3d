#include "routes/management.h"

#include "routes/credential.h"
#include "routes/management_private.h"
#include "server/base/codec.h"

enum {
    PAYLOAD_MAX = 131072,
    TOGETHER_MAX = 4096 /* payloads up to this length wait for the end of the events at hand */
};

/* ---- the path ---- */

static bool is_connections(struct tg_slice segment)
{
    return tg_slice_eq(segment, TG_LIT("@connections")) || tg_slice_eq(segment, TG_LIT("%40connections"));
}

bool tg_management_match(const struct tg_api *api, struct tg_slice path, struct tg_slice *stage,
                         struct tg_slice *id)
{
    struct tg_slice rest = tg_slice_from(path, 1);
    while (rest.ptr != NULL && tg_slice_starts(path, TG_LIT("/"))) {
        struct tg_slice before = {path.ptr + 1, (size_t)(rest.ptr - path.ptr) - 1};
        if (is_connections(tg_slice_cut(rest, '/', &rest))) {
            if (before.len == 1 || (before.len == 0 && !api->settings.serve_at_root)) {
                return false;
            }
            *stage = tg_slice_head(before, before.len > 0 ? before.len - 1 : 0); /* without the slash */
            *id = rest;
            return true;
        }
    }
    return false;
}

struct tg_call_lane tg_management_lane(const struct tg_api *api, struct tg_slice stage)
{
    struct tg_call_lane lane = {
        .api = api,
        .has_stage = stage.len > 0,
        .nowhere = tg_slice_find(stage, '/') < stage.len || api->stages.count == 0,
    };
    if (!lane.nowhere) {
        lane.stage = lane.has_stage ? tg_api_stage(api, stage) : &api->stages.items[0];
    }
    return lane;
}

/* ---- the end ---- */

static struct tg_route_metrics *series_of(struct management_call *call)
{
    struct tg_call_lane *lane = call->lane;
    if (call->series != NULL) {
        return call->series;
    }
    if (lane != NULL && lane->series != NULL) {
        return lane->series;
    }
    struct tg_route_metrics *series =
        tg_metrics_series(call->engine->metrics, call->api->api_id, call->stage->stage_name,
                          TG_LIT("POST /@connections/{connectionId}"));
    if (lane != NULL) {
        lane->series = series;
    }
    return series;
}

static void count(struct management_call *call)
{
    if (call->stage == NULL || call->verb != TG_PUSH_POST) {
        return;
    }
    struct tg_route_metrics *series = series_of(call);
    if (call->error == MANAGEMENT_OK) {
        tg_metric_add(&series->messages_out, 1);
        tg_metric_add(&series->metered_out, tg_metered(call->body.len));
    } else if (call->error == MANAGEMENT_LIMIT) {
        tg_metric_add(&series->throttled, 1);
    }
}

/* Answers with the first `lines` bytes of the lines, and ends the call. */
static void reply(struct management_call *call, int status, size_t lines, struct tg_slice body)
{
    struct tg_exchange *exchange = call->exchange;
    struct tg_model *held = call->waits ? call->model : NULL;
    call->status = status;
    count(call);
    if (call->stage != NULL && call->stage->access_log != NULL && management_log(call) != TG_OK) {
        tg_log(call->engine->log, TG_LOG_ERROR, "access log's row lost", TG_KV("api", call->api->api_id));
    }
    if (call->waits) {
        tg_list_remove(&call->node);
    }
    exchange->ops->reply_lines(exchange, status, tg_slice_make(call->lines, lines), body);
    if (held != NULL) { /* the call is gone */
        tg_model_unref(held);
    }
}

/* error_type and message are those of the table unless the call has its own. */
static void fail(struct management_call *call, enum management_error error)
{
    size_t lines = call->lines_len;
    struct tg_slice body = TG_EMPTY;
    struct tg_slice type = call->error_type.len > 0 ? call->error_type : management_error_type(error);
    struct tg_slice message = call->message.len > 0 ? call->message : management_message(error);
    call->error = error;
    call->message = message;
    if (error == MANAGEMENT_TOO_LARGE) {
        lines = 0;
        type = call->model->management.error_type_on_413 ? type : TG_EMPTY;
    }
    if (message.len > 0 && management_error_body(call, message, &body) != TG_OK) {
        body = TG_EMPTY;
    }
    if (type.len > 0) {
        lines = management_type_line(call, lines, type);
    }
    reply(call, management_status(error), lines, body);
}

static void fail_for(struct management_call *call, enum tg_err err)
{
    tg_log(call->engine->log, TG_LOG_ERROR, "management call failed", TG_KV("api", call->api->api_id),
           TG_KV_ERR(err));
    fail(call, MANAGEMENT_FAILED);
}

/* ---- what goes on in a later call ---- */

static void end_aborted(struct tg_task *task)
{
    fail(TG_CONTAINER(task, struct management_call, end), MANAGEMENT_UNREACHABLE);
}

/* A frame not written yet is withdrawn: the caller will not know that it was sent. */
static void on_abort(void *arg)
{
    struct management_call *call = arg;
    call->aborted = true;
    if (call->op != NULL) {
        tg_push_cancel(call->op);
        call->op = NULL;
        tg_task_defer(call->engine->loop, &call->end);
    }
}

/* The model may be replaced meanwhile, the lane may be taken, and the client may go. */
static void wait_for_more(struct management_call *call)
{
    if (!call->waits) {
        call->waits = true;
        call->lane = NULL;
        call->model = tg_model_ref(call->model);
        tg_task_init(&call->end, end_aborted);
        tg_list_append(&call->engine->calls, &call->node);
        call->exchange->on_abort = on_abort;
        call->exchange->abort_arg = call;
    }
}

/* ---- the push ---- */

static void conclude(struct management_call *call, enum tg_push_outcome outcome,
                     const struct tg_push_info *info)
{
    struct tg_slice body = TG_EMPTY;
    switch (outcome) {
    case TG_PUSH_DONE:
        if (info != NULL && management_info_body(call->exchange->arena, info, &body) != TG_OK) {
            fail_for(call, TG_ENOMEM);
            return;
        }
        reply(call, call->verb == TG_PUSH_DELETE ? 204 : 200, call->lines_len, body);
        return;
    case TG_PUSH_GONE:
        fail(call, MANAGEMENT_GONE);
        return;
    case TG_PUSH_BUSY:
        fail(call, MANAGEMENT_LIMIT);
        return;
    case TG_PUSH_UNREACHABLE:
        fail(call, MANAGEMENT_UNREACHABLE);
        return;
    case TG_PUSH_FAILED:
        break;
    }
    fail_for(call, TG_ENOMEM);
}

static void pushed(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    struct management_call *call = arg;
    call->op = NULL;
    conclude(call, outcome, info);
}

/* What the call asks for. TG_ENOMEM. */
static enum tg_err make_request(const struct management_call *call, struct tg_push_request *out)
{
    *out = (struct tg_push_request){
        .verb = call->verb,
        .connection_id = call->id,
        .api_id = call->api->api_id,
        .timeout_ms = (uint64_t)call->model->management.push_timeout_millis,
    };
    if (call->verb == TG_PUSH_POST) {
        out->binary = call->binary;
        out->payload = call->body;
        return call->binary ? TG_OK : tg_utf8_repair(call->exchange->arena, call->body, &out->payload);
    }
    if (call->verb == TG_PUSH_DELETE) {
        out->close_code = 1000;
        out->close_reason = TG_LIT("Connection Closed Normally");
    }
    return TG_OK;
}

/* Whether it is done, with this outcome. Otherwise the call waits, or has failed. */
static bool try_push(struct management_call *call, enum tg_push_outcome *outcome)
{
    struct tg_push_request request;
    enum tg_err err = make_request(call, &request);
    if (err == TG_OK && tg_push_now(call->engine->push, &request, outcome)) {
        return true;
    }
    if (err == TG_OK) {
        wait_for_more(call);
        err = tg_push_start(call->engine->push, &request, pushed, call, &call->op);
    }
    if (err == TG_EBUSY) {
        fail(call, MANAGEMENT_LIMIT);
    } else if (err != TG_OK) {
        fail_for(call, err);
    }
    return false;
}

static void push_all(struct tg_engine *engine)
{
    struct tg_list done, *node;
    tg_list_init(&done);
    while ((node = tg_list_pop(&engine->pushes)) != NULL) {
        struct management_call *call = TG_CONTAINER(node, struct management_call, node);
        if (try_push(call, &call->outcome)) {
            tg_list_append(&done, &call->node);
        }
    }
    while ((node = tg_list_pop(&done)) != NULL) {
        struct management_call *call = TG_CONTAINER(node, struct management_call, node);
        conclude(call, call->outcome, NULL);
    }
}

void tg_management_push_all(struct tg_task *task)
{
    push_all(TG_CONTAINER(task, struct tg_engine, push_all));
}

/* Short ones are done together, when more events are at hand: all requests are read first, then all frames
 * written, then all answers, each with its code in the processor's cache, and those who get them are woken
 * less often. Until then neither the model nor what the call points to is replaced, as mail comes later in
 * the pass, but its lane may be taken. What goes at once does not overtake them. */
static void push(struct management_call *call)
{
    struct tg_engine *engine = call->engine;
    bool more = !tg_list_empty(&engine->pushes) || tg_loop_events_left(engine->loop) > 0;
    enum tg_push_outcome outcome;
    if (more && !call->waits && call->verb == TG_PUSH_POST && call->body.len <= TOGETHER_MAX) {
        call->series = series_of(call);
        call->lane = NULL;
        tg_list_append(&engine->pushes, &call->node);
        tg_task_defer_to_events(engine->loop, &engine->push_all);
        return;
    }
    push_all(engine);
    if (try_push(call, &outcome)) {
        conclude(call, outcome, NULL);
    }
}

/* ---- the checks, in the order of 5.3 ---- */

static enum tg_err verify(struct management_call *call, struct tg_sigv4_result *out)
{
    const struct tg_exchange *exchange = call->exchange;
    const struct tg_sigv4_request request = {
        .method = exchange->method,
        .path = exchange->path,
        .query = exchange->query,
        .headers = &exchange->headers,
        .payload = call->body,
        .region = call->model->region,
        .service = TG_LIT("execute-api"),
        .now_ms = tg_loop_wall_ms(call->engine->loop),
    };
    return tg_sigv4_verify(&request, tg_credential_lookup, call->model, &call->engine->signing_keys,
                           exchange->arena, out);
}

static bool is_throttled(struct management_call *call)
{
    struct tg_engine *engine = call->engine;
    uint64_t now = tg_loop_now_ms(engine->loop);
    return !(call->model == engine->model ? tg_throttle_take(tg_lane_account(engine), now)
                                          : tg_throttle_account(engine->throttles, call->model, now));
}

/* What the signature says, which the checks of id and stage come before unless there is none at all. */
static enum tg_err check_signer(struct management_call *call, const struct tg_sigv4_result *signature,
                                enum management_error *out)
{
    bool allowed = true;
    enum tg_err err = TG_OK;
    if (signature->outcome != TG_SIGV4_OK) {
        *out = MANAGEMENT_SIGNATURE;
        call->error_type = tg_sigv4_error_type(signature->outcome);
        return tg_sigv4_message(signature, call->exchange->arena, &call->message);
    }
    call->credential = signature->identity;
    if (call->credential != NULL) {
        err = management_allowed(call, &allowed, &call->message);
    }
    if (!allowed) {
        *out = MANAGEMENT_DENIED;
    }
    return err;
}

/* MANAGEMENT_OK, or why not; anything but TG_OK is a fault of the gateway. */
static enum tg_err check(struct management_call *call, enum management_error *out)
{
    struct tg_arena *arena = call->exchange->arena;
    struct tg_sigv4_result signature;
    bool is_signed = call->model->management.auth != TG_MANAGEMENT_NONE;
    enum tg_err err = is_signed ? verify(call, &signature) : TG_OK;
    if (err != TG_OK) {
        return err;
    }
    *out = MANAGEMENT_OK;
    if (is_signed && signature.outcome == TG_SIGV4_MISSING_TOKEN) {
        call->stage = call->found;
    } else if (tg_push_check_id(call->engine->push, call->id) != TG_OK) {
        call->stage = call->found;
        *out = MANAGEMENT_BAD_ID;
        return tg_arena_printf(arena, &call->message, "Invalid connectionId: %.*s", TG_FMT(call->id));
    } else if (call->found == NULL) {
        *out = MANAGEMENT_NO_STAGE;
        return TG_OK;
    }
    call->stage = call->found;
    if (is_signed) {
        err = check_signer(call, &signature, out);
    }
    if (err == TG_OK && *out == MANAGEMENT_OK && is_throttled(call)) {
        *out = MANAGEMENT_LIMIT;
    }
    return err;
}

static void go_on(struct management_call *call, enum tg_err err)
{
    enum management_error error = MANAGEMENT_OK;
    if (err == TG_OK) {
        err = check(call, &error);
        if (err == TG_OK && error == MANAGEMENT_OK) {
            push(call);
            return;
        }
    }
    if (err == TG_OK) {
        fail(call, error);
    } else if (err == TG_ENOMEM) {
        fail_for(call, err);
    } else {
        /* After a time-out and after chunking that cannot be read; when the client has gone nobody hears it.
         */
        reply(call, err == TG_ETIMEOUT ? 408 : 400, 0, TG_EMPTY);
    }
}

static void body_read(void *arg, enum tg_err err, struct tg_slice body)
{
    struct management_call *call = arg;
    call->body = body;
    if (err == TG_ELIMIT) {
        fail(call, MANAGEMENT_TOO_LARGE);
        return;
    }
    go_on(call, err == TG_OK && call->aborted ? TG_ECLOSED : err);
}

/* ---- the start ---- */

static bool find_verb(struct tg_slice method, enum tg_push_verb *out)
{
    if (tg_slice_eq(method, TG_LIT("POST"))) {
        *out = TG_PUSH_POST;
    } else if (tg_slice_eq(method, TG_LIT("GET"))) {
        *out = TG_PUSH_GET;
    } else if (tg_slice_eq(method, TG_LIT("DELETE"))) {
        *out = TG_PUSH_DELETE;
    } else {
        return false;
    }
    return true;
}

static bool is_binary(const struct tg_api *api, const struct tg_headers *headers)
{
    struct tg_slice rest;
    const struct tg_header *type =
        api->settings.binary_frames ? tg_headers_first(headers, TG_LIT("Content-Type")) : NULL;
    return type != NULL && tg_slice_eq_nocase(tg_slice_trim(tg_slice_cut(type->value, ';', &rest)),
                                              TG_LIT("application/octet-stream"));
}

/* What stands behind the stage, as the native service names it. */
static struct tg_slice route_of(const struct management_call *call)
{
    struct tg_slice rest;
    struct tg_slice path = tg_slice_from(call->exchange->path, 1);
    if (call->has_stage) {
        (void)tg_slice_cut(path, '/', &rest);
        return rest;
    }
    return path;
}

static void find_nothing(struct management_call *call)
{
    if (tg_arena_printf(call->exchange->arena, &call->message,
                        "No method found matching route %.*s for http method %.*s", TG_FMT(route_of(call)),
                        TG_FMT(call->exchange->method)) != TG_OK) {
        call->message = TG_LIT("Not Found");
    }
    fail(call, MANAGEMENT_NO_METHOD);
}

void tg_management_serve(struct tg_engine *engine, struct tg_call_lane *lane, struct tg_slice id,
                         struct tg_exchange *exchange)
{
    struct management_call *call = tg_arena_alloc(exchange->arena, sizeof *call);
    struct tg_slice decoded;
    if (call == NULL || tg_percent_decode(exchange->arena, id, false, &decoded) != TG_OK) {
        exchange->ops->reply(exchange, 500, &(struct tg_headers){0}, TG_EMPTY);
        return;
    }
    memset(call, 0, offsetof(struct management_call, lines_len));
    call->engine = engine;
    call->exchange = exchange;
    call->model = engine->model;
    call->lane = lane;
    call->api = lane->api;
    call->found = lane->stage;
    call->has_stage = lane->has_stage;
    call->id = decoded;
    tg_push_expect(engine->push, call->id);
    management_lines(call);
    if (!find_verb(exchange->method, &call->verb) || id.len == 0 || tg_slice_find(id, '/') < id.len ||
        lane->nowhere) {
        find_nothing(call);
        return;
    }
    call->binary = is_binary(lane->api, &exchange->headers);
    if (exchange->ops->body_at_hand(exchange, PAYLOAD_MAX, &call->body)) {
        go_on(call, TG_OK);
        return;
    }
    wait_for_more(call);
    exchange->ops->read_body(exchange, PAYLOAD_MAX, body_read, call);
}

void tg_management_abort(struct tg_engine *engine)
{
    struct tg_list *node = engine->calls.next;
    while (node != &engine->calls) {
        struct management_call *call = TG_CONTAINER(node, struct management_call, node);
        node = node->next;
        if (call->op != NULL) {
            tg_push_cancel(call->op);
            call->op = NULL;
        }
        tg_task_cancel(&call->end);
        fail(call, MANAGEMENT_UNREACHABLE); /* also one whose body has not come yet */
    }
}
