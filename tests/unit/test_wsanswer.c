#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/io/wsanswer.h"

static const struct tg_slice key = TG_LIT_INIT("dGhlIHNhbXBsZSBub25jZQ=="); /* RFC 6455 section 1.3 */

static void accepts_keys(void **state)
{
    struct tg_buf out;
    (void)state;
    tg_buf_init(&out, SIZE_MAX);
    assert_int_equal(tg_ws_accept_key(&out, key), TG_OK);
    assert_int_equal(tg_buf_size(&out), TG_WS_ACCEPT_LEN);
    assert_true(tg_slice_eq(tg_buf_slice(&out), TG_LIT("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    tg_buf_free(&out);
}

static void writes_the_answer(void **state)
{
    struct tg_header items[] = {{TG_LIT("Sec-WebSocket-Protocol"), TG_LIT("chat")},
                                {TG_LIT("X-Empty"), TG_EMPTY}};
    const struct tg_headers headers = {items, 2, 2}, none = {0};
    struct tg_buf out;
    (void)state;
    tg_buf_init(&out, SIZE_MAX);
    assert_int_equal(tg_ws_write_answer(&out, key, TG_LIT("permessage-deflate"), &headers), TG_OK);
    assert_true(
        tg_slice_eq(tg_buf_slice(&out), TG_LIT("HTTP/1.1 101 Switching Protocols\r\n"
                                               "Upgrade: websocket\r\n"
                                               "Connection: Upgrade\r\n"
                                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                                               "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                                               "Sec-WebSocket-Protocol: chat\r\n"
                                               "X-Empty: \r\n"
                                               "\r\n")));
    tg_buf_clear(&out);
    assert_int_equal(tg_ws_write_answer(&out, key, TG_EMPTY, &none), TG_OK);
    struct tg_slice plain = tg_buf_slice(&out);
    assert_int_equal(tg_slice_find_slice(plain, TG_LIT("Extensions")), plain.len);
    assert_true(tg_slice_ends(plain, TG_LIT("=\r\n\r\n")));
    tg_buf_free(&out);
}

static void refuses_what_cannot_be_written(void **state)
{
    struct tg_header header = {TG_LIT("X"), TG_LIT("a\r\nY: b")};
    const struct tg_headers headers = {&header, 1, 1}, none = {0};
    struct tg_buf out;
    (void)state;
    tg_buf_init(&out, 200);
    assert_int_equal(tg_ws_write_answer(&out, key, TG_EMPTY, &headers), TG_EINVAL);
    header = (struct tg_header){TG_LIT("X Y"), TG_LIT("a")};
    assert_int_equal(tg_ws_write_answer(&out, key, TG_EMPTY, &headers), TG_EINVAL);
    assert_int_equal(tg_ws_write_answer(&out, TG_EMPTY, TG_EMPTY, &none), TG_EINVAL);
    assert_int_equal(tg_buf_size(&out), 0);
    char large[200] = {0};
    memset(large, 'x', sizeof large);
    header = (struct tg_header){TG_LIT("X"), tg_slice_make(large, sizeof large)};
    assert_int_equal(tg_ws_write_answer(&out, key, TG_EMPTY, &headers), TG_ELIMIT);
    tg_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_keys),
        cmocka_unit_test(writes_the_answer),
        cmocka_unit_test(refuses_what_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
