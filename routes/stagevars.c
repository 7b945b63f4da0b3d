#include "routes/stagevars.h"

#include "routes/expr.h"

enum { NAME_MAX_LEN = 64, VALUE_MAX_LEN = 512 };

static const struct tg_slice opening = TG_LIT_INIT("${stageVariables.");

bool tg_stagevars_name_ok(struct tg_slice name)
{
    return name.len <= NAME_MAX_LEN && tg_expr_is_name(name, "_");
}

bool tg_stagevars_value_ok(struct tg_slice value)
{
    return value.len <= VALUE_MAX_LEN && tg_expr_is_name(value, "-._~:/?#&=,");
}

/* Whether a variable begins at `at`: `${`. */
static bool is_opening(struct tg_slice text, size_t at)
{
    return text.ptr[at] == '$' && at + 1 < text.len && text.ptr[at + 1] == '{';
}

/* The variable that begins at *at, which moves behind it. */
static enum tg_err take_variable(struct tg_arena *arena, struct tg_slice text, size_t *at,
                                 struct tg_slice *name, struct tg_slice *error)
{
    struct tg_slice rest = tg_slice_from(text, *at);
    if (!tg_slice_starts(rest, opening)) {
        return tg_expr_fail(arena, error, *at, "only `${stageVariables.NAME}` can stand here");
    }
    rest = tg_slice_from(rest, opening.len);
    size_t len = tg_slice_find(rest, '}');
    if (len == rest.len) {
        return tg_expr_fail(arena, error, *at, "`${` is not closed");
    }
    struct tg_slice found = tg_slice_head(rest, len);
    if (!tg_stagevars_name_ok(found)) {
        return tg_expr_fail(arena, error, *at + opening.len,
                            "the name of a stage variable is 1-%d letters, digits and underscores",
                            NAME_MAX_LEN);
    }
    *name = found;
    *at += opening.len + len + 1;
    return TG_OK;
}

enum tg_err tg_stagevars_compile(struct tg_arena *arena, struct tg_slice text, struct tg_stagevars *out,
                                 struct tg_slice *error)
{
    size_t most = 1, count = 0, literal = 0;
    for (size_t i = 0; i < text.len; i++) {
        most += is_opening(text, i) ? 2 : 0;
    }
    struct tg_stagevars_part *parts = tg_arena_alloc(arena, most * sizeof *parts);
    if (parts == NULL) {
        return TG_ENOMEM;
    }
    for (size_t at = 0; at <= text.len;) {
        bool variable = at < text.len && is_opening(text, at);
        if ((variable || at == text.len) && at > literal) {
            parts[count++] =
                (struct tg_stagevars_part){.text = tg_slice_make(text.ptr + literal, at - literal)};
        }
        if (!variable) {
            at++;
            continue;
        }
        struct tg_slice name;
        enum tg_err err = take_variable(arena, text, &at, &name, error);
        if (err != TG_OK) {
            return err;
        }
        parts[count++] = (struct tg_stagevars_part){.is_variable = true, .text = name};
        literal = at;
    }
    *out = (struct tg_stagevars){parts, count};
    return TG_OK;
}

enum tg_err tg_stagevars_evaluate(const struct tg_stagevars *text, const struct tg_string_map *variables,
                                  struct tg_arena *arena, struct tg_slice *out, struct tg_slice *missing)
{
    if (text->count == 1 && !text->parts[0].is_variable) {
        *out = text->parts[0].text;
        return TG_OK;
    }
    struct tg_slice *results = tg_arena_alloc(arena, text->count * sizeof *results);
    if (results == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < text->count; i++) {
        const struct tg_stagevars_part *part = &text->parts[i];
        results[i] = part->text;
        if (part->is_variable) {
            const struct tg_slice *value =
                variables != NULL ? tg_string_map_get(variables, part->text) : NULL;
            if (value == NULL) {
                *missing = part->text;
                return TG_ENOTFOUND;
            }
            results[i] = *value;
        }
    }
    return tg_expr_join(arena, results, text->count, out);
}
