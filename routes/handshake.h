/* The WebSocket handshake (spec 1.2): checks the upgrade request, runs the $connect pipeline while the client
 * waits, then either opens the connection or refuses with the outcome's status, headers and body. */
#ifndef TG_ROUTES_HANDSHAKE_H
#define TG_ROUTES_HANDSHAKE_H

#include "routes/engine.h"
#include "routes/exchange.h"

/* Whether the request asks for a WebSocket at all (an Upgrade field that names it). */
bool tg_handshake_wanted(const struct tg_exchange *exchange);
/* Takes the exchange, which tg_handshake_check has passed. */
void tg_handshake_serve(struct tg_engine *engine, const struct tg_api *api, const struct tg_stage *stage,
                        struct tg_exchange *exchange);
/* RFC 6455 section 4.2.1. 0, or the status of the refusal (400, 426) with *message. */
int tg_handshake_check(const struct tg_exchange *exchange, struct tg_slice *message);

#endif
