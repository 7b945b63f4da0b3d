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

static void on_subscribed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_redis_inbox *inbox = arg;
    if (err == TG_EDENIED) {
        struct tg_redis_site *site = inbox->site;
        struct tg_slice why = tg_redis_reply_text(reply);
        if (site->ops->redirected(site, site->ops->place(site, channel_of(inbox)), why)) {
            tg_redis_reset(inbox->redis, "the channel is elsewhere"); /* where it is placed by then */
        } else {
            inbox->events->on_refused(inbox->arg, why);
        }
        return;
    }
    bool is_ours =
        err == TG_OK && tg_redis_reply_count(reply) == 3 &&
        tg_slice_eq(tg_redis_reply_text(tg_redis_reply_at(reply, 1)), channel_of(inbox)); /* no former one */
    if (is_ours && !inbox->open && !inbox->stopped) {
        inbox->open = true;
        inbox->events->on_open(inbox->arg);
    }
}

static void subscribe(struct tg_redis_inbox *inbox)
{
    const struct tg_slice words[] = {inbox->site->ops->subscribe, channel_of(inbox)};
    if (inbox->len > 0 && !inbox->stopped && inbox->redis != NULL && tg_redis_up(inbox->redis) &&
        tg_redis_command(inbox->redis, words, 2, on_subscribed, inbox) != TG_OK) {
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
        (words[0].len == 0 || tg_redis_command(inbox->redis, words, 2, on_unsubscribed, inbox) != TG_OK)) {
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
    if (inbox->redis != NULL) {
        tg_redis_move(inbox->redis, inbox->site->ops->place(inbox->site, channel_of(inbox)));
    }
}

void tg_redis_inbox_close(struct tg_redis_inbox *inbox)
{
    set_closed(inbox);
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
    unsubscribe(inbox);
    inbox->open = false;
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
