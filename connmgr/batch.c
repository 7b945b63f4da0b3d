#include "connmgr/batch.h"

#include <stdlib.h>

#include "connmgr/batch_private.h"

/* The connections of one worker. */
struct part {
    struct tg_list node; /* push->batches_asked, while an answer is waited for */
    struct tg_batch *batch;
    const uint64_t *first; /* of batch->order */
    size_t count;
    struct tg_serving *serving; /* here */
    uint64_t correlation;       /* of the question */
    uint32_t asked_node;
    struct tg_timer timer;
};

struct tg_batch {
    struct tg_push *push;
    tg_batch_done_fn *done;
    void *arg;
    struct tg_task report;
    size_t open;             /* parts */
    uint64_t *order;         /* by owner: node (24 bits), worker (8), and the place in the request */
    unsigned char *outcomes; /* by place */
    size_t part_count;
    struct part parts[];
};

static size_t place_of(uint64_t entry)
{
    return (uint32_t)entry;
}

static void batch_free(struct tg_batch *batch)
{
    tg_task_cancel(&batch->report);
    free(batch->order);
    free(batch);
}

static void report(struct tg_task *task)
{
    struct tg_batch *batch = TG_CONTAINER(task, struct tg_batch, report);
    batch->done(batch->arg, batch->outcomes);
    batch_free(batch);
}

/* outcomes: of its connections; NULL: all of them have that one. */
static void end_part(struct part *part, const unsigned char *outcomes, enum tg_push_outcome all)
{
    struct tg_batch *batch = part->batch;
    tg_timer_stop(&part->timer);
    tg_list_remove(&part->node);
    for (size_t i = 0; i < part->count; i++) {
        unsigned char outcome = outcomes != NULL ? outcomes[i] : (unsigned char)all;
        batch->outcomes[place_of(part->first[i])] = outcome <= TG_PUSH_FAILED ? outcome : TG_PUSH_FAILED;
    }
    if (--batch->open == 0) {
        tg_task_defer(batch->push->loop, &batch->report);
    }
}

static void take_answer(struct tg_push *push, const struct tg_envelope *envelope)
{
    struct tg_slice outcomes = envelope->text[TG_BATCH_TEXT_OUTCOMES];
    for (struct tg_list *node = push->batches_asked.next; node != &push->batches_asked; node = node->next) {
        struct part *part = TG_CONTAINER(node, struct part, node);
        if (part->correlation != envelope->correlation) {
            continue;
        }
        if (outcomes.ptr == NULL) {
            end_part(part, NULL, (enum tg_push_outcome)envelope->outcome);
        } else if (outcomes.len == part->count) {
            end_part(part, (const unsigned char *)outcomes.ptr, TG_PUSH_FAILED);
        } else {
            end_part(part, NULL, TG_PUSH_UNREACHABLE);
        }
        return;
    }
}

static void on_silence(struct tg_timer *timer)
{
    struct part *part = TG_CONTAINER(timer, struct part, timer);
    tg_bus_suspect(part->batch->push->port, part->asked_node);
    end_part(part, NULL, TG_PUSH_UNREACHABLE);
}

static void on_served(struct tg_serving *serving)
{
    struct part *part = serving->arg;
    part->serving = NULL;
    end_part(part, serving->outcomes, TG_PUSH_FAILED);
}

static void serve_part(struct part *part, const struct tg_batch_request *request)
{
    struct tg_batch_request own = *request;
    own.count = part->count;
    part->serving = tg_serving_new(part->batch->push, &own, on_served);
    if (part->serving == NULL) {
        end_part(part, NULL, TG_PUSH_FAILED);
        return;
    }
    part->serving->arg = part;
    for (size_t i = 0; i < part->count; i++) {
        part->serving->targets[i] = tg_push_handle_of(&request->ids[place_of(part->first[i])]);
    }
}

/* Its connections on the wire; NULL: no memory. */
static char *write_targets(const struct part *part, const struct tg_batch_request *request)
{
    char *targets = malloc(part->count * TG_BATCH_TARGET_BYTES);
    for (size_t i = 0; targets != NULL && i < part->count; i++) {
        const struct tg_connid *id = &request->ids[place_of(part->first[i])];
        tg_batch_put_target(targets + i * TG_BATCH_TARGET_BYTES, id->slot, id->generation);
    }
    return targets;
}

/* TG_OK: on its way; otherwise as tg_bus_send. */
static enum tg_err send_question(struct part *part, const struct tg_batch_request *request)
{
    struct tg_push *push = part->batch->push;
    const struct tg_connid *id = &request->ids[place_of(part->first[0])];
    char *targets = write_targets(part, request);
    struct tg_envelope *envelope;
    const struct tg_envelope model = {
        .kind = TG_ENVELOPE_BATCH,
        .from = push->self,
        .to = {.node = id->node, .worker = id->worker},
        .correlation = ++push->last_correlation,
        .binary = request->binary,
        .timeout_ms = request->timeout_ms,
        .text = {[TG_BATCH_TEXT_API] = request->api_id,
                 [TG_BATCH_TEXT_PAYLOAD] = request->payload,
                 [TG_BATCH_TEXT_TARGETS] = {targets, part->count * TG_BATCH_TARGET_BYTES}},
    };
    enum tg_err err = targets != NULL ? tg_envelope_new(&model, &envelope) : TG_ENOMEM;
    free(targets);
    if (err != TG_OK) {
        return err;
    }
    err = tg_bus_send(push->port, envelope);
    if (err != TG_OK) {
        tg_envelope_free(envelope);
        return err;
    }
    part->correlation = model.correlation;
    part->asked_node = id->node;
    return TG_OK;
}

static void ask_part(struct part *part, const struct tg_batch_request *request)
{
    struct tg_push *push = part->batch->push;
    enum tg_err err = push->port != NULL ? send_question(part, request) : TG_ENOTFOUND;
    if (err == TG_OK) {
        tg_list_append(&push->batches_asked, &part->node);
        tg_timer_start(push->loop, &part->timer, request->timeout_ms + TG_PUSH_ANSWER_MS);
        return;
    }
    /* No such worker, or its node is dead: it never was, or has ended with its connections. */
    end_part(part, NULL,
             err == TG_ENOTFOUND ? TG_PUSH_GONE
             : err == TG_ENOMEM  ? TG_PUSH_FAILED
                                 : TG_PUSH_UNREACHABLE);
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* By owner, and within it as they were given; returns how many owners there are. */
static size_t sort(const struct tg_batch_request *request, uint64_t *order)
{
    size_t owners = 1;
    bool sorted = true;
    for (size_t i = 0; i < request->count; i++) {
        const struct tg_connid *id = &request->ids[i];
        order[i] = ((uint64_t)id->node << 8 | id->worker) << 32 | i;
        sorted = sorted && (i == 0 || order[i - 1] < order[i]);
    }
    if (!sorted) {
        qsort(order, request->count, sizeof *order, compare);
    }
    for (size_t i = 1; i < request->count; i++) {
        owners += order[i] >> 32 != order[i - 1] >> 32;
    }
    return owners;
}

static void cut(struct tg_batch *batch, size_t count)
{
    struct part *part = batch->parts;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || batch->order[i] >> 32 != batch->order[i - 1] >> 32) {
            part = &batch->parts[batch->part_count++];
            *part = (struct part){.batch = batch, .first = &batch->order[i]};
            tg_list_init(&part->node);
            tg_timer_init(&part->timer, on_silence);
        }
        part->count++;
    }
}

enum tg_err tg_batch_start(struct tg_push *push, const struct tg_batch_request *request,
                           tg_batch_done_fn *done, void *arg, struct tg_batch **out)
{
    uint64_t *order = malloc(request->count * sizeof *order);
    size_t owners = order != NULL ? sort(request, order) : 0;
    struct tg_batch *batch =
        order != NULL ? malloc(sizeof *batch + owners * sizeof *batch->parts + request->count) : NULL;
    if (batch == NULL) {
        free(order);
        return TG_ENOMEM;
    }
    *batch = (struct tg_batch){.push = push, .done = done, .arg = arg, .order = order, .open = owners};
    batch->outcomes = (unsigned char *)(batch->parts + owners);
    tg_task_init(&batch->report, report);
    cut(batch, request->count);
    for (size_t i = 0; i < owners; i++) {
        if (tg_push_is_own(push, &request->ids[place_of(batch->parts[i].first[0])])) {
            serve_part(&batch->parts[i], request);
        } else {
            ask_part(&batch->parts[i], request);
        }
    }
    *out = batch;
    return TG_OK;
}

void tg_batch_cancel(struct tg_batch *batch)
{
    for (size_t i = 0; i < batch->part_count; i++) {
        struct part *part = &batch->parts[i];
        tg_timer_stop(&part->timer);
        tg_list_remove(&part->node);
        if (part->serving != NULL) {
            tg_serving_free(part->serving);
        }
    }
    batch_free(batch);
}

/* ---- for push.c ---- */

void tg_batch_take(struct tg_push *push, const struct tg_envelope *envelope)
{
    if (envelope->kind == TG_ENVELOPE_BATCH) {
        tg_serving_take(push, envelope);
    } else {
        take_answer(push, envelope);
    }
}
