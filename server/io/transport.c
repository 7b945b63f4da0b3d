#include "server/io/transport_ops.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/io/sock.h"

static const struct tg_transport_ops plain_ops;

/* What TLS has to wait for changes with its reads and writes. */
static bool is_plain(const struct tg_transport *transport)
{
    return transport->ops == &plain_ops;
}

/* Brings what the poll watches in line with the state and the owner's wishes. */
static void update_interest(struct tg_transport *transport)
{
    bool read = false;
    bool write = false;
    transport->stale = transport->state != TG_TRANSPORT_OPEN; /* until then it is told other wishes */
    switch (transport->state) {
    case TG_TRANSPORT_CONNECTING:
        write = true;
        break;
    case TG_TRANSPORT_HANDSHAKE:
        write = transport->handshake_writes;
        read = !write;
        break;
    case TG_TRANSPORT_OPEN:
        read = (transport->want_read && !transport->read_needs_write) ||
               (transport->want_write && transport->write_needs_read);
        write = (transport->want_write && !transport->write_needs_read) ||
                (transport->want_read && transport->read_needs_write);
        break;
    case TG_TRANSPORT_FAILED:
        break;
    }
    tg_poll_want(transport->poll, read, write);
}

/* Pending bytes cause no readiness of the socket: a task stands in for it. */
static void mind_pending(struct tg_transport *transport)
{
    if (transport->state == TG_TRANSPORT_OPEN && transport->want_read && transport->ops->pending(transport)) {
        tg_task_defer(transport->loop, &transport->task);
    }
}

static TG_APART void update(struct tg_transport *transport)
{
    update_interest(transport);
    mind_pending(transport);
}

static void settle(struct tg_transport *transport)
{
    if (!is_plain(transport) || transport->stale) {
        update(transport);
    }
}

static void dispatch_begin(struct tg_transport *transport)
{
    transport->dispatch++;
}

static void dispatch_end(struct tg_transport *transport)
{
    transport->dispatch--;
    if (transport->closed) {
        if (transport->dispatch == 0) {
            transport->ops->destroy(transport);
        }
        return;
    }
    settle(transport);
}

static void end_connect(struct tg_transport *transport, enum tg_err err)
{
    transport->state = err == TG_OK ? TG_TRANSPORT_OPEN : TG_TRANSPORT_FAILED;
    transport->events->on_open(transport->arg, err);
}

static void do_handshake(struct tg_transport *transport)
{
    enum tg_err err = transport->ops->handshake(transport);
    if (err != TG_EAGAIN) {
        end_connect(transport, err);
    }
}

static void end_tcp_connect(struct tg_transport *transport)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(transport->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        end_connect(transport, TG_EREFUSED);
        return;
    }
    transport->state = TG_TRANSPORT_HANDSHAKE;
    do_handshake(transport);
}

static void on_ready(void *arg, bool readable, bool writable)
{
    struct tg_transport *transport = arg;
    dispatch_begin(transport);
    switch (transport->state) {
    case TG_TRANSPORT_CONNECTING:
        end_tcp_connect(transport);
        break;
    case TG_TRANSPORT_HANDSHAKE:
        do_handshake(transport);
        break;
    case TG_TRANSPORT_OPEN: {
        bool may_read = transport->read_needs_write ? writable : readable;
        bool may_write = transport->write_needs_read ? readable : writable;
        if (may_read && transport->want_read) {
            transport->events->on_readable(transport->arg);
        }
        if (may_write && transport->want_write && !transport->closed) {
            transport->events->on_writable(transport->arg);
        }
        break;
    }
    case TG_TRANSPORT_FAILED:
        break;
    }
    dispatch_end(transport);
}

static void on_task(struct tg_task *task)
{
    struct tg_transport *transport = TG_CONTAINER(task, struct tg_transport, task);
    dispatch_begin(transport);
    if (transport->state == TG_TRANSPORT_CONNECTING) {
        if (transport->start_err != TG_OK) {
            end_connect(transport, transport->start_err);
        } else {
            end_tcp_connect(transport);
        }
    } else if (transport->state == TG_TRANSPORT_OPEN && transport->want_read &&
               transport->ops->pending(transport)) {
        transport->events->on_readable(transport->arg);
    }
    dispatch_end(transport);
}

static enum tg_err plain_handshake(struct tg_transport *transport)
{
    (void)transport;
    return TG_OK;
}

static enum tg_err plain_read(struct tg_transport *transport, char *space, size_t cap, size_t *got)
{
    return tg_sock_recv(transport->fd, space, cap, got);
}

static enum tg_err plain_write(struct tg_transport *transport, struct tg_slice bytes, size_t *put)
{
    return tg_sock_send(transport->fd, bytes, put);
}

static enum tg_err plain_write_pieces(struct tg_transport *transport, const struct tg_slice *pieces,
                                      size_t count, size_t *put)
{
    struct iovec parts[TG_TRANSPORT_PIECES];
    struct msghdr message = {.msg_iov = parts};
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > 0) {
            parts[message.msg_iovlen++] = (struct iovec){(void *)pieces[i].ptr, pieces[i].len};
        }
    }
    return tg_sock_sendmsg(transport->fd, &message, put);
}

static bool plain_pending(const struct tg_transport *transport)
{
    (void)transport;
    return false;
}

static void plain_finish(struct tg_transport *transport)
{
    (void)transport;
}

static void plain_destroy(struct tg_transport *transport)
{
    free(transport);
}

static const struct tg_transport_ops plain_ops = {
    .handshake = plain_handshake,
    .read = plain_read,
    .write = plain_write,
    .write_pieces = plain_write_pieces,
    .pending = plain_pending,
    .finish = plain_finish,
    .destroy = plain_destroy,
};

static enum tg_err plain_new(struct tg_transport **out)
{
    struct tg_transport *transport = tg_zalloc(sizeof *transport);
    if (transport == NULL) {
        return TG_ENOMEM;
    }
    transport->ops = &plain_ops;
    *out = transport;
    return TG_OK;
}

/* Gives the transport its descriptor. */
static enum tg_err attach(struct tg_transport *transport, struct tg_loop *loop, int fd,
                          const struct tg_transport_events *events, void *arg)
{
    transport->loop = loop;
    transport->fd = fd;
    transport->events = events;
    transport->arg = arg;
    transport->stale = true;
    tg_task_init(&transport->task, on_task);
    enum tg_err err = tg_poll_new(loop, fd, on_ready, transport, &transport->poll);
    if (err == TG_OK) {
        tg_poll_expect(transport->poll, arg);
    }
    return err;
}

static void set_no_delay(int fd)
{
    int on = 1;
    /* Fails on a unix socket, which has no delay to begin with. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

enum tg_err tg_transport_accept(struct tg_loop *loop, int fd, struct tg_tls_context *tls,
                                const struct tg_transport_events *events, void *arg,
                                struct tg_transport **out)
{
    struct tg_transport *transport;
    enum tg_err err = tls != NULL ? tg_transport_tls_accept(tls, &transport) : plain_new(&transport);
    if (err != TG_OK) {
        return err;
    }
    err = attach(transport, loop, fd, events, arg);
    if (err != TG_OK) {
        transport->ops->destroy(transport);
        return err;
    }
    transport->state = TG_TRANSPORT_OPEN;
    if (tls != NULL) {
        transport->state = TG_TRANSPORT_HANDSHAKE;
        update_interest(transport);
    }
    *out = transport;
    return TG_OK;
}

static enum tg_err open_socket(int family, int *out)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return errno == EMFILE || errno == ENFILE ? TG_ELIMIT
               : errno == EAFNOSUPPORT            ? TG_EREFUSED
                                                  : TG_ENOMEM;
    }
    if (family != AF_UNIX) {
        set_no_delay(fd);
    }
    *out = fd;
    return TG_OK;
}

enum tg_err tg_transport_connect(struct tg_loop *loop, const struct tg_address *address,
                                 struct tg_tls_context *tls, struct tg_slice server_name,
                                 const struct tg_transport_events *events, void *arg,
                                 struct tg_transport **out)
{
    int fd = -1;
    struct tg_transport *transport;
    enum tg_err err =
        tls != NULL ? tg_transport_tls_connect(tls, server_name, &transport) : plain_new(&transport);
    if (err != TG_OK) {
        return err;
    }
    err = open_socket(address->storage.ss_family, &fd);
    err = err == TG_OK ? attach(transport, loop, fd, events, arg) : err;
    if (err != TG_OK) {
        if (fd >= 0) {
            close(fd);
        }
        transport->ops->destroy(transport);
        return err;
    }
    transport->state = TG_TRANSPORT_CONNECTING;
    if (connect(fd, (const struct sockaddr *)&address->storage, address->len) == 0) {
        tg_task_defer(loop, &transport->task);
    } else if (errno == EINPROGRESS || errno == EINTR) {
        update_interest(transport);
    } else {
        transport->start_err = TG_EREFUSED;
        tg_task_defer(loop, &transport->task);
    }
    *out = transport;
    return TG_OK;
}

void tg_transport_want(struct tg_transport *transport, bool read, bool write)
{
    transport->stale = transport->stale || transport->want_read != read || transport->want_write != write;
    transport->want_read = read;
    transport->want_write = write;
    /* Inside a call to the owner the end of it does this once for all. */
    if (transport->dispatch == 0 && transport->state == TG_TRANSPORT_OPEN) {
        settle(transport);
    }
}

enum tg_err tg_transport_read(struct tg_transport *transport, char *space, size_t cap, size_t *got)
{
    assert(transport->state == TG_TRANSPORT_OPEN && cap > 0);
    if (is_plain(transport)) {
        return plain_read(transport, space, cap, got);
    }
    enum tg_err err = transport->ops->read(transport, space, cap, got);
    if (transport->dispatch == 0) {
        update(transport);
    }
    return err;
}

enum tg_err tg_transport_write(struct tg_transport *transport, struct tg_slice bytes, size_t *put)
{
    assert(transport->state == TG_TRANSPORT_OPEN && bytes.len > 0);
    enum tg_err err = transport->ops->write(transport, bytes, put);
    if (!is_plain(transport) && transport->dispatch == 0) {
        update_interest(transport);
    }
    return err;
}

enum tg_err tg_transport_write_pieces(struct tg_transport *transport, const struct tg_slice *pieces,
                                      size_t count, size_t *put)
{
    assert(transport->state == TG_TRANSPORT_OPEN && count <= TG_TRANSPORT_PIECES);
    return transport->ops->write_pieces(transport, pieces, count, put);
}

int tg_transport_plain_fd(const struct tg_transport *transport)
{
    return is_plain(transport) ? transport->fd : -1;
}

bool tg_transport_gathers(const struct tg_transport *transport)
{
    return transport->ops->write_pieces != NULL;
}

/* The owner's calls are over; the memory goes now or when the call under way is over. */
static void retire(struct tg_transport *transport)
{
    tg_task_cancel(&transport->task);
    transport->poll = NULL;
    transport->closed = true;
    if (transport->dispatch == 0) {
        transport->ops->destroy(transport);
    }
}

void tg_transport_close(struct tg_transport *transport)
{
    if (transport == NULL) {
        return;
    }
    assert(!transport->closed);
    if (transport->state == TG_TRANSPORT_OPEN) {
        transport->ops->finish(transport);
    }
    tg_poll_close(transport->poll);
    retire(transport);
}

void tg_transport_reset(struct tg_transport *transport)
{
    struct linger linger = {.l_onoff = 1};
    /* A unix socket knows no reset: its peer sees the end. */
    (void)setsockopt(transport->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    tg_poll_close(transport->poll);
    retire(transport);
}

size_t tg_transport_unacked(const struct tg_transport *transport)
{
    int bytes = 0;
    return ioctl(transport->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void tg_transport_shutdown(struct tg_transport *transport)
{
    if (transport->state == TG_TRANSPORT_OPEN) {
        transport->ops->finish(transport);
        (void)shutdown(transport->fd, SHUT_WR);
    }
}

const char *tg_transport_failure(const struct tg_transport *transport)
{
    return transport->failure != NULL ? transport->failure : "";
}

bool tg_transport_resumed(const struct tg_transport *transport)
{
    return transport->ops->resumed != NULL && transport->ops->resumed(transport);
}

enum tg_err tg_transport_peer(const struct tg_transport *transport, struct tg_peer_certificate **out)
{
    return transport->ops->peer != NULL ? transport->ops->peer(transport, out) : TG_ENOTFOUND;
}

void tg_transport_own(struct tg_transport *transport, const struct tg_transport_events *events, void *arg)
{
    assert(transport->state == TG_TRANSPORT_OPEN && !transport->closed);
    transport->events = events;
    transport->arg = arg;
    tg_poll_expect(transport->poll, arg);
}
