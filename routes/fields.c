#include "routes/fields.h"

#include <stdlib.h>
#include <strings.h>

#include "server/base/codec.h"

static int in_order(const struct tg_header *a, const struct tg_header *b)
{
    return a < b ? -1 : a > b;
}

static int by_name(const void *a, const void *b)
{
    const struct tg_header *left = *(const struct tg_header *const *)a;
    const struct tg_header *right = *(const struct tg_header *const *)b;
    int order = tg_slice_cmp(left->name, right->name);
    return order != 0 ? order : in_order(left, right);
}

static int by_name_nocase(const void *a, const void *b)
{
    const struct tg_header *left = *(const struct tg_header *const *)a;
    const struct tg_header *right = *(const struct tg_header *const *)b;
    int order = left->name.len < right->name.len ? -1 : left->name.len > right->name.len;
    if (order == 0 && left->name.len > 0) {
        order = strncasecmp(left->name.ptr, right->name.ptr, left->name.len);
    }
    return order != 0 ? order : in_order(left, right);
}

static bool same_name(const struct tg_field *a, const struct tg_field *b, bool ignore_case)
{
    return ignore_case ? tg_slice_eq_nocase(a->header->name, b->header->name)
                       : tg_slice_eq(a->header->name, b->header->name);
}

enum tg_err tg_fields_group(struct tg_arena *arena, const struct tg_headers *list, bool ignore_case,
                            struct tg_field **out)
{
    const struct tg_header **sorted = tg_arena_alloc(arena, (list->count + 1) * sizeof *sorted);
    struct tg_field *fields = tg_arena_zalloc(arena, (list->count + 1) * sizeof *fields);
    if (sorted == NULL || fields == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < list->count; i++) {
        sorted[i] = fields[i].header = &list->items[i];
    }
    qsort(sorted, list->count, sizeof *sorted, ignore_case ? by_name_nocase : by_name);
    struct tg_field *before = NULL;
    for (size_t i = 0; i < list->count; i++) {
        struct tg_field *field = &fields[sorted[i] - list->items];
        field->is_first = before == NULL || !same_name(before, field, ignore_case);
        if (!field->is_first) {
            before->next = field;
        }
        before = field;
    }
    *out = fields;
    return TG_OK;
}

enum tg_err tg_query_parse(struct tg_arena *arena, struct tg_slice query, struct tg_headers *out)
{
    while (query.len > 0) {
        struct tg_slice value;
        struct tg_slice name = tg_slice_cut(tg_slice_cut(query, '&', &query), '=', &value);
        if (name.len == 0 && value.ptr == NULL) {
            continue; /* "&&" */
        }
        enum tg_err err = tg_percent_decode(arena, name, true, &name);
        if (err == TG_OK) {
            err = tg_percent_decode(arena, value, true, &value);
        }
        if (err == TG_OK) {
            err = tg_headers_add(out, arena, name, value);
        }
        if (err != TG_OK) {
            return err;
        }
    }
    return TG_OK;
}

enum tg_err tg_forwarded_for(struct tg_arena *arena, const struct tg_headers *headers,
                             struct tg_slice source_ip, struct tg_slice *out)
{
    struct tg_slice joined = TG_EMPTY;
    for (size_t i = 0; i < headers->count; i++) {
        const struct tg_header *field = &headers->items[i];
        if (tg_slice_eq_nocase(field->name, TG_LIT("X-Forwarded-For")) && field->value.len > 0) {
            enum tg_err err = tg_arena_printf(arena, &joined, "%.*s%s%.*s", TG_FMT(joined),
                                              joined.len > 0 ? ", " : "", TG_FMT(field->value));
            if (err != TG_OK) {
                return err;
            }
        }
    }
    return tg_arena_printf(arena, out, "%.*s%s%.*s", TG_FMT(joined), joined.len > 0 ? ", " : "",
                           TG_FMT(source_ip));
}

bool tg_header_is_forwarding(struct tg_slice name)
{
    return tg_slice_eq_nocase(name, TG_LIT("X-Forwarded-For")) ||
           tg_slice_eq_nocase(name, TG_LIT("X-Forwarded-Port")) ||
           tg_slice_eq_nocase(name, TG_LIT("X-Forwarded-Proto")) ||
           tg_slice_eq_nocase(name, TG_LIT("X-Amzn-Trace-Id"));
}
