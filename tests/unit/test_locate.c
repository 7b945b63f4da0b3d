/* Which API and stage a host and path reach: default hosts, `hosts`, custom domains, the choice between a
 * WebSocket and an HTTP API of one host, what a configuration may not say, and agreement with the definition
 * over random configurations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes/locate.h"
#include "server/base/buf.h"
#include "server/base/crypto.h"
#include "tests/unit/locate_text.h"
#include "tests/unit/naive_locate.h"

static struct tg_arena arena;

static int set_up(void **state)
{
    (void)state;
    tg_arena_init(&arena, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tg_arena_reset(&arena);
    return 0;
}

static void collect(void *arg, const struct tg_doc_node *where, const char *key, const char *text)
{
    (void)where;
    assert_int_equal(tg_buf_printf(arg, "%s: %s\n", key, text), TG_OK);
}

static enum tg_err try_compile(const struct tg_locate_config *config, struct tg_locator **out,
                               struct tg_buf *errors)
{
    tg_buf_init(errors, SIZE_MAX);
    return tg_locator_compile(&arena, config, collect, errors, out);
}

static const struct tg_locate_config *read_config(const char *text)
{
    struct tg_slice lines = tg_slice_cstr(text);
    const struct tg_locate_config *config = locate_text_read(&arena, &lines);
    assert_non_null(config);
    return config;
}

static const struct tg_locator *compile(const char *text)
{
    struct tg_buf errors;
    struct tg_locator *locator = NULL;
    if (try_compile(read_config(text), &locator, &errors) != TG_OK) {
        fail_msg("%s\n%.*s", text, TG_FMT(tg_buf_slice(&errors)));
    }
    tg_buf_free(&errors);
    return locator;
}

/* `API STAGE PATH`, with `+base` where there is one, `@domain` and `:key` of a custom domain; without an API
 * `- 403` or `- 404`. */
static const char *show(const struct tg_location *found)
{
    struct tg_slice text;
    const struct tg_locate_api *api = found->api;
    if (api == NULL) {
        return found->is_http ? "- 404" : "- 403";
    }
    assert_true(api->is_http == found->is_http);
    bool has_stage = found->stage != TG_LOCATE_NO_STAGE;
    struct tg_slice stage = has_stage ? api->stages.items[found->stage] : TG_LIT("-");
    assert_int_equal(tg_arena_printf(&arena, &text, "%.*s %.*s %.*s%s%.*s%s%.*s%s%.*s", TG_FMT(api->api_id),
                                     TG_FMT(stage), TG_FMT(found->path), found->base.len > 0 ? " +" : "",
                                     TG_FMT(found->base), found->is_custom ? " @" : "",
                                     TG_FMT(found->domain_name), found->mapping_key.len > 0 ? " :" : "",
                                     TG_FMT(found->mapping_key)),
                     TG_OK);
    return text.ptr;
}

/* A request: `host/path`, with `ws ` before it when a WebSocket is asked for. */
static void assert_rows(const struct tg_locator *locator, const char *const (*rows)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct tg_slice request = tg_slice_cstr(rows[i][0]);
        bool upgrade = tg_slice_starts(request, TG_LIT("ws "));
        request = tg_slice_from(request, upgrade ? 3 : 0);
        size_t host_len = tg_slice_find(request, '/');
        struct tg_location found;
        tg_locate(locator, tg_slice_head(request, host_len), tg_slice_from(request, host_len), upgrade,
                  &found);
        if (strcmp(show(&found), rows[i][1]) != 0) {
            fail_msg("%s: %s, expected %s", rows[i][0], show(&found), rows[i][1]);
        }
        assert_true(found.stage_in_path == (found.base.len > 0 && !found.is_custom));
    }
}

#define ASSERT_ROWS(locator, rows) assert_rows(locator, rows, sizeof(rows) / sizeof *(rows))

static void stages_of_an_http_api(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"h.example/", "web $default /"},
        {"h.example/pets/1", "web $default /pets/1"},
        {"h.example/prod", "web prod / +/prod"},
        {"h.example/prod/", "web prod / +/prod"},
        {"h.example/prod/pets/1", "web prod /pets/1 +/prod"},
        {"h.example/pr%6Fd/pets%2F1", "web prod /pets%2F1 +/pr%6Fd"},
        {"h.example/PROD/pets", "web $default /PROD/pets"},
        {"h.example/prods", "web $default /prods"},
        {"h.example/prod%2Fpets", "web $default /prod%2Fpets"},
        {"h.example//prod/pets", "web $default //prod/pets"}, /* vector 48: nothing is normalised */
        {"h.example/prod//pets", "web prod //pets +/prod"},
        {"h.example/$default/pets", "web $default /$default/pets"},
        {"ws h.example/prod/x", "web prod /x +/prod"},
        {"h.example", "web $default /"},
    };
    ASSERT_ROWS(compile("http web stages=prod,$default,dev"), rows);
    static const char *const without[][2] = {
        {"h.example/dev/x", "web dev /x +/dev"},
        {"h.example/x", "web - /x"},
        {"h.example/", "web - /"},
    };
    ASSERT_ROWS(compile("http web stages=prod,dev"), without);
}

static void stages_of_a_websocket_api(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"ws h.example/prod", "chat prod / +/prod"},
        {"ws h.example/prod/", "chat prod / +/prod"},
        {"h.example/prod", "chat prod / +/prod"},
        {"ws h.example/prod/x", "chat prod /x +/prod"},
        {"ws h.example/none", "chat - /none"},
        {"ws h.example/", "chat - /"},
        {"h.example/dev/@connections/abc=", "chat dev /@connections/abc= +/dev"},
        {"h.example/@connections/abc=", "chat - /@connections/abc="},
    };
    ASSERT_ROWS(compile("ws chat stages=prod,dev"), rows);
    static const char *const at_root[][2] = {
        {"ws h.example/", "chat prod /"},
        {"ws h.example/dev", "chat dev / +/dev"},
        {"ws h.example/x", "chat - /x"},
        {"h.example/%40connections/abc=", "chat prod /%40connections/abc="},
        {"h.example/dev/@connections/abc=", "chat dev /@connections/abc= +/dev"},
    };
    ASSERT_ROWS(compile("ws chat root stages=prod,dev"), at_root);
}

static void apis_are_found_by_host(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a.example.com/", "a $default /"},
        {"A.Example.COM:8443/", "a $default /"},
        {"a.example.com./", "a $default /"},
        {"a.example.com.:80/", "a $default /"},
        {"b.example.com/", "b $default /"}, /* an exact name beats a wildcard */
        {"c.example.com/", "a $default /"},
        {"c.d.example.com/", "- 404"}, /* one label */
        {".example.com/", "- 404"},
        {"example.com/", "- 404"},
        {"[::1]/", "b $default /"},
        {"[::1]:8080/", "b $default /"},
        {"[::2]/", "- 404"},
        {"[::1/", "- 404"},
        {"a.execute-api.local/", "a $default /"}, /* the apiId as the first label */
        {"B.execute-api.local/", "b $default /"},
        {"a/", "a $default /"},
        {"off.execute-api.local/", "- 404"},
        {"off.example.org:1/", "off $default /"},
        {"x.local/", "- 404"},
        {"/", "- 404"},
        {"127.0.0.1/", "- 404"},
    };
    ASSERT_ROWS(compile("http a stages=$default hosts=a.example.com,*.example.com\n"
                        "http b stages=$default hosts=B.example.com.,[::1]\n"
                        "http off disabled stages=$default hosts=off.example.org"),
                rows);
}

static void the_only_api_takes_any_host(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"anything:1/", "b $default /"},    {"/", "b $default /"},
        {"a.example.com/", "a $default /"}, {"off.x/", "- 404"},
        {"[::1]/", "b $default /"},
    };
    ASSERT_ROWS(compile("http a stages=$default hosts=a.example.com\nhttp b stages=$default\n"
                        "http off disabled stages=$default"),
                rows);
    static const char *const two[][2] = {
        {"anything/", "- 404"}, {"a.x/", "a $default /"}, {"b/", "b $default /"}};
    ASSERT_ROWS(compile("http a stages=$default\nhttp b stages=$default"), two);
    static const char *const off[][2] = {{"anything/p", "- 403"}, {"ws chat.x/p", "- 403"}};
    ASSERT_ROWS(compile("ws chat disabled stages=p"), off);
    static const char *const beside[][2] = {
        {"off.x/", "- 404"}, {"ws off.x/p", "- 404"}, {"ws x/p", "chat p / +/p"}, {"x/", "chat - /"}};
    ASSERT_ROWS(compile("ws chat stages=p\nhttp off disabled stages=$default"), beside);
    static const char *const none[][2] = {{"anything/p", "- 403"}, {"ws x/p", "- 403"}};
    ASSERT_ROWS(compile(""), none);
    char long_host[400];
    struct tg_location found;
    memset(long_host, 'a', sizeof long_host);
    tg_locate(compile("http b stages=$default"), tg_slice_make(long_host, sizeof long_host), TG_LIT("/x"),
              false, &found);
    assert_string_equal(show(&found), "b $default /x");
}

static void two_protocols_on_one_host(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"h/", "web $default /"},
        {"h/prod", "web $default /prod"},
        {"h/v1/x", "web v1 /x +/v1"},
        {"ws h/prod", "chat prod / +/prod"},
        {"ws h/prod/more", "chat prod /more +/prod"},
        {"ws h/tunnel", "web $default /tunnel"}, /* no stage of the WebSocket API */
        {"ws h/v1/tunnel", "web v1 /tunnel +/v1"},
        {"ws h/", "web $default /"},
        {"h/prod/@connections/id", "chat prod /@connections/id +/prod"},
        {"h/prod/@connections", "chat prod /@connections +/prod"},
        {"h/prod/%40connections/id", "chat prod /%40connections/id +/prod"},
        {"h/prod/@connectionsx", "web $default /prod/@connectionsx"},
        {"h/v1/@connections/id", "web v1 /@connections/id +/v1"},
        {"h/@connections/id", "web $default /@connections/id"},
        {"h/prod/x/@connections/id", "web $default /prod/x/@connections/id"},
        {"chat.h/x", "web $default /x"},
        {"web.h/prod", "web $default /prod"},
        {"ws web.h/prod", "chat prod / +/prod"},
    };
    ASSERT_ROWS(compile("ws chat stages=prod\nhttp web stages=$default,v1"), rows);
    static const char *const root[][2] = {
        {"ws h/", "chat prod /"},
        {"h/", "web - /"},
        {"h/@connections/id", "chat prod /@connections/id"},
        {"ws h/x", "web - /x"},
    };
    ASSERT_ROWS(compile("ws chat root stages=prod\nhttp web stages=v1"), root);
    static const char *const batches[][2] = {
        {"h/prod/@tidegate/connections", "chat prod /@tidegate/connections +/prod"},
        {"h/prod/%40tidegate/connections", "chat prod /%40tidegate/connections +/prod"},
        {"h/@tidegate/connections", "chat prod /@tidegate/connections"},
        {"h/prod/@tidegate/connections/", "web $default /prod/@tidegate/connections/"},
        {"h/prod/@tidegate", "web $default /prod/@tidegate"},
        {"h/v1/@tidegate/connections", "web v1 /@tidegate/connections +/v1"},
    };
    ASSERT_ROWS(compile("ws chat root stages=prod\nhttp web stages=$default,v1\nbatches"), batches);
    static const char *const no_batches[][2] = {
        {"h/prod/@tidegate/connections", "web $default /prod/@tidegate/connections"},
        {"h/@tidegate/connections", "web $default /@tidegate/connections"},
    };
    ASSERT_ROWS(compile("ws chat root stages=prod\nhttp web stages=$default,v1"), no_batches);
    static const char *const hosts[][2] = {
        {"ws a.example/p", "chat p / +/p"},
        {"a.example/p", "web $default /p"},
        {"b.example/p", "web $default /p"},
        {"ws b.example/p", "web $default /p"},
        {"c.x/", "- 404"},
        {"ws c.x/", "- 403"},
        {"ws off.x/", "- 403"},
        {"off.x/", "- 403"},
    };
    ASSERT_ROWS(
        compile("ws chat stages=p hosts=a.example\nhttp web stages=$default hosts=a.example,*.example\n"
                "ws off disabled stages=p"),
        hosts);
}

#define DOMAINS                                                                                              \
    "http web stages=$default,v1\n"                                                                          \
    "http shop stages=prod\n"                                                                                \
    "ws chat disabled stages=live\n"                                                                         \
    "domain api.example.com\n"                                                                               \
    "map - web v1\n"                                                                                         \
    "map shop shop prod\n"                                                                                   \
    "map shop/orders/new web $default\n"                                                                     \
    "map chat chat live\n"                                                                                   \
    "domain *.example.com\n"                                                                                 \
    "map only/this web v1\n"                                                                                 \
    "domain ws.example.com\n"                                                                                \
    "map (none) chat live\n"                                                                                 \
    "domain keyed.example.com\n"                                                                             \
    "map a+b(c) chat live\n"                                                                                 \
    "domain empty.example.com\n"

static void custom_domains(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"api.example.com/", "web v1 / @api.example.com"},
        {"API.example.com:443/x/y", "web v1 /x/y @api.example.com"},
        {"api.example.com/shop", "shop prod / +/shop @api.example.com :shop"},
        {"api.example.com/shop/", "shop prod / +/shop @api.example.com :shop"},
        {"api.example.com/sh%6fp/x", "shop prod /x +/sh%6fp @api.example.com :shop"},
        {"api.example.com/shops/x", "web v1 /shops/x @api.example.com"}, /* aligned to segments */
        {"api.example.com/shop/orders/x", "shop prod /orders/x +/shop @api.example.com :shop"},
        {"api.example.com/shop/orders/new",
         "web $default / +/shop/orders/new @api.example.com :shop/orders/new"},
        {"api.example.com/shop/orders/new/1",
         "web $default /1 +/shop/orders/new @api.example.com :shop/orders/new"},
        {"api.example.com/shop/orders/newer", "shop prod /orders/newer +/shop @api.example.com :shop"},
        {"api.example.com/shop%2Forders/new", "web v1 /shop%2Forders/new @api.example.com"},
        {"api.example.com/shop//orders/new", "shop prod //orders/new +/shop @api.example.com :shop"},
        {"api.example.com//shop", "web v1 //shop @api.example.com"},
        {"api.example.com/v1/x", "web v1 /v1/x @api.example.com"}, /* no stage in the path */
        {"ws api.example.com/chat", "chat live / +/chat @api.example.com :chat"},
        {"api.example.com/chat/@connections/i", "chat live /@connections/i +/chat @api.example.com :chat"},
        {"ws api.example.com/x", "web v1 /x @api.example.com"},
        {"other.example.com/only/this/x", "web v1 /x +/only/this @*.example.com :only/this"},
        {"other.example.com/only", "- 404"},
        {"ws other.example.com/x", "- 404"},
        {"a.b.example.com/only/this", "- 404"}, /* two HTTP APIs have no hosts */
        {"ws ws.example.com/", "chat live / @ws.example.com"},
        {"ws ws.example.com/x", "chat live /x @ws.example.com"},
        {"keyed.example.com/x", "- 403"},
        {"ws keyed.example.com/a%2bb(c)", "chat live / +/a%2bb(c) @keyed.example.com :a+b(c)"},
        {"empty.example.com/only/this", "- 403"}, /* the exact name, though nothing fits there */
        {"web.local/v1/x", "web v1 /x +/v1"},
    };
    ASSERT_ROWS(compile(DOMAINS), rows);
    static const char *const hosts[][2] = {
        {"a.example.com/x", "web $default /x"}, /* exact among `hosts` before a wildcard domain */
        {"b.example.com/x", "other $default /x @*.example.com"},
    };
    ASSERT_ROWS(compile("http web stages=$default hosts=a.example.com\nhttp other stages=$default\n"
                        "domain *.example.com\nmap - other $default"),
                hosts);
}

static void errors_are_all_reported(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"http a hosts=x.y\nhttp b hosts=X.y.", "hosts: \"X.y.\" reaches the HTTP API \"a\" already\n"},
        {"ws a hosts=x.y\nws b hosts=x.y", "hosts: \"x.y\" reaches the WebSocket API \"a\" already\n"},
        {"http a hosts=x.y,x.y", "hosts: \"x.y\" reaches the HTTP API \"a\" already\n"},
        {"ws a\nhttp a", "apiId: \"a\" is there already; it must be unique\n"},
        {"ws a\nhttp A", "apiId: \"A\" is there already in other case, which host names do not tell apart\n"},
        {"http a hosts=x:80",
         "hosts: \"x:80\": a host has no port, and an IPv6 address stands in brackets: [::1]\n"},
        {"http a hosts=[::1]:80",
         "hosts: \"[::1]:80\": expected an IPv6 address in brackets, without a port\n"},
        {"http a hosts=[::1", "hosts: \"[::1\": expected an IPv6 address in brackets\n"},
        {"http a hosts=[x]", "hosts: \"[x]\": expected an IPv6 address in brackets\n"},
        {"http a hosts=", "hosts: \"\": expected 1 to 253 characters\n"},
        {"http a hosts=x..y",
         "hosts: \"x..y\": expected a host name, or one whose first label is `*` (names of "
         "other scripts in their xn-- form)\n"},
        {"http a hosts=*", "hosts: \"*\": expected a host name"},
        {"http a hosts=x.*.y", "hosts: \"x.*.y\": expected a host name"},
        {"http a hosts=*x.y", "hosts: \"*x.y\": expected a host name"},
        {"http a hosts=b\xc3\xbc.de", "xn-- form"},
        {"domain x.y\ndomain X.Y", "domainName: \"X.Y\" is there already; it must be unique\n"},
        {"http a hosts=x.y\ndomain x.y", "domainName: \"x.y\" is in the hosts of the API \"a\" already\n"},
        {"ws a hosts=x.y\ndomain x.y", "domainName: \"x.y\" is in the hosts of the API \"a\" already\n"},
        {"domain x_y.z:1", "domainName: \"x_y.z:1\": a host has no port"},
        {"domain x\nmap - a p", "apiId: \"a\" names no API\n"},
        {"http a stages=p\ndomain x\nmap - a q", "stage: \"q\" names no stage of the API \"a\"\n"},
        {"http a stages=p\ndomain x\nmap k a p\nmap k a p",
         "apiMappingKey: \"k\" is there already in this domain\n"},
        {"http a stages=p\nws b stages=q\ndomain x\nmap - a p\nmap (none) b q",
         "apiMappingKey: there is a mapping without a key in this domain already\n"},
        {"http a stages=p\ndomain x\nmap a%41 a p",
         "apiMappingKey: \"a%41\": expected letters, digits and $-_.+!*'()/\n"},
        {"http a stages=p\ndomain x\nmap /k a p", "apiMappingKey: \"/k\": `/` stands between segments"},
        {"http a stages=p\ndomain x\nmap k/ a p", "apiMappingKey: \"k/\": `/` stands between segments"},
        {"http a stages=p\ndomain x\nmap k//l a p", "apiMappingKey: \"k//l\": `/` stands between segments"},
        {"http a stages=p\ndomain x\nmap k/../l a p",
         "apiMappingKey: \"k/../l\": `.` and `..` are no segments\n"},
        {"http a hosts=*\ndomain x\nmap k b p\ndomain x", "domainName: \"x\" is there already"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_buf errors;
        struct tg_locator *locator = NULL;
        assert_int_equal(try_compile(read_config(rows[i][0]), &locator, &errors), TG_EINVAL);
        struct tg_slice all = tg_buf_slice(&errors), expected = tg_slice_cstr(rows[i][1]);
        if (tg_slice_find_slice(all, expected) == all.len ||
            (expected.ptr[expected.len - 1] == '\n' && all.len != expected.len)) {
            fail_msg("%s\ngave %.*sexpected %s", rows[i][0], TG_FMT(all), rows[i][1]);
        }
        tg_buf_free(&errors);
    }
    struct tg_buf errors;
    struct tg_locator *locator = NULL;
    assert_int_equal(
        try_compile(read_config("http a hosts=*\ndomain x\nmap k b p\ndomain x"), &locator, &errors),
        TG_EINVAL);
    size_t lines = 0;
    for (size_t i = 0; i < tg_buf_size(&errors); i++) {
        lines += tg_buf_slice(&errors).ptr[i] == '\n';
    }
    assert_int_equal(lines, 3);
    tg_buf_free(&errors);
}

static void keys_have_300_characters(void **state)
{
    (void)state;
    char key[302], path[304] = "/";
    for (size_t len = 300; len <= 301; len++) {
        struct tg_slice config;
        struct tg_buf errors;
        struct tg_locator *locator = NULL;
        memset(key, 'k', len);
        key[150] = '/';
        key[len] = '\0';
        memcpy(path + 1, key, len + 1);
        assert_int_equal(
            tg_arena_printf(&arena, &config, "http a stages=p\ndomain x\nmap %s a p\nmap kk a p", key),
            TG_OK);
        assert_int_equal(try_compile(read_config(config.ptr), &locator, &errors),
                         len == 300 ? TG_OK : TG_EINVAL);
        tg_buf_free(&errors);
        if (locator != NULL) {
            struct tg_location found;
            tg_locate(locator, TG_LIT("x"), tg_slice_cstr(path), false, &found);
            assert_int_equal(found.mapping_key.len, 300);
            path[301] = 'k'; /* a longer segment */
            tg_locate(locator, TG_LIT("x"), tg_slice_make(path, 302), false, &found);
            assert_null(found.api);
        }
    }
}

/* ---- against the definition ---- */

static size_t roll(struct tg_rng *rng, size_t sides)
{
    return tg_rng_next(rng) % sides;
}

#define PICK(rng, table) ((table)[roll(rng, sizeof(table) / sizeof *(table))])

static const char *const host_names[] = {"a.x", "b.x", "*.x", "c.a.x", "*.a.x", "[::1]", "h"};

static void add_text(struct tg_buf *text, const char *part, const char *value)
{
    assert_int_equal(tg_buf_printf(text, part, value), TG_OK);
}

static void random_config(struct tg_rng *rng, struct tg_buf *text)
{
    static const char *const ids[] = {"a", "B", "h", "d"};
    static const char *const stages[] = {"p", "p,q", "p,$default", "q,p,$default", "k,p", "$default,q"};
    static const char *const keys[] = {"-", "k", "k/l", "k/l/m", "p", "(none)", "kl"};
    size_t first = roll(rng, 4), count = roll(rng, 8) == 0 ? 0 : 1 + roll(rng, 3);
    add_text(text, "%s", roll(rng, 2) == 0 ? "batches\n" : "");
    for (size_t i = 0; i < count; i++) {
        add_text(text, "%s ", roll(rng, 2) == 0 ? "http" : "ws");
        add_text(text, "%s ", ids[(first + i) % 4]);
        add_text(text, "stages=%s", PICK(rng, stages));
        add_text(text, "%s", roll(rng, 5) == 0 ? " disabled" : "");
        add_text(text, "%s", roll(rng, 3) == 0 ? " root" : "");
        if (roll(rng, 2) == 0) {
            add_text(text, " hosts=%s", PICK(rng, host_names));
        }
        add_text(text, "\n%s", "");
    }
    for (size_t i = roll(rng, 4); i > 0 && count > 0; i--) {
        add_text(text, "domain %s\n", PICK(rng, host_names));
        for (size_t k = 1 + roll(rng, 3); k > 0; k--) {
            add_text(text, "map %s ", PICK(rng, keys));
            add_text(text, "%s p\n", ids[(first + roll(rng, count)) % 4]);
        }
    }
}

static void random_configurations_agree_with_the_definition(void **state)
{
    (void)state;
    static const char *const hosts[] = {"a.x",   "b.x", "C.x:80", "c.a.x", "d.a.x.", "e.d.a.x", "[::1]:8",
                                        "h.any", "d.y", "b.y:1",  "x",     "",       "[::2]",   ".x"};
    static const char *const segments[] = {"p",
                                           "q",
                                           "k",
                                           "l",
                                           "m",
                                           "k",
                                           "l",
                                           "%6b",
                                           "",
                                           "kl",
                                           "p",
                                           "k%2Fl",
                                           "@connections",
                                           "%40connections",
                                           "@tidegate",
                                           "%40tidegate",
                                           "connections",
                                           "$default"};
    struct tg_rng rng;
    size_t valid = 0, found_some = 0, custom = 0, none = 0;
    tg_rng_seed(&rng, 11);
    for (int round = 0; round < 12000; round++) {
        struct tg_buf text, errors;
        struct tg_slice copy;
        struct tg_locator *locator = NULL;
        tg_buf_init(&text, SIZE_MAX);
        random_config(&rng, &text);
        assert_int_equal(tg_arena_copy(&arena, tg_buf_slice(&text), &copy), TG_OK);
        const struct tg_locate_config *config = read_config(copy.ptr);
        enum tg_err err = try_compile(config, &locator, &errors);
        assert_true(err == TG_OK || (err == TG_EINVAL && tg_buf_size(&errors) > 0));
        for (int i = 0; i < 25 && err == TG_OK; i++) {
            struct tg_slice path = TG_LIT(""), host = tg_slice_cstr(PICK(&rng, hosts));
            for (size_t n = 1 + roll(&rng, 4); n > 0; n--) {
                assert_int_equal(
                    tg_arena_printf(&arena, &path, "%.*s/%s", TG_FMT(path), PICK(&rng, segments)), TG_OK);
            }
            bool upgrade = roll(&rng, 2) == 0;
            struct tg_location found, expected;
            tg_locate(locator, host, path, upgrade, &found);
            naive_locate(config, host, path, upgrade, &expected);
            if (!naive_same(&found, &expected)) {
                fail_msg("%s%.*s %.*s%s: %s, expected %s", copy.ptr, TG_FMT(host), TG_FMT(path),
                         upgrade ? " (upgrade)" : "", show(&found), show(&expected));
            }
            found_some += found.api != NULL;
            custom += found.is_custom && found.api != NULL;
            none += found.api == NULL;
        }
        valid += err == TG_OK;
        tg_buf_free(&errors);
        tg_buf_free(&text);
        tg_arena_reset(&arena);
    }
    assert_true(valid > 5000 && found_some > 50000 && custom > 3000 && none > 20000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stages_of_an_http_api),
        TEST(stages_of_a_websocket_api),
        TEST(apis_are_found_by_host),
        TEST(the_only_api_takes_any_host),
        TEST(two_protocols_on_one_host),
        TEST(custom_domains),
        TEST(errors_are_all_reported),
        TEST(keys_have_300_characters),
        TEST(random_configurations_agree_with_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
