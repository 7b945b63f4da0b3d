/* Lists and maps of strings as configuration holds them: arrays in an arena, made once, never changed. */
#ifndef TG_BASE_STRINGS_H
#define TG_BASE_STRINGS_H

#include "server/base/slice.h"

struct tg_strings {
    struct tg_slice *items;
    size_t count;
};

struct tg_string_pair {
    struct tg_slice key, value;
};

/* In the order of the file; keys are unique. Small: look-ups walk. */
struct tg_string_map {
    struct tg_string_pair *items;
    size_t count;
};

/* The value, or NULL. */
static inline const struct tg_slice *tg_string_map_get(const struct tg_string_map *map, struct tg_slice key)
{
    for (size_t i = 0; i < map->count; i++) {
        if (tg_slice_eq(map->items[i].key, key)) {
            return &map->items[i].value;
        }
    }
    return NULL;
}

#endif
