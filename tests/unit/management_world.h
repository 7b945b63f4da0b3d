/* For tests of the management API: a gateway of one API, and pushes whose end the test decides on. */
#ifndef TG_TESTS_MANAGEMENT_WORLD_H
#define TG_TESTS_MANAGEMENT_WORLD_H

#include "connmgr/batch.h"
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
    bool within; /* a POST is done within the call, and ends so: */
    enum tg_push_outcome outcome;
    bool unflushed; /* something was done within, and not flushed since */
    int done_within;
    bool by_text;   /* ... but by what is pushed: "gone", "busy"; "later" is not done within the call */
    char taken[16]; /* the first character of each push that was asked for within a call; a batch: B */
    enum tg_err start_result;
    struct tg_push_request request;
    char id[64], payload[64];
    size_t payload_len;
    struct tg_push_op op;
} fake;

void tg_push_expect(struct tg_push *push, struct tg_slice connection_id)
{
    (void)push;
    (void)connection_id;
}

enum tg_err tg_push_check_id(struct tg_push *push, struct tg_slice connection_id)
{
    (void)push;
    return tg_slice_eq(connection_id, TG_LIT(ID)) ? TG_OK : TG_ESYNTAX;
}

static inline void take_mark(char mark)
{
    size_t len = strlen(fake.taken);
    if (len + 1 < sizeof fake.taken) {
        fake.taken[len] = mark;
    }
}

static inline void take_request(const struct tg_push_request *request)
{
    fake.request = *request;
    (void)snprintf(fake.id, sizeof fake.id, "%.*s", TG_FMT(request->connection_id));
    assert_true(request->payload.len < sizeof fake.payload || request->payload.len > 1000);
    fake.payload_len = request->payload.len;
    (void)snprintf(fake.payload, sizeof fake.payload, "%.*s", TG_FMT(request->payload));
}

bool tg_push_now(struct tg_push *push, const struct tg_push_request *request, struct tg_push_now *out)
{
    (void)push;
    if (!fake.within || request->verb != TG_PUSH_POST) {
        return false;
    }
    if (request->payload.len > 0) {
        take_mark(request->payload.ptr[0]);
    }
    if (fake.by_text && tg_slice_eq(request->payload, TG_LIT("later"))) {
        return false;
    }
    fake.done_within++;
    take_request(request);
    fake.unflushed = true;
    out->outcome = !fake.by_text                                   ? fake.outcome
                   : tg_slice_eq(request->payload, TG_LIT("gone")) ? TG_PUSH_GONE
                   : tg_slice_eq(request->payload, TG_LIT("busy")) ? TG_PUSH_BUSY
                                                                   : TG_PUSH_DONE;
    return true;
}

void tg_push_flush(struct tg_push *push)
{
    (void)push;
    fake.unflushed = false;
}

enum tg_push_outcome tg_push_outcome_now(const struct tg_push *push, const struct tg_push_now *now)
{
    (void)push;
    assert_false(fake.unflushed); /* what became of it is not known before */
    return now->outcome;
}

enum tg_err tg_push_start(struct tg_push *push, const struct tg_push_request *request, tg_pushed_fn *done,
                          void *arg, struct tg_push_op **out)
{
    (void)push;
    if (fake.start_result != TG_OK) {
        return fake.start_result;
    }
    fake.started++;
    take_request(request);
    fake.op = (struct tg_push_op){done, arg};
    *out = &fake.op;
    return TG_OK;
}

void tg_push_cancel(struct tg_push_op *op)
{
    assert_ptr_equal(op, &fake.op);
    fake.cancelled++;
}

static inline void push_ends(enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    fake.op.done(fake.op.arg, outcome, info);
}

/* ---- a batch, likewise ---- */

/* ID is connection 1; 2 to 9 are these. */
#define BATCH_ID(digit) "-ID-of-connection-" digit "="

struct tg_batch {
    tg_batch_done_fn *done;
    void *arg;
};

static struct {
    int started, cancelled;
    enum tg_err start_result;
    struct tg_batch_request request;
    char slots[64]; /* of the connections: a digit each */
    char payload[64];
    struct tg_batch batch;
} fake_batch;

enum tg_err tg_push_read_id(struct tg_push *push, struct tg_slice connection_id, struct tg_connid *out)
{
    struct tg_slice known = TG_LIT(BATCH_ID(""));
    unsigned digit = tg_slice_eq(connection_id, TG_LIT(ID)) ? 1 : 0;
    (void)push;
    if (connection_id.len == TG_CONNID_LEN && tg_slice_starts(connection_id, tg_slice_head(known, 18))) {
        digit = (unsigned)(connection_id.ptr[18] - '0');
    }
    if (digit < 1 || digit > 9) {
        return TG_ESYNTAX;
    }
    *out = (struct tg_connid){.slot = digit, .generation = 1};
    return TG_OK;
}

enum tg_err tg_batch_start(struct tg_push *push, const struct tg_batch_request *request,
                           tg_batch_done_fn *done, void *arg, struct tg_batch **out)
{
    (void)push;
    if (fake_batch.start_result != TG_OK) {
        return fake_batch.start_result;
    }
    fake_batch.started++;
    take_mark('B');
    fake_batch.request = *request;
    memset(fake_batch.slots, 0, sizeof fake_batch.slots);
    for (size_t i = 0; i < request->count && i + 1 < sizeof fake_batch.slots; i++) {
        fake_batch.slots[i] = (char)('0' + request->ids[i].slot);
    }
    (void)snprintf(fake_batch.payload, sizeof fake_batch.payload, "%.*s", TG_FMT(request->payload));
    fake_batch.batch = (struct tg_batch){done, arg};
    *out = &fake_batch.batch;
    return TG_OK;
}

void tg_batch_cancel(struct tg_batch *batch)
{
    assert_ptr_equal(batch, &fake_batch.batch);
    fake_batch.cancelled++;
}

/* outcomes: one for each connection that the batch was started with. */
static inline void batch_ends(const enum tg_push_outcome *outcomes)
{
    unsigned char bytes[64];
    assert_true(fake_batch.request.count <= sizeof bytes);
    for (size_t i = 0; i < fake_batch.request.count; i++) {
        bytes[i] = (unsigned char)outcomes[i];
    }
    fake_batch.batch.done(fake_batch.batch.arg, bytes);
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
    bool at_hand;      /* all of the body has come with the head */
    int64_t at_ms;     /* of the next calls; 0: now */
    const char *trace; /* X-Amzn-Trace-Id of the next calls, or NULL */
    enum tg_err body_result;
    size_t body_limit;
    void (*body_done)(void *arg, enum tg_err err, struct tg_slice body);
    void *body_arg;
    /* what came out */
    int replies, status;
    char text[1024];
    char headers[2048]; /* `Name: value\n` each */
};

static inline struct world *world_of(struct tg_exchange *exchange)
{
    return (struct world *)(void *)((char *)exchange - offsetof(struct world, exchange));
}

static inline void read_body(struct tg_exchange *exchange, size_t limit,
                             void (*done)(void *arg, enum tg_err err, struct tg_slice body), void *arg)
{
    struct world *world = world_of(exchange);
    world->body_limit = limit;
    world->body_done = done;
    world->body_arg = arg;
}

static inline bool body_at_hand(struct tg_exchange *exchange, size_t limit, struct tg_slice *body)
{
    struct world *world = world_of(exchange);
    if (!world->at_hand || world->body.len > limit) {
        return false;
    }
    *body = world->body;
    return true;
}

static inline void take_reply(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
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

static inline void take_lines(struct tg_exchange *exchange, int status, struct tg_slice lines,
                              struct tg_slice body)
{
    struct tg_headers fields = {0};
    while (lines.len > 0) {
        struct tg_slice line = tg_slice_cut(lines, '\n', &lines), value;
        assert_true(tg_slice_ends(line, TG_LIT("\r")));
        struct tg_slice name = tg_slice_cut(tg_slice_head(line, line.len - 1), ':', &value);
        assert_true(tg_header_name_ok(name) && tg_header_value_ok(value));
        assert_int_equal(tg_headers_add(&fields, exchange->arena, name, tg_slice_trim(value)), TG_OK);
    }
    take_reply(exchange, status, &fields, body);
}

static const struct tg_exchange_ops exchange_ops = {
    .read_body = read_body, .body_at_hand = body_at_hand, .reply = take_reply, .reply_lines = take_lines};

static inline void destroy(struct tg_model *model)
{
    ((struct world *)(void *)((char *)model - offsetof(struct world, model)))->destroyed++;
}

static inline const struct tg_policy *policy_of(struct world *world, const char *text)
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

static inline int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    memset(&fake, 0, sizeof fake);
    memset(&fake_batch, 0, sizeof fake_batch);
    tg_arena_init(&world->arena, NULL);
    tg_engine_init(&world->engine);
    assert_int_equal(tg_loop_new(&world->engine.loop), TG_OK);
    assert_int_equal(tg_metrics_new(&world->engine.metrics), TG_OK);
    assert_int_equal(tg_throttles_new(true, &world->engine.throttles), TG_OK);
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

static inline int tear_down(void **state)
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

/* Makes the exchange of a call; signed unless `credential` is NULL. */
static inline void prepare(struct world *world, const char *method, const char *path, const char *body,
                           const struct tg_credential *credential)
{
    struct tg_exchange *exchange = &world->exchange;
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
        .received_ms = world->at_ms != 0 ? world->at_ms : tg_loop_wall_ms(world->engine.loop),
    };
    struct tg_headers *headers = &exchange->headers;
    assert_int_equal(tg_headers_add(headers, exchange->arena, TG_LIT("Host"), exchange->host), TG_OK);
    if (world->trace != NULL) {
        assert_int_equal(
            tg_headers_add(headers, exchange->arena, TG_LIT("X-Amzn-Trace-Id"), tg_slice_cstr(world->trace)),
            TG_OK);
    }
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
}

/* Begins a call up to where its body is asked for. */
static inline void begin(struct world *world, const char *method, const char *path, const char *body,
                         const struct tg_credential *credential)
{
    struct tg_exchange *exchange = &world->exchange;
    struct tg_slice stage, id;
    prepare(world, method, path, body, credential);
    assert_true(tg_management_match(&world->api, exchange->path, &stage, &id));
    struct tg_call_lane lane = tg_management_lane(&world->api, stage);
    tg_management_serve(&world->engine, &lane, id, exchange);
}

static inline void finish_body(struct world *world, enum tg_err result)
{
    assert_non_null(world->body_done);
    world->body_done(world->body_arg, result, result == TG_OK ? world->body : TG_EMPTY);
}

static inline void call(struct world *world, const char *method, const char *path, const char *body,
                        const struct tg_credential *credential)
{
    begin(world, method, path, body, credential);
    finish_body(world, TG_OK);
}

static inline void assert_header(const struct world *world, const char *line)
{
    if (strstr(world->headers, line) == NULL) {
        fail_msg("no `%s` in:\n%s", line, world->headers);
    }
}

static inline void assert_error(const struct world *world, int status, const char *type, const char *text)
{
    char line[128];
    assert_int_equal(world->replies, 1);
    assert_int_equal(world->status, status);
    assert_string_equal(world->text, text);
    (void)snprintf(line, sizeof line, "x-amzn-ErrorType: %s\n", type);
    assert_header(world, line);
    assert_header(world, "Content-Type: application/json\n");
}

#endif
