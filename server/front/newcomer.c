#include "server/front/newcomer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { TOLD_MS = 1000 };

struct newcomer {
    struct tg_list node; /* httpd->newcomers */
    struct tg_listener *listener;
    int fd;
    struct tg_address peer;
    struct tg_poll *poll;
    struct tg_timer timer;
    struct tg_buf head; /* what has been taken of a header that comes in pieces */
    void *memory;       /* to be freed with it; NULL: it lies on the stack */
};

/* ---- refusals ---- */

/* The first of a second; how many were not told since the last line goes with it. */
static void tell(const struct newcomer *newcomer, const char *reason)
{
    struct tg_httpd *httpd = newcomer->listener->httpd;
    char ip[TG_ADDRESS_TEXT_MAX];
    uint64_t now = tg_loop_now_ms(httpd->options.loop);
    if (httpd->refusal_told_ms > 0 && now - httpd->refusal_told_ms < TOLD_MS) {
        httpd->refusals_untold++;
        return;
    }
    size_t len = tg_address_ip(&newcomer->peer, ip);
    tg_log(httpd->options.log, TG_LOG_WARN, "connection refused by its PROXY header",
           TG_KV("peer", tg_slice_make(ip, len)), TG_KV_INT("port", newcomer->listener->options.port),
           TG_KV_CSTR("reason", reason), TG_KV_INT("moreBefore", httpd->refusals_untold));
    httpd->refusal_told_ms = now;
    httpd->refusals_untold = 0;
}

/* A newcomer that waits is in the list, has a poll and memory of its own; one that has just come lies on the
 * stack and has none of it. */
static void leave(struct newcomer *newcomer)
{
    tg_buf_free(&newcomer->head);
    if (newcomer->poll != NULL) {
        tg_poll_free(newcomer->poll);
        tg_timer_stop(&newcomer->timer);
        tg_list_remove(&newcomer->node);
        http_closed(newcomer->listener->httpd);
        free(newcomer->memory);
    }
}

static void drop(struct newcomer *newcomer)
{
    int fd = newcomer->fd;
    leave(newcomer);
    (void)close(fd);
}

static void refuse(struct newcomer *newcomer, _Atomic(uint64_t) *counter, const char *reason)
{
    http_count(counter, 1);
    tell(newcomer, reason);
    drop(newcomer);
}

/* ---- the header ---- */

static void admit(struct newcomer *newcomer, const struct tg_proxy_header *header)
{
    struct tg_listener *listener = newcomer->listener;
    char ip[TG_ADDRESS_TEXT_MAX];
    int fd = newcomer->fd;
    size_t len = tg_address_ip(header->local ? &newcomer->peer : &header->source, ip);
    uint16_t port = header->local ? listener->options.port : tg_address_port(&header->destination);
    leave(newcomer);
    http_admit(listener, fd, tg_slice_make(ip, len), port);
}

/* Takes bytes that were seen from the socket. */
static bool consume(struct newcomer *newcomer, size_t len)
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

/* What a look at the socket came to. The newcomer goes on waiting only with TG_EAGAIN. */
static enum tg_err judge(struct newcomer *newcomer, struct tg_slice seen)
{
    struct tg_httpd *httpd = newcomer->listener->httpd;
    struct tg_proxy_header header;
    struct tg_slice all;
    const char *fault = NULL;
    size_t held = tg_buf_size(&newcomer->head);
    enum tg_err err = gather(newcomer, seen, &all);
    if (err == TG_OK) {
        err = tg_proxy_parse(newcomer->listener->options.proxy, all, &header, &fault);
    }
    if (err == TG_EPROTO) {
        refuse(newcomer, &httpd->counters.proxy_malformed, fault);
    } else if (err == TG_EAGAIN) {
        /* Left in the socket, they would keep it readable. */
        if (tg_buf_append(&newcomer->head, seen) == TG_OK && consume(newcomer, seen.len)) {
            return TG_EAGAIN;
        }
        drop(newcomer);
    } else if (err == TG_OK && consume(newcomer, header.len - held)) {
        admit(newcomer, &header);
    } else {
        drop(newcomer);
    }
    return TG_OK;
}

/* TG_EAGAIN: it waits for more; otherwise it is no newcomer any more. */
static enum tg_err look(struct newcomer *newcomer)
{
    struct tg_httpd *httpd = newcomer->listener->httpd;
    ssize_t got = recv(newcomer->fd, httpd->scratch, TG_PROXY_HEADER_MAX, MSG_PEEK);
    if (got > 0) {
        return judge(newcomer, tg_slice_make(httpd->scratch, (size_t)got));
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return TG_EAGAIN;
    }
    if (tg_buf_size(&newcomer->head) > 0) {
        refuse(newcomer, &httpd->counters.proxy_malformed, "the connection ended within the PROXY header");
    } else {
        drop(newcomer);
    }
    return TG_OK;
}

/* ---- waiting ---- */

static void on_ready(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    (void)!look(arg);
}

static void on_late(struct tg_timer *timer)
{
    struct newcomer *newcomer = TG_CONTAINER(timer, struct newcomer, timer);
    bool some = tg_buf_size(&newcomer->head) > 0;
    refuse(newcomer, &newcomer->listener->httpd->counters.proxy_timed_out,
           some ? "the PROXY header was not whole in time" : "no PROXY header came in time");
}

static enum tg_err wait(const struct newcomer *here)
{
    struct tg_httpd *httpd = here->listener->httpd;
    struct newcomer *newcomer = malloc(sizeof *newcomer);
    if (newcomer == NULL) {
        return TG_ENOMEM;
    }
    *newcomer = *here; /* with what it holds of the header */
    newcomer->memory = newcomer;
    enum tg_err err = tg_poll_new(httpd->options.loop, newcomer->fd, on_ready, newcomer, &newcomer->poll);
    if (err != TG_OK) {
        free(newcomer);
        return err;
    }
    tg_poll_want(newcomer->poll, true, false);
    tg_timer_init(&newcomer->timer, on_late);
    if (httpd->options.limits.header_timeout_ms > 0) {
        tg_timer_start(httpd->options.loop, &newcomer->timer, httpd->options.limits.header_timeout_ms);
    }
    tg_list_append(&httpd->newcomers, &newcomer->node);
    http_opened(httpd);
    return TG_OK;
}

void http_newcomer_take(struct tg_listener *listener, int fd, const struct tg_address *peer)
{
    struct tg_httpd *httpd = listener->httpd;
    struct newcomer newcomer = {.listener = listener, .fd = fd, .peer = *peer};
    tg_buf_init(&newcomer.head, TG_PROXY_HEADER_MAX * 2);
    if (peer->storage.ss_family != AF_UNIX && !tg_networks_hold(&listener->options.trusted, peer)) {
        refuse(&newcomer, &httpd->counters.proxy_untrusted, "the peer is not in trustedProxies");
    } else if (look(&newcomer) == TG_EAGAIN && wait(&newcomer) != TG_OK) {
        http_count(&httpd->counters.refused, 1);
        tg_buf_free(&newcomer.head);
        (void)close(fd);
    }
}

void http_newcomers_close(struct tg_httpd *httpd)
{
    while (!tg_list_empty(&httpd->newcomers)) {
        drop(TG_CONTAINER(httpd->newcomers.next, struct newcomer, node));
    }
}
