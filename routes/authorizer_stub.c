#include "routes/authorizer.h"

/* Until authorisers are there: a route that wants one refuses. */
__attribute__((weak)) enum tg_err tg_authorize(struct tg_request *request, struct tg_conn_info *info)
{
    (void)info;
    if (request->route->authorization_type == TG_AUTH_NONE) {
        return TG_OK;
    }
    return tg_request_fail(request, TG_FAULT_CONFIGURATION, TG_LIT("authorisers are not there yet"));
}
