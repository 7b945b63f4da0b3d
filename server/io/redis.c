#include "server/io/redis.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/io/redis_private.h"

enum { ADDRESSES_MAX = 8, GREETINGS_MAX = 4 };

static void set_problem(struct tg_redis *redis, const char *why, struct tg_slice detail)
{
    (void)snprintf(redis->problem, sizeof redis->problem, "%s%s%.*s", why, detail.len > 0 ? ": " : "",
                   TG_FMT(tg_slice_head(detail, 120)));
}

/* ---- the end of a connection or of an attempt ---- */

static void disconnect(struct tg_redis *redis)
{
    redis->connection++;
    tg_timer_stop(&redis->timer);
    tg_timer_stop(&redis->watch);
    tg_task_cancel(&redis->flush);
    tg_task_cancel(&redis->reset);
    if (redis->question != NULL) {
        tg_resolve_cancel(redis->question);
        redis->question = NULL;
    }
    tg_transport_close(redis->transport);
    redis->transport = NULL;
    free(redis->addresses);
    redis->addresses = NULL;
    tg_buf_free(&redis->out);
    tg_buf_init(&redis->out, redis->options.max_unsent);
    redis->unflushed = 0;
}

/* So that the nodes of a fleet do not all come back in the same moment. */
static uint64_t jittered(struct tg_redis *redis, uint64_t pause)
{
    return pause / 2 + (pause > 1 ? tg_rng_next(&redis->rng) % (pause - pause / 2) : 0);
}

void tg_redis_fail(struct tg_redis *redis, enum tg_err err, const char *why, struct tg_slice detail)
{
    bool was_up = redis->state == TG_REDIS_UP;
    uint64_t pause = redis->next_pause_ms;
    set_problem(redis, why, detail);
    if (!was_up) {
        tg_redis_count(&redis->options.counters->connect_failures, 1);
    }
    disconnect(redis);
    redis->state = TG_REDIS_PAUSING;
    redis->next_pause_ms = pause == 0                                ? redis->options.pause_min_ms
                           : pause * 2 < redis->options.pause_max_ms ? pause * 2
                                                                     : redis->options.pause_max_ms;
    tg_timer_start(redis->options.loop, &redis->timer, jittered(redis, pause));
    tg_redis_drop_pending(redis, err);
    bool outer = redis->calling;
    redis->calling = true;
    redis->options.events->on_down(redis->options.arg);
    redis->calling = outer;
}

static void run_reset(struct tg_task *task)
{
    struct tg_redis *redis = TG_CONTAINER(task, struct tg_redis, reset);
    if (redis->state != TG_REDIS_PAUSING) {
        tg_redis_fail(redis, TG_ECLOSED, redis->reset_why, TG_EMPTY);
    }
}

void tg_redis_reset(struct tg_redis *redis, const char *why)
{
    redis->reset_why = why;
    tg_task_defer(redis->options.loop, &redis->reset);
}

/* ---- the greeting ---- */

static void greeted(struct tg_redis *redis)
{
    tg_timer_stop(&redis->timer);
    redis->state = TG_REDIS_UP;
    redis->next_pause_ms = redis->options.pause_min_ms;
    tg_redis_count(&redis->options.counters->connects, 1);
    redis->options.events->on_up(redis->options.arg); /* from inside a reply */
}

static void on_greeting(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis *redis = arg;
    if (redis->state != TG_REDIS_GREETING) {
        return; /* the end of the connection answers its commands */
    }
    if (err == TG_EDENIED) {
        tg_redis_fail(redis, TG_ECLOSED, "the server refused the greeting", tg_redis_reply_text(reply));
    } else if (err == TG_OK && tg_list_empty(&redis->pending)) {
        greeted(redis);
    }
}

/* Sentinels may not know yet, or no more. */
static void on_role(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis *redis = arg;
    struct tg_slice role = err == TG_OK && tg_redis_reply_count(reply) > 0
                               ? tg_redis_reply_text(tg_redis_reply_at(reply, 0))
                               : TG_EMPTY;
    if (redis->state == TG_REDIS_GREETING && err == TG_OK && !tg_slice_eq(role, TG_LIT("master"))) {
        tg_redis_fail(redis, TG_ECLOSED, "the server is no primary", role);
    } else {
        on_greeting(arg, err, reply);
    }
}

static enum tg_err greet(struct tg_redis *redis)
{
    const struct tg_redis_url *url = redis->options.url;
    char database[16];
    enum tg_err err = TG_OK;
    if (url->password.ptr != NULL) {
        const struct tg_slice words[] = {TG_LIT("AUTH"), url->user, url->password};
        const struct tg_slice short_form[] = {TG_LIT("AUTH"), url->password};
        err = url->user.len > 0 ? tg_redis_send(redis, words, 3, on_greeting, redis)
                                : tg_redis_send(redis, short_form, 2, on_greeting, redis);
    }
    if (err == TG_OK && url->database != 0) {
        int len = snprintf(database, sizeof database, "%u", url->database);
        const struct tg_slice words[] = {TG_LIT("SELECT"), tg_slice_make(database, (size_t)len)};
        err = tg_redis_send(redis, words, 2, on_greeting, redis);
    }
    if (err == TG_OK && url->kind == TG_REDIS_SENTINEL) {
        const struct tg_slice words[] = {TG_LIT("ROLE")};
        err = tg_redis_send(redis, words, 1, on_role, redis);
    }
    if (err == TG_OK) { /* also tells a server that is still loading */
        const struct tg_slice words[] = {TG_LIT("PING")};
        err = tg_redis_send(redis, words, 1, on_greeting, redis);
    }
    return err;
}

/* ---- connecting ---- */

static void try_next(struct tg_redis *redis, const char *why, const char *detail);

static void on_open(void *arg, enum tg_err err)
{
    struct tg_redis *redis = arg;
    if (err != TG_OK) {
        const char *detail = tg_transport_failure(redis->transport);
        tg_transport_close(redis->transport);
        redis->transport = NULL;
        try_next(redis, err == TG_ETLS ? TG_REDIS_TLS_FAILED : tg_err_text(err), detail);
        return;
    }
    redis->state = TG_REDIS_GREETING;
    tg_redis_reader_free(redis);
    err = tg_redis_reader_new(redis);
    if (err == TG_OK) {
        err = greet(redis);
    }
    if (err != TG_OK) {
        tg_redis_fail(redis, TG_ECLOSED, tg_err_text(err), TG_EMPTY);
        return;
    }
    tg_transport_want(redis->transport, true, false);
}

static const struct tg_transport_events transport_events = {
    .on_open = on_open,
    .on_readable = tg_redis_on_readable,
    .on_writable = tg_redis_on_writable,
};

/* Starts on the next address that can be started on. why: what is said when there is none. */
static void try_next(struct tg_redis *redis, const char *why, const char *detail)
{
    const struct tg_redis_options *options = &redis->options;
    struct tg_slice name = options->server_name.len > 0 ? options->server_name : redis->place.host;
    while (redis->address_next < redis->address_count) {
        const struct tg_address *address = &redis->addresses[redis->address_next++];
        enum tg_err err = tg_transport_connect(options->loop, address, options->tls, name, &transport_events,
                                               redis, &redis->transport);
        if (err == TG_OK) {
            return;
        }
        why = tg_err_text(err);
        detail = "";
    }
    tg_redis_fail(redis, TG_ECLOSED, why, tg_slice_cstr(detail));
}

static void on_resolved(void *arg, enum tg_err err, const struct tg_address *addresses, size_t count)
{
    struct tg_redis *redis = arg;
    redis->question = NULL;
    redis->address_count = 0;
    redis->address_next = 0;
    count = count < ADDRESSES_MAX ? count : ADDRESSES_MAX;
    if (err == TG_OK && count > 0) {
        redis->addresses = malloc(count * sizeof *addresses);
    }
    if (redis->addresses != NULL) {
        memcpy(redis->addresses, addresses, count * sizeof *addresses);
        redis->address_count = count;
    }
    try_next(redis, tg_err_text(err != TG_OK ? err : count == 0 ? TG_EDNS : TG_ENOMEM), "");
}

static enum tg_err path_address(struct tg_slice path, struct tg_address *out)
{
    char text[TG_ADDRESS_TEXT_MAX];
    int len = snprintf(text, sizeof text, "unix:%.*s", TG_FMT(path));
    return tg_address_parse(tg_slice_make(text, (size_t)len), out);
}

static void connect_now(struct tg_redis *redis)
{
    const struct tg_redis_options *options = &redis->options;
    redis->state = TG_REDIS_CONNECTING;
    tg_timer_start(options->loop, &redis->timer, options->connect_timeout_ms);
    if (options->url->path.len > 0) {
        struct tg_address address;
        enum tg_err err = path_address(options->url->path, &address);
        on_resolved(redis, err, &address, err == TG_OK);
        return;
    }
    enum tg_err err = tg_resolver_ask(options->resolver, redis->place.host, redis->place.port, on_resolved,
                                      redis, &redis->question);
    if (err != TG_OK) {
        tg_redis_fail(redis, TG_ECLOSED, tg_err_text(err), TG_EMPTY);
    }
}

/* A port without TLS waits for the end of a line, which the first record of a handshake has not. */
static const char *late_words(const struct tg_redis *redis)
{
    if (redis->state == TG_REDIS_GREETING) {
        return "the server does not answer the greeting";
    }
    return redis->options.tls != NULL ? "no connection in time: does this port speak TLS?"
                                      : "no connection in time";
}

static void on_timer(struct tg_timer *timer)
{
    struct tg_redis *redis = TG_CONTAINER(timer, struct tg_redis, timer);
    if (redis->state == TG_REDIS_PAUSING) {
        connect_now(redis);
    } else {
        tg_redis_fail(redis, TG_ETIMEOUT, late_words(redis), TG_EMPTY);
    }
}

/* ---- the place ---- */

static bool is_placed(const struct tg_redis *redis)
{
    return redis->place.port != 0 || redis->options.url->path.len > 0;
}

bool tg_redis_is_at(const struct tg_redis *redis, struct tg_redis_place place)
{
    bool same = redis->place.port == place.port && tg_slice_eq(redis->place.host, place.host);
    return same || place.port == 0 || place.host.len == 0 || place.host.len > sizeof redis->host;
}

static bool set_place(struct tg_redis *redis, struct tg_redis_place place)
{
    if (tg_redis_is_at(redis, place)) {
        return false;
    }
    memcpy(redis->host, place.host.ptr, place.host.len);
    redis->place =
        (struct tg_redis_place){.host = tg_slice_make(redis->host, place.host.len), .port = place.port};
    return true;
}

bool tg_redis_move(struct tg_redis *redis, struct tg_redis_place place)
{
    if (!set_place(redis, place)) {
        return false;
    }
    redis->next_pause_ms = 0;
    if (redis->state == TG_REDIS_PAUSING) {
        redis->next_pause_ms = redis->options.pause_min_ms;
        tg_timer_start(redis->options.loop, &redis->timer, 0);
        return false;
    }
    tg_redis_reset(redis, "the server is another one now");
    return true;
}

/* ---- for callers ---- */

enum tg_err tg_redis_new(const struct tg_redis_options *options, struct tg_redis **out)
{
    if (options->max_pending < GREETINGS_MAX || options->url->tls != (options->tls != NULL)) {
        return TG_EINVAL;
    }
    struct tg_redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL) {
        return TG_ENOMEM;
    }
    redis->options = *options;
    if (options->tls != NULL) {
        redis->options.tls = tg_tls_context_ref(options->tls);
    }
    redis->next_pause_ms = options->pause_min_ms;
    tg_rng_seed(&redis->rng, options->seed);
    tg_list_init(&redis->pending);
    tg_timer_init(&redis->timer, on_timer);
    tg_timer_init(&redis->watch, tg_redis_on_watch);
    tg_task_init(&redis->flush, tg_redis_run_flush);
    tg_task_init(&redis->reset, run_reset);
    tg_buf_init(&redis->out, options->max_unsent);
    set_problem(redis, "not connected yet", TG_EMPTY);
    if (options->url->kind == TG_REDIS_ONE && options->url->place_count > 0) {
        (void)set_place(redis, options->url->places[0]);
    }
    if (is_placed(redis)) {
        tg_timer_start(options->loop, &redis->timer, 0);
    }
    *out = redis;
    return TG_OK;
}

void tg_redis_free(struct tg_redis *redis)
{
    if (redis == NULL) {
        return;
    }
    assert(!redis->calling);
    redis->state = TG_REDIS_PAUSING; /* nothing can be sent from the callbacks */
    disconnect(redis);
    tg_redis_drop_pending(redis, TG_ECLOSED);
    tg_redis_reader_free(redis);
    tg_buf_free(&redis->out);
    if (redis->options.tls != NULL) {
        tg_tls_context_free(redis->options.tls);
    }
    free(redis);
}

bool tg_redis_up(const struct tg_redis *redis)
{
    return redis->state == TG_REDIS_UP;
}

const char *tg_redis_problem(const struct tg_redis *redis)
{
    return redis->problem;
}
