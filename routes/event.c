#include "routes/event.h"

#include "routes/http.h"
#include "routes/jsonout.h"
#include "server/base/codec.h"

/* The request and the text that becomes its event. */
struct writer {
    struct tg_jsonout json;
    struct tg_request *request;
};

static void raw(struct writer *w, const char *text)
{
    tg_jsonout_raw(&w->json, text);
}

static void number(struct writer *w, int64_t value)
{
    tg_jsonout_number(&w->json, value);
}

static void member(struct writer *w, const char *before, struct tg_slice value)
{
    tg_jsonout_member(&w->json, before, value);
}

/* ---- headers of a handshake ---- */

static bool in_connect_event(struct tg_slice name)
{
    return !tg_slice_eq_nocase(name, TG_LIT("Connection")) && !tg_slice_eq_nocase(name, TG_LIT("Upgrade")) &&
           !tg_slice_eq_nocase(name, TG_LIT("Content-Length"));
}

/* The headers that an event shows: for the authoriser with Connection, Upgrade and content-length as recorded
 * (7.2). */
static enum tg_err event_headers(struct tg_request *request, bool authorizer, struct tg_headers *out)
{
    struct tg_arena *arena = &request->arena;
    struct tg_slice forwarded, port;
    enum tg_err err = TG_OK;
    if (authorizer) {
        err = tg_headers_add(out, arena, TG_LIT("Connection"), TG_LIT("upgrade"));
        if (err == TG_OK) {
            err = tg_headers_add(out, arena, TG_LIT("content-length"), TG_LIT("0"));
        }
    }
    for (size_t i = 0; err == TG_OK && i < request->headers.count; i++) {
        const struct tg_header *field = &request->headers.items[i];
        if (in_connect_event(field->name) && !tg_header_is_forwarding(field->name)) {
            err = tg_headers_add(out, arena, field->name, field->value);
        }
    }
    if (err == TG_OK && authorizer) {
        err = tg_headers_add(out, arena, TG_LIT("Upgrade"), TG_LIT("websocket"));
    }
    if (err == TG_OK) {
        err = tg_headers_add(out, arena, TG_LIT("X-Amzn-Trace-Id"), tg_slice_cstr(request->trace_id));
    }
    if (err == TG_OK) {
        err = tg_forwarded_for(arena, &request->headers, request->info->source_ip, &forwarded);
    }
    if (err == TG_OK) {
        err = tg_headers_add(out, arena, TG_LIT("X-Forwarded-For"), forwarded);
    }
    if (err == TG_OK) {
        err = tg_arena_printf(arena, &port, "%u", request->port);
    }
    if (err == TG_OK) {
        err = tg_headers_add(out, arena, TG_LIT("X-Forwarded-Port"), port);
    }
    if (err == TG_OK) {
        err = tg_headers_add(out, arena, TG_LIT("X-Forwarded-Proto"),
                             request->secure ? TG_LIT("https") : TG_LIT("http"));
    }
    return err;
}

static void headers(struct writer *w, bool authorizer)
{
    struct tg_headers list = {0};
    if (w->json.err == TG_OK) {
        w->json.err = event_headers(w->request, authorizer, &list);
    }
    raw(w, "\"headers\":");
    tg_jsonout_fields(&w->json, &list, true, TG_JSONOUT_LAST);
    raw(w, ",\"multiValueHeaders\":");
    tg_jsonout_fields(&w->json, &list, true, TG_JSONOUT_EVERY);
}

/* The four fields of recorded DISCONNECT events (3.4). */
static void disconnect_headers(struct writer *w)
{
    member(w, "\"headers\":{\"Host\":", w->request->info->domain_name);
    member(
        w,
        ",\"x-api-key\":\"\",\"X-Forwarded-For\":\"\",\"x-restapi\":\"\"},\"multiValueHeaders\":{\"Host\":[",
        w->request->info->domain_name);
    raw(w, "],\"x-api-key\":[\"\"],\"X-Forwarded-For\":[\"\"],\"x-restapi\":[\"\"]}");
}

/* ---- requestContext ---- */

static void authorizer_member(struct writer *w)
{
    struct tg_request *request = w->request;
    raw(w, ",\"authorizer\":{");
    const struct tg_string_map *map = &request->info->authorizer;
    tg_jsonout_members(&w->json, "", map);
    if (request->kind == TG_REQUEST_CONNECT) {
        raw(w, map->count > 0 ? ",\"integrationLatency\":" : "\"integrationLatency\":");
        number(w, request->authorizer_latency_ms >= 0 ? request->authorizer_latency_ms : 0);
    }
    raw(w, "}");
}

static void request_context(struct writer *w)
{
    static const char *const types[] = {"CONNECT", "MESSAGE", "DISCONNECT"};
    static const struct tg_slice fixed_keys[] = {TG_LIT_INIT("$connect"), TG_LIT_INIT(""),
                                                 TG_LIT_INIT("$disconnect")};
    struct tg_request *request = w->request;
    char time[TG_TIME_TEXT_MAX];
    size_t time_len = tg_time_clf(request->time_ms, time);
    struct tg_slice id = tg_slice_cstr(tg_request_id(request));
    member(w, "\"requestContext\":{\"routeKey\":",
           request->route != NULL ? request->route->route_key : fixed_keys[request->kind]);
    if (request->kind == TG_REQUEST_DISCONNECT) {
        raw(w, ",\"disconnectStatusCode\":");
        number(w, request->disconnect_code);
    }
    if (request->kind == TG_REQUEST_MESSAGE) {
        member(w, ",\"messageId\":", tg_slice_cstr(tg_request_message_id(request)));
    }
    member(w, ",\"eventType\":", tg_slice_cstr(types[request->kind]));
    member(w, ",\"extendedRequestId\":", id);
    member(w, ",\"requestTime\":", tg_slice_make(time, time_len));
    raw(w, ",\"messageDirection\":\"IN\"");
    if (request->kind == TG_REQUEST_DISCONNECT) {
        member(w, ",\"disconnectReason\":", request->disconnect_reason);
    }
    member(w, ",\"stage\":", request->stage->stage_name);
    raw(w, ",\"connectedAt\":");
    number(w, request->info->connected_at_ms);
    raw(w, ",\"requestTimeEpoch\":");
    number(w, request->time_ms);
    raw(w, ",\"identity\":{");
    if (request->info->user_agent.ptr != NULL) {
        member(w, "\"userAgent\":", request->info->user_agent);
        raw(w, ",");
    }
    member(w, "\"sourceIp\":", request->info->source_ip);
    tg_jsonout_members(&w->json, ",", &request->info->identity);
    member(w, "},\"requestId\":", id);
    member(w, ",\"domainName\":", request->info->domain_name);
    member(w, ",\"connectionId\":", tg_slice_cstr(request->connection_id));
    member(w, ",\"apiId\":", request->api->api_id);
    if (request->info->has_authorizer) {
        authorizer_member(w);
    }
    raw(w, "}");
}

static void query_maps(struct writer *w)
{
    raw(w, "\"queryStringParameters\":");
    tg_jsonout_fields(&w->json, &w->request->query, false, TG_JSONOUT_LAST);
    raw(w, ",\"multiValueQueryStringParameters\":");
    tg_jsonout_fields(&w->json, &w->request->query, false, TG_JSONOUT_EVERY);
}

static void message_body(struct writer *w)
{
    struct tg_request *request = w->request;
    raw(w, ",\"body\":");
    if (!request->binary) {
        tg_jsonout_string(&w->json, request->body);
        return;
    }
    tg_jsonout_base64(&w->json, request->body);
}

enum tg_err tg_event_write(struct tg_request *request, struct tg_buf *out)
{
    struct writer writer = {.json = {.out = out, .arena = &request->arena}, .request = request};
    struct writer *w = &writer;
    raw(w, "{");
    if (request->kind == TG_REQUEST_CONNECT) {
        headers(w, false);
        raw(w, ",");
        if (request->has_query) {
            query_maps(w);
            raw(w, ",");
        }
    } else if (request->kind == TG_REQUEST_DISCONNECT) {
        disconnect_headers(w);
        raw(w, ",");
    }
    /* DISCONNECT carries no stage variables in recordings; the other two do when the stage has any. */
    bool variables = request->kind != TG_REQUEST_DISCONNECT && request->stage->stage_variables.count > 0;
    if (variables && request->kind == TG_REQUEST_CONNECT) {
        raw(w, "\"stageVariables\":");
        tg_jsonout_map(&w->json, &request->stage->stage_variables);
        raw(w, ",");
    }
    request_context(w);
    if (variables && request->kind == TG_REQUEST_MESSAGE) {
        raw(w, ",\"stageVariables\":");
        tg_jsonout_map(&w->json, &request->stage->stage_variables);
    }
    if (request->kind == TG_REQUEST_MESSAGE) {
        message_body(w);
    }
    raw(w, request->binary ? ",\"isBase64Encoded\":true}" : ",\"isBase64Encoded\":false}");
    return writer.json.err;
}

enum tg_err tg_event_write_authorizer(struct tg_request *request, struct tg_buf *out)
{
    struct writer writer = {.json = {.out = out, .arena = &request->arena}, .request = request};
    struct writer *w = &writer;
    struct tg_slice arn;
    enum tg_err err = tg_event_method_arn(request, &arn);
    if (err != TG_OK) {
        return err;
    }
    member(w, "{\"type\":\"REQUEST\",\"methodArn\":", arn);
    raw(w, ",");
    headers(w, true);
    raw(w, ",");
    query_maps(w);
    raw(w, ",\"stageVariables\":");
    tg_jsonout_map(&w->json, &request->stage->stage_variables);
    raw(w, ",");
    request_context(w);
    raw(w, "}");
    return writer.json.err;
}

static void buf_destroy(void *arg)
{
    tg_buf_free(arg);
}

enum tg_err tg_event_make(struct tg_request *request, tg_event_fn *write, size_t limit, struct tg_slice *out)
{
    struct tg_buf *text = tg_arena_alloc(&request->arena, sizeof *text);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    tg_buf_init(text, limit);
    enum tg_err err = tg_arena_defer(&request->arena, buf_destroy, text);
    if (err == TG_OK) {
        err = write(request, text);
    }
    if (err == TG_OK) {
        *out = tg_buf_slice(text);
    }
    return err;
}

/* The path of an ARN: decoded, so that a policy names what a route sees however it was written, but for
 * slashes, which would make segments; without a slash at its end (http-api.md 3.1). */
static enum tg_err arn_path(struct tg_request *request, struct tg_slice *out)
{
    struct tg_slice path = request->http->place.path;
    size_t len = 0;
    char *text = tg_arena_alloc(&request->arena, path.len + 1);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    while (path.len > 0) {
        struct tg_slice escape = tg_slice_head(path, 3);
        char byte[3];
        size_t used = escape.len;
        if (escape.len == 3 && tg_percent_decode_into(byte, escape, false) == 1 && byte[0] != '/') {
            text[len++] = byte[0];
        } else {
            used = 1 + tg_slice_find(tg_slice_from(path, 1), '%');
            memcpy(text + len, path.ptr, used);
            len += used;
        }
        path = tg_slice_from(path, used);
    }
    *out = tg_slice_make(text, len > 1 && text[len - 1] == '/' ? len - 1 : len);
    return TG_OK;
}

enum tg_err tg_event_method_arn(struct tg_request *request, struct tg_slice *out)
{
    struct tg_slice key = request->route != NULL ? request->route->route_key : TG_LIT("$connect");
    if (request->kind == TG_REQUEST_HTTP) {
        struct tg_slice path;
        enum tg_err err = arn_path(request, &path);
        if (err == TG_OK) {
            err = tg_arena_printf(&request->arena, &key, "%.*s%.*s", TG_FMT(request->method), TG_FMT(path));
        }
        if (err != TG_OK) {
            return err;
        }
    }
    return tg_arena_printf(&request->arena, out, "arn:aws:execute-api:%.*s:%.*s:%.*s/%.*s/%.*s",
                           TG_FMT(request->model->region), TG_FMT(request->model->account_id),
                           TG_FMT(request->api->api_id), TG_FMT(request->stage->stage_name), TG_FMT(key));
}
