/* Text or base64: the Content-Type half of payload.h (http-api 1.6.2). */
#include "routes/payload.h"

static bool in_list(struct tg_slice type, struct tg_slice pattern)
{
    if (tg_slice_eq(pattern, TG_LIT("*/*"))) {
        return true;
    }
    if (tg_slice_ends(pattern, TG_LIT("/*"))) {
        pattern.len--;
        type = tg_slice_head(type, pattern.len);
    }
    return tg_slice_eq_nocase(type, pattern);
}

static bool is_text_type(struct tg_slice type, const struct tg_strings *text_types)
{
    static const struct tg_slice defaults[] = {
        TG_LIT_INIT("text/*"), TG_LIT_INIT("application/json"), TG_LIT_INIT("application/xml"),
        TG_LIT_INIT("application/javascript"), TG_LIT_INIT("application/graphql")};
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        if (in_list(type, defaults[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < text_types->count; i++) {
        if (in_list(type, text_types->items[i])) {
            return true;
        }
    }
    return false;
}

/* The length of a parameter: up to the next `;` outside of quotes. */
static size_t parameter_len(struct tg_slice text)
{
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"') {
            quoted = !quoted;
        } else if (quoted && text.ptr[i] == '\\') {
            i++;
        } else if (!quoted && text.ptr[i] == ';') {
            return i;
        }
    }
    return text.len;
}

static bool is_utf8(struct tg_slice parameters)
{
    while (parameters.len > 0) {
        size_t len = parameter_len(parameters);
        struct tg_slice value, name = tg_slice_cut(tg_slice_head(parameters, len), '=', &value);
        parameters = tg_slice_from(parameters, len + 1);
        value = tg_slice_trim(value);
        if (tg_slice_eq_nocase(tg_slice_trim(name), TG_LIT("charset")) &&
            !tg_slice_eq_nocase(value, TG_LIT("utf-8")) && !tg_slice_eq_nocase(value, TG_LIT("\"utf-8\""))) {
            return false;
        }
    }
    return true;
}

bool tg_payload_is_text(struct tg_slice content_type, const struct tg_strings *text_types)
{
    struct tg_slice parameters, type = tg_slice_trim(tg_slice_cut(content_type, ';', &parameters));
    struct tg_slice subtype, main_type = tg_slice_cut(type, '/', &subtype);
    return tg_header_name_ok(main_type) && tg_header_name_ok(subtype) && is_text_type(type, text_types) &&
           is_utf8(parameters);
}
