#include "connmgr/seen.h"

/* Numbers of nodes are random; workers are few. */
static size_t place_of(struct tg_bus_address from)
{
    return (from.node + from.worker) % TG_SEEN_PLACES;
}

bool tg_seen_take(struct tg_seen *seen, struct tg_bus_address from, uint64_t correlation, int64_t expires_ms,
                  int64_t now_ms)
{
    struct tg_seen_mark *mark = &seen->marks[place_of(from)];
    bool known =
        mark->from.node == from.node && mark->from.worker == from.worker && mark->expires_ms > now_ms;
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
