#include "connmgr/seen.h"

/* Numbers of nodes are random; workers are few. */
static size_t place_of(struct tg_bus_address from)
{
    return (from.node + from.worker) % TG_SEEN_PLACES;
}

static bool is_of(const struct tg_seen_mark *mark, struct tg_bus_address from, int64_t now_ms)
{
    return mark->from.node == from.node && mark->from.worker == from.worker && mark->expires_ms > now_ms;
}

/* The asker's, or else the one that expires first. */
static struct tg_seen_mark *mark_of(struct tg_seen *seen, struct tg_bus_address from, int64_t now_ms)
{
    struct tg_seen_mark *marks = seen->marks[place_of(from)], *found = &marks[0];
    for (size_t i = 0; i < TG_SEEN_WAYS && !is_of(found, from, now_ms); i++) {
        if (is_of(&marks[i], from, now_ms) || marks[i].expires_ms < found->expires_ms) {
            found = &marks[i];
        }
    }
    return found;
}

bool tg_seen_take(struct tg_seen *seen, struct tg_bus_address from, uint64_t correlation, int64_t expires_ms,
                  int64_t now_ms)
{
    struct tg_seen_mark *mark = mark_of(seen, from, now_ms);
    bool known = is_of(mark, from, now_ms);
    if (known && correlation <= mark->correlation) {
        return false;
    }
    *mark = (struct tg_seen_mark){
        .from = from,
        .correlation = correlation,
        .expires_ms = known && mark->expires_ms > expires_ms ? mark->expires_ms : expires_ms,
    };
    return true;
}
