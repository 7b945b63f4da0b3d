#include "routes/jsonscan.h"

#include "routes/jsontext.h"
#include "server/base/codec.h"

/* One pass over a document. Container number d (1 is the outermost) lies on the path when the first d - 1
 * steps lead to it. Invariant: live <= depth <= TG_JSONSCAN_DEPTH_MAX and live <= path->count. */
struct scanner {
    const char *at, *end;
    const struct tg_jsonscan_path *path;
    bool lenient;
    bool hit;         /* the next value is where the first `depth` steps lead */
    size_t depth;     /* containers open */
    size_t live;      /* of these, from the outermost on, those that lie on the path */
    size_t index;     /* of the current item, when container `live` is an array */
    const char *open; /* start of the container that was looked for, while it is open */
    struct tg_jsonscan_value value;
    uint64_t objects[TG_JSONSCAN_DEPTH_MAX / 64]; /* bit d - 1: container d is an object */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip_blank(struct scanner *s)
{
    while (s->at < s->end && tg_jsontext_is_blank(*s->at)) {
        s->at++;
    }
}

/* What follows the backslash. */
static bool take_escape(struct scanner *s, char quote)
{
    if (s->at == s->end) {
        return false;
    }
    char c = *s->at++;
    if (c == 'u') {
        if (s->end - s->at < 4) {
            return false;
        }
        for (int i = 0; i < 4; i++) {
            if (tg_jsontext_hex(*s->at++) < 0) {
                return false;
            }
        }
        return true;
    }
    return c == quote || (c != '\0' && strchr("\"\\/bfnrt", c) != NULL);
}

/* A string from its opening quote on; *body is what stands between the quotes. */
static bool take_string(struct scanner *s, struct tg_slice *body, bool *escaped)
{
    const char quote = *s->at++;
    const char *start = s->at;
    uint64_t high = 0;
    bool any_escape = false;
    for (;;) {
        const char *stop = tg_jsontext_skip(s->at, s->end, quote, &high);
        if (stop == s->end || (unsigned char)*stop < 0x20) {
            return false;
        }
        s->at = stop + 1;
        if (*stop == quote) {
            *body = tg_slice_make(start, (size_t)(stop - start));
            *escaped = any_escape;
            return high == 0 || tg_utf8_valid(*body);
        }
        any_escape = true;
        if (!take_escape(s, quote)) {
            return false;
        }
    }
}

static bool take_digits(struct scanner *s)
{
    const char *start = s->at;
    while (s->at < s->end && is_digit(*s->at)) {
        s->at++;
    }
    return s->at > start;
}

static bool take_number(struct scanner *s, enum tg_json_type *type)
{
    *type = TG_JSON_INTEGER;
    if (*s->at == '-') {
        s->at++;
    }
    if (s->at < s->end && *s->at == '0') {
        s->at++;
    } else if (!take_digits(s)) {
        return false;
    }
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        *type = TG_JSON_REAL;
        if (!take_digits(s)) {
            return false;
        }
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        *type = TG_JSON_REAL;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-')) {
            s->at++;
        }
        return take_digits(s);
    }
    return true;
}

static bool take_word(struct scanner *s, struct tg_slice word)
{
    if (!tg_slice_starts(tg_slice_make(s->at, (size_t)(s->end - s->at)), word)) {
        return false;
    }
    s->at += word.len;
    return true;
}

static bool take_scalar(struct scanner *s, struct tg_jsonscan_value *value)
{
    struct tg_slice body;
    switch (*s->at) {
    case '\'':
        if (!s->lenient) {
            return false;
        }
        /* fall through */
    case '"':
        value->type = TG_JSON_STRING;
        return take_string(s, &body, &value->escaped);
    case 't':
        value->type = TG_JSON_BOOL;
        return take_word(s, TG_LIT("true"));
    case 'f':
        value->type = TG_JSON_BOOL;
        return take_word(s, TG_LIT("false"));
    case 'n':
        value->type = TG_JSON_NULL;
        return take_word(s, TG_LIT("null"));
    default:
        return take_number(s, &value->type);
    }
}

static bool in_object(const struct scanner *s)
{
    size_t bit = s->depth - 1;
    return (s->objects[bit / 64] >> (bit % 64) & 1) != 0;
}

static enum tg_err open_container(struct scanner *s)
{
    bool object = *s->at == '{';
    if (s->depth == TG_JSONSCAN_DEPTH_MAX) {
        return TG_ELIMIT;
    }
    if (s->hit && s->depth == s->path->count) {
        s->open = s->at;
        s->value = (struct tg_jsonscan_value){.found = true, .type = object ? TG_JSON_OBJECT : TG_JSON_ARRAY};
    } else if (s->hit) {
        s->live = s->depth + 1;
        s->index = 0;
    }
    uint64_t bit = UINT64_C(1) << (s->depth % 64);
    uint64_t *word = &s->objects[s->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    s->depth++;
    s->at++;
    return TG_OK;
}

static void close_container(struct scanner *s)
{
    s->at++;
    s->depth--;
    if (s->open != NULL && s->depth == s->path->count) {
        s->value.raw = tg_slice_make(s->open, (size_t)(s->at - s->open));
        s->open = NULL;
    }
    if (s->live > s->depth) {
        s->live = s->depth;
        if (s->live > 0) {
            s->index = s->path->steps[s->live - 1].index;
        }
    }
}

/* A value's first half: all of a scalar, the opening of a container. */
static enum tg_err take_value(struct scanner *s)
{
    skip_blank(s);
    if (s->at == s->end) {
        return TG_ESYNTAX;
    }
    if (*s->at == '{' || *s->at == '[') {
        return open_container(s);
    }
    struct tg_jsonscan_value value = {.found = true, .raw = tg_slice_make(s->at, 0)};
    if (!take_scalar(s, &value)) {
        return TG_ESYNTAX;
    }
    if (s->hit && s->depth == s->path->count) {
        value.raw.len = (size_t)(s->at - value.raw.ptr);
        s->value = value;
    }
    return TG_OK;
}

static bool is_name_char(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '$' || c == '-';
}

static bool take_bare_name(struct scanner *s, struct tg_slice *name)
{
    const char *start = s->at;
    if (is_digit(*start) || *start == '-') {
        return false;
    }
    while (s->at < s->end && is_name_char(*s->at)) {
        s->at++;
    }
    *name = tg_slice_make(start, (size_t)(s->at - start));
    return name->len > 0;
}

/* A member's name and colon. */
static bool enter_member(struct scanner *s)
{
    struct tg_slice name;
    bool escaped = false;
    skip_blank(s);
    if (s->at == s->end) {
        return false;
    }
    if (*s->at == '"' || (s->lenient && *s->at == '\'')) {
        if (!take_string(s, &name, &escaped)) {
            return false;
        }
    } else if (!s->lenient || !take_bare_name(s, &name)) {
        return false;
    }
    skip_blank(s);
    if (s->at == s->end || *s->at != ':') {
        return false;
    }
    s->at++;
    s->hit = false;
    if (s->live == s->depth) {
        const struct tg_jsonscan_step *step = &s->path->steps[s->depth - 1];
        s->hit = step->name.ptr != NULL &&
                 (escaped ? tg_jsontext_eq(name, step->name) : tg_slice_eq(name, step->name));
        if (s->hit) {
            s->value = (struct tg_jsonscan_value){0}; /* an earlier member of that name no longer counts */
        }
    }
    return true;
}

static void enter_item(struct scanner *s, bool first)
{
    s->hit = false;
    if (s->live == s->depth) {
        const struct tg_jsonscan_step *step = &s->path->steps[s->depth - 1];
        s->index = first ? 0 : s->index + 1;
        s->hit = step->name.ptr == NULL && step->index == s->index;
    }
}

/* From behind a value, or behind the opening of a container when `fresh`, to the next value or the document's
 * end. */
static bool advance(struct scanner *s, bool fresh)
{
    while (s->depth > 0) {
        bool object = in_object(s);
        skip_blank(s);
        if (s->at == s->end) {
            return false;
        }
        if (*s->at == (object ? '}' : ']')) {
            close_container(s);
            fresh = false;
            continue;
        }
        if (!fresh && *s->at++ != ',') {
            return false;
        }
        if (object) {
            return enter_member(s);
        }
        enter_item(s, fresh);
        return true;
    }
    return true;
}

/* The whole document, once. */
static enum tg_err scan_document(struct scanner *s)
{
    if (s->at == s->end) {
        return TG_ESYNTAX;
    }
    do {
        size_t depth = s->depth;
        enum tg_err err = take_value(s);
        if (err != TG_OK) {
            return err;
        }
        if (!advance(s, s->depth > depth)) {
            return TG_ESYNTAX;
        }
    } while (s->depth > 0);
    skip_blank(s);
    return s->at == s->end ? TG_OK : TG_ESYNTAX;
}

/* A value that ended before the end of the text, at which a number may have lost digits. */
static bool ended_before(const struct tg_jsonscan_value *value, const char *end)
{
    return value->raw.len > 0 && value->raw.ptr + value->raw.len < end;
}

static enum tg_err scan(struct tg_slice text, const struct tg_jsonscan_path *path, enum tg_jsonscan_mode mode,
                        struct tg_jsonscan_value *out)
{
    struct scanner s = {.at = text.ptr,
                        .end = text.len > 0 ? text.ptr + text.len : text.ptr,
                        .path = path,
                        .lenient = mode == TG_JSONSCAN_LENIENT,
                        .hit = true};
    enum tg_err err = scan_document(&s);
    if (err == TG_ESYNTAX && mode == TG_JSONSCAN_CUT && ended_before(&s.value, s.end)) {
        err = TG_OK;
    }
    if (err == TG_OK) {
        *out = s.value;
    }
    return err;
}

enum tg_err tg_jsonscan_find(struct tg_slice text, const struct tg_jsonscan_path *path,
                             enum tg_jsonscan_mode mode, struct tg_jsonscan_value *out)
{
    if (mode == TG_JSONSCAN_CUT) {
        return scan(text, path, mode, out);
    }
    enum tg_err err = scan(text, path, TG_JSONSCAN_STRICT, out);
    return err == TG_ESYNTAX && mode == TG_JSONSCAN_LENIENT ? scan(text, path, mode, out) : err;
}
