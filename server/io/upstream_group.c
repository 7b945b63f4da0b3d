/* Groups and their targets: memory, reloads, figures. */
#include "server/io/upstream_group_private.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_CHECK_MS = 1000 };

static bool is_unix(const struct tg_origin *origin)
{
    return tg_slice_starts(origin->host, TG_LIT("unix:"));
}

static bool same_origin(const struct tg_origin *a, const struct tg_origin *b)
{
    return a->tls == b->tls && tg_slice_eq(a->host, b->host) && (a->port == b->port || is_unix(a)) &&
           (!a->tls || tg_slice_eq(a->server_name, b->server_name));
}

static enum tg_err check_options(const struct tg_upstream_group_options *options)
{
    const struct tg_upstream_check_options *check = &options->check;
    if (options->target_count == 0 ||
        (check->path.len > 0 && (check->interval_ms == 0 || check->timeout_ms == 0))) {
        return TG_EINVAL;
    }
    for (size_t i = 0; i < options->target_count; i++) {
        const struct tg_origin *origin = &options->targets[i].origin;
        if (origin->host.len == 0 || (origin->tls && origin->trust == NULL)) {
            return TG_EINVAL;
        }
        for (size_t j = 0; j < i; j++) {
            if (same_origin(origin, &options->targets[j].origin)) {
                return TG_EEXIST;
            }
        }
    }
    return TG_OK;
}

/* The Host field of a target's checks: a name that says something where there is none. */
static enum tg_err host_field(struct tg_arena *arena, const struct tg_origin *origin, struct tg_slice given,
                              struct tg_slice *out)
{
    bool bare_ipv6 = tg_slice_find(origin->host, ':') < origin->host.len;
    if (given.len > 0 || is_unix(origin)) {
        return tg_arena_copy(arena, given.len > 0 ? given : TG_LIT("localhost"), out);
    }
    return tg_arena_printf(arena, out, bare_ipv6 ? "[%.*s]:%u" : "%.*s:%u", TG_FMT(origin->host),
                           (unsigned)origin->port);
}

static struct tg_target *target_new(struct tg_upstream_group *group, const struct tg_origin *origin)
{
    struct tg_slice server_name = origin->tls ? origin->server_name : TG_EMPTY;
    struct tg_target *target = calloc(1, sizeof *target + origin->host.len + server_name.len);
    if (target == NULL) {
        return NULL;
    }
    memcpy(target->text, origin->host.ptr, origin->host.len);
    if (server_name.len > 0) {
        memcpy(target->text + origin->host.len, server_name.ptr, server_name.len);
    }
    target->group = group;
    target->origin = *origin;
    target->origin.host = tg_slice_make(target->text, origin->host.len);
    target->origin.server_name = tg_slice_make(target->text + origin->host.len, server_name.len);
    target->origin.trust = NULL;
    target->stats.changed_ms = tg_loop_wall_ms(group->upstream->loop);
    tg_target_check_init(target);
    return target;
}

static void target_free(struct tg_target *target)
{
    tg_tls_context_free(target->origin.trust);
    free(target);
}

/* Off the list: goes now or with its last call. */
static void target_drop(struct tg_target *target)
{
    tg_target_check_stop(target);
    target->listed = false;
    target->name = TG_EMPTY;
    if (target->outstanding == 0) {
        target_free(target);
    }
}

static void group_destroy(struct tg_upstream_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        target_free(group->targets[i]);
    }
    free(group->targets);
    tg_arena_reset(&group->arena);
    free(group);
}

void tg_target_leave(struct tg_target *target)
{
    assert(target->outstanding > 0);
    target->outstanding--;
    if (!target->listed && target->outstanding == 0) {
        target_free(target);
    }
}

void tg_group_settle(struct tg_upstream_group *group)
{
    if (group->freed && group->calls == 0) {
        group_destroy(group);
    }
}

void tg_target_changed(struct tg_target *target)
{
    struct tg_upstream *upstream = target->group->upstream;
    enum tg_target_state state = tg_health_state(&target->health);
    enum tg_err reason = tg_health_reason(&target->health);
    bool good = state == TG_TARGET_HEALTHY || state == TG_TARGET_TRIAL;
    if (!target->listed) {
        return;
    }
    target->stats.changed_ms = tg_loop_wall_ms(upstream->loop);
    tg_log(upstream->log, good ? TG_LOG_INFO : TG_LOG_WARN, "target of an upstream group",
           TG_KV("upstream", target->group->name), TG_KV("target", target->name),
           TG_KV_CSTR("state", tg_target_state_text(state)),
           TG_KV_CSTR("reason", good              ? "mended"
                                : reason == TG_OK ? "status of the check"
                                                  : tg_err_text(reason)),
           TG_KV_INT("status", target->stats.status));
}

/* What a group has by its options, made apart so that a failure changes nothing. */
struct draft {
    struct tg_arena arena;
    struct tg_slice name;
    struct tg_upstream_check_options check;
    struct tg_target **targets;
    struct tg_slice *names, *hosts; /* of the targets; in the arena */
};

static struct tg_target *find(const struct tg_upstream_group *group, const struct tg_origin *origin)
{
    for (size_t i = 0; i < group->count; i++) {
        if (same_origin(&group->targets[i]->origin, origin)) {
            return group->targets[i];
        }
    }
    return NULL;
}

static void draft_drop(struct draft *draft, size_t count)
{
    for (size_t i = 0; i < count && draft->targets != NULL; i++) {
        if (draft->targets[i] != NULL && !draft->targets[i]->listed) {
            target_free(draft->targets[i]);
        }
    }
    free(draft->targets);
    tg_arena_reset(&draft->arena);
}

static enum tg_err draft_target(struct draft *draft, struct tg_upstream_group *group,
                                const struct tg_upstream_group_options *options, size_t index)
{
    const struct tg_upstream_target_options *row = &options->targets[index];
    struct tg_target *target = find(group, &row->origin);
    draft->targets[index] = target != NULL ? target : target_new(group, &row->origin);
    if (draft->targets[index] == NULL) {
        return TG_ENOMEM;
    }
    enum tg_err err = tg_arena_copy(&draft->arena, row->name, &draft->names[index]);
    return err == TG_OK ? host_field(&draft->arena, &row->origin, options->check.host, &draft->hosts[index])
                        : err;
}

static enum tg_err draft_make(struct draft *draft, struct tg_upstream_group *group,
                              const struct tg_upstream_group_options *options)
{
    size_t count = options->target_count;
    *draft = (struct draft){.check = options->check};
    tg_arena_init(&draft->arena, NULL);
    draft->targets = calloc(count, sizeof(struct tg_target *));
    draft->names = tg_arena_zalloc(&draft->arena, count * sizeof *draft->names);
    draft->hosts = tg_arena_zalloc(&draft->arena, count * sizeof *draft->hosts);
    enum tg_err err = TG_ENOMEM;
    if (draft->targets != NULL && draft->names != NULL && draft->hosts != NULL) {
        err = tg_arena_copy(&draft->arena, options->name, &draft->name);
    }
    if (err == TG_OK) {
        err = tg_arena_copy(&draft->arena, options->check.path, &draft->check.path);
    }
    for (size_t i = 0; i < count && err == TG_OK; i++) {
        err = draft_target(draft, group, options, i);
    }
    if (err != TG_OK) {
        draft_drop(draft, count);
    }
    return err;
}

static unsigned at_least_one(unsigned number)
{
    return number > 0 ? number : 1;
}

static void take_settings(struct tg_upstream_group *group, const struct tg_upstream_group_options *options)
{
    unsigned attempts = at_least_one(options->max_attempts);
    group->policy = (struct tg_health_policy){
        .healthy_threshold = at_least_one(options->check.healthy_threshold),
        .unhealthy_threshold = at_least_one(options->check.unhealthy_threshold),
        .eject_after = options->eject_after,
        .eject_ms = options->eject_ms,
        .eject_max_ms = options->eject_max_ms,
    };
    group->max_attempts = attempts < TG_UPSTREAM_ATTEMPTS_MAX ? attempts : TG_UPSTREAM_ATTEMPTS_MAX;
    group->attempt_timeout_ms = options->attempt_timeout_ms;
}

/* A target as its options have it: for a new one and for one that stays. */
static void target_take(struct tg_target *target, const struct tg_origin *origin, struct tg_slice name,
                        struct tg_slice host)
{
    struct tg_tls_context *before = target->origin.trust;
    target->origin.trust = origin->tls ? tg_tls_context_ref(origin->trust) : NULL;
    tg_tls_context_free(before);
    target->name = name;
    target->check_host = (struct tg_header){TG_LIT("Host"), host};
}

/* Those whose index is not in the new list go. */
static void drop_others(struct tg_upstream_group *group, struct tg_target *const *kept, size_t count)
{
    for (size_t i = 0; i < group->count; i++) {
        bool stays = false;
        for (size_t j = 0; j < count; j++) {
            stays |= kept[j] == group->targets[i];
        }
        if (!stays) {
            target_drop(group->targets[i]);
        }
    }
}

static void draft_commit(struct draft *draft, struct tg_upstream_group *group,
                         const struct tg_upstream_group_options *options)
{
    drop_others(group, draft->targets, options->target_count);
    free(group->targets);
    struct tg_arena before = group->arena;
    group->arena = draft->arena;
    group->name = draft->name;
    group->check = draft->check;
    group->targets = draft->targets;
    group->count = options->target_count;
    group->next = 0;
    take_settings(group, options);
    for (size_t i = 0; i < group->count; i++) {
        struct tg_target *target = group->targets[i];
        tg_target_check_stop(target);
        target_take(target, &options->targets[i].origin, draft->names[i], draft->hosts[i]);
        if (!target->listed) {
            target->listed = true;
            target->id = ++group->last_id;
        }
        if (group->check.path.len > 0) {
            tg_target_check_start(target, FIRST_CHECK_MS);
        } else if (tg_health_unchecked(&target->health)) {
            tg_target_changed(target);
        }
    }
    tg_arena_reset(&before);
}

enum tg_err tg_upstream_group_configure(struct tg_upstream_group *group,
                                        const struct tg_upstream_group_options *options)
{
    struct draft draft;
    enum tg_err err = check_options(options);
    if (err == TG_OK) {
        err = draft_make(&draft, group, options);
    }
    if (err == TG_OK) {
        draft_commit(&draft, group, options);
    }
    return err;
}

enum tg_err tg_upstream_group_new(struct tg_upstream *upstream,
                                  const struct tg_upstream_group_options *options,
                                  struct tg_upstream_group **out)
{
    struct tg_upstream_group *group = calloc(1, sizeof *group);
    if (group == NULL) {
        return TG_ENOMEM;
    }
    group->upstream = upstream;
    tg_arena_init(&group->arena, NULL);
    tg_rng_seed(&group->rng, options->seed);
    enum tg_err err = tg_upstream_group_configure(group, options);
    if (err != TG_OK) {
        free(group);
        return err;
    }
    *out = group;
    return TG_OK;
}

void tg_upstream_group_free(struct tg_upstream_group *group)
{
    if (group == NULL) {
        return;
    }
    for (size_t i = 0; i < group->count; i++) {
        tg_target_check_stop(group->targets[i]);
    }
    group->freed = true;
    tg_group_settle(group);
}

size_t tg_upstream_group_count(const struct tg_upstream_group *group)
{
    return group->count;
}

struct tg_slice tg_upstream_group_name(const struct tg_upstream_group *group)
{
    return group->name;
}

void tg_upstream_group_target(struct tg_upstream_group *group, size_t index,
                              struct tg_upstream_target_stats *out)
{
    assert(index < group->count);
    struct tg_target *target = group->targets[index];
    if (tg_health_look(&target->health, tg_loop_now_ms(group->upstream->loop))) {
        tg_target_changed(target);
    }
    *out = target->stats;
    out->name = target->name;
    out->state = tg_health_state(&target->health);
    out->reason = tg_health_reason(&target->health);
    out->outstanding = target->outstanding;
}
