/* The variables of a request: $context.*, stage variables, headers, query, body, as routes/vars.h asks for
 * them. Serves parameter mapping, identity sources and access logs (spec 4.1, 7.4, 8.1). */
#ifndef TG_ROUTES_CONTEXT_H
#define TG_ROUTES_CONTEXT_H

#include "routes/request.h"
#include "routes/vars.h"

/* The look-up over a request; values live as long as the request. */
struct tg_vars tg_request_vars(struct tg_request *request);

#endif
