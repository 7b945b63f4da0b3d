/* Makes listening sockets: TCP ones with SO_REUSEPORT, one a worker, so that the kernel spreads newcomers;
 * unix ones bound once and shared. */
#ifndef TG_APP_LISTEN_H
#define TG_APP_LISTEN_H

#include "server/io/address.h"

struct tg_listen_options {
    int backlog;
    bool reuse_port;
    bool v6_only;  /* an IPv6 socket takes IPv4 clients too unless set */
    int unix_mode; /* permissions of a unix socket's file */
};

/* Port 0 is replaced in *address by the one that the system chose. TG_EEXIST: the address is in use;
 * TG_EDENIED; TG_EIO; *reason is the system's text. A unix socket's file is replaced when nobody answers on
 * it. */
enum tg_err tg_listen(struct tg_address *address, const struct tg_listen_options *options, int *out,
                      const char **reason) TG_MUST_CHECK;
/* Whether nobody else listens on the address: TG_EEXIST and the other errors of tg_listen. */
enum tg_err tg_listen_probe(const struct tg_address *address, const struct tg_listen_options *options,
                            const char **reason) TG_MUST_CHECK;
/* Removes the file of a unix socket on which nobody accepts: that of a socket which was closed, never another
 * process's. Nothing for other addresses. */
void tg_listen_unlink(const struct tg_address *address);

#endif
