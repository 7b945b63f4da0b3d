/* Events, compared as text: members and their order are those of spec 3.2 to 3.4 and 7.2. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "routes/context.h"
#include "routes/fields.h"
#include "routes/event.h"
#include "server/base/json.h"
#include "tests/unit/request_world.h"

#define HOST "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
/* Members of requestContext between those that differ. */
#define IDENTITY "\"identity\":{\"userAgent\":\"Mozilla/5.0\",\"sourceIp\":\"203.0.113.9\"}"
#define TAIL                                                                                                 \
    "\"requestId\":\"RYGzEGTIPHcF3aQ=\",\"domainName\":\"" HOST                                              \
    "\",\"connectionId\":\"AAECAwQFBgcICQoLDA==\",\"apiId\":\"a1b2c3d4e5\""
#define TIMES                                                                                                \
    "\"stage\":\"prod\",\"connectedAt\":1767323045123,\"requestTimeEpoch\":1767323045124," IDENTITY "," TAIL
#define STARTED                                                                                              \
    "\"extendedRequestId\":\"RYGzEGTIPHcF3aQ=\",\"requestTime\":\"02/Jan/2026:03:04:05 +0000\","             \
    "\"messageDirection\":\"IN\","
#define FORWARDED                                                                                            \
    "\"X-Amzn-Trace-Id\":\"Root=1-695735a5-0123456789abcdef01234567\","                                      \
    "\"X-Forwarded-For\":\"203.0.113.9\",\"X-Forwarded-Port\":\"443\",\"X-Forwarded-Proto\":\"https\""
#define FORWARDED_LISTS                                                                                      \
    "\"X-Amzn-Trace-Id\":[\"Root=1-695735a5-0123456789abcdef01234567\"],"                                    \
    "\"X-Forwarded-For\":[\"203.0.113.9\"],\"X-Forwarded-Port\":[\"443\"],\"X-Forwarded-Proto\":[\"https\"]"

static struct tg_string_pair tier = {TG_LIT_INIT("tier"), TG_LIT_INIT("gold")};

static int set_up(void **state)
{
    *state = request_world_new();
    return 0;
}

static int tear_down(void **state)
{
    request_world_free(*state);
    return 0;
}

static void assert_event(struct request_world *world, tg_event_fn *write, const char *expected)
{
    struct tg_slice event;
    assert_int_equal(tg_event_make(world->request, write, SIZE_MAX, &event), TG_OK);
    if (!tg_slice_eq(event, tg_slice_cstr(expected))) {
        fail_msg("\n%.*s\nis not\n%s", TG_FMT(event), expected);
    }
}

static void use_query(struct request_world *world, const char *query)
{
    world->request->has_query = true;
    assert_int_equal(tg_query_parse(&world->request->arena, tg_slice_cstr(query), &world->request->query),
                     TG_OK);
}

static void connect_as_recorded(void **state)
{
    struct request_world *world = *state;
    world->stage.stage_variables = (struct tg_string_map){&tier, 1};
    request_world_begin(world, TG_REQUEST_CONNECT);
    request_world_header(world, "Connection", "Upgrade");
    request_world_header(world, "Cookie", "sid=42");
    request_world_header(world, "Host", HOST);
    request_world_header(world, "upgrade", "websocket");
    request_world_header(world, "X-Tag", "a");
    request_world_header(world, "x-tag", "b");
    use_query(world, "room=a&user=ann&room=b+%C3%A4");
    assert_event(world, tg_event_write,
                 "{\"headers\":{\"Cookie\":\"sid=42\",\"Host\":\"" HOST "\",\"X-Tag\":\"b\"," FORWARDED
                 "},\"multiValueHeaders\":{\"Cookie\":[\"sid=42\"],\"Host\":[\"" HOST
                 "\"],\"X-Tag\":[\"a\",\"b\"]," FORWARDED_LISTS
                 "},\"queryStringParameters\":{\"room\":\"b \xC3\xA4\",\"user\":\"ann\"},"
                 "\"multiValueQueryStringParameters\":{\"room\":[\"a\",\"b \xC3\xA4\"],\"user\":[\"ann\"]},"
                 "\"stageVariables\":{\"tier\":\"gold\"},"
                 "\"requestContext\":{\"routeKey\":\"$connect\",\"eventType\":\"CONNECT\"," STARTED TIMES
                 "},\"isBase64Encoded\":false}");
}

static void connect_without_query_variables_and_agent(void **state)
{
    struct request_world *world = *state;
    world->info.user_agent = TG_EMPTY;
    request_world_begin(world, TG_REQUEST_CONNECT);
    world->request->secure = false;
    world->request->port = 8080;
    request_world_header(world, "X-Forwarded-For", "192.0.2.1");
    request_world_header(world, "X-Forwarded-Proto", "https");
    request_world_header(world, "X-Forwarded-For", "192.0.2.2, 192.0.2.3");
    assert_event(
        world, tg_event_write,
        "{\"headers\":{\"X-Amzn-Trace-Id\":\"Root=1-695735a5-0123456789abcdef01234567\","
        "\"X-Forwarded-For\":\"192.0.2.1, 192.0.2.2, 192.0.2.3, 203.0.113.9\",\"X-Forwarded-Port\":\"8080\","
        "\"X-Forwarded-Proto\":\"http\"},\"multiValueHeaders\":{"
        "\"X-Amzn-Trace-Id\":[\"Root=1-695735a5-0123456789abcdef01234567\"],"
        "\"X-Forwarded-For\":[\"192.0.2.1, 192.0.2.2, 192.0.2.3, 203.0.113.9\"],"
        "\"X-Forwarded-Port\":[\"8080\"],\"X-Forwarded-Proto\":[\"http\"]},"
        "\"requestContext\":{\"routeKey\":\"$connect\",\"eventType\":\"CONNECT\"," STARTED
        "\"stage\":\"prod\",\"connectedAt\":1767323045123,\"requestTimeEpoch\":1767323045124,"
        "\"identity\":{\"sourceIp\":\"203.0.113.9\"}," TAIL "},\"isBase64Encoded\":false}");
}

static void message_as_recorded(void **state)
{
    struct request_world *world = *state;
    world->stage.stage_variables = (struct tg_string_map){&tier, 1};
    world->route.route_key = TG_LIT("sendMessage");
    request_world_begin(world, TG_REQUEST_MESSAGE);
    world->request->body = TG_LIT("{\"action\":\"sendMessage\", \"text\" : \"h\xC3\xA4\"}");
    assert_event(world, tg_event_write,
                 "{\"requestContext\":{\"routeKey\":\"sendMessage\",\"messageId\":\"RYGzGfBOPHcCH8A=\","
                 "\"eventType\":\"MESSAGE\"," STARTED TIMES "},\"stageVariables\":{\"tier\":\"gold\"},"
                 "\"body\":\"{\\\"action\\\":\\\"sendMessage\\\", \\\"text\\\" : \\\"h\xC3\xA4\\\"}\","
                 "\"isBase64Encoded\":false}");
}

static void message_bodies_are_text_or_base64(void **state)
{
    struct request_world *world = *state;
    world->route.route_key = TG_LIT("$default");
    request_world_begin(world, TG_REQUEST_MESSAGE);
    assert_event(world, tg_event_write,
                 "{\"requestContext\":{\"routeKey\":\"$default\",\"messageId\":\"RYGzGfBOPHcCH8A=\","
                 "\"eventType\":\"MESSAGE\"," STARTED TIMES "},\"body\":\"\",\"isBase64Encoded\":false}");
    world->request->binary = true;
    world->request->body = TG_LIT("\xFF\x00\x01");
    assert_event(world, tg_event_write,
                 "{\"requestContext\":{\"routeKey\":\"$default\",\"messageId\":\"RYGzGfBOPHcCH8A=\","
                 "\"eventType\":\"MESSAGE\"," STARTED TIMES "},\"body\":\"/wAB\",\"isBase64Encoded\":true}");
}

static void disconnect_as_recorded(void **state)
{
    struct request_world *world = *state;
    world->stage.stage_variables = (struct tg_string_map){&tier, 1};
    world->route.route_key = TG_LIT("$disconnect");
    request_world_begin(world, TG_REQUEST_DISCONNECT);
    world->request->disconnect_code = 1005;
    world->request->disconnect_reason = TG_LIT("Client-side close frame status not set");
    assert_event(world, tg_event_write,
                 "{\"headers\":{\"Host\":\"" HOST "\",\"x-api-key\":\"\",\"X-Forwarded-For\":\"\","
                 "\"x-restapi\":\"\"},\"multiValueHeaders\":{\"Host\":[\"" HOST "\"],\"x-api-key\":[\"\"],"
                 "\"X-Forwarded-For\":[\"\"],\"x-restapi\":[\"\"]},"
                 "\"requestContext\":{\"routeKey\":\"$disconnect\",\"disconnectStatusCode\":1005,"
                 "\"eventType\":\"DISCONNECT\"," STARTED
                 "\"disconnectReason\":\"Client-side close frame status not set\"," TIMES
                 "},\"isBase64Encoded\":false}");
}

static void an_empty_reason_is_there(void **state)
{
    struct request_world *world = *state;
    struct tg_slice event;
    world->route.route_key = TG_LIT("$disconnect");
    request_world_begin(world, TG_REQUEST_DISCONNECT);
    world->request->disconnect_code = 1001;
    assert_int_equal(tg_event_make(world->request, tg_event_write, SIZE_MAX, &event), TG_OK);
    struct tg_slice member = TG_LIT("\"disconnectReason\":\"\",");
    assert_true(tg_slice_find_slice(event, member) < event.len);
}

/* integrationLatency is a number, and in CONNECT alone (7.6). */
static void the_authorizer_context_follows(void **state)
{
    struct request_world *world = *state;
    static struct tg_string_pair pairs[] = {{TG_LIT_INIT("tenant"), TG_LIT_INIT("a\"b")},
                                            {TG_LIT_INIT("principalId"), TG_LIT_INIT("u")}};
    world->info.has_authorizer = true;
    world->info.authorizer = (struct tg_string_map){pairs, 2};
    request_world_begin(world, TG_REQUEST_CONNECT);
    world->request->authorizer_latency_ms = 12;
    assert_event(world, tg_event_write,
                 "{\"headers\":{" FORWARDED "},\"multiValueHeaders\":{" FORWARDED_LISTS "},"
                 "\"requestContext\":{\"routeKey\":\"$connect\",\"eventType\":\"CONNECT\"," STARTED TIMES
                 ",\"authorizer\":{\"tenant\":\"a\\\"b\",\"principalId\":\"u\",\"integrationLatency\":12}},"
                 "\"isBase64Encoded\":false}");
    world->route.route_key = TG_LIT("x");
    request_world_again(world, TG_REQUEST_MESSAGE);
    assert_event(world, tg_event_write,
                 "{\"requestContext\":{\"routeKey\":\"x\",\"messageId\":\"RYGzGfBOPHcCH8A=\","
                 "\"eventType\":\"MESSAGE\"," STARTED TIMES
                 ",\"authorizer\":{\"tenant\":\"a\\\"b\",\"principalId\":\"u\"}},"
                 "\"body\":\"\",\"isBase64Encoded\":false}");
}

/* AWS_IAM: who signed is in every event (3.1), and a variable of mappings and access logs. */
static void the_signer_follows(void **state)
{
    struct request_world *world = *state;
    static struct tg_string_pair pairs[] = {{TG_LIT_INIT("accountId"), TG_LIT_INIT("123456789012")},
                                            {TG_LIT_INIT("userArn"), TG_LIT_INIT("arn:\"a\"")}};
    static const struct tg_slice member =
        TG_LIT_INIT("\"identity\":{\"userAgent\":\"Mozilla/5.0\",\"sourceIp\":\"203.0.113.9\","
                    "\"accountId\":\"123456789012\",\"userArn\":\"arn:\\\"a\\\"\"},\"requestId\"");
    static const struct {
        const char *name, *value;
    } variables[] = {
        {"identity.accountId", "123456789012"}, {"identity.userArn", "arn:\"a\""},
        {"identity.sourceIp", "203.0.113.9"},   {"identity.user", NULL},
        {"authorizer.userArn", NULL},           {"userArn", NULL},
    };
    world->info.identity = (struct tg_string_map){pairs, 2};
    request_world_begin(world, TG_REQUEST_CONNECT);
    for (int kind = TG_REQUEST_CONNECT; kind <= TG_REQUEST_DISCONNECT; kind++) {
        struct tg_slice event;
        request_world_again(world, (enum tg_request_kind)kind);
        assert_int_equal(tg_event_make(world->request, tg_event_write, SIZE_MAX, &event), TG_OK);
        assert_true(tg_slice_find_slice(event, member) < event.len);
        assert_true(tg_slice_find_slice(event, TG_LIT("\"authorizer\"")) >= event.len);
        struct tg_vars vars = tg_request_vars(world->request);
        for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
            struct tg_var_values values;
            assert_int_equal(tg_vars_get(&vars, TG_VAR_CONTEXT, tg_slice_cstr(variables[i].name),
                                         &world->request->arena, &values),
                             TG_OK);
            assert_int_equal(values.count, variables[i].value != NULL ? 1 : 0);
            if (values.count == 1) {
                assert_true(tg_slice_eq(values.items[0], tg_slice_cstr(variables[i].value)));
            }
        }
    }
}

static void the_authorizers_event(void **state)
{
    struct request_world *world = *state;
    request_world_begin(world, TG_REQUEST_CONNECT);
    request_world_header(world, "Host", HOST);
    request_world_header(world, "Connection", "keep-alive, Upgrade");
    request_world_header(world, "Upgrade", "websocket");
    request_world_header(world, "Content-Length", "0");
    assert_event(world, tg_event_write_authorizer,
                 "{\"type\":\"REQUEST\","
                 "\"methodArn\":\"arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/$connect\","
                 "\"headers\":{\"Connection\":\"upgrade\",\"content-length\":\"0\",\"Host\":\"" HOST
                 "\",\"Upgrade\":\"websocket\"," FORWARDED
                 "},\"multiValueHeaders\":{\"Connection\":[\"upgrade\"],\"content-length\":[\"0\"],"
                 "\"Host\":[\"" HOST "\"],\"Upgrade\":[\"websocket\"]," FORWARDED_LISTS
                 "},\"queryStringParameters\":{},\"multiValueQueryStringParameters\":{},"
                 "\"stageVariables\":{},"
                 "\"requestContext\":{\"routeKey\":\"$connect\",\"eventType\":\"CONNECT\"," STARTED TIMES
                 "}}");
}

static void the_authorizers_event_with_query_and_variables(void **state)
{
    struct request_world *world = *state;
    world->stage.stage_variables = (struct tg_string_map){&tier, 1};
    request_world_begin(world, TG_REQUEST_CONNECT);
    use_query(world, "token=t0k3n");
    assert_event(
        world, tg_event_write_authorizer,
        "{\"type\":\"REQUEST\","
        "\"methodArn\":\"arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/$connect\","
        "\"headers\":{\"Connection\":\"upgrade\",\"content-length\":\"0\","
        "\"Upgrade\":\"websocket\"," FORWARDED
        "},\"multiValueHeaders\":{\"Connection\":[\"upgrade\"],\"content-length\":[\"0\"],"
        "\"Upgrade\":[\"websocket\"]," FORWARDED_LISTS "},\"queryStringParameters\":{\"token\":\"t0k3n\"},"
        "\"multiValueQueryStringParameters\":{\"token\":[\"t0k3n\"]},"
        "\"stageVariables\":{\"tier\":\"gold\"},"
        "\"requestContext\":{\"routeKey\":\"$connect\",\"eventType\":\"CONNECT\"," STARTED TIMES "}}");
}

static void bytes_that_are_no_text_are_repaired(void **state)
{
    struct request_world *world = *state;
    struct tg_slice event;
    request_world_begin(world, TG_REQUEST_CONNECT);
    request_world_header(world, "X-Raw", "a\xFF");
    use_query(world, "%FF=%80");
    assert_int_equal(tg_event_make(world->request, tg_event_write, SIZE_MAX, &event), TG_OK);
    const struct tg_json *json;
    assert_int_equal(tg_json_parse(&world->request->arena, event, &json), TG_OK);
    const struct tg_json *raw = tg_json_get(tg_json_get(json, TG_LIT("headers")), TG_LIT("X-Raw"));
    assert_true(tg_slice_eq(tg_json_string(raw), TG_LIT("a\xEF\xBF\xBD")));
    const struct tg_json *query = tg_json_get(json, TG_LIT("queryStringParameters"));
    assert_true(
        tg_slice_eq(tg_json_string(tg_json_get(query, TG_LIT("\xEF\xBF\xBD"))), TG_LIT("\xEF\xBF\xBD")));
}

/* As many as the longest request line holds: a client must not stall a worker with a query. */
static void many_names_take_no_time(void **state)
{
    enum { NAMES = 16000 };
    struct request_world *world = *state;
    struct tg_slice event;
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX);
    for (int i = 0; i < NAMES; i++) {
        assert_int_equal(tg_buf_printf(&text, "%d=%d&", i * 7919 % NAMES, i), TG_OK);
    }
    assert_int_equal(tg_buf_append(&text, TG_LIT("0=last\0")), TG_OK);
    request_world_begin(world, TG_REQUEST_CONNECT);
    use_query(world, tg_buf_slice(&text).ptr);
    clock_t start = clock();
    assert_int_equal(tg_event_make(world->request, tg_event_write, SIZE_MAX, &event), TG_OK);
    assert_true(clock() - start < 2 * CLOCKS_PER_SEC);
    tg_buf_free(&text);
    const struct tg_json *json;
    assert_int_equal(tg_json_parse(&world->request->arena, event, &json), TG_OK);
    const struct tg_json *single = tg_json_get(json, TG_LIT("queryStringParameters"));
    const struct tg_json *multi = tg_json_get(json, TG_LIT("multiValueQueryStringParameters"));
    assert_int_equal(tg_json_count(single), NAMES);
    assert_int_equal(tg_json_count(multi), NAMES);
    assert_true(tg_slice_eq(tg_json_string(tg_json_get(single, TG_LIT("0"))), TG_LIT("last")));
    assert_true(tg_slice_eq(tg_json_string(tg_json_at(tg_json_get(multi, TG_LIT("0")), 0)), TG_LIT("0")));
    assert_true(tg_slice_eq(tg_json_string(tg_json_get(single, TG_LIT("7919"))), TG_LIT("1")));
}

static void events_are_limited(void **state)
{
    struct request_world *world = *state;
    struct tg_slice event = TG_EMPTY;
    request_world_begin(world, TG_REQUEST_MESSAGE);
    assert_int_equal(tg_event_make(world->request, tg_event_write, 100, &event), TG_ELIMIT);
    assert_null(event.ptr);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connect_as_recorded),
        TEST(connect_without_query_variables_and_agent),
        TEST(message_as_recorded),
        TEST(message_bodies_are_text_or_base64),
        TEST(disconnect_as_recorded),
        TEST(an_empty_reason_is_there),
        TEST(the_authorizer_context_follows),
        TEST(the_signer_follows),
        TEST(the_authorizers_event),
        TEST(the_authorizers_event_with_query_and_variables),
        TEST(bytes_that_are_no_text_are_repaired),
        TEST(many_names_take_no_time),
        TEST(events_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
