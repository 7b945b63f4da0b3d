/* Events of HTTP APIs, compared as text: members and their order are those of http-api 1.6, 1.7 and 2.12. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "routes/payload.h"
#include "server/base/json.h"

#define HOST  "abc.execute-api.eu-west-1.amazonaws.com"
#define TRACE "Root=1-67fd88a4-127eb8e773d2bb6f7df47ab6"
#define HTTP_TAIL                                                                                            \
    "\"protocol\":\"HTTP/1.1\",\"sourceIp\":\"203.0.113.7\",\"userAgent\":\"TestAgent\"},"                   \
    "\"requestId\":\"JCJJxhz4PHcEJgQ=\","
#define TIMES "\"stage\":\"$default\",\"time\":\"14/Apr/2025:22:13:56 +0000\",\"timeEpoch\":1744668836573}"
#define FORWARDED_2                                                                                          \
    "\"x-amzn-trace-id\":\"" TRACE "\",\"x-forwarded-for\":\"203.0.113.7\",\"x-forwarded-port\":\"443\","    \
    "\"x-forwarded-proto\":\"https\""
#define FORWARDED_1                                                                                          \
    "\"X-Amzn-Trace-Id\":\"" TRACE "\",\"X-Forwarded-For\":\"203.0.113.7\",\"X-Forwarded-Port\":\"443\","    \
    "\"X-Forwarded-Proto\":\"https\""
#define FORWARDED_LISTS                                                                                      \
    "\"X-Amzn-Trace-Id\":[\"" TRACE "\"],\"X-Forwarded-For\":[\"203.0.113.7\"],\"X-Forwarded-Port\":"        \
    "[\"443\"],\"X-Forwarded-Proto\":[\"https\"]"

struct world {
    struct tg_arena arena;
    struct tg_payload_input input;
    struct tg_string_pair parameters[1], variables[1];
    struct tg_slice text_types[2];
    struct tg_buf event;
};

static void header(struct world *world, const char *name, const char *value)
{
    assert_int_equal(
        tg_headers_add(&world->input.headers, &world->arena, tg_slice_cstr(name), tg_slice_cstr(value)),
        TG_OK);
}

/* A GET of nothing in particular, without headers. */
static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    tg_arena_init(&world->arena, NULL);
    tg_buf_init(&world->event, SIZE_MAX);
    world->input = (struct tg_payload_input){
        .format = TG_PAYLOAD_2_0,
        .route_key = TG_LIT("$default"),
        .method = TG_LIT("GET"),
        .path = TG_LIT("/"),
        .event_path = TG_LIT("/"),
        .account_id = TG_LIT("123456789012"),
        .api_id = TG_LIT("abc"),
        .stage = TG_LIT("$default"),
        .domain_name = TG_LIT(HOST),
        .request_id = TG_LIT("JCJJxhz4PHcEJgQ="),
        .source_ip = TG_LIT("203.0.113.7"),
        .user_agent = TG_LIT("TestAgent"),
        .time_ms = 1744668836573,
        .trace_id = TG_LIT(TRACE),
        .forwarded_port = TG_LIT("443"),
        .forwarded_proto = TG_LIT("https"),
    };
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    tg_buf_free(&world->event);
    tg_arena_reset(&world->arena);
    free(world);
    return 0;
}

static struct tg_slice event_of(struct world *world)
{
    const struct tg_json *tree;
    tg_buf_clear(&world->event);
    assert_int_equal(tg_payload_write(&world->arena, &world->input, &world->event), TG_OK);
    assert_int_equal(tg_json_parse(&world->arena, tg_buf_slice(&world->event), &tree), TG_OK);
    return tg_buf_slice(&world->event);
}

static void assert_event(struct world *world, const char *expected)
{
    struct tg_slice event = event_of(world);
    if (!tg_slice_eq(event, tg_slice_cstr(expected))) {
        fail_msg("\n%.*s\nis not\n%s", TG_FMT(event), expected);
    }
}

static void assert_part(struct world *world, bool there, const char *part)
{
    struct tg_slice event = event_of(world);
    if ((tg_slice_find_slice(event, tg_slice_cstr(part)) < event.len) != there) {
        fail_msg("\n%.*s\n%s\n%s", TG_FMT(event), there ? "lacks" : "has", part);
    }
}

/* The request of the example of 1.6. */
static void use_orders(struct world *world)
{
    world->parameters[0] = (struct tg_string_pair){TG_LIT("userId"), TG_LIT("123")};
    world->variables[0] = (struct tg_string_pair){TG_LIT("k"), TG_LIT("v")};
    world->input.route_key = TG_LIT("POST /users/{userId}/orders");
    world->input.method = TG_LIT("POST");
    world->input.path = world->input.event_path = TG_LIT("/users/123/orders");
    world->input.query = TG_LIT("status=pending&tag=a&tag=b");
    world->input.path_parameters = (struct tg_string_map){world->parameters, 1};
    world->input.stage_variables = (struct tg_string_map){world->variables, 1};
    world->input.body = TG_LIT("{\"item\": \"caf\xC3\xA9\", \"n\": 100}");
    header(world, "Accept", "*/*");
    header(world, "Content-Length", "27");
    header(world, "Content-Type", "application/json");
    header(world, "Cookie", "session=abc123; theme=dark");
    header(world, "Host", HOST);
    header(world, "User-Agent", "TestAgent");
}

static void format_2_as_recorded(void **state)
{
    use_orders(*state);
    assert_event(
        *state,
        "{\"version\":\"2.0\",\"routeKey\":\"POST /users/{userId}/orders\",\"rawPath\":\"/users/123/orders\","
        "\"rawQueryString\":\"status=pending&tag=a&tag=b\",\"cookies\":[\"session=abc123\",\"theme=dark\"],"
        "\"headers\":{\"accept\":\"*/*\",\"content-length\":\"27\",\"content-type\":\"application/json\","
        "\"host\":\"" HOST "\",\"user-agent\":\"TestAgent\"," FORWARDED_2 "},"
        "\"queryStringParameters\":{\"status\":\"pending\",\"tag\":\"a,b\"},"
        "\"pathParameters\":{\"userId\":\"123\"},\"stageVariables\":{\"k\":\"v\"},"
        "\"requestContext\":{\"accountId\":\"123456789012\",\"apiId\":\"abc\",\"domainName\":\"" HOST "\","
        "\"domainPrefix\":\"abc\",\"http\":{\"method\":\"POST\",\"path\":\"/users/123/orders\"," HTTP_TAIL
        "\"routeKey\":\"POST /users/{userId}/orders\"," TIMES
        ",\"body\":\"{\\\"item\\\": \\\"caf\xC3\xA9\\\", \\\"n\\\": 100}\",\"isBase64Encoded\":false}");
}

/* Vector 49. */
static void format_2_has_no_member_for_what_there_is_not(void **state)
{
    assert_event(
        *state, "{\"version\":\"2.0\",\"routeKey\":\"$default\",\"rawPath\":\"/\",\"rawQueryString\":"
                "\"\",\"headers\":{\"content-length\":\"0\"," FORWARDED_2 "},"
                "\"requestContext\":{\"accountId\":\"123456789012\",\"apiId\":\"abc\","
                "\"domainName\":\"" HOST "\",\"domainPrefix\":\"abc\",\"http\":{\"method\":\"GET\","
                "\"path\":\"/\"," HTTP_TAIL "\"routeKey\":\"$default\"," TIMES ",\"isBase64Encoded\":false}");
}

#define IDENTITY_1(agent)                                                                                    \
    "\"identity\":{\"cognitoIdentityPoolId\":null,\"accountId\":null,\"cognitoIdentityId\":null,"            \
    "\"caller\":null,\"sourceIp\":\"203.0.113.7\",\"principalOrgId\":null,\"accessKey\":null,"               \
    "\"cognitoAuthenticationType\":null,\"cognitoAuthenticationProvider\":null,\"userArn\":null,"            \
    "\"userAgent\":\"" agent "\",\"user\":null}}"
#define CONTEXT_1                                                                                            \
    "\"extendedRequestId\":\"JCJJxhz4PHcEJgQ=\",\"requestTime\":\"14/Apr/2025:22:13:56 +0000\","             \
    "\"requestTimeEpoch\":1744668836573,"
#define API_1                                                                                                \
    "\"accountId\":\"123456789012\",\"protocol\":\"HTTP/1.1\",\"stage\":\"$default\",\"domainPrefix\":"      \
    "\"abc\",\"domainName\":\"" HOST "\",\"requestId\":\"JCJJxhz4PHcEJgQ=\",\"apiId\":\"abc\","

static void format_1_as_recorded(void **state)
{
    struct world *world = *state;
    use_orders(world);
    world->input.format = TG_PAYLOAD_1_0;
    world->input.deployment_id = TG_LIT("d1e2f3");
    assert_event(
        world,
        "{\"version\":\"1.0\",\"resource\":\"/users/{userId}/orders\",\"path\":\"/users/123/orders\","
        "\"httpMethod\":\"POST\",\"headers\":{\"Accept\":\"*/*\",\"Content-Length\":\"27\","
        "\"Content-Type\":\"application/json\",\"Cookie\":\"session=abc123; theme=dark\",\"Host\":\"" HOST
        "\",\"User-Agent\":\"TestAgent\"," FORWARDED_1 "},\"multiValueHeaders\":{\"Accept\":[\"*/*\"],"
        "\"Content-Length\":[\"27\"],\"Content-Type\":[\"application/json\"],"
        "\"Cookie\":[\"session=abc123; theme=dark\"],\"Host\":[\"" HOST
        "\"],\"User-Agent\":[\"TestAgent\"]," FORWARDED_LISTS "},"
        "\"queryStringParameters\":{\"status\":\"pending\",\"tag\":\"b\"},"
        "\"multiValueQueryStringParameters\":{\"status\":[\"pending\"],\"tag\":[\"a\",\"b\"]},"
        "\"pathParameters\":{\"userId\":\"123\"},\"stageVariables\":{\"k\":\"v\"},"
        "\"requestContext\":{\"resourceId\":\"POST /users/{userId}/orders\","
        "\"resourcePath\":\"/users/{userId}/orders\",\"httpMethod\":\"POST\"," CONTEXT_1
        "\"path\":\"/users/123/orders\"," API_1 "\"deploymentId\":\"d1e2f3\"," IDENTITY_1(
            "TestAgent") ",\"body\":\"{\\\"item\\\": \\\"caf\xC3\xA9\\\", \\\"n\\\": "
                         "100}\",\"isBase64Encoded\":false}");
}

static void format_1_has_null_for_what_there_is_not(void **state)
{
    struct world *world = *state;
    world->input.format = TG_PAYLOAD_1_0;
    world->input.user_agent = TG_EMPTY;
    assert_event(world,
                 "{\"version\":\"1.0\",\"resource\":\"$default\",\"path\":\"/\",\"httpMethod\":\"GET\","
                 "\"headers\":{\"Content-Length\":\"0\"," FORWARDED_1 "},"
                 "\"multiValueHeaders\":{\"Content-Length\":[\"0\"]," FORWARDED_LISTS "},"
                 "\"queryStringParameters\":null,\"multiValueQueryStringParameters\":null,"
                 "\"pathParameters\":null,\"stageVariables\":null,"
                 "\"requestContext\":{\"resourceId\":\"$default\",\"resourcePath\":\"$default\","
                 "\"httpMethod\":\"GET\"," CONTEXT_1
                 "\"path\":\"/\"," API_1 IDENTITY_1("") ",\"body\":null,\"isBase64Encoded\":false}");
    world->input.format = TG_PAYLOAD_2_0;
    assert_part(world, true, "\"userAgent\":\"\"");
}

/* 1.3, and vector 8. */
static void paths(void **state)
{
    static const struct {
        const char *wire, *decoded;
    } rows[] = {
        {"/users/J%20D", "/users/J D"},
        {"/%E2%98%95", "/\xE2\x98\x95"},
        {"/p/test%2Balias@x", "/p/test+alias@x"},
        {"/a%2Fb%23c%25d%3Fe", "/a/b#c%d?e"},
        {"/a+b", "/a+b"},
        {"/a%zz%4", "/a%zz%4"},
        {"/a//b/", "/a//b/"},
        {"/%FF%c3", "/\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"/%00%22%5C", "/\\u0000\\\"\\\\"},
        {"/prod/x%20y", "/prod/x y"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char part[256];
        world->input.path = world->input.event_path = tg_slice_cstr(rows[i].wire);
        world->input.format = TG_PAYLOAD_2_0;
        world->input.preserve_path = false;
        (void)snprintf(part, sizeof part, "\"rawPath\":\"%s\",", rows[i].decoded);
        assert_part(world, true, part);
        (void)snprintf(part, sizeof part, "\"http\":{\"method\":\"GET\",\"path\":\"%s\",", rows[i].decoded);
        assert_part(world, true, part);
        world->input.format = TG_PAYLOAD_1_0;
        (void)snprintf(part, sizeof part, "\"resource\":\"$default\",\"path\":\"%s\",", rows[i].wire);
        assert_part(world, true, part);
        (void)snprintf(part, sizeof part, "\"requestTimeEpoch\":1744668836573,\"path\":\"%s\",",
                       rows[i].decoded);
        assert_part(world, true, part);
        world->input.format = TG_PAYLOAD_2_0;
        world->input.preserve_path = true;
        (void)snprintf(part, sizeof part, "\"rawPath\":\"%s\",", rows[i].wire);
        assert_part(world, true, part);
        (void)snprintf(part, sizeof part, "\"http\":{\"method\":\"GET\",\"path\":\"%s\",", rows[i].wire);
        assert_part(world, true, part);
    }
}

static void a_mapping_is_in_the_path_of_1_0_alone(void **state)
{
    struct world *world = *state;
    world->input.path = TG_LIT("/shop/items%20/1");
    world->input.event_path = TG_LIT("/items%20/1");
    assert_part(world, true, "\"rawPath\":\"/items /1\"");
    assert_part(world, false, "shop");
    world->input.format = TG_PAYLOAD_1_0;
    assert_part(world, true, "\"path\":\"/shop/items%20/1\"");
}

/* 1.3, and vector 9. */
static void queries(void **state)
{
    static const struct {
        const char *query, *parts_2, *parts_1;
    } rows[] = {
        {"tag=a&tag=b", "\"rawQueryString\":\"tag=a&tag=b\",|\"queryStringParameters\":{\"tag\":\"a,b\"},",
         "\"queryStringParameters\":{\"tag\":\"b\"},"
         "\"multiValueQueryStringParameters\":{\"tag\":[\"a\",\"b\"]}"},
        {"a=1%202+3&%C3%A4=%26",
         "\"rawQueryString\":\"a=1%202+3&%C3%A4=%26\",|{\"a\":\"1 2 3\",\"\xC3\xA4\":\"&\"}",
         "{\"a\":\"1 2 3\",\"\xC3\xA4\":\"&\"},"},
        {"A=1&a=2", "{\"A\":\"1\",\"a\":\"2\"}", "{\"A\":[\"1\"],\"a\":[\"2\"]}"},
        {"flag&x=&=y&&", "\"rawQueryString\":\"flag&x=&=y&&\",|{\"flag\":\"\",\"x\":\"\",\"\":\"y\"}",
         "{\"flag\":[\"\"],\"x\":[\"\"],\"\":[\"y\"]}"},
        {"t=a,b&t=&t=c", "{\"t\":\"a,b,,c\"}", "{\"t\":[\"a,b\",\"\",\"c\"]}"},
        {"%FF=1&%FE=%ff", "{\"\xEF\xBF\xBD\":\"1,\xEF\xBF\xBD\"}", "{\"\xEF\xBF\xBD\":\"\xEF\xBF\xBD\"},"},
        {"\xE4=\"", "\"rawQueryString\":\"\xEF\xBF\xBD=\\\"\"", "{\"\xEF\xBF\xBD\":\"\\\"\"}"},
        {"&&", "\"rawQueryString\":\"&&\",\"headers\"", "\"queryStringParameters\":null,"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char parts[256], *rest;
        world->input.query = tg_slice_cstr(rows[i].query);
        world->input.format = TG_PAYLOAD_2_0;
        (void)snprintf(parts, sizeof parts, "%s", rows[i].parts_2);
        for (char *part = strtok_r(parts, "|", &rest); part != NULL; part = strtok_r(NULL, "|", &rest)) {
            assert_part(world, true, part);
        }
        world->input.format = TG_PAYLOAD_1_0;
        assert_part(world, true, rows[i].parts_1);
    }
    world->input.query = tg_slice_make("", 0);
    world->input.format = TG_PAYLOAD_2_0;
    assert_part(world, true, "\"rawQueryString\":\"\",");
    assert_part(world, false, "queryStringParameters");
}

static void header_names_and_repeats(void **state)
{
    struct world *world = *state;
    header(world, "content-type", "text/plain");
    header(world, "HOST", "h");
    header(world, "accept", "*/*");
    header(world, "X-Tag", "a");
    header(world, "Connection", "keep-alive, X-Tag");
    header(world, "x-tag", "b\xFF");
    header(world, "Transfer-Encoding", "chunked");
    header(world, "Content-Length", "77");
    header(world, "content-length", "78");
    header(world, "X-Amzn-Trace-Id", "Root=1-other");
    header(world, "X-Forwarded-For", "192.0.2.1");
    header(world, "x-forwarded-for", "192.0.2.2, 192.0.2.3");
    header(world, "X-Forwarded-Proto", "gopher");
    header(world, "X-Forwarded-Port", "70");
    world->input.body = TG_LIT("hello");
    assert_part(world, true,
                "\"headers\":{\"content-type\":\"text/plain\",\"host\":\"h\",\"accept\":\"*/*\","
                "\"x-tag\":\"a,b\xEF\xBF\xBD\",\"content-length\":\"5\",\"x-amzn-trace-id\":\"" TRACE "\","
                "\"x-forwarded-for\":\"192.0.2.1, 192.0.2.2, 192.0.2.3, 203.0.113.7\","
                "\"x-forwarded-port\":\"443\",\"x-forwarded-proto\":\"https\"},");
    world->input.format = TG_PAYLOAD_1_0;
    assert_part(world, true,
                "\"headers\":{\"Content-Type\":\"text/plain\",\"Host\":\"h\",\"accept\":\"*/*\","
                "\"X-Tag\":\"b\xEF\xBF\xBD\",\"Content-Length\":\"5\",\"X-Amzn-Trace-Id\":\"" TRACE "\","
                "\"X-Forwarded-For\":\"192.0.2.1, 192.0.2.2, 192.0.2.3, 203.0.113.7\","
                "\"X-Forwarded-Port\":\"443\",\"X-Forwarded-Proto\":\"https\"},");
    assert_part(world, true, "\"X-Tag\":[\"a\",\"b\xEF\xBF\xBD\"],");
}

static void cookies_are_apart_in_2_0(void **state)
{
    struct world *world = *state;
    header(world, "Cookie", " a=1;b=\"2\" ;; c");
    header(world, "cookie", "d=4; ");
    assert_part(world, true, "\"cookies\":[\"a=1\",\"b=\\\"2\\\"\",\"c\",\"d=4\"],");
    assert_part(world, false, "\"cookie\"");
    world->input.format = TG_PAYLOAD_1_0;
    assert_part(world, true, "\"Cookie\":[\" a=1;b=\\\"2\\\" ;; c\",\"d=4; \"]");
    assert_part(world, false, "cookies");
    world->input.format = TG_PAYLOAD_2_0;
    world->input.headers = (struct tg_headers){0};
    header(world, "Cookie", " ; ;");
    assert_part(world, false, "cookie");
}

/* 1.6.2, and vectors 17 and 18. */
static void types_of_text(void **state)
{
    static const struct {
        const char *type;
        bool text;
    } rows[] = {
        {"text/plain", true},
        {"text/html", true},
        {"text/csv", true},
        {"text/xml", true},
        {"application/json", true},
        {"application/xml", true},
        {"application/javascript", true},
        {"application/graphql", true},
        {"Application/JSON", true},
        {"text/plain; charset=utf-8", true},
        {"application/json; charset=UTF-8", true},
        {"application/json;charset=utf-8", true},
        {"application/json; charset=\"utf-8\"", true},
        {"application/json; profile=\"a;charset=latin1\"", true},
        {"application/json; profile=\"\\\";charset=latin1\"", true},
        {" text/plain ; Charset = Utf-8 ", true},
        {"text/plain;", true},
        {"text/html; charset=utf-8", true},
        {"text/x-unheard-of", true},
        {"text/plain; charset=iso-8859-1", false},
        {"text/plain; x=y; CHARSET=utf-16", false},
        {"text/plain; charset=utf-8; charset=utf-16", false},
        {"text/plain; charset", false},
        {"text/plain; charset=", false},
        {"", false},
        {"application/x-www-form-urlencoded", false},
        {"multipart/form-data; boundary=x", false},
        {"application/octet-stream", false},
        {"application/x-protobuf", false},
        {"application/zip", false},
        {"application/pdf", false},
        {"image/png", false},
        {"image/svg+xml", false},
        {"audio/mpeg", false},
        {"video/mp4", false},
        {"application/vnd.api+json", false},
        {"application/jsonx", false},
        {"application/unheard-of", false},
        {"text", false},
        {"text/", false},
        {"/plain", false},
        {"text/plain, image/png", false},
        {"text/a/b", false},
        {"nonsense", false},
    };
    const struct tg_strings none = {NULL, 0};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (tg_payload_is_text(tg_slice_cstr(rows[i].type), &none) != rows[i].text) {
            fail_msg("'%s' is %s", rows[i].type, rows[i].text ? "not text" : "text");
        }
    }
}

static void further_types_of_text(void **state)
{
    struct tg_slice items[] = {TG_LIT("application/x-www-form-urlencoded"), TG_LIT("Model/*")};
    const struct tg_strings some = {items, 2};
    struct tg_slice star = TG_LIT("*/*");
    const struct tg_strings all = {&star, 1};
    (void)state;
    assert_true(tg_payload_is_text(TG_LIT("application/X-www-form-urlencoded"), &some));
    assert_true(tg_payload_is_text(TG_LIT("model/obj"), &some));
    assert_true(tg_payload_is_text(TG_LIT("application/json"), &some));
    assert_false(tg_payload_is_text(TG_LIT("model/obj; charset=latin1"), &some));
    assert_false(tg_payload_is_text(TG_LIT("models/obj"), &some));
    assert_false(tg_payload_is_text(TG_LIT("application/pdf"), &some));
    assert_true(tg_payload_is_text(TG_LIT("application/pdf"), &all));
    assert_false(tg_payload_is_text(TG_EMPTY, &all));
}

static void bodies(void **state)
{
    static const struct {
        const char *type;
        struct tg_slice body;
        const char *end;
    } rows[] = {
        {"application/json", TG_LIT_INIT("{\"a\":\"\x01\"}"),
         "},\"body\":\"{\\\"a\\\":\\\"\\u0001\\\"}\",\"isBase64Encoded\":false}"},
        {"text/plain", TG_LIT_INIT("a\0b"), "},\"body\":\"a\\u0000b\",\"isBase64Encoded\":false}"},
        {"text/plain", TG_LIT_INIT("a\xFF"), "},\"body\":\"Yf8=\",\"isBase64Encoded\":true}"},
        {"application/x-www-form-urlencoded", TG_LIT_INIT("a=1"),
         "},\"body\":\"YT0x\",\"isBase64Encoded\":true}"},
        {"image/png", TG_LIT_INIT(""),
         "\"$default\",\"time\":\"14/Apr/2025:22:13:56 +0000\","
         "\"timeEpoch\":1744668836573},\"isBase64Encoded\":false}"},
        {NULL, TG_LIT_INIT("plain"), "},\"body\":\"cGxhaW4=\",\"isBase64Encoded\":true}"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        world->input.headers = (struct tg_headers){0};
        if (rows[i].type != NULL) {
            header(world, "Content-Type", rows[i].type);
        }
        world->input.body = rows[i].body;
        struct tg_slice event = event_of(world);
        if (!tg_slice_ends(event, tg_slice_cstr(rows[i].end))) {
            fail_msg("\n%.*s\ndoes not end with\n%s", TG_FMT(event), rows[i].end);
        }
    }
    world->input.body = TG_LIT("plain");
    world->input.headers = (struct tg_headers){0};
    header(world, "Content-Type", "text/plain");
    header(world, "Content-Type", "image/png");
    assert_part(world, true, "\"body\":\"cGxhaW4=\",\"isBase64Encoded\":true}");
    world->text_types[0] = TG_LIT("image/svg+xml");
    world->input.text_types = (struct tg_strings){world->text_types, 1};
    world->input.headers = (struct tg_headers){0};
    header(world, "content-type", "image/svg+xml");
    assert_part(world, true, "\"body\":\"plain\",\"isBase64Encoded\":false}");
}

static void iam(void **state)
{
    struct world *world = *state;
    world->input.authorizer = TG_PAYLOAD_IAM;
    world->input.iam = (struct tg_payload_iam){.access_key = TG_LIT("AKIDEXAMPLE"),
                                               .account_id = TG_LIT("123456789012"),
                                               .caller_id = TG_LIT("AIDAEXAMPLE"),
                                               .user_arn = TG_LIT("arn:aws:iam::123456789012:user/ann"),
                                               .user_id = TG_LIT("AIDAEXAMPLE")};
    assert_part(world, true,
                "\"apiId\":\"abc\",\"authorizer\":{\"iam\":{\"accessKey\":\"AKIDEXAMPLE\","
                "\"accountId\":\"123456789012\",\"callerId\":\"AIDAEXAMPLE\",\"cognitoIdentity\":null,"
                "\"principalOrgId\":null,\"userArn\":\"arn:aws:iam::123456789012:user/ann\","
                "\"userId\":\"AIDAEXAMPLE\"}},\"domainName\"");
    world->input.format = TG_PAYLOAD_1_0;
    assert_part(world, true,
                "\"identity\":{\"cognitoIdentityPoolId\":null,\"accountId\":\"123456789012\","
                "\"cognitoIdentityId\":null,\"caller\":\"AIDAEXAMPLE\",\"sourceIp\":\"203.0.113.7\","
                "\"principalOrgId\":null,\"accessKey\":\"AKIDEXAMPLE\",\"cognitoAuthenticationType\":null,"
                "\"cognitoAuthenticationProvider\":null,\"userArn\":\"arn:aws:iam::123456789012:user/ann\","
                "\"userAgent\":\"TestAgent\",\"user\":\"AIDAEXAMPLE\"}}");
    assert_part(world, false, "authorizer");
}

/* The shape of vectors 39 and 40. */
static void jwt(void **state)
{
    struct tg_string_pair claims[] = {{TG_LIT("groups"), TG_LIT("[admin poweruser]")},
                                      {TG_LIT("email_verified"), TG_LIT("true")}};
    struct tg_slice scopes[] = {TG_LIT("orders:read"), TG_LIT("orders:write")};
    struct world *world = *state;
    world->input.authorizer = TG_PAYLOAD_JWT;
    world->input.jwt.claims = (struct tg_string_map){claims, 2};
    assert_part(world, true,
                "\"authorizer\":{\"jwt\":{\"claims\":{\"groups\":\"[admin poweruser]\","
                "\"email_verified\":\"true\"},\"scopes\":null}},\"domainName\"");
    world->input.jwt.has_scopes = true;
    world->input.jwt.scopes = (struct tg_strings){scopes, 2};
    assert_part(world, true, "\"scopes\":[\"orders:read\",\"orders:write\"]}},\"domainName\"");
    world->input.format = TG_PAYLOAD_1_0;
    assert_part(world, true,
                ",\"authorizer\":{\"claims\":{\"groups\":\"[admin poweruser]\",\"email_verified\":\"true\"},"
                "\"scopes\":[\"orders:read\",\"orders:write\"]}}");
}

static void lambda(void **state)
{
    struct world *world = *state;
    world->input.authorizer = TG_PAYLOAD_LAMBDA;
    world->input.context = TG_LIT("{\"n\": 1, \"list\": [true]}");
    assert_part(world, true, "\"authorizer\":{\"lambda\":{\"n\": 1, \"list\": [true]}},\"domainName\"");
    world->input.format = TG_PAYLOAD_1_0;
    assert_part(world, true, ",\"authorizer\":{\"n\": 1, \"list\": [true]}}");
    world->input.context = TG_EMPTY;
    assert_part(world, false, "authorizer");
    world->input.format = TG_PAYLOAD_2_0;
    assert_part(world, true, "\"authorizer\":{\"lambda\":null},\"domainName\"");
}

static void client_certificates(void **state)
{
    const struct tg_payload_cert cert = {TG_LIT("-----BEGIN\n"),
                                         TG_LIT("CN=ann"),
                                         TG_LIT("CN=ca"),
                                         TG_LIT("a1:b2"),
                                         TG_LIT("May 28 12:30:02 2019 GMT"),
                                         TG_LIT("Aug  5 09:36:04 2021 GMT")};
    const char *shown = "\"clientCert\":{\"clientCertPem\":\"-----BEGIN\\n\",\"subjectDN\":\"CN=ann\","
                        "\"issuerDN\":\"CN=ca\",\"serialNumber\":\"a1:b2\",\"validity\":{\"notBefore\":"
                        "\"May 28 12:30:02 2019 GMT\",\"notAfter\":\"Aug  5 09:36:04 2021 GMT\"}}}";
    struct world *world = *state;
    char part[512];
    world->input.cert = &cert;
    (void)snprintf(part, sizeof part, "\"authentication\":{%s,\"domainName\"", shown);
    assert_part(world, true, part);
    world->input.format = TG_PAYLOAD_1_0;
    (void)snprintf(part, sizeof part, "\"user\":null,%s}", shown);
    assert_part(world, true, part);
}

static void a_full_buffer_is_an_error(void **state)
{
    struct world *world = *state;
    use_orders(world);
    size_t whole = event_of(world).len;
    for (size_t limit = 0; limit < whole; limit += 7) {
        struct tg_buf buf;
        tg_buf_init(&buf, limit);
        assert_int_equal(tg_payload_write(&world->arena, &world->input, &buf), TG_ELIMIT);
        tg_buf_free(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(format_2_as_recorded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(format_2_has_no_member_for_what_there_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(format_1_as_recorded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(format_1_has_null_for_what_there_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mapping_is_in_the_path_of_1_0_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(header_names_and_repeats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cookies_are_apart_in_2_0, set_up, tear_down),
        cmocka_unit_test(types_of_text),
        cmocka_unit_test(further_types_of_text),
        cmocka_unit_test_setup_teardown(bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(iam, set_up, tear_down),
        cmocka_unit_test_setup_teardown(jwt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lambda, set_up, tear_down),
        cmocka_unit_test_setup_teardown(client_certificates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_buffer_is_an_error, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
