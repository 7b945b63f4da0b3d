/* TLS of the listeners: from the files that the configuration names to contexts that connections share. */
#include <time.h>

#include "server/app/config.h"
#include "server/base/codec.h"

#define PLAIN_BODY "{\"message\":\"This port speaks TLS: use https or wss\"}"

static void destroy(void *arg)
{
    tg_tls_context_free(arg);
}

/* Texts of the binder end with a NUL. */
static const char *text_or_null(struct tg_slice text)
{
    return text.len > 0 ? text.ptr : NULL;
}

static const char *day(int64_t seconds, char out[TG_TIME_TEXT_MAX])
{
    (void)tg_time_http(seconds * 1000, out);
    return out;
}

/* What is likely a mistake, but serves. */
static void warn(const struct tg_listener_tls_settings *tls, int64_t now_s, struct tg_options_report *report)
{
    char text[TG_TIME_TEXT_MAX];
    for (size_t i = 0; i < tls->certificates.count; i++) {
        const struct tg_certificate_settings *settings = &tls->certificates.items[i];
        const struct tg_tls_certificate_info *info = tg_tls_certificate_info(tls->context, i);
        if (info->not_after_s <= now_s) {
            tg_options_warn(report, settings->where, "certificate", "expired on %s",
                            day(info->not_after_s, text));
        } else if (info->not_before_s > now_s) {
            tg_options_warn(report, settings->where, "certificate", "is not valid before %s",
                            day(info->not_before_s, text));
        }
        if (info->name.len == 0) {
            tg_options_warn(report, settings->where, "certificate",
                            "has no host among its subjectAltNames: clients look for theirs there");
        }
        if (info->key_is_public) {
            tg_options_warn(report, settings->where, "privateKey",
                            "\"%.*s\" can be read by others than its group", TG_FMT(settings->private_key));
        }
        if (info->ocsp_until_s > 0 && info->ocsp_until_s <= now_s) {
            tg_options_warn(report, settings->where, "ocspResponse", "is stale since %s, and is not sent",
                            day(info->ocsp_until_s, text));
        }
    }
}

static void report_fault(const struct tg_listener_tls_settings *tls, const struct tg_tls_fault *fault,
                         struct tg_options_report *report)
{
    const struct tg_doc_node *where = fault->certificate < tls->certificates.count
                                          ? tls->certificates.items[fault->certificate].where
                                          : tls->where;
    tg_options_error(report, where, fault->member, "%s", fault->text);
}

static enum tg_err compile(struct tg_arena *arena, struct tg_listener_tls_settings *tls,
                           struct tg_slice ticket_secret, struct tg_options_report *report)
{
    struct tg_tls_fault fault;
    size_t count = tls->certificates.count;
    struct tg_tls_certificate *files = tg_arena_zalloc(arena, (count + 1) * sizeof *files);
    struct tg_slice answer;
    if (files == NULL ||
        tg_arena_printf(
            arena, &answer,
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
            "Connection: close\r\n\r\n%s",
            sizeof PLAIN_BODY - 1, PLAIN_BODY) != TG_OK) {
        return TG_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct tg_certificate_settings *settings = &tls->certificates.items[i];
        if (settings->certificate.len == 0 || settings->private_key.len == 0) {
            return TG_OK; /* told already */
        }
        files[i] = (struct tg_tls_certificate){.certificate = settings->certificate.ptr,
                                               .private_key = settings->private_key.ptr,
                                               .ocsp_response = text_or_null(settings->ocsp_response)};
    }
    const struct tg_tls_server_options options = {
        .certificates = files,
        .certificate_count = count,
        .client_ca = text_or_null(tls->client_ca),
        .tls13_only = tls->min_version == TG_MIN_TLS_1_3,
        .ciphers = text_or_null(tls->ciphers),
        .ciphersuites = text_or_null(tls->ciphersuites),
        .no_tickets = !tls->session_tickets,
        .ticket_secret = tls->ticket_secret.len > 0 ? tls->ticket_secret : ticket_secret,
        .plain_answer = answer,
    };
    enum tg_err err = tg_tls_server_new(&options, &fault, &tls->context);
    if (err != TG_OK) {
        if (err != TG_ENOMEM) {
            report_fault(tls, &fault, report);
        }
        return err == TG_ENOMEM ? err : TG_OK;
    }
    err = tg_arena_defer(arena, destroy, tls->context);
    if (err != TG_OK) {
        tg_tls_context_free(tls->context);
        tls->context = NULL;
        return err;
    }
    warn(tls, (int64_t)time(NULL), report);
    return TG_OK;
}

enum tg_err tg_config_compile_tls(struct tg_config *config, struct tg_slice ticket_secret,
                                  struct tg_options_report *report)
{
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < config->listeners.count; i++) {
        struct tg_listener_tls_settings *tls = &config->listeners.items[i].tls;
        if (tls->where != NULL) {
            err = compile(&config->arena, tls, ticket_secret, report);
        }
    }
    return err;
}
