#include "routes/jsonout.h"

#include "server/base/codec.h"
#include "server/base/json.h"

void tg_jsonout_string(struct tg_jsonout *json, struct tg_slice text)
{
    if (json->err == TG_OK) {
        json->err = tg_utf8_repair(json->arena, text, &text);
    }
    if (json->err == TG_OK) {
        json->err = tg_json_write_string(json->out, text);
    }
}

void tg_jsonout_number(struct tg_jsonout *json, int64_t value)
{
    if (value < 0) {
        tg_jsonout_raw(json, "-");
    }
    if (json->err == TG_OK) {
        json->err = tg_buf_append_u64(json->out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    }
}

void tg_jsonout_member(struct tg_jsonout *json, const char *before, struct tg_slice value)
{
    tg_jsonout_raw(json, before);
    tg_jsonout_string(json, value);
}

void tg_jsonout_member_or_null(struct tg_jsonout *json, const char *before, struct tg_slice value)
{
    tg_jsonout_raw(json, before);
    if (value.ptr != NULL) {
        tg_jsonout_string(json, value);
    } else {
        tg_jsonout_raw(json, "null");
    }
}

void tg_jsonout_members(struct tg_jsonout *json, const char *separator, const struct tg_string_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        tg_jsonout_raw(json, i > 0 ? "," : separator);
        tg_jsonout_string(json, map->items[i].key);
        tg_jsonout_raw(json, ":");
        tg_jsonout_string(json, map->items[i].value);
    }
}

void tg_jsonout_map(struct tg_jsonout *json, const struct tg_string_map *map)
{
    tg_jsonout_raw(json, "{");
    tg_jsonout_members(json, "", map);
    tg_jsonout_raw(json, "}");
}

static void each(struct tg_jsonout *json, const struct tg_field *field)
{
    const char *separator = "[";
    for (; field != NULL; field = field->next) {
        tg_jsonout_member(json, separator, field->header->value);
        separator = ",";
    }
    tg_jsonout_raw(json, "]");
}

static void joined(struct tg_jsonout *json, const struct tg_field *field)
{
    size_t len = 0;
    for (const struct tg_field *at = field; at != NULL; at = at->next) {
        len += at->header->value.len + 1;
    }
    char *text = tg_arena_alloc(json->arena, len), *to = text;
    if (text == NULL) {
        json->err = TG_ENOMEM;
        return;
    }
    for (const struct tg_field *at = field; at != NULL; at = at->next) {
        struct tg_slice value = at->header->value;
        if (value.len > 0) {
            memcpy(to, value.ptr, value.len);
            to += value.len;
        }
        *to++ = ',';
    }
    tg_jsonout_string(json, tg_slice_make(text, len - 1));
}

static void values_of(struct tg_jsonout *json, const struct tg_field *field, enum tg_jsonout_values values)
{
    if (values == TG_JSONOUT_EVERY) {
        each(json, field);
        return;
    }
    if (values == TG_JSONOUT_JOINED && field->next != NULL) {
        joined(json, field);
        return;
    }
    while (field->next != NULL) {
        field = field->next;
    }
    tg_jsonout_string(json, field->header->value);
}

void tg_jsonout_fields(struct tg_jsonout *json, const struct tg_headers *list, bool ignore_case,
                       enum tg_jsonout_values values)
{
    const char *separator = "{";
    struct tg_field *fields = NULL;
    if (json->err == TG_OK) {
        json->err = tg_fields_group(json->arena, list, ignore_case, &fields);
    }
    for (size_t i = 0; json->err == TG_OK && i < list->count; i++) {
        if (fields[i].is_first) {
            tg_jsonout_member(json, separator, fields[i].header->name);
            tg_jsonout_raw(json, ":");
            values_of(json, &fields[i], values);
            separator = ",";
        }
    }
    tg_jsonout_raw(json, separator[0] == '{' ? "{}" : "}");
}

void tg_jsonout_base64(struct tg_jsonout *json, struct tg_slice bytes)
{
    tg_jsonout_raw(json, "\"");
    if (json->err == TG_OK) {
        json->err = tg_base64_encode(json->out, bytes);
    }
    tg_jsonout_raw(json, "\"");
}
