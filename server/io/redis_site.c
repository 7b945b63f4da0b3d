#include <stdlib.h>

#include "server/io/redis_inbox.h"
#include "server/io/redis_site_private.h"

void tg_redis_site_init(struct tg_redis_site *site, const struct tg_redis_site_ops *ops,
                        const struct tg_redis_options *options, const struct tg_redis_site_events *events,
                        void *arg)
{
    site->ops = ops;
    site->options = *options;
    site->events = events;
    site->arg = arg;
    tg_list_init(&site->inboxes);
}

enum tg_err tg_redis_site_new(const struct tg_redis_options *options,
                              const struct tg_redis_site_events *events, void *arg,
                              struct tg_redis_site **out)
{
    return options->url->kind == TG_REDIS_CLUSTER ? tg_redis_cluster_new(options, events, arg, out)
                                                  : tg_redis_one_new(options, events, arg, out);
}

void tg_redis_site_close(struct tg_redis_site *site)
{
    site->up = false;
    site->ops->close(site);
    for (struct tg_list *node = site->inboxes.next; node != &site->inboxes; node = node->next) {
        tg_redis_inbox_close(tg_redis_inbox_of(node));
    }
}

/* The base is the first member of each kind. */
void tg_redis_site_free(struct tg_redis_site *site)
{
    free(site);
}

bool tg_redis_site_up(const struct tg_redis_site *site)
{
    return site->up;
}

const char *tg_redis_site_problem(const struct tg_redis_site *site)
{
    return site->ops->problem(site);
}

enum tg_err tg_redis_site_command(struct tg_redis_site *site, struct tg_slice key,
                                  const struct tg_slice *words, size_t count, tg_redis_reply_fn *done,
                                  void *arg)
{
    return site->ops->command(site, key, words, count, done, arg);
}

enum tg_err tg_redis_site_publish(struct tg_redis_site *site, struct tg_slice channel,
                                  struct tg_slice payload, tg_redis_reply_fn *done, void *arg)
{
    const struct tg_slice words[] = {site->ops->publish, channel, payload};
    return site->ops->command(site, channel, words, 3, done, arg);
}

bool tg_redis_site_counts_part(const struct tg_redis_site *site)
{
    return site->ops->counts_part;
}

void tg_redis_site_flush(struct tg_redis_site *site)
{
    site->ops->flush(site);
}

void tg_redis_site_place_inboxes(struct tg_redis_site *site)
{
    for (struct tg_list *node = site->inboxes.next; node != &site->inboxes; node = node->next) {
        tg_redis_inbox_place(tg_redis_inbox_of(node));
    }
}
