/* The processor's cache: what is needed soon is fetched while something else is done. A hint: nothing is
 * read, so that the object may be gone meanwhile, or NULL. */
#ifndef TG_BASE_CACHE_H
#define TG_BASE_CACHE_H

#include <stddef.h>
#include <stdint.h>

enum { TG_CACHE_LINE = 64 }; /* bytes */

/* So many lines from the one in which the object begins. */
static inline void tg_cache_fetch(const void *object, size_t lines)
{
    for (size_t i = 0; i < lines; i++) {
        __builtin_prefetch((const void *)((uintptr_t)object + i * TG_CACHE_LINE));
    }
}

#endif
