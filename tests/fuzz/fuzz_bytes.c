/* What looks at many bytes at a time must say what a loop over single bytes says: runs of ASCII and of plain
 * characters, masking, and UTF-8, whose reference here is a table of the well-formed sequences (RFC 3629
 * section 4). */
#include <stdint.h>
#include <stdlib.h>

#include "routes/jsontext.h"
#include "server/base/codec.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool in_range(const uint8_t *data, size_t size, size_t at, uint8_t low, uint8_t high)
{
    return at < size && data[at] >= low && data[at] <= high;
}

/* Length of the well-formed character at `at`, or 0. */
static size_t naive_character(const uint8_t *data, size_t size, size_t at)
{
    static const struct {
        uint8_t low[4], high[4];
        size_t len;
    } forms[] = {
        {{0x00}, {0x7f}, 1},
        {{0xc2, 0x80}, {0xdf, 0xbf}, 2},
        {{0xe0, 0xa0, 0x80}, {0xe0, 0xbf, 0xbf}, 3},
        {{0xe1, 0x80, 0x80}, {0xec, 0xbf, 0xbf}, 3},
        {{0xed, 0x80, 0x80}, {0xed, 0x9f, 0xbf}, 3},
        {{0xee, 0x80, 0x80}, {0xef, 0xbf, 0xbf}, 3},
        {{0xf0, 0x90, 0x80, 0x80}, {0xf0, 0xbf, 0xbf, 0xbf}, 4},
        {{0xf1, 0x80, 0x80, 0x80}, {0xf3, 0xbf, 0xbf, 0xbf}, 4},
        {{0xf4, 0x80, 0x80, 0x80}, {0xf4, 0x8f, 0xbf, 0xbf}, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t len = 0;
        while (len < forms[i].len && in_range(data, size, at + len, forms[i].low[len], forms[i].high[len])) {
            len++;
        }
        if (len == forms[i].len) {
            return len;
        }
    }
    return 0;
}

static bool naive_utf8(const uint8_t *data, size_t size)
{
    size_t at = 0, step;
    while (at < size && (step = naive_character(data, size, at)) > 0) {
        at += step;
    }
    return at == size;
}

static void try_strings(const char *text, size_t len, char quote)
{
    size_t end = 0;
    uint64_t high = 0, seen = 0;
    while (end < len && text[end] != quote && text[end] != '\\' && (unsigned char)text[end] >= 0x20) {
        seen |= (unsigned char)text[end++] & 0x80;
    }
    CHECK(tg_jsontext_skip(text, text + len, quote, &high) == text + end);
    CHECK((high != 0) == (seen != 0));
}

static void try_mask(const uint8_t *data, size_t size)
{
    unsigned char key[8] = {0};
    char *copy = malloc(size + 1);
    CHECK(copy != NULL);
    memcpy(key, data, size < sizeof key ? size : sizeof key);
    memcpy(copy, data, size);
    copy[size] = 'x';
    bool ascii = tg_bytes_mask(copy, size, key);
    for (size_t i = 0; i < size; i++) {
        CHECK((unsigned char)copy[i] == (data[i] ^ key[i % 8]));
    }
    CHECK(copy[size] == 'x');
    CHECK(ascii == (tg_bytes_ascii(tg_slice_make(copy, size)) == size));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct tg_slice text = tg_slice_make(data, size);
    size_t run = 0;
    while (run < size && data[run] < 0x80) {
        run++;
    }
    CHECK(tg_bytes_ascii(text) == run);
    CHECK(tg_utf8_valid(text) == naive_utf8(data, size));
    try_strings(text.ptr, size, '"');
    try_strings(text.ptr, size, '\'');
    try_mask(data, size);
    return 0;
}
