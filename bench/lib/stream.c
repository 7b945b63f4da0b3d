#include "bench/lib/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/lib/tls.h"

static void ended(struct stream *stream)
{
    stream_close(stream, true);
    stream->events->on_end(stream);
}

static void keep(unsigned char **kept, size_t *len, size_t *cap, const unsigned char *bytes, size_t count)
{
    if (*len + count > *cap) {
        *cap = (*len + count) * 2;
        *kept = realloc(*kept, *cap);
        if (*kept == NULL) {
            die("out of memory");
        }
    }
    memcpy(*kept + *len, bytes, count);
    *len += count;
}

static ssize_t receive(const struct stream *stream, unsigned char *to, size_t room)
{
    return stream->tls == NULL ? recv(stream->watch.fd, to, room, 0) : tls_read(stream->tls, to, room);
}

static ssize_t transmit(const struct stream *stream, const void *bytes, size_t len)
{
    return stream->tls == NULL ? send(stream->watch.fd, bytes, len, MSG_NOSIGNAL)
                               : tls_write(stream->tls, bytes, len);
}

/* True: there may be more that epoll does not tell of. */
static bool read_once(struct stream *stream)
{
    unsigned char *scratch = stream->loop->scratch;
    size_t held = stream->rest_len;
    unsigned life = stream->life;
    if (held > 0) {
        memcpy(scratch, stream->rest, held);
        stream->rest_len = 0;
    }
    if (held >= LOOP_SCRATCH) {
        die("a message of more than %d bytes", LOOP_SCRATCH);
    }
    ssize_t count = receive(stream, scratch + held, LOOP_SCRATCH - held);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
        ended(stream);
        return false;
    }
    size_t len = held + (count > 0 ? (size_t)count : 0);
    size_t done = count > 0 ? stream->events->on_data(stream, scratch, len) : 0;
    if (stream->watch.fd < 0 || stream->life != life) {
        return false;
    }
    if (done < len) {
        keep(&stream->rest, &stream->rest_len, &stream->rest_cap, scratch + done, len - done);
    }
    return stream->tls != NULL && len == LOOP_SCRATCH;
}

static void on_readable(struct stream *stream)
{
    while (read_once(stream)) {
    }
}

static void on_writable(struct stream *stream)
{
    ssize_t count = transmit(stream, stream->out, stream->out_len);
    if (count < 0 && errno != EAGAIN && errno != EINTR) {
        ended(stream);
        return;
    }
    size_t taken = count > 0 ? (size_t)count : 0;
    memmove(stream->out, stream->out + taken, stream->out_len - taken);
    stream->out_len -= taken;
    if (stream->out_len == 0) {
        loop_change(stream->loop, &stream->watch, EPOLLIN);
    }
}

static void shake_hands(struct stream *stream)
{
    bool opens = stream->connecting;
    unsigned life = stream->life;
    int result = tls_handshake(opens ? stream->loop->connects : stream->loop->accepts, stream->tls);
    if (result < 0) {
        errno = 0;
        ended(stream);
    } else if (result > 0) {
        stream->connecting = false;
        if (opens) {
            stream->events->on_open(stream);
        }
        if (stream->watch.fd >= 0 && stream->life == life && tls_has_more(stream->tls)) {
            on_readable(stream); /* it came with the handshake's end */
        }
    }
}

static void on_connected(struct stream *stream)
{
    int error = 0;
    socklen_t size = sizeof error;
    (void)getsockopt(stream->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        errno = error;
        ended(stream);
        return;
    }
    loop_change(stream->loop, &stream->watch, EPOLLIN);
    if (stream->loop->connects != NULL) {
        stream->tls = tls_begin(stream->loop->connects, stream->watch.fd, false);
        shake_hands(stream);
        return;
    }
    stream->connecting = false;
    stream->events->on_open(stream);
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct stream *stream = CONTAINER(watch, struct stream, watch);
    if (stream->tls != NULL && !tls_is_done(stream->tls)) {
        shake_hands(stream);
        return;
    }
    if (stream->connecting) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) { /* else it was meant for the one before */
            on_connected(stream);
        }
        return;
    }
    if ((events & EPOLLOUT) != 0 && stream->out_len > 0) {
        on_writable(stream);
    }
    if (watch->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        on_readable(stream);
    }
}

static void no_delay(int fd)
{
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Buffers are kept from one connection of a stream to the next. */
static void begin(struct stream *stream, struct loop *loop, int fd, const struct stream_events *events)
{
    stream->watch = (struct watch){.fd = fd, .on_ready = on_ready};
    stream->loop = loop;
    stream->events = events;
    stream->life++;
    stream->rest_len = stream->out_len = 0;
    stream->tls = NULL;
}

static struct sockaddr_in loopback(size_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

void stream_connect(struct stream *stream, struct loop *loop, size_t port, const struct stream_events *events)
{
    const struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        die("socket");
    }
    no_delay(fd);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        die("connect to port %zu", port);
    }
    begin(stream, loop, fd, events);
    stream->connecting = true;
    loop_add(loop, &stream->watch, EPOLLOUT);
}

void stream_adopt(struct stream *stream, struct loop *loop, int fd, const struct stream_events *events)
{
    no_delay(fd);
    begin(stream, loop, fd, events);
    stream->connecting = false;
    stream->tls = loop->accepts == NULL ? NULL : tls_begin(loop->accepts, fd, true);
    loop_add(loop, &stream->watch, EPOLLIN);
}

bool stream_send(struct stream *stream, const void *bytes, size_t len)
{
    ssize_t count = 0;
    if (stream->out_len == 0) {
        count = transmit(stream, bytes, len);
        if (count < 0 && errno != EAGAIN && errno != EINTR) {
            return false; /* the loop sees EPOLLERR or EPOLLHUP */
        }
        count = count > 0 ? count : 0;
    }
    if ((size_t)count < len) {
        bool waits = stream->out_len > 0;
        keep(&stream->out, &stream->out_len, &stream->out_cap, (const unsigned char *)bytes + count,
             len - (size_t)count);
        if (!waits) {
            loop_change(stream->loop, &stream->watch, EPOLLIN | EPOLLOUT);
        }
    }
    return true;
}

void stream_close(struct stream *stream, bool cut)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (stream->watch.fd < 0) {
        return;
    }
    if (cut) {
        (void)setsockopt(stream->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    tls_end(stream->tls);
    stream->tls = NULL;
    (void)close(stream->watch.fd);
    stream->watch.fd = -1;
}

void listener_open(struct loop *loop, struct watch *watch, size_t port)
{
    const struct sockaddr_in address = loopback(port);
    const int on = 1;
    watch->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (watch->fd < 0 || setsockopt(watch->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(watch->fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(watch->fd, 4096) < 0) {
        die("listen on port %zu", port);
    }
    loop_add(loop, watch, EPOLLIN);
}

int listener_accept(const struct watch *watch)
{
    return accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
