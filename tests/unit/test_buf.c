#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/base/buf.h"
#include "server/base/crypto.h"

static void assert_holds(const struct tg_buf *buf, const char *expected)
{
    assert_int_equal(tg_buf_size(buf), strlen(expected));
    assert_int_equal(tg_buf_slice(buf).len, strlen(expected));
    assert_memory_equal(tg_buf_slice(buf).len > 0 ? tg_buf_slice(buf).ptr : "", expected, strlen(expected));
}

static void appends_in_order(void **state)
{
    (void)state;
    struct tg_buf buf;
    tg_buf_init(&buf, SIZE_MAX);
    assert_holds(&buf, "");
    assert_int_equal(tg_buf_append(&buf, TG_LIT("ab")), TG_OK);
    assert_int_equal(tg_buf_append(&buf, TG_EMPTY), TG_OK);
    assert_int_equal(tg_buf_append_char(&buf, '-'), TG_OK);
    assert_int_equal(tg_buf_append_u64(&buf, 0), TG_OK);
    assert_int_equal(tg_buf_append_u64(&buf, UINT64_MAX), TG_OK);
    assert_int_equal(tg_buf_printf(&buf, "%s/%d", "x", -1), TG_OK);
    assert_holds(&buf, "ab-018446744073709551615x/-1");
    tg_buf_free(&buf);
    assert_holds(&buf, "");
    assert_int_equal(tg_buf_append(&buf, TG_LIT("again")), TG_OK);
    assert_holds(&buf, "again");
    tg_buf_free(&buf);
}

static void consumes_from_the_front(void **state)
{
    (void)state;
    struct tg_buf buf;
    tg_buf_init(&buf, SIZE_MAX);
    assert_int_equal(tg_buf_append(&buf, TG_LIT("abcdef")), TG_OK);
    tg_buf_consume(&buf, 2);
    assert_holds(&buf, "cdef");
    tg_buf_consume(&buf, 0);
    assert_int_equal(tg_buf_append(&buf, TG_LIT("g")), TG_OK);
    assert_holds(&buf, "cdefg");
    tg_buf_consume(&buf, 5);
    assert_holds(&buf, "");
    assert_int_equal(buf.off, 0);
    assert_int_equal(tg_buf_append(&buf, TG_LIT("h")), TG_OK);
    tg_buf_clear(&buf);
    assert_holds(&buf, "");
    tg_buf_free(&buf);
}

static void what_passes_the_limit_is_refused_whole(void **state)
{
    (void)state;
    struct tg_buf buf;
    char *space = NULL;
    tg_buf_init(&buf, 8);
    assert_int_equal(tg_buf_append(&buf, TG_LIT("12345678")), TG_OK);
    assert_int_equal(tg_buf_append_char(&buf, '9'), TG_ELIMIT);
    assert_int_equal(tg_buf_reserve(&buf, SIZE_MAX, &space), TG_ELIMIT);
    assert_null(space);
    assert_holds(&buf, "12345678");
    tg_buf_consume(&buf, 3);
    assert_int_equal(tg_buf_append(&buf, TG_LIT("abc")), TG_OK);
    assert_int_equal(tg_buf_append_char(&buf, 'd'), TG_ELIMIT);
    assert_holds(&buf, "45678abc");
    tg_buf_free(&buf);
}

static void printf_reaches_the_limit(void **state)
{
    (void)state;
    struct tg_buf buf;
    tg_buf_init(&buf, 4);
    assert_int_equal(tg_buf_printf(&buf, "%d", 12345), TG_ELIMIT);
    assert_int_equal(tg_buf_printf(&buf, "%d", 123), TG_OK);
    assert_holds(&buf, "123");
    tg_buf_free(&buf);
}

static void reserved_space_counts_once_committed(void **state)
{
    (void)state;
    struct tg_buf buf;
    char *space;
    tg_buf_init(&buf, 1000);
    assert_int_equal(tg_buf_reserve(&buf, 1000, &space), TG_OK);
    memset(space, 'x', 1000);
    assert_int_equal(tg_buf_size(&buf), 0);
    tg_buf_commit(&buf, 3);
    assert_holds(&buf, "xxx");
    tg_buf_free(&buf);
}

static void does_not_grow_for_a_stream_that_is_consumed(void **state)
{
    (void)state;
    struct tg_buf buf;
    tg_buf_init(&buf, SIZE_MAX);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(tg_buf_append(&buf, TG_LIT("0123456789")), TG_OK);
        if (i > 0) {
            tg_buf_consume(&buf, 10);
        }
    }
    assert_holds(&buf, "0123456789");
    assert_true(buf.cap <= 1024);
    tg_buf_free(&buf);
}

/* Against a model: a stream of numbered bytes, appended and consumed by chance. */
static void keeps_every_byte_under_random_use(void **state)
{
    (void)state;
    struct tg_buf buf;
    struct tg_rng rng;
    size_t written = 0, consumed = 0;
    tg_buf_init(&buf, 5000);
    tg_rng_seed(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        uint64_t chance = tg_rng_next(&rng);
        size_t len = (size_t)(chance >> 8) % 700;
        if ((chance & 1) != 0) {
            char bytes[700];
            for (size_t j = 0; j < len; j++) {
                bytes[j] = (char)((written + j) % 251);
            }
            enum tg_err err = tg_buf_append(&buf, tg_slice_make(bytes, len));
            assert_int_equal(err, written - consumed + len > 5000 ? TG_ELIMIT : TG_OK);
            written += err == TG_OK ? len : 0;
        } else {
            len = len < tg_buf_size(&buf) ? len : tg_buf_size(&buf);
            tg_buf_consume(&buf, len);
            consumed += len;
        }
        struct tg_slice held = tg_buf_slice(&buf);
        assert_int_equal(held.len, written - consumed);
        for (size_t j = 0; j < held.len; j++) {
            if (held.ptr[j] != (char)((consumed + j) % 251)) {
                fail_msg("byte %zu is wrong", consumed + j);
            }
        }
    }
    tg_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_in_order),
        cmocka_unit_test(consumes_from_the_front),
        cmocka_unit_test(what_passes_the_limit_is_refused_whole),
        cmocka_unit_test(printf_reaches_the_limit),
        cmocka_unit_test(reserved_space_counts_once_committed),
        cmocka_unit_test(does_not_grow_for_a_stream_that_is_consumed),
        cmocka_unit_test(keeps_every_byte_under_random_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
