#include "routes/glob.h"

static char fold(char c, bool ignore_case)
{
    return (char)(ignore_case && c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* Compares as many bytes as the part has, which the text has, too. The part has no `*`. */
static bool part_starts(struct tg_slice part, struct tg_slice text, bool ignore_case)
{
    if (part.len == 0 || memcmp(part.ptr, text.ptr, part.len) == 0) {
        return true; /* the common case */
    }
    for (size_t i = 0; i < part.len; i++) {
        if (part.ptr[i] != text.ptr[i] && part.ptr[i] != '?' &&
            fold(part.ptr[i], ignore_case) != fold(text.ptr[i], ignore_case)) {
            return false;
        }
    }
    return true;
}

/* Drops everything up to the end of the first occurrence of the part. */
static bool skip_past(struct tg_slice part, struct tg_slice *text, bool ignore_case)
{
    if (part.len > text->len) {
        return false;
    }
    if (!ignore_case && tg_slice_find(part, '?') == part.len) {
        size_t at = tg_slice_find_slice(*text, part);
        bool found = at < text->len || part.len == 0;
        *text = tg_slice_from(*text, at + part.len);
        return found;
    }
    for (size_t at = 0; at <= text->len - part.len; at++) {
        if (part_starts(part, tg_slice_from(*text, at), ignore_case)) {
            *text = tg_slice_from(*text, at + part.len);
            return true;
        }
    }
    return false;
}

bool tg_glob_match(struct tg_slice pattern, struct tg_slice text, bool ignore_case)
{
    size_t star = tg_slice_find(pattern, '*');
    if (star == pattern.len) {
        return pattern.len == text.len && part_starts(pattern, text, ignore_case);
    }
    struct tg_slice head = tg_slice_head(pattern, star);
    size_t last = pattern.len - 1;
    while (pattern.ptr[last] != '*') {
        last--;
    }
    struct tg_slice tail = tg_slice_from(pattern, last + 1);
    if (text.len < head.len + tail.len || !part_starts(head, text, ignore_case) ||
        !part_starts(tail, tg_slice_from(text, text.len - tail.len), ignore_case)) {
        return false;
    }
    text = tg_slice_from(tg_slice_head(text, text.len - tail.len), head.len);
    struct tg_slice middle = tg_slice_make(pattern.ptr + star, last - star);
    while (middle.len > 0) {
        if (!skip_past(tg_slice_cut(middle, '*', &middle), &text, ignore_case)) {
            return false;
        }
    }
    return true;
}
