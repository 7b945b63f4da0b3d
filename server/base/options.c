/* Structs, lists and maps of structs: walks a schema and a mapping side by side. */
#include "server/base/options.h"

#include "server/base/options_internal.h"

enum { KEY_MAX = 64 };

static void bind_struct(struct tg_binder *binder, const struct tg_schema *schema,
                        const struct tg_doc_node *node, struct tg_slice key, void *target);

/* The member, unless it is absent or null. */
static const struct tg_doc_node *find_value(const struct tg_doc_node *node, const struct tg_option *option)
{
    const struct tg_doc_node *value = tg_doc_get(node, tg_slice_cstr(option->key));
    return value != NULL && value->type != TG_DOC_NULL ? value : NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edits between two keys, letter case ignored; SIZE_MAX for keys too long to bother. */
static size_t distance(struct tg_slice a, struct tg_slice b)
{
    size_t row[KEY_MAX + 1];
    if (a.len > KEY_MAX || b.len > KEY_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t cost = lower(a.ptr[i - 1]) == lower(b.ptr[j - 1]) ? 0 : 1;
            size_t next = min3(row[j] + 1, row[j - 1] + 1, diagonal + cost);
            diagonal = row[j];
            row[j] = next;
        }
    }
    return row[b.len];
}

static void report_unknown(struct tg_binder *binder, const struct tg_schema *schema,
                           const struct tg_doc_node *node, struct tg_slice key)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < schema->row_count; i++) {
        const char *known = schema->rows[i].key;
        size_t edits = known != NULL ? distance(key, tg_slice_cstr(known)) : SIZE_MAX;
        if (edits < least) {
            least = edits;
            nearest = known;
        }
    }
    char name[KEY_MAX * 2];
    size_t len = key.len < sizeof name ? key.len : sizeof name - 1;
    memcpy(name, key.ptr, len);
    name[len] = '\0';
    if (nearest != NULL && least <= 2 + key.len / 5) {
        tg_options_error(binder->report, node, name, "unknown key; did you mean %s?", nearest);
    } else {
        tg_options_error(binder->report, node, name, "unknown key");
    }
}

static const struct tg_option *find_row(const struct tg_schema *schema, struct tg_slice key)
{
    for (size_t i = 0; i < schema->row_count; i++) {
        if (schema->rows[i].key != NULL && tg_slice_eq(key, tg_slice_cstr(schema->rows[i].key))) {
            return &schema->rows[i];
        }
    }
    return NULL;
}

/* Keys that are not known, or not for this kind of thing. */
static void check_keys(struct tg_binder *binder, const struct tg_schema *schema,
                       const struct tg_doc_node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        struct tg_slice key = node->members[i].key;
        const struct tg_option *row = find_row(schema, key);
        if (row == NULL && !tg_slice_starts(key, TG_LIT("x-"))) {
            report_unknown(binder, schema, node, key);
        } else if (row != NULL && node->members[i].value->type != TG_DOC_NULL &&
                   !tg_options_in_scope(binder, row->scope)) {
            tg_options_error(binder->report, node, row->key, "cannot be set for %.*s %s; it is for %s",
                             TG_FMT(binder->scope), binder->scope_noun, row->scope);
        }
    }
}

/* The file that stands in for a string, or the other way round. */
static const struct tg_option *find_twin(const struct tg_schema *schema, const struct tg_option *option)
{
    for (size_t i = 0; i < schema->row_count; i++) {
        const struct tg_option *row = &schema->rows[i];
        bool pair = (row->type == TG_OPTION_FILE && option->type == TG_OPTION_STRING) ||
                    (row->type == TG_OPTION_STRING && option->type == TG_OPTION_FILE);
        if (pair && row->offset == option->offset) {
            return row;
        }
    }
    return NULL;
}

static void check_required(struct tg_binder *binder, const struct tg_schema *schema,
                           const struct tg_doc_node *node)
{
    for (size_t i = 0; i < schema->row_count; i++) {
        const struct tg_option *row = &schema->rows[i];
        const struct tg_option *twin = row->key != NULL ? find_twin(schema, row) : NULL;
        bool has_row = row->key != NULL && find_value(node, row) != NULL;
        bool has_twin = twin != NULL && find_value(node, twin) != NULL;
        if (has_row && has_twin && row->type == TG_OPTION_FILE) {
            tg_options_error(binder->report, node, row->key, "cannot be set together with %s", twin->key);
        } else if ((row->flags & TG_OPTION_REQUIRED) != 0 && tg_options_in_scope(binder, row->scope) &&
                   !has_row && !has_twin) {
            tg_options_error(binder->report, node, NULL, "the key %s%s%s is missing", row->key,
                             twin != NULL ? " or " : "", twin != NULL ? twin->key : "");
        }
    }
}

/* The layout of every list of structs. */
struct list {
    void *items;
    size_t count;
};

static void bind_structs(struct tg_binder *binder, const struct tg_option *option,
                         const struct tg_doc_node *node, struct list *out)
{
    bool is_map = option->type == TG_OPTION_STRUCT_MAP;
    if (node->type != (is_map ? TG_DOC_MAPPING : TG_DOC_SEQUENCE)) {
        tg_options_error(binder->report, node, NULL, "expected %s, got %s", is_map ? "a mapping" : "a list",
                         tg_doc_type_text(node->type));
        return;
    }
    size_t size = option->schema->size;
    char *items = node->count < SIZE_MAX / size ? tg_arena_zalloc(binder->arena, node->count * size) : NULL;
    if (items == NULL) {
        binder->report->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        bind_struct(binder, option->schema, node->members[i].value, node->members[i].key, items + i * size);
    }
    *out = (struct list){.items = items, .count = node->count};
}

/* Reports every variable without a value beneath a node. Shared parts are walked each time: the document's
 * limit on nodes bounds that. */
static void check_subtree(struct tg_binder *binder, const struct tg_option *option,
                          const struct tg_doc_node *node)
{
    (void)tg_options_check_variables(binder, option, node);
    for (size_t i = 0; i < node->count; i++) {
        check_subtree(binder, option, node->members[i].value);
    }
}

static void bind_row(struct tg_binder *binder, const struct tg_option *option, const struct tg_doc_node *node,
                     void *target)
{
    switch (option->type) {
    case TG_OPTION_STRUCT:
        bind_struct(binder, option->schema, node, TG_EMPTY, target);
        break;
    case TG_OPTION_STRUCTS:
    case TG_OPTION_STRUCT_MAP:
        if (node != NULL) {
            bind_structs(binder, option, node, target);
        }
        break;
    case TG_OPTION_NODE:
        if (node != NULL) {
            check_subtree(binder, option, node);
            *(const struct tg_doc_node **)target = node;
        }
        break;
    default:
        if (node != NULL) {
            tg_options_bind_value(binder, option, node, target);
        } else {
            tg_options_bind_fallback(binder, option, target);
        }
        break;
    }
}

/* Memory for a value that is checked and thrown away. */
static void *scratch(struct tg_binder *binder, const struct tg_option *option)
{
    size_t size = option->type == TG_OPTION_STRUCT ? option->schema->size : 2 * sizeof(struct tg_slice);
    void *memory = tg_arena_zalloc(binder->arena, size);
    if (memory == NULL) {
        binder->report->out_of_memory = true;
    }
    return memory;
}

static void enter_scope(struct tg_binder *binder, const struct tg_schema *schema,
                        const struct tg_doc_node *node)
{
    if (schema->scope_key == NULL) {
        return;
    }
    const struct tg_doc_node *value = tg_doc_get(node, tg_slice_cstr(schema->scope_key));
    const struct tg_option *row = find_row(schema, tg_slice_cstr(schema->scope_key));
    binder->scope_key = schema->scope_key;
    binder->scope_noun = schema->scope_noun;
    binder->scope = TG_EMPTY;
    for (const struct tg_option_name *at = row != NULL ? row->names : NULL;
         value != NULL && at != NULL && at->name != NULL; at++) {
        if (tg_slice_eq(value->text, tg_slice_cstr(at->name))) {
            binder->scope = value->text;
        }
    }
}

static void bind_rows(struct tg_binder *binder, const struct tg_schema *schema,
                      const struct tg_doc_node *node, struct tg_slice key, char *target)
{
    for (size_t i = 0; i < schema->row_count && !binder->report->out_of_memory; i++) {
        const struct tg_option *row = &schema->rows[i];
        if (row->type == TG_OPTION_WHERE) {
            *(const struct tg_doc_node **)(void *)(target + row->offset) = node;
            continue;
        }
        if (row->type == TG_OPTION_KEY) {
            *(struct tg_slice *)(void *)(target + row->offset) = tg_options_keep(binder, key);
            continue;
        }
        const struct tg_doc_node *value = find_value(node, row);
        bool discard = (row->flags & TG_OPTION_DISCARD) != 0;
        if ((row->flags & TG_OPTION_READ_ONLY) != 0 || (discard && value == NULL)) {
            continue;
        }
        if (value != NULL && !tg_options_in_scope(binder, row->scope)) {
            continue; /* reported with the keys */
        }
        if (value != NULL && (row->flags & TG_OPTION_NOT_YET) != 0) {
            tg_options_warn(binder->report, node, row->key, "has no effect in this version");
        }
        void *member = discard ? scratch(binder, row) : target + row->offset;
        if (member != NULL) {
            bind_row(binder, row, value, member);
        }
    }
}

/* A NULL or null node: the struct is absent, its defaults are bound. */
static void bind_struct(struct tg_binder *binder, const struct tg_schema *schema,
                        const struct tg_doc_node *node, struct tg_slice key, void *target)
{
    size_t errors = binder->report->errors;
    if (node != NULL && node->type != TG_DOC_MAPPING && node->type != TG_DOC_NULL) {
        tg_options_error(binder->report, node, NULL, "expected a mapping, got %s",
                         tg_doc_type_text(node->type));
        return;
    }
    if (node != NULL && node->type == TG_DOC_NULL && key.len == 0) {
        tg_options_error(binder->report, node, NULL, "expected a mapping, got null");
        return;
    }
    struct tg_binder inner = *binder;
    enter_scope(&inner, schema, node);
    if (node != NULL && node->type == TG_DOC_MAPPING) {
        check_keys(&inner, schema, node);
        check_required(&inner, schema, node);
    }
    bind_rows(&inner, schema, node, key, target);
    if (schema->check != NULL && node != NULL && binder->report->errors == errors) {
        schema->check(binder->report, node, inner.scope, target);
    }
}

enum tg_err tg_options_bind(const struct tg_schema *schema, struct tg_arena *arena,
                            const struct tg_doc_node *root, struct tg_options_report *report, void *target)
{
    struct tg_binder binder = {.arena = arena, .report = report};
    bool is_empty = root->type == TG_DOC_NULL;
    if (is_empty) {
        /* An empty file is a mapping without keys. */
        struct tg_doc_node *empty = tg_arena_zalloc(arena, sizeof *empty);
        if (empty == NULL) {
            return TG_ENOMEM;
        }
        *empty = *root;
        empty->type = TG_DOC_MAPPING;
        root = empty;
    }
    size_t errors = report->errors;
    bind_struct(&binder, schema, root, TG_EMPTY, target);
    if (report->out_of_memory) {
        return TG_ENOMEM;
    }
    return report->errors == errors ? TG_OK : TG_EINVAL;
}
