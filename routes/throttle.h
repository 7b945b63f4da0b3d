/* Token buckets (spec 6.3): rate tokens a second, at most burst of them. Counted per node: several workers
 * share a bucket through atomics. Rate 0 or burst 0 blocks. Buckets live in a set that survives reloads;
 * their settings follow it. */
#ifndef TG_ROUTES_THROTTLE_H
#define TG_ROUTES_THROTTLE_H

#include <stdatomic.h>

#include "routes/model.h"

struct tg_throttle_bucket;
struct tg_throttles; /* the process's: shared by all workers, made and freed by the app */

/* shared: more than one thread takes units. */
enum tg_err tg_throttles_new(bool shared, struct tg_throttles **out) TG_MUST_CHECK;
void tg_throttles_free(struct tg_throttles *throttles);

/* One unit from the account's connection bucket (a handshake), or from its request bucket (a message, a
 * management call, a handshake too). False: throttled. now_ms: monotonic. */
bool tg_throttle_connection(struct tg_throttles *throttles, const struct tg_model *model, uint64_t now_ms);
bool tg_throttle_account(struct tg_throttles *throttles, const struct tg_model *model, uint64_t now_ms);
/* A bucket with its settings: what a worker keeps so that it need not look for them. Lives as long as the
 * throttles. */
struct tg_throttle_limit {
    struct tg_throttle_bucket *bucket; /* NULL: no limit */
    uint64_t cost, depth;              /* of a unit, of all that the bucket holds, in ns */
    bool shared;                       /* as given to tg_throttles_new */
    bool blocks;                       /* nothing passes */
    bool unknown;                      /* there was no memory for the bucket: nothing to keep */
};
/* Of the account's requests; of a route in a stage, by the settings of tg_stage_route_settings. */
struct tg_throttle_limit tg_throttle_account_limit(struct tg_throttles *throttles,
                                                   const struct tg_model *model);
struct tg_throttle_limit tg_throttle_route_limit(struct tg_throttles *throttles, const struct tg_api *api,
                                                 const struct tg_stage *stage, const struct tg_route *route);
/* One unit. */
bool tg_throttle_take(const struct tg_throttle_limit *limit, uint64_t now_ms);
/* One unit from the bucket of a route in a stage, by the settings of tg_stage_route_settings; unset: no
 * limit. */
bool tg_throttle_route(struct tg_throttles *throttles, const struct tg_api *api, const struct tg_stage *stage,
                       const struct tg_route *route, uint64_t now_ms);

#endif
