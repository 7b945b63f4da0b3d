/* A tg_vars over a table of rows, for tests. */
#ifndef TG_TESTS_VARS_ROWS_H
#define TG_TESTS_VARS_ROWS_H

#include "routes/vars.h"

/* One value; rows of the same scope and name are its values in order. The last row has no name. Header names
 * compare without case. */
struct vars_row {
    enum tg_var_scope scope;
    const char *name, *value;
};

static inline enum tg_err vars_rows_lookup(void *arg, enum tg_var_scope scope, struct tg_slice name,
                                           struct tg_arena *arena, struct tg_var_values *out)
{
    struct tg_slice *items = (struct tg_slice *)tg_arena_alloc(arena, 8 * sizeof *items);
    if (items == NULL) {
        return TG_ENOMEM;
    }
    out->items = items;
    for (const struct vars_row *row = (const struct vars_row *)arg; row->name != NULL; row++) {
        struct tg_slice key = tg_slice_cstr(row->name);
        bool nocase = scope == TG_VAR_HEADER || scope == TG_VAR_MULTIHEADER ||
                      scope == TG_VAR_RESPONSE_HEADER || scope == TG_VAR_RESPONSE_MULTIHEADER;
        if (row->scope == scope && (nocase ? tg_slice_eq_nocase(key, name) : tg_slice_eq(key, name))) {
            items[out->count++] = tg_slice_cstr(row->value);
        }
    }
    return TG_OK;
}

#define VARS_OF(rows) ((struct tg_vars){vars_rows_lookup, (void *)(uintptr_t)(rows)})

#endif
