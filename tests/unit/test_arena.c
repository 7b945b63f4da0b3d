#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdalign.h>
#include <cmocka.h>

#include "server/base/arena.h"

static void memory_is_aligned_and_apart(void **state)
{
    (void)state;
    struct tg_arena arena;
    unsigned char *blocks[300];
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < 300; i++) {
        blocks[i] = tg_arena_alloc(&arena, i);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
        memset(blocks[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < 300; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_equal(blocks[i][j], i & 0xff);
        }
    }
    tg_arena_reset(&arena);
}

static void large_blocks_leave_the_chunk_in_use(void **state)
{
    (void)state;
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    char *small = tg_arena_alloc(&arena, 16);
    char *large = tg_arena_alloc(&arena, 100000);
    char *next = tg_arena_alloc(&arena, 16);
    assert_non_null(large);
    memset(large, 'x', 100000);
    assert_ptr_equal(next, small + 16);
    tg_arena_reset(&arena);
    assert_non_null(tg_arena_alloc(&arena, 100000));
    assert_non_null(tg_arena_alloc(&arena, 100000));
    assert_non_null(tg_arena_alloc(&arena, 1));
    tg_arena_reset(&arena);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct tg_arena arena;
    struct tg_slice out = TG_LIT("untouched");
    tg_arena_init(&arena, NULL);
    assert_null(tg_arena_alloc(&arena, SIZE_MAX));
    assert_null(tg_arena_alloc(&arena, SIZE_MAX - 100));
    assert_null(tg_arena_zalloc(&arena, SIZE_MAX));
    assert_int_equal(tg_arena_copy(&arena, tg_slice_make("", SIZE_MAX), &out), TG_ENOMEM);
    assert_int_equal(out.len, 9);
    tg_arena_reset(&arena);
}

static void zeroed_memory_is_zero_after_reuse(void **state)
{
    (void)state;
    static const char zeros[1000];
    struct tg_arena_pool pool;
    struct tg_arena arena;
    tg_arena_pool_init(&pool, 1);
    tg_arena_init(&arena, &pool);
    memset(tg_arena_alloc(&arena, 1000), 0xff, 1000);
    tg_arena_reset(&arena);
    assert_memory_equal(tg_arena_zalloc(&arena, 1000), zeros, 1000);
    tg_arena_reset(&arena);
    tg_arena_pool_free(&pool);
}

static void copies_end_with_nul(void **state)
{
    (void)state;
    struct tg_arena arena;
    struct tg_slice out;
    tg_arena_init(&arena, NULL);
    assert_int_equal(tg_arena_copy(&arena, TG_LIT("a\0b"), &out), TG_OK);
    assert_int_equal(out.len, 3);
    assert_memory_equal(out.ptr, "a\0b", 4);
    assert_int_equal(tg_arena_copy(&arena, TG_EMPTY, &out), TG_OK);
    assert_int_equal(out.len, 0);
    assert_int_equal(out.ptr[0], '\0');
    assert_int_equal(tg_arena_printf(&arena, &out, "%s=%d", "n", 42), TG_OK);
    assert_int_equal(out.len, 4);
    assert_string_equal(out.ptr, "n=42");
    tg_arena_reset(&arena);
}

struct trace {
    char text[8];
    size_t len;
};

struct mark {
    struct trace *trace;
    char letter;
};

static void leave_mark(void *arg)
{
    struct mark *mark = arg;
    mark->trace->text[mark->trace->len++] = mark->letter;
}

static void destructors_run_once_in_reverse_order(void **state)
{
    (void)state;
    struct tg_arena arena;
    struct trace trace = {.len = 0};
    struct mark marks[] = {{&trace, 'a'}, {&trace, 'b'}, {&trace, 'c'}};
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tg_arena_defer(&arena, leave_mark, &marks[i]), TG_OK);
    }
    assert_int_equal(trace.len, 0);
    tg_arena_reset(&arena);
    assert_string_equal(trace.text, "cba");
    tg_arena_reset(&arena);
    assert_string_equal(trace.text, "cba");
}

static void read_block(void *arg)
{
    const char *block = arg;
    assert_int_equal(block[99], 'x');
}

static void memory_lives_until_the_destructors_have_run(void **state)
{
    (void)state;
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    char *block = tg_arena_alloc(&arena, 100);
    memset(block, 'x', 100);
    assert_int_equal(tg_arena_defer(&arena, read_block, block), TG_OK);
    tg_arena_reset(&arena);
}

static void pools_keep_at_most_what_they_may(void **state)
{
    (void)state;
    struct tg_arena_pool pool;
    struct tg_arena one, two;
    tg_arena_pool_init(&pool, 2);
    tg_arena_init(&one, &pool);
    tg_arena_init(&two, &pool);
    for (int i = 0; i < 100; i++) {
        assert_non_null(tg_arena_alloc(&one, 200));
    }
    assert_non_null(tg_arena_alloc(&one, 50000));
    assert_int_equal(pool.count, 0);
    tg_arena_reset(&one);
    assert_int_equal(pool.count, 2);
    assert_non_null(tg_arena_alloc(&two, 1));
    assert_int_equal(pool.count, 1);
    tg_arena_reset(&two);
    assert_int_equal(pool.count, 2);
    tg_arena_pool_free(&pool);
    assert_int_equal(pool.count, 0);
    assert_null(pool.free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_and_apart),
        cmocka_unit_test(large_blocks_leave_the_chunk_in_use),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
        cmocka_unit_test(zeroed_memory_is_zero_after_reuse),
        cmocka_unit_test(copies_end_with_nul),
        cmocka_unit_test(destructors_run_once_in_reverse_order),
        cmocka_unit_test(memory_lives_until_the_destructors_have_run),
        cmocka_unit_test(pools_keep_at_most_what_they_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
