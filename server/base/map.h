/* A hash map from byte strings to pointers. Keys are copied, values borrowed. For configuration and caches;
 * the seed makes collisions unpredictable where keys come from outside. Not thread-safe for writing. */
#ifndef TG_BASE_MAP_H
#define TG_BASE_MAP_H

#include "server/base/slice.h"

struct tg_map_entry;

struct tg_map {
    struct tg_map_entry **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t count;
    uint64_t seed;
};

/* Allocates nothing. */
void tg_map_init(struct tg_map *map, uint64_t seed);
/* Calls drop(value) for each value unless drop is NULL. */
void tg_map_free(struct tg_map *map, void (*drop)(void *value));
/* NULL when absent. */
void *tg_map_get(const struct tg_map *map, struct tg_slice key);
/* TG_EEXIST when the key is there (the old value stays), TG_ENOMEM. value must not be NULL. */
enum tg_err tg_map_add(struct tg_map *map, struct tg_slice key, void *value) TG_MUST_CHECK;
/* Returns the value taken out, or NULL. */
void *tg_map_remove(struct tg_map *map, struct tg_slice key);
/* Calls visit for each entry, in no order, until it returns false. The map must not change meanwhile. */
void tg_map_each(const struct tg_map *map, bool (*visit)(void *arg, struct tg_slice key, void *value),
                 void *arg);

#endif
