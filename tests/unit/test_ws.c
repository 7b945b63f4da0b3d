/* The WebSocket engine: adoption, messages, limits, violations, many connections. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "tests/unit/ws_world.h"

/* ---- adoption ---- */

static void answers_the_upgrade(void **state)
{
    static struct conn conn;
    int server;
    struct tg_header items[] = {
        {TG_LIT("Sec-WebSocket-Protocol"), TG_LIT("chat.v2")},
        {TG_LIT("Set-Cookie"), TG_LIT("a=b; Path=/")},
        {TG_LIT("X-Empty"), TG_EMPTY},
    };
    struct tg_headers headers = {items, 3, 3};
    conn_init(&conn, *state);
    tcp_pair(*state, &conn.fd, &server);
    assert_int_equal(adopt(&conn, server, &headers, TG_EMPTY, TG_EMPTY, &usual), TG_OK);
    expect_bytes(&conn, TG_LIT("HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                               "Sec-WebSocket-Protocol: chat.v2\r\n"
                               "Set-Cookie: a=b; Path=/\r\n"
                               "X-Empty: \r\n"
                               "\r\n"));
    client_send(&conn, 0x81, TG_LIT("hello"));
    expect_messages(&conn, "t:hello;");
    conn_done(&conn);
    assert_int_equal(conn.code, 1006);
    assert_true(conn.by_peer);
}

static void early_frames_come_later(void **state)
{
    static struct conn conn;
    int server;
    struct tg_buf early;
    tg_buf_init(&early, SIZE_MAX);
    add_masked(&early, 0x81, TG_LIT("one"));
    add_masked(&early, 0x81, TG_LIT("two"));
    add_masked(&early, 0x81, TG_LIT("three"));
    conn_init(&conn, *state);
    tcp_pair(*state, &conn.fd, &server);
    /* the last one is cut in the middle */
    struct tg_slice first = tg_slice_head(tg_buf_slice(&early), tg_buf_size(&early) - 3);
    assert_int_equal(adopt(&conn, server, NULL, TG_EMPTY, first, &usual), TG_OK);
    assert_int_equal(conn.count, 0);
    skip_answer(&conn);
    expect_messages(&conn, "t:one;t:two;");
    client_write(&conn, tg_slice_from(tg_buf_slice(&early), first.len));
    expect_messages(&conn, "t:three;");
    tg_buf_free(&early);
    conn_done(&conn);
}

static void early_frames_may_be_many(void **state)
{
    static struct conn conn;
    int server;
    struct tg_buf early;
    tg_buf_init(&early, SIZE_MAX);
    for (int i = 0; i < 5000; i++) {
        add_masked(&early, 0x81, TG_LIT("0123456789"));
    }
    conn_init(&conn, *state);
    tcp_pair(*state, &conn.fd, &server);
    assert_int_equal(adopt(&conn, server, NULL, TG_EMPTY, tg_buf_slice(&early), &usual), TG_OK);
    WAIT(&conn, conn.count == 5000);
    tg_buf_free(&early);
    conn_done(&conn);
}

static void refuses_bad_adoptions(void **state)
{
    static struct conn conn;
    int client, server;
    struct tg_header injected = {TG_LIT("X"), TG_LIT("a\r\nY: b")};
    struct tg_headers headers = {&injected, 1, 1};
    char byte;
    conn_init(&conn, *state);
    tcp_pair(*state, &client, &server);
    assert_int_equal(adopt(&conn, server, &headers, TG_EMPTY, TG_EMPTY, &usual), TG_EINVAL);
    assert_int_equal(fcntl(client, F_SETFL, 0), 0);
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    close(client);
    /* headers that do not fit */
    char *large = malloc(70000);
    assert_non_null(large);
    memset(large, 'x', 70000);
    injected.value = tg_slice_make(large, 70000);
    tcp_pair(*state, &client, &server);
    assert_int_equal(adopt(&conn, server, &headers, TG_EMPTY, TG_EMPTY, &usual), TG_ELIMIT);
    conn.fd = client;
    WAIT(&conn, conn.eof);
    assert_int_equal(tg_buf_size(&conn.in), 0);
    close(client);
    free(large);
    assert_int_equal(conn.closed, 0);
}

static void works_over_a_socket_pair(void **state)
{
    static struct conn conn;
    int pair[2];
    conn_init(&conn, *state);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    conn.fd = pair[0];
    assert_int_equal(adopt(&conn, pair[1], NULL, TG_EMPTY, TG_EMPTY, &usual), TG_OK);
    skip_answer(&conn);
    conn.echo = 1;
    client_send(&conn, 0x81, TG_LIT("hi"));
    expect_bytes(&conn, TG_LIT("\x81\x02hi"));
    conn_done(&conn);
}

/* ---- messages ---- */

static void text_goes_and_comes(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    conn.echo = 1;
    client_send(&conn, 0x81, TG_LIT("caf\xc3\xa9"));
    expect_bytes(&conn, TG_LIT("\x81\x05"
                               "caf\xc3\xa9"));
    client_send(&conn, 0x81, TG_EMPTY);
    expect_bytes(&conn, TG_LIT("\x81\x00"));
    expect_messages(&conn, "t:caf\xc3\xa9;t:;");
    conn_done(&conn);
}

static void byte_by_byte(void **state)
{
    static struct conn conn;
    struct tg_buf frames;
    tg_buf_init(&frames, SIZE_MAX);
    conn_open(&conn, *state);
    add_masked(&frames, 0x81, TG_LIT("one"));
    add_masked(&frames, 0x01, TG_LIT("t"));
    add_masked(&frames, 0x80, TG_LIT("wo"));
    for (size_t i = 0; i < tg_buf_size(&frames); i++) {
        client_write(&conn, tg_slice_make(tg_buf_slice(&frames).ptr + i, 1));
    }
    expect_messages(&conn, "t:one;t:two;");
    tg_buf_free(&frames);
    conn_done(&conn);
}

static void fragments_and_a_ping_between(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    client_send(&conn, 0x01, TG_LIT("Hel"));
    client_send(&conn, 0x89, TG_LIT("are you there"));
    expect_bytes(&conn, TG_LIT("\x8a\x0d"
                               "are you there"));
    client_send(&conn, 0x00, TG_LIT("l"));
    client_send(&conn, 0x00, TG_EMPTY);
    client_send(&conn, 0x80, TG_LIT("o"));
    expect_messages(&conn, "t:Hello;");
    WAIT(&conn, conn.pings == 1);
    client_send(&conn, 0x8a, TG_LIT("pong"));
    WAIT(&conn, conn.pongs == 1);
    assert_int_equal(conn.pings, 1);
    assert_int_equal(conn.count, 1);
    assert_int_equal(conn.writables, 0);
    conn_done(&conn);
}

static void characters_across_fragments(void **state)
{
    static struct conn conn;
    conn_open(&conn, *state);
    client_send(&conn, 0x01, TG_LIT("\xe2"));
    client_send(&conn, 0x00, TG_LIT("\x82"));
    client_send(&conn, 0x80, TG_LIT("\xac"));
    expect_messages(&conn, "t:\xe2\x82\xac;");
    conn_done(&conn);
}

static void large_messages(void **state)
{
    static const struct tg_ws_limits wide = {
        .max_frame = 1 << 20, .max_message = 1 << 20, .close_timeout_ms = 2000};
    static const size_t sizes[] = {125, 126, 127, 1023, 1024, 1025, 1040, 65535, 65536, 300000};
    static struct conn conn;
    conn_open_with(&conn, *state, &wide);
    conn.echo = 1;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = filled(sizes[i]);
        char *frame = malloc(sizes[i] + 10);
        assert_non_null(frame);
        size_t len = put_frame(frame, 0x81, text, sizes[i]);
        client_send(&conn, 0x81, tg_slice_make(text, sizes[i]));
        expect_bytes(&conn, tg_slice_make(frame, len));
        free(frame);
        free(text);
    }
    conn_done(&conn);
}

/* ---- limits and refusals ---- */

static void limits_are_exact(void **state)
{
    static struct conn conn;
    char *text = filled(131073);
    conn_open(&conn, *state);
    client_send(&conn, 0x81, tg_slice_make(text, 32768));
    WAIT(&conn, conn.count == 1);
    assert_int_equal(conn.last_len, 32768);
    client_send(&conn, 0x01, tg_slice_make(text, 32768));
    client_send(&conn, 0x00, tg_slice_make(text, 32768));
    client_send(&conn, 0x00, tg_slice_make(text, 32768));
    client_send(&conn, 0x80, tg_slice_make(text, 32768));
    WAIT(&conn, conn.count == 2);
    assert_int_equal(conn.last_len, 131072);
    conn_done(&conn);

    conn_open(&conn, *state);
    client_send(&conn, 0x81, tg_slice_make(text, 32769));
    expect_close_frame(&conn, 1009, "Message too big");
    client_send(&conn, 0x88, TG_LIT("\x03\xf1"));
    expect_end(&conn, 1009, "Message too big", false);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);

    conn_open(&conn, *state);
    for (int i = 0; i < 4; i++) {
        client_send(&conn, i == 0 ? 0x01 : 0x00, tg_slice_make(text, 32768));
    }
    client_send(&conn, 0x80, tg_slice_make(text, 1));
    expect_close_frame(&conn, 1009, "Message too big");
    client_send(&conn, 0x88, TG_LIT("\x03\xf1"));
    expect_end(&conn, 1009, "Message too big", false);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);
    free(text);
}

/* Refused by their headers, the mask and the payload are not waited for. */
static void announced_lengths_are_enough(void **state)
{
    static const struct tg_slice heads[] = {
        TG_LIT_INIT("\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00"),
        TG_LIT_INIT("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff"),
        TG_LIT_INIT("\x81\xfe\x80\x01"),
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        static struct conn conn;
        conn_open(&conn, *state);
        client_write(&conn, heads[i]);
        expect_close_frame(&conn, 1009, "Message too big");
        expect_end(&conn, 1009, "Message too big", false);
        WAIT(&conn, conn.eof);
        conn_done(&conn);
    }
}

static void bad_text_is_refused_before_it_ends(void **state)
{
    static const struct tg_slice heads[] = {
        TG_LIT_INIT("\x81\xfe\x10\x00" ZERO "abc\xff"),                     /* of 4096 bytes */
        TG_LIT_INIT("\x01\x84" ZERO "abc\xed\x00\xfe\x10\x00" ZERO "\xa0"), /* over two frames */
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        static struct conn conn;
        conn_open(&conn, *state);
        client_write(&conn, heads[i]);
        expect_close_frame(&conn, 1007, "");
        expect_end(&conn, 1007, "", false);
        conn_done(&conn);
    }
}

static void every_ping_is_answered(void **state)
{
    static struct conn conn;
    struct tg_buf frames;
    tg_buf_init(&frames, SIZE_MAX);
    conn_open(&conn, *state);
    add_masked(&frames, 0x89, TG_LIT("one"));
    add_masked(&frames, 0x89, TG_EMPTY);
    add_masked(&frames, 0x81, TG_LIT("text"));
    add_masked(&frames, 0x8a, TG_EMPTY);
    add_masked(&frames, 0x89, TG_LIT("three"));
    client_write(&conn, tg_buf_slice(&frames));
    expect_bytes(&conn, TG_LIT("\x8a\x03one\x8a\x00\x8a\x05three"));
    assert_int_equal(conn.pings, 3);
    assert_int_equal(conn.pongs, 1);
    assert_int_equal(conn.count, 1);
    tg_buf_free(&frames);
    conn_done(&conn);
}

static void binary_as_told(void **state)
{
    static struct conn conn;
    struct tg_ws_limits limits = usual;
    conn_open(&conn, *state);
    client_send(&conn, 0x82, TG_LIT("\x00\xff"));
    expect_close_frame(&conn, 1003, "Binary is not supported");
    client_send(&conn, 0x88, TG_LIT("\x03\xeb"));
    expect_end(&conn, 1003, "Binary is not supported", false);
    assert_int_equal(conn.count, 0);
    conn_done(&conn);
    limits.binary = true;
    conn_open_with(&conn, *state, &limits);
    client_send(&conn, 0x82, TG_LIT("\x80\xff"));
    expect_messages(&conn, "b:\x80\xff;");
    conn_done(&conn);
}

struct violation {
    struct tg_slice bytes; /* as the client sends them, masks of zero */
    int code;
};

static const struct violation violations[] = {
    {TG_LIT_INIT("\x91\x80" ZERO), 1002},                         /* RSV3 */
    {TG_LIT_INIT("\xa1\x81" ZERO "a"), 1002},                     /* RSV2 */
    {TG_LIT_INIT("\xc1\x81" ZERO "a"), 1002},                     /* RSV1, nothing negotiated */
    {TG_LIT_INIT("\xc9\x80" ZERO), 1002},                         /* RSV1 on a ping */
    {TG_LIT_INIT("\x83\x80" ZERO), 1002},                         /* opcode 3 */
    {TG_LIT_INIT("\x87\x81" ZERO "a"), 1002},                     /* opcode 7 */
    {TG_LIT_INIT("\x8b\x80" ZERO), 1002},                         /* opcode 11 */
    {TG_LIT_INIT("\x8f\x80" ZERO), 1002},                         /* opcode 15 */
    {TG_LIT_INIT("\x09\x80" ZERO), 1002},                         /* ping in fragments */
    {TG_LIT_INIT("\x08\x82" ZERO "\x03\xe8"), 1002},              /* close in fragments */
    {TG_LIT_INIT("\x89\xfe\x00\x7e" ZERO), 1002},                 /* ping of 126 bytes */
    {TG_LIT_INIT("\x88\xfe\x00\x7e" ZERO), 1002},                 /* close of 126 bytes */
    {TG_LIT_INIT("\x8a\xff\0\0\0\0\0\0\0\x7e" ZERO), 1002},       /* pong, 64-bit length */
    {TG_LIT_INIT("\x80\x81" ZERO "a"), 1002},                     /* nothing to continue */
    {TG_LIT_INIT("\x01\x81" ZERO "a\x81\x81" ZERO "b"), 1002},    /* text inside a message */
    {TG_LIT_INIT("\x81\xff\x80\0\0\0\0\0\0\x01" ZERO), 1002},     /* length of 2^63 and more */
    {TG_LIT_INIT("\x81\x01x"), 1002},                             /* no mask */
    {TG_LIT_INIT("\x89\x00"), 1002},                              /* no mask on a ping */
    {TG_LIT_INIT("\x81\xfe\x00\x01" ZERO "a"), 1002},             /* one byte in the form of many */
    {TG_LIT_INIT("\x81\xff\0\0\0\0\0\0\x80\x01" ZERO "a"), 1002}, /* likewise */
    {TG_LIT_INIT("\x81\x81" ZERO "\xff"), 1007},                  /* not UTF-8 */
    {TG_LIT_INIT("\x81\x82" ZERO "\xc0\x80"), 1007},              /* overlong */
    {TG_LIT_INIT("\x81\x83" ZERO "\xed\xa0\x80"), 1007},          /* surrogate */
    {TG_LIT_INIT("\x81\x82" ZERO "\xe2\x82"), 1007},              /* ends in a character */
    {TG_LIT_INIT("\x01\x81" ZERO "\xe2\x80\x81" ZERO "a"), 1007}, /* the same over two frames */
    {TG_LIT_INIT("\x01\x81" ZERO "\xe2\x80\x80" ZERO), 1007},     /* then nothing */
};

static void violations_are_refused(void **state)
{
    for (size_t i = 0; i < sizeof(violations) / sizeof(violations[0]); i++) {
        static struct conn conn;
        conn_open(&conn, *state);
        client_write(&conn, violations[i].bytes);
        expect_close_frame(&conn, violations[i].code, "");
        conn_done(&conn);
        assert_int_equal(conn.code, violations[i].code);
        assert_string_equal(conn.reason, "");
        assert_false(conn.by_peer);
        assert_int_equal(conn.count, 0);
    }
}

/* ---- many ---- */

static void churn(struct side *side, int rounds, int at_once)
{
    struct conn *conns = calloc((size_t)at_once, sizeof(*conns));
    assert_non_null(conns);
    struct linger linger = {1, 0};
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < at_once; i++) {
            conn_open(&conns[i], side);
            conns[i].echo = 1;
        }
        for (int i = 0; i < at_once; i++) {
            struct conn *conn = &conns[i];
            client_send(conn, 0x81, TG_LIT("hi"));
            expect_bytes(conn, TG_LIT("\x81\x02hi"));
            switch (i % 4) {
            case 0:
                client_send(conn, 0x88, TG_LIT("\x03\xe8"));
                break;
            case 1:
                server_close(conn, 1001, TG_LIT("Going away"));
                break;
            case 2:
                assert_int_equal(setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
                break;
            default:
                server_close(conn, 0, TG_EMPTY);
                break;
            }
        }
        for (int i = 0; i < at_once; i++) {
            static const int codes[] = {1000, 1001, 1006, 1006};
            conn_done(&conns[i]);
            assert_int_equal(conns[i].code, codes[i % 4]);
        }
    }
    free(conns);
}

static void two_thousand_come_and_go(void **state)
{
    churn(*state, 20, 100);
}

static void *worker(void *arg)
{
    churn(arg, 5, 50);
    return NULL;
}

static void two_engines_on_two_threads(void **state)
{
    struct side other;
    pthread_t threads[2];
    side_open(&other);
    assert_int_equal(pthread_create(&threads[0], NULL, worker, *state), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, worker, &other), 0);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    side_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_the_upgrade),
        TEST(early_frames_come_later),
        TEST(early_frames_may_be_many),
        TEST(refuses_bad_adoptions),
        TEST(works_over_a_socket_pair),
        TEST(text_goes_and_comes),
        TEST(byte_by_byte),
        TEST(fragments_and_a_ping_between),
        TEST(characters_across_fragments),
        TEST(every_ping_is_answered),
        TEST(large_messages),
        TEST(limits_are_exact),
        TEST(announced_lengths_are_enough),
        TEST(bad_text_is_refused_before_it_ends),
        TEST(binary_as_told),
        TEST(violations_are_refused),
        TEST(two_thousand_come_and_go),
        TEST(two_engines_on_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
