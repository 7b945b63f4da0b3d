/* Functions by the Lambda Invoke API (spec 3.5): POST {endpoint}/2015-03-31/functions/{name}/invocations, and
 * what a proxy function may answer (2.3). Used by the AWS_PROXY integration and by function authorisers. */
#ifndef TG_ROUTES_LAMBDA_H
#define TG_ROUTES_LAMBDA_H

#include "routes/request.h"

enum tg_lambda_outcome {
    TG_LAMBDA_OK,             /* payload is what the function returned */
    TG_LAMBDA_FUNCTION_ERROR, /* X-Amz-Function-Error was set: payload is the error object */
    TG_LAMBDA_TIMEOUT,
    TG_LAMBDA_UNREACHABLE, /* no answer, or a status that is no invocation result; payload: a constant text
                              for the log */
    TG_LAMBDA_NO_FUNCTION  /* not in the functions table, unknown stage variable, 404 or 403 from the runtime
                            */
};
/* payload lives in the request's arena. */
typedef void tg_lambda_done_fn(struct tg_request *request, enum tg_lambda_outcome outcome,
                               struct tg_slice payload);

/* Fails the request for any outcome but TG_LAMBDA_OK; `function_fault` is that of a function that failed. */
void tg_lambda_fail(struct tg_request *request, enum tg_lambda_outcome outcome, struct tg_slice payload,
                    enum tg_fault function_fault);

/* Starts an invocation with the event (borrowed until done); sets request->cancel and request->pending,
 * clears them before done, which is called once, later. Errors that are known at once are reported through
 * done too (later). */
enum tg_err tg_lambda_invoke(struct tg_request *request, const struct tg_stagevars *function_name,
                             struct tg_slice event, uint64_t timeout_ms,
                             tg_lambda_done_fn *done) TG_MUST_CHECK;

/* Reads a proxy result (2.3) into the answer: statusCode integer or numeric string, headers,
 * multiValueHeaders, body a string, isBase64Encoded. TG_ESYNTAX: malformed; *detail says how. */
enum tg_err tg_lambda_read_result(struct tg_arena *arena, struct tg_slice payload, struct tg_answer *out,
                                  struct tg_slice *detail) TG_MUST_CHECK;

#endif
