/* Where a Redis server is and how to enter it, as users write it:
 *
 *   redis://[user:password@]host[:6379][/database]      rediss://... with TLS
 *   redis://:password@host                              the default user's password
 *   unix://[user:password@]/path/of/socket[?db=1]       redis+unix:// is the same
 *
 * User and password may be percent-encoded; an IPv6 address stands in brackets. */
#ifndef TG_IO_REDIS_URL_H
#define TG_IO_REDIS_URL_H

#include "server/base/arena.h"

struct tg_redis_url {
    bool tls;
    struct tg_slice host; /* a name or an IP address, without brackets; empty for a unix socket */
    struct tg_slice path; /* of a unix socket, absolute; else empty */
    uint16_t port;
    uint32_t database;
    struct tg_slice user;     /* empty: the default user */
    struct tg_slice password; /* NULL pointer: none is sent */
};

/* Slices point into the text or the arena. TG_ESYNTAX: *problem, a static text without anything of the URL,
 * says what is wrong; TG_ENOMEM. */
enum tg_err tg_redis_url_parse(struct tg_arena *arena, struct tg_slice text, struct tg_redis_url *out,
                               const char **problem) TG_MUST_CHECK;

#endif
