/* Lists of names and values, names repeated: header fields and members of a query string. Puts together what
 * has the same name, by sorting, as a client may send thousands of names. Owns nothing. */
#ifndef TG_ROUTES_FIELDS_H
#define TG_ROUTES_FIELDS_H

#include "server/base/headers.h"

/* One entry of a list, with its place among those of its name. */
struct tg_field {
    const struct tg_header *header;
    struct tg_field *next; /* of the same name; NULL: the last */
    bool is_first;         /* of its name */
};

/* As many as the list has, in its order; they borrow from the list. ignore_case: of ASCII. TG_ENOMEM. */
enum tg_err tg_fields_group(struct tg_arena *arena, const struct tg_headers *list, bool ignore_case,
                            struct tg_field **out) TG_MUST_CHECK;
/* The members of a query string in their order, names and values percent-decoded ('+' is a space). */
enum tg_err tg_query_parse(struct tg_arena *arena, struct tg_slice query,
                           struct tg_headers *out) TG_MUST_CHECK;
/* The X-Forwarded-For of a request that goes on: the values of the client's fields, which are not empty,
 * joined, then the client's address (websocket-api 3.2). */
enum tg_err tg_forwarded_for(struct tg_arena *arena, const struct tg_headers *headers,
                             struct tg_slice source_ip, struct tg_slice *out) TG_MUST_CHECK;
/* X-Forwarded-For, -Port, -Proto and X-Amzn-Trace-Id, which the gateway sets. */
bool tg_header_is_forwarding(struct tg_slice name);

#endif
