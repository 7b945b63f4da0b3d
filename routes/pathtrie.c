#include "routes/pathtrie.h"

#include "server/base/codec.h"
#include "server/base/map.h"

struct route {
    struct tg_routekey key;
    const void *value;
};

/* Routes of one path, by method. */
struct endpoint {
    const struct route *routes[TG_ROUTEKEY_METHOD_COUNT];
};

/* A place after some segments. Invariant: bound = 1 + literal_bound + that of `param`, where literal_bound is
 * the largest bound among the literal children: a walk visits one of these at most. */
struct node {
    uint32_t id;
    struct node *parent;
    bool is_literal;         /* as a child of its parent */
    size_t longest;          /* bytes of the longest literal child, 0: there is none */
    struct node *param;      /* the child for {name} */
    struct endpoint *full;   /* keys that end here */
    struct endpoint *greedy; /* keys with {name+} as the next segment */
    size_t literal_bound, bound;
};

struct tg_pathtrie {
    struct tg_arena *arena;
    struct node *root;
    uint32_t node_count;
    struct tg_map literals; /* a node's id and a decoded segment -> the child */
};

enum { ID_SIZE = sizeof(uint32_t) };

/* ---- building ---- */

static void destroy(void *arg)
{
    tg_map_free(&((struct tg_pathtrie *)arg)->literals, NULL);
}

static struct node *make_node(struct tg_pathtrie *trie, struct node *parent, bool is_literal)
{
    struct node *node = trie->node_count < UINT32_MAX ? tg_arena_zalloc(trie->arena, sizeof *node) : NULL;
    if (node != NULL) {
        node->id = trie->node_count++;
        node->parent = parent;
        node->is_literal = is_literal;
    }
    return node;
}

/* Mends the invariant from a new node up to the root. */
static void update_bounds(struct node *node)
{
    for (; node != NULL; node = node->parent) {
        node->bound = 1 + node->literal_bound + (node->param != NULL ? node->param->bound : 0);
        if (node->is_literal && node->parent->literal_bound < node->bound) {
            node->parent->literal_bound = node->bound;
        }
    }
}

enum tg_err tg_pathtrie_new(struct tg_arena *arena, struct tg_pathtrie **out)
{
    struct tg_pathtrie *trie = tg_arena_zalloc(arena, sizeof *trie);
    if (trie == NULL) {
        return TG_ENOMEM;
    }
    trie->arena = arena;
    tg_map_init(&trie->literals, 0);
    enum tg_err err = tg_arena_defer(arena, destroy, trie);
    if (err != TG_OK) {
        return err;
    }
    trie->root = make_node(trie, NULL, false);
    if (trie->root == NULL) {
        return TG_ENOMEM;
    }
    update_bounds(trie->root);
    *out = trie;
    return TG_OK;
}

static enum tg_err literal_child(struct tg_pathtrie *trie, struct node *node, struct tg_slice text,
                                 struct node **out)
{
    char *key = tg_arena_alloc(trie->arena, ID_SIZE + text.len);
    if (key == NULL) {
        return TG_ENOMEM;
    }
    memcpy(key, &node->id, ID_SIZE);
    memcpy(key + ID_SIZE, text.ptr, text.len);
    struct tg_slice name = tg_slice_make(key, ID_SIZE + text.len);
    struct node *child = tg_map_get(&trie->literals, name);
    if (child == NULL) {
        child = make_node(trie, node, true);
        enum tg_err err = child != NULL ? tg_map_add(&trie->literals, name, child) : TG_ENOMEM;
        if (err != TG_OK) {
            return err;
        }
        node->longest = text.len > node->longest ? text.len : node->longest;
        update_bounds(child);
    }
    *out = child;
    return TG_OK;
}

static enum tg_err child_of(struct tg_pathtrie *trie, struct node *node,
                            const struct tg_routekey_segment *segment, struct node **out)
{
    if (segment->kind == TG_ROUTEKEY_LITERAL) {
        return literal_child(trie, node, segment->text, out);
    }
    if (node->param == NULL) {
        struct node *child = make_node(trie, node, false);
        if (child == NULL) {
            return TG_ENOMEM;
        }
        node->param = child;
        update_bounds(child);
    }
    *out = node->param;
    return TG_OK;
}

/* Says why a key and one that was there match the same requests. */
static enum tg_err report_same(struct tg_pathtrie *trie, const struct tg_routekey *key,
                               const struct tg_routekey *other, struct tg_slice *error)
{
    const char *why = "percent-encoding alone is different";
    for (size_t i = 0; i < key->count; i++) {
        if (!tg_slice_eq(key->segments[i].text, other->segments[i].text)) {
            why = "names of parameters do not make keys different";
        }
    }
    enum tg_err err =
        tg_slice_eq(key->text, other->text)
            ? tg_arena_printf(trie->arena, error, "the route key \"%.*s\" is there already",
                              TG_FMT(key->text))
            : tg_arena_printf(trie->arena, error, "\"%.*s\" matches the same requests as \"%.*s\": %s",
                              TG_FMT(key->text), TG_FMT(other->text), why);
    return err == TG_OK ? TG_EEXIST : err;
}

enum tg_err tg_pathtrie_add(struct tg_pathtrie *trie, const struct tg_routekey *key, const void *value,
                            struct tg_slice *error)
{
    if (key->is_default) {
        *error = TG_LIT("$default has no path");
        return TG_EINVAL;
    }
    bool greedy = key->count > 0 && key->segments[key->count - 1].kind == TG_ROUTEKEY_GREEDY;
    struct node *node = trie->root;
    for (size_t i = 0; i < key->count - greedy; i++) {
        enum tg_err err = child_of(trie, node, &key->segments[i], &node);
        if (err != TG_OK) {
            return err;
        }
    }
    struct endpoint **endpoint = greedy ? &node->greedy : &node->full;
    if (*endpoint == NULL) {
        *endpoint = tg_arena_zalloc(trie->arena, sizeof **endpoint);
    }
    struct route *route = tg_arena_alloc(trie->arena, sizeof *route);
    if (*endpoint == NULL || route == NULL) {
        return TG_ENOMEM;
    }
    const struct route *other = (*endpoint)->routes[key->method];
    if (other != NULL) {
        return report_same(trie, key, &other->key, error);
    }
    *route = (struct route){*key, value};
    (*endpoint)->routes[key->method] = route;
    return TG_OK;
}

size_t tg_pathtrie_bound(const struct tg_pathtrie *trie)
{
    return trie->root->bound;
}

/* ---- matching ---- */

struct segment {
    struct tg_slice raw;
    char *key;  /* ID_SIZE bytes for a node's id, then the decoded text */
    size_t len; /* of the decoded text */
};

/* A request's path. Segments beyond the deepest node are only counted. */
struct path {
    const struct tg_pathtrie *trie;
    enum tg_routekey_method method;
    struct tg_slice raw;
    struct segment *segments;
    size_t count;
    size_t end; /* where keys without {name+} end: count, or one less for a slash that says nothing */
};

/* How many segments are kept: at least room for one. */
static size_t segments_kept(struct tg_slice raw)
{
    size_t count = 0;
    while (raw.len > 0 && count < TG_ROUTEKEY_SEGMENTS_MAX) {
        (void)tg_slice_cut(raw, '/', &raw);
        count++;
    }
    return count;
}

static enum tg_err split(struct path *path, enum tg_trailing_slash trailing, struct tg_arena *arena)
{
    struct tg_slice rest = tg_slice_from(path->raw, 1);
    if (path->raw.len == 0 || path->raw.ptr[0] != '/') {
        return TG_EINVAL;
    }
    /* Room for every segment's decoded bytes, and for an id before those that are kept and one more. */
    char *to = tg_arena_alloc(arena, path->raw.len + ID_SIZE * (TG_ROUTEKEY_SEGMENTS_MAX + 1));
    size_t kept = segments_kept(path->raw);
    path->segments = tg_arena_alloc(arena, kept * sizeof *path->segments);
    if (to == NULL || path->segments == NULL) {
        return TG_ENOMEM;
    }
    bool last_empty = false;
    while (path->raw.len > 1 && rest.ptr != NULL) {
        struct segment segment = {.raw = tg_slice_cut(rest, '/', &rest), .key = to};
        segment.len = tg_percent_decode_into(to + ID_SIZE, segment.raw, false);
        if (!tg_routekey_allows(tg_slice_make(to + ID_SIZE, segment.len))) {
            return TG_EINVAL;
        }
        last_empty = segment.raw.len == 0;
        if (path->count < kept) {
            path->segments[path->count] = segment;
            to += ID_SIZE + segment.len;
        }
        path->count++;
    }
    path->end = path->count - (trailing == TG_SLASH_IGNORE && last_empty);
    return TG_OK;
}

static const struct route *pick(const struct endpoint *endpoint, enum tg_routekey_method method)
{
    if (endpoint == NULL) {
        return NULL;
    }
    return endpoint->routes[method] != NULL ? endpoint->routes[method] : endpoint->routes[TG_ROUTEKEY_ANY];
}

static const struct node *find_literal(const struct path *path, const struct node *node, size_t depth)
{
    if (node->longest == 0 || depth >= path->count) {
        return NULL;
    }
    const struct segment *segment = &path->segments[depth];
    if (segment->len == 0 || segment->len > node->longest) {
        return NULL;
    }
    memcpy(segment->key, &node->id, ID_SIZE);
    return tg_map_get(&path->trie->literals, tg_slice_make(segment->key, ID_SIZE + segment->len));
}

static const struct node *find_param(const struct path *path, const struct node *node, size_t depth)
{
    return node->param != NULL && depth < path->count && path->segments[depth].len > 0 ? node->param : NULL;
}

/* Walks depth first, literals before {name}: the first key without {name+} that fits is the best, and of
 * those with one, the first in the order in which nodes are left. */
static const struct route *walk(const struct path *path, size_t *visits)
{
    enum way { ENTER, PARAM, LEAVE };
    struct {
        const struct node *node;
        enum way next;
    } stack[TG_ROUTEKEY_SEGMENTS_MAX + 1];
    const struct route *greedy = NULL;
    size_t size = 1;
    stack[0].node = path->trie->root;
    stack[0].next = ENTER;
    while (size > 0) {
        size_t depth = size - 1;
        const struct node *node = stack[depth].node, *child = NULL;
        if (stack[depth].next == ENTER) {
            const struct route *full = depth == path->end ? pick(node->full, path->method) : NULL;
            (*visits)++;
            if (full != NULL) {
                return full;
            }
            child = find_literal(path, node, depth);
            stack[depth].next = PARAM;
        } else if (stack[depth].next == PARAM) {
            child = find_param(path, node, depth);
            stack[depth].next = LEAVE;
        } else {
            if (greedy == NULL && depth < path->count) {
                greedy = pick(node->greedy, path->method);
            }
            size--;
        }
        if (child != NULL) {
            stack[size].node = child;
            stack[size++].next = ENTER;
        }
    }
    return greedy;
}

static enum tg_err fill_param(const struct path *path, const struct tg_routekey_segment *segment,
                              size_t place, struct tg_arena *arena, struct tg_pathtrie_param *out)
{
    const struct segment *at = &path->segments[place];
    struct tg_pathtrie_param param = {segment->text, at->raw, tg_slice_make(at->key + ID_SIZE, at->len)};
    if (segment->kind == TG_ROUTEKEY_GREEDY) {
        param.raw = tg_slice_from(path->raw, (size_t)(at->raw.ptr - path->raw.ptr));
        enum tg_err err = tg_percent_decode(arena, param.raw, false, &param.value);
        if (err != TG_OK) {
            return err;
        }
    }
    *out = param;
    return TG_OK;
}

static enum tg_err fill(const struct path *path, const struct route *route, struct tg_arena *arena,
                        struct tg_pathtrie_match *out)
{
    const struct tg_routekey *key = &route->key;
    struct tg_pathtrie_param *params = NULL;
    size_t count = 0;
    for (size_t i = 0; i < key->count; i++) {
        count += key->segments[i].kind != TG_ROUTEKEY_LITERAL;
    }
    if (count > 0) {
        params = tg_arena_alloc(arena, count * sizeof *params);
        if (params == NULL) {
            return TG_ENOMEM;
        }
    }
    count = 0;
    for (size_t i = 0; i < key->count; i++) {
        if (key->segments[i].kind != TG_ROUTEKEY_LITERAL) {
            enum tg_err err = fill_param(path, &key->segments[i], i, arena, &params[count++]);
            if (err != TG_OK) {
                return err;
            }
        }
    }
    out->value = route->value;
    out->params = params;
    out->param_count = count;
    return TG_OK;
}

enum tg_err tg_pathtrie_match(const struct tg_pathtrie *trie, struct tg_slice method, struct tg_slice path,
                              enum tg_trailing_slash trailing, struct tg_arena *arena,
                              struct tg_pathtrie_match *out)
{
    struct path split_path = {.trie = trie, .method = tg_routekey_method(method), .raw = path};
    enum tg_err err = split(&split_path, trailing, arena);
    if (err != TG_OK) {
        return err;
    }
    struct tg_pathtrie_match match = {0};
    const struct route *route =
        split_path.method != TG_ROUTEKEY_METHOD_COUNT ? walk(&split_path, &match.visits) : NULL;
    if (route != NULL) {
        err = fill(&split_path, route, arena, &match);
    }
    if (err == TG_OK) {
        *out = match;
    }
    return err;
}
