/* A request against a small real directory. The first byte chooses settings and method; then the path below
 * the route, up to a line's end; then a header field a line, its first character standing for the name.
 *
 * Checked beside memory: what is served is a file of the directory, as its content says: never the secret
 * beside it, to which links lead, never a dot file that was not asked for; what goes out lies inside the file
 * and is as long as announced; a range is what was asked for, where that is easily told; every field can be
 * written; a redirect names no host. */
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "routes/static_private.h"
#include "tests/unit/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum { DOT_FILES = 1, PRECOMPRESSED = 2, FALLBACK = 4, ERROR_PAGE = 8, HEAD = 16, WALK = 32, SETTINGS = 16 };

static struct tree tree;
static struct tg_static *made[SETTINGS];

static void clean(void)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        tg_static_unref(made[i]);
    }
    tree_free(&tree);
}

/* Every file that may be seen begins with `public`, dot files with `dotted`. */
static void make_tree(void)
{
    static const char *const dirs[] = {"www", "www/docs", "www/a b", "www/.git", "www/gr\xc3\xbc\xc3\x9f"};
    static const struct {
        const char *name, *text;
    } files[] = {
        {"secret", "SECRET"},
        {"www/index.html", "public index"},
        {"www/app.js", "public 0123456789abcdefghijklmnopqrstuvwxyz"},
        {"www/app.js.gz", "public gz"},
        {"www/app.js.br", "public br"},
        {"www/e", "public"},
        {"www/docs/index.html", "public docs"},
        {"www/a b/c%d", "public percent"},
        {"www/gr\xc3\xbc\xc3\x9f/x\\y", "public backslash"},
        {"www/.env", "dotted"},
        {"www/.git/HEAD", "dotted head"},
        {"www/404.html", "public error"},
    };
    char root[128];
    tree_init(&tree);
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        tree_dir(&tree, dirs[i]);
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        tree_file(&tree, files[i].name, files[i].text);
        tree_time(&tree, files[i].name, 784111777, 0);
    }
    tree_bytes(&tree, "www/empty", "", 0);
    tree_link(&tree, "../secret", "www/up");
    tree_link(&tree, "..", "www/parent");
    tree_link(&tree, "../secret", "www/e.gz");
    tree_link(&tree, "/", "www/world");
    tree_link(&tree, "docs", "www/inside");
    tree_fifo(&tree, "www/fifo");
    (void)snprintf(root, sizeof root, "%s/www", tree.path);
    for (size_t i = 0; i < SETTINGS; i++) {
        const char *why;
        const struct tg_static_settings settings = {
            .root = tg_slice_cstr(root),
            .fallback = (i & FALLBACK) != 0 ? TG_LIT("404.html") : TG_EMPTY,
            .fallback_status = (i & ERROR_PAGE) != 0 ? 404 : 200,
            .dot_files = (i & DOT_FILES) != 0,
            .precompressed = (i & PRECOMPRESSED) != 0,
            .shared_etags = true, /* the same in every run */
        };
        CHECK(tg_static_new(&settings, &made[i], &why) == TG_OK);
    }
    (void)atexit(clean);
}

static struct tg_slice name_of(char c)
{
    switch (c) {
    case 'R':
        return TG_LIT("Range");
    case 'I':
        return TG_LIT("If-Range");
    case 'M':
        return TG_LIT("If-Match");
    case 'N':
        return TG_LIT("If-None-Match");
    case 'S':
        return TG_LIT("If-Modified-Since");
    case 'U':
        return TG_LIT("If-Unmodified-Since");
    case 'A':
        return TG_LIT("Accept-Encoding");
    default:
        return TG_LIT("X-Other");
    }
}

static void check_fields(const struct tg_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        CHECK(tg_header_name_ok(headers->items[i].name) && tg_header_value_ok(headers->items[i].value));
        CHECK(tg_headers_count(headers, headers->items[i].name) == 1);
    }
    const struct tg_header *location = tg_headers_first(headers, TG_LIT("Location"));
    CHECK(location == NULL || (tg_slice_starts(location->value, TG_LIT("./")) &&
                               !tg_slice_starts(location->value, TG_LIT(".//")) &&
                               tg_slice_find(location->value, '\\') == location->value.len));
}

static void check_content(const struct tg_static_found *found, bool dot_files)
{
    char text[64];
    ssize_t len = pread(found->file.fd, text, sizeof text, 0);
    CHECK(len >= 0 && (uint64_t)len == found->file.size);
    struct tg_slice bytes = tg_slice_make(text, (size_t)len);
    CHECK(len == 0 || tg_slice_starts(bytes, TG_LIT("public")) ||
          (dot_files && tg_slice_starts(bytes, TG_LIT("dotted"))));
}

/* `bytes=A-B` of few digits, against the plainest reading of it. */
static void check_simple_range(struct tg_slice value, uint64_t size, const struct tg_static_answer *answer)
{
    struct tg_slice after;
    uint64_t first, last;
    if (!tg_slice_starts(value, TG_LIT("bytes="))) {
        return;
    }
    struct tg_slice before = tg_slice_cut(tg_slice_from(value, 6), '-', &after);
    if (before.len > 4 || after.len > 4 || tg_slice_to_u64(before, &first) != TG_OK ||
        tg_slice_to_u64(after, &last) != TG_OK || first > last || size == 0) {
        return;
    }
    if (first >= size) {
        CHECK(answer->status == 416);
        return;
    }
    uint64_t end = last < size ? last + 1 : size;
    CHECK(answer->status == 206 && answer->count == 1);
    CHECK(answer->parts[0].offset == first && answer->parts[0].len == end - first);
}

static void check_parts(const struct tg_static_answer *answer, uint64_t size)
{
    uint64_t length = answer->tail.len, taken = 0;
    CHECK(answer->count <= TG_STATIC_RANGES_MAX);
    for (size_t i = 0; i < answer->count; i++) {
        const struct tg_static_part *part = &answer->parts[i];
        CHECK(part->offset <= size && part->len <= size - part->offset);
        CHECK((part->head.len > 0) == (answer->count > 1) && (part->len > 0 || answer->status != 206));
        length += part->head.len + part->len;
        taken += part->len;
        for (size_t j = 0; j < i; j++) {
            const struct tg_static_part *other = &answer->parts[j];
            CHECK(part->offset + part->len <= other->offset || other->offset + other->len <= part->offset);
        }
    }
    CHECK(taken <= size && length == answer->length);
    CHECK((answer->tail.len > 0) == (answer->count > 1));
}

static void check_answer(const struct tg_static_answer *answer, const struct tg_static_question *question,
                         const struct tg_static_found *found)
{
    const struct tg_header *range = tg_headers_first(question->headers, TG_LIT("Range"));
    const struct tg_header *told = tg_headers_first(&answer->headers, TG_LIT("Content-Range"));
    check_fields(&answer->headers);
    if (answer->count > 0) {
        CHECK(found->file.fd >= 0 && answer->body.len == 0);
        check_parts(answer, found->file.size);
    } else {
        CHECK(answer->length == answer->body.len);
    }
    CHECK((answer->status != 206 && answer->status != 416) || (range != NULL && !question->head));
    CHECK((told != NULL) == (answer->status == 416 || (answer->status == 206 && answer->count == 1)));
    CHECK(answer->status != 200 || (answer->count == 1 && answer->length == found->file.size));
    if (range != NULL && question->headers->count == 1 && found->outcome == TG_STATIC_FOUND &&
        !question->head) {
        check_simple_range(range->value, found->file.size, answer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 8192) {
        return 0;
    }
    if (made[0] == NULL) {
        make_tree();
    }
    int mode = data[0];
    struct tg_static *files = made[mode % SETTINGS];
    struct tg_static_wish wish = {0};
    struct tg_headers headers = {0};
    struct tg_arena arena;
    struct tg_slice rest;
    struct tg_slice path = tg_slice_cut(tg_slice_make(data + 1, size - 1), '\n', &rest);
    tg_arena_init(&arena, NULL);
    while (rest.len > 0) {
        struct tg_slice line = tg_slice_cut(rest, '\n', &rest);
        if (line.len > 0) {
            CHECK(tg_headers_add(&headers, &arena, name_of(line.ptr[0]), tg_slice_from(line, 1)) == TG_OK);
        }
    }
    enum tg_err err = tg_static_map(files, path, &arena, &wish.name, &wish.slash);
    CHECK(err == TG_OK || err == TG_ESYNTAX || err == TG_ENOTFOUND);
    CHECK(err != TG_OK || wish.name.len == 0 || tg_beneath_name_ok(wish.name));
    if (err != TG_ESYNTAX) {
        struct tg_static_found found;
        struct tg_static_answer answer;
        const struct tg_static_question question = {.headers = &headers,
                                                    .path = path,
                                                    .head = (mode & HEAD) != 0,
                                                    .now_ms = 1767323045000,
                                                    .random = 1};
        bool kernel = files->root.kernel;
        wish.missing = err != TG_OK;
        wish.coding_count = files->precompressed ? tg_static_codings(&headers, wish.codings) : 0;
        files->root.kernel = kernel && (mode & WALK) == 0;
        tg_static_find(files, &wish, &found);
        files->root.kernel = kernel;
        CHECK(tg_static_answer(files, &question, &found, &arena, &answer) == TG_OK);
        if (found.file.fd >= 0) {
            check_content(&found, files->dot_files);
        }
        check_answer(&answer, &question, &found);
        if (found.file.fd >= 0) {
            (void)close(found.file.fd);
        }
    }
    tg_arena_reset(&arena);
    return 0;
}
