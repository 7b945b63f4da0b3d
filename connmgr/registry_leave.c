#include "connmgr/registry_private.h"

/* Rows of connections that have ended. A $disconnect goes out when Redis has acknowledged the removal of the
 * row under this node's lease: then no survivor can know of it. What became of a removal that is not
 * acknowledged nobody knows: it is sent again, as long as the node holds its number. */

static struct tg_redis_registry *registry_of(struct tg_registry *base)
{
    return TG_CONTAINER(base, struct tg_redis_registry, base);
}

static void answer(struct tg_leaver *leaver, bool ours)
{
    tg_list_remove(&leaver->node);
    leaver->removed(leaver, ours);
}

/* The number is not held any more. */
static void leave_to_others(struct tg_redis_registry *registry, const struct tg_leaver *leaver)
{
    tg_cluster_count(&registry->counters->left, 1);
    if (leaver->info != NULL) {
        tg_orphans_add(tg_registry_orphans_of(registry, leaver->id.node), leaver->connection_id,
                       leaver->info);
    }
}

static void on_removed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_leaver *leaver = arg;
    struct tg_redis_registry *registry = registry_of(leaver->registry);
    leaver->asking = false;
    if (!tg_registry_held(registry, &leaver->id)) {
        leave_to_others(registry, leaver);
        answer(leaver, false);
    } else if (err == TG_OK && tg_redis_reply_integer(reply) == 1) {
        answer(leaver, true);
    } else {
        tg_registry_try_later(registry);
    }
}

static enum tg_err send_removal(struct tg_leaver *leaver)
{
    const struct tg_slice id = tg_slice_make(leaver->connection_id, TG_CONNID_LEN);
    enum tg_err err = tg_rows_remove(registry_of(leaver->registry), &id, 1, on_removed, leaver);
    leaver->asking = err == TG_OK;
    return err;
}

bool tg_registry_send_removals(struct tg_redis_registry *registry)
{
    registry->blocked = false;
    for (struct tg_list *node = registry->leaving.next, *next = NULL; node != &registry->leaving;
         node = next) {
        struct tg_leaver *leaver = TG_CONTAINER(node, struct tg_leaver, node);
        next = node->next;
        if (leaver->asking) {
            continue;
        }
        if (!tg_registry_held(registry, &leaver->id)) {
            leave_to_others(registry, leaver);
            answer(leaver, false);
        } else if (registry->writing[leaver->id.slot] > 0) {
            registry->blocked = true; /* the answer to that brings us back */
        } else if (send_removal(leaver) != TG_OK) {
            return false;
        }
    }
    return true;
}

enum tg_removal tg_registry_remove(struct tg_registry *base, struct tg_leaver *leaver)
{
    struct tg_redis_registry *registry = registry_of(base);
    if (tg_connid_decode(registry->id_key, tg_slice_cstr(leaver->connection_id), &leaver->id) != TG_OK ||
        leaver->id.slot >= registry->slots) {
        return TG_REMOVAL_OURS; /* none of ours: nobody else knows it */
    }
    leaver->registry = base;
    leaver->asking = false;
    if (!tg_registry_held(registry, &leaver->id)) {
        leave_to_others(registry, leaver);
        return TG_REMOVAL_LEFT;
    }
    tg_list_append(&registry->leaving, &leaver->node);
    if (registry->writing[leaver->id.slot] > 0) {
        registry->blocked = true;
    } else if (send_removal(leaver) != TG_OK) {
        tg_registry_try_later(registry);
    }
    return TG_REMOVAL_ASKED;
}

/* Where the number has been dealt with by now, nobody else can know of a connection whose row went before. */
bool tg_registry_may_tell(struct tg_registry *base, const char *connection_id,
                          const struct tg_conn_info *info)
{
    struct tg_redis_registry *registry = registry_of(base);
    struct tg_connid id;
    if (tg_connid_decode(registry->id_key, tg_slice_cstr(connection_id), &id) != TG_OK ||
        tg_registry_held(registry, &id)) {
        return true;
    }
    struct tg_orphans *orphans = tg_registry_orphans_of(registry, id.node);
    if (orphans == NULL) {
        return true;
    }
    tg_cluster_count(&registry->counters->left, 1);
    tg_orphans_add(orphans, connection_id, info);
    return false;
}

static void orphan(struct tg_redis_registry *registry, const struct tg_list *leavers)
{
    for (const struct tg_list *node = leavers->next; node != leavers; node = node->next) {
        const struct tg_leaver *leaver = TG_CONTAINER(node, struct tg_leaver, node);
        struct tg_connid id;
        if (leaver->info != NULL &&
            tg_connid_decode(registry->id_key, tg_slice_cstr(leaver->connection_id), &id) == TG_OK &&
            id.node == registry->node) {
            tg_orphans_add(tg_registry_orphans_of(registry, id.node), leaver->connection_id, leaver->info);
        }
    }
}

void tg_registry_orphan_leavers(struct tg_redis_registry *registry)
{
    orphan(registry, registry->waiting);
    orphan(registry, &registry->leaving);
}

void tg_registry_drop_leavers(struct tg_redis_registry *registry)
{
    while (!tg_list_empty(&registry->leaving)) {
        answer(TG_CONTAINER(registry->leaving.next, struct tg_leaver, node), false);
    }
}
