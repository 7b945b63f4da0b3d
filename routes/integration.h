/* Integrations by kind, one row of functions each in a visible table (integration.c): what calls the back end
 * and fills request->answer. */
#ifndef TG_ROUTES_INTEGRATION_H
#define TG_ROUTES_INTEGRATION_H

#include "routes/request.h"

struct tg_integration_ops {
    enum tg_integration_type type;
    tg_phase_fn *start; /* of a WebSocket API; NULL: not there */
    tg_phase_fn *http;  /* of an HTTP API; NULL: not there */
};

/* The phase: calls the route's integration. TG_OK: answered at once (MOCK). */
enum tg_err tg_integrate(struct tg_request *request) TG_MUST_CHECK;
/* The same for a request of an HTTP API. */
enum tg_err tg_integrate_http(struct tg_request *request) TG_MUST_CHECK;
/* Whether this version can run the kind for APIs of the protocol (the configuration check refuses others). */
bool tg_integration_supported(enum tg_protocol_type protocol, enum tg_integration_type type);

extern const struct tg_integration_ops tg_integration_http_proxy;
extern const struct tg_integration_ops tg_integration_lambda_proxy;
extern const struct tg_integration_ops tg_integration_mock;
extern const struct tg_integration_ops tg_integration_static;

/* Their HTTP halves: http_forward.c, http_lambda.c. */
tg_phase_fn tg_http_forward, tg_http_invoke;

#endif
