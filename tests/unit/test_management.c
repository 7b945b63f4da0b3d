#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "routes/accesslog.h"
#include "routes/management.h"
#include "routes/policy.h"

#define ID   "AAECAwQFBgcICQoLDA=="
#define PATH "/prod/@connections/AAECAwQFBgcICQoLDA%3D%3D"

/* ---- a push that the test decides on ---- */

struct tg_push_op {
    tg_pushed_fn *done;
    void *arg;
};

static struct {
    int started, cancelled;
    enum tg_err start_result;
    struct tg_push_request request;
    char id[64], payload[64];
    size_t payload_len;
    struct tg_push_op op;
} fake;

enum tg_err tg_push_check_id(struct tg_push *push, struct tg_slice connection_id)
{
    (void)push;
    return tg_slice_eq(connection_id, TG_LIT(ID)) ? TG_OK : TG_ESYNTAX;
}

enum tg_err tg_push_start(struct tg_push *push, const struct tg_push_request *request, tg_pushed_fn *done,
                          void *arg, struct tg_push_op **out)
{
    (void)push;
    if (fake.start_result != TG_OK) {
        return fake.start_result;
    }
    fake.started++;
    fake.request = *request;
    (void)snprintf(fake.id, sizeof fake.id, "%.*s", TG_FMT(request->connection_id));
    assert_true(request->payload.len < sizeof fake.payload || request->payload.len > 1000);
    fake.payload_len = request->payload.len;
    (void)snprintf(fake.payload, sizeof fake.payload, "%.*s", TG_FMT(request->payload));
    fake.op = (struct tg_push_op){done, arg};
    *out = &fake.op;
    return TG_OK;
}

void tg_push_cancel(struct tg_push_op *op)
{
    assert_ptr_equal(op, &fake.op);
    fake.cancelled++;
}

static void push_ends(enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    fake.op.done(fake.op.arg, outcome, info);
}

/* ---- a gateway of one API ---- */

struct world {
    struct tg_arena arena;
    struct tg_engine engine;
    struct tg_model model;
    struct tg_stage stages[2];
    struct tg_api api;
    struct tg_credential credential;
    int destroyed;
    /* the exchange */
    struct tg_exchange exchange;
    struct tg_arena request_arena;
    struct tg_slice body;
    enum tg_err body_result;
    size_t body_limit;
    void (*body_done)(void *arg, enum tg_err err, struct tg_slice body);
    void *body_arg;
    /* what came out */
    int replies, status;
    char text[1024];
    char headers[2048]; /* `Name: value\n` each */
};

static struct world *world_of(struct tg_exchange *exchange)
{
    return (struct world *)(void *)((char *)exchange - offsetof(struct world, exchange));
}

static void read_body(struct tg_exchange *exchange, size_t limit,
                      void (*done)(void *arg, enum tg_err err, struct tg_slice body), void *arg)
{
    struct world *world = world_of(exchange);
    world->body_limit = limit;
    world->body_done = done;
    world->body_arg = arg;
}

static void take_reply(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
                       struct tg_slice body)
{
    struct world *world = world_of(exchange);
    size_t len = 0;
    world->replies++;
    world->status = status;
    (void)snprintf(world->text, sizeof world->text, "%.*s", TG_FMT(body));
    world->headers[0] = '\0';
    for (size_t i = 0; i < headers->count; i++) {
        len += (size_t)snprintf(world->headers + len, sizeof world->headers - len, "%.*s: %.*s\n",
                                TG_FMT(headers->items[i].name), TG_FMT(headers->items[i].value));
    }
    tg_arena_reset(&world->request_arena);
}

static const struct tg_exchange_ops exchange_ops = {.read_body = read_body, .reply = take_reply};

static void destroy(struct tg_model *model)
{
    ((struct world *)(void *)((char *)model - offsetof(struct world, model)))->destroyed++;
}

static const struct tg_policy *policy_of(struct world *world, const char *text)
{
    const struct tg_json *json;
    const struct tg_policy *policy;
    const char *why;
    assert_int_equal(tg_json_parse(&world->arena, tg_slice_cstr(text), &json), TG_OK);
    assert_int_equal(tg_policy_compile(&world->arena, json, &policy, &why), TG_OK);
    return policy;
}

static const char allow_all[] = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
                                "\"Action\":\"execute-api:*\",\"Resource\":\"*\"}]}";

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    memset(&fake, 0, sizeof fake);
    tg_arena_init(&world->arena, NULL);
    tg_engine_init(&world->engine);
    assert_int_equal(tg_loop_new(&world->engine.loop), TG_OK);
    assert_int_equal(tg_metrics_new(&world->engine.metrics), TG_OK);
    assert_int_equal(tg_throttles_new(&world->engine.throttles), TG_OK);
    tg_rng_seed(&world->engine.rng, 1);
    world->stages[0] = (struct tg_stage){.stage_name = TG_LIT("prod"), .access_fd = -1};
    world->stages[1] = (struct tg_stage){.stage_name = TG_LIT("dev"), .access_fd = -1};
    world->api.api_id = TG_LIT("chat");
    world->api.stages = (struct tg_stages){world->stages, 2};
    world->credential = (struct tg_credential){
        .access_key_id = TG_LIT("AKIDEXAMPLE"),
        .secret_access_key = TG_LIT("secret"),
        .user_arn = TG_LIT("arn:aws:iam::123456789012:user/app"),
        .policy = policy_of(world, allow_all),
    };
    struct tg_model *model = &world->model;
    model->region = TG_LIT("us-east-1");
    model->account_id = TG_LIT("123456789012");
    model->throttling = (struct tg_throttling){.rate_limit = 1000, .burst_limit = 1000};
    model->management.push_timeout_millis = 3000;
    model->destroy = destroy;
    atomic_init(&model->refs, 1);
    tg_map_init(&model->credential_map, 0);
    assert_int_equal(tg_map_add(&model->credential_map, world->credential.access_key_id, &world->credential),
                     TG_OK);
    world->engine.model = model;
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    assert_true(tg_list_empty(&world->engine.calls));
    assert_int_equal(atomic_load(&world->model.refs), 1);
    tg_map_free(&world->model.credential_map, NULL);
    tg_metrics_free(world->engine.metrics);
    tg_throttles_free(world->engine.throttles);
    tg_loop_free(world->engine.loop);
    tg_arena_reset(&world->arena);
    tg_arena_reset(&world->request_arena);
    free(world);
    return 0;
}

/* Begins a call up to where its body is asked for; signed unless `credential` is NULL. */
static void begin(struct world *world, const char *method, const char *path, const char *body,
                  const struct tg_credential *credential)
{
    struct tg_exchange *exchange = &world->exchange;
    struct tg_slice stage, id;
    tg_arena_reset(&world->request_arena);
    tg_arena_init(&world->request_arena, NULL);
    world->body = tg_slice_cstr(body);
    world->body_done = NULL;
    world->replies = 0;
    *exchange = (struct tg_exchange){
        .ops = &exchange_ops,
        .arena = &world->request_arena,
        .method = tg_slice_cstr(method),
        .path = tg_slice_cstr(path),
        .host = TG_LIT("chat.example.com:8080"),
        .source_ip = TG_LIT("203.0.113.9"),
        .received_ms = tg_loop_wall_ms(world->engine.loop),
    };
    struct tg_headers *headers = &exchange->headers;
    assert_int_equal(tg_headers_add(headers, exchange->arena, TG_LIT("Host"), exchange->host), TG_OK);
    if (credential != NULL) {
        const struct tg_sigv4_request request = {
            .method = exchange->method,
            .path = exchange->path,
            .headers = headers,
            .payload = world->body,
            .region = world->model.region,
            .service = TG_LIT("execute-api"),
            .now_ms = exchange->received_ms,
        };
        const struct tg_sigv4_credential key = {.access_key_id = credential->access_key_id,
                                                .secret_access_key = credential->secret_access_key};
        struct tg_sigv4_signature signature;
        assert_int_equal(tg_sigv4_sign(&request, &key, NULL, exchange->arena, &signature), TG_OK);
        assert_int_equal(tg_headers_add(headers, exchange->arena, TG_LIT("X-Amz-Date"), signature.date),
                         TG_OK);
        assert_int_equal(
            tg_headers_add(headers, exchange->arena, TG_LIT("Authorization"), signature.authorization),
            TG_OK);
    }
    assert_true(tg_management_match(&world->api, exchange->path, &stage, &id));
    tg_management_serve(&world->engine, &world->api, stage, id, exchange);
}

static void finish_body(struct world *world, enum tg_err result)
{
    assert_non_null(world->body_done);
    world->body_done(world->body_arg, result, result == TG_OK ? world->body : TG_EMPTY);
}

static void call(struct world *world, const char *method, const char *path, const char *body,
                 const struct tg_credential *credential)
{
    begin(world, method, path, body, credential);
    finish_body(world, TG_OK);
}

static void assert_header(const struct world *world, const char *line)
{
    if (strstr(world->headers, line) == NULL) {
        fail_msg("no `%s` in:\n%s", line, world->headers);
    }
}

static void assert_error(const struct world *world, int status, const char *type, const char *text)
{
    char line[128];
    assert_int_equal(world->replies, 1);
    assert_int_equal(world->status, status);
    assert_string_equal(world->text, text);
    (void)snprintf(line, sizeof line, "x-amzn-ErrorType: %s\n", type);
    assert_header(world, line);
    assert_header(world, "Content-Type: application/json\n");
}

/* ---- matching ---- */

static void paths_are_told_apart(void **state)
{
    static const struct {
        const char *path;
        bool at_root, taken;
        const char *stage, *id;
    } rows[] = {
        {"/prod/@connections/abc", false, true, "prod", "abc"},
        {"/prod/%40connections/a%3D", false, true, "prod", "a%3D"},
        {"/prod/@connections/", false, true, "prod", ""},
        {"/prod/@connections", false, true, "prod", ""},
        {"/prod/@connections/a/b", false, true, "prod", "a/b"},
        {"/prod/prod/@connections/abc", false, true, "prod/prod", "abc"},
        {"/@connections/abc", false, false, "", ""},
        {"/@connections/abc", true, true, "", "abc"},
        {"/prod/@connections/abc", true, true, "prod", "abc"},
        {"//@connections/abc", true, false, "", ""},
        {"//@connections/abc", false, false, "", ""},
        {"/prod", false, false, "", ""},
        {"/prod/", false, false, "", ""},
        {"/", true, false, "", ""},
        {"*", true, false, "", ""},
        {"", true, false, "", ""},
        {"/prod/@connectionsx/abc", false, false, "", ""},
        {"/prod/x@connections/abc", false, false, "", ""},
        {"/prod/%2540connections/abc", false, false, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_api api = {.settings.serve_at_root = rows[i].at_root};
        struct tg_slice stage = TG_LIT("?"), id = TG_LIT("?");
        bool taken = tg_management_match(&api, tg_slice_cstr(rows[i].path), &stage, &id);
        if (taken != rows[i].taken) {
            fail_msg("%s", rows[i].path);
        }
        if (taken) {
            assert_true(tg_slice_eq(stage, tg_slice_cstr(rows[i].stage)));
            assert_true(tg_slice_eq(id, tg_slice_cstr(rows[i].id)));
        }
    }
}

static void wrong_shapes_are_not_found(void **state)
{
    static const char *const rows[][3] = {
        {"POST", "/prod/prod/@connections/" ID, "prod/@connections/" ID},
        {"POST", "/prod/@connections", "@connections"},
        {"POST", "/prod/@connections/", "@connections/"},
        {"GET", "/prod/@connections/a/b", "@connections/a/b"},
        {"PUT", PATH, "@connections/AAECAwQFBgcICQoLDA%3D%3D"},
        {"post", PATH, "@connections/AAECAwQFBgcICQoLDA%3D%3D"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        begin(world, rows[i][0], rows[i][1], "", &world->credential);
        (void)snprintf(text, sizeof text,
                       "{\"message\":\"No method found matching route %s for http method %s\"}", rows[i][2],
                       rows[i][0]);
        assert_error(world, 404, "NotFoundException", text);
    }
    assert_int_equal(fake.started, 0);
}

/* ---- answers ---- */

static void post_delivers(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "hello", &world->credential);
    assert_int_equal(world->replies, 0);
    assert_int_equal(world->body_limit, 131072);
    assert_int_equal(fake.started, 1);
    assert_int_equal(fake.request.verb, TG_PUSH_POST);
    assert_string_equal(fake.id, ID);
    assert_string_equal(fake.payload, "hello");
    assert_false(fake.request.binary);
    assert_int_equal(fake.request.timeout_ms, 3000);
    assert_int_equal(atomic_load(&world->model.refs), 2);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
    assert_string_equal(world->text, "");
    assert_header(world, "x-amzn-RequestId: ");
    assert_header(world, "x-amz-apigw-id: ");
    assert_header(world, "X-Amzn-Trace-Id: Root=1-");
    assert_header(world, "Content-Type: application/json\n");
    assert_null(strstr(world->headers, "ErrorType"));
    struct tg_route_metrics *series = tg_metrics_series(world->engine.metrics, TG_LIT("chat"), TG_LIT("prod"),
                                                        TG_LIT("POST /@connections/{connectionId}"));
    assert_int_equal(atomic_load(&series->messages_out), 1);
    assert_int_equal(atomic_load(&series->metered_out), 1);
}

static void the_request_id_is_a_uuid(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "x", &world->credential);
    push_ends(TG_PUSH_DONE, NULL);
    const char *id = strstr(world->headers, "x-amzn-RequestId: ") + strlen("x-amzn-RequestId: ");
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        assert_true(dash ? id[i] == '-' : strchr("0123456789abcdef", id[i]) != NULL);
    }
    assert_int_equal(id[36], '\n');
    assert_int_equal(id[14], '4');
}

static void get_prints_as_recorded(void **state)
{
    struct world *world = *state;
    const struct tg_push_info info = {
        .source_ip = TG_LIT("203.0.113.9"),
        .user_agent = TG_LIT("Mozilla \"5\""),
        .connected_at_ms = 1767323045123,
        .last_active_ms = 1767323049456,
    };
    call(world, "GET", PATH, "", &world->credential);
    assert_int_equal(fake.request.verb, TG_PUSH_GET);
    push_ends(TG_PUSH_DONE, &info);
    assert_int_equal(world->status, 200);
    assert_string_equal(world->text, "{\n"
                                     "  \"identity\" : {\n"
                                     "    \"sourceIp\" : \"203.0.113.9\",\n"
                                     "    \"userAgent\" : \"Mozilla \\\"5\\\"\"\n"
                                     "  },\n"
                                     "  \"connectedAt\" : \"2026-01-02T03:04:05.123Z\",\n"
                                     "  \"lastActiveAt\" : \"2026-01-02T03:04:09.456Z\"\n"
                                     "}");
}

static void get_without_agent_prints_an_empty_string(void **state)
{
    struct world *world = *state;
    const struct tg_push_info info = {.source_ip = TG_LIT("::1")};
    call(world, "GET", PATH, "", &world->credential);
    push_ends(TG_PUSH_DONE, &info);
    assert_non_null(strstr(world->text, "\"userAgent\" : \"\"\n"));
}

static void delete_closes_normally(void **state)
{
    struct world *world = *state;
    call(world, "DELETE", PATH, "", &world->credential);
    assert_int_equal(fake.request.verb, TG_PUSH_DELETE);
    assert_int_equal(fake.request.close_code, 1000);
    assert_true(tg_slice_eq(fake.request.close_reason, TG_LIT("Connection Closed Normally")));
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 204);
    assert_string_equal(world->text, "");
}

static void outcomes_become_errors(void **state)
{
    static const struct {
        enum tg_push_outcome outcome;
        int status;
        const char *type, *text;
    } rows[] = {
        {TG_PUSH_GONE, 410, "GoneException", ""},
        {TG_PUSH_BUSY, 429, "LimitExceededException", "{\"message\":\"Limit Exceeded\"}"},
        {TG_PUSH_UNREACHABLE, 503, "ServiceUnavailableException", "{\"message\":\"Service Unavailable\"}"},
        {TG_PUSH_FAILED, 500, "InternalServerErrorException", "{\"message\":\"Internal server error\"}"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        call(world, "POST", PATH, "x", &world->credential);
        push_ends(rows[i].outcome, NULL);
        assert_error(world, rows[i].status, rows[i].type, rows[i].text);
    }
}

static void bodies_become_text_or_binary(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH,
         "a\xFF"
         "b",
         &world->credential);
    assert_string_equal(fake.payload, "a\xEF\xBF\xBD"
                                      "b");
    push_ends(TG_PUSH_DONE, NULL);
    call(world, "POST", PATH, "", &world->credential);
    assert_int_equal(fake.payload_len, 0);
    push_ends(TG_PUSH_DONE, NULL);
    for (int binary_frames = 0; binary_frames < 2; binary_frames++) {
        world->api.settings.binary_frames = binary_frames;
        world->model.management.auth = TG_MANAGEMENT_NONE;
        begin(world, "POST", PATH, "\xFF", NULL);
        finish_body(world, TG_OK);
        assert_false(fake.request.binary); /* without that Content-Type */
        push_ends(TG_PUSH_DONE, NULL);
    }
}

static struct world *typed(struct world *world, const char *type)
{
    struct tg_slice stage, id;
    begin(world, "POST", PATH, "\xFF", NULL);
    finish_body(world, TG_OK);
    push_ends(TG_PUSH_DONE, NULL);
    tg_arena_init(&world->request_arena, NULL);
    world->exchange.headers = (struct tg_headers){0};
    assert_int_equal(tg_headers_add(&world->exchange.headers, world->exchange.arena, TG_LIT("Content-Type"),
                                    tg_slice_cstr(type)),
                     TG_OK);
    assert_true(tg_management_match(&world->api, world->exchange.path, &stage, &id));
    tg_management_serve(&world->engine, &world->api, stage, id, &world->exchange);
    finish_body(world, TG_OK);
    return world;
}

static void octets_are_binary_where_allowed(void **state)
{
    struct world *world = *state;
    world->model.management.auth = TG_MANAGEMENT_NONE;
    typed(world, "application/octet-stream");
    assert_false(fake.request.binary);
    push_ends(TG_PUSH_DONE, NULL);
    world->api.settings.binary_frames = true;
    typed(world, "Application/Octet-Stream; x=y");
    assert_true(fake.request.binary);
    assert_string_equal(fake.payload, "\xFF");
    push_ends(TG_PUSH_DONE, NULL);
    typed(world, "text/plain");
    assert_false(fake.request.binary);
    push_ends(TG_PUSH_DONE, NULL);
}

/* ---- the order of checks ---- */

static void the_size_comes_first(void **state)
{
    struct world *world = *state;
    begin(world, "POST", "/nope/@connections/nonsense", "", NULL);
    finish_body(world, TG_ELIMIT);
    assert_int_equal(world->status, 413);
    assert_string_equal(world->text, "");
    assert_string_equal(world->headers, "");
    world->model.management.error_type_on_413 = true;
    begin(world, "POST", PATH, "", &world->credential);
    finish_body(world, TG_ELIMIT);
    assert_int_equal(world->status, 413);
    assert_string_equal(world->text, "");
    assert_string_equal(world->headers, "x-amzn-ErrorType: PayloadTooLargeException\n");
    assert_int_equal(fake.started, 0);
}

static void unsigned_callers_learn_nothing(void **state)
{
    struct world *world = *state;
    static const char *const paths[] = {PATH, "/prod/@connections/nonsense", "/nope/@connections/nonsense"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        call(world, "POST", paths[i], "x", NULL);
        assert_error(world, 403, "MissingAuthenticationTokenException",
                     "{\"message\":\"Missing Authentication Token\"}");
    }
    assert_int_equal(fake.started, 0);
}

static void malformed_ids_come_before_permission(void **state)
{
    struct world *world = *state;
    world->credential.policy = NULL;
    call(world, "POST", "/prod/@connections/non%22sense%00", "x", &world->credential);
    assert_error(world, 400, "BadRequestException", "{\"message\":\"Invalid connectionId: non\\\"sense\"}");
    call(world, "POST", "/nope/@connections/x", "x", &world->credential);
    assert_error(world, 400, "BadRequestException", "{\"message\":\"Invalid connectionId: x\"}");
}

static void stages_come_before_signatures(void **state)
{
    struct world *world = *state;
    struct tg_credential other = {.access_key_id = TG_LIT("AKIDEXAMPLE"), .secret_access_key = TG_LIT("no")};
    call(world, "POST", "/nope/@connections/" ID, "x", &other);
    assert_error(world, 403, "ForbiddenException", "{\"message\":\"Forbidden\"}");
    call(world, "POST", PATH, "x", &other);
    assert_int_equal(world->status, 403);
    assert_header(world, "x-amzn-ErrorType: InvalidSignatureException\n");
    assert_non_null(strstr(world->text, "{\"message\":\"The request signature we calculated does not match"));
    other.access_key_id = TG_LIT("NOBODY");
    call(world, "POST", PATH, "x", &other);
    assert_int_equal(world->status, 403);
    assert_header(world, "x-amzn-ErrorType: UnrecognizedClientException\n");
    assert_int_equal(fake.started, 0);
}

static void any_stage_of_the_api_serves(void **state)
{
    struct world *world = *state;
    call(world, "POST", "/dev/@connections/" ID, "x", &world->credential);
    assert_int_equal(fake.started, 1);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
}

static void policies_are_asked_about_the_placeholder(void **state)
{
#define POLICY(resource)                                                                                     \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"                           \
    "\"execute-api:ManageConnections\",\"Resource\":\"arn:aws:execute-api:us-east-1:123456789012:"           \
    "chat/" resource "\"}]}"
    static const struct {
        const char *policy;
        bool allowed, allowed_strictly;
    } rows[] = {
        {POLICY("prod/POST/@connections/*"), true, true},
        {POLICY("*"), true, true},
        {POLICY("prod/POST/@connections/{connectionId}"), true, true},
        {POLICY("prod/POST/@connections/" ID), true, false},
        {POLICY("prod/POST/@connections"), false, false},
        {POLICY("prod/GET/@connections/*"), false, false},
        {POLICY("dev/*"), false, false},
    };
#undef POLICY
    struct world *world = *state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        bool strict = i % 2 == 1;
        bool expected = strict ? rows[i / 2].allowed_strictly : rows[i / 2].allowed;
        world->model.management.strict_management_arn = strict;
        world->credential.policy = policy_of(world, rows[i / 2].policy);
        call(world, "POST", PATH, "x", &world->credential);
        if (expected) {
            push_ends(TG_PUSH_DONE, NULL);
        }
        if (world->status != (expected ? 200 : 403)) {
            fail_msg("%s: %d", rows[i / 2].policy, world->status);
        }
    }
}

static void refusals_by_policy_say_why(void **state)
{
#define REFUSED                                                                                              \
    "{\"Message\":\"User: arn:aws:iam::123456789012:user/app is not authorized to perform: "                 \
    "execute-api:ManageConnections on resource: arn:aws:execute-api:us-east-1:********9012:chat/prod/POST/"  \
    "@connections/{connectionId} "
    struct world *world = *state;
    world->credential.policy = NULL;
    call(world, "POST", PATH, "x", &world->credential);
    assert_error(world, 403, "AccessDeniedException",
                 REFUSED "because no session policy allows the execute-api:ManageConnections action\"}");
    world->credential.policy = policy_of(
        world, "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\","
               "\"Resource\":\"*\"},{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":"
               "{\"IpAddress\":{\"aws:SourceIp\":\"203.0.113.0/24\"}}}]}");
    call(world, "POST", PATH, "x", &world->credential);
    assert_error(world, 403, "AccessDeniedException", REFUSED "with an explicit deny in a session policy\"}");
#undef REFUSED
    assert_int_equal(fake.started, 0);
}

static void the_account_limit_refuses(void **state)
{
    struct world *world = *state;
    world->model.throttling = (struct tg_throttling){.rate_limit = 0.001, .burst_limit = 1};
    call(world, "POST", PATH, "x", &world->credential);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
    call(world, "POST", PATH, "x", &world->credential);
    assert_error(world, 429, "LimitExceededException", "{\"message\":\"Limit Exceeded\"}");
    /* Callers that were not let in draw nothing. */
    call(world, "POST", PATH, "x", NULL);
    assert_int_equal(world->status, 403);
}

static void without_auth_nobody_is_asked(void **state)
{
    struct world *world = *state;
    world->model.management.auth = TG_MANAGEMENT_NONE;
    call(world, "POST", PATH, "x", NULL);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
    call(world, "POST", "/prod/@connections/x", "x", NULL);
    assert_int_equal(world->status, 400);
}

static void signing_keys_are_kept(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 3; i++) {
        call(world, "POST", PATH, "x", &world->credential);
        push_ends(TG_PUSH_DONE, NULL);
    }
    assert_int_equal(world->engine.signing_keys.misses, 1);
    assert_int_equal(world->engine.signing_keys.hits, 2);
}

/* ---- the end ---- */

static void a_client_that_leaves_cancels(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "x", &world->credential);
    world->exchange.on_abort(world->exchange.abort_arg);
    assert_int_equal(fake.cancelled, 1);
    assert_int_equal(world->replies, 0);
    tg_loop_run_once(world->engine.loop);
    assert_int_equal(world->replies, 1);
}

static void a_client_that_leaves_early_starts_nothing(void **state)
{
    struct world *world = *state;
    begin(world, "POST", PATH, "x", &world->credential);
    world->exchange.on_abort(world->exchange.abort_arg);
    finish_body(world, TG_OK);
    assert_int_equal(fake.started, 0);
    assert_int_equal(world->replies, 1);
    begin(world, "POST", PATH, "x", &world->credential);
    finish_body(world, TG_ECLOSED);
    assert_int_equal(world->replies, 1);
}

static void an_abort_answers_what_is_pending(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "x", &world->credential);
    tg_management_abort(&world->engine);
    assert_int_equal(fake.cancelled, 1);
    assert_int_equal(world->status, 503);
}

static void a_reload_in_flight_is_survived(void **state)
{
    struct world *world = *state;
    call(world, "POST", PATH, "x", &world->credential);
    world->engine.model = NULL;
    tg_model_unref(&world->model);
    assert_int_equal(world->destroyed, 0);
    push_ends(TG_PUSH_DONE, NULL);
    assert_int_equal(world->status, 200);
    assert_int_equal(world->destroyed, 1);
    atomic_store(&world->model.refs, 1);
}

/* ---- the access log ---- */

static void calls_are_logged(void **state)
{
    struct world *world = *state;
    struct tg_accesslog format;
    struct tg_slice error;
    char rows[512];
    int pipe_fds[2];
    assert_int_equal(tg_accesslog_compile(
                         &world->arena,
                         TG_LIT("$context.eventType|$context.routeKey|$context.status|$context.connectionId|"
                                "$context.stage|$context.identity.sourceIp|$context.error.message|"
                                "$context.domainName|$context.messageId $context.requestId"),
                         &format, &error),
                     TG_OK);
    assert_int_equal(pipe(pipe_fds), 0);
    world->stages[0].access_log = &format;
    world->stages[0].access_fd = pipe_fds[1];
    call(world, "POST", PATH, "x", &world->credential);
    push_ends(TG_PUSH_GONE, NULL);
    call(world, "GET", PATH, "", NULL);
    ssize_t len = read(pipe_fds[0], rows, sizeof rows - 1);
    assert_true(len > 0);
    rows[len] = '\0';
    assert_non_null(strstr(rows, "CONNECTION_API|POST /@connections/{connectionId}|410|" ID
                                 "|prod|203.0.113.9|-|chat.example.com:8080|- "));
    assert_non_null(strstr(rows, "\nCONNECTION_API|GET /@connections/{connectionId}|403|" ID
                                 "|prod|203.0.113.9|Missing Authentication Token|chat.example.com:8080|- "));
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_told_apart),
        TEST(wrong_shapes_are_not_found),
        TEST(post_delivers),
        TEST(the_request_id_is_a_uuid),
        TEST(get_prints_as_recorded),
        TEST(get_without_agent_prints_an_empty_string),
        TEST(delete_closes_normally),
        TEST(outcomes_become_errors),
        TEST(bodies_become_text_or_binary),
        TEST(octets_are_binary_where_allowed),
        TEST(the_size_comes_first),
        TEST(unsigned_callers_learn_nothing),
        TEST(malformed_ids_come_before_permission),
        TEST(stages_come_before_signatures),
        TEST(any_stage_of_the_api_serves),
        TEST(policies_are_asked_about_the_placeholder),
        TEST(refusals_by_policy_say_why),
        TEST(the_account_limit_refuses),
        TEST(without_auth_nobody_is_asked),
        TEST(signing_keys_are_kept),
        TEST(a_client_that_leaves_cancels),
        TEST(a_client_that_leaves_early_starts_nothing),
        TEST(an_abort_answers_what_is_pending),
        TEST(a_reload_in_flight_is_survived),
        TEST(calls_are_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
