/* What a function of an HTTP API is called with and what it may answer, formats 1.0 and 2.0 (http-api 1.3,
 * 1.6 to 1.8). Pure: knows neither requests nor connections; everything comes in as borrowed bytes. */
#ifndef TG_ROUTES_PAYLOAD_H
#define TG_ROUTES_PAYLOAD_H

#include "server/base/buf.h"
#include "server/base/headers.h"
#include "server/base/strings.h"

enum tg_payload_format { TG_PAYLOAD_1_0, TG_PAYLOAD_2_0 };

/* ---- the event ---- */

/* Who was let in, by the kind of authorisation of the route. A slice without a pointer is shown as null. */
enum tg_payload_authorizer { TG_PAYLOAD_OPEN, TG_PAYLOAD_IAM, TG_PAYLOAD_JWT, TG_PAYLOAD_LAMBDA };

struct tg_payload_iam {
    struct tg_slice access_key, account_id, caller_id, principal_org_id, user_arn, user_id;
};

struct tg_payload_jwt {
    struct tg_string_map claims; /* as text already, by the rules of 1.6.1 */
    struct tg_strings scopes;
    bool has_scopes; /* false: null, as on routes without authorizationScopes */
};

/* The certificate of a client, mutual TLS. */
struct tg_payload_cert {
    struct tg_slice pem, subject_dn, issuer_dn, serial_number, not_before, not_after;
};

struct tg_payload_input {
    enum tg_payload_format format;
    struct tg_slice route_key;  /* `POST /users/{userId}`, `$default` */
    struct tg_slice method;     /* the client's */
    struct tg_slice path;       /* as on the wire, with the stage or the API mapping: `path` of 1.0 */
    struct tg_slice event_path; /* the same without the mapping: `rawPath` of 2.0 */
    struct tg_slice query;      /* behind the `?`; NULL: none */
    bool preserve_path;         /* pathDecoding is preserve: rawPath, http.path and the 1.0
                                   requestContext.path stay encoded; path parameters do not */
    struct tg_headers headers;  /* as on the wire */
    struct tg_string_map path_parameters; /* percent-decoded */
    struct tg_string_map stage_variables;
    struct tg_slice account_id, api_id, stage, domain_name;
    struct tg_slice deployment_id; /* 1.0; empty: the member is absent */
    struct tg_slice request_id;    /* as Apigw-Requestid; extendedRequestId of 1.0 as well */
    struct tg_slice source_ip;
    struct tg_slice user_agent; /* empty without the header */
    struct tg_slice protocol;   /* empty: HTTP/1.1 */
    int64_t time_ms;            /* wall clock */
    /* Header fields that the gateway sets: these take the place of the client's, X-Forwarded-For is extended
     * by source_ip, Content-Length is that of the body. Hop-by-hop fields are left out. */
    struct tg_slice trace_id, forwarded_port, forwarded_proto;
    struct tg_slice body;
    struct tg_strings text_types; /* media types that are text besides those of 1.6.2 */
    enum tg_payload_authorizer authorizer;
    struct tg_payload_iam iam; /* of IAM */
    struct tg_payload_jwt jwt; /* of JWT */
    struct tg_slice context;   /* of LAMBDA: the text of a JSON object, written as it is; empty: none */
    const struct tg_payload_cert *cert; /* NULL: none */
};

/* Appends the event as JSON, members as 1.6 and 1.7 order them, headers and query parameters as they came.
 * Text that is not valid UTF-8 is repaired (U+FFFD), names before repeats are put together. The body is text
 * when tg_payload_is_text says so and it is valid UTF-8, else base64. The buffer's errors, TG_ENOMEM; part of
 * it may have been appended then. */
enum tg_err tg_payload_write(struct tg_arena *arena, const struct tg_payload_input *input,
                             struct tg_buf *out) TG_MUST_CHECK;

/* Whether a body of that Content-Type reaches the function as text (1.6.2): text/any, application/json, /xml,
 * /javascript, /graphql, or one of text_types, which are `type/subtype`, `type` and a star, or two stars;
 * with no charset but utf-8. The comparison ignores case. */
bool tg_payload_is_text(struct tg_slice content_type, const struct tg_strings *text_types);

/* ---- the answer ---- */

struct tg_payload_answer {
    int status; /* 200 to 999 */
    struct tg_headers headers;
    struct tg_slice body; /* decoded */
};

/* Reads what a function returned (1.8.1, 1.8.2). Headers: in the order they go out, with a Content-Type,
 * names as tg_payload_header_name has them; without hop-by-hop fields and what the gateway writes itself
 * (Content-Length, Date, Apigw-Requestid). The answer borrows from the payload and the arena.
 *
 * 2.0: an object with a member statusCode is an answer; an empty payload is `null`; a string is unquoted, its
 * lone surrogates become U+FFFD; anything else is the body of a 200, byte for byte, blanks and a byte order
 * mark included, and so is what is no JSON at all unless it begins like an object. 1.0: an object with
 * statusCode, nothing else.
 * statusCode: an integer as written, not "200", 200.0, 2e2 or null. Of members of the same name the last
 * counts; header names that differ by case are the same name. Values of headers: strings, numbers as written,
 * true, false; null is as if absent; nothing else. Other members are ignored, whatever they hold.
 *
 * TG_ESYNTAX: no answer can be made of it, the client gets 500; *detail says why, static text for the log. A
 * name or value that no header may have fails the whole answer. TG_ELIMIT: an object that nests deeper than
 * TG_JSONSCAN_DEPTH_MAX, with *detail. TG_ENOMEM. */
enum tg_err tg_payload_read_answer(enum tg_payload_format format, struct tg_arena *arena,
                                   struct tg_slice payload, struct tg_payload_answer *out,
                                   struct tg_slice *detail) TG_MUST_CHECK;

/* A header's name as HTTP/1.1 answers of HTTP APIs write it: `myheader` is Myheader, `ETag` is Etag. */
enum tg_err tg_payload_header_name(struct tg_arena *arena, struct tg_slice name,
                                   struct tg_slice *out) TG_MUST_CHECK;

#endif
