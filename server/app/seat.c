#include "server/app/seat.h"

#include <stdlib.h>

#include "connmgr/takeover.h"
#include "routes/disconnect.h"

struct tg_seat {
    uint32_t node; /* as this worker was told; 0: none */
    struct tg_seat_options options;
    struct tg_uplink *link;
    struct tg_list takeovers; /* struct running */
    bool draining;
};

struct running {
    struct tg_list node;
    struct tg_seat *seat;
    struct tg_takeover *takeover;
    uint32_t dead;
};

enum tg_err tg_seat_new(const struct tg_seat_options *options, struct tg_seat **out)
{
    struct tg_seat *seat = calloc(1, sizeof *seat);
    const struct tg_engine *engine = options->engine;
    if (seat == NULL) {
        return TG_ENOMEM;
    }
    seat->options = *options;
    tg_list_init(&seat->takeovers);
    enum tg_err err =
        tg_uplink_new(options->cluster, engine->loop, engine->log, (int)options->worker, &seat->link);
    if (err != TG_OK) {
        free(seat);
        return err;
    }
    tg_bus_redis_lend(options->bus, options->worker, seat->link, engine->log);
    *out = seat;
    return TG_OK;
}

enum tg_err tg_seat_make_registry(struct tg_seat *seat, const struct tg_connmgr_options *identity,
                                  struct tg_registry **out)
{
    struct tg_engine *engine = seat->options.engine;
    engine->disconnects_max = identity->max_connections; /* of those whose rows Redis has yet to remove */
    return tg_registry_redis_new(seat->options.cluster, seat->link, identity, engine->connmgr,
                                 &engine->disconnects, out);
}

static void end(struct running *running)
{
    tg_list_remove(&running->node);
    free(running);
}

void tg_seat_close(struct tg_seat *seat)
{
    struct tg_list *node;
    if (seat == NULL) {
        return;
    }
    tg_uplink_close(seat->link); /* ends those that wait for a reply */
    while ((node = tg_list_pop(&seat->takeovers)) != NULL) {
        struct running *running = TG_CONTAINER(node, struct running, node);
        tg_takeover_free(running->takeover);
        end(running);
    }
}

void tg_seat_free(struct tg_seat *seat)
{
    if (seat != NULL) {
        tg_uplink_free(seat->link);
        free(seat);
    }
}

/* ---- the node's number ---- */

void tg_seat_join(struct tg_seat *seat, uint32_t node, const char *token)
{
    struct tg_engine *engine = seat->options.engine;
    if (seat->node != 0 && seat->node != node) {
        tg_seat_fence(seat); /* this worker was not told, as it stood still and its mailbox was full */
    }
    seat->node = node;
    tg_registry_redis_renumber(engine->registry, node, token);
    tg_push_renumber(engine->push, node);
    tg_connmgr_renumber(engine->connmgr, node);
}

static bool close_one(void *arg, struct tg_conn *conn)
{
    (void)arg;
    tg_conn_close(conn, 1012, TG_LIT("Service restart"));
    return true;
}

/* The bus keeps the old number until there is a new one: who still asks here gets told that they are gone. */
void tg_seat_fence(struct tg_seat *seat)
{
    static const char none[TG_TOKEN_LEN] = {0};
    struct tg_engine *engine = seat->options.engine;
    seat->node = 0;
    tg_connmgr_renumber(engine->connmgr, 0);
    tg_registry_redis_renumber(engine->registry, 0, none);
    tg_connmgr_each(engine->connmgr, close_one, NULL);
}

void tg_seat_rewrite(struct tg_seat *seat)
{
    tg_registry_redis_rewrite(seat->options.engine->registry);
}

void tg_seat_restore(struct tg_seat *seat, uint32_t node, const char *token, bool late)
{
    tg_registry_redis_restore(seat->options.engine->registry, node, token, late, seat->options.on_restored,
                              seat->options.arg);
}

static size_t room_here(void *arg)
{
    const struct tg_seat *seat = arg;
    return tg_disconnect_room(seat->options.engine);
}

static void issue_here(void *arg, const char *connection_id, const struct tg_conn_info *info)
{
    const struct tg_seat *seat = arg;
    tg_disconnect_issue(seat->options.engine, connection_id, info, false, 1006,
                        TG_LIT("Connection closed abnormally"));
}

void tg_seat_settle(struct tg_seat *seat, uint32_t node, uint64_t known_until_ms)
{
    const struct tg_registry_heir heir = {.room = room_here, .issue = issue_here, .arg = seat};
    tg_registry_redis_settle(seat->options.engine->registry, node, known_until_ms, &heir);
}

/* ---- takeovers ---- */

static size_t room(void *arg)
{
    const struct running *running = arg;
    return room_here(running->seat);
}

static void issue(void *arg, const char *connection_id, const struct tg_conn_info *info,
                  enum tg_leave (*gate)(void *event, tg_leave_fn *answer, void *answer_arg),
                  void (*over)(void *event), void *event)
{
    const struct running *running = arg;
    tg_disconnect_inherit(running->seat->options.engine, connection_id, info, gate, over, event);
}

static void on_ended(void *arg, struct tg_takeover *takeover, bool done)
{
    struct running *running = arg;
    const struct tg_seat_options *options = &running->seat->options;
    (void)takeover;
    options->on_taken_over(options->arg, running->dead, done);
    end(running);
}

void tg_seat_take_over(struct tg_seat *seat, uint32_t node, uint32_t rows, const char *token)
{
    const struct tg_seat_options *options = &seat->options;
    struct running *running = seat->draining ? NULL : calloc(1, sizeof *running);
    if (running == NULL) {
        options->on_taken_over(options->arg, node, false);
        return;
    }
    struct tg_takeover_options takeover = {
        .cluster = options->cluster,
        .loop = options->engine->loop,
        .log = options->engine->log,
        .link = seat->link,
        .worker = options->worker,
        .node = node,
        .rows = rows,
        .room = room,
        .issue = issue,
        .ended = on_ended,
        .arg = running,
    };
    memcpy(takeover.token, token, sizeof takeover.token);
    running->seat = seat;
    running->dead = node;
    tg_list_init(&running->node);
    if (tg_takeover_new(&takeover, &running->takeover) != TG_OK) {
        end(running);
        options->on_taken_over(options->arg, node, false);
        return;
    }
    tg_list_append(&seat->takeovers, &running->node);
}

void tg_seat_drain(struct tg_seat *seat)
{
    seat->draining = true;
    for (struct tg_list *node = seat->takeovers.next; node != &seat->takeovers; node = node->next) {
        tg_takeover_stop(TG_CONTAINER(node, struct running, node)->takeover);
    }
}

size_t tg_seat_unsettled(const struct tg_seat *seat)
{
    size_t count = seat->node != 0 ? tg_registry_redis_orphans(seat->options.engine->registry) : 0;
    for (const struct tg_list *node = seat->takeovers.next; node != &seat->takeovers; node = node->next) {
        count += tg_takeover_unsure(TG_CONTAINER(node, const struct running, node)->takeover);
    }
    return count;
}
