/* What management calls answer: headers, bodies, access-log variables. */
#include <assert.h>

#include "routes/accessrow.h"
#include "routes/management_private.h"
#include "server/base/codec.h"
#include "server/base/json.h"

struct row {
    int status;
    struct tg_slice type, response_type, message;
};

static const struct row rows[] = {
#define X(name, status, type, response_type, message)                                                        \
    {status, TG_LIT_INIT(type), TG_LIT_INIT(response_type), TG_LIT_INIT(message)},
    TG_MANAGEMENT_ERRORS(X)
#undef X
};

int management_status(enum management_error error)
{
    return rows[error].status;
}

struct tg_slice management_error_type(enum management_error error)
{
    return rows[error].type;
}

struct tg_slice management_message(enum management_error error)
{
    return rows[error].message;
}

struct tg_slice management_post(const struct management_call *call)
{
    return call->is_batch ? TG_LIT("POST /@tidegate/connections")
                          : TG_LIT("POST /@connections/{connectionId}");
}

enum management_error management_outcome(enum tg_push_outcome outcome)
{
    switch (outcome) {
    case TG_PUSH_DONE:
        return MANAGEMENT_OK;
    case TG_PUSH_GONE:
        return MANAGEMENT_GONE;
    case TG_PUSH_BUSY:
        return MANAGEMENT_LIMIT;
    case TG_PUSH_UNREACHABLE:
        return MANAGEMENT_UNREACHABLE;
    case TG_PUSH_FAILED:
        break;
    }
    return MANAGEMENT_FAILED;
}

static char *put(char *to, struct tg_slice text)
{
    memcpy(to, text.ptr, text.len);
    return to + text.len;
}

void management_lines(struct management_call *call)
{
    const struct tg_exchange *exchange = call->exchange;
    char *lines = call->lines, *trace = lines + MANAGEMENT_TRACE_AT;
    (void)put(lines, TG_LIT(MANAGEMENT_UUID_NAME));
    (void)put(lines + MANAGEMENT_UUID_AT + TG_UUID_LEN, TG_LIT(MANAGEMENT_ID_NAME));
    (void)put(lines + MANAGEMENT_ID_AT + TG_REQUEST_ID_LEN, TG_LIT(MANAGEMENT_TRACE_NAME));
    size_t trace_len = tg_call_ids_make(&call->engine->rng, &exchange->headers, exchange->received_ms,
                                        lines + MANAGEMENT_UUID_AT, lines + MANAGEMENT_ID_AT, trace);
    char *end = put(trace + trace_len, TG_LIT("\r\nContent-Type: application/json\r\n"));
    call->lines_len = (size_t)(end - lines);
}

size_t management_type_line(struct management_call *call, size_t len, struct tg_slice type)
{
    assert(type.len + sizeof MANAGEMENT_TYPE_NAME + 2 <= sizeof call->lines - len);
    char *to = put(call->lines + len, TG_LIT(MANAGEMENT_TYPE_NAME));
    to = put(put(to, type), TG_LIT("\r\n"));
    return (size_t)(to - call->lines);
}

/* `"text"`, repaired and escaped. */
static enum tg_err put_string(struct tg_arena *arena, struct tg_buf *out, struct tg_slice text)
{
    enum tg_err err = tg_utf8_repair(arena, text, &text);
    return err == TG_OK ? tg_json_write_string(out, text) : err;
}

static enum tg_err write_info(struct tg_arena *arena, const struct tg_push_info *info, struct tg_buf *out)
{
    char connected[TG_TIME_TEXT_MAX], active[TG_TIME_TEXT_MAX];
    (void)tg_time_iso(info->connected_at_ms, connected);
    (void)tg_time_iso(info->last_active_ms, active);
    enum tg_err err = tg_buf_append(out, TG_LIT("{\n  \"identity\" : {\n    \"sourceIp\" : "));
    if (err == TG_OK) {
        err = put_string(arena, out, info->source_ip);
    }
    if (err == TG_OK) {
        err = tg_buf_append(out, TG_LIT(",\n    \"userAgent\" : "));
    }
    if (err == TG_OK) {
        err = put_string(arena, out, info->user_agent);
    }
    if (err == TG_OK) {
        err = tg_buf_printf(out, "\n  },\n  \"connectedAt\" : \"%s\",\n  \"lastActiveAt\" : \"%s\"\n}",
                            connected, active);
    }
    return err;
}

enum tg_err management_info_body(struct tg_arena *arena, const struct tg_push_info *info,
                                 struct tg_slice *out)
{
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX);
    enum tg_err err = write_info(arena, info, &text);
    if (err == TG_OK) {
        err = tg_arena_copy(arena, tg_buf_slice(&text), out);
    }
    tg_buf_free(&text);
    return err;
}

enum tg_err management_error_body(struct management_call *call, struct tg_slice message, struct tg_slice *out)
{
    struct tg_arena *arena = call->exchange->arena;
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX);
    enum tg_err err = tg_buf_append(&text, call->error == MANAGEMENT_DENIED ? TG_LIT("{\"Message\":")
                                                                            : TG_LIT("{\"message\":"));
    if (err == TG_OK) {
        err = put_string(arena, &text, message);
    }
    if (err == TG_OK) {
        err = tg_buf_append_char(&text, '}');
    }
    if (err == TG_OK) {
        err = tg_arena_copy(arena, tg_buf_slice(&text), out);
    }
    tg_buf_free(&text);
    return err;
}

/* ---- the access log ---- */

static enum tg_err look_up(void *arg, enum tg_var_scope scope, struct tg_slice name, struct tg_arena *arena,
                           struct tg_var_values *out)
{
    const struct tg_headers *variables = arg;
    for (size_t i = 0; scope == TG_VAR_CONTEXT && i < variables->count; i++) {
        if (tg_slice_eq(name, variables->items[i].name) && variables->items[i].value.len > 0) {
            return tg_vars_one(arena, variables->items[i].value, out);
        }
    }
    return TG_OK;
}

enum tg_err management_log(struct management_call *call)
{
    const struct tg_exchange *exchange = call->exchange;
    struct tg_slice route, status, epoch;
    char time[TG_TIME_TEXT_MAX];
    size_t time_len = tg_time_clf(exchange->received_ms, time);
    struct tg_slice behind = tg_slice_from(management_post(call), sizeof "POST" - 1);
    enum tg_err err =
        tg_arena_printf(exchange->arena, &route, "%.*s%.*s", TG_FMT(exchange->method), TG_FMT(behind));
    if (err == TG_OK) {
        err = tg_arena_printf(exchange->arena, &status, "%d", call->status);
    }
    if (err == TG_OK) {
        err = tg_arena_printf(exchange->arena, &epoch, "%lld", (long long)exchange->received_ms);
    }
    if (err != TG_OK) {
        return err;
    }
    struct tg_header items[] = {
        {TG_LIT("requestId"), {call->lines + MANAGEMENT_UUID_AT, TG_UUID_LEN}},
        {TG_LIT("extendedRequestId"), {call->lines + MANAGEMENT_ID_AT, TG_REQUEST_ID_LEN}},
        {TG_LIT("eventType"), TG_LIT("CONNECTION_API")},
        {TG_LIT("routeKey"), route},
        {TG_LIT("status"), status},
        {TG_LIT("connectionId"), call->id},
        {TG_LIT("apiId"), call->api->api_id},
        {TG_LIT("stage"), call->stage->stage_name},
        {TG_LIT("domainName"), exchange->host},
        {TG_LIT("requestTime"), {time, time_len}},
        {TG_LIT("requestTimeEpoch"), epoch},
        {TG_LIT("identity.sourceIp"), exchange->source_ip},
        {TG_LIT("identity.userAgent"), tg_exchange_header(exchange, TG_LIT("User-Agent"))},
        {TG_LIT("identity.userArn"), call->credential != NULL ? call->credential->user_arn : TG_EMPTY},
        {TG_LIT("error.message"), call->message},
        {TG_LIT("error.responseType"), rows[call->error].response_type},
    };
    struct tg_headers variables = {.items = items, .count = sizeof items / sizeof items[0]};
    const struct tg_vars vars = {.lookup = look_up, .arg = &variables};
    tg_stage_log_row(call->stage, &vars, exchange->arena, call->engine->log);
    return TG_OK;
}
