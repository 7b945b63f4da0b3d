#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/io/redis_private.h"

enum {
    READ_SIZE = 16384,
    READS_MAX = 16, /* a readiness; then the loop goes on */
};

/* ---- replies ---- */

static const redisReply *raw(const struct tg_redis_reply *reply)
{
    return (const redisReply *)(const void *)reply;
}

enum tg_redis_type tg_redis_reply_type(const struct tg_redis_reply *reply)
{
    switch (raw(reply)->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return TG_REDIS_TEXT;
    case REDIS_REPLY_ARRAY:
        return TG_REDIS_ARRAY;
    case REDIS_REPLY_INTEGER:
        return TG_REDIS_INTEGER;
    case REDIS_REPLY_ERROR:
        return TG_REDIS_ERROR;
    default:
        return TG_REDIS_NIL;
    }
}

int64_t tg_redis_reply_integer(const struct tg_redis_reply *reply)
{
    return raw(reply)->type == REDIS_REPLY_INTEGER ? raw(reply)->integer : 0;
}

struct tg_slice tg_redis_reply_text(const struct tg_redis_reply *reply)
{
    int type = raw(reply)->type;
    bool text = type == REDIS_REPLY_STRING || type == REDIS_REPLY_STATUS || type == REDIS_REPLY_ERROR;
    return text ? tg_slice_make(raw(reply)->str, (size_t)raw(reply)->len) : TG_EMPTY;
}

size_t tg_redis_reply_count(const struct tg_redis_reply *reply)
{
    return raw(reply)->type == REDIS_REPLY_ARRAY ? raw(reply)->elements : 0;
}

const struct tg_redis_reply *tg_redis_reply_at(const struct tg_redis_reply *reply, size_t index)
{
    return (const struct tg_redis_reply *)(const void *)raw(reply)->element[index];
}

enum tg_err tg_redis_reader_new(struct tg_redis *redis)
{
    redis->reader = redisReaderCreate();
    return redis->reader != NULL ? TG_OK : TG_ENOMEM;
}

void tg_redis_reader_free(struct tg_redis *redis)
{
    if (redis->reader != NULL) {
        redisReaderFree(redis->reader);
        redis->reader = NULL;
    }
}

/* ---- commands ---- */

static struct tg_redis_pending *pending_of(struct tg_list *node)
{
    return TG_CONTAINER(node, struct tg_redis_pending, node);
}

static enum tg_err append_number(struct tg_buf *out, char mark, size_t number)
{
    enum tg_err err = tg_buf_append_char(out, mark);
    if (err == TG_OK) {
        err = tg_buf_append_u64(out, number);
    }
    return err == TG_OK ? tg_buf_append(out, TG_LIT("\r\n")) : err;
}

static enum tg_err append_command(struct tg_buf *out, const struct tg_slice *words, size_t count)
{
    enum tg_err err = append_number(out, '*', count);
    for (size_t i = 0; err == TG_OK && i < count; i++) {
        err = append_number(out, '$', words[i].len);
        if (err == TG_OK && words[i].len > 0) {
            err = tg_buf_append(out, words[i]);
        }
        if (err == TG_OK) {
            err = tg_buf_append(out, TG_LIT("\r\n"));
        }
    }
    return err;
}

enum tg_err tg_redis_send(struct tg_redis *redis, const struct tg_slice *words, size_t count,
                          tg_redis_reply_fn *done, void *arg)
{
    if (redis->pending_count >= redis->options.max_pending) {
        return TG_EBUSY;
    }
    struct tg_redis_pending *pending = malloc(sizeof *pending);
    if (pending == NULL) {
        return TG_ENOMEM;
    }
    size_t before = tg_buf_size(&redis->out);
    enum tg_err err = append_command(&redis->out, words, count);
    if (err != TG_OK) { /* no half of a command stays */
        redis->out.len = redis->out.off + before;
        free(pending);
        return err == TG_ELIMIT ? TG_EBUSY : err;
    }
    pending->done = done;
    pending->arg = arg;
    pending->unsubscribes = tg_slice_eq(words[0], TG_LIT("SUNSUBSCRIBE"));
    pending->sent_ns = tg_loop_now_ns();
    if (tg_list_empty(&redis->pending)) {
        tg_timer_start(redis->options.loop, &redis->watch, redis->options.command_timeout_ms);
    }
    tg_list_init(&pending->node);
    tg_list_append(&redis->pending, &pending->node);
    redis->pending_count++;
    redis->unflushed++;
    tg_task_defer(redis->options.loop, &redis->flush);
    return TG_OK;
}

enum tg_err tg_redis_command(struct tg_redis *redis, const struct tg_slice *words, size_t count,
                             tg_redis_reply_fn *done, void *arg)
{
    return redis->state == TG_REDIS_UP ? tg_redis_send(redis, words, count, done, arg) : TG_ECLOSED;
}

static void finish(struct tg_redis *redis, struct tg_redis_pending *pending, enum tg_err err,
                   const struct tg_redis_reply *reply)
{
    tg_redis_reply_fn *done = pending->done;
    void *arg = pending->arg;
    free(pending);
    redis->pending_count--;
    if (done != NULL) {
        bool outer = redis->calling;
        redis->calling = true;
        done(arg, err, reply);
        redis->calling = outer;
    }
}

void tg_redis_drop_pending(struct tg_redis *redis, enum tg_err err)
{
    struct tg_list *node;
    while ((node = tg_list_pop(&redis->pending)) != NULL) {
        tg_redis_count(&redis->options.counters->failed, 1);
        finish(redis, pending_of(node), err, NULL);
    }
}

void tg_redis_on_watch(struct tg_timer *timer)
{
    struct tg_redis *redis = TG_CONTAINER(timer, struct tg_redis, watch);
    if (tg_list_empty(&redis->pending)) {
        return;
    }
    uint64_t age_ms = (tg_loop_now_ns() - pending_of(redis->pending.next)->sent_ns) / 1000000;
    if (age_ms >= redis->options.command_timeout_ms) {
        tg_redis_count(&redis->options.counters->timed_out, 1);
        tg_redis_fail(redis, TG_ETIMEOUT, "the server does not answer", TG_EMPTY);
    } else {
        tg_timer_start(redis->options.loop, timer, redis->options.command_timeout_ms - age_ms);
    }
}

/* ---- the stream ---- */

static void write_out(struct tg_redis *redis)
{
    while (tg_buf_size(&redis->out) > 0) {
        size_t put = 0;
        enum tg_err err = tg_transport_write(redis->transport, tg_buf_slice(&redis->out), &put);
        if (err == TG_EAGAIN) {
            tg_transport_want(redis->transport, true, true);
            return;
        }
        if (err != TG_OK) {
            tg_redis_reset(redis, "the connection broke"); /* not from inside whoever sends */
            return;
        }
        tg_buf_consume(&redis->out, put);
    }
    tg_transport_want(redis->transport, true, false);
}

void tg_redis_flush(struct tg_redis *redis)
{
    if (redis->transport == NULL || redis->unflushed == 0) {
        return;
    }
    tg_redis_count(&redis->options.counters->commands, redis->unflushed);
    tg_redis_count(&redis->options.counters->round_trips, 1);
    redis->unflushed = 0;
    write_out(redis);
}

void tg_redis_run_flush(struct tg_task *task)
{
    tg_redis_flush(TG_CONTAINER(task, struct tg_redis, flush));
}

void tg_redis_on_writable(void *arg)
{
    write_out(arg);
}

/* Of what a server says unasked: [kind, channel, ...]. */
static struct tg_slice kind_of(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING) {
        return TG_EMPTY;
    }
    return tg_slice_make(reply->element[0]->str, (size_t)reply->element[0]->len);
}

/* Whether it was something published, or the end of a subscription that nobody here has ended. */
static bool take_push(struct tg_redis *redis, const redisReply *reply)
{
    const struct tg_redis_reply *ours = (const struct tg_redis_reply *)(const void *)reply;
    const struct tg_redis_events *events = redis->options.events;
    struct tg_slice kind = events->on_message != NULL ? kind_of(reply) : TG_EMPTY;
    bool message = tg_slice_eq(kind, TG_LIT("message")) || tg_slice_eq(kind, TG_LIT("smessage"));
    bool asked = !tg_list_empty(&redis->pending) && pending_of(redis->pending.next)->unsubscribes;
    bool dropped = events->on_dropped != NULL && !asked && tg_slice_eq(kind, TG_LIT("sunsubscribe"));
    redis->calling = true;
    if (message) {
        events->on_message(redis->options.arg, tg_redis_reply_text(tg_redis_reply_at(ours, 1)),
                           tg_redis_reply_text(tg_redis_reply_at(ours, 2)));
    } else if (dropped) {
        events->on_dropped(redis->options.arg);
    }
    redis->calling = false;
    return message || dropped;
}

/* Redis 6 wraps what a command inside a script was refused with: "ERR Error running script (call to f_...):
 * @user_script:1: @user_script: 1: -READONLY ..." */
static struct tg_slice code_of(struct tg_slice error)
{
    const struct tg_slice mark = TG_LIT(": -");
    size_t at = tg_slice_find_slice(error, mark);
    bool wrapped = tg_slice_starts(error, TG_LIT("ERR Error running script")) && at < error.len;
    return wrapped ? tg_slice_from(error, at + mark.len) : error;
}

static bool is_denial(struct tg_slice error)
{
    static const struct tg_slice codes[] = {TG_LIT_INIT("NOPERM "), TG_LIT_INIT("OOM "),
                                            TG_LIT_INIT("MISCONF "), TG_LIT_INIT("NOREPLICAS ")};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (tg_slice_starts(error, codes[i])) {
            return true;
        }
    }
    return false;
}

static void tell_denied(struct tg_redis *redis, struct tg_slice reason)
{
    bool outer = redis->calling;
    redis->calling = true;
    if (redis->options.events->on_denied != NULL && redis->state == TG_REDIS_UP) {
        redis->options.events->on_denied(redis->options.arg, reason);
    }
    redis->calling = outer;
}

static void take_reply(struct tg_redis *redis, const redisReply *reply)
{
    const struct tg_redis_reply *ours = (const struct tg_redis_reply *)(const void *)reply;
    if (take_push(redis, reply)) {
        return;
    }
    struct tg_list *node = tg_list_pop(&redis->pending);
    if (node == NULL) {
        tg_redis_fail(redis, TG_EPROTO, "the server answered what nobody asked", TG_EMPTY);
        return;
    }
    struct tg_redis_counters *counters = redis->options.counters;
    struct tg_redis_pending *pending = pending_of(node);
    tg_redis_count(&counters->answered, 1);
    tg_redis_count(&counters->answered_ns, tg_loop_now_ns() - pending->sent_ns);
    bool refused = reply->type == REDIS_REPLY_ERROR;
    if (refused) {
        tg_redis_count(&counters->refused, 1);
        struct tg_slice text = code_of(tg_redis_reply_text(ours));
        if (tg_slice_starts(text, TG_LIT("READONLY")) || tg_slice_starts(text, TG_LIT("LOADING")) ||
            tg_slice_starts(text, TG_LIT("MASTERDOWN"))) {
            tg_redis_reset(redis, "the server takes no writes: it is a replica or is loading");
        } else if (is_denial(text)) {
            tell_denied(redis, text);
        } else if (redis->options.url->kind == TG_REDIS_CLUSTER) {
            ; /* redirections: whoever sent the command follows them */
        } else if (tg_slice_starts(text, TG_LIT("MOVED ")) || tg_slice_starts(text, TG_LIT("ASK ")) ||
                   tg_slice_starts(text, TG_LIT("CLUSTERDOWN"))) {
            tg_redis_reset(redis,
                           "the server is one of a Redis Cluster: the URL must begin with redis+cluster://");
        }
    }
    finish(redis, pending, refused ? TG_EDENIED : TG_OK, ours);
}

/* False when the connection is another one now. */
static bool take_replies(struct tg_redis *redis)
{
    uint64_t connection = redis->connection;
    while (redis->connection == connection) {
        void *reply = NULL;
        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
            tg_redis_fail(redis, TG_EPROTO, "the server does not speak the protocol of Redis", TG_EMPTY);
            return false;
        }
        if (reply == NULL) {
            return true;
        }
        take_reply(redis, reply);
        freeReplyObject(reply);
    }
    return false;
}

/* A port for TLS hangs up at once on whoever speaks without. */
static const char *closed_words(const struct tg_redis *redis)
{
    bool plain = redis->options.tls == NULL && redis->options.url->path.len == 0;
    return redis->state == TG_REDIS_GREETING && plain
               ? "the server closed the connection instead of answering: does this port expect TLS?"
               : "the server closed the connection";
}

void tg_redis_on_readable(void *arg)
{
    struct tg_redis *redis = arg;
    char bytes[READ_SIZE];
    for (int i = 0; i < READS_MAX; i++) {
        size_t got = 0;
        enum tg_err err = tg_transport_read(redis->transport, bytes, sizeof bytes, &got);
        if (err == TG_EAGAIN) {
            return;
        }
        if (err == TG_ETLS) { /* that a certificate of ours is missing comes after the handshake */
            tg_redis_fail(redis, TG_ECLOSED, TG_REDIS_TLS_FAILED,
                          tg_slice_cstr(tg_transport_failure(redis->transport)));
            return;
        }
        if (err != TG_OK) {
            tg_redis_fail(redis, TG_ECLOSED, closed_words(redis), TG_EMPTY);
            return;
        }
        if (redisReaderFeed(redis->reader, bytes, got) != REDIS_OK) {
            tg_redis_fail(redis, TG_ECLOSED, "out of memory", TG_EMPTY);
            return;
        }
        if (!take_replies(redis) || got < sizeof bytes) {
            return;
        }
    }
}
