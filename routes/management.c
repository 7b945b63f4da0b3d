#include "routes/management.h"

#include "routes/credential.h"
#include "routes/management_private.h"
#include "server/base/codec.h"

enum { PAYLOAD_MAX = 131072 };

static const struct tg_slice verbs[] = {
    [TG_PUSH_POST] = TG_LIT_INIT("POST"),
    [TG_PUSH_GET] = TG_LIT_INIT("GET"),
    [TG_PUSH_DELETE] = TG_LIT_INIT("DELETE"),
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

/* ---- the end ---- */

static void count(struct management_call *call)
{
    if (call->stage == NULL || call->verb != TG_PUSH_POST) {
        return;
    }
    struct tg_route_metrics *series =
        tg_metrics_series(call->engine->metrics, call->api->api_id, call->stage->stage_name,
                          TG_LIT("POST /@connections/{connectionId}"));
    if (call->error == MANAGEMENT_OK) {
        tg_metric_add(&series->messages_out, 1);
        tg_metric_add(&series->metered_out, tg_metered(call->body.len));
    } else if (call->error == MANAGEMENT_LIMIT) {
        tg_metric_add(&series->throttled, 1);
    }
}

/* Answers and ends the call. */
static void reply(struct management_call *call, int status, struct tg_headers *headers, struct tg_slice body)
{
    struct tg_exchange *exchange = call->exchange;
    struct tg_model *model = call->model;
    call->status = status;
    count(call);
    if (call->stage != NULL && call->stage->access_log != NULL && management_log(call) != TG_OK) {
        tg_log(call->engine->log, TG_LOG_ERROR, "access log's row lost", TG_KV("api", call->api->api_id));
    }
    tg_list_remove(&call->node);
    exchange->ops->reply(exchange, status, headers, body); /* the call is gone */
    tg_model_unref(model);
}

static void succeed(struct management_call *call, int status, struct tg_slice body)
{
    struct tg_headers headers;
    management_headers(call, &headers);
    reply(call, status, &headers, body);
}

/* error_type and message are those of the table unless the call has its own. */
static void fail(struct management_call *call, enum management_error error)
{
    struct tg_headers headers;
    struct tg_slice body = TG_EMPTY;
    struct tg_slice type = call->error_type.len > 0 ? call->error_type : management_error_type(error);
    struct tg_slice message = call->message.len > 0 ? call->message : management_message(error);
    call->error = error;
    call->message = message;
    management_headers(call, &headers);
    if (error == MANAGEMENT_TOO_LARGE) {
        headers.count = 0;
        type = call->model->management.error_type_on_413 ? type : TG_EMPTY;
    }
    enum tg_err err = message.len > 0 ? management_error_body(call, message, &body) : TG_OK;
    if (err == TG_OK && type.len > 0) {
        err = tg_headers_add(&headers, call->exchange->arena, TG_LIT("x-amzn-ErrorType"), type);
    }
    if (err != TG_OK) {
        body = TG_EMPTY;
    }
    reply(call, management_status(error), &headers, body);
}

static void fail_for(struct management_call *call, enum tg_err err)
{
    tg_log(call->engine->log, TG_LOG_ERROR, "management call failed", TG_KV("api", call->api->api_id),
           TG_KV_ERR(err));
    fail(call, MANAGEMENT_FAILED);
}

/* ---- the push ---- */

static void pushed(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    struct management_call *call = arg;
    struct tg_slice body = TG_EMPTY;
    call->op = NULL;
    switch (outcome) {
    case TG_PUSH_DONE:
        if (info != NULL && management_info_body(call->exchange->arena, info, &body) != TG_OK) {
            fail_for(call, TG_ENOMEM);
            return;
        }
        succeed(call, call->verb == TG_PUSH_DELETE ? 204 : 200, body);
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

static void push(struct management_call *call)
{
    struct tg_push_request request = {
        .verb = call->verb,
        .connection_id = call->id,
        .api_id = call->api->api_id,
        .timeout_ms = (uint64_t)call->model->management.push_timeout_millis,
    };
    enum tg_err err = TG_OK;
    if (call->verb == TG_PUSH_POST) {
        request.binary = call->binary;
        request.payload = call->body;
        err = call->binary ? TG_OK : tg_utf8_repair(call->exchange->arena, call->body, &request.payload);
    } else if (call->verb == TG_PUSH_DELETE) {
        request.close_code = 1000;
        request.close_reason = TG_LIT("Connection Closed Normally");
    }
    if (err == TG_OK) {
        err = tg_push_start(call->engine->push, &request, pushed, call, &call->op);
    }
    if (err == TG_EBUSY) {
        fail(call, MANAGEMENT_LIMIT);
    } else if (err != TG_OK) {
        fail_for(call, err);
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
    *out = (struct tg_sigv4_result){.outcome = TG_SIGV4_OK};
    if (call->model->management.auth == TG_MANAGEMENT_NONE) {
        return TG_OK;
    }
    return tg_sigv4_verify(&request, tg_credential_lookup, call->model, &call->engine->signing_keys,
                           exchange->arena, out);
}

/* MANAGEMENT_OK, or why not; anything but TG_OK is a fault of the gateway. */
static enum tg_err check(struct management_call *call, enum management_error *out)
{
    struct tg_arena *arena = call->exchange->arena;
    struct tg_sigv4_result signature;
    bool allowed = true;
    enum tg_err err = tg_percent_decode(arena, call->raw_id, false, &call->id);
    if (err == TG_OK) {
        err = verify(call, &signature);
    }
    if (err != TG_OK) {
        return err;
    }
    *out = MANAGEMENT_OK;
    const struct tg_stage *stage =
        call->stage_name.len > 0 ? tg_api_stage(call->api, call->stage_name) : &call->api->stages.items[0];
    if (signature.outcome == TG_SIGV4_MISSING_TOKEN) {
        call->stage = stage;
    } else if (tg_push_check_id(call->engine->push, call->id) != TG_OK) {
        call->stage = stage;
        *out = MANAGEMENT_BAD_ID;
        return tg_arena_printf(arena, &call->message, "Invalid connectionId: %.*s", TG_FMT(call->id));
    } else if (stage == NULL) {
        *out = MANAGEMENT_NO_STAGE;
        return TG_OK;
    }
    call->stage = stage;
    if (signature.outcome != TG_SIGV4_OK) {
        *out = MANAGEMENT_SIGNATURE;
        call->error_type = tg_sigv4_error_type(signature.outcome);
        return tg_sigv4_message(&signature, arena, &call->message);
    }
    call->credential = signature.identity;
    if (call->credential != NULL) {
        err = management_allowed(call, &allowed, &call->message);
    }
    if (!allowed) {
        *out = MANAGEMENT_DENIED;
    } else if (!tg_throttle_account(call->engine->throttles, call->model,
                                    tg_loop_now_ms(call->engine->loop))) {
        *out = MANAGEMENT_LIMIT;
    }
    return err;
}

static void body_read(void *arg, enum tg_err err, struct tg_slice body)
{
    struct management_call *call = arg;
    enum management_error error = MANAGEMENT_OK;
    call->body = body;
    if (err == TG_ELIMIT) {
        fail(call, MANAGEMENT_TOO_LARGE);
        return;
    }
    if (err == TG_OK && !call->aborted) {
        err = check(call, &error);
        if (err == TG_OK && error == MANAGEMENT_OK) {
            push(call);
            return;
        }
    }
    if (err == TG_OK && error != MANAGEMENT_OK) {
        fail(call, error);
    } else if (err == TG_ENOMEM) {
        fail_for(call, err);
    } else {
        /* After a time-out and after chunking that cannot be read; when the client has gone nobody hears it.
         */
        reply(call, err == TG_ETIMEOUT ? 408 : 400, &(struct tg_headers){0}, TG_EMPTY);
    }
}

/* ---- the start ---- */

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

static bool find_verb(struct tg_slice method, enum tg_push_verb *out)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (tg_slice_eq(method, verbs[i])) {
            *out = (enum tg_push_verb)i;
            return true;
        }
    }
    return false;
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
    if (call->stage_name.len > 0) {
        (void)tg_slice_cut(path, '/', &rest);
        return rest;
    }
    return path;
}

void tg_management_serve(struct tg_engine *engine, const struct tg_api *api, struct tg_slice stage,
                         struct tg_slice id, struct tg_exchange *exchange)
{
    struct management_call *call = tg_arena_zalloc(exchange->arena, sizeof *call);
    if (call == NULL) {
        exchange->ops->reply(exchange, 500, &(struct tg_headers){0}, TG_EMPTY);
        return;
    }
    call->engine = engine;
    call->exchange = exchange;
    call->model = tg_model_ref(engine->model);
    call->api = api;
    call->stage_name = stage;
    call->raw_id = id;
    tg_request_id_make(&engine->rng, call->gateway_id);
    tg_uuid_make(&engine->rng, call->request_id);
    tg_trace_id_make(&engine->rng, &exchange->headers, exchange->received_ms, call->trace_id);
    tg_task_init(&call->end, end_aborted);
    tg_list_append(&engine->calls, &call->node);
    bool has_verb = find_verb(exchange->method, &call->verb);
    if (!has_verb || id.len == 0 || tg_slice_find(id, '/') < id.len ||
        tg_slice_find(stage, '/') < stage.len || api->stages.count == 0) {
        if (tg_arena_printf(exchange->arena, &call->message,
                            "No method found matching route %.*s for http method %.*s",
                            TG_FMT(route_of(call)), TG_FMT(exchange->method)) != TG_OK) {
            call->message = TG_LIT("Not Found");
        }
        fail(call, MANAGEMENT_NO_METHOD);
        return;
    }
    call->binary = is_binary(api, &exchange->headers);
    exchange->on_abort = on_abort;
    exchange->abort_arg = call;
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
