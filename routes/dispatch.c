/* Where every HTTP request of the public listeners is told apart. */
#include "routes/engine.h"
#include "routes/handshake.h"
#include "routes/management.h"
#include "routes/reply.h"

/* `/{stage}` or `/{stage}/` (spec 1.1), or `/` where the API is served at its root. NULL: no such stage, or
 * more path than that. */
static const struct tg_stage *stage_of(const struct tg_api *api, struct tg_slice path)
{
    struct tg_slice name = tg_slice_from(path, 1);
    if (name.len == 0 && api->settings.serve_at_root && api->stages.count > 0) {
        return &api->stages.items[0];
    }
    if (name.len > 0 && name.ptr[name.len - 1] == '/') {
        name.len--;
    }
    return tg_api_stage(api, name);
}

void tg_dispatch(struct tg_engine *engine, struct tg_exchange *exchange)
{
    struct tg_slice stage_name, id;
    const struct tg_api *api = tg_model_api_by_host(engine->model, exchange->host);
    if (tg_slice_eq(exchange->path, TG_LIT("/ping")) || tg_slice_eq(exchange->path, TG_LIT("/sping"))) {
        tg_reply_message(exchange, 200, TG_LIT("healthy")); /* reserved for health checks (spec 1.1) */
        return;
    }
    if (api == NULL) {
        tg_reply_error(exchange, 403, TG_LIT("ForbiddenException"), TG_LIT("Forbidden"));
        return;
    }
    if (tg_management_match(api, exchange->path, &stage_name, &id)) {
        tg_management_serve(engine, api, stage_name, id, exchange);
        return;
    }
    bool upgrade = tg_handshake_wanted(exchange);
    struct tg_slice message;
    int status = upgrade ? tg_handshake_check(exchange, &message) : 0;
    const struct tg_stage *stage = stage_of(api, exchange->path);
    if (status != 0) {
        tg_reply_message(exchange, status, message);
    } else if (stage == NULL) {
        tg_reply_error(exchange, 403, TG_LIT("ForbiddenException"), TG_LIT("Forbidden"));
    } else if (!upgrade) {
        tg_reply_message(exchange, 426, TG_LIT("Upgrade Required"));
    } else {
        tg_handshake_serve(engine, api, stage, exchange);
    }
}
