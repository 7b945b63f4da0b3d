/* Integrations by kind, one row of functions each in a visible table (integration.c): what calls the back end
 * and fills request->answer. */
#ifndef TG_ROUTES_INTEGRATION_H
#define TG_ROUTES_INTEGRATION_H

#include "routes/request.h"

struct tg_integration_ops {
    enum tg_integration_type type;
    tg_phase_fn *start;
};

/* The phase: calls the route's integration. TG_OK: answered at once (MOCK). */
enum tg_err tg_integrate(struct tg_request *request) TG_MUST_CHECK;
/* Whether this version can run the kind (the configuration check refuses others). */
bool tg_integration_supported(enum tg_integration_type type);

extern const struct tg_integration_ops tg_integration_http_proxy;
extern const struct tg_integration_ops tg_integration_lambda_proxy;
extern const struct tg_integration_ops tg_integration_mock;

#endif
