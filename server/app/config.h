/* The configuration file: read (server/base/doc.h), bound by the option tables (schema.c), checked whole,
 * compiled. One tg_config is one immutable snapshot; its model carries the reference count, and when the last
 * reference goes, all of it goes. */
#ifndef TG_APP_CONFIG_H
#define TG_APP_CONFIG_H

#include "routes/model.h"
#include "server/base/buf.h"
#include "server/base/log.h"
#include "server/base/options.h"
#include "server/front/proxyproto.h"
#include "server/io/network.h"
#include "server/io/redis_url.h"
#include "server/io/transport.h"

struct tg_certificate_settings {
    const struct tg_doc_node *where;
    struct tg_slice certificate, private_key; /* PEM files */
    struct tg_slice ocsp_response;            /* DER file; empty: none */
};

struct tg_listener_tls_settings {
    const struct tg_doc_node *where; /* NULL: the listener is plain */
    struct {
        struct tg_certificate_settings *items;
        size_t count;
    } certificates;
    struct tg_slice client_ca; /* PEM file; empty: clients are not asked */
    enum { TG_MIN_TLS_1_2, TG_MIN_TLS_1_3 } min_version;
    struct tg_slice ciphers, ciphersuites; /* empty: ours, OpenSSL's */
    bool session_tickets;                  /* true */
    struct tg_slice ticket_secret;         /* empty: the process's */
    /* compiled */
    struct tg_tls_context *context; /* the configuration's */
};

struct tg_listener_settings {
    const struct tg_doc_node *where;
    struct tg_slice address; /* 127.0.0.1:8080, [::]:8080, :8080, unix:/path */
    int64_t backlog;         /* 4096 */
    int64_t unix_mode;       /* unixMode: permissions of a unix socket, octal in the file; 0660 */
    enum tg_proxy_protocol proxy_protocol;
    struct tg_strings trusted_proxies;
    struct tg_listener_tls_settings tls;
    /* compiled */
    struct tg_address socket_address;
    struct tg_networks trusted;
};

struct tg_listeners {
    struct tg_listener_settings *items;
    size_t count;
};

struct tg_http_settings {
    int64_t max_request_line_bytes;      /* 8192 */
    int64_t max_header_bytes;            /* 16384: the whole head */
    int64_t max_headers;                 /* 100 */
    int64_t max_body_bytes;              /* 10485760; @connections has its own 131072 */
    int64_t max_requests_per_connection; /* 0: no limit */
    double header_timeout_seconds;       /* 10: from accept or the first byte of a head to its last */
    double body_timeout_seconds;         /* 30: a body that is read whole; a standstill of one that streams */
    double keep_alive_timeout_seconds;   /* 60: idle between requests */
};

struct tg_backend_settings {
    int64_t max_connections_per_origin; /* per worker: 256 */
    int64_t max_idle_per_origin;        /* 256 */
    int64_t max_pending_per_origin;     /* 4096 */
    int64_t max_response_bytes;         /* 10485760 */
    int64_t connect_timeout_millis;     /* 5000 */
    double idle_timeout_seconds;        /* 30 */
    double dns_ttl_seconds;             /* 30 */
    double dns_negative_ttl_seconds;    /* 2 */
};

struct tg_drain_settings {
    const struct tg_doc_node *where;
    double grace_seconds;         /* 0: not ready, but everything is served on */
    double closes_per_second;     /* 500, of the node; 0: all at once */
    double jitter;                /* 0.5: of the gaps between closes */
    double deadline_seconds;      /* 30: for all of it */
    int64_t close_code;           /* 1012 */
    struct tg_slice close_reason; /* Service restart */
};

/* What drain was called before. */
struct tg_shutdown_settings {
    const struct tg_doc_node *where;
    double drain_seconds, deadline_seconds;
};

struct tg_admin_settings {
    struct tg_slice address;   /* empty: no admin listener */
    bool allow_remote_control; /* allowRemoteControl: false: /drain for the loopback interface alone */
    /* compiled */
    struct tg_address socket_address;
};

struct tg_registry_settings {
    const struct tg_doc_node *where;
    struct tg_slice type; /* memory | redis */
    struct tg_slice url, cluster;
    struct tg_slice sentinel_user, sentinel_password; /* empty: none is sent */
    struct tg_tls_config tls;                         /* tlsConfig, with a rediss:// URL */
    double lease_seconds;                             /* 30: how long a silent node counts as alive */
    double probe_interval_seconds;                    /* 1 */
    double dead_node_memory_seconds;                  /* 86400: how long its number stays unused */
    int64_t connect_timeout_millis;                   /* 5000 */
    int64_t command_timeout_millis;                   /* 2000 */
    int64_t reconnect_min_millis;                     /* 100 */
    int64_t reconnect_max_millis;                     /* 2000 */
    int64_t max_pending_commands;                     /* 65536, a worker */
    bool trouble_makes_unready;                       /* redisTroubleMakesUnready: false */
    enum { TG_CUT_OFF_CLOSE, TG_CUT_OFF_KEEP } when_cut_off;
    /* compiled */
    bool is_redis;
    struct tg_redis_url redis_url;
};

struct tg_log_settings {
    enum tg_log_level level;
    enum tg_log_format format;
};

struct tg_config {
    struct tg_arena arena;
    struct tg_slice path; /* of the file */
    struct tg_listeners listeners;
    struct tg_admin_settings admin;
    int64_t workers; /* "auto" in the file: 0, one a core */
    bool io_uring;   /* ioUring: writes of many connections in one system call, where the kernel can */
    int64_t max_connections; /* maxConnections, all workers; 0: what the descriptor limit allows */
    struct tg_registry_settings registry;
    struct tg_slice
        connection_id_secret; /* connectionIdSecret: key of the ids' check value; default from accountId */
    struct tg_log_settings log;
    struct tg_http_settings http;
    struct tg_backend_settings backends;
    struct tg_drain_settings drain;
    struct tg_shutdown_settings shutdown;
    struct tg_model
        model; /* region, accountId, management, throttling, ... stand at the top level of the file */
};

struct tg_config_source {
    const char *path;
    const char *const *overrides; /* "path=value" of --set, NULL-terminated; may be NULL */
    char *const *environment;     /* NULL-terminated NAME=value list, as environ */
    /* Of TLS tickets where the file says none: the same for each reload, so that sessions outlive it. Empty:
     * another one each time. */
    struct tg_slice ticket_secret;
    /* Gets each message, one line without a newline: `file:line: path: text`. */
    void (*message)(void *arg, bool is_error, const char *line);
    void *arg;
};

/* Reads, binds, compiles, checks. On TG_OK *out holds one reference. TG_ENOTFOUND: no such file; TG_EINVAL:
 * errors were reported; TG_ENOMEM. */
enum tg_err tg_config_load(const struct tg_config_source *source, struct tg_config **out) TG_MUST_CHECK;
static inline struct tg_config *tg_config_ref(struct tg_config *config)
{
    (void)tg_model_ref(&config->model);
    return config;
}
static inline void tg_config_unref(struct tg_config *config)
{
    tg_model_unref(&config->model);
}
/* Whether a running gateway can change from `current` to `next` without a restart; else *option names the
 * first restart-only option that differs (listeners, admin, workers, ioUring, registry, connectionIdSecret).
 */
bool tg_config_reloadable(const struct tg_config *current, const struct tg_config *next, const char **option);
/* Makes the TLS contexts of the listeners, which reads their files; what is wrong with them is reported.
 * TG_ENOMEM. Called by tg_config_load. */
enum tg_err tg_config_compile_tls(struct tg_config *config, struct tg_slice ticket_secret,
                                  struct tg_options_report *report) TG_MUST_CHECK;
/* The reference in Markdown (docs/configuration.md), from the tables that bind. */
enum tg_err tg_config_document(struct tg_buf *out) TG_MUST_CHECK;
/* The options that can be set on the command line and by environment, for --help. */
enum tg_err tg_config_help(struct tg_buf *out) TG_MUST_CHECK;

#endif
