/* Authorisation of $connect (spec 1.7, section 7): NONE, AWS_IAM, CUSTOM (function or HTTP). One phase of the
 * pipeline. */
#ifndef TG_ROUTES_AUTHORIZER_H
#define TG_ROUTES_AUTHORIZER_H

#include "routes/request.h"

/* The phase: TG_OK authorised; TG_EAGAIN asking; otherwise the fault of 7.5 is set. Fills request->info's
 * authorizer map (info is the handshake's own, writable through the cast-free pointer given to tg_authorize).
 */
enum tg_err tg_authorize(struct tg_request *request, struct tg_conn_info *info) TG_MUST_CHECK;
/* Identity sources of 7.4 as the configuration check needs it: NULL when the text is one, else what is wrong.
 */
const char *tg_identity_source_check(struct tg_slice source);

#endif
