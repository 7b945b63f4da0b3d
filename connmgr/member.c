#include "connmgr/member.h"

#include <stdlib.h>

#include "connmgr/member_private.h"
#include "server/base/codec.h"
#include "server/base/crypto.h"

enum {
    NODE_BITS = 0xffffff,
    TICKS = 12, /* of a lease */
    KEEPS = 3,  /* of a lease */
    LOOKS = 6,  /* of a lease */
    LEASE_KEYS = 4,
    LEAVE_KEYS = 3, /* and the rows */
    SURE = 10,      /* a tenth of the lease is left for closing sockets before anybody can claim the node */
};

static uint64_t lease_ms(const struct tg_member *member)
{
    return member->cluster->settings.lease_ms;
}

static uint64_t now_ms(const struct tg_member *member)
{
    return tg_loop_now_ms(member->loop);
}

/* ---- the lease ---- */

static void set_held(struct tg_member *member)
{
    bool keep = member->cluster->settings.keep_when_cut_off;
    member->kept_ms = member->sent_ms;
    member->kept_boot_ms = member->sent_boot_ms;
    tg_lease_set(&member->cluster->lease, member->node,
                 keep ? TG_LEASE_FOREVER : member->kept_ms + lease_ms(member) - lease_ms(member) / SURE);
}

static void lose(struct tg_member *member, const char *why)
{
    uint32_t node = member->node;
    struct tg_member_former *former = &member->formers[member->next_former++ % TG_MEMBER_FORMERS];
    tg_lease_set(&member->cluster->lease, 0, 0);
    tg_log(member->log, TG_LOG_ERROR, "lease lost: closing every connection, to begin anew",
           TG_KV_INT("node", node), TG_KV_CSTR("reason", why));
    former->node = node;
    memcpy(former->token, member->token, TG_TOKEN_LEN);
    /* Nobody claims it sooner than a lease after it was kept, and what has been done then is remembered from
     * then. */
    former->known_until_ms = member->kept_boot_ms + lease_ms(member) + member->cluster->settings.dead_ms;
    /* This process itself answers for what it closes, under any number. */
    tg_cluster_mark_dead(member->cluster, node, now_ms(member));
    member->node = 0;
    member->losses++;
    member->events->on_lost(member->arg, node);
}

static void index_command(struct tg_member *member, const char *verb, uint32_t node, tg_redis_reply_fn *done,
                          enum tg_err *err)
{
    char number[24], workers[24];
    struct tg_cluster_key index = tg_cluster_index_key(member->cluster);
    bool writes = verb[1] == 'S';
    const struct tg_slice words[] = {
        tg_slice_cstr(verb), tg_cluster_key_slice(&index),
        tg_slice_make(number, tg_number_text(node, number)),
        tg_slice_make(workers, tg_number_text(member->cluster->settings.workers, workers))};
    *err = tg_uplink_command(member->link, words, writes ? 4 : 3, done, member);
}

static enum tg_err lease_script(struct tg_member *member, enum tg_script script, uint32_t node,
                                size_t key_count, tg_redis_reply_fn *done)
{
    struct tg_cluster_key lease = tg_cluster_key(member->cluster, node, "lease"),
                          claim = tg_cluster_key(member->cluster, node, "claim"),
                          dead = tg_cluster_key(member->cluster, node, "dead"),
                          known = tg_cluster_key(member->cluster, node, "known");
    char lease_text[24];
    const struct tg_slice keys[] = {tg_cluster_key_slice(&lease), tg_cluster_key_slice(&claim),
                                    tg_cluster_key_slice(&dead), tg_cluster_key_slice(&known)};
    const struct tg_slice args[] = {tg_slice_make(member->token, TG_TOKEN_LEN),
                                    tg_slice_make(lease_text, tg_number_text(lease_ms(member), lease_text))};
    member->sent_ms = now_ms(member);
    member->sent_boot_ms = tg_loop_boot_ms();
    return tg_uplink_script(member->link, script, keys, key_count, args, 2, done, member);
}

void tg_member_enter_index(struct tg_member *member)
{
    enum tg_err err = TG_OK;
    atomic_store(&member->cluster->intact_since_ms, now_ms(member));
    index_command(member, "HSET", member->node, NULL, &err); /* or with the next look */
}

static void on_refreshed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_member *member = arg;
    int64_t said = err == TG_OK ? tg_redis_reply_integer(reply) : -1;
    member->busy = false;
    if (member->node == 0 || member->leaving || err != TG_OK) {
        return; /* given up, or given back, meanwhile; or the next tick tries again */
    }
    if (said == 3) {
        member->busy =
            lease_script(member, TG_SCRIPT_REFRESH, member->node, LEASE_KEYS, on_refreshed) == TG_OK;
        return;
    }
    if (said == 0) {
        lose(member, "another node has taken over");
        return;
    }
    _Atomic(uint64_t) before = atomic_load(&member->cluster->lease);
    set_held(member);
    /* Where there was a moment in which it was not held, workers may have seen that: what they left to others
     * then nobody would deal with under a number that goes on. */
    if (!tg_lease_held(&before, member->node, tg_loop_now_ns() / 1000000)) {
        lose(member, "it was kept too late");
        return;
    }
    if (said == 2) {
        tg_log(member->log, TG_LOG_WARN, "Redis had lost its memory: writing it anew",
               TG_KV_INT("node", member->node));
        tg_member_enter_index(member);
        member->events->on_forgotten(member->arg);
    }
}

/* ---- a number ---- */

static void on_acquired(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_member *member = arg;
    member->busy = false;
    if (err != TG_OK || tg_redis_reply_integer(reply) != 1) {
        index_command(member, "HDEL", member->wanted, NULL, &err); /* another number, with the next tick */
        return;
    }
    member->node = member->wanted;
    if (member->leaving) { /* too late: it is given back */
        tg_member_leave(member);
        return;
    }
    set_held(member);
    tg_log(member->log, TG_LOG_INFO, "joined the cluster", TG_KV("cluster", member->cluster->settings.name),
           TG_KV_INT("node", member->node));
    member->events->on_joined(member->arg, member->node, member->token);
}

/* The index first: a node that ends between the two is found. */
static void on_indexed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_member *member = arg;
    if (err == TG_OK && tg_redis_reply_integer(reply) == 1) {
        err = lease_script(member, TG_SCRIPT_ACQUIRE, member->wanted, LEASE_KEYS, on_acquired);
        if (err == TG_OK) {
            return;
        }
    }
    member->busy = false;
}

static void acquire(struct tg_member *member)
{
    unsigned char bytes[TG_TOKEN_LEN / 2];
    uint32_t number = 0;
    enum tg_err err = tg_random_bytes(bytes, sizeof bytes);
    if (err == TG_OK) {
        err = tg_random_bytes(&number, sizeof number);
    }
    if (err != TG_OK) {
        return;
    }
    tg_hex_encode(bytes, sizeof bytes, member->token);
    member->wanted = number % NODE_BITS + 1;
    member->busy = true;
    index_command(member, "HSETNX", member->wanted, on_indexed, &err);
    if (err != TG_OK) {
        member->busy = false;
    }
}

/* ---- the clock of Redis ---- */

static void on_time(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_member *member = arg;
    uint64_t seconds = 0, micros = 0;
    if (err != TG_OK || tg_redis_reply_count(reply) != 2 ||
        tg_slice_to_u64(tg_redis_reply_text(tg_redis_reply_at(reply, 0)), &seconds) != TG_OK ||
        tg_slice_to_u64(tg_redis_reply_text(tg_redis_reply_at(reply, 1)), &micros) != TG_OK) {
        return;
    }
    uint64_t middle = member->clock_sent_ms + (now_ms(member) - member->clock_sent_ms) / 2;
    atomic_store(&member->cluster->redis_clock_ms,
                 (int64_t)(seconds * 1000 + micros / 1000) - (int64_t)middle);
}

static void ask_time(struct tg_member *member)
{
    const struct tg_slice words[] = {TG_LIT("TIME")};
    member->clock_sent_ms = now_ms(member);
    if (tg_uplink_command(member->link, words, 1, on_time, member) == TG_OK) {
        member->clock_due_ms = member->clock_sent_ms + member->cluster->settings.probe_ms;
    }
}

/* ---- the beat ---- */

static void tend_lease(struct tg_member *member)
{
    uint64_t now = now_ms(member);
    if (member->busy || member->leaving) { /* what cannot be sent is tried with the next tick */
        return;
    }
    if (member->node == 0) {
        acquire(member);
    } else if (now - member->kept_ms >= lease_ms(member) / KEEPS) {
        member->busy = lease_script(member, TG_SCRIPT_REFRESH, member->node, 1, on_refreshed) == TG_OK;
    }
}

static void tick(struct tg_member *member)
{
    uint64_t now = now_ms(member);
    if (member->node != 0 && !member->leaving && !tg_cluster_held(member->cluster, member->node, now)) {
        const char *why =
            tg_uplink_up(member->link) ? tg_uplink_denied(member->link) : tg_uplink_problem(member->link);
        lose(member, why != NULL ? why : "it was not kept in time");
    }
    if (now >= member->clock_due_ms) {
        ask_time(member);
    }
    tend_lease(member);
    if (member->node != 0 && !member->looking && !member->leaving && now >= member->look_due_ms) {
        member->look_due_ms = now + lease_ms(member) / LOOKS;
        tg_member_look(member);
    }
}

static void on_tick(struct tg_timer *timer)
{
    struct tg_member *member = TG_CONTAINER(timer, struct tg_member, tick);
    uint64_t period = lease_ms(member) / TICKS, most = member->cluster->settings.probe_ms;
    period = period < most ? period : most;
    tg_timer_start(member->loop, timer, period > 0 ? period : 1);
    tick(member);
}

static void on_link_up(struct tg_uplink_watch *watch)
{
    struct tg_member *member = TG_CONTAINER(watch, struct tg_member, watch);
    atomic_store(&member->cluster->intact_since_ms, now_ms(member));
    ask_time(member);
    if (member->node != 0 && !member->busy && !member->leaving &&
        tg_cluster_held(member->cluster, member->node, now_ms(member))) { /* does it know us still? */
        member->busy = lease_script(member, TG_SCRIPT_REFRESH, member->node, 1, on_refreshed) == TG_OK;
    }
    tick(member);
}

static void on_link_down(struct tg_uplink_watch *watch)
{
    struct tg_member *member = TG_CONTAINER(watch, struct tg_member, watch);
    atomic_store(&member->cluster->intact_since_ms, UINT64_MAX);
}

/* ---- leaving ---- */

static void on_left(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_member *member = arg;
    bool gone = err == TG_OK && tg_redis_reply_integer(reply) == 1;
    member->left = true; /* where rows are left, a survivor finds the number in the index */
    if (gone) {
        index_command(member, "HDEL", member->node, NULL, &err);
    }
    member->node = 0;
}

void tg_member_stand_back(struct tg_member *member)
{
    member->standing_back = true;
}

void tg_member_leave(struct tg_member *member)
{
    struct tg_cluster *cluster = member->cluster;
    size_t workers = cluster->settings.workers;
    struct tg_cluster_key *keys = calloc(workers + LEAVE_KEYS, sizeof *keys);
    struct tg_slice *slices = calloc(workers + LEAVE_KEYS, sizeof *slices);
    char dead_ms[24];
    enum tg_err err = keys != NULL && slices != NULL && member->node != 0 ? TG_OK : TG_ENOMEM;
    member->leaving = true;
    tg_lease_set(&cluster->lease, 0, 0);
    if (err == TG_OK) {
        keys[0] = tg_cluster_key(cluster, member->node, "lease");
        keys[1] = tg_cluster_key(cluster, member->node, "dead");
        keys[2] = tg_cluster_key(cluster, member->node, "known");
        for (uint32_t i = 0; i < workers; i++) {
            keys[LEAVE_KEYS + i] = tg_cluster_worker_key(cluster, member->node, i, "rows");
        }
        for (size_t i = 0; i < workers + LEAVE_KEYS; i++) {
            slices[i] = tg_cluster_key_slice(&keys[i]);
        }
        const struct tg_slice args[] = {
            tg_slice_make(member->token, TG_TOKEN_LEN),
            tg_slice_make(dead_ms, tg_number_text(cluster->settings.dead_ms, dead_ms))};
        err = tg_uplink_script(member->link, TG_SCRIPT_LEAVE, slices, workers + LEAVE_KEYS, args, 2, on_left,
                               member);
    }
    member->left = err != TG_OK;
    free(keys);
    free(slices);
}

bool tg_member_left(const struct tg_member *member)
{
    return member->left;
}

/* ---- for callers ---- */

enum tg_err tg_member_new(struct tg_cluster *cluster, struct tg_loop *loop, struct tg_log *log,
                          const struct tg_member_events *events, void *arg, struct tg_member **out)
{
    struct tg_member *member = calloc(1, sizeof *member);
    if (member == NULL) {
        return TG_ENOMEM;
    }
    member->cluster = cluster;
    member->loop = loop;
    member->log = log;
    member->events = events;
    member->arg = arg;
    tg_timer_init(&member->tick, on_tick);
    member->watch = (struct tg_uplink_watch){.on_up = on_link_up, .on_down = on_link_down};
    enum tg_err err = tg_uplink_new(cluster, loop, log, TG_UPLINK_MAIN, &member->link);
    if (err != TG_OK) {
        free(member);
        return err;
    }
    tg_uplink_watch(member->link, &member->watch);
    tg_timer_start(loop, &member->tick, 0);
    *out = member;
    return TG_OK;
}

void tg_member_free(struct tg_member *member)
{
    if (member == NULL) {
        return;
    }
    member->leaving = true; /* nothing begins in the callbacks of the end */
    tg_timer_stop(&member->tick);
    tg_uplink_unwatch(&member->watch);
    tg_uplink_free(member->link);
    free(member);
}

uint32_t tg_member_node(const struct tg_member *member)
{
    return member->node;
}

const char *tg_member_problem(const struct tg_member *member)
{
    if (!tg_uplink_up(member->link)) {
        return tg_uplink_problem(member->link);
    }
    return member->node == 0 ? tg_uplink_denied(member->link) : NULL; /* why it cannot join */
}

uint64_t tg_member_lease_age_ms(const struct tg_member *member)
{
    return member->node != 0 ? now_ms(member) - member->kept_ms : 0;
}

uint64_t tg_member_takeovers(const struct tg_member *member)
{
    return member->takeovers;
}

uint64_t tg_member_losses(const struct tg_member *member)
{
    return member->losses;
}
