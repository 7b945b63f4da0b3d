/* The HTTP/1.1 codec: what it reads, and above all what it refuses. Every refused head is also fed byte by
 * byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "server/io/http1.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

static const struct tg_http1_limits limits = {.line = 128, .head = 1024, .count = 8};

static void assert_text(struct tg_slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.len > 0 ? got.ptr : "", want, got.len);
}

struct head {
    struct tg_arena arena;
    char *copy;
    size_t head_len;
    struct tg_http1_request request;
    struct tg_http1_response response;
    struct tg_http1_fault fault;
    enum tg_err err;
};

static enum tg_err parse(struct head *head, struct tg_slice bytes, size_t *scanned, const char *method)
{
    return method == NULL
               ? tg_http1_parse_request(bytes, scanned, &limits, &head->arena, &head->request,
                                        &head->head_len, &head->fault)
               : tg_http1_parse_response(bytes, scanned, &limits, tg_slice_cstr(method), &head->arena,
                                         &head->response, &head->head_len, &head->fault);
}

/* Parses the bytes as they trickle in, then whole, and checks that both end alike. A request when method is
 * NULL. The bytes lie on the heap without a terminator, so that reading past them is seen. */
static void read_head(struct head *head, struct tg_slice bytes, const char *method)
{
    size_t scanned = 0;
    enum tg_err err = TG_EAGAIN;
    *head = (struct head){0};
    tg_arena_init(&head->arena, NULL);
    for (size_t len = 0; len <= bytes.len && err == TG_EAGAIN; len++) {
        char *part = malloc(len > 0 ? len : 1);
        assert_non_null(part);
        memcpy(part, bytes.ptr, len);
        err = parse(head, tg_slice_make(part, len), &scanned, method);
        free(part);
    }
    int trickled = head->fault.status;
    head->copy = malloc(bytes.len > 0 ? bytes.len : 1);
    assert_non_null(head->copy);
    memcpy(head->copy, bytes.ptr, bytes.len);
    scanned = 0;
    head->err = parse(head, tg_slice_make(head->copy, bytes.len), &scanned, method);
    assert_int_equal(head->err, err);
    assert_int_equal(head->fault.status, trickled);
}

static void head_free(struct head *head)
{
    tg_arena_reset(&head->arena);
    free(head->copy);
}

struct refusal {
    struct tg_slice bytes;
    int status;
};

#define REFUSAL(status, text)                                                                                \
    {                                                                                                        \
        TG_LIT_INIT(text), status                                                                            \
    }
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

static void assert_refused(const struct refusal *rows, size_t count, const char *method)
{
    for (size_t i = 0; i < count; i++) {
        struct head head;
        read_head(&head, rows[i].bytes, method);
        if (head.err != TG_EPROTO || head.fault.status != rows[i].status) {
            print_message("%.*s: error %d, status %d\n", TG_FMT(rows[i].bytes), head.err, head.fault.status);
        }
        assert_int_equal(head.err, TG_EPROTO);
        assert_int_equal(head.fault.status, rows[i].status);
        assert_non_null(head.fault.reason);
        head_free(&head);
    }
}

static void refuses_ambiguous_framing(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        REFUSAL(400, POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
        REFUSAL(400, POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: 3\r\ncontent-length: 4\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: 3, 3\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: 3,4\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: +3\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: -3\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: 1 2\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: 0x3\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: a\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: 3.0\r\n\r\n"),
        REFUSAL(400, POST "Content-Length:\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: 9223372036854775808\r\n\r\n"),
        REFUSAL(400, POST "Content-Length: 18446744073709551617\r\n\r\n"),
        REFUSAL(400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        REFUSAL(501, POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"),
        REFUSAL(400, POST "Transfer-Encoding: chunked, identity\r\n\r\n"),
        REFUSAL(501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        REFUSAL(400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
        REFUSAL(501, POST "Transfer-Encoding: xchunked\r\n\r\n"),
        REFUSAL(501, POST "Transfer-Encoding: chunkedx\r\n\r\n"),
        REFUSAL(501, POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
        REFUSAL(501, POST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
        REFUSAL(501, POST "Transfer-Encoding:\r\n\r\n"),
        REFUSAL(400, POST "Transfer-Encoding: \vchunked\r\n\r\n"),
        REFUSAL(400, POST "Transfer-Encoding : chunked\r\n\r\n"),
        REFUSAL(400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    };
    assert_refused(rows, COUNT(rows), NULL);
}

static void refuses_malformed_lines(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        REFUSAL(400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n"),
        REFUSAL(400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\n\rX: 1\r\n\r\n"),
        REFUSAL(400, "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\t2\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX\t: 1\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX(: 1\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: 1\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\0002\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX\000: 1\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a long value with \x01 in it\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a long value with \x7f in it\r\n\r\n"),
        REFUSAL(400, "\x16\x03\x01\x02"),
        REFUSAL(400, "\000"),
    };
    assert_refused(rows, COUNT(rows), NULL);
}

static void refuses_malformed_request_lines(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        REFUSAL(400, "GET /\r\n\r\n"),
        REFUSAL(400, "GET\r\n\r\n"),
        REFUSAL(400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        REFUSAL(400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "G\xc3\xa4T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(501, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET /\000 HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSAL(400, "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSAL(400, "CONNECT h: HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSAL(400, "CONNECT u@h:1 HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSAL(400, "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSAL(400, "GET http:/h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSAL(400, "GET http:///p HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSAL(400, "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSAL(400, "GET http://h:99999/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSAL(400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/a.1\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / XTTP/1.1\r\nHost: a\r\n\r\n"),
        REFUSAL(505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        REFUSAL(505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
        REFUSAL(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    };
    assert_refused(rows, COUNT(rows), NULL);
}

static void refuses_malformed_hosts(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        REFUSAL(400, "GET / HTTP/1.1\r\n\r\n"),
        REFUSAL(400, "GET http://h/ HTTP/1.1\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: []\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
        REFUSAL(400, "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"),
        REFUSAL(400, "GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
    };
    assert_refused(rows, COUNT(rows), NULL);
}

static void keeps_the_limits(void **state)
{
    (void)state;
    struct head head;
    char bytes[2048];
    /* A request line of exactly the limit is read; one byte more is refused, with or without its end. */
    for (size_t extra = 0; extra < 2; extra++) {
        size_t len = limits.line + extra;
        memset(bytes, 'a', sizeof bytes);
        memcpy(bytes, "GET /", 5);
        memcpy(bytes + len - 9, " HTTP/1.1\r\nHost: a\r\n\r\n", 22);
        read_head(&head, tg_slice_make(bytes, len + 13), NULL);
        assert_int_equal(head.err, extra == 0 ? TG_OK : TG_EPROTO);
        assert_int_equal(head.fault.status, extra == 0 ? 0 : 414);
        head_free(&head);
    }
    memset(bytes, 'a', sizeof bytes);
    read_head(&head, tg_slice_make(bytes, limits.line + 1), NULL);
    assert_int_equal(head.err, TG_EAGAIN);
    head_free(&head);
    read_head(&head, tg_slice_make(bytes, limits.line + 2), NULL);
    assert_int_equal(head.fault.status, 414);
    head_free(&head);
    /* The same for the head as a whole. */
    for (size_t extra = 0; extra < 2; extra++) {
        size_t len = limits.head + extra;
        memset(bytes, 'a', sizeof bytes);
        memcpy(bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
        memcpy(bytes + len - 4, "\r\n\r\n", 4);
        read_head(&head, tg_slice_make(bytes, len), NULL);
        assert_int_equal(head.err, extra == 0 ? TG_OK : TG_EPROTO);
        assert_int_equal(head.fault.status, extra == 0 ? 0 : 431);
        head_free(&head);
    }
    /* And for the number of fields. */
    for (size_t extra = 0; extra < 2; extra++) {
        struct tg_buf buf;
        tg_buf_init(&buf, SIZE_MAX);
        assert_int_equal(tg_buf_append(&buf, TG_LIT("GET / HTTP/1.1\r\nHost: a\r\n")), TG_OK);
        for (size_t i = 1; i < limits.count + extra; i++) {
            assert_int_equal(tg_buf_append(&buf, TG_LIT("X: 1\r\n")), TG_OK);
        }
        assert_int_equal(tg_buf_append(&buf, TG_LIT("\r\n")), TG_OK);
        read_head(&head, tg_buf_slice(&buf), NULL);
        assert_int_equal(head.err, extra == 0 ? TG_OK : TG_EPROTO);
        assert_int_equal(head.fault.status, extra == 0 ? 0 : 431);
        head_free(&head);
        tg_buf_free(&buf);
    }
}

static void reads_a_request(void **state)
{
    (void)state;
    struct head head;
    read_head(&head,
              TG_LIT("\r\nPOST /a%2Fb//c?x=1&y HTTP/1.1\r\nHost: example.com:8080\r\nx-one:\t a \tb "
                     "\r\nX-One: \xc3\xa4\r\n"
                     "Empty:\r\nContent-Length: 05\r\nExpect: 100-Continue\r\n\r\nhello"),
              NULL);
    assert_int_equal(head.err, TG_OK);
    const struct tg_http1_request *request = &head.request;
    assert_text(request->method, "POST");
    assert_text(request->target, "/a%2Fb//c?x=1&y");
    assert_text(request->path, "/a%2Fb//c");
    assert_text(request->query, "x=1&y");
    assert_text(request->host, "example.com:8080");
    assert_int_equal(request->minor, 1);
    assert_true(request->keep_alive);
    assert_true(request->expect_continue);
    assert_int_equal(request->framing, TG_HTTP1_LENGTH);
    assert_int_equal(request->content_length, 5);
    assert_int_equal(request->headers.count, 6);
    assert_text(request->headers.items[1].name, "x-one");
    assert_text(request->headers.items[1].value, "a \tb");
    assert_text(request->headers.items[2].name, "X-One");
    assert_text(request->headers.items[2].value, "\xc3\xa4");
    assert_text(request->headers.items[3].value, "");
    assert_memory_equal(head.copy + head.head_len, "hello", 5);
    head_free(&head);
}

static void reads_targets(void **state)
{
    (void)state;
    static const struct {
        const char *line, *host_field, *path, *query, *host;
    } rows[] = {
        {"GET / HTTP/1.1", "Host: a", "/", NULL, "a"},
        {"GET /? HTTP/1.1", "Host: a", "/", "", "a"},
        {"GET /p?a?b HTTP/1.1", "Host: a", "/p", "a?b", "a"},
        {"GET //p HTTP/1.1", "Host: [2001:db8::1]:80", "//p", NULL, "[2001:db8::1]:80"},
        {"GET /{p}|\"<> HTTP/1.1", "Host: a:", "/{p}|\"<>", NULL, "a:"},
        {"GET http://b:81/p?q HTTP/1.1", "Host: a", "/p", "q", "b:81"},
        {"GET HTTPS://b HTTP/1.1", "Host:", "/", NULL, "b"},
        {"GET http://b?q HTTP/1.1", "Host: a", "/", "q", "b"},
        {"OPTIONS http://b HTTP/1.1", "Host: a", "*", NULL, "b"},
        {"OPTIONS http://b/ HTTP/1.1", "Host: a", "/", NULL, "b"},
        {"OPTIONS * HTTP/1.1", "Host: a", "*", NULL, "a"},
        {"OPTIONS * HTTP/1.1", "Host:", "*", NULL, ""},
        {"CONNECT h:443 HTTP/1.1", "Host: x", "", NULL, "h:443"},
        {"CONNECT [::1]:443 HTTP/1.1", "Host:", "", NULL, "[::1]:443"},
        {"GET / HTTP/1.0", "X: no host", "/", NULL, ""},
        {"GET / HTTP/1.0", "Host:", "/", NULL, ""},
        {"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1", "hOST: a", "/", NULL, "a"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1", "Host: a", "/", NULL, "a"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct head head;
        struct tg_buf buf;
        tg_buf_init(&buf, SIZE_MAX);
        assert_int_equal(tg_buf_printf(&buf, "%s\r\n%s\r\n\r\n", rows[i].line, rows[i].host_field), TG_OK);
        read_head(&head, tg_buf_slice(&buf), NULL);
        assert_int_equal(head.err, TG_OK);
        assert_int_equal(head.head_len, tg_buf_size(&buf));
        assert_text(head.request.path, rows[i].path);
        assert_text(head.request.host, rows[i].host);
        assert_int_equal(head.request.query.ptr != NULL, rows[i].query != NULL);
        assert_text(head.request.query, rows[i].query != NULL ? rows[i].query : "");
        head_free(&head);
        tg_buf_free(&buf);
    }
}

static void reads_persistence_and_framing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int minor;
        bool keep_alive, expect;
        enum tg_http1_framing framing;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1, true, false, TG_HTTP1_NO_BODY},
        {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 1, true, false, TG_HTTP1_NO_BODY},
        {"GET / HTTP/1.9\r\nHost: a\r\n\r\n", 1, true, false, TG_HTTP1_NO_BODY},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", 1, false, false, TG_HTTP1_NO_BODY},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close ,y\r\n\r\n", 1, false, false, TG_HTTP1_NO_BODY},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", 1, true, false, TG_HTTP1_NO_BODY},
        {"GET / HTTP/1.0\r\n\r\n", 0, false, false, TG_HTTP1_NO_BODY},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 0, true, false, TG_HTTP1_NO_BODY},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", 0, false, false, TG_HTTP1_NO_BODY},
        {"POST / HTTP/1.0\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", 0, false, false,
         TG_HTTP1_LENGTH},
        {POST "Expect: 200-maybe\r\n\r\n", 1, true, false, TG_HTTP1_NO_BODY},
        {POST "Expect: 100-continue\r\nTransfer-Encoding: Chunked\r\n\r\n", 1, true, true, TG_HTTP1_CHUNKED},
        {POST "Content-Length: 9223372036854775807\r\n\r\n", 1, true, false, TG_HTTP1_LENGTH},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct head head;
        read_head(&head, tg_slice_cstr(rows[i].text), NULL);
        assert_int_equal(head.err, TG_OK);
        assert_int_equal(head.request.minor, rows[i].minor);
        assert_int_equal(head.request.keep_alive, rows[i].keep_alive);
        assert_int_equal(head.request.expect_continue, rows[i].expect);
        assert_int_equal(head.request.framing, rows[i].framing);
        head_free(&head);
    }
}

static void waits_for_the_rest(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "\r", "\r\n", "G", "GET / HTTP/1.1\r\nHost: a\r\n", POST "\r"};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct head head;
        read_head(&head, tg_slice_cstr(rows[i]), NULL);
        assert_int_equal(head.err, TG_EAGAIN);
        assert_null(head.request.method.ptr);
        head_free(&head);
    }
}

static void reads_responses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *method;
        int status, minor;
        const char *reason;
        bool keep_alive;
        enum tg_http1_framing framing;
        uint64_t length;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", 200, 1, "OK", true, TG_HTTP1_LENGTH, 5},
        {"HTTP/1.1 200 OK\r\n\r\n", "GET", 200, 1, "OK", false, TG_HTTP1_UNTIL_CLOSE, 0},
        {"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", "GET", 404, 1, "", true, TG_HTTP1_LENGTH, 0},
        {"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", "GET", 404, 1, "", true, TG_HTTP1_LENGTH, 0},
        {"HTTP/1.1 299 Sch\xc3\xb6n  so\r\nContent-Length: 0\r\n\r\n", "GET", 299, 1, "Sch\xc3\xb6n  so",
         true, TG_HTTP1_LENGTH, 0},
        {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "GET", 200, 1, "OK", true, TG_HTTP1_CHUNKED,
         0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 200, 1, "OK", true,
         TG_HTTP1_NO_BODY, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "HEAD", 200, 1, "OK", true, TG_HTTP1_NO_BODY, 7},
        {"HTTP/1.1 100 Continue\r\n\r\n", "POST", 100, 1, "Continue", true, TG_HTTP1_NO_BODY, 0},
        {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "GET", 103, 1, "Early Hints", true, TG_HTTP1_NO_BODY,
         0},
        {"HTTP/1.1 204 No Content\r\n\r\n", "GET", 204, 1, "No Content", true, TG_HTTP1_NO_BODY, 0},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", 304, 1, "Not Modified", true,
         TG_HTTP1_NO_BODY, 9},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n", "GET", 200, 1, "OK", false,
         TG_HTTP1_LENGTH, 1},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "GET", 200, 0, "OK", false, TG_HTTP1_LENGTH, 1},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", "GET", 200, 0, "OK", true,
         TG_HTTP1_LENGTH, 1},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", "GET", 200, 0, "OK", false,
         TG_HTTP1_UNTIL_CLOSE, 0},
        {"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", "GET", 999, 1, "x", true, TG_HTTP1_LENGTH, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct head head;
        read_head(&head, tg_slice_cstr(rows[i].text), rows[i].method);
        assert_int_equal(head.err, TG_OK);
        assert_int_equal(head.response.status, rows[i].status);
        assert_int_equal(head.response.minor, rows[i].minor);
        assert_text(head.response.reason, rows[i].reason);
        assert_int_equal(head.response.keep_alive, rows[i].keep_alive);
        assert_int_equal(head.response.framing, rows[i].framing);
        assert_int_equal(head.response.content_length, rows[i].length);
        head_free(&head);
    }
}

static void refuses_responses(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        REFUSAL(400, "SSH-2.0-OpenSSH\r\n"),
        REFUSAL(400, "\r\nHTTP/1.1 200 OK\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 200 OK\n\n"),
        REFUSAL(400, "HTTP/1.1\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 20\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 2000\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 099 x\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 +20 x\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 200OK\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1  200 OK\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 200 O\001K\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 200 O\rK\r\n\r\n"),
        REFUSAL(400, "HTTP 1.1 200 OK\r\n\r\n"),
        REFUSAL(505, "HTTP/2.0 200 OK\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        REFUSAL(501, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        REFUSAL(400, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n"),
        REFUSAL(400, "HTTP/1.1 204 x\r\nContent-Length: x\r\n\r\n"),
    };
    assert_refused(rows, COUNT(rows), "GET");
}

/* Decodes in steps; the content lands in `out`. */
static enum tg_err decode(struct tg_http1_body *body, struct tg_slice in, size_t step, struct tg_buf *out,
                          size_t *total)
{
    *total = 0;
    while (*total < in.len && !body->done) {
        size_t used = 0;
        struct tg_slice content;
        enum tg_err err =
            tg_http1_body_decode(body, tg_slice_head(tg_slice_from(in, *total), step), &used, &content);
        if (err != TG_OK) {
            return err;
        }
        assert_true(used > 0);
        assert_int_equal(tg_buf_append(out, content), TG_OK);
        *total += used;
    }
    return TG_OK;
}

static void decodes_bodies(void **state)
{
    (void)state;
    static const struct {
        enum tg_http1_framing framing;
        uint64_t length;
        const char *bytes, *content;
        size_t used;
        bool done;
    } rows[] = {
        {TG_HTTP1_NO_BODY, 0, "next", "", 0, true},
        {TG_HTTP1_LENGTH, 0, "next", "", 0, true},
        {TG_HTTP1_LENGTH, 5, "hellonext", "hello", 5, true},
        {TG_HTTP1_LENGTH, 6, "hello", "hello", 5, false},
        {TG_HTTP1_UNTIL_CLOSE, 0, "hello", "hello", 5, false},
        {TG_HTTP1_CHUNKED, 0, "0\r\n\r\nnext", "", 5, true},
        {TG_HTTP1_CHUNKED, 0, "5\r\nhello\r\n0\r\n\r\nnext", "hello", 15, true},
        {TG_HTTP1_CHUNKED, 0, "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", 26, true},
        {TG_HTTP1_CHUNKED, 0, "00A\r\n0123456789\r\n00\r\n\r\n", "0123456789", 23, true},
        {TG_HTTP1_CHUNKED, 0, "0000000000000001\r\nx\r\n0\r\n\r\n", "x", 26, true},
        {TG_HTTP1_CHUNKED, 0, "1;a\r\nx\r\n0; a=\"b;c\"\t\r\n\r\n", "x", 23, true},
        {TG_HTTP1_CHUNKED, 0, "1\r\nx\r\n0\r\nA: 1\r\nB:\r\n\r\n", "x", 21, true},
        {TG_HTTP1_CHUNKED, 0, "ffffffffffffffff\r\nx", "x", 19, false},
        {TG_HTTP1_CHUNKED, 0, "2\r\nx", "x", 4, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t step = 1; step < 30; step++) {
            struct tg_http1_body body;
            struct tg_buf content;
            size_t used;
            tg_buf_init(&content, SIZE_MAX);
            tg_http1_body_init(&body, rows[i].framing, rows[i].length);
            assert_int_equal(decode(&body, tg_slice_cstr(rows[i].bytes), step, &content, &used), TG_OK);
            assert_text(tg_buf_slice(&content), rows[i].content);
            assert_int_equal(used, rows[i].used);
            assert_int_equal(body.done, rows[i].done);
            tg_buf_free(&content);
        }
    }
}

static void assert_broken(struct tg_slice bytes, bool broken)
{
    for (size_t step = 1; step <= bytes.len; step += bytes.len > 1 ? bytes.len - 1 : 1) {
        struct tg_http1_body body;
        struct tg_buf content;
        size_t used;
        tg_buf_init(&content, SIZE_MAX);
        tg_http1_body_init(&body, TG_HTTP1_CHUNKED, 0);
        enum tg_err err = decode(&body, bytes, step, &content, &used);
        if (err != (broken ? TG_EPROTO : TG_OK)) {
            print_message("%.*s\n", TG_FMT(bytes));
        }
        assert_int_equal(err, broken ? TG_EPROTO : TG_OK);
        assert_int_equal(body.done, !broken);
        /* Nothing mends it. */
        static const char *const more[] = {"\n", "\r\n", "0\r\n\r\n"};
        for (size_t i = 0; broken && i < COUNT(more); i++) {
            struct tg_slice next;
            assert_int_equal(tg_http1_body_decode(&body, tg_slice_cstr(more[i]), &used, &next), TG_EPROTO);
        }
        tg_buf_free(&content);
    }
}

static void refuses_broken_chunking(void **state)
{
    (void)state;
    static const struct tg_slice rows[] = {
        TG_LIT_INIT("\r\n"),
        TG_LIT_INIT(";a\r\n"),
        TG_LIT_INIT("+1\r\nx"),
        TG_LIT_INIT("-1\r\nx"),
        TG_LIT_INIT(" 1\r\nx"),
        TG_LIT_INIT("1 \r\nx"),
        TG_LIT_INIT("1 ;a\r\nx"),
        TG_LIT_INIT("0x1\r\nx"),
        TG_LIT_INIT("g\r\nx"),
        TG_LIT_INIT("1,1\r\nx"),
        TG_LIT_INIT("1\nx"),
        TG_LIT_INIT("1\rx"),
        TG_LIT_INIT("00000000000000001\r\nx"),
        TG_LIT_INIT("10000000000000000\r\nx"),
        TG_LIT_INIT("1;a\nx"),
        TG_LIT_INIT("1;a\001\r\nx"),
        TG_LIT_INIT("1;a\000\r\nx"),
        TG_LIT_INIT("1;a\rb\r\nx"),
        TG_LIT_INIT("1\r\nxy"),
        TG_LIT_INIT("1\r\nx\n0\r\n\r\n"),
        TG_LIT_INIT("1\r\nx\r0\r\n\r\n"),
        TG_LIT_INIT("1\r\nx0\r\n\r\n"),
        TG_LIT_INIT("0\r\n\n"),
        TG_LIT_INIT("0\r\n\rx"),
        TG_LIT_INIT("0\r\n A: 1\r\n\r\n"),
        TG_LIT_INIT("0\r\nA: 1\r\n B\r\n\r\n"),
        TG_LIT_INIT("0\r\nA : 1\r\n\r\n"),
        TG_LIT_INIT("0\r\n: 1\r\n\r\n"),
        TG_LIT_INIT("0\r\nA\r\n\r\n"),
        TG_LIT_INIT("0\r\nA: 1\n\r\n"),
        TG_LIT_INIT("0\r\nA: 1\r2\r\n\r\n"),
        TG_LIT_INIT("0\r\nA: \0001\r\n\r\n"),
        TG_LIT_INIT("0\r\nGET / HTTP/1.1\r\n\r\n"),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_broken(rows[i], true);
    }
}

static void bounds_extensions_and_trailers(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        char bytes[10000];
        size_t len = 256 + extra;
        memset(bytes, 'a', sizeof bytes);
        memcpy(bytes, "0;", 2);
        memcpy(bytes + 2 + len, "\r\n\r\n", 4);
        assert_broken(tg_slice_make(bytes, len + 6), extra > 0);
        len = 8192 + extra;
        memset(bytes, 'a', sizeof bytes);
        memcpy(bytes, "0\r\nA:", 5);
        memcpy(bytes + 3 + len - 4, "\r\n\r\n", 4);
        assert_broken(tg_slice_make(bytes, 3 + len), extra > 0);
    }
}

static void writes_heads(void **state)
{
    (void)state;
    struct tg_buf out;
    struct tg_header items[] = {
        {TG_LIT("Host"), TG_LIT("a")}, {TG_LIT("X-y"), TG_LIT(" b c\t")}, {TG_LIT("E"), TG_EMPTY}};
    struct tg_headers headers = {items, COUNT(items), COUNT(items)};
    struct tg_headers none = {0};
    tg_buf_init(&out, SIZE_MAX);
    assert_int_equal(tg_http1_write_request(&out, TG_LIT("GET"), TG_LIT("/?q"), &headers), TG_OK);
    assert_text(tg_buf_slice(&out), "GET /?q HTTP/1.1\r\nHost: a\r\nX-y: b c\r\nE: \r\n\r\n");
    tg_buf_clear(&out);
    assert_int_equal(tg_http1_write_response(&out, 200, &headers), TG_OK);
    assert_text(tg_buf_slice(&out), "HTTP/1.1 200 OK\r\nHost: a\r\nX-y: b c\r\nE: \r\n\r\n");
    tg_buf_clear(&out);
    assert_int_equal(tg_http1_write_response(&out, 799, &none), TG_OK);
    assert_text(tg_buf_slice(&out), "HTTP/1.1 799 Unknown\r\n\r\n");
    tg_buf_free(&out);
    assert_string_equal(tg_http1_reason(410), "Gone");
    assert_string_equal(tg_http1_reason(0), "Unknown");
}

static void writes_nothing_that_could_not_be_read_back(void **state)
{
    (void)state;
    static const struct {
        struct tg_slice method, target, name, value;
    } rows[] = {
        {TG_LIT_INIT(""), TG_LIT_INIT("/"), TG_LIT_INIT("A"), TG_LIT_INIT("")},
        {TG_LIT_INIT("G T"), TG_LIT_INIT("/"), TG_LIT_INIT("A"), TG_LIT_INIT("")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT(""), TG_LIT_INIT("A"), TG_LIT_INIT("")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/ HTTP/1.1"), TG_LIT_INIT("A"), TG_LIT_INIT("")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/\r\nX: 1"), TG_LIT_INIT("A"), TG_LIT_INIT("")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/#f"), TG_LIT_INIT("A"), TG_LIT_INIT("")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/\xc3\xa4"), TG_LIT_INIT("A"), TG_LIT_INIT("")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/"), TG_LIT_INIT(""), TG_LIT_INIT("")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/"), TG_LIT_INIT("A "), TG_LIT_INIT("")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/"), TG_LIT_INIT("A:"), TG_LIT_INIT("")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/"), TG_LIT_INIT("A"), TG_LIT_INIT("1\r\nB: 2")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/"), TG_LIT_INIT("A"), TG_LIT_INIT("1\n")},
        {TG_LIT_INIT("GET"), TG_LIT_INIT("/"), TG_LIT_INIT("A"), TG_LIT_INIT("1\0002")},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_buf out;
        struct tg_header item = {rows[i].name, rows[i].value};
        struct tg_headers headers = {&item, 1, 1};
        tg_buf_init(&out, SIZE_MAX);
        assert_int_equal(tg_http1_write_request(&out, rows[i].method, rows[i].target, &headers), TG_EINVAL);
        if (i >= 7) {
            assert_int_equal(tg_http1_write_response(&out, 200, &headers), TG_EINVAL);
        }
        assert_int_equal(tg_buf_size(&out), 0);
        tg_buf_free(&out);
    }
    struct tg_buf out;
    struct tg_headers none = {0};
    tg_buf_init(&out, 10);
    assert_int_equal(tg_http1_write_response(&out, 99, &none), TG_EINVAL);
    assert_int_equal(tg_http1_write_response(&out, 1000, &none), TG_EINVAL);
    assert_int_equal(tg_http1_write_response(&out, 200, &none), TG_ELIMIT);
    assert_int_equal(tg_buf_size(&out), 0);
    tg_buf_free(&out);
}

/* Each of the 256 bytes, at every place of names and values of several lengths: written where
 * tg_header_name_ok and tg_header_value_ok let it pass, which look at one byte at a time. */
static void looks_at_every_byte_of_a_field(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 20; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[20];
                struct tg_buf out;
                memset(text, at % 2 == 0 ? 'z' : '-', sizeof text);
                text[at] = (char)byte;
                const struct tg_slice word = tg_slice_make(text, len);
                struct tg_header named = {word, TG_LIT("1")}, valued = {TG_LIT("A"), word};
                const struct tg_headers name = {&named, 1, 1}, value = {&valued, 1, 1};
                tg_buf_init(&out, SIZE_MAX);
                assert_int_equal(tg_http1_write_response(&out, 200, &name) == TG_OK, tg_header_name_ok(word));
                assert_int_equal(tg_http1_write_response(&out, 200, &value) == TG_OK,
                                 tg_header_value_ok(word));
                tg_buf_free(&out);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_ambiguous_framing),
        cmocka_unit_test(refuses_malformed_lines),
        cmocka_unit_test(refuses_malformed_request_lines),
        cmocka_unit_test(refuses_malformed_hosts),
        cmocka_unit_test(keeps_the_limits),
        cmocka_unit_test(reads_a_request),
        cmocka_unit_test(reads_targets),
        cmocka_unit_test(reads_persistence_and_framing),
        cmocka_unit_test(waits_for_the_rest),
        cmocka_unit_test(reads_responses),
        cmocka_unit_test(refuses_responses),
        cmocka_unit_test(decodes_bodies),
        cmocka_unit_test(refuses_broken_chunking),
        cmocka_unit_test(bounds_extensions_and_trailers),
        cmocka_unit_test(writes_heads),
        cmocka_unit_test(writes_nothing_that_could_not_be_read_back),
        cmocka_unit_test(looks_at_every_byte_of_a_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
