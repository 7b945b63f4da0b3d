/* What is done with a finished document tree: look up, name, write, change a copy. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/base/doc.h"
#include "server/base/doc_scalar.h"
#include "server/base/json.h"

const struct tg_doc_member *tg_doc_member(const struct tg_doc_node *node, struct tg_slice key)
{
    if (node == NULL || node->type != TG_DOC_MAPPING) {
        return NULL;
    }
    for (size_t i = 0; i < node->count; i++) {
        if (tg_slice_eq(node->members[i].key, key)) {
            return &node->members[i];
        }
    }
    return NULL;
}

const struct tg_doc_node *tg_doc_get(const struct tg_doc_node *node, struct tg_slice key)
{
    const struct tg_doc_member *member = tg_doc_member(node, key);
    return member != NULL ? member->value : NULL;
}

const char *tg_doc_type_text(enum tg_doc_type type)
{
    static const char *const texts[] = {"null",     "a boolean", "an integer", "a number",
                                        "a string", "a list",    "a mapping"};
    return texts[type];
}

static bool is_plain_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_$@-/", c) != NULL);
}

static bool is_plain_key(struct tg_slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (!is_plain_key_char(key.ptr[i])) {
            return false;
        }
    }
    return key.len > 0;
}

enum tg_err tg_doc_path(const struct tg_doc_node *node, struct tg_buf *out)
{
    if (node == NULL || node->parent == NULL) {
        return TG_OK;
    }
    size_t before = tg_buf_size(out);
    enum tg_err err = tg_doc_path(node->parent, out);
    if (err != TG_OK) {
        return err;
    }
    if (node->parent->type == TG_DOC_SEQUENCE) {
        return tg_buf_printf(out, "[%zu]", node->index);
    }
    if (!is_plain_key(node->key)) {
        return tg_buf_printf(out, "[\"%.*s\"]", TG_FMT(node->key));
    }
    const char *dot = tg_buf_size(out) > before ? "." : "";
    return tg_buf_printf(out, "%s%.*s", dot, TG_FMT(node->key));
}

static enum tg_err write_number(struct tg_buf *out, const struct tg_doc_node *node)
{
    char text[32];
    if (!isfinite(node->real)) {
        return tg_json_write_string(out, node->text);
    }
    (void)snprintf(text, sizeof text, "%.15g", node->real);
    if (strtod(text, NULL) != node->real) {
        (void)snprintf(text, sizeof text, "%.17g", node->real);
    }
    return tg_buf_append(out, tg_slice_cstr(text));
}

static enum tg_err write_members(const struct tg_doc_node *node, struct tg_buf *out)
{
    bool is_mapping = node->type == TG_DOC_MAPPING;
    enum tg_err err = tg_buf_append_char(out, is_mapping ? '{' : '[');
    for (size_t i = 0; i < node->count && err == TG_OK; i++) {
        err = i > 0 ? tg_buf_append_char(out, ',') : TG_OK;
        if (err == TG_OK && is_mapping) {
            err = tg_json_write_string(out, node->members[i].key);
        }
        if (err == TG_OK && is_mapping) {
            err = tg_buf_append_char(out, ':');
        }
        if (err == TG_OK) {
            err = tg_doc_json(node->members[i].value, out);
        }
    }
    return err == TG_OK ? tg_buf_append_char(out, is_mapping ? '}' : ']') : err;
}

enum tg_err tg_doc_json(const struct tg_doc_node *node, struct tg_buf *out)
{
    switch (node->type) {
    case TG_DOC_NULL:
        return tg_buf_append(out, TG_LIT("null"));
    case TG_DOC_BOOL:
        return tg_buf_append(out, node->boolean ? TG_LIT("true") : TG_LIT("false"));
    case TG_DOC_INT:
        return tg_buf_printf(out, "%lld", (long long)node->integer);
    case TG_DOC_FLOAT:
        return write_number(out, node);
    case TG_DOC_STRING:
        return tg_json_write_string(out, node->text);
    case TG_DOC_SEQUENCE:
    case TG_DOC_MAPPING:
        break;
    }
    return write_members(node, out);
}

/* One step of a path: a key or an index. */
struct step {
    bool is_index;
    size_t index;
    struct tg_slice key;
};

static enum tg_err read_bracket(struct tg_slice *path, struct step *out)
{
    bool is_key = tg_slice_starts(*path, TG_LIT("[\""));
    struct tg_slice end = is_key ? TG_LIT("\"]") : TG_LIT("]");
    struct tg_slice rest = tg_slice_from(*path, is_key ? 2 : 1);
    size_t at = tg_slice_find_slice(rest, end);
    if (at == rest.len) {
        return TG_ESYNTAX;
    }
    struct tg_slice inner = tg_slice_head(rest, at);
    uint64_t index = 0;
    enum tg_err err = is_key ? TG_OK : tg_slice_to_u64(inner, &index);
    if (err != TG_OK) {
        return TG_ESYNTAX;
    }
    *out = (struct step){.is_index = !is_key, .index = (size_t)index, .key = is_key ? inner : TG_EMPTY};
    *path = tg_slice_from(rest, at + end.len);
    return TG_OK;
}

static enum tg_err read_step(struct tg_slice *path, bool first, struct step *out)
{
    if (tg_slice_starts(*path, TG_LIT("["))) {
        return read_bracket(path, out);
    }
    struct tg_slice rest = *path;
    if (!first) {
        if (!tg_slice_starts(rest, TG_LIT("."))) {
            return TG_ESYNTAX;
        }
        rest = tg_slice_from(rest, 1);
    }
    size_t len = 0;
    while (len < rest.len && is_plain_key_char(rest.ptr[len])) {
        len++;
    }
    if (len == 0) {
        return TG_ESYNTAX;
    }
    *out = (struct step){.key = tg_slice_head(rest, len)};
    *path = tg_slice_from(rest, len);
    return TG_OK;
}

/* A copy of a collection (of a new one when `old` is NULL or a null) with room for one more member. */
static struct tg_doc_node *copy_collection(struct tg_arena *arena, const struct tg_doc_node *old,
                                           enum tg_doc_type type, const char *origin)
{
    struct tg_doc_node *node = tg_arena_zalloc(arena, sizeof *node);
    bool is_new = old == NULL || old->type == TG_DOC_NULL;
    size_t count = is_new ? 0 : old->count;
    struct tg_doc_member *members = tg_arena_zalloc(arena, (count + 1) * sizeof *members);
    if (node == NULL || members == NULL) {
        return NULL;
    }
    if (is_new) {
        node->type = type;
        node->origin = origin;
        node->weight = 1;
        node->height = 1;
    } else {
        *node = *old;
        if (count > 0) {
            memcpy(members, old->members, count * sizeof *members);
        }
    }
    node->members = members;
    return node;
}

struct setter {
    struct tg_arena *arena;
    struct tg_slice text;
    const char *origin;
};

static enum tg_err set_at(const struct setter *setter, const struct tg_doc_node *old, struct tg_slice path,
                          bool first, struct tg_doc_node **out);

static enum tg_err set_scalar(const struct setter *setter, struct tg_doc_node **out)
{
    struct tg_doc_node *node = tg_arena_zalloc(setter->arena, sizeof *node);
    if (node == NULL) {
        return TG_ENOMEM;
    }
    enum tg_err err = tg_arena_copy(setter->arena, setter->text, &node->text);
    if (err != TG_OK) {
        return err;
    }
    node->raw = node->text;
    node->origin = setter->origin;
    node->weight = 1;
    tg_doc_resolve(node);
    *out = node;
    return TG_OK;
}

/* Puts the changed child of a copied collection into its place. */
static enum tg_err put_child(const struct setter *setter, struct tg_doc_node *node, const struct step *step,
                             struct tg_slice rest)
{
    size_t at = step->is_index ? step->index : 0;
    while (!step->is_index && at < node->count && !tg_slice_eq(node->members[at].key, step->key)) {
        at++;
    }
    if (at > node->count) {
        return TG_EINVAL;
    }
    struct tg_slice key = TG_EMPTY;
    struct tg_doc_node *child = NULL;
    enum tg_err err = step->is_index ? TG_OK : tg_arena_copy(setter->arena, step->key, &key);
    if (err == TG_OK) {
        err = set_at(setter, at < node->count ? node->members[at].value : NULL, rest, false, &child);
    }
    if (err != TG_OK) {
        return err;
    }
    child->parent = node;
    child->key = key;
    child->index = at;
    struct tg_doc_member *members = (struct tg_doc_member *)(uintptr_t)node->members; /* our own copy */
    members[at].key = key;
    members[at].value = child;
    if (at == node->count) {
        node->count++;
    }
    if (node->height < child->height + 1) {
        node->height = child->height + 1;
    }
    return TG_OK;
}

static enum tg_err set_at(const struct setter *setter, const struct tg_doc_node *old, struct tg_slice path,
                          bool first, struct tg_doc_node **out)
{
    if (path.len == 0) {
        return set_scalar(setter, out);
    }
    struct step step;
    enum tg_err err = read_step(&path, first, &step);
    if (err != TG_OK) {
        return err;
    }
    enum tg_doc_type type = step.is_index ? TG_DOC_SEQUENCE : TG_DOC_MAPPING;
    if (old != NULL && old->type != TG_DOC_NULL && old->type != type) {
        return TG_EINVAL;
    }
    struct tg_doc_node *node = copy_collection(setter->arena, old, type, setter->origin);
    if (node == NULL) {
        return TG_ENOMEM;
    }
    err = put_child(setter, node, &step, path);
    if (err == TG_OK) {
        *out = node;
    }
    return err;
}

enum tg_err tg_doc_set(struct tg_arena *arena, const struct tg_doc_node *root, struct tg_slice path,
                       struct tg_slice text, const char *origin, const struct tg_doc_node **out)
{
    enum { MAX_PATH = 1024 };
    if (path.len == 0 || path.len > MAX_PATH) {
        return TG_ESYNTAX;
    }
    struct setter setter = {.arena = arena, .text = text, .origin = origin};
    struct tg_doc_node *node = NULL;
    enum tg_err err = set_at(&setter, root, path, true, &node);
    if (err == TG_OK) {
        *out = node;
    }
    return err;
}
