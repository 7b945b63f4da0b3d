/* Which questions of other nodes a worker has taken: so that none is taken twice, or after a later one of
 * the same asker. Of each asker the last is remembered until it has expired; what would be taken again then
 * has expired itself. A place in the table has room for TG_SEEN_WAYS askers: where more share one, that asker
 * is forgotten whose mark expires first. */
#ifndef TG_CONNMGR_SEEN_H
#define TG_CONNMGR_SEEN_H

#include "connmgr/bus.h"

enum { TG_SEEN_PLACES = 1024, TG_SEEN_WAYS = 4 };

struct tg_seen {
    struct tg_seen_mark {
        struct tg_bus_address from;
        uint64_t correlation;
        int64_t expires_ms; /* of all up to it; 0: no mark */
    } marks[TG_SEEN_PLACES][TG_SEEN_WAYS];
};

/* Whether the question is a new one: an asker's numbers grow. Times by the clock of Redis. */
bool tg_seen_take(struct tg_seen *seen, struct tg_bus_address from, uint64_t correlation, int64_t expires_ms,
                  int64_t now_ms);

#endif
