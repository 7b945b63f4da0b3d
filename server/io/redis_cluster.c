#include "server/io/redis_cluster.h"

#include <stdlib.h>

enum {
    RETRY_MS = 10,     /* before what has to wait is looked at again */
    BACK_OFF_MAX = 6,  /* doublings of it, for one call */
    ATTEMPTS_MAX = 32, /* redirections of one call */
};

/* A command, kept until its reply: it may have to go elsewhere. */
struct call {
    struct tg_list node; /* of cluster->waiting, when it is */
    struct tg_redis_cluster *cluster;
    struct tg_redis_server *server; /* whom it was sent to */
    struct tg_redis_server *ask;    /* whom to send it to, this once; NULL: who has the slot */
    uint64_t number;                /* in the order of making */
    uint64_t deadline_ms, due_ms;
    unsigned attempts;
    uint16_t slot;
    uint8_t kind; /* TG_REDIS_COMMANDS or TG_REDIS_PUBLISHES */
    tg_redis_reply_fn *done;
    void *arg;
    size_t count;
    struct tg_slice words[]; /* their bytes follow */
};

static struct call *call_of(struct tg_list *node)
{
    return TG_CONTAINER(node, struct call, node);
}

static uint64_t now_ms(const struct tg_redis_cluster *cluster)
{
    return tg_loop_now_ms(cluster->base.options.loop);
}

static struct tg_redis_lane *lane_of(const struct call *call)
{
    return &call->cluster->lanes[call->slot][call->kind];
}

static void finish(struct call *call, enum tg_err err, const struct tg_redis_reply *reply)
{
    call->cluster->call_count--;
    if (call->done != NULL) {
        call->done(call->arg, err, reply);
    }
    free(call);
}

/* ---- waiting ---- */

/* Calls of one lane keep their order: one that has to be sent again is before those made after it. */
static void wait(struct call *call, uint64_t after_ms)
{
    struct tg_redis_cluster *cluster = call->cluster;
    struct tg_list *at = cluster->waiting.prev;
    while (at != &cluster->waiting && call_of(at)->number > call->number) {
        at = at->prev;
    }
    tg_list_append(at->next, &call->node);
    call->due_ms = now_ms(cluster) + after_ms;
    lane_of(call)->waiting++;
    tg_redis_cluster_release(cluster);
}

static void stop_waiting(struct call *call)
{
    tg_list_remove(&call->node);
    lane_of(call)->waiting--;
}

void tg_redis_cluster_release(struct tg_redis_cluster *cluster)
{
    if (!cluster->closed && !tg_list_empty(&cluster->waiting)) {
        tg_task_defer(cluster->base.options.loop, &cluster->release);
    }
}

void tg_redis_cluster_forget(struct tg_redis_cluster *cluster, const struct tg_redis_server *server)
{
    for (struct tg_list *node = cluster->waiting.next; node != &cluster->waiting; node = node->next) {
        if (call_of(node)->ask == server) {
            call_of(node)->ask = NULL;
        }
    }
}

/* ---- sending ---- */

static void on_reply(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct call *call = arg;
    struct tg_redis_cluster *cluster = call->cluster;
    struct tg_redis_server *server = call->server;
    struct tg_redis_place place = {0};
    uint16_t slot = call->slot;
    server->in_flight--;
    lane_of(call)->in_flight--;
    tg_redis_cluster_release(cluster);
    if (call->kind == TG_REDIS_PUBLISHES && err == TG_OK && tg_redis_reply_integer(reply) == 0) {
        tg_redis_cluster_look(cluster); /* a replica does not say that it is one */
    }
    enum tg_redis_redirection kind =
        err == TG_EDENIED ? tg_redis_redirection(tg_redis_reply_text(reply), &slot, &place) : TG_REDIS_STAY;
    if (kind == TG_REDIS_STAY || slot != call->slot || call->attempts >= ATTEMPTS_MAX || cluster->closed) {
        finish(call, err, reply);
        return;
    }
    call->attempts++;
    call->ask = NULL;
    if (kind == TG_REDIS_LATER) {
        unsigned doublings = call->attempts < BACK_OFF_MAX ? call->attempts : BACK_OFF_MAX;
        wait(call, (uint64_t)RETRY_MS << (doublings - 1));
        if (tg_slice_starts(tg_redis_reply_text(reply), TG_LIT("CLUSTERDOWN"))) {
            tg_redis_cluster_look(cluster);
        }
        return;
    }
    if (kind == TG_REDIS_ASK) {
        call->ask = tg_redis_cluster_server(cluster, place, server);
    }
    wait(call, 0);
    if (kind == TG_REDIS_MOVED) {
        tg_redis_cluster_learn(cluster, slot, place, server);
    }
}

static enum tg_err send_to(struct call *call, struct tg_redis_server *server)
{
    static const struct tg_slice asking[] = {TG_LIT_INIT("ASKING")};
    enum tg_err err = tg_redis_up(server->redis) ? TG_OK : TG_ECLOSED;
    if (err == TG_OK && call->ask != NULL) {
        err = tg_redis_command(server->redis, asking, 1, NULL, NULL);
    }
    if (err == TG_OK) {
        err = tg_redis_command(server->redis, call->words, call->count, on_reply, call);
    }
    if (err == TG_OK) {
        call->server = server;
        call->ask = NULL;
        server->in_flight++;
        lane_of(call)->in_flight++;
    }
    return err;
}

/* Whether the calls of the lane that wait may go, this time. */
static bool may_go(struct tg_redis_cluster *cluster, const struct call *call)
{
    struct tg_redis_lane *lane = lane_of(call);
    if (lane->pass != cluster->pass) {
        lane->pass = cluster->pass;
        lane->held = lane->in_flight > 0; /* what was sent before may yet come back */
    }
    return !lane->held && call->due_ms <= now_ms(cluster);
}

static void release(struct tg_redis_cluster *cluster)
{
    cluster->pass++;
    for (struct tg_list *node = cluster->waiting.next, *next = NULL; node != &cluster->waiting; node = next) {
        struct call *call = call_of(node);
        struct tg_redis_server *server = call->ask != NULL ? call->ask : cluster->owners[call->slot];
        next = node->next;
        if (now_ms(cluster) >= call->deadline_ms) {
            stop_waiting(call);
            finish(call, TG_ETIMEOUT, NULL); /* may add to the end of the list, and no more */
        } else if (may_go(cluster, call) && server != NULL && send_to(call, server) == TG_OK) {
            stop_waiting(call);
        } else {
            lane_of(call)->held = true;
        }
    }
    if (!tg_list_empty(&cluster->waiting)) {
        tg_timer_start(cluster->base.options.loop, &cluster->release_timer, RETRY_MS);
    }
}

static void run_release(struct tg_task *task)
{
    release(TG_CONTAINER(task, struct tg_redis_cluster, release));
}

static void on_release_timer(struct tg_timer *timer)
{
    release(TG_CONTAINER(timer, struct tg_redis_cluster, release_timer));
}

static struct call *call_new(struct tg_redis_cluster *cluster, const struct tg_slice *words, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += words[i].len;
    }
    struct call *call = malloc(sizeof *call + count * sizeof call->words[0] + bytes);
    if (call == NULL) {
        return NULL;
    }
    char *room = (char *)(call->words + count);
    *call = (struct call){.cluster = cluster, .count = count, .number = ++cluster->next_number};
    tg_list_init(&call->node);
    for (size_t i = 0; i < count; i++) {
        if (words[i].len > 0) {
            memcpy(room, words[i].ptr, words[i].len);
        }
        call->words[i] = tg_slice_make(room, words[i].len);
        room += words[i].len;
    }
    return call;
}

/* ---- the table ---- */

static const struct tg_redis_site_ops cluster_ops;

static enum tg_err cluster_command(struct tg_redis_site *site, struct tg_slice key,
                                   const struct tg_slice *words, size_t count, tg_redis_reply_fn *done,
                                   void *arg)
{
    struct tg_redis_cluster *cluster = (struct tg_redis_cluster *)site;
    uint16_t number = tg_redis_slot(key);
    struct tg_redis_server *owner = cluster->owners[number];
    bool published = tg_slice_eq(words[0], cluster_ops.publish);
    struct tg_redis_lane *lane = &cluster->lanes[number][published ? TG_REDIS_PUBLISHES : TG_REDIS_COMMANDS];
    if (cluster->closed || owner == NULL || (lane->waiting == 0 && !tg_redis_up(owner->redis))) {
        return TG_ECLOSED;
    }
    if (cluster->call_count >= site->options.max_pending) {
        return TG_EBUSY;
    }
    struct call *call = call_new(cluster, words, count);
    if (call == NULL) {
        return TG_ENOMEM;
    }
    call->slot = number;
    call->kind = published ? TG_REDIS_PUBLISHES : TG_REDIS_COMMANDS;
    call->done = done;
    call->arg = arg;
    call->deadline_ms = now_ms(cluster) + site->options.command_timeout_ms;
    if (lane->waiting > 0) {
        wait(call, 0);
    } else {
        enum tg_err err = send_to(call, owner);
        if (err != TG_OK) {
            free(call);
            return err;
        }
    }
    cluster->call_count++;
    return TG_OK;
}

static void cluster_flush(struct tg_redis_site *site)
{
    struct tg_redis_cluster *cluster = (struct tg_redis_cluster *)site;
    for (struct tg_list *node = cluster->servers.next; node != &cluster->servers; node = node->next) {
        tg_redis_flush(TG_CONTAINER(node, struct tg_redis_server, node)->redis);
    }
}

static struct tg_redis_place cluster_place(const struct tg_redis_site *site, struct tg_slice channel)
{
    const struct tg_redis_cluster *cluster = (const struct tg_redis_cluster *)site;
    const struct tg_redis_server *server = cluster->owners[tg_redis_slot(channel)];
    return server != NULL && channel.len > 0 ? server->place : (struct tg_redis_place){0};
}

/* Of an inbox. */
static bool cluster_redirected(struct tg_redis_site *site, struct tg_redis_place sayer, struct tg_slice error)
{
    struct tg_redis_cluster *cluster = (struct tg_redis_cluster *)site;
    struct tg_redis_place place = {0};
    uint16_t slot = 0;
    enum tg_redis_redirection kind = tg_redis_redirection(error, &slot, &place);
    if (kind == TG_REDIS_MOVED) {
        const struct tg_redis_server who = {.place = sayer};
        tg_redis_cluster_learn(cluster, slot, place, &who);
    }
    return kind == TG_REDIS_MOVED || kind == TG_REDIS_LATER; /* ASK: a channel moves when its slot has */
}

static void cluster_close(struct tg_redis_site *site)
{
    struct tg_redis_cluster *cluster = (struct tg_redis_cluster *)site;
    tg_redis_cluster_stop(cluster);
    tg_timer_stop(&cluster->release_timer);
    tg_task_cancel(&cluster->release);
    struct tg_list *node;
    while ((node = tg_list_pop(&cluster->waiting)) != NULL) {
        finish(call_of(node), TG_ECLOSED, NULL);
    }
}

static const struct tg_redis_site_ops cluster_ops = {
    .command = cluster_command,
    .flush = cluster_flush,
    .problem = tg_redis_cluster_problem,
    .place = cluster_place,
    .redirected = cluster_redirected,
    .close = cluster_close,
    .publish = TG_LIT_INIT("SPUBLISH"),
    .subscribe = TG_LIT_INIT("SSUBSCRIBE"),
    .unsubscribe = TG_LIT_INIT("SUNSUBSCRIBE"),
    .check = TG_LIT_INIT("EXISTS"), /* a replica redirects what has a key */
    .counts_part = true,
};

enum tg_err tg_redis_cluster_new(const struct tg_redis_options *options,
                                 const struct tg_redis_site_events *events, void *arg,
                                 struct tg_redis_site **out)
{
    struct tg_redis_cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL) {
        return TG_ENOMEM;
    }
    tg_redis_site_init(&cluster->base, &cluster_ops, options, events, arg);
    tg_list_init(&cluster->waiting);
    tg_timer_init(&cluster->release_timer, on_release_timer);
    tg_task_init(&cluster->release, run_release);
    tg_redis_cluster_start(cluster);
    *out = &cluster->base;
    return TG_OK;
}
