/* A request of an HTTP API: what the pipeline (routes/request.h) carries for it besides, its phases, and its
 * answer. An integration either fills request->answer, or takes the answer into its own hands: asks for the
 * head with tg_http_head, starts it with tg_http_start, sends the body itself, and says tg_http_end. Either
 * way mapping, CORS and the request id are put on in one place (http_answer.c). Spec: http-api.md section 1.
 */
#ifndef TG_ROUTES_HTTP_H
#define TG_ROUTES_HTTP_H

#include "connmgr/conn.h"
#include "routes/exchange.h"
#include "routes/pathtrie.h"
#include "routes/request.h"

/* Where a request was found to belong (routes/locate.h). */
struct tg_http_place {
    const struct tg_api *api;
    const struct tg_stage *stage;
    struct tg_slice path;        /* below stage and mapping key, as on the wire: begins with '/' */
    struct tg_slice staged_path; /* with the stage, where it stood in the path */
    struct tg_slice mapping_key; /* of the API mapping; empty: none */
};

struct tg_http {
    struct tg_exchange *exchange; /* NULL: it has ended */
    struct tg_conn_info info;     /* identity and context, as of a handshake */
    struct tg_http_place place;
    const struct tg_pathtrie_param *params; /* of the route's path */
    size_t param_count;
    struct tg_task abort_task;
    struct tg_request *abort_arg;
    int minor;             /* HTTP/1.x of the client */
    bool query_parsed;     /* request->query is filled */
    bool body_collected;   /* request->body is the whole body */
    bool from_integration; /* request->answer is an integration's: to be mapped */
    bool preflight;        /* request->answer is that of a preflight: CORS is on it */
    bool head_sent;        /* the answer has begun */
    int status_sent;
    uint64_t bytes_in, bytes_out; /* of bodies */
};

/* Takes the exchange. */
void tg_http_serve(struct tg_engine *engine, const struct tg_http_place *place, struct tg_exchange *exchange);

/* 404 where no stage of an API is reached: without a request, so without a row in the access log (1.2). Takes
 * the exchange. */
void tg_http_not_found(struct tg_engine *engine, struct tg_exchange *exchange);

/* ---- phases ---- */

/* Answers preflights where the API has a CORS configuration (1.4). */
tg_phase_fn tg_http_preflight;
/* Finds the route (1.2). */
tg_phase_fn tg_http_match;
/* AWS_IAM, once the body that the signature covers is there. */
tg_phase_fn tg_http_collect_signed;
tg_phase_fn tg_http_authorize;
/* The whole body, where the integration or its mapping needs it. */
tg_phase_fn tg_http_collect;
tg_phase_fn tg_http_integrate;

/* ---- the answer, http_answer.c ---- */

/* Makes the head of the answer out of an integration's: mapped by its responseParameters, then CORS, then
 * Apigw-Requestid. *status and *headers in and out; the fields given are borrowed. TG_EINVAL: the fault is
 * set; TG_ENOMEM. */
enum tg_err tg_http_head(struct tg_request *request, int *status, struct tg_headers *headers) TG_MUST_CHECK;
/* Begins a streamed answer with a head made by tg_http_head. As exchange->ops->start. */
enum tg_err tg_http_start(struct tg_request *request, int status, const struct tg_headers *headers,
                          int64_t length) TG_MUST_CHECK;
/* Ends a streamed answer and its exchange. */
void tg_http_end(struct tg_request *request, bool whole);
/* Answers by request->fault or request->answer, unless an integration did. Called at the pipeline's end,
 * before metrics and access log; may set a fault. */
void tg_http_reply(struct tg_request *request);

/* The status of the answer: that which was sent, or will be. */
int tg_http_status(const struct tg_request *request);

#endif
