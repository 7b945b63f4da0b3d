#include "routes/jsonscan.h"

#include "routes/jsonplain.h"
#include "routes/jsontext.h"
#include "server/base/codec.h"

/* One pass over a document. Functions take where they begin and return where they end, or NULL where the text
 * is no JSON there, or nests too deep: `error` says which. */
struct scanner {
    const char *end;
    const struct tg_jsonscan_path *path;
    bool lenient;
    enum tg_err error;
    struct tg_jsonscan_value value; /* what was found */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline const char *skip_blank(const struct scanner *s, const char *at)
{
    while (at < s->end && (unsigned char)*at <= ' ' && tg_jsontext_is_blank(*at)) {
        at++;
    }
    return at;
}

/* Behind the byte at `at`, and the blanks after it. */
static inline const char *step_over(const struct scanner *s, const char *at)
{
    return skip_blank(s, at + 1);
}

/* ---- scalars ---- */

/* What follows the backslash. */
static const char *take_escape(const struct scanner *s, const char *at, char quote)
{
    if (at == s->end) {
        return NULL;
    }
    char c = *at++;
    if (c == 'u') {
        if (s->end - at < 4) {
            return NULL;
        }
        for (int i = 0; i < 4; i++) {
            if (tg_jsontext_hex(*at++) < 0) {
                return NULL;
            }
        }
        return at;
    }
    return c == quote || (c != '\0' && strchr("\"\\/bfnrt", c) != NULL) ? at : NULL;
}

/* A string from its opening quote on; *body is what stands between the quotes. */
static const char *take_string(const struct scanner *s, const char *at, struct tg_slice *body, bool *escaped)
{
    const char quote = *at++;
    const char *start = at;
    uint64_t high = 0;
    *escaped = false;
    for (;;) {
        at = tg_jsontext_skip(at, s->end, quote, &high);
        if (at == s->end || (unsigned char)*at < 0x20) {
            return NULL;
        }
        if (*at == quote) {
            *body = tg_slice_make(start, (size_t)(at - start));
            return high == 0 || tg_utf8_valid(*body) ? at + 1 : NULL;
        }
        *escaped = true;
        at = take_escape(s, at + 1, quote);
        if (at == NULL) {
            return NULL;
        }
    }
}

/* NULL: there are none. */
static const char *take_digits(const struct scanner *s, const char *at)
{
    const char *start = at;
    while (at < s->end && is_digit(*at)) {
        at++;
    }
    return at > start ? at : NULL;
}

static const char *take_exponent(const struct scanner *s, const char *at)
{
    if (at < s->end && (*at == '+' || *at == '-')) {
        at++;
    }
    return take_digits(s, at);
}

static const char *take_number(const struct scanner *s, const char *at, enum tg_json_type *type)
{
    *type = TG_JSON_INTEGER;
    at += *at == '-';
    at = at < s->end && *at == '0' ? at + 1 : take_digits(s, at);
    if (at != NULL && at < s->end && *at == '.') {
        *type = TG_JSON_REAL;
        at = take_digits(s, at + 1);
    }
    if (at != NULL && at < s->end && (*at | 0x20) == 'e') {
        *type = TG_JSON_REAL;
        at = take_exponent(s, at + 1);
    }
    return at;
}

static const char *take_word(const struct scanner *s, const char *at, struct tg_slice word)
{
    return tg_slice_starts(tg_slice_make(at, (size_t)(s->end - at)), word) ? at + word.len : NULL;
}

static const char *take_scalar(const struct scanner *s, const char *at, struct tg_jsonscan_value *value)
{
    struct tg_slice body;
    switch (*at) {
    case '\'':
        if (!s->lenient) {
            return NULL;
        }
        /* fall through */
    case '"':
        value->type = TG_JSON_STRING;
        return take_string(s, at, &body, &value->escaped);
    case 't':
        value->type = TG_JSON_BOOL;
        return take_word(s, at, TG_LIT("true"));
    case 'f':
        value->type = TG_JSON_BOOL;
        return take_word(s, at, TG_LIT("false"));
    case 'n':
        value->type = TG_JSON_NULL;
        return take_word(s, at, TG_LIT("null"));
    default:
        return take_number(s, at, &value->type);
    }
}

/* ---- members ---- */

static bool is_name_char(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '$' || c == '-';
}

static const char *take_bare_name(const struct scanner *s, const char *at, struct tg_slice *name)
{
    const char *start = at;
    if (is_digit(*at) || *at == '-') {
        return NULL;
    }
    while (at < s->end && is_name_char(*at)) {
        at++;
    }
    *name = tg_slice_make(start, (size_t)(at - start));
    return at > start ? at : NULL;
}

/* A member's name and colon, up to its value. */
static inline const char *take_name(const struct scanner *s, const char *at, struct tg_slice *name,
                                    bool *escaped)
{
    if (at == s->end) {
        return NULL;
    }
    *escaped = false;
    if (*at == '"' || (s->lenient && *at == '\'')) {
        at = take_string(s, at, name, escaped);
    } else {
        at = s->lenient ? take_bare_name(s, at, name) : NULL;
    }
    if (at == NULL) {
        return NULL;
    }
    at = skip_blank(s, at);
    return at < s->end && *at == ':' ? step_over(s, at) : NULL;
}

/* ---- values off the path ---- */

/* Containers within one that is passed. Invariant: bit d of `objects` says of container d whether it is an
 * object, d < depth <= TG_JSONSCAN_DEPTH_MAX. */
struct nest {
    size_t depth;
    uint64_t objects[TG_JSONSCAN_DEPTH_MAX / 64];
};

static bool in_object(const struct nest *nest)
{
    size_t bit = nest->depth - 1;
    return (nest->objects[bit / 64] >> (bit % 64) & 1) != 0;
}

static bool open_nested(struct nest *nest, bool object)
{
    if (nest->depth == TG_JSONSCAN_DEPTH_MAX) {
        return false;
    }
    uint64_t bit = UINT64_C(1) << (nest->depth % 64);
    uint64_t *word = &nest->objects[nest->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    nest->depth++;
    return true;
}

/* From behind a value, or behind the opening of a container when `fresh`, to the next value, or behind the
 * end of container `base`. */
static const char *advance(const struct scanner *s, const char *at, struct nest *nest, size_t base,
                           bool fresh)
{
    struct tg_slice name;
    bool escaped;
    while (nest->depth > base) {
        bool object = in_object(nest);
        at = skip_blank(s, at);
        if (at == s->end) {
            return NULL;
        }
        if (*at == (object ? '}' : ']')) {
            at++;
            nest->depth--;
            fresh = false;
            continue;
        }
        if (!fresh) {
            if (*at != ',') {
                return NULL;
            }
            at = step_over(s, at);
        }
        return object ? take_name(s, at, &name, &escaped) : at;
    }
    return at;
}

/* A container with `base` others around it. */
static const char *pass_container(struct scanner *s, const char *at, size_t base)
{
    struct nest nest = {.depth = base};
    struct tg_jsonscan_value ignored;
    do {
        bool opens = at < s->end && (*at == '{' || *at == '[');
        if (at == s->end) {
            return NULL;
        }
        if (opens && !open_nested(&nest, *at == '{')) {
            s->error = TG_ELIMIT;
            return NULL;
        }
        at = opens ? at + 1 : take_scalar(s, at, &ignored);
        at = at != NULL ? advance(s, at, &nest, base, opens) : NULL;
    } while (at != NULL && nest.depth > base);
    return at;
}

/* Any value with `depth` containers around it; its type and whether it has escapes go to *value. */
static inline const char *pass_value(struct scanner *s, const char *at, size_t depth,
                                     struct tg_jsonscan_value *value)
{
    struct tg_slice body;
    if (at == s->end) {
        return NULL;
    }
    if (*at == '"') {
        value->type = TG_JSON_STRING;
        return take_string(s, at, &body, &value->escaped);
    }
    if (*at == '{' || *at == '[') {
        value->type = *at == '{' ? TG_JSON_OBJECT : TG_JSON_ARRAY;
        return pass_container(s, at, depth);
    }
    return take_scalar(s, at, value);
}

/* ---- along the path ---- */

static const char *take_target(struct scanner *s, const char *at)
{
    struct tg_jsonscan_value value = {.found = true};
    const char *end = pass_value(s, at, s->path->count, &value);
    if (end != NULL) {
        value.raw = tg_slice_make(at, (size_t)(end - at));
        s->value = value;
    }
    return end;
}

static const char *take_value(struct scanner *s, const char *at, size_t steps);

/* The members of an object whose opening brace is at `at`; `steps` steps of the path lead to it, and the next
 * is a name. */
static const char *take_members(struct scanner *s, const char *at, size_t steps)
{
    const struct tg_slice wanted = s->path->steps[steps].name;
    struct tg_jsonscan_value ignored;
    at = step_over(s, at);
    if (at < s->end && *at == '}') {
        return at + 1;
    }
    for (;;) {
        struct tg_slice name;
        bool escaped;
        at = take_name(s, at, &name, &escaped);
        if (at == NULL) {
            return NULL;
        }
        if (escaped ? tg_jsontext_eq(name, wanted) : tg_slice_eq(name, wanted)) {
            s->value = (struct tg_jsonscan_value){0}; /* an earlier member of that name no longer counts */
            at = steps + 1 == s->path->count ? take_target(s, at) : take_value(s, at, steps + 1);
        } else {
            at = pass_value(s, at, steps + 1, &ignored);
        }
        if (at == NULL || (at = skip_blank(s, at)) == s->end) {
            return NULL;
        }
        if (*at == '}') {
            return at + 1;
        }
        if (*at != ',') {
            return NULL;
        }
        at = step_over(s, at);
    }
}

/* Likewise the items of an array, and the next step is an index. */
static const char *take_items(struct scanner *s, const char *at, size_t steps)
{
    const size_t wanted = s->path->steps[steps].index;
    struct tg_jsonscan_value ignored;
    at = step_over(s, at);
    if (at < s->end && *at == ']') {
        return at + 1;
    }
    for (size_t index = 0;; index++) {
        at = index == wanted ? take_value(s, at, steps + 1) : pass_value(s, at, steps + 1, &ignored);
        if (at == NULL || (at = skip_blank(s, at)) == s->end) {
            return NULL;
        }
        if (*at == ']') {
            return at + 1;
        }
        if (*at != ',') {
            return NULL;
        }
        at = step_over(s, at);
    }
}

/* A value to which the first `steps` steps of the path lead. A path has at most TG_JSONSCAN_DEPTH_MAX steps,
 * so that none on it nests too deep. */
static const char *take_value(struct scanner *s, const char *at, size_t steps)
{
    struct tg_jsonscan_value ignored;
    if (steps == s->path->count) {
        return take_target(s, at);
    }
    bool named = s->path->steps[steps].name.ptr != NULL;
    if (at < s->end && *at == (named ? '{' : '[')) {
        return named ? take_members(s, at, steps) : take_items(s, at, steps);
    }
    return pass_value(s, at, steps, &ignored);
}

/* The whole document, once. */
static enum tg_err scan_document(struct scanner *s, const char *at)
{
    at = at != s->end ? take_value(s, skip_blank(s, at), 0) : NULL;
    return at != NULL && skip_blank(s, at) == s->end ? TG_OK : s->error;
}

/* A value that ended before the end of the text, at which a number may have lost digits. */
static bool ended_before(const struct tg_jsonscan_value *value, const char *end)
{
    return value->raw.len > 0 && value->raw.ptr + value->raw.len < end;
}

static enum tg_err scan(struct tg_slice text, const struct tg_jsonscan_path *path, enum tg_jsonscan_mode mode,
                        struct tg_jsonscan_value *out)
{
    struct scanner s = {.end = text.len > 0 ? text.ptr + text.len : text.ptr,
                        .path = path,
                        .lenient = mode == TG_JSONSCAN_LENIENT,
                        .error = TG_ESYNTAX};
    enum tg_err err = scan_document(&s, text.ptr);
    if (err == TG_ESYNTAX && mode == TG_JSONSCAN_CUT && ended_before(&s.value, s.end)) {
        err = TG_OK;
    }
    if (err == TG_OK) {
        *out = s.value;
    }
    return err;
}

static TG_APART enum tg_err find(struct tg_slice text, const struct tg_jsonscan_path *path,
                                 enum tg_jsonscan_mode mode, struct tg_jsonscan_value *out)
{
    if (mode == TG_JSONSCAN_CUT) {
        return scan(text, path, mode, out);
    }
    enum tg_err err = scan(text, path, TG_JSONSCAN_STRICT, out);
    return err == TG_ESYNTAX && mode == TG_JSONSCAN_LENIENT ? scan(text, path, mode, out) : err;
}

enum tg_err tg_jsonscan_find(struct tg_slice text, const struct tg_jsonscan_path *path,
                             enum tg_jsonscan_mode mode, struct tg_jsonscan_value *out)
{
    bool plain = path->count == 1 && path->steps[0].name.ptr != NULL &&
                 tg_jsonplain_find(text, path->steps[0].name, out);
    return plain ? TG_OK : find(text, path, mode, out);
}
