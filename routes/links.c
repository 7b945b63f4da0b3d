#include "routes/links.h"

#include <stdlib.h>

#include "server/base/map.h"

struct link {
    struct tg_upstream_group *group;
    bool wanted;
};

struct tg_links {
    struct tg_upstream *upstream;
    uint64_t seed;
    struct tg_map map; /* vpcLinkId -> struct link * */
};

enum tg_err tg_links_new(struct tg_upstream *upstream, uint64_t seed, struct tg_links **out)
{
    struct tg_links *links = calloc(1, sizeof *links);
    if (links == NULL) {
        return TG_ENOMEM;
    }
    links->upstream = upstream;
    links->seed = seed;
    tg_map_init(&links->map, seed);
    *out = links;
    return TG_OK;
}

static void drop(void *value)
{
    struct link *link = value;
    tg_upstream_group_free(link->group);
    free(link);
}

void tg_links_free(struct tg_links *links)
{
    if (links != NULL) {
        tg_map_free(&links->map, drop);
        free(links);
    }
}

static enum tg_err add(struct tg_links *links, struct tg_slice id,
                       const struct tg_upstream_group_options *options)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        return TG_ENOMEM;
    }
    link->wanted = true;
    enum tg_err err = tg_upstream_group_new(links->upstream, options, &link->group);
    if (err == TG_OK) {
        err = tg_map_add(&links->map, id, link);
        if (err != TG_OK) {
            tg_upstream_group_free(link->group);
        }
    }
    if (err != TG_OK) {
        free(link);
    }
    return err;
}

static bool unmark(void *arg, struct tg_slice key, void *value)
{
    (void)arg;
    (void)key;
    ((struct link *)value)->wanted = false;
    return true;
}

static bool find_unwanted(void *arg, struct tg_slice key, void *value)
{
    struct tg_slice *found = arg;
    if (((struct link *)value)->wanted) {
        return true;
    }
    *found = key;
    return false;
}

enum tg_err tg_links_configure(struct tg_links *links, const struct tg_model *model)
{
    enum tg_err result = TG_OK;
    struct tg_slice id;
    tg_map_each(&links->map, unmark, NULL);
    for (size_t i = 0; i < model->vpc_links.count; i++) {
        const struct tg_vpc_link *wanted = &model->vpc_links.items[i];
        struct link *link = tg_map_get(&links->map, wanted->vpc_link_id);
        struct tg_upstream_group_options options = *wanted->options;
        options.seed = links->seed + i;
        enum tg_err err = link != NULL ? tg_upstream_group_configure(link->group, &options)
                                       : add(links, wanted->vpc_link_id, &options);
        if (link != NULL) {
            link->wanted = true;
        }
        result = err != TG_OK ? err : result;
    }
    for (id = TG_EMPTY, tg_map_each(&links->map, find_unwanted, &id); id.ptr != NULL;
         id = TG_EMPTY, tg_map_each(&links->map, find_unwanted, &id)) {
        drop(tg_map_remove(&links->map, id));
    }
    return result;
}

struct tg_upstream_group *tg_links_find(const struct tg_links *links, struct tg_slice vpc_link_id)
{
    const struct link *link = links != NULL ? tg_map_get(&links->map, vpc_link_id) : NULL;
    return link != NULL ? link->group : NULL;
}

struct visitor {
    void (*visit)(void *arg, struct tg_upstream_group *group);
    void *arg;
};

static bool visit_link(void *arg, struct tg_slice key, void *value)
{
    const struct visitor *visitor = arg;
    (void)key;
    visitor->visit(visitor->arg, ((struct link *)value)->group);
    return true;
}

void tg_links_each(const struct tg_links *links, void (*visit)(void *arg, struct tg_upstream_group *group),
                   void *arg)
{
    struct visitor visitor = {visit, arg};
    if (links != NULL) {
        tg_map_each(&links->map, visit_link, &visitor);
    }
}
