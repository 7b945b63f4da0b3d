/* Where a Redis is and how to enter it, as users write it:
 *
 *   redis://[user:password@]host[:6379][/database]      rediss://... with TLS
 *   redis://:password@host                              the default user's password
 *   unix://[user:password@]/path/of/socket[?db=1]       redis+unix:// is the same
 *   redis+sentinel://[user:password@]host[:26379],.../service[/database]
 *
 *   redis+cluster://[user:password@]host[:6379],...
 *
 * rediss+sentinel:// is TLS to the Sentinels and to the server that they name, rediss+cluster:// likewise. A
 * minus sign instead of the plus sign is as good. User and password may be percent-encoded; an IPv6 address
 * stands in brackets. */
#ifndef TG_IO_REDIS_URL_H
#define TG_IO_REDIS_URL_H

#include "server/base/arena.h"

enum { TG_REDIS_HOST_MAX = 253, TG_REDIS_PLACES_MAX = 16 };

enum tg_redis_kind {
    TG_REDIS_ONE,      /* one server */
    TG_REDIS_SENTINEL, /* the primary that Sentinels name */
    TG_REDIS_CLUSTER   /* the primaries of a Cluster */
};

struct tg_redis_place {
    struct tg_slice host; /* a name or an IP address, without brackets */
    uint16_t port;
};

struct tg_redis_url {
    enum tg_redis_kind kind;
    bool tls;
    struct tg_redis_place places[TG_REDIS_PLACES_MAX]; /* the server, the Sentinels, or some of the Cluster */
    size_t place_count;                                /* 0 for a unix socket */
    struct tg_slice path;                              /* of a unix socket, absolute; else empty */
    struct tg_slice service;                           /* what the Sentinels call it; else empty */
    uint32_t database;
    struct tg_slice user;     /* empty: the default user */
    struct tg_slice password; /* NULL pointer: none is sent */
    /* How to enter a Sentinel, likewise: not of the URL. */
    struct tg_slice sentinel_user, sentinel_password;
};

/* Slices point into the text or the arena. TG_ESYNTAX: *problem, which is static or lies in the arena, says
 * what is wrong where, and has nothing of the URL in it, where a misplaced secret could be anywhere;
 * TG_ENOMEM.
 */
enum tg_err tg_redis_url_parse(struct tg_arena *arena, struct tg_slice text, struct tg_redis_url *out,
                               const char **problem) TG_MUST_CHECK;

#endif
