#include "routes/jsonwalk.h"

#include "routes/jsontext.h"

void tg_jsonwalk_init(struct tg_jsonwalk *walk, const struct tg_jsonscan_value *container)
{
    *walk = (struct tg_jsonwalk){0};
    if (container->found && (container->type == TG_JSON_OBJECT || container->type == TG_JSON_ARRAY)) {
        walk->at = container->raw.ptr + 1;
        walk->end = container->raw.ptr + container->raw.len - 1;
        walk->object = container->type == TG_JSON_OBJECT;
    }
}

static bool is_between(char c)
{
    return tg_jsontext_is_blank(c) || c == ',' || c == ':';
}

/* Behind the string that begins at `at`. */
static const char *skip_string(const char *at, const char *end, bool *escaped)
{
    uint64_t high = 0;
    for (at++;; at += 2) {
        at = tg_jsontext_skip(at, end, '"', &high);
        if (*at == '"') {
            return at + 1;
        }
        *escaped = true;
    }
}

static const char *skip_container(const char *at, const char *end)
{
    size_t depth = 0;
    bool escaped;
    do {
        if (*at == '"') {
            at = skip_string(at, end, &escaped);
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
    } while (depth > 0);
    return at;
}

static const char *skip_word(const char *at, const char *end, bool *fraction)
{
    while (at < end && !is_between(*at)) {
        *fraction |= *at == '.' || *at == 'e' || *at == 'E';
        at++;
    }
    return at;
}

static struct tg_jsonscan_value take(struct tg_jsonwalk *walk)
{
    struct tg_jsonscan_value value = {.found = true, .raw = tg_slice_make(walk->at, 0)};
    bool fraction = false;
    switch (*walk->at) {
    case '"':
        value.type = TG_JSON_STRING;
        walk->at = skip_string(walk->at, walk->end, &value.escaped);
        break;
    case '{':
    case '[':
        value.type = *walk->at == '{' ? TG_JSON_OBJECT : TG_JSON_ARRAY;
        walk->at = skip_container(walk->at, walk->end);
        break;
    case 't':
    case 'f':
        value.type = TG_JSON_BOOL;
        walk->at = skip_word(walk->at, walk->end, &fraction);
        break;
    case 'n':
        value.type = TG_JSON_NULL;
        walk->at = skip_word(walk->at, walk->end, &fraction);
        break;
    default:
        walk->at = skip_word(walk->at, walk->end, &fraction);
        value.type = fraction ? TG_JSON_REAL : TG_JSON_INTEGER;
    }
    value.raw.len = (size_t)(walk->at - value.raw.ptr);
    return value;
}

static bool skip_between(struct tg_jsonwalk *walk)
{
    while (walk->at < walk->end && is_between(*walk->at)) {
        walk->at++;
    }
    return walk->at < walk->end;
}

bool tg_jsonwalk_next(struct tg_jsonwalk *walk, struct tg_jsonscan_value *name,
                      struct tg_jsonscan_value *value)
{
    if (!skip_between(walk)) {
        return false;
    }
    if (walk->object) {
        *name = take(walk);
        (void)skip_between(walk);
    }
    *value = take(walk);
    return true;
}

bool tg_jsonwalk_is(const struct tg_jsonscan_value *name, struct tg_slice text)
{
    struct tg_slice inside = tg_slice_make(name->raw.ptr + 1, name->raw.len - 2);
    return name->escaped ? tg_jsontext_eq(inside, text) : tg_slice_eq(inside, text);
}
