/* What is told to a worker whose mailbox refuses mail now and then: all that counts, in an order that it can
 * go by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "server/app/errands.h"

static const char one[TG_TOKEN_LEN + 1] = "11111111111111111111111111111111",
                                     two[TG_TOKEN_LEN + 1] = "22222222222222222222222222222222";

struct worker {
    int room; /* mails that its box takes */
    bool closed;
    char heard[512]; /* what it was told */
};

static enum tg_err hear(struct worker *worker, const char *what, uint32_t node, char mark)
{
    if (worker->closed) {
        return TG_ECLOSED;
    }
    if (worker->room == 0) {
        return TG_EBUSY;
    }
    worker->room--;
    size_t len = strlen(worker->heard);
    (void)snprintf(worker->heard + len, sizeof worker->heard - len, "%s%u%c ", what, node, mark);
    return TG_OK;
}

static enum tg_err join(void *worker, uint32_t node, const char *token)
{
    return hear(worker, "join", node, token[0]);
}

static enum tg_err fence(void *worker)
{
    return hear(worker, "fence", 0, '-');
}

static enum tg_err rewrite(void *worker)
{
    return hear(worker, "rewrite", 0, '-');
}

static enum tg_err settle(void *worker, uint32_t node, uint64_t known_until_ms)
{
    return hear(worker, "settle", node, known_until_ms == 9 ? '9' : '-');
}

static const struct tg_errand_ops ops = {.join = join, .fence = fence, .rewrite = rewrite, .settle = settle};

static void tells_at_once(void **state)
{
    struct tg_errands errands = {.numbered = false};
    struct worker worker = {.room = 100};
    (void)state;
    assert_true(tg_errands_run(&errands, &ops, &worker));
    assert_string_equal(worker.heard, "");
    tg_errands_number(&errands, 7, one);
    assert_true(tg_errands_run(&errands, &ops, &worker));
    tg_errands_rewrite(&errands);
    assert_true(tg_errands_run(&errands, &ops, &worker));
    tg_errands_number(&errands, 0, NULL);
    assert_true(tg_errands_run(&errands, &ops, &worker));
    assert_true(tg_errands_settled(&errands, 7, 9));
    assert_true(tg_errands_run(&errands, &ops, &worker));
    assert_true(tg_errands_run(&errands, &ops, &worker));
    assert_string_equal(worker.heard, "join71 rewrite0- fence0- settle79 ");
}

/* The number before what hangs on it, of several numbers the last, and nothing twice, wherever the box was
 * full. */
static void tells_what_was_refused(void **state)
{
    (void)state;
    for (int room = 0; room < 4; room++) {
        struct tg_errands errands = {.numbered = false};
        struct worker worker = {.room = 0};
        tg_errands_number(&errands, 7, one);
        assert_false(tg_errands_run(&errands, &ops, &worker));
        tg_errands_rewrite(&errands);
        tg_errands_number(&errands, 0, NULL);
        assert_true(tg_errands_settled(&errands, 5, 0));
        tg_errands_number(&errands, 8, two);
        tg_errands_rewrite(&errands);
        assert_true(tg_errands_settled(&errands, 7, 9));
        worker.room = room;
        assert_false(tg_errands_run(&errands, &ops, &worker));
        assert_int_equal(worker.room, 0);
        worker.room = 100;
        assert_true(tg_errands_run(&errands, &ops, &worker));
        assert_string_equal(worker.heard, "join82 rewrite0- settle5- settle79 ");
    }
}

static void tells_nothing_to_who_has_ended(void **state)
{
    struct tg_errands errands = {.numbered = false};
    struct worker worker = {.closed = true};
    (void)state;
    tg_errands_number(&errands, 7, one);
    assert_true(tg_errands_settled(&errands, 5, 0));
    assert_true(tg_errands_run(&errands, &ops, &worker));
    worker.closed = false;
    worker.room = 100;
    assert_true(tg_errands_run(&errands, &ops, &worker));
    assert_string_equal(worker.heard, "");
}

static void keeps_the_last_of_many(void **state)
{
    struct tg_errands errands = {.numbered = false};
    struct worker worker = {.room = 1};
    (void)state;
    for (uint32_t i = 1; i <= TG_ERRANDS_SETTLED_MAX; i++) {
        assert_true(tg_errands_settled(&errands, i, 0));
    }
    assert_false(tg_errands_settled(&errands, 1000, 0));
    assert_false(tg_errands_run(&errands, &ops, &worker));
    assert_string_equal(worker.heard, "settle2- ");
    assert_int_equal(errands.settled_count, TG_ERRANDS_SETTLED_MAX - 1);
    assert_int_equal(errands.settled[errands.settled_count - 1].node, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_at_once),
        cmocka_unit_test(tells_what_was_refused),
        cmocka_unit_test(tells_nothing_to_who_has_ended),
        cmocka_unit_test(keeps_the_last_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
