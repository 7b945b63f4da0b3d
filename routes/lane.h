/* A lane: what a worker keeps of a route in a stage, so that a message need not look for it: where it is
 * counted, and what limits it; and of a host and a path, so that a management call need not. Lanes are of the
 * engine's current model alone, and made when they are first asked for; a table of few, where a newer one
 * takes the place of an older. Owned by the engine. */
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

/* What was found for a key that messages of a stage select: the route, or the default one. */
enum { TG_KEY_LANES = 256, TG_KEY_LANE_TEXT = 16 }; /* the first a power of two; bytes of a key */

struct tg_key_lane {
    struct tg_lane lane; /* a copy */
    uint64_t text[2];    /* the key */
    size_t len;
};

/* Where management calls go whose host and beginning of the path are these: what stands before the id. */
enum { TG_CALL_LANES = 16, TG_CALL_LANE_TEXT = 112 };

struct tg_call_lane {
    const struct tg_api *api;
    const struct tg_stage *stage;    /* NULL: the API has none of the name that the path has */
    bool has_stage;                  /* in the path */
    bool nowhere;                    /* no path begins so: two stages, or the API has none at all */
    bool is_batch;                   /* of batch calls; such a lane is not kept */
    struct tg_route_metrics *series; /* of POST; NULL: not looked for yet */
    /* For the look-up: the host, and behind it the beginning of the path. */
    size_t host_len, path_len; /* path_len 0: not in use */
    char text[TG_CALL_LANE_TEXT];
};

struct tg_lanes {
    const struct tg_model *model; /* NULL: of none yet */
    struct tg_throttle_limit account;
    struct tg_lane table[TG_LANES];
    struct tg_key_lane keys[TG_KEY_LANES];
    struct tg_call_lane calls[TG_CALL_LANES];
};

/* Another model is about to come: its memory may be that of an earlier one. */
void tg_lanes_forget(struct tg_lanes *lanes);
/* Of a stage of the engine's model; route NULL: of none. Valid until the next call. */
const struct tg_lane *tg_lane_at(struct tg_engine *engine, const struct tg_api *api,
                                 const struct tg_stage *stage, const struct tg_route *route);
/* Of the messages whose route selection expression yields the key. Valid until the next call. */
const struct tg_lane *tg_lane_of_key(struct tg_engine *engine, const struct tg_api *api,
                                     const struct tg_stage *stage, struct tg_slice key);
/* Of a request whose route is known, or known to be none. NULL: it began on an older model. */
const struct tg_lane *tg_lane_of(const struct tg_request *request);
/* The lane of a call that was kept; *id is what follows in the path. NULL: none fits. Valid until the next
 * look-up; only `series` is the caller's to set. */
struct tg_call_lane *tg_lane_of_call(struct tg_engine *engine, struct tg_slice host, struct tg_slice path,
                                     struct tg_slice *id);
/* Keeps the lane for calls to that host whose paths begin so. Where it cannot be kept, for the length of its
 * texts or for leading nowhere, the lane given is returned. */
struct tg_call_lane *tg_lane_keep_call(struct tg_engine *engine, struct tg_slice host, struct tg_slice before,
                                       struct tg_call_lane *lane);
/* The limit of all requests of the account. */
const struct tg_throttle_limit *tg_lane_account(struct tg_engine *engine);

#endif
