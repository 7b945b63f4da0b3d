#include "routes/management.h"

#include "routes/management_private.h"
#include "server/base/codec.h"

enum { TOGETHER_MAX = 4096 }; /* payloads up to this length wait for the end of the events at hand */

/* ---- the path ---- */

/* `@` and the name, or with the `@` encoded. */
static bool is_at(struct tg_slice segment, struct tg_slice name)
{
    size_t mark = tg_slice_starts(segment, TG_LIT("%40")) ? sizeof "%40" - 1 : 1;
    return (mark > 1 || tg_slice_starts(segment, TG_LIT("@"))) &&
           tg_slice_eq(tg_slice_from(segment, mark), name);
}

/* Whether one of the path's segments is `@` and the name, behind a stage where there must be one; *behind is
 * what follows it. */
static bool match(const struct tg_api *api, struct tg_slice path, struct tg_slice name,
                  struct tg_slice *stage, struct tg_slice *behind)
{
    struct tg_slice rest = tg_slice_from(path, 1);
    while (rest.ptr != NULL && tg_slice_starts(path, TG_LIT("/"))) {
        struct tg_slice before = {path.ptr + 1, (size_t)(rest.ptr - path.ptr) - 1};
        if (is_at(tg_slice_cut(rest, '/', &rest), name)) {
            if (before.len == 1 || (before.len == 0 && !api->settings.serve_at_root)) {
                return false;
            }
            *stage = tg_slice_head(before, before.len > 0 ? before.len - 1 : 0); /* without the slash */
            *behind = rest;
            return true;
        }
    }
    return false;
}

bool tg_management_match(const struct tg_api *api, struct tg_slice path, struct tg_slice *stage,
                         struct tg_slice *id)
{
    return match(api, path, TG_LIT("connections"), stage, id);
}

bool tg_management_match_batch(const struct tg_api *api, struct tg_slice path, struct tg_slice *stage)
{
    struct tg_slice before, behind;
    if (!match(api, path, TG_LIT("tidegate"), &before, &behind) ||
        !tg_slice_eq(behind, TG_LIT("connections"))) {
        return false;
    }
    *stage = before;
    return true;
}

struct tg_call_lane tg_management_lane(const struct tg_api *api, struct tg_slice stage)
{
    struct tg_call_lane lane = {
        .api = api,
        .has_stage = stage.len > 0,
        .nowhere = tg_slice_find(stage, '/') < stage.len || api->stages.count == 0,
    };
    if (!lane.nowhere) {
        lane.stage = lane.has_stage ? tg_api_stage(api, stage) : &api->stages.items[0];
    }
    return lane;
}

/* ---- the push ---- */

static void conclude(struct management_call *call, enum tg_push_outcome outcome,
                     const struct tg_push_info *info)
{
    struct tg_slice body = TG_EMPTY;
    if (outcome == TG_PUSH_DONE &&
        (info == NULL || management_info_body(call->exchange->arena, info, &body) == TG_OK)) {
        call->delivered = 1;
        management_reply(call, call->verb == TG_PUSH_DELETE ? 204 : 200, call->lines_len, body);
    } else if (outcome == TG_PUSH_DONE || outcome == TG_PUSH_FAILED) {
        management_fail_for(call, TG_ENOMEM);
    } else {
        management_fail(call, management_outcome(outcome));
    }
}

static void pushed(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    struct management_call *call = arg;
    call->op = NULL;
    conclude(call, outcome, info);
}

/* What the call asks for. TG_ENOMEM. */
static enum tg_err make_request(const struct management_call *call, struct tg_push_request *out)
{
    *out = (struct tg_push_request){
        .verb = call->verb,
        .connection_id = call->id,
        .api_id = call->api->api_id,
        .timeout_ms = (uint64_t)call->model->management.push_timeout_millis,
    };
    if (call->verb == TG_PUSH_POST) {
        out->binary = call->binary;
        out->payload = call->body;
        return call->binary ? TG_OK : tg_utf8_repair(call->exchange->arena, call->body, &out->payload);
    }
    if (call->verb == TG_PUSH_DELETE) {
        out->close_code = 1000;
        out->close_reason = TG_LIT("Connection Closed Normally");
    }
    return TG_OK;
}

/* Whether it is done when the sends are flushed. Otherwise the call waits, or has failed. */
static bool try_push(struct management_call *call)
{
    struct tg_push_request request;
    enum tg_err err = make_request(call, &request);
    if (err == TG_OK && tg_push_now(call->engine->push, &request, &call->now)) {
        return true;
    }
    if (err == TG_OK) {
        management_wait(call);
        err = tg_push_start(call->engine->push, &request, pushed, call, &call->op);
    }
    if (err == TG_EBUSY) {
        management_fail(call, MANAGEMENT_LIMIT);
    } else if (err != TG_OK) {
        management_fail_for(call, err);
    }
    return false;
}

void management_push_all(struct tg_engine *engine)
{
    struct tg_list done, *node;
    if (tg_list_empty(&engine->pushes)) {
        return;
    }
    tg_list_init(&done);
    while ((node = tg_list_pop(&engine->pushes)) != NULL) {
        struct management_call *call = TG_CONTAINER(node, struct management_call, node);
        if (try_push(call)) {
            tg_list_append(&done, &call->node);
        }
    }
    tg_push_flush(engine->push);
    while ((node = tg_list_pop(&done)) != NULL) {
        struct management_call *call = TG_CONTAINER(node, struct management_call, node);
        conclude(call, tg_push_outcome_now(engine->push, &call->now), NULL);
    }
}

void tg_management_push_all(struct tg_task *task)
{
    management_push_all(TG_CONTAINER(task, struct tg_engine, push_all));
}

/* Short ones are done together, when more events are at hand: all requests are read first, then all frames
 * written, then all answers, each with its code in the processor's cache, and those who get them are woken
 * less often. Until then neither the model nor what the call points to is replaced, as mail comes later in
 * the pass, but its lane may be taken. What goes at once does not overtake them. */
void management_push(struct management_call *call)
{
    struct tg_engine *engine = call->engine;
    bool more = !tg_list_empty(&engine->pushes) || tg_loop_events_left(engine->loop) > 0;
    if (more && !call->waits && call->verb == TG_PUSH_POST && call->body.len <= TOGETHER_MAX) {
        call->series = management_series(call);
        call->lane = NULL;
        tg_list_append(&engine->pushes, &call->node);
        tg_task_defer_to_events(engine->loop, &engine->push_all);
        return;
    }
    management_push_all(engine);
    if (try_push(call)) {
        tg_push_flush(engine->push);
        conclude(call, tg_push_outcome_now(engine->push, &call->now), NULL);
    }
}

/* ---- the start ---- */

static bool find_verb(struct tg_slice method, enum tg_push_verb *out)
{
    if (tg_slice_eq(method, TG_LIT("POST"))) {
        *out = TG_PUSH_POST;
    } else if (tg_slice_eq(method, TG_LIT("GET"))) {
        *out = TG_PUSH_GET;
    } else if (tg_slice_eq(method, TG_LIT("DELETE"))) {
        *out = TG_PUSH_DELETE;
    } else {
        return false;
    }
    return true;
}

static bool is_binary(const struct tg_api *api, const struct tg_headers *headers)
{
    struct tg_slice rest;
    const struct tg_header *type =
        api->settings.binary_frames ? tg_headers_first(headers, TG_LIT("Content-Type")) : NULL;
    return type != NULL && tg_slice_eq_nocase(tg_slice_trim(tg_slice_cut(type->value, ';', &rest)),
                                              TG_LIT("application/octet-stream"));
}

/* Whether a call can look so. */
static bool is_call(const struct management_call *call, struct tg_slice id)
{
    return call->is_batch ? call->verb == TG_PUSH_POST : id.len > 0 && tg_slice_find(id, '/') == id.len;
}

void tg_management_serve(struct tg_engine *engine, struct tg_call_lane *lane, struct tg_slice id,
                         struct tg_exchange *exchange)
{
    struct management_call *call = tg_arena_alloc(exchange->arena, sizeof *call);
    struct tg_slice decoded;
    if (call == NULL || tg_percent_decode(exchange->arena, id, false, &decoded) != TG_OK) {
        exchange->ops->reply(exchange, 500, &(struct tg_headers){0}, TG_EMPTY);
        return;
    }
    memset(call, 0, offsetof(struct management_call, lines_len));
    call->engine = engine;
    call->exchange = exchange;
    call->model = engine->model;
    call->lane = lane;
    call->api = lane->api;
    call->found = lane->stage;
    call->is_batch = lane->is_batch;
    call->has_stage = lane->has_stage;
    call->id = decoded;
    tg_push_expect(engine->push, call->id);
    management_lines(call);
    if (!find_verb(exchange->method, &call->verb) || !is_call(call, id) || lane->nowhere) {
        management_find_nothing(call);
        return;
    }
    call->binary = is_binary(lane->api, &exchange->headers);
    management_read(call, call->is_batch ? management_batch_limit(call->model) : MANAGEMENT_PAYLOAD_MAX);
}
