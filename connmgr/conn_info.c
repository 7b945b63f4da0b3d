#include <assert.h>
#include <stdlib.h>

#include "connmgr/conn_private.h"

struct shared_info {
    size_t refs;
    struct tg_conn_info info; /* the pairs of the maps and all bytes follow */
};

static size_t packed_map_size(const struct tg_string_map *map)
{
    size_t size = map->count * sizeof *map->items;
    for (size_t i = 0; i < map->count; i++) {
        size += map->items[i].key.len + map->items[i].value.len;
    }
    return size;
}

static size_t packed_size(const struct tg_conn_info *info)
{
    return info->api_id.len + info->stage.len + info->domain_name.len + info->source_ip.len +
           info->user_agent.len + packed_map_size(&info->authorizer) + packed_map_size(&info->identity);
}

static struct tg_slice pack(char **room, struct tg_slice bytes)
{
    if (bytes.ptr == NULL) {
        return TG_EMPTY;
    }
    char *to = *room;
    memcpy(to, bytes.ptr, bytes.len);
    *room += bytes.len;
    return tg_slice_make(to, bytes.len);
}

/* The pairs go to *pairs, their bytes to *room. */
static struct tg_string_map pack_map(struct tg_string_pair **pairs, char **room,
                                     const struct tg_string_map *from)
{
    struct tg_string_pair *to = *pairs;
    for (size_t i = 0; i < from->count; i++) {
        to[i].key = pack(room, from->items[i].key);
        to[i].value = pack(room, from->items[i].value);
    }
    *pairs += from->count;
    return (struct tg_string_map){from->count > 0 ? to : NULL, from->count};
}

/* Copies into `to` and packed_size bytes after it, aligned for pointers. */
static void pack_info(struct tg_conn_info *to, const struct tg_conn_info *from, void *after)
{
    struct tg_string_pair *pairs = after;
    char *room = (char *)(pairs + from->authorizer.count + from->identity.count);
    *to = *from;
    to->api_id = pack(&room, from->api_id);
    to->stage = pack(&room, from->stage);
    to->domain_name = pack(&room, from->domain_name);
    to->source_ip = pack(&room, from->source_ip);
    to->user_agent = pack(&room, from->user_agent);
    to->authorizer = pack_map(&pairs, &room, &from->authorizer);
    to->identity = pack_map(&pairs, &room, &from->identity);
}

enum tg_err tg_conn_info_new(const struct tg_conn_info *info, const struct tg_conn_info **out)
{
    struct shared_info *shared = malloc(sizeof *shared + packed_size(info));
    if (shared == NULL) {
        return TG_ENOMEM;
    }
    shared->refs = 1;
    pack_info(&shared->info, info, shared + 1);
    *out = &shared->info;
    return TG_OK;
}

static struct shared_info *shared_of(const struct tg_conn_info *info)
{
    return TG_CONTAINER((uintptr_t)info, struct shared_info, info);
}

const struct tg_conn_info *tg_conn_info_ref(const struct tg_conn_info *info)
{
    shared_of(info)->refs++;
    return info;
}

void tg_conn_info_unref(const struct tg_conn_info *info)
{
    struct shared_info *shared = shared_of(info);
    assert(shared->refs > 0);
    if (--shared->refs == 0) {
        free(shared);
    }
}

enum tg_err tg_conn_info_copy(struct tg_arena *arena, const struct tg_conn_info *info,
                              const struct tg_conn_info **out)
{
    struct tg_conn_info *copy = tg_arena_alloc(arena, sizeof *copy + packed_size(info));
    if (copy == NULL) {
        return TG_ENOMEM;
    }
    pack_info(copy, info, copy + 1);
    *out = copy;
    return TG_OK;
}
