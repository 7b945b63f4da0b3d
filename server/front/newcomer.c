#include "server/front/newcomer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct newcomer {
    struct tg_listener *listener;
    int fd;
    struct tg_address peer;
    enum tg_proxy_protocol proxy; /* as the listener had it when it came */
    struct tg_buf head;           /* what has been taken of a header that comes in pieces */
};

/* One whose header was not there at once. */
struct waiting {
    struct tg_list node; /* httpd->newcomers */
    struct newcomer newcomer;
    struct tg_poll *poll;
    struct tg_timer timer;
};

/* ---- refusals ---- */

static void tell(const struct newcomer *newcomer, const char *reason)
{
    struct tg_httpd *httpd = newcomer->listener->httpd;
    char ip[TG_ADDRESS_TEXT_MAX];
    uint64_t untold;
    if (!http_may_tell(&httpd->refusals, tg_loop_now_ms(httpd->options.loop), &untold)) {
        return;
    }
    size_t len = tg_address_ip(&newcomer->peer, ip);
    tg_log(httpd->options.log, TG_LOG_WARN, "connection refused by its PROXY header",
           TG_KV("peer", tg_slice_make(ip, len)), TG_KV_INT("port", newcomer->listener->options.port),
           TG_KV_CSTR("reason", reason), TG_KV_INT("moreBefore", untold));
}

static enum tg_err refuse(const struct newcomer *newcomer, _Atomic(uint64_t) *counter, const char *reason)
{
    http_count(counter, 1);
    tell(newcomer, reason);
    return TG_EPROTO;
}

/* ---- the header ---- */

/* Takes bytes that were seen from the socket. */
static bool consume(const struct newcomer *newcomer, size_t len)
{
    struct tg_httpd *httpd = newcomer->listener->httpd;
    return recv(newcomer->fd, httpd->scratch, len, 0) == (ssize_t)len;
}

/* Where the header came in pieces: behind what was taken before, so that it lies in one place. */
static enum tg_err gather(struct newcomer *newcomer, struct tg_slice seen, struct tg_slice *all)
{
    *all = seen;
    if (tg_buf_size(&newcomer->head) == 0) {
        return TG_OK;
    }
    char *space;
    enum tg_err err = tg_buf_reserve(&newcomer->head, seen.len, &space);
    if (err == TG_OK) {
        memcpy(space, seen.ptr, seen.len); /* behind the end, not committed: what is not the header's stays */
        struct tg_slice held = tg_buf_slice(&newcomer->head);
        *all = tg_slice_make(held.ptr, held.len + seen.len);
    }
    return err;
}

static enum tg_err judge(struct newcomer *newcomer, struct tg_slice seen, struct tg_proxy_header *header)
{
    struct tg_httpd *httpd = newcomer->listener->httpd;
    struct tg_slice all;
    const char *fault = NULL;
    size_t held = tg_buf_size(&newcomer->head);
    enum tg_err err = gather(newcomer, seen, &all);
    if (err == TG_OK) {
        err = tg_proxy_parse(newcomer->proxy, all, header, &fault);
    }
    if (err == TG_EPROTO) {
        return refuse(newcomer, &httpd->counters.proxy_malformed, fault);
    }
    if (err == TG_EAGAIN) {
        /* Left in the socket, they would keep it readable. */
        bool taken = tg_buf_append(&newcomer->head, seen) == TG_OK && consume(newcomer, seen.len);
        return taken ? TG_EAGAIN : TG_ECLOSED;
    }
    return err == TG_OK && consume(newcomer, header->len - held) ? TG_OK : TG_ECLOSED;
}

/* A look at what has come. TG_OK: the header, which is out of the socket now. TG_EAGAIN: more is to come.
 * TG_EPROTO: it was refused, and that is told; TG_ECLOSED: there is nothing to tell. */
static enum tg_err look(struct newcomer *newcomer, struct tg_proxy_header *header)
{
    struct tg_httpd *httpd = newcomer->listener->httpd;
    ssize_t got = recv(newcomer->fd, httpd->scratch, TG_PROXY_HEADER_MAX, MSG_PEEK);
    if (got > 0) {
        return judge(newcomer, tg_slice_make(httpd->scratch, (size_t)got), header);
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return TG_EAGAIN;
    }
    if (tg_buf_size(&newcomer->head) > 0) {
        return refuse(newcomer, &httpd->counters.proxy_malformed,
                      "the connection ended within the PROXY header");
    }
    return TG_ECLOSED;
}

/* It is no newcomer any more: a connection with TG_OK, else closed. */
static void finish(struct newcomer *newcomer, enum tg_err err, const struct tg_proxy_header *header)
{
    struct tg_listener *listener = newcomer->listener;
    char ip[TG_ADDRESS_TEXT_MAX];
    tg_buf_free(&newcomer->head);
    if (err != TG_OK) {
        (void)close(newcomer->fd);
        return;
    }
    size_t len = tg_address_ip(header->local ? &newcomer->peer : &header->source, ip);
    uint16_t port = header->local ? listener->options.port : tg_address_port(&header->destination);
    http_admit(listener, newcomer->fd, tg_slice_make(ip, len), port);
}

/* ---- waiting ---- */

static struct newcomer leave(struct waiting *waiting)
{
    struct newcomer newcomer = waiting->newcomer;
    tg_poll_free(waiting->poll);
    tg_timer_stop(&waiting->timer);
    tg_list_remove(&waiting->node);
    free(waiting);
    http_closed(newcomer.listener->httpd);
    return newcomer;
}

static void on_ready(void *arg, bool readable, bool writable)
{
    struct waiting *waiting = arg;
    struct tg_proxy_header header = {0};
    (void)readable;
    (void)writable;
    enum tg_err err = look(&waiting->newcomer, &header);
    if (err != TG_EAGAIN) {
        struct newcomer newcomer = leave(waiting);
        finish(&newcomer, err, &header);
    }
}

static void on_late(struct tg_timer *timer)
{
    struct newcomer newcomer = leave(TG_CONTAINER(timer, struct waiting, timer));
    enum tg_err err = refuse(&newcomer, &newcomer.listener->httpd->counters.proxy_timed_out,
                             tg_buf_size(&newcomer.head) > 0 ? "the PROXY header was not whole in time"
                                                             : "no PROXY header came in time");
    finish(&newcomer, err, NULL);
}

/* With what it holds of the header. */
static enum tg_err await(const struct newcomer *newcomer)
{
    struct tg_httpd *httpd = newcomer->listener->httpd;
    struct waiting *waiting = malloc(sizeof *waiting);
    if (waiting == NULL) {
        return TG_ENOMEM;
    }
    enum tg_err err = tg_poll_new(httpd->options.loop, newcomer->fd, on_ready, waiting, &waiting->poll);
    if (err != TG_OK) {
        free(waiting);
        return err;
    }
    waiting->newcomer = *newcomer;
    tg_poll_want(waiting->poll, true, false);
    tg_timer_init(&waiting->timer, on_late);
    if (httpd->options.limits.header_timeout_ms > 0) {
        tg_timer_start(httpd->options.loop, &waiting->timer, httpd->options.limits.header_timeout_ms);
    }
    tg_list_append(&httpd->newcomers, &waiting->node);
    http_opened(httpd);
    return TG_OK;
}

void http_newcomer_take(struct tg_listener *listener, int fd, const struct tg_address *peer)
{
    struct tg_httpd *httpd = listener->httpd;
    struct newcomer newcomer = {
        .listener = listener, .fd = fd, .peer = *peer, .proxy = listener->options.proxy};
    struct tg_proxy_header header = {0};
    enum tg_err err;
    tg_buf_init(&newcomer.head, TG_PROXY_HEADER_MAX * 2);
    if (peer->storage.ss_family != AF_UNIX && !tg_networks_hold(&listener->options.trusted, peer)) {
        err = refuse(&newcomer, &httpd->counters.proxy_untrusted, "the peer is not in trustedProxies");
    } else {
        err = look(&newcomer, &header);
    }
    if (err == TG_EAGAIN) {
        err = await(&newcomer);
        if (err == TG_OK) {
            return;
        }
        http_count(&httpd->counters.refused, 1);
    }
    finish(&newcomer, err, &header);
}

void http_newcomers_close(struct tg_httpd *httpd)
{
    struct tg_list *node;
    while ((node = tg_list_pop(&httpd->newcomers)) != NULL) {
        struct newcomer newcomer = leave(TG_CONTAINER(node, struct waiting, node));
        finish(&newcomer, TG_ECLOSED, NULL);
    }
}
