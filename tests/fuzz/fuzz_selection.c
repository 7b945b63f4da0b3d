/* Input: an expression, a line break, a body. Compiles the expression for every kind of use; what compiles
 * must evaluate, and to the same result twice. */
#include <stdint.h>
#include <stdlib.h>

#include "routes/selection.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything exists, twice, and is the body. */
static enum tg_err lookup(void *arg, enum tg_var_scope scope, struct tg_slice name, struct tg_arena *arena,
                          struct tg_var_values *out)
{
    (void)scope;
    struct tg_slice *items = tg_arena_alloc(arena, 2 * sizeof *items);
    if (items == NULL) {
        return TG_ENOMEM;
    }
    items[0] = *(struct tg_slice *)arg;
    items[1] = name;
    *out = (struct tg_var_values){items, 2};
    return TG_OK;
}

static void evaluate(const struct tg_selection *selection, struct tg_slice body, struct tg_arena *arena)
{
    struct tg_vars vars = {lookup, &body};
    struct tg_selection_input input = {.body = body, .json = TG_JSONSCAN_LENIENT, .vars = &vars};
    struct tg_slice first = TG_EMPTY, second = TG_EMPTY;
    enum tg_err err = tg_selection_evaluate(selection, &input, arena, &first);
    CHECK(err == TG_OK || (err == TG_ESYNTAX && tg_selection_reads_body(selection)));
    CHECK(tg_selection_evaluate(selection, &input, arena, &second) == err && tg_slice_eq(first, second));
    input.vars = NULL;
    CHECK(tg_selection_evaluate(selection, &input, arena, &second) == err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned sets[] = {TG_SELECT_BODY, TG_SELECT_API_KEY, TG_SELECT_BODY | TG_SELECT_RESPONSE,
                                    ~0u};
    struct tg_slice body, text = tg_slice_cut(tg_slice_make(data, size), '\n', &body);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct tg_arena arena;
        struct tg_selection selection;
        struct tg_slice error = TG_EMPTY;
        tg_arena_init(&arena, NULL);
        enum tg_err err = tg_selection_compile(&arena, text, sets[i], &selection, &error);
        CHECK(err == TG_OK || (err == TG_ESYNTAX && error.len > 0));
        if (err == TG_OK) {
            evaluate(&selection, body, &arena);
        }
        tg_arena_reset(&arena);
    }
    return 0;
}
