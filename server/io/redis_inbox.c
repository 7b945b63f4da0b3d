#include "server/io/redis_inbox.h"

#include <stdlib.h>

#include "server/io/redis_site_private.h"

enum { CHANNEL_MAX = 255 };

struct tg_redis_inbox {
    struct tg_redis_site *site;
    struct tg_list node; /* of site->inboxes */
    const struct tg_redis_inbox_events *events;
    void *arg;
    struct tg_redis *redis; /* NULL: the site is closed */
    char text[CHANNEL_MAX];
    size_t len; /* of the channel; 0: none */
    bool open, stopped;
    bool misplaced; /* the server has said so: a subscription there does not count */
    bool told;      /* of a refusal, since it was open last */
    struct tg_timer retry;
    uint64_t retried_ms, pause_ms; /* when it last fired, and what was waited for that */
};

static struct tg_slice channel_of(const struct tg_redis_inbox *inbox)
{
    return tg_slice_make(inbox->text, inbox->len);
}

static void set_closed(struct tg_redis_inbox *inbox)
{
    bool was = inbox->open;
    inbox->open = false;
    if (was) {
        inbox->events->on_closed(inbox->arg);
    }
}

/* On a new connection, where the channel is placed by then: the first time at once, then after pauses that
 * grow. */
static void retry(struct tg_redis_inbox *inbox)
{
    const struct tg_redis_options *options = &inbox->site->options;
    if (inbox->stopped || tg_timer_armed(&inbox->retry)) {
        return;
    }
    bool first =
        inbox->retried_ms == 0 || tg_loop_now_ms(options->loop) - inbox->retried_ms > options->pause_max_ms;
    uint64_t next = inbox->pause_ms > 0 ? inbox->pause_ms * 2 : options->pause_min_ms;
    inbox->pause_ms = first ? 0 : next < options->pause_max_ms ? next : options->pause_max_ms;
    tg_timer_start(options->loop, &inbox->retry, inbox->pause_ms);
}

static void on_retry(struct tg_timer *timer)
{
    struct tg_redis_inbox *inbox = TG_CONTAINER(timer, struct tg_redis_inbox, retry);
    struct tg_redis_site *site = inbox->site;
    struct tg_redis_place place = site->ops->place(site, channel_of(inbox));
    inbox->retried_ms = tg_loop_now_ms(site->options.loop);
    if (!tg_redis_is_at(inbox->redis, place)) {
        tg_redis_move(inbox->redis, place);
    } else if (!inbox->open) {
        tg_redis_reset(inbox->redis, "the inbox was refused");
    }
}

static bool redirected(struct tg_redis_inbox *inbox, struct tg_slice why)
{
    struct tg_redis_site *site = inbox->site;
    return site->ops->redirected(site, site->ops->place(site, channel_of(inbox)), why);
}

/* Its other errors are nothing against a subscription, but for that it cannot be asked on this connection. */
static void on_checked(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis_inbox *inbox = arg;
    struct tg_slice why = err == TG_EDENIED ? tg_redis_reply_text(reply) : TG_EMPTY;
    inbox->misplaced = err == TG_EDENIED && (redirected(inbox, why) || tg_slice_starts(why, TG_LIT("ERR ")));
    if (inbox->misplaced) {
        retry(inbox);
    }
}

static void on_subscribed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis_inbox *inbox = arg;
    if (err == TG_EDENIED) {
        bool tell = !redirected(inbox, tg_redis_reply_text(reply)) && !inbox->told;
        retry(inbox);
        if (tell) {
            inbox->told = true;
            inbox->events->on_refused(inbox->arg, tg_redis_reply_text(reply));
        }
        return;
    }
    bool is_ours =
        err == TG_OK && tg_redis_reply_count(reply) == 3 &&
        tg_slice_eq(tg_redis_reply_text(tg_redis_reply_at(reply, 1)), channel_of(inbox)); /* no former one */
    if (is_ours && !inbox->open && !inbox->stopped && !inbox->misplaced) {
        inbox->open = true;
        inbox->told = false;
        inbox->events->on_open(inbox->arg);
    }
}

static void subscribe(struct tg_redis_inbox *inbox)
{
    const struct tg_redis_site_ops *ops = inbox->site->ops;
    const struct tg_slice check[] = {ops->check, channel_of(inbox)};
    const struct tg_slice words[] = {ops->subscribe, channel_of(inbox)};
    enum tg_err err = TG_OK;
    if (inbox->len == 0 || inbox->stopped || inbox->redis == NULL || !tg_redis_up(inbox->redis)) {
        return;
    }
    if (ops->check.len > 0) { /* in one write: the server changes nothing in between */
        err = tg_redis_command(inbox->redis, check, 2, on_checked, inbox);
    }
    if (err == TG_OK) {
        err = tg_redis_command(inbox->redis, words, 2, on_subscribed, inbox);
    }
    if (err != TG_OK) {
        tg_redis_reset(inbox->redis, "the inbox cannot be subscribed");
    }
}

static void on_unsubscribed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis_inbox *inbox = arg;
    (void)err;
    (void)reply;
    if (inbox->stopped) {
        set_closed(inbox); /* what was published before has come before this */
    }
}

static void unsubscribe(struct tg_redis_inbox *inbox)
{
    const struct tg_slice words[] = {inbox->site->ops->unsubscribe, channel_of(inbox)};
    if (inbox->len > 0 && inbox->redis != NULL && tg_redis_up(inbox->redis) &&
        tg_redis_command(inbox->redis, words, 2, on_unsubscribed, inbox) != TG_OK) {
        tg_redis_reset(inbox->redis, "the inbox cannot be unsubscribed");
    }
}

/* ---- the connection ---- */

static void on_up(void *arg)
{
    subscribe(arg);
}

static void on_down(void *arg)
{
    set_closed(arg);
}

static void on_message(void *arg, struct tg_slice channel, struct tg_slice payload)
{
    struct tg_redis_inbox *inbox = arg;
    if (tg_slice_eq(channel, channel_of(inbox))) {
        inbox->events->on_message(inbox->arg, payload);
    }
}

/* The server has the channel no more: it says where that is when it is asked. */
static void on_dropped(void *arg)
{
    set_closed(arg);
    subscribe(arg);
}

static const struct tg_redis_events redis_events = {
    .on_up = on_up, .on_down = on_down, .on_message = on_message, .on_dropped = on_dropped};

void tg_redis_inbox_place(struct tg_redis_inbox *inbox)
{
    const struct tg_redis_site *site = inbox->site;
    if (inbox->redis != NULL && !tg_redis_is_at(inbox->redis, site->ops->place(site, channel_of(inbox)))) {
        retry(inbox);
    }
}

void tg_redis_inbox_close(struct tg_redis_inbox *inbox)
{
    set_closed(inbox);
    tg_timer_stop(&inbox->retry);
    tg_redis_free(inbox->redis);
    inbox->redis = NULL;
}

/* ---- for callers ---- */

enum tg_err tg_redis_inbox_new(struct tg_redis_site *site, const struct tg_redis_inbox_events *events,
                               void *arg, struct tg_redis_inbox **out)
{
    struct tg_redis_inbox *inbox = calloc(1, sizeof *inbox);
    struct tg_redis_options options = site->options;
    if (inbox == NULL) {
        return TG_ENOMEM;
    }
    inbox->site = site;
    inbox->events = events;
    inbox->arg = arg;
    tg_timer_init(&inbox->retry, on_retry);
    options.events = &redis_events;
    options.arg = inbox;
    options.seed++;
    enum tg_err err = tg_redis_new(&options, &inbox->redis);
    if (err != TG_OK) {
        free(inbox);
        return err;
    }
    tg_list_init(&inbox->node);
    tg_list_append(&site->inboxes, &inbox->node);
    tg_redis_inbox_place(inbox);
    *out = inbox;
    return TG_OK;
}

void tg_redis_inbox_free(struct tg_redis_inbox *inbox)
{
    if (inbox != NULL) {
        tg_list_remove(&inbox->node);
        tg_timer_stop(&inbox->retry);
        tg_redis_free(inbox->redis);
        free(inbox);
    }
}

struct tg_redis_inbox *tg_redis_inbox_of(struct tg_list *node)
{
    return TG_CONTAINER(node, struct tg_redis_inbox, node);
}

void tg_redis_inbox_listen(struct tg_redis_inbox *inbox, struct tg_slice channel)
{
    if (inbox->site->ops->check.len == 0) {
        unsubscribe(inbox);
    } else if (inbox->len > 0 && inbox->redis != NULL) {
        tg_redis_reset(inbox->redis, "the channel is another one now");
    }
    inbox->open = false;
    inbox->retried_ms = 0;
    tg_timer_stop(&inbox->retry);
    inbox->len = channel.len <= sizeof inbox->text ? channel.len : 0;
    if (inbox->len > 0) {
        memcpy(inbox->text, channel.ptr, inbox->len);
    }
    tg_redis_inbox_place(inbox);
    subscribe(inbox);
}

void tg_redis_inbox_stop(struct tg_redis_inbox *inbox)
{
    if (!inbox->stopped) {
        inbox->stopped = true;
        tg_timer_stop(&inbox->retry);
        unsubscribe(inbox);
    }
}

void tg_redis_inbox_reset(struct tg_redis_inbox *inbox, const char *why)
{
    set_closed(inbox);
    if (inbox->redis != NULL) {
        tg_redis_reset(inbox->redis, why);
    }
}
