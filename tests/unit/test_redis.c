/* The Redis client against a real redis-server: commands and their order, logins, subscriptions, and every
 * way in which a server can go away. */
#include "tests/unit/redis_server.h"
#include "tests/unit/tls_server.h"

#include "server/io/redis.h"

enum { SHORT_MS = 100, LOOPS = 100000 };

/* What came back, in order. */
struct log_of {
    size_t count;
    enum tg_err err[64];
    char text[64][80];
};

struct world {
    struct redis_server server;
    struct tg_loop *loop;
    struct tg_resolver *resolver;
    struct tg_arena arena;
    struct tg_redis_url url;
    struct tg_redis_counters counters;
    struct tg_redis *redis;
    struct log_of replies;
    int ups, downs, messages;
    char denied[80]; /* the last reason */
    char channel[64], payload[64];
    uint64_t command_timeout_ms;
    size_t max_pending, max_unsent;
    struct tg_tls_context *tls;
};

static void copy(char *out, size_t cap, struct tg_slice text)
{
    snprintf(out, cap, "%.*s", TG_FMT(text));
}

static void on_up(void *arg)
{
    ((struct world *)arg)->ups++;
}

static void on_down(void *arg)
{
    ((struct world *)arg)->downs++;
}

static void on_message(void *arg, struct tg_slice channel, struct tg_slice payload)
{
    struct world *world = arg;
    world->messages++;
    copy(world->channel, sizeof world->channel, channel);
    copy(world->payload, sizeof world->payload, payload);
}

static void on_denied(void *arg, struct tg_slice reason)
{
    copy(((struct world *)arg)->denied, sizeof((struct world *)arg)->denied, reason);
}

static const struct tg_redis_events command_events = {
    .on_up = on_up, .on_down = on_down, .on_denied = on_denied};
static const struct tg_redis_events listen_events = {
    .on_up = on_up, .on_down = on_down, .on_message = on_message};

static void note(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct world *world = arg;
    size_t at = world->replies.count++;
    assert_true(at < 64);
    world->replies.err[at] = err;
    if (reply == NULL) {
        return;
    }
    if (tg_redis_reply_type(reply) == TG_REDIS_INTEGER) {
        snprintf(world->replies.text[at], 80, "%lld", (long long)tg_redis_reply_integer(reply));
    } else if (tg_redis_reply_type(reply) == TG_REDIS_ARRAY) {
        snprintf(world->replies.text[at], 80, "array of %zu", tg_redis_reply_count(reply));
    } else if (tg_redis_reply_type(reply) == TG_REDIS_NIL) {
        snprintf(world->replies.text[at], 80, "nil");
    } else {
        copy(world->replies.text[at], 80, tg_redis_reply_text(reply));
    }
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    const struct tg_resolver_options options = {.ttl_ms = 1000, .max_entries = 8};
    assert_non_null(world);
    redis_server_make(&world->server);
    assert_int_equal(tg_loop_new(&world->loop), TG_OK);
    assert_int_equal(tg_resolver_new(world->loop, &options, &world->resolver), TG_OK);
    tg_arena_init(&world->arena, NULL);
    world->command_timeout_ms = 10000;
    world->max_pending = 40;
    world->max_unsent = 1 << 20;
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    tg_redis_free(world->redis);
    tg_resolver_free(world->resolver);
    tg_loop_free(world->loop);
    tg_arena_reset(&world->arena);
    if (world->tls != NULL) {
        tg_tls_context_free(world->tls);
    }
    redis_server_free(&world->server);
    free(world);
    return 0;
}

static struct tg_redis *open_with(struct world *world, const char *url, const struct tg_redis_events *events)
{
    struct tg_redis *redis = NULL;
    const char *problem = NULL;
    assert_int_equal(tg_redis_url_parse(&world->arena, tg_slice_cstr(url), &world->url, &problem), TG_OK);
    const struct tg_redis_options options = {
        .loop = world->loop,
        .resolver = world->resolver,
        .url = &world->url,
        .tls = world->tls,
        .connect_timeout_ms = 10000,
        .command_timeout_ms = world->command_timeout_ms,
        .pause_min_ms = 5,
        .pause_max_ms = 20,
        .max_pending = world->max_pending,
        .max_unsent = world->max_unsent,
        .seed = 1,
        .events = events,
        .arg = world,
        .counters = &world->counters,
    };
    assert_int_equal(tg_redis_new(&options, &redis), TG_OK);
    return redis;
}

#define UNTIL(world, condition)                                                                              \
    for (int loops_ = 0; !(condition); loops_++) {                                                           \
        assert_true(loops_ < LOOPS);                                                                         \
        tg_loop_run_once((world)->loop);                                                                     \
    }

static void open_up(struct world *world)
{
    world->redis = open_with(world, world->server.url, &command_events);
    assert_false(tg_redis_up(world->redis));
    UNTIL(world, world->ups == 1);
    assert_true(tg_redis_up(world->redis));
}

static enum tg_err command(struct world *world, const char *line)
{
    struct tg_slice words[8], rest = tg_slice_cstr(line);
    size_t count = 0;
    while (rest.ptr != NULL && count < 8) {
        words[count] = tg_slice_cut(rest, ' ', &rest);
        count++;
    }
    return tg_redis_command(world->redis, words, count, note, world);
}

static void test_commands(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->server, NULL);
    open_up(world);
    uint64_t trips = world->counters.round_trips;
    assert_int_equal(command(world, "SET a 1"), TG_OK);
    assert_int_equal(command(world, "INCR a"), TG_OK);
    assert_int_equal(command(world, "GET a"), TG_OK);
    assert_int_equal(command(world, "GET none"), TG_OK);
    assert_int_equal(command(world, "MGET a none"), TG_OK);
    assert_int_equal(command(world, "NONSENSE"), TG_OK);
    assert_int_equal(world->replies.count, 0); /* never from inside */
    UNTIL(world, world->replies.count == 6);
    static const char *const expected[] = {"OK", "2", "2", "nil", "array of 2"};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(world->replies.err[i], TG_OK);
        assert_string_equal(world->replies.text[i], expected[i]);
    }
    assert_int_equal(world->replies.err[5], TG_EDENIED);
    assert_non_null(strstr(world->replies.text[5], "ERR unknown command"));
    assert_int_equal(world->counters.round_trips - trips, 1); /* one write for all of a pass */
    assert_int_equal(world->counters.refused, 1);
    assert_int_equal(world->counters.answered, world->counters.commands);
    assert_true(tg_redis_up(world->redis));
}

static void test_long_values(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->server, NULL);
    open_up(world);
    static char value[700000];
    memset(value, 'v', sizeof value);
    const struct tg_slice set[] = {TG_LIT("SET"), TG_LIT("long"), tg_slice_make(value, sizeof value)};
    const struct tg_slice empty[] = {TG_LIT("SET"), TG_LIT("empty"), TG_EMPTY};
    assert_int_equal(tg_redis_command(world->redis, set, 3, note, world), TG_OK);
    assert_int_equal(tg_redis_command(world->redis, set, 3, note, world), TG_EBUSY); /* over max_unsent */
    assert_int_equal(tg_redis_command(world->redis, empty, 3, NULL, NULL), TG_OK);
    assert_int_equal(command(world, "STRLEN long"), TG_OK);
    assert_int_equal(command(world, "STRLEN empty"), TG_OK);
    assert_int_equal(command(world, "GET long"), TG_OK);
    UNTIL(world, world->replies.count == 4);
    assert_string_equal(world->replies.text[1], "700000");
    assert_string_equal(world->replies.text[2], "0");
    assert_string_equal(world->replies.text[3],
                        "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
                        "vvvvvvvvv");
}

static void test_limits(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->server, NULL);
    world->max_pending = 4;
    open_up(world);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(command(world, "PING"), TG_OK);
    }
    assert_int_equal(command(world, "PING"), TG_EBUSY);
    UNTIL(world, world->replies.count == 4);
    assert_int_equal(command(world, "PING"), TG_OK);
}

static void test_logins(void **state)
{
    struct world *world = *state;
    static const char *const more[] = {"--requirepass", "secret", "--user", "app",   "on",
                                       ">p@ss",         "~*",     "&*",     "+@all", NULL};
    char url[128];
    REDIS_OR_SKIP();
    redis_server_start(&world->server, more);
    snprintf(url, sizeof url, "redis://:secret@127.0.0.1:%d/3", world->server.port);
    world->redis = open_with(world, url, &command_events);
    UNTIL(world, world->ups == 1);
    assert_int_equal(command(world, "SET a three"), TG_OK);
    assert_int_equal(command(world, "SELECT 0"), TG_OK);
    assert_int_equal(command(world, "GET a"), TG_OK);
    UNTIL(world, world->replies.count == 3);
    assert_string_equal(world->replies.text[2], "nil");
    tg_redis_free(world->redis);

    snprintf(url, sizeof url, "unix://app:p%%40ss@%s?db=3", world->server.socket);
    world->redis = open_with(world, url, &command_events);
    UNTIL(world, world->ups == 2);
    assert_int_equal(command(world, "GET a"), TG_OK);
    assert_int_equal(command(world, "ACL WHOAMI"), TG_OK);
    UNTIL(world, world->replies.count == 5);
    assert_string_equal(world->replies.text[3], "three");
    assert_string_equal(world->replies.text[4], "app");
    tg_redis_free(world->redis);
    world->redis = NULL;

    static const struct {
        const char *login, *problem;
    } wrong[] = {
        {"app:nope@",
         "the server refused the greeting: WRONGPASS invalid username-password pair or user is disabled."},
        {"", "the server refused the greeting: NOAUTH Authentication required."}};
    for (size_t i = 0; i < 2; i++) {
        int downs = world->downs;
        snprintf(url, sizeof url, "redis://%s127.0.0.1:%d", wrong[i].login, world->server.port);
        world->redis = open_with(world, url, &command_events);
        UNTIL(world, world->downs == downs + 2); /* it goes on trying */
        assert_string_equal(tg_redis_problem(world->redis), wrong[i].problem);
        assert_int_equal(command(world, "PING"), TG_ECLOSED);
        tg_redis_free(world->redis);
        world->redis = NULL;
    }
    assert_int_equal(world->ups, 2);
}

static void test_subscription(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->server, NULL);
    open_up(world);
    struct tg_redis *listener = open_with(world, world->server.url, &listen_events);
    UNTIL(world, world->ups == 2);
    const struct tg_slice subscribe[] = {TG_LIT("SUBSCRIBE"), TG_LIT("inbox")};
    const struct tg_slice ping[] = {TG_LIT("PING")};
    assert_int_equal(tg_redis_command(listener, subscribe, 2, note, world), TG_OK);
    UNTIL(world, world->replies.count == 1);
    assert_string_equal(world->replies.text[0], "array of 3");
    assert_int_equal(command(world, "PUBLISH inbox hello"), TG_OK);
    assert_int_equal(tg_redis_command(listener, ping, 1, note, world), TG_OK);
    UNTIL(world, world->replies.count == 3 && world->messages == 1);
    assert_string_equal(world->channel, "inbox");
    assert_string_equal(world->payload, "hello");
    assert_int_equal(command(world, "PUBLISH other hello"), TG_OK);
    UNTIL(world, world->replies.count == 4);
    assert_string_equal(world->replies.text[3], "0");
    tg_redis_free(listener);
    assert_int_equal(world->messages, 1);
}

static void test_server_goes_and_comes(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    world->redis = open_with(world, world->server.url, &command_events);
    UNTIL(world, world->downs == 4);
    assert_string_equal(tg_redis_problem(world->redis), "connection refused or unreachable");
    assert_int_equal(world->ups, 0);
    assert_true(world->counters.connect_failures >= 4);
    redis_server_start(&world->server, NULL);
    UNTIL(world, world->ups == 1);
    int downs = world->downs;
    assert_int_equal(command(world, "BLPOP nothing 0"), TG_OK);
    tg_loop_run_once(world->loop);
    redis_server_kill(&world->server);
    UNTIL(world, world->downs > downs);
    assert_int_equal(world->replies.count, 1);
    assert_int_equal(world->replies.err[0], TG_ECLOSED);
    assert_int_equal(world->counters.failed, 1);
    assert_int_equal(command(world, "PING"), TG_ECLOSED);
    redis_server_start(&world->server, NULL);
    UNTIL(world, world->ups == 2);
    assert_int_equal(command(world, "PING"), TG_OK);
    UNTIL(world, world->replies.count == 2);
    assert_string_equal(world->replies.text[1], "PONG");
}

static void test_stalled_server(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->server, NULL);
    world->command_timeout_ms = SHORT_MS;
    open_up(world);
    kill(world->server.pid, SIGSTOP);
    uint64_t began = tg_loop_now_ns();
    assert_int_equal(command(world, "PING"), TG_OK);
    assert_int_equal(command(world, "PING"), TG_OK);
    UNTIL(world, world->downs == 1);
    uint64_t took_ms = (tg_loop_now_ns() - began) / 1000000;
    assert_in_range(took_ms, SHORT_MS, SHORT_MS + 1000);
    assert_int_equal(world->replies.count, 2);
    assert_int_equal(world->replies.err[0], TG_ETIMEOUT);
    assert_int_equal(world->replies.err[1], TG_ETIMEOUT);
    assert_int_equal(world->counters.timed_out, 1);
    assert_string_equal(tg_redis_problem(world->redis), "the server does not answer");
    kill(world->server.pid, SIGCONT);
    UNTIL(world, world->ups == 2);
}

static void test_reset_and_free(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->server, NULL);
    open_up(world);
    assert_int_equal(command(world, "PING"), TG_OK);
    tg_redis_reset(world->redis, "because");
    assert_int_equal(world->downs, 0);
    UNTIL(world, world->downs == 1);
    assert_string_equal(tg_redis_problem(world->redis), "because");
    assert_int_equal(world->replies.count, 1);
    UNTIL(world, world->ups == 2);
    assert_int_equal(command(world, "PING"), TG_OK);
    tg_redis_free(world->redis);
    world->redis = NULL;
    assert_int_equal(world->replies.count, 2);
    assert_int_equal(world->replies.err[1], TG_ECLOSED);
    assert_int_equal(world->downs, 1);
}

static void test_replica_is_left(void **state)
{
    struct world *world = *state;
    static const char *const more[] = {"--replicaof", "127.0.0.1", "1", NULL};
    REDIS_OR_SKIP();
    redis_server_start(&world->server, more);
    open_up(world);
    assert_int_equal(command(world, "SET a 1"), TG_OK);
    UNTIL(world, world->downs == 1);
    assert_int_equal(world->replies.err[0], TG_EDENIED);
    assert_non_null(strstr(world->replies.text[0], "READONLY"));
}

/* As Redis 6 says it of a command inside a script. */
static void run_refused(struct world *world, const char *error)
{
    char text[256];
    snprintf(
        text, sizeof text,
        "return {err=\"ERR Error running script (call to f_6c7e): @user_script:1: @user_script: 1: -%s\"}",
        error);
    const struct tg_slice words[] = {TG_LIT("EVAL"), tg_slice_cstr(text), TG_LIT("0")};
    size_t count = world->replies.count;
    assert_int_equal(tg_redis_command(world->redis, words, 3, note, world), TG_OK);
    UNTIL(world, world->replies.count == count + 1);
    assert_int_equal(world->replies.err[count], TG_EDENIED);
    assert_non_null(strstr(world->replies.text[count], "ERR Error running script"));
}

static void test_refused_inside_a_script(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->server, NULL);
    open_up(world);
    run_refused(world, "WRONGTYPE of value");
    assert_string_equal(world->denied, "");
    run_refused(world, "OOM command not allowed");
    assert_string_equal(world->denied, "OOM command not allowed");
    assert_int_equal(world->downs, 0);
    run_refused(world, "READONLY You can't write against a read only replica.");
    UNTIL(world, world->downs == 1);
    assert_non_null(strstr(tg_redis_problem(world->redis), "takes no writes"));
}

static void test_cluster_is_refused(void **state)
{
    struct world *world = *state;
    char bus[16]; /* by default 10000 above the port, which may be no port */
    snprintf(bus, sizeof bus, "%d", redis_free_port());
    const char *const more[] = {"--cluster-enabled", "yes", "--cluster-port", bus, NULL};
    REDIS_OR_SKIP();
    redis_server_start(&world->server, more);
    open_up(world);
    assert_int_equal(command(world, "SET a 1"), TG_OK);
    UNTIL(world, world->downs == 1);
    assert_string_equal(tg_redis_problem(world->redis),
                        "the server is one of a Redis Cluster: the URL must begin with redis+cluster://");
}

static void write_pem(const char *path, EVP_PKEY *key, X509 *certificate)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(key != NULL ? PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL)
                                 : PEM_write_X509(file, certificate),
                     1);
    fclose(file);
}

static void test_tls(void **state)
{
    struct world *world = *state;
    struct authority authority, other;
    char key_file[96], certificate_file[96], port[16], url[64];
    REDIS_OR_SKIP();
    make_authority(&authority, "Authority");
    make_authority(&other, "Other");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make_certificate(key, "redis", "IP:127.0.0.1", authority.certificate, authority.key);
    snprintf(key_file, sizeof key_file, "%s/key", world->server.dir);
    snprintf(certificate_file, sizeof certificate_file, "%s/certificate", world->server.dir);
    write_pem(key_file, key, NULL);
    write_pem(certificate_file, NULL, certificate);
    int tls_port = redis_free_port();
    snprintf(port, sizeof port, "%d", tls_port);
    const char *const more[] = {"--tls-port",
                                port,
                                "--tls-cert-file",
                                certificate_file,
                                "--tls-key-file",
                                key_file,
                                "--tls-ca-cert-file",
                                authority.file,
                                "--tls-auth-clients",
                                "no",
                                NULL};
    redis_server_start(&world->server, more);
    snprintf(url, sizeof url, "rediss://127.0.0.1:%d", tls_port);
    const struct tg_tls_client_options trusts[] = {{.ca_file = authority.file}, {.ca_file = other.file}};
    assert_int_equal(tg_tls_client_new(&trusts[0], &world->tls), TG_OK);
    world->redis = open_with(world, url, &command_events);
    UNTIL(world, world->ups == 1);
    assert_int_equal(command(world, "PING"), TG_OK);
    UNTIL(world, world->replies.count == 1);
    assert_string_equal(world->replies.text[0], "PONG");
    tg_redis_free(world->redis);
    tg_tls_context_free(world->tls);
    assert_int_equal(tg_tls_client_new(&trusts[1], &world->tls), TG_OK);
    world->redis = open_with(world, url, &command_events);
    UNTIL(world, world->downs == 1);
    assert_non_null(strstr(tg_redis_problem(world->redis), "TLS to the server failed: "));
    assert_non_null(strstr(tg_redis_problem(world->redis), "certificate"));
    EVP_PKEY_free(key);
    X509_free(certificate);
    unlink(key_file);
    unlink(certificate_file);
    free_authority(&authority);
    free_authority(&other);
}

/* ---- a server of the test's own, which breaks the protocol ---- */

static int listen_on(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void test_protocol_violations(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *bytes, *problem;
    } rows[] = {
        {"+PONG\r\n+PONG\r\n", "the server answered what nobody asked"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak the protocol of Redis"},
        {"+PONG\r\n*-7\r\n", "the server does not speak the protocol of Redis"},
        {"", "the server closed the connection instead of answering: does this port expect TLS?"},
    };
    int listener = listen_on(world->server.port);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int downs = world->downs;
        world->redis = open_with(world, world->server.url, &command_events);
        tg_loop_run_once(world->loop);
        tg_loop_run_once(world->loop);
        int fd = accept(listener, NULL, NULL);
        char space[64];
        while (recv(fd, space, sizeof space, MSG_DONTWAIT) <= 0) {
            tg_loop_run_once(world->loop);
        }
        assert_int_equal(send(fd, rows[i].bytes, strlen(rows[i].bytes), MSG_NOSIGNAL), strlen(rows[i].bytes));
        close(fd);
        UNTIL(world, world->downs > downs);
        assert_string_equal(tg_redis_problem(world->redis), rows[i].problem);
        tg_redis_free(world->redis);
        world->redis = NULL;
    }
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_logins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscription, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_goes_and_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stalled_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_and_free, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replica_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_inside_a_script, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cluster_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protocol_violations, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
