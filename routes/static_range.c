/* The Range field: RFC 9110 section 14. */
#include "routes/static_private.h"

/* A position; one past what 64 bits hold lies behind every end. */
static bool read_position(struct tg_slice digits, uint64_t *out)
{
    uint64_t value;
    enum tg_err err = tg_slice_to_u64(digits, &value);
    if (err != TG_OK && err != TG_ELIMIT) {
        return false;
    }
    *out = err == TG_OK ? value : UINT64_MAX;
    return true;
}

/* One range-spec. false: malformed. len 0: it lies behind the end. */
static bool read_range(struct tg_slice spec, uint64_t size, struct tg_static_range *out)
{
    struct tg_slice after;
    struct tg_slice before = tg_slice_cut(spec, '-', &after);
    uint64_t first, last = UINT64_MAX;
    if (after.ptr == NULL) {
        return false;
    }
    if (before.len == 0) { /* the last bytes */
        uint64_t len;
        if (!read_position(after, &len)) {
            return false;
        }
        len = len < size ? len : size;
        *out = (struct tg_static_range){size - len, len};
        return true;
    }
    if (!read_position(before, &first) || (after.len > 0 && !read_position(after, &last)) || last < first) {
        return false;
    }
    last = last < size ? last : size - 1;
    *out = (struct tg_static_range){first, first < size ? last - first + 1 : 0};
    return true;
}

static bool overlap(const struct tg_static_range *ranges, size_t count, const struct tg_static_range *other)
{
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].first < other->first + other->len && other->first < ranges[i].first + ranges[i].len) {
            return true;
        }
    }
    return false;
}

enum tg_static_ranges tg_static_range_parse(struct tg_slice value, uint64_t size,
                                            struct tg_static_range out[TG_STATIC_RANGES_MAX], size_t *count)
{
    struct tg_slice list;
    struct tg_slice unit = tg_slice_cut(value, '=', &list);
    size_t asked = 0, kept = 0;
    bool overlapping = false;
    if (size == 0 || list.ptr == NULL || !tg_slice_eq_nocase(tg_slice_trim(unit), TG_LIT("bytes"))) {
        return TG_STATIC_WHOLE;
    }
    while (list.len > 0) {
        struct tg_static_range range;
        struct tg_slice spec = tg_slice_trim(tg_slice_cut(list, ',', &list));
        if (spec.len == 0) {
            continue; /* lists may have empty elements (section 5.6.1) */
        }
        if (asked++ == TG_STATIC_RANGES_MAX || !read_range(spec, size, &range)) {
            return TG_STATIC_WHOLE;
        }
        if (range.len > 0) {
            overlapping = overlapping || overlap(out, kept, &range);
            out[kept++] = range;
        }
    }
    if (asked == 0 || overlapping) {
        return TG_STATIC_WHOLE;
    }
    *count = kept;
    return kept > 0 ? TG_STATIC_PARTIAL : TG_STATIC_UNSATISFIABLE;
}
