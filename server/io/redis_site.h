/* A thread's way to all of a Redis, whatever it is made of: one server, the primary that Sentinels name, or
 * the primaries of a Cluster. A command carries its key; which server has that nobody else knows. Inboxes
 * (redis_inbox.h) are for what is published. */
#ifndef TG_IO_REDIS_SITE_H
#define TG_IO_REDIS_SITE_H

#include "server/io/redis.h"

struct tg_redis_site;

struct tg_redis_site_events {
    /* Every server that there is takes commands. Said anew when one of them was lost and is back, or is
     * another one. */
    void (*on_up)(void *arg);
    /* A server was lost, and its commands have been answered; or an attempt to reach one failed. */
    void (*on_down)(void *arg);
    /* A connection for commands came up: what is sent on it now comes before every command. */
    void (*on_server)(void *arg, struct tg_redis *redis);
    /* As that of a connection (redis.h), of one server; may be NULL. */
    void (*on_denied)(void *arg, struct tg_slice reason);
};

/* The options' events are not looked at; what they borrow, the TLS context too, outlives the site. */
enum tg_err tg_redis_site_new(const struct tg_redis_options *options,
                              const struct tg_redis_site_events *events, void *arg,
                              struct tg_redis_site **out) TG_MUST_CHECK;
/* Ends its connections, those of its inboxes too: commands without a reply, and any further ones, get
 * TG_ECLOSED. Not from inside a callback of its own. */
void tg_redis_site_close(struct tg_redis_site *site);
/* Of a closed one, whose inboxes are gone. */
void tg_redis_site_free(struct tg_redis_site *site);
/* Whether all of it takes commands; part of it may when not. */
bool tg_redis_site_up(const struct tg_redis_site *site);
const char *tg_redis_site_problem(const struct tg_redis_site *site);
/* As tg_redis_command, to the server that has the key. */
enum tg_err tg_redis_site_command(struct tg_redis_site *site, struct tg_slice key,
                                  const struct tg_slice *words, size_t count, tg_redis_reply_fn *done,
                                  void *arg) TG_MUST_CHECK;
/* To the inboxes that listen to the channel; the reply is how many those are, or some of them. As
 * tg_redis_command. */
enum tg_err tg_redis_site_publish(struct tg_redis_site *site, struct tg_slice channel,
                                  struct tg_slice payload, tg_redis_reply_fn *done, void *arg) TG_MUST_CHECK;
/* Whether what is published reaches inboxes that the reply does not count: in a Cluster, those at the other
 * servers that have the slot, of which one may be its primary by now. */
bool tg_redis_site_counts_part(const struct tg_redis_site *site);
void tg_redis_site_flush(struct tg_redis_site *site);

#endif
