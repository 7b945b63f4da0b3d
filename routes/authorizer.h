/* Authorisation of $connect (spec 1.7, section 7): NONE, AWS_IAM, CUSTOM (function or HTTP). One phase of the
 * pipeline. Nothing is cached: the same identity is asked about each time. */
#ifndef TG_ROUTES_AUTHORIZER_H
#define TG_ROUTES_AUTHORIZER_H

#include "routes/policy.h"
#include "routes/request.h"

enum { TG_AUTHORIZER_RESULT_MAX = 8192 };

/* The phase: TG_OK authorised; TG_EAGAIN asking; otherwise the fault of 7.5 is set. Fills the authorizer map
 * of request->handshake_info. */
enum tg_err tg_authorize(struct tg_request *request) TG_MUST_CHECK;

/* What an authoriser said (7.3). */
struct tg_authorizer_result {
    const struct tg_policy *policy;
    struct tg_string_map context; /* the members of its context in order, then principalId; stringified */
};

/* Everything lives in the arena. TG_ESYNTAX: malformed, TG_ELIMIT: longer than TG_AUTHORIZER_RESULT_MAX, both
 * with *detail for the log; TG_ENOMEM. */
enum tg_err tg_authorizer_read_result(struct tg_arena *arena, struct tg_slice payload,
                                      struct tg_authorizer_result *out,
                                      struct tg_slice *detail) TG_MUST_CHECK;

#endif
