/* The WebSocket engine: permessage-deflate, inbound. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <zlib.h>

#include "tests/unit/ws_world.h"

/* ---- permessage-deflate ---- */

static const struct tg_ws_limits deflating = {
    .max_frame = 32768, .max_message = 131072, .deflate = true, .close_timeout_ms = 2000};

/* A message as a client compresses it: raw deflate, without the last four bytes. */
static void deflated(struct tg_buf *out, struct tg_slice text)
{
    z_stream stream = {0};
    size_t cap = text.len + 1024;
    char *space = malloc(cap);
    assert_non_null(space);
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)text.ptr;
    stream.avail_in = (uInt)text.len;
    stream.next_out = (Bytef *)space;
    stream.avail_out = (uInt)cap;
    assert_int_equal(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    append(out, tg_slice_make(space, cap - stream.avail_out - 4));
    deflateEnd(&stream);
    free(space);
}

static void conn_open_deflating(struct conn *conn, struct side *side, const char *offer, const char *answer)
{
    int server;
    conn_init(conn, side);
    tcp_pair(side, &conn->fd, &server);
    assert_int_equal(adopt(conn, server, NULL, tg_slice_cstr(offer), TG_EMPTY, &deflating), TG_OK);
    WAIT(conn, tg_slice_find_slice(tg_buf_slice(&conn->in), TG_LIT("\r\n\r\n")) < tg_buf_size(&conn->in));
    struct tg_slice name = TG_LIT("Sec-WebSocket-Extensions: ");
    struct tg_slice head = tg_buf_slice(&conn->in);
    size_t at = tg_slice_find_slice(head, name);
    if (answer == NULL) {
        assert_int_equal(at, head.len);
    } else {
        struct tg_slice rest;
        struct tg_slice line = tg_slice_cut(tg_slice_from(head, at + name.len), '\r', &rest);
        assert_true(tg_slice_eq(line, tg_slice_cstr(answer)));
    }
    skip_answer(conn);
}

static const char no_takeover[] =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

static void deflate_is_negotiated(void **state)
{
    static const struct {
        const char *offer, *answer;
    } cases[] = {
        {"permessage-deflate", no_takeover},
        {"permessage-deflate; client_max_window_bits", no_takeover},
        {"x-webkit-deflate-frame, permessage-deflate ;client_max_window_bits=10;server_no_context_takeover",
         no_takeover},
        {"permessage-deflate; server_max_window_bits=10, permessage-deflate", no_takeover},
        {"permessage-deflate; server_max_window_bits=10", NULL},
        {"permessage-deflate; unheard_of", NULL},
        {"permessage-deflate; client_no_context_takeover=1", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct conn conn;
        conn_open_deflating(&conn, *state, cases[i].offer, cases[i].answer);
        conn.echo = 1;
        client_send(&conn, 0x81, TG_LIT("plain"));
        expect_bytes(&conn, TG_LIT("\x81\x05plain"));
        conn_done(&conn);
    }
}

static void deflated_messages_arrive(void **state)
{
    static const size_t sizes[] = {0, 1, 5, 1000, 4096, 20000, 131072};
    static struct conn conn;
    conn_open_deflating(&conn, *state, "permessage-deflate; client_max_window_bits", no_takeover);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = filled(sizes[i] + 1);
        struct tg_buf body;
        tg_buf_init(&body, SIZE_MAX);
        deflated(&body, tg_slice_make(text, sizes[i]));
        client_send(&conn, 0xc1, tg_buf_slice(&body));
        WAIT(&conn, conn.count == (int)i + 1); /* each one, without another event behind it */
        assert_int_equal(conn.last_len, sizes[i]);
        tg_buf_free(&body);
        free(text);
    }
    conn.echo = 1;
    client_send(&conn, 0x81, TG_LIT("plain"));
    expect_bytes(&conn, TG_LIT("\x81\x05plain")); /* what goes out is not compressed */
    conn_done(&conn);
}

static void deflated_fragments_and_control(void **state)
{
    static struct conn conn;
    struct tg_buf body;
    tg_buf_init(&body, SIZE_MAX);
    deflated(&body, TG_LIT("Hello Hello Hello"));
    conn_open_deflating(&conn, *state, "permessage-deflate", no_takeover);
    struct tg_slice bytes = tg_buf_slice(&body);
    client_send(&conn, 0x41, tg_slice_head(bytes, 3));
    client_send(&conn, 0x89, TG_LIT("p"));
    client_send(&conn, 0x00, TG_EMPTY);
    client_send(&conn, 0x80, tg_slice_from(bytes, 3));
    expect_messages(&conn, "t:Hello Hello Hello;");
    expect_bytes(&conn, TG_LIT("\x8a\x01p"));
    tg_buf_free(&body);
    conn_done(&conn);
}

static void bad_deflate_is_refused(void **state)
{
    static const struct {
        struct tg_slice bytes;
        int code;
        const char *reason;
    } cases[] = {
        {TG_LIT_INIT("\xc1\x83" ZERO "\xff\xff\xff"), 1007, ""},                 /* no such block */
        {TG_LIT_INIT("\xc1\x82" ZERO "\xf2\x48"), 1007, ""},                     /* cut in the middle */
        {TG_LIT_INIT("\x41\x81" ZERO "\xf2\xc0\x81" ZERO "\x48"), 1002, ""},     /* RSV1 on the second */
        {TG_LIT_INIT("\xca\x81" ZERO "x"), 1002, ""},                            /* RSV1 on a pong */
        {TG_LIT_INIT("\xc8\x82" ZERO "\x03\xe8"), 1002, ""},                     /* RSV1 on a close */
        {TG_LIT_INIT("\xa1\x81" ZERO "x"), 1002, ""},                            /* RSV2 */
        {TG_LIT_INIT("\xc1\x87" ZERO "\xf2\xff\x48\xcd\xc9\xc9\x07"), 1007, ""}, /* no such distance */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct conn conn;
        conn_open_deflating(&conn, *state, "permessage-deflate", no_takeover);
        client_write(&conn, cases[i].bytes);
        expect_close_frame(&conn, cases[i].code, cases[i].reason);
        conn_done(&conn);
        assert_int_equal(conn.code, cases[i].code);
        assert_int_equal(conn.count, 0);
    }
}

static void final_blocks_are_read(void **state)
{
    static struct conn conn;
    conn_open_deflating(&conn, *state, "permessage-deflate", no_takeover);
    client_write(&conn,
                 TG_LIT("\xc1\x88" ZERO "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")); /* RFC 7692 section 7.2.3.4 */
    expect_messages(&conn, "t:Hello;");
    client_write(&conn, TG_LIT("\xc1\x87" ZERO "\xf2\x48\xcd\xc9\xc9\x07\x00")); /* section 7.2.3.1 */
    expect_messages(&conn, "t:Hello;");
    conn_done(&conn);
}

static void bombs_do_not_go_off(void **state)
{
    static struct conn conn;
    struct tg_buf body;
    char *zeros = calloc(1, 8 << 20);
    assert_non_null(zeros);
    memset(zeros, 'z', 8 << 20);
    tg_buf_init(&body, SIZE_MAX);
    deflated(&body, tg_slice_make(zeros, 8 << 20));
    assert_true(tg_buf_size(&body) < 32768);
    conn_open_deflating(&conn, *state, "permessage-deflate", no_takeover);
    client_send(&conn, 0xc1, tg_buf_slice(&body));
    expect_close_frame(&conn, 1009, "Message too big");
    conn_done(&conn);
    assert_int_equal(conn.count, 0);
    tg_buf_free(&body);
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(deflate_is_negotiated),  TEST(deflated_messages_arrive), TEST(deflated_fragments_and_control),
        TEST(bad_deflate_is_refused), TEST(final_blocks_are_read),    TEST(bombs_do_not_go_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
