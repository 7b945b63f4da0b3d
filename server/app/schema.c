#include "server/app/schema.h"

#include "connmgr/batch.h"

/* One row an option reads best as it is laid out here. */
/* clang-format off */
#define AT(type, member) .offset = offsetof(struct type, member)
#define SCHEMA(type, rows_) .size = sizeof(struct type), .rows = rows_, .row_count = TG_OPTION_COUNT(rows_)
#define NO_LIMIT INT64_MAX

static const struct tg_option tls_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_tls_config, where)},
    {"serverNameToVerify", TG_OPTION_STRING, AT(tg_tls_config, server_name_to_verify), .max = 253,
     .help = "Name that the back end's certificate must be for, and that is sent as SNI; default: the host of the URL."},
    {"caFile", TG_OPTION_STRING, AT(tg_tls_config, ca_file),
     .help = "PEM file of the authorities that are trusted; default: the system's."},
    {"insecureSkipVerification", TG_OPTION_BOOL, AT(tg_tls_config, insecure_skip_verification),
     .help = "Takes any certificate. For tests only."},
};
const struct tg_schema tg_schema_tls = {
    .name = "tlsConfig", SCHEMA(tg_tls_config, tls_rows),
    .help = "TLS towards a back end. `caFile` and `insecureSkipVerification` go beyond the API model."};

static const struct tg_option_name proxy_protocols[] = {
    {.name = "off", .value = TG_PROXY_OFF}, {.name = "v1", .value = TG_PROXY_V1},
    {.name = "v2", .value = TG_PROXY_V2}, {.name = "any", .value = TG_PROXY_ANY}, {0}};
static const struct tg_option certificate_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_certificate_settings, where)},
    {"certificate", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(tg_certificate_settings, certificate), .min = 1, .max = 4096,
     .help = "PEM file: the certificate, then those that lead to its authority."},
    {"privateKey", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(tg_certificate_settings, private_key), .min = 1, .max = 4096,
     .help = "PEM file of its key, without a passphrase."},
    {"ocspResponse", TG_OPTION_STRING, AT(tg_certificate_settings, ocsp_response), .min = 1, .max = 4096,
     .help = "DER file of an OCSP response, which is stapled until it goes stale; fetched by whoever renews the certificate."},
};
static const struct tg_schema certificate_schema = {
    .name = "certificates", SCHEMA(tg_certificate_settings, certificate_rows),
    .help = "A client is shown the one for the host that it names (SNI): exact names before wildcards, of several for one host (RSA and ECDSA) the one that it can check; all other clients the first."};
static const struct tg_option_name tls_versions[] = {{.name = "1.2", .value = TG_MIN_TLS_1_2}, {.name = "1.3", .value = TG_MIN_TLS_1_3}, {0}};
static const struct tg_option listener_tls_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_listener_tls_settings, where)},
    {"certificates", TG_OPTION_STRUCTS, TG_OPTION_REQUIRED, AT(tg_listener_tls_settings, certificates), .schema = &certificate_schema,
     .help = "At least one."},
    {"clientCa", TG_OPTION_STRING, AT(tg_listener_tls_settings, client_ca), .min = 1, .max = 4096,
     .help = "PEM file of authorities; clients must show a certificate of one of them."},
    {"minVersion", TG_OPTION_ENUM, AT(tg_listener_tls_settings, min_version), .fallback = "1.2", .names = tls_versions, .help = "Of TLS."},
    {"ciphers", TG_OPTION_STRING, AT(tg_listener_tls_settings, ciphers), .min = 1, .max = 4096,
     .help = "For TLS 1.2, as OpenSSL names them, parted by colons; default: ECDHE with AES-GCM or ChaCha20-Poly1305."},
    {"ciphersuites", TG_OPTION_STRING, AT(tg_listener_tls_settings, ciphersuites), .min = 1, .max = 4096,
     .help = "For TLS 1.3, as OpenSSL names them, parted by colons; default: OpenSSL's."},
    {"sessionTickets", TG_OPTION_BOOL, AT(tg_listener_tls_settings, session_tickets), .fallback = "true",
     .help = "Sessions are kept with the clients, which any worker resumes; `false`: in memory, 10000 a listener."},
    {"ticketSecret", TG_OPTION_STRING, TG_OPTION_SECRET, AT(tg_listener_tls_settings, ticket_secret), .min = 16,
     .help = "From which the keys of tickets are made, new ones each 12 hours: nodes that have the same resume each other's sessions. Default: a random one for as long as the process runs."},
    {"ticketSecretFile", TG_OPTION_FILE, TG_OPTION_SECRET, AT(tg_listener_tls_settings, ticket_secret), .min = 16, .help = "File that holds it."},
};
static const struct tg_schema listener_tls_schema = {
    .name = "tls", SCHEMA(tg_listener_tls_settings, listener_tls_rows),
    .help = "TLS on a listener. All of it, the files too, is read again by a reload: new connections get the new, those that are open keep what they have. [operations.md](operations.md) has more."};

static const struct tg_option listener_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_listener_settings, where)},
    {"address", TG_OPTION_STRING, TG_OPTION_REQUIRED | TG_OPTION_RESTART, AT(tg_listener_settings, address), .min = 1,
     .help = "`127.0.0.1:8080`, `[::1]:8080`, `:8080` (every address), `unix:/run/tidegate.sock`."},
    {"backlog", TG_OPTION_INT, TG_OPTION_RESTART, AT(tg_listener_settings, backlog), .fallback = "4096", .min = 1, .max = 65535,
     .help = "Connections that may wait to be accepted."},
    {"unixMode", TG_OPTION_OCTAL, TG_OPTION_RESTART, AT(tg_listener_settings, unix_mode), .fallback = "0660", .max = 0777,
     .help = "Permissions of a unix socket."},
    {"proxyProtocol", TG_OPTION_ENUM, AT(tg_listener_settings, proxy_protocol), .fallback = "off", .names = proxy_protocols,
     .help = "The PROXY protocol header with which a load balancer says who the client is: demanded of every connection, in version 1, version 2 or either (`any`). See [operations.md](operations.md#behind-a-load-balancer)."},
    {"trustedProxies", TG_OPTION_STRINGS, AT(tg_listener_settings, trusted_proxies), .min = 1, .max = 64,
     .help = "With `proxyProtocol`: addresses and ranges (`10.0.0.0/8`, `2001:db8::/32`) of the load balancers. Nobody else may connect. A unix socket takes none: `unixMode` says who may."},
    {"tls", TG_OPTION_STRUCT, AT(tg_listener_settings, tls), .schema = &listener_tls_schema, .help = "Given: `https` and `wss`; else plain."},
};
static const struct tg_schema listener_schema = {
    .name = "listeners", SCHEMA(tg_listener_settings, listener_rows), .check = tg_check_listener,
    .help = "Where clients connect and back ends call `@connections`."};

static const struct tg_option admin_rows[] = {
    {"address", TG_OPTION_STRING, TG_OPTION_RESTART, AT(tg_admin_settings, address), .min = 1,
     .help = "As of a listener; not given: no admin listener."},
    {"allowRemoteControl", TG_OPTION_BOOL, TG_OPTION_RESTART, AT(tg_admin_settings, allow_remote_control),
     .help = "Lets requests pass that do not come over the loopback interface or a unix socket: `POST` and `DELETE /drain`, and what tells of clients, `/connections/list` and `/connections/ID`."},
};
static const struct tg_schema admin_schema = {
    .name = "admin", SCHEMA(tg_admin_settings, admin_rows), .check = tg_check_admin,
    .help = "`/healthz`, `/readyz`, `/metrics`, `/connections`, `/targets` and `/drain`, on a listener of their own: see [operations.md](operations.md#admin-endpoints)."};

static const struct tg_option_name registry_types[] = {{.name = "memory"}, {.name = "redis"}, {0}};
static const struct tg_option_name cut_off_names[] = {{.name = "close", .value = TG_CUT_OFF_CLOSE}, {.name = "keep", .value = TG_CUT_OFF_KEEP}, {0}};
static const struct tg_option registry_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_registry_settings, where)},
    {"type", TG_OPTION_STRING, TG_OPTION_RESTART, AT(tg_registry_settings, type), .fallback = "memory", .names = registry_types,
     .help = "`memory`: one node. `redis`: many nodes, each of which reaches the connections of all."},
    {"url", TG_OPTION_STRING, TG_OPTION_RESTART | TG_OPTION_SECRET, AT(tg_registry_settings, url), .min = 1,
     .help = "`redis://user:password@host:6379/0`, `rediss://...` with TLS, `unix:///run/redis.sock?db=0`; `redis+sentinel://user:password@host1:26379,host2:26379/service/0` (`rediss+sentinel://...`): the primary that Sentinels name; `redis+cluster://user:password@host1:6379,host2:6379` (`rediss+cluster://...`): a Redis Cluster, by some of its servers. Version 6.2 or later, a Cluster 7 or later."},
    {"urlFile", TG_OPTION_FILE, TG_OPTION_RESTART | TG_OPTION_SECRET, AT(tg_registry_settings, url), .help = "File that holds it."},
    {"sentinelUser", TG_OPTION_STRING, TG_OPTION_RESTART, AT(tg_registry_settings, sentinel_user), .min = 1,
     .help = "User at the Sentinels, whose logins are not those of the server; without one, the default user."},
    {"sentinelPassword", TG_OPTION_STRING, TG_OPTION_RESTART | TG_OPTION_SECRET, AT(tg_registry_settings, sentinel_password), .min = 1,
     .help = "Password at the Sentinels; without one, none is sent."},
    {"sentinelPasswordFile", TG_OPTION_FILE, TG_OPTION_RESTART | TG_OPTION_SECRET, AT(tg_registry_settings, sentinel_password), .help = "File that holds it."},
    {"cluster", TG_OPTION_STRING, TG_OPTION_RESTART, AT(tg_registry_settings, cluster), .fallback = "default", .min = 1, .max = 64,
     .help = "Name that the nodes of one gateway share, and no others on this Redis: letters, digits, `-`, `_` and `.`."},
    {"tlsConfig", TG_OPTION_STRUCT, TG_OPTION_RESTART, AT(tg_registry_settings, tls), .schema = &tg_schema_tls, .help = "For a `rediss` URL."},
    {"leaseSeconds", TG_OPTION_DOUBLE, TG_OPTION_RESTART, AT(tg_registry_settings, lease_seconds), .fallback = "30", .max = 3600,
     .help = "How long a silent node counts as alive, and how long a node may be cut off from Redis; at least 0.1."},
    {"whenCutOff", TG_OPTION_ENUM, TG_OPTION_RESTART, AT(tg_registry_settings, when_cut_off), .fallback = "close", .names = cut_off_names,
     .help = "A node that cannot keep its lease closes its connections in time (`close`), or keeps them until Redis says that another node has taken over (`keep`: outlives any failure of Redis, but while others reach Redis, they say of its connections that they are gone)."},
    {"redisTroubleMakesUnready", TG_OPTION_BOOL, TG_OPTION_RESTART, AT(tg_registry_settings, trouble_makes_unready), .fallback = "false",
     .help = "Whether `/readyz` fails while Redis cannot be reached: with one Redis, that takes all nodes from a load balancer at once."},
    {"probeIntervalSeconds", TG_OPTION_DOUBLE, TG_OPTION_RESTART, AT(tg_registry_settings, probe_interval_seconds), .fallback = "1", .max = 60,
     .help = "Between two looks at whether Redis and a silent inbox still answer; at least 0.01."},
    {"deadNodeMemorySeconds", TG_OPTION_DOUBLE, TG_OPTION_RESTART, AT(tg_registry_settings, dead_node_memory_seconds), .fallback = "86400", .max = 31536000,
     .help = "How long the number of a dead node stays unused, and it is remembered whom others have told of; at least 1."},
    {"connectTimeoutMillis", TG_OPTION_INT, TG_OPTION_RESTART, AT(tg_registry_settings, connect_timeout_millis), .fallback = "5000", .min = 10, .max = 60000,
     .help = "For a connection to Redis, with its login."},
    {"commandTimeoutMillis", TG_OPTION_INT, TG_OPTION_RESTART, AT(tg_registry_settings, command_timeout_millis), .fallback = "2000", .min = 10, .max = 60000,
     .help = "A connection that leaves a command unanswered for so long is opened anew."},
    {"reconnectMinMillis", TG_OPTION_INT, TG_OPTION_RESTART, AT(tg_registry_settings, reconnect_min_millis), .fallback = "100", .min = 1, .max = 60000,
     .help = "First pause before connecting again; it doubles, and a random part of it is left out."},
    {"reconnectMaxMillis", TG_OPTION_INT, TG_OPTION_RESTART, AT(tg_registry_settings, reconnect_max_millis), .fallback = "2000", .min = 1, .max = 600000,
     .help = "Longest pause."},
    {"maxPendingCommands", TG_OPTION_INT, TG_OPTION_RESTART, AT(tg_registry_settings, max_pending_commands), .fallback = "65536", .min = 64, .max = 16777216,
     .help = "Commands that wait for Redis, per worker; a push that finds it full answers 503."},
};
static const struct tg_schema registry_schema = {
    .name = "registry", SCHEMA(tg_registry_settings, registry_rows), .check = tg_check_registry,
    .help = "Where connections are known beyond the node that holds them; [cluster.md](cluster.md) says how nodes work together."};

static const struct tg_option_name log_levels[] = {{.name = "error", .value = TG_LOG_ERROR}, {.name = "warn", .value = TG_LOG_WARN},
    {.name = "info", .value = TG_LOG_INFO}, {.name = "debug", .value = TG_LOG_DEBUG}, {0}};
static const struct tg_option_name log_formats[] = {{.name = "text", .value = TG_LOG_TEXT}, {.name = "json", .value = TG_LOG_JSON}, {0}};
static const struct tg_option log_rows[] = {
    {"level", TG_OPTION_ENUM, AT(tg_log_settings, level), .fallback = "info", .names = log_levels, .help = "Least severe level written."},
    {"format", TG_OPTION_ENUM, TG_OPTION_RESTART, AT(tg_log_settings, format), .fallback = "text", .names = log_formats, .help = "Of a line."},
};
static const struct tg_schema log_schema = {
    .name = "log", SCHEMA(tg_log_settings, log_rows), .help = "The gateway's own log, on standard error."};

static const struct tg_option http_rows[] = {
    {"maxRequestLineBytes", TG_OPTION_INT, AT(tg_http_settings, max_request_line_bytes), .fallback = "8192", .min = 64, .max = 65536,
     .help = "Longest first line of a request."},
    {"maxHeaderBytes", TG_OPTION_INT, AT(tg_http_settings, max_header_bytes), .fallback = "16384", .min = 512, .max = 1048576,
     .help = "Longest head of a request, first line included."},
    {"maxHeaders", TG_OPTION_INT, AT(tg_http_settings, max_headers), .fallback = "100", .min = 8, .max = 1000,
     .help = "Most header fields of a request."},
    {"maxBodyBytes", TG_OPTION_INT, AT(tg_http_settings, max_body_bytes), .fallback = "10485760", .min = 0, .max = 1073741824,
     .help = "Longest body of a request to an HTTP API; `@connections` has its own limit of 131072."},
    {"maxRequestsPerConnection", TG_OPTION_INT, AT(tg_http_settings, max_requests_per_connection), .fallback = "0", .max = NO_LIMIT,
     .help = "Then the connection is closed; 0: no limit."},
    {"headerTimeoutSeconds", TG_OPTION_DOUBLE, AT(tg_http_settings, header_timeout_seconds), .fallback = "10", .max = 3600,
     .help = "From the accept, or the first byte of a head, to its last byte."},
    {"bodyTimeoutSeconds", TG_OPTION_DOUBLE, AT(tg_http_settings, body_timeout_seconds), .fallback = "30", .max = 3600,
     .help = "For a body that is read whole; for the next bytes of one that is passed on, or of an answer."},
    {"keepAliveTimeoutSeconds", TG_OPTION_DOUBLE, AT(tg_http_settings, keep_alive_timeout_seconds), .fallback = "60", .max = 3600,
     .help = "Idle between requests."},
};
static const struct tg_schema http_schema = {
    .name = "http", SCHEMA(tg_http_settings, http_rows), .help = "HTTP/1.1 on the listeners: handshakes and `@connections`."};

static const struct tg_option backend_rows[] = {
    {"maxConnectionsPerOrigin", TG_OPTION_INT, AT(tg_backend_settings, max_connections_per_origin), .fallback = "256", .min = 1, .max = 65535,
     .help = "Per worker."},
    {"maxIdlePerOrigin", TG_OPTION_INT, AT(tg_backend_settings, max_idle_per_origin), .fallback = "256", .max = 65535,
     .help = "Connections kept open for later calls, per worker."},
    {"maxPendingPerOrigin", TG_OPTION_INT, AT(tg_backend_settings, max_pending_per_origin), .fallback = "4096", .min = 1, .max = 1048576,
     .help = "Calls that wait for a connection, per worker; further ones fail."},
    {"maxResponseBytes", TG_OPTION_INT, AT(tg_backend_settings, max_response_bytes), .fallback = "10485760", .min = 1, .max = 1073741824,
     .help = "Longest body of an answer."},
    {"connectTimeoutMillis", TG_OPTION_INT, AT(tg_backend_settings, connect_timeout_millis), .fallback = "5000", .min = 1, .max = 600000,
     .help = "For a connection to be made, TLS included."},
    {"idleTimeoutSeconds", TG_OPTION_DOUBLE, AT(tg_backend_settings, idle_timeout_seconds), .fallback = "30", .max = 3600,
     .help = "Then an idle connection is closed."},
    {"dnsTtlSeconds", TG_OPTION_DOUBLE, TG_OPTION_RESTART, AT(tg_backend_settings, dns_ttl_seconds), .fallback = "30", .max = 86400,
     .help = "How long an address is remembered."},
    {"dnsNegativeTtlSeconds", TG_OPTION_DOUBLE, TG_OPTION_RESTART, AT(tg_backend_settings, dns_negative_ttl_seconds), .fallback = "2", .max = 86400,
     .help = "How long a name without an address is remembered."},
};
static const struct tg_schema backend_schema = {
    .name = "backends", SCHEMA(tg_backend_settings, backend_rows), .help = "Calls to back ends, functions and authorisers."};

static const struct tg_option drain_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_drain_settings, where)},
    {"graceSeconds", TG_OPTION_DOUBLE, AT(tg_drain_settings, grace_seconds), .fallback = "0", .max = 86400,
     .help = "`/readyz` says 503 and everything is served on: longer than a load balancer takes to notice."},
    {"closesPerSecond", TG_OPTION_DOUBLE, AT(tg_drain_settings, closes_per_second), .fallback = "500", .max = 1000000,
     .help = "WebSockets that are closed in a second, of all workers together, and so the rate at which clients come back elsewhere; more where the deadline would not be met; 0: all at once."},
    {"jitter", TG_OPTION_DOUBLE, AT(tg_drain_settings, jitter), .fallback = "0.5", .max = 1,
     .help = "By how much of itself the gap between two closes is longer or shorter, by chance."},
    {"deadlineSeconds", TG_OPTION_DOUBLE, AT(tg_drain_settings, deadline_seconds), .fallback = "30", .max = 86400,
     .help = "From the signal to the end of the process, with the grace and every `$disconnect`. What stops the process must wait longer."},
    {"closeCode", TG_OPTION_INT, AT(tg_drain_settings, close_code), .fallback = "1012", .min = 1000, .max = 4999,
     .help = "Of the close frames."},
    {"closeReason", TG_OPTION_STRING, AT(tg_drain_settings, close_reason), .fallback = "Service restart", .max = 123,
     .help = "Likewise, at most 123 bytes."},
};
static const struct tg_schema drain_schema = {
    .name = "drain", SCHEMA(tg_drain_settings, drain_rows), .check = tg_check_drain,
    .help = "An orderly end, on SIGTERM or `POST /drain`; [operations.md](operations.md#draining) says what happens when."};
static const struct tg_option shutdown_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_shutdown_settings, where)},
    {"drainSeconds", TG_OPTION_DOUBLE, AT(tg_shutdown_settings, drain_seconds), .fallback = "5", .max = 86400,
     .help = "0: `drain.closesPerSecond: 0`; else without effect."},
    {"deadlineSeconds", TG_OPTION_DOUBLE, AT(tg_shutdown_settings, deadline_seconds), .fallback = "30", .max = 86400,
     .help = "As `drain.deadlineSeconds`."},
};
static const struct tg_schema shutdown_schema = {
    .name = "shutdown", SCHEMA(tg_shutdown_settings, shutdown_rows), .help = "What `drain` was called before; a file may have one of the two."};

static const struct tg_option_name management_auths[] = {
    {.name = "sigv4", .value = TG_MANAGEMENT_SIGV4}, {.name = "none", .value = TG_MANAGEMENT_NONE}, {0}};
static const struct tg_option management_rows[] = {
    {"auth", TG_OPTION_ENUM, AT(tg_management, auth), .fallback = "sigv4", .names = management_auths,
     .help = "Who may call `@connections`: those who sign with one of `credentials`, or anyone."},
    {"allowPublicWithoutAuth", TG_OPTION_BOOL, AT(tg_management, allow_public_without_auth),
     .help = "Lets `auth: none` pass although a listener is not on the loopback interface."},
    {"errorTypeOn413", TG_OPTION_BOOL, AT(tg_management, error_type_on_413),
     .help = "Sends `x-amzn-ErrorType` with 413 as well; the native service does not."},
    {"strictManagementArn", TG_OPTION_BOOL, AT(tg_management, strict_management_arn),
     .help = "Matches policies against the native form of the ARN alone, not against the one with the real connection id."},
    {"pushTimeoutMillis", TG_OPTION_INT, AT(tg_management, push_timeout_millis), .fallback = "3000", .min = 1, .max = 600000,
     .help = "A push not written by then is withdrawn and answered 429."},
    {"batchMaxConnections", TG_OPTION_INT, AT(tg_management, batch_max_connections), .fallback = "0", .max = TG_BATCH_MAX,
     .help = "Most connections that one call of `POST /{stage}/@tidegate/connections` may name ([operations.md](operations.md#batch-calls)); 0: there is no such call. Beyond the model."},
};
static const struct tg_schema management_schema = {
    .name = "management", SCHEMA(tg_management, management_rows), .help = "The management API, `@connections`."};

static const struct tg_option throttling_rows[] = {
    {"rateLimit", TG_OPTION_DOUBLE, AT(tg_throttling, rate_limit), .fallback = "10000", .max = NO_LIMIT,
     .help = "Handshakes, messages and management calls a second."},
    {"burstLimit", TG_OPTION_INT, AT(tg_throttling, burst_limit), .fallback = "5000", .max = NO_LIMIT, .help = "And at once."},
    {"connectionRateLimit", TG_OPTION_DOUBLE, AT(tg_throttling, connection_rate_limit), .fallback = "500", .max = NO_LIMIT,
     .help = "New connections a second."},
    {"connectionBurstLimit", TG_OPTION_INT, AT(tg_throttling, connection_burst_limit), .fallback = "500", .max = NO_LIMIT,
     .help = "And at once."},
};
static const struct tg_schema throttling_schema = {
    .name = "throttling", SCHEMA(tg_throttling, throttling_rows),
    .help = "The account's limits, counted per node; the defaults are those of the native service."};

static const struct tg_option function_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_function, where)},
    {.type = TG_OPTION_KEY, AT(tg_function, name)},
    {"endpoint", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(tg_function, endpoint), .min = 1, .max = 2048,
     .help = "URL of a Lambda-compatible runtime, `http://127.0.0.1:3002`; a path in it is kept."},
    {"invokeName", TG_OPTION_STRING, AT(tg_function, invoke_name), .max = 140,
     .help = "Name in the invoke path; default: the function's."},
    {"tlsConfig", TG_OPTION_STRUCT, AT(tg_function, tls_config), .schema = &tg_schema_tls, .help = "Of this endpoint."},
};
static const struct tg_schema function_schema = {
    .name = "functions", SCHEMA(tg_function, function_rows),
    .help = "Functions by the name that stands in the ARNs of integrations and authorisers."};

static const struct tg_option credential_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_credential, where)},
    {"accessKeyId", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(tg_credential, access_key_id), .min = 1, .max = 128, .help = "Name of the key."},
    {"secretAccessKey", TG_OPTION_STRING, TG_OPTION_REQUIRED | TG_OPTION_SECRET, AT(tg_credential, secret_access_key), .min = 1,
     .help = "The key itself; better from a file or a variable."},
    {"secretAccessKeyFile", TG_OPTION_FILE, TG_OPTION_SECRET, AT(tg_credential, secret_access_key),
     .help = "File that holds it."},
    {"sessionToken", TG_OPTION_STRING, TG_OPTION_SECRET, AT(tg_credential, session_token),
     .help = "Demanded of every request signed with this key."},
    {"userArn", TG_OPTION_STRING, AT(tg_credential, user_arn), .max = 2048,
     .help = "Who signs; default: `arn:aws:iam::{accountId}:user/{accessKeyId}`."},
    {"policy", TG_OPTION_NODE, AT(tg_credential, policy_node),
     .help = "An IAM policy document that says what the key may do; none: nothing."},
};
static const struct tg_schema credential_schema = {
    .name = "credentials", SCHEMA(tg_credential, credential_rows), .help = "Who may sign requests, and what for."};

static const struct tg_option api_mapping_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_api_mapping, where)},
    {"domainName", TG_OPTION_STRING, AT(tg_api_mapping, domain_name), .max = 253, .help = "Required where it does not stand under its domain."},
    {"apiId", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(tg_api_mapping, api_id), .min = 1, .max = 63, .help = "The API."},
    {"stage", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(tg_api_mapping, stage), .min = 1, .max = 128, .help = "Its stage."},
    {"apiMappingKey", TG_OPTION_STRING, AT(tg_api_mapping, api_mapping_key), .max = 300,
     .help = "Path that leads there, of one or more segments, without slashes at its ends; none: whatever no other mapping takes."},
    {"apiMappingId", TG_OPTION_STRING, AT(tg_api_mapping, api_mapping_id), .max = 128, .help = "Its name; informative."},
};
static const struct tg_schema api_mapping_schema = {
    .name = "apiMappings", SCHEMA(tg_api_mapping, api_mapping_rows), .help = "What of a domain leads to which API and stage."};
static const struct tg_option domain_name_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_domain_name, where)},
    {"domainName", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(tg_domain_name, domain_name), .min = 1, .max = 253,
     .help = "A host name, or `*.example.com`."},
    {"apiMappings", TG_OPTION_STRUCTS, AT(tg_domain_name, api_mappings), .schema = &api_mapping_schema, .help = "Its paths."},
    {"domainNameConfigurations", TG_OPTION_NODE, TG_OPTION_UNUSED | TG_OPTION_DISCARD, .help = "Certificates and endpoint types of the native service."},
    {"tags", TG_OPTION_STRING_MAP, AT(tg_domain_name, tags), .max = 256, .help = "Any pairs."},
};
static const struct tg_schema domain_name_schema = {
    .name = "domainNames", SCHEMA(tg_domain_name, domain_name_rows),
    .help = "Hosts whose paths lead to APIs: the longest mapping that fits, and what is below it is the path that the API sees."};

static const struct tg_option link_target_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_link_target, where)},
    {"url", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(tg_link_target, url), .min = 1, .max = 512,
     .help = "`http://10.0.0.1:8080`, `https://...`, `http://unix:/run/app.sock:`."},
};
static const struct tg_schema link_target_schema = {
    .name = "targets", SCHEMA(tg_link_target, link_target_rows), .help = "One server of a link."};
static const struct tg_option link_check_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_link_check, where)},
    {"path", TG_OPTION_STRING, AT(tg_link_check, path), .fallback = "/", .min = 1, .max = 1024, .help = "Asked with GET."},
    {"host", TG_OPTION_STRING, AT(tg_link_check, host), .max = 253, .help = "`Host` of the request; default: the target's."},
    {"intervalSeconds", TG_OPTION_DOUBLE, AT(tg_link_check, interval_seconds), .fallback = "10", .max = 3600, .help = "Between checks of a target, by each worker."},
    {"timeoutMillis", TG_OPTION_INT, AT(tg_link_check, timeout_millis), .fallback = "2000", .min = 1, .max = 600000, .help = "Of a check."},
    {"healthyThreshold", TG_OPTION_INT, AT(tg_link_check, healthy_threshold), .fallback = "2", .min = 1, .max = 100, .help = "Good checks in a row that make a target healthy."},
    {"unhealthyThreshold", TG_OPTION_INT, AT(tg_link_check, unhealthy_threshold), .fallback = "2", .min = 1, .max = 100, .help = "Bad checks in a row that make it unhealthy."},
    {"statusMin", TG_OPTION_INT, AT(tg_link_check, status_min), .fallback = "200", .min = 100, .max = 599, .help = "Lowest good status."},
    {"statusMax", TG_OPTION_INT, AT(tg_link_check, status_max), .fallback = "399", .min = 100, .max = 599, .help = "Highest good status."},
};
static const struct tg_schema link_check_schema = {
    .name = "healthCheck", SCHEMA(tg_link_check, link_check_rows), .help = "Active checks; absent: none are made."};
static const struct tg_option link_ejection_rows[] = {
    {"failures", TG_OPTION_INT, AT(tg_link_ejection, failures), .fallback = "5", .max = 1000000, .help = "Failed calls in a row that take a target out; 0: none do."},
    {"seconds", TG_OPTION_DOUBLE, AT(tg_link_ejection, seconds), .fallback = "10", .max = 86400, .help = "For how long at first; twice as long each time."},
    {"maxSeconds", TG_OPTION_DOUBLE, AT(tg_link_ejection, max_seconds), .fallback = "300", .max = 86400, .help = "At most."},
};
static const struct tg_schema link_ejection_schema = {
    .name = "ejection", SCHEMA(tg_link_ejection, link_ejection_rows), .help = "Passive checks: what calls themselves show of a target."};
static const struct tg_option vpc_link_rows[] = {
    {.type = TG_OPTION_WHERE, AT(tg_vpc_link, where)},
    {"vpcLinkId", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(tg_vpc_link, vpc_link_id), .min = 1, .max = 128, .help = "Its name, for the `connectionId` of integrations."},
    {"name", TG_OPTION_STRING, AT(tg_vpc_link, name), .max = 128, .help = "Its title."},
    {"targets", TG_OPTION_STRUCTS, TG_OPTION_REQUIRED, AT(tg_vpc_link, targets), .schema = &link_target_schema, .help = "The servers. Beyond the model."},
    {"healthCheck", TG_OPTION_STRUCT, AT(tg_vpc_link, health_check), .schema = &link_check_schema, .help = "Active checks. Beyond the model."},
    {"ejection", TG_OPTION_STRUCT, AT(tg_vpc_link, ejection), .schema = &link_ejection_schema, .help = "Passive checks. Beyond the model."},
    {"maxAttempts", TG_OPTION_INT, AT(tg_vpc_link, max_attempts), .fallback = "3", .min = 1, .max = 8,
     .help = "Targets tried for one call that can be sent again. Beyond the model."},
    {"attemptTimeoutMillis", TG_OPTION_INT, AT(tg_vpc_link, attempt_timeout_millis), .fallback = "0", .max = 3600000,
     .help = "How long one target may take to the head of its answer while the call can go to another; 0: as long as the call may. Beyond the model."},
    {"tlsConfig", TG_OPTION_STRUCT, AT(tg_vpc_link, tls_config), .schema = &tg_schema_tls, .help = "For `https` targets. Beyond the model."},
    {"securityGroupIds", TG_OPTION_STRINGS, TG_OPTION_UNUSED | TG_OPTION_DISCARD, .help = "Of the native service."},
    {"subnetIds", TG_OPTION_STRINGS, TG_OPTION_UNUSED | TG_OPTION_DISCARD, .help = "Of the native service."},
    {"tags", TG_OPTION_STRING_MAP, AT(tg_vpc_link, tags), .max = 256, .help = "Any pairs."},
};
static const struct tg_schema vpc_link_schema = {
    .name = "vpcLinks", SCHEMA(tg_vpc_link, vpc_link_rows),
    .help = "A name for several servers that do the same: the call goes to the healthy one with the fewest calls under way."};

static const struct tg_option_name workers_names[] = {{.name = "auto", .value = 0}, {0}};
static const struct tg_option config_rows[] = {
    {"listeners", TG_OPTION_STRUCTS, TG_OPTION_REQUIRED | TG_OPTION_RESTART, AT(tg_config, listeners), .schema = &listener_schema,
     .help = "Where the gateway listens."},
    {"admin", TG_OPTION_STRUCT, TG_OPTION_RESTART, AT(tg_config, admin), .schema = &admin_schema, .help = "Health and metrics."},
    {"workers", TG_OPTION_INT, TG_OPTION_RESTART, AT(tg_config, workers), .fallback = "auto", .min = 1, .max = 256, .names = workers_names,
     .help = "Threads that serve; `auto`: one a core."},
    {"ioUring", TG_OPTION_BOOL, TG_OPTION_RESTART, AT(tg_config, io_uring), .fallback = "true",
     .help = "Hands the writes of many connections to the kernel together, where the system lets us ([operations.md](operations.md#io_uring)); false: one by one."},
    {"maxConnections", TG_OPTION_INT, TG_OPTION_RESTART, AT(tg_config, max_connections), .fallback = "0", .max = NO_LIMIT,
     .help = "Of all workers together; 0: what the limit on open files allows."},
    {"registry", TG_OPTION_STRUCT, TG_OPTION_RESTART, AT(tg_config, registry), .schema = &registry_schema,
     .help = "Where connections are known."},
    {"connectionIdSecret", TG_OPTION_STRING, TG_OPTION_SECRET | TG_OPTION_RESTART, AT(tg_config, connection_id_secret), .min = 1,
     .help = "Key of the check value in connection ids, the same on every node; default: made from `accountId`."},
    {"connectionIdSecretFile", TG_OPTION_FILE, TG_OPTION_SECRET | TG_OPTION_RESTART, AT(tg_config, connection_id_secret),
     .help = "File that holds it."},
    {"log", TG_OPTION_STRUCT, AT(tg_config, log), .schema = &log_schema, .help = "The gateway's own log."},
    {"http", TG_OPTION_STRUCT, AT(tg_config, http), .schema = &http_schema, .help = "Limits of HTTP requests."},
    {"backends", TG_OPTION_STRUCT, AT(tg_config, backends), .schema = &backend_schema, .help = "Limits of calls to back ends."},
    {"drain", TG_OPTION_STRUCT, AT(tg_config, drain), .schema = &drain_schema, .help = "How the gateway ends."},
    {"shutdown", TG_OPTION_STRUCT, AT(tg_config, shutdown), .schema = &shutdown_schema, .help = "The former name."},
    {"region", TG_OPTION_STRING, AT(tg_config, model.region), .fallback = "us-east-1", .min = 1, .max = 64,
     .help = "In ARNs, host names and signatures."},
    {"accountId", TG_OPTION_STRING, AT(tg_config, model.account_id), .fallback = "000000000000", .min = 12, .max = 12,
     .help = "Twelve digits, in ARNs and events."},
    {"management", TG_OPTION_STRUCT, AT(tg_config, model.management), .schema = &management_schema, .help = "The management API."},
    {"throttling", TG_OPTION_STRUCT, AT(tg_config, model.throttling), .schema = &throttling_schema, .help = "The account's limits."},
    {"backendTls", TG_OPTION_STRUCT, AT(tg_config, model.backend_tls), .schema = &tg_schema_tls,
     .help = "What holds where a `tlsConfig` says nothing."},
    {"functions", TG_OPTION_STRUCT_MAP, AT(tg_config, model.functions), .schema = &function_schema, .help = "Lambda functions."},
    {"credentials", TG_OPTION_STRUCTS, AT(tg_config, model.credentials), .schema = &credential_schema, .help = "Who may sign requests."},
    {"apis", TG_OPTION_STRUCTS, TG_OPTION_REQUIRED, AT(tg_config, model.apis), .schema = &tg_schema_api, .help = "The APIs served."},
    {"domainNames", TG_OPTION_STRUCTS, AT(tg_config, model.domain_names), .schema = &domain_name_schema, .help = "Custom domains."},
    {"apiMappings", TG_OPTION_STRUCTS, AT(tg_config, model.api_mappings), .schema = &api_mapping_schema,
     .help = "Paths of custom domains, where they do not stand under their domain."},
    {"vpcLinks", TG_OPTION_STRUCTS, AT(tg_config, model.vpc_links), .schema = &vpc_link_schema, .help = "Private integrations of several targets."},
};
const struct tg_schema tg_schema_config = {
    .name = "The file", SCHEMA(tg_config, config_rows), .check = tg_check_config};
