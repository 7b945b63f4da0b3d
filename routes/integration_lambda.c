/* AWS_PROXY: the event goes to a function by the Lambda Invoke API, its proxy result comes back
 * (spec 2.2, 2.3). */
#include "routes/event.h"
#include "routes/integration.h"
#include "routes/lambda.h"

enum { EVENT_LIMIT = 64 * 1024 * 1024 };

static void read_result(struct tg_request *request, struct tg_slice payload)
{
    struct tg_slice detail = TG_EMPTY;
    enum tg_err err = tg_lambda_read_result(&request->arena, payload, &request->answer, &detail);
    if (err == TG_OK) {
        request->integration_status = request->answer.status;
    } else if (err == TG_ENOMEM) {
        (void)tg_request_fail(request, TG_FAULT_INTERNAL, TG_LIT("out of memory"));
    } else {
        request->integration_status = 200;
        (void)tg_request_fail(request, TG_FAULT_INTEGRATION, detail);
    }
}

static void invoked(struct tg_request *request, enum tg_lambda_outcome outcome, struct tg_slice payload)
{
    if (outcome == TG_LAMBDA_OK) {
        read_result(request, payload);
    } else {
        tg_lambda_fail(request, outcome, payload, TG_FAULT_INTEGRATION);
    }
    tg_request_resume(request);
}

static enum tg_err start(struct tg_request *request)
{
    const struct tg_integration *integration = request->route->integration;
    struct tg_slice event;
    enum tg_err err = tg_event_make(request, tg_event_write, EVENT_LIMIT, &event);
    if (err == TG_OK) {
        err = tg_lambda_invoke(request, integration->function_name, event,
                               (uint64_t)integration->timeout_in_millis, invoked);
    }
    return err == TG_OK ? TG_EAGAIN : err;
}

const struct tg_integration_ops tg_integration_lambda_proxy = {TG_INTEGRATION_AWS_PROXY, start,
                                                               tg_http_invoke};
