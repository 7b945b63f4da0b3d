/* What can go wrong with a request, in one table: the name that $context.error.responseType prints, the HTTP
 * status and the text that clients see (spec 1.2, 1.13, 7.5). A request has at most one fault; this is where
 * it becomes bytes. */
#ifndef TG_ROUTES_FAULT_H
#define TG_ROUTES_FAULT_H

#include "server/base/arena.h"

/* X(name, responseType, status, message, status and message on HTTP APIs (http-api.md 1.12)) */
#define TG_FAULT_TABLE(X)                                                                                    \
    X(TG_FAULT_NONE, "", 200, "", 200, "")                                                                   \
    X(TG_FAULT_NO_ROUTE, "ACCESS_DENIED", 403, "Forbidden", 404, "Not Found")                                \
    X(TG_FAULT_NO_STAGE, "ACCESS_DENIED", 403, "Forbidden", 404, "Not Found")                                \
    X(TG_FAULT_INTEGRATION, "INTEGRATION_FAILURE", 502, "Internal server error", 503, "Service Unavailable") \
    X(TG_FAULT_FUNCTION, "INTEGRATION_FAILURE", 502, "Internal server error", 500, "Internal Server Error")  \
    X(TG_FAULT_TIMEOUT, "INTEGRATION_TIMEOUT", 504, "Endpoint request timed out", 503,                       \
      "Service Unavailable")                                                                                 \
    X(TG_FAULT_CONFIGURATION, "API_CONFIGURATION_ERROR", 500, "Internal server error", 500,                  \
      "Internal Server Error")                                                                               \
    X(TG_FAULT_INTERNAL, "DEFAULT_5XX", 500, "Internal server error", 500, "Internal Server Error")          \
    X(TG_FAULT_BAD_REQUEST, "DEFAULT_4XX", 400, "Bad Request", 400, "Bad Request")                           \
    X(TG_FAULT_TOO_LARGE, "REQUEST_TOO_LARGE", 413, "Request Entity Too Large", 413,                         \
      "Request Entity Too Large")                                                                            \
    X(TG_FAULT_BODY_TIMEOUT, "DEFAULT_4XX", 408, "Request Timeout", 408, "Request Timeout")                  \
    X(TG_FAULT_CLIENT_GONE, "DEFAULT_4XX", 499, "Client Closed Request", 499, "Client Closed Request")       \
    X(TG_FAULT_BAD_PARAMETERS, "BAD_REQUEST_PARAMETERS", 400, "Bad Request", 400, "Bad Request")             \
    X(TG_FAULT_BAD_BODY, "BAD_REQUEST_BODY", 400, "Bad request body", 400, "Bad Request")                    \
    X(TG_FAULT_THROTTLED, "THROTTLED", 429, "Too Many Requests", 429, "Too Many Requests")                   \
    X(TG_FAULT_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported Media Type", 415,                     \
      "Unsupported Media Type")                                                                              \
    X(TG_FAULT_UNAUTHORIZED, "UNAUTHORIZED", 401, "Unauthorized", 401, "Unauthorized")                       \
    X(TG_FAULT_DENIED_EXPLICIT, "ACCESS_DENIED", 403,                                                        \
      "User is not authorized to access this resource with an explicit deny in an identity-based policy",    \
      403, "Forbidden")                                                                                      \
    X(TG_FAULT_DENIED, "ACCESS_DENIED", 403, "User is not authorized to access this resource", 403,          \
      "Forbidden")                                                                                           \
    X(TG_FAULT_AUTHORIZER, "AUTHORIZER_FAILURE", 500, "Internal server error", 500, "Internal Server Error") \
    X(TG_FAULT_AUTHORIZER_RESULT, "AUTHORIZER_CONFIGURATION_ERROR", 500, "", 500, "Internal Server Error")   \
    X(TG_FAULT_API_KEY, "INVALID_API_KEY", 403, "Forbidden", 403, "Forbidden")                               \
    X(TG_FAULT_SIGNATURE_MISSING, "MISSING_AUTHENTICATION_TOKEN", 403, "Missing Authentication Token", 403,  \
      "Forbidden")                                                                                           \
    X(TG_FAULT_SIGNATURE, "INVALID_SIGNATURE", 403,                                                          \
      "The request signature we calculated does not match the signature you provided. Check your AWS "       \
      "Secret "                                                                                              \
      "Access Key and signing method. Consult the service documentation for details.",                       \
      403, "Forbidden")                                                                                      \
    X(TG_FAULT_FORBIDDEN, "ACCESS_DENIED", 403, "Forbidden", 403, "Forbidden")                               \
    X(TG_FAULT_DRAINING, "DEFAULT_5XX", 503, "Service Unavailable", 503, "Service Unavailable")              \
    X(TG_FAULT_CONNECTIONS, "DEFAULT_5XX", 503, "Service Unavailable", 503, "Service Unavailable")

enum tg_fault {
#define X(name, type, status, message, http_status, http_message) name,
    TG_FAULT_TABLE(X)
#undef X
};

int tg_fault_status(enum tg_fault fault);
struct tg_slice tg_fault_message(enum tg_fault fault);
/* The same where an HTTP API answers. */
int tg_fault_http_status(enum tg_fault fault);
struct tg_slice tg_fault_http_message(enum tg_fault fault);
struct tg_slice tg_fault_response_type(enum tg_fault fault);
/* The error frame of 1.13, byte for byte; the validation frame (BAD_BODY) in its own layout with message_id.
 */
enum tg_err tg_fault_frame(struct tg_arena *arena, enum tg_fault fault, struct tg_slice connection_id,
                           struct tg_slice request_id, struct tg_slice message_id,
                           struct tg_slice *out) TG_MUST_CHECK;
/* The body of a refused handshake: {"message":"...","connectionId":"...","requestId":"..."} */
enum tg_err tg_fault_body(struct tg_arena *arena, enum tg_fault fault, struct tg_slice connection_id,
                          struct tg_slice request_id, struct tg_slice *out) TG_MUST_CHECK;

#endif
