/* The management API (spec section 5): POST, GET and DELETE of /{stage}/@connections/{connectionId}, with
 * signatures, policies, and every status of 5.3. Beyond the native service, where it is configured (5.2):
 * POST of /{stage}/@tidegate/connections, a batch call, which sends one message to many connections. */
#ifndef TG_ROUTES_MANAGEMENT_H
#define TG_ROUTES_MANAGEMENT_H

#include "routes/engine.h"
#include "routes/exchange.h"

/* Whether the path is that of a management call on this API: `/{stage}/@connections/{id}` (also
 * %40connections), or without the stage when the API is served at its root. Gives the raw (still encoded)
 * parts. Paths of a wrong shape (a stage named twice, no id) are taken too: they are answered with 404. */
bool tg_management_match(const struct tg_api *api, struct tg_slice path, struct tg_slice *stage,
                         struct tg_slice *id);
/* Likewise of a batch call: `/{stage}/@tidegate/connections` (also %40tidegate) and nothing behind it. */
bool tg_management_match_batch(const struct tg_api *api, struct tg_slice path, struct tg_slice *stage);
/* Where the calls go whose paths name this stage, which may be unknown, or empty: the API's first. */
struct tg_call_lane tg_management_lane(const struct tg_api *api, struct tg_slice stage);
/* Takes the exchange. The lane need not outlive the call. One that is_batch has no id, and takes a
 * management.batchMaxConnections above 0. */
void tg_management_serve(struct tg_engine *engine, struct tg_call_lane *lane, struct tg_slice id,
                         struct tg_exchange *exchange);
/* Does the pushes of engine->pushes. */
void tg_management_push_all(struct tg_task *task);
/* Cancels what is under way of every call and answers them: the shutdown deadline has passed. */
void tg_management_abort(struct tg_engine *engine);

#endif
