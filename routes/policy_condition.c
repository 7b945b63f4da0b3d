#include "routes/policy_condition.h"

#include "routes/glob.h"

enum kind { STRING, STRING_NOCASE, STRING_LIKE, NUMBER, DATE, BOOL, NETWORK, ARN, ABSENCE };
enum relation { EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL };
enum quantifier { PLAIN, ANY_VALUE, ALL_VALUES };

struct operation {
    struct tg_slice name;
    enum kind kind;
    enum relation relation;
    bool negated;
};

static const struct operation operations[] = {
    {TG_LIT_INIT("StringEquals"), STRING, EQUAL, false},
    {TG_LIT_INIT("StringNotEquals"), STRING, EQUAL, true},
    {TG_LIT_INIT("StringEqualsIgnoreCase"), STRING_NOCASE, EQUAL, false},
    {TG_LIT_INIT("StringNotEqualsIgnoreCase"), STRING_NOCASE, EQUAL, true},
    {TG_LIT_INIT("StringLike"), STRING_LIKE, EQUAL, false},
    {TG_LIT_INIT("StringNotLike"), STRING_LIKE, EQUAL, true},
    {TG_LIT_INIT("NumericEquals"), NUMBER, EQUAL, false},
    {TG_LIT_INIT("NumericNotEquals"), NUMBER, EQUAL, true},
    {TG_LIT_INIT("NumericLessThan"), NUMBER, LESS, false},
    {TG_LIT_INIT("NumericLessThanEquals"), NUMBER, LESS_EQUAL, false},
    {TG_LIT_INIT("NumericGreaterThan"), NUMBER, GREATER, false},
    {TG_LIT_INIT("NumericGreaterThanEquals"), NUMBER, GREATER_EQUAL, false},
    {TG_LIT_INIT("DateEquals"), DATE, EQUAL, false},
    {TG_LIT_INIT("DateNotEquals"), DATE, EQUAL, true},
    {TG_LIT_INIT("DateLessThan"), DATE, LESS, false},
    {TG_LIT_INIT("DateLessThanEquals"), DATE, LESS_EQUAL, false},
    {TG_LIT_INIT("DateGreaterThan"), DATE, GREATER, false},
    {TG_LIT_INIT("DateGreaterThanEquals"), DATE, GREATER_EQUAL, false},
    {TG_LIT_INIT("Bool"), BOOL, EQUAL, false},
    {TG_LIT_INIT("IpAddress"), NETWORK, EQUAL, false},
    {TG_LIT_INIT("NotIpAddress"), NETWORK, EQUAL, true},
    {TG_LIT_INIT("ArnEquals"), ARN, EQUAL, false},
    {TG_LIT_INIT("ArnNotEquals"), ARN, EQUAL, true},
    {TG_LIT_INIT("ArnLike"), ARN, EQUAL, false},
    {TG_LIT_INIT("ArnNotLike"), ARN, EQUAL, true},
    {TG_LIT_INIT("Null"), ABSENCE, EQUAL, false},
};

struct tg_policy_condition {
    const struct operation *operation;
    enum quantifier quantifier;
    bool if_exists;
    struct tg_slice key;
    struct tg_policy_operand *operands;
    size_t operand_count;
};

static bool drop_prefix(struct tg_slice *text, struct tg_slice prefix)
{
    bool found = tg_slice_starts(*text, prefix);
    *text = tg_slice_from(*text, found ? prefix.len : 0);
    return found;
}

/* `ForAnyValue:StringLikeIfExists` and the like. */
static bool read_operator(struct tg_slice name, struct tg_policy_condition *out)
{
    out->quantifier = drop_prefix(&name, TG_LIT("ForAnyValue:"))    ? ANY_VALUE
                      : drop_prefix(&name, TG_LIT("ForAllValues:")) ? ALL_VALUES
                                                                    : PLAIN;
    out->if_exists = tg_slice_ends(name, TG_LIT("IfExists"));
    name.len -= out->if_exists ? TG_LIT("IfExists").len : 0;
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (tg_slice_eq(operations[i].name, name)) {
            out->operation = &operations[i];
            /* That a key exists is what Null asks. */
            return operations[i].kind != ABSENCE || (!out->if_exists && out->quantifier == PLAIN);
        }
    }
    return false;
}

static bool read_operand(enum kind kind, struct tg_slice text, struct tg_policy_operand *out)
{
    *out = (struct tg_policy_operand){.text = text};
    switch (kind) {
    case NUMBER:
        return tg_policy_read_number(text, out);
    case DATE:
        return tg_policy_read_date(text, out);
    case BOOL:
    case ABSENCE:
        return tg_policy_read_bool(text, out);
    case NETWORK:
        return tg_policy_read_network(text, out);
    default:
        return true;
    }
}

static enum tg_err compile_operand(struct tg_arena *arena, enum kind kind, const struct tg_json *value,
                                   struct tg_policy_operand *out, const char **why)
{
    struct tg_slice text;
    enum tg_json_type type = tg_json_type(value);
    if (type == TG_JSON_NULL || type == TG_JSON_ARRAY || type == TG_JSON_OBJECT) {
        *why = "a condition value must be a string, a number or a boolean";
        return TG_ESYNTAX;
    }
    enum tg_err err = tg_json_stringify(arena, value, &text);
    if (err != TG_OK) {
        return err;
    }
    if (tg_slice_find_slice(text, TG_LIT("${")) < text.len) {
        *why = "policy variables are not supported";
        return TG_ESYNTAX;
    }
    if (!read_operand(kind, text, out)) {
        *why = "a condition value is not of the operator's type";
        return TG_ESYNTAX;
    }
    return TG_OK;
}

static enum tg_err compile_operands(struct tg_arena *arena, const struct tg_json *value,
                                    struct tg_policy_condition *condition, const char **why)
{
    bool list = tg_json_type(value) == TG_JSON_ARRAY;
    size_t count = list ? tg_json_count(value) : 1;
    if (count == 0) {
        *why = "a condition must have a value";
        return TG_ESYNTAX;
    }
    condition->operands = tg_arena_alloc(arena, count * sizeof *condition->operands);
    if (condition->operands == NULL) {
        return TG_ENOMEM;
    }
    condition->operand_count = count;
    for (size_t i = 0; i < count; i++) {
        enum tg_err err = compile_operand(arena, condition->operation->kind,
                                          list ? tg_json_at(value, i) : value, &condition->operands[i], why);
        if (err != TG_OK) {
            return err;
        }
    }
    return TG_OK;
}

struct compiling {
    struct tg_arena *arena;
    struct tg_policy_conditions *out;
    struct tg_policy_condition condition; /* operator of the block in work */
    const char **why;
    enum tg_err err;
};

static bool compile_key(void *arg, struct tg_slice key, const struct tg_json *value)
{
    struct compiling *compiling = arg;
    struct tg_policy_condition *condition = &compiling->out->items[compiling->out->count++];
    *condition = compiling->condition;
    condition->key = key;
    compiling->err = compile_operands(compiling->arena, value, condition, compiling->why);
    return compiling->err == TG_OK;
}

static bool compile_operator(void *arg, struct tg_slice name, const struct tg_json *keys)
{
    struct compiling *compiling = arg;
    compiling->err = TG_ESYNTAX;
    if (!read_operator(name, &compiling->condition)) {
        *compiling->why = "unknown condition operator";
        return false;
    }
    if (tg_json_type(keys) != TG_JSON_OBJECT || tg_json_count(keys) == 0) {
        *compiling->why = "a condition operator must hold an object of keys";
        return false;
    }
    tg_json_each(keys, compile_key, compiling);
    return compiling->err == TG_OK;
}

static bool count_keys(void *arg, struct tg_slice name, const struct tg_json *keys)
{
    (void)name;
    *(size_t *)arg += tg_json_count(keys);
    return true;
}

enum tg_err tg_policy_conditions_compile(struct tg_arena *arena, const struct tg_json *block,
                                         struct tg_policy_conditions *out, const char **why)
{
    struct tg_policy_conditions conditions = {.count = 0};
    struct compiling compiling = {.arena = arena, .out = &conditions, .why = why, .err = TG_OK};
    size_t count = 0;
    if (block != NULL && tg_json_type(block) != TG_JSON_OBJECT) {
        *why = "Condition must be an object";
        return TG_ESYNTAX;
    }
    tg_json_each(block, count_keys, &count);
    conditions.items = count > 0 ? tg_arena_alloc(arena, count * sizeof *conditions.items) : NULL;
    if (count > 0 && conditions.items == NULL) {
        return TG_ENOMEM;
    }
    tg_json_each(block, compile_operator, &compiling);
    if (compiling.err == TG_OK) {
        *out = conditions;
    }
    return compiling.err;
}

static bool compare(enum relation relation, double left, double right)
{
    switch (relation) {
    case LESS:
        return left < right;
    case LESS_EQUAL:
        return left <= right;
    case GREATER:
        return left > right;
    case GREATER_EQUAL:
        return left >= right;
    default:
        return left == right;
    }
}

static bool network_holds(const struct tg_policy_operand *network, const struct tg_policy_operand *address)
{
    return address->network.bits == 128 && tg_network_holds(&network->network, &address->network);
}

/* Each of the six parts by itself; colons in the last one are part of it. */
static bool arn_matches(struct tg_slice pattern, struct tg_slice text)
{
    for (int i = 0; i < 5; i++) {
        if (!tg_glob_match(tg_slice_cut(pattern, ':', &pattern), tg_slice_cut(text, ':', &text), false)) {
            return false;
        }
        if (pattern.ptr == NULL || text.ptr == NULL) {
            return false;
        }
    }
    return tg_glob_match(pattern, text, false);
}

static bool operand_matches(const struct operation *operation, const struct tg_policy_operand *wanted,
                            const struct tg_policy_operand *actual)
{
    switch (operation->kind) {
    case STRING:
        return tg_slice_eq(wanted->text, actual->text);
    case STRING_NOCASE:
        return tg_slice_eq_nocase(wanted->text, actual->text);
    case STRING_LIKE:
        return tg_glob_match(wanted->text, actual->text, false);
    case NETWORK:
        return network_holds(wanted, actual);
    case ARN:
        return arn_matches(wanted->text, actual->text);
    default:
        return compare(operation->relation, actual->number, wanted->number);
    }
}

/* Whether one of the policy's values matches the request's. */
static bool value_matches(const struct tg_policy_condition *condition, struct tg_slice text)
{
    struct tg_policy_operand actual;
    if (!read_operand(condition->operation->kind, text, &actual)) {
        return false;
    }
    for (size_t i = 0; i < condition->operand_count; i++) {
        if (operand_matches(condition->operation, &condition->operands[i], &actual)) {
            return true;
        }
    }
    return false;
}

static bool absence_holds(const struct tg_policy_condition *condition, bool exists)
{
    for (size_t i = 0; i < condition->operand_count; i++) {
        if ((condition->operands[i].number != 0) != exists) {
            return true;
        }
    }
    return false;
}

static bool condition_holds(const struct tg_policy_condition *condition, tg_policy_key_fn *key, void *arg)
{
    bool negated = condition->operation->negated, any = false, all = true;
    size_t count = 0;
    struct tg_slice text = TG_EMPTY;
    if (condition->operation->kind == ABSENCE) {
        return absence_holds(condition, key != NULL && key(arg, condition->key, 0, &text));
    }
    while (key != NULL && key(arg, condition->key, count, &text)) {
        bool satisfied = value_matches(condition, text) != negated;
        any = any || satisfied;
        all = all && satisfied;
        count++;
    }
    switch (condition->quantifier) {
    case ANY_VALUE:
        return count > 0 ? any : condition->if_exists;
    case ALL_VALUES:
        return all;
    default:
        return count > 0 ? (negated ? all : any) : negated || condition->if_exists;
    }
}

bool tg_policy_conditions_hold(const struct tg_policy_conditions *conditions, tg_policy_key_fn *key,
                               void *arg)
{
    for (size_t i = 0; i < conditions->count; i++) {
        if (!condition_holds(&conditions->items[i], key, arg)) {
            return false;
        }
    }
    return true;
}
