/* One call of the management API on its way: what routes/management*.c share. */
#ifndef TG_ROUTES_MANAGEMENT_PRIVATE_H
#define TG_ROUTES_MANAGEMENT_PRIVATE_H

#include "connmgr/batch.h"
#include "routes/engine.h"
#include "routes/exchange.h"
#include "routes/ids.h"
#include "routes/policy.h"

enum { MANAGEMENT_PAYLOAD_MAX = 131072 }; /* bytes of one message (5.1) */

/* X(name, HTTP status, x-amzn-ErrorType, $context.error.responseType, message), spec 5.3. An empty message:
 * an empty body. */
#define TG_MANAGEMENT_ERRORS(X)                                                                              \
    X(MANAGEMENT_OK, 200, "", "", "")                                                                        \
    X(MANAGEMENT_GONE, 410, "GoneException", "", "")                                                         \
    X(MANAGEMENT_BAD_ID, 400, "BadRequestException", "BAD_REQUEST_PARAMETERS", "")                           \
    X(MANAGEMENT_BAD_BODY, 400, "BadRequestException", "BAD_REQUEST_BODY", "")                               \
    X(MANAGEMENT_DENIED, 403, "AccessDeniedException", "ACCESS_DENIED", "")                                  \
    X(MANAGEMENT_SIGNATURE, 403, "", "INVALID_SIGNATURE", "")                                                \
    X(MANAGEMENT_NO_STAGE, 403, "ForbiddenException", "ACCESS_DENIED", "Forbidden")                          \
    X(MANAGEMENT_TOO_LARGE, 413, "PayloadTooLargeException", "REQUEST_TOO_LARGE", "")                        \
    X(MANAGEMENT_LIMIT, 429, "LimitExceededException", "THROTTLED", "Limit Exceeded")                        \
    X(MANAGEMENT_NO_METHOD, 404, "NotFoundException", "RESOURCE_NOT_FOUND", "")                              \
    X(MANAGEMENT_UNREACHABLE, 503, "ServiceUnavailableException", "DEFAULT_5XX", "Service Unavailable")      \
    X(MANAGEMENT_FAILED, 500, "InternalServerErrorException", "DEFAULT_5XX", "Internal server error")

enum management_error {
#define X(name, status, type, response_type, message) name,
    TG_MANAGEMENT_ERRORS(X)
#undef X
};

/* The header fields of an answer, as they go out: each of these stands at its place. */
#define MANAGEMENT_UUID_NAME  "x-amzn-RequestId: "
#define MANAGEMENT_ID_NAME    "\r\nx-amz-apigw-id: "
#define MANAGEMENT_TRACE_NAME "\r\nX-Amzn-Trace-Id: "
#define MANAGEMENT_TYPE_NAME  "x-amzn-ErrorType: "
enum {
    MANAGEMENT_UUID_AT = sizeof MANAGEMENT_UUID_NAME - 1,
    MANAGEMENT_ID_AT = MANAGEMENT_UUID_AT + TG_UUID_LEN + sizeof MANAGEMENT_ID_NAME - 1,
    MANAGEMENT_TRACE_AT = MANAGEMENT_ID_AT + TG_REQUEST_ID_LEN + sizeof MANAGEMENT_TRACE_NAME - 1,
    MANAGEMENT_LINES_MAX = MANAGEMENT_TRACE_AT + TG_TRACE_ID_MAX + 128 /* the content's type, the error's */
};

struct management_call {
    struct tg_list node; /* engine->calls, once it waits; before that perhaps engine->pushes */
    struct tg_engine *engine;
    struct tg_exchange *exchange;    /* the call lies in its arena */
    struct tg_model *model;          /* one reference once it waits, borrowed before */
    struct tg_call_lane *lane;       /* NULL once it waits */
    struct tg_route_metrics *series; /* NULL: to be found */
    struct tg_push_now now;          /* of one of engine->pushes, once it is done */
    const struct tg_api *api;
    const struct tg_stage *found;           /* the path's; NULL: there is none */
    const struct tg_stage *stage;           /* NULL: not known (yet) */
    const struct tg_credential *credential; /* who signed; NULL: nobody (yet) */
    struct tg_slice id;                     /* decoded; empty of a batch */
    struct tg_slice body;                   /* once it is acted upon, the message alone */
    size_t delivered;                       /* messages, where the call succeeds; POST */
    size_t throttled;                       /* connections of a batch that were too slow */
    enum tg_push_verb verb;
    bool is_batch;  /* names many connections, in its body; else one, in its path */
    bool has_stage; /* the path */
    bool binary;
    bool waits;             /* goes on in a later call */
    bool aborted;           /* the client has gone */
    struct tg_push_op *op;  /* under way; NULL: none */
    struct tg_batch *batch; /* likewise */
    struct tg_task *work;   /* likewise: goes on later in this pass, or in the next */
    /* the answer */
    int status;
    enum management_error error;
    struct tg_slice error_type, message; /* where they are not the table's */
    /* from here on nothing is zeroed */
    size_t lines_len;
    struct tg_task end; /* the answer to a client that has gone; set up when the call waits */
    char lines[MANAGEMENT_LINES_MAX];
};

/* ---- management_call.c ---- */

/* Goes on once the body is there, of at most `limit` bytes: checks, then acts. */
void management_read(struct management_call *call, size_t limit);
/* The call goes on in a later one: the model may be replaced meanwhile, the lane may be taken, and the client
 * may go, which cancels what is under way. Once or more. */
void management_wait(struct management_call *call);
/* Where it is counted. The call has a stage. */
struct tg_route_metrics *management_series(struct management_call *call);

/* Each of these answers and ends the call: it is dead afterwards. */

/* With the first `lines` bytes of the lines. */
void management_reply(struct management_call *call, int status, size_t lines, struct tg_slice body);
/* With the error's status; its type and message are those of the table unless the call has its own. */
void management_fail(struct management_call *call, enum management_error error);
/* With 500, and says in the log why. */
void management_fail_for(struct management_call *call, enum tg_err err);
/* With 404: the path, or the method, is none of the API (5.3). */
void management_find_nothing(struct management_call *call);

/* ---- management_batch.c ---- */

/* The longest body of a batch call, bytes. */
size_t management_batch_limit(const struct tg_model *model);
/* Does what the call asks for, whose checks have passed. */
void management_send_batch(struct management_call *call);

/* ---- management.c ---- */

/* The same for a call that names one connection. */
void management_push(struct management_call *call);
/* Does the pushes of engine->pushes: what follows does not overtake them. */
void management_push_all(struct tg_engine *engine);

/* ---- management_reply.c ---- */

/* What metrics and access logs call a POST of the kind. */
struct tg_slice management_post(const struct management_call *call);
/* What the caller is told of an operation on one connection; MANAGEMENT_OK: it is done. */
enum management_error management_outcome(enum tg_push_outcome outcome);
/* Makes the lines that every answer but a 413 has (5.1). */
void management_lines(struct management_call *call);
/* Adds x-amzn-ErrorType behind the first `len` bytes of the lines; returns their length. */
size_t management_type_line(struct management_call *call, size_t len, struct tg_slice type);
/* The body of a GET, with the recorded spacing (5.1). */
enum tg_err management_info_body(struct tg_arena *arena, const struct tg_push_info *info,
                                 struct tg_slice *out) TG_MUST_CHECK;
/* {"message":"..."}, or {"Message":"..."} for a refusal by policy; escaped. */
enum tg_err management_error_body(struct management_call *call, struct tg_slice message,
                                  struct tg_slice *out) TG_MUST_CHECK;
struct tg_slice management_error_type(enum management_error error);
struct tg_slice management_message(enum management_error error);
int management_status(enum management_error error);
/* The access log's row, of a call whose stage is known (8.1). */
enum tg_err management_log(struct management_call *call) TG_MUST_CHECK;

/* ---- management_policy.c ---- */

/* What the signer's policy says; otherwise *message is for the client (5.3, 5.4). */
enum tg_err management_allowed(struct management_call *call, bool *allowed,
                               struct tg_slice *message) TG_MUST_CHECK;

/* For a call that names many: the same for each of them as if it were called alone. */
struct management_question {
    const struct tg_policy *policy;
    struct tg_policy_request keys;
    struct tg_slice resources[2]; /* as they end with the placeholder, and with an id */
    size_t resource_count;
    char *id; /* where in the second */
    size_t id_len;
};
/* A credential signed the call. The ids that it will be asked about are `id_len` bytes long. TG_ENOMEM. */
enum tg_err management_question(const struct management_call *call, size_t id_len,
                                struct management_question *out) TG_MUST_CHECK;
enum tg_policy_decision management_ask(struct management_question *question, struct tg_slice id);

#endif
