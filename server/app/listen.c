#include "server/app/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static enum tg_err failure(int error, const char **reason)
{
    *reason = strerror(error);
    return error == EADDRINUSE ? TG_EEXIST : error == EACCES || error == EPERM ? TG_EDENIED : TG_EIO;
}

static const struct sockaddr *sockaddr_of(const struct tg_address *address)
{
    return (const struct sockaddr *)&address->storage;
}

static const char *unix_path(const struct tg_address *address)
{
    return ((const struct sockaddr_un *)&address->storage)->sun_path;
}

enum tg_err tg_listen_probe(const struct tg_address *address, const struct tg_listen_options *options,
                            const char **reason)
{
    struct tg_address copy = *address;
    struct tg_listen_options alone = *options;
    int fd;
    alone.reuse_port = false;
    enum tg_err err = tg_listen(&copy, &alone, &fd, reason);
    if (err == TG_OK) {
        (void)close(fd);
    }
    return err;
}

void tg_listen_unlink(const struct tg_address *address)
{
    int probe = address->storage.ss_family == AF_UNIX
                    ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
                    : -1;
    if (probe < 0) {
        return;
    }
    if (connect(probe, sockaddr_of(address), address->len) < 0 && errno == ECONNREFUSED) {
        (void)unlink(unix_path(address));
    }
    (void)close(probe);
}

static int set_options(int fd, int family, const struct tg_listen_options *options)
{
    const int on = 1, v6_only = options->v6_only;
    if (family == AF_UNIX) {
        return 0;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) {
        return -1;
    }
    if (options->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) {
        return -1;
    }
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) < 0) {
        return -1;
    }
    /* Inherited by what is accepted: no call per connection. */
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

enum tg_err tg_listen(struct tg_address *address, const struct tg_listen_options *options, int *out,
                      const char **reason)
{
    int family = address->storage.ss_family;
    tg_listen_unlink(address); /* that an earlier run left behind */
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return failure(errno, reason);
    }
    struct tg_address bound = {.len = sizeof bound.storage};
    if (set_options(fd, family, options) < 0 || bind(fd, sockaddr_of(address), address->len) < 0 ||
        (family == AF_UNIX && chmod(unix_path(address), (mode_t)options->unix_mode) < 0) ||
        listen(fd, options->backlog) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound.storage, &bound.len) < 0) {
        enum tg_err err = failure(errno, reason);
        (void)close(fd);
        return err;
    }
    if (family != AF_UNIX) {
        *address = bound;
    }
    *out = fd;
    return TG_OK;
}
