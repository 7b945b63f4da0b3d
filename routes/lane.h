/* A lane: what a worker keeps of a route in a stage, so that a message need not look for it: where it is
 * counted, and what limits it. Lanes are of the engine's current model alone, and made when they are first
 * asked for; a table of few, where a newer one takes the place of an older. Owned by the engine. */
#ifndef TG_ROUTES_LANE_H
#define TG_ROUTES_LANE_H

#include "routes/metrics.h"
#include "routes/mock.h"
#include "routes/throttle.h"

struct tg_engine;
struct tg_request;

enum { TG_LANES = 256 }; /* a power of two */

struct tg_lane {
    const struct tg_stage *stage;    /* NULL: not in use */
    const struct tg_route *route;    /* NULL: of the messages that no route takes */
    struct tg_route_metrics *series; /* NULL: of an HTTP API */
    struct tg_throttle_limit limit;
    enum tg_mock_constant answer; /* VARIES too where an access log wants to know of the request */
    struct tg_slice text;         /* of TG_MOCK_TEXT */
};

struct tg_lanes {
    const struct tg_model *model; /* NULL: of none yet */
    struct tg_throttle_limit account;
    struct tg_lane table[TG_LANES];
};

/* Another model is about to come: its memory may be that of an earlier one. */
void tg_lanes_forget(struct tg_lanes *lanes);
/* Of a stage of the engine's model; route NULL: of none. Valid until the next call. */
const struct tg_lane *tg_lane_at(struct tg_engine *engine, const struct tg_api *api,
                                 const struct tg_stage *stage, const struct tg_route *route);
/* Of a request whose route is known, or known to be none. NULL: it began on an older model. */
const struct tg_lane *tg_lane_of(const struct tg_request *request);
/* The limit of all requests of the account. */
const struct tg_throttle_limit *tg_lane_account(struct tg_engine *engine);

#endif
