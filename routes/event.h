/* The JSON events that functions and authorisers receive (spec 3.1-3.4, 7.2), member for member in the
 * recorded order. Strings that are not valid UTF-8 are repaired. */
#ifndef TG_ROUTES_EVENT_H
#define TG_ROUTES_EVENT_H

#include "routes/request.h"

/* CONNECT, MESSAGE or DISCONNECT, by the request's kind. */
enum tg_err tg_event_write(struct tg_request *request, struct tg_buf *out) TG_MUST_CHECK;
/* The authoriser's event for a CONNECT request. */
enum tg_err tg_event_write_authorizer(struct tg_request *request, struct tg_buf *out) TG_MUST_CHECK;
typedef enum tg_err tg_event_fn(struct tg_request *request, struct tg_buf *out);
/* The event of one of the two as text that lives as long as the request. TG_ELIMIT past `limit` bytes. */
enum tg_err tg_event_make(struct tg_request *request, tg_event_fn *write, size_t limit,
                          struct tg_slice *out) TG_MUST_CHECK;
/* arn:aws:execute-api:{region}:{account}:{apiId}/{stage}/{routeKey} */
enum tg_err tg_event_method_arn(struct tg_request *request, struct tg_slice *out) TG_MUST_CHECK;

#endif
