/* Validators of a file, and the conditions of a request: RFC 9110 sections 8.8 and 13. */
#include <stdio.h>

#include "routes/static_private.h"
#include "server/base/crypto.h"

enum { REST_MS = 2000 /* a change within the same tick of the file system's clock would not show */ };

/* Before the year 0, and far from where arithmetic ends. */
static const int64_t time_min_s = -100000000000;

/* The inode is not told: it is mixed with the time into one number. */
void tg_static_validate(const struct tg_static *files, const struct tg_beneath_file *file, int64_t now_ms,
                        struct tg_static_validators *out)
{
    static const unsigned char key[16] = "tidegate-static";
    const uint64_t parts[] = {file->size, (uint64_t)file->modified_s, (uint64_t)file->modified_ns,
                              files->shared_etags ? 0 : file->inode};
    int64_t now_s = now_ms / 1000;
    int64_t modified_s = file->modified_s > time_min_s ? file->modified_s : time_min_s;
    bool rested = modified_s < now_s && (now_s - modified_s > REST_MS / 1000 + 1 ||
                                         modified_s * 1000 + file->modified_ns / 1000000 + REST_MS <= now_ms);
    out->strong = rested;
    int len =
        snprintf(out->etag, sizeof out->etag, "%s\"%llx-%016llx\"", rested ? "" : "W/",
                 (unsigned long long)file->size, (unsigned long long)tg_siphash(key, parts, sizeof parts));
    out->etag_len = len > 0 ? (size_t)len : 0;
    out->modified_s = modified_s < now_s ? modified_s : now_s;
}

static struct tg_slice opaque_part(struct tg_slice etag)
{
    return tg_slice_starts(etag, TG_LIT("W/")) ? tg_slice_from(etag, 2) : etag;
}

/* Cuts the next entity-tag off a list; false: the list has ended, or what follows is no tag. */
static bool next_tag(struct tg_slice *list, struct tg_slice *tag)
{
    struct tg_slice rest = *list;
    while (rest.len > 0 && (rest.ptr[0] == ',' || rest.ptr[0] == ' ' || rest.ptr[0] == '\t')) {
        rest = tg_slice_from(rest, 1);
    }
    size_t quote = tg_slice_starts(rest, TG_LIT("W/")) ? 2 : 0;
    if (rest.len <= quote || rest.ptr[quote] != '"') {
        return false;
    }
    size_t end = quote + 1 + tg_slice_find(tg_slice_from(rest, quote + 1), '"');
    if (end >= rest.len) {
        return false;
    }
    *tag = tg_slice_head(rest, end + 1);
    *list = tg_slice_from(rest, end + 1);
    return true;
}

/* Strong comparison: equal and both strong; weak: equal but for W/ (section 8.8.3.2). */
static bool tags_match(struct tg_slice a, struct tg_slice b, bool strong)
{
    if (strong && (tg_slice_starts(a, TG_LIT("W/")) || tg_slice_starts(b, TG_LIT("W/")))) {
        return false;
    }
    return tg_slice_eq(opaque_part(a), opaque_part(b));
}

/* Whether any field of that name lists the tag, or is `*`. */
static bool lists_tag(const struct tg_headers *headers, struct tg_slice name, struct tg_slice etag,
                      bool strong)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct tg_slice tag, list = tg_slice_trim(headers->items[i].value);
        if (!tg_slice_eq_nocase(headers->items[i].name, name)) {
            continue;
        }
        if (tg_slice_eq(list, TG_LIT("*"))) {
            return true;
        }
        while (next_tag(&list, &tag)) {
            if (tags_match(tag, etag, strong)) {
                return true;
            }
        }
    }
    return false;
}

/* The date of a field that is there once and is one; otherwise the field is ignored (section 13.1.3). */
static bool date_of(const struct tg_headers *headers, struct tg_slice name, int64_t now_s, int64_t *seconds)
{
    const struct tg_header *field = tg_headers_first(headers, name);
    return field != NULL && tg_headers_count(headers, name) == 1 &&
           tg_time_parse_http(tg_slice_trim(field->value), now_s, seconds) == TG_OK;
}

/* Section 13.1.5: with a strong validator that still holds, the ranges are sent; otherwise the whole. */
static bool range_holds(const struct tg_headers *headers, const struct tg_static_validators *validators,
                        struct tg_slice etag, int64_t now_s)
{
    const struct tg_header *field = tg_headers_first(headers, TG_LIT("If-Range"));
    int64_t date;
    if (field == NULL) {
        return true;
    }
    struct tg_slice list = tg_slice_trim(field->value), tag;
    if (tg_headers_count(headers, TG_LIT("If-Range")) > 1) {
        return false;
    }
    if (next_tag(&list, &tag)) {
        return list.len == 0 && tags_match(tag, etag, true);
    }
    return tg_time_parse_http(list, now_s, &date) == TG_OK && date == validators->modified_s &&
           validators->strong;
}

enum tg_static_verdict tg_static_judge(const struct tg_headers *headers,
                                       const struct tg_static_validators *validators, int64_t now_ms,
                                       bool *ranges)
{
    struct tg_slice etag = tg_slice_make(validators->etag, validators->etag_len);
    int64_t date, now_s = now_ms / 1000;
    if (tg_headers_first(headers, TG_LIT("If-Match")) != NULL) {
        if (!lists_tag(headers, TG_LIT("If-Match"), etag, true)) {
            return TG_STATIC_FAILED;
        }
    } else if (date_of(headers, TG_LIT("If-Unmodified-Since"), now_s, &date) &&
               validators->modified_s > date) {
        return TG_STATIC_FAILED;
    }
    if (tg_headers_first(headers, TG_LIT("If-None-Match")) != NULL) {
        if (lists_tag(headers, TG_LIT("If-None-Match"), etag, false)) {
            return TG_STATIC_NOT_MODIFIED;
        }
    } else if (date_of(headers, TG_LIT("If-Modified-Since"), now_s, &date) &&
               validators->modified_s <= date) {
        return TG_STATIC_NOT_MODIFIED;
    }
    *ranges = range_holds(headers, validators, etag, now_s);
    return TG_STATIC_PROCEED;
}
