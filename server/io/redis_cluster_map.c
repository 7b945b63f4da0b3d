#include <stdio.h>
#include <stdlib.h>

#include "server/io/redis_cluster.h"

enum {
    SERVERS_MAX = 512,
    CALM = 5,    /* looks_ms between two looks when all is well */
    HURRY = 4,   /* a part of it when not */
    SOON_MS = 10 /* after a redirection: others come with it; doubles to the hurried */
};

static struct tg_redis_server *server_of(struct tg_list *node)
{
    return TG_CONTAINER(node, struct tg_redis_server, node);
}

/* ---- up and down ---- */

static bool is_whole(const struct tg_redis_cluster *cluster)
{
    for (struct tg_list *node = cluster->servers.next; node != &cluster->servers; node = node->next) {
        const struct tg_redis_server *server = server_of(node);
        if (server->owner && !tg_redis_up(server->redis)) {
            return false;
        }
    }
    return cluster->mapped;
}

static void tell(struct tg_redis_cluster *cluster)
{
    struct tg_redis_site *site = &cluster->base;
    bool up = is_whole(cluster);
    if (up == site->up || cluster->closed) {
        return;
    }
    site->up = up;
    if (up) {
        site->events->on_up(site->arg);
    } else {
        site->events->on_down(site->arg);
        tg_redis_cluster_look(cluster);
    }
}

/* The answer has come, or will not. */
static void stop_looking(struct tg_redis_cluster *cluster, const struct tg_redis_server *server)
{
    bool again = cluster->looking == server && cluster->look_again;
    if (cluster->looking == server) {
        cluster->looking = NULL;
        cluster->look_again = false;
    }
    if (again) {
        tg_redis_cluster_look(cluster);
    }
}

static void on_up(void *arg)
{
    struct tg_redis_server *server = arg;
    struct tg_redis_cluster *cluster = server->cluster;
    cluster->base.events->on_server(cluster->base.arg, server->redis);
    if (!cluster->mapped) {
        tg_redis_cluster_look(cluster);
    }
    tell(cluster);
    tg_redis_cluster_release(cluster);
}

static void on_down(void *arg)
{
    struct tg_redis_server *server = arg;
    struct tg_redis_cluster *cluster = server->cluster;
    stop_looking(cluster, server);
    if (cluster->base.up) {
        tell(cluster);
    } else if (!cluster->closed) {
        (void)snprintf(cluster->problem, sizeof cluster->problem, "%.*s:%u: %s",
                       TG_FMT(tg_slice_head(server->place.host, 80)), (unsigned)server->place.port,
                       tg_redis_problem(server->redis));
        cluster->base.events->on_down(cluster->base.arg);
    }
}

static void on_denied(void *arg, struct tg_slice reason)
{
    const struct tg_redis_server *server = arg;
    struct tg_redis_site *site = &server->cluster->base;
    if (site->events->on_denied != NULL) {
        site->events->on_denied(site->arg, reason);
    }
}

static const struct tg_redis_events redis_events = {
    .on_up = on_up, .on_down = on_down, .on_denied = on_denied};

/* ---- servers ---- */

struct tg_redis_server *tg_redis_cluster_server(struct tg_redis_cluster *cluster, struct tg_redis_place place,
                                                const struct tg_redis_server *sayer)
{
    place.host = place.host.len > 0 || sayer == NULL ? place.host : sayer->place.host;
    for (struct tg_list *node = cluster->servers.next; node != &cluster->servers; node = node->next) {
        struct tg_redis_server *server = server_of(node);
        if (server->place.port == place.port && tg_slice_eq(server->place.host, place.host)) {
            return server;
        }
    }
    struct tg_redis_server *server = cluster->server_count < SERVERS_MAX && !cluster->closed &&
                                             place.host.len > 0 && place.host.len <= TG_REDIS_HOST_MAX
                                         ? calloc(1, sizeof *server)
                                         : NULL;
    if (server == NULL) {
        return NULL;
    }
    struct tg_redis_options options = cluster->base.options;
    options.events = &redis_events;
    options.arg = server;
    options.seed += ++cluster->next_number;
    server->cluster = cluster;
    memcpy(server->host, place.host.ptr, place.host.len);
    server->place =
        (struct tg_redis_place){.host = tg_slice_make(server->host, place.host.len), .port = place.port};
    if (tg_redis_new(&options, &server->redis) != TG_OK) {
        free(server);
        return NULL;
    }
    tg_list_init(&server->node);
    tg_list_append(&cluster->servers, &server->node);
    cluster->server_count++;
    tg_redis_move(server->redis, server->place);
    return server;
}

static void drop(struct tg_redis_server *server)
{
    struct tg_redis_cluster *cluster = server->cluster;
    tg_redis_cluster_forget(cluster, server);
    tg_list_remove(&server->node);
    cluster->server_count--;
    stop_looking(cluster, server);
    cluster->witness = cluster->witness == server ? NULL : cluster->witness;
    tg_redis_free(server->redis);
    free(server);
}

/* Those that nobody speaks of any more, when nothing is left on them. Not from inside a callback of theirs.
 */
static void sweep(struct tg_redis_cluster *cluster)
{
    for (struct tg_list *node = cluster->servers.next, *next = NULL; node != &cluster->servers; node = next) {
        struct tg_redis_server *server = server_of(node);
        next = node->next;
        if (cluster->mapped && !server->asked && !server->owner && server->in_flight == 0 &&
            cluster->looking != server) {
            drop(server);
        }
    }
}

/* ---- who has which slots ---- */

static void note_owners(struct tg_redis_cluster *cluster)
{
    for (struct tg_list *node = cluster->servers.next; node != &cluster->servers; node = node->next) {
        server_of(node)->owner = false;
    }
    for (size_t i = 0; i < TG_REDIS_SLOTS; i++) {
        if (cluster->owners[i] != NULL) {
            cluster->owners[i]->owner = true;
        }
    }
}

static void changed(struct tg_redis_cluster *cluster)
{
    note_owners(cluster);
    tell(cluster);
    tg_redis_site_place_inboxes(&cluster->base);
    tg_redis_cluster_release(cluster);
}

void tg_redis_cluster_learn(struct tg_redis_cluster *cluster, uint16_t slot, struct tg_redis_place place,
                            const struct tg_redis_server *sayer)
{
    struct tg_redis_server *server = tg_redis_cluster_server(cluster, place, sayer);
    if (server == NULL || cluster->owners[slot] == server) {
        return;
    }
    server->asked = true;
    cluster->owners[slot] = server;
    cluster->witness = tg_redis_cluster_server(cluster, sayer->place, NULL);
    changed(cluster);
    tg_redis_cluster_look(cluster); /* others have moved with it, perhaps */
}

static uint64_t number_of(const struct tg_redis_reply *reply)
{
    int64_t number = tg_redis_reply_integer(reply);
    return number >= 0 ? (uint64_t)number : UINT64_MAX;
}

/* [first slot, last slot, [host, port, ...] of the primary, replicas...] */
static void take_range(struct tg_redis_cluster *cluster, const struct tg_redis_reply *range,
                       const struct tg_redis_server *sayer)
{
    if (tg_redis_reply_count(range) < 3 || tg_redis_reply_count(tg_redis_reply_at(range, 2)) < 2) {
        return;
    }
    const struct tg_redis_reply *primary = tg_redis_reply_at(range, 2);
    uint64_t first = number_of(tg_redis_reply_at(range, 0)), last = number_of(tg_redis_reply_at(range, 1)),
             port = number_of(tg_redis_reply_at(primary, 1));
    const struct tg_redis_place place = {.host = tg_redis_reply_text(tg_redis_reply_at(primary, 0)),
                                         .port = port <= UINT16_MAX ? (uint16_t)port : 0};
    if (first > last || last >= TG_REDIS_SLOTS || place.port == 0) {
        return;
    }
    struct tg_redis_server *server = tg_redis_cluster_server(cluster, place, sayer);
    if (server != NULL) {
        server->asked = true;
        for (uint64_t i = first; i <= last; i++) {
            cluster->owners[i] = server;
        }
    }
}

static void on_slots(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis_server *sayer = arg;
    struct tg_redis_cluster *cluster = sayer->cluster;
    sayer->in_flight--;
    if (cluster->looking != sayer) {
        return;
    }
    stop_looking(cluster, sayer);
    if (err != TG_OK || !cluster->state_ok || tg_redis_reply_count(reply) == 0) {
        (void)snprintf(cluster->problem, sizeof cluster->problem, "%.*s:%u: %.*s",
                       TG_FMT(tg_slice_head(sayer->place.host, 80)), (unsigned)sayer->place.port,
                       TG_FMT(err == TG_EDENIED ? tg_slice_head(tg_redis_reply_text(reply), 100)
                                                : TG_LIT("the Cluster says that it is down")));
        tg_redis_cluster_look(cluster);
        return;
    }
    for (struct tg_list *node = cluster->servers.next; node != &cluster->servers; node = node->next) {
        server_of(node)->asked = false;
    }
    for (size_t i = 0; i < TG_REDIS_SLOTS; i++) {
        cluster->owners[i] = NULL;
    }
    for (size_t i = 0; i < tg_redis_reply_count(reply); i++) {
        take_range(cluster, tg_redis_reply_at(reply, i), sayer);
    }
    cluster->mapped = true;
    changed(cluster);
}

/* What a server says of slots while its Cluster is down is old. */
static void on_info(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis_server *sayer = arg;
    sayer->in_flight--;
    if (sayer->cluster->looking == sayer) {
        struct tg_slice text = err == TG_OK ? tg_redis_reply_text(reply) : TG_EMPTY;
        sayer->cluster->state_ok = tg_slice_find_slice(text, TG_LIT("cluster_state:ok")) < text.len;
    }
}

/* Who has told of a change, which others may not know yet; else the first that is up, and then the next. */
static struct tg_redis_server *someone(struct tg_redis_cluster *cluster)
{
    struct tg_redis_server *witness = cluster->witness;
    cluster->witness = NULL;
    if (witness != NULL && tg_redis_up(witness->redis)) {
        return witness;
    }
    for (struct tg_list *node = cluster->servers.next; node != &cluster->servers; node = node->next) {
        if (tg_redis_up(server_of(node)->redis)) {
            tg_list_remove(node);
            tg_list_append(&cluster->servers, node);
            return server_of(node);
        }
    }
    return NULL;
}

static void seek(struct tg_redis_cluster *cluster)
{
    const struct tg_slice info[] = {TG_LIT("CLUSTER"), TG_LIT("INFO")};
    const struct tg_slice slots[] = {TG_LIT("CLUSTER"), TG_LIT("SLOTS")};
    const struct tg_redis_url *url = cluster->base.options.url;
    if (cluster->looking != NULL) {
        return;
    }
    struct tg_redis_server *server = someone(cluster);
    for (size_t i = 0; server == NULL && i < url->place_count; i++) {
        struct tg_redis_server *seed = tg_redis_cluster_server(cluster, url->places[i], NULL);
        if (seed != NULL) {
            seed->asked = true;
        }
    }
    if (server == NULL) {
        return;
    }
    if (tg_redis_command(server->redis, info, 2, on_info, server) == TG_OK) {
        server->in_flight++;
        cluster->state_ok = false;
        if (tg_redis_command(server->redis, slots, 2, on_slots, server) == TG_OK) {
            server->in_flight++;
            cluster->looking = server;
        }
    }
}

static uint64_t hurried(const struct tg_redis_cluster *cluster)
{
    uint64_t ms = cluster->base.options.look_ms / HURRY;
    return ms > SOON_MS ? ms : SOON_MS;
}

static void on_look(struct tg_timer *timer)
{
    struct tg_redis_cluster *cluster = TG_CONTAINER(timer, struct tg_redis_cluster, look);
    uint64_t calm_ms = cluster->base.options.look_ms * CALM, hurry_ms = hurried(cluster);
    tg_timer_start(cluster->base.options.loop, timer, cluster->base.up ? calm_ms : hurry_ms);
    if (cluster->look_hurried) {
        cluster->look_hurried = false;
        cluster->look_again = cluster->looking != NULL;
        cluster->looked_ms = tg_loop_now_ms(cluster->base.options.loop);
        cluster->look_pause_ms =
            cluster->look_pause_ms * 2 < hurry_ms ? cluster->look_pause_ms * 2 : hurry_ms;
    }
    sweep(cluster);
    seek(cluster);
}

void tg_redis_cluster_look(struct tg_redis_cluster *cluster)
{
    uint64_t ago_ms = tg_loop_now_ms(cluster->base.options.loop) - cluster->looked_ms;
    if (cluster->closed || cluster->look_hurried) {
        return; /* the one that is due will see it */
    }
    if (ago_ms >= 2 * cluster->look_pause_ms) { /* it is not one after the other */
        cluster->look_pause_ms = SOON_MS;
    }
    uint64_t rest_ms = ago_ms < cluster->look_pause_ms ? cluster->look_pause_ms - ago_ms : 0;
    cluster->look_hurried = true;
    tg_timer_start(cluster->base.options.loop, &cluster->look, rest_ms > SOON_MS ? rest_ms : SOON_MS);
}

void tg_redis_cluster_start(struct tg_redis_cluster *cluster)
{
    (void)snprintf(cluster->problem, sizeof cluster->problem, "not connected yet");
    tg_list_init(&cluster->servers);
    tg_timer_init(&cluster->look, on_look);
    cluster->look_pause_ms = SOON_MS;
    tg_timer_start(cluster->base.options.loop, &cluster->look, 0);
}

void tg_redis_cluster_stop(struct tg_redis_cluster *cluster)
{
    cluster->closed = true;
    tg_timer_stop(&cluster->look);
    for (size_t i = 0; i < TG_REDIS_SLOTS; i++) {
        cluster->owners[i] = NULL;
    }
    while (!tg_list_empty(&cluster->servers)) {
        drop(server_of(cluster->servers.next));
    }
}

const char *tg_redis_cluster_problem(const struct tg_redis_site *site)
{
    return ((const struct tg_redis_cluster *)site)->problem;
}
