/* Envelopes and rows in MessagePack: what is written is read as it was, and nothing else is read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "connmgr/push.h"
#include "connmgr/wire.h"

static const struct tg_envelope question = {
    .kind = TG_ENVELOPE_PUSH,
    .from = {.node = 0xffffff, .worker = 255},
    .correlation = UINT64_MAX,
    .verb = TG_PUSH_DELETE,
    .outcome = TG_PUSH_FAILED,
    .target = {.node = 1, .worker = 2, .slot = 0xfffffe, .generation = 0xffffff},
    .binary = true,
    .timeout_ms = 29000,
    .close_code = 4999,
    .connected_at = 1767323045123,
    .last_active = -1,
    .text = {TG_LIT_INIT("chat"), TG_LIT_INIT("\x00\xff payload"), {NULL, 0}, TG_LIT_INIT("")},
};

static void assert_same(struct tg_slice a, struct tg_slice b)
{
    assert_true(tg_slice_eq(a, b));
    assert_int_equal(a.ptr == NULL, b.ptr == NULL);
}

static void write_question(struct tg_buf *buf)
{
    tg_buf_init(buf, SIZE_MAX);
    assert_int_equal(tg_wire_write_envelope(buf, &question, 77), TG_OK);
}

static void test_envelope(void **state)
{
    struct tg_buf buf;
    struct tg_envelope *back;
    int64_t expires;
    (void)state;
    write_question(&buf);
    assert_int_equal(tg_wire_read_envelope(tg_buf_slice(&buf), &back, &expires), TG_OK);
    assert_int_equal(expires, 77);
    assert_int_equal(back->kind, question.kind);
    assert_int_equal(back->from.node, question.from.node);
    assert_int_equal(back->from.worker, question.from.worker);
    assert_true(back->correlation == question.correlation);
    assert_int_equal(back->verb, question.verb);
    assert_int_equal(back->outcome, question.outcome);
    assert_int_equal(back->target.node, question.target.node);
    assert_int_equal(back->target.worker, question.target.worker);
    assert_int_equal(back->target.slot, question.target.slot);
    assert_int_equal(back->target.generation, question.target.generation);
    assert_true(back->binary);
    assert_int_equal(back->timeout_ms, question.timeout_ms);
    assert_int_equal(back->close_code, question.close_code);
    assert_int_equal(back->connected_at, question.connected_at);
    assert_int_equal(back->last_active, question.last_active);
    for (size_t i = 0; i < 4; i++) {
        assert_same(back->text[i], question.text[i]);
    }
    tg_envelope_free(back);
    tg_buf_free(&buf);
}

/* Every prefix is refused, and what has something behind it. */
static void test_envelope_cut(void **state)
{
    struct tg_buf buf;
    struct tg_envelope *back = NULL;
    int64_t expires = -1;
    (void)state;
    write_question(&buf);
    struct tg_slice whole = tg_buf_slice(&buf);
    for (size_t len = 0; len < whole.len; len++) {
        char *copy = malloc(len + 1); /* its end is watched */
        memcpy(copy, whole.ptr, len);
        assert_int_equal(tg_wire_read_envelope(tg_slice_make(copy, len), &back, &expires), TG_ESYNTAX);
        free(copy);
    }
    assert_int_equal(tg_buf_append_char(&buf, '\xc0'), TG_OK);
    assert_int_equal(tg_wire_read_envelope(tg_buf_slice(&buf), &back, &expires), TG_ESYNTAX);
    assert_null(back);
    assert_int_equal(expires, -1);
    tg_buf_free(&buf);
}

static void test_hostile(void **state)
{
    static const struct tg_slice rows[] = {
        TG_LIT_INIT(""),
        TG_LIT_INIT("\xdd\xff\xff\xff\xff"),                         /* four billion elements */
        TG_LIT_INIT("\xdc\xff\xff"),                                 /* 65535 of them, and none there */
        TG_LIT_INIT("\x91\xdd\xff\xff\xff\xff"),                     /* the same, within */
        TG_LIT_INIT("\x91\xdf\xff\xff\xff\xff"),                     /* as a map */
        TG_LIT_INIT("\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"),     /* deep */
        TG_LIT_INIT("\x91\xc9\xff\xff\xff\xff\x01"),                 /* an extension */
        TG_LIT_INIT("\x92\x01\xc6\xff\xff\xff\xff"),                 /* bytes that are not there */
        TG_LIT_INIT("\x92\x01\xcb\x00\x00\x00\x00\x00\x00\x00\x00"), /* a float */
        TG_LIT_INIT("\x91\x02"),                                     /* of a later version */
        TG_LIT_INIT("\x91\x01"),
        TG_LIT_INIT("\x01"),
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_envelope *back = NULL;
        struct tg_conn_info info;
        int64_t expires;
        assert_int_equal(tg_wire_read_envelope(rows[i], &back, &expires), TG_ESYNTAX);
        assert_int_equal(tg_wire_read_row(&arena, rows[i], &info), TG_ESYNTAX);
    }
    tg_arena_reset(&arena);
}

static void test_row(void **state)
{
    struct tg_string_pair context[] = {{TG_LIT("principalId"), TG_LIT("user")},
                                       {TG_LIT("empty"), TG_LIT("")}};
    struct tg_string_pair identity[] = {{TG_LIT("accountId"), TG_LIT("123456789012")}};
    const struct tg_conn_info info = {
        .api_id = TG_LIT("chat"),
        .stage = TG_LIT("prod"),
        .domain_name = TG_LIT("chat.example.com"),
        .source_ip = TG_LIT("2001:db8::1"),
        .has_authorizer = true,
        .authorizer = {context, 2},
        .identity = {identity, 1},
        .connected_at_ms = 1767323045123,
    };
    struct tg_conn_info back;
    struct tg_arena arena;
    struct tg_buf buf;
    (void)state;
    tg_arena_init(&arena, NULL);
    tg_buf_init(&buf, SIZE_MAX);
    assert_int_equal(tg_wire_write_row(&buf, &info), TG_OK);
    assert_int_equal(tg_wire_read_row(&arena, tg_buf_slice(&buf), &back), TG_OK);
    assert_same(back.api_id, info.api_id);
    assert_same(back.stage, info.stage);
    assert_same(back.domain_name, info.domain_name);
    assert_same(back.source_ip, info.source_ip);
    assert_null(back.user_agent.ptr); /* the handshake had none */
    assert_true(back.has_authorizer);
    assert_int_equal(back.connected_at_ms, info.connected_at_ms);
    assert_int_equal(back.authorizer.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(tg_slice_eq(back.authorizer.items[i].key, context[i].key));
        assert_true(tg_slice_eq(back.authorizer.items[i].value, context[i].value));
    }
    assert_int_equal(back.identity.count, 1);
    assert_true(tg_slice_eq(back.identity.items[0].value, identity[0].value));
    struct tg_slice whole = tg_buf_slice(&buf);
    for (size_t len = 0; len < whole.len; len++) {
        char *copy = malloc(len + 1);
        memcpy(copy, whole.ptr, len);
        assert_int_equal(tg_wire_read_row(&arena, tg_slice_make(copy, len), &back), TG_ESYNTAX);
        free(copy);
    }
    tg_buf_free(&buf);
    tg_arena_reset(&arena);
}

static void test_limits(void **state)
{
    struct tg_buf buf;
    struct tg_string_pair pair = {TG_LIT("a"), TG_LIT("b")};
    const struct tg_conn_info info = {.api_id = TG_LIT("chat"), .authorizer = {&pair, 4097}};
    (void)state;
    tg_buf_init(&buf, 8);
    assert_int_equal(tg_wire_write_row(&buf, &info), TG_ELIMIT);
    assert_int_equal(tg_wire_write_envelope(&buf, &question, 0), TG_ENOMEM);
    tg_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope), cmocka_unit_test(test_envelope_cut), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_row),      cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
