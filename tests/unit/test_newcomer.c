/* The HTTP server behind a proxy: connections before their PROXY header has come. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/un.h>

#include "tests/unit/httpd_world.h"

#define GET    "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define CLIENT "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n"
#define V2     "\r\n\r\n\0\r\nQUIT\n"
#define OWN_V2 V2 "\x20\0\0\0"
/* 2001:db8::7 port 1 to fd00::1 port 80, with an extension */
#define CLIENT_V2                                                                                            \
    V2 "\x21\x21\0\x28\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"                                            \
       "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x50\x01\0\x01h"

struct behind {
    struct tg_network networks[1];
    struct tg_log log;
    int log_fds[2];
};

static void trust(struct world *world, struct behind *behind, const char *range)
{
    assert_int_equal(tg_network_parse(tg_slice_cstr(range), &behind->networks[0]), TG_OK);
    world->listener.trusted = (struct tg_networks){behind->networks, 1};
}

/* Begins anew with a listener as it is set. */
static void start(struct world *world, struct behind *behind, enum tg_proxy_protocol proxy)
{
    assert_int_equal(pipe2(behind->log_fds, O_NONBLOCK | O_CLOEXEC), 0);
    tg_log_init(&behind->log, behind->log_fds[1], TG_LOG_INFO, TG_LOG_TEXT);
    world->options.log = &behind->log;
    trust(world, behind, "127.0.0.0/8");
    world->listener.proxy = proxy;
    world->script = HOLD;
    tg_httpd_free(world->httpd);
    assert_int_equal(tg_httpd_new(&world->options, &world->httpd), TG_OK);
    start_listening(world);
}

/* What has been logged since the last time. */
static const char *logged(const struct behind *behind)
{
    static char text[8192];
    ssize_t got = read(behind->log_fds[0], text, sizeof text - 1);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

static void end(const struct behind *behind)
{
    assert_string_equal(logged(behind), "");
    (void)close(behind->log_fds[0]);
    (void)close(behind->log_fds[1]);
}

static void assert_seen(struct world *world, const char *ip, unsigned port)
{
    WAIT(world, world->count == 1);
    const struct tg_exchange *exchange = world->seen[0].exchange;
    assert_true(tg_slice_eq(exchange->source_ip, tg_slice_cstr(ip)));
    assert_int_equal(exchange->port, port);
    answer(&world->seen[0]);
    world->count = 0;
}

/* No answer, no request, an end. */
static void assert_refused(struct client *client)
{
    while (!client->eof && !client->reset) {
        client_receive(client);
        turn(client->world);
    }
    assert_int_equal(tg_buf_size(&client->in), 0);
    assert_int_equal(client->world->count, 0);
    client_close(client);
}

static void tells_the_clients_address(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client client;
    start(world, &behind, TG_PROXY_ANY);
    const struct {
        struct tg_slice bytes;
        const char *ip;
        unsigned port;
    } rows[] = {
        {TG_LIT_INIT(CLIENT GET), "192.0.2.7", 443},
        {TG_LIT_INIT(CLIENT_V2 GET), "2001:db8::7", 80},
        {TG_LIT_INIT("PROXY TCP6 ::ffff:192.0.2.8 ::1 1 8443\r\n" GET), "192.0.2.8", 8443},
        {TG_LIT_INIT(OWN_V2 GET), "127.0.0.1", world->listener.port},
        {TG_LIT_INIT("PROXY UNKNOWN\r\n" GET), "127.0.0.1", world->listener.port},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        client_open(&client, world);
        client_send_bytes(&client, rows[i].bytes);
        assert_seen(world, rows[i].ip, rows[i].port);
        assert_answer(&client, 200, "GET / ");
        client_send(&client, GET); /* the next request of the same connection */
        assert_seen(world, rows[i].ip, rows[i].port);
        assert_answer(&client, 200, "GET / ");
        client_close(&client);
    }
    end(&behind);
}

static void waits_for_headers_in_pieces(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client client;
    start(world, &behind, TG_PROXY_ANY);
    const struct tg_slice rows[] = {TG_LIT_INIT(CLIENT GET), TG_LIT_INIT(CLIENT_V2 GET)};
    for (size_t i = 0; i < 2; i++) {
        size_t header = rows[i].len - strlen(GET);
        client_open(&client, world);
        WAIT(world, tg_httpd_count(world->httpd) == 1); /* accepted before anything has come */
        for (size_t at = 0; at < header; at++) {
            client_send_bytes(&client, tg_slice_make(rows[i].ptr + at, 1));
            turn(world);
        }
        client_send(&client, GET);
        assert_seen(world, i == 0 ? "192.0.2.7" : "2001:db8::7", i == 0 ? 443 : 80);
        assert_answer(&client, 200, "GET / ");
        client_close(&client);
        WAIT(world, tg_httpd_count(world->httpd) == 0);
        /* The end of the header and what follows it, together. */
        for (size_t cut = 1; cut < header; cut += 5) {
            client_open(&client, world);
            WAIT(world, tg_httpd_count(world->httpd) == 1);
            client_send_bytes(&client, tg_slice_make(rows[i].ptr, cut));
            turn(world);
            client_send_bytes(&client, tg_slice_from(rows[i], cut));
            assert_seen(world, i == 0 ? "192.0.2.7" : "2001:db8::7", i == 0 ? 443 : 80);
            assert_answer(&client, 200, "GET / ");
            client_close(&client);
            WAIT(world, tg_httpd_count(world->httpd) == 0);
        }
    }
    end(&behind);
}

static void does_not_burn_while_it_waits(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client client;
    start(world, &behind, TG_PROXY_ANY);
    client_open(&client, world);
    client_send(&client, "PROXY TCP4 192");
    WAIT(world, tg_httpd_count(world->httpd) == 1);
    for (int i = 0; i < 5; i++) {
        turn(world);
    }
    /* Half a header has been read, so a pass of the loop has nothing to do but to wait for its timer. */
    tg_timer_start(world->loop, &world->nudge, 40);
    uint64_t begun = tg_loop_now_ns();
    tg_loop_run_once(world->loop);
    assert_true(tg_loop_now_ns() - begun > 20000000);
    tg_timer_stop(&world->nudge);
    client_close(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    assert_int_equal(COUNTED(world, proxy_malformed), 1);
    assert_non_null(strstr(logged(&behind), "the connection ended within the PROXY header"));
    end(&behind);
}

static void refuses_wrong_headers(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client client;
    start(world, &behind, TG_PROXY_V2);
    static const struct tg_slice rows[] = {
        TG_LIT_INIT(GET),
        TG_LIT_INIT(CLIENT GET),
        TG_LIT_INIT("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 and a TLS hello"),
        TG_LIT_INIT(V2 "\x21\x11\xff\xff"),
        TG_LIT_INIT(V2 "\x21\x11\0\x04"
                       "abcd" GET),
    };
    enum { COUNT = sizeof rows / sizeof rows[0] };
    for (size_t i = 0; i < COUNT; i++) {
        client_open(&client, world);
        client_send_bytes(&client, rows[i]);
        assert_refused(&client);
        assert_int_equal(COUNTED(world, proxy_malformed), i + 1);
    }
    /* A line a second, with what went untold before. */
    const char *text = logged(&behind);
    assert_non_null(strstr(text, "connection refused by its PROXY header"));
    assert_non_null(strstr(text, "peer=127.0.0.1"));
    assert_non_null(strstr(text, "no PROXY header"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    uint64_t start_ms = tg_loop_now_ms(world->loop);
    WAIT(world, tg_loop_now_ms(world->loop) >= start_ms + 1000);
    client_open(&client, world);
    client_send(&client, CLIENT);
    assert_refused(&client);
    text = logged(&behind);
    assert_non_null(strstr(text, "a header of version 1, where version 2 is demanded"));
    assert_non_null(strstr(text, "moreBefore=4"));
    end(&behind);
}

static void refuses_peers_that_are_not_trusted(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client client;
    start(world, &behind, TG_PROXY_ANY);
    trust(world, &behind, "10.0.0.0/8");
    client_open(&client, world);
    client_send(&client, CLIENT GET);
    assert_refused(&client);
    assert_int_equal(COUNTED(world, proxy_untrusted), 1);
    assert_non_null(strstr(logged(&behind), "the peer is not in trustedProxies"));
    /* A reload that trusts it. The port stays. */
    trust(world, &behind, "127.0.0.1");
    struct tg_httpd_listener_options next = world->listener;
    next.port = 1;
    tg_httpd_configure_listener(world->httpd, 1, &(struct tg_httpd_listener_options){0}); /* none such */
    tg_httpd_configure_listener(world->httpd, 0, &next);
    client_open(&client, world);
    client_send(&client, "PROXY UNKNOWN\r\n" GET);
    assert_seen(world, "127.0.0.1", world->listener.port);
    client_close(&client);
    assert_int_equal(COUNTED(world, proxy_untrusted), 1);
    end(&behind);
}

static void is_quiet_about_health_checks(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client client;
    start(world, &behind, TG_PROXY_V2);
    for (int way = 0; way < 4; way++) {
        client_open(&client, world);
        if (way < 2) {
            WAIT(world, tg_httpd_count(world->httpd) == 1);
        }
        if (way % 2 == 0) {
            client_close(&client);
        } else {
            client_reset(&client);
        }
        WAIT(world, COUNTED(world, accepted) == way + 1 && tg_httpd_count(world->httpd) == 0);
    }
    client_open(&client, world);
    client_send_bytes(&client, TG_LIT(OWN_V2));
    WAIT(world, COUNTED(world, accepted) == 5 && tg_httpd_count(world->httpd) == 1);
    client_close(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    assert_int_equal(COUNTED(world, proxy_malformed), 0);
    assert_int_equal(COUNTED(world, proxy_timed_out), 0);
    assert_int_equal(COUNTED(world, malformed), 0);
    end(&behind);
}

static void ends_slow_headers(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client client;
    world->options.limits.header_timeout_ms = 30;
    start(world, &behind, TG_PROXY_ANY);
    client_open(&client, world);
    assert_refused(&client);
    assert_non_null(strstr(logged(&behind), "no PROXY header came in time"));
    /* Bytes that trickle in do not make it longer. */
    client_open(&client, world);
    uint64_t begun = tg_loop_now_ms(world->loop);
    while (!client.eof && !client.reset) {
        (void)client_try_send(&client, tg_slice_cstr(tg_loop_now_ms(world->loop) == begun ? "PROXY " : "U"));
        client_receive(&client);
        turn(world);
        assert_true(tg_loop_now_ms(world->loop) < begun + 10000);
    }
    assert_refused(&client);
    assert_int_equal(COUNTED(world, proxy_timed_out) + COUNTED(world, proxy_malformed), 2);
    assert_int_equal(COUNTED(world, timed_out), 0);
    (void)logged(&behind);
    end(&behind);
}

static void counts_newcomers_as_connections(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client first, second;
    world->options.limits.max_connections = 1;
    start(world, &behind, TG_PROXY_ANY);
    client_open(&first, world);
    client_send(&first, "PROXY");
    WAIT(world, COUNTED(world, open) == 1);
    client_open(&second, world);
    assert_refused(&second);
    assert_int_equal(COUNTED(world, refused), 1);
    client_send(&first, " UNKNOWN\r\n" GET); /* makes a connection of it, within the limit */
    assert_seen(world, "127.0.0.1", world->listener.port);
    assert_int_equal(COUNTED(world, open), 1);
    client_close(&first);
    WAIT(world, COUNTED(world, open) == 0);
    end(&behind);
}

static void closes_newcomers_when_it_drains(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client clients[3];
    start(world, &behind, TG_PROXY_ANY);
    for (size_t i = 0; i < 3; i++) {
        client_open(&clients[i], world);
        client_send(&clients[i], i == 1 ? "PROXY TCP4" : i == 2 ? "PROXY UNKNOWN\r\n" GET : "");
    }
    WAIT(world, COUNTED(world, open) == 3 && world->count == 1);
    tg_httpd_drain(world->httpd);
    assert_int_equal(COUNTED(world, open), 1);
    assert_seen(world, "127.0.0.1", world->listener.port);
    assert_answer(&clients[2], 200, "GET / ");
    client_close(&clients[2]);
    assert_refused(&clients[0]);
    assert_refused(&clients[1]);
    WAIT(world, COUNTED(world, open) == 0);
    end(&behind);
}

static void is_freed_with_newcomers(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client client;
    start(world, &behind, TG_PROXY_ANY);
    client_open(&client, world);
    client_send(&client, "PROXY TCP4");
    WAIT(world, COUNTED(world, open) == 1);
    tg_httpd_free(world->httpd);
    assert_int_equal(tg_httpd_new(&world->options, &world->httpd), TG_OK);
    assert_refused(&client);
    end(&behind);
}

/* Who may open the socket is trusted, and has no address of its own. */
static void takes_headers_on_unix_sockets(void **state)
{
    struct world *world = *state;
    struct behind behind;
    struct client client;
    char path[64];
    start(world, &behind, TG_PROXY_V2);
    (void)snprintf(path, sizeof path, "unix:/tmp/tidegate.newcomer.%d", (int)getpid());
    assert_int_equal(tg_address_parse(tg_slice_cstr(path), &world->address), TG_OK);
    (void)unlink(path + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&world->address.storage, world->address.len), 0);
    assert_int_equal(listen(fd, 8), 0);
    const struct tg_httpd_listener_options options = {.proxy = TG_PROXY_V2};
    assert_int_equal(tg_httpd_listen(world->httpd, fd, &options), TG_OK);
    for (int own = 0; own < 2; own++) {
        client_open(&client, world);
        if (own) {
            client_send_bytes(&client, TG_LIT(OWN_V2 GET));
        } else {
            client_send_bytes(&client, TG_LIT(V2)); /* in pieces */
            WAIT(world, COUNTED(world, open) == 1);
            client_send_bytes(&client, tg_slice_from(TG_LIT(CLIENT_V2 GET), sizeof V2 - 1));
        }
        assert_seen(world, own ? "unix" : "2001:db8::7", own ? 0 : 80);
        client_close(&client);
        WAIT(world, COUNTED(world, open) == 0);
    }
    (void)unlink(path + 5);
    end(&behind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTPD_TEST(tells_the_clients_address),
        HTTPD_TEST(waits_for_headers_in_pieces),
        HTTPD_TEST(does_not_burn_while_it_waits),
        HTTPD_TEST(refuses_wrong_headers),
        HTTPD_TEST(refuses_peers_that_are_not_trusted),
        HTTPD_TEST(is_quiet_about_health_checks),
        HTTPD_TEST(ends_slow_headers),
        HTTPD_TEST(counts_newcomers_as_connections),
        HTTPD_TEST(closes_newcomers_when_it_drains),
        HTTPD_TEST(is_freed_with_newcomers),
        HTTPD_TEST(takes_headers_on_unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
