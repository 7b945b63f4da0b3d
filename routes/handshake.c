#include "routes/handshake.h"

#include "routes/disconnect.h"
#include "routes/fields.h"
#include "routes/reply.h"
#include "routes/session.h"
#include "server/base/codec.h"

struct handshake {
    struct tg_engine *engine;
    struct tg_exchange *exchange;
    struct tg_conn_handle conn;
    struct tg_conn_info info;
    bool aborted; /* the client went away while $connect ran */
};

bool tg_handshake_wanted(const struct tg_exchange *exchange)
{
    return tg_headers_has_token(&exchange->headers, TG_LIT("Upgrade"), TG_LIT("websocket"));
}

static bool key_ok(const struct tg_headers *headers)
{
    unsigned char nonce[16];
    const struct tg_header *key = tg_headers_first(headers, TG_LIT("Sec-WebSocket-Key"));
    if (key == NULL || key->value.len != 24 || tg_headers_count(headers, TG_LIT("Sec-WebSocket-Key")) != 1) {
        return false;
    }
    /* 16 bytes of base64: 22 characters and "==". The alphabet is what matters; the two are decoded alike. */
    char text[24];
    for (size_t i = 0; i < sizeof text; i++) {
        char c = key->value.ptr[i];
        text[i] = (char)(c == '+' ? '-' : c == '/' ? '_' : c == '-' || c == '_' ? '!' : c);
    }
    return tg_base64url_decode(tg_slice_make(text, sizeof text), nonce, sizeof nonce) == TG_OK;
}

int tg_handshake_check(const struct tg_exchange *exchange, struct tg_slice *message)
{
    const struct tg_header *version = tg_headers_first(&exchange->headers, TG_LIT("Sec-WebSocket-Version"));
    const struct tg_header *length = tg_headers_first(&exchange->headers, TG_LIT("Content-Length"));
    if (!tg_slice_eq(exchange->method, TG_LIT("GET"))) {
        *message = TG_LIT("A WebSocket handshake must be a GET request");
    } else if (!tg_headers_has_token(&exchange->headers, TG_LIT("Connection"), TG_LIT("Upgrade"))) {
        *message = TG_LIT("A WebSocket handshake needs the header Connection: Upgrade");
    } else if (!exchange->can_upgrade) {
        *message = TG_LIT("A WebSocket handshake needs HTTP/1.1");
    } else if (exchange->host.len == 0) {
        *message = TG_LIT("A WebSocket handshake needs a Host header");
    } else if ((length != NULL && !tg_slice_eq(length->value, TG_LIT("0"))) ||
               tg_headers_first(&exchange->headers, TG_LIT("Transfer-Encoding")) != NULL) {
        *message = TG_LIT("A WebSocket handshake cannot have a body");
    } else if (version == NULL ||
               tg_headers_count(&exchange->headers, TG_LIT("Sec-WebSocket-Version")) != 1) {
        *message = TG_LIT("A WebSocket handshake needs the header Sec-WebSocket-Version: 13");
    } else if (!tg_slice_eq(version->value, TG_LIT("13"))) {
        *message = TG_LIT("Upgrade Required");
        return 426;
    } else if (!key_ok(&exchange->headers)) {
        *message = TG_LIT("The header Sec-WebSocket-Key must be 16 bytes in base64");
    } else if (tg_headers_count(&exchange->headers, TG_LIT("Authorization")) > 1) {
        *message = TG_LIT("More than one Authorization header"); /* spec 7.4 */
    } else {
        return 0;
    }
    return 400;
}

/* ---- the outcome ---- */

static void handshake_end(struct handshake *handshake, struct tg_request *request, bool keep_slot)
{
    if (!keep_slot) {
        tg_conn_release(handshake->engine->connmgr, handshake->conn);
    }
    tg_request_free(request); /* the handshake lies in its arena */
}

static bool is_framing(struct tg_slice name)
{
    return tg_header_is_hop_by_hop(name) || tg_slice_eq_nocase(name, TG_LIT("Content-Length"));
}

static void refuse(struct handshake *handshake, struct tg_request *request)
{
    struct tg_exchange *exchange = handshake->exchange;
    struct tg_headers headers = {0};
    struct tg_slice body = TG_EMPTY;
    int status = tg_request_status(request);
    enum tg_err err = TG_OK;
    if (request->fault == TG_FAULT_NONE) {
        body = request->answer.body;
        for (size_t i = 0; err == TG_OK && i < request->answer.headers.count; i++) {
            const struct tg_header *field = &request->answer.headers.items[i];
            if (!is_framing(field->name)) {
                err = tg_headers_add(&headers, exchange->arena, field->name, field->value);
            }
        }
    } else {
        err = tg_fault_body(exchange->arena, request->fault, tg_slice_cstr(request->connection_id),
                            tg_slice_cstr(tg_request_id(request)), &body);
        if (err == TG_OK) {
            err = tg_headers_add(&headers, exchange->arena, TG_LIT("Content-Type"),
                                 TG_LIT("application/json; charset=UTF-8"));
        }
        if (err == TG_OK) {
            err = tg_headers_add(&headers, exchange->arena, TG_LIT("x-amz-apigw-id"),
                                 tg_slice_cstr(tg_request_id(request)));
        }
    }
    if (err != TG_OK) {
        status = 500;
        headers.count = 0;
        body = TG_EMPTY;
    }
    exchange->ops->reply(exchange, status, &headers, body);
    handshake_end(handshake, request, false);
}

/* The first of the API's subprotocols that the client offers (spec 1.4, decision). */
static struct tg_slice choose_subprotocol(const struct tg_request *request)
{
    const struct tg_strings *ours = &request->api->settings.subprotocols;
    for (size_t i = 0; i < ours->count; i++) {
        for (size_t j = 0; j < request->headers.count; j++) {
            struct tg_slice rest = request->headers.items[j].value;
            if (!tg_slice_eq_nocase(request->headers.items[j].name, TG_LIT("Sec-WebSocket-Protocol"))) {
                continue;
            }
            while (rest.len > 0) {
                if (tg_slice_eq(tg_slice_trim(tg_slice_cut(rest, ',', &rest)), ours->items[i])) {
                    return ours->items[i];
                }
            }
        }
    }
    return TG_EMPTY;
}

/* Headers of the 101: those of the integration but framing ones and what the engine writes itself (spec 1.6).
 */
static enum tg_err accept_headers(struct tg_request *request, struct tg_headers *out)
{
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < request->answer.headers.count; i++) {
        const struct tg_header *field = &request->answer.headers.items[i];
        bool readable = tg_header_name_ok(field->name) && tg_header_value_ok(field->value);
        if (readable && !is_framing(field->name) &&
            !tg_slice_eq_nocase(field->name, TG_LIT("Sec-WebSocket-Accept")) &&
            !tg_slice_eq_nocase(field->name, TG_LIT("Sec-WebSocket-Extensions"))) {
            err = tg_headers_add(out, &request->arena, field->name, field->value);
        }
    }
    struct tg_slice chosen = choose_subprotocol(request);
    if (err == TG_OK && chosen.len > 0 && tg_headers_first(out, TG_LIT("Sec-WebSocket-Protocol")) == NULL) {
        err = tg_headers_add(out, &request->arena, TG_LIT("Sec-WebSocket-Protocol"), chosen);
    }
    return err;
}

static bool offers_deflate(const struct tg_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct tg_slice value = headers->items[i].value;
        if (tg_slice_eq_nocase(headers->items[i].name, TG_LIT("Sec-WebSocket-Extensions")) &&
            tg_slice_find_slice(value, TG_LIT("permessage-deflate")) < value.len) {
            return true;
        }
    }
    return false;
}

/* $connect has accepted a client that is not there to stay: back ends learn it as a connection lost
 * (spec 1.2, decision). known: to the registry. */
static void revoke(const struct handshake *handshake, const struct tg_request *request, bool known)
{
    if (known) {
        tg_disconnect_revoke(handshake->engine, request->connection_id, &handshake->info,
                             request->integration_called);
    } else if (request->integration_called) {
        tg_disconnect_issue(handshake->engine, request->connection_id, &handshake->info, false, 1006,
                            TG_LIT("Connection closed abnormally"));
    }
}

static void client_gone(struct handshake *handshake, struct tg_request *request)
{
    tg_log(handshake->engine->log, TG_LOG_INFO, "client gone during $connect",
           TG_KV_CSTR("connectionId", request->connection_id));
    revoke(handshake, request, true);
    handshake->exchange->ops->reply(handshake->exchange, 500, &(struct tg_headers){0}, TG_EMPTY);
    handshake_end(handshake, request, false);
}

/* The node has lost its number while $connect ran: nobody can know the connection by its id, and no other
 * node has a row of it. */
static void number_lost(struct handshake *handshake, struct tg_request *request)
{
    (void)tg_request_fail(request, TG_FAULT_DRAINING, TG_LIT("the node has lost its number in the cluster"));
    revoke(handshake, request, false);
    refuse(handshake, request);
}

static void accept_client(struct handshake *handshake, struct tg_request *request)
{
    struct tg_engine *engine = handshake->engine;
    if (!tg_conn_can_open(engine->connmgr, handshake->conn)) {
        number_lost(handshake, request);
        return;
    }
    const struct tg_api *api = request->api;
    struct tg_conn *conn = tg_conn_get(engine->connmgr, handshake->conn);
    struct tg_upgrade upgrade = {
        .max_frame = (size_t)api->settings.max_frame_bytes,
        .max_message = (size_t)api->settings.max_message_bytes,
        .binary = api->settings.binary_frames,
        .deflate = api->settings.permessage_deflate && offers_deflate(&request->headers),
        .close_timeout_ms = (uint64_t)(api->settings.close_timeout_seconds * 1000.0),
        .events = &tg_conn_socket_events,
        .arg = conn,
    };
    const struct tg_conn_settings settings = tg_session_settings(api);
    struct tg_socket *socket;
    const struct tg_socket_ops *ops;
    enum tg_err err = accept_headers(request, &upgrade.headers);
    if (err == TG_OK) {
        /* Before the 101: what a client knows as open is in the registry, whenever this node dies. */
        engine->registry->ops->put(engine->registry, request->connection_id, &handshake->info);
        err = handshake->aborted
                  ? TG_ECLOSED
                  : handshake->exchange->ops->upgrade(handshake->exchange, &upgrade, &socket, &ops);
    }
    if (err == TG_ECLOSED) {
        client_gone(handshake, request);
        return;
    }
    if (err != TG_OK) {
        (void)tg_request_fail(request, TG_FAULT_INTERNAL, tg_slice_cstr(tg_err_text(err)));
        revoke(handshake, request, true);
        refuse(handshake, request);
        return;
    }
    err = tg_conn_open(engine->connmgr, handshake->conn, &handshake->info, &settings, socket, ops);
    if (err != TG_OK) {
        /* The socket's end reaches the reserved connection, which goes with it, and tells nobody. */
        tg_log(engine->log, TG_LOG_ERROR, "connection not opened", TG_KV_ERR(err));
        ops->close(socket, 0, TG_EMPTY);
        revoke(handshake, request, true);
        handshake_end(handshake, request, true);
        return;
    }
    err = tg_session_new(engine, conn);
    if (err != TG_OK) {
        tg_log(engine->log, TG_LOG_ERROR, "connection closed at once", TG_KV_ERR(err));
        tg_conn_close(conn, 1011, TG_LIT("Internal error"));
    }
    handshake_end(handshake, request, true);
}

static void handshake_done(struct tg_request *request)
{
    struct handshake *handshake = request->owner;
    int status = request->answer.status;
    if (request->fault == TG_FAULT_NONE && (status < 200 || status > 999)) {
        (void)tg_request_fail(request, TG_FAULT_INTEGRATION,
                              TG_LIT("the integration's status is out of range"));
    }
    if (request->fault == TG_FAULT_NONE && status >= 200 && status < 300) {
        accept_client(handshake, request);
    } else {
        refuse(handshake, request);
    }
}

/* ---- the start ---- */

static void on_abort(void *arg)
{
    struct handshake *handshake = arg;
    handshake->aborted = true; /* the integration is allowed to finish (spec 1.2) */
}

/* Copied: the exchange ends before the connection opens. */
static enum tg_err fill_info(struct handshake *handshake, const struct tg_exchange *exchange,
                             struct tg_request *request)
{
    struct tg_conn_info *info = &handshake->info;
    const struct tg_header *agent = tg_headers_first(&exchange->headers, TG_LIT("User-Agent"));
    info->api_id = request->api->api_id;
    info->stage = request->stage->stage_name;
    info->connected_at_ms = request->time_ms;
    enum tg_err err = tg_arena_copy(&request->arena, exchange->host, &info->domain_name);
    if (err == TG_OK) {
        err = tg_arena_copy(&request->arena, exchange->source_ip, &info->source_ip);
    }
    if (err == TG_OK && agent != NULL) {
        err = tg_arena_copy(&request->arena, agent->value, &info->user_agent);
    }
    return err;
}

static enum tg_err prepare(struct tg_engine *engine, struct tg_exchange *exchange, struct tg_request *request)
{
    struct handshake *handshake = tg_arena_zalloc(&request->arena, sizeof *handshake);
    if (handshake == NULL) {
        return TG_ENOMEM;
    }
    handshake->engine = engine;
    handshake->exchange = exchange;
    enum tg_err err = fill_info(handshake, exchange, request);
    if (err != TG_OK) {
        return err;
    }
    request->owner = handshake;
    request->info = &handshake->info;
    request->handshake_info = &handshake->info;
    request->route = request->api->connect_route;
    request->method = TG_LIT("GET");
    request->headers = exchange->headers;
    request->has_query = exchange->query.ptr != NULL && exchange->query.len > 0;
    request->path = exchange->path;
    request->query_text = exchange->query;
    request->port = exchange->port;
    request->secure = exchange->secure;
    request->done = handshake_done;
    tg_trace_id_make(&engine->rng, &request->headers, request->time_ms, request->trace_id);
    if (request->has_query) {
        return tg_query_parse(&request->arena, exchange->query, &request->query);
    }
    return TG_OK;
}

void tg_handshake_serve(struct tg_engine *engine, const struct tg_api *api, const struct tg_stage *stage,
                        struct tg_exchange *exchange)
{
    struct tg_request *request;
    if (engine->draining) {
        tg_reply_message(exchange, 503, TG_LIT("Service Unavailable"));
        return;
    }
    enum tg_err err = tg_request_new(engine, TG_REQUEST_CONNECT, &request);
    if (err != TG_OK) {
        tg_reply_message(exchange, 503, TG_LIT("Service Unavailable"));
        return;
    }
    request->api = api;
    request->stage = stage;
    err = prepare(engine, exchange, request);
    if (err == TG_OK) {
        struct handshake *handshake = request->owner;
        err = tg_disconnect_full(engine)
                  ? TG_EBUSY
                  : tg_conn_reserve(engine->connmgr, &handshake->conn, request->connection_id);
        request->conn = handshake->conn;
    }
    if (err != TG_OK) {
        tg_log(engine->log, TG_LOG_WARN, "handshake refused", TG_KV_ERR(err));
        tg_request_free(request);
        tg_reply_message(exchange, 503, TG_LIT("Service Unavailable"));
        return;
    }
    exchange->on_abort = on_abort;
    exchange->abort_arg = request->owner;
    tg_request_run(request);
}
