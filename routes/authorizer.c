#include "routes/authorizer.h"

enum tg_err tg_authorize(struct tg_request *request, struct tg_conn_info *info)
{
    (void)info;
    if (request->route->authorization_type == TG_AUTH_NONE) {
        return TG_OK;
    }
    return tg_request_fail(request, TG_FAULT_AUTHORIZER, TG_LIT("authorisation type not supported"));
}
