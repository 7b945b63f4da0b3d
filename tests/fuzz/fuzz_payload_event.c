/* Events of HTTP APIs: a line of settings, lines of method, route key, path and query, `Name: value` fields,
 * an empty line, the body. Both formats must give JSON without a name twice that gives back what went in: the
 * body byte for byte, the query as it was, every header. */
#include <stdlib.h>

#include "routes/fields.h"
#include "routes/jsonwalk.h"
#include "routes/payload.h"
#include "server/base/codec.h"
#include "server/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void read_fields(struct tg_arena *arena, struct tg_slice *rest, struct tg_headers *headers)
{
    while (rest->len > 0) {
        struct tg_slice value, line = tg_slice_cut(*rest, '\n', rest);
        if (line.len == 0) {
            return;
        }
        struct tg_slice name = tg_slice_cut(line, ':', &value);
        value = tg_slice_trim(value);
        if (tg_header_name_ok(name) && tg_header_value_ok(value)) {
            check(tg_headers_add(headers, arena, name, value) == TG_OK);
        }
    }
}

/* The value of a member, or one that was not found. Names at every level must differ. */
static struct tg_jsonscan_value member_of(struct tg_arena *arena, const struct tg_jsonscan_value *object,
                                          struct tg_slice wanted)
{
    struct tg_jsonscan_value name, value, found = {0};
    struct tg_headers names = {0};
    struct tg_field *fields = NULL;
    struct tg_jsonwalk walk;
    tg_jsonwalk_init(&walk, object);
    while (tg_jsonwalk_next(&walk, &name, &value)) {
        struct tg_slice text = TG_EMPTY;
        check(tg_jsonscan_text(&name, TG_JSONSCAN_COMPACT, arena, &text) == TG_OK);
        check(tg_headers_add(&names, arena, text, TG_EMPTY) == TG_OK);
        if (tg_jsonwalk_is(&name, wanted)) {
            found = value;
        }
    }
    check(tg_fields_group(arena, &names, false, &fields) == TG_OK);
    for (size_t i = 0; i < names.count; i++) {
        check(fields[i].is_first);
    }
    return found;
}

static struct tg_slice text_of(struct tg_arena *arena, const struct tg_jsonscan_value *value)
{
    struct tg_slice text = TG_EMPTY;
    check(tg_jsonscan_text(value, TG_JSONSCAN_COMPACT, arena, &text) == TG_OK);
    return text;
}

static struct tg_slice repaired(struct tg_arena *arena, struct tg_slice text)
{
    check(tg_utf8_repair(arena, text, &text) == TG_OK);
    return text;
}

static void check_body(struct tg_arena *arena, const struct tg_payload_input *input,
                       const struct tg_jsonscan_value *event)
{
    struct tg_jsonscan_value encoded = member_of(arena, event, TG_LIT("isBase64Encoded"));
    struct tg_jsonscan_value value = member_of(arena, event, TG_LIT("body"));
    bool base64 = tg_slice_eq(encoded.raw, TG_LIT("true"));
    check(encoded.type == TG_JSON_BOOL);
    if (input->body.len == 0) {
        check(!base64 && value.found == (input->format == TG_PAYLOAD_1_0) && value.type == TG_JSON_NULL);
        return;
    }
    struct tg_slice body = text_of(arena, &value);
    check(value.type == TG_JSON_STRING);
    check(!base64 || tg_base64_decode(arena, body, &body) == TG_OK);
    check(tg_slice_eq(body, input->body));
}

static void check_headers(struct tg_arena *arena, const struct tg_payload_input *input,
                          const struct tg_jsonscan_value *event)
{
    struct tg_jsonscan_value map = member_of(arena, event, TG_LIT("headers")), name, value;
    struct tg_headers shown = {0};
    struct tg_jsonwalk walk;
    uint64_t length = UINT64_MAX;
    bool v2 = input->format == TG_PAYLOAD_2_0;
    tg_jsonwalk_init(&walk, &map);
    while (tg_jsonwalk_next(&walk, &name, &value)) {
        struct tg_slice text = text_of(arena, &name);
        check(tg_headers_first(&shown, text) == NULL);
        check(tg_headers_add(&shown, arena, text, text_of(arena, &value)) == TG_OK);
        for (size_t i = 0; v2 && i < text.len; i++) {
            check(text.ptr[i] < 'A' || text.ptr[i] > 'Z');
        }
    }
    const struct tg_header *content_length = tg_headers_first(&shown, TG_LIT("content-length"));
    check(content_length != NULL && tg_slice_to_u64(content_length->value, &length) == TG_OK);
    check(length == input->body.len);
    check(v2 == (member_of(arena, event, TG_LIT("multiValueHeaders")).found == false));
    for (size_t i = 0; i < input->headers.count; i++) {
        const struct tg_header *field = &input->headers.items[i];
        const struct tg_header *found = tg_headers_first(&shown, field->name);
        bool cookie = v2 && tg_slice_eq_nocase(field->name, TG_LIT("Cookie"));
        check((found == NULL) == (cookie || tg_header_is_hop_by_hop(field->name)));
        if (found != NULL && tg_headers_count(&input->headers, field->name) == 1 &&
            !tg_header_is_forwarding(field->name) && found != content_length) {
            check(tg_slice_eq(found->value, repaired(arena, field->value)));
        }
    }
}

static void check_query(struct tg_arena *arena, const struct tg_payload_input *input,
                        const struct tg_jsonscan_value *event)
{
    struct tg_jsonscan_value map = member_of(arena, event, TG_LIT("queryStringParameters"));
    struct tg_headers query = {0};
    check(tg_query_parse(arena, input->query, &query) == TG_OK);
    check((map.type == TG_JSON_OBJECT) == (query.count > 0));
    if (input->format == TG_PAYLOAD_2_0) {
        struct tg_jsonscan_value raw = member_of(arena, event, TG_LIT("rawQueryString"));
        check(raw.found && tg_slice_eq(text_of(arena, &raw), repaired(arena, input->query)));
    }
    for (size_t i = 0; i < query.count && i < 16; i++) {
        check(member_of(arena, &map, repaired(arena, query.items[i].name)).type == TG_JSON_STRING);
    }
}

static void check_event(struct tg_arena *arena, struct tg_payload_input *input, enum tg_payload_format format)
{
    const struct tg_jsonscan_path whole = {NULL, 0};
    const struct tg_json *tree;
    struct tg_jsonscan_value event;
    struct tg_buf out;
    input->format = format;
    tg_buf_init(&out, SIZE_MAX);
    check(tg_payload_write(arena, input, &out) == TG_OK);
    struct tg_slice text = tg_buf_slice(&out);
    /* The tree parser takes no NUL in names, which a query may have. */
    check(tg_json_parse(arena, text, &tree) == TG_OK ||
          tg_slice_find_slice(text, TG_LIT("\\u0000")) < text.len);
    check(tg_jsonscan_find(text, &whole, TG_JSONSCAN_STRICT, &event) == TG_OK);
    check(event.type == TG_JSON_OBJECT);
    check(tg_slice_eq(member_of(arena, &event, TG_LIT("version")).raw,
                      format == TG_PAYLOAD_2_0 ? TG_LIT("\"2.0\"") : TG_LIT("\"1.0\"")));
    check(member_of(arena, &event, TG_LIT("requestContext")).type == TG_JSON_OBJECT);
    check_body(arena, input, &event);
    check_headers(arena, input, &event);
    check_query(arena, input, &event);
    tg_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tg_slice text_types[] = {TG_LIT_INIT("application/x-www-form-urlencoded")};
    struct tg_arena arena;
    struct tg_payload_input input = {.account_id = TG_LIT("123456789012"), .domain_name = TG_LIT("a.b")};
    struct tg_slice rest = tg_slice_make(data, size);
    struct tg_string_pair pair;
    tg_arena_init(&arena, NULL);
    struct tg_slice settings = tg_slice_cut(rest, '\n', &rest);
    bool preserve = tg_slice_find(settings, 'p') < settings.len;
    input.preserve_path = preserve;
    input.authorizer = tg_slice_find(settings, 'i') < settings.len   ? TG_PAYLOAD_IAM
                       : tg_slice_find(settings, 'j') < settings.len ? TG_PAYLOAD_JWT
                                                                     : TG_PAYLOAD_OPEN;
    input.text_types = (struct tg_strings){text_types, tg_slice_find(settings, 't') < settings.len ? 1 : 0};
    input.method = tg_slice_cut(rest, '\n', &rest);
    input.route_key = tg_slice_cut(rest, '\n', &rest);
    input.path = input.event_path = tg_slice_cut(rest, '\n', &rest);
    input.query = tg_slice_cut(rest, '\n', &rest);
    pair = (struct tg_string_pair){input.method, input.path};
    input.path_parameters = input.jwt.claims = (struct tg_string_map){&pair, input.path.len > 1 ? 1 : 0};
    input.iam.user_arn = input.query;
    input.request_id = settings;
    input.trace_id = TG_LIT("Root=1-67fd88a4-127eb8e773d2bb6f7df47ab6");
    read_fields(&arena, &rest, &input.headers);
    input.body = rest;
    check_event(&arena, &input, TG_PAYLOAD_2_0);
    check_event(&arena, &input, TG_PAYLOAD_1_0);
    tg_arena_reset(&arena);
    return 0;
}
