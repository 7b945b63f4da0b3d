/* Active checks: a GET on a connection of its own, now and then. */
#include "server/io/upstream_group_private.h"

/* A tenth of the interval more or less, so that workers and groups do not ask in step. */
static uint64_t next_ms(struct tg_upstream_group *group)
{
    uint64_t interval = group->check.interval_ms;
    uint64_t spread = interval / 5;
    return interval - spread / 2 + (spread > 0 ? tg_rng_next(&group->rng) % (spread + 1) : 0);
}

static void finish(struct tg_target *target, enum tg_err err)
{
    struct tg_upstream_group *group = target->group;
    const struct tg_upstream_check_options *check = &group->check;
    int status = target->check_status;
    target->check = NULL;
    if (status != 0) {
        target->stats.status = status;
    }
    bool good = err == TG_OK && status >= check->status_min && status <= check->status_max;
    bool changed;
    if (good) {
        target->stats.checks_ok++;
        changed = tg_health_check_good(&target->health, &group->policy);
    } else {
        target->stats.checks_failed++;
        changed = tg_health_check_bad(&target->health, &group->policy, err);
    }
    if (changed) {
        tg_target_changed(target);
    }
    tg_timer_start(group->upstream->loop, &target->timer, next_ms(group));
}

static void on_head(void *arg, int status, const struct tg_headers *headers)
{
    struct tg_target *target = arg;
    (void)headers;
    target->check_status = status;
}

static void on_body(void *arg, struct tg_slice bytes)
{
    (void)arg;
    (void)bytes;
}

static void on_end(void *arg, enum tg_err err)
{
    finish(arg, err);
}

static const struct tg_call_events check_events = {.on_head = on_head, .on_body = on_body, .on_end = on_end};

static void on_timer(struct tg_timer *timer)
{
    struct tg_target *target = TG_CONTAINER(timer, struct tg_target, timer);
    struct tg_upstream_group *group = target->group;
    const struct tg_call_request request = {
        .origin = target->origin,
        .method = TG_LIT("GET"),
        .target = group->check.path,
        .headers = {&target->check_host, 1, 1},
        .timeout_ms = group->check.timeout_ms,
    };
    const struct tg_call_way way = {.max_body = UINT64_MAX, .apart = true};
    target->check_status = 0;
    enum tg_err err = tg_call_new(group->upstream, &request, &check_events, target, &way, &target->check);
    if (err != TG_OK) {
        finish(target, err);
    }
}

void tg_target_check_init(struct tg_target *target)
{
    tg_timer_init(&target->timer, on_timer);
}

void tg_target_check_start(struct tg_target *target, uint64_t within_ms)
{
    struct tg_upstream_group *group = target->group;
    uint64_t most = group->check.interval_ms < within_ms ? group->check.interval_ms : within_ms;
    tg_timer_start(group->upstream->loop, &target->timer, tg_rng_next(&group->rng) % (most + 1));
}

void tg_target_check_stop(struct tg_target *target)
{
    tg_timer_stop(&target->timer);
    tg_call_cancel(target->check);
    target->check = NULL;
}
