/* Answers of functions: the second half of payload.h (http-api 1.8). */
#include "routes/fields.h"
#include "routes/jsonwalk.h"
#include "routes/payload.h"
#include "server/base/codec.h"

struct reader {
    struct tg_arena *arena;
    struct tg_slice detail; /* why it is no answer; empty: it is one so far */
    enum tg_err err;
    enum tg_payload_format format;
    /* The members that count, those of a repeated name the last. */
    struct tg_jsonscan_value status, headers, multi, cookies, body, encoded;
    struct tg_headers out;
};

static void fail(struct reader *r, enum tg_err err, struct tg_slice detail)
{
    if (r->err == TG_OK) {
        r->err = err;
        r->detail = detail;
    }
}

static void check(struct reader *r, enum tg_err err)
{
    if (err != TG_OK) {
        fail(r, err, TG_EMPTY);
    }
}

static void find_members(struct reader *r, const struct tg_jsonscan_value *object)
{
    const struct {
        struct tg_slice name;
        struct tg_jsonscan_value *value;
    } members[] = {{TG_LIT("statusCode"), &r->status}, {TG_LIT("headers"), &r->headers},
                   {TG_LIT("body"), &r->body},         {TG_LIT("isBase64Encoded"), &r->encoded},
                   {TG_LIT("cookies"), &r->cookies},   {TG_LIT("multiValueHeaders"), &r->multi}};
    struct tg_jsonwalk walk;
    struct tg_jsonscan_value name, value;
    tg_jsonwalk_init(&walk, object);
    while (tg_jsonwalk_next(&walk, &name, &value)) {
        for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
            if (tg_jsonwalk_is(&name, members[i].name)) {
                *members[i].value = value;
                break;
            }
        }
    }
}

static bool is_absent(const struct tg_jsonscan_value *value)
{
    return !value->found || value->type == TG_JSON_NULL;
}

static struct tg_slice text_of(struct reader *r, const struct tg_jsonscan_value *value)
{
    struct tg_slice text = TG_EMPTY;
    check(r, tg_jsonscan_text(value, TG_JSONSCAN_COMPACT, r->arena, &text));
    return text;
}

/* ---- headers ---- */

/* Fields that the front door writes, or that are a matter of the connection. */
static bool is_ours(struct tg_slice name)
{
    return tg_header_is_hop_by_hop(name) || tg_slice_eq_nocase(name, TG_LIT("Content-Length")) ||
           tg_slice_eq_nocase(name, TG_LIT("Date")) || tg_slice_eq_nocase(name, TG_LIT("Apigw-Requestid"));
}

enum tg_err tg_payload_header_name(struct tg_arena *arena, struct tg_slice name, struct tg_slice *out)
{
    struct tg_slice copy;
    enum tg_err err = tg_arena_copy(arena, name, &copy);
    if (err != TG_OK) {
        return err;
    }
    char *text = (char *)(uintptr_t)copy.ptr;
    bool start = true;
    for (size_t i = 0; i < name.len; i++) {
        if (start && text[i] >= 'a' && text[i] <= 'z') {
            text[i] = (char)(text[i] & ~0x20);
        } else if (!start && text[i] >= 'A' && text[i] <= 'Z') {
            text[i] = (char)(text[i] | 0x20);
        }
        start = text[i] == '-';
    }
    *out = copy;
    return TG_OK;
}

static struct tg_slice name_of(struct reader *r, const struct tg_jsonscan_value *value)
{
    struct tg_slice name = text_of(r, value);
    if (r->err == TG_OK && !tg_header_name_ok(name)) {
        fail(r, TG_ESYNTAX, TG_LIT("a name among the headers is none that a header may have"));
    }
    if (r->err == TG_OK) {
        check(r, tg_payload_header_name(r->arena, name, &name));
    }
    return name;
}

static struct tg_slice value_of(struct reader *r, const struct tg_jsonscan_value *value)
{
    if (value->type == TG_JSON_ARRAY || value->type == TG_JSON_OBJECT) {
        fail(r, TG_ESYNTAX, TG_LIT("the value of a header is neither text, number nor boolean"));
        return TG_EMPTY;
    }
    struct tg_slice text = text_of(r, value);
    if (r->err == TG_OK && !tg_header_value_ok(text)) {
        fail(r, TG_ESYNTAX, TG_LIT("the value of a header has a line break or another control character"));
    }
    return text;
}

static void add(struct reader *r, struct tg_headers *list, struct tg_slice name, struct tg_slice value)
{
    if (r->err == TG_OK) {
        check(r, tg_headers_add(list, r->arena, name, value));
    }
}

static bool open_map(struct reader *r, const struct tg_jsonscan_value *map, struct tg_jsonwalk *walk)
{
    if (!is_absent(map) && map->type != TG_JSON_OBJECT) {
        fail(r, TG_ESYNTAX, TG_LIT("the headers are not an object"));
    }
    tg_jsonwalk_init(walk, map);
    return r->err == TG_OK;
}

/* Of each name of the list its last entry, in the order of the first ones; the rest is dropped. */
static void keep_last(struct reader *r, struct tg_headers *list)
{
    struct tg_headers kept = {0};
    struct tg_field *fields = NULL;
    check(r, tg_fields_group(r->arena, list, true, &fields));
    if (fields == NULL) {
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct tg_field *field = &fields[i];
        if (field->is_first) {
            while (field->next != NULL) {
                field = field->next;
            }
            add(r, &kept, field->header->name, field->header->value);
        }
    }
    *list = kept;
}

static void read_single(struct reader *r)
{
    struct tg_headers list = {0};
    struct tg_jsonwalk walk;
    struct tg_jsonscan_value name, value;
    if (!open_map(r, &r->headers, &walk)) {
        return;
    }
    while (r->err == TG_OK && tg_jsonwalk_next(&walk, &name, &value)) {
        struct tg_slice text = name_of(r, &name);
        add(r, &list, text, value.type != TG_JSON_NULL ? value_of(r, &value) : TG_EMPTY);
    }
    keep_last(r, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct tg_header *field = &list.items[i];
        if (field->value.ptr != NULL && !is_ours(field->name)) {
            add(r, &r->out, field->name, field->value);
        }
    }
}

static void add_list(struct reader *r, const struct tg_header *field)
{
    const struct tg_jsonscan_value list = {.found = true, .type = TG_JSON_ARRAY, .raw = field->value};
    struct tg_jsonwalk walk;
    struct tg_jsonscan_value value;
    tg_jsonwalk_init(&walk, &list);
    while (r->err == TG_OK && tg_jsonwalk_next(&walk, NULL, &value)) {
        if (value.type != TG_JSON_NULL) {
            struct tg_slice text = value_of(r, &value);
            if (!is_ours(field->name)) {
                add(r, &r->out, field->name, text);
            }
        }
    }
}

/* Behind the single ones, also those of the same name (1.8.1). */
static void read_multi(struct reader *r)
{
    struct tg_headers list = {0};
    struct tg_jsonwalk walk;
    struct tg_jsonscan_value name, value;
    if (!open_map(r, &r->multi, &walk)) {
        return;
    }
    while (r->err == TG_OK && tg_jsonwalk_next(&walk, &name, &value)) {
        if (value.type != TG_JSON_ARRAY && value.type != TG_JSON_NULL) {
            fail(r, TG_ESYNTAX, TG_LIT("a value of multiValueHeaders is not a list"));
        }
        struct tg_slice text = name_of(r, &name);
        add(r, &list, text, value.type == TG_JSON_ARRAY ? value.raw : TG_EMPTY);
    }
    keep_last(r, &list);
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i].value.ptr != NULL) {
            add_list(r, &list.items[i]);
        }
    }
}

/* In place of what the headers set (1.8.2). */
static void read_cookies(struct reader *r)
{
    struct tg_jsonwalk walk;
    struct tg_jsonscan_value value;
    bool any = false;
    if (!is_absent(&r->cookies) && r->cookies.type != TG_JSON_ARRAY) {
        fail(r, TG_ESYNTAX, TG_LIT("cookies is not a list"));
    }
    tg_jsonwalk_init(&walk, &r->cookies);
    while (r->err == TG_OK && tg_jsonwalk_next(&walk, NULL, &value)) {
        if (value.type != TG_JSON_STRING) {
            fail(r, TG_ESYNTAX, TG_LIT("a cookie is not a string"));
            return;
        }
        if (!any) {
            tg_headers_remove(&r->out, TG_LIT("Set-Cookie"));
        }
        any = true;
        add(r, &r->out, TG_LIT("Set-Cookie"), value_of(r, &value));
    }
}

static void default_type(struct reader *r, struct tg_slice type)
{
    if (tg_headers_first(&r->out, TG_LIT("Content-Type")) == NULL) {
        add(r, &r->out, TG_LIT("Content-Type"), type);
    }
}

/* ---- the answer ---- */

static int read_status(struct reader *r)
{
    uint64_t number = 0;
    if (r->status.type != TG_JSON_INTEGER || tg_slice_to_u64(r->status.raw, &number) != TG_OK ||
        number < 200 || number > 999) {
        fail(r, TG_ESYNTAX, TG_LIT("statusCode is not an integer from 200 to 999"));
    }
    return (int)number;
}

static struct tg_slice read_body(struct reader *r)
{
    struct tg_slice body = TG_EMPTY;
    if (!is_absent(&r->encoded) && r->encoded.type != TG_JSON_BOOL) {
        fail(r, TG_ESYNTAX, TG_LIT("isBase64Encoded is not a boolean"));
    }
    if (!is_absent(&r->body) && r->body.type != TG_JSON_STRING) {
        fail(r, TG_ESYNTAX, TG_LIT("the body is not a string"));
    }
    if (r->err != TG_OK || is_absent(&r->body)) {
        return body;
    }
    body = text_of(r, &r->body);
    if (r->err == TG_OK && tg_slice_eq(r->encoded.raw, TG_LIT("true"))) {
        enum tg_err err = tg_base64_decode(r->arena, body, &body);
        if (err != TG_OK) {
            fail(r, err, err == TG_ESYNTAX ? TG_LIT("the body is not base64") : TG_EMPTY);
        }
    }
    return body;
}

static void read_object(struct reader *r, struct tg_payload_answer *answer)
{
    answer->status = read_status(r);
    answer->body = read_body(r);
    read_single(r);
    if (r->format == TG_PAYLOAD_1_0) {
        read_multi(r);
    } else {
        read_cookies(r);
    }
    default_type(r, TG_LIT("text/plain; charset=utf-8"));
}

/* The payload without a byte order mark and the blanks before its value. */
static struct tg_slice value_in(struct tg_slice payload)
{
    if (tg_slice_starts(payload, TG_LIT("\xEF\xBB\xBF"))) {
        payload = tg_slice_from(payload, 3);
    }
    size_t blanks = 0;
    while (blanks < payload.len && strchr(" \t\r\n", payload.ptr[blanks]) != NULL &&
           payload.ptr[blanks] != '\0') {
        blanks++;
    }
    return tg_slice_from(payload, blanks);
}

/* What is no answer is the body of one (1.8.2). */
static void read_anything(struct reader *r, struct tg_slice payload, const struct tg_jsonscan_value *value,
                          struct tg_payload_answer *answer)
{
    answer->status = 200;
    answer->body = payload;
    if (value->found && value->type == TG_JSON_STRING) {
        answer->body = text_of(r, value);
    } else if (value_in(payload).len == 0) {
        answer->body = TG_LIT("null");
    }
    default_type(r, TG_LIT("application/json"));
}

enum tg_err tg_payload_read_answer(enum tg_payload_format format, struct tg_arena *arena,
                                   struct tg_slice payload, struct tg_payload_answer *out,
                                   struct tg_slice *detail)
{
    const struct tg_jsonscan_path whole = {NULL, 0};
    struct tg_slice text = value_in(payload);
    struct tg_jsonscan_value value = {0};
    struct tg_payload_answer answer = {0};
    struct reader reader = {.arena = arena, .err = TG_OK, .format = format};
    enum tg_err err = tg_jsonscan_find(text, &whole, TG_JSONSCAN_STRICT, &value);
    if (err != TG_OK && tg_slice_starts(text, TG_LIT("{"))) {
        fail(&reader, err,
             err == TG_ELIMIT ? TG_LIT("the function's result nests too deep")
                              : TG_LIT("the function's result is not JSON"));
    }
    if (reader.err == TG_OK && value.type == TG_JSON_OBJECT) {
        find_members(&reader, &value);
    }
    if (reader.err == TG_OK && reader.status.found) {
        read_object(&reader, &answer);
    } else if (reader.err == TG_OK && format == TG_PAYLOAD_1_0) {
        fail(&reader, TG_ESYNTAX, TG_LIT("the function's result is no object with a statusCode"));
    } else if (reader.err == TG_OK) {
        read_anything(&reader, payload, &value, &answer);
    }
    if (reader.err == TG_OK) {
        answer.headers = reader.out;
        *out = answer;
    } else {
        *detail = reader.detail;
    }
    return reader.err;
}
