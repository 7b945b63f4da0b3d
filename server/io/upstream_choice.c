/* Which target a call goes to, and whether it goes to another when that one fails. */
#include "server/io/upstream_group_private.h"

static bool was_tried(const struct tg_call *call, const struct tg_target *target)
{
    for (unsigned i = 0; i < call->attempts; i++) {
        if (call->tried[i] == target->id) {
            return true;
        }
    }
    return false;
}

static bool is_usable(struct tg_target *target, uint64_t now_ms)
{
    if (tg_health_look(&target->health, now_ms)) {
        tg_target_changed(target);
    }
    enum tg_target_state state = tg_health_state(&target->health);
    return state == TG_TARGET_HEALTHY || (state == TG_TARGET_TRIAL && target->outstanding == 0);
}

/* The one with the fewest calls under way, the first of them behind the last choice; NULL: none. */
static struct tg_target *least(const struct tg_call *call, bool any_health)
{
    struct tg_upstream_group *group = call->request.group;
    uint64_t now_ms = tg_loop_now_ms(group->upstream->loop);
    struct tg_target *best = NULL;
    size_t best_index = 0;
    for (size_t i = 0; i < group->count; i++) {
        size_t index = (group->next + i) % group->count;
        struct tg_target *target = group->targets[index];
        if ((best == NULL || target->outstanding < best->outstanding) && !was_tried(call, target) &&
            (any_health || is_usable(target, now_ms))) {
            best = target;
            best_index = index;
        }
    }
    if (best != NULL) {
        group->next = (best_index + 1) % group->count;
    }
    return best;
}

static struct tg_target *choose(const struct tg_call *call)
{
    struct tg_target *target = call->attempts < call->request.group->max_attempts ? least(call, false) : NULL;
    if (target == NULL && call->attempts < call->request.group->max_attempts) {
        target = least(call, true);
    }
    return target;
}

/* What is the target's failure, and not ours or the answer's. */
static bool blames_target(enum tg_err err)
{
    switch (err) {
    case TG_EREFUSED:
    case TG_EDNS:
    case TG_ETLS:
    case TG_ETIMEOUT:
    case TG_EPROTO:
    case TG_ECLOSED:
    case TG_EIO:
        return true;
    default:
        return false;
    }
}

static void note_failure(struct tg_target *target, enum tg_err err)
{
    const struct tg_upstream_group *group = target->group;
    unsigned before = target->health.ejected_in_row;
    bool changed =
        tg_health_call_failed(&target->health, &group->policy, tg_loop_now_ms(group->upstream->loop), err);
    target->stats.failures++;
    target->stats.ejections += target->health.ejected_in_row > before;
    if (changed) {
        tg_target_changed(target);
    }
}

enum tg_err tg_group_place(struct tg_call *call)
{
    enum tg_err first = TG_OK;
    struct tg_target *target;
    while ((target = choose(call)) != NULL) {
        call->tried[call->attempts++] = target->id;
        call->target = target;
        call->request.origin = target->origin;
        target->outstanding++;
        target->stats.calls++;
        enum tg_err err = tg_upstream_place(call);
        if (err == TG_OK) {
            return TG_OK;
        }
        if (blames_target(err)) {
            note_failure(target, err);
        }
        call->target = NULL;
        tg_target_leave(target);
        if (err != TG_EBUSY && !blames_target(err)) {
            return err;
        }
        first = first == TG_OK ? err : first;
    }
    return first != TG_OK ? first : TG_EBUSY;
}

static bool knows_another(const struct tg_call *call)
{
    const struct tg_upstream_group *group = call->request.group;
    for (size_t i = 0; i < group->count; i++) {
        if (!was_tried(call, group->targets[i])) {
            return true;
        }
    }
    return false;
}

/* As far as it lies with the call: no harm comes of sending it again, and there is somebody left to ask. */
static bool may_move_on(const struct tg_call *call)
{
    const struct tg_upstream_group *group = call->request.group;
    return !call->head_seen && !call->stream_started && (!call->wrote || call->replayable) &&
           call->attempts < group->max_attempts && knows_another(call);
}

uint64_t tg_group_attempt_ms(const struct tg_call *call)
{
    return call->target != NULL && may_move_on(call) ? call->request.group->attempt_timeout_ms : 0;
}

bool tg_group_move_on(struct tg_call *call, enum tg_err err)
{
    struct tg_target *target = call->target;
    const struct tg_upstream_conn *conn = call->conn;
    bool cut = err == TG_ECLOSED || err == TG_EIO;
    bool stale = cut && conn != NULL && conn->reused && !conn->answered;
    bool waited = err == TG_ETIMEOUT && conn == NULL;
    if (call->head_seen) {
        return false;
    }
    if (blames_target(err) && !stale && !waited) {
        note_failure(target, err);
    }
    if (!may_move_on(call) || (err != TG_EBUSY && !blames_target(err)) || tg_call_time_is_over(call)) {
        return false;
    }
    tg_call_rewind(call);
    call->target = NULL;
    bool placed = tg_group_place(call) == TG_OK;
    target->stats.moved += placed;
    tg_target_leave(target);
    return placed;
}

void tg_group_enter(struct tg_call *call)
{
    call->request.group->calls++;
}

void tg_group_answered(struct tg_call *call)
{
    if (tg_health_call_answered(&call->target->health)) {
        tg_target_changed(call->target);
    }
}

void tg_group_leave(struct tg_call *call)
{
    struct tg_upstream_group *group = call->request.group;
    struct tg_target *target = call->target;
    call->target = NULL;
    if (target != NULL) {
        tg_target_leave(target);
    }
    group->calls--;
    tg_group_settle(group);
}
