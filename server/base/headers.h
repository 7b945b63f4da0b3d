/* An ordered list of header fields as they were on the wire: names keep their case, repeats stay apart.
 * Memory comes from the arena that is handed in; the bytes are borrowed. Look-ups ignore ASCII case (RFC 9110
 * section 5.1). */
#ifndef TG_BASE_HEADERS_H
#define TG_BASE_HEADERS_H

#include "server/base/arena.h"

struct tg_header {
    struct tg_slice name, value;
};

struct tg_headers {
    struct tg_header *items;
    size_t count, cap;
};

enum tg_err tg_headers_add(struct tg_headers *headers, struct tg_arena *arena, struct tg_slice name,
                           struct tg_slice value) TG_MUST_CHECK;
/* Replaces the value of every field of that name by one, or adds it. */
enum tg_err tg_headers_set(struct tg_headers *headers, struct tg_arena *arena, struct tg_slice name,
                           struct tg_slice value) TG_MUST_CHECK;
/* Drops every field of that name. */
void tg_headers_remove(struct tg_headers *headers, struct tg_slice name);
/* The first / last field of that name, or NULL. */
const struct tg_header *tg_headers_first(const struct tg_headers *headers, struct tg_slice name);
const struct tg_header *tg_headers_last(const struct tg_headers *headers, struct tg_slice name);
size_t tg_headers_count(const struct tg_headers *headers, struct tg_slice name);
/* Whether a comma-separated list field (Connection, Upgrade) holds the token, over all fields of that name.
 */
bool tg_headers_has_token(const struct tg_headers *headers, struct tg_slice name, struct tg_slice token);
/* Connection, Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer,
 * Transfer-Encoding, Upgrade (RFC 9110 section 7.6.1). */
bool tg_header_is_hop_by_hop(struct tg_slice name);
/* token = 1*tchar (RFC 9110 section 5.6.2). */
bool tg_header_name_ok(struct tg_slice name);
/* No CR, LF, NUL or other control character but HTAB. */
bool tg_header_value_ok(struct tg_slice value);

#endif
