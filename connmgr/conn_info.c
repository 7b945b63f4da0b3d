#include <assert.h>
#include <stdlib.h>

#include "connmgr/conn_private.h"

struct shared_info {
    size_t refs;
    struct tg_conn_info info; /* the pairs of the authoriser and all bytes follow */
};

static size_t packed_size(const struct tg_conn_info *info)
{
    size_t size = info->api_id.len + info->stage.len + info->domain_name.len + info->source_ip.len +
                  info->user_agent.len + info->authorizer.count * sizeof(struct tg_string_pair);
    for (size_t i = 0; i < info->authorizer.count; i++) {
        size += info->authorizer.items[i].key.len + info->authorizer.items[i].value.len;
    }
    return size;
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

/* Copies into `to` and packed_size bytes after it, aligned for pointers. */
static void pack_info(struct tg_conn_info *to, const struct tg_conn_info *from, void *after)
{
    struct tg_string_pair *pairs = after;
    char *room = (char *)(pairs + from->authorizer.count);
    *to = *from;
    to->api_id = pack(&room, from->api_id);
    to->stage = pack(&room, from->stage);
    to->domain_name = pack(&room, from->domain_name);
    to->source_ip = pack(&room, from->source_ip);
    to->user_agent = pack(&room, from->user_agent);
    for (size_t i = 0; i < from->authorizer.count; i++) {
        pairs[i].key = pack(&room, from->authorizer.items[i].key);
        pairs[i].value = pack(&room, from->authorizer.items[i].value);
    }
    to->authorizer.items = from->authorizer.count > 0 ? pairs : NULL;
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
