/* Listening sockets of the HTTP server. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/front/newcomer.h"

enum {
    ACCEPTS_PER_PASS = 64, /* so that a storm of newcomers does not starve those who are there */
    PAUSE_MS = 50,         /* without descriptors */
    /* After so many seconds of silence a client's system is asked whether it is still there, so often, so
     * many times: where nothing is to be sent, in a stream or a tunnel, nothing else would show that it is
     * not. */
    ALIVE_IDLE_S = 300,
    ALIVE_INTERVAL_S = 30,
    ALIVE_PROBES = 4
};

void http_admit(struct tg_listener *listener, int fd, struct tg_slice source_ip, uint16_t port)
{
    http_conn_accept(listener->httpd, fd, listener->options.tls, source_ip, port);
}

static void take(struct tg_listener *listener, int fd, const struct tg_address *peer)
{
    struct tg_httpd *httpd = listener->httpd;
    char ip[TG_ADDRESS_TEXT_MAX];
    http_count(&httpd->counters.accepted, 1);
    if (httpd->count >= httpd->options.limits.max_connections ||
        (httpd->options.may_accept != NULL && !httpd->options.may_accept(httpd->options.may_accept_arg))) {
        http_count(&httpd->counters.refused, 1);
        (void)close(fd);
        return;
    }
    if (listener->options.proxy != TG_PROXY_OFF) {
        http_newcomer_take(listener, fd, peer);
        return;
    }
    size_t len = tg_address_ip(peer, ip);
    http_admit(listener, fd, tg_slice_make(ip, len), listener->options.port);
}

static void take_reserve(struct tg_httpd *httpd)
{
    if (httpd->reserve_fd < 0) {
        httpd->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Out of descriptors: the reserve lets one newcomer be told by a close, and the listener rests, so that a
 * full queue does not burn a core. Another thread may be faster to the descriptor: then the reserve is made
 * again when there is one to be had. */
static void shed(struct tg_listener *listener)
{
    struct tg_httpd *httpd = listener->httpd;
    http_count(&httpd->counters.refused, 1);
    if (httpd->reserve_fd >= 0) {
        (void)close(httpd->reserve_fd);
        httpd->reserve_fd = -1;
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            (void)close(fd);
        }
        take_reserve(httpd);
    }
    tg_poll_want(listener->poll, false, false);
    tg_timer_start(httpd->options.loop, &listener->pause, PAUSE_MS);
}

static void pause_over(struct tg_timer *timer)
{
    struct tg_listener *listener = TG_CONTAINER(timer, struct tg_listener, pause);
    take_reserve(listener->httpd);
    tg_poll_want(listener->poll, true, false);
}

static void on_ready(void *arg, bool readable, bool writable)
{
    struct tg_listener *listener = arg;
    (void)readable;
    (void)writable;
    for (int i = 0; i < ACCEPTS_PER_PASS; i++) {
        struct tg_address peer = {.len = sizeof peer.storage};
        int fd =
            accept4(listener->fd, (struct sockaddr *)&peer.storage, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(listener, fd, &peer);
        } else if (is_shortage(errno)) {
            shed(listener);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* anything else is the newcomer's, not the listener's (accept(2)): the next one may do better */
    }
}

/* What a listening socket has is passed on to those that it accepts. A unix socket knows none of it, nor
 * needs it. */
static void make_heritage(int fd)
{
    int on = 1, idle = ALIVE_IDLE_S, interval = ALIVE_INTERVAL_S, probes = ALIVE_PROBES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

enum tg_err tg_httpd_listen(struct tg_httpd *httpd, int fd, const struct tg_httpd_listener_options *options)
{
    struct tg_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        (void)close(fd);
        return TG_ENOMEM;
    }
    make_heritage(fd);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* a newcomer may have gone before it is accepted */
    listener->httpd = httpd;
    listener->fd = fd;
    listener->options = *options;
    tg_timer_init(&listener->pause, pause_over);
    enum tg_err err = tg_poll_new(httpd->options.loop, fd, on_ready, listener, &listener->poll);
    if (err != TG_OK) {
        (void)close(fd);
        free(listener);
        return err;
    }
    tg_poll_want(listener->poll, true, false);
    tg_list_append(&httpd->listeners, &listener->node);
    return TG_OK;
}

void tg_httpd_configure_listener(struct tg_httpd *httpd, size_t index,
                                 const struct tg_httpd_listener_options *options)
{
    struct tg_list *node = httpd->listeners.next;
    while (node != &httpd->listeners && index > 0) {
        node = node->next;
        index--;
    }
    if (node != &httpd->listeners) {
        struct tg_listener *listener = TG_CONTAINER(node, struct tg_listener, node);
        uint16_t port = listener->options.port;
        listener->options = *options;
        listener->options.port = port;
    }
}

void http_listeners_close(struct tg_httpd *httpd)
{
    struct tg_list *node;
    http_newcomers_close(httpd);
    while ((node = tg_list_pop(&httpd->listeners)) != NULL) {
        struct tg_listener *listener = TG_CONTAINER(node, struct tg_listener, node);
        tg_timer_stop(&listener->pause);
        tg_poll_free(listener->poll);
        (void)close(listener->fd);
        free(listener);
    }
}
