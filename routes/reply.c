#include "routes/reply.h"

#include "server/base/arena.h"

void tg_reply_error(struct tg_exchange *exchange, int status, struct tg_slice error_type,
                    struct tg_slice message)
{
    struct tg_headers headers = {0};
    struct tg_slice body = TG_EMPTY;
    enum tg_err err = tg_arena_printf(exchange->arena, &body, "{\"message\":\"%.*s\"}", TG_FMT(message));
    if (err == TG_OK) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("Content-Type"), TG_LIT("application/json"));
    }
    if (err == TG_OK && error_type.len > 0) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("x-amzn-ErrorType"), error_type);
    }
    if (err == TG_OK && status == 426) {
        err = tg_headers_add(&headers, exchange->arena, TG_LIT("Upgrade"), TG_LIT("websocket"));
        if (err == TG_OK) {
            err = tg_headers_add(&headers, exchange->arena, TG_LIT("Connection"), TG_LIT("Upgrade"));
        }
        if (err == TG_OK) {
            err = tg_headers_add(&headers, exchange->arena, TG_LIT("Sec-WebSocket-Version"), TG_LIT("13"));
        }
    }
    if (err != TG_OK) {
        headers.count = 0;
        body = TG_EMPTY;
    }
    exchange->ops->reply(exchange, status, &headers, body);
}

void tg_reply_message(struct tg_exchange *exchange, int status, struct tg_slice message)
{
    tg_reply_error(exchange, status, TG_EMPTY, message);
}
