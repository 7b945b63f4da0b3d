#include "server/io/timer.h"

#include <assert.h>

enum { SLOT_MASK = TG_WHEEL_SLOTS - 1 };

void tg_timer_init(struct tg_timer *timer, void (*fire)(struct tg_timer *timer))
{
    tg_list_init(&timer->node);
    timer->due_ms = 0;
    timer->fire = fire;
}

void tg_timer_stop(struct tg_timer *timer)
{
    tg_list_remove(&timer->node);
    timer->due_ms = 0;
}

void tg_wheel_init(struct tg_wheel *wheel, uint64_t now_ms)
{
    wheel->now = now_ms;
    for (unsigned level = 0; level < TG_WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < TG_WHEEL_SLOTS; slot++) {
            tg_list_init(&wheel->slots[level][slot]);
        }
    }
}

static unsigned slot_of(uint64_t time, unsigned level)
{
    return (unsigned)(time >> (level * TG_WHEEL_BITS)) & SLOT_MASK;
}

/* Links a timer whose due time is set and not before now. */
static void place(struct tg_wheel *wheel, struct tg_timer *timer)
{
    uint64_t difference = (timer->due_ms ^ wheel->now) | SLOT_MASK;
    unsigned level = (63 - (unsigned)__builtin_clzll(difference)) / TG_WHEEL_BITS;
    unsigned slot = slot_of(timer->due_ms, level);
    tg_list_append(&wheel->slots[level][slot], &timer->node);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void tg_wheel_add(struct tg_wheel *wheel, struct tg_timer *timer, uint64_t due_ms)
{
    assert(tg_list_empty(&timer->node));
    due_ms = due_ms < wheel->now ? wheel->now : due_ms;
    due_ms = due_ms > TG_WHEEL_END ? TG_WHEEL_END : due_ms;
    timer->due_ms = due_ms > 0 ? due_ms : 1;
    place(wheel, timer);
}

/* The earliest slot that holds timers and the time at which it begins; clears the marks of the empty ones on
 * the way. */
static struct tg_list *earliest(struct tg_wheel *wheel, unsigned *level, uint64_t *begin)
{
    for (unsigned at = 0; at < TG_WHEEL_LEVELS; at++) {
        while (wheel->occupied[at] != 0) {
            unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[at]);
            if (!tg_list_empty(&wheel->slots[at][slot])) {
                unsigned shift = at * TG_WHEEL_BITS;
                *level = at;
                *begin = (wheel->now >> shift >> TG_WHEEL_BITS << TG_WHEEL_BITS | slot) << shift;
                assert(*begin >= wheel->now);
                return &wheel->slots[at][slot];
            }
            wheel->occupied[at] &= wheel->occupied[at] - 1;
        }
    }
    return NULL;
}

void tg_wheel_advance(struct tg_wheel *wheel, uint64_t now_ms, struct tg_list *expired)
{
    unsigned level;
    uint64_t begin;
    struct tg_list *slot;
    while ((slot = earliest(wheel, &level, &begin)) != NULL && begin <= now_ms) {
        wheel->now = begin;
        wheel->occupied[level] &= ~(UINT64_C(1) << slot_of(begin, level));
        struct tg_list *node;
        while ((node = tg_list_pop(slot)) != NULL) {
            if (level == 0) {
                tg_list_append(expired, node);
            } else {
                place(wheel, TG_CONTAINER(node, struct tg_timer, node));
            }
        }
    }
    wheel->now = now_ms > wheel->now ? now_ms : wheel->now;
}

uint64_t tg_wheel_next(struct tg_wheel *wheel)
{
    unsigned level;
    uint64_t begin;
    return earliest(wheel, &level, &begin) != NULL ? begin : UINT64_MAX;
}
