/* Fields of requests that come again. Most clients that keep a connection send the same fields with every
 * request, or all but the digits of Content-Length. What a field section says follows from its bytes alone:
 * one that was read before is compared instead of being read. The table is a worker's; its connections share
 * sections, and each has a hint where its own is. */
#ifndef TG_IO_HTTP1_KNOWN_H
#define TG_IO_HTTP1_KNOWN_H

#include "server/io/http1.h"

struct tg_http1_known;

/* Of a connection, all zero when it begins. Nothing is learnt from its first request, as many have but one,
 * and nothing for the next 250 once several in a row were not known: their fields differ each time, or there
 * are too many clients of different kinds. */
struct tg_http1_hint {
    uint32_t stamp;     /* of its section; 0: none. That may be gone by now */
    unsigned char read; /* requests since the last one that was known */
};

/* TG_ENOMEM. */
enum tg_err tg_http1_known_new(struct tg_http1_known **out) TG_MUST_CHECK;
/* NULL is fine. */
void tg_http1_known_free(struct tg_http1_known *known);

/* As tg_http1_parse_request, for bytes that are thought to begin with a whole head. TG_EAGAIN: that is to be
 * asked: they do not, or it must be refused. TG_ENOMEM. */
enum tg_err tg_http1_parse_known(struct tg_slice bytes, const struct tg_http1_limits *limits,
                                 struct tg_http1_known *known, struct tg_http1_hint *hint,
                                 struct tg_arena *arena, struct tg_http1_request *out,
                                 size_t *head_len) TG_MUST_CHECK;

#endif
