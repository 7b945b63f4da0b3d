/* The ends of runs in heads, which are looked for eight or sixteen bytes at a time: wherever one is, it is
 * where the table of classes says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/io/http1_private.h"

struct way {
    const char *(*end_of)(const char *at, const char *end);
    unsigned char class;
    const char *fill; /* what runs are made of */
};

static const struct way ways[] = {
    {tg_http1_skip_name, TG_HTTP1_TOKEN, "Az-0_"},
    {tg_http1_skip_value, TG_HTTP1_VALUE, "v \xff~\t"},
    {tg_http1_skip_target, TG_HTTP1_TARGET, "/a~!?"},
};

enum { WAYS = sizeof ways / sizeof ways[0], LONGEST = 37 };

static const char *plainly(const char *at, const char *end, unsigned char class)
{
    while (at < end && tg_http1_is(*at, class)) {
        at++;
    }
    return at;
}

/* Every byte at every place of runs of every length, alone and before another. The bytes end where their
 * block does, so that reading past them is seen. */
static void end_where_the_table_says(void **state)
{
    (void)state;
    for (size_t w = 0; w < WAYS; w++) {
        const struct way *way = &ways[w];
        for (size_t len = 0; len <= LONGEST; len++) {
            char *bytes = malloc(len + 1);
            assert_non_null(bytes);
            for (size_t i = 0; i < len * 5 * 256 || (len == 0 && i == 0); i++) {
                size_t place = len > 0 ? i / 256 / 5 : 0;
                memset(bytes, way->fill[i / 256 % 5], len);
                if (len > 0) {
                    bytes[place] = (char)i;
                }
                if (place + 2 < len) {
                    bytes[place + 2] = '\r';
                }
                assert_ptr_equal(way->end_of(bytes, bytes + len), plainly(bytes, bytes + len, way->class));
            }
            free(bytes);
        }
    }
}

/* Heads that are read at once, and those whose end is looked for first, by line: the same, wherever a byte is
 * wrong. */
static void both_ways_read_the_same(void **state)
{
    static const char head[] = "\r\nPOST /prod/@connections/id%3D?a=b HTTP/1.1\r\nHost: example.com:80\r\n"
                               "Content-Length: 5\r\nX-Y: \t v w \t\r\nConnection: close, x\r\n\r\nhello";
    static const char changes[] = "\r\n\t :0aZ\x7f\x80\xff#-";
    static const struct tg_http1_limits limits = {.line = 60, .head = 160, .count = 4};
    (void)state;
    size_t reads = 0;
    for (size_t i = 0; i < (sizeof head - 1) * sizeof changes * 2; i++) {
        char text[sizeof head];
        struct tg_arena arenas[2];
        struct tg_http1_request requests[2];
        struct tg_http1_fault faults[2] = {{0}};
        size_t lens[2] = {0, 0};
        enum tg_err errs[2];
        size_t at = i / 2 / sizeof changes;
        struct tg_slice bytes = tg_slice_make(text, i % 2 == 0 ? sizeof head - 1 : at + 1);
        memcpy(text, head, sizeof head);
        text[at] = changes[i / 2 % sizeof changes];
        for (size_t way = 0; way < 2; way++) {
            size_t scanned = way; /* as if the first byte had come before */
            tg_arena_init(&arenas[way], NULL);
            errs[way] = tg_http1_parse_request(bytes, &scanned, &limits, &arenas[way], &requests[way],
                                               &lens[way], &faults[way]);
        }
        assert_int_equal(errs[0], errs[1]);
        assert_int_equal(lens[0], lens[1]);
        if (errs[0] == TG_EPROTO) {
            assert_int_equal(faults[0].status, faults[1].status);
            assert_ptr_equal(faults[0].reason, faults[1].reason);
        } else if (errs[0] == TG_OK) {
            reads++;
            assert_int_equal(requests[0].headers.count, requests[1].headers.count);
            assert_true(requests[0].content_length == requests[1].content_length);
            assert_int_equal(requests[0].framing, requests[1].framing);
            assert_int_equal(requests[0].keep_alive, requests[1].keep_alive);
            assert_ptr_equal(requests[0].host.ptr, requests[1].host.ptr);
        }
        tg_arena_reset(&arenas[0]);
        tg_arena_reset(&arenas[1]);
    }
    assert_true(reads > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(end_where_the_table_says),
        cmocka_unit_test(both_ways_read_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
