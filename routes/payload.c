#include "routes/payload.h"

#include "routes/jsonout.h"
#include "server/base/codec.h"

/* The input, what was worked out from it, and the text that becomes the event. */
struct writer {
    struct tg_jsonout json;
    const struct tg_payload_input *input;
    struct tg_headers headers; /* as the event shows them, cookies apart in 2.0 */
    struct tg_headers query;
};

static void raw(struct writer *w, const char *text)
{
    tg_jsonout_raw(&w->json, text);
}

static void member(struct writer *w, const char *before, struct tg_slice value)
{
    tg_jsonout_member(&w->json, before, value);
}

static void member_or_null(struct writer *w, const char *before, struct tg_slice value)
{
    tg_jsonout_member_or_null(&w->json, before, value);
}

/* ---- headers and query ---- */

/* Names that events of format 1.0 write in one way, however they came (1.7). */
static const struct tg_slice known_names[] = {TG_LIT_INIT("Content-Length"), TG_LIT_INIT("Content-Type"),
                                              TG_LIT_INIT("Host"), TG_LIT_INIT("User-Agent")};

static struct tg_slice known_name(struct tg_slice name)
{
    for (size_t i = 0; i < sizeof known_names / sizeof known_names[0]; i++) {
        if (tg_slice_eq_nocase(name, known_names[i])) {
            return known_names[i];
        }
    }
    return name;
}

static enum tg_err lower_case(struct tg_arena *arena, struct tg_slice name, struct tg_slice *out)
{
    struct tg_slice copy;
    enum tg_err err = tg_arena_copy(arena, name, &copy);
    if (err != TG_OK) {
        return err;
    }
    char *text = (char *)(uintptr_t)copy.ptr;
    for (size_t i = 0; i < name.len; i++) {
        if (text[i] >= 'A' && text[i] <= 'Z') {
            text[i] = (char)(text[i] | 0x20);
        }
    }
    *out = copy;
    return TG_OK;
}

static void add_header(struct writer *w, struct tg_slice name, struct tg_slice value)
{
    if (w->input->format == TG_PAYLOAD_1_0) {
        name = known_name(name);
    } else if (w->json.err == TG_OK) {
        w->json.err = lower_case(w->json.arena, name, &name);
    }
    if (w->json.err == TG_OK) {
        w->json.err = tg_headers_add(&w->headers, w->json.arena, name, value);
    }
}

static void collect_headers(struct writer *w)
{
    const struct tg_payload_input *input = w->input;
    struct tg_slice length = TG_EMPTY, forwarded = TG_EMPTY;
    bool has_length = false;
    w->json.err = tg_arena_printf(w->json.arena, &length, "%zu", input->body.len);
    for (size_t i = 0; i < input->headers.count; i++) {
        const struct tg_header *field = &input->headers.items[i];
        if (tg_slice_eq_nocase(field->name, TG_LIT("Content-Length"))) {
            if (!has_length) {
                add_header(w, field->name, length);
            }
            has_length = true;
        } else if (!tg_header_is_hop_by_hop(field->name) && !tg_header_is_forwarding(field->name) &&
                   (input->format != TG_PAYLOAD_2_0 || !tg_slice_eq_nocase(field->name, TG_LIT("Cookie")))) {
            add_header(w, field->name, field->value);
        }
    }
    if (!has_length) {
        add_header(w, TG_LIT("Content-Length"), length);
    }
    if (input->trace_id.len > 0) {
        add_header(w, TG_LIT("X-Amzn-Trace-Id"), input->trace_id);
    }
    if (w->json.err == TG_OK) {
        w->json.err = tg_forwarded_for(w->json.arena, &input->headers, input->source_ip, &forwarded);
    }
    add_header(w, TG_LIT("X-Forwarded-For"), forwarded);
    add_header(w, TG_LIT("X-Forwarded-Port"), input->forwarded_port);
    add_header(w, TG_LIT("X-Forwarded-Proto"), input->forwarded_proto);
}

/* Names are repaired before they are compared: two that become the same are one. */
static void collect_query(struct writer *w)
{
    if (w->json.err == TG_OK) {
        w->json.err = tg_query_parse(w->json.arena, w->input->query, &w->query);
    }
    for (size_t i = 0; w->json.err == TG_OK && i < w->query.count; i++) {
        struct tg_slice *name = &w->query.items[i].name;
        w->json.err = tg_utf8_repair(w->json.arena, *name, name);
    }
}

/* ---- what the formats share ---- */

static void path_member(struct writer *w, const char *before, struct tg_slice path)
{
    if (w->json.err == TG_OK && !w->input->preserve_path) {
        w->json.err = tg_percent_decode(w->json.arena, path, false, &path);
    }
    member(w, before, path);
}

static struct tg_slice protocol(const struct tg_payload_input *input)
{
    return input->protocol.len > 0 ? input->protocol : TG_LIT("HTTP/1.1");
}

static struct tg_slice domain_prefix(const struct tg_payload_input *input)
{
    struct tg_slice rest;
    return tg_slice_cut(input->domain_name, '.', &rest);
}

static void time_members(struct writer *w, const char *before_text, const char *before_number)
{
    char text[TG_TIME_TEXT_MAX];
    size_t len = tg_time_clf(w->input->time_ms, text);
    member(w, before_text, tg_slice_make(text, len));
    raw(w, before_number);
    tg_jsonout_number(&w->json, w->input->time_ms);
}

static void client_cert(struct writer *w, const char *before)
{
    const struct tg_payload_cert *cert = w->input->cert;
    raw(w, before);
    member(w, "\"clientCert\":{\"clientCertPem\":", cert->pem);
    member(w, ",\"subjectDN\":", cert->subject_dn);
    member(w, ",\"issuerDN\":", cert->issuer_dn);
    member(w, ",\"serialNumber\":", cert->serial_number);
    member(w, ",\"validity\":{\"notBefore\":", cert->not_before);
    member(w, ",\"notAfter\":", cert->not_after);
    raw(w, "}}");
}

static void jwt_members(struct writer *w)
{
    const struct tg_payload_jwt *jwt = &w->input->jwt;
    raw(w, "\"claims\":");
    tg_jsonout_map(&w->json, &jwt->claims);
    raw(w, jwt->has_scopes ? ",\"scopes\":[" : ",\"scopes\":null");
    if (jwt->has_scopes) {
        for (size_t i = 0; i < jwt->scopes.count; i++) {
            member(w, i > 0 ? "," : "", jwt->scopes.items[i]);
        }
        raw(w, "]");
    }
}

static void raw_json(struct writer *w, struct tg_slice text)
{
    if (w->json.err == TG_OK) {
        w->json.err = tg_buf_append(w->json.out, text);
    }
}

/* The Content-Type, when there is just one. */
static struct tg_slice content_type(const struct tg_payload_input *input)
{
    const struct tg_header *field = tg_headers_first(&input->headers, TG_LIT("Content-Type"));
    return field != NULL && field == tg_headers_last(&input->headers, TG_LIT("Content-Type")) ? field->value
                                                                                              : TG_EMPTY;
}

/* The two members that end an event; `none` stands in place of an empty body. */
static void body_members(struct writer *w, const char *none)
{
    struct tg_slice body = w->input->body;
    bool text = body.len == 0 ||
                (tg_payload_is_text(content_type(w->input), &w->input->text_types) && tg_utf8_valid(body));
    if (body.len == 0) {
        raw(w, none);
    } else {
        raw(w, ",\"body\":");
        if (text) {
            tg_jsonout_string(&w->json, body);
        } else {
            tg_jsonout_base64(&w->json, body);
        }
    }
    raw(w, text ? ",\"isBase64Encoded\":false}" : ",\"isBase64Encoded\":true}");
}

/* ---- format 2.0 (1.6): what there is none of is absent ---- */

static void cookies(struct writer *w)
{
    const char *separator = ",\"cookies\":[";
    bool any = false;
    for (size_t i = 0; i < w->input->headers.count; i++) {
        const struct tg_header *field = &w->input->headers.items[i];
        struct tg_slice rest = tg_slice_eq_nocase(field->name, TG_LIT("Cookie")) ? field->value : TG_EMPTY;
        while (rest.len > 0) {
            struct tg_slice cookie = tg_slice_trim(tg_slice_cut(rest, ';', &rest));
            if (cookie.len > 0) {
                member(w, separator, cookie);
                separator = ",";
                any = true;
            }
        }
    }
    raw(w, any ? "]" : "");
}

static void map_or_absent(struct writer *w, const char *before, const struct tg_string_map *map)
{
    if (map->count > 0) {
        raw(w, before);
        tg_jsonout_map(&w->json, map);
    }
}

static void authorizer_2(struct writer *w)
{
    const struct tg_payload_input *input = w->input;
    switch (input->authorizer) {
    case TG_PAYLOAD_OPEN:
        break;
    case TG_PAYLOAD_IAM:
        member_or_null(w, ",\"authorizer\":{\"iam\":{\"accessKey\":", input->iam.access_key);
        member_or_null(w, ",\"accountId\":", input->iam.account_id);
        member_or_null(w, ",\"callerId\":", input->iam.caller_id);
        member_or_null(w, ",\"cognitoIdentity\":null,\"principalOrgId\":", input->iam.principal_org_id);
        member_or_null(w, ",\"userArn\":", input->iam.user_arn);
        member_or_null(w, ",\"userId\":", input->iam.user_id);
        raw(w, "}}");
        break;
    case TG_PAYLOAD_JWT:
        raw(w, ",\"authorizer\":{\"jwt\":{");
        jwt_members(w);
        raw(w, "}}");
        break;
    case TG_PAYLOAD_LAMBDA:
        raw(w, ",\"authorizer\":{\"lambda\":");
        raw_json(w, input->context.len > 0 ? input->context : TG_LIT("null"));
        raw(w, "}");
        break;
    }
}

static void context_2(struct writer *w)
{
    const struct tg_payload_input *input = w->input;
    member(w, ",\"requestContext\":{\"accountId\":", input->account_id);
    member(w, ",\"apiId\":", input->api_id);
    if (input->cert != NULL) {
        client_cert(w, ",\"authentication\":{");
        raw(w, "}");
    }
    authorizer_2(w);
    member(w, ",\"domainName\":", input->domain_name);
    member(w, ",\"domainPrefix\":", domain_prefix(input));
    member(w, ",\"http\":{\"method\":", input->method);
    path_member(w, ",\"path\":", input->event_path);
    member(w, ",\"protocol\":", protocol(input));
    member(w, ",\"sourceIp\":", input->source_ip);
    member(w, ",\"userAgent\":", input->user_agent);
    member(w, "},\"requestId\":", input->request_id);
    member(w, ",\"routeKey\":", input->route_key);
    member(w, ",\"stage\":", input->stage);
    time_members(w, ",\"time\":", ",\"timeEpoch\":");
    raw(w, "}");
}

static void write_2(struct writer *w)
{
    const struct tg_payload_input *input = w->input;
    member(w, "{\"version\":\"2.0\",\"routeKey\":", input->route_key);
    path_member(w, ",\"rawPath\":", input->event_path);
    member(w, ",\"rawQueryString\":", input->query);
    cookies(w);
    raw(w, ",\"headers\":");
    tg_jsonout_fields(&w->json, &w->headers, false, TG_JSONOUT_JOINED);
    if (w->query.count > 0) {
        raw(w, ",\"queryStringParameters\":");
        tg_jsonout_fields(&w->json, &w->query, false, TG_JSONOUT_JOINED);
    }
    map_or_absent(w, ",\"pathParameters\":", &input->path_parameters);
    map_or_absent(w, ",\"stageVariables\":", &input->stage_variables);
    context_2(w);
    body_members(w, "");
}

/* ---- format 1.0 (1.7, 2.12): what there is none of is null ---- */

static void query_or_null(struct writer *w, const char *before, enum tg_jsonout_values values)
{
    raw(w, before);
    if (w->query.count > 0) {
        tg_jsonout_fields(&w->json, &w->query, false, values);
    } else {
        raw(w, "null");
    }
}

static void map_or_null(struct writer *w, const char *before, const struct tg_string_map *map)
{
    raw(w, before);
    if (map->count > 0) {
        tg_jsonout_map(&w->json, map);
    } else {
        raw(w, "null");
    }
}

static void identity(struct writer *w)
{
    const struct tg_payload_input *input = w->input;
    static const struct tg_payload_iam nobody;
    const struct tg_payload_iam *iam = input->authorizer == TG_PAYLOAD_IAM ? &input->iam : &nobody;
    member_or_null(w, ",\"identity\":{\"cognitoIdentityPoolId\":null,\"accountId\":", iam->account_id);
    member_or_null(w, ",\"cognitoIdentityId\":null,\"caller\":", iam->caller_id);
    member(w, ",\"sourceIp\":", input->source_ip);
    member_or_null(w, ",\"principalOrgId\":", iam->principal_org_id);
    member_or_null(w, ",\"accessKey\":", iam->access_key);
    member_or_null(w,
                   ",\"cognitoAuthenticationType\":null,\"cognitoAuthenticationProvider\":null,\"userArn\":",
                   iam->user_arn);
    member(w, ",\"userAgent\":", input->user_agent);
    member_or_null(w, ",\"user\":", iam->user_id);
    if (input->cert != NULL) {
        client_cert(w, ",");
    }
    raw(w, "}");
}

static void authorizer_1(struct writer *w)
{
    if (w->input->authorizer == TG_PAYLOAD_JWT) {
        raw(w, ",\"authorizer\":{");
        jwt_members(w);
        raw(w, "}");
    } else if (w->input->authorizer == TG_PAYLOAD_LAMBDA && w->input->context.len > 0) {
        raw(w, ",\"authorizer\":");
        raw_json(w, w->input->context);
    }
}

/* `/users/{userId}` of a route key, or all of `$default`. */
static struct tg_slice resource(const struct tg_payload_input *input)
{
    struct tg_slice path, method = tg_slice_cut(input->route_key, ' ', &path);
    return path.len > 0 ? path : method;
}

static void context_1(struct writer *w)
{
    const struct tg_payload_input *input = w->input;
    member(w, ",\"requestContext\":{\"resourceId\":", input->route_key);
    member(w, ",\"resourcePath\":", resource(input));
    member(w, ",\"httpMethod\":", input->method);
    member(w, ",\"extendedRequestId\":", input->request_id);
    time_members(w, ",\"requestTime\":", ",\"requestTimeEpoch\":");
    path_member(w, ",\"path\":", input->path);
    member(w, ",\"accountId\":", input->account_id);
    member(w, ",\"protocol\":", protocol(input));
    member(w, ",\"stage\":", input->stage);
    member(w, ",\"domainPrefix\":", domain_prefix(input));
    member(w, ",\"domainName\":", input->domain_name);
    member(w, ",\"requestId\":", input->request_id);
    member(w, ",\"apiId\":", input->api_id);
    if (input->deployment_id.len > 0) {
        member(w, ",\"deploymentId\":", input->deployment_id);
    }
    identity(w);
    authorizer_1(w);
    raw(w, "}");
}

static void write_1(struct writer *w)
{
    const struct tg_payload_input *input = w->input;
    member(w, "{\"version\":\"1.0\",\"resource\":", resource(input));
    member(w, ",\"path\":", input->path);
    member(w, ",\"httpMethod\":", input->method);
    raw(w, ",\"headers\":");
    tg_jsonout_fields(&w->json, &w->headers, true, TG_JSONOUT_LAST);
    raw(w, ",\"multiValueHeaders\":");
    tg_jsonout_fields(&w->json, &w->headers, true, TG_JSONOUT_EVERY);
    query_or_null(w, ",\"queryStringParameters\":", TG_JSONOUT_LAST);
    query_or_null(w, ",\"multiValueQueryStringParameters\":", TG_JSONOUT_EVERY);
    map_or_null(w, ",\"pathParameters\":", &input->path_parameters);
    map_or_null(w, ",\"stageVariables\":", &input->stage_variables);
    context_1(w);
    body_members(w, ",\"body\":null");
}

enum tg_err tg_payload_write(struct tg_arena *arena, const struct tg_payload_input *input, struct tg_buf *out)
{
    struct writer writer = {.json = {.out = out, .arena = arena, .err = TG_OK}, .input = input};
    collect_headers(&writer);
    collect_query(&writer);
    if (input->format == TG_PAYLOAD_2_0) {
        write_2(&writer);
    } else {
        write_1(&writer);
    }
    return writer.json.err;
}
