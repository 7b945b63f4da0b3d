#include "server/base/headers.h"

enum { FIRST_CAP = 16 };

enum tg_err tg_headers_add(struct tg_headers *headers, struct tg_arena *arena, struct tg_slice name,
                           struct tg_slice value)
{
    if (headers->count == headers->cap) {
        size_t cap = headers->cap > 0 ? headers->cap * 2 : FIRST_CAP;
        struct tg_header *items = tg_arena_alloc(arena, cap * sizeof *items);
        if (items == NULL) {
            return TG_ENOMEM;
        }
        if (headers->count > 0) {
            memcpy(items, headers->items, headers->count * sizeof *items);
        }
        headers->items = items;
        headers->cap = cap;
    }
    headers->items[headers->count++] = (struct tg_header){name, value};
    return TG_OK;
}

enum tg_err tg_headers_set(struct tg_headers *headers, struct tg_arena *arena, struct tg_slice name,
                           struct tg_slice value)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (tg_slice_eq_nocase(headers->items[i].name, name)) {
            struct tg_headers rest = {headers->items + i + 1, headers->count - i - 1, 0};
            headers->items[i] = (struct tg_header){name, value};
            tg_headers_remove(&rest, name);
            headers->count = i + 1 + rest.count;
            return TG_OK;
        }
    }
    return tg_headers_add(headers, arena, name, value);
}

void tg_headers_remove(struct tg_headers *headers, struct tg_slice name)
{
    size_t kept = 0;
    for (size_t i = 0; i < headers->count; i++) {
        if (!tg_slice_eq_nocase(headers->items[i].name, name)) {
            headers->items[kept++] = headers->items[i];
        }
    }
    headers->count = kept;
}

const struct tg_header *tg_headers_first(const struct tg_headers *headers, struct tg_slice name)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (tg_slice_eq_nocase(headers->items[i].name, name)) {
            return &headers->items[i];
        }
    }
    return NULL;
}

const struct tg_header *tg_headers_last(const struct tg_headers *headers, struct tg_slice name)
{
    for (size_t i = headers->count; i > 0; i--) {
        if (tg_slice_eq_nocase(headers->items[i - 1].name, name)) {
            return &headers->items[i - 1];
        }
    }
    return NULL;
}

size_t tg_headers_count(const struct tg_headers *headers, struct tg_slice name)
{
    size_t count = 0;
    for (size_t i = 0; i < headers->count; i++) {
        count += tg_slice_eq_nocase(headers->items[i].name, name);
    }
    return count;
}

bool tg_headers_has_token(const struct tg_headers *headers, struct tg_slice name, struct tg_slice token)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct tg_slice rest = headers->items[i].value;
        if (!tg_slice_eq_nocase(headers->items[i].name, name)) {
            continue;
        }
        while (rest.len > 0) {
            if (tg_slice_eq_nocase(tg_slice_trim(tg_slice_cut(rest, ',', &rest)), token)) {
                return true;
            }
        }
    }
    return false;
}

bool tg_header_is_hop_by_hop(struct tg_slice name)
{
    static const struct tg_slice names[] = {
        TG_LIT_INIT("Connection"),          TG_LIT_INIT("Keep-Alive"), TG_LIT_INIT("Proxy-Connection"),
        TG_LIT_INIT("Proxy-Authenticate"),  TG_LIT_INIT("TE"),         TG_LIT_INIT("Trailer"),
        TG_LIT_INIT("Proxy-Authorization"), TG_LIT_INIT("Upgrade"),    TG_LIT_INIT("Transfer-Encoding"),
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (tg_slice_eq_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* tchar, RFC 9110 section 5.6.2, a bit a character. */
static const uint32_t token_bits[8] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff, 0, 0, 0, 0};

bool tg_header_name_ok(struct tg_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if ((token_bits[c >> 5] >> (c & 31) & 1) == 0) {
            return false;
        }
    }
    return name.len > 0;
}

bool tg_header_value_ok(struct tg_slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}
