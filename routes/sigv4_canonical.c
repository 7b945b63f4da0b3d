#include "routes/sigv4_canonical.h"

#include <assert.h>
#include <stdlib.h>

#include "server/base/codec.h"

/* These write into memory that was measured before, and return where it goes on. */
static char *put(char *to, struct tg_slice bytes)
{
    if (bytes.len > 0) {
        memcpy(to, bytes.ptr, bytes.len);
    }
    return to + bytes.len;
}

static char *put_char(char *to, char c)
{
    *to = c;
    return to + 1;
}

/* RFC 3986 section 2.3; a path keeps its slashes. */
enum { UNRESERVED = 1, IN_PATH = 2 };
static const unsigned char kept[256] = {
    ['A' ... 'Z'] = UNRESERVED | IN_PATH, ['a' ... 'z'] = UNRESERVED | IN_PATH,
    ['0' ... '9'] = UNRESERVED | IN_PATH, ['-'] = UNRESERVED | IN_PATH,
    ['.'] = UNRESERVED | IN_PATH,         ['_'] = UNRESERVED | IN_PATH,
    ['~'] = UNRESERVED | IN_PATH,         ['/'] = IN_PATH,
};

/* At most three characters a byte. */
static inline char *put_encoded_byte(char *to, unsigned char c, unsigned char keep)
{
    static const char digits[] = "0123456789ABCDEF";
    if ((kept[c] & keep) != 0) {
        return put_char(to, (char)c);
    }
    to = put_char(to, '%');
    to = put_char(to, digits[c >> 4]);
    return put_char(to, digits[c & 0x0f]);
}

/* The value of a hexadecimal digit, or -1. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *put_reencoded(char *to, struct tg_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '%' && text.len - i > 2 && hex_digit(text.ptr[i + 1]) >= 0 &&
            hex_digit(text.ptr[i + 2]) >= 0) {
            c = (unsigned char)(hex_digit(text.ptr[i + 1]) << 4 | hex_digit(text.ptr[i + 2]));
            i += 2;
        }
        to = put_encoded_byte(to, c, UNRESERVED);
    }
    return to;
}

static int compare_params(const void *a, const void *b)
{
    const struct tg_sigv4_param *left = a, *right = b;
    int order = tg_slice_cmp(left->name, right->name);
    return order != 0 ? order : tg_slice_cmp(left->value, right->value);
}

static size_t count_params(struct tg_slice query)
{
    size_t count = 0;
    while (query.len > 0) {
        count += tg_slice_cut(query, '&', &query).len > 0;
    }
    return count;
}

enum tg_err tg_sigv4_params(struct tg_arena *arena, struct tg_slice query, struct tg_sigv4_params *out)
{
    size_t count = count_params(query);
    if (count == 0) {
        *out = (struct tg_sigv4_params){NULL, 0};
        return TG_OK;
    }
    struct tg_sigv4_param *items = tg_arena_alloc(arena, count * sizeof *items), *next = items;
    char *text = tg_arena_alloc(arena, 3 * query.len);
    if (items == NULL || text == NULL) {
        return TG_ENOMEM;
    }
    while (query.len > 0) {
        struct tg_slice value, pair = tg_slice_cut(query, '&', &query);
        if (pair.len > 0) {
            struct tg_slice name = tg_slice_cut(pair, '=', &value);
            char *middle = put_reencoded(text, name), *end = put_reencoded(middle, value);
            next->name = tg_slice_make(text, (size_t)(middle - text));
            next->value = tg_slice_make(middle, (size_t)(end - middle));
            text = end;
            next++;
        }
    }
    if (count > 1) {
        qsort(items, count, sizeof *items, compare_params);
    }
    *out = (struct tg_sigv4_params){items, count};
    return TG_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Trimmed, each run of blanks one space. */
static char *put_header_value(char *to, struct tg_slice value)
{
    value = tg_slice_trim(value);
    if (tg_slice_find(value, ' ') == value.len && tg_slice_find(value, '\t') == value.len) {
        return put(to, value);
    }
    for (size_t i = 0; i < value.len; i++) {
        if (!is_blank(value.ptr[i])) {
            to = put_char(to, value.ptr[i]);
        } else if (!is_blank(value.ptr[i - 1])) {
            to = put_char(to, ' ');
        }
    }
    return to;
}

static char *put_header(char *to, const struct tg_headers *headers, struct tg_slice name)
{
    bool first = true;
    to = put_char(put(to, name), ':');
    for (size_t i = 0; i < headers->count; i++) {
        if (tg_slice_eq_nocase(headers->items[i].name, name)) {
            if (!first) {
                to = put_char(to, ',');
            }
            to = put_header_value(to, headers->items[i].value);
            first = false;
        }
    }
    return put_char(to, '\n');
}

static bool is_signature(const struct tg_sigv4_param *param)
{
    return tg_slice_eq(param->name, TG_LIT("X-Amz-Signature"));
}

/* Most bytes that the canonical request takes. Names of signed headers ascend, so no field counts twice. */
static size_t measure(const struct tg_sigv4_canonical *canonical)
{
    size_t size = canonical->method.len + 3 * canonical->path.len + 4 * canonical->signed_headers.len +
                  sizeof canonical->payload_hex + sizeof "\n/\n\n:\n\n\n";
    for (size_t i = 0; i < canonical->params->count; i++) {
        size += canonical->params->items[i].name.len + canonical->params->items[i].value.len + 2;
    }
    for (size_t i = 0; i < canonical->headers->count; i++) {
        size += canonical->headers->items[i].value.len + 1;
    }
    return size;
}

static enum tg_err canonical_request(const struct tg_sigv4_canonical *canonical, struct tg_arena *arena,
                                     struct tg_slice *out)
{
    size_t size = measure(canonical);
    char *start = tg_arena_alloc(arena, size), *to = start;
    if (start == NULL) {
        return TG_ENOMEM;
    }
    to = put_char(put(to, canonical->method), '\n');
    for (size_t i = 0; i < canonical->path.len; i++) {
        to = put_encoded_byte(to, (unsigned char)canonical->path.ptr[i], IN_PATH);
    }
    to = put(to, canonical->path.len > 0 ? TG_LIT("\n") : TG_LIT("/\n"));
    struct tg_slice separator = TG_EMPTY;
    for (size_t i = 0; i < canonical->params->count; i++) {
        const struct tg_sigv4_param *param = &canonical->params->items[i];
        if (!canonical->presigned || !is_signature(param)) {
            to = put_char(put(put(to, separator), param->name), '=');
            to = put(to, param->value);
            separator = TG_LIT("&");
        }
    }
    to = put_char(to, '\n');
    for (struct tg_slice rest = canonical->signed_headers; rest.len > 0;) {
        to = put_header(to, canonical->headers, tg_slice_cut(rest, ';', &rest));
    }
    to = put_char(put(put_char(to, '\n'), canonical->signed_headers), '\n');
    to = put(to, tg_slice_make(canonical->payload_hex, sizeof canonical->payload_hex));
    assert((size_t)(to - start) <= size);
    *out = tg_slice_make(start, (size_t)(to - start));
    return TG_OK;
}

enum tg_err tg_sigv4_compute(const struct tg_sigv4_canonical *canonical, struct tg_slice date,
                             struct tg_slice scope, const struct tg_hmac_key *key, struct tg_arena *arena,
                             char out[TG_SIGV4_HEX_LEN])
{
    struct tg_slice request;
    unsigned char digest[TG_SHA256_LEN];
    char digest_hex[TG_SIGV4_HEX_LEN];
    enum tg_err err = canonical_request(canonical, arena, &request);
    if (err == TG_OK) {
        err = tg_sha256(request, digest);
    }
    if (err != TG_OK) {
        return err;
    }
    tg_hex_encode(digest, sizeof digest, digest_hex);
    struct tg_slice algorithm = TG_SIGV4_ALGORITHM_NAME;
    char *start = tg_arena_alloc(arena, algorithm.len + date.len + scope.len + sizeof digest_hex + 3),
         *to = start;
    if (start == NULL) {
        return TG_ENOMEM;
    }
    to = put_char(put(to, algorithm), '\n');
    to = put_char(put(to, date), '\n');
    to = put_char(put(to, scope), '\n');
    to = put(to, tg_slice_make(digest_hex, sizeof digest_hex));
    err = tg_hmac_sha256_by(key, tg_slice_make(start, (size_t)(to - start)), digest);
    if (err == TG_OK) {
        tg_hex_encode(digest, sizeof digest, out);
    }
    return err;
}

enum tg_err tg_sigv4_payload_hex(const struct tg_sigv4_request *request, char out[TG_SIGV4_HEX_LEN])
{
    unsigned char digest[TG_SHA256_LEN];
    const unsigned char *given = request->payload_sha256;
    enum tg_err err = given == NULL ? tg_sha256(request->payload, digest) : TG_OK;
    if (err == TG_OK) {
        tg_hex_encode(given != NULL ? given : digest, TG_SHA256_LEN, out);
    }
    return err;
}

static enum tg_err derive(struct tg_slice secret, struct tg_slice day, struct tg_slice region,
                          struct tg_slice service, struct tg_arena *arena, struct tg_hmac_key *out)
{
    const struct tg_slice steps[] = {day, region, service, TG_LIT("aws4_request")};
    unsigned char key[TG_SHA256_LEN];
    char *start = tg_arena_alloc(arena, secret.len + 4);
    if (start == NULL) {
        return TG_ENOMEM;
    }
    (void)put(put(start, TG_LIT("AWS4")), secret);
    struct tg_slice current = tg_slice_make(start, secret.len + 4);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        enum tg_err err = tg_hmac_sha256(current, steps[i], key);
        if (err != TG_OK) {
            return err;
        }
        current = tg_slice_make(key, sizeof key);
    }
    explicit_bzero(start, secret.len + 4);
    enum tg_err err = tg_hmac_key_init(current, out);
    explicit_bzero(key, sizeof key);
    return err;
}

/* Everything that the key is derived from; the lengths keep apart what the bytes alone would not. */
static size_t cache_input(struct tg_slice secret, struct tg_slice day, struct tg_slice region,
                          struct tg_slice service, char input[TG_SIGV4_CACHE_INPUT])
{
    const struct tg_slice parts[] = {day, region, service, secret};
    size_t need = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].len >= TG_SIGV4_CACHE_INPUT) {
            return 0;
        }
        need += parts[i].len + 1;
    }
    if (need > TG_SIGV4_CACHE_INPUT) {
        return 0;
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        input = put(put_char(input, (char)parts[i].len), parts[i]);
    }
    return need;
}

/* Of an input nobody chooses but who configures us; what else has the same slot costs time alone. */
static size_t slot_of(const char *input, size_t len)
{
    uint64_t hash = len, word;
    for (size_t at = 0; at + sizeof word <= len; at += sizeof word) {
        memcpy(&word, input + at, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    memcpy(&word, input + len - sizeof word, sizeof word);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash >> 32) % TG_SIGV4_CACHE_SLOTS;
}

enum tg_err tg_sigv4_key(struct tg_sigv4_cache *cache, struct tg_slice secret, struct tg_slice day,
                         struct tg_slice region, struct tg_slice service, struct tg_arena *arena,
                         struct tg_hmac_key *out)
{
    char input[TG_SIGV4_CACHE_INPUT];
    size_t len = cache != NULL ? cache_input(secret, day, region, service, input) : 0;
    if (len < sizeof(uint64_t)) {
        return derive(secret, day, region, service, arena, out);
    }
    size_t slot = slot_of(input, len);
    struct tg_slice known = tg_slice_make(cache->slots[slot].input, cache->slots[slot].input_len);
    if (tg_slice_eq(known, tg_slice_make(input, len))) {
        cache->hits++;
        *out = cache->slots[slot].key;
        return TG_OK;
    }
    enum tg_err err = derive(secret, day, region, service, arena, out);
    if (err == TG_OK) {
        cache->misses++;
        memcpy(cache->slots[slot].input, input, len);
        cache->slots[slot].input_len = len;
        cache->slots[slot].key = *out;
    }
    return err;
}
