/* Input: one byte of switches, the host up to a line break, then a request head. Whatever a client sends,
 * what goes to the back end can be written and read back, nothing of a hop passes, and the gateway's own
 * element of Forwarded and of X-Forwarded-For is the last one. The head's fields serve as an answer's, too.
 */
#include <stdint.h>
#include <stdlib.h>

#include "routes/forwarded.h"
#include "server/io/http1.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tg_http1_limits limits = {65536, 65536, 200};

/* The last element of a list, commas in quotes left alone. */
static struct tg_slice last_element(struct tg_slice list)
{
    size_t start = 0;
    bool open = false;
    for (size_t i = 0; i < list.len; i++) {
        char c = list.ptr[i];
        if (c == '"') {
            open = !open;
        } else if (c == '\\' && open) {
            i++;
        } else if (c == ',' && !open) {
            start = i + 1;
        }
    }
    CHECK(!open);
    return tg_slice_trim(tg_slice_from(list, start));
}

static void check_hops(const struct tg_headers *out, const struct tg_headers *in)
{
    for (size_t i = 0; i < out->count; i++) {
        struct tg_slice name = out->items[i].name;
        CHECK(!tg_header_is_hop_by_hop(name));
        bool own = tg_slice_eq_nocase(name, TG_LIT("Via")) || tg_slice_eq_nocase(name, TG_LIT("Forwarded")) ||
                   tg_slice_eq_nocase(name, TG_LIT("X-Amzn-Trace-Id")) ||
                   tg_slice_eq_nocase(tg_slice_head(name, 12), TG_LIT("X-Forwarded-"));
        CHECK(own || !tg_headers_has_token(in, TG_LIT("Connection"), name));
    }
}

static void check_request(const struct tg_forwarded_input *input, struct tg_arena *arena)
{
    struct tg_headers out;
    struct tg_buf head;
    CHECK(tg_forwarded_headers(input, arena, &out) == TG_OK);
    check_hops(&out, input->headers);
    CHECK(tg_headers_count(&out, TG_LIT("Forwarded")) == (input->mode != TG_FORWARDED_X));
    CHECK(tg_headers_count(&out, TG_LIT("X-Forwarded-For")) == (input->mode != TG_FORWARDED_RFC7239));
    CHECK(tg_headers_count(&out, TG_LIT("X-Forwarded-Proto")) == (input->mode != TG_FORWARDED_RFC7239));
    CHECK(tg_headers_count(&out, TG_LIT("Via")) == 1);
    CHECK(tg_headers_count(&out, TG_LIT("Expect")) == 0);
    CHECK(!input->iam || tg_headers_count(&out, TG_LIT("Authorization")) == 0);
    const struct tg_header *field = tg_headers_first(&out, TG_LIT("Forwarded"));
    if (field != NULL) {
        struct tg_slice last = last_element(field->value);
        CHECK(tg_slice_starts(last, TG_LIT("for=192.0.2.7;")));
        CHECK(tg_slice_ends(last, input->secure ? TG_LIT("proto=https") : TG_LIT("proto=http")));
    }
    field = tg_headers_first(&out, TG_LIT("X-Forwarded-For"));
    CHECK(field == NULL || tg_slice_ends(field->value, TG_LIT("192.0.2.7")));
    CHECK(tg_headers_add(&out, arena, TG_LIT("Host"), TG_LIT("back")) == TG_OK);
    tg_buf_init(&head, SIZE_MAX);
    CHECK(tg_http1_write_request(&head, TG_LIT("GET"), TG_LIT("/"), &out) == TG_OK);
    struct tg_http1_request request;
    struct tg_http1_fault fault;
    const struct tg_http1_limits wide = {SIZE_MAX / 2, SIZE_MAX / 2, SIZE_MAX / 2};
    size_t scanned = 0, len;
    CHECK(tg_http1_parse_request(tg_buf_slice(&head), &scanned, &wide, arena, &request, &len, &fault) ==
          TG_OK);
    CHECK(request.headers.count == out.count && request.framing == TG_HTTP1_NO_BODY);
    tg_buf_free(&head);
}

static void check_answer(const struct tg_headers *headers, struct tg_arena *arena)
{
    struct tg_headers out;
    CHECK(tg_forwarded_answer(headers, arena, &out) == TG_OK);
    for (size_t i = 0; i < out.count; i++) {
        CHECK(!tg_header_is_hop_by_hop(out.items[i].name));
        CHECK(!tg_headers_has_token(headers, TG_LIT("Connection"), out.items[i].name));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct tg_slice head, host = tg_slice_cut(tg_slice_make(data + 1, size - 1), '\n', &head);
    struct tg_arena arena;
    struct tg_http1_request request;
    struct tg_http1_fault fault;
    size_t scanned = 0, len;
    tg_arena_init(&arena, NULL);
    if (tg_header_value_ok(host) &&
        tg_http1_parse_request(head, &scanned, &limits, &arena, &request, &len, &fault) == TG_OK) {
        struct tg_forwarded_input input = {
            .headers = &request.headers,
            .mode = (enum tg_forwarded_mode)(data[0] % 3),
            .source_ip = TG_LIT("192.0.2.7"),
            .host = host,
            .port = data[0] & 4 ? 443 : 0,
            .secure = (data[0] & 8) != 0,
            .trace = data[0] & 16 ? TG_LIT("Root=1") : TG_EMPTY,
            .iam = (data[0] & 32) != 0,
        };
        check_request(&input, &arena);
        check_answer(&request.headers, &arena);
    }
    tg_arena_reset(&arena);
    return 0;
}
