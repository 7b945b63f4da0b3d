/* Memory that dies together. A request owns one arena; everything of the request is taken from it and nothing
 * is given back singly. Foreign objects (a JSON tree, a reference) hang on it by a destructor, run in reverse
 * order at reset. Not thread-safe. An arena pool keeps chunks of finished arenas for the next ones of the
 * same worker. */
#ifndef TG_BASE_ARENA_H
#define TG_BASE_ARENA_H

#include "server/base/slice.h"

struct tg_arena_chunk;
struct tg_arena_defer;

struct tg_arena_pool {
    struct tg_arena_chunk *free;
    size_t count; /* chunks held */
    size_t max;   /* most chunks held; the rest goes back to the system */
};

struct tg_arena {
    struct tg_arena_pool *pool; /* may be NULL */
    struct tg_arena_chunk *chunks;
    struct tg_arena_defer *defers;
    char *next, *end; /* free part of the newest chunk */
};

void tg_arena_pool_init(struct tg_arena_pool *pool, size_t max);
void tg_arena_pool_free(struct tg_arena_pool *pool);

/* Allocates nothing. The pool must outlive the arena. */
void tg_arena_init(struct tg_arena *arena, struct tg_arena_pool *pool);
/* Runs the destructors and releases everything; the arena may be used again. */
void tg_arena_reset(struct tg_arena *arena);

/* Uninitialised memory aligned for any type; NULL when memory is out. */
void *tg_arena_alloc(struct tg_arena *arena, size_t size);
/* The same, zeroed. */
void *tg_arena_zalloc(struct tg_arena *arena, size_t size);
/* Copies the bytes; the copy is followed by a NUL that is not counted. */
enum tg_err tg_arena_copy(struct tg_arena *arena, struct tg_slice bytes, struct tg_slice *out) TG_MUST_CHECK;
enum tg_err tg_arena_printf(struct tg_arena *arena, struct tg_slice *out, const char *format, ...)
    TG_PRINTF(3, 4) TG_MUST_CHECK;
/* Has `destroy(arg)` called at reset. On failure destroy has been called already, so that ownership always
 * passes. */
enum tg_err tg_arena_defer(struct tg_arena *arena, void (*destroy)(void *), void *arg) TG_MUST_CHECK;

#endif
