#include "connmgr/peers.h"

#include <stdlib.h>

struct tg_peers {
    struct tg_cluster *cluster;
    struct tg_loop *loop;
    struct tg_uplink *link;
    uint32_t own;
};

/* Three commands in a row; the last reply decides. */
struct question {
    struct tg_peers *peers;
    uint32_t node;
    tg_peers_fn *done;
    void *arg;
    int left;       /* replies to come */
    int64_t state;  /* of state.lua; -1: no answer */
    bool indexed;   /* or not known */
    bool own_there; /* ourselves, in the index: it has not been lost */
};

enum tg_err tg_peers_new(struct tg_cluster *cluster, struct tg_loop *loop, struct tg_uplink *link,
                         struct tg_peers **out)
{
    struct tg_peers *peers = calloc(1, sizeof *peers);
    if (peers == NULL) {
        return TG_ENOMEM;
    }
    peers->cluster = cluster;
    peers->loop = loop;
    peers->link = link;
    *out = peers;
    return TG_OK;
}

void tg_peers_free(struct tg_peers *peers)
{
    free(peers);
}

void tg_peers_renumber(struct tg_peers *peers, uint32_t own)
{
    peers->own = own;
}

static enum tg_node_state judge(const struct question *question)
{
    const struct tg_peers *peers = question->peers;
    if (question->state == 1) {
        return TG_NODE_ALIVE;
    }
    if (question->state == 0) {
        return TG_NODE_DEAD;
    }
    bool forgotten = question->state == 2 && !question->indexed && question->own_there &&
                     tg_cluster_intact(peers->cluster, tg_loop_now_ms(peers->loop));
    return forgotten ? TG_NODE_DEAD : TG_NODE_UNKNOWN;
}

static void finish_part(struct question *question)
{
    struct tg_peers *peers = question->peers;
    if (--question->left > 0) {
        return;
    }
    enum tg_node_state state = judge(question);
    if (state == TG_NODE_DEAD) {
        tg_cluster_mark_dead(peers->cluster, question->node, tg_loop_now_ms(peers->loop));
    }
    if (question->done != NULL) {
        question->done(question->arg, state);
    }
    free(question);
}

static void on_state(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct question *question = arg;
    question->state = err == TG_OK ? tg_redis_reply_integer(reply) : -1;
    finish_part(question);
}

static void on_indexed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct question *question = arg;
    question->indexed = err != TG_OK || tg_redis_reply_integer(reply) != 0;
    finish_part(question);
}

static void on_own(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct question *question = arg;
    question->own_there = err == TG_OK && tg_redis_reply_integer(reply) == 1;
    finish_part(question);
}

enum tg_err tg_peers_ask(struct tg_peers *peers, uint32_t node, tg_peers_fn *done, void *arg)
{
    struct question *question = calloc(1, sizeof *question);
    if (question == NULL) {
        return TG_ENOMEM;
    }
    struct tg_cluster_key lease = tg_cluster_key(peers->cluster, node, "lease"),
                          claim = tg_cluster_key(peers->cluster, node, "claim"),
                          dead = tg_cluster_key(peers->cluster, node, "dead"),
                          index = tg_cluster_index_key(peers->cluster);
    char number[24], own[24];
    const struct tg_slice keys[] = {tg_cluster_key_slice(&lease), tg_cluster_key_slice(&claim),
                                    tg_cluster_key_slice(&dead)};
    *question =
        (struct question){.peers = peers, .node = node, .done = done, .arg = arg, .left = 1, .indexed = true};
    enum tg_err err = tg_uplink_script(peers->link, TG_SCRIPT_STATE, keys, 3, NULL, 0, on_state, question);
    if (err != TG_OK) {
        free(question);
        return err;
    }
    /* What of these cannot be sent counts as not known. */
    const struct tg_slice find[] = {TG_LIT("HEXISTS"), tg_cluster_key_slice(&index),
                                    tg_slice_make(number, tg_number_text(node, number))};
    const struct tg_slice find_own[] = {TG_LIT("HEXISTS"), tg_cluster_key_slice(&index),
                                        tg_slice_make(own, tg_number_text(peers->own, own))};
    question->left += tg_uplink_command(peers->link, find, 3, on_indexed, question) == TG_OK;
    question->left += tg_uplink_command(peers->link, find_own, 3, on_own, question) == TG_OK;
    return TG_OK;
}
