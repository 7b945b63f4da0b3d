/* The answer that accepts a WebSocket upgrade (RFC 6455 section 4.2.2), written into a buffer. Pure; decides
 * nothing about whether to accept. */
#ifndef TG_IO_WSANSWER_H
#define TG_IO_WSANSWER_H

#include "server/base/buf.h"
#include "server/base/headers.h"

enum { TG_WS_ACCEPT_LEN = 28 };

/* Appends Sec-WebSocket-Accept for the client's Sec-WebSocket-Key. TG_ENOMEM, TG_ELIMIT. */
enum tg_err tg_ws_accept_key(struct tg_buf *out, struct tg_slice key) TG_MUST_CHECK;
/* Appends the 101 with Sec-WebSocket-Extensions when `extensions` is not empty, then `headers` (subprotocol
 * and others; never Connection, Upgrade, Sec-WebSocket-Accept, Sec-WebSocket-Extensions). TG_EINVAL: an empty
 * key, or a header that must not be written; TG_ENOMEM, TG_ELIMIT. */
enum tg_err tg_ws_write_answer(struct tg_buf *out, struct tg_slice key, struct tg_slice extensions,
                               const struct tg_headers *headers) TG_MUST_CHECK;

#endif
