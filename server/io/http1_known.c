#include "server/io/http1_known.h"

#include <stdlib.h>

#include "server/base/alloc.h"
#include "server/base/crypto.h"
#include "server/io/http1_private.h"

enum {
    SECTIONS = 16,
    LEN_MAX = 1024, /* of a section, bytes */
    FIELDS_MAX = 24,
    READ_MIN = 2,   /* requests of a connection, before one is learnt */
    READ_MAX = 5,   /* in a row that were not known: then no more are learnt */
    READ_ANEW = 250 /* but after so many it is tried again: others may have taken its place */
};

/* Offsets in a section's bytes. */
struct place {
    uint16_t name, name_len, value, value_len;
};

/* The digits of Content-Length are left out of its bytes: they are at `cut` where there are any, and at the
 * end otherwise. */
struct section {
    uint32_t stamp; /* 0: none */
    uint16_t len, cut, host, count;
    uint64_t hash;
    struct tg_http1_fields fields; /* without pointers */
    struct place places[FIELDS_MAX];
    char bytes[LEN_MAX];
};

struct tg_http1_known {
    unsigned char key[16]; /* so that a section is not found by a part of it */
    uint32_t last;         /* stamp */
    struct section sections[SECTIONS];
};

enum tg_err tg_http1_known_new(struct tg_http1_known **out)
{
    struct tg_http1_known *known = tg_zalloc(sizeof *known);
    if (known == NULL || tg_random_bytes(known->key, sizeof known->key) != TG_OK) {
        free(known);
        return TG_ENOMEM;
    }
    *out = known;
    return TG_OK;
}

void tg_http1_known_free(struct tg_http1_known *known)
{
    if (known != NULL) {
        explicit_bzero(known, sizeof *known); /* what clients proved themselves with is among it */
    }
    free(known);
}

static struct section *section_of(struct tg_http1_known *known, uint32_t stamp)
{
    return &known->sections[stamp % SECTIONS];
}

/* ---- what was read before ---- */

/* Whether it is what begins at `at`, but for *digits. */
static bool matches(const struct section *section, const char *at, const char *end, struct tg_slice *digits)
{
    size_t rest = (size_t)section->len - section->cut, len = 0;
    if ((size_t)(end - at) < section->cut || memcmp(at, section->bytes, section->cut) != 0) {
        return false;
    }
    at += section->cut;
    while (section->fields.has_length && at + len < end && at[len] >= '0' && at[len] <= '9') {
        len++;
    }
    *digits = tg_slice_make(at, len);
    at += len;
    return (size_t)(end - at) >= rest && memcmp(at, section->bytes + section->cut, rest) == 0;
}

static void place_fields(const struct section *section, const char *at, struct tg_slice digits,
                         struct tg_header *items)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct place *place = &section->places[i];
        size_t name = place->name + (place->name > section->cut ? digits.len : 0);
        size_t value = place->value + (place->value > section->cut ? digits.len : 0);
        items[i].name = tg_slice_make(at + name, place->name_len);
        items[i].value = section->fields.has_length && place->value == section->cut
                             ? digits
                             : tg_slice_make(at + value, place->value_len);
    }
}

size_t tg_http1_recall(struct tg_http1_known *known, struct tg_http1_hint *hint, const char *at,
                       const char *end, size_t limit, struct tg_arena *arena, struct tg_http1_fields *out)
{
    const struct section *section = section_of(known, hint->stamp);
    struct tg_slice digits;
    if (hint->stamp == 0 || section->stamp != hint->stamp || section->count > limit ||
        !matches(section, at, end, &digits)) {
        return 0;
    }
    struct tg_header *items = tg_arena_alloc(arena, section->count * sizeof *items);
    *out = section->fields;
    if (items == NULL || (out->has_length && !tg_http1_length_ok(digits, &out->content_length))) {
        return 0;
    }
    place_fields(section, at, digits, items);
    out->headers = (struct tg_headers){items, section->count, section->count};
    out->host.ptr = at + section->host + (section->host > section->cut ? digits.len : 0);
    hint->read = 1;
    return section->len + digits.len;
}

/* ---- what has been read now ---- */

/* Fills everything but stamp and places. */
static void describe(const struct tg_http1_known *known, struct tg_slice bytes,
                     const struct tg_http1_fields *fields, struct section *out)
{
    const struct tg_header *length =
        fields->has_length ? tg_headers_first(&fields->headers, TG_LIT("Content-Length")) : NULL;
    size_t cut = length != NULL ? (size_t)(length->value.ptr - bytes.ptr) : bytes.len;
    size_t digits = length != NULL ? length->value.len : 0, host = (size_t)(fields->host.ptr - bytes.ptr);
    memcpy(out->bytes, bytes.ptr, cut);
    memcpy(out->bytes + cut, bytes.ptr + cut + digits, bytes.len - cut - digits);
    out->len = (uint16_t)(bytes.len - digits);
    out->cut = (uint16_t)cut;
    out->host = (uint16_t)(host - (host > cut ? digits : 0));
    out->count = (uint16_t)fields->headers.count;
    out->hash = tg_siphash(known->key, out->bytes, out->len);
    out->fields = *fields;
    out->fields.headers = (struct tg_headers){0};
    out->fields.host.ptr = NULL;
}

static void note_places(struct section *section, const char *at, size_t digits,
                        const struct tg_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        const struct tg_header *item = &headers->items[i];
        size_t name = (size_t)(item->name.ptr - at), value = (size_t)(item->value.ptr - at);
        section->places[i] = (struct place){
            .name = (uint16_t)(name - (name > section->cut ? digits : 0)),
            .name_len = (uint16_t)item->name.len,
            .value = (uint16_t)(value - (value > section->cut ? digits : 0)),
            .value_len = (uint16_t)item->value.len,
        };
    }
}

static const struct section *find(const struct tg_http1_known *known, const struct section *like)
{
    for (size_t i = 0; i < SECTIONS; i++) {
        const struct section *section = &known->sections[i];
        if (section->stamp != 0 && section->hash == like->hash && section->len == like->len &&
            section->cut == like->cut && section->fields.has_length == like->fields.has_length &&
            memcmp(section->bytes, like->bytes, like->len) == 0) {
            return section;
        }
    }
    return NULL;
}

void tg_http1_learn(struct tg_http1_known *known, struct tg_http1_hint *hint, struct tg_slice bytes,
                    const struct tg_http1_fields *fields)
{
    struct section section;
    hint->read = (unsigned char)(hint->read < READ_ANEW ? hint->read + 1 : 1);
    if (hint->read < READ_MIN || hint->read > READ_MAX || bytes.len > LEN_MAX || fields->host.len == 0 ||
        fields->headers.count > FIELDS_MAX) {
        return;
    }
    describe(known, bytes, fields, &section);
    const struct section *old = find(known, &section);
    if (old != NULL) {
        hint->stamp = old->stamp;
        return;
    }
    known->last += known->last < UINT32_MAX ? 1 : 2;
    section.stamp = known->last;
    note_places(&section, bytes.ptr, bytes.len - section.len, &fields->headers);
    *section_of(known, section.stamp) = section;
    hint->stamp = section.stamp;
}

enum tg_err tg_http1_parse_known(struct tg_slice bytes, const struct tg_http1_limits *limits,
                                 struct tg_http1_known *known, struct tg_http1_hint *hint,
                                 struct tg_arena *arena, struct tg_http1_request *out, size_t *head_len)
{
    const struct tg_http1_memory memory = {known, hint};
    struct tg_http1_fault untold;
    enum tg_err err = tg_http1_read_request(bytes, 0, limits, &memory, arena, out, head_len, &untold);
    return err == TG_EPROTO ? TG_EAGAIN : err;
}
