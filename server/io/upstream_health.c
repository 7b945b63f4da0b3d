#include "server/io/upstream_health.h"

enum tg_target_state tg_health_state(const struct tg_health *health)
{
    return health->failing                ? TG_TARGET_FAILING
           : health->ejected_until_ms > 0 ? TG_TARGET_EJECTED
           : health->trial                ? TG_TARGET_TRIAL
                                          : TG_TARGET_HEALTHY;
}

enum tg_err tg_health_reason(const struct tg_health *health)
{
    return health->failing ? health->check_err : health->call_err;
}

const char *tg_target_state_text(enum tg_target_state state)
{
    static const char *const texts[] = {"healthy", "trial", "ejected", "failing"};
    return texts[state];
}

bool tg_health_look(struct tg_health *health, uint64_t now_ms)
{
    if (health->ejected_until_ms == 0 || now_ms < health->ejected_until_ms) {
        return false;
    }
    health->ejected_until_ms = 0;
    health->trial = true;
    return !health->failing;
}

/* An answer during the ejection is one to a call from before, or to one made for want of a better target: it
 * shortens nothing. */
bool tg_health_call_answered(struct tg_health *health)
{
    bool changed = health->trial && !health->failing;
    health->calls_bad = 0;
    if (health->trial) {
        health->trial = false;
        health->ejected_in_row = 0;
        health->call_err = TG_OK;
    }
    return changed;
}

static uint64_t ejection_ms(const struct tg_health *health, const struct tg_health_policy *policy)
{
    uint64_t time = policy->eject_ms > 0 ? policy->eject_ms : 1;
    for (unsigned i = 0; i < health->ejected_in_row && time < policy->eject_max_ms; i++) {
        time = time < policy->eject_max_ms / 2 ? time * 2 : policy->eject_max_ms;
    }
    return time;
}

bool tg_health_call_failed(struct tg_health *health, const struct tg_health_policy *policy, uint64_t now_ms,
                           enum tg_err err)
{
    if (health->ejected_until_ms > 0 || policy->eject_after == 0) {
        return false;
    }
    health->calls_bad++;
    if (!health->trial && health->calls_bad < policy->eject_after) {
        return false;
    }
    health->ejected_until_ms = now_ms + ejection_ms(health, policy);
    health->ejected_in_row++;
    health->calls_bad = 0;
    health->trial = false;
    health->call_err = err;
    return !health->failing;
}

/* Who passes its checks again has been mended: what calls met before that is void. */
static void forgive(struct tg_health *health)
{
    *health = (struct tg_health){.checks_good = health->checks_good};
}

bool tg_health_check_good(struct tg_health *health, const struct tg_health_policy *policy)
{
    health->checks_bad = 0;
    if (health->checks_good < policy->healthy_threshold) {
        health->checks_good++;
    }
    if (!health->failing || health->checks_good < policy->healthy_threshold) {
        return false;
    }
    forgive(health);
    return true;
}

bool tg_health_check_bad(struct tg_health *health, const struct tg_health_policy *policy, enum tg_err err)
{
    health->checks_good = 0;
    if (health->checks_bad < policy->unhealthy_threshold) {
        health->checks_bad++;
    }
    health->check_err = err;
    if (health->failing || health->checks_bad < policy->unhealthy_threshold) {
        return false;
    }
    health->failing = true;
    return true;
}

bool tg_health_unchecked(struct tg_health *health)
{
    bool changed = health->failing;
    health->failing = false;
    health->checks_good = 0;
    health->checks_bad = 0;
    return changed;
}
