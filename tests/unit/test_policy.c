#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/policy.h"
#include "routes/policy_condition.h"

#define COUNT(rows)       (sizeof(rows) / sizeof(rows)[0])
#define API               "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5"
#define MANAGE            "execute-api:ManageConnections"
#define POLICY(statement) "{\"Version\":\"2012-10-17\",\"Statement\":" statement "}"
#define ALLOW(resource)                                                                                      \
    POLICY("{\"Effect\":\"Allow\",\"Action\":\"" MANAGE "\",\"Resource\":\"" resource "\"}")

/* Values of test:NAME keys; others come from the request. */
struct world {
    struct tg_policy_request request;
    const char *values[4]; /* of test:list */
};

static bool world_key(void *arg, struct tg_slice key, size_t index, struct tg_slice *out)
{
    struct world *world = arg;
    if (!tg_slice_eq_nocase(key, TG_LIT("test:list"))) {
        return tg_policy_request_key(&world->request, key, index, out);
    }
    if (index >= COUNT(world->values) || world->values[index] == NULL) {
        return false;
    }
    *out = tg_slice_cstr(world->values[index]);
    return true;
}

static const struct world usual = {
    .request = {.source_ip = {"203.0.113.9", 11},
                .user_agent = {"Mozilla/5.0", 11},
                .secure = true,
                .now_ms = 1767323045123},
};

static const struct tg_slice post_candidates[] = {
    TG_LIT_INIT(API "/prod/POST/@connections/{connectionId}"),
    TG_LIT_INIT(API "/prod/POST/@connections/L0SM9cOFvHcCIhw="),
};

static const struct tg_policy *compile(struct tg_arena *arena, const char *text)
{
    const struct tg_json *document;
    const struct tg_policy *policy = NULL;
    const char *why = "";
    assert_int_equal(tg_json_parse(arena, tg_slice_cstr(text), &document), TG_OK);
    if (tg_policy_compile(arena, document, &policy, &why) != TG_OK) {
        fail_msg("%s: %s", text, why);
    }
    return policy;
}

static enum tg_policy_decision decide_in(const struct world *world, const char *text, const char *action,
                                         const struct tg_slice *resources, size_t count)
{
    struct tg_arena arena;
    struct world copy = *world;
    tg_arena_init(&arena, NULL);
    enum tg_policy_decision decision =
        tg_policy_evaluate(compile(&arena, text), tg_slice_cstr(action), resources, count, world_key, &copy);
    tg_arena_reset(&arena);
    return decision;
}

static enum tg_policy_decision decide(const char *text)
{
    return decide_in(&usual, text, MANAGE, post_candidates, 2);
}

/* The table of spec websocket-api.md 5.4, strict (native) and with the real id. */
static void management_resources_match_as_the_native_ones(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        enum tg_policy_decision strict, both;
    } rows[] = {
        {ALLOW(API "/prod/POST/@connections/*"), TG_POLICY_ALLOW, TG_POLICY_ALLOW},
        {ALLOW(API "/*/@connections/*"), TG_POLICY_ALLOW, TG_POLICY_ALLOW},
        {ALLOW(API "/prod/*"), TG_POLICY_ALLOW, TG_POLICY_ALLOW},
        {ALLOW(API "/*"), TG_POLICY_ALLOW, TG_POLICY_ALLOW},
        {ALLOW("*"), TG_POLICY_ALLOW, TG_POLICY_ALLOW},
        {ALLOW(API "/prod/POST/@connections/{connectionId}"), TG_POLICY_ALLOW, TG_POLICY_ALLOW},
        {ALLOW(API "/prod/POST/@connections/L0SM9cOFvHcCIhw="), TG_POLICY_DENY, TG_POLICY_ALLOW},
        {ALLOW(API "/prod/POST/@connections/L0SM9cOFvHc?Ihw="), TG_POLICY_DENY, TG_POLICY_ALLOW},
        {ALLOW(API "/prod/POST/@connections"), TG_POLICY_DENY, TG_POLICY_DENY},
        {ALLOW(API "/prod/GET/@connections/*"), TG_POLICY_DENY, TG_POLICY_DENY},
        {ALLOW(API "/test/*"), TG_POLICY_DENY, TG_POLICY_DENY},
        {ALLOW(API "/PROD/*"), TG_POLICY_DENY, TG_POLICY_DENY},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(decide_in(&usual, rows[i].policy, MANAGE, post_candidates, 1), rows[i].strict);
        assert_int_equal(decide_in(&usual, rows[i].policy, MANAGE, post_candidates, 2), rows[i].both);
    }
}

static void actions_ignore_case(void **state)
{
    (void)state;
    static const struct {
        const char *action;
        bool allowed;
    } rows[] = {
        {"\"execute-api:ManageConnections\"", true},
        {"\"EXECUTE-API:manageconnections\"", true},
        {"\"execute-api:*\"", true},
        {"\"*\"", true},
        {"\"execute-api:Manage*\"", true},
        {"\"execute-api:?anageConnections\"", true},
        {"[\"s3:*\",\"execute-api:*Connections\"]", true},
        {"\"execute-api:Invoke\"", false},
        {"[\"s3:*\",\"execute-api:Invoke\"]", false},
        {"\"execute-api:ManageConnection\"", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_arena arena;
        struct tg_slice text;
        tg_arena_init(&arena, NULL);
        assert_int_equal(
            tg_arena_printf(&arena, &text,
                            POLICY("[{\"Effect\":\"Allow\",\"Action\":%s,\"Resource\":[\"*\"]}]"),
                            rows[i].action),
            TG_OK);
        assert_int_equal(decide(text.ptr), rows[i].allowed ? TG_POLICY_ALLOW : TG_POLICY_DENY);
        tg_arena_reset(&arena);
    }
}

#define ANY "\"Action\":\"*\",\"Resource\":\"*\"}"

static void deny_wins(void **state)
{
    (void)state;
    assert_int_equal(decide(POLICY("[{\"Effect\":\"Allow\"," ANY ",{\"Effect\":\"Deny\"," ANY "]")),
                     TG_POLICY_EXPLICIT_DENY);
    assert_int_equal(decide(POLICY("[{\"Effect\":\"Deny\"," ANY ",{\"Effect\":\"Allow\"," ANY "]")),
                     TG_POLICY_EXPLICIT_DENY);
    assert_int_equal(decide(POLICY("{\"Effect\":\"Deny\"," ANY)), TG_POLICY_EXPLICIT_DENY);
    assert_int_equal(decide(POLICY("[{\"Effect\":\"Deny\",\"Action\":\"s3:*\",\"Resource\":\"*\"},"
                                   "{\"Effect\":\"Allow\"," ANY "]")),
                     TG_POLICY_ALLOW);
    assert_int_equal(decide(POLICY("{\"Effect\":\"Deny\",\"Action\":\"s3:*\",\"Resource\":\"*\"}")),
                     TG_POLICY_DENY);
    assert_int_equal(decide(POLICY("[]")), TG_POLICY_DENY);
    assert_int_equal(tg_policy_evaluate(NULL, TG_LIT(MANAGE), post_candidates, 2, NULL, NULL),
                     TG_POLICY_DENY);
}

static void not_action_and_not_resource_invert(void **state)
{
    (void)state;
    assert_int_equal(decide(POLICY("{\"Effect\":\"Allow\",\"NotAction\":\"s3:*\",\"Resource\":\"*\"}")),
                     TG_POLICY_ALLOW);
    assert_int_equal(
        decide(
            POLICY("{\"Effect\":\"Allow\",\"NotAction\":[\"s3:*\",\"Execute-Api:*\"],\"Resource\":\"*\"}")),
        TG_POLICY_DENY);
    assert_int_equal(
        decide(POLICY("{\"Effect\":\"Allow\",\"Action\":\"*\",\"NotResource\":\"" API "/test/*\"}")),
        TG_POLICY_ALLOW);
    /* One of the names is listed: the resource is. */
    assert_int_equal(decide(POLICY("{\"Effect\":\"Allow\",\"Action\":\"*\",\"NotResource\":\"" API
                                   "/prod/POST/@connections/L0SM9cOFvHcCIhw=\"}")),
                     TG_POLICY_DENY);
}

static void the_authorizer_example_of_the_spec(void **state)
{
    (void)state;
    static const struct tg_slice connect = TG_LIT_INIT(API "/prod/$connect");
    static const struct tg_slice other = TG_LIT_INIT(API "/prod/send");
    const char *policy = POLICY("[{\"Action\":\"execute-api:Invoke\",\"Effect\":\"Allow\","
                                "\"Resource\":\"" API "/prod/$connect\"}]");
    assert_int_equal(decide_in(&usual, policy, "execute-api:Invoke", &connect, 1), TG_POLICY_ALLOW);
    assert_int_equal(decide_in(&usual, policy, "execute-api:Invoke", &other, 1), TG_POLICY_DENY);
    assert_int_equal(decide_in(&usual, policy, MANAGE, &connect, 1), TG_POLICY_DENY);
}

/* Whether a policy with this Condition allows. */
static bool holds(const struct world *world, const char *condition)
{
    struct tg_arena arena;
    struct tg_slice text;
    tg_arena_init(&arena, NULL);
    assert_int_equal(
        tg_arena_printf(&arena, &text, POLICY("{\"Effect\":\"Allow\",\"Condition\":{%s}," ANY), condition),
        TG_OK);
    bool allowed = decide_in(world, text.ptr, MANAGE, post_candidates, 2) == TG_POLICY_ALLOW;
    tg_arena_reset(&arena);
    return allowed;
}

static void conditions_compare(void **state)
{
    (void)state;
    static const struct {
        const char *condition;
        bool holds;
    } rows[] = {
        {"", true},
        {"\"StringEquals\":{\"aws:UserAgent\":\"Mozilla/5.0\"}", true},
        {"\"StringEquals\":{\"AWS:useragent\":[\"x\",\"Mozilla/5.0\"]}", true},
        {"\"StringEquals\":{\"aws:UserAgent\":\"mozilla/5.0\"}", false},
        {"\"StringEquals\":{\"aws:UserAgent\":\"Mozilla/*\"}", false},
        {"\"StringNotEquals\":{\"aws:UserAgent\":\"x\"}", true},
        {"\"StringNotEquals\":{\"aws:UserAgent\":[\"x\",\"Mozilla/5.0\"]}", false},
        {"\"StringEqualsIgnoreCase\":{\"aws:UserAgent\":\"mozilla/5.0\"}", true},
        {"\"StringNotEqualsIgnoreCase\":{\"aws:UserAgent\":\"mozilla/5.0\"}", false},
        {"\"StringLike\":{\"aws:UserAgent\":\"Mozilla/?.*\"}", true},
        {"\"StringLike\":{\"aws:UserAgent\":\"Mozilla\"}", false},
        {"\"StringNotLike\":{\"aws:UserAgent\":\"*5*\"}", false},
        {"\"StringNotLike\":{\"aws:UserAgent\":\"*6*\"}", true},
        {"\"NumericEquals\":{\"aws:EpochTime\":1767323045}", true},
        {"\"NumericEquals\":{\"aws:EpochTime\":\"1767323045.0\"}", true},
        {"\"NumericNotEquals\":{\"aws:EpochTime\":1767323045}", false},
        {"\"NumericLessThan\":{\"aws:EpochTime\":\"1767323046\"}", true},
        {"\"NumericLessThan\":{\"aws:EpochTime\":\"1767323045\"}", false},
        {"\"NumericLessThanEquals\":{\"aws:EpochTime\":\"1767323045\"}", true},
        {"\"NumericGreaterThan\":{\"aws:EpochTime\":1.767323045e9}", false},
        {"\"NumericGreaterThanEquals\":{\"aws:EpochTime\":1767323045}", true},
        {"\"NumericEquals\":{\"aws:UserAgent\":1}", false},
        {"\"NumericNotEquals\":{\"aws:UserAgent\":1}", true},
        {"\"DateEquals\":{\"aws:CurrentTime\":\"2026-01-02T03:04:05.123Z\"}", true},
        {"\"DateNotEquals\":{\"aws:CurrentTime\":\"2026-01-02T03:04:05Z\"}", true},
        {"\"DateGreaterThan\":{\"aws:CurrentTime\":\"2026-01-02T03:04:05Z\"}", true},
        {"\"DateGreaterThan\":{\"aws:CurrentTime\":\"2026-01-02T03:04:06Z\"}", false},
        {"\"DateLessThan\":{\"aws:CurrentTime\":\"2026-01-02T05:04:06+02:00\"}", true},
        {"\"DateLessThan\":{\"aws:CurrentTime\":\"2026-01-02T05:04:05+02:00\"}", false},
        {"\"DateGreaterThanEquals\":{\"aws:CurrentTime\":\"2026\"}", true},
        {"\"DateLessThanEquals\":{\"aws:CurrentTime\":1767323045}", false},
        {"\"DateLessThanEquals\":{\"aws:EpochTime\":\"2026-01-02T03:04:05Z\"}", true},
        {"\"Bool\":{\"aws:SecureTransport\":\"true\"}", true},
        {"\"Bool\":{\"aws:SecureTransport\":true}", true},
        {"\"Bool\":{\"aws:SecureTransport\":\"False\"}", false},
        {"\"IpAddress\":{\"aws:SourceIp\":\"203.0.113.9\"}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":[\"10.0.0.0/8\",\"203.0.113.0/24\"]}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":\"203.0.113.8/31\"}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":\"203.0.113.10/31\"}", false},
        {"\"IpAddress\":{\"aws:SourceIp\":\"0.0.0.0/0\"}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":\"::ffff:203.0.113.9\"}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":\"2001:db8::/32\"}", false},
        {"\"NotIpAddress\":{\"aws:SourceIp\":\"203.0.113.0/24\"}", false},
        {"\"NotIpAddress\":{\"aws:SourceIp\":[\"10.0.0.0/8\",\"2001:db8::/32\"]}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":\"203.0.113.0/24\"},\"Bool\":{\"aws:SecureTransport\":false}",
         false},
        {"\"IpAddress\":{\"aws:SourceIp\":\"203.0.113.0/24\"},\"Bool\":{\"aws:SecureTransport\":true}", true},
        {"\"StringEquals\":{\"aws:UserAgent\":\"Mozilla/5.0\",\"aws:SourceIp\":\"1\"}", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (holds(&usual, rows[i].condition) != rows[i].holds) {
            fail_msg("%s", rows[i].condition);
        }
    }
}

static void absent_keys(void **state)
{
    (void)state;
    static const struct {
        const char *condition;
        bool holds;
    } rows[] = {
        {"\"StringEquals\":{\"aws:Referer\":\"x\"}", false},
        {"\"StringLike\":{\"aws:Referer\":\"*\"}", false},
        {"\"StringNotEquals\":{\"aws:Referer\":\"x\"}", true},
        {"\"StringEqualsIfExists\":{\"aws:Referer\":\"x\"}", true},
        {"\"StringEqualsIfExists\":{\"aws:UserAgent\":\"x\"}", false},
        {"\"StringNotEqualsIfExists\":{\"aws:Referer\":\"x\"}", true},
        {"\"IpAddressIfExists\":{\"aws:VpcSourceIp\":\"10.0.0.0/8\"}", true},
        {"\"BoolIfExists\":{\"aws:SecureTransport\":\"false\"}", false},
        {"\"Null\":{\"aws:Referer\":\"true\"}", true},
        {"\"Null\":{\"aws:Referer\":false}", false},
        {"\"Null\":{\"aws:UserAgent\":\"true\"}", false},
        {"\"Null\":{\"aws:UserAgent\":\"false\"}", true},
        {"\"ForAnyValue:StringEquals\":{\"aws:Referer\":\"x\"}", false},
        {"\"ForAnyValue:StringNotEquals\":{\"aws:Referer\":\"x\"}", false},
        {"\"ForAnyValue:StringEqualsIfExists\":{\"aws:Referer\":\"x\"}", true},
        {"\"ForAllValues:StringEquals\":{\"aws:Referer\":\"x\"}", true},
        {"\"ForAllValues:StringNotEquals\":{\"aws:Referer\":\"x\"}", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (holds(&usual, rows[i].condition) != rows[i].holds) {
            fail_msg("%s", rows[i].condition);
        }
    }
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    const struct tg_policy *policy = compile(
        &arena, POLICY("{\"Effect\":\"Allow\",\"Condition\":{\"Null\":{\"aws:SourceIp\":\"true\"}}," ANY));
    assert_int_equal(tg_policy_evaluate(policy, TG_LIT(MANAGE), post_candidates, 1, NULL, NULL),
                     TG_POLICY_ALLOW);
    tg_arena_reset(&arena);
}

static void keys_of_several_values(void **state)
{
    (void)state;
    static const struct {
        const char *condition;
        bool holds;
    } rows[] = {
        {"\"ForAnyValue:StringEquals\":{\"test:list\":[\"a\",\"z\"]}", true},
        {"\"ForAnyValue:StringEquals\":{\"test:list\":\"z\"}", false},
        {"\"ForAllValues:StringEquals\":{\"test:list\":[\"a\",\"b\",\"c\"]}", true},
        {"\"ForAllValues:StringEquals\":{\"test:list\":[\"a\",\"z\"]}", false},
        {"\"ForAnyValue:StringNotEquals\":{\"test:list\":\"a\"}", true},
        {"\"ForAnyValue:StringNotEquals\":{\"test:list\":[\"a\",\"b\"]}", false},
        {"\"ForAllValues:StringNotEquals\":{\"test:list\":\"z\"}", true},
        {"\"ForAllValues:StringNotEquals\":{\"test:list\":\"b\"}", false},
        {"\"StringEquals\":{\"test:list\":\"b\"}", true},
        {"\"StringNotEquals\":{\"test:list\":\"b\"}", false},
    };
    struct world world = usual;
    world.values[0] = "a";
    world.values[1] = "b";
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (holds(&world, rows[i].condition) != rows[i].holds) {
            fail_msg("%s", rows[i].condition);
        }
    }
}

static void arns_match_part_by_part(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        bool match;
    } rows[] = {
        {"arn:aws:iam::123456789012:user/a", true},
        {"arn:aws:iam::*:user/*", true},
        {"arn:*:iam::123456789012:user/?", true},
        {"arn:aws:iam:*:user/a", false},
        {"arn:*", false},
        {"*", false},
        {"arn:aws:iam::123456789012:user", false},
        {"arn:aws:iam::1*2:*", true},
        {"arn:aws:iam::123456789012:USER/a", false},
        {"arn:aws:*:*:*:*", true},
    };
    static const char *const operators[] = {"ArnEquals", "ArnLike"};
    struct world world = usual;
    world.request.principal_arn = TG_LIT("arn:aws:iam::123456789012:user/a");
    for (size_t i = 0; i < COUNT(rows) * 2; i++) {
        struct tg_arena arena;
        struct tg_slice yes, no;
        const char *pattern = rows[i / 2].pattern;
        tg_arena_init(&arena, NULL);
        assert_int_equal(
            tg_arena_printf(&arena, &yes, "\"%s\":{\"aws:PrincipalArn\":\"%s\"}", operators[i % 2], pattern),
            TG_OK);
        assert_int_equal(tg_arena_printf(&arena, &no, "\"ArnNot%s\":{\"aws:PrincipalArn\":\"%s\"}",
                                         operators[i % 2] + 3, pattern),
                         TG_OK);
        if (holds(&world, yes.ptr) != rows[i / 2].match || holds(&world, no.ptr) == rows[i / 2].match) {
            fail_msg("%s", yes.ptr);
        }
        tg_arena_reset(&arena);
    }
}

static void addresses_of_both_families(void **state)
{
    (void)state;
    struct world world = usual;
    world.request.source_ip = TG_LIT("2001:db8::1");
    assert_true(holds(&world, "\"IpAddress\":{\"aws:SourceIp\":\"2001:DB8::/32\"}"));
    assert_true(holds(&world, "\"IpAddress\":{\"aws:SourceIp\":\"::/0\"}"));
    assert_false(holds(&world, "\"IpAddress\":{\"aws:SourceIp\":\"2001:db8::2/127\"}"));
    assert_false(holds(&world, "\"IpAddress\":{\"aws:SourceIp\":\"0.0.0.0/0\"}"));
    world.request.source_ip = TG_LIT("::ffff:10.1.2.3");
    assert_true(holds(&world, "\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}"));
    world.request.source_ip = TG_LIT("unix");
    assert_false(holds(&world, "\"IpAddress\":{\"aws:SourceIp\":\"0.0.0.0/0\"}"));
    assert_true(holds(&world, "\"NotIpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}"));
    /* A range is not an address. */
    world.request.source_ip = TG_LIT("10.0.0.0/8");
    assert_false(holds(&world, "\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}"));
}

static void dates_have_many_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } good[] = {
        {"2026", 1767225600},
        {"2026-01", 1767225600},
        {"2026-01-02", 1767312000},
        {"2026-01-02T03:04Z", 1767323040},
        {"2026-01-02T03:04:05Z", 1767323045},
        {"2026-01-02T03:04:05.5Z", 1767323045.5},
        {"2026-01-02T03:04:05-01:30", 1767328445},
        {"20260102T030405Z", 1767323045},
        {"1767323045", 1767323045},
        {"-1", -1},
    };
    static const char *const bad[] = {"",
                                      "now",
                                      "2026-",
                                      "2026-13",
                                      "2026-02-30",
                                      "2026-1-2",
                                      "2026-01-02T03:04:05",
                                      "2026-01-02T03Z",
                                      "2026-01-02T03:04:05+2",
                                      "2026-01-02 03:04:05Z",
                                      "2026-01-02T25:00Z",
                                      "2026-01-02T03:04Zx"};
    struct tg_policy_operand operand;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(tg_policy_read_date(tg_slice_cstr(good[i].text), &operand));
        assert_true(operand.number == good[i].seconds);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(tg_policy_read_date(tg_slice_cstr(bad[i]), &operand));
    }
}

static void operands_that_are_none(void **state)
{
    (void)state;
    static const char *const numbers[] = {"",      " 1",  "0x10", "inf",   "nan",
                                          "1e999", "1,5", "--1",  "1.2.3", "e"};
    static const char *const networks[] = {"",          "10.0.0.0/33",  "10.0.0/8", "::1/129",
                                           "10.0.0.0/", "10.0.0.0/-1",  "/8",       "[::1]",
                                           "010.0.0.0", "::ffff:0:0/80"};
    struct tg_policy_operand operand;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        assert_false(tg_policy_read_number(tg_slice_cstr(numbers[i]), &operand));
    }
    for (size_t i = 0; i < COUNT(networks); i++) {
        if (tg_policy_read_network(tg_slice_cstr(networks[i]), &operand)) {
            fail_msg("%s", networks[i]);
        }
    }
    assert_false(tg_policy_read_bool(TG_LIT("yes"), &operand));
}

#define BAD(members)    POLICY("{\"Effect\":\"Allow\"," members "}")
#define CONDITION(text) POLICY("{\"Effect\":\"Allow\",\"Condition\":" text "," ANY)

static void malformed_documents_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "\"policy\"",
        "null",
        "{}",
        "{\"Version\":\"2012-10-17\"}",
        "{\"Version\":\"2012-10-17\",\"Statement\":[[]]}",
        "{\"Version\":\"2012-10-17\",\"Statement\":\"Allow\"}",
        "{\"Version\":\"2013-10-17\",\"Statement\":{\"Effect\":\"Allow\"," ANY "}",
        "{\"Version\":20121017,\"Statement\":{\"Effect\":\"Allow\"," ANY "}",
        "{\"version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\"," ANY "}",
        "{\"Id\":1,\"Statement\":{\"Effect\":\"Allow\"," ANY "}",
        POLICY("{\"Effect\":\"allow\"," ANY),
        POLICY("{\"Effect\":[\"Allow\"]," ANY),
        POLICY("{" ANY),
        POLICY("{\"Sid\":7,\"Effect\":\"Allow\"," ANY),
        POLICY("{\"Effekt\":\"Allow\"," ANY),
        POLICY("{\"Effect\":\"Allow\",\"Principal\":\"*\"," ANY),
        BAD("\"Action\":\"*\""),
        BAD("\"Resource\":\"*\""),
        BAD("\"Action\":\"*\",\"NotAction\":\"s3:*\",\"Resource\":\"*\""),
        BAD("\"Action\":\"*\",\"NotResource\":\"a\",\"Resource\":\"*\""),
        BAD("\"Action\":[],\"Resource\":\"*\""),
        BAD("\"Action\":\"*\",\"Resource\":[]"),
        BAD("\"Action\":7,\"Resource\":\"*\""),
        BAD("\"Action\":\"*\",\"Resource\":{}"),
        BAD("\"Action\":[\"*\",null],\"Resource\":\"*\""),
        BAD("\"Action\":\"Invoke\",\"Resource\":\"*\""),
        BAD("\"Action\":\"\",\"Resource\":\"*\""),
        BAD("\"Action\":\"*\",\"Resource\":\"\""),
        BAD("\"Action\":\"*\",\"Resource\":\"arn:aws:execute-api:*:*:${aws:username}/*\""),
        CONDITION("[]"),
        CONDITION("{\"StringEquals\":\"x\"}"),
        CONDITION("{\"StringEquals\":{}}"),
        CONDITION("{\"StringEquals\":{\"a\":[]}}"),
        CONDITION("{\"StringEquals\":{\"a\":null}}"),
        CONDITION("{\"StringEquals\":{\"a\":{}}}"),
        CONDITION("{\"StringEquals\":{\"a\":\"${aws:username}\"}}"),
        CONDITION("{\"stringequals\":{\"a\":\"b\"}}"),
        CONDITION("{\"StringEqual\":{\"a\":\"b\"}}"),
        CONDITION("{\"\":{\"a\":\"b\"}}"),
        CONDITION("{\"IfExists\":{\"a\":\"b\"}}"),
        CONDITION("{\"ForSomeValues:StringEquals\":{\"a\":\"b\"}}"),
        CONDITION("{\"NullIfExists\":{\"a\":\"true\"}}"),
        CONDITION("{\"Null\":{\"a\":\"maybe\"}}"),
        CONDITION("{\"NumericEquals\":{\"a\":\"one\"}}"),
        CONDITION("{\"DateEquals\":{\"a\":\"yesterday\"}}"),
        CONDITION("{\"Bool\":{\"a\":1}}"),
        CONDITION("{\"IpAddress\":{\"a\":[\"10.0.0.0/8\",\"10.0.0.0/99\"]}}"),
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct tg_arena arena;
        const struct tg_json *document;
        const struct tg_policy *policy = NULL;
        const char *why = NULL;
        tg_arena_init(&arena, NULL);
        assert_int_equal(tg_json_parse(&arena, tg_slice_cstr(bad[i]), &document), TG_OK);
        if (tg_policy_compile(&arena, document, &policy, &why) != TG_ESYNTAX) {
            fail_msg("%s", bad[i]);
        }
        assert_null(policy);
        assert_non_null(why);
        tg_arena_reset(&arena);
    }
}

static void documents_may_say_less_or_more(void **state)
{
    (void)state;
    assert_int_equal(decide("{\"Statement\":{\"Effect\":\"Allow\"," ANY "}"), TG_POLICY_ALLOW);
    assert_int_equal(
        decide("{\"Version\":\"2008-10-17\",\"Id\":\"x\",\"Statement\":[{\"Sid\":\"\",\"Effect\":"
               "\"Allow\",\"Condition\":{}," ANY "]}"),
        TG_POLICY_ALLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(management_resources_match_as_the_native_ones),
        cmocka_unit_test(actions_ignore_case),
        cmocka_unit_test(deny_wins),
        cmocka_unit_test(not_action_and_not_resource_invert),
        cmocka_unit_test(the_authorizer_example_of_the_spec),
        cmocka_unit_test(conditions_compare),
        cmocka_unit_test(absent_keys),
        cmocka_unit_test(keys_of_several_values),
        cmocka_unit_test(arns_match_part_by_part),
        cmocka_unit_test(addresses_of_both_families),
        cmocka_unit_test(dates_have_many_forms),
        cmocka_unit_test(operands_that_are_none),
        cmocka_unit_test(malformed_documents_are_refused),
        cmocka_unit_test(documents_may_say_less_or_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
