#include <stdlib.h>

#include "connmgr/member_private.h"

/* One look at a node of the index. */
struct suspect {
    struct tg_member *member;
    uint32_t node, rows;
    char token[TG_TOKEN_LEN]; /* of the claim: this node may have another number when the answer comes */
};

static struct tg_member_former *former(struct tg_member *member, uint32_t node)
{
    for (size_t i = 0; i < TG_MEMBER_FORMERS; i++) {
        if (member->formers[i].node == node) {
            return &member->formers[i];
        }
    }
    return NULL;
}

static uint32_t *claim_slot(struct tg_member *member, uint32_t node)
{
    for (size_t i = 0; i < TG_MEMBER_CLAIMS; i++) {
        if (member->claims[i] == node) {
            return &member->claims[i];
        }
    }
    return NULL;
}

void tg_member_dealt_with(struct tg_member *member, uint32_t node, bool done)
{
    uint32_t *slot = claim_slot(member, node);
    struct tg_member_former *own = former(member, node);
    if (slot != NULL) {
        *slot = 0;
    }
    if (done && own != NULL) {
        own->node = 0;
    }
    member->takeovers += done;
}

void tg_member_leave_to_others(struct tg_member *member, uint32_t node)
{
    struct tg_member_former *own = former(member, node);
    if (own != NULL) {
        own->node = 0;
    }
    tg_member_dealt_with(member, node, false); /* the claim is not kept, and runs out */
}

/* It has been dealt with: whoever did that ended before the index was mended. */
static void unindex(struct tg_member *member, uint32_t node)
{
    char number[24];
    struct tg_cluster_key index = tg_cluster_index_key(member->cluster);
    const struct tg_slice words[] = {TG_LIT("HDEL"), tg_cluster_key_slice(&index),
                                     tg_slice_make(number, tg_number_text(node, number))};
    (void)!tg_uplink_command(member->link, words, 3, NULL, NULL); /* or with the next look */
}

static void on_claim(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct suspect *suspect = arg;
    struct tg_member *member = suspect->member;
    int64_t said = err == TG_OK ? tg_redis_reply_integer(reply) : 0;
    uint32_t *slot = claim_slot(member, 0);
    struct tg_member_former *own = former(member, suspect->node);
    if (said != 0) {
        tg_cluster_mark_dead(member->cluster, suspect->node, tg_loop_now_ms(member->loop));
    }
    if (said == 2) {
        unindex(member, suspect->node);
    }
    if (said == 2 && own != NULL) {
        own->node = 0;
        member->events->on_settled(member->arg, suspect->node, own->known_until_ms);
    }
    bool late = own != NULL && tg_loop_boot_ms() >= own->known_until_ms;
    if (said == 1 && late) {
        tg_log(member->log, TG_LOG_WARN, "away for too long to know whom others have told of",
               TG_KV_INT("node", suspect->node));
    }
    if (said == 1 && slot != NULL && claim_slot(member, suspect->node) == NULL && !member->leaving) {
        *slot = suspect->node;
        tg_log(member->log, TG_LOG_WARN, "a node is dead: taking over", TG_KV_INT("node", suspect->node));
        member->events->on_claimed(member->arg, suspect->node, suspect->rows, suspect->token, own != NULL,
                                   late);
    }
    free(suspect);
}

/* Its lease is gone, or was ours. */
static enum tg_err claim(struct suspect *suspect)
{
    struct tg_member *member = suspect->member;
    struct tg_cluster *cluster = member->cluster;
    const struct tg_member_former *own = former(member, suspect->node);
    struct tg_cluster_key lease = tg_cluster_key(cluster, suspect->node, "lease"),
                          claimed = tg_cluster_key(cluster, suspect->node, "claim"),
                          dead = tg_cluster_key(cluster, suspect->node, "dead"),
                          known = tg_cluster_key(cluster, suspect->node, "known");
    char claim_ms[24], lease_ms[24];
    const struct tg_slice keys[] = {tg_cluster_key_slice(&lease), tg_cluster_key_slice(&claimed),
                                    tg_cluster_key_slice(&dead), tg_cluster_key_slice(&known)};
    const struct tg_slice args[] = {
        tg_slice_make(suspect->token, TG_TOKEN_LEN),
        tg_slice_make(claim_ms, tg_number_text(tg_cluster_claim_ms(cluster), claim_ms)),
        own != NULL ? tg_slice_make(own->token, TG_TOKEN_LEN) : TG_EMPTY,
        tg_slice_make(lease_ms, tg_number_text(cluster->settings.lease_ms, lease_ms))};
    return tg_uplink_script(member->link, TG_SCRIPT_CLAIM, keys, 4, args, 4, on_claim, suspect);
}

static void on_exists(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct suspect *suspect = arg;
    struct tg_member *member = suspect->member;
    bool gone = err == TG_OK && tg_redis_reply_integer(reply) == 0;
    /* What Redis has not been told of since it was reached may be its own loss. */
    bool sure = tg_cluster_intact(member->cluster, tg_loop_now_ms(member->loop));
    bool wanted = former(member, suspect->node) != NULL || (gone && sure);
    if (err != TG_OK || !wanted || member->node == 0 || member->leaving || claim(suspect) != TG_OK) {
        free(suspect);
    }
}

static void look_at(struct tg_member *member, uint32_t node, uint32_t rows)
{
    bool others = member->standing_back && former(member, node) == NULL;
    if (node == member->node || others || claim_slot(member, node) != NULL) {
        return;
    }
    struct suspect *suspect = malloc(sizeof *suspect);
    if (suspect == NULL) {
        return;
    }
    struct tg_cluster_key lease = tg_cluster_key(member->cluster, node, "lease");
    const struct tg_slice words[] = {TG_LIT("EXISTS"), tg_cluster_key_slice(&lease)};
    *suspect = (struct suspect){.member = member, .node = node, .rows = rows};
    memcpy(suspect->token, member->token, TG_TOKEN_LEN);
    if (tg_uplink_command(member->link, words, 2, on_exists, suspect) != TG_OK) {
        free(suspect);
    }
}

static void on_index(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_member *member = arg;
    size_t count = err == TG_OK ? tg_redis_reply_count(reply) : 0;
    bool own = false;
    member->looking = false;
    for (size_t i = 0; member->node != 0 && !member->leaving && i + 1 < count; i += 2) {
        uint64_t node = 0, rows = 0;
        if (tg_slice_to_u64(tg_redis_reply_text(tg_redis_reply_at(reply, i)), &node) == TG_OK &&
            tg_slice_to_u64(tg_redis_reply_text(tg_redis_reply_at(reply, i + 1)), &rows) == TG_OK &&
            node > 0 && node <= 0xffffff && rows <= 256 && former(member, (uint32_t)node) == NULL) {
            own = own || node == member->node;
            look_at(member, (uint32_t)node, (uint32_t)rows);
        }
    }
    if (err == TG_OK && !own && member->node != 0 && !member->leaving) {
        tg_member_enter_index(member);
    }
}

void tg_member_look(struct tg_member *member)
{
    struct tg_cluster_key index = tg_cluster_index_key(member->cluster);
    const struct tg_slice words[] = {TG_LIT("HGETALL"), tg_cluster_key_slice(&index)};
    for (size_t i = 0; i < TG_MEMBER_FORMERS; i++) { /* whether or not Redis remembers them */
        if (member->formers[i].node != 0) {
            look_at(member, member->formers[i].node, (uint32_t)member->cluster->settings.workers);
        }
    }
    member->looking = tg_uplink_command(member->link, words, 2, on_index, member) == TG_OK;
}
