#include "routes/engine.h"

#include "routes/disconnect.h"
#include "routes/management.h"
#include "routes/request.h"
#include "routes/session.h"

void tg_engine_init(struct tg_engine *engine)
{
    *engine = (struct tg_engine){.disconnects_max = SIZE_MAX};
    tg_list_init(&engine->requests);
    tg_list_init(&engine->sessions);
    tg_list_init(&engine->calls);
    tg_list_init(&engine->pushes);
    tg_task_init(&engine->push_all, tg_management_push_all);
    tg_list_init(&engine->disconnects);
}

void tg_engine_free(struct tg_engine *engine)
{
    if (engine->model != NULL) {
        tg_model_unref(engine->model);
        engine->model = NULL;
    }
}

void tg_engine_reload(struct tg_engine *engine, struct tg_model *model)
{
    struct tg_model *old = engine->model;
    engine->model = tg_model_ref(model);
    tg_lanes_forget(&engine->lanes);
    tg_session_reload(engine);
    if (old != NULL) {
        tg_model_unref(old);
    }
}

static void cancel_requests(struct tg_engine *engine, bool disconnects_too)
{
    struct tg_list list;
    /* A request that ends may start another (the next message of its connection), which ends at once: what is
     * there now is all there is. */
    tg_list_init(&list);
    while (!tg_list_empty(&engine->requests)) {
        struct tg_list *node = tg_list_pop(&engine->requests);
        tg_list_append(&list, node);
    }
    while (!tg_list_empty(&list)) {
        struct tg_request *request = TG_CONTAINER(list.next, struct tg_request, node);
        tg_list_remove(&request->node);
        tg_list_append(&engine->requests, &request->node);
        if (request->kind == TG_REQUEST_DISCONNECT && !disconnects_too) {
            continue;
        }
        if (request->cancel != NULL) {
            request->cancel(request);
        }
        tg_timer_stop(&request->timer);
        (void)tg_request_fail(request, TG_FAULT_DRAINING, TG_LIT("shutdown"));
        tg_request_resume(request);
    }
}

void tg_engine_cut(struct tg_engine *engine)
{
    engine->cutting = true;
    cancel_requests(engine, false);
    tg_management_abort(engine);
}

void tg_engine_abort(struct tg_engine *engine)
{
    engine->cutting = true;
    engine->aborting = true;
    tg_disconnect_abort(engine);
    cancel_requests(engine, true);
    tg_management_abort(engine);
}
