#include "server/base/doc_scalar.h"

#include <math.h>
#include <stdlib.h>

static bool is_one_of(struct tg_slice text, const char *const words[3])
{
    for (size_t i = 0; i < 3; i++) {
        if (tg_slice_eq(text, tg_slice_cstr(words[i]))) {
            return true;
        }
    }
    return false;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* Digits of the base and nothing else; *fits says whether the value is within `max`. */
static bool read_digits(struct tg_slice digits, unsigned base, uint64_t max, uint64_t *value, bool *fits)
{
    uint64_t sum = 0;
    *fits = true;
    for (size_t i = 0; i < digits.len; i++) {
        unsigned digit = (unsigned)digit_of(digits.ptr[i]);
        if (digit >= base) {
            return false;
        }
        if (sum > (max - digit) / base) {
            *fits = false;
        } else {
            sum = sum * base + digit;
        }
    }
    *value = sum;
    return digits.len > 0;
}

static bool resolve_integer(struct tg_doc_node *node)
{
    struct tg_slice text = node->text;
    uint64_t value = 0;
    bool fits = false;
    bool negative = false;
    bool is_number = false;
    if (tg_slice_starts(text, TG_LIT("0x"))) {
        is_number = read_digits(tg_slice_from(text, 2), 16, INT64_MAX, &value, &fits);
    } else if (tg_slice_starts(text, TG_LIT("0o"))) {
        is_number = read_digits(tg_slice_from(text, 2), 8, INT64_MAX, &value, &fits);
    } else {
        negative = tg_slice_starts(text, TG_LIT("-"));
        size_t sign = negative || tg_slice_starts(text, TG_LIT("+")) ? 1 : 0;
        is_number = read_digits(tg_slice_from(text, sign), 10, INT64_MAX, &value, &fits);
    }
    if (!is_number) {
        return false;
    }
    /* strtod reads 0x as well, but not 0o: a huge octal number is merely huge. */
    node->type = fits ? TG_DOC_INT : TG_DOC_FLOAT;
    node->integer = !fits ? 0 : negative ? -(int64_t)value : (int64_t)value;
    node->real = fits ? (double)node->integer
                      : (tg_slice_starts(text, TG_LIT("0o")) ? HUGE_VAL : strtod(text.ptr, NULL));
    return true;
}

static size_t skip_digits(struct tg_slice text, size_t at)
{
    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9') {
        at++;
    }
    return at;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_decimal(struct tg_slice text)
{
    size_t at = text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+') ? 1 : 0;
    size_t start = at;
    at = skip_digits(text, at);
    size_t digits = at - start;
    if (at < text.len && text.ptr[at] == '.') {
        size_t fraction = skip_digits(text, at + 1) - (at + 1);
        at += 1 + fraction;
        digits += fraction;
    }
    if (digits == 0) {
        return false;
    }
    if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
        at++;
        if (at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+')) {
            at++;
        }
        size_t end = skip_digits(text, at);
        if (end == at) {
            return false;
        }
        at = end;
    }
    return at == text.len;
}

static bool resolve_float(struct tg_doc_node *node)
{
    static const char *const infinities[] = {".inf", ".Inf", ".INF"};
    static const char *const nans[] = {".nan", ".NaN", ".NAN"};
    struct tg_slice text = node->text;
    bool negative = tg_slice_starts(text, TG_LIT("-"));
    struct tg_slice bare = tg_slice_from(text, negative || tg_slice_starts(text, TG_LIT("+")) ? 1 : 0);
    double value = 0;
    if (is_decimal(text)) {
        value = strtod(text.ptr, NULL);
    } else if (is_one_of(bare, infinities)) {
        value = negative ? -(double)INFINITY : (double)INFINITY;
    } else if (is_one_of(text, nans)) {
        value = (double)NAN;
    } else {
        return false;
    }
    node->type = TG_DOC_FLOAT;
    node->real = value;
    return true;
}

void tg_doc_resolve(struct tg_doc_node *node)
{
    static const char *const nulls[] = {"null", "Null", "NULL"};
    static const char *const trues[] = {"true", "True", "TRUE"};
    static const char *const falses[] = {"false", "False", "FALSE"};
    struct tg_slice text = node->text;
    if (node->quoted) {
        node->type = TG_DOC_STRING;
        return;
    }
    if (text.len == 0 || tg_slice_eq(text, TG_LIT("~")) || is_one_of(text, nulls)) {
        node->type = TG_DOC_NULL;
    } else if (is_one_of(text, trues) || is_one_of(text, falses)) {
        node->type = TG_DOC_BOOL;
        node->boolean = is_one_of(text, trues);
    } else if (!resolve_integer(node) && !resolve_float(node)) {
        node->type = TG_DOC_STRING;
    }
}

static bool is_name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

struct variable {
    struct tg_slice name;
    bool has_default;
    struct tg_slice fallback;
    size_t len; /* of the whole, braces included */
};

/* `text` starts with "${". False when the braces hold anything but a variable. */
static bool read_variable(struct tg_slice text, struct variable *out)
{
    size_t at = 2;
    while (at < text.len && is_name_char(text.ptr[at], at == 2)) {
        at++;
    }
    struct tg_slice name = tg_slice_make(text.ptr + 2, at - 2);
    struct tg_slice rest = tg_slice_from(text, at);
    if (name.len == 0 || rest.len == 0) {
        return false;
    }
    if (rest.ptr[0] == '}') {
        *out = (struct variable){.name = name, .len = at + 1};
        return true;
    }
    size_t close = tg_slice_find(rest, '}');
    if (!tg_slice_starts(rest, TG_LIT(":-")) || close == rest.len) {
        return false;
    }
    *out = (struct variable){.name = name,
                             .has_default = true,
                             .fallback = tg_slice_make(rest.ptr + 2, close - 2),
                             .len = at + close + 1};
    return true;
}

/* Appends the value of the variable; one without a value stays as it is written and is noted in the node. */
static enum tg_err append_variable(const struct tg_doc_options *options, const struct variable *variable,
                                   struct tg_slice written, struct tg_doc_node *node, struct tg_buf *out)
{
    struct tg_slice value = TG_EMPTY;
    bool found = options->lookup(options->lookup_arg, variable->name, &value);
    if (variable->has_default && (!found || value.len == 0)) {
        value = variable->fallback;
    } else if (!found) {
        value = written;
        if (node->unset.len == 0) {
            node->unset = variable->name;
        }
    }
    return tg_buf_append(out, value);
}

static enum tg_err substitute(const struct tg_doc_options *options, struct tg_doc_node *node,
                              struct tg_buf *out)
{
    struct tg_slice rest = node->raw;
    while (rest.len > 0) {
        size_t dollar = tg_slice_find(rest, '$');
        enum tg_err err = tg_buf_append(out, tg_slice_head(rest, dollar));
        rest = tg_slice_from(rest, dollar);
        struct variable variable;
        size_t taken = 1;
        if (err != TG_OK || rest.len == 0) {
            return err;
        }
        if (tg_slice_starts(rest, TG_LIT("$${"))) {
            err = tg_buf_append(out, TG_LIT("${"));
            taken = 3;
        } else if (tg_slice_starts(rest, TG_LIT("${")) && read_variable(rest, &variable)) {
            err = append_variable(options, &variable, tg_slice_head(rest, variable.len), node, out);
            taken = variable.len;
        } else {
            err = tg_buf_append_char(out, '$');
        }
        if (err != TG_OK) {
            return err;
        }
        rest = tg_slice_from(rest, taken);
    }
    return TG_OK;
}

enum tg_err tg_doc_substitute(struct tg_arena *arena, const struct tg_doc_options *options,
                              struct tg_doc_node *node)
{
    node->text = node->raw;
    if (options->lookup == NULL || tg_slice_find(node->raw, '$') == node->raw.len) {
        return TG_OK;
    }
    struct tg_buf out;
    tg_buf_init(&out, options->max_bytes);
    enum tg_err err = substitute(options, node, &out);
    if (err == TG_OK) {
        err = tg_arena_copy(arena, tg_buf_slice(&out), &node->text);
    }
    tg_buf_free(&out);
    return err;
}
