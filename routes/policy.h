/* IAM policy documents (spec websocket-api.md 5.4, 7.3; http-api.md 3.2): compiled once, immutable, evaluated
 * many times. Identity-based policies: Principal and policy variables (`${...}`) are refused rather than
 * passed over, and so is every member, operator and version that IAM does not know. Knows no resource but the
 * strings it is given. */
#ifndef TG_ROUTES_POLICY_H
#define TG_ROUTES_POLICY_H

#include "server/base/codec.h"
#include "server/base/json.h"

struct tg_policy; /* private */

enum tg_policy_decision {
    TG_POLICY_DENY, /* no statement applies */
    TG_POLICY_ALLOW,
    TG_POLICY_EXPLICIT_DENY /* a Deny statement applies; wins over every Allow */
};

/* The index-th value of a condition key, such as `aws:SourceIp` (names ignore case); false when there are no
 * more. The value is borrowed until the next call. */
typedef bool tg_policy_key_fn(void *arg, struct tg_slice key, size_t index, struct tg_slice *out);

/* TG_ESYNTAX: not a policy, *why says why (static text); TG_ENOMEM. The strings of the document are borrowed:
 * it must live as long as the policy, which lives in the arena. An empty list of statements is a policy that
 * allows nothing. */
enum tg_err tg_policy_compile(struct tg_arena *arena, const struct tg_json *document,
                              const struct tg_policy **out, const char **why) TG_MUST_CHECK;

/* Names of one resource are given as candidates: Resource applies when any of them matches, NotResource when
 * none does. policy may be NULL: nothing is allowed; key may be NULL: no key has a value. Allocates nothing.
 */
enum tg_policy_decision tg_policy_evaluate(const struct tg_policy *policy, struct tg_slice action,
                                           const struct tg_slice *resources, size_t resource_count,
                                           tg_policy_key_fn *key, void *arg);

/* What a request says about itself, for tg_policy_request_key: aws:SourceIp, aws:UserAgent, aws:Referer,
 * aws:SecureTransport, aws:CurrentTime, aws:EpochTime, aws:username, aws:PrincipalArn. Empty slices: absent.
 */
struct tg_policy_request {
    struct tg_slice source_ip, user_agent, referer, user_name, principal_arn;
    bool secure;
    int64_t now_ms;
    char time_text[TG_TIME_TEXT_MAX]; /* room for the answer */
};
/* A tg_policy_key_fn whose argument is a struct tg_policy_request. */
bool tg_policy_request_key(void *request, struct tg_slice key, size_t index, struct tg_slice *out);

#endif
