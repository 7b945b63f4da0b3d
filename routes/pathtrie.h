/* Which route of an HTTP API a request takes, by method and path (spec http-api.md 1.2). Built once when the
 * configuration is loaded, in the arena given, with which it dies; then immutable, so that threads may share
 * it. Holds `METHOD /path` keys; `$default` is the caller's, who takes it when nothing is found.
 *
 * What is compared: a path is split at its slashes as it came over the wire, then each segment is
 * percent-decoded (a broken escape stays as it is), so that `%2F` never splits; literals are compared as
 * bytes. An empty segment is matched by {name+} alone; the path `/` has no segments.
 *
 * Order: keys without {name+} first, then keys with one. Within each, segments are compared from left to
 * right: a literal beats {name} beats {name+}; on the same path the method itself beats ANY. A key whose path
 * fits but whose method does not is no candidate. ANY stands for the seven methods of routekey.h.
 *
 * Cost: literals are found in one hash map, whatever their number. A walk goes the ways of a literal and of
 * {name} at the same place only if routes have both there; each node is visited at most once, and
 * tg_pathtrie_bound says how many at most, for any request. */
#ifndef TG_ROUTES_PATHTRIE_H
#define TG_ROUTES_PATHTRIE_H

#include "routes/routekey.h"

struct tg_pathtrie;

/* `strict`: `/a/` has an empty segment behind `a`. `ignore`: for keys without {name+}, one slash at the end
 * says nothing. */
enum tg_trailing_slash { TG_SLASH_STRICT, TG_SLASH_IGNORE };

struct tg_pathtrie_param {
    struct tg_slice name;  /* of the trie */
    struct tg_slice raw;   /* as on the wire, of the path; of {name+} with its slashes */
    struct tg_slice value; /* percent-decoded, of the path or the arena; any bytes but NUL */
};

struct tg_pathtrie_match {
    const void *value; /* what was added; NULL: no route */
    const struct tg_pathtrie_param *params;
    size_t param_count;
    size_t visits; /* of nodes, for tests */
};

/* TG_ENOMEM. */
enum tg_err tg_pathtrie_new(struct tg_arena *arena, struct tg_pathtrie **out) TG_MUST_CHECK;

/* The key's segments and the value are borrowed for the life of the trie; value is not NULL. TG_EEXIST: the
 * same requests have a key already; *error says which one, in the arena. TG_EINVAL: the key is `$default`
 * (*error is set). TG_ENOMEM. After a failure the trie matches as before. */
enum tg_err tg_pathtrie_add(struct tg_pathtrie *trie, const struct tg_routekey *key, const void *value,
                            struct tg_slice *error) TG_MUST_CHECK;

/* `path` as on the wire, without the query. The match lives as long as the arena and the path. TG_OK says
 * nothing of whether there is a route. TG_EINVAL: the path is refused whatever the routes are: it does not
 * begin with `/`, or holds `..` between slashes or a NUL after decoding. TG_ENOMEM. */
enum tg_err tg_pathtrie_match(const struct tg_pathtrie *trie, struct tg_slice method, struct tg_slice path,
                              enum tg_trailing_slash trailing, struct tg_arena *arena,
                              struct tg_pathtrie_match *out) TG_MUST_CHECK;

/* The most nodes that a match visits: depth + 1 where no route has {name} beside a literal. */
size_t tg_pathtrie_bound(const struct tg_pathtrie *trie);

#endif
