/* A session: an open connection as the pipeline sees it. Starts a request for each message, in the order that
 * the API asks for (spec 1.15), sends replies and error frames, and has the $disconnect issued. One per open
 * connection, owned by the connection's user pointer; freed when it closes. */
#ifndef TG_ROUTES_SESSION_H
#define TG_ROUTES_SESSION_H

#include "routes/request.h"

struct tg_session;

/* For a connection just opened. */
enum tg_err tg_session_new(struct tg_engine *engine, struct tg_conn *conn) TG_MUST_CHECK;
/* Connection settings out of the API's. */
struct tg_conn_settings tg_session_settings(const struct tg_api *api);
/* The engine has another model: open connections take its settings, and their next messages its routes. */
void tg_session_reload(struct tg_engine *engine);
/* The turn of `count` further connections has come: each closes with the engine's drain_code, at once or,
 * where messages are in work, when their replies are out. */
void tg_session_drain(struct tg_engine *engine, size_t count);
/* Connections whose turn has not come. */
size_t tg_session_staying(const struct tg_engine *engine);
/* Messages of the connection in work or waiting for their turn. */
size_t tg_session_messages(const struct tg_conn *conn);
/* Closes them all at once, replies or not. */
void tg_session_close_all(struct tg_engine *engine);
#endif
