/* The kinds of authorisation: the parts of routes/authorizer.c that see each other. */
#ifndef TG_ROUTES_AUTHORIZER_PRIVATE_H
#define TG_ROUTES_AUTHORIZER_PRIVATE_H

#include "routes/authorizer.h"

tg_phase_fn authorize_iam;
/* Whether the policy lets the request's client connect: execute-api:Invoke on the ARN of $connect. */
enum tg_err authorize_by_policy(struct tg_request *request, const struct tg_policy *policy,
                                struct tg_slice principal_arn, enum tg_policy_decision *out) TG_MUST_CHECK;

#endif
