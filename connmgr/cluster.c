#include "connmgr/cluster.h"

#include <stdio.h>
#include <stdlib.h>

enum { SLICES_MAX = 8 + TG_REDIS_PLACES_MAX };

/* The slices of the settings, in one place. */
static size_t slices(struct tg_cluster_settings *settings, struct tg_slice *out[SLICES_MAX])
{
    struct tg_redis_url *url = &settings->url;
    struct tg_slice *fixed[] = {
        &settings->name, &settings->server_name, &url->path,          &url->service,
        &url->user,      &url->password,         &url->sentinel_user, &url->sentinel_password};
    size_t count = sizeof fixed / sizeof fixed[0];
    memcpy(out, fixed, sizeof fixed);
    for (size_t i = 0; i < url->place_count; i++) {
        out[count++] = &url->places[i].host;
    }
    return count;
}

enum tg_err tg_cluster_new(const struct tg_cluster_settings *settings, struct tg_cluster **out)
{
    struct tg_slice *own[SLICES_MAX];
    struct tg_cluster_settings copy = *settings;
    size_t count = slices(&copy, own), bytes = 0;
    if (copy.name.len == 0 || copy.name.len > TG_CLUSTER_NAME_MAX || copy.workers == 0 || copy.lease_ms < 6) {
        return TG_EINVAL;
    }
    for (size_t i = 0; i < count; i++) {
        bytes += own[i]->len;
    }
    size_t fixed = sizeof(struct tg_cluster) + copy.workers * sizeof(struct tg_cluster_counters);
    struct tg_cluster *cluster = calloc(1, fixed + bytes);
    if (cluster == NULL) {
        return TG_ENOMEM;
    }
    char *room = (char *)cluster + fixed;
    cluster->settings = copy;
    count = slices(&cluster->settings, own);
    for (size_t i = 0; i < count; i++) {
        if (own[i]->ptr != NULL) {
            memcpy(room, own[i]->ptr, own[i]->len);
            own[i]->ptr = room;
            room += own[i]->len;
        }
    }
    atomic_store(&cluster->intact_since_ms, UINT64_MAX);
    *out = cluster;
    return TG_OK;
}

void tg_cluster_free(struct tg_cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    if (cluster->settings.tls != NULL) {
        tg_tls_context_free(cluster->settings.tls);
    }
    free(cluster);
}

static void finish(struct tg_cluster_key *key, int len)
{
    key->len = len > 0 && (size_t)len < sizeof key->text ? (size_t)len : 0;
}

struct tg_cluster_key tg_cluster_key(const struct tg_cluster *cluster, uint32_t node, const char *kind)
{
    struct tg_cluster_key key;
    finish(&key, snprintf(key.text, sizeof key.text, "tidegate:{%.*s:%u}:%s", TG_FMT(cluster->settings.name),
                          node, kind));
    return key;
}

struct tg_cluster_key tg_cluster_worker_key(const struct tg_cluster *cluster, uint32_t node, uint32_t worker,
                                            const char *kind)
{
    struct tg_cluster_key key;
    finish(&key, snprintf(key.text, sizeof key.text, "tidegate:{%.*s:%u}:%s:%u",
                          TG_FMT(cluster->settings.name), node, kind, worker));
    return key;
}

struct tg_cluster_key tg_cluster_index_key(const struct tg_cluster *cluster)
{
    struct tg_cluster_key key;
    finish(&key,
           snprintf(key.text, sizeof key.text, "tidegate:{%.*s}:nodes", TG_FMT(cluster->settings.name)));
    return key;
}

enum { DEAD_FOR_MS = 60000 }; /* then Redis is asked again */

#define UNTIL_MASK ((UINT64_C(1) << 40) - 1)

void tg_cluster_mark_dead(struct tg_cluster *cluster, uint32_t node, uint64_t now_ms)
{
    atomic_store_explicit(&cluster->dead[node % TG_CLUSTER_DEAD],
                          (uint64_t)node << 40 | ((now_ms + DEAD_FOR_MS) & UNTIL_MASK), memory_order_relaxed);
}

bool tg_cluster_is_dead(const struct tg_cluster *cluster, uint32_t node, uint64_t now_ms)
{
    uint64_t word = atomic_load_explicit(&cluster->dead[node % TG_CLUSTER_DEAD], memory_order_relaxed);
    return node != 0 && word >> 40 == node && (now_ms & UNTIL_MASK) < (word & UNTIL_MASK);
}

size_t tg_number_text(uint64_t number, char out[24])
{
    int len = snprintf(out, 24, "%llu", (unsigned long long)number);
    return len > 0 ? (size_t)len : 0;
}
