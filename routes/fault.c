#include "routes/fault.h"

struct row {
    int status;
    struct tg_slice response_type, message;
    int http_status;
    struct tg_slice http_message;
};

static const struct row rows[] = {
#define X(name, type, status, message, http_status, http_message)                                            \
    {status, TG_LIT_INIT(type), TG_LIT_INIT(message), http_status, TG_LIT_INIT(http_message)},
    TG_FAULT_TABLE(X)
#undef X
};

int tg_fault_status(enum tg_fault fault)
{
    return rows[fault].status;
}

struct tg_slice tg_fault_message(enum tg_fault fault)
{
    return rows[fault].message;
}

int tg_fault_http_status(enum tg_fault fault)
{
    return rows[fault].http_status;
}

struct tg_slice tg_fault_http_message(enum tg_fault fault)
{
    return rows[fault].http_message;
}

struct tg_slice tg_fault_response_type(enum tg_fault fault)
{
    return rows[fault].response_type;
}

/* The table's texts need no escaping, and ids are our own. */
enum tg_err tg_fault_frame(struct tg_arena *arena, enum tg_fault fault, struct tg_slice connection_id,
                           struct tg_slice request_id, struct tg_slice message_id, struct tg_slice *out)
{
    if (fault == TG_FAULT_BAD_BODY) {
        return tg_arena_printf(arena, out,
                               "{\"message\" : \"%s\", \"connectionId\": \"%.*s\", \"messageId\": \"%.*s\"}",
                               rows[fault].message.ptr, TG_FMT(connection_id), TG_FMT(message_id));
    }
    return tg_arena_printf(arena, out,
                           "{\"message\": \"%s\", \"connectionId\":\"%.*s\", \"requestId\":\"%.*s\"}",
                           rows[fault].message.ptr, TG_FMT(connection_id), TG_FMT(request_id));
}

enum tg_err tg_fault_body(struct tg_arena *arena, enum tg_fault fault, struct tg_slice connection_id,
                          struct tg_slice request_id, struct tg_slice *out)
{
    return tg_arena_printf(arena, out,
                           "{\"message\":\"%s\",\"connectionId\":\"%.*s\",\"requestId\":\"%.*s\"}",
                           rows[fault].message.ptr, TG_FMT(connection_id), TG_FMT(request_id));
}
