#include "server/io/redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>

enum { PENDING_MAX = 64, UNSENT_MAX = 65536 };

struct tg_redis_sentinel {
    const struct tg_redis_sentinel_events *events;
    void *arg;
    struct tg_loop *loop;
    uint64_t look_ms;
    const struct tg_redis_url *site; /* whose places are the Sentinels */
    struct tg_redis_url url;         /* of the one that is asked */
    struct tg_redis *redis;
    struct tg_timer timer;
    size_t at;       /* of the places */
    size_t failures; /* since one said something; after a round of them the next look begins another */
    bool looking;
    bool leaving; /* an open connection is given up for the next Sentinel */
    char problem[240];
};

static void say(struct tg_redis_sentinel *sentinel, const char *what)
{
    struct tg_redis_place place = sentinel->site->places[sentinel->at];
    (void)snprintf(sentinel->problem, sizeof sentinel->problem, "Sentinel %.*s:%u: %s",
                   TG_FMT(tg_slice_head(place.host, 80)), (unsigned)place.port, what);
}

static void move_on(struct tg_redis_sentinel *sentinel)
{
    sentinel->leaving = tg_redis_up(sentinel->redis) && sentinel->site->place_count > 1;
    sentinel->at = (sentinel->at + 1) % sentinel->site->place_count;
    tg_redis_move(sentinel->redis, sentinel->site->places[sentinel->at]);
}

static void ask_next(struct tg_redis_sentinel *sentinel, const char *why)
{
    say(sentinel, why);
    if (++sentinel->failures < sentinel->site->place_count) {
        move_on(sentinel);
    }
    sentinel->events->on_trouble(sentinel->arg);
}

static void on_named(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis_sentinel *sentinel = arg;
    struct tg_redis_place place = {0};
    uint64_t port = 0;
    sentinel->looking = false;
    if (reply == NULL) {
        return; /* on_down follows */
    }
    if (err == TG_EDENIED) {
        char words[128];
        (void)snprintf(words, sizeof words, "%.*s",
                       TG_FMT(tg_slice_head(tg_redis_reply_text(reply), sizeof words - 1)));
        ask_next(sentinel, words);
        return;
    }
    if (tg_redis_reply_count(reply) == 2) {
        place.host = tg_redis_reply_text(tg_redis_reply_at(reply, 0));
        if (tg_slice_to_u64(tg_redis_reply_text(tg_redis_reply_at(reply, 1)), &port) == TG_OK &&
            port <= UINT16_MAX) {
            place.port = (uint16_t)port;
        }
    }
    if (place.host.len == 0 || place.port == 0) {
        ask_next(sentinel, "it does not know the service");
        return;
    }
    sentinel->failures = 0;
    sentinel->events->on_primary(sentinel->arg, place);
}

void tg_redis_sentinel_look(struct tg_redis_sentinel *sentinel)
{
    const struct tg_slice words[] = {TG_LIT("SENTINEL"), TG_LIT("GET-MASTER-ADDR-BY-NAME"),
                                     sentinel->site->service};
    if (!sentinel->looking && tg_redis_up(sentinel->redis)) {
        sentinel->looking =
            tg_redis_command(sentinel->redis, words, 3, on_named, sentinel) == TG_OK; /* else at the next */
    }
}

static void on_timer(struct tg_timer *timer)
{
    struct tg_redis_sentinel *sentinel = TG_CONTAINER(timer, struct tg_redis_sentinel, timer);
    tg_timer_start(sentinel->loop, timer, sentinel->look_ms);
    if (sentinel->failures >= sentinel->site->place_count) {
        sentinel->failures = 0;
        move_on(sentinel);
    }
    tg_redis_sentinel_look(sentinel);
}

static void on_up(void *arg)
{
    tg_redis_sentinel_look(arg);
}

static void on_down(void *arg)
{
    struct tg_redis_sentinel *sentinel = arg;
    bool leaving = sentinel->leaving;
    sentinel->leaving = false;
    if (!leaving) { /* else why has been said */
        ask_next(sentinel, tg_redis_problem(sentinel->redis));
    }
}

static const struct tg_redis_events redis_events = {.on_up = on_up, .on_down = on_down};

enum tg_err tg_redis_sentinel_new(const struct tg_redis_options *options,
                                  const struct tg_redis_sentinel_events *events, void *arg,
                                  struct tg_redis_sentinel **out)
{
    const struct tg_redis_url *site = options->url;
    struct tg_redis_sentinel *sentinel = calloc(1, sizeof *sentinel);
    if (sentinel == NULL) {
        return TG_ENOMEM;
    }
    sentinel->events = events;
    sentinel->arg = arg;
    sentinel->loop = options->loop;
    sentinel->look_ms = options->look_ms;
    sentinel->site = site;
    sentinel->url = (struct tg_redis_url){
        .kind = TG_REDIS_ONE,
        .tls = site->tls,
        .user = site->sentinel_user,
        .password = site->sentinel_password,
    };
    /* Not all nodes at the same one. */
    sentinel->at = (size_t)(options->seed % site->place_count);
    sentinel->url.places[0] = site->places[sentinel->at];
    sentinel->url.place_count = 1;
    say(sentinel, "not asked yet");
    tg_timer_init(&sentinel->timer, on_timer);
    struct tg_redis_options own = *options;
    own.url = &sentinel->url;
    own.connect_timeout_ms = options->connect_timeout_ms < options->command_timeout_ms
                                 ? options->connect_timeout_ms
                                 : options->command_timeout_ms;
    own.max_pending = PENDING_MAX;
    own.max_unsent = UNSENT_MAX;
    own.events = &redis_events;
    own.arg = sentinel;
    enum tg_err err = tg_redis_new(&own, &sentinel->redis);
    if (err != TG_OK) {
        free(sentinel);
        return err;
    }
    tg_timer_start(sentinel->loop, &sentinel->timer, sentinel->look_ms);
    *out = sentinel;
    return TG_OK;
}

void tg_redis_sentinel_free(struct tg_redis_sentinel *sentinel)
{
    if (sentinel != NULL) {
        tg_timer_stop(&sentinel->timer);
        tg_redis_free(sentinel->redis);
        free(sentinel);
    }
}

const char *tg_redis_sentinel_problem(const struct tg_redis_sentinel *sentinel)
{
    return sentinel->problem;
}
