#include "server/base/doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "server/base/doc_scalar.h"
#include "server/base/map.h"

enum { DEFAULT_BYTES = 16 * 1024 * 1024, DEFAULT_NODES = 100000, DEFAULT_DEPTH = 64, BYTES_PER_NODE = 4 };

/* A long file may hold much, a short one with aliases must not stand for much. */
static size_t default_nodes(struct tg_slice text)
{
    size_t in_proportion = text.len / BYTES_PER_NODE;
    return in_proportion > DEFAULT_NODES ? in_proportion : DEFAULT_NODES;
}

/* A collection whose end has not been read yet. */
struct frame {
    struct tg_doc_node *node;
    struct tg_doc_member *members;
    size_t cap;
    bool has_key; /* the next node is the value of `key` */
    struct tg_slice key;
    size_t line, column;
};

struct builder {
    struct tg_arena *arena;
    struct tg_doc_options options;
    const char *origin;
    struct tg_doc_error *error;
    struct frame *frames; /* options.max_depth of them */
    size_t depth;
    size_t made; /* nodes allocated */
    struct tg_map anchors;
    struct tg_doc_node *root;
    bool has_document, done;
};

static enum tg_err TG_PRINTF(4, 5)
    fail(struct builder *b, enum tg_err err, const yaml_mark_t *mark, const char *format, ...)
{
    b->error->line = mark->line + 1;
    b->error->column = mark->column + 1;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(b->error->text, sizeof b->error->text, format, args);
    va_end(args);
    return err;
}

static enum tg_err node_new(struct builder *b, const yaml_mark_t *mark, enum tg_doc_type type,
                            struct tg_doc_node **out)
{
    if (b->made >= b->options.max_nodes) {
        (void)fail(b, TG_ELIMIT, mark, "more than %zu values", b->options.max_nodes);
        return TG_ELIMIT;
    }
    struct tg_doc_node *node = tg_arena_zalloc(b->arena, sizeof *node);
    if (node == NULL) {
        return TG_ENOMEM;
    }
    b->made++;
    node->type = type;
    node->origin = b->origin;
    node->line = mark->line + 1;
    node->column = mark->column + 1;
    node->weight = 1;
    node->height = type == TG_DOC_SEQUENCE || type == TG_DOC_MAPPING ? 1 : 0;
    *out = node;
    return TG_OK;
}

#define CORE_TAG "tag:yaml.org,2002:"

static bool is_string_tag(const yaml_char_t *tag)
{
    const char *text = (const char *)tag;
    return text != NULL && (strcmp(text, "!") == 0 || strcmp(text, CORE_TAG "str") == 0);
}

/* Lets pass the core tags that say what the node is anyway. */
static enum tg_err check_tag(struct builder *b, const yaml_mark_t *mark, const yaml_char_t *tag,
                             enum tg_doc_type type)
{
    static const char *const names[] = {CORE_TAG "null", CORE_TAG "bool", CORE_TAG "int", CORE_TAG "float",
                                        CORE_TAG "str",  CORE_TAG "seq",  CORE_TAG "map"};
    const char *text = (const char *)tag;
    if (text == NULL || strcmp(text, "!") == 0 || strcmp(text, names[type]) == 0) {
        return TG_OK;
    }
    return fail(b, TG_ESYNTAX, mark, "the tag %.100s is not supported here", text);
}

static enum tg_err add_anchor(struct builder *b, const yaml_char_t *anchor, struct tg_doc_node *node)
{
    if (anchor == NULL) {
        return TG_OK;
    }
    struct tg_slice name = tg_slice_cstr((const char *)anchor);
    (void)tg_map_remove(&b->anchors, name); /* the latest of a name counts */
    return tg_map_add(&b->anchors, name, node);
}

static enum tg_err members_grow(struct builder *b, struct frame *frame)
{
    if (frame->node->count < frame->cap) {
        return TG_OK;
    }
    size_t cap = frame->cap == 0 ? 4 : frame->cap * 2;
    struct tg_doc_member *members = tg_arena_alloc(b->arena, cap * sizeof *members);
    if (members == NULL) {
        return TG_ENOMEM;
    }
    if (frame->node->count > 0) {
        memcpy(members, frame->members, frame->node->count * sizeof *members);
    }
    frame->members = members;
    frame->cap = cap;
    frame->node->members = members;
    return TG_OK;
}

/* Hangs a new or an aliased node into the collection being read, or makes it the root. */
static enum tg_err attach(struct builder *b, struct tg_doc_node *node, bool is_alias)
{
    if (b->depth == 0) {
        b->root = node;
        return TG_OK;
    }
    struct frame *frame = &b->frames[b->depth - 1];
    enum tg_err err = members_grow(b, frame);
    if (err != TG_OK) {
        return err;
    }
    frame->members[frame->node->count] = (struct tg_doc_member){
        .key = frame->key, .line = frame->line, .column = frame->column, .value = node};
    if (!is_alias) {
        node->parent = frame->node;
        node->key = frame->key;
        node->index = frame->node->count;
    }
    frame->node->count++;
    frame->has_key = false;
    frame->key = TG_EMPTY;
    return TG_OK;
}

/* Adds what a finished node stands for to the collection that holds it. */
static enum tg_err weigh(struct builder *b, const struct tg_doc_node *node, const yaml_mark_t *mark)
{
    if (b->depth == 0) {
        return TG_OK;
    }
    struct tg_doc_node *parent = b->frames[b->depth - 1].node;
    if (node->weight > b->options.max_nodes - parent->weight) {
        return fail(b, TG_ELIMIT, mark, "more than %zu values, aliases counted as what they stand for",
                    b->options.max_nodes);
    }
    parent->weight += node->weight;
    if (parent->height < node->height + 1) {
        parent->height = node->height + 1;
    }
    return TG_OK;
}

static bool expects_key(const struct builder *b)
{
    return b->depth > 0 && b->frames[b->depth - 1].node->type == TG_DOC_MAPPING &&
           !b->frames[b->depth - 1].has_key;
}

static enum tg_err on_scalar(struct builder *b, const yaml_event_t *event)
{
    struct tg_slice bytes = tg_slice_make(event->data.scalar.value, event->data.scalar.length);
    const yaml_mark_t *mark = &event->start_mark;
    if (tg_slice_find(bytes, '\0') != bytes.len) {
        return fail(b, TG_ESYNTAX, mark, "text with a NUL character");
    }
    struct tg_slice text;
    enum tg_err err = tg_arena_copy(b->arena, bytes, &text);
    if (err != TG_OK) {
        return err;
    }
    if (expects_key(b)) {
        struct frame *frame = &b->frames[b->depth - 1];
        frame->has_key = true;
        frame->key = text;
        frame->line = mark->line + 1;
        frame->column = mark->column + 1;
        return TG_OK;
    }
    struct tg_doc_node *node = NULL;
    err = node_new(b, mark, TG_DOC_STRING, &node);
    if (err != TG_OK) {
        return err;
    }
    const yaml_char_t *tag = event->data.scalar.tag;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || is_string_tag(tag);
    node->raw = text;
    err = tg_doc_substitute(b->arena, &b->options, node);
    if (err == TG_ELIMIT) {
        return fail(b, err, mark, "text longer than %zu bytes", b->options.max_bytes);
    }
    if (err != TG_OK) {
        return err;
    }
    tg_doc_resolve(node);
    err = check_tag(b, mark, tag, node->type);
    if (err == TG_OK) {
        err = add_anchor(b, event->data.scalar.anchor, node);
    }
    if (err == TG_OK) {
        err = attach(b, node, false);
    }
    return err == TG_OK ? weigh(b, node, mark) : err;
}

static enum tg_err on_start(struct builder *b, const yaml_event_t *event, enum tg_doc_type type)
{
    bool is_mapping = type == TG_DOC_MAPPING;
    const yaml_mark_t *mark = &event->start_mark;
    if (expects_key(b)) {
        return fail(b, TG_ESYNTAX, mark, "a key must be text");
    }
    if (b->depth >= b->options.max_depth) {
        return fail(b, TG_ELIMIT, mark, "nested deeper than %zu levels", b->options.max_depth);
    }
    struct tg_doc_node *node = NULL;
    enum tg_err err =
        check_tag(b, mark, is_mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag, type);
    if (err == TG_OK) {
        err = node_new(b, mark, type, &node);
    }
    if (err == TG_OK) {
        node->open = true;
        err = add_anchor(b, is_mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor,
                         node);
    }
    if (err == TG_OK) {
        err = attach(b, node, false);
    }
    if (err == TG_OK) {
        b->frames[b->depth++] = (struct frame){.node = node};
    }
    return err;
}

static int compare_members(const void *a, const void *b)
{
    const struct tg_doc_member *const *left = a, *const *right = b;
    int order = tg_slice_cmp((*left)->key, (*right)->key);
    return order != 0 ? order : (*left < *right ? -1 : 1);
}

static enum tg_err check_duplicates(struct builder *b, const struct tg_doc_node *node)
{
    if (node->count < 2) {
        return TG_OK;
    }
    const struct tg_doc_member **sorted = malloc(node->count * sizeof *sorted);
    if (sorted == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < node->count; i++) {
        sorted[i] = &node->members[i];
    }
    qsort(sorted, node->count, sizeof(const struct tg_doc_member *), compare_members);
    enum tg_err err = TG_OK;
    for (size_t i = 1; i < node->count && err == TG_OK; i++) {
        if (tg_slice_eq(sorted[i - 1]->key, sorted[i]->key)) {
            yaml_mark_t mark = {.line = sorted[i]->line - 1, .column = sorted[i]->column - 1};
            struct tg_slice key = tg_slice_head(sorted[i]->key, 100);
            err = fail(b, TG_ESYNTAX, &mark, "duplicate key \"%.*s\", first on line %zu", TG_FMT(key),
                       sorted[i - 1]->line);
        }
    }
    free(sorted);
    return err;
}

static enum tg_err on_end(struct builder *b, const yaml_event_t *event)
{
    struct tg_doc_node *node = b->frames[b->depth - 1].node;
    node->open = false;
    enum tg_err err = node->type == TG_DOC_MAPPING ? check_duplicates(b, node) : TG_OK;
    b->depth--;
    return err == TG_OK ? weigh(b, node, &event->start_mark) : err;
}

static enum tg_err on_alias(struct builder *b, const yaml_event_t *event)
{
    struct tg_slice name = tg_slice_cstr((const char *)event->data.alias.anchor);
    const yaml_mark_t *mark = &event->start_mark;
    struct tg_doc_node *node = tg_map_get(&b->anchors, name);
    if (expects_key(b)) {
        return fail(b, TG_ESYNTAX, mark, "an alias cannot be a key");
    }
    if (node == NULL) {
        return fail(b, TG_ESYNTAX, mark, "the anchor \"%.*s\" is not defined", TG_FMT(name));
    }
    if (node->open) {
        return fail(b, TG_ESYNTAX, mark, "the anchor \"%.*s\" contains itself", TG_FMT(name));
    }
    if (b->depth + node->height > b->options.max_depth) {
        return fail(b, TG_ELIMIT, mark, "nested deeper than %zu levels", b->options.max_depth);
    }
    enum tg_err err = attach(b, node, true);
    return err == TG_OK ? weigh(b, node, mark) : err;
}

static enum tg_err on_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->has_document) {
            return fail(b, TG_ESYNTAX, &event->start_mark, "a second document; only one is read");
        }
        b->has_document = true;
        return TG_OK;
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(b, event, TG_DOC_SEQUENCE);
    case YAML_MAPPING_START_EVENT:
        return on_start(b, event, TG_DOC_MAPPING);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(b, event);
    case YAML_ALIAS_EVENT:
        return on_alias(b, event);
    case YAML_STREAM_END_EVENT:
        b->done = true;
        return TG_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return TG_OK;
}

/* What the library found wrong, in its words. */
static enum tg_err library_error(struct builder *b, const yaml_parser_t *parser, struct tg_slice text)
{
    const char *problem = parser->problem != NULL ? parser->problem : "malformed input";
    if (parser->error == YAML_MEMORY_ERROR) {
        return TG_ENOMEM;
    }
    if (parser->error == YAML_READER_ERROR) {
        yaml_mark_t mark = {0};
        for (size_t i = 0; i < parser->problem_offset && i < text.len; i++) {
            mark.column = text.ptr[i] == '\n' ? 0 : mark.column + 1;
            mark.line += text.ptr[i] == '\n' ? 1 : 0;
        }
        return fail(b, TG_ESYNTAX, &mark, "%s", problem);
    }
    if (parser->context != NULL) {
        return fail(b, TG_ESYNTAX, &parser->problem_mark, "%s, %s (from line %zu)", problem, parser->context,
                    parser->context_mark.line + 1);
    }
    return fail(b, TG_ESYNTAX, &parser->problem_mark, "%s", problem);
}

static enum tg_err build(struct builder *b, struct tg_slice text)
{
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        return TG_ENOMEM;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.len > 0 ? text.ptr : ""), text.len);
    enum tg_err err = TG_OK;
    while (err == TG_OK && !b->done) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            err = library_error(b, &parser, text);
        } else {
            err = on_event(b, &event);
            yaml_event_delete(&event);
        }
    }
    yaml_parser_delete(&parser);
    return err;
}

enum tg_err tg_doc_parse(struct tg_arena *arena, const char *origin, struct tg_slice text,
                         const struct tg_doc_options *options, const struct tg_doc_node **out,
                         struct tg_doc_error *error)
{
    struct builder b = {.arena = arena, .origin = origin, .error = error};
    b.options = options != NULL ? *options : (struct tg_doc_options){0};
    b.options.max_bytes = b.options.max_bytes > 0 ? b.options.max_bytes : DEFAULT_BYTES;
    b.options.max_nodes = b.options.max_nodes > 0 ? b.options.max_nodes : default_nodes(text);
    b.options.max_depth = b.options.max_depth > 0 ? b.options.max_depth : DEFAULT_DEPTH;
    yaml_mark_t start = {0};
    *error = (struct tg_doc_error){0};
    if (text.len > b.options.max_bytes) {
        return fail(&b, TG_ELIMIT, &start, "longer than %zu bytes", b.options.max_bytes);
    }
    b.frames = tg_arena_alloc(arena, b.options.max_depth * sizeof *b.frames);
    if (b.frames == NULL) {
        return TG_ENOMEM;
    }
    tg_map_init(&b.anchors, 0);
    enum tg_err err = build(&b, text);
    tg_map_free(&b.anchors, NULL);
    if (err == TG_OK && b.root == NULL) {
        err = node_new(&b, &start, TG_DOC_NULL, &b.root);
    }
    if (err == TG_OK) {
        *out = b.root;
    }
    return err;
}
