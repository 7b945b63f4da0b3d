/* The answers of HTTP APIs: every one goes out here, whoever made it. */
#include "routes/context.h"
#include "routes/cors.h"
#include "routes/http.h"
#include "routes/httpmapping.h"

int tg_http_status(const struct tg_request *request)
{
    const struct tg_http *http = request->http;
    if (http->head_sent) {
        return http->status_sent;
    }
    return request->fault != TG_FAULT_NONE ? tg_fault_http_status(request->fault) : request->answer.status;
}

/* What stands on every answer of an API, the gateway's own included (1.4, 1.8.2). */
static enum tg_err add_own(struct tg_request *request, struct tg_headers *headers)
{
    const struct tg_cors *cors = request->api->cors;
    enum tg_err err = TG_OK;
    if (cors != NULL && !request->http->preflight) {
        err = tg_cors_apply(cors, &request->headers, &request->arena, headers);
    }
    if (err == TG_OK) {
        err = tg_headers_add(headers, &request->arena, TG_LIT("Apigw-Requestid"),
                             tg_slice_cstr(tg_request_id(request)));
    }
    return err;
}

enum tg_err tg_http_head(struct tg_request *request, int *status, struct tg_headers *headers)
{
    const struct tg_integration *integration = request->route->integration;
    const struct tg_httpmapping_response *mapping =
        integration->http_mapping != NULL ? tg_httpmapping_response_for(integration->http_mapping, *status)
                                          : NULL;
    if (mapping != NULL) {
        struct tg_vars vars = tg_request_vars(request);
        struct tg_slice detail = TG_EMPTY;
        request->answer.status = *status; /* what expressions read of the answer */
        request->answer.headers = *headers;
        enum tg_err err =
            tg_httpmapping_apply_response(mapping, &vars, &request->arena, status, headers, &detail);
        if (err == TG_EINVAL) {
            return tg_request_fail(request, TG_FAULT_CONFIGURATION, detail);
        }
        if (err != TG_OK) {
            return err;
        }
    }
    tg_headers_remove(headers, TG_LIT("Apigw-Requestid"));
    return add_own(request, headers);
}

enum tg_err tg_http_start(struct tg_request *request, int status, const struct tg_headers *headers,
                          int64_t length)
{
    struct tg_http *http = request->http;
    enum tg_err err = http->exchange->ops->start(http->exchange, status, headers, length);
    if (err == TG_OK || err == TG_ECLOSED) {
        http->head_sent = true;
        http->status_sent = status;
    }
    return err;
}

void tg_http_end(struct tg_request *request, bool whole)
{
    struct tg_exchange *exchange = request->http->exchange;
    request->http->exchange = NULL;
    exchange->ops->end(exchange, whole);
}

/* An answer of the gateway's own: {"message":"..."} (1.12). */
static enum tg_err fault_answer(struct tg_request *request, int *status, struct tg_headers *headers,
                                struct tg_slice *body)
{
    *status = tg_fault_http_status(request->fault);
    enum tg_err err = tg_arena_printf(&request->arena, body, "{\"message\":\"%s\"}",
                                      tg_fault_http_message(request->fault).ptr);
    if (err == TG_OK) {
        err = tg_headers_add(headers, &request->arena, TG_LIT("Content-Type"), TG_LIT("application/json"));
    }
    return err == TG_OK ? add_own(request, headers) : err;
}

void tg_http_reply(struct tg_request *request)
{
    struct tg_http *http = request->http;
    struct tg_headers headers = {0};
    struct tg_slice body = TG_EMPTY;
    int status = 500;
    enum tg_err err = TG_OK;
    if (http->exchange == NULL) {
        return;
    }
    if (http->head_sent) {
        tg_http_end(request, false); /* begun, and failed since: the client must be able to tell */
        return;
    }
    if (request->fault == TG_FAULT_NONE) {
        status = request->answer.status;
        headers = request->answer.headers;
        body = request->answer.body;
        if (http->from_integration) {
            err = tg_http_head(request, &status, &headers);
        } else {
            err = add_own(request, &headers);
        }
        request->answer.status = status;
        if (err != TG_OK && request->fault == TG_FAULT_NONE) {
            (void)tg_request_fail(request, TG_FAULT_INTERNAL, tg_slice_cstr(tg_err_text(err)));
        }
    }
    if (request->fault != TG_FAULT_NONE) {
        headers = (struct tg_headers){0};
        err = fault_answer(request, &status, &headers, &body);
    }
    if (err != TG_OK) {
        headers = (struct tg_headers){0};
        body = TG_EMPTY;
    }
    struct tg_exchange *exchange = http->exchange;
    http->exchange = NULL;
    http->bytes_out = body.len;
    http->status_sent = status;
    http->head_sent = true;
    exchange->ops->reply(exchange, status, &headers, body);
}
