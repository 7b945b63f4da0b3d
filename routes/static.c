#include "routes/static.h"

#include <limits.h>
#include <stdlib.h>

#include "routes/static_private.h"

/* ---- settings ---- */

static bool is_dot_file(struct tg_slice name)
{
    for (struct tg_slice part; name.len > 0;) {
        part = tg_slice_cut(name, '/', &name);
        if (part.len > 0 && part.ptr[0] == '.') {
            return true;
        }
    }
    return false;
}

static const char *check(const struct tg_static_settings *settings)
{
    struct tg_slice index = settings->index_document;
    int status = settings->fallback_status;
    if (settings->root.len == 0 || memchr(settings->root.ptr, '\0', settings->root.len) != NULL) {
        return "the directory has no name";
    }
    if (index.len > 0 && (!tg_beneath_name_ok(index) || tg_slice_find(index, '/') < index.len)) {
        return "the index document must be the name of a file, without a path";
    }
    if (settings->fallback.len > 0 && !tg_beneath_name_ok(settings->fallback)) {
        return "the fallback must be a path beneath the directory, without a slash at its start and without "
               "'..'";
    }
    if (!settings->dot_files && (is_dot_file(index) || is_dot_file(settings->fallback))) {
        return "the index document and the fallback must not be dot files unless dot files are served";
    }
    if (status != 0 && status != 200 && (status < 400 || status > 599)) {
        return "the fallback's status must be 200 or 400 to 599";
    }
    if (!tg_header_value_ok(settings->cache_control)) {
        return "the value for Cache-Control holds a control character";
    }
    for (size_t i = 0; i < settings->types.count; i++) {
        struct tg_slice type = settings->types.items[i].value;
        if (!tg_header_value_ok(type) || tg_slice_find(type, '/') == type.len) {
            return "a media type must look like 'text/plain'";
        }
    }
    return NULL;
}

static enum tg_err copy_types(const struct tg_string_map *from, struct tg_arena *arena,
                              struct tg_string_map *to)
{
    to->items = from->count > 0 ? tg_arena_alloc(arena, from->count * sizeof *to->items) : NULL;
    if (from->count > 0 && to->items == NULL) {
        return TG_ENOMEM;
    }
    for (; to->count < from->count; to->count++) {
        struct tg_string_pair *pair = &to->items[to->count];
        struct tg_slice key = from->items[to->count].key;
        if (tg_slice_starts(key, TG_LIT("."))) {
            key = tg_slice_from(key, 1);
        }
        char *lower = tg_arena_alloc(arena, key.len + 1);
        if (lower == NULL) {
            return TG_ENOMEM;
        }
        for (size_t i = 0; i < key.len; i++) {
            char c = key.ptr[i];
            lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        }
        pair->key = tg_slice_make(lower, key.len);
        enum tg_err err = tg_arena_copy(arena, from->items[to->count].value, &pair->value);
        if (err != TG_OK) {
            return err;
        }
    }
    return TG_OK;
}

static enum tg_err copy_settings(const struct tg_static_settings *from, struct tg_static *files)
{
    struct tg_arena *arena = &files->arena;
    struct tg_slice index = from->index_document.len > 0 ? from->index_document : TG_LIT("index.html");
    enum tg_err err = tg_arena_copy(arena, index, &files->index);
    if (err == TG_OK) {
        err = tg_arena_copy(arena, from->fallback, &files->fallback);
    }
    if (err == TG_OK) {
        err = tg_arena_copy(arena, from->cache_control, &files->cache_control);
    }
    if (err == TG_OK) {
        err = copy_types(&from->types, arena, &files->types);
    }
    files->fallback_status = from->fallback_status != 0 ? from->fallback_status : 200;
    files->dot_files = from->dot_files;
    files->precompressed = from->precompressed;
    files->shared_etags = from->shared_etags;
    files->allow_sniffing = from->allow_sniffing;
    return err;
}

static enum tg_err open_root(struct tg_static *files, struct tg_slice root, const char **why)
{
    struct tg_slice path;
    *why = "out of memory";
    enum tg_err err = tg_arena_copy(&files->arena, root, &path);
    if (err == TG_OK) {
        err = tg_beneath_open_root(path.ptr, &files->root);
        *why = err == TG_ENOTFOUND ? "there is no such directory"
               : err == TG_EDENIED ? "the directory may not be entered"
                                   : "the directory could not be opened";
    }
    return err;
}

enum tg_err tg_static_new(const struct tg_static_settings *settings, struct tg_static **out, const char **why)
{
    const char *wrong = check(settings);
    if (wrong != NULL) {
        *why = wrong;
        return TG_EINVAL;
    }
    struct tg_static *files = calloc(1, sizeof *files);
    if (files == NULL) {
        *why = "out of memory";
        return TG_ENOMEM;
    }
    atomic_init(&files->refs, 1);
    tg_arena_init(&files->arena, NULL);
    files->root.fd = -1;
    wrong = "out of memory";
    enum tg_err err = copy_settings(settings, files);
    if (err == TG_OK) {
        err = open_root(files, settings->root, &wrong);
    }
    if (err != TG_OK) {
        *why = wrong;
        tg_static_unref(files);
        return err;
    }
    *out = files;
    return TG_OK;
}

struct tg_static *tg_static_ref(struct tg_static *files)
{
    atomic_fetch_add_explicit(&files->refs, 1, memory_order_relaxed);
    return files;
}

void tg_static_unref(struct tg_static *files)
{
    if (files != NULL && atomic_fetch_sub_explicit(&files->refs, 1, memory_order_acq_rel) == 1) {
        tg_beneath_close_root(&files->root);
        tg_arena_reset(&files->arena);
        free(files);
    }
}

/* ---- paths ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* One segment, decoded, to out; a name's bytes, whatever they are. */
static enum tg_err decode_segment(struct tg_slice segment, char *out, size_t *len)
{
    size_t written = 0;
    for (size_t i = 0; i < segment.len; i++) {
        char c = segment.ptr[i];
        if (c == '%') {
            int high = i + 2 < segment.len ? hex_digit(segment.ptr[i + 1]) : -1;
            int low = i + 2 < segment.len ? hex_digit(segment.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return TG_ESYNTAX;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0' || c == '/') {
            return TG_ESYNTAX;
        }
        out[written++] = c;
    }
    *len = written;
    return TG_OK;
}

enum tg_err tg_static_map(const struct tg_static *files, struct tg_slice below, struct tg_arena *arena,
                          struct tg_slice *name, bool *slash)
{
    struct tg_slice rest = tg_slice_starts(below, TG_LIT("/")) ? tg_slice_from(below, 1) : below;
    bool directory = below.len > 0, found = true;
    char *text = tg_arena_alloc(arena, rest.len + 1);
    size_t len = 0;
    if (text == NULL) {
        return TG_ENOMEM;
    }
    while (rest.len > 0) {
        struct tg_slice segment = tg_slice_head(rest, tg_slice_find(rest, '/'));
        size_t at = len > 0 ? len + 1 : 0, written;
        enum tg_err err = decode_segment(segment, text + at, &written);
        if (err != TG_OK) {
            return err;
        }
        struct tg_slice part = tg_slice_make(text + at, written);
        if (tg_slice_eq(part, TG_LIT(".."))) {
            return TG_ESYNTAX;
        }
        bool dot = tg_slice_eq(part, TG_LIT("."));
        directory = dot || segment.len < rest.len;
        rest = tg_slice_from(rest, segment.len + 1);
        if (dot) {
            continue;
        }
        found = found && part.len > 0 && (files->dot_files || part.ptr[0] != '.');
        if (at > 0) {
            text[len] = '/';
        }
        len = at + written;
    }
    /* All of it was looked at: what is malformed is so whatever comes before it. */
    if (!found || (len > 0 && !tg_beneath_name_ok(tg_slice_make(text, len)))) {
        return TG_ENOTFOUND;
    }
    *name = tg_slice_make(text, len);
    *slash = directory;
    return TG_OK;
}

enum tg_err tg_static_location(struct tg_arena *arena, struct tg_slice path, struct tg_slice query,
                               struct tg_slice *out)
{
    struct tg_slice last = path, decoded;
    struct tg_buf buf;
    for (size_t slash; (slash = tg_slice_find(last, '/')) < last.len;) {
        last = tg_slice_from(last, slash + 1);
    }
    enum tg_err err = tg_percent_decode(arena, last, false, &decoded);
    tg_buf_init(&buf, SIZE_MAX);
    if (err == TG_OK) {
        err = tg_buf_append(&buf, TG_LIT("./"));
    }
    if (err == TG_OK) {
        err = tg_percent_encode(&buf, decoded, false);
    }
    if (err == TG_OK && decoded.len > 0) {
        err = tg_buf_append_char(&buf, '/');
    }
    if (err == TG_OK && query.ptr != NULL && tg_header_value_ok(query)) {
        err = tg_buf_append_char(&buf, '?');
        if (err == TG_OK) {
            err = tg_buf_append(&buf, query);
        }
    }
    if (err == TG_OK) {
        err = tg_arena_copy(arena, tg_buf_slice(&buf), out);
    }
    tg_buf_free(&buf);
    return err;
}
