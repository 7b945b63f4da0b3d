#include "connmgr/uplink.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/base/codec.h"
#include "server/base/crypto.h"

enum {
    DIGEST_LEN = 2 * TG_SHA1_LEN,
    WORDS_FIXED = 3, /* EVALSHA, digest, number of keys */
    RESOLVE_MS = 5000,
    DENIAL_MS = 60000, /* between two lines of what Redis denies, or refuses */
    FRESH_MS = 1000,
    NAMES_MAX = 64
};

struct tg_uplink {
    struct tg_cluster *cluster;
    struct tg_loop *loop;
    struct tg_log *log;
    struct tg_redis_counters *counters;
    _Atomic(bool) *up_flag; /* NULL: the main thread's */
    struct tg_resolver *resolver;
    struct tg_redis_site *site;
    struct tg_list watches;
    bool told_down;                     /* one line a trouble, not one an attempt */
    char denied[160];                   /* what Redis said when it last denied a command */
    uint64_t denied_ms, denial_told_ms; /* when that was, and when the log was told of one; 0: never */
    uint64_t refusal_told_ms;           /* likewise of a script that was refused */
    char digests[TG_SCRIPT_COUNT][DIGEST_LEN];
};

/* ---- coming and going ---- */

typedef void watch_fn(struct tg_uplink_watch *watch);

/* A watcher may unwatch itself from inside. */
static void tell(struct tg_uplink *link, bool up)
{
    for (struct tg_list *node = link->watches.next, *next = NULL; node != &link->watches; node = next) {
        struct tg_uplink_watch *watch = TG_CONTAINER(node, struct tg_uplink_watch, node);
        watch_fn *call = up ? watch->on_up : watch->on_down;
        next = node->next;
        if (call != NULL) {
            call(watch);
        }
    }
}

/* So that EVALSHA finds them; a failure shows there. */
static void on_server(void *arg, struct tg_redis *redis)
{
    (void)arg;
    for (size_t i = 0; i < TG_SCRIPT_COUNT; i++) {
        const struct tg_slice words[] = {TG_LIT("SCRIPT"), TG_LIT("LOAD"), tg_script_texts[i]};
        (void)!tg_redis_command(redis, words, 3, NULL, NULL);
    }
}

static void on_up(void *arg)
{
    struct tg_uplink *link = arg;
    if (link->told_down) {
        tg_log(link->log, TG_LOG_INFO, "connected to Redis again");
    }
    link->told_down = false;
    if (link->up_flag != NULL) {
        atomic_store(link->up_flag, true);
    }
    tell(link, true);
}

static void on_down(void *arg)
{
    struct tg_uplink *link = arg;
    if (!link->told_down) {
        tg_log(link->log, TG_LOG_WARN, "no connection to Redis, trying again",
               TG_KV_CSTR("reason", tg_redis_site_problem(link->site)));
    }
    link->told_down = true;
    if (link->up_flag != NULL) {
        atomic_store(link->up_flag, false);
    }
    tell(link, false);
}

/* Whether a line may follow the last. */
static bool may_tell(const struct tg_uplink *link, uint64_t *told_ms)
{
    uint64_t now = tg_loop_now_ms(link->loop);
    if (*told_ms != 0 && now - *told_ms < DENIAL_MS) {
        return false;
    }
    *told_ms = now;
    return true;
}

static void on_denied(void *arg, struct tg_slice reason)
{
    struct tg_uplink *link = arg;
    link->denied_ms = tg_loop_now_ms(link->loop);
    if (may_tell(link, &link->denial_told_ms)) {
        tg_log(link->log, TG_LOG_ERROR, "Redis denies a command", TG_KV("reason", reason));
    }
    (void)snprintf(link->denied, sizeof link->denied, "Redis denies a command: %.*s",
                   TG_FMT(tg_slice_head(reason, 120)));
}

static const struct tg_redis_site_events site_events = {
    .on_up = on_up, .on_down = on_down, .on_server = on_server, .on_denied = on_denied};

static enum tg_err open_site(struct tg_uplink *link)
{
    const struct tg_cluster_settings *settings = &link->cluster->settings;
    struct tg_redis_options options = {
        .loop = link->loop,
        .resolver = link->resolver,
        .url = &settings->url,
        .tls = settings->tls,
        .server_name = settings->server_name,
        .look_ms = settings->probe_ms,
        .connect_timeout_ms = settings->connect_timeout_ms,
        .command_timeout_ms = settings->command_timeout_ms,
        .pause_min_ms = settings->pause_min_ms,
        .pause_max_ms = settings->pause_max_ms,
        .max_pending = settings->max_pending,
        .max_unsent = settings->max_unsent,
        .counters = link->counters,
    };
    enum tg_err err = tg_random_bytes(&options.seed, sizeof options.seed);
    return err == TG_OK ? tg_redis_site_new(&options, &site_events, link, &link->site) : err;
}

/* ---- scripts ---- */

/* A call by digest, kept until its reply: a server that does not know the script gets the call again, with
 * the text. */
struct script_call {
    struct tg_uplink *link;
    enum tg_script script;
    tg_redis_reply_fn *done;
    void *arg;
    size_t count;
    struct tg_slice words[]; /* their bytes follow */
};

static tg_redis_reply_fn on_script;

static enum tg_err run_script(struct script_call *call)
{
    return tg_redis_site_command(call->link->site, call->words[WORDS_FIXED], call->words, call->count,
                                 on_script, call);
}

static void on_script(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct script_call *call = arg;
    if (err == TG_EDENIED && tg_slice_starts(tg_redis_reply_text(reply), TG_LIT("NOSCRIPT"))) {
        call->words[0] = TG_LIT("EVAL");
        call->words[1] = tg_script_texts[call->script];
        err = run_script(call);
        if (err == TG_OK) {
            return;
        }
        reply = NULL;
        err = TG_ECLOSED;
    }
    if (err == TG_EDENIED && may_tell(call->link, &call->link->refusal_told_ms)) {
        tg_log(call->link->log, TG_LOG_WARN, "Redis refused a script",
               TG_KV("reason", tg_redis_reply_text(reply)));
    }
    if (call->done != NULL) {
        call->done(call->arg, err, reply);
    }
    free(call);
}

/* The words and their bytes in one block. */
static struct script_call *script_call_new(struct tg_uplink *link, enum tg_script script,
                                           const struct tg_slice *keys, size_t key_count,
                                           const struct tg_slice *args, size_t arg_count)
{
    char number[8];
    int number_len = snprintf(number, sizeof number, "%zu", key_count);
    size_t count = WORDS_FIXED + key_count + arg_count, bytes = sizeof number;
    for (size_t i = 0; i < key_count; i++) {
        bytes += keys[i].len;
    }
    for (size_t i = 0; i < arg_count; i++) {
        bytes += args[i].len;
    }
    struct script_call *call = malloc(sizeof *call + count * sizeof call->words[0] + bytes);
    if (call == NULL) {
        return NULL;
    }
    char *room = (char *)(call->words + count);
    memcpy(room, number, sizeof number);
    call->link = link;
    call->script = script;
    call->count = count;
    call->words[0] = TG_LIT("EVALSHA");
    call->words[1] = tg_slice_make(link->digests[script], DIGEST_LEN);
    call->words[2] = tg_slice_make(room, (size_t)number_len);
    room += sizeof number;
    for (size_t i = 0; i < key_count + arg_count; i++) {
        struct tg_slice word = i < key_count ? keys[i] : args[i - key_count];
        if (word.len > 0) {
            memcpy(room, word.ptr, word.len);
        }
        call->words[WORDS_FIXED + i] = tg_slice_make(room, word.len);
        room += word.len;
    }
    return call;
}

enum tg_err tg_uplink_script(struct tg_uplink *link, enum tg_script script, const struct tg_slice *keys,
                             size_t key_count, const struct tg_slice *args, size_t arg_count,
                             tg_redis_reply_fn *done, void *arg)
{
    struct script_call *call = script_call_new(link, script, keys, key_count, args, arg_count);
    if (call == NULL) {
        return TG_ENOMEM;
    }
    call->done = done;
    call->arg = arg;
    enum tg_err err = run_script(call);
    if (err != TG_OK) {
        free(call);
    }
    return err;
}

/* ---- for callers ---- */

enum tg_err tg_uplink_new(struct tg_cluster *cluster, struct tg_loop *loop, struct tg_log *log, int worker,
                          struct tg_uplink **out)
{
    struct tg_uplink *link = calloc(1, sizeof *link);
    const struct tg_resolver_options names = {
        .ttl_ms = RESOLVE_MS, .negative_ttl_ms = cluster->settings.pause_min_ms, .max_entries = NAMES_MAX};
    enum tg_err err = TG_OK;
    if (link == NULL) {
        return TG_ENOMEM;
    }
    link->cluster = cluster;
    link->loop = loop;
    link->log = log;
    link->counters = worker >= 0 ? &cluster->workers[worker].redis : &cluster->redis;
    link->up_flag = worker >= 0 ? &cluster->workers[worker].commands_up : NULL;
    tg_list_init(&link->watches);
    for (size_t i = 0; err == TG_OK && i < TG_SCRIPT_COUNT; i++) {
        unsigned char digest[TG_SHA1_LEN];
        err = tg_sha1(tg_script_texts[i], digest);
        tg_hex_encode(digest, err == TG_OK ? sizeof digest : 0, link->digests[i]);
    }
    if (err == TG_OK) {
        err = tg_resolver_new(loop, &names, &link->resolver);
    }
    if (err == TG_OK) {
        err = open_site(link);
    }
    if (err != TG_OK) {
        tg_uplink_free(link);
        return err;
    }
    *out = link;
    return TG_OK;
}

void tg_uplink_close(struct tg_uplink *link)
{
    if (link->up_flag != NULL) {
        atomic_store(link->up_flag, false);
    }
    tg_redis_site_close(link->site);
}

void tg_uplink_free(struct tg_uplink *link)
{
    if (link == NULL) {
        return;
    }
    if (link->site != NULL) {
        tg_uplink_close(link);
        tg_redis_site_free(link->site);
    }
    if (link->resolver != NULL) {
        tg_resolver_free(link->resolver);
    }
    free(link);
}

void tg_uplink_watch(struct tg_uplink *link, struct tg_uplink_watch *watch)
{
    tg_list_init(&watch->node);
    tg_list_append(&link->watches, &watch->node);
}

void tg_uplink_unwatch(struct tg_uplink_watch *watch)
{
    tg_list_remove(&watch->node);
}

bool tg_uplink_up(const struct tg_uplink *link)
{
    return tg_redis_site_up(link->site);
}

const char *tg_uplink_denied(const struct tg_uplink *link)
{
    uint64_t fresh_ms =
        2 * link->cluster->settings.probe_ms + FRESH_MS; /* who cannot join asks again and again */
    bool fresh = link->denied_ms != 0 && tg_loop_now_ms(link->loop) - link->denied_ms < fresh_ms;
    return fresh ? link->denied : NULL;
}

const char *tg_uplink_problem(const struct tg_uplink *link)
{
    return tg_redis_site_problem(link->site);
}

enum tg_err tg_uplink_command(struct tg_uplink *link, const struct tg_slice *words, size_t count,
                              tg_redis_reply_fn *done, void *arg)
{
    struct tg_cluster_key index;
    struct tg_slice key = count > 1 ? words[1] : TG_EMPTY;
    if (count == 1) {
        index = tg_cluster_index_key(link->cluster);
        key = tg_cluster_key_slice(&index);
    }
    return tg_redis_site_command(link->site, key, words, count, done, arg);
}

enum tg_err tg_uplink_publish(struct tg_uplink *link, struct tg_slice channel, struct tg_slice payload,
                              tg_redis_reply_fn *done, void *arg)
{
    return tg_redis_site_publish(link->site, channel, payload, done, arg);
}

bool tg_uplink_counts_part(const struct tg_uplink *link)
{
    return tg_redis_site_counts_part(link->site);
}

void tg_uplink_flush(struct tg_uplink *link)
{
    tg_redis_site_flush(link->site);
}

enum tg_err tg_uplink_open_inbox(struct tg_uplink *link, const struct tg_redis_inbox_events *events,
                                 void *arg, struct tg_redis_inbox **out)
{
    return tg_redis_inbox_new(link->site, events, arg, out);
}
