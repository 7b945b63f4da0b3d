#include "routes/event.h"

#include <stdlib.h>
#include <strings.h>

#include "server/base/codec.h"
#include "server/base/json.h"

/* A buffer with a sticky error, so that the writing below reads as the JSON it writes. */
struct writer {
    struct tg_buf *out;
    struct tg_request *request;
    enum tg_err err;
};

static void raw(struct writer *w, const char *text)
{
    if (w->err == TG_OK) {
        w->err = tg_buf_append(w->out, tg_slice_cstr(text));
    }
}

static void string(struct writer *w, struct tg_slice text)
{
    if (w->err == TG_OK) {
        w->err = tg_utf8_repair(&w->request->arena, text, &text);
    }
    if (w->err == TG_OK) {
        w->err = tg_json_write_string(w->out, text);
    }
}

static void number(struct writer *w, int64_t value)
{
    if (value < 0) {
        raw(w, "-");
        value = -value;
    }
    if (w->err == TG_OK) {
        w->err = tg_buf_append_u64(w->out, (uint64_t)value);
    }
}

/* before is the text up to and including the colon. */
static void member(struct writer *w, const char *before, struct tg_slice value)
{
    raw(w, before);
    string(w, value);
}

/* ---- maps of names to values: headers and query parameters ---- */

/* The fields of one name, in their order; found by sorting, as a client may send thousands of names. */
struct field {
    const struct tg_header *header;
    struct field *next; /* of the same name; NULL: the last */
    bool is_first;
};

static int in_order(const struct tg_header *a, const struct tg_header *b)
{
    return a < b ? -1 : a > b;
}

static int by_name(const void *a, const void *b)
{
    const struct tg_header *left = *(const struct tg_header *const *)a;
    const struct tg_header *right = *(const struct tg_header *const *)b;
    int order = tg_slice_cmp(left->name, right->name);
    return order != 0 ? order : in_order(left, right);
}

static int by_name_nocase(const void *a, const void *b)
{
    const struct tg_header *left = *(const struct tg_header *const *)a;
    const struct tg_header *right = *(const struct tg_header *const *)b;
    int order = left->name.len < right->name.len ? -1 : left->name.len > right->name.len;
    if (order == 0 && left->name.len > 0) {
        order = strncasecmp(left->name.ptr, right->name.ptr, left->name.len);
    }
    return order != 0 ? order : in_order(left, right);
}

static bool same_name(const struct field *a, const struct field *b, bool ignore_case)
{
    return ignore_case ? tg_slice_eq_nocase(a->header->name, b->header->name)
                       : tg_slice_eq(a->header->name, b->header->name);
}

/* As many as the list has, in its order. NULL: out of memory. */
static struct field *fields_of(struct tg_arena *arena, const struct tg_headers *list, bool ignore_case)
{
    const struct tg_header **sorted = tg_arena_alloc(arena, (list->count + 1) * sizeof *sorted);
    struct field *fields = tg_arena_zalloc(arena, (list->count + 1) * sizeof *fields);
    if (sorted == NULL || fields == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < list->count; i++) {
        sorted[i] = fields[i].header = &list->items[i];
    }
    qsort(sorted, list->count, sizeof *sorted, ignore_case ? by_name_nocase : by_name);
    struct field *before = NULL;
    for (size_t i = 0; i < list->count; i++) {
        struct field *field = &fields[sorted[i] - list->items];
        field->is_first = before == NULL || !same_name(before, field, ignore_case);
        if (!field->is_first) {
            before->next = field;
        }
        before = field;
    }
    return fields;
}

/* {"name":"last value",...}, each name once, where it first stood; `every`: {"name":["every","value"],...} */
static void field_map(struct writer *w, const struct tg_headers *list, bool ignore_case, bool every)
{
    const char *separator = "{";
    const struct field *fields = fields_of(&w->request->arena, list, ignore_case);
    if (fields == NULL) {
        w->err = TG_ENOMEM;
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (!fields[i].is_first) {
            continue;
        }
        raw(w, separator);
        string(w, fields[i].header->name);
        raw(w, every ? ":[" : ":");
        for (const struct field *field = &fields[i]; field != NULL; field = field->next) {
            if (every || field->next == NULL) {
                string(w, field->header->value);
                raw(w, field->next != NULL ? "," : "");
            }
        }
        raw(w, every ? "]" : "");
        separator = ",";
    }
    raw(w, separator[0] == '{' ? "{}" : "}");
}

static void single_map(struct writer *w, const struct tg_headers *list, bool ignore_case)
{
    field_map(w, list, ignore_case, false);
}

static void multi_map(struct writer *w, const struct tg_headers *list, bool ignore_case)
{
    field_map(w, list, ignore_case, true);
}

/* The first member goes behind `separator`. */
static void members(struct writer *w, const char *separator, const struct tg_string_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        raw(w, i > 0 ? "," : separator);
        string(w, map->items[i].key);
        raw(w, ":");
        string(w, map->items[i].value);
    }
}

static void string_map(struct writer *w, const struct tg_string_map *map)
{
    raw(w, "{");
    members(w, "", map);
    raw(w, "}");
}

/* ---- headers of a handshake ---- */

static bool in_connect_event(struct tg_slice name)
{
    return !tg_slice_eq_nocase(name, TG_LIT("Connection")) && !tg_slice_eq_nocase(name, TG_LIT("Upgrade")) &&
           !tg_slice_eq_nocase(name, TG_LIT("Content-Length"));
}

static bool is_forwarding(struct tg_slice name)
{
    return tg_slice_eq_nocase(name, TG_LIT("X-Forwarded-For")) ||
           tg_slice_eq_nocase(name, TG_LIT("X-Forwarded-Port")) ||
           tg_slice_eq_nocase(name, TG_LIT("X-Forwarded-Proto")) ||
           tg_slice_eq_nocase(name, TG_LIT("X-Amzn-Trace-Id"));
}

/* The client's X-Forwarded-For fields, joined and extended by its address (3.2). */
static enum tg_err forwarded_for(struct tg_request *request, struct tg_slice *out)
{
    struct tg_slice joined = TG_EMPTY;
    for (size_t i = 0; i < request->headers.count; i++) {
        const struct tg_header *field = &request->headers.items[i];
        if (tg_slice_eq_nocase(field->name, TG_LIT("X-Forwarded-For")) && field->value.len > 0) {
            enum tg_err err = tg_arena_printf(&request->arena, &joined, "%.*s%s%.*s", TG_FMT(joined),
                                              joined.len > 0 ? ", " : "", TG_FMT(field->value));
            if (err != TG_OK) {
                return err;
            }
        }
    }
    return tg_arena_printf(&request->arena, out, "%.*s%s%.*s", TG_FMT(joined), joined.len > 0 ? ", " : "",
                           TG_FMT(request->info->source_ip));
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
        if (in_connect_event(field->name) && !is_forwarding(field->name)) {
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
        err = forwarded_for(request, &forwarded);
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
    if (w->err == TG_OK) {
        w->err = event_headers(w->request, authorizer, &list);
    }
    raw(w, "\"headers\":");
    single_map(w, &list, true);
    raw(w, ",\"multiValueHeaders\":");
    multi_map(w, &list, true);
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
    const struct tg_request *request = w->request;
    raw(w, ",\"authorizer\":{");
    const struct tg_string_map *map = &request->info->authorizer;
    members(w, "", map);
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
    const struct tg_request *request = w->request;
    char time[TG_TIME_TEXT_MAX];
    size_t time_len = tg_time_clf(request->time_ms, time);
    struct tg_slice id = tg_slice_cstr(request->request_id);
    member(w, "\"requestContext\":{\"routeKey\":",
           request->route != NULL ? request->route->route_key : fixed_keys[request->kind]);
    if (request->kind == TG_REQUEST_DISCONNECT) {
        raw(w, ",\"disconnectStatusCode\":");
        number(w, request->disconnect_code);
    }
    if (request->kind == TG_REQUEST_MESSAGE) {
        member(w, ",\"messageId\":", tg_slice_cstr(request->message_id));
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
    members(w, ",", &request->info->identity);
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
    single_map(w, &w->request->query, false);
    raw(w, ",\"multiValueQueryStringParameters\":");
    multi_map(w, &w->request->query, false);
}

static void message_body(struct writer *w)
{
    struct tg_request *request = w->request;
    raw(w, ",\"body\":");
    if (!request->binary) {
        string(w, request->body);
        return;
    }
    raw(w, "\"");
    if (w->err == TG_OK) {
        w->err = tg_base64_encode(w->out, request->body);
    }
    raw(w, "\"");
}

enum tg_err tg_event_write(struct tg_request *request, struct tg_buf *out)
{
    struct writer writer = {.out = out, .request = request, .err = TG_OK};
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
        string_map(w, &request->stage->stage_variables);
        raw(w, ",");
    }
    request_context(w);
    if (variables && request->kind == TG_REQUEST_MESSAGE) {
        raw(w, ",\"stageVariables\":");
        string_map(w, &request->stage->stage_variables);
    }
    if (request->kind == TG_REQUEST_MESSAGE) {
        message_body(w);
    }
    raw(w, request->binary ? ",\"isBase64Encoded\":true}" : ",\"isBase64Encoded\":false}");
    return writer.err;
}

enum tg_err tg_event_write_authorizer(struct tg_request *request, struct tg_buf *out)
{
    struct writer writer = {.out = out, .request = request, .err = TG_OK};
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
    string_map(w, &request->stage->stage_variables);
    raw(w, ",");
    request_context(w);
    raw(w, "}");
    return writer.err;
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

enum tg_err tg_event_method_arn(struct tg_request *request, struct tg_slice *out)
{
    struct tg_slice key = request->route != NULL ? request->route->route_key : TG_LIT("$connect");
    return tg_arena_printf(&request->arena, out, "arn:aws:execute-api:%.*s:%.*s:%.*s/%.*s/%.*s",
                           TG_FMT(request->model->region), TG_FMT(request->model->account_id),
                           TG_FMT(request->api->api_id), TG_FMT(request->stage->stage_name), TG_FMT(key));
}
