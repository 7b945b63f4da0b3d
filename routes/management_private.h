/* One call of the management API on its way: the parts of routes/management.c that see each other. */
#ifndef TG_ROUTES_MANAGEMENT_PRIVATE_H
#define TG_ROUTES_MANAGEMENT_PRIVATE_H

#include "routes/engine.h"
#include "routes/exchange.h"
#include "routes/ids.h"

/* X(name, HTTP status, x-amzn-ErrorType, $context.error.responseType, message), spec 5.3. An empty message:
 * an empty body. */
#define TG_MANAGEMENT_ERRORS(X)                                                                              \
    X(MANAGEMENT_OK, 200, "", "", "")                                                                        \
    X(MANAGEMENT_GONE, 410, "GoneException", "", "")                                                         \
    X(MANAGEMENT_BAD_ID, 400, "BadRequestException", "BAD_REQUEST_PARAMETERS", "")                           \
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

enum { MANAGEMENT_HEADERS = 6 };

struct management_call {
    struct tg_list node; /* engine->calls */
    struct tg_engine *engine;
    struct tg_exchange *exchange; /* the call lies in its arena */
    struct tg_model *model;       /* one reference */
    const struct tg_api *api;
    const struct tg_stage *stage;           /* NULL: not known (yet) */
    const struct tg_credential *credential; /* who signed; NULL: nobody (yet) */
    struct tg_slice stage_name, raw_id;
    struct tg_slice id; /* decoded */
    struct tg_slice body;
    enum tg_push_verb verb;
    bool binary;
    bool aborted; /* the client has gone */
    struct tg_push_op *op;
    struct tg_task end; /* the answer to a client that has gone */
    char request_id[TG_UUID_LEN + 1], gateway_id[TG_REQUEST_ID_LEN + 1], trace_id[TG_TRACE_ID_MAX];
    /* the answer */
    int status;
    enum management_error error;
    struct tg_slice error_type, message; /* where they are not the table's */
    struct tg_header header_items[MANAGEMENT_HEADERS];
};

/* Fills header_items with what every answer but a 413 has (5.1). */
void management_headers(struct management_call *call, struct tg_headers *out);
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
/* What the signer's policy says; otherwise *message is for the client (5.3, 5.4). */
enum tg_err management_allowed(struct management_call *call, bool *allowed,
                               struct tg_slice *message) TG_MUST_CHECK;

#endif
