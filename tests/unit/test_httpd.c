/* The HTTP server: requests, bodies and answers as they are on the wire. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>

#include "tests/unit/httpd_world.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"

static struct tg_slice field(const struct client *client, const char *name)
{
    const struct tg_header *header = tg_headers_first(&client->answer.headers, tg_slice_cstr(name));
    return header != NULL ? header->value : TG_EMPTY;
}

static void assert_field(const struct client *client, const char *name, const char *value)
{
    assert_true(tg_headers_count(&client->answer.headers, tg_slice_cstr(name)) <= 1);
    assert_true(tg_slice_eq(field(client, name), tg_slice_cstr(value)));
}

/* A server that has answered nothing yet. */
static void renew(struct world *world)
{
    tg_httpd_free(world->httpd);
    assert_int_equal(tg_httpd_new(&world->options, &world->httpd), TG_OK);
    start_listening(world);
}

/* Also in the very first answer, whichever way that is made. */
static void says_its_date(void **state)
{
    static const char *const firsts[] = {GET("/"), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                                         "GET /\r\n\r\n"};
    struct world *world = *state;
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        struct client client;
        renew(world);
        client_open(&client, world);
        client_send(&client, firsts[i]);
        client_answer(&client, "GET");
        assert_true(tg_slice_ends(field(&client, "Date"), TG_LIT(" GMT")));
        assert_int_equal(field(&client, "Date").len, 29);
        client_close(&client);
    }
}

static void answers_one_request_after_another(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    for (int i = 0; i < 3; i++) {
        client_send(&client, GET("/a?b=%20"));
        assert_answer(&client, 200, "GET /a?b=%20 ");
        assert_field(&client, "Content-Length", "13");
        assert_field(&client, "Connection", "keep-alive");
        assert_true(tg_slice_ends(field(&client, "Date"), TG_LIT(" GMT")));
        assert_int_equal(field(&client, "Date").len, 29);
    }
    assert_int_equal(world->count, 3);
    assert_int_equal(tg_httpd_count(world->httpd), 1);
    assert_int_equal(COUNTED(world, accepted), 1);
    assert_int_equal(COUNTED(world, open), 1);
    assert_int_equal(COUNTED(world, requests), 3);
    assert_int_equal(COUNTED(world, bytes_in), 3 * sizeof(GET("/a?b=%20")) - 3);
    client_close(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    assert_int_equal(COUNTED(world, open), 0);
}

static void shows_the_request_as_it_was_sent(void **state)
{
    struct world *world = *state;
    struct client client;
    world->script = HOLD;
    client_open(&client, world);
    client_send(&client,
                "PUT /p%2Fq?x=1&y HTTP/1.1\r\nhOsT: h:81\r\nX-A:  b c \r\nContent-Length: 1\r\n\r\nz");
    WAIT(world, world->count == 1);
    /* What comes behind the head moves the connection's buffer, not what the handler sees. */
    for (int i = 0; i < 20; i++) {
        client_send(&client, GET("/next-one-with-a-longer-target-than-the-first"));
        turn(world);
    }
    struct tg_exchange *exchange = world->seen[0].exchange;
    assert_true(tg_slice_eq(exchange->method, TG_LIT("PUT")));
    assert_true(tg_slice_eq(exchange->target, TG_LIT("/p%2Fq?x=1&y")));
    assert_true(tg_slice_eq(exchange->path, TG_LIT("/p%2Fq")));
    assert_true(tg_slice_eq(exchange->query, TG_LIT("x=1&y")));
    assert_true(tg_slice_eq(exchange->host, TG_LIT("h:81")));
    assert_true(tg_slice_eq(exchange->source_ip, TG_LIT("127.0.0.1")));
    assert_int_equal(exchange->port, tg_address_port(&world->address));
    assert_int_equal(exchange->headers.count, 3);
    assert_true(tg_slice_eq(exchange->headers.items[0].name, TG_LIT("hOsT")));
    assert_true(tg_slice_eq(exchange->headers.items[1].value, TG_LIT("b c")));
    assert_true(exchange->received_ms > 0);
    assert_false(exchange->secure);
    assert_int_equal(world->count, 1);
    client_close(&client);
}

static void answers_what_was_sent_at_once_in_order(void **state)
{
    enum { MANY = 100 };
    struct world *world = *state;
    struct client client;
    struct tg_buf text;
    char want[64];
    tg_buf_init(&text, SIZE_MAX);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(
            tg_buf_printf(&text, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nb%02d", i, i),
            TG_OK);
    }
    for (int read = 0; read < 2; read++) {
        world->script = read ? READ : ANSWER;
        client_open(&client, world);
        client_send_bytes(&client, tg_buf_slice(&text));
        for (int i = 0; i < MANY; i++) {
            (void)snprintf(want, sizeof want, read ? "POST /%d b%02d" : "POST /%d ", i, i);
            assert_answer(&client, 200, want);
        }
        client_close(&client);
    }
    tg_buf_free(&text);
}

static void reads_byte_by_byte(void **state)
{
    static const char text[] = "\r\nPOST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n" GET("/b");
    struct world *world = *state;
    struct client client;
    world->script = READ;
    client_open(&client, world);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        client_send_bytes(&client, tg_slice_make(text + i, 1));
        turn(world);
    }
    assert_answer(&client, 200, "POST /a abcde");
    assert_answer(&client, 200, "GET /b ");
    client_close(&client);
}

static void reads_bodies(void **state)
{
    struct world *world = *state;
    struct client client;
    world->script = READ;
    client_open(&client, world);
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert_answer(&client, 200, "POST / hello");
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert_answer(&client, 200, "POST / ");
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_answer(&client, 200, "POST / ");
    client_send(&client, GET("/"));
    assert_answer(&client, 200, "GET / ");
    /* Large, so that it comes in many pieces, and asked for late. */
    struct tg_buf body;
    char *space;
    tg_buf_init(&body, SIZE_MAX);
    assert_int_equal(tg_buf_reserve(&body, world->body_limit, &space), TG_OK);
    memset(space, 'x', world->body_limit);
    tg_buf_commit(&body, world->body_limit);
    world->script = HOLD;
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    size_t sent = client_try_send(&client, tg_buf_slice(&body));
    WAIT(world, world->count == 5);
    read_body(&world->seen[4]);
    client_send_bytes(&client, tg_slice_from(tg_buf_slice(&body), sent));
    WAIT(world, world->seen[4].bodies == 1);
    assert_int_equal(world->seen[4].body_err, TG_OK);
    assert_true(tg_slice_eq(tg_buf_slice(&world->seen[4].body), tg_buf_slice(&body)));
    /* It may be asked for again. */
    read_body(&world->seen[4]);
    WAIT(world, world->seen[4].bodies == 2);
    assert_true(tg_slice_eq(tg_buf_slice(&world->seen[4].body), tg_buf_slice(&body)));
    world->answer = TG_LIT("all");
    answer(&world->seen[4]);
    assert_answer(&client, 200, "all");
    tg_buf_free(&body);
    client_close(&client);
}

/* Held back in memory are only so many bytes of what nobody has asked for. */
static void stops_reading_what_nobody_takes(void **state)
{
    enum { MUCH = 8 << 20 };
    struct world *world = *state;
    struct client client;
    char *body = calloc(1, MUCH);
    assert_non_null(body);
    world->script = HOLD;
    client_open(&client, world);
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n");
    size_t sent = 0;
    for (int idle = 0; idle < 20; idle++) {
        size_t put = client_try_send(&client, tg_slice_make(body + sent, MUCH - sent));
        idle = put > 0 ? 0 : idle;
        sent += put;
        turn(world);
    }
    assert_true(sent < MUCH);
    assert_true(COUNTED(world, bytes_in) < 300000);
    world->body_limit = MUCH;
    read_body(&world->seen[0]);
    client_send_bytes(&client, tg_slice_make(body + sent, MUCH - sent));
    WAIT(world, world->seen[0].bodies == 1);
    assert_int_equal(tg_buf_size(&world->seen[0].body), MUCH);
    world->answer = TG_LIT("all");
    answer(&world->seen[0]);
    assert_answer(&client, 200, "all");
    free(body);
    client_close(&client);
}

static void refuses_bodies_over_the_limit(void **state)
{
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n123456" GET("/never"),
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n3\r\n456\r\n",
    };
    struct world *world = *state;
    world->script = READ;
    world->body_limit = 5;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct client client;
        client_open(&client, world);
        client_send(&client, requests[i]);
        assert_answer(&client, 413, "POST / ");
        assert_field(&client, "Connection", "close");
        assert_closed(&client);
        client_close(&client);
        assert_int_equal(world->count, i + 1);
    }
    /* As long as the limit is not too long. */
    struct client client;
    client_open(&client, world);
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345");
    assert_answer(&client, 200, "POST / 12345");
    client_close(&client);
}

static void reuses_a_connection_whose_body_nobody_read(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    client_send(&client, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" GET("/2"));
    assert_answer(&client, 200, "POST /1 ");
    assert_answer(&client, 200, "GET /2 ");
    /* Not when it is still to come: what follows could be taken for a request. */
    client_send(&client, "POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n" GET("/never"));
    assert_answer(&client, 200, "POST /3 ");
    assert_field(&client, "Connection", "close");
    assert_closed(&client);
    assert_int_equal(world->count, 3);
    client_close(&client);
}

static void tells_clients_to_continue(void **state)
{
    static const char head[] =
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    struct world *world = *state;
    struct client client;
    world->script = READ;
    client_open(&client, world);
    for (int i = 0; i < 2; i++) {
        client_send(&client, head);
        client_answer(&client, "POST");
        assert_int_equal(client.answer.status, 100);
        assert_int_equal(client.answer.headers.count, 0);
        client_send(&client, "ok");
        assert_answer(&client, 200, "POST / ok");
    }
    /* It did not wait. */
    client_send(&client, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok");
    assert_answer(&client, 200, "POST / ok");
    /* Nobody wants the body: it must not come. */
    world->script = ANSWER;
    client_send(&client, head);
    assert_answer(&client, 200, "POST / ");
    assert_field(&client, "Connection", "close");
    assert_closed(&client);
    client_close(&client);
    /* HTTP/1.0 does not know it. */
    world->script = READ;
    client_open(&client, world);
    client_send(&client, "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    WAIT(world, world->count == 5);
    client_send(&client, "ok");
    assert_answer(&client, 200, "POST / ok");
    client_close(&client);
}

static void sends_no_body_where_there_is_none(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    client_send(&client, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
    client_answer(&client, "HEAD");
    assert_field(&client, "Content-Length", "8");
    world->status = 204;
    client_send(&client, GET("/"));
    assert_answer(&client, 204, "");
    assert_field(&client, "Content-Length", "");
    world->status = 304;
    client_send(&client, GET("/"));
    assert_answer(&client, 304, "");
    world->status = 200;
    world->answer = TG_LIT("");
    client_send(&client, GET("/"));
    assert_answer(&client, 200, "");
    assert_field(&client, "Content-Length", "0");
    client_close(&client);
}

static void speaks_http_1_0(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    client_send(&client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_answer(&client, 200, "GET / ");
    assert_field(&client, "Connection", "keep-alive");
    client_send(&client, "GET / HTTP/1.0\r\n\r\n");
    assert_answer(&client, 200, "GET / ");
    assert_field(&client, "Connection", "close");
    assert_closed(&client);
    client_close(&client);
    client_open(&client, world);
    client_send(&client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET("/never"));
    assert_answer(&client, 200, "GET / ");
    assert_field(&client, "Connection", "close");
    assert_closed(&client);
    client_close(&client);
}

static void keeps_framing_to_itself(void **state)
{
    static struct tg_header fields[] = {
        {TG_LIT_INIT("X-Kept"), TG_LIT_INIT("1")},
        {TG_LIT_INIT("content-length"), TG_LIT_INIT("3")},
        {TG_LIT_INIT("Transfer-Encoding"), TG_LIT_INIT("chunked")},
        {TG_LIT_INIT("Connection"), TG_LIT_INIT("upgrade")},
        {TG_LIT_INIT("X-Broken"), TG_LIT_INIT("a\r\nX-Smuggled: b")},
        {TG_LIT_INIT("X Broken"), TG_LIT_INIT("a")},
        {TG_LIT_INIT("Date"), TG_LIT_INIT("today")},
        {TG_LIT_INIT("Set-Cookie"), TG_LIT_INIT("a")},
        {TG_LIT_INIT("Set-Cookie"), TG_LIT_INIT("b")},
    };
    struct world *world = *state;
    struct client client;
    world->fields = (struct tg_headers){fields, 9, 9};
    client_open(&client, world);
    for (int i = 0; i < 2; i++) {
        world->status = i == 0 ? 200 : 204;
        client_send(&client, GET("/"));
        assert_answer(&client, world->status, i == 0 ? "GET / " : "");
        assert_int_equal(client.answer.headers.count, i == 0 ? 6 : 5);
        assert_field(&client, "X-Kept", "1");
        assert_field(&client, "Connection", "keep-alive");
        assert_field(&client, "Content-Length", i == 0 ? "6" : "");
        assert_field(&client, "Date", "today");
        assert_int_equal(tg_headers_count(&client.answer.headers, TG_LIT("Set-Cookie")), 2);
    }
    client_close(&client);
}

static void refuses_what_is_no_request(void **state)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\nHost: h\n\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"\x16\x03\x01\x02", 400},
    };
    struct world *world = *state;
    struct client client;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        client_open(&client, world);
        client_send(&client, rows[i].text);
        client_answer(&client, "GET");
        assert_int_equal(client.answer.status, rows[i].status);
        assert_field(&client, "Connection", "close");
        assert_field(&client, "Content-Type", "application/json");
        assert_true(tg_slice_starts(tg_buf_slice(&client.body), TG_LIT("{\"message\":\"")));
        assert_closed(&client);
        client_close(&client);
    }
    assert_int_equal(COUNTED(world, malformed), 6);
    /* Behind requests that were in order. */
    client_open(&client, world);
    client_send(&client, GET("/1") "x\r\n\r\n" GET("/never"));
    assert_answer(&client, 200, "GET /1 ");
    client_answer(&client, "GET");
    assert_int_equal(client.answer.status, 400);
    assert_closed(&client);
    client_close(&client);
    assert_int_equal(world->count, 1);
    assert_int_equal(COUNTED(world, requests), 1);
}

static void holds_to_the_limits_of_heads(void **state)
{
    struct world *world = *state;
    char text[8192];
    struct client client;
    for (int row = 0; row < 3; row++) {
        int line = row == 0 ? 2000 : 10, value = row == 1 ? 5000 : 10, fields = row == 2 ? 60 : 1;
        int at = snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\nHost: h\r\n", line, 0);
        for (int i = 0; i < fields; i++) {
            at += snprintf(text + at, sizeof text - (size_t)at, "X: %0*d\r\n", value, 0);
        }
        (void)snprintf(text + at, sizeof text - (size_t)at, "\r\n");
        client_open(&client, world);
        client_send(&client, text);
        client_answer(&client, "GET");
        assert_int_equal(client.answer.status, row == 0 ? 414 : 431);
        assert_closed(&client);
        client_close(&client);
    }
    assert_int_equal(world->count, 0);
}

/* Also prints what an idle connection costs. */
static void holds_no_buffers_while_idle(void **state)
{
    enum { MANY = 100, MOST_BYTES = 1024 };
    static struct client clients[MANY];
    struct world *world = *state;
    /* What the process keeps for itself is there before it is counted. */
    client_open(&clients[0], world);
    client_send(&clients[0], GET("/"));
    assert_answer(&clients[0], 200, "GET / ");
    client_close(&clients[0]);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    turn(world);
    size_t before = mallinfo2().uordblks;
    world->answer = TG_LIT("ok");
    for (size_t i = 0; i < MANY; i++) {
        client_open(&clients[i], world);
        client_send(&clients[i], "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        assert_answer(&clients[i], 200, "ok");
        tg_buf_free(&clients[i].in);
        tg_buf_free(&clients[i].body);
        tg_arena_reset(&clients[i].arena);
    }
    turn(world);
    /* Under AddressSanitizer the C library counts nothing. */
    size_t bytes = (mallinfo2().uordblks - before) / MANY;
    print_message("%zu bytes an idle connection\n", bytes);
    assert_true(bytes < MOST_BYTES);
    for (size_t i = 0; i < MANY; i++) {
        client_close(&clients[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTPD_TEST(says_its_date),
        HTTPD_TEST(answers_one_request_after_another),
        HTTPD_TEST(shows_the_request_as_it_was_sent),
        HTTPD_TEST(answers_what_was_sent_at_once_in_order),
        HTTPD_TEST(reads_byte_by_byte),
        HTTPD_TEST(reads_bodies),
        HTTPD_TEST(stops_reading_what_nobody_takes),
        HTTPD_TEST(refuses_bodies_over_the_limit),
        HTTPD_TEST(reuses_a_connection_whose_body_nobody_read),
        HTTPD_TEST(tells_clients_to_continue),
        HTTPD_TEST(sends_no_body_where_there_is_none),
        HTTPD_TEST(speaks_http_1_0),
        HTTPD_TEST(keeps_framing_to_itself),
        HTTPD_TEST(refuses_what_is_no_request),
        HTTPD_TEST(holds_to_the_limits_of_heads),
        HTTPD_TEST(holds_no_buffers_while_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
