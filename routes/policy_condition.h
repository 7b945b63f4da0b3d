/* The Condition block of a policy statement. Private to routes/policy*.c. */
#ifndef TG_ROUTES_POLICY_CONDITION_H
#define TG_ROUTES_POLICY_CONDITION_H

#include "routes/policy.h"
#include "server/io/network.h"

struct tg_policy_condition;

struct tg_policy_conditions {
    struct tg_policy_condition *items;
    size_t count;
};

/* `block` is the value of Condition, or NULL. Errors as tg_policy_compile. */
enum tg_err tg_policy_conditions_compile(struct tg_arena *arena, const struct tg_json *block,
                                         struct tg_policy_conditions *out, const char **why) TG_MUST_CHECK;
/* Whether all of them hold. */
bool tg_policy_conditions_hold(const struct tg_policy_conditions *conditions, tg_policy_key_fn *key,
                               void *arg);

/* A value to compare with. What it holds beside the text depends on the kind of the operator. */
struct tg_policy_operand {
    struct tg_slice text;
    double number; /* numbers; dates as seconds since 1970; booleans as 0 and 1 */
    struct tg_network network;
};

/* Readers of operands: false when the text is none. */
bool tg_policy_read_number(struct tg_slice text, struct tg_policy_operand *out);
/* The W3C's profile of ISO 8601, its basic form, or seconds since 1970. */
bool tg_policy_read_date(struct tg_slice text, struct tg_policy_operand *out);
bool tg_policy_read_bool(struct tg_slice text, struct tg_policy_operand *out);
/* An IPv4 or IPv6 address, or a range `address/bits`. */
bool tg_policy_read_network(struct tg_slice text, struct tg_policy_operand *out);

#endif
