/* For tests of the pipeline end to end: one worker's engine on a real loop, with real connections, pushes,
 * throttles and a model out of a configuration file. Made up are its edges alone: exchanges, sockets
 * (fake_socket.h) and the calls to back ends, which the test answers when it likes. Include after cmocka.h,
 * in one test file each. */
#ifndef TG_TESTS_ENGINE_WORLD_H
#define TG_TESTS_ENGINE_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "routes/engine.h"
#include "routes/exchange.h"
#include "routes/request.h"
#include "server/app/config.h"
#include "tests/unit/fake_socket.h"

/* ---- back ends: these take the place of the client's ---- */

enum { CALLS_MAX = 8 };

struct tg_call {
    struct tg_upstream *upstream;
    bool busy; /* under way */
    enum tg_leave leave;
    struct tg_arena *arena;
    tg_fetched_fn *done;
    void *arg;
    char target[64], body[128];
};

struct tg_upstream {
    struct tg_call calls[CALLS_MAX];
    struct tg_call *queue[CALLS_MAX];         /* those under way, the oldest first */
    size_t count, started, cancelled, denied; /* by may_go */
    enum tg_err refuses;                      /* calls at once */
};

enum tg_err tg_upstream_fetch(struct tg_upstream *upstream, const struct tg_call_request *request,
                              struct tg_arena *arena, tg_fetched_fn *done, void *arg, struct tg_call **out)
{
    upstream->started++;
    if (upstream->refuses != TG_OK) {
        return upstream->refuses;
    }
    size_t free_one = 0;
    while (free_one < CALLS_MAX && upstream->calls[free_one].busy) {
        free_one++;
    }
    assert_true(free_one < CALLS_MAX);
    struct tg_call *call = &upstream->calls[free_one];
    call->leave = request->may_go != NULL ? request->may_go(request->may_go_arg, call) : TG_LEAVE_GIVEN;
    if (call->leave == TG_LEAVE_REFUSED) {
        upstream->denied++;
        return TG_EDENIED;
    }
    call->busy = true;
    call->upstream = upstream;
    call->arena = arena;
    call->done = done;
    call->arg = arg;
    assert_true(request->target.len < sizeof call->target && request->body.len < sizeof call->body);
    (void)snprintf(call->target, sizeof call->target, "%.*s", TG_FMT(request->target));
    (void)snprintf(call->body, sizeof call->body, "%.*s", TG_FMT(request->body));
    upstream->queue[upstream->count++] = call;
    *out = call;
    return TG_OK;
}

static inline void call_free(struct tg_call *call)
{
    struct tg_upstream *upstream = call->upstream;
    size_t at = 0;
    while (at < upstream->count && upstream->queue[at] != call) {
        at++;
    }
    assert_true(at < upstream->count);
    upstream->count--;
    memmove(&upstream->queue[at], &upstream->queue[at + 1],
            (upstream->count - at) * sizeof(struct tg_call *));
    call->busy = false;
}

void tg_call_give_leave(struct tg_call *call, bool given)
{
    assert_true(call->busy);
    assert_int_equal(call->leave, TG_LEAVE_LATER);
    call->leave = given ? TG_LEAVE_GIVEN : TG_LEAVE_REFUSED;
}

void tg_call_cancel(struct tg_call *call)
{
    call->upstream->cancelled++;
    call_free(call);
}

/* The call of that place in the queue. */
static inline struct tg_call *call_at(struct tg_upstream *upstream, size_t index)
{
    assert_true(index < upstream->count);
    return upstream->queue[index];
}

/* Takes it out of the queue. */
static inline struct tg_call call_take(struct tg_upstream *upstream, size_t index)
{
    struct tg_call *call = call_at(upstream, index);
    struct tg_call taken = *call;
    call_free(call);
    return taken;
}

static inline void call_fails(struct tg_upstream *upstream, size_t index, enum tg_err err)
{
    struct tg_call ended = call_take(upstream, index);
    ended.done(ended.arg, err, NULL);
}

static inline void call_answers(struct tg_upstream *upstream, size_t index, int status, const char *body)
{
    struct tg_call ended = call_take(upstream, index);
    struct tg_call_response response = {.status = status};
    assert_int_equal(tg_arena_copy(ended.arena, tg_slice_cstr(body), &response.body), TG_OK);
    assert_int_equal(tg_headers_add(&response.headers, ended.arena, TG_LIT("X-From"), TG_LIT("back end")),
                     TG_OK);
    assert_int_equal(
        tg_headers_add(&response.headers, ended.arena, TG_LIT("Transfer-Encoding"), TG_LIT("chunked")),
        TG_OK);
    ended.done(ended.arg, TG_OK, &response);
}

/* ---- the world ---- */

struct world {
    struct tg_engine engine;
    struct tg_upstream upstream;
    struct tg_arena_pool arenas;
    struct tg_bus *bus;
    struct tg_connmgr_options options;
    struct tg_config *config;
};

static inline void config_message(void *arg, bool is_error, const char *line)
{
    (void)arg;
    (void)is_error;
    print_message("%s\n", line);
}

static inline struct tg_config *load_config(const char *text)
{
    char path[] = "/tmp/tidegate-test-XXXXXX";
    struct tg_config *config = NULL;
    struct tg_config_source source = {.path = path, .message = config_message};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    enum tg_err err = tg_config_load(&source, &config);
    (void)unlink(path);
    assert_int_equal(err, TG_OK);
    return config;
}

static inline struct world *world_new(const char *config)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    struct tg_engine *engine = &world->engine;
    world->config = load_config(config);
    tg_arena_pool_init(&world->arenas, 16);
    tg_engine_init(engine);
    tg_rng_seed(&engine->rng, 1);
    engine->model = tg_model_ref(&world->config->model);
    engine->upstream = &world->upstream;
    engine->arenas = &world->arenas;
    engine->max_response = 1 << 20;
    assert_int_equal(tg_loop_new(&engine->loop), TG_OK);
    assert_int_equal(tg_metrics_new(&engine->metrics), TG_OK);
    assert_int_equal(tg_throttles_new(true, &engine->throttles), TG_OK);
    assert_int_equal(tg_registry_memory_new(&engine->registry), TG_OK);
    world->options = (struct tg_connmgr_options){.loop = engine->loop,
                                                 .node = 7,
                                                 .id_key = "engine-has-key",
                                                 .max_connections = 8,
                                                 .events = &tg_session_events,
                                                 .events_arg = engine};
    assert_int_equal(tg_connmgr_new(&world->options, &engine->connmgr), TG_OK);
    assert_int_equal(tg_bus_local_new(7, 1, 64, &world->bus), TG_OK);
    assert_int_equal(tg_push_new(engine->connmgr, engine->loop, world->bus, &world->options, &engine->push),
                     TG_OK);
    return world;
}

static inline void world_free(struct world *world)
{
    struct tg_engine *engine = &world->engine;
    assert_int_equal(engine->request_count, 0);
    assert_int_equal(world->upstream.count, 0);
    assert_true(tg_list_empty(&engine->requests));
    assert_true(tg_list_empty(&engine->sessions));
    assert_int_equal(tg_connmgr_count(engine->connmgr), 0);
    tg_push_free(engine->push);
    tg_connmgr_free(engine->connmgr);
    engine->registry->ops->free(engine->registry);
    tg_throttles_free(engine->throttles);
    tg_metrics_free(engine->metrics);
    tg_loop_free(engine->loop);
    tg_bus_free(world->bus);
    tg_engine_free(engine);
    assert_int_equal(atomic_load(&world->config->model.refs), 1);
    tg_config_unref(world->config);
    tg_arena_pool_free(&world->arenas);
    free(world);
}

/* ---- exchanges ---- */

/* What a client sees of its handshake, and the socket that comes of it. */
struct client {
    struct world *world;
    struct tg_exchange exchange;
    struct tg_arena arena;
    struct tg_header fields[8];
    enum tg_err upgrade_err; /* what upgrade says */
    bool gone;               /* the client */
    /* outcome */
    int replies, upgrades, status;
    char body[512], headers[1024]; /* `Name: value\n` each */
    struct tg_socket *socket;      /* open or closed; NULL: none */
    struct tg_upgrade settings;
};

static inline void note_headers(struct client *client, const struct tg_headers *headers)
{
    size_t len = 0;
    for (size_t i = 0; i < headers->count; i++) {
        len += (size_t)snprintf(client->headers + len, sizeof client->headers - len, "%.*s: %.*s\n",
                                TG_FMT(headers->items[i].name), TG_FMT(headers->items[i].value));
        assert_true(len < sizeof client->headers);
    }
}

/* The exchange is dead: nothing of it may be looked at any more. */
static inline void exchange_ends(struct client *client)
{
    tg_arena_reset(&client->arena);
    memset(&client->exchange, 0xee, sizeof client->exchange);
    memset(client->fields, 0xee, sizeof client->fields);
}

static inline void client_reply(struct tg_exchange *exchange, int status, const struct tg_headers *headers,
                                struct tg_slice body)
{
    struct client *client = TG_CONTAINER(exchange, struct client, exchange);
    client->replies++;
    client->status = status;
    assert_true(body.len < sizeof client->body);
    (void)snprintf(client->body, sizeof client->body, "%.*s", TG_FMT(body));
    note_headers(client, headers);
    exchange_ends(client);
}

static inline enum tg_err client_upgrade(struct tg_exchange *exchange, const struct tg_upgrade *upgrade,
                                         struct tg_socket **socket, const struct tg_socket_ops **ops)
{
    struct client *client = TG_CONTAINER(exchange, struct client, exchange);
    if (client->gone || client->upgrade_err != TG_OK) {
        return client->gone ? TG_ECLOSED : client->upgrade_err;
    }
    client->upgrades++;
    client->settings = *upgrade;
    note_headers(client, &upgrade->headers);
    client->socket = fake_socket_new();
    client->socket->conn = upgrade->arg;
    assert_ptr_equal(upgrade->events, &tg_conn_socket_events);
    *socket = client->socket;
    *ops = &fake_ops;
    exchange_ends(client);
    return TG_OK;
}

static const struct tg_exchange_ops client_ops = {.reply = client_reply, .upgrade = client_upgrade};

/* Dials the stage `prod` of the API with that id. */
static inline void client_dial(struct client *client, struct world *world, const char *api_id)
{
    char host[64];
    *client = (struct client){.world = world, .upgrade_err = client->upgrade_err};
    tg_arena_init(&client->arena, NULL);
    (void)snprintf(host, sizeof host, "%s.example.com:8080", api_id);
    struct tg_exchange *exchange = &client->exchange;
    *exchange = (struct tg_exchange){.ops = &client_ops,
                                     .arena = &client->arena,
                                     .method = TG_LIT("GET"),
                                     .target = TG_LIT("/prod?a=b"),
                                     .path = TG_LIT("/prod"),
                                     .query = TG_LIT("a=b"),
                                     .port = 8080,
                                     .received_ms = tg_loop_wall_ms(world->engine.loop)};
    assert_int_equal(tg_arena_copy(&client->arena, tg_slice_cstr(host), &exchange->host), TG_OK);
    assert_int_equal(tg_arena_copy(&client->arena, TG_LIT("203.0.113.9"), &exchange->source_ip), TG_OK);
    const struct tg_header fields[] = {
        {TG_LIT("Host"), exchange->host},
        {TG_LIT("Connection"), TG_LIT("Upgrade")},
        {TG_LIT("Upgrade"), TG_LIT("websocket")},
        {TG_LIT("Sec-WebSocket-Version"), TG_LIT("13")},
        {TG_LIT("Sec-WebSocket-Key"), TG_LIT("dGhlIHNhbXBsZSBub25jZQ==")},
        {TG_LIT("Sec-WebSocket-Protocol"), TG_LIT("mqtt, chat.v2, chat.v1")},
        {TG_LIT("User-Agent"), TG_LIT("test/1")},
    };
    memcpy(client->fields, fields, sizeof fields);
    exchange->can_upgrade = true;
    exchange->headers = (struct tg_headers){client->fields, sizeof fields / sizeof fields[0], 8};
    tg_dispatch(&world->engine, exchange);
}

/* The client goes away while its handshake is under way. */
static inline void client_goes(struct client *client)
{
    client->gone = true;
    client->exchange.on_abort(client->exchange.abort_arg);
}

static inline void client_says(struct client *client, const char *text)
{
    tg_conn_socket_events.on_message(client->socket->conn, tg_slice_cstr(text), false);
    turn(client->world->engine.loop);
}

/* The socket ends, as the peer wished. */
static inline void client_ends(struct client *client, int code, const char *reason)
{
    fake_end(client->socket, code, reason, true);
    fake_socket_free(client->socket);
    client->socket = NULL;
}

/* The text frames that came since the last call, one after another, a line each. */
static inline const char *client_hears(struct client *client)
{
    static char lines[4096];
    size_t len = 0;
    turn(client->world->engine.loop);
    struct tg_slice bytes = tg_buf_slice(&client->socket->written);
    lines[0] = '\0';
    while (bytes.len > 0) {
        assert_true(bytes.len >= 2 && (unsigned char)bytes.ptr[0] == 0x81);
        size_t head = 2, size = (unsigned char)bytes.ptr[1];
        if (size == 126) {
            head = 4;
            size = (size_t)(unsigned char)bytes.ptr[2] << 8 | (unsigned char)bytes.ptr[3];
        }
        assert_true(head + size <= bytes.len && len + size + 2 < sizeof lines);
        len += (size_t)snprintf(lines + len, sizeof lines - len, "%.*s\n", (int)size, bytes.ptr + head);
        bytes = tg_slice_from(bytes, head + size);
    }
    tg_buf_clear(&client->socket->written);
    return lines;
}

#endif
