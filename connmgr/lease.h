/* A node's hold on its number, in one word that one thread writes and all read: the number in 24 bits, and
 * the monotonic ms until which it is held for certain in 40. One word, so that nobody takes the time of a new
 * number for that of the old: a process that wakes up after its lease may have another number before all of
 * its threads know. */
#ifndef TG_CONNMGR_LEASE_H
#define TG_CONNMGR_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TG_LEASE_FOREVER ((UINT64_C(1) << 40) - 1)

/* node 0: none is held. */
static inline void tg_lease_set(_Atomic(uint64_t) *lease, uint32_t node, uint64_t until_ms)
{
    uint64_t until = until_ms < TG_LEASE_FOREVER ? until_ms : TG_LEASE_FOREVER;
    atomic_store_explicit(lease, (uint64_t)node << 40 | until, memory_order_release);
}

static inline bool tg_lease_held(const _Atomic(uint64_t) *lease, uint32_t node, uint64_t now_ms)
{
    uint64_t word = atomic_load_explicit(lease, memory_order_acquire);
    return node != 0 && word >> 40 == node && now_ms < (word & TG_LEASE_FOREVER);
}

#endif
