#include "routes/integration.h"

static const struct tg_integration_ops *const kinds[] = {
    &tg_integration_http_proxy,
    &tg_integration_lambda_proxy,
    &tg_integration_mock,
    &tg_integration_static,
};

static const struct tg_integration_ops *find(enum tg_integration_type type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i]->type == type) {
            return kinds[i];
        }
    }
    return NULL;
}

enum tg_err tg_integrate(struct tg_request *request)
{
    const struct tg_integration_ops *ops = find(request->route->integration->integration_type);
    if (ops == NULL || ops->start == NULL) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION, TG_LIT("integration type not supported"));
    }
    return ops->start(request);
}

enum tg_err tg_integrate_http(struct tg_request *request)
{
    const struct tg_integration_ops *ops = find(request->route->integration->integration_type);
    if (ops == NULL || ops->http == NULL) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION, TG_LIT("integration type not supported"));
    }
    return ops->http(request);
}

bool tg_integration_supported(enum tg_protocol_type protocol, enum tg_integration_type type)
{
    const struct tg_integration_ops *ops = find(type);
    return ops != NULL && (protocol == TG_PROTOCOL_HTTP ? ops->http : ops->start) != NULL;
}
