#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "server/io/transport.h"
#include "tests/unit/tls_server.h"

enum { CERTIFICATES_MAX = 4 };

/* A certificate and its key in files. */
struct pair {
    char certificate[64], key[64];
    X509 *x509;
    EVP_PKEY *pkey;
};

/* An OpenSSL client on a thread of its own: says "hi", reads the answer, closes. */
struct client {
    int fd;
    pthread_t thread;
    /* given */
    const char *host, *text, *signatures;
    int version; /* 0: any */
    const char *protocols;
    size_t protocols_len;
    const struct pair *shows;
    bool asks_ocsp;
    SSL_SESSION *session; /* to resume; then the last one that the server gave */
    /* found */
    bool done, resumed;
    int spoke; /* version */
    char subject[64], protocol[16], said[512];
    size_t ocsp_len;
};

struct scene {
    struct tg_loop *loop;
    struct authority ours, foreign;
    struct pair pairs[CERTIFICATES_MAX];
    struct tg_tls_certificate files[CERTIFICATES_MAX];
    struct tg_tls_server_options options;
    struct tg_tls_fault fault;
    struct tg_tls_context *context;
    struct tg_transport *transport;
    struct client client;
    SSL_SESSION *session;
    int opened;
    enum tg_err open_err;
    bool resumed, ended;
    struct tg_peer_certificate *peer;
    enum tg_err peer_err;
    char failure[128];
};

/* ---- files ---- */

static FILE *new_file(char *path)
{
    snprintf(path, sizeof((struct pair *)0)->key, "/tmp/tg-test-tls-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    return file;
}

static void make_pair(struct scene *scene, size_t index, EVP_PKEY *key, const char *subject,
                      const char *names)
{
    struct pair *pair = &scene->pairs[index];
    assert_non_null(key);
    pair->pkey = key;
    pair->x509 = make_certificate(key, subject, names, scene->ours.certificate, scene->ours.key);
    FILE *file = new_file(pair->certificate);
    assert_int_equal(PEM_write_X509(file, pair->x509), 1);
    fclose(file);
    file = new_file(pair->key);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    scene->files[index] =
        (struct tg_tls_certificate){.certificate = pair->certificate, .private_key = pair->key};
    scene->options.certificate_count = index + 1;
}

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    if (scene == NULL || tg_loop_new(&scene->loop) != TG_OK) {
        free(scene);
        return -1;
    }
    make_authority(&scene->ours, "ours");
    make_authority(&scene->foreign, "foreign");
    scene->options.certificates = scene->files;
    make_pair(scene, 0, EVP_EC_gen("P-256"), "first", "DNS:first.test");
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    tg_transport_close(scene->transport);
    tg_tls_context_free(scene->context);
    tg_loop_free(scene->loop);
    for (size_t i = 0; i < CERTIFICATES_MAX; i++) {
        X509_free(scene->pairs[i].x509);
        EVP_PKEY_free(scene->pairs[i].pkey);
        (void)unlink(scene->pairs[i].certificate);
        (void)unlink(scene->pairs[i].key);
    }
    SSL_SESSION_free(scene->session);
    free(scene->peer);
    free_authority(&scene->ours);
    free_authority(&scene->foreign);
    free(scene);
    return 0;
}

/* ---- the client ---- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct client *client = SSL_get_app_data(ssl);
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

static void note(struct client *client, SSL *ssl)
{
    const unsigned char *bytes;
    unsigned len;
    X509 *shown = SSL_get1_peer_certificate(ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, client->subject,
                              sizeof client->subject);
    X509_free(shown);
    client->done = true;
    client->resumed = SSL_session_reused(ssl) == 1;
    client->spoke = SSL_version(ssl);
    SSL_get0_alpn_selected(ssl, &bytes, &len);
    snprintf(client->protocol, sizeof client->protocol, "%.*s", (int)len, (const char *)bytes);
    long ocsp = SSL_get_tlsext_status_ocsp_resp(ssl, &bytes);
    client->ocsp_len = ocsp > 0 ? (size_t)ocsp : 0;
}

static void speak_tls(struct client *client)
{
    char answer[16];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    if (client->version != 0) {
        SSL_CTX_set_security_level(context, 0);
        SSL_CTX_set_min_proto_version(context, client->version);
        SSL_CTX_set_max_proto_version(context, client->version);
    }
    if (client->shows != NULL) {
        SSL_CTX_use_certificate_file(context, client->shows->certificate, SSL_FILETYPE_PEM);
        SSL_CTX_use_PrivateKey_file(context, client->shows->key, SSL_FILETYPE_PEM);
    }
    if (client->signatures != NULL) {
        SSL_CTX_set1_sigalgs_list(context, client->signatures);
    }
    SSL *ssl = SSL_new(context);
    SSL_set_app_data(ssl, client);
    SSL_set_fd(ssl, client->fd);
    if (client->host != NULL) {
        SSL_set_tlsext_host_name(ssl, client->host);
    }
    if (client->protocols != NULL) {
        SSL_set_alpn_protos(ssl, (const unsigned char *)client->protocols, (unsigned)client->protocols_len);
    }
    if (client->session != NULL) {
        SSL_set_session(ssl, client->session);
    }
    SSL_set_tlsext_status_type(ssl, client->asks_ocsp ? TLSEXT_STATUSTYPE_ocsp : -1);
    if (SSL_connect(ssl) == 1 && SSL_write(ssl, "hi", 2) == 2 && SSL_read(ssl, answer, sizeof answer) == 2) {
        note(client, ssl);
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
}

static void speak_text(struct client *client)
{
    size_t len = strlen(client->text), got = 0;
    ssize_t more;
    (void)!send(client->fd, client->text, len, MSG_NOSIGNAL);
    while (got < sizeof client->said - 1 &&
           (more = read(client->fd, client->said + got, sizeof client->said - 1 - got)) > 0) {
        got += (size_t)more;
    }
}

static void *run_client(void *arg)
{
    struct client *client = arg;
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
    if (client->text != NULL) {
        speak_text(client);
    } else {
        speak_tls(client);
    }
    close(client->fd);
    ERR_clear_error();
    return NULL;
}

/* ---- the server ---- */

static void end(struct scene *scene)
{
    scene->ended = true;
    tg_transport_close(scene->transport);
    scene->transport = NULL;
}

static void on_open(void *arg, enum tg_err err)
{
    struct scene *scene = arg;
    scene->opened++;
    scene->open_err = err;
    snprintf(scene->failure, sizeof scene->failure, "%s", tg_transport_failure(scene->transport));
    if (err != TG_OK) {
        end(scene);
        return;
    }
    scene->resumed = tg_transport_resumed(scene->transport);
    free(scene->peer);
    scene->peer = NULL;
    scene->peer_err = tg_transport_peer(scene->transport, &scene->peer);
    tg_transport_want(scene->transport, true, false);
}

static void on_readable(void *arg)
{
    struct scene *scene = arg;
    char space[16];
    size_t len;
    enum tg_err err = tg_transport_read(scene->transport, space, sizeof space, &len);
    if (err == TG_OK) {
        assert_true(tg_slice_eq(tg_slice_make(space, len), TG_LIT("hi")));
        assert_int_equal(tg_transport_write(scene->transport, TG_LIT("ho"), &len), TG_OK);
    } else if (err != TG_EAGAIN) {
        end(scene);
    }
}

static void on_writable(void *arg)
{
    (void)arg;
}

static const struct tg_transport_events scene_events = {on_open, on_readable, on_writable};

static void start(struct scene *scene)
{
    int ends[2];
    scene->opened = 0;
    scene->ended = false;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    scene->client.fd = ends[1];
    assert_int_equal(
        tg_transport_accept(scene->loop, ends[0], scene->context, &scene_events, scene, &scene->transport),
        TG_OK);
    assert_int_equal(scene->opened, 0);
}

static void serve_options(struct scene *scene)
{
    tg_tls_context_free(scene->context);
    scene->context = NULL;
    assert_int_equal(tg_tls_server_new(&scene->options, &scene->fault, &scene->context), TG_OK);
}

/* One client from its connect to its end. */
static enum tg_err meet(struct scene *scene, const struct client *given)
{
    if (scene->context == NULL) {
        serve_options(scene);
    }
    scene->client = *given;
    start(scene);
    scene->client.session = scene->session;
    assert_int_equal(pthread_create(&scene->client.thread, NULL, run_client, &scene->client), 0);
    while (!scene->ended) {
        tg_loop_run_once(scene->loop);
    }
    pthread_join(scene->client.thread, NULL);
    scene->session = scene->client.session;
    assert_int_equal(scene->opened, 1);
    assert_int_equal(scene->client.done, scene->open_err == TG_OK);
    return scene->open_err;
}

static void forget_session(struct scene *scene)
{
    SSL_SESSION_free(scene->session);
    scene->session = NULL;
}

/* ---- certificates by name ---- */

static void test_names(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *host, *subject;
    } rows[] = {
        {NULL, "first"},
        {"first.test", "first"},
        {"First.TEST", "first"},
        {"other.test", "first"},
        {"x.wild.test", "wild"},
        {"x.wild.test.", "wild"},
        {"exact.wild.test", "exact"},
        {"EXACT.wild.test", "exact"},
        {"a.b.wild.test", "first"},
        {"wild.test", "first"},
        {".wild.test", "first"},
        {"second.test", "wild"},
    };
    make_pair(scene, 1, EVP_EC_gen("P-256"), "wild", "DNS:*.wild.test,DNS:second.test");
    make_pair(scene, 2, EVP_EC_gen("P-256"), "exact", "IP:127.0.0.1,DNS:exact.wild.test");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(meet(scene, &(struct client){.host = rows[i].host}), TG_OK);
        assert_string_equal(scene->client.subject, rows[i].subject);
        forget_session(scene);
    }
}

/* Two certificates for one host: the client's signature algorithms decide. What one host has is no other's.
 */
static void test_types_of_keys(void **state)
{
    struct scene *scene = *state;
    static const char rsa[] = "rsa_pss_rsae_sha256", ecdsa[] = "ecdsa_secp256r1_sha256";
    make_pair(scene, 1, EVP_RSA_gen(2048), "other rsa", "DNS:other.test");
    make_pair(scene, 2, EVP_RSA_gen(2048), "first rsa", "DNS:first.test");
    const struct {
        const char *host, *signatures, *subject;
    } rows[] = {
        {"first.test", ecdsa, "first"}, {"first.test", rsa, "first rsa"}, {NULL, ecdsa, "first"},
        {NULL, rsa, "first rsa"},       {"other.test", rsa, "other rsa"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct client client = {.host = rows[i].host, .signatures = rows[i].signatures};
        assert_int_equal(meet(scene, &client), TG_OK);
        assert_string_equal(scene->client.subject, rows[i].subject);
        forget_session(scene);
    }
    assert_int_equal(meet(scene, &(struct client){.host = "other.test", .signatures = ecdsa}), TG_ETLS);
}

/* ---- protocol ---- */

static void test_versions(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(meet(scene, &(struct client){.version = TLS1_1_VERSION}), TG_ETLS);
    assert_string_equal(scene->failure, "unsupported protocol");
    assert_int_equal(meet(scene, &(struct client){.version = TLS1_2_VERSION}), TG_OK);
    assert_int_equal(scene->client.spoke, TLS1_2_VERSION);
    forget_session(scene);
    assert_int_equal(meet(scene, &(struct client){0}), TG_OK);
    assert_int_equal(scene->client.spoke, TLS1_3_VERSION);
    forget_session(scene);
    scene->options.tls13_only = true;
    serve_options(scene);
    assert_int_equal(meet(scene, &(struct client){.version = TLS1_2_VERSION}), TG_ETLS);
    assert_int_equal(meet(scene, &(struct client){.version = TLS1_3_VERSION}), TG_OK);
}

static void test_application_protocols(void **state)
{
    struct scene *scene = *state;
    static const char both[] = "\x02h2\x08http/1.1", other[] = "\x02h2";
    assert_int_equal(meet(scene, &(struct client){0}), TG_OK);
    assert_string_equal(scene->client.protocol, "");
    assert_int_equal(scene->peer_err, TG_ENOTFOUND);
    assert_int_equal(meet(scene, &(struct client){.protocols = both, .protocols_len = sizeof both - 1}),
                     TG_OK);
    assert_string_equal(scene->client.protocol, "http/1.1");
    assert_int_equal(meet(scene, &(struct client){.protocols = other, .protocols_len = sizeof other - 1}),
                     TG_ETLS);
    assert_string_equal(scene->failure, "no application protocol");
}

static void test_plain_text(void **state)
{
    struct scene *scene = *state;
    static const char *const requests[] = {"GET / HTTP/1.1\r\nHost: first.test\r\n\r\n",
                                           "DELETE /x HTTP/1.1\r\n\r\n",
                                           "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"};
    scene->options.plain_answer = TG_LIT("TLS, please");
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        assert_int_equal(meet(scene, &(struct client){.text = requests[i]}), TG_ETLS);
        assert_string_equal(scene->failure, "plain text instead of TLS");
        assert_string_equal(scene->client.said, "TLS, please");
    }
    scene->options.plain_answer = TG_EMPTY;
    serve_options(scene);
    assert_int_equal(meet(scene, &(struct client){.text = requests[0]}), TG_ETLS);
    assert_string_equal(scene->client.said, "");
}

static void test_noise(void **state)
{
    struct scene *scene = *state;
    scene->options.plain_answer = TG_LIT("TLS, please");
    assert_int_equal(meet(scene, &(struct client){.text = "\x01\x02 noise"}), TG_ETLS);
    assert_true(strstr(scene->client.said, "please") == NULL);
    assert_true(strlen(scene->failure) > 0);
}

/* The client goes away half-way; the owner gives one up that does not move. */
static void test_unfinished(void **state)
{
    struct scene *scene = *state;
    serve_options(scene);
    start(scene);
    assert_int_equal(send(scene->client.fd, "\x16\x03\x01\x02", 4, 0), 4);
    tg_loop_run_once(scene->loop);
    assert_int_equal(scene->opened, 0);
    close(scene->client.fd);
    while (!scene->ended) {
        tg_loop_run_once(scene->loop);
    }
    assert_int_equal(scene->open_err, TG_ETLS);
    assert_string_equal(scene->failure, "the peer went away");
    start(scene);
    tg_transport_want(scene->transport, true, false);
    tg_transport_close(scene->transport);
    scene->transport = NULL;
    char byte;
    assert_int_equal(read(scene->client.fd, &byte, 1), 0);
    close(scene->client.fd);
    assert_int_equal(scene->opened, 0);
}

/* ---- sessions ---- */

/* Whether a session of the context as it is can be resumed, after `change`. */
static bool resumes(struct scene *scene, int version, void (*change)(struct scene *scene))
{
    forget_session(scene);
    serve_options(scene);
    const struct client client = {.version = version, .host = "first.test"};
    assert_int_equal(meet(scene, &client), TG_OK);
    assert_false(scene->resumed);
    assert_non_null(scene->session);
    if (change != NULL) {
        change(scene);
        serve_options(scene);
    }
    assert_int_equal(meet(scene, &client), TG_OK);
    assert_int_equal(scene->resumed, scene->client.resumed);
    if (scene->resumed) { /* and so with what the server gave for the next time */
        assert_int_equal(meet(scene, &client), TG_OK);
        assert_true(scene->resumed);
    }
    return scene->resumed;
}

static void change_nothing(struct scene *scene)
{
    (void)scene;
}

static void change_certificate(struct scene *scene)
{
    scene->files[0] = scene->files[1];
}

static void change_secret(struct scene *scene)
{
    scene->options.ticket_secret = TG_LIT("another");
}

static void change_authority(struct scene *scene)
{
    scene->options.client_ca = scene->ours.file;
}

static void test_resumption(void **state)
{
    struct scene *scene = *state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    make_pair(scene, 1, EVP_EC_gen("P-256"), "next", "DNS:first.test");
    scene->options.certificate_count = 1;
    for (size_t i = 0; i < 2; i++) {
        struct tg_tls_certificate first = scene->files[0];
        scene->options.ticket_secret = TG_EMPTY;
        assert_true(resumes(scene, versions[i], NULL));
        assert_false(resumes(scene, versions[i], change_nothing)); /* a random secret each */
        scene->options.ticket_secret = TG_LIT("a secret that two nodes share");
        assert_true(resumes(scene, versions[i], change_nothing));
        assert_true(resumes(scene, versions[i], change_certificate));
        scene->files[0] = first;
        assert_false(resumes(scene, versions[i], change_secret));
        scene->options.no_tickets = true;
        assert_true(resumes(scene, versions[i], NULL));
        assert_false(resumes(scene, versions[i], change_nothing));
        scene->options.no_tickets = false;
    }
}

/* A session of a listener that asks for nothing opens none that asks for a certificate. */
static void test_resumption_and_client_certificates(void **state)
{
    struct scene *scene = *state;
    scene->options.ticket_secret = TG_LIT("shared");
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        const struct client client = {.version = version, .host = "first.test"};
        scene->options.client_ca = NULL;
        forget_session(scene);
        serve_options(scene);
        assert_int_equal(meet(scene, &client), TG_OK);
        assert_int_equal(meet(scene, &client), TG_OK);
        assert_true(scene->resumed);
        change_authority(scene);
        serve_options(scene);
        assert_int_equal(meet(scene, &client), TG_ETLS);
    }
}

/* ---- certificates of clients ---- */

static void check_peer(struct scene *scene)
{
    const struct tg_peer_certificate *peer = scene->peer;
    assert_int_equal(scene->peer_err, TG_OK);
    assert_true(tg_slice_eq(peer->subject_dn, TG_LIT("CN=a client")));
    assert_true(tg_slice_eq(peer->issuer_dn, TG_LIT("CN=ours")));
    assert_true(tg_slice_eq(peer->serial_number, TG_LIT("02")));
    assert_true(tg_slice_starts(peer->pem, TG_LIT("-----BEGIN CERTIFICATE-----\n")));
    assert_true(tg_slice_ends(peer->pem, TG_LIT("-----END CERTIFICATE-----\n")));
    assert_true(tg_slice_ends(peer->not_before, TG_LIT(" GMT")) && peer->not_before.len == 24);
    assert_true(tg_slice_ends(peer->not_after, TG_LIT(" GMT")) && peer->not_after.len == 24);
}

static void test_client_certificates(void **state)
{
    struct scene *scene = *state;
    make_pair(scene, 1, EVP_EC_gen("P-256"), "a client", "DNS:client.test");
    scene->options.certificate_count = 1;
    struct pair theirs = scene->pairs[1];
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct client client = {.version = version, .shows = &theirs};
        scene->options.client_ca = scene->ours.file;
        serve_options(scene);
        assert_int_equal(meet(scene, &client), TG_OK);
        check_peer(scene);
        assert_int_equal(meet(scene, &client), TG_OK);
        assert_false(scene->resumed); /* or nobody would look at the certificate any more */
        check_peer(scene);
        forget_session(scene);
        client.shows = NULL;
        assert_int_equal(meet(scene, &client), TG_ETLS);
        assert_string_equal(scene->failure, "peer did not return a certificate");
        client.shows = &theirs;
        scene->options.client_ca = scene->foreign.file;
        serve_options(scene);
        assert_int_equal(meet(scene, &client), TG_ETLS);
        assert_string_equal(scene->failure, "unable to get local issuer certificate");
    }
}

/* ---- OCSP ---- */

static void write_response(struct scene *scene, char *path, long lasts_s)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, scene->pairs[0].x509, scene->ours.certificate);
    ASN1_TIME *from = X509_gmtime_adj(NULL, -3600), *until = X509_gmtime_adj(NULL, lasts_s);
    assert_non_null(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, until));
    assert_int_equal(OCSP_basic_sign(basic, scene->ours.certificate, scene->ours.key, EVP_sha256(), NULL, 0),
                     1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *bytes = NULL;
    int len = i2d_OCSP_RESPONSE(response, &bytes);
    FILE *file = new_file(path);
    assert_int_equal(fwrite(bytes, 1, (size_t)len, file), len);
    fclose(file);
    OPENSSL_free(bytes);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
}

static void test_stapling(void **state)
{
    struct scene *scene = *state;
    char path[64];
    struct stat file;
    write_response(scene, path, 3600);
    scene->files[0].ocsp_response = path;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        serve_options(scene);
        assert_int_equal(stat(path, &file), 0);
        assert_int_equal(meet(scene, &(struct client){.version = version, .asks_ocsp = true}), TG_OK);
        assert_int_equal(scene->client.ocsp_len, file.st_size);
        forget_session(scene);
        assert_int_equal(meet(scene, &(struct client){.version = version}), TG_OK);
        assert_int_equal(scene->client.ocsp_len, 0);
        forget_session(scene);
    }
    unlink(path);
    write_response(scene, path, -60); /* stale: better none */
    serve_options(scene);
    assert_true(tg_tls_certificate_info(scene->context, 0)->ocsp_until_s < time(NULL));
    assert_int_equal(meet(scene, &(struct client){.asks_ocsp = true}), TG_OK);
    assert_int_equal(scene->client.ocsp_len, 0);
    unlink(path);
}

/* ---- what is wrong with the options ---- */

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_faults(void **state)
{
    struct scene *scene = *state;
    char broken[64], locked[64];
    fclose(new_file(broken));
    write_text(broken, "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n");
    FILE *file = new_file(locked);
    assert_int_equal(
        PEM_write_PrivateKey(file, scene->pairs[0].pkey, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)"pw"), 1);
    fclose(file);
    make_pair(scene, 1, EVP_EC_gen("P-256"), "second", "DNS:second.test");
    make_pair(scene, 2, EVP_RSA_gen(1024), "weak", "DNS:weak.test");
    const char *certificate = scene->pairs[1].certificate, *key = scene->pairs[1].key;
    static const char nowhere[] = "/nonexistent/file.pem";
    const struct {
        struct tg_tls_certificate second;
        const char *client_ca, *ciphers, *ciphersuites, *member, *says;
        enum tg_err err;
    } rows[] = {
        {{nowhere, key, NULL}, NULL, NULL, NULL, "certificate", nowhere, TG_ENOTFOUND},
        {{"/", key, NULL}, NULL, NULL, NULL, "certificate", "cannot be read", TG_EIO},
        {{broken, key, NULL}, NULL, NULL, NULL, "certificate", "no certificate in PEM", TG_EINVAL},
        {{key, key, NULL}, NULL, NULL, NULL, "certificate", "no certificate in PEM", TG_EINVAL},
        {{certificate, nowhere, NULL}, NULL, NULL, NULL, "privateKey", nowhere, TG_ENOTFOUND},
        {{certificate, broken, NULL}, NULL, NULL, NULL, "privateKey", "no private key", TG_EINVAL},
        {{certificate, locked, NULL}, NULL, NULL, NULL, "privateKey", "passphrase", TG_EINVAL},
        {{certificate, scene->pairs[0].key, NULL},
         NULL,
         NULL,
         NULL,
         "privateKey",
         "is not the key",
         TG_EINVAL},
        {{certificate, key, nowhere}, NULL, NULL, NULL, "ocspResponse", nowhere, TG_ENOTFOUND},
        {{certificate, key, broken}, NULL, NULL, NULL, "ocspResponse", "OCSP", TG_EINVAL},
        {{scene->pairs[2].certificate, scene->pairs[2].key, NULL},
         NULL,
         NULL,
         NULL,
         "certificate",
         "too small",
         TG_EINVAL},
        {{certificate, key, NULL}, nowhere, NULL, NULL, "clientCa", nowhere, TG_ENOTFOUND},
        {{certificate, key, NULL}, broken, NULL, NULL, "clientCa", "no certificates in PEM", TG_EINVAL},
        {{certificate, key, NULL}, key, NULL, NULL, "clientCa", "no certificates in PEM", TG_EINVAL},
        {{certificate, key, NULL}, NULL, "ROT13", NULL, "ciphers", "ROT13", TG_EINVAL},
        {{certificate, key, NULL}, NULL, NULL, "ROT13", "ciphersuites", "ROT13", TG_EINVAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_tls_certificate files[] = {scene->files[0], rows[i].second};
        const struct tg_tls_server_options options = {.certificates = files,
                                                      .certificate_count = 2,
                                                      .client_ca = rows[i].client_ca,
                                                      .ciphers = rows[i].ciphers,
                                                      .ciphersuites = rows[i].ciphersuites};
        assert_int_equal(tg_tls_server_new(&options, &scene->fault, &scene->context), rows[i].err);
        assert_null(scene->context);
        assert_string_equal(scene->fault.member, rows[i].member);
        assert_non_null(strstr(scene->fault.text, rows[i].says));
        bool of_one = strncmp(rows[i].member, "ci", 2) != 0 && strncmp(rows[i].member, "cl", 2) != 0;
        assert_true(scene->fault.certificate == (of_one ? 1 : SIZE_MAX));
    }
    scene->options.certificate_count = 0;
    assert_int_equal(tg_tls_server_new(&scene->options, &scene->fault, &scene->context), TG_EINVAL);
    assert_string_equal(scene->fault.member, "certificates");
    unlink(broken);
    unlink(locked);
}

static void test_info(void **state)
{
    struct scene *scene = *state;
    make_pair(scene, 1, EVP_EC_gen("P-256"), "address", "IP:127.0.0.1");
    assert_int_equal(chmod(scene->pairs[1].key, 0644), 0);
    serve_options(scene);
    int64_t now = (int64_t)time(NULL);
    const struct tg_tls_certificate_info *info = tg_tls_certificate_info(scene->context, 0);
    assert_int_equal(tg_tls_certificate_count(scene->context), 2);
    assert_true(tg_slice_eq(info->name, TG_LIT("first.test")));
    assert_in_range(info->not_after_s - now, 3500, 3600);
    assert_in_range(now - info->not_before_s, 3600, 3700);
    assert_int_equal(info->ocsp_until_s, 0);
    assert_false(info->key_is_public);
    info = tg_tls_certificate_info(scene->context, 1);
    assert_int_equal(info->name.len, 0);
    assert_true(info->key_is_public);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_types_of_keys),
        TEST(test_versions),
        TEST(test_application_protocols),
        TEST(test_plain_text),
        TEST(test_noise),
        TEST(test_unfinished),
        TEST(test_resumption),
        TEST(test_resumption_and_client_certificates),
        TEST(test_client_certificates),
        TEST(test_stapling),
        TEST(test_faults),
        TEST(test_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
