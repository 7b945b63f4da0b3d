/* The private integrations of one worker: a group of targets (server/io/upstream_group.h) for each VPC link
 * of the model, by its vpcLinkId. A reload keeps what is known of targets that stay. */
#ifndef TG_ROUTES_LINKS_H
#define TG_ROUTES_LINKS_H

#include "routes/model.h"
#include "server/io/upstream_group.h"

struct tg_links;

/* The client outlives them. TG_ENOMEM. */
enum tg_err tg_links_new(struct tg_upstream *upstream, uint64_t seed, struct tg_links **out) TG_MUST_CHECK;
void tg_links_free(struct tg_links *links);
/* Makes the groups what the model says; borrows nothing. On TG_ENOMEM some are as they were, and calls to
 * those that are not there fail. */
enum tg_err tg_links_configure(struct tg_links *links, const struct tg_model *model) TG_MUST_CHECK;
/* NULL: none. */
struct tg_upstream_group *tg_links_find(const struct tg_links *links, struct tg_slice vpc_link_id);
/* Calls visit for each group, in no order. */
void tg_links_each(const struct tg_links *links, void (*visit)(void *arg, struct tg_upstream_group *group),
                   void *arg);

#endif
