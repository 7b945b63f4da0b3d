/* The headers of a proxied request and of its answer (http-api.md 1.9; RFC 9110 sections 5.7 and 7.6, RFC
 * 7239): what is passed on, what ends here, and what the gateway says of the client. Pure functions from one
 * list of headers to another: values are borrowed from the input, what is new lies in the arena.
 *
 * Neither way pass: the hop-by-hop fields, every Proxy-*, and what Connection names. Host, Content-Length and
 * Expect of the client do not pass either: whoever sends the request frames it. A WebSocket tunnel takes the
 * same lists, Sec-WebSocket-* pass; its caller adds Upgrade and Connection. */
#ifndef TG_ROUTES_FORWARDED_H
#define TG_ROUTES_FORWARDED_H

#include "server/base/headers.h"

/* integration setting forwardedHeaders */
enum tg_forwarded_mode {
    /* Forwarded alone. X-Forwarded-For, -Host, -Proto of the client become elements of it, behind those of a
     * Forwarded that it sent, and do not pass; nor does -Port, for which it has no word. */
    TG_FORWARDED_RFC7239,
    /* X-Forwarded-For extended; -Proto, -Host, -Port set. A Forwarded of the client does not pass, lest it be
     * believed. */
    TG_FORWARDED_X,
    TG_FORWARDED_BOTH
};

/* Everything borrowed. */
struct tg_forwarded_input {
    const struct tg_headers *headers; /* the client's, as parsed: names are tokens, values without controls */
    enum tg_forwarded_mode mode;
    struct tg_slice source_ip; /* the client's; anything but an IP address is told as `unknown` */
    struct tg_slice by;        /* address that the request goes out from; empty: not told */
    struct tg_slice host;      /* as the client sent it, port included; empty: not told */
    uint16_t port;             /* of the listener; 0: none, not told */
    bool secure;               /* the client came over TLS */
    /* X-Amzn-Trace-Id in the place of the client's; empty: the client's passes. */
    struct tg_slice trace;
    bool iam; /* the route's authorisation is AWS_IAM */
};

/* *out: the client's fields in their order, then Forwarded, X-Forwarded-*, Via, X-Amzn-Trace-Id.
 *
 * Authorization does not pass with `iam` or when it is an AWS4-HMAC-SHA256 signature, and
 * X-Amz-Security-Token goes with it: the token is half of a credential. X-Amz-Date and X-Amz-Content-Sha256,
 * which say nothing secret, pass as any other field does. A name that differs from one of those treated here
 * by `_` in the place of `-` is dropped, since CGI-like back ends cannot tell the two. A Forwarded of the
 * client whose quotes do not close is dropped: it would hide the gateway's element. TG_ENOMEM. */
enum tg_err tg_forwarded_headers(const struct tg_forwarded_input *input, struct tg_arena *arena,
                                 struct tg_headers *out) TG_MUST_CHECK;

/* The back end's answer: *out is what passes to the client, Content-Length among it. TG_ENOMEM. */
enum tg_err tg_forwarded_answer(const struct tg_headers *headers, struct tg_arena *arena,
                                struct tg_headers *out) TG_MUST_CHECK;

#endif
