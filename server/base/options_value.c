/* Scalars, lists and maps of strings: from a node to a member of a struct. */
#include <math.h>

#include "server/base/doc_scalar.h"
#include "server/base/file.h"
#include "server/base/options_internal.h"

enum { SHOWN_MAX = 60, SECRET_FILE_MAX = 64 * 1024 };

bool tg_option_is_scalar(const struct tg_option *option)
{
    switch (option->type) {
    case TG_OPTION_STRING:
    case TG_OPTION_FILE:
    case TG_OPTION_BOOL:
    case TG_OPTION_INT:
    case TG_OPTION_OCTAL:
    case TG_OPTION_DOUBLE:
    case TG_OPTION_ENUM:
        return true;
    default:
        return false;
    }
}

bool tg_options_in_scope(const struct tg_binder *binder, const char *scope)
{
    return scope == NULL || binder->scope.len == 0 || tg_slice_eq(binder->scope, tg_slice_cstr(scope));
}

struct tg_slice tg_options_keep(struct tg_binder *binder, struct tg_slice text)
{
    struct tg_slice kept = TG_EMPTY;
    if (tg_arena_copy(binder->arena, text, &kept) != TG_OK) {
        binder->report->out_of_memory = true;
        return TG_EMPTY;
    }
    return kept;
}

bool tg_options_check_variables(struct tg_binder *binder, const struct tg_option *option,
                                const struct tg_doc_node *node)
{
    if (node->unset.len == 0 || (option->flags & TG_OPTION_VERBATIM) != 0) {
        return true;
    }
    tg_options_error(binder->report, node, NULL,
                     "the environment variable %.*s is not set; ${%.*s:-text} gives a default, $${%.*s} "
                     "stands for the text itself",
                     TG_FMT(node->unset), TG_FMT(node->unset), TG_FMT(node->unset));
    return false;
}

static bool is_scalar(const struct tg_doc_node *node)
{
    return node->type != TG_DOC_SEQUENCE && node->type != TG_DOC_MAPPING;
}

static void report_type(struct tg_binder *binder, const struct tg_option *option,
                        const struct tg_doc_node *node, const char *expected)
{
    const char *got = tg_doc_type_text(node->type);
    struct tg_slice shown = tg_slice_head(node->text, SHOWN_MAX);
    if (!is_scalar(node) || node->type == TG_DOC_NULL || (option->flags & TG_OPTION_SECRET) != 0) {
        tg_options_error(binder->report, node, NULL, "expected %s, got %s", expected, got);
    } else {
        tg_options_error(binder->report, node, NULL, "expected %s, got %s: %s%.*s%s", expected, got,
                         node->quoted ? "\"" : "", TG_FMT(shown), node->quoted ? "\"" : "");
    }
}

/* Appends `a, b or c`: the names that are for this scope. */
static void list_names(const struct tg_binder *binder, const struct tg_option_name *names, char *out,
                       size_t size)
{
    struct tg_buf text;
    tg_buf_init(&text, size - 1);
    enum tg_err err = TG_OK;
    bool first = true;
    for (const struct tg_option_name *at = names; at->name != NULL && err == TG_OK; at++) {
        if (tg_options_in_scope(binder, at->scope)) {
            err = tg_buf_printf(&text, "%s%s", first ? "" : ", ", at->name);
            first = false;
        }
    }
    struct tg_slice all = tg_buf_slice(&text);
    if (all.len > 0) {
        memcpy(out, all.ptr, all.len);
    }
    out[all.len] = '\0';
    tg_buf_free(&text);
}

/* The row's name that the text is, or NULL after a report (unless `quiet`, for an unknown one). */
static const struct tg_option_name *find_name(struct tg_binder *binder, const struct tg_option *option,
                                              const struct tg_doc_node *node, bool quiet)
{
    char allowed[512];
    for (const struct tg_option_name *at = option->names; at->name != NULL; at++) {
        if (!tg_slice_eq(node->text, tg_slice_cstr(at->name))) {
            continue;
        }
        if (!tg_options_in_scope(binder, at->scope)) {
            tg_options_error(binder->report, node, NULL, "%s is for %s %s only, not for %.*s", at->name,
                             binder->scope_key, at->scope, TG_FMT(binder->scope));
            return NULL;
        }
        return at;
    }
    if (!quiet) {
        struct tg_slice shown = tg_slice_head(node->text, SHOWN_MAX);
        list_names(binder, option->names, allowed, sizeof allowed);
        tg_options_error(binder->report, node, NULL, "unknown value \"%.*s\"; expected one of: %s",
                         TG_FMT(shown), allowed);
    }
    return NULL;
}

static bool in_range(const struct tg_option *option, double value)
{
    if (option->min == 0 && option->max == 0) {
        return true;
    }
    return value >= (double)option->min && (!tg_option_has_upper(option) || value <= (double)option->max);
}

static void report_range(struct tg_binder *binder, const struct tg_option *option,
                         const struct tg_doc_node *node, const char *unit)
{
    long long min = option->min, max = option->max;
    if (tg_option_has_upper(option) && min == max) {
        tg_options_error(binder->report, node, NULL, "must be %lld%s", min, unit);
    } else if (tg_option_has_upper(option)) {
        tg_options_error(binder->report, node, NULL, "must be %lld to %lld%s", min, max, unit);
    } else if (min == 1 && unit[0] != '\0') {
        tg_options_error(binder->report, node, NULL, "must not be empty");
    } else {
        tg_options_error(binder->report, node, NULL, "must be at least %lld%s", min, unit);
    }
}

/* Characters, not bytes: continuation bytes do not count. */
static size_t count_characters(struct tg_slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += ((unsigned char)text.ptr[i] & 0xc0) != 0x80 ? 1 : 0;
    }
    return count;
}

static void bind_string(struct tg_binder *binder, const struct tg_option *option,
                        const struct tg_doc_node *node, struct tg_slice *out)
{
    if (!is_scalar(node) || node->type == TG_DOC_NULL) {
        report_type(binder, option, node, "a string");
        return;
    }
    struct tg_slice text = (option->flags & TG_OPTION_VERBATIM) != 0 ? node->raw : node->text;
    if (!in_range(option, (double)count_characters(text))) {
        report_range(binder, option, node, " characters long");
    } else if (option->names == NULL || find_name(binder, option, node, false) != NULL) {
        *out = tg_options_keep(binder, text);
    }
}

static void bind_file(struct tg_binder *binder, const struct tg_option *option,
                      const struct tg_doc_node *node, struct tg_slice *out)
{
    if (node->type != TG_DOC_STRING) {
        report_type(binder, option, node, "a file name");
        return;
    }
    struct tg_slice text;
    bool world_readable = false;
    enum tg_err err = tg_file_read(binder->arena, node->text, SECRET_FILE_MAX, &text, &world_readable);
    if (err != TG_OK) {
        tg_options_error(binder->report, node, NULL, "cannot read %.*s: %s", TG_FMT(node->text),
                         tg_err_text(err));
        return;
    }
    if (world_readable && (option->flags & TG_OPTION_SECRET) != 0) {
        tg_options_warn(binder->report, node, NULL, "every user of this machine can read %.*s",
                        TG_FMT(node->text));
    }
    if (tg_slice_ends(text, TG_LIT("\n"))) {
        text.len--;
    }
    if (tg_slice_ends(text, TG_LIT("\r"))) {
        text.len--;
    }
    if (text.len == 0) {
        tg_options_error(binder->report, node, NULL, "%.*s is empty", TG_FMT(node->text));
        return;
    }
    if ((double)text.len < (double)option->min) {
        tg_options_error(binder->report, node, NULL, "%.*s holds %zu bytes, at least %.0f are needed",
                         TG_FMT(node->text), text.len, (double)option->min);
        return;
    }
    *out = tg_options_keep(binder, text);
}

static void bind_int(struct tg_binder *binder, const struct tg_option *option, const struct tg_doc_node *node,
                     int64_t *out)
{
    const struct tg_option_name *name = option->names != NULL ? find_name(binder, option, node, true) : NULL;
    if (name != NULL) {
        *out = name->value;
    } else if (node->type != TG_DOC_INT) {
        char expected[560] = "an integer";
        if (option->names != NULL) {
            size_t used = strlen("an integer or ");
            memcpy(expected, "an integer or ", used);
            list_names(binder, option->names, expected + used, 512);
        }
        report_type(binder, option, node, expected);
    } else if (!in_range(option, (double)node->integer)) {
        report_range(binder, option, node, "");
    } else {
        *out = node->integer;
    }
}

static void bind_octal(struct tg_binder *binder, const struct tg_option *option,
                       const struct tg_doc_node *node, int64_t *out)
{
    struct tg_slice digits = node->text;
    if (tg_slice_starts(digits, TG_LIT("0o"))) {
        digits = tg_slice_from(digits, 2);
    }
    int64_t value = 0;
    bool good = is_scalar(node) && digits.len > 0 && digits.len <= 8;
    for (size_t i = 0; i < digits.len && good; i++) {
        good = digits.ptr[i] >= '0' && digits.ptr[i] <= '7';
        value = value * 8 + (digits.ptr[i] - '0');
    }
    if (!good || !in_range(option, (double)value)) {
        report_type(binder, option, node, "permissions as octal digits");
        return;
    }
    *out = value;
}

static void bind_double(struct tg_binder *binder, const struct tg_option *option,
                        const struct tg_doc_node *node, double *out)
{
    if ((node->type != TG_DOC_INT && node->type != TG_DOC_FLOAT) || !isfinite(node->real)) {
        report_type(binder, option, node, "a number");
    } else if (!in_range(option, node->real)) {
        report_range(binder, option, node, "");
    } else {
        *out = node->real;
    }
}

static void bind_enum(struct tg_binder *binder, const struct tg_option *option,
                      const struct tg_doc_node *node, int *out)
{
    if (!is_scalar(node) || node->type == TG_DOC_NULL) {
        report_type(binder, option, node, "a string");
        return;
    }
    const struct tg_option_name *name = find_name(binder, option, node, false);
    if (name != NULL) {
        *out = name->value;
    }
}

static void bind_strings(struct tg_binder *binder, const struct tg_option *option,
                         const struct tg_doc_node *node, struct tg_strings *out)
{
    if (node->type != TG_DOC_SEQUENCE) {
        report_type(binder, option, node, "a list of strings");
        return;
    }
    struct tg_slice *items = tg_arena_zalloc(binder->arena, (node->count + 1) * sizeof *items);
    if (items == NULL) {
        binder->report->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        if (tg_options_check_variables(binder, option, node->members[i].value)) {
            bind_string(binder, option, node->members[i].value, &items[i]);
        }
    }
    *out = (struct tg_strings){.items = items, .count = node->count};
}

static void bind_string_map(struct tg_binder *binder, const struct tg_option *option,
                            const struct tg_doc_node *node, struct tg_string_map *out)
{
    if (node->type != TG_DOC_MAPPING) {
        report_type(binder, option, node, "a mapping of strings");
        return;
    }
    struct tg_string_pair *items = tg_arena_zalloc(binder->arena, (node->count + 1) * sizeof *items);
    if (items == NULL) {
        binder->report->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        items[i].key = tg_options_keep(binder, node->members[i].key);
        if (tg_options_check_variables(binder, option, node->members[i].value)) {
            bind_string(binder, option, node->members[i].value, &items[i].value);
        }
    }
    *out = (struct tg_string_map){.items = items, .count = node->count};
}

/* A quoted scalar is a string, but in JSON a variable cannot stand anywhere else: "${PORT}" may be a number.
 */
static const struct tg_doc_node *unquote(const struct tg_option *option, const struct tg_doc_node *node,
                                         struct tg_doc_node *copy)
{
    bool wants_type =
        option->type == TG_OPTION_INT || option->type == TG_OPTION_DOUBLE || option->type == TG_OPTION_BOOL;
    if (!wants_type || !node->quoted || !is_scalar(node) || tg_slice_eq(node->text, node->raw)) {
        return node;
    }
    *copy = *node;
    copy->quoted = false;
    tg_doc_resolve(copy);
    return copy;
}

void tg_options_bind_value(struct tg_binder *binder, const struct tg_option *option,
                           const struct tg_doc_node *node, void *target)
{
    struct tg_doc_node copy;
    if (!tg_options_check_variables(binder, option, node)) {
        return;
    }
    node = unquote(option, node, &copy);
    switch (option->type) {
    case TG_OPTION_STRING:
        bind_string(binder, option, node, target);
        break;
    case TG_OPTION_FILE:
        bind_file(binder, option, node, target);
        break;
    case TG_OPTION_BOOL:
        if (node->type != TG_DOC_BOOL) {
            report_type(binder, option, node, "true or false");
        } else {
            *(bool *)target = node->boolean;
        }
        break;
    case TG_OPTION_INT:
        bind_int(binder, option, node, target);
        break;
    case TG_OPTION_OCTAL:
        bind_octal(binder, option, node, target);
        break;
    case TG_OPTION_DOUBLE:
        bind_double(binder, option, node, target);
        break;
    case TG_OPTION_ENUM:
        bind_enum(binder, option, node, target);
        break;
    case TG_OPTION_STRINGS:
        bind_strings(binder, option, node, target);
        break;
    case TG_OPTION_STRING_MAP:
        bind_string_map(binder, option, node, target);
        break;
    default:
        break;
    }
}

static void bind_fallback_words(struct tg_binder *binder, const char *words, struct tg_strings *out)
{
    struct tg_slice rest = tg_slice_cstr(words);
    size_t count = 1;
    for (size_t i = 0; i < rest.len; i++) {
        count += rest.ptr[i] == ',' ? 1 : 0;
    }
    struct tg_slice *items = tg_arena_zalloc(binder->arena, count * sizeof *items);
    if (items == NULL) {
        binder->report->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        items[i] = tg_options_keep(binder, tg_slice_trim(tg_slice_cut(rest, ',', &rest)));
    }
    *out = (struct tg_strings){.items = items, .count = count};
}

void tg_options_bind_fallback(struct tg_binder *binder, const struct tg_option *option, void *target)
{
    if (option->fallback == NULL || option->type == TG_OPTION_FILE) {
        return;
    }
    if (option->type == TG_OPTION_STRINGS) {
        bind_fallback_words(binder, option->fallback, target);
        return;
    }
    struct tg_slice text = tg_slice_cstr(option->fallback);
    struct tg_doc_node node = {.text = text, .raw = text, .origin = "default"};
    tg_doc_resolve(&node);
    if (node.type == TG_DOC_NULL) {
        node.type = TG_DOC_STRING;
    }
    /* A default may lie outside the range of what can be set: -1 for "not set". */
    struct tg_option free_row = *option;
    free_row.min = 0;
    free_row.max = 0;
    tg_options_bind_value(binder, &free_row, &node, target);
}
