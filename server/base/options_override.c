/* Values from the environment and from the command line, laid over what the file says. */
#include "server/base/options_internal.h"

enum { NAME_MAX_LEN = 256 };

/* maxAgeSeconds -> MAX_AGE_SECONDS */
static enum tg_err append_variable(struct tg_buf *out, const char *key)
{
    enum tg_err err = TG_OK;
    for (const char *at = key; *at != '\0' && err == TG_OK; at++) {
        bool is_upper = *at >= 'A' && *at <= 'Z';
        bool is_lower = *at >= 'a' && *at <= 'z';
        if (is_upper && at > key) {
            err = tg_buf_append_char(out, '_');
        }
        if (err == TG_OK) {
            err = tg_buf_append_char(out, is_lower ? (char)(*at - 'a' + 'A') : *at);
        }
    }
    return err;
}

struct walk {
    enum tg_err (*visit)(void *arg, const struct tg_option *option, struct tg_slice path,
                         struct tg_slice variable);
    void *arg;
    struct tg_buf path, variable;
};

static void shorten(struct tg_buf *buf, size_t size)
{
    buf->len = buf->off + size;
}

static enum tg_err walk_schema(struct walk *walk, const struct tg_schema *schema, bool top)
{
    enum tg_err err = TG_OK;
    for (size_t i = 0; i < schema->row_count && err == TG_OK; i++) {
        const struct tg_option *row = &schema->rows[i];
        bool is_struct = row->type == TG_OPTION_STRUCT;
        if (row->key == NULL || (!is_struct && !tg_option_is_scalar(row)) ||
            (row->flags & (TG_OPTION_READ_ONLY | TG_OPTION_DISCARD)) != 0) {
            continue;
        }
        size_t path_size = tg_buf_size(&walk->path);
        size_t variable_size = tg_buf_size(&walk->variable);
        err = tg_buf_printf(&walk->path, "%s%s", top ? "" : ".", row->key);
        if (err == TG_OK) {
            err = tg_buf_append(&walk->variable, top ? TG_LIT("_") : TG_LIT("__"));
        }
        if (err == TG_OK) {
            err = append_variable(&walk->variable, row->key);
        }
        if (err == TG_OK) {
            err = is_struct
                      ? walk_schema(walk, row->schema, false)
                      : walk->visit(walk->arg, row, tg_buf_slice(&walk->path), tg_buf_slice(&walk->variable));
        }
        shorten(&walk->path, path_size);
        shorten(&walk->variable, variable_size);
    }
    return err;
}

enum tg_err tg_options_each_scalar(const struct tg_schema *schema, const char *prefix,
                                   enum tg_err (*visit)(void *arg, const struct tg_option *option,
                                                        struct tg_slice path, struct tg_slice variable),
                                   void *arg)
{
    struct walk walk = {.visit = visit, .arg = arg};
    tg_buf_init(&walk.path, SIZE_MAX);
    tg_buf_init(&walk.variable, SIZE_MAX);
    enum tg_err err = tg_buf_append(&walk.variable, tg_slice_cstr(prefix));
    if (err == TG_OK) {
        err = walk_schema(&walk, schema, true);
    }
    tg_buf_free(&walk.path);
    tg_buf_free(&walk.variable);
    return err;
}

struct overrides {
    struct tg_arena *arena;
    struct tg_options_report *report;
    const struct tg_doc_node **root;
    char *const *environment;
    struct tg_slice wanted; /* variable that is asked for */
    bool known;
};

static enum tg_err set(struct overrides *overrides, struct tg_slice path, struct tg_slice text,
                       const char *origin)
{
    enum tg_err err = tg_doc_set(overrides->arena, *overrides->root, path, text, origin, overrides->root);
    if (err == TG_ESYNTAX) {
        tg_options_error(overrides->report, NULL, origin,
                         "expected a path such as admin.address or "
                         "listeners[0].address");
    } else if (err == TG_EINVAL) {
        tg_options_error(overrides->report, NULL, origin,
                         "does not fit: something on the way is no mapping, or the list is shorter");
    } else {
        return err;
    }
    return TG_OK;
}

static bool split(const char *entry, struct tg_slice *name, struct tg_slice *value)
{
    *name = tg_slice_cut(tg_slice_cstr(entry), '=', value);
    return value->ptr != NULL;
}

static enum tg_err take_variable(void *arg, const struct tg_option *option, struct tg_slice path,
                                 struct tg_slice variable)
{
    (void)option;
    struct overrides *overrides = arg;
    for (char *const *at = overrides->environment; *at != NULL; at++) {
        struct tg_slice name, value;
        if (!split(*at, &name, &value) || !tg_slice_eq(name, variable)) {
            continue;
        }
        struct tg_slice origin;
        enum tg_err err = tg_arena_copy(overrides->arena, name, &origin);
        return err == TG_OK ? set(overrides, path, value, origin.ptr) : err;
    }
    return TG_OK;
}

static enum tg_err compare_variable(void *arg, const struct tg_option *option, struct tg_slice path,
                                    struct tg_slice variable)
{
    (void)option;
    (void)path;
    struct overrides *overrides = arg;
    overrides->known = overrides->known || tg_slice_eq(variable, overrides->wanted);
    return TG_OK;
}

/* PREFIX_PORT, PREFIX_PORT_8080_TCP_ADDR, PREFIX_SERVICE_HOST ... */
static bool is_service_link(struct tg_slice rest)
{
    return tg_slice_starts(rest, TG_LIT("_PORT")) || tg_slice_starts(rest, TG_LIT("_SERVICE_"));
}

static enum tg_err warn_unknown(struct overrides *overrides, const struct tg_schema *schema,
                                const char *prefix)
{
    for (char *const *at = overrides->environment; *at != NULL; at++) {
        struct tg_slice name, value;
        struct tg_slice start = tg_slice_cstr(prefix);
        if (!split(*at, &name, &value) || !tg_slice_starts(name, start) ||
            !tg_slice_starts(tg_slice_from(name, start.len), TG_LIT("_")) ||
            is_service_link(tg_slice_from(name, start.len))) {
            continue;
        }
        overrides->wanted = name;
        overrides->known = false;
        enum tg_err err = tg_options_each_scalar(schema, prefix, compare_variable, overrides);
        if (err != TG_OK) {
            return err;
        }
        if (!overrides->known) {
            struct tg_slice shown = tg_slice_head(name, NAME_MAX_LEN);
            tg_options_warn(overrides->report, NULL, NULL, "%.*s: no option has this variable; ignored",
                            TG_FMT(shown));
        }
    }
    return TG_OK;
}

static enum tg_err take_set(struct overrides *overrides, const char *entry)
{
    struct tg_slice path, value, origin;
    if (!split(entry, &path, &value)) {
        tg_options_error(overrides->report, NULL, NULL, "--set %.100s: expected path=value", entry);
        return TG_OK;
    }
    enum tg_err err =
        tg_arena_printf(overrides->arena, &origin, "--set %.*s", TG_FMT(tg_slice_head(path, NAME_MAX_LEN)));
    return err == TG_OK ? set(overrides, path, value, origin.ptr) : err;
}

enum tg_err tg_options_override(const struct tg_schema *schema, struct tg_arena *arena, const char *prefix,
                                char *const *environment, const char *const *sets,
                                struct tg_options_report *report, const struct tg_doc_node **root)
{
    struct overrides overrides = {.arena = arena, .report = report, .root = root, .environment = environment};
    size_t errors = report->errors;
    enum tg_err err = TG_OK;
    if (environment != NULL) {
        err = tg_options_each_scalar(schema, prefix, take_variable, &overrides);
        if (err == TG_OK) {
            err = warn_unknown(&overrides, schema, prefix);
        }
    }
    for (const char *const *at = sets; err == TG_OK && at != NULL && *at != NULL; at++) {
        err = take_set(&overrides, *at);
    }
    if (err != TG_OK) {
        return err;
    }
    return report->errors == errors ? TG_OK : TG_EINVAL;
}
