#include "routes/integration.h"

static const struct tg_integration_ops *const kinds[] = {
    [TG_INTEGRATION_HTTP_PROXY] = &tg_integration_http_proxy,
    [TG_INTEGRATION_AWS_PROXY] = &tg_integration_lambda_proxy,
    [TG_INTEGRATION_MOCK] = &tg_integration_mock,
    [TG_INTEGRATION_STATIC] = &tg_integration_static,
};

static const struct tg_integration_ops *find(enum tg_integration_type type)
{
    return (size_t)type < sizeof kinds / sizeof kinds[0] ? kinds[type] : NULL;
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
