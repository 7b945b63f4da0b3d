/* Input: lines of route keys, an empty line, lines of requests: a method, a blank, a path. Keys that are
 * accepted must match what the definition, tried key by key, says. */
#include <stdint.h>
#include <stdlib.h>

#include "routes/pathtrie.h"
#include "tests/unit/naive_routes.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum { KEYS_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Texts that the definition of the tests has room for. */
static bool is_plain(struct tg_slice text)
{
    size_t slashes = 0;
    for (size_t i = 0; i < text.len; i++) {
        slashes += text.ptr[i] == '/';
    }
    return tg_slice_find(text, '\0') == text.len && slashes < NAIVE_SEGMENTS && text.len < NAIVE_TEXT;
}

/* Returns how many keys the trie took. */
static size_t add_keys(struct tg_arena *arena, struct tg_pathtrie *trie, struct tg_slice *rest,
                       const char **keys)
{
    size_t count = 0;
    while (rest->ptr != NULL && count < KEYS_MAX) {
        struct tg_routekey key;
        struct tg_slice error = TG_EMPTY, line = tg_slice_cut(*rest, '\n', rest);
        if (line.len == 0) {
            break;
        }
        enum tg_err err = tg_routekey_parse(arena, line, &key, &error);
        CHECK(err == TG_OK || (err == TG_ESYNTAX && error.len > 0));
        /* The definition takes an encoded brace in a key for a brace. */
        if (err != TG_OK || !is_plain(line) || tg_slice_find_slice(line, TG_LIT("%7")) < line.len) {
            continue;
        }
        error = TG_EMPTY;
        err = tg_pathtrie_add(trie, &key, key.text.ptr, &error);
        CHECK(err == TG_OK || (error.len > 0 && err == (key.is_default ? TG_EINVAL : TG_EEXIST)));
        keys[count] = key.text.ptr;
        count += err == TG_OK;
    }
    return count;
}

static void request(struct tg_arena *arena, const struct tg_pathtrie *trie, const char **keys, size_t count,
                    struct tg_slice line)
{
    struct tg_slice copy, path, method;
    CHECK(tg_arena_copy(arena, line, &copy) == TG_OK);
    method = tg_slice_cut(copy, ' ', &path);
    for (int ignore = 0; ignore < 2; ignore++) {
        struct tg_pathtrie_match found = {0};
        bool refused;
        enum tg_err err =
            tg_pathtrie_match(trie, method, path, ignore ? TG_SLASH_IGNORE : TG_SLASH_STRICT, arena, &found);
        CHECK(err == TG_OK || err == TG_EINVAL);
        CHECK(found.visits <= tg_pathtrie_bound(trie));
        for (size_t i = 0; i < found.param_count; i++) {
            CHECK(found.params[i].name.len > 0 && found.params[i].value.len <= found.params[i].raw.len);
            CHECK(found.params[i].raw.ptr >= path.ptr &&
                  found.params[i].raw.ptr + found.params[i].raw.len <= path.ptr + path.len);
        }
        if (path.ptr == NULL || !is_plain(line) || method.len > 32) {
            continue;
        }
        char name[33] = {0};
        memcpy(name, method.ptr, method.len);
        int expected = naive_match(keys, count, name, path.ptr, ignore, &refused);
        CHECK((err == TG_EINVAL) == refused);
        CHECK(found.value == (expected >= 0 ? keys[expected] : NULL));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_pathtrie *trie = NULL;
    const char *keys[KEYS_MAX];
    struct tg_slice rest = tg_slice_make(data, size);
    tg_arena_init(&arena, NULL);
    CHECK(tg_pathtrie_new(&arena, &trie) == TG_OK);
    size_t count = add_keys(&arena, trie, &rest, keys);
    while (rest.ptr != NULL) {
        request(&arena, trie, keys, count, tg_slice_cut(rest, '\n', &rest));
    }
    tg_arena_reset(&arena);
    return 0;
}
