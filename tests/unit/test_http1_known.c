/* Fields that are compared with earlier ones instead of being read: whatever comes, it is as if it were read.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/io/http1_private.h"

static const struct tg_http1_limits usual = {.line = 100, .head = 4096, .count = 30};

/* Room for what a head comes to. */
struct read {
    struct tg_arena arena;
    struct tg_http1_request request;
    size_t len;
    enum tg_err err;
};

static void read_known(struct tg_http1_known *known, struct tg_http1_hint *hint, struct tg_slice bytes,
                       const struct tg_http1_limits *limits, struct read *out)
{
    tg_arena_init(&out->arena, NULL);
    out->err = tg_http1_parse_known(bytes, limits, known, hint, &out->arena, &out->request, &out->len);
}

static void same_slice(struct tg_slice a, struct tg_slice b)
{
    assert_int_equal(a.len, b.len);
    assert_true(a.len == 0 || a.ptr == b.ptr);
}

/* Reads it by way of the table and without: what comes out must be the same, or tg_http1_parse_request is to
 * be asked. Returns whether it was read. */
static bool agrees(struct tg_http1_known *known, struct tg_http1_hint *hint, struct tg_slice bytes,
                   const struct tg_http1_limits *limits)
{
    struct read plain, way;
    struct tg_http1_fault fault;
    size_t scanned = 0;
    tg_arena_init(&plain.arena, NULL);
    plain.err =
        tg_http1_parse_request(bytes, &scanned, limits, &plain.arena, &plain.request, &plain.len, &fault);
    read_known(known, hint, bytes, limits, &way);
    if (way.err == TG_OK) {
        const struct tg_http1_request *a = &way.request, *b = &plain.request;
        assert_int_equal(plain.err, TG_OK);
        assert_int_equal(way.len, plain.len);
        same_slice(a->method, b->method);
        same_slice(a->target, b->target);
        same_slice(a->path, b->path);
        same_slice(a->query, b->query);
        same_slice(a->host, b->host);
        assert_int_equal(a->minor, b->minor);
        assert_int_equal(a->keep_alive, b->keep_alive);
        assert_int_equal(a->expect_continue, b->expect_continue);
        assert_int_equal(a->has_upgrade, b->has_upgrade);
        assert_int_equal(a->framing, b->framing);
        assert_true(a->content_length == b->content_length);
        assert_int_equal(a->headers.count, b->headers.count);
        for (size_t i = 0; i < a->headers.count; i++) {
            same_slice(a->headers.items[i].name, b->headers.items[i].name);
            same_slice(a->headers.items[i].value, b->headers.items[i].value);
        }
    } else {
        assert_int_equal(way.err, TG_EAGAIN);
        assert_int_not_equal(plain.err, TG_OK);
    }
    tg_arena_reset(&plain.arena);
    tg_arena_reset(&way.arena);
    return way.err == TG_OK;
}

static struct tg_http1_known *new_table(void)
{
    struct tg_http1_known *known;
    assert_int_equal(tg_http1_known_new(&known), TG_OK);
    return known;
}

/* Whether this text's fields are those of the hint. */
static bool recalls(struct tg_http1_known *known, struct tg_http1_hint hint, const char *fields, size_t limit)
{
    struct tg_arena arena;
    struct tg_http1_fields out;
    tg_arena_init(&arena, NULL);
    size_t len = tg_http1_recall(known, &hint, fields, fields + strlen(fields), limit, &arena, &out);
    tg_arena_reset(&arena);
    return len > 0;
}

#define POST   "POST /prod/@connections/a%3D?x=1 HTTP/1.1\r\n"
#define BEFORE "Host: example.com:80\r\nAccept:\r\nX-Y: \t v w \t\r\n"
#define AFTER  "Expect: 100-continue\r\nConnection: x, keep-alive\r\nEmpty:\r\n\r\n"

static const char *const heads[] = {
    POST BEFORE "Content-Length: 5\r\n" AFTER "hello",
    POST "content-length:\t5 \r\n" BEFORE AFTER "hello",
    POST BEFORE AFTER,
    "GET http://other/ HTTP/1.1\r\n" BEFORE
    "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nUpgrade: websocket\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
};
enum { HEADS = sizeof heads / sizeof heads[0] };

/* Any byte changed, at any place, or bytes missing at the end; the head before was known. */
static void as_if_it_were_read(void **state)
{
    static const char changes[] = "\r\n\t :09aZ\x7f\x80#-";
    (void)state;
    size_t reads = 0;
    for (size_t h = 0; h < HEADS; h++) {
        size_t len = strlen(heads[h]);
        struct tg_slice whole = tg_slice_make(heads[h], len);
        struct tg_http1_known *known = new_table();
        struct tg_http1_hint hint = {0};
        assert_true(agrees(known, &hint, whole, &usual) && agrees(known, &hint, whole, &usual));
        assert_true(hint.stamp > 0);
        for (size_t i = 0; i < len * sizeof changes * 2; i++) {
            struct tg_http1_hint one = {hint.stamp, 100}; /* which learns nothing */
            size_t at = i / 2 / sizeof changes, cut = i % 2 == 0 ? len : at + 1;
            char *text = malloc(cut);
            assert_non_null(text);
            memcpy(text, heads[h], cut);
            text[at] = changes[i / 2 % sizeof changes];
            reads += agrees(known, &one, tg_slice_make(text, cut), &usual);
            free(text);
        }
        assert_true(agrees(known, &hint, whole, &usual)); /* the changed ones have taken no place from it */
        assert_int_equal(hint.read, 1);
        tg_http1_known_free(known);
    }
    assert_true(reads > 1000);
}

/* The digits of Content-Length may be others, and other in number. */
static void any_length_is_known(void **state)
{
    static const struct {
        const char *digits;
        bool known;
    } cases[] = {{"5", true},      {"0", true},
                 {"131072", true}, {"007", true},
                 {"", false},      {"9223372036854775807", true},
                 {"+5", false},    {"9223372036854775808", false},
                 {"5, 5", false},  {"99999999999999999999999", false},
                 {"5a", false},    {"5\r\nContent-Length: 5", false},
                 {"5 ", false}, /* to be read, and right */
                 {"-1", false}};
    (void)state;
    for (size_t h = 0; h < 2; h++) {
        struct tg_http1_known *known = new_table();
        struct tg_http1_hint hint = {0};
        const char *before = h == 0 ? POST BEFORE "Content-Length: " : POST "Content-Length:";
        const char *after = h == 0 ? "\r\n" AFTER : "\r\n" BEFORE AFTER;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            char text[512];
            struct tg_http1_hint one = hint;
            int len = snprintf(text, sizeof text, "%s%s%s", before, cases[i].digits, after);
            bool is_read = agrees(known, &one, tg_slice_make(text, (size_t)len), &usual);
            assert_int_equal(is_read, cases[i].known || strcmp(cases[i].digits, "5 ") == 0);
            if (i == 0) {
                assert_true(agrees(known, &one, tg_slice_make(text, (size_t)len), &usual));
                hint = one;
                continue;
            }
            assert_int_equal(recalls(known, hint, text + sizeof POST - 1, usual.count), cases[i].known);
        }
        tg_http1_known_free(known);
    }
}

static void limits_hold(void **state)
{
    struct tg_http1_known *known = new_table();
    struct tg_http1_hint hint = {0};
    struct tg_slice whole = tg_slice_make(heads[0], strlen(heads[0]));
    struct tg_http1_limits few = usual, short_line = usual, short_head = usual;
    (void)state;
    few.count = 6;
    short_line.line = 20;
    short_head.head = whole.len - 6;
    for (int i = 0; i < 3; i++) {
        assert_true(agrees(known, &hint, whole, &usual));
    }
    assert_false(agrees(known, &hint, whole, &few));
    assert_false(agrees(known, &hint, whole, &short_line));
    assert_false(agrees(known, &hint, whole, &short_head));
    short_head.head++;
    assert_true(agrees(known, &hint, whole, &short_head));
    tg_http1_known_free(known);
}

static struct tg_slice numbered(char *text, size_t room, size_t number)
{
    int len = snprintf(text, room, "GET / HTTP/1.1\r\nHost: h\r\nX: %zu\r\n\r\n", number);
    return tg_slice_make(text, (size_t)len);
}

/* One request leaves nothing; the second is learnt; others find what one has left. */
static void second_is_learnt_and_shared(void **state)
{
    struct tg_http1_known *known = new_table();
    struct tg_http1_hint one = {0}, other = {0};
    struct tg_slice whole = tg_slice_make(heads[2], strlen(heads[2]));
    (void)state;
    assert_true(agrees(known, &one, whole, &usual));
    assert_int_equal(one.stamp, 0);
    assert_true(agrees(known, &one, whole, &usual));
    assert_int_equal(one.stamp, 1);
    assert_true(agrees(known, &other, whole, &usual));
    assert_true(agrees(known, &other, whole, &usual));
    assert_int_equal(other.stamp, one.stamp);
    tg_http1_known_free(known);
}

/* A client whose fields differ each time, as those of signed requests do, costs a table's place few times. */
static void gives_up_on_what_changes(void **state)
{
    enum { MANY = 50, MOST = 4 };
    struct tg_http1_known *known = new_table();
    struct tg_http1_hint hint = {0}, second = {0};
    char text[100];
    uint32_t highest = 0;
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        assert_true(agrees(known, &hint, numbered(text, sizeof text, i), &usual));
        highest = hint.stamp > highest ? hint.stamp : highest;
    }
    assert_true(highest > 0 && highest <= MOST);
    /* It is tried again after a while. */
    for (size_t i = 0; i < 300; i++) {
        assert_true(agrees(known, &hint, numbered(text, sizeof text, 1000 + i), &usual));
    }
    assert_true(hint.stamp > highest && hint.stamp <= highest + MOST);
    highest = hint.stamp;
    /* One that has been known begins anew. */
    assert_true(agrees(known, &second, numbered(text, sizeof text, 0), &usual));
    for (size_t i = 0; i < MANY; i++) {
        assert_true(agrees(known, &second, numbered(text, sizeof text, 2000 + i / 2), &usual));
    }
    assert_true(second.stamp > highest + 20);
    tg_http1_known_free(known);
}

/* A place that others have taken is not the connection's any more; what is too much for one is read. */
static void places_are_taken_and_bounded(void **state)
{
    enum { OTHERS = 40 };
    struct tg_http1_known *known = new_table();
    struct tg_http1_hint first = {0};
    char text[4096];
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_true(agrees(known, &first, numbered(text, sizeof text, 7), &usual));
    }
    assert_true(recalls(known, first, text + 16, usual.count));
    for (size_t i = 0; i < OTHERS; i++) {
        struct tg_http1_hint hint = {0};
        for (int j = 0; j < 3; j++) {
            assert_true(agrees(known, &hint, numbered(text, sizeof text, 100 + i), &usual));
        }
    }
    assert_false(recalls(known, first, "Host: h\r\nX: 7\r\n\r\n", usual.count));
    assert_true(agrees(known, &first, numbered(text, sizeof text, 7), &usual));
    for (int wide = 0; wide < 2; wide++) {
        struct tg_http1_hint hint = {0};
        int len =
            snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\nX: %0*d\r\n", wide == 0 ? 1100 : 1, 1);
        for (int i = 0; wide == 1 && i < 25; i++) {
            len += snprintf(text + len, sizeof text - (size_t)len, "A: b\r\n");
        }
        len += snprintf(text + len, sizeof text - (size_t)len, "\r\n");
        for (int i = 0; i < 3; i++) {
            assert_true(agrees(known, &hint, tg_slice_make(text, (size_t)len), &usual));
        }
        assert_int_equal(hint.stamp, 0);
    }
    tg_http1_known_free(known);
}

/* What depends on more than the fields: HTTP/1.0, and requests without a host of their own. */
static void old_versions_are_read(void **state)
{
    struct tg_http1_known *known = new_table();
    struct tg_http1_hint hint = {0};
    const struct tg_slice old = TG_LIT("GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"),
                          new = TG_LIT("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"),
                          empty = TG_LIT("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"),
                          refused = TG_LIT("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(agrees(known, &hint, old, &usual));
        assert_true(agrees(known, &hint, empty, &usual));
    }
    assert_int_equal(hint.stamp, 0);
    hint = (struct tg_http1_hint){0};
    for (int i = 0; i < 3; i++) {
        assert_true(agrees(known, &hint, new, &usual));
    }
    assert_int_equal(hint.stamp, 1);
    assert_true(agrees(known, &hint, old, &usual));
    assert_false(agrees(known, &hint, refused, &usual));
    tg_http1_known_free(known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_if_it_were_read),
        cmocka_unit_test(any_length_is_known),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(second_is_learnt_and_shared),
        cmocka_unit_test(gives_up_on_what_changes),
        cmocka_unit_test(places_are_taken_and_bounded),
        cmocka_unit_test(old_versions_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
