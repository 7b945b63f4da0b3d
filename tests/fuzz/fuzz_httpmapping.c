/* Input: lines `key=value` up to an empty line, those of a response with `STATUS ` before the key; then the
 * path, the query, and what every variable yields, a line each, the last one to the end. Whatever is applied:
 * the request passes the HTTP/1.1 writer and parses back to the same path, query and headers, no path steps
 * up, and an answer's status is one. */
#include <stdint.h>
#include <stdlib.h>

#include "routes/httpmapping.h"
#include "server/base/codec.h"
#include "server/io/http1.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum tg_err lookup(void *arg, enum tg_var_scope scope, struct tg_slice name, struct tg_arena *arena,
                          struct tg_var_values *out)
{
    if (name.len % 4 == 3) {
        return TG_OK;
    }
    struct tg_slice *items = tg_arena_alloc(arena, 2 * sizeof *items);
    if (items == NULL) {
        return TG_ENOMEM;
    }
    items[0] = *(struct tg_slice *)arg;
    items[1] = name;
    *out = (struct tg_var_values){items, scope == TG_VAR_MULTIHEADER || scope == TG_VAR_MULTIQUERY ? 2 : 1};
    return TG_OK;
}

static void check_segments(struct tg_arena *arena, struct tg_slice path)
{
    while (path.len > 0) {
        struct tg_slice segment = tg_slice_cut(path, '/', &path);
        CHECK(tg_percent_decode(arena, segment, false, &segment) == TG_OK);
        CHECK(!tg_slice_eq(segment, TG_LIT("..")));
    }
}

/* Writes the request, reads it, and finds what was written. */
static void check_wire(const struct tg_httpmapping_request *mapped, struct tg_arena *arena)
{
    struct tg_slice target = mapped->path;
    if (mapped->query.ptr != NULL) {
        CHECK(tg_arena_printf(arena, &target, "%.*s?%.*s", TG_FMT(mapped->path), TG_FMT(mapped->query)) ==
              TG_OK);
    }
    if (tg_headers_count(mapped->headers, TG_LIT("Host")) != 1) {
        CHECK(tg_headers_set(mapped->headers, arena, TG_LIT("Host"), TG_LIT("h")) == TG_OK);
    }
    struct tg_header *host =
        &mapped->headers->items[tg_headers_first(mapped->headers, TG_LIT("Host")) - mapped->headers->items];
    host->value = TG_LIT("h"); /* a mapped one need not be a name */
    struct tg_buf head;
    tg_buf_init(&head, SIZE_MAX);
    CHECK(tg_http1_write_request(&head, TG_LIT("GET"), target, mapped->headers) == TG_OK);
    struct tg_http1_request request;
    struct tg_http1_fault fault;
    const struct tg_http1_limits limits = {SIZE_MAX / 2, SIZE_MAX / 2, SIZE_MAX / 2};
    size_t scanned = 0, len;
    CHECK(tg_http1_parse_request(tg_buf_slice(&head), &scanned, &limits, arena, &request, &len, &fault) ==
          TG_OK);
    CHECK(len == tg_buf_size(&head));
    CHECK(tg_slice_eq(request.path, mapped->path));
    CHECK((request.query.ptr == NULL) == (mapped->query.ptr == NULL));
    CHECK(tg_slice_eq(request.query, mapped->query));
    CHECK(request.headers.count == mapped->headers->count && request.framing == TG_HTTP1_NO_BODY);
    for (size_t i = 0; i < request.headers.count; i++) {
        CHECK(tg_slice_eq(request.headers.items[i].name, mapped->headers->items[i].name));
        CHECK(tg_slice_eq(request.headers.items[i].value, tg_slice_trim(mapped->headers->items[i].value)));
    }
    tg_buf_free(&head);
}

static void try_request(const struct tg_httpmapping *mapping, const struct tg_vars *vars,
                        struct tg_slice path, struct tg_slice query, struct tg_arena *arena)
{
    struct tg_slice detail = TG_EMPTY;
    struct tg_headers headers = {0};
    CHECK(tg_headers_add(&headers, arena, TG_LIT("X-A"), TG_LIT("1")) == TG_OK);
    CHECK(tg_headers_add(&headers, arena, TG_LIT("x-a"), TG_LIT("2")) == TG_OK);
    struct tg_httpmapping_request mapped = {.headers = &headers, .path = path, .query = query};
    enum tg_err err = tg_httpmapping_apply_request(mapping, vars, arena, &mapped, &detail);
    CHECK(err == TG_OK || (err == TG_EINVAL && detail.len > 0));
    if (err != TG_OK) {
        return;
    }
    if (mapped.path.ptr != path.ptr) {
        CHECK(tg_slice_starts(mapped.path, TG_LIT("/")));
        CHECK(tg_slice_find(mapped.path, '?') == mapped.path.len);
        check_segments(arena, mapped.path);
    }
    check_wire(&mapped, arena);
}

static void try_responses(const struct tg_httpmapping *mapping, const struct tg_vars *vars,
                          struct tg_arena *arena)
{
    for (size_t i = 0; i < mapping->response_count; i++) {
        struct tg_slice detail = TG_EMPTY;
        struct tg_headers headers = {0};
        struct tg_buf head;
        int status = mapping->responses[i].status;
        CHECK(tg_httpmapping_response_for(mapping, status) == &mapping->responses[i]);
        enum tg_err err =
            tg_httpmapping_apply_response(&mapping->responses[i], vars, arena, &status, &headers, &detail);
        CHECK(err == TG_OK || (err == TG_EINVAL && detail.len > 0));
        CHECK(status >= 200 && status <= 599);
        tg_buf_init(&head, SIZE_MAX);
        CHECK(tg_http1_write_response(&head, status, &headers) == TG_OK);
        tg_buf_free(&head);
    }
}

static void add_row(struct tg_httpmapping *mapping, struct tg_slice line, struct tg_arena *arena)
{
    struct tg_slice value, error = TG_EMPTY;
    struct tg_slice key = tg_slice_cut(line, '=', &value);
    size_t blank = tg_slice_find(key, ' ');
    enum tg_err err = blank < key.len
                          ? tg_httpmapping_add_response(mapping, arena, tg_slice_head(key, blank),
                                                        tg_slice_from(key, blank + 1), value, &error)
                          : tg_httpmapping_add_request(mapping, arena, key, value, &error);
    CHECK(err == TG_OK || ((err == TG_ESYNTAX || err == TG_EEXIST) && error.len > 0));
}

/* What the front door lets through as a target. */
static bool target_ok(struct tg_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] == 0x7f || text.ptr[i] == '#') {
            return false;
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_httpmapping mapping = {0};
    struct tg_slice rest = tg_slice_make(data, size), value;
    struct tg_vars vars = {lookup, &value};
    tg_arena_init(&arena, NULL);
    for (int rows = 0; rows < 16; rows++) {
        struct tg_slice line = tg_slice_cut(rest, '\n', &rest);
        if (line.len == 0) {
            break;
        }
        add_row(&mapping, line, &arena);
    }
    struct tg_slice path = tg_slice_cut(rest, '\n', &rest);
    struct tg_slice query = tg_slice_cut(rest, '\n', &value);
    if (path.len == 0 || path.ptr[0] != '/' || !target_ok(path) || tg_slice_find(path, '?') < path.len) {
        path = TG_LIT("/p");
    }
    if (!target_ok(query)) {
        query = TG_EMPTY;
    }
    try_request(&mapping, &vars, path, query, &arena);
    try_responses(&mapping, &vars, &arena);
    tg_arena_reset(&arena);
    return 0;
}
