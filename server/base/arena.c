#include "server/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK_SIZE = 4096 };

struct tg_arena_chunk {
    struct tg_arena_chunk *next;
    size_t size; /* of the whole block */
    alignas(max_align_t) char data[];
};

struct tg_arena_defer {
    struct tg_arena_defer *next;
    void (*destroy)(void *);
    void *arg;
};

void tg_arena_pool_init(struct tg_arena_pool *pool, size_t max)
{
    *pool = (struct tg_arena_pool){.max = max};
}

void tg_arena_pool_free(struct tg_arena_pool *pool)
{
    while (pool->free != NULL) {
        struct tg_arena_chunk *chunk = pool->free;
        pool->free = chunk->next;
        free(chunk);
    }
    pool->count = 0;
}

void tg_arena_init(struct tg_arena *arena, struct tg_arena_pool *pool)
{
    *arena = (struct tg_arena){.pool = pool};
}

static void chunk_release(struct tg_arena_pool *pool, struct tg_arena_chunk *chunk)
{
    if (pool != NULL && chunk->size == CHUNK_SIZE && pool->count < pool->max) {
        chunk->next = pool->free;
        pool->free = chunk;
        pool->count++;
    } else {
        free(chunk);
    }
}

void tg_arena_reset(struct tg_arena *arena)
{
    while (arena->defers != NULL) {
        struct tg_arena_defer *defer = arena->defers;
        arena->defers = defer->next;
        defer->destroy(defer->arg);
    }
    while (arena->chunks != NULL) {
        struct tg_arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        chunk_release(arena->pool, chunk);
    }
    arena->next = NULL;
    arena->end = NULL;
}

static struct tg_arena_chunk *chunk_take(struct tg_arena_pool *pool, size_t size)
{
    if (size == CHUNK_SIZE && pool != NULL && pool->free != NULL) {
        struct tg_arena_chunk *chunk = pool->free;
        pool->free = chunk->next;
        pool->count--;
        return chunk;
    }
    struct tg_arena_chunk *chunk = malloc(size);
    if (chunk != NULL) {
        chunk->size = size;
    }
    return chunk;
}

void *tg_arena_alloc(struct tg_arena *arena, size_t size)
{
    enum { ALIGN = alignof(max_align_t) };
    if (size > SIZE_MAX - CHUNK_SIZE) {
        return NULL;
    }
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size <= (size_t)(arena->end - arena->next) && arena->next != NULL) {
        void *at = arena->next;
        arena->next += size;
        return at;
    }
    size_t header = offsetof(struct tg_arena_chunk, data);
    bool own_chunk = size > (CHUNK_SIZE - header) / 2;
    struct tg_arena_chunk *chunk = chunk_take(arena->pool, own_chunk ? header + size : CHUNK_SIZE);
    if (chunk == NULL) {
        return NULL;
    }
    if (own_chunk && arena->chunks != NULL) {
        /* Behind the newest chunk, whose free part stays in use. */
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
        return chunk->data;
    }
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->next = chunk->data + size;
    arena->end = (char *)chunk + chunk->size;
    return chunk->data;
}

void *tg_arena_zalloc(struct tg_arena *arena, size_t size)
{
    void *at = tg_arena_alloc(arena, size);
    if (at != NULL) {
        memset(at, 0, size);
    }
    return at;
}

enum tg_err tg_arena_copy(struct tg_arena *arena, struct tg_slice bytes, struct tg_slice *out)
{
    if (bytes.len == SIZE_MAX) {
        return TG_ENOMEM;
    }
    char *copy = tg_arena_alloc(arena, bytes.len + 1);
    if (copy == NULL) {
        return TG_ENOMEM;
    }
    if (bytes.len > 0) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    copy[bytes.len] = '\0';
    *out = tg_slice_make(copy, bytes.len);
    return TG_OK;
}

enum tg_err tg_arena_printf(struct tg_arena *arena, struct tg_slice *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0) {
        return TG_EINVAL;
    }
    char *text = tg_arena_alloc(arena, (size_t)need + 1);
    if (text == NULL) {
        return TG_ENOMEM;
    }
    va_start(args, format);
    (void)vsnprintf(text, (size_t)need + 1, format, args);
    va_end(args);
    *out = tg_slice_make(text, (size_t)need);
    return TG_OK;
}

enum tg_err tg_arena_defer(struct tg_arena *arena, void (*destroy)(void *), void *arg)
{
    struct tg_arena_defer *defer = tg_arena_alloc(arena, sizeof *defer);
    if (defer == NULL) {
        destroy(arg);
        return TG_ENOMEM;
    }
    *defer = (struct tg_arena_defer){.next = arena->defers, .destroy = destroy, .arg = arg};
    arena->defers = defer;
    return TG_OK;
}
