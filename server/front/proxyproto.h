/* The PROXY protocol, versions 1 and 2 (its specification is doc/proxy-protocol.txt of HAProxy): the header
 * with which a proxy or a load balancer says, before anything else on a connection, whose connection it
 * passes on. A pure function over bytes; who may send a header, and how long that may take, is the caller's
 * matter (newcomer.h). */
#ifndef TG_FRONT_PROXYPROTO_H
#define TG_FRONT_PROXYPROTO_H

#include "server/io/address.h"

/* Which versions are taken; a header is demanded unless it is off. */
enum tg_proxy_protocol { TG_PROXY_OFF, TG_PROXY_V1 = 1, TG_PROXY_V2 = 2, TG_PROXY_ANY = 3 };

enum { TG_PROXY_HEADER_MAX = 4096 }; /* bytes, extensions included; one of version 1 has 107 at most */

struct tg_proxy_header {
    size_t len;
    /* The proxy speaks for itself (LOCAL: a health check), or does not say for whom (UNKNOWN, UNSPEC): the
     * connection's own addresses stand, and the two below are not set. */
    bool local;
    struct tg_address source, destination; /* of a unix socket: perhaps without a path */
};

/* Reads the header at the front of `bytes`. TG_EAGAIN: more bytes are needed, and all of these belong to the
 * header. TG_EPROTO: it is no header that is taken, *fault (constant text) says why. Extensions (TLVs) are
 * passed over, but a CRC-32C must be right. `allowed` is not TG_PROXY_OFF. */
enum tg_err tg_proxy_parse(enum tg_proxy_protocol allowed, struct tg_slice bytes, struct tg_proxy_header *out,
                           const char **fault) TG_MUST_CHECK;

#endif
