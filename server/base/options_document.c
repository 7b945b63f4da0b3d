/* The tables as text for people: the reference in Markdown and the help. */
#include "server/base/options_internal.h"

enum { SCHEMAS_MAX = 128 };

struct writer {
    struct tg_buf *out;
    const struct tg_schema *seen[SCHEMAS_MAX]; /* in the order in which they are met */
    size_t count;
};

static bool holds_schema(const struct tg_option *option)
{
    return option->type == TG_OPTION_STRUCT || option->type == TG_OPTION_STRUCTS ||
           option->type == TG_OPTION_STRUCT_MAP;
}

static void collect(struct writer *writer, const struct tg_schema *schema)
{
    for (size_t i = 0; i < writer->count; i++) {
        if (writer->seen[i] == schema) {
            return;
        }
    }
    if (writer->count == SCHEMAS_MAX) {
        return;
    }
    writer->seen[writer->count++] = schema;
    for (size_t i = 0; i < schema->row_count; i++) {
        if (holds_schema(&schema->rows[i])) {
            collect(writer, schema->rows[i].schema);
        }
    }
}

/* The anchor that a heading gets: letters and digits in lower case, blanks as hyphens. */
static enum tg_err write_anchor(struct tg_buf *out, const char *name)
{
    enum tg_err err = TG_OK;
    for (const char *at = name; *at != '\0' && err == TG_OK; at++) {
        bool is_upper = *at >= 'A' && *at <= 'Z';
        bool is_word = (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || *at == '-' || *at == '_';
        if (*at == ' ') {
            err = tg_buf_append_char(out, '-');
        } else if (is_upper || is_word) {
            err = tg_buf_append_char(out, is_upper ? (char)(*at - 'A' + 'a') : *at);
        }
    }
    return err;
}

static enum tg_err write_names(struct tg_buf *out, const struct tg_option *option)
{
    enum tg_err err = TG_OK;
    for (const struct tg_option_name *at = option->names; at->name != NULL && err == TG_OK; at++) {
        err = tg_buf_printf(out, "%s`%s`", at == option->names ? "" : ", ", at->name);
        if (err == TG_OK && at->scope != NULL) {
            err = tg_buf_printf(out, " (%s only)", at->scope);
        }
    }
    return err;
}

static enum tg_err write_range(struct tg_buf *out, const struct tg_option *option, const char *unit)
{
    long long min = option->min, max = option->max;
    if (min == 0 && max == 0) {
        return TG_OK;
    }
    if (tg_option_has_upper(option)) {
        return min == max ? tg_buf_printf(out, ", %lld%s", min, unit)
                          : tg_buf_printf(out, ", %lld to %lld%s", min, max, unit);
    }
    return min == 1 && unit[0] != '\0' ? tg_buf_append(out, TG_LIT(", not empty"))
                                       : tg_buf_printf(out, ", at least %lld%s", min, unit);
}

static enum tg_err write_scalar_type(struct tg_buf *out, const struct tg_option *option)
{
    static const char *const words[] = {[TG_OPTION_STRING] = "string",
                                        [TG_OPTION_FILE] = "file name",
                                        [TG_OPTION_BOOL] = "boolean",
                                        [TG_OPTION_INT] = "integer",
                                        [TG_OPTION_OCTAL] = "octal digits",
                                        [TG_OPTION_DOUBLE] = "number",
                                        [TG_OPTION_STRINGS] = "list of strings",
                                        [TG_OPTION_STRING_MAP] = "map of strings",
                                        [TG_OPTION_NODE] = "any value"};
    bool is_text = option->type == TG_OPTION_STRING || option->type == TG_OPTION_STRINGS ||
                   option->type == TG_OPTION_STRING_MAP;
    if (option->type == TG_OPTION_ENUM || (option->type == TG_OPTION_STRING && option->names != NULL)) {
        return write_names(out, option);
    }
    enum tg_err err = tg_buf_append(out, tg_slice_cstr(words[option->type]));
    if (err == TG_OK && option->type != TG_OPTION_OCTAL) {
        err = write_range(out, option,
                          is_text                          ? " characters"
                          : option->type == TG_OPTION_FILE ? " bytes"
                                                           : "");
    }
    if (err == TG_OK && option->names != NULL) {
        err = tg_buf_append(out, option->type == TG_OPTION_INT ? TG_LIT(", or ") : TG_LIT(" out of "));
        err = err == TG_OK ? write_names(out, option) : err;
    }
    return err;
}

static enum tg_err write_type(struct tg_buf *out, const struct tg_option *option)
{
    if (!holds_schema(option)) {
        return write_scalar_type(out, option);
    }
    const char *kind = option->type == TG_OPTION_STRUCT    ? "mapping: "
                       : option->type == TG_OPTION_STRUCTS ? "list: "
                                                           : "map of names: ";
    enum tg_err err = tg_buf_printf(out, "%s[%s](#", kind, option->schema->name);
    if (err == TG_OK) {
        err = write_anchor(out, option->schema->name);
    }
    return err == TG_OK ? tg_buf_append_char(out, ')') : err;
}

static enum tg_err write_default(struct tg_buf *out, const struct tg_option *option)
{
    if ((option->flags & TG_OPTION_REQUIRED) != 0) {
        return tg_buf_append(out, TG_LIT("**required**"));
    }
    if (option->fallback != NULL) {
        return tg_buf_printf(out, "`%s`", option->fallback);
    }
    bool has_zero = option->type == TG_OPTION_BOOL || option->type == TG_OPTION_INT ||
                    option->type == TG_OPTION_DOUBLE || option->type == TG_OPTION_OCTAL;
    if ((option->flags & (TG_OPTION_READ_ONLY | TG_OPTION_DISCARD)) != 0) {
        return TG_OK;
    }
    if (option->type == TG_OPTION_ENUM) {
        for (const struct tg_option_name *at = option->names; at->name != NULL; at++) {
            if (at->value == 0) {
                return tg_buf_printf(out, "`%s`", at->name);
            }
        }
        return TG_OK;
    }
    return has_zero ? tg_buf_printf(out, "`%s`", option->type == TG_OPTION_BOOL ? "false" : "0") : TG_OK;
}

static enum tg_err write_flags(struct tg_buf *out, const struct tg_option *option)
{
    static const struct {
        unsigned flag;
        const char *text;
    } notes[] = {{TG_OPTION_SECRET, "*Secret.*"},
                 {TG_OPTION_RESTART, "*A change takes a restart.*"},
                 {TG_OPTION_READ_ONLY, "*Output of the API model: accepted and ignored.*"},
                 {TG_OPTION_UNUSED, "*Accepted, without effect.*"},
                 {TG_OPTION_NOT_YET, "*Without effect in this version; a warning says so.*"},
                 {TG_OPTION_VERBATIM, "*`${NAME}` is not substituted.*"}};
    enum tg_err err = TG_OK;
    for (size_t i = 0; i < TG_OPTION_COUNT(notes) && err == TG_OK; i++) {
        if ((option->flags & notes[i].flag) != 0) {
            err = tg_buf_printf(out, " %s", notes[i].text);
        }
    }
    if (err == TG_OK && option->scope != NULL) {
        err = tg_buf_printf(out, " *%s only.*", option->scope);
    }
    return err;
}

static enum tg_err write_row(struct tg_buf *out, const struct tg_option *option)
{
    enum tg_err err = tg_buf_printf(out, "| `%s` | ", option->key);
    if (err == TG_OK) {
        err = write_type(out, option);
    }
    if (err == TG_OK) {
        err = tg_buf_append(out, TG_LIT(" | "));
    }
    if (err == TG_OK) {
        err = write_default(out, option);
    }
    if (err == TG_OK) {
        err = tg_buf_printf(out, " | %s", option->help != NULL ? option->help : "");
    }
    if (err == TG_OK) {
        err = write_flags(out, option);
    }
    return err == TG_OK ? tg_buf_append(out, TG_LIT(" |\n")) : err;
}

static enum tg_err write_section(struct tg_buf *out, const struct tg_schema *schema)
{
    enum tg_err err = tg_buf_printf(out, "\n## %s\n\n", schema->name);
    if (err == TG_OK && schema->help != NULL) {
        err = tg_buf_printf(out, "%s\n\n", schema->help);
    }
    if (err == TG_OK) {
        err = tg_buf_append(out, TG_LIT("| Key | Type | Default | Meaning |\n|---|---|---|---|\n"));
    }
    for (size_t i = 0; i < schema->row_count && err == TG_OK; i++) {
        if (schema->rows[i].key != NULL) {
            err = write_row(out, &schema->rows[i]);
        }
    }
    return err;
}

enum tg_err tg_options_markdown(const struct tg_schema *schema, struct tg_buf *out)
{
    struct writer writer = {.out = out};
    collect(&writer, schema);
    enum tg_err err = TG_OK;
    for (size_t i = 0; i < writer.count && err == TG_OK; i++) {
        err = write_section(out, writer.seen[i]);
    }
    return err;
}

static enum tg_err write_help_row(void *arg, const struct tg_option *option, struct tg_slice path,
                                  struct tg_slice variable)
{
    struct tg_buf *out = arg;
    enum tg_err err = tg_buf_printf(out, "  %.*s (%.*s)\n      %s", TG_FMT(path), TG_FMT(variable),
                                    option->help != NULL ? option->help : "");
    if (err == TG_OK && option->fallback != NULL) {
        err = tg_buf_printf(out, " [%s]", option->fallback);
    }
    return err == TG_OK ? tg_buf_append_char(out, '\n') : err;
}

enum tg_err tg_options_help(const struct tg_schema *schema, const char *prefix, struct tg_buf *out)
{
    return tg_options_each_scalar(schema, prefix, write_help_row, out);
}
