/* The batch call of the management API: one message to many connections, beyond the native service
 * (spec 5.2). It is what as many calls would be that name one each, in signature, policy and what is said of
 * each of them; only the account's throttle counts it once. */
#include "routes/batchbody.h"
#include "routes/management.h"
#include "routes/management_private.h"
#include "server/base/codec.h"
#include "server/base/json.h"

enum { JUDGED_AT_ONCE = 256 }; /* connections; others come to their turn before the next so many are judged */

/* What a call asks for; in its arena. */
struct batch {
    struct management_call *call;
    struct tg_batch_body body;
    unsigned char *errors; /* enum management_error of each connection, in their order */
    struct management_question question;
    bool has_question; /* each connection is put to the signer's policy */
    size_t judged;
    struct tg_connid *ids; /* of those judged, which a message may go to */
    size_t count;
    struct tg_task go_on;
};

static struct tg_batch_limits limits_of(const struct tg_model *model)
{
    return (struct tg_batch_limits){.connections = (size_t)model->management.batch_max_connections,
                                    .payload = MANAGEMENT_PAYLOAD_MAX};
}

/* ---- the answer ---- */

static enum tg_err write_failure(struct tg_buf *out, const char *before, struct tg_slice id,
                                 enum management_error error)
{
    enum tg_err err = tg_buf_append(out, tg_slice_cstr(before));
    if (err == TG_OK) {
        err = tg_buf_append(out, TG_LIT("{\"connectionId\":"));
    }
    if (err == TG_OK) {
        err = tg_json_write_string(out, id);
    }
    if (err == TG_OK) {
        err = tg_buf_append(out, TG_LIT(",\"error\":"));
    }
    if (err == TG_OK) {
        err = tg_json_write_string(out, management_error_type(error));
    }
    return err == TG_OK ? tg_buf_append_char(out, '}') : err;
}

static enum tg_err write_answer(const struct batch *batch, struct tg_buf *out)
{
    const char *before = "";
    enum tg_err err = tg_buf_printf(out, "{\"delivered\":%zu,\"failed\":[", batch->call->delivered);
    for (size_t i = 0; err == TG_OK && i < batch->body.count; i++) {
        if (batch->errors[i] != MANAGEMENT_OK) {
            err = write_failure(out, before, batch->body.ids[i], batch->errors[i]);
            before = ",";
        }
    }
    return err == TG_OK ? tg_buf_append(out, TG_LIT("]}")) : err;
}

/* What became of each is known. */
static void answer(struct batch *batch)
{
    struct tg_buf text;
    size_t short_of_memory = 0;
    for (size_t i = 0; i < batch->body.count; i++) {
        batch->call->delivered += batch->errors[i] == MANAGEMENT_OK;
        batch->call->throttled += batch->errors[i] == MANAGEMENT_LIMIT;
        short_of_memory += batch->errors[i] == MANAGEMENT_FAILED;
    }
    if (short_of_memory > 0) {
        tg_log(batch->call->engine->log, TG_LOG_ERROR, "management call failed",
               TG_KV("api", batch->call->api->api_id), TG_KV_INT("connections", (long long)short_of_memory));
    }
    tg_buf_init(&text, SIZE_MAX);
    enum tg_err err = write_answer(batch, &text);
    if (err == TG_OK) {
        management_reply(batch->call, 200, batch->call->lines_len, tg_buf_slice(&text));
    } else {
        management_fail_for(batch->call, err);
    }
    tg_buf_free(&text);
}

/* ---- the batch ---- */

static void done(void *arg, const unsigned char *outcomes)
{
    struct batch *batch = arg;
    batch->call->batch = NULL;
    for (size_t i = 0, next = 0; i < batch->body.count; i++) {
        if (batch->errors[i] == MANAGEMENT_OK) {
            batch->errors[i] = (unsigned char)management_outcome((enum tg_push_outcome)outcomes[next++]);
        }
    }
    answer(batch);
}

static enum tg_err start(struct batch *batch)
{
    struct management_call *call = batch->call;
    struct tg_batch_request request = {
        .ids = batch->ids,
        .count = batch->count,
        .api_id = call->api->api_id,
        .payload = call->body,
        .binary = call->binary,
        .timeout_ms = (uint64_t)call->model->management.push_timeout_millis,
    };
    enum tg_err err = TG_OK;
    if (!call->binary) {
        err = tg_utf8_repair(call->exchange->arena, call->body, &request.payload);
    }
    if (err == TG_OK) {
        management_push_all(call->engine);
        management_wait(call);
        err = tg_batch_start(call->engine->push, &request, done, batch, &call->batch);
    }
    return err;
}

/* Whether a message may go to the connection: what a call to it alone is asked before its push (5.3). */
static enum management_error judge(struct batch *batch, struct tg_slice id, struct tg_connid *out)
{
    if (tg_push_read_id(batch->call->engine->push, id, out) != TG_OK) {
        return MANAGEMENT_BAD_ID;
    }
    return batch->has_question && management_ask(&batch->question, id) != TG_POLICY_ALLOW ? MANAGEMENT_DENIED
                                                                                          : MANAGEMENT_OK;
}

static void judge_some(struct tg_task *task)
{
    struct batch *batch = TG_CONTAINER(task, struct batch, go_on);
    struct management_call *call = batch->call;
    size_t left = batch->body.count - batch->judged;
    size_t end = batch->judged + (left < JUDGED_AT_ONCE ? left : JUDGED_AT_ONCE);
    for (size_t i = batch->judged; i < end; i++) {
        enum management_error error = judge(batch, batch->body.ids[i], &batch->ids[batch->count]);
        batch->errors[i] = (unsigned char)error;
        batch->count += error == MANAGEMENT_OK;
    }
    batch->judged = end;
    call->work = NULL;
    if (end < batch->body.count) {
        management_wait(call);
        call->work = &batch->go_on;
        tg_task_defer(call->engine->loop, call->work);
    } else if (batch->count == 0) {
        answer(batch);
    } else {
        enum tg_err err = start(batch);
        if (err != TG_OK) {
            management_fail_for(call, err);
        }
    }
}

/* For judging its connections. */
static enum tg_err prepare(struct batch *batch)
{
    struct tg_arena *arena = batch->call->exchange->arena;
    batch->ids = tg_arena_alloc(arena, batch->body.count * sizeof *batch->ids);
    batch->errors = tg_arena_alloc(arena, batch->body.count);
    batch->has_question = batch->call->credential != NULL;
    tg_task_init(&batch->go_on, judge_some);
    if (batch->ids == NULL || batch->errors == NULL) {
        return TG_ENOMEM;
    }
    return batch->has_question ? management_question(batch->call, TG_CONNID_LEN, &batch->question) : TG_OK;
}

void management_send_batch(struct management_call *call)
{
    struct tg_arena *arena = call->exchange->arena;
    const struct tg_batch_limits limits = limits_of(call->model);
    struct batch *batch = tg_arena_zalloc(arena, sizeof *batch);
    if (batch == NULL) {
        management_fail_for(call, TG_ENOMEM);
        return;
    }
    batch->call = call;
    enum tg_err err = tg_batch_body_read(arena, call->body, &limits, &batch->body, &call->message);
    if (err == TG_OK) {
        call->body = batch->body.payload;
        call->binary = batch->body.is_base64 && call->api->settings.binary_frames;
        err = prepare(batch);
    }
    if (err == TG_OK) {
        judge_some(&batch->go_on);
    } else if (err == TG_ESYNTAX) {
        management_fail(call, MANAGEMENT_BAD_BODY);
    } else if (err == TG_ELIMIT) {
        management_fail(call, MANAGEMENT_TOO_LARGE);
    } else {
        management_fail_for(call, err);
    }
}

size_t management_batch_limit(const struct tg_model *model)
{
    const struct tg_batch_limits limits = limits_of(model);
    return tg_batch_body_max(&limits);
}
