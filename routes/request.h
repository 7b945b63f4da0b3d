/* One pass through the pipeline: a handshake ($connect), a message, a $disconnect or a request of an HTTP
 * API. It owns one arena that dies with it, at most one pending operation, and a reference to the model that
 * it started on. Phases run in order: match, authorise, throttle, validate, map in, integrate, map out,
 * reply; any failure sets the one fault. */
#ifndef TG_ROUTES_REQUEST_H
#define TG_ROUTES_REQUEST_H

#include "routes/engine.h"
#include "routes/fault.h"
#include "routes/ids.h"
#include "routes/selection.h"
#include "routes/vars.h"
#include "server/base/headers.h"

enum tg_request_kind { TG_REQUEST_CONNECT, TG_REQUEST_MESSAGE, TG_REQUEST_DISCONNECT, TG_REQUEST_HTTP };

/* What an integration gave back. */
struct tg_answer {
    int status;
    struct tg_headers headers; /* for the 101 or the refusal */
    struct tg_slice body;      /* decoded */
};

struct tg_request;
struct tg_http; /* routes/http.h */
/* Called once when the pipeline has ended: fault or answer are set. The callee frees the request. */
typedef void tg_request_done_fn(struct tg_request *request);

struct tg_request {
    struct tg_list node; /* engine->requests, when it is held */
    struct tg_engine *engine;
    struct tg_arena arena;
    struct tg_model *model; /* when it is held: one reference */
    const struct tg_api *api;
    const struct tg_stage *stage;
    const struct tg_route *route; /* NULL: none matched */
    enum tg_request_kind kind;

    /* The connection: by handle and by what its handshake said. */
    struct tg_conn_handle conn;
    const struct tg_conn_info *info;
    bool info_counted;  /* info is the connection's, by reference; else the handshake's own */
    bool info_borrowed; /* of the connection, which cannot end meanwhile: counted when the request is held */
    /* It may outlive the call that runs it: it is in the engine's list, and counted there. Messages are held
     * when something is pending, for most end at once; others from the start. */
    bool held;
    struct tg_conn_info *handshake_info; /* CONNECT, HTTP: the same as info, for the authoriser to fill */
    struct tg_http *http;                /* HTTP: what there is besides; otherwise NULL */

    /* Context (spec 3.1). */
    int64_t time_ms;     /* wall clock */
    uint64_t start_ns;   /* HTTP */
    int disconnect_code; /* DISCONNECT */
    struct tg_slice disconnect_reason;

    /* Input. */
    struct tg_slice method;    /* CONNECT, HTTP */
    struct tg_headers headers; /* CONNECT, HTTP: the client's, as on the wire, all of them */
    struct tg_headers query;   /* CONNECT, HTTP: decoded names and values in order */
    bool has_query;
    struct tg_slice path, query_text; /* as on the wire; CONNECT: until the first phase is pending */
    uint16_t port;
    bool secure;
    const struct tg_peer_certificate *peer; /* HTTP: the exchange's; NULL: none */
    struct tg_slice body;                   /* MESSAGE: as received; HTTP: once it was collected */
    bool body_borrowed;                     /* of whoever runs it: copied before anything can be pending */
    bool binary;

    /* Progress. */
    int phase;
    void (*cancel)(struct tg_request *request); /* of the pending operation; NULL: none pending */
    void *pending;                              /* its handle */
    struct tg_timer timer;                      /* a retry, or a result that is due later */
    bool retried;
    /* DISCONNECT: asked once, right before the back end is called; refused: the event is another's to issue.
     * An answer that comes later goes to tg_request_leave, unless `over` was called first; NULL: nobody will
     * hear it. NULL: it is this node's. */
    enum tg_leave (*gate)(void *arg, tg_leave_fn *answer, void *answer_arg);
    void (*over)(void *arg); /* after `done`; NULL: nobody waits */
    void *gate_arg;
    struct tg_call *gated;      /* the call that waits for that answer, or NULL */
    bool asked, passed, barred; /* the gate, and what it said */
    bool answered;              /* no further phase: the answer stands */
    tg_request_done_fn *done;
    void *owner; /* the handshake, or NULL */

    /* Results. */
    enum tg_fault fault;
    struct tg_slice fault_detail; /* for the log */
    struct tg_answer answer;
    bool authorizer_called;
    uint64_t authorizer_start_ns;
    int64_t authorizer_latency_ms; /* -1: none */
    int authorizer_status;
    bool integration_called;
    uint64_t integration_start_ns, integration_latency_ns;
    int64_t integration_latency_ms;  /* -1: none, or a kind that has none (MOCK) */
    int integration_status;          /* 0: none */
    int64_t response_latency_ms;     /* likewise */
    struct tg_route_metrics *series; /* see tg_request_series */

    /* Of these only the first character is set at the start. */
    char connection_id[TG_CONNID_LEN + 1];
    char request_id[TG_REQUEST_ID_LEN + 1]; /* read by tg_request_id, which makes it */
    char message_id[TG_REQUEST_ID_LEN + 1]; /* read by tg_request_message_id */
    char trace_id[TG_TRACE_ID_MAX];         /* Root=1-...; empty until a back end is called */
};

/* An empty request on the engine's current model, times set; but for MESSAGE held. */
enum tg_err tg_request_new(struct tg_engine *engine, enum tg_request_kind kind,
                           struct tg_request **out) TG_MUST_CHECK;
/* Frees it; a pending operation is cancelled. */
void tg_request_free(struct tg_request *request);
/* Runs the phases from the first until the end (done is called, perhaps at once) or until one is pending.
 * After tg_engine_abort it fails without running any. */
void tg_request_run(struct tg_request *request);
/* A pending operation has ended: go on with the next phase, or to the end when fault is set. Called by
 * operations. */
void tg_request_resume(struct tg_request *request);
/* The request's id, made when it is first asked for: most messages need none. */
const char *tg_request_id(struct tg_request *request);
/* Likewise the messageId of a MESSAGE, whose connection_id is set; empty for others. */
const char *tg_request_message_id(struct tg_request *request);
/* may_go of the call to a back end; arg: the request. Who learns that the call has ended, or cancels it,
 * forgets `gated`. */
enum tg_leave tg_request_may_go(void *arg, struct tg_call *call);
/* Runs the whole pipeline once more after a pause, as if nothing had happened; for $disconnect. */
void tg_request_retry_later(struct tg_request *request, uint64_t delay_ms);
/* What the route selection expression makes of a text message, borrowed from it or the arena; empty for what
 * is no JSON. TG_ENOMEM. */
enum tg_err tg_message_key(const struct tg_api *api, struct tg_slice body, struct tg_arena *arena,
                           struct tg_slice *out) TG_MUST_CHECK;
/* The status of the outcome, as $context.status prints it. */
int tg_request_status(const struct tg_request *request);
/* Where a WebSocket's request is counted; only when its route is known, or known to be none. */
struct tg_route_metrics *tg_request_series(struct tg_request *request);
/* `route.request.{header|querystring}.NAME`, the keys of Route.requestParameters. False for anything else. */
bool tg_route_parameter_parse(struct tg_slice text, enum tg_var_scope *scope, struct tg_slice *name);
/* Sets the fault (the first one stays) with a detail for the log, borrowed. Returns TG_EINVAL, for `return`.
 */
enum tg_err tg_request_fail(struct tg_request *request, enum tg_fault fault, struct tg_slice detail);

/* A phase or an integration: TG_OK goes on; TG_EAGAIN: pending, tg_request_resume follows later and
 * request->cancel is set; anything else: failed, the fault is set (INTERNAL if it was not). */
typedef enum tg_err tg_phase_fn(struct tg_request *request);

#endif
