/* What is published to one channel of a site, over a connection of its own: opened where the channel is, and
 * opened anew wherever that is when it breaks or the channel moves. */
#ifndef TG_IO_REDIS_INBOX_H
#define TG_IO_REDIS_INBOX_H

#include "server/io/redis_site.h"

struct tg_list;
struct tg_redis_inbox;

struct tg_redis_inbox_events {
    /* What is published from now on comes in. */
    void (*on_open)(void *arg);
    /* It may not, until on_open. */
    void (*on_closed)(void *arg);
    /* The server does not let us listen; borrowed for the call. */
    void (*on_refused)(void *arg, struct tg_slice reason);
    void (*on_message)(void *arg, struct tg_slice payload);
};

/* Listens to nothing yet. The site outlives it. */
enum tg_err tg_redis_inbox_new(struct tg_redis_site *site, const struct tg_redis_inbox_events *events,
                               void *arg, struct tg_redis_inbox **out) TG_MUST_CHECK;
/* Not from inside an event. NULL is allowed. */
void tg_redis_inbox_free(struct tg_redis_inbox *inbox);
/* To this channel and no other from now on, without a word of the former's closing; empty: to none. Up to 255
 * bytes. */
void tg_redis_inbox_listen(struct tg_redis_inbox *inbox, struct tg_slice channel);
/* Listens no more, for good. What was published before still comes; then on_closed, if it was open. */
void tg_redis_inbox_stop(struct tg_redis_inbox *inbox);
/* Breaks the connection in the next pass, to begin anew. why: a static text. */
void tg_redis_inbox_reset(struct tg_redis_inbox *inbox, const char *why);

/* For the site. */
struct tg_redis_inbox *tg_redis_inbox_of(struct tg_list *node);
void tg_redis_inbox_place(struct tg_redis_inbox *inbox);
/* For good. */
void tg_redis_inbox_close(struct tg_redis_inbox *inbox);

#endif
