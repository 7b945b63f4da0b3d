/* The HTTP server: answers that are sent as they come. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/tcp.h>

#include "tests/unit/httpd_streams.h"

#define GET(target)  "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(length) "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n"

static int streams_setup(void **state)
{
    int result = world_setup(state);
    ((struct world *)*state)->script = HOLD;
    return result;
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, streams_setup, world_teardown)

static void configure(struct world *world)
{
    tg_httpd_configure(world->httpd, &world->options.limits);
}

static void assert_field(const struct client *client, const char *name, const char *value)
{
    const struct tg_header *field = tg_headers_first(&client->answer.headers, tg_slice_cstr(name));
    assert_true(tg_headers_count(&client->answer.headers, tg_slice_cstr(name)) <= 1);
    assert_true(tg_slice_eq(field != NULL ? field->value : TG_EMPTY, tg_slice_cstr(value)));
}

static void assert_sent(struct stream *stream, const char *text)
{
    assert_int_equal(stream_send(stream, tg_slice_cstr(text)), TG_OK);
}

/* A small answer in three pieces. */
static void stream_small(struct stream *stream, int64_t length)
{
    assert_int_equal(stream_start(stream, 200, &no_fields, length), TG_OK);
    assert_sent(stream, "one ");
    assert_sent(stream, "");
    assert_sent(stream, "two");
    stream_end(stream, true);
}

static void sends_answers_one_after_another(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, GET("/1") GET("/2") POST("3") "abc" GET("/4"));
    for (size_t i = 0; i < 4; i++) {
        stream_open(&stream, world, i + 1);
        stream_small(&stream, i % 2 == 0 ? 7 : -1);
        assert_answer(&client, 200, "one two");
        assert_field(&client, "Content-Length", i % 2 == 0 ? "7" : "");
        assert_field(&client, "Transfer-Encoding", i % 2 == 0 ? "" : "chunked");
        assert_field(&client, "Connection", "keep-alive");
        assert_int_equal(tg_headers_count(&client.answer.headers, TG_LIT("Date")), 1);
    }
    client_close(&client);
}

/* Segments with data that the client's system has received. */
static unsigned segments(const struct client *client)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    assert_int_equal(getsockopt(client->fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info.tcpi_data_segs_in;
}

static void sends_small_answers_in_one_piece(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    for (size_t i = 0; i < 3; i++) {
        struct stream stream;
        unsigned before = segments(&client);
        client_send(&client, GET("/"));
        stream_open(&stream, world, i + 1);
        if (i < 2) {
            stream_small(&stream, i == 0 ? 7 : -1);
        } else { /* head and first bytes, which do not wait for the end */
            assert_int_equal(stream_start(&stream, 200, &no_fields, 7), TG_OK);
            assert_sent(&stream, "one ");
            client_gather(&client, 50);
            assert_int_equal(segments(&client) - before, 1);
            assert_sent(&stream, "two");
            stream_end(&stream, true);
        }
        assert_answer(&client, 200, "one two");
        assert_int_equal(segments(&client) - before, i < 2 ? 1 : 2);
    }
    client_close(&client);
}

static void sends_what_there_is_while_more_is_to_come(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, GET("/"));
    stream_open(&stream, world, 1);
    assert_int_equal(stream_start(&stream, 200, &no_fields, -1), TG_OK);
    client_gather(&client, 50);
    assert_true(tg_slice_ends(tg_buf_slice(&client.in), TG_LIT("\r\n\r\n")));
    tg_buf_clear(&client.in);
    for (int i = 0; i < 3; i++) {
        assert_sent(&stream, "data: 1\n\n");
        client_gather(&client, 14);
        assert_bytes(&client.in, "9\r\ndata: 1\n\n\r\n");
        tg_buf_clear(&client.in);
    }
    stream_end(&stream, true);
    client_gather(&client, 5);
    assert_bytes(&client.in, "0\r\n\r\n");
    client_close(&client);
}

static void knows_answers_without_a_body(void **state)
{
    static struct tg_header told[] = {{TG_LIT_INIT("content-length"), TG_LIT_INIT("1234")}};
    static struct tg_header lies[] = {{TG_LIT_INIT("Content-Length"), TG_LIT_INIT("x")},
                                      {TG_LIT_INIT("Transfer-Encoding"), TG_LIT_INIT("chunked")}};
    static const struct tg_headers one = {told, 1, 1}, two = {lies, 2, 2};
    static const struct {
        const char *method;
        int status;
        const struct tg_headers *fields;
        const char *length;
    } rows[] = {
        {"HEAD", 200, &one, "1234"}, {"HEAD", 200, &no_fields, ""}, {"GET", 304, &one, "1234"},
        {"GET", 204, &one, ""},      {"HEAD", 200, &two, ""},       {"HEAD", 404, &one, "1234"},
    };
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        struct stream stream;
        (void)snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: h\r\n\r\n", rows[i].method);
        client_send(&client, text);
        stream_open(&stream, world, i + 1);
        assert_int_equal(stream_start(&stream, rows[i].status, rows[i].fields, i % 2 == 0 ? -1 : 7), TG_OK);
        assert_sent(&stream, "ignored");
        stream_end(&stream, i % 2 == 0);
        client_answer(&client, rows[i].method);
        assert_int_equal(client.answer.status, rows[i].status);
        assert_field(&client, "Content-Length", rows[i].length);
        assert_field(&client, "Transfer-Encoding", "");
        assert_int_equal(tg_buf_size(&client.in), 0);
    }
    client_close(&client);
}

/* A head that cannot be written is the handler's to answer for. */
static void refuses_heads_that_cannot_be_written(void **state)
{
    static struct tg_header bad_name[] = {{TG_LIT_INIT("X Y"), TG_LIT_INIT("1")}};
    static struct tg_header bad_value[] = {{TG_LIT_INIT("X"), TG_LIT_INIT("1\r\nY: 2")}};
    static const struct tg_headers names = {bad_name, 1, 1}, values = {bad_value, 1, 1};
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, GET("/1") GET("/2"));
    stream_open(&stream, world, 1);
    assert_int_equal(stream_start(&stream, 200, &names, 7), TG_EINVAL);
    assert_int_equal(stream_start(&stream, 200, &values, 7), TG_EINVAL);
    assert_int_equal(stream_start(&stream, 101, &no_fields, 7), TG_EINVAL);
    assert_int_equal(stream_start(&stream, 1000, &no_fields, 7), TG_EINVAL);
    stream_reply(&stream, 502, "bad");
    assert_answer(&client, 502, "bad");
    stream_open(&stream, world, 2);
    assert_int_equal(stream_start(&stream, 200, &values, -1), TG_EINVAL);
    stream_small(&stream, -1);
    assert_answer(&client, 200, "one two");
    client_close(&client);
}

static void answers_http_1_0(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    stream_open(&stream, world, 1);
    stream_small(&stream, 7);
    assert_answer(&client, 200, "one two");
    assert_field(&client, "Connection", "keep-alive");
    client_send(&client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    stream_open(&stream, world, 2);
    stream_small(&stream, -1);
    while (!client.eof) {
        assert_false(client.reset);
        client_receive(&client);
        turn(world);
    }
    struct tg_slice got = tg_buf_slice(&client.in);
    assert_true(tg_slice_starts(got, TG_LIT("HTTP/1.1 200 OK\r\n")));
    assert_true(tg_slice_ends(got, TG_LIT("\r\nConnection: close\r\n\r\none two")));
    client_close(&client);
}

/* ---- clients that do not keep up ---- */

enum { MUCH = 16 << 20, PIECE = 50000 };

static void waits_for_slow_readers(void **state)
{
    struct world *world = *state;
    char *bytes = malloc(MUCH);
    assert_non_null(bytes);
    fill_pattern(bytes, MUCH, 0);
    for (int chunked = 0; chunked < 2; chunked++) {
        struct client client;
        struct stream stream;
        size_t sent = 0, out = (size_t)COUNTED(world, bytes_out);
        int waits = 0;
        client_open(&client, world);
        client_send(&client, GET("/"));
        stream_open(&stream, world, (size_t)chunked + 1);
        assert_int_equal(stream_start(&stream, 200, &no_fields, chunked ? -1 : MUCH), TG_OK);
        while (sent < MUCH) {
            struct tg_slice piece = tg_slice_head(tg_slice_make(bytes + sent, MUCH - sent), PIECE);
            enum tg_err err = stream_send(&stream, piece);
            sent += piece.len;
            if (err == TG_EAGAIN) {
                /* Held are only the pieces of which the socket has not taken all. */
                assert_true(sent + 1000 - ((size_t)COUNTED(world, bytes_out) - out) < 3 * PIECE);
                settle(world);
                assert_int_equal(stream.rooms, waits);
                waits++;
                while (stream.rooms < waits) {
                    client_receive(&client);
                    turn(world);
                }
            } else {
                assert_int_equal(err, TG_OK);
            }
        }
        assert_true(waits > 1);
        stream_end(&stream, true);
        client_answer(&client, "GET");
        assert_true(tg_slice_eq(tg_buf_slice(&client.body), tg_slice_make(bytes, MUCH)));
        client_close(&client);
    }
    free(bytes);
}

/* Fills the socket of a client that does not read. */
static void fill(struct stream *stream)
{
    static const char piece[PIECE];
    while (stream_send(stream, tg_slice_make(piece, PIECE)) == TG_OK) {
    }
}

static void ends_clients_that_take_nothing(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    world->options.limits.body_timeout_ms = 20;
    configure(world);
    client_open(&client, world);
    client_send(&client, GET("/"));
    stream_open(&stream, world, 1);
    assert_int_equal(stream_start(&stream, 200, &no_fields, -1), TG_OK);
    /* A handler that is silent is none of the client's fault. */
    uint64_t start = tg_loop_now_ms(world->loop);
    WAIT(world, tg_loop_now_ms(world->loop) > start + 60);
    assert_int_equal(COUNTED(world, timed_out), 0);
    fill(&stream);
    WAIT(world, stream.seen->aborts == 1);
    assert_int_equal(COUNTED(world, timed_out), 1);
    assert_int_equal(stream_send(&stream, TG_LIT("x")), TG_ECLOSED);
    assert_int_equal(tg_httpd_count(world->httpd), 1);
    assert_int_equal(stream.rooms, 0);
    stream_end(&stream, false);
    assert_int_equal(tg_httpd_count(world->httpd), 0);
    client_close(&client);
}

/* A socket shows room only when much of its buffer is free: a client that reads slowly makes progress all the
 * same. */
static void gives_steady_readers_their_time(void **state)
{
    enum { LIMIT_MS = 400, STEPS = 30 };
    struct world *world = *state;
    struct client client;
    struct stream stream;
    char space[40000];
    world->options.limits.body_timeout_ms = LIMIT_MS;
    configure(world);
    client_open(&client, world);
    client_send(&client, GET("/"));
    stream_open(&stream, world, 1);
    assert_int_equal(stream_start(&stream, 200, &no_fields, -1), TG_OK);
    fill(&stream);
    uint64_t start = tg_loop_now_ms(world->loop);
    for (int i = 0; i < STEPS; i++) {
        uint64_t now = tg_loop_now_ms(world->loop);
        assert_true(recv(client.fd, space, sizeof space, MSG_DONTWAIT) > 0);
        WAIT(world, tg_loop_now_ms(world->loop) > now + LIMIT_MS / 10);
    }
    assert_true(tg_loop_now_ms(world->loop) - start > 2 * LIMIT_MS);
    assert_int_equal(COUNTED(world, timed_out), 0);
    assert_int_equal(stream.seen->aborts, 0);
    /* Until it stops. */
    WAIT(world, stream.seen->aborts == 1);
    assert_int_equal(COUNTED(world, timed_out), 1);
    stream_end(&stream, false);
    client_close(&client);
}

static void tells_once_when_the_client_goes(void **state)
{
    struct world *world = *state;
    /* Reset; half-closed first, so that only writing can tell; with a full queue. */
    for (size_t way = 0; way < 3; way++) {
        struct client client;
        struct stream stream;
        client_open(&client, world);
        client_send(&client, GET("/"));
        if (way == 1) {
            assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
        }
        stream_open(&stream, world, way + 1);
        assert_int_equal(stream_start(&stream, 200, &no_fields, -1), TG_OK);
        assert_sent(&stream, "some");
        settle(world);
        if (way == 2) {
            fill(&stream);
        }
        client_reset(&client);
        for (int i = 0; stream.seen->aborts == 0; i++) {
            assert_true(i < 1000);
            if (way == 1) {
                enum tg_err err = stream_send(&stream, TG_LIT("more"));
                assert_true(err == TG_OK || err == TG_ECLOSED);
            }
            turn(world);
        }
        settle(world);
        assert_int_equal(stream.seen->aborts, 1);
        assert_int_equal(stream.rooms, 0);
        assert_int_equal(stream_send(&stream, TG_LIT("x")), TG_ECLOSED);
        stream_end(&stream, true);
        assert_int_equal(tg_httpd_count(world->httpd), 0);
    }
    /* Gone before it began. */
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, GET("/"));
    stream_open(&stream, world, 4);
    client_reset(&client);
    WAIT(world, stream.seen->aborts == 1);
    assert_int_equal(stream_start(&stream, 200, &no_fields, -1), TG_ECLOSED);
    assert_int_equal(stream_send(&stream, TG_LIT("x")), TG_ECLOSED);
    stream_end(&stream, true);
    assert_int_equal(tg_httpd_count(world->httpd), 0);
}

/* ---- answers that are not whole ---- */

static void cuts_what_is_not_whole(void **state)
{
    static const struct {
        const char *version;
        int64_t length;
        bool whole, queued;
        const char *end; /* of what the client sees */
    } rows[] = {
        {"1.1", 10, true, false, "some"},
        {"1.1", 4, false, false, "some"},
        {"1.1", -1, false, false, "4\r\nsome\r\n"},
        {"1.1", -1, false, true, "4\r\nsome\r\n"},
        {"1.0", -1, false, false, ""},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client client;
        struct stream stream;
        char text[64];
        (void)snprintf(text, sizeof text, "GET / HTTP/%s\r\nHost: h\r\n\r\n" GET("/never"), rows[i].version);
        client_open(&client, world);
        client_send(&client, text);
        stream_open(&stream, world, i + 1);
        assert_int_equal(stream_start(&stream, 200, &no_fields, rows[i].length), TG_OK);
        assert_sent(&stream, "some");
        if (!rows[i].queued) {
            settle(world);
        }
        stream_end(&stream, rows[i].whole);
        assert_int_equal(tg_httpd_count(world->httpd), 0);
        while (!client.eof && !client.reset) {
            client_receive(&client);
            turn(world);
        }
        assert_int_equal(client.reset, rows[i].end[0] == '\0');
        assert_true(tg_slice_ends(tg_buf_slice(&client.in), tg_slice_cstr(rows[i].end)));
        client_close(&client);
    }
    assert_int_equal(world->count, 5);
}

static void takes_no_more_than_was_announced(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, GET("/1") GET("/2"));
    stream_open(&stream, world, 1);
    assert_int_equal(stream_start(&stream, 200, &no_fields, 7), TG_OK);
    assert_sent(&stream, "one ");
    assert_int_equal(stream_send(&stream, TG_LIT("two three")), TG_ELIMIT);
    assert_sent(&stream, "two");
    assert_int_equal(stream_send(&stream, TG_LIT("x")), TG_ELIMIT);
    stream_end(&stream, true);
    assert_answer(&client, 200, "one two");
    stream_open(&stream, world, 2);
    stream_small(&stream, 7);
    assert_answer(&client, 200, "one two");
    client_close(&client);
}

/* ---- answers before the end of the request ---- */

static void answers_before_the_body_has_come(void **state)
{
    enum { MUCH_BODY = 2 << 20 };
    struct world *world = *state;
    struct client client;
    struct stream stream;
    char *bytes = calloc(1, MUCH_BODY);
    assert_non_null(bytes);
    /* Nobody takes it: the client sees the answer although it sends all of it. */
    for (size_t taken = 0; taken < 2; taken++) {
        client_open(&client, world);
        client_send(&client, POST("2097152"));
        stream_open(&stream, world, taken + 1);
        if (taken) {
            stream.hold_on_bytes = true;
            stream_take(&stream, 0);
        }
        size_t sent = client_try_send(&client, tg_slice_make(bytes, MUCH_BODY));
        stream_small(&stream, -1);
        client_send_bytes(&client, tg_slice_make(bytes + sent, MUCH_BODY - sent));
        assert_answer(&client, 200, "one two");
        assert_field(&client, "Connection", taken ? "keep-alive" : "close");
        assert_closed(&client);
        client_close(&client);
        stream_free(&stream);
        WAIT(world, tg_httpd_count(world->httpd) == 0);
    }
    free(bytes);
}

static void answers_while_the_body_comes(void **state)
{
    struct world *world = *state;
    struct client client;
    struct stream stream;
    client_open(&client, world);
    client_send(&client, POST("6"));
    stream_open(&stream, world, 1);
    stream_take(&stream, 0);
    assert_int_equal(stream_start(&stream, 200, &no_fields, -1), TG_OK);
    for (int i = 0; i < 6; i++) {
        char c = (char)('a' + i);
        client_send_bytes(&client, tg_slice_make(&c, 1));
        WAIT(world, stream.pieces == i + 1);
        assert_int_equal(stream_send(&stream, tg_slice_make(&c, 1)), TG_OK);
    }
    WAIT(world, stream.ends == 1);
    assert_int_equal(stream.end_err, TG_OK);
    stream_end(&stream, true);
    assert_answer(&client, 200, "abcdef");
    assert_field(&client, "Connection", "keep-alive");
    stream_free(&stream);
    /* The connection goes on. */
    client_send(&client, GET("/"));
    stream_open(&stream, world, 2);
    stream_small(&stream, 7);
    assert_answer(&client, 200, "one two");
    client_close(&client);
}

/* ---- draining ---- */

static void lets_streams_end_while_draining(void **state)
{
    struct world *world = *state;
    struct client before, after;
    struct stream first, second;
    client_open(&before, world);
    client_send(&before, GET("/1"));
    stream_open(&first, world, 1);
    assert_int_equal(stream_start(&first, 200, &no_fields, -1), TG_OK);
    client_gather(&before, 50);
    client_open(&after, world);
    client_send(&after, GET("/2"));
    stream_open(&second, world, 2);
    tg_httpd_drain(world->httpd);
    settle(world);
    assert_int_equal(tg_httpd_count(world->httpd), 2);
    assert_sent(&first, "one");
    settle(world);
    assert_sent(&first, "two");
    stream_end(&first, true);
    assert_answer(&before, 200, "onetwo");
    assert_closed(&before);
    stream_small(&second, -1);
    assert_answer(&after, 200, "one two");
    assert_field(&after, "Connection", "close");
    assert_closed(&after);
    client_close(&before);
    client_close(&after);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
}

static void cuts_streams_at_last(void **state)
{
    struct world *world = *state;
    struct client streaming, waiting;
    struct stream first, second;
    client_open(&streaming, world);
    client_send(&streaming, GET("/1"));
    stream_open(&first, world, 1);
    assert_int_equal(stream_start(&first, 200, &no_fields, -1), TG_OK);
    client_open(&waiting, world);
    client_send(&waiting, GET("/2"));
    stream_open(&second, world, 2);
    tg_httpd_cut(world->httpd);
    assert_int_equal(first.seen->aborts, 0);
    WAIT(world, first.seen->aborts == 1);
    tg_httpd_cut(world->httpd);
    settle(world);
    assert_int_equal(first.seen->aborts, 1);
    assert_int_equal(second.seen->aborts, 0); /* which may still get its answer */
    stream_end(&first, true);
    stream_reply(&second, 503, "ending");
    assert_answer(&waiting, 503, "ending");
    client_close(&streaming);
    client_close(&waiting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(sends_answers_one_after_another),
        STREAM_TEST(sends_small_answers_in_one_piece),
        STREAM_TEST(sends_what_there_is_while_more_is_to_come),
        STREAM_TEST(knows_answers_without_a_body),
        STREAM_TEST(refuses_heads_that_cannot_be_written),
        STREAM_TEST(answers_http_1_0),
        STREAM_TEST(waits_for_slow_readers),
        STREAM_TEST(ends_clients_that_take_nothing),
        STREAM_TEST(gives_steady_readers_their_time),
        STREAM_TEST(tells_once_when_the_client_goes),
        STREAM_TEST(cuts_what_is_not_whole),
        STREAM_TEST(takes_no_more_than_was_announced),
        STREAM_TEST(answers_before_the_body_has_come),
        STREAM_TEST(answers_while_the_body_comes),
        STREAM_TEST(lets_streams_end_while_draining),
        STREAM_TEST(cuts_streams_at_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
