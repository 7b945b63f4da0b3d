#include "connmgr/takeover.h"

#include <stdlib.h>

enum {
    TAKE_MAX = 16,  /* rows at a time: so many may be lost when this node dies right then */
    WAIT_MS = 5,    /* before looking for room again */
    KEEP_SHARE = 12 /* of a lease: how often a claim is kept while there is no room */
};

struct tg_takeover {
    struct tg_takeover_options options;
    struct tg_timer timer;
    uint32_t at; /* whose rows, of the dead node's workers */
    uint64_t issued;
    uint64_t kept_ms; /* when the claim was last kept */
    bool stopped;
};

static void step(struct tg_takeover *takeover);

static void end(struct tg_takeover *takeover, bool done)
{
    const struct tg_takeover_options options = takeover->options;
    tg_log(options.log, done ? TG_LOG_INFO : TG_LOG_WARN,
           done ? "took over from a dead node" : "takeover given up", TG_KV_INT("node", options.node),
           TG_KV_INT("disconnects", takeover->issued));
    options.ended(options.arg, takeover, done);
    tg_takeover_free(takeover);
}

static struct tg_cluster_key claim_key(const struct tg_takeover *takeover)
{
    return tg_cluster_key(takeover->options.cluster, takeover->options.node, "claim");
}

static void on_unindexed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    (void)reply;
    (void)err; /* who looks next finds it dealt with, and removes it */
    end(arg, true);
}

static void on_finished(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_takeover *takeover = arg;
    char number[24];
    if (err != TG_OK || tg_redis_reply_integer(reply) != 1) {
        end(takeover, false);
        return;
    }
    struct tg_cluster_key index = tg_cluster_index_key(takeover->options.cluster);
    const struct tg_slice words[] = {TG_LIT("HDEL"), tg_cluster_key_slice(&index),
                                     tg_slice_make(number, tg_number_text(takeover->options.node, number))};
    if (tg_uplink_command(takeover->options.link, words, 3, on_unindexed, takeover) != TG_OK) {
        end(takeover, true);
    }
}

static enum tg_err finish(struct tg_takeover *takeover)
{
    struct tg_cluster *cluster = takeover->options.cluster;
    struct tg_cluster_key claim = claim_key(takeover),
                          dead = tg_cluster_key(cluster, takeover->options.node, "dead");
    char dead_ms[24];
    const struct tg_slice keys[] = {tg_cluster_key_slice(&claim), tg_cluster_key_slice(&dead)};
    const struct tg_slice args[] = {
        tg_slice_make(takeover->options.token, TG_TOKEN_LEN),
        tg_slice_make(dead_ms, tg_number_text(cluster->settings.dead_ms, dead_ms))};
    return tg_uplink_script(takeover->options.link, TG_SCRIPT_FINISH, keys, 2, args, 2, on_finished,
                            takeover);
}

/* A row that cannot be read costs its own $disconnect. */
static void issue(struct tg_takeover *takeover, struct tg_slice id, struct tg_slice row)
{
    struct tg_cluster_counters *counters = &takeover->options.cluster->workers[takeover->options.worker];
    struct tg_arena arena;
    struct tg_conn_info info;
    char connection_id[TG_CONNID_LEN + 1] = "";
    tg_arena_init(&arena, NULL);
    enum tg_err err = id.len == TG_CONNID_LEN ? tg_wire_read_row(&arena, row, &info) : TG_ESYNTAX;
    if (err == TG_OK) {
        memcpy(connection_id, id.ptr, TG_CONNID_LEN);
        takeover->issued++;
        tg_cluster_count(&counters->taken_over, 1);
        takeover->options.issue(takeover->options.arg, connection_id, &info);
    } else {
        tg_cluster_count(&counters->malformed, 1);
        tg_log(takeover->options.log, TG_LOG_ERROR, "row of a dead node not read, its $disconnect is lost",
               TG_KV_INT("node", takeover->options.node), TG_KV_ERR(err));
    }
    tg_arena_reset(&arena);
}

static void on_taken(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_takeover *takeover = arg;
    size_t count = err == TG_OK ? tg_redis_reply_count(reply) : 0;
    if (err != TG_OK || tg_redis_reply_type(reply) != TG_REDIS_ARRAY) {
        end(takeover, false);
        return;
    }
    for (size_t i = 0; i + 1 < count; i += 2) {
        issue(takeover, tg_redis_reply_text(tg_redis_reply_at(reply, i)),
              tg_redis_reply_text(tg_redis_reply_at(reply, i + 1)));
    }
    if (count == 0) {
        takeover->at++;
    }
    step(takeover);
}

static void on_kept(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_takeover *takeover = arg;
    if (err != TG_OK || tg_redis_reply_type(reply) != TG_REDIS_ARRAY) {
        end(takeover, false);
    } else {
        step(takeover);
    }
}

static enum tg_err take(struct tg_takeover *takeover, size_t count)
{
    const struct tg_takeover_options *options = &takeover->options;
    struct tg_cluster_key claim = claim_key(takeover),
                          rows = tg_cluster_worker_key(options->cluster, options->node, takeover->at, "rows");
    char claim_ms[24], how_many[24];
    const struct tg_slice keys[] = {tg_cluster_key_slice(&claim), tg_cluster_key_slice(&rows)};
    const struct tg_slice args[] = {
        tg_slice_make(options->token, TG_TOKEN_LEN),
        tg_slice_make(claim_ms, tg_number_text(tg_cluster_claim_ms(options->cluster), claim_ms)),
        tg_slice_make(how_many, tg_number_text(count, how_many)),
    };
    takeover->kept_ms = tg_loop_now_ms(options->loop);
    return tg_uplink_script(options->link, TG_SCRIPT_TAKE, keys, 2, args, 3, count > 0 ? on_taken : on_kept,
                            takeover);
}

static void step(struct tg_takeover *takeover)
{
    const struct tg_takeover_options *options = &takeover->options;
    enum tg_err err = TG_OK;
    if (takeover->stopped) {
        end(takeover, false);
        return;
    }
    if (takeover->at >= options->rows) {
        err = finish(takeover);
    } else {
        size_t room = options->room(options->arg);
        uint64_t keep_ms = options->cluster->settings.lease_ms / KEEP_SHARE;
        if (room > 0) {
            err = take(takeover, room < TAKE_MAX ? room : TAKE_MAX);
        } else if (tg_loop_now_ms(options->loop) - takeover->kept_ms >= keep_ms) {
            err = take(takeover, 0);
        } else {
            tg_timer_start(options->loop, &takeover->timer, WAIT_MS);
        }
    }
    if (err != TG_OK) {
        end(takeover, false);
    }
}

static void on_timer(struct tg_timer *timer)
{
    step(TG_CONTAINER(timer, struct tg_takeover, timer));
}

enum tg_err tg_takeover_new(const struct tg_takeover_options *options, struct tg_takeover **out)
{
    struct tg_takeover *takeover = calloc(1, sizeof *takeover);
    if (takeover == NULL) {
        return TG_ENOMEM;
    }
    takeover->options = *options;
    takeover->kept_ms = tg_loop_now_ms(options->loop);
    tg_timer_init(&takeover->timer, on_timer);
    tg_timer_start(options->loop, &takeover->timer, 0);
    *out = takeover;
    return TG_OK;
}

void tg_takeover_free(struct tg_takeover *takeover)
{
    tg_timer_stop(&takeover->timer);
    free(takeover);
}

void tg_takeover_stop(struct tg_takeover *takeover)
{
    takeover->stopped = true;
}
