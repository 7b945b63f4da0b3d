/* The HTTP server: what comes, and goes, in one piece: bodies that are at hand, answers of ready lines. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

#include "server/front/httpd_private.h"
#include "tests/unit/httpd_streams.h"

#define POST(length) "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n"
#define CHUNKED      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

static int whole_setup(void **state)
{
    int result = world_setup(state);
    ((struct world *)*state)->script = HOLD;
    return result;
}

#define WHOLE_TEST(name) cmocka_unit_test_setup_teardown(name, whole_setup, world_teardown)

static void reply_lines(struct stream *stream, int status, const char *lines, struct tg_slice body)
{
    struct tg_exchange *exchange = stream->exchange;
    stream->exchange = NULL;
    stream->seen->exchange = NULL;
    exchange->ops->reply_lines(exchange, status, tg_slice_cstr(lines), body);
}

static bool at_hand(struct stream *stream, size_t limit, struct tg_slice *body)
{
    return stream->exchange->ops->body_at_hand(stream->exchange, limit, body);
}

/* All of it, at most the limit; what is not had that way is read as ever. */
static void gives_bodies_that_have_come(void **state)
{
    static const struct {
        const char *text;
        size_t limit;
        bool at_hand;
        const char *rest, *body; /* what is sent once it was asked for; NULL: over the limit */
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0, true, "", ""},
        {POST("0"), 0, true, "", ""},
        {POST("5") "hello", 5, true, "", "hello"},
        {POST("5") "hello", 4, false, "", NULL},
        {POST("5") "hell", 5, false, "o", "hello"},
        {POST("5"), 5, false, "hello", "hello"},
        {CHUNKED "5\r\nhel", 5, false, "lo\r\n0\r\n\r\n", "hello"},
    };
    struct world *world = *state;
    size_t count = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client client;
        struct stream stream;
        struct tg_slice body;
        client_open(&client, world);
        client_send(&client, rows[i].text);
        stream_open(&stream, world, ++count);
        settle(world);
        assert_int_equal(at_hand(&stream, rows[i].limit, &body), rows[i].at_hand);
        if (!rows[i].at_hand) {
            world->body_limit = rows[i].limit;
            read_body(stream.seen);
            client_send(&client, rows[i].rest);
            WAIT(world, stream.seen->bodies == 1);
            assert_int_equal(stream.seen->body_err, rows[i].body == NULL ? TG_ELIMIT : TG_OK);
            body = tg_buf_slice(&stream.seen->body);
        }
        if (rows[i].body != NULL) {
            assert_true(tg_slice_eq(body, tg_slice_cstr(rows[i].body)));
        }
        stream_reply(&stream, 200, "done");
        assert_answer(&client, 200, "done");
        stream_free(&stream);
        client_close(&client);
    }
}

/* What stands behind a body that was at hand is the next request, also when it came later. */
static void keeps_a_body_apart_from_what_follows(void **state)
{
    enum { BIG = 3000 };
    struct world *world = *state;
    struct client client;
    struct tg_buf text;
    size_t count = 0;
    char big[BIG];
    fill_pattern(big, BIG, 0);
    client_open(&client, world);
    tg_buf_init(&text, SIZE_MAX);
    for (int later = 0; later < 3; later++) {
        struct stream first, second;
        struct tg_slice body, next;
        struct tg_slice sent = later == 2 ? tg_slice_make(big, BIG) : TG_LIT("hello");
        tg_buf_clear(&text);
        assert_int_equal(tg_buf_printf(&text, POST("%zu"), sent.len), TG_OK);
        assert_int_equal(tg_buf_append(&text, sent), TG_OK);
        assert_int_equal(tg_buf_append(&text, later == 0 ? TG_LIT(POST("5") "again") : TG_EMPTY), TG_OK);
        client_send_bytes(&client, tg_buf_slice(&text));
        stream_open(&first, world, ++count);
        settle(world);
        assert_true(at_hand(&first, 100000, &body));
        if (later > 0) {
            client_send(&client, POST("5") "again");
            settle(world);
        }
        assert_int_equal(world->count, count); /* one at a time */
        assert_true(tg_slice_eq(body, sent));
        stream_reply(&first, 200, "first");
        assert_answer(&client, 200, "first");
        stream_open(&second, world, ++count);
        settle(world);
        assert_true(at_hand(&second, 100000, &next));
        assert_true(tg_slice_eq(next, TG_LIT("again")));
        stream_reply(&second, 200, "second");
        assert_answer(&client, 200, "second");
        stream_free(&first);
        stream_free(&second);
    }
    tg_buf_free(&text);
    client_close(&client);
}

/* The client that waits for leave to send what it has sent is not given it. */
static void says_continue_only_where_something_is_to_come(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    struct tg_slice body;
    client_open(&client, world);
    client_send(&client,
                "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    stream_open(&stream, world, 1);
    settle(world);
    assert_true(at_hand(&stream, 5, &body));
    stream_reply(&stream, 200, "done");
    assert_answer(&client, 200, "done"); /* which would be 100 */
    stream_free(&stream);
    client_close(&client);
}

/* A client that goes while its request is looked at is told of once, and never by the body. */
static void tells_that_the_client_has_gone(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    struct tg_slice body;
    client_open(&client, world);
    client_send(&client, POST("5") "hello");
    stream_open(&stream, world, 1);
    settle(world);
    assert_true(at_hand(&stream, 5, &body));
    client_reset(&client);
    WAIT(world, stream.seen->aborts == 1);
    settle(world);
    assert_true(tg_slice_eq(body, TG_LIT("hello")));
    assert_int_equal(stream.seen->bodies, 0);
    reply_lines(&stream, 200, "A: b\r\n", TG_EMPTY);
    stream_free(&stream);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
}

/* Everything of a request that a handler can see, and its body. */
static void tell(struct stream *stream, struct tg_buf *out)
{
    const struct tg_exchange *exchange = stream->exchange;
    struct tg_slice body;
    tg_buf_clear(out);
    assert_int_equal(tg_buf_printf(out, "%.*s %.*s %.*s ?%.*s (%d) @%.*s %d %d %d %" PRId64 " %.*s %d %d\n",
                                   TG_FMT(exchange->method), TG_FMT(exchange->target), TG_FMT(exchange->path),
                                   TG_FMT(exchange->query), exchange->query.ptr != NULL,
                                   TG_FMT(exchange->host), exchange->minor, exchange->has_body,
                                   exchange->can_upgrade, exchange->content_length,
                                   TG_FMT(exchange->source_ip), exchange->port, exchange->secure),
                     TG_OK);
    for (size_t i = 0; i < exchange->headers.count; i++) {
        assert_int_equal(tg_buf_printf(out, "%.*s: %.*s\n", TG_FMT(exchange->headers.items[i].name),
                                       TG_FMT(exchange->headers.items[i].value)),
                         TG_OK);
    }
    stream->world->body_limit = 100;
    if (!at_hand(stream, 100, &body)) {
        read_body(stream->seen);
        WAIT(stream->world, stream->seen->bodies == 1);
        assert_int_equal(stream->seen->body_err, TG_OK);
        body = tg_buf_slice(&stream->seen->body);
    }
    assert_int_equal(tg_buf_append(out, body), TG_OK);
}

/* Cut anywhere, a request is what it is in one piece; so is the one behind it. */
static void reads_the_same_in_one_piece_and_in_two(void **state)
{
    static const char *texts[] = {
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\nPOST /p/q?r=s HTTP/1.1\r\nhost: example.com\r\nX-Y:  z \r\nContent-Length: 5\r\n\r\nhello",
        "POST http://other/?x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nUpgrade: websocket\r\n\r\nhi",
    };
    struct world *world = *state;
    struct tg_buf told[2];
    tg_buf_init(&told[0], SIZE_MAX);
    tg_buf_init(&told[1], SIZE_MAX);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t len = strlen(texts[i]);
        for (size_t cut = 0; cut < len; cut++) {
            struct client client;
            struct stream stream;
            client_open(&client, world);
            world->count = 0;
            if (cut > 0) {
                size_t before = (size_t)COUNTED(world, bytes_in);
                client_send_bytes(&client, tg_slice_make(texts[i], cut));
                WAIT(world, (size_t)COUNTED(world, bytes_in) == before + cut);
            }
            client_send(&client, texts[i] + cut);
            stream_open(&stream, world, 1);
            tell(&stream, &told[cut > 0]);
            tg_buf_free(&stream.seen->body);
            stream_reply(&stream, 200, "done");
            assert_answer(&client, 200, "done");
            if (cut > 0) {
                assert_true(tg_slice_eq(tg_buf_slice(&told[0]), tg_buf_slice(&told[1])));
            }
            client_close(&client);
            WAIT(world, tg_httpd_count(world->httpd) == 0);
        }
    }
    world->count = 0;
    tg_buf_free(&told[0]);
    tg_buf_free(&told[1]);
}

/* One copy is made of what comes in one piece: the body stands behind the head there. */
static void copies_once(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    struct tg_slice body;
    client_open(&client, world);
    client_send(&client, POST("5") "hello");
    stream_open(&stream, world, 1);
    assert_int_equal(http_exchange_of(stream.exchange)->conn->in.cap, 0);
    assert_true(at_hand(&stream, 5, &body));
    assert_ptr_equal(body.ptr, stream.exchange->method.ptr + strlen(POST("5")));
    stream_reply(&stream, 200, "done");
    assert_answer(&client, 200, "done");
    stream_free(&stream);
    client_close(&client);
}

/* ---- answers ---- */

/* Takes what has come as it is, but for the Date, which must be there once. */
static void take_raw(struct client *client, char *text, size_t cap)
{
    struct tg_slice raw = tg_buf_slice(&client->in);
    size_t at = tg_slice_find_slice(raw, TG_LIT("\r\nDate: "));
    assert_true(at < raw.len && raw.len < cap);
    struct tg_slice rest = tg_slice_from(raw, at + 2);
    rest = tg_slice_from(rest, tg_slice_find(rest, '\n') + 1);
    assert_int_equal(tg_slice_find_slice(rest, TG_LIT("\r\nDate: ")), rest.len);
    (void)snprintf(text, cap, "%.*s\r\n%.*s", (int)at, raw.ptr, TG_FMT(rest));
    tg_buf_clear(&client->in);
}

/* Lines and a list make the same bytes, and leave the connection the same. */
static void writes_lines_as_it_writes_fields(void **state)
{
    static const char *requests[] = {
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", /* whose body does not come */
    };
    static const int statuses[] = {200, 204, 304, 299, 410, 504};
    static const size_t lengths[] = {0, 1, 100, 5000, 20000};
    static char body[20000], texts[2][32768];
    struct world *world = *state;
    size_t count = 0;
    struct tg_header items[] = {{TG_LIT("Content-Type"), TG_LIT("application/json")},
                                {TG_LIT("x-amzn-RequestId"), TG_LIT("abc=")}};
    const struct tg_headers fields = {items, 2, 2};
    memset(body, 'b', sizeof body);
    for (size_t i = 0; i < 5 * 6 * 5; i++) {
        struct tg_slice content = tg_slice_make(body, lengths[i % 5]);
        int status = statuses[i / 5 % 6];
        bool ends[2];
        for (int way = 0; way < 2; way++) {
            struct client client;
            struct stream stream;
            world->httpd->answer[0] = '\0';
            client_open(&client, world);
            client_send(&client, requests[i / 30]);
            world->count = count = 0;
            stream_open(&stream, world, ++count);
            if (way == 0) {
                struct tg_exchange *exchange = stream.exchange;
                stream.seen->exchange = NULL;
                exchange->ops->reply(exchange, status, &fields, content);
            } else {
                reply_lines(&stream, status, "Content-Type: application/json\r\nx-amzn-RequestId: abc=\r\n",
                            content);
            }
            settle(world);
            client_receive(&client);
            bool small = status != 299 && lengths[i % 5] <= 100;
            assert_true(!small || memcmp(world->httpd->answer, "HTTP/1.1 ", 9) == 0); /* the short way */
            take_raw(&client, texts[way], sizeof texts[way]);
            ends[way] = client.eof;
            stream_free(&stream);
            client_close(&client);
            WAIT(world, tg_httpd_count(world->httpd) == 0);
        }
        assert_string_equal(texts[0], texts[1]);
        assert_int_equal(ends[0], ends[1]);
        assert_int_equal(ends[0], i / 30 >= 2);
    }
}

/* Fields and a body that fill the worker's space to its last bytes, or go beyond it. */
static void keeps_within_its_space(void **state)
{
    static char body[4096], large[150000], text[200000];
    struct world *world = *state;
    const size_t sizes[] = {1, 150, 300, 3000, 100000};
    size_t count = 0;
    memset(body, 'b', sizeof body);
    memset(large, 'v', sizeof large);
    for (size_t i = 0; i < 5; i++) {
        for (size_t len = 3500; len <= sizeof body; len += len > 3800 && len < 3860 ? 1 : 37) {
            struct client client;
            struct stream stream;
            struct tg_header item = {TG_LIT("X-Large"), tg_slice_make(large, sizes[i])};
            const struct tg_headers fields = {&item, 1, 1};
            memset(world->httpd->scratch, '#', sizeof world->httpd->scratch);
            client_open(&client, world);
            client_send(&client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            world->count = count = 0;
            stream_open(&stream, world, ++count);
            struct tg_exchange *exchange = stream.exchange;
            stream.seen->exchange = NULL;
            memset(world->httpd->scratch, '#', sizeof world->httpd->scratch);
            exchange->ops->reply(exchange, 200, &fields, tg_slice_make(body, len));
            for (size_t at = 0; at < sizeof world->httpd->scratch; at += 64) {
                assert_int_equal(world->httpd->scratch[at], '#');
            }
            while (!client.eof) {
                client_receive(&client);
                turn(world);
            }
            take_raw(&client, text, sizeof text);
            assert_non_null(strstr(text, "X-Large: v"));
            assert_int_equal(strlen(strstr(text, "\r\n\r\n") + 4), len);
            stream_free(&stream);
            client_close(&client);
            WAIT(world, tg_httpd_count(world->httpd) == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WHOLE_TEST(gives_bodies_that_have_come),
        WHOLE_TEST(keeps_a_body_apart_from_what_follows),
        WHOLE_TEST(says_continue_only_where_something_is_to_come),
        WHOLE_TEST(tells_that_the_client_has_gone),
        WHOLE_TEST(reads_the_same_in_one_piece_and_in_two),
        WHOLE_TEST(copies_once),
        WHOLE_TEST(writes_lines_as_it_writes_fields),
        WHOLE_TEST(keeps_within_its_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
