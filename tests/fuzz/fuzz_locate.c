/* Input: a configuration as lines of text (tests/unit/locate_text.h), an empty line, lines of requests: `ws`
 * or `http`, a host, a path, parted by blanks. What compiles must find what the definition, by walking
 * everything, says; what does not must say why. */
#include "tests/unit/locate_text.h"
#include "tests/unit/naive_locate.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum { PATH_MOST = 800, HOST_MOST = 500 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count_error(void *arg, const struct tg_doc_node *where, const char *key, const char *text)
{
    CHECK(where == NULL && key[0] != '\0' && text[0] != '\0');
    (*(size_t *)arg)++;
}

/* The path's parts, one behind the other, are the path. */
static void check_parts(struct tg_slice path, const struct tg_location *found)
{
    CHECK(found->base.len == 0 || found->base.ptr == path.ptr);
    if (found->path.ptr != path.ptr + found->base.len) {
        CHECK(found->base.len == path.len && tg_slice_eq(found->path, TG_LIT("/")));
    } else {
        CHECK(found->base.len + found->path.len == path.len);
    }
    CHECK(path.len == 0 || path.ptr[0] != '/' || found->path.ptr[0] == '/');
}

static void request(const struct tg_locate_config *config, const struct tg_locator *locator,
                    struct tg_slice line)
{
    struct tg_location found, expected;
    struct tg_slice path, word = tg_slice_cut(line, ' ', &line), host = tg_slice_cut(line, ' ', &path);
    if (path.ptr == NULL) {
        return;
    }
    bool upgrade = tg_slice_eq(word, TG_LIT("ws"));
    tg_locate(locator, host, path, upgrade, &found);
    check_parts(path, &found);
    if (path.len > PATH_MOST || host.len > HOST_MOST) {
        return;
    }
    naive_locate(config, host, path, upgrade, &expected);
    CHECK(naive_same(&found, &expected));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_locator *locator = NULL;
    struct tg_slice rest = tg_slice_make(data, size);
    size_t errors = 0;
    if (tg_slice_find(rest, '\0') < size) {
        return 0; /* the definition works on C strings */
    }
    tg_arena_init(&arena, NULL);
    const struct tg_locate_config *config = locate_text_read(&arena, &rest);
    CHECK(config != NULL);
    enum tg_err err = tg_locator_compile(&arena, config, count_error, &errors, &locator);
    CHECK(errors > 0 ? err == TG_EINVAL && locator == NULL : err == TG_OK && locator != NULL);
    while (err == TG_OK && rest.ptr != NULL) {
        request(config, locator, tg_slice_cut(rest, '\n', &rest));
    }
    tg_arena_reset(&arena);
    return 0;
}
