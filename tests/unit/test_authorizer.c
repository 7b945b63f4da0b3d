#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "tests/unit/request_world.h"
#include "routes/authorizer.h"
#include "routes/fields.h"
#include "routes/event.h"
#include "routes/lambda.h"
#include "routes/source.h"
#include "routes/stagevars.h"
#include "routes/target.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])
#define ARN         "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/$connect"
#define POLICY(effect, resource)                                                                             \
    "\"policyDocument\":{\"Version\":\"2012-10-17\",\"Statement\":[{\"Action\":\"execute-api:Invoke\","      \
    "\"Effect\":\"" effect "\",\"Resource\":\"" resource "\"}]}"
#define ALLOW POLICY("Allow", "*")

/* ---- an upstream that the test answers for ---- */

static struct {
    int calls, cancelled;
    struct tg_call_request request;
    char body[4096];
    tg_fetched_fn *done;
    void *arg;
} upstream;

enum tg_err tg_upstream_fetch(struct tg_upstream *unused, const struct tg_call_request *request,
                              struct tg_arena *arena, tg_fetched_fn *done, void *arg, struct tg_call **out)
{
    (void)unused;
    (void)arena;
    upstream.calls++;
    upstream.request = *request;
    (void)snprintf(upstream.body, sizeof upstream.body, "%.*s", TG_FMT(request->body));
    upstream.done = done;
    upstream.arg = arg;
    *out = (struct tg_call *)(void *)&upstream;
    return TG_OK;
}

void tg_call_cancel(struct tg_call *call)
{
    assert_ptr_equal(call, &upstream);
    upstream.cancelled++;
}

/* ---- reading results ---- */

static enum tg_err read_result(struct tg_arena *arena, const char *text, struct tg_authorizer_result *out)
{
    struct tg_slice detail = TG_EMPTY;
    enum tg_err err = tg_authorizer_read_result(arena, tg_slice_cstr(text), out, &detail);
    if (err == TG_ESYNTAX || err == TG_ELIMIT) {
        assert_true(detail.len > 0);
    }
    return err;
}

static void malformed_results_are_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "nope",
        "null",
        "[]",
        "\"Allow\"",
        "{}",
        "{\"principalId\":\"x\"}",
        "{\"isAuthorized\":true}",
        "{\"policyDocument\":\"Allow\"}",
        "{\"policyDocument\":null}",
        "{\"policyDocument\":{\"Version\":\"2012-10-17\"}}",
        "{" POLICY("Perhaps", "*") "}",
        "{\"policyDocument\":{\"Version\":\"2012-10-17\",\"Statement\":[{\"Action\":\"*\",\"Resource\":\"*\"}"
        "]}}",
        "{" ALLOW ",\"context\":\"x\"}",
        "{" ALLOW ",\"context\":[]}",
        "{" ALLOW ",\"context\":{\"a\":{}}}",
        "{" ALLOW ",\"context\":{\"a\":1,\"b\":[1]}}",
        "{" ALLOW ",\"principalId\":{\"a\":1}}",
        "{" ALLOW ",\"principalId\":[]}",
        "{" ALLOW ",\"principalId\":true}",
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_authorizer_result result;
        if (read_result(&arena, rows[i], &result) != TG_ESYNTAX) {
            fail_msg("%s", rows[i]);
        }
    }
    tg_arena_reset(&arena);
}

static void results_are_limited_to_8192_bytes(void **state)
{
    static const char before[] = "{" ALLOW ",\"context\":{\"a\":\"", after[] = "\"}}";
    char text[8194];
    struct tg_arena arena;
    struct tg_authorizer_result result;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t len = 8192; len <= 8193; len++) {
        memset(text, 'x', sizeof text);
        memcpy(text, before, sizeof before - 1);
        memcpy(text + len - (sizeof after - 1), after, sizeof after);
        assert_int_equal(read_result(&arena, text, &result), len == 8192 ? TG_OK : TG_ELIMIT);
    }
    tg_arena_reset(&arena);
}

static void context_is_stringified(void **state)
{
    static const struct {
        const char *text, *map;
    } rows[] = {
        {"{" ALLOW "}", ""},
        {"{" ALLOW ",\"principalId\":null,\"context\":null}", ""},
        {"{" ALLOW ",\"principalId\":\"\"}", "principalId=;"},
        {"{" ALLOW ",\"principalId\":42}", "principalId=42;"},
        {"{\"principalId\":\"user-17\"," ALLOW ",\"context\":{\"tenant\":\"acme\",\"level\":7,\"ratio\":1.5,"
         "\"beta\":true,\"off\":false,\"none\":null,\"empty\":\"\"}}",
         "tenant=acme;level=7;ratio=1.5;beta=true;off=false;empty=;principalId=user-17;"},
        {"{" ALLOW ",\"principalId\":\"me\",\"context\":{\"principalId\":\"you\",\"integrationLatency\":1}}",
         "principalId=me;"},
        {"{" ALLOW ",\"usageIdentifierKey\":\"k\",\"more\":{\"a\":[]}}", ""},
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_authorizer_result result;
        char map[256] = "";
        size_t len = 0;
        assert_int_equal(read_result(&arena, rows[i].text, &result), TG_OK);
        for (size_t j = 0; j < result.context.count; j++) {
            len +=
                (size_t)snprintf(map + len, sizeof map - len, "%.*s=%.*s;",
                                 TG_FMT(result.context.items[j].key), TG_FMT(result.context.items[j].value));
        }
        assert_string_equal(map, rows[i].map);
    }
    tg_arena_reset(&arena);
}

/* ---- the phase ---- */

struct fixture {
    struct request_world *world;
    struct tg_authorizer authorizer;
    struct tg_stagevars function_name;
    struct tg_function function;
    struct tg_credential credential;
    struct tg_source identity[2];
    struct tg_slice identity_text[2];
};

static const struct tg_target *target_of(struct tg_arena *arena, const char *url)
{
    const struct tg_target *target;
    struct tg_slice error;
    assert_int_equal(tg_target_compile(arena, tg_slice_cstr(url), &target, &error), TG_OK);
    return target;
}

static void use_identity(struct fixture *fixture, const char *first, const char *second)
{
    const char *texts[] = {first, second};
    struct tg_strings *source = &fixture->authorizer.identity_source;
    source->count = 0;
    for (size_t i = 0; i < 2 && texts[i] != NULL; i++) {
        struct tg_slice error;
        fixture->identity_text[i] = tg_slice_cstr(texts[i]);
        assert_int_equal(tg_source_compile_identity(&fixture->world->arena, fixture->identity_text[i],
                                                    &fixture->identity[i], &error),
                         TG_OK);
        source->count++;
    }
    source->items = fixture->identity_text;
    fixture->authorizer.identity = fixture->identity;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct tg_slice error;
    assert_non_null(fixture);
    memset(&upstream, 0, sizeof upstream);
    struct request_world *world = request_world_new();
    fixture->world = world;
    assert_int_equal(tg_stagevars_compile(&world->arena, TG_LIT("auth"), &fixture->function_name, &error),
                     TG_OK);
    fixture->function.name = TG_LIT("auth");
    fixture->function.target = target_of(&world->arena, "http://127.0.0.1:3001");
    tg_map_init(&world->model.function_map, 0);
    tg_map_init(&world->model.credential_map, 0);
    assert_int_equal(tg_map_add(&world->model.function_map, TG_LIT("auth"), &fixture->function), TG_OK);
    assert_int_equal(tg_map_add(&world->model.credential_map, TG_LIT("AKIDEXAMPLE"), &fixture->credential),
                     TG_OK);
    fixture->authorizer.function_name = &fixture->function_name;
    fixture->authorizer.timeout_in_millis = 1234;
    world->route.authorization_type = TG_AUTH_CUSTOM;
    world->route.authorizer = &fixture->authorizer;
    request_world_begin(world, TG_REQUEST_CONNECT);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    request_world_free(fixture->world);
    free(fixture);
    return 0;
}

static void respond(enum tg_err err, int status, const char *error_field, const char *body)
{
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    struct tg_call_response response = {.status = status, .body = tg_slice_cstr(body)};
    if (error_field != NULL) {
        assert_int_equal(tg_headers_add(&response.headers, &arena, TG_LIT("X-Amz-Function-Error"),
                                        tg_slice_cstr(error_field)),
                         TG_OK);
    }
    upstream.done(upstream.arg, err, err == TG_OK ? &response : NULL);
    tg_arena_reset(&arena);
}

struct outcome {
    enum tg_err err;
    int status;
    const char *error_field, *body;
    enum tg_fault fault;
};

static void check_outcomes(struct fixture *fixture, const struct outcome *rows, size_t count)
{
    struct request_world *world = fixture->world;
    for (size_t i = 0; i < count; i++) {
        request_world_again(world, TG_REQUEST_CONNECT);
        upstream.calls = 0;
        tg_request_run(world->request);
        assert_int_equal(upstream.calls, 1);
        assert_int_equal(world->done, 0);
        respond(rows[i].err, rows[i].status, rows[i].error_field, rows[i].body);
        assert_int_equal(world->done, 1);
        if (world->request->fault != rows[i].fault) {
            fail_msg("row %zu: %s", i, tg_fault_response_type(world->request->fault).ptr);
        }
        assert_true(world->request->authorizer_called);
        assert_true(world->request->authorizer_latency_ms >= 0);
        assert_int_equal(world->request->integration_called, false);
    }
}

static void outcomes_of_a_function(void **state)
{
    static const struct outcome rows[] = {
        {TG_OK, 200, NULL, "{" ALLOW "}", TG_FAULT_NONE},
        {TG_OK, 200, NULL, "{" POLICY("Allow", ARN) "}", TG_FAULT_NONE},
        {TG_OK, 200, NULL, "{" POLICY("Allow", "arn:aws:execute-api:*:*:a1b2c3d4e5/*") "}", TG_FAULT_NONE},
        {TG_OK, 200, NULL, "{" POLICY("Deny", ARN) "}", TG_FAULT_DENIED_EXPLICIT},
        {TG_OK, 200, NULL, "{" POLICY("Allow", "arn:aws:execute-api:*:*:other/*") "}", TG_FAULT_DENIED},
        {TG_OK, 200, NULL, "{\"policyDocument\":{\"Version\":\"2012-10-17\",\"Statement\":[]}}",
         TG_FAULT_DENIED},
        {TG_OK, 200, NULL,
         "{\"policyDocument\":{\"Version\":\"2012-10-17\",\"Statement\":{\"Action\":\"*\",\"Effect\":"
         "\"Allow\","
         "\"Resource\":\"*\",\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"203.0.113.0/24\"}}}}}",
         TG_FAULT_NONE},
        {TG_OK, 200, NULL,
         "{\"policyDocument\":{\"Version\":\"2012-10-17\",\"Statement\":{\"Action\":\"*\",\"Effect\":"
         "\"Allow\","
         "\"Resource\":\"*\",\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}}}}}",
         TG_FAULT_DENIED},
        {TG_OK, 200, NULL, "{\"isAuthorized\":true}", TG_FAULT_AUTHORIZER_RESULT},
        {TG_OK, 200, NULL, "nope", TG_FAULT_AUTHORIZER_RESULT},
        {TG_OK, 200, "Unhandled", "{\"errorMessage\":\"Unauthorized\"}", TG_FAULT_UNAUTHORIZED},
        {TG_OK, 200, "Unhandled", "{\"errorMessage\":\"unauthorized\"}", TG_FAULT_AUTHORIZER},
        {TG_OK, 200, "Unhandled", "{\"errorMessage\":\"Unauthorized: no\"}", TG_FAULT_AUTHORIZER},
        {TG_OK, 200, "Unhandled", "Unauthorized", TG_FAULT_AUTHORIZER},
        {TG_OK, 200, "Unhandled", "{" ALLOW "}", TG_FAULT_AUTHORIZER},
        {TG_OK, 500, NULL, "{" ALLOW "}", TG_FAULT_AUTHORIZER},
        {TG_OK, 404, NULL, "", TG_FAULT_AUTHORIZER},
        {TG_ETIMEOUT, 0, NULL, "", TG_FAULT_AUTHORIZER},
        {TG_EREFUSED, 0, NULL, "", TG_FAULT_AUTHORIZER},
    };
    check_outcomes(*state, rows, COUNT(rows));
}

static void outcomes_over_http(void **state)
{
    static const struct outcome rows[] = {
        {TG_OK, 200, NULL, "{" ALLOW "}", TG_FAULT_NONE},
        {TG_OK, 200, NULL, "{" POLICY("Deny", "*") "}", TG_FAULT_DENIED_EXPLICIT},
        {TG_OK, 200, NULL, "nonsense", TG_FAULT_AUTHORIZER_RESULT},
        {TG_OK, 401, NULL, "", TG_FAULT_UNAUTHORIZED},
        {TG_OK, 403, NULL, "{" ALLOW "}", TG_FAULT_AUTHORIZER},
        {TG_OK, 204, NULL, "", TG_FAULT_AUTHORIZER},
        {TG_OK, 500, NULL, "", TG_FAULT_AUTHORIZER},
        {TG_ETIMEOUT, 0, NULL, "", TG_FAULT_AUTHORIZER},
        {TG_ECLOSED, 0, NULL, "", TG_FAULT_AUTHORIZER},
        {TG_ELIMIT, 0, NULL, "", TG_FAULT_AUTHORIZER_RESULT},
    };
    struct fixture *fixture = *state;
    fixture->authorizer.target = target_of(&fixture->world->arena, "http://auth.test:9000/judge");
    check_outcomes(fixture, rows, COUNT(rows));
}

static void an_http_authorizer_is_posted_the_event(void **state)
{
    struct fixture *fixture = *state;
    static const char start[] = "{\"type\":\"REQUEST\",\"methodArn\":\"" ARN "\",\"headers\":{";
    fixture->authorizer.target = target_of(&fixture->world->arena, "http://auth.test:9000/judge?x=1");
    tg_request_run(fixture->world->request);
    const struct tg_call_request *call = &upstream.request;
    assert_true(tg_slice_eq(call->method, TG_LIT("POST")));
    assert_true(tg_slice_eq(call->target, TG_LIT("/judge?x=1")));
    assert_true(tg_slice_eq(call->origin.host, TG_LIT("auth.test")));
    assert_int_equal(call->timeout_ms, 1234);
    assert_true(
        tg_slice_eq(tg_headers_first(&call->headers, TG_LIT("Host"))->value, TG_LIT("auth.test:9000")));
    assert_true(tg_slice_eq(tg_headers_first(&call->headers, TG_LIT("Content-Type"))->value,
                            TG_LIT("application/json")));
    assert_memory_equal(upstream.body, start, sizeof start - 1);
    respond(TG_EIO, 0, NULL, "");
}

static void a_function_is_invoked_with_the_event(void **state)
{
    struct fixture *fixture = *state;
    tg_request_run(fixture->world->request);
    assert_true(tg_slice_eq(upstream.request.target, TG_LIT("/2015-03-31/functions/auth/invocations")));
    assert_int_equal(upstream.request.timeout_ms, 1234);
    assert_memory_equal(upstream.body, "{\"type\":\"REQUEST\",", 18);
    respond(TG_EIO, 0, NULL, "");
}

static void an_unknown_function_is_a_failure(void **state)
{
    struct fixture *fixture = *state;
    tg_map_free(&fixture->world->model.function_map, NULL);
    tg_request_run(fixture->world->request);
    tg_loop_run_once(fixture->world->engine.loop);
    assert_int_equal(fixture->world->done, 1);
    assert_int_equal(fixture->world->request->fault, TG_FAULT_AUTHORIZER);
}

static void the_context_reaches_the_connection(void **state)
{
    struct fixture *fixture = *state;
    const struct tg_conn_info *info = &fixture->world->info;
    tg_request_run(fixture->world->request);
    assert_false(info->has_authorizer);
    respond(TG_OK, 200, NULL, "{\"principalId\":\"u\"," ALLOW ",\"context\":{\"tenant\":\"acme\"}}");
    assert_true(info->has_authorizer);
    assert_int_equal(info->authorizer.count, 2);
    assert_true(tg_slice_eq(*tg_string_map_get(&info->authorizer, TG_LIT("tenant")), TG_LIT("acme")));
    assert_true(tg_slice_eq(*tg_string_map_get(&info->authorizer, TG_LIT("principalId")), TG_LIT("u")));
    assert_int_equal(fixture->world->request->authorizer_status, 200);
}

static void a_refusal_leaves_no_context(void **state)
{
    struct fixture *fixture = *state;
    tg_request_run(fixture->world->request);
    respond(TG_OK, 200, NULL, "{\"principalId\":\"u\"," POLICY("Deny", "*") "}");
    assert_false(fixture->world->info.has_authorizer);
}

static void identity_sources_must_all_be_there(void **state)
{
    static const struct {
        const char *first, *second, *header, *query;
        bool asked;
    } rows[] = {
        {NULL, NULL, NULL, NULL, true},
        {"route.request.header.Auth", NULL, "x", NULL, true},
        {"route.request.header.Auth", NULL, "", NULL, false},
        {"route.request.header.Auth", NULL, NULL, NULL, false},
        {"route.request.querystring.token", NULL, NULL, "token=1", true},
        {"route.request.querystring.token", NULL, NULL, "Token=1", false},
        {"route.request.querystring.token", NULL, NULL, "token=", false},
        {"route.request.header.Auth", "route.request.querystring.token", "x", "token=1", true},
        {"route.request.header.Auth", "route.request.querystring.token", "x", NULL, false},
        {"route.request.header.Auth", "route.request.querystring.token", NULL, "token=1", false},
        {"context.connectionId", "context.stage", NULL, NULL, true},
        {"context.routeKey", NULL, NULL, NULL, false},
        {"context.eventType", NULL, NULL, NULL, false},
        {"stageVariables.missing", NULL, NULL, NULL, false},
    };
    struct fixture *fixture = *state;
    struct request_world *world = fixture->world;
    for (size_t i = 0; i < COUNT(rows); i++) {
        request_world_again(world, TG_REQUEST_CONNECT);
        use_identity(fixture, rows[i].first, rows[i].second);
        upstream.calls = 0;
        if (rows[i].header != NULL) {
            request_world_header(world, "aUTH", rows[i].header);
        }
        if (rows[i].query != NULL) {
            assert_int_equal(
                tg_query_parse(&world->request->arena, tg_slice_cstr(rows[i].query), &world->request->query),
                TG_OK);
        }
        tg_request_run(world->request);
        if (upstream.calls != (rows[i].asked ? 1 : 0)) {
            fail_msg("row %zu", i);
        }
        assert_int_equal(world->request->authorizer_called, rows[i].asked);
        if (rows[i].asked) {
            respond(TG_OK, 200, NULL, "{" ALLOW "}");
        }
        assert_int_equal(world->request->fault, rows[i].asked ? TG_FAULT_NONE : TG_FAULT_UNAUTHORIZED);
    }
}

static void a_pending_question_can_be_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct request_world *world = fixture->world;
    tg_request_run(world->request);
    world->request->cancel(world->request);
    assert_int_equal(upstream.cancelled, 1);
    fixture->authorizer.target = target_of(&world->arena, "http://auth.test/");
    request_world_again(world, TG_REQUEST_CONNECT);
    tg_request_run(world->request);
    world->request->cancel(world->request);
    assert_int_equal(upstream.cancelled, 2);
    assert_null(world->request->cancel);
}

static void without_authorization_nobody_is_asked(void **state)
{
    struct fixture *fixture = *state;
    fixture->world->route.authorization_type = TG_AUTH_NONE;
    tg_request_run(fixture->world->request);
    assert_int_equal(fixture->world->request->fault, TG_FAULT_NONE);
    assert_int_equal(upstream.calls, 0);
    assert_false(fixture->world->info.has_authorizer);
}

static void an_unknown_type_is_refused(void **state)
{
    struct fixture *fixture = *state;
    fixture->world->route.authorization_type = TG_AUTH_JWT;
    tg_request_run(fixture->world->request);
    assert_int_equal(fixture->world->request->fault, TG_FAULT_CONFIGURATION);
}

/* ---- AWS_IAM ---- */

/* The signer has the policy; NULL: none. */
static void begin_iam(struct fixture *fixture, const char *policy)
{
    struct request_world *world = fixture->world;
    const struct tg_json *json;
    const char *why;
    request_world_again(world, TG_REQUEST_CONNECT);
    world->route.authorization_type = TG_AUTH_AWS_IAM;
    fixture->credential = (struct tg_credential){
        .access_key_id = TG_LIT("AKIDEXAMPLE"),
        .secret_access_key = TG_LIT("right"),
        .user_arn = TG_LIT("arn:aws:iam::123456789012:user/app"),
    };
    if (policy != NULL) {
        assert_int_equal(tg_json_parse(&world->arena, tg_slice_cstr(policy), &json), TG_OK);
        assert_int_equal(tg_policy_compile(&world->arena, tg_json_get(json, TG_LIT("policyDocument")),
                                           &fixture->credential.policy, &why),
                         TG_OK);
    }
    world->request->method = TG_LIT("GET");
    world->request->path = TG_LIT("/prod");
    world->request->query_text = TG_LIT("room=a%20b");
    request_world_header(world, "Host", "abc123.execute-api.us-east-1.amazonaws.com");
}

/* secret NULL: not signed at all. */
static void sign_and_run(struct fixture *fixture, const char *secret, int64_t late_ms)
{
    struct request_world *world = fixture->world;
    struct tg_request *request = world->request;
    if (secret != NULL) {
        const struct tg_sigv4_request to_sign = {
            .method = TG_LIT("GET"),
            .path = request->path,
            .query = request->query_text,
            .headers = &request->headers,
            .region = TG_LIT("us-east-1"),
            .service = TG_LIT("execute-api"),
            .now_ms = request->time_ms - late_ms,
        };
        const struct tg_sigv4_credential key = {.access_key_id = TG_LIT("AKIDEXAMPLE"),
                                                .secret_access_key = tg_slice_cstr(secret)};
        struct tg_sigv4_signature signature;
        assert_int_equal(tg_sigv4_sign(&to_sign, &key, NULL, &request->arena, &signature), TG_OK);
        assert_int_equal(
            tg_headers_add(&request->headers, &request->arena, TG_LIT("X-Amz-Date"), signature.date), TG_OK);
        assert_int_equal(tg_headers_add(&request->headers, &request->arena, TG_LIT("Authorization"),
                                        signature.authorization),
                         TG_OK);
    }
    tg_request_run(request);
    assert_int_equal(world->done, 1);
}

static void run_iam(struct fixture *fixture, const char *policy, const char *secret, int64_t late_ms)
{
    begin_iam(fixture, policy);
    sign_and_run(fixture, secret, late_ms);
}

static void signed_handshakes(void **state)
{
    static const struct {
        const char *policy, *secret;
        int64_t late_ms;
        enum tg_fault fault;
    } rows[] = {
        {"{" ALLOW "}", "right", 0, TG_FAULT_NONE},
        {"{" POLICY("Allow", ARN) "}", "right", 0, TG_FAULT_NONE},
        {"{" POLICY("Allow", "arn:aws:execute-api:*:*:*/prod/other") "}", "right", 0, TG_FAULT_FORBIDDEN},
        {"{" POLICY("Deny", "*") "}", "right", 0, TG_FAULT_FORBIDDEN},
        {NULL, "right", 0, TG_FAULT_FORBIDDEN},
        {"{" ALLOW "}", "wrong", 0, TG_FAULT_SIGNATURE},
        {"{" ALLOW "}", "right", 400000, TG_FAULT_FORBIDDEN},
        {"{" ALLOW "}", NULL, 0, TG_FAULT_SIGNATURE_MISSING},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        run_iam(fixture, rows[i].policy, rows[i].secret, rows[i].late_ms);
        if (fixture->world->request->fault != rows[i].fault) {
            fail_msg("row %zu", i);
        }
        assert_int_equal(tg_fault_status(rows[i].fault), rows[i].fault == TG_FAULT_NONE ? 200 : 403);
    }
    assert_int_equal(upstream.calls, 0);
}

/* Who signed is kept for the events, also when the policy refuses (for the access log); what is signed
 * wrongly says nothing about anybody. */
static void the_signer_reaches_the_connection(void **state)
{
    static const struct {
        const char *arn, *account, *name;
    } rows[] = {
        {"arn:aws:iam::210987654321:user/app", "210987654321", "app"},
        {"arn:aws:iam::210987654321:user/team/a/ann", "210987654321", "ann"},
        {"arn:aws:sts::210987654321:assumed-role/role/session", "210987654321", "session"},
        {"arn:aws:iam::210987654321:root", "210987654321", "210987654321"},
        {"ann", "123456789012", "ann"},
        {"arn:aws:iam::", "123456789012", "123456789012"},
    };
    static const char *const policies[] = {"{" ALLOW "}", NULL};
    struct fixture *fixture = *state;
    struct request_world *world = fixture->world;
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        world->info.identity = (struct tg_string_map){0};
        begin_iam(fixture, policies[i % 2]);
        fixture->credential.user_arn = tg_slice_cstr(rows[i / 2].arn);
        sign_and_run(fixture, "right", 0);
        const struct {
            const char *name, *value;
        } expected[] = {
            {"accountId", rows[i / 2].account}, {"caller", rows[i / 2].name}, {"user", rows[i / 2].name},
            {"userArn", rows[i / 2].arn},       {"accessKey", "AKIDEXAMPLE"},
        };
        const struct tg_string_map *seen = &world->info.identity;
        assert_int_equal(seen->count, COUNT(expected));
        for (size_t j = 0; j < COUNT(expected); j++) {
            if (!tg_slice_eq(seen->items[j].key, tg_slice_cstr(expected[j].name)) ||
                !tg_slice_eq(seen->items[j].value, tg_slice_cstr(expected[j].value))) {
                fail_msg("%s: %s", rows[i / 2].arn, expected[j].name);
            }
        }
    }
    world->info.identity = (struct tg_string_map){0};
    run_iam(fixture, "{" ALLOW "}", "wrong", 0);
    assert_int_equal(world->info.identity.count, 0);
}

/* The vector of test_sigv4.c: browsers can sign in no other way. */
static void presigned_handshakes(void **state)
{
    static const char query[] =
        "room=a%20b&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2F"
        "execute-api%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&"
        "X-Amz-Signature=5ce68979ff8499d43a62072f238062a227c1285cfac41af0a51fb58635f288c5";
    struct fixture *fixture = *state;
    struct request_world *world = fixture->world;
    for (int altered = 0; altered < 2; altered++) {
        begin_iam(fixture, "{" ALLOW "}");
        fixture->credential.secret_access_key = TG_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        assert_int_equal(tg_arena_printf(&world->request->arena, &world->request->query_text, "%.*s%s",
                                         (int)sizeof query - 3, query, altered ? "c6" : "c5"),
                         TG_OK);
        tg_request_run(world->request);
        assert_int_equal(world->request->fault, altered ? TG_FAULT_SIGNATURE : TG_FAULT_NONE);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_results_are_refused),
        cmocka_unit_test(results_are_limited_to_8192_bytes),
        cmocka_unit_test(context_is_stringified),
        TEST(outcomes_of_a_function),
        TEST(outcomes_over_http),
        TEST(an_http_authorizer_is_posted_the_event),
        TEST(a_function_is_invoked_with_the_event),
        TEST(an_unknown_function_is_a_failure),
        TEST(the_context_reaches_the_connection),
        TEST(a_refusal_leaves_no_context),
        TEST(identity_sources_must_all_be_there),
        TEST(a_pending_question_can_be_cancelled),
        TEST(without_authorization_nobody_is_asked),
        TEST(an_unknown_type_is_refused),
        TEST(signed_handshakes),
        TEST(the_signer_reaches_the_connection),
        TEST(presigned_handshakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
