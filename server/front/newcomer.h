/* Newcomers: accepted connections of listeners that demand a PROXY header, until it has come. A stage before
 * the transport: it takes exactly the header's bytes from the socket, so that whatever follows, plain or TLS,
 * finds the stream as if there had been no proxy. A header that is there when the connection is accepted
 * costs no registration with the loop. Peers that are not trusted, wrong headers and slow ones are closed,
 * counted and told in the log, a line a second at most; one that leaves without a byte is a health check, and
 * is not. Private to httpd, which owns them. */
#ifndef TG_FRONT_NEWCOMER_H
#define TG_FRONT_NEWCOMER_H

#include "server/front/httpd_private.h"

/* Takes over an accepted descriptor; ends with http_admit or a close. */
void http_newcomer_take(struct tg_listener *listener, int fd, const struct tg_address *peer);
void http_newcomers_close(struct tg_httpd *httpd);

#endif
