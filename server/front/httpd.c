#include "server/front/httpd.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/front/httpd_private.h"

enum tg_err tg_httpd_new(const struct tg_httpd_options *options, struct tg_httpd **out)
{
    struct tg_httpd *httpd = calloc(1, sizeof *httpd);
    if (httpd == NULL || tg_http1_known_new(&httpd->known) != TG_OK) {
        free(httpd);
        return TG_ENOMEM;
    }
    httpd->options = *options;
    httpd->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    tg_list_init(&httpd->connections);
    tg_list_init(&httpd->listeners);
    tg_list_init(&httpd->newcomers);
    *out = httpd;
    return TG_OK;
}

void tg_httpd_free(struct tg_httpd *httpd)
{
    if (httpd == NULL) {
        return;
    }
    http_listeners_close(httpd);
    while (!tg_list_empty(&httpd->connections)) {
        struct http_conn *conn = TG_CONTAINER(httpd->connections.next, struct http_conn, node);
        assert(!conn->dead); /* whose handler was told, and has not ended its exchange */
        http_conn_abort(conn);
    }
    if (httpd->reserve_fd >= 0) {
        (void)close(httpd->reserve_fd);
    }
    tg_http1_known_free(httpd->known);
    free(httpd);
}

void tg_httpd_configure(struct tg_httpd *httpd, const struct tg_httpd_limits *limits)
{
    httpd->options.limits = *limits;
}

void tg_httpd_wind_down(struct tg_httpd *httpd)
{
    httpd->draining = true;
}

void tg_httpd_drain(struct tg_httpd *httpd)
{
    struct tg_list *next;
    http_listeners_close(httpd);
    httpd->draining = true;
    for (struct tg_list *node = httpd->connections.next; node != &httpd->connections; node = next) {
        next = node->next;
        http_conn_drain(TG_CONTAINER(node, struct http_conn, node));
    }
}

void tg_httpd_cut(struct tg_httpd *httpd)
{
    for (struct tg_list *node = httpd->connections.next; node != &httpd->connections; node = node->next) {
        struct http_conn *conn = TG_CONTAINER(node, struct http_conn, node);
        if (conn->exchange != NULL && conn->exchange->answer != HTTP_ANSWER_NONE) {
            http_conn_break(conn);
        }
    }
}

struct tg_slice http_usual_end(struct tg_httpd *httpd)
{
    int64_t now_ms = tg_loop_wall_ms(httpd->options.loop);
    if (httpd->usual_end_len == 0 || httpd->date_s != now_ms / 1000) {
        char *at = httpd->usual_end;
        httpd->date_s = now_ms / 1000;
        memcpy(at, HTTP_DATE_NAME, HTTP_DATE_AT);
        httpd->date_len = tg_time_http(now_ms, at + HTTP_DATE_AT);
        at += HTTP_DATE_AT + httpd->date_len;
        memcpy(at, HTTP_AFTER_DATE, sizeof HTTP_AFTER_DATE - 1);
        httpd->usual_end_len = (size_t)(at - httpd->usual_end) + sizeof HTTP_AFTER_DATE - 1;
    }
    return tg_slice_make(httpd->usual_end, httpd->usual_end_len);
}

struct tg_slice http_date(struct tg_httpd *httpd)
{
    struct tg_slice end = http_usual_end(httpd);
    return tg_slice_make(end.ptr + HTTP_DATE_AT, httpd->date_len);
}

size_t tg_httpd_count(const struct tg_httpd *httpd)
{
    return httpd->count;
}

const struct tg_httpd_counters *tg_httpd_counters(const struct tg_httpd *httpd)
{
    return &httpd->counters;
}
