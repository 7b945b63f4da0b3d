/* The HTTP/1.1 codec. The first byte chooses what the rest is: q a request, s a response, h a response to
 * HEAD, c a chunked body, l a body of known length (the second byte), k two requests with a NUL between them,
 * of which the second may have the fields of the first. Each is read whole and byte by byte: both must agree,
 * though the first is read at once and the second line by line behind its end, and a request that is read
 * must come out the same after being written. Runs of characters must end where the table says.
 */
#include <stdlib.h>

#include "server/io/http1_private.h"

static const struct tg_http1_limits limits = {.line = 256, .head = 1024, .count = 16};

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct reading {
    enum tg_err err;
    size_t head_len;
    struct tg_http1_fault fault;
    struct tg_http1_request request;
    struct tg_http1_response response;
};

/* The bytes are copied to the heap with their exact length, so that reading past them is seen. */
static struct reading read_once(struct tg_slice bytes, size_t *scanned, char kind, struct tg_arena *arena)
{
    struct reading r = {0};
    if (kind == 'q') {
        r.err = tg_http1_parse_request(bytes, scanned, &limits, arena, &r.request, &r.head_len, &r.fault);
    } else {
        struct tg_slice method = kind == 'h' ? TG_LIT("HEAD") : TG_LIT("GET");
        r.err = tg_http1_parse_response(bytes, scanned, &limits, method, arena, &r.response, &r.head_len,
                                        &r.fault);
    }
    return r;
}

static void same_headers(const struct tg_headers *a, const struct tg_headers *b)
{
    CHECK(a->count == b->count && a->count <= limits.count);
    for (size_t i = 0; i < a->count; i++) {
        CHECK(tg_slice_eq(a->items[i].name, b->items[i].name));
        CHECK(tg_slice_eq(a->items[i].value, b->items[i].value));
        CHECK(tg_header_name_ok(a->items[i].name) && tg_header_value_ok(a->items[i].value));
    }
}

static void write_and_read(const struct tg_http1_request *request, struct tg_arena *arena)
{
    struct tg_buf buf;
    size_t scanned = 0;
    size_t head_len = 0;
    struct tg_http1_request again;
    struct tg_http1_fault fault;
    const struct tg_http1_limits wide = {.line = 4096, .head = 16384, .count = limits.count};
    if (request->minor == 0) {
        return;
    }
    tg_buf_init(&buf, SIZE_MAX);
    CHECK(tg_http1_write_request(&buf, request->method, request->target, &request->headers) == TG_OK);
    CHECK(tg_http1_parse_request(tg_buf_slice(&buf), &scanned, &wide, arena, &again, &head_len, &fault) ==
          TG_OK);
    CHECK(head_len == tg_buf_size(&buf));
    CHECK(tg_slice_eq(request->path, again.path) && tg_slice_eq(request->host, again.host));
    CHECK(request->framing == again.framing && request->content_length == again.content_length);
    same_headers(&request->headers, &again.headers);
    tg_buf_free(&buf);
}

static void same_request(const struct tg_http1_request *a, const struct tg_http1_request *b)
{
    CHECK(tg_slice_eq(a->method, b->method) && tg_slice_eq(a->target, b->target));
    CHECK(tg_slice_eq(a->path, b->path) && tg_slice_eq(a->query, b->query) && tg_slice_eq(a->host, b->host));
    CHECK((a->query.ptr == NULL) == (b->query.ptr == NULL));
    CHECK(a->minor == b->minor && a->keep_alive == b->keep_alive);
    CHECK(a->expect_continue == b->expect_continue);
    CHECK(a->has_upgrade == b->has_upgrade);
    CHECK(a->has_upgrade == (tg_headers_first(&a->headers, TG_LIT("upgrade")) != NULL));
    CHECK(a->framing == b->framing && a->content_length == b->content_length);
}

/* Looks at every byte by itself. */
static void same_end(struct tg_slice bytes, const char *(*skip)(const char *at, const char *end),
                     unsigned char class)
{
    const char *end = bytes.ptr + bytes.len;
    for (const char *at = bytes.ptr; at < end; at++) {
        const char *plain = at;
        while (plain < end && tg_http1_is(*plain, class)) {
            plain++;
        }
        CHECK(skip(at, end) == plain);
    }
}

static void try_head(struct tg_slice bytes, char kind)
{
    struct tg_arena arena;
    size_t scanned = 0;
    tg_arena_init(&arena, NULL);
    same_end(bytes, tg_http1_skip_name, TG_HTTP1_TOKEN);
    same_end(bytes, tg_http1_skip_value, TG_HTTP1_VALUE);
    same_end(bytes, tg_http1_skip_target, TG_HTTP1_TARGET);
    struct reading whole = read_once(bytes, &scanned, kind, &arena);
    struct reading pieces = {.err = TG_EAGAIN};
    scanned = 0;
    for (size_t len = 0; len <= bytes.len && pieces.err == TG_EAGAIN; len++) {
        pieces = read_once(tg_slice_head(bytes, len), &scanned, kind, &arena);
    }
    CHECK(whole.err == pieces.err);
    if (whole.err == TG_EPROTO) {
        CHECK(whole.fault.status == pieces.fault.status && whole.fault.reason == pieces.fault.reason);
    } else if (whole.err == TG_OK) {
        CHECK(whole.head_len == pieces.head_len && whole.head_len <= bytes.len);
        if (kind == 'q') {
            same_request(&whole.request, &pieces.request);
            same_headers(&whole.request.headers, &pieces.request.headers);
            write_and_read(&whole.request, &arena);
        } else {
            CHECK(whole.response.status == pieces.response.status);
            CHECK(whole.response.framing == pieces.response.framing);
            CHECK(whole.response.content_length == pieces.response.content_length);
            CHECK(whole.response.keep_alive == pieces.response.keep_alive);
            CHECK(tg_slice_eq(whole.response.reason, pieces.response.reason));
            same_headers(&whole.response.headers, &pieces.response.headers);
        }
    }
    tg_arena_reset(&arena);
}

/* What a connection has learnt of the first must not change what is read of the second. */
static void try_known(struct tg_slice first, struct tg_slice second)
{
    struct tg_http1_known *known;
    struct tg_http1_hint hint = {0};
    struct tg_arena arena;
    CHECK(tg_http1_known_new(&known) == TG_OK);
    tg_arena_init(&arena, NULL);
    for (int i = 0; i < 4; i++) {
        struct tg_slice bytes = i < 3 ? first : second;
        struct tg_http1_request request;
        size_t head_len, scanned = 0;
        struct reading plain = read_once(bytes, &scanned, 'q', &arena);
        enum tg_err err = tg_http1_parse_known(bytes, &limits, known, &hint, &arena, &request, &head_len);
        CHECK((err == TG_OK) == (plain.err == TG_OK) || tg_slice_starts(bytes, TG_LIT("\r\n")));
        if (err == TG_OK) {
            CHECK(head_len == plain.head_len);
            same_request(&request, &plain.request);
            same_headers(&request.headers, &plain.request.headers);
        }
    }
    tg_arena_reset(&arena);
    tg_http1_known_free(known);
}

/* Decodes in steps of at most `step` bytes; content goes to `out`. Returns how the reading ended. */
static enum tg_err decode(struct tg_http1_body body, struct tg_slice in, size_t step, struct tg_buf *out,
                          size_t *total, bool *done)
{
    *total = 0;
    while (*total < in.len && !body.done) {
        size_t used = 0;
        struct tg_slice content;
        struct tg_slice piece = tg_slice_head(tg_slice_from(in, *total), step);
        enum tg_err err = tg_http1_body_decode(&body, piece, &used, &content);
        if (err != TG_OK) {
            return err;
        }
        CHECK(used > 0 && used <= piece.len && content.len <= used);
        CHECK(tg_buf_append(out, content) == TG_OK);
        *total += used;
    }
    *done = body.done;
    return TG_OK;
}

static void try_body(struct tg_slice bytes, enum tg_http1_framing framing, uint64_t length)
{
    struct tg_http1_body body;
    struct tg_buf whole, pieces;
    size_t whole_total = 0;
    size_t pieces_total = 0;
    bool whole_done = false;
    bool pieces_done = false;
    tg_buf_init(&whole, SIZE_MAX);
    tg_buf_init(&pieces, SIZE_MAX);
    tg_http1_body_init(&body, framing, length);
    enum tg_err whole_err = decode(body, bytes, SIZE_MAX, &whole, &whole_total, &whole_done);
    enum tg_err pieces_err = decode(body, bytes, 1, &pieces, &pieces_total, &pieces_done);
    CHECK(whole_err == pieces_err && whole_done == pieces_done);
    CHECK(whole_err != TG_OK || whole_total == pieces_total);
    CHECK(tg_slice_eq(tg_buf_slice(&whole), tg_buf_slice(&pieces)));
    tg_buf_free(&whole);
    tg_buf_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    char *copy = malloc(size - 1);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data + 1, size - 1);
    struct tg_slice bytes = tg_slice_make(copy, size - 1), first, second;
    switch (data[0]) {
    case 'c':
        try_body(bytes, TG_HTTP1_CHUNKED, 0);
        break;
    case 'l':
        try_body(tg_slice_from(bytes, 1), TG_HTTP1_LENGTH, (unsigned char)bytes.ptr[0]);
        break;
    case 'k':
        first = tg_slice_cut(bytes, '\0', &second);
        try_known(first, second.ptr != NULL ? second : TG_LIT(""));
        break;
    case 'h':
    case 's':
        try_head(bytes, (char)data[0]);
        break;
    default:
        try_head(bytes, 'q');
        break;
    }
    free(copy);
    return 0;
}
