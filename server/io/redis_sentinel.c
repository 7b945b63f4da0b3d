#include "server/io/redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PENDING_MAX = 64, UNSENT_MAX = 65536 };

/* What a Sentinel said; port 0: nothing. */
struct word {
    char host[TG_REDIS_HOST_MAX];
    size_t len;
    uint16_t port;
    size_t by; /* of the places */
};

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
    size_t failures; /* since a word was believed; after a round of them the next look begins another */
    bool looking;
    bool leaving;      /* a connection is being given up for the next Sentinel: what it says is not heard */
    struct word named; /* what was believed last */
    bool trusted;      /* the server that it names takes commands */
    bool doubted;      /* it could not be reached, or is no primary */
    struct word other; /* what somebody says against a word that is trusted */
    char problem[240];
};

static void say(struct tg_redis_sentinel *sentinel, const char *what)
{
    struct tg_redis_place place = sentinel->site->places[sentinel->at];
    (void)snprintf(sentinel->problem, sizeof sentinel->problem, "Sentinel %.*s:%u: %s",
                   TG_FMT(tg_slice_head(place.host, 80)), (unsigned)place.port, what);
}

static bool says(const struct word *word, struct tg_redis_place place)
{
    return word->port == place.port && tg_slice_eq(tg_slice_make(word->host, word->len), place.host);
}

static void note(struct tg_redis_sentinel *sentinel, struct word *word, struct tg_redis_place place)
{
    memcpy(word->host, place.host.ptr, place.host.len);
    word->len = place.host.len;
    word->port = place.port;
    word->by = sentinel->at;
}

static void move_on(struct tg_redis_sentinel *sentinel)
{
    sentinel->doubted = false;
    sentinel->at = (sentinel->at + 1) % sentinel->site->place_count;
    if (tg_redis_move(sentinel->redis, sentinel->site->places[sentinel->at])) {
        sentinel->leaving = true;
    }
}

static void ask_next(struct tg_redis_sentinel *sentinel, const char *why)
{
    say(sentinel, why);
    if (++sentinel->failures < sentinel->site->place_count) {
        move_on(sentinel);
    }
    sentinel->events->on_trouble(sentinel->arg);
}

/* One Sentinel may be behind the others, or know another service of the same name. So where the server that
 * was named last is in use, only who has named it is believed at once to name another. Others are when the
 * next one says the same, or when after a round nobody has said otherwise. What is not in use is never
 * defended: ROLE tells, and doubts lead on. */
static void take_word(struct tg_redis_sentinel *sentinel, struct tg_redis_place place)
{
    bool same = says(&sentinel->named, place);
    if (!same && sentinel->trusted && sentinel->named.by != sentinel->at && !says(&sentinel->other, place)) {
        note(sentinel, &sentinel->other, place);
        ask_next(sentinel, "it names another server than the one in use");
        return;
    }
    if (!same) {
        sentinel->trusted = sentinel->doubted = false;
    }
    sentinel->failures = 0;
    sentinel->other.port = 0;
    note(sentinel, &sentinel->named, place);
    sentinel->events->on_primary(sentinel->arg, place);
}

static void on_named(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis_sentinel *sentinel = arg;
    struct tg_redis_place place = {0};
    uint64_t port = 0;
    sentinel->looking = false;
    if (reply == NULL || sentinel->leaving) {
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
    if (place.host.len == 0 || place.host.len > TG_REDIS_HOST_MAX || place.port == 0) {
        ask_next(sentinel, "it does not know the service");
        return;
    }
    take_word(sentinel, place);
}

static void look(struct tg_redis_sentinel *sentinel)
{
    const struct tg_slice words[] = {TG_LIT("SENTINEL"), TG_LIT("GET-MASTER-ADDR-BY-NAME"),
                                     sentinel->site->service};
    if (!sentinel->looking && !sentinel->leaving && tg_redis_up(sentinel->redis)) {
        sentinel->looking =
            tg_redis_command(sentinel->redis, words, 3, on_named, sentinel) == TG_OK; /* else at the next */
    }
}

void tg_redis_sentinel_trust(struct tg_redis_sentinel *sentinel)
{
    sentinel->trusted = true;
    sentinel->doubted = false;
}

void tg_redis_sentinel_doubt(struct tg_redis_sentinel *sentinel)
{
    sentinel->doubted = !sentinel->trusted;
    sentinel->trusted = false;
    look(sentinel);
}

/* While the Sentinel that is asked says what proved wrong, each look asks another: no sooner, since in a
 * fail-over all of them name what is gone until they have agreed on another. */
static void on_timer(struct tg_timer *timer)
{
    struct tg_redis_sentinel *sentinel = TG_CONTAINER(timer, struct tg_redis_sentinel, timer);
    bool heard = tg_redis_up(sentinel->redis) && !sentinel->looking;
    tg_timer_start(sentinel->loop, timer, sentinel->look_ms);
    if (sentinel->failures >= sentinel->site->place_count || (sentinel->doubted && heard)) {
        sentinel->failures = 0;
        move_on(sentinel);
    }
    look(sentinel);
}

static void on_up(void *arg)
{
    look(arg);
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
