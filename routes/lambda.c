#include "routes/lambda.h"

#include <stdlib.h>

#include "routes/event.h"
#include "routes/stagevars.h"
#include "routes/target.h"
#include "server/base/codec.h"
#include "server/base/json.h"

/* ---- invoking ---- */

struct invocation {
    struct tg_request *request;
    struct tg_call_request call;
    tg_lambda_done_fn *done;
    struct tg_call *handle;
    struct tg_task later; /* an outcome known at once, told later */
    enum tg_lambda_outcome outcome;
    enum tg_err err;
};

static void finish(struct invocation *invocation, enum tg_lambda_outcome outcome, struct tg_slice payload)
{
    struct tg_request *request = invocation->request;
    request->cancel = NULL;
    request->gated = NULL;
    request->pending = NULL;
    invocation->done(request, outcome, payload);
}

static void on_task(struct tg_task *task)
{
    struct invocation *invocation = TG_CONTAINER(task, struct invocation, later);
    finish(invocation, invocation->outcome, tg_slice_cstr(tg_err_text(invocation->err)));
}

static void fetched(void *arg, enum tg_err err, const struct tg_call_response *response)
{
    struct invocation *invocation = arg;
    if (err == TG_ETIMEOUT) {
        finish(invocation, TG_LAMBDA_TIMEOUT, TG_EMPTY);
    } else if (err != TG_OK) {
        finish(invocation, TG_LAMBDA_UNREACHABLE, tg_slice_cstr(tg_err_text(err)));
    } else if (response->status == 403 || response->status == 404) {
        finish(invocation, TG_LAMBDA_NO_FUNCTION, response->body);
    } else if (response->status < 200 || response->status > 299) {
        finish(invocation, TG_LAMBDA_UNREACHABLE,
               TG_LIT("the function's runtime answered with an error status"));
    } else if (tg_headers_first(&response->headers, TG_LIT("X-Amz-Function-Error")) != NULL) {
        finish(invocation, TG_LAMBDA_FUNCTION_ERROR, response->body);
    } else {
        finish(invocation, TG_LAMBDA_OK, response->body);
    }
}

static void cancel(struct tg_request *request)
{
    struct invocation *invocation = request->pending;
    request->cancel = NULL;
    request->gated = NULL;
    request->pending = NULL;
    tg_task_cancel(&invocation->later);
    if (invocation->handle != NULL) {
        tg_call_cancel(invocation->handle);
    }
}

static enum tg_err add_headers(struct tg_request *request, struct tg_headers *headers, struct tg_slice host)
{
    struct tg_arena *arena = &request->arena;
    struct tg_slice agent, arn;
    enum tg_err err = tg_arena_printf(arena, &agent, "AmazonAPIGateway_%.*s", TG_FMT(request->api->api_id));
    if (err == TG_OK) {
        err = tg_event_method_arn(request, &arn);
    }
    const struct tg_header fields[] = {
        {TG_LIT("Host"), host},
        {TG_LIT("User-Agent"), agent},
        {TG_LIT("x-amzn-apigateway-api-id"), request->api->api_id},
        {TG_LIT("X-Amz-Invocation-Type"), TG_LIT("RequestResponse")},
        {TG_LIT("X-Amz-Source-Arn"), arn},
        {TG_LIT("x-amzn-lambda-integration-tag"), tg_slice_cstr(tg_request_id(request))},
        {TG_LIT("Accept"), TG_LIT("application/json")},
        {TG_LIT("Content-Type"), TG_LIT("application/json")},
        {TG_LIT("X-Amzn-Trace-Id"), tg_slice_cstr(request->trace_id)},
    };
    for (size_t i = 0; err == TG_OK && i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].value.len > 0) {
            err = tg_headers_add(headers, arena, fields[i].name, fields[i].value);
        }
    }
    return err;
}

/* `my-function` or `my-function:alias`: the alias becomes the qualifier. */
static enum tg_err invoke_target(struct tg_request *request, struct tg_slice base, struct tg_slice name,
                                 struct tg_slice qualifier, struct tg_slice *out)
{
    struct tg_buf text;
    if (base.len > 0 && base.ptr[base.len - 1] == '/') {
        base.len--;
    }
    tg_buf_init(&text, 8192);
    enum tg_err err = tg_buf_append(&text, base);
    if (err == TG_OK) {
        err = tg_buf_append(&text, TG_LIT("/2015-03-31/functions/"));
    }
    if (err == TG_OK) {
        err = tg_percent_encode(&text, name, false);
    }
    if (err == TG_OK) {
        err = tg_buf_append(&text, TG_LIT("/invocations"));
    }
    if (err == TG_OK && qualifier.len > 0) {
        err = tg_buf_append(&text, TG_LIT("?Qualifier="));
        if (err == TG_OK) {
            err = tg_percent_encode(&text, qualifier, false);
        }
    }
    if (err == TG_OK) {
        err = tg_arena_copy(&request->arena, tg_buf_slice(&text), out);
    }
    tg_buf_free(&text);
    return err;
}

static enum tg_err start(struct invocation *invocation, const struct tg_stagevars *function_name)
{
    struct tg_request *request = invocation->request;
    struct tg_call_request *call = &invocation->call;
    struct tg_slice text, missing, qualifier;
    enum tg_err err = tg_stagevars_evaluate(function_name, &request->stage->stage_variables, &request->arena,
                                            &text, &missing);
    if (err != TG_OK) {
        return err;
    }
    struct tg_slice name = tg_slice_cut(text, ':', &qualifier);
    const struct tg_function *function = tg_map_get(&request->model->function_map, name);
    if (function == NULL) {
        return TG_ENOTFOUND;
    }
    const struct tg_target_address *address = &function->target->address;
    err = invoke_target(request, address->path_query,
                        function->invoke_name.len > 0 ? function->invoke_name : function->name, qualifier,
                        &call->target);
    if (err == TG_OK) {
        err = add_headers(request, &call->headers, address->host_header);
    }
    if (err != TG_OK) {
        return err;
    }
    call->origin = address->origin;
    call->origin.trust = function->trust;
    call->origin.server_name = function->tls_config.server_name_to_verify;
    call->method = TG_LIT("POST");
    call->max_body = request->engine->max_response;
    call->may_go = request->gate != NULL ? tg_request_may_go : NULL;
    call->may_go_arg = request;
    return tg_upstream_fetch(request->engine->upstream, call, &request->arena, fetched, invocation,
                             &invocation->handle);
}

enum tg_err tg_lambda_invoke(struct tg_request *request, const struct tg_stagevars *function_name,
                             struct tg_slice event, uint64_t timeout_ms, tg_lambda_done_fn *done)
{
    struct invocation *invocation = tg_arena_zalloc(&request->arena, sizeof *invocation);
    if (invocation == NULL) {
        return TG_ENOMEM;
    }
    invocation->request = request;
    invocation->done = done;
    invocation->call.body = event;
    invocation->call.timeout_ms = timeout_ms;
    tg_task_init(&invocation->later, on_task);
    enum tg_err err = start(invocation, function_name);
    if (err == TG_ENOMEM) {
        return err;
    }
    if (err != TG_OK) {
        invocation->outcome = err == TG_ENOTFOUND ? TG_LAMBDA_NO_FUNCTION : TG_LAMBDA_UNREACHABLE;
        invocation->err = err;
        invocation->handle = NULL;
        tg_task_defer(request->engine->loop, &invocation->later);
    }
    request->pending = invocation;
    request->cancel = cancel;
    return TG_OK;
}

void tg_lambda_fail(struct tg_request *request, enum tg_lambda_outcome outcome, struct tg_slice payload,
                    enum tg_fault function_fault)
{
    switch (outcome) {
    case TG_LAMBDA_OK:
        break;
    case TG_LAMBDA_FUNCTION_ERROR:
        request->integration_status = 200;
        (void)tg_request_fail(request, function_fault, TG_LIT("the function failed"));
        break;
    case TG_LAMBDA_TIMEOUT:
        (void)tg_request_fail(request, TG_FAULT_TIMEOUT, TG_LIT("the function did not answer in time"));
        break;
    case TG_LAMBDA_NO_FUNCTION:
        (void)tg_request_fail(request, TG_FAULT_CONFIGURATION, TG_LIT("no such function"));
        break;
    case TG_LAMBDA_UNREACHABLE:
        (void)tg_request_fail(request, TG_FAULT_INTEGRATION, payload);
        break;
    }
}

/* ---- reading what came back ---- */

struct reader {
    struct tg_arena *arena;
    struct tg_headers *headers;
    enum tg_err err;
};

static void add_header(struct reader *reader, struct tg_slice name, const struct tg_json *value)
{
    struct tg_slice text;
    if (reader->err == TG_OK) {
        reader->err = tg_json_stringify(reader->arena, value, &text);
    }
    if (reader->err == TG_OK) {
        reader->err = tg_headers_add(reader->headers, reader->arena, name, text);
    }
}

static bool is_scalar(const struct tg_json *value)
{
    enum tg_json_type type = tg_json_type(value);
    return type == TG_JSON_STRING || type == TG_JSON_INTEGER || type == TG_JSON_REAL || type == TG_JSON_BOOL;
}

static bool visit_single(void *arg, struct tg_slice name, const struct tg_json *value)
{
    struct reader *reader = arg;
    if (is_scalar(value)) {
        tg_headers_remove(reader->headers, name);
        add_header(reader, name, value);
    }
    return reader->err == TG_OK;
}

static bool visit_multi(void *arg, struct tg_slice name, const struct tg_json *value)
{
    struct reader *reader = arg;
    tg_headers_remove(reader->headers, name);
    for (size_t i = 0; i < tg_json_count(value); i++) {
        if (is_scalar(tg_json_at(value, i))) {
            add_header(reader, name, tg_json_at(value, i));
        }
    }
    return reader->err == TG_OK;
}

/* Both maps; a name in both: the multi-value one counts. */
static enum tg_err read_headers(struct tg_arena *arena, const struct tg_json *result, struct tg_headers *out)
{
    struct reader reader = {.arena = arena, .headers = out, .err = TG_OK};
    tg_json_each(tg_json_get(result, TG_LIT("headers")), visit_single, &reader);
    tg_json_each(tg_json_get(result, TG_LIT("multiValueHeaders")), visit_multi, &reader);
    return reader.err;
}

static bool read_status(const struct tg_json *value, int *out)
{
    uint64_t number;
    if (tg_json_type(value) == TG_JSON_INTEGER && tg_json_integer(value) >= 0) {
        number = (uint64_t)tg_json_integer(value);
    } else if (tg_json_type(value) != TG_JSON_STRING ||
               tg_slice_to_u64(tg_json_string(value), &number) != TG_OK) {
        return false;
    }
    if (number < 100 || number > 999) {
        return false;
    }
    *out = (int)number;
    return true;
}

static bool is_map_or_absent(const struct tg_json *value)
{
    enum tg_json_type type = tg_json_type(value);
    return type == TG_JSON_NULL || type == TG_JSON_OBJECT;
}

enum tg_err tg_lambda_read_result(struct tg_arena *arena, struct tg_slice payload, struct tg_answer *out,
                                  struct tg_slice *detail)
{
    const struct tg_json *result;
    struct tg_answer answer = {0};
    enum tg_err err = tg_json_parse(arena, payload, &result);
    if (err != TG_OK) {
        *detail = TG_LIT("the function's result is not JSON");
        return err;
    }
    const struct tg_json *body = tg_json_get(result, TG_LIT("body"));
    const struct tg_json *encoded = tg_json_get(result, TG_LIT("isBase64Encoded"));
    enum tg_json_type body_type = tg_json_type(body);
    *detail = TG_EMPTY;
    if (tg_json_type(result) != TG_JSON_OBJECT) {
        *detail = TG_LIT("the function's result is not an object");
    } else if (!read_status(tg_json_get(result, TG_LIT("statusCode")), &answer.status)) {
        *detail = TG_LIT("the function's result has no integer statusCode");
    } else if (body_type != TG_JSON_NULL && body_type != TG_JSON_STRING) {
        *detail = TG_LIT("the body of the function's result is not a string");
    } else if (!is_map_or_absent(tg_json_get(result, TG_LIT("headers"))) ||
               !is_map_or_absent(tg_json_get(result, TG_LIT("multiValueHeaders")))) {
        *detail = TG_LIT("the headers of the function's result are not an object");
    }
    if (detail->len > 0) {
        return TG_ESYNTAX;
    }
    answer.body = tg_json_string(body);
    if (tg_json_bool(encoded)) {
        err = tg_base64_decode(arena, answer.body, &answer.body);
        if (err != TG_OK) {
            *detail = TG_LIT("the body of the function's result is not base64");
            return err;
        }
    }
    err = read_headers(arena, result, &answer.headers);
    if (err == TG_OK) {
        *out = answer;
    }
    return err;
}
