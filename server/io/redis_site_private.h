/* What the kinds of a site share; private to server/io/redis*.c. redis_one.c is the kind with one server. */
#ifndef TG_IO_REDIS_SITE_PRIVATE_H
#define TG_IO_REDIS_SITE_PRIVATE_H

#include "server/base/list.h"
#include "server/io/redis_site.h"

struct tg_redis_site_ops {
    enum tg_err (*command)(struct tg_redis_site *site, struct tg_slice key, const struct tg_slice *words,
                           size_t count, tg_redis_reply_fn *done, void *arg);
    void (*flush)(struct tg_redis_site *site);
    const char *(*problem)(const struct tg_redis_site *site);
    /* Where the inbox of this channel is to be opened; port 0: not known, or where the URL says. */
    struct tg_redis_place (*place)(const struct tg_redis_site *site, struct tg_slice channel);
    /* An inbox was refused at `sayer` by this error: true when the channel is elsewhere, or will be here, so
     * that it is to try again where it is placed then. */
    bool (*redirected)(struct tg_redis_site *site, struct tg_redis_place sayer, struct tg_slice error);
    void (*close)(struct tg_redis_site *site);
    struct tg_slice publish, subscribe, unsubscribe;
    /* Asked of the channel before a subscription, where a server takes one that it should redirect; else
     * empty. With it, another channel takes another connection. */
    struct tg_slice check;
    bool counts_part; /* what is published is answered with the subscribers at one server of several */
};

struct tg_redis_site {
    const struct tg_redis_site_ops *ops;
    struct tg_redis_options options; /* of every connection, but for its events */
    const struct tg_redis_site_events *events;
    void *arg;
    struct tg_list inboxes; /* struct tg_redis_inbox */
    bool up;
};

void tg_redis_site_init(struct tg_redis_site *site, const struct tg_redis_site_ops *ops,
                        const struct tg_redis_options *options, const struct tg_redis_site_events *events,
                        void *arg);
enum tg_err tg_redis_one_new(const struct tg_redis_options *options,
                             const struct tg_redis_site_events *events, void *arg,
                             struct tg_redis_site **out) TG_MUST_CHECK;
enum tg_err tg_redis_cluster_new(const struct tg_redis_options *options,
                                 const struct tg_redis_site_events *events, void *arg,
                                 struct tg_redis_site **out) TG_MUST_CHECK;
/* Servers are others now: inboxes are opened where they are. */
void tg_redis_site_place_inboxes(struct tg_redis_site *site);

#endif
