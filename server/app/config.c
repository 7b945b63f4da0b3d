#include "server/app/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/app/schema.h"
#include "server/base/doc.h"
#include "server/base/file.h"
#include "server/base/list.h"
#include "server/base/options.h"

enum { FILE_MAX_BYTES = 16 * 1024 * 1024 };

static void destroy(struct tg_model *model)
{
    struct tg_config *config = TG_CONTAINER(model, struct tg_config, model);
    tg_model_release(model);
    struct tg_arena arena = config->arena;
    free(config);
    tg_arena_reset(&arena);
}

/* A variable of the environment list. */
static bool look_up(void *arg, struct tg_slice name, struct tg_slice *value)
{
    const struct tg_config_source *source = arg;
    for (char *const *at = source->environment; at != NULL && *at != NULL; at++) {
        struct tg_slice rest;
        if (tg_slice_eq(tg_slice_cut(tg_slice_cstr(*at), '=', &rest), name) && rest.ptr != NULL) {
            *value = rest;
            return true;
        }
    }
    return false;
}

static void TG_PRINTF(3, 4) say(const struct tg_config_source *source, bool is_error, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    source->message(source->arg, is_error, line);
}

static enum tg_err read_document(const struct tg_config_source *source, struct tg_config *config,
                                 const struct tg_doc_node **root)
{
    struct tg_slice text;
    enum tg_err err = tg_file_read(&config->arena, config->path, FILE_MAX_BYTES, &text, NULL);
    if (err == TG_ENOMEM) {
        return err;
    }
    if (err != TG_OK) {
        say(source, true, "%s: %s", config->path.ptr, tg_err_text(err));
        return err == TG_ENOTFOUND ? err : TG_EINVAL;
    }
    struct tg_doc_options options = {.lookup = look_up, .lookup_arg = (void *)(uintptr_t)source};
    struct tg_doc_error error;
    err = tg_doc_parse(&config->arena, config->path.ptr, text, &options, root, &error);
    if (err == TG_OK || err == TG_ENOMEM) {
        return err;
    }
    say(source, true, "%s:%zu:%zu: %s", config->path.ptr, error.line, error.column, error.text);
    return TG_EINVAL;
}

static void say_all(const struct tg_config_source *source, const struct tg_options_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        source->message(source->arg, report->items[i].is_error, report->items[i].text.ptr);
    }
    if (report->dropped > 0) {
        say(source, report->errors > 0, "%zu more messages are not shown", report->dropped);
    }
}

/* Fills the zeroed config. Overrides that do not fit are told together with what else is wrong. */
static enum tg_err fill(const struct tg_config_source *source, struct tg_config *config,
                        struct tg_options_report *report)
{
    const struct tg_doc_node *root = NULL;
    enum tg_err err = read_document(source, config, &root);
    if (err != TG_OK) {
        return err;
    }
    err = tg_options_override(&tg_schema_config, &config->arena, TG_CONFIG_PREFIX, source->environment,
                              source->overrides, report, &root);
    if (err == TG_ENOMEM) {
        return err;
    }
    err = tg_options_bind(&tg_schema_config, &config->arena, root, report, config);
    if (err == TG_OK || err == TG_EINVAL) {
        /* Also after errors, so that a dangling reference is told in the same run as a misspelt key. */
        report->once_a_place = true;
        enum tg_err compiled = tg_model_compile(&config->model, report);
        err = err == TG_OK || compiled == TG_ENOMEM ? compiled : err;
        compiled = tg_config_compile_tls(config, source->ticket_secret, report);
        err = err == TG_OK || compiled == TG_ENOMEM ? compiled : err;
    }
    if (err == TG_ENOMEM || report->out_of_memory) {
        return TG_ENOMEM;
    }
    return err == TG_OK && report->errors > 0 ? TG_EINVAL : err;
}

enum tg_err tg_config_load(const struct tg_config_source *source, struct tg_config **out)
{
    struct tg_config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return TG_ENOMEM;
    }
    tg_arena_init(&config->arena, NULL);
    config->model.arena = &config->arena;
    config->model.destroy = destroy;
    config->model.generation = 1;
    atomic_init(&config->model.refs, 1);
    struct tg_options_report *report = tg_arena_alloc(&config->arena, sizeof *report);
    enum tg_err err = report != NULL
                          ? tg_arena_copy(&config->arena, tg_slice_cstr(source->path), &config->path)
                          : TG_ENOMEM;
    if (err == TG_OK) {
        tg_options_report_init(report, &config->arena);
        err = fill(source, config, report);
        say_all(source, report);
    }
    if (err != TG_OK) {
        destroy(&config->model);
        return err;
    }
    if (config->connection_id_secret.len == 0) {
        config->connection_id_secret = config->model.account_id;
    }
    *out = config;
    return TG_OK;
}

static bool same_listeners(const struct tg_listeners *a, const struct tg_listeners *b)
{
    for (size_t i = 0; i < a->count && a->count == b->count; i++) {
        const struct tg_listener_settings *left = &a->items[i], *right = &b->items[i];
        if (!tg_slice_eq(left->address, right->address) || left->backlog != right->backlog ||
            left->unix_mode != right->unix_mode) {
            return false;
        }
    }
    return a->count == b->count;
}

static bool same_number(double a, double b)
{
    return !(a < b) && !(b < a);
}

static bool same_tls(const struct tg_tls_config *a, const struct tg_tls_config *b)
{
    return tg_slice_eq(a->server_name_to_verify, b->server_name_to_verify) &&
           tg_slice_eq(a->ca_file, b->ca_file) &&
           a->insecure_skip_verification == b->insecure_skip_verification;
}

static bool same_registry(const struct tg_registry_settings *a, const struct tg_registry_settings *b)
{
    return tg_slice_eq(a->type, b->type) && tg_slice_eq(a->url, b->url) &&
           tg_slice_eq(a->cluster, b->cluster) && same_tls(&a->tls, &b->tls) &&
           same_number(a->lease_seconds, b->lease_seconds) &&
           same_number(a->probe_interval_seconds, b->probe_interval_seconds) &&
           same_number(a->dead_node_memory_seconds, b->dead_node_memory_seconds) &&
           a->connect_timeout_millis == b->connect_timeout_millis &&
           a->command_timeout_millis == b->command_timeout_millis &&
           a->reconnect_min_millis == b->reconnect_min_millis &&
           a->reconnect_max_millis == b->reconnect_max_millis &&
           a->max_pending_commands == b->max_pending_commands &&
           a->trouble_makes_unready == b->trouble_makes_unready && a->when_cut_off == b->when_cut_off;
}

bool tg_config_reloadable(const struct tg_config *current, const struct tg_config *next, const char **option)
{
    const char *differs = NULL;
    if (!same_listeners(&current->listeners, &next->listeners)) {
        differs = "listeners";
    } else if (!tg_slice_eq(current->admin.address, next->admin.address) ||
               current->admin.allow_remote_control != next->admin.allow_remote_control) {
        differs = "admin";
    } else if (current->workers != next->workers) {
        differs = "workers";
    } else if (!same_registry(&current->registry, &next->registry)) {
        differs = "registry";
    } else if (!tg_slice_eq(current->connection_id_secret, next->connection_id_secret)) {
        differs = "connectionIdSecret";
    } else if (current->max_connections != next->max_connections) {
        differs = "maxConnections";
    } else if (current->log.format != next->log.format) {
        differs = "log.format";
    } else if (current->backends.dns_ttl_seconds < next->backends.dns_ttl_seconds ||
               current->backends.dns_ttl_seconds > next->backends.dns_ttl_seconds) {
        differs = "backends.dnsTtlSeconds";
    } else if (current->backends.dns_negative_ttl_seconds < next->backends.dns_negative_ttl_seconds ||
               current->backends.dns_negative_ttl_seconds > next->backends.dns_negative_ttl_seconds) {
        differs = "backends.dnsNegativeTtlSeconds";
    }
    if (differs != NULL) {
        *option = differs;
    }
    return differs == NULL;
}

enum tg_err tg_config_document(struct tg_buf *out)
{
    static const char intro[] =
        "# Configuration\n"
        "\n"
        "One file, YAML or JSON, checked whole before anything starts: `tidegate check FILE`. This page is "
        "made from the\n"
        "tables that read it.\n"
        "\n"
        "- Unknown keys, wrong types, values out of range and dangling references are errors, all told at "
        "once with file,\n"
        "  line and path. Keys that begin with `x-` are ignored: a place for anchors and notes.\n"
        "- `yes`, `no`, `on` and `off` are text; only `true` and `false` are booleans. `null` is the same as "
        "leaving the key\n"
        "  out.\n"
        "- `${NAME}` stands for a variable of the environment, `${NAME:-text}` has a default for one that is "
        "unset or empty,\n"
        "  and `$${NAME}` is the text itself. What has a dot in its braces, such as "
        "`${stageVariables.host}`, is left alone.\n"
        "  A value never adds structure. Inside `[...]` and `{...}`, YAML wants it in quotes: `{port: "
        "\"${PORT}\"}`.\n"
        "- Options that hold one value, on the way to which there is no list, can be set by variables as "
        "well:\n"
        "  `TIDEGATE_WORKERS=2`, `TIDEGATE_ADMIN__ADDRESS=127.0.0.1:9090` (`admin.address`),\n"
        "  `TIDEGATE_LOG__LEVEL=debug`. `--set path=value` reaches every value: `--set "
        "'listeners[0].address=:8080'`. The\n"
        "  command line wins over the environment, the environment over the file.\n"
        "- SIGHUP reloads the file. If it is wrong, or changes an option that takes a restart, the old one "
        "goes on serving.\n"
        "- In JSON files, characters beyond U+FFFF must be written as they are, not as `\\u` pairs.\n";
    enum tg_err err = tg_buf_append(out, tg_slice_make(intro, sizeof intro - 1));
    return err == TG_OK ? tg_options_markdown(&tg_schema_config, out) : err;
}

enum tg_err tg_config_help(struct tg_buf *out)
{
    return tg_options_help(&tg_schema_config, TG_CONFIG_PREFIX, out);
}
