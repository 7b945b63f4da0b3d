#include "routes/forwarded.h"

#include "routes/expr.h"

enum { ADDED_MAX = 7 /* fields that the gateway adds, at most */ };

/* What is done with a field of a certain name. The values of those from CONNECTION on are kept by kind. */
enum kind {
    KEEP,
    HOP,     /* ends here, either way */
    REQUEST, /* a request's ends here */
    ALIKE,   /* a request's ends here: could pass for another one */
    X_PORT,
    AUTHORIZATION,
    SECURITY_TOKEN,
    TRACE,
    CONNECTION,
    VIA,
    FORWARDED,
    X_FOR,
    X_HOST,
    X_PROTO,
    KINDS
};

/* The values of the fields of one kind, in order. */
struct value {
    struct tg_slice text;
    struct value *next;
};
struct values {
    struct value *first, *last;
};

struct job {
    const struct tg_forwarded_input *input;
    struct tg_arena *arena;
    struct tg_headers out;
    struct values values[KINDS];
    struct tg_slice element; /* of Forwarded: the gateway's own */
    bool drop_token;
};

/* `lower` is lower-case and as long as the name; `_` counts as `-`. */
static bool is(struct tg_slice name, const char *lower)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c | 0x20);
        } else if (c == '_') {
            c = '-';
        }
        if (c != lower[i]) {
            return false;
        }
    }
    return true;
}

static enum kind classify_alike(struct tg_slice name)
{
    switch (name.len) {
    case 2:
        return is(name, "te") ? HOP : KEEP;
    case 3:
        return is(name, "via") ? VIA : KEEP;
    case 4:
        return is(name, "host") ? REQUEST : KEEP;
    case 6:
        return is(name, "expect") ? REQUEST : KEEP;
    case 7:
        return is(name, "upgrade") || is(name, "trailer") ? HOP : KEEP;
    case 9:
        return is(name, "forwarded") ? FORWARDED : KEEP;
    case 10:
        return is(name, "connection") ? CONNECTION : is(name, "keep-alive") ? HOP : KEEP;
    case 13:
        return is(name, "authorization") ? AUTHORIZATION : KEEP;
    case 14:
        return is(name, "content-length") ? REQUEST : KEEP;
    case 15:
        return is(name, "x-forwarded-for") ? X_FOR : is(name, "x-amzn-trace-id") ? TRACE : KEEP;
    case 16:
        return is(name, "x-forwarded-host") ? X_HOST : is(name, "x-forwarded-port") ? X_PORT : KEEP;
    case 17:
        return is(name, "x-forwarded-proto") ? X_PROTO : is(name, "transfer-encoding") ? HOP : KEEP;
    case 20:
        return is(name, "x-amz-security-token") ? SECURITY_TOKEN : KEEP;
    default:
        return KEEP;
    }
}

static enum kind classify(struct tg_slice name)
{
    static const size_t prefix = sizeof "proxy-" - 1;
    enum kind kind = classify_alike(name);
    if (kind == KEEP) {
        return name.len > prefix && (name.ptr[0] | 0x20) == 'p' && is(tg_slice_head(name, prefix), "proxy-")
                   ? HOP
                   : KEEP;
    }
    return tg_slice_find(name, '_') == name.len ? kind : ALIKE;
}

static void keep(struct job *job, const struct tg_header *field)
{
    job->out.items[job->out.count++] = *field;
}

static enum tg_err remember(struct job *job, enum kind kind, struct tg_slice text)
{
    struct value *value = tg_arena_alloc(job->arena, sizeof *value);
    if (value == NULL) {
        return TG_ENOMEM;
    }
    *value = (struct value){text, NULL};
    struct values *values = &job->values[kind];
    if (values->last != NULL) {
        values->last->next = value;
    } else {
        values->first = value;
    }
    values->last = value;
    return TG_OK;
}

/* `AWS4-HMAC-SHA256 ...`; names of schemes ignore case (RFC 9110 section 11.1). */
static bool is_signature(struct tg_slice value)
{
    const struct tg_slice scheme = TG_LIT("AWS4-HMAC-SHA256");
    return tg_slice_eq_nocase(tg_slice_head(value, scheme.len), scheme) &&
           (value.len == scheme.len || value.ptr[scheme.len] == ' ');
}

static enum tg_err take_request_field(struct job *job, const struct tg_header *field)
{
    enum kind kind = classify(field->name);
    switch (kind) {
    case HOP:
    case REQUEST:
    case ALIKE:
    case X_PORT:
        return TG_OK;
    case AUTHORIZATION:
        if (job->input->iam || is_signature(field->value)) {
            job->drop_token = true;
            return TG_OK;
        }
        break;
    case TRACE:
        if (job->input->trace.len > 0) {
            return TG_OK;
        }
        break;
    case KEEP:
    case SECURITY_TOKEN:
        break;
    default:
        return remember(job, kind, field->value);
    }
    keep(job, field);
    return TG_OK;
}

/* Drops the fields that Connection names, those whose values were remembered as well. */
static void drop_named(struct job *job)
{
    for (const struct value *value = job->values[CONNECTION].first; value != NULL; value = value->next) {
        for (struct tg_slice rest = value->text; rest.len > 0;) {
            struct tg_slice name = tg_slice_trim(tg_slice_cut(rest, ',', &rest));
            /* By far the most, and no fields. */
            if (name.len == 0 || tg_slice_eq_nocase(name, TG_LIT("keep-alive")) ||
                tg_slice_eq_nocase(name, TG_LIT("close")) || tg_slice_eq_nocase(name, TG_LIT("upgrade"))) {
                continue;
            }
            enum kind kind = classify(name);
            if (kind > CONNECTION) {
                job->values[kind] = (struct values){NULL, NULL};
            } else if (kind == AUTHORIZATION) {
                job->drop_token = true;
            }
            tg_headers_remove(&job->out, name);
        }
    }
}

/* Text that is measured first (at == NULL) and then written, so that it takes one allocation. */
struct text {
    char *at;
    size_t len;
};

static void put(struct text *text, struct tg_slice bytes)
{
    if (text->at != NULL && bytes.len > 0) {
        memcpy(text->at + text->len, bytes.ptr, bytes.len);
    }
    text->len += bytes.len;
}

/* Adds the field that `write` writes. */
static enum tg_err add_written(struct job *job, struct tg_slice name,
                               void (*write)(const struct job *job, struct text *text))
{
    struct text text = {NULL, 0};
    write(job, &text);
    text.at = tg_arena_alloc(job->arena, text.len);
    if (text.at == NULL) {
        return TG_ENOMEM;
    }
    text.len = 0;
    write(job, &text);
    keep(job, &(struct tg_header){name, tg_slice_make(text.at, text.len)});
    return TG_OK;
}

/* The values of a kind of field, those that are not empty, separated by commas, then `last`. */
static void put_list(struct text *text, const struct values *values, struct tg_slice last)
{
    for (const struct value *value = values->first; value != NULL; value = value->next) {
        if (value->text.len > 0) {
            put(text, value->text);
            put(text, TG_LIT(", "));
        }
    }
    put(text, last);
}

static bool is_digits(struct tg_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
    }
    return text.len > 0;
}

/* As far as matters here: nothing that is no address can look like one and break the grammar. */
static bool is_ipv4(struct tg_slice text)
{
    size_t dots = 0;
    for (size_t i = 0; i < text.len; i++) {
        dots += text.ptr[i] == '.';
        if (text.ptr[i] != '.' && (text.ptr[i] < '0' || text.ptr[i] > '9')) {
            return false;
        }
    }
    return dots == 3;
}

static bool is_ipv6(struct tg_slice text)
{
    size_t colons = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool hex = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
        colons += c == ':';
        if (!hex && c != ':' && c != '.') {
            return false;
        }
    }
    return colons >= 2;
}

static bool is_port(struct tg_slice text)
{
    return text.len > 1 && text.len <= 6 && text.ptr[0] == ':' && is_digits(tg_slice_from(text, 1));
}

/* How a node is written (RFC 7239 section 6): tokens as they are, `:` and brackets only in quotes. */
enum form { BARE, QUOTED, BRACKETED, UNKNOWN };

static enum form node_form(struct tg_slice node)
{
    if (node.len == 0) {
        return UNKNOWN;
    }
    if (node.ptr[0] == '[') {
        size_t end = tg_slice_find(node, ']');
        struct tg_slice rest = tg_slice_from(node, end + 1);
        return end < node.len && is_ipv6(tg_slice_make(node.ptr + 1, end - 1)) &&
                       (rest.len == 0 || is_port(rest))
                   ? QUOTED
                   : UNKNOWN;
    }
    if (node.ptr[0] == '_') {
        return tg_expr_is_name(node, "._-") ? BARE : UNKNOWN;
    }
    if (is_ipv6(node)) {
        return BRACKETED;
    }
    size_t colon = tg_slice_find(node, ':');
    if (!is_ipv4(tg_slice_head(node, colon))) {
        return UNKNOWN;
    }
    return colon == node.len ? BARE : is_port(tg_slice_from(node, colon)) ? QUOTED : UNKNOWN;
}

static void put_node(struct text *text, struct tg_slice node)
{
    switch (node_form(node)) {
    case BARE:
        put(text, node);
        break;
    case QUOTED:
        put(text, TG_LIT("\""));
        put(text, node);
        put(text, TG_LIT("\""));
        break;
    case BRACKETED:
        put(text, TG_LIT("\"["));
        put(text, node);
        put(text, TG_LIT("]\""));
        break;
    case UNKNOWN:
        put(text, TG_LIT("unknown"));
        break;
    }
}

/* One element of Forwarded; empty members are left out. */
struct element {
    struct tg_slice by, node, host, proto;
};

/* Name, address and port; none of the rarer characters of RFC 3986, which could pass for another member where
 * quotes are not understood. */
static bool host_ok(struct tg_slice host)
{
    return tg_expr_is_name(host, "-._~%!$&'*+:[]");
}

static bool proto_ok(struct tg_slice proto)
{
    return tg_expr_is_name(proto, "+-.");
}

static void put_host(struct text *text, struct tg_slice host)
{
    bool quoted = false;
    for (size_t i = 0; i < host.len && !quoted; i++) {
        quoted = host.ptr[i] == ':' || host.ptr[i] == '[' || host.ptr[i] == ']';
    }
    put(text, quoted ? TG_LIT("host=\"") : TG_LIT("host="));
    put(text, host);
    put(text, quoted ? TG_LIT("\"") : TG_EMPTY);
}

static void put_element(struct text *text, const struct element *element)
{
    bool host = host_ok(element->host), proto = proto_ok(element->proto);
    if (element->by.len == 0 && element->node.len == 0 && !host && !proto) {
        return;
    }
    put(text, text->len > 0 ? TG_LIT(", ") : TG_EMPTY);
    size_t start = text->len;
    if (element->by.len > 0) {
        put(text, TG_LIT("by="));
        put_node(text, element->by);
    }
    if (element->node.len > 0) {
        put(text, text->len > start ? TG_LIT(";for=") : TG_LIT("for="));
        put_node(text, element->node);
    }
    if (host) {
        put(text, text->len > start ? TG_LIT(";") : TG_EMPTY);
        put_host(text, element->host);
    }
    if (proto) {
        put(text, text->len > start ? TG_LIT(";proto=") : TG_LIT("proto="));
        put(text, element->proto);
    }
}

/* Goes through a comma-separated list over all of its fields. */
struct walk {
    const struct value *value;
    struct tg_slice rest;
};

static struct walk walk_of(const struct values *values)
{
    return (struct walk){values->first, values->first != NULL ? values->first->text : TG_EMPTY};
}

/* The next item that is not empty; empty at the end. */
static struct tg_slice next_item(struct walk *walk)
{
    while (walk->value != NULL) {
        while (walk->rest.len > 0) {
            struct tg_slice item = tg_slice_trim(tg_slice_cut(walk->rest, ',', &walk->rest));
            if (item.len > 0) {
                return item;
            }
        }
        walk->value = walk->value->next;
        walk->rest = walk->value != NULL ? walk->value->text : TG_EMPTY;
    }
    return TG_EMPTY;
}

/* X-Forwarded-* as elements: the n-th of each list is of the n-th hop, so that a single host or scheme is
 * that of the first one, which spoke with the client (RFC 7239 section 7.4). */
static void put_folded(const struct job *job, struct text *text)
{
    struct walk nodes = walk_of(&job->values[X_FOR]), hosts = walk_of(&job->values[X_HOST]);
    struct walk protos = walk_of(&job->values[X_PROTO]);
    for (;;) {
        struct element element = {.node = next_item(&nodes)};
        element.host = next_item(&hosts);
        element.proto = next_item(&protos);
        if (element.node.len == 0 && element.host.len == 0 && element.proto.len == 0) {
            return;
        }
        put_element(text, &element);
    }
}

static bool quotes_close(struct tg_slice text)
{
    bool open = false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"') {
            open = !open;
        } else if (text.ptr[i] == '\\' && open) {
            i++;
        }
    }
    return !open;
}

static void write_forwarded(const struct job *job, struct text *text)
{
    for (const struct value *value = job->values[FORWARDED].first; value != NULL; value = value->next) {
        if (value->text.len > 0 && quotes_close(value->text)) {
            put(text, text->len > 0 ? TG_LIT(", ") : TG_EMPTY);
            put(text, value->text);
        }
    }
    put_folded(job, text);
    put(text, text->len > 0 ? TG_LIT(", ") : TG_EMPTY);
    put(text, job->element);
}

/* The gateway's own element; for most requests that is all. */
static enum tg_err add_forwarded(struct job *job)
{
    static const size_t around = sizeof "by=\"[]\";for=\"[]\";host=\"\";proto=https" + 2 * sizeof "unknown";
    const struct tg_forwarded_input *input = job->input;
    const struct element own = {
        .by = input->by,
        .node = input->source_ip.len > 0 ? input->source_ip : TG_LIT("unknown"),
        .host = input->host,
        .proto = input->secure ? TG_LIT("https") : TG_LIT("http"),
    };
    struct text text = {NULL, 0};
    text.at = tg_arena_alloc(job->arena, own.by.len + own.node.len + own.host.len + around);
    if (text.at == NULL) {
        return TG_ENOMEM;
    }
    put_element(&text, &own);
    job->element = tg_slice_make(text.at, text.len);
    if (job->values[FORWARDED].first != NULL || job->values[X_FOR].first != NULL ||
        job->values[X_HOST].first != NULL || job->values[X_PROTO].first != NULL) {
        return add_written(job, TG_LIT("Forwarded"), write_forwarded);
    }
    keep(job, &(struct tg_header){TG_LIT("Forwarded"), job->element});
    return TG_OK;
}

static void write_x_for(const struct job *job, struct text *text)
{
    struct tg_slice ip = job->input->source_ip;
    put_list(text, &job->values[X_FOR], node_form(ip) == UNKNOWN ? TG_LIT("unknown") : ip);
}

static void write_via(const struct job *job, struct text *text)
{
    put_list(text, &job->values[VIA], TG_LIT("HTTP/1.1 AmazonAPIGateway"));
}

static enum tg_err add_x_port(struct job *job)
{
    enum { DIGITS = 5 };
    char *end = tg_arena_alloc(job->arena, DIGITS), *at;
    if (end == NULL) {
        return TG_ENOMEM;
    }
    end += DIGITS;
    at = end;
    for (unsigned port = job->input->port; port > 0; port /= 10) {
        *--at = (char)('0' + port % 10);
    }
    keep(job, &(struct tg_header){TG_LIT("X-Forwarded-Port"), tg_slice_make(at, (size_t)(end - at))});
    return TG_OK;
}

static enum tg_err add_x_forwarded(struct job *job)
{
    const struct tg_forwarded_input *input = job->input;
    enum tg_err err = add_written(job, TG_LIT("X-Forwarded-For"), write_x_for);
    if (err == TG_OK && input->port != 0) {
        err = add_x_port(job);
    }
    if (err == TG_OK && input->host.len > 0) {
        keep(job, &(struct tg_header){TG_LIT("X-Forwarded-Host"), input->host});
    }
    if (err == TG_OK) {
        keep(job, &(struct tg_header){TG_LIT("X-Forwarded-Proto"),
                                      input->secure ? TG_LIT("https") : TG_LIT("http")});
    }
    return err;
}

static enum tg_err add_own(struct job *job)
{
    const struct tg_forwarded_input *input = job->input;
    enum tg_err err = TG_OK;
    if (input->mode != TG_FORWARDED_X) {
        err = add_forwarded(job);
    }
    if (err == TG_OK && input->mode != TG_FORWARDED_RFC7239) {
        err = add_x_forwarded(job);
    }
    if (err == TG_OK && job->values[VIA].first != NULL) {
        err = add_written(job, TG_LIT("Via"), write_via);
    } else if (err == TG_OK) {
        keep(job, &(struct tg_header){TG_LIT("Via"), TG_LIT("HTTP/1.1 AmazonAPIGateway")});
    }
    if (err == TG_OK && input->trace.len > 0) {
        keep(job, &(struct tg_header){TG_LIT("X-Amzn-Trace-Id"), input->trace});
    }
    return err;
}

/* Room for `count` fields and those that are added. */
static enum tg_err make_room(struct job *job, size_t count)
{
    job->out.cap = count + ADDED_MAX;
    job->out.items = tg_arena_alloc(job->arena, job->out.cap * sizeof *job->out.items);
    return job->out.items != NULL ? TG_OK : TG_ENOMEM;
}

enum tg_err tg_forwarded_headers(const struct tg_forwarded_input *input, struct tg_arena *arena,
                                 struct tg_headers *out)
{
    struct job job = {.input = input, .arena = arena, .drop_token = input->iam};
    enum tg_err err = make_room(&job, input->headers->count);
    for (size_t i = 0; err == TG_OK && i < input->headers->count; i++) {
        err = take_request_field(&job, &input->headers->items[i]);
    }
    if (err != TG_OK) {
        return err;
    }
    if (job.values[CONNECTION].first != NULL) {
        drop_named(&job);
    }
    if (job.drop_token) {
        tg_headers_remove(&job.out, TG_LIT("X-Amz-Security-Token"));
    }
    err = add_own(&job);
    if (err == TG_OK) {
        *out = job.out;
    }
    return err;
}

enum tg_err tg_forwarded_answer(const struct tg_headers *headers, struct tg_arena *arena,
                                struct tg_headers *out)
{
    struct job job = {.arena = arena};
    enum tg_err err = make_room(&job, headers->count);
    for (size_t i = 0; err == TG_OK && i < headers->count; i++) {
        const struct tg_header *field = &headers->items[i];
        enum kind kind = classify(field->name);
        if (kind == CONNECTION) {
            err = remember(&job, kind, field->value);
        } else if (kind != HOP) {
            keep(&job, field);
        }
    }
    if (err == TG_OK) {
        drop_named(&job);
        *out = job.out;
    }
    return err;
}
