/* Short answers of the gateway's own to HTTP requests. */
#ifndef TG_ROUTES_REPLY_H
#define TG_ROUTES_REPLY_H

#include "routes/exchange.h"

/* {"message":"..."} with Content-Type: application/json; 426 adds Upgrade and Sec-WebSocket-Version. Takes
 * the exchange. The message needs no escaping. */
void tg_reply_message(struct tg_exchange *exchange, int status, struct tg_slice message);
/* The same with x-amzn-ErrorType: clients derive the exception's class from it (spec 5.3). */
void tg_reply_error(struct tg_exchange *exchange, int status, struct tg_slice error_type,
                    struct tg_slice message);

#endif
