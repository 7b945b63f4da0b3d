#include "routes/batchbody.h"

#include <stdarg.h>
#include <stdio.h>

#include "connmgr/connid.h"
#include "routes/jsonwalk.h"
#include "server/base/codec.h"

enum {
    ESCAPED = 6,                           /* bytes of \u00XX */
    ID_BYTES = TG_CONNID_LEN + 2 * 5 + 18, /* each `=` escaped; quotes, a comma, fifteen blanks */
    FRAME_BYTES = 1024,                    /* names of the members, blanks around them */
    SHOWN_MAX = 64,                        /* bytes of a name that the caller is told of */
    WHY_MAX = 256
};

struct reader {
    struct tg_arena *arena;
    const struct tg_batch_limits *limits;
    struct tg_jsonscan_value ids, data, is_base64; /* members, as far as they were found */
    struct tg_slice *why;
};

size_t tg_batch_body_max(const struct tg_batch_limits *limits)
{
    /* Base64 is the longer text, and its characters can be escaped as well. */
    return FRAME_BYTES + ESCAPED * TG_BASE64_LEN(limits->payload) + ID_BYTES * limits->connections;
}

/* TG_ESYNTAX, or TG_ENOMEM. */
static enum tg_err TG_PRINTF(2, 3) refuse(struct reader *reader, const char *format, ...)
{
    char text[WHY_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    enum tg_err err = tg_arena_copy(reader->arena, tg_slice_cstr(text), reader->why);
    return err == TG_OK ? TG_ESYNTAX : err;
}

/* ---- the members ---- */

/* NULL: there is none of that name. */
static struct tg_jsonscan_value *member_of(struct reader *reader, const struct tg_jsonscan_value *name)
{
    return tg_jsonwalk_is(name, TG_LIT("connectionIds"))     ? &reader->ids
           : tg_jsonwalk_is(name, TG_LIT("data"))            ? &reader->data
           : tg_jsonwalk_is(name, TG_LIT("isBase64Encoded")) ? &reader->is_base64
                                                             : NULL;
}

static enum tg_err find_members(struct reader *reader, struct tg_slice text)
{
    static const struct tg_jsonscan_path whole = {NULL, 0};
    struct tg_jsonscan_value body = {0}, name, value;
    struct tg_jsonwalk walk;
    if (tg_jsonscan_find(text, &whole, TG_JSONSCAN_STRICT, &body) != TG_OK || body.type != TG_JSON_OBJECT) {
        return refuse(reader, "The body is not a JSON object: send {\"connectionIds\": [\"ID\", ...], "
                              "\"data\": \"TEXT\"}");
    }
    tg_jsonwalk_init(&walk, &body);
    while (tg_jsonwalk_next(&walk, &name, &value)) {
        struct tg_jsonscan_value *member = member_of(reader, &name);
        if (member == NULL) {
            return refuse(reader,
                          "Unknown member %.*s: the body has connectionIds, data and isBase64Encoded, "
                          "leave out any other",
                          TG_FMT(tg_slice_head(name.raw, SHOWN_MAX)));
        }
        *member = value;
    }
    return TG_OK;
}

/* ---- connectionIds ---- */

static size_t count_items(const struct tg_jsonscan_value *array)
{
    struct tg_jsonscan_value item;
    struct tg_jsonwalk walk;
    size_t count = 0;
    tg_jsonwalk_init(&walk, array);
    while (tg_jsonwalk_next(&walk, NULL, &item)) {
        count++;
    }
    return count;
}

static enum tg_err check_ids(struct reader *reader, size_t *count)
{
    static const char advice[] = "give an array of connection ids";
    if (!reader->ids.found) {
        return refuse(reader, "connectionIds is missing: %s", advice);
    }
    if (reader->ids.type != TG_JSON_ARRAY) {
        return refuse(reader, "connectionIds is not an array: %s", advice);
    }
    *count = count_items(&reader->ids);
    if (*count == 0) {
        return refuse(reader, "connectionIds is empty: name at least one connection");
    }
    if (*count > reader->limits->connections) {
        return refuse(reader,
                      "connectionIds names %zu connections, and management.batchMaxConnections allows %zu: "
                      "make several calls",
                      *count, reader->limits->connections);
    }
    return TG_OK;
}

static enum tg_err read_ids(struct reader *reader, struct tg_batch_body *out)
{
    struct tg_jsonscan_value item;
    struct tg_jsonwalk walk;
    size_t count = 0;
    enum tg_err err = check_ids(reader, &count);
    if (err != TG_OK) {
        return err;
    }
    struct tg_slice *ids = tg_arena_alloc(reader->arena, count * sizeof *ids);
    if (ids == NULL) {
        return TG_ENOMEM;
    }
    tg_jsonwalk_init(&walk, &reader->ids);
    for (size_t i = 0; err == TG_OK && tg_jsonwalk_next(&walk, NULL, &item); i++) {
        if (item.type != TG_JSON_STRING) {
            return refuse(reader, "connectionIds[%zu] is not a string: write a connection's id in quotes", i);
        }
        err = tg_jsonscan_text(&item, TG_JSONSCAN_COMPACT, reader->arena, &ids[i]);
    }
    out->ids = ids;
    out->count = count;
    return err;
}

/* ---- data ---- */

static enum tg_err read_payload(struct reader *reader, struct tg_batch_body *out)
{
    struct tg_slice text;
    if (reader->is_base64.found && reader->is_base64.type != TG_JSON_BOOL) {
        return refuse(reader, "isBase64Encoded is neither true nor false: leave it out where data is text");
    }
    if (!reader->data.found || reader->data.type != TG_JSON_STRING) {
        return refuse(reader, "data is %s: give the message as a string, or its base64",
                      reader->data.found ? "not a string" : "missing");
    }
    enum tg_err err = tg_jsonscan_text(&reader->data, TG_JSONSCAN_COMPACT, reader->arena, &text);
    out->is_base64 = tg_slice_eq(reader->is_base64.raw, TG_LIT("true"));
    if (err == TG_OK &&
        text.len > (out->is_base64 ? TG_BASE64_LEN(reader->limits->payload) : reader->limits->payload)) {
        return TG_ELIMIT;
    }
    if (err == TG_OK && out->is_base64) {
        err = tg_base64_decode(reader->arena, text, &text);
    }
    if (err == TG_ESYNTAX) {
        return refuse(reader, "data is not base64: encode it by RFC 4648 section 4, without blanks, or leave "
                              "out isBase64Encoded");
    }
    out->payload = text;
    return err == TG_OK && text.len > reader->limits->payload ? TG_ELIMIT : err;
}

enum tg_err tg_batch_body_read(struct tg_arena *arena, struct tg_slice text,
                               const struct tg_batch_limits *limits, struct tg_batch_body *out,
                               struct tg_slice *why)
{
    struct reader reader = {.arena = arena, .limits = limits, .why = why};
    struct tg_batch_body body = {0};
    enum tg_err err = find_members(&reader, text);
    if (err == TG_OK) {
        err = read_ids(&reader, &body);
    }
    if (err == TG_OK) {
        err = read_payload(&reader, &body);
    }
    if (err == TG_OK) {
        *out = body;
    }
    return err;
}
