/* The HTTP server: bodies of requests that are handed on as they come. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/httpd_streams.h"

#define GET(target)  "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(length) "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n"
#define CHUNKED      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

static int streams_setup(void **state)
{
    int result = world_setup(state);
    ((struct world *)*state)->script = HOLD;
    return result;
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, streams_setup, world_teardown)

static void tells_what_body_follows(void **state)
{
    static const struct {
        const char *text;
        int minor;
        bool has_body;
        int64_t length;
    } rows[] = {
        {GET("/"), 1, false, 0},
        {POST("0"), 1, true, 0},
        {POST("12345678901"), 1, true, 12345678901},
        {CHUNKED, 1, true, -1},
        {"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", 0, true, 5},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client client;
        client_open(&client, world);
        client_send(&client, rows[i].text);
        WAIT(world, world->count == i + 1);
        const struct tg_exchange *exchange = world->seen[i].exchange;
        assert_int_equal(exchange->minor, rows[i].minor);
        assert_int_equal(exchange->has_body, rows[i].has_body);
        assert_true(exchange->content_length == rows[i].length);
        client_close(&client);
    }
}

static void hands_bodies_on(void **state)
{
    static const struct {
        const char *head, *body, *content;
    } rows[] = {
        {GET("/"), "", ""},
        {POST("0"), "", ""},
        {POST("5"), "hello", "hello"},
        {CHUNKED, "0\r\n\r\n", ""},
        {CHUNKED, "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n", "abcde"},
    };
    struct world *world = *state;
    struct client client;
    size_t count = 0;
    client_open(&client, world);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int way = 0; way < 3; way++) {
            struct stream stream;
            size_t len = strlen(rows[i].body);
            client_send(&client, rows[i].head);
            if (way == 0) { /* all there when it is asked for */
                client_send(&client, rows[i].body);
            }
            stream_open(&stream, world, ++count);
            settle(world);
            stream_take(&stream, 0);
            assert_int_equal(stream.ends, 0);
            for (size_t at = 0; way == 1 && at < len; at++) {
                settle(world);
                assert_int_equal(stream.ends, 0);
                client_send_bytes(&client, tg_slice_make(rows[i].body + at, 1));
            }
            if (way == 2) {
                client_send(&client, rows[i].body);
            }
            WAIT(world, stream.ends > 0);
            assert_int_equal(stream.end_err, TG_OK);
            assert_bytes(&stream.body, rows[i].content);
            settle(world);
            assert_int_equal(stream.ends, 1);
            stream_reply(&stream, 200, "done");
            assert_answer(&client, 200, "done");
            stream_free(&stream);
        }
    }
    client_close(&client);
}

/* What is not taken waits with the client. */
static void holds_bodies_back(void **state)
{
    enum { MUCH = 8 << 20 };
    struct world *world = *state;
    char *body = malloc(MUCH);
    assert_non_null(body);
    fill_pattern(body, MUCH, 0);
    for (int chunked = 0; chunked < 2; chunked++) {
        struct client client;
        struct stream stream;
        size_t sent = 0, before = (size_t)COUNTED(world, bytes_in);
        client_open(&client, world);
        client_send(&client, chunked ? CHUNKED "800000\r\n" : POST("8388608"));
        stream_open(&stream, world, (size_t)chunked + 1);
        stream.hold_on_bytes = true;
        stream_take(&stream, 0);
        for (int idle = 0; idle < 20; idle++) {
            size_t put = client_try_send(&client, tg_slice_make(body + sent, MUCH - sent));
            idle = put > 0 ? 0 : idle;
            sent += put;
            turn(world);
        }
        assert_true(sent < MUCH);
        assert_int_equal(stream.pieces, 1);
        assert_true((size_t)COUNTED(world, bytes_in) - before < 3 * 65536);
        /* Piece after piece, each when the handler asks. */
        for (int pieces = 2; pieces < 6; pieces++) {
            stream_hold(&stream, false);
            WAIT(world, stream.pieces == pieces);
            settle(world);
            assert_int_equal(stream.pieces, pieces);
        }
        stream.hold_on_bytes = false;
        stream_hold(&stream, false);
        client_send_bytes(&client, tg_slice_make(body + sent, MUCH - sent));
        if (chunked) {
            client_send(&client, "\r\n0\r\n\r\n");
        }
        WAIT(world, stream.ends == 1);
        assert_int_equal(stream.end_err, TG_OK);
        assert_true(tg_slice_eq(tg_buf_slice(&stream.body), tg_slice_make(body, MUCH)));
        stream_reply(&stream, 200, "done");
        assert_answer(&client, 200, "done");
        stream_free(&stream);
        client_close(&client);
    }
    free(body);
}

static void tells_nothing_while_held(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    world->options.limits.body_timeout_ms = 10;
    tg_httpd_configure(world->httpd, &world->options.limits);
    client_open(&client, world);
    client_send(&client, POST("5"));
    stream_open(&stream, world, 1);
    stream.hold_on_bytes = true;
    stream_take(&stream, 0);
    client_send(&client, "hello");
    WAIT(world, stream.pieces == 1);
    /* Nor does the time run. */
    uint64_t start = tg_loop_now_ms(world->loop);
    WAIT(world, tg_loop_now_ms(world->loop) > start + 30);
    assert_int_equal(stream.ends, 0);
    assert_int_equal(COUNTED(world, timed_out), 0);
    stream_hold(&stream, false);
    assert_int_equal(stream.ends, 0);
    WAIT(world, stream.ends == 1);
    assert_int_equal(stream.end_err, TG_OK);
    stream_reply(&stream, 200, "done");
    assert_answer(&client, 200, "done");
    stream_free(&stream);
    client_close(&client);
}

static void holds_to_the_limit(void **state)
{
    static const struct {
        const char *text;
        enum tg_err err;
    } rows[] = {
        {POST("6"), TG_ELIMIT},
        {CHUNKED "3\r\n123\r\n3\r\n456\r\n0\r\n\r\n", TG_ELIMIT},
        {CHUNKED "3\r\n123\r\n2\r\n45\r\n0\r\n\r\n", TG_OK},
        {POST("5") "12345", TG_OK},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client client;
        struct stream stream;
        client_open(&client, world);
        client_send(&client, rows[i].text);
        stream_open(&stream, world, i + 1);
        stream_take(&stream, 5);
        WAIT(world, stream.ends == 1);
        assert_int_equal(stream.end_err, rows[i].err);
        stream_reply(&stream, 200, "done");
        assert_answer(&client, 200, "done");
        assert_int_equal(tg_headers_has_token(&client.answer.headers, TG_LIT("Connection"), TG_LIT("close")),
                         rows[i].err != TG_OK);
        stream_free(&stream);
        client_close(&client);
    }
}

static void tells_clients_to_continue(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    stream_open(&stream, world, 1);
    settle(world);
    client_receive(&client);
    assert_int_equal(tg_buf_size(&client.in), 0);
    stream_take(&stream, 0);
    client_answer(&client, "POST");
    assert_int_equal(client.answer.status, 100);
    client_send(&client, "ok");
    WAIT(world, stream.ends == 1);
    assert_bytes(&stream.body, "ok");
    stream_reply(&stream, 200, "done");
    assert_answer(&client, 200, "done");
    stream_free(&stream);
    /* It is too late for that once the answer has begun. */
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    stream_open(&stream, world, 2);
    assert_int_equal(stream_start(&stream, 403, &no_fields, 2), TG_OK);
    stream_take(&stream, 0);
    assert_int_equal(stream_send(&stream, TG_LIT("no")), TG_OK);
    stream_end(&stream, true);
    assert_answer(&client, 403, "no");
    assert_closed(&client);
    stream_free(&stream);
    client_close(&client);
}

static void tells_why_a_body_will_not_come(void **state)
{
    static const struct {
        const char *text;
        enum tg_err err;
    } rows[] = {
        {POST("5") "1234", TG_ECLOSED},
        {CHUNKED "1\r\nx", TG_ECLOSED},
        {CHUNKED "1\r\nx\r\nz\r\n", TG_EPROTO},
        {POST("5") "1234", TG_ETIMEOUT},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client client;
        struct stream stream;
        if (rows[i].err == TG_ETIMEOUT) {
            world->options.limits.body_timeout_ms = 10;
            tg_httpd_configure(world->httpd, &world->options.limits);
        }
        client_open(&client, world);
        client_send(&client, rows[i].text);
        stream_open(&stream, world, i + 1);
        stream_take(&stream, 0);
        if (rows[i].err == TG_ECLOSED) {
            assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
        }
        WAIT(world, stream.ends == 1);
        assert_int_equal(stream.end_err, rows[i].err);
        assert_int_equal(COUNTED(world, timed_out), rows[i].err == TG_ETIMEOUT);
        stream_reply(&stream, 400, "no");
        assert_answer(&client, 400, "no");
        assert_closed(&client);
        assert_int_equal(world->seen[i].aborts, 0);
        stream_free(&stream);
        client_close(&client);
    }
}

static void tells_when_the_client_goes(void **state)
{
    struct world *world = *state;
    for (int late = 0; late < 2; late++) {
        struct client client;
        struct stream stream;
        client_open(&client, world);
        client_send(&client, POST("10") "12345");
        stream_open(&stream, world, (size_t)late + 1);
        if (!late) {
            stream_take(&stream, 0);
            WAIT(world, stream.pieces == 1);
        }
        client_reset(&client);
        WAIT(world, stream.seen->aborts == 1);
        if (late) {
            stream_take(&stream, 0);
        }
        WAIT(world, stream.ends == 1);
        assert_int_equal(stream.end_err, TG_ECLOSED);
        settle(world);
        assert_int_equal(tg_httpd_count(world->httpd), 1);
        stream_reply(&stream, 200, "nobody");
        assert_int_equal(tg_httpd_count(world->httpd), 0);
        assert_int_equal(stream.seen->aborts, 1);
        stream_free(&stream);
    }
}

/* A body may take as long as it takes, if only some of it comes. */
static void gives_steady_senders_their_time(void **state)
{
    enum { LIMIT_MS = 400, PIECES = 30 };
    struct world *world = *state;
    struct client client;
    struct stream stream;
    world->options.limits.body_timeout_ms = LIMIT_MS;
    tg_httpd_configure(world->httpd, &world->options.limits);
    client_open(&client, world);
    client_send(&client, POST("30"));
    stream_open(&stream, world, 1);
    stream_take(&stream, 0);
    uint64_t start = tg_loop_now_ms(world->loop);
    for (int i = 0; i < PIECES; i++) {
        uint64_t now = tg_loop_now_ms(world->loop);
        client_send(&client, "x");
        WAIT(world, stream.pieces == i + 1 && tg_loop_now_ms(world->loop) > now + LIMIT_MS / 10);
    }
    WAIT(world, stream.ends == 1);
    assert_int_equal(stream.end_err, TG_OK);
    assert_true(tg_loop_now_ms(world->loop) - start > 2 * LIMIT_MS);
    stream_reply(&stream, 200, "done");
    assert_answer(&client, 200, "done");
    stream_free(&stream);
    /* But none that stops. */
    client_send(&client, POST("30") "x");
    stream_open(&stream, world, 2);
    stream_take(&stream, 0);
    WAIT(world, stream.pieces == 1);
    start = tg_loop_now_ms(world->loop);
    WAIT(world, tg_loop_now_ms(world->loop) > start + LIMIT_MS / 2);
    client_send(&client, "x");
    WAIT(world, stream.pieces == 2);
    assert_int_equal(stream.ends, 0);
    WAIT(world, stream.ends == 1);
    assert_int_equal(stream.end_err, TG_ETIMEOUT);
    assert_true(tg_loop_now_ms(world->loop) - start >= LIMIT_MS + LIMIT_MS / 2);
    stream_reply(&stream, 408, "late");
    assert_answer(&client, 408, "late");
    stream_free(&stream);
    client_close(&client);
}

/* The handler may have had enough at any time. */
static void ends_from_the_middle_of_a_body(void **state)
{
    static const struct {
        const char *text;
        int after;
        bool goes_on; /* the rest was at hand: the next request follows */
    } rows[] = {
        {POST("5") "hello" GET("/next"), 1, true},
        {POST("50") "hello", 1, false},
        {CHUNKED "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n" GET("/next"), 2, true},
        {CHUNKED "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n", 2, false},
        {CHUNKED "1\r\na\r\nbad", 1, false},
        {CHUNKED "1\r\na\r\n0\r\n\r\n" GET("/next"), 0, true},
    };
    struct world *world = *state;
    size_t count = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int late = 0; late < 2; late++) {
            struct client client;
            struct stream stream;
            client_open(&client, world);
            client_send_bytes(&client, tg_slice_head(tg_slice_cstr(rows[i].text), late ? 30 : SIZE_MAX));
            if (late) {
                settle(world);
                client_send_bytes(&client, tg_slice_from(tg_slice_cstr(rows[i].text), 30));
            }
            stream_open(&stream, world, ++count);
            stream.end_after = rows[i].after;
            stream.reply_on_end = true;
            stream_take(&stream, 0);
            assert_answer(&client, 200, rows[i].after > 0 ? "enough" : "all");
            if (rows[i].goes_on) {
                count++;
                WAIT(world, world->count == count);
                answer(&world->seen[count - 1]);
                assert_answer(&client, 200, "GET /next ");
            } else {
                assert_closed(&client);
            }
            stream_free(&stream);
            client_close(&client);
            WAIT(world, tg_httpd_count(world->httpd) == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(tells_what_body_follows),
        STREAM_TEST(hands_bodies_on),
        STREAM_TEST(holds_bodies_back),
        STREAM_TEST(tells_nothing_while_held),
        STREAM_TEST(holds_to_the_limit),
        STREAM_TEST(tells_clients_to_continue),
        STREAM_TEST(tells_why_a_body_will_not_come),
        STREAM_TEST(tells_when_the_client_goes),
        STREAM_TEST(gives_steady_senders_their_time),
        STREAM_TEST(ends_from_the_middle_of_a_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
