#include <regex.h>
#include <stdio.h>

#include "routes/context.h"
#include "routes/integration.h"
#include "routes/mock.h"
#include "routes/selection.h"
#include "server/base/codec.h"
#include "server/base/json.h"

/* ---- templates ---- */

struct part {
    enum tg_var_scope scope; /* TG_VAR_SCOPES: literal text */
    struct tg_slice text;
};

struct response;

struct mock_template {
    struct tg_slice key;
    struct part *parts;
    size_t count;
    /* Of a request template without variables: what it comes to, found out once. 0: to be rendered. */
    int status;
    const struct response *response;
};

struct response {
    struct tg_slice key;
    bool is_regex, is_default;
    regex_t regex;
    struct tg_selection *selection; /* NULL: none */
    struct mock_template *templates;
    size_t template_count;
};

struct tg_mock {
    struct tg_selection *selection;
    struct mock_template *templates;
    size_t template_count;
    struct response *responses;
    size_t response_count;
    /* Where no expression reads anything and the request template has no variables: what it comes to each
     * time. */
    bool fixed;
    int fixed_status;
    const struct mock_template *fixed_body; /* NULL: none */
};

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The variable at the front of `text`, which begins with '$': its length, or 0 when it is none that we know.
 */
static size_t variable(struct tg_slice text, struct part *part)
{
    static const struct {
        struct tg_slice prefix;
        enum tg_var_scope scope;
    } forms[] = {
        {TG_LIT_INIT("$input.body"), TG_VAR_BODY},
        {TG_LIT_INIT("$context."), TG_VAR_CONTEXT},
        {TG_LIT_INIT("$stageVariables."), TG_VAR_STAGE},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t at = forms[i].prefix.len;
        if (!tg_slice_starts(text, forms[i].prefix)) {
            continue;
        }
        bool dots = forms[i].scope == TG_VAR_CONTEXT;
        while (forms[i].scope != TG_VAR_BODY && at < text.len &&
               (name_char(text.ptr[at]) ||
                (dots && text.ptr[at] == '.' && at + 1 < text.len && name_char(text.ptr[at + 1])))) {
            at++;
        }
        if (forms[i].scope != TG_VAR_BODY && at == forms[i].prefix.len) {
            return 0;
        }
        if (forms[i].scope == TG_VAR_BODY && at < text.len &&
            (name_char(text.ptr[at]) || text.ptr[at] == '(')) {
            return 0;
        }
        *part = (struct part){forms[i].scope,
                              tg_slice_make(text.ptr + forms[i].prefix.len, at - forms[i].prefix.len)};
        return at;
    }
    return 0;
}

static bool starts_directive(struct tg_slice text)
{
    static const struct tg_slice words[] = {
        TG_LIT_INIT("#set"),    TG_LIT_INIT("#if"), TG_LIT_INIT("#foreach"), TG_LIT_INIT("#else"),
        TG_LIT_INIT("#end"),    TG_LIT_INIT("##"),  TG_LIT_INIT("#*"),       TG_LIT_INIT("#elseif"),
        TG_LIT_INIT("#define"), TG_LIT_INIT("#{"),  TG_LIT_INIT("#macro"),   TG_LIT_INIT("#stop"),
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (tg_slice_starts(text, words[i])) {
            return true;
        }
    }
    return false;
}

static enum tg_err compile_template(struct tg_arena *arena, struct tg_slice text, struct mock_template *out,
                                    struct tg_slice *error)
{
    size_t most = 1, literal = 0;
    for (size_t i = 0; i < text.len; i++) {
        most += text.ptr[i] == '$' ? 2 : 0;
    }
    out->parts = tg_arena_alloc(arena, most * sizeof *out->parts);
    if (out->parts == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < text.len;) {
        struct part part;
        struct tg_slice rest = tg_slice_from(text, i);
        size_t len = text.ptr[i] == '$' ? variable(rest, &part) : 0;
        bool unknown = text.ptr[i] == '$' && len == 0 && rest.len > 1 &&
                       (name_char(rest.ptr[1]) || rest.ptr[1] == '{' || rest.ptr[1] == '!');
        if (unknown || (text.ptr[i] == '#' && starts_directive(rest))) {
            struct tg_slice part_of = tg_slice_head(rest, 24);
            enum tg_err err =
                tg_arena_printf(arena, error,
                                "the template needs the template language, which is not supported yet, "
                                "at character %zu: \"%.*s\"; text, $input.body, $context.NAME and "
                                "$stageVariables.NAME are",
                                i + 1, TG_FMT(part_of));
            return err == TG_OK ? TG_EINVAL : err;
        }
        if (len > 0) {
            if (i > literal) {
                out->parts[out->count++] =
                    (struct part){TG_VAR_SCOPES, tg_slice_make(text.ptr + literal, i - literal)};
            }
            out->parts[out->count++] = part;
            literal = i + len;
        }
        i += len > 0 ? len : 1;
    }
    if (text.len > literal) {
        out->parts[out->count++] = (struct part){TG_VAR_SCOPES, tg_slice_from(text, literal)};
    }
    return TG_OK;
}

static enum tg_err render(const struct mock_template *chosen, struct tg_request *request,
                          struct tg_slice *out)
{
    if (chosen->count == 1 && chosen->parts[0].scope == TG_VAR_SCOPES) {
        *out = chosen->parts[0].text;
        return TG_OK;
    }
    if (chosen->count == 1 && chosen->parts[0].scope == TG_VAR_BODY) {
        *out = request->body;
        return TG_OK;
    }
    struct tg_vars vars = tg_request_vars(request);
    struct tg_buf text;
    enum tg_err err = TG_OK;
    tg_buf_init(&text, 1 << 20);
    for (size_t i = 0; err == TG_OK && i < chosen->count; i++) {
        const struct part *part = &chosen->parts[i];
        struct tg_var_values values = {&part->text, 1};
        if (part->scope != TG_VAR_SCOPES) {
            err = tg_vars_get(&vars, part->scope, part->scope == TG_VAR_BODY ? TG_EMPTY : part->text,
                              &request->arena, &values);
        }
        if (err == TG_OK && values.count > 0) {
            err = tg_buf_append(&text, values.items[0]);
        }
    }
    if (err == TG_OK) {
        err = tg_arena_copy(&request->arena, tg_buf_slice(&text), out);
    }
    tg_buf_free(&text);
    return err;
}

/* The selected one; else `$default`; else `application/json`; else the only one. */
static const struct mock_template *choose_template(const struct mock_template *templates, size_t count,
                                                   struct tg_slice key)
{
    const struct tg_slice keys[] = {key, TG_LIT("$default"), TG_LIT("application/json")};
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        for (size_t i = 0; i < count; i++) {
            if (tg_slice_eq(templates[i].key, keys[k])) {
                return &templates[i];
            }
        }
    }
    return count == 1 ? templates : NULL;
}

/* ---- compiling ---- */

static enum tg_err compile_templates(struct tg_arena *arena, const struct tg_string_map *map,
                                     struct mock_template **out, size_t *count, struct tg_slice *error)
{
    struct mock_template *templates = tg_arena_zalloc(arena, (map->count + 1) * sizeof *templates);
    if (templates == NULL) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < map->count; i++) {
        templates[i].key = map->items[i].key;
        enum tg_err err = compile_template(arena, map->items[i].value, &templates[i], error);
        if (err != TG_OK) {
            return err;
        }
    }
    *out = templates;
    *count = map->count;
    return TG_OK;
}

static enum tg_err compile_selection(struct tg_arena *arena, struct tg_slice text, unsigned allowed,
                                     struct tg_selection **out, struct tg_slice *error)
{
    if (text.len == 0) {
        return TG_OK;
    }
    *out = tg_arena_alloc(arena, sizeof **out);
    if (*out == NULL) {
        return TG_ENOMEM;
    }
    enum tg_err err = tg_selection_compile(arena, text, allowed, *out, error);
    return err == TG_ESYNTAX ? TG_EINVAL : err;
}

static void free_regex(void *arg)
{
    regfree(arg);
}

/* `/pattern/` over the whole value; \d, \w and \s become bracket expressions, as POSIX has no such escapes.
 */
static enum tg_err compile_regex(struct tg_arena *arena, struct tg_slice pattern, regex_t *out,
                                 struct tg_slice *error)
{
    static const struct {
        char letter;
        const char *set;
    } classes[] = {{'d', "[0-9]"}, {'w', "[A-Za-z0-9_]"}, {'s', "[ \t\r\n]"}, {'D', "[^0-9]"}};
    struct tg_buf text;
    tg_buf_init(&text, 4096);
    enum tg_err err = tg_buf_append(&text, TG_LIT("^("));
    for (size_t i = 0; err == TG_OK && i < pattern.len; i++) {
        const char *set = NULL;
        for (size_t c = 0;
             pattern.ptr[i] == '\\' && i + 1 < pattern.len && c < sizeof classes / sizeof classes[0]; c++) {
            set = pattern.ptr[i + 1] == classes[c].letter ? classes[c].set : set;
        }
        if (set != NULL) {
            err = tg_buf_append(&text, tg_slice_cstr(set));
            i++;
        } else {
            err = tg_buf_append_char(&text, pattern.ptr[i]);
        }
    }
    if (err == TG_OK) {
        err = tg_buf_append(&text, tg_slice_make(")$\0", 3));
    }
    if (err == TG_OK && regcomp(out, tg_buf_slice(&text).ptr, REG_EXTENDED | REG_NOSUB) != 0) {
        err = tg_arena_printf(arena, error, "the pattern /%.*s/ is no regular expression", TG_FMT(pattern));
        err = err == TG_OK ? TG_EINVAL : err;
    } else if (err == TG_OK) {
        err = tg_arena_defer(arena, free_regex, out);
    }
    tg_buf_free(&text);
    return err;
}

static enum tg_err compile_response(struct tg_arena *arena, const struct tg_integration_response *source,
                                    struct response *out, struct tg_slice *error)
{
    struct tg_slice key = source->integration_response_key;
    out->key = key;
    out->is_default = tg_slice_eq(key, TG_LIT("$default"));
    enum tg_err err = TG_OK;
    if (key.len > 2 && key.ptr[0] == '/' && key.ptr[key.len - 1] == '/') {
        out->is_regex = true;
        err = compile_regex(arena, tg_slice_make(key.ptr + 1, key.len - 2), &out->regex, error);
    }
    if (err == TG_OK) {
        err = compile_selection(arena, source->template_selection_expression,
                                TG_SELECT_BODY | TG_SELECT_RESPONSE, &out->selection, error);
    }
    if (err == TG_OK) {
        err = compile_templates(arena, &source->response_templates, &out->templates, &out->template_count,
                                error);
    }
    return err;
}

/* `{"statusCode": n}`. TG_ESYNTAX: it is not. */
static enum tg_err read_status(struct tg_arena *arena, struct tg_slice text, int *status)
{
    const struct tg_json *json;
    enum tg_err err = tg_json_parse(arena, text, &json);
    if (err != TG_OK) {
        return err == TG_ENOMEM ? err : TG_ESYNTAX;
    }
    const struct tg_json *code = tg_json_get(json, TG_LIT("statusCode"));
    uint64_t number = 0;
    if (tg_json_type(code) == TG_JSON_INTEGER && tg_json_integer(code) > 0) {
        number = (uint64_t)tg_json_integer(code);
    } else if (tg_json_type(code) == TG_JSON_STRING &&
               tg_slice_to_u64(tg_json_string(code), &number) != TG_OK) {
        number = 0;
    }
    if (number < 100 || number > 999) {
        return TG_ESYNTAX;
    }
    *status = (int)number;
    return TG_OK;
}

/* The first that matches, in the order of the file; else `$default` (spec 2.4). */
static const struct response *choose_response(const struct tg_mock *mock, int status)
{
    char text[16];
    int len = snprintf(text, sizeof text, "%d", status);
    const struct response *fallback = NULL;
    for (size_t i = 0; i < mock->response_count; i++) {
        const struct response *response = &mock->responses[i];
        if (response->is_default) {
            fallback = response;
        } else if (response->is_regex ? regexec(&response->regex, text, 0, NULL, 0) == 0
                                      : tg_slice_eq(response->key, tg_slice_make(text, (size_t)len))) {
            return response;
        }
    }
    return fallback;
}

/* The key that an expression without variables, or none, yields. */
static bool fixed_key(const struct tg_selection *selection, struct tg_slice *key)
{
    *key = TG_EMPTY;
    return selection == NULL || tg_selection_is_text(selection, key);
}

static void fix_answer(struct tg_mock *mock)
{
    struct tg_slice key;
    if (!fixed_key(mock->selection, &key)) {
        return;
    }
    const struct mock_template *chosen = choose_template(mock->templates, mock->template_count, key);
    if (chosen == NULL || chosen->status == 0) {
        return;
    }
    const struct response *response = chosen->response;
    if (mock->response_count > 0) {
        if (response == NULL || !fixed_key(response->selection, &key)) {
            return;
        }
        mock->fixed_body = choose_template(response->templates, response->template_count, key);
    }
    mock->fixed_status = chosen->status;
    mock->fixed = true;
}

/* Request templates without variables say the same each time. */
static enum tg_err fix_statuses(struct tg_arena *arena, const struct tg_mock *mock)
{
    for (size_t i = 0; i < mock->template_count; i++) {
        struct mock_template *template = &mock->templates[i];
        if (template->count != 1 || template->parts[0].scope != TG_VAR_SCOPES) {
            continue;
        }
        enum tg_err err = read_status(arena, template->parts[0].text, &template->status);
        if (err == TG_ENOMEM) {
            return err;
        }
        template->response = choose_response(mock, template->status);
    }
    return TG_OK;
}

enum tg_err tg_mock_compile(struct tg_arena *arena, const struct tg_integration *integration,
                            const struct tg_mock **out, struct tg_slice *error)
{
    size_t count = integration->integration_responses.count;
    struct tg_mock *mock = tg_arena_zalloc(arena, sizeof *mock);
    struct response *responses = tg_arena_zalloc(arena, (count + 1) * sizeof *responses);
    if (mock == NULL || responses == NULL) {
        return TG_ENOMEM;
    }
    mock->responses = responses;
    mock->response_count = count;
    enum tg_err err = compile_selection(arena, integration->template_selection_expression, TG_SELECT_BODY,
                                        &mock->selection, error);
    if (err == TG_OK) {
        err = compile_templates(arena, &integration->request_templates, &mock->templates,
                                &mock->template_count, error);
    }
    for (size_t i = 0; err == TG_OK && i < count; i++) {
        err = compile_response(arena, &integration->integration_responses.items[i], &responses[i], error);
    }
    if (err == TG_OK) {
        err = fix_statuses(arena, mock);
    }
    if (err == TG_OK) {
        fix_answer(mock);
        *out = mock;
    }
    return err;
}

enum tg_mock_constant tg_mock_constant(const struct tg_mock *mock, struct tg_slice *text)
{
    const struct mock_template *body = mock->fixed_body;
    *text = TG_EMPTY;
    if (!mock->fixed || (body != NULL && body->count > 1)) {
        return TG_MOCK_VARIES;
    }
    if (body == NULL || body->count == 0) {
        return TG_MOCK_TEXT;
    }
    const struct part *part = &body->parts[0];
    if (part->scope == TG_VAR_BODY) {
        return TG_MOCK_ECHO;
    }
    *text = part->text;
    return part->scope == TG_VAR_SCOPES && tg_utf8_valid(part->text) ? TG_MOCK_TEXT : TG_MOCK_VARIES;
}

/* ---- running ---- */

static enum tg_err select_key(const struct tg_selection *selection, struct tg_request *request,
                              const struct tg_vars *vars, struct tg_slice *out)
{
    const struct tg_selection_input input = {
        .body = request->body,
        .json = request->api->settings.lenient_json ? TG_JSONSCAN_LENIENT : TG_JSONSCAN_STRICT,
        .vars = vars,
    };
    *out = TG_EMPTY;
    if (selection == NULL) {
        return TG_OK;
    }
    enum tg_err err = tg_selection_evaluate(selection, &input, &request->arena, out);
    return err == TG_ENOMEM ? err : TG_OK;
}

/* The status that the request template yields, and the template where it is known beforehand. */
static enum tg_err mock_status(const struct tg_mock *mock, struct tg_request *request, int *status,
                               const struct mock_template **fixed)
{
    struct tg_slice key, text;
    enum tg_err err = select_key(mock->selection, request, NULL, &key);
    if (err != TG_OK) {
        return err;
    }
    const struct mock_template *chosen = choose_template(mock->templates, mock->template_count, key);
    *fixed = NULL;
    if (chosen != NULL && chosen->status > 0) {
        *fixed = chosen;
        *status = chosen->status;
        return TG_OK;
    }
    text = request->body; /* pass-through */
    if (chosen != NULL) {
        err = render(chosen, request, &text);
    }
    if (err == TG_OK) {
        err = read_status(&request->arena, text, status);
    }
    if (err == TG_ESYNTAX) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION,
                               TG_LIT("the request template of the MOCK yields no JSON with a statusCode"));
    }
    return err;
}

static enum tg_err respond_anew(struct tg_request *request, const struct mock_template **used)
{
    const struct tg_mock *mock = request->route->integration->mock;
    const struct mock_template *fixed;
    struct tg_slice key;
    enum tg_err err = mock_status(mock, request, &request->answer.status, &fixed);
    if (err != TG_OK || mock->response_count == 0) {
        return err;
    }
    const struct response *response =
        fixed != NULL ? fixed->response : choose_response(mock, request->answer.status);
    if (response == NULL) {
        return tg_request_fail(request, TG_FAULT_INTEGRATION,
                               TG_LIT("no integration response matches, and there is no $default"));
    }
    struct tg_vars vars = tg_request_vars(request);
    err = select_key(response->selection, request, &vars, &key);
    const struct mock_template *chosen = choose_template(response->templates, response->template_count, key);
    if (err == TG_OK && chosen != NULL) {
        err = render(chosen, request, &request->answer.body);
        *used = chosen;
    }
    return err;
}

/* *used: the response template that the body comes from, or NULL. */
static enum tg_err respond(struct tg_request *request, const struct mock_template **used)
{
    const struct tg_mock *mock = request->route->integration->mock;
    if (!mock->fixed) {
        return respond_anew(request, used);
    }
    request->answer.status = mock->fixed_status;
    *used = mock->fixed_body;
    return *used != NULL ? render(*used, request, &request->answer.body) : TG_OK;
}

static enum tg_err start(struct tg_request *request)
{
    const struct mock_template *used = NULL;
    return respond(request, &used);
}

/* In an HTTP API the status is one of an answer, and a body has a type: the template's key where that is one,
 * else that of functions (1.8.2). */
static enum tg_err start_http(struct tg_request *request)
{
    const struct mock_template *used = NULL;
    enum tg_err err = respond(request, &used);
    if (err == TG_OK && (request->answer.status < 200 || request->answer.status > 599)) {
        return tg_request_fail(request, TG_FAULT_CONFIGURATION,
                               TG_LIT("the MOCK yields a status that is none of an answer, 200 to 599"));
    }
    if (err != TG_OK || used == NULL) {
        return err;
    }
    bool is_type = tg_slice_find(used->key, '/') < used->key.len;
    return tg_headers_add(&request->answer.headers, &request->arena, TG_LIT("Content-Type"),
                          is_type ? used->key : TG_LIT("text/plain; charset=utf-8"));
}

const struct tg_integration_ops tg_integration_mock = {TG_INTEGRATION_MOCK, start, start_http};
