#include "routes/fault.h"

struct row {
    int status;
    struct tg_slice response_type, message;
};

static const struct row rows[] = {
#define X(name, type, status, message) {status, TG_LIT_INIT(type), TG_LIT_INIT(message)},
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
