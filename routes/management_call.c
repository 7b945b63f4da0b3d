/* A management call on its way, whatever it asks for: its body, the checks, waiting, the answer. */
#include "routes/credential.h"
#include "routes/management.h"
#include "routes/management_private.h"

/* ---- the end ---- */

struct tg_route_metrics *management_series(struct management_call *call)
{
    struct tg_call_lane *lane = call->lane;
    if (call->series != NULL) {
        return call->series;
    }
    if (lane != NULL && lane->series != NULL) {
        return lane->series;
    }
    struct tg_route_metrics *series = tg_metrics_series(call->engine->metrics, call->api->api_id,
                                                        call->stage->stage_name, management_post(call));
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
    struct tg_route_metrics *series = management_series(call);
    if (call->error == MANAGEMENT_OK) {
        tg_metric_add(&series->messages_out, call->delivered);
        tg_metric_add(&series->metered_out, call->delivered * tg_metered(call->body.len));
        if (call->throttled > 0) {
            tg_metric_add(&series->throttled, call->throttled);
        }
    } else if (call->error == MANAGEMENT_LIMIT) {
        tg_metric_add(&series->throttled, 1);
    }
}

void management_reply(struct management_call *call, int status, size_t lines, struct tg_slice body)
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

void management_fail(struct management_call *call, enum management_error error)
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
    management_reply(call, management_status(error), lines, body);
}

void management_fail_for(struct management_call *call, enum tg_err err)
{
    tg_log(call->engine->log, TG_LOG_ERROR, "management call failed", TG_KV("api", call->api->api_id),
           TG_KV_ERR(err));
    management_fail(call, MANAGEMENT_FAILED);
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

void management_find_nothing(struct management_call *call)
{
    if (tg_arena_printf(call->exchange->arena, &call->message,
                        "No method found matching route %.*s for http method %.*s", TG_FMT(route_of(call)),
                        TG_FMT(call->exchange->method)) != TG_OK) {
        call->message = TG_LIT("Not Found");
    }
    management_fail(call, MANAGEMENT_NO_METHOD);
}

/* ---- what goes on in a later call ---- */

static void end_aborted(struct tg_task *task)
{
    management_fail(TG_CONTAINER(task, struct management_call, end), MANAGEMENT_UNREACHABLE);
}

/* A frame not written yet is withdrawn: the caller will not know that it was sent. False: nothing was under
 * way. */
static bool cancel(struct management_call *call)
{
    bool under_way = call->op != NULL || call->batch != NULL || call->work != NULL;
    if (call->op != NULL) {
        tg_push_cancel(call->op);
    }
    if (call->batch != NULL) {
        tg_batch_cancel(call->batch);
    }
    if (call->work != NULL) {
        tg_task_cancel(call->work);
    }
    call->op = NULL;
    call->batch = NULL;
    call->work = NULL;
    return under_way;
}

static void on_abort(void *arg)
{
    struct management_call *call = arg;
    call->aborted = true;
    if (cancel(call)) {
        tg_task_defer(call->engine->loop, &call->end);
    }
}

void management_wait(struct management_call *call)
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

/* What the signature says, which the checks of id and stage come before unless there is none at all; and the
 * signer's policy, of one connection. */
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
    if (call->credential != NULL && !call->is_batch) {
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
    } else if (!call->is_batch && tg_push_check_id(call->engine->push, call->id) != TG_OK) {
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
            if (call->is_batch) {
                management_send_batch(call);
            } else {
                management_push(call);
            }
            return;
        }
    }
    if (err == TG_OK) {
        management_fail(call, error);
    } else if (err == TG_ENOMEM) {
        management_fail_for(call, err);
    } else {
        /* After a time-out and after chunking that cannot be read; when the client has gone nobody hears it.
         */
        management_reply(call, err == TG_ETIMEOUT ? 408 : 400, 0, TG_EMPTY);
    }
}

static void on_body(void *arg, enum tg_err err, struct tg_slice body)
{
    struct management_call *call = arg;
    call->body = body;
    if (err == TG_ELIMIT) {
        management_fail(call, MANAGEMENT_TOO_LARGE);
        return;
    }
    go_on(call, err == TG_OK && call->aborted ? TG_ECLOSED : err);
}

/* ---- the start ---- */

void management_read(struct management_call *call, size_t limit)
{
    struct tg_exchange *exchange = call->exchange;
    if (exchange->ops->body_at_hand(exchange, limit, &call->body)) {
        go_on(call, TG_OK);
        return;
    }
    management_wait(call);
    exchange->ops->read_body(exchange, limit, on_body, call);
}

void tg_management_abort(struct tg_engine *engine)
{
    struct tg_list *node = engine->calls.next;
    while (node != &engine->calls) {
        struct management_call *call = TG_CONTAINER(node, struct management_call, node);
        node = node->next;
        (void)cancel(call);
        tg_task_cancel(&call->end);
        management_fail(call, MANAGEMENT_UNREACHABLE); /* also one whose body has not come yet */
    }
}
