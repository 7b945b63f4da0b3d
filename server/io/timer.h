/* The timing wheel under a loop's timers: a pure data structure that knows no clock and no libuv. Seven
 * levels of 64 slots, 1 ms the finest; a timer sits at the level of the highest bit in which its due time
 * differs from `now`, so that the first occupied slot of the lowest occupied level is always the earliest.
 * Owned by the loop; private to server/io. Stopping a timer only unlinks it (it knows no wheel): the slot's
 * mark is cleared when it is next met. */
#ifndef TG_IO_TIMER_H
#define TG_IO_TIMER_H

#include "server/io/loop.h"

enum { TG_WHEEL_BITS = 6, TG_WHEEL_SLOTS = 1 << TG_WHEEL_BITS, TG_WHEEL_LEVELS = 7 };

/* The latest time a wheel can hold, in ms: 139 years after boot. Later timers fire then. */
#define TG_WHEEL_END ((UINT64_C(1) << (TG_WHEEL_BITS * TG_WHEEL_LEVELS)) - 1)

struct tg_wheel {
    uint64_t now;
    uint64_t occupied[TG_WHEEL_LEVELS]; /* a bit a slot; set for every slot with timers, perhaps for an empty
                                           one */
    struct tg_list slots[TG_WHEEL_LEVELS][TG_WHEEL_SLOTS];
};

void tg_wheel_init(struct tg_wheel *wheel, uint64_t now_ms);
/* Arms an unlinked timer; a due time in the past becomes now. */
void tg_wheel_add(struct tg_wheel *wheel, struct tg_timer *timer, uint64_t due_ms);
/* Moves now forward and every timer due until then to the end of `expired`, in the order they are due. They
 * stay armed until the caller fires them, so that one stops another in time. */
void tg_wheel_advance(struct tg_wheel *wheel, uint64_t now_ms, struct tg_list *expired);
/* A time not after the earliest due one, at which advancing makes progress; UINT64_MAX when nothing is armed.
 */
uint64_t tg_wheel_next(struct tg_wheel *wheel);

#endif
