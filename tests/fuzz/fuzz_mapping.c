/* Input: lines `key=value` of requestParameters up to an empty line, then a URI, a line break and a body. The
 * other compilers of configuration text (identity sources, stage variables, access-log formats) see every
 * value, too. Whatever is applied, no header may hold a control character and the URI may gain nothing but
 * percent-encoded text. */
#include <stdint.h>
#include <stdlib.h>

#include "routes/accesslog.h"
#include "routes/mapping.h"
#include "routes/stagevars.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum tg_err lookup(void *arg, enum tg_var_scope scope, struct tg_slice name, struct tg_arena *arena,
                          struct tg_var_values *out)
{
    if (name.len % 4 == 3) {
        return TG_OK;
    }
    struct tg_slice *items = tg_arena_alloc(arena, 2 * sizeof *items);
    if (items == NULL) {
        return TG_ENOMEM;
    }
    items[0] = *(struct tg_slice *)arg;
    items[1] = name;
    *out = (struct tg_var_values){items, scope == TG_VAR_MULTIHEADER || scope == TG_VAR_MULTIQUERY ? 2 : 1};
    return TG_OK;
}

static void try_log(struct tg_arena *arena, struct tg_slice format, const struct tg_vars *vars)
{
    struct tg_accesslog log;
    struct tg_slice error = TG_EMPTY;
    struct tg_buf row;
    if (tg_accesslog_compile(arena, format, &log, &error) != TG_OK) {
        CHECK(error.len > 0);
        return;
    }
    tg_buf_init(&row, SIZE_MAX);
    CHECK(tg_accesslog_render(&log, vars, arena, &row) == TG_OK);
    struct tg_slice text = tg_buf_slice(&row);
    CHECK(tg_slice_find(text, '\n') == text.len && tg_slice_find(text, '\r') == text.len);
    tg_buf_free(&row);
}

static void try_others(struct tg_arena *arena, struct tg_slice text, const struct tg_vars *vars)
{
    struct tg_source source;
    struct tg_stagevars compiled;
    struct tg_slice error = TG_EMPTY, out, missing = TG_EMPTY;
    if (tg_source_compile_identity(arena, text, &source, &error) == TG_OK) {
        CHECK(tg_source_identity(&source, vars, arena, &out) == TG_OK);
    }
    if (tg_stagevars_compile(arena, text, &compiled, &error) == TG_OK) {
        enum tg_err err = tg_stagevars_evaluate(&compiled, NULL, arena, &out, &missing);
        CHECK(err == TG_OK ? tg_slice_eq(out, text) : err == TG_ENOTFOUND && missing.len > 0);
    }
    try_log(arena, text, vars);
}

static void apply(const struct tg_mapping *mapping, const struct tg_vars *vars, struct tg_slice uri,
                  struct tg_arena *arena)
{
    struct tg_headers headers = {0};
    struct tg_mapping_request request = {.headers = &headers, .uri = uri};
    CHECK(tg_mapping_apply(mapping, vars, TG_JSONSCAN_LENIENT, arena, &request) == TG_OK);
    for (size_t i = 0; i < headers.count; i++) {
        CHECK(tg_header_name_ok(headers.items[i].name) && tg_header_value_ok(headers.items[i].value));
    }
    size_t slashes = 0;
    for (size_t i = 0; i < uri.len; i++) {
        slashes += uri.ptr[i] == '/';
    }
    for (size_t i = 0; i < request.uri.len; i++) {
        slashes -= request.uri.ptr[i] == '/';
    }
    CHECK(slashes == 0); /* a value adds no segment */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_mapping mapping = {0};
    struct tg_slice rest = tg_slice_make(data, size);
    struct tg_slice body = TG_EMPTY;
    struct tg_vars vars = {lookup, &body};
    tg_arena_init(&arena, NULL);
    for (int rows = 0; rows < 16; rows++) {
        struct tg_slice line = tg_slice_cut(rest, '\n', &rest), value, error = TG_EMPTY;
        if (line.len == 0) {
            break;
        }
        struct tg_slice key = tg_slice_cut(line, '=', &value);
        enum tg_err err = tg_mapping_add(&mapping, &arena, key, value, &error);
        CHECK(err == TG_OK || ((err == TG_ESYNTAX || err == TG_EEXIST) && error.len > 0));
        try_others(&arena, value, &vars);
    }
    struct tg_slice uri = tg_slice_cut(rest, '\n', &body);
    apply(&mapping, &vars, uri, &arena);
    tg_arena_reset(&arena);
    return 0;
}
