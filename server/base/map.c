#include "server/base/map.h"

#include <stdlib.h>

struct tg_map_entry {
    struct tg_map_entry *next;
    void *value;
    uint64_t hash;
    size_t len;
    char key[];
};

enum { MIN_BUCKETS = 16 };

/* FNV-1a with a seed, finished with a multiply-xorshift so that the low bits are usable. */
static uint64_t hash_key(const struct tg_map *map, struct tg_slice key)
{
    uint64_t hash = 0xcbf29ce484222325u ^ map->seed;
    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ (unsigned char)key.ptr[i]) * 0x100000001b3u;
    }
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93u;
    return hash ^ (hash >> 32);
}

void tg_map_init(struct tg_map *map, uint64_t seed)
{
    *map = (struct tg_map){.seed = seed};
}

void tg_map_free(struct tg_map *map, void (*drop)(void *value))
{
    for (size_t i = 0; i < map->bucket_count; i++) {
        while (map->buckets[i] != NULL) {
            struct tg_map_entry *entry = map->buckets[i];
            map->buckets[i] = entry->next;
            if (drop != NULL) {
                drop(entry->value);
            }
            free(entry);
        }
    }
    free(map->buckets);
    tg_map_init(map, map->seed);
}

/* The link that points to the entry of the key, or to the NULL at the end of its chain; NULL for an empty
 * map. */
static struct tg_map_entry **find_link(const struct tg_map *map, struct tg_slice key, uint64_t hash)
{
    if (map->bucket_count == 0) {
        return NULL;
    }
    struct tg_map_entry **link = &map->buckets[hash & (map->bucket_count - 1)];
    while (*link != NULL &&
           ((*link)->hash != hash || !tg_slice_eq(tg_slice_make((*link)->key, (*link)->len), key))) {
        link = &(*link)->next;
    }
    return link;
}

void *tg_map_get(const struct tg_map *map, struct tg_slice key)
{
    if (map->count == 0) {
        return NULL;
    }
    struct tg_map_entry **link = find_link(map, key, hash_key(map, key));
    return link != NULL && *link != NULL ? (*link)->value : NULL;
}

static enum tg_err grow(struct tg_map *map)
{
    size_t bucket_count = map->bucket_count > 0 ? map->bucket_count * 2 : MIN_BUCKETS;
    struct tg_map_entry **buckets = calloc(bucket_count, sizeof(*buckets));
    if (buckets == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < map->bucket_count; i++) {
        while (map->buckets[i] != NULL) {
            struct tg_map_entry *entry = map->buckets[i];
            map->buckets[i] = entry->next;
            struct tg_map_entry **head = &buckets[entry->hash & (bucket_count - 1)];
            entry->next = *head;
            *head = entry;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->bucket_count = bucket_count;
    return TG_OK;
}

enum tg_err tg_map_add(struct tg_map *map, struct tg_slice key, void *value)
{
    if (map->count >= map->bucket_count) {
        enum tg_err err = grow(map);
        if (err != TG_OK) {
            return err;
        }
    }
    uint64_t hash = hash_key(map, key);
    struct tg_map_entry **link = find_link(map, key, hash);
    if (*link != NULL) {
        return TG_EEXIST;
    }
    struct tg_map_entry *entry = malloc(sizeof *entry + key.len);
    if (entry == NULL) {
        return TG_ENOMEM;
    }
    *entry = (struct tg_map_entry){.value = value, .hash = hash, .len = key.len};
    if (key.len > 0) {
        memcpy(entry->key, key.ptr, key.len);
    }
    *link = entry;
    map->count++;
    return TG_OK;
}

void *tg_map_remove(struct tg_map *map, struct tg_slice key)
{
    struct tg_map_entry **link = find_link(map, key, hash_key(map, key));
    if (link == NULL || *link == NULL) {
        return NULL;
    }
    struct tg_map_entry *entry = *link;
    void *value = entry->value;
    *link = entry->next;
    free(entry);
    map->count--;
    return value;
}

void tg_map_each(const struct tg_map *map, bool (*visit)(void *arg, struct tg_slice key, void *value),
                 void *arg)
{
    for (size_t i = 0; i < map->bucket_count; i++) {
        for (struct tg_map_entry *entry = map->buckets[i]; entry != NULL; entry = entry->next) {
            if (!visit(arg, tg_slice_make(entry->key, entry->len), entry->value)) {
                return;
            }
        }
    }
}
