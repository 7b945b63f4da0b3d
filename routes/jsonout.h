/* Writes JSON text as it is read, member after member, without a tree: events. Strings that are not valid
 * UTF-8 are repaired. The first error sticks, and what follows writes nothing; what was written before it
 * stays. */
#ifndef TG_ROUTES_JSONOUT_H
#define TG_ROUTES_JSONOUT_H

#include "routes/fields.h"
#include "server/base/buf.h"
#include "server/base/strings.h"

struct tg_jsonout {
    struct tg_buf *out;
    struct tg_arena *arena; /* for what is made on the way */
    enum tg_err err;        /* the buffer's, TG_ENOMEM */
};

/* What is shown of a name's values. */
enum tg_jsonout_values {
    TG_JSONOUT_LAST,  /* the last */
    TG_JSONOUT_EVERY, /* a list */
    TG_JSONOUT_JOINED /* with "," between them */
};

/* Text as it is: braces, names, commas. */
static inline void tg_jsonout_raw(struct tg_jsonout *json, const char *text)
{
    if (json->err == TG_OK) {
        json->err = tg_buf_append(json->out, tg_slice_cstr(text));
    }
}

void tg_jsonout_string(struct tg_jsonout *json, struct tg_slice text);
void tg_jsonout_number(struct tg_jsonout *json, int64_t value);
/* before is the text up to and including the colon. */
void tg_jsonout_member(struct tg_jsonout *json, const char *before, struct tg_slice value);
/* null when value has no pointer. */
void tg_jsonout_member_or_null(struct tg_jsonout *json, const char *before, struct tg_slice value);
/* The members of an object, without braces; the first goes behind `separator`. */
void tg_jsonout_members(struct tg_jsonout *json, const char *separator, const struct tg_string_map *map);
/* {"name":"value",...} */
void tg_jsonout_map(struct tg_jsonout *json, const struct tg_string_map *map);
/* {"name":"value",...}, each name once, where it first stood and as it was written there. */
void tg_jsonout_fields(struct tg_jsonout *json, const struct tg_headers *list, bool ignore_case,
                       enum tg_jsonout_values values);
/* "..." of the bytes in base64. */
void tg_jsonout_base64(struct tg_jsonout *json, struct tg_slice bytes);

#endif
