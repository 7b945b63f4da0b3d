#include <stdio.h>
#include <stdlib.h>

#include "server/io/redis_sentinel.h"
#include "server/io/redis_site_private.h"

/* The site of one server: the URL's, or the primary that Sentinels name. */

struct one {
    struct tg_redis_site base;
    struct tg_redis *redis;
    struct tg_redis_sentinel *sentinel; /* NULL: the URL says where */
    char host[TG_REDIS_HOST_MAX];
    struct tg_redis_place primary; /* its host in `host`; port 0: not known */
    bool moved;                    /* a connection is being given up for another primary */
    char problem[320];             /* with Sentinels: of the primary */
};

static void on_up(void *arg)
{
    struct one *one = arg;
    one->base.up = true;
    if (one->sentinel != NULL) {
        tg_redis_sentinel_trust(one->sentinel);
    }
    one->base.events->on_server(one->base.arg, one->redis);
    one->base.events->on_up(one->base.arg);
}

static void on_down(void *arg)
{
    struct one *one = arg;
    bool moved = one->moved;
    one->base.up = false;
    one->moved = false;
    if (one->sentinel != NULL) {
        (void)snprintf(one->problem, sizeof one->problem, "%.*s:%u: %s",
                       TG_FMT(tg_slice_head(one->primary.host, 80)), (unsigned)one->primary.port,
                       tg_redis_problem(one->redis));
    }
    if (one->sentinel != NULL && !moved) { /* else what is named now has had no chance yet */
        tg_redis_sentinel_doubt(one->sentinel);
    }
    one->base.events->on_down(one->base.arg);
}

static void on_denied(void *arg, struct tg_slice reason)
{
    struct one *one = arg;
    if (one->base.events->on_denied != NULL) {
        one->base.events->on_denied(one->base.arg, reason);
    }
}

static const struct tg_redis_events redis_events = {
    .on_up = on_up, .on_down = on_down, .on_denied = on_denied};

/* ---- Sentinels ---- */

static void on_primary(void *arg, struct tg_redis_place place)
{
    struct one *one = arg;
    if (one->primary.port == place.port && tg_slice_eq(one->primary.host, place.host)) {
        return;
    }
    memcpy(one->host, place.host.ptr, place.host.len);
    one->primary =
        (struct tg_redis_place){.host = tg_slice_make(one->host, place.host.len), .port = place.port};
    one->moved = tg_redis_move(one->redis, one->primary) || one->moved;
    tg_redis_site_place_inboxes(&one->base);
}

static void on_trouble(void *arg)
{
    struct one *one = arg;
    if (one->primary.port == 0) { /* else the connection to the primary says how things are */
        one->base.events->on_down(one->base.arg);
    }
}

static const struct tg_redis_sentinel_events sentinel_events = {.on_primary = on_primary,
                                                                .on_trouble = on_trouble};

/* ---- the table ---- */

static enum tg_err one_command(struct tg_redis_site *site, struct tg_slice key, const struct tg_slice *words,
                               size_t count, tg_redis_reply_fn *done, void *arg)
{
    struct one *one = (struct one *)site;
    (void)key;
    return one->redis != NULL ? tg_redis_command(one->redis, words, count, done, arg) : TG_ECLOSED;
}

static void one_flush(struct tg_redis_site *site)
{
    if (((struct one *)site)->redis != NULL) {
        tg_redis_flush(((struct one *)site)->redis);
    }
}

static const char *one_problem(const struct tg_redis_site *site)
{
    const struct one *one = (const struct one *)site;
    if (one->redis == NULL) {
        return "closed";
    }
    if (one->sentinel == NULL) {
        return tg_redis_problem(one->redis);
    }
    return one->primary.port == 0 ? tg_redis_sentinel_problem(one->sentinel) : one->problem;
}

static struct tg_redis_place one_place(const struct tg_redis_site *site, struct tg_slice channel)
{
    (void)channel;
    return ((const struct one *)site)->primary;
}

static bool one_redirected(struct tg_redis_site *site, struct tg_redis_place sayer, struct tg_slice error)
{
    (void)site;
    (void)sayer;
    (void)error;
    return false;
}

static void one_close(struct tg_redis_site *site)
{
    struct one *one = (struct one *)site;
    tg_redis_sentinel_free(one->sentinel);
    one->sentinel = NULL;
    tg_redis_free(one->redis); /* callbacks may still send */
    one->redis = NULL;
}

static const struct tg_redis_site_ops one_ops = {
    .command = one_command,
    .flush = one_flush,
    .problem = one_problem,
    .place = one_place,
    .redirected = one_redirected,
    .close = one_close,
    .publish = TG_LIT_INIT("PUBLISH"),
    .subscribe = TG_LIT_INIT("SUBSCRIBE"),
    .unsubscribe = TG_LIT_INIT("UNSUBSCRIBE"),
};

enum tg_err tg_redis_one_new(const struct tg_redis_options *options,
                             const struct tg_redis_site_events *events, void *arg, struct tg_redis_site **out)
{
    struct one *one = calloc(1, sizeof *one);
    if (one == NULL) {
        return TG_ENOMEM;
    }
    tg_redis_site_init(&one->base, &one_ops, options, events, arg);
    struct tg_redis_options own = *options;
    own.events = &redis_events;
    own.arg = one;
    enum tg_err err = tg_redis_new(&own, &one->redis);
    if (err == TG_OK && options->url->kind == TG_REDIS_SENTINEL) {
        err = tg_redis_sentinel_new(options, &sentinel_events, one, &one->sentinel);
    }
    if (err != TG_OK) {
        one_close(&one->base);
        free(one);
        return err;
    }
    *out = &one->base;
    return TG_OK;
}
